#include "core/replica.h"

#include "base/rule.h"
#include "core/buckets.h"

/* A request of a coordinator between its store operation and its answer. */
struct replica_pending {
    struct replica_pending *next_spare;
    struct node_id from;
    uint64_t id;
    struct range_epoch range;
    uint64_t hash;
    struct stamp stamp; /* WRITE: of the object as sent, then as merged. */
    uint8_t slot;
    bool sync;
    bool digest;
    bool taking; /* WRITE: a new version, counted on `side` until it is in the store. */
    uint8_t side;
    enum message_type type;
    uint64_t cursor;   /* SCAN: where it begins. */
    struct buf object; /* Owned. WRITE: the merged object where it says more than the one sent. */
    struct buf name;   /* Owned. READ: bucket + key, for the digest. */
    size_t bucket_size;
};

enum { SPARES_MAX = 1024, SPARE_CAPACITY_MAX = 256 };

static void pending_delete(struct replica_pending *pending)
{
    buf_done(&pending->object);
    buf_done(&pending->name);
    mem_free(pending);
}

/* Keep PENDING, which has ended, for the next one. */
static void pending_free(struct replica *replica, struct replica_pending *pending)
{
    if (!RECYCLES || replica->spares_count == SPARES_MAX ||
        pending->name.capacity > SPARE_CAPACITY_MAX) {
        pending_delete(pending);
        return;
    }
    buf_done(&pending->object);
    struct buf name = pending->name;
    buf_clear(&name);
    *pending = (struct replica_pending){.next_spare = replica->spares, .name = name};
    replica->spares = pending;
    replica->spares_count++;
}

void replica_init(struct replica *replica)
{
    *replica = (struct replica){0};
}

void replica_done(struct replica *replica)
{
    size_t cursor = 0;
    struct replica_pending *pending;
    while ((pending = map_next(&replica->pendings, &cursor, NULL)) != NULL)
        pending_delete(pending);
    while ((pending = replica->spares) != NULL) {
        replica->spares = pending->next_spare;
        pending_delete(pending);
    }
    map_done(&replica->pendings);
}

static struct message *reply(struct core *core, struct node_id to, uint64_t id,
                             const struct range_epoch *range, uint8_t slot, int error)
{
    struct message *message = core_send(core, to, MESSAGE_REPLY);
    message->reply.id = id;
    message->reply.range = *range;
    message->reply.slot = slot;
    message->reply.error = error;
    message->reply.hlc = core->hlc;
    return message;
}

/* The installed record decides. 0, or the error that the coordinator is to be told; RET_SHOW says
 * whether our record is the newer one, which corrects it. */
static int admit(struct core *core, const struct range_epoch *range, bool *ret_show)
{
    const struct holding *holding = &core->holdings[range->range];
    int order = range_epoch_compare(range, &holding->record);
    if (order > 0 || (order < 0 && RULE(OLD_EPOCHS_REFUSED))) {
        *ret_show = order < 0 && holding->record.epoch > 0;
        return ERR_WRONG_EPOCH;
    }
    return holding->ready ? 0 : ERR_NOT_READY;
}

static void refuse(struct core *core, struct node_id to, uint64_t id,
                   const struct range_epoch *range, uint8_t slot, int error, bool show)
{
    struct message *message = reply(core, to, id, range, slot, error);
    if (error != ERR_WRONG_EPOCH)
        return;
    core->counters.wrong_epochs++;
    message->reply.has_record = show;
    if (show)
        message->reply.record = core->holdings[range->range].record;
}

static struct replica_pending *pending_add(struct replica *replica, struct node_id from,
                                           uint64_t id, const struct range_epoch *range,
                                           enum message_type type, uint64_t *ret_token)
{
    struct replica_pending *pending = replica->spares;
    if (pending != NULL) {
        replica->spares = pending->next_spare;
        replica->spares_count--;
    } else {
        pending = mem_zero(sizeof(*pending));
    }
    pending->from = from;
    pending->id = id;
    pending->range = *range;
    pending->type = type;
    uint64_t value = ++replica->pendings_next;
    map_put(&replica->pendings, value, pending);
    *ret_token = token_of(OWNER_REPLICA, value);
    return pending;
}

static bool writes_slot(const struct core *core, uint32_t range, uint8_t number)
{
    const struct slot *slot = record_slot(&core->holdings[range].record, number);
    struct node_id writers[2];
    uint32_t count = slot == NULL ? 0 : slot_writers(slot, writers);
    for (uint32_t i = 0; i < count; i++) {
        if (id_equal(writers[i], core->self))
            return true;
    }
    return false;
}

static bool reads_slot(const struct core *core, uint32_t range, uint8_t number)
{
    const struct slot *slot = record_slot(&core->holdings[range].record, number);
    return slot != NULL && id_equal(slot_reader(slot), core->self);
}

static bool acknowledges_synced(const struct core *core, const struct message *message)
{
    struct bucket bucket;
    if (message->write.sync || bucket_find(&core->settings, message->write.bucket, &bucket) < 0)
        return true;
    return bucket.log_mode == LOG_ALWAYS;
}

static void on_write(struct replica *replica, struct core *core, struct node_id from,
                     const struct message *message, uint64_t hash)
{
    const struct range_epoch *range = &message->write.range;
    bool show = false;
    int error = admit(core, range, &show);
    if (error == 0 && !writes_slot(core, range->range, message->write.slot))
        error = ERR_WRONG_EPOCH;
    struct stamp stamp = object_stamp(message->write.object);
    /* Only a fresh put is refused; what others hold already has to be everywhere. */
    if (error == 0 && !core_hlc_seen(core, stamp.hlc) && !message->write.repair)
        error = ERR_CLOCK_SKEW;
    /* The highest stamp is that of what was put. What is not fresh and so stamped is held already,
     * or was collected: the store keeps it away. */
    uint64_t horizon = core->holdings[range->range].horizon;
    bool late = horizon != 0 && stamp.hlc <= horizon;
    bool fresh = !message->write.repair;
    uint8_t side = 0;
    if (error == 0 && fresh && (late || !core_take(core, stamp.hlc, &side)))
        error = ERR_CLOCK_SKEW;
    if (error < 0) {
        refuse(core, from, message->write.id, range, message->write.slot, error, show);
        return;
    }
    core->counters.replica_writes++;
    uint64_t token;
    struct replica_pending *pending =
        pending_add(replica, from, message->write.id, range, MESSAGE_WRITE, &token);
    pending->slot = message->write.slot;
    pending->stamp = stamp;
    pending->taking = fresh;
    pending->side = side;
    pending->sync = acknowledges_synced(core, message);
    struct store_op *op = core_store_under(core, STORE_MERGE, token, *range);
    op->sync = pending->sync;
    op->hash = hash;
    op->bucket = message->write.bucket;
    op->key = message->write.key;
    op->object = message->write.object;
}

static void on_read(struct replica *replica, struct core *core, struct node_id from,
                    const struct message *message, uint64_t hash)
{
    const struct range_epoch *range = &message->write.range;
    bool show = false;
    int error = admit(core, range, &show);
    uint64_t stamp = message->write.stamp;
    bool asked = reads_slot(core, range->range, message->write.slot) ||
                 (stamp != 0 && writes_slot(core, range->range, message->write.slot));
    if (error == 0 && !asked)
        error = ERR_WRONG_EPOCH;
    if (error == 0 && stamp != 0 && RULE(EDIT_STAMP_KNOWN))
        error = core_edit_stamp(core, stamp);
    if (error < 0) {
        refuse(core, from, message->write.id, range, message->write.slot, error, show);
        return;
    }
    core->counters.replica_reads++;
    uint64_t token;
    struct replica_pending *pending =
        pending_add(replica, from, message->write.id, range, MESSAGE_READ, &token);
    pending->slot = message->write.slot;
    pending->digest = message->write.digest;
    pending->hash = hash;
    if (pending->digest) {
        buf_append(&pending->name, message->write.bucket);
        buf_append(&pending->name, message->write.key);
        pending->bucket_size = message->write.bucket.size;
    }
    struct store_op *op = core_store(core, STORE_READ, token);
    op->range = range->range;
    op->hash = pending->hash;
    op->bucket = message->write.bucket;
    op->key = message->write.key;
}

enum { SCAN_BYTES_MAX = 1024 * 1024 };

/* What was asked before, and is asked once more since the other side was not that patient, is
 * answered once: there would be more and more scans otherwise, where the disk is slow. */
static bool is_scanning(const struct replica *replica, struct node_id from,
                        const struct message *message)
{
    const struct replica_pending *pending;
    size_t cursor = 0;
    uint64_t value;
    while ((pending = map_next(&replica->pendings, &cursor, &value)) != NULL)
        if (pending->type == MESSAGE_SCAN && pending->id == message->scan.id &&
            id_equal(pending->from, from) && pending->cursor == message->scan.from &&
            pending->range.range == message->scan.range.range &&
            pending->range.epoch == message->scan.range.epoch &&
            pending->range.nonce == message->scan.range.nonce)
            return true;
    return false;
}

static void on_scan(struct replica *replica, struct core *core, struct node_id from,
                    const struct message *message)
{
    const struct range_epoch *range = &message->scan.range;
    bool show = false;
    int error = admit(core, range, &show);
    const struct slot *slot =
        error == 0 ? record_slot_read_by(&core->holdings[range->range].record, core->self) : NULL;
    if (error == 0 && slot == NULL)
        error = ERR_WRONG_EPOCH;
    if (error < 0) {
        refuse(core, from, message->scan.id, range, 0, error, show);
        return;
    }
    if (is_scanning(replica, from, message))
        return;
    uint64_t token;
    struct replica_pending *pending =
        pending_add(replica, from, message->scan.id, range, MESSAGE_SCAN, &token);
    pending->slot = slot->number;
    pending->cursor = message->scan.from;
    struct store_op *op = core_store(core, STORE_SCAN, token);
    op->range = range->range;
    op->scan.scan_bucket = message->scan.bucket;
    op->scan.from = message->scan.from;
    op->scan.to = range_last(range->range, core->ring.bits);
    if (message->scan.to != 0)
        op->scan.to = MIN(op->scan.to, message->scan.to);
    op->bucket = message->scan.from_bucket;
    op->key = message->scan.from_key;
    op->scan.count_max = message->scan.limit;
    op->scan.bytes_max = SCAN_BYTES_MAX;
}

void replica_message(struct replica *replica, struct core *core, struct node_id from,
                     const struct message *message)
{
    bool scan = message->type == MESSAGE_SCAN;
    uint32_t range = scan ? message->scan.range.range : message->write.range.range;
    if (range >= ring_ranges(&core->ring))
        return;
    if (scan) {
        on_scan(replica, core, from, message);
        return;
    }
    /* Not for us (an address that changed hands), or nobody waits for it any more. A key under the
     * record of a range that is not its own would be stored where nobody looks for it. */
    uint64_t hash = key_hash(core->cluster.hash_seed, message->write.bucket, message->write.key);
    if (range != range_of(hash, core->ring.bits) || !id_equal(message->write.target, core->self) ||
        core_left_ms(core, message->write.deadline, message->type == MESSAGE_WRITE) == 0)
        return;
    if (message->type == MESSAGE_WRITE)
        on_write(replica, core, from, message, hash);
    else
        on_read(replica, core, from, message, hash);
}

static void write_stored(struct replica *replica, struct core *core,
                         struct replica_pending *pending, const struct store_done *done)
{
    struct stamp merged = object_stamp(done->object);
    if (stamp_after(merged, pending->stamp))
        buf_append(&pending->object, done->object);
    pending->stamp = merged;
    if (RULE(REPLICA_ACKS_SYNCED))
        core_when_durable(core, done->position, pending->sync, done->token);
    else
        replica_durable(replica, core, done->token);
}

static void read_stored(struct core *core, const struct replica_pending *pending,
                        const struct store_done *done)
{
    struct message *message =
        reply(core, pending->from, pending->id, &pending->range, pending->slot, 0);
    if (pending->digest) {
        struct slice name = buf_slice(&pending->name);
        message->reply.digest = object_digest(
            pending->hash, slice_of(name.data, pending->bucket_size),
            slice_of(name.data + pending->bucket_size, name.size - pending->bucket_size),
            done->object);
    } else {
        message->reply.object = done->object;
    }
}

static void scan_stored(struct core *core, const struct replica_pending *pending,
                        const struct store_done *done)
{
    struct message *message =
        reply(core, pending->from, pending->id, &pending->range, pending->slot, 0);
    message->reply.entries = done->entries;
    message->reply.entries_count = done->entries_count;
    message->reply.more = done->more;
}

void replica_stored(struct replica *replica, struct core *core, const struct store_done *done)
{
    uint64_t value = token_value(done->token);
    struct replica_pending *pending = map_get(&replica->pendings, value);
    ASSERT(pending != NULL);
    if (pending->taking)
        core_taken(core, pending->side);
    pending->taking = false;
    if (done->error < 0) {
        bool show =
            range_epoch_compare(&pending->range, &core->holdings[pending->range.range].record) < 0;
        refuse(core, pending->from, pending->id, &pending->range, pending->slot, done->error, show);
    } else if (pending->type == MESSAGE_WRITE) {
        write_stored(replica, core, pending, done);
        return;
    } else if (pending->type == MESSAGE_READ) {
        read_stored(core, pending, done);
    } else {
        scan_stored(core, pending, done);
    }
    map_remove(&replica->pendings, value);
    pending_free(replica, pending);
}

void replica_durable(struct replica *replica, struct core *core, uint64_t token)
{
    struct replica_pending *pending = map_remove(&replica->pendings, token_value(token));
    ASSERT(pending != NULL);
    /* Acknowledged under the epoch it was written in: that record preceded any newer install in the
     * log, and the coordinator counts it for that epoch only. */
    struct message *message =
        reply(core, pending->from, pending->id, &pending->range, pending->slot, 0);
    message->reply.hlc = pending->stamp.hlc;
    if (pending->object.size > 0)
        message->reply.object = core_copy(core, buf_slice(&pending->object));
    pending_free(replica, pending);
}
