#include "sim/describe.h"

#include "base/error.h"
#include "data/fork.h"

static const char *const store_op_names[] = {
    [STORE_UPDATE] = "UPDATE",
    [STORE_MERGE] = "MERGE",
    [STORE_READ] = "READ",
    [STORE_SCAN] = "SCAN",
    [STORE_CHUNK] = "CHUNK",
    [STORE_META] = "META",
    [STORE_DROP] = "DROP",
    [STORE_VERIFY] = "VERIFY",
    [STORE_HINT_UPDATE] = "HINT_UPDATE",
    [STORE_HINT_MERGE] = "HINT_MERGE",
    [STORE_HINT_READ] = "HINT_READ",
    [STORE_HINT_SCAN] = "HINT_SCAN",
    [STORE_HINT_SETTLE] = "HINT_SETTLE",
    [STORE_COLLECT] = "COLLECT",
    [STORE_WHOLE] = "WHOLE",
    [STORE_TREE] = "TREE",
};

enum message_type message_named(struct slice name)
{
    for (uint32_t i = 1; i < MESSAGE_TYPES; i++)
        if (slice_equal(slice_string(message_name((enum message_type)i)), name))
            return (enum message_type)i;
    return (enum message_type)MESSAGE_TYPES;
}

const char *store_op_name(enum store_op_type type)
{
    return (size_t)type < ARRAY_SIZE(store_op_names) && store_op_names[type] != NULL
               ? store_op_names[type]
               : "?";
}

static void describe_range(const struct range_epoch *range, struct buf *out)
{
    buf_printf(out, " %u@", range->range);
    if (range->fork > 0)
        buf_printf(out, "%u/", range->fork);
    /* Within the block of a fork. */
    uint64_t epoch = range->epoch & ((UINT64_C(1) << FORK_EPOCH_BITS) - 1);
    buf_printf(out, "%llu", (unsigned long long)epoch);
}

static void describe_slot(const struct world *world, const struct slot *slot, struct buf *out)
{
    buf_printf(out, "%u ", slot->number);
    if (!id_none(slot->owner))
        buf_printf(out, "%s", world_name(world, slot->owner));
    if (!id_none(slot->target))
        buf_printf(out, ">%s", world_name(world, slot->target));
    if (slot->stage != STAGE_STABLE)
        buf_printf(out, " %s", stage_name(slot->stage));
}

void describe_record(const struct world *world, const struct range_record *record, struct buf *out)
{
    struct range_epoch range = {record->range, record->fork, record->nonce, record->epoch};
    describe_range(&range, out);
    buf_printf(out, " [");
    for (uint32_t i = 0; i < record->slots_count; i++) {
        if (i > 0)
            buf_printf(out, ", ");
        describe_slot(world, &record->slots[i], out);
    }
    for (uint32_t i = 0; i < record->former_count; i++)
        buf_printf(out, "%s%s", i == 0 ? " | " : " ", world_name(world, record->former[i]));
    buf_printf(out, "]");
}

static void describe_key(struct slice bucket, struct slice key, struct buf *out)
{
    /* What follows the dot of a key was only tried until it fell into the right range. */
    size_t size = 0;
    while (size < key.size && key.data[size] != '.')
        size++;
    buf_printf(out, " %.*s/%.*s", (int)bucket.size, (const char *)bucket.data, (int)size,
               (const char *)key.data);
}

static void describe_delta(const struct world *world, const struct delta *delta, struct buf *out)
{
    for (uint32_t i = 0; i < delta->members_count; i++)
        buf_printf(out, " member %s.%llu.%llu", world_name(world, delta->members[i].id),
                   (unsigned long long)delta->members[i].generation,
                   (unsigned long long)delta->members[i].version);
    for (uint32_t i = 0; i < delta->departures_count; i++)
        buf_printf(out, " departed %s", world_name(world, delta->departures[i].id));
    for (uint32_t i = 0; i < delta->settings_count; i++)
        buf_printf(out, " setting %.*s", (int)delta->settings[i].name.size,
                   (const char *)delta->settings[i].name.data);
    if (delta->records_count > 3)
        buf_printf(out, " %u records", delta->records_count);
    for (uint32_t i = 0; i < delta->records_count && delta->records_count <= 3; i++)
        describe_record(world, &delta->records[i], out);
}

static void describe_vote(const struct world *world, const struct message *message, struct buf *out)
{
    describe_range(&message->vote.range, out);
    if (message->type != MESSAGE_CHOSEN && message->type != MESSAGE_INSTALLED)
        /* The upper part is the proposer's generation (core/register.c). */
        buf_printf(out, " ballot %llu.%s",
                   (unsigned long long)message->vote.ballot.number & ((1u << 20) - 1),
                   world_name(world, message->vote.ballot.node));
    if (message->vote.refused)
        buf_printf(out, " refused");
    if (message->vote.has_record) {
        buf_printf(out, ":");
        describe_record(world, &message->vote.record, out);
    }
}

static void describe_chunk(const struct message *message, struct buf *out)
{
    describe_range(&message->chunk.range, out);
    if (message->type == MESSAGE_COMPLETE)
        buf_printf(out, " %llu keys", (unsigned long long)message->chunk.count);
    else
        buf_printf(out, " #%llu", (unsigned long long)message->chunk.sequence);
    if (message->type == MESSAGE_CHUNK)
        buf_printf(out, " %u keys%s", message->chunk.entries_count,
                   message->chunk.last ? " last" : "");
}

static const char *method_name(enum method method)
{
    static const char *const names[] = {"?", "GET", "PUT", "DELETE", "SCAN", "EDIT"};
    return names[method <= METHOD_EDIT ? method : 0];
}

static void describe_reply(const struct message *message, struct buf *out)
{
    describe_range(&message->reply.range, out);
    buf_printf(out, ".%u %s", message->reply.slot, error_word(message->reply.error));
}

void describe_message(const struct world *world, const struct message *message, struct buf *out)
{
    buf_printf(out, "%s", message_name(message->type));
    switch (message->type) {
    case MESSAGE_WELCOME:
        buf_printf(out, " %u records", message->welcome.records_count);
        break;
    case MESSAGE_REFUSED:
        buf_printf(out, " %s", error_word(message->refused.error));
        break;
    case MESSAGE_ACK:
        buf_printf(out, " %u digests", message->ack.digests_count);
        break;
    case MESSAGE_ACK2:
        describe_delta(world, &message->ack2.delta, out);
        buf_printf(out, " wants %u", message->ack2.wants_count);
        break;
    case MESSAGE_BULK:
        describe_delta(world, &message->bulk.delta, out);
        break;
    case MESSAGE_OFFER:
    case MESSAGE_ACCEPT:
    case MESSAGE_REJECT:
        describe_range(&message->offer.range, out);
        buf_printf(out, ".%u", message->offer.slot);
        break;
    case MESSAGE_PREPARE:
    case MESSAGE_PROMISE:
    case MESSAGE_PROPOSE:
    case MESSAGE_ACCEPTED:
    case MESSAGE_CHOSEN:
    case MESSAGE_INSTALLED:
        describe_vote(world, message, out);
        break;
    case MESSAGE_CHUNK:
    case MESSAGE_CHUNK_ACK:
    case MESSAGE_COMPLETE:
        describe_chunk(message, out);
        break;
    case MESSAGE_FORWARD:
        buf_printf(out, " %s", method_name(message->forward.request.method));
        describe_range(&message->forward.range, out);
        describe_key(message->forward.request.bucket, message->forward.request.key, out);
        buf_printf(out, " hops %u%s", message->forward.hops,
                   message->forward.fallback ? " as a fallback" : "");
        break;
    case MESSAGE_ANSWER:
        buf_printf(out, " %s", error_word(message->answer.answer.error));
        break;
    case MESSAGE_WRITE:
    case MESSAGE_READ:
    case MESSAGE_HINT:
        describe_range(&message->write.range, out);
        buf_printf(out, ".%u", message->write.slot);
        describe_key(message->write.bucket, message->write.key, out);
        if (message->write.hinted)
            buf_printf(out, " hinted");
        break;
    case MESSAGE_SCAN:
        describe_range(&message->scan.range, out);
        break;
    case MESSAGE_REPLY:
        describe_reply(message, out);
        break;
    case MESSAGE_COMPARE:
    case MESSAGE_LEAVES:
    case MESSAGE_OBJECTS:
        describe_range(&message->compare.range, out);
        buf_printf(out, " %u nodes at %u bits, %u keys, %u objects", message->compare.nodes_count,
                   message->compare.bits, message->compare.keys_count,
                   message->compare.entries_count);
        if (message->compare.walk != 0)
            buf_printf(out, " of %.*s", (int)message->compare.bucket.size,
                       (const char *)message->compare.bucket.data);
        break;
    case MESSAGE_ROOTS:
        buf_printf(out, " %s %u ranges",
                   message->roots.kind == ROOTS_ASK      ? "ask"
                   : message->roots.kind == ROOTS_DIFFER ? "differ"
                                                         : "dirty",
                   message->roots.nodes_count);
        break;
    case MESSAGE_PROVE:
    case MESSAGE_PROVEN:
    case MESSAGE_HORIZON:
        describe_range(&message->horizon.range, out);
        if (message->type == MESSAGE_HORIZON)
            buf_printf(out, "%s", message->horizon.reply ? " taken" : "");
        else
            buf_printf(out, " %u nodes, %u keys%s", message->horizon.nodes_count,
                       message->horizon.entries_count, message->horizon.refused ? " refused" : "");
        break;
    default:
        break;
    }
}

void describe_store_op(const struct world *world, const struct store_op *op, struct buf *out)
{
    (void)world;
    buf_printf(out, "%s", store_op_name(op->type));
    struct range_epoch range = {op->range, op->fork, 0, op->epoch};
    switch (op->type) {
    case STORE_UPDATE:
    case STORE_MERGE:
    case STORE_READ:
    case STORE_HINT_UPDATE:
    case STORE_HINT_MERGE:
    case STORE_HINT_READ:
    case STORE_HINT_SETTLE:
        describe_range(&range, out);
        describe_key(op->bucket, op->key, out);
        break;
    case STORE_META:
        if (op->batch.install) {
            buf_printf(out, " install");
            describe_range(&range, out);
        }
        for (uint32_t i = 0; i < op->batch.metas_count; i++)
            buf_printf(out, " %c", op->batch.metas[i].key.data[0]);
        break;
    case STORE_CHUNK:
        describe_range(&range, out);
        buf_printf(out, " %u keys", op->batch.entries_count);
        break;
    default:
        describe_range(&range, out);
        break;
    }
}
