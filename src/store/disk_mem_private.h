/* What the files of the disk in memory share. Nobody else includes this.
 *
 *   disk_mem.c          the disk
 *   disk_mem_work.c     what it is asked to do, and that it is done
 *   disk_mem_faults.c   what tests may do to it
 */
#ifndef DISK_MEM_PRIVATE_H
#define DISK_MEM_PRIVATE_H

#include "store/disk_mem.h"

enum work_type { WORK_WRITE, WORK_SYNC, WORK_PREPARE, WORK_APPLY, WORK_WARM };

struct work {
    struct work *next;
    struct disk_mem *of; /* Whose it is. */
    enum work_type type;
    uint32_t slot;
    uint64_t offset;
    struct slice bytes;            /* Borrowed from the caller until it completes. */
    const struct disk_item *items; /* As well. */
    uint32_t count;
    bool sync;
    uint64_t tag; /* WARM, as the following. */
    enum disk_table table;
    struct slice *keys; /* Owned, as what they point to. */
    uint32_t records_max;
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
    bool rotten; /* A bit was flipped. */
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
    /* What all stores of the directory share, which the first one's has. */
    struct disk_mem *first;
    uint64_t total;
    uint8_t **slots; /* Owned. */
    struct unsynced *unsynced;
    struct unsynced **unsynced_last;
    struct work_queue log;
    bool hold;
    struct work *works_unused;        /* Owned, for the next ones; */
    struct event_node *events_unused; /* the same. */
    uint32_t fail_nth[DISK_MEM_CALLS];
    int fail_error[DISK_MEM_CALLS];
    int log_error; /* Once something of the log has failed, so does all of it until the end. */
    /* What is each store's. */
    struct work_queue engine;
    struct work_queue reader;
    struct event_node *events;
    struct event_node **events_last;
    struct table tables[DISK_TABLES];
    uint64_t engine_bytes;
    uint32_t cache; /* Records that it has room for; 0: for all. */
    uint32_t cache_next;
    uint64_t cached[DISK_MEM_CACHE_MAX]; /* Names of tables and keys. */
    enum disk_table walk_table;
    uint32_t walk_index; /* Of the record that mem_next gives, */
    uint32_t walk_at;    /* of the one that was given last, */
    uint32_t walk_place; /* and where the key lies or would lie that was looked for. */
};

static inline struct disk_mem *mem_of(struct disk *disk)
{
    return (struct disk_mem *)disk;
}

static inline const struct disk_mem *mem_of_const(const struct disk *disk)
{
    return (const struct disk_mem *)disk;
}

/* The next store's, NULL after the last. */
static inline struct disk_mem *mem_next_store(const struct disk_mem *mem)
{
    return (struct disk_mem *)mem->disk.next;
}

static inline struct work_queue *mem_queue(struct disk_mem *mem, enum disk_mem_queue queue)
{
    return queue == DISK_MEM_LOG      ? &mem->first->log
           : queue == DISK_MEM_ENGINE ? &mem->engine
                                      : &mem->reader;
}

static inline struct slice record_key(const struct record *record)
{
    return slice_of(record->bytes, record->key_size);
}

/* The index of the first record at or after KEY. */
uint32_t mem_table_find(const struct table *table, struct slice key);
struct record *mem_record_new(struct slice key, struct slice value);
/* What WORK asks for is in memory from now on. */
void mem_work_warm(struct disk_mem *mem, const struct work *work);
uint64_t mem_used_bytes(const struct disk_mem *mem);
/* One more slot of the log, of zeros. */
void mem_slot_add(struct disk_mem *mem);
/* Tell that TYPE has happened. */
struct disk_event *mem_event_add(struct disk_mem *mem, enum disk_event_type type, int error,
                                 uint64_t tag);
/* Do it, or hold a copy of it. */
void mem_work_add(struct disk_mem *mem, struct work work);
/* Carry WORK out and make its completion pollable. */
void mem_work_do(struct disk_mem *mem, const struct work *work);
/* The oldest of QUEUE, now the caller's; NULL if there is none. */
struct work *mem_queue_take(struct work_queue *queue);
/* The kernel takes BYTES. */
void mem_kernel_write(struct disk_mem *mem, uint32_t slot, uint64_t offset, struct slice bytes);
/* Carry a transaction out, unless it would write among what lies out of order. */
void mem_engine_try(struct disk_mem *mem, const struct work *work);
void mem_unsynced_forget(struct disk_mem *mem);
void mem_work_free(struct disk_mem *mem, struct work *work);

#endif
