/* The plan of the cluster, and how far the ring shows it done. */
#include "core/transfer.h"
#include "shell/admin_methods.h"

struct slice plan_name(void)
{
    return slice_string("plan");
}

/* A move that was overtaken will not be made: it is done with, too. */
static bool move_open(const struct core *core, const struct plan_move *move)
{
    return move->range < ring_ranges(&core->ring) && !transfers_overtaken(core, move) &&
           plan_move_fate(move, ring_get(&core->ring, move->range)) == PLAN_MOVE_OPEN;
}

void plan_progress_load(const struct core *core, struct plan_progress *ret_progress)
{
    *ret_progress = (struct plan_progress){0};
    struct slice name = slice_string("plan");
    ret_progress->counter = admin_counter(core, name);
    struct slice value = setting_value(&core->settings, name);
    if (value.size == 0 || core->ring.bits == 0 || plan_decode(value, &ret_progress->plan) != 0) {
        ret_progress->plan = (struct plan){0};
        return;
    }
    uint32_t last = UINT32_MAX;
    for (uint32_t i = 0; i < ret_progress->plan.count; i++) {
        const struct plan_move *move = &ret_progress->plan.moves[i];
        ret_progress->done += !move_open(core, move);
        if (move->range == last || move->range >= ring_ranges(&core->ring))
            continue;
        last = move->range;
        ret_progress->moving += ring_get(&core->ring, move->range)->transfer != 0;
    }
}

void plan_progress_done(struct plan_progress *progress)
{
    plan_done(&progress->plan);
    *progress = (struct plan_progress){0};
}

uint32_t plan_progress_left(const struct plan_progress *progress)
{
    if (progress->plan.id == 0 || progress->plan.state == PLAN_CANCELLED)
        return 0;
    return progress->plan.count - progress->done;
}

static const char *state_text(const struct plan_progress *progress)
{
    if (progress->plan.id == 0)
        return "none";
    if (progress->plan.state == PLAN_CANCELLED)
        return "cancelled";
    if (progress->done == progress->plan.count)
        return "done";
    return progress->plan.state == PLAN_PAUSED ? "paused" : "running";
}

void plan_progress_write(struct buf *out, const struct plan_progress *progress)
{
    mp_write_map(out, 8);
    if (progress->plan.id == 0) {
        mp_write_text(out, "id");
        mp_write_nil(out);
    } else {
        put_hex(out, "id", progress->plan.id);
    }
    put_text(out, "state", state_text(progress));
    put_uint(out, "moves", progress->plan.count);
    put_uint(out, "done", progress->done);
    put_uint(out, "left", progress->plan.count - progress->done);
    put_uint(out, "moving", progress->moving);
    put_uint(out, "rate", progress->plan.rate);
    put_uint(out, "counter", progress->counter);
}

bool plan_idle(struct admin_call *call, const struct plan_progress *progress)
{
    uint32_t left = plan_progress_left(progress);
    if (left == 0)
        return true;
    return admin_refuse(call, ERR_REFUSED,
                        "another plan has %u of %u moves left%s; wait for it, or run `kvadmin "
                        "transfers cancel`",
                        left, progress->plan.count,
                        progress->plan.state == PLAN_PAUSED ? " and is paused" : "");
}

void moves_write(struct buf *out, const struct plan_move *moves, uint32_t count)
{
    mp_write_text(out, "moves");
    mp_write_array(out, count);
    for (uint32_t i = 0; i < count; i++) {
        mp_write_array(out, 4);
        mp_write_uint(out, moves[i].range);
        mp_write_uint(out, moves[i].slot);
        write_id(out, moves[i].from);
        write_id(out, moves[i].to);
    }
}
