/* Records of an interval in order, merged from memtables and engine (store_private.h).
 *
 * The engine sorts as we do but for keys past its limit, which it has by digest: so its records are
 * taken one hash at a time and sorted here. Hashes are 64 bits: a group is one record but for the
 * rarest of accidents. */
#include <stdlib.h>

#include "store/store_private.h"

enum { WARM_RECORDS = 1024, WARM_RECORDS_ONE = 2 }; /* From where a walk has to wait. */

/* Of hints, what is lost is counted by whoever looks (hint_table.c). */
static void look_at_hint(struct engine_record *record)
{
    record->lost = false;
    record->bad = !engine_parse(record->key, record->value, &record->path, &record->object);
}

/* The engine was asked for what comes at or after KEY. */
static void engine_ahead(struct walk *walk, struct slice key, int error)
{
    if (error == 0 && walk->table == DISK_HINTS)
        look_at_hint(&walk->ahead_record);
    walk->ahead = error == 0;
    if (error == DISK_COLD)
        cold_note(&walk->store->cold, walk->table, key,
                  walk->single ? WARM_RECORDS_ONE : WARM_RECORDS);
    if (error != 0 && error != ERR_NOT_FOUND)
        walk->error = error;
}

static void engine_seek(struct walk *walk, uint64_t hash)
{
    uint8_t key[8];
    store_u64_be(key, hash);
    struct engine_record *record = &walk->ahead_record;
    walk->store->reading = true;
    engine_ahead(walk, slice_of(key, 8),
                 walk->table == DISK_OBJECTS
                     ? holes_seek(walk->store, slice_of(key, 8), record)
                     : disk_seek(walk->store->disk, walk->table, slice_of(key, 8), &record->key,
                                 &record->value));
}

static void engine_next(struct walk *walk)
{
    struct engine_record *record = &walk->ahead_record;
    struct slice last = record->key;
    engine_ahead(walk, last,
                 walk->table == DISK_OBJECTS
                     ? holes_next(walk->store, record)
                     : disk_next(walk->store->disk, &record->key, &record->value));
}

static int by_path(const void *a, const void *b)
{
    return slice_compare(((const struct walk_record *)a)->path,
                         ((const struct walk_record *)b)->path);
}

static void group_add(struct walk *walk)
{
    if (walk->group_count == walk->group_capacity) {
        uint32_t capacity = MAX(walk->group_capacity * 2, 4u);
        struct walk_record *grown = arena_alloc(walk->arena, capacity * sizeof(*grown));
        if (walk->group_count > 0)
            memcpy(grown, walk->group, walk->group_count * sizeof(*grown));
        walk->group = grown;
        walk->group_capacity = capacity;
    }
    struct walk_record *record = &walk->group[walk->group_count++];
    const struct engine_record *ahead = &walk->ahead_record;
    *record = (struct walk_record){ahead->path, ahead->object, ahead->bad};
    if (record->bad && !engine_path(ahead->key, ahead->value, &record->path))
        record->path = ahead->key;
}

/* Fill the group with the engine's next hash that may be seen, unless it still has records. */
static void group_load(struct walk *walk)
{
    if (walk->group_at < walk->group_count)
        return;
    walk->group_at = walk->group_count = 0;
    while (walk->ahead) {
        uint64_t hash = load_u64_be(walk->ahead_record.key.data);
        if (hash > walk->last) {
            walk->ahead = false;
        } else if (walk->table == DISK_OBJECTS && !store_sees_engine(walk->store, hash)) {
            uint64_t last =
                range_last(range_of(hash, walk->store->range_bits), walk->store->range_bits);
            if (last >= walk->last)
                walk->ahead = false;
            else
                engine_seek(walk, last + 1);
        } else {
            do {
                group_add(walk);
                engine_next(walk);
            } while (walk->ahead && load_u64_be(walk->ahead_record.key.data) == hash);
            if (walk->group_count > 1)
                qsort(walk->group, walk->group_count, sizeof(*walk->group), by_path);
            return;
        }
    }
}

/* The next cell of the frozen table that may be seen. */
static void frozen_skip(struct walk *walk)
{
    while (walk->table == DISK_OBJECTS && walk->frozen &&
           !store_sees_frozen(walk->store, walk->frozen->hash)) {
        uint32_t bits = walk->store->range_bits;
        uint64_t last = range_last(range_of(walk->frozen->hash, bits), bits);
        if (last == UINT64_MAX) {
            walk->frozen = NULL;
            return;
        }
        walk->frozen = memtable_seek(walk->tables[1], last + 1, SLICE_NONE);
    }
}

/* Of hints nothing is noted: a damaged one is counted by whoever looks (hint_table.c). */
static bool is_lacking(const struct walk *walk, uint64_t hash, struct slice path)
{
    const struct store *store = walk->store;
    return walk->table == DISK_OBJECTS && store->damages.count > 0 &&
           damage_marked(damage_find(store, hash, path));
}

static bool item_of_cell(const struct walk *walk, const struct cell *cell,
                         struct walk_item *ret_item)
{
    *ret_item = (struct walk_item){.hash = cell->hash,
                                   .path = cell_path(cell),
                                   .bucket = cell_bucket(cell),
                                   .key = cell_key(cell),
                                   .object = cell_object(cell),
                                   .cell = cell};
    ret_item->lacking = is_lacking(walk, cell->hash, ret_item->path);
    return true;
}

static bool item_of_record(const struct walk *walk, const struct walk_record *record,
                           struct walk_item *ret_item)
{
    *ret_item =
        (struct walk_item){.path = record->path, .object = record->object, .bad = record->bad};
    if (engine_key_is_digest(record->path)) /* Damaged, and nobody can tell whose it is. */
        ret_item->hash = load_u64_be(record->path.data);
    else if (!key_parse(record->path, &ret_item->hash, &ret_item->bucket, &ret_item->key))
        ret_item->bad = true;
    else if (record->bad && walk->table == DISK_OBJECTS)
        damage_note(walk->store, ret_item->hash, record->path);
    else
        ret_item->lacking = is_lacking(walk, ret_item->hash, record->path);
    return true;
}

static struct cell *cell_after(const struct memtable *table, struct cell *cell, struct slice path)
{
    return cell && slice_equal(cell_path(cell), path) ? memtable_next(table, cell) : cell;
}

static bool step(struct walk *walk, struct walk_item *ret_item)
{
    group_load(walk);
    frozen_skip(walk);
    struct walk_record *record =
        walk->group_at < walk->group_count ? &walk->group[walk->group_at] : NULL;
    if (walk->error || (!walk->active && !walk->frozen && !record))
        return false;
    /* Paths begin with the hash, big-endian: comparing them is comparing (hash, bucket, key). */
    struct cell *cell = walk->active;
    if (!cell || (walk->frozen && slice_compare(cell_path(walk->frozen), cell_path(cell)) < 0))
        cell = walk->frozen;
    if (!cell || (record && slice_compare(record->path, cell_path(cell)) < 0)) {
        walk->group_at++;
        return item_of_record(walk, record, ret_item);
    }
    struct slice path = cell_path(cell);
    item_of_cell(walk, cell, ret_item);
    walk->group_at += record && slice_equal(record->path, path);
    walk->active = cell_after(walk->tables[0], walk->active, path);
    walk->frozen = cell_after(walk->tables[1], walk->frozen, path);
    return ret_item->hash <= walk->last;
}

bool walk_next(struct walk *walk, struct walk_item *ret_item)
{
    bool found;
    do /* A cell without an object is a key that went. */
        found = step(walk, ret_item);
    while (found && ret_item->cell && ret_item->object.size == 0);
    return found;
}

/* The first cell of TABLE, which may be NULL, after PATH, or at or after hash FROM. */
static struct cell *cell_from(const struct memtable *table, uint64_t from, struct slice path)
{
    return table == NULL ? NULL : cell_after(table, memtable_seek(table, from, path), path);
}

void walk_start(struct walk *walk, struct store *store, enum disk_table table, struct arena *arena,
                uint64_t from, struct slice path, uint64_t last)
{
    bool objects = table == DISK_OBJECTS;
    *walk = (struct walk){
        .store = store, .table = table, .arena = arena, .last = last, .single = from == last};
    walk->tables[0] = objects ? store->active : store->hints.active;
    walk->tables[1] = objects ? store->frozen : store->hints.frozen;
    engine_seek(walk, from);
    walk->active = cell_from(walk->tables[0], from, path);
    walk->frozen = cell_from(walk->tables[1], from, path);
    group_load(walk);
    while (walk->group_at < walk->group_count && path.size > 0 &&
           slice_compare(walk->group[walk->group_at].path, path) <= 0)
        walk->group_at++;
}
