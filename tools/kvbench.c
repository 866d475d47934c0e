/* kvbench: load on a cluster, measured from outside and checked. */
#include "cli/command.h"
#include "kvbench/dialect.h"
#include "kvbench/job.h"
#include "kvbench/picture.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static volatile int stopped;

static void on_signal(int signal)
{
    (void)signal;
    stopped = 1;
}

static uint64_t run_id(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ------------------------------------------------------------------------------- Running. */

static int engine_open(const struct cli *cli, struct job *job, struct engine **ret_engine)
{
    struct buf text = {0};
    int error = engine_new(cli->nodes, &job->engine, &job->workload,
                           job->checked ? &job->ledger : NULL, ret_engine, &text);
    int exit = error == 0
                   ? 0
                   : cli_fail(cli, error, NULL, "%.*s", (int)text.size, (const char *)text.data);
    buf_done(&text);
    return exit;
}

static void on_tick(void *arg)
{
    struct job *job = arg;
    live_tick(&job->live);
    if (job->measuring)
        timeline_tick(&job->report.timeline, job->live.engine, job->engine.streams_count);
    if (job->stop_file != NULL && access(job->stop_file, F_OK) == 0)
        stopped = 1;
}

/* Do KIND to each key once. */
static int each_key(const struct cli *cli, struct job *job, enum op_kind kind, const char *name)
{
    struct job part = *job;
    struct engine *engine = NULL;
    part.engine.streams_count = 1;
    part.engine.count_max = 0;
    part.engine.streams[0] = (struct stream){
        .name = name, .each = true, .each_kind = kind, .connections = 8, .depth = 32};
    size_t window = job->engine.manner.dialect->window;
    if (window > 0)
        part.engine.streams[0].depth = (uint32_t)MAX(
            (size_t)1, MIN((size_t)32, window / (sizes_max(&job->engine.sizes) + 256)));
    int exit = engine_open(cli, &part, &engine);
    if (exit != 0)
        return exit;
    if (!cli->json)
        fprintf(stderr, "%s: %llu keys\n", name, (unsigned long long)job->keys);
    live_start(&part.live, engine, 1);
    uint64_t start = engine_now();
    engine_run(engine, 0, &stopped, on_tick, &part);
    live_end(&part.live);
    part.report.engine = engine;
    part.report.options = &part.engine;
    part.report.seconds = (double)(engine_now() - start) / 1e9;
    part.report.watched = false;
    const struct tally *tally = engine_tally(engine, 0);
    bool bad = engine_given_up(engine) > 0 || tally->stale + tally->wrong > 0 || stopped != 0;
    if (bad || (kind == OP_GET && !cli->json))
        report_print(&part.report, bad ? stderr : stdout);
    if (bad)
        exit = cli_fail(cli, tally->stale + tally->wrong > 0 ? ERR_CORRUPT : ERR_UNAVAILABLE, NULL,
                        "%s: %llu keys failed, %llu reads were stale, %llu wrong", name,
                        (unsigned long long)engine_given_up(engine),
                        (unsigned long long)tally->stale, (unsigned long long)tally->wrong);
    else if (cli->json && kind == OP_GET)
        cli_print_json(report_json(&part.report));
    job->workload.prng = part.workload.prng;
    engine_free(engine);
    return exit;
}

static void measure(struct job *job, struct engine *engine, double seconds)
{
    struct report *report = &job->report;
    engine_reset(engine);
    watch_take(&report->watch, &report->before);
    timeline_start(&report->timeline);
    job->measuring = true;
    uint64_t start = engine_now();
    engine_run(engine, seconds, &stopped, on_tick, job);
    report->seconds = (double)(engine_now() - start) / 1e9;
    job->measuring = false;
    timeline_end(&report->timeline, engine, job->engine.streams_count);
    watch_take(&report->watch, &report->after);
    live_end(&job->live);
    engine_settle(engine);
    report->engine = engine;
    report->options = &job->engine;
}

/* Print the report, and draw it if that is asked for. 0 or an exit code. */
static int show(const struct cli *cli, struct job *job)
{
    const char *path = cli_text(cli, "svg");
    if (cli->json)
        cli_print_json(report_json(&job->report));
    else
        report_print(&job->report, stdout);
    int error = path == NULL ? 0 : picture_save(&job->report.timeline, path);
    timeline_done(&job->report.timeline);
    return error == 0
               ? 0
               : cli_fail(cli, error, "is there such a folder, and room?", "cannot write %s", path);
}

/* 0, or the exit code that the failures of a run deserve. */
static int judge(const struct cli *cli, const struct job *job, const struct engine *engine)
{
    uint64_t failed = 0;
    uint64_t wrong = 0;
    for (uint32_t s = 0; s < job->engine.streams_count; s++) {
        const struct tally *tally = engine_tally(engine, s);
        failed += tally->failed;
        wrong += tally->stale + tally->wrong;
    }
    if (wrong > 0) {
        cli_note(cli, "WRONG: %llu reads brought what they must not", (unsigned long long)wrong);
        return 1;
    }
    if (failed > 0) {
        cli_note(cli, "%llu requests failed", (unsigned long long)failed);
        return 3;
    }
    return 0;
}

/* ---------------------------------------------------------------------------------- run. */

static int run_command(struct cli *cli)
{
    struct job job = {.keys = 100000,
                      .seed = 1,
                      .engine = {.manner = {.deadline_ms = 5000}},
                      .checked = cli_given(cli, "verify")};
    uint64_t seconds = 10;
    uint64_t warmup = 0;
    struct engine *engine = NULL;
    int exit = job_read_run(cli, &job, &seconds, &warmup);
    if (exit != 0)
        return exit;
    if (job.checked)
        ledger_init(&job.ledger, run_id(), job.keys);
    if (cli_given(cli, "preload"))
        exit = each_key(cli, &job, OP_PUT, "preload");
    if (exit == 0)
        exit = engine_open(cli, &job, &engine);
    if (exit == 0) {
        live_start(&job.live, engine, 1);
        if (warmup > 0)
            engine_run(engine, (double)warmup, &stopped, on_tick, &job);
        measure(&job, engine, (double)seconds);
        int shown = show(cli, &job);
        exit = judge(cli, &job, engine);
        exit = exit == 0 ? shown : exit;
        engine_free(engine);
    }
    ledger_done(&job.ledger);
    return exit;
}

static int load_command(struct cli *cli)
{
    struct job job = {.keys = 100000, .seed = 1, .engine = {.manner = {.deadline_ms = 5000}}};
    int exit = job_read_shared(cli, &job);
    return exit != 0 ? exit : each_key(cli, &job, OP_PUT, "load");
}

/* --------------------------------------------------------------------------------- soak. */

static int soak_streams(struct cli *cli, struct job *job, uint64_t *seconds)
{
    uint64_t rate = 500;
    uint64_t connections = 16;
    int exit = 0;
    if ((exit = cli_number(cli, "rate", 1, 1000000, &rate)) != 0 ||
        (exit = cli_number(cli, "connections", 1, 10000, &connections)) != 0 ||
        (exit = cli_number(cli, "seconds", 0, 100000000, seconds)) != 0)
        return exit;
    job->stop_file = cli_text(cli, "stop-file");
    job->engine.streams_count = 2;
    job->engine.streams[0] = (struct stream){.name = "writer",
                                             .mix.share[OP_PUT] = 100,
                                             .rate = (double)rate,
                                             .connections = (uint32_t)connections,
                                             .depth = 64};
    job->engine.streams[1] = job->engine.streams[0];
    job->engine.streams[1].name = "reader";
    job->engine.streams[1].mix = (struct mix){.share[OP_GET] = 100};
    return 0;
}

static int soak_command(struct cli *cli)
{
    struct job job = {
        .keys = 10000, .seed = 1, .checked = true, .engine = {.manner = {.deadline_ms = 2000}}};
    uint64_t seconds = 0;
    struct engine *engine = NULL;
    const char *ledger = cli_text(cli, "ledger");
    int exit = 0;
    if ((exit = job_read_shared(cli, &job)) != 0 || (exit = soak_streams(cli, &job, &seconds)) != 0)
        return exit;
    ledger_init(&job.ledger, run_id(), job.keys);
    exit = each_key(cli, &job, OP_PUT, "preload");
    if (exit == 0)
        exit = engine_open(cli, &job, &engine);
    if (exit == 0) {
        if (!cli->json)
            fprintf(stderr, "soak: started\n");
        live_start(&job.live, engine, 2);
        measure(&job, engine, (double)seconds);
        int shown = show(cli, &job);
        exit = judge(cli, &job, engine);
        exit = exit == 0 ? shown : exit;
        engine_free(engine);
        if (ledger != NULL && ledger_save(&job.ledger, ledger) != 0)
            exit = cli_fail(cli, ERR_IO, NULL, "cannot write %s", ledger);
    }
    ledger_done(&job.ledger);
    return exit;
}

static int check_command(struct cli *cli)
{
    struct job job = {.checked = true, .engine = {.manner = {.deadline_ms = 5000}}};
    const char *path = cli->arguments[0];
    int exit = ledger_load(&job.ledger, path);
    if (exit != 0)
        return cli_fail(cli, exit, "give the file that `kvbench soak --ledger` wrote",
                        "cannot read %s as a ledger", path);
    job.keys = job.ledger.keys_count;
    exit = job_read_shared(cli, &job);
    if (exit == 0)
        exit = each_key(cli, &job, OP_GET, "check");
    ledger_done(&job.ledger);
    return exit;
}

/* ------------------------------------------------------------------------------- Tables. */

#define SHARED_OPTIONS                                                                             \
    {"bucket", 'b', "NAME", "bucket to use (default)"},                                            \
        {"prefix", 0, "TEXT", "what keys begin with (key)"},                                       \
        {"seed", 0, "N", "of what is drawn (1)"},                                                  \
    {                                                                                              \
        "strict", 0, NULL, "count only nodes that own the key; so does all that is checked"        \
    }

static const struct cli_option run_options[] = {
    {"connections", 'c', "N", "connections (50)"},
    {"depth", 'd', "N", "requests under way on each (1)"},
    {"rate", 0, "N", "open loop: so many requests a second in all"},
    {"seconds", 't', "N", "how long to measure (10)"},
    {"count", 0, "N", "stop after so many requests"},
    {"warmup", 0, "SECONDS", "run so long before measuring (0)"},
    {"preload", 0, NULL, "write every key once before"},
    {"keys", 'k', "N", "how many keys (100000)"},
    {"size", 's', "BYTES", "size of a value: 100, 64-4096, or with weights 64*90,4096*10 (100)"},
    {"reads", 0, "PERCENT", "share of gets, the rest are puts (50)"},
    {"ycsb", 0, "LETTER", "a core workload of YCSB, a to f, instead of --reads"},
    {"spread", 0, "S", "which keys: uniform, zipfian or latest (uniform)"},
    {"limit", 0, "N", "keys of a scan (100)"},
    {"verify", 0, NULL, "check every value that is read"},
    {"read", 'r', "R", "replicas that must answer a get: one, quorum, all, 1..7"},
    {"write", 'w', "W", "the same for a put"},
    {"svg", 0, "FILE", "draw throughput and latency over time"},
    {"pids", 0, "PID,...", "server processes whose CPU time and memory to report"},
    {"device", 0, "NAME", "block device whose writes to report (all)"},
    {"protocol", 0, "P", "what the server speaks: native, resp, memcache, etcd (native)"},
    {"wait", 0, "N", "with resp: WAIT for so many replicas after each put"},
    SHARED_OPTIONS,
    {0},
};

static const struct cli_option load_options[] = {
    {"keys", 'k', "N", "how many keys (100000)"},
    {"size", 's', "BYTES", "size of a value: 100, 64-4096, or with weights 64*90,4096*10 (100)"},
    {"write", 'w', "W", "replicas that must answer: one, quorum, all, 1..7"},
    {"protocol", 0, "P", "what the server speaks: native, resp, memcache, etcd (native)"},
    {"wait", 0, "N", "with resp: WAIT for so many replicas after each put"},
    SHARED_OPTIONS,
    {0},
};

static const struct cli_option soak_options[] = {
    {"rate", 0, "N", "puts a second, and as many gets (500)"},
    {"connections", 'c', "N", "connections of the writer, and of the reader (16)"},
    {"seconds", 't', "N", "stop after so long (0: when told to)"},
    {"stop-file", 0, "FILE", "stop when this file appears"},
    {"ledger", 0, "FILE", "write down at the end what was acknowledged, for `check`"},
    {"keys", 'k', "N", "how many keys (10000)"},
    {"size", 's', "BYTES", "size of a value: 100, 64-4096, or with weights 64*90,4096*10 (100)"},
    {"read", 'r', "R", "replicas that must answer a get: one, quorum, all, 1..7"},
    {"write", 'w', "W", "the same for a put"},
    {"svg", 0, "FILE", "draw throughput and latency over time"},
    {"pids", 0, "PID,...", "server processes whose CPU time and memory to report"},
    SHARED_OPTIONS,
    {0},
};

static const struct cli_option check_options[] = {
    {"read", 'r', "R", "replicas that must answer a get: one, quorum, all, 1..7"},
    SHARED_OPTIONS,
    {0},
};

static const struct cli_command commands[] = {
    {"run", "", "measure throughput and latency",
     "Without --rate each connection keeps --depth requests under way. With --rate requests have\n"
     "fixed starts and their latency counts from there, whether or not they could be sent.\n"
     "Other servers are driven by the same client with --protocol: Redis and its kind, memcached,\n"
     "and etcd through gRPC. Buckets, consistency levels and contexts are the native protocol's\n"
     "(bucket dbN is Redis' database N), scans that and Redis'.\n"
     "Exit code: 0, 3 when requests failed, 1 when --verify saw a wrong value.",
     run_options, 0, 0, run_command},
    {"load", "", "write every key once", NULL, load_options, 0, 0, load_command},
    {"soak", "", "write and read at a steady rate and check every read",
     "Every request has a deadline (--deadline, 2 s) and is sent once. A read must bring at least\n"
     "what was acknowledged before it began, byte for byte. Runs until --seconds have passed, the\n"
     "--stop-file appears, or SIGINT or SIGTERM comes.\n"
     "Exit code: 0, 3 when a request failed, 1 when a read was stale or wrong.",
     soak_options, 0, 0, soak_command},
    {"check", "FILE", "read back all that a soak wrote", NULL, check_options, 1, 1, check_command},
    {0},
};

static const struct cli_program program = {
    .name = "kvbench",
    .summary = "load on a kvring cluster, measured and checked",
    .commands = commands,
    .help = "Environment: KV_NODES, as --nodes.",
};

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    return cli_main(&program, argc, argv);
}
