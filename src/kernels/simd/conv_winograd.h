/* Winograd's F(4x4, 3x3) (Lavin, Gray: Fast algorithms for convolutional neural networks, 2015): a tile of 4x4 outputs from
 * 6x6 inputs by 36 products instead of 144,
 *
 *     Y = A^T [ (G g G^T) . (B^T d B) ] A,
 *
 * summed over channels: 36 matrix products V U, one for each position of the tile. Backward data is its adjoint, overlapping
 * 6x6 tiles B [ U . (A dY A^T) ] B^T added up in dx; backward weights is G^T [ sum over tiles of V . (A dY A^T) ] G.
 *
 * With strides of 2 the inputs of even number along an axis, and those of odd number, are signals of their own: taps 0 and 2
 * meet the even one, which is F(4, 2) with 5 products, tap 1 meets the odd one, whose 4 products are as they stand. So a
 * tile of 4x4 outputs from 9x9 inputs takes 81 products, and B, A have 9 rows where stride 1 has 6. The four products of the
 * odd signal share a weight: U has 6x6 positions here too, and the last row and column of them serve four places each.
 *
 *     V [place][tile][C]  transformed input, then the tiles of dx     M [place][tile][K]  products, or transformed dY
 *     U [36][C][K] in panels of TILE_COLS columns                     U^T [36][K][C] likewise
 */
#ifndef CNNBN_CONV_WINOGRAD_H
#define CNNBN_CONV_WINOGRAD_H

#include "conv_algo.h"
#include "conv_tile.h"
#include "ew.h"

enum { WINO_M = 4, WINO_A = 6, WINO_Q = WINO_A * WINO_A, WINO_SPAN_MAX = 9 };

/* Inputs of a tile along an axis; as many places has V, as many M. */
VEC_INLINE int wino_span(const int stride)
{
    return stride == 1 ? WINO_A : WINO_SPAN_MAX;
}

/* Rows of a tile of dw whose 36 sums stay in L1. */
enum { JOIN_ROWS = VEC_TMUL_ROWS < 8 ? VEC_TMUL_ROWS : 8 };

typedef struct cnnbn__wino {
    const cnnbn_conv_geom *g;
    int stride, span, places;       /* places: span * span */
    int tiles_h, tiles_w, tiles;    /* of a sample */
    ptrdiff_t cols_c, cols_k;       /* channels rounded up to whole vectors */
    ptrdiff_t ld_c, ld_k;           /* rows of V and M */
    ptrdiff_t plane_u, plane_ut;    /* positions of U and U^T */
    ptrdiff_t fwd_block, bwd_block; /* tiles done at once */
    int join;                       /* backward weights: blocks hold whole slices */
} cnnbn__wino;

#define wino_of CNNBN__ISA(cnnbn__wino_of)
#define wino_load_tile CNNBN__ISA(cnnbn__wino_load_tile)
#define wino_products CNNBN__ISA(cnnbn__wino_products)

void wino_of(const cnnbn_conv_plan *plan, cnnbn__wino *w);

/* The places that position q serves: rows x cols of them from `first` on, rows `span` apart. */
typedef struct cnnbn__wino_places {
    ptrdiff_t first;
    int rows, cols;
} cnnbn__wino_places;

VEC_INLINE ptrdiff_t wino_place(const cnnbn__wino *w, cnnbn__wino_places at, int r)
{
    return at.first + r / at.cols * w->span + r % at.cols;
}

VEC_INLINE cnnbn__wino_places wino_places(const cnnbn__wino *w, int q)
{
    const int i = q / WINO_A, j = q % WINO_A, last = w->span - WINO_A + 1;
    return (cnnbn__wino_places){i * w->span + j, i == WINO_A - 1 ? last : 1, j == WINO_A - 1 ? last : 1};
}

/* B^T d B of the tile (i, j) of a sample, all channels; v: the tile's row in V, places `plane` apart. */
void wino_load_tile(const cnnbn__wino *w, const float *sample, const cnnbn_prologue *in, int i, int j, float *v,
                    ptrdiff_t plane);

/* Rows of an [N][height][width][channels] array that the tiles [tile, tile + n) touch, which start `step` rows apart from
 * the one `off` above the first on, and have m_rows rows each. */
VEC_INLINE void wino_rows(const cnnbn__wino *w, ptrdiff_t tile, ptrdiff_t n, const float *base, int height,
                          ptrdiff_t row, int off, int step, int m_rows, const char **begin, const char **end)
{
    if (n <= 0) return;
    ptrdiff_t last = tile + n - 1, sample = height * row;
    int from = (int)(tile % w->tiles) / w->tiles_w * step - off;
    int to = (int)(last % w->tiles) / w->tiles_w * step - off + m_rows;
    if (from < 0) from = 0;
    if (to > height) to = height;
    *begin = (const char *)(base + tile / w->tiles * sample + from * row);
    *end = (const char *)(base + last / w->tiles * sample + to * row);
}

/* Those of the input, or of its gradient; those of the output. */
VEC_INLINE void wino_rows_in(const cnnbn__wino *w, ptrdiff_t tile, ptrdiff_t n, const float *x, const char **begin,
                             const char **end)
{
    const cnnbn_conv_geom *g = w->g;
    wino_rows(w, tile, n, x, g->H, (ptrdiff_t)g->W * g->C, g->pad_top, WINO_M * w->stride, w->span, begin, end);
}

VEC_INLINE void wino_rows_out(const cnnbn__wino *w, ptrdiff_t tile, ptrdiff_t n, const float *y, const char **begin,
                              const char **end)
{
    const cnnbn_conv_geom *g = w->g;
    wino_rows(w, tile, n, y, g->P, (ptrdiff_t)g->Q * g->K, 0, WINO_M, WINO_M, begin, end);
}

/* c = a u in all places, for n tiles. */
typedef struct cnnbn__wino_product {
    ptrdiff_t n, n_k, n_cols;
    const float *a;
    ptrdiff_t lda, plane_a;
    const float *u;
    ptrdiff_t plane_u;
    float *c;
    ptrdiff_t ldc, plane_c;
} cnnbn__wino_product;
void wino_products(const cnnbn__wino *w, const cnnbn__wino_product *p, cnnbn__fetch *fetch);

/* Distance of places in a buffer of n rows of ld floats: an odd number of cache lines, or all of them would share sets. */
VEC_INLINE ptrdiff_t wino_plane(ptrdiff_t n, ptrdiff_t ld)
{
    ptrdiff_t lines = (n * ld + 15) / 16;
    return (lines | 1) * 16;
}

/* A tile by its number: sample and place. */
typedef struct cnnbn__wino_at {
    ptrdiff_t sample;
    int i, j;
} cnnbn__wino_at;

VEC_INLINE cnnbn__wino_at wino_at(const cnnbn__wino *w, ptrdiff_t tile)
{
    int rest = (int)(tile % w->tiles);
    return (cnnbn__wino_at){tile / w->tiles, rest / w->tiles_w, rest % w->tiles_w};
}

/* ---------------------------------------------------------------- one-dimensional transforms */

/* G g: 3 -> 6 */
VEC_INLINE void wino_g(const int stride, const vec g[3], vec o[6])
{
    vec even = g[0] + g[2], sixth = vec_set1(1 / 6.0f);
    if (stride == 1) {
        vec far = vec_fma(vec_set1(4), g[2], g[0]), twice = g[1] + g[1], small = vec_set1(1 / 24.0f);
        o[0] = vec_set1(0.25f) * g[0];
        o[1] = -(sixth * (even + g[1]));
        o[2] = sixth * (g[1] - even);
        o[3] = small * (far + twice);
        o[4] = small * (far - twice);
        o[5] = g[2];
    } else {
        o[0] = vec_set1(0.5f) * g[0];
        o[1] = vec_set1(-0.5f) * even;
        o[2] = sixth * (g[2] - g[0]);
        o[3] = sixth * (even + g[2]);
        o[4] = g[2];
        o[5] = g[1];
    }
}

/* G^T u: 6 -> 3 */
VEC_INLINE void wino_gt(const int stride, const vec u[6], vec o[3])
{
    vec sixth = vec_set1(1 / 6.0f);
    if (stride == 1) {
        vec a = u[1] + u[2], b = u[2] - u[1], c = u[3] + u[4], d = u[3] - u[4];
        o[0] = vec_fma(vec_set1(0.25f), u[0], vec_fnma(sixth, a, vec_set1(1 / 24.0f) * c));
        o[1] = vec_fma(sixth, b, vec_set1(1 / 12.0f) * d);
        o[2] = u[5] + vec_fnma(sixth, a, sixth * c);
    } else {
        vec half = vec_set1(0.5f);
        o[0] = vec_fma(half, u[0] - u[1], sixth * (u[3] - u[2]));
        o[1] = u[5];
        o[2] = vec_fma(sixth, u[2] + u[3] + u[3], vec_fnma(half, u[1], u[4]));
    }
}

/* B^T d: 6 -> 6, or 9 -> 9 */
VEC_INLINE void wino_bt(const int stride, const vec d[], vec o[])
{
    if (stride == 1) {
        vec k4 = vec_set1(4), k5 = vec_set1(5);
        vec t0 = vec_fnma(k4, d[2], d[4]), t1 = vec_fnma(k4, d[1], d[3]), t2 = d[4] - d[2], t3 = d[3] - d[1];
        t3 = t3 + t3;
        o[0] = vec_fma(k4, d[0], vec_fnma(k5, d[2], d[4]));
        o[1] = t0 + t1;
        o[2] = t0 - t1;
        o[3] = t2 + t3;
        o[4] = t2 - t3;
        o[5] = vec_fma(k4, d[1], vec_fnma(k5, d[3], d[5]));
    } else {
        vec k2 = vec_set1(2), far = d[6] - d[2], near = d[6] - d[4];
        o[0] = vec_fma(k2, d[0] - d[4], far);
        o[1] = vec_fnma(k2, d[2], near);
        o[2] = vec_fma(k2, d[2] - d[4], near);
        o[3] = far;
        o[4] = vec_fnma(k2, far, d[8] - d[4]);
        VEC_UNROLL
        for (int i = 0; i < 4; i++) o[5 + i] = d[2 * i + 1];
    }
}

/* B m, the adjoint of B^T */
VEC_INLINE void wino_b(const int stride, const vec m[], vec o[])
{
    if (stride == 1) {
        vec a = m[1] + m[2], b = m[2] - m[1], c = m[3] + m[4], d = m[4] - m[3], d2 = d + d;
        vec k4 = vec_set1(4), k5 = vec_set1(5);
        o[0] = k4 * m[0];
        o[1] = vec_fma(k4, b + m[5], d2);
        o[2] = -vec_fma(k5, m[0], vec_fma(k4, a, c));
        o[3] = -vec_fma(k5, m[5], b + d2);
        o[4] = m[0] + (a + c);
        o[5] = m[5];
    } else {
        vec k2 = vec_set1(2), twice = m[4] + m[4];
        o[0] = m[0] + m[0];
        o[2] = vec_fma(k2, m[2] - m[1], twice - (m[0] + m[3]));
        o[4] = -vec_fma(k2, m[0], vec_fma(vec_set1(3), m[2], m[1] + m[4]));
        o[6] = m[0] + m[1] + m[2] + m[3] - twice;
        o[8] = m[4];
        VEC_UNROLL
        for (int i = 0; i < 4; i++) o[2 * i + 1] = m[5 + i];
    }
}

/* A^T m: 6 -> 4, or 9 -> 4 */
VEC_INLINE void wino_at_m(const int stride, const vec m[], vec o[4])
{
    vec a = m[1] + m[2], b = m[1] - m[2];
    if (stride == 1) {
        vec c = m[3] + m[4], d = m[3] - m[4];
        o[0] = m[0] + (a + c);
        o[1] = vec_fma(vec_set1(2), d, b);
        o[2] = vec_fma(vec_set1(4), c, a);
        o[3] = vec_fma(vec_set1(8), d, b + m[5]);
    } else {
        o[0] = m[0] + (a + m[3]) + m[5];
        o[1] = vec_fma(vec_set1(2), m[3], b) + m[6];
        o[2] = vec_fma(vec_set1(4), m[3], a) + m[7];
        o[3] = vec_fma(vec_set1(8), m[3], b + m[4]) + m[8];
    }
}

/* A y, its adjoint */
VEC_INLINE void wino_a(const int stride, const vec y[4], vec o[])
{
    vec a = y[0] + y[2], b = y[1] + y[3];
    vec c = vec_fma(vec_set1(4), y[2], y[0]), d = vec_fma(vec_set1(8), y[3], y[1] + y[1]);
    o[0] = y[0];
    o[1] = a + b;
    o[2] = a - b;
    o[3] = c + d;
    if (stride == 1) {
        o[4] = c - d;
        o[5] = y[3];
    } else {
        o[4] = y[3];
        VEC_UNROLL
        for (int i = 0; i < 4; i++) o[5 + i] = y[i];
    }
}

#endif
