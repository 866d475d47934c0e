/* Dead index: of each key that has a dead or expiring version, from which stamp (object_dead_from).
 *
 * One heap of (stamp, hash) for each range, in memory only: what a start or a full index has
 * forgotten is found again by a scan, which the next collection of that range makes. A key that is
 * written again leaves its old entry behind; whoever takes an entry looks at the key. Bounded over
 * all ranges by DEAD_ENTRIES_MAX. 16 bytes an entry; put and take O(log n). */
#ifndef DEAD_H
#define DEAD_H

#include "base/base.h"

enum { DEAD_ENTRIES_MAX = 1 << 20 };

struct dead_entry {
    uint64_t stamp;
    uint64_t hash;
};

struct dead_index {
    struct dead_entry *entries; /* Owned: a heap, earliest first. */
    uint32_t count;
    uint32_t capacity;
    bool complete; /* Each such key of the range has an entry. */
    bool lost;     /* The bound was met since the last clear. */
};

/* Add an entry. TOTAL counts those of all ranges; at its bound this index is given up. */
void dead_put(struct dead_index *index, uint64_t *total, uint64_t stamp, uint64_t hash);
/* The earliest stamp; 0 while the index is not complete, UINT64_MAX when it is empty. */
uint64_t dead_earliest(const struct dead_index *index);
/* Take the earliest entry if it is at or below HORIZON. */
bool dead_take(struct dead_index *index, uint64_t *total, uint64_t horizon,
               struct dead_entry *ret_entry);
/* Forget all entries. */
void dead_clear(struct dead_index *index, uint64_t *total);

#endif
