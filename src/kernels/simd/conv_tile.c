#include "conv_tile.h"

/* Rows share base pointers in threes: x86 addresses base, base + l and base + 2l, so that 14 rows need five registers. */
enum { ROW_BASES = (VEC_MUL_ROWS + 2) / 3 };

VEC_INLINE void store_tile(const int mr, const int nv, vec acc[VEC_MUL_ROWS][TILE_VECS], float *c, ptrdiff_t ldc,
                           ptrdiff_t cols)
{
    if (cols == nv * VEC_LEN) {
        VEC_UNROLL
        for (int i = 0; i < mr; i++) {
            VEC_UNROLL
            for (int j = 0; j < nv; j++) vec_store(c + i * ldc + j * VEC_LEN, acc[i][j]);
        }
        return;
    }
    ptrdiff_t last = cols - (nv - 1) * VEC_LEN;
    VEC_UNROLL
    for (int i = 0; i < mr; i++) {
        VEC_UNROLL
        for (int j = 0; j < nv - 1; j++) vec_store(c + i * ldc + j * VEC_LEN, acc[i][j]);
        vec_store_part(c + i * ldc + (nv - 1) * VEC_LEN, acc[i][nv - 1], last);
    }
}

VEC_INLINE void load_tile(const int mr, const int nv, vec acc[VEC_MUL_ROWS][TILE_VECS], const float *c, ptrdiff_t ldc,
                          ptrdiff_t cols)
{
    ptrdiff_t last = cols - (nv - 1) * VEC_LEN;
    VEC_UNROLL
    for (int i = 0; i < mr; i++) {
        VEC_UNROLL
        for (int j = 0; j < nv - 1; j++) acc[i][j] = vec_load(c + i * ldc + j * VEC_LEN);
        acc[i][nv - 1] = vec_load_part(c + i * ldc + (nv - 1) * VEC_LEN, last);
    }
}

VEC_INLINE void add_tile(const int mr, const int nv, vec acc[VEC_MUL_ROWS][TILE_VECS], const float *c, ptrdiff_t ldc,
                         ptrdiff_t cols)
{
    ptrdiff_t last = cols - (nv - 1) * VEC_LEN;
    VEC_UNROLL
    for (int i = 0; i < mr; i++) {
        VEC_UNROLL
        for (int j = 0; j < nv - 1; j++) acc[i][j] += vec_load(c + i * ldc + j * VEC_LEN);
        acc[i][nv - 1] += vec_load_part(c + i * ldc + (nv - 1) * VEC_LEN, last);
    }
}

VEC_INLINE void mul(const int mr, const int nv, const cnnbn__mul *m, const float *a, const float *b, const float *bias,
                    float *c, ptrdiff_t cols)
{
    vec acc[VEC_MUL_ROWS][TILE_VECS];
    const ptrdiff_t lda = m->lda * (ptrdiff_t)sizeof(float), n_k = m->n_k;
    VEC_UNROLL
    for (int j = 0; j < nv; j++) {
        vec start = bias ? vec_load(bias + j * VEC_LEN) : vec_zero();
        VEC_UNROLL
        for (int i = 0; i < mr; i++) acc[i][j] = start;
    }
    for (ptrdiff_t o = 0; o < m->n_outer; o++)
        for (ptrdiff_t n = 0; n < m->n_inner; n++) {
            const char *row[ROW_BASES];
            VEC_UNROLL
            for (int r = 0; r < (mr + 2) / 3; r++) {
                row[r] = (const char *)(a + o * m->a_outer + n * m->a_inner) + 3 * r * lda;
                VEC_OPAQUE(row[r]);
            }
            for (ptrdiff_t k = 0; k < n_k; k++) {
                vec bk[TILE_VECS];
                VEC_UNROLL
                for (int j = 0; j < nv; j++) bk[j] = vec_load(b + j * VEC_LEN);
                VEC_UNROLL
                for (int i = 0; i < mr; i++) {
                    vec x = vec_set1(*(const float *)(const void *)(row[i / 3] + (i % 3) * lda));
                    VEC_UNROLL
                    for (int j = 0; j < nv; j++) acc[i][j] = vec_fma(x, bk[j], acc[i][j]);
                }
                b += nv * VEC_LEN;
                VEC_UNROLL
                for (int r = 0; r < (mr + 2) / 3; r++) row[r] += sizeof(float);
            }
        }
    if (m->add) add_tile(mr, nv, acc, c, m->ldc, cols);
    if (m->relu) {
        VEC_UNROLL
        for (int i = 0; i < mr; i++) {
            VEC_UNROLL
            for (int j = 0; j < nv; j++) acc[i][j] = vec_relu(acc[i][j]);
        }
    }
    store_tile(mr, nv, acc, c, m->ldc, cols);
}

VEC_INLINE void tmul(const int mr, const int nv, const int cut, const cnnbn__tmul *m, const float *a, const float *b,
                     float *c, ptrdiff_t cols)
{
    vec acc[VEC_MUL_ROWS][TILE_VECS];
    const ptrdiff_t lda = m->lda, ldb = m->ldb, n_t = m->n_t, last = cols - (nv - 1) * VEC_LEN;
    if (m->add) {
        load_tile(mr, nv, acc, c, m->ldc, cols);
    } else {
        VEC_UNROLL
        for (int i = 0; i < mr; i++) {
            VEC_UNROLL
            for (int j = 0; j < nv; j++) acc[i][j] = vec_zero();
        }
    }
    for (ptrdiff_t o = 0; o < m->n_outer; o++)
        for (ptrdiff_t n = 0; n < m->n_inner; n++) {
            const float *x = a + o * m->a_outer + n * m->a_inner, *y = b + o * m->b_outer + n * m->b_inner;
            for (ptrdiff_t t = 0; t < n_t; t++) {
                vec bk[TILE_VECS];
                VEC_UNROLL
                for (int j = 0; j < nv; j++) {
                    if (cut && j == nv - 1)
                        bk[j] = vec_load_part(y + j * VEC_LEN, last);
                    else
                        bk[j] = vec_load(y + j * VEC_LEN);
                }
                VEC_UNROLL
                for (int i = 0; i < mr; i++) {
                    vec xi = vec_set1(x[i]);
                    VEC_UNROLL
                    for (int j = 0; j < nv; j++) acc[i][j] = vec_fma(xi, bk[j], acc[i][j]);
                }
                x += lda;
                y += ldb;
                VEC_OPAQUE(x);
                VEC_OPAQUE(y);
            }
        }
    for (int merge = 0; merge < m->merges; merge++) {
        c -= m->below;
        add_tile(mr, nv, acc, c, m->ldc, cols);
    }
    store_tile(mr, nv, acc, c, m->ldc, cols);
}

/* One function for each height and width; the bodies are above. */
#define MUL(mr, nv)                                                                                               \
    static void mul_##mr##_##nv(const cnnbn__mul *m, const float *a, const float *b, const float *bias, float *c, \
                                ptrdiff_t cols)                                                                   \
    {                                                                                                             \
        mul(mr, nv, m, a, b, bias, c, cols);                                                                      \
    }
#define TMUL(mr, nv)                                                                                             \
    static void tmul_##mr##_##nv(const cnnbn__tmul *m, const float *a, const float *b, float *c, ptrdiff_t cols) \
    {                                                                                                            \
        if (cols == (nv)*VEC_LEN)                                                                                \
            tmul(mr, nv, 0, m, a, b, c, cols);                                                                   \
        else                                                                                                     \
            tmul(mr, nv, 1, m, a, b, c, cols);                                                                   \
    }
#define UP_TO_4(F, nv) F(1, nv) F(2, nv) F(3, nv) F(4, nv)
#define UP_TO_6(F, nv) UP_TO_4(F, nv) F(5, nv) F(6, nv)
#define UP_TO_8(F, nv) UP_TO_6(F, nv) F(7, nv) F(8, nv)
#define UP_TO_12(F, nv) UP_TO_8(F, nv) F(9, nv) F(10, nv) F(11, nv) F(12, nv)
#define MUL_ENTRY(mr, nv) mul_##mr##_##nv,
#define TMUL_ENTRY(mr, nv) tmul_##mr##_##nv,

#if defined(__AVX512F__)
#define EACH_MUL(F, nv) UP_TO_12(F, nv) F(13, nv) F(14, nv)
#define EACH_TMUL(F, nv) UP_TO_12(F, nv)
#elif defined(__AVX2__) && defined(__FMA__)
#define EACH_MUL(F, nv) UP_TO_6(F, nv)
#define EACH_TMUL(F, nv) UP_TO_6(F, nv)
#elif defined(__aarch64__)
#define EACH_MUL(F, nv) UP_TO_12(F, nv)
#define EACH_TMUL(F, nv) UP_TO_8(F, nv)
#else
#define EACH_MUL(F, nv) UP_TO_4(F, nv) F(5, nv)
#define EACH_TMUL(F, nv) UP_TO_4(F, nv)
#endif

EACH_MUL(MUL, 1)
EACH_MUL(MUL, 2)
EACH_TMUL(TMUL, 1)
EACH_TMUL(TMUL, 2)

cnnbn__mul_fn *const mul_tiles[TILE_VECS][VEC_MUL_ROWS] = {{EACH_MUL(MUL_ENTRY, 1)}, {EACH_MUL(MUL_ENTRY, 2)}};
cnnbn__tmul_fn *const tmul_tiles[TILE_VECS][VEC_TMUL_ROWS] = {{EACH_TMUL(TMUL_ENTRY, 1)}, {EACH_TMUL(TMUL_ENTRY, 2)}};
