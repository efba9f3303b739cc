/* Batch normalisation: one pass over memory each. Sums run in float over short stretches and are flushed to double, in
 * an order that depends on the number of rows and channels alone.
 */
#include "ew.h"
#include "stack.h"

#include <string.h>

/* Wide rows between two flushes: float sums of at most 64 terms, added in fours. */
enum { FLUSH_ROWS = 64 };

/* The prologue's parameters repeated to a row of EW_WIDTH; missing ones are those of the identity. */
typedef struct wide_affine {
    float mean[EW_WIDTH], scale[EW_WIDTH], beta[EW_WIDTH];
} wide_affine;

/* C channels from c0 on, n times side by side. */
static void widen(wide_affine *p, const cnnbn_prologue *in, int c0, int n, int C)
{
    int affine = in->mean != NULL;
    ew_repeat(n, C, affine ? in->mean + c0 : NULL, 0.0f, p->mean);
    ew_repeat(n, C, affine ? in->scale + c0 : NULL, 1.0f, p->scale);
    ew_repeat(n, C, affine ? in->beta + c0 : NULL, 0.0f, p->beta);
}

/* Parts of a [rows][C] array: each has the same channels in the same columns of wide rows. */
typedef struct stripe {
    int c0, n_c;   /* channels */
    int n;         /* rows that make one wide row */
    size_t stride; /* from one wide row to the next */
} stripe;

static stripe stripe_at(size_t rows, int C, int c0)
{
    int n = ew_rows_at_once(rows, C);
    return (stripe){c0, C - c0 < EW_WIDTH ? C - c0 : EW_WIDTH, n, (size_t)n * (size_t)C};
}

/* ---------------------------------------------------------------- sums */

/* s += d, q += d^2 over n wide rows of x, d = x - local. */
static void square_rows(int n, int width, size_t stride, const float *restrict x, const float *restrict local,
                        float *restrict s, float *restrict q)
{
    int r = 0;
    for (; r + 4 <= n; r += 4, x += 4 * stride) {
        const float *x1 = x + stride, *x2 = x1 + stride, *x3 = x2 + stride;
        for (int j = 0; j < width; j++) {
            float l = local[j], d0 = x[j] - l, d1 = x1[j] - l, d2 = x2[j] - l, d3 = x3[j] - l;
            s[j] += (d0 + d1) + (d2 + d3);
            q[j] += ew_fma(d0, d0, d1 * d1) + ew_fma(d2, d2, d3 * d3);
        }
    }
    for (; r < n; r++, x += stride)
        for (int j = 0; j < width; j++) {
            float d = x[j] - local[j];
            s[j] += d;
            q[j] = ew_fma(d, d, q[j]);
        }
}

/* sums[c] += the n copies of channel c in s, and clears s. */
static void flush(int n, int n_c, float *restrict s, double *restrict sums)
{
    for (int i = 0; i < n; i++)
        for (int c = 0; c < n_c; c++) {
            sums[c] += (double)s[i * n_c + c];
            s[i * n_c + c] = 0.0f;
        }
}

void EW(stat_rows)(size_t rows, int C, const float *x, const float *local, double *sums)
{
    for (int c0 = 0; c0 < C; c0 += EW_WIDTH) {
        stripe p = stripe_at(rows, C, c0);
        float wide[EW_WIDTH], s[EW_WIDTH] = {0}, q[EW_WIDTH] = {0};
        ew_repeat(p.n, p.n_c, local + c0, 0.0f, wide);
        const float *row = x + c0;
        size_t left = rows / (size_t)p.n, tail = rows % (size_t)p.n;
        while (left) {
            int take = left < FLUSH_ROWS ? (int)left : FLUSH_ROWS;
            square_rows(take, p.n * p.n_c, p.stride, row, wide, s, q);
            flush(p.n, p.n_c, s, sums + c0);
            flush(p.n, p.n_c, q, sums + C + c0);
            row += (size_t)take * p.stride;
            left -= (size_t)take;
        }
        if (tail) {
            square_rows(1, (int)tail * p.n_c, p.stride, row, wide, s, q);
            flush((int)tail, p.n_c, s, sums + c0);
            flush((int)tail, p.n_c, q, sums + C + c0);
        }
    }
}

/* sum (x-S)^2 = sum d^2 + 2 D sum d + n D^2, D = local - S. */
void EW(stat_close)(size_t rows, int C, const float *local, const float *shift, double *sums)
{
    double n = (double)rows;
    for (int c = 0; c < C; c++) {
        double d = (double)local[c] - (double)shift[c];
        sums[C + c] += 2.0 * d * sums[c] + n * d * d;
        sums[c] += n * d;
    }
}

void EW(bn_stats)(const cnnbn_run *run, int positions, int C, const float *x, const float *shift, double *stat,
                  size_t stat_stride)
{
    size_t sample = (size_t)positions * (size_t)C;
    int height = 0;
    for (int s = 0; s < run->n_slices; s++) {
        double *sums = stat + (size_t)height * stat_stride;
        size_t rows = (size_t)(run->bounds[s + 1] - run->bounds[s]) * (size_t)positions;
        memset(sums, 0, 2 * (size_t)C * sizeof *sums);
        if (rows) {
            const float *first = x + (size_t)run->bounds[s] * sample;
            EW(stat_rows)(rows, C, first, first, sums);
            EW(stat_close)(rows, C, first, shift, sums);
        }
        height = cnnbn__stack_push_f64(run, s, height, 2 * (size_t)C, stat, stat_stride);
    }
}

void EW(column_sums)(size_t rows, int C, const float *x, double *sums)
{
    for (int c0 = 0; c0 < C; c0 += EW_WIDTH) {
        stripe p = stripe_at(rows, C, c0);
        float s[EW_WIDTH] = {0};
        const float *row = x + c0;
        int width = p.n * p.n_c;
        size_t n_wide = rows / (size_t)p.n, tail = rows % (size_t)p.n;
        for (size_t r = 0; r < n_wide; r++, row += p.stride) {
            for (int j = 0; j < width; j++) s[j] += row[j];
            if (r % 16 == 15) flush(p.n, p.n_c, s, sums + c0);
        }
        for (int j = 0; j < (int)tail * p.n_c; j++) s[j] += row[j];
        flush(p.n, p.n_c, s, sums + c0);
    }
}

/* ---------------------------------------------------------------- forward */

static int is_relu(cnnbn_activation act)
{
    return act.kind == CNNBN_ACT_RELU;
}

/* y = act((x - mean)*scale + beta + add) on one wide row. */
EW_INLINE void apply_row(int relu, int adds, int width, const float *x, const wide_affine *p, const float *add,
                         float *y)
{
    EW_SIMD
    for (int j = 0; j < width; j++) {
        float u = ew_fma(x[j] - p->mean[j], p->scale[j], p->beta[j]);
        if (adds) u += add[j];
        y[j] = relu && u < 0.0f ? 0.0f : u;
    }
}

static void apply_wide(int width, const float *x, const wide_affine *p, cnnbn_activation act, const float *add,
                       float *y)
{
    if (is_relu(act)) {
        if (add)
            apply_row(1, 1, width, x, p, add, y);
        else
            apply_row(1, 0, width, x, p, NULL, y);
    } else {
        if (add)
            apply_row(0, 1, width, x, p, add, y);
        else
            apply_row(0, 0, width, x, p, NULL, y);
        EW(act_fwd)((size_t)width, act, y, y);
    }
}

void EW(bn_apply)(size_t rows, int C, const float *x, const cnnbn_prologue *in, const float *add, float *y)
{
    if (!in->mean && !add) {
        if (in->act.kind == CNNBN_ACT_LINEAR && x != y)
            memcpy(y, x, rows * (size_t)C * sizeof *y);
        else
            EW(act_fwd)(rows * (size_t)C, in->act, x, y);
        return;
    }
    for (int c0 = 0; c0 < C; c0 += EW_WIDTH) {
        stripe p = stripe_at(rows, C, c0);
        wide_affine affine;
        widen(&affine, in, c0, p.n, p.n_c);
        size_t at = (size_t)c0;
        for (size_t r = 0; r < rows; r += (size_t)p.n, at += p.stride) {
            size_t take = rows - r < (size_t)p.n ? rows - r : (size_t)p.n;
            apply_wide((int)take * p.n_c, x + at, &affine, in->act, add ? add + at : NULL, y + at);
        }
    }
}

void EW(bias_act)(size_t rows, int C, const float *bias, cnnbn_activation act, float *y)
{
    if (!bias) {
        EW(act_fwd)(rows * (size_t)C, act, y, y);
        return;
    }
    for (int c0 = 0; c0 < C; c0 += EW_WIDTH) {
        stripe p = stripe_at(rows, C, c0);
        float wide[EW_WIDTH], *row = y + c0;
        ew_repeat(p.n, p.n_c, bias + c0, 0.0f, wide);
        for (size_t r = 0; r < rows; r += (size_t)p.n, row += p.stride) {
            int width = (int)(rows - r < (size_t)p.n ? rows - r : (size_t)p.n) * p.n_c;
            if (is_relu(act)) {
                EW_SIMD
                for (int j = 0; j < width; j++) {
                    float u = row[j] + wide[j];
                    row[j] = u < 0.0f ? 0.0f : u;
                }
            } else {
                EW_SIMD
                for (int j = 0; j < width; j++) row[j] += wide[j];
                EW(act_fwd)((size_t)width, act, row, row);
            }
        }
    }
}

/* ---------------------------------------------------------------- backward */

/* g = dz * act'(u), u = (x - mean)*scale + beta, on one wide row; relu and linear are part of their callers' loops. */
static void grad_wide(int width, const float *dz, const float *x, const wide_affine *p, cnnbn_activation act,
                      float *restrict g)
{
    float u[EW_WIDTH];
    for (int j = 0; j < width; j++) u[j] = ew_fma(x[j] - p->mean[j], p->scale[j], p->beta[j]);
    EW(act_bwd_in)((size_t)width, act, dz, u, g);
}

EW_INLINE float grad_relu(int relu, float dz, float d, float scale, float beta)
{
    return relu ? dz * (ew_fma(d, scale, beta) > 0.0f ? 1.0f : 0.0f) : dz;
}

/* s += g, q += g (x - mean) over n wide rows. */
EW_INLINE void bwd_rows(int relu, int n, int width, size_t stride, const float *restrict dz, const float *restrict x,
                        const wide_affine *restrict p, float *restrict s, float *restrict q)
{
    int r = 0;
    for (; r + 2 <= n; r += 2, x += 2 * stride, dz += 2 * stride)
        for (int j = 0; j < width; j++) {
            float d0 = x[j] - p->mean[j], d1 = x[stride + (size_t)j] - p->mean[j];
            float g0 = grad_relu(relu, dz[j], d0, p->scale[j], p->beta[j]);
            float g1 = grad_relu(relu, dz[stride + (size_t)j], d1, p->scale[j], p->beta[j]);
            s[j] += g0 + g1;
            q[j] += ew_fma(g0, d0, g1 * d1);
        }
    for (; r < n; r++, x += stride, dz += stride)
        for (int j = 0; j < width; j++) {
            float d = x[j] - p->mean[j], g = grad_relu(relu, dz[j], d, p->scale[j], p->beta[j]);
            s[j] += g;
            q[j] = ew_fma(g, d, q[j]);
        }
}

static void bwd_rows_of(cnnbn_activation act, int n, int width, size_t stride, const float *dz, const float *x,
                        const wide_affine *p, float *restrict s, float *restrict q)
{
    if (is_relu(act)) {
        bwd_rows(1, n, width, stride, dz, x, p, s, q);
    } else if (act.kind == CNNBN_ACT_LINEAR) {
        bwd_rows(0, n, width, stride, dz, x, p, s, q);
    } else {
        float g[EW_WIDTH];
        for (int r = 0; r < n; r++, x += stride, dz += stride) {
            grad_wide(width, dz, x, p, act, g);
            bwd_rows(0, 1, width, stride, g, x, p, s, q);
        }
    }
}

static void bwd_sums_slice(size_t rows, int C, const float *dz, const float *x, const cnnbn_prologue *in, double *sums)
{
    for (int c0 = 0; c0 < C; c0 += EW_WIDTH) {
        stripe p = stripe_at(rows, C, c0);
        wide_affine affine;
        float s[EW_WIDTH] = {0}, q[EW_WIDTH] = {0};
        widen(&affine, in, c0, p.n, p.n_c);
        size_t at = (size_t)c0, left = rows / (size_t)p.n, tail = rows % (size_t)p.n;
        while (left) {
            int take = left < FLUSH_ROWS / 2 ? (int)left : FLUSH_ROWS / 2;
            bwd_rows_of(in->act, take, p.n * p.n_c, p.stride, dz + at, x + at, &affine, s, q);
            flush(p.n, p.n_c, s, sums + c0);
            flush(p.n, p.n_c, q, sums + C + c0);
            at += (size_t)take * p.stride;
            left -= (size_t)take;
        }
        if (tail) {
            bwd_rows_of(in->act, 1, (int)tail * p.n_c, p.stride, dz + at, x + at, &affine, s, q);
            flush((int)tail, p.n_c, s, sums + c0);
            flush((int)tail, p.n_c, q, sums + C + c0);
        }
    }
}

void EW(bn_bwd_sums)(const cnnbn_run *run, int positions, int C, const float *dz, const float *x,
                     const cnnbn_prologue *in, double *sums, size_t sums_stride)
{
    size_t sample = (size_t)positions * (size_t)C;
    int height = 0, in_registers = EW(bn_sums_fit)(C, in->act);
    for (int s = 0; s < run->n_slices; s++) {
        double *entry = sums + (size_t)height * sums_stride;
        size_t rows = (size_t)(run->bounds[s + 1] - run->bounds[s]) * (size_t)positions;
        size_t at = (size_t)run->bounds[s] * sample;
        memset(entry, 0, 2 * (size_t)C * sizeof *entry);
        if (rows) (in_registers ? EW(bn_sums) : bwd_sums_slice)(rows, C, dz + at, x + at, in, entry);
        height = cnnbn__stack_push_f64(run, s, height, 2 * (size_t)C, sums, sums_stride);
    }
}

/* dx = pre'(x) (a g + b (x - mean) + c0) on one wide row. */
EW_INLINE void bwd_apply_row(int relu, int pre_relu, int width, const float *dz, const float *x, const wide_affine *p,
                             const float *a, const float *b, const float *c0, float *dx)
{
    EW_SIMD
    for (int j = 0; j < width; j++) {
        float d = x[j] - p->mean[j], g = grad_relu(relu, dz[j], d, p->scale[j], p->beta[j]);
        float v = ew_fma(a[j], g, ew_fma(b[j], d, c0[j]));
        dx[j] = pre_relu ? v * (x[j] > 0.0f ? 1.0f : 0.0f) : v;
    }
}

static void bwd_apply_wide(int width, const float *dz, const float *x, const wide_affine *p, cnnbn_activation act,
                           const float *a, const float *b, const float *c0, cnnbn_activation pre, float *dx)
{
    int relu = is_relu(act), pre_relu = is_relu(pre);
    float g[EW_WIDTH];
    if (!relu && act.kind != CNNBN_ACT_LINEAR) {
        grad_wide(width, dz, x, p, act, g);
        dz = g;
    }
    if (relu && pre_relu)
        bwd_apply_row(1, 1, width, dz, x, p, a, b, c0, dx);
    else if (relu)
        bwd_apply_row(1, 0, width, dz, x, p, a, b, c0, dx);
    else if (pre_relu)
        bwd_apply_row(0, 1, width, dz, x, p, a, b, c0, dx);
    else
        bwd_apply_row(0, 0, width, dz, x, p, a, b, c0, dx);
    if (!pre_relu && pre.kind != CNNBN_ACT_LINEAR) EW(act_bwd)((size_t)width, pre, dx, NULL, x, dx);
}

void EW(bn_bwd_apply)(size_t rows, int C, const float *dz, const float *x, const cnnbn_prologue *in, const float *a,
                      const float *b, const float *c0, cnnbn_activation pre, float *dx)
{
    for (int first = 0; first < C; first += EW_WIDTH) {
        stripe p = stripe_at(rows, C, first);
        wide_affine affine;
        float wide_a[EW_WIDTH], wide_b[EW_WIDTH], wide_c0[EW_WIDTH];
        widen(&affine, in, first, p.n, p.n_c);
        ew_repeat(p.n, p.n_c, a + first, 0.0f, wide_a);
        ew_repeat(p.n, p.n_c, b + first, 0.0f, wide_b);
        ew_repeat(p.n, p.n_c, c0 + first, 0.0f, wide_c0);
        size_t at = (size_t)first;
        for (size_t r = 0; r < rows; r += (size_t)p.n, at += p.stride) {
            size_t take = rows - r < (size_t)p.n ? rows - r : (size_t)p.n;
            bwd_apply_wide((int)take * p.n_c, dz + at, x + at, &affine, in->act, wide_a, wide_b, wide_c0, pre, dx + at);
        }
    }
}
