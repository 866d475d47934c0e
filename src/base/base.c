/* The parts of the vocabulary that need code: assertion failures and memory. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, condition);
    fflush(stderr);
    abort();
}

/* Called only where no bound held, so there is nothing sensible left to do. */
static _Noreturn void out_of_memory(size_t size)
{
    fprintf(stderr, "out of memory: could not allocate %zu bytes\n", size);
    fflush(stderr);
    abort();
}

void *mem_alloc(size_t size)
{
    void *memory = malloc(size > 0 ? size : 1);
    if (memory == NULL)
        out_of_memory(size);
    return memory;
}

void *mem_zero(size_t size)
{
    void *memory = calloc(1, size > 0 ? size : 1);
    if (memory == NULL)
        out_of_memory(size);
    return memory;
}

void *mem_grow(void *memory, size_t size)
{
    void *grown = realloc(memory, size > 0 ? size : 1);
    if (grown == NULL)
        out_of_memory(size);
    return grown;
}

void mem_free(void *memory)
{
    free(memory);
}
