/* One new version, made by a coordinator on top of what it holds. */
#include "data/versions.h"

#include "base/error.h"
#include "base/limits.h"
#include "base/rule.h"
#include "data/context.h"
#include "data/hlc.h"
#include "data/vector.h"

/* What an update works with. */
struct work {
    struct versions versions; /* Of the local object, later with the new one. */
    struct history contexts;  /* All that the local object covers, without its own dots. */
    struct history known;     /* The same with its dots. */
    uint32_t local_count;
    bool siblings_held; /* The local object has versions of policy siblings. */
    struct version made;
    struct buf context; /* Of the new version, where it is not the client's alone. */
};

static void work_init(struct work *work)
{
    versions_init(&work->versions);
    history_init(&work->contexts);
    history_init(&work->known);
    work->made = (struct version){0};
    work->context = (struct buf){0};
}

static void work_done(struct work *work)
{
    buf_done(&work->context);
    history_done(&work->known);
    history_done(&work->contexts);
    versions_done(&work->versions);
}

static void take_in_local(struct work *work)
{
    const struct versions *local = &work->versions;
    work->local_count = local->count;
    work->siblings_held = false;
    versions_contexts(local, &work->contexts);
    versions_contexts(local, &work->known);
    for (uint32_t i = 0; i < local->count; i++) {
        const struct sibling *sibling = &local->items[i].sibling;
        history_add(&work->known, sibling->dot);
        work->siblings_held = work->siblings_held || sibling->policy == POLICY_SIBLINGS;
    }
    history_join(&work->contexts);
    history_join(&work->known);
}

static uint64_t expiry(uint64_t hlc, uint64_t ttl_ms)
{
    if (ttl_ms == 0)
        return 0;
    return ttl_ms >= hlc_ms(UINT64_MAX - hlc) ? UINT64_MAX : hlc + hlc_at(ttl_ms);
}

/* Fill in the new version but for a blind one's context. */
static int make_version(struct work *work, const struct update *update)
{
    struct sibling *made = &work->made.sibling;
    uint64_t highest = 0;
    if (update->context.size > 0) {
        int error = context_parse(update->context, &highest, &made->context);
        if (error != 0)
            return error;
    }
    if (update->first.counter > 0) {
        made->first = update->first;
        vector_union(&made->context, 1, &update->first, 1, &work->context);
        made->context = buf_slice(&work->context);
    }
    const struct version *latest = versions_latest(&work->versions);
    if (latest != NULL)
        highest = MAX(RULE(HLC_ABOVE_CONTEXT) ? highest : 0,
                      RULE(HLC_ABOVE_LOCAL) ? latest->sibling.hlc : 0);
    if (highest >= STAMP_MAX)
        return ERR_CLOCK_SKEW;
    made->dot = update->dot;
    made->hlc = MAX(update->hlc, highest + 1);
    made->policy = update->policy;
    made->drops = update->drops;
    made->tombstone = update->tombstone;
    if (!update->tombstone) {
        made->expires = expiry(made->hlc, update->ttl_ms);
        made->type = update->type;
        made->value = update->value;
    }
    return OK;
}

/* Write the new version as one that follows all that is known here, and its client's context. */
static void write_sole(struct work *work, struct buf *out)
{
    const struct sibling *made = &work->made.sibling;
    struct history none;
    history_init(&none);
    history_add_vector(&work->known, made->context);
    history_join(&work->known);
    versions_write_head(1, &none, out);
    write_u64(out, made->dot.actor);
    write_varint(out, made->dot.counter);
    history_write(&work->known, out);
    sibling_write_tail(made, out);
    history_done(&none);
}

static void insert_made(struct work *work)
{
    struct versions *versions = &work->versions;
    versions_add(versions, &work->made);
    uint32_t at = versions->count - 1;
    for (; at > 0 && dot_compare(versions->items[at - 1].sibling.dot, work->made.sibling.dot) > 0;
         at--)
        versions->items[at] = versions->items[at - 1];
    versions->items[at] = work->made;
}

/* Write the new version beside those that its context does not cover. */
static int write_beside(struct work *work, struct buf *out)
{
    insert_made(work);
    history_add_vector(&work->contexts, work->made.sibling.context);
    history_join(&work->contexts);
    versions_settle(&work->versions, &work->contexts);
    uint32_t count = work->versions.count;
    if (count > SIBLINGS_MAX && count > work->local_count) {
        if (work->made.sibling.policy == POLICY_SIBLINGS || work->siblings_held)
            return ERR_TOO_MANY_SIBLINGS;
        /* All of them are hidden behind this one already: it may as well replace them. */
        write_sole(work, out);
        return OK;
    }
    versions_write_head(count, &work->contexts, out);
    for (uint32_t i = 0; i < count; i++)
        version_write(&work->versions.items[i], out);
    return OK;
}

/* Did somebody who had seen the first self write meanwhile? Only here, in the step that makes the
 * second one, is there nothing in between that could still come. */
static bool overwritten_before(const struct work *work, const struct update *update)
{
    return update->first.counter > 0 && history_covers(&work->contexts, update->first) &&
           RULE(REWRITE_NOT_OVERTAKEN);
}

static int write_update(struct work *work, const struct update *update, struct buf *out)
{
    take_in_local(work);
    int error = make_version(work, update);
    if (error != 0)
        return error;
    const struct sibling *made = &work->made.sibling;
    if (vector_covers(made->context, made->dot))
        return ERR_BAD_CONTEXT;
    if (history_covers(&work->known, made->dot))
        return ERR_CORRUPT;
    if (overwritten_before(work, update))
        return ERR_CONFLICT;
    bool stands_beside =
        update->policy == POLICY_SIBLINGS && !update->follows && RULE(BLIND_SIBLINGS_STAND);
    if (!update->blind || stands_beside)
        return write_beside(work, out);
    write_sole(work, out);
    return OK;
}

int object_update(struct slice local, const struct update *update, struct buf *out,
                  uint64_t *ret_hlc)
{
    ASSERT(update->dot.counter > 0 && update->hlc <= STAMP_MAX && update->policy <= POLICY_LWW);
    ASSERT(!update->blind || update->context.size == 0);
    if (update->type.size > TYPE_SIZE_MAX || update->value.size > VALUE_SIZE_MAX)
        return ERR_TOO_LARGE;
    struct work work;
    work_init(&work);
    int error = versions_parse(local, &work.versions);
    if (error == 0) {
        buf_reserve(out, local.size + update->context.size + update->value.size + 128);
        error = write_update(&work, update, out);
    }
    if (error == 0 && ret_hlc != NULL)
        *ret_hlc = work.made.sibling.hlc;
    work_done(&work);
    return error;
}
