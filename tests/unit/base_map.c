#include "base/map.h"
#include "base/prng.h"

#include <criterion/criterion.h>

Test(map, agrees_with_an_array_under_random_use)
{
    enum { KEYS = 512 };
    static char marks[KEYS + 1];
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        struct map map = {0};
        void *model[KEYS] = {0};
        size_t count = 0;
        for (int step = 0; step < 5000; step++) {
            uint64_t key = prng_below(&prng, KEYS);
            /* Clustered and scattered keys; half the seeds have many of neither. */
            uint64_t spread = key * (seed % 2 == 0 ? 1 : 0x9e3779b97f4a7c15u);
            if (prng_below(&prng, 100) < 50) {
                void *value = &marks[prng_below(&prng, KEYS) + 1];
                cr_assert_eq(map_put(&map, spread, value), model[key], "seed %lu", seed);
                count += model[key] == NULL;
                model[key] = value;
            } else {
                cr_assert_eq(map_remove(&map, spread), model[key], "seed %lu", seed);
                count -= model[key] != NULL;
                model[key] = NULL;
            }
            cr_assert_eq(map.count, count);
            uint64_t probe = prng_below(&prng, KEYS);
            cr_assert_eq(map_get(&map, probe * (seed % 2 == 0 ? 1 : 0x9e3779b97f4a7c15u)),
                         model[probe], "seed %lu", seed);
        }
        size_t cursor = 0, walked = 0;
        uint64_t key;
        for (void *value; (value = map_next(&map, &cursor, &key)) != NULL; walked++)
            cr_assert_eq(map_get(&map, key), value);
        cr_assert_eq(walked, count);
        map_done(&map);
    }
}

Test(map, empty_map_answers)
{
    struct map map = {0};
    size_t cursor = 0;
    cr_assert_null(map_get(&map, 0));
    cr_assert_null(map_remove(&map, 0));
    cr_assert_null(map_next(&map, &cursor, NULL));
    map_done(&map);
}
