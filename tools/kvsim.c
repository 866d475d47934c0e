/* kvsim: the simulator's command line. See docs/testing.md and `kvsim --help`. */
#include "base/rule.h"
#include "kvsim/gossip.h"
#include "sim/jobs.h"
#include "sim/scenario.h"
#include "sim/shrink.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXIT_HELD = 0, EXIT_VIOLATION = 1, EXIT_USAGE = 2 };

static const char usage[] =
    "usage: kvsim --seed S [--profile P] [--with OPTIONS] [--trace] [--shrink]\n"
    "       kvsim --seeds A-B [--profile P] [--jobs J] [--coverage] [--failures N]\n"
    "             [--progress FILE]\n"
    "       kvsim --replay FILE\n"
    "       kvsim --scenario FILE\n"
    "       kvsim gossip --nodes N [--loss P] [--seed S] [--json]\n"
    "\n"
    "Runs clusters of real nodes under virtual time, with requests, faults and an operator drawn\n"
    "from a seed, and checks what the protocol promises. The same seed replays bit for bit.\n"
    "\n"
    "  --seed S       one world; on a violation, the last lines of its trace\n"
    "  --seeds A-B    many worlds and a summary\n"
    "  --profile P    transfer (default), moves, causal, disk, gossip, swarm, hints, rot, rules,\n"
    "                 shards or forks\n"
    "  --jobs J       processes for --seeds (default 1)\n"
    "  --with OPTIONS change what the seed drew, as --shrink prints it: ops=20,loss=0\n"
    "  --trace        print every line of the trace\n"
    "  --shrink       make a world that fails smaller while it fails alike\n"
    "  --coverage     print how often each message, stage and fault was hit\n"
    "  --failures N   with --seeds: stop after N violations (default 10)\n"
    "  --progress FILE  with --seeds: keep the sums there, and go on where the last run ended\n"
    "  --replay FILE  run each line `PROFILE SEED WHY` of FILE\n"
    "  --mutate RULE  take that rule away (kvsim-mutate only); `list` names all, one a line\n"
    "  --scenario FILE  tell the story in FILE (tests/scenario, src/sim/scenario.h)\n"
    "\n"
    "Exit codes: 0 all held, 1 violation, 2 usage.\n";

static int fail(const char *what, const char *value)
{
    fprintf(stderr, "kvsim: %s '%s'\n%s", what, value, usage);
    return EXIT_USAGE;
}

static bool parse_number(const char *text, char end, uint64_t *ret_number, const char **ret_end)
{
    char *stop;
    if (*text < '0' || *text > '9')
        return false;
    *ret_number = strtoull(text, &stop, 10);
    *ret_end = stop + 1;
    return *stop == end;
}

/* What one world is to be. */
struct world_request {
    uint64_t seed;
    enum profile profile;
    const char *with; /* NULL: as drawn. */
    bool trace;
    bool coverage;
    bool shrink;
};

static void print_verdict(const struct sim_options *options, const struct run_result *result)
{
    struct buf text = {0};
    options_format(options, &text);
    bool held = result->invariant[0] == '\0';
    printf("seed %llu %.*s\n", (unsigned long long)options->seed, (int)text.size,
           (const char *)text.data);
    printf("%s trace %016llx, %llu requests, %.1f virtual s\n", held ? "held" : "BROKEN",
           (unsigned long long)result->hash, (unsigned long long)result->coverage.operations,
           (double)result->virtual_us / 1e6);
    if (!held) {
        char again[120];
        jobs_reproduction(options->seed, options->profile, again, sizeof(again));
        buf_clear(&text);
        options_differences(options, &text);
        printf("VIOLATION %s: %s\n  again: %s%s%.*s\n", result->invariant, result->text, again,
               text.size > 0 ? " --with " : "", (int)text.size, (const char *)text.data);
    }
    buf_done(&text);
}

static int run_seed(const struct world_request *request)
{
    struct sim_options options;
    struct run_result result;
    options_draw(request->seed, request->profile, &options);
    if (request->with != NULL && !options_set(&options, request->with))
        return fail("not NAME=NUMBER of an option, no higher than drawn:", request->with);
    run_world(&options, true, request->trace, &result);
    bool held = result.invariant[0] == '\0';
    if (request->coverage)
        coverage_print(&result.coverage);
    print_verdict(&options, &result);
    if (!held && request->shrink) {
        uint32_t worlds = shrink_world(&options, &result);
        printf("smallest of %u worlds tried:\n", worlds);
        print_verdict(&options, &result);
    }
    return held ? EXIT_HELD : EXIT_VIOLATION;
}

/* One world for each line that is not empty and no comment. */
static int replay(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return fail("cannot read", path);
    char line[1000];
    uint64_t failed = 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        char name[32];
        unsigned long long seed;
        enum profile profile;
        if (line[0] == '#' || line[0] == '\n')
            continue;
        if (sscanf(line, "%31s %llu", name, &seed) != 2 || !profile_find(name, &profile)) {
            fclose(file);
            return fail("not `PROFILE SEED WHY`:", line);
        }
        failed += jobs_run(&(struct jobs_options){
            .first = seed, .last = seed, .profile = profile, .jobs = 1, .failures_max = 1});
    }
    fclose(file);
    return failed == 0 ? EXIT_HELD : EXIT_VIOLATION;
}

/* 0, or the exit code to end with. RULE may be `list`. */
static int mutate(const char *rule, bool *ret_listed)
{
    *ret_listed = strcmp(rule, "list") == 0;
    if (*ret_listed) {
        for (int i = RULE_NONE + 1; i < RULE_COUNT; i++)
            printf("%s\n", rule_name((enum rule)i));
        return 0;
    }
    enum rule off;
    if (!rule_find(rule, &off))
        return fail("there is no rule", rule);
#ifdef KVRING_MUTATIONS
    rule_off = off;
    return 0;
#else
    fprintf(stderr,
            "kvsim: this build always keeps %s: kvsim-mutate, which the presets with tests "
            "build, can take it away\n",
            rule_name(off));
    return EXIT_USAGE;
#endif
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "gossip") == 0)
        return gossip_command(argc - 1, argv + 1);
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},
        {"seeds", required_argument, NULL, 'S'},
        {"profile", required_argument, NULL, 'p'},
        {"jobs", required_argument, NULL, 'j'},
        {"trace", no_argument, NULL, 't'},
        {"coverage", no_argument, NULL, 'c'},
        {"failures", required_argument, NULL, 'f'},
        {"replay", required_argument, NULL, 'r'},
        {"mutate", required_argument, NULL, 'm'},
        {"scenario", required_argument, NULL, 'n'},
        {"help", no_argument, NULL, 'h'},
        {"with", required_argument, NULL, 'w'},
        {"shrink", no_argument, NULL, 'k'},
        {"progress", required_argument, NULL, 'g'},
        {0},
    };
    struct jobs_options jobs = {.profile = PROFILE_TRANSFER, .jobs = 1, .failures_max = 10};
    uint64_t seed = 0;
    uint64_t number = 0;
    const char *end;
    bool one = false;
    bool many = false;
    bool trace = false;
    bool shrink = false;
    const char *with = NULL;
    int option;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 's':
            if (!parse_number(optarg, '\0', &seed, &end))
                return fail("not a seed:", optarg);
            one = true;
            break;
        case 'S':
            if (!parse_number(optarg, '-', &jobs.first, &end) ||
                !parse_number(end, '\0', &jobs.last, &end) || jobs.first > jobs.last)
                return fail("not a range of seeds:", optarg);
            many = true;
            break;
        case 'p':
            if (!profile_find(optarg, &jobs.profile))
                return fail("no such profile:", optarg);
            break;
        case 'j':
            if (!parse_number(optarg, '\0', &number, &end) || number == 0 || number > 64)
                return fail("not a number of jobs (1-64):", optarg);
            jobs.jobs = (uint32_t)number;
            break;
        case 'f':
            if (!parse_number(optarg, '\0', &number, &end) || number == 0 || number > 1000000)
                return fail("not a number of failures:", optarg);
            jobs.failures_max = (uint32_t)number;
            break;
        case 't':
            trace = true;
            break;
        case 'w':
            with = optarg;
            break;
        case 'k':
            shrink = true;
            break;
        case 'c':
            jobs.coverage = true;
            break;
        case 'm': {
            bool listed;
            int code = mutate(optarg, &listed);
            if (code != 0 || listed)
                return code;
            break;
        }
        case 'r':
            return replay(optarg);
        case 'g':
            jobs.progress = optarg;
            break;
        case 'n':
            return scenario_run(optarg, stdout);
        case 'h':
            fputs(usage, stdout);
            return EXIT_HELD;
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc)
        return fail("unexpected argument", argv[optind]);
    if (one == many) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (one)
        return run_seed(&(struct world_request){.seed = seed,
                                                .profile = jobs.profile,
                                                .with = with,
                                                .trace = trace,
                                                .coverage = jobs.coverage,
                                                .shrink = shrink});
    return jobs_run(&jobs) == 0 ? EXIT_HELD : EXIT_VIOLATION;
}
