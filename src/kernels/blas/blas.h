/* Convolution and dense layers by OpenBLAS' sgemm.
 *
 * OpenBLAS' bits depend on the shape of a product and on the number of threads. So: one thread a call, and every product
 * has a shape that depends on one slice and the layer alone.
 */
#ifndef CNNBN_BLAS_H
#define CNNBN_BLAS_H

#include "cnnbn/kernels.h"
#include "cnnbn/memory.h"
#include "ew_ops.h"

/* The loops around the products for this CPU. */
const cnnbn__ew_ops *cnnbn__blas_ops(void);

/* Floats rounded up to whole cache lines: the parts of a workspace stay aligned. */
static inline size_t cnnbn__blas_line_up(size_t n_floats)
{
    return cnnbn_align_up(n_floats * sizeof(float)) / sizeof(float);
}

/* C [m][n] = op(A) op(B) + beta C, row-major with leading dimensions, k the summed index. */
typedef struct cnnbn__blas_matrix {
    const float *p;
    int ld;
    int transposed;
} cnnbn__blas_matrix;
void cnnbn__blas_gemm(int m, int n, int k, cnnbn__blas_matrix a, cnnbn__blas_matrix b, float beta, float *c, int ldc);

/* Where to find the parts of a convolution's workspace. */
typedef enum cnnbn__conv_form {
    CNNBN__CONV_GEMM,      /* windows to matrix rows, then products */
    CNNBN__CONV_POINTWISE, /* 1x1, stride 1: the activations are the matrix */
    CNNBN__CONV_DEPTHWISE, /* groups = C = K: no product */
    CNNBN__CONV_DIRECT     /* few taps: no product forward and for the weights */
} cnnbn__conv_form;

typedef struct cnnbn__blas_conv {
    cnnbn__conv_form form;
    int tile_rows; /* greatest number of output rows (of one or more images) in a tile */
    size_t col;    /* floats of the column buffer */
    size_t loaded; /* floats of the input behind the prologue, of a tile or an image */
    size_t sums;   /* floats of K doubles */
} cnnbn__blas_conv;
cnnbn__blas_conv cnnbn__blas_conv_layout(const cnnbn_conv_geom *geom, int max_slice);

/* Tiles of a slice of n samples: its n*P output rows, cut evenly. */
typedef struct cnnbn__blas_tiles {
    int n_rows, n_tiles;
} cnnbn__blas_tiles;
cnnbn__blas_tiles cnnbn__blas_cut(const cnnbn_conv_geom *geom, const cnnbn__blas_conv *layout, int n);
static inline int cnnbn__blas_tile_begin(cnnbn__blas_tiles tiles, int t)
{
    return (int)((long)tiles.n_rows * t / tiles.n_tiles);
}

/* Output rows [i0, i1) of sample n, and the input rows [h0, h1) they read. */
typedef struct cnnbn__blas_segment {
    int n, i0, i1, h0, h1;
} cnnbn__blas_segment;
/* The segment that starts at output row `row` of a slice and ends at `end` or at its sample's end. */
cnnbn__blas_segment cnnbn__blas_segment_at(const cnnbn_conv_geom *geom, int row, int end);

int cnnbn__blas_has_prologue(const cnnbn_prologue *in);
size_t cnnbn__blas_in_sample(const cnnbn_conv_geom *geom);
/* Output rows [row, end) of a slice that starts at x: their input rows behind the prologue, segment after segment. */
void cnnbn__blas_load(const cnnbn_conv_geom *geom, const cnnbn_prologue *in, int row, int end, const float *x,
                      float *loaded);
/* Column buffer of channels [c0, c0 + n_c) of the same rows; `loaded` NULL: straight from x. */
void cnnbn__blas_columns(const cnnbn_conv_geom *geom, int c0, int n_c, int row, int end, const float *x,
                         const float *loaded, float *col);
/* One image with its border, behind the prologue, and the taps on it; returns where output row 0 begins: in x itself
 * when there is nothing to do. */
const float *cnnbn__blas_taps(const cnnbn_conv_geom *geom, const cnnbn_prologue *in, const float *x, float *loaded,
                              cnnbn__ew_taps *taps);

void cnnbn__blas_conv_plan(cnnbn_conv_plan *plan);
void cnnbn__blas_conv_fwd(const cnnbn_conv_plan *plan, const cnnbn_conv_fwd *args);
void cnnbn__blas_conv_bwd(const cnnbn_conv_plan *plan, const cnnbn_conv_bwd *args);
void cnnbn__blas_dense_plan(cnnbn_dense_plan *plan);
void cnnbn__blas_dense_fwd(const cnnbn_dense_plan *plan, const cnnbn_dense_fwd *args);
void cnnbn__blas_dense_bwd_data(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_data *args);
void cnnbn__blas_dense_bwd_weights(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_weights *args);

#endif
