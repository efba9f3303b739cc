/* Sums, products, maxima, factors of channels, PReLU. */
#include "ew.h"
#include "stack.h"

void EW(sum)(size_t n, const float *a, const float *b, float *y)
{
    EW_SIMD
    for (size_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

void EW(mul)(size_t n, const float *a, const float *b, float *y)
{
    EW_SIMD
    for (size_t i = 0; i < n; i++) y[i] = a[i] * b[i];
}

void EW(maximum)(size_t n, const float *a, const float *b, float *y)
{
    EW_SIMD
    for (size_t i = 0; i < n; i++) {
        float greater = a[i] >= b[i] ? a[i] : b[i];
        y[i] = a[i] != a[i] ? a[i] : greater;
    }
}

void EW(maximum_bwd)(size_t n, const float *a, const float *b, const float *dy, int second, float *dx)
{
    if (second) {
        EW_SIMD
        for (size_t i = 0; i < n; i++) dx[i] = a[i] >= b[i] ? 0.0f : dy[i];
    } else {
        EW_SIMD
        for (size_t i = 0; i < n; i++) dx[i] = a[i] >= b[i] ? dy[i] : 0.0f;
    }
}

void EW(channel_mul)(int N, int positions, int C, const float *x, const float *factor, float *y)
{
    for (int n = 0; n < N; n++, factor += C)
        for (int p = 0; p < positions; p++, x += C, y += C) {
            EW_SIMD
            for (int c = 0; c < C; c++) y[c] = x[c] * factor[c];
        }
}

void EW(channel_dot)(int N, int positions, int C, const float *a, const float *b, float *y)
{
    size_t per_sample = (size_t)positions * (size_t)C;
    for (int n = 0; n < N; n++, a += per_sample, b += per_sample, y += C)
        for (int c0 = 0; c0 < C; c0 += EW_WIDTH) {
            double sums[EW_WIDTH] = {0};
            int n_c = C - c0 < EW_WIDTH ? C - c0 : EW_WIDTH;
            for (int p = 0; p < positions; p++) {
                const float *row_a = a + (size_t)p * (size_t)C + c0, *row_b = b + (size_t)p * (size_t)C + c0;
                for (int c = 0; c < n_c; c++) sums[c] += (double)row_a[c] * (double)row_b[c];
            }
            for (int c = 0; c < n_c; c++) y[c0 + c] = (float)sums[c];
        }
}

void EW(column_stack)(const cnnbn_run *run, size_t per_sample, size_t period, const float *dy, float *sums,
                      size_t sums_stride)
{
    int height = 0;
    for (int s = 0; s < run->n_slices; s++) {
        size_t begin = (size_t)run->bounds[s] * per_sample, end = (size_t)run->bounds[s + 1] * per_sample;
        float *entry = sums + (size_t)height * sums_stride;
        for (size_t c0 = 0; c0 < period; c0 += EW_WIDTH) {
            double lane[EW_WIDTH] = {0};
            size_t n_c = period - c0 < EW_WIDTH ? period - c0 : EW_WIDTH;
            for (size_t i = begin + c0; i < end; i += period)
                for (size_t c = 0; c < n_c; c++) lane[c] += (double)dy[i + c];
            for (size_t c = 0; c < n_c; c++) entry[c0 + c] = (float)lane[c];
        }
        height = cnnbn__stack_push_f32(run, s, height, period, sums, sums_stride);
    }
}

void EW(prelu_fwd)(size_t n, size_t period, const float *x, const float *alpha, float *y)
{
    for (size_t i = 0; i < n; i += period, x += period, y += period) {
        EW_SIMD
        for (size_t c = 0; c < period; c++) {
            float below = alpha[c] * x[c];
            y[c] = x[c] > 0.0f ? x[c] : below;
        }
    }
}

void EW(prelu_bwd)(size_t n, size_t period, const float *x, const float *alpha, const float *dy, float *dx)
{
    for (size_t i = 0; i < n; i += period, x += period, dy += period, dx += period) {
        EW_SIMD
        for (size_t c = 0; c < period; c++) {
            float below = alpha[c] * dy[c];
            dx[c] = x[c] > 0.0f ? dy[c] : below;
        }
    }
}

void EW(prelu_bwd_weights)(const cnnbn_run *run, size_t per_sample, size_t period, const float *x, const float *dy,
                           float *dalpha, size_t dalpha_stride)
{
    int height = 0;
    for (int s = 0; s < run->n_slices; s++) {
        size_t begin = (size_t)run->bounds[s] * per_sample, end = (size_t)run->bounds[s + 1] * per_sample;
        float *entry = dalpha + (size_t)height * dalpha_stride;
        for (size_t c0 = 0; c0 < period; c0 += EW_WIDTH) {
            double lane[EW_WIDTH] = {0};
            size_t n_c = period - c0 < EW_WIDTH ? period - c0 : EW_WIDTH;
            for (size_t i = begin + c0; i < end; i += period)
                for (size_t c = 0; c < n_c; c++) {
                    double product = (double)dy[i + c] * (double)x[i + c];
                    lane[c] += x[i + c] > 0.0f ? 0.0 : product;
                }
            for (size_t c = 0; c < n_c; c++) entry[c0 + c] = (float)lane[c];
        }
        height = cnnbn__stack_push_f32(run, s, height, period, dalpha, dalpha_stride);
    }
}
