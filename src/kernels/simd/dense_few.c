/* Dense layer of few units, such as the classes behind a Flatten: vectors run over the features, weights are kept transposed.
 *
 * The work is bound by reading x: every pass reads it once and writes nothing that can be made again. So the gradient behind a
 * batch norm, dz = dy w^T, is never stored whole: one pass takes its sums, another makes dz again and turns it into dx.
 */
#include "dense.h"
#include "stack.h"

int simd_dense_is_few(const cnnbn_dense_plan *plan)
{
    return plan->U <= DENSE_UNITS_FEW && plan->F >= 64; /* below that the packing of dense_fwd.c costs nothing */
}

void simd_dense_few_plan(cnnbn_dense_plan *plan)
{
    plan->prepared_floats = (size_t)few_blocks(plan) * FEW_BLOCK * (size_t)plan->U;
    plan->fuses_bn = 1;
    plan->bn_groups = few_blocks(plan) < FEW_GROUPS ? few_blocks(plan) : FEW_GROUPS;
    size_t partial = (size_t)plan->max_n * (size_t)plan->U * VEC_LEN + FEW_BLOCK;
    if (partial > plan->fwd_workspace_floats) plan->fwd_workspace_floats = partial;
    size_t channels = 2 * (size_t)plan->F; /* the batch norm's are not known here, and are not more */
    if (channels > plan->bwd_workspace_floats) plan->bwd_workspace_floats = channels;
}

/* A block of n features, [n][U], becomes [U][FEW_BLOCK]. Lines of the next block are fetched meanwhile: so many rows at once are too many for
 * the CPU's own prefetching. */
VEC_INLINE void turn_block(const int U, int n, const float *from, float *to)
{
    int f = 0;
    for (; f + VEC_LEN <= n; f += VEC_LEN) {
        VEC_UNROLL
        for (int u = 0; u < U; u += VEC_LEN) {
            const int lanes = U - u < VEC_LEN ? U - u : VEC_LEN;
            vec square[VEC_LEN];
            VEC_UNROLL
            for (int i = 0; i < VEC_LEN; i++) square[i] = vec_load_part(from + (f + i) * U + u, lanes);
            vec_transpose(square);
            VEC_UNROLL
            for (int i = 0; i < lanes; i++) {
                vec_store(to + (u + i) * FEW_BLOCK + f, square[i]);
                __builtin_prefetch(to + (U + u + i) * FEW_BLOCK + f, 1, 2);
            }
        }
    }
    for (; f < FEW_BLOCK; f++)
        for (int u = 0; u < U; u++) to[u * FEW_BLOCK + f] = f < n ? from[f * U + u] : 0.0f;
}

typedef void turn_fn(int n, const float *from, float *to);
#define TURN(U)                                               \
    static void turn_##U(int n, const float *from, float *to) \
    {                                                         \
        turn_block(U, n, from, to);                           \
    }
FEW_EACH(TURN)
#define TURN_ENTRY(U) turn_##U,
static turn_fn *const turns[DENSE_UNITS_FEW] = {FEW_EACH(TURN_ENTRY)};

void simd_dense_few_prepare(const cnnbn_dense_plan *plan, const float *w, float *prepared, int part, int n_parts)
{
    const int U = plan->U, end = cnnbn_part_begin(few_blocks(plan), n_parts, part + 1);
    for (int b = cnnbn_part_begin(few_blocks(plan), n_parts, part); b < end; b++) {
        const int f0 = b * FEW_BLOCK, n = plan->F - f0 < FEW_BLOCK ? plan->F - f0 : FEW_BLOCK;
        turns[U - 1](n, w + (ptrdiff_t)f0 * U, prepared + (ptrdiff_t)b * FEW_BLOCK * U);
    }
}

/* ---------------------------------------------------------------- forward */

/* Samples of a register tile: their partial sums and a few more have to fit in the registers. */
#if defined(__AVX512F__)
enum { FEW_SAMPLES = 2, FEW_UNITS_PAIRED = 12 };
#else
enum { FEW_SAMPLES = 1, FEW_UNITS_PAIRED = 0 };
#endif

/* How x' is made of x in a block: nothing, or the affine of whole vectors of channels with an optional ReLU. */
typedef struct few_load {
    const float *mean, *scale, *beta; /* NULL: nothing */
    int period, c0, relu;
} few_load;

VEC_INLINE vec load_x(const float *x, const few_load *l, int c)
{
    vec v = vec_load(x);
    if (!l->mean) return v;
    v = vec_fma(v - vec_load(l->mean + c), vec_load(l->scale + c), vec_load(l->beta + c));
    return l->relu ? vec_relu(v) : v;
}

/* partial[s][u] += x'[s] . w[u] over one block of n features (whole vectors), lane by lane. */
VEC_INLINE void dot_block(int samples, int U, int n, const float *x, ptrdiff_t x_stride, const few_load *l,
                          const float *w, float *partial)
{
    vec sum[FEW_SAMPLES][DENSE_UNITS_FEW];
    VEC_UNROLL
    for (int s = 0; s < samples; s++) VEC_UNROLL
    for (int u = 0; u < U; u++) sum[s][u] = vec_zero();
    int c = l->c0;
    for (int f = 0; f < n; f += VEC_LEN) {
        vec v[FEW_SAMPLES];
        VEC_UNROLL
        for (int s = 0; s < samples; s++) {
            v[s] = load_x(x + s * x_stride + f, l, c);
            __builtin_prefetch(x + (samples + s) * x_stride + f, 0, 3);
        }
        VEC_UNROLL
        for (int u = 0; u < U; u++) {
            vec k = vec_load(w + u * FEW_BLOCK + f);
            VEC_KEEP(k);
            VEC_UNROLL
            for (int s = 0; s < samples; s++) sum[s][u] = vec_fma(v[s], k, sum[s][u]);
        }
        c += VEC_LEN;
        if (c == l->period) c = 0;
    }
    VEC_UNROLL
    for (int s = 0; s < samples; s++) VEC_UNROLL
    for (int u = 0; u < U; u++) {
        float *at = partial + (s * U + u) * VEC_LEN;
        vec_store(at, vec_load(at) + sum[s][u]);
    }
}

typedef void dot_fn(int n, const float *x, ptrdiff_t x_stride, const few_load *l, const float *w, float *partial);

#define DOT(U)                                                                                               \
    static void dot_one_##U(int n, const float *x, ptrdiff_t s, const few_load *l, const float *w, float *p) \
    {                                                                                                        \
        dot_block(1, U, n, x, s, l, w, p);                                                                   \
    }                                                                                                        \
    static void dot_two_##U(int n, const float *x, ptrdiff_t s, const few_load *l, const float *w, float *p) \
    {                                                                                                        \
        dot_block(U <= FEW_UNITS_PAIRED ? FEW_SAMPLES : 1, U, n, x, s, l, w, p);                             \
    }
FEW_EACH(DOT)
#define DOT_ENTRY(U) {dot_one_##U, dot_two_##U},
static dot_fn *const dots[DENSE_UNITS_FEW][2] = {FEW_EACH(DOT_ENTRY)};

/* Halves added to halves: the same order whatever the compiler does. */
static float add_lanes(const float *lanes)
{
    float sum[VEC_LEN];
    memcpy(sum, lanes, sizeof sum);
    for (int half = VEC_LEN / 2; half; half /= 2)
        for (int i = 0; i < half; i++) sum[i] += sum[i + half];
    return sum[0];
}

/* Whether the prologue can be applied vector by vector as x is read. */
static int loads_in_line(const cnnbn_prologue *in)
{
    if (prologue_is_none(in)) return 1;
    return in->mean && in->period % VEC_LEN == 0 && (in->act.kind == CNNBN_ACT_LINEAR || act_is_relu(in->act));
}

void simd_dense_few_fwd(const cnnbn_dense_plan *plan, const cnnbn_dense_fwd *args)
{
    const cnnbn_run *run = args->run;
    const int N = run->n_slices ? run->bounds[run->n_slices] : 0, U = plan->U, F = plan->F;
    float *partial = args->workspace, *row = partial + (ptrdiff_t)plan->max_n * U * VEC_LEN;
    const int in_line = loads_in_line(&args->in), two = U <= FEW_UNITS_PAIRED ? FEW_SAMPLES : 1;
    memset(partial, 0, (size_t)N * (size_t)U * VEC_LEN * sizeof *partial);
    for (int b = 0; b < few_blocks(plan); b++) {
        const int f0 = b * FEW_BLOCK, n = F - f0 < FEW_BLOCK ? F - f0 : FEW_BLOCK;
        const float *w = few_block(args->prepared, U, b);
        few_load l = {NULL, NULL, NULL, 0, 0, 0};
        if (args->in.mean)
            l = (few_load){args->in.mean,   args->in.scale,       args->in.beta,
                           args->in.period, f0 % args->in.period, act_is_relu(args->in.act)};
        if (in_line && n % VEC_LEN == 0) {
            int i = 0;
            for (; i + two <= N; i += two)
                dots[U - 1][1](n, args->x + (ptrdiff_t)i * F + f0, F, &l, w, partial + (ptrdiff_t)i * U * VEC_LEN);
            for (; i < N; i++)
                dots[U - 1][0](n, args->x + (ptrdiff_t)i * F + f0, F, &l, w, partial + (ptrdiff_t)i * U * VEC_LEN);
            continue;
        }
        const few_load none = {NULL, NULL, NULL, 0, 0, 0};
        const int whole = (int)vec_round_up(n);
        for (int i = 0; i < N; i++) {
            dense_load(n, f0, &args->in, args->x + (ptrdiff_t)i * F + f0, row);
            for (int f = n; f < whole; f++) row[f] = 0.0f;
            dots[U - 1][0](whole, row, 0, &none, w, partial + (ptrdiff_t)i * U * VEC_LEN);
        }
    }
    for (int i = 0; i < N; i++)
        for (int u = 0; u < U; u++) {
            float sum = add_lanes(partial + ((ptrdiff_t)i * U + u) * VEC_LEN) + (args->bias ? args->bias[u] : 0.0f);
            args->y[(ptrdiff_t)i * U + u] = act_is_relu(args->act) && sum < 0 ? 0.0f : sum;
        }
    if (act_is_apart(args->act)) EW(act_fwd)((size_t)N * (size_t)U, args->act, args->y, args->y);
}

/* ---------------------------------------------------------------- backward data */

/* One vector of dz = dy w^T for one sample. */
VEC_INLINE vec dz_vec(int U, const vec *d, const float *w)
{
    vec sum = d[0] * vec_load(w);
    VEC_UNROLL
    for (int u = 1; u < U; u++) sum = vec_fma(d[u], vec_load(w + u * FEW_BLOCK), sum);
    return sum;
}

VEC_INLINE void broadcast(int U, const float *dy, vec *d)
{
    VEC_UNROLL
    for (int u = 0; u < U; u++) d[u] = vec_set1(dy[u]);
}

VEC_INLINE void data_block(int U, int n, const float *dy, const float *w, float *dx)
{
    vec d[DENSE_UNITS_FEW];
    broadcast(U, dy, d);
    int f = 0;
    for (; f + VEC_LEN <= n; f += VEC_LEN) vec_store(dx + f, dz_vec(U, d, w + f));
    if (f < n) vec_store_part(dx + f, dz_vec(U, d, w + f), n - f);
}

typedef void data_fn(int n, const float *dy, const float *w, float *dx);
#define DATA(U)                                                             \
    static void data_##U(int n, const float *dy, const float *w, float *dx) \
    {                                                                       \
        data_block(U, n, dy, w, dx);                                        \
    }
FEW_EACH(DATA)
#define DATA_ENTRY(U) data_##U,
static data_fn *const datas[DENSE_UNITS_FEW] = {FEW_EACH(DATA_ENTRY)};

void simd_dense_few_bwd_data(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_data *args)
{
    const cnnbn_run *run = args->run;
    const int N = run->n_slices ? run->bounds[run->n_slices] : 0, U = plan->U, F = plan->F;
    for (int b = 0; b < few_blocks(plan); b++) {
        const int f0 = b * FEW_BLOCK, n = F - f0 < FEW_BLOCK ? F - f0 : FEW_BLOCK;
        for (int i = 0; i < N; i++)
            datas[U - 1](n, args->dy + (ptrdiff_t)i * U, few_block(args->prepared, U, b),
                         args->dx + (ptrdiff_t)i * F + f0);
    }
}

/* ---------------------------------------------------------------- backward through a batch norm */

/* What happens to a vector of dz: its sums by channel, or dx. Channel arrays are indexed by c. */
typedef struct through {
    const float *mean, *a, *b, *c0;
    float *sum_g, *sum_gx; /* [period] */
    int period, c0_index, relu;
} through;

VEC_INLINE void sums_block(int U, int n, const float *dy, const float *w, const float *x, const through *t)
{
    vec d[DENSE_UNITS_FEW];
    broadcast(U, dy, d);
    int c = t->c0_index;
    for (int f = 0; f < n; f += VEC_LEN) {
        vec g = dz_vec(U, d, w + f);
        __builtin_prefetch(x + FEW_BLOCK + f, 0, 3);
        vec_store(t->sum_g + c, vec_load(t->sum_g + c) + g);
        vec_store(t->sum_gx + c, vec_fma(g, vec_load(x + f) - vec_load(t->mean + c), vec_load(t->sum_gx + c)));
        c += VEC_LEN;
        if (c == t->period) c = 0;
    }
}

/* x where keep is positive (or NaN), 0 where it is not: the slope of the ReLU that made `keep`. */
VEC_INLINE vec mask_positive(vec keep, vec x)
{
    return (vec)((vec_int)x & (keep > vec_zero()));
}

/* Of samples F features apart, which share what is read of the weights and of the batch norm. */
VEC_INLINE void apply_block(int samples, int U, int n, const float *dy, const float *w, const float *x, ptrdiff_t F,
                            const through *t, float *dx)
{
    vec d[FEW_SAMPLES][DENSE_UNITS_FEW];
    VEC_UNROLL
    for (int s = 0; s < samples; s++) broadcast(U, dy + s * U, d[s]);
    int c = t->c0_index;
    for (int f = 0; f < n; f += VEC_LEN) {
        vec g[FEW_SAMPLES], k = vec_load(w + f);
        VEC_UNROLL
        for (int s = 0; s < samples; s++) g[s] = d[s][0] * k;
        VEC_UNROLL
        for (int u = 1; u < U; u++) {
            k = vec_load(w + u * FEW_BLOCK + f);
            VEC_KEEP(k);
            VEC_UNROLL
            for (int s = 0; s < samples; s++) g[s] = vec_fma(d[s][u], k, g[s]);
        }
        vec mean = vec_load(t->mean + c), a = vec_load(t->a + c), b = vec_load(t->b + c), c0 = vec_load(t->c0 + c);
        VEC_UNROLL
        for (int s = 0; s < samples; s++) {
            vec v = vec_load(x + s * F + f);
            __builtin_prefetch(x + s * F + FEW_BLOCK + f, 0, 3);
            vec y = vec_fma(a, g[s], vec_fma(v - mean, b, c0));
            vec_store(dx + s * F + f, t->relu ? mask_positive(v, y) : y);
        }
        c += VEC_LEN;
        if (c == t->period) c = 0;
    }
}

typedef void sums_fn(int n, const float *dy, const float *w, const float *x, const through *t);
typedef void apply_fn(int n, const float *dy, const float *w, const float *x, ptrdiff_t F, const through *t, float *dx);
#define THROUGH(U)                                                                                                   \
    static void sums_##U(int n, const float *dy, const float *w, const float *x, const through *t)                   \
    {                                                                                                                \
        sums_block(U, n, dy, w, x, t);                                                                               \
    }                                                                                                                \
    static void apply_one_##U(int n, const float *dy, const float *w, const float *x, ptrdiff_t F, const through *t, \
                              float *dx)                                                                             \
    {                                                                                                                \
        apply_block(1, U, n, dy, w, x, F, t, dx);                                                                    \
    }                                                                                                                \
    static void apply_two_##U(int n, const float *dy, const float *w, const float *x, ptrdiff_t F, const through *t, \
                              float *dx)                                                                             \
    {                                                                                                                \
        apply_block(U <= FEW_UNITS_PAIRED ? FEW_SAMPLES : 1, U, n, dy, w, x, F, t, dx);                              \
    }
FEW_EACH(THROUGH)
#define SUMS_ENTRY(U) sums_##U,
#define APPLY_ENTRY(U) {apply_one_##U, apply_two_##U},
static sums_fn *const block_sums[DENSE_UNITS_FEW] = {FEW_EACH(SUMS_ENTRY)};
static apply_fn *const applies[DENSE_UNITS_FEW][2] = {FEW_EACH(APPLY_ENTRY)};

/* Sums of the samples [begin, end): float sums of one block of features of all samples, flushed to double. */
static void slice_sums(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_bn *args, int begin, int end, double *sums)
{
    const int U = plan->U, F = plan->F, C = args->in.period;
    float *g = args->workspace, *gx = g + C;
    memset(sums, 0, 2 * (size_t)C * sizeof *sums);
    for (int b = 0; b < few_blocks(plan); b++) {
        const int f0 = b * FEW_BLOCK, n = F - f0 < FEW_BLOCK ? F - f0 : FEW_BLOCK;
        const through t = {.mean = args->in.mean, .sum_g = g, .sum_gx = gx, .period = C, .c0_index = f0 % C};
        memset(g, 0, 2 * (size_t)C * sizeof *g);
        for (int i = begin; i < end; i++)
            block_sums[U - 1](n, args->dy + (ptrdiff_t)i * U, few_block(args->prepared, U, b),
                              args->x + (ptrdiff_t)i * F + f0, &t);
        for (int c = 0; c < C; c++) {
            sums[c] += (double)g[c];
            sums[C + c] += (double)gx[c];
        }
    }
}

void simd_dense_few_bwd_bn(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_bn *args)
{
    const cnnbn_run *run = args->run;
    const int N = run->n_slices ? run->bounds[run->n_slices] : 0, U = plan->U, F = plan->F, C = args->in.period;
    if (args->sums) {
        int height = 0;
        for (int s = 0; s < run->n_slices; s++) {
            slice_sums(plan, args, run->bounds[s], run->bounds[s + 1], args->sums + (size_t)height * args->sums_stride);
            height = cnnbn__stack_push_f64(run, s, height, 2 * (size_t)C, args->sums, args->sums_stride);
        }
    }
    if (!args->dx) return;
    const int two = U <= FEW_UNITS_PAIRED ? FEW_SAMPLES : 1;
    for (int b = 0; b < few_blocks(plan); b++) {
        const int f0 = b * FEW_BLOCK, n = F - f0 < FEW_BLOCK ? F - f0 : FEW_BLOCK;
        const through t = {.mean = args->in.mean,
                           .a = args->a,
                           .b = args->b,
                           .c0 = args->c0,
                           .period = C,
                           .c0_index = f0 % C,
                           .relu = act_is_relu(args->pre)};
        for (int i = 0, step; i < N; i += step) {
            step = N - i < two ? 1 : two;
            applies[U - 1][step == two](n, args->dy + (ptrdiff_t)i * U, few_block(args->prepared, U, b),
                                        args->x + (ptrdiff_t)i * F + f0, F, &t, args->dx + (ptrdiff_t)i * F + f0);
        }
    }
}
