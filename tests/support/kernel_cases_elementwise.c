#include <math.h>
#include <stdio.h>
#include <string.h>

#include "case_tools.h"
#include "cnnbn/rng.h"
#include "kernel_cases.h"

/* One or two float operations. */
static const double element_tolerance = 5e-7;
/* 4,096 additions in double of exact squares, in any order within a block. */
static const double squares_tolerance = 1e-12;

static void check_dropout(const char *label, const cnnbn_kernels *table, arrays *mem, dice *d)
{
    int N = dice_int(d, 0, 5);
    size_t each = (size_t)dice_int(d, 0, 700), n = (size_t)N * each;
    static const float rates[] = {0, 0.1f, 0.25f, 0.5f, 0.9f};
    float rate = rates[dice_int(d, 0, 4)];
    uint64_t keys[5];
    for (uint64_t k = 0; k < 5; k++) keys[k] = cnnbn_rng_key(d->key, CNNBN_RNG_DROPOUT, k, 0, 0);
    if (dice_one_in(d, 4)) rate = cnnbn_rng_uniform(keys[0], each / 2); /* a draw that equals the rate is kept */
    float *x = arrays_random(mem, d, n, 0.5f, 1.5f), *y = arrays_floats(mem, n, 1);
    float *again = arrays_copy(mem, x, n, 0), *expected = arrays_floats(mem, n, 0);
    kernel_cases_ref()->dropout(N, each, rate, keys, x, expected);
    table->dropout(N, each, rate, keys, x, y);
    case_each(label, "dropout", y, expected, n, element_tolerance);
    table->dropout(N, each, rate, keys, again, again);
    case_bits(label, "dropout again, with y = x", again, y, n * sizeof *y);
    for (int k = 0; k < N; k++) { /* a sample's mask depends on its key alone */
        float *alone = again + (size_t)k * each;
        table->dropout(1, each, rate, keys + k, x + (size_t)k * each, alone);
        case_bits(label, "dropout of one sample", alone, y + (size_t)k * each, each * sizeof *y);
    }
    double kept = 0, scaled = 0;
    for (size_t i = 0; i < n; i++) {
        kept += y[i] > 0 ? 1 : 0;
        scaled += (double)y[i] - (double)x[i];
    }
    /* Five standard deviations of a binomial; x is within [0.5, 1.5). */
    double p = 1 - (double)rate, sigma = sqrt((double)n * p * (1 - p));
    if (fabs(kept - (double)n * p) > 5 * sigma)
        fail_msg("%s: dropout keeps %g of %zu at rate %g", label, kept, n, (double)rate);
    if (fabs(scaled) > 1e-4 * (double)n + 8 * sigma / p) fail_msg("%s: dropout changes the mean by %g", label, scaled);
    /* Adjoint: <D x, v> = <x, D v>. */
    float *v = arrays_random(mem, d, n, -1, 1), *dv = arrays_floats(mem, n, 2);
    table->dropout(N, each, rate, keys, v, dv);
    double left = 0, right = 0;
    for (size_t i = 0; i < n; i++) {
        left += (double)y[i] * (double)v[i];
        right += (double)x[i] * (double)dv[i];
    }
    if (fabs(left - right) > 1e-5 * (double)(n + 1)) fail_msg("%s: dropout is not its own adjoint", label);
}

static void check_input(const char *label, const cnnbn_kernels *table, arrays *mem, dice *d)
{
    const cnnbn_kernels *ref = kernel_cases_ref();
    int period = dice_one_in(d, 2) ? dice_int(d, 1, 4) : dice_int(d, 1, 40);
    size_t n = (size_t)period * (size_t)dice_int(d, 0, 60);
    if (dice_one_in(d, 2)) n += (size_t)dice_int(d, 0, period - 1);
    float *scale = arrays_random(mem, d, (size_t)period, -0.02f, 0.02f);
    float *shift = arrays_random(mem, d, (size_t)period, -1, 1);
    float *x = arrays_random(mem, d, n, -100, 100), *y = arrays_floats(mem, n, 1), *expected = arrays_floats(mem, n, 0);
    uint8_t *bytes = (uint8_t *)arrays_floats(mem, n / 4 + 2, 0) + dice_int(d, 0, 3);
    for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)dice_int(d, 0, 255);
    ref->input_u8(n, period, bytes, scale, shift, expected);
    table->input_u8(n, period, bytes, scale, shift, y);
    case_each(label, "input_u8", y, expected, n, 1e-6 + element_tolerance);
    if (n) x[n / 2] = NAN;
    ref->input_f32(n, period, x, scale, shift, expected);
    table->input_f32(n, period, x, scale, shift, y);
    case_each(label, "input_f32", y, expected, n, 1e-6 + element_tolerance);
}

/* One rounding each: bits are settled. */
static void check_exact(const char *label, const cnnbn_kernels *table, arrays *mem, dice *d)
{
    const cnnbn_kernels *ref = kernel_cases_ref();
    size_t n = (size_t)(dice_one_in(d, 4) ? dice_int(d, 0, 3000) : dice_int(d, 0, 80));
    float *x = arrays_random(mem, d, n, -3, 3), *y = arrays_random(mem, d, n, -3, 3);
    if (n) x[n / 3] = INFINITY;
    float *expected = arrays_copy(mem, y, n, 0);
    ref->add(n, x, expected);
    table->add(n, x, y);
    case_bits(label, "add", y, expected, n * sizeof *y);
    float a = dice_float(d, -2, 2);
    ref->scale(n, a, expected);
    table->scale(n, a, y);
    case_bits(label, "scale", y, expected, n * sizeof *y);
    if (n) y[n / 2] = expected[n / 2] = NAN;
    float limit = dice_float(d, 0.1f, 3);
    ref->clip(n, limit, expected);
    table->clip(n, limit, y);
    case_each(label, "clip", y, expected, n, 0);

    double *dx = arrays_doubles(mem, n), *dy = arrays_doubles(mem, n), *sum = arrays_doubles(mem, n);
    for (size_t i = 0; i < n; i++) {
        dx[i] = (double)x[i] / 3;
        dy[i] = sum[i] = (double)expected[i] / 7;
    }
    ref->add_f64(n, dx, sum);
    table->add_f64(n, dx, dy);
    if (n) dy[n / 2] = sum[n / 2]; /* a NaN's bits are nobody's promise */
    case_bits(label, "add_f64", dy, sum, n * sizeof *dy);
}

static void check_squares(const char *label, const cnnbn_kernels *table, arrays *mem, dice *d)
{
    size_t n = (size_t)(dice_one_in(d, 2) ? dice_int(d, 0, 100) : dice_int(d, 4000, 13000));
    float *x = arrays_random(mem, d, n, -1, 1);
    if (n && dice_one_in(d, 4)) x[n - 1] = 1e25f; /* its square is past float's range */
    double got = table->sum_squares(n, x), expected = kernel_cases_ref()->sum_squares(n, x);
    if (!(fabs(got - expected) <= squares_tolerance * expected))
        fail_msg("%s: sum_squares of %zu = %.17g, expected %.17g", label, n, got, expected);
    for (int offset = 0; offset < 4; offset++) {
        double moved = table->sum_squares(n, arrays_copy(mem, x, n, offset));
        case_bits(label, "sum_squares at another address", &moved, &got, sizeof got);
    }
    if (n == 0) return;
    x[(size_t)dice_int(d, 0, (int)n - 1)] = NAN;
    if (!isnan(table->sum_squares(n, x))) fail_msg("%s: sum_squares loses a NaN", label);
}

static void check_penalty(const char *label, const cnnbn_kernels *table, arrays *mem, dice *d)
{
    size_t n = (size_t)(dice_one_in(d, 2) ? dice_int(d, 0, 100) : dice_int(d, 4000, 13000));
    float *w = arrays_random(mem, d, n, -1, 1), *g = arrays_random(mem, d, n, -1, 1), *got = arrays_copy(mem, g, n, 0);
    const float l1 = 0.3f, l2 = 0.25f;
    if (n) w[n / 2] = 0; /* |w| has no slope there, Keras takes 0 */
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += fabs((double)w[i]);
    if (!(fabs(table->sum_abs(n, w) - sum) <= squares_tolerance * sum)) fail_msg("%s: sum_abs of %zu", label, n);
    table->penalty_bwd(n, l1, l2, w, got);
    for (size_t i = 0; i < n; i++) {
        double wi = (double)w[i], sign = wi > 0 ? 1 : wi < 0 ? -1 : 0;
        double expected = (double)g[i] + 2 * (double)l2 * wi + (double)l1 * sign;
        if (!(fabs((double)got[i] - expected) <= 4e-7)) /* some roundings of values below 2 */
            fail_msg("%s: penalty_bwd[%zu of %zu] = %.9g, expected %.9g", label, i, n, (double)got[i], expected);
    }
    if (n == 0) return;
    w[n / 2] = NAN;
    table->penalty_bwd(n, 0, l2, w, got);
    if (!isnan(got[n / 2]) || !isnan(table->sum_abs(n, w))) fail_msg("%s: a penalty loses a NaN", label);
}

/* Beside `ref`, which looks at every weight; and <B x, y> = <x, B' y>. */
static void check_bilinear(const char *label, const cnnbn_kernels *table, arrays *mem, dice *d)
{
    int N = dice_int(d, 1, 2), H = dice_int(d, 1, 5), W = dice_int(d, 1, 5), C = dice_int(d, 1, 19);
    int rows = dice_int(d, 1, 4), columns = dice_int(d, 1, 4);
    size_t small = (size_t)(N * H * W * C), large = small * (size_t)(rows * columns);
    float *x = arrays_random(mem, d, small, -1, 1), *dy = arrays_random(mem, d, large, -1, 1);
    float *y = arrays_floats(mem, large, 1), *dx = arrays_floats(mem, small, 1);
    float *ey = arrays_floats(mem, large, 0), *edx = arrays_floats(mem, small, 0);
    table->bilinear_fwd(N, H, W, C, rows, columns, x, y);
    table->bilinear_bwd(N, H, W, C, rows, columns, dy, dx);
    kernel_cases_ref()->bilinear_fwd(N, H, W, C, rows, columns, x, ey);
    kernel_cases_ref()->bilinear_bwd(N, H, W, C, rows, columns, dy, edx);
    double forward = 0, backward = 0;
    for (size_t i = 0; i < large; i++) {
        if (!(fabs((double)y[i] - (double)ey[i]) <= 5e-7)) fail_msg("%s: bilinear_fwd[%zu]", label, i);
        forward += (double)y[i] * (double)dy[i];
    }
    for (size_t i = 0; i < small; i++) {
        if (!(fabs((double)dx[i] - (double)edx[i]) <= 5e-6)) fail_msg("%s: bilinear_bwd[%zu]", label, i);
        backward += (double)dx[i] * (double)x[i];
    }
    if (!(fabs(forward - backward) <= 1e-6 * (1 + (double)large))) fail_msg("%s: bilinear is not adjoint", label);
    x[small / 2] = NAN;
    table->bilinear_fwd(N, H, W, C, rows, columns, x, y);
    int lost = 1;
    for (size_t i = 0; i < large; i++) lost &= !isnan(y[i]);
    if (lost) fail_msg("%s: bilinear_fwd loses a NaN", label);
}

void kernel_cases_elementwise(const cnnbn_kernels *table, int n_cases, uint64_t seed)
{
    for (int i = 0; i < n_cases; i++) {
        dice d = dice_new(seed, i);
        arrays mem = {.n = 0};
        char label[96];
        (void)snprintf(label, sizeof label, "%s element-wise case %d", table->name, i);
        check_dropout(label, table, &mem, &d);
        check_input(label, table, &mem, &d);
        check_exact(label, table, &mem, &d);
        check_squares(label, table, &mem, &d);
        check_penalty(label, table, &mem, &d);
        check_bilinear(label, table, &mem, &d);
        arrays_end(&mem, label);
    }
}
