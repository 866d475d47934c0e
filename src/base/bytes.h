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

struct reader reader_of(struct slice bytes);
uint8_t read_u8(struct reader *reader);
uint16_t read_u16(struct reader *reader);
uint32_t read_u32(struct reader *reader);
uint64_t read_u64(struct reader *reader);
uint64_t read_varint(struct reader *reader);
/* SIZE bytes, borrowed from what is read. */
struct slice read_bytes(struct reader *reader, size_t size);
/* A varint length, then so many bytes, borrowed. */
struct slice read_string(struct reader *reader);
/* True when everything was well formed and nothing is left over. */
bool reader_finished(const struct reader *reader);
static inline size_t reader_left(const struct reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

void write_u8(struct buf *buf, uint8_t value);
void write_u16(struct buf *buf, uint16_t value);
void write_u32(struct buf *buf, uint32_t value);
void write_u64(struct buf *buf, uint64_t value);
void write_varint(struct buf *buf, uint64_t value);
void write_string(struct buf *buf, struct slice bytes);
/* Big-endian, for keys that must sort by number. */
void write_u64_be(struct buf *buf, uint64_t value);
uint64_t load_u64_be(const uint8_t *bytes);

#endif
