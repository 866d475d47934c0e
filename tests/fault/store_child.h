/* What the fault tests of the store on real files share: a store, waited for. */
#ifndef STORE_CHILD_H
#define STORE_CHILD_H

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "data/id.h"
#include "store/disk_posix.h"
#include "store/store.h"

enum { RANGE_BITS = 6, RANGES = 1 << RANGE_BITS };

#define DEMAND(condition, ...)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                        \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fprintf(stderr, "\n");                                                                 \
            exit(3);                                                                               \
        }                                                                                          \
    } while (0)

struct child {
    struct disk *disk;
    struct store *store;
    struct store_recovered recovered;
    struct store_done done; /* Its object is copied. */
    struct buf object;
    struct buf error_text;
    uint64_t written;
    uint64_t synced;
    const char *failed;
};

static inline void child_done(void *arg, const struct store_done *done)
{
    struct child *child = arg;
    child->done = *done;
    buf_clear(&child->object);
    buf_append(&child->object, done->object);
    child->done.object = buf_slice(&child->object);
}

static inline void child_durable(void *arg, uint64_t written, uint64_t synced)
{
    struct child *child = arg;
    child->written = written;
    child->synced = synced;
}

static inline void child_failed(void *arg, const char *text)
{
    struct child *child = arg;
    child->failed = text;
}

static inline struct moment now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (struct moment){.us = (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000};
}

/* 0 or an error, with words in child->error_text. */
static inline int child_open(struct child *child, const struct disk_posix_options *disk,
                             struct store_options options)
{
    options.range_bits = RANGE_BITS;
    options.hash_seed = 99;
    options.done = child_done;
    options.durable = child_durable;
    options.failed = child_failed;
    options.arg = child;
    buf_clear(&child->error_text);
    int error = disk_posix_open(disk, &child->disk, &child->error_text);
    if (error)
        return error;
    error = store_open(&options, child->disk, &child->store, &child->recovered, &child->error_text);
    if (error)
        disk_close(child->disk);
    child->written = child->synced = child->recovered.position;
    return error;
}

static inline void child_close(struct child *child)
{
    store_close(child->store);
    disk_close(child->disk);
    buf_done(&child->object);
    buf_done(&child->error_text);
}

/* One turn of a host's loop: hand over, wait for the disk at most WAIT_MS, take what there is. */
static inline void child_turn(struct child *child, int wait_ms)
{
    struct pollfd fd = {.fd = disk_fd(child->disk), .events = POLLIN};
    store_flush(child->store);
    if (wait_ms > 0)
        poll(&fd, 1, wait_ms);
    store_poll(child->store, now());
}

static inline struct store_op child_op(enum store_op_type type, const char *key)
{
    struct store_op op = {.type = type, .epoch = 1};
    op.bucket = slice_string("default");
    op.key = slice_string(key);
    op.hash = key_hash(99, op.bucket, op.key);
    op.range = range_of(op.hash, RANGE_BITS);
    return op;
}

static inline int child_put(struct child *child, const char *key, uint64_t counter,
                            struct slice value, bool sync, bool tombstone)
{
    struct store_op op = child_op(STORE_UPDATE, key);
    op.sync = sync;
    op.update = (struct update){.dot = {1, counter},
                                .hlc = counter << 16,
                                .policy = POLICY_NEWEST,
                                .tombstone = tombstone,
                                .blind = true,
                                .value = value};
    child->done.token = 0;
    op.token = 1;
    store_submit(child->store, &op);
    while (child->done.token == 0) { /* It waits for what is not in memory. */
        disk_wait(child->disk);
        store_poll(child->store, now());
    }
    return child->done.error;
}

/* The counter of the version that KEY reads as, 0 if there is none. */
static inline uint64_t child_get(struct child *child, const char *key, struct arena *arena,
                                 struct slice *ret_value)
{
    struct store_op op = child_op(STORE_READ, key);
    struct object object;
    store_look(child->store, &op);
    DEMAND(child->done.error == 0, "reading %s: %s", key, error_word(child->done.error));
    if (child->done.object.size == 0)
        return 0;
    int error = object_decode(child->done.object, arena, &object);
    DEMAND(error == 0 && object.count == 1, "%s is no object", key);
    *ret_value = object.siblings[0].value;
    return object.siblings[0].dot.counter;
}

/* Tree, figures and data agree; returns the number of keys. */
static inline uint64_t child_verify(struct child *child)
{
    uint64_t keys = 0;
    for (uint32_t range = 0; range < RANGES; range++) {
        struct store_op op = {.type = STORE_VERIFY, .range = range};
        store_look(child->store, &op);
        const struct store_verified *verified = &child->done.verified;
        DEMAND(child->done.error == 0, "verifying range %u", range);
        DEMAND(verified->digest_tree == verified->digest_data, "tree of range %u", range);
        DEMAND(verified->bad == 0, "bad records in range %u", range);
        DEMAND(verified->keys == store_range_stat(child->store, range).keys, "keys of range %u",
               range);
        keys += verified->keys;
    }
    return keys;
}

#endif
