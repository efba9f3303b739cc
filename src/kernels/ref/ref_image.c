#include "ref.h"

#include <math.h>
#include <string.h>

void cnnbn__ref_image_flip(int H, int W, int C, int horizontal, int vertical, const float *x, float *y)
{
    for (int h = 0; h < H; h++)
        for (int w = 0; w < W; w++) {
            size_t from_h = (size_t)(vertical ? H - 1 - h : h), from_w = (size_t)(horizontal ? W - 1 - w : w);
            const float *from = x + (from_h * (size_t)W + from_w) * (size_t)C;
            for (int c = 0; c < C; c++) *y++ = from[c];
        }
}

void cnnbn__ref_image_shift(int H, int W, int C, int top, int left, int P, int Q, const float *fill, const float *x,
                            float *y)
{
    for (int p = 0; p < P; p++)
        for (int q = 0; q < Q; q++) {
            int h = p + top, w = q + left, inside = h >= 0 && h < H && w >= 0 && w < W;
            for (int c = 0; c < C; c++)
                *y++ = inside ? x[((size_t)h * (size_t)W + (size_t)w) * (size_t)C + (size_t)c] : fill ? fill[c] : 0;
        }
}

/* Where pixel i of n lies; -1: outside, for a constant. */
static int place(cnnbn_fill_mode mode, int i, int n)
{
    int r;
    switch (mode) {
    case CNNBN_FILL_REFLECT:
        r = i % (2 * n);
        if (r < 0) r += 2 * n;
        return r < n ? r : 2 * n - 1 - r;
    case CNNBN_FILL_WRAP:
        r = i % n;
        return r < 0 ? r + n : r;
    case CNNBN_FILL_NEAREST:
        return i < 0 ? 0 : i < n ? i : n - 1;
    case CNNBN_FILL_CONSTANT:
        break;
    }
    return i >= 0 && i < n ? i : -1;
}

/* The pixels that pixel (p, q) is made of, and their weights. */
typedef struct taps {
    int n, h[4], w[4]; /* rows and columns; -1: fill */
    double weight[4];
} taps;

static void find_taps(const cnnbn_warp *warp, int p, int q, taps *t)
{
    const double *m = warp->t;
    double column = m[0] * q + (m[1] * p + m[2]), row = m[3] * q + (m[4] * p + m[5]);
    if (!warp->bilinear) {
        t->n = 1;
        t->h[0] = place(warp->mode, (int)round(row), warp->H);
        t->w[0] = place(warp->mode, (int)round(column), warp->W);
        t->weight[0] = 1;
        return;
    }
    double h0 = floor(row), w0 = floor(column), below = row - h0, right = column - w0;
    t->n = 4;
    for (int k = 0; k < 4; k++) {
        t->h[k] = place(warp->mode, (int)h0 + k / 2, warp->H);
        t->w[k] = place(warp->mode, (int)w0 + k % 2, warp->W);
        t->weight[k] = (k / 2 ? below : 1 - below) * (k % 2 ? right : 1 - right);
    }
}

void cnnbn__ref_image_warp(const cnnbn_warp *warp, const float *x, float *y)
{
    size_t C = (size_t)warp->C;
    taps t;
    for (int p = 0; p < warp->P; p++)
        for (int q = 0; q < warp->Q; q++, y += C) {
            find_taps(warp, p, q, &t);
            for (size_t c = 0; c < C; c++) {
                double sum = 0;
                for (int k = 0; k < t.n; k++) {
                    int inside = t.h[k] >= 0 && t.w[k] >= 0;
                    float from = inside ? x[(size_t)t.h[k] * warp->row + (size_t)t.w[k] * C + c] : warp->fill[c];
                    /* A pixel of weight 0 is not part of it: it may be a NaN. */
                    if (t.weight[k] > 0) sum += t.weight[k] * (double)from;
                }
                y[c] = (float)sum;
            }
        }
}

void cnnbn__ref_image_warp_bwd(const cnnbn_warp *warp, const float *dy, float *dx)
{
    size_t C = (size_t)warp->C, row = (size_t)warp->W * C;
    taps t;
    memset(dx, 0, (size_t)warp->H * row * sizeof *dx);
    for (int p = 0; p < warp->P; p++)
        for (int q = 0; q < warp->Q; q++, dy += C) {
            find_taps(warp, p, q, &t);
            for (int k = 0; k < t.n; k++) {
                if (t.h[k] < 0 || t.w[k] < 0) continue;
                float *to = dx + (size_t)t.h[k] * row + (size_t)t.w[k] * C;
                for (size_t c = 0; c < C; c++) to[c] = (float)((double)to[c] + t.weight[k] * (double)dy[c]);
            }
        }
}

static double mean_of(int positions, size_t C, size_t c, const float *x)
{
    double sum = 0;
    for (int i = 0; i < positions; i++) sum += (double)x[(size_t)i * C + c];
    return sum / positions;
}

/* NaN stays NaN. */
static double clip(double v, const float *low, const float *high, size_t c)
{
    if (low && v < (double)low[c]) return (double)low[c];
    return high && v > (double)high[c] ? (double)high[c] : v;
}

void cnnbn__ref_image_contrast(int positions, int C, float factor, const float *low, const float *high, const float *x,
                               float *y)
{
    size_t n = (size_t)C;
    for (size_t c = 0; c < n; c++) {
        double mean = mean_of(positions, n, c, x);
        for (size_t i = c; i < (size_t)positions * n; i += n)
            y[i] = (float)clip(((double)x[i] - mean) * (double)factor + mean, low, high, c);
    }
}

/* dx = factor*g + (1 - factor)*mean(g), g = dy where v = (x - m)*factor + m was not clipped. */
void cnnbn__ref_image_contrast_bwd(int positions, int C, float factor, const float *low, const float *high,
                                   const float *x, const float *dy, float *dx)
{
    size_t n = (size_t)C, end = (size_t)positions * n;
    for (size_t c = 0; c < n; c++) {
        double mean = mean_of(positions, n, c, x), sum = 0;
        for (size_t i = c; i < end; i += n) {
            double v = ((double)x[i] - mean) * (double)factor + mean;
            int clipped = (low && v < (double)low[c]) || (high && v > (double)high[c]);
            dx[i] = clipped ? 0 : dy[i];
            sum += (double)dx[i];
        }
        for (size_t i = c; i < end; i += n)
            dx[i] = (float)((double)factor * (double)dx[i] + (1 - (double)factor) * (sum / positions));
    }
}

void cnnbn__ref_mix(size_t n, float weight, const float *a, const float *b, float *y)
{
    double w = (double)weight;
    for (size_t i = 0; i < n; i++) y[i] = (float)(w * (double)a[i] + (1 - w) * (double)b[i]);
}
