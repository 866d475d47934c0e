#include "data/edit.h"

#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------------------- Numbers. */

bool edit_integer(struct slice text, int64_t *ret_number)
{
    bool negative = text.size > 0 && text.data[0] == '-';
    size_t at = negative;
    uint64_t number = 0;
    uint64_t highest = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    if (text.size == at || (text.data[at] == '0' && text.size > 1))
        return false;
    for (; at < text.size; at++) {
        uint8_t digit = (uint8_t)(text.data[at] - '0');
        if (digit > 9 || number > (highest - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *ret_number = (int64_t)(negative ? 0 - number : number);
    return true;
}

static enum edit_outcome add(const struct edit *edit, struct buf *out, struct edit_state *state)
{
    int64_t number = 0;
    int64_t sum;
    if (state->present && !edit_integer(state->value, &number))
        return EDIT_NOT_INTEGER;
    if (__builtin_add_overflow(number, (int64_t)edit->number, &sum))
        return EDIT_OVERFLOWS;
    buf_printf(out, "%lld", (long long)sum);
    state->value = buf_slice(out);
    return EDIT_HELD;
}

enum { FLOAT_TEXT_MAX = 256 };

/* Finite or not; no space before it, nothing after it, no NaN. */
static bool read_float(struct slice text, long double *ret_number)
{
    char copy[FLOAT_TEXT_MAX];
    char *end;
    if (text.size == 0 || text.size >= sizeof copy || text.data[0] <= ' ')
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    long double number = strtold(copy, &end);
    if (end != copy + text.size || number != number)
        return false;
    *ret_number = number;
    return true;
}

static bool is_finite(long double number)
{
    return number - number == 0;
}

/* Seventeen digits behind the point, less the zeros that say nothing. */
static void write_float(long double number, struct buf *out)
{
    buf_printf(out, "%.17Lf", number);
    while (out->data[out->size - 1] == '0')
        out->size--;
    if (out->data[out->size - 1] == '.')
        out->size--;
    if (slice_equal(buf_slice(out), slice_string("-0"))) {
        buf_clear(out);
        buf_append_byte(out, '0');
    }
}

static enum edit_outcome add_float(struct slice operand, struct buf *out, struct edit_state *state)
{
    long double number = 0;
    long double more;
    if ((state->present && !read_float(state->value, &number)) || !read_float(operand, &more))
        return EDIT_NOT_FLOAT;
    if (!is_finite(number + more))
        return EDIT_NOT_FINITE;
    write_float(number + more, out);
    state->value = buf_slice(out);
    return EDIT_HELD;
}

/* --------------------------------------------------------------------------------- Bytes. */

static size_t size_max(const struct edit *edit)
{
    return edit->size_max == 0 ? (size_t)VALUE_SIZE_MAX
                               : (size_t)MIN(edit->size_max, (uint64_t)VALUE_SIZE_MAX);
}

static enum edit_outcome splice(const struct edit *edit, struct slice operand, size_t at,
                                struct buf *out, struct edit_state *state)
{
    size_t size = state->present ? state->value.size : 0;
    if (at > size_max(edit) || operand.size > size_max(edit) - at)
        return EDIT_TOO_LARGE;
    buf_reserve(out, MAX(size, at + operand.size) + 1);
    if (size > 0)
        buf_append(out, state->value);
    for (; out->size < at; out->size++)
        out->data[out->size] = 0;
    if (operand.size > 0)
        memcpy(out->data + at, operand.data, operand.size);
    out->size = MAX(out->size, at + operand.size);
    state->value = buf_slice(out);
    return EDIT_HELD;
}

/* ---------------------------------------------------------------------------- Conditions. */

static bool later(uint64_t a_ms, uint64_t b_ms)
{
    return (a_ms == 0 ? UINT64_MAX : a_ms) > (b_ms == 0 ? UINT64_MAX : b_ms);
}

static bool holds(const struct edit *edit, const struct edit_state *state, uint64_t expires_ms)
{
    uint8_t set = edit->conditions;
    bool expires = state->present && state->expires_ms != 0;
    return !((set & EDIT_IF_ABSENT && state->present) ||
             (set & EDIT_IF_PRESENT && !state->present) || (set & EDIT_IF_EXPIRES && !expires) ||
             (set & EDIT_IF_STAYS && (!state->present || expires)) ||
             (set & EDIT_IF_LATER && !later(expires_ms, state->expires_ms)) ||
             (set & EDIT_IF_EARLIER && !later(state->expires_ms, expires_ms)));
}

static uint64_t expiry_of(const struct edit *edit, const struct edit_state *state,
                          uint64_t ttl_expires_ms)
{
    switch ((enum edit_expiry)edit->expiry) {
    case EDIT_EXPIRY_TTL:
        return ttl_expires_ms;
    case EDIT_EXPIRY_AT:
        return MAX(edit->expires_ms, (uint64_t)1);
    case EDIT_EXPIRY_NEVER:
        return 0;
    case EDIT_EXPIRY_KEEP:
        break;
    }
    return state->present ? state->expires_ms : ttl_expires_ms;
}

static bool needs_one_value(const struct edit *edit)
{
    return edit->kind != EDIT_PUT && edit->kind != EDIT_DELETE;
}

static enum edit_outcome change(const struct edit *edit, struct slice operand, struct buf *out,
                                struct edit_state *state)
{
    switch ((enum edit_kind)edit->kind) {
    case EDIT_PUT:
        state->value = operand;
        return operand.size > size_max(edit) ? EDIT_TOO_LARGE : EDIT_HELD;
    case EDIT_ADD:
        return add(edit, out, state);
    case EDIT_ADD_FLOAT:
        return add_float(operand, out, state);
    case EDIT_APPEND:
        return splice(edit, operand, state->present ? state->value.size : 0, out, state);
    case EDIT_OVERWRITE:
        return splice(edit, operand, (size_t)edit->number, out, state);
    case EDIT_NONE:
    case EDIT_DELETE:
    case EDIT_EXPIRE:
        break;
    }
    return EDIT_HELD;
}

enum edit_outcome edit_apply(const struct edit *edit, struct slice operand, uint64_t now_ms,
                             uint64_t ttl_expires_ms, struct buf *out, struct edit_state *state,
                             bool *ret_changed)
{
    struct edit_state next = *state;
    uint64_t expires_ms = expiry_of(edit, state, ttl_expires_ms);
    *ret_changed = false;
    if (state->several && needs_one_value(edit))
        return EDIT_SIBLINGS;
    if (!holds(edit, state, expires_ms))
        return EDIT_NOT_HELD;
    bool goes = edit->kind == EDIT_DELETE || edit->kind == EDIT_EXPIRE;
    if (goes && !state->present)
        return EDIT_NOT_HELD;
    /* Bytes of nothing: not even an empty value is made of none. */
    if (edit->kind == EDIT_OVERWRITE && operand.size == 0)
        return EDIT_HELD;
    enum edit_outcome outcome = change(edit, operand, out, &next);
    if (outcome != EDIT_HELD)
        return outcome;
    next.expires_ms = expires_ms;
    next.present = edit->kind != EDIT_DELETE &&
                   !(edit->expiry != EDIT_EXPIRY_KEEP && expires_ms != 0 && expires_ms <= now_ms);
    *ret_changed = next.present || state->present;
    *state = next;
    return EDIT_HELD;
}
