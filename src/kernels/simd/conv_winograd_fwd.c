/* Winograd, forward. Blocks of tiles may span samples and slices: the bits of a tile depend on the tile alone. */
#include "conv_winograd.h"
#include "stack.h"

/* Batch-norm sums about the slice's first output: float sums of STAT_TILES tiles (of 6x6: STAT_TILES_6), counted from the slice's first, are
 * flushed to double. */
enum { STAT_TILES = 4, STAT_TILES_6 = 2 };

typedef struct output {
    const cnnbn_conv_fwd *args;
    const cnnbn__wino *w;
    const float *bias;         /* [cols_k] */
    float *local, *sum, *sum2; /* [cols_k] each */
    int slice, height, relu, apart;
} output;

static double *stat_entry(const output *o)
{
    return o->args->stat + (size_t)o->height * o->args->stat_stride;
}

static void stat_flush(output *o)
{
    double *stat = stat_entry(o);
    ptrdiff_t K = o->w->g->K;
    for (ptrdiff_t k = 0; k < K; k++) {
        stat[k] += (double)o->sum[k];
        stat[K + k] += (double)o->sum2[k];
        o->sum[k] = 0.0f;
        o->sum2[k] = 0.0f;
    }
}

static void stat_clear(output *o)
{
    size_t K = (size_t)o->w->g->K;
    if (o->slice < o->args->run->n_slices) memset(stat_entry(o), 0, 2 * K * sizeof(double));
    memset(o->sum, 0, (size_t)o->w->cols_k * sizeof *o->sum);
    memset(o->sum2, 0, (size_t)o->w->cols_k * sizeof *o->sum2);
}

/* Closes every slice that ends at or before sample n. */
static void stat_close_slices(output *o, ptrdiff_t n)
{
    const cnnbn_run *run = o->args->run;
    const cnnbn_conv_geom *g = o->w->g;
    while (o->slice < run->n_slices && run->bounds[o->slice + 1] <= n) {
        int samples = run->bounds[o->slice + 1] - run->bounds[o->slice];
        if (samples) {
            stat_flush(o);
            EW(stat_close)
            ((size_t)samples * (size_t)g->P * (size_t)g->Q, g->K, o->local, o->args->stat_shift, stat_entry(o));
        }
        o->height =
            cnnbn__stack_push_f64(run, o->slice, o->height, 2 * (size_t)g->K, o->args->stat, o->args->stat_stride);
        o->slice++;
        stat_clear(o);
    }
}

/* A^T m A + bias of one vector of channels, the first rows x cols outputs of it. The bias is one addition at position (1, 1),
 * whose column of A^T is all ones. */
VEC_INLINE void output_vec(const int kind, const output *o, const int whole, const float *m, ptrdiff_t plane,
                           ptrdiff_t k, int first, int rows, int cols, float *y)
{
    const cnnbn_conv_geom *g = o->w->g;
    const int span = wino_span(kind), outputs = wino_outputs(kind);
    ptrdiff_t lanes = whole ? VEC_LEN : vec_lanes(g->K, k), row = (ptrdiff_t)g->Q * g->K, pixel = g->K;
    vec t[WINO_OUTPUTS_MAX][WINO_SPAN_MAX];
    VEC_UNROLL
    for (int j = 0; j < span; j++) {
        vec a[WINO_SPAN_MAX], b[WINO_OUTPUTS_MAX];
        const float *from = m + j * plane + k;
        VEC_OPAQUE(from);
        VEC_UNROLL
        for (int i = 0; i < span; i++) a[i] = vec_load(from + i * (span * plane));
        if (j == 1) a[1] = a[1] + vec_load(o->bias + k);
        wino_at_m(kind, a, b);
        VEC_UNROLL
        for (int i = 0; i < outputs; i++) t[i][j] = b[i];
    }
    const int stat = o->args->stat != NULL;
    vec local = vec_zero(), sum = vec_zero(), sum2 = vec_zero();
    if (stat) {
        local = vec_load(o->local + k);
        sum = vec_load(o->sum + k);
        sum2 = vec_load(o->sum2 + k);
    }
    VEC_UNROLL
    for (int i = 0; i < outputs; i++) {
        if (!whole && i >= rows) break;
        vec b[WINO_OUTPUTS_MAX];
        wino_at_m(kind, t[i], b);
        float *to = y + i * row + k;
        VEC_OPAQUE(to);
        VEC_UNROLL
        for (int j = 0; j < outputs; j++) {
            if (!whole && j >= cols) break;
            vec z = o->relu ? vec_relu(b[j]) : b[j];
            if (!whole && o->apart) {
                _Alignas(64) float one[VEC_LEN];
                vec_store(one, z);
                EW(act_fwd)(VEC_LEN, o->args->act, one, one);
                z = vec_load(one);
            }
            if (stat) {
                if (i == 0 && j == 0 && first) {
                    local = z;
                    vec_store(o->local + k, z);
                }
                vec d = z - local;
                sum = sum + d;
                sum2 = vec_fma(d, d, sum2);
            }
            if (whole)
                vec_store(to + j * pixel, z);
            else
                vec_store_part(to + j * pixel, z, lanes);
        }
    }
    if (stat) {
        vec_store(o->sum + k, sum);
        vec_store(o->sum2 + k, sum2);
    }
}

VEC_INLINE void output_tile_by(const int kind, output *o, ptrdiff_t tile, const float *m, ptrdiff_t plane)
{
    const cnnbn__wino *w = o->w;
    const cnnbn_conv_geom *g = w->g;
    cnnbn__wino_at at = wino_at(w, tile);
    const int outputs = wino_outputs(kind), p = at.i * outputs, q = at.j * outputs;
    const int rows = g->P - p < outputs ? g->P - p : outputs, cols = g->Q - q < outputs ? g->Q - q : outputs;
    float *y = o->args->y + ((at.sample * g->P + p) * g->Q + q) * g->K;
    ptrdiff_t in_slice = 0;
    if (o->args->stat) {
        if (at.i == 0 && at.j == 0) stat_close_slices(o, at.sample);
        in_slice = tile - (ptrdiff_t)o->args->run->bounds[o->slice] * w->tiles;
        if (in_slice && in_slice % (kind == WINO_6 ? STAT_TILES_6 : STAT_TILES) == 0) stat_flush(o);
    }
    ptrdiff_t k = 0;
    if (rows == outputs && cols == outputs && !o->apart)
        for (; k + VEC_LEN <= g->K; k += VEC_LEN) output_vec(kind, o, 1, m, plane, k, in_slice == 0, rows, cols, y);
    for (; k < g->K; k += VEC_LEN) output_vec(kind, o, 0, m, plane, k, in_slice == 0, rows, cols, y);
}

typedef void output_fn(output *o, ptrdiff_t tile, const float *m, ptrdiff_t plane);
#define OUTPUT(kind)                                                                           \
    static void output_tile_##kind(output *o, ptrdiff_t tile, const float *m, ptrdiff_t plane) \
    {                                                                                          \
        output_tile_by(kind, o, tile, m, plane);                                               \
    }
OUTPUT(0)
OUTPUT(1)
OUTPUT(2)
static output_fn *const output_tiles[WINO_KINDS] = {output_tile_0, output_tile_1, output_tile_2};

void winograd_fwd(const cnnbn_conv_plan *plan, const cnnbn_conv_fwd *args)
{
    const cnnbn_conv_geom *g = &plan->geom;
    cnnbn__wino w;
    wino_of(plan, &w);
    ptrdiff_t plane_v = wino_plane(w.fwd_block, w.ld_c), plane_m = wino_plane(w.fwd_block, w.ld_k);
    float *v = args->workspace, *m = v + w.places * plane_v, *rest = m + w.places * plane_m;
    output o = {args,
                &w,
                args->prepared + w.positions * w.plane_u,
                rest,
                rest + w.cols_k,
                rest + 2 * w.cols_k,
                0,
                0,
                act_is_relu(args->act),
                act_is_apart(args->act)};
    int N = args->run->n_slices ? args->run->bounds[args->run->n_slices] : 0;
    ptrdiff_t all = (ptrdiff_t)N * w.tiles;
    if (args->stat) stat_clear(&o);
    for (ptrdiff_t b = 0; b < all; b += w.fwd_block) {
        ptrdiff_t n = all - b < w.fwd_block ? all - b : w.fwd_block;
        wino_load_tiles(&w, args->x, &args->in, b, n, v, plane_v);
        const cnnbn__wino_product product = {n,         g->C, w.cols_k, v,      w.ld_c, plane_v, args->prepared,
                                             w.plane_u, m,    w.ld_k,   plane_m};
        cnnbn__fetch fetch = {0};
        ptrdiff_t next = all - b - n < w.fwd_block ? all - b - n : w.fwd_block;
        wino_rows_in(&w, b + n, next, args->x, &fetch.read, &fetch.read_end);
        wino_rows_out(&w, b, n, args->y, &fetch.write, &fetch.write_end);
        wino_products(&w, &product, &fetch);
        for (ptrdiff_t t = 0; t < n; t++) output_tiles[w.kind](&o, b + t, m + t * w.ld_k, plane_m);
    }
    if (args->stat) stat_close_slices(&o, N);
}
