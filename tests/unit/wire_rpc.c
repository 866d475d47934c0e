/* Requests of the client port, made by another hand than libkvring's, and byte by byte. */
#include "base/error.h"
#include "base/limits.h"
#include "wire/rpc.h"

#include "rpc_client.h"

#include <criterion/criterion.h>

static struct arena arena;
static struct buf out;

static void start(void)
{
    arena = (struct arena){0};
    out = (struct buf){0};
}

static void stop(void)
{
    arena_done(&arena);
    buf_done(&out);
}

TestSuite(rpc, .init = start, .fini = stop);

static int decode(struct rpc_request *ret)
{
    struct mp_scan scan = rpc_scan();
    size_t more;
    cr_assert_eq(mp_scan(&scan, buf_slice(&out), &more), 0);
    cr_assert_eq(more, 0);
    return rpc_decode(buf_slice(&out), &arena, VALUE_SIZE_DEFAULT, ret);
}

Test(rpc, what_a_client_sends_arrives)
{
    struct request sent = {.method = METHOD_PUT,
                           .bucket = slice_string("users"),
                           .key = slice_string("k1"),
                           .value = slice_string("v1"),
                           .type = slice_string("text/plain"),
                           .context = slice_string("context"),
                           .w = CONSISTENCY_ALL,
                           .dw = 2,
                           .strict = true,
                           .ttl_ms = UINT64_MAX,
                           .deadline_ms = 700,
                           .client = 5,
                           .sequence = 6};
    struct rpc_request got;
    rpc_request_encode(UINT32_MAX, &sent, SLICE_NONE, false, &out);
    cr_assert_eq(decode(&got), 0);
    cr_assert_eq(got.id, UINT32_MAX);
    cr_assert_eq(got.method, RPC_PUT);
    cr_assert_eq(got.requests_count, 1);
    struct request *request = &got.requests[0];
    cr_assert_eq(request->method, METHOD_PUT);
    cr_assert(slice_equal(request->bucket, sent.bucket));
    cr_assert(slice_equal(request->key, sent.key));
    cr_assert(slice_equal(request->value, sent.value));
    cr_assert(slice_equal(request->type, sent.type));
    cr_assert(slice_equal(request->context, sent.context));
    cr_assert_eq(request->w, CONSISTENCY_ALL);
    cr_assert_eq(request->dw, 2);
    cr_assert(request->strict);
    cr_assert_eq(request->ttl_ms, UINT64_MAX);
    cr_assert_eq(request->deadline_ms, 700);
    cr_assert_eq(request->client, 5);
    cr_assert_eq(request->sequence, 6);
}

Test(rpc, what_is_left_out_has_its_default)
{
    struct request sent = {.method = METHOD_GET, .key = slice_string("k")};
    struct rpc_request got;
    rpc_request_encode(1, &sent, SLICE_NONE, false, &out);
    cr_assert_eq(decode(&got), 0);
    cr_assert(slice_equal(got.requests[0].bucket, slice_string("default")));
    cr_assert_eq(got.requests[0].r, CONSISTENCY_DEFAULT);
    cr_assert_not(got.requests[0].strict);
    cr_assert_eq(got.requests[0].deadline_ms, 0);

    buf_clear(&out);
    sent = (struct request){.method = METHOD_SCAN};
    rpc_request_encode(1, &sent, SLICE_NONE, false, &out);
    cr_assert_eq(decode(&got), 0);
    cr_assert_eq(got.requests[0].limit, 100);
    cr_assert_eq(got.requests[0].cursor, 0);
    cr_assert_not(got.values);
}

Test(rpc, batches_become_one_request_a_part)
{
    struct request sent[3] = {
        {.method = METHOD_PUT, .key = slice_string("a"), .value = slice_string("1"), .w = 2},
        {.method = METHOD_PUT, .key = slice_string("b"), .ttl_ms = 5},
        {.method = METHOD_PUT, .key = slice_string("c"), .context = slice_string("ctx")}};
    struct rpc_request got;
    rpc_batch_encode(9, sent, 3, &out);
    cr_assert_eq(decode(&got), 0);
    cr_assert_eq(got.method, RPC_MPUT);
    cr_assert_eq(got.requests_count, 3);
    for (int i = 0; i < 3; i++) {
        cr_assert(slice_equal(got.requests[i].key, sent[i].key));
        cr_assert_eq(got.requests[i].w, 2);
        cr_assert_eq(got.requests[i].method, METHOD_PUT);
    }
    cr_assert_eq(got.requests[1].ttl_ms, 5);
    cr_assert_eq(got.requests[0].ttl_ms, 0);
    cr_assert(slice_equal(got.requests[2].context, slice_string("ctx")));

    buf_clear(&out);
    sent[0].method = METHOD_GET;
    sent[0].r = 1;
    rpc_batch_encode(9, sent, 2, &out);
    cr_assert_eq(decode(&got), 0);
    cr_assert_eq(got.method, RPC_MGET);
    cr_assert_eq(got.requests_count, 2);
    cr_assert_eq(got.requests[1].r, 1);
    cr_assert(slice_equal(got.requests[1].key, slice_string("b")));
}

Test(rpc, other_methods_are_passed_on)
{
    struct rpc_request got;
    rpc_call_encode(3, slice_string("status"), SLICE_NONE, &out);
    cr_assert_eq(decode(&got), 0);
    cr_assert_eq(got.method, RPC_OTHER);
    cr_assert(slice_equal(got.name, slice_string("status")));
    cr_assert(slice_equal(got.params, slice_of("\x80", 1)));
    cr_assert_eq(got.requests_count, 0);
}

/* Write a request by hand: the method, then pairs of a name and a value's bytes. */
static void compose(const char *method, const char *const *pairs)
{
    uint32_t count = 0;
    while (pairs[2 * count] != NULL)
        count++;
    buf_clear(&out);
    mp_write_array(&out, 4);
    mp_write_uint(&out, 0);
    mp_write_uint(&out, 7);
    mp_write_text(&out, method);
    mp_write_map(&out, count);
    for (uint32_t i = 0; i < count; i++) {
        mp_write_text(&out, pairs[2 * i]);
        buf_append(&out, slice_string(pairs[2 * i + 1]));
    }
}

#define REFUSED(error, word, method, ...)                                                          \
    do {                                                                                           \
        struct rpc_request refused;                                                                \
        compose(method, (const char *const[]){__VA_ARGS__, NULL, NULL});                           \
        int status = decode(&refused);                                                             \
        cr_assert_eq(status, error, "%s", error_word(status));                                     \
        cr_assert_eq(refused.id, 7);                                                               \
        cr_assert_not_null(memmem(refused.detail.data, refused.detail.size, word, strlen(word)),   \
                           "%.*s", (int)refused.detail.size, (const char *)refused.detail.data);   \
    } while (0)

Test(rpc, what_is_wrong_is_named)
{
    REFUSED(ERR_BAD_REQUEST, "`kye`", "get", "kye", "\xa1k");
    REFUSED(ERR_BAD_REQUEST, "`w`", "get", "key", "\xa1k", "w", "\x01");
    REFUSED(ERR_BAD_REQUEST, "`key`", "get", "r", "\x01");
    REFUSED(ERR_BAD_REQUEST, "`value`", "put", "key", "\xa1k");
    REFUSED(ERR_BAD_REQUEST, "`value`", "put", "key", "\xa1k", "value", "\xc0");
    REFUSED(ERR_BAD_REQUEST, "twice", "get", "key", "\xa1k", "key", "\xa1k");
    REFUSED(ERR_BAD_REQUEST, "empty", "get", "key", "\xa0");
    REFUSED(ERR_BAD_REQUEST, "`key`", "get", "key", "\x05");
    REFUSED(ERR_BAD_REQUEST, "`r`", "get", "key", "\xa1k", "r", "\xa3two");
    REFUSED(ERR_BAD_REQUEST, "`r`", "get", "key", "\xa1k", "r", "\xff");
    REFUSED(ERR_BAD_REQUEST, "`strict`", "get", "key", "\xa1k", "strict", "\x01");
    REFUSED(ERR_BAD_REQUEST, "60000", "get", "key", "\xa1k", "deadline_ms", "\xcd\xea\x61");
    REFUSED(ERR_BAD_REQUEST, "bucket", "get", "key", "\xa1k", "bucket",
            "\xa3"
            "a/b");
    REFUSED(ERR_BAD_REQUEST, "`ttl_ms`", "put", "key", "\xa1k", "value", "\xa1v", "ttl_ms", "\xff");
    REFUSED(ERR_BAD_REQUEST, "`request`", "put", "key", "\xa1k", "value", "\xa1v", "request",
            "\x93\x01\x02\x03");
    REFUSED(ERR_BAD_REQUEST, "10000", "scan", "limit", "\xcd\x27\x11");
    REFUSED(ERR_BAD_REQUEST, "`cursor`", "scan", "cursor",
            "\xa3"
            "abc");
    REFUSED(ERR_BAD_REQUEST, "`keys`", "mget", "keys", "\x90");
    REFUSED(ERR_BAD_REQUEST, "empty", "mget", "keys", "\x92\xa1k\xa0");
    REFUSED(ERR_BAD_REQUEST, "an item of mput needs `value`", "mput", "items",
            "\x91\x81\xa3key\xa1k");
    REFUSED(ERR_BAD_REQUEST, "`w`", "mput", "items", "\x91\x81\xa1w\x01");
    REFUSED(ERR_BAD_REQUEST, "`?<?`", "get", "\x01<\xff", "\x01");
}

Test(rpc, an_empty_list_of_parameters_lacks_the_key)
{
    struct rpc_request got;
    rpc_call_encode(7, slice_string("get"), SLICE_NONE, &out);
    cr_assert_eq(decode(&got), ERR_BAD_REQUEST);
    cr_assert_not_null(memmem(got.detail.data, got.detail.size, "`key`", 5));
}

Test(rpc, sizes_have_limits)
{
    static uint8_t bytes[VALUE_SIZE_DEFAULT + 1];
    struct rpc_request got;
    struct request sent = {.method = METHOD_PUT, .key = slice_of(bytes, KEY_SIZE_MAX)};
    sent.value = slice_of(bytes, VALUE_SIZE_DEFAULT);
    rpc_request_encode(1, &sent, SLICE_NONE, false, &out);
    cr_assert_eq(decode(&got), 0);
    buf_clear(&out);
    sent.key.size++;
    rpc_request_encode(1, &sent, SLICE_NONE, false, &out);
    cr_assert_eq(decode(&got), ERR_TOO_LARGE);
    buf_clear(&out);
    sent.key.size = 1;
    sent.value.size++;
    rpc_request_encode(1, &sent, SLICE_NONE, false, &out);
    cr_assert_eq(decode(&got), ERR_TOO_LARGE);
    buf_clear(&out);
    sent.value.size = 1;
    sent.type = slice_of(bytes, TYPE_SIZE_MAX + 1);
    rpc_request_encode(1, &sent, SLICE_NONE, false, &out);
    cr_assert_eq(decode(&got), ERR_TOO_LARGE);
    buf_clear(&out);
    sent.type.size = 1;
    sent.context = slice_of(bytes, CONTEXT_SIZE_MAX + 1);
    rpc_request_encode(1, &sent, SLICE_NONE, false, &out);
    cr_assert_eq(decode(&got), ERR_BAD_CONTEXT);
}

Test(rpc, numbers_past_all_slots_mean_all)
{
    struct rpc_request got;
    compose("get", (const char *const[]){"key", "\xa1k", "r", "\x63", NULL});
    cr_assert_eq(decode(&got), 0);
    cr_assert_eq(got.requests[0].r, CONSISTENCY_ALL);
    compose("get", (const char *const[]){"key", "\xa1k", "r", "\x07", NULL});
    cr_assert_eq(decode(&got), 0);
    cr_assert_eq(got.requests[0].r, 7);
    compose("get", (const char *const[]){"key", "\xa1k", "r", "\xa6quorum", NULL});
    cr_assert_eq(decode(&got), 0);
    cr_assert_eq(got.requests[0].r, CONSISTENCY_QUORUM);
    compose("get", (const char *const[]){"key", "\xa1k", "r", "\xa3one", NULL});
    cr_assert_eq(decode(&got), 0);
    cr_assert_eq(got.requests[0].r, 1);
}

Test(rpc, what_is_no_request_is_told_apart)
{
    static const struct {
        const char *bytes;
        size_t size;
        int error;
    } table[] = {
        {"\x93\x00\x01\xa3get", 7, ERR_CORRUPT},                      /* Three. */
        {"\x94\x01\x01\xa3get\x80", 8, ERR_CORRUPT},                  /* A response. */
        {"\x94\x00\xff\xa3get\x80", 8, ERR_CORRUPT},                  /* An id below zero. */
        {"\x94\x00\xcf\0\0\0\1\0\0\0\0\xa3get\x80", 16, ERR_CORRUPT}, /* An id of 33 bits. */
        {"\x94\x00\x01\x05\x80", 5, ERR_BAD_REQUEST},                 /* The method is a number. */
        {"\x94\x00\x01\xa3get\xc0", 8, ERR_BAD_REQUEST},              /* The parameters are nil. */
        {"\x94\x00\x01\xa3wat\x90", 8, ERR_BAD_REQUEST},          /* The parameters are an array. */
        {"\x94\x00\x01\xa3get\x81\x05\x05", 10, ERR_BAD_REQUEST}, /* A name is a number. */
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct rpc_request got;
        cr_assert_eq(rpc_decode(slice_of(table[i].bytes, table[i].size), &arena, 100, &got),
                     table[i].error, "%zu", i);
        cr_assert_eq(got.id, table[i].error == ERR_CORRUPT ? 0 : 1, "%zu", i);
        cr_assert_gt(got.detail.size, 0);
    }
}

static void put_if(const char *method, const char *word, const char *context, bool named)
{
    buf_clear(&out);
    bool put = strcmp(method, "put") == 0;
    mp_write_array(&out, 4);
    mp_write_uint(&out, 0);
    mp_write_uint(&out, 9);
    mp_write_text(&out, method);
    mp_write_map(&out, 2u + put + (context != NULL) + named);
    mp_write_text(&out, "key");
    mp_write_text(&out, "k");
    mp_write_text(&out, "if");
    mp_write_text(&out, word);
    if (put) {
        mp_write_text(&out, "value");
        mp_write_text(&out, "v");
    }
    if (context != NULL) {
        mp_write_text(&out, "context");
        mp_write_text(&out, context);
    }
    if (named) {
        mp_write_text(&out, "request");
        mp_write_array(&out, 2);
        mp_write_uint(&out, 1);
        mp_write_uint(&out, 1);
    }
}

Test(rpc, a_condition_makes_an_edit)
{
    struct rpc_request got;
    put_if("put", "absent", NULL, false);
    cr_assert_eq(decode(&got), 0);
    cr_assert_eq(got.method, RPC_PUT);
    cr_assert_eq(got.requests[0].method, METHOD_EDIT);
    cr_assert_eq(got.requests[0].edit.kind, EDIT_PUT);
    cr_assert_eq(got.requests[0].edit.conditions, EDIT_IF_ABSENT);
    cr_assert_eq(got.requests[0].edit.expiry, EDIT_EXPIRY_TTL);
    put_if("delete", "unchanged", "seen", false);
    cr_assert_eq(decode(&got), 0);
    cr_assert_eq(got.requests[0].edit.kind, EDIT_DELETE);
    cr_assert_eq(got.requests[0].edit.conditions, EDIT_IF_UNCHANGED);
    put_if("put", "present", NULL, false);
    cr_assert_eq(decode(&got), 0);
    cr_assert_eq(got.requests[0].edit.conditions, EDIT_IF_PRESENT);
}

Test(rpc, a_condition_has_its_words_and_no_retries)
{
    struct rpc_request got;
    put_if("put", "maybe", NULL, false);
    cr_assert_eq(decode(&got), ERR_BAD_REQUEST);
    put_if("put", "absent", "seen", false);
    cr_assert_eq(decode(&got), ERR_BAD_REQUEST);
    put_if("put", "unchanged", NULL, false);
    cr_assert_eq(decode(&got), ERR_BAD_REQUEST);
    put_if("put", "absent", NULL, true);
    cr_assert_eq(decode(&got), ERR_BAD_REQUEST);
}
