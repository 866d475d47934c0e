/* Plans as they are stored, and which move of a range comes next.
 *
 *   plan = format u8, id u64, state u8, rate u64, node count, node ids (rising), move count, moves
 *   move = ranges since the move before, slot u8, from, to
 *
 * Numbers without a width are varints; from and to count the nodes from 1, and 0 is none. So a plan
 * that moves every slot of 65,536 ranges stays below the bound of a setting. */
#include "data/plan.h"

#include "base/error.h"

#include <stdlib.h>

enum { PLAN_FORMAT = 1, MOVE_SIZE_MIN = 4, NODE_SIZE = 16 };

void plan_done(struct plan *plan)
{
    mem_free(plan->moves);
    *plan = (struct plan){0};
}

static int id_order(const void *a, const void *b)
{
    return id_compare(*(const struct node_id *)a, *(const struct node_id *)b);
}

/* The distinct nodes of PLAN, sorted; the caller frees them. */
static struct node_id *plan_nodes(const struct plan *plan, uint32_t *ret_count)
{
    struct node_id *nodes = mem_alloc(2 * (size_t)plan->count * sizeof(*nodes));
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct node_id ends[2] = {plan->moves[i].from, plan->moves[i].to};
        for (uint32_t j = 0; j < 2; j++)
            if (!id_none(ends[j]))
                nodes[count++] = ends[j];
    }
    qsort(nodes, count, sizeof(*nodes), id_order);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++)
        if (kept == 0 || !id_equal(nodes[kept - 1], nodes[i]))
            nodes[kept++] = nodes[i];
    *ret_count = kept;
    return nodes;
}

static uint64_t node_number(const struct node_id *nodes, uint32_t count, struct node_id id)
{
    if (id_none(id))
        return 0;
    const struct node_id *found = bsearch(&id, nodes, count, sizeof(*nodes), id_order);
    return (uint64_t)(found - nodes) + 1;
}

void plan_encode(const struct plan *plan, struct buf *out)
{
    uint32_t count;
    struct node_id *nodes = plan_nodes(plan, &count);
    write_u8(out, PLAN_FORMAT);
    write_u64(out, plan->id);
    write_u8(out, (uint8_t)plan->state);
    write_u64(out, plan->rate);
    write_varint(out, count);
    for (uint32_t i = 0; i < count; i++)
        id_write(out, nodes[i]);
    write_varint(out, plan->count);
    uint32_t before = 0;
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct plan_move *move = &plan->moves[i];
        ASSERT(move->range >= before);
        write_varint(out, move->range - before);
        write_u8(out, move->slot);
        write_varint(out, node_number(nodes, count, move->from));
        write_varint(out, node_number(nodes, count, move->to));
        before = move->range;
    }
    mem_free(nodes);
}

static bool nodes_rise(struct slice nodes, uint64_t count)
{
    struct reader reader = reader_of(nodes);
    struct node_id before = NODE_NONE;
    for (uint64_t i = 0; i < count; i++) {
        struct node_id id = id_read(&reader);
        if (id_compare(before, id) >= 0)
            return false;
        before = id;
    }
    return true;
}

/* The node of that number out of the encoded NODES. */
static struct node_id node_numbered(struct slice nodes, uint64_t number)
{
    if (number == 0)
        return NODE_NONE;
    struct reader reader =
        reader_of(slice_of(nodes.data + (size_t)(number - 1) * NODE_SIZE, (size_t)NODE_SIZE));
    return id_read(&reader);
}

static void decode_move(struct reader *reader, struct slice nodes, uint32_t before,
                        struct plan_move *ret_move)
{
    uint64_t step = read_varint(reader);
    uint8_t slot = read_u8(reader);
    uint64_t from = read_varint(reader);
    uint64_t to = read_varint(reader);
    uint64_t count = nodes.size / NODE_SIZE;
    if (reader->bad || step >= RANGES_MAX || before + step >= RANGES_MAX || slot >= SLOTS_MAX ||
        from > count || to > count || from == to) {
        reader->bad = true;
        return;
    }
    *ret_move = (struct plan_move){
        .range = before + (uint32_t)step,
        .slot = slot,
        .from = node_numbered(nodes, from),
        .to = node_numbered(nodes, to),
    };
}

static void decode_moves(struct reader *reader, struct slice nodes, struct plan *plan)
{
    uint32_t before = 0;
    for (uint32_t i = 0; i < plan->count && !reader->bad; i++) {
        decode_move(reader, nodes, before, &plan->moves[i]);
        before = plan->moves[i].range;
    }
}

int plan_decode(struct slice bytes, struct plan *ret_plan)
{
    struct reader reader = reader_of(bytes);
    struct plan plan = {0};
    uint8_t format = read_u8(&reader);
    plan.id = read_u64(&reader);
    uint8_t state = read_u8(&reader);
    plan.rate = read_u64(&reader);
    uint64_t nodes_count = read_varint(&reader);
    if (format != PLAN_FORMAT || state > PLAN_CANCELLED ||
        nodes_count > reader_left(&reader) / NODE_SIZE)
        return ERR_CORRUPT;
    plan.state = (enum plan_state)state;
    struct slice nodes = read_bytes(&reader, (size_t)nodes_count * NODE_SIZE);
    uint64_t count = read_varint(&reader);
    if (reader.bad || !nodes_rise(nodes, nodes_count) ||
        count > reader_left(&reader) / MOVE_SIZE_MIN || count > RANGES_MAX * SLOTS_MAX)
        return ERR_CORRUPT;
    plan.count = (uint32_t)count;
    plan.moves = mem_zero(plan.count * sizeof(*plan.moves));
    decode_moves(&reader, nodes, &plan);
    if (!reader_finished(&reader)) {
        plan_done(&plan);
        return ERR_CORRUPT;
    }
    *ret_plan = plan;
    return OK;
}

/* ---------------------------------------------------------------------------- Carrying it out. */

/* Does NODE own or take in another slot of the range than MOVE's? Then it cannot take that one. */
static bool elsewhere(const struct range_record *record, const struct plan_move *move)
{
    for (uint32_t i = 0; i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        if (slot->number != move->slot &&
            (id_equal(slot->owner, move->to) || id_equal(slot->target, move->to)))
            return true;
    }
    return false;
}

enum plan_fate plan_move_fate(const struct plan_move *move, const struct range_record *record)
{
    const struct slot *slot = record_slot(record, move->slot);
    if (id_none(move->to)) {
        if (slot == NULL)
            return PLAN_MOVE_DONE;
        return id_equal(slot->owner, move->from) ? PLAN_MOVE_OPEN : PLAN_MOVE_OVERTAKEN;
    }
    if (slot != NULL && id_equal(slot->owner, move->to))
        return PLAN_MOVE_DONE; /* Even if it is on its way to somebody else by now. */
    if (elsewhere(record, move))
        return PLAN_MOVE_OVERTAKEN;
    if (id_none(move->from)) {
        bool open =
            slot == NULL || (slot->stage == STAGE_LEARN && id_equal(slot->target, move->to));
        return open ? PLAN_MOVE_OPEN : PLAN_MOVE_OVERTAKEN;
    }
    bool open = slot != NULL && id_equal(slot->owner, move->from);
    return open ? PLAN_MOVE_OPEN : PLAN_MOVE_OVERTAKEN;
}

/* The index of the first move of RANGE or of a later one. */
static uint32_t first_of(const struct plan *plan, uint32_t range)
{
    uint32_t low = 0;
    uint32_t high = plan->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (plan->moves[middle].range < range)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct plan_move *plan_next_move(const struct plan *plan, const struct ring *ring,
                                       uint32_t range)
{
    if (range >= ring_ranges(ring) || ring_get(ring, range)->epoch == 0)
        return NULL;
    const struct range_record *record = ring_get(ring, range);
    for (uint32_t i = first_of(plan, range); i < plan->count && plan->moves[i].range == range; i++)
        if (plan_move_fate(&plan->moves[i], record) == PLAN_MOVE_OPEN)
            return &plan->moves[i];
    return NULL;
}
