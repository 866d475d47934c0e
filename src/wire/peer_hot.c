/* Field by field in the order of peer_shapes.c, with its bounds. */
#include "wire/peer_hot.h"

#include "base/limits.h"
#include "data/object.h"

enum {
    REQUEST_FIELDS = 18, /* Of WRITE, READ and HINT. */
    REPLY_FIELDS = 14,
    HEADERS_MAX = 128, /* All but bucket, key and object, and to spare. */
};

/* ------------------------------------------------------------------------------ Writing. */

static void range_write(const struct range_epoch *range, struct buf *out)
{
    mp_write_uint(out, range->range);
    mp_write_uint(out, range->fork);
    mp_write_uint(out, range->nonce);
    mp_write_uint(out, range->epoch);
}

static void request_write(const struct message *message, struct buf *out)
{
    buf_reserve(out, HEADERS_MAX + message->write.bucket.size + message->write.key.size +
                         message->write.object.size);
    mp_write_array(out, 1 + REQUEST_FIELDS);
    mp_write_uint(out, message->type);
    mp_write_uint(out, message->write.id);
    range_write(&message->write.range, out);
    mp_write_uint(out, message->write.slot);
    if (id_none(message->write.target)) {
        mp_write_nil(out);
    } else {
        buf_append(out, slice_of("\xc4\x10", 2));
        id_write(out, message->write.target);
    }
    mp_write_uint(out, message->write.deadline);
    mp_write_bool(out, message->write.sync);
    mp_write_bool(out, message->write.digest);
    mp_write_bool(out, message->write.repair);
    mp_write_binary(out, message->write.bucket);
    mp_write_binary(out, message->write.key);
    mp_write_binary(out, message->write.object);
    mp_write_bool(out, false);
    mp_write_nil(out);
    mp_write_bool(out, message->write.hinted);
    mp_write_uint(out, message->write.stamp);
}

static void reply_write(const struct message *message, struct buf *out)
{
    buf_reserve(out, HEADERS_MAX + message->reply.object.size);
    mp_write_array(out, 1 + REPLY_FIELDS);
    mp_write_uint(out, message->type);
    mp_write_uint(out, message->reply.id);
    range_write(&message->reply.range, out);
    mp_write_uint(out, message->reply.slot);
    mp_write_int(out, message->reply.error);
    mp_write_uint(out, message->reply.hlc);
    mp_write_uint(out, message->reply.digest);
    mp_write_binary(out, message->reply.object);
    mp_write_array(out, 0);
    mp_write_bool(out, message->reply.more);
    mp_write_bool(out, false);
    mp_write_nil(out);
}

bool hot_write(const struct message *message, struct buf *out)
{
    switch (message->type) {
    case MESSAGE_WRITE:
    case MESSAGE_READ:
    case MESSAGE_HINT:
        if (message->write.has_record || message->write.record.epoch != 0 ||
            message->write.bucket.size > BUCKET_SIZE_MAX || message->write.key.size > KEY_SIZE_MAX)
            return false;
        request_write(message, out);
        return true;
    case MESSAGE_REPLY:
        if (message->reply.has_record || message->reply.record.epoch != 0 ||
            message->reply.entries_count > 0)
            return false;
        reply_write(message, out);
        return true;
    default:
        return false;
    }
}

/* ------------------------------------------------------------------------------ Reading. */

static uint64_t bounded(struct mp_reader *in, uint64_t highest)
{
    uint64_t number = mp_read_uint(in);
    if (number > highest)
        in->bad = true;
    return number;
}

static struct slice sized(struct mp_reader *in, size_t lowest, size_t highest)
{
    struct slice bytes = mp_read_bytes(in);
    if (bytes.size < lowest || bytes.size > highest)
        in->bad = true;
    return bytes;
}

static struct slice object_read_checked(struct mp_reader *in)
{
    struct slice bytes = mp_read_bytes(in);
    if (!in->bad && object_check(bytes) != 0)
        in->bad = true;
    return bytes;
}

static struct node_id node_read(struct mp_reader *in)
{
    if (mp_take_nil(in))
        return (struct node_id){0};
    struct reader bytes = reader_of(sized(in, 16, 16));
    return id_read(&bytes);
}

static struct range_epoch range_read(struct mp_reader *in, uint32_t ranges_max)
{
    struct range_epoch range;
    range.range = (uint32_t)bounded(in, (uint64_t)ranges_max - 1);
    range.fork = (uint32_t)bounded(in, UINT32_MAX);
    range.nonce = mp_read_uint(in);
    range.epoch = mp_read_uint(in);
    return range;
}

/* A message that says it has a record, or has one, is for the shapes. */
static void no_record(struct mp_reader *in)
{
    if (mp_read_bool(in) || !mp_take_nil(in))
        in->bad = true;
}

static void request_read(struct mp_reader *in, uint32_t ranges_max, struct message *message)
{
    message->write.id = mp_read_uint(in);
    message->write.range = range_read(in, ranges_max);
    message->write.slot = (uint8_t)bounded(in, SLOTS_MAX - 1);
    message->write.target = node_read(in);
    message->write.deadline = mp_read_uint(in);
    message->write.sync = mp_read_bool(in);
    message->write.digest = mp_read_bool(in);
    message->write.repair = mp_read_bool(in);
    message->write.bucket = sized(in, 1, BUCKET_SIZE_MAX);
    message->write.key = sized(in, 1, KEY_SIZE_MAX);
    message->write.object = object_read_checked(in);
    no_record(in);
    message->write.hinted = mp_read_bool(in);
    message->write.stamp = mp_read_uint(in);
}

static void reply_read(struct mp_reader *in, uint32_t ranges_max, struct message *message)
{
    message->reply.id = mp_read_uint(in);
    message->reply.range = range_read(in, ranges_max);
    message->reply.slot = (uint8_t)bounded(in, SLOTS_MAX - 1);
    message->reply.error = 0; /* Another one is for the shapes. */
    if (mp_read_uint(in) != 0)
        in->bad = true;
    message->reply.hlc = mp_read_uint(in);
    message->reply.digest = mp_read_uint(in);
    message->reply.object = object_read_checked(in);
    if (mp_read_array(in) != 0)
        in->bad = true;
    message->reply.more = mp_read_bool(in);
    no_record(in);
}

bool hot_read(struct slice payload, uint32_t ranges_max, struct message *ret_message)
{
    struct mp_reader in = mp_reader_of(payload);
    uint32_t count = mp_read_array(&in);
    uint64_t type = mp_read_uint(&in);
    bool request = type == MESSAGE_WRITE || type == MESSAGE_READ || type == MESSAGE_HINT;
    if (in.bad || !(request ? count == 1 + REQUEST_FIELDS
                            : type == MESSAGE_REPLY && count == 1 + REPLY_FIELDS))
        return false;
    memset(ret_message, 0, sizeof(*ret_message));
    ret_message->type = (enum message_type)type;
    if (request)
        request_read(&in, ranges_max, ret_message);
    else
        reply_read(&in, ranges_max, ret_message);
    return mp_finished(&in);
}
