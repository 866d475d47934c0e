/* What kvbench's figures and verdicts rest on: the histogram, the sizes that are drawn, the ledger
 * of checked values, and what it takes for an answer of another server. */
#include "kvbench/dialect_etcd.c"
#include "kvbench/dialect_memcache.c"
#include "kvbench/dialect_resp.c"
#include "kvbench/histogram.c"
#include "kvbench/lane.c"
#include "kvbench/ledger.c"
#include "kvbench/sizes.c"

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

Test(kvbench, a_second_of_a_histogram_is_what_was_added_in_it)
{
    static struct histogram before, now, second, news;
    for (uint64_t i = 1; i < 1000; i++)
        histogram_add(&before, i * 1000000);
    now = before;
    for (uint64_t i = 1; i < 500; i++) {
        histogram_add(&now, i * 777);
        histogram_add(&second, i * 777);
    }
    histogram_since(&now, &before, &news);
    cr_assert_arr_eq(news.counts, second.counts, sizeof(second.counts));
    cr_assert_eq(news.count, second.count);
    cr_assert_eq(histogram_at(&news, 0.5), histogram_at(&second, 0.5));
    double longest = (double)second.max_ns;
    cr_assert((double)news.max_ns >= longest && (double)news.max_ns <= longest * 1.016);
    histogram_since(&now, &now, &news);
    cr_assert_eq(news.count, 0);
    cr_assert_eq(news.max_ns, 0);
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

Test(kvbench, sizes_are_drawn_by_their_weights)
{
    struct sizes sizes;
    struct prng prng;
    uint32_t small = 0;
    prng_init(&prng, 3);
    cr_assert_eq(sizes_parse("64*90,1000-2000*9,1048576", 1 << 20, &sizes), 0);
    cr_assert_eq(sizes_min(&sizes), 64);
    cr_assert_eq(sizes_max(&sizes), 1 << 20);
    for (int i = 0; i < 10000; i++) {
        size_t size = sizes_draw(&sizes, &prng);
        cr_assert(size == 64 || size == 1 << 20 || (size >= 1000 && size <= 2000), "%zu", size);
        small += size == 64;
    }
    cr_assert(small > 8800 && small < 9200, "%u of 10000 are small", small);
    static const char *const bad[] = {
        "",     "x",  "-1", "5-",      "10-5",      "5*",  "5*0",
        "1,,2", "1,", "5x", "1048577", "1-1048577", "1;2", "1,2,3,4,5,6,7,8,9"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        cr_assert_eq(sizes_parse(bad[i], 1 << 20, &sizes), ERR_BAD_REQUEST, "%s", bad[i]);
}

/* A lane with a get and a put under way, in this order. */
static struct op *lane_with_two(struct lane *lane, const struct dialect *dialect,
                                struct manner *manner)
{
    lane_init(lane, 4);
    manner->dialect = dialect;
    manner->bucket = slice_string("default");
    struct op *get = lane_take(lane);
    dialect->get(lane, get, manner, slice_string("k"));
    struct op *put = lane_take(lane);
    put->kind = OP_PUT;
    put->writing = true;
    dialect->put(lane, put, manner, slice_string("k"), slice_string("v"), SLICE_NONE);
    return get;
}

/* Hand the answers to LANE in every cut in two: always the same comes out. */
static void in_any_cut(const struct dialect *dialect, struct manner manner, struct slice bytes,
                       const int errors[2], const char *value)
{
    for (size_t cut = 0; cut <= bytes.size; cut++) {
        struct lane lane;
        struct reply reply;
        int found = 0;
        const struct op *get = lane_with_two(&lane, dialect, &manner);
        for (int half = 0; half < 2; half++) {
            size_t at = 0;
            int got = 0;
            buf_append(&lane.in, half == 0 ? slice_of(bytes.data, cut)
                                           : slice_of(bytes.data + cut, bytes.size - cut));
            while ((got = dialect->next(&lane, &at, &reply)) == 1) {
                if (reply.op == NULL)
                    continue;
                cr_assert_eq(reply.op == get, found == 0, "%s, cut %zu", dialect->name, cut);
                cr_assert_eq(reply.error, errors[found++], "%s, cut %zu", dialect->name, cut);
                if (reply.op == get && value != NULL)
                    cr_assert(slice_equal(reply.value, slice_string(value)));
                lane_give(&lane, reply.op);
            }
            cr_assert_eq(got, 0, "%s, cut %zu", dialect->name, cut);
            lane_consume(&lane, at);
        }
        cr_assert_eq(found, 2, "%s, cut %zu", dialect->name, cut);
        lane_done(&lane);
    }
}

Test(dialects, answers_are_taken_in_whatever_pieces_they_come)
{
    static const int good[2] = {0, 0};
    static const int missing[2] = {ERR_NOT_FOUND, 0};
    static const int late[2] = {0, ERR_TIMEOUT};
    static const int busy[2] = {0, ERR_BUSY};
    struct manner plain = {0};
    struct manner wait = {.wait = 2, .deadline_ms = 100};
    in_any_cut(&dialect_resp, plain, slice_string("$5\r\nab\r\nc\r\n+OK\r\n"), good, "ab\r\nc");
    in_any_cut(&dialect_resp, plain, slice_string("$-1\r\n+OK\r\n"), missing, NULL);
    in_any_cut(&dialect_resp, plain, slice_string("$0\r\n\r\n-BUSY later\r\n"), busy, "");
    in_any_cut(&dialect_resp, wait, slice_string("$1\r\nx\r\n+OK\r\n:2\r\n"), good, "x");
    in_any_cut(&dialect_resp, wait, slice_string("$1\r\nx\r\n+OK\r\n:1\r\n"), late, "x");
    in_any_cut(&dialect_resp, wait, slice_string("$1\r\nx\r\n-BUSY no\r\n:2\r\n"), busy, "x");
    in_any_cut(&dialect_memcache, plain, slice_string("VALUE k 0 4\r\nEND\n\r\nEND\r\nSTORED\r\n"),
               good, "END\n");
    in_any_cut(&dialect_memcache, plain, slice_string("END\r\nSTORED\r\n"), missing, NULL);
    /* SETTINGS; the value in a message, headers that end stream 1; a stream 3 without a message. */
    static const uint8_t frames[] = "\0\0\0\4\0\0\0\0\0"
                                    "\0\0\14\0\0\0\0\0\1\0\0\0\0\7\22\5\12\1k*\0"
                                    "\0\0\1\1\5\0\0\0\1\x88"
                                    "\0\0\1\1\5\0\0\0\3\x88";
    static const int failed[2] = {0, ERR_UNAVAILABLE};
    in_any_cut(&dialect_etcd, plain, slice_of(frames, sizeof(frames) - 1), failed, "");
}
