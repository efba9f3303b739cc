#include <math.h>
#include <stdio.h>
#include <string.h>

#include "case_tools.h"
#include "kernel_cases.h"

/* Sums of up to 49 floats. */
static const double pool_tolerance = 1e-6;

/* `same` or `valid`: the total padding and its share in front. */
static void random_side(dice *d, int same, int *H, int *R, int *stride, int *pad, int *P)
{
    *R = dice_int(d, 1, 5);
    *stride = dice_int(d, 1, 3);
    *H = dice_int(d, same ? 1 : *R, 14);
    *P = same ? (*H + *stride - 1) / *stride : (*H - *R) / *stride + 1;
    int total = (*P - 1) * *stride + *R - *H;
    *pad = same && total > 0 ? total / 2 : 0;
}

static void check_max(const char *label, const cnnbn_kernels *table, arrays *mem, dice *d, const cnnbn_pool_geom *g,
                      int N, size_t in, size_t out)
{
    const cnnbn_kernels *ref = kernel_cases_ref();
    float *x = arrays_random(mem, d, in, -4, 4), *dy = arrays_random(mem, d, out, -1, 1);
    if (dice_one_in(d, 2)) /* ties, also of all zeros, and windows of negative values only */
        for (size_t i = 0; i < in; i++) x[i] = floorf(x[i] * 0.5f) - (g->C == 2 ? 2.0f : 0.0f);
    if (in && dice_one_in(d, 4)) x[in / 3] = INFINITY;
    float *y = arrays_floats(mem, out, 1), *dx = arrays_floats(mem, in, 1);
    float *ref_y = arrays_floats(mem, out, 0), *ref_dx = arrays_floats(mem, in, 0);
    ref->maxpool_fwd(g, N, x, ref_y);
    table->maxpool_fwd(g, N, x, y);
    case_each(label, "maxpool_fwd", y, ref_y, out, 0);
    ref->maxpool_bwd(g, N, x, ref_y, dy, ref_dx);
    table->maxpool_bwd(g, N, x, y, dy, dx);
    case_each(label, "maxpool_bwd", dx, ref_dx, in, pool_tolerance);
    if (in == 0) return;
    x[(size_t)dice_int(d, 0, (int)in - 1)] = NAN;
    ref->maxpool_fwd(g, N, x, ref_y);
    table->maxpool_fwd(g, N, x, y);
    case_each(label, "maxpool_fwd with a NaN", y, ref_y, out, 0);
}

static void check_average(const char *label, const cnnbn_kernels *table, arrays *mem, dice *d, const cnnbn_pool_geom *g,
                          int N, size_t in, size_t out)
{
    const cnnbn_kernels *ref = kernel_cases_ref();
    float *x = arrays_random(mem, d, in, -4, 4), *dy = arrays_random(mem, d, out, -1, 1);
    if (in && dice_one_in(d, 3)) x[in / 2] = NAN;
    if (out && dice_one_in(d, 3)) dy[out / 2] = NAN;
    float *y = arrays_floats(mem, out, 1), *dx = arrays_floats(mem, in, 1);
    float *ref_y = arrays_floats(mem, out, 0), *ref_dx = arrays_floats(mem, in, 0);
    ref->avgpool_fwd(g, N, x, ref_y);
    table->avgpool_fwd(g, N, x, y);
    case_each(label, "avgpool_fwd", y, ref_y, out, pool_tolerance);
    ref->avgpool_bwd(g, N, dy, ref_dx);
    table->avgpool_bwd(g, N, dy, dx);
    case_each(label, "avgpool_bwd", dx, ref_dx, in, pool_tolerance);

    int positions = g->H * g->W;
    size_t means = (size_t)N * (size_t)g->C;
    float *mean = arrays_floats(mem, means, 1), *ref_mean = arrays_floats(mem, means, 0);
    ref->gap_fwd(N, positions, g->C, x, ref_mean);
    table->gap_fwd(N, positions, g->C, x, mean);
    case_each(label, "gap_fwd", mean, ref_mean, means, pool_tolerance);
    ref->gap_bwd(N, positions, g->C, ref_mean, ref_dx);
    table->gap_bwd(N, positions, g->C, ref_mean, dx);
    case_each(label, "gap_bwd", dx, ref_dx, in, pool_tolerance);
}

void kernel_cases_pool(const cnnbn_kernels *table, int n_cases, uint64_t seed)
{
    for (int i = 0; i < n_cases; i++) {
        dice d = dice_new(seed, i);
        arrays mem = {.n = 0};
        cnnbn_pool_geom g = {.C = dice_one_in(&d, 3) ? 16 * dice_int(&d, 1, 4) : dice_int(&d, 1, 40)};
        int same = dice_one_in(&d, 2), N = dice_int(&d, 0, 3);
        random_side(&d, same, &g.H, &g.R, &g.stride_h, &g.pad_top, &g.P);
        random_side(&d, same, &g.W, &g.S, &g.stride_w, &g.pad_left, &g.Q);
        size_t in = (size_t)(N * g.H * g.W * g.C), out = (size_t)(N * g.P * g.Q * g.C);
        char label[160];
        (void)snprintf(label, sizeof label, "%s pool case %d: N%d H%d W%d C%d R%d S%d P%d Q%d stride %d,%d pad %d,%d",
                       table->name, i, N, g.H, g.W, g.C, g.R, g.S, g.P, g.Q, g.stride_h, g.stride_w, g.pad_top,
                       g.pad_left);
        check_max(label, table, &mem, &d, &g, N, in, out);
        check_average(label, table, &mem, &d, &g, N, in, out);
        arrays_end(&mem, label);
    }
}
