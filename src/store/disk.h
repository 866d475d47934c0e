/* The disk of a store, as little as it needs: a log in segments, a sorted engine, free space.
 *
 * The store itself is one thread without I/O over this table of functions. disk_posix.h is the
 * product (files, LMDB, threads inside), disk_mem.h the twin of tests and the simulator.
 *
 * What takes time is handed over and comes back by disk_poll, log work in the order it was handed
 * over. Memory given to log_write and apply stays the caller's and must not change until then.
 *
 * A directory has a fixed number of stores, a power of two. They share the log and the room; each
 * has an engine of its own, and a struct disk of its own, by which it reads, hands over and gets
 * its completions. The disks of one directory may be used by as many threads, each by one at a
 * time. Only disk_log_write, disk_slot_prepare and disk_ring may be called for another one's disk;
 * of the writes of all threads, the order counts: whoever calls holds a lock that they share
 * (log_shared.h). Opening, disk_log_read, disk_drain and closing are for while no other thread is
 * at it.
 *
 * An event with an error of the log, or any of the engine but ERR_DISK_FULL and ERR_CORRUPT, is the
 * end: what is on the disk is no longer known. */
#ifndef DISK_H
#define DISK_H

#include "base/buf.h"
#include "base/error.h"

/* Sorted tables of the engine; one transaction may change all of them. */
enum disk_table { DISK_OBJECTS = 0, DISK_HINTS, DISK_METAS, DISK_STATE };
enum { DISK_TABLES = DISK_STATE + 1 };

/* No error: what is asked for is not in memory, and would have to be waited for (disk->patient). */
enum { DISK_COLD = 1 };

enum { DISK_KEY_SIZE_MAX = 511 };

/* One change of a transaction. */
struct disk_item {
    enum disk_table table;
    bool remove; /* The key, if it is there; `value` is unused. */
    bool rotten; /* Remove the record whose key has these very bytes, in whatever order it lies: not
                  * far from where the key `value` lies or would lie (empty: the first). Such items
                  * have a transaction of their own. */
    struct slice key;
    struct slice value;
};

/* The records between which a key lies or would lie, as far as they are in its page of the engine;
 * without a key: none. A look-up in records of which some are out of order ends beside one of
 * those, however many there are: for it has been compared with the key and turned it away. So where
 * both are good, what was not found is not there. */
struct disk_around {
    struct slice before_key, before_value;
    struct slice after_key, after_value;
};

enum disk_event_type {
    DISK_LOG_WRITTEN = 1, /* The oldest log_write that was still open. */
    DISK_LOG_SYNCED,      /* The oldest log_sync that was still open. */
    DISK_SLOT_READY,      /* The slot can be written; ERR_DISK_FULL: it was not made. */
    DISK_APPLIED,         /* Committed and synced, or nothing of it happened: ERR_DISK_FULL;
                           * ERR_CORRUPT: near the key of item number `item` keys of objects have
                           * rotted or lie out of order: what is written there might never be found,
                           * and hide where a bad one lay. */
    DISK_WARMED,          /* Whatever the disk_warm with this tag named is in memory. */
    DISK_RUNG,            /* Somebody called disk_ring. */
};

struct disk_event {
    enum disk_event_type type;
    int error;
    const char *text; /* With an error: what failed; valid until the disk is closed. */
    uint64_t tag;     /* WARMED; of SLOT_READY the number of the slot. */
    uint32_t item;    /* APPLIED */
};

struct disk_space {
    uint64_t free;     /* Bytes that may still be written, */
    uint64_t total;    /* of so many. */
    uint64_t file;     /* Of the engine, */
    uint64_t reusable; /* of these free inside the file. */
};

struct disk;

struct disk_operations {
    int (*log_read)(struct disk *disk, uint32_t slot, uint64_t offset, uint8_t *ret, size_t size);
    void (*log_write)(struct disk *disk, uint32_t slot, uint64_t offset, struct slice bytes,
                      bool sync);
    void (*log_sync)(struct disk *disk);
    void (*slot_prepare)(struct disk *disk, uint32_t slot);
    void (*ring)(struct disk *disk);
    int (*get)(struct disk *disk, enum disk_table table, struct slice key, struct slice *ret_value);
    int (*seek)(struct disk *disk, enum disk_table table, struct slice key, struct slice *ret_key,
                struct slice *ret_value);
    int (*next)(struct disk *disk, struct slice *ret_key, struct slice *ret_value);
    int (*prev)(struct disk *disk, struct slice *ret_key, struct slice *ret_value);
    int (*around)(struct disk *disk, struct disk_around *ret_around);
    void (*release)(struct disk *disk);
    void (*warm)(struct disk *disk, uint64_t tag, enum disk_table table, const struct slice *keys,
                 uint32_t count, uint32_t records_max, uint64_t bytes_max);
    void (*apply)(struct disk *disk, const struct disk_item *items, uint32_t count);
    bool (*poll)(struct disk *disk, struct disk_event *ret_event);
    void (*wait)(struct disk *disk);
    void (*drain)(struct disk *disk);
    void (*space)(struct disk *disk, struct disk_space *ret_space);
    int (*fd)(struct disk *disk);
    void (*close)(struct disk *disk);
};

enum { STORES_MAX = 16 };

/* Tells keys of objects that are what was put there from those that rotted. */
struct disk_judge {
    /* VALUE without data: not at hand. From any thread. NULL: nobody can tell yet. */
    bool (*is_sound)(uint64_t seed, struct slice key, struct slice value);
    uint64_t seed;
};

struct disk {
    const struct disk_operations *operations;
    uint64_t segment_size; /* Of each slot of the log. */
    uint32_t slots;  /* Slots 0..slots-1 can be read and written; at least 1. As of the opening, and
                      * of the last SLOT_READY that came by this disk. */
    uint32_t store;  /* The number of the store whose disk this is, */
    uint32_t stores; /* of so many in the directory. */
    struct disk *next; /* The next store's, NULL after the last. Closed with the first one's. */
    bool patient; /* The caller's to set: get, seek and next wait for what is not in memory. Else
                   * they answer DISK_COLD, and a walk has to begin anew. */
    struct disk_judge judge; /* The caller's to set: no object is written beside a key that is not
                              * sound, by transactions that begin later. */
};

/* Read SIZE bytes of a slot into RET; waits. 0 or ERR_IO. */
CHECK_RESULT static inline int disk_log_read(struct disk *disk, uint32_t slot, uint64_t offset,
                                             uint8_t *ret, size_t size)
{
    return disk->operations->log_read(disk, slot, offset, ret, size);
}

/* Write within a slot. With SYNC, this and everything written before is on the disk when it
 * completes; else in the kernel. */
static inline void disk_log_write(struct disk *disk, uint32_t slot, uint64_t offset,
                                  struct slice bytes, bool sync)
{
    disk->operations->log_write(disk, slot, offset, bytes, sync);
}

/* Bring everything written before to the disk. */
static inline void disk_log_sync(struct disk *disk)
{
    disk->operations->log_sync(disk);
}

/* Make one more slot, number SLOT: the lowest that there is not. One at a time in a directory. */
static inline void disk_slot_prepare(struct disk *disk, uint32_t slot)
{
    disk->operations->slot_prepare(disk, slot);
}

/* Have disk_poll tell DISK_RUNG, on whichever thread polls DISK. From any thread. */
static inline void disk_ring(struct disk *disk)
{
    disk->operations->ring(disk);
}

/* 0, ERR_NOT_FOUND, DISK_COLD or ERR_IO. The value is valid until disk_release or the next
 * disk_poll. */
CHECK_RESULT static inline int disk_get(struct disk *disk, enum disk_table table, struct slice key,
                                        struct slice *ret_value)
{
    return disk->operations->get(disk, table, key, ret_value);
}

/* The first record at or after KEY, and from there disk_next: 0, ERR_NOT_FOUND at the end,
 * DISK_COLD, ERR_IO. Slices are valid as those of disk_get. One walk at a time. */
CHECK_RESULT static inline int disk_seek(struct disk *disk, enum disk_table table, struct slice key,
                                         struct slice *ret_key, struct slice *ret_value)
{
    return disk->operations->seek(disk, table, key, ret_key, ret_value);
}

CHECK_RESULT static inline int disk_next(struct disk *disk, struct slice *ret_key,
                                         struct slice *ret_value)
{
    return disk->operations->next(disk, ret_key, ret_value);
}

/* The record before the one that disk_seek, disk_next or disk_prev gave last (after the end: the
 * last one), and from there disk_next or disk_prev: as disk_next. */
CHECK_RESULT static inline int disk_prev(struct disk *disk, struct slice *ret_key,
                                         struct slice *ret_value)
{
    return disk->operations->prev(disk, ret_key, ret_value);
}

/* What lies around the key of the last disk_get that found nothing, or disk_seek: 0, DISK_COLD,
 * ERR_IO. Slices are valid as those of disk_get. */
CHECK_RESULT static inline int disk_around(struct disk *disk, struct disk_around *ret_around)
{
    return disk->operations->around(disk, ret_around);
}

/* Forget what was read. A snapshot held for long makes the engine's file grow: end of a tick. */
static inline void disk_release(struct disk *disk)
{
    disk->operations->release(disk);
}

/* Bring into memory, in the background, the records of TABLE from each of the COUNT keys on:
 * RECORDS_MAX from each, and BYTES_MAX bytes in all. The keys are copied. DISK_WARMED comes with
 * TAG, in any order; a read that follows waits only if the pages were needed for other things
 * meanwhile. */
static inline void disk_warm(struct disk *disk, uint64_t tag, enum disk_table table,
                             const struct slice *keys, uint32_t count, uint32_t records_max,
                             uint64_t bytes_max)
{
    disk->operations->warm(disk, tag, table, keys, count, records_max, bytes_max);
}

/* One transaction: all of the items, durably, or none (rotten ones that are gone are passed over).
 * Sorted by table, then key, no key twice; at most a few thousand. One at a time. */
static inline void disk_apply(struct disk *disk, const struct disk_item *items, uint32_t count)
{
    disk->operations->apply(disk, items, count);
}

/* The next completion, false if there is none now. */
static inline bool disk_poll(struct disk *disk, struct disk_event *ret_event)
{
    return disk->operations->poll(disk, ret_event);
}

/* Block until disk_poll has something; only while work is under way. For opening. */
static inline void disk_wait(struct disk *disk)
{
    disk->operations->wait(disk);
}

/* Wait until no work is under way and forget its completions. */
static inline void disk_drain(struct disk *disk)
{
    disk->operations->drain(disk);
}

static inline void disk_space(struct disk *disk, struct disk_space *ret_space)
{
    disk->operations->space(disk, ret_space);
}

/* Readable when disk_poll may have something; -1 if this disk has none. */
static inline int disk_fd(struct disk *disk)
{
    return disk->operations->fd(disk);
}

/* The disk of STORE, where FIRST is store 0's. */
static inline struct disk *disk_of_store(struct disk *first, uint32_t store)
{
    struct disk *disk = first;
    while (disk->store != store)
        disk = disk->next;
    return disk;
}

/* Wait for work under way, close and free; of store 0's disk, and with it those of all stores. */
static inline void disk_close(struct disk *disk)
{
    disk->operations->close(disk);
}

#endif
