#include "core/tenure.h"

#include "base/rule.h"

enum { TENURES_BITS = 24 }; /* Of one life. */

uint64_t tenure_draw(const struct core *core, uint64_t *next)
{
    return core->generation << TENURES_BITS | ++*next;
}

struct meta tenure_cell(struct core *core, uint32_t range)
{
    const struct holding *holding = &core->holdings[range];
    struct buf value = {0};
    write_varint(&value, holding->tenure);
    record_encode(&holding->record, &value);
    uint8_t key[5] = {META_RECORD};
    for (int i = 0; i < 4; i++)
        key[1 + i] = (uint8_t)(range >> (24 - 8 * i));
    struct meta cell = {core_copy(core, slice_of(key, sizeof(key))),
                        core_copy(core, buf_slice(&value))};
    buf_done(&value);
    return cell;
}

void tenure_renew(struct core *core, uint32_t range, uint64_t *next)
{
    struct holding *holding = &core->holdings[range];
    if (holding->tenure == 0 || !RULE(TENURE_AFTER_DAMAGE))
        return;
    holding->tenure = tenure_draw(core, next);
    struct meta *cell = core_alloc(core, sizeof(*cell));
    *cell = tenure_cell(core, range);
    struct store_op *op = core_store(core, STORE_META, token_of(OWNER_NODE, TOKEN_TENURE));
    op->sync = true;
    op->batch.metas = cell;
    op->batch.metas_count = 1;
}
