/* Edits: what a request makes of the value that is there, in one step.
 *
 * Pure: an edit takes what a reader would see of a key at one moment and says what is to stand
 * there. It is applied where the object is read and written in one step, by the store (step.h), so
 * that nothing comes between. Numbers are read and written as Redis does. */
#ifndef EDIT_H
#define EDIT_H

#include "base/buf.h"

enum edit_kind {
    EDIT_NONE = 0,
    EDIT_PUT,       /* The operand becomes the value. */
    EDIT_DELETE,    /* The key goes. */
    EDIT_EXPIRE,    /* The expiry alone changes. */
    EDIT_ADD,       /* `number` is added to a whole number; without a value it was 0. */
    EDIT_ADD_FLOAT, /* The operand, a decimal number, is added. */
    EDIT_APPEND,    /* The operand comes behind the value. */
    EDIT_OVERWRITE, /* The operand from byte `number` on; a gap is filled with zeros. */
};
enum { EDIT_KINDS = EDIT_OVERWRITE + 1 };

/* A set of conditions, all of which must hold. */
enum edit_condition {
    EDIT_IF_ABSENT = 1 << 0,
    EDIT_IF_PRESENT = 1 << 1,
    EDIT_IF_UNCHANGED = 1 << 2, /* Nothing is stored that the request's context does not cover. */
    EDIT_IF_EXPIRES = 1 << 3,   /* There is a value, with an expiry. */
    EDIT_IF_STAYS = 1 << 4,     /* There is a value, without one. */
    EDIT_IF_LATER = 1 << 5,     /* The new expiry is later; never is the latest. */
    EDIT_IF_EARLIER = 1 << 6,
};
enum { EDIT_CONDITIONS = (1 << 7) - 1 };

/* What becomes of the expiry. */
enum edit_expiry {
    EDIT_EXPIRY_KEEP = 0, /* As it was; of a key that was not there as with TTL. */
    EDIT_EXPIRY_TTL,      /* As a put's: after the request's ttl_ms, or the bucket's. */
    EDIT_EXPIRY_AT,       /* At `expires_ms`; in the past: the key goes. */
    EDIT_EXPIRY_NEVER,    /* It has none any more. */
};
enum { EDIT_EXPIRIES = EDIT_EXPIRY_NEVER + 1 };

struct edit {
    uint8_t kind;
    uint8_t conditions;
    uint8_t expiry;
    bool earlier;    /* The answer shows the object as it was before as well. */
    uint64_t number; /* ADD: of two's complement. OVERWRITE: below VALUE_SIZE_MAX. */
    uint64_t expires_ms;
    uint64_t size_max; /* Of the value; 0 or above VALUE_SIZE_MAX: that. */
};

/* What came of an edit. All of them are decided: a retry would be told the same. */
enum edit_outcome {
    EDIT_UNDECIDED = 0,
    EDIT_HELD,        /* The conditions held, and what was asked for stands. */
    EDIT_NOT_HELD,    /* Nothing was changed, for this and the following. */
    EDIT_NOT_INTEGER, /* The value is no whole number of 64 bits. */
    EDIT_OVERFLOWS,
    EDIT_NOT_FLOAT,  /* The value, or the operand, is no decimal number. */
    EDIT_NOT_FINITE, /* The sum is infinite. */
    EDIT_TOO_LARGE,
    EDIT_SIBLINGS, /* There are several values. */
};
enum { EDIT_OUTCOMES = EDIT_SIBLINGS + 1 };

/* What a reader sees of a key. */
struct edit_state {
    bool present;
    bool several; /* Values; `value` is the latest. */
    struct slice value;
    struct slice type;
    uint64_t expires_ms; /* 0 never. */
};

/* Apply EDIT with OPERAND to STATE at NOW_MS, where the expiry of a put would be TTL_EXPIRES_MS.
 * All conditions but EDIT_IF_UNCHANGED are judged here. A new value lies in OUT, or is the operand.
 * RET_CHANGED: STATE is to be written. */
enum edit_outcome edit_apply(const struct edit *edit, struct slice operand, uint64_t now_ms,
                             uint64_t ttl_expires_ms, struct buf *out, struct edit_state *state,
                             bool *ret_changed);

/* A whole decimal number of 64 bits as Redis takes it: no sign but `-`, no leading zeros, nothing
 * before or after. */
bool edit_integer(struct slice text, int64_t *ret_number);

#endif
