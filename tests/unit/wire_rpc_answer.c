/* Answers of the client port, read by a second reading of docs/protocol.md and by msgpack-c. */
#include "base/error.h"
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

TestSuite(rpc_answer, .init = start, .fini = stop);

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

Test(rpc_answer, a_get_shows_siblings_newest_first_and_a_context_for_the_next_put)
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

Test(rpc_answer, absent_and_deleted_are_two_errors)
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

Test(rpc_answer, a_put_says_what_stands_now)
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

Test(rpc_answer, an_error_carries_the_core_s_sentence_and_counts)
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

Test(rpc_answer, batches_answer_part_by_part)
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

Test(rpc_answer, a_scan_s_cursor_leads_to_the_next_page)
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

Test(rpc_answer, a_result_is_handed_out_whole)
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

Test(rpc_answer, malformed_responses_are_refused)
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
