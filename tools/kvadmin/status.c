/* `status`: one screen that says how the cluster is and what to do. */
#include "cli/table.h"
#include "kvadmin/admin.h"

/* --------------------------------------------------------------------------- Members. */

/* A field that the node may not know of a member. */
static void cell_bytes(struct table *table, const json_t *member, const char *name)
{
    if (json_is_null(json_object_get(member, name)))
        table_cell(table, "-");
    else
        table_bytes(table, field_u64(member, name));
}

static void cell_used(struct table *table, const json_t *member)
{
    char live[32];
    char file[32];
    if (json_is_null(json_object_get(member, "live_bytes"))) {
        table_cell(table, "-");
        return;
    }
    format_bytes(field_u64(member, "live_bytes"), live, sizeof(live));
    format_bytes(field_u64(member, "file_bytes"), file, sizeof(file));
    table_cell(table, "%s / %s", live, file);
}

static void cell_load(struct table *table, const json_t *member)
{
    if (json_is_null(json_object_get(member, "ops_per_s"))) {
        table_cell(table, "-");
        table_cell(table, "-");
        return;
    }
    char ops[32];
    format_count((double)field_u64(member, "ops_per_s"), ops, sizeof(ops));
    table_cell(table, "%s", ops);
    table_cell(table, "%.1f ms", (double)field_u64(member, "p99_us") / 1000);
}

static void members_print(const json_t *members, bool addresses, FILE *to)
{
    struct table table;
    table_init(&table, addresses ? "lllrrrrrrrll" : "lllrrrrrrr");
    static const char *const heads[] = {"NODE",  "ZONE", "STATE", "SLOTS", "LIVE / FILE", "FREE",
                                        "OPS/S", "P99",  "HINTS", "SINCE", "CLIENT",      "PEER"};
    for (size_t i = 0; i < (addresses ? 12U : 10U); i++)
        table_cell(&table, "%s", heads[i]);
    size_t i;
    json_t *member;
    json_array_foreach(members, i, member)
    {
        const char *zone = field_text(member, "zone");
        table_cell(&table, "%s", field_text(member, "name"));
        table_cell(&table, "%s", zone[0] != '\0' ? zone : "-");
        table_cell(&table, "%s", field_text(member, "state"));
        table_cell(&table, "%llu", (unsigned long long)field_u64(member, "slots"));
        cell_used(&table, member);
        cell_bytes(&table, member, "free_bytes");
        cell_load(&table, member);
        cell_bytes(&table, member, "hint_bytes");
        if (json_is_null(json_object_get(member, "since_ms")))
            table_cell(&table, "-");
        else
            table_duration_ms(&table, field_u64(member, "since_ms"));
        if (addresses) {
            table_cell(&table, "%s", field_text(member, "client"));
            table_cell(&table, "%s", field_text(member, "peer"));
        }
    }
    table_print(&table, to);
    table_done(&table);
}

int members_command(struct cli *cli)
{
    struct fleet fleet;
    int exit = fleet_load(cli, &fleet);
    if (exit != 0)
        return exit;
    if (cli->json) {
        cli_print_json(json_incref(fleet.answer));
    } else {
        members_print(fleet.members, true, stdout);
        const json_t *departed = field_array(fleet.answer, "departed");
        size_t i;
        json_t *one;
        json_array_foreach(departed, i, one)
            printf("%s %s\n", field_text(one, "kind"), field_text(one, "id"));
    }
    fleet_done(&fleet);
    return 0;
}

/* ---------------------------------------------------------------------------- Status. */

static void head_print(const json_t *status, FILE *to)
{
    const json_t *cluster = json_object_get(status, "cluster");
    fprintf(to, "%s (%.4s): %s", field_text(cluster, "name"), field_text(cluster, "id"),
            field_text(status, "verdict"));
    size_t i;
    json_t *line;
    json_array_foreach(field_array(status, "reasons"), i, line)
        fprintf(to, "%s%s", i == 0 ? " - " : "; ", json_string_value(line));
    fprintf(to, "\n");
    json_array_foreach(field_array(status, "advice"), i, line)
        fprintf(to, "  do: %s\n", json_string_value(line));
    if (json_is_true(json_object_get(json_object_get(status, "node"), "insecure")))
        fprintf(to, "  insecure: listens beyond this host without TLS (--insecure)\n");
}

/* How far back deletes are not collected yet, and who holds that back. */
static void horizon_print(const json_t *horizon, FILE *to)
{
    if (field_u64(horizon, "at_ms") == 0) {
        fprintf(to, " | no horizon yet");
    } else {
        uint64_t s = field_u64(horizon, "age_ms") / 1000;
        if (s < 120)
            fprintf(to, " | horizon %llus", (unsigned long long)s);
        else if (s < 7200)
            fprintf(to, " | horizon %llum", (unsigned long long)s / 60);
        else
            fprintf(to, " | horizon %lluh", (unsigned long long)s / 3600);
    }
    if (field_text(horizon, "held_by")[0] != '\0')
        fprintf(to, ", held by %s", field_text(horizon, "held_by"));
}

/* While the node asked has something to compare: how much, and how fast it may. */
static void repair_print(const json_t *repair, FILE *to)
{
    char rate[32];
    if (field_u64(repair, "dirty_ranges") == 0)
        return;
    format_bytes(field_u64(repair, "rate_bytes_s"), rate, sizeof(rate));
    fprintf(to, " | %llu ranges to compare, at most %s/s",
            (unsigned long long)field_u64(repair, "dirty_ranges"), rate);
}

static void copies_print(const json_t *status, FILE *to)
{
    const json_t *copies = field_array(status, "copies");
    const char *between = "copies ";
    for (size_t i = json_array_size(copies); i-- > 0;) {
        json_int_t count = json_integer_value(json_array_get(copies, i));
        if (count == 0)
            continue;
        fprintf(to, "%s%zu: %lld", between, i, (long long)count);
        between = ", ";
    }
    const json_t *transfers = json_object_get(status, "transfers");
    fprintf(to, " | transfers %llu", (unsigned long long)field_u64(transfers, "moving"));
    if (field_u64(transfers, "cleanup") > 0)
        fprintf(to, ", %llu to clean up", (unsigned long long)field_u64(transfers, "cleanup"));
    const json_t *plan = json_object_get(status, "plan");
    const char *state = field_text(plan, "state");
    if (strcmp(state, "running") == 0 || strcmp(state, "paused") == 0)
        fprintf(to, " | plan %s: %llu of %llu moves done", state,
                (unsigned long long)field_u64(plan, "done"),
                (unsigned long long)field_u64(plan, "moves"));
    const json_t *store = json_object_get(status, "store");
    if (field_u64(store, "found") > 0)
        fprintf(to, " | records of this node found damaged %llu, healed %llu, lost %llu",
                (unsigned long long)field_u64(store, "found"),
                (unsigned long long)field_u64(store, "healed"),
                (unsigned long long)field_u64(store, "lost"));
    if (field_u64(store, "scrub_percent") < 100 && field_u64(store, "scrub_rounds") == 0)
        fprintf(to, " | scrub %llu %%", (unsigned long long)field_u64(store, "scrub_percent"));
    const json_t *horizon = json_object_get(status, "horizon");
    if (horizon != NULL) /* Else nothing is collected. */
        horizon_print(horizon, to);
    repair_print(json_object_get(status, "repair"), to);
    fprintf(to, "\n");
}

void status_print(const json_t *status, FILE *to)
{
    head_print(status, to);
    members_print(field_array(status, "members"), false, to);
    copies_print(status, to);
}

int status_command(struct cli *cli)
{
    json_t *status = NULL;
    if (cli_call(cli, "status", NULL, true, &status) != 0)
        return cli_fail_client(cli);
    bool good = strcmp(field_text(status, "verdict"), "OK") == 0;
    if (cli->json) {
        cli_print_json(status);
    } else {
        status_print(status, stdout);
        json_decref(status);
    }
    return cli_given(cli, "check") && !good ? 3 : 0;
}
