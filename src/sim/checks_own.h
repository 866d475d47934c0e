/* What the files of the checkers share, and nobody else includes. */
#ifndef SIM_CHECKS_OWN_H
#define SIM_CHECKS_OWN_H

#include "base/checksum.h"
#include "base/map.h"
#include "sim/checks.h"

/* Every record that was ever spoken of as chosen, by range, in order of first sight. */
struct record_list {
    struct range_record *records; /* Owned. */
    uint32_t count;
    uint32_t capacity;
};

/* What a host has in its log of one range. */
struct install {
    struct range_epoch submitted;
    struct range_epoch durable;
    uint64_t position; /* Of `submitted`, once known; 0 before. */
    uint64_t token;    /* Of its store operation. */
    uint64_t dropped;  /* Position of a drop after which no data came; 0 none. */
};

/* What a host takes in of one range. */
struct inbound {
    uint64_t transfer; /* 0: nothing. */
    uint64_t asked_us; /* When it last asked for a chunk of it. */
};

/* A store operation under way. */
struct flight {
    uint64_t token;
    enum store_op_type type;
    bool install;
    bool handed; /* CHUNK: of a former member's copy. */
    bool heals;  /* MERGE */
    struct range_epoch range;
    struct dot dot;         /* UPDATE */
    uint32_t number;        /* UPDATE of policy siblings: of the put, 0 for a delete. */
    uint64_t key_hash;      /* UPDATE */
    uint64_t horizon;       /* COLLECT */
    const struct dot *dots; /* HINT_MERGE: of what is to be taken in. Borrowed from the arena. */
    uint32_t dots_count;
    struct flight *next;
};

/* Of a version that was written once more. */
struct second_self {
    struct dot first;
    struct stamp stamp;
};

/* Versions of a key, the one made last first. */
struct past {
    struct dot dot;
    uint64_t hlc;
    struct slice context; /* In the arena. */
    uint64_t dead_from;   /* UINT64_MAX: it lives until it is overwritten. */
    enum policy policy;
    uint64_t asked; /* Number of the question that came to it last (checks_past.c). */
    struct past *older;
};

/* Log positions of chunks that were handed over to a host and not acknowledged yet. */
enum { HANDED_MAX = 1024 }; /* A disk that stands still for a minute collects repetitions. */
struct handed {
    uint64_t *positions; /* In the arena, HANDED_MAX of them; NULL before the first. */
    uint32_t count;
    uint64_t synced;
};

/* Stands for the number of a slot: a quorum of slots has the version. */
enum { QUORUM_OF_SLOTS = SLOTS_MAX };

/* That a slot has a version: which hosts acknowledged it under one epoch. */
struct slot_ack {
    uint32_t range;
    uint64_t epoch;
    uint8_t slot;
    struct dot dot;
    uint64_t key_hash;
    struct slice bucket, key; /* In the arena. */
    uint32_t hosts;           /* Bits. */
    uint32_t lost_hosts;      /* Bits: who lost the key's record since, */
    uint32_t lost_slots;      /* and of which slots they were. */
    bool complete;
    struct slot_ack *next; /* In its range. */
};

/* A WRITE on its way: what the REPLY to it will acknowledge; no bucket: it is a READ. */
struct write_sent {
    struct slice bucket, key;
    struct dot *dots; /* In the arena. */
    uint32_t dots_count;
    uint32_t hinted; /* Bits by host: that it was sent to as a HINT, or that was asked for one; */
    uint32_t owned;  /* and that it was sent to as an owner. */
};

struct checks {
    struct arena arena;
    uint64_t chain_questions;     /* About versions that were written once more. */
    struct buf bytes;             /* Owned scratch, of an encoding to be hashed. */
    struct record_list *lists;    /* Owned, by range. */
    struct record_list *proposed; /* Owned, by range: what may follow the newest of them yet. */
    uint32_t ranges;
    struct install *installs;   /* Owned, by host, then range. */
    struct map versions;        /* (range, dot) -> fingerprint */
    struct map seconds;         /* (range, dot of a second self) -> struct second_self */
    struct map generations;     /* (host, generation) -> life + 1 */
    struct map acks;            /* (range, epoch, slot, dot) -> struct slot_ack */
    struct map ballots;         /* (range, epoch, ballot) -> fingerprint of what it proposes */
    struct map voters;          /* (range, epoch, host) -> struct voter */
    struct map pasts;           /* (range, key) -> struct past */
    struct map hints_taken;     /* (host, life, range, dot) -> log position */
    struct map streams;         /* (transfer, target) -> struct stream */
    struct map members;         /* (node, version) -> fingerprint; (observer, node) -> version */
    struct map writes;          /* (coordinator, life, id, slot) -> struct write_sent */
    struct map sources;         /* (range, transfer) -> bits: slots that sent all they have */
    struct map lost;            /* (host, key) -> that it lost what it had of the key, once */
    struct slot_ack **complete; /* Owned, by range: all acks, newest first. */
    struct flight *flights[HOSTS_MAX];
    struct flight *free_flights;
    struct handed handed[SHARDS_MAX][HOSTS_MAX]; /* Each shard has a log of its own. */
    struct map gone;                             /* (range, key) -> struct gone */
    struct map shown;                            /* (host, range) -> struct shown */
    struct map questions;                        /* (host, range, asker, nonce): was answered. */
    uint64_t *horizons_sent;    /* Owned, by range: the highest that a node spoke of as proven. */
    uint64_t *asked;            /* Owned, by range: the last question of a proof. */
    uint64_t *horizons;         /* Owned, by range: the highest that a node took. */
    uint64_t floors[HOSTS_MAX]; /* The highest that the node promised. */
    struct inbound *inbound;    /* Owned, by host, then range. */
    bool fresh[HOSTS_MAX];      /* What the node is handling brings it a new version. */
    bool forgotten[HOSTS_MAX];  /* What it is handling is of an earlier life of its sender. */
    bool left[HOSTS_MAX];       /* It has said good-bye: others may have it no longer. */
    struct map handed_keys;     /* (host, life, range, epoch, key): was handed over under that. */
    struct map rounds;          /* (coordinator, life, id) -> struct read_round */
    struct map readings;        /* (coordinator, key) -> its newest struct read_round */
};

static inline struct install *install_of(const struct checks *checks, uint32_t host, uint32_t range)
{
    return &checks->installs[(size_t)host * checks->ranges + range];
}

/* The record of that epoch, which is no other fork's (data/fork.h), if it was seen, else NULL. */
const struct range_record *checks_find_epoch(const struct checks *checks, uint32_t range,
                                             uint64_t epoch);
/* The record of that (range, fork, nonce, epoch) if it was seen, else NULL. */
const struct range_record *checks_find(const struct checks *checks,
                                       const struct range_epoch *range);
int checks_compare(const struct range_epoch *a, const struct range_epoch *b);

/* checks_hints.c */
/* A hint was forgotten, or some of the slots that it is for. */
void checks_hint_settled(struct world *world, uint32_t host, const struct store_done *done);
/* HOST is to take the hint of OP. */
void checks_hint_brought(struct world *world, const struct store_op *op, struct flight *flight);
/* A hint is in HOST's log. */
void checks_hint_taken(struct world *world, uint32_t host, const struct flight *flight,
                       const struct store_done *done);
void checks_hint_acknowledged(struct world *world, uint32_t host, uint32_t range,
                              const struct write_sent *sent);
void checks_hints_bounded(struct world *world, uint32_t host);
/* HOST departs: it holds no hint any more. */
void checks_hints_left(struct world *world, uint32_t host);
/* How many hosts have acknowledged that version under that epoch, for whatever slot? */
uint32_t checks_holders(const struct world *world, uint32_t range, uint64_t epoch, struct dot dot,
                        uint32_t hosts);

/* checks_ring.c */
/* Who reads SLOT, by the checkers' own table of stages; none if nobody does. */
struct node_id checks_reader(const struct slot *slot);
void checks_record_chosen(struct world *world, uint32_t speaker, const struct range_record *record);
void checks_record_proposed(struct world *world, uint32_t speaker,
                            const struct range_record *record);

/* checks_data.c */
void checks_versions(struct world *world, uint32_t range, struct slice bucket, struct slice key,
                     struct slice object);
void checks_put_answered(struct world *world, const struct answer *answer, bool strict,
                         struct slice bucket, struct slice key, struct dot dot);
void checks_write_sent(struct world *world, uint32_t from, uint32_t to,
                       const struct message *message);
void checks_write_acknowledged(struct world *world, uint32_t from, uint32_t to,
                               const struct message *message);
/* NULL if the version was not written once more. In the arena. */
const struct second_self *checks_second_self(const struct world *world, uint32_t range,
                                             struct dot dot);
/* Was the version DOT one that was made again, and does SIBLING overwrite it by its first dot? */
bool checks_overwrites(const struct world *world, uint32_t range, const struct sibling *sibling,
                       struct dot dot);
/* Was the version itself collected, or covered by one that was? No dot: was any of the key? */
bool checks_gone_itself(const struct world *world, uint32_t range, uint64_t key_hash,
                        struct dot dot);
/* HOST has made the version that FLIGHT names, on top of OBJECT's other ones. */
void checks_made(struct world *world, uint32_t host, const struct flight *flight,
                 struct slice object);
/* HOST has a record of RANGE in its log: as a reader, has it everything? */
void checks_complete(struct world *world, uint32_t host, const struct range_record *record);

/* Did HOST ever lose what it had of the key of HASH? */
bool checks_lost(const struct checks *checks, uint32_t host, uint64_t hash);

/* checks_taken.c */
/* HOST hands OP to its store. */
void checks_taken(struct world *world, uint32_t host, const struct store_op *op);

/* checks_reads.c */
/* A coordinator asks for a key, or reads its own copy of it. */
void checks_read_sent(struct world *world, uint32_t from, const struct message *message);
void checks_read_own(struct world *world, uint32_t host, const struct store_op *op);
/* FROM answers TO, which may have asked for a key. */
void checks_read_replied(struct world *world, uint32_t from, uint32_t to,
                         const struct message *message);

/* checks_transfer.c */
/* FROM sends TO a chunk, or says what it has of a transfer. */
void checks_chunk(struct world *world, uint32_t from, uint32_t to, const struct message *message);
/* RECORD, which follows BASE, is chosen: was what begins in it ordered? */
void checks_ordered(struct world *world, uint32_t speaker, const struct range_record *base,
                    const struct range_record *record);

/* Of the versions of a key, in `pasts`. */
uint64_t checks_past_name(uint32_t range, uint64_t key_hash);

/* checks_horizon.c */
void checks_collected(struct world *world, uint32_t host, const struct flight *flight,
                      const struct store_done *done);
/* HOST is about to write down that it takes HORIZON on. */
void checks_horizon_taken(struct world *world, uint32_t host, uint32_t range, uint64_t horizon);
/* PROVE, PROVEN and HORIZON; a CHUNK. */
void checks_horizon_message(struct world *world, uint32_t from, uint32_t to,
                            const struct message *message);
/* Nobody has to have SIBLING any more, nor what it or HISTORY covers. */
struct gone *checks_gone_add(struct world *world, uint32_t range, uint64_t key_hash,
                             const struct sibling *sibling, struct slice history);
/* HOST's copy of RANGE (UINT32_MAX: of any) may be another from now on. */
void checks_gone_forget(struct world *world, uint32_t host, uint32_t range);
/* HOST has merged into a key; OBJECT is what it has now. */
void checks_merged(struct world *world, uint32_t host, const struct flight *flight,
                   struct slice object);
void checks_floor(struct world *world, uint32_t host, const struct load *load);
/* HOST has made a version. */
void checks_stamped(struct world *world, uint32_t host, uint32_t range, uint64_t hlc);

/* checks_healed.c */
/* HOST has healed a damaged key, which is OBJECT now: what was dead in it went. */
void checks_healed(struct world *world, uint32_t host, const struct flight *flight,
                   struct slice object);

/* checks_votes.c */
void checks_vote(struct world *world, uint32_t from, const struct message *message);

/* checks_cleanup.c */
/* HOST deleted its copy of RANGE for good before it started again. */
void checks_stays_dropped(struct world *world, uint32_t host, uint32_t range);
/* HOST is about to delete its copy of RANGE. */
void checks_dropped(struct world *world, uint32_t host, uint32_t range);
/* A chunk that a former member handed over is in HOST's log up to POSITION. */
void checks_handed(struct world *world, uint32_t host, uint32_t range, uint64_t position);
struct handed *checks_handed_of(const struct world *world, uint32_t host, uint32_t range);
/* HOST says that the oldest of them is on its disk. */
void checks_handed_acknowledged(struct world *world, uint32_t host, uint32_t range);

/* FROM hands over what it is about to delete. */
void checks_hands_over(struct world *world, uint32_t from, const struct message *message);
/* HOST says that it has deleted its copy of RANGE. */
void checks_says_dropped(struct world *world, uint32_t host, uint32_t range);

/* checks_lost.c */
/* HOST is about to read RANGE for a transfer, if its record has one. */
void checks_snapshot(struct world *world, uint32_t host, uint32_t range);
void checks_chunk_sent(struct world *world, uint32_t from, const struct message *message);
/* Has the slot that BASE rebuilds been sent all that enough other slots have? */
bool checks_rebuilt(const struct checks *checks, const struct range_record *base);
/* The epoch at which slot NUMBER was last filled from others (LEARN, REBUILD) before RECORD, 0 if
 * it never was. */
uint64_t checks_filled_at(const struct checks *checks, const struct range_record *record,
                          uint8_t number);
/* FROM votes on what follows (range, epoch): it must be the reader of a slot. */
void checks_voter(struct world *world, uint32_t from, const struct range_epoch *range);
/* FROM, whose disk is older than what it had said, sends MESSAGE. */
void checks_amnesiac(struct world *world, uint32_t from, const struct message *message);

#endif
