/* `hints`: what this node keeps for slots of other nodes, and what holds it. */
#include <stdlib.h>

#include "base/error.h"
#include "data/hlc.h"
#include "shell/admin_methods.h"

enum { TARGETS_SHOWN_MAX = 4096 };

static const char *hold_text(const struct hint_target *target)
{
    switch (target->hold) {
    case HINT_MOVES:
        return "delivering";
    case HINT_COUNTED:
        return "counting";
    case HINT_STOPS:
        return "stopping";
    case HINT_NO_WRITER:
        return "no writer";
    case HINT_DOWN:
        return "down";
    case HINT_REFUSED:
        return "refused";
    }
    return "unknown";
}

static void target_write(struct admin_call *call, const struct hint_target *target)
{
    struct buf *out = call->out;
    char text[NODE_ID_TEXT];
    mp_write_map(out, 8);
    put_uint(out, "range", target->range);
    put_uint(out, "slot", target->slot);
    put_uint(out, "keys", target->keys);
    put_uint(out, "bytes", target->bytes);
    put_uint(out, "oldest_ms", hlc_ms(target->oldest));
    put_text(out, "held_by", hold_text(target));
    mp_write_text(out, "node");
    if (id_none(target->node))
        mp_write_nil(out);
    else
        mp_write_string(out, admin_name(call->core, target->node, text));
    mp_write_text(out, "error");
    if (target->error == 0)
        mp_write_nil(out);
    else
        mp_write_text(out, error_word(target->error));
}

static int by_range(const void *a, const void *b)
{
    const struct hint_target *one = a;
    const struct hint_target *two = b;
    int64_t left = (int64_t)one->range * SLOTS_MAX + one->slot;
    int64_t right = (int64_t)two->range * SLOTS_MAX + two->slot;
    return (left > right) - (left < right);
}

bool method_hints(struct admin_call *call)
{
    if (!admin_joined(call))
        return false;
    const struct admin_hinted hinted = admin_hinted(call->admin);
    uint32_t cap = TARGETS_SHOWN_MAX;
    struct hint_target *targets = mem_alloc(cap * sizeof(*targets));
    uint32_t count = admin_hints(call->admin, targets, cap);
    uint32_t shown = MIN(count, cap);
    qsort(targets, shown, sizeof(*targets), by_range);
    mp_write_map(call->out, 7);
    put_uint(call->out, "keys", hinted.keys);
    put_uint(call->out, "bytes", hinted.bytes);
    put_uint(call->out, "bytes_max", hinted.bytes_max);
    put_uint(call->out, "unreadable", hinted.bad);
    put_bool(call->out, "counted", hinted.counted);
    put_uint(call->out, "targets_count", count);
    mp_write_text(call->out, "targets");
    mp_write_array(call->out, shown);
    for (uint32_t i = 0; i < shown; i++)
        target_write(call, &targets[i]);
    mem_free(targets);
    return true;
}
