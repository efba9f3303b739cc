/* Register tiles: the innermost matrix products, of which everything else in this folder is made.
 *
 * mul: C[rows][cols] = bias + sum over blocks (o, i) and k of A B, or C += that sum. Row m of A's block (o, i) starts at
 * a + o*a_outer + i*a_inner + m*lda and is n_k long; B is packed: one row of `nv` whole vectors for each (o, i, k) in turn.
 * tmul: C[rows][cols] (+)= sum over blocks (o, i) and t of A^T B: a[o*a_outer + i*a_inner + t*lda + m],
 * b[o*b_outer + i*b_inner + t*ldb + column].
 * Both sum each element of C left to right, one (fused) product after the other, whatever the number of rows. With `add`
 * tmul goes on with the sum that C holds, so that it may be cut anywhere without changing a bit; mul adds a sum of its own
 * to C, which keeps the rounding error of long sums small.
 */
#ifndef CNNBN_CONV_TILE_H
#define CNNBN_CONV_TILE_H

#include "vec.h"

enum { TILE_VECS = 2, TILE_COLS = TILE_VECS * VEC_LEN };

typedef struct cnnbn__mul {
    ptrdiff_t lda, ldc, a_outer, a_inner;
    ptrdiff_t n_outer, n_inner, n_k;
    int add;  /* C += the sum; no bias */
    int relu; /* C = max(C, 0) at the end */
} cnnbn__mul;

typedef struct cnnbn__tmul {
    ptrdiff_t lda, ldb, ldc, a_outer, a_inner, b_outer, b_inner;
    ptrdiff_t n_outer, n_inner, n_t;
    int add;
    /* Then, for a stack of sums of slices whose top is C: add the entries one to `merges` times `below` under C, and put
     * the sum in the place of the lowest. */
    int merges;
    ptrdiff_t below;
} cnnbn__tmul;

/* `cols` columns of C (and of tmul's B) exist: vectors are cut there. bias: [nv whole vectors] or NULL for zero. */
typedef void cnnbn__mul_fn(const cnnbn__mul *m, const float *a, const float *b, const float *bias, float *c,
                           ptrdiff_t cols);
typedef void cnnbn__tmul_fn(const cnnbn__tmul *m, const float *a, const float *b, float *c, ptrdiff_t cols);

/* [vectors - 1][rows - 1], rows up to VEC_MUL_ROWS and VEC_TMUL_ROWS */
#define mul_tiles CNNBN__ISA(cnnbn__mul_tiles)
#define tmul_tiles CNNBN__ISA(cnnbn__tmul_tiles)
extern cnnbn__mul_fn *const mul_tiles[TILE_VECS][VEC_MUL_ROWS];
extern cnnbn__tmul_fn *const tmul_tiles[TILE_VECS][VEC_TMUL_ROWS];

/* Into how many tiles of at most `most` rows n rows are cut, and the rows of each when they are about equal. */
VEC_INLINE ptrdiff_t tile_count(ptrdiff_t n, ptrdiff_t most)
{
    return (n + most - 1) / most;
}

VEC_INLINE ptrdiff_t tile_rows(ptrdiff_t n, ptrdiff_t most)
{
    ptrdiff_t tiles = tile_count(n, most);
    return tiles ? (n + tiles - 1) / tiles : 1;
}

/* rows x cols of C, any number of rows, at most TILE_COLS columns. */
VEC_INLINE void mul_panel(const cnnbn__mul *m, ptrdiff_t rows, const float *a, const float *b, const float *bias,
                          float *c, ptrdiff_t cols)
{
    cnnbn__mul_fn *const *tiles = mul_tiles[cols > VEC_LEN];
    ptrdiff_t step = tile_rows(rows, VEC_MUL_ROWS);
    for (ptrdiff_t i = 0; i < rows; i += step) {
        ptrdiff_t n = rows - i < step ? rows - i : step;
        tiles[n - 1](m, a + i * m->lda, b, bias, c + i * m->ldc, cols);
    }
}

VEC_INLINE void tmul_panel(const cnnbn__tmul *m, ptrdiff_t rows, const float *a, const float *b, float *c,
                           ptrdiff_t cols)
{
    cnnbn__tmul_fn *const *tiles = tmul_tiles[cols > VEC_LEN];
    ptrdiff_t step = tile_rows(rows, VEC_TMUL_ROWS);
    for (ptrdiff_t i = 0; i < rows; i += step) {
        ptrdiff_t n = rows - i < step ? rows - i : step;
        tiles[n - 1](m, a + i, b, c + i * m->ldc, cols);
    }
}

/* Memory that the next steps will want: fetched into L2 a few lines at a time between register tiles, where the products
 * leave the memory idle. */
typedef struct cnnbn__fetch {
    const char *read, *read_end;    /* input of the next block */
    const char *also, *also_end;    /* more of it */
    const char *write, *write_end;  /* output of this block */
    ptrdiff_t reads, alsos, writes; /* lines a call */
} cnnbn__fetch;

VEC_INLINE void fetch_some(cnnbn__fetch *f)
{
    for (ptrdiff_t i = 0; i < f->reads && f->read < f->read_end; i++, f->read += 64) __builtin_prefetch(f->read, 0, 2);
    for (ptrdiff_t i = 0; i < f->alsos && f->also < f->also_end; i++, f->also += 64) __builtin_prefetch(f->also, 0, 2);
    for (ptrdiff_t i = 0; i < f->writes && f->write < f->write_end; i++, f->write += 64)
        __builtin_prefetch(f->write, 1, 2);
}

/* Spreads what is left over so many calls. */
VEC_INLINE void fetch_over(cnnbn__fetch *f, ptrdiff_t calls)
{
    if (calls < 1) calls = 1;
    f->reads = ((f->read_end - f->read) / 64 + calls) / calls;
    f->alsos = ((f->also_end - f->also) / 64 + calls) / calls;
    f->writes = ((f->write_end - f->write) / 64 + calls) / calls;
}

#endif
