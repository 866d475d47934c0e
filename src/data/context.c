/* What a client has seen of a key. */
#include "data/context.h"

#include "base/checksum.h"
#include "base/error.h"
#include "base/limits.h"
#include "data/vector.h"
#include "data/versions.h"

enum { CONTEXT_FORMAT = 1, CHECKSUM_SIZE = 8 };

/* Ties the entries to their key in their cluster; the seed is the cluster's own. */
static uint64_t context_checksum(struct slice entries, uint64_t seed, struct slice bucket,
                                 struct slice key)
{
    return checksum64(entries, checksum64(key, checksum64(bucket, seed)));
}

int context_parse(struct slice context, uint64_t *ret_hlc, struct slice *ret_vector)
{
    struct reader reader = reader_of(context);
    uint8_t format = read_u8(&reader);
    uint64_t hlc = read_u64(&reader);
    struct slice vector = vector_read(&reader);
    (void)read_u64(&reader);
    if (context.size > CONTEXT_SIZE_MAX || format != CONTEXT_FORMAT || hlc > STAMP_MAX ||
        !reader_finished(&reader))
        return ERR_BAD_CONTEXT;
    *ret_hlc = hlc;
    *ret_vector = vector;
    return OK;
}

int context_check(struct slice context, uint64_t seed, struct slice bucket, struct slice key,
                  uint64_t *ret_hlc)
{
    uint64_t hlc;
    struct slice vector;
    int error = context_parse(context, &hlc, &vector);
    if (error != 0)
        return error;
    size_t size = context.size - CHECKSUM_SIZE;
    struct reader reader = reader_of(slice_of(context.data + size, CHECKSUM_SIZE));
    struct slice entries = slice_of(context.data, size);
    if (read_u64(&reader) != context_checksum(entries, seed, bucket, key))
        return ERR_BAD_CONTEXT;
    *ret_hlc = hlc;
    return OK;
}

static void write_context(const struct versions *versions, struct buf *out)
{
    const struct version *latest = versions_latest(versions);
    struct history seen;
    history_init(&seen);
    versions_contexts(versions, &seen);
    for (uint32_t i = 0; i < versions->count; i++)
        history_add(&seen, versions->items[i].sibling.dot);
    history_join(&seen);
    write_u8(out, CONTEXT_FORMAT);
    write_u64(out, latest == NULL ? 0 : latest->sibling.hlc);
    history_write(&seen, out);
    history_done(&seen);
}

int object_context(struct slice object, uint64_t seed, struct slice bucket, struct slice key,
                   struct buf *out)
{
    struct versions versions;
    versions_init(&versions);
    int error = versions_parse(object, &versions);
    if (error == 0) {
        size_t start = out->size;
        write_context(&versions, out);
        struct slice entries = slice_of(out->data + start, out->size - start);
        if (entries.size + CHECKSUM_SIZE > CONTEXT_SIZE_MAX) {
            out->size = start;
            error = ERR_TOO_LARGE;
        } else {
            write_u64(out, context_checksum(entries, seed, bucket, key));
        }
    }
    versions_done(&versions);
    return error;
}
