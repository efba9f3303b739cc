/* Winograd, backward data and weights: one transform of dY and one pass over tiles for both. Sums over the tiles of a slice
 * run on from block to block, so that blocks change no bits; a block never holds a part of one slice and a part of another. */
#include "conv_behind.h"
#include "conv_winograd.h"
#include "stack.h"

/* Float sums of dy over so many tiles of a slice are flushed to double. */
enum { BIAS_TILES = 16, JOIN_STRIP = 8 * JOIN_ROWS };

typedef struct backward backward;
struct backward {
    const cnnbn_conv_bwd *args;
    void (*dy_tile)(const backward *b, cnnbn__wino_at at, float *m); /* by what stands behind */
    const cnnbn__wino *w;
    float *v, *m; /* blocks */
    ptrdiff_t plane_v, plane_m;
    float *u;       /* sums in the Winograd domain: a slice's, or one tile of them */
    float *stack;   /* of one tile of dw; join only */
    float *bias;    /* [cols_k] */
    double *bias64; /* [cols_k] */
    int height_b;
    ptrdiff_t all; /* tiles of the call */
};

/* ---------------------------------------------------------------- dY */

/* A dY A^T of one vector; adds the tile's sum, which is position (1, 1), to *sum. x: with a batch norm behind. */
VEC_INLINE void dy_vec(const int kind, const behind_kind by, const behind_norm *n, const float *dz, const float *x,
                       ptrdiff_t row, ptrdiff_t pixel, float *m, ptrdiff_t plane, float *sum)
{
    const int span = wino_span(kind), outputs = wino_outputs(kind);
    vec t[WINO_SPAN_MAX][WINO_OUTPUTS_MAX];
    VEC_UNROLL
    for (int j = 0; j < outputs; j++) {
        vec y[WINO_OUTPUTS_MAX], b[WINO_SPAN_MAX];
        const float *g = dz + j * pixel, *here = x + j * pixel;
        VEC_OPAQUE(g);
        VEC_OPAQUE(here);
        VEC_UNROLL
        for (int i = 0; i < outputs; i++)
            y[i] = behind_gradient(by, n, vec_load(g + i * row), by.norm ? vec_load(here + i * row) : vec_zero());
        wino_a(kind, y, b);
        VEC_UNROLL
        for (int i = 0; i < span; i++) t[i][j] = b[i];
    }
    VEC_UNROLL
    for (int i = 0; i < span; i++) {
        vec b[WINO_SPAN_MAX];
        wino_a(kind, t[i], b);
        if (i == 1) vec_store(sum, vec_load(sum) + b[1]);
        float *to = m + i * (span * plane);
        VEC_OPAQUE(to);
        VEC_UNROLL
        for (int j = 0; j < span; j++) vec_store(to + j * plane, b[j]);
    }
}

VEC_INLINE void dy_tile_by(const int kind, const behind_kind by, const backward *b, cnnbn__wino_at at, float *m)
{
    const cnnbn_conv_geom *g = b->w->g;
    const int outputs = wino_outputs(kind), p = at.i * outputs, q = at.j * outputs;
    const int rows = g->P - p < outputs ? g->P - p : outputs, cols = g->Q - q < outputs ? g->Q - q : outputs;
    const ptrdiff_t corner = ((at.sample * g->P + p) * g->Q + q) * g->K, row = (ptrdiff_t)g->Q * g->K;
    const float *dz = b->args->dy + corner, *x = by.norm ? b->args->behind->x + corner : dz;
    ptrdiff_t k = 0;
    if (rows == outputs && cols == outputs)
        for (; k + VEC_LEN <= g->K; k += VEC_LEN) {
            const behind_norm n = behind_load(by, b->args->behind, k, VEC_LEN);
            dy_vec(kind, by, &n, dz + k, x + k, row, g->K, m + k, b->plane_m, b->bias + k);
        }
    for (; k < g->K; k += VEC_LEN) {
        _Alignas(64) float part[WINO_OUTPUTS_MAX][WINO_OUTPUTS_MAX][VEC_LEN];
        const ptrdiff_t lanes = vec_lanes(g->K, k);
        const behind_norm n = behind_load(by, b->args->behind, k, lanes);
        for (int i = 0; i < outputs; i++)
            for (int j = 0; j < outputs; j++) {
                const ptrdiff_t pixel = i * row + (ptrdiff_t)j * g->K + k;
                vec y = vec_zero();
                if (i < rows && j < cols)
                    y = behind_gradient(by, &n, vec_load_part(dz + pixel, lanes),
                                        by.norm ? vec_load_part(x + pixel, lanes) : vec_zero());
                vec_store(part[i][j], y);
            }
        dy_vec(kind, (behind_kind){0, 0, 0}, &n, part[0][0], part[0][0], WINO_OUTPUTS_MAX * VEC_LEN, VEC_LEN, m + k,
               b->plane_m, b->bias + k);
    }
}

typedef void dy_tile_fn(const backward *b, cnnbn__wino_at at, float *m);
#define DY_TILE(kind, name, norm, act_relu, pre_relu)                                   \
    static void dy_tile_##kind##_##name(const backward *b, cnnbn__wino_at at, float *m) \
    {                                                                                   \
        dy_tile_by(kind, (behind_kind){norm, act_relu, pre_relu}, b, at, m);            \
    }
#define DY_TILE_0(name, norm, act_relu, pre_relu) DY_TILE(0, name, norm, act_relu, pre_relu)
#define DY_TILE_1(name, norm, act_relu, pre_relu) DY_TILE(1, name, norm, act_relu, pre_relu)
#define DY_TILE_2(name, norm, act_relu, pre_relu) DY_TILE(2, name, norm, act_relu, pre_relu)
BEHIND_EACH(DY_TILE_0)
BEHIND_EACH(DY_TILE_1)
BEHIND_EACH(DY_TILE_2)
#define DY_ENTRY_0(name, norm, act_relu, pre_relu) dy_tile_0_##name,
#define DY_ENTRY_1(name, norm, act_relu, pre_relu) dy_tile_1_##name,
#define DY_ENTRY_2(name, norm, act_relu, pre_relu) dy_tile_2_##name,
static dy_tile_fn *const dy_tiles[WINO_KINDS][5] = {
    {BEHIND_EACH(DY_ENTRY_0)}, {BEHIND_EACH(DY_ENTRY_1)}, {BEHIND_EACH(DY_ENTRY_2)}};

static void bias_clear(const backward *b)
{
    for (ptrdiff_t k = 0; k < b->w->cols_k; k++) {
        b->bias[k] = 0.0f;
        b->bias64[k] = 0.0;
    }
}

static void bias_flush(const backward *b)
{
    for (ptrdiff_t k = 0; k < b->w->cols_k; k++) {
        b->bias64[k] += (double)b->bias[k];
        b->bias[k] = 0.0f;
    }
}

static void bias_push(backward *b, int s)
{
    size_t K = (size_t)b->w->g->K;
    bias_flush(b);
    if (b->args->db) {
        float *db = b->args->db + (size_t)b->height_b * b->args->db_stride;
        for (size_t k = 0; k < K; k++) db[k] = (float)b->bias64[k];
        b->height_b = cnnbn__stack_push_f32(b->args->run, s, b->height_b, K, b->args->db, b->args->db_stride);
    }
    bias_clear(b);
}

/* Transforms n tiles from `tile` on, which is number `in_slice` of its slice. */
static void transform(const backward *b, ptrdiff_t tile, ptrdiff_t n, ptrdiff_t in_slice, ptrdiff_t at_row)
{
    const cnnbn__wino *w = b->w;
    if (b->args->dw) wino_load_tiles(w, b->args->x, &b->args->in, tile, n, b->v + at_row * w->ld_c, b->plane_v);
    for (ptrdiff_t t = 0; t < n; t++) {
        b->dy_tile(b, wino_at(w, tile + t), b->m + (at_row + t) * w->ld_k);
        if ((in_slice + t) % BIAS_TILES == BIAS_TILES - 1) bias_flush(b);
    }
}

/* ---------------------------------------------------------------- data */

/* The next block's dy, which is transformed first but one. */
static void next_dy(const backward *b, ptrdiff_t tile, cnnbn__fetch *fetch)
{
    ptrdiff_t left = b->all - tile, n = left < b->w->bwd_block ? left : b->w->bwd_block;
    wino_rows_out(b->w, tile, n, b->args->dy, &fetch->read, &fetch->read_end);
    if (b->args->behind) wino_rows_out(b->w, tile, n, b->args->behind->x, &fetch->also, &fetch->also_end);
}

static void next_x(const backward *b, ptrdiff_t tile, cnnbn__fetch *fetch)
{
    ptrdiff_t left = b->all - tile, n = left < b->w->bwd_block ? left : b->w->bwd_block;
    wino_rows_in(b->w, tile, n, b->args->x, &fetch->read, &fetch->read_end);
}

/* dx of n tiles from `tile` on; V is overwritten. */
static void data(const backward *b, ptrdiff_t tile, ptrdiff_t n)
{
    const cnnbn__wino *w = b->w;
    const cnnbn__wino_product product = {
        n, w->g->K, w->cols_c, b->m, w->ld_k, b->plane_m, b->args->prepared, w->plane_ut, b->v, w->ld_c, b->plane_v};
    cnnbn__fetch fetch = {0};
    wino_rows_in(w, tile, n, b->args->dx, &fetch.write, &fetch.write_end);
    next_dy(b, tile + n, &fetch);
    wino_products(w, &product, &fetch);
    wino_add_tiles(w, b->args->dx, tile, n, b->v, b->plane_v);
}

/* ---------------------------------------------------------------- weights */

/* G^T u G of one vector. */
VEC_INLINE void back_vec(const int kind, const float *u, ptrdiff_t plane, float *dw, ptrdiff_t tap, ptrdiff_t lanes)
{
    const int axis = wino_axis(kind);
    vec t[3][WINO_AXIS_MAX];
    VEC_UNROLL
    for (int j = 0; j < axis; j++) {
        vec a[WINO_AXIS_MAX], b[3];
        const float *from = u + j * plane;
        VEC_OPAQUE(from);
        VEC_UNROLL
        for (int i = 0; i < axis; i++) a[i] = vec_load(from + i * (axis * plane));
        wino_gt(kind, a, b);
        VEC_UNROLL
        for (int i = 0; i < 3; i++) t[i][j] = b[i];
    }
    VEC_UNROLL
    for (int i = 0; i < 3; i++) {
        vec b[3];
        wino_gt(kind, t[i], b);
        VEC_UNROLL
        for (int j = 0; j < 3; j++) vec_store_part(dw + (i * 3 + j) * tap, b[j], lanes);
    }
}

/* Position q's sum is over its places: what tmul has to know of them, and the first. */
static ptrdiff_t sum_places(const backward *b, int q, cnnbn__tmul *m)
{
    const cnnbn__wino_places at = wino_places(b->w, q);
    m->lda = b->w->ld_c;
    m->ldb = b->w->ld_k;
    m->n_outer = at.rows;
    m->n_inner = at.cols;
    m->a_outer = b->w->span * b->plane_v;
    m->a_inner = b->plane_v;
    m->b_outer = b->w->span * b->plane_m;
    m->b_inner = b->plane_m;
    return at.first;
}

/* Sums of a slice: u[q] (+)= V^T M over n tiles. */
static void add_tiles(const backward *b, ptrdiff_t tile, ptrdiff_t n, int add)
{
    const cnnbn__wino *w = b->w;
    const ptrdiff_t plane = wino_plane(w->g->C, w->cols_k);
    cnnbn__tmul m = {.ldc = w->cols_k, .n_t = n, .add = add};
    const ptrdiff_t C = w->g->C, step = tile_rows(C, VEC_TMUL_ROWS);
    cnnbn__fetch fetch = {0};
    next_x(b, tile + n, &fetch);
    fetch_over(&fetch, w->positions * ((w->cols_k + TILE_COLS - 1) / TILE_COLS) * ((C + step - 1) / step));
    for (int q = 0; q < w->positions; q++)
        for (ptrdiff_t k = 0; k < w->cols_k; k += TILE_COLS) {
            const ptrdiff_t first = sum_places(b, q, &m);
            ptrdiff_t cols = w->cols_k - k < TILE_COLS ? w->cols_k - k : TILE_COLS;
            for (ptrdiff_t c = 0; c < C; c += step) {
                ptrdiff_t rows = C - c < step ? C - c : step;
                tmul_tiles[cols > VEC_LEN][rows - 1](&m, b->v + first * b->plane_v + c, b->m + first * b->plane_m + k,
                                                     b->u + q * plane + c * w->cols_k + k, cols);
                fetch_some(&fetch);
            }
        }
}

/* dw of rows x cols pairs of channels, whose sums have rows of ld_u floats. */
VEC_INLINE void back_by(const int kind, ptrdiff_t rows, ptrdiff_t cols, const float *u, ptrdiff_t ld_u, ptrdiff_t plane,
                        float *dw, ptrdiff_t ld_dw, ptrdiff_t tap)
{
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < cols; j += VEC_LEN)
            back_vec(kind, u + i * ld_u + j, plane, dw + i * ld_dw + j, tap, vec_lanes(cols, j));
}

static void back(const cnnbn__wino *w, ptrdiff_t rows, ptrdiff_t cols, const float *u, ptrdiff_t ld_u, ptrdiff_t plane,
                 float *dw, ptrdiff_t ld_dw, ptrdiff_t tap)
{
    WINO_BY_KIND(w->kind, back_by, rows, cols, u, ld_u, plane, dw, ld_dw, tap);
}

static void write_slice(const backward *b, float *dw)
{
    const ptrdiff_t C = b->w->g->C, K = b->w->g->K;
    back(b->w, C, K, b->u, b->w->cols_k, wino_plane(C, b->w->cols_k), dw, K, C * K);
}

/* dw of a slice that is one block, from its n tiles. */
static void add_parts(const backward *b, ptrdiff_t tile, ptrdiff_t n, float *dw)
{
    const cnnbn__wino *w = b->w;
    const ptrdiff_t C = w->g->C, K = w->g->K, plane = PART_ROWS * TILE_COLS;
    cnnbn__tmul m = {.ldc = TILE_COLS, .n_t = n};
    cnnbn__fetch fetch = {0};
    next_x(b, tile + n, &fetch);
    fetch_over(&fetch, w->positions * ((C + PART_ROWS - 1) / PART_ROWS) * ((K + TILE_COLS - 1) / TILE_COLS));
    for (ptrdiff_t c0 = 0; c0 < C; c0 += PART_ROWS)
        for (ptrdiff_t k = 0; k < K; k += TILE_COLS) {
            const ptrdiff_t rows = C - c0 < PART_ROWS ? C - c0 : PART_ROWS,
                            cols = K - k < TILE_COLS ? K - k : TILE_COLS;
            for (int q = 0; q < w->positions; q++) {
                const ptrdiff_t first = sum_places(b, q, &m);
                tmul_panel(&m, rows, b->v + first * b->plane_v + c0, b->m + first * b->plane_m + k, b->u + q * plane,
                           vec_round_up(cols));
                fetch_some(&fetch);
            }
            back(w, rows, cols, b->u, TILE_COLS, plane, dw + c0 * K + k, K, C * K);
        }
}

static double add_lanes(vec x)
{
    double sum = 0;
    for (int i = 0; i < VEC_LEN; i++) sum += (double)x[i];
    return sum;
}

/* What a batch norm in front wants, from the slice's dw and its sum of dy (bias64). */
static void slice_sums(const backward *b, const float *dw, double *sums)
{
    const ptrdiff_t C = b->w->g->C, K = b->w->g->K;
    for (ptrdiff_t c = 0; c < C; c++) {
        vec g = vec_zero(), gx = vec_zero();
        for (ptrdiff_t k = 0; k < K; k += VEC_LEN) {
            const ptrdiff_t lanes = vec_lanes(K, k);
            vec taps = vec_zero(), db = vec_zero();
            for (ptrdiff_t tap = 0; tap < 9; tap++) {
                vec w = vec_load_part(b->args->w + (tap * C + c) * K + k, lanes);
                gx = vec_fma(w, vec_load_part(dw + (tap * C + c) * K + k, lanes), gx);
                taps = taps + w;
            }
            for (ptrdiff_t i = 0; i < lanes; i++) db[i] = (float)b->bias64[k + i];
            g = vec_fma(taps, db, g);
        }
        sums[c] = add_lanes(g);
        sums[C + c] = add_lanes(gx);
    }
}

/* dw's stack is the caller's. */
static void by_slices(backward *b)
{
    const cnnbn__wino *w = b->w;
    const cnnbn_run *run = b->args->run;
    const size_t n_dw = 9 * (size_t)w->g->C * (size_t)w->g->K;
    int height = 0;
    for (int s = 0; s < run->n_slices; s++) {
        ptrdiff_t begin = (ptrdiff_t)run->bounds[s] * w->tiles, end = (ptrdiff_t)run->bounds[s + 1] * w->tiles;
        float *dw = b->args->dw ? b->args->dw + (size_t)height * b->args->dw_stride : NULL;
        for (ptrdiff_t tile = begin; tile < end; tile += w->bwd_block) {
            ptrdiff_t n = end - tile < w->bwd_block ? end - tile : w->bwd_block;
            transform(b, tile, n, tile - begin, 0);
            if (dw && w->sums == WINO_SUMS_PARTS) add_parts(b, tile, n, dw);
            if (dw && w->sums == WINO_SUMS_WHOLE) add_tiles(b, tile, n, tile > begin);
            if (b->args->dx) data(b, tile, n);
        }
        if (!dw) {
            bias_push(b, s);
            continue;
        }
        if (end == begin)
            memset(dw, 0, n_dw * sizeof *dw);
        else if (w->sums == WINO_SUMS_WHOLE)
            write_slice(b, dw);
        if (b->args->bn_sums) {
            bias_flush(b);
            slice_sums(b, dw, b->args->bn_sums + (size_t)height * b->args->bn_sums_stride);
            (void)cnnbn__stack_push_f64(run, s, height, 2 * (size_t)w->g->C, b->args->bn_sums, b->args->bn_sums_stride);
        }
        bias_push(b, s);
        height = cnnbn__stack_push_f32(run, s, height, n_dw, b->args->dw, b->args->dw_stride);
    }
}

/* What position q's sums read of n tiles: so few rows at a place that only we know the next ones. */
static void fetch_sums(const backward *b, int q, const float *v, const float *d, ptrdiff_t n, ptrdiff_t width)
{
    const cnnbn__wino *w = b->w;
    const cnnbn__wino_places at = wino_places(w, q);
    for (int r = 0; r < at.rows * at.cols; r++) {
        const ptrdiff_t place = wino_place(w, at, r);
        for (ptrdiff_t t = 0; t < n; t++) {
            const float *row = d + place * b->plane_m + t * w->ld_k;
            __builtin_prefetch(v + place * b->plane_v + t * w->ld_c, 0, 3);
            __builtin_prefetch(row, 0, 3);
            __builtin_prefetch(row + width - VEC_LEN, 0, 3);
        }
    }
}

/* A tile of dw, rows [c, c + rows) and columns [k, k + cols): its partial sums of the slices [s0, s1), whose tiles are rows
 * of V and M, are joined in L1. Entries from `height` on are the tile's own, those below are in the caller's stack; a merge
 * may reach down into them. */
static void join_tile(const backward *b, int s0, int s1, int height, ptrdiff_t c, ptrdiff_t rows, ptrdiff_t k,
                      ptrdiff_t cols)
{
    const cnnbn__wino *w = b->w;
    const cnnbn_run *run = b->args->run;
    const ptrdiff_t width = vec_round_up(cols), plane = JOIN_ROWS * TILE_COLS, entry = 9 * plane;
    const ptrdiff_t tap = (ptrdiff_t)w->g->C * w->g->K;
    cnnbn__tmul m = {.ldc = width};
    float *const lowest = b->stack;
    for (ptrdiff_t r = 0; r < 9; r++)
        for (ptrdiff_t i = 0; i < rows; i++) {
            const float *dw = b->args->dw + (size_t)height * b->args->dw_stride + r * tap + (c + i) * w->g->K + k;
            __builtin_prefetch(dw, 1, 2);
            __builtin_prefetch(dw + cols - 1, 1, 2);
        }
    int base = height, top = height; /* entries [base, top) are here, from `lowest` on */
    for (int s = s0; s < s1; s++) {
        float *here = lowest + (top - base) * entry;
        ptrdiff_t row = (ptrdiff_t)(run->bounds[s] - run->bounds[s0]) * w->tiles;
        m.n_t = (ptrdiff_t)(run->bounds[s + 1] - run->bounds[s]) * w->tiles;
        const float *v = b->v + row * w->ld_c + c, *d = b->m + row * w->ld_k + k;
        for (int q = 0; q < w->positions; q++) {
            if (q + 1 < w->positions) fetch_sums(b, q + 1, v, d, m.n_t, width);
            const ptrdiff_t first = sum_places(b, q, &m);
            tmul_tiles[width > VEC_LEN][rows - 1](&m, v + first * b->plane_v, d + first * b->plane_m, b->u + q * plane,
                                                  width);
        }
        back(w, rows, width, b->u, width, plane, here, width, plane);
        top++;
        for (int merge = run->n_merge[s]; merge > 0; merge--, top--) {
            float *upper = lowest + (top - 1 - base) * entry;
            if (top - 1 > base) {
                float *lower = upper - entry;
                for (ptrdiff_t r = 0; r < 9; r++)
                    for (ptrdiff_t i = 0; i < rows * width; i += VEC_LEN)
                        vec_store(lower + r * plane + i,
                                  vec_load(lower + r * plane + i) + vec_load(upper + r * plane + i));
                continue;
            }
            const float *lower = b->args->dw + (size_t)(base - 1) * b->args->dw_stride;
            for (ptrdiff_t r = 0; r < 9; r++)
                for (ptrdiff_t i = 0; i < rows; i++)
                    for (ptrdiff_t j = 0; j < width; j += VEC_LEN) {
                        float *to = upper + r * plane + i * width + j;
                        ptrdiff_t lanes = vec_lanes(cols, j);
                        vec_store(to, vec_load_part(lower + r * tap + (c + i) * w->g->K + k + j, lanes) + vec_load(to));
                    }
            base--; /* the entry takes its place */
        }
    }
    for (int e = base; e < top; e++) {
        float *dw = b->args->dw + (size_t)e * b->args->dw_stride;
        for (ptrdiff_t r = 0; r < 9; r++)
            for (ptrdiff_t i = 0; i < rows; i++)
                memcpy(dw + r * tap + (c + i) * w->g->K + k, lowest + (e - base) * entry + r * plane + i * width,
                       (size_t)cols * sizeof *dw);
    }
}

/* Channels in strips whose V stays in L2 while all of M passes. */
static void join_block(const backward *b, int s0, int s1, int height)
{
    const ptrdiff_t C = b->w->g->C, K = b->w->g->K;
    for (ptrdiff_t c0 = 0; c0 < C; c0 += JOIN_STRIP)
        for (ptrdiff_t k = 0; k < K; k += TILE_COLS)
            for (ptrdiff_t c = c0; c < C && c < c0 + JOIN_STRIP; c += JOIN_ROWS)
                join_tile(b, s0, s1, height, c, C - c < JOIN_ROWS ? C - c : JOIN_ROWS, k,
                          K - k < TILE_COLS ? K - k : TILE_COLS);
}

/* Slices of few tiles: blocks of whole slices, so that neither the weights nor their gradient stream once a slice. */
static void by_joining(backward *b)
{
    const cnnbn__wino *w = b->w;
    const cnnbn_run *run = b->args->run;
    int height = 0;
    for (int s0 = 0, s1 = 0; s0 < run->n_slices; s0 = s1) {
        ptrdiff_t begin = (ptrdiff_t)run->bounds[s0] * w->tiles;
        do {
            ptrdiff_t tile = (ptrdiff_t)run->bounds[s1] * w->tiles, end = (ptrdiff_t)run->bounds[s1 + 1] * w->tiles;
            transform(b, tile, end - tile, 0, tile - begin);
            bias_push(b, s1++);
        } while (s1 < run->n_slices && (ptrdiff_t)run->bounds[s1 + 1] * w->tiles - begin <= w->bwd_block);
        if (b->args->dw) {
            join_block(b, s0, s1, height);
            for (int s = s0; s < s1; s++) height += 1 - run->n_merge[s];
        }
        if (b->args->dx) data(b, begin, (ptrdiff_t)run->bounds[s1] * w->tiles - begin);
    }
}

void winograd_bwd(const cnnbn_conv_plan *plan, const cnnbn_conv_bwd *args)
{
    cnnbn__wino w;
    wino_of(plan, &w);
    backward b = {
        .args = args, .w = &w, .plane_v = wino_plane(w.bwd_block, w.ld_c), .plane_m = wino_plane(w.bwd_block, w.ld_k)};
    b.bias64 = (double *)(void *)args->workspace;
    b.bias = args->workspace + 2 * w.cols_k;
    b.v = args->workspace + (3 * w.cols_k + 15) / 16 * 16;
    b.m = b.v + w.places * b.plane_v;
    b.u = b.m + w.places * b.plane_m;
    b.stack = b.u + w.positions * JOIN_ROWS * TILE_COLS;
    b.all = args->run->n_slices ? (ptrdiff_t)args->run->bounds[args->run->n_slices] * w.tiles : 0;
    b.dy_tile = dy_tiles[w.kind][behind_index(args->behind)];
    bias_clear(&b);
    if (w.sums == WINO_SUMS_JOINED)
        by_joining(&b);
    else
        by_slices(&b);
}
