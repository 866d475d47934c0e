/* Responses of the client port. */
#include "base/error.h"
#include "data/hlc.h"
#include "data/object.h"
#include "wire/rpc.h"

/* [1, id, ...: error and result follow. */
static void envelope_write(uint32_t id, struct buf *out)
{
    mp_write_array(out, 4);
    mp_write_uint(out, 1);
    mp_write_uint(out, id);
}

static void write_number(struct buf *out, const char *name, uint64_t number)
{
    mp_write_text(out, name);
    mp_write_uint(out, number);
}

/* How many copies answered: five pairs of a map. */
static void counts_write(const struct answer *answer, struct buf *out)
{
    write_number(out, "copies", answer->copies);
    write_number(out, "slots", answer->slots);
    write_number(out, "needed", answer->needed);
    write_number(out, "got", answer->got);
    mp_write_text(out, "sloppy");
    mp_write_bool(out, answer->sloppy);
}

static void error_write(int error, struct slice detail, const struct answer *answer,
                        struct buf *out)
{
    bool counts = answer->slots > 0 || answer->needed > 0;
    bool node = !id_none(answer->coordinator);
    mp_write_map(out, 3u + (counts ? 5u : 0u) + (node ? 1u : 0u));
    mp_write_text(out, "code");
    mp_write_text(out, error_word(error));
    mp_write_text(out, "message");
    mp_write_string(out, detail.size > 0 ? detail : slice_string(error_word(error)));
    mp_write_text(out, "advice");
    mp_write_text(out, error_advice(error));
    if (counts)
        counts_write(answer, out);
    if (node) {
        char text[NODE_ID_TEXT];
        id_format(answer->coordinator, text);
        mp_write_text(out, "node");
        mp_write_text(out, text);
    }
}

static void siblings_write(const struct object *object, struct buf *out)
{
    mp_write_text(out, "siblings");
    mp_write_array(out, object->count);
    for (uint32_t i = 0; i < object->count; i++) {
        const struct sibling *sibling = &object->siblings[i];
        mp_write_map(out, sibling->expires > 0 ? 5 : 4);
        mp_write_text(out, "value");
        mp_write_binary(out, sibling->value);
        mp_write_text(out, "type");
        mp_write_string(out, sibling->type);
        write_number(out, "hlc", sibling->hlc);
        write_number(out, "time_ms", hlc_ms(sibling->hlc));
        if (sibling->expires > 0)
            write_number(out, "expires_ms", hlc_ms(sibling->expires));
    }
}

static int context_write(struct slice object, uint64_t seed, struct slice bucket, struct slice key,
                         struct buf *out)
{
    mp_write_text(out, "context");
    size_t start = mp_binary_begin(out);
    int status = object_context(object, seed, bucket, key, out);
    mp_binary_end(out, start);
    return status;
}

/* ------------------------------------------------------------------------------ Results. */

static int get_write(const struct rpc_asked *asked, const struct answer *answer,
                     struct arena *arena, struct buf *out)
{
    struct object object;
    int status = object_read(answer->object, answer->hlc, answer->drops, arena, &object);
    if (status != 0)
        return status;
    mp_write_map(out, 7);
    siblings_write(&object, out);
    status = context_write(answer->object, asked->hash_seed, asked->bucket, asked->key, out);
    counts_write(answer, out);
    return status;
}

/* Of a put or delete: what stands now. A deleted key has no siblings left to see. */
static int put_write(const struct rpc_asked *asked, const struct answer *answer,
                     struct arena *arena, struct buf *out)
{
    struct object object = {0};
    int status = object_read(answer->object, answer->hlc, answer->drops, arena, &object);
    uint32_t count = status == 0 ? object.count : 0;
    mp_write_map(out, 8);
    status = context_write(answer->object, asked->hash_seed, asked->bucket, asked->key, out);
    write_number(out, "hlc", object_hlc(answer->object));
    write_number(out, "siblings_count", count);
    counts_write(answer, out);
    return status;
}

/* Of a put or delete with a condition: whether it held, and what stands now. */
static int edit_write(const struct rpc_asked *asked, const struct answer *answer,
                      struct arena *arena, struct buf *out)
{
    struct object object = {0};
    int status = object_read(answer->object, answer->hlc, answer->drops, arena, &object);
    if (status != 0)
        object.count = 0;
    mp_write_map(out, 9);
    mp_write_text(out, "held");
    mp_write_bool(out, answer->outcome == EDIT_HELD);
    siblings_write(&object, out);
    status = context_write(answer->object, asked->hash_seed, asked->bucket, asked->key, out);
    write_number(out, "hlc", object_hlc(answer->object));
    write_number(out, "siblings_count", object.count);
    counts_write(answer, out);
    return status;
}

/* One key of a scan. One whose history is too long for a context goes without: a get says so. */
static void item_write(const struct rpc_asked *asked, const struct entry *entry,
                       const struct object *object, struct buf *out)
{
    mp_write_map(out, asked->values ? 3 : 1);
    mp_write_text(out, "key");
    mp_write_binary(out, entry->key);
    if (!asked->values)
        return;
    siblings_write(object, out);
    size_t start = out->size;
    if (context_write(entry->object, asked->hash_seed, entry->bucket, entry->key, out) != 0) {
        out->size = start;
        mp_write_text(out, "context");
        mp_write_nil(out);
    }
}

static int scan_write(const struct rpc_asked *asked, const struct answer *answer,
                      struct arena *arena, struct buf *out)
{
    struct object *objects = arena_alloc(arena, answer->entries_count * sizeof *objects);
    uint32_t alive = 0;
    for (uint32_t i = 0; i < answer->entries_count; i++) {
        objects[i].count = 0;
        if (object_read(answer->entries[i].object, answer->hlc, answer->drops, arena,
                        &objects[i]) != 0)
            objects[i].count = 0;
        alive += objects[i].count > 0;
    }
    mp_write_map(out, 2);
    mp_write_text(out, "items");
    mp_write_array(out, alive);
    for (uint32_t i = 0; i < answer->entries_count; i++) {
        if (objects[i].count > 0)
            item_write(asked, &answer->entries[i], &objects[i], out);
    }
    mp_write_text(out, "cursor");
    if (!answer->more) {
        mp_write_nil(out);
        return OK;
    }
    size_t start = mp_binary_begin(out);
    write_u64_be(out, answer->cursor);
    buf_append(out, answer->cursor_key);
    mp_binary_end(out, start);
    return OK;
}

/* Append the result, or nothing with an error and its sentence. */
static int result_write(const struct rpc_asked *asked, const struct answer *answer,
                        struct arena *arena, struct buf *out, struct slice *ret_detail)
{
    if (answer->error != 0) {
        *ret_detail = answer->detail;
        return answer->error;
    }
    size_t start = out->size;
    int status = asked->method == METHOD_GET    ? get_write(asked, answer, arena, out)
                 : asked->method == METHOD_SCAN ? scan_write(asked, answer, arena, out)
                 : asked->method == METHOD_EDIT ? edit_write(asked, answer, arena, out)
                                                : put_write(asked, answer, arena, out);
    if (status == 0)
        return OK;
    out->size = start;
    *ret_detail =
        slice_string(status == ERR_NOT_FOUND   ? "the key has no value"
                     : status == ERR_DELETED   ? "the key was deleted or has expired"
                     : status == ERR_TOO_LARGE ? "the key's history is too long for a context"
                                               : "the stored object cannot be read");
    return status;
}

/* ---------------------------------------------------------------------------- Responses. */

void rpc_answer(uint32_t id, const struct rpc_asked *asked, const struct answer *answer,
                struct arena *arena, struct buf *out)
{
    size_t start = out->size;
    struct slice detail = SLICE_NONE;
    envelope_write(id, out);
    mp_write_nil(out);
    int status = result_write(asked, answer, arena, out, &detail);
    if (status == 0)
        return;
    out->size = start;
    envelope_write(id, out);
    error_write(status, detail, answer, out);
    mp_write_nil(out);
}

void rpc_part(const struct rpc_asked *asked, const struct answer *answer, struct arena *arena,
              struct buf *out)
{
    size_t start = out->size;
    struct slice detail = SLICE_NONE;
    mp_write_map(out, 1);
    mp_write_text(out, "result");
    int status = result_write(asked, answer, arena, out, &detail);
    if (status == 0)
        return;
    out->size = start;
    mp_write_map(out, 1);
    mp_write_text(out, "error");
    error_write(status, detail, answer, out);
}

void rpc_parts(uint32_t id, const struct slice *parts, uint32_t count, struct buf *out)
{
    envelope_write(id, out);
    mp_write_nil(out);
    mp_write_map(out, 1);
    mp_write_text(out, "results");
    mp_write_array(out, count);
    for (uint32_t i = 0; i < count; i++)
        buf_append(out, parts[i]);
}

void rpc_result(uint32_t id, struct slice result, struct buf *out)
{
    envelope_write(id, out);
    mp_write_nil(out);
    buf_append(out, result);
}

void rpc_error(uint32_t id, int error, struct slice detail, struct buf *out)
{
    envelope_write(id, out);
    error_write(error, detail, &(struct answer){0}, out);
    mp_write_nil(out);
}
