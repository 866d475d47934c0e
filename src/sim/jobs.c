#include "sim/jobs.h"

#include "base/rule.h"
#include "sim/progress.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
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

/* The one place that looks at real clocks: for the rate it prints. */
static uint64_t real_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* What all children that ended have used. */
static uint64_t cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    return (uint64_t)usage.ru_utime.tv_sec * 1000000 + (uint64_t)usage.ru_utime.tv_usec;
}

void jobs_add(const struct jobs_options *options, struct jobs_sum *sum)
{
    struct shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(shared != MAP_FAILED);
    atomic_store(&shared->next, options->first);
    uint32_t count = MIN(MAX(options->jobs, 1u), (uint32_t)JOBS_MAX);
    uint64_t begin = real_us();
    uint64_t cpu_begin = cpu_us();
    run_children(options, shared, count);
    sum->took_us += real_us() - begin;
    sum->cpu_us += cpu_us() - cpu_begin;
    for (uint32_t i = 0; i < count; i++) {
        sum->worlds += shared->jobs[i].done;
        sum->failed += shared->jobs[i].failed;
        sum->virtual_us += shared->jobs[i].virtual_us;
        coverage_add(&sum->coverage, &shared->jobs[i].coverage);
    }
    munmap(shared, sizeof(*shared));
}

/* Has the run met all that its profile should? A run with fewer worlds need not, unless it is asked
 * for the table. */
static uint64_t judge_coverage(const struct jobs_options *options, const struct jobs_sum *sum)
{
    struct buf names = {0};
    bool enough = options->coverage || sum->worlds >= coverage_worlds(options->profile);
    uint32_t missing = coverage_missing(&sum->coverage, options->profile, &names);
    bool failed = missing > 0 && enough && sum->failed == 0;
    if (failed)
        printf("NOT COVERED by any of %llu worlds:%.*s\n", (unsigned long long)sum->worlds,
               (int)names.size, (const char *)names.data);
    buf_done(&names);
    return failed;
}

uint64_t jobs_run(const struct jobs_options *options)
{
    struct jobs_sum sum = {0};
    if (options->progress == NULL)
        jobs_add(options, &sum);
    else if (progress_run(options, &sum) < 0)
        return 1;
    if (options->coverage)
        coverage_print(&sum.coverage);
    printf("%s: %llu worlds of seeds %llu-%llu, %llu failed; %llu requests, %llu moves, "
           "%.0f virtual hours in %.1f s, %.1f worlds/s, %.2f ms of CPU each\n",
           profile_name(options->profile), (unsigned long long)sum.worlds,
           (unsigned long long)options->first, (unsigned long long)options->last,
           (unsigned long long)sum.failed, (unsigned long long)sum.coverage.operations,
           (unsigned long long)(sum.coverage.moves_done + sum.coverage.learns),
           (double)sum.virtual_us / 3.6e9, (double)sum.took_us / 1e6,
           (double)sum.worlds * 1e6 / (double)MAX(sum.took_us, (uint64_t)1),
           (double)sum.cpu_us / 1000 / (double)MAX(sum.worlds, (uint64_t)1));
    return sum.failed + judge_coverage(options, &sum);
}
