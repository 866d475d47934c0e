/* What the state machines of one node share: its identity, clocks, tables, and the way out.
 *
 * node.c owns one struct core and hands it to each machine; a machine includes no other machine.
 * What one machine learns and another must know goes through a signal, which node.c delivers after
 * the machine returns. */
#ifndef CORE_H
#define CORE_H

#include "base/error.h"
#include "base/heap.h"
#include "base/prng.h"
#include "core/clocks.h"
#include "core/hinted.h"
#include "core/pace.h"
#include "core/step.h"
#include "data/hlc.h"

/* Intervals and sizes of protocol logic. One set for the product; scenarios may change it. */
struct timing {
    uint64_t gossip_us;     /* 1 s */
    uint64_t ping_us;       /* 1 s of silence */
    uint64_t retry_us;      /* Of an unanswered protocol message: 200 ms. */
    uint64_t hedge_us;      /* Before a second replica is asked while p99 is unknown: 50 ms. */
    uint64_t cleanup_us;    /* Grace before a moved copy is deleted: 1 h. */
    uint64_t repair_us;     /* Between looks for ranges to compare: 50 ms. */
    uint64_t hint_us;       /* Between looks for hints that can be delivered: 1 s. */
    uint64_t abort_us;      /* A transfer without progress is taken back after: 30 s. */
    uint64_t horizon_us;    /* Between raises of a range's horizon: 60 s; 0: never. */
    uint32_t clock_skew_ms; /* 500 */
    uint32_t chunk_objects; /* Of a transfer's chunk, at most: 2000. */
    uint32_t deadline_ms;   /* The longest that a request may have: 60,000. */
};

extern const struct timing timing_default;

/* News inside the node, delivered by node.c to the machines concerned. */
enum signal_type {
    SIGNAL_RECORD = 1,     /* A newer record of `range` is in the ring (by gossip, mail or vote). */
    SIGNAL_ADOPTED,        /* The holding of `range` has a newer record, not durable yet. */
    SIGNAL_INSTALLED,      /* The record of `range` is durably installed here. */
    SIGNAL_PEER_INSTALLED, /* `node` has durably installed `installed`. */
    SIGNAL_REMIND,         /* `node` should be told the installed record of `range` (again). */
    SIGNAL_DEPART,         /* This node owns nothing and was told to leave: it departs. */
    SIGNAL_PROPOSE,        /* The transfer machine wants `record` to be chosen. */
    SIGNAL_MEMBERS,        /* The member table or a departure changed. */
    SIGNAL_SETTINGS,       /* Setting changed: `name`. */
    SIGNAL_DIRTY,          /* A slot of `range` is known to lack a write. */
    SIGNAL_UNREADABLE,     /* A put of `range` met a damaged record and wants a new tenure. */
    SIGNAL_PEER_UP,        /* The detector changed its mind about `node`. */
    SIGNAL_PEER_DOWN,
    SIGNAL_RANGE_READY, /* `range` may serve and vote here. */
    SIGNAL_DROPPED,     /* The copy of `range` is deleted here, durably. */
    SIGNAL_FLOOR,       /* A higher floor of our stamps is durable: others may hear of it. */
    SIGNAL_STANDS,      /* The tree of `node` stands elsewhere than ours, in `range`. */
    SIGNAL_RAISED,      /* A transfer brought a horizon for `range`, durably. */
};

struct signal {
    enum signal_type type;
    uint32_t range;
    struct range_epoch installed; /* PEER_INSTALLED */
    struct node_id node;
    const struct range_record *record; /* PROPOSE; in the effects' arena. */
    struct slice name;
    bool stored; /* RECORD: it is on its way to the disk, as far as this node is to keep it. */
};

/* What this node itself holds of a range: the installed record decides what it answers. */
struct holding {
    uint64_t tenure;   /* Names the actor under which it writes; 0 while it is no reader. */
    bool durable;      /* The install is synced. */
    bool fresh;        /* It was installed in this life of the process. */
    bool ready;        /* A majority of its voters has welcomed this life. */
    uint64_t leads_us; /* When, in this life, it installed the first record of an unbroken row under
                        * which it reads the lowest slot, if it does. */
    uint64_t horizon;  /* Up to it dead versions are, or are being, collected; 0 none. */
    uint64_t stands;   /* Up to it they all are: where the tree stands. At most `horizon`. */
    struct range_record record; /* Newest installed; epoch 0: never a member. */
};

struct node_counters {
    uint64_t gets, puts, deletes, scans, edits;
    uint64_t forwards, wrong_epochs, hedges;
    uint64_t unavailable, timeouts, busy;
    uint64_t read_repairs, repaired_in, repaired_out; /* Objects. */
    uint64_t replica_writes, replica_reads;
    uint64_t sloppy, fallback_puts; /* Answers that needed fallbacks; puts coordinated as one. */
    uint64_t hints_taken, hints_refused, hints_delivered;
    uint64_t messages_in, messages_out;
    uint64_t records_chosen, records_installed, ballots_lost;
    uint64_t transfers_done, transfers_aborted, chunks_in, chunks_out, bytes_in, bytes_out;
    uint64_t gossip_rounds, gossip_news;
    uint64_t in_flight;
    uint64_t horizons_raised, horizons_refused; /* By this node as the lowest slot's reader. */
    uint64_t collected;                         /* Keys that lost dead versions. */
};

struct load_table;

struct core {
    struct node_id self;
    uint8_t shard; /* Which one this is of the node's `shards`, a power of two. */
    uint8_t shards;
    uint64_t generation;
    struct cluster cluster; /* cluster.id is none until the node has joined. */
    struct timing timing;
    struct moment now;        /* Of the present step; its wall clock as core_step_at() sees it. */
    uint64_t own_wall_ms;     /* The wall clock as the host gave it. */
    struct peer_clocks peers; /* What it is judged by; kept by the detector. */
    uint64_t started_us;      /* Monotonic, of this life's first step. */
    uint64_t hlc;             /* Last stamp issued or seen. */
    /* Nothing new is stamped at or below `floor_kept` here, or taken from whoever made it. `floor`
     * is what others may hear: it is durable, and what was being taken in before is in the store.
     */
    uint64_t floor;
    uint64_t floor_kept;
    uint64_t floor_others; /* The lowest of the node's other shards, for shard 0 to say. */
    uint32_t taking[2];  /* New versions on their way into the store, by the side they began on. */
    uint8_t taking_side; /* Another with each floor. */
    struct prng prng;
    struct member_table members;
    uint32_t unhanded; /* Copies of forked ranges that may hold what no reader has: nothing that is
                        * stamped above 0 is settled as far as this node knows. */
    bool forks_differ; /* Between the node's shards, for a moment: for shard 0 to know. */
    uint32_t departures_unsynced; /* News of members that left, on its way to the disk. */
    struct setting_table settings;
    struct ring ring;         /* Chosen records, for routing; bits 0 until joined. */
    struct holding *holdings; /* Owned; by range; NULL until joined. */
    struct hinted hinted;     /* Figures and tenures of the hints that this node keeps. */
    struct pace pace;         /* Of work in the background. */
    struct heap timers;       /* Of struct timer. */
    struct node_counters counters;
    uint64_t recovered; /* Last log position of the lives before this one. */
    uint64_t written;   /* Log positions, from EVENT_DURABLE. */
    uint64_t synced;
    uint64_t logged;               /* What was synced in this shard, as peers are to remember it, */
    uint64_t logged_others;        /* and in the node's others. */
    struct durable_queue *durable; /* Owned; see core_when_durable. */
    struct effects *out;           /* Of the present step. */
    uint64_t levels[SHARDS_MAX];   /* Clients who wait until all shards know what was changed. */
    uint32_t levels_count;
    struct signal *signals; /* Owned; drained by node.c. */
    uint32_t signals_count;
    uint32_t signals_capacity;
    /* Is the peer believed to be up? Kept by the detector, read by all. True for self. */
    bool (*peer_is_up)(const struct core *core, struct node_id id);
    /* A message was sent that a living peer answers. Kept by the detector; may be NULL. */
    void (*peer_asked)(struct core *core, struct node_id id);
    /* A request to the peer was answered after so long; the 99th percentile of that, 0 unknown. */
    void (*peer_answered)(const struct core *core, struct node_id id, uint64_t us);
    uint64_t (*peer_p99_us)(const struct core *core, struct node_id id);
    /* The highest log position that the peer had synced before its life GENERATION, which greets
     * under NONCE, began, as far as it told this life of ours; 0 unknown. May be NULL. */
    uint64_t (*peer_position)(const struct core *core, struct node_id id, uint64_t generation,
                              uint64_t nonce);
    void *detector; /* Borrowed: for these callbacks. */
    /* Has the peer welcomed this life of ours? One that remembers more of this node than its disk
     * does never will. Kept by the handshake; NULL before that begins. */
    bool (*peer_welcomed)(const struct core *core, struct node_id id);
    const void *handshake;          /* Borrowed: for that callback. */
    const struct load_table *loads; /* Borrowed from gossip: what nodes last said of themselves. */
};

/* A timer that calls back within core_step. */
struct timer {
    struct heap_node node;
    void (*fire)(struct core *core, void *machine, struct timer *timer);
    void *machine;
};

static inline bool timer_is_set(const struct timer *timer)
{
    return timer->node.index != 0;
}
void core_timer_set(struct core *core, struct timer *timer, uint64_t at_us);
/* At AT_US, or when it was set to fire before, whichever comes first. */
void core_timer_by(struct core *core, struct timer *timer, uint64_t at_us);
void core_timer_clear(struct core *core, struct timer *timer);

/* Memory that lives until the effects of this step are carried out. */
void *core_alloc(struct core *core, size_t size);
struct slice core_copy(struct core *core, struct slice bytes);
struct slice core_printf(struct core *core, const char *format, ...) PRINTF_LIKE(2, 3);

/* A zeroed message of TYPE, sent to TO at the end of the step: fill it in right away. Messages to
 * self are delivered like any other. */
struct message *core_send(struct core *core, struct node_id to, enum message_type type);
struct message *core_send_address(struct core *core, struct slice address, enum message_type type);
/* A zeroed store operation: fill it in right away. Who completes it is in the token's top byte. */
struct store_op *core_store(struct core *core, enum store_op_type type, uint64_t token);
/* The same on data that is UNDER a record: refused where a later one is installed. */
struct store_op *core_store_under(struct core *core, enum store_op_type type, uint64_t token,
                                  struct range_epoch under);
struct answer *core_reply(struct core *core, uint64_t client);
/* An empty reply, 0, of a change of tables: once all shards of the node know of it. */
void core_reply_level(struct core *core, uint64_t client);
/* The same for shard number SHARD of this node; TYPE is one that stays inside. */
struct message *core_send_inside(struct core *core, uint8_t shard, enum message_type type);
struct signal *core_signal(struct core *core, enum signal_type type);

/* Have TOKEN's owner told (its machine's `_durable` function) once POSITION is written, with SYNC
 * once it is synced. Completions of STORE_META and STORE_CHUNK are queued so, with SYNC, by node.c
 * itself: their owner hears of them only then. */
void core_when_durable(struct core *core, uint64_t position, bool sync, uint64_t token);
/* The next token whose position is durable, 0 for none. */
uint64_t core_durable_next(struct core *core);

/* Set up what depends on the cluster: ring and holdings. */
void core_join(struct core *core, const struct cluster *cluster);
void core_init(struct core *core);
void core_done(struct core *core);

/* Which of SHARDS runs RANGE: each has an equal part of the ring, by the top bits. */
static inline uint8_t shard_of_range(uint32_t range, uint32_t range_bits, uint32_t shards)
{
    return (uint8_t)((uint64_t)range * shards >> range_bits);
}
/* Is RANGE run by this shard of the node? Only then it may have a holding here. */
static inline bool core_owns(const struct core *core, uint32_t range)
{
    return core->shards == 1 || shard_of_range(range, core->ring.bits, core->shards) == core->shard;
}
/* A client of another shard, as the core names it where its request runs: its host's number, which
 * is below 2^CLIENT_BITS, above that a bit that says that it reads, and one more than the number of
 * the shard. */
enum { CLIENT_BITS = 58 };
#define CLIENT_READS (UINT64_C(1) << CLIENT_BITS)
static inline uint64_t client_of_shard(uint64_t client, uint8_t shard, bool reads)
{
    return client | (uint64_t)(shard + 1u) << (CLIENT_BITS + 1) | (reads ? CLIENT_READS : 0);
}
static inline uint64_t client_number(uint64_t client)
{
    return client & (CLIENT_READS - 1);
}

/* The floor that this shard vouches for: none while it has a copy that is not handed over yet, of
 * which no horizon can know. */
static inline uint64_t core_floor(const struct core *core)
{
    return core->unhanded == 0 ? core->floor : 0;
}

static inline bool core_is_up(const struct core *core, struct node_id id)
{
    return id_equal(id, core->self) || core->peer_is_up(core, id);
}
/* (range, fork, nonce, epoch) of a record. */
static inline struct range_epoch range_epoch_of(const struct range_record *record)
{
    return (struct range_epoch){record->range, record->fork, record->nonce, record->epoch};
}
/* Below, equal or above 0, as record_compare. */
int range_epoch_compare(const struct range_epoch *a, const struct range_record *b);

/* Begin a step. The wall clock that the node goes by is never ahead of its peers' median, nor
 * behind it by more than clock_skew_ms: one wrong clock neither stamps the future nor misjudges
 * deadlines and expiry. */
void core_step_at(struct core *core, struct moment now);
/* Milliseconds until DEADLINE (HLC), 0 once it has passed. Where the own clock cannot be judged it
 * keeps nobody from reading: a second is left then. But what WRITES and comes late, when its client
 * has gone on to other values, must not take effect: that is dropped by the clock there is. */
uint64_t core_left_ms(const struct core *core, uint64_t deadline, bool writes);
/* How far the own clock is ahead of the median (below 0: behind it), in milliseconds; 0 while that
 * is within clock_skew_ms or cannot be told. */
int64_t core_skew_ms(const struct core *core);

/* Has a majority of RECORD's voters, this node among them, welcomed this life of ours? */
bool core_is_welcome(const struct core *core, const struct range_record *record);

/* Are ENTRIES, which a peer sent, all of keys of RANGE, each with its key's hash? */
bool core_entries_of(const struct core *core, uint32_t range, const struct entry *entries,
                     uint32_t count);

/* A new stamp for a write: above all that were issued or seen. */
uint64_t core_hlc(struct core *core);
/* The time to read by. It never falls, so what has expired once stays dead though the wall clock be
 * set back. */
uint64_t core_hlc_now(struct core *core);
/* Is it ahead of our clock by more than clocks may differ? */
bool core_is_ahead(const struct core *core, uint64_t hlc);
/* Take note of a stamp seen in a message: false (and no move) if it is too far ahead of our clock.
 */
bool core_hlc_seen(struct core *core, uint64_t hlc);

/* RECORD is about to be installed here: keep `ready` and `leads_us` of its holding. */
void core_note_install(struct core *core, const struct range_record *record);
/* How long stamps of the past may lie ahead of the clock of a node that has just taken over, or has
 * forgotten what it saw: two clocks may differ by clock_skew_ms, and a stamp is taken so far ahead.
 */
static inline uint64_t core_stamps_settle_us(const struct core *core)
{
    return (uint64_t)core->timing.clock_skew_ms * 2 * 1000;
}
/* An edit elsewhere will be stamped STAMP: from here on this node's own stamps are later, and all
 * that it answers says so. 0; ERR_CLOCK_SKEW; ERR_NOT_READY while this life is so young that it may
 * have forgotten such a promise of an earlier one. */
int core_edit_stamp(struct core *core, uint64_t stamp) CHECK_RESULT;

/* A version stamped STAMP, new here, comes from whoever makes it. False: it is at or below the
 * floor, and late: proofs may rest on nobody having it. Else it counts as being taken in until
 * core_taken. */
bool core_take(struct core *core, uint64_t stamp, uint8_t *ret_side) CHECK_RESULT;
static inline void core_taken(struct core *core, uint8_t side)
{
    core->taking[side]--;
}

/* The cell of META_HORIZON for RANGE, in the effects' arena; HORIZON 0 deletes it. */
struct meta horizon_cell(struct core *core, uint32_t range, uint64_t horizon, uint64_t stands);

/* Completion tokens: top byte says whose it is. */
enum owner {
    OWNER_COORD = 1,
    OWNER_REPLICA,
    OWNER_REGISTER,
    OWNER_TRANSFER,
    OWNER_GOSSIP,
    OWNER_NODE,
    OWNER_REPAIR,
    OWNER_HINTS,
    OWNER_HORIZON,
};
static inline uint64_t token_of(enum owner owner, uint64_t value)
{
    return (uint64_t)owner << 56 | (value & 0x00ffffffffffffffu);
}
static inline uint64_t token_value(uint64_t token)
{
    return token & 0x00ffffffffffffffu;
}
static inline enum owner token_owner(uint64_t token)
{
    return (enum owner)(token >> 56);
}

/* Meta keys (durable cells): first byte the kind, then the name. */
enum meta_kind {
    META_NODE = 'n',      /* Identity and cluster. */
    META_COUNTER = 'c',   /* The node's one durable counter. */
    META_MEMBER = 'm',    /* + id */
    META_DEPARTURE = 'd', /* + id */
    META_SETTING = 's',   /* + name */
    META_RECORD = 'r',    /* + range, big-endian 32 bits: installed record and tenure. */
    META_VOTE = 'v',      /* + range: promised and accepted. */
    META_STAGING = 't',   /* + range: a transfer coming in: id, sequence, cursor. */
    META_CHOSEN = 'k',    /* + range: a chosen record of a range this node is no member of. */
    META_HORIZON = 'z',   /* + range: its collection horizon, and where the tree stands. */
    META_FLOOR = 'f',     /* The floor of this node's stamps. */
    META_HOST = 'h',      /* Of the host; the core passes it over. */
};

#endif
