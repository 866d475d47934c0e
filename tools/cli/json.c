#include "cli/json.h"

#include "wire/mp.h"

static json_t *read_value(struct mp_reader *reader, uint32_t depth);

static json_t *json_of_bytes(struct slice bytes)
{
    json_t *text = json_of_text(bytes);
    if (text != NULL) {
        return text;
    }
    struct buf base64 = {0};
    base64_encode(bytes, &base64);
    json_t *object = json_object();
    json_object_set_new(object, "base64", json_stringn((const char *)base64.data, base64.size));
    buf_done(&base64);
    return object;
}

static json_t *json_of_uint(uint64_t value)
{
    if (value <= INT64_MAX) {
        return json_integer((json_int_t)value);
    }
    return json_sprintf("%llu", (unsigned long long)value);
}

static json_t *read_array(struct mp_reader *reader, uint32_t depth)
{
    json_t *array = json_array();
    uint32_t count = mp_read_array(reader);
    for (uint32_t i = 0; i < count && !reader->bad; i++) {
        json_t *value = read_value(reader, depth);
        if (value == NULL) {
            reader->bad = true;
        } else {
            json_array_append_new(array, value);
        }
    }
    return array;
}

static json_t *read_map(struct mp_reader *reader, uint32_t depth)
{
    json_t *object = json_object();
    uint32_t count = mp_read_map(reader);
    for (uint32_t i = 0; i < count && !reader->bad; i++) {
        struct slice key = mp_read_bytes(reader);
        json_t *value = is_utf8(key) ? read_value(reader, depth) : NULL;
        if (value == NULL) {
            reader->bad = true;
        } else {
            json_object_setn_new(object, key.size > 0 ? (const char *)key.data : "", key.size,
                                 value);
        }
    }
    return object;
}

/* The next value; NULL, or `bad`, when it is malformed or of a kind that JSON does not have. */
static json_t *read_value(struct mp_reader *reader, uint32_t depth)
{
    if (depth == 0) {
        return NULL;
    }
    switch (mp_peek(reader)) {
    case MP_NIL:
        return mp_take_nil(reader) ? json_null() : NULL;
    case MP_BOOL:
        return json_boolean(mp_read_bool(reader));
    case MP_UINT:
        return json_of_uint(mp_read_uint(reader));
    case MP_INT:
        return json_integer((json_int_t)mp_read_int(reader));
    case MP_FLOAT:
        return json_real(mp_read_double(reader));
    case MP_STRING:
    case MP_BINARY:
        return json_of_bytes(mp_read_bytes(reader));
    case MP_ARRAY:
        return read_array(reader, depth - 1);
    case MP_MAP:
        return read_map(reader, depth - 1);
    case MP_EXTENSION:
    case MP_END:
        break;
    }
    return NULL;
}

json_t *json_of_msgpack(struct slice bytes)
{
    struct mp_reader reader = mp_reader_of(bytes);
    json_t *value = read_value(&reader, MP_DEPTH_MAX);
    if (value != NULL && !mp_finished(&reader)) {
        json_decref(value);
        return NULL;
    }
    return value;
}

static void write_object(const json_t *value, struct buf *out)
{
    const char *base64 = json_string_value(json_object_get(value, "base64"));
    struct buf bytes = {0};
    if (base64 != NULL && json_object_size(value) == 1 &&
        base64_decode(slice_string(base64), &bytes) == 0) {
        mp_write_binary(out, buf_slice(&bytes));
        buf_done(&bytes);
        return;
    }
    buf_done(&bytes);
    mp_write_map(out, (uint32_t)json_object_size(value));
    const char *key;
    json_t *item;
    json_object_foreach((json_t *)(uintptr_t)value, key, item)
    {
        mp_write_text(out, key);
        json_to_msgpack(item, out);
    }
}

void json_to_msgpack(const json_t *value, struct buf *out)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        write_object(value, out);
        break;
    case JSON_ARRAY:
        mp_write_array(out, (uint32_t)json_array_size(value));
        for (size_t i = 0; i < json_array_size(value); i++) {
            json_to_msgpack(json_array_get(value, i), out);
        }
        break;
    case JSON_STRING:
        mp_write_string(out, slice_of(json_string_value(value), json_string_length(value)));
        break;
    case JSON_INTEGER:
        if (json_integer_value(value) >= 0) {
            mp_write_uint(out, (uint64_t)json_integer_value(value));
        } else {
            mp_write_int(out, json_integer_value(value));
        }
        break;
    case JSON_REAL:
        mp_write_double(out, json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        mp_write_bool(out, json_is_true(value));
        break;
    case JSON_NULL:
        mp_write_nil(out);
        break;
    }
}
