/* Cursors over our own binary encodings. */
#include "base/bytes.h"

struct reader reader_of(struct slice bytes)
{
    /* A pointer to nothing must not take part in arithmetic, so an empty slice gets a real one. */
    static const uint8_t nothing;
    const uint8_t *start = bytes.size == 0 ? &nothing : bytes.data;
    return (struct reader){.at = start, .end = start + bytes.size};
}

static bool has(struct reader *reader, size_t size)
{
    if (reader->bad || size > reader_left(reader)) {
        reader->bad = true;
        return false;
    }
    return true;
}

static uint64_t read_fixed(struct reader *reader, size_t size)
{
    if (!has(reader, size))
        return 0;
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)reader->at[i] << (8 * i);
    reader->at += size;
    return value;
}

uint8_t read_u8(struct reader *reader)
{
    return (uint8_t)read_fixed(reader, 1);
}

uint16_t read_u16(struct reader *reader)
{
    return (uint16_t)read_fixed(reader, 2);
}

uint32_t read_u32(struct reader *reader)
{
    return (uint32_t)read_fixed(reader, 4);
}

uint64_t read_u64(struct reader *reader)
{
    return read_fixed(reader, 8);
}

uint64_t read_varint(struct reader *reader)
{
    uint64_t value = 0;
    for (uint32_t shift = 0; shift < 64; shift += 7) {
        if (!has(reader, 1))
            return 0;
        uint8_t byte = *reader->at++;
        /* A last byte of zero says nothing; the tenth byte has room for one bit. */
        if ((byte == 0 && shift > 0) || (shift == 63 && byte > 1))
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return value;
    }
    reader->bad = true;
    return 0;
}

struct slice read_bytes(struct reader *reader, size_t size)
{
    if (!has(reader, size))
        return SLICE_NONE;
    struct slice bytes = slice_of(reader->at, size);
    reader->at += size;
    return bytes;
}

struct slice read_string(struct reader *reader)
{
    uint64_t size = read_varint(reader);
    if (size > reader_left(reader))
        reader->bad = true;
    return reader->bad ? SLICE_NONE : read_bytes(reader, (size_t)size);
}

bool reader_finished(const struct reader *reader)
{
    return !reader->bad && reader->at == reader->end;
}

static void write_fixed(struct buf *buf, uint64_t value, size_t size)
{
    uint8_t *at = buf_reserve(buf, size);
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> (8 * i));
    buf->size += size;
}

void write_u8(struct buf *buf, uint8_t value)
{
    buf_append_byte(buf, value);
}

void write_u16(struct buf *buf, uint16_t value)
{
    write_fixed(buf, value, 2);
}

void write_u32(struct buf *buf, uint32_t value)
{
    write_fixed(buf, value, 4);
}

void write_u64(struct buf *buf, uint64_t value)
{
    write_fixed(buf, value, 8);
}

void write_varint(struct buf *buf, uint64_t value)
{
    uint8_t *at = buf_reserve(buf, 10);
    size_t size = 0;
    while (value >= 0x80) {
        at[size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    at[size++] = (uint8_t)value;
    buf->size += size;
}

void write_string(struct buf *buf, struct slice bytes)
{
    write_varint(buf, bytes.size);
    buf_append(buf, bytes);
}

void write_u64_be(struct buf *buf, uint64_t value)
{
    uint8_t *at = buf_reserve(buf, 8);
    for (size_t i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> (56 - 8 * i));
    buf->size += 8;
}

uint64_t load_u64_be(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < 8; i++)
        value = value << 8 | bytes[i];
    return value;
}
