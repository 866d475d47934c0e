/* The memtable against a sorted array, with hashes that crowd a few pages so that chains split. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "store/memtable.h"

enum { SLOTS = 6000, ROUNDS = 12 };

struct naive {
    struct buf path;
    uint32_t version; /* 0: not there. */
};

static struct naive naive[SLOTS];

static uint64_t hash_of(const struct naive *one)
{
    return load_u64_be(one->path.data);
}

static int by_path(const void *a, const void *b)
{
    return slice_compare(buf_slice(&((const struct naive *)a)->path),
                         buf_slice(&((const struct naive *)b)->path));
}

/* Distinct paths; some share their hash, most share their first bits. */
static void name_all(struct prng *prng, uint32_t common_bits)
{
    uint64_t common = prng_next(prng);
    uint64_t hash = 0;
    for (uint32_t i = 0; i < SLOTS; i++) {
        char key[16];
        if (i % 7 != 0) {
            uint64_t low = UINT64_MAX >> common_bits;
            hash = (common & ~low) | (prng_next(prng) & low);
        }
        int size = snprintf(key, sizeof(key), "%u", i);
        buf_clear(&naive[i].path);
        naive[i].version = 0;
        key_append(&naive[i].path, hash, slice_string(i % 3 == 0 ? "a" : "default"),
                   slice_of(key, (size_t)size));
    }
    qsort(naive, SLOTS, sizeof(naive[0]), by_path);
}

static void put(struct memtable *table, struct naive *one, uint32_t version)
{
    struct buf body = {0};
    struct slice path = buf_slice(&one->path);
    struct slice object = slice_of(&version, sizeof(version));
    write_u32(&body, (uint32_t)path.size);
    buf_append(&body, path);
    write_u64(&body, body_checksum(path, object));
    buf_append(&body, object);
    struct cell *cell = cell_new(buf_slice(&body));
    cr_assert_eq(cell->hash, hash_of(one));
    struct cell *old = memtable_put(table, cell);
    cr_assert_eq(old != NULL, one->version != 0);
    if (old)
        cell_free(old);
    one->version = version;
    buf_done(&body);
}

static void check_cell(const struct cell *cell, const struct naive *one)
{
    uint32_t version;
    cr_assert(slice_equal(cell_path(cell), buf_slice(&one->path)));
    memcpy(&version, cell_object(cell).data, sizeof(version));
    cr_assert_eq(version, one->version);
}

static void check(const struct memtable *table, struct prng *prng)
{
    uint64_t count = 0;
    uint64_t bytes = 0;
    struct cell *cell = memtable_seek(table, 0, SLICE_NONE);
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct slice path = buf_slice(&naive[i].path);
        struct cell *found = memtable_find(table, hash_of(&naive[i]), path);
        cr_assert_eq(found != NULL, naive[i].version != 0);
        if (!found)
            continue;
        cr_assert_eq(found, cell, "the walk is in order");
        check_cell(cell, &naive[i]);
        bytes += cell_memory(cell);
        count++;
        cell = memtable_next(table, cell);
    }
    cr_assert_eq(cell, NULL);
    cr_assert_eq(table->count, count);
    cr_assert_eq(table->bytes, bytes);
    for (int tries = 0; tries < 200; tries++) {
        uint32_t at = (uint32_t)prng_below(prng, SLOTS);
        cell = memtable_seek(table, hash_of(&naive[at]), buf_slice(&naive[at].path));
        while (at < SLOTS && naive[at].version == 0)
            at++;
        cr_assert_eq(cell == NULL, at == SLOTS);
        if (cell)
            check_cell(cell, &naive[at]);
    }
}

static void remove_some(struct memtable *table, struct prng *prng)
{
    uint64_t a = hash_of(&naive[prng_below(prng, SLOTS)]);
    uint64_t b = hash_of(&naive[prng_below(prng, SLOTS)]);
    uint64_t first = MIN(a, b);
    uint64_t last = first + (MAX(a, b) - first) / 4;
    memtable_remove(table, first, last);
    for (uint32_t i = 0; i < SLOTS; i++)
        if (hash_of(&naive[i]) >= first && hash_of(&naive[i]) <= last)
            naive[i].version = 0;
}

Test(store_memtable, behaves_as_a_sorted_array)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct prng prng;
        struct memtable *table = memtable_new((16ull << 10) << (3 * seed));
        prng_init(&prng, seed);
        name_all(&prng, (uint32_t)(seed - 1) * 9); /* From all pages to a part of one. */
        for (uint32_t round = 1; round <= ROUNDS; round++) {
            for (uint32_t i = 0; i < SLOTS / 3; i++)
                put(table, &naive[prng_below(&prng, SLOTS)], round * SLOTS + i);
            check(table, &prng);
            remove_some(table, &prng);
            check(table, &prng);
        }
        while (!memtable_reap(table, 100))
            continue;
        memtable_free(table);
    }
    for (uint32_t i = 0; i < SLOTS; i++)
        buf_done(&naive[i].path);
}
