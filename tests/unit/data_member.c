/* The member table: whatever order records come in, the outcome is the same. */
#include "base/prng.h"
#include "data/member.h"
#include <criterion/criterion.h>
#include <stdio.h>

static struct node_id node(uint64_t n)
{
    return (struct node_id){n * 0x9e3779b97f4a7c15u, n};
}

static struct member member_of(uint64_t n, uint64_t generation, uint64_t version)
{
    return (struct member){.id = node(n),
                           .generation = generation,
                           .version = version,
                           .capacity = 100,
                           .protocol = 1,
                           .name = slice_string("alpha"),
                           .zone = slice_string("z1"),
                           .peer = slice_string("10.0.0.1:7400"),
                           .client = slice_string("10.0.0.1:7379"),
                           .http = slice_string("10.0.0.1:7380")};
}

static void assert_same(const struct member_table *a, const struct member_table *b)
{
    struct buf x = {0}, y = {0};
    const struct member_table *tables[2] = {a, b};
    struct buf *bufs[2] = {&x, &y};
    for (int t = 0; t < 2; t++) {
        for (uint32_t i = 0; i < tables[t]->count; i++)
            member_encode(tables[t]->members[i], bufs[t]);
        for (uint32_t i = 0; i < tables[t]->departures_count; i++)
            departure_encode(&tables[t]->departures[i], bufs[t]);
    }
    cr_assert(slice_equal(buf_slice(&x), buf_slice(&y)));
    cr_assert_arr_eq(a->hashes, b->hashes, sizeof(a->hashes));
    buf_done(&x);
    buf_done(&y);
}

Test(member, newer_generation_then_version_wins)
{
    struct member_table table;
    member_table_init(&table);
    struct member member = member_of(1, 3, 5);
    cr_assert(member_merge(&table, &member));
    cr_assert_not(member_merge(&table, &member), "twice is no news");
    member.version = 4;
    cr_assert_not(member_merge(&table, &member));
    member.generation = 2;
    member.version = 9;
    cr_assert_not(member_merge(&table, &member));
    member.generation = 4;
    member.version = 1;
    member.peer = slice_string("10.0.0.9:7400");
    cr_assert(member_merge(&table, &member));
    cr_assert(slice_equal(member_find(&table, node(1))->peer, slice_string("10.0.0.9:7400")));
    cr_assert_eq(table.count, 1);
    member_table_done(&table);
}

Test(member, a_departure_beats_any_record_for_ever)
{
    struct member_table table;
    member_table_init(&table);
    struct member member = member_of(1, 3, 5);
    member_merge(&table, &member);
    struct departure departure = {node(1), DEPARTURE_REMOVED, node(2), 77};
    uint64_t changes = table.changes;
    cr_assert(departure_merge(&table, &departure));
    cr_assert_gt(table.changes, changes);
    cr_assert_null(member_find(&table, node(1)));
    cr_assert(member_departed(&table, node(1)));
    member.generation = 1000;
    cr_assert_not(member_merge(&table, &member));
    cr_assert_not(departure_merge(&table, &departure));
    member_table_done(&table);
}

Test(member, found_by_name_or_first_digits)
{
    struct member_table table;
    member_table_init(&table);
    struct member a = member_of(1, 1, 1), b = member_of(2, 1, 1), c = member_of(3, 1, 1);
    a.id = (struct node_id){0xabc0000000000000u, 1};
    b.id = (struct node_id){0xabd0000000000000u, 1};
    b.name = slice_string("beta");
    member_merge(&table, &a);
    member_merge(&table, &b);
    cr_assert(id_equal(member_find_named(&table, slice_string("beta"))->id, b.id));
    cr_assert(id_equal(member_find_named(&table, slice_string("abc"))->id, a.id));
    cr_assert_null(member_find_named(&table, slice_string("ab")), "both");
    cr_assert_null(member_find_named(&table, slice_string("gamma")));
    cr_assert_null(member_find_named(&table, slice_string("")));
    member_merge(&table, &c);
    cr_assert_null(member_find_named(&table, slice_string("alpha")), "two of that name");
    member_table_done(&table);
}

Test(member, any_order_gives_one_table)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        enum { RECORDS = 300 };
        struct prng prng;
        prng_init(&prng, seed);
        struct member members[RECORDS];
        struct departure departures[RECORDS];
        bool departs[RECORDS];
        uint32_t order[RECORDS];
        static const char *const names[] = {"a", "bb", "ccc", "dddddddd"};
        for (uint32_t i = 0; i < RECORDS; i++) {
            uint64_t generation = 1 + prng_below(&prng, 3), version = 1 + prng_below(&prng, 3);
            members[i] = member_of(1 + prng_below(&prng, 60), generation, version);
            /* One writer: the content follows from the version. */
            members[i].name = slice_string(names[(generation + version) % 4]);
            departs[i] = prng_below(&prng, 12) == 0;
            departures[i] =
                (struct departure){members[i].id, 1 + prng_below(&prng, 2),
                                   node(1 + prng_below(&prng, 3)), prng_below(&prng, 3)};
            order[i] = i;
        }
        struct member_table first;
        for (uint32_t round = 0; round < 5; round++) {
            struct member_table table;
            member_table_init(&table);
            for (uint32_t i = 0; i < RECORDS; i++) {
                uint32_t j = order[i];
                if (departs[j])
                    departure_merge(&table, &departures[j]);
                else
                    member_merge(&table, &members[j]);
            }
            for (uint32_t i = 1; i < table.count; i++)
                cr_assert_lt(id_compare(table.members[i - 1]->id, table.members[i]->id), 0);
            if (round == 0) {
                first = table;
            } else {
                assert_same(&first, &table);
                member_table_done(&table);
            }
            for (uint32_t i = RECORDS - 1; i > 0; i--) {
                uint32_t j = (uint32_t)prng_below(&prng, i + 1), swap = order[i];
                order[i] = order[j];
                order[j] = swap;
            }
        }
        cr_assert_gt(first.count, 5, "seed %lu", seed);
        cr_assert_gt(first.departures_count, 5, "seed %lu", seed);
        member_table_done(&first);
    }
}

Test(member, different_tables_have_different_hashes)
{
    struct member_table a, b;
    member_table_init(&a);
    member_table_init(&b);
    struct member member = member_of(1, 3, 5);
    member_merge(&a, &member);
    member.version++;
    member_merge(&b, &member);
    uint32_t bucket = member_bucket(member.id);
    cr_assert_neq(a.hashes[bucket], b.hashes[bucket]);
    struct departure departure = {member.id, DEPARTURE_LEFT, node(2), 7};
    departure_merge(&a, &departure);
    cr_assert_neq(a.hashes[bucket], 0, "a departure is not the same as nothing");
    departure_merge(&b, &departure);
    cr_assert_eq(a.hashes[bucket], b.hashes[bucket]);
    member_table_done(&a);
    member_table_done(&b);
}

Test(member, bytes_round_trip_and_hostile_ones_are_refused)
{
    struct buf buf = {0};
    struct member member = member_of(9, 1u << 20, 300), back;
    member.status = MEMBER_LEAVING;
    member_encode(&member, &buf);
    for (size_t size = 0; size < buf.size; size++) {
        struct reader reader = reader_of(slice_of(buf.data, size));
        member_decode(&reader, &back);
        cr_assert(reader.bad);
    }
    struct reader reader = reader_of(buf_slice(&buf));
    member_decode(&reader, &back);
    cr_assert(reader_finished(&reader));
    cr_assert(id_equal(back.id, member.id) && back.version == 300 && back.capacity == 100);
    cr_assert(slice_equal(back.http, member.http) && back.status == MEMBER_LEAVING);

    char address[ADDRESS_SIZE_MAX + 2];
    memset(address, 'x', sizeof(address));
    for (int bad = 0; bad < 4; bad++) {
        struct member broken = member;
        if (bad == 0)
            broken.peer = slice_of(address, ADDRESS_SIZE_MAX + 1);
        if (bad == 1)
            broken.id = NODE_NONE;
        if (bad == 2)
            broken.status = (enum member_status)9;
        if (bad == 3)
            broken.version = 0;
        buf_clear(&buf);
        member_encode(&broken, &buf);
        reader = reader_of(buf_slice(&buf));
        member_decode(&reader, &back);
        cr_assert(reader.bad, "%d", bad);
    }

    struct departure departure = {node(3), DEPARTURE_REMOVED, node(4), 99}, departure_back;
    buf_clear(&buf);
    departure_encode(&departure, &buf);
    reader = reader_of(buf_slice(&buf));
    departure_decode(&reader, &departure_back);
    cr_assert(reader_finished(&reader));
    cr_assert(id_equal(departure_back.by, node(4)) && departure_back.nonce == 99);
    buf.data[16] = 3;
    reader = reader_of(buf_slice(&buf));
    departure_decode(&reader, &departure_back);
    cr_assert(reader.bad, "unknown kind");

    struct prng prng;
    prng_init(&prng, 5);
    for (uint32_t i = 0; i < 100000; i++) {
        uint8_t bytes[200];
        for (size_t j = 0; j < sizeof(bytes); j++)
            bytes[j] = (uint8_t)prng_below(&prng, 5);
        reader = reader_of(slice_of(bytes, prng_below(&prng, sizeof(bytes))));
        member_decode(&reader, &back);
        if (!reader.bad)
            cr_assert(back.name.size <= NAME_SIZE_MAX && !id_none(back.id));
    }
    buf_done(&buf);
}

Test(member, a_copy_goes_its_own_way)
{
    struct member_table table, copy = {0};
    member_table_init(&table);
    for (uint64_t n = 1; n <= 20; n++) {
        struct member member = member_of(n, 1, 1);
        member_merge(&table, &member);
    }
    struct departure departure = {.id = node(30), .kind = DEPARTURE_LEFT, .by = node(1)};
    departure_merge(&table, &departure);
    member_table_copy(&copy, &table);
    assert_same(&table, &copy);

    struct member newer = member_of(3, 1, 2);
    cr_assert(member_merge(&copy, &newer));
    departure.id = node(4);
    cr_assert(departure_merge(&table, &departure));
    cr_assert_eq(member_find(&table, node(3))->version, 1);
    cr_assert_eq(member_find(&copy, node(3))->version, 2);
    cr_assert_null(member_find(&table, node(4)));
    cr_assert_eq(member_find(&copy, node(4))->version, 1);
    member_table_done(&table);
    cr_assert(slice_equal(member_find(&copy, node(20))->zone, slice_string("z1")));
    member_table_done(&copy);
}
