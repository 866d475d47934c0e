#include "kvadmin/fleet.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int fleet_load(struct cli *cli, struct fleet *ret_fleet)
{
    json_t *answer = NULL;
    if (cli_call(cli, "members", NULL, true, &answer) != 0)
        return cli_fail_client(cli);
    ret_fleet->answer = answer;
    ret_fleet->members = json_object_get(answer, "members");
    if (json_is_array(ret_fleet->members))
        return 0;
    fleet_done(ret_fleet);
    return cli_fail(cli, ERR_INTERNAL, NULL, "the node's answer to `members` has no members");
}

void fleet_done(struct fleet *fleet)
{
    json_decref(fleet->answer);
    *fleet = (struct fleet){0};
}

const json_t *fleet_find(const struct fleet *fleet, const char *id)
{
    size_t i;
    json_t *member;
    json_array_foreach(fleet->members, i, member)
    {
        if (id != NULL && strcmp(field_text(member, "id"), id) == 0)
            return member;
    }
    return NULL;
}

const json_t *fleet_find_named(const struct cli *cli, const struct fleet *fleet, const char *name)
{
    struct buf names = {0};
    const json_t *found = NULL;
    uint32_t matches = 0;
    size_t i;
    json_t *member;
    json_array_foreach(fleet->members, i, member)
    {
        const char *called = field_text(member, "name");
        bool match =
            strcmp(called, name) == 0 ||
            (strlen(name) >= 4 && strncmp(field_text(member, "id"), name, strlen(name)) == 0);
        matches += match;
        found = match ? member : found;
        buf_printf(&names, "%s%s (%.8s)", i > 0 ? ", " : "", called, field_text(member, "id"));
    }
    if (matches != 1) {
        (void)cli_fail(
            cli, ERR_NOT_MEMBER, NULL, "%s member is called \"%s\"; the members are %.*s",
            matches == 0 ? "no" : "more than one", name, (int)names.size, (const char *)names.data);
        found = NULL;
    }
    buf_done(&names);
    return found;
}

const char *fleet_name(const struct fleet *fleet, const char *id)
{
    static char shorts[8][9]; /* Several may be printed by one call. */
    static unsigned turn;
    const json_t *member = fleet_find(fleet, id);
    if (member != NULL && field_text(member, "name")[0] != '\0')
        return field_text(member, "name");
    if (id == NULL || id[0] == '\0')
        return "-";
    char *text = shorts[turn++ % ARRAY_SIZE(shorts)];
    (void)snprintf(text, 9, "%.8s", id);
    return text;
}

int voice_call(struct cli *cli, struct voice *voice, const json_t *member, const char *method,
               json_t *params, json_t **ret_result)
{
    if (voice->client == NULL) {
        int error = kvr_client_new(field_text(member, "client"), &voice->client, &cli->error);
        if (error != 0) {
            json_decref(params);
            return error;
        }
    }
    return cli_call_at(cli, voice->client, method, params, true, ret_result);
}

void voice_done(struct voice *voice)
{
    kvr_client_free(voice->client);
    *voice = (struct voice){0};
}

/* The digits at *TEXT, which moves behind them. False if there are none, or too many. */
static bool take_number(const char **text, uint64_t *ret_number)
{
    const char *at = *text;
    uint64_t number = 0;
    for (; *at >= '0' && *at <= '9' && at - *text < 9; at++)
        number = number * 10 + (uint64_t)(*at - '0');
    bool some = at > *text;
    *text = at;
    *ret_number = number;
    return some;
}

int ranges_load(struct cli *cli, uint64_t *ret_ranges, uint64_t *ret_first, uint64_t *ret_last)
{
    json_t *page = NULL;
    if (cli_call(cli, "ring", json_pack("{s:i}", "count", 1), true, &page) != 0)
        return cli_fail_client(cli);
    uint64_t ranges = field_u64(page, "ranges");
    json_decref(page);
    const char *text = cli_text(cli, "range");
    *ret_ranges = ranges;
    *ret_first = 0;
    *ret_last = ranges - 1;
    if (text == NULL)
        return 0;
    bool good = take_number(&text, ret_first);
    *ret_last = *ret_first;
    if (good && *text == '-') {
        text++;
        good = take_number(&text, ret_last);
    }
    if (good && *text == '\0' && *ret_first <= *ret_last && *ret_last < ranges)
        return 0;
    return cli_usage(cli, "--range must be N or N-M, within 0 to %llu",
                     (unsigned long long)ranges - 1);
}

/* Integers above 2^63-1 come as decimal strings (cli/json.h). */
uint64_t field_u64(const json_t *map, const char *name)
{
    const json_t *value = json_object_get(map, name);
    if (json_is_string(value))
        return strtoull(json_string_value(value), NULL, 10);
    return json_is_integer(value) ? (uint64_t)json_integer_value(value) : 0;
}

double field_real(const json_t *map, const char *name)
{
    return json_number_value(json_object_get(map, name));
}

const char *field_text(const json_t *map, const char *name)
{
    const char *text = json_string_value(json_object_get(map, name));
    return text != NULL ? text : "";
}

const json_t *field_array(const json_t *map, const char *name)
{
    return json_object_get(map, name);
}

int ask(const struct cli *cli, const char *question)
{
    if (cli_given(cli, "yes"))
        return 0;
    if (cli->json || isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1)
        return cli_fail(cli, ERR_REFUSED, "pass --yes to do it without being asked",
                        "nothing was changed: there is no terminal to ask on");
    if (cli_confirm(question))
        return 0;
    return cli_fail(cli, ERR_REFUSED, "run it again when you are sure", "nothing was changed");
}

int ask_about(struct cli *cli, json_t *plan, const char *question)
{
    bool dry = cli_given(cli, "dry-run");
    if (dry && cli->json)
        cli_print_json(json_incref(plan));
    else if (dry)
        printf("nothing was changed (--dry-run)\n");
    json_decref(plan);
    return dry ? 0 : ask(cli, question);
}

void print_unasked(const json_t *all, const char *indent)
{
    size_t i;
    json_t *entry;
    json_array_foreach(all, i, entry)
    {
        const json_t *error = json_object_get(entry, "error");
        if (error != NULL)
            fprintf(stderr, "%s%s cannot be asked: %s\n", indent, field_text(entry, "node"),
                    field_text(error, "message"));
    }
}
