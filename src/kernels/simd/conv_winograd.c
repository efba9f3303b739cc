/* Winograd: when it is taken, its plan, the transformed weights, and the steps that forward and backward share. */
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

static long products_of(const cnnbn_conv_geom *g, int outputs, int places)
{
    return (long)((g->P + outputs - 1) / outputs) * ((g->Q + outputs - 1) / outputs) * places;
}

/* F(6x6, 3x3) where it saves a tenth of the products. */
static cnnbn__wino_kind kind_of(const cnnbn_conv_geom *g)
{
    if (g->stride_h == 2) return WINO_4_STRIDE_2;
    return products_of(g, 6, 64) * 10 <= products_of(g, 4, 36) * 9 ? WINO_6 : WINO_4;
}

/* Enough channels for the transforms to be small beside the products (the direct algorithm too fills its vectors badly with
 * few), and tiles that are not mostly padding: direct costs 9 products for each output. */
int winograd_pays(const cnnbn_conv_geom *g)
{
    const cnnbn__wino_kind kind = kind_of(g);
    const long outputs = (long)g->P * g->Q,
               products = products_of(g, wino_outputs(kind), wino_span(kind) * wino_span(kind));
    const int enough = kind == WINO_4_STRIDE_2 ? g->C >= 16 && g->K >= 16 : g->C >= 8 && g->K >= 4;
    return enough && products * 5 < outputs * 36;
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
    if (fits && pairs > LARGE_DW && slice <= JOIN_TILES) {
        w->sums = WINO_SUMS_JOINED;
        w->bwd_block = clamp(clamp(BLOCK_FLOATS / tile, slice > 1 ? slice : 1, TILES_MAX), 1, all);
    } else if (fits && sums > HUGE_SUMS && slice <= SLICE_TILES) {
        w->bwd_block = clamp(slice, 1, all);
    } else {
        w->bwd_block = slice_block(sums > LARGE_SUMS || w->kind == WINO_4 ? TILES_MIN : TILES_MIN / 2, slice);
    }
    if (w->sums == WINO_SUMS_WHOLE && sums > LARGE_SUMS && slice <= w->bwd_block) w->sums = WINO_SUMS_PARTS;
}

void wino_of(const cnnbn_conv_plan *plan, cnnbn__wino *w)
{
    const cnnbn_conv_geom *g = &plan->geom;
    w->g = g;
    w->kind = kind_of(g);
    w->outputs = wino_outputs(w->kind);
    w->axis = wino_axis(w->kind);
    w->span = wino_span(w->kind);
    w->step = w->outputs * wino_stride(w->kind);
    w->positions = w->axis * w->axis;
    w->places = w->span * w->span;
    w->tiles_h = (g->P + w->outputs - 1) / w->outputs;
    w->tiles_w = (g->Q + w->outputs - 1) / w->outputs;
    w->tiles = w->tiles_h * w->tiles_w;
    w->cols_c = vec_round_up(g->C);
    w->cols_k = vec_round_up(g->K);
    w->ld_c = row_length(w->cols_c);
    w->ld_k = row_length(w->cols_k);
    w->plane_u = wino_plane(g->C, w->cols_k);
    w->plane_ut = wino_plane(g->K, w->cols_c);

    ptrdiff_t all = (ptrdiff_t)plan->max_n * w->tiles;
    if (all < 1) all = 1;
    w->fwd_block = clamp((is_far(w) ? TILES_LARGE : TILES_MIN) / (w->kind == WINO_4 ? 1 : 2), 1, all);
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
VEC_INLINE void weights_vec(const int far, const int kind, const vec tap[9], float *u, ptrdiff_t plane)
{
    const int axis = wino_axis(kind);
    vec t[WINO_AXIS_MAX][3];
    VEC_UNROLL
    for (int j = 0; j < 3; j++) {
        vec g[3], b[WINO_AXIS_MAX];
        VEC_UNROLL
        for (int i = 0; i < 3; i++) g[i] = tap[i * 3 + j];
        wino_g(kind, g, b);
        VEC_UNROLL
        for (int i = 0; i < axis; i++) t[i][j] = b[i];
    }
    VEC_UNROLL
    for (int i = 0; i < axis; i++) {
        vec b[WINO_AXIS_MAX];
        wino_g(kind, t[i], b);
        float *to = u + i * (axis * plane);
        VEC_OPAQUE(to);
        VEC_UNROLL
        for (int j = 0; j < axis; j++) (far ? vec_stream : vec_store)(to + j * plane, b[j]);
    }
}

/* Where column `col` of row `row` of an [n_rows][cols] matrix in panels is; col a multiple of VEC_LEN, cols rounded up. */
static ptrdiff_t panel_at(ptrdiff_t n_rows, ptrdiff_t cols, ptrdiff_t row, ptrdiff_t col)
{
    ptrdiff_t start = col / TILE_COLS * TILE_COLS, width = cols - start < TILE_COLS ? cols - start : TILE_COLS;
    return start * n_rows + row * width + (col - start);
}

/* Rows [begin, end) of U. */
VEC_INLINE void forms(const int far, const int kind, const cnnbn__wino *wino, const float *w, float *u, ptrdiff_t begin,
                      ptrdiff_t end)
{
    const ptrdiff_t C = wino->g->C, K = wino->g->K;
    for (ptrdiff_t panel = 0; panel < K; panel += TILE_COLS) /* panels outside: each position is written in a row */
        for (ptrdiff_t c = begin; c < end; c++)
            for (ptrdiff_t k = panel; k < K && k < panel + TILE_COLS; k += VEC_LEN) {
                vec tap[9];
                VEC_UNROLL
                for (ptrdiff_t i = 0; i < 9; i++) tap[i] = vec_load_part(w + (i * C + c) * K + k, vec_lanes(K, k));
                weights_vec(far, kind, tap, u + panel_at(C, wino->cols_k, c, k), wino->plane_u);
            }
}

/* By whether they come from memory, and kind. */
typedef void forms_fn(const cnnbn__wino *wino, const float *w, float *u, ptrdiff_t begin, ptrdiff_t end);
#define FORMS(name, far, kind)                                                                            \
    static void name##_##far##_##kind(const cnnbn__wino *wino, const float *w, float *u, ptrdiff_t begin, \
                                      ptrdiff_t end)                                                      \
    {                                                                                                     \
        name(far, kind, wino, w, u, begin, end);                                                          \
    }
#define FORMS_EACH(name) \
    FORMS(name, 0, 0) FORMS(name, 0, 1) FORMS(name, 0, 2) FORMS(name, 1, 0) FORMS(name, 1, 1) FORMS(name, 1, 2)
FORMS_EACH(forms)

void winograd_prepare_fwd(const cnnbn_conv_plan *plan, const float *w, const float *bias, float *prepared, int part,
                          int n_parts)
{
    cnnbn__wino wino;
    wino_of(plan, &wino);
    const ptrdiff_t K = plan->geom.K, begin = cnnbn_part_begin(plan->geom.C, n_parts, part);
    const ptrdiff_t end = cnnbn_part_begin(plan->geom.C, n_parts, part + 1);
    forms_fn *const by_kind[2][WINO_KINDS] = {{forms_0_0, forms_0_1, forms_0_2}, {forms_1_0, forms_1_1, forms_1_2}};
    by_kind[is_far(&wino)][wino.kind](&wino, w, prepared, begin, end);
    vec_stream_end();
    if (part != 0) return;
    float *padded = prepared + wino.positions * wino.plane_u;
    for (ptrdiff_t k = 0; k < wino.cols_k; k++) padded[k] = bias && k < K ? bias[k] : 0.0f;
}

/* Rows of U^T, in blocks of VEC_LEN. */
VEC_INLINE void turned_forms(const int far, const int kind, const cnnbn__wino *wino, const float *w, float *ut,
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
                weights_vec(far, kind, tap, ut + panel_at(K, wino->cols_c, k + j, c), wino->plane_ut);
            }
        }
}

FORMS_EACH(turned_forms)

void winograd_prepare_bwd(const cnnbn_conv_plan *plan, const float *w, float *prepared, int part, int n_parts)
{
    cnnbn__wino wino;
    wino_of(plan, &wino);
    const int blocks = (int)(wino.cols_k / VEC_LEN), begin = cnnbn_part_begin(blocks, n_parts, part);
    const int end = cnnbn_part_begin(blocks, n_parts, part + 1);
    forms_fn *const by_kind[2][WINO_KINDS] = {{turned_forms_0_0, turned_forms_0_1, turned_forms_0_2},
                                              {turned_forms_1_0, turned_forms_1_1, turned_forms_1_2}};
    by_kind[is_far(&wino)][wino.kind](&wino, w, prepared, begin, end);
    vec_stream_end();
}

/* ---------------------------------------------------------------- products */

void wino_products(const cnnbn__wino *w, const cnnbn__wino_product *p, cnnbn__fetch *fetch)
{
    const cnnbn__mul m = {.lda = p->lda, .ldc = p->ldc, .n_outer = 1, .n_inner = 1, .n_k = p->n_k};
    const ptrdiff_t step = tile_rows(p->n, VEC_MUL_ROWS), panels = (p->n_cols + TILE_COLS - 1) / TILE_COLS;
    fetch_over(fetch, w->places * panels * ((p->n + step - 1) / step));
    for (int q = 0; q < w->positions; q++)
        for (ptrdiff_t col = 0; col < p->n_cols; col += TILE_COLS) {
            const cnnbn__wino_places at = wino_places(w, q);
            ptrdiff_t cols = p->n_cols - col < TILE_COLS ? p->n_cols - col : TILE_COLS;
            const float *u = p->u + q * p->plane_u + col * p->n_k;
            for (int r = 0; r < at.rows * at.cols; r++) {
                const ptrdiff_t place = wino_place(w, at, r);
                const float *a = p->a + place * p->plane_a;
                float *c = p->c + place * p->plane_c + col;
                for (ptrdiff_t i = 0; i < p->n; i += step) {
                    ptrdiff_t rows = p->n - i < step ? p->n - i : step;
                    mul_tiles[cols > VEC_LEN][rows - 1](&m, a + i * p->lda, u, NULL, c + i * p->ldc, cols);
                    fetch_some(fetch);
                }
            }
        }
}
