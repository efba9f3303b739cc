#include "ref.h"

#include <math.h>

/* Window of an output position, cut at the image: rows [h0, h1), columns [w0, w1). Never empty for `valid` and `same`. */
typedef struct window {
    int h0, h1, w0, w1;
} window;

static window window_of(const cnnbn_pool_geom *g, int p, int q)
{
    int h = p * g->stride_h - g->pad_top, w = q * g->stride_w - g->pad_left;
    window cut = {h, h + g->R, w, w + g->S};
    if (cut.h0 < 0) cut.h0 = 0;
    if (cut.w0 < 0) cut.w0 = 0;
    if (cut.h1 > g->H) cut.h1 = g->H;
    if (cut.w1 > g->W) cut.w1 = g->W;
    return cut;
}

static size_t input_index(const cnnbn_pool_geom *g, int n, int h, int w, int c)
{
    return (((size_t)n * (size_t)g->H + (size_t)h) * (size_t)g->W + (size_t)w) * (size_t)g->C + (size_t)c;
}

static size_t output_index(const cnnbn_pool_geom *g, int n, int p, int q, int c)
{
    return (((size_t)n * (size_t)g->P + (size_t)p) * (size_t)g->Q + (size_t)q) * (size_t)g->C + (size_t)c;
}

/* Index of the first maximum in row-major order; a NaN counts as greater than anything. */
static size_t first_maximum(const cnnbn_pool_geom *g, window cut, int n, int c, const float *x)
{
    size_t best = input_index(g, n, cut.h0, cut.w0, c);
    for (int h = cut.h0; h < cut.h1; h++) {
        for (int w = cut.w0; w < cut.w1; w++) {
            size_t i = input_index(g, n, h, w, c);
            if (!isnan(x[best]) && !(x[i] <= x[best])) best = i;
        }
    }
    return best;
}

void cnnbn__ref_maxpool_fwd(const cnnbn_pool_geom *g, int N, const float *x, float *y)
{
    for (int n = 0; n < N; n++)
        for (int p = 0; p < g->P; p++)
            for (int q = 0; q < g->Q; q++)
                for (int c = 0; c < g->C; c++)
                    y[output_index(g, n, p, q, c)] = x[first_maximum(g, window_of(g, p, q), n, c, x)];
}

void cnnbn__ref_maxpool_bwd(const cnnbn_pool_geom *g, int N, const float *x, const float *y, const float *dy, float *dx)
{
    (void)y;
    for (int n = 0; n < N; n++) {
        for (size_t i = input_index(g, n, 0, 0, 0); i < input_index(g, n + 1, 0, 0, 0); i++) dx[i] = 0;
        for (int p = 0; p < g->P; p++)
            for (int q = 0; q < g->Q; q++)
                for (int c = 0; c < g->C; c++)
                    dx[first_maximum(g, window_of(g, p, q), n, c, x)] += dy[output_index(g, n, p, q, c)];
    }
}

void cnnbn__ref_avgpool_fwd(const cnnbn_pool_geom *g, int N, const float *x, float *y)
{
    for (int n = 0; n < N; n++) {
        for (int p = 0; p < g->P; p++) {
            for (int q = 0; q < g->Q; q++) {
                window cut = window_of(g, p, q);
                int count = (cut.h1 - cut.h0) * (cut.w1 - cut.w0);
                for (int c = 0; c < g->C; c++) {
                    double sum = 0;
                    for (int h = cut.h0; h < cut.h1; h++)
                        for (int w = cut.w0; w < cut.w1; w++) sum += (double)x[input_index(g, n, h, w, c)];
                    y[output_index(g, n, p, q, c)] = (float)(sum / count);
                }
            }
        }
    }
}

/* First output whose window [p*stride - pad, ... + R) reaches h; the last is h + pad over stride. */
static int first_output(int h, int stride, int pad, int R)
{
    int t = h + pad - R + 1;
    return t <= 0 ? 0 : (t + stride - 1) / stride;
}

/* Gathered for each input element, so that its sum is one double. */
void cnnbn__ref_avgpool_bwd(const cnnbn_pool_geom *g, int N, const float *dy, float *dx)
{
    for (int n = 0; n < N; n++) {
        for (int h = 0; h < g->H; h++) {
            for (int w = 0; w < g->W; w++) {
                for (int c = 0; c < g->C; c++) {
                    double sum = 0;
                    for (int p = first_output(h, g->stride_h, g->pad_top, g->R);
                         p < g->P && p * g->stride_h - g->pad_top <= h; p++) {
                        for (int q = first_output(w, g->stride_w, g->pad_left, g->S);
                             q < g->Q && q * g->stride_w - g->pad_left <= w; q++) {
                            window cut = window_of(g, p, q);
                            int count = (cut.h1 - cut.h0) * (cut.w1 - cut.w0);
                            sum += (double)dy[output_index(g, n, p, q, c)] / count;
                        }
                    }
                    dx[input_index(g, n, h, w, c)] = (float)sum;
                }
            }
        }
    }
}

void cnnbn__ref_gap_fwd(int N, int positions, int C, const float *x, float *y)
{
    size_t n_channels = (size_t)C, per_sample = (size_t)positions * n_channels;
    for (size_t n = 0; n < (size_t)N; n++) {
        for (size_t c = 0; c < n_channels; c++) {
            double sum = 0;
            for (size_t i = c; i < per_sample; i += n_channels) sum += (double)x[n * per_sample + i];
            y[n * n_channels + c] = (float)(sum / positions);
        }
    }
}

void cnnbn__ref_gap_bwd(int N, int positions, int C, const float *dy, float *dx)
{
    size_t n_channels = (size_t)C, per_sample = (size_t)positions * n_channels;
    for (size_t n = 0; n < (size_t)N; n++)
        for (size_t i = 0; i < per_sample; i++)
            dx[n * per_sample + i] = (float)((double)dy[n * n_channels + i % n_channels] / positions);
}
