#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

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

typedef void (*loss_kernel)(const cnnbn_loss *args);

typedef struct loss_kind {
    const char *name;
    size_t offset; /* in the table */
    size_t n_sums;
    int is_binary; /* targets in [0, 1]; x may be anything */
} loss_kind;

static const loss_kind kinds[] = {
    {"softmax_xent", offsetof(cnnbn_kernels, softmax_xent), 2, 1},
    {"sigmoid_xent", offsetof(cnnbn_kernels, sigmoid_xent), 1, 1},
    {"binary_xent", offsetof(cnnbn_kernels, binary_xent), 1, 1},
    {"squared_error", offsetof(cnnbn_kernels, squared_error), 1, 0},
    {"absolute_error", offsetof(cnnbn_kernels, absolute_error), 1, 0},
    {"huber", offsetof(cnnbn_kernels, huber), 1, 0},
};

static loss_kernel kernel_of(const cnnbn_kernels *table, const loss_kind *kind)
{
    loss_kernel kernel;
    memcpy(&kernel, (const char *)table + kind->offset, sizeof kernel);
    return kernel;
}

/* Class numbers, or rows: one-hot, soft, or any numbers where the loss takes them. */
static cnnbn_targets random_targets(arrays *mem, dice *d, size_t rows, int C, int is_binary)
{
    static const float *pointers[64];
    int32_t *labels = (int32_t *)(void *)arrays_floats(mem, rows, 0);
    for (size_t i = 0; i < rows; i++) labels[i] = dice_int(d, 0, C > 1 ? C - 1 : 1);
    if (dice_one_in(d, 2)) return (cnnbn_targets){.labels = labels};
    float *values = arrays_random(mem, d, rows * (size_t)C, is_binary ? 0 : -3, is_binary ? 1 : 3);
    int is_hard = dice_one_in(d, 2);
    for (size_t i = 0; i < rows * (size_t)C && is_hard; i++) values[i] = roundf(values[i]);
    for (size_t i = 0; i < rows; i++) pointers[i] = values + i * (size_t)C;
    return (cnnbn_targets){.rows = pointers};
}

/* A term of the derivative's tolerance: x beyond 1e7 is known to its own float digits, which a target of 1 does not share. */
static void check_loss(const char *label, const cnnbn_kernels *table, const loss_kind *kind, arrays *mem, dice *d,
                       const case_run *r, int C, float *x)
{
    const cnnbn_kernels *ref = kernel_cases_ref();
    const cnnbn_run *run = &r->run;
    char what[48];
    size_t rows = (size_t)r->samples, n = rows * (size_t)C, stride = kind->n_sums + (size_t)dice_int(d, 0, 1);
    cnnbn_loss args = {.run = run,
                       .C = C,
                       .x = x,
                       .target = random_targets(mem, d, rows, C, kind->is_binary),
                       .label_smoothing = dice_one_in(d, 2) ? 0 : dice_float(d, 0.01f, 0.3f),
                       .delta = dice_float(d, 0.1f, 3),
                       .grad_scale = dice_float(d, 0.01f, 1),
                       .dx = arrays_floats(mem, n, 1),
                       .sums = arrays_doubles(mem, (size_t)run->depth * stride),
                       .sums_stride = stride};
    cnnbn_loss expected = args;
    expected.dx = arrays_floats(mem, n, 0);
    expected.sums = arrays_doubles(mem, (size_t)run->depth * stride);
    kernel_of(table, kind)(&args);
    kernel_of(ref, kind)(&expected);
    (void)snprintf(what, sizeof what, "%s: dx", kind->name);
    case_each(label, what, args.dx, expected.dx, n, softmax_tolerance);
    (void)snprintf(what, sizeof what, "%s: sums", kind->name);
    for (int e = 0; e < run->n_nodes; e++) {
        const double *is = expected.sums + (size_t)e * stride;
        double sizes[2] = {fabs(is[0]) + (double)rows, 0}; /* the count is exact */
        case_close_f64(label, what, args.sums + (size_t)e * stride, is, sizes, kind->n_sums, loss_tolerance);
    }
    double *joined = arrays_doubles(mem, CNNBN_TREE_DEPTH * stride);
    join j = {.S = r->S};
    for (int s = 0; s < run->n_slices; s++) {
        case_run one;
        case_run_slice(&one, r, s);
        size_t first = (size_t)run->bounds[s];
        cnnbn_loss part = args;
        part.run = &one.run;
        part.x = x + first * (size_t)C;
        if (part.target.labels)
            part.target.labels += first;
        else
            part.target.rows += first;
        part.dx = NULL;
        part.sums = joined + (size_t)j.height * stride;
        kernel_of(table, kind)(&part);
        join_push_f64(&j, &one.run, kind->n_sums, joined, stride);
    }
    (void)snprintf(what, sizeof what, "%s of a run against its slices", kind->name);
    case_nodes_f64(label, what, run, kind->n_sums, args.sums, joined, stride);

    if (n == 0) return;
    size_t at = (size_t)dice_int(d, 0, (int)n - 1);
    float kept = x[at];
    x[at] = NAN;
    kernel_of(ref, kind)(&expected);
    kernel_of(table, kind)(&args);
    (void)snprintf(what, sizeof what, "%s: dx with a NaN", kind->name);
    case_each(label, what, args.dx, expected.dx, n, softmax_tolerance);
    int n_lost = 0, n_nan = 0;
    for (int e = 0; e < run->n_nodes; e++) {
        n_nan += isnan(expected.sums[(size_t)e * stride]);
        n_lost += isnan(expected.sums[(size_t)e * stride]) && !isnan(args.sums[(size_t)e * stride]);
    }
    if (n_lost || n_nan != 1) fail_msg("%s: %s: a NaN is lost in the loss", label, kind->name);
    x[at] = kept;
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
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            arrays own = {.n = 0};
            check_loss(label, table, &kinds[k], &own, &d, &run, C, x);
            arrays_end(&own, label);
        }
        arrays_end(&mem, label);
    }
}
