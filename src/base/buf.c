/* A growing byte string: capacity doubles, so that appending costs O(1) a byte. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

enum { CAPACITY_MIN = 64 };

void buf_done(struct buf *buf)
{
    mem_free(buf->data);
    *buf = (struct buf){0};
}

void buf_grow(struct buf *buf, size_t size)
{
    ASSERT(size <= SIZE_MAX / 2 - buf->size);
    size_t capacity = MAX(MAX(buf->capacity * 2, buf->size + size), (size_t)CAPACITY_MIN);
    buf->data = mem_grow(buf->data, capacity);
    buf->capacity = capacity;
}

void buf_append(struct buf *buf, struct slice bytes)
{
    if (bytes.size == 0)
        return;
    memcpy(buf_reserve(buf, bytes.size), bytes.data, bytes.size);
    buf->size += bytes.size;
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    ASSERT(size >= 0);
    char *end = (char *)buf_reserve(buf, (size_t)size + 1);
    va_start(arguments, format);
    vsnprintf(end, (size_t)size + 1, format, arguments);
    va_end(arguments);
    buf->size += (size_t)size;
}

void buf_consume(struct buf *buf, size_t size)
{
    ASSERT(size <= buf->size);
    if (size == 0)
        return;
    memmove(buf->data, buf->data + size, buf->size - size);
    buf->size -= size;
}
