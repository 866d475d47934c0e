/* The nodes, the network and the clock of the gossip model (gossip_model.h): the gossip machines of
 * one cluster, messages as bytes, and nothing else that a node has.
 *
 * All nodes know the same from the start: every member, some settings, a small ring. */
#ifndef GOSSIP_WORLD_H
#define GOSSIP_WORLD_H

#include "core/gossip.h"

enum { WORLD_RANGE_BITS = 6, WORLD_RECORD_MEMBERS = 3 };

/* What is to happen. */
struct occurrence {
    struct heap_node heap;
    enum { WAKE, ARRIVAL, MAIL } kind;
    uint32_t to;
};

struct gossip_node {
    struct occurrence wake;
    struct core core;
    struct gossip gossip;
};

/* What was sent, lost messages too, and how long how many nodes ran. */
struct gossip_sums {
    uint64_t bytes, messages;
    double node_us;
};

struct gossip_world {
    uint32_t count;
    double loss;
    /* A node may have learned something. */
    void (*news)(struct gossip_world *world, uint32_t n);

    uint64_t now; /* Virtual, microseconds. */
    uint32_t running;
    struct gossip_node *nodes; /* Owned. */
    bool *up;                  /* Owned; by node, does it run? */
    struct prng prng;
    struct heap occurrences;
    struct effects effects;
    struct buf bytes;
    struct arena arena; /* Of a decoded message. */
    struct gossip_sums sums;
    uint64_t message_bytes; /* The largest one. */
};

struct node_id gossip_world_id(uint32_t n);
uint32_t gossip_world_index(struct node_id id);

/* COUNT, LOSS and NEWS are set, all else is zeroed. */
void gossip_world_start(struct gossip_world *world, uint64_t seed);
/* Frees all, zeroes it. */
void gossip_world_end(struct gossip_world *world);

/* Let all happen that does up to this time. */
void gossip_world_run(struct gossip_world *world, uint64_t until);
/* Around calls of a node's gossip machine. */
void gossip_world_begin_step(struct gossip_world *world, struct gossip_node *node);
void gossip_world_end_step(struct gossip_world *world, struct gossip_node *node);

/* A record of RANGE with random members. */
struct range_record gossip_world_record(struct gossip_world *world, uint32_t range, uint64_t epoch);
/* A member is told of a record by its chooser, again until it hears. */
void gossip_world_mail(struct gossip_world *world, const struct range_record *record, uint32_t to);
/* It dies. */
void gossip_world_stop(struct gossip_world *world, uint32_t n);

#endif
