#include "store/disk_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store/disk_posix_private.h"

enum { STORE_NAME_SIZE = 16 };

static const uint64_t segment_size_default = 64u << 20;

static struct posix_disk *own(struct disk *disk)
{
    return (struct posix_disk *)disk;
}

static struct posix *posix_of(struct disk *disk)
{
    return own(disk)->posix;
}

/* -------------------------------------------------------------------------- The operations. */

static int posix_log_read(struct disk *disk, uint32_t slot, uint64_t offset, uint8_t *ret,
                          size_t size)
{
    struct posix *posix = posix_of(disk);
    while (size > 0) {
        ssize_t got = pread(posix->fds[slot], ret, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return ERR_IO;
        ret += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return 0;
}

static void posix_log_write(struct disk *disk, uint32_t slot, uint64_t offset, struct slice bytes,
                            bool sync)
{
    threads_hand_over(
        own(disk), &posix_of(disk)->writes,
        (struct work){
            .type = WORK_WRITE, .slot = slot, .offset = offset, .bytes = bytes, .sync = sync});
}

static void posix_log_sync(struct disk *disk)
{
    threads_hand_over(own(disk), &posix_of(disk)->writes, (struct work){.type = WORK_SYNC});
}

static void posix_slot_prepare(struct disk *disk, uint32_t slot)
{
    threads_hand_over(own(disk), threads_engine(own(disk)),
                      (struct work){.type = WORK_PREPARE, .slot = slot});
}

static void posix_ring(struct disk *disk)
{
    threads_tell(own(disk), (struct disk_event){.type = DISK_RUNG}, false);
}

static int posix_get(struct disk *disk, enum disk_table table, struct slice key,
                     struct slice *ret_value)
{
    return lmdb_get(own(disk)->lmdb, table, key, disk->patient, ret_value);
}

static int posix_seek(struct disk *disk, enum disk_table table, struct slice key,
                      struct slice *ret_key, struct slice *ret_value)
{
    return lmdb_seek(own(disk)->lmdb, table, key, disk->patient, ret_key, ret_value);
}

static int posix_next(struct disk *disk, struct slice *ret_key, struct slice *ret_value)
{
    return lmdb_next(own(disk)->lmdb, disk->patient, ret_key, ret_value);
}

static int posix_prev(struct disk *disk, struct slice *ret_key, struct slice *ret_value)
{
    return lmdb_prev(own(disk)->lmdb, disk->patient, ret_key, ret_value);
}

static int posix_around(struct disk *disk, struct disk_around *ret_around)
{
    return lmdb_around(own(disk)->lmdb, disk->patient, ret_around);
}

static void posix_release(struct disk *disk)
{
    lmdb_release(own(disk)->lmdb);
}

/* One piece of memory holds the keys and their bytes. */
static struct slice *keys_copy(const struct slice *keys, uint32_t count)
{
    size_t size = count * sizeof(*keys);
    for (uint32_t i = 0; i < count; i++)
        size += keys[i].size;
    struct slice *copies = mem_alloc(size);
    uint8_t *at = (uint8_t *)(copies + count);
    for (uint32_t i = 0; i < count; i++) {
        memcpy(at, keys[i].data, keys[i].size);
        copies[i] = slice_of(at, keys[i].size);
        at += keys[i].size;
    }
    return copies;
}

static void posix_warm(struct disk *disk, uint64_t tag, enum disk_table table,
                       const struct slice *keys, uint32_t count, uint32_t records_max,
                       uint64_t bytes_max)
{
    threads_hand_over(own(disk), &posix_of(disk)->reads,
                      (struct work){.type = WORK_WARM,
                                    .tag = tag,
                                    .table = table,
                                    .keys = keys_copy(keys, count),
                                    .count = count,
                                    .records_max = records_max,
                                    .bytes_max = bytes_max});
}

static void posix_apply(struct disk *disk, const struct disk_item *items, uint32_t count)
{
    threads_hand_over(
        own(disk), threads_engine(own(disk)),
        (struct work){.type = WORK_APPLY, .items = items, .count = count, .judge = disk->judge});
}

/* Take over what the threads have completed. The eventfd is emptied first: what comes later rings
 * again. */
static void take_list(struct posix_disk *disk)
{
    uint64_t rings;
    while (read(disk->event_fd, &rings, sizeof(rings)) < 0 && errno == EINTR)
        continue;
    pthread_mutex_lock(&disk->posix->mutex);
    disk->taken = disk->done;
    disk->done = NULL;
    disk->done_last = &disk->done;
    pthread_mutex_unlock(&disk->posix->mutex);
}

static bool posix_poll(struct disk *base, struct disk_event *ret_event)
{
    struct posix_disk *disk = own(base);
    if (!disk->taken)
        take_list(disk);
    struct completion *completion = disk->taken;
    if (!completion)
        return false;
    disk->taken = completion->next;
    *ret_event = completion->event;
    if (ret_event->type == DISK_SLOT_READY && ret_event->error == 0)
        base->slots = (uint32_t)ret_event->tag + 1;
    if (ret_event->type == DISK_APPLIED) /* A snapshot from before would miss what it brought. */
        lmdb_release(disk->lmdb);
    mem_free(completion);
    return true;
}

static void posix_wait(struct disk *base)
{
    const struct posix_disk *disk = own(base);
    struct pollfd fd = {.fd = disk->event_fd, .events = POLLIN};
    if (disk->taken)
        return;
    while (poll(&fd, 1, -1) < 0 && errno == EINTR)
        continue;
}

static void posix_drain(struct disk *base)
{
    struct posix_disk *disk = own(base);
    pthread_mutex_lock(&disk->posix->mutex);
    while (disk->outstanding > 0)
        pthread_cond_wait(&disk->posix->idle, &disk->posix->mutex);
    pthread_mutex_unlock(&disk->posix->mutex);
    struct disk_event event;
    while (posix_poll(base, &event))
        continue;
}

static void posix_space(struct disk *disk, struct disk_space *ret_space)
{
    const struct lmdb *lmdb = own(disk)->lmdb;
    struct statvfs stat;
    *ret_space =
        (struct disk_space){.file = lmdb_file_bytes(lmdb), .reusable = lmdb_free_bytes(lmdb)};
    if (fstatvfs(posix_of(disk)->dir.fd, &stat) != 0)
        return;
    ret_space->free = (uint64_t)stat.f_bavail * stat.f_frsize;
    ret_space->total = (uint64_t)stat.f_blocks * stat.f_frsize;
}

static int posix_fd(struct disk *disk)
{
    return own(disk)->event_fd;
}

/* What one store has alone; the threads have ended. */
static void disk_free(struct posix_disk *disk)
{
    struct disk_event event;
    while (disk->event_fd >= 0 && posix_poll(&disk->disk, &event))
        continue;
    lmdb_close(disk->lmdb);
    if (disk->event_fd >= 0)
        close(disk->event_fd);
    mem_free(disk);
}

static void posix_free(struct posix *posix)
{
    threads_stop(posix);
    while (posix->first) {
        struct posix_disk *disk = posix->first;
        posix->first = (struct posix_disk *)disk->disk.next;
        disk_free(disk);
    }
    for (uint32_t i = 0; i < SLOTS_AT_MOST; i++)
        if (posix->fds[i] >= 0)
            close(posix->fds[i]);
    if (posix->log_dir >= 0)
        close(posix->log_dir);
    disk_dir_close(&posix->dir);
    pthread_mutex_destroy(&posix->mutex);
    pthread_cond_destroy(&posix->idle);
    mem_free(posix);
}

static void posix_close(struct disk *disk)
{
    ASSERT(disk->store == 0);
    posix_free(posix_of(disk));
}

static const struct disk_operations operations = {
    .log_read = posix_log_read,
    .log_write = posix_log_write,
    .log_sync = posix_log_sync,
    .slot_prepare = posix_slot_prepare,
    .ring = posix_ring,
    .get = posix_get,
    .seek = posix_seek,
    .next = posix_next,
    .prev = posix_prev,
    .around = posix_around,
    .release = posix_release,
    .warm = posix_warm,
    .apply = posix_apply,
    .poll = posix_poll,
    .wait = posix_wait,
    .drain = posix_drain,
    .space = posix_space,
    .fd = posix_fd,
    .close = posix_close,
};

/* ---------------------------------------------------------------------------------- Opening. */

/* Open one slot; ERR_NOT_FOUND if it is not there. What an earlier process left in the kernel is
 * synced, for recovery will take it for durable. */
static int slot_open(struct posix *posix, uint32_t slot, struct buf *error_text)
{
    char name[SLOT_NAME_SIZE];
    struct stat stat;
    slot_name(slot, name);
    int fd = openat(posix->log_dir, name, O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return ERR_NOT_FOUND;
    if (fd < 0 || fstat(fd, &stat) != 0 || fdatasync(fd) != 0) {
        buf_printf(error_text, "%s/log/%s cannot be opened: %s", posix->dir.path, name,
                   strerror(errno));
        if (fd >= 0)
            close(fd);
        return ERR_IO;
    }
    if ((uint64_t)stat.st_size != posix->dir.segment_size) {
        buf_printf(error_text,
                   "%s/log/%s has %llu bytes instead of %llu: the log is damaged; restore it, or "
                   "replace this node by one with an empty directory",
                   posix->dir.path, name, (unsigned long long)stat.st_size,
                   (unsigned long long)posix->dir.segment_size);
        close(fd);
        return ERR_CORRUPT;
    }
    posix->fds[slot] = fd;
    return 0;
}

static int log_open(struct posix *posix, struct buf *error_text)
{
    if ((mkdirat(posix->dir.fd, "log", 0700) != 0 && errno != EEXIST) ||
        (posix->log_dir = openat(posix->dir.fd, "log", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 ||
        fsync(posix->dir.fd) != 0) {
        buf_printf(error_text, "%s/log cannot be opened: %s", posix->dir.path, strerror(errno));
        return errno == ENOSPC ? ERR_DISK_FULL : ERR_IO;
    }
    unlinkat(posix->log_dir, "new", 0);
    int error = 0;
    while (posix->slots < SLOTS_AT_MOST &&
           (error = slot_open(posix, posix->slots, error_text)) == 0)
        posix->slots++;
    if (error != ERR_NOT_FOUND || posix->slots > 0)
        return error == ERR_NOT_FOUND ? 0 : error;
    int code = slot_make(posix, 0);
    if (code == 0) {
        posix->slots = 1;
        return 0;
    }
    buf_printf(error_text, "cannot make the first segment of the log in %s/log: %s",
               posix->dir.path, strerror(code));
    return code == ENOSPC || code == EDQUOT ? ERR_DISK_FULL : ERR_IO;
}

/* Make the disk of STORE, and link it in LAST even where that fails: posix_free frees it. */
static int store_disk_open(struct posix *posix, uint32_t store, uint64_t map_size,
                           struct disk **last, struct buf *error_text)
{
    struct posix_disk *disk = mem_zero(sizeof(*disk));
    disk->disk = (struct disk){.operations = &operations,
                               .segment_size = posix->dir.segment_size,
                               .store = store,
                               .stores = posix->dir.stores,
                               .patient = true};
    disk->posix = posix;
    disk->done_last = &disk->done;
    *last = &disk->disk;
    disk->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (disk->event_fd < 0) {
        buf_printf(error_text, "cannot start the threads of the disk: %s", strerror(errno));
        return ERR_IO;
    }
    char name[STORE_NAME_SIZE] = "db";
    if (posix->dir.stores > 1)
        snprintf(name, sizeof(name), "db-%u", store);
    return lmdb_open(posix->dir.path, name, map_size, &disk->lmdb, error_text);
}

static int stores_disks_open(struct posix *posix, uint64_t map_size, struct buf *error_text)
{
    struct disk *last = NULL;
    for (uint32_t i = 0; i < posix->dir.stores; i++) {
        struct disk *disk = NULL;
        int error = store_disk_open(posix, i, map_size, &disk, error_text);
        if (last)
            last->next = disk;
        else
            posix->first = own(disk);
        last = disk;
        if (error)
            return error;
    }
    return 0;
}

static int open_all(struct posix *posix, const struct disk_posix_options *options,
                    struct buf *error_text)
{
    uint64_t segment_size = options->segment_size ? options->segment_size : segment_size_default;
    uint32_t stores = options->stores ? options->stores : 1;
    ASSERT(segment_size % 4096 == 0 && stores <= STORES_MAX && (stores & (stores - 1)) == 0);
    int error = disk_dir_open(&posix->dir, options->directory, segment_size, stores,
                              options->existing, error_text);
    if (error == 0)
        error = stores_disks_open(posix, options->map_size, error_text);
    if (error == 0)
        error = log_open(posix, error_text);
    if (error)
        return error;
    for (struct disk *disk = &posix->first->disk; disk; disk = disk->next)
        disk->slots = posix->slots;
    posix->engines_count = (posix->dir.stores + STORES_PER_ENGINE - 1) / STORES_PER_ENGINE;
    int code = threads_start(posix);
    if (code != 0)
        buf_printf(error_text, "cannot start the threads of the disk: %s", strerror(code));
    return code == 0 ? 0 : ERR_IO;
}

int disk_posix_open(const struct disk_posix_options *options, struct disk **ret_disk,
                    struct buf *error_text)
{
    struct posix *posix = mem_zero(sizeof(*posix));
    posix->dir.fd = posix->dir.lock_fd = posix->log_dir = -1;
    for (uint32_t i = 0; i < SLOTS_AT_MOST; i++)
        posix->fds[i] = -1;
    pthread_mutex_init(&posix->mutex, NULL);
    pthread_cond_init(&posix->idle, NULL);
    int error = open_all(posix, options, error_text);
    if (error) {
        posix_free(posix);
        return error;
    }
    *ret_disk = &posix->first->disk;
    return 0;
}
