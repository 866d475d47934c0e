#include "store/disk_posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "store/disk_dir.h"
#include "store/disk_lmdb.h"

enum {
    SLOTS_AT_MOST = 4096,
    GATHER_COUNT = 256, /* Writes joined in one call. */
    TEXT_SIZE = 256,
    NAME_SIZE = 32,
    ZEROS_SIZE = 1 << 20,
    ZEROS_SYNC_EVERY = 4 << 20,
};

static const uint64_t segment_size_default = 64u << 20;

enum work_type { WORK_WRITE, WORK_SYNC, WORK_PREPARE, WORK_APPLY };

struct work {
    struct work *next;
    enum work_type type;
    bool sync;
    uint32_t slot;
    uint32_t count;
    uint64_t offset;
    struct slice bytes;
    const struct disk_item *items;
};

struct completion {
    struct completion *next;
    struct disk_event event;
};

struct posix;

/* One thread and what it is to do. */
struct worker {
    struct posix *posix;
    pthread_t thread;
    bool running;
    pthread_cond_t wake;
    struct work *first;
    struct work **last;
    void (*work)(struct posix *posix, struct work *list);
};

struct posix {
    struct disk disk;
    struct disk_dir dir;
    int log_dir;
    struct lmdb *lmdb;
    int fds[SLOTS_AT_MOST];    /* Of the slots; written before a slot is announced. */
    bool dirty[SLOTS_AT_MOST]; /* Of the log thread: written and not synced. */
    bool log_dirty;            /* Any of them; as well. */
    bool log_failed;           /* As well. */
    char text[TEXT_SIZE];      /* The first failure, in words. */
    bool text_set;
    int event_fd;
    pthread_mutex_t mutex;
    pthread_cond_t idle;
    uint32_t outstanding; /* Work handed over whose completion is not on the list yet. */
    bool stop;
    struct worker log;
    struct worker engine;
    struct completion *done; /* Filled by the threads. */
    struct completion **done_last;
    struct completion *taken; /* Of the polling thread. */
};

static struct posix *posix_of(struct disk *disk)
{
    return (struct posix *)disk;
}

/* --------------------------------------------------------------------------------- Threads. */

/* The first failure is the one to tell; later ones follow from it. */
static const char *failure(struct posix *posix, const char *what, const char *why)
{
    pthread_mutex_lock(&posix->mutex);
    if (!posix->text_set)
        snprintf(posix->text, sizeof(posix->text), "%s: %s", what, why);
    posix->text_set = true;
    pthread_mutex_unlock(&posix->mutex);
    return posix->text;
}

static void complete(struct posix *posix, struct completion *first, struct completion **last,
                     uint32_t count)
{
    if (count == 0)
        return;
    pthread_mutex_lock(&posix->mutex);
    *posix->done_last = first;
    posix->done_last = last;
    posix->outstanding -= count;
    if (posix->outstanding == 0)
        pthread_cond_broadcast(&posix->idle);
    pthread_mutex_unlock(&posix->mutex);
    uint64_t one = 1;
    while (write(posix->event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
}

static void complete_one(struct posix *posix, enum disk_event_type type, int error,
                         const char *text)
{
    struct completion *completion = mem_zero(sizeof(*completion));
    completion->event = (struct disk_event){type, error, text};
    complete(posix, completion, &completion->next, 1);
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    struct posix *posix = worker->posix;
    pthread_mutex_lock(&posix->mutex);
    for (;;) {
        while (!worker->first && !posix->stop)
            pthread_cond_wait(&worker->wake, &posix->mutex);
        struct work *list = worker->first;
        worker->first = NULL;
        worker->last = &worker->first;
        if (!list)
            break;
        pthread_mutex_unlock(&posix->mutex);
        worker->work(posix, list);
        pthread_mutex_lock(&posix->mutex);
    }
    pthread_mutex_unlock(&posix->mutex);
    return NULL;
}

static void hand_over(struct posix *posix, struct worker *worker, struct work work)
{
    struct work *copy = mem_alloc(sizeof(*copy));
    *copy = work;
    pthread_mutex_lock(&posix->mutex);
    bool asleep = worker->first == NULL;
    *worker->last = copy;
    worker->last = &copy->next;
    posix->outstanding++;
    pthread_mutex_unlock(&posix->mutex);
    if (asleep)
        pthread_cond_signal(&worker->wake);
}

/* Signals are the host's business: the threads take none. */
static int worker_start(struct posix *posix, struct worker *worker, const char *name,
                        void (*work)(struct posix *posix, struct work *list))
{
    sigset_t all;
    sigset_t before;
    worker->posix = posix;
    worker->work = work;
    worker->last = &worker->first;
    pthread_cond_init(&worker->wake, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&worker->thread, NULL, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    worker->running = code == 0;
    if (worker->running)
        pthread_setname_np(worker->thread, name);
    return code;
}

/* ------------------------------------------------------------------------------- Log thread. */

static const char *write_all(struct posix *posix, uint32_t slot, struct iovec *vector, int count,
                             uint64_t offset, bool dsync)
{
    while (count > 0) {
        ssize_t size =
            pwritev2(posix->fds[slot], vector, count, (off_t)offset, dsync ? RWF_DSYNC : 0);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return failure(posix, "writing the log", strerror(size < 0 ? errno : ENOSPC));
        offset += (uint64_t)size;
        while (count > 0 && (size_t)size >= vector->iov_len) {
            size -= (ssize_t)vector->iov_len;
            vector++;
            count--;
        }
        if (count > 0) {
            vector->iov_base = (uint8_t *)vector->iov_base + size;
            vector->iov_len -= (size_t)size;
        }
    }
    return NULL;
}

static const char *sync_dirty(struct posix *posix)
{
    for (uint32_t i = 0; posix->log_dirty && i < SLOTS_AT_MOST; i++) {
        if (!posix->dirty[i])
            continue;
        if (fdatasync(posix->fds[i]) != 0)
            return failure(posix, "syncing the log", strerror(errno));
        posix->dirty[i] = false;
    }
    posix->log_dirty = false;
    return NULL;
}

/* Write the run of contiguous writes that LIST begins with; returns what follows it. */
static struct work *write_run(struct posix *posix, struct work *list, const char **ret_text)
{
    struct iovec vector[GATHER_COUNT];
    int count = 0;
    bool sync = false;
    uint64_t end = list->offset;
    struct work *work = list;
    for (; work && work->type == WORK_WRITE && work->slot == list->slot && work->offset == end &&
           count < GATHER_COUNT;
         work = work->next) {
        vector[count].iov_base = (void *)(uintptr_t)work->bytes.data;
        vector[count++].iov_len = work->bytes.size;
        end += work->bytes.size;
        sync = sync || work->sync;
    }
    bool dsync = sync && !posix->log_dirty;
    *ret_text = write_all(posix, list->slot, vector, count, list->offset, dsync);
    if (*ret_text || dsync)
        return work;
    posix->dirty[list->slot] = posix->log_dirty = true;
    if (sync)
        *ret_text = sync_dirty(posix);
    return work;
}

static void log_work(struct posix *posix, struct work *list)
{
    while (list) {
        struct completion *first = NULL;
        struct completion **last = &first;
        uint32_t count = 0;
        const char *text = posix->log_failed ? posix->text : NULL;
        struct work *end = list->next;
        if (!text && list->type == WORK_WRITE)
            end = write_run(posix, list, &text);
        else if (!text)
            text = sync_dirty(posix);
        posix->log_failed = text != NULL;
        while (list != end) {
            struct work *next = list->next;
            struct completion *completion = mem_zero(sizeof(*completion));
            completion->event =
                (struct disk_event){list->type == WORK_WRITE ? DISK_LOG_WRITTEN : DISK_LOG_SYNCED,
                                    text ? ERR_IO : 0, text};
            *last = completion;
            last = &completion->next;
            count++;
            mem_free(list);
            list = next;
        }
        complete(posix, first, last, count);
    }
}

/* ---------------------------------------------------------------------------- Engine thread. */

static void slot_name(uint32_t slot, char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, "%04u", slot);
}

static int fill(int fd, uint64_t size)
{
    uint8_t *zeros = mem_zero(ZEROS_SIZE);
    int code = 0;
    for (uint64_t at = 0; at < size && code == 0;) {
        ssize_t written = write(fd, zeros, MIN(size - at, (uint64_t)ZEROS_SIZE));
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            code = written < 0 ? errno : ENOSPC;
        else
            at += (uint64_t)written;
        /* A little at a time, that syncs of the log need not wait for all of it. */
        if (code == 0 && (at % ZEROS_SYNC_EVERY == 0 || at == size) && fdatasync(fd) != 0)
            code = errno;
    }
    mem_free(zeros);
    return code;
}

/* Make one more slot: 0 or an errno. */
static int slot_make(struct posix *posix, uint32_t slot)
{
    char name[NAME_SIZE];
    if (slot >= SLOTS_AT_MOST)
        return ENOSPC;
    int fd = openat(posix->log_dir, "new", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    slot_name(slot, name);
    int code = fill(fd, posix->disk.segment_size);
    if (code == 0 && fsync(fd) != 0)
        code = errno;
    if (code == 0 && renameat(posix->log_dir, "new", posix->log_dir, name) != 0)
        code = errno;
    if (code == 0 && fsync(posix->log_dir) != 0)
        code = errno;
    if (code == 0) {
        posix->fds[slot] = fd;
        return 0;
    }
    unlinkat(posix->log_dir, "new", 0);
    close(fd);
    return code;
}

static void engine_prepare(struct posix *posix, uint32_t slot)
{
    int code = slot_make(posix, slot);
    if (code == 0)
        complete_one(posix, DISK_SLOT_READY, 0, NULL);
    else if (code == ENOSPC || code == EDQUOT)
        complete_one(posix, DISK_SLOT_READY, ERR_DISK_FULL, "no room for a segment of the log");
    else
        complete_one(posix, DISK_SLOT_READY, ERR_IO,
                     failure(posix, "making a segment of the log", strerror(code)));
}

static void engine_work(struct posix *posix, struct work *list)
{
    while (list) {
        struct work *next = list->next;
        if (list->type == WORK_PREPARE) {
            engine_prepare(posix, list->slot);
        } else {
            const char *text = NULL;
            int error = lmdb_apply(posix->lmdb, list->items, list->count, &text);
            if (error == ERR_IO)
                text = failure(posix, "writing the database", text);
            complete_one(posix, DISK_APPLIED, error, text);
        }
        mem_free(list);
        list = next;
    }
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
    struct posix *posix = posix_of(disk);
    hand_over(
        posix, &posix->log,
        (struct work){
            .type = WORK_WRITE, .slot = slot, .offset = offset, .bytes = bytes, .sync = sync});
}

static void posix_log_sync(struct disk *disk)
{
    struct posix *posix = posix_of(disk);
    hand_over(posix, &posix->log, (struct work){.type = WORK_SYNC});
}

static void posix_slot_prepare(struct disk *disk)
{
    struct posix *posix = posix_of(disk);
    hand_over(posix, &posix->engine, (struct work){.type = WORK_PREPARE, .slot = disk->slots});
}

static int posix_get(struct disk *disk, enum disk_table table, struct slice key,
                     struct slice *ret_value)
{
    return lmdb_get(posix_of(disk)->lmdb, table, key, ret_value);
}

static int posix_seek(struct disk *disk, enum disk_table table, struct slice key,
                      struct slice *ret_key, struct slice *ret_value)
{
    return lmdb_seek(posix_of(disk)->lmdb, table, key, ret_key, ret_value);
}

static int posix_next(struct disk *disk, struct slice *ret_key, struct slice *ret_value)
{
    return lmdb_next(posix_of(disk)->lmdb, ret_key, ret_value);
}

static void posix_release(struct disk *disk)
{
    lmdb_release(posix_of(disk)->lmdb);
}

static void posix_apply(struct disk *disk, const struct disk_item *items, uint32_t count)
{
    struct posix *posix = posix_of(disk);
    hand_over(posix, &posix->engine,
              (struct work){.type = WORK_APPLY, .items = items, .count = count});
}

/* Take over what the threads have completed. The eventfd is emptied first: what comes later rings
 * again. */
static void take_list(struct posix *posix)
{
    uint64_t rings;
    while (read(posix->event_fd, &rings, sizeof(rings)) < 0 && errno == EINTR)
        continue;
    pthread_mutex_lock(&posix->mutex);
    posix->taken = posix->done;
    posix->done = NULL;
    posix->done_last = &posix->done;
    pthread_mutex_unlock(&posix->mutex);
}

static bool posix_poll(struct disk *disk, struct disk_event *ret_event)
{
    struct posix *posix = posix_of(disk);
    if (!posix->taken)
        take_list(posix);
    struct completion *completion = posix->taken;
    if (!completion)
        return false;
    posix->taken = completion->next;
    *ret_event = completion->event;
    if (ret_event->type == DISK_SLOT_READY && ret_event->error == 0)
        disk->slots++;
    if (ret_event->type == DISK_APPLIED) /* A snapshot from before would miss what it brought. */
        lmdb_release(posix->lmdb);
    mem_free(completion);
    return true;
}

static void posix_wait(struct disk *disk)
{
    struct posix *posix = posix_of(disk);
    struct pollfd fd = {.fd = posix->event_fd, .events = POLLIN};
    if (posix->taken)
        return;
    while (poll(&fd, 1, -1) < 0 && errno == EINTR)
        continue;
}

static void posix_drain(struct disk *disk)
{
    struct posix *posix = posix_of(disk);
    pthread_mutex_lock(&posix->mutex);
    while (posix->outstanding > 0)
        pthread_cond_wait(&posix->idle, &posix->mutex);
    pthread_mutex_unlock(&posix->mutex);
    struct disk_event event;
    while (posix_poll(disk, &event))
        continue;
}

static void posix_space(struct disk *disk, struct disk_space *ret_space)
{
    struct posix *posix = posix_of(disk);
    struct statvfs stat;
    *ret_space = (struct disk_space){.file = lmdb_file_bytes(posix->lmdb),
                                     .reusable = lmdb_free_bytes(posix->lmdb)};
    if (fstatvfs(posix->dir.fd, &stat) != 0)
        return;
    ret_space->free = (uint64_t)stat.f_bavail * stat.f_frsize;
    ret_space->total = (uint64_t)stat.f_blocks * stat.f_frsize;
}

static int posix_fd(struct disk *disk)
{
    return posix_of(disk)->event_fd;
}

static void posix_close(struct disk *disk)
{
    struct posix *posix = posix_of(disk);
    struct worker *workers[] = {&posix->log, &posix->engine};
    pthread_mutex_lock(&posix->mutex);
    posix->stop = true;
    pthread_mutex_unlock(&posix->mutex);
    for (size_t i = 0; i < ARRAY_SIZE(workers); i++) {
        if (!workers[i]->running)
            continue;
        pthread_cond_signal(&workers[i]->wake);
        pthread_join(workers[i]->thread, NULL);
        pthread_cond_destroy(&workers[i]->wake);
    }
    struct disk_event event;
    while (posix->event_fd >= 0 && posix_poll(disk, &event))
        continue;
    lmdb_close(posix->lmdb);
    for (uint32_t i = 0; i < disk->slots; i++)
        close(posix->fds[i]);
    if (posix->log_dir >= 0)
        close(posix->log_dir);
    if (posix->event_fd >= 0)
        close(posix->event_fd);
    disk_dir_close(&posix->dir);
    pthread_mutex_destroy(&posix->mutex);
    pthread_cond_destroy(&posix->idle);
    mem_free(posix);
}

static const struct disk_operations operations = {
    .log_read = posix_log_read,
    .log_write = posix_log_write,
    .log_sync = posix_log_sync,
    .slot_prepare = posix_slot_prepare,
    .get = posix_get,
    .seek = posix_seek,
    .next = posix_next,
    .release = posix_release,
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
    char name[NAME_SIZE];
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
    if ((uint64_t)stat.st_size != posix->disk.segment_size) {
        buf_printf(error_text,
                   "%s/log/%s has %llu bytes instead of %llu: the log is damaged; restore it, or "
                   "replace this node by one with an empty directory",
                   posix->dir.path, name, (unsigned long long)stat.st_size,
                   (unsigned long long)posix->disk.segment_size);
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
    while (posix->disk.slots < SLOTS_AT_MOST &&
           (error = slot_open(posix, posix->disk.slots, error_text)) == 0)
        posix->disk.slots++;
    if (error != ERR_NOT_FOUND || posix->disk.slots > 0)
        return error == ERR_NOT_FOUND ? 0 : error;
    int code = slot_make(posix, 0);
    if (code == 0) {
        posix->disk.slots = 1;
        return 0;
    }
    buf_printf(error_text, "cannot make the first segment of the log in %s/log: %s",
               posix->dir.path, strerror(code));
    return code == ENOSPC || code == EDQUOT ? ERR_DISK_FULL : ERR_IO;
}

static int open_all(struct posix *posix, const struct disk_posix_options *options,
                    struct buf *error_text)
{
    uint64_t segment_size = options->segment_size ? options->segment_size : segment_size_default;
    ASSERT(segment_size % 4096 == 0);
    int error =
        disk_dir_open(&posix->dir, options->directory, segment_size, options->existing, error_text);
    if (error)
        return error;
    posix->disk.segment_size = posix->dir.segment_size;
    error = lmdb_open(options->directory, options->map_size, &posix->lmdb, error_text);
    if (error == 0)
        error = log_open(posix, error_text);
    if (error)
        return error;
    posix->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (posix->event_fd < 0 || worker_start(posix, &posix->log, "kvring-log", log_work) != 0 ||
        worker_start(posix, &posix->engine, "kvring-engine", engine_work) != 0) {
        buf_printf(error_text, "cannot start the threads of the disk: %s", strerror(errno));
        return ERR_IO;
    }
    return 0;
}

int disk_posix_open(const struct disk_posix_options *options, struct disk **ret_disk,
                    struct buf *error_text)
{
    struct posix *posix = mem_zero(sizeof(*posix));
    posix->disk.operations = &operations;
    posix->dir.fd = posix->dir.lock_fd = posix->log_dir = posix->event_fd = -1;
    posix->done_last = &posix->done;
    pthread_mutex_init(&posix->mutex, NULL);
    pthread_cond_init(&posix->idle, NULL);
    int error = open_all(posix, options, error_text);
    if (error) {
        posix_close(&posix->disk);
        return error;
    }
    *ret_disk = &posix->disk;
    return 0;
}
