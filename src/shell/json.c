/* Writing JSON while reading MessagePack: no tree in between. */
#include "shell/json.h"

#include <math.h>

#include "base/error.h"
#include "shell/logger.h"
#include "wire/mp.h"

static void write_value(struct mp_reader *in, uint32_t depth, struct buf *out);

static void write_hex(struct slice bytes, struct buf *out)
{
    static const char digits[] = "0123456789abcdef";
    buf_append_byte(out, '"');
    for (size_t i = 0; i < bytes.size; i++) {
        buf_append_byte(out, (uint8_t)digits[bytes.data[i] >> 4]);
        buf_append_byte(out, (uint8_t)digits[bytes.data[i] & 15]);
    }
    buf_append_byte(out, '"');
}

/* JSON has no infinity. */
static void write_double(double number, struct buf *out)
{
    if (isfinite(number))
        buf_printf(out, "%.17g", number);
    else
        buf_append(out, slice_string("null"));
}

static void write_map(struct mp_reader *in, uint32_t depth, struct buf *out)
{
    uint32_t count = mp_read_map(in);
    buf_append_byte(out, '{');
    for (uint32_t i = 0; i < count && !in->bad; i++) {
        if (i > 0)
            buf_append_byte(out, ',');
        logger_json_string(mp_read_bytes(in), out);
        buf_append_byte(out, ':');
        write_value(in, depth + 1, out);
    }
    buf_append_byte(out, '}');
}

static void write_array(struct mp_reader *in, uint32_t depth, struct buf *out)
{
    uint32_t count = mp_read_array(in);
    buf_append_byte(out, '[');
    for (uint32_t i = 0; i < count && !in->bad; i++) {
        if (i > 0)
            buf_append_byte(out, ',');
        write_value(in, depth + 1, out);
    }
    buf_append_byte(out, ']');
}

static void write_value(struct mp_reader *in, uint32_t depth, struct buf *out)
{
    if (depth > MP_DEPTH_MAX) {
        in->bad = true;
        return;
    }
    switch (mp_peek(in)) {
    case MP_NIL:
        mp_take_nil(in);
        buf_append(out, slice_string("null"));
        break;
    case MP_BOOL:
        buf_append(out, slice_string(mp_read_bool(in) ? "true" : "false"));
        break;
    case MP_UINT:
        buf_printf(out, "%llu", (unsigned long long)mp_read_uint(in));
        break;
    case MP_INT:
        buf_printf(out, "%lld", (long long)mp_read_int(in));
        break;
    case MP_FLOAT:
        write_double(mp_read_double(in), out);
        break;
    case MP_STRING:
        logger_json_string(mp_read_bytes(in), out);
        break;
    case MP_BINARY:
        write_hex(mp_read_bytes(in), out);
        break;
    case MP_ARRAY:
        write_array(in, depth, out);
        break;
    case MP_MAP:
        write_map(in, depth, out);
        break;
    case MP_EXTENSION:
    case MP_END:
        in->bad = true;
        break;
    }
}

int json_from_mp(struct slice value, struct buf *out)
{
    size_t before = out->size;
    struct mp_reader in = mp_reader_of(value);
    write_value(&in, 0, out);
    if (mp_finished(&in))
        return 0;
    out->size = before;
    return ERR_CORRUPT;
}
