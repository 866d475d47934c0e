/* Reading the options. */
#include "kvbench/job.h"

#include "base/limits.h"

#include <stdlib.h>

static int read_value_size(const struct cli *cli, struct job *job)
{
    const char *text = cli_text(cli, "size");
    if (sizes_parse(text != NULL ? text : "100", VALUE_SIZE_MAX, &job->engine.sizes) != 0)
        return cli_usage(cli,
                         "--size must be BYTES or BYTES-BYTES, at most %d, or up to %d such parts "
                         "with weights: 64*90,1024-2048*10",
                         VALUE_SIZE_MAX, SIZES_MAX);
    return 0;
}

static bool is_database(struct slice bucket)
{
    if (bucket.size < 3 || bucket.size > 4 || memcmp(bucket.data, "db", 2) != 0)
        return false;
    for (size_t i = 2; i < bucket.size; i++) {
        if (bucket.data[i] < '0' || bucket.data[i] > '9')
            return false;
    }
    return true;
}

/* What the server speaks, and whether it can be asked what else was given. */
static int read_dialect(const struct cli *cli, struct job *job)
{
    static const char *const native[] = {"strict", "read", "write"};
    struct manner *manner = &job->engine.manner;
    const char *name = cli_text(cli, "protocol");
    uint64_t wait = 0;
    manner->dialect = name != NULL ? dialect_find(name) : &dialect_native;
    if (manner->dialect == NULL)
        return cli_usage(cli, "--protocol must be native, resp, memcache or etcd");
    int exit = cli_number(cli, "wait", 1, 100, &wait);
    if (exit != 0)
        return exit;
    manner->wait = (uint32_t)wait;
    if (wait > 0 && manner->dialect != &dialect_resp)
        return cli_usage(cli, "--wait goes with --protocol resp");
    for (size_t i = 0; i < ARRAY_SIZE(native) && !manner->dialect->buckets; i++) {
        if (cli_given(cli, native[i]))
            return cli_usage(cli, "--%s goes with --protocol native", native[i]);
    }
    if (cli_given(cli, "bucket") && !manner->dialect->buckets &&
        (manner->dialect != &dialect_resp || !is_database(manner->bucket)))
        return cli_usage(cli, "--bucket: %s knows %s", manner->dialect->name,
                         manner->dialect == &dialect_resp ? "db0 to db99 only" : "no buckets");
    return 0;
}

/* Bounds that a dialect sets to what is sent with it. */
static int check_stream(const struct cli *cli, const struct job *job)
{
    const struct dialect *dialect = job->engine.manner.dialect;
    const struct stream *stream = &job->engine.streams[0];
    uint32_t scans = stream->mix.share[OP_SCAN];
    if (scans > 0 && !dialect->scans)
        return cli_usage(cli, "--protocol %s has no scans", dialect->name);
    if (dialect->window > 0 &&
        stream->depth * (sizes_max(&job->engine.sizes) + 256) > dialect->window)
        return cli_usage(cli, "--protocol %s: --depth times --size must be below %zu bytes",
                         dialect->name, dialect->window);
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

int job_read_shared(struct cli *cli, struct job *job)
{
    int exit = 0;
    struct manner *manner = &job->engine.manner;
    const char *bucket = cli_text(cli, "bucket");
    manner->bucket = slice_string(bucket != NULL ? bucket : "default");
    if (cli->deadline_ms > 0)
        manner->deadline_ms = cli->deadline_ms;
    /* That a read shows what was acknowledged before is promised to strict requests. */
    manner->strict = job->checked || cli_given(cli, "strict");
    if ((exit = cli_consistency(cli, "read", &manner->r)) != 0 ||
        (exit = cli_consistency(cli, "write", &manner->w)) != 0 ||
        (exit = cli_number(cli, "keys", 1, 1000000000, &job->keys)) != 0 ||
        (exit = cli_number(cli, "seed", 0, UINT64_MAX, &job->seed)) != 0 ||
        (exit = read_value_size(cli, job)) != 0 || (exit = read_dialect(cli, job)) != 0 ||
        (exit = read_watch(cli, job)) != 0)
        return exit;
    const char *prefix = cli_text(cli, "prefix");
    if (prefix != NULL && strlen(prefix) > KEY_NAME_MAX - 24)
        return cli_usage(cli, "--prefix must be at most %d bytes", KEY_NAME_MAX - 24);
    if (job->checked && sizes_min(&job->engine.sizes) < LEDGER_VALUE_MIN)
        return cli_usage(cli, "checked values need --size of at least %d", LEDGER_VALUE_MIN);
    workload_init(&job->workload, job->seed, slice_string(prefix != NULL ? prefix : "key"),
                  job->keys, job->spread);
    return 0;
}

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

int job_read_run(struct cli *cli, struct job *job, uint64_t *seconds, uint64_t *warmup)
{
    uint64_t connections = 50;
    uint64_t depth = 1;
    uint64_t rate = 0;
    uint64_t limit = 100;
    int exit = 0;
    struct stream *stream = &job->engine.streams[0];
    if ((exit = read_mix(cli, job)) != 0 || (exit = job_read_shared(cli, job)) != 0 ||
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
    if ((exit = check_stream(cli, job)) != 0)
        return exit;
    if (job->engine.count_max > 0 && !cli_given(cli, "seconds"))
        *seconds = 0;
    return 0;
}
