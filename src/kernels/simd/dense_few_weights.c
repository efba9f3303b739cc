/* Dense layer of few units, backward weights: x is read once, straight from its rows, for all units at once; the tree over slices
 * runs in registers and the nearest caches. A batch norm in front gets its sums on the way: from w and dw, where dz would cost as much as dw. */
#include "dense.h"
#include "stack.h"

/* Vectors of features at once: their sums for all units and a few more have to fit in the registers. */
#if defined(__AVX512F__)
enum { FEW_VECS = 2, FEW_VECS_UNITS = 12 };
#else
enum { FEW_VECS = 1, FEW_VECS_UNITS = 16 };
#endif

/* Tiles done before the next slice's turn. */
enum { FEW_TILES = 8 };

typedef struct few_weights {
    const cnnbn_dense_bwd_weights *args;
    ptrdiff_t F;
    const float *mean; /* [period], or NULL: x as it is */
    float *partial;    /* [n_slices + U][period] of the group, or NULL */
} few_weights;

/* Sums over a slice, or over the w of the group, by channel. */
VEC_INLINE void add_to(float *sum, vec x)
{
    vec_store(sum, vec_load(sum) + x);
}

VEC_INLINE ptrdiff_t next_channel(ptrdiff_t c, ptrdiff_t period)
{
    return c + VEC_LEN < period ? c + VEC_LEN : 0;
}

/* sums[u * tv]: VEC_LEN features of unit u; to: [VEC_LEN][U] */
VEC_INLINE void store_turned(const int tv, const int U, float (*sums)[VEC_LEN], float *to)
{
    for (int u = 0; u < U; u += VEC_LEN) {
        const int lanes = U - u < VEC_LEN ? U - u : VEC_LEN;
        vec square[VEC_LEN];
        VEC_UNROLL
        for (int i = 0; i < VEC_LEN; i++) square[i] = i < lanes ? vec_load(sums[(u + i) * tv]) : vec_zero();
        vec_transpose(square);
        VEC_UNROLL
        for (int i = 0; i < VEC_LEN; i++) vec_store_part(to + i * U + u, square[i], lanes);
    }
}

/* dw of `tiles` times tv vectors of features from f on; w: their weights, [U] FEW_BLOCK apart; c: channel of f. A slice's rows
 * are read along so many features that the rows of the next slice, fetched meanwhile, are there in time: samples are as far
 * apart as whole images, often by a power of two, so neither the CPU's own prefetching nor L1 would do. */
VEC_INLINE void weights_tiles(const int tv, const int U, const few_weights *t, ptrdiff_t f, const float *w, ptrdiff_t c,
                              int tiles)
{
    _Alignas(64) float stack[CNNBN_TREE_DEPTH][FEW_TILES][DENSE_UNITS_FEW * FEW_VECS][VEC_LEN];
    const cnnbn_dense_bwd_weights *args = t->args;
    const cnnbn_run *run = args->run;
    const ptrdiff_t F = t->F, C = args->in.period, step = tv * VEC_LEN;
    if (t->partial)
        for (int u = 0; u < U; u++) {
            ptrdiff_t channel = c;
            for (ptrdiff_t i = 0; i < tiles * step; i += VEC_LEN, channel = next_channel(channel, C)) {
                add_to(t->partial + (run->n_slices + u) * C + channel, vec_load(w + u * FEW_BLOCK + i));
                __builtin_prefetch(w + u * FEW_BLOCK + tiles * step + i, 0, 2);
            }
        }
    int height = 0;
    for (int s = 0; s < run->n_slices; s++) {
        const int merges = run->n_merge[s], samples = run->bounds[s + 1] - run->bounds[s];
        ptrdiff_t channel = c;
        for (int tile = 0; tile < tiles; tile++) {
            const ptrdiff_t at = tile * step;
            vec mean[FEW_VECS], sum[DENSE_UNITS_FEW][FEW_VECS];
            ptrdiff_t of[FEW_VECS];
            VEC_UNROLL
            for (int v = 0; v < tv; v++) {
                of[v] = channel;
                if (t->mean) channel = next_channel(channel, C);
                mean[v] = t->mean ? vec_load(t->mean + of[v]) : vec_zero();
            }
            VEC_UNROLL
            for (int u = 0; u < U; u++) VEC_UNROLL
            for (int v = 0; v < tv; v++) sum[u][v] = vec_zero();
            const float *x = args->x + run->bounds[s] * F + f + at, *dy = args->dy + (ptrdiff_t)run->bounds[s] * U;
            for (int n = 0; n < samples; n++, x += F, dy += U) {
                vec xv[FEW_VECS];
                VEC_UNROLL
                for (int v = 0; v < tv; v++) {
                    xv[v] = vec_load(x + v * VEC_LEN);
                    if (t->mean) xv[v] = xv[v] - mean[v];
                    __builtin_prefetch(x + samples * F + v * VEC_LEN, 0, 2);
                }
                VEC_UNROLL
                for (int u = 0; u < U; u++) {
                    vec d = vec_set1(dy[u]);
                    VEC_UNROLL
                    for (int v = 0; v < tv; v++) sum[u][v] = vec_fma(d, xv[v], sum[u][v]);
                }
            }
            if (t->partial) VEC_UNROLL
            for (int v = 0; v < tv; v++) {
                vec gx = vec_zero();
                VEC_UNROLL
                for (int u = 0; u < U; u++) gx = vec_fma(vec_load(w + u * FEW_BLOCK + at + v * VEC_LEN), sum[u][v], gx);
                add_to(t->partial + s * C + of[v], gx);
            }
            for (int m = 1; m <= merges; m++) VEC_UNROLL
            for (int u = 0; u < U; u++) VEC_UNROLL
            for (int v = 0; v < tv; v++) sum[u][v] = vec_load(stack[height - m][tile][u * tv + v]) + sum[u][v];
            VEC_UNROLL
            for (int u = 0; u < U; u++) VEC_UNROLL
            for (int v = 0; v < tv; v++) vec_store(stack[height - merges][tile][u * tv + v], sum[u][v]);
        }
        height += 1 - merges;
    }
    for (int e = 0; e < height; e++) {
        float *to = args->dw + (size_t)e * args->dw_stride + f * U;
        for (int tile = 0; tile < tiles; tile++)
            for (int v = 0; v < tv; v++, to += VEC_LEN * U) store_turned(tv, U, stack[e][tile] + v, to);
    }
}

typedef void weights_fn(const few_weights *t, ptrdiff_t f, const float *w, ptrdiff_t c, int tiles);
#define WEIGHTS(U)                                                                                         \
    static void weights_one_##U(const few_weights *t, ptrdiff_t f, const float *w, ptrdiff_t c, int tiles) \
    {                                                                                                      \
        weights_tiles(1, U, t, f, w, c, tiles);                                                            \
    }                                                                                                      \
    static void weights_all_##U(const few_weights *t, ptrdiff_t f, const float *w, ptrdiff_t c, int tiles) \
    {                                                                                                      \
        weights_tiles(U <= FEW_VECS_UNITS ? FEW_VECS : 1, U, t, f, w, c, tiles);                           \
    }
FEW_EACH(WEIGHTS)
#define WEIGHTS_ENTRY(U) {weights_one_##U, weights_all_##U},
static weights_fn *const weights[DENSE_UNITS_FEW][2] = {FEW_EACH(WEIGHTS_ENTRY)};

int simd_dense_few_reads(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_weights *args)
{
    return args->bn_partial ||
           (plan->prepared_floats && plan->F % VEC_LEN == 0 && prologue_is_none(&args->in) && simd_dense_is_few(plan));
}

static int tiles_of(ptrdiff_t n, ptrdiff_t step)
{
    return n / step < FEW_TILES ? (int)(n / step) : FEW_TILES;
}

/* Blocks [begin, end). */
static void blocks(const cnnbn_dense_plan *plan, const few_weights *t, int begin, int end)
{
    const int U = plan->U, step = (U <= FEW_VECS_UNITS ? FEW_VECS : 1) * VEC_LEN;
    for (int b = begin; b < end; b++) {
        const ptrdiff_t f0 = (ptrdiff_t)b * FEW_BLOCK, n = plan->F - f0 < FEW_BLOCK ? plan->F - f0 : FEW_BLOCK;
        const float *w = t->partial ? few_block(t->args->prepared, U, b) : NULL;
        const ptrdiff_t period = t->mean ? t->args->in.period : 1;
        ptrdiff_t f = 0;
        for (int tiles; (tiles = tiles_of(n - f, step)) > 0; f += tiles * step)
            weights[U - 1][1](t, f0 + f, w + f, (f0 + f) % period, tiles);
        for (int tiles; (tiles = tiles_of(n - f, VEC_LEN)) > 0; f += tiles * VEC_LEN)
            weights[U - 1][0](t, f0 + f, w + f, (f0 + f) % period, tiles);
    }
}

void simd_dense_few_bwd_weights(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_weights *args)
{
    few_weights t = {args, plan->F, args->bn_partial ? args->in.mean : NULL, NULL};
    const int all = few_blocks(plan);
    if (!args->bn_partial) {
        blocks(plan, &t, cnnbn_part_begin(all, args->n_parts, args->part),
               cnnbn_part_begin(all, args->n_parts, args->part + 1));
        return;
    }
    const size_t group_floats = (size_t)(args->run->n_slices + plan->U) * (size_t)args->in.period;
    const int end = cnnbn_part_begin(plan->bn_groups, args->n_parts, args->part + 1);
    for (int g = cnnbn_part_begin(plan->bn_groups, args->n_parts, args->part); g < end; g++) {
        t.partial = args->bn_partial + (size_t)g * group_floats;
        memset(t.partial, 0, group_floats * sizeof *t.partial);
        blocks(plan, &t, cnnbn_part_begin(all, plan->bn_groups, g), cnnbn_part_begin(all, plan->bn_groups, g + 1));
    }
}

/* sum over groups of row `row` of bn_partial. */
static void add_groups(const cnnbn_dense_plan *plan, const cnnbn_dense_bn_join *args, int row, double *sum)
{
    const size_t C = (size_t)args->period, group_floats = (size_t)(args->run->n_slices + plan->U) * C;
    memset(sum, 0, C * sizeof *sum);
    for (int g = 0; g < plan->bn_groups; g++) {
        const float *from = args->bn_partial + (size_t)g * group_floats + (size_t)row * C;
        for (size_t c = 0; c < C; c++) sum[c] += (double)from[c];
    }
}

/* The sum of dz by channel is that of w, which all samples share, times dy's. */
void simd_dense_few_bn_join(const cnnbn_dense_plan *plan, const cnnbn_dense_bn_join *args)
{
    const cnnbn_run *run = args->run;
    const int U = plan->U;
    const size_t C = (size_t)args->period;
    double *w_sum = (double *)(void *)args->workspace; /* [U][C] */
    for (int u = 0; u < U; u++) add_groups(plan, args, run->n_slices + u, w_sum + (size_t)u * C);
    int height = 0;
    for (int s = 0; s < run->n_slices; s++) {
        double *sum = args->sums + (size_t)height * args->sums_stride;
        memset(sum, 0, C * sizeof *sum);
        for (int u = 0; u < U; u++) {
            double dy = 0;
            for (int n = run->bounds[s]; n < run->bounds[s + 1]; n++) dy += (double)args->dy[(ptrdiff_t)n * U + u];
            for (size_t c = 0; c < C; c++) sum[c] += w_sum[(size_t)u * C + c] * dy;
        }
        add_groups(plan, args, s, sum + C);
        height = cnnbn__stack_push_f64(run, s, height, 2 * C, args->sums, args->sums_stride);
    }
}
