/* Reading LMDB's pages in place, but only those that are in memory.
 *
 * LMDB itself can say what a key has, but not whether saying so would wait for the device: it
 * touches mapped pages, and one that is not in memory stops the thread for as long as a read takes.
 * So the way down the tree is gone here, in the snapshot of a read transaction of LMDB's, and each
 * page is asked for (mincore) before it is touched. A page that was there a moment ago is not asked
 * for again, which is what makes a warm look-up no slower than LMDB's own; but while some are found
 * missing, each is.
 *
 * Whoever is patient reads a page that is not there from the file (pread) before he touches it. A
 * fault of the map would do as well, but reads many pages around the one, which throws out as many
 * others where memory is short; and a map that is told not to (MADV_RANDOM) leaves the kernel
 * without a note of which of its pages are in use.
 *
 * What it relies on: the layout of LMDB 0.9's pages (data version 1, checked at opening), that a
 * snapshot's pages do not change, and that the map never moves. Whatever a page says is checked
 * before it is followed: a damaged one is ERR_IO, not a crash.
 *
 * Costs: 2 bytes of memory a page of the file; a look-up is as many searches as the tree is deep,
 * of two to four nodes each, and a system call of some 0.3 us for each page that was not seen
 * within the last second. */
#ifndef DISK_PAGES_H
#define DISK_PAGES_H

#include <lmdb.h>

#include "store/disk.h"

enum { PAGES_LEVELS_MAX = 32 };

struct disk_pages {
    MDB_env *env; /* Borrowed. */
    MDB_dbi names;
    MDB_txn *snapshot; /* Borrowed. */
    const uint8_t *map;
    size_t page_size;
    int fd;       /* Borrowed. Of the file. */
    uint64_t end; /* No page of the snapshot has this number or a higher one. */
    uint64_t roots[DISK_TABLES];
    bool known[DISK_TABLES]; /* The root, of this snapshot. */
    uint16_t *seen;          /* Owned. By page: when it was last known to be in memory; 0 never. */
    uint64_t seen_count;
    bool twin;  /* Notes nothing as seen: asks for each page. */
    bool blind; /* Touches pages without asking for them. */
    uint16_t now;
    uint16_t missed; /* When a page was last found missing; 0 never. */
};

/* A place in a table. Valid as long as the snapshot. */
struct disk_pages_cursor {
    enum disk_table table;
    uint32_t depth;       /* 0: none. */
    const uint8_t *place; /* The leaf that was looked into last, NULL: there is none, */
    uint32_t place_index; /* and the index at which the key lies or would lie. */
    struct {
        const uint8_t *page;
        uint32_t index;
    } levels[PAGES_LEVELS_MAX];
};

/* Find the map of ENV by a transaction of it: 0, MDB_VERSION_MISMATCH, or an error of LMDB's. */
int disk_pages_init(struct disk_pages *pages, MDB_env *env, MDB_txn *txn) CHECK_RESULT;
void disk_pages_done(struct disk_pages *pages);
/* For another thread, that reads the same map in snapshots of its own; nothing of it to be freed.
 */
struct disk_pages disk_pages_twin(const struct disk_pages *pages);
/* Read in TXN's snapshot, which has just begun. */
void disk_pages_begin(struct disk_pages *pages, MDB_txn *txn);

/* As disk_get, disk_seek and disk_next. Those of a cursor leave it unusable on any error. */
int disk_pages_get(struct disk_pages *pages, enum disk_table table, struct slice key, bool patient,
                   struct disk_pages_cursor *ret_cursor, struct slice *ret_value) CHECK_RESULT;
int disk_pages_seek(struct disk_pages *pages, enum disk_table table, struct slice key, bool patient,
                    struct disk_pages_cursor *ret_cursor, struct slice *ret_key,
                    struct slice *ret_value) CHECK_RESULT;
int disk_pages_next(struct disk_pages *pages, struct disk_pages_cursor *cursor, bool patient,
                    struct slice *ret_key, struct slice *ret_value) CHECK_RESULT;
int disk_pages_prev(struct disk_pages *pages, struct disk_pages_cursor *cursor, bool patient,
                    struct slice *ret_key, struct slice *ret_value) CHECK_RESULT;
/* As disk_around, of the place that the cursor last looked for. */
int disk_pages_around(struct disk_pages *pages, const struct disk_pages_cursor *cursor,
                      bool patient, struct disk_around *ret_around) CHECK_RESULT;
/* Do the keys of the leaf of KEY, which is not *LAST_LEAF, lie in order, and where the branches
 * above say that they lie, and does JUDGE find each sound? A leaf that cannot be read is found by
 * whoever writes to it. */
bool disk_pages_sound(struct disk_pages *pages, const struct disk_judge *judge,
                      enum disk_table table, struct slice key, const uint8_t **last_leaf);
/* Bring into memory what writing over KEY will touch: of a large value only its first page. */
void disk_pages_prepare(struct disk_pages *pages, enum disk_table table, struct slice key);

#endif
