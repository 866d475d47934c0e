/* What `status` shows of the node that is asked: its store, and how it compares replicas. */
#include <stdarg.h>
#include <stdio.h>

#include "shell/admin_methods.h"

/* What this node's store has found out about itself. */
static void store_write(struct admin_call *call)
{
    struct buf *out = call->out;
    struct store_stats stats;
    admin_store_stats(call->admin, &stats);
    mp_write_text(out, "store");
    mp_write_map(out, 8);
    put_uint(out, "damaged", stats.bad_now);
    put_uint(out, "holes", stats.holes_now);
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
    mp_write_map(out, 5);
    put_uint(out, "dirty_ranges", repair.dirty_ranges);
    put_uint(out, "rate_bytes_s", repair.rate);
    put_uint(out, "move_rate_bytes_s", repair.move_rate);
    put_uint(out, "p99_us", repair.p99_us);
    put_uint(out, "limit_us", repair.limit_us);
}

void health_write(struct admin_call *call)
{
    store_write(call);
    repair_write(call);
}

void admin_say(struct buf *list, uint32_t *count, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    mp_write_text(list, text);
    (*count)++;
}

static void judge_rift(const struct admin_call *call, struct buf *reasons, uint32_t *reasons_count,
                       struct buf *advice, uint32_t *advice_count)
{
    struct node_id node;
    if (!node_has_rift(call->admin->node, &node))
        return;
    char text[NODE_ID_TEXT];
    id_format(node, text);
    admin_say(
        reasons, reasons_count,
        "node %.8s was removed from this cluster, goes on, and has removed this node in turn: "
        "two clusters have come of one, and neither hears the other",
        text);
    admin_say(advice, advice_count,
              "decide which of the two stays, and stop all nodes of the other for good (`kvcli "
              "export` and `import` carry over what only that has)");
}

void health_judge(const struct admin_call *call, struct buf *reasons, uint32_t *reasons_count,
                  struct buf *advice, uint32_t *advice_count)
{
    struct store_stats stats;
    admin_store_stats(call->admin, &stats);
    uint32_t alone = admin_holes_alone(call->admin);
    uint32_t waiting = (uint32_t)stats.holes_now - MIN(alone, (uint32_t)stats.holes_now);
    judge_rift(call, reasons, reasons_count, advice, advice_count);
    if (stats.full) {
        admin_say(reasons, reasons_count, "the disk of this node is full: writes are refused");
        admin_say(advice, advice_count, "free or add disk space on this node");
    }
    if (stats.bad_now > 0)
        admin_say(reasons, reasons_count, "%llu damaged records on this node",
                  (unsigned long long)stats.bad_now);
    if (waiting > 0)
        admin_say(reasons, reasons_count,
                  "%u intervals of keys are unreadable on this node: keys of records are damaged",
                  waiting);
    if (stats.bad_now > 0 || waiting > 0)
        admin_say(advice, advice_count,
                  "see that the nodes that hold the other copies are up: they heal this one");
    if (alone > 0) {
        admin_say(reasons, reasons_count,
                  "%u intervals of keys are unreadable for good: keys of records are damaged, and "
                  "there is no other copy",
                  alone);
        admin_say(advice, advice_count,
                  "restore what is missing there from a backup: keys can be put, and read then");
    }
}
