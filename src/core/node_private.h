/* The whole of a node: shared by its files, and by nobody else. */
#ifndef NODE_PRIVATE_H
#define NODE_PRIVATE_H

#include "core/coord.h"
#include "core/detector.h"
#include "core/gossip.h"
#include "core/handshake.h"
#include "core/hints.h"
#include "core/horizon.h"
#include "core/node.h"
#include "core/register.h"
#include "core/repair.h"
#include "core/replica.h"
#include "core/tenure.h"
#include "core/transfer.h"

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
/* Deliver signals until there are none. */
void node_deliver(struct node *node);

#endif
