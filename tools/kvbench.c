/* kvbench: load on a cluster, measured from outside and checked. */
#include "base/limits.h"
#include "cli/command.h"
#include "kvbench/report.h"

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

/* What the options of any command came to. */
struct job {
    struct engine_options engine;
    struct workload workload;
    struct ledger ledger;
    bool checked;
    uint64_t keys;
    uint64_t seed;
    enum spread spread;
    struct report report;
    const char *stop_file;
    struct live live;
};

/* ------------------------------------------------------------------------------ Options. */

static int read_value_size(const struct cli *cli, struct job *job)
{
    const char *text = cli_text(cli, "size");
    if (text == NULL)
        return 0;
    char *end = NULL;
    job->engine.value_size = strtoull(text, &end, 10);
    job->engine.value_size_max = *end == '-' ? strtoull(end + 1, &end, 10) : 0;
    if (end == text || *end != '\0' || job->engine.value_size > VALUE_SIZE_MAX ||
        job->engine.value_size_max > VALUE_SIZE_MAX)
        return cli_usage(cli, "--size must be BYTES or BYTES-BYTES, at most %d", VALUE_SIZE_MAX);
    return 0;
}

static int read_watch(const struct cli *cli, struct job *job)
{
    struct watch *watch = &job->report.watch;
    const char *pids = cli_text(cli, "pids");
    const char *device = cli_text(cli, "device");
    if (pids != NULL && watch_parse(pids, watch) != 0)
        return cli_usage(cli, "--pids must be process ids with commas between");
    if (device != NULL)
        (void)snprintf(watch->device, sizeof(watch->device), "%s", device);
    job->report.watched = pids != NULL || device != NULL;
    return 0;
}

/* What all commands have. */
static int read_shared(struct cli *cli, struct job *job)
{
    int exit = 0;
    struct manner *manner = &job->engine.manner;
    const char *bucket = cli_text(cli, "bucket");
    manner->bucket = slice_string(bucket != NULL ? bucket : "default");
    if (cli->deadline_ms > 0)
        manner->deadline_ms = cli->deadline_ms;
    manner->strict = cli_given(cli, "strict");
    if ((exit = cli_consistency(cli, "read", &manner->r)) != 0 ||
        (exit = cli_consistency(cli, "write", &manner->w)) != 0 ||
        (exit = cli_number(cli, "keys", 1, 1000000000, &job->keys)) != 0 ||
        (exit = cli_number(cli, "seed", 0, UINT64_MAX, &job->seed)) != 0 ||
        (exit = read_value_size(cli, job)) != 0 || (exit = read_watch(cli, job)) != 0)
        return exit;
    const char *prefix = cli_text(cli, "prefix");
    if (prefix != NULL && strlen(prefix) > KEY_NAME_MAX - 24)
        return cli_usage(cli, "--prefix must be at most %d bytes", KEY_NAME_MAX - 24);
    if (job->checked && job->engine.value_size < LEDGER_VALUE_MIN)
        return cli_usage(cli, "checked values need --size of at least %d", LEDGER_VALUE_MIN);
    workload_init(&job->workload, job->seed, slice_string(prefix != NULL ? prefix : "key"),
                  job->keys, job->spread);
    return 0;
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
    uint64_t start = engine_now();
    engine_run(engine, seconds, &stopped, on_tick, job);
    report->seconds = (double)(engine_now() - start) / 1e9;
    watch_take(&report->watch, &report->after);
    live_end(&job->live);
    engine_settle(engine);
    report->engine = engine;
    report->options = &job->engine;
}

static void show(const struct cli *cli, const struct job *job)
{
    if (cli->json)
        cli_print_json(report_json(&job->report));
    else
        report_print(&job->report, stdout);
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

static int read_mix(const struct cli *cli, struct job *job)
{
    uint64_t reads = 50;
    struct mix *mix = &job->engine.streams[0].mix;
    const char *letter = cli_text(cli, "ycsb");
    const char *spread = cli_text(cli, "spread");
    int exit = cli_number(cli, "reads", 0, 100, &reads);
    if (exit != 0)
        return exit;
    mix->share[OP_GET] = (uint32_t)reads;
    mix->share[OP_PUT] = 100 - (uint32_t)reads;
    if (letter != NULL && (strlen(letter) != 1 || !workload_letter(letter[0], mix, &job->spread)))
        return cli_usage(cli, "--ycsb must be a letter from a to f");
    if (spread == NULL)
        return 0;
    if (strcmp(spread, "uniform") == 0)
        job->spread = SPREAD_UNIFORM;
    else if (strcmp(spread, "zipfian") == 0)
        job->spread = SPREAD_ZIPFIAN;
    else if (strcmp(spread, "latest") == 0)
        job->spread = SPREAD_LATEST;
    else
        return cli_usage(cli, "--spread must be uniform, zipfian or latest");
    return 0;
}

static int read_run(struct cli *cli, struct job *job, uint64_t *seconds, uint64_t *warmup)
{
    uint64_t connections = 50;
    uint64_t depth = 1;
    uint64_t rate = 0;
    uint64_t limit = 100;
    int exit = 0;
    struct stream *stream = &job->engine.streams[0];
    if ((exit = read_mix(cli, job)) != 0 || (exit = read_shared(cli, job)) != 0 ||
        (exit = cli_number(cli, "connections", 1, 20000, &connections)) != 0 ||
        (exit = cli_number(cli, "depth", 1, DEPTH_MAX, &depth)) != 0 ||
        (exit = cli_number(cli, "rate", 1, 100000000, &rate)) != 0 ||
        (exit = cli_number(cli, "count", 1, UINT64_MAX, &job->engine.count_max)) != 0 ||
        (exit = cli_number(cli, "seconds", 0, 1000000, seconds)) != 0 ||
        (exit = cli_number(cli, "warmup", 0, 100000, warmup)) != 0 ||
        (exit = cli_number(cli, "limit", 1, 10000, &limit)) != 0)
        return exit;
    if (job->checked && (stream->mix.share[OP_INSERT] > 0))
        return cli_usage(cli, "--verify goes with gets and puts only");
    stream->name = "run";
    stream->connections = (uint32_t)connections;
    stream->depth = (uint32_t)depth;
    stream->rate = (double)rate;
    job->engine.manner.scan_limit = (uint32_t)limit;
    job->engine.streams_count = 1;
    if (job->engine.count_max > 0 && !cli_given(cli, "seconds"))
        *seconds = 0;
    return 0;
}

static int run_command(struct cli *cli)
{
    struct job job = {.keys = 100000,
                      .seed = 1,
                      .engine = {.value_size = 100, .manner = {.deadline_ms = 5000}},
                      .checked = cli_given(cli, "verify")};
    uint64_t seconds = 10;
    uint64_t warmup = 0;
    struct engine *engine = NULL;
    int exit = read_run(cli, &job, &seconds, &warmup);
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
        show(cli, &job);
        exit = judge(cli, &job, engine);
        engine_free(engine);
    }
    ledger_done(&job.ledger);
    return exit;
}

static int load_command(struct cli *cli)
{
    struct job job = {
        .keys = 100000, .seed = 1, .engine = {.value_size = 100, .manner = {.deadline_ms = 5000}}};
    int exit = read_shared(cli, &job);
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
    struct job job = {.keys = 10000,
                      .seed = 1,
                      .checked = true,
                      .engine = {.value_size = 100, .manner = {.deadline_ms = 2000}}};
    uint64_t seconds = 0;
    struct engine *engine = NULL;
    const char *ledger = cli_text(cli, "ledger");
    int exit = 0;
    if ((exit = read_shared(cli, &job)) != 0 || (exit = soak_streams(cli, &job, &seconds)) != 0)
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
        show(cli, &job);
        exit = judge(cli, &job, engine);
        engine_free(engine);
        if (ledger != NULL && ledger_save(&job.ledger, ledger) != 0)
            exit = cli_fail(cli, ERR_IO, NULL, "cannot write %s", ledger);
    }
    ledger_done(&job.ledger);
    return exit;
}

static int check_command(struct cli *cli)
{
    struct job job = {.checked = true,
                      .engine = {.value_size = LEDGER_VALUE_MIN, .manner = {.deadline_ms = 5000}}};
    const char *path = cli->arguments[0];
    int exit = ledger_load(&job.ledger, path);
    if (exit != 0)
        return cli_fail(cli, exit, "give the file that `kvbench soak --ledger` wrote",
                        "cannot read %s as a ledger", path);
    job.keys = job.ledger.keys_count;
    exit = read_shared(cli, &job);
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
        "strict", 0, NULL, "count only nodes that own the key"                                     \
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
    {"size", 's', "BYTES", "size of a value, or smallest-largest (100)"},
    {"reads", 0, "PERCENT", "share of gets, the rest are puts (50)"},
    {"ycsb", 0, "LETTER", "a core workload of YCSB, a to f, instead of --reads"},
    {"spread", 0, "S", "which keys: uniform, zipfian or latest (uniform)"},
    {"limit", 0, "N", "keys of a scan (100)"},
    {"verify", 0, NULL, "check every value that is read"},
    {"read", 'r', "R", "replicas that must answer a get: one, quorum, all, 1..7"},
    {"write", 'w', "W", "the same for a put"},
    {"pids", 0, "PID,...", "server processes whose CPU time and memory to report"},
    {"device", 0, "NAME", "block device whose writes to report (all)"},
    SHARED_OPTIONS,
    {0},
};

static const struct cli_option load_options[] = {
    {"keys", 'k', "N", "how many keys (100000)"},
    {"size", 's', "BYTES", "size of a value, or smallest-largest (100)"},
    {"write", 'w', "W", "replicas that must answer: one, quorum, all, 1..7"},
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
    {"size", 's', "BYTES", "size of a value, or smallest-largest (100)"},
    {"read", 'r', "R", "replicas that must answer a get: one, quorum, all, 1..7"},
    {"write", 'w', "W", "the same for a put"},
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
