#include "ref.h"

#include <math.h>

#include "stack.h"

/* Index of the first greatest of C values. */
static size_t first_greatest(const float *x, size_t C)
{
    size_t best = 0;
    for (size_t c = 1; c < C; c++)
        if (x[c] > x[best]) best = c;
    return best;
}

/* log sum_c e^(x - top), top the greatest x: no term overflows, and one of them is 1. */
static double log_sum_exp(const float *x, size_t C, double top)
{
    double sum = 0;
    for (size_t c = 0; c < C; c++) sum += exp((double)x[c] - top);
    return log(sum);
}

/* y = e^(x - top - log sum e^(x - top)) */
void cnnbn__ref_softmax(size_t rows, int C, const float *x, float *y)
{
    size_t n = (size_t)C;
    for (size_t r = 0; r < rows; r++, x += n, y += n) {
        double top = (double)x[first_greatest(x, n)], sum = log_sum_exp(x, n, top);
        for (size_t c = 0; c < n; c++) y[c] = (float)exp((double)x[c] - top - sum);
    }
}

/* dx = y (dy - sum_c dy y) */
void cnnbn__ref_softmax_bwd(size_t rows, int C, const float *dy, const float *y, float *dx)
{
    size_t n = (size_t)C;
    for (size_t r = 0; r < rows; r++, dy += n, y += n, dx += n) {
        double sum = 0;
        for (size_t c = 0; c < n; c++) sum += (double)dy[c] * (double)y[c];
        for (size_t c = 0; c < n; c++) dx[c] = (float)((double)y[c] * ((double)dy[c] - sum));
    }
}

/* loss = -sum_c target[c] log softmax[c], target = (1-e)*onehot + e/C; dlogits = (softmax - target)*grad_scale */
void cnnbn__ref_softmax_xent(const cnnbn_run *run, int C, const float *logits, const int32_t *labels,
                             float label_smoothing, float grad_scale, float *dlogits, double *sums, size_t sums_stride)
{
    size_t n = (size_t)C;
    double e = (double)label_smoothing;
    int height = 0;
    for (int s = 0; s < run->n_slices; s++) {
        double *sum = sums + (size_t)height * sums_stride;
        sum[0] = 0;
        sum[1] = 0;
        for (size_t i = (size_t)run->bounds[s]; i < (size_t)run->bounds[s + 1]; i++) {
            const float *x = logits + i * n;
            size_t label = (size_t)labels[i], best = first_greatest(x, n);
            double top = (double)x[best], norm = log_sum_exp(x, n, top), loss = 0;
            for (size_t c = 0; c < n; c++) {
                double log_p = (double)x[c] - top - norm, target = (c == label ? 1 - e : 0) + e / (double)C;
                /* A target of 0 adds nothing, also where the probability is 0 and its logarithm -Inf. */
                if (target > 0) loss -= target * log_p;
                if (dlogits) dlogits[i * n + c] = (float)((exp(log_p) - target) * (double)grad_scale);
            }
            sum[0] += loss;
            sum[1] += best == label ? 1 : 0;
        }
        height = cnnbn__stack_push_f64(run, s, height, 2, sums, sums_stride);
    }
}
