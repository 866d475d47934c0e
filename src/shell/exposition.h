/* The page of /metrics, in Prometheus' text format (version 0.0.4).
 *
 * The loop copies its figures into a struct (some 15 KiB); the text is made from it by whoever
 * asked, on his own thread. */
#ifndef EXPOSITION_H
#define EXPOSITION_H

#include "core/node.h"
#include "shell/clients.h"
#include "shell/lanes.h"
#include "shell/metrics.h"
#include "shell/peers.h"
#include "store/store.h"

struct exposition {
    struct metrics metrics;
    struct node_counters node;
    struct repair_status repair;
    uint64_t repair_dirty_ranges;
    struct store_stats store;
    struct peers_counters peers;
    struct clients_counters clients;
    struct lanes_counters lanes; /* Zero in a node of one shard. */
    enum node_state state;
    char id[NODE_ID_TEXT];
    char name[NAME_SIZE_MAX + 1];
    char zone[NAME_SIZE_MAX + 1];
    char cluster[NAME_SIZE_MAX + 1];
    uint64_t connections;
    uint64_t horizon_age_us;
    uint64_t bytes_in, bytes_out; /* Of all connections. */
    uint64_t output_bytes, input_bytes;
    uint64_t hint_keys, hint_bytes, hint_bytes_max, hint_bad;
    uint32_t members, peers_up, peers_down;
    uint32_t slots; /* That this node reads. */
    uint32_t ranges;
    uint64_t started_wall_ms;
};

/* Add the figures of another shard. */
void exposition_add(struct exposition *sum, const struct exposition *part);
void exposition_write(const struct exposition *figures, struct buf *out);

#endif
