/* Bump allocator: a list of blocks, each twice the size of the one before. */
#include "base/arena.h"

enum {
    ALIGNMENT = _Alignof(max_align_t),
    BLOCK_MIN = 4096,
    BLOCK_KEPT_MAX = 1024 * 1024, /* One great message must not pin its memory for ever. */
};

struct arena_block {
    struct arena_block *next; /* Owned. */
    size_t capacity;
    size_t used;
    _Alignas(max_align_t) uint8_t bytes[];
};

static struct arena_block *block_new(size_t capacity)
{
    struct arena_block *block = mem_alloc(sizeof *block + capacity);
    block->next = NULL;
    block->capacity = capacity;
    block->used = 0;
    return block;
}

static void blocks_free(struct arena_block *block)
{
    while (block != NULL) {
        struct arena_block *next = block->next;
        mem_free(block);
        block = next;
    }
}

/* Apart from the usual way, which so needs no registers of its caller. */
static __attribute__((noinline)) struct arena_block *block_add(struct arena *arena, size_t size)
{
    struct arena_block *before = arena->blocks;
    size_t doubled = before == NULL ? BLOCK_MIN : MIN(before->capacity * 2, BLOCK_KEPT_MAX);
    struct arena_block *block = block_new(MAX(size, doubled));
    block->next = before;
    arena->blocks = block;
    return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    ASSERT(size <= SIZE_MAX / 4);
    size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    struct arena_block *block = arena->blocks;
    if (block == NULL || size > block->capacity - block->used)
        block = block_add(arena, size);
    void *memory = block->bytes + block->used;
    block->used += size;
    arena->used += size;
    return memory;
}

void *arena_zero(struct arena *arena, size_t size)
{
    void *memory = arena_alloc(arena, size);
    memset(memory, 0, size);
    return memory;
}

struct slice arena_copy(struct arena *arena, struct slice bytes)
{
    if (bytes.size == 0)
        return SLICE_NONE;
    uint8_t *copy = arena_alloc(arena, bytes.size);
    memcpy(copy, bytes.data, bytes.size);
    return slice_of(copy, bytes.size);
}

void arena_reset(struct arena *arena)
{
    struct arena_block *block = arena->blocks;
    size_t used = arena->used;
    arena->used = 0;
    if (block == NULL)
        return;
    if (block->next == NULL && block->capacity <= BLOCK_KEPT_MAX) {
        block->used = 0;
        return;
    }
    /* Replace the list by one block that would have held it all. */
    blocks_free(block);
    arena->blocks = block_new(MIN(MAX(used, BLOCK_MIN), BLOCK_KEPT_MAX));
}

void arena_done(struct arena *arena)
{
    blocks_free(arena->blocks);
    *arena = (struct arena){0};
}
