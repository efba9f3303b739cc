/* data: the order of an epoch. */
#include <string.h>

#include "check.h"
#include "cnnbn/sampler.h"

static void every_sample_once(void **state)
{
    (void)state;
    enum { n = 1001 };
    static uint32_t order[n], again[n], other[n];
    cnnbn_sampler_order(order, n, 3, 5, 1);
    cnnbn_sampler_order(again, n, 3, 5, 1);
    check_same_bits("the same order", order, again, sizeof order);
    int seen[n] = {0}, moved = 0, differ = 0;
    cnnbn_sampler_order(other, n, 3, 6, 1);
    for (size_t i = 0; i < n; i++) {
        assert_true(order[i] < n);
        seen[order[i]]++;
        moved += order[i] != i;
        differ += order[i] != other[i];
    }
    for (size_t i = 0; i < n; i++) assert_int_equal(seen[i], 1);
    assert_true(moved > n - 20 && differ > n - 20);
    cnnbn_sampler_order(order, n, 3, 5, 0);
    for (size_t i = 0; i < n; i++) assert_int_equal(order[i], i);
}

/* Each position is equally likely to receive each sample: chi-square over 6 x 6 cells. */
static void shuffle_is_uniform(void **state)
{
    (void)state;
    double counts[6][6] = {{0}};
    enum { epochs = 6000 };
    for (uint64_t e = 0; e < epochs; e++) {
        uint32_t order[6];
        cnnbn_sampler_order(order, 6, 11, e, 1);
        for (int i = 0; i < 6; i++) counts[i][order[i]] += 1;
    }
    double chi = 0;
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 6; j++)
            chi += (counts[i][j] - epochs / 6.0) * (counts[i][j] - epochs / 6.0) / (epochs / 6.0);
    assert_true(chi < 52.6); /* 25 degrees of freedom, p = 0.001 */
}

static void batches_cover_the_epoch(void **state)
{
    (void)state;
    for (size_t n = 1; n < 40; n++)
        for (size_t b = 1; b < 12; b++) {
            size_t total = 0, first, count;
            for (size_t s = 0; s < cnnbn_sampler_steps(n, b, 0); s++) {
                cnnbn_sampler_batch(n, b, s, &first, &count);
                assert_int_equal(first, total);
                assert_true(count >= 1 && count <= b);
                total += count;
            }
            assert_int_equal(total, n);
            assert_int_equal(cnnbn_sampler_steps(n, b, 1), n / b);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_once),
        cmocka_unit_test(shuffle_is_uniform),
        cmocka_unit_test(batches_cover_the_epoch),
    };
    return cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
}
