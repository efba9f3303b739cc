/* Normalisation within a sample: layer, group and unit. A group's channels of one position are contiguous; sums run over
 * them in eight lanes of doubles, which depends on the shape alone. */
#include "ew.h"
#include "stack.h"

#include <math.h>

enum { LANES = 8 };

/* lane[j] += sum of x[i] over i = j, j + LANES, ... */
EW_INLINE void add_row(int n, const float *restrict x, double *restrict lane)
{
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += (double)x[i + j];
    for (int j = 0; i + j < n; j++) lane[j] += (double)x[i + j];
}

EW_INLINE void add_squares(int n, const float *restrict x, double mean, double *restrict lane)
{
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            double d = (double)x[i + j] - mean;
            lane[j] += d * d;
        }
    for (int j = 0; i + j < n; j++) {
        double d = (double)x[i + j] - mean;
        lane[j] += d * d;
    }
}

EW_INLINE double close_lanes(const double *lane)
{
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

void EW(norm_stats)(size_t rows, int positions, int C, int groups, double epsilon, const float *x, double *stats)
{
    int width = C / groups;
    size_t row = (size_t)C;
    double count = (double)positions * (double)width;
    for (size_t r = 0; r < rows; r++, x += (size_t)positions * row)
        for (int g = 0; g < groups; g++, stats += 2) {
            double sums[LANES] = {0}, squares[LANES] = {0};
            const float *first = x + g * width;
            for (int p = 0; p < positions; p++) add_row(width, first + (size_t)p * row, sums);
            stats[0] = close_lanes(sums) / count;
            for (int p = 0; p < positions; p++) add_squares(width, first + (size_t)p * row, stats[0], squares);
            stats[1] = 1.0 / sqrt(close_lanes(squares) / count + epsilon);
        }
}

/* One position of one group: (x - mean)*inv_std in float from a float mean and what its rounding left over. */
EW_INLINE void apply_row(int n, const float *x, const double *stats, const float *gamma, const float *beta, float *y)
{
    float mean = (float)stats[0], inv_std = (float)stats[1], rest = (float)(((double)mean - stats[0]) * stats[1]);
    if (gamma && beta) {
        EW_SIMD
        for (int c = 0; c < n; c++) y[c] = ew_fma(ew_fma(x[c] - mean, inv_std, rest), gamma[c], beta[c]);
        return;
    }
    for (int c = 0; c < n; c++) {
        float xhat = ew_fma(x[c] - mean, inv_std, rest);
        y[c] = xhat * (gamma ? gamma[c] : 1.0f) + (beta ? beta[c] : 0.0f);
    }
}

void EW(norm_apply)(size_t rows, int positions, int C, int groups, const float *x, const double *stats,
                    const float *gamma, const float *beta, float *y)
{
    int width = C / groups;
    for (size_t r = 0; r < rows; r++, stats += 2 * groups)
        for (int p = 0; p < positions; p++, x += C, y += C)
            for (int g = 0; g < groups; g++) {
                int c = g * width;
                apply_row(width, x + c, stats + 2 * g, gamma ? gamma + c : NULL, beta ? beta + c : NULL, y + c);
            }
}

/* lane[j] += g, dots[j] += g*(x - mean), g = dy*gamma. */
EW_INLINE void add_gradients(int n, const float *restrict x, const float *restrict dy, const float *restrict gamma,
                             double mean, double *restrict lane, double *restrict dots)
{
    for (int i = 0; i < n; i += LANES) {
        int take = n - i < LANES ? n - i : LANES;
        for (int j = 0; j < take; j++) {
            double g = (double)dy[i + j] * (gamma ? (double)gamma[i + j] : 1.0);
            lane[j] += g;
            dots[j] += g * ((double)x[i + j] - mean);
        }
    }
}

void EW(norm_bwd_data)(size_t rows, int positions, int C, int groups, const float *x, const double *stats,
                       const float *gamma, const float *dy, float *dx)
{
    int width = C / groups;
    size_t row = (size_t)C, per_row = (size_t)positions * row;
    double count = (double)positions * (double)width;
    for (size_t r = 0; r < rows; r++, x += per_row, dy += per_row, dx += per_row)
        for (int g = 0; g < groups; g++, stats += 2) {
            double sums[LANES] = {0}, dots[LANES] = {0};
            int first = g * width;
            const float *scale = gamma ? gamma + first : NULL;
            for (int p = 0; p < positions; p++) {
                size_t at = (size_t)p * row + (size_t)first;
                add_gradients(width, x + at, dy + at, scale, stats[0], sums, dots);
            }
            double inv_std = stats[1], mean_g = close_lanes(sums) / count;
            double slope = close_lanes(dots) / count * inv_std * inv_std * inv_std;
            float mean = (float)stats[0], a = (float)inv_std, b = (float)-slope;
            float c0 = (float)(-inv_std * mean_g - slope * ((double)mean - stats[0]));
            for (int p = 0; p < positions; p++) {
                size_t at = (size_t)p * row + (size_t)first;
                EW_SIMD
                for (int c = 0; c < width; c++) {
                    float d = scale ? dy[at + (size_t)c] * scale[c] : dy[at + (size_t)c];
                    dx[at + (size_t)c] = ew_fma(a, d, ew_fma(b, x[at + (size_t)c] - mean, c0));
                }
            }
        }
}

void EW(norm_bwd_weights)(const cnnbn_run *run, size_t rows_per_sample, int positions, int C, int groups,
                          const float *x, const double *stats, const float *dy, float *dgamma, float *dbeta,
                          size_t stride)
{
    int width = C / groups, height_gamma = 0, height_beta = 0;
    size_t n_channels = (size_t)C, per_row = (size_t)positions * n_channels;
    for (int s = 0; s < run->n_slices; s++) {
        size_t begin = (size_t)run->bounds[s] * rows_per_sample, end = (size_t)run->bounds[s + 1] * rows_per_sample;
        for (int c0 = 0; c0 < C; c0 += EW_WIDTH) {
            double sums[EW_WIDTH] = {0}, dots[EW_WIDTH] = {0};
            int n_c = C - c0 < EW_WIDTH ? C - c0 : EW_WIDTH;
            for (size_t r = begin; r < end; r++)
                for (int p = 0; p < positions; p++) {
                    size_t at = r * per_row + (size_t)p * n_channels + (size_t)c0;
                    for (int c = 0; c < n_c;) { /* one group's part of the block at a time */
                        int g = (c0 + c) / width, stop = (g + 1) * width - c0;
                        const double *st = stats + 2 * (r * (size_t)groups + (size_t)g);
                        if (stop > n_c) stop = n_c;
                        for (; c < stop; c++) {
                            double d = (double)dy[at + (size_t)c];
                            sums[c] += d;
                            dots[c] += d * (((double)x[at + (size_t)c] - st[0]) * st[1]);
                        }
                    }
                }
            for (int c = 0; c < n_c; c++) {
                if (dgamma) dgamma[(size_t)height_gamma * stride + (size_t)(c0 + c)] = (float)dots[c];
                if (dbeta) dbeta[(size_t)height_beta * stride + (size_t)(c0 + c)] = (float)sums[c];
            }
        }
        if (dgamma) height_gamma = cnnbn__stack_push_f32(run, s, height_gamma, n_channels, dgamma, stride);
        if (dbeta) height_beta = cnnbn__stack_push_f32(run, s, height_beta, n_channels, dbeta, stride);
    }
}

void EW(unit_fwd)(size_t rows, int C, const float *x, float *y)
{
    for (size_t r = 0; r < rows; r++, x += C, y += C) {
        double lane[LANES] = {0};
        add_squares(C, x, 0.0, lane);
        double squares = close_lanes(lane);
        float scale = (float)(1.0 / sqrt(squares < 1e-12 ? 1e-12 : squares));
        EW_SIMD
        for (int c = 0; c < C; c++) y[c] = x[c] * scale;
    }
}

void EW(unit_bwd)(size_t rows, int C, const float *x, const float *dy, float *dx)
{
    for (size_t r = 0; r < rows; r++, x += C, dy += C, dx += C) {
        double lane[LANES] = {0}, ignored[LANES] = {0}, dots[LANES] = {0};
        add_squares(C, x, 0.0, lane);
        add_gradients(C, x, dy, NULL, 0.0, ignored, dots);
        double squares = close_lanes(lane);
        float scale = (float)(1.0 / sqrt(squares < 1e-12 ? 1e-12 : squares));
        float slope = (float)(squares < 1e-12 ? 0.0 : close_lanes(dots) / squares);
        EW_SIMD
        for (int c = 0; c < C; c++) dx[c] = scale * (dy[c] - x[c] * slope);
    }
}
