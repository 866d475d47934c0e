#include "sim/jobs.h"

#include "base/rule.h"
#include "sim/describe.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOBS_MAX = 64 };

/* One child's share of the memory. */
struct job {
    uint64_t seed; /* Being run. */
    uint64_t done;
    uint64_t failed;
    uint64_t virtual_us;
    struct coverage coverage;
};

struct shared {
    atomic_uint_fast64_t next;
    atomic_uint_fast64_t failed;
    struct job jobs[JOBS_MAX];
};

void jobs_reproduction(uint64_t seed, enum profile profile, char *ret_text, size_t size)
{
    enum rule off = rule_switched_off();
    bool mutant = off != RULE_NONE;
    snprintf(ret_text, size, "kvsim%s%s --seed %llu --profile %s",
             mutant ? "-mutate --mutate " : "", mutant ? rule_name(off) : "",
             (unsigned long long)seed, profile_name(profile));
}

static void coverage_add(struct coverage *sum, const struct coverage *part)
{
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)part;
    _Static_assert(sizeof(struct coverage) % sizeof(uint64_t) == 0, "counters only");
    for (size_t i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++)
        to[i] += from[i];
}

static void run_one(const struct jobs_options *options, struct shared *shared, struct job *job)
{
    struct sim_options world;
    struct run_result result;
    options_draw(job->seed, options->profile, &world);
    run_world(&world, false, false, &result);
    coverage_add(&job->coverage, &result.coverage);
    job->virtual_us += result.virtual_us;
    job->done++;
    if (result.invariant[0] == '\0')
        return;
    job->failed++;
    atomic_fetch_add(&shared->failed, 1);
    char again[120];
    jobs_reproduction(job->seed, options->profile, again, sizeof(again));
    printf("VIOLATION %s: %s\n  again: %s\n", result.invariant, result.text, again);
    fflush(stdout);
}

static void child(const struct jobs_options *options, struct shared *shared, struct job *job)
{
    while (atomic_load(&shared->failed) < options->failures_max) {
        job->seed = atomic_fetch_add(&shared->next, 1);
        if (job->seed > options->last)
            return;
        run_one(options, shared, job);
    }
}

static pid_t spawn(const struct jobs_options *options, struct shared *shared, struct job *job)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        child(options, shared, job);
        fflush(stdout);
        _Exit(0);
    }
    return pid;
}

/* A child died of a seed: say so, and let another go on with the rest. */
static void bury(const struct jobs_options *options, struct shared *shared, struct job *job,
                 int status)
{
    job->failed++;
    job->done++;
    atomic_fetch_add(&shared->failed, 1);
    char again[120];
    jobs_reproduction(job->seed, options->profile, again, sizeof(again));
    if (WIFSIGNALED(status))
        printf("VIOLATION Aborts: signal %d (see the assertion above)\n  again: %s\n",
               WTERMSIG(status), again);
    else
        printf("VIOLATION Aborts: exit code %d\n  again: %s\n", WEXITSTATUS(status), again);
}

static void run_children(const struct jobs_options *options, struct shared *shared, uint32_t count)
{
    pid_t pids[JOBS_MAX];
    uint32_t alive = 0;
    for (uint32_t i = 0; i < count; i++) {
        pids[i] = spawn(options, shared, &shared->jobs[i]);
        alive += pids[i] > 0;
    }
    while (alive > 0) {
        int status;
        pid_t pid = wait(&status);
        if (pid < 0 && errno == EINTR)
            continue;
        for (uint32_t i = 0; i < count; i++) {
            if (pids[i] != pid)
                continue;
            pids[i] = 0;
            alive--;
            if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                continue;
            bury(options, shared, &shared->jobs[i], status);
            pids[i] = spawn(options, shared, &shared->jobs[i]);
            alive += pids[i] > 0;
        }
        if (pid < 0)
            return;
    }
}

void coverage_print(const struct coverage *coverage)
{
    printf("messages");
    for (uint32_t i = 1; i < MESSAGE_TYPES; i++)
        printf(" %s %llu", message_name((enum message_type)i),
               (unsigned long long)coverage->messages[i]);
    printf("\nstages");
    for (uint32_t i = 0; i < STAGE_COUNT; i++)
        printf(" %s %llu", stage_name((enum stage)i), (unsigned long long)coverage->stages[i]);
    printf("\nfaults");
    for (uint32_t i = 0; i < FAULT_COUNT; i++)
        printf(" %s %llu", fault_name((enum fault)i), (unsigned long long)coverage->faults[i]);
    printf(" at-a-step %llu\n", (unsigned long long)coverage->step_crashes);
    printf("moves %llu aborted %llu learns %llu drops %llu joins %llu leaves %llu\n",
           (unsigned long long)coverage->moves_done, (unsigned long long)coverage->moves_aborted,
           (unsigned long long)coverage->learns, (unsigned long long)coverage->drops,
           (unsigned long long)coverage->joins, (unsigned long long)coverage->leaves);
    printf("requests %llu answered %llu refused %llu unknown %llu; steps %llu events %llu\n",
           (unsigned long long)coverage->operations, (unsigned long long)coverage->acknowledged,
           (unsigned long long)coverage->refused, (unsigned long long)coverage->unknown,
           (unsigned long long)coverage->steps, (unsigned long long)coverage->events);
}

/* The one place that looks at a real clock: for the rate it prints. */
static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

uint64_t jobs_run(const struct jobs_options *options)
{
    struct shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("kvsim: mmap");
        return 1;
    }
    atomic_store(&shared->next, options->first);
    uint32_t count = MIN(MAX(options->jobs, 1u), (uint32_t)JOBS_MAX);
    double begin = seconds();
    run_children(options, shared, count);
    double took = seconds() - begin;
    struct job sum = {0};
    for (uint32_t i = 0; i < count; i++) {
        sum.done += shared->jobs[i].done;
        sum.failed += shared->jobs[i].failed;
        sum.virtual_us += shared->jobs[i].virtual_us;
        coverage_add(&sum.coverage, &shared->jobs[i].coverage);
    }
    if (options->coverage)
        coverage_print(&sum.coverage);
    printf("%s: %llu worlds of seeds %llu-%llu, %llu failed; %llu requests, %llu moves, "
           "%.0f virtual hours in %.1f s, %.1f worlds/s\n",
           profile_name(options->profile), (unsigned long long)sum.done,
           (unsigned long long)options->first, (unsigned long long)options->last,
           (unsigned long long)sum.failed, (unsigned long long)sum.coverage.operations,
           (unsigned long long)(sum.coverage.moves_done + sum.coverage.learns),
           (double)sum.virtual_us / 3.6e9, took, (double)sum.done / took);
    munmap(shared, sizeof(*shared));
    return sum.failed;
}
