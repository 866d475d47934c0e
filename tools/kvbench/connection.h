/* One pipelined connection to the client port, without blocking: requests out, answers in.
 *
 * Every request under way has a place; its id on the wire is the place and a serial number, so that
 * an answer that comes after its request was given up is told apart and dropped. */
#ifndef CONNECTION_H
#define CONNECTION_H

#include "kvbench/workload.h"
#include "wire/mp.h"

#include <sys/socket.h>

enum { DEPTH_MAX = 4096 };

/* A request under way. */
struct op {
    enum op_kind kind;
    bool used;
    bool writing; /* A put, or the second half of a read-modify-write. */
    uint32_t serial;
    uint32_t stream;
    uint32_t sequence; /* Of a checked put. */
    uint32_t floor;    /* Of a checked read. */
    uint64_t key;
    uint64_t intended_ns; /* Latency counts from here. */
    uint64_t sent_ns;
};

/* What every request of a run says beside its key. */
struct manner {
    struct slice bucket;
    uint32_t deadline_ms;
    uint8_t r, w, dw; /* 0: the bucket's. */
    bool strict;
    uint32_t scan_limit;
};

struct connection {
    int fd; /* -1: none. */
    bool connecting;
    bool writable_wanted; /* In the epoll set. */
    bool dirty;           /* On the list of those to flush. */
    uint32_t node;        /* Which of the addresses. */
    uint32_t stream;
    uint64_t retry_ns;
    struct buf out;
    size_t out_sent;
    struct buf in;
    struct mp_scan scan;
    struct op *ops; /* Owned: `depth` places. */
    uint32_t depth;
    uint32_t *spare; /* Owned: free places. */
    uint32_t spare_count;
    struct buf cursor; /* Where its scans go on. */
};

/* A decoded answer; slices borrow from the connection until its next read. */
struct reply {
    struct op *op;
    int error;
    struct slice message; /* Of an error. */
    bool found;
    struct slice value; /* Of the first sibling. */
    uint32_t siblings;
    struct slice context;
    struct slice cursor;
    uint32_t items; /* Of a scan. */
};

void connection_init(struct connection *connection, uint32_t depth);
void connection_done(struct connection *connection);
/* Begin connecting; 0 or ERR_UNAVAILABLE. */
int connection_open(struct connection *connection, const struct sockaddr_storage *address,
                    socklen_t size) CHECK_RESULT;
/* Close it and forget what was on its way; the places stay used. */
void connection_close(struct connection *connection);
static inline bool connection_free(const struct connection *connection)
{
    return connection->spare_count > 0;
}
/* Take a free place. */
struct op *connection_take(struct connection *connection);
void connection_give(struct connection *connection, struct op *op);

/* Encode the request of OP at the end of what goes out. VALUE and CONTEXT are for puts. */
void connection_get(struct connection *connection, const struct op *op, const struct manner *manner,
                    struct slice key);
void connection_put(struct connection *connection, const struct op *op, const struct manner *manner,
                    struct slice key, struct slice value, struct slice context);
void connection_scan(struct connection *connection, const struct op *op,
                     const struct manner *manner);

/* Send what there is; 0, or ERR_IO when the connection broke. */
int connection_flush(struct connection *connection) CHECK_RESULT;
/* Read what came. 0, or ERR_IO when the connection broke. */
int connection_read(struct connection *connection) CHECK_RESULT;
/* The next whole answer of what was read: 1, 0 when there is none yet, ERR_CORRUPT when it is no
 * answer. An answer that nobody waits for has op NULL. *AT starts at 0; connection_consume comes
 * after the last. */
int connection_next(struct connection *connection, size_t *at,
                    struct reply *ret_reply) CHECK_RESULT;
void connection_consume(struct connection *connection, size_t at);

#endif
