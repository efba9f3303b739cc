/* Convolution forward: a tile of output rows at a time, so that the column buffer, the output tile and the packed
 * operands stay in L2 and bias, activation and sums meet the tile while it is hot.
 */
#include "blas.h"

#include <string.h>

enum {
    COL_FLOATS = 128 * 1024, /* column buffer of a tile: 512 KB */
    TILE_MIN = 128,          /* output pixels: fewer would spend the time on packing the weights */
    TILE_MAX = 1024
};

static size_t n_taps(const cnnbn_conv_geom *g)
{
    return (size_t)g->R * (size_t)g->S * (size_t)(g->C / g->groups);
}

static cnnbn__conv_form form_of(const cnnbn_conv_geom *g)
{
    if (g->groups > 1 && g->groups == g->C && g->K == g->C) return CNNBN__CONV_DEPTHWISE;
    if (g->R == 1 && g->S == 1 && g->stride_h == 1 && g->stride_w == 1 && g->P == g->H && g->Q == g->W &&
        g->pad_top == 0 && g->pad_left == 0)
        return CNNBN__CONV_POINTWISE;
    if (g->groups == 1 && n_taps(g) <= CNNBN__EW_TAPS_MAX) return CNNBN__CONV_DIRECT;
    return CNNBN__CONV_GEMM;
}

/* Rows and columns of input that all windows together cover. */
static int covered_rows(const cnnbn_conv_geom *g)
{
    return (g->P - 1) * g->stride_h + (g->R - 1) * g->dil_h + 1;
}

static int covered_columns(const cnnbn_conv_geom *g)
{
    return (g->Q - 1) * g->stride_w + (g->S - 1) * g->dil_w + 1;
}

cnnbn__blas_conv cnnbn__blas_conv_layout(const cnnbn_conv_geom *geom, int max_slice)
{
    const cnnbn_conv_geom *g = geom;
    cnnbn__blas_conv layout = {.form = form_of(g), .sums = cnnbn__blas_line_up(2 * (size_t)g->K)};
    size_t pixels = COL_FLOATS / (layout.form == CNNBN__CONV_GEMM ? n_taps(g) : (size_t)(g->C + g->K));
    if (pixels < TILE_MIN) pixels = TILE_MIN;
    if (pixels > TILE_MAX) pixels = TILE_MAX;
    long rows = (long)pixels / g->Q, all = (long)max_slice * g->P;
    layout.tile_rows = (int)(rows < 1 ? 1 : rows > all && all > 0 ? all : rows);

    size_t tile = (size_t)layout.tile_rows, row = (size_t)g->W * (size_t)g->C;
    size_t segments = tile / (size_t)g->P + 2; /* at most: two cut samples and whole ones between */
    size_t in_rows = tile * (size_t)g->stride_h + segments * ((size_t)(g->R - 1) * (size_t)g->dil_h + 1);
    size_t all_rows = segments * (size_t)g->H;
    layout.loaded = cnnbn__blas_line_up((in_rows < all_rows ? in_rows : all_rows) * row);
    if (layout.form == CNNBN__CONV_DIRECT)
        layout.loaded =
            cnnbn__blas_line_up((size_t)covered_rows(g) * (size_t)covered_columns(g) * (size_t)g->C +
                                (size_t)g->H * row); /* with its border, and the image behind the prologue */
    if (layout.form == CNNBN__CONV_GEMM || layout.form == CNNBN__CONV_DIRECT)
        layout.col = cnnbn__blas_line_up(tile * (size_t)g->Q * n_taps(g));
    return layout;
}

void cnnbn__blas_conv_plan(cnnbn_conv_plan *plan)
{
    cnnbn__blas_conv layout = cnnbn__blas_conv_layout(&plan->geom, plan->max_slice);
    int product = layout.form == CNNBN__CONV_GEMM || layout.form == CNNBN__CONV_POINTWISE;
    plan->algo = product ? CNNBN_CONV_BLAS : CNNBN_CONV_DIRECT;
    plan->fwd_prepared_floats = plan->bwd_prepared_floats = 0;
    plan->fwd_workspace_floats = layout.loaded + layout.col;
    plan->bwd_workspace_floats = layout.loaded + layout.col + layout.sums;
    plan->any_grouping = 0;
}

cnnbn__blas_tiles cnnbn__blas_cut(const cnnbn_conv_geom *geom, const cnnbn__blas_conv *layout, int n)
{
    int rows = n * geom->P;
    return (cnnbn__blas_tiles){rows, (rows + layout->tile_rows - 1) / layout->tile_rows};
}

cnnbn__blas_segment cnnbn__blas_segment_at(const cnnbn_conv_geom *geom, int row, int end)
{
    const cnnbn_conv_geom *g = geom;
    cnnbn__blas_segment s = {.n = row / g->P, .i0 = row % g->P};
    s.i1 = end - row < g->P - s.i0 ? s.i0 + (end - row) : g->P;
    s.h0 = s.i0 * g->stride_h - g->pad_top;
    s.h1 = (s.i1 - 1) * g->stride_h - g->pad_top + (g->R - 1) * g->dil_h + 1;
    if (s.h0 < 0) s.h0 = 0;
    if (s.h1 > g->H) s.h1 = g->H;
    if (s.h0 > s.h1) s.h0 = s.h1 > 0 ? s.h1 : 0;
    if (s.h1 < s.h0) s.h1 = s.h0;
    return s;
}

int cnnbn__blas_has_prologue(const cnnbn_prologue *in)
{
    return in->mean || in->act.kind != CNNBN_ACT_LINEAR;
}

size_t cnnbn__blas_in_sample(const cnnbn_conv_geom *geom)
{
    return (size_t)geom->H * (size_t)geom->W * (size_t)geom->C;
}

void cnnbn__blas_load(const cnnbn_conv_geom *geom, const cnnbn_prologue *in, int row, int end, const float *x,
                      float *loaded)
{
    const cnnbn__ew_ops *ops = cnnbn__blas_ops();
    size_t in_row = (size_t)geom->W * (size_t)geom->C;
    while (row < end) {
        cnnbn__blas_segment s = cnnbn__blas_segment_at(geom, row, end);
        size_t n_rows = (size_t)(s.h1 - s.h0);
        const float *from = x + (size_t)s.n * cnnbn__blas_in_sample(geom) + (size_t)s.h0 * in_row;
        ops->bn_apply(n_rows * (size_t)geom->W, geom->C, from, in, NULL, loaded);
        loaded += n_rows * in_row;
        row += s.i1 - s.i0;
    }
}

void cnnbn__blas_columns(const cnnbn_conv_geom *geom, int c0, int n_c, int row, int end, const float *x,
                         const float *loaded, float *col)
{
    const cnnbn__ew_ops *ops = cnnbn__blas_ops();
    size_t in_row = (size_t)geom->W * (size_t)geom->C;
    size_t col_row = (size_t)geom->Q * (size_t)geom->R * (size_t)geom->S * (size_t)n_c;
    while (row < end) {
        cnnbn__blas_segment s = cnnbn__blas_segment_at(geom, row, end);
        const float *from = loaded;
        if (loaded)
            loaded += (size_t)(s.h1 - s.h0) * in_row;
        else
            from = x + (size_t)s.n * cnnbn__blas_in_sample(geom) + (size_t)s.h0 * in_row;
        ops->im2col(geom, c0, n_c, s.i0, s.i1, s.h0, from, col);
        col += (size_t)(s.i1 - s.i0) * col_row;
        row += s.i1 - s.i0;
    }
}

const float *cnnbn__blas_taps(const cnnbn_conv_geom *geom, const cnnbn_prologue *in, const float *x, float *loaded,
                              cnnbn__ew_taps *taps)
{
    const cnnbn_conv_geom *g = geom;
    int rows = covered_rows(g), columns = covered_columns(g);
    int bordered = g->pad_top > 0 || g->pad_left > 0 || rows > g->H || columns > g->W;
    size_t C = (size_t)g->C, width = (size_t)(bordered ? columns : g->W) * C, t = 0;
    taps->Q = g->Q;
    taps->K = g->K;
    taps->n_taps = (int)n_taps(g);
    taps->row_step = (size_t)g->stride_h * width;
    taps->pixel_step = (size_t)g->stride_w * C;
    for (int r = 0; r < g->R; r++)
        for (int s = 0; s < g->S; s++)
            for (size_t c = 0; c < C; c++)
                taps->offset[t++] = (size_t)(r * g->dil_h) * width + (size_t)(s * g->dil_w) * C + c;

    const float *image = x;
    if (cnnbn__blas_has_prologue(in)) {
        float *behind = loaded + (bordered ? (size_t)rows * width : 0);
        cnnbn__blas_ops()->bn_apply((size_t)g->H * (size_t)g->W, g->C, x, in, NULL, behind);
        image = behind;
    }
    if (!bordered) return image;
    int w0 = g->pad_left < columns ? g->pad_left : columns,
        w1 = g->pad_left + g->W < columns ? g->pad_left + g->W : columns;
    for (int i = 0; i < rows; i++) {
        int h = i - g->pad_top;
        float *out = loaded + (size_t)i * width;
        memset(out, 0, width * sizeof *out);
        if (h >= 0 && h < g->H && w0 < w1)
            memcpy(out + (size_t)w0 * C, image + (size_t)h * (size_t)g->W * C, (size_t)(w1 - w0) * C * sizeof *out);
    }
    return loaded;
}

/* y of output rows [row, end) of a slice, x and y at the slice's first sample, before bias and activation. */
static void products(const cnnbn_conv_geom *g, const cnnbn__blas_conv *layout, const cnnbn_conv_fwd *args, int row,
                     int end, const float *x, float *y)
{
    float *loaded = args->workspace, *col = args->workspace + layout->loaded;
    int Cg = g->C / g->groups, Kg = g->K / g->groups, L = (int)n_taps(g), pixels = (end - row) * g->Q;
    if (cnnbn__blas_has_prologue(&args->in))
        cnnbn__blas_load(g, &args->in, row, end, x, loaded);
    else
        loaded = NULL;
    for (int group = 0; group < g->groups; group++) {
        cnnbn__blas_matrix a = {col, L, 0}, w = {args->w + group * Kg, g->K, 0};
        if (layout->form == CNNBN__CONV_POINTWISE) {
            a.p = (loaded ? loaded : x + (size_t)row * (size_t)g->W * (size_t)g->C) + group * Cg;
            a.ld = g->C;
        } else {
            cnnbn__blas_columns(g, group * Cg, Cg, row, end, x, loaded, col);
        }
        cnnbn__blas_gemm(pixels, Kg, L, a, w, 0.0f, y + (size_t)row * (size_t)g->Q * (size_t)g->K + group * Kg, g->K);
    }
}

static void depthwise(const cnnbn_conv_geom *g, const cnnbn_conv_fwd *args, int row, int end, const float *x, float *y)
{
    const cnnbn__ew_ops *ops = cnnbn__blas_ops();
    size_t in_row = (size_t)g->W * (size_t)g->C, out_row = (size_t)g->Q * (size_t)g->K;
    int behind = cnnbn__blas_has_prologue(&args->in);
    const float *loaded = args->workspace;
    if (behind) cnnbn__blas_load(g, &args->in, row, end, x, args->workspace);
    while (row < end) {
        cnnbn__blas_segment s = cnnbn__blas_segment_at(g, row, end);
        const float *from = x + (size_t)s.n * cnnbn__blas_in_sample(g) + (size_t)s.h0 * in_row;
        if (behind) {
            from = loaded;
            loaded += (size_t)(s.h1 - s.h0) * in_row;
        }
        ops->depthwise_fwd(g, s.i0, s.i1, s.h0, from, args->w, y + (size_t)row * out_row);
        row += s.i1 - s.i0;
    }
}

/* Bias, activation and sums of output rows [row, end); `first` is the slice's first pixel. */
static void epilogue(const cnnbn_conv_geom *g, const cnnbn_conv_fwd *args, int row, int end, float *y, double *sums)
{
    const cnnbn__ew_ops *ops = cnnbn__blas_ops();
    size_t pixels = (size_t)(end - row) * (size_t)g->Q;
    float *tile = y + (size_t)row * (size_t)g->Q * (size_t)g->K;
    if (args->bias || args->act.kind != CNNBN_ACT_LINEAR) ops->bias_act(pixels, g->K, args->bias, args->act, tile);
    if (sums) ops->stat_rows(pixels, g->K, tile, y, sums);
}

static void slice(const cnnbn_conv_geom *g, const cnnbn__blas_conv *layout, const cnnbn_conv_fwd *args, int n,
                  const float *x, float *y, double *sums)
{
    const cnnbn__ew_ops *ops = cnnbn__blas_ops();
    if (layout->form == CNNBN__CONV_DIRECT) {
        size_t out_row = (size_t)g->Q * (size_t)g->K;
        for (int i = 0; i < n; i++) {
            cnnbn__ew_taps taps;
            const float *from =
                cnnbn__blas_taps(g, &args->in, x + (size_t)i * cnnbn__blas_in_sample(g), args->workspace, &taps);
            for (int p = 0; p < g->P; p += layout->tile_rows) {
                int take = g->P - p < layout->tile_rows ? g->P - p : layout->tile_rows, row = i * g->P + p;
                ops->direct_fwd(&taps, take, from + (size_t)p * taps.row_step, args->w, y + (size_t)row * out_row);
                epilogue(g, args, row, row + take, y, sums);
            }
        }
    } else {
        cnnbn__blas_tiles tiles = cnnbn__blas_cut(g, layout, n);
        for (int t = 0; t < tiles.n_tiles; t++) {
            int row = cnnbn__blas_tile_begin(tiles, t), end = cnnbn__blas_tile_begin(tiles, t + 1);
            if (layout->form == CNNBN__CONV_DEPTHWISE)
                depthwise(g, args, row, end, x, y);
            else
                products(g, layout, args, row, end, x, y);
            epilogue(g, args, row, end, y, sums);
        }
    }
    if (sums) ops->stat_close((size_t)n * (size_t)g->P * (size_t)g->Q, g->K, y, args->stat_shift, sums);
}

void cnnbn__blas_conv_fwd(const cnnbn_conv_plan *plan, const cnnbn_conv_fwd *args)
{
    const cnnbn_conv_geom *g = &plan->geom;
    const cnnbn__ew_ops *ops = cnnbn__blas_ops();
    cnnbn__blas_conv layout = cnnbn__blas_conv_layout(g, plan->max_slice);
    size_t out_sample = (size_t)g->P * (size_t)g->Q * (size_t)g->K, n_sums = 2 * (size_t)g->K, height = 0;
    const cnnbn_run *run = args->run;
    for (int s = 0; s < run->n_slices; s++) {
        size_t first = (size_t)run->bounds[s];
        int n = run->bounds[s + 1] - run->bounds[s];
        double *sums = args->stat ? args->stat + height++ * args->stat_stride : NULL;
        if (sums) memset(sums, 0, n_sums * sizeof *sums);
        if (n > 0)
            slice(g, &layout, args, n, args->x + first * cnnbn__blas_in_sample(g), args->y + first * out_sample, sums);
        if (!sums) continue;
        for (int m = run->n_merge[s]; m > 0; m--, height--)
            ops->add_f64(n_sums, args->stat + (height - 1) * args->stat_stride,
                         args->stat + (height - 2) * args->stat_stride);
    }
}
