/* Normalisation within a sample: layer, group and unit. */
#include "ref.h"

#include <math.h>

#include "stack.h"

/* Index of position p, channel k of group g of a row. */
static size_t at(size_t row, int positions, int C, int groups, int g, int p, int k)
{
    int width = C / groups;
    return (row * (size_t)positions + (size_t)p) * (size_t)C + (size_t)(g * width + k);
}

void cnnbn__ref_norm_stats(size_t rows, int positions, int C, int groups, double epsilon, const float *x, double *stats)
{
    double count = (double)positions * (double)(C / groups);
    for (size_t r = 0; r < rows; r++) {
        for (int g = 0; g < groups; g++, stats += 2) {
            double sum = 0, squares = 0;
            for (int p = 0; p < positions; p++)
                for (int k = 0; k < C / groups; k++) sum += (double)x[at(r, positions, C, groups, g, p, k)];
            stats[0] = sum / count;
            for (int p = 0; p < positions; p++) {
                for (int k = 0; k < C / groups; k++) {
                    double d = (double)x[at(r, positions, C, groups, g, p, k)] - stats[0];
                    squares += d * d;
                }
            }
            stats[1] = 1 / sqrt(squares / count + epsilon);
        }
    }
}

void cnnbn__ref_norm_apply(size_t rows, int positions, int C, int groups, const float *x, const double *stats,
                           const float *gamma, const float *beta, float *y)
{
    size_t n_channels = (size_t)C, per_row = (size_t)positions * n_channels, width = (size_t)(C / groups);
    for (size_t i = 0; i < rows * per_row; i++) {
        size_t c = i % n_channels;
        const double *s = stats + 2 * (i / per_row * (size_t)groups + c / width);
        double xhat = ((double)x[i] - s[0]) * s[1];
        y[i] = (float)(xhat * (gamma ? (double)gamma[c] : 1) + (beta ? (double)beta[c] : 0));
    }
}

void cnnbn__ref_norm_bwd_data(size_t rows, int positions, int C, int groups, const float *x, const double *stats,
                              const float *gamma, const float *dy, float *dx)
{
    int width = C / groups;
    double count = (double)positions * (double)width;
    for (size_t r = 0; r < rows; r++) {
        for (int g = 0; g < groups; g++, stats += 2) {
            double sum = 0, dot = 0;
            for (int p = 0; p < positions; p++) {
                for (int k = 0; k < width; k++) {
                    size_t i = at(r, positions, C, groups, g, p, k);
                    double d = (double)dy[i] * (gamma ? (double)gamma[g * width + k] : 1);
                    sum += d;
                    dot += d * ((double)x[i] - stats[0]) * stats[1];
                }
            }
            for (int p = 0; p < positions; p++) {
                for (int k = 0; k < width; k++) {
                    size_t i = at(r, positions, C, groups, g, p, k);
                    double d = (double)dy[i] * (gamma ? (double)gamma[g * width + k] : 1);
                    double xhat = ((double)x[i] - stats[0]) * stats[1];
                    dx[i] = (float)(stats[1] * (d - sum / count - xhat * dot / count));
                }
            }
        }
    }
}

void cnnbn__ref_norm_bwd_weights(const cnnbn_run *run, size_t rows_per_sample, int positions, int C, int groups,
                                 const float *x, const double *stats, const float *dy, float *dgamma, float *dbeta,
                                 size_t stride)
{
    size_t n_channels = (size_t)C, per_row = (size_t)positions * n_channels, width = (size_t)(C / groups);
    size_t per_sample = rows_per_sample * per_row;
    int height_gamma = 0, height_beta = 0;
    for (int s = 0; s < run->n_slices; s++) {
        for (size_t c = 0; c < n_channels; c++) {
            double sum = 0, dot = 0;
            for (size_t i = (size_t)run->bounds[s] * per_sample + c; i < (size_t)run->bounds[s + 1] * per_sample;
                 i += n_channels) {
                const double *st = stats + 2 * (i / per_row * (size_t)groups + c / width);
                sum += (double)dy[i];
                dot += (double)dy[i] * ((double)x[i] - st[0]) * st[1];
            }
            if (dgamma) dgamma[(size_t)height_gamma * stride + c] = (float)dot;
            if (dbeta) dbeta[(size_t)height_beta * stride + c] = (float)sum;
        }
        if (dgamma) height_gamma = cnnbn__stack_push_f32(run, s, height_gamma, n_channels, dgamma, stride);
        if (dbeta) height_beta = cnnbn__stack_push_f32(run, s, height_beta, n_channels, dbeta, stride);
    }
}

void cnnbn__ref_unit_fwd(size_t rows, int C, const float *x, float *y)
{
    for (size_t r = 0; r < rows; r++, x += C, y += C) {
        double squares = 0;
        for (int c = 0; c < C; c++) squares += (double)x[c] * (double)x[c];
        double scale = 1 / sqrt(squares < 1e-12 ? 1e-12 : squares);
        for (int c = 0; c < C; c++) y[c] = (float)((double)x[c] * scale);
    }
}

/* dx = (dy - xhat <dy, xhat>) / |x|; a row shorter than 1e-6 is scaled by a constant. */
void cnnbn__ref_unit_bwd(size_t rows, int C, const float *x, const float *dy, float *dx)
{
    for (size_t r = 0; r < rows; r++, x += C, dy += C, dx += C) {
        double squares = 0, dot = 0;
        for (int c = 0; c < C; c++) {
            squares += (double)x[c] * (double)x[c];
            dot += (double)x[c] * (double)dy[c];
        }
        double scale = 1 / sqrt(squares < 1e-12 ? 1e-12 : squares), slope = squares < 1e-12 ? 0 : dot / squares;
        for (int c = 0; c < C; c++) dx[c] = (float)(scale * ((double)dy[c] - (double)x[c] * slope));
    }
}
