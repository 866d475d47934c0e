/* What the store keeps in the engine beside objects: watermark, leaves, figures, metas. Each value
 * begins with a checksum over key and rest. */
#include "store/store_private.h"

#include "base/rule.h"

enum { STATE_FORMAT = 1, SCRATCH = 5, MARK_SIZE = 96 };

void store_ranges_init(struct store *store, uint32_t range_bits)
{
    ASSERT(store->range_bits == 0 && range_bits > 0 && range_bits <= store->tree.bits);
    ASSERT(1u << range_bits >= store->disk->stores);
    store->range_bits = range_bits;
    store->ranges = mem_zero(sizeof(*store->ranges) << range_bits);
}

/* ---------------------------------------------------------------------------------- Writing. */

static struct slice state_key(struct arena *arena, char kind, uint32_t number)
{
    uint8_t *key = arena_alloc(arena, SCRATCH);
    key[0] = (uint8_t)kind;
    for (int i = 0; i < 4; i++)
        key[1 + i] = (uint8_t)(number >> (24 - 8 * i));
    return slice_of(key, SCRATCH);
}

/* An item of TABLE whose value is SIZE bytes to be filled in after the checksum: then seal it. */
static uint8_t *item_begin(struct disk_item *item, enum disk_table table, struct slice key,
                           size_t size, struct arena *arena)
{
    uint8_t *value = arena_alloc(arena, 8 + size);
    *item = (struct disk_item){.table = table, .key = key, .value = slice_of(value, 8 + size)};
    return value + 8;
}

static struct disk_item item_seal(struct disk_item item, uint8_t *payload)
{
    store_u64(payload - 8, body_checksum(item.key, slice_of(payload, item.value.size - 8)));
    return item;
}

static uint8_t *put(uint8_t *at, uint64_t value)
{
    store_u64(at, value);
    return at + 8;
}

static uint8_t *put_point(uint8_t *at, const struct log_point *point)
{
    at = put(at, point->segment);
    at = put(at, point->offset);
    at = put(at, point->position);
    store_u32(at, point->run);
    return at + 4;
}

struct disk_item state_mark_item(const struct store *store, const struct watermark *mark,
                                 struct arena *arena)
{
    struct disk_item item;
    uint8_t *payload = item_begin(&item, DISK_STATE, state_key(arena, 'w', 0), MARK_SIZE, arena);
    memset(payload, 0, MARK_SIZE);
    uint8_t *at = payload;
    store_u32(at, STATE_FORMAT);
    at[4] = (uint8_t)store->tree.bits;
    at[5] = mark->bound_all;
    at[6] = (uint8_t)store->range_bits;
    at[7] = (uint8_t)store->disk->store;
    at = put_point(at + 8, &mark->start);
    at = put_point(at, &mark->freeze);
    at = put(at, mark->bound);
    at = put(at, mark->drops);
    at = put(at, mark->start.sequence);
    at = put(at, mark->freeze.sequence);
    ASSERT(at <= payload + MARK_SIZE);
    return item_seal(item, payload);
}

struct disk_item state_range_item(const struct store *store, uint32_t range, struct arena *arena)
{
    struct disk_item item;
    uint8_t *payload = item_begin(&item, DISK_STATE, state_key(arena, 's', range), 16, arena);
    store_u64(payload, store->ranges[range].stored.keys);
    store_u64(payload + 8, store->ranges[range].stored.bytes);
    return item_seal(item, payload);
}

struct disk_item state_leaves_item(const struct store *store, uint32_t group, struct arena *arena)
{
    struct disk_item item;
    uint8_t *payload =
        item_begin(&item, DISK_STATE, state_key(arena, 't', group), LEAF_GROUP * 8, arena);
    const struct tree *tree = RULE(LEAVES_AS_OF_FREEZE) ? &store->tree_stored : &store->tree;
    const uint64_t *leaves = tree->leaves + (size_t)group * LEAF_GROUP;
    bool empty = true;
    for (uint32_t i = 0; i < LEAF_GROUP; i++) {
        store_u64(payload + (size_t)i * 8, leaves[i]);
        empty = empty && leaves[i] == 0;
    }
    item.remove = empty;
    return item_seal(item, payload);
}

struct disk_item state_meta_item(const struct meta *meta, struct arena *arena)
{
    struct disk_item item;
    uint8_t *payload = item_begin(&item, DISK_METAS, meta->key, meta->value.size, arena);
    if (meta->value.size > 0)
        memcpy(payload, meta->value.data, meta->value.size);
    item.remove = meta->value.size == 0;
    return item_seal(item, payload);
}

/* ---------------------------------------------------------------------------------- Loading. */

static int damaged(struct buf *error_text, const char *what)
{
    buf_printf(error_text, "the database is damaged: %s", what);
    return ERR_CORRUPT;
}

static bool value_parse(struct slice key, struct slice value, struct slice *ret_payload)
{
    if (value.size < 8)
        return false;
    *ret_payload = slice_of(value.data + 8, value.size - 8);
    return load_u64(value.data) == body_checksum(key, *ret_payload);
}

static struct log_point get_point(struct reader *reader)
{
    struct log_point point = {0};
    point.segment = read_u64(reader);
    point.offset = read_u64(reader);
    point.position = read_u64(reader);
    point.run = read_u32(reader);
    return point;
}

static int load_mark(struct store *store, struct slice payload, struct buf *error_text)
{
    struct reader reader = reader_of(payload);
    struct watermark *mark = &store->checkpoint.mark;
    uint32_t format = read_u32(&reader);
    uint32_t tree_bits = read_u8(&reader);
    mark->bound_all = read_u8(&reader) != 0;
    uint32_t range_bits = read_u8(&reader);
    uint32_t number = read_u8(&reader);
    mark->start = get_point(&reader);
    mark->freeze = get_point(&reader);
    mark->bound = read_u64(&reader);
    mark->drops = read_u64(&reader);
    mark->start.sequence = read_u64(&reader);
    mark->freeze.sequence = read_u64(&reader);
    if (reader.bad || format != STATE_FORMAT || tree_bits < 6 || tree_bits > TREE_BITS_MAX ||
        range_bits > MIN(tree_bits, 16u) || mark->start.offset > store->disk->segment_size)
        return damaged(error_text, "its watermark makes no sense");
    if (number != store->disk->store)
        return damaged(error_text, "it is another store's");
    tree_init(&store->tree, tree_bits);
    tree_init(&store->tree_stored, tree_bits);
    if (range_bits != 0)
        store_ranges_init(store, range_bits);
    return 0;
}

uint64_t state_log_own(struct store *store, struct slice key, struct slice value, bool more,
                       bool sync)
{
    struct buf *bytes = log_begin(&store->log);
    for (int i = 0; i < 17; i++) /* Installs nothing. */
        write_u8(bytes, 0);
    write_string(bytes, key);
    write_string(bytes, value);
    metas_set(&store->metas, key, value, true);
    return log_commit(&store->log, RECORD_METAS, more, sync);
}

int state_own_meta(struct store *store, struct slice key, struct slice value)
{
    struct reader reader = reader_of(value);
    if (key.size == 2 && key.data[1] == META_OWN_BITS) {
        uint32_t bits = read_u8(&reader);
        if (reader.bad || bits == 0 || bits > 16 || bits > store->tree.bits ||
            (store->range_bits != 0 && store->range_bits != bits))
            return ERR_CORRUPT;
        if (store->range_bits == 0)
            store_ranges_init(store, bits);
        return 0;
    }
    if (key.size > 1 && key.data[1] == META_OWN_DAMAGE)
        return damage_restore(store, key, value);
    if (key.size > 1 && key.data[1] == META_OWN_HOLE)
        return holes_restore(store, key, value);
    if (key.size != 6 || (key.data[1] != META_OWN_EPOCH && key.data[1] != META_OWN_HORIZON))
        return ERR_CORRUPT;
    uint32_t range = load_u32(key.data + 2);
    if (key.data[1] == META_OWN_HORIZON) {
        uint64_t horizon = value.size == 0 ? 0 : read_u64(&reader);
        if (reader.bad || range >= store_ranges_count(store))
            return ERR_CORRUPT;
        store->ranges[range].horizon = horizon;
        return 0;
    }
    uint32_t fork = read_u32(&reader);
    uint64_t nonce = fork > 0 ? read_u64(&reader) : 0;
    uint64_t epoch = read_u64(&reader);
    if (reader.bad || range >= store_ranges_count(store))
        return ERR_CORRUPT;
    store->ranges[range].fork = fork;
    store->ranges[range].nonce = nonce;
    store->ranges[range].epoch = epoch;
    return 0;
}

static int load_metas(struct store *store, struct buf *error_text)
{
    struct slice key;
    struct slice value;
    struct slice payload;
    uint8_t first = 0;
    int error = disk_seek(store->disk, DISK_METAS, slice_of(&first, 1), &key, &value);
    for (; error == 0; error = disk_next(store->disk, &key, &value)) {
        if (!value_parse(key, value, &payload))
            return damaged(error_text, "an entry of the node's own state has a bad checksum");
        metas_set(&store->metas, key, payload, false);
        if (key.data[0] == 0 && state_own_meta(store, key, payload) != 0)
            return damaged(error_text, "an entry of the store's own makes no sense");
    }
    return error == ERR_NOT_FOUND ? 0 : error;
}

static int load_record(struct store *store, struct slice key, struct slice value,
                       struct buf *error_text)
{
    struct slice payload;
    if (!value_parse(key, value, &payload) || key.size != SCRATCH)
        return damaged(error_text, "a record of the hash tree has a bad checksum");
    uint32_t number = (uint32_t)key.data[1] << 24 | (uint32_t)key.data[2] << 16 |
                      (uint32_t)key.data[3] << 8 | key.data[4];
    if (key.data[0] == 's' && number < store_ranges_count(store) && payload.size == 16) {
        store->ranges[number].stored.keys = load_u64(payload.data);
        store->ranges[number].stored.bytes = load_u64(payload.data + 8);
        return 0;
    }
    size_t leaves = (size_t)1 << store->tree_stored.bits;
    if (key.data[0] != 't' || number >= leaves / LEAF_GROUP || payload.size != LEAF_GROUP * 8)
        return key.data[0] == 'w' ? 0 : damaged(error_text, "a record of its state is unknown");
    for (uint32_t i = 0; i < LEAF_GROUP; i++)
        store->tree_stored.leaves[(size_t)number * LEAF_GROUP + i] =
            load_u64(payload.data + (size_t)i * 8);
    return 0;
}

/* What the data is now starts as what is stored; replay brings the rest. */
static void adopt_stored(struct store *store)
{
    size_t leaves = (size_t)1 << store->tree.bits;
    for (size_t i = 0; i < leaves; i++)
        if (store->tree_stored.leaves[i] != 0)
            store->tree.leaves[i] = store->tree_stored.leaves[i];
    for (uint32_t i = 0; i < store_ranges_count(store); i++) {
        store->ranges[i].stat = store->ranges[i].stored;
        store->keys += store->ranges[i].stat.keys;
        store->bytes += store->ranges[i].stat.bytes;
    }
}

int state_load(struct store *store, bool *ret_found, struct buf *error_text)
{
    struct slice key;
    struct slice value;
    struct slice payload;
    struct arena arena = {0};
    int error = disk_get(store->disk, DISK_STATE, state_key(&arena, 'w', 0), &value);
    *ret_found = error == 0;
    if (error == 0 && !value_parse(state_key(&arena, 'w', 0), value, &payload))
        error = damaged(error_text, "its watermark has a bad checksum");
    arena_done(&arena);
    if (error)
        return error == ERR_NOT_FOUND ? 0 : error;
    error = load_mark(store, payload, error_text);
    if (error == 0)
        error = load_metas(store, error_text);
    if (error)
        return error;
    error = disk_seek(store->disk, DISK_STATE, slice_of("", 1), &key, &value);
    for (; error == 0; error = disk_next(store->disk, &key, &value)) {
        error = load_record(store, key, value, error_text);
        if (error)
            return error;
    }
    if (error != ERR_NOT_FOUND)
        return error;
    adopt_stored(store);
    return 0;
}
