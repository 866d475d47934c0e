/* Members: who belongs to the cluster, and who has left it for ever.
 *
 * A member record is written by its node alone, under (generation, version). A departure record is
 * written at an administrator's command, only ever added, and beats any member record. Pure data:
 * tables that merged the same records in any order are equal. */
#ifndef MEMBER_H
#define MEMBER_H

#include "base/bytes.h"
#include "base/limits.h"
#include "data/id.h"

enum member_status {
    MEMBER_UP = 0,
    MEMBER_MAINTENANCE = 1, /* Announced by a node that stops; changes routing only. */
    MEMBER_LEAVING = 2,     /* Its slots are moving out at an administrator's command. */
};

struct member {
    struct node_id id;
    uint64_t generation; /* Drawn at each start from the node's durable counter. */
    uint64_t version;    /* Within the generation, from 1. */
    enum member_status status;
    uint32_t capacity; /* Relative weight for the planner, default 100. */
    uint32_t protocol; /* Peer protocol version it speaks. */
    struct slice name; /* Borrowed from the table (or from what was decoded). */
    struct slice zone;
    struct slice peer; /* host:port of the three listeners. */
    struct slice client;
    struct slice http;
};

enum departure_kind { DEPARTURE_LEFT = 1, DEPARTURE_REMOVED = 2 };

struct departure {
    struct node_id id;
    enum departure_kind kind;
    struct node_id by;
    uint64_t nonce; /* Of who left: the generation of the life that did. */
};

void member_encode(const struct member *member, struct buf *out);
/* Untrusted input, as departure_decode: sets reader->bad on an unknown status or kind, an id of
 * none, version 0 and strings that are too long. */
void member_decode(struct reader *reader, struct member *ret_member);
void departure_encode(const struct departure *departure, struct buf *out);
void departure_decode(struct reader *reader, struct departure *ret_departure);

enum { MEMBER_BUCKETS = 16, DEPARTURES_MAX = 4 * MEMBERS_MAX };

struct member_table {
    struct member **members; /* Owned, each shared with copies; sorted by id; nobody departed. */
    uint32_t count;
    struct departure *departures; /* Owned; sorted by id. */
    uint32_t departures_count;
    uint64_t hashes[MEMBER_BUCKETS]; /* XOR of XXH3 of (id, generation, version), (departed id), by
                                        id. */
    uint64_t changes;                /* Grows with every change, for those who cache. */
};

void member_table_init(struct member_table *table);
void member_table_done(struct member_table *table);
/* Make the empty TABLE equal to FROM. The two share their records until one replaces them, so both
 * belong to one thread. */
void member_table_copy(struct member_table *table, const struct member_table *from);
const struct member *member_find(const struct member_table *table, struct node_id id);
/* By name or by the first digits of the id; NULL when none or several match. */
const struct member *member_find_named(const struct member_table *table, struct slice name);
bool member_departed(const struct member_table *table, struct node_id id);
const struct departure *departure_find(const struct member_table *table, struct node_id id);
/* Where the record of ID is or would be among the members, and among the departures: a bucket's
 * records are neighbours. */
uint32_t member_place(const struct member_table *table, struct node_id id);
uint32_t departure_place(const struct member_table *table, struct node_id id);
/* Copy in a record if it is newer and its node has not departed; true if it was news. */
bool member_merge(struct member_table *table, const struct member *member);
/* Add a departure and forget its member; true if it was news. Of several for one id REMOVED stays
 * before LEFT, then the lowest nonce, then the lowest `by`. Past its bound a table takes no more,
 * which only hostile peers can reach. */
bool departure_merge(struct member_table *table, const struct departure *departure);
static inline uint32_t member_bucket(struct node_id id)
{
    return (uint32_t)(id.hi >> 60);
}

/* Load: lossy, part of no record. Newest (generation, sequence) of a node wins. */
struct load {
    struct node_id id;
    uint64_t generation;
    uint64_t sequence;
    uint32_t ops_per_s;
    uint32_t cpu_permille;
    uint64_t live_bytes;
    uint64_t file_bytes;
    uint64_t free_bytes;
    uint32_t queue;
    uint32_t inbound; /* Transfers coming in. */
    uint32_t p99_us;
    uint64_t hint_bytes;
    uint64_t hint_oldest; /* HLC, 0 none. */
    uint64_t hlc_floor;   /* Synced; nothing new is stamped, or taken, there at or below it. */
    uint32_t ahead_ms;    /* Its clock's distance from its peers' median, one way or the other, */
    uint32_t behind_ms;   /* where that is past clock_skew_max; else 0. */
    uint64_t forks;       /* ring.h: what is said above is said under these. */
};

#endif
