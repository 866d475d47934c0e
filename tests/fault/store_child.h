/* What the fault tests of the store on real files share: a store, waited for; or several of one
 * directory. */
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

static inline struct store_options child_options(struct child *child, struct store_options options)
{
    options.range_bits = RANGE_BITS;
    options.hash_seed = 99;
    options.done = child_done;
    options.durable = child_durable;
    options.failed = child_failed;
    options.arg = child;
    return options;
}

/* All stores of a directory, DISK->stores of them: 0 or an error, with words in that of the first
 * child. */
static inline int children_open(struct child *children, const struct disk_posix_options *disk,
                                const struct store_options *options)
{
    struct store_options each[STORES_MAX];
    struct store *stores[STORES_MAX];
    struct store_recovered recovered[STORES_MAX];
    struct disk *first;
    buf_clear(&children->error_text);
    int error = disk_posix_open(disk, &first, &children->error_text);
    if (error)
        return error;
    uint32_t count = first->stores;
    DEMAND(count == (disk->stores ? disk->stores : 1), "%u stores", count);
    for (uint32_t i = 0; i < count; i++)
        each[i] = child_options(&children[i], *options);
    error = stores_open(each, first, stores, recovered, &children->error_text);
    for (uint32_t i = 0; i < count && error == 0; i++) {
        children[i].disk = disk_of_store(first, i);
        children[i].store = stores[i];
        children[i].recovered = recovered[i];
        children[i].written = children[i].synced = recovered[i].position;
    }
    if (error)
        disk_close(first);
    return error;
}

static inline void children_close(struct child *children, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        store_close(children[i].store);
        buf_done(&children[i].object);
        buf_done(&children[i].error_text);
    }
    disk_close(children->disk);
}

/* 0 or an error, with words in child->error_text. */
static inline int child_open(struct child *child, const struct disk_posix_options *disk,
                             struct store_options options)
{
    return children_open(child, disk, &options);
}

static inline void child_close(struct child *child)
{
    children_close(child, 1);
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

/* Is KEY of this store? */
static inline bool child_has(const struct child *child, const char *key)
{
    return store_of_hash(child_op(STORE_READ, key).hash, child->disk->stores) == child->disk->store;
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
