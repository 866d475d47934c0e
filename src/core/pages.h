/* News on its way out: members, departures, settings and range records, cut into messages of at
 * most GOSSIP_SIZE_MAX bytes. A setting larger than that has a message of its own.
 *
 * Sizes are upper estimates of what wire/ makes of the parts. */
#ifndef PAGES_H
#define PAGES_H

#include "core/core.h"

/* What one answer may bring at most, unless a single item is larger: the rest comes in a later
 * round, so that nobody has to take in a whole cluster's tables at once. */
enum { PAGES_SIZE_MAX = 512 * 1024 };

struct page_item {
    enum digest_kind kind;
    uint32_t size;
    const void *item; /* Borrowed from the core's tables. */
};

struct pages {
    struct page_item *items; /* Owned; emptied by each sending. */
    uint32_t count;
    uint32_t capacity;
    size_t size;
    struct buf scratch; /* For measuring. */
};

void pages_done(struct pages *pages);

/* Add what the core's tables have; false (and nothing added) when it is unknown or PAGES_SIZE_MAX
 * is reached. Tables must not change before the pages are sent. */
bool pages_add_departure(struct pages *pages, const struct core *core, struct node_id id);
bool pages_add_member(struct pages *pages, const struct core *core, struct node_id id);
bool pages_add_setting(struct pages *pages, const struct core *core, struct slice name);
bool pages_add_record(struct pages *pages, const struct core *core, uint32_t range);
/* What a digest names, of whatever kind. */
bool pages_add(struct pages *pages, const struct core *core, const struct digest *digest);
/* The same if it fits into a message with others: returns its size, 0 if nothing was added. */
uint32_t pages_add_small(struct pages *pages, const struct core *core, const struct digest *digest);

/* Send all as BULK messages (none if there is nothing) and forget it. Copies everything into the
 * effects' arena. */
void pages_send(struct pages *pages, struct core *core, struct node_id to, uint64_t nonce);
/* The same with an ACK2 first, which also carries WANTS (in the effects' arena). */
void pages_send_ack2(struct pages *pages, struct core *core, struct node_id to, uint64_t nonce,
                     const struct digest *wants, uint32_t wants_count);
/* Send the first page only, as a rumour, to each of COUNT nodes, and forget all. */
void pages_send_rumour(struct pages *pages, struct core *core, const struct node_id *to,
                       uint32_t count);

/* Estimated bytes on the wire. */
uint32_t digest_size(const struct digest *digest);
uint32_t load_size(const struct load *load);
enum { PAGE_HEAD_SIZE = 40 }; /* Frame, type, nonce, counts. */

#endif
