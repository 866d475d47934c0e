/* What the files of the operator share, and nobody else includes. */
#ifndef SIM_ADMIN_OWN_H
#define SIM_ADMIN_OWN_H

#include "base/map.h"
#include "data/plan.h"
#include "sim/admin.h"
#include "sim/host.h"

enum { MS = 1000, ORDERS_MAX = 8, MOVES_MAX = 3 * HOT_RANGES_MAX };

/* A command, through whichever node takes it. */
struct order {
    struct host_call call;
    struct world_event again;
    enum command_type type;
    struct node_id node; /* REMOVE */
    bool accept_loss;
    struct buf name;  /* Owned; of a setting, or REPAIR: of a bucket. */
    struct buf value; /* Owned. */
    uint32_t host;
    bool open;
};

struct admin {
    struct world_event next;
    struct world_event leave; /* The target of a move is told to. */
    int leaves_next;          /* Which host that is. */
    struct node_id favourite; /* Where all moves of a plan go. */
    struct order orders[ORDERS_MAX];
    struct plan_move moves[MOVES_MAX]; /* Of the newest plan made here. */
    uint32_t moves_count;
    bool planned; /* By plan_make, over all ranges. */
    bool paused;
    struct map ordered; /* (range, slot, target) of all plans ever given. */
    bool leaving[HOSTS_MAX];
    bool removed[HOSTS_MAX];
    uint64_t plan_id;
    struct plan plan;      /* Owned: what `plan_bytes` say. */
    struct buf plan_bytes; /* Owned. */
};

uint32_t admin_any_host(struct world *world);

/* admin_plan.c */
/* Set the plan of the moves gathered. */
void admin_order_moves(struct world *world, uint32_t host, enum plan_state state);
/* Gather new slots until RECORD has COPIES, each at a different stranger. */
void admin_add_learns(struct world *world, const struct range_record *record, uint32_t copies);
/* A plan that takes the hot ranges' slots off the nodes that are to leave. */
void admin_plan_leaves(struct world *world);
void admin_leave_late(struct world *world, struct world_event *event);
/* Meddle, and come back later. */
void admin_next(struct world *world, struct world_event *event);

#endif
