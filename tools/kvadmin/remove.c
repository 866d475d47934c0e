/* `remove` and `replace`: give a lost node up for ever, and rebuild what it had elsewhere. */
#include "kvadmin/admin.h"
#include "kvadmin/plan.h"

#include <time.h>

static void pause_briefly(void)
{
    struct timespec pause = {.tv_nsec = 500000000};
    (void)nanosleep(&pause, NULL);
}

static json_t *with_target(const json_t *base, const json_t *heir)
{
    json_t *params = json_deep_copy(base);
    if (heir != NULL)
        json_object_set_new(params, "onto", json_string(field_text(heir, "id")));
    return params;
}

/* ------------------------------------------------------------------------------ Asking. */

static void show(const struct fleet *fleet, const char *name, const json_t *plan, uint64_t rate)
{
    unsigned long long below = (unsigned long long)field_u64(plan, "ranges_below");
    plan_print(fleet, plan, rate);
    if (below == 0)
        printf("%s owns nothing: no range loses a copy\n", name);
    else
        printf("until they are rebuilt, %llu range%s less than full copies: %s\n", below,
               below == 1 ? " has" : "s have", field_text(plan, "ranges_below_list"));
}

/* What is lost with it, for good, and what may yet come back. */
static void show_loss(const json_t *plan)
{
    unsigned long long forked = (unsigned long long)field_u64(plan, "forked");
    unsigned long long emptied = (unsigned long long)field_u64(plan, "emptied");
    unsigned long long waiting = (unsigned long long)field_u64(plan, "waiting");
    if (forked > 0)
        printf(
            "%llu range%s no majority any more, for good: %s\n"
            "  They go on with the copies that are left. Lost is what only lost nodes had, be it\n"
            "  acknowledged: each write, and each delete, that reached no copy that is left.\n",
            forked, forked == 1 ? " has" : "s have", field_text(plan, "forked_list"));
    if (emptied > 0)
        printf("of %llu range%s NO copy is left: %s\n"
               "  All that they held is lost. They start empty.\n",
               emptied, emptied == 1 ? "" : "s", field_text(plan, "emptied_list"));
    if (waiting > 0)
        printf(
            "%llu range%s no majority while these are down: %s (%s)\n"
            "  Nothing of it is given up yet. Start them; or, if they are lost for good as well,\n"
            "  remove them with --accept-loss too.\n",
            waiting, waiting == 1 ? " has" : "s have", field_text(plan, "awaited"),
            field_text(plan, "waiting_list"));
}

/* Show what would be done, with how many moves; 0 to go on. What is lost with it goes into PARAMS:
 * that, and no more, is accepted then. */
static int show_and_ask(struct cli *cli, const struct fleet *fleet, const char *name,
                        json_t *params, uint64_t *ret_moves, uint64_t rate)
{
    json_t *plan = NULL;
    if (call_patiently(cli, "remove", params, true, &plan) != 0)
        return cli_fail_client(cli);
    *ret_moves = json_array_size(field_array(plan, "moves"));
    if (json_object_get(plan, "loss") != NULL)
        json_object_set(params, "loss", json_object_get(plan, "loss"));
    if (!cli->json)
        show(fleet, name, plan, rate);
    if (!cli->json)
        show_loss(plan);
    char question[200];
    (void)snprintf(question, sizeof(question),
                   "%s %s for ever? Its data directory can never be used again.",
                   field_u64(plan, "forked") > 0 ? "Accept this loss, and remove" : "Remove", name);
    return ask_about(cli, plan, question);
}

/* ---------------------------------------------------------------------------- Rebuilding. */

/* The moves that are left for what removed nodes owned. Right after the removal another node may
 * answer that has not heard of it: ask until there are some if EXPECTED. */
static int plan_rebuild(struct cli *cli, const json_t *params, bool expected, json_t **ret_plan)
{
    for (int i = 0; i < 20; i++) {
        if (call_patiently(cli, "plan", params, true, ret_plan) != 0)
            return cli_fail_client(cli);
        if (!expected || json_array_size(field_array(*ret_plan, "moves")) > 0)
            return 0;
        json_decref(*ret_plan);
        *ret_plan = NULL;
        pause_briefly();
    }
    return cli_fail(cli, ERR_TIMEOUT, "run `kvadmin rebalance` in a moment",
                    "the node was removed, but nobody plans to rebuild what it had yet");
}

/* Rebuild, and with --wait again until nothing is left: a range on which something else was moving
 * could not be planned for the first time. */
static int rebuild(struct cli *cli, const json_t *params, uint64_t moves, uint64_t rate)
{
    int exit = 0;
    bool expected = moves > 0;
    for (int round = 0; round < 10 && exit == 0; round++) {
        json_t *plan = NULL;
        exit = plan_rebuild(cli, params, expected, &plan);
        bool left = exit == 0 && json_array_size(field_array(plan, "moves")) > 0;
        if (left)
            exit = plan_start(cli, "rebuild", plan, rate);
        json_decref(plan);
        if (!left || !cli_given(cli, "wait"))
            break;
        expected = false;
    }
    return exit;
}

/* PARAMS of `plan` out of those of `remove`. */
static json_t *rebuild_params(const json_t *params)
{
    json_t *rebuild = json_deep_copy(params);
    json_object_del(rebuild, "node");
    json_object_del(rebuild, "dry_run");
    json_object_del(rebuild, "even_if_alive");
    json_object_del(rebuild, "loss");
    json_object_set_new(rebuild, "rebuild", json_true());
    return rebuild;
}

static int go(struct cli *cli, const json_t *member, const json_t *params, uint64_t moves,
              uint64_t rate)
{
    json_t *result = NULL;
    json_t *removal = json_deep_copy(params);
    json_object_del(removal, "dry_run");
    int error = call_patiently(cli, "remove", removal, false, &result);
    json_decref(removal);
    if (error != 0) {
        json_decref(result);
        return cli_fail_client(cli);
    }
    if (!cli->json)
        printf("%s is removed; it is told so if it ever comes back\n", field_text(member, "name"));
    else
        cli_print_json(json_incref(result));
    json_decref(result);
    json_t *plan = rebuild_params(params);
    int exit = rebuild(cli, plan, moves, rate);
    json_decref(plan);
    if (exit != 0)
        fprintf(stderr,
                "kvadmin: %s is removed all the same; what it had is not rebuilt yet: run "
                "`kvadmin rebalance` when nothing else moves\n",
                field_text(member, "name"));
    return exit;
}

/* With --accept-loss NAME may be the id, or 8 digits of it, of a node that was removed before.
 * NULL: it is none; the caller owns it. */
static json_t *departed_named(const struct cli *cli, const struct fleet *fleet, const char *name)
{
    size_t digits = strspn(name, "0123456789abcdef");
    size_t i;
    json_t *member;
    if (!cli_given(cli, "accept-loss") || digits < 8 || name[digits] != '\0')
        return NULL;
    json_array_foreach(fleet->members, i, member)
    {
        if (strncmp(field_text(member, "id"), name, digits) == 0 ||
            strcmp(field_text(member, "name"), name) == 0)
            return NULL;
    }
    return json_pack("{s:s,s:s}", "id", name, "name", name);
}

static int run(struct cli *cli, const char *name, const char *heir_name)
{
    struct fleet fleet;
    uint64_t rate = 0;
    uint64_t moves = 0;
    int exit = 0;
    if ((exit = rate_read(cli, &rate)) != 0 || (exit = fleet_load(cli, &fleet)) != 0)
        return exit;
    json_t *departed = departed_named(cli, &fleet, name);
    const json_t *member = departed != NULL ? departed : fleet_find_named(cli, &fleet, name);
    const json_t *heir =
        member == NULL || heir_name == NULL ? NULL : fleet_find_named(cli, &fleet, heir_name);
    if (member == NULL || (heir_name != NULL && heir == NULL)) {
        fleet_done(&fleet);
        return error_exit_code(ERR_NOT_MEMBER);
    }
    json_t *base = plan_params(cli, &fleet, rate);
    json_t *params = with_target(base, heir);
    json_object_set_new(params, "node", json_string(field_text(member, "id")));
    json_object_set_new(params, "dry_run", json_true());
    if (cli_given(cli, "even-if-alive"))
        json_object_set_new(params, "even_if_alive", json_true());
    if (cli_given(cli, "accept-loss"))
        json_object_set_new(params, "accept_loss", json_true());
    exit = show_and_ask(cli, &fleet, field_text(member, "name"), params, &moves, rate);
    if (exit == 0 && !cli_given(cli, "dry-run"))
        exit = go(cli, member, params, moves, rate);
    json_decref(params);
    json_decref(base);
    json_decref(departed);
    fleet_done(&fleet);
    return exit;
}

int remove_command(struct cli *cli)
{
    return run(cli, cli->arguments[0], NULL);
}

int replace_command(struct cli *cli)
{
    return run(cli, cli->arguments[0], cli->arguments[1]);
}
