/* The disk in memory (disk_mem.h).
 *
 * A slot of the log is its bytes as the kernel sees them and, beside them, the writes that are not
 * synced yet, each with the bytes from before: a power loss takes all of them back and then lays
 * down again the sectors that chance had on the platter. */
#include "store/disk_mem_private.h"

#include "base/checksum.h"

enum { SEGMENT_SIZE_DEFAULT = 64 * 1024 };

static struct slice record_value(const struct record *record)
{
    return slice_of(record->bytes + record->key_size, record->value_size);
}

uint32_t mem_table_find(const struct table *table, struct slice key)
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

/* ---------------------------------------------------------------------- What is in memory. */

static bool is_cached(const struct disk_mem *mem, uint64_t name)
{
    for (uint32_t i = 0; i < mem->cache; i++)
        if (mem->cached[i] == name)
            return true;
    return mem->cache == 0;
}

static void cache_add(struct disk_mem *mem, enum disk_table table, struct slice key)
{
    uint64_t name = checksum64(key, (uint64_t)table + 1);
    if (is_cached(mem, name))
        return;
    mem->cached[mem->cache_next] = name;
    mem->cache_next = (mem->cache_next + 1) % mem->cache;
}

/* Whoever waits leaves no trace: so checkers can look. */
static bool is_cold(const struct disk_mem *mem, enum disk_table table, struct slice key)
{
    return !mem->disk.patient && !is_cached(mem, checksum64(key, (uint64_t)table + 1));
}

void mem_work_warm(struct disk_mem *mem, const struct work *work)
{
    const struct table *table = &mem->tables[work->table];
    for (uint32_t i = 0; i < work->count; i++) {
        uint32_t index = mem_table_find(table, work->keys[i]);
        for (uint32_t k = 0; k < MIN(work->records_max, mem->cache); k++)
            if (index + k < table->count)
                cache_add(mem, work->table, record_key(table->records[index + k]));
        cache_add(mem, work->table, work->keys[i]);
    }
}

/* -------------------------------------------------------------------------- The operations. */

static int mem_log_read(struct disk *disk, uint32_t slot, uint64_t offset, uint8_t *ret,
                        size_t size)
{
    struct disk_mem *mem = mem_of(disk);
    ASSERT(slot < disk->slots && offset + size <= disk->segment_size);
    memcpy(ret, mem->first->slots[slot] + offset, size);
    return 0;
}

static void mem_log_write(struct disk *disk, uint32_t slot, uint64_t offset, struct slice bytes,
                          bool sync)
{
    mem_work_add(
        mem_of(disk),
        (struct work){
            .type = WORK_WRITE, .slot = slot, .offset = offset, .bytes = bytes, .sync = sync});
}

static void mem_log_sync(struct disk *disk)
{
    mem_work_add(mem_of(disk), (struct work){.type = WORK_SYNC});
}

static void mem_slot_prepare(struct disk *disk, uint32_t slot)
{
    mem_work_add(mem_of(disk), (struct work){.type = WORK_PREPARE, .slot = slot});
}

static void mem_ring(struct disk *disk)
{
    mem_event_add(mem_of(disk), DISK_RUNG, 0, 0);
}

static int mem_get(struct disk *disk, enum disk_table name, struct slice key,
                   struct slice *ret_value)
{
    const struct table *table = &mem_of(disk)->tables[name];
    if (is_cold(mem_of(disk), name, key))
        return DISK_COLD;
    uint32_t index = mem_table_find(table, key);
    mem_of(disk)->walk_table = name;
    mem_of(disk)->walk_place = index;
    if (index == table->count || !slice_equal(record_key(table->records[index]), key))
        return ERR_NOT_FOUND;
    *ret_value = record_value(table->records[index]);
    return 0;
}

static int mem_next(struct disk *disk, struct slice *ret_key, struct slice *ret_value)
{
    struct disk_mem *mem = mem_of(disk);
    const struct table *table = &mem->tables[mem->walk_table];
    if (mem->walk_index >= table->count) {
        mem->walk_at = table->count;
        return ERR_NOT_FOUND;
    }
    if (is_cold(mem, mem->walk_table, record_key(table->records[mem->walk_index])))
        return DISK_COLD;
    *ret_key = record_key(table->records[mem->walk_index]);
    *ret_value = record_value(table->records[mem->walk_index]);
    mem->walk_at = mem->walk_index++;
    return 0;
}

static int mem_prev(struct disk *disk, struct slice *ret_key, struct slice *ret_value)
{
    struct disk_mem *mem = mem_of(disk);
    const struct table *table = &mem->tables[mem->walk_table];
    if (mem->walk_at == 0)
        return ERR_NOT_FOUND;
    if (is_cold(mem, mem->walk_table, record_key(table->records[mem->walk_at - 1])))
        return DISK_COLD;
    mem->walk_index = mem->walk_at--;
    *ret_key = record_key(table->records[mem->walk_at]);
    *ret_value = record_value(table->records[mem->walk_at]);
    return 0;
}

/* All of a table is one page. */
static int mem_around(struct disk *disk, struct disk_around *ret_around)
{
    struct disk_mem *mem = mem_of(disk);
    const struct table *table = &mem->tables[mem->walk_table];
    uint32_t place = mem->walk_place;
    *ret_around = (struct disk_around){0};
    if (place > 0) {
        ret_around->before_key = record_key(table->records[place - 1]);
        ret_around->before_value = record_value(table->records[place - 1]);
    }
    if (place < table->count) {
        ret_around->after_key = record_key(table->records[place]);
        ret_around->after_value = record_value(table->records[place]);
    }
    return 0;
}

static int mem_seek(struct disk *disk, enum disk_table table, struct slice key,
                    struct slice *ret_key, struct slice *ret_value)
{
    struct disk_mem *mem = mem_of(disk);
    mem->walk_table = table;
    mem->walk_index = mem_table_find(&mem->tables[table], key);
    mem->walk_at = mem->walk_place = mem->walk_index;
    return mem_next(disk, ret_key, ret_value);
}

static void mem_release(struct disk *disk)
{
    (void)disk;
}

static void mem_warm(struct disk *disk, uint64_t tag, enum disk_table table,
                     const struct slice *keys, uint32_t count, uint32_t records_max,
                     uint64_t bytes_max)
{
    (void)bytes_max;
    struct slice *copies = mem_alloc((count + 1) * sizeof(*copies));
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *bytes = mem_alloc(keys[i].size + 1);
        memcpy(bytes, keys[i].data, keys[i].size);
        copies[i] = slice_of(bytes, keys[i].size);
    }
    mem_work_add(mem_of(disk), (struct work){.type = WORK_WARM,
                                             .tag = tag,
                                             .table = table,
                                             .keys = copies,
                                             .count = count,
                                             .records_max = records_max});
}

static void mem_apply(struct disk *disk, const struct disk_item *items, uint32_t count)
{
    mem_work_add(mem_of(disk), (struct work){.type = WORK_APPLY, .items = items, .count = count});
}

bool disk_mem_due(const struct disk *disk)
{
    return mem_of_const(disk)->events != NULL;
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
    if (RECYCLES) {
        node->next = mem->first->events_unused;
        mem->first->events_unused = node;
    } else {
        mem_free(node);
    }
    return true;
}

static void mem_wait(struct disk *disk)
{
    struct disk_mem *mem = mem_of(disk);
    if (!mem->events)
        ASSERT(disk_mem_step(disk, DISK_MEM_LOG) || disk_mem_step(disk, DISK_MEM_ENGINE) ||
               disk_mem_step(disk, DISK_MEM_READER));
}

/* What other stores have handed over stays. */
static void drain_log(struct disk_mem *mem)
{
    struct work_queue *queue = &mem->first->log;
    struct work **link = &queue->first;
    while (*link) {
        struct work *work = *link;
        if (work->of != mem) {
            link = &work->next;
            continue;
        }
        *link = work->next;
        queue->count--;
        mem_work_free(mem, work);
    }
    queue->last = link;
}

/* Work that was held is as if it had never reached the kernel: who wants it otherwise crashes the
 * disk first. */
static void mem_drain(struct disk *disk)
{
    struct disk_mem *mem = mem_of(disk);
    struct disk_event event;
    drain_log(mem);
    mem->first->log_error = 0;
    for (struct work *work; (work = mem_queue_take(&mem->engine));)
        mem_work_free(mem, work);
    for (struct work *work; (work = mem_queue_take(&mem->reader));)
        mem_work_free(mem, work);
    while (mem_poll(disk, &event))
        continue;
}

static void mem_space(struct disk *disk, struct disk_space *ret_space)
{
    const struct disk_mem *mem = mem_of_const(disk);
    uint64_t total = mem->first->total == 0 ? UINT64_MAX / 4 : mem->first->total;
    uint64_t used = mem_used_bytes(mem);
    *ret_space = (struct disk_space){
        .free = total > used ? total - used : 0, .total = total, .file = mem->engine_bytes};
}

static int mem_fd(struct disk *disk)
{
    (void)disk;
    return -1;
}

static void tables_free(struct disk_mem *mem)
{
    for (uint32_t t = 0; t < DISK_TABLES; t++) {
        for (uint32_t i = 0; i < mem->tables[t].count; i++)
            mem_free(mem->tables[t].records[i]);
        mem_free(mem->tables[t].records);
    }
}

static void mem_close(struct disk *disk)
{
    struct disk_mem *mem = mem_of(disk);
    ASSERT(mem->first == mem);
    for (struct disk *one = disk; one; one = one->next)
        mem_drain(one);
    mem_unsynced_forget(mem);
    while (mem->works_unused) {
        struct work *work = mem->works_unused;
        mem->works_unused = work->next;
        mem_free(work);
    }
    while (mem->events_unused) {
        struct event_node *node = mem->events_unused;
        mem->events_unused = node->next;
        mem_free(node);
    }
    for (uint32_t i = 0; i < disk->slots; i++)
        mem_free(mem->slots[i]);
    mem_free(mem->slots);
    while (mem) {
        struct disk_mem *next = mem_next_store(mem);
        tables_free(mem);
        mem_free(mem);
        mem = next;
    }
}

static const struct disk_operations operations = {
    .log_read = mem_log_read,
    .log_write = mem_log_write,
    .log_sync = mem_log_sync,
    .slot_prepare = mem_slot_prepare,
    .ring = mem_ring,
    .get = mem_get,
    .seek = mem_seek,
    .next = mem_next,
    .prev = mem_prev,
    .around = mem_around,
    .release = mem_release,
    .warm = mem_warm,
    .apply = mem_apply,
    .poll = mem_poll,
    .wait = mem_wait,
    .drain = mem_drain,
    .space = mem_space,
    .fd = mem_fd,
    .close = mem_close,
};

static struct disk_mem *mem_new(struct disk_mem *first, uint32_t store,
                                const struct disk_mem_options *options)
{
    struct disk_mem *mem = mem_zero(sizeof(*mem));
    mem->disk.operations = &operations;
    mem->disk.patient = true;
    mem->disk.segment_size = options->segment_size ? options->segment_size : SEGMENT_SIZE_DEFAULT;
    mem->disk.store = store;
    mem->disk.stores = options->stores ? options->stores : 1;
    mem->first = first ? first : mem;
    mem->total = options->total_bytes;
    mem->unsynced_last = &mem->unsynced;
    mem->events_last = &mem->events;
    mem->log.last = &mem->log.first;
    mem->engine.last = &mem->engine.first;
    mem->reader.last = &mem->reader.first;
    return mem;
}

struct disk *disk_mem_new(const struct disk_mem_options *options)
{
    struct disk_mem *first = mem_new(NULL, 0, options);
    struct disk *last = &first->disk;
    uint32_t stores = first->disk.stores;
    ASSERT(stores <= STORES_MAX && (stores & (stores - 1)) == 0);
    for (uint32_t i = 1; i < stores; i++)
        last = last->next = &mem_new(first, i, options)->disk;
    mem_slot_add(first);
    return &first->disk;
}

static void engine_copy(struct disk_mem *to, const struct disk_mem *from)
{
    for (uint32_t t = 0; t < DISK_TABLES; t++) {
        const struct table *table = &from->tables[t];
        to->tables[t].records = mem_alloc((table->count + 1) * sizeof(struct record *));
        for (uint32_t i = 0; i < table->count; i++)
            to->tables[t].records[i] =
                mem_record_new(record_key(table->records[i]), record_value(table->records[i]));
        to->tables[t].count = table->count;
    }
    to->engine_bytes = from->engine_bytes;
    to->cache = from->cache;
}

struct disk *disk_mem_copy(const struct disk *disk)
{
    const struct disk_mem *from = mem_of_const(disk)->first;
    struct disk *copy = disk_mem_new(&(struct disk_mem_options){
        .segment_size = disk->segment_size, .total_bytes = from->total, .stores = disk->stores});
    struct disk_mem *to = mem_of(copy);
    while (copy->slots < from->disk.slots)
        mem_slot_add(to);
    for (uint32_t i = 0; i < copy->slots; i++)
        memcpy(to->slots[i], from->slots[i], disk->segment_size);
    for (; to; to = mem_next_store(to), from = mem_next_store(from))
        engine_copy(to, from);
    return copy;
}
