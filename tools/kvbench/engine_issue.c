/* Which request comes next, and sending it. */
#include "kvbench/dialect.h"
#include "kvbench/engine_private.h"

void engine_dirty(struct engine *engine, struct lane *lane)
{
    if (!lane->dirty) {
        lane->dirty = true;
        engine->dirty[engine->dirty_count++] = lane;
    }
}

static struct slice value_make(struct engine *engine, const struct op *op)
{
    size_t size = sizes_draw(&engine->options.sizes, &engine->workload->prng);
    if (engine->ledger != NULL) {
        buf_clear(&engine->value);
        ledger_value(engine->ledger, op->key, op->sequence, size, &engine->value);
        return buf_slice(&engine->value);
    }
    if (size >= RANDOM_SIZE) {
        buf_clear(&engine->value);
        memset(buf_reserve(&engine->value, size), 'x', size);
        return slice_of(engine->value.data, size);
    }
    return slice_of(engine->random + prng_below(&engine->workload->prng, RANDOM_SIZE - size), size);
}

void engine_send_put(struct engine *engine, struct lane *lane, struct op *op, struct slice context)
{
    char name[KEY_NAME_MAX];
    uint32_t length = workload_name(engine->workload, op->key, name);
    op->writing = true;
    const struct manner *manner = &engine->options.manner;
    manner->dialect->put(lane, op, manner, slice_of(name, length), value_make(engine, op),
                         manner->dialect->contexts ? context : SLICE_NONE);
}

static void send_get(struct engine *engine, struct lane *lane, struct op *op)
{
    char name[KEY_NAME_MAX];
    uint32_t length = workload_name(engine->workload, op->key, name);
    if (engine->ledger != NULL)
        op->floor = ledger_floor(engine->ledger, op->key);
    engine->options.manner.dialect->get(lane, op, &engine->options.manner, slice_of(name, length));
}

/* A key to write: in a checked run one that nobody else is writing. */
static bool choose_key(struct engine *engine, struct op *op)
{
    bool write = op->kind == OP_PUT || op->kind == OP_RMW;
    for (int i = 0; i < 64; i++) {
        op->key = workload_key(engine->workload);
        if (engine->ledger == NULL || !write)
            return true;
        op->sequence = ledger_begin(engine->ledger, op->key);
        if (op->sequence != 0)
            return true;
    }
    return false;
}

/* The next key whose turn it is, or one that failed before. */
static bool each_key(struct engine *engine, struct op *op)
{
    if (engine->again_count > 0)
        op->key = engine->again[--engine->again_count];
    else if (engine->each_next < engine->workload->keys)
        op->key = engine->each_next++;
    else
        return false;
    if (engine->ledger != NULL && op->kind == OP_PUT)
        op->sequence = ledger_begin(engine->ledger, op->key);
    return true;
}

static bool op_begin(struct engine *engine, const struct stream *stream, struct op *op)
{
    if (stream->each) {
        op->kind = stream->each_kind;
        return each_key(engine, op);
    }
    op->kind = workload_kind(engine->workload, &stream->mix);
    if (op->kind == OP_INSERT) {
        ASSERT(engine->ledger == NULL);
        op->key = engine->workload->keys++;
        return true;
    }
    return op->kind == OP_SCAN || choose_key(engine, op);
}

/* Send one request on LANE, which has a free place. False when there is none to send. */
static bool issue(struct engine *engine, struct lane *lane, uint64_t intended_ns)
{
    if (engine->stopping ||
        (engine->options.count_max > 0 && engine->issued >= engine->options.count_max))
        return false;
    struct op *op = lane_take(lane);
    op->stream = lane->stream;
    if (!op_begin(engine, &engine->options.streams[op->stream], op)) {
        lane_give(lane, op);
        return false;
    }
    op->intended_ns = intended_ns;
    op->sent_ns = engine->now_ns;
    if (op->kind == OP_SCAN)
        engine->options.manner.dialect->scan(lane, op, &engine->options.manner);
    else if (op->kind == OP_PUT || op->kind == OP_INSERT)
        engine_send_put(engine, lane, op, SLICE_NONE);
    else
        send_get(engine, lane, op);
    engine->issued++;
    engine->under_way++;
    engine_dirty(engine, lane);
    return true;
}

static bool rests(const struct engine *engine, const struct lane *lane)
{
    return engine->options.streams[lane->stream].each && engine->now_ns < engine->rest_ns;
}

static bool lane_ready(const struct lane *lane)
{
    return lane->fd >= 0 && !lane->connecting && lane_free(lane);
}

void engine_issue_closed(struct engine *engine, struct lane *lane)
{
    while (lane_ready(lane) && !rests(engine, lane) && issue(engine, lane, engine->now_ns))
        ;
}

void engine_issue_open(struct engine *engine, uint32_t s)
{
    const struct stream *stream = &engine->options.streams[s];
    uint32_t tried = 0;
    while (engine->next_ns[s] <= (double)engine->now_ns && tried < stream->connections) {
        struct lane *lane =
            &engine->lanes[engine->first[s] + engine->turn[s]++ % stream->connections];
        if (!lane_ready(lane)) {
            tried++;
            continue;
        }
        if (!issue(engine, lane, (uint64_t)engine->next_ns[s]))
            return;
        engine->next_ns[s] += 1e9 / stream->rate;
        tried = 0;
    }
}
