/* Encoded version vectors. */
#include "data/vector.h"

#include "data/history.h"

enum { ENTRY_SIZE_MIN = 9 };

struct slice vector_read(struct reader *reader)
{
    const uint8_t *start = reader->at;
    uint64_t count = read_varint(reader);
    if (count > reader_left(reader) / ENTRY_SIZE_MIN)
        reader->bad = true;
    uint64_t before = 0;
    for (uint64_t i = 0; i < count && !reader->bad; i++) {
        uint64_t actor = read_u64(reader);
        uint64_t counter = read_varint(reader);
        if (counter == 0 || (i > 0 && actor <= before))
            reader->bad = true;
        before = actor;
    }
    return reader->bad ? SLICE_NONE : slice_of(start, (size_t)(reader->at - start));
}

uint64_t vector_get(struct slice vector, uint64_t actor)
{
    if (vector.size == 0)
        return 0;
    struct reader reader = reader_of(vector);
    for (uint64_t left = read_varint(&reader); left > 0 && !reader.bad; left--) {
        uint64_t found = read_u64(&reader);
        uint64_t counter = read_varint(&reader);
        if (found == actor)
            return counter;
        if (found > actor)
            return 0;
    }
    ASSERT(!reader.bad);
    return 0;
}

bool vector_covers(struct slice vector, struct dot dot)
{
    return vector_get(vector, dot.actor) >= dot.counter;
}

bool vector_contains(struct slice vector, struct slice other)
{
    struct reader reader = reader_of(other);
    for (uint64_t left = other.size == 0 ? 0 : read_varint(&reader); left > 0; left--) {
        struct dot dot = {.actor = read_u64(&reader)};
        dot.counter = read_varint(&reader);
        ASSERT(!reader.bad);
        if (!vector_covers(vector, dot))
            return false;
    }
    return true;
}

void vector_union(const struct slice *vectors, uint32_t count, const struct dot *dots,
                  uint32_t dots_count, struct buf *out)
{
    struct history history;
    history_init(&history);
    for (uint32_t i = 0; i < count; i++)
        history_add_vector(&history, vectors[i]);
    for (uint32_t i = 0; i < dots_count; i++)
        history_add(&history, dots[i]);
    history_join(&history);
    history_write(&history, out);
    history_done(&history);
}
