#include "store/disk_lmdb.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/disk_lmdb_size.h"
#include "store/disk_pages.h"

enum {
    READERS_MAX = 16,
    PATH_MAX_OWN = 4096,
    COUNT_FREE_EVERY = 64,
    FREE_DBI = 0,
    RESERVE_PAGES = 64,
    ROTTEN_NEAR = 1024, /* Records, on either side: more than four pages have room for. */
    RESERVE_AHEAD_MAX = 64 << 20,
};

static const uint64_t map_size_default = 1ull << 40;
static const uint64_t map_size_least = 1ull << 32;

static const char *const table_names[DISK_TABLES] = {"objects", "hints", "metas", "state"};

struct lmdb {
    MDB_env *env;
    MDB_dbi tables[DISK_TABLES];
    size_t page_size;
    MDB_txn *reader; /* Of the reading thread; reset while not `reading`. */
    bool reading;
    struct disk_pages pages;
    struct disk_pages_cursor cursor;
    atomic_bool short_of_memory; /* Of late, a page was not there when asked for. */
    uint32_t applied;            /* Since the free pages were counted. */
    uint64_t reserved_end;       /* The file has blocks up to here. */
    _Atomic uint64_t free_bytes;
};

const char *lmdb_table_name(enum disk_table table)
{
    return table_names[table];
}

static MDB_val val_of(struct slice bytes)
{
    return (MDB_val){bytes.size, (void *)(uintptr_t)bytes.data};
}

static bool is_full(int code)
{
    return code == MDB_MAP_FULL || code == ENOSPC || code == EDQUOT;
}

/* ---------------------------------------------------------------------------------- Opening. */

/* The largest map that is to be had: reserving it costs nothing. */
static int env_open(struct lmdb *lmdb, const char *path, uint64_t map_size)
{
    uint64_t size = map_size ? map_size : map_size_default;
    for (;;) {
        int code = mdb_env_create(&lmdb->env);
        if (code == 0)
            code = mdb_env_set_mapsize(lmdb->env, size);
        if (code == 0)
            code = mdb_env_set_maxdbs(lmdb->env, DISK_TABLES);
        if (code == 0)
            code = mdb_env_set_maxreaders(lmdb->env, READERS_MAX);
        if (code == 0)
            code = mdb_env_open(lmdb->env, path, MDB_NOTLS, 0600);
        if (code != ENOMEM || map_size != 0 || size <= map_size_least)
            return code;
        mdb_env_close(lmdb->env);
        lmdb->env = NULL;
        size /= 4;
    }
}

static int tables_open(struct lmdb *lmdb)
{
    MDB_txn *txn;
    int dead;
    int code = mdb_reader_check(lmdb->env, &dead);
    if (code == 0)
        code = mdb_txn_begin(lmdb->env, NULL, 0, &txn);
    if (code)
        return code;
    for (uint32_t i = 0; i < DISK_TABLES && code == 0; i++)
        code = mdb_dbi_open(txn, table_names[i], MDB_CREATE, &lmdb->tables[i]);
    if (code) {
        mdb_txn_abort(txn);
        return code;
    }
    code = mdb_txn_commit(txn);
    if (code == 0)
        code = mdb_txn_begin(lmdb->env, NULL, MDB_RDONLY, &lmdb->reader);
    if (code)
        return code;
    code = disk_pages_init(&lmdb->pages, lmdb->env, lmdb->reader);
    mdb_txn_reset(lmdb->reader);
    return code;
}

static int sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int code = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return code;
}

static int say(int code, const char *path, struct buf *error_text)
{
    if (is_full(code)) {
        buf_printf(error_text, "no room to open %s: free some space on its disk", path);
        return ERR_DISK_FULL;
    }
    bool damaged = code == MDB_INVALID || code == MDB_CORRUPTED || code == MDB_PAGE_NOTFOUND ||
                   code == MDB_VERSION_MISMATCH || code == MDB_PANIC;
    buf_printf(error_text, "%s/data.mdb cannot be opened: %s", path, mdb_strerror(code));
    if (damaged)
        buf_printf(error_text, "; restore it from a backup, or replace this node by one with an "
                               "empty directory");
    return damaged ? ERR_CORRUPT : ERR_IO;
}

int lmdb_open(const char *directory, const char *name, uint64_t map_size, struct lmdb **ret_lmdb,
              struct buf *error_text)
{
    char path[PATH_MAX_OWN];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return say(errno, path, error_text);
    struct lmdb *lmdb = mem_zero(sizeof(*lmdb));
    int code = env_open(lmdb, path, map_size);
    int error = code ? say(code, path, error_text)
                     : lmdb_check_size(lmdb->env, path, &lmdb->page_size, error_text);
    if (error == 0) {
        code = tables_open(lmdb);
        if (code == 0)
            code = sync_directory(path);
        if (code == 0)
            code = sync_directory(directory);
        error = code ? say(code, path, error_text) : 0;
    }
    if (error) {
        lmdb_close(lmdb);
        return error;
    }
    *ret_lmdb = lmdb;
    return 0;
}

void lmdb_close(struct lmdb *lmdb)
{
    if (!lmdb)
        return;
    disk_pages_done(&lmdb->pages);
    if (lmdb->reader)
        mdb_txn_abort(lmdb->reader);
    if (lmdb->env)
        mdb_env_close(lmdb->env);
    mem_free(lmdb);
}

/* ---------------------------------------------------------------------------------- Reading. */

static int read_begin(struct lmdb *lmdb)
{
    if (lmdb->reading)
        return 0;
    if (mdb_txn_renew(lmdb->reader) != 0)
        return ERR_IO;
    lmdb->reading = true;
    disk_pages_begin(&lmdb->pages, lmdb->reader);
    return 0;
}

int lmdb_get(struct lmdb *lmdb, enum disk_table table, struct slice key, bool patient,
             struct slice *ret_value)
{
    if (read_begin(lmdb) != 0)
        return ERR_IO;
    return disk_pages_get(&lmdb->pages, table, key, patient, &lmdb->cursor, ret_value);
}

int lmdb_seek(struct lmdb *lmdb, enum disk_table table, struct slice key, bool patient,
              struct slice *ret_key, struct slice *ret_value)
{
    if (read_begin(lmdb) != 0)
        return ERR_IO;
    return disk_pages_seek(&lmdb->pages, table, key, patient, &lmdb->cursor, ret_key, ret_value);
}

int lmdb_next(struct lmdb *lmdb, bool patient, struct slice *ret_key, struct slice *ret_value)
{
    ASSERT(lmdb->reading);
    return disk_pages_next(&lmdb->pages, &lmdb->cursor, patient, ret_key, ret_value);
}

int lmdb_prev(struct lmdb *lmdb, bool patient, struct slice *ret_key, struct slice *ret_value)
{
    ASSERT(lmdb->reading);
    return disk_pages_prev(&lmdb->pages, &lmdb->cursor, patient, ret_key, ret_value);
}

int lmdb_around(struct lmdb *lmdb, bool patient, struct disk_around *ret_around)
{
    ASSERT(lmdb->reading);
    return disk_pages_around(&lmdb->pages, &lmdb->cursor, patient, ret_around);
}

void lmdb_release(struct lmdb *lmdb)
{
    if (!lmdb->reading)
        return;
    if (lmdb->pages.missed == lmdb->pages.now)
        atomic_store(&lmdb->short_of_memory, true);
    mdb_txn_reset(lmdb->reader);
    lmdb->reading = false;
}

/* Reading through a twin brings each page in, one by one: what lies around them is not wanted. */
void lmdb_warm(struct lmdb *lmdb, enum disk_table table, const struct slice *keys, uint32_t count,
               uint32_t records_max, uint64_t bytes_max)
{
    MDB_txn *txn;
    uint64_t bytes = 0;
    if (mdb_txn_begin(lmdb->env, NULL, MDB_RDONLY, &txn) != 0)
        return;
    struct disk_pages pages = disk_pages_twin(&lmdb->pages);
    disk_pages_begin(&pages, txn);
    for (uint32_t i = 0; i < count && bytes < bytes_max; i++) {
        struct disk_pages_cursor cursor;
        struct slice key;
        struct slice value;
        int error = disk_pages_seek(&pages, table, keys[i], true, &cursor, &key, &value);
        for (uint32_t k = 0; k < records_max && error == 0 && bytes < bytes_max; k++) {
            bytes += key.size + value.size;
            if (k + 1 < records_max)
                error = disk_pages_next(&pages, &cursor, true, &key, &value);
        }
    }
    mdb_txn_abort(txn);
}

/* --------------------------------------------------------------------------------- Applying. */

/* Move CURSOR by OP, at most so many times, to the record that has the very key BYTES. */
static bool find_bytes(MDB_cursor *cursor, MDB_cursor_op op, struct slice bytes)
{
    MDB_val key;
    MDB_val value;
    for (uint32_t i = 0; i < ROTTEN_NEAR; i++) {
        if (mdb_cursor_get(cursor, &key, &value, op) != 0)
            return false;
        if (slice_equal(slice_of(key.mv_data, key.mv_size), bytes))
            return true;
    }
    return false;
}

/* Its key was put out of order, and may hide others: no look-up finds it for sure. */
static int remove_rotten(struct lmdb *lmdb, MDB_txn *txn, const struct disk_item *item)
{
    MDB_cursor *cursor;
    int code = mdb_cursor_open(txn, lmdb->tables[item->table], &cursor);
    if (code)
        return code;
    bool found = false;
    for (int way = 0; way < 2 && !found; way++) {
        MDB_val near = val_of(item->value);
        MDB_val value;
        MDB_cursor_op op = item->value.size == 0 ? MDB_FIRST : MDB_SET_RANGE;
        code = mdb_cursor_get(cursor, &near, &value, op);
        if (code == MDB_NOTFOUND)
            code = mdb_cursor_get(cursor, &near, &value, MDB_LAST);
        if (code)
            break;
        found = slice_equal(slice_of(near.mv_data, near.mv_size), item->key) ||
                find_bytes(cursor, way == 0 ? MDB_NEXT : MDB_PREV, item->key);
    }
    if (found)
        code = mdb_cursor_del(cursor, 0);
    mdb_cursor_close(cursor);
    return code == MDB_NOTFOUND ? 0 : code;
}

static int apply_items(struct lmdb *lmdb, MDB_txn *txn, const struct disk_item *items,
                       uint32_t count)
{
    MDB_cursor *cursor = NULL;
    enum disk_table table = DISK_OBJECTS;
    int code = 0;
    for (uint32_t i = 0; i < count && code == 0; i++) {
        const struct disk_item *item = &items[i];
        MDB_val key = val_of(item->key);
        MDB_val value = val_of(item->value);
        if (item->rotten) {
            code = remove_rotten(lmdb, txn, item);
            continue;
        }
        if (item->remove) {
            code = mdb_del(txn, lmdb->tables[item->table], &key, NULL);
            code = code == MDB_NOTFOUND ? 0 : code;
            continue;
        }
        if (!cursor || table != item->table) {
            if (cursor)
                mdb_cursor_close(cursor);
            cursor = NULL;
            table = item->table;
            code = mdb_cursor_open(txn, lmdb->tables[item->table], &cursor);
        }
        if (code == 0)
            code = mdb_cursor_put(cursor, &key, &value, 0);
    }
    if (cursor)
        mdb_cursor_close(cursor);
    return code;
}

/* Where memory is short, LMDB would fault on each leaf that it writes over, and read what lies
 * around it too. */
static void prepare_items(struct lmdb *lmdb, const struct disk_item *items, uint32_t count)
{
    MDB_txn *txn;
    if (!atomic_load(&lmdb->short_of_memory) ||
        mdb_txn_begin(lmdb->env, NULL, MDB_RDONLY, &txn) != 0)
        return;
    struct disk_pages pages = disk_pages_twin(&lmdb->pages);
    disk_pages_begin(&pages, txn);
    for (uint32_t i = 0; i < count; i++)
        disk_pages_prepare(&pages, items[i].table, items[i].key);
    mdb_txn_abort(txn);
    atomic_store(&lmdb->short_of_memory, pages.missed != 0);
}

/* The number of the first item whose leaf has keys that rotted or lie out of order; COUNT: of
 * none. */
static uint32_t find_disorder(struct lmdb *lmdb, const struct disk_judge *judge,
                              const struct disk_item *items, uint32_t count)
{
    MDB_txn *txn;
    const uint8_t *leaf = NULL;
    if (mdb_txn_begin(lmdb->env, NULL, MDB_RDONLY, &txn) != 0)
        return count;
    struct disk_pages pages = disk_pages_twin(&lmdb->pages);
    pages.blind = true; /* They are written to in a moment. */
    disk_pages_begin(&pages, txn);
    uint32_t i = 0;
    while (i < count && (items[i].table != DISK_OBJECTS || items[i].rotten ||
                         disk_pages_sound(&pages, judge, DISK_OBJECTS, items[i].key, &leaf)))
        i++;
    mdb_txn_abort(txn);
    return i;
}

static int apply_once(struct lmdb *lmdb, const struct disk_item *items, uint32_t count)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(lmdb->env, NULL, 0, &txn);
    if (code)
        return code;
    code = apply_items(lmdb, txn, items, count);
    if (code) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

/* More than COUNT items take in the file: a leaf page each, splits, branches, overflow pages. */
static uint64_t bytes_needed(const struct lmdb *lmdb, const struct disk_item *items, uint32_t count)
{
    uint64_t bytes = (uint64_t)RESERVE_PAGES * lmdb->page_size;
    for (uint32_t i = 0; i < count; i++) {
        bytes += 2 * lmdb->page_size;
        if (!items[i].remove)
            bytes += items[i].key.size + items[i].value.size;
    }
    return bytes;
}

/* Have blocks for what the transaction may add to the file. LMDB reports a disk that fills up
 * within a write as EIO, just as a failed sync, and that one is the end. */
static int reserve(struct lmdb *lmdb, uint64_t needed)
{
    MDB_envinfo info;
    int fd;
    int code = mdb_env_info(lmdb->env, &info);
    if (code == 0)
        code = mdb_env_get_fd(lmdb->env, &fd);
    if (code)
        return code;
    uint64_t end = ((uint64_t)info.me_last_pgno + 1) * lmdb->page_size;
    if (end + needed <= lmdb->reserved_end)
        return 0;
    uint64_t ahead = MIN(end / 16, (uint64_t)RESERVE_AHEAD_MAX);
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)end, (off_t)(needed + ahead)) == 0) {
        lmdb->reserved_end = end + needed + ahead;
        return 0;
    }
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)end, (off_t)needed) == 0) {
        lmdb->reserved_end = end + needed;
        return 0;
    }
    /* Full; pages that are free inside the file do as well. Or it cannot be reserved here. */
    return is_full(errno) && lmdb_free_bytes(lmdb) < 2 * needed ? ENOSPC : 0;
}

static void count_free(struct lmdb *lmdb)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val value;
    uint64_t pages = 0;
    if (mdb_txn_begin(lmdb->env, NULL, MDB_RDONLY, &txn) != 0)
        return;
    if (mdb_cursor_open(txn, FREE_DBI, &cursor) == 0) {
        while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0)
            pages += *(const size_t *)value.mv_data;
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    atomic_store(&lmdb->free_bytes, pages * lmdb->page_size);
}

int lmdb_apply(struct lmdb *lmdb, const struct disk_judge *judge, const struct disk_item *items,
               uint32_t count, uint32_t *ret_item, const char **ret_text)
{
    prepare_items(lmdb, items, count);
    *ret_item = find_disorder(lmdb, judge, items, count);
    if (*ret_item < count)
        return ERR_CORRUPT;
    int code = reserve(lmdb, bytes_needed(lmdb, items, count));
    if (code == 0)
        code = apply_once(lmdb, items, count);
    if (code == MDB_MAP_FULL) /* It can be spurious: old snapshots have ended since. */
        code = apply_once(lmdb, items, count);
    if (code != 0) {
        *ret_text = mdb_strerror(code);
        return is_full(code) ? ERR_DISK_FULL : ERR_IO;
    }
    if (lmdb->applied++ % COUNT_FREE_EVERY == 0)
        count_free(lmdb);
    return 0;
}

uint64_t lmdb_file_bytes(const struct lmdb *lmdb)
{
    int fd;
    struct stat file;
    if (mdb_env_get_fd(lmdb->env, &fd) != 0 || fstat(fd, &file) != 0)
        return 0;
    return (uint64_t)file.st_size;
}

uint64_t lmdb_free_bytes(const struct lmdb *lmdb)
{
    return atomic_load(&lmdb->free_bytes);
}
