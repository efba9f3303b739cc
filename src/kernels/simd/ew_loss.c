/* Softmax and the cross-entropy on it. */
#include "ew_math.h"
#include "stack.h"

#include <math.h>
#include <string.h>

/* Sum in double over 8 lanes, then the lanes in order: vectorises, and depends on the values alone. */
EW_INLINE double sum_lanes(int n, const float *x)
{
    double lane[8] = {0}, sum = 0.0;
    int i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++) lane[j] += (double)x[i + j];
    for (; i < n; i++) sum += (double)x[i];
    for (int j = 0; j < 8; j++) sum += lane[j];
    return sum;
}

/* A NaN is passed over: the sum of exponentials meets it again. */
EW_INLINE float row_max(int n, const float *x)
{
    float max = x[0];
    int i = 0;
    if (n >= 16) {
        float lane[16];
        memcpy(lane, x, sizeof lane);
        for (i = 16; i + 16 <= n; i += 16)
            for (int j = 0; j < 16; j++) lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
        for (int j = 0; j < 16; j++) max = lane[j] > max ? lane[j] : max;
    }
    for (; i < n; i++) max = x[i] > max ? x[i] : max;
    return max;
}

void EW(softmax)(size_t rows, int C, const float *x, float *y)
{
    for (size_t r = 0; r < rows; r++, x += C, y += C) {
        float max = row_max(C, x);
        EW_SIMD
        for (int c = 0; c < C; c++) y[c] = ew_exp(x[c] - max);
        float scale = (float)(1.0 / sum_lanes(C, y));
        EW_SIMD
        for (int c = 0; c < C; c++) y[c] *= scale;
    }
}

void EW(softmax_bwd)(size_t rows, int C, const float *dy, const float *y, float *dx)
{
    for (size_t r = 0; r < rows; r++, dy += C, y += C, dx += C) {
        double sum = 0.0;
        for (int c = 0; c < C; c++) sum += (double)dy[c] * (double)y[c];
        float dot = (float)sum;
        EW_SIMD
        for (int c = 0; c < C; c++) dx[c] = y[c] * (dy[c] - dot);
    }
}

/* One row; loss = log sum e^(x-max) - sum_c target_c (x_c - max). */
static void xent_row(int C, const float *x, int label, float smoothing, float grad_scale, float *dx, double *sums)
{
    double e = (double)smoothing, max = (double)x[0], sum = 0.0, all = 0.0;
    int first = 0;
    for (int c = 1; c < C; c++) {
        if ((double)x[c] > max) {
            max = (double)x[c];
            first = c;
        }
    }
    for (int c = 0; c < C; c++) {
        double v = (double)x[c] - max;
        sum += exp(v);
        all += v;
    }
    double at_label = (double)x[label] - max, target = at_label;
    if (smoothing > 0.0f) target = (1.0 - e) * at_label + e / (double)C * all;
    sums[0] += log(sum) - target;
    sums[1] += first == label ? 1.0 : 0.0;
    if (!dx) return;
    double inverse = 1.0 / sum, scale = (double)grad_scale, even = e / (double)C;
    for (int c = 0; c < C; c++) {
        double p = exp((double)x[c] - max) * inverse;
        dx[c] = (float)((p - even - (c == label ? 1.0 - e : 0.0)) * scale);
    }
}

void EW(softmax_xent)(const cnnbn_run *run, int C, const float *logits, const int32_t *labels, float label_smoothing,
                      float grad_scale, float *dlogits, double *sums, size_t sums_stride)
{
    int height = 0;
    for (int s = 0; s < run->n_slices; s++) {
        double *entry = sums + (size_t)height * sums_stride;
        entry[0] = entry[1] = 0.0;
        for (int n = run->bounds[s]; n < run->bounds[s + 1]; n++) {
            size_t at = (size_t)n * (size_t)C;
            xent_row(C, logits + at, labels[n], label_smoothing, grad_scale, dlogits ? dlogits + at : NULL, entry);
        }
        height = cnnbn__stack_push_f64(run, s, height, 2, sums, sums_stride);
    }
}
