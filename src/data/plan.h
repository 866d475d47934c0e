/* The rebalance planner: which slots should move where, in the fewest moves.
 *
 * Pure: a plan depends on its input alone. A plan is stored as the setting `plan`; every node that
 * drives a range (the reader of its lowest slot) carries out the moves of that range, so no single
 * node's death stops it, and a move is done when the ring shows it done. */
#ifndef PLAN_H
#define PLAN_H

#include "data/member.h"
#include "data/ring.h"

enum plan_state { PLAN_RUNNING = 0, PLAN_PAUSED = 1, PLAN_CANCELLED = 2 };

/* Slot SLOT of RANGE goes from FROM (NODE_NONE: a new slot, LEARN) to TO (NODE_NONE: it goes). */
struct plan_move {
    uint32_t range;
    uint8_t slot;
    struct node_id from;
    struct node_id to;
};

struct plan {
    uint64_t id; /* 0: none. */
    enum plan_state state;
    uint64_t rate; /* Bytes per second and source node; 0: as fast as requests bear. */
    uint32_t count;
    struct plan_move *moves; /* Owned; by range, then in the order in which they are made. */
};

enum plan_by { PLAN_BY_COUNT, PLAN_BY_BYTES, PLAN_BY_LOAD };

struct plan_node {
    struct node_id id;
    struct slice zone;
    uint32_t capacity; /* Above 0. */
    bool leaving;      /* Everything moves off it; nothing moves onto it. */
    bool lost;         /* As leaving, but its slots are rebuilt from the others. */
    bool down;         /* It neither gives nor takes. */
};

struct plan_input {
    const struct ring *ring;
    const struct plan_node *nodes; /* That may own ranges. */
    uint32_t nodes_count;
    uint32_t copies;         /* n */
    const uint64_t *weights; /* By range (bytes or operations); NULL for count. */
    bool fewer_copies;       /* A leave may shrink ranges that find no other node. */
    bool leaving_only;   /* Move what nodes leave behind, and nothing else but new slots of ranges
                          * that were forked: what was lost there has no slot any more. */
    bool homeless_wait;  /* What finds no other node stays where it is, and is no refusal. */
    struct node_id heir; /* Who takes all that moves; NODE_NONE: whoever is best. */
};

struct plan_figures {
    uint32_t moves;
    uint32_t learns; /* Of the moves, those that add a slot. */
    uint64_t weight_moved;
    double spread_before; /* Highest load over capacity-weighted mean, minus 1; 0.05 is 5 %. */
    double spread_after;
    uint32_t copies_worst;    /* Fewest full copies of any range meanwhile. */
    uint32_t same_zone_after; /* Ranges with two slots in one zone though more zones exist. */
};

/* Fill RET_PLAN (id 0, running) with the fewest moves to a spread of at most 5 % over the mean (or
 * the nearest that whole ranges allow), distinct nodes always, distinct zones wherever possible.
 * Ranges with a transfer under way count as if it were done and are not moved. A lost node's slots
 * may be fenced already. 0, or ERR_REFUSED
 * when a leaving node has nowhere to go and fewer_copies is false. */
int plan_make(const struct plan_input *input, struct plan *ret_plan,
              struct plan_figures *ret_figures) CHECK_RESULT;
void plan_done(struct plan *plan);
void plan_encode(const struct plan *plan, struct buf *out);
/* Untrusted input: 0 or ERR_CORRUPT. */
int plan_decode(struct slice bytes, struct plan *ret_plan) CHECK_RESULT;
enum plan_fate {
    PLAN_MOVE_OPEN,      /* Still to be made, or under way. */
    PLAN_MOVE_DONE,      /* The slot is its target's, or gone if it was to go. */
    PLAN_MOVE_OVERTAKEN, /* Its source has the slot no more, or its target has another one. */
};
enum plan_fate plan_move_fate(const struct plan_move *move, const struct range_record *record);
/* The first move of RANGE that RING shows open, or NULL. */
const struct plan_move *plan_next_move(const struct plan *plan, const struct ring *ring,
                                       uint32_t range);

#endif
