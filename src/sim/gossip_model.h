/* Gossip at scale: thousands of nodes' gossip machines (core/gossip.h) under one virtual clock,
 * every message through the real codec, to count how many rounds a change takes to reach everybody
 * and what that costs.
 *
 * Only gossip runs: no data, no votes, no pings (which are counted apart), and every node that runs
 * is known to be up. What goes to the disk is there at once. Messages take 1 to 10 ms and are lost
 * at will. A small cluster is drawn anew until there were enough changes.
 *
 * All chance comes from the seed. Costs: at 10,000 nodes about 0.3 MB a node, for its tables have a
 * pointer to every member, whose records all share, and what it has heard of their loads. */
#ifndef GOSSIP_MODEL_H
#define GOSSIP_MODEL_H

#include "base/base.h"

enum change_kind {
    CHANGE_MEMBER = 0, /* A node publishes a new version of its member record. */
    CHANGE_SETTING,    /* A new setting, made at any node. */
    CHANGE_RECORD,     /* A chosen range record, mailed to its three members. */
    CHANGE_DEPARTURE,  /* A node that died is removed at any other. */
};
enum { CHANGE_KINDS = CHANGE_DEPARTURE + 1, MODEL_NODES_MIN = 10, MODEL_NODES_MAX = 10000 };

struct gossip_model_options {
    uint32_t nodes; /* MODEL_NODES_MIN..MODEL_NODES_MAX */
    double loss;    /* Share of all messages, below 1. */
    uint64_t seed;
    uint32_t changes;         /* Of each kind, at least; 0: 100, or 25 of over 1,000 nodes. */
    uint64_t (*cpu_us)(void); /* Of this process; NULL: all costs are 0. */
};

/* Gossip intervals from a change until every running node knows it. */
struct gossip_rounds {
    double p50, p99, max;
    uint32_t count;
};

/* Of one node in one second. */
struct gossip_traffic {
    double bytes; /* Frames sent, lost ones too. */
    double messages;
    double cpu_us; /* With the model's own. */
};

struct gossip_figures {
    struct gossip_rounds all, kinds[CHANGE_KINDS];
    struct gossip_traffic idle; /* Everybody knows everything. */
    struct gossip_traffic busy; /* A change a second anywhere in the cluster. */
    uint32_t worlds;
    uint32_t unknown;       /* Changes that somebody did not know at the end, */
    uint32_t different;     /* and nodes whose tables then differed from the first one's. */
    uint64_t message_bytes; /* The largest message, */
    uint64_t messages;      /* and how many there were. */
    double virtual_s;
};

void gossip_model_run(const struct gossip_model_options *options,
                      struct gossip_figures *ret_figures);

const char *change_kind_name(enum change_kind kind);

#endif
