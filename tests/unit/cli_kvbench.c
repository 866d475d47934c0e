/* What kvbench's figures and verdicts rest on: the histogram, and the ledger of checked values. */
#include "kvbench/histogram.c"
#include "kvbench/ledger.c"

#include "base/prng.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

static int by_value(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *)a;
    uint64_t two = *(const uint64_t *)b;
    return (one > two) - (one < two);
}

Test(kvbench, percentiles_are_within_a_step_of_the_sorted_values)
{
    enum { COUNT = 20000 };
    static uint64_t values[COUNT];
    static struct histogram histogram;
    struct prng prng;
    prng_init(&prng, 7);
    for (int i = 0; i < COUNT; i++) {
        values[i] = prng_next(&prng) >> (24 + prng_below(&prng, 39)); /* 1 ns to 18 minutes. */
        histogram_add(&histogram, values[i]);
    }
    qsort(values, COUNT, sizeof(values[0]), by_value);
    static const double shares[] = {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};
    for (size_t i = 0; i < ARRAY_SIZE(shares); i++) {
        size_t at = (size_t)(shares[i] * COUNT + 0.5);
        double exact = (double)values[MAX(at, (size_t)1) - 1];
        double got = (double)histogram_at(&histogram, shares[i]);
        cr_assert(got >= exact && got <= exact * 1.016 + 1, "share %f: %f for %f", shares[i], got,
                  exact);
    }
    cr_assert_eq(histogram_at(&histogram, 1), values[COUNT - 1]);
}

Test(kvbench, merged_histograms_are_as_if_one_had_counted_all)
{
    static struct histogram one, two, all;
    for (uint64_t i = 1; i < 3000; i++) {
        histogram_add(i % 3 == 0 ? &one : &two, i * i);
        histogram_add(&all, i * i);
    }
    histogram_merge(&one, &two);
    cr_assert_arr_eq(one.counts, all.counts, sizeof(all.counts));
    cr_assert_eq(one.count, all.count);
    cr_assert_eq(one.max_ns, all.max_ns);
    static struct histogram empty;
    cr_assert_eq(histogram_at(&empty, 0.5), 0);
}

static struct ledger ledger;
static struct buf value;

static void open_ledger(void)
{
    ledger_init(&ledger, 0xabcdef, 10);
}

static void close_ledger(void)
{
    ledger_done(&ledger);
    buf_done(&value);
}

TestSuite(ledger, .init = open_ledger, .fini = close_ledger);

static struct slice value_of(uint64_t key, uint32_t sequence, size_t size)
{
    buf_clear(&value);
    ledger_value(&ledger, key, sequence, size, &value);
    cr_assert_eq(value.size, size);
    return buf_slice(&value);
}

/* Write KEY and have it acknowledged. */
static uint32_t put(uint64_t key)
{
    uint32_t sequence = ledger_begin(&ledger, key);
    cr_assert_neq(sequence, 0);
    ledger_acked(&ledger, key, sequence);
    return sequence;
}

static enum ledger_verdict judge(uint64_t key, uint32_t sequence, size_t size)
{
    return ledger_judge(&ledger, key, ledger_floor(&ledger, key), true,
                        value_of(key, sequence, size));
}

Test(ledger, the_acknowledged_value_and_those_under_way_are_right)
{
    cr_assert_eq(ledger_judge(&ledger, 3, 0, false, SLICE_NONE), LEDGER_RIGHT);
    put(3);
    cr_assert_eq(judge(3, 1, LEDGER_VALUE_MIN), LEDGER_RIGHT);
    cr_assert_eq(ledger_begin(&ledger, 3), 2);
    cr_assert_eq(ledger_begin(&ledger, 3), 0, "one put of a key at a time");
    cr_assert_eq(judge(3, 1, 100), LEDGER_RIGHT);
    cr_assert_eq(judge(3, 2, 1000), LEDGER_RIGHT);
}

Test(ledger, an_older_value_or_none_is_stale)
{
    put(3);
    put(3);
    cr_assert_eq(judge(3, 1, 100), LEDGER_STALE);
    cr_assert_eq(ledger_judge(&ledger, 3, 2, false, SLICE_NONE), LEDGER_STALE);
    cr_assert_eq(ledger_judge(&ledger, 3, 1, true, value_of(3, 1, 100)), LEDGER_RIGHT,
                 "the read began before the second put was acknowledged");
}

Test(ledger, what_was_never_written_is_wrong)
{
    put(3);
    put(4);
    cr_assert_eq(judge(3, 2, 100), LEDGER_WRONG, "not sent yet");
    cr_assert_eq(ledger_judge(&ledger, 4, 1, true, value_of(3, 1, 100)), LEDGER_WRONG);
    cr_assert_eq(ledger_judge(&ledger, 3, 1, true, slice_string("hello")), LEDGER_WRONG);
    cr_assert_eq(ledger_judge(&ledger, 3, 1, true, SLICE_NONE), LEDGER_WRONG, "an empty value");
    for (size_t i = 0; i < 100; i++) {
        struct slice bytes = value_of(3, 1, 100);
        ((uint8_t *)(uintptr_t)bytes.data)[i] ^= 0x10;
        cr_assert_neq(ledger_judge(&ledger, 3, 1, true, bytes), LEDGER_RIGHT, "byte %zu", i);
    }
    struct slice whole = value_of(3, 1, 100);
    cr_assert_eq(ledger_judge(&ledger, 3, 1, true, slice_of(whole.data, 99)), LEDGER_WRONG);
}

Test(ledger, a_put_of_unknown_outcome_may_show_up_later)
{
    uint32_t lost = ledger_begin(&ledger, 3);
    ledger_unknown(&ledger, 3, lost);
    put(3);
    cr_assert_eq(judge(3, lost, 100), LEDGER_RIGHT);
    put(4);
    put(4);
    cr_assert_eq(judge(4, 1, 100), LEDGER_STALE);
}

Test(ledger, each_put_of_unknown_outcome_may_show_up_later)
{
    bool known[200] = {false};
    for (uint32_t i = 1; i < 200; i++) {
        known[i] = i % 3 != 0;
        uint32_t sequence = ledger_begin(&ledger, 3);
        if (known[i])
            ledger_acked(&ledger, 3, sequence);
        else
            ledger_unknown(&ledger, 3, sequence);
    }
    for (uint32_t i = 150; i < 199; i++)
        cr_assert_eq(judge(3, i, 100), known[i] ? LEDGER_STALE : LEDGER_RIGHT, "put %u", i);
}

Test(ledger, another_run_s_value_is_right_only_until_we_wrote)
{
    struct ledger other;
    struct buf foreign = {0};
    ledger_init(&other, 0x1234, 10);
    ledger_value(&other, 3, 1, 100, &foreign);
    cr_assert_eq(ledger_judge(&ledger, 3, 0, true, buf_slice(&foreign)), LEDGER_RIGHT);
    put(3);
    cr_assert_eq(ledger_judge(&ledger, 3, 1, true, buf_slice(&foreign)), LEDGER_STALE);
    buf_done(&foreign);
    ledger_done(&other);
}

Test(ledger, it_survives_a_file)
{
    char path[] = "/tmp/kvbench-ledger-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    close(fd);
    put(3);
    put(3);
    ledger_unknown(&ledger, 4, ledger_begin(&ledger, 4));
    ledger_unknown(&ledger, 4, ledger_begin(&ledger, 4));
    cr_assert_eq(ledger_save(&ledger, path), 0);
    struct ledger read;
    cr_assert_eq(ledger_load(&read, path), 0);
    cr_assert_eq(read.run, ledger.run);
    cr_assert_eq(read.keys_count, 10);
    cr_assert_eq(read.keys[3].acked, 2);
    cr_assert_eq(read.keys[4].unknown, 2);
    cr_assert_eq(read.keys[4].older, 1);
    ledger_done(&read);
    cr_assert_eq(truncate(path, 40), 0);
    cr_assert_eq(ledger_load(&read, path), ERR_CORRUPT);
    unlink(path);
    cr_assert_eq(ledger_load(&read, path), ERR_IO);
}
