/* `ring` and `gossip`: who owns what, and what this node has heard. */
#include "cli/table.h"
#include "kvadmin/admin.h"

/* --------------------------------------------------------------------------------- ring. */

static void slot_text(const struct fleet *fleet, const json_t *slot, struct buf *out)
{
    const char *stage = field_text(slot, "stage");
    const char *owner = fleet_name(fleet, field_text(slot, "owner"));
    const char *target = fleet_name(fleet, field_text(slot, "target"));
    if (out->size > 0)
        buf_printf(out, "  ");
    if (strcmp(stage, "STABLE") == 0)
        buf_printf(out, "%llu:%s", (unsigned long long)field_u64(slot, "slot"), owner);
    else
        buf_printf(out, "%llu:%s>%s %s", (unsigned long long)field_u64(slot, "slot"), owner, target,
                   stage);
}

static void record_print(struct table *table, const struct fleet *fleet, const json_t *record)
{
    struct buf slots = {0};
    struct buf former = {0};
    size_t i;
    json_t *item;
    json_array_foreach(field_array(record, "slots"), i, item) slot_text(fleet, item, &slots);
    json_array_foreach(field_array(record, "former"), i, item)
        buf_printf(&former, "%s%s", i > 0 ? "," : "", fleet_name(fleet, json_string_value(item)));
    table_cell(table, "%llu", (unsigned long long)field_u64(record, "range"));
    table_cell(table, "%llu", (unsigned long long)field_u64(record, "epoch"));
    table_cell(table, "%.*s", (int)slots.size, (const char *)slots.data);
    table_cell(table, "%.*s", (int)former.size, (const char *)former.data);
    buf_done(&slots);
    buf_done(&former);
}

/* All records from FROM on, at most COUNT, by pages. */
static int records_load(struct cli *cli, uint64_t from, uint64_t count, json_t *records)
{
    while (count > 0) {
        json_t *page = NULL;
        json_t *params =
            json_pack("{s:I,s:I}", "from", (json_int_t)from, "count", (json_int_t)MIN(count, 1024));
        if (cli_call(cli, "ring", params, true, &page) != 0)
            return cli_fail_client(cli);
        json_t *list = json_object_get(page, "records");
        size_t got = json_array_size(list);
        json_array_extend(records, list);
        const json_t *next = json_object_get(page, "next");
        count = json_is_integer(next) && got > 0 ? count - MIN(count, got) : 0;
        from = (uint64_t)json_integer_value(next);
        json_decref(page);
    }
    return 0;
}

int ring_command(struct cli *cli)
{
    struct fleet fleet = {0};
    uint64_t from = 0;
    uint64_t count = UINT64_MAX;
    int exit = 0;
    if ((exit = cli_number(cli, "from", 0, UINT32_MAX, &from)) != 0 ||
        (exit = cli_number(cli, "count", 1, UINT32_MAX, &count)) != 0 ||
        (exit = fleet_load(cli, &fleet)) != 0)
        return exit;
    json_t *records = json_array();
    exit = records_load(cli, from, count, records);
    if (exit == 0 && cli->json) {
        cli_print_json(json_incref(records));
    } else if (exit == 0) {
        struct table table;
        table_init(&table, "rrll");
        table_cell(&table, "RANGE");
        table_cell(&table, "EPOCH");
        table_cell(&table, "SLOTS");
        table_cell(&table, "FORMER");
        size_t i;
        json_t *record;
        json_array_foreach(records, i, record) record_print(&table, &fleet, record);
        table_print(&table, stdout);
        table_done(&table);
    }
    json_decref(records);
    fleet_done(&fleet);
    return exit;
}

/* ------------------------------------------------------------------------------- gossip. */

static void age_cell(struct table *table, const json_t *map, const char *name)
{
    if (json_is_integer(json_object_get(map, name)))
        table_duration_ms(table, field_u64(map, name));
    else
        table_cell(table, "-");
}

static void peers_print(const json_t *peers)
{
    struct table table;
    table_init(&table, "llrrr");
    table_cell(&table, "PEER");
    table_cell(&table, "STATE");
    table_cell(&table, "PHI");
    table_cell(&table, "HEARD");
    table_cell(&table, "SINCE");
    size_t i;
    json_t *peer;
    json_array_foreach(peers, i, peer)
    {
        table_cell(&table, "%s", field_text(peer, "name"));
        table_cell(&table, "%s", json_is_true(json_object_get(peer, "up")) ? "up" : "down");
        table_cell(&table, "%.1f", field_real(peer, "phi"));
        age_cell(&table, peer, "heard_ms");
        age_cell(&table, peer, "since_ms");
    }
    table_print(&table, stdout);
    table_done(&table);
}

int gossip_command(struct cli *cli)
{
    json_t *gossip = NULL;
    if (cli_call(cli, "gossip", NULL, true, &gossip) != 0)
        return cli_fail_client(cli);
    if (cli->json) {
        cli_print_json(gossip);
        return 0;
    }
    peers_print(field_array(gossip, "peers"));
    size_t i;
    json_t *setting;
    json_array_foreach(field_array(gossip, "settings"), i, setting)
        printf("setting %s: version %llu, %llu bytes%s\n", field_text(setting, "name"),
               (unsigned long long)field_u64(setting, "counter"),
               (unsigned long long)field_u64(setting, "bytes"),
               json_is_true(json_object_get(setting, "deleted")) ? ", deleted" : "");
    printf("rounds %llu, news %llu, messages in %llu, out %llu, departed nodes %llu\n",
           (unsigned long long)field_u64(gossip, "rounds"),
           (unsigned long long)field_u64(gossip, "news"),
           (unsigned long long)field_u64(gossip, "messages_in"),
           (unsigned long long)field_u64(gossip, "messages_out"),
           (unsigned long long)field_u64(gossip, "departed"));
    json_decref(gossip);
    return 0;
}
