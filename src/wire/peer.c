/* Whole messages: the frame, the type, the fields (peer_shapes.c), and the rules between fields. */
#include "wire/peer.h"

#include "base/error.h"
#include "wire/frame.h"
#include "wire/peer_hot.h"
#include "wire/peer_shapes.h"

int message_encode(const struct message *message, struct buf *out)
{
    ASSERT((uint32_t)message->type < MESSAGE_TYPES && message_shapes[message->type] != NULL);
    const struct shape *shape = message_shapes[message->type];
    size_t start = frame_begin(out);
    if (hot_write(message, out))
        return frame_end(out, start);
    mp_write_array(out, 1 + shape->count);
    mp_write_uint(out, message->type);
    int status = shape_write(shape, message, out);
    if (status != 0) {
        out->size = start;
        return status;
    }
    return frame_end(out, start);
}

/* A node that joins sizes its ring by the cluster in the same message. */
static bool welcome_check(const struct message *message)
{
    uint32_t ranges = 1u << message->welcome.cluster.range_bits;
    for (uint32_t i = 0; i < message->welcome.records_count; i++) {
        if (message->welcome.records[i].range >= ranges)
            return false;
    }
    return !id_none(message->welcome.cluster.id);
}

/* A record in a message about a range is of that range. */
static bool record_fits(const struct range_epoch *range, const struct range_record *record)
{
    return record->epoch == 0 || record->range == range->range;
}

static bool message_check(const struct message *message)
{
    switch (message->type) {
    case MESSAGE_WELCOME:
        return welcome_check(message);
    case MESSAGE_PROPOSE:
    case MESSAGE_CHOSEN:
        return message->vote.record.epoch > 0 &&
               record_fits(&message->vote.range, &message->vote.record);
    case MESSAGE_PREPARE:
    case MESSAGE_PROMISE:
    case MESSAGE_ACCEPTED:
    case MESSAGE_INSTALLED:
        return record_fits(&message->vote.range, &message->vote.record);
    case MESSAGE_WRITE:
    case MESSAGE_HINT:
        return message->write.object.size > 0 &&
               record_fits(&message->write.range, &message->write.record);
    case MESSAGE_READ:
        return record_fits(&message->write.range, &message->write.record);
    case MESSAGE_REPLY:
        return record_fits(&message->reply.range, &message->reply.record);
    default:
        return true;
    }
}

int message_decode(struct slice payload, struct arena *arena, uint32_t ranges_max,
                   struct message *ret_message)
{
    if (hot_read(payload, ranges_max, ret_message))
        return message_check(ret_message) ? OK : ERR_CORRUPT;
    struct shape_reader reader = {mp_reader_of(payload), arena, ranges_max};
    uint32_t count = mp_read_array(&reader.in);
    uint64_t type = mp_read_uint(&reader.in);
    if (reader.in.bad || count == 0)
        return ERR_CORRUPT;
    if (type >= MESSAGE_TYPES || message_shapes[type] == NULL)
        return ERR_UNKNOWN_METHOD;
    memset(ret_message, 0, sizeof *ret_message);
    ret_message->type = (enum message_type)type;
    shape_read(&reader, message_shapes[type], count - 1, ret_message);
    return mp_finished(&reader.in) && message_check(ret_message) ? OK : ERR_CORRUPT;
}

const char *message_name(enum message_type type)
{
    static const char *const names[MESSAGE_TYPES] = {
        "?",        "HELLO",   "WELCOME",  "REFUSED", "SYN",       "ACK",     "ACK2",
        "BULK",     "PING",    "PONG",     "OFFER",   "ACCEPT",    "REJECT",  "PREPARE",
        "PROMISE",  "PROPOSE", "ACCEPTED", "CHOSEN",  "INSTALLED", "CHUNK",   "CHUNK_ACK",
        "COMPLETE", "FORWARD", "ANSWER",   "WRITE",   "READ",      "SCAN",    "REPLY",
        "COMPARE",  "OBJECTS", "HINT",     "PROVE",   "PROVEN",    "HORIZON", "ROOTS",
        "LEAVES",   "HANDED",  "ANSWERED", "NEWS",
    };
    return (uint32_t)type < MESSAGE_TYPES ? names[type] : names[0];
}
