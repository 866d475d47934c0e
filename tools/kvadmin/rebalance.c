/* `rebalance`, `leave`, `move`: show what would move, ask, apply, wait. */
#include "cli/table.h"
#include "kvadmin/admin.h"
#include "kvadmin/plan.h"

#include <stdlib.h>
#include <time.h>

/* ------------------------------------------------------------------------------ Weights. */

/* The bytes of each range, from whoever reads it: the owners of one range agree but for what is
 * under way. NULL when nobody could be asked. */
static json_t *weights_gather(struct cli *cli, const struct fleet *fleet)
{
    json_t *weights = NULL;
    size_t i;
    json_t *member;
    json_array_foreach(fleet->members, i, member)
    {
        struct voice voice = {0};
        json_t *result = NULL;
        if (field_u64(member, "slots") == 0 ||
            voice_call(cli, &voice, member, "ranges", NULL, &result) != 0) {
            voice_done(&voice);
            continue;
        }
        while (weights == NULL || json_array_size(weights) < field_u64(result, "ranges")) {
            weights = weights == NULL ? json_array() : weights;
            json_array_append_new(weights, json_integer(0));
        }
        const json_t *ranges = field_array(result, "range");
        const json_t *bytes = field_array(result, "bytes");
        for (size_t j = 0; j < json_array_size(ranges); j++) {
            size_t range = (size_t)json_integer_value(json_array_get(ranges, j));
            json_int_t here = json_integer_value(json_array_get(bytes, j));
            json_t *weight = json_array_get(weights, range);
            if (weight != NULL && here > json_integer_value(weight))
                json_integer_set(weight, here);
        }
        json_decref(result);
        voice_done(&voice);
    }
    return weights;
}

/* ----------------------------------------------------------------------------- The plan. */

/* What each node gains and loses. */
struct balance {
    const json_t *member;
    uint64_t now, out, in;
};

static struct balance *balance_find(struct balance *nodes, size_t count, const char *id)
{
    for (size_t i = 0; i < count && id != NULL; i++) {
        if (strcmp(field_text(nodes[i].member, "id"), id) == 0)
            return &nodes[i];
    }
    return NULL;
}

static void balances_print(const struct fleet *fleet, const json_t *plan)
{
    const json_t *moves = field_array(plan, "moves");
    size_t count = json_array_size(fleet->members);
    struct balance *nodes = mem_zero((count + 1) * sizeof(*nodes));
    size_t i;
    json_t *item;
    json_array_foreach(fleet->members, i, item) nodes[i] =
        (struct balance){.member = item, .now = field_u64(item, "slots")};
    json_array_foreach(moves, i, item)
    {
        struct balance *from =
            balance_find(nodes, count, json_string_value(json_array_get(item, 2)));
        struct balance *to = balance_find(nodes, count, json_string_value(json_array_get(item, 3)));
        if (from != NULL)
            from->out++;
        if (to != NULL)
            to->in++;
    }
    /* Who is removed has nothing then, whether it is rebuilt or lost. */
    struct balance *gone =
        balance_find(nodes, count, json_string_value(json_object_get(plan, "node")));
    if (gone != NULL)
        gone->out = gone->now;
    struct table table;
    table_init(&table, "llrrrr");
    static const char *const heads[] = {"NODE", "ZONE", "SLOTS", "OUT", "IN", "THEN"};
    for (i = 0; i < ARRAY_SIZE(heads); i++)
        table_cell(&table, "%s", heads[i]);
    for (i = 0; i < count; i++) {
        const char *zone = field_text(nodes[i].member, "zone");
        table_cell(&table, "%s", field_text(nodes[i].member, "name"));
        table_cell(&table, "%s", zone[0] != '\0' ? zone : "-");
        table_cell(&table, "%llu", (unsigned long long)nodes[i].now);
        table_cell(&table, "%llu", (unsigned long long)nodes[i].out);
        table_cell(&table, "%llu", (unsigned long long)nodes[i].in);
        table_cell(&table, "%llu", (unsigned long long)(nodes[i].now + nodes[i].in - nodes[i].out));
    }
    table_print(&table, stdout);
    table_done(&table);
    mem_free(nodes);
}

void plan_print(const struct fleet *fleet, const json_t *plan, uint64_t rate)
{
    char bytes[32];
    char time[32];
    char limit[48] = "if no client is slowed down by it";
    format_bytes(field_u64(plan, "bytes"), bytes, sizeof(bytes));
    format_duration_ms(field_u64(plan, "seconds") * 1000, time, sizeof(time));
    if (rate > 0) {
        char text[32];
        format_bytes(rate, text, sizeof(text));
        (void)snprintf(limit, sizeof(limit), "at %s/s and node", text);
    }
    balances_print(fleet, plan);
    printf("moves   %llu, of which %llu add a copy\n",
           (unsigned long long)field_u64(plan, "moves_count"),
           (unsigned long long)field_u64(plan, "learns"));
    printf("bytes   %s, about %s %s\n", bytes, time, limit);
    printf("spread  %.1f %% over the mean now, %.1f %% then\n",
           100 * field_real(plan, "spread_before"), 100 * field_real(plan, "spread_after"));
    printf("copies  at least %llu of every range meanwhile%s\n",
           (unsigned long long)field_u64(plan, "copies_worst"),
           field_u64(plan, "waiting") > 0 ? ", with those at nodes that are down" : "");
    if (field_u64(plan, "same_zone_after") > 0)
        printf("zones   %llu ranges keep two copies in one zone\n",
               (unsigned long long)field_u64(plan, "same_zone_after"));
}

int call_patiently(struct cli *cli, const char *method, const json_t *params, bool repeatable,
                   json_t **ret_result)
{
    int error = 0;
    for (int i = 0; i < 20; i++) {
        error = cli_call(cli, method, json_deep_copy(params), repeatable, ret_result);
        if (error != ERR_UNAVAILABLE && error != ERR_NOT_READY)
            return error;
        if (i == 0)
            cli_note(cli, "%s; waiting up to 10 s for that", cli->error.message);
        struct timespec pause = {.tv_nsec = 500000000};
        (void)nanosleep(&pause, NULL);
    }
    return error;
}

int rate_read(const struct cli *cli, uint64_t *ret_rate)
{
    uint64_t megabytes = 0;
    int exit = cli_number(cli, "rate", 1, 1000000, &megabytes);
    *ret_rate = megabytes << 20;
    return exit;
}

/* Hand the moves of PLAN to the cluster. */
static int plan_apply(struct cli *cli, const json_t *plan, uint64_t rate, json_t **ret_result)
{
    json_t *params = json_pack("{s:O,s:I,s:I}", "moves", json_object_get(plan, "moves"), "counter",
                               (json_int_t)field_u64(plan, "counter"), "rate", (json_int_t)rate);
    return cli_call(cli, "apply", params, false, ret_result) != 0 ? cli_fail_client(cli) : 0;
}

int plan_start(struct cli *cli, const char *label, const json_t *plan, uint64_t rate)
{
    json_t *result = NULL;
    int exit = plan_apply(cli, plan, rate, &result);
    if (exit != 0)
        return exit;
    if (cli_given(cli, "wait"))
        exit = plan_wait(cli, label);
    else if (!cli->json)
        printf("started; `kvadmin transfers` shows how far it is\n");
    if (exit == 0 && cli_given(cli, "wait") && !cli->json)
        printf("%llu moves done\n", (unsigned long long)field_u64(plan, "moves_count"));
    if (exit == 0 && cli->json)
        cli_print_json(json_incref(result));
    json_decref(result);
    return exit;
}

json_t *plan_params(struct cli *cli, const struct fleet *fleet, uint64_t rate)
{
    json_t *params = json_pack("{s:I}", "rate", (json_int_t)rate);
    json_t *weights = weights_gather(cli, fleet);
    if (weights != NULL)
        json_object_set_new(params, "weights", weights);
    if (cli_given(cli, "fewer-copies"))
        json_object_set_new(params, "fewer_copies", json_true());
    return params;
}

/* ----------------------------------------------------------------------------- rebalance. */

static int rebalance_go(struct cli *cli, const struct fleet *fleet, const json_t *plan,
                        uint64_t rate)
{
    if (json_array_size(field_array(plan, "moves")) == 0) {
        if (cli->json)
            cli_print_json(json_deep_copy(plan));
        else
            printf("nothing to move: the fullest node is %.1f %% over the mean\n",
                   100 * field_real(plan, "spread_before"));
        return 0;
    }
    if (cli->json && cli_given(cli, "dry-run")) {
        cli_print_json(json_deep_copy(plan));
        return 0;
    }
    if (!cli->json)
        plan_print(fleet, plan, rate);
    if (cli_given(cli, "dry-run")) {
        printf("nothing was changed (--dry-run)\n");
        return 0;
    }
    int exit = ask(cli, "Start these moves?");
    return exit != 0 ? exit : plan_start(cli, "rebalance", plan, rate);
}

int rebalance_command(struct cli *cli)
{
    struct fleet fleet;
    uint64_t rate = 0;
    json_t *plan = NULL;
    int exit = 0;
    if ((exit = rate_read(cli, &rate)) != 0 || (exit = fleet_load(cli, &fleet)) != 0)
        return exit;
    json_t *params = plan_params(cli, &fleet, rate);
    if (cli_given(cli, "by"))
        json_object_set_new(params, "by", json_string(cli_text(cli, "by")));
    if (call_patiently(cli, "plan", params, true, &plan) != 0)
        exit = cli_fail_client(cli);
    else
        exit = rebalance_go(cli, &fleet, plan, rate);
    json_decref(params);
    json_decref(plan);
    fleet_done(&fleet);
    return exit;
}

/* -------------------------------------------------------------------------------- leave. */

/* Wait until the node with ID has departed. */
static int departure_wait(struct cli *cli, const char *id)
{
    for (int i = 0; i < 600; i++) {
        struct fleet fleet;
        if (fleet_load(cli, &fleet) != 0)
            return 3;
        bool gone = fleet_find(&fleet, id) == NULL;
        fleet_done(&fleet);
        if (gone)
            return 0;
        struct timespec pause = {.tv_nsec = 500000000};
        (void)nanosleep(&pause, NULL);
    }
    return cli_fail(cli, ERR_TIMEOUT, "see `kvadmin transfers` for what is still to be cleaned up",
                    "the node owns nothing any more, but has not departed within 5 minutes");
}

static int leave_go(struct cli *cli, const json_t *member, json_t *params, uint64_t rate)
{
    const char *name = field_text(member, "name");
    const char *state = field_text(member, "state");
    bool runs = strcmp(state, "down") != 0 && strcmp(state, "maintenance") != 0;
    json_t *plan = NULL;
    json_object_del(params, "dry_run");
    if (call_patiently(cli, "leave", params, false, &plan) != 0)
        return cli_fail_client(cli);
    int exit = 0;
    if (json_array_size(field_array(plan, "moves")) > 0)
        exit = plan_start(cli, "leave", plan, rate);
    else if (cli->json)
        cli_print_json(json_deep_copy(plan));
    if (exit == 0 && cli_given(cli, "wait"))
        exit = departure_wait(cli, field_text(member, "id"));
    if (exit == 0 && !cli->json)
        printf("%s %s\n", name,
               cli_given(cli, "wait") ? "has left"
               : runs                 ? "is leaving"
                                      : "does not run: it leaves when it is started again");
    json_decref(plan);
    return exit;
}

static int leave_cancel(struct cli *cli, const char *name)
{
    json_t *result = NULL;
    json_t *params = json_pack("{s:s,s:b,s:b}", "node", name, "cancel", 1, "dry_run",
                               (int)cli_given(cli, "dry-run"));
    if (cli_call(cli, "leave", params, false, &result) != 0)
        return cli_fail_client(cli);
    if (cli->json)
        cli_print_json(json_incref(result));
    else
        printf("%s %s\n", name,
               cli_given(cli, "dry-run") ? "would stay (--dry-run)"
                                         : "stays; `kvadmin transfers cancel` stops its moves");
    json_decref(result);
    return 0;
}

/* Show what leaving would move; 0 to go on. */
static int leave_show(struct cli *cli, const struct fleet *fleet, const json_t *params,
                      const char *name, uint64_t rate)
{
    json_t *plan = NULL;
    if (call_patiently(cli, "leave", params, true, &plan) != 0)
        return cli_fail_client(cli);
    if (!cli->json)
        plan_print(fleet, plan, rate);
    char question[160];
    (void)snprintf(question, sizeof(question),
                   "Move everything off %s and let it leave the cluster for ever?", name);
    return ask_about(cli, plan, question);
}

int leave_command(struct cli *cli)
{
    struct fleet fleet;
    uint64_t rate = 0;
    int exit = 0;
    if ((exit = rate_read(cli, &rate)) != 0 || (exit = fleet_load(cli, &fleet)) != 0)
        return exit;
    const json_t *member = fleet_find_named(cli, &fleet, cli->arguments[0]);
    if (member == NULL) {
        fleet_done(&fleet);
        return error_exit_code(ERR_NOT_MEMBER);
    }
    if (cli_given(cli, "cancel")) {
        exit = leave_cancel(cli, field_text(member, "id"));
        fleet_done(&fleet);
        return exit;
    }
    const char *name = field_text(member, "name");
    json_t *params = plan_params(cli, &fleet, rate);
    json_object_set_new(params, "node", json_string(field_text(member, "id")));
    json_object_set_new(params, "dry_run", json_true());
    exit = leave_show(cli, &fleet, params, name, rate);
    if (exit == 0 && !cli_given(cli, "dry-run"))
        exit = leave_go(cli, member, params, rate);
    json_decref(params);
    fleet_done(&fleet);
    return exit;
}

/* --------------------------------------------------------------------------------- move. */

int move_command(struct cli *cli)
{
    char *end = NULL;
    const char *text = cli->arguments[0];
    unsigned long range = strtoul(text, &end, 10);
    unsigned long slot = 0;
    bool good = end != text && *end == '.';
    if (good) {
        const char *rest = end + 1;
        slot = strtoul(rest, &end, 10);
        good = end != rest && *end == '\0';
    }
    uint64_t rate = 0;
    if (!good)
        return cli_usage(cli, "\"%s\" is no slot: write RANGE.SLOT, as in 12.0", text);
    int exit = rate_read(cli, &rate);
    bool dry = cli_given(cli, "dry-run");
    if (exit == 0 && !dry)
        exit = ask(cli, "Move this slot?");
    if (exit != 0)
        return exit;
    json_t *params = json_pack("{s:I,s:I,s:s,s:b}", "range", (json_int_t)range, "slot",
                               (json_int_t)slot, "node", cli->arguments[1], "dry_run", (int)dry);
    if (rate > 0)
        json_object_set_new(params, "rate", json_integer((json_int_t)rate));
    json_t *result = NULL;
    if (cli_call(cli, "move", params, false, &result) != 0)
        return cli_fail_client(cli);
    if (cli->json)
        cli_print_json(json_incref(result));
    else
        printf("slot %lu.%lu %s to %s\n", range, slot, dry ? "would move" : "moves",
               cli->arguments[1]);
    json_decref(result);
    return !dry && cli_given(cli, "wait") ? plan_wait(cli, "move") : 0;
}
