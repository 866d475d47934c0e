/* What is kept of holes: their marks in the log, the damaged records that are to go, whom is told
 * of them; and their end. */
#include "base/rule.h"
#include "store/store_private.h"

enum {
    MARK_KEY = 10,
    RECOUNT_MAX = 1 << 14, /* Keys. */
    RETRY_US = 500 * 1000,
    TELL_MAX = 4,               /* Holes in one go. */
    TELL_PAUSE_US = 10 * 1000,  /* Between two goes. */
    AGAIN_US_MIN = 1000 * 1000, /* Until the host hears of the same hole again, */
    AGAIN_DOUBLINGS = 4,        /* ever later. */
};

void holes_done(struct holes *holes)
{
    for (uint32_t i = 0; i < holes->rotten_count; i++) {
        buf_done(&holes->rotten[i].key);
        buf_done(&holes->rotten[i].near);
    }
    mem_free(holes->items);
    mem_free(holes->rotten);
    mem_free(holes->erase);
    mem_free(holes->apply);
    *holes = (struct holes){0};
}

void holes_insert(struct holes *holes, const struct hole *hole)
{
    if (holes->items == NULL)
        holes->items = mem_alloc((HOLES_MAX + 1) * sizeof(*holes->items));
    uint32_t at = holes->count++;
    for (; at > 0 && holes->items[at - 1].from > hole->from; at--)
        holes->items[at] = holes->items[at - 1];
    holes->items[at] = *hole;
}

void holes_remove(struct holes *holes, struct hole *hole)
{
    holes->count--;
    for (uint32_t i = (uint32_t)(hole - holes->items); i < holes->count; i++)
        holes->items[i] = holes->items[i + 1];
}

struct hole *holes_at(const struct store *store, uint64_t hash)
{
    for (uint32_t i = 0; i < store->holes.count; i++) {
        struct hole *hole = &store->holes.items[i];
        if (hole->from <= hash && hash <= hole->to)
            return hole;
    }
    return NULL;
}

bool holes_first(const struct store *store, uint64_t from, uint64_t to, uint64_t *ret_hash)
{
    for (uint32_t i = 0; i < store->holes.count; i++) {
        const struct hole *hole = &store->holes.items[i];
        if (hole->to < from || hole->from > to)
            continue;
        *ret_hash = MAX(hole->from, from);
        return true;
    }
    return false;
}

uint32_t holes_count(const struct store *store, uint64_t from, uint64_t to)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < store->holes.count; i++)
        count += store->holes.items[i].to >= from && store->holes.items[i].from <= to;
    return count;
}

/* ------------------------------------------------------------------------------------ Marks. */

static struct slice mark_key(uint64_t from, uint8_t key[MARK_KEY])
{
    key[0] = 0;
    key[1] = META_OWN_HOLE;
    store_u64_be(key + 2, from);
    return slice_of(key, MARK_KEY);
}

static void mark_value(const struct hole *hole, struct buf *out)
{
    write_u64(out, hole->to);
    write_varint(out, hole->lost_count);
    for (uint32_t i = 0; i < hole->lost_count; i++)
        write_u64(out, hole->lost[i]);
}

static uint64_t log_mark(struct store *store, uint64_t from, const struct hole *hole, bool more)
{
    uint8_t key[MARK_KEY];
    struct buf value = {0};
    if (hole != NULL)
        mark_value(hole, &value);
    uint64_t position = state_log_own(store, mark_key(from, key), buf_slice(&value), more, true);
    buf_done(&value);
    return position;
}

/* Marks that are due, in one group: those that go, then those that are new. A hole that grew to
 * the left has one of each. */
static void marks_set(struct store *store)
{
    struct holes *holes = &store->holes;
    uint32_t left = holes->erase_count;
    for (uint32_t i = 0; i < holes->count; i++) {
        const struct hole *hole = &holes->items[i];
        left += hole->dirty ? 1u + (hole->marked && hole->marked_from != hole->from) : 0;
    }
    if (left == 0)
        return;
    for (uint32_t i = 0; i < holes->erase_count; i++)
        log_mark(store, holes->erase[i], NULL, --left > 0);
    holes->erase_count = 0;
    for (uint32_t i = 0; i < holes->count; i++) {
        struct hole *hole = &holes->items[i];
        if (!hole->dirty)
            continue;
        if (hole->marked && hole->marked_from != hole->from)
            log_mark(store, hole->marked_from, NULL, --left > 0);
        log_mark(store, hole->from, hole, --left > 0);
        hole->dirty = false;
        hole->marked = true;
        hole->marked_from = hole->from;
    }
    log_flush(&store->log);
}

int holes_restore(struct store *store, struct slice key, struct slice value)
{
    struct holes *holes = &store->holes;
    if (key.size != MARK_KEY || store->range_bits == 0)
        return ERR_CORRUPT;
    uint64_t from = load_u64_be(key.data + 2);
    for (uint32_t i = 0; i < holes->count; i++)
        if (holes->items[i].from == from) {
            holes_remove(holes, &holes->items[i]);
            break;
        }
    if (value.size == 0)
        return 0;
    struct reader reader = reader_of(value);
    struct hole hole = {.from = from,
                        .to = read_u64(&reader),
                        .number = ++store->damages.losses,
                        .marked = true,
                        .marked_from = from};
    uint64_t lost = read_varint(&reader);
    if (lost > HOLE_LOST_MAX || holes->count == HOLES_MAX || hole.to < from)
        return ERR_CORRUPT;
    while (hole.lost_count < lost)
        hole.lost[hole.lost_count++] = read_u64(&reader);
    if (!reader_finished(&reader))
        return ERR_CORRUPT;
    holes_insert(holes, &hole);
    return 0;
}

/* The record of the drop, which is in the log already, stands for the end of the marks. */
void holes_forget(struct store *store, uint32_t range)
{
    struct holes *holes = &store->holes;
    for (uint32_t i = holes->count; i-- > 0;) {
        struct hole *hole = &holes->items[i];
        uint8_t key[MARK_KEY];
        if (range_of(hole->from, store->range_bits) != range)
            continue;
        if (hole->marked)
            metas_set(&store->metas, mark_key(hole->marked_from, key), SLICE_NONE, true);
        holes_remove(holes, hole);
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < holes->erase_count; i++) {
        uint8_t key[MARK_KEY];
        if (range_of(holes->erase[i], store->range_bits) == range)
            metas_set(&store->metas, mark_key(holes->erase[i], key), SLICE_NONE, true);
        else
            holes->erase[kept++] = holes->erase[i];
    }
    holes->erase_count = kept;
}

/* -------------------------------------------------------------------- Taking records out. */

static void apply(struct store *store)
{
    struct holes *holes = &store->holes;
    holes->apply = mem_grow(holes->apply, holes->rotten_count * sizeof(*holes->apply));
    for (uint32_t i = 0; i < holes->rotten_count; i++)
        holes->apply[i] = (struct disk_item){.table = DISK_OBJECTS,
                                             .rotten = true,
                                             .key = buf_slice(&holes->rotten[i].key),
                                             .value = buf_slice(&holes->rotten[i].near)};
    holes->going = holes->rotten_count;
    holes->applying = true;
    disk_apply(store->disk, holes->apply, holes->going);
}

void holes_run(struct store *store)
{
    struct holes *holes = &store->holes;
    if (holes->rotten_count > 0)
        holes_keep(store);
    marks_set(store);
    uint64_t needed = 0;
    for (uint32_t i = 0; i < holes->rotten_count; i++) {
        if (holes->rotten[i].position == 0)
            holes->rotten[i].position = store->log.position;
        needed = MAX(needed, holes->rotten[i].position);
    }
    if (holes->rotten_count == 0 || holes->applying || store->checkpoint.applying ||
        store->now_us < holes->retry_us || store->stop_position != 0)
        return;
    if (store->log.synced >= needed || !RULE(HOLE_MARKED))
        apply(store);
    else
        log_sync(&store->log);
}

void holes_take(struct store *store, const struct disk_event *event)
{
    struct holes *holes = &store->holes;
    holes->applying = false;
    if (event->error == ERR_DISK_FULL) {
        holes->retry_us = store->now_us + RETRY_US;
        return;
    }
    if (event->error) {
        store_fail(store, event->text ? event->text : "the database could not be written");
        return;
    }
    for (uint32_t i = 0; i < holes->rotten_count; i++) {
        if (i < holes->going) {
            buf_done(&holes->rotten[i].key);
            buf_done(&holes->rotten[i].near);
        } else {
            holes->rotten[i - holes->going] = holes->rotten[i];
        }
    }
    holes->rotten_count -= holes->going;
    holes->going = 0;
}

bool holes_settled(const struct holes *holes)
{
    bool settled = !holes_hold(holes) && holes->erase_count == 0;
    for (uint32_t i = 0; i < holes->count; i++)
        settled = settled && !holes->items[i].dirty;
    return settled;
}

uint64_t holes_wake_us(const struct store *store)
{
    const struct holes *holes = &store->holes;
    if (holes_settled(holes) || holes->applying)
        return UINT64_MAX;
    for (uint32_t i = 0; i < holes->count; i++)
        if (holes->items[i].dirty)
            return store->now_us;
    for (uint32_t i = 0; i < holes->rotten_count; i++)
        if (holes->rotten[i].position == 0)
            return store->now_us;
    return holes->retry_us > store->now_us ? holes->retry_us : UINT64_MAX;
}

/* ---------------------------------------------------------------------------------- Telling. */

/* The host takes on a few at a time and forgets of the rest. If all were told of in the same order
 * each time, the first ones could keep out the others for as long as nobody answers for them. */
static uint64_t again_us(const struct hole *hole)
{
    uint64_t most = (uint64_t)AGAIN_US_MIN << MIN(hole->told - 1, (uint32_t)AGAIN_DOUBLINGS);
    return most - checksum_pair(hole->number, hole->told) % (most / 2);
}

void holes_tell(struct store *store)
{
    struct holes *holes = &store->holes;
    uint32_t told = 0;
    for (uint32_t i = 0; i < holes->count; i++) {
        struct hole *hole = &holes->items[i];
        if (hole->tell_us > store->now_us)
            continue;
        if (told++ >= TELL_MAX) { /* Few are filled in at a time, and each does not take long. */
            hole->tell_us = store->now_us + TELL_PAUSE_US;
            continue;
        }
        if (hole->told == 0)
            hole->rest_us = store->engine_us + store->options.rest_us;
        struct store_damage news = {
            .hole = true,
            .hash = hole->from,
            .to = hole->to,
            .number = hole->number,
            .fresh = hole->told == 0,
            .rested = store->now_us >= hole->rest_us,
        };
        hole->told++;
        hole->tell_us = news.rested ? store->now_us + again_us(hole) : hole->rest_us;
        store->options.damaged(store->options.arg, &news);
    }
}

uint64_t holes_tell_us(const struct store *store)
{
    uint64_t wake = UINT64_MAX;
    for (uint32_t i = 0; i < store->holes.count; i++)
        wake = MIN(wake, store->holes.items[i].tell_us);
    return wake;
}

/* ------------------------------------------------------------------------------------ The end. */

/* By what a leaf and the figures of a range change with the end of a hole. */
struct change {
    uint64_t hash;
    uint64_t delta;
    uint32_t bytes;
};

static void change_add(struct buf *changes, struct change change)
{
    buf_append(changes, slice_of(&change, sizeof(change)));
}

/* A record without an object, of no client's key. */
static void log_change(struct store *store, const struct change *change)
{
    uint8_t name[8];
    struct buf path = {0};
    struct found found = {.bytes = change->bytes};
    store_u64(name, store->log.position); /* Each has a cell of its own. */
    key_append(&path, change->hash, slice_string("~"), slice_of(name, sizeof(name)));
    struct draft draft = draft_begin(store, buf_slice(&path));
    draft_commit(store, &draft, &found, 0, change->delta, true, true);
    buf_done(&path);
}

static int sum_leaves(struct store *store, uint64_t from, uint64_t to, struct buf *changes)
{
    const struct tree *tree = &store->tree;
    uint64_t last = tree_leaf_of(tree, to);
    for (uint64_t leaf = tree_leaf_of(tree, from); leaf <= last; leaf++) {
        uint64_t delta = 0;
        int error = sums_leaf(store, leaf, from, to, &delta);
        if (error)
            return error;
        if (delta != 0 && RULE(HOLE_SUMS))
            change_add(changes, (struct change){.hash = MAX(leaf << (64 - tree->bits), from),
                                                .delta = delta});
    }
    return 0;
}

/* The figures of RANGE still count what was lost, if it was not written over before: nobody knows
 * in which range, so each is counted anew, unless that takes long. */
static int count_anew(struct store *store, uint32_t range, struct buf *changes)
{
    struct walk walk;
    struct walk_item item;
    struct range_stat counted = {0};
    struct range_stat stat = store->ranges[range].stat;
    uint64_t first = range_first(range, store->range_bits);
    if (stat.keys > RECOUNT_MAX)
        return 0;
    arena_reset(&store->arena);
    walk_start(&walk, store, DISK_OBJECTS, &store->arena, first, SLICE_NONE,
               range_last(range, store->range_bits));
    while (walk_next(&walk, &item)) {
        counted.keys++;
        counted.bytes += item.path.size + item.object.size;
    }
    if (walk.error)
        return walk.error;
    uint64_t keys = stat.keys > counted.keys ? stat.keys - counted.keys : 0;
    uint64_t bytes = stat.bytes > counted.bytes ? stat.bytes - counted.bytes : 0;
    for (; keys > 0 && bytes >= keys; keys--) {
        uint64_t one = keys == 1 ? bytes : bytes / keys;
        change_add(changes, (struct change){.hash = first, .bytes = (uint32_t)one});
        bytes -= one;
    }
    return 0;
}

/* What is left of HOLE without hashes FROM to TO; what was lost may lie in any
 * part of it. */
static void cut(struct store *store, struct hole *hole, uint64_t from, uint64_t to)
{
    struct holes *holes = &store->holes;
    struct hole left = *hole;
    struct hole right = *hole;
    bool has_left = from > hole->from;
    bool has_right = to < hole->to;
    holes->healed += !has_left && !has_right;
    uint64_t marked_from = hole->marked_from;
    holes_remove(holes, hole);
    log_mark(store, marked_from, NULL, has_left || has_right);
    if (has_left) {
        left.to = from - 1;
        left.marked_from = left.from;
        log_mark(store, left.from, &left, has_right);
        holes_insert(holes, &left);
    }
    if (has_right) {
        right.from = right.marked_from = to + 1;
        log_mark(store, right.from, &right, false);
        holes_insert(holes, &right);
    }
}

/* May OP end its part of HOLE? */
static int check_whole(struct store *store, const struct hole *hole, const struct store_op *op)
{
    int error = store_refuse_read(store, op);
    if (error)
        return error;
    if (hole == NULL || hole->to < op->scan.to)
        return ERR_NOT_FOUND;
    if (hole->number != op->loss)
        return ERR_UNREADABLE; /* What was fetched may lack what was lost since. */
    if (hole->dirty || !holes_settled(&store->holes))
        return ERR_BUSY; /* The damaged record is still there, and would be found again. */
    if (checkpoint_behind(store) || store->holes.count + 1 >= HOLES_MAX)
        return ERR_BUSY;
    return 0;
}

/* Gather all before the first of it is written: whoever looks may find holes that nobody had
 * noticed, and one beside HOLE becomes one with it. Then what was fetched is not all of it. */
static int gather(struct store *store, const struct hole *hole, const struct store_op *op,
                  struct buf *changes)
{
    const struct holes *holes = &store->holes;
    uint64_t noted = holes->noted + holes->overflow;
    uint32_t range = range_of(hole->from, store->range_bits);
    bool all = hole->from == op->scan.from && hole->to == op->scan.to;
    int error = sum_leaves(store, op->scan.from, op->scan.to, changes);
    if (error == 0 && all)
        error = count_anew(store, range, changes);
    if (error == 0 && holes->noted + holes->overflow != noted)
        error = ERR_UNREADABLE;
    return error;
}

/* There is room for one more: the host, which takes on a few at a time, may have been told of the
 * others in vain, and so ever later. */
static void tell_others(struct store *store)
{
    for (uint32_t i = 0; i < store->holes.count; i++) {
        struct hole *hole = &store->holes.items[i];
        if (hole->told == 0)
            continue;
        hole->told = 1;
        hole->tell_us = MIN(hole->tell_us, store->now_us + TELL_PAUSE_US);
    }
}

void holes_whole(struct store *store, const struct store_op *op)
{
    struct buf changes = {0};
    struct hole *hole = holes_at(store, op->scan.from);
    struct store_done done = {.error = check_whole(store, hole, op)};
    if (done.error == 0)
        done.error = gather(store, hole, op, &changes);
    if (done.error == ERR_IO)
        store_fail(store, "the database cannot be read");
    if (done.error == 0) {
        const struct change *change = (const struct change *)changes.data;
        for (size_t i = 0; i < changes.size / sizeof(*change); i++)
            log_change(store, &change[i]);
        cut(store, hole, op->scan.from, op->scan.to);
        tell_others(store);
        done.position = store->log.position;
        done.changed = true;
    }
    buf_done(&changes);
    store_finish(store, op, &done);
}
