/* A version vector under construction. */
#include "data/history.h"

#include <stdlib.h>

void history_init(struct history *history)
{
    history->entries = history->few;
    history->count = 0;
    history->capacity = HISTORY_FEW;
}

void history_done(struct history *history)
{
    if (history->entries != history->few)
        mem_free(history->entries);
    history->entries = NULL;
}

static void history_grow(struct history *history)
{
    ASSERT(history->capacity <= UINT32_MAX / 2);
    history->capacity *= 2;
    size_t size = history->capacity * sizeof(struct dot);
    if (history->entries != history->few) {
        history->entries = mem_grow(history->entries, size);
        return;
    }
    history->entries = mem_alloc(size);
    memcpy(history->entries, history->few, sizeof(history->few));
}

void history_add(struct history *history, struct dot dot)
{
    if (history->count == history->capacity)
        history_grow(history);
    history->entries[history->count++] = dot;
}

void history_add_vector(struct history *history, struct slice vector)
{
    if (vector.size == 0)
        return;
    struct reader reader = reader_of(vector);
    for (uint64_t left = read_varint(&reader); left > 0 && !reader.bad; left--) {
        struct dot entry = {.actor = read_u64(&reader)};
        entry.counter = read_varint(&reader);
        history_add(history, entry);
    }
    ASSERT(!reader.bad);
}

static int entry_compare(const void *a, const void *b)
{
    const struct dot *x = a;
    const struct dot *y = b;
    if (x->actor != y->actor)
        return x->actor < y->actor ? -1 : 1;
    return (x->counter > y->counter) - (x->counter < y->counter);
}

static void entries_sort(struct dot *entries, uint32_t count)
{
    if (count > HISTORY_FEW) {
        qsort(entries, count, sizeof(*entries), entry_compare);
        return;
    }
    for (uint32_t i = 1; i < count; i++) {
        struct dot entry = entries[i];
        uint32_t at = i;
        for (; at > 0 && entry_compare(&entries[at - 1], &entry) > 0; at--)
            entries[at] = entries[at - 1];
        entries[at] = entry;
    }
}

void history_join(struct history *history)
{
    entries_sort(history->entries, history->count);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < history->count; i++) {
        struct dot entry = history->entries[i];
        if (kept > 0 && history->entries[kept - 1].actor == entry.actor)
            kept--; /* Counters rise within an actor. */
        history->entries[kept++] = entry;
    }
    history->count = kept;
}

uint64_t history_get(const struct history *history, uint64_t actor)
{
    uint32_t low = 0;
    uint32_t high = history->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (history->entries[middle].actor < actor)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < history->count && history->entries[low].actor == actor;
    return found ? history->entries[low].counter : 0;
}

void history_subtract(struct history *history, const struct history *other)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < history->count; i++) {
        struct dot entry = history->entries[i];
        if (!history_covers(other, entry))
            history->entries[kept++] = entry;
    }
    history->count = kept;
}

void history_write(const struct history *history, struct buf *out)
{
    write_varint(out, history->count);
    for (uint32_t i = 0; i < history->count; i++) {
        write_u64(out, history->entries[i].actor);
        write_varint(out, history->entries[i].counter);
    }
}
