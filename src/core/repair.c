/* Which ranges are to be compared, and when the next comparison may begin. */
#include "core/repair_state.h"

#include "base/rule.h"

enum {
    SLOWER = 10,         /* Steps of the slow round are so many times further apart. */
    SLOW_STEPS = 64,     /* Of a round, at least, */
    SLOW_RANGES = 16,    /* and ranges of a step, at most. */
    LOOKS_MAX = 1024,    /* At ranges, in one go. */
    PAUSE_US_MIN = 1000, /* Of the timer. */
    ROUNDS_MAX = 1000,   /* Pages of one range in a row, before others have their turn. */
};

/* -------------------------------------------------------------------------------- With whom. */

bool repair_shared(const struct core *core, uint32_t range, struct node_id peer)
{
    if (range >= ring_ranges(&core->ring))
        return false;
    const struct holding *holding = &core->holdings[range];
    return holding->ready && record_slot_read_by(&holding->record, core->self) != NULL &&
           record_slot_read_by(&holding->record, peer) != NULL;
}

/* The same under the record that the other side has installed too. */
static bool may_compare(const struct core *core, const struct range_epoch *range,
                        struct node_id peer)
{
    return repair_shared(core, range->range, peer) && repair_stands(core, range->range) &&
           range_epoch_compare(range, &core->holdings[range->range].record) == 0;
}

struct node_id repair_comparer(const struct core *core, uint32_t range, struct node_id except)
{
    const struct holding *holding = &core->holdings[range];
    if (holding->record.epoch == 0 || !holding->ready)
        return NODE_NONE;
    for (uint32_t i = 0; i < holding->record.slots_count; i++) {
        struct node_id reader = slot_reader(&holding->record.slots[i]);
        if (!id_none(reader) && !id_equal(reader, except) && core_is_up(core, reader))
            return reader;
    }
    return NODE_NONE;
}

uint8_t repair_bit_of(const struct core *core, uint32_t range, struct node_id peer)
{
    const struct slot *slot = record_slot_read_by(&core->holdings[range].record, peer);
    return (uint8_t)(slot == NULL ? 0 : 1u << slot->number);
}

uint8_t repair_others(const struct core *core, uint32_t range)
{
    const struct range_record *record = &core->holdings[range].record;
    uint8_t bits = 0;
    if (!repair_is_comparer(core, range))
        return 0;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        struct node_id reader = slot_reader(&record->slots[i]);
        if (!id_none(reader) && !id_equal(reader, core->self))
            bits |= (uint8_t)(1u << record->slots[i].number);
    }
    return bits;
}

/* ------------------------------------------------------------------------------ What is dirty. */

void repair_set_add(struct repair_set *set, uint32_t range, uint8_t bits)
{
    set->count += set->bits[range] == 0 && bits != 0;
    set->bits[range] |= bits;
}

void repair_set_remove(struct repair_set *set, uint32_t range, uint8_t bits)
{
    bool was = set->bits[range] != 0;
    set->bits[range] &= (uint8_t)~bits;
    set->count -= was && set->bits[range] == 0;
}

static bool is_started(const struct repairs *repairs)
{
    return repairs->dirty.bits != NULL;
}

static uint32_t comparing_count(const struct repairs *repairs)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < COMPARING_MAX; i++)
        count += !id_none(repairs->comparing[i].peer);
    return count;
}

uint32_t repairs_left(const struct repairs *repairs)
{
    uint32_t count = repairs->dirty.count + repairs->differs.count + comparing_count(repairs);
    for (uint32_t i = 0; i < BATCHES_MAX; i++)
        count += repairs->batches[i].id != 0 ? repairs->batches[i].count : 0;
    return count;
}

void repair_schedule(struct repairs *repairs, struct core *core)
{
    bool busy = repairs->told.count > 0 || repairs_left(repairs) > 0;
    uint64_t pause = core->timing.repair_us * (busy ? 1 : SLOWER);
    if (busy && !pace_free(&core->pace, core->now.us))
        pause = MIN(pause, MAX(core->pace.free_us - core->now.us, (uint64_t)PAUSE_US_MIN));
    core_timer_set(core, &repairs->timer, core->now.us + pause);
}

void repairs_dirty(struct repairs *repairs, struct core *core, uint32_t range)
{
    if (!is_started(repairs) || !repair_shared(core, range, core->self))
        return;
    bool first = repairs->dirty.count + repairs->told.count == 0;
    if (repair_is_comparer(core, range))
        repair_set_add(&repairs->dirty, range, repair_others(core, range));
    else
        repair_set_add(&repairs->told, range, 1);
    if (first)
        repair_schedule(repairs, core);
}

void repairs_peer_up(struct repairs *repairs, struct core *core, struct node_id node)
{
    for (uint32_t range = 0; is_started(repairs) && range < ring_ranges(&core->ring); range++) {
        if (!repair_shared(core, range, node))
            continue;
        if (repair_is_comparer(core, range))
            repair_set_add(&repairs->dirty, range, repair_bit_of(core, range, node));
        else if (id_equal(repair_comparer(core, range, NODE_NONE), node) &&
                 id_equal(repair_comparer(core, range, node), core->self))
            repair_set_add(&repairs->told, range, 1); /* It may not know that it was away. */
    }
    if (is_started(repairs))
        repair_schedule(repairs, core);
}

/* One step of the slow round: some ranges are compared although nothing is known to be missing. */
static void slow_round(struct repairs *repairs, struct core *core)
{
    if (core->now.us < repairs->slow_at_us || repairs->dirty.count > 0)
        return;
    repairs->slow_at_us = core->now.us + SLOWER * core->timing.repair_us;
    uint32_t ranges = ring_ranges(&core->ring);
    uint32_t looks = MIN(ranges, (uint32_t)LOOKS_MAX);
    uint32_t wanted = MIN(MAX(ranges / SLOW_STEPS, 1u), (uint32_t)SLOW_RANGES);
    for (uint32_t looked = 0; looked < looks && repairs->dirty.count < wanted; looked++) {
        uint32_t range = repairs->slow_cursor++ % ranges;
        const struct range_record *record = &core->holdings[range].record;
        uint8_t bits = repair_others(core, range);
        for (uint32_t i = 0; i < record->slots_count; i++)
            if (!core_is_up(core, slot_reader(&record->slots[i])))
                bits &= (uint8_t) ~(1u << record->slots[i].number);
        repair_set_add(&repairs->dirty, range, bits);
    }
}

/* -------------------------------------------------------------------- Comparing one range. */

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

/* Compare RANGE, of a walk from hash FROM on, with the reader of slot NUMBER. False if there is
 * none to compare with now. */
static bool begin(struct repairs *repairs, struct core *core, struct comparing *unused,
                  uint32_t range, uint8_t number, uint64_t from)
{
    const struct range_record *record = &core->holdings[range].record;
    const struct slot *slot = record_slot(record, number);
    struct node_id peer = slot == NULL ? NODE_NONE : slot_reader(slot);
    const struct holding *holding = &core->holdings[range];
    if (id_none(peer) || id_equal(peer, core->self) || !core_is_up(core, peer) ||
        holding->stands != holding->horizon)
        return false;
    *unused = (struct comparing){.peer = peer, .range = range, .touched_us = core->now.us};
    unused->walks = repairs->walked.bits[range] >> number & 1;
    unused->from = unused->walks ? from : 0;
    pace_take(&core->pace, core->now.us, peer, PACE_MESSAGE_COST);
    struct range_epoch epoch = range_epoch_of(record);
    uint64_t token;
    struct repair_wait *wait = repair_wait_add(repairs, WAIT_ROOT, &epoch, peer, &token);
    wait->from = unused->from;
    if (unused->walks)
        wait->walk = repairs->walk;
    uint64_t *prefix = core_alloc(core, sizeof(*prefix));
    *prefix = range;
    repair_ask_tree(core, token, prefix, 1, core->ring.bits);
    return true;
}

/* Compare a slot of RANGE that differs and whose reader is up, if there is one. Of those whose
 * reader is down it is to be found out anew when that is back. */
static bool begin_range(struct repairs *repairs, struct core *core, struct comparing *unused,
                        uint32_t range)
{
    for (uint32_t number = 0; number < SLOTS_MAX; number++) {
        uint8_t bit = (uint8_t)(1u << number);
        if (!(repairs->differs.bits[range] & bit))
            continue;
        const struct slot *slot = record_slot(&core->holdings[range].record, number);
        struct node_id reader = slot == NULL ? NODE_NONE : slot_reader(slot);
        if (!id_none(reader) && comparing_find(repairs, range, reader) != NULL)
            continue;
        repair_set_remove(&repairs->differs, range, bit);
        if (begin(repairs, core, unused, range, (uint8_t)number, 0))
            return true;
        if (!id_none(reader) && !id_equal(reader, core->self))
            repair_set_add(&repairs->dirty, range, bit);
    }
    return false;
}

/* The next range that differs, of those in AMONG. False if there is none now. */
static bool begin_among(struct repairs *repairs, struct core *core, struct comparing *unused,
                        const struct repair_set *among)
{
    struct repair_set *set = &repairs->differs;
    uint32_t ranges = ring_ranges(&core->ring);
    uint32_t looks = among->count > 0 ? MIN(ranges, (uint32_t)LOOKS_MAX) : 0;
    for (uint32_t looked = 0; looked < looks && set->count > 0; looked++) {
        uint32_t range = set->cursor++ % ranges;
        if (set->bits[range] != 0 && !repair_is_comparer(core, range))
            repair_set_remove(set, range, UINT8_MAX);
        if ((set->bits[range] & among->bits[range]) != 0 &&
            begin_range(repairs, core, unused, range))
            return true;
    }
    return false;
}

/* The next range that differs; what is walked through first. False if there is none now, or the
 * pace does not allow it. */
static bool begin_next(struct repairs *repairs, struct core *core, struct comparing *unused)
{
    return pace_free(&core->pace, core->now.us) &&
           (begin_among(repairs, core, unused, &repairs->walked) ||
            begin_among(repairs, core, unused, &repairs->differs));
}

/* One page of a range was exchanged, and there may be more: at once, or when the pace allows it. */
static void go_on(struct repairs *repairs, struct core *core, struct comparing *comparing)
{
    const struct comparing was = *comparing;
    const struct slot *slot = record_slot_read_by(&core->holdings[was.range].record, was.peer);
    comparing->paused = !pace_free(&core->pace, core->now.us);
    if (comparing->paused) {
        repair_schedule(repairs, core);
        return;
    }
    comparing->peer = NODE_NONE;
    if (slot != NULL && begin(repairs, core, comparing, was.range, slot->number, was.from))
        comparing->rounds = was.rounds;
    else
        repair_set_add(&repairs->dirty, was.range, repair_bit_of(core, was.range, was.peer));
}

static void look(struct repairs *repairs, struct core *core, struct comparing *comparing)
{
    bool open = !id_none(comparing->peer);
    if (open && comparing->paused) {
        go_on(repairs, core, comparing);
        return;
    }
    if (open && (core->now.us - comparing->touched_us <= 5 * core->timing.retry_us ||
                 repair_is_reading(repairs, comparing)))
        return;
    if (open) { /* No answer: a message was lost, or the epochs differ. Later again. */
        repair_set_add(&repairs->dirty, comparing->range,
                       repair_bit_of(core, comparing->range, comparing->peer));
        comparing->peer = NODE_NONE;
    }
    begin_next(repairs, core, comparing);
}

static void tick(struct core *core, void *machine, struct timer *timer)
{
    (void)timer;
    struct repairs *repairs = machine;
    for (uint32_t i = 0; i < COMPARING_MAX; i++)
        look(repairs, core, &repairs->comparing[i]);
    slow_round(repairs, core);
    repair_roots_look(repairs, core);
    repair_schedule(repairs, core);
}

static void begin_another(struct repairs *repairs, struct core *core, struct comparing *comparing)
{
    comparing->peer = NODE_NONE;
    if (!begin_next(repairs, core, comparing))
        repair_schedule(repairs, core);
}

/* The comparison that is on its way, unless it is another one: that was given up. */
static struct comparing *comparing_of(struct repairs *repairs, uint32_t range, struct node_id peer,
                                      uint64_t walk)
{
    struct comparing *comparing = comparing_find(repairs, range, peer);
    uint64_t present = comparing != NULL && comparing->walks ? repairs->walk.id : 0;
    return present == walk ? comparing : NULL;
}

void repair_finish(struct repairs *repairs, struct core *core, uint32_t range, struct node_id peer,
                   uint64_t walk)
{
    struct comparing *comparing = comparing_of(repairs, range, peer, walk);
    if (comparing == NULL)
        return;
    uint8_t bit = repair_bit_of(core, range, peer);
    repair_set_remove(comparing->walks ? &repairs->walked : &repairs->asked, range, bit);
    if (comparing->walks) /* What differs beside the bucket. */
        repair_set_add(&repairs->dirty, range, bit);
    begin_another(repairs, core, comparing);
}

void repair_turn(struct repairs *repairs, struct core *core, const struct repair_wait *wait)
{
    uint32_t range = wait->range.range;
    struct comparing *comparing = comparing_of(repairs, range, wait->peer, wait->walk.id);
    if (comparing == NULL)
        return;
    if (comparing->walks && wait->to >= range_last(range, core->ring.bits)) {
        repair_finish(repairs, core, range, wait->peer, wait->walk.id);
        return;
    }
    if (comparing->walks)
        comparing->from = MAX(comparing->from, wait->to + 1);
    if (comparing->walks || ++comparing->rounds < ROUNDS_MAX) {
        go_on(repairs, core, comparing);
        return;
    }
    uint8_t asked = repairs->asked.bits[range] & repair_bit_of(core, range, wait->peer);
    repair_set_add(&repairs->dirty, range, asked);
    begin_another(repairs, core, comparing);
}

void repair_news(struct repairs *repairs, struct core *core, uint32_t range, struct node_id peer)
{
    uint8_t others = repair_others(core, range) & (uint8_t)~repair_bit_of(core, range, peer);
    repair_set_add(&repairs->dirty, range, others);
    if (repairs->asked.bits[range] != 0)
        repair_set_add(&repairs->asked, range, others);
    if (repairs->walked.bits[range] != 0)
        repair_set_add(&repairs->walked, range, others);
}

static void touch(struct repairs *repairs, struct core *core, uint32_t range, struct node_id peer)
{
    struct comparing *comparing = comparing_find(repairs, range, peer);
    if (comparing != NULL)
        comparing->touched_us = core->now.us;
}

void repair_charge(struct repairs *repairs, struct core *core, struct node_id peer,
                   const struct message *message)
{
    uint64_t bytes = PACE_MESSAGE_COST +
                     sizeof(struct tree_node) *
                         ((uint64_t)message->compare.nodes_count + message->compare.keys_count);
    if (comparing_find(repairs, message->compare.range.range, peer) == NULL)
        return;
    for (uint32_t i = 0; i < message->compare.entries_count; i++) {
        const struct entry *entry = &message->compare.entries[i];
        bytes += PACE_WRITE_COST + entry->bucket.size + entry->key.size + entry->object.size;
    }
    pace_take(&core->pace, core->now.us, peer, bytes);
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
    if (!is_started(repairs))
        return;
    if (message->type == MESSAGE_ROOTS) {
        repair_roots_message(repairs, core, from, message);
        return;
    }
    if (!may_compare(core, &message->compare.range, from) ||
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
    repair_charge(repairs, core, from, message);
    if (message->type == MESSAGE_COMPARE)
        repair_exchange_compare(repairs, core, from, message);
    else if (message->type == MESSAGE_LEAVES)
        repair_exchange_leaves(repairs, core, from, message);
    else
        repair_exchange_objects(repairs, core, from, message);
}

void repairs_stored(struct repairs *repairs, struct core *core, const struct store_done *done)
{
    struct repair_wait *wait = map_remove(&repairs->waits, token_value(done->token));
    ASSERT(wait != NULL);
    if (wait->kind == WAIT_ROOTS || wait->kind == WAIT_ROOTS_ANSWER)
        repair_roots_stored(repairs, core, wait, done);
    else if (may_compare(core, &wait->range, wait->peer))
        repair_exchange_stored(repairs, core, wait, done);
    repair_wait_free(wait);
}

void repairs_init(struct repairs *repairs, const struct core *core)
{
    /* No batch and no walk of an earlier life is answered in this one. */
    *repairs = (struct repairs){.batches_next = core->generation << 32,
                                .walks_next = core->generation << 32};
    repairs->timer.fire = tick;
    repairs->timer.machine = repairs;
}

void repairs_start(struct repairs *repairs, struct core *core)
{
    uint32_t ranges = ring_ranges(&core->ring);
    repairs->dirty.bits = mem_zero(ranges);
    repairs->differs.bits = mem_zero(ranges);
    repairs->asked.bits = mem_zero(ranges);
    repairs->walked.bits = mem_zero(ranges);
    repairs->told.bits = mem_zero(ranges);
    /* What was written while this node was away is missing here. */
    for (uint32_t range = 0; range < ranges; range++)
        repairs_dirty(repairs, core, range);
    core_timer_set(core, &repairs->timer, core->now.us + core->timing.repair_us);
}

void repairs_done(struct repairs *repairs, struct core *core)
{
    size_t cursor = 0;
    struct repair_wait *wait;
    while ((wait = map_next(&repairs->waits, &cursor, NULL)) != NULL)
        repair_wait_free(wait);
    map_done(&repairs->waits);
    mem_free(repairs->dirty.bits);
    mem_free(repairs->differs.bits);
    mem_free(repairs->asked.bits);
    mem_free(repairs->walked.bits);
    mem_free(repairs->told.bits);
    core_timer_clear(core, &repairs->timer);
}
