/* The log: one write at a time, all that came meanwhile is the next one. With SYNC_ALWAYS a thread
 * makes it, into blocks that are there already and with O_DSYNC, and says so through an eventfd;
 * with SYNC_INTERVAL the loop writes at the end of its turn and the thread only syncs. */
#include "floor.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { FILE_SIZE = 64 * 1024 * 1024, CHUNK = 1024 * 1024 };

static uint32_t interval_us;

static void put_out(struct log *log, struct buf *records)
{
    if (log->at + records->size > FILE_SIZE)
        log->at = 0;
    if (records->size > FILE_SIZE ||
        pwrite(log->fd, records->data, records->size, (off_t)log->at) != (ssize_t)records->size)
        fail("the log");
    log->at += records->size;
    buf_clear(records);
}

static void *write_for_ever(void *arg)
{
    struct log *log = arg;
    uint64_t one = 1;
    while (true) {
        (void)pthread_mutex_lock(&log->lock);
        while (!log->busy)
            (void)pthread_cond_wait(&log->work, &log->lock);
        (void)pthread_mutex_unlock(&log->lock);
        put_out(log, &log->writing);
        (void)pthread_mutex_lock(&log->lock);
        log->busy = false;
        log->done = true;
        (void)pthread_mutex_unlock(&log->lock);
        if (write(log->event, &one, sizeof(one)) != sizeof(one))
            fail("eventfd");
    }
    return NULL;
}

static void *sync_for_ever(void *arg)
{
    struct log *log = arg;
    while (true) {
        (void)usleep(interval_us);
        if (fdatasync(log->fd) != 0)
            fail("fdatasync");
    }
    return NULL;
}

static void take_done(struct floor *floor, struct conn *conn)
{
    uint64_t ignored = 0;
    if (read(conn->fd, &ignored, sizeof(ignored)) != sizeof(ignored))
        return;
    floor->log.durable = floor->log.handed;
    floor->log.done = false;
    work_durable(floor);
}

void log_open(struct floor *floor, const char *path, enum sync sync, uint32_t interval_ms)
{
    struct log *log = &floor->log;
    pthread_t thread;
    log->sync = sync;
    interval_us = interval_ms * 1000;
    log->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct buf zeros = {0};
    memset(buf_reserve(&zeros, CHUNK), 0, CHUNK);
    for (off_t at = 0; at < FILE_SIZE; at += CHUNK) {
        if (pwrite(log->fd, zeros.data, CHUNK, at) != CHUNK)
            fail(path);
    }
    buf_done(&zeros);
    if (fsync(log->fd) != 0)
        fail(path);
    (void)close(log->fd);
    log->fd = open(path, O_RDWR | O_CLOEXEC | (sync == SYNC_ALWAYS ? O_DSYNC : 0));
    log->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (log->fd < 0 || log->event < 0)
        fail(path);
    struct conn *done = mem_zero(sizeof(*done));
    done->fd = log->event;
    done->take = take_done;
    loop_watch(floor, done);
    (void)pthread_mutex_init(&log->lock, NULL);
    (void)pthread_cond_init(&log->work, NULL);
    if (pthread_create(&thread, NULL, sync == SYNC_ALWAYS ? write_for_ever : sync_for_ever, log) !=
        0)
        fail("pthread_create");
}

uint64_t log_append(struct log *log, struct slice bytes)
{
    uint32_t size = (uint32_t)bytes.size;
    uint8_t *room = buf_reserve(&log->filling, sizeof(size) + bytes.size);
    memcpy(room, &size, sizeof(size));
    memcpy(room + sizeof(size), bytes.data, bytes.size);
    log->filling.size += sizeof(size) + bytes.size;
    return ++log->filled;
}

/* Hand all that came to the thread, unless it is still at the last write. */
static void hand_over(struct log *log)
{
    (void)pthread_mutex_lock(&log->lock);
    /* The loop alone unsets `done`: until then `handed` says what that write held. */
    if (!log->busy && !log->done) {
        struct buf records = log->writing;
        log->writing = log->filling;
        log->filling = records;
        log->handed = log->filled;
        log->busy = true;
        (void)pthread_cond_signal(&log->work);
    }
    (void)pthread_mutex_unlock(&log->lock);
}

void log_flush(struct floor *floor)
{
    struct log *log = &floor->log;
    if (log->filling.size == 0)
        return;
    if (log->sync == SYNC_ALWAYS) {
        hand_over(log);
        return;
    }
    /* Nobody waits for the disk: what is written counts, in this very turn. */
    put_out(log, &log->filling);
    log->durable = log->filled;
    work_durable(floor);
}
