/* Work of the disk in memory: it is done at once, or held until a test says so, and its completion
 * then waits to be polled. Work and completions that are over are kept for the next ones. */
#include "store/disk_mem_private.h"

struct record *mem_record_new(struct slice key, struct slice value)
{
    struct record *record = mem_alloc(sizeof(*record) + key.size + value.size);
    record->key_size = key.size;
    record->value_size = value.size;
    record->rotten = false;
    memcpy(record->bytes, key.data, key.size);
    if (value.size > 0)
        memcpy(record->bytes + key.size, value.data, value.size);
    return record;
}

/* ------------------------------------------------------------------------------- Failures. */

static int failure(struct disk_mem *mem, enum disk_mem_call call)
{
    struct disk_mem *first = mem->first;
    if (first->fail_nth[call] == 0 || --first->fail_nth[call] > 0)
        return 0;
    return first->fail_error[call];
}

uint64_t mem_used_bytes(const struct disk_mem *mem)
{
    uint64_t bytes = mem->disk.slots * mem->disk.segment_size;
    for (const struct disk_mem *one = mem->first; one; one = mem_next_store(one))
        bytes += one->engine_bytes;
    return bytes;
}

static bool has_room(const struct disk_mem *mem, uint64_t more)
{
    return mem->first->total == 0 || mem_used_bytes(mem) + more <= mem->first->total;
}

/* ------------------------------------------------------------------------- Carrying out work. */

struct disk_event *mem_event_add(struct disk_mem *mem, enum disk_event_type type, int error,
                                 uint64_t tag)
{
    struct event_node *node = mem->first->events_unused;
    if (node)
        mem->first->events_unused = node->next;
    else
        node = mem_alloc(sizeof(*node));
    node->next = NULL;
    node->event = (struct disk_event){
        .type = type, .error = error, .text = error ? "injected failure" : NULL, .tag = tag};
    *mem->events_last = node;
    mem->events_last = &node->next;
    return &node->event;
}

void mem_unsynced_forget(struct disk_mem *mem)
{
    struct disk_mem *first = mem->first;
    while (first->unsynced) {
        struct unsynced *write = first->unsynced;
        first->unsynced = write->next;
        mem_free(write);
    }
    first->unsynced_last = &first->unsynced;
}

static uint8_t *place_of(const struct disk_mem *mem, uint32_t slot, uint64_t offset, size_t size)
{
    ASSERT(slot < mem->disk.slots);
    ASSERT(offset + size <= mem->disk.segment_size);
    return mem->first->slots[slot] + offset;
}

void mem_kernel_write(struct disk_mem *mem, uint32_t slot, uint64_t offset, struct slice bytes)
{
    uint8_t *at = place_of(mem, slot, offset, bytes.size);
    if (bytes.size == 0)
        return;
    struct unsynced *write = mem_alloc(sizeof(*write) + 2 * bytes.size);
    *write = (struct unsynced){NULL, slot, offset, bytes.size};
    memcpy(write->bytes, at, bytes.size);
    memcpy(write->bytes + bytes.size, bytes.data, bytes.size);
    *mem->first->unsynced_last = write;
    mem->first->unsynced_last = &write->next;
    memcpy(at, bytes.data, bytes.size);
}

void mem_slot_add(struct disk_mem *mem)
{
    struct disk_mem *first = mem->first;
    first->slots = mem_grow(first->slots, (first->disk.slots + 1) * sizeof(*first->slots));
    first->slots[first->disk.slots++] = mem_zero(first->disk.segment_size);
    for (struct disk_mem *one = mem_next_store(first); one; one = mem_next_store(one))
        one->disk.slots = first->disk.slots;
}

/* Take the record out whose key has these bytes, wherever it lies. */
static void table_remove(struct disk_mem *mem, struct table *table, struct slice key)
{
    uint32_t at = 0;
    while (at < table->count && !slice_equal(record_key(table->records[at]), key))
        at++;
    if (at == table->count)
        return;
    mem->engine_bytes -= table->records[at]->key_size + table->records[at]->value_size;
    mem_free(table->records[at]);
    table->count--;
    memmove(&table->records[at], &table->records[at + 1],
            (table->count - at) * sizeof(struct record *));
}

/* As an engine would find it that looks into the pages that it writes to: all is one page here. */
static bool is_sound(const struct disk_judge *judge, const struct table *table)
{
    for (uint32_t i = 0; i < table->count; i++) {
        const struct record *record = table->records[i];
        if (i > 0 && slice_compare(record_key(table->records[i - 1]), record_key(record)) >= 0)
            return false;
        if (judge->is_sound != NULL &&
            !judge->is_sound(judge->seed, record_key(record),
                             slice_of(record->bytes + record->key_size, record->value_size)))
            return false;
    }
    return true;
}

/* The first item that writes objects among others that rotted, or lie out of order; COUNT: none. */
static uint32_t find_disorder(const struct disk_mem *mem, const struct work *work)
{
    uint32_t i = 0;
    while (i < work->count && (work->items[i].table != DISK_OBJECTS || work->items[i].rotten))
        i++;
    return i < work->count && is_sound(&mem->disk.judge, &mem->tables[DISK_OBJECTS]) ? work->count
                                                                                     : i;
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
            merged[count++] = mem_record_new(item->key, item->value);
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
        struct table *table = &mem->tables[work->items[at].table];
        if (work->items[at].rotten)
            for (uint32_t i = at; i < end; i++)
                table_remove(mem, table, work->items[i].key);
        else
            table_apply(mem, table, &work->items[at], &work->items[end]);
        at = end;
    }
}

static int work_apply(struct disk_mem *mem, const struct work *work, uint32_t *ret_item)
{
    uint64_t more = 0;
    *ret_item = find_disorder(mem, work);
    if (*ret_item < work->count)
        return ERR_CORRUPT;
    for (uint32_t i = 0; i < work->count; i++)
        more += work->items[i].remove || work->items[i].rotten
                    ? 0
                    : work->items[i].key.size + work->items[i].value.size;
    int error = failure(mem, DISK_MEM_APPLY);
    if (error == 0 && !has_room(mem, more))
        error = ERR_DISK_FULL;
    if (error == 0)
        engine_apply(mem, work);
    return error;
}

void mem_engine_try(struct disk_mem *mem, const struct work *work)
{
    if (find_disorder(mem, work) == work->count)
        engine_apply(mem, work);
}

static int work_write(struct disk_mem *mem, const struct work *work)
{
    struct disk_mem *first = mem->first;
    if (first->log_error)
        return first->log_error;
    first->log_error = failure(mem, DISK_MEM_WRITE);
    if (first->log_error)
        return first->log_error;
    first->log_error = work->sync ? failure(mem, DISK_MEM_SYNC) : 0;
    if (!work->sync || first->log_error) {
        mem_kernel_write(mem, work->slot, work->offset, work->bytes);
        return first->log_error;
    }
    /* It is on the platter as soon as in the kernel: nothing to be taken back. */
    mem_unsynced_forget(mem);
    uint8_t *at = place_of(mem, work->slot, work->offset, work->bytes.size);
    if (work->bytes.size > 0)
        memcpy(at, work->bytes.data, work->bytes.size);
    return 0;
}

void mem_work_do(struct disk_mem *mem, const struct work *work)
{
    int error = 0;
    uint32_t item = 0;
    switch (work->type) {
    case WORK_WRITE:
        mem_event_add(mem, DISK_LOG_WRITTEN, work_write(mem, work), 0);
        return;
    case WORK_SYNC:
        if (mem->first->log_error == 0)
            mem->first->log_error = failure(mem, DISK_MEM_SYNC);
        if (mem->first->log_error == 0)
            mem_unsynced_forget(mem);
        mem_event_add(mem, DISK_LOG_SYNCED, mem->first->log_error, 0);
        return;
    case WORK_PREPARE:
        error = failure(mem, DISK_MEM_PREPARE);
        if (error == 0 && !has_room(mem, mem->disk.segment_size))
            error = ERR_DISK_FULL;
        ASSERT(work->slot == mem->disk.slots);
        if (error == 0)
            mem_slot_add(mem);
        mem_event_add(mem, DISK_SLOT_READY, error, work->slot);
        return;
    case WORK_APPLY:
        error = work_apply(mem, work, &item);
        mem_event_add(mem, DISK_APPLIED, error, 0)->item = item;
        return;
    case WORK_WARM:
        mem_work_warm(mem, work);
        mem_event_add(mem, DISK_WARMED, 0, work->tag);
        return;
    }
}

struct work *mem_queue_take(struct work_queue *queue)
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

static void work_done(const struct work *work)
{
    for (uint32_t i = 0; work->keys && i < work->count; i++)
        mem_free((void *)(uintptr_t)work->keys[i].data);
    mem_free(work->keys);
}

void mem_work_free(struct disk_mem *mem, struct work *work)
{
    work_done(work);
    if (RECYCLES) {
        work->next = mem->first->works_unused;
        mem->first->works_unused = work;
    } else {
        mem_free(work);
    }
}

void mem_work_add(struct disk_mem *mem, struct work work)
{
    work.of = mem;
    if (!mem->first->hold) {
        mem_work_do(mem, &work);
        work_done(&work);
        return;
    }
    bool engine = work.type == WORK_APPLY || work.type == WORK_PREPARE;
    enum disk_mem_queue thread = engine ? DISK_MEM_ENGINE : DISK_MEM_LOG;
    struct work_queue *queue = mem_queue(mem, work.type == WORK_WARM ? DISK_MEM_READER : thread);
    struct work *copy = mem->first->works_unused;
    if (copy)
        mem->first->works_unused = copy->next;
    else
        copy = mem_alloc(sizeof(*copy));
    *copy = work;
    *queue->last = copy;
    queue->last = &copy->next;
    queue->count++;
}
