#include "ref.h"
#include "stack.h"

enum { TILE = 64 }; /* units a weight-gradient tile holds */

void cnnbn__ref_dense_plan(cnnbn_dense_plan *plan)
{
    plan->fwd_workspace_floats = 2 * ((size_t)plan->F + (size_t)plan->U);
    plan->bwd_workspace_floats = 0;
    plan->any_grouping = 1;
    plan->prepared_floats = 0;
    plan->fuses_bn = 0;
    plan->bn_groups = 1;
}

void cnnbn__ref_dense_prepare(const cnnbn_dense_plan *plan, const float *w, float *prepared, int part, int n_parts)
{
    (void)plan, (void)w, (void)prepared, (void)part, (void)n_parts;
}

/* y = act(x' w + bias) */
void cnnbn__ref_dense_fwd(const cnnbn_dense_plan *plan, const cnnbn_dense_fwd *args)
{
    size_t F = (size_t)plan->F, U = (size_t)plan->U, n = (size_t)args->run->bounds[args->run->n_slices];
    double *x = cnnbn__ref_doubles(args->workspace), *sum = x + F;
    for (size_t i = 0; i < n; i++) {
        cnnbn__ref_load(F, &args->in, args->x + i * F, x);
        for (size_t u = 0; u < U; u++) sum[u] = args->bias ? (double)args->bias[u] : 0;
        for (size_t f = 0; f < F; f++)
            for (size_t u = 0; u < U; u++) sum[u] += x[f] * (double)args->w[f * U + u];
        for (size_t u = 0; u < U; u++) args->y[i * U + u] = (float)cnnbn__ref_act(args->act, sum[u]);
    }
}

/* dx = dy w^T */
void cnnbn__ref_dense_bwd_data(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_data *args)
{
    size_t F = (size_t)plan->F, U = (size_t)plan->U, n = (size_t)args->run->bounds[args->run->n_slices];
    for (size_t i = 0; i < n; i++) {
        for (size_t f = 0; f < F; f++) {
            double sum = 0;
            for (size_t u = 0; u < U; u++) sum += (double)args->dy[i * U + u] * (double)args->w[f * U + u];
            args->dx[i * F + f] = (float)sum;
        }
    }
}

/* out[e] = node e of sum over samples of x'[.][f] * dy[.][first + j], j < n; x' = 1 for the bias (f < 0). The stack is in
 * the tile, because the caller's has room for the nodes only. */
static void weights_tile(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_weights *args, long f, size_t first,
                         size_t n, float *out, size_t out_stride)
{
    const cnnbn_run *run = args->run;
    size_t F = (size_t)plan->F, U = (size_t)plan->U;
    float stack[CNNBN_TREE_DEPTH][TILE];
    int height = 0;
    for (int s = 0; s < run->n_slices; s++) {
        double sum[TILE] = {0};
        for (size_t i = (size_t)run->bounds[s]; i < (size_t)run->bounds[s + 1]; i++) {
            double x = 1;
            if (f >= 0) {
                size_t c = args->in.mean ? (size_t)f % (size_t)args->in.period : 0;
                x = cnnbn__ref_act(args->in.act, cnnbn__ref_affine(&args->in, c, args->x[i * F + (size_t)f]));
            }
            for (size_t j = 0; j < n; j++) sum[j] += x * (double)args->dy[i * U + first + j];
        }
        for (size_t j = 0; j < n; j++) stack[height][j] = (float)sum[j];
        height = cnnbn__stack_push_f32(run, s, height, n, stack[0], TILE);
    }
    for (int e = 0; e < height; e++)
        for (size_t j = 0; j < n; j++) out[(size_t)e * out_stride + j] = stack[e][j];
}

/* Row s of bn_partial: sum over features and units of w times the slice's dw, by channel. The last U rows: sums of w. */
static void partial_sums(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_weights *args)
{
    const cnnbn_run *run = args->run;
    size_t F = (size_t)plan->F, U = (size_t)plan->U, C = (size_t)args->in.period, n = (size_t)run->n_slices;
    for (size_t row = 0; row < n + U; row++)
        for (size_t c = 0; c < C; c++) {
            double sum = 0;
            for (size_t f = c; f < F; f += C) {
                if (row >= n) {
                    sum += (double)args->w[f * U + row - n];
                    continue;
                }
                for (size_t i = (size_t)run->bounds[row]; i < (size_t)run->bounds[row + 1]; i++)
                    for (size_t u = 0; u < U; u++)
                        sum += (double)args->w[f * U + u] * cnnbn__ref_affine(&args->in, c, args->x[i * F + f]) *
                               (double)args->dy[i * U + u];
            }
            args->bn_partial[row * C + c] = (float)sum;
        }
}

void cnnbn__ref_dense_bn_join(const cnnbn_dense_plan *plan, const cnnbn_dense_bn_join *args)
{
    const cnnbn_run *run = args->run;
    size_t U = (size_t)plan->U, C = (size_t)args->period;
    const float *w_sums = args->bn_partial + (size_t)run->n_slices * C;
    int height = 0;
    for (int s = 0; s < run->n_slices; s++) {
        double *sums = args->sums + (size_t)height * args->sums_stride;
        for (size_t c = 0; c < C; c++) {
            sums[c] = 0;
            sums[C + c] = (double)args->bn_partial[(size_t)s * C + c];
            for (size_t i = (size_t)run->bounds[s]; i < (size_t)run->bounds[s + 1]; i++)
                for (size_t u = 0; u < U; u++) sums[c] += (double)w_sums[u * C + c] * (double)args->dy[i * U + u];
        }
        height = cnnbn__stack_push_f64(run, s, height, 2 * C, args->sums, args->sums_stride);
    }
}

/* dw = x'^T dy, db = sum of dy */
void cnnbn__ref_dense_bwd_weights(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_weights *args)
{
    size_t U = (size_t)plan->U;
    int begin = cnnbn_part_begin(plan->F, args->n_parts, args->part);
    int end = cnnbn_part_begin(plan->F, args->n_parts, args->part + 1);
    for (size_t u = 0; u < U; u += TILE) {
        size_t n = U - u < TILE ? U - u : TILE;
        for (int f = begin; f < end; f++)
            weights_tile(plan, args, f, u, n, args->dw + (size_t)f * U + u, args->dw_stride);
        if (args->db && args->part == 0) weights_tile(plan, args, -1, u, n, args->db + u, args->db_stride);
    }
    if (args->bn_partial && args->part == 0) partial_sums(plan, args);
}

static double dz_at(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_bn *args, size_t i, size_t f)
{
    double dz = 0;
    for (size_t u = 0; u < (size_t)plan->U; u++)
        dz += (double)args->dy[i * (size_t)plan->U + u] * (double)args->w[f * (size_t)plan->U + u];
    size_t c = f % (size_t)args->in.period;
    return dz * cnnbn__ref_act_slope(args->in.act, cnnbn__ref_affine(&args->in, c, args->x[i * (size_t)plan->F + f]));
}

/* bn_bwd_sums and bn_bwd_apply of dz = dy w^T. */
void cnnbn__ref_dense_bwd_bn(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_bn *args)
{
    const cnnbn_run *run = args->run;
    size_t F = (size_t)plan->F, C = (size_t)args->in.period;
    int height = 0;
    for (int s = 0; s < run->n_slices; s++) {
        double *sums = args->sums ? args->sums + (size_t)height * args->sums_stride : NULL;
        for (size_t c = 0; sums && c < 2 * C; c++) sums[c] = 0;
        for (size_t i = (size_t)run->bounds[s]; i < (size_t)run->bounds[s + 1]; i++)
            for (size_t f = 0; f < F; f++) {
                size_t c = f % C;
                double g = dz_at(plan, args, i, f), x = (double)args->x[i * F + f],
                       centred = x - (double)args->in.mean[c];
                if (sums) {
                    sums[c] += g;
                    sums[C + c] += g * centred;
                }
                if (args->dx)
                    args->dx[i * F + f] =
                        (float)(cnnbn__ref_act_slope_from_output(args->pre, x) *
                                ((double)args->a[c] * g + (double)args->b[c] * centred + (double)args->c0[c]));
            }
        if (sums) height = cnnbn__stack_push_f64(run, s, height, 2 * C, args->sums, args->sums_stride);
    }
}
