/* `remove`: a node is no member any more, whether it runs or not, and its slots are to be rebuilt
 * from the other copies. Refused where too few of those can be reached: a departure is for ever.
 * With `accept_loss` ranges that can never have a majority again are forked (data/fork.h), and
 * ranges that can, once a node that is down comes back or is removed too, wait for that. */
#include "shell/admin_methods.h"

#include <stdio.h>

#include "base/checksum.h"
#include "core/accept.h"
#include "data/fork.h"

/* Ranges for people: "0-12, 40, 51-53", cut off after a while. */
static void ranges_text(const bool *marked, uint32_t ranges, struct buf *out)
{
    uint32_t left = 0;
    for (uint32_t first = 0; first < ranges; first++) {
        if (!marked[first])
            continue;
        uint32_t last = first;
        while (last + 1 < ranges && marked[last + 1])
            last++;
        if (out->size > 200)
            left += last - first + 1;
        else if (last == first)
            buf_printf(out, "%s%u", out->size > 0 ? ", " : "", first);
        else
            buf_printf(out, "%s%u-%u", out->size > 0 ? ", " : "", first, last);
        first = last;
    }
    if (left > 0)
        buf_printf(out, " and %u more", left);
}

enum { LOSS_TEXT = 17 }; /* 16 hex digits. */

/* What the ranges of the node that goes are like. */
struct verdicts {
    bool *concerned; /* Owned; by range: the node owns a slot, or is about to. */
    bool *stuck;     /* Owned; too few other copies are up. */
    bool *taken;     /* Owned; the heir has a slot of it already. */
    uint32_t concerned_count, stuck_count, taken_count;
    /* With the loss accepted: */
    bool *forked;  /* Owned; the majority is lost for good. */
    bool *emptied; /* Owned; and every copy with it. */
    bool *waiting; /* Owned; the majority is lost unless somebody comes back. */
    uint32_t forked_count, emptied_count, waiting_count;
    char loss[LOSS_TEXT]; /* Names what is lost, so that nobody accepts what was not shown. */
    struct ring ring;     /* As it will be. */
};

static void verdicts_done(struct verdicts *verdicts)
{
    mem_free(verdicts->concerned);
    mem_free(verdicts->stuck);
    mem_free(verdicts->taken);
    mem_free(verdicts->forked);
    mem_free(verdicts->emptied);
    mem_free(verdicts->waiting);
    if (verdicts->ring.records != NULL)
        ring_done(&verdicts->ring);
}

/* Other slots of RECORD whose readers are up. Half of the slots and one more are needed of them: a
 * majority to vote without the node, and as many to rebuild its slot from. A slot in LEARN may
 * count at any moment. */
static bool is_stuck(const struct core *core, const struct range_record *record,
                     struct node_id node)
{
    uint32_t up = 0;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        struct node_id reader = slot_reader(slot);
        bool its = id_equal(slot->owner, node) || id_equal(slot->target, node);
        up += !its && !id_none(reader) && core_is_up(core, reader);
    }
    return up < record->slots_count / 2u + 1;
}

static void judge(const struct core *core, struct node_id node, struct node_id heir,
                  struct verdicts *verdicts)
{
    uint32_t ranges = ring_ranges(&core->ring);
    verdicts->concerned = mem_zero(ranges * sizeof(bool));
    verdicts->stuck = mem_zero(ranges * sizeof(bool));
    verdicts->taken = mem_zero(ranges * sizeof(bool));
    for (uint32_t range = 0; range < ranges; range++) {
        const struct range_record *record = ring_get(&core->ring, range);
        if (!record_has_member(record, node))
            continue;
        verdicts->concerned[range] = true;
        verdicts->stuck[range] = is_stuck(core, record, node);
        verdicts->taken[range] = record_has_member(record, heir);
        verdicts->concerned_count++;
        verdicts->stuck_count += verdicts->stuck[range];
        verdicts->taken_count += verdicts->taken[range];
    }
}

/* What an accepted loss of NODE makes of the ring. */
static void judge_loss(const struct core *core, struct node_id node, struct verdicts *verdicts)
{
    const struct lost_nodes lost = {&core->members, node};
    uint32_t ranges = ring_ranges(&core->ring);
    verdicts->forked = mem_zero(ranges * sizeof(bool));
    verdicts->emptied = mem_zero(ranges * sizeof(bool));
    verdicts->waiting = mem_zero(ranges * sizeof(bool));
    ring_init(&verdicts->ring, core->ring.bits);
    for (uint32_t range = 0; range < ranges; range++)
        if (ring_get(&core->ring, range)->epoch > 0)
            ring_merge(&verdicts->ring, ring_get(&core->ring, range));
    struct prng prng; /* Nonces of a preview are nobody's. */
    prng_init(&prng, 1);
    struct range_record *forks = NULL;
    uint32_t count = accept_forks(core, node, &prng, &forks);
    uint64_t loss = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t range = forks[i].range;
        bool emptied = fork_survivors(ring_get(&core->ring, range), &lost) == 0;
        verdicts->forked[range] = true;
        verdicts->emptied[range] = emptied;
        verdicts->emptied_count += emptied;
        loss = checksum_pair(loss, 2 * (uint64_t)range + emptied);
        ring_merge(&verdicts->ring, &forks[i]);
    }
    verdicts->forked_count = count;
    (void)snprintf(verdicts->loss, sizeof(verdicts->loss), "%016llx", (unsigned long long)loss);
    mem_free(forks);
    for (uint32_t range = 0; range < ranges; range++) {
        verdicts->waiting[range] = verdicts->stuck[range] && !verdicts->forked[range];
        verdicts->waiting_count += verdicts->waiting[range];
    }
}

uint32_t loss_unaccepted(const struct core *core, char ret_node[NODE_ID_TEXT])
{
    const struct lost_nodes lost = {&core->members, NODE_NONE};
    uint32_t found = 0;
    for (uint32_t range = 0; range < ring_ranges(&core->ring); range++) {
        const struct range_record *record = ring_get(&core->ring, range);
        if (core->members.departures_count == 0 || !fork_needed(record, &lost))
            continue;
        for (uint32_t i = 0; i < record->slots_count; i++)
            if (member_departed(&core->members, record->slots[i].owner))
                id_format(record->slots[i].owner, ret_node);
        found++;
    }
    return found;
}

static bool refuse_ranges(struct admin_call *call, int error, const bool *marked, uint32_t count,
                          const char *what)
{
    struct buf text = {0};
    ranges_text(marked, ring_ranges(&call->core->ring), &text);
    admin_refuse(call, error, "%u range%s (%.*s) %s", count, count == 1 ? "" : "s", (int)text.size,
                 (const char *)text.data, what);
    buf_done(&text);
    return false;
}

/* May MEMBER be given up, and HEIR (NULL: anybody) take what it had? */
static bool check(struct admin_call *call, const struct member *member, const struct member *heir,
                  const struct verdicts *verdicts)
{
    const struct core *core = call->core;
    int size = (int)member->name.size;
    const char *name = (const char *)member->name.data;
    bool forced = call->params.numbers[PARAM_EVEN_IF_ALIVE] != 0;
    if (id_equal(member->id, core->self))
        return admin_refuse(call, ERR_REFUSED,
                            "%.*s is the node that was asked: ask another one (-n HOST:PORT)", size,
                            name);
    if (member_leaving(core, core->self))
        return admin_refuse(call, ERR_REFUSED,
                            "the node that was asked is leaving the cluster itself: ask another "
                            "one (-n HOST:PORT)");
    if (core->peer_is_up(core, member->id) && !forced)
        return admin_refuse(call, ERR_REFUSED,
                            "%.*s answers: use `kvadmin leave %.*s`, which moves its data first, "
                            "or pass --even-if-alive",
                            size, name, size, name);
    if (heir != NULL && (heir == member || !core_is_up(core, heir->id) ||
                         heir->status == MEMBER_MAINTENANCE || member_leaving(core, heir->id)))
        return admin_refuse(call, ERR_REFUSED, "%.*s cannot take its place: it is %s",
                            (int)heir->name.size, (const char *)heir->name.data,
                            heir == member               ? "the same node"
                            : core_is_up(core, heir->id) ? "leaving or stopping"
                                                         : "down");
    bool accepted = call->params.numbers[PARAM_ACCEPT_LOSS] != 0;
    if (accepted && verdicts->forked_count == 0 && member_departed(&core->members, member->id))
        return admin_refuse(call, ERR_REFUSED,
                            "%.*s was removed before, and no range lacks a majority for good: "
                            "nothing is left to accept",
                            size, name);
    if (accepted && verdicts->stuck_count == 0 && verdicts->forked_count == 0)
        return admin_refuse(call, ERR_REFUSED,
                            "no range loses its majority with %.*s, and nothing need be lost: "
                            "leave --accept-loss out",
                            size, name);
    if (accepted && param_given(&call->params, PARAM_LOSS) &&
        !slice_equal(call->params.texts[PARAM_LOSS], slice_string(verdicts->loss)))
        return admin_refuse(call, ERR_REFUSED,
                            "what would be lost with %.*s is not what was shown, because another "
                            "node was removed meanwhile, or this one had not heard of it: give the "
                            "command again and look at it anew; nothing was changed",
                            size, name);
    if (!accepted && verdicts->stuck_count > 0)
        return refuse_ranges(call, ERR_UNAVAILABLE, verdicts->stuck, verdicts->stuck_count,
                             "would be left without a majority of their copies up: start what "
                             "else is down first, or, if that is lost for good too, see "
                             "--accept-loss");
    if (heir != NULL && verdicts->taken_count > 0)
        return refuse_ranges(call, ERR_REFUSED, verdicts->taken, verdicts->taken_count,
                             "have a copy at the new node already: use `kvadmin remove`, which "
                             "spreads what is lost, or a node that owns nothing");
    return true;
}

static void put_ranges(struct admin_call *call, const char *count_key, const char *list_key,
                       const bool *marked, uint32_t count)
{
    struct buf text = {0};
    ranges_text(marked, ring_ranges(&call->core->ring), &text);
    put_uint(call->out, count_key, count);
    put_slice(call->out, list_key, buf_slice(&text));
    buf_done(&text);
}

/* Members whose return the ranges that wait are waiting for. */
static void put_awaited(struct admin_call *call, const struct verdicts *verdicts,
                        struct node_id node)
{
    const struct core *core = call->core;
    struct buf names = {0};
    for (uint32_t i = 0; i < core->members.count; i++) {
        const struct member *member = core->members.members[i];
        bool awaited = false;
        for (uint32_t range = 0; range < ring_ranges(&core->ring) && !awaited; range++)
            awaited = verdicts->waiting[range] &&
                      record_slot_read_by(ring_get(&core->ring, range), member->id) != NULL;
        if (!awaited || core_is_up(core, member->id) || id_equal(member->id, node))
            continue;
        buf_printf(&names, "%s%.*s", names.size > 0 ? ", " : "", (int)member->name.size,
                   (const char *)member->name.data);
    }
    put_slice(call->out, "awaited", buf_slice(&names));
    buf_done(&names);
}

enum { LOSS_FIELDS = 8 };

static void loss_write(struct admin_call *call, const struct verdicts *verdicts,
                       struct node_id node)
{
    put_ranges(call, "forked", "forked_list", verdicts->forked, verdicts->forked_count);
    put_ranges(call, "emptied", "emptied_list", verdicts->emptied, verdicts->emptied_count);
    put_ranges(call, "waiting", "waiting_list", verdicts->waiting, verdicts->waiting_count);
    put_awaited(call, verdicts, node);
    put_text(call->out, "loss", verdicts->loss);
}

static void answer(struct admin_call *call, const struct member *member,
                   const struct outline *outline, const struct verdicts *verdicts)
{
    bool accepted = call->params.numbers[PARAM_ACCEPT_LOSS] != 0;
    mp_write_map(call->out, OUTLINE_FIELDS + 3 + (accepted ? LOSS_FIELDS : 0));
    outline_write(call, outline);
    put_id(call->out, "node", member->id);
    put_ranges(call, "ranges_below", "ranges_below_list", verdicts->concerned,
               verdicts->concerned_count);
    if (accepted)
        loss_write(call, verdicts, member->id);
    if (call->params.numbers[PARAM_DRY_RUN] != 0)
        return;
    call->reply->outcome = ADMIN_COMMAND;
    call->reply->command =
        (struct command){.type = COMMAND_REMOVE, .node = member->id, .accept_loss = accepted};
}

/* A node that has departed already, by the first digits of its id: what is lost with it can be
 * accepted yet. Whoever removed it may not have known then that it was the last of a majority. */
static bool is_departed(const struct admin_call *call, char text[NODE_ID_TEXT],
                        struct member *ret_member)
{
    enum { DIGITS_MIN = 8 };
    struct slice name = call->params.texts[PARAM_NODE];
    const struct member_table *members = &call->core->members;
    if (call->params.numbers[PARAM_ACCEPT_LOSS] == 0 || name.size < DIGITS_MIN ||
        name.size >= NODE_ID_TEXT)
        return false;
    for (uint32_t i = 0; i < members->departures_count; i++) {
        id_format(members->departures[i].id, text);
        if (!slice_equal(slice_of(text, name.size), name))
            continue;
        *ret_member =
            (struct member){.id = members->departures[i].id, .name = slice_of(text, DIGITS_MIN)};
        return true;
    }
    return false;
}

bool method_remove(struct admin_call *call)
{
    const struct core *core = call->core;
    char text[NODE_ID_TEXT];
    struct member departed;
    const struct member *member = &departed;
    const struct member *heir = NULL;
    if (!admin_joined(call) ||
        (!is_departed(call, text, &departed) && !admin_member(call, PARAM_NODE, &member)) ||
        (param_given(&call->params, PARAM_ONTO) && !admin_member(call, PARAM_ONTO, &heir)))
        return false;
    struct node_id onto = heir == NULL ? NODE_NONE : heir->id;
    struct verdicts verdicts = {0};
    struct outline outline = {0};
    struct plan_progress progress;
    plan_progress_load(core, &progress);
    judge(core, member->id, onto, &verdicts);
    /* A plan whose moves wait for a majority that is lost would never be over. */
    bool accepted = call->params.numbers[PARAM_ACCEPT_LOSS] != 0;
    if (accepted)
        judge_loss(core, member->id, &verdicts);
    bool made = check(call, member, heir, &verdicts) && (accepted || plan_idle(call, &progress)) &&
                outline_make(call,
                             &(struct outline_nodes){.leaving = member,
                                                     .lost = true,
                                                     .rebuild = true,
                                                     .heir = onto,
                                                     .ring = accepted ? &verdicts.ring : NULL},
                             &outline);
    if (made)
        answer(call, member, &outline, &verdicts);
    plan_done(&outline.plan);
    plan_progress_done(&progress);
    verdicts_done(&verdicts);
    return made;
}
