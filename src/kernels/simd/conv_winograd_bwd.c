/* Winograd, backward data and weights: one transform of dY and one pass over tiles for both. Sums over the tiles of a slice
 * run on from block to block, so that blocks change no bits; a block never holds a part of one slice and a part of another. */
#include "conv_behind.h"
#include "conv_winograd.h"
#include "stack.h"

/* BIAS_TILES: float sums of dy over so many tiles of a slice are flushed to double. BLOCKS_MAX: more than a slice that is summed in parts has,
 * 16 of at most SLICE_TILES tiles. */
enum { BIAS_TILES = 16, JOIN_STRIP = 8 * JOIN_ROWS, BLOCKS_MAX = 32 };

/* Blocks of a slice, one behind the other, that are in V and M at once: one, but of mixed shapes, whose blocks are small. Of these, as many
 * as are alike and neighbours are one run, whose tiles are summed by one call. */
typedef struct stretch {
    int n, n_runs;
    cnnbn__wino_block block[BLOCKS_MAX];
    ptrdiff_t row[BLOCKS_MAX]; /* of V and M, where its tiles begin */
    ptrdiff_t rows;
    int first[BLOCKS_MAX + 1]; /* block of each run; then n */
} stretch;

typedef struct backward backward;
typedef void dy_tile_fn(const backward *b, const cnnbn__wino_tile *at, float *m);
struct backward {
    const cnnbn_conv_bwd *args;
    dy_tile_fn *const *dy_tile; /* by shape, of what stands behind */
    const cnnbn__wino *w;
    float *v, *m; /* of a stretch, or of several slices that are joined */
    ptrdiff_t plane_v, plane_m;
    float *u;       /* sums in the Winograd domain: a slice's, or one tile of them */
    float *stack;   /* of one tile of dw; join only */
    float *bias;    /* [cols_k] */
    double *bias64; /* [cols_k] */
    int height_b;
};

/* ---------------------------------------------------------------- dY */

/* A dY A^T of one vector; adds the tile's sum, which is position (1, 1), to *sum. x: with a batch norm behind. */
VEC_INLINE void dy_vec(const int shape, const behind_kind by, const behind_norm *n, const float *dz, const float *x,
                       ptrdiff_t row, ptrdiff_t pixel, float *m, ptrdiff_t plane, ptrdiff_t pitch, float *sum)
{
    const int down = wino_down(shape), across = wino_across(shape);
    const int n_down = wino_span(down), n_across = wino_span(across);
    vec t[WINO_PLACES_MAX][WINO_OUTPUTS_MAX];
    VEC_UNROLL
    for (int j = 0; j < wino_outputs(across); j++) {
        vec y[WINO_OUTPUTS_MAX], b[WINO_PLACES_MAX];
        const float *g = dz + j * pixel, *here = x + j * pixel;
        VEC_OPAQUE(g);
        VEC_OPAQUE(here);
        VEC_UNROLL
        for (int i = 0; i < wino_outputs(down); i++)
            y[i] = behind_gradient(by, n, vec_load(g + i * row), by.norm ? vec_load(here + i * row) : vec_zero());
        wino_a(down, y, b);
        VEC_UNROLL
        for (int i = 0; i < n_down; i++) t[i][j] = b[i];
    }
    VEC_UNROLL
    for (int i = 0; i < n_down; i++) {
        vec b[WINO_PLACES_MAX];
        wino_a(across, t[i], b);
        if (i == 1) vec_store(sum, vec_load(sum) + b[1]);
        float *to = m + i * (pitch * plane);
        VEC_OPAQUE(to);
        VEC_UNROLL
        for (int j = 0; j < n_across; j++) vec_store(to + j * plane, b[j]);
    }
}

VEC_INLINE void dy_tile_by(const int shape, const behind_kind by, const backward *b, const cnnbn__wino_tile *at,
                           float *m)
{
    const cnnbn_conv_geom *g = b->w->g;
    const int n_down = wino_outputs(wino_down(shape)), n_across = wino_outputs(wino_across(shape));
    const int rows = wino_within(g->P - at->p, n_down), cols = wino_within(g->Q - at->q, n_across);
    const ptrdiff_t corner = (((ptrdiff_t)at->sample * g->P + at->p) * g->Q + at->q) * g->K,
                    row = (ptrdiff_t)g->Q * g->K, pitch = wino_pitch(shape, b->w->across.places);
    const float *dz = b->args->dy + corner, *x = by.norm ? b->args->behind->x + corner : dz;
    ptrdiff_t k = 0;
    if (rows == n_down && cols == n_across)
        for (; k + VEC_LEN <= g->K; k += VEC_LEN) {
            const behind_norm n = behind_load(by, b->args->behind, k, VEC_LEN);
            dy_vec(shape, by, &n, dz + k, x + k, row, g->K, m + k, b->plane_m, pitch, b->bias + k);
        }
    for (; k < g->K; k += VEC_LEN) {
        _Alignas(64) float part[WINO_OUTPUTS_MAX][WINO_OUTPUTS_MAX][VEC_LEN];
        const ptrdiff_t lanes = vec_lanes(g->K, k);
        const behind_norm n = behind_load(by, b->args->behind, k, lanes);
        for (int i = 0; i < n_down; i++)
            for (int j = 0; j < n_across; j++) {
                const ptrdiff_t pixel = i * row + (ptrdiff_t)j * g->K + k;
                vec y = vec_zero();
                if (i < rows && j < cols)
                    y = behind_gradient(by, &n, vec_load_part(dz + pixel, lanes),
                                        by.norm ? vec_load_part(x + pixel, lanes) : vec_zero());
                vec_store(part[i][j], y);
            }
        dy_vec(shape, (behind_kind){0, 0, 0}, &n, part[0][0], part[0][0], WINO_OUTPUTS_MAX * VEC_LEN, VEC_LEN, m + k,
               b->plane_m, pitch, b->bias + k);
    }
}

#define DY_TILE(shape, name, norm, act_relu, pre_relu)                                            \
    static void dy_tile_##shape##_##name(const backward *b, const cnnbn__wino_tile *at, float *m) \
    {                                                                                             \
        dy_tile_by(shape, (behind_kind){norm, act_relu, pre_relu}, b, at, m);                     \
    }
#define DY_TILES(name, norm, act_relu, pre_relu) \
    DY_TILE(0, name, norm, act_relu, pre_relu)   \
    DY_TILE(1, name, norm, act_relu, pre_relu)   \
    DY_TILE(2, name, norm, act_relu, pre_relu)   \
    DY_TILE(3, name, norm, act_relu, pre_relu)   \
    DY_TILE(4, name, norm, act_relu, pre_relu) DY_TILE(5, name, norm, act_relu, pre_relu)
BEHIND_EACH(DY_TILES)
#define DY_ENTRY(name, norm, act_relu, pre_relu) \
    {dy_tile_0_##name, dy_tile_1_##name, dy_tile_2_##name, dy_tile_3_##name, dy_tile_4_##name, dy_tile_5_##name},
static dy_tile_fn *const dy_tiles[5][WINO_SHAPES] = {BEHIND_EACH(DY_ENTRY)};

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

/* Transforms a block, whose first tile is number `in_slice` of its slice, into the rows of V and M from at_row on. */
static void transform(const backward *b, const cnnbn__wino_block *block, ptrdiff_t in_slice, ptrdiff_t at_row)
{
    const cnnbn__wino *w = b->w;
    if (b->args->dw) wino_load_tiles(w, b->args->x, &b->args->in, block, b->v + at_row * w->ld_c, b->plane_v);
    cnnbn__wino_tile at = block->begin;
    for (ptrdiff_t t = 0; t < block->n; t++, wino_go_on(w, block, 1, &at)) {
        b->dy_tile[at.shape](b, &at, b->m + (at_row + t) * w->ld_k);
        if ((in_slice + t) % BIAS_TILES == BIAS_TILES - 1) bias_flush(b);
    }
}

/* ---------------------------------------------------------------- data */

/* dx of a block whose tiles are rows of M from `row` on; V is overwritten. next: a block of the next stretch, whose dy is
 * fetched; or NULL. */
static void data(const backward *b, const cnnbn__wino_block *block, ptrdiff_t row, const cnnbn__wino_block *next)
{
    const cnnbn__wino *w = b->w;
    float *v = b->v + row * w->ld_c;
    const cnnbn__wino_product product = {w->g->K,    w->cols_c,         b->m + row * w->ld_k, w->ld_k,
                                         b->plane_m, b->args->prepared, w->plane_ut,          v,
                                         w->ld_c,    b->plane_v};
    cnnbn__fetch fetch = {0};
    wino_memory(w, block, 1, b->args->dx, &fetch.write, &fetch.write_end);
    if (next) wino_memory(w, next, 0, b->args->dy, &fetch.read, &fetch.read_end);
    if (next && b->args->behind) wino_memory(w, next, 0, b->args->behind->x, &fetch.also, &fetch.also_end);
    wino_products(w, block, &product, &fetch);
    wino_add_tiles(w, b->args->dx, block, v, b->plane_v);
}

/* ---------------------------------------------------------------- weights */

/* G^T u G of one vector. */
VEC_INLINE void back_vec(const int shape, const float *u, ptrdiff_t plane, float *dw, ptrdiff_t tap, ptrdiff_t lanes)
{
    const int down = wino_down(shape), across = wino_across(shape);
    const int n_down = wino_positions(down), n_across = wino_positions(across);
    vec t[3][WINO_POSITIONS_MAX];
    VEC_UNROLL
    for (int j = 0; j < n_across; j++) {
        vec a[WINO_POSITIONS_MAX], b[3];
        const float *from = u + j * plane;
        VEC_OPAQUE(from);
        VEC_UNROLL
        for (int i = 0; i < n_down; i++) a[i] = vec_load(from + i * (n_across * plane));
        wino_gt(down, a, b);
        VEC_UNROLL
        for (int i = 0; i < 3; i++) t[i][j] = b[i];
    }
    VEC_UNROLL
    for (int i = 0; i < 3; i++) {
        vec b[3];
        wino_gt(across, t[i], b);
        VEC_UNROLL
        for (int j = 0; j < 3; j++) vec_store_part(dw + (i * 3 + j) * tap, b[j], lanes);
    }
}

/* Sums of V^T M at a position over the tiles of a run of blocks: what all pairs of channels share, and where its first place and tile are in
 * V and M, whose rows from `row` on these tiles are. */
typedef struct position {
    cnnbn__tmul sum;
    ptrdiff_t row, v, m;
} position;

/* What all positions share: `count` blocks, the first of which is this one. */
static position position_of(const backward *b, const cnnbn__wino_block *block, int count, ptrdiff_t row, ptrdiff_t ldc,
                            int add)
{
    const cnnbn__wino *w = b->w;
    const ptrdiff_t pitch = w->across.places;
    position p = {.sum = {.lda = w->ld_c,
                          .ldb = w->ld_k,
                          .ldc = ldc,
                          .a_outer = pitch * b->plane_v,
                          .a_inner = b->plane_v,
                          .b_outer = pitch * b->plane_m,
                          .b_inner = b->plane_m,
                          .add = add},
                  .row = row};
    if (w->mixed) { /* a position has one place */
        p.sum.n_outer = count;
        p.sum.a_outer = block->n * w->ld_c;
        p.sum.b_outer = block->n * w->ld_k;
    }
    return p;
}

/* Makes it that of (i, j). */
VEC_INLINE void set_position(const backward *b, const cnnbn__wino_block *block, int i, int j, position *p)
{
    const cnnbn__wino *w = b->w;
    const cnnbn__wino_places at = wino_places(w, block, i, j);
    if (!w->mixed) p->sum.n_outer = at.rows;
    p->sum.n_inner = at.cols;
    p->sum.n_t = at.n;
    p->v = p->row * w->ld_c + at.first * b->plane_v;
    p->m = p->row * w->ld_k + at.first * b->plane_m;
}

/* One for each run of a stretch. */
static void positions_of(const backward *b, const stretch *all, ptrdiff_t ldc, int add, position p[])
{
    for (int r = 0; r < all->n_runs; r++) {
        const int n = all->first[r];
        p[r] = position_of(b, &all->block[n], all->first[r + 1] - n, all->row[n], ldc, add || r);
    }
}

/* What the next stretch will read of x. */
static void fetch_x(const backward *b, const stretch *next, cnnbn__fetch *fetch)
{
    for (int n = 0; n < next->n; n++) {
        const char *begin = NULL;
        wino_memory(b->w, &next->block[n], 1, b->args->x, &begin, &fetch->read_end);
        if (!fetch->read) fetch->read = begin;
    }
}

/* u (+)= V^T M at a position, all pairs of channels. */
static void add_position(const backward *b, const position *p, int n_runs, float *u, cnnbn__fetch *fetch)
{
    const ptrdiff_t C = b->w->g->C, ld = b->w->cols_k, step = tile_rows(C, VEC_TMUL_ROWS);
    for (ptrdiff_t k = 0; k < ld; k += TILE_COLS) {
        const ptrdiff_t cols = ld - k < TILE_COLS ? ld - k : TILE_COLS;
        for (ptrdiff_t c = 0; c < C; c += step) {
            cnnbn__tmul_fn *const tmul = tmul_tiles[cols > VEC_LEN][(C - c < step ? C - c : step) - 1];
            for (int r = 0; r < n_runs; r++)
                if (p[r].sum.n_t) tmul(&p[r].sum, b->v + p[r].v + c, b->m + p[r].m + k, u + c * ld + k, cols);
            fetch_some(fetch);
        }
    }
}

/* Sums of a slice: u[q] (+)= V^T M over a stretch. A slice's first block has tiles with all places. */
static void add_tiles(const backward *b, const stretch *now, const stretch *next, int add)
{
    const cnnbn__wino *w = b->w;
    const ptrdiff_t C = w->g->C, plane = wino_plane(C, w->cols_k);
    cnnbn__fetch fetch = {0};
    fetch_x(b, next, &fetch);
    fetch_over(&fetch, w->positions * tile_count(w->cols_k, TILE_COLS) * tile_count(C, VEC_TMUL_ROWS));
    position p[BLOCKS_MAX];
    positions_of(b, now, w->cols_k, add, p);
    float *u = b->u;
    for (int i = 0; i < w->down.positions; i++)
        for (int j = 0; j < w->across.positions; j++, u += plane) {
            for (int r = 0; r < now->n_runs; r++) set_position(b, &now->block[now->first[r]], i, j, &p[r]);
            add_position(b, p, now->n_runs, u, &fetch);
        }
}

/* dw of rows x cols pairs of channels, whose sums have rows of ld_u floats. */
VEC_INLINE void back_by(const int shape, ptrdiff_t rows, ptrdiff_t cols, const float *u, ptrdiff_t ld_u,
                        ptrdiff_t plane, float *dw, ptrdiff_t ld_dw, ptrdiff_t tap)
{
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < cols; j += VEC_LEN)
            back_vec(shape, u + i * ld_u + j, plane, dw + i * ld_dw + j, tap, vec_lanes(cols, j));
}

static void back(const cnnbn__wino *w, ptrdiff_t rows, ptrdiff_t cols, const float *u, ptrdiff_t ld_u, ptrdiff_t plane,
                 float *dw, ptrdiff_t ld_dw, ptrdiff_t tap)
{
    WINO_BY_SHAPE(w->shape[0][0], back_by, rows, cols, u, ld_u, plane, dw, ld_dw, tap);
}

static void write_slice(const backward *b, float *dw)
{
    const ptrdiff_t C = b->w->g->C, K = b->w->g->K;
    back(b->w, C, K, b->u, b->w->cols_k, wino_plane(C, b->w->cols_k), dw, K, C * K);
}

/* dw of a slice that is one stretch. */
static void add_parts(const backward *b, const stretch *now, const stretch *next, float *dw)
{
    const cnnbn__wino *w = b->w;
    const ptrdiff_t C = w->g->C, K = w->g->K, plane = PART_ROWS * TILE_COLS;
    cnnbn__fetch fetch = {0};
    fetch_x(b, next, &fetch);
    fetch_over(&fetch, w->positions * tile_count(C, PART_ROWS) * tile_count(K, TILE_COLS));
    position p[BLOCKS_MAX];
    positions_of(b, now, TILE_COLS, 0, p);
    for (ptrdiff_t c0 = 0; c0 < C; c0 += PART_ROWS)
        for (ptrdiff_t k = 0; k < K; k += TILE_COLS) {
            const ptrdiff_t rows = C - c0 < PART_ROWS ? C - c0 : PART_ROWS,
                            cols = K - k < TILE_COLS ? K - k : TILE_COLS;
            float *u = b->u;
            for (int i = 0; i < w->down.positions; i++)
                for (int j = 0; j < w->across.positions; j++, u += plane) {
                    for (int r = 0; r < now->n_runs; r++) {
                        set_position(b, &now->block[now->first[r]], i, j, &p[r]);
                        if (p[r].sum.n_t)
                            tmul_panel(&p[r].sum, rows, b->v + p[r].v + c0, b->m + p[r].m + k, u, vec_round_up(cols));
                    }
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

/* The blocks from `block` on, as many as V and M hold; returns the one behind them. */
static cnnbn__wino_block gather(const backward *b, cnnbn__wino_block block, stretch *all)
{
    const ptrdiff_t most = b->w->bwd_block;
    all->n = all->n_runs = 0;
    all->rows = 0;
    while (block.n && all->n < BLOCKS_MAX && all->rows + block.n <= most) {
        const cnnbn__wino_block *last = all->n ? &all->block[all->n - 1] : NULL;
        if (!last || block.n != last->n || block.lower != last->lower) all->first[all->n_runs++] = all->n;
        all->block[all->n] = block;
        all->row[all->n++] = all->rows;
        all->rows += block.n;
        block = wino_next_block(b->w, &block, most);
    }
    all->first[all->n_runs] = all->n;
    return block;
}

/* The first block of slice s, or of the first one behind it that has any; with n = 0 if there is none. */
static cnnbn__wino_block first_block(const backward *b, int s)
{
    const cnnbn_run *run = b->args->run;
    cnnbn__wino_block block = {0};
    for (; s < run->n_slices && block.n == 0; s++)
        block = wino_block_of(b->w, run->bounds[s], run->bounds[s + 1], b->w->bwd_block);
    return block;
}

/* dw's stack is the caller's. */
static void by_slices(backward *b)
{
    const cnnbn__wino *w = b->w;
    const cnnbn_run *run = b->args->run;
    const size_t n_dw = 9 * (size_t)w->g->C * (size_t)w->g->K;
    int height = 0;
    stretch two[2], *now = &two[0], *next = &two[1];
    cnnbn__wino_block behind = gather(b, first_block(b, 0), now);
    for (int s = 0; s < run->n_slices; s++) {
        float *dw = b->args->dw ? b->args->dw + (size_t)height * b->args->dw_stride : NULL;
        ptrdiff_t in_slice = 0;
        while (now->n && now->block[0].first < run->bounds[s + 1]) {
            behind = gather(b, behind.n ? behind : first_block(b, s + 1), next);
            for (int n = 0; n < now->n; n++) transform(b, &now->block[n], in_slice + now->row[n], now->row[n]);
            if (dw && w->sums == WINO_SUMS_PARTS) add_parts(b, now, next, dw);
            if (dw && w->sums == WINO_SUMS_WHOLE) add_tiles(b, now, next, in_slice > 0);
            for (int n = 0; b->args->dx && n < now->n; n++)
                data(b, &now->block[n], now->row[n], n < next->n ? &next->block[n] : NULL);
            in_slice += now->rows;
            stretch *done = now;
            now = next;
            next = done;
        }
        if (!dw) {
            bias_push(b, s);
            continue;
        }
        if (in_slice == 0)
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

/* What a position's sums read of its tiles: so few rows at a place that only we know the next ones. */
static void fetch_sums(const position *p, const float *v, const float *d, ptrdiff_t width)
{
    const cnnbn__tmul *m = &p->sum;
    for (ptrdiff_t o = 0; o < m->n_outer; o++)
        for (ptrdiff_t i = 0; i < m->n_inner; i++) {
            const float *x = v + p->v + o * m->a_outer + i * m->a_inner,
                        *y = d + p->m + o * m->b_outer + i * m->b_inner;
            for (ptrdiff_t t = 0; t < m->n_t; t++) {
                __builtin_prefetch(x + t * m->lda, 0, 3);
                __builtin_prefetch(y + t * m->ldb, 0, 3);
                __builtin_prefetch(y + t * m->ldb + width - VEC_LEN, 0, 3);
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
        const cnnbn__wino_block slice = wino_block_of(w, run->bounds[s], run->bounds[s + 1], w->bwd_block);
        const ptrdiff_t row = (ptrdiff_t)(run->bounds[s] - run->bounds[s0]) * w->tiles;
        const float *v = b->v + row * w->ld_c + c, *d = b->m + row * w->ld_k + k;
        const position any = position_of(b, &slice, 1, 0, width, 0);
        position p[2] = {any, any}; /* the one that is summed, and the next one */
        set_position(b, &slice, 0, 0, &p[0]);
        for (int q = 0, i = 0, j = 0; q < w->positions; q++) {
            const position *at = &p[q % 2];
            position *next = &p[1 - q % 2];
            if (++j == w->across.positions) i++, j = 0;
            if (i < w->down.positions) {
                set_position(b, &slice, i, j, next);
                fetch_sums(next, v, d, width);
            }
            tmul_tiles[width > VEC_LEN][rows - 1](&at->sum, v + at->v, d + at->m, b->u + q * plane, width);
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
        const int begin = run->bounds[s0];
        do {
            const cnnbn__wino_block slice = wino_block_of(w, run->bounds[s1], run->bounds[s1 + 1], w->bwd_block);
            transform(b, &slice, 0, (ptrdiff_t)(run->bounds[s1] - begin) * w->tiles);
            bias_push(b, s1++);
        } while (s1 < run->n_slices && (ptrdiff_t)(run->bounds[s1 + 1] - begin) * w->tiles <= w->bwd_block);
        if (b->args->dw) {
            join_block(b, s0, s1, height);
            for (int s = s0; s < s1; s++) height += 1 - run->n_merge[s];
        }
        const cnnbn__wino_block all =
            wino_block_of(w, begin, run->bounds[run->n_slices], (ptrdiff_t)(run->bounds[s1] - begin) * w->tiles);
        const cnnbn__wino_block next = wino_next_block(w, &all, w->bwd_block);
        if (b->args->dx) data(b, &all, 0, &next);
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
    b.dy_tile = dy_tiles[behind_index(args->behind)];
    bias_clear(&b);
    if (w.sums == WINO_SUMS_JOINED)
        by_joining(&b);
    else
        by_slices(&b);
}
