/* What repair has asked the store of its own node, which always answers. */
#include "core/repair_state.h"

void repair_wait_free(struct repair_wait *wait)
{
    buf_done(&wait->nodes);
    buf_done(&wait->keys);
    mem_free(wait);
}

struct repair_wait *repair_wait_add(struct repairs *repairs, enum repair_wait_kind kind,
                                    const struct range_epoch *range, struct node_id peer,
                                    uint64_t *ret_token)
{
    struct repair_wait *wait = mem_zero(sizeof(*wait));
    wait->kind = kind;
    wait->range = *range;
    wait->peer = peer;
    uint64_t value = ++repairs->waits_next;
    map_put(&repairs->waits, value, wait);
    *ret_token = token_of(OWNER_REPAIR, value);
    return wait;
}

void repair_ask_tree(struct core *core, uint64_t token, const uint64_t *prefixes, uint32_t count,
                     uint32_t bits)
{
    struct store_op *op = core_store(core, STORE_TREE, token);
    op->tree.prefixes = prefixes;
    op->tree.prefixes_count = count;
    op->tree.bits = bits;
}

bool repair_is_reading(const struct repairs *repairs, const struct comparing *comparing)
{
    const struct repair_wait *wait;
    size_t cursor = 0;
    while ((wait = map_next(&repairs->waits, &cursor, NULL)) != NULL)
        if (id_equal(wait->peer, comparing->peer) && wait->range.range == comparing->range &&
            wait->kind != WAIT_ROOTS && wait->kind != WAIT_ROOTS_ANSWER)
            return true;
    return false;
}
