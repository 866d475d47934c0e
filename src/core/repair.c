#include "core/repair_state.h"

#include "base/rule.h"

enum {
    SLOWER = 10,       /* Comparisons of the slow round are so many times further apart. */
    LOOKS_MAX = 1024,  /* At ranges, in one go. */
    ROUNDS_MAX = 1000, /* Pages of one range in a row, before others have their turn. */
};

static void wait_free(struct repair_wait *wait)
{
    buf_done(&wait->nodes);
    mem_free(wait);
}

struct repair_wait *repair_wait_add(struct repairs *repairs, enum repair_wait_kind kind,
                                    const struct range_epoch *range, struct node_id peer,
                                    uint64_t *ret_token)
{
    struct repair_wait *wait = mem_zero(sizeof(*wait));
    wait->kind = kind;
    wait->range = *range;
    wait->peer = peer;
    uint64_t value = ++repairs->waits_next;
    map_put(&repairs->waits, value, wait);
    *ret_token = token_of(OWNER_REPAIR, value);
    return wait;
}

/* ------------------------------------------------------------------------------ What to compare.
 */

/* May this node and PEER compare RANGE now: both read it, under the record that both have
 * installed? */
static bool may_compare(const struct core *core, const struct range_epoch *range,
                        struct node_id peer)
{
    if (range->range >= ring_ranges(&core->ring))
        return false;
    const struct holding *holding = &core->holdings[range->range];
    return holding->ready && holding->stands == holding->horizon &&
           range_epoch_compare(range, &holding->record) == 0 &&
           record_slot_read_by(&holding->record, core->self) != NULL &&
           record_slot_read_by(&holding->record, peer) != NULL;
}

static bool is_comparer(const struct core *core, uint32_t range)
{
    const struct holding *holding = &core->holdings[range];
    return holding->record.epoch > 0 && holding->ready &&
           id_equal(record_driver(&holding->record), core->self);
}

static void set_dirty(struct repairs *repairs, uint32_t range, uint8_t bits)
{
    repairs->dirty_count += repairs->dirty[range] == 0 && bits != 0;
    repairs->dirty[range] |= bits;
}

static void clear_dirty(struct repairs *repairs, uint32_t range, uint8_t bits)
{
    bool was = repairs->dirty[range] != 0;
    repairs->dirty[range] &= (uint8_t)~bits;
    repairs->dirty_count -= was && repairs->dirty[range] == 0;
}

static void schedule(struct repairs *repairs, struct core *core)
{
    bool busy = repairs->dirty_count > 0;
    for (uint32_t i = 0; i < COMPARING_MAX; i++)
        busy = busy || !id_none(repairs->comparing[i].peer);
    core_timer_set(core, &repairs->timer,
                   core->now.us + core->timing.repair_us * (busy ? 1 : SLOWER));
}

void repairs_dirty(struct repairs *repairs, struct core *core, uint32_t range)
{
    if (repairs->dirty == NULL || !is_comparer(core, range))
        return;
    if (repairs->dirty_count == 0)
        core_timer_set(core, &repairs->timer, core->now.us + core->timing.repair_us);
    set_dirty(repairs, range, (1u << SLOTS_MAX) - 1);
}

void repairs_peer_up(struct repairs *repairs, struct core *core, struct node_id node)
{
    for (uint32_t range = 0; repairs->dirty != NULL && range < ring_ranges(&core->ring); range++) {
        const struct slot *slot = is_comparer(core, range)
                                      ? record_slot_read_by(&core->holdings[range].record, node)
                                      : NULL;
        if (slot != NULL)
            set_dirty(repairs, range, (uint8_t)(1u << slot->number));
    }
    if (repairs->dirty_count > 0)
        core_timer_set(core, &repairs->timer, core->now.us + core->timing.repair_us);
}

static struct comparing *comparing_find(struct repairs *repairs, uint32_t range,
                                        struct node_id peer)
{
    for (uint32_t i = 0; i < COMPARING_MAX; i++) {
        struct comparing *comparing = &repairs->comparing[i];
        if (id_equal(comparing->peer, peer) && comparing->range == range)
            return comparing;
    }
    return NULL;
}

void repair_ask_tree(struct core *core, uint64_t token, const uint64_t *prefixes, uint32_t count,
                     uint32_t bits)
{
    struct store_op *op = core_store(core, STORE_TREE, token);
    op->tree.prefixes = prefixes;
    op->tree.prefixes_count = count;
    op->tree.bits = bits;
}

/* Compare RANGE with the reader of slot NUMBER. False if there is none to compare with now. */
static bool begin(struct repairs *repairs, struct core *core, struct comparing *unused,
                  uint32_t range, uint8_t number)
{
    const struct range_record *record = &core->holdings[range].record;
    const struct slot *slot = record_slot(record, number);
    struct node_id peer = slot == NULL ? NODE_NONE : slot_reader(slot);
    const struct holding *holding = &core->holdings[range];
    if (id_none(peer) || id_equal(peer, core->self) || !core_is_up(core, peer) ||
        holding->stands != holding->horizon)
        return false;
    *unused = (struct comparing){.peer = peer, .range = range, .touched_us = core->now.us};
    struct range_epoch epoch = range_epoch_of(record);
    uint64_t token;
    repair_wait_add(repairs, WAIT_ROOT, &epoch, peer, &token);
    uint64_t *prefix = core_alloc(core, sizeof(*prefix));
    *prefix = range;
    repair_ask_tree(core, token, prefix, 1, core->ring.bits);
    return true;
}

/* Compare a dirty slot of RANGE whose reader is up, if there is one. Those whose reader is down
 * stay dirty. */
static bool begin_range(struct repairs *repairs, struct core *core, struct comparing *unused,
                        uint32_t range)
{
    for (uint32_t number = 0; number < SLOTS_MAX; number++) {
        uint8_t bit = (uint8_t)(1u << number);
        if (!(repairs->dirty[range] & bit))
            continue;
        const struct slot *slot = record_slot(&core->holdings[range].record, number);
        struct node_id reader = slot == NULL ? NODE_NONE : slot_reader(slot);
        if (id_none(reader) || id_equal(reader, core->self)) {
            clear_dirty(repairs, range, bit);
        } else if (comparing_find(repairs, range, reader) == NULL &&
                   begin(repairs, core, unused, range, (uint8_t)number)) {
            clear_dirty(repairs, range, bit);
            return true;
        }
    }
    return false;
}

/* The next dirty range with a reader that is up. False if none was found in a bounded look. */
static bool begin_dirty(struct repairs *repairs, struct core *core, struct comparing *unused)
{
    uint32_t ranges = ring_ranges(&core->ring);
    uint32_t looks = MIN(ranges, (uint32_t)LOOKS_MAX);
    for (uint32_t looked = 0; looked < looks && repairs->dirty_count > 0; looked++) {
        uint32_t range = repairs->dirty_cursor++ % ranges;
        if (repairs->dirty[range] != 0 && !is_comparer(core, range))
            clear_dirty(repairs, range, repairs->dirty[range]);
        if (repairs->dirty[range] != 0 && begin_range(repairs, core, unused, range))
            return true;
    }
    return false;
}

/* One step of the slow round. */
static void begin_slow(struct repairs *repairs, struct core *core, struct comparing *unused)
{
    uint32_t looks = MIN(ring_ranges(&core->ring) * SLOTS_MAX, (uint32_t)LOOKS_MAX);
    for (uint32_t looked = 0; looked < looks; looked++) {
        if (++repairs->slot >= SLOTS_MAX) {
            repairs->slot = 0;
            repairs->cursor = (repairs->cursor + 1) % ring_ranges(&core->ring);
        }
        if (is_comparer(core, repairs->cursor) &&
            begin(repairs, core, unused, repairs->cursor, repairs->slot))
            return;
    }
}

static void tick(struct core *core, void *machine, struct timer *timer)
{
    (void)timer;
    struct repairs *repairs = machine;
    for (uint32_t i = 0; i < COMPARING_MAX; i++) {
        struct comparing *comparing = &repairs->comparing[i];
        if (!id_none(comparing->peer) &&
            core->now.us - comparing->touched_us > 5 * core->timing.retry_us) {
            /* No answer: a message was lost, or the epochs differ. Later again. */
            set_dirty(repairs, comparing->range, (1u << SLOTS_MAX) - 1);
            comparing->peer = NODE_NONE;
        }
        if (!id_none(comparing->peer))
            continue;
        if (begin_dirty(repairs, core, comparing))
            continue;
        if (core->now.us >= repairs->slow_at_us) {
            repairs->slow_at_us = core->now.us + SLOWER * core->timing.repair_us;
            begin_slow(repairs, core, comparing);
        }
    }
    schedule(repairs, core);
}

void repair_finish(struct repairs *repairs, struct core *core, uint32_t range, struct node_id peer,
                   bool again)
{
    struct comparing *comparing = comparing_find(repairs, range, peer);
    if (comparing == NULL)
        return;
    uint32_t rounds = comparing->rounds + 1;
    const struct slot *slot = record_slot_read_by(&core->holdings[range].record, peer);
    comparing->peer = NODE_NONE;
    if (again && slot != NULL && rounds < ROUNDS_MAX &&
        begin(repairs, core, comparing, range, slot->number))
        comparing->rounds = rounds;
    else
        begin_dirty(repairs, core, comparing);
}

static void touch(struct repairs *repairs, struct core *core, uint32_t range, struct node_id peer)
{
    struct comparing *comparing = comparing_find(repairs, range, peer);
    if (comparing != NULL)
        comparing->touched_us = core->now.us;
}

/* ------------------------------------------------------------------------------------- Events. */

/* From an earlier life of NODE, which may have died before what it sends was on its disk: nobody
 * answers for it any more. */
static bool is_forgotten(const struct core *core, struct node_id node, uint64_t generation)
{
    const struct member *member = member_find(&core->members, node);
    return member != NULL && generation < member->generation && RULE(FORGOTTEN_REFUSED);
}

void repairs_message(struct repairs *repairs, struct core *core, struct node_id from,
                     const struct message *message)
{
    if (repairs->dirty == NULL || !may_compare(core, &message->compare.range, from) ||
        is_forgotten(core, from, message->compare.generation))
        return;
    const struct holding *holding = &core->holdings[message->compare.range.range];
    if (message->compare.horizon != holding->stands) {
        /* One of the two has collected what the other has not. */
        struct signal *signal = core_signal(core, SIGNAL_STANDS);
        signal->range = message->compare.range.range;
        signal->node = from;
        return;
    }
    touch(repairs, core, message->compare.range.range, from);
    if (message->type == MESSAGE_COMPARE)
        repair_exchange_compare(repairs, core, from, message);
    else
        repair_exchange_objects(repairs, core, from, message);
}

void repairs_stored(struct repairs *repairs, struct core *core, const struct store_done *done)
{
    struct repair_wait *wait = map_remove(&repairs->waits, done->token & 0x00ffffffffffffffu);
    ASSERT(wait != NULL);
    if (may_compare(core, &wait->range, wait->peer))
        repair_exchange_stored(repairs, core, wait, done);
    wait_free(wait);
}

void repairs_init(struct repairs *repairs)
{
    *repairs = (struct repairs){0};
    repairs->timer.fire = tick;
    repairs->timer.machine = repairs;
}

void repairs_start(struct repairs *repairs, struct core *core)
{
    repairs->dirty = mem_zero(ring_ranges(&core->ring));
    /* What was written while this node was away is missing here. */
    for (uint32_t range = 0; range < ring_ranges(&core->ring); range++)
        repairs_dirty(repairs, core, range);
    core_timer_set(core, &repairs->timer, core->now.us + core->timing.repair_us);
}

void repairs_done(struct repairs *repairs, struct core *core)
{
    size_t cursor = 0;
    struct repair_wait *wait;
    while ((wait = map_next(&repairs->waits, &cursor, NULL)) != NULL)
        wait_free(wait);
    map_done(&repairs->waits);
    mem_free(repairs->dirty);
    core_timer_clear(core, &repairs->timer);
}
