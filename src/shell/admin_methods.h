/* Inside the cluster methods: decoded parameters, answers, and one function for each method.
 *
 * admin.c decodes and dispatches; the other admin_*.c hold the methods by subject. A method fills
 * reply->result, or calls admin_refuse; it changes nothing itself. */
#ifndef ADMIN_METHODS_H
#define ADMIN_METHODS_H

#include "base/error.h"
#include "core/buckets.h"
#include "shell/admin.h"
#include "wire/mp.h"

/* Every parameter of any cluster method; admin.c has their names and types. */
enum param {
    PARAM_FROM,
    PARAM_TO,
    PARAM_COUNT,
    PARAM_BY,
    PARAM_WEIGHTS,
    PARAM_LEAVE,
    PARAM_FEWER_COPIES,
    PARAM_RATE,
    PARAM_MOVES,
    PARAM_COUNTER,
    PARAM_RANGE,
    PARAM_SLOT,
    PARAM_NODE,
    PARAM_CANCEL,
    PARAM_DRY_RUN,
    PARAM_NAME,
    PARAM_POLICY,
    PARAM_R,
    PARAM_W,
    PARAM_DW,
    PARAM_TTL_MS,
    PARAM_LOG_MODE,
    PARAM_ONTO,
    PARAM_EVEN_IF_ALIVE,
    PARAM_REBUILD,
    PARAM_BUCKET,
    PARAM_ACCEPT_LOSS,
    PARAM_LOSS,
};
enum { PARAMS_MAX = PARAM_LOSS + 1 };
#define PARAM_BIT(param) (1u << (param))

struct params {
    uint32_t given;                 /* PARAM_BIT of those that are there. */
    uint64_t numbers[PARAMS_MAX];   /* Numbers, flags (0, 1) and consistencies (core/request.h). */
    struct slice texts[PARAMS_MAX]; /* Strings; of arrays their MessagePack. */
};

static inline bool param_given(const struct params *params, enum param param)
{
    return (params->given & PARAM_BIT(param)) != 0;
}

/* One call being answered. */
struct admin_call {
    const struct admin *admin;
    const struct core *core;
    struct params params;
    struct admin_reply *reply;
    struct buf *out; /* The reply's result. */
};

/* Answer ERROR with one sentence. Always returns false, for `return admin_refuse(...)`. */
bool admin_refuse(struct admin_call *call, int error, const char *format, ...) PRINTF_LIKE(3, 4);
/* The node that parameter PARAM names, or false after refusing with the names that exist. */
bool admin_member(struct admin_call *call, enum param param, const struct member **ret_member);
/* The bucket of that name, or false after refusing. */
bool admin_bucket(struct admin_call *call, struct slice name, struct bucket *ret_bucket);
/* Refuse unless this node has joined a cluster. */
bool admin_joined(struct admin_call *call);
/* Make the reply a command that sets NAME to VALUE (empty: deletes it) if its counter still is
 * COUNTER. Both are copied. */
void admin_set(struct admin_call *call, struct slice name, struct slice value, uint64_t counter);
/* The counter of a setting, 0 if there never was one. */
uint64_t admin_counter(const struct core *core, struct slice name);

/* Write `key: value` of a result's map. */
void put_uint(struct buf *out, const char *key, uint64_t value);
void put_bool(struct buf *out, const char *key, bool value);
void put_real(struct buf *out, const char *key, double value);
void put_text(struct buf *out, const char *key, const char *value);
void put_slice(struct buf *out, const char *key, struct slice value);
/* 32 hex digits, or nil for none. */
void put_id(struct buf *out, const char *key, struct node_id id);
void put_hex(struct buf *out, const char *key, uint64_t value);
void write_id(struct buf *out, struct node_id id);
/* The name of a member, or the first 8 digits of an id that is none. */
struct slice admin_name(const struct core *core, struct node_id id, char text[NODE_ID_TEXT]);
const char *admin_state_name(enum node_state state);
/* Members in order of their names; the caller frees the array with mem_free. */
const struct member **admin_members_sorted(const struct core *core);
bool member_leaving(const struct core *core, struct node_id id);
/* `leave/` and the node's id. */
enum { LEAVE_NAME_SIZE = 6 + 32 };
void leave_name(struct node_id id, char ret_name[LEAVE_NAME_SIZE + 1]);

/* How far the plan of this cluster has come. */
struct plan_progress {
    struct plan plan; /* Owned; id 0: there is none. */
    uint64_t counter;
    uint32_t done;
    uint32_t moving; /* Ranges of the plan with a transfer on its way. */
};
void plan_progress_load(const struct core *core, struct plan_progress *ret_progress);
void plan_progress_done(struct plan_progress *progress);
/* Moves that are left and will be made: 0 when all is done or the plan was cancelled. */
uint32_t plan_progress_left(const struct plan_progress *progress);
/* The name of the setting that holds the plan. */
struct slice plan_name(void);
/* Refuse while a plan has moves left. */
bool plan_idle(struct admin_call *call, const struct plan_progress *progress);
/* Write `moves: [[range, slot, from, to], ...]`. */
void moves_write(struct buf *out, const struct plan_move *moves, uint32_t count);
/* Write `horizon: {...}`. */
void horizon_write(struct admin_call *call);
/* Write `store: {...}` and `repair: {...}`. */
void health_write(struct admin_call *call);
/* What is to be said of this node's store, and what is to be done about it. */
void health_judge(const struct admin_call *call, struct buf *reasons, uint32_t *reasons_count,
                  struct buf *advice, uint32_t *advice_count);
/* Append a string to LIST, which has *COUNT. */
void admin_say(struct buf *list, uint32_t *count, const char *format, ...) PRINTF_LIKE(3, 4);
/* Writes the map, without a key. */
void plan_progress_write(struct buf *out, const struct plan_progress *progress);

/* What should move, and what it would cost: the answer to `plan`, `leave` and `remove`. */
struct outline {
    struct plan plan; /* Owned. */
    struct plan_figures figures;
    uint64_t bytes;
    uint64_t seconds;
};
/* Of whom a plan is made. */
struct outline_nodes {
    const struct member *leaving; /* NULL: nobody more than is leaving already. */
    bool lost;                    /* LEAVING is lost, or is to be given up for lost. */
    bool rebuild;                 /* Only the slots of lost nodes move. */
    struct node_id heir;          /* To this node. */
    const struct ring *ring;      /* As it will be; NULL: as it is. */
};
/* False after refusing. The caller ends the outline with plan_done(&outline->plan) in any case. */
bool outline_make(struct admin_call *call, const struct outline_nodes *nodes,
                  struct outline *ret_outline);
/* Ranges whose majority is lost with nodes that were removed already, each without that; one of
 * those nodes. */
uint32_t loss_unaccepted(const struct core *core, char ret_node[NODE_ID_TEXT]);
/* Ten fields of a map. */
enum { OUTLINE_FIELDS = 10 };
void outline_write(struct admin_call *call, const struct outline *outline);

/* The methods: true when done, false after admin_refuse. */
bool method_status(struct admin_call *call);
bool method_members(struct admin_call *call);
bool method_ring(struct admin_call *call);
bool method_gossip(struct admin_call *call);
bool method_transfers(struct admin_call *call);
bool method_ranges(struct admin_call *call);
bool method_hints(struct admin_call *call);
bool method_stats(struct admin_call *call);
bool method_verify(struct admin_call *call);
bool method_repair(struct admin_call *call);
bool method_drain(struct admin_call *call);
bool method_plan(struct admin_call *call);
bool method_apply(struct admin_call *call);
bool method_pause(struct admin_call *call);
bool method_resume(struct admin_call *call);
bool method_cancel(struct admin_call *call);
bool method_move(struct admin_call *call);
bool method_leave(struct admin_call *call);
bool method_remove(struct admin_call *call);
bool method_bucket_create(struct admin_call *call);
bool method_bucket_set(struct admin_call *call);
bool method_bucket_drop(struct admin_call *call);
bool method_bucket_list(struct admin_call *call);
bool method_bucket_describe(struct admin_call *call);

/* admin_views.c: of the whole node. */
struct admin_hinted {
    uint64_t keys, bytes, bytes_max, bad;
    bool counted;
};
void admin_store_stats(const struct admin *admin, struct store_stats *ret_stats);
/* Holes that are never filled in: there is no other copy. */
uint32_t admin_holes_alone(const struct admin *admin);
void admin_repair(const struct admin *admin, struct repair_status *ret_status);
struct node_counters admin_counters(const struct admin *admin);
struct admin_hinted admin_hinted(const struct admin *admin);
uint32_t admin_hints(const struct admin *admin, struct hint_target *ret, uint32_t cap);
uint32_t admin_transfers(const struct admin *admin, struct transfer_status *ret, uint32_t cap);
struct range_stat admin_range_stat(const struct admin *admin, uint32_t range);

#endif
