/* Softmax and the cross-entropy on it. */
#include "ew_math.h"
#include "stack.h"

#include <math.h>
#include <string.h>

/* Sum in double over 8 lanes, then the lanes in order: vectorises, and depends on the values alone. */
EW_INLINE double sum_lanes(int n, const float *x)
{
    double lane[8] = {0}, sum = 0.0;
    int i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++) lane[j] += (double)x[i + j];
    for (; i < n; i++) sum += (double)x[i];
    for (int j = 0; j < 8; j++) sum += lane[j];
    return sum;
}

/* A NaN is passed over: the sum of exponentials meets it again. */
EW_INLINE float row_max(int n, const float *x)
{
    float max = x[0];
    int i = 0;
    if (n >= 16) {
        float lane[16];
        memcpy(lane, x, sizeof lane);
        for (i = 16; i + 16 <= n; i += 16)
            for (int j = 0; j < 16; j++) lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
        for (int j = 0; j < 16; j++) max = lane[j] > max ? lane[j] : max;
    }
    for (; i < n; i++) max = x[i] > max ? x[i] : max;
    return max;
}

void EW(softmax)(size_t rows, int C, const float *x, float *y)
{
    for (size_t r = 0; r < rows; r++, x += C, y += C) {
        float max = row_max(C, x);
        EW_SIMD
        for (int c = 0; c < C; c++) y[c] = ew_exp(x[c] - max);
        float scale = (float)(1.0 / sum_lanes(C, y));
        EW_SIMD
        for (int c = 0; c < C; c++) y[c] *= scale;
    }
}

void EW(softmax_bwd)(size_t rows, int C, const float *dy, const float *y, float *dx)
{
    for (size_t r = 0; r < rows; r++, dy += C, y += C, dx += C) {
        double sum = 0.0;
        for (int c = 0; c < C; c++) sum += (double)dy[c] * (double)y[c];
        float dot = (float)sum;
        EW_SIMD
        for (int c = 0; c < C; c++) dx[c] = y[c] * (dy[c] - dot);
    }
}

/* ---------------------------------------------------------------- losses */

/* What is done at once, in arrays that live in registers or L1. */
enum { WIDE = 16 };

EW_INLINE double sum_wide(const double *lane)
{
    double four[4];
    for (int j = 0; j < 4; j++) four[j] = (lane[j] + lane[j + 8]) + (lane[j + 4] + lane[j + 12]);
    return (four[0] + four[2]) + (four[1] + four[3]);
}

/* n of WIDE values; the rest is `fill`. */
EW_INLINE void load_wide(const float *x, int n, float fill, float *to)
{
    if (n == WIDE) {
        memcpy(to, x, WIDE * sizeof *to);
        return;
    }
    for (int j = 0; j < WIDE; j++) to[j] = fill;
    for (int j = 0; j < n; j++) to[j] = x[j];
}

EW_INLINE void store_wide(const float *x, int n, float *to)
{
    if (n == WIDE)
        memcpy(to, x, WIDE * sizeof *to);
    else
        for (int j = 0; j < n; j++) to[j] = x[j];
}

EW_INLINE int wide_part(int C, int c)
{
    return C - c < WIDE ? C - c : WIDE;
}

/* Sums of a row that the loss needs. */
typedef struct row_sums {
    double exponentials; /* of x - max */
    double shifted;      /* of x - max, with smoothing */
    double targets;      /* of a target row t */
    double products;     /* of t*(x - max) */
} row_sums;

/* The exponentials go to e, or nowhere. Whole arrays of WIDE: what is behind the row is -Inf, whose exponential is 0. */
EW_INLINE void sum_row(int C, const float *x, float max, const float *t, int smooth, float *e, row_sums *out)
{
    double lane[4][WIDE] = {{0}};
    for (int c = 0; c < C; c += WIDE) {
        float part[WIDE], power[WIDE], target[WIDE];
        int n = wide_part(C, c);
        load_wide(x + c, n, -INFINITY, part);
        EW_SIMD
        for (int j = 0; j < WIDE; j++) power[j] = ew_exp(part[j] - max);
        EW_SIMD
        for (int j = 0; j < WIDE; j++) lane[0][j] += (double)power[j];
        if (e) store_wide(power, n, e + c);
        if (smooth)
            for (int j = 0; j < n; j++) lane[1][j] += (double)part[j] - (double)max;
        if (!t) continue;
        load_wide(t + c, n, 0.0f, target);
        /* A target of 0 adds nothing, also where x is -Inf. */
        for (int j = 0; j < n; j++) {
            lane[2][j] += (double)target[j];
            lane[3][j] += target[j] > 0.0f ? (double)target[j] * ((double)part[j] - (double)max) : 0.0;
        }
    }
    out->exponentials = sum_wide(lane[0]);
    out->shifted = smooth ? sum_wide(lane[1]) : 0.0;
    out->targets = t ? sum_wide(lane[2]) : 1.0;
    out->products = t ? sum_wide(lane[3]) : 0.0;
}

/* dx = (e*p_scale - t*t_scale - even), all times `scale`; dx holds the exponentials e. */
EW_INLINE void slope_row(int C, const float *t, double p_scale, double t_scale, double even, double scale, float *dx)
{
    for (int c = 0; c < C; c += WIDE) {
        float part[WIDE], target[WIDE];
        int n = wide_part(C, c);
        load_wide(dx + c, n, 0.0f, part);
        if (t) {
            load_wide(t + c, n, 0.0f, target);
            EW_SIMD
            for (int j = 0; j < WIDE; j++)
                part[j] = (float)(((double)part[j] * p_scale - even - (double)target[j] * t_scale) * scale);
        } else {
            EW_SIMD
            for (int j = 0; j < WIDE; j++) part[j] = (float)(((double)part[j] * p_scale - even) * scale);
        }
        store_wide(part, n, dx + c);
    }
}

/* Whether the first of the greatest of C values, `max`, is number `at`. */
EW_INLINE int is_first_greatest(const float *x, float max, int at)
{
    if (x[0] != x[0]) return at == 0; /* nothing is greater than a NaN */
    int earlier = 0;
    for (int c = 0; c < at; c++) earlier |= x[c] == max;
    return x[at] == max && !earlier;
}

static int first_greatest(int C, const float *x)
{
    int best = 0;
    for (int c = 1; c < C; c++) best = x[c] > x[best] ? c : best;
    return best;
}

/* One row; loss = sum(t)*log sum e^(x - max) - sum_c t_c (x_c - max). The exponential of the greatest is exactly 1, and what is
 * subtracted from is in double: a gradient near 0 keeps its digits. */
EW_INLINE void softmax_row(const cnnbn_loss *a, int n, double *sums)
{
    int C = a->C, label = a->target.rows ? -1 : a->target.labels[n];
    const float *x = a->x + (size_t)n * (size_t)C, *t = a->target.rows ? a->target.rows[n] : NULL;
    float *dx = a->dx ? a->dx + (size_t)n * (size_t)C : NULL, max = row_max(C, x);
    double e = (double)a->label_smoothing, even = e / (double)C;
    row_sums row;
    sum_row(C, x, max, t, e > 0.0, dx, &row);
    double product = t ? row.products : (double)x[label] - (double)max;
    double all = row.targets * (1.0 - e) + e;
    if (e > 0.0) product = (1.0 - e) * product + even * row.shifted;
    sums[0] += all * log(row.exponentials) - product;
    sums[1] += is_first_greatest(x, max, t ? first_greatest(C, t) : label) ? 1.0 : 0.0;
    if (!dx) return;
    double p_scale = all / row.exponentials, scale = (double)a->grad_scale;
    double at_label = t ? 0.0 : (double)dx[label] * p_scale - even - (1.0 - e);
    slope_row(C, t, p_scale, 1.0 - e, even, scale, dx);
    if (!t) dx[label] = (float)(at_label * scale);
}

void EW(softmax_xent)(const cnnbn_loss *args)
{
    const cnnbn_run *run = args->run;
    int height = 0;
    for (int s = 0; s < run->n_slices; s++) {
        double *entry = args->sums + (size_t)height * args->sums_stride;
        entry[0] = entry[1] = 0.0;
        for (int n = run->bounds[s]; n < run->bounds[s + 1]; n++) softmax_row(args, n, entry);
        height = cnnbn__stack_push_f64(run, s, height, 2, args->sums, args->sums_stride);
    }
}

/* ---------------------------------------------------------------- means of terms */

/* The term of an output and its derivative. */
typedef void (*term_rule)(const cnnbn_loss *a, float x, float t, double *term, float *slope);

EW_INLINE void sigmoid_term(const cnnbn_loss *a, float x, float t, double *term, float *slope)
{
    (void)a;
    *term = (double)ew_softplus(x) - (double)x * (double)t;
    *slope = ew_sigmoid(x) - t;
}

EW_INLINE void binary_term(const cnnbn_loss *a, float x, float t, double *term, float *slope)
{
    (void)a;
    const float low = 1e-7f, high = 1.0f - 1e-7f;
    double p = (double)(x < low ? low : x > high ? high : x), target = (double)t;
    *term = -(target * log(p) + (1.0 - target) * log(1.0 - p));
    *slope = x < low || x > high ? 0.0f : (float)((p - target) / (p * (1.0 - p)));
}

EW_INLINE void squared_term(const cnnbn_loss *a, float x, float t, double *term, float *slope)
{
    (void)a;
    double d = (double)x - (double)t;
    *term = d * d;
    *slope = (float)(2.0 * d);
}

EW_INLINE void absolute_term(const cnnbn_loss *a, float x, float t, double *term, float *slope)
{
    (void)a;
    double d = (double)x - (double)t;
    *term = fabs(d);
    *slope = x > t ? 1.0f : x < t ? -1.0f : (float)d; /* 0, or NaN */
}

EW_INLINE void huber_term(const cnnbn_loss *a, float x, float t, double *term, float *slope)
{
    double d = (double)x - (double)t, delta = (double)a->delta, size = fabs(d);
    *term = size > delta ? delta * size - 0.5 * delta * delta : 0.5 * d * d;
    *slope = (float)(d > delta ? delta : d < -delta ? -delta : d);
}

EW_INLINE double mean_of_row(const cnnbn_loss *a, int n, int smooth, term_rule rule)
{
    int C = a->C;
    const float *x = a->x + (size_t)n * (size_t)C;
    float *dx = a->dx ? a->dx + (size_t)n * (size_t)C : NULL, e = smooth ? a->label_smoothing : 0.0f;
    float scale = (float)((double)a->grad_scale / (double)C);
    double lane[WIDE] = {0};
    for (int c = 0; c < C; c += WIDE) {
        float target[WIDE], slope[WIDE];
        int part = wide_part(C, c);
        if (a->target.rows)
            load_wide(a->target.rows[n] + c, part, 0.0f, target);
        else
            for (int j = 0; j < part; j++)
                target[j] = C == 1 ? (float)a->target.labels[n] : a->target.labels[n] == c + j ? 1.0f : 0.0f;
        if (e > 0.0f)
            for (int j = 0; j < part; j++) target[j] = target[j] * (1.0f - e) + 0.5f * e;
        EW_SIMD
        for (int j = 0; j < part; j++) {
            double term;
            rule(a, x[c + j], target[j], &term, &slope[j]);
            lane[j] += term;
        }
        if (!dx) continue;
        EW_SIMD
        for (int j = 0; j < part; j++) dx[c + j] = slope[j] * scale;
    }
    return sum_wide(lane) / (double)C;
}

EW_INLINE void mean_of_terms(const cnnbn_loss *a, int smooth, term_rule rule)
{
    const cnnbn_run *run = a->run;
    int height = 0;
    for (int s = 0; s < run->n_slices; s++) {
        double *entry = a->sums + (size_t)height * a->sums_stride;
        entry[0] = 0.0;
        for (int n = run->bounds[s]; n < run->bounds[s + 1]; n++) entry[0] += mean_of_row(a, n, smooth, rule);
        height = cnnbn__stack_push_f64(run, s, height, 1, a->sums, a->sums_stride);
    }
}

void EW(sigmoid_xent)(const cnnbn_loss *args)
{
    mean_of_terms(args, 1, sigmoid_term);
}

void EW(binary_xent)(const cnnbn_loss *args)
{
    mean_of_terms(args, 1, binary_term);
}

void EW(squared_error)(const cnnbn_loss *args)
{
    mean_of_terms(args, 0, squared_term);
}

void EW(absolute_error)(const cnnbn_loss *args)
{
    mean_of_terms(args, 0, absolute_term);
}

void EW(huber)(const cnnbn_loss *args)
{
    mean_of_terms(args, 0, huber_term);
}
