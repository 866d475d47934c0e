/* Parcels on a stack with one taker: pushed by an exchange, taken as a whole, and turned round. */
#include "shell/lanes.h"

#include <stdatomic.h>

#include "base/bytes.h"
#include "base/limits.h"

enum { ENTRY_MESSAGE = 1, ENTRY_CALL };

struct parcel {
    struct parcel *next;
    struct buf bytes; /* Owned. */
};

struct lane {
    struct buf gathered; /* The sender's. Owned. */
    _Atomic(struct parcel *) newest;
    atomic_size_t waiting; /* Bytes gathered or handed over, and not taken yet. */
};

struct lanes_end {
    uv_async_t async;
    struct lanes *lanes;
    uint32_t shard;
    bool open;
    struct lanes_events events;
    struct lanes_counters counters;
};

struct lanes {
    uint32_t shards;
    struct lanes_end ends[SHARDS_MAX];
    struct lane lanes[SHARDS_MAX][SHARDS_MAX]; /* By sender, then receiver. */
};

struct call {
    void (*run)(void *arg, void *what);
    void *what;
};

struct lanes *lanes_new(uint32_t shards)
{
    struct lanes *lanes = mem_zero(sizeof *lanes);
    lanes->shards = shards;
    return lanes;
}

static void parcel_free(struct parcel *parcel)
{
    buf_done(&parcel->bytes);
    mem_free(parcel);
}

void lanes_free(struct lanes *lanes)
{
    for (uint32_t from = 0; from < lanes->shards; from++) {
        for (uint32_t to = 0; to < lanes->shards; to++) {
            struct lane *lane = &lanes->lanes[from][to];
            struct parcel *parcel = atomic_load(&lane->newest);
            while (parcel != NULL) {
                struct parcel *next = parcel->next;
                parcel_free(parcel);
                parcel = next;
            }
            buf_done(&lane->gathered);
        }
    }
    mem_free(lanes);
}

/* ------------------------------------------------------------------------------- Taking. */

static void take(const struct lanes_end *end, struct slice bytes)
{
    struct reader reader = reader_of(bytes);
    while (reader_left(&reader) > 0) {
        if (read_u8(&reader) == ENTRY_CALL) {
            struct call call;
            memcpy(&call, read_bytes(&reader, sizeof call).data, sizeof call);
            end->events.call(end->events.arg, call.run, call.what);
            continue;
        }
        struct node_id sender = {.hi = read_u64(&reader)};
        sender.lo = read_u64(&reader);
        uint32_t size = read_u32(&reader);
        end->events.message(end->events.arg, sender, read_bytes(&reader, size));
    }
    ASSERT(!reader.bad);
}

/* Oldest first. */
static struct parcel *take_all(struct lane *lane)
{
    struct parcel *parcel = atomic_exchange_explicit(&lane->newest, NULL, memory_order_acquire);
    struct parcel *oldest = NULL;
    while (parcel != NULL) {
        struct parcel *next = parcel->next;
        parcel->next = oldest;
        oldest = parcel;
        parcel = next;
    }
    return oldest;
}

static void on_async(uv_async_t *async)
{
    struct lanes_end *end = async->data;
    end->events.begin(end->events.arg);
    for (uint32_t from = 0; from < end->lanes->shards; from++) {
        struct lane *lane = &end->lanes->lanes[from][end->shard];
        struct parcel *parcel = take_all(lane);
        while (parcel != NULL) {
            struct parcel *next = parcel->next;
            take(end, buf_slice(&parcel->bytes));
            atomic_fetch_sub_explicit(&lane->waiting, parcel->bytes.size, memory_order_relaxed);
            parcel_free(parcel);
            parcel = next;
        }
    }
}

void lanes_open(struct lanes *lanes, uint32_t shard, uv_loop_t *loop,
                const struct lanes_events *events)
{
    struct lanes_end *end = &lanes->ends[shard];
    end->lanes = lanes;
    end->shard = shard;
    end->events = *events;
    end->open = true;
    ASSERT(uv_async_init(loop, &end->async, on_async) == 0);
    end->async.data = end;
}

void lanes_close(struct lanes *lanes, uint32_t shard)
{
    struct lanes_end *end = &lanes->ends[shard];
    if (end->open)
        uv_close((uv_handle_t *)&end->async, NULL);
    end->open = false;
}

/* ------------------------------------------------------------------------------- Handing. */

bool lanes_message(struct lanes *lanes, uint32_t from, uint32_t to, struct node_id sender,
                   bool owed, struct slice payload)
{
    struct lane *lane = &lanes->lanes[from][to];
    struct lanes_counters *counters = &lanes->ends[from].counters;
    size_t room = payload.size > LANE_LARGE ? LANE_BYTES_MAX / 2 : LANE_BYTES_MAX;
    if (!owed && atomic_load_explicit(&lane->waiting, memory_order_relaxed) > room) {
        counters->full++;
        return false;
    }
    size_t before = lane->gathered.size;
    write_u8(&lane->gathered, ENTRY_MESSAGE);
    write_u64(&lane->gathered, sender.hi);
    write_u64(&lane->gathered, sender.lo);
    write_u32(&lane->gathered, (uint32_t)payload.size);
    buf_append(&lane->gathered, payload);
    atomic_fetch_add_explicit(&lane->waiting, lane->gathered.size - before, memory_order_relaxed);
    counters->handed++;
    return true;
}

void lanes_call(struct lanes *lanes, uint32_t from, uint32_t to, void (*run)(void *arg, void *what),
                void *what)
{
    struct lane *lane = &lanes->lanes[from][to];
    const struct call call = {run, what};
    write_u8(&lane->gathered, ENTRY_CALL);
    buf_append(&lane->gathered, slice_of(&call, sizeof call));
    atomic_fetch_add_explicit(&lane->waiting, 1 + sizeof call, memory_order_relaxed);
}

static void push(struct lane *lane)
{
    struct parcel *parcel = mem_alloc(sizeof *parcel);
    parcel->bytes = lane->gathered;
    lane->gathered = (struct buf){0};
    parcel->next = atomic_load_explicit(&lane->newest, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&lane->newest, &parcel->next, parcel,
                                                  memory_order_release, memory_order_relaxed)) {
    }
}

void lanes_flush(struct lanes *lanes, uint32_t from)
{
    for (uint32_t to = 0; to < lanes->shards; to++) {
        struct lane *lane = &lanes->lanes[from][to];
        if (lane->gathered.size == 0)
            continue;
        push(lane);
        lanes->ends[from].counters.parcels++;
        uv_async_send(&lanes->ends[to].async);
    }
}

const struct lanes_counters *lanes_counters(const struct lanes *lanes, uint32_t from)
{
    return &lanes->ends[from].counters;
}
