/* The settings of the cluster: an array sorted by name, and a hash for each bucket.
 *
 * Costs: a look-up O(log n); a merge copies the value. A setting with its name and value is one
 * allocation.
 *
 *   setting = name, counter varint, writer, value */
#include "data/setting.h"

#include "base/checksum.h"

void setting_encode(const struct setting *setting, struct buf *out)
{
    write_string(out, setting->name);
    write_varint(out, setting->counter);
    id_write(out, setting->writer);
    write_string(out, setting->value);
}

void setting_decode(struct reader *reader, struct setting *ret_setting)
{
    struct setting setting = {.name = read_string(reader)};
    setting.counter = read_varint(reader);
    setting.writer = id_read(reader);
    setting.value = read_string(reader);
    if (setting.name.size == 0 || setting.name.size > SETTING_NAME_SIZE_MAX ||
        setting.value.size > SETTING_VALUE_SIZE_MAX || setting.counter == 0 ||
        id_none(setting.writer))
        reader->bad = true;
    *ret_setting = reader->bad ? (struct setting){0} : setting;
}

void setting_table_init(struct setting_table *table)
{
    *table = (struct setting_table){0};
}

void setting_table_done(struct setting_table *table)
{
    for (uint32_t i = 0; i < table->count; i++)
        mem_free(table->settings[i]);
    mem_free(table->settings);
    *table = (struct setting_table){0};
}

/* Where the setting is or would be. */
static uint32_t place_of(const struct setting_table *table, struct slice name)
{
    uint32_t low = 0, high = table->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (slice_compare(table->settings[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct setting *setting_find(const struct setting_table *table, struct slice name)
{
    uint32_t place = place_of(table, name);
    if (place == table->count || !slice_equal(table->settings[place]->name, name))
        return NULL;
    return table->settings[place];
}

struct slice setting_value(const struct setting_table *table, struct slice name)
{
    const struct setting *setting = setting_find(table, name);
    return setting ? setting->value : SLICE_NONE;
}

uint32_t setting_bucket(struct slice name)
{
    return (uint32_t)(checksum64(name, 0) % SETTING_BUCKETS);
}

static uint64_t setting_hash(const struct setting *setting)
{
    uint64_t writer = checksum_pair(setting->writer.hi, setting->writer.lo);
    return checksum_pair(checksum64(setting->name, 0), checksum_pair(setting->counter, writer));
}

static size_t setting_size(const struct setting *setting)
{
    return setting->name.size + setting->value.size;
}

static struct setting *setting_copy(const struct setting *setting)
{
    struct setting *copy = mem_alloc(sizeof(*copy) + setting_size(setting));
    uint8_t *name = (uint8_t *)(copy + 1);
    uint8_t *value = name + setting->name.size;
    memcpy(name, setting->name.data, setting->name.size);
    if (setting->value.size > 0)
        memcpy(value, setting->value.data, setting->value.size);
    *copy = *setting;
    copy->name = slice_of(name, setting->name.size);
    copy->value = slice_of(value, setting->value.size);
    return copy;
}

bool setting_newer(const struct setting *a, const struct setting *b)
{
    if (!b)
        return true;
    if (a->counter != b->counter)
        return a->counter > b->counter;
    int order = id_compare(a->writer, b->writer);
    return (order != 0 ? order : slice_compare(a->value, b->value)) > 0;
}

bool setting_fits(const struct setting_table *table, struct slice name, size_t size)
{
    const struct setting *known = setting_find(table, name);
    if (!known && table->count == SETTINGS_MAX)
        return false;
    size_t before = known ? setting_size(known) : 0;
    return table->size - before + name.size + size <= SETTINGS_SIZE_MAX;
}

bool setting_merge(struct setting_table *table, const struct setting *setting)
{
    ASSERT(setting->name.size > 0 && setting->counter > 0);
    uint32_t place = place_of(table, setting->name);
    struct setting *known = NULL;
    if (place < table->count && slice_equal(table->settings[place]->name, setting->name))
        known = table->settings[place];
    if (!setting_newer(setting, known))
        return false;
    if (!setting_fits(table, setting->name, setting->value.size))
        return false;
    if (!known) {
        table->settings =
            mem_grow(table->settings, (table->count + 1) * sizeof(table->settings[0]));
        memmove(table->settings + place + 1, table->settings + place,
                (table->count - place) * sizeof(table->settings[0]));
        table->count++;
    }
    uint64_t *hash = &table->hashes[setting_bucket(setting->name)];
    *hash ^= setting_hash(setting) ^ (known ? setting_hash(known) : 0);
    table->size += setting_size(setting) - (known ? setting_size(known) : 0);
    /* The copy first: SETTING may borrow from the one it replaces. */
    table->settings[place] = setting_copy(setting);
    mem_free(known);
    table->changes++;
    return true;
}
