/* Changes to a record that is about to be proposed. */
#include "data/ring.h"

void record_add_former(struct range_record *record, struct node_id node)
{
    ASSERT(record->former_count < FORMER_MAX);
    record->former[record->former_count++] = node;
}

void record_remove_former(struct range_record *record, struct node_id node)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < record->former_count; i++) {
        if (!id_equal(record->former[i], node))
            record->former[kept++] = record->former[i];
    }
    for (uint32_t i = kept; i < record->former_count; i++)
        record->former[i] = NODE_NONE;
    record->former_count = (uint8_t)kept;
}

struct slot *record_slot_in(struct range_record *record, uint8_t number)
{
    return (struct slot *)(uintptr_t)record_slot(record, number);
}

void record_drop_slot(struct range_record *record, uint8_t number)
{
    uint32_t at = (uint32_t)(record_slot_in(record, number) - record->slots);
    for (uint32_t i = at; i + 1 < record->slots_count; i++)
        record->slots[i] = record->slots[i + 1];
    record->slots[--record->slots_count] = (struct slot){0};
}
