/* The two sides of the client port against each other, and against bytes written by hand. */
#include "base/error.h"
#include "base/limits.h"
#include "data/hlc.h"
#include "data/object.h"
#include "wire/rpc.h"

#include "rpc_client.h"

#include <criterion/criterion.h>
#include <msgpack.h>

enum { SEED = 42 };

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

/* ----------------------------------------------------------------------------- Requests. */

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

/* ---------------------------------------------------------------------------- Responses. */

static struct slice object_of(const char *const *values, enum policy policy, bool tombstone)
{
    struct buf object = {0}, next = {0};
    for (uint64_t i = 0; values[i] != NULL; i++) {
        struct update update = {.dot = {100 + i, 1},
                                .hlc = hlc_at(1000 + i),
                                .policy = policy,
                                .tombstone = tombstone,
                                .blind = true,
                                .ttl_ms = i == 0 && !tombstone ? 5000 : 0};
        if (!tombstone) {
            update.value = slice_string(values[i]);
            update.type = slice_string("text/plain");
        }
        buf_clear(&next);
        cr_assert_eq(object_update(buf_slice(&object), &update, &next, NULL), 0);
        struct buf swap = object;
        object = next;
        next = swap;
    }
    struct slice copy = arena_copy(&arena, buf_slice(&object));
    buf_done(&object);
    buf_done(&next);
    return copy;
}

static struct answer answer_of(struct slice object)
{
    return (struct answer){.needed = 2,
                           .got = 3,
                           .slots = 3,
                           .copies = 5,
                           .coordinator = {1, 0xabc},
                           .hlc = hlc_at(2000),
                           .object = object};
}

static const struct rpc_asked asked_get = {.method = METHOD_GET,
                                           .bucket = {(const uint8_t *)"b", 1},
                                           .key = {(const uint8_t *)"k", 1},
                                           .hash_seed = SEED};

static struct rpc_response response(void)
{
    struct rpc_response ret;
    struct mp_scan scan = rpc_response_scan();
    size_t more;
    cr_assert_eq(mp_scan(&scan, buf_slice(&out), &more), 0);
    cr_assert_eq(more, 0);
    cr_assert_eq(rpc_response_decode(buf_slice(&out), &ret), 0);
    return ret;
}

Test(rpc, a_get_shows_siblings_newest_first_and_a_context_for_the_next_put)
{
    struct answer answer =
        answer_of(object_of((const char *const[]){"old", "new", NULL}, POLICY_SIBLINGS, false));
    rpc_answer(8, &asked_get, &answer, &arena, &out);
    struct rpc_response got = response();
    struct rpc_outcome outcome;
    cr_assert_eq(got.id, 8);
    cr_assert_eq(got.outcome.error, 0);
    cr_assert_eq(rpc_outcome_decode(got.result, &arena, &outcome), 0);
    cr_assert_eq(outcome.siblings_count, 2);
    cr_assert(slice_equal(outcome.siblings[0].value, slice_string("new")));
    cr_assert(slice_equal(outcome.siblings[0].type, slice_string("text/plain")));
    cr_assert_eq(outcome.siblings[0].expires_ms, 0);
    cr_assert(slice_equal(outcome.siblings[1].value, slice_string("old")));
    cr_assert_eq(outcome.siblings[1].time_ms, 1000);
    cr_assert_eq(outcome.siblings[1].hlc, hlc_at(1000));
    cr_assert_eq(outcome.siblings[1].expires_ms, 6000);
    cr_assert_eq(outcome.needed, 2);
    cr_assert_eq(outcome.got, 3);
    cr_assert_eq(outcome.slots, 3);
    cr_assert_eq(outcome.copies, 5);
    uint64_t hlc;
    cr_assert_eq(context_check(outcome.context, SEED, asked_get.bucket, asked_get.key, &hlc), 0);
}

Test(rpc, absent_and_deleted_are_two_errors)
{
    struct answer answer = answer_of(SLICE_NONE);
    rpc_answer(8, &asked_get, &answer, &arena, &out);
    struct rpc_response got = response();
    cr_assert_eq(got.outcome.error, ERR_NOT_FOUND);
    cr_assert(slice_equal(got.outcome.word, slice_string("NOT_FOUND")));
    cr_assert(got.outcome.message.size > 0 && got.outcome.advice.size > 0);
    cr_assert_eq(got.outcome.got, 3);
    cr_assert(slice_equal(got.outcome.node, slice_string("00000000000000010000000000000abc")));
    cr_assert_eq(got.result.size, 0);

    buf_clear(&out);
    answer = answer_of(object_of((const char *const[]){"", NULL}, POLICY_NEWEST, true));
    rpc_answer(8, &asked_get, &answer, &arena, &out);
    cr_assert_eq(response().outcome.error, ERR_DELETED);
}

Test(rpc, a_put_says_what_stands_now)
{
    struct rpc_asked asked = asked_get;
    asked.method = METHOD_PUT;
    struct answer answer =
        answer_of(object_of((const char *const[]){"a", "b", NULL}, POLICY_SIBLINGS, false));
    struct rpc_outcome outcome;
    rpc_answer(8, &asked, &answer, &arena, &out);
    cr_assert_eq(rpc_outcome_decode(response().result, &arena, &outcome), 0);
    cr_assert_eq(outcome.versions, 2);
    cr_assert_eq(outcome.hlc, hlc_at(1001));
    cr_assert_eq(outcome.got, 3);
    cr_assert_gt(outcome.context.size, 0);

    buf_clear(&out);
    asked.method = METHOD_DELETE;
    answer = answer_of(object_of((const char *const[]){"", NULL}, POLICY_NEWEST, true));
    rpc_answer(8, &asked, &answer, &arena, &out);
    cr_assert_eq(rpc_outcome_decode(response().result, &arena, &outcome), 0);
    cr_assert_eq(outcome.versions, 0);
}

Test(rpc, an_error_carries_the_core_s_sentence_and_counts)
{
    struct answer answer = answer_of(SLICE_NONE);
    answer.error = ERR_UNAVAILABLE;
    answer.detail = slice_string("2 of 3 nodes are down");
    answer.got = 1;
    rpc_answer(8, &asked_get, &answer, &arena, &out);
    struct rpc_response got = response();
    cr_assert_eq(got.outcome.error, ERR_UNAVAILABLE);
    cr_assert(slice_equal(got.outcome.message, answer.detail));
    cr_assert_eq(got.outcome.needed, 2);
    cr_assert_eq(got.outcome.got, 1);
    buf_clear(&out);
    rpc_error(0, ERR_BAD_REQUEST, slice_string("no"), &out);
    got = response();
    cr_assert_eq(got.id, 0);
    cr_assert_eq(got.outcome.error, ERR_BAD_REQUEST);
    cr_assert_eq(got.outcome.needed, 0);
}

Test(rpc, batches_answer_part_by_part)
{
    struct buf parts = {0};
    struct slice slices[2];
    struct answer answer =
        answer_of(object_of((const char *const[]){"v", NULL}, POLICY_NEWEST, false));
    rpc_part(&asked_get, &answer, &arena, &parts);
    size_t first = parts.size;
    answer = answer_of(SLICE_NONE);
    rpc_part(&asked_get, &answer, &arena, &parts);
    slices[0] = slice_of(parts.data, first);
    slices[1] = slice_of(parts.data + first, parts.size - first);
    rpc_parts(5, slices, 2, &out);
    buf_done(&parts);
    struct rpc_list list;
    cr_assert_eq(rpc_list_decode(response().result, &arena, &list), 0);
    cr_assert_eq(list.count, 2);
    cr_assert_eq(list.outcomes[0].error, 0);
    cr_assert(slice_equal(list.outcomes[0].siblings[0].value, slice_string("v")));
    cr_assert_eq(list.outcomes[1].error, ERR_NOT_FOUND);
}

Test(rpc, a_scan_s_cursor_leads_to_the_next_page)
{
    struct slice alive = object_of((const char *const[]){"v", NULL}, POLICY_NEWEST, false);
    struct slice dead = object_of((const char *const[]){"", NULL}, POLICY_NEWEST, true);
    struct entry entries[] = {{1, slice_string("b"), slice_string("k1"), alive},
                              {2, slice_string("b"), slice_string("k2"), dead},
                              {3, slice_string("b"), slice_string("k3"), alive}};
    struct answer answer = answer_of(SLICE_NONE);
    answer.entries = entries;
    answer.entries_count = 3;
    answer.more = true;
    answer.cursor = 3;
    answer.cursor_key = slice_string("k3");
    struct rpc_asked asked = {.method = METHOD_SCAN, .values = true, .hash_seed = SEED};
    struct rpc_list list;
    rpc_answer(5, &asked, &answer, &arena, &out);
    cr_assert_eq(rpc_list_decode(response().result, &arena, &list), 0);
    cr_assert_eq(list.count, 2);
    cr_assert(slice_equal(list.outcomes[0].key, slice_string("k1")));
    cr_assert(slice_equal(list.outcomes[1].key, slice_string("k3")));
    cr_assert_eq(list.outcomes[0].siblings_count, 1);
    uint64_t hlc;
    cr_assert_eq(
        context_check(list.outcomes[0].context, SEED, slice_string("b"), slice_string("k1"), &hlc),
        0);
    struct buf next = {0};
    struct request request = {.method = METHOD_SCAN, .limit = 10};
    rpc_request_encode(6, &request, list.cursor, true, &next);
    struct rpc_request got;
    cr_assert_eq(rpc_decode(buf_slice(&next), &arena, 100, &got), 0);
    cr_assert_eq(got.requests[0].cursor, 3);
    cr_assert(slice_equal(got.requests[0].key, slice_string("k3")));
    cr_assert_eq(got.requests[0].limit, 10);
    cr_assert(got.values);
    buf_done(&next);

    buf_clear(&out);
    asked.values = false;
    answer.more = false;
    rpc_answer(5, &asked, &answer, &arena, &out);
    cr_assert_eq(rpc_list_decode(response().result, &arena, &list), 0);
    cr_assert_eq(list.count, 2);
    cr_assert_eq(list.outcomes[0].siblings_count, 0);
    cr_assert_eq(list.cursor.size, 0);
}

Test(rpc, a_result_is_handed_out_whole)
{
    rpc_result(5, slice_of("\x81\xa1k\x05", 4), &out);
    struct rpc_response got = response();
    cr_assert(slice_equal(got.result, slice_of("\x81\xa1k\x05", 4)));
    /* msgpack-c sees [1, 5, nil, {"k": 5}]. */
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    cr_assert_eq(msgpack_unpack_next(&unpacked, (const char *)out.data, out.size, NULL),
                 MSGPACK_UNPACK_SUCCESS);
    cr_assert_eq(unpacked.data.via.array.size, 4);
    cr_assert_eq(unpacked.data.via.array.ptr[0].via.u64, 1);
    cr_assert_eq(unpacked.data.via.array.ptr[2].type, MSGPACK_OBJECT_NIL);
    msgpack_unpacked_destroy(&unpacked);
}

Test(rpc, malformed_responses_are_refused)
{
    static const struct {
        const char *bytes;
        size_t size;
    } table[] = {
        {"\x94\x01\x05\xc0\xc0", 5}, /* Neither error nor result. */
        {"\x94\x00\x05\xc0\x80", 5}, /* A request's type. */
        {"\x93\x01\x05\xc0", 4},     /* Too short. */
        {"\x94\x01\x05\x81\xa4"
         "code\xa2OK\xc0",
         13},                            /* An error that is none. */
        {"\x94\x01\x05\x80\x80", 5},     /* Both. */
        {"\x94\x01\x05\xc0\x80\xc0", 6}, /* Bytes left over. */
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct rpc_response got;
        cr_assert_eq(rpc_response_decode(slice_of(table[i].bytes, table[i].size), &got),
                     ERR_CORRUPT, "%zu", i);
    }
    struct rpc_list list;
    cr_assert_eq(rpc_list_decode(slice_of("\x81\xa7results\x91\x80", 11), &arena, &list),
                 ERR_CORRUPT);
}
