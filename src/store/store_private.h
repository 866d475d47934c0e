/* What the files of the store share. Nobody else includes this.
 *
 *   store.c       operations            lookup.c      finding and reading one record
 *   store_run.c   every tick, figures   state.c       watermark, leaves, metas in the engine
 *   store_open.c  recovery              walk.c        all records of an interval, in order
 *   stores.c      of several stores     collect.c     taking dead versions out
 *   checkpoint.c  memtable to engine    damage.c      keys whose record is damaged
 *   scrub.c       looks for damage      hint_table.c  hints, beside all other data
 *   cold.c        operations that wait for what is not in memory
 *   sums.c        the hash tree, summed up from the data
 *   scan.c        entries of an interval
 *   holes.c       records whose key is damaged, and the intervals in which they lay
 *   holes_marks.c what is kept of those, and their end
 *   holes_keep.c  what the frozen memtable still has of them
 *   checkpoint_drops.c  deleting what dropped ranges left in the engine
 *
 * An object is where it is found first: active memtable, frozen memtable, engine. A range that was
 * dropped hides what lies in the frozen table and the engine from before, until a checkpoint has
 * deleted it there.
 *
 * The hash tree and the statistics of ranges exist twice: as the data is now, and as it is in the
 * engine, where every transaction carries the leaves and figures of what it changes. */
#ifndef STORE_PRIVATE_H
#define STORE_PRIVATE_H

#include "base/rule.h"
#include "store/cold.h"
#include "store/damage.h"
#include "store/dead.h"
#include "store/holes.h"
#include "store/log.h"
#include "store/log_shared.h"
#include "store/memtable.h"
#include "store/metas.h"
#include "store/store.h"

struct range_state {
    struct range_stat stat;   /* Of the data as it is, */
    struct range_stat stored; /* as it is in the engine. */
    uint64_t dropped;         /* Position of the last drop; 0 never. */
    bool drop_due;            /* The checkpoint under way has to delete it from the engine. */
    uint64_t epoch, nonce;    /* Installed. */
    uint32_t fork;
    uint64_t horizon; /* Merges take nothing in that is stamped at or below it and not held. */
    struct dead_index dead;
};

enum checkpoint_state {
    CHECKPOINT_IDLE = 0,
    CHECKPOINT_SYNC,  /* Waits until the log is synced up to the freeze. */
    CHECKPOINT_DROPS, /* Deletes what dropped ranges left in the engine. */
    CHECKPOINT_CELLS, /* Applies the frozen memtable. */
    CHECKPOINT_HINTS, /* Applies the frozen hints. */
    CHECKPOINT_METAS, /* Applies metas; the last transaction ends it. */
};

/* What the engine holds. For hashes below `bound` everything up to `freeze`, above it everything
 * up to `start.position`; drops up to `drops`. Replay goes by this. */
struct watermark {
    struct log_point start;
    struct log_point freeze; /* Equal to start while no checkpoint is under way. */
    uint64_t bound;
    bool bound_all; /* The bound is above every hash. */
    uint64_t drops;
};

struct checkpoint {
    enum checkpoint_state state;
    struct watermark mark;   /* As of the last transaction that was applied, */
    struct watermark next;   /* and of the one under way. */
    bool applying;           /* A transaction is under way: */
    struct disk_item *items; /* Owned. */
    uint32_t items_count;
    uint32_t items_capacity;
    struct arena arena; /* Keys and values of it that lie nowhere else. */
    struct cell *cell;  /* The first not in it. */
    struct cell *hint;  /* HINTS: the same. */
    uint32_t range;     /* DROPS: the range at hand. */
    struct arena metas_arena;
    struct meta *metas; /* Dirty at the freeze. */
    uint32_t metas_count;
    uint32_t metas_done;
    uint64_t bytes_frozen;   /* Of memory, at the freeze, */
    uint64_t bytes_applied;  /* of these handed over, */
    uint64_t bytes_paced;    /* as of the last transaction that ended. */
    uint64_t froze_us;       /* When that was. */
    uint64_t log_bytes;      /* log.bytes then, */
    uint64_t log_bytes_mark; /* and at the start of the mark. */
    uint64_t began_us;       /* When the transaction was handed over. */
    uint64_t next_us;        /* Not before this comes the next one. */
    uint64_t rate;           /* Bytes of memory applied per second, smoothed; 0 unknown. */
    bool warming;            /* DROPS: what is to be deleted is being brought into memory, */
    uint32_t warm_tries;     /* so many times now. */
    bool retry;              /* The disk was full: the same transaction again at next_us. */
    bool wanted;             /* Freeze as soon as possible. */
    uint64_t count, transactions;
};

/* A round over all records of the engine, looking for damage. */
struct scrub {
    bool running;
    bool warming;    /* The disk is fetching what comes next. */
    bool wrapped;    /* Past the last hash, on the way up to `start`. */
    uint64_t start;  /* Hash at which rounds begin. */
    struct buf next; /* Owned. Key in the engine. */
    uint64_t next_us;
    uint64_t began_us; /* The round, */
    uint64_t took_us;  /* and how long the last whole one took. */
    uint64_t rounds;   /* Whole ones, */
    uint64_t records;  /* and what was read in all. */
    uint64_t bytes;
    uint64_t bad;
};

/* Hints: memtables as those of objects, each NULL until there is a first hint for it. */
struct hint_table {
    struct memtable *active; /* Owned, as the others. */
    struct memtable *frozen;
    struct memtable *dying;
};

struct store {
    struct store_options options;
    struct disk *disk; /* Borrowed. */
    struct log log;
    struct memtable *active; /* Owned, as the others. */
    struct memtable *frozen; /* While a checkpoint is under way. */
    struct memtable *dying;  /* Being freed, or NULL. */
    struct hint_table hints;
    struct metas metas;
    struct damages damages;
    struct scrub scrub;
    struct cold cold;
    struct tree tree;           /* Of the data as it is, */
    struct tree tree_stored;    /* as it is in the engine. */
    struct range_state *ranges; /* Owned; by range. */
    uint32_t range_bits;        /* 0: none yet. */
    uint64_t keys, bytes;
    struct checkpoint checkpoint;
    struct buf path;
    struct arena arena;       /* Of one operation. */
    struct arena metas_arena; /* Of what store_open returned. */
    struct disk_space space;
    uint64_t space_us;
    bool full;
    bool reading; /* The disk may hold a snapshot for us. */
    bool stopping, stopped;
    uint64_t stop_position; /* Of the STOP record, 0 before. */
    bool failed;
    uint64_t now_us;       /* Of the last poll. */
    uint64_t engine_us;    /* Of the last transaction of this life, before one of its first poll. */
    uint64_t unsynced_us;  /* When a poll first saw written > synced; 0: it is not. */
    uint64_t told_written; /* What `durable` was told last. */
    uint64_t told_synced;
    uint64_t hold_until_us; /* Flow control: `durable` is not told before. */
    uint64_t hold_bytes;    /* log_own_bytes when it was told last. */
    struct holes holes;
    uint64_t hash_seed; /* Of keys, */
    bool hash_known;    /* as soon as the host has said so. */
    uint64_t reads_memory, reads_disk, stalls_us;
    uint64_t dead_entries; /* In the indexes of all ranges. */
    uint64_t collected_keys, collected_bytes;
};

static inline uint32_t store_ranges_count(const struct store *store)
{
    return store->range_bits == 0 ? 0 : 1u << store->range_bits;
}
static inline struct range_state *store_range_of(struct store *store, uint64_t hash)
{
    return &store->ranges[range_of(hash, store->range_bits)];
}
/* May what lies in the frozen memtable, or in the engine, be seen? */
static inline bool store_sees_frozen(const struct store *store, uint64_t hash)
{
    return store->frozen && store->ranges[range_of(hash, store->range_bits)].dropped <=
                                store->checkpoint.mark.freeze.position;
}
static inline bool store_sees_engine(const struct store *store, uint64_t hash)
{
    uint64_t dropped = store->ranges[range_of(hash, store->range_bits)].dropped;
    return !RULE(DROP_HIDES_ENGINE) || dropped <= store->checkpoint.mark.drops;
}

/* Carry OP out. Unless it is PATIENT, one that may wait (cold.h) waits for what is not in memory
 * there, and all others here. */
void store_run(struct store *store, const struct store_op *op, bool patient);
/* Complete OP with ERROR. */
void store_finish_error(struct store *store, const struct store_op *op, int error);
/* Serving stops: tell the host once. */
void store_fail(struct store *store, const char *text);

/* Is HASH in this store's part? */
static inline bool store_has(const struct store *store, uint64_t hash)
{
    return store_of_hash(hash, store->disk->stores) == store->disk->store;
}

/* ------------------------------------------------------------------------ store_open.c
 *
 * Opening, in steps, for one store or several. Whatever fails: store_close. */

struct store *open_new(const struct store_options *options, struct disk *disk);
/* Load what the engine has; RET_FOUND false on one that is new. */
int open_load(struct store *store, bool *ret_found, struct buf *error_text) CHECK_RESULT;
/* A log_replay; ARG is the store. */
int open_replay(void *arg, const struct record *record) CHECK_RESULT;
/* The log was read: make a new engine ready, check others against it, go on with a checkpoint. */
int open_settle(struct store *store, bool found, struct buf *error_text) CHECK_RESULT;
/* The log's new run has begun. */
void open_begin(struct store *store);
/* What to say of it. FOUND: position before the run. */
void open_tell(struct store *store, uint64_t found, const struct log_recovered *recovered,
               struct store_recovered *ret_recovered);

/* ---------------------------------------------------------------------------- lookup.c */

struct found {
    struct slice object;   /* Empty: none. */
    struct cell *cell;     /* Where it lies, if in a memtable. */
    bool bad;              /* There is one, but its record is damaged; or there may be one, */
    uint64_t hole;         /* for the key is in the hole of that number. 0: in none. */
    struct damage *damage; /* What is known of that, or of a past that the record lacks. */
    uint64_t digest;       /* With a cell or bad == false; computed by found_digest. */
    uint32_t bytes;        /* Of key and object, 0: none. */
    uint64_t position;     /* That it was written at or before. */
};

enum { ENGINE_KEY_DIGEST = 26 };

/* The key of PATH in the engine: PATH, or past the engine's limit a digest in SCRATCH; ORDINAL
 * tells apart paths of equal digest. */
struct slice engine_key(struct slice path, uint8_t ordinal, uint8_t scratch[ENGINE_KEY_DIGEST]);
static inline bool engine_key_is_digest(struct slice key)
{
    return key.size == ENGINE_KEY_DIGEST && key.data[8] == 0;
}
/* The value that CELL has there: checksum and object, or the whole body. */
struct slice engine_value(const struct cell *cell);
/* The record's parts; false if its checksum is wrong. Then RET_PATH is the best that is known. */
bool engine_parse(struct slice key, struct slice value, struct slice *ret_path,
                  struct slice *ret_object);
/* The path of a record whose checksum is wrong; false where that is not to be had: the record has a
 * digest for a key, and its value no path that this is the digest of. */
bool engine_path(struct slice key, struct slice value, struct slice *ret_path);
/* Does PATH begin with the hash of its rest? */
bool path_is_sound(uint64_t seed, struct slice path);
/* A disk_judge. Of a digest without its value it finds nothing amiss. */
bool engine_key_is_sound(uint64_t seed, struct slice key, struct slice value);
/* Where PATH lies or would lie in TABLE of the engine: its key (in SCRATCH or PATH) and value. 0 or
 * ERR_NOT_FOUND; DISK_COLD, noted; ERR_IO. */
int engine_find(struct store *store, enum disk_table table, struct slice path,
                uint8_t scratch[ENGINE_KEY_DIGEST], struct slice *ret_key,
                struct slice *ret_value) CHECK_RESULT;

/* Find PATH of HASH. 0, DISK_COLD (noted) or ERR_IO. Slices are valid until the tables change or
 * disk_release. */
int store_find(struct store *store, uint64_t hash, struct slice path,
               struct found *ret_found) CHECK_RESULT;
/* Must it not be read: damaged, or lacking its past? */
static inline bool found_unreadable(const struct found *found)
{
    return found->bad || damage_marked(found->damage);
}
/* object_digest of what was found; 0 for none. */
uint64_t found_digest(const struct found *found, uint64_t hash, struct slice bucket,
                      struct slice key);

/* Put CELL into TABLE: its base is what the table already had, or what CELL itself says. */
void store_place(struct memtable *table, struct cell *cell);
/* The tree and the figures follow a change of one record. */
void store_account(struct store *store, uint64_t hash, uint64_t delta, uint32_t bytes_before,
                   uint32_t bytes_after);
/* Is each sibling of OBJECT, which was checked, a tombstone? On a full disk these are written. */
bool store_is_delete(struct store *store, struct slice object);
/* Forget all of RANGE as of POSITION. */
void store_forget(struct store *store, uint32_t range, uint64_t position);
/* Zero the leaves of a range. */
void tree_clear_range(struct tree *tree, uint32_t range, uint32_t range_bits);
/* Take in that (RANGE, FORK, EPOCH) is installed, if newer. */
void store_install(struct store *store, uint32_t range, uint32_t fork, uint64_t nonce,
                   uint64_t epoch);
/* fork u32, [nonce u64 if fork > 0], epoch u64 */
void store_epoch_write(struct buf *out, uint32_t fork, uint64_t nonce, uint64_t epoch);
/* Below, equal or above 0: is that record older than the installed one, or newer? */
int store_epoch_compare(const struct range_state *state, uint32_t fork, uint64_t nonce,
                        uint64_t epoch);
/* Merges into RANGE take no version stamped at or below HORIZON that is not held; 0: all again. */
void store_set_horizon(struct store *store, uint32_t range, uint64_t horizon);

/* ------------------------------------------------------------------------------ store.c */

/* A record of an object being built in the log's buffer; offsets, for the buffer may move. */
struct draft {
    struct buf *bytes;
    size_t payload;
    size_t object;
};

/* How a record is to be written. */
struct manner {
    bool more; /* Others of the group follow. */
    bool sync;
    bool heals;                    /* The object holds all that a damaged key has lost, */
    uint64_t loss;                 /* in this loss of it (0: in any), */
    bool alone;                    /* but for what only this copy had; */
    const struct drop_line *drops; /* less what these say is dead (store_op). */
    uint32_t drops_count;
    uint64_t stands; /* Not 0: what another reader has, who stands at this horizon (step.h). */
};

/* Begin the record of PATH: append the object to draft.bytes, or nothing, for a key that goes. Then
 * draft_commit, or log_cancel. */
struct draft draft_begin(struct store *store, struct slice path);
struct slice draft_object(const struct draft *draft);
/* Write the record and put the object in the memtable. */
struct cell *draft_commit(struct store *store, struct draft *draft, const struct found *found,
                          uint64_t digest, uint64_t delta, bool more, bool sync);
/* Complete OP, or let it wait if DONE says DISK_COLD. */
void store_finish(struct store *store, const struct store_op *op, struct store_done *done);
/* An operation that names no epoch is never refused for it. */
int store_refuse_read(const struct store *store, const struct store_op *op);

/* ------------------------------------------------------------------------------- scan.c */

void scan_do(struct store *store, const struct store_op *op);

/* ---------------------------------------------------------------------------- collect.c */

void collect_do(struct store *store, const struct store_op *op);
bool collect_keep_away(struct store *store, const struct entry *entry, const struct found *found,
                       const struct manner *manner, struct draft *draft);

/* ------------------------------------------------------------------------------ walk.c */

struct walk_item {
    uint64_t hash;
    struct slice path; /* As in record.h. */
    struct slice bucket;
    struct slice key;
    struct slice object;
    const struct cell *cell; /* Or NULL: it lies in the engine. */
    bool bad;                /* The record is damaged, */
    bool lacking;            /* or good, but lacks its past (damage.h). */
};

struct walk_record {
    struct slice path;
    struct slice object;
    bool bad;
};
/* Objects of the engine are walked past records that are lost (holes.h). */

/* All records of an interval in (hash, bucket, key) order, each as it is now. */
struct walk {
    struct store *store;
    enum disk_table table;            /* DISK_OBJECTS or DISK_HINTS. */
    const struct memtable *tables[2]; /* Active and frozen, or NULL. */
    uint64_t last;
    bool single; /* Of one hash. */
    struct cell *active;
    struct cell *frozen;
    struct arena *arena;       /* Borrowed. */
    struct walk_record *group; /* Of one hash, from the engine, by path. */
    uint32_t group_count, group_at, group_capacity;
    struct engine_record ahead_record; /* The engine's next one, */
    bool ahead;                        /* if there is one. */
    int error;
};

/* Start in TABLE at the first record with a path after PATH (empty: at hash FROM), up to hash LAST.
 * ARENA takes what the walk needs. Nothing may change while it lasts. */
void walk_start(struct walk *walk, struct store *store, enum disk_table table, struct arena *arena,
                uint64_t from, struct slice path, uint64_t last);
/* False at the end or with walk->error set: DISK_COLD (noted), ERR_IO. */
bool walk_next(struct walk *walk, struct walk_item *ret_item);

/* ----------------------------------------------------------------------------- sums.c */

/* STORE_VERIFY. */
void sums_verify(struct store *store, const struct store_op *op);
/* What the leaf of HASH has to change by when PATH, whose record is damaged, gets DIGEST: the lost
 * record's digest is not known, so the leaf is summed up anew. As long as more is lost in it, of
 * which the leaf is to tell, that is left to whatever makes the last of it whole. 0 or ERR_IO. */
int sums_over_bad(struct store *store, uint64_t hash, struct slice path, uint64_t digest,
                  uint64_t *ret_delta) CHECK_RESULT;
/* The same where all between hashes FROM and TO is whole. */
int sums_leaf(struct store *store, uint64_t leaf, uint64_t from, uint64_t to,
              uint64_t *ret_delta) CHECK_RESULT;

/* ------------------------------------------------------------------------ hint_table.c */

/* STORE_HINT_*. */
void hint_table_submit(struct store *store, const struct store_op *op, struct store_done *ret_done);
/* A RECORD_HINT of recovery: 0 or ERR_CORRUPT. */
int hint_table_replay(struct store *store, const struct record *record) CHECK_RESULT;
/* May the engine's record KEY of a hint that is gone be deleted? Not one that is found by digest
 * while another of equal digest lies behind it: that one is looked for only as long as this one is
 * there. 0 or ERR_IO. */
int hint_table_may_go(struct store *store, struct slice key, bool *ret_may) CHECK_RESULT;
/* The active hints become the frozen ones. */
void hint_table_freeze(struct store *store);
/* The frozen ones are in the engine. */
void hint_table_applied(struct store *store);
/* Free about BUDGET cells of what was applied; true once there are none. */
bool hint_table_reap(struct store *store, uint32_t budget);
void hint_table_done(struct store *store);
static inline uint64_t memtable_memory(const struct memtable *table)
{
    return table == NULL ? 0 : table->bytes;
}
/* What the active tables take of the memory, and how many cells they have. */
static inline uint64_t store_active_bytes(const struct store *store)
{
    return store->active->bytes + memtable_memory(store->hints.active);
}

/* ------------------------------------------------------------------------ checkpoint.c */

/* Freeze if it is time. Not within a group of records. */
void checkpoint_begin_if_due(struct store *store);
/* Begin one if it is time, carry on with one under way. */
void checkpoint_run(struct store *store);
/* Go on with the one that recovery found under way. */
void checkpoint_resume(struct store *store);
/* Nothing is left to bring to the engine. */
bool checkpoint_clean(const struct store *store);
/* How long the acknowledgement of BYTES is to be held back so that the memtable does not fill up
 * before the frozen one is applied. */
uint64_t checkpoint_delay_us(const struct store *store, uint64_t bytes);
/* Add ITEM to the transaction being built. */
struct disk_item *checkpoint_item(struct checkpoint *checkpoint, struct disk_item item);
/* So many deletes does a transaction take: they touch more pages than sorted writes. */
uint32_t checkpoint_deletes_max(const struct store *store);

/* A transaction has ended. */
void checkpoint_take(struct store *store, const struct disk_event *event);
/* Move the active memtable and the dirty metas to the frozen side. */
void checkpoint_freeze(struct store *store);
void checkpoint_done(struct checkpoint *checkpoint);
/* Bytes of the log that a replay would read now. */
uint64_t checkpoint_log_bytes(const struct store *store);
/* No room for more data before the checkpoint has moved on. */
bool checkpoint_behind(const struct store *store);

/* ------------------------------------------------------------------ checkpoint_drops.c */

/* Build a portion. 0; DISK_COLD: until checkpoint_warmed, for it is being fetched; ERR_IO. */
int checkpoint_drops(struct store *store) CHECK_RESULT;
/* What it wanted is in memory. */
void checkpoint_warmed(struct store *store);

/* ----------------------------------------------------------------------------- scrub.c */

/* Tags of disk_warm: whom it was for. Those from COLD_TAG_FIRST on are of operations. */
enum { WARM_SCRUB = 1, WARM_DROPS };

void scrub_done(struct scrub *scrub);
/* Go on if it is time. */
void scrub_run(struct store *store);
/* What it wanted is in memory. */
void scrub_take(struct store *store);
/* When scrub_run wants to be called; UINT64_MAX: never. */
uint64_t scrub_wake_us(const struct store *store);
/* How far the round has come. */
uint32_t scrub_percent(const struct store *store);

/* ----------------------------------------------------------------------------- state.c
 *
 * Watermark, leaves (64 to a record) and figures of ranges in the engine's state table. */

enum { LEAF_GROUP = 64 };

/* Append to ITEMS what the engine's copies of these now are; keys and values lie in ARENA. */
struct disk_item state_mark_item(const struct store *store, const struct watermark *mark,
                                 struct arena *arena);
struct disk_item state_range_item(const struct store *store, uint32_t range, struct arena *arena);
struct disk_item state_leaves_item(const struct store *store, uint32_t group, struct arena *arena);
struct disk_item state_meta_item(const struct meta *meta, struct arena *arena);
/* Load all of it and the metas; RET_FOUND false on an engine that is new. 0, ERR_IO, ERR_CORRUPT.
 */
int state_load(struct store *store, bool *ret_found, struct buf *error_text) CHECK_RESULT;

/* Keys of the store's own metas. */
enum {
    META_OWN_BITS = 'b',
    META_OWN_EPOCH = 'e',
    META_OWN_DAMAGE = 'x',
    META_OWN_HORIZON = 'h',
    META_OWN_HOLE = 'o',
};
/* Set one, in a record of its own; returns the record's position. */
uint64_t state_log_own(struct store *store, struct slice key, struct slice value, bool more,
                       bool sync);
/* A meta of the store's own was set, by replay or from the engine. */
int state_own_meta(struct store *store, struct slice key, struct slice value) CHECK_RESULT;
/* The number of ranges is known. */
void store_ranges_init(struct store *store, uint32_t range_bits);

#endif
