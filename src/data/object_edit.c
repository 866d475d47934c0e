/* One new version, made of what is there: the step that makes a request atomic. */
#include "data/versions.h"

#include "base/error.h"
#include "data/context.h"
#include "data/hlc.h"
#include "data/vector.h"

static int state_of(struct slice local, const struct update *update, struct arena *arena,
                    struct edit_state *ret_state)
{
    struct object object = {0};
    int error = object_read(local, update->now, update->drops, arena, &object);
    if (error == ERR_NOT_FOUND || error == ERR_DELETED)
        return OK;
    if (error != 0)
        return error;
    const struct sibling *latest = &object.siblings[0];
    *ret_state = (struct edit_state){.present = true,
                                     .several = object.count > 1,
                                     .value = latest->value,
                                     .type = latest->type,
                                     .expires_ms = hlc_ms(latest->expires)};
    return OK;
}

/* Does the context of UPDATE cover all that LOCAL holds? */
static int unchanged(struct slice local, const struct update *update, bool *ret_unchanged)
{
    struct versions versions;
    struct slice seen = SLICE_NONE;
    uint64_t hlc;
    int error = update->context.size == 0 ? OK : context_parse(update->context, &hlc, &seen);
    if (error != 0)
        return error;
    versions_init(&versions);
    error = local.size == 0 ? OK : versions_parse(local, &versions);
    bool covered = true;
    for (uint32_t i = 0; error == 0 && i < versions.count; i++)
        covered = covered && vector_covers(seen, versions.items[i].sibling.dot);
    versions_done(&versions);
    *ret_unchanged = covered;
    return error;
}

static int write_state(struct slice local, const struct update *update,
                       const struct edit_state *state, struct buf *out, struct edited *ret_edited)
{
    uint64_t stamp_ms = hlc_ms(update->hlc);
    struct update next = *update;
    next.edit = NULL;
    next.blind = true;
    next.follows = true;
    next.context = SLICE_NONE;
    next.tombstone = !state->present || (state->expires_ms != 0 && state->expires_ms <= stamp_ms);
    next.value = next.tombstone ? SLICE_NONE : state->value;
    next.type = next.tombstone ? SLICE_NONE : state->type;
    next.ttl_ms = state->expires_ms == 0 || next.tombstone ? 0 : state->expires_ms - stamp_ms;
    if (object_hlc(local) >= update->hlc)
        return ERR_CONFLICT;
    return object_update(local, &next, out, &ret_edited->hlc);
}

int object_edit(struct slice local, const struct update *update, struct arena *arena,
                struct buf *out, struct edited *ret_edited)
{
    const struct edit *edit = update->edit;
    struct edit_state state = {0};
    struct edited edited = {.outcome = EDIT_NOT_HELD};
    struct buf value = {0};
    bool same = true;
    uint64_t ttl_expires_ms = update->ttl_ms == 0 ? 0 : hlc_ms(update->hlc) + update->ttl_ms;
    int error = state_of(local, update, arena, &state);
    if (error == 0 && edit->conditions & EDIT_IF_UNCHANGED)
        error = unchanged(local, update, &same);
    if (error == 0 && same)
        edited.outcome = edit_apply(edit, update->value, hlc_ms(update->now), ttl_expires_ms,
                                    &value, &state, &edited.changed);
    if (error == 0 && edited.changed) {
        if (edit->kind == EDIT_PUT)
            state.type = update->type;
        error = write_state(local, update, &state, out, &edited);
    }
    buf_done(&value);
    if (error == 0)
        *ret_edited = edited;
    return error;
}
