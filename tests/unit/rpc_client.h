/* A client of the client port, apart from libkvring: so that what the server reads and writes is
 * held against a second reading of docs/protocol.md. Names with rpc_ as in wire/rpc.h. */
#ifndef RPC_CLIENT_H
#define RPC_CLIENT_H

#include "base/arena.h"
#include "base/error.h"
#include "base/limits.h"
#include "core/request.h"
#include "wire/mp.h"

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

/* The result of mget and mput (parts) and of scan (items, and the cursor, empty at the end). */
struct rpc_list {
    struct rpc_outcome *outcomes; /* In the arena. */
    uint32_t count;
    struct slice cursor;
};

enum {
    ELEMENTS_MAX = 4 * 1024 * 1024,
    RESPONSE_SIZE_MAX = FRAME_SIZE_MAX + RPC_SIZE_MAX, /* An object, and what is around it. */
    OUTCOMES_MAX = 10000,                              /* Items of a scan. */
};

static inline struct mp_scan rpc_response_scan(void)
{
    return (struct mp_scan){.limits = {RPC_DEPTH_MAX, ELEMENTS_MAX, RESPONSE_SIZE_MAX}};
}

/* ----------------------------------------------------------------------------- Requests. */

/* A map that counts its pairs as they are written: at most 15, as its header has one byte. */
struct pairs {
    struct buf *out;
    size_t start;
    uint32_t count;
};

static inline struct pairs pairs_begin(struct buf *out)
{
    struct pairs pairs = {.out = out, .start = out->size};
    mp_write_map(out, 0);
    return pairs;
}

static inline void pairs_end(const struct pairs *pairs)
{
    ASSERT(pairs->count < 16);
    pairs->out->data[pairs->start] = (uint8_t)(0x80 | pairs->count);
}

static inline struct buf *pair(struct pairs *pairs, const char *name)
{
    pairs->count++;
    mp_write_text(pairs->out, name);
    return pairs->out;
}

static inline void pair_bytes(struct pairs *pairs, const char *name, struct slice bytes)
{
    if (bytes.size > 0)
        mp_write_binary(pair(pairs, name), bytes);
}

static inline void pair_number(struct pairs *pairs, const char *name, uint64_t number)
{
    if (number > 0)
        mp_write_uint(pair(pairs, name), number);
}

static inline void pair_consistency(struct pairs *pairs, const char *name, uint8_t consistency)
{
    if (consistency == CONSISTENCY_QUORUM)
        mp_write_text(pair(pairs, name), "quorum");
    else if (consistency == CONSISTENCY_ALL)
        mp_write_text(pair(pairs, name), "all");
    else
        pair_number(pairs, name, consistency);
}

static inline void envelope_write(uint32_t id, struct slice method, struct buf *out)
{
    mp_write_array(out, 4);
    mp_write_uint(out, 0);
    mp_write_uint(out, id);
    mp_write_string(out, method);
}

/* What every method takes. */
static inline void common_write(struct pairs *pairs, const struct request *request)
{
    if (request->bucket.size > 0)
        mp_write_string(pair(pairs, "bucket"), request->bucket);
    pair_number(pairs, "deadline_ms", request->deadline_ms);
    if (request->strict)
        mp_write_bool(pair(pairs, "strict"), true);
    bool reads = request->method == METHOD_GET || request->method == METHOD_SCAN;
    if (reads) {
        pair_consistency(pairs, "r", request->r);
    } else {
        pair_consistency(pairs, "w", request->w);
        pair_consistency(pairs, "dw", request->dw);
    }
}

/* What belongs to one key. */
static inline void item_write(struct pairs *pairs, const struct request *request)
{
    mp_write_binary(pair(pairs, "key"), request->key);
    if (request->method == METHOD_PUT) {
        mp_write_binary(pair(pairs, "value"), request->value);
        if (request->type.size > 0)
            mp_write_string(pair(pairs, "type"), request->type);
        pair_number(pairs, "ttl_ms", request->ttl_ms);
    }
    if (request->method != METHOD_GET)
        pair_bytes(pairs, "context", request->context);
}

static inline void request_id_write(struct pairs *pairs, const struct request *request)
{
    if (request->client == 0)
        return;
    struct buf *out = pair(pairs, "request");
    mp_write_array(out, 2);
    mp_write_uint(out, request->client);
    mp_write_uint(out, request->sequence);
}

static inline void rpc_request_encode(uint32_t id, const struct request *request,
                                      struct slice cursor, bool values, struct buf *out)
{
    static const char *const names[] = {[METHOD_GET] = "get",
                                        [METHOD_PUT] = "put",
                                        [METHOD_DELETE] = "delete",
                                        [METHOD_SCAN] = "scan"};
    envelope_write(id, slice_string(names[request->method]), out);
    struct pairs pairs = pairs_begin(out);
    common_write(&pairs, request);
    if (request->method == METHOD_SCAN) {
        pair_number(&pairs, "limit", request->limit);
        pair_bytes(&pairs, "cursor", cursor);
        if (values)
            mp_write_bool(pair(&pairs, "values"), true);
    } else {
        item_write(&pairs, request);
        if (request->method != METHOD_GET)
            request_id_write(&pairs, request);
    }
    pairs_end(&pairs);
}

static inline void rpc_batch_encode(uint32_t id, const struct request *requests, uint32_t count,
                                    struct buf *out)
{
    ASSERT(count > 0);
    bool reads = requests[0].method == METHOD_GET;
    envelope_write(id, slice_string(reads ? "mget" : "mput"), out);
    struct pairs pairs = pairs_begin(out);
    common_write(&pairs, &requests[0]);
    mp_write_array(pair(&pairs, reads ? "keys" : "items"), count);
    for (uint32_t i = 0; i < count; i++) {
        if (reads) {
            mp_write_binary(out, requests[i].key);
            continue;
        }
        struct pairs item = pairs_begin(out);
        item_write(&item, &requests[i]);
        pairs_end(&item);
    }
    pairs_end(&pairs);
}

static inline void rpc_call_encode(uint32_t id, struct slice method, struct slice params,
                                   struct buf *out)
{
    envelope_write(id, method, out);
    if (params.size == 0)
        mp_write_map(out, 0);
    else
        buf_append(out, params);
}

/* ---------------------------------------------------------------------------- Responses. */

/* The next pair's name; its value is then to be read or skipped. */
static inline struct slice name_read(struct mp_reader *in)
{
    return mp_read_bytes(in);
}

static inline bool is(struct slice name, const char *text)
{
    return slice_equal(name, slice_string(text));
}

static inline uint32_t read_u32_value(struct mp_reader *in)
{
    uint64_t number = mp_read_uint(in);
    if (number > UINT32_MAX)
        in->bad = true;
    return (uint32_t)number;
}

/* The counts stand in results and errors alike. True if NAME was one of them. */
static inline bool count_read(struct mp_reader *in, struct slice name, struct rpc_outcome *outcome)
{
    uint32_t *count = is(name, "needed")   ? &outcome->needed
                      : is(name, "got")    ? &outcome->got
                      : is(name, "slots")  ? &outcome->slots
                      : is(name, "copies") ? &outcome->copies
                                           : NULL;
    if (count != NULL)
        *count = read_u32_value(in);
    return count != NULL;
}

static inline void error_read(struct mp_reader *in, struct rpc_outcome *outcome)
{
    for (uint32_t left = mp_read_map(in); left > 0; left--) {
        struct slice name = name_read(in);
        struct slice *text = is(name, "code")      ? &outcome->word
                             : is(name, "message") ? &outcome->message
                             : is(name, "advice")  ? &outcome->advice
                             : is(name, "node")    ? &outcome->node
                                                   : NULL;
        if (text != NULL)
            *text = mp_read_bytes(in);
        else if (!count_read(in, name, outcome))
            mp_skip(in);
    }
    outcome->error = error_of_word(outcome->word);
    if (outcome->error == 0)
        in->bad = true;
}

static inline struct rpc_sibling sibling_read(struct mp_reader *in)
{
    struct rpc_sibling sibling = {0};
    for (uint32_t left = mp_read_map(in); left > 0; left--) {
        struct slice name = name_read(in);
        if (is(name, "value"))
            sibling.value = mp_read_bytes(in);
        else if (is(name, "type"))
            sibling.type = mp_read_bytes(in);
        else if (is(name, "hlc"))
            sibling.hlc = mp_read_uint(in);
        else if (is(name, "time_ms"))
            sibling.time_ms = mp_read_uint(in);
        else if (is(name, "expires_ms"))
            sibling.expires_ms = mp_read_uint(in);
        else
            mp_skip(in);
    }
    return sibling;
}

static inline void siblings_read(struct mp_reader *in, struct arena *arena,
                                 struct rpc_outcome *outcome)
{
    uint32_t count = mp_read_array(in);
    if (count > OBJECT_SIBLINGS_MAX)
        in->bad = true;
    if (in->bad)
        return;
    outcome->siblings = arena_alloc(arena, count * sizeof *outcome->siblings);
    outcome->siblings_count = 0;
    while (outcome->siblings_count < count && !in->bad)
        outcome->siblings[outcome->siblings_count++] = sibling_read(in);
}

/* The result of a get, put or delete, or an item of a scan. */
static inline void result_read(struct mp_reader *in, struct arena *arena,
                               struct rpc_outcome *outcome)
{
    for (uint32_t left = mp_read_map(in); left > 0; left--) {
        struct slice name = name_read(in);
        if (is(name, "siblings"))
            siblings_read(in, arena, outcome);
        else if (is(name, "key"))
            outcome->key = mp_read_bytes(in);
        else if (is(name, "context"))
            outcome->context = mp_take_nil(in) ? SLICE_NONE : mp_read_bytes(in);
        else if (is(name, "hlc"))
            outcome->hlc = mp_read_uint(in);
        else if (is(name, "siblings_count"))
            outcome->versions = read_u32_value(in);
        else if (!count_read(in, name, outcome))
            mp_skip(in);
    }
}

/* One part of a batch: {result} or {error}. */
static inline void part_read(struct mp_reader *in, struct arena *arena, struct rpc_outcome *outcome)
{
    bool found = false;
    for (uint32_t left = mp_read_map(in); left > 0; left--) {
        struct slice name = name_read(in);
        bool error = is(name, "error");
        if (error)
            error_read(in, outcome);
        else if (is(name, "result"))
            result_read(in, arena, outcome);
        else
            mp_skip(in);
        found = found || error || is(name, "result");
    }
    if (!found)
        in->bad = true;
}

static inline int rpc_response_decode(struct slice message, struct rpc_response *ret_response)
{
    struct rpc_response response = {0};
    struct mp_reader in = mp_reader_of(message);
    uint32_t count = mp_read_array(&in);
    uint64_t type = mp_read_uint(&in);
    response.id = read_u32_value(&in);
    if (mp_take_nil(&in)) {
        if (mp_peek(&in) != MP_MAP)
            return ERR_CORRUPT;
        response.result = mp_skip(&in);
    } else {
        error_read(&in, &response.outcome);
        if (!mp_take_nil(&in))
            return ERR_CORRUPT;
    }
    if (!mp_finished(&in) || count != 4 || type != 1)
        return ERR_CORRUPT;
    *ret_response = response;
    return OK;
}

static inline int rpc_outcome_decode(struct slice result, struct arena *arena,
                                     struct rpc_outcome *ret_outcome)
{
    struct rpc_outcome outcome = {0};
    struct mp_reader in = mp_reader_of(result);
    result_read(&in, arena, &outcome);
    if (!mp_finished(&in))
        return ERR_CORRUPT;
    *ret_outcome = outcome;
    return OK;
}

static inline void outcomes_read(struct mp_reader *in, struct arena *arena, bool parts,
                                 struct rpc_list *list)
{
    uint32_t count = mp_read_array(in);
    if (count > OUTCOMES_MAX)
        in->bad = true;
    if (in->bad)
        return;
    list->outcomes = arena_zero(arena, count * sizeof *list->outcomes);
    for (list->count = 0; list->count < count && !in->bad; list->count++) {
        struct rpc_outcome *outcome = &list->outcomes[list->count];
        if (parts)
            part_read(in, arena, outcome);
        else
            result_read(in, arena, outcome);
    }
}

static inline int rpc_list_decode(struct slice result, struct arena *arena,
                                  struct rpc_list *ret_list)
{
    struct rpc_list list = {0};
    struct mp_reader in = mp_reader_of(result);
    for (uint32_t left = mp_read_map(&in); left > 0; left--) {
        struct slice name = name_read(&in);
        if (is(name, "results") || is(name, "items"))
            outcomes_read(&in, arena, is(name, "results"), &list);
        else if (is(name, "cursor"))
            list.cursor = mp_take_nil(&in) ? SLICE_NONE : mp_read_bytes(&in);
        else
            mp_skip(&in);
    }
    if (!mp_finished(&in))
        return ERR_CORRUPT;
    *ret_list = list;
    return OK;
}

#endif
