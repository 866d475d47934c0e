/* The messages between peers, as structs. wire/peer.h encodes and checks them.
 *
 * Slices and arrays borrow: from the receive buffer or the effects' arena. A decoded message is
 * well formed (record_check, object_check, bounds of limits.h); whether it makes sense is the
 * receiver's to decide. docs/protocol.md describes each; sources in its section. */
#ifndef MESSAGE_H
#define MESSAGE_H

#include "core/request.h"
#include "data/member.h"
#include "data/setting.h"

enum message_type {
    MESSAGE_HELLO = 1,
    MESSAGE_WELCOME,
    MESSAGE_REFUSED,
    MESSAGE_SYN,
    MESSAGE_ACK,
    MESSAGE_ACK2,
    MESSAGE_BULK,
    MESSAGE_PING,
    MESSAGE_PONG,
    MESSAGE_OFFER,
    MESSAGE_ACCEPT,
    MESSAGE_REJECT,
    MESSAGE_PREPARE,
    MESSAGE_PROMISE,
    MESSAGE_PROPOSE,
    MESSAGE_ACCEPTED,
    MESSAGE_CHOSEN,
    MESSAGE_INSTALLED,
    MESSAGE_CHUNK,
    MESSAGE_CHUNK_ACK,
    MESSAGE_COMPLETE,
    MESSAGE_FORWARD,
    MESSAGE_ANSWER,
    MESSAGE_WRITE,
    MESSAGE_READ,
    MESSAGE_SCAN,
    MESSAGE_REPLY,
    MESSAGE_COMPARE,
    MESSAGE_OBJECTS,
    MESSAGE_HINT,
    MESSAGE_PROVE,
    MESSAGE_PROVEN,
    MESSAGE_HORIZON,
    MESSAGE_ROOTS,
    MESSAGE_LEAVES,
    /* Between shards of a node alone; a peer that sends one is not listened to. */
    MESSAGE_HANDED,
    MESSAGE_ANSWERED,
    MESSAGE_NEWS,
};
enum { MESSAGE_TYPES = MESSAGE_NEWS + 1 };

static inline bool message_is_inside(enum message_type type)
{
    return type >= MESSAGE_HANDED;
}

enum roots_kind {
    ROOTS_ASK = 0, /* Which of these ranges differ? */
    ROOTS_DIFFER,  /* These, of the other side's batch. */
    ROOTS_DIRTY,   /* Of these a write is missing somewhere: compare them. */
    ROOTS_PART,    /* These of the other side's batch were looked at: digest 1 if they differ. */
};

/* What all nodes of a cluster agree on from its creation. */
struct cluster {
    struct node_id id;
    struct slice name;
    uint64_t hash_seed;
    uint8_t range_bits; /* 6..16 */
    uint8_t copies;     /* n: 1..SLOTS_MAX */
};

/* News of any kind. Also the body of ACK2 and BULK. */
struct delta {
    const struct departure *departures;
    const struct member *members;
    const struct setting *settings;
    const struct range_record *records;
    uint32_t departures_count;
    uint32_t members_count;
    uint32_t settings_count;
    uint32_t records_count;
};

/* One line of a gossip digest: what the sender has. */
enum digest_kind { DIGEST_DEPARTURE = 1, DIGEST_MEMBER, DIGEST_SETTING, DIGEST_RANGE };

struct digest {
    enum digest_kind kind;
    struct node_id id; /* Of a member or departure; the writer of a setting. */
    struct slice name; /* Of a setting. */
    uint32_t range;
    uint64_t major; /* generation, counter, fork */
    uint64_t minor; /* version, -, epoch */
    uint64_t nonce; /* of the fork */
};

/* Everything that a range-addressed message says about its range. */
struct range_epoch {
    uint32_t range;
    uint32_t fork;
    uint64_t nonce;
    uint64_t epoch;
};

/* A node of a hash tree: the part of the ring whose top bits are PREFIX. */
struct tree_node {
    uint64_t prefix;
    uint64_t digest;
};

/* A ballot: (0, owner of the lowest slot) or (n >= 1, proposer). */
struct ballot {
    uint64_t number;
    struct node_id node;
};

/* What one shard tells another of a peer. */
struct shard_peer {
    struct node_id id;
    bool up;          /* Shard 0's verdict; */
    bool fresh;       /* it is news although it says what the one before did. */
    bool welcomed;    /* The peer has welcomed this life. */
    struct load load; /* Generation 0: nothing new. */
};

/* What a shard has, for shard 0 to say of the node. */
struct shard_figures {
    uint64_t floor; /* As core->floor; 0 while copies of forked ranges are unhanded. */
    uint64_t hint_bytes;
    uint64_t hint_oldest; /* HLC, 0 none. */
    uint64_t logged;      /* As core->logged. */
    uint32_t in_flight;   /* Requests. */
    bool ready;           /* All its ranges are. */
    bool empty;           /* It knows that the node leaves, and has no copy and no hint left. */
    uint64_t forks;       /* As ring.forks. */
};

struct message {
    enum message_type type;
    union {
        struct {
            struct node_id cluster; /* None while joining. */
            struct member self;
            uint64_t position; /* Durable log position. */
            uint64_t nonce;
            /* Records it has of ranges it is a member of; the answer brings the newer ones. */
            const struct range_epoch *epochs;
            uint32_t epochs_count;
        } hello;
        struct {
            struct cluster cluster;
            struct member self;
            uint64_t nonce;
            uint64_t generation_seen; /* The highest ever heard of the receiver, */
            uint64_t position_seen;   /* and its durable log position. */
            uint64_t hlc;
            const struct range_record
                *records; /* Of ranges the receiver is a member of, as far as newer. */
            uint32_t records_count;
        } welcome;
        struct {
            int error;
            struct slice detail;
            uint64_t nonce; /* Of the HELLO: an earlier life's refusal is not ours. */
        } refused;
        struct {
            uint64_t nonce;
            uint64_t
                tables[MEMBER_BUCKETS]; /* Members, departures and settings, XORed by bucket. */
            uint64_t ranges[RING_BUCKETS];
            const struct load *loads;
            uint32_t loads_count;
        } syn;
        struct {
            uint64_t nonce;
            uint16_t tables; /* Bits: buckets that differ and are listed in full in digests. */
            uint64_t ranges;
            bool complete; /* False: the digests did not fit; what is not listed is not missing. */
            const struct digest *digests;
            uint32_t digests_count;
            const struct load *loads;
            uint32_t loads_count;
        } ack;
        struct {
            uint64_t nonce;
            struct delta delta;
            const struct digest *wants; /* What the other side has newer. */
            uint32_t wants_count;
        } ack2;
        struct {
            uint64_t nonce; /* 0: a rumour. */
            struct delta delta;
        } bulk;
        struct {
            uint64_t sequence;
            uint64_t generation;
            uint64_t position; /* Synced. */
            uint64_t hlc;
            struct load load;
            uint64_t wall_ms; /* The sender's own clock, uncorrected; 0: it does not say. */
        } ping;               /* PING, PONG */
        struct {
            uint64_t transfer;
            struct range_epoch range;
            uint8_t slot;
            uint64_t bytes;
            uint64_t rate;
            /* REJECT: */
            int error;
            struct slice detail;
            struct load load; /* ACCEPT, REJECT: of the target now. */
        } offer;              /* OFFER, ACCEPT, REJECT */
        struct {
            struct range_epoch range; /* Of record e, whose successor this is about. */
            struct ballot ballot;
            bool refused; /* PROMISE, ACCEPTED: ballot is the higher one promised. */
            bool has_record;
            struct ballot accepted;     /* PROMISE: under which record was accepted. */
            struct range_record record; /* PROMISE, PROPOSE, CHOSEN */
            uint64_t position;          /* INSTALLED: the log position it is durable at. */
        } vote;                         /* PREPARE, PROMISE, PROPOSE, ACCEPTED, CHOSEN, INSTALLED */
        struct {
            uint64_t transfer;
            struct range_epoch range;
            uint64_t sequence; /* CHUNK: its number from 1. CHUNK_ACK: all up to this are synced. */
            /* CHUNK_ACK: send what comes after this position (end of the last synced chunk). */
            uint64_t cursor;
            struct slice cursor_bucket;
            struct slice cursor_key;
            /* CHUNK: */
            const struct entry *entries;
            uint32_t entries_count;
            bool last;
            uint64_t count;   /* COMPLETE: keys taken in. */
            uint64_t horizon; /* CHUNK: of the sender; the receiver takes it on with the last. */
        } chunk;              /* CHUNK, CHUNK_ACK, COMPLETE */
        struct {
            uint64_t id;
            uint8_t hops;
            uint64_t deadline; /* HLC */
            struct range_epoch range;
            struct request request;
            bool fallback; /* No reader that serves can be reached: coordinate as a fallback. */
        } forward;         /* FORWARD; HANDED: `id` names the client, at which shard. */
        struct {
            uint64_t id;
            struct answer answer;
            bool has_record; /* Newer than the one the request came with. */
            struct range_record record;
        } answer; /* ANSWER; ANSWERED: `id` is the client, and whether it reads. */
        struct {
            uint64_t id;
            struct range_epoch range;
            uint8_t slot;
            struct node_id target; /* Whom it is meant for; refused by others. */
            uint64_t deadline;     /* HLC */
            bool sync;             /* dw: acknowledge after sync whatever the log mode. */
            bool digest;           /* READ: the digest suffices. */
            bool repair;           /* WRITE: not a fresh put; never refused for its stamp. */
            bool hinted;           /* READ: the hint of the key is meant. */
            uint64_t stamp;        /* READ: for an edit that will be stamped so; 0 for a get. */
            struct slice bucket;
            struct slice key;
            struct slice object; /* WRITE, HINT */
            bool has_record;     /* Newer than the receiver is known to have. */
            struct range_record record;
        } write; /* WRITE, READ, HINT */
        struct {
            uint64_t id;
            struct range_epoch range;
            struct slice bucket; /* Empty: all. */
            uint64_t from;
            struct slice from_bucket;
            struct slice from_key;
            uint32_t limit;
            uint64_t to; /* Last hash; 0: all of the range. */
        } scan;
        struct {
            uint64_t id;
            struct range_epoch range;
            uint8_t slot;
            int error; /* 0, WRONG_EPOCH, NOT_READY, UNREADABLE, BUSY, CLOCK_SKEW, DISK_FULL,
                          TIMEOUT; of a hint: NOT_FOUND, TOO_LARGE */
            uint64_t hlc;
            uint64_t digest;
            struct slice object;
            const struct entry *entries; /* of a SCAN */
            uint32_t entries_count;
            bool more;
            bool has_record; /* With WRONG_EPOCH: the newer record. */
            struct range_record record;
        } reply;
        struct {
            struct range_epoch range;
            uint8_t bits;      /* Depth of the nodes below. */
            uint8_t leaf_bits; /* COMPARE: depth of the sender's leaves. */
            /* COMPARE: the sender's; none: all was equal. LEAVES: those spoken of, no digests. */
            const struct tree_node *nodes;
            uint32_t nodes_count;
            /* OBJECTS: what the receiver lacks. */
            const struct entry *entries;
            uint32_t entries_count;
            bool reply; /* It was asked for; ends the exchange. */
            /* LEAVES: hash and digest of each key that the sender has in these leaves, between
             * hashes `from` and `to`. OBJECTS: hashes of the keys that it wants, no digests. */
            const struct tree_node *keys;
            uint32_t keys_count;
            uint64_t from;
            uint64_t to;
            uint64_t horizon;    /* Where the sender's tree stands. */
            uint64_t generation; /* Of the sender's life. */
            /* Of a walk through one bucket, which each answer repeats: its id, and the bucket of
             * which alone keys are listed. COMPARE: `from` is where the walk has come to. */
            uint64_t walk;       /* 0: none, */
            struct slice bucket; /* and empty. */
        } compare;               /* COMPARE, LEAVES, OBJECTS */
        struct {
            uint8_t kind; /* enum roots_kind */
            uint64_t id;  /* Of the batch; 0 for ROOTS_DIRTY. */
            /* Ranges; of ROOTS_ASK with a digest of the data, the record and the horizon. */
            const struct tree_node *nodes;
            uint32_t nodes_count;
        } roots;
        struct {
            struct range_epoch range;
            uint64_t nonce;      /* PROVE: new with each; PROVEN: of the question. */
            uint64_t generation; /* PROVEN: of the sender's life. */
            uint64_t horizon;    /* PROVE, HORIZON: T. PROVEN, HORIZON (reply): the sender's, */
            uint64_t stands;     /* and where its tree stands. */
            uint64_t drops;      /* Digest of all drop counts that the sender knows. */
            uint64_t lives;      /* PROVE: digest of the generations of all readers. */
            bool refused;        /* PROVEN: the two do not stand at one place; see `horizon`. */
            bool reply;          /* HORIZON */
            uint8_t bits;        /* Depth of the nodes. */
            uint8_t leaf_bits;   /* Depth of the sender's leaves. */
            uint64_t from;       /* First hash that is spoken of. */
            uint64_t to;         /* PROVEN: last one. */
            /* PROVE: the sender's, none: tell once what you have is synced. PROVEN: those that
             * differ. */
            const struct tree_node *nodes;
            uint32_t nodes_count;
            const struct entry *entries; /* PROVEN: what is in leaves that differ. */
            uint32_t entries_count;
        } horizon; /* PROVE, PROVEN, HORIZON */
        struct {
            uint8_t shard;      /* Of the sender. */
            uint64_t number;    /* Of this one; 0: it brings no news. */
            uint64_t heard;     /* The highest number that came from the other side. */
            bool entered;       /* The node is a member of */
            struct node_id id;  /* this cluster, */
            struct slice name;  /* named so, */
            uint64_t hash_seed; /* and so on, as in struct cluster. */
            uint8_t range_bits;
            uint8_t copies;
            bool drains;
            bool clocks_known; /* As struct peer_clocks, in two's complement. */
            uint64_t clocks_low;
            uint64_t clocks_high;
            struct delta delta;
            const struct tree_node *chosen; /* Ranges of records that were chosen here. */
            uint32_t chosen_count;
            const struct shard_peer *peers;
            uint32_t peers_count;
            struct shard_figures figures; /* To shard 0. */
            bool repairs;                 /* Compare what this chooses, as in repair_choice. */
            uint32_t repair_first;
            uint32_t repair_last;
            struct node_id repair_node;
            struct slice repair_bucket;
        } news; /* NEWS */
    };
};

#endif
