/* Versions and objects, for the tests of objects. */
#ifndef OBJECT_RIG_H
#define OBJECT_RIG_H

#include "data/object.h"

#include <criterion/criterion.h>

static inline struct slice text(const char *string)
{
    return slice_string(string);
}

static inline struct update update_of(uint64_t actor, uint64_t counter, enum policy policy)
{
    return (struct update){.dot = {actor, counter},
                           .hlc = 1000 + counter,
                           .policy = policy,
                           .blind = true,
                           .value = slice_string("value")};
}

static inline void apply(struct buf *object, const struct update *update)
{
    struct buf out = {0};
    cr_assert_eq(object_update(buf_slice(object), update, &out, NULL), 0);
    buf_done(object);
    *object = out;
}

static inline void merge_into(struct buf *object, struct slice other)
{
    struct buf out = {0};
    object_merge(buf_slice(object), other, &out);
    buf_done(object);
    *object = out;
}

#endif
