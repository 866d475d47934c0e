/* Settings: named values of the whole cluster (buckets, plans, limits, users).
 *
 * Any node changes one at an administrator's command; the highest (counter, writer) wins; a deleted
 * setting stays as one with an empty value. Pure data: tables that merged the same settings in any
 * order are equal. Names in use:
 *
 *   bucket/NAME   definition of a bucket (core/buckets.h)
 *   plan          the moves under way (data/plan.h)
 *   leave/ID      node ID is leaving
 *   config/NAME   a cluster-wide limit or switch, as text */
#ifndef SETTING_H
#define SETTING_H

#include "base/bytes.h"
#include "base/limits.h"
#include "data/id.h"

struct setting {
    struct slice name; /* Borrowed from the table (or from what was decoded). */
    uint64_t counter;
    struct node_id writer;
    struct slice value; /* Empty: deleted. */
};

void setting_encode(const struct setting *setting, struct buf *out);
/* Untrusted input: sets reader->bad on counter 0, no writer, no name, and what is too long. */
void setting_decode(struct reader *reader, struct setting *ret_setting);

enum { SETTING_BUCKETS = 16, SETTINGS_SIZE_MAX = 64 * 1024 * 1024 };

struct setting_table {
    struct setting **settings; /* Owned; sorted by name. */
    uint32_t count;
    size_t size;                      /* Bytes of all names and values. */
    uint64_t hashes[SETTING_BUCKETS]; /* XOR of XXH3 of (name, counter, writer), by name. */
    uint64_t changes;
};

void setting_table_init(struct setting_table *table);
void setting_table_done(struct setting_table *table);
/* Deleted ones too; NULL if there never was one. */
const struct setting *setting_find(const struct setting_table *table, struct slice name);
/* The value, empty when deleted or never set. */
struct slice setting_value(const struct setting_table *table, struct slice name);
/* Does A replace B (NULL: there is none)? */
bool setting_newer(const struct setting *a, const struct setting *b);
/* Copy in if newer; true if it was news. Of two values under one (counter, writer), which a correct
 * writer never makes, the one greater in byte order stays. */
bool setting_merge(struct setting_table *table, const struct setting *setting);
/* Would the table take in so large a value under NAME? Past its bounds it takes no more. */
bool setting_fits(const struct setting_table *table, struct slice name, size_t size);
uint32_t setting_bucket(struct slice name);

#endif
