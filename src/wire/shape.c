/* Two walks over a list of fields, one that writes and one that reads: a kind's two halves stand
 * beside each other. */
#include "wire/shape.h"

#include "base/bytes.h"
#include "base/error.h"
#include "data/member.h"
#include "data/object.h"
#include "data/ring.h"
#include "data/setting.h"

enum { ERROR_LOWEST = -1000 };

static const void *at(const void *value, size_t offset)
{
    return (const uint8_t *)value + offset;
}

static void *at_mutable(void *value, size_t offset)
{
    return (uint8_t *)value + offset;
}

/* ------------------------------------------------------------------------------ Numbers. */

static inline bool is_number(const struct field *field)
{
    return field->kind <= FIELD_RANGE;
}

static inline uint64_t number_load(const struct field *field, const void *member)
{
    switch (field->kind) {
    case FIELD_U8:
        return *(const uint8_t *)member;
    case FIELD_U16:
        return *(const uint16_t *)member;
    case FIELD_U32:
    case FIELD_RANGE:
        return *(const uint32_t *)member;
    default:
        return *(const uint64_t *)member;
    }
}

static void number_store(struct shape_reader *reader, const struct field *field, void *member)
{
    uint64_t number = mp_read_uint(&reader->in);
    uint64_t highest = field->high;
    switch (field->kind) {
    case FIELD_U8:
        highest = MIN(highest, UINT8_MAX);
        *(uint8_t *)member = (uint8_t)number;
        break;
    case FIELD_U16:
        highest = MIN(highest, UINT16_MAX);
        *(uint16_t *)member = (uint16_t)number;
        break;
    case FIELD_RANGE:
        highest = (uint64_t)reader->ranges_max - 1;
        *(uint32_t *)member = (uint32_t)number;
        break;
    case FIELD_U32:
        highest = MIN(highest, UINT32_MAX);
        *(uint32_t *)member = (uint32_t)number;
        break;
    default:
        *(uint64_t *)member = number;
    }
    if (number < field->low || number > highest)
        reader->in.bad = true;
}

static void error_store(struct shape_reader *reader, int *ret_error)
{
    int64_t error = mp_read_int(&reader->in);
    if (error > 0 || error < ERROR_LOWEST)
        reader->in.bad = true;
    else
        *ret_error = (int)error;
}

/* -------------------------------------------------------------------------- Ids, bytes. */

static void node_write(struct node_id id, struct buf *out)
{
    if (id_none(id)) {
        mp_write_nil(out);
        return;
    }
    buf_append(out, slice_of("\xc4\x10", 2)); /* Binary of 16 bytes. */
    id_write(out, id);
}

static void node_read(struct shape_reader *reader, struct node_id *ret_id)
{
    if (mp_take_nil(&reader->in))
        return;
    struct slice bytes = mp_read_bytes(&reader->in);
    if (bytes.size != 16) {
        reader->in.bad = true;
        return;
    }
    struct reader parts = reader_of(bytes);
    *ret_id = id_read(&parts);
}

static int bytes_write(const struct field *field, struct slice bytes, struct buf *out)
{
    mp_write_binary(out, bytes);
    return bytes.size > field->high ? ERR_TOO_LARGE : OK;
}

static void bytes_read(struct shape_reader *reader, const struct field *field, struct slice *ret)
{
    struct slice bytes = mp_read_bytes(&reader->in);
    if (bytes.size < field->low || bytes.size > field->high ||
        (field->kind == FIELD_OBJECT && !reader->in.bad && object_check(bytes) != 0))
        reader->in.bad = true;
    else
        *ret = bytes;
}

static void words_write(const uint64_t *words, uint64_t count, struct buf *out)
{
    size_t start = mp_binary_begin(out);
    uint8_t *to = buf_reserve(out, 8 * count);
    for (uint64_t i = 0; i < count; i++)
        store_u64(to + 8 * i, words[i]);
    out->size += 8 * count;
    mp_binary_end(out, start);
}

static void words_read(struct shape_reader *reader, uint64_t count, uint64_t *words)
{
    struct slice bytes = mp_read_bytes(&reader->in);
    if (bytes.size != 8 * count) {
        reader->in.bad = true;
        return;
    }
    for (uint64_t i = 0; i < count; i++)
        words[i] = load_u64(bytes.data + 8 * i);
}

/* ------------------------------------------------------------------- Data-layer values. */

static void data_write(const struct field *field, const void *member, struct buf *out)
{
    size_t start = mp_binary_begin(out);
    if (field->kind == FIELD_MEMBER)
        member_encode(member, out);
    else if (field->kind == FIELD_DEPARTURE)
        departure_encode(member, out);
    else if (field->kind == FIELD_SETTING)
        setting_encode(member, out);
    else
        record_encode(member, out);
    mp_binary_end(out, start);
}

static void data_read(struct shape_reader *reader, const struct field *field, void *member)
{
    struct reader bytes = reader_of(mp_read_bytes(&reader->in));
    if (field->kind == FIELD_MEMBER)
        member_decode(&bytes, member);
    else if (field->kind == FIELD_DEPARTURE)
        departure_decode(&bytes, member);
    else if (field->kind == FIELD_SETTING)
        setting_decode(&bytes, member);
    else
        record_decode(&bytes, member);
    if (!reader_finished(&bytes))
        reader->in.bad = true;
    if ((field->kind == FIELD_RECORD || field->kind == FIELD_RECORD_MAYBE) &&
        ((const struct range_record *)member)->range >= reader->ranges_max)
        reader->in.bad = true;
}

static void record_maybe_write(const struct field *field, const struct range_record *record,
                               struct buf *out)
{
    if (record->epoch == 0)
        mp_write_nil(out);
    else
        data_write(field, record, out);
}

static void record_maybe_read(struct shape_reader *reader, const struct field *field, void *value)
{
    struct range_record *record = at_mutable(value, field->offset);
    if (!mp_take_nil(&reader->in))
        data_read(reader, field, record);
    if (field->other != 0 && *(const bool *)at(value, field->other) && record->epoch == 0)
        reader->in.bad = true;
}

/* ---------------------------------------------------------------------- Shapes inside. */

static int inner_write(const struct shape *shape, const void *value, struct buf *out)
{
    if (!shape->bare)
        mp_write_array(out, shape->count);
    return shape_write(shape, value, out);
}

static void inner_read(struct shape_reader *reader, const struct shape *shape, void *value)
{
    shape_read(reader, shape, shape->bare ? 1 : mp_read_array(&reader->in), value);
}

static int list_write(const struct field *field, const void *value, struct buf *out)
{
    uint32_t count = *(const uint32_t *)at(value, field->other);
    if (count > field->high)
        return ERR_TOO_LARGE;
    const uint8_t *element;
    memcpy(&element, at(value, field->offset), sizeof element);
    mp_write_array(out, count);
    for (uint32_t i = 0; i < count; i++, element += field->shape->size) {
        int status = inner_write(field->shape, element, out);
        if (status != 0)
            return status;
    }
    return OK;
}

static void list_read(struct shape_reader *reader, const struct field *field, void *value)
{
    uint32_t count = mp_read_array(&reader->in);
    if (count > field->high)
        reader->in.bad = true;
    if (count == 0 || reader->in.bad)
        return;
    uint8_t *elements = arena_zero(reader->arena, count * field->shape->size);
    for (uint32_t i = 0; i < count && !reader->in.bad; i++)
        inner_read(reader, field->shape, elements + i * field->shape->size);
    memcpy(at_mutable(value, field->offset), &elements, sizeof elements);
    *(uint32_t *)at_mutable(value, field->other) = count;
}

/* ------------------------------------------------------------------------------- Walks. */

static int field_write(const struct field *field, const void *value, struct buf *out)
{
    const void *member = at(value, field->offset);
    switch (field->kind) {
    case FIELD_U8:
    case FIELD_U16:
    case FIELD_U32:
    case FIELD_U64:
    case FIELD_RANGE:
        break; /* shape_write() has written it. */
    case FIELD_BOOL:
        mp_write_bool(out, *(const bool *)member);
        return OK;
    case FIELD_ERROR:
        mp_write_int(out, *(const int *)member);
        return OK;
    case FIELD_ID:
        node_write(*(const struct node_id *)member, out);
        return OK;
    case FIELD_BYTES:
    case FIELD_OBJECT:
        return bytes_write(field, *(const struct slice *)member, out);
    case FIELD_WORDS:
        words_write(member, field->high, out);
        return OK;
    case FIELD_RECORD_MAYBE:
        record_maybe_write(field, member, out);
        return OK;
    case FIELD_RECORD:
    case FIELD_MEMBER:
    case FIELD_DEPARTURE:
    case FIELD_SETTING:
        data_write(field, member, out);
        return OK;
    case FIELD_SHAPE:
        return inner_write(field->shape, member, out);
    case FIELD_LIST:
        return list_write(field, value, out);
    }
    ASSERT(false);
    return ERR_INTERNAL;
}

static void field_read(struct shape_reader *reader, const struct field *field, void *value)
{
    void *member = at_mutable(value, field->offset);
    switch (field->kind) {
    case FIELD_U8:
    case FIELD_U16:
    case FIELD_U32:
    case FIELD_U64:
    case FIELD_RANGE:
        break; /* shape_read() has read it. */
    case FIELD_BOOL:
        *(bool *)member = mp_read_bool(&reader->in);
        break;
    case FIELD_ERROR:
        error_store(reader, member);
        break;
    case FIELD_ID:
        node_read(reader, member);
        break;
    case FIELD_BYTES:
    case FIELD_OBJECT:
        bytes_read(reader, field, member);
        break;
    case FIELD_WORDS:
        words_read(reader, field->high, member);
        break;
    case FIELD_RECORD_MAYBE:
        record_maybe_read(reader, field, value);
        break;
    case FIELD_RECORD:
    case FIELD_MEMBER:
    case FIELD_DEPARTURE:
    case FIELD_SETTING:
        data_read(reader, field, member);
        break;
    case FIELD_SHAPE:
        inner_read(reader, field->shape, member);
        break;
    case FIELD_LIST:
        list_read(reader, field, value);
        break;
    }
}

int shape_write(const struct shape *shape, const void *value, struct buf *out)
{
    for (uint32_t i = 0; i < shape->count; i++) {
        const struct field *field = &shape->fields[i];
        if (is_number(field)) { /* As most are: spared the call. */
            mp_write_uint(out, number_load(field, at(value, field->offset)));
            continue;
        }
        int status = field_write(field, value, out);
        if (status != 0)
            return status;
    }
    return OK;
}

void shape_read(struct shape_reader *reader, const struct shape *shape, uint32_t count, void *value)
{
    if (count < shape->count)
        reader->in.bad = true;
    for (uint32_t i = 0; i < count && !reader->in.bad; i++) {
        if (i >= shape->count)
            mp_skip(&reader->in);
        else if (is_number(&shape->fields[i]))
            number_store(reader, &shape->fields[i], at_mutable(value, shape->fields[i].offset));
        else
            field_read(reader, &shape->fields[i], value);
    }
}
