#include "case_tools.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cnnbn/memory.h"
#include "cnnbn/rng.h"
#include "kernel_cases.h"

enum { GUARD_BYTES = 256, GUARD_BYTE = 0xff /* as floats: NaN, so that reading a guard shows too */ };

const cnnbn_activation kernel_cases_acts[KERNEL_CASES_ACTS] = {
    {CNNBN_ACT_LINEAR, 0, 0, 0},
    {CNNBN_ACT_RELU, 0, 0, 0},
    {CNNBN_ACT_LEAKY_RELU, 0.2f, 0, 0},
    {CNNBN_ACT_ELU, 1.0f, 0, 0},
    {CNNBN_ACT_SELU, 0, 0, 0},
    {CNNBN_ACT_SIGMOID, 0, 0, 0},
    {CNNBN_ACT_TANH, 0, 0, 0},
    {CNNBN_ACT_RELU_GENERAL, 2.0f, 0.1f, 0},
    {CNNBN_ACT_ELU, -0.5f, 0, 0},
    {CNNBN_ACT_LEAKY_RELU, -0.3f, 0, 0},
    {CNNBN_ACT_RELU_GENERAL, INFINITY, 0.3f, 0.5f},
    {CNNBN_ACT_RELU_GENERAL, 6.0f, 0, 0},
    {CNNBN_ACT_SOFTPLUS, 0, 0, 0},
    {CNNBN_ACT_GELU, 0, 0, 0},
    {CNNBN_ACT_GELU_TANH, 0, 0, 0},
    {CNNBN_ACT_SILU, 0, 0, 0},
    {CNNBN_ACT_HARD_SIGMOID, 0, 0, 0},
    {CNNBN_ACT_HARD_SILU, 0, 0, 0},
};
const int kernel_cases_n_from_output = 8;

const cnnbn_kernels *kernel_cases_ref(void)
{
    const cnnbn_kernels *ref;
    check_ok(cnnbn_kernels_get("ref", &ref));
    return ref;
}

dice dice_new(uint64_t seed, int case_index)
{
    return (dice){cnnbn_rng_key(seed, CNNBN_RNG_TEST, (uint64_t)case_index, 0, 0), 0};
}

int dice_int(dice *d, int low, int high)
{
    return low + (int)cnnbn_rng_below(d->key, d->next++, (uint64_t)(high - low + 1));
}

float dice_float(dice *d, float low, float high)
{
    return low + (high - low) * cnnbn_rng_uniform(d->key, d->next++ * 4);
}

static void *arrays_take(arrays *a, size_t bytes, size_t offset)
{
    assert_true(a->n < ARRAYS_MAX);
    struct guarded *g = &a->all[a->n++];
    g->bytes = bytes;
    g->offset = GUARD_BYTES + offset;
    check_ok(cnnbn_alloc(g->offset + bytes + GUARD_BYTES, "a test's array", &g->block));
    memset(g->block, GUARD_BYTE, g->offset + bytes + GUARD_BYTES);
    return (char *)g->block + g->offset;
}

float *arrays_floats(arrays *a, size_t n, int offset)
{
    return arrays_take(a, n * sizeof(float), (size_t)offset * sizeof(float));
}

double *arrays_doubles(arrays *a, size_t n)
{
    return arrays_take(a, n * sizeof(double), 0);
}

float *arrays_random(arrays *a, dice *d, size_t n, float low, float high)
{
    float *x = arrays_floats(a, n, dice_int(d, 0, 3));
    fill_random(x, n, d->key + d->next++);
    for (size_t i = 0; i < n; i++) x[i] = low + (high - low) * 0.5f * (x[i] + 1);
    return x;
}

float *arrays_copy(arrays *a, const float *from, size_t n, int offset)
{
    float *x = arrays_floats(a, n, offset);
    if (n) memcpy(x, from, n * sizeof *x);
    return x;
}

void arrays_end(arrays *a, const char *what)
{
    for (int k = 0; k < a->n; k++) {
        const struct guarded *g = &a->all[k];
        const unsigned char *block = g->block;
        for (size_t i = 0; i < g->offset; i++)
            if (block[i] != GUARD_BYTE) fail_msg("%s: written %zu bytes in front of array %d", what, g->offset - i, k);
        for (size_t i = 0; i < GUARD_BYTES; i++)
            if (block[g->offset + g->bytes + i] != GUARD_BYTE)
                fail_msg("%s: written %zu bytes behind array %d of %zu bytes", what, i, k, g->bytes);
        cnnbn_free(g->block);
    }
    a->n = 0;
}

void case_close(const char *label, const char *what, const float *got, const float *expected, size_t n, double floor,
                double tolerance)
{
    double scale = floor;
    for (size_t i = 0; i < n; i++)
        if (fabs((double)expected[i]) > scale) scale = fabs((double)expected[i]);
    for (size_t i = 0; i < n; i++) {
        double error = fabs((double)got[i] - (double)expected[i]);
        if (!(error <= tolerance * scale) || !isfinite(got[i]))
            fail_msg("%s: %s[%zu of %zu] = %.9g, expected %.9g (error %.3g of %.3g, tolerance %.3g)", label, what, i, n,
                     (double)got[i], (double)expected[i], error, scale, tolerance);
    }
}

void case_close_f64(const char *label, const char *what, const double *got, const double *expected, const double *scale,
                    size_t n, double tolerance)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs(got[i] - expected[i]) <= tolerance * scale[i] + 1e-30))
            fail_msg("%s: %s[%zu of %zu] = %.15g, expected %.15g (scale %.3g, tolerance %.3g)", label, what, i, n,
                     got[i], expected[i], scale[i], tolerance);
}

void case_each(const char *label, const char *what, const float *got, const float *expected, size_t n, double tolerance)
{
    for (size_t i = 0; i < n; i++) {
        double a = (double)got[i], b = (double)expected[i];
        int same = isnan(b)   ? isnan(a)
                   : isinf(b) ? isinf(a) && signbit(a) == signbit(b)
                              : fabs(a - b) <= tolerance * (fabs(b) > 1 ? fabs(b) : 1);
        if (!same) fail_msg("%s: %s[%zu of %zu] = %.9g, expected %.9g", label, what, i, n, a, b);
    }
}

void case_bits(const char *label, const char *what, const void *got, const void *expected, size_t bytes)
{
    const unsigned char *a = got, *b = expected;
    for (size_t i = 0; i < bytes; i++)
        if (a[i] != b[i]) fail_msg("%s: %s: byte %zu of %zu differs", label, what, i, bytes);
}

void case_nonfinite(const char *label, const char *what, const float *got, const float *expected, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(expected[i]) && isfinite(got[i]))
            fail_msg("%s: %s[%zu of %zu] = %.9g, expected %g", label, what, i, n, (double)got[i], (double)expected[i]);
}

void case_run_fill(case_run *r, size_t batch, int S, int first, int n_slices)
{
    assert_true(n_slices <= RUN_SLICES_MAX);
    cnnbn_run_fill(&r->run, batch, S, first, n_slices, r->bounds, r->merges);
    r->S = S;
    r->batch = batch;
    r->first_sample = cnnbn_slice_begin(batch, S, first);
    r->samples = r->bounds[n_slices];
    r->max_slice = 0;
    for (int s = 0; s < n_slices; s++)
        if (r->bounds[s + 1] - r->bounds[s] > r->max_slice) r->max_slice = r->bounds[s + 1] - r->bounds[s];
}

void case_run_random(case_run *r, dice *d, int max_batch)
{
    size_t batch = (size_t)dice_int(d, dice_one_in(d, 20) ? 0 : 1, max_batch);
    int S = dice_int(d, 1, 12);
    int first = dice_one_in(d, 2) ? 0 : dice_int(d, 0, S - 1);
    int count = dice_one_in(d, 15) ? 0 : dice_one_in(d, 2) ? S - first : dice_int(d, 1, S - first);
    case_run_fill(r, batch, S, first, count);
}

void case_run_slice(case_run *one, const case_run *r, int s)
{
    case_run_fill(one, r->batch, r->S, r->run.first + s, 1);
}

void join_push_f32(join *j, const cnnbn_run *one, size_t n, float *base, size_t stride)
{
    int top = j->height, merges = cnnbn_tree_push(j->S, j->labels, &j->height, one->nodes[0]);
    for (; merges > 0; merges--, top--)
        for (size_t i = 0; i < n; i++) base[(size_t)(top - 1) * stride + i] += base[(size_t)top * stride + i];
}

void join_push_f64(join *j, const cnnbn_run *one, size_t n, double *base, size_t stride)
{
    int top = j->height, merges = cnnbn_tree_push(j->S, j->labels, &j->height, one->nodes[0]);
    for (; merges > 0; merges--, top--)
        for (size_t i = 0; i < n; i++) base[(size_t)(top - 1) * stride + i] += base[(size_t)top * stride + i];
}

void case_nodes_f32(const char *label, const char *what, const cnnbn_run *run, size_t n, const float *got,
                    const float *expected, size_t stride)
{
    for (int e = 0; e < run->n_nodes; e++)
        case_bits(label, what, got + (size_t)e * stride, expected + (size_t)e * stride, n * sizeof *got);
}

void case_nodes_f64(const char *label, const char *what, const cnnbn_run *run, size_t n, const double *got,
                    const double *expected, size_t stride)
{
    for (int e = 0; e < run->n_nodes; e++)
        case_bits(label, what, got + (size_t)e * stride, expected + (size_t)e * stride, n * sizeof *got);
}

cnnbn_prologue case_prologue(arrays *a, dice *d, int period, float mean)
{
    cnnbn_prologue in = {NULL, NULL, NULL, period, {CNNBN_ACT_LINEAR, 0, 0, 0}};
    int kind = dice_int(d, 0, 4); /* 0, 1: none */
    if (kind >= 3) {
        in.mean = arrays_random(a, d, (size_t)period, mean - 0.5f, mean + 0.5f);
        in.scale = arrays_random(a, d, (size_t)period, 0.5f, 1.5f);
        in.beta = arrays_random(a, d, (size_t)period, -0.5f, 0.5f);
    }
    if (kind == 2 || kind == 4) in.act = kernel_cases_acts[dice_one_in(d, 2) ? 1 : dice_int(d, 1, 7)];
    return in;
}

void case_avoid_kinks(const cnnbn_prologue *in, float *x, size_t n)
{
    const double kinks[] = {0, (double)in->act.p0, (double)in->act.p2, -3, 3};
    for (size_t i = 0; i < n; i++) {
        size_t c = in->mean ? i % (size_t)in->period : 0;
        double mean = 0, scale = 1, beta = 0;
        if (in->mean) {
            mean = (double)in->mean[c];
            scale = (double)in->scale[c];
            beta = (double)in->beta[c];
        }
        for (size_t k = 0; k < sizeof kinks / sizeof *kinks; k++) /* 0.12 is far from all of the tests' kinks */
            if (fabs(((double)x[i] - mean) * scale + beta - kinks[k]) < 0.005)
                x[i] = (float)(mean + (0.12 - beta) / scale);
    }
}

cnnbn_activation case_act_from_output(dice *d)
{
    return kernel_cases_acts[dice_one_in(d, 3) ? 0 : dice_one_in(d, 3) ? 1 : dice_int(d, 0, 7)];
}
