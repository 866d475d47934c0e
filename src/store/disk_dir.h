/* The data directory: whose it is, and that nobody else uses it. */
#ifndef DISK_DIR_H
#define DISK_DIR_H

#include "base/buf.h"
#include "base/error.h"

struct disk_dir {
    const char *path; /* Borrowed. */
    int fd;
    int lock_fd;
    uint64_t segment_size;
    uint32_t stores;
    bool fresh; /* Made just now. */
};

/* Check, make with this SEGMENT_SIZE and so many STORES, lock. Errors as of disk_posix_open, in
 * words. */
int disk_dir_open(struct disk_dir *dir, const char *path, uint64_t segment_size, uint32_t stores,
                  bool existing, struct buf *error_text) CHECK_RESULT;
void disk_dir_close(struct disk_dir *dir);

#endif
