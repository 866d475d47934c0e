#include "sim/last_reads.h"

#include "base/error.h"
#include "sim/host.h"
#include "sim/ledger.h"
#include "sim/workload.h"

enum { POLICIES = 3, MS = 1000, SECOND = 1000000 };

struct last_read {
    struct host_call call;
    struct world_event again;
    enum policy policy;
    uint32_t key;
    struct entry_op *op;
    bool done;
    uint64_t pause_us; /* Before it is asked again. */
    int error;
};

struct last_reads {
    struct last_read *items; /* Owned. */
    uint32_t count;
};

static void on_last_read(struct world *world, struct host_call *call, const struct answer *answer)
{
    struct last_read *read = (struct last_read *)call;
    ledger_end(workload_ledger(world), world, read->op, answer);
    read->done = read->op->state == ENTRY_DONE;
    read->error = answer == NULL ? ERR_TIMEOUT : answer->error;
    read->op = NULL;
    if (read->done)
        return;
    /* As a client does: later each time, and not all in step. */
    read->pause_us = MIN(MAX(read->pause_us * 2, (uint64_t)200 * MS), (uint64_t)4 * SECOND);
    world_at(world, &read->again,
             world->now_us + read->pause_us / 2 + world_draw(world, 0, read->pause_us));
}

static void read_key(struct world *world, struct world_event *event)
{
    struct last_read *read =
        (struct last_read *)((char *)event - offsetof(struct last_read, again));
    uint32_t host = (uint32_t)world_draw(world, 0, world->hosts_count - 1);
    if (host_state(world->hosts[host]) != HOST_UP) {
        world_at(world, event, world->now_us + 1 * MS);
        return;
    }
    read->op = ledger_begin(workload_ledger(world), world, METHOD_GET, read->policy, read->key,
                            true, NULL, 0);
    read->op->final = true;
    read->call.done = on_last_read;
    struct request request = {
        .method = METHOD_GET,
        .bucket = ledger_bucket(read->policy),
        .key = workload_key(world, read->policy, read->key),
        .r = CONSISTENCY_ALL,
        .strict = true,
        .deadline_ms = 2000,
    };
    bool asked = host_request(world->hosts[host], &read->call, &request);
    if (!asked)
        world_at(world, event, world->now_us + 100 * MS);
}

void last_reads_start(struct world *world)
{
    struct last_reads *reads = mem_zero(sizeof(*reads));
    reads->items = mem_zero((size_t)POLICIES * world->options.keys * sizeof(*reads->items));
    world->last_reads = reads;
    for (uint32_t policy = 0; policy < POLICIES; policy++) {
        for (uint32_t key = 0; world->options.policies[policy] && key < world->options.keys;
             key++) {
            struct last_read *read = &reads->items[reads->count++];
            read->policy = (enum policy)policy;
            read->key = key;
            read->again.fire = read_key;
            world_at(world, &read->again, world->now_us + reads->count * MS);
        }
    }
}

bool last_reads_done(const struct world *world)
{
    const struct last_reads *reads = world->last_reads;
    for (uint32_t i = 0; i < reads->count; i++)
        if (!reads->items[i].done)
            return false;
    return true;
}

void last_reads_describe(const struct world *world, struct buf *out)
{
    const struct last_reads *reads = world->last_reads;
    for (uint32_t i = 0; reads != NULL && i < reads->count; i++) {
        const struct last_read *read = &reads->items[i];
        if (!read->done)
            buf_printf(out, " %s/%s %s", (const char *)ledger_bucket(read->policy).data,
                       (const char *)workload_key(world, read->policy, read->key).data,
                       error_word(read->error));
    }
}

void last_reads_free(struct last_reads *reads)
{
    if (reads != NULL)
        mem_free(reads->items);
    mem_free(reads);
}
