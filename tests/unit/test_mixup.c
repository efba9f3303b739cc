/* train: mixup's partners and targets. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "trainer.h"

enum { BATCH = 7, CLASSES = 3 };

/* Whoever holds a sample asks for the partner that a single rank would. */
static void partners_stand_in_the_mirror(void **state)
{
    (void)state;
    static const uint32_t batch[BATCH] = {70, 30, 10, 50, 20, 60, 40};
    static const size_t cuts[4] = {0, 2, 2, BATCH}; /* a rank without samples */
    mixup *m = NULL;
    check_ok(mixup_create(1, CLASSES, BATCH, &m));
    for (int rank = 0; rank < 3; rank++) {
        size_t first = cuts[rank], n = cuts[rank + 1] - first;
        const uint32_t *ids = mixup_ids(m, batch, BATCH, first, n);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(ids[i], batch[first + i]);
            assert_int_equal(ids[n + i], batch[BATCH - 1 - first - i]);
        }
    }
    mixup_destroy(m);
    check_ok(mixup_create(0, CLASSES, BATCH, &m));
    assert_null(m);
}

static cnnbn_batch batch_of(const void *const *images, const uint64_t *ids, cnnbn_targets targets, uint64_t epoch)
{
    return (cnnbn_batch){.n_global = 4, .n_local = 2, .images = images, .ids = ids, .targets = targets, .epoch = epoch};
}

static void targets_are_mixed_as_the_images(void **state)
{
    (void)state;
    const void *images[4] = {"a", "b", "c", "d"}; /* two samples, their partners */
    const uint64_t ids[4] = {11, 22, 33, 44};
    const int32_t labels[4] = {0, 2, 1, 2};
    const float own[4][CLASSES] = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}, {10, 11, 12}};
    const float *const rows[4] = {own[0], own[1], own[2], own[3]};
    float weights[2];
    mixup *m = NULL;
    check_ok(mixup_create(0.7, CLASSES, BATCH, &m));
    cnnbn_batch batch = batch_of(images, ids, (cnnbn_targets){.labels = labels}, 5);
    mixup_apply(m, 9, &batch);
    memcpy(weights, batch.weights, sizeof weights);
    assert_true(weights[0] > 0 && weights[0] < 1 && weights[1] > 0 && weights[1] < 1);
    assert_ptr_equal(batch.partners[1], images[3]);
    assert_int_equal(batch.partner_ids[0], 33);
    assert_null(batch.targets.labels);
    const float first[CLASSES] = {weights[0], 1 - weights[0], 0}, second[CLASSES] = {0, 0, 1}; /* both of class 2 */
    check_close_f32("classes 0 and 1", batch.targets.rows[0], first, CLASSES, 1e-7);
    check_close_f32("class 2 twice", batch.targets.rows[1], second, CLASSES, 1e-7);

    batch = batch_of(images, ids, (cnnbn_targets){.rows = rows}, 5);
    mixup_apply(m, 9, &batch); /* the weights are of the sample, the epoch and the seed */
    check_same_bits("weights", batch.weights, weights, sizeof weights);
    for (int i = 0; i < 2; i++)
        for (int c = 0; c < CLASSES; c++)
            check_near("rows", (double)batch.targets.rows[i][c],
                       (double)weights[i] * (double)own[i][c] + (1 - (double)weights[i]) * (double)own[2 + i][c], 1e-5);
    batch = batch_of(images + 1, ids + 1, (cnnbn_targets){.labels = labels + 1}, 5);
    batch.n_local = 1; /* the second sample alone, with another partner */
    mixup_apply(m, 9, &batch);
    check_same_bits("the same sample elsewhere", batch.weights, weights + 1, sizeof *weights);
    for (int k = 0; k < 2; k++) {
        batch = batch_of(images, ids, (cnnbn_targets){.labels = labels}, k ? 5 : 6);
        mixup_apply(m, k ? 10 : 9, &batch);
        assert_true(fabs((double)batch.weights[0] - (double)weights[0]) > 1e-6);
    }
    mixup_destroy(m);

    check_ok(mixup_create(0.7, 1, BATCH, &m)); /* numbers: a regression */
    batch = batch_of(images, ids, (cnnbn_targets){.labels = labels}, 5);
    mixup_apply(m, 9, &batch);
    check_near("numbers", (double)batch.targets.rows[0][0], 1 - (double)weights[0], 1e-7);
    mixup_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(partners_stand_in_the_mirror),
                                       cmocka_unit_test(targets_are_mixed_as_the_images)};
    return cmocka_run_group_tests_name("mixup", tests, NULL, NULL);
}
