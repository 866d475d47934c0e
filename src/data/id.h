/* Names of nodes, and where a key lies on the ring. */
#ifndef ID_H
#define ID_H

#include "base/bytes.h"

/* 128 random bits, drawn when a data directory is created; never used again for another one. */
struct node_id {
    uint64_t hi;
    uint64_t lo;
};

#define NODE_NONE ((struct node_id){0, 0})
enum { NODE_ID_TEXT = 33 }; /* 32 hex digits and a zero. */

static inline bool id_equal(struct node_id a, struct node_id b)
{
    return a.hi == b.hi && a.lo == b.lo;
}

static inline bool id_none(struct node_id id)
{
    return id.hi == 0 && id.lo == 0;
}

static inline int id_compare(struct node_id a, struct node_id b)
{
    if (a.hi != b.hi)
        return a.hi < b.hi ? -1 : 1;
    return (a.lo > b.lo) - (a.lo < b.lo);
}

/* 32 lower-case hex digits. */
void id_format(struct node_id id, char ret_text[NODE_ID_TEXT]);
/* 0, or ERR_BAD_REQUEST for anything but 32 hex digits. */
int id_parse(struct slice text, struct node_id *ret_id) CHECK_RESULT;

/* 16 bytes, as in all our encodings. */
static inline void id_write(struct buf *out, struct node_id id)
{
    write_u64(out, id.hi);
    write_u64(out, id.lo);
}

static inline struct node_id id_read(struct reader *reader)
{
    uint64_t hi = read_u64(reader);
    uint64_t lo = read_u64(reader);
    return (struct node_id){hi, lo};
}

/* XXH3-64, seeded with the cluster's hash seed, of bucket + '\0' + key (docs/architecture.md,
 * "Words"). */
uint64_t key_hash(uint64_t seed, struct slice bucket, struct slice key);

/* The range of a hash: its top RANGE_BITS bits (6..16). */
static inline uint32_t range_of(uint64_t hash, uint32_t range_bits)
{
    return (uint32_t)(hash >> (64 - range_bits));
}

/* The first hash of a range: its token. */
static inline uint64_t range_first(uint32_t range, uint32_t range_bits)
{
    return (uint64_t)range << (64 - range_bits);
}

/* The last hash of a range. */
static inline uint64_t range_last(uint32_t range, uint32_t range_bits)
{
    return range_first(range, range_bits) | (UINT64_MAX >> range_bits);
}

/* (node, tenure) as it stands in dots and vectors: XXH3-64 of the two. */
uint64_t actor_of(struct node_id node, uint64_t tenure);

#endif
