/* Winograd's convolution (Lavin, Gray: Fast algorithms for convolutional neural networks, 2015). F(4x4, 3x3) makes a tile of 4x4
 * outputs from 6x6 inputs by 36 products instead of 144,
 *
 *     Y = A^T [ (G g G^T) . (B^T d B) ] A,
 *
 * summed over channels: 36 matrix products V U, one for each position of the tile. Backward data is its adjoint, overlapping
 * 6x6 tiles B [ U . (A dY A^T) ] B^T added up in dx; backward weights is G^T [ sum over tiles of V . (A dY A^T) ] G.
 *
 * F(6x6, 3x3) makes 36 outputs by 64 products instead of 324, with twice the rounding error of F(4x4, 3x3): taken where that saves a tenth of
 * the products. Where mixed tiles save more still, an axis is cut into sixes and then fours, 32 = 6 + 6 + 6 + 6 + 4 + 4, so that an image may have tiles of four shapes; one of four
 * rows has the first places of one of six, and no others.
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
 * block; or, of a slice that V and M hold at once, part by part, so that a part's sums are still in L2 when they become dw; or, where dw
 * itself is large, a part of it through several slices, whose entries of the stack stay in L1. */
typedef enum cnnbn__wino_sums { WINO_SUMS_WHOLE, WINO_SUMS_PARTS, WINO_SUMS_JOINED } cnnbn__wino_sums;

/* Rows of such parts, whose columns are those of a register tile. */
enum { PART_ROWS = 5 * VEC_TMUL_ROWS, JOIN_ROWS = VEC_TMUL_ROWS < 8 ? VEC_TMUL_ROWS : 8 };

/* How an axis of the outputs is cut: n[0] tiles of a kind, then n[1] of another, which has no place that the first has not. */
typedef struct cnnbn__wino_axis {
    int kind[2], n[2];
    int positions, places; /* of the first kind */
} cnnbn__wino_axis;

typedef struct cnnbn__wino {
    const cnnbn_conv_geom *g;
    cnnbn__wino_axis down, across;
    int shape[2][2];                /* by the kinds of the axes; U's is the first */
    int tiles;                      /* of a sample */
    int mixed;                      /* more than one shape has tiles */
    int group, band[2];             /* then: samples of a group, rows of tiles of a block, by their kind */
    int positions, places;          /* down times across */
    ptrdiff_t cols_c, cols_k;       /* channels rounded up to whole vectors */
    ptrdiff_t ld_c, ld_k;           /* rows of V and M */
    ptrdiff_t plane_u, plane_ut;    /* positions of U and U^T */
    ptrdiff_t fwd_block, bwd_block; /* rows of V and M: the most tiles at once */
    cnnbn__wino_sums sums;          /* but for WHOLE, backward ones hold whole slices */
} cnnbn__wino;

#define wino_of CNNBN__ISA(cnnbn__wino_of)
#define wino_cut CNNBN__ISA(cnnbn__wino_cut)
#define wino_block_of CNNBN__ISA(cnnbn__wino_block_of)
#define wino_next_block CNNBN__ISA(cnnbn__wino_next_block)
#define wino_next_row CNNBN__ISA(cnnbn__wino_next_row)
#define wino_memory CNNBN__ISA(cnnbn__wino_memory)
#define wino_load_tiles CNNBN__ISA(cnnbn__wino_load_tiles)
#define wino_add_tiles CNNBN__ISA(cnnbn__wino_add_tiles)
#define wino_products CNNBN__ISA(cnnbn__wino_products)

void wino_of(const cnnbn_conv_plan *plan, cnnbn__wino *w);

/* ---------------------------------------------------------------- tiles (conv_winograd_cut.c) */

/* Sets how the outputs are cut, all down to `places` in the struct, by the geometry alone. */
void wino_cut(const cnnbn_conv_geom *g, cnnbn__wino *w);

/* A tile of a block, number t in it: its sample, its number along the axes, its first output; it and those beside it are n of the block's
 * next ones. */
typedef struct cnnbn__wino_tile {
    ptrdiff_t t;
    int sample, i, j, p, q;
    int shape, n;
} cnnbn__wino_tile;

/* Tiles done at once: n of a group's from `tile` on. A group is so many samples as one likes, and its tiles are in the order of samples, rows,
 * columns. But where shapes are mixed it is w->group samples, or what is left of them, and has all rows of tiles of the first kind before those
 * of the second; a block is a band of rows, in which all tiles of the first kind across are before those of the second. So tiles of a
 * shape are neighbours; and a tile is always behind the one above and the one to the left. */
typedef struct cnnbn__wino_block {
    int first, samples, limit; /* of the group; behind the last sample that may be in one */
    int lower;                 /* rows of tiles are of the second kind */
    ptrdiff_t tile, n;
    ptrdiff_t n_wide;             /* tiles of the first kind across: all, but where shapes are mixed */
    cnnbn__wino_tile begin, last; /* with n = 0 where there is none */
} cnnbn__wino_block;

/* The first block of the samples [first, limit), of at most so many tiles, and the one behind b: n is 0 where there is none. */
cnnbn__wino_block wino_block_of(const cnnbn__wino *w, int first, int limit, ptrdiff_t most);
cnnbn__wino_block wino_next_block(const cnnbn__wino *w, const cnnbn__wino_block *b, ptrdiff_t most);

/* From the last tile of a row to the block's next one, if it has any. */
void wino_next_row(const cnnbn__wino *w, const cnnbn__wino_block *b, cnnbn__wino_tile *at);

/* `by` tiles further, at most n. */
VEC_INLINE void wino_go_on(const cnnbn__wino *w, const cnnbn__wino_block *b, int by, cnnbn__wino_tile *at)
{
    at->t += by;
    at->j += by;
    at->q += by * wino_outputs(wino_across(at->shape));
    at->n -= by;
    if (at->n == 0) wino_next_row(w, b, at);
}

/* What a block touches of an [N][height][width][channels] array, [*begin, *end), which are left alone where that is nothing. is_input: of
 * the convolution's input or its gradient, else of its output. Where groups may have several samples, the upper blocks report what the lower ones
 * touch, too, and these nothing. */
void wino_memory(const cnnbn__wino *w, const cnnbn__wino_block *b, int is_input, const float *base, const char **begin,
                 const char **end);

/* x, but within [0, most]: where pixels that may lie outside of an image begin or end in it. */
VEC_INLINE int wino_within(int x, int most)
{
    return x < 0 ? 0 : x < most ? x : most;
}

/* ---------------------------------------------------------------- places */

/* The places that position (i, j) of U serves: rows x cols of them from `first` on; and how many of a block's tiles have them, which are
 * its first ones. */
typedef struct cnnbn__wino_places {
    ptrdiff_t first;
    int rows, cols;
    ptrdiff_t n;
} cnnbn__wino_places;

/* Only the first kind down has the tall places, only the first across the wide ones. */
VEC_INLINE cnnbn__wino_places wino_places(const cnnbn__wino *w, const cnnbn__wino_block *b, int i, int j)
{
    const cnnbn__wino_axis *down = &w->down, *across = &w->across;
    const int tall = i >= wino_positions(down->kind[1]), wide = j >= wino_positions(across->kind[1]);
    return (cnnbn__wino_places){
        .first = (ptrdiff_t)i * across->places + j,
        .rows = i == down->positions - 1 ? down->places - i : 1,
        .cols = j == across->positions - 1 ? across->places - j : 1,
        .n = tall && b->lower ? 0
             : wide           ? b->n_wide
                              : b->n,
    };
}

/* ---------------------------------------------------------------- transforms and products */

/* B^T d B of a block's input, all channels; v: the first tile's row in V, places `plane` apart. */
void wino_load_tiles(const cnnbn__wino *w, const float *x, const cnnbn_prologue *in, const cnnbn__wino_block *b,
                     float *v, ptrdiff_t plane);

/* dx of a block; all blocks in their order; z: its first tile's row in V, products in the place of inputs. A sample's first tile clears
 * the pixels that no tile reaches. */
void wino_add_tiles(const cnnbn__wino *w, float *dx, const cnnbn__wino_block *b, const float *z, ptrdiff_t plane);

/* c = a u in all places, for the tiles of a block. */
typedef struct cnnbn__wino_product {
    ptrdiff_t n_k, n_cols;
    const float *a;
    ptrdiff_t lda, plane_a;
    const float *u;
    ptrdiff_t plane_u;
    float *c;
    ptrdiff_t ldc, plane_c;
} cnnbn__wino_product;
void wino_products(const cnnbn__wino *w, const cnnbn__wino_block *b, const cnnbn__wino_product *p, cnnbn__fetch *fetch);

/* Distance of places in a buffer of n rows of ld floats: an odd number of cache lines, or all of them would share sets. */
VEC_INLINE ptrdiff_t wino_plane(ptrdiff_t n, ptrdiff_t ld)
{
    ptrdiff_t lines = (n * ld + 15) / 16;
    return (lines | 1) * 16;
}

#endif
