/* The direct convolution: outputs of a regular grid as sums over a window of taps, no im2col. Forward and backward data of
 * every geometry are made of it (backward data of a strided layer: one core for each phase of the grid of dx).
 *
 * An NHWC row is already the A matrix of a product with n_k = taps_w*C and lda = stride*C: one pixel of the tile is the row
 * of the image that starts at its window's left edge. Where a window leaves the source, or a prologue is to be applied,
 * blocks of the source are first copied to a small scratch with a zero border.
 */
#ifndef CNNBN_CONV_CORE_H
#define CNNBN_CONV_CORE_H

#include "cnnbn/kernels.h"
#include "conv_tile.h"

typedef struct cnnbn__core {
    /* Set by the caller. */
    int src_h, src_w, src_c; /* one sample of the source */
    int rows, cols;          /* outputs */
    int groups, cg, kg;      /* channels in and out of one group */
    int taps_h, taps_w, dil_h, dil_w, stride_h, stride_w;
    int off_h, off_w;                       /* source position of tap 0 of output 0; negative: in the border */
    int prologue;                           /* whether one is to be applied */
    ptrdiff_t out_row, out_col, out_sample; /* floats between outputs */
    /* Derived by core_derive(). */
    int depthwise;                       /* one channel in and out of each group: no matrix product */
    int copy;                            /* through the scratch */
    int block_n, block_h, block_w;       /* samples, rows, columns of outputs done at once */
    int win_h, win_w;                    /* source rows and columns of a block */
    ptrdiff_t pix, win_row, win_sample;  /* strides of what the kernels read, in floats */
    int merged;                          /* taps of a window's row are one contiguous run */
    size_t panel_floats, scratch_floats; /* packed weights; scratch of a call */
} cnnbn__core;

/* Where weight (tap i, j; channel c in; channel k out) of a group is found: w + i*tap_h + j*tap_w + c*in + k*out,
 * groups `group` apart. */
typedef struct cnnbn__weights {
    const float *w;
    ptrdiff_t tap_h, tap_w, in, out, group;
} cnnbn__weights;

#define core_derive CNNBN__ISA(cnnbn__core_derive)
#define core_pack CNNBN__ISA(cnnbn__core_pack)
#define core_block CNNBN__ISA(cnnbn__core_block)
#define core_run CNNBN__ISA(cnnbn__core_run)
#define core_fetch_source CNNBN__ISA(cnnbn__core_fetch_source)
#define core_load CNNBN__ISA(cnnbn__core_load)
#define direct_is_few CNNBN__ISA(cnnbn__direct_is_few)
#define direct_few_block CNNBN__ISA(cnnbn__direct_few_block)
#define depthwise_rows CNNBN__ISA(cnnbn__depthwise_rows)

void core_derive(cnnbn__core *core);
/* Packs part `part` of `n_parts`; panels: [panel_floats]. */
void core_pack(const cnnbn__core *core, const cnnbn__weights *weights, float *panels, int part, int n_parts);

/* A block of a call: samples [n0, n0 + n), output rows [p0, p0 + h), columns [q0, q0 + w). x and y point to sample 0. */
typedef struct cnnbn__block {
    int n0, n, p0, h, q0, w;
} cnnbn__block;

/* y = bias + conv of one block, ReLU at the end if asked. bias: groups x whole vectors of kg, or NULL. in: used when
 * core->prologue. */
void core_block(const cnnbn__core *core, const cnnbn__block *block, const float *x, const cnnbn_prologue *in,
                const float *panels, const float *bias, int relu, float *y, float *scratch);
/* All blocks of n samples, neither bias nor ReLU. */
void core_run(const cnnbn__core *core, int n, const float *x, const float *panels, float *y, float *scratch);

/* The source window of a block as the kernels read it: a pointer into x, or the scratch filled. */
const float *core_load(const cnnbn__core *core, const cnnbn__block *block, const float *x, const cnnbn_prologue *in,
                       float *scratch);

/* Sets what to fetch while a block is computed: the source behind it, which the next block reads. */
void core_fetch_source(const cnnbn__core *core, const cnnbn__block *block, const float *x, cnnbn__fetch *fetch);

/* One row of `w` outputs, channels of all groups; a: the source at the first window's corner. */
void depthwise_rows(const cnnbn__core *core, int w, const float *a, const float *panels, const float *bias, int relu,
                    float *y);

static inline int core_min(int a, int b)
{
    return a < b ? a : b;
}

/* Floats of one group's panels for columns [0, k): panels of TILE_COLS columns one after the other. */
VEC_INLINE ptrdiff_t core_panel_at(const cnnbn__core *core, ptrdiff_t k)
{
    return (ptrdiff_t)core->taps_h * core->taps_w * core->cg * k;
}

/* Backward weights of a block by conv_direct_few.c, where the geometry is one for it: dw (+)=, and the sums of dy, [K], or NULL,
 * added up. a: the block's source as core_load gives it. Takes args->behind. */
int direct_is_few(const cnnbn_conv_geom *g);
void direct_few_block(const cnnbn_conv_geom *g, const cnnbn__core *core, const cnnbn__block *block,
                      const cnnbn_conv_bwd *args, const float *a, float *dw, int add, double *sums);

#endif
