/* Dense layer: forward and backward data, both C[N][n] = A[N][k] B[k][n] with one panel of B packed at a time. Sums over k
 * are formed in blocks of DENSE_K, added left to right: the bits of a row depend on no other row. */
#include "dense.h"

typedef struct product {
    int n_rows, n_k, n_cols;
    const float *a;           /* [n_rows][n_k] */
    const cnnbn_prologue *in; /* on A */
    const float *b;           /* element (k, column) at b[k*b_k + column*b_col] */
    ptrdiff_t b_k, b_col;
    const float *bias; /* [n_cols] or NULL */
    int relu;
    float *c;
} product;

void simd_dense_plan(cnnbn_dense_plan *plan)
{
    size_t forward = (size_t)DENSE_ROWS * DENSE_LD + (size_t)DENSE_K * TILE_COLS;
    size_t weights = (size_t)plan->max_n * (DENSE_FEATURES_LD + TILE_COLS);
    plan->fwd_workspace_floats = forward;
    plan->bwd_workspace_floats = forward > weights ? forward : weights;
    plan->any_grouping = 1;
    plan->prepared_floats = 0;
    plan->fuses_bn = 0;
    plan->bn_groups = 0;
    if (simd_dense_is_few(plan)) simd_dense_few_plan(plan);
}

void simd_dense_prepare(const cnnbn_dense_plan *plan, const float *w, float *prepared, int part, int n_parts)
{
    if (simd_dense_is_few(plan)) simd_dense_few_prepare(plan, w, prepared, part, n_parts);
}

static void load_rows(const product *p, int i0, int n, int k0, int n_k, float *to)
{
    for (int i = 0; i < n; i++, to += DENSE_LD)
        dense_load(n_k, k0, p->in, p->a + (ptrdiff_t)(i0 + i) * p->n_k + k0, to);
}

/* Rows [k0, k0 + n_k) and n columns from col0 on, whole vectors of them. */
static void pack_panel(const product *p, int k0, int n_k, int col0, int n, float *panel)
{
    const ptrdiff_t width = vec_round_up(n);
    const float *from = p->b + k0 * p->b_k + col0 * p->b_col;
    if (p->b_col == 1) {
        for (ptrdiff_t k = 0; k < n_k; k++)
            for (ptrdiff_t j = 0; j < n; j += VEC_LEN)
                vec_store(panel + k * width + j, vec_load_part(from + k * p->b_k + j, vec_lanes(n, j)));
        return;
    }
    for (ptrdiff_t j = 0; j < n; j++) /* b_k == 1: read along the rows of w */
        for (ptrdiff_t k = 0; k < n_k; k++) panel[k * width + j] = from[j * p->b_col + k];
    for (ptrdiff_t k = 0; n < width && k < n_k; k++)
        for (ptrdiff_t j = n; j < width; j++) panel[k * width + j] = 0.0f;
}

/* The rows of the next block of A, to be copied from memory that no prefetcher of the CPU follows: their starts are far
 * apart. */
static void fetch_rows(const product *p, int i0, ptrdiff_t n, int k0)
{
    int n_k = p->n_k - k0 < DENSE_K ? p->n_k - k0 : DENSE_K;
    for (ptrdiff_t i = 0; i < n; i++)
        for (int k = 0; k < n_k; k += 16) __builtin_prefetch(p->a + (i0 + i) * p->n_k + k0 + k, 0, 2);
}

static void multiply(const product *p, float *workspace)
{
    float *block = workspace, *panel = workspace + (ptrdiff_t)DENSE_ROWS * DENSE_LD;
    const int most = (int)tile_rows(p->n_rows, DENSE_ROWS);
    for (int i0 = 0; i0 < p->n_rows; i0 += most) {
        const int n = p->n_rows - i0 < most ? p->n_rows - i0 : most;
        const ptrdiff_t rows = tile_rows(n, VEC_MUL_ROWS);
        for (int k0 = 0; k0 < p->n_k; k0 += DENSE_K) {
            int n_k = p->n_k - k0 < DENSE_K ? p->n_k - k0 : DENSE_K;
            const cnnbn__mul m = {.lda = DENSE_LD,
                                  .ldc = p->n_cols,
                                  .n_outer = 1,
                                  .n_inner = 1,
                                  .n_k = n_k,
                                  .add = k0 > 0,
                                  .relu = p->relu && k0 + n_k == p->n_k};
            load_rows(p, i0, n, k0, n_k, block);
            for (int col = 0; col < p->n_cols; col += TILE_COLS) {
                int cols = p->n_cols - col < TILE_COLS ? p->n_cols - col : TILE_COLS;
                float bias[TILE_COLS] = {0};
                if (p->bias && k0 == 0) memcpy(bias, p->bias + col, (size_t)cols * sizeof *bias);
                pack_panel(p, k0, n_k, col, cols, panel);
                for (ptrdiff_t i = 0; i < n; i += rows) {
                    ptrdiff_t count = n - i < rows ? n - i : rows;
                    mul_tiles[cols > VEC_LEN][count - 1](&m, block + i * DENSE_LD, panel, bias,
                                                         p->c + (i0 + i) * p->n_cols + col, cols);
                    if (col == 0 && k0 + n_k < p->n_k) fetch_rows(p, i0 + (int)i, count, k0 + n_k);
                }
            }
        }
    }
}

void simd_dense_fwd(const cnnbn_dense_plan *plan, const cnnbn_dense_fwd *args)
{
    if (simd_dense_is_few(plan)) {
        simd_dense_few_fwd(plan, args);
        return;
    }
    const cnnbn_run *run = args->run;
    int N = run->n_slices ? run->bounds[run->n_slices] : 0;
    const product p = {.n_rows = N,
                       .n_k = plan->F,
                       .n_cols = plan->U,
                       .a = args->x,
                       .in = &args->in,
                       .b = args->w,
                       .b_k = plan->U,
                       .b_col = 1,
                       .bias = args->bias,
                       .relu = act_is_relu(args->act),
                       .c = args->y};
    multiply(&p, args->workspace);
    if (act_is_apart(args->act)) EW(act_fwd)((size_t)N * (size_t)plan->U, args->act, args->y, args->y);
}

void simd_dense_bwd_data(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_data *args)
{
    if (simd_dense_is_few(plan)) {
        simd_dense_few_bwd_data(plan, args);
        return;
    }
    const cnnbn_run *run = args->run;
    const cnnbn_prologue none = {.act = {.kind = CNNBN_ACT_LINEAR}};
    const product p = {.n_rows = run->n_slices ? run->bounds[run->n_slices] : 0,
                       .n_k = plan->U,
                       .n_cols = plan->F,
                       .a = args->dy,
                       .in = &none,
                       .b = args->w,
                       .b_k = 1,
                       .b_col = plan->U,
                       .c = args->dx};
    multiply(&p, args->workspace);
}
