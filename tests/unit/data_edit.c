/* Edits: what becomes of a value, and of the object that holds it. */
#include "base/error.h"
#include "base/limits.h"
#include "data/hlc.h"
#include "data/object.h"

#include <criterion/criterion.h>

enum { NOW_MS = 1000000 };

static struct buf out;

static void start(void)
{
    out = (struct buf){0};
}

static void stop(void)
{
    buf_done(&out);
}

TestSuite(edit, .init = start, .fini = stop);

static struct slice text(const char *string)
{
    return slice_string(string);
}

static struct edit_state state_of(const char *value, uint64_t expires_ms)
{
    return (struct edit_state){.present = value != NULL,
                               .value = value == NULL ? SLICE_NONE : text(value),
                               .expires_ms = expires_ms};
}

static void expect(const struct edit *edit, const char *value, const char *operand,
                   enum edit_outcome outcome, const char *becomes)
{
    struct edit_state state = state_of(value, 0);
    bool changed;
    buf_clear(&out);
    cr_expect_eq(edit_apply(edit, text(operand), NOW_MS, 0, &out, &state, &changed), outcome,
                 "%s with %s", value == NULL ? "nothing" : value, operand);
    cr_expect_eq(changed, becomes != NULL, "%s with %s", value == NULL ? "nothing" : value,
                 operand);
    if (becomes != NULL)
        cr_expect(slice_equal(state.value, text(becomes)), "%.*s is not %s", (int)state.value.size,
                  (const char *)state.value.data, becomes);
}

Test(edit, whole_numbers_are_added_within_64_bits)
{
    const struct edit up = {.kind = EDIT_ADD, .number = 1};
    const struct edit down = {.kind = EDIT_ADD, .number = UINT64_MAX}; /* -1 */
    expect(&up, NULL, "", EDIT_HELD, "1");
    expect(&up, "41", "", EDIT_HELD, "42");
    expect(&up, "-1", "", EDIT_HELD, "0");
    expect(&down, "0", "", EDIT_HELD, "-1");
    expect(&up, "9223372036854775806", "", EDIT_HELD, "9223372036854775807");
    expect(&up, "9223372036854775807", "", EDIT_OVERFLOWS, NULL);
    expect(&down, "-9223372036854775807", "", EDIT_HELD, "-9223372036854775808");
    expect(&down, "-9223372036854775808", "", EDIT_OVERFLOWS, NULL);
    static const char *const wrong[] = {
        "", " 1", "1 ", "+1", "01", "-0", "1.0", "x", "0x1", "-", "9223372036854775808"};
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        expect(&up, wrong[i], "", EDIT_NOT_INTEGER, NULL);
}

Test(edit, decimal_numbers_are_added_and_written_short)
{
    const struct edit add = {.kind = EDIT_ADD_FLOAT};
    expect(&add, NULL, "10.50", EDIT_HELD, "10.5");
    expect(&add, "3.0e3", "200", EDIT_HELD, "3200");
    expect(&add, "0.5", "-0.5", EDIT_HELD, "0");
    expect(&add, "x", "1", EDIT_NOT_FLOAT, NULL);
    expect(&add, "1", " 1", EDIT_NOT_FLOAT, NULL);
    expect(&add, "1", "1 ", EDIT_NOT_FLOAT, NULL);
    expect(&add, "1", "nan", EDIT_NOT_FLOAT, NULL);
    expect(&add, "1", "", EDIT_NOT_FLOAT, NULL);
    expect(&add, "1", "inf", EDIT_NOT_FINITE, NULL);
    char digits[300];
    memset(digits, '1', sizeof digits);
    digits[sizeof digits - 1] = '\0';
    expect(&add, "1", digits, EDIT_NOT_FLOAT, NULL);
}

Test(edit, bytes_are_put_behind_and_over)
{
    const struct edit append = {.kind = EDIT_APPEND, .size_max = 8};
    struct edit over = {.kind = EDIT_OVERWRITE, .size_max = 8, .number = 2};
    expect(&append, NULL, "", EDIT_HELD, "");
    expect(&append, "ab", "cd", EDIT_HELD, "abcd");
    expect(&append, "abcdefg", "hi", EDIT_TOO_LARGE, NULL);
    expect(&over, "abcdef", "XY", EDIT_HELD, "abXYef");
    expect(&over, "abc", "XY", EDIT_HELD, "abXY");
    expect(&over, "abc", "", EDIT_HELD, NULL);
    expect(&over, NULL, "", EDIT_HELD, NULL);
    expect(&over, "a", "1234567", EDIT_TOO_LARGE, NULL);
    over.number = UINT64_MAX;
    expect(&over, "a", "b", EDIT_TOO_LARGE, NULL);
    over.number = 3;
    struct edit_state state = state_of(NULL, 0);
    bool changed;
    buf_clear(&out);
    cr_assert_eq(edit_apply(&over, text("z"), NOW_MS, 0, &out, &state, &changed), EDIT_HELD);
    cr_assert(slice_equal(state.value, slice_of("\0\0\0z", 4)));
}

Test(edit, conditions_are_about_value_and_expiry)
{
    static const struct {
        uint8_t conditions;
        bool held_absent, held_stays, held_expires;
    } table[] = {
        {0, true, true, true},
        {EDIT_IF_ABSENT, true, false, false},
        {EDIT_IF_PRESENT, false, true, true},
        {EDIT_IF_EXPIRES, false, false, true},
        {EDIT_IF_STAYS, false, true, false},
        {EDIT_IF_ABSENT | EDIT_IF_PRESENT, false, false, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        const struct edit edit = {.kind = EDIT_PUT, .conditions = table[i].conditions};
        struct edit_state states[] = {state_of(NULL, 0), state_of("v", 0),
                                      state_of("v", NOW_MS + 5)};
        const bool held[] = {table[i].held_absent, table[i].held_stays, table[i].held_expires};
        for (size_t k = 0; k < ARRAY_SIZE(states); k++) {
            bool changed;
            enum edit_outcome outcome =
                edit_apply(&edit, text("w"), NOW_MS, 0, &out, &states[k], &changed);
            cr_expect_eq(outcome == EDIT_HELD, held[k], "row %zu, state %zu", i, k);
            cr_expect_eq(changed, held[k]);
        }
    }
}

static enum edit_outcome expire(uint64_t at_ms, uint8_t conditions, struct edit_state *state)
{
    const struct edit edit = {.kind = EDIT_EXPIRE,
                              .expiry = EDIT_EXPIRY_AT,
                              .expires_ms = at_ms,
                              .conditions = conditions};
    bool changed;
    return edit_apply(&edit, SLICE_NONE, NOW_MS, 0, &out, state, &changed);
}

Test(edit, an_expiry_is_set_kept_and_taken_away)
{
    struct edit_state state = state_of("v", 0);
    cr_assert_eq(expire(NOW_MS + 10, EDIT_IF_LATER, &state), EDIT_NOT_HELD);
    cr_assert_eq(expire(NOW_MS + 10, EDIT_IF_EARLIER, &state), EDIT_HELD);
    cr_assert_eq(state.expires_ms, NOW_MS + 10);
    cr_assert_eq(expire(NOW_MS + 9, EDIT_IF_LATER, &state), EDIT_NOT_HELD);
    cr_assert_eq(expire(NOW_MS + 11, EDIT_IF_LATER, &state), EDIT_HELD);
    const struct edit put = {.kind = EDIT_PUT};
    bool changed;
    cr_assert_eq(edit_apply(&put, text("w"), NOW_MS, 77, &out, &state, &changed), EDIT_HELD);
    cr_assert_eq(state.expires_ms, NOW_MS + 11);
    const struct edit never = {.kind = EDIT_EXPIRE, .expiry = EDIT_EXPIRY_NEVER};
    cr_assert_eq(edit_apply(&never, SLICE_NONE, NOW_MS, 77, &out, &state, &changed), EDIT_HELD);
    cr_assert_eq(state.expires_ms, 0);
    cr_assert_eq(expire(NOW_MS, 0, &state), EDIT_HELD);
    cr_assert(!state.present);
    cr_assert_eq(expire(NOW_MS + 5, 0, &state), EDIT_NOT_HELD);
    /* What was not there has the bucket's expiry. */
    cr_assert_eq(edit_apply(&put, text("w"), NOW_MS, NOW_MS + 77, &out, &state, &changed),
                 EDIT_HELD);
    cr_assert_eq(state.expires_ms, NOW_MS + 77);
}

/* ------------------------------------------------------------------------------ Objects. */

static struct update update_of(const struct edit *edit, uint64_t counter, enum policy policy,
                               const char *value)
{
    return (struct update){.dot = {7, counter},
                           .hlc = hlc_at(NOW_MS + counter),
                           .now = hlc_at(NOW_MS + counter),
                           .policy = policy,
                           .edit = edit,
                           .value = text(value)};
}

static int apply(struct buf *object, const struct update *update, struct edited *ret)
{
    struct arena arena = {0};
    struct buf next = {0};
    int error = object_edit(buf_slice(object), update, &arena, &next, ret);
    if (error == 0 && ret->changed) {
        struct buf swap = *object;
        *object = next;
        next = swap;
    } else {
        cr_expect_eq(next.size, 0);
    }
    buf_done(&next);
    arena_done(&arena);
    return error;
}

static int64_t number_in(struct slice bytes, uint32_t *ret_count)
{
    struct arena arena = {0};
    struct object object;
    int64_t number = -1;
    cr_assert_eq(object_decode(bytes, &arena, &object), 0);
    *ret_count = object.count;
    cr_assert(edit_integer(object.siblings[0].value, &number));
    arena_done(&arena);
    return number;
}

Test(edit, each_version_follows_all_that_was_there)
{
    const struct edit add = {.kind = EDIT_ADD, .number = 2};
    for (enum policy policy = POLICY_SIBLINGS; policy <= POLICY_LWW; policy++) {
        struct buf object = {0};
        struct edited edited;
        uint32_t count;
        for (uint64_t i = 1; i <= 10; i++) {
            const struct update update = update_of(&add, i, policy, "");
            cr_assert_eq(apply(&object, &update, &edited), 0);
            cr_assert_eq(edited.hlc, update.hlc);
            cr_assert_eq(number_in(buf_slice(&object), &count), 2 * (int64_t)i);
            cr_assert_eq(count, 1);
        }
        buf_done(&object);
    }
}

Test(edit, a_stamp_that_is_not_the_latest_is_refused)
{
    const struct edit add = {.kind = EDIT_ADD, .number = 1};
    struct buf object = {0};
    struct edited edited;
    struct update first = update_of(&add, 5, POLICY_NEWEST, "");
    cr_assert_eq(apply(&object, &first, &edited), 0);
    struct update late = update_of(&add, 6, POLICY_NEWEST, "");
    late.hlc = first.hlc;
    cr_assert_eq(apply(&object, &late, &edited), ERR_CONFLICT);
    buf_done(&object);
}

Test(edit, unchanged_means_covered_by_the_context)
{
    const struct edit put = {.kind = EDIT_PUT, .conditions = EDIT_IF_UNCHANGED};
    struct buf object = {0}, context = {0};
    struct edited edited;
    struct update update = update_of(&put, 1, POLICY_NEWEST, "1");
    cr_assert_eq(apply(&object, &update, &edited), 0); /* Nothing is there to be covered. */
    cr_assert_eq(edited.outcome, EDIT_HELD);
    update = update_of(&put, 2, POLICY_NEWEST, "2");
    cr_assert_eq(apply(&object, &update, &edited), 0);
    cr_assert_eq(edited.outcome, EDIT_NOT_HELD);
    cr_assert_eq(object_context(buf_slice(&object), 1, text("b"), text("k"), &context), 0);
    update.context = buf_slice(&context);
    cr_assert_eq(apply(&object, &update, &edited), 0);
    cr_assert_eq(edited.outcome, EDIT_HELD);
    update = update_of(&put, 3, POLICY_NEWEST, "3");
    update.context = buf_slice(&context);
    cr_assert_eq(apply(&object, &update, &edited), 0);
    cr_assert_eq(edited.outcome, EDIT_NOT_HELD);
    update.context = text("garbage");
    cr_assert_eq(apply(&object, &update, &edited), ERR_BAD_CONTEXT);
    buf_done(&object);
    buf_done(&context);
}

Test(edit, several_values_are_no_number)
{
    const struct edit add = {.kind = EDIT_ADD, .number = 1};
    const struct edit take = {.kind = EDIT_PUT, .conditions = EDIT_IF_ABSENT};
    struct buf object = {0};
    struct edited edited;
    uint32_t count;
    for (uint64_t i = 1; i <= 2; i++) {
        struct buf next = {0};
        struct update update = update_of(NULL, i, POLICY_SIBLINGS, "5");
        update.blind = true;
        cr_assert_eq(object_update(buf_slice(&object), &update, &next, NULL), 0);
        buf_done(&object);
        object = next;
    }
    struct update update = update_of(&add, 3, POLICY_SIBLINGS, "");
    cr_assert_eq(apply(&object, &update, &edited), 0);
    cr_assert_eq(edited.outcome, EDIT_SIBLINGS);
    update = update_of(&take, 3, POLICY_SIBLINGS, "6");
    cr_assert_eq(apply(&object, &update, &edited), 0);
    cr_assert_eq(edited.outcome, EDIT_NOT_HELD);
    const struct edit put = {.kind = EDIT_PUT};
    update = update_of(&put, 3, POLICY_SIBLINGS, "6");
    cr_assert_eq(apply(&object, &update, &edited), 0);
    cr_assert_eq(number_in(buf_slice(&object), &count), 6);
    cr_assert_eq(count, 1);
    buf_done(&object);
}

Test(edit, what_has_expired_is_absent)
{
    const struct edit take = {
        .kind = EDIT_PUT, .conditions = EDIT_IF_ABSENT, .expiry = EDIT_EXPIRY_TTL};
    struct buf object = {0};
    struct edited edited;
    struct update update = update_of(&take, 1, POLICY_LWW, "1");
    update.ttl_ms = 10;
    cr_assert_eq(apply(&object, &update, &edited), 0);
    update = update_of(&take, 5, POLICY_LWW, "2");
    cr_assert_eq(apply(&object, &update, &edited), 0);
    cr_assert_eq(edited.outcome, EDIT_NOT_HELD);
    update = update_of(&take, 11, POLICY_LWW, "3");
    cr_assert_eq(apply(&object, &update, &edited), 0);
    cr_assert_eq(edited.outcome, EDIT_HELD);
    buf_done(&object);
}
