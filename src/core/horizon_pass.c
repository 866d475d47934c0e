/* The pass: a replica collects what is dead up to the horizon that it took on, some keys at a time,
 * and then writes down that its tree stands there. */
#include "core/horizon_state.h"

#include "core/buckets.h"

enum {
    PASS_KEYS_MAX = 128, /* Of one operation, with a pause after it: requests come between. */
    PASS_PAUSE_US = 2500,
    LOOKS_MAX = 1024,
};

static bool pass_begin(struct horizons *horizons, struct core *core)
{
    uint32_t ranges = ring_ranges(&core->ring);
    for (uint32_t looked = 0; looked < MIN(ranges, (uint32_t)LOOKS_MAX); looked++) {
        uint32_t range = horizons->pass_look++ % ranges;
        const struct holding *holding = &core->holdings[range];
        if (holding->stands >= holding->horizon)
            continue;
        horizons->passing = true;
        horizons->pass_range = range;
        horizons->pass_horizon = holding->horizon;
        horizons->pass_from = range_first(range, core->ring.bits);
        horizons->pass_scans = false;
        return true;
    }
    return false;
}

/* The buckets that were dropped at or below the horizon. */
static uint32_t lines_of(struct core *core, uint64_t horizon, uint64_t stands,
                         struct drop_line **ret_lines, bool *ret_news)
{
    struct drop_line *lines;
    uint32_t count = buckets_dropped(&core->settings, &core->out->arena, &lines);
    uint32_t kept = 0;
    *ret_news = false;
    for (uint32_t i = 0; i < count; i++) {
        if (lines[i].dropped_at > horizon)
            continue;
        *ret_news = *ret_news || lines[i].dropped_at > stands;
        lines[kept++] = lines[i];
    }
    *ret_lines = lines;
    return kept;
}

void pass_tick(struct horizons *horizons, struct core *core)
{
    if (horizons->open == 0 || horizons->pass_waits || horizons->pass_ended ||
        core->now.us < horizons->pass_us)
        return;
    horizons->pass_us = core->now.us + PASS_PAUSE_US;
    if (!horizons->passing && !pass_begin(horizons, core))
        return;
    uint32_t range = horizons->pass_range;
    struct drop_line *lines;
    bool news;
    uint32_t count =
        lines_of(core, horizons->pass_horizon, core->holdings[range].stands, &lines, &news);
    horizons->pass_scans = horizons->pass_scans || news;
    uint64_t token;
    struct range_epoch epoch = range_epoch_of(&core->holdings[range].record);
    horizon_wait_add(horizons, HORIZON_WAIT_PASS, &epoch, NODE_NONE, &token);
    horizons->pass_waits = true;
    struct store_op *op = core_store_under(core, STORE_COLLECT, token, epoch);
    op->collect.horizon = horizons->pass_horizon;
    op->collect.drops = lines;
    op->collect.drops_count = count;
    op->collect.scan = horizons->pass_scans;
    op->collect.from = horizons->pass_from;
    op->collect.count_max = PASS_KEYS_MAX;
}

void pass_stored(struct horizons *horizons, struct core *core, const struct store_done *done)
{
    horizons->pass_waits = false;
    core->counters.collected += done->entries_count / 2;
    if (!horizons->passing)
        return; /* The range was dropped meanwhile. */
    if (done->error < 0) {
        horizons->passing = false; /* From the start, a while later. */
        horizons->pass_us = core->now.us + core->timing.retry_us;
        return;
    }
    if (done->more) {
        horizons->pass_from = done->next != 0 ? done->next : horizons->pass_from;
        return;
    }
    uint32_t range = horizons->pass_range;
    struct range_epoch epoch = range_epoch_of(&core->holdings[range].record);
    uint64_t token;
    struct horizon_wait *wait =
        horizon_wait_add(horizons, HORIZON_WAIT_STANDS, &epoch, NODE_NONE, &token);
    wait->horizon = horizons->pass_horizon;
    horizons->pass_ended = true;
    horizon_cell_store(core, range, horizons->pass_horizon, 0, token);
}

void pass_stands(struct horizons *horizons, struct core *core, const struct horizon_wait *wait)
{
    struct holding *holding = &core->holdings[wait->range.range];
    horizons->pass_ended = false;
    if (!horizons->passing || horizons->pass_range != wait->range.range)
        return;
    horizons->passing = false;
    bool was_open = holding->stands < holding->horizon;
    holding->stands = MAX(holding->stands, MIN(wait->horizon, holding->horizon));
    horizons->open -= was_open && holding->stands == holding->horizon;
}
