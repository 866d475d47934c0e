/* Cursors over our own binary encodings (objects, range records, settings, log records).
 *
 * Fixed integers are little-endian; varints are LEB128, at most 10 bytes, shortest form only, so
 * that equal values have equal bytes. A reader never reads past its end: the first short or
 * malformed field sets `bad`, every later read returns 0, and the caller checks once at the end. */
#ifndef BYTES_H
#define BYTES_H

#include "base/buf.h"

struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

/* Fixed integers at any address. Byte by byte a load becomes one instruction, but no store does. */
static inline uint32_t load_u32(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline uint64_t load_u64(const uint8_t *at)
{
    return load_u32(at) | (uint64_t)at[4] << 32 | (uint64_t)at[5] << 40 | (uint64_t)at[6] << 48 |
           (uint64_t)at[7] << 56;
}

static inline void store_u32(uint8_t *at, uint32_t value)
{
    if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
        value = __builtin_bswap32(value);
    memcpy(at, &value, sizeof(value));
}

static inline void store_u64(uint8_t *at, uint64_t value)
{
    if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
        value = __builtin_bswap64(value);
    memcpy(at, &value, sizeof(value));
}

/* Big-endian, for keys that must sort by number. */
static inline uint64_t load_u64_be(const uint8_t *at)
{
    return (uint64_t)at[0] << 56 | (uint64_t)at[1] << 48 | (uint64_t)at[2] << 40 |
           (uint64_t)at[3] << 32 | (uint64_t)at[4] << 24 | (uint64_t)at[5] << 16 |
           (uint64_t)at[6] << 8 | at[7];
}

static inline void store_u64_be(uint8_t *at, uint64_t value)
{
    at[0] = (uint8_t)(value >> 56);
    at[1] = (uint8_t)(value >> 48);
    at[2] = (uint8_t)(value >> 40);
    at[3] = (uint8_t)(value >> 32);
    at[4] = (uint8_t)(value >> 24);
    at[5] = (uint8_t)(value >> 16);
    at[6] = (uint8_t)(value >> 8);
    at[7] = (uint8_t)value;
}

struct reader reader_of(struct slice bytes);
static inline size_t reader_left(const struct reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

/* Are SIZE bytes there? Without them the reader is bad. */
static inline bool reader_has(struct reader *reader, size_t size)
{
    if (reader->bad || size > reader_left(reader)) {
        reader->bad = true;
        return false;
    }
    return true;
}

static inline uint8_t read_u8(struct reader *reader)
{
    return reader_has(reader, 1) ? *reader->at++ : 0;
}

uint16_t read_u16(struct reader *reader);

static inline uint32_t read_u32(struct reader *reader)
{
    if (!reader_has(reader, 4))
        return 0;
    reader->at += 4;
    return load_u32(reader->at - 4);
}

static inline uint64_t read_u64(struct reader *reader)
{
    if (!reader_has(reader, 8))
        return 0;
    reader->at += 8;
    return load_u64(reader->at - 8);
}

uint64_t read_varint_long(struct reader *reader);
static inline uint64_t read_varint(struct reader *reader)
{
    /* Most are small: one byte, or two. */
    const uint8_t *at = reader->at;
    size_t left = reader->bad ? 0 : reader_left(reader);
    if (left >= 1 && at[0] < 0x80) {
        reader->at += 1;
        return at[0];
    }
    if (left >= 2 && at[1] < 0x80 && at[1] != 0) {
        reader->at += 2;
        return (at[0] & 0x7fU) | (uint32_t)at[1] << 7;
    }
    return read_varint_long(reader);
}

/* SIZE bytes, borrowed from what is read. */
static inline struct slice read_bytes(struct reader *reader, size_t size)
{
    if (!reader_has(reader, size))
        return SLICE_NONE;
    reader->at += size;
    return slice_of(reader->at - size, size);
}

/* A varint length, then so many bytes, borrowed. */
struct slice read_string(struct reader *reader);
/* True when everything was well formed and nothing is left over. */
bool reader_finished(const struct reader *reader);

static inline void write_u8(struct buf *buf, uint8_t value)
{
    buf_append_byte(buf, value);
}

void write_u16(struct buf *buf, uint16_t value);

static inline void write_u32(struct buf *buf, uint32_t value)
{
    store_u32(buf_reserve(buf, 4), value);
    buf->size += 4;
}

static inline void write_u64(struct buf *buf, uint64_t value)
{
    store_u64(buf_reserve(buf, 8), value);
    buf->size += 8;
}

void write_varint_long(struct buf *buf, uint64_t value);
static inline void write_varint(struct buf *buf, uint64_t value)
{
    if (value < 0x80)
        buf_append_byte(buf, (uint8_t)value);
    else
        write_varint_long(buf, value);
}

void write_string(struct buf *buf, struct slice bytes);
void write_u64_be(struct buf *buf, uint64_t value);

#endif
