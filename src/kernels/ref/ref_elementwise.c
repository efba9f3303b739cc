#include "ref.h"

#include <math.h>

#include "cnnbn/rng.h"

void cnnbn__ref_dropout(int N, size_t per_sample, float rate, const uint64_t *keys, const float *x, float *y)
{
    for (size_t n = 0; n < (size_t)N; n++) {
        for (size_t i = 0; i < per_sample; i++) {
            int kept = cnnbn_rng_uniform(keys[n], i) >= rate;
            size_t at = n * per_sample + i;
            y[at] = kept ? (float)((double)x[at] / (1 - (double)rate)) : 0;
        }
    }
}

void cnnbn__ref_input_u8(size_t n, int period, const uint8_t *x, const float *scale, const float *shift, float *y)
{
    for (size_t i = 0; i < n; i++) {
        size_t c = i % (size_t)period;
        y[i] = (float)((double)x[i] * (double)scale[c] + (double)shift[c]);
    }
}

void cnnbn__ref_input_f32(size_t n, int period, const float *x, const float *scale, const float *shift, float *y)
{
    for (size_t i = 0; i < n; i++) {
        size_t c = i % (size_t)period;
        y[i] = (float)((double)x[i] * (double)scale[c] + (double)shift[c]);
    }
}

/* In the type of the tree: any wider sum would change its bits. */
void cnnbn__ref_add(size_t n, const float *x, float *y)
{
    for (size_t i = 0; i < n; i++) y[i] += x[i];
}

void cnnbn__ref_add_f64(size_t n, const double *x, double *y)
{
    for (size_t i = 0; i < n; i++) y[i] += x[i];
}

void cnnbn__ref_scale(size_t n, float a, float *y)
{
    for (size_t i = 0; i < n; i++) y[i] *= a;
}

double cnnbn__ref_sum_squares(size_t n, const float *x)
{
    enum { BLOCK = 4096 };
    double total = 0;
    for (size_t begin = 0; begin < n; begin += BLOCK) {
        size_t end = n - begin < BLOCK ? n : begin + BLOCK;
        double sum = 0;
        for (size_t i = begin; i < end; i++) sum += (double)x[i] * (double)x[i];
        total += sum;
    }
    return total;
}

double cnnbn__ref_sum_abs(size_t n, const float *x)
{
    double total = 0;
    for (size_t i = 0; i < n; i++) total += fabs((double)x[i]);
    return total;
}

void cnnbn__ref_penalty_bwd(size_t n, float l1, float l2, const float *w, float *g)
{
    for (size_t i = 0; i < n; i++) {
        double wi = (double)w[i], sign = (wi > 0) - (wi < 0);
        g[i] = (float)((double)g[i] + 2 * (double)l2 * wi + (double)l1 * sign);
    }
}

void cnnbn__ref_clip(size_t n, float limit, float *y)
{
    for (size_t i = 0; i < n; i++) {
        if (y[i] > limit) y[i] = limit;
        if (y[i] < -limit) y[i] = -limit;
    }
}
