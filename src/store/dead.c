#include "store/dead.h"

void dead_clear(struct dead_index *index, uint64_t *total)
{
    *total -= index->count;
    mem_free(index->entries);
    *index = (struct dead_index){0};
}

static void swap(struct dead_entry *a, struct dead_entry *b)
{
    struct dead_entry kept = *a;
    *a = *b;
    *b = kept;
}

void dead_put(struct dead_index *index, uint64_t *total, uint64_t stamp, uint64_t hash)
{
    if (*total >= DEAD_ENTRIES_MAX) {
        dead_clear(index, total);
        index->lost = true;
        return;
    }
    if (index->count == index->capacity) {
        index->capacity = MAX(16u, 2 * index->capacity);
        index->entries = mem_grow(index->entries, index->capacity * sizeof(*index->entries));
    }
    uint32_t at = index->count++;
    (*total)++;
    index->entries[at] = (struct dead_entry){stamp, hash};
    while (at > 0 && index->entries[at].stamp < index->entries[(at - 1) / 2].stamp) {
        swap(&index->entries[at], &index->entries[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

uint64_t dead_earliest(const struct dead_index *index)
{
    if (!index->complete)
        return 0;
    return index->count == 0 ? UINT64_MAX : index->entries[0].stamp;
}

bool dead_take(struct dead_index *index, uint64_t *total, uint64_t horizon,
               struct dead_entry *ret_entry)
{
    struct dead_entry *entries = index->entries;
    if (index->count == 0 || entries[0].stamp > horizon)
        return false;
    *ret_entry = entries[0];
    entries[0] = entries[--index->count];
    (*total)--;
    for (uint32_t at = 0;;) {
        uint32_t least = at;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2; child++)
            if (child < index->count && entries[child].stamp < entries[least].stamp)
                least = child;
        if (least == at)
            return true;
        swap(&entries[at], &entries[least]);
        at = least;
    }
}
