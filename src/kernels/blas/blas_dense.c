/* Dense layers. A slice has too few rows for sgemm, which packs all weights for each of them (measured: 6 GFLOP/s for
 * 8 rows of 2048 to 1000), so these products run on panels of simd/ew_panel.c. The weights' gradient by tiles of rows of dw, the tree over slices inside
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

/* Depth of a panel: it stays in L1. */
enum { PANEL_DEPTH = 256, PANEL_FLOATS = PANEL_DEPTH * CNNBN__EW_PANEL_MAX };

/* Samples that go through the prologue at once: enough to pay for packing the weights, few enough for a small
 * workspace. */
enum { LOADED_ROWS = 48 };

void cnnbn__blas_dense_plan(cnnbn_dense_plan *plan)
{
    size_t loaded = cnnbn__blas_line_up((size_t)plan->max_slice * (size_t)tile_rows(plan));
    size_t sums = cnnbn__blas_line_up(2 * (size_t)plan->U) + CNNBN_TREE_DEPTH * cnnbn__blas_line_up((size_t)plan->U);
    size_t stack = CNNBN_TREE_DEPTH * tile_floats(plan);
    int loaded_rows = plan->max_n < LOADED_ROWS ? plan->max_n : LOADED_ROWS;
    plan->fwd_workspace_floats = PANEL_FLOATS + cnnbn__blas_line_up((size_t)loaded_rows * (size_t)plan->F);
    plan->bwd_workspace_floats = PANEL_FLOATS + loaded + (stack > sums ? stack : sums);
    plan->any_grouping = 1;
    plan->prepared_floats = 0;
    plan->fuses_bn = 0;
    plan->bn_groups = 0;
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

/* c [rows][n_out] = a [rows][depth] times b, [depth][n_out] or, transposed, [n_out][depth]. */
static void few_rows_product(int rows, int n_out, int depth, const float *a, const float *b, int transposed,
                             float *panel, float *c)
{
    const cnnbn__ew_ops *ops = cnnbn__blas_ops();
    int panel_width = ops->panel_width();
    memset(c, 0, (size_t)rows * (size_t)n_out * sizeof *c);
    for (int d = 0; d < depth; d += PANEL_DEPTH) {
        int take = min_int(depth - d, PANEL_DEPTH);
        for (int o = 0; o < n_out; o += panel_width) {
            int width = min_int(n_out - o, panel_width);
            if (transposed)
                ops->pack_panel_transposed(take, width, b + (size_t)o * (size_t)depth + d, (size_t)depth, panel);
            else
                ops->pack_panel(take, width, b + (size_t)d * (size_t)n_out + o, (size_t)n_out, panel);
            ops->panel_product(rows, width, take, a + d, (size_t)depth, 1, panel, c + o, (size_t)n_out);
        }
    }
}

void cnnbn__blas_dense_fwd(const cnnbn_dense_plan *plan, const cnnbn_dense_fwd *args)
{
    const cnnbn__ew_ops *ops = cnnbn__blas_ops();
    int F = plan->F, U = plan->U, n = args->run->n_slices > 0 ? args->run->bounds[args->run->n_slices] : 0;
    if (n == 0) return;
    if (args->in.mean || args->in.act.kind != CNNBN_ACT_LINEAR) {
        int period = args->in.mean ? args->in.period : F;
        float *behind = args->workspace + PANEL_FLOATS;
        for (int first = 0; first < n; first += LOADED_ROWS) {
            int rows = min_int(n - first, LOADED_ROWS);
            ops->bn_apply((size_t)rows * (size_t)(F / period), period, args->x + (size_t)first * (size_t)F, &args->in,
                          NULL, behind);
            few_rows_product(rows, U, F, behind, args->w, 0, args->workspace, args->y + (size_t)first * (size_t)U);
        }
    } else {
        few_rows_product(n, U, F, args->x, args->w, 0, args->workspace, args->y);
    }
    if (args->bias || args->act.kind != CNNBN_ACT_LINEAR) ops->bias_act((size_t)n, U, args->bias, args->act, args->y);
}

void cnnbn__blas_dense_bwd_data(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_data *args)
{
    int n = args->run->n_slices > 0 ? args->run->bounds[args->run->n_slices] : 0;
    if (n > 0) few_rows_product(n, plan->F, plan->U, args->dy, args->w, 1, args->workspace, args->dx);
}

/* c [rows][cols] = a^T b over n samples, a and b with leading dimensions. */
static void weights_product(int rows, int cols, int n, const float *a, int lda, const float *b, int ldb, float *panel,
                            float *c)
{
    const cnnbn__ew_ops *ops = cnnbn__blas_ops();
    int panel_width = ops->panel_width();
    memset(c, 0, (size_t)rows * (size_t)cols * sizeof *c);
    for (int first = 0; first < n; first += PANEL_DEPTH) {
        int take = min_int(n - first, PANEL_DEPTH);
        for (int j = 0; j < cols; j += panel_width) {
            int width = min_int(cols - j, panel_width);
            ops->pack_panel(take, width, b + (size_t)first * (size_t)ldb + j, (size_t)ldb, panel);
            ops->panel_product(rows, width, take, a + (size_t)first * (size_t)lda, 1, (size_t)lda, panel, c + j,
                               (size_t)cols);
        }
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
    int flipped = U < CNNBN__EW_PANEL_MAX; /* few units: vectors along the features, the tile kept as [U][rows] */
    size_t entry = tile_floats(plan), n_floats = (size_t)rows * (size_t)U, height = 0;
    float *panel = args->workspace, *loaded = panel + PANEL_FLOATS;
    float *stack = loaded + cnnbn__blas_line_up((size_t)plan->max_slice * (size_t)tile_rows(plan));
    for (int s = 0; s < run->n_slices; s++) {
        int n = run->bounds[s + 1] - run->bounds[s];
        float *sum = stack + height++ * entry;
        if (n > 0) {
            const float *x = args->x + (size_t)run->bounds[s] * (size_t)F;
            const float *dy = args->dy + (size_t)run->bounds[s] * (size_t)U;
            if (behind) load_columns(&args->in, n, F, f0, f1, x, loaded);
            const float *columns = behind ? loaded : x + f0;
            int ldx = behind ? rows : F;
            if (flipped)
                weights_product(U, rows, n, dy, U, columns, ldx, panel, sum);
            else
                weights_product(rows, U, n, columns, ldx, dy, U, panel, sum);
        } else {
            memset(sum, 0, n_floats * sizeof *sum);
        }
        for (int m = run->n_merge[s]; m > 0; m--, height--)
            ops->add(n_floats, stack + (height - 1) * entry, stack + (height - 2) * entry);
    }
    for (size_t e = 0; e < height; e++) {
        const float *sum = stack + e * entry;
        float *out = args->dw + e * args->dw_stride + (size_t)f0 * (size_t)U;
        if (!flipped) memcpy(out, sum, n_floats * sizeof *out);
        for (int f = 0; flipped && f < rows; f++)
            for (int u = 0; u < U; u++) out[f * U + u] = sum[u * rows + f];
    }
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
