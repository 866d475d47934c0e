/* Fallbacks of one request: nodes that stand in for writers, or answer for readers, that cannot be
 * reached (docs/protocol.md, "Hints").
 *
 * One node stands in once a request, and is no member of the record: so what it acknowledges is a
 * copy more. A writer that answers after all counts beside its stand-in, and the slot once. A
 * strict request has no fallbacks. Under a newer record all begin anew, as its writers do: the same
 * version goes to fallbacks of that record, and one that has it already merges it once more. */
#include "core/coord_op.h"
#include "core/fallbacks.h"

#include "base/rule.h"

enum { NO_SLOT = 0xff }; /* Of a get: any of the key's hints will do. */

bool stands_allowed(const struct coord_op *op)
{
    return !op->heals && (!op->request.strict || !RULE(STRICT_COUNTS_NO_FALLBACK));
}

void stands_reset(struct coord_op *op)
{
    op->stands_count = 0;
}

/* In their order: a fallback that coordinates is its own first one. */
static uint32_t candidates(const struct core *core, const struct coord_op *op, struct node_id *ret)
{
    struct node_id found[FALLBACKS_MAX];
    uint32_t found_count = fallbacks(core, op->range, found, FALLBACKS_MAX);
    uint32_t count = 0;
    if (op->fallback && fallback_may_be(core, op_record(core, op), core->self))
        ret[count++] = core->self;
    for (uint32_t i = 0; i < found_count && count < FALLBACKS_MAX; i++)
        if (count == 0 || !id_equal(found[i], ret[0]) || !op->fallback)
            ret[count++] = found[i];
    return count;
}

uint32_t stands_possible(const struct core *core, const struct coord_op *op)
{
    struct node_id nodes[FALLBACKS_MAX];
    return stands_allowed(op) ? candidates(core, op, nodes) : 0;
}

static struct stand *add(struct coord_op *op, struct node_id node, uint8_t slot, uint8_t writer)
{
    if (op->stands == NULL)
        op->stands = mem_zero(FALLBACKS_MAX * sizeof(*op->stands));
    struct stand *stand = &op->stands[op->stands_count++];
    *stand = (struct stand){.node = node, .slot = slot, .writer = writer};
    return stand;
}

static bool is_used(const struct coord_op *op, struct node_id node)
{
    for (uint32_t i = 0; i < op->stands_count; i++)
        if (id_equal(op->stands[i].node, node) &&
            (op->stands[i].refused || RULE(ONE_NODE_COUNTS_ONCE)))
            return true;
    return false;
}

/* The next fallback that was not asked yet; NODE_NONE if there is none. */
static struct node_id next_fallback(const struct core *core, const struct coord_op *op)
{
    struct node_id nodes[FALLBACKS_MAX];
    uint32_t count = candidates(core, op, nodes);
    for (uint32_t i = 0; i < count && op->stands_count < FALLBACKS_MAX; i++)
        if (!is_used(op, nodes[i]))
            return nodes[i];
    return NODE_NONE;
}

/* ------------------------------------------------------------------------------------- Of a put.
 */

/* Whoever stands in for that writer and has not refused. */
static struct stand *find(const struct coord_op *op, uint32_t slot, uint32_t writer)
{
    for (uint32_t i = 0; i < op->stands_count; i++)
        if (op->stands[i].slot == slot && op->stands[i].writer == writer && !op->stands[i].refused)
            return &op->stands[i];
    return NULL;
}

static void send_hint(struct core *core, struct coord_op *op, const struct stand *stand)
{
    uint8_t number = op_record(core, op)->slots[stand->slot].number;
    struct message *message = op_send(core, op, MESSAGE_HINT, stand->node, number);
    message->write.object = buf_slice(&op->object);
    message->write.sync = op->request.dw > 0 || op->bucket.dw > 0;
}

void stands_send(struct core *core, struct coord_op *op)
{
    const struct range_record *record = op_record(core, op);
    if (!stands_allowed(op))
        return;
    uint32_t mine = op->fallback ? put_first_missing(core, op) : 0;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        struct node_id writers[2];
        uint32_t count = slot_writers(&record->slots[i], writers);
        if (record->slots[i].stage == STAGE_LEARN)
            continue;
        /* A slot without a writer has one place that a fallback can take. */
        for (uint32_t k = 0; k < MAX(count, 1u); k++) {
            struct stand *stand = find(op, i, k);
            bool missing = k >= count || (!(op->acked[i] & 1u << k) &&
                                          (op->hedged || !core_is_up(core, writers[k])));
            /* The version is in its hint: it counts, whoever else has answered. */
            bool own = op->fallback && op->stands_count == 0 && i == mine;
            if (stand == NULL && (missing || own)) {
                struct node_id node = next_fallback(core, op);
                stand = id_none(node) ? NULL : add(op, node, (uint8_t)i, (uint8_t)k);
            }
            if (stand != NULL && !stand->acked)
                send_hint(core, op, stand);
        }
    }
}

bool stands_have(const struct coord_op *op, uint32_t slot, uint32_t writer)
{
    const struct stand *stand = find(op, slot, writer);
    return stand != NULL && stand->acked;
}

bool stands_waiting(const struct coord_op *op)
{
    for (uint32_t i = 0; i < op->stands_count; i++)
        if (!op->stands[i].acked && !op->stands[i].refused)
            return true;
    return false;
}

bool stands_reply(struct core *core, struct coord_op *op, struct node_id from,
                  const struct message *message)
{
    const struct range_record *record = op_record(core, op);
    bool of_present = range_epoch_compare(&message->reply.range, record) == 0 &&
                      range_epoch_compare(&op->epoch, record) == 0;
    bool theirs = false;
    bool refused = false;
    for (uint32_t i = 0; i < op->stands_count; i++) {
        struct stand *stand = &op->stands[i];
        if (!id_equal(stand->node, from) || !of_present ||
            record->slots[stand->slot].number != message->reply.slot)
            continue;
        theirs = true;
        stand->acked = stand->acked || message->reply.error == 0;
        refused = !stand->acked && !stand->refused;
        stand->refused = stand->refused || !stand->acked;
    }
    if (refused) {
        /* It has no room, or will not: the slot has one copy less until another takes it. */
        core_signal(core, SIGNAL_DIRTY)->range = op->range;
        stands_send(core, op);
    }
    return theirs;
}

/* ------------------------------------------------------------------------------------- Of a get.
 */

uint32_t stands_ask(struct core *core, struct coord_op *op)
{
    uint32_t asked = 0;
    struct node_id node;
    if (!stands_allowed(op))
        return 0;
    for (uint32_t i = 0; i < op->stands_count; i++)
        if (!op->stands[i].acked && !op->stands[i].refused)
            op_send(core, op, MESSAGE_READ, op->stands[i].node, 0)->write.hinted = true;
    while (!id_none(node = next_fallback(core, op))) {
        add(op, node, NO_SLOT, 0);
        op_send(core, op, MESSAGE_READ, node, 0)->write.hinted = true;
        asked++;
    }
    return asked;
}

bool stands_answer(struct coord_op *op, struct node_id from, const struct message *message,
                   bool *ret_found)
{
    for (uint32_t i = 0; i < op->stands_count; i++) {
        struct stand *stand = &op->stands[i];
        if (!id_equal(stand->node, from))
            continue;
        *ret_found = message->reply.error == 0 && !stand->acked && !stand->refused;
        stand->acked = stand->acked || *ret_found;
        stand->refused = !stand->acked;
        return true;
    }
    return false;
}

uint32_t stands_found(const struct coord_op *op)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < op->stands_count; i++)
        found += op->stands[i].acked;
    return found;
}

/* ------------------------------------------------------------------------------------- Routing. */

enum { REFUSALS_MAX = 2, WAITS_MAX = 4 };

void fallback_refused(struct coord_op *op)
{
    op->refusals = (uint8_t)MIN(op->refusals + 1, UINT8_MAX);
    if (op->state == OP_FORWARDED && op->to_fallback)
        op->tries = (uint8_t)MIN(op->tries + 1, UINT8_MAX);
}

/* Has the entry node waited, and asked readers, long enough? Right after a start the ring and the
 * welcome of a majority are on their way, and mostly come before that. */
static bool no_reader_serves(const struct core *core, const struct coord_op *op,
                             struct node_id reader)
{
    bool mine = record_slot_read_by(op_record(core, op), core->self) != NULL;
    if (!id_none(reader))
        return op->refusals >= REFUSALS_MAX;
    return !mine || op->waits >= WAITS_MAX || op->refusals >= REFUSALS_MAX;
}

/* Under an older record than the one by which it was asked it would count other slots, and under
 * none, right after a start, be content with no copy at all. */
bool fallback_coordinates(const struct core *core, const struct coord_op *op)
{
    const struct range_record *record = op_record(core, op);
    bool known = (record->epoch != 0 && range_epoch_compare(&op->came_with, record) <= 0) ||
                 !RULE(FALLBACK_KNOWS_RECORD);
    return op->asked_as_fallback && known && stands_allowed(op) &&
           fallback_may_be(core, record, core->self);
}

bool fallback_route(struct core *core, struct coord_op *op, struct node_id reader,
                    struct node_id *ret_target)
{
    struct node_id nodes[FALLBACKS_MAX];
    if (op->remote || !stands_allowed(op) || op_record(core, op)->epoch == 0 ||
        !no_reader_serves(core, op, reader))
        return false;
    uint32_t count = fallbacks(core, op->range, nodes, FALLBACKS_MAX);
    /* Full itself? Then the next one. */
    if (op->tries < count && id_equal(nodes[op->tries], core->self) &&
        op->request.method != METHOD_GET && hinted_room(&core->hinted, op->range, 0) < 0)
        op->tries++;
    if (op->tries >= count)
        return false;
    *ret_target = nodes[op->tries];
    return true;
}
