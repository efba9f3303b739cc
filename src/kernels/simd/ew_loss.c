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
        for (int w = 8; w > 0; w /= 2)
            for (int j = 0; j < w; j++) lane[j] = lane[j + w] > lane[j] ? lane[j + w] : lane[j];
        max = lane[0] > max ? lane[0] : max;
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

/* What is done at once, in arrays that live in registers or L1; sums in double by the compilers' vector extension, which keeps
 * them in registers where a loop over an array goes lane by lane. */
#if defined(__AVX512F__)
enum { PART = 8 };
#elif defined(__AVX__)
enum { PART = 4 };
#else
enum { PART = 2 };
#endif
enum { WIDE = 16, PARTS = WIDE / PART, ROWS = 16 };
typedef float part_f32 __attribute__((vector_size(PART * 4)));
typedef double part_f64 __attribute__((vector_size(PART * 8)));

EW_INLINE void widen(const float *x, part_f64 out[PARTS])
{
    for (int h = 0; h < PARTS; h++) {
        part_f32 part;
        memcpy(&part, x + h * PART, sizeof part);
        out[h] = __builtin_convertvector(part, part_f64);
    }
}

EW_INLINE double sum_wide(const double *lane)
{
    double four[4];
    for (int j = 0; j < 4; j++) four[j] = (lane[j] + lane[j + 8]) + (lane[j + 4] + lane[j + 12]);
    return (four[0] + four[2]) + (four[1] + four[3]);
}

EW_INLINE double sum_parts(const part_f64 sum[PARTS])
{
    double lane[WIDE];
    memcpy(lane, sum, sizeof lane);
    return sum_wide(lane);
}

/* n of WIDE values, the rest `fill`: where they stand when all are there, else in `room`. */
EW_INLINE const float *load_wide(const float *x, int n, float fill, float *room)
{
    if (n == WIDE) return x;
    for (int j = 0; j < WIDE; j++) room[j] = fill;
    for (int j = 0; j < n; j++) room[j] = x[j];
    return room;
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

/* The exponentials go to e, or nowhere. Whole arrays of WIDE: what is behind the row is the greatest, whose exponential is exactly 1,
 * and is taken off the sum again; where a mask is given, C is WIDE and the mask's zeros are not counted. */
EW_INLINE void sum_row(int C, const float *x, float max, const float *t, int smooth, const float *mask, float *e,
                       row_sums *out)
{
    part_f64 exponentials[PARTS] = {{0}}, shifted[PARTS] = {{0}}, targets[PARTS] = {{0}}, products[PARTS] = {{0}};
    part_f64 v[PARTS], w[PARTS];
    double top = (double)max;
    int n = WIDE;
    for (int c = 0; c < C; c += WIDE) {
        float room[3][WIDE];
        n = wide_part(C, c);
        const float *part = load_wide(x + c, n, max, room[0]);
        float *power = e && n == WIDE ? e + c : room[1];
        EW_SIMD
        for (int j = 0; j < WIDE; j++) power[j] = ew_exp(part[j] - max) * (mask ? mask[j] : 1.0f);
        widen(power, v);
        for (int h = 0; h < PARTS; h++) exponentials[h] += v[h];
        for (int j = 0; e && n < WIDE && j < n; j++) e[c + j] = power[j];
        if (smooth) {
            widen(part, v);
            if (mask) widen(mask, w);
            for (int h = 0; h < PARTS; h++) shifted[h] += mask ? (v[h] - top) * w[h] : v[h] - top;
        }
        if (!t) continue;
        const float *target = load_wide(t + c, n, 0.0f, room[2]);
        EW_SIMD
        for (int j = 0; j < WIDE; j++) /* a target of 0 adds nothing, also where x is -Inf */
            room[1][j] = target[j] > 0.0f ? part[j] : max;
        widen(room[1], v);
        widen(target, w);
        for (int h = 0; h < PARTS; h++) {
            targets[h] += w[h];
            products[h] += w[h] * (v[h] - top);
        }
    }
    out->exponentials = sum_parts(exponentials) - (double)(WIDE - n);
    out->shifted = smooth ? sum_parts(shifted) : 0.0;
    out->targets = t ? sum_parts(targets) : 1.0;
    out->products = t ? sum_parts(products) : 0.0;
}

/* dx = (e*p_scale - even - t*t_scale)*scale; dx holds the exponentials e. */
EW_INLINE void slope_row(int C, const float *t, double p_scale, double t_scale, double even, double scale, float *dx)
{
    for (int c = 0; c < C; c += WIDE) {
        float room[2][WIDE];
        part_f64 v[PARTS], w[PARTS];
        int n = wide_part(C, c);
        widen(load_wide(dx + c, n, 0.0f, room[0]), v);
        for (int h = 0; h < PARTS; h++) v[h] = v[h] * p_scale - even;
        if (t) {
            widen(load_wide(t + c, n, 0.0f, room[1]), w);
            for (int h = 0; h < PARTS; h++) v[h] -= w[h] * t_scale;
        }
        for (int h = 0; h < PARTS; h++) {
            part_f32 out = __builtin_convertvector(v[h] * scale, part_f32);
            memcpy((n == WIDE ? dx + c : room[0]) + h * PART, &out, sizeof out);
        }
        for (int j = 0; n < WIDE && j < n; j++) dx[c + j] = room[0][j];
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

/* One row x with the targets t or, where they are NULL, the label. With a mask, x, t and dx have room for WIDE values.
 * loss = sum(t)*log sum e^(x - max) - sum_c t_c (x_c - max). The exponential of the greatest is exactly 1, and what is subtracted
 * from is in double: a gradient near 0 keeps its digits. */
EW_INLINE void softmax_row(const cnnbn_loss *a, const float *mask, const float *x, const float *t, int label, float *dx,
                           double *sums)
{
    int C = a->C, n = mask ? WIDE : C;
    double e = (double)a->label_smoothing, even = e / (double)C;
    float max = row_max(n, x);
    row_sums row;
    sum_row(n, x, max, t, e > 0.0, mask, dx, &row);
    double product = t ? row.products : (double)x[label] - (double)max;
    double all = row.targets * (1.0 - e) + e;
    if (e > 0.0) product = (1.0 - e) * product + even * row.shifted;
    sums[0] += all * log(row.exponentials) - product;
    sums[1] += is_first_greatest(x, max, t ? first_greatest(C, t) : label) ? 1.0 : 0.0;
    if (!dx) return;
    double p_scale = all / row.exponentials, scale = (double)a->grad_scale;
    double at_label = t ? 0.0 : (double)dx[label] * p_scale - even - (1.0 - e);
    slope_row(n, t, p_scale, 1.0 - e, even, scale, dx);
    if (!t) dx[label] = (float)(at_label * scale);
}

/* Rows of up to WIDE values, some at a time: padded by their first value, so that each is one array. Copying several before the first
 * is read keeps the vector loads from waiting for the single stores. */
static void softmax_short_rows(const cnnbn_loss *a, int first, int last, double *sums)
{
    float x[ROWS][WIDE], t[ROWS][WIDE], dx[ROWS][WIDE], mask[WIDE];
    int C = a->C;
    for (int j = 0; j < WIDE; j++) mask[j] = j < C ? 1.0f : 0.0f;
    for (int n = first; n < last; n += ROWS) {
        int rows = last - n < ROWS ? last - n : ROWS;
        for (int r = 0; r < rows; r++) {
            const float *from = a->x + (size_t)(n + r) * (size_t)C;
            for (int j = 0; j < C; j++) x[r][j] = from[j];
            for (int j = C; j < WIDE; j++) x[r][j] = from[0];
            if (!a->target.rows) continue;
            for (int j = 0; j < WIDE; j++) t[r][j] = j < C ? a->target.rows[n + r][j] : 0.0f;
        }
        for (int r = 0; r < rows; r++)
            softmax_row(a, mask, x[r], a->target.rows ? t[r] : NULL, a->target.rows ? -1 : a->target.labels[n + r],
                        a->dx ? dx[r] : NULL, sums);
        for (int r = 0; r < rows && a->dx; r++)
            for (int j = 0; j < C; j++) a->dx[(size_t)(n + r) * (size_t)C + (size_t)j] = dx[r][j];
    }
}

static void softmax_long_rows(const cnnbn_loss *a, int first, int last, double *sums)
{
    for (int n = first; n < last; n++) {
        size_t at = (size_t)n * (size_t)a->C;
        softmax_row(a, NULL, a->x + at, a->target.rows ? a->target.rows[n] : NULL,
                    a->target.rows ? -1 : a->target.labels[n], a->dx ? a->dx + at : NULL, sums);
    }
}

void EW(softmax_xent)(const cnnbn_loss *args)
{
    const cnnbn_run *run = args->run;
    int height = 0;
    for (int s = 0; s < run->n_slices; s++) {
        double *entry = args->sums + (size_t)height * args->sums_stride;
        entry[0] = entry[1] = 0.0;
        (args->C <= WIDE ? softmax_short_rows : softmax_long_rows)(args, run->bounds[s], run->bounds[s + 1], entry);
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
            for (int j = 0; j < part; j++) target[j] = a->target.rows[n][c + j];
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
