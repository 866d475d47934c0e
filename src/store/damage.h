/* Keys whose record turned out damaged, until they are whole again.
 *
 * A damaged record is lost: what the slot had acknowledged of the key is on the other slots only.
 * Such a key reads as UNREADABLE. What is written to it meanwhile is kept and acknowledged, but the
 * record then lacks its past: it stays UNREADABLE, and a durable mark says so, for its checksum no
 * longer does. It is whole again once it was merged with what enough other slots hold
 * (STORE_MERGE with `heals`; the core says what is enough). Until then the host is told of it again
 * and again.
 *
 * A loss may have to rest first. A coordinator may still count what this node acknowledged and has
 * lost; what the others hold says nothing of such a write before it is acknowledged or given up.
 * All that the engine holds was acknowledged before its last transaction, or before this life.
 *
 * What was written meanwhile may be lost as well: a loss of its own, with a number of its own. What
 * was fetched for the earlier one may lack what was lost with the later, and heals nothing.
 *
 * After a crash: a mark and the object that it belongs to are one group of the log, and one freeze
 * of the checkpoint; damage without a mark is found again by its checksum. */
#ifndef DAMAGE_H
#define DAMAGE_H

#include "base/buf.h"

enum {
    DAMAGES_MAX = 1024, /* Keys known to be damaged. What is found beyond is found again later. */
    DAMAGE_MARK = 26,   /* Size of a mark's key. */
};

struct damage {
    uint64_t hash;
    struct buf path;  /* Owned. As in record.h. */
    uint64_t number;  /* Of its last loss. */
    bool bad;         /* The record is. */
    bool written;     /* It was written over: it lacks what came before; marked durably. */
    bool renewed;     /* Its writer's actor is younger than the damage. */
    uint32_t told;    /* How often the host heard of it; */
    uint64_t tell_us; /* it does so next at this time. */
    uint64_t rest_us; /* It may be healed from then on; known once the host was told. */
};

struct damages {
    struct damage **items; /* Owned. */
    uint32_t count;
    uint64_t losses; /* The last number. */
    uint64_t found;  /* In all. */
    uint64_t healed;
    uint64_t lost; /* Of these, nobody else had any of it. */
};

struct store;

void damages_done(struct damages *damages);
/* The damage of PATH, NULL if none is known. */
struct damage *damage_find(const struct store *store, uint64_t hash, struct slice path);
/* The record of PATH is damaged. NULL when the table is full. */
struct damage *damage_note(struct store *store, uint64_t hash, struct slice path);
/* The record of DAMAGE was written over, with a record that MORE records of the group follow;
 * returns the position of the mark. */
uint64_t damage_mark(struct store *store, struct damage *damage, bool more, bool sync);
/* Is there a mark that damage_heal has to take away, in a record of its own? */
static inline bool damage_marked(const struct damage *damage)
{
    return damage && damage->written;
}
/* DAMAGE, which is marked, is whole, and forgotten; returns the position of the mark's end. */
uint64_t damage_heal(struct store *store, struct damage *damage, bool more, bool sync);
/* What was never marked is whole: written over, or it reads well after all. */
void damage_dismiss(struct store *store, struct damage *damage);
/* All keys of RANGE are gone. */
void damage_forget(struct store *store, uint32_t range);
/* A mark of an earlier life, from the log or the engine; VALUE empty: its end. */
int damage_restore(struct store *store, struct slice key, struct slice value) CHECK_RESULT;
/* Tell the host what is due, and when this wants to be called again (UINT64_MAX: never). */
void damage_tell(struct store *store);
uint64_t damage_wake_us(const struct store *store);

#endif
