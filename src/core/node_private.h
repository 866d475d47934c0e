/* The whole of a node: shared by its files, and by nobody else. */
#ifndef NODE_PRIVATE_H
#define NODE_PRIVATE_H

#include "core/coord.h"
#include "core/detector.h"
#include "core/followed.h"
#include "core/gossip.h"
#include "core/handshake.h"
#include "core/hints.h"
#include "core/horizon.h"
#include "core/node.h"
#include "core/register.h"
#include "core/repair.h"
#include "core/replica.h"
#include "core/shard_link.h"
#include "core/tenure.h"
#include "core/transfer.h"

/* What makes this one shard of several. */
struct shards {
    struct shard_link
        *links[SHARDS_MAX]; /* Owned; by the other side's number, NULL: there is none. */
    bool entered;           /* Not the first: that has said that the node is a member; */
    bool counted;           /* the cell of this life is durable here. */
    uint32_t in_flight;     /* Requests, as told last. */
    struct timer timer;
};

struct node {
    struct core core;
    struct gossip gossip;
    struct detector detector;
    struct handshake handshake;
    struct registers registers;
    struct replica replica;
    struct coord coord;
    struct hints hints;
    struct transfers transfers;
    struct repairs repairs;
    struct horizons horizons;
    struct followed followed; /* In place of the detector, in a shard that is not the first. */
    struct shards shards;
    enum node_state state;
    struct cluster joining;  /* The cluster that is being written down; id none otherwise. */
    struct buf joining_name; /* Owned. */
    uint64_t tenure_floor;   /* See META_COUNTER below. */
    struct timer pace;
    struct timer drain;
    uint64_t drain_client;
};

/* What a durable cell of the node itself means once it is synced. */
void node_durable(struct node *node, uint64_t token);
/* A WELCOME names the cluster that this node now belongs to: write it down, then enter. */
void node_join(struct node *node, const struct cluster *cluster);
/* COMMAND_DRAIN. */
void node_drain(struct node *node, uint64_t client);
/* node_pace.c. Judge the pace of work in the background from now on. */
void node_pace_start(struct node *node);
/* The node is a member, and this life of it is on the disk: begin. */
void node_enter(struct node *node);
void node_not_ready(struct core *core, uint64_t client);

/* node_shards.c. Of a node of several shards, */
void shards_init(struct node *node);
void shards_done(struct node *node);
void shards_start(struct node *node);
/* what others of its shards are to hear of, */
void shards_signal(struct node *node, const struct signal *signal);
/* what they are told at the end of a step, */
void shards_flush(struct node *node);
/* what they say (HANDED, ANSWERED, NEWS), */
void shards_message(struct node *node, const struct message *message);
/* and a request that another one runs: true if it was handed over. */
bool shards_hand_over(struct node *node, uint64_t client, const struct request *request);
/* COMMAND_REPAIR, for the others. */
void shards_repair(struct node *node, const struct repair_choice *choice);
/* Add what the others said of themselves. */
void shards_load(const struct shards *shards, struct load *load);
/* Does another shard know other forks than FORKS? What it says of its copies is old then. */
bool shards_forks_differ(const struct shards *shards, uint64_t forks);
bool shards_ready(const struct shards *shards);
/* Have all others nothing that the node must not leave with? */
bool shards_empty(const struct shards *shards);
/* Are requests under way at any, or do some not know yet that the node stops? */
bool shards_busy(const struct shards *shards);
/* Deliver signals until there are none. */
void node_deliver(struct node *node);

#endif
