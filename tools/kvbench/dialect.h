/* A dialect: what requests and answers look like on the wire.
 *
 * kvring's own protocol, and those of the servers that it is compared with, so that one client
 * drives them all: the same loop, the same keys, the same clock. */
#ifndef DIALECT_H
#define DIALECT_H

#include "kvbench/lane.h"

struct dialect {
    const char *name;
    bool ordered;  /* Answers come in the order of the requests, so a request cannot be given up. */
    bool buckets;  /* Knows buckets, consistency levels and deadlines. */
    bool contexts; /* A get brings the context for the put that follows it. */
    bool scans;
    size_t window; /* Bytes of values that may be under way on a connection; 0: any. */
    /* Begin a connection; NULL: nothing is said. */
    void (*greet)(struct lane *lane, const struct manner *manner);
    /* Encode the request of OP at the end of what goes out. */
    void (*get)(struct lane *lane, struct op *op, const struct manner *manner, struct slice key);
    void (*put)(struct lane *lane, struct op *op, const struct manner *manner, struct slice key,
                struct slice value, struct slice context);
    void (*scan)(struct lane *lane, struct op *op, const struct manner *manner);
    /* The next whole answer of what was read: 1, 0 when there is none yet, ERR_CORRUPT when it is
     * no answer. An answer that nobody waits for, or that another one follows, has op NULL. *AT
     * starts at 0; lane_consume comes after the last. */
    int (*next)(struct lane *lane, size_t *at, struct reply *ret_reply);
};

extern const struct dialect dialect_native;
extern const struct dialect dialect_resp;
extern const struct dialect dialect_memcache;
extern const struct dialect dialect_etcd;

/* The dialect of that name, or NULL. */
const struct dialect *dialect_find(const char *name);

#endif
