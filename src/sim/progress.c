#include "sim/progress.h"

#include "base/error.h"
#include "base/rule.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Half a minute or so: what is lost when a run is broken off. */
enum { BITE = 10000, COUNTERS = sizeof(struct jobs_sum) / sizeof(uint64_t) };
_Static_assert(sizeof(struct jobs_sum) % sizeof(uint64_t) == 0, "counters only");

/* One line that another run must repeat to go on with the file. The trace of the first world stands
 * for all that worlds follow from: the code, and what is drawn. */
static void describe(const struct jobs_options *options, char *ret_text, size_t size)
{
    struct sim_options world;
    struct run_result result;
    options_draw(options->first, options->profile, &world);
    run_world(&world, false, false, &result);
    snprintf(ret_text, size, "kvsim %s %s seeds %" PRIu64 "-%" PRIu64 " trace %016" PRIx64 "\n",
             profile_name(options->profile), rule_name(rule_switched_off()), options->first,
             options->last, result.hash);
}

/* 0, ERR_NOT_FOUND, or ERR_CONFLICT for another run's file. */
static int load(const char *path, const char *head, uint64_t *ret_next, struct jobs_sum *ret_sum)
{
    char line[200];
    struct jobs_sum sum;
    uint64_t *counters = (uint64_t *)&sum;
    uint64_t next;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    bool same = fgets(line, sizeof(line), file) != NULL && strcmp(line, head) == 0 &&
                fscanf(file, "%" SCNu64, &next) == 1;
    for (uint32_t i = 0; same && i < COUNTERS; i++)
        same = fscanf(file, "%" SCNu64, &counters[i]) == 1;
    fclose(file);
    if (!same)
        return ERR_CONFLICT;
    *ret_next = next;
    *ret_sum = sum;
    return OK;
}

/* A new file takes the place of the old one as a whole. */
static int save(const char *path, const char *head, uint64_t next, const struct jobs_sum *sum)
{
    struct buf fresh = {0};
    buf_printf(&fresh, "%s.new", path);
    buf_append(&fresh, slice_of("", 1));
    const char *name = (const char *)fresh.data;
    const uint64_t *counters = (const uint64_t *)sum;
    FILE *file = fopen(name, "w");
    bool written = file != NULL && fprintf(file, "%s%" PRIu64 "\n", head, next) > 0;
    for (uint32_t i = 0; written && i < COUNTERS; i++)
        written = fprintf(file, "%" PRIu64 "\n", counters[i]) > 0;
    if (file != NULL)
        written = fclose(file) == 0 && written;
    written = written && rename(name, path) == 0;
    buf_done(&fresh);
    return written ? OK : ERR_IO;
}

static int complain(const char *path, int error)
{
    if (error == ERR_CONFLICT)
        fprintf(stderr,
                "kvsim: %s is of other seeds or of another version: name another file to begin "
                "anew\n",
                path);
    else
        fprintf(stderr, "kvsim: %s: %s\n", path, strerror(errno));
    return error;
}

int progress_run(const struct jobs_options *options, struct jobs_sum *sum)
{
    char head[200];
    uint64_t next = options->first;
    describe(options, head, sizeof(head));
    int error = load(options->progress, head, &next, sum);
    if (error < 0 && error != ERR_NOT_FOUND)
        return complain(options->progress, error);
    if (error == OK)
        printf("goes on with seed %" PRIu64 ", %" PRIu64 " failed before\n", next, sum->failed);
    while (next <= options->last && sum->failed < options->failures_max) {
        struct jobs_options bite = *options;
        bite.first = next;
        bite.last = MIN(next + BITE - 1, options->last);
        bite.failures_max = BITE + 1; /* A bite is run as a whole. */
        jobs_add(&bite, sum);
        next = bite.last + 1;
        if ((error = save(options->progress, head, next, sum)) < 0)
            return complain(options->progress, error);
        printf("%" PRIu64 " worlds, %" PRIu64 " failed, %.1f worlds/s\n", sum->worlds, sum->failed,
               (double)sum->worlds * 1e6 / (double)MAX(sum->took_us, (uint64_t)1));
        fflush(stdout);
    }
    return OK;
}
