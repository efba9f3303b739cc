/* Element-wise kernels: plain C loops over contiguous channels that the compiler vectorises, compiled once per
 * instruction set. CNNBN_ISA_SUFFIX (baseline, avx2, avx512, neon) names the copy: EW(act_fwd) is cnnbn__ew_act_fwd_avx2.
 */
#ifndef CNNBN_EW_H
#define CNNBN_EW_H

#include <string.h>

#include "cnnbn/kernels.h"
#include "ew_ops.h"

#include <stddef.h>
#include <stdint.h>

#define EW_PASTE_(a, b) a##_##b
#define EW_PASTE(a, b) EW_PASTE_(a, b)
#define EW(name) EW_PASTE(cnnbn__ew_##name, CNNBN_ISA_SUFFIX)

/* "No iteration reads what another one writes": outputs may be inputs (in place), which a run-time overlap test of the
 * compiler would take for a reason not to vectorise. */
#if defined(__clang__)
#define EW_SIMD _Pragma("clang loop vectorize(assume_safety)")
#else
#define EW_SIMD _Pragma("GCC ivdep")
#endif

#define EW_INLINE static inline __attribute__((always_inline))

/* a*b + c, in one rounding where the instruction set has it (a library call otherwise, hence the test). */
EW_INLINE float ew_fma(float a, float b, float c)
{
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

/* Widest row of channels that is worked on at once: accumulators and parameters of that length live on the stack, in
 * L1. Fewer channels are repeated side by side to fill it. */
enum { EW_WIDTH = 512 };

/* Rows of C channels that are taken as one wide row. */
EW_INLINE int ew_rows_at_once(size_t rows, int C)
{
    if (C > EW_WIDTH / 2 || rows * (size_t)C < 8 * EW_WIDTH)
        return 1; /* too short to pay for the repeated parameters */
    return EW_WIDTH / C;
}

/* out[0, n*C) = n copies of p[0, C), or of `value` when p is NULL. */
EW_INLINE void ew_repeat(int n, int C, const float *p, float value, float *restrict out)
{
    const size_t all = (size_t)n * (size_t)C * sizeof *out;
    for (int c = 0; c < C; c++) out[c] = p ? p[c] : value;
    for (size_t done = (size_t)C * sizeof *out; done < all;) { /* what is there, once more */
        size_t take = done < all - done ? done : all - done;
        memcpy((char *)out + done, out, take);
        done += take;
    }
}

void EW(act_fwd)(size_t n, cnnbn_activation act, const float *x, float *y);
void EW(act_bwd)(size_t n, cnnbn_activation act, const float *dy, const float *x, const float *y, float *dx);
/* dx = dy * act'(x), by the input whatever the kind; dx may be dy. */
void EW(act_bwd_in)(size_t n, cnnbn_activation act, const float *dy, const float *x, float *dx);

void EW(bn_stats)(const cnnbn_run *run, int positions, int C, const float *x, const float *shift, double *stat,
                  size_t stat_stride);
void EW(bn_apply)(size_t rows, int C, const float *x, const cnnbn_prologue *in, const float *add, float *y);
void EW(bn_bwd_sums)(const cnnbn_run *run, int positions, int C, const float *dz, const float *x,
                     const cnnbn_prologue *in, double *sums, size_t sums_stride);
/* ew_bn_sums.c: the sums of one slice, added to sums, for channels that fit. */
int EW(bn_sums_fit)(int C, cnnbn_activation act);
void EW(bn_sums)(size_t rows, int C, const float *dz, const float *x, const cnnbn_prologue *in, double *sums);
void EW(bn_bwd_apply)(size_t rows, int C, const float *dz, const float *x, const cnnbn_prologue *in, const float *a,
                      const float *b, const float *c0, cnnbn_activation pre, float *dx);
void EW(stat_rows)(size_t rows, int C, const float *x, const float *local, double *sums);
void EW(stat_close)(size_t rows, int C, const float *local, const float *shift, double *sums);
void EW(column_sums)(size_t rows, int C, const float *x, double *sums);
void EW(bias_act)(size_t rows, int C, const float *bias, cnnbn_activation act, float *y);

void EW(maxpool_fwd)(const cnnbn_pool_geom *geom, int N, const float *x, float *y);
void EW(maxpool_bwd)(const cnnbn_pool_geom *geom, int N, const float *x, const float *y, const float *dy, float *dx);
void EW(avgpool_fwd)(const cnnbn_pool_geom *geom, int N, const float *x, float *y);
void EW(avgpool_bwd)(const cnnbn_pool_geom *geom, int N, const float *dy, float *dx);
void EW(gap_fwd)(int N, int positions, int C, const float *x, float *y);
void EW(gap_bwd)(int N, int positions, int C, const float *dy, float *dx);

void EW(softmax)(size_t rows, int C, const float *x, float *y);
void EW(softmax_bwd)(size_t rows, int C, const float *dy, const float *y, float *dx);
void EW(softmax_xent)(const cnnbn_loss *args);
void EW(sigmoid_xent)(const cnnbn_loss *args);
void EW(binary_xent)(const cnnbn_loss *args);
void EW(squared_error)(const cnnbn_loss *args);
void EW(absolute_error)(const cnnbn_loss *args);
void EW(huber)(const cnnbn_loss *args);

void EW(dropout)(int N, size_t per_sample, float rate, const uint64_t *keys, const float *x, float *y);
void EW(input_u8)(size_t n, int period, const uint8_t *x, const float *scale, const float *shift, float *y);
void EW(input_f32)(size_t n, int period, const float *x, const float *scale, const float *shift, float *y);

void EW(add)(size_t n, const float *x, float *y);
void EW(add_f64)(size_t n, const double *x, double *y);
void EW(scale)(size_t n, float a, float *y);
double EW(sum_squares)(size_t n, const float *x);
double EW(sum_abs)(size_t n, const float *x);
void EW(penalty_bwd)(size_t n, float l1, float l2, const float *w, float *g);
void EW(bilinear_fwd)(int N, int H, int W, int C, int rows, int columns, const float *x, float *y);
void EW(bilinear_bwd)(int N, int H, int W, int C, int rows, int columns, const float *dy, float *dx);
void EW(clip)(size_t n, float limit, float *y);
void EW(adam)(size_t n, const cnnbn_adam *args, const float *g, float *m, float *v, float *w);
void EW(sgd)(size_t n, const cnnbn_sgd *args, const float *g, float *m, float *w);
void EW(rmsprop)(size_t n, const cnnbn_rmsprop *args, const float *g, float *v, float *m, float *w);
void EW(lamb)(size_t n, const cnnbn_lamb *args, float *g, float *m, float *v, float *w);
float EW(abs_max)(size_t n, const float *x);
void EW(lerp)(size_t n, float t, const float *x, float *y);

void EW(im2col)(const cnnbn_conv_geom *geom, int c0, int n_c, int i0, int i1, int h0, const float *x, float *col);
void EW(col2im)(const cnnbn_conv_geom *geom, int c0, int n_c, int i0, int i1, const float *col, float *dx);
void EW(depthwise_fwd)(const cnnbn_conv_geom *geom, int i0, int i1, int h0, const float *x, const float *w, float *y);
void EW(depthwise_bwd_data)(const cnnbn_conv_geom *geom, int i0, int i1, const float *dy, const float *w, float *dx);
void EW(depthwise_bwd_weights)(const cnnbn_conv_geom *geom, int i0, int i1, int h0, const float *x, const float *dy,
                               float *dw);
void EW(direct_fwd)(const cnnbn__ew_taps *taps, int rows, const float *x, const float *w, float *y);
void EW(direct_bwd_weights)(const cnnbn__ew_taps *taps, int rows, const float *x, const float *dy, float *dw);

void EW(image_flip)(int H, int W, int C, int horizontal, int vertical, const float *x, float *y);
void EW(image_shift)(int H, int W, int C, int top, int left, int P, int Q, const float *fill, const float *x, float *y);
void EW(image_warp)(const cnnbn_warp *warp, const float *x, float *y);
void EW(image_contrast)(int positions, int C, float factor, const float *low, const float *high, const float *x,
                        float *y);
void EW(image_contrast_bwd)(int positions, int C, float factor, const float *low, const float *high, const float *x,
                            const float *dy, float *dx);
void EW(mix)(size_t n, float weight, const float *a, const float *b, float *y);

void EW(sum)(size_t n, const float *a, const float *b, float *y);
void EW(mul)(size_t n, const float *a, const float *b, float *y);
void EW(maximum)(size_t n, const float *a, const float *b, float *y);
void EW(maximum_bwd)(size_t n, const float *a, const float *b, const float *dy, int second, float *dx);
void EW(channel_mul)(int N, int positions, int C, const float *x, const float *factor, float *y);
void EW(channel_dot)(int N, int positions, int C, const float *a, const float *b, float *y);
void EW(column_stack)(const cnnbn_run *run, size_t per_sample, size_t period, const float *dy, float *sums,
                      size_t sums_stride);
void EW(prelu_fwd)(size_t n, size_t period, const float *x, const float *alpha, float *y);
void EW(prelu_bwd)(size_t n, size_t period, const float *x, const float *alpha, const float *dy, float *dx);
void EW(prelu_bwd_weights)(const cnnbn_run *run, size_t per_sample, size_t period, const float *x, const float *dy,
                           float *dalpha, size_t dalpha_stride);
void EW(norm_stats)(size_t rows, int positions, int C, int groups, double epsilon, const float *x, double *stats);
void EW(norm_apply)(size_t rows, int positions, int C, int groups, const float *x, const double *stats,
                    const float *gamma, const float *beta, float *y);
void EW(norm_bwd_data)(size_t rows, int positions, int C, int groups, const float *x, const double *stats,
                       const float *gamma, const float *dy, float *dx);
void EW(norm_bwd_weights)(const cnnbn_run *run, size_t rows_per_sample, int positions, int C, int groups,
                          const float *x, const double *stats, const float *dy, float *dgamma, float *dbeta,
                          size_t stride);
void EW(unit_fwd)(size_t rows, int C, const float *x, float *y);
void EW(unit_bwd)(size_t rows, int C, const float *x, const float *dy, float *dx);

int EW(panel_width)(void);
void EW(pack_panel)(int depth, int width, const float *b, size_t ldb, float *panel);
void EW(pack_panel_transposed)(int depth, int width, const float *b, size_t ldb, float *panel);
void EW(panel_product)(int rows, int width, int depth, const float *a, size_t row, size_t step, const float *panel,
                       float *c, size_t ldc);

#endif
