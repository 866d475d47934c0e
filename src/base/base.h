/* The vocabulary of every file: fixed-width integers, borrowed bytes, assertions.
 *
 * A slice borrows, a buf (buf.h) owns. ASSERT is for our own bugs only and is never compiled out;
 * what comes from a socket or a file is checked and answered with an error code (error.h). */
#ifndef BASE_H
#define BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define CHECK_RESULT __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))

/* Abort with the condition and its place. For conditions that only our own bug can break. */
#define ASSERT(condition) ((condition) ? (void)0 : assert_failed(#condition, __FILE__, __LINE__))

_Noreturn void assert_failed(const char *condition, const char *file, int line);

/* Bytes that belong to somebody else, who says how long they live. */
struct slice {
    const uint8_t *data;
    size_t size;
};

#define SLICE_NONE ((struct slice){NULL, 0})

static inline struct slice slice_of(const void *data, size_t size)
{
    return (struct slice){data, size};
}

/* The bytes of a C string without its end. */
static inline struct slice slice_string(const char *string)
{
    return slice_of(string, strlen(string));
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Byte order, shorter first when one is a prefix of the other: below, equal to or above 0. */
static inline int slice_compare(struct slice a, struct slice b)
{
    size_t shared = MIN(a.size, b.size);
    int order = shared == 0 ? 0 : memcmp(a.data, b.data, shared);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* Ask for COUNT lines of memory from AT on to come into the processor's cache: a hint, which waits
 * for nothing and changes nothing, wherever AT points. */
enum { FETCH_LINE = 64 };
static inline void fetch_lines(const void *at, size_t count)
{
    for (size_t i = 0; i < count; i++)
        __builtin_prefetch((const void *)((uintptr_t)at + i * FETCH_LINE));
}

/* May ended things be kept for the next ones? Not where the sanitizer is to see who still uses
 * them.
 */
#ifdef __SANITIZE_ADDRESS__
#define RECYCLES false
#else
#define RECYCLES true
#endif

/* Allocation aborts when memory is exhausted: every table has a bound that answers BUSY before. */
void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_zero(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_grow(void *memory, size_t size) __attribute__((returns_nonnull));
void mem_free(void *memory);

#endif
