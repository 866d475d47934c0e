/* What this node keeps for slots of other nodes, in figures: by range and slot, with the tenure
 * under which it makes versions of the range's keys as a fallback.
 *
 * Kept exact by node.c, which hands in every change that the store reports, and by the hint machine
 * (hints.h), which counts what recovery found. No hint is taken before that count is complete: so
 * the bounds hold across restarts. */
#ifndef HINTED_H
#define HINTED_H

#include "base/map.h"
#include "core/step.h"

/* The hints of one range. */
struct hinted_range {
    uint32_t range;
    uint64_t keys;
    uint64_t bytes;              /* Of keys and objects. */
    uint64_t keys_of[SLOTS_MAX]; /* By slot number; one hint may be for several. */
    uint64_t bytes_of[SLOTS_MAX];
    uint64_t oldest;   /* HLC at or below every version held; */
    bool inexact;      /* below, perhaps: some have left since it was looked at. */
    uint64_t tenure;   /* 0: drawn when it is needed. See hints.h. */
    uint64_t tried_us; /* When a delivery last came to nothing, 0 never, */
    int error;         /* and why. */
};

struct hinted {
    struct map ranges; /* range + 1 -> struct hinted_range. Owned. */
    uint64_t keys, bytes;
    uint64_t bytes_max;
    uint64_t tenures_next; /* Within this life. */
    uint64_t bad;          /* Records that cannot be read: they stay, and are named in status. */
    bool counted;          /* What recovery found is in these figures. */
    bool closed;           /* The node stops: nothing is taken any more. */
};

void hinted_done(struct hinted *hinted);
/* The figures of RANGE, NULL while no hint of it is kept. */
struct hinted_range *hinted_find(const struct hinted *hinted, uint32_t range);
/* May a hint of RANGE that takes SIZE bytes more be kept? 0 or ERR_BUSY. */
int hinted_room(const struct hinted *hinted, uint32_t range, size_t size);
/* Take in that the hint of a key of RANGE, now OBJECT, changed so. */
void hinted_change(struct hinted *hinted, uint32_t range, const struct hint_change *change,
                   struct slice object);
/* A scan found these hints of RANGE and no others: so it is. What a record that turned out damaged
 * had been counted for, nobody could say. */
void hinted_recount(struct hinted *hinted, uint32_t range, const struct entry *entries,
                    const uint8_t *slots, uint32_t count);
/* A range of which `oldest` is not exact; none: UINT32_MAX. */
uint32_t hinted_inexact(const struct hinted *hinted);
/* The lowest HLC stamp of any version that is kept, or a lower one; 0 for none, 1 while they are
 * not counted yet. */
uint64_t hinted_oldest(const struct hinted *hinted);

/* The tenure for a new version of a key of RANGE, made by a fallback of GENERATION. */
uint64_t hinted_tenure(struct hinted *hinted, uint32_t range, uint64_t generation);
/* From here on versions are made under another. Before the operation that removes a hint. */
void hinted_renew_tenure(struct hinted *hinted, uint32_t range);

#endif
