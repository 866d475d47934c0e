/* One client connection: its first byte says what it speaks, then requests are cut out of the
 * stream, however they arrive.
 *
 * Reading stops while too many of its requests are under way or too much output waits, and goes on
 * below half of that. A session that waits for a request holds its connection's handles alone,
 * about 1 KiB. */
#ifndef SESSION_H
#define SESSION_H

#include "shell/calls.h"
#include "shell/conn.h"

enum {
    SESSION_CALLS_MAX = 1024,
    SESSION_OUTPUT_SOFT = 1024 * 1024,
    SESSION_LINGER_MS = 2000,
    SESSION_SILENT_MS = 30000, /* Unacknowledged output breaks the connection. */
    SESSION_RATE_MIN = 65536,  /* Bytes a second that a slow sender gets time for. */
};

enum session_state {
    SESSION_NEW = 0, /* Nothing came yet. */
    SESSION_RPC,
    SESSION_RESP,
    SESSION_ENDING,  /* All requests have come: closed after the last answer. */
    SESSION_REFUSED, /* The error is on its way; what comes in is thrown away. */
};

struct resp_session;

struct session {
    struct conn conn; /* First. */
    struct clients *clients;
    enum session_state state;
    struct buf in;  /* Begun requests, and whole ones while paused. */
    size_t in_used; /* Of `in`, from its start. */
    size_t counted; /* Of `in`, in clients->input_bytes. */
    struct mp_scan scan;
    struct resp_session *resp; /* Owned; NULL unless it speaks RESP. */
    uint64_t id;               /* Of the connection, unique in this life of the process. */
    uint64_t began_us;
    uint32_t calls_count;
    uint32_t verifies;          /* Under way. */
    struct call *calls;         /* Under way. */
    bool paused;                /* Reading has stopped. */
    bool resumable;             /* In clients->resumable. */
    bool looks;                 /* It waits for hooks.look, */
    uint64_t looks_us;          /* since then. */
    bool moves;                 /* To the first shard, once all that was asked here is answered. */
    uint64_t deadline_us;       /* 0: none. Of a begun request, or of the linger. */
    struct session *next, **at; /* In clients->sessions. */
    struct session *next_watched, **at_watched; /* In clients->watched, while it has a deadline. */
    struct session *next_resumable;
};

struct session *session_new(struct clients *clients);
/* Begin to read. */
void session_start(struct session *session);
/* BYTES came, to another shard that had the connection before. */
void session_feed(struct session *session, struct slice bytes);
/* Answer under id 0 and close once that has arrived. */
void session_refuse(struct session *session, int error, const char *detail);
/* Tell somebody who speaks HTTP where to go, and close once that has arrived. */
void session_refuse_http(struct session *session);
/* Read no more, and close once all answers have arrived. */
void session_finish(struct session *session);
/* Output or the number of calls has fallen: go on reading if that was why it stopped. */
void session_relax(struct session *session);
/* Something has come that it may have waited for. */
void session_look_again(struct session *session);
/* Take up what was left when reading stopped. */
void session_resume(struct session *session);
/* Its deadline has passed. */
void session_expired(struct session *session);
void session_close(struct session *session);
/* A whole response was appended to conn_out. */
void session_sent(struct session *session);

/* session_methods.c. `ping`, and what is for the administrator. */
void session_answer_ping(struct session *session, const struct rpc_request *request);
void session_answer_admin(struct session *session, const struct rpc_request *request);

#endif
