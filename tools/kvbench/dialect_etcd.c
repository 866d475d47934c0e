/* etcd's gRPC: Put, and Range of one key (linearizable, its default), over HTTP/2 (RFC 9113).
 *
 * Only what a client of this one service needs. Nothing that a server says in header blocks is
 * read: an answer with a message is a success, a stream that ends without one has failed. So HPACK
 * (RFC 7541) is needed one way only, and there as literals. The bytes under way on a connection
 * stay below the window that every server opens with, so it need not be counted. */
#include "base/error.h"
#include "kvbench/dialect.h"

enum {
    FRAME_DATA = 0,
    FRAME_HEADERS = 1,
    FRAME_RST_STREAM = 3,
    FRAME_SETTINGS = 4,
    FRAME_PING = 6,
    FRAME_GOAWAY = 7,
    FRAME_WINDOW_UPDATE = 8,
    FLAG_END_STREAM = 1,
    FLAG_ACK = 1,
    FLAG_END_HEADERS = 4,
    HEAD_SIZE = 9,
    FRAME_SIZE_MAX = 16384,
    WINDOW_STEP = 1 << 20,
};

struct frame {
    uint32_t size;
    uint8_t type;
    uint8_t flags;
    uint32_t stream;
    const uint8_t *body;
};

static void put_u32(struct buf *out, uint32_t value)
{
    uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                        (uint8_t)value};
    buf_append(out, slice_of(bytes, sizeof(bytes)));
}

static void frame_begin(struct buf *out, size_t size, uint8_t type, uint8_t flags, uint32_t stream)
{
    put_u32(out, (uint32_t)size << 8 | type);
    buf_append_byte(out, flags);
    put_u32(out, stream);
}

static void window_update(struct buf *out, uint32_t bytes)
{
    frame_begin(out, 4, FRAME_WINDOW_UPDATE, 0, 0);
    put_u32(out, bytes);
}

static void etcd_greet(struct lane *lane, const struct manner *manner)
{
    /* No dynamic table (1) for what is not read, and windows of streams (4) that never close. */
    static const uint8_t settings[] = {0, 1, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff};
    (void)manner;
    lane->numbers = 0;
    lane->taken = 0;
    buf_append(&lane->out, slice_string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    frame_begin(&lane->out, sizeof(settings), FRAME_SETTINGS, 0, 0);
    buf_append(&lane->out, slice_of(settings, sizeof(settings)));
    window_update(&lane->out, 16 * WINDOW_STEP);
}

/* ---------------------------------------------------------------------------- Requests. */

static void literal(struct buf *out, const char *text)
{
    buf_append_byte(out, (uint8_t)strlen(text));
    buf_append(out, slice_string(text));
}

/* The header block: names by their place in the static table, values as they are. */
static void headers(struct buf *out, const char *path)
{
    buf_append_byte(out, 0x83); /* :method POST */
    buf_append_byte(out, 0x86); /* :scheme http */
    buf_append_byte(out, 0x04); /* :path */
    literal(out, path);
    buf_append_byte(out, 0x01); /* :authority */
    literal(out, "etcd");
    buf_append(out, slice_of("\x0f\x10", 2)); /* content-type */
    literal(out, "application/grpc");
    buf_append_byte(out, 0x00);
    literal(out, "te");
    literal(out, "trailers");
}

static size_t varint_size(size_t value)
{
    size_t size = 1;
    for (; value >= 128; value >>= 7)
        size++;
    return size;
}

/* A field of bytes in a protobuf message. */
static void field(struct buf *out, uint8_t number, struct slice bytes)
{
    buf_append_byte(out, (uint8_t)(number << 3 | 2));
    size_t left = bytes.size;
    for (; left >= 128; left >>= 7)
        buf_append_byte(out, (uint8_t)(left | 128));
    buf_append_byte(out, (uint8_t)left);
    buf_append(out, bytes);
}

static size_t field_size(struct slice bytes)
{
    return 1 + varint_size(bytes.size) + bytes.size;
}

/* Begin a request whose message has SIZE bytes. */
static void request(struct lane *lane, struct op *op, const char *path, size_t size)
{
    struct buf *out = &lane->out;
    op->number = 2 * lane->numbers++ + 1;
    size_t head = out->size;
    frame_begin(out, 0, FRAME_HEADERS, FLAG_END_HEADERS, op->number);
    headers(out, path);
    out->data[head + 2] = (uint8_t)(out->size - head - HEAD_SIZE); /* It is always under 256. */
    frame_begin(out, 5 + size, FRAME_DATA, FLAG_END_STREAM, op->number);
    buf_append_byte(out, 0); /* Not compressed. */
    put_u32(out, (uint32_t)size);
}

static void etcd_get(struct lane *lane, struct op *op, const struct manner *manner,
                     struct slice key)
{
    (void)manner;
    request(lane, op, "/etcdserverpb.KV/Range", field_size(key));
    field(&lane->out, 1, key);
}

static void etcd_put(struct lane *lane, struct op *op, const struct manner *manner,
                     struct slice key, struct slice value, struct slice context)
{
    (void)manner;
    (void)context;
    request(lane, op, "/etcdserverpb.KV/Put", field_size(key) + field_size(value));
    field(&lane->out, 1, key);
    field(&lane->out, 2, value);
}

/* ----------------------------------------------------------------------------- Answers. */

/* The field of bytes NUMBER in MESSAGE, or an empty slice without data. */
static struct slice find_field(struct slice message, uint64_t number)
{
    size_t at = 0;
    while (at < message.size) {
        uint64_t words[2] = {0}; /* The tag, and the number or length behind it. */
        for (int i = 0; i < 2; i++) {
            for (uint32_t shift = 0; at < message.size && shift < 64; shift += 7) {
                words[i] |= (uint64_t)(message.data[at] & 127) << shift;
                if (message.data[at++] < 128)
                    break;
            }
        }
        uint64_t size = (words[0] & 7) == 2 ? words[1] : 0;
        if (((words[0] & 7) != 2 && (words[0] & 7) != 0) || size > message.size - at)
            break;
        if (words[0] >> 3 == number && (words[0] & 7) == 2)
            return slice_of(message.data + at, size);
        at += size;
    }
    return SLICE_NONE;
}

static struct op *op_of(struct lane *lane, uint32_t stream)
{
    for (uint32_t i = 0; i < lane->depth; i++) {
        if (lane->ops[i].used && lane->ops[i].number == stream)
            return &lane->ops[i];
    }
    return NULL;
}

static void take_data(struct lane *lane, const struct frame *frame, struct reply *reply)
{
    lane->taken += frame->size;
    if (lane->taken >= WINDOW_STEP) {
        window_update(&lane->out, lane->taken);
        lane->taken = 0;
    }
    if (frame->size < 5)
        return;
    reply->op = op_of(lane, frame->stream);
    if (reply->op == NULL || reply->op->writing)
        return;
    /* RangeResponse.kvs, KeyValue.value */
    struct slice found = find_field(slice_of(frame->body + 5, frame->size - 5), 2);
    reply->found = found.data != NULL;
    reply->error = reply->found ? 0 : ERR_NOT_FOUND;
    reply->value = find_field(found, 5);
}

static int frame_take(struct lane *lane, const struct frame *frame, struct reply *reply)
{
    bool ends = frame->type == FRAME_RST_STREAM ||
                (frame->type == FRAME_HEADERS && (frame->flags & FLAG_END_STREAM));
    if (frame->type == FRAME_DATA) {
        take_data(lane, frame, reply);
    } else if (ends) {
        /* A stream that had a message is known no more. */
        reply->op = op_of(lane, frame->stream);
        reply->error = ERR_UNAVAILABLE;
        reply->message = slice_string("the call failed");
    } else if (frame->type == FRAME_SETTINGS && !(frame->flags & FLAG_ACK)) {
        frame_begin(&lane->out, 0, FRAME_SETTINGS, FLAG_ACK, 0);
    } else if (frame->type == FRAME_PING && !(frame->flags & FLAG_ACK)) {
        frame_begin(&lane->out, frame->size, FRAME_PING, FLAG_ACK, 0);
        buf_append(&lane->out, slice_of(frame->body, frame->size));
    } else if (frame->type == FRAME_GOAWAY) {
        return ERR_CORRUPT;
    }
    return 1;
}

static int etcd_next(struct lane *lane, size_t *at, struct reply *ret_reply)
{
    const uint8_t *head = lane->in.data + *at;
    size_t left = lane->in.size - *at;
    *ret_reply = (struct reply){0};
    if (left < HEAD_SIZE)
        return 0;
    struct frame frame = {
        .size = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2],
        .type = head[3],
        .flags = head[4],
        .stream =
            ((uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8]) &
            0x7fffffff,
        .body = head + HEAD_SIZE,
    };
    if (frame.size > FRAME_SIZE_MAX)
        return ERR_CORRUPT;
    if (left < HEAD_SIZE + frame.size)
        return 0;
    *at += HEAD_SIZE + frame.size;
    return frame_take(lane, &frame, ret_reply);
}

const struct dialect dialect_etcd = {
    .name = "etcd",
    .window = 32 * 1024,
    .greet = etcd_greet,
    .get = etcd_get,
    .put = etcd_put,
    .next = etcd_next,
};
