/* Winograd, forward. The bits of a tile depend on the tile alone. Blocks may span slices, but where shapes are mixed, as the order of tiles
 * is then by groups, and the sums for a batch norm are in this order. */
#include "conv_winograd.h"
#include "stack.h"

/* Batch-norm sums about the slice's first output: float sums of STAT_TILES tiles (where some have six rows or columns: STAT_TILES_6), counted
 * from the slice's first, are flushed to double. */
enum { STAT_TILES = 4, STAT_TILES_6 = 2 };

typedef struct output {
    const cnnbn_conv_fwd *args;
    const cnnbn__wino *w;
    const float *bias;         /* [cols_k] */
    float *local, *sum, *sum2; /* [cols_k] each */
    int slice, height, relu, apart, stat_tiles;
    ptrdiff_t in_slice; /* tiles of it that are done or begun */
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
        o->in_slice = 0;
        stat_clear(o);
    }
}

/* A^T m A + bias of one vector of channels, the first rows x cols outputs of it. The bias is one addition at position (1, 1),
 * whose column of A^T is all ones. */
VEC_INLINE void output_vec(const int shape, const output *o, const int whole, const float *m, ptrdiff_t plane,
                           ptrdiff_t k, int first, int rows, int cols, float *y)
{
    const cnnbn_conv_geom *g = o->w->g;
    const int down = wino_down(shape), across = wino_across(shape), pitch = wino_pitch(shape, o->w->across.places);
    const int n_down = wino_outputs(down), n_across = wino_outputs(across);
    ptrdiff_t lanes = whole ? VEC_LEN : vec_lanes(g->K, k), row = (ptrdiff_t)g->Q * g->K, pixel = g->K;
    vec t[WINO_OUTPUTS_MAX][WINO_PLACES_MAX];
    VEC_UNROLL
    for (int j = 0; j < wino_span(across); j++) {
        vec a[WINO_PLACES_MAX], b[WINO_OUTPUTS_MAX];
        const float *from = m + j * plane + k;
        VEC_OPAQUE(from);
        VEC_UNROLL
        for (int i = 0; i < wino_span(down); i++) a[i] = vec_load(from + i * (pitch * plane));
        if (j == 1) a[1] = a[1] + vec_load(o->bias + k);
        wino_at_m(down, a, b);
        VEC_UNROLL
        for (int i = 0; i < n_down; i++) t[i][j] = b[i];
    }
    const int stat = o->args->stat != NULL;
    vec local = vec_zero(), sum = vec_zero(), sum2 = vec_zero();
    if (stat) {
        local = vec_load(o->local + k);
        sum = vec_load(o->sum + k);
        sum2 = vec_load(o->sum2 + k);
    }
    VEC_UNROLL
    for (int i = 0; i < n_down; i++) {
        if (!whole && i >= rows) break;
        vec b[WINO_OUTPUTS_MAX];
        wino_at_m(across, t[i], b);
        float *to = y + i * row + k;
        VEC_OPAQUE(to);
        VEC_UNROLL
        for (int j = 0; j < n_across; j++) {
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

VEC_INLINE void output_tile_by(const int shape, output *o, const cnnbn__wino_tile *at, const float *m, ptrdiff_t plane)
{
    const cnnbn_conv_geom *g = o->w->g;
    const int n_down = wino_outputs(wino_down(shape)), n_across = wino_outputs(wino_across(shape));
    const int rows = wino_within(g->P - at->p, n_down), cols = wino_within(g->Q - at->q, n_across);
    float *y = o->args->y + (((ptrdiff_t)at->sample * g->P + at->p) * g->Q + at->q) * g->K;
    const int first = o->in_slice == 1;
    ptrdiff_t k = 0;
    if (rows == n_down && cols == n_across && !o->apart)
        for (; k + VEC_LEN <= g->K; k += VEC_LEN) output_vec(shape, o, 1, m, plane, k, first, rows, cols, y);
    for (; k < g->K; k += VEC_LEN) output_vec(shape, o, 0, m, plane, k, first, rows, cols, y);
}

typedef void output_fn(output *o, const cnnbn__wino_tile *at, const float *m, ptrdiff_t plane);
#define OUTPUT(shape)                                                                                       \
    static void output_tile_##shape(output *o, const cnnbn__wino_tile *at, const float *m, ptrdiff_t plane) \
    {                                                                                                       \
        output_tile_by(shape, o, at, m, plane);                                                             \
    }
#define OUTPUT_ENTRY(shape) output_tile_##shape,
WINO_EACH_SHAPE(OUTPUT)
static output_fn *const output_tiles[WINO_SHAPES] = {WINO_EACH_SHAPE(OUTPUT_ENTRY)};

static void output_block(output *o, const cnnbn__wino_block *b, const float *m, ptrdiff_t plane)
{
    const cnnbn__wino *w = o->w;
    cnnbn__wino_tile at = b->begin;
    for (ptrdiff_t t = 0; t < b->n; t++, wino_go_on(w, b, 1, &at)) {
        if (o->args->stat) {
            if (at.i == 0 && at.j == 0) stat_close_slices(o, at.sample);
            if (o->in_slice && o->in_slice % o->stat_tiles == 0) stat_flush(o);
            o->in_slice++;
        }
        output_tiles[at.shape](o, &at, m + t * w->ld_k, plane);
    }
}

/* Samples [first, limit), of one slice where shapes are mixed. */
static void forward(output *o, int first, int limit, float *v, float *m)
{
    const cnnbn__wino *w = o->w;
    const cnnbn_conv_fwd *args = o->args;
    const ptrdiff_t plane_v = wino_plane(w->fwd_block, w->ld_c), plane_m = wino_plane(w->fwd_block, w->ld_k);
    const cnnbn__wino_product product = {w->g->C,        w->cols_k,  v, w->ld_c, plane_v,
                                         args->prepared, w->plane_u, m, w->ld_k, plane_m};
    cnnbn__wino_block b = wino_block_of(w, first, limit, w->fwd_block), next;
    for (; b.n; b = next) {
        cnnbn__fetch fetch = {0};
        next = wino_next_block(w, &b, w->fwd_block);
        wino_memory(w, &next, 1, args->x, &fetch.read, &fetch.read_end);
        wino_memory(w, &b, 0, args->y, &fetch.write, &fetch.write_end);
        wino_load_tiles(w, args->x, &args->in, &b, v, plane_v);
        wino_products(w, &b, &product, &fetch);
        output_block(o, &b, m, plane_m);
    }
}

void winograd_fwd(const cnnbn_conv_plan *plan, const cnnbn_conv_fwd *args)
{
    cnnbn__wino w;
    wino_of(plan, &w);
    float *v = args->workspace, *m = v + w.places * wino_plane(w.fwd_block, w.ld_c);
    float *rest = m + w.places * wino_plane(w.fwd_block, w.ld_k);
    output o = {.args = args,
                .w = &w,
                .bias = args->prepared + w.positions * w.plane_u,
                .local = rest,
                .sum = rest + w.cols_k,
                .sum2 = rest + 2 * w.cols_k,
                .relu = act_is_relu(args->act),
                .apart = act_is_apart(args->act),
                .stat_tiles = w.shape[0][0] == WINO_4X4 || w.shape[0][0] == WINO_STRIDED ? STAT_TILES : STAT_TILES_6};
    const cnnbn_run *run = args->run;
    if (args->stat) stat_clear(&o);
    const int N = run->n_slices ? run->bounds[run->n_slices] : 0;
    if (w.mixed)
        for (int s = 0; s < run->n_slices; s++) forward(&o, run->bounds[s], run->bounds[s + 1], v, m);
    else
        forward(&o, 0, N, v, m);
    if (args->stat) stat_close_slices(&o, N);
}
