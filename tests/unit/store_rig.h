/* What the tests of the store share: a store over a disk in memory, one operation at a time, and
 * the last completion kept by value. */
#ifndef STORE_RIG_H
#define STORE_RIG_H

#include <criterion/criterion.h>
#include <stdio.h>

#include "data/id.h"
#include "store/disk_mem.h"
#include "store/store.h"

enum { RIG_TOKENS = 64 };

struct rig {
    struct disk *disk;
    struct store *store;
    struct store_options options;
    struct store_recovered recovered;
    struct buf error_text;
    struct store_done done; /* Its object and entries are copied. */
    struct arena arena;
    uint32_t completions;
    uint64_t tokens[RIG_TOKENS]; /* Of the last ones, by their number. */
    uint64_t written;
    uint64_t synced;
    bool failed;
    char failed_text[128];
    struct moment now;
};

enum { RIG_RANGE_BITS = 6, RIG_TREE_BITS = 10, RIG_SEED = 99 };

static inline void rig_done(void *arg, const struct store_done *done)
{
    struct rig *rig = arg;
    arena_reset(&rig->arena);
    rig->tokens[rig->completions++ % RIG_TOKENS] = done->token;
    rig->done = *done;
    rig->done.object = arena_copy(&rig->arena, done->object);
    struct entry *entries = arena_alloc(&rig->arena, (done->entries_count + 1) * sizeof(*entries));
    for (uint32_t i = 0; i < done->entries_count; i++) {
        const struct entry *entry = &done->entries[i];
        entries[i] = (struct entry){entry->hash, arena_copy(&rig->arena, entry->bucket),
                                    arena_copy(&rig->arena, entry->key),
                                    arena_copy(&rig->arena, entry->object)};
    }
    rig->done.entries = entries;
}

static inline void rig_durable(void *arg, uint64_t written, uint64_t synced)
{
    struct rig *rig = arg;
    cr_assert(written >= rig->written && synced >= rig->synced && synced <= written);
    rig->written = written;
    rig->synced = synced;
}

static inline void rig_failed(void *arg, const char *text)
{
    struct rig *rig = arg;
    rig->failed = true;
    snprintf(rig->failed_text, sizeof(rig->failed_text), "%s", text);
}

static inline void rig_options(struct rig *rig)
{
    rig->options.done = rig_done;
    rig->options.durable = rig_durable;
    rig->options.failed = rig_failed;
    rig->options.arg = rig;
    rig->options.range_bits = RIG_RANGE_BITS;
    rig->options.hash_seed = RIG_SEED;
    rig->options.tree_bits = RIG_TREE_BITS;
    rig->written = rig->synced = 0;
    rig->failed = false;
}

/* 0 or the error of store_open. */
static inline int rig_open(struct rig *rig)
{
    rig_options(rig);
    buf_clear(&rig->error_text);
    rig->store = NULL;
    int error =
        store_open(&rig->options, rig->disk, &rig->store, &rig->recovered, &rig->error_text);
    if (error != 0) /* Shown by Criterion if the test did not expect it. */
        fprintf(stderr, "store_open: %.*s\n", (int)rig->error_text.size,
                (const char *)rig->error_text.data);
    if (error == 0)
        rig->written = rig->synced = rig->recovered.position;
    return error;
}

static inline void rig_start(struct rig *rig, uint64_t segment_size)
{
    *rig = (struct rig){0};
    rig->disk = disk_mem_new(&(struct disk_mem_options){.segment_size = segment_size});
    cr_assert_eq(rig_open(rig), 0);
}

static inline void rig_close(struct rig *rig)
{
    if (rig->store)
        store_close(rig->store);
    rig->store = NULL;
}

/* In good order, with all the time that it takes. */
static inline void rig_stop(struct rig *rig)
{
    store_stop(rig->store);
    for (int i = 0; i < 1000 && !store_stopped(rig->store); i++) {
        rig->now.us += 1000 * 1000;
        store_flush(rig->store);
        store_poll(rig->store, rig->now);
    }
    cr_assert(store_stopped(rig->store));
}

/* Bring everything to the engine and come back with an empty memtable. */
static inline void rig_settle(struct rig *rig)
{
    rig_stop(rig);
    rig_close(rig);
    cr_assert_eq(rig_open(rig), 0);
}

static inline void rig_end(struct rig *rig)
{
    rig_close(rig);
    disk_close(rig->disk);
    buf_done(&rig->error_text);
    arena_done(&rig->arena);
}

/* The end of a tick: flush and take what completes. */
static inline void rig_tick(struct rig *rig)
{
    store_flush(rig->store);
    rig->now.us += 1000;
    store_poll(rig->store, rig->now);
}

static inline void rig_ticks(struct rig *rig, int count)
{
    while (count-- > 0)
        rig_tick(rig);
}

static inline int rig_submit(struct rig *rig, struct store_op op)
{
    uint32_t before = rig->completions;
    op.token = 7000 + before;
    store_submit(rig->store, &op);
    cr_assert_eq(rig->completions, before + 1);
    cr_assert_eq(rig->done.token, op.token);
    cr_assert_eq(rig->done.type, op.type);
    return rig->done.error;
}

static inline struct store_op rig_op(enum store_op_type type, const char *key)
{
    struct store_op op = {.type = type, .sync = true, .epoch = 1};
    op.bucket = slice_string("default");
    op.key = slice_string(key);
    op.hash = key_hash(RIG_SEED, op.bucket, op.key);
    op.range = range_of(op.hash, RIG_RANGE_BITS);
    return op;
}

/* A blind put of policy newest; versions of one key need rising counters. */
static inline int rig_put(struct rig *rig, const char *key, const char *value, uint64_t counter)
{
    struct store_op op = rig_op(STORE_UPDATE, key);
    op.update = (struct update){.dot = {1, counter},
                                .hlc = counter << 16,
                                .policy = POLICY_NEWEST,
                                .blind = true,
                                .value = slice_string(value)};
    return rig_submit(rig, op);
}

/* The value that KEY reads as, in the rig's arena; a slice without data if there is none. */
static inline struct slice rig_get(struct rig *rig, const char *key)
{
    if (rig_submit(rig, rig_op(STORE_READ, key)) != 0 || rig->done.object.size == 0)
        return SLICE_NONE;
    struct object object;
    cr_assert_eq(object_read(rig->done.object, UINT64_MAX, 0, &rig->arena, &object), 0);
    return object.siblings[0].value;
}

static inline bool rig_has(struct rig *rig, const char *key, const char *value)
{
    struct slice found = rig_get(rig, key);
    return value ? slice_equal(found, slice_string(value)) : found.data == NULL;
}

/* Tree, figures and data agree for every range; returns the number of keys. */
static inline uint64_t rig_verify(struct rig *rig)
{
    uint64_t keys = 0;
    for (uint32_t range = 0; range < 1u << RIG_RANGE_BITS; range++) {
        cr_assert_eq(rig_submit(rig, (struct store_op){.type = STORE_VERIFY, .range = range}), 0);
        struct store_verified verified = rig->done.verified;
        struct range_stat stat = store_range_stat(rig->store, range);
        cr_assert_eq(verified.digest_tree, verified.digest_data, "tree of range %u", range);
        if (verified.bad == 0) {
            cr_assert_eq(verified.keys, stat.keys, "keys of range %u", range);
            cr_assert_eq(verified.bytes, stat.bytes, "bytes of range %u", range);
        }
        keys += verified.keys;
    }
    return keys;
}

#endif
