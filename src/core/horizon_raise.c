/* Raising a horizon: what the reader of the lowest slot does. */
#include "core/horizon_state.h"

#include "base/rule.h"
#include "core/buckets.h"

enum {
    TRIES_MAX = 10,      /* Of one question; then others have their turn. */
    LOOK_US_MIN = 10000, /* Between looks; then several ranges at a time. */
};

static uint32_t rounds_needed(void)
{
    return RULE(HORIZON_PROVED_TWICE) ? 2 : 1;
}

static void end(struct raise *raise)
{
    *raise = (struct raise){0};
}

static void refuse(struct core *core, struct raise *raise)
{
    core->counters.horizons_refused++;
    end(raise);
}

static struct raise *raise_by_nonce(struct horizons *horizons, uint64_t nonce)
{
    for (uint32_t i = 0; i < RAISING_MAX; i++)
        if (horizons->raises[i].state != RAISE_NONE && horizons->raises[i].nonce == nonce)
            return &horizons->raises[i];
    return NULL;
}

static struct raise *raise_of(struct horizons *horizons, uint32_t range)
{
    for (uint32_t i = 0; i < RAISING_MAX; i++)
        if (horizons->raises[i].state != RAISE_NONE && horizons->raises[i].range.range == range)
            return &horizons->raises[i];
    return NULL;
}

/* May this node raise the horizon of RANGE now? The record, else NULL. */
static const struct range_record *may_raise(const struct core *core,
                                            const struct range_epoch *range)
{
    const struct range_record *record = horizon_record(core, range);
    if (record == NULL || !id_equal(record_driver(record), core->self))
        return NULL;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        struct node_id reader = slot_reader(&record->slots[i]);
        if (id_none(reader) || !core_is_up(core, reader))
            return NULL;
    }
    return record;
}

/* ----------------------------------------------------------------------------------- Questions. */

/* A wait of RAISE for the own store. */
static struct horizon_wait *wait_add(struct horizons *horizons, struct raise *raise,
                                     enum horizon_wait_kind kind, uint64_t *ret_token)
{
    struct horizon_wait *wait =
        horizon_wait_add(horizons, kind, &raise->range, NODE_NONE, ret_token);
    wait->nonce = raise->nonce;
    raise->waits = true;
    return wait;
}

static void ask_disk(struct horizons *horizons, struct core *core, struct raise *raise)
{
    uint64_t token;
    wait_add(horizons, raise, HORIZON_WAIT_SYNC, &token);
    struct store_op *op = core_store(core, STORE_TREE, token);
    op->tree.bits = core->ring.bits;
}

static struct message *question(struct core *core, const struct raise *raise)
{
    const struct range_record *record = &core->holdings[raise->range.range].record;
    struct message *message =
        core_send(core, slot_reader(&record->slots[raise->slot]), MESSAGE_PROVE);
    message->horizon.range = raise->range;
    message->horizon.nonce = raise->nonce;
    message->horizon.horizon = raise->horizon;
    message->horizon.stands = core->holdings[raise->range.range].stands;
    message->horizon.drops = buckets_drops_digest(&core->settings);
    message->horizon.lives = horizon_lives(core, record);
    message->horizon.bits = (uint8_t)core->ring.bits;
    message->horizon.leaf_bits = (uint8_t)core->ring.bits;
    return message;
}

/* Our own digests first: of the range, or of a row of leaves from the cursor on. */
static void ask_tree(struct horizons *horizons, struct core *core, struct raise *raise)
{
    uint32_t bits = raise->leaves ? raise->leaf_bits : core->ring.bits;
    uint64_t first = raise->cursor >> (64 - bits);
    uint64_t last = range_last(raise->range.range, core->ring.bits) >> (64 - bits);
    uint32_t count = (uint32_t)MIN(last - first + 1, (uint64_t)PROVE_NODES_MAX);
    uint64_t token;
    struct horizon_wait *wait = wait_add(horizons, raise, HORIZON_WAIT_TREE, &token);
    wait->bits = bits;
    wait->from = raise->cursor;
    uint64_t *prefixes = core_alloc(core, count * sizeof(*prefixes));
    for (uint32_t i = 0; i < count; i++)
        prefixes[i] = first + i;
    buf_append(&wait->nodes, slice_of(prefixes, count * sizeof(*prefixes)));
    struct store_op *op = core_store(core, STORE_TREE, token);
    op->tree.prefixes = prefixes;
    op->tree.prefixes_count = count;
    op->tree.bits = bits;
}

static void tell_all(struct core *core, struct raise *raise)
{
    const struct range_record *record = &core->holdings[raise->range.range].record;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        if (raise->told & 1u << i)
            continue;
        struct message *message = core_send(core, slot_reader(&record->slots[i]), MESSAGE_HORIZON);
        message->horizon.range = raise->range;
        message->horizon.horizon = raise->horizon;
        message->horizon.drops = buckets_drops_digest(&core->settings);
    }
}

/* Ask the slot at hand what the state wants to know, under a new nonce. */
static void ask(struct horizons *horizons, struct core *core, struct raise *raise)
{
    const struct range_record *record = &core->holdings[raise->range.range].record;
    raise->nonce = ++horizons->nonces;
    raise->asked_us = core->now.us;
    raise->waits = false;
    bool self = raise->slot < record->slots_count &&
                id_equal(slot_reader(&record->slots[raise->slot]), core->self);
    if (raise->state == RAISE_SENDING)
        tell_all(core, raise);
    else if (raise->state == RAISE_PROVING)
        ask_tree(horizons, core, raise);
    else if (self)
        ask_disk(horizons, core, raise);
    else
        question(core, raise);
}

/* Go on with the next slot, the next round, the next state. */
static void go_on(struct horizons *horizons, struct core *core, struct raise *raise)
{
    const struct range_record *record = &core->holdings[raise->range.range].record;
    raise->tries = 0;
    raise->leaves = false;
    raise->cursor = range_first(raise->range.range, core->ring.bits);
    raise->slot++;
    if (raise->state == RAISE_PROVING) {
        while (raise->slot < record->slots_count &&
               id_equal(slot_reader(&record->slots[raise->slot]), core->self))
            raise->slot++;
        if (raise->slot >= record->slots_count && ++raise->round < rounds_needed()) {
            raise->slot = UINT32_MAX;
            go_on(horizons, core, raise);
            return;
        }
    }
    if (raise->slot >= record->slots_count) {
        raise->slot = 0;
        bool synced = raise->state == RAISE_SYNCING || !RULE(HORIZON_SYNCED);
        raise->state = synced ? RAISE_SENDING : RAISE_SYNCING;
    }
    /* Whoever has joined since has not promised anything yet. */
    if (raise->state == RAISE_SENDING && horizon_allowed(core, NULL) < raise->horizon)
        refuse(core, raise);
    else
        ask(horizons, core, raise);
}

static void begin_proof(struct horizons *horizons, struct core *core, struct raise *raise)
{
    raise->state = RAISE_PROVING;
    raise->round = RULE(HORIZON_PROVED) ? 0 : rounds_needed();
    raise->slot = RULE(HORIZON_PROVED) ? UINT32_MAX : SLOTS_MAX;
    go_on(horizons, core, raise);
}

/* ------------------------------------------------------------------------------------- Looking. */

static uint64_t newest_drop(struct core *core, uint64_t horizon)
{
    struct drop_line *lines;
    uint32_t count = buckets_dropped(&core->settings, &core->out->arena, &lines);
    uint64_t newest = 0;
    for (uint32_t i = 0; i < count; i++)
        if (lines[i].dropped_at <= horizon)
            newest = MAX(newest, lines[i].dropped_at);
    return newest;
}

/* True if a raise of RANGE has begun. */
static bool look(struct horizons *horizons, struct core *core, struct raise *unused, uint32_t range,
                 uint64_t allowed)
{
    const struct holding *holding = &core->holdings[range];
    struct range_epoch epoch = range_epoch_of(&holding->record);
    if (holding->record.epoch == 0 || holding->stands != holding->horizon ||
        may_raise(core, &epoch) == NULL || raise_of(horizons, range) != NULL)
        return false;
    *unused = (struct raise){.state = RAISE_LOOKING,
                             .range = epoch,
                             .horizon = allowed,
                             .nonce = ++horizons->nonces,
                             .asked_us = core->now.us};
    uint64_t token;
    wait_add(horizons, unused, HORIZON_WAIT_LOOK, &token);
    struct store_op *op = core_store(core, STORE_COLLECT, token);
    op->range = range;
    op->collect.horizon = allowed;
    return true;
}

static struct raise *unused_raise(struct horizons *horizons)
{
    for (uint32_t i = 0; i < RAISING_MAX; i++)
        if (horizons->raises[i].state == RAISE_NONE)
            return &horizons->raises[i];
    return NULL;
}

static uint64_t look_pause(const struct core *core)
{
    return MAX(core->timing.horizon_us / ring_ranges(&core->ring), (uint64_t)LOOK_US_MIN);
}

static void look_around(struct horizons *horizons, struct core *core)
{
    uint64_t pause = look_pause(core);
    horizons->look_us = core->now.us + pause;
    if (core->now.us >= horizons->allowed_us) {
        horizons->allowed = horizon_allowed(core, NULL);
        horizons->allowed_us = core->now.us + core->timing.horizon_us / 64;
    }
    uint64_t allowed = horizons->allowed;
    uint64_t ranges = ring_ranges(&core->ring);
    uint64_t looks = MAX(ranges * pause / core->timing.horizon_us, (uint64_t)1);
    for (uint64_t i = 0; allowed != 0 && i < MIN(looks, ranges); i++) {
        struct raise *unused = unused_raise(horizons);
        if (unused == NULL)
            return; /* The round takes longer then. */
        look(horizons, core, unused, horizons->look, allowed);
        horizons->look = (horizons->look + 1) % (uint32_t)ranges;
    }
}

static void looked(struct horizons *horizons, struct core *core, struct raise *raise,
                   const struct store_done *done)
{
    const struct holding *holding = &core->holdings[raise->range.range];
    bool wanted =
        done->error == 0 && raise->horizon > holding->horizon &&
        (done->earliest <= raise->horizon || newest_drop(core, raise->horizon) > holding->stands);
    if (!wanted || may_raise(core, &raise->range) == NULL) {
        end(raise);
        return;
    }
    begin_proof(horizons, core, raise);
}

/* ------------------------------------------------------------------------------------- Answers. */

void raises_tick(struct horizons *horizons, struct core *core)
{
    for (uint32_t i = 0; i < RAISING_MAX; i++) {
        struct raise *raise = &horizons->raises[i];
        if (raise->state == RAISE_NONE || raise->waits ||
            core->now.us < raise->asked_us + core->timing.retry_us)
            continue;
        if (++raise->tries > TRIES_MAX || may_raise(core, &raise->range) == NULL)
            refuse(core, raise);
        else
            ask(horizons, core, raise);
    }
    if (core->now.us >= horizons->look_us)
        look_around(horizons, core);
}

uint64_t raises_wake_us(const struct horizons *horizons, const struct core *core)
{
    uint64_t wake = horizons->look_us;
    for (uint32_t i = 0; i < RAISING_MAX; i++)
        if (horizons->raises[i].state != RAISE_NONE && !horizons->raises[i].waits)
            wake = MIN(wake, horizons->raises[i].asked_us + core->timing.retry_us);
    return wake;
}

/* The two stand at different horizons. The higher one is proven, and for good: whoever has not got
 * it gets it. Or a pass is under way, or a drop on its way by gossip: then later. */
static void stands_elsewhere(struct horizons *horizons, struct core *core, struct raise *raise,
                             uint64_t theirs)
{
    uint64_t ours = core->holdings[raise->range.range].horizon;
    if (ours == theirs || core_is_ahead(core, theirs)) {
        refuse(core, raise);
        return;
    }
    raise->horizon = MAX(ours, theirs);
    raise->state = RAISE_SENDING;
    raise->tries = 0;
    ask(horizons, core, raise);
}

/* All up to `to`, or up to the end of the leaves that were shown, is equal as far as it matters. */
static void advance(struct horizons *horizons, struct core *core, struct raise *raise, uint64_t to)
{
    if (to >= range_last(raise->range.range, core->ring.bits)) {
        go_on(horizons, core, raise);
        return;
    }
    raise->cursor = to + 1;
    raise->tries = 0;
    ask(horizons, core, raise);
}

/* Scan our own keys of what the other side showed. */
static void ask_keys(struct horizons *horizons, struct core *core, struct raise *raise,
                     const struct message *message)
{
    uint64_t token;
    struct horizon_wait *wait = wait_add(horizons, raise, HORIZON_WAIT_KEYS, &token);
    wait->bits = message->horizon.bits;
    wait->from = raise->cursor;
    wait->to = message->horizon.to;
    buf_append(&wait->nodes, slice_of(message->horizon.nodes,
                                      message->horizon.nodes_count * sizeof(struct tree_node)));
    keys_write(&wait->bytes, message->horizon.entries, message->horizon.entries_count);
    struct store_op *op = core_store(core, STORE_SCAN, token);
    op->range = raise->range.range;
    op->scan.from = raise->cursor;
    op->scan.to = wait->to;
    op->scan.count_max = 2 * PROVE_OBJECTS_MAX;
    op->scan.bytes_max = 2 * PROVE_OBJECTS_BYTES;
}

static bool answer_fits(const struct core *core, const struct raise *raise,
                        const struct message *message)
{
    uint32_t bits = message->horizon.bits;
    uint32_t asked = raise->leaves ? raise->leaf_bits : core->ring.bits;
    if (message->horizon.nodes_count > PROVE_NODES_MAX || message->horizon.to < raise->cursor ||
        range_of(message->horizon.to, core->ring.bits) != raise->range.range ||
        (message->horizon.nodes_count > 0 && bits != asked) || message->horizon.leaf_bits > 63)
        return false;
    for (uint32_t i = 1; i < message->horizon.nodes_count; i++)
        if (message->horizon.nodes[i].prefix <= message->horizon.nodes[i - 1].prefix)
            return false;
    for (uint32_t i = 1; i < message->horizon.entries_count; i++)
        if (keys_compare(&message->horizon.entries[i - 1], &message->horizon.entries[i]) >= 0)
            return false;
    return true;
}

static void proving(struct horizons *horizons, struct core *core, struct raise *raise,
                    const struct message *message)
{
    if (!answer_fits(core, raise, message))
        return;
    uint32_t leaf_bits = message->horizon.leaf_bits;
    if (message->horizon.nodes_count == 0) {
        advance(horizons, core, raise, message->horizon.to);
    } else if (!raise->leaves && leaf_bits > core->ring.bits) {
        raise->leaves = true;
        raise->leaf_bits = leaf_bits;
        ask(horizons, core, raise);
    } else {
        ask_keys(horizons, core, raise, message);
    }
}

void raise_proven(struct horizons *horizons, struct core *core, struct node_id from,
                  const struct message *message)
{
    struct raise *raise = raise_by_nonce(horizons, message->horizon.nonce);
    bool waiting =
        raise != NULL && (raise->state == RAISE_PROVING || raise->state == RAISE_SYNCING) &&
        range_epoch_compare(&message->horizon.range, &core->holdings[raise->range.range].record) ==
            0;
    const struct range_record *record = waiting ? may_raise(core, &raise->range) : NULL;
    if (record == NULL || message->horizon.range.range != raise->range.range ||
        raise->slot >= record->slots_count ||
        !id_equal(slot_reader(&record->slots[raise->slot]), from))
        return;
    if (message->horizon.refused) {
        stands_elsewhere(horizons, core, raise, message->horizon.horizon);
        return;
    }
    uint64_t *generation = &raise->generations[raise->slot];
    if (*generation == 0)
        *generation = message->horizon.generation;
    if (*generation != message->horizon.generation && RULE(HORIZON_ONE_LIFE)) {
        refuse(core, raise); /* It may have forgotten what it showed before. */
        return;
    }
    if (raise->state == RAISE_SYNCING)
        go_on(horizons, core, raise);
    else
        proving(horizons, core, raise, message);
}

static void keys_read(struct horizons *horizons, struct core *core, struct raise *raise,
                      const struct horizon_wait *wait, const struct store_done *done)
{
    uint64_t to = wait->to;
    if (done->more) {
        uint64_t last = done->entries[done->entries_count - 1].hash;
        to = MIN(to, last > done->entries[0].hash ? last - 1 : last);
    }
    if (keys_agree(wait, raise->horizon, done, to)) {
        advance(horizons, core, raise, to);
        return;
    }
    /* Mending is the repair machine's work. */
    core_signal(core, SIGNAL_DIRTY)->range = raise->range.range;
    refuse(core, raise);
}

static void tree_read(struct core *core, const struct raise *raise, const struct horizon_wait *wait,
                      const struct store_done *done)
{
    const uint64_t *prefixes = (const uint64_t *)(const void *)wait->nodes.data;
    uint32_t count = (uint32_t)(wait->nodes.size / sizeof(*prefixes));
    struct reader digests = reader_of(done->object);
    uint32_t leaf_bits = (uint32_t)read_u64(&digests);
    struct message *message = question(core, raise);
    struct tree_node *nodes = core_alloc(core, count * sizeof(*nodes));
    for (uint32_t i = 0; i < count; i++)
        nodes[i] = (struct tree_node){prefixes[i], read_u64(&digests)};
    message->horizon.bits = (uint8_t)wait->bits;
    message->horizon.leaf_bits = (uint8_t)leaf_bits;
    message->horizon.from = wait->from;
    message->horizon.nodes = nodes;
    message->horizon.nodes_count = count;
}

void raise_stored(struct horizons *horizons, struct core *core, struct horizon_wait *wait,
                  const struct store_done *done)
{
    struct raise *raise = raise_by_nonce(horizons, wait->nonce);
    if (raise == NULL)
        return;
    raise->waits = false;
    if (wait->kind == HORIZON_WAIT_LOOK) {
        looked(horizons, core, raise, done);
        return;
    }
    if (done->error < 0 || may_raise(core, &raise->range) == NULL) {
        refuse(core, raise); /* A damaged record proves nothing. */
        return;
    }
    if (wait->kind == HORIZON_WAIT_TREE)
        tree_read(core, raise, wait, done);
    else
        keys_read(horizons, core, raise, wait, done);
}

void raise_synced(struct horizons *horizons, struct core *core, const struct horizon_wait *wait)
{
    struct raise *raise = raise_by_nonce(horizons, wait->nonce);
    if (raise == NULL || raise->state != RAISE_SYNCING)
        return;
    raise->waits = false;
    if (may_raise(core, &raise->range) == NULL)
        refuse(core, raise);
    else
        go_on(horizons, core, raise);
}

void raise_told(struct horizons *horizons, struct core *core, struct node_id from,
                const struct message *message)
{
    const struct range_epoch *range = &message->horizon.range;
    struct raise *raise = raise_of(horizons, range->range);
    const struct range_record *record = raise == NULL ? NULL : may_raise(core, &raise->range);
    if (record == NULL || raise->state != RAISE_SENDING ||
        range_epoch_compare(range, record) != 0 || message->horizon.horizon < raise->horizon)
        return;
    uint8_t all = (uint8_t)((1u << record->slots_count) - 1);
    for (uint32_t i = 0; i < record->slots_count; i++)
        if (id_equal(slot_reader(&record->slots[i]), from))
            raise->told |= (uint8_t)(1u << i);
    if (raise->told != all)
        return;
    core->counters.horizons_raised++;
    end(raise);
}
