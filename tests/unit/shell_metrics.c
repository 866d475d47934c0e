/* Histograms: nothing is lost, quantiles are near. */
#include "shell/metrics.h"

#include <criterion/criterion.h>

Test(histogram, quantiles_are_within_an_eighth)
{
    static struct histogram histogram;
    cr_assert_eq(histogram_quantile(&histogram, 0.5), 0);
    for (uint64_t us = 1; us <= 100000; us++)
        histogram_add(&histogram, us);
    cr_assert_eq(histogram.count, 100000);
    cr_assert_eq(histogram.sum_us, UINT64_C(100000) * 100001 / 2);
    for (double q = 0.01; q < 1; q += 0.01) {
        double exact = q * 100000, found = (double)histogram_quantile(&histogram, q);
        cr_assert(found >= exact && found <= exact * 1.126, "%f: %f", q, found);
    }
    cr_assert_eq(histogram_quantile(&histogram, 1), 100000);
}

Test(histogram, counts_below_powers_of_two_are_exact)
{
    static struct histogram histogram;
    for (uint64_t us = 0; us < 5000; us++)
        histogram_add(&histogram, us);
    for (uint32_t power = 4; power <= 12; power++)
        cr_assert_eq(histogram_below(&histogram, power), UINT64_C(1) << power);
    cr_assert_eq(histogram_below(&histogram, 13), 5000);
}

Test(histogram, the_longest_times_find_a_place)
{
    static struct histogram histogram;
    histogram_add(&histogram, UINT64_MAX / 2);
    histogram_add(&histogram, UINT64_C(1) << 32);
    histogram_add(&histogram, (UINT64_C(1) << 32) - 1);
    cr_assert_eq(histogram.count, 3);
    cr_assert_eq(histogram.max_us, UINT64_MAX / 2);
    cr_assert_geq(histogram_quantile(&histogram, 0), UINT32_MAX);
}

Test(metrics, a_second_closes_with_its_figures)
{
    static struct metrics metrics;
    metrics_init(&metrics, 1000000);
    for (int i = 0; i < 2000; i++)
        metrics_request(&metrics, METHOD_GET, i < 1900 ? 100 : 9000);
    metrics_turn(&metrics, 700);
    metrics_turn(&metrics, 300);
    metrics_late(&metrics, 1200);
    cr_assert_eq(metrics.late.count, 1u);
    cr_assert_eq(metrics.late.max_us, 1200u);
    metrics_second(&metrics, 2000000);
    cr_assert_eq(metrics.ops_per_s, 2000);
    cr_assert(metrics.p50_us >= 100 && metrics.p50_us <= 113);
    cr_assert(metrics.p99_us >= 9000 && metrics.p99_us <= 10130);
    cr_assert_eq(metrics.loop_stall_us_max, 700);
    cr_assert_gt(metrics.rss_bytes, 0);
    metrics_second(&metrics, 3000000);
    cr_assert_eq(metrics.ops_per_s, 0);
    cr_assert_eq(metrics.loop_stall_us_max, 0);
    cr_assert_eq(metrics.requests[METHOD_GET].count, 2000);
}
