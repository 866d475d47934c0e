/* The client port as the client sees it: requests out, responses in. Responses are checked as any
 * bytes from a socket; unknown keys are passed over, so that a server may be newer. */
#ifndef RPC_CLIENT_H
#define RPC_CLIENT_H

#include "base/arena.h"
#include "core/request.h"
#include "wire/mp.h"

/* The scan of a response's first byte on: is it whole yet? (mp_scan) */
struct mp_scan rpc_response_scan(void);

/* Append a get, put, delete or scan; fields that are zero are left out. Of a scan: CURSOR, empty or
 * as the last response had it (`key` and `cursor` of REQUEST are not used), and with VALUES. */
void rpc_request_encode(uint32_t id, const struct request *request, struct slice cursor,
                        bool values, struct buf *out);
/* Append an mget (of GETs) or mput (of PUTs) of COUNT > 0 requests; bucket, deadline, r, w, dw and
 * strict are taken from the first. */
void rpc_batch_encode(uint32_t id, const struct request *requests, uint32_t count, struct buf *out);
/* Append any method; PARAMS is a whole MessagePack map, or empty for none. */
void rpc_call_encode(uint32_t id, struct slice method, struct slice params, struct buf *out);
/* A version of a key. */
struct rpc_sibling {
    struct slice value;
    struct slice type;
    uint64_t hlc;
    uint64_t time_ms;
    uint64_t expires_ms; /* 0: never. */
};

/* The outcome of a request, of one part of a batch, or one key of a scan. */
struct rpc_outcome {
    int error; /* 0, or ERR_*, with: */
    struct slice word;
    struct slice message;
    struct slice advice;
    struct slice node;
    struct slice key; /* Of a scan's item. */
    struct rpc_sibling *siblings;
    uint32_t siblings_count;
    struct slice context;
    uint64_t hlc;      /* PUT, DELETE */
    uint32_t versions; /* PUT, DELETE: siblings that the key has now. */
    uint32_t needed, got, slots, copies;
};

struct rpc_response {
    uint32_t id;
    struct rpc_outcome outcome; /* Error fields only; the rest by rpc_outcome_decode. */
    struct slice result;        /* A whole MessagePack map; empty with an error. */
};

/* Decode one whole response. Slices borrow from MESSAGE. 0, or ERR_CORRUPT. */
int rpc_response_decode(struct slice message, struct rpc_response *ret_response) CHECK_RESULT;
/* Decode the result of get, put and delete. Siblings lie in ARENA. 0, or ERR_CORRUPT. */
int rpc_outcome_decode(struct slice result, struct arena *arena,
                       struct rpc_outcome *ret_outcome) CHECK_RESULT;

/* The result of mget and mput (parts) and of scan (items, and the cursor, empty at the end). */
struct rpc_list {
    struct rpc_outcome *outcomes; /* In the arena. */
    uint32_t count;
    struct slice cursor;
};

int rpc_list_decode(struct slice result, struct arena *arena,
                    struct rpc_list *ret_list) CHECK_RESULT;

#endif
