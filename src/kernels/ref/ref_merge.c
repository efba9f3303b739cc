/* Products, maxima, factors of channels, PReLU, noise. */
#include "ref.h"

#include <math.h>

#include "cnnbn/rng.h"
#include "stack.h"

void cnnbn__ref_sum(size_t n, const float *a, const float *b, float *y)
{
    for (size_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

void cnnbn__ref_mul(size_t n, const float *a, const float *b, float *y)
{
    for (size_t i = 0; i < n; i++) y[i] = a[i] * b[i];
}

void cnnbn__ref_maximum(size_t n, const float *a, const float *b, float *y)
{
    for (size_t i = 0; i < n; i++) y[i] = isnan(a[i]) || a[i] >= b[i] ? a[i] : b[i];
}

void cnnbn__ref_maximum_bwd(size_t n, const float *a, const float *b, const float *dy, int second, float *dx)
{
    for (size_t i = 0; i < n; i++) dx[i] = (a[i] >= b[i]) == !second ? dy[i] : 0;
}

void cnnbn__ref_channel_mul(int N, int positions, int C, const float *x, const float *factor, float *y)
{
    size_t n_channels = (size_t)C, per_sample = (size_t)positions * n_channels;
    for (size_t i = 0; i < (size_t)N * per_sample; i++)
        y[i] = x[i] * factor[i / per_sample * n_channels + i % n_channels];
}

void cnnbn__ref_channel_dot(int N, int positions, int C, const float *a, const float *b, float *y)
{
    size_t n_channels = (size_t)C, per_sample = (size_t)positions * n_channels;
    for (size_t n = 0; n < (size_t)N; n++) {
        for (size_t c = 0; c < n_channels; c++) {
            double sum = 0;
            for (size_t i = n * per_sample + c; i < (n + 1) * per_sample; i += n_channels)
                sum += (double)a[i] * (double)b[i];
            y[n * n_channels + c] = (float)sum;
        }
    }
}

void cnnbn__ref_column_sums(const cnnbn_run *run, size_t per_sample, size_t period, const float *dy, float *sums,
                            size_t sums_stride)
{
    int height = 0;
    for (int s = 0; s < run->n_slices; s++) {
        float *entry = sums + (size_t)height * sums_stride;
        for (size_t c = 0; c < period; c++) {
            double sum = 0;
            for (size_t i = (size_t)run->bounds[s] * per_sample + c; i < (size_t)run->bounds[s + 1] * per_sample;
                 i += period)
                sum += (double)dy[i];
            entry[c] = (float)sum;
        }
        height = cnnbn__stack_push_f32(run, s, height, period, sums, sums_stride);
    }
}

void cnnbn__ref_prelu_fwd(size_t n, size_t period, const float *x, const float *alpha, float *y)
{
    for (size_t i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : alpha[i % period] * x[i];
}

void cnnbn__ref_prelu_bwd(size_t n, size_t period, const float *x, const float *alpha, const float *dy, float *dx)
{
    for (size_t i = 0; i < n; i++) dx[i] = x[i] > 0 ? dy[i] : alpha[i % period] * dy[i];
}

void cnnbn__ref_prelu_bwd_weights(const cnnbn_run *run, size_t per_sample, size_t period, const float *x,
                                  const float *dy, float *dalpha, size_t dalpha_stride)
{
    int height = 0;
    for (int s = 0; s < run->n_slices; s++) {
        float *entry = dalpha + (size_t)height * dalpha_stride;
        for (size_t c = 0; c < period; c++) {
            double sum = 0;
            for (size_t i = (size_t)run->bounds[s] * per_sample + c; i < (size_t)run->bounds[s + 1] * per_sample;
                 i += period)
                if (!(x[i] > 0)) sum += (double)dy[i] * (double)x[i];
            entry[c] = (float)sum;
        }
        height = cnnbn__stack_push_f32(run, s, height, period, dalpha, dalpha_stride);
    }
}

void cnnbn__ref_noise(int N, size_t per_sample, float stddev, const uint64_t *keys, const float *x, float *y)
{
    for (size_t n = 0; n < (size_t)N; n++) {
        for (size_t i = 0; i < per_sample; i++) {
            size_t at = n * per_sample + i;
            y[at] = (float)((double)x[at] + (double)stddev * cnnbn_rng_normal(keys[n], i));
        }
    }
}
