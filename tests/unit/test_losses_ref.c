/* kernels: the losses and metrics of the naive table beside what is worked out by hand. */
#include <math.h>

#include "case_tools.h"
#include "kernel_cases.h"

static const cnnbn_run *one_slice(case_run *r, int n)
{
    case_run_fill(r, (size_t)n, 1, 0, 1);
    return &r->run;
}

/* One slice of two samples of two outputs. */
typedef void (*loss_kernel)(const cnnbn_loss *args);

static double of_two(loss_kernel kernel, const float *x, const cnnbn_targets *target, float smoothing, float *dx)
{
    case_run r;
    double sums[2];
    const cnnbn_loss args = {.run = one_slice(&r, 2),
                             .C = 2,
                             .x = x,
                             .target = *target,
                             .label_smoothing = smoothing,
                             .delta = 0.5f,
                             .grad_scale = 2,
                             .dx = dx,
                             .sums = sums,
                             .sums_stride = 2};
    kernel(&args);
    return sums[0];
}

static void losses_by_hand(void **state)
{
    (void)state;
    const cnnbn_kernels *k = kernel_cases_ref();
    const float x[4] = {0, 2, -1, 0.5f}, p[4] = {0.25f, 0, 1, 0.5f}, a[2] = {1, 0}, b[2] = {-0.75f, 0.5f};
    const float *const rows[2] = {a, b}, *const ones[2] = {a, a};
    const int32_t labels[2] = {0, 0};
    const cnnbn_targets target = {.rows = rows}, one_hot = {.rows = ones}, numbers = {.labels = labels};
    float dx[4];
    /* d = x - t: -1 2 -1/4 0; terms over 2 outputs, gradients times 2. */
    check_near("squares", of_two(k->squared_error, x, &target, 0, dx), (1 + 4 + 0.0625) / 2, 1e-15);
    const double squares[4] = {-2, 4, -0.5, 0};
    check_close("squares' gradient", dx, squares, 4, 0);
    check_near("distances", of_two(k->absolute_error, x, &target, 0, dx), (1 + 2 + 0.25) / 2, 1e-15);
    const double signs[4] = {-1, 1, -1, 0};
    check_close("distances' gradient", dx, signs, 4, 0);
    check_near("Huber", of_two(k->huber, x, &target, 0, dx), (0.375 + 0.875 + 0.03125) / 2, 1e-15);
    const double huber[4] = {-0.5, 0.5, -0.25, 0};
    check_close("Huber's gradient", dx, huber, 4, 0);
    /* Logits and a one-hot row; class numbers are the same row. */
    double expected = (log(2) + log1p(exp(2)) + log1p(exp(1)) + log1p(exp(0.5))) / 2;
    check_near("sigmoid", of_two(k->sigmoid_xent, x, &one_hot, 0, dx), expected, 1e-14);
    const double slopes[4] = {-0.5, 1 / (1 + exp(-2)), 1 / (1 + exp(1)) - 1, 1 / (1 + exp(-0.5))};
    check_close("sigmoid's gradient", dx, slopes, 4, 1e-7);
    check_near("class numbers", of_two(k->sigmoid_xent, x, &numbers, 0, NULL), expected, 1e-14);
    check_near("sigmoid, far out", of_two(k->sigmoid_xent, (const float[4]){-800, 800, 800, -800}, &one_hot, 0, dx),
               800, 1e-14);
    /* Smoothed by 1/2 the targets are 3/4 and 1/4: a quarter of each logit more or less. */
    double smoothed = expected + ((0 - 2) + (-1 - 0.5)) * 0.25 / 2;
    check_near("sigmoid, smoothed", of_two(k->sigmoid_xent, x, &one_hot, 0.5f, NULL), smoothed, 1e-14);
    /* Probabilities 1/4 of a 1; 0 of a 0 and 1 of a 1, cut; 1/2 of a 0. */
    double low = (double)1e-7f, high = (double)(1 - 1e-7f);
    expected = -(log(0.25) + log(1 - low) + log(high) + log(0.5)) / 2;
    check_near("probabilities", of_two(k->binary_xent, p, &one_hot, 0, dx), expected, 1e-14);
    const double of_p[4] = {-4, 0, 0, 2};
    check_close("probabilities' gradient", dx, of_p, 4, 1e-7);
    /* Rows (1, 0) and (1/4, 1/2): sum(t) log-sum - sum t x. */
    const float c[2] = {0.25f, 0.5f};
    const float *const mixed[2] = {a, c};
    expected = log(1 + exp(2)) + 0.75 * log(exp(-1) + exp(0.5)) - (-0.25 + 0.25);
    check_near("softmax of rows", of_two(k->softmax_xent, x, &(cnnbn_targets){.rows = mixed}, 0, dx), expected, 1e-14);
    double q = exp(-1) / (exp(-1) + exp(0.5)), first = 1 / (1 + exp(2));
    const double of_rows[4] = {2 * (first - 1), 2 * (1 - first), 2 * (0.75 * q - 0.25), 2 * (0.75 * (1 - q) - 0.5)};
    check_close("softmax's gradient", dx, of_rows, 4, 1e-7);
}

static void metrics_by_hand(void **state)
{
    (void)state;
    const cnnbn_kernels *k = kernel_cases_ref();
    case_run r;
    double sums[2 * CNNBN_AUC_BINS], expected[2 * CNNBN_AUC_BINS] = {0};
    /* The label's output is: greatest; second; equal to the first; NaN. */
    const float x[16] = {1, 5, 2, 3, 4, 1, 3, 0, 2, 2, 1, 0, 9, 1, NAN, 0};
    const int32_t labels[4] = {1, 2, 1, 2};
    cnnbn_loss args = {
        .run = one_slice(&r, 4), .C = 4, .x = x, .target = {.labels = labels}, .sums = sums, .sums_stride = 1};
    k->class_hits(&args, 0);
    check_near("first greatest", sums[0], 1, 0);
    k->class_hits(&args, 1);
    check_near("none above", sums[0], 2, 0);
    k->class_hits(&args, 2);
    check_near("at most one above", sums[0], 3, 0);
    k->class_hits(&args, 4);
    check_near("a NaN is in no top", sums[0], 3, 0);
    /* Sides of 1/2, of a soft target too; of logits 0. */
    const float p[4] = {0.5f, 0.75f, 0.25f, 0.75f}, t[4] = {0, 1, 1, 0.75f};
    const float *const rows[2] = {t, t + 2};
    args =
        (cnnbn_loss){.run = one_slice(&r, 2), .C = 2, .x = p, .target = {.rows = rows}, .sums = sums, .sums_stride = 1};
    k->binary_hits(&args, 0.5f);
    check_near("sides", sums[0], 2, 0);
    k->binary_hits(&args, 0);
    check_near("sides of 0", sums[0], 2, 0);
    /* Bins (b/199, (b + 1)/199]. */
    const float q[4] = {0, 1, 1.0f / 199, 0.5f}, u[4] = {0, 1, 0, 0.25f};
    const float *const of_q[2] = {u, u + 2};
    args.x = q;
    args.target.rows = of_q;
    k->auc_counts(&args, 0);
    expected[CNNBN_AUC_BINS + 0] = 2;
    expected[198] = expected[99] = 1;
    check_same_bits("bins", sums, expected, sizeof sums);
    const float logits[4] = {-200, 200, -200, 0};
    args.x = logits;
    k->auc_counts(&args, 1);
    check_same_bits("bins of logits", sums, expected, sizeof sums);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(losses_by_hand), cmocka_unit_test(metrics_by_hand)};
    return cmocka_run_group_tests_name("losses_ref", tests, NULL, NULL);
}
