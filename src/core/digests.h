/* What a node's tables hold, bucket by bucket, and the ACK messages that say so.
 *
 * Buckets 0..15 hold members, departures and settings, buckets 16..79 range records. A digest page
 * is `complete` when it lists its buckets in full: what it does not name, its sender does not have.
 * Of a bucket too large for a page it names the newest news, or pieces: it is not complete. */
#ifndef DIGESTS_H
#define DIGESTS_H

#include "core/gossip.h"

enum {
    BUCKETS = MEMBER_BUCKETS + RING_BUCKETS,
    DIGEST_PAGES_MAX = 16, /* An answer's; the next one begins with the next bucket. */
};

static inline bool buckets_none(struct buckets buckets)
{
    return buckets.tables == 0 && buckets.ranges == 0;
}
static inline bool buckets_have(struct buckets buckets, uint32_t bucket)
{
    return bucket < MEMBER_BUCKETS ? (buckets.tables >> bucket & 1) != 0
                                   : (buckets.ranges >> (bucket - MEMBER_BUCKETS) & 1) != 0;
}
void buckets_add(struct buckets *buckets, uint32_t bucket);

/* Everything in BUCKET into the gossip's listing. Names borrow from the tables. */
void digests_list(struct gossip *gossip, const struct core *core, uint32_t bucket);
/* Of what is being told as a rumour, all in BUCKETS, newest first. Names borrow from the tables.
 * Returns how many. */
uint32_t digests_recent(const struct gossip *gossip, const struct core *core,
                        struct buckets buckets, struct digest ret[RUMOURS_MAX]);
/* In how many buckets there is any. */
uint32_t digests_recent_buckets(const struct gossip *gossip, const struct core *core);

/* What is left of a message that has USED bytes, for loads; the bytes of the hashes of a SYN, or of
 * digests. NULL for none. */
const struct load *loads_for(struct gossip *gossip, struct core *core, size_t used,
                             uint32_t *ret_count);

/* An ACK being filled, and sent when it is full. */
struct digest_page {
    struct gossip *gossip;
    struct core *core;
    struct node_id to;
    uint64_t nonce;
    struct digest *digests; /* In the arena, with room for a full page; NULL before the first. */
    uint32_t count;
    size_t size;
    struct buckets buckets;
    uint32_t sent;
};

void page_init(struct digest_page *page, struct gossip *gossip, struct core *core,
               struct node_id to, uint64_t nonce);
void page_send(struct digest_page *page, bool complete);
/* List BUCKET in full, on this page or the next. False, and nothing done, when no page could hold
 * it; *RET_PAGES is then how many pieces it would make. */
bool page_list(struct digest_page *page, uint32_t bucket, uint32_t *ret_pages);
/* List it in pieces, at most DIGEST_PAGES_MAX pages in all. */
void page_list_pieces(struct digest_page *page, uint32_t bucket);
/* Name what is being told as a rumour in BUCKETS, as much as fits into one page, and ask for the
 * same in return. */
void page_list_recent(struct digest_page *page, struct buckets buckets);

#endif
