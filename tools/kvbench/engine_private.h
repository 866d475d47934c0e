/* Inside the load generator: its state, and what its parts need of each other.
 *
 * engine_open.c makes it, engine_issue.c chooses and sends requests, engine_count.c takes in their
 * ends, engine.c turns the loop. */
#ifndef ENGINE_PRIVATE_H
#define ENGINE_PRIVATE_H

#include "kvbench/engine.h"

enum { SAMPLE_SIZE = 200, RANDOM_SIZE = 1 << 20 };
#define RECONNECT_NS 200000000u /* After a refused connection. */

struct address {
    struct sockaddr_storage address;
    socklen_t size;
    char text[128];
};

struct engine {
    struct engine_options options;
    struct workload *workload; /* Borrowed. */
    struct ledger *ledger;     /* Borrowed; may be NULL. */
    struct address nodes[NODES_MAX];
    uint32_t nodes_count;
    int epoll;
    struct lane *lanes; /* Owned; those of stream 0 first. */
    uint32_t lanes_count;
    uint32_t first[STREAMS_MAX]; /* The first connection of each stream, */
    uint32_t turn[STREAMS_MAX];  /* and whose turn it is in an open loop. */
    double next_ns[STREAMS_MAX]; /* The next intended start. */
    struct lane **dirty;         /* Owned: those with something to send. */
    uint32_t dirty_count;
    uint64_t under_way;
    uint64_t issued;
    bool stopping; /* Issue nothing more. */
    uint64_t each_next;
    uint64_t *again; /* Owned: keys that failed, and how often. */
    uint8_t *attempts;
    uint64_t again_count;
    uint64_t rest_ns; /* An `each` stream issues nothing before: a server was BUSY. */
    uint64_t given_up;
    uint8_t *random; /* Owned: what unchecked values are cut from. */
    struct buf value;
    struct tally tallies[STREAMS_MAX];
    char samples[SAMPLES_MAX][SAMPLE_SIZE];
    uint32_t samples_count;
    uint64_t now_ns;
};

/* Connect LANE to its next node. */
void engine_reopen(struct engine *engine, struct lane *lane);
/* Say whether LANE waits to be writable. */
void engine_watch(struct engine *engine, struct lane *lane, bool writable);
/* LANE has something to send before the loop sleeps. */
void engine_dirty(struct engine *engine, struct lane *lane);
/* Send the put of OP, or its second half. */
void engine_send_put(struct engine *engine, struct lane *lane, struct op *op, struct slice context);
/* Fill the free places of LANE, of a closed loop. */
void engine_issue_closed(struct engine *engine, struct lane *lane);
/* Send all that is due by now of stream S, as far as there are free places: the rest keeps its
 * intended start. */
void engine_issue_open(struct engine *engine, uint32_t s);
/* The end of OP; with ERROR 0 it went well. LOST: there was no answer. */
void engine_finish(struct engine *engine, struct lane *lane, struct op *op, int error,
                   struct slice detail, bool lost);
/* One answer; an op may go on with its second half. */
void engine_answered(struct engine *engine, struct lane *lane, const struct reply *reply);

#endif
