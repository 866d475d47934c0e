/* A request that is taken keeps its promises to the core; one that is refused says why. */
#include "base/error.h"
#include "base/limits.h"
#include "core/buckets.h"
#include "wire/rpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VALUE_MAX = 100 };

static void request_check(const struct request *request)
{
    ASSERT(bucket_name_check(request->bucket) == 0);
    ASSERT(request->key.size <= KEY_SIZE_MAX);
    ASSERT(request->key.size > 0 || request->method == METHOD_SCAN);
    ASSERT(request->value.size <= VALUE_MAX && request->type.size <= TYPE_SIZE_MAX);
    ASSERT(request->context.size <= CONTEXT_SIZE_MAX);
    ASSERT(request->deadline_ms <= RPC_DEADLINE_MS_MAX);
    ASSERT(request->r <= SLOTS_MAX || request->r >= CONSISTENCY_QUORUM);
    ASSERT(request->w <= SLOTS_MAX || request->w >= CONSISTENCY_QUORUM);
    ASSERT(request->limit <= RPC_SCAN_LIMIT_MAX);
    ASSERT((request->limit > 0) == (request->method == METHOD_SCAN));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena arena;
    struct mp_scan scan = rpc_scan();
    struct rpc_request request;
    size_t more;
    arena_reset(&arena);
    if (mp_scan(&scan, slice_of(data, size), &more) != 0 || more > 0)
        return 0;
    int error = rpc_decode(slice_of(data, scan.at), &arena, VALUE_MAX, &request);
    if (error != 0) {
        ASSERT(request.detail.size > 0);
        ASSERT(error != ERR_CORRUPT || request.id == 0);
        struct buf out = {0};
        rpc_error(request.id, error, request.detail, &out);
        struct mp_reader reader = mp_reader_of(buf_slice(&out));
        mp_skip(&reader);
        ASSERT(mp_finished(&reader));
        buf_done(&out);
        return 0;
    }
    ASSERT((request.method == RPC_OTHER) == (request.requests_count == 0));
    for (uint32_t i = 0; i < request.requests_count; i++)
        request_check(&request.requests[i]);
    return 0;
}
