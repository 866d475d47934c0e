/* What tests may do to the disk in memory: hold its work, crash it, take the power away, make it
 * fail and rot. */
#include "store/disk_mem_private.h"

enum { SECTOR = 512 };

void disk_mem_hold(struct disk *disk, bool hold)
{
    struct disk_mem *first = mem_of(disk)->first;
    first->hold = hold;
    for (struct disk *one = &first->disk; one && !hold; one = one->next)
        while (disk_mem_step(one, DISK_MEM_LOG) || disk_mem_step(one, DISK_MEM_ENGINE) ||
               disk_mem_step(one, DISK_MEM_READER))
            continue;
}

uint32_t disk_mem_pending(const struct disk *disk, enum disk_mem_queue queue)
{
    return mem_queue((struct disk_mem *)(uintptr_t)disk, queue)->count;
}

bool disk_mem_step(struct disk *disk, enum disk_mem_queue queue)
{
    struct disk_mem *mem = mem_of(disk);
    struct work *work = mem_queue_take(mem_queue(mem, queue));
    if (!work)
        return false;
    mem_work_do(work->of, work);
    mem_work_free(mem, work);
    return true;
}

void disk_mem_shuffle(struct disk *disk, struct prng *prng)
{
    struct work_queue *queue = &mem_of(disk)->reader;
    if (queue->count < 2)
        return;
    struct work **link = &queue->first;
    for (uint64_t i = prng_below(prng, queue->count); i > 0; i--)
        link = &(*link)->next;
    struct work *work = *link;
    *link = work->next;
    if (queue->last == &work->next)
        queue->last = link;
    work->next = queue->first;
    queue->first = work;
}

void disk_mem_cache(struct disk *disk, uint32_t records)
{
    struct disk_mem *mem = mem_of(disk);
    ASSERT(records <= DISK_MEM_CACHE_MAX);
    mem->cache = records;
    mem->cache_next = 0;
    memset(mem->cached, 0, sizeof(mem->cached));
}

/* Held log writes reach the kernel in order, up to a point within one of them. */
static void crash_log(struct disk_mem *mem, struct prng *prng)
{
    uint64_t whole = prng ? prng_below(prng, mem->first->log.count + 1u) : 0;
    for (uint64_t i = 0; i <= whole; i++) {
        struct work *work = mem_queue_take(&mem->first->log);
        if (!work)
            return;
        if (work->type == WORK_WRITE) {
            struct slice bytes = work->bytes;
            if (i == whole)
                bytes.size = prng ? prng_below(prng, bytes.size + 1) : 0;
            mem_kernel_write(mem, work->slot, work->offset, bytes);
        }
        mem_work_free(mem, work);
    }
}

void disk_mem_crash(struct disk *disk, struct prng *prng)
{
    struct disk_mem *first = mem_of(disk)->first;
    crash_log(first, prng);
    for (struct disk_mem *mem = first; mem; mem = mem_next_store(mem)) {
        struct work *work = mem->engine.first;
        if (work && work->type == WORK_APPLY && prng && prng_below(prng, 2) == 0)
            mem_engine_try(mem, work);
        disk_drain(&mem->disk);
    }
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
    struct disk_mem *mem = mem_of(disk)->first;
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
    mem_unsynced_forget(mem);
}

bool disk_mem_rot_tail(struct disk *disk, struct prng *prng)
{
    uint64_t count = 0;
    const struct disk_mem *first = mem_of(disk)->first;
    for (struct unsynced *write = first->unsynced; write; write = write->next)
        count++;
    if (count == 0)
        return false;
    struct unsynced *write = first->unsynced;
    for (uint64_t at = prng_below(prng, count); at > 0; at--)
        write = write->next;
    uint64_t bit = prng_below(prng, write->size * 8);
    write->bytes[write->size + bit / 8] ^= (uint8_t)(1u << (bit % 8));
    return true;
}

void disk_mem_fail(struct disk *disk, enum disk_mem_call call, uint32_t nth, int error)
{
    mem_of(disk)->first->fail_nth[call] = nth;
    mem_of(disk)->first->fail_error[call] = error;
}

void disk_mem_set_total(struct disk *disk, uint64_t total_bytes)
{
    mem_of(disk)->first->total = total_bytes;
}

bool disk_mem_flip(struct disk *disk, enum disk_table table, uint32_t index, uint64_t bit)
{
    struct disk_mem *mem = mem_of(disk);
    if (index >= mem->tables[table].count)
        return false;
    struct record *record = mem->tables[table].records[index];
    bit %= record->value_size * 8;
    record->bytes[record->key_size + bit / 8] ^= (uint8_t)(1u << (bit % 8));
    record->rotten = true;
    return true;
}

bool disk_mem_flip_key(struct disk *disk, enum disk_table table, uint32_t index, uint64_t bit)
{
    if (index >= mem_of(disk)->tables[table].count)
        return false;
    struct record *record = mem_of(disk)->tables[table].records[index];
    bit %= record->key_size * 8;
    record->bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    record->rotten = true;
    return true;
}

struct slice disk_mem_key(const struct disk *disk, enum disk_table table, uint32_t index)
{
    const struct table *records = &mem_of_const(disk)->tables[table];
    ASSERT(index < records->count);
    return record_key(records->records[index]);
}

bool disk_mem_rotten(const struct disk *disk, enum disk_table table, struct slice key)
{
    const struct table *records = &mem_of_const(disk)->tables[table];
    for (uint32_t i = 0; i < records->count; i++)
        if (slice_equal(record_key(records->records[i]), key))
            return records->records[i]->rotten;
    return false;
}

void disk_mem_flip_log(struct disk *disk, uint32_t slot, uint64_t offset, uint8_t bit)
{
    ASSERT(slot < disk->slots && offset < disk->segment_size);
    mem_of(disk)->first->slots[slot][offset] ^= (uint8_t)(1u << (bit % 8));
}

uint32_t disk_mem_count(const struct disk *disk, enum disk_table table)
{
    return mem_of_const(disk)->tables[table].count;
}
