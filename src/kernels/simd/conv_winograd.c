/* Winograd: its plan, the transformed weights, and the products, which forward and backward share. */
#include "conv_winograd.h"

enum {
    LARGE_WEIGHTS = 4194304, /* floats of U that come from memory: more tiles a block, or U is read too often */
    LARGE_SUMS = 524288,     /* floats of a slice's sums that are no longer in L2 */
    HUGE_SUMS = 1048576,     /* and are worth larger blocks, */
    SLICE_TILES = 128,       /* of slices of so many tiles */
    LARGE_DW = 196608,       /* pairs of channels: dw comes from memory */
    JOIN_TILES = 12,         /* greatest slice, in tiles, of which several are joined */
    BLOCK_FLOATS = 2621440,  /* V and M of blocks of whole slices */
    TILES_MIN = 28, /* of a block: V, M and U in L2; half of it, and of the next, where a tile has more places */
    TILES_LARGE = 112,
    TILES_MAX = 224
};

int winograd_fits(const cnnbn_conv_geom *g)
{
    return g->R == 3 && g->S == 3 && g->stride_h == g->stride_w && g->stride_h <= 2 && g->dil_h == 1 && g->dil_w == 1 &&
           g->groups == 1;
}

static ptrdiff_t row_length(ptrdiff_t cols)
{
    return cols >= 128 ? cols + 16 : cols;
}

static ptrdiff_t clamp(ptrdiff_t x, ptrdiff_t least, ptrdiff_t most)
{
    return x < least ? least : x > most ? most : x;
}

/* Whether U is too large to be still in a cache when it is read. */
static int is_far(const cnnbn__wino *w)
{
    return w->positions * (ptrdiff_t)w->g->C * w->g->K > LARGE_WEIGHTS;
}

/* Tiles of a block, of which one of 4x4 outputs could have `most`. */
static ptrdiff_t block_tiles(const cnnbn__wino *w, ptrdiff_t most)
{
    return w->shape[0][0] == WINO_4X4 ? most : most / 2;
}

/* Where shapes are mixed. */
static ptrdiff_t band_tiles(const cnnbn__wino *w)
{
    return (ptrdiff_t)(w->band[0] > w->band[1] ? w->band[0] : w->band[1]) * (w->across.n[0] + w->across.n[1]);
}

/* `block` tiles, which register tiles fill, or a slice that has not twice as many. */
static ptrdiff_t slice_block(ptrdiff_t block, ptrdiff_t slice)
{
    return slice < 2 * block ? clamp(slice, 1, 2 * block) : block;
}

/* Of slices of so many tiles, in a call of `all`. Neither blocks nor the way of summing change a bit of dw: every sum over channels or
 * tiles runs on from block to block. (A joined one makes no sums for a batch norm, which are then made in another way.) */
static void plan_sums(cnnbn__wino *w, ptrdiff_t slice, ptrdiff_t all)
{
    const ptrdiff_t pairs = (ptrdiff_t)w->g->C * w->g->K, sums = w->positions * pairs;
    const ptrdiff_t tile = w->places * (w->ld_c + w->ld_k);
    const int fits = slice * tile <= BLOCK_FLOATS;
    w->sums = WINO_SUMS_WHOLE;
    if (fits && !w->mixed && pairs > LARGE_DW && slice <= JOIN_TILES) {
        w->sums = WINO_SUMS_JOINED;
        w->bwd_block = clamp(clamp(BLOCK_FLOATS / tile, slice > 1 ? slice : 1, TILES_MAX), 1, all);
    } else if (fits && sums > HUGE_SUMS && slice <= SLICE_TILES) {
        w->bwd_block = clamp(slice, 1, all);
    } else {
        w->bwd_block = slice_block(sums > LARGE_SUMS ? TILES_MIN : block_tiles(w, TILES_MIN), slice);
    }
    if (w->mixed) { /* stretches of several blocks, one of which must fit */
        const ptrdiff_t least = clamp(TILES_MIN, band_tiles(w), TILES_MAX);
        if (w->bwd_block < least) w->bwd_block = least;
    }
    if (w->sums == WINO_SUMS_WHOLE && sums > LARGE_SUMS && slice <= w->bwd_block) w->sums = WINO_SUMS_PARTS;
}

void wino_of(const cnnbn_conv_plan *plan, cnnbn__wino *w)
{
    const cnnbn_conv_geom *g = &plan->geom;
    wino_cut(g, w);
    w->cols_c = vec_round_up(g->C);
    w->cols_k = vec_round_up(g->K);
    w->ld_c = row_length(w->cols_c);
    w->ld_k = row_length(w->cols_k);
    w->plane_u = wino_plane(g->C, w->cols_k);
    w->plane_ut = wino_plane(g->K, w->cols_c);

    ptrdiff_t all = (ptrdiff_t)plan->max_n * w->tiles;
    if (all < 1) all = 1;
    w->fwd_block = w->mixed ? band_tiles(w) : clamp(block_tiles(w, is_far(w) ? TILES_LARGE : TILES_MIN), 1, all);
    plan_sums(w, (ptrdiff_t)plan->max_slice * w->tiles, all);
}

void winograd_plan(cnnbn_conv_plan *plan)
{
    cnnbn__wino w;
    wino_of(plan, &w);
    plan->fwd_prepared_floats = (size_t)(w.positions * w.plane_u + w.cols_k);
    plan->bwd_prepared_floats = (size_t)(w.positions * w.plane_ut);
    plan->fwd_workspace_floats =
        (size_t)(w.places * (wino_plane(w.fwd_block, w.ld_c) + wino_plane(w.fwd_block, w.ld_k)) + 3 * w.cols_k);
    size_t blocks = (size_t)(w.places * (wino_plane(w.bwd_block, w.ld_c) + wino_plane(w.bwd_block, w.ld_k)));
    size_t sums = (size_t)(w.positions * wino_plane(plan->geom.C, w.cols_k));
    if (w.sums == WINO_SUMS_PARTS) sums = (size_t)(w.positions * PART_ROWS * TILE_COLS);
    if (w.sums == WINO_SUMS_JOINED) sums = (size_t)((w.positions + 9 * CNNBN_TREE_DEPTH) * JOIN_ROWS * TILE_COLS);
    plan->makes_bn_sums = w.sums != WINO_SUMS_JOINED;
    plan->takes_bn_behind = CNNBN_BEHIND_ALWAYS;
    plan->bwd_workspace_floats = blocks + sums + (size_t)(3 * w.cols_k + 16);
}

/* ---------------------------------------------------------------- weights */

/* G g G^T of a vector of the nine taps. */
VEC_INLINE void weights_vec(const int far, const int shape, const vec tap[9], float *u, ptrdiff_t plane)
{
    const int down = wino_down(shape), across = wino_across(shape);
    const int n_down = wino_positions(down), n_across = wino_positions(across);
    vec t[WINO_POSITIONS_MAX][3];
    VEC_UNROLL
    for (int j = 0; j < 3; j++) {
        vec g[3], b[WINO_POSITIONS_MAX];
        VEC_UNROLL
        for (int i = 0; i < 3; i++) g[i] = tap[i * 3 + j];
        wino_g(down, g, b);
        VEC_UNROLL
        for (int i = 0; i < n_down; i++) t[i][j] = b[i];
    }
    VEC_UNROLL
    for (int i = 0; i < n_down; i++) {
        vec b[WINO_POSITIONS_MAX];
        wino_g(across, t[i], b);
        float *to = u + i * (n_across * plane);
        VEC_OPAQUE(to);
        VEC_UNROLL
        for (int j = 0; j < n_across; j++) (far ? vec_stream : vec_store)(to + j * plane, b[j]);
    }
}

/* Where column `col` of row `row` of an [n_rows][cols] matrix in panels is; col a multiple of VEC_LEN, cols rounded up. */
static ptrdiff_t panel_at(ptrdiff_t n_rows, ptrdiff_t cols, ptrdiff_t row, ptrdiff_t col)
{
    ptrdiff_t start = col / TILE_COLS * TILE_COLS, width = cols - start < TILE_COLS ? cols - start : TILE_COLS;
    return start * n_rows + row * width + (col - start);
}

/* Rows [begin, end) of U. */
VEC_INLINE void forms(const int far, const int shape, const cnnbn__wino *wino, const float *w, float *u,
                      ptrdiff_t begin, ptrdiff_t end)
{
    const ptrdiff_t C = wino->g->C, K = wino->g->K;
    for (ptrdiff_t panel = 0; panel < K; panel += TILE_COLS) /* panels outside: each position is written in a row */
        for (ptrdiff_t c = begin; c < end; c++)
            for (ptrdiff_t k = panel; k < K && k < panel + TILE_COLS; k += VEC_LEN) {
                vec tap[9];
                VEC_UNROLL
                for (ptrdiff_t i = 0; i < 9; i++) tap[i] = vec_load_part(w + (i * C + c) * K + k, vec_lanes(K, k));
                weights_vec(far, shape, tap, u + panel_at(C, wino->cols_k, c, k), wino->plane_u);
            }
}

/* By whether they come from memory, and shape. */
typedef void forms_fn(const cnnbn__wino *wino, const float *w, float *u, ptrdiff_t begin, ptrdiff_t end);
#define FORMS(name, far, shape)                                                                            \
    static void name##_##far##_##shape(const cnnbn__wino *wino, const float *w, float *u, ptrdiff_t begin, \
                                       ptrdiff_t end)                                                      \
    {                                                                                                      \
        name(far, shape, wino, w, u, begin, end);                                                          \
    }
#define FORMS_OF(shape) FORMS(forms, 0, shape) FORMS(forms, 1, shape)
#define FORMS_NEAR(shape) forms_0_##shape,
#define FORMS_FAR(shape) forms_1_##shape,
WINO_EACH_SHAPE(FORMS_OF)
static forms_fn *const forms_by[2][WINO_SHAPES] = {{WINO_EACH_SHAPE(FORMS_NEAR)}, {WINO_EACH_SHAPE(FORMS_FAR)}};

void winograd_prepare_fwd(const cnnbn_conv_plan *plan, const float *w, const float *bias, float *prepared, int part,
                          int n_parts)
{
    cnnbn__wino wino;
    wino_of(plan, &wino);
    const ptrdiff_t K = plan->geom.K, begin = cnnbn_part_begin(plan->geom.C, n_parts, part);
    const ptrdiff_t end = cnnbn_part_begin(plan->geom.C, n_parts, part + 1);
    forms_by[is_far(&wino)][wino.shape[0][0]](&wino, w, prepared, begin, end);
    vec_stream_end();
    if (part != 0) return;
    float *padded = prepared + wino.positions * wino.plane_u;
    for (ptrdiff_t k = 0; k < wino.cols_k; k++) padded[k] = bias && k < K ? bias[k] : 0.0f;
}

/* Rows of U^T, in blocks of VEC_LEN. */
VEC_INLINE void turned_forms(const int far, const int shape, const cnnbn__wino *wino, const float *w, float *ut,
                             ptrdiff_t begin, ptrdiff_t end)
{
    const ptrdiff_t C = wino->g->C, K = wino->g->K;
    for (ptrdiff_t c = 0; c < C; c += VEC_LEN)
        for (ptrdiff_t k = begin * VEC_LEN; k < K && k < end * VEC_LEN; k += VEC_LEN) {
            const ptrdiff_t n_k = vec_lanes(K, k), n_c = vec_lanes(C, c);
            vec turned[9][VEC_LEN]; /* [tap][k], vectors of c */
            for (ptrdiff_t i = 0; i < 9; i++) {
                vec square[VEC_LEN];
                for (ptrdiff_t j = 0; j < VEC_LEN; j++)
                    square[j] = j < n_c ? vec_load_part(w + (i * C + c + j) * K + k, n_k) : vec_zero();
                vec_transpose(square);
                for (ptrdiff_t j = 0; j < VEC_LEN; j++) turned[i][j] = square[j];
            }
            for (ptrdiff_t j = 0; j < n_k; j++) {
                vec tap[9];
                VEC_UNROLL
                for (ptrdiff_t i = 0; i < 9; i++) tap[i] = turned[i][j];
                weights_vec(far, shape, tap, ut + panel_at(K, wino->cols_c, k + j, c), wino->plane_ut);
            }
        }
}

#define TURNED_OF(shape) FORMS(turned_forms, 0, shape) FORMS(turned_forms, 1, shape)
#define TURNED_NEAR(shape) turned_forms_0_##shape,
#define TURNED_FAR(shape) turned_forms_1_##shape,
WINO_EACH_SHAPE(TURNED_OF)
static forms_fn *const turned_by[2][WINO_SHAPES] = {{WINO_EACH_SHAPE(TURNED_NEAR)}, {WINO_EACH_SHAPE(TURNED_FAR)}};

void winograd_prepare_bwd(const cnnbn_conv_plan *plan, const float *w, float *prepared, int part, int n_parts)
{
    cnnbn__wino wino;
    wino_of(plan, &wino);
    const int blocks = (int)(wino.cols_k / VEC_LEN), begin = cnnbn_part_begin(blocks, n_parts, part);
    const int end = cnnbn_part_begin(blocks, n_parts, part + 1);
    turned_by[is_far(&wino)][wino.shape[0][0]](&wino, w, prepared, begin, end);
    vec_stream_end();
}

/* ---------------------------------------------------------------- products */

/* One place: its tiles are rows of a and c. */
VEC_INLINE void place_products(const cnnbn__mul *m, ptrdiff_t n, ptrdiff_t step, const float *a, const float *u,
                               float *c, ptrdiff_t cols, cnnbn__fetch *fetch)
{
    cnnbn__mul_fn *const *tiles = mul_tiles[cols > VEC_LEN];
    for (ptrdiff_t i = 0; i < n; i += step) {
        ptrdiff_t rows = n - i < step ? n - i : step;
        tiles[rows - 1](m, a + i * m->lda, u, NULL, c + i * m->ldc, cols);
        fetch_some(fetch);
    }
}

void wino_products(const cnnbn__wino *w, const cnnbn__wino_block *b, const cnnbn__wino_product *p, cnnbn__fetch *fetch)
{
    const cnnbn__mul m = {.lda = p->lda, .ldc = p->ldc, .n_outer = 1, .n_inner = 1, .n_k = p->n_k};
    const ptrdiff_t panels = tile_count(p->n_cols, TILE_COLS);
    const int rows = b->lower ? wino_span(w->down.kind[1]) : w->down.places;
    fetch_over(fetch, rows * w->across.places * panels * tile_count(b->n_wide, VEC_MUL_ROWS));
    const ptrdiff_t step_all = tile_rows(b->n, VEC_MUL_ROWS), step_wide = tile_rows(b->n_wide, VEC_MUL_ROWS);
    const float *u = p->u;
    for (int i = 0; i < w->down.positions; i++)
        for (int j = 0; j < w->across.positions; j++, u += p->plane_u) {
            const cnnbn__wino_places at = wino_places(w, b, i, j);
            const ptrdiff_t step = at.n == b->n ? step_all : step_wide;
            for (ptrdiff_t col = 0; col < p->n_cols; col += TILE_COLS) {
                const ptrdiff_t cols = p->n_cols - col < TILE_COLS ? p->n_cols - col : TILE_COLS;
                for (int y = 0; y < at.rows; y++)
                    for (int x = 0; x < at.cols; x++) {
                        const ptrdiff_t place = at.first + y * w->across.places + x;
                        place_products(&m, at.n, step, p->a + place * p->plane_a, u + col * p->n_k,
                                       p->c + place * p->plane_c + col, cols, fetch);
                    }
            }
        }
}
