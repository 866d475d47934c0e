/* `repair`: have every node compare the ranges it is responsible for now, and wait for it. */
#include "cli/progress.h"
#include "kvadmin/admin.h"

#include <stdlib.h>
#include <time.h>

enum { POLL_MS = 200 };

/* Ask METHOD of every member; the sum of FIELD (of GROUP, if it has one) over their answers in
 * RET_SUM. */
static int ask_all(struct cli *cli, const struct fleet *fleet, struct voice *voices,
                   const char *method, bool dry, const char *group, uint64_t *ret_sum)
{
    size_t i;
    json_t *member;
    *ret_sum = 0;
    json_array_foreach(fleet->members, i, member)
    {
        json_t *result = NULL;
        json_t *params = dry ? json_pack("{s:b}", "dry_run", 1) : json_object();
        if (voice_call(cli, &voices[i], member, method, params, &result) != 0)
            return cli_fail_error(cli, &cli->error);
        const json_t *figures = group == NULL ? result : json_object_get(result, group);
        *ret_sum += field_u64(figures, "dirty_ranges");
        json_decref(result);
    }
    return 0;
}

static int wait_for_all(struct cli *cli, const struct fleet *fleet, struct voice *voices)
{
    struct progress progress;
    uint64_t most = 0;
    uint64_t left = 1;
    int exit = 0;
    progress_start(&progress, "repair", PROGRESS_COUNT, 0);
    while (exit == 0 && left > 0) {
        exit = ask_all(cli, fleet, voices, "stats", false, "repair", &left);
        if (left > most)
            progress_total(&progress, most = left);
        progress_set(&progress, most - left, NULL);
        if (exit == 0 && left > 0)
            nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
    progress_clear(&progress);
    return exit;
}

int repair_command(struct cli *cli)
{
    struct fleet fleet;
    int exit = fleet_load(cli, &fleet);
    if (exit != 0)
        return exit;
    bool dry = cli_given(cli, "dry-run");
    size_t count = json_array_size(fleet.members);
    struct voice *voices = mem_zero((count + 1) * sizeof(*voices));
    uint64_t before = 0;
    exit = ask_all(cli, &fleet, voices, "repair", dry, NULL, &before);
    if (exit == 0 && !dry && cli_given(cli, "wait"))
        exit = wait_for_all(cli, &fleet, voices);
    if (exit == 0 && cli->json)
        cli_print_json(json_pack("{s:I,s:b}", "nodes", (json_int_t)count, "waited",
                                 (int)(!dry && cli_given(cli, "wait"))));
    else if (exit == 0 && dry)
        printf("%zu nodes would compare all their ranges (--dry-run)\n", count);
    else if (exit == 0)
        printf("%zu nodes %s\n", count,
               cli_given(cli, "wait") ? "have compared all their ranges"
                                      : "are comparing all their ranges");
    for (size_t i = 0; i < count; i++)
        voice_done(&voices[i]);
    mem_free(voices);
    fleet_done(&fleet);
    return exit;
}
