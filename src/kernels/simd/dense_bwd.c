/* Dense layer: backward weights. The tree over slices runs inside one register tile of dw: the tile's stack of partial sums
 * stays in L1, and only the run's nodes are written. */
#include "dense.h"

enum { TILE_FLOATS = VEC_TMUL_ROWS * TILE_COLS };

static void bias_gradient(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_weights *args, double *sums)
{
    const cnnbn_run *run = args->run;
    float stack[CNNBN_TREE_DEPTH][TILE_COLS];
    int U = plan->U;
    for (int u0 = 0; u0 < U; u0 += TILE_COLS) {
        int height = 0, n = U - u0 < TILE_COLS ? U - u0 : TILE_COLS;
        for (int s = 0; s < run->n_slices; s++) {
            memset(sums, 0, (size_t)n * sizeof *sums);
            for (int i = run->bounds[s]; i < run->bounds[s + 1]; i++)
                for (int u = 0; u < n; u++) sums[u] += (double)args->dy[(ptrdiff_t)i * U + u0 + u];
            for (int u = 0; u < n; u++) stack[height][u] = (float)sums[u];
            height++;
            for (int m = run->n_merge[s]; m > 0; m--, height--)
                for (int u = 0; u < n; u++) stack[height - 2][u] += stack[height - 1][u];
        }
        for (int e = 0; e < height; e++)
            memcpy(args->db + (size_t)e * args->db_stride + u0, stack[e], (size_t)n * sizeof(float));
    }
}

/* A tile of the product A^T B over the samples, rows x cols, its stack in L1; returns the number of nodes that are left. Rows
 * of the tile are whole vectors, entries TILE_FLOATS apart. */
static int sum_tile(const cnnbn_run *run, cnnbn__tmul *m, ptrdiff_t rows, ptrdiff_t cols, const float *a,
                    const float *b, float *stack)
{
    const ptrdiff_t width = vec_round_up(cols);
    cnnbn__tmul_fn *const tile = tmul_tiles[width > VEC_LEN][rows - 1];
    int height = 0;
    for (int s = 0; s < run->n_slices; s++) {
        ptrdiff_t begin = run->bounds[s];
        m->n_t = run->bounds[s + 1] - begin;
        m->merges = run->n_merge[s];
        tile(m, a + begin * m->lda, b + begin * m->ldb, stack + (ptrdiff_t)height * TILE_FLOATS, width);
        height += 1 - run->n_merge[s];
    }
    return height;
}

/* Many units: vectors run over them. dy: the panel's columns, packed. */
static void units_across(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_weights *args, ptrdiff_t n_f,
                         ptrdiff_t cols, const float *x, const float *dy, float *dw)
{
    _Alignas(64) float stack[CNNBN_TREE_DEPTH * TILE_FLOATS];
    const ptrdiff_t width = vec_round_up(cols), step = tile_rows(n_f, VEC_TMUL_ROWS);
    cnnbn__tmul m = {
        .lda = DENSE_FEATURES_LD, .ldb = TILE_COLS, .ldc = width, .n_outer = 1, .n_inner = 1, .below = TILE_FLOATS};
    for (ptrdiff_t f = 0; f < n_f; f += step) {
        ptrdiff_t rows = n_f - f < step ? n_f - f : step;
        int nodes = sum_tile(args->run, &m, rows, cols, x + f, dy, stack);
        for (int e = 0; e < nodes; e++)
            for (ptrdiff_t i = 0; i < rows; i++)
                memcpy(dw + (size_t)e * args->dw_stride + (f + i) * plan->U, stack + e * TILE_FLOATS + i * width,
                       (size_t)cols * sizeof *dw);
    }
}

/* Few units: vectors run over the features, and the tile is turned as it is written. */
static void features_across(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_weights *args, ptrdiff_t n_f,
                            const float *x, float *dw)
{
    _Alignas(64) float stack[CNNBN_TREE_DEPTH * TILE_FLOATS];
    const ptrdiff_t U = plan->U, step = tile_rows(U, VEC_TMUL_ROWS);
    for (ptrdiff_t f = 0; f < n_f; f += TILE_COLS) {
        ptrdiff_t cols = n_f - f < TILE_COLS ? n_f - f : TILE_COLS, width = vec_round_up(cols);
        cnnbn__tmul m = {
            .lda = U, .ldb = DENSE_FEATURES_LD, .ldc = width, .n_outer = 1, .n_inner = 1, .below = TILE_FLOATS};
        for (ptrdiff_t u = 0; u < U; u += step) {
            ptrdiff_t rows = U - u < step ? U - u : step;
            int nodes = sum_tile(args->run, &m, rows, cols, args->dy + u, x + f, stack);
            for (int e = 0; e < nodes; e++) {
                const float *sum = stack + e * TILE_FLOATS;
                float *to = dw + (size_t)e * args->dw_stride + f * U + u;
                for (ptrdiff_t j = 0; j < cols; j++)
                    for (ptrdiff_t i = 0; i < rows; i++) to[j * U + i] = sum[i * width + j];
            }
        }
    }
}

void simd_dense_bwd_weights(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_weights *args)
{
    const cnnbn_run *run = args->run;
    const int N = run->n_slices ? run->bounds[run->n_slices] : 0, F = plan->F;
    float *block = args->workspace, *panel = block + (ptrdiff_t)N * DENSE_FEATURES_LD;
    if (args->part == 0 && args->db) {
        double sums[TILE_COLS];
        bias_gradient(plan, args, sums);
    }
    if (simd_dense_few_reads(plan, args)) {
        simd_dense_few_bwd_weights(plan, args);
        return;
    }
    const int blocks = (F + DENSE_FEATURES - 1) / DENSE_FEATURES;
    const int end = cnnbn_part_begin(blocks, args->n_parts, args->part + 1);
    for (int b = cnnbn_part_begin(blocks, args->n_parts, args->part); b < end; b++) {
        const int f0 = b * DENSE_FEATURES, n_f = F - f0 < DENSE_FEATURES ? F - f0 : DENSE_FEATURES;
        float *dw = args->dw + (ptrdiff_t)f0 * plan->U;
        for (ptrdiff_t i = 0; i < N; i++) {
            const float *x = args->x + i * F + f0;
            /* Of the next block: rows are too far apart for the CPU's own prefetcher. */
            if (b + 1 < end)
                for (int f = 0; f < DENSE_FEATURES; f += 16) __builtin_prefetch(x + DENSE_FEATURES + f, 0, 2);
            dense_load(n_f, f0, &args->in, x, block + i * DENSE_FEATURES_LD);
            for (int f = n_f; f < vec_round_up(n_f); f++) block[i * DENSE_FEATURES_LD + f] = 0.0f;
        }
        if (plan->U <= DENSE_UNITS_FEW) {
            features_across(plan, args, n_f, block, dw);
            continue;
        }
        for (ptrdiff_t u = 0; u < plan->U; u += TILE_COLS) {
            ptrdiff_t cols = plan->U - u < TILE_COLS ? plan->U - u : TILE_COLS;
            for (ptrdiff_t i = 0; i < N; i++)
                for (ptrdiff_t j = 0; j < cols; j += VEC_LEN)
                    vec_store(panel + i * TILE_COLS + j,
                              vec_load_part(args->dy + i * plan->U + u + j, vec_lanes(cols, j)));
            units_across(plan, args, n_f, cols, block, panel, dw + u);
        }
    }
}
