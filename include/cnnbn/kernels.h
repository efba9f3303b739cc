/* Kernels: pure functions on arrays. No MPI, no files, no malloc, no logging, no knowledge of layers.
 *
 * One table of function pointers per implementation, all under the same signatures: `ref` (naive C in
 * double, the oracle and the fallback), `blas` (convolution and dense by OpenBLAS, the rest as simd), and
 * `simd` (own vector kernels, one source compiled once per instruction set).
 *
 * Layout: activations NHWC float32, dense, sample after sample. Convolution kernels HWIO = [R][S][C/groups][K],
 * dense kernels [F][U]. H W C in, K filters, R S window, P Q out, N samples. Channels are the fastest index.
 *
 * Sums over samples follow a run of slices (slices.h): a function that says "stack" computes the sum of each
 * slice in an order that depends on the slice alone, and merges by the run's stack machine. Entry e of a stack
 * starts at base + e*stride. When it returns, entries [0, run->n_nodes) hold the run's nodes, the others
 * garbage. An empty slice contributes zeros. Stacks have room for run->depth entries unless said otherwise.
 *
 * Kernels return void: they cannot fail. NaN and Inf are carried through: a NaN in is a NaN out wherever
 * the formula says so (ReLU of NaN is NaN). No two arguments may overlap unless said otherwise.
 * Ranks: local, all of them. Threads: any number of calls at once on distinct outputs and workspaces.
 */
#ifndef CNNBN_KERNELS_H
#define CNNBN_KERNELS_H

#include <stddef.h>
#include <stdint.h>
#include "cnnbn/activation.h"
#include "cnnbn/cpu.h"
#include "cnnbn/slices.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is done to an input element as it is loaded: x' = act((x - mean[c]) * scale[c] + beta[c]), c = index % period.
 * mean == NULL: no affine, x' = act(x). A `same` border is zero AFTER this. */
typedef struct cnnbn_prologue {
    const float *mean, *scale, *beta; /* [period] each, or all NULL */
    int period;                       /* channels; >= 1 when mean is given */
    cnnbn_activation act;
} cnnbn_prologue;

/* ---------------------------------------------------------------- convolution */

typedef struct cnnbn_conv_geom {
    int H, W, C;            /* input */
    int K, R, S;            /* filters, window height and width */
    int P, Q;               /* output height and width */
    int stride_h, stride_w; /* >= 1 */
    int pad_top, pad_left;  /* rows above and columns left; what is needed below and right follows from P, Q */
    int dil_h, dil_w;       /* >= 1 */
    int groups;             /* divides C and K */
} cnnbn_conv_geom;

typedef enum cnnbn_conv_algo {
    CNNBN_CONV_AUTO = 0, /* chosen from the geometry alone, never from timing: bits depend on it */
    CNNBN_CONV_REF,
    CNNBN_CONV_BLAS, /* im2col by tiles and sgemm */
    CNNBN_CONV_DIRECT,
    CNNBN_CONV_WINOGRAD /* Lavin, Gray: Fast algorithms for convolutional neural networks, 2015 (docs/numerics.md) */
} cnnbn_conv_algo;

/* Whether conv_bwd can do the backward pass of a batch norm behind the convolution; without dx: where dw alone is wanted. */
typedef enum cnnbn_behind { CNNBN_BEHIND_NEVER, CNNBN_BEHIND_WITHOUT_DX, CNNBN_BEHIND_ALWAYS } cnnbn_behind;

/* Made once by conv_plan; read-only afterwards. The caller sets geom, algo (AUTO or a wish), max_n and max_slice. */
typedef struct cnnbn_conv_plan {
    cnnbn_conv_geom geom;
    cnnbn_conv_algo algo; /* in: AUTO or a wish; out: what is done (a wish that does not fit the geometry falls back) */
    int max_n;            /* in: greatest number of samples in one call */
    int max_slice;        /* in: greatest number of samples in one slice */
    size_t fwd_prepared_floats, bwd_prepared_floats;   /* out: form of the weights made by conv_prepare_*; 0: none */
    size_t fwd_workspace_floats, bwd_workspace_floats; /* out: scratch of one call */
    int any_grouping;  /* out: 1 when y and dx of a sample have the same bits whatever samples share the call;
                               0: calls must hold one slice each (BLAS: bits depend on the number of rows) */
    int makes_bn_sums; /* out: conv_bwd takes bn_sums */
    cnnbn_behind takes_bn_behind; /* out: whether conv_bwd takes `behind` */
} cnnbn_conv_plan;

/* y = act(conv(x', w) + bias), x' by `in`. Keras' Conv2D: cross-correlation. */
typedef struct cnnbn_conv_fwd {
    const cnnbn_run *run;  /* slices of this call; N = run->bounds[run->n_slices] */
    const float *x;        /* [N][H][W][C] */
    cnnbn_prologue in;     /* period C */
    const float *w;        /* [R][S][C/groups][K] */
    const float *prepared; /* by conv_prepare_fwd with the same w, bias, in */
    const float *bias;     /* [K] or NULL */
    cnnbn_activation act;  /* cnnbn_act_from_output(act) holds */
    float *y;              /* [N][P][Q][K], overwritten */
    /* Batch-norm sums of y, or stat == NULL. Stack of [2K] doubles: sum over samples and positions of (y - shift)
     * in [0,K) and (y - shift)^2 in [K,2K). Must be exact to 1e-6 of the variance at mean/std = 1e4 (shift = 0):
     * accumulate about a local shift, such as the slice's first pixel, in short float runs flushed to double. */
    const float *stat_shift; /* [K] */
    double *stat;
    size_t stat_stride;
    float *workspace; /* [fwd_workspace_floats], CNNBN_ALIGN */
} cnnbn_conv_fwd;

/* The backward pass of a batch norm behind a convolution, as bn_bwd_apply does it. in.act and pre linear or ReLU. */
typedef struct cnnbn_bn_behind {
    const float *x;    /* [N][P][Q][K]: the batch norm's input */
    cnnbn_prologue in; /* period K; mean given */
    const float *a, *b, *c0;
    cnnbn_activation pre;
} cnnbn_bn_behind;

/* Gradients of y0 = conv(x', w) + bias given dy = dL/dy0 (in front of the activation). */
typedef struct cnnbn_conv_bwd {
    const cnnbn_run *run;
    const float *x; /* [N][H][W][C], as in forward */
    cnnbn_prologue in;
    const float *dy; /* [N][P][Q][K] */
    const cnnbn_bn_behind
        *behind;           /* or NULL. `dy` is the gradient behind this batch norm, and the one in front of it, with
                                      the bits of bn_bwd_apply, is made as it is loaded and never written */
    const float *w;        /* [R][S][C/groups][K] */
    const float *prepared; /* by conv_prepare_bwd with the same w */
    float *dx;             /* [N][H][W][C] = dL/dx' (behind the prologue), overwritten; NULL: not wanted */
    float *dw;             /* stack of [R][S][C/groups][K]; NULL: not wanted */
    size_t dw_stride;
    float *db; /* stack of [K]: sums of dy; NULL: not wanted */
    size_t db_stride;
    float *workspace; /* [bwd_workspace_floats], CNNBN_ALIGN */
    /* Sums over samples and pixels of dx in [0, C) and of dx*x' in [C, 2C), made from w, dw and db: for a layer without padding,
     * dx' = dL/dx' of a pixel that no window covers being zero. Stack of [2C] doubles, or NULL; wants dw and db. */
    double *bn_sums;
    size_t bn_sums_stride;
} cnnbn_conv_bwd;

/* ---------------------------------------------------------------- dense */

typedef struct cnnbn_dense_plan {
    int F, U;                                          /* in: features in, units out */
    int max_n, max_slice;                              /* in: as for the convolution */
    size_t fwd_workspace_floats, bwd_workspace_floats; /* out: of one call */
    int any_grouping;                                  /* out: as for the convolution */
    size_t prepared_floats;                            /* out: form of the weights made by dense_prepare; 0: none */
    int fuses_bn;                                      /* out: dense_bwd_bn pays (and may be called) */
    int bn_groups; /* out: parts in which dense_bwd_weights makes a batch norm's sums; 0: it does not */
} cnnbn_dense_plan;

/* y = act(x' w + bias) */
typedef struct cnnbn_dense_fwd {
    const cnnbn_run *run;
    const float *x;        /* [N][F] */
    cnnbn_prologue in;     /* period divides F */
    const float *w;        /* [F][U] */
    const float *prepared; /* by dense_prepare with the same w */
    const float *bias;     /* [U] or NULL */
    cnnbn_activation act;  /* as for the convolution */
    float *y;              /* [N][U], overwritten */
    float *workspace;
} cnnbn_dense_fwd;

/* dx = dy w^T */
typedef struct cnnbn_dense_bwd_data {
    const cnnbn_run *run;
    const float *dy; /* [N][U], in front of the activation */
    const float *w;  /* [F][U] */
    const float *prepared;
    float *dx; /* [N][F], behind the prologue, overwritten */
    float *workspace;
} cnnbn_dense_bwd_data;

/* dense_bwd_data and a batch norm's backward in one pass, so that dz = dy w^T is never written: with `sums` what bn_bwd_sums
 * makes of dz and x, with dx what bn_bwd_apply makes of them. For a plan with fuses_bn, in.act linear, in.mean given and its
 * period a multiple of 16, pre linear or ReLU. */
typedef struct cnnbn_dense_bwd_bn {
    const cnnbn_run *run;
    const float *dy; /* [N][U], in front of the activation */
    const float *w;
    const float *prepared;
    const float *x;    /* [N][F]: the batch norm's input */
    cnnbn_prologue in; /* the batch norm: period channels */
    double *sums;      /* stack of [2 * period], or NULL */
    size_t sums_stride;
    const float *a, *b, *c0; /* [period], for dx */
    cnnbn_activation pre;
    float *dx; /* [N][F], overwritten, or NULL */
    float *workspace;
} cnnbn_dense_bwd_bn;

/* dw = x'^T dy, db = sum of dy. Works on part `part` of `n_parts` of the rows of dw (whole tiles of the kernel's own
 * fixed tiling, so that the split changes no bits); part 0 makes db. The tree runs inside a tile: the stacks have
 * room for run->n_nodes entries only. */
typedef struct cnnbn_dense_bwd_weights {
    const cnnbn_run *run;
    const float *x; /* [N][F] */
    cnnbn_prologue in;
    const float *dy; /* [N][U] */
    float *dw;       /* stack of [F][U] */
    size_t dw_stride;
    float *db; /* stack of [U]; NULL: not wanted */
    size_t db_stride;
    int part, n_parts;
    float *workspace;
    /* Or NULL. For a batch norm in front whose sums are wanted too (plan->bn_groups > 0; in: x' = x - mean, that is scale 1, beta 0
     * and no activation, period a multiple of 16): with dz = dy w^T the sum of dz*(x - mean) over samples is that of w*dw over
     * units, so no pass over dz is needed. [bn_groups][run->n_slices + U][period], overwritten by the parts among them, each its
     * own groups; dense_bn_join makes the sums of it. */
    float *bn_partial;
    const float *w, *prepared; /* only for bn_partial */
} cnnbn_dense_bwd_weights;

/* Sums for a batch norm's backward (as bn_bwd_sums) from bn_partial, when all parts are done. */
typedef struct cnnbn_dense_bn_join {
    const cnnbn_run *run;
    int period;
    const float *bn_partial;
    const float *dy; /* [N][U] */
    double *sums;    /* stack of [2 * period]; room for run->depth entries */
    size_t sums_stride;
    float *workspace; /* [2 * U * period], CNNBN_ALIGN */
} cnnbn_dense_bn_join;

/* ---------------------------------------------------------------- pooling */

typedef struct cnnbn_pool_geom {
    int H, W, C, R, S, P, Q, stride_h, stride_w, pad_top, pad_left; /* as for the convolution */
} cnnbn_pool_geom;

/* ---------------------------------------------------------------- images */

/* What lies outside of an image: reflect dcba|abcd|dcba, wrap abcd|abcd|abcd, nearest aaaa|abcd|dddd, or a constant. */
typedef enum cnnbn_fill_mode {
    CNNBN_FILL_REFLECT,
    CNNBN_FILL_WRAP,
    CNNBN_FILL_CONSTANT,
    CNNBN_FILL_NEAREST
} cnnbn_fill_mode;

/* An affine map of one image: y[p][q] = x at column t[0]*q + t[1]*p + t[2], row t[3]*q + t[4]*p + t[5], which are finite and
 * of less than 2^30. Bilinear: of the four pixels around, each found by the fill mode; else of the nearest, halves rounded
 * away from zero. */
typedef struct cnnbn_warp {
    int H, W, C; /* x */
    size_t row;  /* floats from a row of x to the next, >= W*C */
    int P, Q;    /* y */
    double t[6];
    int bilinear;
    cnnbn_fill_mode mode;
    const float *fill; /* [C], for CONSTANT */
} cnnbn_warp;

/* ---------------------------------------------------------------- losses and metrics */

/* What the outputs of a call's samples are compared with: one of the two. */
typedef struct cnnbn_targets {
    const int32_t *labels;    /* [N] class numbers in [0, C): rows with a 1 there; with C = 1 the number itself */
    const float *const *rows; /* [N] rows of C values */
} cnnbn_targets;

/* A loss is the mean of its terms over a sample's C outputs (softmax_xent: their sum), summed over samples. */
typedef struct cnnbn_loss {
    const cnnbn_run *run;
    int C;
    const float *x; /* [N][C]: outputs, or logits */
    cnnbn_targets target;
    float label_smoothing; /* e: targets t are t*(1 - e) + e/C (softmax_xent), t*(1 - e) + e/2 (binary ones) */
    float delta;           /* Huber's */
    float grad_scale;      /* of dx */
    float *dx;             /* [N][C], overwritten: gradient by x of each sample's loss; NULL: not wanted */
    double *sums;          /* stack of 1 double: the loss; softmax_xent: of 2 */
    size_t sums_stride;
} cnnbn_loss;

/* Bins of auc_counts: Keras' 200 thresholds. */
enum { CNNBN_AUC_BINS = 200 };

/* ---------------------------------------------------------------- optimisers */

typedef struct cnnbn_adam {
    float step_size;    /* lr * sqrt(1 - beta2^t) / (1 - beta1^t), computed in double by the caller */
    float rate1, rate2; /* 1 - beta1 and 1 - beta2, computed in double: 1 - 0.999f is off by 5e-5 */
    float epsilon;
    float decay; /* w -= w * decay first (AdamW: lr * weight_decay); 0: none */
} cnnbn_adam;

typedef struct cnnbn_sgd {
    float lr, momentum;
    int nesterov;
    float decay;   /* as above */
    float coupled; /* the gradient is g + coupled*w (LARS) */
} cnnbn_sgd;

typedef struct cnnbn_rmsprop {
    float lr, rho, rate; /* rate: 1 - rho, computed in double */
    float momentum, epsilon;
    float decay; /* as above */
} cnnbn_rmsprop;

typedef struct cnnbn_lamb {
    float rate1, rate2;       /* as Adam's */
    float correct1, correct2; /* 1/(1 - beta1^t), 1/(1 - beta2^t) */
    float epsilon;
    float decay; /* as above */
} cnnbn_lamb;

/* ---------------------------------------------------------------- the table */

typedef struct cnnbn_kernels {
    const char *name; /* "ref", "blas", "simd-avx512", ... */
    cnnbn_isa isa;    /* instruction set of the element-wise kernels */

    void (*conv_plan)(cnnbn_conv_plan *plan);
    /* Forms of the weights, once a step; part `part` of `n_parts` (threads), a barrier afterwards is the caller's. */
    void (*conv_prepare_fwd)(const cnnbn_conv_plan *plan, const float *w, const float *bias, const cnnbn_prologue *in,
                             float *prepared, int part, int n_parts);
    void (*conv_prepare_bwd)(const cnnbn_conv_plan *plan, const float *w, float *prepared, int part, int n_parts);
    void (*conv_fwd)(const cnnbn_conv_plan *plan, const cnnbn_conv_fwd *args);
    void (*conv_bwd)(const cnnbn_conv_plan *plan, const cnnbn_conv_bwd *args);

    void (*dense_plan)(cnnbn_dense_plan *plan);
    void (*dense_prepare)(const cnnbn_dense_plan *plan, const float *w, float *prepared, int part, int n_parts);
    void (*dense_fwd)(const cnnbn_dense_plan *plan, const cnnbn_dense_fwd *args);
    void (*dense_bwd_data)(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_data *args);
    void (*dense_bwd_bn)(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_bn *args);
    void (*dense_bwd_weights)(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_weights *args);
    void (*dense_bn_join)(const cnnbn_dense_plan *plan,
                          const cnnbn_dense_bn_join *args); /* only for plans with bn_groups */

    /* Batch-norm sums of x [N][positions][C]: as conv_fwd's `stat`. */
    void (*bn_stats)(const cnnbn_run *run, int positions, int C, const float *x, const float *shift, double *stat,
                     size_t stat_stride);
    /* y = act((x - mean)*scale + beta + add) over `rows` rows of C; add [rows][C] or NULL; y may be x or add. */
    void (*bn_apply)(size_t rows, int C, const float *x, const cnnbn_prologue *in, const float *add, float *y);
    /* Sums for batch norm's backward, g = dz * act'(u), u = (x - mean)*scale + beta by `in`: stack of [2C] doubles:
     * sum g in [0,C), sum g*(x - mean) in [C,2C). Same accuracy demand as bn_stats. */
    void (*bn_bwd_sums)(const cnnbn_run *run, int positions, int C, const float *dz, const float *x,
                        const cnnbn_prologue *in, double *sums, size_t sums_stride);
    /* dx = pre'(x) * (a[c]*g + b[c]*(x - mean[c]) + c0[c]), g as above; pre: the activation whose output x is (its
     * derivative from the output). dx may be dz. */
    void (*bn_bwd_apply)(size_t rows, int C, const float *dz, const float *x, const cnnbn_prologue *in, const float *a,
                         const float *b, const float *c0, cnnbn_activation pre, float *dx);

    /* y = act(x), n elements; y may be x. */
    void (*act_fwd)(size_t n, cnnbn_activation act, const float *x, float *y);
    /* dx = dy * act'(.): from y when cnnbn_act_from_output(act) (x may be NULL), else from x (y may be NULL); dx may be dy. */
    void (*act_bwd)(size_t n, cnnbn_activation act, const float *dy, const float *x, const float *y, float *dx);

    /* Max pooling: the border is never the maximum. Backward: the gradient goes to the first maximum of a window in
     * row-major order (as TensorFlow); x and y as in forward; dx overwritten. */
    void (*maxpool_fwd)(const cnnbn_pool_geom *geom, int N, const float *x, float *y);
    void (*maxpool_bwd)(const cnnbn_pool_geom *geom, int N, const float *x, const float *y, const float *dy, float *dx);
    /* Average pooling: the border does not count in the divisor. dx overwritten. */
    void (*avgpool_fwd)(const cnnbn_pool_geom *geom, int N, const float *x, float *y);
    void (*avgpool_bwd)(const cnnbn_pool_geom *geom, int N, const float *dy, float *dx);

    /* y[n][c] = mean over positions of x [N][positions][C], and its adjoint (dx overwritten). */
    void (*gap_fwd)(int N, int positions, int C, const float *x, float *y);
    void (*gap_bwd)(int N, int positions, int C, const float *dy, float *dx);

    /* y = softmax over C of each of `rows` rows; stable; y may be x. */
    void (*softmax)(size_t rows, int C, const float *x, float *y);
    /* dx = y * (dy - sum_c dy*y); dx may be dy. */
    void (*softmax_bwd)(size_t rows, int C, const float *dy, const float *y, float *dx);

    /* Categorical cross-entropy of logits: -sum_c t_c log softmax_c (stable, in double); second sum: rows whose first
     * greatest logit is at the label, or at the first greatest target. dx = (softmax*sum(t) - t)*grad_scale. */
    void (*softmax_xent)(const cnnbn_loss *args);
    /* Binary cross-entropy of logits: max(x, 0) - x*t + log(1 + e^-|x|); dx = (sigmoid(x) - t)/C*grad_scale. */
    void (*sigmoid_xent)(const cnnbn_loss *args);
    /* Binary cross-entropy of probabilities p, x cut to [1e-7, 1 - 1e-7] as Keras does: -t log p - (1 - t) log(1 - p);
     * dx = (p - t)/(p(1 - p))/C*grad_scale, 0 where x was cut. */
    void (*binary_xent)(const cnnbn_loss *args);
    /* (x - t)^2; |x - t| (gradient 0 at 0); Huber (1964): d^2/2 where |d| <= delta, else delta*|d| - delta^2/2. */
    void (*squared_error)(const cnnbn_loss *args);
    void (*absolute_error)(const cnnbn_loss *args);
    void (*huber)(const cnnbn_loss *args);
    /* Metrics: of args only run, C, x, target, sums are looked at. Sums of class_hits: rows whose first greatest output
     * is at the label (top 0), or with fewer than `top` outputs above the label's, which is finite; a target row's label
     * is its first greatest value. binary_hits: outputs on their target's side, (x > threshold) == t. */
    void (*class_hits)(const cnnbn_loss *args, int top);
    void (*binary_hits)(const cnnbn_loss *args, float threshold);
    /* Stack of 2*CNNBN_AUC_BINS: outputs of targets other than 0 by bin, then those of 0; bin = ceil(199 p) - 1, at least
     * 0, of p = x, or of sigmoid(x) when `logits` is set. NaN falls into bin 0. */
    void (*auc_counts)(const cnnbn_loss *args, int logits);

    /* y = x * mask / (1 - rate): element i of sample n is kept when cnnbn_rng_uniform(keys[n], i) >= rate. The same call
     * is its own adjoint. y may be x. */
    void (*dropout)(int N, size_t per_sample, float rate, const uint64_t *keys, const float *x, float *y);

    /* y = x*scale[i % period] + shift[i % period], x uint8; and the same from float. */
    void (*input_u8)(size_t n, int period, const uint8_t *x, const float *scale, const float *shift, float *y);
    void (*input_f32)(size_t n, int period, const float *x, const float *scale, const float *shift, float *y);

    /* Images of (H, W, C), one a call. y[h][w] = x[vertical ? H-1-h : h][horizontal ? W-1-w : w]; its own adjoint. */
    void (*image_flip)(int H, int W, int C, int horizontal, int vertical, const float *x, float *y);
    /* y[p][q] = x[p + top][q + left], fill[c] outside of x; fill [C], NULL for zeros. With -top, -left and the shapes
     * exchanged its own adjoint. */
    void (*image_shift)(int H, int W, int C, int top, int left, int P, int Q, const float *fill, const float *x,
                        float *y);
    /* y [P][Q][C]. And the adjoint: dx [H][W][C], dense (row = W*C), overwritten; fill is not looked at. */
    void (*image_warp)(const cnnbn_warp *warp, const float *x, float *y);
    void (*image_warp_bwd)(const cnnbn_warp *warp, const float *dy, float *dx);
    /* y = clip((x - m[c])*factor + m[c], low[c], high[c]), m the mean over the positions; low and high [C], both NULL: not
     * clipped. y may be x. Backward: where nothing was clipped; dx may be dy. */
    void (*image_contrast)(int positions, int C, float factor, const float *low, const float *high, const float *x,
                           float *y);
    void (*image_contrast_bwd)(int positions, int C, float factor, const float *low, const float *high, const float *x,
                               const float *dy, float *dx);
    /* y = weight*a + (1 - weight)*b; y may be a or b. */
    void (*mix)(size_t n, float weight, const float *a, const float *b, float *y);

    /* y = a + b; y may be a or b. */
    void (*sum)(size_t n, const float *a, const float *b, float *y);
    /* y = a*b; y may be a or b. */
    void (*mul)(size_t n, const float *a, const float *b, float *y);
    /* y = a >= b ? a : b; a NaN on either side is the result. Backward: dy goes to a where a >= b (as TensorFlow), else to
     * b; dx is that of a, or of b when `second` is set. dx may be dy. */
    void (*maximum)(size_t n, const float *a, const float *b, float *y);
    void (*maximum_bwd)(size_t n, const float *a, const float *b, const float *dy, int second, float *dx);
    /* y[n][p][c] = x[n][p][c] * factor[n][c]; y may be x. And the adjoint by the factor: y[n][c] = sum over p of a*b. */
    void (*channel_mul)(int N, int positions, int C, const float *x, const float *factor, float *y);
    void (*channel_dot)(int N, int positions, int C, const float *a, const float *b, float *y);
    /* Stack of [period]: sum of dy over samples and the repetitions of the period in a sample. */
    void (*column_sums)(const cnnbn_run *run, size_t per_sample, size_t period, const float *dy, float *sums,
                        size_t sums_stride);
    /* PReLU (He et al. 2015): y = x > 0 ? x : alpha[i % period]*x, n a multiple of the period. y may be x. Backward: dx,
     * which may be dy, and dalpha: stack of [period]. */
    void (*prelu_fwd)(size_t n, size_t period, const float *x, const float *alpha, float *y);
    void (*prelu_bwd)(size_t n, size_t period, const float *x, const float *alpha, const float *dy, float *dx);
    void (*prelu_bwd_weights)(const cnnbn_run *run, size_t per_sample, size_t period, const float *x, const float *dy,
                              float *dalpha, size_t dalpha_stride);
    /* Layer and group normalisation (Ba, Kiros, Hinton 2016; Wu, He 2018) of x [rows][positions][C]: over the positions and
     * the C/groups channels of each group of each row. stats [rows][groups][2]: mean, 1/sqrt(var + epsilon), var biased. */
    void (*norm_stats)(size_t rows, int positions, int C, int groups, double epsilon, const float *x, double *stats);
    /* y = (x - mean)*inv_std*gamma[c] + beta[c]; gamma, beta or both may be NULL. y may be x. */
    void (*norm_apply)(size_t rows, int positions, int C, int groups, const float *x, const double *stats,
                       const float *gamma, const float *beta, float *y);
    /* dx = inv_std*(g - mean(g) - xhat*mean(g*xhat)), g = dy*gamma, means over the group. dx may be dy. */
    void (*norm_bwd_data)(size_t rows, int positions, int C, int groups, const float *x, const double *stats,
                          const float *gamma, const float *dy, float *dx);
    /* dgamma = sum of dy*xhat, dbeta = sum of dy: stacks of [C]; NULL: not wanted. A sample has rows_per_sample rows. */
    void (*norm_bwd_weights)(const cnnbn_run *run, size_t rows_per_sample, int positions, int C, int groups,
                             const float *x, const double *stats, const float *dy, float *dgamma, float *dbeta,
                             size_t stride);
    /* y = x / sqrt(max(sum_c x^2, 1e-12)) for each row of C; y may be x. Backward: dx may be dy. */
    void (*unit_fwd)(size_t rows, int C, const float *x, float *y);
    void (*unit_bwd)(size_t rows, int C, const float *x, const float *dy, float *dx);
    /* y = x + stddev * cnnbn_rng_normal(keys[n], i) for element i of sample n; y may be x. */
    void (*noise)(int N, size_t per_sample, float stddev, const uint64_t *keys, const float *x, float *y);

    void (*add)(size_t n, const float *x, float *y);       /* y += x: the tree's addition */
    void (*add_f64)(size_t n, const double *x, double *y); /* y += x */
    void (*scale)(size_t n, float a, float *y);            /* y *= a */
    /* Sums of squares and of absolute values in double: 4,096-element blocks, added left to right; they depend on n and x
     * alone. */
    double (*sum_squares)(size_t n, const float *x);
    double (*sum_abs)(size_t n, const float *x);
    /* g += 2*l2*w + l1*sign(w), sign(0) = 0: the gradient of l1*sum(|w|) + l2*sum(w^2). */
    void (*penalty_bwd)(size_t n, float l1, float l2, const float *w, float *g);
    /* Bilinear enlargement of x [N][H][W][C] by whole factors to y [N][H*rows][W*columns][C]: output pixel i lies at
     * (i + 1/2)/rows - 1/2, clamped to the image (keras.ops.image.resize). And its adjoint; dx overwritten. */
    void (*bilinear_fwd)(int N, int H, int W, int C, int rows, int columns, const float *x, float *y);
    void (*bilinear_bwd)(int N, int H, int W, int C, int rows, int columns, const float *dy, float *dx);
    void (*clip)(size_t n, float limit, float *y); /* to [-limit, limit]; NaN stays */

    /* Adam (Kingma, Ba 2015) as Keras has it: m += (g-m)(1-beta1); v += (g^2-v)(1-beta2);
     * w -= step_size*m/(sqrt(v)+epsilon). */
    void (*adam)(size_t n, const cnnbn_adam *args, const float *g, float *m, float *v, float *w);
    /* SGD: m = momentum*m - lr*g; w += m, or Nesterov w += momentum*m - lr*g with the new m. momentum = 0: m unused. */
    void (*sgd)(size_t n, const cnnbn_sgd *args, const float *g, float *m, float *w);
    /* RMSprop (Tieleman, Hinton 2012) as Keras has it: v = rho*v + (1-rho)*g^2; s = lr*g/sqrt(v + epsilon); m = momentum*m + s;
     * w -= m. momentum = 0: w -= s, m unused. */
    void (*rmsprop)(size_t n, const cnnbn_rmsprop *args, const float *g, float *v, float *m, float *w);
    /* First half of LAMB (You et al. 2020) as Keras has it: w -= w*decay; m and v as Adam's;
     * g = m*correct1/(sqrt(v*correct2) + epsilon), overwritten. The second half is sgd with lr * |w|/|g|. */
    void (*lamb)(size_t n, const cnnbn_lamb *args, float *g, float *m, float *v, float *w);
    /* Greatest |x|; NaN when there is one; 0 when n is 0. */
    float (*abs_max)(size_t n, const float *x);
    void (*lerp)(size_t n, float t, const float *x, float *y); /* y += t*(x - y) */
} cnnbn_kernels;

/* Table for a name: "auto" (simd of the best set this CPU has), "simd", "simd-avx512", "simd-avx2", "simd-baseline",
 * "simd-neon", "blas", "ref". *out is borrowed for ever. CNNBN_ERR_OPTION names the sets that this CPU can run. */
CNNBN_API cnnbn_status cnnbn_kernels_get(const char *name, const cnnbn_kernels **out) CNNBN_MUST_CHECK;

/* Names that cnnbn_kernels_get takes on this CPU, NULL-ended, borrowed for ever (for tests and messages). */
CNNBN_API const char *const *cnnbn_kernels_names(void);

CNNBN_API const char *cnnbn_conv_algo_name(cnnbn_conv_algo algo);

/* Core name OpenBLAS runs ("SkylakeX", "Haswell", ...), borrowed; "none" when built without OpenBLAS' own header. */
CNNBN_API const char *cnnbn_blas_core(void);
/* One thread a call: cnnbn's own threads call BLAS. Call once at start-up. */
CNNBN_API void cnnbn_blas_init(void);

#ifdef __cplusplus
}
#endif
#endif
