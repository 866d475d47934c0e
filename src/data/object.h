/* Objects: what is stored under a key. A set of siblings with their causal histories.
 *
 * An object travels and is stored as one canonical byte string: the same set of versions has the
 * same bytes on every node. All functions read versions only, never a setting that may lag.
 *
 *   object  = format byte (2 with a history, else 1), sibling count varint,
 *             [history: a version vector], siblings in order of their dots
 *   sibling = dot (actor u64, counter varint), context (a version vector), hlc u64,
 *             flags u8 (bits 0-1 policy, 2 tombstone, 3 expires, 4 drops, 5 type, 6 first),
 *             [expires u64], [drops varint], [type: length varint, bytes],
 *             [first: a dot that the context covers], value (length varint, bytes; absent in a
 *             tombstone)
 *
 * Sibling X is obsolete exactly when some other version's context covers X's dot (dotted version
 * vectors: Preguica et al., "Dotted Version Vectors", 2010; Almeida et al., "Scalable and Accurate
 * Causality Tracking for Eventually Consistent Stores", 2014). A version that was written once more
 * to read as the latest has a second dot and says its first: it is obsolete as well when a later
 * stamped version's context covers the first. Merge is commutative, associative,
 * idempotent and deterministic to the byte. The history holds what versions that are gone had
 * covered beyond what the remaining contexts cover; mostly there is nothing to hold.
 *
 * An empty slice is "no object": it merges as the neutral element. */
#ifndef OBJECT_H
#define OBJECT_H

#include "base/arena.h"
#include "base/buf.h"
#include "data/edit.h"

enum policy {
    POLICY_SIBLINGS = 0, /* All are returned, the client merges. */
    POLICY_NEWEST = 1, /* The highest (hlc, dot) is returned, the others stay until overwritten. */
    POLICY_LWW = 2,    /* A version so stamped dies when one with a higher (hlc, dot) is merged. */
};

/* The unique name, within a range, of one write event. */
struct dot {
    uint64_t actor;
    uint64_t counter; /* From 1. */
};

static inline bool dot_equal(struct dot a, struct dot b)
{
    return a.actor == b.actor && a.counter == b.counter;
}

/* One decoded sibling; slices borrow from the object's bytes. */
struct sibling {
    struct dot dot;
    struct slice context; /* Encoded version vector, see vector.h. */
    uint64_t hlc;
    uint64_t expires; /* HLC from which it counts as deleted; 0 never. */
    uint32_t drops;   /* Drop count of its bucket when it was written. */
    struct dot first; /* Written once more: the dot it had before. Counter 0: it was not. */
    enum policy policy;
    bool tombstone;
    struct slice type;  /* Content type, may be empty. */
    struct slice value; /* Empty for a tombstone. */
};

struct object {
    uint32_t count;
    struct sibling *siblings; /* In the arena; sorted by dot. */
    struct slice history;     /* Encoded version vector, mostly empty. */
};

/* A put never makes more than SIBLINGS_MAX; merges may, but only a hostile peer makes so many. */
enum { OBJECT_SIBLINGS_MAX = 4096 };

/* Decode BYTES into RET_OBJECT, whose siblings lie in ARENA and borrow from BYTES. Checks
 * everything: BYTES may be hostile. 0, or ERR_CORRUPT. An empty slice gives 0 siblings. */
int object_decode(struct slice bytes, struct arena *arena, struct object *ret_object) CHECK_RESULT;

/* The version DOT of OBJECT, NULL if it is not there. */
const struct sibling *object_sibling(const struct object *object, struct dot dot);

/* 0 if BYTES is a canonical object (or empty), else ERR_CORRUPT. No allocation for few siblings. */
int object_check(struct slice bytes) CHECK_RESULT;

/* What merging found out beside the bytes. */
enum merge_result {
    MERGE_SAME_A = 1, /* The result equals A. */
    MERGE_SAME_B = 2, /* The result equals B. */
};

/* Append the merge of two checked objects to OUT; returns a set of MERGE_SAME_*. */
int object_merge(struct slice a, struct slice b, struct buf *out);

/* One new version, made by a coordinator. */
struct update {
    struct dot dot;
    struct dot first; /* The dot of the same write until now, which it takes the place of; or 0. */
    uint64_t hlc;     /* Raised above every hlc in the local object if it is not. */
    uint64_t ttl_ms;  /* 0 none; the expiry is the final hlc plus this. */
    uint32_t drops;
    enum policy policy;
    bool tombstone;
    bool blind;           /* No context was given: see below. */
    bool follows;         /* Blind, and follows all that is there whatever the policy. */
    struct slice context; /* Client's context as made by object_context; empty with blind. */
    struct slice type;
    struct slice value;
    const struct edit *edit; /* For object_edit: what is made of the value that is there. */
    uint64_t now;            /* object_edit: HLC at which it is judged what has expired. */
};

/* Apply UPDATE to the coordinator's LOCAL object and append the new object to OUT.
 *
 * A blind update of policy siblings is concurrent with all; one of policy newest or lww takes the
 * local object's history as its context. RET_HLC (may be NULL) receives the final stamp.
 * 0, or ERR_TOO_MANY_SIBLINGS when the result would have more than SIBLINGS_MAX siblings and more
 * than LOCAL has; one of policy newest or lww then takes the local history as well and succeeds,
 * unless LOCAL holds versions of policy siblings. The context must have passed context_check, but
 * a forged one that covers the new dot is ERR_BAD_CONTEXT; ERR_CORRUPT where LOCAL already knows
 * the new dot or a later one of its actor; ERR_CONFLICT where somebody who had seen UPDATE->first
 * has overwritten it in LOCAL; ERR_TOO_LARGE; ERR_CLOCK_SKEW where no higher stamp is left (hostile
 * stamps). OUT is unchanged on any error. */
int object_update(struct slice local, const struct update *update, struct buf *out,
                  uint64_t *ret_hlc) CHECK_RESULT;

struct edited {
    enum edit_outcome outcome;
    bool changed; /* False: OUT is unchanged. */
    uint64_t hlc; /* The stamp of the new version. */
};

/* Apply UPDATE->edit, whose operand is UPDATE->value, to what a reader sees of LOCAL, and append
 * the new object to OUT where anything changes: a version that follows all that LOCAL holds, and
 * stamped exactly UPDATE->hlc. UPDATE->context is what EDIT_IF_UNCHANGED compares with.
 * 0; ERR_CONFLICT where LOCAL holds a version stamped as high or higher; else as object_update. */
int object_edit(struct slice local, const struct update *update, struct arena *arena,
                struct buf *out, struct edited *ret_edited) CHECK_RESULT;

/* Append the client's context of a read of OBJECT: the union of all siblings' contexts and dots,
 * and the highest hlc, with a checksum over hash seed, bucket, key and entries. An empty object
 * gives an empty context. 0, or ERR_TOO_LARGE past CONTEXT_SIZE_MAX. */
int object_context(struct slice object, uint64_t seed, struct slice bucket, struct slice key,
                   struct buf *out) CHECK_RESULT;

/* 0 if CONTEXT was made by object_context for this key, with its highest hlc in RET_HLC; else
 * ERR_BAD_CONTEXT. Untrusted input. */
int context_check(struct slice context, uint64_t seed, struct slice bucket, struct slice key,
                  uint64_t *ret_hlc) CHECK_RESULT;

/* Digest of (key, its siblings' dots), for the hash tree and for digest reads; never 0 for an
 * object with siblings, 0 for an empty one. */
uint64_t object_digest(uint64_t hash, struct slice bucket, struct slice key, struct slice object);

/* The highest hlc of any sibling, 0 for an empty object. */
uint64_t object_hlc(struct slice object);

/* What orders versions in time: two coordinators may issue one hlc, then the dot decides. */
struct stamp {
    uint64_t hlc;
    struct dot dot;
};

/* The highest stamp of any sibling, all zero for an empty object. */
struct stamp object_stamp(struct slice object);

static inline bool stamp_after(struct stamp a, struct stamp b)
{
    if (a.hlc != b.hlc)
        return a.hlc > b.hlc;
    return a.dot.actor != b.dot.actor ? a.dot.actor > b.dot.actor : a.dot.counter > b.dot.counter;
}

/* What may be collected of the objects of one bucket. */
struct collection {
    uint64_t horizon;
    uint32_t drops;      /* The bucket's drop count, */
    uint64_t dropped_at; /* and the stamp of its last drop. */
};

/* The earliest stamp from which a sibling is dead as a tombstone or by expiry; UINT64_MAX for none.
 */
uint64_t object_dead_from(struct slice object);
/* Take from OBJECT the siblings that are dead from a stamp at or below the horizon; one stamped
 * newest or lww takes all such lower ones along, for it hid them. True if any goes: then OUT gets
 * what is left, nothing if nothing is. */
bool object_collect(struct slice object, const struct collection *collection, struct buf *out);
/* Take from MERGED, the merge of LOCAL with OTHER that came in, the siblings stamped at or below
 * HORIZON that LOCAL does not hold: they were collected. STANDS is not 0 where OTHER is all that
 * another reader holds, whose tree stands at that horizon: then siblings stamped newest or lww at
 * or below it go, too, that it does not hold, unless they are the latest of what is left: it had
 * them, and has collected them (docs/decisions/0038-what-one-has-collected-all-do.md). True if any
 * goes: then OUT gets what is left, nothing if nothing is. */
bool object_admit(struct slice local, struct slice other, struct slice merged, uint64_t horizon,
                  uint64_t stands, struct buf *out);
/* Does OBJECT hold each sibling of OTHER that is stamped at or below HORIZON? */
bool object_holds_all(struct slice object, struct slice other, uint64_t horizon);
/* Is each version of OTHER stamped at or below HORIZON held by OBJECT, or covered or replaced by
 * what it holds? */
bool object_has_all(struct slice object, struct slice other, uint64_t horizon);

/* Is this sibling dead (tombstone, expired at NOW, or written before the bucket's last drop)? */
bool sibling_dead(const struct sibling *sibling, uint64_t now_hlc, uint32_t drops);

/* The siblings that a reader sees, in ARENA, borrowing from OBJECT: dead ones left out; of versions
 * stamped newest or lww only the highest (hlc, dot); highest hlc first. Returns ERR_NOT_FOUND for
 * an empty object, ERR_DELETED when all that a reader would see is dead, else 0. When the highest
 * version is newest or lww and dead, older ones stay hidden. */
int object_read(struct slice object, uint64_t now_hlc, uint32_t drops, struct arena *arena,
                struct object *ret_object) CHECK_RESULT;

#endif
