/* Merging two objects. Two replicas mostly hold the same, or one holds what follows the other's,
 * so what stays as it was is copied and never written anew. */
#include "data/versions.h"

#include "base/rule.h"
#include "data/vector.h"

/* Two copies of one version: they differ only if entries of old tenures left one's context, or if
 * somebody issued a dot twice. Every node must then choose alike. */
static struct version version_join(const struct version *a, const struct version *b,
                                   struct arena *scratch)
{
    struct version joined = *a;
    joined.in_a = true;
    joined.in_b = true;
    if (slice_equal(a->bytes, b->bytes))
        return joined;
    if (slice_compare(a->tail, b->tail) < 0) {
        joined.sibling = b->sibling;
        joined.tail = b->tail;
    }
    struct slice contexts[2] = {a->sibling.context, b->sibling.context};
    struct buf context = {0};
    vector_union(contexts, 2, NULL, 0, &context);
    joined.sibling.context = arena_copy(scratch, buf_slice(&context));
    buf_done(&context);
    joined.in_a = slice_equal(joined.sibling.context, a->sibling.context) &&
                  slice_equal(joined.tail, a->tail);
    joined.in_b = slice_equal(joined.sibling.context, b->sibling.context) &&
                  slice_equal(joined.tail, b->tail);
    return joined;
}

static void versions_zip(struct versions *a, struct versions *b, struct versions *ret_all,
                         struct arena *scratch)
{
    uint32_t i = 0;
    uint32_t j = 0;
    while (i < a->count || j < b->count) {
        int order = i == a->count   ? 1
                    : j == b->count ? -1
                                    : dot_compare(a->items[i].sibling.dot, b->items[j].sibling.dot);
        if (order == 0) {
            struct version joined = version_join(&a->items[i++], &b->items[j++], scratch);
            versions_add(ret_all, &joined);
        } else if (order < 0) {
            a->items[i].in_a = true;
            versions_add(ret_all, &a->items[i++]);
        } else {
            b->items[j].in_b = true;
            versions_add(ret_all, &b->items[j++]);
        }
    }
}

static bool history_equal(const struct history *history, struct slice vector)
{
    struct history other;
    history_init(&other);
    history_add_vector(&other, vector);
    bool equal = history->count == other.count;
    for (uint32_t i = 0; equal && i < other.count; i++)
        equal = dot_compare(history->entries[i], other.entries[i]) == 0;
    history_done(&other);
    return equal;
}

static int compare_with_sources(const struct versions *all, const struct history *left,
                                const struct versions *a, const struct versions *b)
{
    bool same_a = all->count == a->count && history_equal(left, a->history);
    bool same_b = all->count == b->count && history_equal(left, b->history);
    for (uint32_t i = 0; i < all->count; i++) {
        same_a = same_a && all->items[i].in_a;
        same_b = same_b && all->items[i].in_b;
    }
    return (same_a ? MERGE_SAME_A : 0) | (same_b ? MERGE_SAME_B : 0);
}

/* Put the settled versions of A and B into ALL, and what they leave behind into LEFT. */
static int versions_merge(struct versions *a, struct versions *b, struct versions *all,
                          struct history *left, struct arena *scratch)
{
    versions_zip(a, b, all, scratch);
    versions_contexts(all, left);
    history_add_vector(left, a->history);
    history_add_vector(left, b->history);
    history_join(left);
    versions_settle(all, left);
    return compare_with_sources(all, left, a, b);
}

/* What most merges are: A and B are one version each, and B's writer had seen all of A. Then B is
 * what comes of it, as the rules below would have it, too. */
static bool follows(struct slice a, struct slice b)
{
    struct stamp old, new;
    struct slice seen_by_old, seen_by_new;
    return versions_sole(a, &old, &seen_by_old) && versions_sole(b, &new, &seen_by_new) &&
           vector_covers(seen_by_new, old.dot) && vector_contains(seen_by_new, seen_by_old) &&
           !vector_covers(seen_by_old, new.dot) && stamp_after(new, old) && RULE(COVERED_GO);
}

int object_merge(struct slice a, struct slice b, struct buf *out)
{
    if (slice_equal(a, b) || b.size == 0) {
        buf_append(out, a);
        return a.size == b.size ? MERGE_SAME_A | MERGE_SAME_B : MERGE_SAME_A;
    }
    if (a.size == 0 || follows(a, b)) {
        buf_append(out, b);
        return MERGE_SAME_B;
    }
    struct versions in_a;
    struct versions in_b;
    struct versions all;
    struct history left;
    struct arena scratch = {0};
    versions_init(&in_a);
    versions_init(&in_b);
    versions_init(&all);
    history_init(&left);
    int error_a = versions_parse(a, &in_a);
    int error_b = versions_parse(b, &in_b);
    ASSERT(error_a == 0 && error_b == 0);
    int same = versions_merge(&in_a, &in_b, &all, &left, &scratch);
    if ((same & MERGE_SAME_A) != 0) {
        buf_append(out, a);
    } else if ((same & MERGE_SAME_B) != 0) {
        buf_append(out, b);
    } else {
        buf_reserve(out, a.size + b.size);
        versions_write_head(all.count, &left, out);
        for (uint32_t i = 0; i < all.count; i++)
            version_write(&all.items[i], out);
    }
    history_done(&left);
    versions_done(&all);
    versions_done(&in_b);
    versions_done(&in_a);
    arena_done(&scratch);
    return same;
}
