/* Convolution of few taps (a first layer on 1 or 3 channels): register tiles of pixels times filters, written with the
 * compilers' vector types so that the accumulators stay in registers. A product and the sum it goes into are meant to be
 * one fused operation: compiled with -ffp-contract=fast.
 */
#include "ew_vector.h"

enum {
    PIXELS = 6, /* of a forward tile: 2*6 accumulators, as many as 16 registers can carry */
    TAPS = 9    /* of a backward tile */
};

/* y[6][2 vec] = sum_t x[pixel + offset[t]] w[t] */
EW_INLINE void forward_tile(const cnnbn__ew_taps *t, const float *x, const float *w, float *y)
{
    size_t K = (size_t)t->K, step = t->pixel_step;
    vec a0 = {0}, a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0, b4 = a0, b5 = a0;
    for (int i = 0; i < t->n_taps; i++, w += K) {
        const float *p = x + t->offset[i];
        vec u = load(w), v = load(w + LANES);
        float x0 = p[0], x1 = p[step], x2 = p[2 * step], x3 = p[3 * step], x4 = p[4 * step], x5 = p[5 * step];
        a0 += u * x0;
        b0 += v * x0;
        a1 += u * x1;
        b1 += v * x1;
        a2 += u * x2;
        b2 += v * x2;
        a3 += u * x3;
        b3 += v * x3;
        a4 += u * x4;
        b4 += v * x4;
        a5 += u * x5;
        b5 += v * x5;
    }
    store(y, a0);
    store(y + LANES, b0);
    store(y + K, a1);
    store(y + K + LANES, b1);
    store(y + 2 * K, a2);
    store(y + 2 * K + LANES, b2);
    store(y + 3 * K, a3);
    store(y + 3 * K + LANES, b3);
    store(y + 4 * K, a4);
    store(y + 4 * K + LANES, b4);
    store(y + 5 * K, a5);
    store(y + 5 * K + LANES, b5);
}

/* One pixel, filters [k, K): the rest. Every element is summed over the taps in the same order as above. */
static void forward_pixel(const cnnbn__ew_taps *t, int k, const float *x, const float *w, float *y)
{
    size_t K = (size_t)t->K;
    for (; k + LANES <= t->K; k += LANES) {
        vec a = {0};
        for (int i = 0; i < t->n_taps; i++) a += load(w + (size_t)i * K + k) * x[t->offset[i]];
        store(y + k, a);
    }
    for (; k < t->K; k++) {
        float a = 0.0f;
        for (int i = 0; i < t->n_taps; i++) a += w[(size_t)i * K + (size_t)k] * x[t->offset[i]];
        y[k] = a;
    }
}

void EW(direct_fwd)(const cnnbn__ew_taps *taps, int rows, const float *x, const float *w, float *y)
{
    int Q = taps->Q, K = taps->K, tiled = K / (2 * LANES) * (2 * LANES);
    for (int i = 0; i < rows; i++, x += taps->row_step, y += (size_t)Q * (size_t)K) {
        int j = 0;
        for (; j + PIXELS <= Q; j += PIXELS) {
            const float *from = x + (size_t)j * taps->pixel_step;
            float *to = y + (size_t)j * (size_t)K;
            for (int k = 0; k < tiled; k += 2 * LANES) forward_tile(taps, from, w + k, to + k);
            if (tiled < K)
                for (int p = 0; p < PIXELS; p++)
                    forward_pixel(taps, tiled, from + (size_t)p * taps->pixel_step, w, to + (size_t)p * (size_t)K);
        }
        for (; j < Q; j++) forward_pixel(taps, 0, x + (size_t)j * taps->pixel_step, w, y + (size_t)j * (size_t)K);
    }
}

/* dw[9][vec] += sum over pixels of x[pixel + offset[t]] dy */
EW_INLINE void backward_tile(const cnnbn__ew_taps *t, const size_t *o, int rows, const float *x, const float *dy,
                             float *dw)
{
    size_t K = (size_t)t->K, step = t->pixel_step;
    vec a0 = {0}, a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0, a8 = a0;
    for (int i = 0; i < rows; i++, x += t->row_step) {
        const float *p = x;
        for (int j = 0; j < t->Q; j++, p += step, dy += K) {
            vec d = load(dy);
            a0 += d * p[o[0]];
            a1 += d * p[o[1]];
            a2 += d * p[o[2]];
            a3 += d * p[o[3]];
            a4 += d * p[o[4]];
            a5 += d * p[o[5]];
            a6 += d * p[o[6]];
            a7 += d * p[o[7]];
            a8 += d * p[o[8]];
        }
    }
    store(dw, load(dw) + a0);
    store(dw + K, load(dw + K) + a1);
    store(dw + 2 * K, load(dw + 2 * K) + a2);
    store(dw + 3 * K, load(dw + 3 * K) + a3);
    store(dw + 4 * K, load(dw + 4 * K) + a4);
    store(dw + 5 * K, load(dw + 5 * K) + a5);
    store(dw + 6 * K, load(dw + 6 * K) + a6);
    store(dw + 7 * K, load(dw + 7 * K) + a7);
    store(dw + 8 * K, load(dw + 8 * K) + a8);
}

/* One tap, filters from k0 on, row by row of the output. */
static void backward_tap(const cnnbn__ew_taps *t, size_t offset, int k0, int rows, const float *x, const float *dy,
                         float *dw)
{
    size_t K = (size_t)t->K;
    int k = k0;
    for (; k + LANES <= t->K; k += LANES) {
        vec a = {0};
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < t->Q; j++)
                a += load(dy + (size_t)(i * t->Q + j) * K + k) *
                     x[(size_t)i * t->row_step + (size_t)j * t->pixel_step + offset];
        store(dw + k, load(dw + k) + a);
    }
    for (; k < t->K; k++) {
        float a = 0.0f;
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < t->Q; j++)
                a += dy[(size_t)(i * t->Q + j) * K + (size_t)k] *
                     x[(size_t)i * t->row_step + (size_t)j * t->pixel_step + offset];
        dw[k] += a;
    }
}

void EW(direct_bwd_weights)(const cnnbn__ew_taps *taps, int rows, const float *x, const float *dy, float *dw)
{
    size_t K = (size_t)taps->K;
    int t = 0, whole = taps->K / LANES * LANES;
    for (; t + TAPS <= taps->n_taps; t += TAPS) {
        float *out = dw + (size_t)t * K;
        for (int k = 0; k < whole; k += LANES) backward_tile(taps, taps->offset + t, rows, x, dy + k, out + k);
        if (whole < taps->K)
            for (int i = 0; i < TAPS; i++)
                backward_tap(taps, taps->offset[t + i], whole, rows, x, dy, out + (size_t)i * K);
    }
    for (; t < taps->n_taps; t++) backward_tap(taps, taps->offset[t], 0, rows, x, dy, dw + (size_t)t * K);
}
