/* What `status` shows of the node that is asked: its store, and how it compares replicas. */
#include "shell/admin_methods.h"

/* What this node's store has found out about itself. */
static void store_write(struct admin_call *call)
{
    struct buf *out = call->out;
    struct store_stats stats;
    admin_store_stats(call->admin, &stats);
    mp_write_text(out, "store");
    mp_write_map(out, 7);
    put_uint(out, "damaged", stats.bad_now);
    put_uint(out, "found", stats.bad_records);
    put_uint(out, "healed", stats.bad_healed);
    put_uint(out, "lost", stats.bad_lost);
    put_uint(out, "scrub_percent", stats.scrub_percent);
    put_uint(out, "scrub_rounds", stats.scrub_rounds);
    put_uint(out, "scrub_took_ms", stats.scrub_took_us / 1000);
}

/* What it is to compare, and how fast. */
static void repair_write(struct admin_call *call)
{
    struct buf *out = call->out;
    struct repair_status repair;
    admin_repair(call->admin, &repair);
    mp_write_text(out, "repair");
    mp_write_map(out, 4);
    put_uint(out, "dirty_ranges", repair.dirty_ranges);
    put_uint(out, "rate_bytes_s", repair.rate);
    put_uint(out, "p99_us", repair.p99_us);
    put_uint(out, "limit_us", repair.limit_us);
}

void health_write(struct admin_call *call)
{
    store_write(call);
    repair_write(call);
}
