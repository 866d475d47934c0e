/* The sorted engine of disk_posix: LMDB.
 *
 * One thread reads, through disk_pages.h, another one applies, and any may warm. A read transaction
 * lasts until lmdb_release, so that the file's old pages can be used again. */
#ifndef DISK_LMDB_H
#define DISK_LMDB_H

#include "store/disk.h"

struct lmdb;

/* Open DIRECTORY/NAME. 0; ERR_CORRUPT, ERR_IO, ERR_DISK_FULL with words. */
int lmdb_open(const char *directory, const char *name, uint64_t map_size, struct lmdb **ret_lmdb,
              struct buf *error_text) CHECK_RESULT;
void lmdb_close(struct lmdb *lmdb);

/* The name of TABLE in the file. */
const char *lmdb_table_name(enum disk_table table);

/* As disk_get, disk_seek, disk_next, disk_release; PATIENT as of struct disk. */
int lmdb_get(struct lmdb *lmdb, enum disk_table table, struct slice key, bool patient,
             struct slice *ret_value) CHECK_RESULT;
int lmdb_seek(struct lmdb *lmdb, enum disk_table table, struct slice key, bool patient,
              struct slice *ret_key, struct slice *ret_value) CHECK_RESULT;
int lmdb_next(struct lmdb *lmdb, bool patient, struct slice *ret_key,
              struct slice *ret_value) CHECK_RESULT;
/* As disk_prev and disk_around. */
int lmdb_prev(struct lmdb *lmdb, bool patient, struct slice *ret_key,
              struct slice *ret_value) CHECK_RESULT;
int lmdb_around(struct lmdb *lmdb, bool patient, struct disk_around *ret_around) CHECK_RESULT;
void lmdb_release(struct lmdb *lmdb);

/* Touch what disk_warm names, on any thread, in a snapshot of its own. */
void lmdb_warm(struct lmdb *lmdb, enum disk_table table, const struct slice *keys, uint32_t count,
               uint32_t records_max, uint64_t bytes_max);

/* One transaction, on the engine's thread. 0; nothing happened: ERR_DISK_FULL, ERR_CORRUPT (near
 * item RET_ITEM keys of objects are not sound, as JUDGE says, or out of order); ERR_IO: the end,
 * RET_TEXT says what failed. */
int lmdb_apply(struct lmdb *lmdb, const struct disk_judge *judge, const struct disk_item *items,
               uint32_t count, uint32_t *ret_item, const char **ret_text) CHECK_RESULT;

/* Bytes of the file, and of these in free pages (counted now and then, on the engine's thread). */
uint64_t lmdb_file_bytes(const struct lmdb *lmdb);
uint64_t lmdb_free_bytes(const struct lmdb *lmdb);

#endif
