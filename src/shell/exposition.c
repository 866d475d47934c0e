/* One table of plain figures, and the few families that have labels or buckets. */
#include "shell/exposition.h"

#include <dirent.h>

#include "shell/admin_methods.h"
#include "shell/view.h"

enum { POWER_FIRST = 6, POWER_LAST = 25, POWER_STEP = 1 }; /* 64 us .. 33 s */

/* A figure of 64 bits at OFFSET. A name ending in _seconds_total or _seconds holds microseconds. */
struct figure {
    const char *name;
    size_t offset;
    const char *help;
};

#define AT(field) offsetof(struct exposition, field)

static const struct figure counters[] = {
    {"kvring_forwards_total", AT(node.forwards), "Requests handed to another node."},
    {"kvring_wrong_epochs_total", AT(node.wrong_epochs), "Answers that came with a newer record."},
    {"kvring_read_repairs_total", AT(node.read_repairs),
     "Slots found stale by a get and repaired."},
    {"kvring_repaired_in_objects_total", AT(node.repaired_in),
     "Objects that came from comparing replicas."},
    {"kvring_repaired_out_objects_total", AT(node.repaired_out),
     "Objects that other replicas were found to lack."},
    {"kvring_repair_sent_bytes_total", AT(peers.repair_bytes),
     "Bytes sent to compare replicas, objects included."},
    {"kvring_repair_cost_bytes_total", AT(repair.bytes),
     "What work in the background was charged: comparing replicas, hints, moves; as bytes."},
    {"kvring_repair_slowed_total", AT(repair.slowed),
     "How often that was slowed down for what requests felt."},
    {"kvring_hedges_total", AT(node.hedges), "Reads sent to a further replica after a delay."},
    {"kvring_replica_writes_total", AT(node.replica_writes), "Writes taken as a replica."},
    {"kvring_replica_reads_total", AT(node.replica_reads), "Reads answered as a replica."},
    {"kvring_records_chosen_total", AT(node.records_chosen), "Range records chosen here."},
    {"kvring_records_installed_total", AT(node.records_installed), "Range records installed."},
    {"kvring_ballots_lost_total", AT(node.ballots_lost), "Proposals given up for a higher one."},
    {"kvring_transfer_chunks_received_total", AT(node.chunks_in), "Chunks of transfers taken in."},
    {"kvring_transfer_chunks_sent_total", AT(node.chunks_out), "Chunks of transfers sent."},
    {"kvring_transfer_received_bytes_total", AT(node.bytes_in), "Bytes of transfers taken in."},
    {"kvring_transfer_sent_bytes_total", AT(node.bytes_out), "Bytes of transfers sent."},
    {"kvring_gossip_rounds_total", AT(node.gossip_rounds), "Gossip rounds begun."},
    {"kvring_gossip_news_total", AT(node.gossip_news), "News taken in by gossip."},
    {"kvring_peer_messages_received_total", AT(peers.messages_in), "Messages of peers."},
    {"kvring_peer_messages_sent_total", AT(peers.messages_out), "Messages queued for peers."},
    {"kvring_peer_messages_dropped_total", AT(peers.dropped),
     "Messages not sent: peer unreachable, its queue full, or too large."},
    {"kvring_peer_dials_total", AT(peers.dials), "Connections to peers begun."},
    {"kvring_peer_dials_failed_total", AT(peers.dials_failed), "Of these, failed."},
    {"kvring_peer_corrupt_total", AT(peers.corrupt), "Peer connections closed for bad bytes."},
    {"kvring_client_accepted_total", AT(clients.accepted), "Client connections accepted."},
    {"kvring_client_refused_total", AT(clients.refused), "Client connections over the bound."},
    {"kvring_client_requests_total", AT(clients.requests), "Requests read from clients."},
    {"kvring_client_malformed_total", AT(clients.malformed), "Client connections refused."},
    {"kvring_client_busy_total", AT(clients.busy), "Answers BUSY for a bound of the client port."},
    {"kvring_client_slow_total", AT(clients.slow), "Requests that did not arrive in time."},
    {"kvring_client_other_total", AT(clients.other), "Connections in another protocol."},
    {"kvring_shard_handed_total", AT(lanes.handed),
     "Messages, requests and answers that one thread of this node handed to another."},
    {"kvring_shard_parcels_total", AT(lanes.parcels),
     "In so many parcels, each of which wakes a thread at most once."},
    {"kvring_shard_full_total", AT(lanes.full),
     "Those for which there was no room: lost, or refused as BUSY."},
    {"kvring_network_received_bytes_total", AT(bytes_in), "Bytes received, clients and peers."},
    {"kvring_network_sent_bytes_total", AT(bytes_out), "Bytes sent, clients and peers."},
    {"kvring_store_log_writes_total", AT(store.log_writes), "Writes of the commit log."},
    {"kvring_store_log_syncs_total", AT(store.log_syncs), "Syncs of the commit log."},
    {"kvring_store_log_records_total", AT(store.log_records), "Records of the commit log."},
    {"kvring_store_checkpoints_total", AT(store.checkpoints), "Checkpoints completed."},
    {"kvring_store_checkpoint_transactions_total", AT(store.checkpoint_transactions),
     "Transactions of checkpoints."},
    {"kvring_horizons_raised_total", AT(node.horizons_raised),
     "Collection horizons that this node has raised."},
    {"kvring_horizons_refused_total", AT(node.horizons_refused),
     "Raises given up: replicas differed, a record changed, a node did not answer."},
    {"kvring_collected_keys_total", AT(store.collected_keys), "Keys collected as a whole."},
    {"kvring_collected_bytes_total", AT(store.collected_bytes), "Bytes of collected versions."},
    {"kvring_store_bad_records_total", AT(store.bad_records),
     "Keys whose record was found to have a wrong checksum."},
    {"kvring_store_healed_records_total", AT(store.bad_healed), "Of these, whole again."},
    {"kvring_store_lost_records_total", AT(store.bad_lost),
     "Of these, gone: no other copy had them."},
    {"kvring_store_lost_keys_total", AT(store.holes_found),
     "Records found whose key is damaged: nobody can tell whose they were."},
    {"kvring_store_filled_holes_total", AT(store.holes_healed),
     "Intervals of keys in which such a record had lain, and that are whole again."},
    {"kvring_store_scrubbed_records_total", AT(store.scrub_records),
     "Records that the scrub read."},
    {"kvring_store_scrubbed_bytes_total", AT(store.scrub_bytes), "Bytes that the scrub read."},
    {"kvring_store_scrub_bad_records_total", AT(store.scrub_bad),
     "Of these records, those with a wrong checksum."},
    {"kvring_store_scrub_rounds_total", AT(store.scrub_rounds), "Whole rounds of the scrub."},
    {"kvring_store_reads_memory_total", AT(store.reads_memory), "Reads answered from memory."},
    {"kvring_store_reads_disk_total", AT(store.reads_disk), "Reads that went to the checkpoint."},
    {"kvring_store_cold_reads_total", AT(store.reads_cold),
     "Reads of what was not in memory, by threads of their own."},
    {"kvring_store_cold_waited_total", AT(store.cold_waited), "Operations that waited for such."},
    {"kvring_store_cold_refused_total", AT(store.cold_refused),
     "Operations that were BUSY because too many waited."},
    {"kvring_store_stall_seconds_total", AT(store.stalls_us), "Time that writers were slowed."},
    {"kvring_hints_taken_total", AT(node.hints_taken), "Writes kept for owners of other ranges."},
    {"kvring_hints_refused_total", AT(node.hints_refused), "Hints refused, most for want of room."},
    {"kvring_hints_delivered_total", AT(node.hints_delivered), "Hints that their owners have."},
    {"kvring_sloppy_answers_total", AT(node.sloppy), "Answers that rest on fallbacks."},
    {"kvring_fallback_puts_total", AT(node.fallback_puts), "Puts coordinated as a fallback."},
    {"process_cpu_seconds_total", AT(metrics.cpu_total_us), "CPU time of the process."},
};

static const struct figure gauges[] = {
    {"kvring_requests_in_flight", AT(node.in_flight), "Requests that this node coordinates."},
    {"kvring_client_connections", AT(connections), "Open client connections."},
    {"kvring_output_waiting_bytes", AT(output_bytes), "Output that the kernel has not taken."},
    {"kvring_input_waiting_bytes", AT(input_bytes), "Memory of begun client requests."},
    {"kvring_horizon_age_seconds", AT(horizon_age_us),
     "How long ago was what may be collected at most; 0 while nothing may."},
    {"kvring_dead_index_entries", AT(store.dead_entries),
     "Entries of the index of dead and expiring versions."},
    {"kvring_repair_rate_bytes", AT(repair.rate),
     "Bytes a second that comparing replicas and delivering hints may cost now."},
    {"kvring_move_rate_bytes", AT(repair.move_rate),
     "Bytes a second that moving ranges may cost now, where their plan has no rate."},
    {"kvring_repair_limit_seconds", AT(repair.limit_us),
     "Where the 99th percentile of requests is above this, the rate falls."},
    {"kvring_repair_dirty_ranges", AT(repair_dirty_ranges),
     "Ranges that this node is to compare soon."},
    {"kvring_store_keys", AT(store.keys), "Keys stored here, all slots."},
    {"kvring_store_bytes", AT(store.bytes), "Bytes of keys and objects stored here."},
    {"kvring_store_memtable_bytes", AT(store.memtable_bytes), "Memory of the memtables."},
    {"kvring_store_memtable_limit_bytes", AT(store.memtable_bytes_max), "Bound of the memtables."},
    {"kvring_store_damaged_records", AT(store.bad_now),
     "Keys whose record is damaged, and not healed yet."},
    {"kvring_store_holes", AT(store.holes_now),
     "Intervals of keys in which such a record had lain, and that are unreadable here."},
    {"kvring_store_scrub_percent", AT(store.scrub_percent), "How far the scrub's round has come."},
    {"kvring_store_scrub_round_seconds", AT(store.scrub_took_us),
     "How long the last whole round of the scrub took."},
    {"kvring_store_cold_waiting", AT(store.cold_waiting),
     "Operations that wait for what is not in memory."},
    {"kvring_store_log_bytes", AT(store.log_bytes), "Commit log not yet in the checkpoint."},
    {"kvring_store_file_bytes", AT(store.file_bytes), "Size of the checkpoint file."},
    {"kvring_hint_keys", AT(hint_keys), "Hints kept here."},
    {"kvring_hint_bytes", AT(hint_bytes), "Bytes of the hints kept here."},
    {"kvring_hint_limit_bytes", AT(hint_bytes_max), "Bound of the hints."},
    {"kvring_hint_unreadable", AT(hint_bad), "Hints whose record is damaged."},
    {"kvring_disk_free_bytes", AT(store.disk_free_bytes), "Free space of the file system."},
    {"kvring_disk_total_bytes", AT(store.disk_total_bytes), "Size of the file system."},
    {"kvring_log_position", AT(store.position), "Last position of the commit log."},
    {"kvring_log_synced_position", AT(store.synced), "Last position that is on the disk."},
    {"kvring_request_p99_seconds", AT(metrics.p99_us), "99th percentile of the last second."},
    {"kvring_loop_stall_seconds", AT(metrics.loop_stall_us_max),
     "Longest turn of the loop in the last second."},
    {"process_resident_memory_bytes", AT(metrics.rss_bytes), "Resident memory of the process."},
};

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static void write_figures(const struct exposition *figures, const struct figure *list, size_t count,
                          const char *type, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value;
        memcpy(&value, (const char *)figures + list[i].offset, sizeof value);
        head(out, list[i].name, type, list[i].help);
        if (ends_with(list[i].name, "_seconds") || ends_with(list[i].name, "_seconds_total"))
            buf_printf(out, "%s %.6f\n", list[i].name, (double)value / 1e6);
        else
            buf_printf(out, "%s %llu\n", list[i].name, (unsigned long long)value);
    }
}

static void write_number(struct buf *out, const char *name, const char *type, const char *help,
                         double value)
{
    head(out, name, type, help);
    buf_printf(out, "%s %.17g\n", name, value);
}

/* Label values may hold anything that a name may. */
static void write_label(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s=\"", name);
    for (; *value != '\0'; value++) {
        if (*value == '"' || *value == '\\')
            buf_append_byte(out, '\\');
        buf_append_byte(out, (uint8_t)*value);
    }
    buf_append_byte(out, '"');
}

static void write_info(const struct exposition *figures, struct buf *out)
{
    head(out, "kvring_info", "gauge", "Always 1; says who this is.");
    buf_append(out, slice_string("kvring_info{"));
    write_label(out, "version", KVRING_VERSION);
    buf_append_byte(out, ',');
    write_label(out, "node", figures->id);
    buf_append_byte(out, ',');
    write_label(out, "name", figures->name);
    buf_append_byte(out, ',');
    write_label(out, "zone", figures->zone);
    buf_append_byte(out, ',');
    write_label(out, "cluster", figures->cluster);
    buf_append(out, slice_string("} 1\n"));
    head(out, "kvring_state", "gauge", "1 for the state that the node is in.");
    for (int state = NODE_STARTING; state <= NODE_HALTED; state++)
        buf_printf(out, "kvring_state{state=\"%s\"} %d\n", admin_state_name((enum node_state)state),
                   (enum node_state)state == figures->state);
}

static void write_by_label(struct buf *out, const char *name, const char *label,
                           const char *const *values, const uint64_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "%s{%s=\"%s\"} %llu\n", name, label, values[i],
                   (unsigned long long)numbers[i]);
}

static void write_requests(const struct exposition *figures, struct buf *out)
{
    const struct node_counters *node = &figures->node;
    static const char *const methods[] = {"get", "put", "delete", "scan"};
    static const char *const reasons[] = {"unavailable", "timeout", "busy"};
    static const char *const ends[] = {"done", "aborted"};
    const uint64_t requests[] = {node->gets, node->puts, node->deletes, node->scans};
    const uint64_t failures[] = {node->unavailable, node->timeouts, node->busy};
    const uint64_t transfers[] = {node->transfers_done, node->transfers_aborted};
    head(out, "kvring_requests_total", "counter", "Requests coordinated here.");
    write_by_label(out, "kvring_requests_total", "method", methods, requests, 4);
    head(out, "kvring_requests_failed_total", "counter", "Requests that ended so.");
    write_by_label(out, "kvring_requests_failed_total", "reason", reasons, failures, 3);
    head(out, "kvring_transfers_total", "counter", "Transfers that ended so.");
    write_by_label(out, "kvring_transfers_total", "outcome", ends, transfers, 2);
}

/* LABEL ends in a comma or is empty. */
static void write_histogram(struct buf *out, const char *name, const char *label,
                            const struct histogram *histogram)
{
    for (uint32_t power = POWER_FIRST; power <= POWER_LAST; power += POWER_STEP)
        buf_printf(out, "%s_bucket{%sle=\"%g\"} %llu\n", name, label,
                   (double)(UINT64_C(1) << power) / 1e6,
                   (unsigned long long)histogram_below(histogram, power));
    buf_printf(out, "%s_bucket{%sle=\"+Inf\"} %llu\n", name, label,
               (unsigned long long)histogram->count);
    int size = (int)strlen(label) - 1; /* Without its comma. */
    const char *open = size > 0 ? "{" : "", *close = size > 0 ? "}" : "";
    buf_printf(out, "%s_sum%s%.*s%s %.6f\n", name, open, MAX(size, 0), label, close,
               (double)histogram->sum_us / 1e6);
    buf_printf(out, "%s_count%s%.*s%s %llu\n", name, open, MAX(size, 0), label, close,
               (unsigned long long)histogram->count);
}

static void write_histograms(const struct exposition *figures, struct buf *out)
{
    static const char *const labels[METRIC_METHODS] = {
        [METRIC_OTHER] = "method=\"other\",", [METHOD_GET] = "method=\"get\",",
        [METHOD_PUT] = "method=\"put\",",     [METHOD_DELETE] = "method=\"delete\",",
        [METHOD_SCAN] = "method=\"scan\",",   [METHOD_EDIT] = "method=\"edit\",",
    };
    head(out, "kvring_request_duration_seconds", "histogram",
         "Time from a client's request to its answer at this node.");
    for (uint32_t i = 0; i < METRIC_METHODS; i++)
        write_histogram(out, "kvring_request_duration_seconds", labels[i],
                        &figures->metrics.requests[i]);
    head(out, "kvring_loop_turn_seconds", "histogram", "Busy time of a turn of the loop.");
    write_histogram(out, "kvring_loop_turn_seconds", "", &figures->metrics.loop);
    head(out, "kvring_timer_late_seconds", "histogram",
         "How long after its time a timer of the loop fired.");
    write_histogram(out, "kvring_timer_late_seconds", "", &figures->metrics.late);
}

/* Two of them are the directory itself and its parent, one is this reading of it. */
static uint32_t open_fds(void)
{
    uint32_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    if (directory == NULL)
        return 0;
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count - 3;
}

static void add_histogram(struct histogram *sum, const struct histogram *part)
{
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        sum->counts[i] += part->counts[i];
    sum->count += part->count;
    sum->sum_us += part->sum_us;
    sum->max_us = MAX(sum->max_us, part->max_us);
}

void exposition_add(struct exposition *sum, const struct exposition *part)
{
    for (uint32_t i = 0; i < METRIC_METHODS; i++)
        add_histogram(&sum->metrics.requests[i], &part->metrics.requests[i]);
    add_histogram(&sum->metrics.loop, &part->metrics.loop);
    add_histogram(&sum->metrics.late, &part->metrics.late);
    sum->metrics.ops_per_s += part->metrics.ops_per_s;
    sum->metrics.loop_stall_us_max =
        MAX(sum->metrics.loop_stall_us_max, part->metrics.loop_stall_us_max);
    view_add_counters(&sum->node, &part->node);
    view_add_repair(&sum->repair, &part->repair);
    storage_add_stats(&sum->store, &part->store);
#define ADD(field) sum->field += part->field
    ADD(peers.messages_in), ADD(peers.messages_out), ADD(peers.dropped), ADD(peers.repair_bytes);
    ADD(peers.dials), ADD(peers.dials_failed), ADD(peers.corrupt);
    ADD(clients.accepted), ADD(clients.refused), ADD(clients.requests), ADD(clients.malformed);
    ADD(clients.busy), ADD(clients.slow), ADD(clients.other);
    ADD(lanes.handed), ADD(lanes.parcels), ADD(lanes.full);
    ADD(connections), ADD(bytes_in), ADD(bytes_out), ADD(output_bytes), ADD(input_bytes);
    ADD(hint_keys), ADD(hint_bytes), ADD(hint_bytes_max), ADD(hint_bad);
#undef ADD
}

void exposition_write(const struct exposition *figures, struct buf *out)
{
    write_info(figures, out);
    write_requests(figures, out);
    write_histograms(figures, out);
    write_figures(figures, counters, ARRAY_SIZE(counters), "counter", out);
    write_figures(figures, gauges, ARRAY_SIZE(gauges), "gauge", out);
    write_number(out, "kvring_members", "gauge", "Members of the cluster.", figures->members);
    write_number(out, "kvring_peers_up", "gauge", "Peers believed to be up.", figures->peers_up);
    write_number(out, "kvring_peers_down", "gauge", "Peers believed to be down.",
                 figures->peers_down);
    write_number(out, "kvring_slots", "gauge", "Slots that this node reads.", figures->slots);
    write_number(out, "kvring_ranges", "gauge", "Ranges of the ring.", figures->ranges);
    write_number(out, "kvring_store_full", "gauge", "1 while writes are refused: disk full.",
                 figures->store.full);
    write_number(out, "kvring_requests_per_second", "gauge", "Of the last second.",
                 figures->metrics.ops_per_s);
    write_number(out, "process_open_fds", "gauge", "Open file descriptors.", open_fds());
    write_number(out, "process_start_time_seconds", "gauge", "Since 1970.",
                 (double)figures->started_wall_ms / 1000);
}
