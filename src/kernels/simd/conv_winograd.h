/* Winograd's F(4x4, 3x3) (Lavin, Gray: Fast algorithms for convolutional neural networks, 2015): a tile of 4x4 outputs from
 * 6x6 inputs by 36 products instead of 144,
 *
 *     Y = A^T [ (G g G^T) . (B^T d B) ] A,
 *
 * summed over channels: 36 matrix products V U, one for each position of the tile. Backward data is its adjoint, overlapping
 * 6x6 tiles B [ U . (A dY A^T) ] B^T added up in dx; backward weights is G^T [ sum over tiles of V . (A dY A^T) ] G.
 *
 *     V [36][tile][C]  transformed input, then the tiles of dx     M [36][tile][K]  products, or transformed dY
 *     U [36][C][K] in panels of TILE_COLS columns                  U^T [36][K][C] likewise
 */
#ifndef CNNBN_CONV_WINOGRAD_H
#define CNNBN_CONV_WINOGRAD_H

#include "conv_algo.h"
#include "conv_tile.h"
#include "ew.h"

enum { WINO_M = 4, WINO_A = 6, WINO_Q = WINO_A * WINO_A };

/* Rows of a tile of dw whose 36 sums stay in L1. */
enum { JOIN_ROWS = VEC_TMUL_ROWS < 8 ? VEC_TMUL_ROWS : 8 };

typedef struct cnnbn__wino {
    const cnnbn_conv_geom *g;
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

/* B^T d B of the tile (i, j) of a sample, all channels; v: the tile's row in V, positions `plane` apart. */
void wino_load_tile(const cnnbn__wino *w, const float *sample, const cnnbn_prologue *in, int i, int j, float *v,
                    ptrdiff_t plane);

/* Rows of an [N][height][width][channels] array that the tiles [tile, tile + n) of m_rows rows each touch, `off` rows up. */
VEC_INLINE void wino_rows(const cnnbn__wino *w, ptrdiff_t tile, ptrdiff_t n, const float *base, int height,
                          ptrdiff_t row, int off, int m_rows, const char **begin, const char **end)
{
    if (n <= 0) return;
    ptrdiff_t last = tile + n - 1, sample = height * row;
    int from = (int)(tile % w->tiles) / w->tiles_w * WINO_M - off;
    int to = (int)(last % w->tiles) / w->tiles_w * WINO_M - off + m_rows;
    if (from < 0) from = 0;
    if (to > height) to = height;
    *begin = (const char *)(base + tile / w->tiles * sample + from * row);
    *end = (const char *)(base + last / w->tiles * sample + to * row);
}

/* c[q] = a[q] u[q] for the 36 positions and n tiles. */
typedef struct cnnbn__wino_product {
    ptrdiff_t n, n_k, n_cols;
    const float *a;
    ptrdiff_t lda, plane_a;
    const float *u;
    ptrdiff_t plane_u;
    float *c;
    ptrdiff_t ldc, plane_c;
} cnnbn__wino_product;
void wino_products(const cnnbn__wino_product *p, cnnbn__fetch *fetch);

/* Distance of positions in a buffer of n rows of ld floats: an odd number of cache lines, or all 36 would share sets. */
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
VEC_INLINE void wino_g(const vec g[3], vec o[6])
{
    vec even = g[0] + g[2], far = vec_fma(vec_set1(4), g[2], g[0]), twice = g[1] + g[1];
    vec sixth = vec_set1(-1 / 6.0f), small = vec_set1(1 / 24.0f);
    o[0] = vec_set1(0.25f) * g[0];
    o[1] = sixth * (even + g[1]);
    o[2] = sixth * (even - g[1]);
    o[3] = small * (far + twice);
    o[4] = small * (far - twice);
    o[5] = g[2];
}

/* G^T u: 6 -> 3 */
VEC_INLINE void wino_gt(const vec u[6], vec o[3])
{
    vec a = u[1] + u[2], b = u[2] - u[1], c = u[3] + u[4], d = u[3] - u[4], sixth = vec_set1(1 / 6.0f);
    o[0] = vec_fma(vec_set1(0.25f), u[0], vec_fnma(sixth, a, vec_set1(1 / 24.0f) * c));
    o[1] = vec_fma(sixth, b, vec_set1(1 / 12.0f) * d);
    o[2] = u[5] + vec_fnma(sixth, a, sixth * c);
}

/* B^T d: 6 -> 6 */
VEC_INLINE void wino_bt(const vec d[6], vec o[6])
{
    vec k4 = vec_set1(4), k5 = vec_set1(5);
    vec t0 = vec_fnma(k4, d[2], d[4]), t1 = vec_fnma(k4, d[1], d[3]), t2 = d[4] - d[2], t3 = d[3] - d[1];
    t3 = t3 + t3;
    o[0] = vec_fma(k4, d[0], vec_fnma(k5, d[2], d[4]));
    o[1] = t0 + t1;
    o[2] = t0 - t1;
    o[3] = t2 + t3;
    o[4] = t2 - t3;
    o[5] = vec_fma(k4, d[1], vec_fnma(k5, d[3], d[5]));
}

/* B m: 6 -> 6, the adjoint of B^T */
VEC_INLINE void wino_b(const vec m[6], vec o[6])
{
    vec a = m[1] + m[2], b = m[2] - m[1], c = m[3] + m[4], d = m[4] - m[3], d2 = d + d;
    vec k4 = vec_set1(4), k5 = vec_set1(5);
    o[0] = k4 * m[0];
    o[1] = vec_fma(k4, b + m[5], d2);
    o[2] = -vec_fma(k5, m[0], vec_fma(k4, a, c));
    o[3] = -vec_fma(k5, m[5], b + d2);
    o[4] = m[0] + (a + c);
    o[5] = m[5];
}

/* A^T m: 6 -> 4 */
VEC_INLINE void wino_at_m(const vec m[6], vec o[4])
{
    vec a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
    o[0] = m[0] + (a + c);
    o[1] = vec_fma(vec_set1(2), d, b);
    o[2] = vec_fma(vec_set1(4), c, a);
    o[3] = vec_fma(vec_set1(8), d, b + m[5]);
}

/* A y: 4 -> 6, its adjoint */
VEC_INLINE void wino_a(const vec y[4], vec o[6])
{
    vec a = y[0] + y[2], b = y[1] + y[3];
    vec c = vec_fma(vec_set1(4), y[2], y[0]), d = vec_fma(vec_set1(8), y[3], y[1] + y[1]);
    o[0] = y[0];
    o[1] = a + b;
    o[2] = a - b;
    o[3] = c + d;
    o[4] = c - d;
    o[5] = y[3];
}

#endif
