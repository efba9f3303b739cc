/* Winograd's convolution (Lavin, Gray: Fast algorithms for convolutional neural networks, 2015). F(4x4, 3x3) makes a tile of 4x4
 * outputs from 6x6 inputs by 36 products instead of 144,
 *
 *     Y = A^T [ (G g G^T) . (B^T d B) ] A,
 *
 * summed over channels: 36 matrix products V U, one for each position of the tile. Backward data is its adjoint, overlapping
 * 6x6 tiles B [ U . (A dY A^T) ] B^T added up in dx; backward weights is G^T [ sum over tiles of V . (A dY A^T) ] G.
 *
 * F(6x6, 3x3) makes 36 outputs by 64 products instead of 324, with twice the rounding error of F(4x4, 3x3): taken where its tiles fit the
 * image so much better that a tenth of the products is saved.
 *
 * With strides of 2 the inputs of even number along an axis, and those of odd number, are signals of their own: taps 0 and 2
 * meet the even one, which is F(4, 2) with 5 products, tap 1 meets the odd one, whose 4 products are as they stand. So a
 * tile of 4x4 outputs from 9x9 inputs takes 81 products instead of 144, and B, A have 9 rows where stride 1 has 6. The four
 * products of the odd signal share a weight: U has 6x6 positions here too, and the last row and column of them serve four places
 * each.
 *
 *     V [place][tile][C]  transformed input, then the tiles of dx     M [place][tile][K]  products, or transformed dY
 *     U [position][C][K] in panels of TILE_COLS columns               U^T [position][K][C] likewise
 */
#ifndef CNNBN_CONV_WINOGRAD_H
#define CNNBN_CONV_WINOGRAD_H

#include "conv_algo.h"
#include "conv_tile.h"
#include "conv_winograd_1d.h"
#include "ew.h"

/* How backward weights come by dw of a slice, whose sums in the Winograd domain are four times as large: whole, block of tiles after
 * block; or, of a slice that is one block, part by part, so that a part's sums are still in L2 when they become dw; or, where dw
 * itself is large, a part of it through several slices, whose entries of the stack stay in L1. */
typedef enum cnnbn__wino_sums { WINO_SUMS_WHOLE, WINO_SUMS_PARTS, WINO_SUMS_JOINED } cnnbn__wino_sums;

/* Rows of such parts, whose columns are those of a register tile. */
enum { PART_ROWS = 5 * VEC_TMUL_ROWS, JOIN_ROWS = VEC_TMUL_ROWS < 8 ? VEC_TMUL_ROWS : 8 };

typedef struct cnnbn__wino {
    const cnnbn_conv_geom *g;
    int kind, outputs, axis, span;  /* of cnnbn__wino_kind; what the functions of these names say of it */
    int step;                       /* inputs between tiles */
    int positions, places;          /* axis * axis, span * span */
    int tiles_h, tiles_w, tiles;    /* of a sample */
    ptrdiff_t cols_c, cols_k;       /* channels rounded up to whole vectors */
    ptrdiff_t ld_c, ld_k;           /* rows of V and M */
    ptrdiff_t plane_u, plane_ut;    /* positions of U and U^T */
    ptrdiff_t fwd_block, bwd_block; /* tiles done at once */
    cnnbn__wino_sums sums;          /* but for WHOLE, backward blocks hold whole slices */
} cnnbn__wino;

#define wino_of CNNBN__ISA(cnnbn__wino_of)
#define wino_load_tiles CNNBN__ISA(cnnbn__wino_load_tiles)
#define wino_add_tiles CNNBN__ISA(cnnbn__wino_add_tiles)
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
    const int i = q / w->axis, j = q % w->axis, end = w->axis - 1, last = w->span - end;
    return (cnnbn__wino_places){i * w->span + j, i == end ? last : 1, j == end ? last : 1};
}

/* x, but within [0, most]: where pixels that may lie outside of an image begin or end in it. */
VEC_INLINE int wino_within(int x, int most)
{
    return x < 0 ? 0 : x < most ? x : most;
}

/* B^T d B of the tiles [tile, tile + n) of the input, all channels; v: the first one's row in V, places `plane` apart. */
void wino_load_tiles(const cnnbn__wino *w, const float *x, const cnnbn_prologue *in, ptrdiff_t tile, ptrdiff_t n,
                     float *v, ptrdiff_t plane);

/* dx of the tiles [tile, tile + n), all tiles of a sample in their order; z: the first one's row in V, products in the place of inputs. A
 * sample's first tile clears the pixels that no tile reaches. */
void wino_add_tiles(const cnnbn__wino *w, float *dx, ptrdiff_t tile, ptrdiff_t n, const float *z, ptrdiff_t plane);

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
    wino_rows(w, tile, n, x, g->H, (ptrdiff_t)g->W * g->C, g->pad_top, w->step, w->span, begin, end);
}

VEC_INLINE void wino_rows_out(const cnnbn__wino *w, ptrdiff_t tile, ptrdiff_t n, const float *y, const char **begin,
                              const char **end)
{
    const cnnbn_conv_geom *g = w->g;
    wino_rows(w, tile, n, y, g->P, (ptrdiff_t)g->Q * g->K, 0, w->outputs, w->outputs, begin, end);
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

#endif
