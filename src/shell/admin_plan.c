/* `plan` and `leave`: what should move, and what it would cost. */
#include "shell/admin_methods.h"

/* For the expected time: what a source sends without a limit, and what a move costs by itself. */
static const uint64_t rate_assumed = 50 * 1000 * 1000;
static const double move_s = 0.02;

/* The answer to `plan` and `leave`. */
struct outline {
    struct plan plan;
    struct plan_figures figures;
    uint64_t bytes;
    uint64_t seconds;
};

static bool weights_read(struct admin_call *call, uint64_t **ret_weights)
{
    *ret_weights = NULL;
    if (!param_given(&call->params, PARAM_WEIGHTS))
        return true;
    uint32_t ranges = ring_ranges(&call->core->ring);
    struct mp_reader reader = mp_reader_of(call->params.texts[PARAM_WEIGHTS]);
    if (mp_read_array(&reader) != ranges)
        return admin_refuse(call, ERR_BAD_REQUEST, "weights must have %u numbers, one a range",
                            ranges);
    uint64_t *weights = mem_alloc(ranges * sizeof(*weights));
    for (uint32_t i = 0; i < ranges; i++)
        weights[i] = mp_read_uint(&reader);
    if (!mp_finished(&reader)) {
        mem_free(weights);
        return admin_refuse(call, ERR_BAD_REQUEST, "weights must be whole numbers from 0");
    }
    *ret_weights = weights;
    return true;
}

/* The members that take part in a plan. One that is down and owns nothing stays out; one that is
 * down and owns slots can neither give nor take, so there is no plan worth making. */
static bool nodes_take(struct admin_call *call, const struct member *leaving,
                       struct plan_node **ret_nodes, uint32_t *ret_count)
{
    const struct core *core = call->core;
    struct plan_node *nodes = mem_zero((core->members.count + 1) * sizeof(*nodes));
    uint32_t count = 0;
    for (uint32_t i = 0; i < core->members.count; i++) {
        const struct member *member = core->members.members[i];
        bool up = core->peer_is_up(core, member->id);
        bool owns = ring_slots_of(&core->ring, member->id) > 0;
        if (!up && owns) {
            admin_refuse(call, ERR_UNAVAILABLE, "%.*s owns slots and is down: start it first",
                         (int)member->name.size, (const char *)member->name.data);
            mem_free(nodes);
            return false;
        }
        if (!owns && (!up || member->status == MEMBER_MAINTENANCE))
            continue;
        nodes[count++] = (struct plan_node){
            .id = member->id,
            .zone = member->zone,
            .capacity = MAX(member->capacity, 1),
            .leaving = member == leaving || member_leaving(core, member->id),
        };
    }
    *ret_nodes = nodes;
    *ret_count = count;
    return true;
}

/* Bytes of one copy of a range when nobody says: the mean over all slots. */
static uint64_t mean_bytes(struct admin_call *call)
{
    const struct core *core = call->core;
    uint32_t cap = core->members.count;
    struct peer_status *peers = mem_zero((cap + 1) * sizeof(*peers));
    uint32_t count = node_peers(call->admin->node, peers, cap);
    struct store_stats stats;
    store_stats(call->admin->store, &stats);
    uint64_t bytes = stats.bytes;
    for (uint32_t i = 0; i < count; i++)
        bytes += peers[i].load.live_bytes;
    mem_free(peers);
    uint64_t slots = 0;
    for (uint32_t range = 0; range < ring_ranges(&core->ring); range++)
        slots += record_counted(ring_get(&core->ring, range));
    return slots == 0 ? 0 : bytes / slots;
}

/* The place of ID among the members, which are sorted; their count if it is none. */
static uint32_t place_of(const struct member_table *table, struct node_id id)
{
    for (uint32_t i = 0; i < table->count; i++) {
        if (id_equal(table->members[i]->id, id))
            return i;
    }
    return table->count;
}

/* Bytes and seconds: the busiest source sends at RATE, the busiest target takes a few at a time. */
static void outline_cost(struct admin_call *call, const uint64_t *weights, struct outline *outline)
{
    const struct core *core = call->core;
    uint64_t rate = call->params.numbers[PARAM_RATE];
    uint64_t mean = weights == NULL ? mean_bytes(call) : 0;
    uint32_t nodes = core->members.count + 1;
    uint64_t *out = mem_zero(nodes * sizeof(*out));
    uint64_t *in = mem_zero(nodes * sizeof(*in));
    for (uint32_t i = 0; i < outline->plan.count; i++) {
        const struct plan_move *move = &outline->plan.moves[i];
        uint64_t bytes = weights != NULL ? weights[move->range] : mean;
        struct node_id source = move->from;
        if (id_none(source))
            source = record_driver(ring_get(&core->ring, move->range));
        out[place_of(&core->members, source)] += bytes;
        in[place_of(&core->members, move->to)]++;
        outline->bytes += bytes;
    }
    double seconds = 0;
    for (uint32_t i = 0; i < nodes; i++) {
        seconds = MAX(seconds, (double)out[i] / (double)(rate == 0 ? rate_assumed : rate));
        seconds = MAX(seconds, (double)in[i] * move_s / INBOUND_MAX);
    }
    outline->seconds = (uint64_t)(seconds + 0.999);
    mem_free(out);
    mem_free(in);
}

static bool by_read(struct admin_call *call, const uint64_t *weights, bool *ret_by_bytes)
{
    struct slice by = call->params.texts[PARAM_BY];
    *ret_by_bytes = slice_equal(by, slice_string("bytes"));
    if (*ret_by_bytes && weights == NULL)
        return admin_refuse(call, ERR_BAD_REQUEST,
                            "by bytes needs weights: the bytes of each range");
    if (by.size > 0 && !*ret_by_bytes && !slice_equal(by, slice_string("count")))
        return admin_refuse(call, ERR_BAD_REQUEST, "by must be count or bytes");
    return true;
}

static bool outline_make(struct admin_call *call, const struct member *leaving,
                         const uint64_t *weights, struct outline *outline)
{
    const struct core *core = call->core;
    bool by_bytes = false;
    struct plan_node *nodes = NULL;
    struct plan_input input = {.ring = &core->ring,
                               .copies = core->cluster.copies,
                               .fewer_copies = call->params.numbers[PARAM_FEWER_COPIES] != 0};
    if (!by_read(call, weights, &by_bytes) ||
        !nodes_take(call, leaving, &nodes, &input.nodes_count))
        return false;
    input.nodes = nodes;
    input.weights = by_bytes ? weights : NULL;
    int error = plan_make(&input, &outline->plan, &outline->figures);
    mem_free(nodes);
    if (error != 0)
        return admin_refuse(call, error,
                            "some slots of the node that leaves find no other node: start another "
                            "node, or leave with fewer copies");
    outline_cost(call, weights, outline);
    return true;
}

static void outline_write(struct admin_call *call, const struct outline *outline)
{
    struct buf *out = call->out;
    const struct plan_figures *figures = &outline->figures;
    mp_write_map(out, 10);
    put_uint(out, "counter", admin_counter(call->core, plan_name()));
    moves_write(out, outline->plan.moves, outline->plan.count);
    put_uint(out, "moves_count", outline->plan.count);
    put_uint(out, "learns", figures->learns);
    put_uint(out, "bytes", outline->bytes);
    put_uint(out, "seconds", outline->seconds);
    put_real(out, "spread_before", figures->spread_before);
    put_real(out, "spread_after", figures->spread_after);
    put_uint(out, "copies_worst", figures->copies_worst);
    put_uint(out, "same_zone_after", figures->same_zone_after);
}

/* Plan with LEAVING (NULL: nobody more than is leaving already) and write the outline. */
static bool outline_answer(struct admin_call *call, const struct member *leaving)
{
    uint64_t *weights = NULL;
    struct outline outline = {0};
    if (!weights_read(call, &weights))
        return false;
    bool made = outline_make(call, leaving, weights, &outline);
    if (made)
        outline_write(call, &outline);
    plan_done(&outline.plan);
    mem_free(weights);
    return made;
}

bool method_plan(struct admin_call *call)
{
    const struct member *leaving = NULL;
    if (!admin_joined(call))
        return false;
    if (param_given(&call->params, PARAM_LEAVE) && !admin_member(call, PARAM_LEAVE, &leaving))
        return false;
    return outline_answer(call, leaving);
}

/* Take back the mark of a node that is leaving. */
static bool leave_cancel(struct admin_call *call, const struct member *member, struct slice name)
{
    if (!member_leaving(call->core, member->id))
        return admin_refuse(call, ERR_REFUSED, "%.*s is not leaving", (int)member->name.size,
                            (const char *)member->name.data);
    mp_write_map(call->out, 1);
    put_id(call->out, "node", member->id);
    if (call->params.numbers[PARAM_DRY_RUN] == 0)
        admin_set(call, name, SLICE_NONE, admin_counter(call->core, name));
    return true;
}

bool method_leave(struct admin_call *call)
{
    const struct core *core = call->core;
    const struct member *member = NULL;
    if (!admin_joined(call) || !admin_member(call, PARAM_NODE, &member))
        return false;
    char text[LEAVE_NAME_SIZE + 1];
    leave_name(member->id, text);
    struct slice name = slice_string(text);
    if (call->params.numbers[PARAM_CANCEL] != 0)
        return leave_cancel(call, member, name);
    if (core->members.count == 1)
        return admin_refuse(call, ERR_REFUSED,
                            "the only member cannot leave: its data would have "
                            "no place");
    struct plan_progress progress;
    plan_progress_load(core, &progress);
    bool made = plan_idle(call, &progress) && outline_answer(call, member);
    plan_progress_done(&progress);
    if (made && call->params.numbers[PARAM_DRY_RUN] == 0)
        admin_set(call, name,
                  slice_string(call->params.numbers[PARAM_FEWER_COPIES] != 0 ? "fewer" : "leave"),
                  admin_counter(core, name));
    return made;
}
