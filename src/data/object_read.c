/* What a reader sees of an object. */
#include "data/versions.h"

#include "base/error.h"

#include <stdlib.h>

bool sibling_dead(const struct sibling *sibling, uint64_t now_hlc, uint32_t drops)
{
    return sibling->tombstone || (sibling->expires != 0 && sibling->expires <= now_hlc) ||
           sibling->drops < drops;
}

/* The latest of those that show one only; NULL if there are none. */
static const struct sibling *latest_single(const struct versions *versions)
{
    const struct sibling *latest = NULL;
    for (uint32_t i = 0; i < versions->count; i++) {
        const struct sibling *sibling = &versions->items[i].sibling;
        if (sibling->policy != POLICY_SIBLINGS &&
            (latest == NULL || stamp_compare(sibling, latest) > 0))
            latest = sibling;
    }
    return latest;
}

static int latest_first(const void *a, const void *b)
{
    return stamp_compare(b, a);
}

static void read_versions(const struct versions *versions, uint64_t now_hlc, uint32_t drops,
                          struct arena *arena, struct object *ret_object)
{
    const struct sibling *latest = latest_single(versions);
    struct sibling *shown = arena_alloc(arena, versions->count * sizeof(*shown));
    uint32_t count = 0;
    for (uint32_t i = 0; i < versions->count; i++) {
        const struct sibling *sibling = &versions->items[i].sibling;
        bool hidden = sibling->policy != POLICY_SIBLINGS && sibling != latest;
        if (!hidden && !sibling_dead(sibling, now_hlc, drops))
            shown[count++] = *sibling;
    }
    if (count > 1)
        qsort(shown, count, sizeof(*shown), latest_first);
    *ret_object = (struct object){count, shown, versions->history};
}

int object_read(struct slice object, uint64_t now_hlc, uint32_t drops, struct arena *arena,
                struct object *ret_object)
{
    if (object.size == 0)
        return ERR_NOT_FOUND;
    struct versions versions;
    struct object read = {0};
    versions_init(&versions);
    int error = versions_parse(object, &versions);
    if (error == 0)
        read_versions(&versions, now_hlc, drops, arena, &read);
    versions_done(&versions);
    if (error == 0 && read.count == 0)
        error = ERR_DELETED;
    if (error == 0)
        *ret_object = read;
    return error;
}
