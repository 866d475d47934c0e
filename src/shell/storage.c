#include "shell/storage.h"

#include "core/core.h"

/* -------------------------------------------------------------------------- Positions. */

static struct storage_wait *wait_at(const struct storage *storage, uint32_t index)
{
    return &storage->waits[(storage->waits_head + index) & (storage->waits_capacity - 1)];
}

static void grow(struct storage *storage)
{
    uint32_t capacity = MAX(2 * storage->waits_capacity, 64u);
    struct storage_wait *waits = mem_alloc(capacity * sizeof *waits);
    for (uint32_t i = 0; i < storage->waits_count; i++)
        waits[i] = *wait_at(storage, i);
    mem_free(storage->waits);
    storage->waits = waits;
    storage->waits_head = 0;
    storage->waits_capacity = capacity;
}

/* The number of POSITION of a store: the last one's, if that is the same. */
static uint64_t number_of(struct storage *storage, uint32_t part, uint64_t position)
{
    if (position <= storage->parts[part].began)
        return storage->began;
    if (storage->waits_count > 0) {
        const struct storage_wait *last = wait_at(storage, storage->waits_count - 1);
        if (last->part == part && last->position == position)
            return storage->first + storage->waits_count - 1;
    }
    if (storage->waits_count == storage->waits_capacity)
        grow(storage);
    *wait_at(storage, storage->waits_count++) = (struct storage_wait){part, position};
    return storage->first + storage->waits_count - 1;
}

static void tell_durable(struct storage *storage)
{
    uint32_t from =
        storage->written >= storage->first ? (uint32_t)(storage->written - storage->first + 1) : 0;
    while (from < storage->waits_count) {
        const struct storage_wait *wait = wait_at(storage, from);
        if (storage->parts[wait->part].written < wait->position)
            break;
        from++;
    }
    storage->written = MAX(storage->written, storage->first + from - 1);
    while (storage->waits_count > 0) {
        const struct storage_wait *wait = wait_at(storage, 0);
        if (storage->parts[wait->part].synced < wait->position)
            break;
        storage->waits_head = (storage->waits_head + 1) & (storage->waits_capacity - 1);
        storage->waits_count--;
        storage->first++;
    }
    storage->written = MAX(storage->written, storage->first - 1);
    storage->hooks.durable(storage->hooks.arg, storage->written, storage->first - 1);
}

static void on_durable(void *arg, uint64_t written, uint64_t synced)
{
    struct storage_part *part = arg;
    part->written = MAX(part->written, written);
    part->synced = MAX(part->synced, synced);
    tell_durable(part->storage);
}

/* ----------------------------------------------------------------------- Completions. */

static uint32_t index_of(const struct storage_part *part)
{
    return (uint32_t)(part - part->storage->parts);
}

/* The first hash of a store of the directory. */
static uint64_t first_hash(const struct storage *storage, uint32_t number)
{
    return number * ((UINT64_MAX / storage->directory) + 1);
}

/* The walk through hints goes on where the next store begins. True if it was told of nothing yet.
 */
static bool hints_go_on(struct storage *storage, uint32_t index, struct store_done *done)
{
    if (done->more || done->error < 0 || index + 1 == storage->count)
        return false;
    done->more = true;
    if (done->entries_count > 0)
        return false;
    storage->rescans = true;
    storage->rescan = (struct store_op){
        .type = STORE_HINT_SCAN,
        .token = done->token,
        .scan = {.from = first_hash(storage, storage->parts[index + 1].number),
                 .to = UINT64_MAX,
                 .count_max = storage->hint_count,
                 .bytes_max = storage->hint_bytes},
    };
    return true;
}

static void on_done(void *arg, const struct store_done *done)
{
    struct storage_part *part = arg;
    struct storage *storage = part->storage;
    struct store_done copy = *done;
    uint32_t index = index_of(part);
    copy.position = number_of(storage, index, done->position);
    if (storage->gathers) {
        /* The depth of the leaves is the same in all. */
        size_t skipped = storage->digests.size == 0 ? 0 : sizeof(uint64_t);
        buf_append(&storage->digests,
                   slice_of(done->object.data + skipped, done->object.size - skipped));
        storage->gathered = MAX(storage->gathered, copy.position);
        return;
    }
    if (done->type == STORE_HINT_SCAN && hints_go_on(storage, index, &copy))
        return;
    storage->hooks.done(storage->hooks.arg, &copy);
}

static void on_damaged(void *arg, const struct store_damage *damage)
{
    const struct storage_part *part = arg;
    part->storage->hooks.damaged(part->storage->hooks.arg, damage);
}

static void on_failed(void *arg, const char *text)
{
    const struct storage_part *part = arg;
    part->storage->hooks.failed(part->storage->hooks.arg, text);
}

void storage_options(struct storage *storage, const struct store_options *options, uint32_t number,
                     uint32_t directory, bool several, struct store_options *ret_options)
{
    struct storage_part *part = &storage->parts[storage->count];
    *part = (struct storage_part){.storage = storage, .number = number};
    *ret_options = *options;
    storage->directory = directory;
    storage->count++;
    if (!several)
        return;
    storage->hooks = *options;
    ret_options->done = on_done;
    ret_options->durable = on_durable;
    ret_options->damaged = on_damaged;
    ret_options->failed = on_failed;
    ret_options->arg = part;
}

void storage_add(struct storage *storage, struct store *store, uint64_t position)
{
    uint32_t index = 0;
    while (storage->stores[index] != NULL)
        index++;
    struct storage_part *part = &storage->parts[index];
    ASSERT(index < storage->count);
    storage->stores[index] = store;
    part->began = position;
    part->written = MAX(part->written, position);
    part->synced = MAX(part->synced, position);
    storage->began += position;
    storage->first = storage->began + 1;
    storage->written = storage->began;
}

void storage_done(struct storage *storage)
{
    mem_free(storage->waits);
    buf_done(&storage->digests);
    *storage = (struct storage){0};
}

/* ------------------------------------------------------------------------- Operations. */

/* Which of them has RANGE. */
static uint32_t part_of_range(const struct storage *storage, uint32_t range)
{
    if (storage->range_bits == 0)
        return 0;
    uint32_t number = shard_of_range(range, storage->range_bits, storage->directory);
    uint32_t index = number - storage->parts[0].number;
    ASSERT(number >= storage->parts[0].number && index < storage->count);
    return index;
}

/* Cells of a range lie with its data, all others in the first store; a batch is of one range, or of
 * none, or of gossip's records, which are of ranges that this node has no data of. */
static uint32_t part_of_cell(const struct storage *storage, const struct store_op *op)
{
    const struct slice key = op->batch.metas_count > 0 ? op->batch.metas[0].key : SLICE_NONE;
    uint8_t kind = key.size == 5 ? key.data[0] : 0;
    if (kind != META_RECORD && kind != META_VOTE && kind != META_STAGING && kind != META_HORIZON)
        return 0;
    uint32_t range = 0;
    for (int i = 1; i < 5; i++)
        range = range << 8 | key.data[i];
    return part_of_range(storage, range);
}

static uint32_t part_of_hash(const struct storage *storage, uint64_t hash)
{
    return store_of_hash(hash, storage->directory) - storage->parts[0].number;
}

static uint32_t part_of_prefix(const struct storage *storage, const struct store_op *op, uint32_t i)
{
    return part_of_hash(storage, op->tree.prefixes[i] << (64 - op->tree.bits));
}

void storage_expect(const struct storage *storage, uint64_t hash)
{
    uint32_t part = part_of_hash(storage, hash);
    if (part < storage->count)
        store_expect(storage->stores[part], hash);
}

void storage_expect_next(const struct storage *storage, uint64_t hash)
{
    uint32_t part = part_of_hash(storage, hash);
    if (part < storage->count)
        store_expect_next(storage->stores[part], hash);
}

/* Digests are in memory, so each store answers at once. */
static void submit_tree(struct storage *storage, const struct store_op *op)
{
    if (op->tree.prefixes_count == 0) {
        store_submit(storage->stores[part_of_range(storage, op->range)], op);
        return;
    }
    buf_clear(&storage->digests);
    storage->gathers = true;
    storage->gathered = 0;
    for (uint32_t i = 0; i < op->tree.prefixes_count;) {
        uint32_t index = part_of_prefix(storage, op, i);
        struct store_op part = *op;
        part.tree.prefixes = op->tree.prefixes + i;
        part.tree.prefixes_count = 0;
        while (i < op->tree.prefixes_count && part_of_prefix(storage, op, i) == index) {
            part.tree.prefixes_count++;
            i++;
        }
        store_submit(storage->stores[index], &part);
    }
    storage->gathers = false;
    const struct store_done done = {.type = STORE_TREE,
                                    .token = op->token,
                                    .range = op->range,
                                    .position = storage->gathered,
                                    .object = buf_slice(&storage->digests)};
    storage->hooks.done(storage->hooks.arg, &done);
}

static void go_on(struct storage *storage)
{
    while (storage->rescans) {
        storage->rescans = false;
        struct store_op op = storage->rescan;
        store_submit(storage->stores[part_of_hash(storage, op.scan.from)], &op);
    }
}

void storage_submit(struct storage *storage, const struct store_op *op)
{
    uint32_t index = 0;
    if (storage->count == 1) {
        store_submit(storage->stores[0], op);
        return;
    }
    if (op->type == STORE_TREE) {
        submit_tree(storage, op);
        return;
    }
    if (op->type == STORE_META) {
        index = part_of_cell(storage, op);
    } else if (op->type == STORE_HINT_SCAN) {
        storage->hint_count = op->scan.count_max;
        storage->hint_bytes = op->scan.bytes_max;
        uint64_t first = first_hash(storage, storage->parts[0].number);
        index = part_of_hash(storage, MAX(op->scan.from, first));
    } else {
        index = part_of_range(storage, op->range);
    }
    store_submit(storage->stores[index], op);
    go_on(storage);
}

void storage_set_ranges(struct storage *storage, uint32_t range_bits, uint64_t hash_seed)
{
    storage->range_bits = range_bits;
    for (uint32_t i = 0; i < storage->count; i++)
        store_set_ranges(storage->stores[i], range_bits, hash_seed);
}

void storage_flush(struct storage *storage)
{
    for (uint32_t i = 0; i < storage->count; i++)
        store_flush(storage->stores[i]);
}

void storage_poll(struct storage *storage, struct moment now)
{
    for (uint32_t i = 0; i < storage->count; i++)
        store_poll(storage->stores[i], now);
    go_on(storage);
}

uint64_t storage_wake_us(const struct storage *storage)
{
    uint64_t wake_us = store_wake_us(storage->stores[0]);
    for (uint32_t i = 1; i < storage->count; i++)
        wake_us = MIN(wake_us, store_wake_us(storage->stores[i]));
    return wake_us;
}

void storage_stop(struct storage *storage)
{
    for (uint32_t i = 0; i < storage->count; i++)
        store_stop(storage->stores[i]);
}

bool storage_stopped(const struct storage *storage)
{
    bool stopped = true;
    for (uint32_t i = 0; i < storage->count; i++)
        stopped = stopped && store_stopped(storage->stores[i]);
    return stopped;
}

/* --------------------------------------------------------------------------- Figures. */

void storage_add_stats(struct store_stats *sum, const struct store_stats *part)
{
    /* What all stores of a directory share. */
    sum->log_bytes = MAX(sum->log_bytes, part->log_bytes);
    sum->disk_free_bytes = MIN(sum->disk_free_bytes, part->disk_free_bytes);
    sum->full = sum->full || part->full;
    /* A round is over when the last of them is. */
    sum->scrub_rounds = MIN(sum->scrub_rounds, part->scrub_rounds);
    sum->scrub_percent = MIN(sum->scrub_percent, part->scrub_percent);
    sum->scrub_took_us = MAX(sum->scrub_took_us, part->scrub_took_us);
#define ADD(field) sum->field += part->field
    ADD(position), ADD(written), ADD(synced);
    ADD(keys), ADD(bytes);
    ADD(memtable_bytes), ADD(memtable_bytes_max);
    ADD(log_writes), ADD(log_syncs), ADD(log_records);
    ADD(checkpoints), ADD(checkpoint_transactions);
    ADD(bad_records), ADD(bad_healed), ADD(bad_lost), ADD(bad_now);
    ADD(holes_found), ADD(holes_healed), ADD(holes_now);
    ADD(scrub_records), ADD(scrub_bytes), ADD(scrub_bad);
    ADD(file_bytes);
    ADD(reads_memory), ADD(reads_disk), ADD(stalls_us);
    ADD(dead_entries), ADD(collected_keys), ADD(collected_bytes);
    ADD(reads_cold), ADD(cold_waited), ADD(cold_waiting), ADD(cold_refused);
#undef ADD
}

void storage_stats(const struct storage *storage, struct store_stats *ret_stats)
{
    store_stats(storage->stores[0], ret_stats);
    for (uint32_t i = 1; i < storage->count; i++) {
        struct store_stats part;
        store_stats(storage->stores[i], &part);
        storage_add_stats(ret_stats, &part);
    }
}

struct range_stat storage_range_stat(const struct storage *storage, uint32_t range)
{
    return store_range_stat(
        storage->stores[storage->count == 1 ? 0 : part_of_range(storage, range)], range);
}

uint64_t storage_logged(const struct storage *storage)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < storage->count; i++)
        sum += storage->parts[i].synced;
    return sum;
}
