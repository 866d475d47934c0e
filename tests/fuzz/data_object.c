/* Two objects in one input: what passes the check decodes, merges to the same in either order, and
 * merges with itself to itself. */
#include "base/error.h"
#include "data/hlc.h"
#include "data/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool check(struct slice bytes, struct arena *arena)
{
    struct object object;
    bool good = object_check(bytes) == 0;
    ASSERT(good == (object_decode(bytes, arena, &object) == 0));
    if (!good)
        return false;
    int status = object_read(bytes, hlc_at(1000), 0, arena, &object);
    ASSERT(status == 0 || status == ERR_NOT_FOUND || status == ERR_DELETED);
    ASSERT((status == ERR_NOT_FOUND) == (bytes.size == 0));
    struct buf context = {0};
    struct slice bucket = slice_string("b"), key = slice_string("k");
    uint64_t hlc;
    if (object_context(bytes, 1, bucket, key, &context) == 0)
        ASSERT(context_check(buf_slice(&context), 1, bucket, key, &hlc) == 0);
    buf_done(&context);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena arena;
    arena_reset(&arena);
    size_t half = size == 0 ? 0 : MIN((size_t)data[0], size - 1);
    struct slice a = slice_of(data + (size > 0), half);
    struct slice b = slice_of(data + (size > 0) + half, size - (size > 0) - half);
    uint64_t hlc;
    ASSERT(context_check(a, 1, b, b, &hlc) == ERR_BAD_CONTEXT || a.size > 0);
    if (!check(a, &arena) || !check(b, &arena))
        return 0;
    struct buf ab = {0}, ba = {0}, aa = {0};
    object_merge(a, b, &ab);
    object_merge(b, a, &ba);
    object_merge(a, a, &aa);
    ASSERT(slice_equal(buf_slice(&ab), buf_slice(&ba)));
    ASSERT(slice_equal(buf_slice(&aa), a));
    ASSERT(object_check(buf_slice(&ab)) == 0);
    buf_done(&ab);
    buf_done(&ba);
    buf_done(&aa);
    return 0;
}
