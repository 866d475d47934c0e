/* An owned, growing byte string. Zeroed is empty and valid; appending aborts when memory is out. */
#ifndef BUF_H
#define BUF_H

#include "base/base.h"

struct buf {
    uint8_t *data; /* Owned. */
    size_t size;
    size_t capacity;
};

void buf_done(struct buf *buf);
/* Forget the content, keep the memory. */
static inline void buf_clear(struct buf *buf)
{
    buf->size = 0;
}
/* Make room for SIZE more bytes when there is none. */
void buf_grow(struct buf *buf, size_t size);
/* Make room for SIZE more bytes and return where they start; buf->size is unchanged. */
static inline uint8_t *buf_reserve(struct buf *buf, size_t size)
{
    if (buf->data == NULL || size > buf->capacity - buf->size)
        buf_grow(buf, size);
    return buf->data + buf->size;
}
void buf_append(struct buf *buf, struct slice bytes);
static inline void buf_append_byte(struct buf *buf, uint8_t byte)
{
    *buf_reserve(buf, 1) = byte;
    buf->size++;
}
/* Append formatted text without its closing zero. */
void buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
/* Drop the first SIZE bytes. */
void buf_consume(struct buf *buf, size_t size);
static inline struct slice buf_slice(const struct buf *buf)
{
    return slice_of(buf->data, buf->size);
}

#endif
