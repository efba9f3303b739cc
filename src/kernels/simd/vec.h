/* One vector of floats and what is done with it, for every instruction set that this folder is compiled for.
 *
 * A file of this folder is compiled once a set, with CNNBN_ISA_SUFFIX = baseline, avx2, avx512 or neon; CNNBN__ISA(name)
 * is name_<suffix>. Arithmetic is by the compilers' vector extension (+ - * on `vec`); fused products, where the set has
 * them, only through vec_fma and its kin: a set without them rounds twice.
 */
#ifndef CNNBN_SIMD_VEC_H
#define CNNBN_SIMD_VEC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define CNNBN__CAT_(a, b) a##_##b
#define CNNBN__CAT(a, b) CNNBN__CAT_(a, b)
#define CNNBN__ISA(name) CNNBN__CAT(name, CNNBN_ISA_SUFFIX)

/* VEC_LEN: floats in a vector. VEC_MUL_ROWS: rows of a register tile C += A B of two vectors a row, VEC_TMUL_ROWS: of
 * C += A^T B. Both leave room for two vectors of B and one element of A. */
#if defined(__AVX512F__)
enum { VEC_LEN = 16, VEC_MUL_ROWS = 14, VEC_TMUL_ROWS = 12 };
#elif defined(__AVX2__) && defined(__FMA__)
enum { VEC_LEN = 8, VEC_MUL_ROWS = 6, VEC_TMUL_ROWS = 6 };
#elif defined(__aarch64__)
enum { VEC_LEN = 4, VEC_MUL_ROWS = 12, VEC_TMUL_ROWS = 8 };
#else
enum { VEC_LEN = 4, VEC_MUL_ROWS = 5, VEC_TMUL_ROWS = 4 };
#endif

typedef float vec __attribute__((vector_size(VEC_LEN * 4)));
typedef int32_t vec_int __attribute__((vector_size(VEC_LEN * 4)));
typedef float vec_unaligned __attribute__((vector_size(VEC_LEN * 4), aligned(4), may_alias));

#define VEC_INLINE static inline __attribute__((always_inline, unused))

/* Unrolls the loop that follows; its trip count must be a constant once inlined. Not with a sanitizer: the checks of bodies of
 * thousands of lines would take minutes to compile. */
#define VEC_PRAGMA(text) _Pragma(#text)
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define VEC_UNROLL
#elif defined(__clang__)
#define VEC_UNROLL VEC_PRAGMA(clang loop unroll(full))
#else
#define VEC_UNROLL VEC_PRAGMA(GCC unroll 36)
#endif

/* Hides a pointer's origin: gcc otherwise keeps one register for every row of a tile, and spills. */
#define VEC_OPAQUE(pointer) __asm__("" : "+r"(pointer))

/* Keeps a vector in its register: gcc otherwise loads it again for each of its uses. */
#if defined(__x86_64__)
#define VEC_KEEP(x) __asm__("" : "+v"(x))
#elif defined(__aarch64__)
#define VEC_KEEP(x) __asm__("" : "+w"(x))
#else
#define VEC_KEEP(x) (void)(x)
#endif

VEC_INLINE vec vec_load(const float *p)
{
    return *(const vec_unaligned *)p;
}

VEC_INLINE void vec_store(float *p, vec x)
{
    *(vec_unaligned *)p = x;
}

VEC_INLINE vec vec_set1(float x)
{
#if defined(__AVX512F__)
    return _mm512_set1_ps(x);
#elif defined(__AVX2__) && defined(__FMA__)
    return _mm256_set1_ps(x);
#elif defined(__x86_64__)
    return _mm_set1_ps(x);
#elif defined(__aarch64__)
    return vdupq_n_f32(x);
#else
    return (vec){x, x, x, x};
#endif
}

VEC_INLINE vec vec_zero(void)
{
    return (vec){0};
}

/* a*b + c */
VEC_INLINE vec vec_fma(vec a, vec b, vec c)
{
#if defined(__AVX512F__)
    return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__) && defined(__FMA__)
    return _mm256_fmadd_ps(a, b, c);
#elif defined(__aarch64__)
    return vfmaq_f32(c, a, b);
#else
    return a * b + c;
#endif
}

/* c - a*b */
VEC_INLINE vec vec_fnma(vec a, vec b, vec c)
{
#if defined(__AVX512F__)
    return _mm512_fnmadd_ps(a, b, c);
#elif defined(__AVX2__) && defined(__FMA__)
    return _mm256_fnmadd_ps(a, b, c);
#elif defined(__aarch64__)
    return vfmsq_f32(c, a, b);
#else
    return c - a * b;
#endif
}

/* a*b - c */
VEC_INLINE vec vec_fms(vec a, vec b, vec c)
{
#if defined(__AVX512F__)
    return _mm512_fmsub_ps(a, b, c);
#elif defined(__AVX2__) && defined(__FMA__)
    return _mm256_fmsub_ps(a, b, c);
#elif defined(__aarch64__)
    return vfmaq_f32(-c, a, b);
#else
    return a * b - c;
#endif
}

/* max(x, 0); NaN stays. */
VEC_INLINE vec vec_relu(vec x)
{
#if defined(__AVX512F__)
    return _mm512_max_ps(_mm512_setzero_ps(), x); /* max gives its second operand when one is NaN */
#elif defined(__AVX2__) && defined(__FMA__)
    return _mm256_max_ps(_mm256_setzero_ps(), x);
#elif defined(__x86_64__)
    return _mm_max_ps(_mm_setzero_ps(), x);
#elif defined(__aarch64__)
    return vmaxq_f32(x, vdupq_n_f32(0.0f)); /* NEON's max carries NaN */
#else
    return (vec)((vec_int)x & ~(x < vec_zero()));
#endif
}

/* 1 where x > 0, else 0. */
VEC_INLINE vec vec_is_positive(vec x)
{
#if defined(__AVX512F__)
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ), _mm512_set1_ps(1.0f));
#else
    return (vec)((vec_int)vec_set1(1.0f) & (vec_int)(x > vec_zero()));
#endif
}

/* Past the caches, for what will not be read before it has left them; p on a vector's boundary. vec_stream_end: before another
 * thread reads it. */
VEC_INLINE void vec_stream(float *p, vec x)
{
#if defined(__AVX512F__)
    _mm512_stream_ps(p, x);
#elif defined(__AVX2__) && defined(__FMA__)
    _mm256_stream_ps(p, x);
#elif defined(__x86_64__)
    _mm_stream_ps(p, x);
#else
    vec_store(p, x);
#endif
}

VEC_INLINE void vec_stream_end(void)
{
#if defined(__x86_64__)
    _mm_sfence();
#endif
}

/* Blocks of half a side change places, in all squares of two halves a side. `half` is a constant: else its two index vectors would be
 * put together lane by lane each time. */
VEC_INLINE void vec_swap_blocks(const int half, vec row[VEC_LEN])
{
    vec_int low, high;
    VEC_UNROLL
    for (int i = 0; i < VEC_LEN; i++) {
        low[i] = i & half ? VEC_LEN + i - half : i;
        high[i] = i & half ? VEC_LEN + i : i + half;
    }
    VEC_UNROLL
    for (int i = 0; i < VEC_LEN; i++) {
        if (i & half) continue;
        vec a = row[i], b = row[i + half];
        row[i] = __builtin_shuffle(a, b, low);
        row[i + half] = __builtin_shuffle(a, b, high);
    }
}

/* The rows of a square become its columns. */
VEC_INLINE void vec_transpose(vec row[VEC_LEN])
{
    if (VEC_LEN >= 16) vec_swap_blocks(8, row);
    if (VEC_LEN >= 8) vec_swap_blocks(4, row);
    vec_swap_blocks(2, row);
    vec_swap_blocks(1, row);
}

/* The first n lanes (0 <= n <= VEC_LEN), zero behind them; memory behind p[n-1] is not touched. */
VEC_INLINE vec vec_load_part(const float *p, ptrdiff_t n)
{
#if defined(__AVX512F__)
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p);
#elif defined(__AVX2__) && defined(__FMA__)
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane));
#else
    if (n == VEC_LEN) return vec_load(p);
    return (vec){n > 0 ? p[0] : 0.0f, n > 1 ? p[1] : 0.0f, n > 2 ? p[2] : 0.0f, 0.0f};
#endif
}

VEC_INLINE void vec_store_part(float *p, vec x, ptrdiff_t n)
{
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), x);
#elif defined(__AVX2__) && defined(__FMA__)
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_maskstore_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane), x);
#else
    if (n == VEC_LEN) {
        vec_store(p, x);
        return;
    }
    if (n > 0) p[0] = x[0];
    if (n > 1) p[1] = x[1];
    if (n > 2) p[2] = x[2];
#endif
}

/* n rounded up to whole vectors. */
VEC_INLINE ptrdiff_t vec_round_up(ptrdiff_t n)
{
    return (n + VEC_LEN - 1) / VEC_LEN * VEC_LEN;
}

/* Lanes of the vector at column i of n: VEC_LEN but for the last. */
VEC_INLINE ptrdiff_t vec_lanes(ptrdiff_t n, ptrdiff_t i)
{
    return n - i < VEC_LEN ? n - i : VEC_LEN;
}

#endif
