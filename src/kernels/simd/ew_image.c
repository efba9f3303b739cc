/* Images: copies by rows, affine maps, contrast. */
#include "ew.h"

#include <math.h>
#include <string.h>

static void flip_row(int W, size_t C, const float *x, float *y)
{
    if (C == 1) {
        const float *end = x + W - 1;
        for (int w = 0; w < W; w++) y[w] = end[-w];
        return;
    }
    x += (size_t)W * C;
    for (int w = 0; w < W; w++, y += C) {
        x -= C;
        for (size_t c = 0; c < C; c++) y[c] = x[c];
    }
}

void EW(image_flip)(int H, int W, int C, int horizontal, int vertical, const float *x, float *y)
{
    size_t row = (size_t)W * (size_t)C;
    for (int h = 0; h < H; h++, y += row) {
        const float *from = x + (size_t)(vertical ? H - 1 - h : h) * row;
        if (horizontal)
            flip_row(W, (size_t)C, from, y);
        else
            memcpy(y, from, row * sizeof *y);
    }
}

static void fill_pixels(int n, size_t C, const float *fill, float *y)
{
    if (!fill) {
        memset(y, 0, (size_t)n * C * sizeof *y);
        return;
    }
    for (int i = 0; i < n; i++, y += C)
        for (size_t c = 0; c < C; c++) y[c] = fill[c];
}

void EW(image_shift)(int H, int W, int C, int top, int left, int P, int Q, const float *fill, const float *x, float *y)
{
    size_t pixel = (size_t)C;
    int q0 = left < 0 ? -left : 0, q1 = W - left < Q ? W - left : Q; /* columns that come from x */
    if (q0 > Q) q0 = Q;
    if (q1 < q0) q1 = q0;
    for (int p = 0; p < P; p++, y += (size_t)Q * pixel) {
        int h = p + top;
        if (h < 0 || h >= H || q0 == q1) {
            fill_pixels(Q, pixel, fill, y);
            continue;
        }
        const float *row = x + ((size_t)h * (size_t)W + (size_t)(q0 + left)) * pixel;
        fill_pixels(q0, pixel, fill, y);
        memcpy(y + (size_t)q0 * pixel, row, (size_t)(q1 - q0) * pixel * sizeof *y);
        fill_pixels(Q - q1, pixel, fill, y + (size_t)q1 * pixel);
    }
}

/* ---------------------------------------------------------------- affine maps */

/* Where pixel i of n lies; -1: outside, for a constant. */
static int place(cnnbn_fill_mode mode, int i, int n)
{
    if (i >= 0 && i < n) return i;
    int r = i;
    switch (mode) {
    case CNNBN_FILL_REFLECT:
        r %= 2 * n;
        if (r < 0) r += 2 * n;
        return r < n ? r : 2 * n - 1 - r;
    case CNNBN_FILL_WRAP:
        r %= n;
        return r < 0 ? r + n : r;
    case CNNBN_FILL_NEAREST:
        return i < 0 ? 0 : n - 1;
    case CNNBN_FILL_CONSTANT:
        break;
    }
    return -1;
}

static const float *pixel_at(const cnnbn_warp *warp, const float *x, int h, int w)
{
    return h < 0 || w < 0 ? warp->fill : x + (size_t)h * warp->row + (size_t)w * (size_t)warp->C;
}

/* a + (b - a)*t would make a NaN of an Inf: a weight of 0 takes no part. */
EW_INLINE float between(float a, float b, float t)
{
    return t > 0.0f ? ew_fma(b, t, a * (1.0f - t)) : a;
}

static void bilinear_pixel(const cnnbn_warp *warp, const float *x, double row, double column, float *y)
{
    double h0 = floor(row), w0 = floor(column);
    float below = (float)(row - h0), right = (float)(column - w0);
    int top = place(warp->mode, (int)h0, warp->H), bottom = place(warp->mode, (int)h0 + 1, warp->H);
    int left = place(warp->mode, (int)w0, warp->W), beside = place(warp->mode, (int)w0 + 1, warp->W);
    const float *a = pixel_at(warp, x, top, left), *b = pixel_at(warp, x, top, beside);
    const float *c = pixel_at(warp, x, bottom, left), *d = pixel_at(warp, x, bottom, beside);
    for (int i = 0; i < warp->C; i++) y[i] = between(between(a[i], b[i], right), between(c[i], d[i], right), below);
}

static void warp_pixel(const cnnbn_warp *warp, const float *x, int p, int q, float *y)
{
    const double *t = warp->t;
    double column = t[0] * q + (t[1] * p + t[2]), row = t[3] * q + (t[4] * p + t[5]);
    if (warp->bilinear) {
        bilinear_pixel(warp, x, row, column, y);
        return;
    }
    const float *from =
        pixel_at(warp, x, place(warp->mode, (int)round(row), warp->H), place(warp->mode, (int)round(column), warp->W));
    for (int c = 0; c < warp->C; c++) y[c] = from[c];
}

/* n floats between four rows, the weights those of all. */
static void blend_rows(size_t n, const float *restrict a, const float *restrict b, size_t step, float right,
                       float below, float *restrict y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = between(between(a[i], a[i + step], right), between(b[i], b[i + step], right), below);
}

/* A translation: inside of the image the weights are the same everywhere, and rows are contiguous. Returns the columns
 * [q0, q1) of row p that are done. */
static void shift_row(const cnnbn_warp *warp, const float *x, int p, float *y, int *q0, int *q1)
{
    double h0 = floor(p + warp->t[5]), w0 = floor(warp->t[2]);
    float below = (float)(p + warp->t[5] - h0), right = (float)(warp->t[2] - w0);
    int top = place(warp->mode, (int)h0, warp->H), bottom = place(warp->mode, (int)h0 + 1, warp->H), left = (int)w0;
    *q0 = left < 0 ? -left : 0;
    *q1 = warp->W - 1 - left < warp->Q ? warp->W - 1 - left : warp->Q;
    if (top < 0 || bottom < 0 || *q0 >= *q1) {
        *q0 = *q1 = 0;
        return;
    }
    size_t C = (size_t)warp->C, first = (size_t)(*q0 + left) * C;
    blend_rows((size_t)(*q1 - *q0) * C, x + (size_t)top * warp->row + first, x + (size_t)bottom * warp->row + first, C,
               right, below, y + (size_t)*q0 * C);
}

static int equals(double v, double expected)
{
    return !(v < expected) && !(v > expected);
}

static int is_translation(const cnnbn_warp *warp)
{
    const double *t = warp->t;
    return warp->bilinear && equals(t[0], 1) && equals(t[1], 0) && equals(t[3], 0) && equals(t[4], 1);
}

void EW(image_warp)(const cnnbn_warp *warp, const float *x, float *y)
{
    int translation = is_translation(warp);
    size_t C = (size_t)warp->C;
    for (int p = 0; p < warp->P; p++, y += (size_t)warp->Q * C) {
        int q0 = 0, q1 = 0;
        if (translation) shift_row(warp, x, p, y, &q0, &q1);
        for (int q = 0; q < q0; q++) warp_pixel(warp, x, p, q, y + (size_t)q * C);
        for (int q = q1; q < warp->Q; q++) warp_pixel(warp, x, p, q, y + (size_t)q * C);
    }
}

/* ---------------------------------------------------------------- contrast, mixing */

enum { CHANNELS = 16 }; /* of a block: their sums stay in registers */

/* Means of channels [c0, c0 + n) over the positions, in double. */
static void channel_means(int positions, size_t C, size_t n, const float *x, double *mean)
{
    double sum[CHANNELS] = {0};
    for (int i = 0; i < positions; i++)
        for (size_t c = 0; c < n; c++) sum[c] += (double)x[(size_t)i * C + c];
    for (size_t c = 0; c < n; c++) mean[c] = sum[c] / positions;
}

/* (x - m)*factor + m */
EW_INLINE float stretched(float x, float factor, double mean)
{
    return (float)(((double)x - mean) * (double)factor + mean);
}

void EW(image_contrast)(int positions, int C, float factor, const float *low, const float *high, const float *x,
                        float *y)
{
    double mean[CHANNELS];
    size_t stride = (size_t)C;
    for (size_t c0 = 0; c0 < stride; c0 += CHANNELS) {
        size_t n = stride - c0 < CHANNELS ? stride - c0 : CHANNELS;
        channel_means(positions, stride, n, x + c0, mean);
        for (int i = 0; i < positions; i++) {
            const float *in = x + (size_t)i * stride + c0;
            float *out = y + (size_t)i * stride + c0;
            for (size_t c = 0; c < n; c++) {
                float v = stretched(in[c], factor, mean[c]);
                if (low) v = v < low[c0 + c] ? low[c0 + c] : v > high[c0 + c] ? high[c0 + c] : v;
                out[c] = v;
            }
        }
    }
}

void EW(image_contrast_bwd)(int positions, int C, float factor, const float *low, const float *high, const float *x,
                            const float *dy, float *dx)
{
    double mean[CHANNELS];
    size_t stride = (size_t)C;
    for (size_t c0 = 0; c0 < stride; c0 += CHANNELS) {
        size_t n = stride - c0 < CHANNELS ? stride - c0 : CHANNELS;
        channel_means(positions, stride, n, x + c0, mean);
        for (int i = 0; i < positions; i++)
            for (size_t c = 0; c < n; c++) {
                size_t at = (size_t)i * stride + c0 + c;
                float v = stretched(x[at], factor, mean[c]);
                dx[at] = low && (v < low[c0 + c] || v > high[c0 + c]) ? 0.0f : dy[at];
            }
        channel_means(positions, stride, n, dx + c0, mean);
        for (int i = 0; i < positions; i++)
            for (size_t c = 0; c < n; c++) {
                float *to = dx + (size_t)i * stride + c0 + c;
                *to = (float)((double)factor * (double)*to + (1 - (double)factor) * mean[c]);
            }
    }
}

void EW(mix)(size_t n, float weight, const float *a, const float *b, float *y)
{
    float other = 1.0f - weight;
    EW_SIMD
    for (size_t i = 0; i < n; i++) y[i] = ew_fma(a[i], weight, b[i] * other);
}
