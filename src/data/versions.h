/* The inside of an object: its versions, taken apart so that they can be merged.
 *
 * Only object*.c and context.c use this; everybody else uses object.h. Needs no heap up to
 * VERSIONS_FEW versions. */
#ifndef VERSIONS_H
#define VERSIONS_H

#include "data/history.h"

enum { VERSIONS_FEW = 6 };

/* Stamps beyond this are refused as corrupt, so that "one higher" never wraps around. */
#define STAMP_MAX (UINT64_MAX >> 1)

struct version {
    struct sibling sibling;
    struct slice bytes; /* The whole sibling as it stood in the object; empty for a new one. */
    struct slice tail;  /* Of those, what comes after dot and context; empty for a new one. */
    bool in_a;          /* While merging: the same bytes stand in object A, */
    bool in_b;          /* or in object B. */
};

struct versions {
    struct version *items; /* `few`, or owned. Sorted by dot. */
    uint32_t count;
    uint32_t capacity;
    struct slice history; /* Encoded vector; empty for none. */
    struct version few[VERSIONS_FEW];
};

/* VERSIONS must stay where it is from here on: it points into itself. */
void versions_init(struct versions *versions);
void versions_done(struct versions *versions);
void versions_add(struct versions *versions, const struct version *version);
/* Take BYTES apart, borrowing from them; VERSIONS was initialised. Checks all that can be seen
 * looking at one sibling at a time. 0 or ERR_CORRUPT. */
int versions_parse(struct slice bytes, struct versions *versions) CHECK_RESULT;
/* Most objects are one version without a history: then true, and its dot, stamp and context without
 * taking all of it apart. BYTES were checked. */
bool versions_sole(struct slice bytes, struct stamp *ret_stamp, struct slice *ret_context);

int dot_compare(struct dot a, struct dot b);
/* Order by (hlc, dot): which of two versions counts as the later one. */
int stamp_compare(const struct sibling *a, const struct sibling *b);
/* The version with the highest stamp, NULL if there is none. */
const struct version *versions_latest(const struct versions *versions);
/* Collect (without joining) all contexts and the object's own history. */
void versions_contexts(const struct versions *versions, struct history *history);

/* Append the head of an object of COUNT siblings; HISTORY is joined and may have no entries. */
void versions_write_head(uint32_t count, const struct history *history, struct buf *out);
void version_write(const struct version *version, struct buf *out);
/* What follows dot and context. */
void sibling_write_tail(const struct sibling *sibling, struct buf *out);

/* Is SIBLING a write's second self, which one of VERSIONS overwrote that had seen the first? Only
 * what is stamped later overwrites it so: a put that is not ordered yet must not take with it what
 * hides an older, acknowledged version (docs/decisions/0020-a-write-says-its-first-dot.md). */
bool versions_overwrite(const struct versions *versions, const struct sibling *sibling);

/* Drop from VERSIONS, whose dots are distinct and sorted, all that is obsolete; COVERED is the join
 * of all contexts and histories that take part. Leaves in COVERED what the remaining versions do
 * not cover themselves: the history of the object that they make up. */
void versions_settle(struct versions *versions, struct history *covered);

#endif
