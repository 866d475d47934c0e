/* What an administrator asks to be compared, and how much of it is left. */
#include "core/repair_state.h"

/* Of RANGE, the slots that this node is to compare with its own for CHOICE. */
static uint8_t chosen(const struct core *core, const struct repair_choice *choice, uint32_t range)
{
    uint8_t bits = repair_others(core, range);
    bool all = id_none(choice->node) || id_equal(choice->node, core->self);
    return all ? bits : bits & repair_bit_of(core, range, choice->node);
}

/* Behind the last range of CHOICE. */
static uint32_t end_of(const struct repairs *repairs, const struct core *core,
                       const struct repair_choice *choice)
{
    uint32_t ranges = repairs->dirty.bits == NULL ? 0 : ring_ranges(&core->ring);
    return choice->last < ranges ? choice->last + 1 : ranges;
}

void repairs_ask(struct repairs *repairs, struct core *core, const struct repair_choice *choice)
{
    uint32_t end = end_of(repairs, core, choice);
    for (uint32_t range = choice->first; range < end; range++) {
        uint8_t bits = chosen(core, choice, range);
        repair_set_add(&repairs->asked, range, bits);
        repair_set_add(&repairs->dirty, range, bits);
    }
    if (choice->first < end)
        repair_schedule(repairs, core);
}

uint32_t repairs_count(const struct repairs *repairs, const struct core *core,
                       const struct repair_choice *choice)
{
    uint32_t count = 0;
    uint32_t end = end_of(repairs, core, choice);
    for (uint32_t range = choice->first; range < end; range++)
        count += (uint32_t)__builtin_popcount(chosen(core, choice, range));
    return count;
}

void repairs_asked(const struct repairs *repairs, const struct core *core, uint32_t *ret_left,
                   uint32_t *ret_unreachable)
{
    *ret_left = *ret_unreachable = 0;
    if (repairs->asked.count == 0)
        return;
    for (uint32_t range = 0; range < ring_ranges(&core->ring); range++) {
        const struct range_record *record = &core->holdings[range].record;
        uint8_t bits = repairs->asked.bits[range] & repair_others(core, range);
        for (uint32_t i = 0; bits != 0 && i < record->slots_count; i++) {
            bool left = bits >> record->slots[i].number & 1;
            *ret_left += left;
            *ret_unreachable += left && !core_is_up(core, slot_reader(&record->slots[i]));
        }
    }
}
