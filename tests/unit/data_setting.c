/* Settings: whatever order they come in, the outcome is the same. */
#include "base/prng.h"
#include "data/setting.h"
#include <criterion/criterion.h>
#include <stdio.h>

static struct setting setting_of(const char *name, uint64_t counter, uint64_t writer,
                                 const char *value)
{
    return (struct setting){.name = slice_string(name),
                            .counter = counter,
                            .writer = {writer, 1},
                            .value = slice_string(value)};
}

Test(setting, highest_counter_then_writer_wins)
{
    struct setting_table table;
    setting_table_init(&table);
    struct setting one = setting_of("config/x", 1, 5, "one");
    cr_assert(setting_merge(&table, &one));
    cr_assert_not(setting_merge(&table, &one));
    struct setting lower = setting_of("config/x", 1, 4, "lower");
    cr_assert_not(setting_merge(&table, &lower));
    struct setting higher = setting_of("config/x", 1, 6, "higher");
    cr_assert(setting_merge(&table, &higher));
    cr_assert(slice_equal(setting_value(&table, one.name), slice_string("higher")));
    struct setting gone = setting_of("config/x", 2, 1, "");
    cr_assert(setting_merge(&table, &gone));
    cr_assert_eq(setting_value(&table, one.name).size, 0);
    cr_assert_not_null(setting_find(&table, one.name), "a deleted setting stays");
    cr_assert_not(setting_merge(&table, &higher), "and is not brought back by an old one");
    cr_assert_null(setting_find(&table, slice_string("config/y")));
    setting_table_done(&table);
}

Test(setting, any_order_gives_one_table)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        enum { RECORDS = 200 };
        struct prng prng;
        prng_init(&prng, seed);
        static char names[RECORDS][16], values[RECORDS][16];
        struct setting settings[RECORDS];
        for (uint32_t i = 0; i < RECORDS; i++) {
            snprintf(names[i], sizeof(names[i]), "bucket/%lu", prng_below(&prng, 30));
            snprintf(values[i], sizeof(values[i]), "%lu", prng_below(&prng, 1000));
            settings[i] =
                setting_of(names[i], 1 + prng_below(&prng, 4), prng_below(&prng, 3), values[i]);
        }
        struct setting_table first;
        for (uint32_t round = 0; round < 5; round++) {
            struct setting_table table;
            setting_table_init(&table);
            size_t size = 0;
            for (uint32_t i = 0; i < RECORDS; i++)
                setting_merge(&table, &settings[i]);
            for (uint32_t i = 0; i < table.count; i++)
                size += table.settings[i]->name.size + table.settings[i]->value.size;
            cr_assert_eq(size, table.size);
            if (round == 0) {
                first = table;
            } else {
                cr_assert_eq(table.count, first.count);
                cr_assert_arr_eq(table.hashes, first.hashes, sizeof(first.hashes));
                for (uint32_t i = 0; i < table.count; i++)
                    cr_assert(slice_equal(table.settings[i]->value, first.settings[i]->value) &&
                              slice_equal(table.settings[i]->name, first.settings[i]->name));
                setting_table_done(&table);
            }
            for (uint32_t i = RECORDS - 1; i > 0; i--) {
                uint32_t j = (uint32_t)prng_below(&prng, i + 1);
                struct setting swap = settings[i];
                settings[i] = settings[j];
                settings[j] = swap;
            }
        }
        setting_table_done(&first);
    }
}

Test(setting, the_table_is_bounded)
{
    struct setting_table table;
    setting_table_init(&table);
    char name[32];
    for (uint32_t i = 0; i < SETTINGS_MAX; i++) {
        snprintf(name, sizeof(name), "config/%u", i);
        struct setting setting = setting_of(name, 1, 1, "x");
        cr_assert(setting_merge(&table, &setting));
    }
    struct setting more = setting_of("zzz", 1, 1, "x");
    cr_assert_not(setting_fits(&table, more.name, 1));
    cr_assert_not(setting_merge(&table, &more));
    struct setting known = setting_of("config/7", 2, 1, "y");
    cr_assert(setting_merge(&table, &known), "known ones still change");
    setting_table_done(&table);

    setting_table_init(&table);
    uint8_t *value = mem_zero(SETTING_VALUE_SIZE_MAX);
    for (uint32_t i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "config/%u", i);
        struct setting big = setting_of(name, 1, 1, "");
        big.value = slice_of(value, SETTING_VALUE_SIZE_MAX);
        setting_merge(&table, &big);
        cr_assert_leq(table.size, SETTINGS_SIZE_MAX);
    }
    cr_assert_eq(table.count, 15);
    mem_free(value);
    setting_table_done(&table);
}

Test(setting, bytes_round_trip_and_hostile_ones_are_refused)
{
    struct buf buf = {0};
    struct setting setting = setting_of("bucket/things", 300, 7, "value"), back;
    setting_encode(&setting, &buf);
    for (size_t size = 0; size < buf.size; size++) {
        struct reader reader = reader_of(slice_of(buf.data, size));
        setting_decode(&reader, &back);
        cr_assert(reader.bad);
    }
    struct reader reader = reader_of(buf_slice(&buf));
    setting_decode(&reader, &back);
    cr_assert(reader_finished(&reader));
    cr_assert(slice_equal(back.name, setting.name) && slice_equal(back.value, setting.value));
    cr_assert(back.counter == 300 && id_equal(back.writer, setting.writer));

    char name[SETTING_NAME_SIZE_MAX + 2];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    struct setting bad[] = {setting_of(name, 1, 1, ""), setting_of("", 1, 1, ""),
                            setting_of("x", 0, 1, ""), setting_of("x", 1, 1, "")};
    bad[3].writer = NODE_NONE;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        buf_clear(&buf);
        setting_encode(&bad[i], &buf);
        reader = reader_of(buf_slice(&buf));
        setting_decode(&reader, &back);
        cr_assert(reader.bad, "%zu", i);
    }
    buf_done(&buf);
}
