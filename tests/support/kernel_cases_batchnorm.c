#include <math.h>
#include <stdio.h>

#include "case_tools.h"
#include "kernel_cases.h"

/* Float runs about a local shift, flushed to double. */
static const double sum_tolerance = 2e-6;
/* NUMERICS: relative error of the variance at a mean of up to 1e4 standard deviations. */
static const double variance_tolerance = 1e-5;
/* A few float operations an element, and a float exp good to some units in the last place. */
static const double element_tolerance = 3e-6;

typedef struct bn_case {
    char label[160];
    dice d;
    arrays mem;
    case_run run;
    int positions, C;
    size_t n_channels, rows, n;
    float mean;
    float *x;
} bn_case;

static void case_begin(bn_case *c, const char *name, uint64_t seed, int index)
{
    c->mem.n = 0;
    c->d = dice_new(seed, index);
    static const float means[] = {0, 1, 100, 1000, 10000}; /* in standard deviations */
    c->mean = means[dice_int(&c->d, 0, 4)] * (dice_one_in(&c->d, 2) ? 1.0f : -1.0f);
    c->C = dice_one_in(&c->d, 3) ? 16 * dice_int(&c->d, 1, 5) : dice_int(&c->d, 1, 70);
    c->positions = dice_one_in(&c->d, 4) ? 1 : dice_int(&c->d, 1, 120);
    case_run_random(&c->run, &c->d, 24);
    c->n_channels = (size_t)c->C;
    c->rows = (size_t)c->run.samples * (size_t)c->positions;
    c->n = c->rows * c->n_channels;
    (void)snprintf(c->label, sizeof c->label,
                   "%s batch norm case %d: C%d positions %d mean %g; n %d slices %d from %d of %d", name, index, c->C,
                   c->positions, (double)c->mean, c->run.samples, c->run.run.n_slices, c->run.run.first, c->run.S);
    /* Uniform of width 2 sqrt(3): a standard deviation of 1 */
    c->x = arrays_random(&c->mem, &c->d, c->n, c->mean - 1.7320508f, c->mean + 1.7320508f);
}

/* Variance that a node which is the whole run gives, against two passes in double. */
static void check_variance(const bn_case *c, const double *stat)
{
    if (c->rows < 2) return;
    double count = (double)c->rows;
    for (size_t k = 0; k < c->n_channels; k++) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < c->rows; i++) mean += (double)c->x[i * c->n_channels + k];
        mean /= count;
        for (size_t i = 0; i < c->rows; i++) {
            double e = (double)c->x[i * c->n_channels + k] - mean;
            variance += e * e;
        }
        variance /= count;
        double m = stat[k] / count, v = stat[c->n_channels + k] / count - m * m;
        /* Few samples may lie so close that the promise, which is for a spread of 1, does not hold for theirs. */
        if (variance > 0.1 && !(fabs(v - variance) <= variance_tolerance * variance))
            fail_msg("%s: variance[%zu] = %.9g, expected %.9g", c->label, k, v, variance);
    }
}

static void check_stats(bn_case *c, const cnnbn_kernels *table)
{
    const cnnbn_run *run = &c->run.run;
    size_t width = 2 * c->n_channels, stride = width + (size_t)dice_int(&c->d, 0, 2);
    float *shift = arrays_floats(&c->mem, c->n_channels, 1);
    int near = dice_one_in(&c->d, 2);
    for (size_t k = 0; k < c->n_channels; k++) shift[k] = near ? c->mean + dice_float(&c->d, -1, 1) : 0;
    double *got = arrays_doubles(&c->mem, (size_t)run->depth * stride);
    double *expected = arrays_doubles(&c->mem, (size_t)run->depth * stride);
    double *joined = arrays_doubles(&c->mem, CNNBN_TREE_DEPTH * stride), *scale = arrays_doubles(&c->mem, width);
    table->bn_stats(run, c->positions, c->C, c->x, shift, got, stride);
    kernel_cases_ref()->bn_stats(run, c->positions, c->C, c->x, shift, expected, stride);
    for (int e = 0; e < run->n_nodes; e++) {
        const double *node = expected + (size_t)e * stride;
        for (size_t k = 0; k < c->n_channels; k++) { /* sum |d| <= sqrt(n sum d^2) */
            scale[k] = sqrt((double)c->rows * node[c->n_channels + k]);
            scale[c->n_channels + k] = node[c->n_channels + k];
        }
        case_close_f64(c->label, "bn_stats", got + (size_t)e * stride, node, scale, width, sum_tolerance);
    }
    if (run->n_nodes == 1) check_variance(c, got);
    join j = {.S = c->run.S};
    for (int s = 0; s < run->n_slices; s++) {
        case_run one;
        case_run_slice(&one, &c->run, s);
        table->bn_stats(&one.run, c->positions, c->C,
                        c->x + (size_t)run->bounds[s] * (size_t)c->positions * c->n_channels, shift,
                        joined + (size_t)j.height * stride, stride);
        join_push_f64(&j, &one.run, width, joined, stride);
    }
    case_nodes_f64(c->label, "bn_stats of a run against its slices", run, width, got, joined, stride);
}

static cnnbn_prologue affine(bn_case *c, cnnbn_activation act)
{
    cnnbn_prologue in = {.period = c->C, .act = act};
    in.mean = arrays_random(&c->mem, &c->d, c->n_channels, c->mean - 0.5f, c->mean + 0.5f);
    in.scale = arrays_random(&c->mem, &c->d, c->n_channels, 0.5f, 1.5f);
    in.beta = arrays_random(&c->mem, &c->d, c->n_channels, -0.5f, 0.5f);
    return in;
}

static void check_apply(bn_case *c, const cnnbn_kernels *table)
{
    cnnbn_prologue in = affine(c, kernel_cases_acts[dice_int(&c->d, 0, KERNEL_CASES_ACTS - 1)]);
    case_avoid_kinks(&in, c->x, c->n);
    float *add = dice_one_in(&c->d, 2) ? arrays_random(&c->mem, &c->d, c->n, -1, 1) : NULL;
    /* With `add` a jump of an activation (relu with a threshold) could fall on either side. */
    if (add && in.act.kind == CNNBN_ACT_RELU_GENERAL) in.act = kernel_cases_acts[1];
    if (c->n && dice_one_in(&c->d, 4)) c->x[c->n / 2] = NAN;
    float *expected = arrays_floats(&c->mem, c->n, 0), *y = arrays_floats(&c->mem, c->n, 1);
    kernel_cases_ref()->bn_apply(c->rows, c->C, c->x, &in, add, expected);
    table->bn_apply(c->rows, c->C, c->x, &in, add, y);
    case_each(c->label, "bn_apply", y, expected, c->n, element_tolerance);
    float *in_place = arrays_copy(&c->mem, c->x, c->n, 1);
    table->bn_apply(c->rows, c->C, in_place, &in, add, in_place);
    case_bits(c->label, "bn_apply with y = x", in_place, y, c->n * sizeof *y);
    if (add) {
        table->bn_apply(c->rows, c->C, c->x, &in, add, add);
        case_bits(c->label, "bn_apply with y = add", add, y, c->n * sizeof *y);
    }
    if (c->n && isnan(c->x[c->n / 2])) c->x[c->n / 2] = c->mean;
}

static void check_backward_sums(bn_case *c, const cnnbn_kernels *table)
{
    const cnnbn_run *run = &c->run.run;
    size_t width = 2 * c->n_channels, stride = width + 1;
    cnnbn_prologue in = affine(c, kernel_cases_acts[dice_int(&c->d, 0, KERNEL_CASES_ACTS - 1)]);
    case_avoid_kinks(&in, c->x, c->n);
    float *dz = arrays_random(&c->mem, &c->d, c->n, -1, 1);
    double *got = arrays_doubles(&c->mem, (size_t)run->depth * stride);
    double *expected = arrays_doubles(&c->mem, (size_t)run->depth * stride);
    double *joined = arrays_doubles(&c->mem, CNNBN_TREE_DEPTH * stride), *scale = arrays_doubles(&c->mem, width);
    table->bn_bwd_sums(run, c->positions, c->C, dz, c->x, &in, got, stride);
    kernel_cases_ref()->bn_bwd_sums(run, c->positions, c->C, dz, c->x, &in, expected, stride);
    /* |g| <= 1.8 |dz| (selu), |x - mean| < 3: sums of random signs are compared with the sums of their sizes. */
    for (size_t k = 0; k < width; k++) scale[k] = (double)c->rows;
    for (int e = 0; e < run->n_nodes; e++)
        case_close_f64(c->label, "bn_bwd_sums", got + (size_t)e * stride, expected + (size_t)e * stride, scale, width,
                       sum_tolerance);
    join j = {.S = c->run.S};
    for (int s = 0; s < run->n_slices; s++) {
        case_run one;
        case_run_slice(&one, &c->run, s);
        size_t first = (size_t)run->bounds[s] * (size_t)c->positions * c->n_channels;
        table->bn_bwd_sums(&one.run, c->positions, c->C, dz + first, c->x + first, &in,
                           joined + (size_t)j.height * stride, stride);
        join_push_f64(&j, &one.run, width, joined, stride);
    }
    case_nodes_f64(c->label, "bn_bwd_sums of a run against its slices", run, width, got, joined, stride);
}

static void check_backward_apply(bn_case *c, const cnnbn_kernels *table)
{
    cnnbn_activation pre = case_act_from_output(&c->d);
    cnnbn_prologue in = affine(c, kernel_cases_acts[dice_int(&c->d, 0, KERNEL_CASES_ACTS - 1)]);
    if (pre.kind != CNNBN_ACT_LINEAR) { /* x is an output of pre */
        c->mean = 0;
        in = affine(c, in.act);
        kernel_cases_ref()->act_fwd(c->n, pre, c->x, c->x);
        for (size_t i = 0; i < c->n; i++) { /* off the kinks of act, without leaving pre's range */
            size_t k = i % c->n_channels;
            double u = ((double)c->x[i] - (double)in.mean[k]) * (double)in.scale[k] + (double)in.beta[k];
            if (fabs(u) < 0.005 || fabs(fabs(u) - 3) < 0.005 || fabs(u - (double)in.act.p0) < 0.005 ||
                fabs(u - (double)in.act.p2) < 0.005)
                in.act = kernel_cases_acts[6];
        }
    } else {
        case_avoid_kinks(&in, c->x, c->n);
    }
    float *dz = arrays_random(&c->mem, &c->d, c->n, -1, 1), *a = arrays_random(&c->mem, &c->d, c->n_channels, -1, 1);
    float *b = arrays_random(&c->mem, &c->d, c->n_channels, -1, 1);
    float *c0 = arrays_random(&c->mem, &c->d, c->n_channels, -1, 1);
    if (c->n && dice_one_in(&c->d, 4) && pre.kind == CNNBN_ACT_LINEAR && in.act.kind == CNNBN_ACT_LINEAR)
        dz[c->n / 2] = NAN;
    float *expected = arrays_floats(&c->mem, c->n, 0), *dx = arrays_floats(&c->mem, c->n, 1);
    kernel_cases_ref()->bn_bwd_apply(c->rows, c->C, dz, c->x, &in, a, b, c0, pre, expected);
    table->bn_bwd_apply(c->rows, c->C, dz, c->x, &in, a, b, c0, pre, dx);
    case_each(c->label, "bn_bwd_apply", dx, expected, c->n, element_tolerance);
    table->bn_bwd_apply(c->rows, c->C, dz, c->x, &in, a, b, c0, pre, dz);
    case_bits(c->label, "bn_bwd_apply with dx = dz", dz, dx, c->n * sizeof *dx);
}

void kernel_cases_batchnorm(const cnnbn_kernels *table, int n_cases, uint64_t seed)
{
    for (int i = 0; i < n_cases; i++) {
        bn_case c;
        case_begin(&c, table->name, seed, i);
        check_stats(&c, table);
        check_apply(&c, table);
        check_backward_sums(&c, table);
        check_backward_apply(&c, table);
        arrays_end(&c.mem, c.label);
    }
}
