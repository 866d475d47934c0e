/* The client port: listener, sessions, and the bounds they share.
 *
 * All sessions read into one buffer of the loop; only what is left of a begun request is kept by
 * the session itself. */
#ifndef CLIENTS_H
#define CLIENTS_H

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
    void *arg;
};

struct clients_counters {
    uint64_t accepted, refused;
    uint64_t requests, malformed;
    uint64_t busy;  /* Answers that a bound of this port turned into BUSY. */
    uint64_t slow;  /* Senders that did not finish a request in time. */
    uint64_t other; /* Connections that spoke something else. */
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
    struct calls calls;
    struct verify *verifies; /* Owned list. */
    uint8_t *room;           /* Owned; CLIENTS_ROOM_SIZE. */
    struct arena requests;   /* Of the request being decoded. */
    struct arena answers;    /* Of the answer being encoded. */
    size_t input_bytes;
    uint64_t held_bytes;   /* Of RESP replies that wait for earlier ones. */
    uint64_t sessions_ids; /* Given out. */
    struct clients_counters counters;
    struct logger_limit complaints;
};

void clients_init(struct clients *clients, struct conns *conns, struct engine *engine,
                  struct metrics *metrics, const struct clients_options *options,
                  const struct clients_hooks *hooks);
/* Accept on FD, a bound socket. 0 or a UV_ code. */
int clients_listen(struct clients *clients, int fd) CHECK_RESULT;
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
