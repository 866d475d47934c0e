/* Cursors over our own binary encodings. */
#include "base/bytes.h"

struct reader reader_of(struct slice bytes)
{
    /* A pointer to nothing must not take part in arithmetic, so an empty slice gets a real one. */
    static const uint8_t nothing;
    const uint8_t *start = bytes.size == 0 ? &nothing : bytes.data;
    return (struct reader){.at = start, .end = start + bytes.size};
}

uint16_t read_u16(struct reader *reader)
{
    if (!reader_has(reader, 2))
        return 0;
    reader->at += 2;
    return (uint16_t)(reader->at[-2] | reader->at[-1] << 8);
}

uint64_t read_varint_long(struct reader *reader)
{
    size_t size = reader->bad ? 0 : MIN(reader_left(reader), (size_t)10);
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = reader->at[i];
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte >= 0x80)
            continue;
        /* A last byte of zero says nothing; the tenth byte has room for one bit. */
        if ((byte == 0 && i > 0) || (i == 9 && byte > 1))
            break;
        reader->at += i + 1;
        return value;
    }
    reader->bad = true;
    return 0;
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

void write_u16(struct buf *buf, uint16_t value)
{
    uint8_t *at = buf_reserve(buf, 2);
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
    buf->size += 2;
}

void write_varint_long(struct buf *buf, uint64_t value)
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
    store_u64_be(buf_reserve(buf, 8), value);
    buf->size += 8;
}
