/* Finding one record, and what a change of one record means for tree and figures. */
#include "store/store_private.h"

#include "base/rule.h"

struct slice engine_key(struct slice path, uint8_t ordinal, uint8_t scratch[ENGINE_KEY_DIGEST])
{
    if (path.size <= DISK_KEY_SIZE_MAX)
        return path;
    memcpy(scratch, path.data, 8);
    scratch[8] = 0; /* No bucket name is empty: no path has its zero here. */
    store_u64(scratch + 9, checksum64(path, 1));
    store_u64(scratch + 17, checksum64(path, 2));
    scratch[25] = ordinal;
    return slice_of(scratch, ENGINE_KEY_DIGEST);
}

struct slice engine_value(const struct cell *cell)
{
    if (cell->key_size > DISK_KEY_SIZE_MAX)
        return slice_of(cell->body, BODY_OVERHEAD + cell->key_size + (size_t)cell->object_size);
    return slice_of(cell->body + 4 + cell->key_size, 8 + (size_t)cell->object_size);
}

bool engine_parse(struct slice key, struct slice value, struct slice *ret_path,
                  struct slice *ret_object)
{
    *ret_path = key;
    *ret_object = SLICE_NONE;
    if (engine_key_is_digest(key)) {
        uint8_t scratch[ENGINE_KEY_DIGEST];
        return body_parse(value, ret_path, ret_object) &&
               slice_equal(engine_key(*ret_path, key.data[ENGINE_KEY_DIGEST - 1], scratch), key);
    }
    if (value.size < 8)
        return false;
    struct slice object = slice_of(value.data + 8, value.size - 8);
    if (RULE(BAD_NOT_SERVED) && load_u64(value.data) != body_checksum(key, object))
        return false;
    *ret_object = object;
    return true;
}

bool engine_path(struct slice key, struct slice value, struct slice *ret_path)
{
    uint64_t hash;
    struct slice bucket;
    struct slice client_key;
    uint8_t scratch[ENGINE_KEY_DIGEST];
    if (!engine_key_is_digest(key)) {
        *ret_path = key;
        return key_parse(key, &hash, &bucket, &client_key);
    }
    if (value.size < BODY_OVERHEAD)
        return false;
    size_t size = load_u32(value.data);
    if (size <= DISK_KEY_SIZE_MAX || size > value.size - BODY_OVERHEAD)
        return false;
    *ret_path = slice_of(value.data + 4, size);
    return slice_equal(engine_key(*ret_path, key.data[ENGINE_KEY_DIGEST - 1], scratch), key);
}

bool path_is_sound(uint64_t seed, struct slice path)
{
    uint64_t hash;
    struct slice bucket;
    struct slice key;
    return key_parse(path, &hash, &bucket, &key) && key_hash(seed, bucket, key) == hash;
}

bool engine_key_is_sound(uint64_t seed, struct slice key, struct slice value)
{
    struct slice path;
    if (engine_key_is_digest(key) && value.data == NULL)
        return true;
    if (!RULE(HOLE_NOTICED) || !RULE(HOLE_STAYS_WIDE))
        return true;
    return engine_path(key, value, &path) && path_is_sound(seed, path);
}

int engine_find(struct store *store, enum disk_table table, struct slice path,
                uint8_t scratch[ENGINE_KEY_DIGEST], struct slice *ret_key, struct slice *ret_value)
{
    store->reading = true;
    for (uint32_t ordinal = 0; ordinal <= UINT8_MAX; ordinal++) {
        *ret_key = engine_key(path, (uint8_t)ordinal, scratch);
        int error = disk_get(store->disk, table, *ret_key, ret_value);
        if (error == DISK_COLD)
            cold_note(&store->cold, table, *ret_key, 1);
        else
            store->reads_disk++;
        if (error || path.size <= DISK_KEY_SIZE_MAX)
            return error;
        struct slice other;
        struct slice object;
        if (!engine_parse(*ret_key, *ret_value, &other, &object) || slice_equal(path, other))
            return 0;
    }
    return ERR_IO;
}

static void found_cell(struct found *found, struct cell *cell)
{
    *found = (struct found){.object = cell_object(cell),
                            .cell = cell,
                            .digest = cell->digest,
                            .bytes = cell_bytes(cell),
                            .position = cell->position};
}

/* Nothing is there, unless it is not known what was: where the key lies in a hole, or in one that
 * could not be NOTED for want of room. */
static int found_nothing(struct store *store, uint64_t hash, struct slice path, bool unnoted,
                         struct found *found)
{
    if (store->holes.count == 0 && store->damages.count == 0 && !unnoted)
        return 0;
    const struct hole *hole = holes_at(store, hash);
    if ((hole == NULL && !unnoted) || !RULE(HOLE_HIDES)) {
        /* What was written in a hole, and lost there again, may outlive it. */
        found->damage = damage_find(store, hash, path);
        if (found->damage && !found->damage->written) {
            damage_dismiss(store, found->damage);
            found->damage = NULL;
        }
        return 0;
    }
    found->bad = true;
    found->hole = hole == NULL ? UINT64_MAX : hole->number;
    found->damage = damage_find(store, hash, path);
    if (found->damage) /* What was written over an earlier loss is lost as well. */
        found->damage = damage_note(store, hash, path);
    return 0;
}

void store_expect(const struct store *store, uint64_t hash)
{
    if (store->range_bits == 0)
        return;
    memtable_fetch_chain(store->active, hash);
    if (store->frozen)
        memtable_fetch_chain(store->frozen, hash);
    tree_fetch(&store->tree, hash);
    const struct range_state *range = &store->ranges[range_of(hash, store->range_bits)];
    fetch_lines(range, sizeof(*range) / FETCH_LINE + 1);
}

void store_expect_next(const struct store *store, uint64_t hash)
{
    memtable_fetch_cell(store->active, hash);
    if (store->frozen)
        memtable_fetch_cell(store->frozen, hash);
}

int store_find(struct store *store, uint64_t hash, struct slice path, struct found *ret_found)
{
    struct cell *cell = memtable_find(store->active, hash, path);
    if (!cell && store_sees_frozen(store, hash))
        cell = memtable_find(store->frozen, hash, path);
    if (cell) {
        store->reads_memory++;
        found_cell(ret_found, cell);
        ret_found->damage = damage_find(store, hash, path);
        return 0;
    }
    *ret_found = (struct found){.position = store->checkpoint.mark.freeze.position};
    if (!store_sees_engine(store, hash))
        return 0;
    uint8_t scratch[ENGINE_KEY_DIGEST];
    struct slice key;
    struct slice value;
    uint64_t overflow = store->holes.overflow;
    int error = engine_find(store, DISK_OBJECTS, path, scratch, &key, &value);
    if (error == ERR_NOT_FOUND)
        error = holes_missed(store, key, &value);
    if (error == ERR_NOT_FOUND)
        return found_nothing(store, hash, path, store->holes.overflow != overflow, ret_found);
    if (error)
        return error;
    struct slice other;
    ret_found->damage = damage_find(store, hash, path);
    if (engine_parse(key, value, &other, &ret_found->object)) {
        ret_found->bytes = (uint32_t)(path.size + ret_found->object.size);
        if (ret_found->damage && !ret_found->damage->written) {
            damage_dismiss(store, ret_found->damage);
            ret_found->damage = NULL;
        }
        return 0;
    }
    ret_found->bad = true;
    ret_found->damage = damage_note(store, hash, path);
    size_t overhead = engine_key_is_digest(key) ? BODY_OVERHEAD + path.size : 8;
    ret_found->bytes = (uint32_t)(path.size + (value.size > overhead ? value.size - overhead : 0));
    return 0;
}

uint64_t found_digest(const struct found *found, uint64_t hash, struct slice bucket,
                      struct slice key)
{
    if (found->cell)
        return found->digest;
    return found->object.size == 0 ? 0 : object_digest(hash, bucket, key, found->object);
}

bool store_is_delete(struct store *store, struct slice object)
{
    struct object decoded;
    arena_reset(&store->arena);
    if (object_decode(object, &store->arena, &decoded) != 0)
        return false;
    for (uint32_t i = 0; i < decoded.count; i++)
        if (!decoded.siblings[i].tombstone)
            return false;
    return true;
}

void store_place(struct memtable *table, struct cell *cell)
{
    struct cell *old = memtable_put(table, cell);
    if (!old)
        return;
    cell->base_digest = old->base_digest;
    cell->base_bytes = old->base_bytes;
    cell_free(old);
}

void store_account(struct store *store, uint64_t hash, uint64_t delta, uint32_t bytes_before,
                   uint32_t bytes_after)
{
    ASSERT(!store->log.shared || store_has(store, hash));
    tree_update(&store->tree, hash, delta, 0);
    struct range_stat *stat = &store_range_of(store, hash)->stat;
    uint64_t more_bytes = (uint64_t)bytes_after - bytes_before;
    uint64_t more_keys = (uint64_t)(bytes_after != 0) - (bytes_before != 0);
    stat->bytes += more_bytes;
    stat->keys += more_keys;
    store->bytes += more_bytes;
    store->keys += more_keys;
}

void tree_clear_range(struct tree *tree, uint32_t range, uint32_t range_bits)
{
    uint64_t *leaf = tree->leaves + ((size_t)range << (tree->bits - range_bits));
    uint64_t *end = leaf + ((size_t)1 << (tree->bits - range_bits));
    for (; leaf < end; leaf++) /* Leaves that nobody wrote to cost no memory: keep it so. */
        if (*leaf != 0)
            *leaf = 0;
}

void store_forget(struct store *store, uint32_t range, uint64_t position)
{
    struct range_state *state = &store->ranges[range];
    memtable_remove(store->active, range_first(range, store->range_bits),
                    range_last(range, store->range_bits));
    store->keys -= state->stat.keys;
    store->bytes -= state->stat.bytes;
    state->dropped = position;
    damage_forget(store, range);
    holes_forget(store, range);
    dead_clear(&state->dead, &store->dead_entries);
    if (state->horizon != 0)
        store_set_horizon(store, range, 0);
    if (position > store->checkpoint.mark.drops) {
        tree_clear_range(&store->tree, range, store->range_bits);
        state->stat = (struct range_stat){0};
        return;
    }
    /* Replay of a drop that the engine has carried out: what it holds now came later. */
    size_t leaves = (size_t)1 << (store->tree.bits - store->range_bits);
    size_t first = range * leaves;
    for (size_t i = first; i < first + leaves; i++)
        if (store->tree.leaves[i] != store->tree_stored.leaves[i])
            store->tree.leaves[i] = store->tree_stored.leaves[i];
    state->stat = state->stored;
    store->keys += state->stat.keys;
    store->bytes += state->stat.bytes;
}

int store_epoch_compare(const struct range_state *state, uint32_t fork, uint64_t nonce,
                        uint64_t epoch)
{
    if (fork != state->fork)
        return fork < state->fork ? -1 : 1;
    if (nonce != state->nonce && RULE(FORKS_BY_NONCE))
        return nonce > state->nonce ? -1 : 1;
    return (epoch > state->epoch) - (epoch < state->epoch);
}

void store_epoch_write(struct buf *out, uint32_t fork, uint64_t nonce, uint64_t epoch)
{
    write_u32(out, fork);
    if (fork > 0)
        write_u64(out, nonce);
    write_u64(out, epoch);
}

void store_install(struct store *store, uint32_t range, uint32_t fork, uint64_t nonce,
                   uint64_t epoch)
{
    struct range_state *state = &store->ranges[range];
    if (store_epoch_compare(state, fork, nonce, epoch) <= 0)
        return;
    state->fork = fork;
    state->nonce = nonce;
    state->epoch = epoch;
    struct buf value = {0};
    uint8_t key[6] = {0, META_OWN_EPOCH};
    store_u32(key + 2, range);
    store_epoch_write(&value, fork, nonce, epoch);
    metas_set(&store->metas, slice_of(key, sizeof(key)), buf_slice(&value), true);
    buf_done(&value);
}

void store_set_horizon(struct store *store, uint32_t range, uint64_t horizon)
{
    store->ranges[range].horizon = horizon;
    struct buf value = {0};
    uint8_t key[6] = {0, META_OWN_HORIZON};
    store_u32(key + 2, range);
    if (horizon != 0)
        write_u64(&value, horizon);
    metas_set(&store->metas, slice_of(key, sizeof(key)), buf_slice(&value), true);
    buf_done(&value);
}
