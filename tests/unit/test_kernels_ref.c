/* The naive kernels by oracles of their own: hand-computed examples, adjoint identities, central differences. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "case_tools.h"
#include "check.h"
#include "kernel_cases.h"

/* Results are doubles rounded to float once; inner products of some thousand of them. */
static const double adjoint_tolerance = 1e-5;
/* Central differences with a step of 1e-2 on float results: truncation about h^2, rounding about 6e-8 / h. */
static const float difference_step = 1e-2f;
static const double difference_tolerance = 2e-3;

enum { FLOATS = 2048 };

static const cnnbn_prologue no_prologue = {NULL, NULL, NULL, 1, {CNNBN_ACT_LINEAR, 0, 0, 0}};
static const cnnbn_activation linear = {CNNBN_ACT_LINEAR, 0, 0, 0};

/* One slice of n samples. */
static const cnnbn_run *one_slice(case_run *r, int n)
{
    case_run_fill(r, (size_t)n, 1, 0, 1);
    return &r->run;
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

static void conv_forward(const cnnbn_conv_geom *g, int n, const float *x, const float *w, const float *bias,
                         cnnbn_activation act, float *y)
{
    static float workspace[4 * FLOATS] __attribute__((aligned(64)));
    case_run r;
    cnnbn_conv_plan plan = {.geom = *g, .max_n = n, .max_slice = n};
    kernel_cases_ref()->conv_plan(&plan);
    assert_true(plan.fwd_workspace_floats <= 4 * FLOATS && plan.any_grouping == 1 && plan.algo == CNNBN_CONV_REF);
    cnnbn_conv_fwd args = {.run = one_slice(&r, n),
                           .x = x,
                           .in = no_prologue,
                           .w = w,
                           .bias = bias,
                           .act = act,
                           .y = y,
                           .workspace = workspace};
    kernel_cases_ref()->conv_fwd(&plan, &args);
}

static void conv_backward(const cnnbn_conv_geom *g, int n, const float *x, const float *dy, const float *w, float *dx,
                          float *dw, float *db)
{
    static float workspace[8 * FLOATS] __attribute__((aligned(64)));
    case_run r;
    cnnbn_conv_plan plan = {.geom = *g, .max_n = n, .max_slice = n};
    kernel_cases_ref()->conv_plan(&plan);
    assert_true(plan.bwd_workspace_floats <= 8 * FLOATS);
    cnnbn_conv_bwd args = {.run = one_slice(&r, n),
                           .x = x,
                           .in = no_prologue,
                           .dy = dy,
                           .w = w,
                           .dx = dx,
                           .dw = dw,
                           .db = db,
                           .workspace = workspace};
    kernel_cases_ref()->conv_bwd(&plan, &args);
}

/* 3x3 image 1..9. `same` by [[1,2],[3,4]]: row 0: 1*1+2*2+4*3+5*4 = 37, 2+6+15+24 = 47, 3+18 = 21; row 1: 4+10+21+32 = 67,
 * 5+12+24+36 = 77, 6+27 = 33; row 2: 7+16 = 23, 8+18 = 26, 9. A true convolution would give 23 in front. */
static void convolution_by_hand(void **state)
{
    (void)state;
    static const float x[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, w[4] = {1, 2, 3, 4}, one[1] = {0.5f};
    cnnbn_conv_geom same = {.H = 3,
                            .W = 3,
                            .C = 1,
                            .K = 1,
                            .R = 2,
                            .S = 2,
                            .P = 3,
                            .Q = 3,
                            .stride_h = 1,
                            .stride_w = 1,
                            .dil_h = 1,
                            .dil_w = 1,
                            .groups = 1};
    static const double expected[9] = {37.5, 47.5, 21.5, 67.5, 77.5, 33.5, 23.5, 26.5, 9.5};
    float y[9];
    conv_forward(&same, 1, x, w, one, linear, y);
    check_close("same", y, expected, 9, 0);

    /* A border above and on the left, stride 2, relu: the window starts at (-1,-1), (-1,1), (1,-1) and (1,1). */
    cnnbn_conv_geom strided = same;
    strided.pad_top = strided.pad_left = 1;
    strided.stride_h = strided.stride_w = 2;
    strided.P = strided.Q = 2;
    static const double corners[4] = {4, 18, 36, 77}; /* 1*4; 2*3+3*4; 4*2+7*4; 5+12+24+36 */
    conv_forward(&strided, 1, x, w, NULL, kernel_cases_acts[1], y);
    check_close("strided", y, corners, 4, 0);

    /* Dilation 2, valid: corners 1, 3, 7, 9: 1 + 6 + 21 + 36 = 64. */
    cnnbn_conv_geom dilated = same;
    dilated.dil_h = dilated.dil_w = 2;
    dilated.P = dilated.Q = 1;
    static const double centre[1] = {64};
    conv_forward(&dilated, 1, x, w, NULL, linear, y);
    check_close("dilated", y, centre, 1, 0);

    /* Layouts: one pixel, C = 2, K = 3, HWIO: y[k] = x0*w[0][k] + x1*w[1][k]; and in two groups of one filter each. */
    static const float pixel[2] = {2, 10}, io[6] = {1, 2, 3, 4, 5, 6};
    cnnbn_conv_geom point = {.H = 1,
                             .W = 1,
                             .C = 2,
                             .K = 3,
                             .R = 1,
                             .S = 1,
                             .P = 1,
                             .Q = 1,
                             .stride_h = 1,
                             .stride_w = 1,
                             .dil_h = 1,
                             .dil_w = 1,
                             .groups = 1};
    static const double mixed[3] = {42, 54, 66}, grouped[2] = {2, 20};
    conv_forward(&point, 1, pixel, io, NULL, linear, y);
    check_close("1x1", y, mixed, 3, 0);
    point.K = point.groups = 2;
    conv_forward(&point, 1, pixel, io, NULL, linear, y);
    check_close("groups", y, grouped, 2, 0);

    /* Gradients of the dilated case for dy = 2: dw = 2 * corners, dx = 2 * w at the corners. */
    static const float dy[1] = {2};
    static const double dw[4] = {2, 6, 14, 18}, dx[9] = {2, 0, 4, 0, 0, 0, 6, 0, 8}, db[1] = {2};
    float got_dx[9], got_dw[4], got_db[1];
    conv_backward(&dilated, 1, x, dy, w, got_dx, got_dw, got_db);
    check_close("dx", got_dx, dx, 9, 0);
    check_close("dw", got_dw, dw, 4, 0);
    check_close("db", got_db, db, 1, 0);
}

/* <conv(x, w), v> = <x, dgrad(v, w)> = <w, wgrad(x, v)>: backward is the adjoint of forward in each argument. */
static void convolution_adjoints(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        dice d = dice_new(77, i);
        cnnbn_conv_geom g = {.H = dice_int(&d, 5, 8),
                             .W = dice_int(&d, 5, 8),
                             .R = dice_int(&d, 1, 3),
                             .S = dice_int(&d, 1, 4),
                             .stride_h = dice_int(&d, 1, 3),
                             .stride_w = dice_int(&d, 1, 2),
                             .dil_h = dice_int(&d, 1, 2),
                             .dil_w = 1,
                             .groups = dice_int(&d, 1, 3)};
        g.C = g.groups * dice_int(&d, 1, 2);
        g.K = g.groups * dice_int(&d, 1, 2);
        g.pad_top = dice_int(&d, 0, g.R - 1);
        g.pad_left = dice_int(&d, 0, g.S - 1);
        g.P = (g.H + g.pad_top + dice_int(&d, 0, g.R - 1) - g.dil_h * (g.R - 1) - 1) / g.stride_h + 1;
        g.Q = (g.W + g.pad_left + dice_int(&d, 0, g.S - 1) - g.S) / g.stride_w + 1;
        int n = dice_int(&d, 1, 3);
        size_t in = (size_t)(n * g.H * g.W * g.C), out = (size_t)(n * g.P * g.Q * g.K);
        size_t weights = (size_t)(g.R * g.S * g.C / g.groups * g.K);
        arrays mem = {.n = 0};
        float *x = arrays_random(&mem, &d, in, -1, 1), *w = arrays_random(&mem, &d, weights, -1, 1);
        float *v = arrays_random(&mem, &d, out, -1, 1), *y = arrays_floats(&mem, out, 0);
        float *dx = arrays_floats(&mem, in, 0), *dw = arrays_floats(&mem, weights, 0);
        float *db = arrays_floats(&mem, (size_t)g.K, 0), *ones = arrays_floats(&mem, (size_t)g.K, 0);
        conv_forward(&g, n, x, w, NULL, linear, y);
        conv_backward(&g, n, x, v, w, dx, dw, db);
        double value = dot(y, v, out), sum = 0;
        check_near("<x, dgrad>", dot(x, dx, in), value, adjoint_tolerance);
        check_near("<w, wgrad>", dot(w, dw, weights), value, adjoint_tolerance);
        for (size_t k = 0; k < (size_t)g.K; k++) ones[k] = 1;
        for (size_t j = 0; j < out; j++) sum += (double)v[j];
        check_near("<1, db>", dot(ones, db, (size_t)g.K), sum, adjoint_tolerance);
        arrays_end(&mem, "adjoint");
    }
}

static void dense_by_hand_and_adjoint(void **state)
{
    (void)state;
    static const float x[4] = {1, 2, 3, 4}, w[6] = {1, 2, 3, 4, 5, 6}, bias[3] = {0.5f, 0, -30};
    static const double expected[6] = {9.5, 12, 0, 19.5, 26, 3}; /* [1 2; 3 4] [1 2 3; 4 5 6] + bias, relu */
    float y[6], workspace[64] __attribute__((aligned(64)));
    case_run r;
    const cnnbn_kernels *ref = kernel_cases_ref();
    cnnbn_dense_plan plan = {.F = 2, .U = 3, .max_n = 2, .max_slice = 2};
    ref->dense_plan(&plan);
    assert_true(plan.fwd_workspace_floats <= 64);
    cnnbn_dense_fwd fwd = {.run = one_slice(&r, 2),
                           .x = x,
                           .in = no_prologue,
                           .w = w,
                           .bias = bias,
                           .act = kernel_cases_acts[1],
                           .y = y,
                           .workspace = workspace};
    ref->dense_fwd(&plan, &fwd);
    check_close("dense", y, expected, 6, 0);

    static const float dy[6] = {1, 0, 2, 0, 1, 0};
    static const double dx[4] = {7, 16, 2, 5}, dw[6] = {1, 3, 2, 2, 4, 4}, db[3] = {1, 1, 2};
    float got_dx[4], got_dw[6], got_db[3];
    cnnbn_dense_bwd_data data = {.run = &r.run, .dy = dy, .w = w, .dx = got_dx};
    ref->dense_bwd_data(&plan, &data);
    check_close("dense dx", got_dx, dx, 4, 0);
    cnnbn_dense_bwd_weights weights = {.run = &r.run,
                                       .x = x,
                                       .in = no_prologue,
                                       .dy = dy,
                                       .dw = got_dw,
                                       .dw_stride = 6,
                                       .db = got_db,
                                       .db_stride = 3,
                                       .n_parts = 1};
    ref->dense_bwd_weights(&plan, &weights);
    check_close("dense dw", got_dw, dw, 6, 0);
    check_close("dense db", got_db, db, 3, 0);
}

/* Formulas as textbooks have them, written apart from the kernel's. */
static double act_formula(cnnbn_activation a, double x)
{
    double p0 = (double)a.p0, s = 1 / (1 + exp(-x));
    switch (a.kind) {
    case CNNBN_ACT_RELU:
        return fmax(x, 0);
    case CNNBN_ACT_RELU_GENERAL:
        return x >= p0 ? p0 : x >= (double)a.p2 ? x : (double)a.p1 * (x - (double)a.p2);
    case CNNBN_ACT_LEAKY_RELU:
        return x > 0 ? x : p0 * x;
    case CNNBN_ACT_ELU:
        return x > 0 ? x : p0 * (exp(x) - 1);
    case CNNBN_ACT_SELU:
        return 1.05070098735548 * (x > 0 ? x : 1.67326324235438 * (exp(x) - 1));
    case CNNBN_ACT_SIGMOID:
        return s;
    case CNNBN_ACT_TANH:
        return (exp(2 * x) - 1) / (exp(2 * x) + 1);
    case CNNBN_ACT_SOFTPLUS:
        return log(1 + exp(x));
    case CNNBN_ACT_GELU:
        return x * 0.5 * (1 + erf(x / sqrt(2)));
    case CNNBN_ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * pow(x, 3))));
    case CNNBN_ACT_SILU:
        return x * s;
    case CNNBN_ACT_HARD_SIGMOID:
        return fmin(fmax(x + 3, 0), 6) / 6;
    case CNNBN_ACT_HARD_SILU:
        return x * fmin(fmax(x + 3, 0), 6) / 6;
    default:
        return x;
    }
}

static void activations_and_their_slopes(void **state)
{
    (void)state;
    enum { N = 400 };
    const cnnbn_kernels *ref = kernel_cases_ref();
    for (int k = 0; k < KERNEL_CASES_ACTS; k++) {
        cnnbn_activation act = kernel_cases_acts[k];
        cnnbn_prologue plain = {.period = 1, .act = act};
        float x[N], y[N], dx[N], ones[N];
        double expected[N], slope[N];
        fill_random(x, N, 5);
        for (int i = 0; i < N; i++) {
            x[i] *= 5;
            ones[i] = 1;
        }
        case_avoid_kinks(&plain, x, N);
        for (int i = 0; i < N; i++) {
            double h = 1e-5, u = (double)x[i];
            expected[i] = act_formula(act, u);
            slope[i] = (act_formula(act, u + h) - act_formula(act, u - h)) / (2 * h);
        }
        char what[32];
        (void)snprintf(what, sizeof what, "activation %d", k);
        ref->act_fwd(N, act, x, y);
        check_close(what, y, expected, N, 1e-6);
        assert_int_equal(cnnbn_act_from_output(act), k < kernel_cases_n_from_output);
        ref->act_bwd(N, act, ones, k < kernel_cases_n_from_output ? NULL : x, y, dx);
        check_close(what, dx, slope, N, 1e-6);
    }
}

static void pools_by_hand(void **state)
{
    (void)state;
    const cnnbn_kernels *ref = kernel_cases_ref();
    static const float x[9] = {-1, -5, -5, -7, -2, -2, -9, -2, -8}, dy[4] = {1, 10, 100, 1000};
    cnnbn_pool_geom g = {.H = 3, .W = 3, .C = 1, .R = 2, .S = 2, .P = 2, .Q = 2, .stride_h = 2, .stride_w = 2};
    /* `same`: windows of 4, 2, 2 and 1 elements; no zero of the border wins against a negative number or counts. */
    static const double max[4] = {-1, -2, -2, -8}, max_dx[9] = {1, 0, 0, 0, 0, 10, 0, 100, 1000};
    static const double mean[4] = {-3.75, -3.5, -5.5, -8};
    static const double mean_dx[9] = {0.25, 0.25, 5, 0.25, 0.25, 5, 50, 50, 1000};
    float y[4], dx[9];
    ref->maxpool_fwd(&g, 1, x, y);
    check_close("max", y, max, 4, 0);
    ref->maxpool_bwd(&g, 1, x, y, dy, dx);
    check_close("max dx", dx, max_dx, 9, 0);
    ref->avgpool_fwd(&g, 1, x, y);
    check_close("average", y, mean, 4, 1e-7);
    ref->avgpool_bwd(&g, 1, dy, dx);
    check_close("average dx", dx, mean_dx, 9, 1e-7);

    /* Overlapping windows, all equal: the first element of each takes the gradient. */
    static const float zeros[9] = {0};
    static const double firsts[9] = {1, 10, 0, 100, 1000, 0, 0, 0, 0};
    g.stride_h = g.stride_w = 1;
    ref->maxpool_bwd(&g, 1, zeros, y, dy, dx);
    check_close("ties", dx, firsts, 9, 0);

    static const double channels[2] = {2, 20};
    static const float pixels[6] = {1, 10, 2, 20, 3, 30}, two[2] = {3, 6};
    static const double spread[6] = {1, 2, 1, 2, 1, 2};
    ref->gap_fwd(1, 3, 2, pixels, y);
    check_close("global mean", y, channels, 2, 1e-7);
    ref->gap_bwd(1, 3, 2, two, dx);
    check_close("global mean dx", dx, spread, 6, 1e-7);
}

/* Loss of a batch-norm layer on `rows` rows: sum of v * act(bn(x)), statistics over all rows; its gradient by the kernels. */
enum { BN_ROWS = 12, BN_C = 3, BN_N = BN_ROWS * BN_C };
static const float bn_gamma[BN_C] = {1.5f, -0.7f, 1.1f}, bn_beta[BN_C] = {0.2f, 0.4f, -0.1f};

typedef struct bn_moments {
    float mean[BN_C], scale[BN_C];
    double inv_std[BN_C];
} bn_moments;

static void bn_measure(const float *x, bn_moments *m)
{
    case_run r;
    static const float shift[BN_C] = {0.1f, 0, -0.2f};
    double stat[2 * BN_C];
    kernel_cases_ref()->bn_stats(one_slice(&r, BN_ROWS / 2), 2, BN_C, x, shift, stat, 2 * BN_C);
    for (int c = 0; c < BN_C; c++) {
        double mean = stat[c] / BN_ROWS, variance = stat[BN_C + c] / BN_ROWS - mean * mean;
        m->inv_std[c] = 1 / sqrt(variance + 1e-3);
        m->mean[c] = (float)(mean + (double)shift[c]);
        m->scale[c] = (float)((double)bn_gamma[c] * m->inv_std[c]);
    }
}

static double bn_loss(const float *x, cnnbn_activation act, const float *v)
{
    bn_moments m;
    bn_measure(x, &m);
    cnnbn_prologue in = {m.mean, m.scale, bn_beta, BN_C, act};
    float z[BN_N];
    kernel_cases_ref()->bn_apply(BN_ROWS, BN_C, x, &in, NULL, z);
    return dot(z, v, BN_N);
}

static void batch_norm_gradient(void **state)
{
    (void)state;
    cnnbn_activation act = {CNNBN_ACT_SILU, 0, 0, 0};
    float x[BN_N], v[BN_N], dx[BN_N], a[BN_C], b[BN_C], c0[BN_C];
    fill_random(x, BN_N, 1);
    fill_random(v, BN_N, 2);
    bn_moments m;
    bn_measure(x, &m);
    cnnbn_prologue in = {m.mean, m.scale, bn_beta, BN_C, act};
    case_run r;
    double sums[2 * BN_C], expected[BN_N];
    kernel_cases_ref()->bn_bwd_sums(one_slice(&r, BN_ROWS / 2), 2, BN_C, v, x, &in, sums, 2 * BN_C);
    for (int c = 0; c < BN_C; c++) {
        double scale = (double)m.scale[c];
        a[c] = (float)scale;
        b[c] = (float)(-scale * m.inv_std[c] * m.inv_std[c] * sums[BN_C + c] / BN_ROWS);
        c0[c] = (float)(-scale * sums[c] / BN_ROWS);
    }
    kernel_cases_ref()->bn_bwd_apply(BN_ROWS, BN_C, v, x, &in, a, b, c0, linear, dx);
    for (int i = 0; i < BN_N; i++) {
        float kept = x[i], up = kept + difference_step, down = kept - difference_step;
        x[i] = up;
        expected[i] = bn_loss(x, act, v);
        x[i] = down;
        expected[i] = (expected[i] - bn_loss(x, act, v)) / ((double)up - (double)down);
        x[i] = kept;
    }
    check_close("batch norm dx", dx, expected, BN_N, difference_tolerance);
    /* By hand: (x - 2)*3 + 1 at x = 4 and x = -4, relu, and the addend inside of the activation. */
    static const float two[1] = {2}, three[1] = {3}, one[1] = {1}, points[2] = {4, -4}, addend[2] = {-1, 20};
    cnnbn_prologue hand = {two, three, one, 1, kernel_cases_acts[1]};
    static const double plain[2] = {7, 0}, added[2] = {6, 3};
    float z[2];
    kernel_cases_ref()->bn_apply(2, 1, points, &hand, NULL, z);
    check_close("bn_apply", z, plain, 2, 0);
    kernel_cases_ref()->bn_apply(2, 1, points, &hand, addend, z);
    check_close("bn_apply with an addend", z, added, 2, 0);
}

static double xent(const float *logits, const int32_t *labels, float smoothing, float *dlogits, double *hits)
{
    case_run r;
    double sums[2];
    const cnnbn_loss args = {.run = one_slice(&r, 3),
                             .C = 4,
                             .x = logits,
                             .target = {.labels = labels},
                             .label_smoothing = smoothing,
                             .grad_scale = 1,
                             .dx = dlogits,
                             .sums = sums,
                             .sums_stride = 2};
    kernel_cases_ref()->softmax_xent(&args);
    if (hits) *hits = sums[1];
    return sums[0];
}

static void softmax_and_loss(void **state)
{
    (void)state;
    /* Softmax of (ln 1, ln 3, ln 4, ln 8) is (1, 3, 4, 8)/16. */
    float x[12] = {0, 1.0986123f, 1.3862944f, 2.0794415f, 0, 0, 0, 0, 1000, 0, -1000, 2}, y[12], dl[12];
    static const double p[12] = {0.0625, 0.1875, 0.25, 0.5, 0.25, 0.25, 0.25, 0.25, 1, 0, 0, 0};
    static const int32_t labels[3] = {3, 1, 1};
    double hits, expected[12];
    kernel_cases_ref()->softmax(3, 4, x, y);
    check_close("softmax", y, p, 12, 1e-7);
    check_near("loss", xent(x, labels, 0, dl, &hits), log(2) + log(4) + 1000, 1e-7);
    check_near("hits: the first of equal logits is 0, not 1", hits, 1, 0);
    for (int i = 0; i < 12; i++) expected[i] = p[i] - (i == 3 || i == 5 || i == 9 ? 1 : 0);
    check_close("dlogits", dl, expected, 12, 1e-7);

    fill_random(x, 12, 9);
    (void)xent(x, labels, 0.1f, dl, NULL);
    for (int i = 0; i < 12; i++) {
        float kept = x[i], up = kept + difference_step, down = kept - difference_step;
        x[i] = up;
        expected[i] = xent(x, labels, 0.1f, NULL, NULL);
        x[i] = down;
        expected[i] = (expected[i] - xent(x, labels, 0.1f, NULL, NULL)) / ((double)up - (double)down);
        x[i] = kept;
    }
    check_close("dlogits by differences", dl, expected, 12, difference_tolerance);

    /* softmax_bwd is the transpose of softmax's Jacobian. */
    static const float v[12] = {0.3f, -1, 0.5f, 2, 1, 2, 3, 4, -1, 0, 1, 0};
    float dx[12], moved[12];
    kernel_cases_ref()->softmax(3, 4, x, y);
    kernel_cases_ref()->softmax_bwd(3, 4, v, y, dx);
    for (int i = 0; i < 12; i++) {
        float kept = x[i], up = kept + difference_step, down = kept - difference_step;
        x[i] = up;
        kernel_cases_ref()->softmax(3, 4, x, moved);
        expected[i] = dot(moved, v, 12);
        x[i] = down;
        kernel_cases_ref()->softmax(3, 4, x, moved);
        expected[i] = (expected[i] - dot(moved, v, 12)) / ((double)up - (double)down);
        x[i] = kept;
    }
    check_close("softmax dx by differences", dx, expected, 12, difference_tolerance);
}

static void optimizers_by_hand(void **state)
{
    (void)state;
    const cnnbn_kernels *ref = kernel_cases_ref();
    /* Adam's first step is the sign of g times the learning rate (epsilon aside). */
    float w[2] = {1, -2}, m[2] = {0, 0}, v[2] = {0, 0};
    static const float g[2] = {0.5f, -4};
    cnnbn_adam adam = {
        .step_size = (float)(0.1 * sqrt(1 - 0.999) / (1 - 0.9)), .rate1 = 0.1f, .rate2 = 0.001f, .epsilon = 1e-7f};
    static const double after[2] = {0.9, -1.9}, first[2] = {0.05, -0.4};
    ref->adam(2, &adam, g, m, v, w);
    check_close("adam w", w, after, 2, 1e-5);
    check_close("adam m", m, first, 2, 1e-6);
    /* SGD: w 1, m 1, g 2, lr 0.1, mu 0.5: m = 0.5 - 0.2 = 0.3; w = 1.3, or Nesterov w = 1 + 0.15 - 0.2 = 0.95. */
    cnnbn_sgd sgd = {0.1f, 0.5f, 0, 0, 0};
    float sw[1] = {1}, sm[1] = {1};
    static const float sg[1] = {2};
    ref->sgd(1, &sgd, sg, sm, sw);
    check_near("sgd w", (double)sw[0], 1.3, 1e-6);
    check_near("sgd m", (double)sm[0], 0.3, 1e-6);
    sw[0] = sm[0] = 1;
    sgd.nesterov = 1;
    ref->sgd(1, &sgd, sg, sm, sw);
    check_near("nesterov w", (double)sw[0], 0.95, 1e-6);
    sgd = (cnnbn_sgd){0.1f, 0, 0, 0.25f, 0};
    sw[0] = 1;
    ref->sgd(1, &sgd, sg, NULL, sw);
    check_near("decay", (double)sw[0], 0.75 - 0.2, 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolution_by_hand),
        cmocka_unit_test(convolution_adjoints),
        cmocka_unit_test(dense_by_hand_and_adjoint),
        cmocka_unit_test(activations_and_their_slopes),
        cmocka_unit_test(pools_by_hand),
        cmocka_unit_test(batch_norm_gradient),
        cmocka_unit_test(softmax_and_loss),
        cmocka_unit_test(optimizers_by_hand),
    };
    return cmocka_run_group_tests_name("kernels_ref", tests, NULL, NULL);
}
