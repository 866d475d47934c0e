/* Requests as docs/protocol.md, "Client port", says. */
#include "client/client.h"

#include "base/limits.h"

enum { BYTES_REQUEST = 0x94, BYTES_UINT32 = 0xce, BYTES_MAP = 0x80, ID_AT = 3, PAIRS_MAX = 15 };

static const struct kvr_options options_none;

static void put_u32(uint8_t *to, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        to[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

/* A number of fixed width, to be set later; returns where its four bytes are. */
static size_t write_fixed_u32(struct buf *out)
{
    static const uint8_t empty[5] = {BYTES_UINT32};
    buf_append(out, slice_of(empty, sizeof(empty)));
    return out->size - 4;
}

void request_stamp(struct request *request, uint32_t id, uint32_t deadline_ms)
{
    put_u32(request->bytes.data + ID_AT, id);
    if (request->deadline_at > 0) {
        put_u32(request->bytes.data + request->deadline_at, deadline_ms);
    }
}

/* The map of parameters; its number of pairs is set at the end. */
struct params {
    struct buf *out;
    size_t at;
    uint8_t pairs;
};

static struct params request_begin(struct kvr_client *client, enum kind kind, const char *method,
                                   bool repeatable)
{
    struct request *request = &client->request;
    struct buf *out = &request->bytes;
    buf_clear(out);
    *request = (struct request){
        .bytes = *out, .kind = kind, .repeatable = repeatable, .deadline_ms = DEADLINE_MS};
    buf_append_byte(out, BYTES_REQUEST);
    mp_write_uint(out, 0);
    write_fixed_u32(out);
    mp_write_text(out, method);
    buf_append_byte(out, BYTES_MAP);
    return (struct params){.out = out, .at = out->size - 1};
}

static void param(struct params *params, const char *name)
{
    mp_write_text(params->out, name);
    params->pairs++;
}

static void param_text(struct params *params, const char *name, const char *value)
{
    if (value != NULL) {
        param(params, name);
        mp_write_text(params->out, value);
    }
}

static void write_bytes(struct buf *out, struct kvr_bytes bytes)
{
    mp_write_binary(out, slice_of(bytes.data, bytes.size));
}

static void param_bytes(struct params *params, const char *name, struct kvr_bytes value)
{
    param(params, name);
    write_bytes(params->out, value);
}

static void param_uint(struct params *params, const char *name, uint64_t value)
{
    if (value > 0) {
        param(params, name);
        mp_write_uint(params->out, value);
    }
}

static int param_consistency(struct kvr_client *client, struct params *params, const char *name,
                             uint8_t value)
{
    if (value == KVR_DEFAULT) {
        return 0;
    }
    if (value > SLOTS_MAX && value != KVR_QUORUM && value != KVR_ALL) {
        return client_fail(client, ERR_BAD_REQUEST, "%s is %u, not 1..%d, KVR_QUORUM or KVR_ALL",
                           name, value, (int)SLOTS_MAX);
    }
    param(params, name);
    if (value <= SLOTS_MAX) {
        mp_write_uint(params->out, value);
    } else {
        mp_write_text(params->out, value == KVR_QUORUM ? "quorum" : "all");
    }
    return 0;
}

static int set_deadline(struct kvr_client *client, const struct kvr_options *options)
{
    if (options->deadline_ms > DEADLINE_MS_MAX) {
        return client_fail(client, ERR_BAD_REQUEST, "the deadline of %u ms is above %d ms",
                           options->deadline_ms, (int)DEADLINE_MS_MAX);
    }
    if (options->deadline_ms > 0) {
        client->request.deadline_ms = options->deadline_ms;
    }
    return 0;
}

/* What every data method takes. */
static int param_common(struct kvr_client *client, struct params *params,
                        const struct kvr_options *options)
{
    param_text(params, "bucket", options->bucket);
    if (options->strict) {
        param(params, "strict");
        mp_write_bool(params->out, true);
    }
    param(params, "deadline_ms");
    client->request.deadline_at = write_fixed_u32(params->out);
    return set_deadline(client, options);
}

static int request_end(struct kvr_client *client, struct params *params)
{
    ASSERT(params->pairs <= PAIRS_MAX);
    params->out->data[params->at] = (uint8_t)(BYTES_MAP | params->pairs);
    if (params->out->size > RPC_SIZE_MAX) {
        return client_fail(client, ERR_TOO_LARGE, "the request of %zu bytes is above %d bytes",
                           params->out->size, (int)RPC_SIZE_MAX);
    }
    return 0;
}

int encode_get(struct kvr_client *client, struct kvr_bytes key, const struct kvr_options *options)
{
    options = options != NULL ? options : &options_none;
    struct params params = request_begin(client, KIND_GET, "get", true);
    param_bytes(&params, "key", key);
    int error = param_common(client, &params, options);
    if (error == 0) {
        error = param_consistency(client, &params, "r", options->r);
    }
    return error != 0 ? error : request_end(client, &params);
}

static int param_durability(struct kvr_client *client, struct params *params,
                            const struct kvr_options *options)
{
    int error = param_consistency(client, params, "w", options->w);
    return error != 0 ? error : param_consistency(client, params, "dw", options->dw);
}

static int param_if(struct kvr_client *client, struct params *params,
                    const struct kvr_options *options)
{
    static const char *const words[] = {NULL, "absent", "present", "unchanged"};
    if ((unsigned)options->only_if >= ARRAY_SIZE(words)) {
        return client_fail(client, ERR_BAD_REQUEST, "only_if is %d, none of enum kvr_if",
                           (int)options->only_if);
    }
    if (options->only_if != KVR_IF_ANY && options->retries > 0) {
        return client_fail(client, ERR_BAD_REQUEST, "what has a condition is not sent again");
    }
    param_text(params, "if", words[options->only_if]);
    return 0;
}

int encode_write(struct kvr_client *client, bool delete, struct kvr_bytes key,
                 struct kvr_bytes value, const struct kvr_options *options)
{
    options = options != NULL ? options : &options_none;
    struct params params = request_begin(client, KIND_WRITE, delete ? "delete" : "put", false);
    param_bytes(&params, "key", key);
    if (!delete) {
        param_bytes(&params, "value", value);
        param_text(&params, "type", options->type);
        param_uint(&params, "ttl_ms", options->ttl_ms);
    }
    if (options->context.size > 0) {
        param_bytes(&params, "context", options->context);
    }
    if (options->retries > 0) {
        param(&params, "request");
        mp_write_array(params.out, 2);
        mp_write_uint(params.out, client->id);
        mp_write_uint(params.out, ++client->sequence);
    }
    int error = param_if(client, &params, options);
    if (error == 0) {
        error = param_common(client, &params, options);
    }
    if (error == 0) {
        error = param_durability(client, &params, options);
    }
    return error != 0 ? error : request_end(client, &params);
}

static int check_count(struct kvr_client *client, size_t count)
{
    if (count > 0 && count <= KVR_BATCH_MAX) {
        return 0;
    }
    return client_fail(client, ERR_BAD_REQUEST, "a batch of %zu is not 1..%d", count,
                       (int)KVR_BATCH_MAX);
}

int encode_mget(struct kvr_client *client, const struct kvr_bytes *keys, size_t count,
                const struct kvr_options *options)
{
    options = options != NULL ? options : &options_none;
    int error = check_count(client, count);
    if (error != 0) {
        return error;
    }
    struct params params = request_begin(client, KIND_BATCH, "mget", true);
    client->request.parts = (uint32_t)count;
    param(&params, "keys");
    mp_write_array(params.out, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        write_bytes(params.out, keys[i]);
    }
    error = param_common(client, &params, options);
    if (error == 0) {
        error = param_consistency(client, &params, "r", options->r);
    }
    return error != 0 ? error : request_end(client, &params);
}

static void write_item(struct buf *out, const struct kvr_item *item)
{
    uint32_t pairs = 2u + (item->type != NULL) + (item->context.size > 0) + (item->ttl_ms > 0);
    struct params params = {.out = out};
    mp_write_map(out, pairs);
    param_bytes(&params, "key", item->key);
    param_bytes(&params, "value", item->value);
    param_text(&params, "type", item->type);
    if (item->context.size > 0) {
        param_bytes(&params, "context", item->context);
    }
    param_uint(&params, "ttl_ms", item->ttl_ms);
    ASSERT(params.pairs == pairs);
}

int encode_mput(struct kvr_client *client, const struct kvr_item *items, size_t count,
                const struct kvr_options *options)
{
    options = options != NULL ? options : &options_none;
    int error = check_count(client, count);
    if (error != 0) {
        return error;
    }
    struct params params = request_begin(client, KIND_BATCH, "mput", false);
    client->request.parts = (uint32_t)count;
    param(&params, "items");
    mp_write_array(params.out, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        write_item(params.out, &items[i]);
    }
    error = param_common(client, &params, options);
    if (error == 0) {
        error = param_durability(client, &params, options);
    }
    return error != 0 ? error : request_end(client, &params);
}

int encode_scan(struct kvr_client *client, struct kvr_bytes cursor, uint32_t limit, bool values,
                const struct kvr_options *options)
{
    options = options != NULL ? options : &options_none;
    struct params params = request_begin(client, KIND_SCAN, "scan", true);
    if (cursor.size > 0) {
        param_bytes(&params, "cursor", cursor);
    }
    param_uint(&params, "limit", limit);
    if (values) {
        param(&params, "values");
        mp_write_bool(params.out, true);
    }
    int error = param_common(client, &params, options);
    if (error == 0) {
        error = param_consistency(client, &params, "r", options->r);
    }
    return error != 0 ? error : request_end(client, &params);
}

int encode_call(struct kvr_client *client, const char *method, struct kvr_bytes params,
                bool repeatable, const struct kvr_options *options)
{
    options = options != NULL ? options : &options_none;
    struct params built = request_begin(client, KIND_CALL, method, repeatable);
    if (params.size > 0) {
        /* The caller's map in place of the one begun here. */
        built.out->size = built.at;
        buf_append(built.out, slice_of(params.data, params.size));
        if (built.out->size > RPC_SIZE_MAX) {
            return client_fail(client, ERR_TOO_LARGE, "the request of %zu bytes is above %d bytes",
                               built.out->size, (int)RPC_SIZE_MAX);
        }
        return set_deadline(client, options);
    }
    int error = set_deadline(client, options);
    return error != 0 ? error : request_end(client, &built);
}
