/* The ways between the shards of a node: what one thread has for another, in order.
 *
 * A lane goes from one shard to another. The sender gathers what it has in a turn of its loop and
 * hands it over at the end of the turn as one parcel, with one wake-up; the receiver takes all
 * parcels that there are. No locks: a parcel changes hands by one atomic exchange.
 *
 * Bounds: messages that may be lost, and requests, find no room while LANE_BYTES_MAX wait in a
 * lane, those over LANE_LARGE bytes while half of that does, so that they leave room for others.
 * What is owed does (docs/decisions/0036), and so do calls, which are few. */
#ifndef LANES_H
#define LANES_H

#include "core/message.h"

#include <uv.h> /* After base.h: both name MIN and MAX. */

enum { LANE_BYTES_MAX = 32 * 1024 * 1024, LANE_LARGE = 4096 };

struct lanes;

struct lanes_counters {
    uint64_t handed;  /* Messages, requests and answers that another shard was given, */
    uint64_t parcels; /* in so many parcels, each with a wake-up at most; */
    uint64_t full;    /* and those for which there was no room. */
};

/* What a lane brings. */
struct lanes_events {
    void (*message)(void *arg, struct node_id from, struct slice payload);
    /* Something else to be done on the receiver's thread. */
    void (*call)(void *arg, void (*run)(void *arg, void *what), void *what);
    /* Before the first of them. */
    void (*begin)(void *arg);
    void *arg;
};

struct lanes *lanes_new(uint32_t shards);
/* Once no thread uses them any more. What was not taken is lost. */
void lanes_free(struct lanes *lanes);
/* Shard number SHARD takes on LOOP what comes: before any thread runs. */
void lanes_open(struct lanes *lanes, uint32_t shard, uv_loop_t *loop,
                const struct lanes_events *events);
/* On the thread of SHARD, or once no thread runs: take nothing more. */
void lanes_close(struct lanes *lanes, uint32_t shard);

/* On the thread of FROM. False: no room, which there always is for what is OWED. */
bool lanes_message(struct lanes *lanes, uint32_t from, uint32_t to, struct node_id sender,
                   bool owed, struct slice payload);
/* On the thread of FROM: have RUN called on that of TO, with what its events have as ARG. */
void lanes_call(struct lanes *lanes, uint32_t from, uint32_t to, void (*run)(void *arg, void *what),
                void *what);
/* End of a turn of FROM: hand over what was gathered. */
void lanes_flush(struct lanes *lanes, uint32_t from);
const struct lanes_counters *lanes_counters(const struct lanes *lanes, uint32_t from);

#endif
