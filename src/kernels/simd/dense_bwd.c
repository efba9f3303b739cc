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

/* rows x cols of dw; x and dy point to sample 0 of the tile's rows and columns. */
static void weights_tile(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_weights *args, ptrdiff_t rows,
                         ptrdiff_t cols, const float *x, const float *dy, float *dw)
{
    _Alignas(64) float stack[CNNBN_TREE_DEPTH][TILE_FLOATS];
    const cnnbn_run *run = args->run;
    const ptrdiff_t width = vec_round_up(cols), n = rows * width;
    cnnbn__tmul m = {.lda = DENSE_FEATURES_LD, .ldb = plan->U, .ldc = width, .n_outer = 1, .n_inner = 1};
    int height = 0;
    for (int s = 0; s < run->n_slices; s++) {
        ptrdiff_t begin = run->bounds[s];
        m.n_t = run->bounds[s + 1] - begin;
        tmul_tiles[cols > VEC_LEN][rows - 1](&m, x + begin * DENSE_FEATURES_LD, dy + begin * plan->U, stack[height],
                                             cols);
        height++;
        for (int merge = run->n_merge[s]; merge > 0; merge--, height--) {
            float *lower = stack[height - 2];
            const float *upper = stack[height - 1];
            for (ptrdiff_t i = 0; i < n; i += VEC_LEN) vec_store(lower + i, vec_load(lower + i) + vec_load(upper + i));
        }
    }
    for (int e = 0; e < height; e++)
        for (ptrdiff_t i = 0; i < rows; i++)
            memcpy(dw + (size_t)e * args->dw_stride + i * plan->U, stack[e] + i * width, (size_t)cols * sizeof *dw);
}

void simd_dense_bwd_weights(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_weights *args)
{
    const cnnbn_run *run = args->run;
    int N = run->n_slices ? run->bounds[run->n_slices] : 0;
    float *block = args->workspace;
    if (args->part == 0 && args->db) {
        double sums[TILE_COLS];
        bias_gradient(plan, args, sums);
    }
    int blocks = (plan->F + DENSE_FEATURES - 1) / DENSE_FEATURES;
    int end = cnnbn_part_begin(blocks, args->n_parts, args->part + 1);
    for (int b = cnnbn_part_begin(blocks, args->n_parts, args->part); b < end; b++) {
        int f0 = b * DENSE_FEATURES, n_f = plan->F - f0 < DENSE_FEATURES ? plan->F - f0 : DENSE_FEATURES;
        for (int i = 0; i < N; i++)
            dense_load(n_f, f0, &args->in, args->x + (ptrdiff_t)i * plan->F + f0,
                       block + (ptrdiff_t)i * DENSE_FEATURES_LD);
        for (ptrdiff_t u = 0; u < plan->U; u += TILE_COLS) {
            ptrdiff_t cols = plan->U - u < TILE_COLS ? plan->U - u : TILE_COLS;
            for (ptrdiff_t f = 0; f < n_f; f += VEC_TMUL_ROWS) {
                ptrdiff_t rows = n_f - f < VEC_TMUL_ROWS ? n_f - f : VEC_TMUL_ROWS;
                weights_tile(plan, args, rows, cols, block + f, args->dy + u, args->dw + (f0 + f) * plan->U + u);
            }
        }
    }
}
