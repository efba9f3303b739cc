#include <math.h>
#include <stdio.h>

#include "case_tools.h"
#include "cnnbn/rng.h"
#include "kernel_cases.h"

/* A few float operations beside doubles. */
static const double element_tolerance = 3e-6;
/* Sums in double of up to some thousand products, rounded once a slice and once a merge. */
static const double sum_tolerance = 2e-6;

typedef struct layer_case {
    char label[160];
    dice d;
    arrays mem;
    case_run run;
    int rows_per_sample, positions, C, groups;
    size_t per_sample, n, n_channels, rows;
    float *x, *dy;
} layer_case;

static void case_begin(layer_case *c, const char *name, uint64_t seed, int index)
{
    c->mem.n = 0;
    c->d = dice_new(seed, index);
    c->groups = dice_one_in(&c->d, 2) ? 1 : dice_int(&c->d, 1, 9);
    c->C = c->groups * (dice_one_in(&c->d, 8) ? dice_int(&c->d, 100, 130) : dice_int(&c->d, 1, 20));
    c->positions = dice_one_in(&c->d, 3) ? 1 : dice_int(&c->d, 1, 12);
    c->rows_per_sample = dice_one_in(&c->d, 2) ? 1 : dice_int(&c->d, 1, 7);
    case_run_random(&c->run, &c->d, 16);
    c->n_channels = (size_t)c->C;
    c->rows = (size_t)c->run.samples * (size_t)c->rows_per_sample;
    c->per_sample = (size_t)c->rows_per_sample * (size_t)c->positions * c->n_channels;
    c->n = (size_t)c->run.samples * c->per_sample;
    (void)snprintf(c->label, sizeof c->label, "%s layer case %d: rows %d positions %d C%d groups %d; n %d slices %d",
                   name, index, c->rows_per_sample, c->positions, c->C, c->groups, c->run.samples, c->run.run.n_slices);
    float mean = dice_one_in(&c->d, 3) ? 100 : 0;
    c->x = arrays_random(&c->mem, &c->d, c->n, mean - 2, mean + 2);
    c->dy = arrays_random(&c->mem, &c->d, c->n, -1, 1);
}

typedef struct stack_args {
    const float *x, *dy, *alpha;
    const double *stats;
    size_t period;
    int want_gamma;
} stack_args;
typedef void (*stack_kernel)(const layer_case *c, const cnnbn_kernels *table, const cnnbn_run *run, const stack_args *a,
                             float *out, size_t stride);

static void run_column_sums(const layer_case *c, const cnnbn_kernels *table, const cnnbn_run *run, const stack_args *a,
                            float *out, size_t stride)
{
    table->column_sums(run, c->per_sample, a->period, a->dy, out, stride);
}

static void run_prelu_weights(const layer_case *c, const cnnbn_kernels *table, const cnnbn_run *run,
                              const stack_args *a, float *out, size_t stride)
{
    table->prelu_bwd_weights(run, c->per_sample, a->period, a->x, a->dy, out, stride);
}

static void run_norm_weights(const layer_case *c, const cnnbn_kernels *table, const cnnbn_run *run, const stack_args *a,
                             float *out, size_t stride)
{
    table->norm_bwd_weights(run, (size_t)c->rows_per_sample, c->positions, c->C, c->groups, a->x, a->stats, a->dy,
                            a->want_gamma ? out : NULL, a->want_gamma ? NULL : out, stride);
}

/* Nodes beside ref's, and a run against its slices one by one. */
static void check_stack(layer_case *c, const cnnbn_kernels *table, stack_kernel kernel, stack_args a, const char *what)
{
    const cnnbn_run *run = &c->run.run;
    size_t stride = a.period + (size_t)dice_int(&c->d, 0, 2);
    float *got = arrays_floats(&c->mem, (size_t)run->depth * stride, 1);
    float *expected = arrays_floats(&c->mem, (size_t)run->depth * stride, 0);
    float *joined = arrays_floats(&c->mem, CNNBN_TREE_DEPTH * stride, 0);
    kernel(c, table, run, &a, got, stride);
    kernel(c, kernel_cases_ref(), run, &a, expected, stride);
    for (int e = 0; e < run->n_nodes; e++)
        case_close(c->label, what, got + (size_t)e * stride, expected + (size_t)e * stride, a.period, 1, sum_tolerance);
    join j = {.S = c->run.S};
    for (int s = 0; s < run->n_slices; s++) {
        case_run one;
        case_run_slice(&one, &c->run, s);
        size_t first = (size_t)run->bounds[s];
        stack_args part = a;
        part.x = a.x + first * c->per_sample;
        part.dy = a.dy + first * c->per_sample;
        if (a.stats) part.stats = a.stats + 2 * first * (size_t)c->rows_per_sample * (size_t)c->groups;
        kernel(c, table, &one.run, &part, joined + (size_t)j.height * stride, stride);
        join_push_f32(&j, &one.run, a.period, joined, stride);
    }
    case_nodes_f32(c->label, what, run, a.period, got, joined, stride);
}

static void check_norm(layer_case *c, const cnnbn_kernels *table)
{
    const cnnbn_kernels *ref = kernel_cases_ref();
    size_t n_stats = 2 * c->rows * (size_t)c->groups;
    double *stats = arrays_doubles(&c->mem, n_stats), *expected = arrays_doubles(&c->mem, n_stats);
    double *scale = arrays_doubles(&c->mem, n_stats), epsilon = dice_one_in(&c->d, 2) ? 1e-3 : 1e-5;
    table->norm_stats(c->rows, c->positions, c->C, c->groups, epsilon, c->x, stats);
    ref->norm_stats(c->rows, c->positions, c->C, c->groups, epsilon, c->x, expected);
    for (size_t i = 0; i < n_stats; i++) scale[i] = fabs(expected[i]) + 1;
    case_close_f64(c->label, "norm_stats", stats, expected, scale, n_stats, 1e-10);
    float *gamma = dice_one_in(&c->d, 3) ? NULL : arrays_random(&c->mem, &c->d, c->n_channels, 0.5f, 1.5f);
    float *beta = dice_one_in(&c->d, 3) ? NULL : arrays_random(&c->mem, &c->d, c->n_channels, -1, 1);
    float *y = arrays_floats(&c->mem, c->n, 1), *ref_y = arrays_floats(&c->mem, c->n, 0);
    ref->norm_apply(c->rows, c->positions, c->C, c->groups, c->x, expected, gamma, beta, ref_y);
    table->norm_apply(c->rows, c->positions, c->C, c->groups, c->x, expected, gamma, beta, y);
    case_each(c->label, "norm_apply", y, ref_y, c->n, element_tolerance);
    float *in_place = arrays_copy(&c->mem, c->x, c->n, 1);
    table->norm_apply(c->rows, c->positions, c->C, c->groups, in_place, expected, gamma, beta, in_place);
    case_bits(c->label, "norm_apply in place", in_place, y, c->n * sizeof *y);

    float *dx = arrays_floats(&c->mem, c->n, 1), *ref_dx = arrays_floats(&c->mem, c->n, 0);
    ref->norm_bwd_data(c->rows, c->positions, c->C, c->groups, c->x, expected, gamma, c->dy, ref_dx);
    table->norm_bwd_data(c->rows, c->positions, c->C, c->groups, c->x, expected, gamma, c->dy, dx);
    case_close(c->label, "norm_bwd_data", dx, ref_dx, c->n, 1, 1e-5);
    float *over = arrays_copy(&c->mem, c->dy, c->n, 2);
    table->norm_bwd_data(c->rows, c->positions, c->C, c->groups, c->x, expected, gamma, over, over);
    case_bits(c->label, "norm_bwd_data in place", over, dx, c->n * sizeof *dx);
    stack_args a = {c->x, c->dy, NULL, expected, c->n_channels, 1};
    check_stack(c, table, run_norm_weights, a, "norm_bwd_weights, gamma");
    a.want_gamma = 0;
    check_stack(c, table, run_norm_weights, a, "norm_bwd_weights, beta");
}

static void check_unit(layer_case *c, const cnnbn_kernels *table)
{
    const cnnbn_kernels *ref = kernel_cases_ref();
    size_t rows = c->n / c->n_channels;
    float *x = arrays_random(&c->mem, &c->d, c->n, -2, 2);
    if (rows) /* a row of zeros */
        for (int k = 0; k < c->C; k++) x[k] = 0;
    float *y = arrays_floats(&c->mem, c->n, 1), *ref_y = arrays_floats(&c->mem, c->n, 0);
    ref->unit_fwd(rows, c->C, x, ref_y);
    table->unit_fwd(rows, c->C, x, y);
    case_each(c->label, "unit_fwd", y, ref_y, c->n, element_tolerance);
    if (rows > 1) {
        ref->unit_bwd(rows - 1, c->C, x + c->C, c->dy + c->C, ref_y);
        table->unit_bwd(rows - 1, c->C, x + c->C, c->dy + c->C, y);
        case_close(c->label, "unit_bwd", y, ref_y, (rows - 1) * c->n_channels, 1, 1e-5);
    }
}

static void check_prelu(layer_case *c, const cnnbn_kernels *table)
{
    const cnnbn_kernels *ref = kernel_cases_ref();
    size_t period = dice_one_in(&c->d, 2) ? c->n_channels : c->per_sample;
    float *x = arrays_random(&c->mem, &c->d, c->n, -2, 2), *alpha = arrays_random(&c->mem, &c->d, period, -1, 1);
    float *y = arrays_floats(&c->mem, c->n, 1), *ref_y = arrays_floats(&c->mem, c->n, 0);
    ref->prelu_fwd(c->n, period, x, alpha, ref_y);
    table->prelu_fwd(c->n, period, x, alpha, y);
    case_each(c->label, "prelu_fwd", y, ref_y, c->n, element_tolerance);
    ref->prelu_bwd(c->n, period, x, alpha, c->dy, ref_y);
    table->prelu_bwd(c->n, period, x, alpha, c->dy, y);
    case_each(c->label, "prelu_bwd", y, ref_y, c->n, element_tolerance);
    stack_args a = {x, c->dy, alpha, NULL, period, 0};
    check_stack(c, table, run_prelu_weights, a, "prelu_bwd_weights");
    check_stack(c, table, run_column_sums, a, "column_sums");
}

static void check_merges(layer_case *c, const cnnbn_kernels *table)
{
    const cnnbn_kernels *ref = kernel_cases_ref();
    int N = c->run.samples, positions = c->positions * c->rows_per_sample;
    size_t n_factors = (size_t)N * c->n_channels;
    float *a = arrays_random(&c->mem, &c->d, c->n, -2, 2), *b = arrays_random(&c->mem, &c->d, c->n, -2, 2);
    for (size_t i = 0; i < c->n; i += 3) b[i] = a[i]; /* ties */
    if (c->n && dice_one_in(&c->d, 3)) (dice_one_in(&c->d, 2) ? a : b)[c->n / 2] = NAN;
    float *y = arrays_floats(&c->mem, c->n, 1), *ref_y = arrays_floats(&c->mem, c->n, 0);
    ref->sum(c->n, a, b, ref_y);
    table->sum(c->n, a, b, y);
    case_each(c->label, "sum", y, ref_y, c->n, 0);
    ref->mul(c->n, a, b, ref_y);
    table->mul(c->n, a, b, y);
    case_each(c->label, "mul", y, ref_y, c->n, 0);
    ref->maximum(c->n, a, b, ref_y);
    table->maximum(c->n, a, b, y);
    case_each(c->label, "maximum", y, ref_y, c->n, 0);
    for (int second = 0; second < 2; second++) {
        ref->maximum_bwd(c->n, a, b, c->dy, second, ref_y);
        table->maximum_bwd(c->n, a, b, c->dy, second, y);
        case_each(c->label, "maximum_bwd", y, ref_y, c->n, 0);
    }
    float *factor = arrays_random(&c->mem, &c->d, n_factors, -2, 2);
    ref->channel_mul(N, positions, c->C, a, factor, ref_y);
    table->channel_mul(N, positions, c->C, a, factor, y);
    case_each(c->label, "channel_mul", y, ref_y, c->n, 0);
    float *dot = arrays_floats(&c->mem, n_factors, 1), *ref_dot = arrays_floats(&c->mem, n_factors, 0);
    ref->channel_dot(N, positions, c->C, a, c->dy, ref_dot);
    table->channel_dot(N, positions, c->C, a, c->dy, dot);
    case_each(c->label, "channel_dot", dot, ref_dot, n_factors, sum_tolerance);
}

static void check_noise(layer_case *c, const cnnbn_kernels *table)
{
    uint64_t key = cnnbn_rng_key(c->d.key, CNNBN_RNG_TEST, 0, 0, 0);
    float *y = arrays_floats(&c->mem, c->per_sample, 1), *ref_y = arrays_floats(&c->mem, c->per_sample, 0);
    if (!c->run.samples) return;
    kernel_cases_ref()->noise(1, c->per_sample, 0.5f, &key, c->x, ref_y);
    table->noise(1, c->per_sample, 0.5f, &key, c->x, y);
    case_each(c->label, "noise", y, ref_y, c->per_sample, element_tolerance);
    double sum = 0, squares = 0, n = (double)c->per_sample;
    for (size_t i = 0; i < c->per_sample; i++) {
        double e = ((double)y[i] - (double)c->x[i]) / 0.5;
        sum += e;
        squares += e * e;
    }
    /* Five standard deviations of a mean and of a sum of squares of normals. */
    if (fabs(sum) > 5 * sqrt(n) || fabs(squares - n) > 5 * sqrt(2 * n) + 20)
        fail_msg("%s: noise of mean %g, squares %g in %g", c->label, sum / n, squares, n);
}

void kernel_cases_merge(const cnnbn_kernels *table, int n_cases, uint64_t seed)
{
    static void (*const checks[])(layer_case *, const cnnbn_kernels *) = {check_norm, check_unit, check_prelu,
                                                                          check_merges, check_noise};
    for (int i = 0; i < n_cases; i++) {
        layer_case c;
        case_begin(&c, table->name, seed, i);
        for (size_t k = 0; k < sizeof checks / sizeof *checks; k++) checks[k](&c, table);
        arrays_end(&c.mem, c.label);
    }
}
