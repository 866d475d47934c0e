/* What `status` says of collection horizons (core/horizon.h). */
#include "core/horizon.h"
#include "shell/admin_methods.h"

static uint64_t stamp_ms(uint64_t hlc)
{
    return hlc == 0 ? 0 : hlc_ms(hlc);
}

/* Why the horizon of a range that this node reads cannot rise now; "" where nothing is in the way.
 */
static const char *horizon_waits(const struct core *core, const struct range_record *record)
{
    if (record->former_count > 0)
        return "a former copy is not cleaned up";
    for (uint32_t i = 0; i < record->slots_count; i++) {
        if (record->slots[i].stage != STAGE_STABLE)
            return "a slot is moving";
        if (!core_is_up(core, slot_reader(&record->slots[i])))
            return "a reader is down";
    }
    return "";
}

/* First what may be collected in the whole cluster; then each range that this node reads and that
 * has a horizon: [range, horizon, collected up to, what it waits for], in milliseconds since 1970.
 */
void horizon_write(struct admin_call *call)
{
    const struct core *core = call->core;
    struct buf *out = call->out;
    struct node_id holder = NODE_NONE;
    uint64_t allowed = core->holdings == NULL ? 0 : horizon_allowed(core, &holder);
    uint64_t allowed_ms = stamp_ms(allowed);
    uint64_t now_ms = call->admin->wall_ms;
    char text[NODE_ID_TEXT];
    mp_write_text(out, "horizon");
    mp_write_map(out, 4);
    put_uint(out, "at_ms", allowed_ms);
    put_uint(out, "age_ms", allowed_ms != 0 && now_ms > allowed_ms ? now_ms - allowed_ms : 0);
    if (id_none(holder))
        put_text(out, "held_by", "");
    else
        put_slice(out, "held_by", admin_name(core, holder, text));
    struct buf rows = {0};
    uint32_t count = 0;
    for (uint32_t range = 0; core->holdings != NULL && range < ring_ranges(&core->ring); range++) {
        const struct holding *holding = &core->holdings[range];
        if (holding->horizon == 0 || record_slot_read_by(&holding->record, core->self) == NULL)
            continue;
        mp_write_array(&rows, 4);
        mp_write_uint(&rows, range);
        mp_write_uint(&rows, stamp_ms(holding->horizon));
        mp_write_uint(&rows, stamp_ms(holding->stands));
        mp_write_text(&rows, horizon_waits(core, &holding->record));
        count++;
    }
    mp_write_text(out, "ranges");
    mp_write_array(out, count);
    buf_append(out, buf_slice(&rows));
    buf_done(&rows);
}
