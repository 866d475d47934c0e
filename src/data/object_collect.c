/* What a collection horizon does to objects (DESIGN.md section 4): which siblings go, what may no
 * longer come in, and whether one replica has all that another has up to it. */
#include "data/versions.h"

#include "base/error.h"
#include "base/rule.h"
#include "data/vector.h"

/* The stamp from which SIBLING is dead, UINT64_MAX for never as far as it says itself. */
static uint64_t dead_from(const struct sibling *sibling)
{
    if (sibling->tombstone)
        return sibling->hlc;
    return sibling->expires == 0 ? UINT64_MAX : MAX(sibling->hlc, sibling->expires);
}

static void take_apart(struct slice object, struct versions *ret_versions)
{
    versions_init(ret_versions);
    int error = versions_parse(object, ret_versions);
    ASSERT(error == 0);
}

uint64_t object_dead_from(struct slice object)
{
    struct versions versions;
    uint64_t earliest = UINT64_MAX;
    take_apart(object, &versions);
    for (uint32_t i = 0; i < versions.count; i++)
        earliest = MIN(earliest, dead_from(&versions.items[i].sibling));
    versions_done(&versions);
    return earliest;
}

/* Write those of VERSIONS that GOES does not name. Those that stay cover what they covered before,
 * and the history what none of them covers: an object that loses siblings stays canonical. */
static void write_left(const struct versions *versions, const bool *goes, struct buf *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < versions->count; i++)
        count += !goes[i];
    if (count == 0)
        return;
    struct history history;
    history_init(&history);
    history_add_vector(&history, versions->history);
    history_join(&history);
    versions_write_head(count, &history, out);
    for (uint32_t i = 0; i < versions->count; i++)
        if (!goes[i])
            version_write(&versions->items[i], out);
    history_done(&history);
}

static bool is_dead_at(const struct sibling *sibling, const struct collection *collection)
{
    uint64_t dead = dead_from(sibling);
    if (sibling->drops < collection->drops)
        dead = MIN(dead, MAX(sibling->hlc, collection->dropped_at));
    return dead <= collection->horizon || !RULE(COLLECTS_DEAD_ONLY);
}

bool object_collect(struct slice object, const struct collection *collection, struct buf *out)
{
    struct versions versions;
    take_apart(object, &versions);
    bool *goes = mem_zero(versions.count + 1);
    bool any = false;
    const struct sibling *highest = NULL; /* That goes, of those that show one version only. */
    for (uint32_t i = 0; i < versions.count; i++) {
        const struct sibling *sibling = &versions.items[i].sibling;
        goes[i] = sibling->hlc <= collection->horizon && is_dead_at(sibling, collection);
        any = any || goes[i];
        if (goes[i] && sibling->policy != POLICY_SIBLINGS &&
            (highest == NULL || stamp_compare(sibling, highest) > 0))
            highest = sibling;
    }
    /* What it hid must not show again. */
    for (uint32_t i = 0; RULE(COLLECTS_HIDDEN) && highest != NULL && i < versions.count; i++) {
        const struct sibling *sibling = &versions.items[i].sibling;
        goes[i] =
            goes[i] || (sibling->policy != POLICY_SIBLINGS && stamp_compare(sibling, highest) < 0);
    }
    if (any)
        write_left(&versions, goes, out);
    mem_free(goes);
    versions_done(&versions);
    return any;
}

static bool holds(const struct versions *versions, struct dot dot)
{
    for (uint32_t i = 0; i < versions->count; i++)
        if (dot_compare(versions->items[i].sibling.dot, dot) == 0)
            return true;
    return false;
}

/* What stays of VERSIONS, of which GOES tells what does not, shows nothing older than this. */
static const struct sibling *latest_left(const struct versions *versions, const bool *goes)
{
    const struct sibling *latest = NULL;
    for (uint32_t i = 0; i < versions->count; i++) {
        const struct sibling *sibling = &versions->items[i].sibling;
        if (!goes[i] && (latest == NULL || stamp_compare(sibling, latest) > 0))
            latest = sibling;
    }
    return latest;
}

/* Let those of MERGED go that a reader whose tree stands at STANDS does not hold, as OTHER shows,
 * but never the latest: what is read stays, whatever became of the proof. */
static void drop_collected(const struct versions *merged, const struct versions *other,
                           uint64_t stands, bool *goes)
{
    const struct sibling *latest = latest_left(merged, goes);
    for (uint32_t i = 0; latest != NULL && i < merged->count; i++) {
        const struct sibling *sibling = &merged->items[i].sibling;
        goes[i] = goes[i] || (sibling->hlc <= stands && sibling->policy != POLICY_SIBLINGS &&
                              stamp_compare(sibling, latest) < 0 && !holds(other, sibling->dot));
    }
}

bool object_admit(struct slice local, struct slice other, struct slice merged, uint64_t horizon,
                  uint64_t stands, struct buf *out)
{
    struct versions before;
    struct versions came;
    struct versions after;
    take_apart(local, &before);
    take_apart(other, &came);
    take_apart(merged, &after);
    bool *goes = mem_zero(after.count + 1);
    bool any = false;
    for (uint32_t i = 0; i < after.count; i++) {
        const struct sibling *sibling = &after.items[i].sibling;
        goes[i] = sibling->hlc <= horizon && !holds(&before, sibling->dot);
    }
    if (stands > 0 && came.count > 0 && RULE(COLLECTED_THERE_GO))
        drop_collected(&after, &came, stands, goes);
    for (uint32_t i = 0; i < after.count; i++)
        any = any || goes[i];
    if (any)
        write_left(&after, goes, out);
    mem_free(goes);
    versions_done(&before);
    versions_done(&came);
    versions_done(&after);
    return any;
}

bool object_holds_all(struct slice object, struct slice other, uint64_t horizon)
{
    struct versions mine;
    struct versions theirs;
    take_apart(object, &mine);
    take_apart(other, &theirs);
    bool all = true;
    for (uint32_t i = 0; all && i < theirs.count; i++) {
        const struct sibling *sibling = &theirs.items[i].sibling;
        all = sibling->hlc > horizon || holds(&mine, sibling->dot);
    }
    versions_done(&mine);
    versions_done(&theirs);
    return all;
}

/* Has one of VERSIONS taken the place of SIBLING, as among those stamped lww the later one does? */
static bool replaces(const struct versions *versions, const struct sibling *sibling)
{
    for (uint32_t i = 0; sibling->policy == POLICY_LWW && i < versions->count; i++) {
        const struct sibling *other = &versions->items[i].sibling;
        if (other->policy == POLICY_LWW && stamp_compare(other, sibling) > 0)
            return true;
    }
    return false;
}

bool object_has_all(struct slice object, struct slice other, uint64_t horizon)
{
    struct versions mine;
    struct versions theirs;
    struct history known;
    take_apart(object, &mine);
    take_apart(other, &theirs);
    history_init(&known);
    versions_contexts(&mine, &known);
    history_join(&known);
    bool all = true;
    for (uint32_t i = 0; all && i < theirs.count; i++) {
        const struct sibling *sibling = &theirs.items[i].sibling;
        all = sibling->hlc > horizon || holds(&mine, sibling->dot) ||
              history_covers(&known, sibling->dot) || replaces(&mine, sibling) ||
              versions_overwrite(&mine, sibling);
    }
    history_done(&known);
    versions_done(&mine);
    versions_done(&theirs);
    return all;
}
