/* The inside of the planner: who holds which slot now, who is to, and how much each should hold.
 *
 * Only plan*.c and layout*.c use this; everybody else uses plan.h. Nodes are numbered in the order
 * of their ids, so that a plan does not depend on the order in which they are given. */
#ifndef LAYOUT_H
#define LAYOUT_H

#include "data/plan.h"

enum {
    NODE_FOREIGN = -1, /* A node that the planner was not given, or nobody. */
    NODE_DROPPED = -2, /* The slot goes. */
};

/* One slot. */
struct seat {
    int32_t from;  /* Who has it now, NODE_FOREIGN for a new slot. */
    int32_t owner; /* Who has it in the plan so far. */
    uint8_t number;
    bool learned; /* A new slot. */
};

struct seating {
    uint8_t count;
    bool fixed; /* A transfer is under way or nothing is known: left alone. */
    struct seat seats[SLOTS_MAX];
};

struct layout_node {
    const struct plan_node *node; /* Borrowed from the input. */
    uint32_t zone;
    uint64_t load;  /* Weight of its slots in the plan so far. */
    double target;  /* What it should hold, as whole ranges, zones and capacities allow. */
    double low;     /* Content from here, */
    double high;    /* up to here. */
    uint32_t leads; /* Ranges of which it has the lowest slot, in the plan so far. */
    double leads_target;
};

struct layout {
    const struct plan_input *input; /* Borrowed. */
    uint32_t ranges;
    uint32_t copies;  /* Slots that a range should have: fewer than asked for with too few nodes. */
    uint32_t staying; /* Nodes that are not leaving. */
    uint32_t zones;   /* Zones in which a node stays. */
    bool uniform;     /* All ranges weigh the same. */
    uint64_t *weights;         /* Owned; by range. */
    struct seating *seatings;  /* Owned; by range. */
    struct layout_node *nodes; /* Owned; by id. */
    uint32_t nodes_count;
};

void layout_init(struct layout *layout, const struct plan_input *input);
void layout_done(struct layout *layout);

/* Is NODE the owner of a slot of RANGE, now or in the plan so far? Such a node takes no other slot
 * of it, so that the moves of a range may be made in any order. */
bool layout_holds(const struct layout *layout, uint32_t range, int32_t node);
/* How many zones the slots of RANGE lie in, were SEAT (NULL: none) at NODE. Slots that nodes leave
 * behind do not count. */
uint32_t layout_zones(const struct layout *layout, uint32_t range, const struct seat *seat,
                      int32_t node);
/* Zones that RANGE lacks: 0 when as many zones as can be are used. */
uint32_t layout_zones_missing(const struct layout *layout, uint32_t range);
/* Give SEAT of RANGE to NODE and keep the books. */
void layout_give(struct layout *layout, uint32_t range, struct seat *seat, int32_t node);
/* Add a slot with the lowest free number at NODE. */
void layout_add(struct layout *layout, uint32_t range, int32_t node);
/* The seat with the lowest number of those that stay, NULL if there is none. */
struct seat *layout_lead(const struct layout *layout, uint32_t range);
/* Highest load over the capacity-weighted mean, minus 1. WITH_LEAVING counts nodes that leave. */
double layout_spread(const struct layout *layout, bool with_leaving);

/* Fill in target, low and high of every node (layout_target.c). */
void layout_set_targets(struct layout *layout);
/* Move slots until every node is between low and high, or no move helps (layout_balance.c). */
void layout_balance(struct layout *layout);

#endif
