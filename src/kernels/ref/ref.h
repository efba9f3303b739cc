/* The naive twins: plain C, every sum in double, each element's arithmetic as its equation is written. Shared by the
 * files of this folder; contracts are in cnnbn/kernels.h.
 */
#ifndef CNNBN_KERNELS_REF_H
#define CNNBN_KERNELS_REF_H

#include "cnnbn/kernels.h"

/* act(x), and its derivative from x or from y = act(x) (only where cnnbn_act_from_output). At a kink the derivative is
 * that of the left branch, as in TensorFlow. */
double cnnbn__ref_act(cnnbn_activation act, double x);
double cnnbn__ref_act_slope(cnnbn_activation act, double x);
double cnnbn__ref_act_slope_from_output(cnnbn_activation act, double y);

/* u = (x - mean[c])*scale[c] + beta[c], or x without an affine. */
static inline double cnnbn__ref_affine(const cnnbn_prologue *in, size_t c, float x)
{
    if (!in->mean) return (double)x;
    return ((double)x - (double)in->mean[c]) * (double)in->scale[c] + (double)in->beta[c];
}

/* x' of n elements; element 0 is of channel 0. */
void cnnbn__ref_load(size_t n, const cnnbn_prologue *in, const float *x, double *out);

/* A workspace that holds doubles: CNNBN_ALIGN makes it fit. */
static inline double *cnnbn__ref_doubles(float *workspace)
{
    return (double *)(void *)workspace;
}

/* Input row (or column) under tap r of output p; outside of [0, H) it is border. */
static inline int cnnbn__ref_tap(int p, int stride, int pad, int r, int dilation)
{
    return p * stride - pad + r * dilation;
}

void cnnbn__ref_conv_plan(cnnbn_conv_plan *plan);
void cnnbn__ref_conv_prepare_fwd(const cnnbn_conv_plan *plan, const float *w, const float *bias,
                                 const cnnbn_prologue *in, float *prepared, int part, int n_parts);
void cnnbn__ref_conv_prepare_bwd(const cnnbn_conv_plan *plan, const float *w, float *prepared, int part, int n_parts);
void cnnbn__ref_conv_fwd(const cnnbn_conv_plan *plan, const cnnbn_conv_fwd *args);
void cnnbn__ref_conv_bwd(const cnnbn_conv_plan *plan, const cnnbn_conv_bwd *args);

void cnnbn__ref_dense_plan(cnnbn_dense_plan *plan);
void cnnbn__ref_dense_prepare(const cnnbn_dense_plan *plan, const float *w, float *prepared, int part, int n_parts);
void cnnbn__ref_dense_bwd_bn(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_bn *args);
void cnnbn__ref_dense_fwd(const cnnbn_dense_plan *plan, const cnnbn_dense_fwd *args);
void cnnbn__ref_dense_bwd_data(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_data *args);
void cnnbn__ref_dense_bwd_weights(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_weights *args);
void cnnbn__ref_dense_bn_join(const cnnbn_dense_plan *plan, const cnnbn_dense_bn_join *args);

void cnnbn__ref_bn_stats(const cnnbn_run *run, int positions, int C, const float *x, const float *shift, double *stat,
                         size_t stat_stride);
void cnnbn__ref_bn_apply(size_t rows, int C, const float *x, const cnnbn_prologue *in, const float *add, float *y);
void cnnbn__ref_bn_bwd_sums(const cnnbn_run *run, int positions, int C, const float *dz, const float *x,
                            const cnnbn_prologue *in, double *sums, size_t sums_stride);
void cnnbn__ref_bn_bwd_apply(size_t rows, int C, const float *dz, const float *x, const cnnbn_prologue *in,
                             const float *a, const float *b, const float *c0, cnnbn_activation pre, float *dx);

void cnnbn__ref_act_fwd(size_t n, cnnbn_activation act, const float *x, float *y);
void cnnbn__ref_act_bwd(size_t n, cnnbn_activation act, const float *dy, const float *x, const float *y, float *dx);

void cnnbn__ref_maxpool_fwd(const cnnbn_pool_geom *geom, int N, const float *x, float *y);
void cnnbn__ref_maxpool_bwd(const cnnbn_pool_geom *geom, int N, const float *x, const float *y, const float *dy,
                            float *dx);
void cnnbn__ref_avgpool_fwd(const cnnbn_pool_geom *geom, int N, const float *x, float *y);
void cnnbn__ref_avgpool_bwd(const cnnbn_pool_geom *geom, int N, const float *dy, float *dx);
void cnnbn__ref_gap_fwd(int N, int positions, int C, const float *x, float *y);
void cnnbn__ref_gap_bwd(int N, int positions, int C, const float *dy, float *dx);

void cnnbn__ref_softmax(size_t rows, int C, const float *x, float *y);
void cnnbn__ref_softmax_bwd(size_t rows, int C, const float *dy, const float *y, float *dx);
void cnnbn__ref_softmax_xent(const cnnbn_loss *args);
void cnnbn__ref_sigmoid_xent(const cnnbn_loss *args);
void cnnbn__ref_binary_xent(const cnnbn_loss *args);
void cnnbn__ref_squared_error(const cnnbn_loss *args);
void cnnbn__ref_absolute_error(const cnnbn_loss *args);
void cnnbn__ref_huber(const cnnbn_loss *args);
void cnnbn__ref_class_hits(const cnnbn_loss *args, int top);
void cnnbn__ref_binary_hits(const cnnbn_loss *args, float threshold);
void cnnbn__ref_auc_counts(const cnnbn_loss *args, int logits);

void cnnbn__ref_dropout(int N, size_t per_sample, float rate, const uint64_t *keys, const float *x, float *y);
void cnnbn__ref_input_u8(size_t n, int period, const uint8_t *x, const float *scale, const float *shift, float *y);
void cnnbn__ref_input_f32(size_t n, int period, const float *x, const float *scale, const float *shift, float *y);
void cnnbn__ref_add(size_t n, const float *x, float *y);
void cnnbn__ref_add_f64(size_t n, const double *x, double *y);
void cnnbn__ref_scale(size_t n, float a, float *y);
double cnnbn__ref_sum_squares(size_t n, const float *x);
double cnnbn__ref_sum_abs(size_t n, const float *x);
void cnnbn__ref_penalty_bwd(size_t n, float l1, float l2, const float *w, float *g);
void cnnbn__ref_bilinear_fwd(int N, int H, int W, int C, int rows, int columns, const float *x, float *y);
void cnnbn__ref_bilinear_bwd(int N, int H, int W, int C, int rows, int columns, const float *dy, float *dx);
void cnnbn__ref_clip(size_t n, float limit, float *y);

void cnnbn__ref_image_flip(int H, int W, int C, int horizontal, int vertical, const float *x, float *y);
void cnnbn__ref_image_shift(int H, int W, int C, int top, int left, int P, int Q, const float *fill, const float *x,
                            float *y);
void cnnbn__ref_image_warp(const cnnbn_warp *warp, const float *x, float *y);
void cnnbn__ref_image_warp_bwd(const cnnbn_warp *warp, const float *dy, float *dx);
void cnnbn__ref_image_contrast(int positions, int C, float factor, const float *low, const float *high, const float *x,
                               float *y);
void cnnbn__ref_image_contrast_bwd(int positions, int C, float factor, const float *low, const float *high,
                                   const float *x, const float *dy, float *dx);
void cnnbn__ref_mix(size_t n, float weight, const float *a, const float *b, float *y);

void cnnbn__ref_sum(size_t n, const float *a, const float *b, float *y);
void cnnbn__ref_mul(size_t n, const float *a, const float *b, float *y);
void cnnbn__ref_maximum(size_t n, const float *a, const float *b, float *y);
void cnnbn__ref_maximum_bwd(size_t n, const float *a, const float *b, const float *dy, int second, float *dx);
void cnnbn__ref_channel_mul(int N, int positions, int C, const float *x, const float *factor, float *y);
void cnnbn__ref_channel_dot(int N, int positions, int C, const float *a, const float *b, float *y);
void cnnbn__ref_column_sums(const cnnbn_run *run, size_t per_sample, size_t period, const float *dy, float *sums,
                            size_t sums_stride);
void cnnbn__ref_prelu_fwd(size_t n, size_t period, const float *x, const float *alpha, float *y);
void cnnbn__ref_prelu_bwd(size_t n, size_t period, const float *x, const float *alpha, const float *dy, float *dx);
void cnnbn__ref_prelu_bwd_weights(const cnnbn_run *run, size_t per_sample, size_t period, const float *x,
                                  const float *dy, float *dalpha, size_t dalpha_stride);
void cnnbn__ref_norm_stats(size_t rows, int positions, int C, int groups, double epsilon, const float *x,
                           double *stats);
void cnnbn__ref_norm_apply(size_t rows, int positions, int C, int groups, const float *x, const double *stats,
                           const float *gamma, const float *beta, float *y);
void cnnbn__ref_norm_bwd_data(size_t rows, int positions, int C, int groups, const float *x, const double *stats,
                              const float *gamma, const float *dy, float *dx);
void cnnbn__ref_norm_bwd_weights(const cnnbn_run *run, size_t rows_per_sample, int positions, int C, int groups,
                                 const float *x, const double *stats, const float *dy, float *dgamma, float *dbeta,
                                 size_t stride);
void cnnbn__ref_unit_fwd(size_t rows, int C, const float *x, float *y);
void cnnbn__ref_unit_bwd(size_t rows, int C, const float *x, const float *dy, float *dx);
void cnnbn__ref_noise(int N, size_t per_sample, float stddev, const uint64_t *keys, const float *x, float *y);

void cnnbn__ref_adam(size_t n, const cnnbn_adam *args, const float *g, float *m, float *v, float *w);
void cnnbn__ref_sgd(size_t n, const cnnbn_sgd *args, const float *g, float *m, float *w);
void cnnbn__ref_rmsprop(size_t n, const cnnbn_rmsprop *args, const float *g, float *v, float *m, float *w);
void cnnbn__ref_lamb(size_t n, const cnnbn_lamb *args, float *g, float *m, float *v, float *w);
float cnnbn__ref_abs_max(size_t n, const float *x);
void cnnbn__ref_lerp(size_t n, float t, const float *x, float *y);

#endif
