/* Dense layers. Products of one slice each; the weights' gradient by tiles of rows of dw, the tree over slices inside
 * the tile, so that no slab of partial sums is ever written. */
#include "blas.h"

#include <string.h>

enum {
    TILE_FLOATS = 32 * 1024, /* of dw: a few of them, the tree's stack, stay in L2 */
    TILE_ROWS_MIN = 16,
    TILE_ROWS_MAX = 512
};

static int tile_rows(const cnnbn_dense_plan *plan)
{
    int rows = TILE_FLOATS / plan->U;
    if (rows > TILE_ROWS_MAX) rows = TILE_ROWS_MAX;
    if (rows < TILE_ROWS_MIN) rows = TILE_ROWS_MIN;
    return rows;
}

static size_t tile_floats(const cnnbn_dense_plan *plan)
{
    return cnnbn__blas_line_up((size_t)tile_rows(plan) * (size_t)plan->U);
}

void cnnbn__blas_dense_plan(cnnbn_dense_plan *plan)
{
    size_t loaded = cnnbn__blas_line_up((size_t)plan->max_slice * (size_t)tile_rows(plan));
    size_t sums = cnnbn__blas_line_up(2 * (size_t)plan->U) + CNNBN_TREE_DEPTH * cnnbn__blas_line_up((size_t)plan->U);
    size_t stack = CNNBN_TREE_DEPTH * tile_floats(plan);
    plan->fwd_workspace_floats = cnnbn__blas_line_up((size_t)plan->max_slice * (size_t)plan->F);
    plan->bwd_workspace_floats = loaded + (stack > sums ? stack : sums);
    plan->any_grouping = 0;
}

void cnnbn__blas_dense_fwd(const cnnbn_dense_plan *plan, const cnnbn_dense_fwd *args)
{
    const cnnbn__ew_ops *ops = cnnbn__blas_ops();
    int F = plan->F, U = plan->U;
    int behind = args->in.mean || args->in.act.kind != CNNBN_ACT_LINEAR, period = args->in.mean ? args->in.period : F;
    for (int s = 0; s < args->run->n_slices; s++) {
        size_t first = (size_t)args->run->bounds[s];
        int n = args->run->bounds[s + 1] - args->run->bounds[s];
        if (n == 0) continue;
        const float *x = args->x + first * (size_t)F;
        float *y = args->y + first * (size_t)U;
        if (behind) {
            ops->bn_apply((size_t)n * (size_t)(F / period), period, x, &args->in, NULL, args->workspace);
            x = args->workspace;
        }
        cnnbn__blas_gemm(n, U, F, (cnnbn__blas_matrix){x, F, 0}, (cnnbn__blas_matrix){args->w, U, 0}, 0.0f, y, U);
        if (args->bias || args->act.kind != CNNBN_ACT_LINEAR) ops->bias_act((size_t)n, U, args->bias, args->act, y);
    }
}

void cnnbn__blas_dense_bwd_data(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_data *args)
{
    int F = plan->F, U = plan->U;
    for (int s = 0; s < args->run->n_slices; s++) {
        size_t first = (size_t)args->run->bounds[s];
        int n = args->run->bounds[s + 1] - args->run->bounds[s];
        if (n == 0) continue;
        cnnbn__blas_gemm(n, F, U, (cnnbn__blas_matrix){args->dy + first * (size_t)U, U, 0},
                         (cnnbn__blas_matrix){args->w, U, 1}, 0.0f, args->dx + first * (size_t)F, F);
    }
}

/* out[n][f1-f0] = columns [f0, f1) of x'. */
static void load_columns(const cnnbn_prologue *in, int n, int F, int f0, int f1, const float *x, float *out)
{
    const cnnbn__ew_ops *ops = cnnbn__blas_ops();
    for (int i = 0; i < n; i++, x += F) {
        for (int f = f0; f < f1;) {
            int c = in->mean ? f % in->period : 0, whole = in->mean ? (f1 - f) / in->period : 0;
            cnnbn_prologue part = *in;
            int take = f1 - f, rows = 1;
            if (in->mean && c == 0 && whole > 0) { /* whole periods */
                rows = whole;
                take = in->period;
            } else if (in->mean) { /* a cut one */
                if (take > in->period - c) take = in->period - c;
                part.mean += c;
                part.scale += c;
                part.beta += c;
                part.period = take;
            }
            ops->bn_apply((size_t)rows, take, x + f, &part, NULL, out);
            out += rows * take;
            f += rows * take;
        }
    }
}

/* Rows [f0, f1) of dw: the nodes of the run, summed in `stack` and copied out. */
static void weights_tile(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_weights *args, int f0, int f1)
{
    const cnnbn__ew_ops *ops = cnnbn__blas_ops();
    const cnnbn_run *run = args->run;
    int F = plan->F, U = plan->U, rows = f1 - f0;
    int behind = args->in.mean || args->in.act.kind != CNNBN_ACT_LINEAR;
    size_t entry = tile_floats(plan), n_floats = (size_t)rows * (size_t)U, height = 0;
    float *loaded = args->workspace;
    float *stack = args->workspace + cnnbn__blas_line_up((size_t)plan->max_slice * (size_t)tile_rows(plan));
    for (int s = 0; s < run->n_slices; s++) {
        int n = run->bounds[s + 1] - run->bounds[s];
        float *sum = stack + height++ * entry;
        if (n > 0) {
            const float *x = args->x + (size_t)run->bounds[s] * (size_t)F;
            cnnbn__blas_matrix a = {x + f0, F, 1};
            if (behind) {
                load_columns(&args->in, n, F, f0, f1, x, loaded);
                a = (cnnbn__blas_matrix){loaded, rows, 1};
            }
            cnnbn__blas_matrix dy = {args->dy + (size_t)run->bounds[s] * (size_t)U, U, 0};
            cnnbn__blas_gemm(rows, U, n, a, dy, 0.0f, sum, U);
        } else {
            memset(sum, 0, n_floats * sizeof *sum);
        }
        for (int m = run->n_merge[s]; m > 0; m--, height--)
            ops->add(n_floats, stack + (height - 1) * entry, stack + (height - 2) * entry);
    }
    for (size_t e = 0; e < height; e++)
        memcpy(args->dw + e * args->dw_stride + (size_t)f0 * (size_t)U, stack + e * entry, n_floats * sizeof(float));
}

static void bias_gradient(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_weights *args)
{
    const cnnbn__ew_ops *ops = cnnbn__blas_ops();
    const cnnbn_run *run = args->run;
    size_t U = (size_t)plan->U, entry = cnnbn__blas_line_up(U), height = 0;
    double *sums = (double *)(void *)args->workspace;
    float *stack = args->workspace + cnnbn__blas_line_up(2 * U);
    for (int s = 0; s < run->n_slices; s++) {
        float *sum = stack + height++ * entry;
        size_t n = (size_t)(run->bounds[s + 1] - run->bounds[s]);
        memset(sums, 0, U * sizeof *sums);
        ops->column_sums(n, plan->U, args->dy + (size_t)run->bounds[s] * U, sums);
        for (size_t u = 0; u < U; u++) sum[u] = (float)sums[u];
        for (int m = run->n_merge[s]; m > 0; m--, height--)
            ops->add(U, stack + (height - 1) * entry, stack + (height - 2) * entry);
    }
    for (size_t e = 0; e < height; e++) memcpy(args->db + e * args->db_stride, stack + e * entry, U * sizeof(float));
}

void cnnbn__blas_dense_bwd_weights(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_weights *args)
{
    int rows = tile_rows(plan), n_tiles = (plan->F + rows - 1) / rows;
    int first = cnnbn_part_begin(n_tiles, args->n_parts, args->part);
    int last = cnnbn_part_begin(n_tiles, args->n_parts, args->part + 1);
    for (int t = first; t < last; t++)
        weights_tile(plan, args, t * rows, (t + 1) * rows < plan->F ? (t + 1) * rows : plan->F);
    if (args->part == 0 && args->db) bias_gradient(plan, args);
}
