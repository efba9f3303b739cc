/* Winograd: when it is taken, its plan, the transformed weights, and the steps that forward and backward share. */
#include "conv_winograd.h"

enum {
    FWD_FLOATS = 126976,     /* of V and M of a forward block: L2, with room for U */
    BWD_FLOATS = 126976,     /* of a backward block: a slice's sums pass through memory once a block */
    JOIN_TILES = 48,         /* greatest slice, in tiles, that is joined in blocks of whole slices */
    JOIN_TILES_2 = 12,       /* with strides of 2: a position's rows, up to 16 a tile, are to stay in L1 */
    JOIN_FLOATS = 2621440,   /* of such a block */
    LARGE_WEIGHTS = 4194304, /* floats of U that come from memory: more tiles a block, or U is read too often */
    LARGE_SUMS = 524288,     /* floats of a slice's sums that are no longer in L2 */
    TILES_MIN = 28,          /* half of it, and of the next, with strides of 2: a tile has more places */
    TILES_LARGE = 112,
    TILES_MAX = 224
};

int winograd_fits(const cnnbn_conv_geom *g)
{
    return g->R == 3 && g->S == 3 && g->stride_h == g->stride_w && g->stride_h <= 2 && g->dil_h == 1 && g->dil_w == 1 &&
           g->groups == 1;
}

/* Enough channels for the transforms to be small beside the products (the direct algorithm too fills its vectors badly with
 * few), and tiles that are not mostly padding: a tile costs 36 products for each pair of channels, with strides of 2 it costs
 * 81; direct costs 9 for each output. */
int winograd_pays(const cnnbn_conv_geom *g)
{
    long tiles = (long)((g->P + 3) / 4) * ((g->Q + 3) / 4), outputs = (long)g->P * g->Q;
    if (g->stride_h == 1) return g->C >= 8 && g->K >= 4 && tiles * 5 < outputs;
    return g->C >= 16 && g->K >= 16 && tiles * 11 < outputs;
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
static int is_far(const cnnbn_conv_geom *g)
{
    return WINO_Q * (ptrdiff_t)g->C * g->K > LARGE_WEIGHTS;
}

/* Whether a slice's sums in the Winograd domain come from beyond L2. */
static int far_sums(const cnnbn_conv_geom *g)
{
    return WINO_Q * (ptrdiff_t)g->C * g->K > LARGE_SUMS;
}

/* About `block` tiles, so that the blocks of a slice are all alike. */
static ptrdiff_t even_block(ptrdiff_t block, ptrdiff_t slice)
{
    const ptrdiff_t blocks = slice / block;
    return blocks ? (slice + blocks - 1) / blocks : clamp(slice, 1, block);
}

void wino_of(const cnnbn_conv_plan *plan, cnnbn__wino *w)
{
    const cnnbn_conv_geom *g = &plan->geom;
    w->g = g;
    w->stride = g->stride_h;
    w->span = wino_span(w->stride);
    w->places = w->span * w->span;
    w->tiles_h = (g->P + WINO_M - 1) / WINO_M;
    w->tiles_w = (g->Q + WINO_M - 1) / WINO_M;
    w->tiles = w->tiles_h * w->tiles_w;
    w->cols_c = vec_round_up(g->C);
    w->cols_k = vec_round_up(g->K);
    w->ld_c = row_length(w->cols_c);
    w->ld_k = row_length(w->cols_k);
    w->plane_u = wino_plane(g->C, w->cols_k);
    w->plane_ut = wino_plane(g->K, w->cols_c);

    /* Blocks change no bits: every sum over channels or tiles runs on from block to block. */
    ptrdiff_t tile = w->places * (w->ld_c + w->ld_k), all = (ptrdiff_t)plan->max_n * w->tiles;
    ptrdiff_t slice = (ptrdiff_t)plan->max_slice * w->tiles;
    ptrdiff_t least = (is_far(g) ? TILES_LARGE : TILES_MIN) / w->stride;
    if (all < 1) all = 1;
    w->fwd_block = clamp(clamp(FWD_FLOATS / tile, least, TILES_MAX), 1, all);
    w->join = slice <= (w->stride == 1 ? JOIN_TILES : JOIN_TILES_2) && slice * tile <= JOIN_FLOATS;
    if (w->join)
        w->bwd_block = clamp(clamp(JOIN_FLOATS / tile, slice > 1 ? slice : 1, TILES_MAX), 1, all);
    else
        w->bwd_block =
            even_block(clamp(BWD_FLOATS / tile, far_sums(g) ? TILES_MIN : TILES_MIN / w->stride, TILES_MAX), slice);
}

void winograd_plan(cnnbn_conv_plan *plan)
{
    cnnbn__wino w;
    wino_of(plan, &w);
    plan->fwd_prepared_floats = (size_t)(WINO_Q * w.plane_u + w.cols_k);
    plan->bwd_prepared_floats = (size_t)(WINO_Q * w.plane_ut);
    plan->fwd_workspace_floats =
        (size_t)(w.places * (wino_plane(w.fwd_block, w.ld_c) + wino_plane(w.fwd_block, w.ld_k)) + 3 * w.cols_k);
    size_t blocks = (size_t)(w.places * (wino_plane(w.bwd_block, w.ld_c) + wino_plane(w.bwd_block, w.ld_k)));
    size_t sums = (size_t)(w.join ? (WINO_Q + 9 * CNNBN_TREE_DEPTH) * JOIN_ROWS * TILE_COLS
                                  : WINO_Q * wino_plane(plan->geom.C, w.cols_k));
    plan->makes_bn_sums = !w.join;
    plan->takes_bn_behind = CNNBN_BEHIND_ALWAYS;
    plan->bwd_workspace_floats = blocks + sums + (size_t)(3 * w.cols_k + 16);
}

/* ---------------------------------------------------------------- weights */

/* G g G^T of a vector of the nine taps. */
VEC_INLINE void weights_vec(const int far, const int stride, const vec tap[9], float *u, ptrdiff_t plane)
{
    vec t[WINO_A][3];
    VEC_UNROLL
    for (int j = 0; j < 3; j++) {
        vec g[3], b[WINO_A];
        VEC_UNROLL
        for (int i = 0; i < 3; i++) g[i] = tap[i * 3 + j];
        wino_g(stride, g, b);
        VEC_UNROLL
        for (int i = 0; i < WINO_A; i++) t[i][j] = b[i];
    }
    VEC_UNROLL
    for (int i = 0; i < WINO_A; i++) {
        vec b[WINO_A];
        wino_g(stride, t[i], b);
        VEC_UNROLL
        for (int j = 0; j < WINO_A; j++) (far ? vec_stream : vec_store)(u + (i * WINO_A + j) * plane, b[j]);
    }
}

/* Where column `col` of row `row` of an [n_rows][cols] matrix in panels is; col a multiple of VEC_LEN, cols rounded up. */
static ptrdiff_t panel_at(ptrdiff_t n_rows, ptrdiff_t cols, ptrdiff_t row, ptrdiff_t col)
{
    ptrdiff_t start = col / TILE_COLS * TILE_COLS, width = cols - start < TILE_COLS ? cols - start : TILE_COLS;
    return start * n_rows + row * width + (col - start);
}

/* Rows [begin, end) of U. */
VEC_INLINE void forms(const int far, const int stride, const cnnbn__wino *wino, const float *w, float *u,
                      ptrdiff_t begin, ptrdiff_t end)
{
    const ptrdiff_t C = wino->g->C, K = wino->g->K;
    for (ptrdiff_t panel = 0; panel < K; panel += TILE_COLS) /* panels outside: each position is written in a row */
        for (ptrdiff_t c = begin; c < end; c++)
            for (ptrdiff_t k = panel; k < K && k < panel + TILE_COLS; k += VEC_LEN) {
                vec tap[9];
                VEC_UNROLL
                for (ptrdiff_t i = 0; i < 9; i++) tap[i] = vec_load_part(w + (i * C + c) * K + k, vec_lanes(K, k));
                weights_vec(far, stride, tap, u + panel_at(C, wino->cols_k, c, k), wino->plane_u);
            }
}

void winograd_prepare_fwd(const cnnbn_conv_plan *plan, const float *w, const float *bias, float *prepared, int part,
                          int n_parts)
{
    cnnbn__wino wino;
    wino_of(plan, &wino);
    const ptrdiff_t K = plan->geom.K, begin = cnnbn_part_begin(plan->geom.C, n_parts, part);
    const ptrdiff_t end = cnnbn_part_begin(plan->geom.C, n_parts, part + 1);
    if (is_far(&plan->geom)) {
        wino.stride == 1 ? forms(1, 1, &wino, w, prepared, begin, end) : forms(1, 2, &wino, w, prepared, begin, end);
        vec_stream_end();
    } else {
        wino.stride == 1 ? forms(0, 1, &wino, w, prepared, begin, end) : forms(0, 2, &wino, w, prepared, begin, end);
    }
    if (part != 0) return;
    float *padded = prepared + WINO_Q * wino.plane_u;
    for (ptrdiff_t k = 0; k < wino.cols_k; k++) padded[k] = bias && k < K ? bias[k] : 0.0f;
}

/* Rows of U^T, in blocks of VEC_LEN. */
VEC_INLINE void turned_forms(const int far, const int stride, const cnnbn__wino *wino, const float *w, float *ut,
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
                weights_vec(far, stride, tap, ut + panel_at(K, wino->cols_c, k + j, c), wino->plane_ut);
            }
        }
}

void winograd_prepare_bwd(const cnnbn_conv_plan *plan, const float *w, float *prepared, int part, int n_parts)
{
    cnnbn__wino wino;
    wino_of(plan, &wino);
    const int blocks = (int)(wino.cols_k / VEC_LEN), begin = cnnbn_part_begin(blocks, n_parts, part);
    const int end = cnnbn_part_begin(blocks, n_parts, part + 1);
    if (is_far(&plan->geom)) {
        wino.stride == 1 ? turned_forms(1, 1, &wino, w, prepared, begin, end)
                         : turned_forms(1, 2, &wino, w, prepared, begin, end);
        vec_stream_end();
    } else {
        wino.stride == 1 ? turned_forms(0, 1, &wino, w, prepared, begin, end)
                         : turned_forms(0, 2, &wino, w, prepared, begin, end);
    }
}

/* ---------------------------------------------------------------- input */

/* What a prologue does to one vector of channels as it is loaded. */
typedef struct change {
    vec mean, scale, beta;
} change;

VEC_INLINE change change_of(const int affine, const cnnbn_prologue *in, ptrdiff_t c, ptrdiff_t lanes)
{
    change by = {vec_zero(), vec_zero(), vec_zero()};
    if (affine) {
        by.mean = vec_load_part(in->mean + c, lanes);
        by.scale = vec_load_part(in->scale + c, lanes);
        by.beta = vec_load_part(in->beta + c, lanes);
    }
    return by;
}

VEC_INLINE vec changed(const int affine, const int relu, const change *by, vec x)
{
    if (affine) x = vec_fma(x - by->mean, by->scale, by->beta);
    return relu ? vec_relu(x) : x;
}

/* B^T d B of one vector of channels, stride 1. Rows 1 to 4 first, then 0 and 5: fewer values are live at once. */
VEC_INLINE void input_vec_1(const int affine, const int relu, const change *by, const float *d, ptrdiff_t row,
                            ptrdiff_t pixel, float *v, ptrdiff_t plane)
{
    const vec k4 = vec_set1(4), k5 = vec_set1(5);
    vec inner[4][WINO_A], outer[2][WINO_A];
    VEC_UNROLL
    for (int j = 0; j < WINO_A; j++) {
        const float *p = d + j * pixel;
        vec d1 = changed(affine, relu, by, vec_load(p + row)), d2 = changed(affine, relu, by, vec_load(p + 2 * row));
        vec d3 = changed(affine, relu, by, vec_load(p + 3 * row)),
            d4 = changed(affine, relu, by, vec_load(p + 4 * row));
        vec t0 = vec_fnma(k4, d2, d4), t1 = vec_fnma(k4, d1, d3), t2 = d4 - d2, t3 = d3 - d1;
        t3 = t3 + t3;
        inner[0][j] = t0 + t1;
        inner[1][j] = t0 - t1;
        inner[2][j] = t2 + t3;
        inner[3][j] = t2 - t3;
    }
    VEC_UNROLL
    for (int i = 0; i < 4; i++) {
        vec b[WINO_A];
        wino_bt(1, inner[i], b);
        VEC_UNROLL
        for (int j = 0; j < WINO_A; j++) vec_store(v + ((i + 1) * WINO_A + j) * plane, b[j]);
    }
    VEC_UNROLL
    for (int j = 0; j < WINO_A; j++) {
        const float *p = d + j * pixel;
        vec e[WINO_A];
        VEC_UNROLL
        for (int i = 0; i < WINO_A; i++) e[i] = changed(affine, relu, by, vec_load(p + i * row));
        outer[0][j] = vec_fma(k4, e[0], vec_fnma(k5, e[2], e[4]));
        outer[1][j] = vec_fma(k4, e[1], vec_fnma(k5, e[3], e[5]));
    }
    VEC_UNROLL
    for (int i = 0; i < 2; i++) {
        vec b[WINO_A];
        wino_bt(1, outer[i], b);
        VEC_UNROLL
        for (int j = 0; j < WINO_A; j++) vec_store(v + (i * 5 * WINO_A + j) * plane, b[j]);
    }
}

/* Stride 2. Odd rows and columns pass as they are. */
VEC_INLINE void input_vec_2(const int affine, const int relu, const change *by, const float *d, ptrdiff_t row,
                            ptrdiff_t pixel, float *v, ptrdiff_t plane)
{
    enum { SPAN = WINO_SPAN_MAX };
    vec t[SPAN][SPAN];
    VEC_UNROLL
    for (int j = 0; j < SPAN; j++) {
        vec e[SPAN], b[SPAN];
        VEC_UNROLL
        for (int i = 0; i < SPAN; i++) e[i] = changed(affine, relu, by, vec_load(d + i * row + j * pixel));
        wino_bt(2, e, b);
        VEC_UNROLL
        for (int i = 0; i < SPAN; i++) t[i][j] = b[i];
    }
    VEC_UNROLL
    for (int i = 0; i < SPAN; i++) {
        vec b[SPAN];
        wino_bt(2, t[i], b);
        VEC_UNROLL
        for (int j = 0; j < SPAN; j++) vec_store(v + (i * SPAN + j) * plane, b[j]);
    }
}

VEC_INLINE void input_vec(const int stride, const int affine, const int relu, const change *by, const float *d,
                          ptrdiff_t row, ptrdiff_t pixel, float *v, ptrdiff_t plane)
{
    if (stride == 1)
        input_vec_1(affine, relu, by, d, row, pixel, v, plane);
    else
        input_vec_2(affine, relu, by, d, row, pixel, v, plane);
}

/* The pixels of a tile, as many as a row of it has times as many. */
typedef float gathered[WINO_SPAN_MAX * WINO_SPAN_MAX][VEC_LEN];

/* The transform of pixels that have been gathered. */
VEC_INLINE void input_gathered(const int stride, gathered d, float *v, ptrdiff_t plane)
{
    const change none = {vec_zero(), vec_zero(), vec_zero()};
    input_vec(stride, 0, 0, &none, d[0], wino_span(stride) * VEC_LEN, VEC_LEN, v, plane);
}

/* The pixels of a tile that lie in the image: rows [top, bottom), columns [left, right) of it. */
typedef struct inside {
    int top, bottom, left, right;
    const float *corner; /* of the tile, which may lie outside */
    ptrdiff_t row, pixel;
} inside;

/* One vector of channels of the tile by the prologue; zero outside of the image. */
VEC_INLINE void gather_vec(const int stride, const int affine, const int relu, const inside *at,
                           const cnnbn_prologue *in, ptrdiff_t c, ptrdiff_t lanes, gathered d)
{
    const int span = wino_span(stride);
    const change by = change_of(affine, in, c, lanes);
    for (int i = 0; i < span * span; i++) vec_store(d[i], vec_zero());
    for (int i = at->top; i < at->bottom; i++) {
        const float *p = at->corner + i * at->row + c;
        for (int j = at->left; j < at->right; j++) {
            vec x = lanes == VEC_LEN ? vec_load(p + j * at->pixel) : vec_load_part(p + j * at->pixel, lanes);
            vec_store(d[i * span + j], changed(affine, relu, &by, x));
        }
    }
}

static int is_whole(const inside *at, int span)
{
    return at->top == 0 && at->left == 0 && at->bottom == span && at->right == span;
}

/* A tile inside of the image is transformed as it is read; one at the border, and channels that fill no vector, are gathered. */
VEC_INLINE void load_by(const int stride, const int affine, const int relu, const inside *at, const cnnbn_prologue *in,
                        ptrdiff_t C, float *v, ptrdiff_t plane)
{
    _Alignas(64) gathered d;
    ptrdiff_t c = 0;
    if (is_whole(at, wino_span(stride)))
        for (; c + VEC_LEN <= C; c += VEC_LEN) {
            const change by = change_of(affine, in, c, VEC_LEN);
            input_vec(stride, affine, relu, &by, at->corner + c, at->row, at->pixel, v + c, plane);
        }
    for (; c < C; c += VEC_LEN) {
        if (c + VEC_LEN <= C)
            gather_vec(stride, affine, relu, at, in, c, VEC_LEN, d);
        else
            gather_vec(stride, affine, relu, at, in, c, C - c, d);
        input_gathered(stride, d, v + c, plane);
    }
}

/* One function for each kind of prologue and stride, so that none is asked about pixel by pixel. */
typedef void load_fn(const inside *at, const cnnbn_prologue *in, ptrdiff_t C, float *v, ptrdiff_t plane);
#define LOAD(name, stride, affine, relu)                                                                        \
    static void load_##name(const inside *at, const cnnbn_prologue *in, ptrdiff_t C, float *v, ptrdiff_t plane) \
    {                                                                                                           \
        load_by(stride, affine, relu, at, in, C, v, plane);                                                     \
    }
LOAD(plain_1, 1, 0, 0)
LOAD(relu_1, 1, 0, 1)
LOAD(affine_1, 1, 1, 0)
LOAD(affine_relu_1, 1, 1, 1)
LOAD(plain_2, 2, 0, 0)
LOAD(relu_2, 2, 0, 1)
LOAD(affine_2, 2, 1, 0)
LOAD(affine_relu_2, 2, 1, 1)
static load_fn *const loads[2][2][2] = {{{load_plain_1, load_relu_1}, {load_affine_1, load_affine_relu_1}},
                                        {{load_plain_2, load_relu_2}, {load_affine_2, load_affine_relu_2}}};

/* Activations that are no single instruction: on the pixels of the image, a vector at a time. */
VEC_INLINE void load_apart(const int stride, const inside *at, const cnnbn_prologue *in, ptrdiff_t C, float *v,
                           ptrdiff_t plane)
{
    _Alignas(64) gathered d;
    for (ptrdiff_t c = 0; c < C; c += VEC_LEN) {
        ptrdiff_t lanes = vec_lanes(C, c);
        if (in->mean)
            gather_vec(stride, 1, 0, at, in, c, lanes, d);
        else
            gather_vec(stride, 0, 0, at, in, c, lanes, d);
        for (int i = at->top; i < at->bottom; i++)
            for (int j = at->left; j < at->right; j++) {
                float *pixel = d[i * wino_span(stride) + j];
                EW(act_fwd)((size_t)lanes, in->act, pixel, pixel);
            }
        input_gathered(stride, d, v + c, plane);
    }
}

void wino_load_tile(const cnnbn__wino *w, const float *sample, const cnnbn_prologue *in, int i, int j, float *v,
                    ptrdiff_t plane)
{
    const cnnbn_conv_geom *g = w->g;
    const int step = WINO_M * w->stride, h0 = i * step - g->pad_top, w0 = j * step - g->pad_left;
    const inside at = {
        .top = h0 < 0 ? -h0 : 0,
        .bottom = g->H - h0 < w->span ? g->H - h0 : w->span,
        .left = w0 < 0 ? -w0 : 0,
        .right = g->W - w0 < w->span ? g->W - w0 : w->span,
        .corner = sample + ((ptrdiff_t)h0 * g->W + w0) * g->C,
        .row = (ptrdiff_t)g->W * g->C,
        .pixel = g->C,
    };
    if (!act_is_apart(in->act))
        loads[w->stride - 1][in->mean != NULL][act_is_relu(in->act)](&at, in, g->C, v, plane);
    else if (w->stride == 1)
        load_apart(1, &at, in, g->C, v, plane);
    else
        load_apart(2, &at, in, g->C, v, plane);
}

/* ---------------------------------------------------------------- products */

void wino_products(const cnnbn__wino *w, const cnnbn__wino_product *p, cnnbn__fetch *fetch)
{
    const cnnbn__mul m = {.lda = p->lda, .ldc = p->ldc, .n_outer = 1, .n_inner = 1, .n_k = p->n_k};
    const ptrdiff_t step = tile_rows(p->n, VEC_MUL_ROWS), panels = (p->n_cols + TILE_COLS - 1) / TILE_COLS;
    fetch_over(fetch, w->places * panels * ((p->n + step - 1) / step));
    for (int q = 0; q < WINO_Q; q++)
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
