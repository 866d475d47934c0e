/* Shapes: a struct's fields, listed once, from which it is written as a MessagePack array and read
 * back. Order of the list is order on the wire.
 *
 * Fields are only ever added at the end: a reader skips what it does not know. Reading checks
 * types, bounds, records and objects, never trusts a count, and allocates lists alone, from an
 * arena: at most the declared bound, and never more elements than bytes are left. Slices borrow. */
#ifndef SHAPE_H
#define SHAPE_H

#include "base/arena.h"
#include "data/id.h"
#include "wire/mp.h"

enum field_kind {
    FIELD_U8 = 1, /* Numbers: */
    FIELD_U16,
    FIELD_U32,
    FIELD_U64,
    FIELD_RANGE, /* up to here; uint32_t: the number of a range. */
    FIELD_BOOL,
    FIELD_ERROR, /* int: 0 or a negative code. */
    FIELD_ID,    /* struct node_id; nil for none. */
    FIELD_BYTES, /* struct slice */
    FIELD_OBJECT,
    FIELD_WORDS, /* uint64_t array of `high` elements, as binary, little-endian. */
    /* Data-layer values, as binary in their own encoding. */
    FIELD_RECORD,
    FIELD_RECORD_MAYBE, /* Nil while its epoch is 0; needed when the flag at `other` is set. */
    FIELD_MEMBER,
    FIELD_DEPARTURE,
    FIELD_SETTING,
    FIELD_SHAPE, /* A struct inside, as an array inside. */
    FIELD_LIST,  /* A pointer to an array, with a uint32_t count at `other`. */
};

struct field {
    enum field_kind kind;
    uint16_t offset;
    uint16_t other; /* Offset of what belongs to it, 0 for nothing. */
    uint64_t low;   /* Bounds of a number, of a size or count. */
    uint64_t high;
    const struct shape *shape; /* Of what is inside. */
};

struct shape {
    const struct field *fields;
    uint32_t count;
    bool bare; /* Its one field goes without an array around it. */
    size_t size;
};

/* The kind of a plain member, so that a list cannot contradict the struct. */
#define FIELD_KIND(type, member)                                                                   \
    _Generic(((type *)0)->member, uint8_t                                                          \
             : FIELD_U8, uint16_t                                                                  \
             : FIELD_U16, uint32_t                                                                 \
             : FIELD_U32, uint64_t                                                                 \
             : FIELD_U64, bool                                                                     \
             : FIELD_BOOL, int                                                                     \
             : FIELD_ERROR, struct node_id                                                         \
             : FIELD_ID)
#define FIELD_OF(field_kind, type, member, lowest, highest)                                        \
    {                                                                                              \
        .kind = (field_kind), .offset = offsetof(type, member), .low = (lowest), .high = (highest) \
    }
#define PLAIN(type, member) FIELD_OF(FIELD_KIND(type, member), type, member, 0, UINT64_MAX)
#define BOUNDED(type, member, lowest, highest)                                                     \
    FIELD_OF(FIELD_KIND(type, member), type, member, lowest, highest)
#define RANGE_NUMBER(type, member) FIELD_OF(FIELD_RANGE, type, member, 0, 0)
#define BYTES(type, member, lowest, highest) FIELD_OF(FIELD_BYTES, type, member, lowest, highest)
#define OBJECT(type, member) FIELD_OF(FIELD_OBJECT, type, member, 0, UINT64_MAX)
#define OBJECT_NEEDED(type, member) FIELD_OF(FIELD_OBJECT, type, member, 1, UINT64_MAX)
#define WORDS(type, member) FIELD_OF(FIELD_WORDS, type, member, 0, ARRAY_SIZE(((type *)0)->member))
#define INSIDE(type, member, inner)                                                                \
    {                                                                                              \
        .kind = FIELD_SHAPE, .offset = offsetof(type, member), .shape = (inner)                    \
    }
#define LIST(type, member, count_member, highest, inner)                                           \
    {                                                                                              \
        .kind = FIELD_LIST, .offset = offsetof(type, member),                                      \
        .other = offsetof(type, count_member), .high = (highest), .shape = (inner)                 \
    }
#define SHAPE(list, type)                                                                          \
    {                                                                                              \
        .fields = (list), .count = ARRAY_SIZE(list), .size = sizeof(type)                          \
    }
#define SHAPE_BARE(list, type)                                                                     \
    {                                                                                              \
        .fields = (list), .count = 1, .bare = true, .size = sizeof(type)                           \
    }

/* Append the fields of VALUE, without the array's header. 0, or ERR_TOO_LARGE for a list or bytes
 * past their bound. */
int shape_write(const struct shape *shape, const void *value, struct buf *out) CHECK_RESULT;

struct shape_reader {
    struct mp_reader in;
    struct arena *arena;
    uint32_t ranges_max; /* Ranges are below this. */
};

/* Read COUNT fields, as the array's header said, into VALUE, which is zeroed. Sets reader->in.bad.
 */
void shape_read(struct shape_reader *reader, const struct shape *shape, uint32_t count,
                void *value);

#endif
