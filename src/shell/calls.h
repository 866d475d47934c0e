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

struct call {
    uint64_t number;         /* As `client` in the core: generation and index. */
    struct session *session; /* NULL once its connection is gone. */
    struct gather *gather;   /* Of a part of an mget or mput, else NULL. */
    uint32_t part;
    uint32_t id; /* Of the response. */
    bool command;
    bool live;
    uint64_t began_us;
    struct rpc_asked asked;
    struct buf result; /* Owned. Of a command that succeeds. */
    uint8_t name[CALL_NAME_SIZE];
    uint8_t *long_name; /* Owned. Bucket and key where `name` is too small. */
    struct call *next;  /* Of a free one. */
    struct call *next_of_session, **at_session;
};

struct calls {
    struct call **table; /* Owned; by index. */
    uint32_t count;
    uint32_t capacity;
    struct call *free;
    uint32_t live;
};

void calls_done(struct calls *calls);
/* Send the data requests of REQUEST into the core. */
void calls_request(struct session *session, const struct rpc_request *request);
/* Send a command; RESULT (moved) is the answer when it succeeds. */
void calls_command(struct session *session, uint32_t id, const struct command *command,
                   struct buf *result);
/* The `reply` hook of the engine, for all numbers that calls gave out. */
void calls_reply(struct clients *clients, uint64_t number, const struct answer *answer);
/* The connection is going away. */
void calls_forget(struct session *session);

#endif
