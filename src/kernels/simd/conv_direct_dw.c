/* Direct convolution: backward weights. dw[r][s][c][k] = sum over pixels of x'[p*stride + r*dil][..][c] dy[p][q][k], which
 * for one r is a product A^T B: a row of A is the contiguous run of S*C floats of the window's row r, one of B a pixel of
 * dy. Blocks of pixels that fit in L2 are added up one after the other. */
#include "conv_algo.h"
#include "conv_core.h"
#include "ew.h"
#include "stack.h"

enum { BLOCK_PIXELS = 256 };

/* The forward core with blocks of fewer pixels: each is read R*S*C/8 times. */
static cnnbn__core weights_core(const cnnbn_conv_geom *g, int prologue)
{
    cnnbn__core core = {.src_h = g->H,
                        .src_w = g->W,
                        .src_c = g->C,
                        .rows = g->P,
                        .cols = g->Q,
                        .groups = g->groups,
                        .cg = g->C / g->groups,
                        .kg = g->K / g->groups,
                        .taps_h = g->R,
                        .taps_w = g->S,
                        .dil_h = g->dil_h,
                        .dil_w = g->dil_w,
                        .stride_h = g->stride_h,
                        .stride_w = g->stride_w,
                        .off_h = -g->pad_top,
                        .off_w = -g->pad_left,
                        .prologue = prologue};
    core_derive(&core);
    if (core.block_w == core.cols && core.block_h * core.cols > BLOCK_PIXELS) {
        core.block_h = BLOCK_PIXELS / core.cols > 1 ? BLOCK_PIXELS / core.cols : 1;
        core.block_n = 1;
    }
    while (core.block_n > 1 && core.block_n * core.rows * core.cols > BLOCK_PIXELS) core.block_n--;
    return core;
}

/* The double sums of db, in front of the scratch. */
static ptrdiff_t sums_floats(const cnnbn_conv_geom *g)
{
    return (2 * (ptrdiff_t)g->K + 15) / 16 * 16;
}

size_t direct_weights_floats(const cnnbn_conv_geom *g)
{
    cnnbn__core core = weights_core(g, 1);
    return core.scratch_floats + (size_t)sums_floats(g);
}

static void depthwise_block(const cnnbn_conv_geom *g, const cnnbn__core *core, const cnnbn__block *block,
                            const float *a, const float *dy, float *dw, int add)
{
    ptrdiff_t step = core->stride_w * core->pix;
    for (int r = 0; r < g->R; r++)
        for (int s = 0; s < g->S; s++)
            for (ptrdiff_t c = 0; c < g->C; c += VEC_LEN) {
                ptrdiff_t lanes = vec_lanes(g->C, c);
                float *to = dw + ((ptrdiff_t)r * g->S + s) * g->C + c;
                vec sum = add ? vec_load_part(to, lanes) : vec_zero();
                for (int n = 0; n < block->n; n++)
                    for (int p = 0; p < block->h; p++) {
                        const float *x = a + n * core->win_sample +
                                         (p * core->stride_h + r * core->dil_h) * core->win_row +
                                         s * core->dil_w * core->pix + c;
                        const float *d = dy + (((ptrdiff_t)n * g->P + p) * g->Q) * g->K + c;
                        for (int q = 0; q < block->w; q++)
                            sum = vec_fma(vec_load_part(x + q * step, lanes),
                                          vec_load_part(d + (ptrdiff_t)q * g->K, lanes), sum);
                    }
                vec_store_part(to, sum, lanes);
            }
}

static void block_weights(const cnnbn_conv_geom *g, const cnnbn__core *core, const cnnbn__block *block, const float *a,
                          const float *dy, float *dw, int add, cnnbn__fetch fetch[2])
{
    const cnnbn__tmul m = {.lda = core->stride_w * core->pix,
                           .ldb = g->K,
                           .ldc = g->K,
                           .a_outer = core->win_sample,
                           .a_inner = core->stride_h * core->win_row,
                           .b_outer = (ptrdiff_t)g->P * g->Q * g->K,
                           .b_inner = (ptrdiff_t)g->Q * g->K,
                           .n_outer = block->n,
                           .n_inner = block->h,
                           .n_t = block->w,
                           .add = add};
    ptrdiff_t runs = core->merged ? 1 : g->S, length = core->merged ? (ptrdiff_t)g->S * core->cg : core->cg;
    const ptrdiff_t rows = tile_rows(length, VEC_TMUL_ROWS), panels = (core->kg + TILE_COLS - 1) / TILE_COLS;
    const ptrdiff_t calls = g->R * runs * g->groups * panels * ((length + rows - 1) / rows);
    fetch_over(&fetch[0], calls);
    fetch_over(&fetch[1], calls);
    for (ptrdiff_t r = 0; r < g->R; r++)
        for (ptrdiff_t s = 0; s < runs; s++)
            for (ptrdiff_t group = 0; group < g->groups; group++)
                for (ptrdiff_t k = 0; k < core->kg; k += TILE_COLS) {
                    const ptrdiff_t cols = core->kg - k < TILE_COLS ? core->kg - k : TILE_COLS;
                    const ptrdiff_t column = group * core->kg + k;
                    const float *x =
                        a + r * core->dil_h * core->win_row + s * core->dil_w * core->pix + group * core->cg;
                    float *to = dw + (r * g->S + s) * core->cg * g->K + column;
                    for (ptrdiff_t c = 0; c < length; c += rows) {
                        ptrdiff_t count = length - c < rows ? length - c : rows;
                        tmul_tiles[cols > VEC_LEN][count - 1](&m, x + c, dy + column, to + c * g->K, cols);
                        fetch_some(&fetch[0]);
                        fetch_some(&fetch[1]);
                    }
                }
}

void direct_bwd_weights(const cnnbn_conv_plan *plan, const cnnbn_conv_bwd *args)
{
    const cnnbn_conv_geom *g = &plan->geom;
    const cnnbn_run *run = args->run;
    cnnbn__core core = weights_core(g, !prologue_is_none(&args->in));
    size_t n_dw = (size_t)g->R * (size_t)g->S * (size_t)core.cg * (size_t)g->K;
    double *sums = (double *)(void *)args->workspace;
    float *scratch = args->workspace + sums_floats(g);
    const int few = args->dw && direct_is_few(g);
    int height_w = 0, height_b = 0;
    for (int s = 0; s < run->n_slices; s++) {
        float *dw = args->dw ? args->dw + (size_t)height_w * args->dw_stride : NULL;
        if (dw && run->bounds[s] == run->bounds[s + 1]) memset(dw, 0, n_dw * sizeof *dw);
        memset(sums, 0, (size_t)g->K * sizeof *sums);
        for (int n0 = run->bounds[s]; n0 < run->bounds[s + 1]; n0 += core.block_n)
            for (int p0 = 0; p0 < core.rows; p0 += core.block_h)
                for (int q0 = 0; q0 < core.cols; q0 += core.block_w) {
                    const cnnbn__block block = {n0, core_min(core.block_n, run->bounds[s + 1] - n0),
                                                p0, core_min(core.block_h, core.rows - p0),
                                                q0, core_min(core.block_w, core.cols - q0)};
                    const float *dy = args->dy + (((ptrdiff_t)n0 * g->P + p0) * g->Q + q0) * g->K;
                    const int add = n0 > run->bounds[s] || p0 > 0 || q0 > 0;
                    if (args->db && !few) /* contiguous: rows of one sample, or whole samples */
                        EW(column_sums)((size_t)block.n * (size_t)block.h * (size_t)block.w, g->K, dy, sums);
                    if (!dw) continue;
                    const float *a = core_load(&core, &block, args->x, &args->in, scratch);
                    if (few) { /* makes the sums too */
                        direct_few_block(g, &core, &block, args, a, dw, add, args->db ? sums : NULL);
                        continue;
                    }
                    if (core.depthwise) {
                        depthwise_block(g, &core, &block, a, dy, dw, add);
                        continue;
                    }
                    cnnbn__fetch fetch[2] = {0};
                    core_fetch_source(&core, &block, args->x, &fetch[0]);
                    ptrdiff_t n_dy = (ptrdiff_t)block.n * block.h * block.w * g->K;
                    fetch[1].read = (const char *)(dy + n_dy);
                    fetch[1].read_end = (const char *)(dy + 2 * n_dy);
                    block_weights(g, &core, &block, a, dy, dw, add, fetch);
                }
        if (dw) height_w = cnnbn__stack_push_f32(run, s, height_w, n_dw, args->dw, args->dw_stride);
        if (args->db) {
            float *db = args->db + (size_t)height_b * args->db_stride;
            for (int k = 0; k < g->K; k++) db[k] = (float)sums[k];
            height_b = cnnbn__stack_push_f32(run, s, height_b, (size_t)g->K, args->db, args->db_stride);
        }
    }
}
