#include <math.h>
#include <stdio.h>

#include "case_tools.h"
#include "kernel_cases.h"

/* A float exp good to some units in the last place; values lie in [0, 1]. */
static const double softmax_tolerance = 2e-6;
/* The loss is formed in double from a sum of such exps. */
static const double loss_tolerance = 2e-6;

static void check_softmax(const char *label, const cnnbn_kernels *table, arrays *mem, dice *d, size_t rows, int C,
                          float *x)
{
    const cnnbn_kernels *ref = kernel_cases_ref();
    size_t n = rows * (size_t)C;
    float *y = arrays_floats(mem, n, 1), *expected = arrays_floats(mem, n, 0);
    ref->softmax(rows, C, x, expected);
    table->softmax(rows, C, x, y);
    case_each(label, "softmax", y, expected, n, softmax_tolerance);
    float *in_place = arrays_copy(mem, x, n, 3);
    table->softmax(rows, C, in_place, in_place);
    case_bits(label, "softmax with y = x", in_place, y, n * sizeof *y);
    float *dy = arrays_random(mem, d, n, -1, 1), *dx = arrays_floats(mem, n, 1), *ref_dx = arrays_floats(mem, n, 0);
    ref->softmax_bwd(rows, C, dy, expected, ref_dx);
    table->softmax_bwd(rows, C, dy, expected, dx);
    case_each(label, "softmax_bwd", dx, ref_dx, n, softmax_tolerance);
    table->softmax_bwd(rows, C, dy, expected, dy);
    case_bits(label, "softmax_bwd with dx = dy", dy, dx, n * sizeof *dx);
    if (n == 0) return;
    size_t at = (size_t)dice_int(d, 0, (int)n - 1);
    float kept = x[at];
    x[at] = NAN;
    ref->softmax(rows, C, x, expected);
    table->softmax(rows, C, x, y);
    case_each(label, "softmax with a NaN", y, expected, n, softmax_tolerance);
    x[at] = kept;
}

static void check_xent(const char *label, const cnnbn_kernels *table, arrays *mem, dice *d, const case_run *r, int C,
                       float *x)
{
    const cnnbn_kernels *ref = kernel_cases_ref();
    const cnnbn_run *run = &r->run;
    size_t rows = (size_t)r->samples, n = rows * (size_t)C, stride = 2 + (size_t)dice_int(d, 0, 1);
    float smoothing = dice_one_in(d, 2) ? 0 : dice_float(d, 0.01f, 0.3f), scale = dice_float(d, 0.01f, 1);
    int32_t *labels = (int32_t *)(void *)arrays_floats(mem, rows, 0);
    for (size_t i = 0; i < rows; i++) labels[i] = dice_int(d, 0, C - 1);
    float *dl = arrays_floats(mem, n, 1), *ref_dl = arrays_floats(mem, n, 0);
    double *sums = arrays_doubles(mem, (size_t)run->depth * stride);
    double *ref_sums = arrays_doubles(mem, (size_t)run->depth * stride);
    double *joined = arrays_doubles(mem, CNNBN_TREE_DEPTH * stride);
    table->softmax_xent(run, C, x, labels, smoothing, scale, dl, sums, stride);
    ref->softmax_xent(run, C, x, labels, smoothing, scale, ref_dl, ref_sums, stride);
    case_each(label, "dlogits", dl, ref_dl, n, softmax_tolerance);
    for (int e = 0; e < run->n_nodes; e++) {
        const double *got = sums + (size_t)e * stride, *expected = ref_sums + (size_t)e * stride;
        double sizes[2] = {fabs(expected[0]) + (double)rows, 0}; /* the count is exact */
        case_close_f64(label, "loss and hits", got, expected, sizes, 2, loss_tolerance);
    }
    join j = {.S = r->S};
    for (int s = 0; s < run->n_slices; s++) {
        case_run one;
        case_run_slice(&one, r, s);
        size_t first = (size_t)run->bounds[s];
        table->softmax_xent(&one.run, C, x + first * (size_t)C, labels + first, smoothing, scale, NULL,
                            joined + (size_t)j.height * stride, stride);
        join_push_f64(&j, &one.run, 2, joined, stride);
    }
    case_nodes_f64(label, "loss of a run against its slices", run, 2, sums, joined, stride);

    if (n == 0) return;
    x[(size_t)dice_int(d, 0, (int)n - 1)] = NAN;
    ref->softmax_xent(run, C, x, labels, smoothing, scale, ref_dl, ref_sums, stride);
    table->softmax_xent(run, C, x, labels, smoothing, scale, dl, sums, stride);
    case_each(label, "dlogits with a NaN", dl, ref_dl, n, softmax_tolerance);
    for (int e = 0; e < run->n_nodes; e++)
        if (isnan(ref_sums[(size_t)e * stride]) && !isnan(sums[(size_t)e * stride]))
            fail_msg("%s: a NaN is lost in the loss", label);
}

void kernel_cases_loss(const cnnbn_kernels *table, int n_cases, uint64_t seed)
{
    for (int i = 0; i < n_cases; i++) {
        dice d = dice_new(seed, i);
        arrays mem = {.n = 0};
        case_run run;
        case_run_random(&run, &d, 40);
        int C = dice_one_in(&d, 4) ? dice_int(&d, 1, 300) : dice_int(&d, 1, 40);
        size_t n = (size_t)run.samples * (size_t)C;
        static const float widths[] = {1, 10, 1e4f, 1e30f};
        float width = widths[dice_int(&d, 0, 3)];
        char label[160];
        (void)snprintf(label, sizeof label, "%s loss case %d: C%d logits to %g; n %d slices %d from %d of %d",
                       table->name, i, C, (double)width, run.samples, run.run.n_slices, run.run.first, run.S);
        float *x = arrays_random(&mem, &d, n, -width, width);
        if (dice_one_in(&d, 3)) /* ties for the greatest */
            for (size_t k = 0; k < n; k++) x[k] = roundf(2 * x[k] / width);
        check_softmax(label, table, &mem, &d, (size_t)run.samples, C, x);
        check_xent(label, table, &mem, &d, &run, C, x);
        arrays_end(&mem, label);
    }
}
