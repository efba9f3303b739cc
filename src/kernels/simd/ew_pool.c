/* Pooling: loops over windows outside, over contiguous channels inside. */
#include "ew.h"

#include <string.h>

/* Window of output pixel (i, j) cut at the borders: rows [h0, h1), columns [w0, w1). */
typedef struct window {
    int h0, h1, w0, w1;
} window;

static window window_at(const cnnbn_pool_geom *g, int i, int j)
{
    int h = i * g->stride_h - g->pad_top, w = j * g->stride_w - g->pad_left;
    int h1 = h + g->R, w1 = w + g->S;
    return (window){h < 0 ? 0 : h, h1 > g->H ? g->H : h1, w < 0 ? 0 : w, w1 > g->W ? g->W : w1};
}

static size_t in_sample(const cnnbn_pool_geom *g)
{
    return (size_t)g->H * (size_t)g->W * (size_t)g->C;
}

static size_t pixel(const cnnbn_pool_geom *g, int h, int w)
{
    return ((size_t)h * (size_t)g->W + (size_t)w) * (size_t)g->C;
}

/* The greater one; a NaN on either side wins. */
EW_INLINE float max_nan(float m, float x)
{
    float greater = x > m ? x : m;
    return x != x ? x : greater;
}

static void max_window(const cnnbn_pool_geom *g, window at, const float *restrict x, float *restrict y)
{
    int C = g->C;
    if (at.h1 - at.h0 == 2 && at.w1 - at.w0 == 2) { /* the common 2x2: one pass */
        const float *x0 = x + pixel(g, at.h0, at.w0), *x1 = x0 + C, *x2 = x0 + (size_t)g->W * (size_t)C, *x3 = x2 + C;
        for (int c = 0; c < C; c++) y[c] = max_nan(max_nan(max_nan(x0[c], x1[c]), x2[c]), x3[c]);
        return;
    }
    for (int c = 0; c < C; c++) y[c] = -__builtin_inff();
    for (int h = at.h0; h < at.h1; h++)
        for (int w = at.w0; w < at.w1; w++) {
            const float *row = x + pixel(g, h, w);
            for (int c = 0; c < C; c++) y[c] = max_nan(y[c], row[c]);
        }
}

void EW(maxpool_fwd)(const cnnbn_pool_geom *geom, int N, const float *x, float *y)
{
    for (int n = 0; n < N; n++, x += in_sample(geom))
        for (int i = 0; i < geom->P; i++)
            for (int j = 0; j < geom->Q; j++, y += geom->C) max_window(geom, window_at(geom, i, j), x, y);
}

/* Gives dy to the first maximum of a window; `taken` remembers, as 0 or 1, which channels have found theirs. */
static void max_window_bwd(const cnnbn_pool_geom *g, window at, int c0, int n_c, const float *restrict x,
                           const float *restrict y, const float *restrict dy, float *restrict dx)
{
    uint32_t taken[EW_WIDTH] = {0};
    for (int h = at.h0; h < at.h1; h++)
        for (int w = at.w0; w < at.w1; w++) {
            const float *row = x + pixel(g, h, w) + c0;
            float *out = dx + pixel(g, h, w) + c0;
            for (int c = 0; c < n_c; c++) {
                uint32_t hit = (uint32_t)((row[c] == y[c]) | (row[c] != row[c])) & (taken[c] ^ 1u);
                out[c] += hit ? dy[c] : 0.0f;
                taken[c] |= hit;
            }
        }
}

/* What of `left` goes to an input v when m is the maximum: all, if it is the maximum or a NaN; the rest stays left. */
EW_INLINE float share(float v, float m, float *left)
{
    float taken = v >= m ? *left : 0.0f, rest = v >= m ? 0.0f : *left;
    taken = v != v ? *left : taken;
    *left = v != v ? 0.0f : rest;
    return taken;
}

/* Where windows do not overlap each input belongs to one: written once, not cleared and added to. */
static void max_window_bwd_2x2(const cnnbn_pool_geom *g, window at, const float *restrict x, const float *restrict y,
                               const float *restrict dy, float *restrict dx)
{
    size_t C = (size_t)g->C, at00 = pixel(g, at.h0, at.w0), below = (size_t)g->W * C;
    const float *x0 = x + at00, *x1 = x0 + C, *x2 = x0 + below;
    float *d0 = dx + at00, *d1 = d0 + C, *d2 = d0 + below, *d3 = d2 + C;
    for (size_t c = 0; c < C; c++) {
        float m = y[c], left = dy[c], v0 = x0[c], v1 = x1[c], v2 = x2[c];
        d0[c] = share(v0, m, &left);
        d1[c] = share(v1, m, &left);
        d2[c] = share(v2, m, &left);
        d3[c] = left; /* no match in the first three: it is the fourth */
    }
}

void EW(maxpool_bwd)(const cnnbn_pool_geom *geom, int N, const float *x, const float *y, const float *dy, float *dx)
{
    const cnnbn_pool_geom *g = geom;
    int by_two = g->R == 2 && g->S == 2 && g->stride_h == 2 && g->stride_w == 2 && g->pad_top == 0 &&
                 g->pad_left == 0 && g->P * 2 <= g->H && g->Q * 2 <= g->W;
    int tiled = by_two && g->P * 2 == g->H && g->Q * 2 == g->W;
    for (int n = 0; n < N; n++, x += in_sample(g), dx += in_sample(g)) {
        if (!tiled) memset(dx, 0, in_sample(g) * sizeof *dx);
        for (int i = 0; i < g->P; i++)
            for (int j = 0; j < g->Q; j++, y += g->C, dy += g->C) {
                window at = window_at(g, i, j);
                if (by_two) {
                    max_window_bwd_2x2(g, at, x, y, dy, dx);
                    continue;
                }
                for (int c0 = 0; c0 < g->C; c0 += EW_WIDTH)
                    max_window_bwd(g, at, c0, g->C - c0 < EW_WIDTH ? g->C - c0 : EW_WIDTH, x, y + c0, dy + c0, dx);
            }
    }
}

static float inverse_count(window at)
{
    int count = (at.h1 - at.h0) * (at.w1 - at.w0);
    return count > 0 ? 1.0f / (float)count : 0.0f;
}

void EW(avgpool_fwd)(const cnnbn_pool_geom *geom, int N, const float *x, float *y)
{
    int C = geom->C;
    for (int n = 0; n < N; n++, x += in_sample(geom))
        for (int i = 0; i < geom->P; i++)
            for (int j = 0; j < geom->Q; j++, y += C) {
                window at = window_at(geom, i, j);
                float scale = inverse_count(at), *restrict out = y;
                for (int c = 0; c < C; c++) out[c] = 0.0f;
                for (int h = at.h0; h < at.h1; h++)
                    for (int w = at.w0; w < at.w1; w++) {
                        const float *restrict row = x + pixel(geom, h, w);
                        for (int c = 0; c < C; c++) out[c] += row[c];
                    }
                for (int c = 0; c < C; c++) out[c] *= scale;
            }
}

void EW(avgpool_bwd)(const cnnbn_pool_geom *geom, int N, const float *dy, float *dx)
{
    int C = geom->C;
    for (int n = 0; n < N; n++, dx += in_sample(geom)) {
        memset(dx, 0, in_sample(geom) * sizeof *dx);
        for (int i = 0; i < geom->P; i++)
            for (int j = 0; j < geom->Q; j++, dy += C) {
                window at = window_at(geom, i, j);
                float scale = inverse_count(at);
                const float *restrict in = dy;
                for (int h = at.h0; h < at.h1; h++)
                    for (int w = at.w0; w < at.w1; w++) {
                        float *restrict row = dx + pixel(geom, h, w);
                        for (int c = 0; c < C; c++) row[c] = ew_fma(in[c], scale, row[c]);
                    }
            }
    }
}

void EW(gap_fwd)(int N, int positions, int C, const float *x, float *y)
{
    double scale = 1.0 / (double)positions;
    for (int n = 0; n < N; n++, x += (size_t)positions * (size_t)C, y += C)
        for (int c0 = 0; c0 < C; c0 += EW_WIDTH) {
            double sums[EW_WIDTH] = {0};
            int n_c = C - c0 < EW_WIDTH ? C - c0 : EW_WIDTH;
            for (int p = 0; p < positions; p++) {
                const float *row = x + (size_t)p * (size_t)C + c0;
                for (int c = 0; c < n_c; c++) sums[c] += (double)row[c];
            }
            for (int c = 0; c < n_c; c++) y[c0 + c] = (float)(sums[c] * scale);
        }
}

void EW(gap_bwd)(int N, int positions, int C, const float *dy, float *dx)
{
    float scale = 1.0f / (float)positions;
    for (int n = 0; n < N; n++, dy += C)
        for (int p = 0; p < positions; p++, dx += C) {
            float *restrict out = dx;
            for (int c = 0; c < C; c++) out[c] = dy[c] * scale;
        }
}
