#include "store/disk_lmdb_size.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

enum { FREE_DBI = 0 };

/* Strike from MISSING the pages that the free list names. */
static int strike_free(MDB_txn *txn, uint64_t first, uint64_t count, uint8_t *missing)
{
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val value;
    int code = mdb_cursor_open(txn, FREE_DBI, &cursor);
    if (code)
        return code;
    while ((code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        const size_t *pages = value.mv_data;
        for (size_t i = 1; i <= pages[0] && i < value.mv_size / sizeof(size_t); i++)
            if (pages[i] >= first && pages[i] < first + count)
                missing[pages[i] - first] = 0;
    }
    mdb_cursor_close(cursor);
    return code == MDB_NOTFOUND ? 0 : code;
}

static bool tail_is_free(MDB_env *env, uint64_t first, uint64_t count)
{
    MDB_txn *txn;
    uint8_t *missing = mem_alloc(count);
    memset(missing, 1, count);
    bool all = false;
    if (mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) == 0) {
        all = strike_free(txn, first, count, missing) == 0;
        mdb_txn_abort(txn);
    }
    for (uint64_t i = 0; i < count; i++)
        all = all && missing[i] == 0;
    mem_free(missing);
    return all;
}

/* A file cut short opens without complaint and kills the process later (SIGBUS). It may end before
 * the last page that was ever used, but only by pages that are free. */
int lmdb_check_size(MDB_env *env, const char *path, size_t *ret_page_size, struct buf *error_text)
{
    MDB_envinfo info;
    MDB_stat stat;
    int fd;
    struct stat file;
    if (mdb_env_info(env, &info) != 0 || mdb_env_stat(env, &stat) != 0 ||
        mdb_env_get_fd(env, &fd) != 0 || fstat(fd, &file) != 0)
        return ERR_IO;
    *ret_page_size = stat.ms_psize;
    uint64_t wanted = ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
    uint64_t size = (uint64_t)file.st_size;
    if (size >= wanted)
        return 0;
    uint64_t first = size / stat.ms_psize;
    if (first >= 2 && ftruncate(fd, (off_t)wanted) == 0 &&
        tail_is_free(env, first, wanted / stat.ms_psize - first))
        return 0;
    if (ftruncate(fd, (off_t)size) != 0)
        buf_printf(error_text, "(and cannot be put back) ");
    buf_printf(error_text,
               "%s/data.mdb is truncated: it has %llu bytes but uses %llu; restore it from a "
               "backup, or replace this node by one with an empty directory",
               path, (unsigned long long)size, (unsigned long long)wanted);
    return ERR_CORRUPT;
}
