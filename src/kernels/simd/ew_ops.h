/* What the element-wise objects of one instruction set lend to other kernels: the loops around a matrix product. */
#ifndef CNNBN_EW_OPS_H
#define CNNBN_EW_OPS_H

#include "cnnbn/kernels.h"

enum { CNNBN__EW_TAPS_MAX = 32 };

/* A convolution of few taps (R*S*C <= CNNBN__EW_TAPS_MAX) on input that needs no border: tap t of output pixel (i, j)
 * is x[i*row_step + j*pixel_step + offset[t]]. */
typedef struct cnnbn__ew_taps {
    int Q, K, n_taps;
    size_t row_step, pixel_step;
    size_t offset[CNNBN__EW_TAPS_MAX];
} cnnbn__ew_taps;

typedef struct cnnbn__ew_ops {
    /* y = x' by the prologue, rows of C; as the table's bn_apply. */
    void (*bn_apply)(size_t rows, int C, const float *x, const cnnbn_prologue *in, const float *add, float *y);
    void (*add)(size_t n, const float *x, float *y);
    void (*add_f64)(size_t n, const double *x, double *y);
    /* y = act(y + bias) in place; bias may be NULL. */
    void (*bias_act)(size_t rows, int C, const float *bias, cnnbn_activation act, float *y);
    /* Batch-norm sums about a local shift, such as the slice's first pixel: sums[0,C) += x - local,
     * sums[C,2C) += (x - local)^2. stat_close then moves them from `local` to `shift` for all `rows` rows. */
    void (*stat_rows)(size_t rows, int C, const float *x, const float *local, double *sums);
    void (*stat_close)(size_t rows, int C, const float *local, const float *shift, double *sums);
    /* sums[C] += column sums. */
    void (*column_sums)(size_t rows, int C, const float *x, double *sums);

    /* Windows of output rows [i0, i1) of one image, channels [c0, c0 + n_c): col[(i1-i0)*Q][R*S*n_c], zero where a
     * window leaves the image. x: the image from its row h0 on. */
    void (*im2col)(const cnnbn_conv_geom *geom, int c0, int n_c, int i0, int i1, int h0, const float *x, float *col);
    /* Its adjoint, added to the image dx (row 0). */
    void (*col2im)(const cnnbn_conv_geom *geom, int c0, int n_c, int i0, int i1, const float *col, float *dx);
    /* Depth-wise convolution (groups = C = K), output rows [i0, i1) of one image; y overwritten, dx and dw added to. */
    void (*depthwise_fwd)(const cnnbn_conv_geom *geom, int i0, int i1, int h0, const float *x, const float *w,
                          float *y);
    void (*depthwise_bwd_data)(const cnnbn_conv_geom *geom, int i0, int i1, const float *dy, const float *w, float *dx);
    void (*depthwise_bwd_weights)(const cnnbn_conv_geom *geom, int i0, int i1, int h0, const float *x, const float *dy,
                                  float *dw);
    /* Few taps: y[rows][Q][K] = sum_t x w[t][K]; dw[t][K] added to. */
    void (*direct_fwd)(const cnnbn__ew_taps *taps, int rows, const float *x, const float *w, float *y);
    void (*direct_bwd_weights)(const cnnbn__ew_taps *taps, int rows, const float *x, const float *dy, float *dw);
    /* Products of few rows. panel [depth][panel_width()]: `width` columns of b [depth][ldb], or of the transpose of
     * b [width][ldb], the rest zero. Then c[r][0, width) += sum_d a[r*row + d*step] panel[d]. */
    int (*panel_width)(void);
    void (*pack_panel)(int depth, int width, const float *b, size_t ldb, float *panel);
    void (*pack_panel_transposed)(int depth, int width, const float *b, size_t ldb, float *panel);
    void (*panel_product)(int rows, int width, int depth, const float *a, size_t row, size_t step, const float *panel,
                          float *c, size_t ldc);
} cnnbn__ew_ops;

enum { CNNBN__EW_PANEL_MAX = 32 }; /* greatest panel_width() */

extern const cnnbn__ew_ops cnnbn__ew_ops_baseline;
extern const cnnbn__ew_ops cnnbn__ew_ops_avx2;
extern const cnnbn__ew_ops cnnbn__ew_ops_avx512;
extern const cnnbn__ew_ops cnnbn__ew_ops_neon;

#endif
