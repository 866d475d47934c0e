/* Objects: checking, decoding, and what can be told without merging. */
#include "data/versions.h"

#include "base/checksum.h"
#include "base/error.h"

/* Is this what settling these versions would give? Then the same versions have no other bytes. */
static bool versions_settled(const struct versions *versions)
{
    if (versions->count == 1 && versions->history.size == 0)
        return true;
    struct versions settled;
    struct history covered;
    struct history written;
    versions_init(&settled);
    history_init(&covered);
    history_init(&written);
    for (uint32_t i = 0; i < versions->count; i++)
        versions_add(&settled, &versions->items[i]);
    versions_contexts(versions, &covered);
    history_join(&covered);
    versions_settle(&settled, &covered);
    history_add_vector(&written, versions->history);
    bool same = settled.count == versions->count && covered.count == written.count;
    for (uint32_t i = 0; same && i < covered.count; i++)
        same = dot_compare(covered.entries[i], written.entries[i]) == 0;
    history_done(&written);
    history_done(&covered);
    versions_done(&settled);
    return same;
}

static int versions_read(struct slice bytes, struct versions *versions)
{
    int error = versions_parse(bytes, versions);
    if (error == 0 && versions->count > 0 && !versions_settled(versions))
        error = ERR_CORRUPT;
    return error;
}

int object_check(struct slice bytes)
{
    struct versions versions;
    versions_init(&versions);
    int error = versions_read(bytes, &versions);
    versions_done(&versions);
    return error;
}

int object_decode(struct slice bytes, struct arena *arena, struct object *ret_object)
{
    struct versions versions;
    versions_init(&versions);
    int error = versions_read(bytes, &versions);
    if (error == 0) {
        struct sibling *siblings = arena_alloc(arena, versions.count * sizeof(*siblings));
        for (uint32_t i = 0; i < versions.count; i++)
            siblings[i] = versions.items[i].sibling;
        *ret_object = (struct object){versions.count, siblings, versions.history};
    }
    versions_done(&versions);
    return error;
}

static uint64_t digest_add(uint64_t digest, struct dot dot)
{
    return checksum_pair(digest, checksum_pair(dot.actor, dot.counter));
}

uint64_t object_digest(uint64_t hash, struct slice bucket, struct slice key, struct slice object)
{
    if (object.size == 0)
        return 0;
    uint64_t digest = checksum64(key, checksum64(bucket, hash));
    struct stamp sole;
    struct slice context;
    if (versions_sole(object, &sole, &context)) {
        digest = digest_add(digest, sole.dot);
        return digest != 0 ? digest : 1;
    }
    struct versions versions;
    versions_init(&versions);
    int error = versions_parse(object, &versions);
    ASSERT(error == 0);
    for (uint32_t i = 0; i < versions.count; i++)
        digest = digest_add(digest, versions.items[i].sibling.dot);
    versions_done(&versions);
    return digest != 0 ? digest : 1;
}

struct stamp object_stamp(struct slice object)
{
    struct stamp stamp = {0};
    struct slice context;
    if (versions_sole(object, &stamp, &context))
        return stamp;
    struct versions versions;
    versions_init(&versions);
    int error = versions_parse(object, &versions);
    ASSERT(error == 0);
    const struct version *latest = versions_latest(&versions);
    stamp = (struct stamp){0};
    if (latest != NULL)
        stamp = (struct stamp){latest->sibling.hlc, latest->sibling.dot};
    versions_done(&versions);
    return stamp;
}

uint64_t object_hlc(struct slice object)
{
    return object_stamp(object).hlc;
}

const struct sibling *object_sibling(const struct object *object, struct dot dot)
{
    for (uint32_t i = 0; i < object->count; i++)
        if (dot_equal(object->siblings[i].dot, dot))
            return &object->siblings[i];
    return NULL;
}
