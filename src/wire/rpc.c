/* Requests of the client port: one table of parameters, one of methods that says which parameter
 * each takes. */
#include "wire/rpc.h"

#include "base/error.h"
#include "base/limits.h"
#include "core/buckets.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum {
    ELEMENTS_MAX = 4 * 1024 * 1024,
    QUOTE_SIZE_MAX = 64, /* Of a client's own word in a sentence. */
};

/* Longer is a mistake of units; and an expiry must fit into the 48 bits of an HLC. */
static const uint64_t ttl_ms_max = (uint64_t)100 * 365 * 24 * 3600 * 1000;

struct mp_scan rpc_scan(void)
{
    return (struct mp_scan){.limits = {RPC_DEPTH_MAX, ELEMENTS_MAX, RPC_SIZE_MAX}};
}

struct decoder {
    struct mp_reader in;
    struct arena *arena;
    size_t value_size_max;
    struct rpc_request *request;
    struct slice parts; /* The array of `keys` or `items`. */
};

/* Set the sentence and return ERROR. */
PRINTF_LIKE(3, 4) static int fail(struct decoder *decoder, int error, const char *format, ...)
{
    char sentence[400];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    ASSERT(size >= 0);
    decoder->request->detail =
        arena_copy(decoder->arena, slice_of(sentence, MIN((size_t)size, sizeof sentence - 1)));
    return error;
}

/* A client's word, fit for a sentence. */
struct quote {
    char text[QUOTE_SIZE_MAX + 1];
};

static struct quote quote(struct slice word)
{
    struct quote quote = {{0}};
    for (size_t i = 0; i < word.size && i < QUOTE_SIZE_MAX; i++)
        quote.text[i] = word.data[i] >= ' ' && word.data[i] < 0x7f ? (char)word.data[i] : '?';
    return quote;
}

static bool is(struct slice word, const char *text)
{
    return slice_equal(word, slice_string(text));
}

/* -------------------------------------------------------------------------- Parameters. */

static int take_bytes(struct decoder *decoder, const char *name, struct slice *ret)
{
    *ret = mp_read_bytes(&decoder->in);
    if (decoder->in.bad)
        return fail(decoder, ERR_BAD_REQUEST, "`%s` must be a string or binary", name);
    return OK;
}

static int take_bool(struct decoder *decoder, const char *name, bool *ret)
{
    if (mp_peek(&decoder->in) != MP_BOOL)
        return fail(decoder, ERR_BAD_REQUEST, "`%s` must be true or false", name);
    *ret = mp_read_bool(&decoder->in);
    return OK;
}

static int take_number(struct decoder *decoder, const char *name, uint64_t lowest, uint64_t highest,
                       uint64_t *ret)
{
    uint64_t number = mp_peek(&decoder->in) == MP_UINT ? mp_read_uint(&decoder->in) : 0;
    if (number < lowest || number > highest)
        return fail(decoder, ERR_BAD_REQUEST,
                    "`%s` must be a whole number from %" PRIu64 " to %" PRIu64, name, lowest,
                    highest);
    *ret = number;
    return OK;
}

static int take_consistency(struct decoder *decoder, const char *name, uint8_t *ret)
{
    enum mp_type type = mp_peek(&decoder->in);
    if (type == MP_UINT) {
        uint64_t number = mp_read_uint(&decoder->in);
        /* More than a range can have slots means all of them. */
        *ret = number > SLOTS_MAX ? (uint8_t)CONSISTENCY_ALL : (uint8_t)number;
        if (number > 0)
            return OK;
    } else if (type == MP_STRING || type == MP_BINARY) {
        struct slice word = mp_read_bytes(&decoder->in);
        *ret = is(word, "one")      ? 1
               : is(word, "quorum") ? (uint8_t)CONSISTENCY_QUORUM
               : is(word, "all")    ? (uint8_t)CONSISTENCY_ALL
                                    : (uint8_t)CONSISTENCY_DEFAULT;
        if (*ret != CONSISTENCY_DEFAULT)
            return OK;
    }
    return fail(decoder, ERR_BAD_REQUEST,
                "`%s` must be a whole number from 1, or one of one, quorum and all", name);
}

static int param_bucket(struct decoder *decoder, struct request *request)
{
    int error = take_bytes(decoder, "bucket", &request->bucket);
    if (error == 0 && bucket_name_check(request->bucket) != 0)
        error =
            fail(decoder, ERR_BAD_REQUEST,
                 "a bucket's name is 1 to %d letters, digits, `_`, `.` and `-`", BUCKET_SIZE_MAX);
    return error;
}

static int param_deadline_ms(struct decoder *decoder, struct request *request)
{
    uint64_t number = 0;
    int error = take_number(decoder, "deadline_ms", 1, RPC_DEADLINE_MS_MAX, &number);
    if (error == 0)
        request->deadline_ms = (uint32_t)number;
    return error;
}

static int param_strict(struct decoder *decoder, struct request *request)
{
    return take_bool(decoder, "strict", &request->strict);
}

static int param_r(struct decoder *decoder, struct request *request)
{
    return take_consistency(decoder, "r", &request->r);
}

static int param_w(struct decoder *decoder, struct request *request)
{
    return take_consistency(decoder, "w", &request->w);
}

static int param_dw(struct decoder *decoder, struct request *request)
{
    return take_consistency(decoder, "dw", &request->dw);
}

static int param_key(struct decoder *decoder, struct request *request)
{
    int error = take_bytes(decoder, "key", &request->key);
    if (error == 0 && request->key.size == 0)
        error = fail(decoder, ERR_BAD_REQUEST, "a key must not be empty");
    if (error == 0 && request->key.size > KEY_SIZE_MAX)
        error = fail(decoder, ERR_TOO_LARGE, "the key has %zu bytes; the limit is %d",
                     request->key.size, KEY_SIZE_MAX);
    return error;
}

static int param_value(struct decoder *decoder, struct request *request)
{
    int error = take_bytes(decoder, "value", &request->value);
    if (error == 0 && request->value.size > decoder->value_size_max)
        error = fail(decoder, ERR_TOO_LARGE, "the value has %zu bytes; this node's limit is %zu",
                     request->value.size, decoder->value_size_max);
    return error;
}

static int param_type(struct decoder *decoder, struct request *request)
{
    int error = take_bytes(decoder, "type", &request->type);
    if (error == 0 && request->type.size > TYPE_SIZE_MAX)
        error = fail(decoder, ERR_TOO_LARGE, "the type has %zu bytes; the limit is %d",
                     request->type.size, TYPE_SIZE_MAX);
    return error;
}

static int param_context(struct decoder *decoder, struct request *request)
{
    int error = take_bytes(decoder, "context", &request->context);
    if (error == 0 && request->context.size > CONTEXT_SIZE_MAX)
        error = fail(decoder, ERR_BAD_CONTEXT, "the context is longer than any that a get returns");
    return error;
}

static int param_if(struct decoder *decoder, struct request *request)
{
    struct slice word = SLICE_NONE;
    if (mp_peek(&decoder->in) == MP_STRING || mp_peek(&decoder->in) == MP_BINARY)
        word = mp_read_bytes(&decoder->in);
    request->edit.conditions = is(word, "absent")      ? (uint8_t)EDIT_IF_ABSENT
                               : is(word, "present")   ? (uint8_t)EDIT_IF_PRESENT
                               : is(word, "unchanged") ? (uint8_t)EDIT_IF_UNCHANGED
                                                       : 0;
    if (request->edit.conditions == 0)
        return fail(decoder, ERR_BAD_REQUEST, "`if` must be one of absent, present and unchanged");
    return OK;
}

static int param_ttl_ms(struct decoder *decoder, struct request *request)
{
    uint64_t number = mp_peek(&decoder->in) == MP_UINT ? mp_read_uint(&decoder->in) : 0;
    if (number == 0 || (number > ttl_ms_max && number != UINT64_MAX))
        return fail(decoder, ERR_BAD_REQUEST,
                    "`ttl_ms` must be a whole number from 1 to %" PRIu64
                    " (100 years), or 2^64-1 for never",
                    ttl_ms_max);
    request->ttl_ms = number;
    return OK;
}

static int param_request(struct decoder *decoder, struct request *request)
{
    struct mp_reader *in = &decoder->in;
    if (mp_peek(in) == MP_ARRAY && mp_read_array(in) == 2) {
        request->client = mp_read_uint(in);
        request->sequence = mp_read_uint(in);
        if (!in->bad && request->client > 0)
            return OK;
    }
    return fail(decoder, ERR_BAD_REQUEST,
                "`request` must be [client, sequence], two whole numbers, client above 0");
}

static int param_limit(struct decoder *decoder, struct request *request)
{
    uint64_t number = 0;
    int error = take_number(decoder, "limit", 1, RPC_SCAN_LIMIT_MAX, &number);
    if (error == 0)
        request->limit = (uint32_t)number;
    return error;
}

/* A cursor is the hash to go on at and the last key seen of it. */
static int param_cursor(struct decoder *decoder, struct request *request)
{
    struct slice cursor;
    int error = take_bytes(decoder, "cursor", &cursor);
    if (error != 0 || cursor.size == 0)
        return error;
    if (cursor.size < 8 || cursor.size - 8 > KEY_SIZE_MAX)
        return fail(decoder, ERR_BAD_REQUEST, "`cursor` is none that a scan returned");
    request->cursor = load_u64_be(cursor.data);
    request->key = slice_of(cursor.data + 8, cursor.size - 8);
    return OK;
}

static int param_values(struct decoder *decoder, struct request *request)
{
    (void)request;
    return take_bool(decoder, "values", &decoder->request->values);
}

/* Of batches: looked into last, since what holds for all parts may come after them. */
static int take_parts(struct decoder *decoder, const char *name)
{
    struct mp_reader start = decoder->in;
    uint32_t count = mp_peek(&start) == MP_ARRAY ? mp_read_array(&start) : 0;
    if (count < 1 || count > RPC_BATCH_MAX)
        return fail(decoder, ERR_BAD_REQUEST, "`%s` must be an array of 1 to %d", name,
                    RPC_BATCH_MAX);
    decoder->parts = mp_skip(&decoder->in);
    return OK;
}

static int param_keys(struct decoder *decoder, struct request *request)
{
    (void)request;
    return take_parts(decoder, "keys");
}

static int param_items(struct decoder *decoder, struct request *request)
{
    (void)request;
    return take_parts(decoder, "items");
}

enum param_bit {
    BUCKET = 1 << 0,
    DEADLINE_MS = 1 << 1,
    STRICT = 1 << 2,
    R = 1 << 3,
    W = 1 << 4,
    DW = 1 << 5,
    KEY = 1 << 6,
    VALUE = 1 << 7,
    TYPE = 1 << 8,
    CONTEXT = 1 << 9,
    TTL_MS = 1 << 10,
    REQUEST = 1 << 11,
    LIMIT = 1 << 12,
    CURSOR = 1 << 13,
    VALUES = 1 << 14,
    KEYS = 1 << 15,
    ITEMS = 1 << 16,
    IF = 1 << 17,
    ALWAYS = BUCKET | DEADLINE_MS | STRICT,
};

static const struct param {
    const char *name;
    uint32_t bit;
    int (*take)(struct decoder *decoder, struct request *request);
} params[] = {
    {"key", KEY, param_key},
    {"value", VALUE, param_value},
    {"bucket", BUCKET, param_bucket},
    {"context", CONTEXT, param_context},
    {"deadline_ms", DEADLINE_MS, param_deadline_ms},
    {"strict", STRICT, param_strict},
    {"r", R, param_r},
    {"w", W, param_w},
    {"dw", DW, param_dw},
    {"type", TYPE, param_type},
    {"ttl_ms", TTL_MS, param_ttl_ms},
    {"request", REQUEST, param_request},
    {"limit", LIMIT, param_limit},
    {"cursor", CURSOR, param_cursor},
    {"values", VALUES, param_values},
    {"keys", KEYS, param_keys},
    {"items", ITEMS, param_items},
    {"if", IF, param_if},
};

/* Who takes what; `part` is of one item of a batch. */
struct method_params {
    const char *name;
    enum rpc_method method;
    enum method of_request;
    uint32_t needed;
    uint32_t allowed;
};

static const struct method_params methods[] = {
    {"get", RPC_GET, METHOD_GET, KEY, ALWAYS | R},
    {"put", RPC_PUT, METHOD_PUT, KEY | VALUE,
     ALWAYS | TYPE | CONTEXT | TTL_MS | W | DW | REQUEST | IF},
    {"delete", RPC_DELETE, METHOD_DELETE, KEY, ALWAYS | CONTEXT | W | DW | REQUEST | IF},
    {"scan", RPC_SCAN, METHOD_SCAN, 0, ALWAYS | LIMIT | CURSOR | VALUES | R},
    {"mget", RPC_MGET, METHOD_GET, KEYS, ALWAYS | R},
    {"mput", RPC_MPUT, METHOD_PUT, ITEMS, ALWAYS | W | DW},
};
static const struct method_params item_of_mput = {"an item of mput", RPC_MPUT, METHOD_PUT,
                                                  KEY | VALUE, TYPE | CONTEXT | TTL_MS};

/* The parameter of that name, taken by METHOD; NULL for none. */
static const struct param *param_find(const struct method_params *method, struct slice name)
{
    for (size_t i = 0; i < ARRAY_SIZE(params); i++) {
        if (is(name, params[i].name))
            return (params[i].bit & (method->needed | method->allowed)) != 0 ? &params[i] : NULL;
    }
    return NULL;
}

static int params_check(struct decoder *decoder, const struct method_params *method, uint32_t given)
{
    for (size_t i = 0; i < ARRAY_SIZE(params); i++) {
        if ((params[i].bit & method->needed & ~given) != 0)
            return fail(decoder, ERR_BAD_REQUEST, "%s needs `%s`", method->name, params[i].name);
    }
    return OK;
}

/* Read the map of parameters that is next into REQUEST. */
static int params_decode(struct decoder *decoder, const struct method_params *method,
                         struct request *request)
{
    if (mp_peek(&decoder->in) != MP_MAP)
        return fail(decoder, ERR_BAD_REQUEST, "the parameters of %s must be a map", method->name);
    uint32_t seen = 0, given = 0;
    for (uint32_t left = mp_read_map(&decoder->in); left > 0; left--) {
        struct slice name = mp_read_bytes(&decoder->in);
        if (decoder->in.bad)
            return fail(decoder, ERR_BAD_REQUEST, "the names of parameters must be strings");
        const struct param *param = param_find(method, name);
        if (param == NULL)
            return fail(decoder, ERR_BAD_REQUEST, "%s has no parameter `%s`", method->name,
                        quote(name).text);
        if ((seen & param->bit) != 0)
            return fail(decoder, ERR_BAD_REQUEST, "`%s` is given twice", param->name);
        seen |= param->bit;
        if (mp_take_nil(&decoder->in))
            continue; /* As if left out. */
        given |= param->bit;
        int error = param->take(decoder, request);
        if (error != 0)
            return error;
    }
    return params_check(decoder, method, given);
}

/* ----------------------------------------------------------------------------- Requests. */

static int parts_decode(struct decoder *decoder, const struct request *all)
{
    struct rpc_request *ret = decoder->request;
    decoder->in = mp_reader_of(decoder->parts);
    uint32_t count = mp_read_array(&decoder->in);
    ret->requests = arena_alloc(decoder->arena, count * sizeof *ret->requests);
    for (uint32_t i = 0; i < count; i++) {
        struct request *request = &ret->requests[i];
        *request = *all;
        int error = ret->method == RPC_MGET ? param_key(decoder, request)
                                            : params_decode(decoder, &item_of_mput, request);
        if (error != 0)
            return error;
    }
    ret->requests_count = count;
    return OK;
}

/* A put or delete that has a condition is an edit. */
static int condition_decode(struct decoder *decoder, struct request *request)
{
    struct edit *edit = &request->edit;
    if (edit->conditions == 0)
        return OK;
    if (request->client != 0)
        return fail(decoder, ERR_BAD_REQUEST,
                    "`request` does not go with `if`: read the key "
                    "before you retry");
    if ((request->context.size > 0) != (edit->conditions == EDIT_IF_UNCHANGED))
        return fail(decoder, ERR_BAD_REQUEST, "`context` goes with `if` unchanged, and only so");
    edit->kind = request->method == METHOD_PUT ? EDIT_PUT : EDIT_DELETE;
    edit->expiry = EDIT_EXPIRY_TTL;
    request->method = METHOD_EDIT;
    return OK;
}

static int method_decode(struct decoder *decoder, const struct method_params *method)
{
    struct rpc_request *ret = decoder->request;
    struct request request = {.method = method->of_request, .bucket = slice_string("default")};
    if (method->method == RPC_SCAN)
        request.limit = RPC_SCAN_LIMIT_DEFAULT;
    ret->method = method->method;
    int error = params_decode(decoder, method, &request);
    if (error == 0)
        error = condition_decode(decoder, &request);
    if (error != 0)
        return error;
    if (decoder->parts.size > 0)
        return parts_decode(decoder, &request);
    ret->requests = arena_alloc(decoder->arena, sizeof request);
    ret->requests[0] = request;
    ret->requests_count = 1;
    return OK;
}

/* [0, id, method, params]: up to the method, which is left to be read. */
static bool envelope_decode(struct decoder *decoder)
{
    struct mp_reader *in = &decoder->in;
    uint32_t count = mp_read_array(in);
    uint64_t type = mp_read_uint(in);
    uint64_t id = mp_read_uint(in);
    if (in->bad || count != 4 || type != 0 || id > UINT32_MAX)
        return false;
    decoder->request->id = (uint32_t)id;
    return true;
}

int rpc_decode(struct slice message, struct arena *arena, size_t value_size_max,
               struct rpc_request *ret_request)
{
    memset(ret_request, 0, sizeof *ret_request);
    struct decoder decoder = {.in = mp_reader_of(message),
                              .arena = arena,
                              .value_size_max = value_size_max,
                              .request = ret_request};
    if (!envelope_decode(&decoder))
        return fail(&decoder, ERR_CORRUPT, "a request is [0, id, method, params]");
    if (mp_peek(&decoder.in) != MP_STRING)
        return fail(&decoder, ERR_BAD_REQUEST, "the method must be a string");
    ret_request->name = mp_read_bytes(&decoder.in);
    struct mp_reader start = decoder.in;
    ret_request->params = mp_skip(&start);
    if (!mp_finished(&start)) {
        ret_request->id = 0;
        return fail(&decoder, ERR_CORRUPT, "a request is [0, id, method, params]");
    }
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        if (is(ret_request->name, methods[i].name))
            return method_decode(&decoder, &methods[i]);
    }
    ret_request->method = RPC_OTHER;
    if (mp_peek(&decoder.in) != MP_MAP)
        return fail(&decoder, ERR_BAD_REQUEST, "the parameters of %s must be a map",
                    quote(ret_request->name).text);
    return OK;
}
