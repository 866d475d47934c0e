/* A store under a naive model: random operations, and what must be there after the store was opened
 * again. Shared by the tests of one store and of several over one disk. */
#ifndef STORE_TRIAL_H
#define STORE_TRIAL_H

#include "store_rig.h"

enum {
    KEYS = 48,
    LONG_KEYS = 4, /* The last ones are past the engine's limit. */
    METAS = 6,
    RANGES = 1 << RIG_RANGE_BITS,
    OPS_MAX = 400,
    CHUNK_MAX = 6,
    CROWDED_RANGE = 5, /* Of those of the store. */
};

enum change_kind { CHANGE_OBJECT, CHANGE_META, CHANGE_INSTALL, CHANGE_DROP };

/* What one position did. */
struct change {
    enum change_kind kind;
    uint64_t position;
    uint32_t what; /* Key, meta or range. */
    uint64_t epoch;
    struct buf bytes; /* The object or value after it. */
};

struct model {
    struct buf objects[KEYS];
    struct buf metas[METAS];
    uint64_t epochs[RANGES];
};

struct trial {
    uint64_t seed;
    struct prng prng;
    struct rig rig;
    struct model base; /* As recovered. */
    struct model now;  /* With all changes of this life. */
    struct change changes[OPS_MAX];
    uint32_t changes_count;
    uint64_t counter; /* Of dots and stamps; never reused. */
    char keys[KEYS][640];
};

static uint64_t seed_running; /* 0: none. */

static inline void tell_seed(void)
{
    signal(SIGABRT, SIG_DFL);
    if (seed_running != 0)
        fprintf(stderr, "to repeat: KVRING_SEED=%llu\n", (unsigned long long)seed_running);
}

static inline void tell_seed_at(int number)
{
    tell_seed();
    raise(number);
}

static inline uint64_t draw(struct trial *trial, uint64_t bound)
{
    return prng_below(&trial->prng, bound);
}

static inline void buf_set(struct buf *buf, struct slice bytes)
{
    buf_clear(buf);
    buf_append(buf, bytes);
}

static inline void model_copy(struct model *to, const struct model *from)
{
    for (uint32_t i = 0; i < KEYS; i++)
        buf_set(&to->objects[i], buf_slice(&from->objects[i]));
    for (uint32_t i = 0; i < METAS; i++)
        buf_set(&to->metas[i], buf_slice(&from->metas[i]));
    memcpy(to->epochs, from->epochs, sizeof(to->epochs));
}

static inline void model_done(struct model *model)
{
    for (uint32_t i = 0; i < KEYS; i++)
        buf_done(&model->objects[i]);
    for (uint32_t i = 0; i < METAS; i++)
        buf_done(&model->metas[i]);
}

static inline uint32_t range_of_key(const struct trial *trial, uint32_t key)
{
    return rig_op(STORE_READ, trial->keys[key]).range;
}

static inline void model_apply(const struct trial *trial, struct model *model,
                               const struct change *change)
{
    switch (change->kind) {
    case CHANGE_OBJECT:
        buf_set(&model->objects[change->what], buf_slice(&change->bytes));
        break;
    case CHANGE_META:
        buf_set(&model->metas[change->what], buf_slice(&change->bytes));
        break;
    case CHANGE_INSTALL:
        model->epochs[change->what] = MAX(model->epochs[change->what], change->epoch);
        break;
    case CHANGE_DROP:
        for (uint32_t i = 0; i < KEYS; i++)
            if (range_of_key(trial, i) == change->what)
                buf_clear(&model->objects[i]);
        break;
    }
}

static inline void record(struct trial *trial, enum change_kind kind, uint64_t position,
                          uint32_t what, uint64_t epoch, struct slice bytes)
{
    cr_assert(trial->changes_count < OPS_MAX);
    struct change *change = &trial->changes[trial->changes_count++];
    *change = (struct change){kind, position, what, epoch, {0}};
    buf_append(&change->bytes, bytes);
    model_apply(trial, &trial->now, change);
}

/* ------------------------------------------------------------------------------- Operations. */

/* A value that says whose it is, of any length. */
static inline struct slice draw_value(struct trial *trial, char value[1024])
{
    int size = snprintf(value, 1024, "%llu.", (unsigned long long)trial->counter);
    uint64_t length = draw(trial, 8) == 0 ? draw(trial, 900) : draw(trial, 60);
    memset(value + size, 'v', length);
    return slice_of(value, (size_t)size + length);
}

static inline struct update draw_update(struct trial *trial, uint64_t actor, char value[1024])
{
    trial->counter++;
    return (struct update){
        .dot = {actor, trial->counter},
        .hlc = trial->counter << 16,
        .policy = draw(trial, 3) == 0 ? POLICY_SIBLINGS : POLICY_NEWEST,
        .blind = true,
        .tombstone = draw(trial, 8) == 0,
        .value = draw_value(trial, value),
    };
}

/* May a write be refused just now? Then nothing happened. */
static inline bool is_refusal(int error)
{
    return error == ERR_BUSY || error == ERR_DISK_FULL || error == ERR_TOO_MANY_SIBLINGS;
}

static inline struct store_op key_op(struct trial *trial, enum store_op_type type, uint32_t key)
{
    struct store_op op = rig_op(type, trial->keys[key]);
    op.epoch = trial->now.epochs[op.range];
    op.sync = draw(trial, 3) != 0;
    return op;
}

static inline void do_update(struct trial *trial)
{
    char value[1024];
    uint32_t key = (uint32_t)draw(trial, KEYS);
    struct store_op op = key_op(trial, STORE_UPDATE, key);
    op.update = draw_update(trial, 1, value);
    if (op.update.tombstone)
        op.update.value = SLICE_NONE;
    struct buf expected = {0};
    int error = object_update(buf_slice(&trial->now.objects[key]), &op.update, &expected, NULL);
    int got = rig_submit(&trial->rig, op);
    if (got == 0) {
        cr_assert_eq(error, 0);
        cr_assert(slice_equal(trial->rig.done.object, buf_slice(&expected)));
        record(trial, CHANGE_OBJECT, trial->rig.done.position, key, 0, buf_slice(&expected));
    } else {
        cr_assert(is_refusal(got) || trial->rig.failed);
    }
    buf_done(&expected);
}

/* An object that another node might send: what we have and a version of its own, or that alone. */
static inline void draw_foreign(struct trial *trial, uint32_t key, struct buf *out)
{
    char value[1024];
    struct update update = draw_update(trial, 2 + draw(trial, 3), value);
    update.tombstone = false;
    struct slice base = SLICE_NONE;
    if (draw(trial, 2) == 0)
        base = buf_slice(&trial->now.objects[key]);
    if (object_update(base, &update, out, NULL) != 0)
        buf_append(out, base);
}

static inline void do_merge(struct trial *trial)
{
    uint32_t key = (uint32_t)draw(trial, KEYS);
    struct store_op op = key_op(trial, STORE_MERGE, key);
    struct buf foreign = {0};
    struct buf expected = {0};
    struct slice before = buf_slice(&trial->now.objects[key]);
    if (draw(trial, 5) == 0)
        buf_append(&foreign, before); /* Nothing new. */
    else
        draw_foreign(trial, key, &foreign);
    op.object = buf_slice(&foreign);
    object_merge(before, op.object, &expected);
    int error = rig_submit(&trial->rig, op);
    if (error == 0) {
        bool changed = !slice_equal(before, buf_slice(&expected));
        cr_assert_eq(trial->rig.done.changed, changed);
        if (changed) {
            cr_assert(slice_equal(trial->rig.done.object, buf_slice(&expected)));
            record(trial, CHANGE_OBJECT, trial->rig.done.position, key, 0, buf_slice(&expected));
        }
    } else {
        cr_assert(is_refusal(error) || trial->rig.failed);
    }
    buf_done(&foreign);
    buf_done(&expected);
}

/* Some keys and a meta in one: recovery shows all of it or nothing, for it has one position. */
static inline void do_chunk(struct trial *trial)
{
    struct buf foreign[CHUNK_MAX] = {0};
    struct entry entries[CHUNK_MAX];
    uint32_t keys[CHUNK_MAX];
    uint32_t count = 1 + (uint32_t)draw(trial, CHUNK_MAX);
    uint32_t first = (uint32_t)draw(trial, KEYS);
    for (uint32_t i = 0; i < count; i++) {
        keys[i] = (first + i) % KEYS;
        struct store_op op = rig_op(STORE_READ, trial->keys[keys[i]]);
        draw_foreign(trial, keys[i], &foreign[i]);
        entries[i] = (struct entry){op.hash, op.bucket, op.key, buf_slice(&foreign[i])};
    }
    uint32_t meta = (uint32_t)draw(trial, METAS);
    char name[8], value[32];
    snprintf(name, sizeof(name), "m%u", meta);
    snprintf(value, sizeof(value), "chunk %llu", (unsigned long long)++trial->counter);
    struct meta metas = {slice_string(name), slice_string(value)};
    struct store_op op = key_op(trial, STORE_CHUNK, first);
    op.batch.entries = entries;
    op.batch.entries_count = count;
    op.batch.metas = &metas;
    op.batch.metas_count = 1;
    int error = rig_submit(&trial->rig, op);
    cr_assert(error == 0 || is_refusal(error) || trial->rig.failed);
    for (uint32_t i = 0; i < count && error == 0; i++) {
        struct buf expected = {0};
        object_merge(buf_slice(&trial->now.objects[keys[i]]), buf_slice(&foreign[i]), &expected);
        record(trial, CHANGE_OBJECT, trial->rig.done.position, keys[i], 0, buf_slice(&expected));
        buf_done(&expected);
    }
    if (error == 0)
        record(trial, CHANGE_META, trial->rig.done.position, meta, 0, slice_string(value));
    for (uint32_t i = 0; i < CHUNK_MAX; i++)
        buf_done(&foreign[i]);
}

static inline void do_meta(struct trial *trial)
{
    uint32_t meta = (uint32_t)draw(trial, METAS);
    char name[8], value[200];
    snprintf(name, sizeof(name), "m%u", meta);
    int size = draw(trial, 4) == 0 ? 0
                                   : snprintf(value, sizeof(value), "%0*llu", (int)draw(trial, 150),
                                              (unsigned long long)++trial->counter);
    struct meta metas = {slice_string(name), slice_of(value, (size_t)size)};
    struct store_op op = {.type = STORE_META};
    op.batch.metas = &metas;
    op.batch.metas_count = 1;
    op.range = (uint32_t)draw(trial, RANGES);
    op.batch.install = draw(trial, 3) == 0;
    op.epoch = trial->now.epochs[op.range] + 1;
    int error = rig_submit(&trial->rig, op);
    cr_assert(error == 0 || trial->rig.failed);
    if (error)
        return;
    record(trial, CHANGE_META, trial->rig.done.position, meta, 0, metas.value);
    if (op.batch.install)
        record(trial, CHANGE_INSTALL, trial->rig.done.position, op.range, op.epoch, SLICE_NONE);
}

static inline void do_drop(struct trial *trial)
{
    struct store_op op = {.type = STORE_DROP};
    op.range = range_of_key(trial, (uint32_t)draw(trial, KEYS));
    int error = rig_submit(&trial->rig, op);
    cr_assert(error == 0 || trial->rig.failed);
    if (error == 0)
        record(trial, CHANGE_DROP, trial->rig.done.position, op.range, 0, SLICE_NONE);
}

static inline void do_read(struct trial *trial)
{
    uint32_t key = (uint32_t)draw(trial, KEYS);
    struct store_op op = key_op(trial, STORE_READ, key);
    if (rig_submit(&trial->rig, op) == 0)
        cr_assert(slice_equal(trial->rig.done.object, buf_slice(&trial->now.objects[key])),
                  "key %u", key);
    if (op.epoch == 0)
        return;
    op.epoch--;
    op.type = STORE_MERGE;
    op.object = SLICE_NONE;
    int error = rig_submit(&trial->rig, op);
    cr_assert(error == ERR_WRONG_EPOCH || trial->rig.failed);
}

static inline void do_disk(struct trial *trial)
{
    struct rig *rig = &trial->rig;
    if (draw(trial, 2) == 0)
        store_flush(rig->store);
    for (uint64_t i = draw(trial, 4); i > 0; i--)
        disk_mem_step(rig->disk, (enum disk_mem_queue)draw(trial, 2));
    rig->now.us += draw(trial, 100 * 1000);
    store_poll(rig->store, rig->now);
}

static inline void one_step(struct trial *trial)
{
    uint64_t chance = draw(trial, 100);
    if (chance < 35)
        do_update(trial);
    else if (chance < 45)
        do_merge(trial);
    else if (chance < 49)
        do_chunk(trial);
    else if (chance < 54)
        do_meta(trial);
    else if (chance < 56)
        do_drop(trial);
    else if (chance < 66)
        do_read(trial);
    else
        do_disk(trial);
}

/* -------------------------------------------------------------------------------- Checking. */

static inline void check_all(struct trial *trial)
{
    struct rig *rig = &trial->rig;
    const struct model *model = &trial->now;
    uint64_t keys = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        cr_assert_eq(rig_submit(rig, rig_op(STORE_READ, trial->keys[i])),
                     model->epochs[range_of_key(trial, i)] > 1 ? ERR_WRONG_EPOCH : 0);
        struct store_op op = rig_op(STORE_READ, trial->keys[i]);
        op.epoch = 0;
        cr_assert_eq(rig_submit(rig, op), 0);
        cr_assert(slice_equal(rig->done.object, buf_slice(&model->objects[i])), "key %u", i);
        keys += model->objects[i].size > 0;
    }
    cr_assert_eq(rig_verify(rig), keys);
    struct store_op scan = {.type = STORE_SCAN};
    scan.scan.to = UINT64_MAX;
    scan.scan.count_max = KEYS + 1;
    scan.scan.bytes_max = UINT32_MAX;
    cr_assert_eq(rig_submit(rig, scan), 0);
    cr_assert_eq(rig->done.entries_count, keys);
}

static inline void check_metas(struct trial *trial)
{
    const struct store_recovered *recovered = &trial->rig.recovered;
    uint32_t count = 0;
    for (uint32_t i = 0; i < METAS; i++) {
        char name[8];
        snprintf(name, sizeof(name), "m%u", i);
        struct slice value = SLICE_NONE;
        for (uint32_t m = 0; m < recovered->metas_count; m++)
            if (slice_equal(recovered->metas[m].key, slice_string(name)))
                value = recovered->metas[m].value;
        cr_assert(slice_equal(value, buf_slice(&trial->now.metas[i])), "meta %u", i);
        count += value.size > 0;
    }
    cr_assert_eq(recovered->metas_count, count);
}

static inline void forget_changes(struct trial *trial)
{
    for (uint32_t i = 0; i < trial->changes_count; i++)
        buf_done(&trial->changes[i].bytes);
    trial->changes_count = 0;
}

/* The model follows to where the log ended, which is at LEAST or after. */
static inline void trial_recovered(struct trial *trial, uint64_t least)
{
    struct rig *rig = &trial->rig;
    uint64_t end = rig->recovered.position - 1;
    /* Without the record of this start. */
    cr_assert(end >= least, "ends at %llu, acknowledged %llu", (unsigned long long)end,
              (unsigned long long)least);
    for (uint32_t i = 0; i < trial->changes_count; i++)
        if (trial->changes[i].position <= end)
            model_apply(trial, &trial->base, &trial->changes[i]);
    model_copy(&trial->now, &trial->base);
    forget_changes(trial);
    check_metas(trial);
    check_all(trial);
}

static inline void trial_done(struct trial *trial)
{
    forget_changes(trial);
    model_done(&trial->base);
    model_done(&trial->now);
}

/* Keys of STORE of so many STORES. Half of them lie in one range, so that dropping it takes several
 * transactions. */
static inline void trial_name_keys(struct trial *trial, uint32_t store, uint32_t stores)
{
    uint32_t crowded = store * RANGES / stores + CROWDED_RANGE;
    for (uint32_t i = 0; i < KEYS; i++) {
        char *name = trial->keys[i];
        uint32_t suffix = 0;
        struct store_op op;
        do {
            snprintf(name, sizeof(trial->keys[i]), "key%u.%u", i, suffix++);
            if (i >= KEYS - LONG_KEYS)
                memset(name + strlen(name), 'x', 600);
            op = rig_op(STORE_READ, name);
        } while (store_of_hash(op.hash, stores) != store || (i < KEYS / 2 && op.range != crowded));
    }
}

#endif
