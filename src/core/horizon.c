/* What every node does: its floor, its cells, the horizons that it takes on. */
#include "core/horizon_state.h"

#include "base/checksum.h"
#include "base/rule.h"
#include "core/buckets.h"
#include "core/loads.h"

enum {
    FLOORS_PER_HORIZON = 4, /* The floor rises so often between two horizons. */
    LIVES_OF_A_WRITE = 3,   /* In longest deadlines: see horizon_margin. */
    GOSSIP_ROUNDS = 5,      /* Until a load has surely been heard of, with a few members. */
};

struct horizon_wait *horizon_wait_add(struct horizons *horizons, enum horizon_wait_kind kind,
                                      const struct range_epoch *range, struct node_id peer,
                                      uint64_t *ret_token)
{
    struct horizon_wait *wait = mem_zero(sizeof(*wait));
    wait->kind = kind;
    wait->range = *range;
    wait->peer = peer;
    uint64_t value = ++horizons->waits_next;
    map_put(&horizons->waits, value, wait);
    *ret_token = token_of(OWNER_HORIZON, value);
    return wait;
}

void horizon_wait_free(struct horizon_wait *wait)
{
    buf_done(&wait->nodes);
    buf_done(&wait->bytes);
    mem_free(wait);
}

/* ------------------------------------------------------------------------------------- Floors. */

/* How far the floor stays behind the clock, so that nothing is refused for it that somebody still
 * waits for: a request has its deadline, a retry that comes within twice that goes on with the
 * version that the first attempt made, to a deadline of its own; and clocks differ. No proof rests
 * on it: what comes later than that is refused, not missed. */
static uint64_t horizon_margin(const struct core *core)
{
    return hlc_at(LIVES_OF_A_WRITE * (uint64_t)core->timing.deadline_ms +
                  core->timing.clock_skew_ms);
}

/* What NODE allows; 0 if it has not said, and while it knows other forks than we do: of one that it
 * has not heard of it may have a copy that nobody waits for yet. */
static uint64_t allowed_by(const struct core *core, struct node_id node)
{
    uint64_t floor = core_floor(core);
    uint64_t hint = 0;
    if (!id_equal(node, core->self)) {
        const struct load *load = loads_find(core->loads, node);
        if (load == NULL || load->forks != core->ring.forks)
            return 0;
        floor = load->hlc_floor;
        hint = load->hint_oldest;
    } else {
        const struct load *own = loads_find(core->loads, node);
        hint = own == NULL ? 0 : own->hint_oldest;
    }
    return hint == 0 ? floor : MIN(floor, hint - 1);
}

uint64_t horizon_allowed(const struct core *core, struct node_id *ret_holder)
{
    uint64_t lowest = allowed_by(core, core->self);
    uint64_t own = lowest;
    struct node_id holder = NODE_NONE;
    for (uint32_t i = 0; i < core->members.count; i++) {
        struct node_id id = core->members.members[i]->id;
        uint64_t allowed = allowed_by(core, id);
        if (allowed >= lowest)
            continue;
        lowest = allowed;
        /* Others rise at other moments than we do, and it takes some rounds to hear of it. */
        uint64_t late_us = 2 * core->timing.horizon_us / FLOORS_PER_HORIZON +
                           GOSSIP_ROUNDS * core->timing.gossip_us;
        if (lowest + hlc_at(late_us / 1000) < own)
            holder = id;
    }
    if (ret_holder != NULL)
        *ret_holder = holder;
    return RULE(HORIZON_FLOORS) ? lowest : core->hlc;
}

static void floor_raise(struct horizons *horizons, struct core *core)
{
    horizons->floor_us = core->now.us + core->timing.horizon_us / FLOORS_PER_HORIZON;
    uint64_t margin = horizon_margin(core);
    uint64_t now = core_hlc_now(core);
    if (horizons->floor_due != 0 || now <= margin || now - margin <= core->floor)
        return; /* The one before is not said yet, or the clock has been set back. */
    horizons->floor_due = now - margin;
    core->floor_kept = horizons->floor_due;
    core->taking_side ^= 1;
    horizons->floor_synced = false;
    uint64_t token;
    horizon_wait_add(horizons, HORIZON_WAIT_FLOOR, &(struct range_epoch){0}, NODE_NONE, &token);
    uint8_t value[8];
    store_u64(value, horizons->floor_due);
    uint8_t key = META_FLOOR;
    struct meta *meta = core_alloc(core, sizeof(*meta));
    *meta = (struct meta){core_copy(core, slice_of(&key, 1)),
                          core_copy(core, slice_of(value, sizeof(value)))};
    struct store_op *op = core_store(core, STORE_META, token);
    op->sync = true;
    op->batch.metas = meta;
    op->batch.metas_count = 1;
}

/* Others may hear of the floor once what was being taken in when it rose is in the store, where
 * each later proof sees it. */
static void floor_tell(struct horizons *horizons, struct core *core)
{
    if (horizons->floor_due == 0 || !horizons->floor_synced ||
        core->taking[core->taking_side ^ 1] > 0)
        return;
    core->floor = horizons->floor_due;
    horizons->floor_due = 0;
    core_signal(core, SIGNAL_FLOOR);
}

int horizons_restore_floor(struct core *core, struct slice value)
{
    struct reader reader = reader_of(value);
    uint64_t floor = read_u64(&reader);
    if (!reader_finished(&reader))
        return ERR_CORRUPT;
    if (!RULE(FLOOR_KEPT))
        return 0;
    /* A promise stands; but where collection is off nobody builds on it. Each shard makes one: all
     * of them keep the highest. */
    core->floor_kept = MAX(core->floor_kept, floor);
    core->floor = horizons_raise(core) ? core->floor_kept : 0;
    core->hlc = MAX(core->hlc, floor);
    return 0;
}

/* -------------------------------------------------------------------------------------- Cells. */

int horizons_restore(struct horizons *horizons, struct core *core, uint32_t range,
                     struct slice value)
{
    struct reader reader = reader_of(value);
    uint64_t horizon = read_u64(&reader);
    uint64_t stands = read_u64(&reader);
    if (!reader_finished(&reader) || stands > horizon)
        return ERR_CORRUPT;
    core->holdings[range].horizon = horizon;
    core->holdings[range].stands = stands;
    core->hlc = MAX(core->hlc, horizon); /* Nothing is stamped below it here. */
    horizons->open += stands < horizon;
    return 0;
}

void horizon_cell_store(struct core *core, uint32_t range, uint64_t stands, uint64_t horizon,
                        uint64_t token)
{
    struct meta *meta = core_alloc(core, sizeof(*meta));
    *meta = horizon_cell(core, range, core->holdings[range].horizon, stands);
    struct store_op *op = core_store(core, STORE_META, token);
    op->range = range;
    op->sync = true;
    op->batch.metas = meta;
    op->batch.metas_count = 1;
    op->batch.horizon = horizon;
}

const struct range_record *horizon_record(const struct core *core, const struct range_epoch *range)
{
    if (range->range >= ring_ranges(&core->ring))
        return NULL;
    const struct holding *holding = &core->holdings[range->range];
    const struct range_record *record = &holding->record;
    if (!holding->ready || !holding->durable || range_epoch_compare(range, record) != 0 ||
        record_slot_read_by(record, core->self) == NULL)
        return NULL;
    for (uint32_t i = 0; RULE(HORIZON_STABLE) && i < record->slots_count; i++)
        if (record->slots[i].stage != STAGE_STABLE)
            return NULL;
    for (uint32_t i = 0; RULE(HORIZON_STABLE) && i < record->former_count; i++)
        if (!member_departed(&core->members, record->former[i]))
            return NULL;
    return record;
}

uint64_t horizon_lives(const struct core *core, const struct range_record *record)
{
    uint64_t digest = 0;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        struct node_id reader = slot_reader(&record->slots[i]);
        const struct member *member = member_find(&core->members, reader);
        uint64_t generation = member == NULL ? 0 : member->generation;
        digest = checksum_pair(digest, checksum_pair(reader.hi ^ reader.lo, generation));
    }
    return digest;
}

void horizon_take(struct horizons *horizons, struct core *core, const struct range_epoch *range,
                  uint64_t horizon, struct node_id peer)
{
    struct holding *holding = &core->holdings[range->range];
    horizons->open += holding->horizon == holding->stands;
    holding->horizon = horizon;
    core->hlc = MAX(core->hlc, horizon);
    uint64_t token;
    horizon_wait_add(horizons, HORIZON_WAIT_CELL, range, peer, &token);
    horizon_cell_store(core, range->range, holding->stands, horizon, token);
}

static void say_taken(struct core *core, const struct range_epoch *range, struct node_id to)
{
    const struct holding *holding = &core->holdings[range->range];
    struct message *message = core_send(core, to, MESSAGE_HORIZON);
    message->horizon.range = *range;
    message->horizon.horizon = holding->horizon;
    message->horizon.stands = holding->stands;
    message->horizon.reply = true;
}

static void hand_on(struct core *core, const struct range_epoch *range, struct node_id to)
{
    struct message *message = core_send(core, to, MESSAGE_HORIZON);
    message->horizon.range = *range;
    message->horizon.horizon = core->holdings[range->range].horizon;
    message->horizon.drops = buckets_drops_digest(&core->settings);
}

/* Is the horizon that was taken on for RANGE still on its way to the disk? */
static bool is_taking(const struct horizons *horizons, uint32_t range)
{
    const struct horizon_wait *wait;
    size_t cursor = 0;
    while ((wait = map_next(&horizons->waits, &cursor, NULL)) != NULL)
        if (wait->kind == HORIZON_WAIT_CELL && wait->range.range == range)
            return true;
    return false;
}

/* Somebody who reads the range as well says that up to T all is proven. */
static void on_horizon(struct horizons *horizons, struct core *core, struct node_id from,
                       const struct message *message)
{
    const struct range_epoch *range = &message->horizon.range;
    const struct range_record *record = horizon_record(core, range);
    if (record == NULL || record_slot_read_by(record, from) == NULL)
        return;
    uint64_t horizon = message->horizon.horizon;
    if (horizon <= core->holdings[range->range].horizon) {
        if (!is_taking(horizons, range->range))
            say_taken(core, range, from);
        if (horizon < core->holdings[range->range].horizon)
            hand_on(core, range, from);
        return;
    }
    /* Ahead of our clock it is proven by nobody; other drop counts would collect other versions:
     * the raiser asks again, and by then gossip has brought them. */
    if (core_is_ahead(core, horizon) ||
        message->horizon.drops != buckets_drops_digest(&core->settings))
        return;
    horizon_take(horizons, core, range, horizon, from);
}

void horizons_dropped(struct horizons *horizons, struct core *core, uint32_t range)
{
    struct holding *holding = &core->holdings[range];
    if (holding->horizon == 0)
        return;
    horizons->open -= holding->stands < holding->horizon;
    holding->horizon = 0;
    holding->stands = 0;
    if (horizons->passing && horizons->pass_range == range)
        horizons->passing = false;
    uint64_t token;
    struct range_epoch none = {.range = range};
    horizon_wait_add(horizons, HORIZON_WAIT_GONE, &none, NODE_NONE, &token);
    horizon_cell_store(core, range, 0, 0, token);
}

void horizons_brought(struct horizons *horizons, struct core *core, uint32_t range)
{
    (void)range;
    horizons->open++;
    horizon_schedule(horizons, core);
}

/* Whoever of the two has the lower one is answered with the higher one. */
void horizons_differ(struct core *core, uint32_t range, struct node_id node)
{
    struct range_epoch epoch = range_epoch_of(&core->holdings[range].record);
    /* Who never had one says so too: that is how it asks for the first. */
    bool says = core->holdings[range].horizon != 0 || RULE(HORIZON_FIRST_ASKED);
    if (says && horizon_record(core, &epoch) != NULL)
        hand_on(core, &epoch, node);
}

/* ------------------------------------------------------------------------------------- Events. */

void horizon_schedule(struct horizons *horizons, struct core *core)
{
    if (!horizons->started)
        return;
    uint64_t wake = UINT64_MAX;
    if (horizons_raise(core))
        wake = MIN(horizons->floor_us, raises_wake_us(horizons, core));
    if (horizons->open > 0 && !horizons->pass_waits && !horizons->pass_ended)
        wake = MIN(wake, horizons->pass_us);
    if (wake != UINT64_MAX)
        core_timer_set(core, &horizons->timer, MAX(wake, core->now.us));
}

static void tick(struct core *core, void *machine, struct timer *timer)
{
    (void)timer;
    struct horizons *horizons = machine;
    if (horizons_raise(core)) {
        floor_tell(horizons, core);
        if (core->now.us >= horizons->floor_us)
            floor_raise(horizons, core);
        raises_tick(horizons, core);
    }
    pass_tick(horizons, core);
    horizon_schedule(horizons, core);
}

void horizons_message(struct horizons *horizons, struct core *core, struct node_id from,
                      const struct message *message)
{
    if (!horizons->started || message->horizon.range.range >= ring_ranges(&core->ring))
        return;
    if (message->type == MESSAGE_PROVE)
        prove_asked(horizons, core, from, message);
    else if (message->type == MESSAGE_PROVEN)
        raise_proven(horizons, core, from, message);
    else if (message->horizon.reply)
        raise_told(horizons, core, from, message);
    else
        on_horizon(horizons, core, from, message);
    horizon_schedule(horizons, core);
}

void horizons_stored(struct horizons *horizons, struct core *core, const struct store_done *done)
{
    struct horizon_wait *wait = map_remove(&horizons->waits, token_value(done->token));
    ASSERT(wait != NULL);
    switch (wait->kind) {
    case HORIZON_WAIT_PASS:
        pass_stored(horizons, core, done);
        break;
    case HORIZON_WAIT_LOOK:
    case HORIZON_WAIT_TREE:
    case HORIZON_WAIT_KEYS:
        raise_stored(horizons, core, wait, done);
        break;
    case HORIZON_WAIT_ASKED:
    case HORIZON_WAIT_LEAVES:
        prove_stored(horizons, core, wait, done);
        break;
    case HORIZON_WAIT_SYNC:
    case HORIZON_WAIT_SYNCED:
        if (done->error < 0 && wait->kind == HORIZON_WAIT_SYNC)
            raise_stored(horizons, core, wait, done);
        if (done->error < 0)
            break;
        map_put(&horizons->waits, token_value(done->token), wait);
        core_when_durable(core, done->position, true, done->token);
        wait = NULL;
        break;
    default:
        break;
    }
    if (wait != NULL)
        horizon_wait_free(wait);
    horizon_schedule(horizons, core);
}

void horizons_durable(struct horizons *horizons, struct core *core, uint64_t token)
{
    struct horizon_wait *wait = map_remove(&horizons->waits, token_value(token));
    ASSERT(wait != NULL);
    switch (wait->kind) {
    case HORIZON_WAIT_FLOOR:
        horizons->floor_synced = true;
        floor_tell(horizons, core);
        break;
    case HORIZON_WAIT_CELL:
        if (!id_none(wait->peer))
            say_taken(core, &wait->range, wait->peer);
        break;
    case HORIZON_WAIT_STANDS:
        pass_stands(horizons, core, wait);
        break;
    case HORIZON_WAIT_SYNC:
        raise_synced(horizons, core, wait);
        break;
    case HORIZON_WAIT_SYNCED:
        prove_synced(core, wait);
        break;
    default:
        break;
    }
    horizon_wait_free(wait);
    horizon_schedule(horizons, core);
}

void horizons_init(struct horizons *horizons)
{
    *horizons = (struct horizons){0};
    horizons->timer.fire = tick;
    horizons->timer.machine = horizons;
}

void horizons_start(struct horizons *horizons, struct core *core)
{
    horizons->started = true;
    horizons->nonces = core->generation
                       << 32; /* Answers to an earlier life are none to this one. */
    horizons->look_us = core->now.us + core->timing.horizon_us;
    horizons->floor_us = core->now.us + core->timing.horizon_us / FLOORS_PER_HORIZON;
    horizon_schedule(horizons, core);
}

void horizons_done(struct horizons *horizons, struct core *core)
{
    size_t cursor = 0;
    struct horizon_wait *wait;
    while ((wait = map_next(&horizons->waits, &cursor, NULL)) != NULL)
        horizon_wait_free(wait);
    map_done(&horizons->waits);
    core_timer_clear(core, &horizons->timer);
}
