/* `hints`: what members keep for owners that could not be reached, and what holds it. */
#include "cli/table.h"
#include "kvadmin/admin.h"

#include <time.h>

/* Each member's hints, or the error in their place: an array as long as the fleet. */
static json_t *hints_gather(struct cli *cli, const struct fleet *fleet)
{
    json_t *all = json_array();
    size_t i;
    json_t *member;
    json_array_foreach(fleet->members, i, member)
    {
        struct voice voice = {0};
        json_t *result = NULL;
        if (voice_call(cli, &voice, member, "hints", NULL, &result) != 0) {
            result = json_object();
            json_object_set_new(result, "error", cli_error_json(&cli->error));
        }
        json_object_set_new(result, "node", json_string(field_text(member, "name")));
        json_array_append_new(all, result);
        voice_done(&voice);
    }
    return all;
}

static void cell_age(struct table *table, uint64_t oldest_ms)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    if (oldest_ms == 0 || oldest_ms > now_ms)
        table_cell(table, "-");
    else
        table_duration_ms(table, now_ms - oldest_ms);
}

/* "b is down", "the slot has no writer", ... */
static void hold_text(const json_t *target, char *ret_text, size_t size)
{
    const char *held = field_text(target, "held_by");
    if (strcmp(held, "down") == 0)
        snprintf(ret_text, size, "%s is down", field_text(target, "node"));
    else if (strcmp(held, "no writer") == 0)
        snprintf(ret_text, size, "the slot has no writer yet");
    else if (strcmp(held, "refused") == 0)
        snprintf(ret_text, size, "the last try ended with %s", field_text(target, "error"));
    else
        snprintf(ret_text, size, "nothing: %s", held);
}

/* The hints of one node that the same thing holds. */
struct hint_row {
    char held[160];
    uint64_t slots, keys, bytes, oldest_ms;
};
enum { ROWS_MAX = 64 };

static struct hint_row *row_of(struct hint_row *rows, size_t *count, const char *held)
{
    for (size_t i = 0; i < *count; i++)
        if (strcmp(rows[i].held, held) == 0)
            return &rows[i];
    if (*count == ROWS_MAX)
        return &rows[ROWS_MAX - 1];
    struct hint_row *row = &rows[(*count)++];
    *row = (struct hint_row){0};
    snprintf(row->held, sizeof(row->held), "%s", held);
    return row;
}

static size_t rows_add(struct table *table, const json_t *entry)
{
    struct hint_row rows[ROWS_MAX];
    size_t count = 0;
    size_t i;
    json_t *target;
    json_array_foreach(field_array(entry, "targets"), i, target)
    {
        char held[160];
        hold_text(target, held, sizeof(held));
        struct hint_row *row = row_of(rows, &count, held);
        uint64_t oldest = field_u64(target, "oldest_ms");
        row->slots++;
        row->keys += field_u64(target, "keys");
        row->bytes += field_u64(target, "bytes");
        row->oldest_ms = row->slots == 1 ? oldest : MIN(row->oldest_ms, oldest);
    }
    for (i = 0; i < count; i++) {
        table_cell(table, "%s", field_text(entry, "node"));
        table_cell(table, "%llu slots", (unsigned long long)rows[i].slots);
        table_cell(table, "%llu", (unsigned long long)rows[i].keys);
        table_bytes(table, rows[i].bytes);
        cell_age(table, rows[i].oldest_ms);
        table_cell(table, "%s", rows[i].held);
    }
    return count;
}

static size_t slots_add(struct table *table, const json_t *entry)
{
    size_t i;
    json_t *target;
    json_array_foreach(field_array(entry, "targets"), i, target)
    {
        char held[160];
        hold_text(target, held, sizeof(held));
        table_cell(table, "%s", field_text(entry, "node"));
        table_cell(table, "%llu.%llu", (unsigned long long)field_u64(target, "range"),
                   (unsigned long long)field_u64(target, "slot"));
        table_cell(table, "%llu", (unsigned long long)field_u64(target, "keys"));
        table_bytes(table, field_u64(target, "bytes"));
        cell_age(table, field_u64(target, "oldest_ms"));
        table_cell(table, "%s", held);
    }
    return json_array_size(field_array(entry, "targets"));
}

static void hints_print(const json_t *all, bool slots)
{
    struct table table;
    table_init(&table, "lrrrrl");
    static const char *const heads[] = {"NODE", "FOR", "KEYS", "BYTES", "OLDEST", "HELD BY"};
    for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
        table_cell(&table, "%s", heads[i]);
    size_t rows = 0;
    size_t i;
    json_t *entry;
    json_array_foreach(all, i, entry) rows +=
        slots ? slots_add(&table, entry) : rows_add(&table, entry);
    if (rows > 0)
        table_print(&table, stdout);
    else
        printf("no hints are kept\n");
    table_done(&table);
    print_unasked(all, "");
    json_array_foreach(all, i, entry)
    {
        if (field_u64(entry, "unreadable") > 0)
            printf("%s has %llu hints that cannot be read: they are forgotten when all owners of "
                   "their keys have the same\n",
                   field_text(entry, "node"), (unsigned long long)field_u64(entry, "unreadable"));
    }
}

int hints_command(struct cli *cli)
{
    struct fleet fleet;
    int exit = fleet_load(cli, &fleet);
    if (exit != 0)
        return exit;
    json_t *all = hints_gather(cli, &fleet);
    if (cli->json)
        cli_print_json(json_pack("{s:O}", "nodes", all));
    else
        hints_print(all, cli_given(cli, "slots"));
    json_decref(all);
    fleet_done(&fleet);
    return 0;
}
