/* The newest load of each node, in an array sorted by id. */
#include "core/loads.h"

void loads_done(struct load_table *table)
{
    mem_free(table->loads);
    *table = (struct load_table){0};
}

static uint32_t place_of(const struct load_table *table, struct node_id id)
{
    uint32_t low = 0, high = table->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (id_compare(table->loads[middle].id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct load_table *table, uint32_t place, struct node_id id)
{
    return place < table->count && id_equal(table->loads[place].id, id);
}

const struct load *loads_find(const struct load_table *table, struct node_id id)
{
    uint32_t place = place_of(table, id);
    return is_at(table, place, id) ? &table->loads[place] : NULL;
}

bool loads_merge(struct load_table *table, const struct load *load)
{
    uint32_t place = place_of(table, load->id);
    if (is_at(table, place, load->id)) {
        struct load *known = &table->loads[place];
        bool newer = load->generation != known->generation ? load->generation > known->generation
                                                           : load->sequence > known->sequence;
        if (newer)
            *known = *load;
        return newer;
    }
    if (table->count == MEMBERS_MAX)
        return false;
    if (table->count == table->capacity) {
        table->capacity = MAX(16u, table->capacity * 2);
        table->loads = mem_grow(table->loads, table->capacity * sizeof(*table->loads));
    }
    memmove(table->loads + place + 1, table->loads + place,
            (table->count - place) * sizeof(*table->loads));
    table->loads[place] = *load;
    table->count++;
    return true;
}

void loads_forget(struct load_table *table, struct node_id id)
{
    uint32_t place = place_of(table, id);
    if (!is_at(table, place, id))
        return;
    table->count--;
    memmove(table->loads + place, table->loads + place + 1,
            (table->count - place) * sizeof(*table->loads));
}

uint32_t loads_pick(struct load_table *table, struct node_id first, uint32_t count,
                    struct load *ret)
{
    uint32_t picked = 0;
    const struct load *own = loads_find(table, first);
    if (own && count > 0)
        ret[picked++] = *own;
    for (uint32_t step = 0; step < table->count && picked < count; step++) {
        table->cursor = (table->cursor + 1) % table->count;
        if (&table->loads[table->cursor] != own)
            ret[picked++] = table->loads[table->cursor];
    }
    return picked;
}
