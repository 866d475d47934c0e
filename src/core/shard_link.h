/* What one shard of a node has still to tell another (docs/decisions/0036): shard 0 each other one
 * what gossip, the detector and the handshake bring, and the others shard 0 what it passes on.
 *
 * One NEWS is under way at a time. What changes meanwhile is noted here, in sets as large as the
 * tables they are of, and goes with the next, at most a page of it. Mailboxes lose nothing and keep
 * order, and a crash takes both sides: so nothing is ever repeated.
 *
 * Costs: a look over all members for each NEWS, if any of them changed. */
#ifndef SHARD_LINK_H
#define SHARD_LINK_H

#include "core/core.h"
#include "core/loads.h"

struct handshake;

/* Of a member, what the other side has been told. */
struct told;

struct shard_link {
    uint8_t shard;   /* The other side. */
    bool tells_all;  /* Here is shard 0: tables and verdicts; else records alone. */
    uint64_t number; /* Of the last NEWS that was sent, */
    uint64_t acked;  /* and the last one that the other side has taken in. */
    uint64_t heard;  /* The last one from there; */
    bool owes;       /* that has still to be said. */
    bool due;        /* Something is to be told. */
    bool entered;    /* Told: that the node is a member, */
    bool drains;     /* that it stops. */
    struct peer_clocks clocks;
    uint32_t departures; /* How many of them were told. */
    uint64_t members_seen;
    struct told *told; /* Owned; sorted by id. */
    uint32_t told_count;
    uint64_t *records;            /* Owned bits by range, NULL before the first: newer records, */
    uint64_t *chosen;             /* and of them those that were chosen here. */
    struct buf settings;          /* Owned. Names, each behind its size in a byte. */
    struct shard_figures figures; /* As the other side last gave them. */
};

void shard_link_init(struct shard_link *link, uint8_t shard, bool tells_all);
void shard_link_done(struct shard_link *link);

/* Note what is to be told. */
void shard_link_record(struct shard_link *link, const struct core *core, uint32_t range,
                       bool chosen);
void shard_link_setting(struct shard_link *link, struct slice name);
/* The verdict on NODE was given again. */
void shard_link_verdict(struct shard_link *link, struct node_id node);
/* The other side has brought RECORD itself. */
void shard_link_knows(struct shard_link *link, const struct core *core,
                      const struct range_record *record);

/* Has the other side taken in all changes of settings, and the departures before them? */
bool shard_link_level(const struct shard_link *link);
/* Are the peers' clocks other ones than were told? */
bool shard_link_clocks_changed(const struct shard_link *link, const struct core *core);
/* Fill in the next page of what has changed, for MESSAGE in the effects' arena. False: there is
 * nothing. */
bool shard_link_fill(struct shard_link *link, struct core *core, const struct load_table *loads,
                     struct message *message);

#endif
