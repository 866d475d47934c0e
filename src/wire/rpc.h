/* The client port as the server sees it: MessagePack-RPC (docs/protocol.md, "Client port").
 *
 * The data methods become struct request of the core and struct answer becomes a response; every
 * other method is passed on with its parameters. Unknown parameters are refused by name, so that a
 * misspelt option never changes what a request means. */
#ifndef RPC_H
#define RPC_H

#include "base/arena.h"
#include "core/request.h"
#include "wire/mp.h"

enum {
    RPC_BATCH_MAX = 1000, /* Keys of an mget, items of an mput. */
    RPC_SCAN_LIMIT_MAX = 10000,
    RPC_SCAN_LIMIT_DEFAULT = 100,
    RPC_DEADLINE_MS_MAX = 60000,
};

/* The scan of a request's first byte on: is it whole yet? (mp_scan) */
struct mp_scan rpc_scan(void);

enum rpc_method { RPC_GET = 1, RPC_PUT, RPC_DELETE, RPC_SCAN, RPC_MGET, RPC_MPUT, RPC_OTHER };

struct rpc_request {
    uint32_t id;
    enum rpc_method method;
    struct slice name;        /* Of the method. */
    struct slice params;      /* A map. RPC_OTHER: for whoever knows the method. */
    struct request *requests; /* In the arena; as many as keys or items, 1 for the other data
                                 methods, 0 for RPC_OTHER. */
    uint32_t requests_count;
    bool values;         /* RPC_SCAN: answer with siblings and contexts. */
    struct slice detail; /* With an error: what was wrong, one sentence. */
};

/* Decode one whole request, of which rpc_scan approved. Slices borrow from MESSAGE, or lie in
 * ARENA. VALUE_SIZE_MAX is the node's limit. 0; ERR_CORRUPT: no request at all, to be answered
 * under id 0 before the connection is closed; any other error is the answer to ret_request->id.
 * `id` and `detail` are set with every error. */
int rpc_decode(struct slice message, struct arena *arena, size_t value_size_max,
               struct rpc_request *ret_request) CHECK_RESULT;

/* What a response needs to know of its request by the time the answer is there. */
struct rpc_asked {
    enum method method;
    struct slice bucket; /* Of GET, PUT, DELETE, EDIT: the context is bound to it and the key. */
    struct slice key;
    bool values; /* SCAN */
    uint64_t hash_seed;
};

/* Append the whole response to a get, put, delete or scan. ARENA is scratch memory. */
void rpc_answer(uint32_t id, const struct rpc_asked *asked, const struct answer *answer,
                struct arena *arena, struct buf *out);
/* Append one part of an mget or mput: {result} or {error}. */
void rpc_part(const struct rpc_asked *asked, const struct answer *answer, struct arena *arena,
              struct buf *out);
/* Append the whole response of COUNT parts, each made by rpc_part. */
void rpc_parts(uint32_t id, const struct slice *parts, uint32_t count, struct buf *out);
/* Append a response with RESULT, one whole map. */
void rpc_result(uint32_t id, struct slice result, struct buf *out);
/* Append an error response. */
void rpc_error(uint32_t id, int error, struct slice detail, struct buf *out);

#endif
