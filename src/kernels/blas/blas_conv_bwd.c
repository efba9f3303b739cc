/* Gradients of a convolution, tile by tile as forward: columns of dx' = dy w^T, scattered back to the image; and
 * dw = columns^T dy, summed over the tiles of a slice in their order. Both read the same tile of dy while it is hot.
 */
#include "blas.h"

#include <string.h>

/* Output rows [row, end) of one slice, and where its arrays begin. */
typedef struct tile {
    int row, end, first; /* first: no tile of the slice came before */
    const float *x, *dy; /* of the slice; dy of the tile */
    float *dx, *dw;      /* of the slice; NULL: not wanted */
} tile;

typedef struct group {
    int c0, n_c, k0, n_k; /* its channels and filters */
} group;

static group group_at(const cnnbn_conv_geom *g, int i)
{
    int n_c = g->C / g->groups, n_k = g->K / g->groups;
    return (group){i * n_c, n_c, i * n_k, n_k};
}

/* dx of the samples that begin in the tile: nothing added yet. */
static void clear_samples(const cnnbn_conv_geom *g, const tile *t)
{
    int first = (t->row + g->P - 1) / g->P, last = (t->end + g->P - 1) / g->P;
    size_t sample = cnnbn__blas_in_sample(g);
    if (first < last) memset(t->dx + (size_t)first * sample, 0, (size_t)(last - first) * sample * sizeof *t->dx);
}

static void scatter(const cnnbn_conv_geom *g, group at, const tile *t, const float *col)
{
    size_t col_row = (size_t)g->Q * (size_t)g->R * (size_t)g->S * (size_t)at.n_c;
    for (int row = t->row; row < t->end;) {
        cnnbn__blas_segment s = cnnbn__blas_segment_at(g, row, t->end);
        cnnbn__blas_ops()->col2im(g, at.c0, at.n_c, s.i0, s.i1, col, t->dx + (size_t)s.n * cnnbn__blas_in_sample(g));
        col += (size_t)(s.i1 - s.i0) * col_row;
        row += s.i1 - s.i0;
    }
}

static void data_products(const cnnbn_conv_geom *g, const cnnbn__blas_conv *layout, const cnnbn_conv_bwd *args,
                          const tile *t, float *col)
{
    int pixels = (t->end - t->row) * g->Q;
    int pointwise = layout->form == CNNBN__CONV_POINTWISE;
    if (!pointwise) clear_samples(g, t);
    for (int i = 0; i < g->groups; i++) {
        group at = group_at(g, i);
        int L = g->R * g->S * at.n_c;
        cnnbn__blas_matrix dy = {t->dy + at.k0, g->K, 0}, w = {args->w + at.k0, g->K, 1};
        float *out = pointwise ? t->dx + (size_t)t->row * (size_t)g->W * (size_t)g->C + at.c0 : col;
        cnnbn__blas_gemm(pixels, L, at.n_k, dy, w, 0.0f, out, pointwise ? g->C : L);
        if (!pointwise) scatter(g, at, t, col);
    }
}

static void weight_products(const cnnbn_conv_geom *g, const cnnbn__blas_conv *layout, const cnnbn_conv_bwd *args,
                            const tile *t, float *loaded, float *col)
{
    int pixels = (t->end - t->row) * g->Q;
    if (cnnbn__blas_has_prologue(&args->in))
        cnnbn__blas_load(g, &args->in, t->row, t->end, t->x, loaded);
    else
        loaded = NULL;
    for (int i = 0; i < g->groups; i++) {
        group at = group_at(g, i);
        int L = g->R * g->S * at.n_c;
        cnnbn__blas_matrix a = {col, L, 1}, dy = {t->dy + at.k0, g->K, 0};
        if (layout->form == CNNBN__CONV_POINTWISE) {
            a.p = (loaded ? loaded : t->x + (size_t)t->row * (size_t)g->W * (size_t)g->C) + at.c0;
            a.ld = g->C;
        } else {
            cnnbn__blas_columns(g, at.c0, at.n_c, t->row, t->end, t->x, loaded, col);
        }
        cnnbn__blas_gemm(L, at.n_k, pixels, a, dy, t->first ? 0.0f : 1.0f, t->dw + at.k0, g->K);
    }
}

static void depthwise(const cnnbn_conv_geom *g, const cnnbn_conv_bwd *args, const tile *t, float *loaded)
{
    const cnnbn__ew_ops *ops = cnnbn__blas_ops();
    size_t in_row = (size_t)g->W * (size_t)g->C;
    int behind = t->dw && cnnbn__blas_has_prologue(&args->in);
    if (t->dx) clear_samples(g, t);
    if (behind) cnnbn__blas_load(g, &args->in, t->row, t->end, t->x, loaded);
    const float *dy = t->dy;
    for (int row = t->row; row < t->end;) {
        cnnbn__blas_segment s = cnnbn__blas_segment_at(g, row, t->end);
        size_t sample = (size_t)s.n * cnnbn__blas_in_sample(g);
        const float *from = behind ? loaded : t->x + sample + (size_t)s.h0 * in_row;
        if (behind) loaded += (size_t)(s.h1 - s.h0) * in_row;
        if (t->dx) ops->depthwise_bwd_data(g, s.i0, s.i1, dy, args->w, t->dx + sample);
        if (t->dw) ops->depthwise_bwd_weights(g, s.i0, s.i1, s.h0, from, dy, t->dw);
        dy += (size_t)(s.i1 - s.i0) * (size_t)g->Q * (size_t)g->K;
        row += s.i1 - s.i0;
    }
}

/* dw of a convolution of few taps, image by image. */
static void direct_weights(const cnnbn_conv_geom *g, const cnnbn_conv_bwd *args, int n, const float *x, const float *dy,
                           float *loaded, float *dw)
{
    for (int i = 0; i < n; i++, x += cnnbn__blas_in_sample(g), dy += (size_t)g->P * (size_t)g->Q * (size_t)g->K) {
        cnnbn__ew_taps taps;
        const float *from = cnnbn__blas_taps(g, &args->in, x, loaded, &taps);
        cnnbn__blas_ops()->direct_bwd_weights(&taps, g->P, from, dy, dw);
    }
}

static void slice(const cnnbn_conv_geom *g, const cnnbn__blas_conv *layout, const cnnbn_conv_bwd *args, int n,
                  const float *x, const float *dy, float *dx, float *dw, double *db)
{
    float *loaded = args->workspace, *col = loaded + layout->loaded;
    int direct = layout->form == CNNBN__CONV_DIRECT;
    if (direct && dw) direct_weights(g, args, n, x, dy, loaded, dw);
    cnnbn__blas_tiles tiles = cnnbn__blas_cut(g, layout, n);
    for (int i = 0; i < tiles.n_tiles; i++) {
        tile t = {.row = cnnbn__blas_tile_begin(tiles, i), .end = cnnbn__blas_tile_begin(tiles, i + 1)};
        t.first = i == 0;
        t.x = x;
        t.dy = dy + (size_t)t.row * (size_t)g->Q * (size_t)g->K;
        t.dx = dx;
        t.dw = dw;
        if (db) cnnbn__blas_ops()->column_sums((size_t)(t.end - t.row) * (size_t)g->Q, g->K, t.dy, db);
        if (layout->form == CNNBN__CONV_DEPTHWISE) {
            depthwise(g, args, &t, loaded);
            continue;
        }
        if (dx) data_products(g, layout, args, &t, col);
        if (dw && !direct) weight_products(g, layout, args, &t, loaded, col);
    }
}

static void merge(const cnnbn_run *run, int s, size_t height, size_t n, float *base, size_t stride)
{
    if (!base) return;
    for (int m = run->n_merge[s]; m > 0; m--, height--)
        cnnbn__blas_ops()->add(n, base + (height - 1) * stride, base + (height - 2) * stride);
}

void cnnbn__blas_conv_bwd(const cnnbn_conv_plan *plan, const cnnbn_conv_bwd *args)
{
    const cnnbn_conv_geom *g = &plan->geom;
    cnnbn__blas_conv layout = cnnbn__blas_conv_layout(g, plan->max_slice);
    const cnnbn_run *run = args->run;
    size_t in_sample = cnnbn__blas_in_sample(g), out_sample = (size_t)g->P * (size_t)g->Q * (size_t)g->K;
    size_t K = (size_t)g->K, n_w = (size_t)g->R * (size_t)g->S * (size_t)(g->C / g->groups) * K, height = 0;
    double *db = args->db ? (double *)(void *)(args->workspace + layout.loaded + layout.col) : NULL;
    for (int s = 0; s < run->n_slices; s++) {
        size_t first = (size_t)run->bounds[s];
        int n = run->bounds[s + 1] - run->bounds[s];
        float *dw = args->dw ? args->dw + height * args->dw_stride : NULL;
        /* The products overwrite it, the plain loops add to it. */
        if (dw && (n == 0 || layout.form == CNNBN__CONV_DEPTHWISE || layout.form == CNNBN__CONV_DIRECT))
            memset(dw, 0, n_w * sizeof *dw);
        if (db) memset(db, 0, K * sizeof *db);
        if (n > 0)
            slice(g, &layout, args, n, args->x + first * in_sample, args->dy + first * out_sample,
                  args->dx ? args->dx + first * in_sample : NULL, dw, db);
        if (db)
            for (size_t k = 0; k < K; k++) args->db[height * args->db_stride + k] = (float)db[k];
        height++;
        merge(run, s, height, n_w, args->dw, args->dw_stride);
        merge(run, s, height, K, args->db, args->db_stride);
        height -= run->n_merge[s];
    }
}
