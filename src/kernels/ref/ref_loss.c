#include "ref.h"

#include <math.h>
#include <string.h>

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

/* ---------------------------------------------------------------- what is common to all losses and metrics */

static double target_of(const cnnbn_loss *a, size_t n, size_t c)
{
    if (a->target.rows) return (double)a->target.rows[n][c];
    return a->C == 1 ? (double)a->target.labels[n] : (size_t)a->target.labels[n] == c;
}

static size_t label_of(const cnnbn_loss *a, size_t n)
{
    return a->target.rows ? first_greatest(a->target.rows[n], (size_t)a->C) : (size_t)a->target.labels[n];
}

/* Adds what sample n gives to n_sums sums. */
typedef void (*sample_rule)(const cnnbn_loss *a, size_t n, double parameter, double *sums);

static void each_sample(const cnnbn_loss *a, sample_rule rule, double parameter, size_t n_sums)
{
    int height = 0;
    for (int s = 0; s < a->run->n_slices; s++) {
        double *entry = a->sums + (size_t)height * a->sums_stride;
        memset(entry, 0, n_sums * sizeof *entry);
        for (int n = a->run->bounds[s]; n < a->run->bounds[s + 1]; n++) rule(a, (size_t)n, parameter, entry);
        height = cnnbn__stack_push_f64(a->run, s, height, n_sums, a->sums, a->sums_stride);
    }
}

/* ---------------------------------------------------------------- losses */

/* loss = -sum_c t[c] log softmax[c]; dx = (softmax*sum(t) - t)*grad_scale */
static void softmax_sample(const cnnbn_loss *a, size_t n, double unused, double *sums)
{
    (void)unused;
    size_t C = (size_t)a->C, label = label_of(a, n);
    const float *x = a->x + n * C;
    size_t best = first_greatest(x, C);
    double e = (double)a->label_smoothing, top = (double)x[best], norm = log_sum_exp(x, C, top), loss = 0, all = 0;
    for (size_t c = 0; c < C; c++) all += target_of(a, n, c) * (1 - e) + e / (double)C;
    for (size_t c = 0; c < C; c++) {
        double log_p = (double)x[c] - top - norm, t = target_of(a, n, c) * (1 - e) + e / (double)C;
        /* A target of 0 adds nothing, also where the probability is 0 and its logarithm -Inf. */
        if (t > 0) loss -= t * log_p;
        if (a->dx) a->dx[n * C + c] = (float)((exp(log_p) * all - t) * (double)a->grad_scale);
    }
    sums[0] += loss;
    sums[1] += best == label ? 1 : 0;
}

void cnnbn__ref_softmax_xent(const cnnbn_loss *args)
{
    each_sample(args, softmax_sample, 0, 2);
}

/* The term of an output x with the target t, and its derivative. */
typedef double (*term_rule)(const cnnbn_loss *a, double x, double t, double *slope);

static double smooth(const cnnbn_loss *a, double t)
{
    double e = (double)a->label_smoothing;
    return t * (1 - e) + e / 2;
}

static double sigmoid_term(const cnnbn_loss *a, double x, double t, double *slope)
{
    t = smooth(a, t);
    *slope = 1 / (1 + exp(-x)) - t;
    return (x > 0 ? x : 0) - x * t + log1p(exp(-fabs(x)));
}

static double binary_term(const cnnbn_loss *a, double x, double t, double *slope)
{
    const double low = (double)1e-7f, high = (double)(1 - 1e-7f);
    t = smooth(a, t);
    double p = x < low ? low : x > high ? high : x;
    *slope = x < low || x > high ? 0 : (p - t) / (p * (1 - p));
    return -(t * log(p) + (1 - t) * log(1 - p));
}

static double squared_term(const cnnbn_loss *a, double x, double t, double *slope)
{
    (void)a;
    *slope = 2 * (x - t);
    return (x - t) * (x - t);
}

static double absolute_term(const cnnbn_loss *a, double x, double t, double *slope)
{
    (void)a;
    *slope = x > t ? 1 : x < t ? -1 : x - t; /* 0, or NaN */
    return fabs(x - t);
}

static double huber_term(const cnnbn_loss *a, double x, double t, double *slope)
{
    double d = x - t, delta = (double)a->delta;
    *slope = d > delta ? delta : d < -delta ? -delta : d;
    return fabs(d) > delta ? delta * fabs(d) - delta * delta / 2 : d * d / 2;
}

static void mean_of_terms(const cnnbn_loss *a, term_rule rule)
{
    size_t C = (size_t)a->C;
    int height = 0;
    for (int s = 0; s < a->run->n_slices; s++) {
        double *entry = a->sums + (size_t)height * a->sums_stride, slope;
        entry[0] = 0;
        for (size_t n = (size_t)a->run->bounds[s]; n < (size_t)a->run->bounds[s + 1]; n++)
            for (size_t c = 0; c < C; c++) {
                entry[0] += rule(a, (double)a->x[n * C + c], target_of(a, n, c), &slope) / (double)C;
                if (a->dx) a->dx[n * C + c] = (float)(slope / (double)C * (double)a->grad_scale);
            }
        height = cnnbn__stack_push_f64(a->run, s, height, 1, a->sums, a->sums_stride);
    }
}

void cnnbn__ref_sigmoid_xent(const cnnbn_loss *args)
{
    mean_of_terms(args, sigmoid_term);
}

void cnnbn__ref_binary_xent(const cnnbn_loss *args)
{
    mean_of_terms(args, binary_term);
}

void cnnbn__ref_squared_error(const cnnbn_loss *args)
{
    mean_of_terms(args, squared_term);
}

void cnnbn__ref_absolute_error(const cnnbn_loss *args)
{
    mean_of_terms(args, absolute_term);
}

void cnnbn__ref_huber(const cnnbn_loss *args)
{
    mean_of_terms(args, huber_term);
}

/* ---------------------------------------------------------------- metrics */

static void class_sample(const cnnbn_loss *a, size_t n, double top, double *sums)
{
    size_t C = (size_t)a->C, label = label_of(a, n), above = 0;
    const float *x = a->x + n * C;
    if (top < 1) {
        sums[0] += first_greatest(x, C) == label;
        return;
    }
    for (size_t c = 0; c < C; c++) above += x[c] > x[label];
    sums[0] += isfinite(x[label]) && (double)above < top;
}

void cnnbn__ref_class_hits(const cnnbn_loss *args, int top)
{
    each_sample(args, class_sample, top, 1);
}

static void binary_sample(const cnnbn_loss *a, size_t n, double threshold, double *sums)
{
    size_t C = (size_t)a->C;
    for (size_t c = 0; c < C; c++) {
        double side = (double)a->x[n * C + c] > threshold, t = target_of(a, n, c);
        sums[0] += side >= t && side <= t;
    }
}

void cnnbn__ref_binary_hits(const cnnbn_loss *args, float threshold)
{
    each_sample(args, binary_sample, (double)threshold, 1);
}

static void auc_sample(const cnnbn_loss *a, size_t n, double logits, double *sums)
{
    size_t C = (size_t)a->C;
    for (size_t c = 0; c < C; c++) {
        float x = a->x[n * C + c], p = logits > 0 ? (float)(1 / (1 + exp(-(double)x))) : x;
        float place = ceilf((p > 1.0f ? 1.0f : p) * (float)(CNNBN_AUC_BINS - 1)) - 1;
        int bin = place > 0 ? (int)place : 0;
        sums[(fabs(target_of(a, n, c)) > 0 ? 0 : CNNBN_AUC_BINS) + bin] += 1;
    }
}

void cnnbn__ref_auc_counts(const cnnbn_loss *args, int logits)
{
    each_sample(args, auc_sample, logits, 2 * (size_t)CNNBN_AUC_BINS);
}
