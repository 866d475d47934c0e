/* MessagePack as JSON: the same value, whatever bytes come in. */
#include "shell/json.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>

#include "base/error.h"
#include "wire/mp.h"

static json_t *convert(struct buf *value)
{
    struct buf out = {0};
    json_error_t error;
    cr_assert_eq(json_from_mp(buf_slice(value), &out), 0);
    json_t *json =
        json_loadb((const char *)out.data, out.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    cr_assert_not_null(json, "%s in %.*s", error.text, (int)out.size, (char *)out.data);
    buf_done(value);
    buf_done(&out);
    return json;
}

Test(json, every_type)
{
    struct buf value = {0};
    mp_write_map(&value, 7);
    mp_write_text(&value, "nil");
    mp_write_nil(&value);
    mp_write_text(&value, "yes");
    mp_write_bool(&value, true);
    mp_write_text(&value, "most");
    mp_write_uint(&value, INT64_MAX);
    mp_write_text(&value, "least");
    mp_write_int(&value, INT64_MIN);
    mp_write_text(&value, "half");
    mp_write_double(&value, 0.5);
    mp_write_text(&value, "bytes");
    mp_write_binary(&value, slice_string("\x01\xfe"));
    mp_write_text(&value, "list");
    mp_write_array(&value, 2);
    mp_write_text(&value, "a\"b\n");
    mp_write_map(&value, 0);
    json_t *json = convert(&value);
    cr_assert(json_is_null(json_object_get(json, "nil")));
    cr_assert(json_is_true(json_object_get(json, "yes")));
    cr_assert_eq(json_integer_value(json_object_get(json, "most")), INT64_MAX);
    cr_assert_eq(json_integer_value(json_object_get(json, "least")), INT64_MIN);
    cr_assert_eq(json_real_value(json_object_get(json, "half")), 0.5);
    cr_assert_str_eq(json_string_value(json_object_get(json, "bytes")), "01fe");
    json_t *list = json_object_get(json, "list");
    cr_assert_eq(json_array_size(list), 2);
    cr_assert_str_eq(json_string_value(json_array_get(list, 0)), "a\"b\n");
    cr_assert(json_is_object(json_array_get(list, 1)));
    json_decref(json);
}

Test(json, infinity_is_null_and_bad_text_is_replaced)
{
    struct buf value = {0};
    mp_write_array(&value, 2);
    mp_write_double(&value, INFINITY);
    mp_write_string(&value, slice_string("x\xff"));
    json_t *json = convert(&value);
    cr_assert(json_is_null(json_array_get(json, 0)));
    cr_assert_str_eq(json_string_value(json_array_get(json, 1)), "x\xef\xbf\xbd");
    json_decref(json);
}

Test(json, malformed_bytes_leave_no_trace)
{
    struct buf value = {0}, out = {0};
    for (int i = 0; i < 1000; i++)
        buf_append_byte(&value, 0x91); /* Arrays in arrays, deeper than any limit. */
    mp_write_nil(&value);
    buf_append(&out, slice_string("kept"));
    cr_assert_eq(json_from_mp(buf_slice(&value), &out), ERR_CORRUPT);
    cr_assert_eq(json_from_mp(slice_string("\x92\x01"), &out), ERR_CORRUPT);
    cr_assert_eq(json_from_mp(slice_string("\x01\x01"), &out), ERR_CORRUPT);
    cr_assert_eq(json_from_mp(slice_string("\xc1"), &out), ERR_CORRUPT);
    cr_assert_eq(json_from_mp(SLICE_NONE, &out), ERR_CORRUPT);
    cr_assert(slice_equal(buf_slice(&out), slice_string("kept")));
    buf_done(&value);
    buf_done(&out);
}
