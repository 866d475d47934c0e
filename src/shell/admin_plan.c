/* `plan` and `leave`: what should move, and what it would cost. */
#include "shell/admin_methods.h"

/* For the expected time: what a source sends without a limit, and what a move costs by itself. */
static const uint64_t rate_assumed = 50 * 1000 * 1000;
static const double move_s = 0.02;

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

static bool take_member(struct admin_call *call, const struct outline_nodes *wanted,
                        const struct member *member, struct plan_node *ret_node, bool *ret_taken)
{
    const struct core *core = call->core;
    bool up = core->peer_is_up(core, member->id);
    bool owns = ring_slots_of(&core->ring, member->id) > 0;
    bool lost = wanted->lost && member == wanted->leaving;
    if (!up && owns && !lost && !wanted->rebuild)
        return admin_refuse(call, ERR_UNAVAILABLE,
                            "%.*s owns slots and is down: start it first, or, if it is lost, run "
                            "`kvadmin replace %.*s NEW`",
                            (int)member->name.size, (const char *)member->name.data,
                            (int)member->name.size, (const char *)member->name.data);
    *ret_taken = owns || (up && member->status != MEMBER_MAINTENANCE);
    bool leaving = member == wanted->leaving || member_leaving(core, member->id);
    *ret_node = (struct plan_node){
        .id = member->id,
        .zone = member->zone,
        .capacity = MAX(member->capacity, 1),
        .leaving = wanted->rebuild ? lost : leaving,
        .lost = lost,
        .down = !lost && (!up || (wanted->rebuild && leaving)),
    };
    return true;
}

/* Departed nodes that still own slots, behind the COUNT nodes that are there. */
static void take_departed(const struct core *core, struct plan_node **nodes, uint32_t *count)
{
    uint32_t members = *count;
    for (uint32_t range = 0; range < ring_ranges(&core->ring); range++) {
        const struct range_record *record = ring_get(&core->ring, range);
        for (uint32_t i = 0; i < record->slots_count; i++) {
            struct node_id owner = record->slots[i].owner;
            if (!member_departed(&core->members, owner))
                continue;
            uint32_t at = members;
            while (at < *count && !id_equal((*nodes)[at].id, owner))
                at++;
            if (at < *count)
                continue;
            *nodes = mem_grow(*nodes, (*count + 1) * sizeof(**nodes));
            (*nodes)[(*count)++] =
                (struct plan_node){.id = owner, .capacity = 100, .leaving = true, .lost = true};
        }
    }
}

/* The members that take part in a plan. One that is down and owns nothing stays out; one that is
 * down and owns slots can neither give nor take, so there is no plan worth making, but to rebuild
 * what others have lost. */
static bool nodes_take(struct admin_call *call, const struct outline_nodes *wanted,
                       struct plan_node **ret_nodes, uint32_t *ret_count)
{
    const struct core *core = call->core;
    struct plan_node *nodes = mem_zero((core->members.count + 1) * sizeof(*nodes));
    uint32_t count = 0;
    for (uint32_t i = 0; i < core->members.count; i++) {
        bool taken = false;
        if (!take_member(call, wanted, core->members.members[i], &nodes[count], &taken)) {
            mem_free(nodes);
            return false;
        }
        count += taken;
    }
    take_departed(core, &nodes, &count);
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
    admin_store_stats(call->admin, &stats);
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

static bool is_lost(const struct core *core, const struct outline_nodes *nodes, struct node_id id)
{
    return member_departed(&core->members, id) || (nodes->lost && id_equal(nodes->leaving->id, id));
}

static const struct ring *outline_ring(const struct core *core, const struct outline_nodes *nodes)
{
    return nodes->ring == NULL ? &core->ring : nodes->ring;
}

/* Bytes and seconds: the busiest source sends at RATE, the busiest target takes a few at a time. */
static void outline_cost(struct admin_call *call, const struct outline_nodes *nodes,
                         const uint64_t *weights, struct outline *outline)
{
    const struct core *core = call->core;
    uint64_t rate = call->params.numbers[PARAM_RATE];
    uint64_t mean = weights == NULL ? mean_bytes(call) : 0;
    uint32_t places = core->members.count + 1;
    uint64_t *out = mem_zero(places * sizeof(*out));
    uint64_t *in = mem_zero(places * sizeof(*in));
    for (uint32_t i = 0; i < outline->plan.count; i++) {
        const struct plan_move *move = &outline->plan.moves[i];
        const struct range_record *record = ring_get(outline_ring(core, nodes), move->range);
        uint64_t bytes = id_none(move->to) ? 0 : weights != NULL ? weights[move->range] : mean;
        struct node_id source = move->from;
        if (is_lost(core, nodes, source))
            bytes *= record_sources(record);
        if (id_none(source) || is_lost(core, nodes, source))
            source = record_driver(record);
        out[place_of(&core->members, source)] += bytes;
        in[place_of(&core->members, move->to)]++;
        outline->bytes += bytes;
    }
    double seconds = 0;
    for (uint32_t i = 0; i < places; i++) {
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

static bool plan_with(struct admin_call *call, const struct outline_nodes *wanted,
                      const uint64_t *weights, struct outline *outline)
{
    const struct core *core = call->core;
    bool by_bytes = false;
    struct plan_node *nodes = NULL;
    struct plan_input input = {.ring = outline_ring(core, wanted),
                               .copies = core->cluster.copies,
                               .leaving_only = wanted->rebuild,
                               .heir = wanted->heir,
                               .fewer_copies = call->params.numbers[PARAM_FEWER_COPIES] != 0,
                               .homeless_wait = call->params.numbers[PARAM_ACCEPT_LOSS] != 0};
    if (!by_read(call, weights, &by_bytes) || !nodes_take(call, wanted, &nodes, &input.nodes_count))
        return false;
    input.nodes = nodes;
    input.weights = by_bytes ? weights : NULL;
    int error = plan_make(&input, &outline->plan, &outline->figures);
    mem_free(nodes);
    if (error != 0)
        return admin_refuse(call, error,
                            "some slots of the node that %s find no other node: start another "
                            "node, or %s with fewer copies",
                            wanted->rebuild ? "is lost" : "leaves",
                            wanted->rebuild ? "go on" : "leave");
    outline_cost(call, wanted, weights, outline);
    return true;
}

bool outline_make(struct admin_call *call, const struct outline_nodes *nodes,
                  struct outline *ret_outline)
{
    uint64_t *weights = NULL;
    *ret_outline = (struct outline){0};
    bool made = weights_read(call, &weights) && plan_with(call, nodes, weights, ret_outline);
    mem_free(weights);
    return made;
}

void outline_write(struct admin_call *call, const struct outline *outline)
{
    struct buf *out = call->out;
    const struct plan_figures *figures = &outline->figures;
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

static bool outline_answer(struct admin_call *call, const struct outline_nodes *nodes)
{
    struct outline outline;
    bool made = outline_make(call, nodes, &outline);
    if (made) {
        mp_write_map(call->out, OUTLINE_FIELDS);
        outline_write(call, &outline);
    }
    plan_done(&outline.plan);
    return made;
}

bool method_plan(struct admin_call *call)
{
    struct outline_nodes nodes = {.rebuild = call->params.numbers[PARAM_REBUILD] != 0};
    const struct member *onto = NULL;
    if (!admin_joined(call))
        return false;
    if (param_given(&call->params, PARAM_LEAVE) && !admin_member(call, PARAM_LEAVE, &nodes.leaving))
        return false;
    if (param_given(&call->params, PARAM_ONTO) && !admin_member(call, PARAM_ONTO, &onto))
        return false;
    nodes.heir = onto == NULL ? NODE_NONE : onto->id;
    return outline_answer(call, &nodes);
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
    bool made = plan_idle(call, &progress) &&
                outline_answer(call, &(struct outline_nodes){.leaving = member});
    plan_progress_done(&progress);
    if (made && call->params.numbers[PARAM_DRY_RUN] == 0)
        admin_set(call, name,
                  slice_string(call->params.numbers[PARAM_FEWER_COPIES] != 0 ? "fewer" : "leave"),
                  admin_counter(core, name));
    return made;
}
