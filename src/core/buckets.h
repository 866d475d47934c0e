/* Buckets: the declared way of treating a group of keys. A setting `bucket/NAME` holds each.
 *
 * The bucket `default` exists from the start with the defaults below; others must be created. */
#ifndef BUCKETS_H
#define BUCKETS_H

#include "base/error.h"
#include "core/step.h"
#include "data/setting.h"

enum log_mode { LOG_ALWAYS = 0, LOG_INTERVAL = 1 };

struct bucket {
    enum policy policy; /* newest */
    uint8_t r;          /* CONSISTENCY_QUORUM */
    uint8_t w;          /* CONSISTENCY_QUORUM */
    uint8_t dw;         /* 0 */
    enum log_mode log_mode;
    uint64_t ttl_ms;     /* 0: none */
    uint32_t drops;      /* Grows with each drop; versions with a lower count are dead. */
    bool dropped;        /* Its name is free; the drop count stays. */
    uint64_t dropped_at; /* Stamp of the last drop, from which those versions are dead; 0 none. */
};

extern const struct bucket bucket_default;

void bucket_encode(const struct bucket *bucket, struct buf *out);
/* 0 or ERR_CORRUPT. */
int bucket_decode(struct slice bytes, struct bucket *ret_bucket) CHECK_RESULT;
/* 0, or ERR_BAD_REQUEST unless NAME is 1..64 of [A-Za-z0-9_.-]. */
int bucket_name_check(struct slice name) CHECK_RESULT;
/* 0, or ERR_UNKNOWN_BUCKET. */
int bucket_find(const struct setting_table *settings, struct slice name,
                struct bucket *ret_bucket) CHECK_RESULT;

/* The buckets that were ever dropped, sorted by name, into ARENA; returns how many. Names borrow
 * from SETTINGS. */
uint32_t buckets_dropped(const struct setting_table *settings, struct arena *arena,
                         struct drop_line **ret_lines);
/* A digest of all drop counts: equal where two tables drop the same. */
uint64_t buckets_drops_digest(const struct setting_table *settings);

#endif
