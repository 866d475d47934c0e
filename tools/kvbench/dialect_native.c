/* kvring's own protocol: MessagePack-RPC, answers in any order. The id of a request is its place
 * and a serial number, so that an answer that comes after its request was given up is told apart.
 */
#include "base/error.h"
#include "base/limits.h"
#include "core/request.h"
#include "kvbench/dialect.h"

enum { PLACE_BITS = 12 };

static const struct mp_limits limits = {
    .depth_max = RPC_DEPTH_MAX, .elements_max = 1 << 20, .size_max = 256 * 1024 * 1024};

static void native_greet(struct lane *lane, const struct manner *manner)
{
    (void)manner;
    lane->scan = (struct mp_scan){.limits = limits};
}

/* --------------------------------------------------------------------------- Requests. */

static uint32_t op_id(const struct lane *lane, const struct op *op)
{
    return op->serial << PLACE_BITS | (uint32_t)(op - lane->ops);
}

static void put_consistency(struct buf *out, const char *name, uint8_t value)
{
    if (value == 0)
        return;
    mp_write_text(out, name);
    if (value == CONSISTENCY_QUORUM)
        mp_write_text(out, "quorum");
    else if (value == CONSISTENCY_ALL)
        mp_write_text(out, "all");
    else
        mp_write_uint(out, value);
}

/* The head of a request whose map has PAIRS of its own beside bucket, deadline and strict. */
static struct buf *request_begin(struct lane *lane, const struct op *op,
                                 const struct manner *manner, const char *method, uint32_t pairs)
{
    struct buf *out = &lane->out;
    mp_write_array(out, 4);
    mp_write_uint(out, 0);
    mp_write_uint(out, op_id(lane, op));
    mp_write_text(out, method);
    mp_write_map(out, pairs + 2 + manner->strict);
    mp_write_text(out, "bucket");
    mp_write_string(out, manner->bucket);
    mp_write_text(out, "deadline_ms");
    mp_write_uint(out, manner->deadline_ms);
    if (manner->strict) {
        mp_write_text(out, "strict");
        mp_write_bool(out, true);
    }
    return out;
}

static void native_get(struct lane *lane, struct op *op, const struct manner *manner,
                       struct slice key)
{
    struct buf *out = request_begin(lane, op, manner, "get", 1 + (manner->r > 0));
    mp_write_text(out, "key");
    mp_write_binary(out, key);
    put_consistency(out, "r", manner->r);
}

static void native_put(struct lane *lane, struct op *op, const struct manner *manner,
                       struct slice key, struct slice value, struct slice context)
{
    uint32_t pairs = 2U + (context.size > 0) + (manner->w > 0) + (manner->dw > 0);
    struct buf *out = request_begin(lane, op, manner, "put", pairs);
    mp_write_text(out, "key");
    mp_write_binary(out, key);
    mp_write_text(out, "value");
    mp_write_binary(out, value);
    if (context.size > 0) {
        mp_write_text(out, "context");
        mp_write_binary(out, context);
    }
    put_consistency(out, "w", manner->w);
    put_consistency(out, "dw", manner->dw);
}

static void native_scan(struct lane *lane, struct op *op, const struct manner *manner)
{
    uint32_t pairs = 1U + (manner->r > 0) + (lane->cursor.size > 0);
    struct buf *out = request_begin(lane, op, manner, "scan", pairs);
    mp_write_text(out, "limit");
    mp_write_uint(out, manner->scan_limit);
    if (lane->cursor.size > 0) {
        mp_write_text(out, "cursor");
        mp_write_binary(out, buf_slice(&lane->cursor));
    }
    put_consistency(out, "r", manner->r);
}

/* ----------------------------------------------------------------------------- Answers. */

static void error_read(struct mp_reader *reader, struct reply *reply)
{
    uint32_t pairs = mp_read_map(reader);
    for (uint32_t i = 0; i < pairs && !reader->bad; i++) {
        struct slice name = mp_read_bytes(reader);
        if (slice_equal(name, slice_string("code")))
            reply->error = error_of_word(mp_read_bytes(reader));
        else if (slice_equal(name, slice_string("message")))
            reply->message = mp_read_bytes(reader);
        else
            (void)mp_skip(reader);
    }
    if (reply->error == 0)
        reply->error = ERR_INTERNAL;
}

static void siblings_read(struct mp_reader *reader, struct reply *reply)
{
    reply->siblings = mp_read_array(reader);
    for (uint32_t i = 0; i < reply->siblings && !reader->bad; i++) {
        uint32_t pairs = mp_read_map(reader);
        for (uint32_t j = 0; j < pairs && !reader->bad; j++) {
            struct slice name = mp_read_bytes(reader);
            struct slice value =
                slice_equal(name, slice_string("value")) ? mp_read_bytes(reader) : mp_skip(reader);
            if (i == 0 && slice_equal(name, slice_string("value")))
                reply->value = value;
        }
    }
    reply->found = reply->siblings > 0;
}

static void result_read(struct mp_reader *reader, struct reply *reply)
{
    uint32_t pairs = mp_read_map(reader);
    for (uint32_t i = 0; i < pairs && !reader->bad; i++) {
        struct slice name = mp_read_bytes(reader);
        if (slice_equal(name, slice_string("siblings")))
            siblings_read(reader, reply);
        else if (slice_equal(name, slice_string("context")))
            reply->context = mp_read_bytes(reader);
        else if (slice_equal(name, slice_string("cursor")) && mp_peek(reader) != MP_NIL)
            reply->cursor = mp_read_bytes(reader);
        else if (slice_equal(name, slice_string("items"))) {
            struct mp_reader items = *reader;
            reply->items = mp_read_array(&items);
            (void)mp_skip(reader);
        } else {
            (void)mp_skip(reader);
        }
    }
}

static int reply_read(struct lane *lane, struct slice bytes, struct reply *reply)
{
    struct mp_reader reader = mp_reader_of(bytes);
    *reply = (struct reply){0};
    if (mp_read_array(&reader) != 4 || mp_read_uint(&reader) != 1)
        return ERR_CORRUPT;
    uint64_t id = mp_read_uint(&reader);
    struct op *op = &lane->ops[MIN(id % DEPTH_MAX, lane->depth - 1)];
    if (op->used && op_id(lane, op) == id)
        reply->op = op;
    if (!mp_take_nil(&reader))
        error_read(&reader, reply);
    if (!mp_take_nil(&reader))
        result_read(&reader, reply);
    return mp_finished(&reader) ? 1 : ERR_CORRUPT;
}

static int native_next(struct lane *lane, size_t *at, struct reply *ret_reply)
{
    size_t more = 0;
    struct slice left = slice_of(lane->in.data + *at, lane->in.size - *at);
    if (left.size == 0)
        return 0;
    if (mp_scan(&lane->scan, left, &more) != 0)
        return ERR_CORRUPT;
    if (more > 0)
        return 0;
    size_t size = lane->scan.at;
    lane->scan = (struct mp_scan){.limits = limits};
    *at += size;
    return reply_read(lane, slice_of(left.data, size), ret_reply);
}

const struct dialect dialect_native = {
    .name = "native",
    .buckets = true,
    .contexts = true,
    .scans = true,
    .greet = native_greet,
    .get = native_get,
    .put = native_put,
    .scan = native_scan,
    .next = native_next,
};
