/* The disk of a real node: files for the log, LMDB for the engine, three threads.
 *
 *   DIR/LOCK      held with flock while the node runs
 *   DIR/format    version of all this, the size of a segment, and the number of stores if not one
 *   DIR/log/NNNN  slots of the log, written full of zeros before they are used
 *   DIR/db/       LMDB; where there are several stores, DIR/db-K/ of store K
 *
 * The log thread takes everything that has been handed over, joins what is contiguous and writes it
 * in one call, with RWF_DSYNC where a sync is wanted and nothing unsynced lies before it. An engine
 * thread for every four stores applies transactions and makes slots; the reader threads bring pages
 * into memory (disk_warm). Of all of them there is one set in a directory. */
#ifndef DISK_POSIX_H
#define DISK_POSIX_H

#include "store/disk.h"

struct disk_posix_options {
    const char *directory; /* Made with mode 0700 if it does not exist; its parent must. */
    uint64_t segment_size; /* Of a new directory; a multiple of 4096; 0: 64 MiB. */
    uint32_t stores;       /* Of a new directory; a power of two up to STORES_MAX; 0: 1. */
    uint64_t map_size; /* Address space for LMDB, of each store; 0: 1 TiB, less where that is not
                        * to be had. */
    bool existing;     /* Refuse to make a new store. */
};

/* RET_DISK is the disk of store 0, and has the others (disk_of_store). A directory that there is
 * keeps its number of stores. What disk_posix_open says is for a person: what is the matter, and
 * what to do about it. ERR_REFUSED: in use, foreign, newer, on a network file system. ERR_CORRUPT:
 * damaged. ERR_IO, ERR_DISK_FULL. */
int disk_posix_open(const struct disk_posix_options *options, struct disk **ret_disk,
                    struct buf *error_text) CHECK_RESULT;

/* Is there a store in DIRECTORY (as far as its format file tells)? */
bool disk_posix_exists(const char *directory);

#endif
