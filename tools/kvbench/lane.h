/* A lane: one pipelined connection to the client port, without blocking: requests out, answers in.
 *
 * Every request under way has a place; its id on the wire is the place and a serial number, so that
 * an answer that comes after its request was given up is told apart and dropped. */
#ifndef LANE_H
#define LANE_H

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

struct lane {
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

void lane_init(struct lane *lane, uint32_t depth);
void lane_done(struct lane *lane);
/* Begin connecting; 0 or ERR_UNAVAILABLE. */
int lane_open(struct lane *lane, const struct sockaddr_storage *address,
              socklen_t size) CHECK_RESULT;
/* Close it and forget what was on its way; the places stay used. */
void lane_close(struct lane *lane);
static inline bool lane_free(const struct lane *lane)
{
    return lane->spare_count > 0;
}
/* Take a free place. */
struct op *lane_take(struct lane *lane);
void lane_give(struct lane *lane, struct op *op);

/* Encode the request of OP at the end of what goes out. VALUE and CONTEXT are for puts. */
void lane_get(struct lane *lane, const struct op *op, const struct manner *manner,
              struct slice key);
void lane_put(struct lane *lane, const struct op *op, const struct manner *manner, struct slice key,
              struct slice value, struct slice context);
void lane_scan(struct lane *lane, const struct op *op, const struct manner *manner);

/* Send what there is; 0, or ERR_IO when the connection broke. */
int lane_flush(struct lane *lane) CHECK_RESULT;
/* Read what came. 0, or ERR_IO when the connection broke. */
int lane_read(struct lane *lane) CHECK_RESULT;
/* The next whole answer of what was read: 1, 0 when there is none yet, ERR_CORRUPT when it is no
 * answer. An answer that nobody waits for has op NULL. *AT starts at 0; lane_consume comes
 * after the last. */
int lane_next(struct lane *lane, size_t *at, struct reply *ret_reply) CHECK_RESULT;
void lane_consume(struct lane *lane, size_t at);

#endif
