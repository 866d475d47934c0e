/* Gossip: spreads who is a member, who has departed, the settings, and chosen range records, until
 * all nodes have the same (protocol.md, "Gossip"; Demers et al., "Epidemic Algorithms for
 * Replicated Database Maintenance", 1987: anti-entropy, and rumours for what is new).
 *
 * A round: SYN brings hashes of all tables by bucket; ACK lists what is in those that differ, or
 * the news of those too large to list; ACK2 brings what the answering node lacks and asks for what
 * it has newer; BULK brings that, and whatever did not fit. A lost or repeated message costs a
 * round, no more: merging is idempotent, and the next round compares afresh. A crash forgets
 * nothing but news that no disk has yet, which peers tell again; a setting is answered and spread
 * only once it is on the own disk, so that a counter is never used twice.
 *
 * Memory: the tables' own bounds, RUMOURS_MAX rumours, ROUNDS_MAX + ANSWERED_MAX nonces,
 * PENDINGS_MAX changes on their way to the disk, and one load for each member. */
#ifndef GOSSIP_H
#define GOSSIP_H

#include "core/core.h"
#include "core/loads.h"
#include "core/news.h"
#include "core/pages.h"
#include "core/rift.h"

enum { ROUNDS_MAX = 8, ANSWERED_MAX = 32, TOLD_AT_ONCE = 3, PENDINGS_MAX = 8, SEEDS_MAX = 64 };

/* Some of the buckets that tables are compared by (digests.h). */
struct buckets {
    uint16_t tables;
    uint64_t ranges;
};

/* An exchange under way. */
struct round {
    uint64_t nonce;      /* 0: none. */
    struct node_id peer; /* NODE_NONE: a seed whose id is not known yet. */
    struct buckets told; /* Of which our news was told in answer to pages not complete. */
};

/* A change made here, waiting for the disk before anybody hears of it. */
struct gossip_pending {
    uint64_t token; /* 0: free. */
    uint64_t client;
    bool has_setting;
    struct departure departure;
    struct range_record *forks; /* Owned: told with the departure. */
    uint32_t forks_count;
    uint32_t stores; /* Of forks, that are not durable yet. */
    struct buf name; /* Owned. */
    struct buf value;
    uint64_t counter;
    struct node_id known; /* Writer of the value that it replaces. */
};

struct gossip_counters {
    uint64_t equal;         /* Comparisons that found nothing, */
    uint64_t different;     /* and that found something. */
    uint64_t stale;         /* Replies dropped: their round is over. */
    uint64_t refused;       /* Malformed in sense: from strangers' rounds, departed nodes. */
    uint64_t converging_us; /* Since when comparisons differ; 0: the last one was equal. */
    uint64_t converged_us;  /* How long the last time took from the first difference to equal. */
};

struct gossip {
    struct member self; /* What this node says about itself; strings owned, in `strings`. */
    struct buf strings;
    uint64_t version;
    struct slice seeds[SEEDS_MAX]; /* In `seed_text`. */
    uint32_t seeds_count;
    struct buf seed_text;
    struct timer timer;
    struct round rounds[ROUNDS_MAX]; /* Begun here, newest overwrites oldest. */
    uint32_t rounds_next;
    struct round answered[ANSWERED_MAX]; /* Begun by others. */
    uint32_t answered_next;
    struct rumours rumours;
    struct pages pages;
    struct load_table loads;
    uint64_t load_sequence;
    struct digest *listing; /* Owned scratch: one bucket's digests. */
    uint32_t listing_count;
    uint32_t listing_capacity;
    uint32_t cursor; /* The bucket that is listed first, so that all have their turn. */
    struct gossip_pending pendings[PENDINGS_MAX];
    uint64_t tokens;
    struct gossip_counters counters;
    struct rift rift;
    bool started;
    bool halted;
};

/* SELF's strings and the seeds (host:port; at most SEEDS_MAX count) are copied. SELF's generation,
 * version and status are filled in at publishing. */
void gossip_init(struct gossip *gossip, const struct member *self, const struct slice *seeds,
                 uint32_t seeds_count);
void gossip_done(struct gossip *gossip);

/* Take in a meta entry found at start; entries of other kinds are passed over. META_CHOSEN needs
 * the ring, so core_join comes first. 0 or ERR_CORRUPT. */
int gossip_restore(struct gossip *gossip, struct core *core, const struct meta *meta) CHECK_RESULT;

/* Begin rounds, the first one at once. The node has joined and published itself. */
void gossip_start(struct gossip *gossip, struct core *core);
/* Begin no rounds: another shard of the node does, and this one only tells what it must. */
void gossip_follow(struct gossip *gossip);
/* Takes SYN, ACK, ACK2 and BULK. A node that has departed is told so when it begins an exchange,
 * and not heard otherwise. */
void gossip_message(struct gossip *gossip, struct core *core, struct node_id from,
                    const struct message *message);
/* A change made here is on the disk (token of OWNER_GOSSIP), */
void gossip_durable(struct gossip *gossip, struct core *core, uint64_t token);
/* or the store refused it. */
void gossip_refused(struct gossip *gossip, struct core *core, const struct store_done *done);

/* Do not wait for the next round to tell of a change made here: tell TOLD_AT_ONCE live nodes the
 * newest rumours or, if it is too LARGE for one, compare tables with them. In a small cluster all
 * then know it at once, and a node that stops has told somebody that it does. */
void gossip_tell_now(struct gossip *gossip, struct core *core, bool large);

/* Write a new version of the own member record and spread it. */
void gossip_publish(struct gossip *gossip, struct core *core, enum member_status status);
/* Carry out COMMAND_SET: answers CLIENT (0: nobody) once the new version is on the disk, and
 * spreads it then; at once with BAD_REQUEST, TOO_LARGE, CONFLICT (a conditional set that comes too
 * late), or BUSY. */
void gossip_set(struct gossip *gossip, struct core *core, uint64_t client,
                const struct command *command);
/* Declare that a node has left for ever, in the same way. */
void gossip_depart(struct gossip *gossip, struct core *core, uint64_t client, struct node_id id,
                   enum departure_kind kind);
/* The same, by an administrator who accepts that no majority is left of some ranges: these are
 * forked (data/fork.h), in the log before anybody hears of it. */
void gossip_accept_loss(struct gossip *gossip, struct core *core, uint64_t client,
                        struct node_id id);
/* Take in what came with a handshake or by other ways than gossip, and pass it on. Returns how much
 * of it was news. */
uint32_t gossip_learn(struct gossip *gossip, struct core *core, const struct delta *delta);
/* FROM gives slots to others by RECORD: where one of these has left the cluster, FROM does not know
 * that yet, and is told before it goes on. */
void gossip_judge_record(struct gossip *gossip, struct core *core, struct node_id from,
                         const struct range_record *record);
/* A record of RANGE that came into the ring by other ways is worth telling. */
void gossip_spread_record(struct gossip *gossip, struct core *core, uint32_t range);

/* The own load, to be told from now on; id, generation and sequence are filled in. */
void gossip_set_load(struct gossip *gossip, struct core *core, const struct load *load);
/* A load that came by other ways. Members' only. */
void gossip_load(struct gossip *gossip, struct core *core, const struct load *load);

#endif
