/* The disk in memory (disk_mem.h).
 *
 * A slot of the log is its bytes as the kernel sees them and, beside them, the writes that are not
 * synced yet, each with the bytes from before: a power loss takes all of them back and then lays
 * down again the sectors that chance had on the platter. */
#include "store/disk_mem.h"

enum { SECTOR = 512, SEGMENT_SIZE_DEFAULT = 64 * 1024 };

enum work_type { WORK_WRITE, WORK_SYNC, WORK_PREPARE, WORK_APPLY };

struct work {
    struct work *next;
    enum work_type type;
    uint32_t slot;
    uint64_t offset;
    struct slice bytes;            /* Borrowed from the caller until it completes. */
    const struct disk_item *items; /* As well. */
    uint32_t count;
    bool sync;
};

struct work_queue {
    struct work *first;
    struct work **last;
    uint32_t count;
};

/* A write that the kernel has and the platter may not have. */
struct unsynced {
    struct unsynced *next;
    uint32_t slot;
    uint64_t offset;
    size_t size;
    uint8_t bytes[]; /* Before, then after. */
};

struct record {
    size_t key_size;
    size_t value_size;
    uint8_t bytes[];
};

struct table {
    struct record **records; /* Owned, sorted by key. */
    uint32_t count;
};

struct event_node {
    struct event_node *next;
    struct disk_event event;
};

struct disk_mem {
    struct disk disk;
    uint64_t total;
    uint8_t **slots; /* Owned. */
    struct unsynced *unsynced;
    struct unsynced **unsynced_last;
    struct work_queue queues[2];
    bool hold;
    struct event_node *events;
    struct event_node **events_last;
    struct table tables[DISK_TABLES];
    uint64_t engine_bytes;
    enum disk_table walk_table;
    uint32_t walk_index;
    uint32_t fail_nth[DISK_MEM_CALLS];
    int fail_error[DISK_MEM_CALLS];
};

static struct disk_mem *mem_of(struct disk *disk)
{
    return (struct disk_mem *)disk;
}

static const struct disk_mem *mem_of_const(const struct disk *disk)
{
    return (const struct disk_mem *)disk;
}

static struct slice record_key(const struct record *record)
{
    return slice_of(record->bytes, record->key_size);
}

static struct slice record_value(const struct record *record)
{
    return slice_of(record->bytes + record->key_size, record->value_size);
}

static struct record *record_new(struct slice key, struct slice value)
{
    struct record *record = mem_alloc(sizeof(*record) + key.size + value.size);
    record->key_size = key.size;
    record->value_size = value.size;
    memcpy(record->bytes, key.data, key.size);
    if (value.size > 0)
        memcpy(record->bytes + key.size, value.data, value.size);
    return record;
}

/* The index of the first record at or after KEY. */
static uint32_t table_find(const struct table *table, struct slice key)
{
    uint32_t low = 0;
    uint32_t high = table->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (slice_compare(record_key(table->records[middle]), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ------------------------------------------------------------------------------- Failures. */

static int failure(struct disk_mem *mem, enum disk_mem_call call)
{
    if (mem->fail_nth[call] == 0 || --mem->fail_nth[call] > 0)
        return 0;
    return mem->fail_error[call];
}

static uint64_t used_bytes(const struct disk_mem *mem)
{
    return mem->disk.slots * mem->disk.segment_size + mem->engine_bytes;
}

static bool has_room(const struct disk_mem *mem, uint64_t more)
{
    return mem->total == 0 || used_bytes(mem) + more <= mem->total;
}

/* ------------------------------------------------------------------------- Carrying out work. */

static void event_add(struct disk_mem *mem, enum disk_event_type type, int error)
{
    struct event_node *node = mem_zero(sizeof(*node));
    node->event = (struct disk_event){type, error, error ? "injected failure" : NULL};
    *mem->events_last = node;
    mem->events_last = &node->next;
}

static void unsynced_forget(struct disk_mem *mem)
{
    while (mem->unsynced) {
        struct unsynced *write = mem->unsynced;
        mem->unsynced = write->next;
        mem_free(write);
    }
    mem->unsynced_last = &mem->unsynced;
}

/* The kernel takes BYTES. */
static void kernel_write(struct disk_mem *mem, uint32_t slot, uint64_t offset, struct slice bytes)
{
    ASSERT(slot < mem->disk.slots);
    ASSERT(offset + bytes.size <= mem->disk.segment_size);
    if (bytes.size == 0)
        return;
    uint8_t *at = mem->slots[slot] + offset;
    struct unsynced *write = mem_alloc(sizeof(*write) + 2 * bytes.size);
    *write = (struct unsynced){NULL, slot, offset, bytes.size};
    memcpy(write->bytes, at, bytes.size);
    memcpy(write->bytes + bytes.size, bytes.data, bytes.size);
    *mem->unsynced_last = write;
    mem->unsynced_last = &write->next;
    memcpy(at, bytes.data, bytes.size);
}

static void slot_add(struct disk_mem *mem)
{
    mem->slots = mem_grow(mem->slots, (mem->disk.slots + 1) * sizeof(*mem->slots));
    mem->slots[mem->disk.slots++] = mem_zero(mem->disk.segment_size);
}

/* Merge the items from FIRST up to END, all of one table, into it. */
static void table_apply(struct disk_mem *mem, struct table *table, const struct disk_item *first,
                        const struct disk_item *end)
{
    size_t most = table->count + (size_t)(end - first);
    struct record **merged = mem_alloc((most + 1) * sizeof(*merged));
    uint32_t count = 0;
    uint32_t old = 0;
    for (const struct disk_item *item = first; item < end; item++) {
        ASSERT(item == first || slice_compare(item[-1].key, item->key) < 0);
        ASSERT(item->key.size > 0 && item->key.size <= DISK_KEY_SIZE_MAX);
        while (old < table->count && slice_compare(record_key(table->records[old]), item->key) < 0)
            merged[count++] = table->records[old++];
        if (old < table->count && slice_equal(record_key(table->records[old]), item->key)) {
            mem->engine_bytes -= table->records[old]->key_size + table->records[old]->value_size;
            mem_free(table->records[old++]);
        }
        if (!item->remove) {
            merged[count++] = record_new(item->key, item->value);
            mem->engine_bytes += item->key.size + item->value.size;
        }
    }
    while (old < table->count)
        merged[count++] = table->records[old++];
    mem_free(table->records);
    table->records = merged;
    table->count = count;
}

static void engine_apply(struct disk_mem *mem, const struct work *work)
{
    uint32_t at = 0;
    while (at < work->count) {
        uint32_t end = at + 1;
        while (end < work->count && work->items[end].table == work->items[at].table)
            end++;
        ASSERT(end == work->count || work->items[end].table > work->items[at].table);
        table_apply(mem, &mem->tables[work->items[at].table], &work->items[at], &work->items[end]);
        at = end;
    }
}

static int work_apply(struct disk_mem *mem, const struct work *work)
{
    uint64_t more = 0;
    for (uint32_t i = 0; i < work->count; i++)
        more += work->items[i].remove ? 0 : work->items[i].key.size + work->items[i].value.size;
    int error = failure(mem, DISK_MEM_APPLY);
    if (error == 0 && !has_room(mem, more))
        error = ERR_DISK_FULL;
    if (error == 0)
        engine_apply(mem, work);
    return error;
}

static int work_write(struct disk_mem *mem, const struct work *work)
{
    int error = failure(mem, DISK_MEM_WRITE);
    if (error)
        return error;
    kernel_write(mem, work->slot, work->offset, work->bytes);
    if (!work->sync)
        return 0;
    error = failure(mem, DISK_MEM_SYNC);
    if (error == 0)
        unsynced_forget(mem);
    return error;
}

static void work_do(struct disk_mem *mem, const struct work *work)
{
    int error = 0;
    switch (work->type) {
    case WORK_WRITE:
        event_add(mem, DISK_LOG_WRITTEN, work_write(mem, work));
        return;
    case WORK_SYNC:
        error = failure(mem, DISK_MEM_SYNC);
        if (error == 0)
            unsynced_forget(mem);
        event_add(mem, DISK_LOG_SYNCED, error);
        return;
    case WORK_PREPARE:
        error = failure(mem, DISK_MEM_PREPARE);
        if (error == 0 && !has_room(mem, mem->disk.segment_size))
            error = ERR_DISK_FULL;
        if (error == 0)
            slot_add(mem);
        event_add(mem, DISK_SLOT_READY, error);
        return;
    case WORK_APPLY:
        event_add(mem, DISK_APPLIED, work_apply(mem, work));
        return;
    }
}

static struct work *queue_take(struct work_queue *queue)
{
    struct work *work = queue->first;
    if (!work)
        return NULL;
    queue->first = work->next;
    if (!queue->first)
        queue->last = &queue->first;
    queue->count--;
    return work;
}

static void work_add(struct disk_mem *mem, struct work work)
{
    if (!mem->hold) {
        work_do(mem, &work);
        return;
    }
    bool engine = work.type == WORK_APPLY || work.type == WORK_PREPARE;
    struct work_queue *queue = &mem->queues[engine ? DISK_MEM_ENGINE : DISK_MEM_LOG];
    struct work *copy = mem_alloc(sizeof(*copy));
    *copy = work;
    *queue->last = copy;
    queue->last = &copy->next;
    queue->count++;
}

/* -------------------------------------------------------------------------- The operations. */

static int mem_log_read(struct disk *disk, uint32_t slot, uint64_t offset, uint8_t *ret,
                        size_t size)
{
    struct disk_mem *mem = mem_of(disk);
    ASSERT(slot < disk->slots && offset + size <= disk->segment_size);
    memcpy(ret, mem->slots[slot] + offset, size);
    return 0;
}

static void mem_log_write(struct disk *disk, uint32_t slot, uint64_t offset, struct slice bytes,
                          bool sync)
{
    work_add(mem_of(disk),
             (struct work){
                 .type = WORK_WRITE, .slot = slot, .offset = offset, .bytes = bytes, .sync = sync});
}

static void mem_log_sync(struct disk *disk)
{
    work_add(mem_of(disk), (struct work){.type = WORK_SYNC});
}

static void mem_slot_prepare(struct disk *disk)
{
    work_add(mem_of(disk), (struct work){.type = WORK_PREPARE});
}

static int mem_get(struct disk *disk, enum disk_table name, struct slice key,
                   struct slice *ret_value)
{
    const struct table *table = &mem_of(disk)->tables[name];
    uint32_t index = table_find(table, key);
    if (index == table->count || !slice_equal(record_key(table->records[index]), key))
        return ERR_NOT_FOUND;
    *ret_value = record_value(table->records[index]);
    return 0;
}

static int mem_next(struct disk *disk, struct slice *ret_key, struct slice *ret_value)
{
    struct disk_mem *mem = mem_of(disk);
    const struct table *table = &mem->tables[mem->walk_table];
    if (mem->walk_index >= table->count)
        return ERR_NOT_FOUND;
    *ret_key = record_key(table->records[mem->walk_index]);
    *ret_value = record_value(table->records[mem->walk_index]);
    mem->walk_index++;
    return 0;
}

static int mem_seek(struct disk *disk, enum disk_table table, struct slice key,
                    struct slice *ret_key, struct slice *ret_value)
{
    struct disk_mem *mem = mem_of(disk);
    mem->walk_table = table;
    mem->walk_index = table_find(&mem->tables[table], key);
    return mem_next(disk, ret_key, ret_value);
}

static void mem_release(struct disk *disk)
{
    (void)disk;
}

static void mem_apply(struct disk *disk, const struct disk_item *items, uint32_t count)
{
    work_add(mem_of(disk), (struct work){.type = WORK_APPLY, .items = items, .count = count});
}

static bool mem_poll(struct disk *disk, struct disk_event *ret_event)
{
    struct disk_mem *mem = mem_of(disk);
    struct event_node *node = mem->events;
    if (!node)
        return false;
    *ret_event = node->event;
    mem->events = node->next;
    if (!mem->events)
        mem->events_last = &mem->events;
    mem_free(node);
    return true;
}

static void mem_wait(struct disk *disk)
{
    struct disk_mem *mem = mem_of(disk);
    if (!mem->events)
        ASSERT(disk_mem_step(disk, DISK_MEM_LOG) || disk_mem_step(disk, DISK_MEM_ENGINE));
}

/* Work that was held is as if it had never reached the kernel: who wants it otherwise crashes the
 * disk first. */
static void mem_drain(struct disk *disk)
{
    struct disk_mem *mem = mem_of(disk);
    struct disk_event event;
    for (uint32_t i = 0; i < ARRAY_SIZE(mem->queues); i++)
        for (struct work *work; (work = queue_take(&mem->queues[i]));)
            mem_free(work);
    while (mem_poll(disk, &event))
        continue;
}

static void mem_space(struct disk *disk, struct disk_space *ret_space)
{
    const struct disk_mem *mem = mem_of_const(disk);
    uint64_t total = mem->total == 0 ? UINT64_MAX / 4 : mem->total;
    uint64_t used = used_bytes(mem);
    *ret_space = (struct disk_space){
        .free = total > used ? total - used : 0, .total = total, .file = mem->engine_bytes};
}

static int mem_fd(struct disk *disk)
{
    (void)disk;
    return -1;
}

static void mem_close(struct disk *disk)
{
    struct disk_mem *mem = mem_of(disk);
    mem_drain(disk);
    unsynced_forget(mem);
    for (uint32_t i = 0; i < disk->slots; i++)
        mem_free(mem->slots[i]);
    mem_free(mem->slots);
    for (uint32_t t = 0; t < DISK_TABLES; t++) {
        for (uint32_t i = 0; i < mem->tables[t].count; i++)
            mem_free(mem->tables[t].records[i]);
        mem_free(mem->tables[t].records);
    }
    mem_free(mem);
}

static const struct disk_operations operations = {
    .log_read = mem_log_read,
    .log_write = mem_log_write,
    .log_sync = mem_log_sync,
    .slot_prepare = mem_slot_prepare,
    .get = mem_get,
    .seek = mem_seek,
    .next = mem_next,
    .release = mem_release,
    .apply = mem_apply,
    .poll = mem_poll,
    .wait = mem_wait,
    .drain = mem_drain,
    .space = mem_space,
    .fd = mem_fd,
    .close = mem_close,
};

struct disk *disk_mem_new(const struct disk_mem_options *options)
{
    struct disk_mem *mem = mem_zero(sizeof(*mem));
    mem->disk.operations = &operations;
    mem->disk.segment_size = options->segment_size ? options->segment_size : SEGMENT_SIZE_DEFAULT;
    mem->total = options->total_bytes;
    mem->unsynced_last = &mem->unsynced;
    mem->events_last = &mem->events;
    for (uint32_t i = 0; i < ARRAY_SIZE(mem->queues); i++)
        mem->queues[i].last = &mem->queues[i].first;
    slot_add(mem);
    return &mem->disk;
}

/* ------------------------------------------------------------------- What tests may do to it. */

void disk_mem_hold(struct disk *disk, bool hold)
{
    mem_of(disk)->hold = hold;
    if (hold)
        return;
    while (disk_mem_step(disk, DISK_MEM_LOG) || disk_mem_step(disk, DISK_MEM_ENGINE))
        continue;
}

uint32_t disk_mem_pending(const struct disk *disk, enum disk_mem_queue queue)
{
    return mem_of_const(disk)->queues[queue].count;
}

bool disk_mem_step(struct disk *disk, enum disk_mem_queue queue)
{
    struct disk_mem *mem = mem_of(disk);
    struct work *work = queue_take(&mem->queues[queue]);
    if (!work)
        return false;
    work_do(mem, work);
    mem_free(work);
    return true;
}

/* Held log writes reach the kernel in order, up to a point within one of them. */
static void crash_log(struct disk_mem *mem, struct prng *prng)
{
    uint64_t whole = prng ? prng_below(prng, mem->queues[DISK_MEM_LOG].count + 1u) : 0;
    for (uint64_t i = 0; i <= whole; i++) {
        struct work *work = queue_take(&mem->queues[DISK_MEM_LOG]);
        if (!work)
            return;
        if (work->type == WORK_WRITE) {
            struct slice bytes = work->bytes;
            if (i == whole)
                bytes.size = prng ? prng_below(prng, bytes.size + 1) : 0;
            kernel_write(mem, work->slot, work->offset, bytes);
        }
        mem_free(work);
    }
}

void disk_mem_crash(struct disk *disk, struct prng *prng)
{
    struct disk_mem *mem = mem_of(disk);
    crash_log(mem, prng);
    struct work *work = mem->queues[DISK_MEM_ENGINE].first;
    if (work && work->type == WORK_APPLY && prng && prng_below(prng, 2) == 0)
        engine_apply(mem, work);
    mem_drain(disk);
}

/* Lay down again what chance had brought to the platter of one write. */
static void sectors_keep(struct disk_mem *mem, const struct unsynced *write, struct prng *prng)
{
    uint64_t keep_of_8 = prng_below(prng, 9);
    uint64_t at = 0;
    while (at < write->size) {
        uint64_t sector_end = SECTOR - (write->offset + at) % SECTOR;
        uint64_t size = MIN(write->size - at, sector_end);
        uint8_t *to = mem->slots[write->slot] + write->offset + at;
        uint64_t chance = prng_below(prng, 64);
        if (chance == 0) /* A torn sector. */
            memcpy(to, write->bytes + write->size + at, prng_below(prng, size + 1));
        else if (chance % 8 < keep_of_8)
            memcpy(to, write->bytes + write->size + at, size);
        at += size;
    }
}

void disk_mem_power_loss(struct disk *disk, struct prng *prng)
{
    struct disk_mem *mem = mem_of(disk);
    disk_mem_crash(disk, prng);
    uint32_t count = 0;
    for (struct unsynced *write = mem->unsynced; write; write = write->next)
        count++;
    struct unsynced **writes = mem_alloc((count + 1) * sizeof(struct unsynced *));
    count = 0;
    for (struct unsynced *write = mem->unsynced; write; write = write->next)
        writes[count++] = write;
    for (uint32_t i = count; i-- > 0;)
        memcpy(mem->slots[writes[i]->slot] + writes[i]->offset, writes[i]->bytes, writes[i]->size);
    for (uint32_t i = 0; prng && i < count; i++)
        sectors_keep(mem, writes[i], prng);
    mem_free(writes);
    unsynced_forget(mem);
}

void disk_mem_fail(struct disk *disk, enum disk_mem_call call, uint32_t nth, int error)
{
    mem_of(disk)->fail_nth[call] = nth;
    mem_of(disk)->fail_error[call] = error;
}

void disk_mem_set_total(struct disk *disk, uint64_t total_bytes)
{
    mem_of(disk)->total = total_bytes;
}

bool disk_mem_flip(struct disk *disk, enum disk_table table, uint32_t index, uint64_t bit)
{
    struct disk_mem *mem = mem_of(disk);
    if (index >= mem->tables[table].count)
        return false;
    struct record *record = mem->tables[table].records[index];
    bit %= record->value_size * 8;
    record->bytes[record->key_size + bit / 8] ^= (uint8_t)(1u << (bit % 8));
    return true;
}

bool disk_mem_rot(struct disk *disk, struct prng *prng, struct slice *ret_key)
{
    const struct table *table = &mem_of(disk)->tables[DISK_OBJECTS];
    if (table->count == 0)
        return false;
    uint32_t index = (uint32_t)prng_below(prng, table->count);
    const struct record *record = table->records[index];
    if (ret_key)
        *ret_key = record_key(record);
    return disk_mem_flip(disk, DISK_OBJECTS, index, prng_below(prng, record->value_size * 8));
}

void disk_mem_flip_log(struct disk *disk, uint32_t slot, uint64_t offset, uint8_t bit)
{
    ASSERT(slot < disk->slots && offset < disk->segment_size);
    mem_of(disk)->slots[slot][offset] ^= (uint8_t)(1u << (bit % 8));
}

uint32_t disk_mem_count(const struct disk *disk, enum disk_table table)
{
    return mem_of_const(disk)->tables[table].count;
}
