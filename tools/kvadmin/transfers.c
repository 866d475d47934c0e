/* `transfers`: what is moving, gathered from all members; the plan's states; waiting for it. */
#include "cli/progress.h"
#include "cli/table.h"
#include "kvadmin/admin.h"

#include <time.h>

/* ------------------------------------------------------------------------------ Showing. */

static void transfer_row(struct table *table, const struct fleet *fleet, const json_t *member,
                         const json_t *transfer)
{
    table_cell(table, "%s", field_text(member, "name"));
    table_cell(table, "%s", field_text(transfer, "role"));
    table_cell(table, "%llu.%llu", (unsigned long long)field_u64(transfer, "range"),
               (unsigned long long)field_u64(transfer, "slot"));
    table_cell(table, "%s", field_text(transfer, "stage"));
    table_cell(table, "%s", fleet_name(fleet, field_text(transfer, "from")));
    table_cell(table, "%s", fleet_name(fleet, field_text(transfer, "to")));
    table_cell(table, "%llu", (unsigned long long)field_u64(transfer, "keys"));
    table_bytes(table, field_u64(transfer, "bytes"));
    if (json_is_integer(json_object_get(transfer, "since_ms")))
        table_duration_ms(table, field_u64(transfer, "since_ms"));
    else
        table_cell(table, "-");
    table_cell(table, "%s", field_text(transfer, "note"));
}

/* Each member's transfers, or the error in their place: an array as long as the fleet. */
static json_t *transfers_gather(struct cli *cli, const struct fleet *fleet)
{
    json_t *all = json_array();
    size_t i;
    json_t *member;
    json_array_foreach(fleet->members, i, member)
    {
        struct voice voice = {0};
        json_t *result = NULL;
        json_t *entry = json_object();
        json_object_set_new(entry, "node", json_string(field_text(member, "name")));
        if (voice_call(cli, &voice, member, "transfers", NULL, &result) == 0) {
            json_object_set(entry, "transfers", json_object_get(result, "transfers"));
            json_object_set(entry, "plan", json_object_get(result, "plan"));
            json_decref(result);
        } else {
            json_object_set_new(entry, "error", cli_error_json(&cli->error));
        }
        json_array_append_new(all, entry);
        voice_done(&voice);
    }
    return all;
}

static void plan_print(const json_t *plan)
{
    const char *state = field_text(plan, "state");
    if (strcmp(state, "none") == 0) {
        printf("no plan was ever made\n");
        return;
    }
    printf("plan %s %s: %llu of %llu moves done, %llu moving", field_text(plan, "id"), state,
           (unsigned long long)field_u64(plan, "done"),
           (unsigned long long)field_u64(plan, "moves"),
           (unsigned long long)field_u64(plan, "moving"));
    if (field_u64(plan, "rate") > 0) {
        char rate[32];
        format_bytes(field_u64(plan, "rate"), rate, sizeof(rate));
        printf(", at most %s/s a node", rate);
    }
    printf("\n");
}

static void transfers_print(const struct fleet *fleet, const json_t *all)
{
    struct table table;
    table_init(&table, "llrlllrrrl");
    static const char *const heads[] = {"NODE", "ROLE", "SLOT",  "STAGE", "FROM",
                                        "TO",   "KEYS", "BYTES", "SINCE", "NOTE"};
    for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
        table_cell(&table, "%s", heads[i]);
    size_t rows = 0;
    size_t i;
    size_t j;
    json_t *entry;
    json_t *transfer;
    json_array_foreach(all, i, entry)
    {
        json_array_foreach(field_array(entry, "transfers"), j, transfer)
        {
            transfer_row(&table, fleet, json_array_get(fleet->members, i), transfer);
            rows++;
        }
    }
    if (rows > 0)
        table_print(&table, stdout);
    else
        printf("nothing is moving\n");
    table_done(&table);
    print_unasked(all, "");
}

int transfers_command(struct cli *cli)
{
    struct fleet fleet;
    json_t *own = NULL;
    int exit = fleet_load(cli, &fleet);
    if (exit != 0)
        return exit;
    if (cli_call(cli, "transfers", NULL, true, &own) != 0) {
        fleet_done(&fleet);
        return cli_fail_client(cli);
    }
    json_t *all = transfers_gather(cli, &fleet);
    if (cli->json) {
        cli_print_json(json_pack("{s:O,s:O}", "plan", json_object_get(own, "plan"), "nodes", all));
    } else {
        plan_print(json_object_get(own, "plan"));
        transfers_print(&fleet, all);
    }
    json_decref(all);
    json_decref(own);
    fleet_done(&fleet);
    return 0;
}

/* ---------------------------------------------------------------------- Pause and so on. */

static int plan_change(struct cli *cli, const char *method, const char *question)
{
    json_t *result = NULL;
    bool dry = cli_given(cli, "dry-run");
    int exit = dry ? 0 : ask(cli, question);
    if (exit != 0)
        return exit;
    json_t *params = json_pack("{s:b}", "dry_run", dry);
    if (cli_call(cli, method, params, false, &result) != 0)
        return cli_fail_client(cli);
    if (cli->json) {
        cli_print_json(result);
        return 0;
    }
    if (dry)
        cli_note(cli, "nothing was changed (--dry-run); the plan would be:");
    plan_print(json_object_get(result, "plan"));
    json_decref(result);
    return 0;
}

int pause_command(struct cli *cli)
{
    return plan_change(cli, "transfers_pause", "Pause the plan?");
}

int resume_command(struct cli *cli)
{
    return plan_change(cli, "transfers_resume", "Resume the plan?");
}

int cancel_command(struct cli *cli)
{
    return plan_change(cli, "transfers_cancel",
                       "Cancel the moves that are left? What has moved stays where it is.");
}

/* ------------------------------------------------------------------------------ Waiting. */

enum { POLL_MS = 250, QUIET_S = 10, UNREACHABLE_S = 60 };

static void sleep_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

/* Nothing has been done for a while: say what the members are waiting for. */
static void stall_show(struct cli *cli)
{
    struct fleet fleet;
    if (fleet_load(cli, &fleet) != 0)
        return;
    json_t *all = transfers_gather(cli, &fleet);
    uint32_t shown = 0;
    size_t i;
    size_t j;
    json_t *entry;
    json_t *transfer;
    json_array_foreach(all, i, entry)
    {
        json_array_foreach(field_array(entry, "transfers"), j, transfer)
        {
            const char *note = field_text(transfer, "note");
            if (note[0] == '\0' || shown++ >= 5)
                continue;
            fprintf(stderr, "  %s: slot %llu.%llu to %s: %s\n", field_text(entry, "node"),
                    (unsigned long long)field_u64(transfer, "range"),
                    (unsigned long long)field_u64(transfer, "slot"),
                    fleet_name(&fleet, field_text(transfer, "to")), note);
        }
    }
    print_unasked(all, "  ");
    json_decref(all);
    fleet_done(&fleet);
}

struct wait {
    struct progress progress;
    char id[32];
    uint64_t done;
    double changed_s; /* When the plan last got further. */
    double heard_s;   /* When a node last answered. */
};

/* Take in one answer: -1 to go on waiting, or the exit code. */
static int wait_step(struct cli *cli, struct wait *wait, const json_t *plan)
{
    double now = progress_seconds(&wait->progress);
    uint64_t done = field_u64(plan, "done");
    const char *state = field_text(plan, "state");
    char note[64];
    wait->heard_s = now;
    if (wait->id[0] == '\0')
        (void)snprintf(wait->id, sizeof(wait->id), "%s", field_text(plan, "id"));
    progress_total(&wait->progress, field_u64(plan, "moves"));
    (void)snprintf(note, sizeof(note), "%llu moving%s",
                   (unsigned long long)field_u64(plan, "moving"),
                   strcmp(state, "paused") == 0 ? ", paused" : "");
    progress_set(&wait->progress, done, note);
    if (strcmp(field_text(plan, "id"), wait->id) != 0 || strcmp(state, "cancelled") == 0) {
        progress_clear(&wait->progress);
        return cli_fail(cli, ERR_REFUSED, "see `kvadmin transfers`",
                        "the plan was cancelled or replaced after %llu moves",
                        (unsigned long long)wait->done);
    }
    if (done != wait->done || strcmp(state, "paused") == 0)
        wait->changed_s = now;
    wait->done = done;
    if (strcmp(state, "done") == 0 || strcmp(state, "none") == 0) {
        progress_clear(&wait->progress);
        return 0;
    }
    if (now - wait->changed_s > QUIET_S) {
        progress_clear(&wait->progress);
        fprintf(stderr, "no move was finished for %d s; %llu of %llu are done\n", (int)QUIET_S,
                (unsigned long long)done, (unsigned long long)field_u64(plan, "moves"));
        stall_show(cli);
        wait->changed_s = now;
    }
    return -1;
}

int plan_wait(struct cli *cli, const char *label)
{
    struct wait wait = {0};
    progress_start(&wait.progress, label, PROGRESS_COUNT, 0);
    while (true) {
        json_t *status = NULL;
        int exit = -1;
        if (cli_call(cli, "status", NULL, true, &status) == 0) {
            exit = wait_step(cli, &wait, json_object_get(status, "plan"));
            json_decref(status);
        } else if (progress_seconds(&wait.progress) - wait.heard_s > UNREACHABLE_S) {
            progress_clear(&wait.progress);
            return cli_fail_client(cli);
        }
        if (exit >= 0)
            return exit;
        sleep_ms(POLL_MS);
    }
}
