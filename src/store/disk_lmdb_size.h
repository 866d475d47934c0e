/* Has LMDB's file as many bytes as it uses? */
#ifndef DISK_LMDB_SIZE_H
#define DISK_LMDB_SIZE_H

#include <lmdb.h>

#include "base/buf.h"

/* Check the file of ENV in PATH, and tell the size of its pages. 0; ERR_CORRUPT with words, ERR_IO.
 */
int lmdb_check_size(MDB_env *env, const char *path, size_t *ret_page_size,
                    struct buf *error_text) CHECK_RESULT;

#endif
