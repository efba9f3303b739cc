#include "blas.h"

#include <cblas.h>

#include "tables.h"

/* OpenBLAS' cblas.h brings its configuration along; another BLAS' does not. */
#ifdef OPENBLAS_VERSION
#define HAVE_OPENBLAS 1
#else
#define HAVE_OPENBLAS 0
#endif

const char *cnnbn_blas_core(void)
{
#if HAVE_OPENBLAS
    return openblas_get_corename();
#else
    return "none";
#endif
}

void cnnbn_blas_init(void)
{
#if HAVE_OPENBLAS
    openblas_set_num_threads(1);
#endif
}

const cnnbn__ew_ops *cnnbn__blas_ops(void)
{
    switch (cnnbn_cpu_isa()) {
#ifdef CNNBN_HAVE_SIMD_AVX512
    case CNNBN_ISA_AVX512:
        return &cnnbn__ew_ops_avx512;
#endif
#ifdef CNNBN_HAVE_SIMD_AVX2
    case CNNBN_ISA_AVX2:
        return &cnnbn__ew_ops_avx2;
#endif
#ifdef CNNBN_HAVE_SIMD_NEON
    case CNNBN_ISA_NEON:
        return &cnnbn__ew_ops_neon;
#endif
    default:
        return &cnnbn__ew_ops_baseline;
    }
}

void cnnbn__blas_gemm(int m, int n, int k, cnnbn__blas_matrix a, cnnbn__blas_matrix b, float beta, float *c, int ldc)
{
    cblas_sgemm(CblasRowMajor, a.transposed ? CblasTrans : CblasNoTrans, b.transposed ? CblasTrans : CblasNoTrans, m, n,
                k, 1.0f, a.p, a.ld, b.p, b.ld, beta, c, ldc);
}

static void prepare_fwd(const cnnbn_conv_plan *plan, const float *w, const float *bias, const cnnbn_prologue *in,
                        float *prepared, int part, int n_parts)
{
    (void)plan, (void)w, (void)bias, (void)in, (void)prepared, (void)part, (void)n_parts;
}

static void prepare_bwd(const cnnbn_conv_plan *plan, const float *w, float *prepared, int part, int n_parts)
{
    (void)plan, (void)w, (void)prepared, (void)part, (void)n_parts;
}

static void prepare_dense(const cnnbn_dense_plan *plan, const float *w, float *prepared, int part, int n_parts)
{
    (void)plan, (void)w, (void)prepared, (void)part, (void)n_parts;
}

void cnnbn__kernels_blas_fill(cnnbn_kernels *table)
{
    table->conv_plan = cnnbn__blas_conv_plan;
    table->conv_prepare_fwd = prepare_fwd;
    table->conv_prepare_bwd = prepare_bwd;
    table->conv_fwd = cnnbn__blas_conv_fwd;
    table->conv_bwd = cnnbn__blas_conv_bwd;
    table->dense_plan = cnnbn__blas_dense_plan;
    table->dense_prepare = prepare_dense;
    table->dense_fwd = cnnbn__blas_dense_fwd;
    table->dense_bwd_data = cnnbn__blas_dense_bwd_data;
    table->dense_bwd_weights = cnnbn__blas_dense_bwd_weights;
}
