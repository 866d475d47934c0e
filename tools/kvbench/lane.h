/* A lane: one pipelined connection to a server, without blocking: requests out, answers in.
 *
 * Every request under way has a place. What it looks like on the wire is a dialect's affair
 * (dialect.h). */
#ifndef LANE_H
#define LANE_H

#include "kvbench/workload.h"
#include "wire/mp.h"

#include <sys/socket.h>

enum { DEPTH_MAX = 4096 };

struct dialect;

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
    uint32_t number; /* Of its stream, in etcd's protocol. */
    uint32_t copies; /* That a put waits for. */
    int error;       /* What the first of two answers said. */
};

/* What every request of a run says beside its key. */
struct manner {
    const struct dialect *dialect;
    struct slice bucket;
    uint32_t wait; /* Redis: replicas that WAIT after each put. */
    uint32_t deadline_ms;
    uint8_t r, w, dw; /* 0: the bucket's. */
    bool strict;
    uint32_t scan_limit;
};

/* Whose answer it is, where answers come in the order of the requests. */
enum { PLACE_NONE = UINT32_MAX };
struct turn {
    uint32_t place; /* PLACE_NONE: the greeting's. */
    bool last;      /* No further answer comes for it. */
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
    struct mp_scan scan; /* Of the native protocol. */
    uint32_t numbers;    /* Of etcd's: the last stream, */
    uint32_t taken;      /* and bytes received that its server does not know of. */
    struct turn *order;  /* Owned: whose answer comes next, where answers keep the order. */
    uint32_t order_size;
    uint32_t order_first;
    uint32_t order_count;
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
int lane_open(struct lane *lane, const struct manner *manner,
              const struct sockaddr_storage *address, socklen_t size) CHECK_RESULT;
/* Close it and forget what was on its way; the places stay used. */
void lane_close(struct lane *lane);
static inline bool lane_free(const struct lane *lane)
{
    return lane->spare_count > 0;
}
/* Take a free place. */
struct op *lane_take(struct lane *lane);
void lane_give(struct lane *lane, struct op *op);
/* Where answers keep the order: note that one will come for OP (NULL: for the greeting), */
void lane_expect(struct lane *lane, const struct op *op, bool last);
/* and whose it is, once it came. NULL: nobody's. */
struct op *lane_answered(struct lane *lane, bool *ret_last);

/* Send what there is; 0, or ERR_IO when the connection broke. */
int lane_flush(struct lane *lane) CHECK_RESULT;
/* Read what came. 0, or ERR_IO when the connection broke. */
int lane_read(struct lane *lane) CHECK_RESULT;
/* Forget the first AT bytes of what was read. */
void lane_consume(struct lane *lane, size_t at);

#endif
