/* Which versions stay: the rules that make merging commutative, associative and idempotent.
 *
 * Let T be the join of all contexts of all versions that ever took part, dropped ones included.
 * A version stays unless T covers its dot, or it is stamped lww and another one has a higher stamp,
 * or it is some write's second self and the context of a later stamped one covers the first self.
 * T only grows, and merging joins the T of both sides, so what is obsolete stays obsolete in
 * whatever order objects meet. The contexts of the versions that stay are most of T; the rest, if
 * there is any, is written down as the object's history. There seldom is: a version that covers
 * another one covers all that one covered. Only an lww version that loses to a concurrent one
 * leaves something behind (docs/decisions/0001-lww-loses-to-any-later-version.md). */
#include "data/versions.h"

#include "base/rule.h"
#include "data/vector.h"

#include <stdlib.h>

/* The later of two versions in qsort's terms, for the first to be the latest. */
static int later_first(const void *a, const void *b)
{
    return stamp_compare(&((const struct version *)b)->sibling,
                         &((const struct version *)a)->sibling);
}

static int dots_rising(const void *a, const void *b)
{
    return dot_compare(((const struct version *)a)->sibling.dot,
                       ((const struct version *)b)->sibling.dot);
}

/* No honest mix of coordinators makes so many (SIBLINGS_MAX each); of a hostile one the latest
 * stay, so that the result can be read again. */
static void drop_beyond_bound(struct versions *versions)
{
    if (versions->count <= OBJECT_SIBLINGS_MAX)
        return;
    qsort(versions->items, versions->count, sizeof(*versions->items), later_first);
    versions->count = OBJECT_SIBLINGS_MAX;
    qsort(versions->items, versions->count, sizeof(*versions->items), dots_rising);
}

static void drop_covered(struct versions *versions, const struct history *covered)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < versions->count; i++) {
        if (!RULE(COVERED_GO) || !history_covers(covered, versions->items[i].sibling.dot))
            versions->items[kept++] = versions->items[i];
    }
    versions->count = kept;
}

bool versions_overwrite(const struct versions *versions, const struct sibling *sibling)
{
    if (sibling->first.counter == 0)
        return false;
    for (uint32_t i = 0; i < versions->count; i++) {
        const struct sibling *other = &versions->items[i].sibling;
        if (stamp_compare(other, sibling) > 0 && vector_covers(other->context, sibling->first))
            return RULE(REWRITE_KEEPS_NAME);
    }
    return false;
}

/* Who overwrites a second self so has overwritten, if it is one itself, all that its own first self
 * had: so it does not matter whether it goes in the same pass. */
static void drop_overwritten_before(struct versions *versions)
{
    uint32_t kept = versions->count;
    while (kept > 0 && !versions_overwrite(versions, &versions->items[kept - 1].sibling))
        kept--;
    if (kept == 0)
        return; /* Nearly always. */
    struct versions left;
    versions_init(&left);
    for (uint32_t i = 0; i < versions->count; i++)
        if (!versions_overwrite(versions, &versions->items[i].sibling))
            versions_add(&left, &versions->items[i]);
    memcpy(versions->items, left.items, left.count * sizeof(*left.items));
    versions->count = left.count;
    versions_done(&left);
}

static void drop_lww_losers(struct versions *versions)
{
    struct dot latest = versions_latest(versions)->sibling.dot;
    if (!RULE(LWW_KEEPS_LATEST))
        latest = versions->items[0].sibling.dot;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < versions->count; i++) {
        const struct sibling *sibling = &versions->items[i].sibling;
        if (sibling->policy != POLICY_LWW || dot_compare(sibling->dot, latest) == 0)
            versions->items[kept++] = versions->items[i];
    }
    versions->count = kept;
}

void versions_settle(struct versions *versions, struct history *covered)
{
    if (versions->count == 0)
        return;
    struct version latest = *versions_latest(versions);
    drop_covered(versions, covered);
    if (versions->count == 0) {
        /* Versions that cover each other in a circle come from no honest node. The latest stays, so
         * that a merge never turns something into nothing. */
        versions_add(versions, &latest);
        covered->count = 0;
        return;
    }
    drop_overwritten_before(versions);
    if (RULE(LWW_KEEPS_ONE))
        drop_lww_losers(versions);
    drop_beyond_bound(versions);
    struct history own;
    history_init(&own);
    for (uint32_t i = 0; i < versions->count; i++)
        history_add_vector(&own, versions->items[i].sibling.context);
    history_join(&own);
    history_subtract(covered, &own);
    history_done(&own);
}
