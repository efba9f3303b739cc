/* Optimiser steps and the sums and scalings of gradients: one pass over memory each. */
#include "ew.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

void EW(add)(size_t n, const float *x, float *y)
{
    EW_SIMD
    for (size_t i = 0; i < n; i++) y[i] += x[i];
}

void EW(add_f64)(size_t n, const double *x, double *y)
{
    EW_SIMD
    for (size_t i = 0; i < n; i++) y[i] += x[i];
}

void EW(scale)(size_t n, float a, float *y)
{
    for (size_t i = 0; i < n; i++) y[i] *= a;
}

/* Sum over one block by 16 lanes, then the lanes in order. */
EW_INLINE double block_sum(int squares, size_t n, const float *restrict x)
{
    enum { LANES = 16 };
    double lane[LANES] = {0}, sum = 0.0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            double v = (double)x[i + (size_t)j];
            lane[j] += squares ? v * v : fabs(v);
        }
    for (; i < n; i++) sum += squares ? (double)x[i] * (double)x[i] : fabs((double)x[i]);
    for (int j = 0; j < LANES; j++) sum += lane[j];
    return sum;
}

EW_INLINE double sum_of(int squares, size_t n, const float *x)
{
    enum { BLOCK = 4096 };
    double sum = 0.0;
    for (size_t i = 0; i < n; i += BLOCK) sum += block_sum(squares, n - i < BLOCK ? n - i : BLOCK, x + i);
    return sum;
}

double EW(sum_squares)(size_t n, const float *x)
{
    return sum_of(1, n, x);
}

double EW(sum_abs)(size_t n, const float *x)
{
    return sum_of(0, n, x);
}

void EW(penalty_bwd)(size_t n, float l1, float l2, const float *w, float *g)
{
    float slope = 2.0f * l2;
    EW_SIMD
    for (size_t i = 0; i < n; i++) {
        float sign = (w[i] > 0.0f ? 1.0f : 0.0f) - (w[i] < 0.0f ? 1.0f : 0.0f);
        g[i] += slope * w[i] + l1 * sign;
    }
}

void EW(clip)(size_t n, float limit, float *y)
{
    for (size_t i = 0; i < n; i++) {
        float v = y[i] < -limit ? -limit : y[i];
        y[i] = v > limit ? limit : v;
    }
}

void EW(adam)(size_t n, const cnnbn_adam *args, const float *g, float *m, float *v, float *w)
{
    float a = args->step_size, one_b1 = args->rate1, one_b2 = args->rate2, eps = args->epsilon;
    float decay = args->decay;
    EW_SIMD
    for (size_t i = 0; i < n; i++) {
        float w0 = w[i] - w[i] * decay;
        float mi = m[i] + (g[i] - m[i]) * one_b1;        /* m += (g - m)(1 - beta1) */
        float vi = v[i] + (g[i] * g[i] - v[i]) * one_b2; /* v += (g^2 - v)(1 - beta2) */
        m[i] = mi;
        v[i] = vi;
        w[i] = w0 - a * mi / (sqrtf(vi) + eps);
    }
}

void EW(sgd)(size_t n, const cnnbn_sgd *args, const float *g, float *m, float *w)
{
    float lr = args->lr, momentum = args->momentum, decay = args->decay, coupled = args->coupled;
    if (momentum == 0.0f) {
        EW_SIMD
        for (size_t i = 0; i < n; i++) w[i] = w[i] - w[i] * decay - lr * (g[i] + coupled * w[i]);
    } else if (!args->nesterov) {
        EW_SIMD
        for (size_t i = 0; i < n; i++) {
            m[i] = momentum * m[i] - lr * (g[i] + coupled * w[i]);
            w[i] = w[i] - w[i] * decay + m[i];
        }
    } else {
        EW_SIMD
        for (size_t i = 0; i < n; i++) {
            float step = lr * (g[i] + coupled * w[i]);
            m[i] = momentum * m[i] - step;
            w[i] = w[i] - w[i] * decay + (momentum * m[i] - step);
        }
    }
}

void EW(rmsprop)(size_t n, const cnnbn_rmsprop *args, const float *g, float *v, float *m, float *w)
{
    float lr = args->lr, rho = args->rho, rate = args->rate, momentum = args->momentum, eps = args->epsilon;
    float decay = args->decay;
    if (momentum == 0.0f) {
        EW_SIMD
        for (size_t i = 0; i < n; i++) {
            v[i] = rho * v[i] + rate * (g[i] * g[i]);
            w[i] = w[i] - w[i] * decay - lr * g[i] / sqrtf(v[i] + eps);
        }
        return;
    }
    EW_SIMD
    for (size_t i = 0; i < n; i++) {
        v[i] = rho * v[i] + rate * (g[i] * g[i]);
        m[i] = momentum * m[i] + lr * g[i] / sqrtf(v[i] + eps);
        w[i] = w[i] - w[i] * decay - m[i];
    }
}

void EW(lamb)(size_t n, const cnnbn_lamb *args, float *g, float *m, float *v, float *w)
{
    float one_b1 = args->rate1, one_b2 = args->rate2, c1 = args->correct1, c2 = args->correct2;
    float eps = args->epsilon, decay = args->decay;
    EW_SIMD
    for (size_t i = 0; i < n; i++) {
        float mi = m[i] + (g[i] - m[i]) * one_b1;
        float vi = v[i] + (g[i] * g[i] - v[i]) * one_b2;
        m[i] = mi;
        v[i] = vi;
        w[i] = w[i] - w[i] * decay;
        g[i] = mi * c1 / (sqrtf(vi * c2) + eps);
    }
}

/* Without the sign a float's bits grow as its value does, infinity behind all numbers and NaN behind infinity: a greatest integer,
 * which needs no order and no care for NaN. */
float EW(abs_max)(size_t n, const float *x)
{
    int32_t most = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits &= INT32_MAX;
        most = bits > most ? bits : most;
    }
    float result;
    memcpy(&result, &most, sizeof result);
    return result;
}

void EW(lerp)(size_t n, float t, const float *x, float *y)
{
    EW_SIMD
    for (size_t i = 0; i < n; i++) y[i] += t * (x[i] - y[i]);
}
