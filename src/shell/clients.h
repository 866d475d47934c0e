/* The client port: listener, sessions, and the bounds they share.
 *
 * All sessions read into one buffer of the loop; only what is left of a begun request is kept by
 * the session itself. */
#ifndef CLIENTS_H
#define CLIENTS_H

#include <stdatomic.h>

#include "shell/calls.h"
#include "shell/conn.h"
#include "shell/engine.h"
#include "shell/logger.h"
#include "shell/metrics.h"

enum {
    CLIENTS_ROOM_SIZE = 256 * 1024,
    CLIENTS_INPUT_MAX = 256 * 1024 * 1024, /* Begun requests of all sessions. */
    CLIENTS_OUTPUT_MAX = 512 * 1024 * 1024,
    CLIENTS_REFUSING_MAX = 1000, /* Connections past the bound that still get an answer. */
};

struct session;
struct verify;

struct clients_options {
    uint32_t sessions_max;
    uint64_t sender_timeout_ms;
    size_t value_size_max;
    const char *http; /* Address of the HTTP port, or NULL; borrowed. */
};

struct clients_hooks {
    /* Fill in what the cluster methods look at. */
    void (*describe)(void *arg, struct admin *ret_admin);
    /* Drain and stop the process. */
    void (*stop)(void *arg);
    /* A connection whose next request BYTES is the first shard's to answer is that one's from here
     * on. NULL: this is the first shard. */
    void (*move)(void *arg, int fd, struct slice bytes);
    /* A new connection: false if it is this shard's; else another one has what conn_give_up gave,
     * and it is to be closed here. NULL: there is no other. */
    bool (*place)(void *arg, const struct conn *conn);
    /* Is what other shards show of themselves newer than SINCE_US, which is set if it is 0? If not,
     * clients_resume is called when some has come. NULL: there is no other. */
    bool (*look)(void *arg, uint64_t *since_us);
    /* Have another shard carry out OP, which verifies a range of its. False: it is none. NULL:
     * there is no other. Its end comes by verify_done. */
    bool (*verify)(void *arg, const struct store_op *op);
    void *arg;
};

struct clients_counters {
    uint64_t accepted, refused;
    uint64_t requests, malformed;
    uint64_t busy;  /* Answers that a bound of this port turned into BUSY. */
    uint64_t slow;  /* Senders that did not finish a request in time. */
    uint64_t other; /* Connections that spoke something else. */
};

/* What the node's other shards add to the figures of this one, as they told last. */
struct clients_others {
    uint64_t accepted, refused, requests;
    uint64_t bytes_in, bytes_out;
    uint32_t sessions_max, ops_per_s;
};

struct clients {
    struct conns *conns; /* All borrowed. */
    struct engine *engine;
    struct metrics *metrics;
    struct clients_options options;
    struct clients_hooks hooks;
    uv_tcp_t listener;
    bool listening;
    struct session *sessions;
    uint32_t sessions_count;
    struct session *watched;
    struct session *resumable;
    uint32_t looking; /* Sessions that wait for hooks.look. */
    struct calls calls;
    struct verify *verifies; /* Owned list. */
    uint8_t *room;           /* Owned; CLIENTS_ROOM_SIZE. */
    struct arena requests;   /* Of the request being decoded. */
    struct arena answers;    /* Of the answer being encoded. */
    size_t input_bytes;
    uint64_t held_bytes;   /* Of RESP replies that wait for earlier ones. */
    uint64_t sessions_ids; /* Given out. */
    struct clients_counters counters;
    struct clients_others others; /* Zero in a node of one shard. */
    /* Of all shards; touched when a connection comes or goes. NULL: there is one. */
    atomic_uint *sessions_all;
    struct logger_limit complaints;
};

void clients_init(struct clients *clients, struct conns *conns, struct engine *engine,
                  struct metrics *metrics, const struct clients_options *options,
                  const struct clients_hooks *hooks);
/* Accept on FD, a bound socket. 0 or a UV_ code. */
int clients_listen(struct clients *clients, int fd) CHECK_RESULT;
/* Go on with a connection that another shard had, and from which BYTES came and were not taken. */
void clients_adopt(struct clients *clients, int fd, struct slice bytes);
/* Let sessions go on that wait for what other shards show. */
void clients_resume(struct clients *clients);
/* End of a turn: sessions that may go on, and verifications for up to 2 ms. */
void clients_turn(struct clients *clients);
/* Is there more to do in the next turn, without waiting? */
bool clients_pending(const struct clients *clients);
void clients_second(struct clients *clients, uint64_t now_us);
/* Accept no more. */
void clients_stop_listening(struct clients *clients);
/* Close all. The memory goes with clients_done, once the loop has run the closing callbacks. */
void clients_close(struct clients *clients);
void clients_done(struct clients *clients);

#endif
