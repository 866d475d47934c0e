#include "core/hinted.h"

#include "base/error.h"
#include "base/rule.h"
#include "data/object.h"

/* Tenures of fallbacks have the top bit: no reader's has (register.c). */
static const uint64_t tenure_of_fallback = 1ull << 63;

void hinted_done(struct hinted *hinted)
{
    size_t cursor = 0;
    struct hinted_range *range;
    while ((range = map_next(&hinted->ranges, &cursor, NULL)) != NULL)
        mem_free(range);
    map_done(&hinted->ranges);
}

struct hinted_range *hinted_find(const struct hinted *hinted, uint32_t range)
{
    return map_get(&hinted->ranges, (uint64_t)range + 1);
}

static struct hinted_range *find_or_add(struct hinted *hinted, uint32_t range)
{
    struct hinted_range *found = hinted_find(hinted, range);
    if (found != NULL)
        return found;
    found = mem_zero(sizeof(*found));
    found->range = range;
    map_put(&hinted->ranges, (uint64_t)range + 1, found);
    return found;
}

int hinted_room(const struct hinted *hinted, uint32_t range, size_t size)
{
    const struct hinted_range *found = hinted_find(hinted, range);
    uint64_t bytes = found == NULL ? 0 : found->bytes;
    if (!hinted->counted || hinted->closed)
        return ERR_BUSY;
    if (!RULE(HINTS_BOUNDED))
        return 0;
    bool fits =
        hinted->bytes + size <= hinted->bytes_max && bytes + size <= hinted->bytes_max / HINT_SHARE;
    return fits ? 0 : ERR_BUSY;
}

/* The lowest stamp of any version in OBJECT, 0 if it has none. */
static uint64_t lowest(struct slice bytes)
{
    struct arena arena = {0};
    struct object object;
    uint64_t hlc = 0;
    if (object_decode(bytes, &arena, &object) == 0)
        for (uint32_t i = 0; i < object.count; i++)
            hlc = i == 0 ? object.siblings[i].hlc : MIN(hlc, object.siblings[i].hlc);
    arena_done(&arena);
    return hlc;
}

static uint64_t add(uint64_t figure, uint64_t more, uint64_t less)
{
    ASSERT(figure + more >= less);
    return figure + more - less;
}

void hinted_change(struct hinted *hinted, uint32_t range, const struct hint_change *change,
                   struct slice object)
{
    if (change->bytes == change->bytes_before && change->slots == change->slots_before)
        return;
    struct hinted_range *found = find_or_add(hinted, range);
    uint64_t keys_more = change->bytes > 0;
    uint64_t keys_less = change->bytes_before > 0;
    hinted->bytes = add(hinted->bytes, change->bytes, change->bytes_before);
    hinted->keys = add(hinted->keys, keys_more, keys_less);
    found->bytes = add(found->bytes, change->bytes, change->bytes_before);
    found->keys = add(found->keys, keys_more, keys_less);
    for (uint32_t i = 0; i < SLOTS_MAX; i++) {
        bool is = change->bytes > 0 && change->slots >> i & 1;
        bool was = change->bytes_before > 0 && change->slots_before >> i & 1;
        found->keys_of[i] = add(found->keys_of[i], is, was);
        found->bytes_of[i] =
            add(found->bytes_of[i], is ? change->bytes : 0, was ? change->bytes_before : 0);
    }
    uint64_t stamp = lowest(object);
    if (stamp != 0 && change->bytes > 0)
        found->oldest = found->oldest == 0 ? stamp : MIN(found->oldest, stamp);
    found->inexact = found->inexact || change->bytes == 0;
    if (found->keys > 0 || found->tenure != 0)
        return;
    map_remove(&hinted->ranges, (uint64_t)range + 1);
    mem_free(found);
}

void hinted_recount(struct hinted *hinted, uint32_t range, const struct entry *entries,
                    const uint8_t *slots, uint32_t count)
{
    struct hinted_range *found = hinted_find(hinted, range);
    if (found != NULL) {
        hinted->keys -= found->keys;
        hinted->bytes -= found->bytes;
        found->keys = found->bytes = found->oldest = 0;
        memset(found->keys_of, 0, sizeof(found->keys_of));
        memset(found->bytes_of, 0, sizeof(found->bytes_of));
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct entry *entry = &entries[i];
        size_t size = 8 + entry->bucket.size + 1 + entry->key.size + entry->object.size;
        struct hint_change change = {.bytes = (uint32_t)size, .slots = slots[i]};
        if (slots[i] != 0)
            hinted_change(hinted, range, &change, entry->object);
    }
    found = hinted_find(hinted, range);
    if (found == NULL)
        return;
    found->inexact = false;
    if (found->keys == 0 && found->tenure == 0) {
        map_remove(&hinted->ranges, (uint64_t)range + 1);
        mem_free(found);
    }
}

uint32_t hinted_inexact(const struct hinted *hinted)
{
    size_t cursor = 0;
    const struct hinted_range *range;
    while ((range = map_next(&hinted->ranges, &cursor, NULL)) != NULL)
        if (range->inexact && range->keys > 0)
            return range->range;
    return UINT32_MAX;
}

uint64_t hinted_oldest(const struct hinted *hinted)
{
    if (!hinted->counted || hinted->bad > 0)
        return 1;
    uint64_t oldest = 0;
    size_t cursor = 0;
    const struct hinted_range *range;
    while ((range = map_next(&hinted->ranges, &cursor, NULL)) != NULL)
        if (range->keys > 0)
            oldest = oldest == 0 ? range->oldest : MIN(oldest, range->oldest);
    return oldest;
}

uint64_t hinted_tenure(struct hinted *hinted, uint32_t range, uint64_t generation)
{
    struct hinted_range *found = find_or_add(hinted, range);
    if (found->tenure == 0)
        found->tenure = tenure_of_fallback | generation << 32 | ++hinted->tenures_next;
    return found->tenure;
}

void hinted_renew_tenure(struct hinted *hinted, uint32_t range)
{
    struct hinted_range *found = hinted_find(hinted, range);
    if (found != NULL && RULE(HINT_TENURE_RENEWED))
        found->tenure = 0;
}
