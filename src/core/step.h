/* What goes into the core and what comes out: step(time, event) -> effects.
 *
 * The core does no I/O. Its host (the libuv shell, the simulator) turns messages, requests, store
 * completions and the passing of time into events, and carries out the effects, in any order.
 * Durability is an event too: an acknowledgement is an effect of EVENT_DURABLE.
 *
 * Memory: a host carries out all sends and replies of a step before it steps again; they may point
 * into the event, into the core, and into the arena of their effects. Store operations it may carry
 * out later, but before the next event that is not EVENT_STORE; they do not point into a
 * completion. */
#ifndef STEP_H
#define STEP_H

#include "base/checksum.h"
#include "core/message.h"
#include "core/request.h"

/* Both clocks of the moment, read once by the host. */
struct moment {
    uint64_t us;        /* Monotonic, microseconds. */
    uint64_t wall_ms;   /* Since 1970; may jump. */
    uint16_t wall_part; /* What is left of that millisecond, in 65,536ths. */
};

/* ------------------------------------------------------------------ The store of a shard. */

enum store_op_type {
    STORE_UPDATE = 1, /* Read, object_update (or object_edit), write. Done: the object, position; of
                       * an edit what came of it. */
    STORE_MERGE,      /* Read, object_merge, write if changed. Done: the merged object, position. */
    STORE_READ,       /* Done: the object, empty if there is none. */
    STORE_SCAN,       /* Done: entries in (hash, bucket, key) order. */
    STORE_CHUNK,      /* Merge many objects and set one meta entry, all in one. Done: position. */
    STORE_META,       /* Set (empty value: delete) meta entries, all or nothing. Done: position. */
    STORE_DROP,       /* Forget all keys of a range. Done: position of its log record. */
    STORE_TREE,   /* Done: object holds the depth of the leaves, then the digest of each prefix, as
                   * 64-bit integers, little-endian. */
    STORE_VERIFY, /* Scan a range and compare with the tree. Done: struct store_verified. */
    /* Hints: objects kept for slots of other nodes, one a key, beside all other data; `slots` says
     * for which. They are of no range's epoch, and no drop of a range touches them. */
    STORE_HINT_UPDATE, /* As STORE_UPDATE, to the hint of the key. Done: as there, and `hint`. */
    STORE_HINT_MERGE,  /* As STORE_MERGE. Done: as there, and `hint`. */
    STORE_HINT_READ,   /* Done: the hint's object, empty if there is none. */
    STORE_HINT_SCAN,   /* Done: entries in order of their hashes, and entries_slots. */
    STORE_HINT_SETTLE, /* `slots` have it: forget them; and the hint, with the last of them, unless
                        * its object is another than that of `digest`. With `heals`: forget the
                        * hint if it is damaged. Done: `hint`. */
    STORE_COLLECT,     /* Take dead versions from some keys of a range. Done: `earliest`, `more` and
                        * `next`, position; for each key that changed two entries, what it was and
                        * what is left of it. */
    STORE_WHOLE,       /* What enough other slots have between hashes scan.from and scan.to was
                        * merged, for the loss of that number: no key there is missing any more.
                        * Done: position. ERR_UNREADABLE: for there was another loss; ERR_BUSY. */
};

/* A bucket whose versions of a lower drop count are dead from a stamp on. */
struct drop_line {
    struct slice bucket;
    uint32_t drops;
    uint64_t dropped_at;
};

/* A durable cell of the core: votes, installed records, settings, tenures. Small. */
struct meta {
    struct slice key;
    struct slice value; /* Empty: deleted. */
};

struct store_op {
    enum store_op_type type;
    uint64_t token; /* Comes back in the completion. */
    uint32_t range;
    uint32_t fork;  /* Data of an older (fork, nonce, epoch) than installed is refused: */
    uint64_t nonce; /* ERR_WRONG_EPOCH. */
    uint64_t epoch;
    bool sync;     /* Its position must be synced although the log mode is `interval`. */
    bool renewed;  /* STORE_UPDATE: the actor is younger than what is known of damage here: write
                    * although the record may be damaged. */
    bool heals;    /* STORE_MERGE: with OBJECT (may be empty) a damaged key is whole again, unless
                    * its record was lost once more since: */
    uint64_t loss; /* the number of the loss that is healed, 0: of any; */
    bool alone;    /* but one of which nothing is left and that nobody else can have had stays
                    * damaged, for it must not pass for deleted. */
    const struct drop_line *drops; /* What is dead in it by these goes, too, up to the range's */
    uint32_t drops_count;          /* horizon: a collection has passed the damaged key over. */
    uint64_t deadline_us; /* STORE_UPDATE, STORE_HINT_UPDATE: one that has waited until then does
                           * not take place: ERR_TIMEOUT. 0: none. */
    uint64_t hash;
    struct slice bucket;
    struct slice key;
    uint8_t slots; /* STORE_HINT_UPDATE, _MERGE, _SETTLE: bits by slot number. */
    union {
        struct update update; /* STORE_UPDATE, STORE_HINT_UPDATE */
        struct slice object;  /* STORE_MERGE, STORE_HINT_MERGE: checked */
        uint64_t digest;      /* STORE_HINT_SETTLE: hint_digest of what was delivered. */
        struct {
            struct slice scan_bucket; /* Only this bucket; empty: all. */
            uint64_t from; /* First hash; keys of it up to (bucket, key) are passed over. */
            uint64_t to;   /* Last hash. */
            uint32_t count_max;
            uint32_t bytes_max; /* At least one entry is returned. */
            bool digest;        /* Of the range as it is then, too. */
        } scan;
        struct {
            const struct entry *entries;
            uint32_t entries_count;
            const struct meta *metas;
            uint32_t metas_count;
            bool install;     /* STORE_META: these install the record's name: older data is refused
                               * from here on. */
            bool fills;       /* STORE_CHUNK: with it the copy of the range has all that it is to
                               * have: ERR_UNREADABLE, and nothing of it, while it is known to lack
                               * any. */
            uint64_t horizon; /* Not 0: from here on merges into the range take no version stamped
                               * at or below it that is not held, until the range is dropped. */
            uint64_t stands; /* STORE_CHUNK. Not 0: each entry is all that another reader has of the
                              * key, whose tree stands at this horizon: what it has collected goes
                              * here, too (object_admit). */
        } batch;             /* STORE_CHUNK (entries and metas), STORE_META (metas) */
        struct {
            const uint64_t *prefixes;
            uint32_t prefixes_count;
            uint32_t bits; /* Depth of the prefixes, at most that of the leaves. */
        } tree;            /* STORE_TREE */
        struct {
            uint64_t horizon;
            const struct drop_line *drops; /* Sorted by bucket. */
            uint32_t drops_count;
            bool scan;          /* Look at all keys, not just those that the index names. */
            uint64_t from;      /* `next` of the call before; the range's first hash to begin. */
            uint32_t count_max; /* Keys to look at; 0: only tell `earliest`. */
        } collect;              /* STORE_COLLECT */
    };
};

struct store_verified {
    uint64_t keys;
    uint64_t bytes;
    uint64_t digest_tree; /* tree_digest of the range as kept in memory. */
    uint64_t digest_data; /* The same from the scan. */
    uint64_t bad;         /* Records whose checksum is wrong. */
};

/* What a change of a hint did to it, for whoever keeps count. Bytes are of key and object; 0: there
 * is none. */
struct hint_change {
    uint32_t bytes_before, bytes;
    uint8_t slots_before, slots; /* Bits by slot number. */
};

/* Names the bytes of a hint's object: what was delivered is what is forgotten. */
static inline uint64_t hint_digest(struct slice object)
{
    return checksum64(object, 0x68696e74u);
}

struct store_done {
    enum store_op_type type;
    uint64_t token;
    uint32_t range; /* Of the operation. */
    int error; /* 0; ERR_TOO_MANY_SIBLINGS, ERR_DISK_FULL, ERR_UNREADABLE, ERR_WRONG_EPOCH, ERR_BUSY
                */
    uint64_t position; /* Log position that holds the change: durable once synced >= position. For
                        * an unchanged object, the newest position that may hold it. */
    uint64_t hlc;      /* STORE_UPDATE: the final stamp. */
    bool changed;      /* STORE_UPDATE (but for some edits always), STORE_MERGE */
    enum edit_outcome outcome; /* STORE_UPDATE of an edit. */
    struct slice earlier;      /* The object before, where the edit asks for it. */
    struct slice object;
    const struct entry *entries;
    uint32_t entries_count;
    bool more;       /* STORE_SCAN, STORE_HINT_SCAN, STORE_COLLECT: stopped at a bound. */
    uint64_t digest; /* STORE_SCAN, if asked for: tree_digest of the range. */
    /* STORE_HINT_SCAN: bits by slot number; none: the record is damaged, and has no object. */
    const uint8_t *entries_slots;
    uint32_t bad; /* STORE_HINT_SCAN: damaged records, those among them whose key is lost too. */
    struct hint_change hint;
    uint64_t next;     /* STORE_COLLECT: where to go on. */
    uint64_t earliest; /* STORE_COLLECT: the earliest stamp from which a version of the range is
                        * dead or will be; 0 unknown, UINT64_MAX never. */
    struct store_verified verified;
};

/* ---------------------------------------------------------------------------- Commands. */

enum command_type {
    COMMAND_SET = 1, /* Change a setting: buckets, plans, limits. */
    COMMAND_REPAIR,  /* Compare what `repair` names, as far as this node does it, soon. */
    COMMAND_DRAIN,   /* Announce maintenance and take no new requests; answered when idle. */
    COMMAND_REMOVE,  /* `node` is no member any more, for ever. */
};

/* Which replicas are to be compared. */
struct repair_choice {
    uint32_t first, last; /* Ranges; */
    struct node_id node;  /* of these the copies of this node with all others; none: all copies. */
    struct slice bucket;  /* Only keys of it; empty: of all. */
};

struct command {
    enum command_type type;
    struct repair_choice repair;
    struct slice name;
    struct slice value;
    struct node_id node; /* REMOVE */
    bool accept_loss;    /* REMOVE: fork the ranges whose majority is lost with it for good. */
    bool conditional;    /* SET only if the setting's counter still is `counter` (0: never set). */
    uint64_t counter;
};

/* ------------------------------------------------------------------------------ Events. */

enum event_type {
    EVENT_TIMER = 1, /* node_wake_us has come. */
    EVENT_MESSAGE,
    EVENT_REQUEST,
    EVENT_COMMAND,
    EVENT_STORE,
    EVENT_DURABLE,
    EVENT_DAMAGED,   /* A record of the store is damaged; again and again while it is. */
    EVENT_PEER_LOST, /* The connection to a node broke: what was sent may be lost. */
};

struct event {
    enum event_type type;
    union {
        struct {
            struct node_id from;
            const struct message *message;
        } message;
        struct {
            uint64_t client; /* Comes back in the reply. */
            const struct request *request;
        } request;
        struct {
            uint64_t client;
            const struct command *command;
        } command;
        const struct store_done *store;
        struct {
            uint64_t written; /* Log positions up to here are in the kernel, */
            uint64_t synced;  /* and up to here on the disk; */
            uint64_t logged;  /* as peers are to remember it: the sum over all logs of the shard. */
        } durable;
        struct {
            bool hole;     /* There is no key, but all between two hashes: */
            uint64_t hash; /* the key's, or the first; */
            uint64_t to;   /* and the last. */
            struct slice bucket;
            struct slice key;
            uint64_t number; /* Of the loss: a record that was written since may be lost too. */
            bool fresh;      /* The first news of it in this life of the process. */
            bool rested;     /* It is time to heal it. */
        } damaged;
        struct node_id peer;
    };
};

/* ----------------------------------------------------------------------------- Effects. */

enum effect_type {
    EFFECT_SEND = 1, /* To a node, or to an address whose node is not known yet. */
    EFFECT_STORE,
    EFFECT_REPLY,
    EFFECT_HALT, /* Stop serving: departed, refused by the cluster, amnesiac. */
};

struct effect {
    enum effect_type type;
    union {
        struct {
            struct node_id to;    /* NODE_NONE: to `address`. */
            struct slice address; /* host:port; empty when the node's own is known. */
            const struct message *message;
            uint8_t shard; /* Of a message that stays inside (message_is_inside): for which one. */
        } send;
        const struct store_op *store;
        struct {
            uint64_t client;
            const struct answer *answer;
        } reply;
        struct {
            int error;
            struct slice detail;
        } halt;
    };
};

struct effects {
    struct arena arena;
    struct effect *items; /* Owned. */
    uint32_t count;
    uint32_t capacity;
};

void effects_done(struct effects *effects);
/* Forget all, keep the memory. */
void effects_reset(struct effects *effects);
/* Append an effect of TYPE and return it, zeroed otherwise. */
struct effect *effects_add(struct effects *effects, enum effect_type type);

#endif
