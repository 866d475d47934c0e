/* `ring`, `gossip`, `transfers`, `ranges`, `stats`, `verify`, `repair`, `drain`: this node's tables
 * as they are. */
#include "shell/admin_methods.h"

enum { RECORDS_PAGE_MAX = 4096, TRANSFERS_SHOWN_MAX = 4096 };

/* -------------------------------------------------------------------------------- ring. */

static void slot_write(struct buf *out, const struct slot *slot)
{
    mp_write_map(out, 4);
    put_uint(out, "slot", slot->number);
    put_text(out, "stage", stage_name(slot->stage));
    put_id(out, "owner", slot->owner);
    put_id(out, "target", slot->target);
}

static void record_write(struct buf *out, const struct range_record *record)
{
    mp_write_map(out, 6);
    put_uint(out, "range", record->range);
    put_uint(out, "fork", record->fork);
    put_uint(out, "epoch", record->epoch);
    if (record->transfer != 0) {
        put_hex(out, "transfer", record->transfer);
    } else {
        mp_write_text(out, "transfer");
        mp_write_nil(out);
    }
    mp_write_text(out, "slots");
    mp_write_array(out, record->slots_count);
    for (uint32_t i = 0; i < record->slots_count; i++)
        slot_write(out, &record->slots[i]);
    mp_write_text(out, "former");
    mp_write_array(out, record->former_count);
    for (uint32_t i = 0; i < record->former_count; i++)
        write_id(out, record->former[i]);
}

bool method_ring(struct admin_call *call)
{
    if (!admin_joined(call))
        return false;
    const struct ring *ring = &call->core->ring;
    uint64_t from = call->params.numbers[PARAM_FROM];
    uint64_t count = param_given(&call->params, PARAM_COUNT) ? call->params.numbers[PARAM_COUNT]
                                                             : RANGES_DEFAULT;
    if (from >= ring_ranges(ring))
        return admin_refuse(call, ERR_BAD_REQUEST, "from must be below %u, the number of ranges",
                            ring_ranges(ring));
    if (count < 1 || count > RECORDS_PAGE_MAX)
        return admin_refuse(call, ERR_BAD_REQUEST, "count must be 1 to %d", RECORDS_PAGE_MAX);
    uint64_t end = MIN(from + count, ring_ranges(ring));
    mp_write_map(call->out, 3);
    put_uint(call->out, "ranges", ring_ranges(ring));
    mp_write_text(call->out, "records");
    mp_write_array(call->out, (uint32_t)(end - from));
    for (uint64_t range = from; range < end; range++)
        record_write(call->out, ring_get(ring, (uint32_t)range));
    mp_write_text(call->out, "next");
    if (end < ring_ranges(ring))
        mp_write_uint(call->out, end);
    else
        mp_write_nil(call->out);
    return true;
}

/* ------------------------------------------------------------------------------ gossip. */

static void put_age(struct buf *out, const char *key, uint64_t now_us, uint64_t then_us)
{
    mp_write_text(out, key);
    if (then_us == 0 || then_us > now_us)
        mp_write_nil(out);
    else
        mp_write_uint(out, (now_us - then_us) / 1000);
}

static void load_write(struct buf *out, const struct load *load)
{
    mp_write_text(out, "load");
    if (load->generation == 0) {
        mp_write_nil(out);
        return;
    }
    mp_write_map(out, 11);
    put_uint(out, "generation", load->generation);
    put_uint(out, "ops_per_s", load->ops_per_s);
    put_uint(out, "cpu_permille", load->cpu_permille);
    put_uint(out, "live_bytes", load->live_bytes);
    put_uint(out, "file_bytes", load->file_bytes);
    put_uint(out, "free_bytes", load->free_bytes);
    put_uint(out, "queue", load->queue);
    put_uint(out, "inbound", load->inbound);
    put_uint(out, "p99_us", load->p99_us);
    put_uint(out, "hint_bytes", load->hint_bytes);
    put_uint(out, "hint_oldest", load->hint_oldest);
}

static void peers_write(struct admin_call *call)
{
    uint32_t cap = call->core->members.count;
    struct peer_status *peers = mem_zero((cap + 1) * sizeof(*peers));
    uint32_t count = node_peers(call->admin->node, peers, cap);
    mp_write_text(call->out, "peers");
    mp_write_array(call->out, count);
    for (uint32_t i = 0; i < count; i++) {
        char text[NODE_ID_TEXT];
        mp_write_map(call->out, 9);
        put_id(call->out, "id", peers[i].id);
        put_slice(call->out, "name", admin_name(call->core, peers[i].id, text));
        put_bool(call->out, "up", peers[i].up);
        put_real(call->out, "phi", peers[i].phi);
        put_age(call->out, "heard_ms", call->admin->now_us, peers[i].heard_us);
        put_age(call->out, "since_ms", call->admin->now_us, peers[i].since_us);
        put_uint(call->out, "generation", peers[i].generation);
        put_uint(call->out, "position", peers[i].position);
        load_write(call->out, &peers[i].load);
    }
    mem_free(peers);
}

static void settings_write(struct admin_call *call)
{
    const struct setting_table *table = &call->core->settings;
    mp_write_text(call->out, "settings");
    mp_write_array(call->out, table->count);
    for (uint32_t i = 0; i < table->count; i++) {
        const struct setting *setting = table->settings[i];
        mp_write_map(call->out, 5);
        put_slice(call->out, "name", setting->name);
        put_uint(call->out, "counter", setting->counter);
        put_id(call->out, "writer", setting->writer);
        put_uint(call->out, "bytes", setting->value.size);
        put_bool(call->out, "deleted", setting->value.size == 0);
    }
}

bool method_gossip(struct admin_call *call)
{
    const struct node_counters counters = admin_counters(call->admin);
    const struct member_table *members = &call->core->members;
    mp_write_map(call->out, 7);
    peers_write(call);
    settings_write(call);
    put_uint(call->out, "departed", members->departures_count);
    put_uint(call->out, "rounds", counters.gossip_rounds);
    put_uint(call->out, "news", counters.gossip_news);
    put_uint(call->out, "messages_in", counters.messages_in);
    put_uint(call->out, "messages_out", counters.messages_out);
    return true;
}

/* --------------------------------------------------------------------------- transfers. */

static const char *role_name(enum transfer_role role)
{
    switch (role) {
    case TRANSFER_DRIVER:
        return "driver";
    case TRANSFER_SOURCE:
        return "source";
    case TRANSFER_TARGET:
        return "target";
    case TRANSFER_CLEANUP:
        return "cleanup";
    }
    return "unknown";
}

static void transfer_write(struct admin_call *call, const struct transfer_status *transfer)
{
    struct buf *out = call->out;
    mp_write_map(out, 11);
    put_hex(out, "id", transfer->id);
    put_text(out, "role", role_name(transfer->role));
    put_uint(out, "range", transfer->range);
    put_uint(out, "slot", transfer->slot);
    put_text(out, "stage", stage_name(transfer->stage));
    put_id(out, "from", transfer->from);
    put_id(out, "to", transfer->to);
    put_uint(out, "keys", transfer->keys);
    put_uint(out, "bytes", transfer->bytes);
    put_age(out, "since_ms", call->admin->now_us, transfer->since_us);
    put_slice(out, "note", transfer->note);
}

bool method_transfers(struct admin_call *call)
{
    struct transfer_status *transfers = mem_alloc(TRANSFERS_SHOWN_MAX * sizeof(*transfers));
    uint32_t count = admin_transfers(call->admin, transfers, TRANSFERS_SHOWN_MAX);
    mp_write_map(call->out, 2);
    mp_write_text(call->out, "transfers");
    mp_write_array(call->out, count);
    for (uint32_t i = 0; i < count; i++)
        transfer_write(call, &transfers[i]);
    mem_free(transfers);
    struct plan_progress plan;
    plan_progress_load(call->core, &plan);
    mp_write_text(call->out, "plan");
    plan_progress_write(call->out, &plan);
    plan_progress_done(&plan);
    return true;
}

/* ------------------------------------------------------------------------------ ranges. */

bool method_ranges(struct admin_call *call)
{
    if (!admin_joined(call))
        return false;
    const struct ring *ring = &call->core->ring;
    struct buf lists[4] = {0};
    uint32_t count = 0;
    for (uint32_t range = 0; range < ring_ranges(ring); range++) {
        const struct slot *slot = record_slot_read_by(ring_get(ring, range), call->core->self);
        if (slot == NULL)
            continue;
        struct range_stat stat = admin_range_stat(call->admin, range);
        mp_write_uint(&lists[0], range);
        mp_write_uint(&lists[1], slot->number);
        mp_write_uint(&lists[2], stat.keys);
        mp_write_uint(&lists[3], stat.bytes);
        count++;
    }
    static const char *const names[4] = {"range", "slot", "keys", "bytes"};
    mp_write_map(call->out, 5);
    put_uint(call->out, "ranges", ring_ranges(ring));
    for (uint32_t i = 0; i < 4; i++) {
        mp_write_text(call->out, names[i]);
        mp_write_array(call->out, count);
        buf_append(call->out, buf_slice(&lists[i]));
        buf_done(&lists[i]);
    }
    return true;
}

/* ------------------------------------------------------------------------------- stats. */

struct figure {
    const char *name;
    uint64_t value;
};

static void figures_write(struct buf *out, const char *group, const struct figure *figures,
                          uint32_t count)
{
    mp_write_text(out, group);
    mp_write_map(out, count);
    for (uint32_t i = 0; i < count; i++)
        put_uint(out, figures[i].name, figures[i].value);
}

#define FIGURES(out, group, ...)                                                                   \
    figures_write(out, group, (const struct figure[]){__VA_ARGS__},                                \
                  (uint32_t)ARRAY_SIZE(((const struct figure[]){__VA_ARGS__})))

static void store_write(struct admin_call *call)
{
    struct store_stats s;
    admin_store_stats(call->admin, &s);
    FIGURES(call->out, "store", {"position", s.position}, {"written", s.written},
            {"synced", s.synced}, {"keys", s.keys}, {"bytes", s.bytes},
            {"memtable_bytes", s.memtable_bytes}, {"memtable_bytes_max", s.memtable_bytes_max},
            {"log_bytes", s.log_bytes}, {"log_writes", s.log_writes}, {"log_syncs", s.log_syncs},
            {"log_records", s.log_records}, {"checkpoints", s.checkpoints},
            {"checkpoint_transactions", s.checkpoint_transactions}, {"bad_records", s.bad_records},
            {"file_bytes", s.file_bytes}, {"disk_free_bytes", s.disk_free_bytes},
            {"disk_total_bytes", s.disk_total_bytes}, {"reads_memory", s.reads_memory},
            {"reads_disk", s.reads_disk}, {"stalls_us", s.stalls_us}, {"full", s.full});
}

bool method_stats(struct admin_call *call)
{
    const struct admin *admin = call->admin;
    const struct node_counters sum = admin_counters(admin);
    const struct node_counters *c = &sum;
    mp_write_map(call->out, 9);
    const struct admin_hinted kept = admin_hinted(admin);
    const struct admin_hinted *hinted = &kept;
    FIGURES(call->out, "hints", {"keys", hinted->keys}, {"bytes", hinted->bytes},
            {"bytes_max", hinted->bytes_max}, {"unreadable", hinted->bad},
            {"taken", c->hints_taken}, {"refused", c->hints_refused},
            {"delivered", c->hints_delivered}, {"sloppy_answers", c->sloppy},
            {"fallback_puts", c->fallback_puts});
    struct repair_status repair;
    admin_repair(admin, &repair);
    FIGURES(call->out, "repair", {"dirty_ranges", repair.dirty_ranges}, {"asked", repair.asked},
            {"unreachable", repair.unreachable}, {"generation", call->core->generation},
            {"rate_bytes_s", repair.rate}, {"move_rate_bytes_s", repair.move_rate},
            {"p99_us", repair.p99_us}, {"limit_us", repair.limit_us}, {"slowed", repair.slowed},
            {"bytes", repair.bytes}, {"read_repairs", c->read_repairs},
            {"objects_in", c->repaired_in}, {"objects_out", c->repaired_out});
    put_slice(call->out, "repair_bucket", repair.bucket);
    FIGURES(call->out, "requests", {"gets", c->gets}, {"puts", c->puts}, {"deletes", c->deletes},
            {"scans", c->scans}, {"forwards", c->forwards}, {"wrong_epochs", c->wrong_epochs},
            {"hedges", c->hedges}, {"unavailable", c->unavailable}, {"timeouts", c->timeouts},
            {"busy", c->busy}, {"in_flight", c->in_flight}, {"ops_per_s", admin->ops_per_s},
            {"p50_us", admin->p50_us}, {"p99_us", admin->p99_us});
    FIGURES(call->out, "replicas", {"writes", c->replica_writes}, {"reads", c->replica_reads},
            {"records_chosen", c->records_chosen}, {"records_installed", c->records_installed},
            {"ballots_lost", c->ballots_lost});
    FIGURES(call->out, "moves", {"done", c->transfers_done}, {"aborted", c->transfers_aborted},
            {"chunks_in", c->chunks_in}, {"chunks_out", c->chunks_out}, {"bytes_in", c->bytes_in},
            {"bytes_out", c->bytes_out});
    FIGURES(call->out, "gossip", {"rounds", c->gossip_rounds}, {"news", c->gossip_news},
            {"messages_in", c->messages_in}, {"messages_out", c->messages_out});
    store_write(call);
    FIGURES(call->out, "process", {"rss_bytes", admin->rss_bytes},
            {"cpu_permille", admin->cpu_permille}, {"connections", admin->connections},
            {"loop_stall_us_max", admin->loop_stall_us_max});
    return true;
}

/* ---------------------------------------------------------------------- verify, repair and drain.
 */

/* Parameters `from` and `to`: all ranges where they are left out. */
static bool ranges_read(struct admin_call *call, uint32_t *ret_first, uint32_t *ret_last)
{
    uint32_t ranges = ring_ranges(&call->core->ring);
    uint64_t from = call->params.numbers[PARAM_FROM];
    uint64_t to =
        param_given(&call->params, PARAM_TO) ? call->params.numbers[PARAM_TO] : ranges - 1;
    if (from > to || to >= ranges)
        return admin_refuse(call, ERR_BAD_REQUEST,
                            "from and to must name ranges 0 to %u, the lower first", ranges - 1);
    *ret_first = (uint32_t)from;
    *ret_last = (uint32_t)to;
    return true;
}

bool method_verify(struct admin_call *call)
{
    if (!admin_joined(call) ||
        !ranges_read(call, &call->reply->verify_first, &call->reply->verify_last))
        return false;
    call->reply->outcome = ADMIN_VERIFY;
    return true;
}

void admin_verified(const struct admin *admin, const struct admin_range *ranges, uint32_t count,
                    struct buf *ret_result)
{
    const struct core *core = node_core(admin->node);
    mp_write_map(ret_result, 1);
    mp_write_text(ret_result, "ranges");
    mp_write_array(ret_result, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct store_verified *verified = &ranges[i].verified;
        const struct slot *slot =
            core->ring.bits == 0 || ranges[i].range >= ring_ranges(&core->ring)
                ? NULL
                : record_slot_read_by(ring_get(&core->ring, ranges[i].range), core->self);
        mp_write_map(ret_result, 8);
        put_uint(ret_result, "range", ranges[i].range);
        mp_write_text(ret_result, "slot");
        if (slot == NULL) /* It moved away while it was read. */
            mp_write_nil(ret_result);
        else
            mp_write_uint(ret_result, slot->number);
        put_uint(ret_result, "keys", verified->keys);
        put_uint(ret_result, "bytes", verified->bytes);
        put_hex(ret_result, "digest", verified->digest_tree);
        put_hex(ret_result, "data_digest", verified->digest_data);
        put_uint(ret_result, "bad", verified->bad);
        mp_write_text(ret_result, "error");
        if (ranges[i].error == 0)
            mp_write_nil(ret_result);
        else
            mp_write_text(ret_result, error_word(ranges[i].error));
    }
}

bool method_repair(struct admin_call *call)
{
    struct repair_choice choice = {0};
    const struct member *node = NULL;
    if (!admin_joined(call) || !ranges_read(call, &choice.first, &choice.last) ||
        (param_given(&call->params, PARAM_NODE) && !admin_member(call, PARAM_NODE, &node)))
        return false;
    if (node != NULL)
        choice.node = node->id;
    if (param_given(&call->params, PARAM_BUCKET)) {
        struct bucket bucket;
        choice.bucket = call->params.texts[PARAM_BUCKET];
        if (!admin_bucket(call, choice.bucket, &bucket))
            return false;
    }
    if (!call->params.numbers[PARAM_DRY_RUN]) {
        call->reply->outcome = ADMIN_COMMAND;
        call->reply->command = (struct command){.type = COMMAND_REPAIR, .repair = choice};
    }
    mp_write_map(call->out, 2);
    put_uint(call->out, "comparisons", node_repair_preview(call->admin->node, &choice));
    put_uint(call->out, "generation", call->core->generation);
    return true;
}

bool method_drain(struct admin_call *call)
{
    char text[NODE_ID_TEXT];
    bool dry = call->params.numbers[PARAM_DRY_RUN] != 0;
    call->reply->outcome = dry ? ADMIN_DONE : ADMIN_STOP;
    mp_write_map(call->out, 2);
    put_slice(call->out, "node", admin_name(call->core, call->core->self, text));
    put_text(call->out, "state",
             dry ? admin_state_name(node_state(call->admin->node)) : "draining");
    return true;
}
