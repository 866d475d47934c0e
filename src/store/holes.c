/* Noticing records whose key is damaged, and finding what lies beside them (holes.h). */
#include "store/holes.h"

#include "base/rule.h"
#include "data/id.h"
#include "store/store_private.h"

enum {
    LOOK_RECORDS = 4096, /* On either side of a key: far more than a page of the engine has. */
};

/* The lost records that lie between two good ones. */
struct run {
    uint64_t from, to; /* Hashes of the good ones. */
    struct slice near; /* Key of the first. */
    struct slice keys[HOLE_LOST_MAX];
    uint32_t count;
    bool all; /* There are no more of them. */
};

/* ------------------------------------------------------------------------- Looking at a record. */

static void look(const struct store *store, struct engine_record *record)
{
    record->lost = false;
    record->bad = !engine_parse(record->key, record->value, &record->path, &record->object);
    if (!record->bad)
        return;
    record->lost = !engine_path(record->key, record->value, &record->path) ||
                   !path_is_sound(store->hash_seed, record->path);
}

static bool is_lost(const struct store *store, struct slice key, struct slice value)
{
    struct engine_record record = {.key = key, .value = value};
    if (key.size == 0)
        return false;
    look(store, &record);
    return record.lost;
}

static int step(struct store *store, bool back, struct engine_record *ret_record)
{
    int error = back ? disk_prev(store->disk, &ret_record->key, &ret_record->value)
                     : disk_next(store->disk, &ret_record->key, &ret_record->value);
    if (error == 0)
        look(store, ret_record);
    return error;
}

/* ------------------------------------------------------------------------------- Noting holes. */

static struct rotten *rotten_find(struct holes *holes, struct slice key)
{
    for (uint32_t i = 0; i < holes->rotten_count; i++)
        if (slice_equal(buf_slice(&holes->rotten[i].key), key))
            return &holes->rotten[i];
    return NULL;
}

static void rotten_add(struct holes *holes, struct slice key, struct slice near)
{
    if (rotten_find(holes, key) != NULL)
        return;
    if (holes->rotten == NULL)
        holes->rotten = mem_zero(HOLES_ROTTEN_MAX * sizeof(*holes->rotten));
    struct rotten *rotten = &holes->rotten[holes->rotten_count++];
    *rotten = (struct rotten){0};
    buf_append(&rotten->key, key);
    buf_append(&rotten->near, near);
}

/* Is there anything in the engine that may be seen of RANGE? What was lost was counted. */
static bool has_data(const struct store *store, uint32_t range)
{
    const struct range_state *state = &store->ranges[range];
    return state->stored.keys != 0 &&
           store_sees_engine(store, range_first(range, store->range_bits));
}

static uint64_t name_of(struct slice key)
{
    return checksum64(key, 3);
}

static bool lost_known(const struct hole *hole, uint64_t name)
{
    for (uint32_t i = 0; i < hole->lost_count; i++)
        if (hole->lost[i] == name)
            return true;
    return false;
}

static void lost_add(struct hole *hole, uint64_t name)
{
    if (!lost_known(hole, name) && hole->lost_count < HOLE_LOST_MAX)
        hole->lost[hole->lost_count++] = name;
}

/* FRESH takes in all holes that it overlaps. */
static void absorb(struct holes *holes, struct hole *fresh)
{
    for (uint32_t i = 0; i < holes->count;) {
        struct hole *other = &holes->items[i];
        if (other->to < fresh->from || other->from > fresh->to) {
            i++;
            continue;
        }
        fresh->from = MIN(fresh->from, other->from);
        fresh->to = MAX(fresh->to, other->to);
        for (uint32_t k = 0; k < other->lost_count; k++)
            lost_add(fresh, other->lost[k]);
        if (other->marked && fresh->marked)
            holes->erase[holes->erase_count++] = other->marked_from;
        else if (other->marked)
            fresh->marked_from = other->marked_from;
        fresh->marked = fresh->marked || other->marked;
        holes_remove(holes, other);
        i = 0; /* It may reach further now. */
    }
}

/* Is RUN what is known already, of a hole that has its mark, or of a record that is about to go? */
static bool is_known(struct store *store, const struct run *run)
{
    for (uint32_t i = 0; i < run->count; i++) {
        bool known = rotten_find(&store->holes, run->keys[i]) != NULL;
        for (uint32_t k = 0; k < store->holes.count && !known; k++) {
            const struct hole *hole = &store->holes.items[k];
            known = hole->from >= run->from && hole->to <= run->to &&
                    lost_known(hole, name_of(run->keys[i]));
        }
        if (!known)
            return false;
    }
    return true;
}

static bool part_of(const struct store *store, const struct run *run, uint32_t range,
                    uint64_t *ret_from, uint64_t *ret_to)
{
    *ret_from = MAX(run->from, range_first(range, store->range_bits));
    *ret_to = MIN(run->to, range_last(range, store->range_bits));
    return has_data(store, range);
}

static bool has_room(const struct store *store, const struct run *run)
{
    uint32_t parts = 0;
    uint64_t from, to;
    uint32_t last = range_of(run->to, store->range_bits);
    for (uint32_t range = range_of(run->from, store->range_bits); range <= last; range++)
        parts += part_of(store, run, range, &from, &to);
    return store->holes.count + parts <= HOLES_MAX &&
           store->holes.erase_count + store->holes.count + parts <= HOLES_MAX &&
           store->holes.rotten_count + run->count <= HOLES_ROTTEN_MAX;
}

/* The part of RUN in RANGE is a hole. */
static void note_part(struct store *store, const struct run *run, uint32_t range)
{
    struct hole fresh = {.number = ++store->damages.losses, .dirty = true};
    if (!part_of(store, run, range, &fresh.from, &fresh.to))
        return;
    absorb(&store->holes, &fresh);
    for (uint32_t i = 0; i < run->count; i++)
        lost_add(&fresh, name_of(run->keys[i]));
    holes_insert(&store->holes, &fresh);
}

static void note(struct store *store, const struct run *run)
{
    struct holes *holes = &store->holes;
    bool known = is_known(store, run);
    if (!has_room(store, run)) {
        holes->overflow++;
        return;
    }
    for (uint32_t i = 0; i < run->count; i++) {
        holes->found += rotten_find(holes, run->keys[i]) == NULL;
        rotten_add(holes, run->keys[i], run->near);
    }
    if (!run->all)
        holes->overflow++; /* The rest is noted once these are gone. */
    if (known)
        return;
    if (holes->erase == NULL)
        holes->erase = mem_alloc(HOLES_MAX * sizeof(*holes->erase));
    uint32_t last = range_of(run->to, store->range_bits);
    for (uint32_t range = range_of(run->from, store->range_bits); range <= last; range++)
        note_part(store, run, range);
    holes->noted++;
}

/* The disk's cursor is at RECORD, which is lost. Note the hole and go on to the next good record:
 * 0, ERR_NOT_FOUND at the end, ERR_IO. Waits. */
static int note_here(struct store *store, struct engine_record *record)
{
    struct arena arena = {0};
    struct run run = {.to = UINT64_MAX, .all = true};
    struct engine_record at = *record;
    bool patient = store->disk->patient;
    store->disk->patient = true;
    int error = 0;
    while (error == 0 && record->lost) {
        at = *record;
        error = step(store, true, record);
    }
    if (error == 0) {
        run.from = load_u64_be(record->key.data);
        run.near = arena_copy(&arena, record->key);
        error = step(store, false, record);
    } else if (error == ERR_NOT_FOUND) { /* It was the first. */
        *record = at;
        error = 0;
    }
    while (error == 0 && record->lost) {
        run.all = run.all && run.count < HOLE_LOST_MAX;
        if (run.all) {
            run.keys[run.count++] = arena_copy(&arena, record->key);
        }
        error = step(store, false, record);
    }
    store->disk->patient = patient;
    if (error == 0)
        run.to = load_u64_be(record->key.data);
    if (error == 0 || error == ERR_NOT_FOUND)
        note(store, &run);
    arena_done(&arena);
    return error;
}

/* --------------------------------------------------------------------------- Finding records. */

static void note_cold(struct store *store, const struct disk_around *around)
{
    if (around->before_key.size > 0)
        cold_note(&store->cold, DISK_OBJECTS, around->before_key, 1);
    if (around->after_key.size > 0)
        cold_note(&store->cold, DISK_OBJECTS, around->after_key, 1);
}

/* Record by record from a good one before KEY on. */
static int seek_slowly(struct store *store, struct slice key, struct engine_record *record)
{
    bool patient = store->disk->patient;
    store->disk->patient = true;
    int error;
    do
        error = step(store, true, record);
    while (error == 0 && (record->lost || slice_compare(record->key, key) >= 0));
    if (error == 0) {
        error = step(store, false, record);
    } else if (error == ERR_NOT_FOUND) {
        error = disk_seek(store->disk, DISK_OBJECTS, slice_of("", 1), &record->key, &record->value);
        if (error == 0)
            look(store, record);
    }
    while (error == 0 && (record->lost || slice_compare(record->key, key) < 0))
        error = record->lost ? note_here(store, record) : step(store, false, record);
    store->disk->patient = patient;
    return error;
}

int holes_seek(struct store *store, struct slice key, struct engine_record *ret_record)
{
    struct disk_around around;
    store->reading = true;
    int error = disk_seek(store->disk, DISK_OBJECTS, key, &ret_record->key, &ret_record->value);
    if (error != 0 && error != ERR_NOT_FOUND)
        return error;
    int other = disk_around(store->disk, &around);
    if (other == DISK_COLD)
        note_cold(store, &around);
    if (other != 0)
        return other;
    if (error == 0)
        look(store, ret_record);
    bool lost =
        is_lost(store, around.before_key, around.before_value) || (error == 0 && ret_record->lost);
    return lost && RULE(HOLE_NOTICED) ? seek_slowly(store, key, ret_record) : error;
}

int holes_next(struct store *store, struct engine_record *ret_record)
{
    int error = step(store, false, ret_record);
    return error == 0 && ret_record->lost && RULE(HOLE_NOTICED) ? note_here(store, ret_record)
                                                                : error;
}

int holes_missed(struct store *store, struct slice key, struct slice *ret_value)
{
    struct disk_around around;
    struct engine_record record;
    int error = disk_around(store->disk, &around);
    if (error == DISK_COLD)
        note_cold(store, &around);
    if (error)
        return error;
    if ((!is_lost(store, around.before_key, around.before_value) &&
         !is_lost(store, around.after_key, around.after_value)) ||
        !RULE(HOLE_NOTICED))
        return ERR_NOT_FOUND;
    error = holes_seek(store, key, &record);
    if (error == DISK_COLD)
        cold_note(&store->cold, DISK_OBJECTS, key, 1);
    if (error)
        return error;
    *ret_value = record.value;
    return slice_equal(record.key, key) ? 0 : ERR_NOT_FOUND;
}

int holes_look(struct store *store, struct slice key)
{
    struct engine_record record;
    uint64_t noted = store->holes.noted + store->holes.overflow;
    int error = disk_seek(store->disk, DISK_OBJECTS, key, &record.key, &record.value);
    for (uint32_t i = 0; i < LOOK_RECORDS && (error == 0 || i == 0); i++)
        error = disk_prev(store->disk, &record.key, &record.value);
    if (error == ERR_NOT_FOUND)
        error = disk_seek(store->disk, DISK_OBJECTS, slice_of("", 1), &record.key, &record.value);
    if (error == 0)
        look(store, &record);
    for (uint32_t i = 0; i < 2 * LOOK_RECORDS && error == 0; i++)
        error = record.lost ? note_here(store, &record) : step(store, false, &record);
    if (error != 0 && error != ERR_NOT_FOUND)
        return error;
    bool any = store->holes.rotten_count > 0 || store->holes.noted + store->holes.overflow != noted;
    return any ? 0 : ERR_NOT_FOUND;
}
