/* The implementations behind cnnbn_kernels_get(), and the macros that say which of them are built:
 *   CNNBN_HAVE_BLAS            cnnbn__kernels_blas_fill
 *   CNNBN_HAVE_SIMD_<ISA>      cnnbn__kernels_simd_elementwise_<isa>; ISA: BASELINE AVX2 AVX512 NEON
 *   CNNBN_HAVE_SIMD_CONV       cnnbn__kernels_simd_conv_<isa>, for every <ISA> that is built
 * A table is a copy of `ref` in which one or two of these functions overwrite the entries they have. The functions
 * that fill run once, in one thread; name and isa of the table are set by the caller beforehand.
 */
#ifndef CNNBN_KERNELS_TABLES_H
#define CNNBN_KERNELS_TABLES_H

#include "cnnbn/kernels.h"

extern const cnnbn_kernels cnnbn__kernels_ref;

/* conv_* and dense_* by OpenBLAS. */
void cnnbn__kernels_blas_fill(cnnbn_kernels *table);

/* bn_*, act_*, pools, gap, softmax*, dropout, input_*, add*, scale, sum_*, penalty_bwd, bilinear_*, clip, optimiser steps, abs_max,
 * lerp. */
void cnnbn__kernels_simd_elementwise_baseline(cnnbn_kernels *table);
void cnnbn__kernels_simd_elementwise_avx2(cnnbn_kernels *table);
void cnnbn__kernels_simd_elementwise_avx512(cnnbn_kernels *table);
void cnnbn__kernels_simd_elementwise_neon(cnnbn_kernels *table);

/* conv_* and dense_*. */
void cnnbn__kernels_simd_conv_baseline(cnnbn_kernels *table);
void cnnbn__kernels_simd_conv_avx2(cnnbn_kernels *table);
void cnnbn__kernels_simd_conv_avx512(cnnbn_kernels *table);
void cnnbn__kernels_simd_conv_neon(cnnbn_kernels *table);

#endif
