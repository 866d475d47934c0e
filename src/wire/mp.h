/* MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md), bounded.
 *
 * Three parts: a scan that says of a growing stream whether its first value is whole and within
 * limits, a cursor that reads values, and a writer of shortest encodings. None allocates (but the
 * writer's buffer). All three take any bytes: the cursor never reads past its end, whether or not
 * the bytes were scanned; a scan is for streams without frames and for bounding depth and size. */
#ifndef MP_H
#define MP_H

#include "base/bytes.h"

enum { MP_DEPTH_MAX = 16 };

struct mp_limits {
    uint32_t depth_max;    /* Of arrays and maps, at most MP_DEPTH_MAX. */
    uint32_t elements_max; /* Values of any kind, containers included. */
    size_t size_max;       /* Bytes of the whole value. */
};

/* Where a scan stands. Zeroed but for limits is a start. */
struct mp_scan {
    struct mp_limits limits;
    size_t at;         /* Bytes found good; the size of the value when it is complete. */
    uint32_t elements; /* Begun so far. */
    uint32_t depth;
    uint64_t outstanding; /* Values that open containers still wait for, over all depths. */
    uint64_t left[MP_DEPTH_MAX];
};

/* Go on scanning. BYTES starts with the value's first byte and holds what came so far: at least as
 * much as at the last call, which is not looked at again. 0 with RET_MORE 0: scan->at bytes are one
 * whole value. 0 with RET_MORE above 0: at least so many bytes are still to come. ERR_CORRUPT:
 * never was MessagePack. ERR_TOO_LARGE: is, or declares to become, more than a limit. */
int mp_scan(struct mp_scan *scan, struct slice bytes, size_t *ret_more) CHECK_RESULT;

enum mp_type {
    MP_END, /* Nothing is left, or what is left is malformed. */
    MP_NIL,
    MP_BOOL,
    MP_UINT,
    MP_INT, /* Below zero. */
    MP_FLOAT,
    MP_STRING,
    MP_BINARY,
    MP_ARRAY,
    MP_MAP,
    MP_EXTENSION,
};

/* As struct reader (base/bytes.h): the first wrong or short value sets `bad`, later reads give 0.
 */
struct mp_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

struct mp_reader mp_reader_of(struct slice bytes);
/* The type of the next value, which stays. */
enum mp_type mp_peek(const struct mp_reader *reader);
/* Take a nil if one is next; otherwise leave all as it is. */
bool mp_take_nil(struct mp_reader *reader);
bool mp_read_bool_any(struct mp_reader *reader);
uint64_t mp_read_uint_any(struct mp_reader *reader);
int64_t mp_read_int(struct mp_reader *reader);
/* A float of either width, or an integer. */
double mp_read_double(struct mp_reader *reader);
struct slice mp_read_bytes_any(struct mp_reader *reader);
struct slice mp_read_extension(struct mp_reader *reader, int8_t *ret_type);
/* The number of values (of a map: of pairs) that follow; never more than bytes are left. */
uint32_t mp_read_array_any(struct mp_reader *reader);
uint32_t mp_read_map(struct mp_reader *reader);
/* Pass over one value with all that is in it, and return its bytes. */
struct slice mp_skip(struct mp_reader *reader);
/* True when everything was well formed and nothing is left over. */
bool mp_finished(const struct mp_reader *reader);
static inline size_t mp_left(const struct mp_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

/* What most values look like is read in place; `any` reads all that there is. */
static inline bool mp_read_bool(struct mp_reader *reader)
{
    if (reader->at < reader->end && !reader->bad && (*reader->at & 0xfe) == 0xc2)
        return *reader->at++ & 1;
    return mp_read_bool_any(reader);
}

static inline uint64_t mp_read_uint(struct mp_reader *reader)
{
    if (reader->at < reader->end && !reader->bad) {
        if (*reader->at < 0x80)
            return *reader->at++;
        if (*reader->at == 0xcf && mp_left(reader) >= 9) {
            reader->at += 9;
            return load_u64_be(reader->at - 8);
        }
    }
    return mp_read_uint_any(reader);
}

static inline uint32_t mp_read_array(struct mp_reader *reader)
{
    size_t left = mp_left(reader);
    if (left >= 1 && !reader->bad && (*reader->at & 0xf0) == 0x90 &&
        (*reader->at & 0xfU) <= left - 1)
        return *reader->at++ & 0xf;
    return mp_read_array_any(reader);
}

/* String or binary, borrowed from what is read. */
static inline struct slice mp_read_bytes(struct mp_reader *reader)
{
    size_t left = mp_left(reader);
    if (left >= 2 && !reader->bad && *reader->at == 0xc4 && reader->at[1] <= left - 2) {
        struct slice bytes = slice_of(reader->at + 2, reader->at[1]);
        reader->at += 2 + bytes.size;
        return bytes;
    }
    return mp_read_bytes_any(reader);
}

void mp_write_uint_wide(struct buf *buf, uint64_t value);
static inline void mp_write_uint(struct buf *buf, uint64_t value)
{
    if (value < 0x80)
        buf_append_byte(buf, (uint8_t)value);
    else
        mp_write_uint_wide(buf, value);
}

static inline void mp_write_nil(struct buf *buf)
{
    buf_append_byte(buf, 0xc0);
}

static inline void mp_write_bool(struct buf *buf, bool value)
{
    buf_append_byte(buf, value ? 0xc3 : 0xc2);
}

void mp_write_int(struct buf *buf, int64_t value);
void mp_write_double(struct buf *buf, double value);
/* BYTES is at most UINT32_MAX long, as everything that limits.h bounds. */
void mp_write_string(struct buf *buf, struct slice bytes);
void mp_write_binary(struct buf *buf, struct slice bytes);
/* Binary of what is appended to BUF in between; for encoders that do not know their size. */
size_t mp_binary_begin(struct buf *buf);
void mp_binary_end(struct buf *buf, size_t start);
void mp_write_array(struct buf *buf, uint32_t count);
void mp_write_map(struct buf *buf, uint32_t pairs);
/* A C string: for the keys of maps. Its length is known when this is compiled, mostly. */
static inline void mp_write_text(struct buf *buf, const char *text)
{
    size_t size = strlen(text);
    if (size >= 32) {
        mp_write_string(buf, slice_of(text, size));
        return;
    }
    uint8_t *at = buf_reserve(buf, 1 + size);
    at[0] = (uint8_t)(0xa0 | size);
    memcpy(at + 1, text, size);
    buf->size += 1 + size;
}

#endif
