/* Client requests under way: from the core's request to the bytes of the response.
 *
 * A call outlives its connection if need be: its number goes into the core as `client`, and an
 * answer whose connection is gone is dropped. An mget or mput is one gather of many calls. Calls
 * are recycled, so that the steady path allocates nothing for keys up to 64 bytes. */
#ifndef CALLS_H
#define CALLS_H

#include "shell/admin.h"
#include "wire/rpc.h"

enum {
    CALLS_MAX = 65536,                     /* Over all connections; further ones are told BUSY. */
    CALL_NAME_SIZE = 96,                   /* Bucket and key that need no allocation. */
    GATHER_BYTES_MAX = 64 * 1024 * 1024,   /* Of all parts; further ones are told BUSY. */
    SESSION_OUTPUT_MAX = 32 * 1024 * 1024, /* Waiting at one connection; reads are told BUSY. */
};

struct session;
struct clients;
struct gather;
struct resp_reply;

struct call {
    uint64_t number;          /* As `client` in the core: generation and index. */
    struct session *session;  /* NULL once its connection is gone. */
    struct gather *gather;    /* Of a part of an mget or mput, else NULL. */
    struct resp_reply *reply; /* Of a part of a RESP command, else NULL. */
    uint32_t part;
    uint32_t id; /* Of the response. */
    bool command;
    bool live;
    uint64_t began_us;
    struct rpc_asked asked;
    struct buf result; /* Owned. Of a command that succeeds; the context of a deferred delete, the
                        * last key of a scan that goes on, */
    uint64_t cursor;   /* and the hash at which it does. */
    uint8_t name[CALL_NAME_SIZE];
    uint8_t *long_name; /* Owned. Bucket and key where `name` is too small. */
    struct call *next;  /* Of a free or deferred one. */
    struct call *next_of_session, **at_session;
    uint64_t key_hash;                  /* RESP: what earlier and later commands share. */
    bool write;                         /* RESP: of the key, now or later. */
    struct call *next_of_key, **at_key; /* RESP: in the session's chains; at_key NULL: in none. */
};

struct calls {
    struct call **table; /* Owned; by index. */
    uint32_t count;
    uint32_t capacity;
    struct call *free;
    struct call *deferred; /* What is to be sent at the end of the turn. */
    uint32_t live;
};

void calls_done(struct calls *calls);
/* Send the data requests of REQUEST into the core. */
void calls_request(struct session *session, const struct rpc_request *request);
/* Send a command; RESULT (moved) is the answer when it succeeds. */
void calls_command(struct session *session, uint32_t id, const struct command *command,
                   struct buf *result);
/* Send one part of a RESP command, for which there is room. WRITE: it will write the key even if
 * REQUEST is a read. */
void calls_part(struct session *session, const struct request *request, struct resp_reply *reply,
                uint32_t part, bool write);
/* CALL goes on at the end of the turn: it has read a key, and its `result` is the context to delete
 * it with; or it has scanned up to `cursor` and `result`. */
void calls_defer(struct clients *clients, struct call *call);
/* End of a turn: send what was deferred. */
void calls_turn(struct clients *clients);
/* The `reply` hook of the engine, for all numbers that calls gave out. */
void calls_reply(struct clients *clients, uint64_t number, const struct answer *answer);
/* The connection is going away. */
void calls_forget(struct session *session);

#endif
