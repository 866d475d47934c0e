/* The threads of the posix disk. Each takes all that was handed to it, does it in order, and puts
 * each completion on the list of whoever handed it over, which its disk_poll empties. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

#include "store/disk_posix_private.h"

enum {
    GATHER_COUNT = 256, /* Writes joined in one call. */
    ZEROS_SIZE = 1 << 20,
    ZEROS_SYNC_EVERY = 4 << 20,
    WHAT_SIZE = 64,
};

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

static void ring(const struct posix_disk *disk)
{
    uint64_t one = 1;
    while (write(disk->event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
}

/* Under the mutex. */
static void completion_add(struct posix_disk *disk, struct completion *completion, bool counted)
{
    *disk->done_last = completion;
    disk->done_last = &completion->next;
    if (!counted)
        return;
    disk->outstanding--;
    if (disk->outstanding == 0)
        pthread_cond_broadcast(&disk->posix->idle);
}

void threads_tell(struct posix_disk *disk, struct disk_event event, bool counted)
{
    struct completion *completion = mem_zero(sizeof(*completion));
    completion->event = event;
    pthread_mutex_lock(&disk->posix->mutex);
    completion_add(disk, completion, counted);
    pthread_mutex_unlock(&disk->posix->mutex);
    ring(disk);
}

/* A list of several disks' completions; each of these is rung once. */
static void complete(struct posix *posix, struct completion *list)
{
    bool rings[STORES_MAX] = {0};
    pthread_mutex_lock(&posix->mutex);
    while (list) {
        struct completion *next = list->next;
        list->next = NULL;
        rings[list->of->disk.store] = true;
        completion_add(list->of, list, true);
        list = next;
    }
    pthread_mutex_unlock(&posix->mutex);
    for (struct disk *disk = &posix->first->disk; disk; disk = disk->next)
        if (rings[disk->store])
            ring((struct posix_disk *)disk);
}

static struct work *take(struct work_queue *queue)
{
    struct work *list = queue->first;
    queue->first = list && queue->shared ? list->next : NULL;
    if (!queue->first)
        queue->last = &queue->first;
    else
        list->next = NULL;
    return list;
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    struct posix *posix = worker->posix;
    pthread_mutex_lock(&posix->mutex);
    for (;;) {
        while (!worker->queue->first && !posix->stop)
            pthread_cond_wait(&worker->queue->wake, &posix->mutex);
        struct work *list = take(worker->queue);
        if (!list)
            break;
        pthread_mutex_unlock(&posix->mutex);
        worker->queue->work(posix, list);
        pthread_mutex_lock(&posix->mutex);
    }
    pthread_mutex_unlock(&posix->mutex);
    return NULL;
}

void threads_hand_over(struct posix_disk *disk, struct work_queue *queue, struct work work)
{
    struct posix *posix = disk->posix;
    struct work *copy = mem_alloc(sizeof(*copy));
    *copy = work;
    copy->of = disk;
    pthread_mutex_lock(&posix->mutex);
    bool asleep = queue->first == NULL || queue->shared;
    *queue->last = copy;
    queue->last = &copy->next;
    disk->outstanding++;
    pthread_mutex_unlock(&posix->mutex);
    if (asleep)
        pthread_cond_signal(&queue->wake);
}

static void queue_init(struct work_queue *queue, bool shared,
                       void (*work)(struct posix *posix, struct work *list))
{
    pthread_cond_init(&queue->wake, NULL);
    queue->last = &queue->first;
    queue->shared = shared;
    queue->work = work;
}

/* Signals are the host's business: the threads take none. */
static int worker_start(struct posix *posix, struct worker *worker, struct work_queue *queue,
                        const char *name)
{
    sigset_t all;
    sigset_t before;
    worker->posix = posix;
    worker->queue = queue;
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
            bool written = list->type == WORK_WRITE;
            completion->of = list->of;
            completion->event =
                (struct disk_event){.type = written ? DISK_LOG_WRITTEN : DISK_LOG_SYNCED,
                                    .error = text ? ERR_IO : 0,
                                    .text = text};
            *last = completion;
            last = &completion->next;
            mem_free(list);
            list = next;
        }
        complete(posix, first);
    }
}

/* ---------------------------------------------------------------------------- Engine thread. */

void slot_name(uint32_t slot, char name[SLOT_NAME_SIZE])
{
    snprintf(name, SLOT_NAME_SIZE, "%04u", slot);
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

int slot_make(struct posix *posix, uint32_t slot)
{
    char name[SLOT_NAME_SIZE];
    if (slot >= SLOTS_AT_MOST)
        return ENOSPC;
    int fd = openat(posix->log_dir, "new", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    slot_name(slot, name);
    int code = fill(fd, posix->dir.segment_size);
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

static struct disk_event engine_prepare(struct posix *posix, uint32_t slot)
{
    struct disk_event event = {.type = DISK_SLOT_READY, .tag = slot};
    int code = slot_make(posix, slot);
    if (code == ENOSPC || code == EDQUOT) {
        event.error = ERR_DISK_FULL;
        event.text = "no room for a segment of the log";
    } else if (code != 0) {
        event.error = ERR_IO;
        event.text = failure(posix, "making a segment of the log", strerror(code));
    }
    return event;
}

static struct disk_event engine_apply(const struct posix_disk *disk, const struct work *work)
{
    struct disk_event event = {.type = DISK_APPLIED};
    event.error =
        lmdb_apply(disk->lmdb, &work->judge, work->items, work->count, &event.item, &event.text);
    if (event.error != ERR_IO)
        return event;
    char what[WHAT_SIZE] = "writing the database";
    if (disk->disk.stores > 1)
        snprintf(what, sizeof(what), "writing the database of store %u", disk->disk.store);
    event.text = failure(disk->posix, what, event.text);
    return event;
}

static void engine_work(struct posix *posix, struct work *list)
{
    while (list) {
        struct work *next = list->next;
        bool prepare = list->type == WORK_PREPARE;
        struct disk_event event =
            prepare ? engine_prepare(posix, list->slot) : engine_apply(list->of, list);
        threads_tell(list->of, event, true);
        mem_free(list);
        list = next;
    }
}

/* -------------------------------------------------------------------------------- Readers. */

/* What cannot be read is found by whoever reads it in earnest. */
static void reader_work(struct posix *posix, struct work *list)
{
    (void)posix;
    while (list) {
        struct work *next = list->next;
        lmdb_warm(list->of->lmdb, list->table, list->keys, list->count, list->records_max,
                  list->bytes_max);
        threads_tell(list->of, (struct disk_event){.type = DISK_WARMED, .tag = list->tag}, true);
        mem_free(list->keys);
        mem_free(list);
        list = next;
    }
}

/* ------------------------------------------------------------------------------ All of them. */

int threads_start(struct posix *posix)
{
    queue_init(&posix->writes, false, log_work);
    queue_init(&posix->reads, true, reader_work);
    for (uint32_t i = 0; i < posix->engines_count; i++)
        queue_init(&posix->applies[i], false, engine_work);
    int code = worker_start(posix, &posix->log, &posix->writes, "kvring-log");
    for (uint32_t i = 0; i < posix->engines_count && code == 0; i++)
        code = worker_start(posix, &posix->engines[i], &posix->applies[i], "kvring-engine");
    for (uint32_t i = 0; i < READERS && code == 0; i++)
        code = worker_start(posix, &posix->readers[i], &posix->reads, "kvring-reader");
    return code;
}

static void worker_stop(struct worker *worker)
{
    if (!worker->running)
        return;
    pthread_cond_broadcast(&worker->queue->wake);
    pthread_join(worker->thread, NULL);
}

void threads_stop(struct posix *posix)
{
    pthread_mutex_lock(&posix->mutex);
    posix->stop = true;
    pthread_mutex_unlock(&posix->mutex);
    worker_stop(&posix->log);
    for (uint32_t i = 0; i < ENGINES_MAX; i++)
        worker_stop(&posix->engines[i]);
    for (uint32_t i = 0; i < READERS; i++)
        worker_stop(&posix->readers[i]);
    struct work_queue *queues[ENGINES_MAX + 2] = {&posix->writes, &posix->reads};
    for (uint32_t i = 0; i < ENGINES_MAX; i++)
        queues[2 + i] = &posix->applies[i];
    for (size_t i = 0; i < ARRAY_SIZE(queues); i++)
        if (queues[i]->work != NULL)
            pthread_cond_destroy(&queues[i]->wake);
}
