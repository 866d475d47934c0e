#include "kvbench/report.h"

#include "base/error.h"
#include "cli/table.h"

#include <unistd.h>

static const double shares[] = {0.5, 0.9, 0.99, 0.999, 0.9999};
static const char *const share_names[] = {"p50", "p90", "p99", "p99.9", "p99.99"};

static double us(uint64_t ns)
{
    return (double)ns / 1000;
}

/* All streams in one. */
static void sum_tallies(const struct report *report, struct tally *ret_sum)
{
    memset(ret_sum, 0, sizeof(*ret_sum));
    for (uint32_t s = 0; s < report->options->streams_count; s++) {
        const struct tally *tally = engine_tally(report->engine, s);
        ret_sum->done += tally->done;
        ret_sum->failed += tally->failed;
        ret_sum->missed += tally->missed;
        ret_sum->stale += tally->stale;
        ret_sum->wrong += tally->wrong;
        ret_sum->lost += tally->lost;
        for (uint32_t i = 0; i < ERRORS_MAX; i++)
            ret_sum->errors[i] += tally->errors[i];
        for (uint32_t i = 0; i < OP_KINDS; i++)
            histogram_merge(&ret_sum->latency[i], &tally->latency[i]);
    }
}

/* ------------------------------------------------------------------------------ People. */

static void row_print(struct table *table, const char *name, const struct histogram *latency,
                      double seconds)
{
    if (latency->count == 0)
        return;
    table_cell(table, "%s", name);
    table_cell(table, "%llu", (unsigned long long)latency->count);
    table_cell(table, "%.0f", (double)latency->count / seconds);
    table_cell(table, "%.0f", latency->sum_ns / (double)latency->count / 1000);
    for (size_t i = 0; i < ARRAY_SIZE(shares); i++)
        table_cell(table, "%.0f", us(histogram_at(latency, shares[i])));
    table_cell(table, "%.0f", us(latency->max_ns));
}

static void latencies_print(const struct report *report, const struct tally *sum, FILE *to)
{
    struct table table;
    table_init(&table, "lrrrrrrrrr");
    table_cell(&table, "OPERATION");
    table_cell(&table, "COUNT");
    table_cell(&table, "PER S");
    table_cell(&table, "MEAN us");
    for (size_t i = 0; i < ARRAY_SIZE(shares); i++)
        table_cell(&table, "%s", share_names[i]);
    table_cell(&table, "MAX us");
    for (uint32_t i = 0; i < OP_KINDS; i++)
        row_print(&table, op_name((enum op_kind)i), &sum->latency[i], report->seconds);
    table_print(&table, to);
    table_done(&table);
}

static void costs_print(const struct report *report, const struct tally *sum, FILE *to)
{
    if (!report->watched || sum->done == 0)
        return;
    char rss[32];
    char anon[32];
    double done = (double)sum->done;
    uint64_t device = report->after.device_bytes - report->before.device_bytes;
    format_bytes(report->after.rss_bytes, rss, sizeof(rss));
    format_bytes(report->after.anon_bytes, anon, sizeof(anon));
    fprintf(to,
            "servers: %.1f us CPU per operation (%u processes), %s resident, %s of it anonymous\n",
            (double)(report->after.cpu_us - report->before.cpu_us) / done,
            report->watch.pids_count - report->after.missing, rss, anon);
    fprintf(to, "devices: %.0f bytes written per operation\n", (double)device / done);
    if (report->after.missing > 0)
        fprintf(to, "servers: %u of the processes could not be read\n", report->after.missing);
}

static void failures_print(const struct report *report, const struct tally *sum, FILE *to)
{
    fprintf(to, "failed: %llu", (unsigned long long)sum->failed);
    const char *before = " (";
    for (uint32_t i = 1; i < ERRORS_MAX; i++) {
        if (sum->errors[i] > 0) {
            fprintf(to, "%s%s %llu", before, error_word(-(int)i),
                    (unsigned long long)sum->errors[i]);
            before = ", ";
        }
    }
    if (sum->lost > 0)
        fprintf(to, "; without an answer %llu", (unsigned long long)sum->lost);
    fprintf(to, "%s; not found: %llu; stale reads: %llu; wrong reads: %llu\n",
            before[0] == ',' ? ")" : "", (unsigned long long)sum->missed,
            (unsigned long long)sum->stale, (unsigned long long)sum->wrong);
    for (uint32_t i = 0; engine_sample(report->engine, i)[0] != '\0' && i < SAMPLES_MAX; i++)
        fprintf(to, "  %s\n", engine_sample(report->engine, i));
}

void report_print(const struct report *report, FILE *to)
{
    struct tally sum;
    sum_tallies(report, &sum);
    latencies_print(report, &sum, to);
    fprintf(to, "%.1f s, %.0f operations/s\n", report->seconds, (double)sum.done / report->seconds);
    costs_print(report, &sum, to);
    failures_print(report, &sum, to);
}

/* -------------------------------------------------------------------------------- JSON. */

static void put(json_t *map, const char *name, uint64_t value)
{
    json_object_set_new(map, name, json_integer((json_int_t)value));
}

static void put_real(json_t *map, const char *name, double value)
{
    json_object_set_new(map, name, json_real(value));
}

static void latency_put(json_t *map, const struct histogram *latency)
{
    for (size_t i = 0; i < ARRAY_SIZE(shares); i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%s_us", share_names[i]);
        put_real(map, name, us(histogram_at(latency, shares[i])));
    }
    put_real(map, "max_us", us(latency->max_ns));
}

static json_t *latency_json(const struct histogram *latency, double seconds)
{
    json_t *map = json_object();
    put(map, "count", latency->count);
    put_real(map, "per_s", (double)latency->count / seconds);
    put_real(map, "mean_us", latency->sum_ns / (double)latency->count / 1000);
    latency_put(map, latency);
    return map;
}

static json_t *costs_json(const struct report *report, uint64_t done)
{
    json_t *map = json_object();
    uint64_t cpu = report->after.cpu_us - report->before.cpu_us;
    uint64_t device = report->after.device_bytes - report->before.device_bytes;
    put(map, "processes", report->watch.pids_count - report->after.missing);
    put(map, "cpu_us", cpu);
    put_real(map, "cpu_us_per_op", done == 0 ? 0 : (double)cpu / (double)done);
    put(map, "rss_bytes", report->after.rss_bytes);
    put(map, "anon_bytes", report->after.anon_bytes);
    put(map, "device_bytes", device);
    put_real(map, "device_bytes_per_op", done == 0 ? 0 : (double)device / (double)done);
    return map;
}

static json_t *timeline_json(const struct timeline *timeline)
{
    json_t *points = json_array();
    for (uint32_t i = 0; i < timeline->count; i++) {
        const struct timeline_point *point = &timeline->points[i];
        json_t *map = json_object();
        put_real(map, "from_s", point->from);
        put_real(map, "to_s", point->to);
        put(map, "done", point->done);
        put(map, "failed", point->failed);
        latency_put(map, &point->latency);
        json_array_append_new(points, map);
    }
    return points;
}

json_t *report_json(const struct report *report)
{
    struct tally sum;
    sum_tallies(report, &sum);
    json_t *map = json_object();
    put_real(map, "seconds", report->seconds);
    put(map, "done", sum.done);
    put_real(map, "per_s", (double)sum.done / report->seconds);
    put(map, "failed", sum.failed);
    put(map, "lost", sum.lost);
    put(map, "not_found", sum.missed);
    put(map, "stale", sum.stale);
    put(map, "wrong", sum.wrong);
    json_t *errors = json_object();
    for (uint32_t i = 1; i < ERRORS_MAX; i++) {
        if (sum.errors[i] > 0)
            put(errors, error_word(-(int)i), sum.errors[i]);
    }
    json_object_set_new(map, "errors", errors);
    json_t *operations = json_object();
    for (uint32_t i = 0; i < OP_KINDS; i++) {
        if (sum.latency[i].count > 0)
            json_object_set_new(operations, op_name((enum op_kind)i),
                                latency_json(&sum.latency[i], report->seconds));
    }
    json_object_set_new(map, "operations", operations);
    if (report->watched)
        json_object_set_new(map, "servers", costs_json(report, sum.done));
    json_t *samples = json_array();
    for (uint32_t i = 0; i < SAMPLES_MAX && engine_sample(report->engine, i)[0] != '\0'; i++)
        json_array_append_new(samples, json_string(engine_sample(report->engine, i)));
    json_object_set_new(map, "samples", samples);
    if (report->timeline.count > 0)
        json_object_set_new(map, "timeline", timeline_json(&report->timeline));
    return map;
}

/* -------------------------------------------------------------------------------- Live. */

void live_start(struct live *live, const struct engine *engine, uint32_t streams)
{
    *live =
        (struct live){.engine = engine, .streams = streams, .terminal = isatty(STDERR_FILENO) == 1};
}

void live_tick(void *arg)
{
    struct live *live = arg;
    uint32_t every = live->terminal ? 1 : 10;
    if (++live->ticks % every != 0)
        return;
    uint64_t done = 0;
    uint64_t failed = 0;
    uint64_t wrong = 0;
    uint64_t p99 = 0;
    for (uint32_t s = 0; s < live->streams; s++) {
        const struct tally *tally = engine_tally(live->engine, s);
        done += tally->done;
        failed += tally->failed;
        wrong += tally->stale + tally->wrong;
        for (uint32_t i = 0; i < OP_KINDS; i++)
            p99 = MAX(p99, histogram_at(&tally->latency[i], 0.99));
    }
    uint64_t news = done >= live->done ? done - live->done : done;
    fprintf(stderr, "%s%4u s  %llu/s  p99 %.0f us  failed %llu  wrong reads %llu%s",
            live->terminal ? "\r\033[K" : "", live->ticks, (unsigned long long)(news / every),
            us(p99), (unsigned long long)failed, (unsigned long long)wrong,
            live->terminal ? "" : "\n");
    fflush(stderr);
    live->done = done;
}

void live_end(struct live *live)
{
    if (live->terminal && live->ticks > 0)
        fprintf(stderr, "\r\033[K");
}
