/* A disk in memory that fails on command: for tests and the simulator. Deterministic.
 *
 * It tells apart what the kernel has and what is synced. Work completes when it is handed over, or,
 * while held, step by step. After a crash or power loss close the store (store_close) and open
 * another one over the same disk. */
#ifndef DISK_MEM_H
#define DISK_MEM_H

#include "base/prng.h"
#include "store/disk.h"

struct disk_mem_options {
    uint64_t segment_size; /* 0: 64 KiB. */
    uint64_t total_bytes;  /* Of the disk; 0: without a bound. */
    uint32_t stores;       /* A power of two; 0: 1. */
};

/* The disk of store 0; disk_of_store finds the others. Where there are several, what is said below
 * of the disk, its log, its room, its failures and its end is of all of them, by whichever it is
 * called; what is said of engines and readers is of the one that it is called for. */
struct disk *disk_mem_new(const struct disk_mem_options *options);

/* Work of the log, the engine and the reader: queues of their own, as they are threads. */
enum disk_mem_queue { DISK_MEM_LOG = 0, DISK_MEM_ENGINE, DISK_MEM_READER };
enum { DISK_MEM_QUEUES = DISK_MEM_READER + 1 };

/* Work handed over from now on waits for disk_mem_step. Letting go carries out what waits. */
void disk_mem_hold(struct disk *disk, bool hold);
uint32_t disk_mem_pending(const struct disk *disk, enum disk_mem_queue queue);
/* Carry out the oldest of a queue and make its completion pollable; false if there is none. */
bool disk_mem_step(struct disk *disk, enum disk_mem_queue queue);

/* Has disk_poll something? */
bool disk_mem_due(const struct disk *disk);

/* Let chance pick which work of the readers, who are several, is carried out next. */
void disk_mem_shuffle(struct disk *disk, struct prng *prng);

/* Of the engine only the RECORDS (at most DISK_MEM_CACHE_MAX) that were warmed last are in memory;
 * 0: all are, as at first. A key that has no record counts like one that has. Of what is read with
 * patience nothing is kept. */
enum { DISK_MEM_CACHE_MAX = 64 };
void disk_mem_cache(struct disk *disk, uint32_t records);

/* The process dies: the kernel keeps what it got, of held work as much as PRNG says (NULL: none),
 * the last write cut anywhere. */
void disk_mem_crash(struct disk *disk, struct prng *prng);
/* The power goes: what is not synced stays or goes by sectors, as PRNG says (NULL: all goes). */
void disk_mem_power_loss(struct disk *disk, struct prng *prng);

/* A disk with what the kernel has of DISK now, as if its files were copied; work that is held has
 * not reached it. */
struct disk *disk_mem_copy(const struct disk *disk);

/* Calls that can be made to fail. */
enum disk_mem_call { DISK_MEM_WRITE = 0, DISK_MEM_SYNC, DISK_MEM_PREPARE, DISK_MEM_APPLY };
enum { DISK_MEM_CALLS = DISK_MEM_APPLY + 1 };

/* The Nth CALL from now (1: the next) fails with ERROR; 0 takes it back. */
void disk_mem_fail(struct disk *disk, enum disk_mem_call call, uint32_t nth, int error);
/* Change the size of the disk; 0: without a bound. */
void disk_mem_set_total(struct disk *disk, uint64_t total_bytes);
/* Flip one bit in the value of the record number INDEX (in key order); false if there is none. */
bool disk_mem_flip(struct disk *disk, enum disk_table table, uint32_t index, uint64_t bit);
/* The same in its key: it stays where it is, and may lie out of order then. */
bool disk_mem_flip_key(struct disk *disk, enum disk_table table, uint32_t index, uint64_t bit);
/* The key of that record; valid until the engine's next transaction. */
struct slice disk_mem_key(const struct disk *disk, enum disk_table table, uint32_t index);
/* Was a bit of the record of KEY flipped since it was written? */
bool disk_mem_rotten(const struct disk *disk, enum disk_table table, struct slice key);
/* Flip one bit of the log. */
void disk_mem_flip_log(struct disk *disk, uint32_t slot, uint64_t offset, uint8_t bit);
/* Flip one bit, as PRNG says, of what the kernel has of the log and the platter may not have: such
 * as a loss of power leaves it. False if there is nothing. */
bool disk_mem_rot_tail(struct disk *disk, struct prng *prng);
uint32_t disk_mem_count(const struct disk *disk, enum disk_table table);

#endif
