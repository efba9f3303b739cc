/* Winograd, the transform of the input, B^T d B, and on the way what a prologue does to it. A row of tiles goes through a strip: B^T
 * down each of its columns of pixels, which tiles beside each other share where they overlap, then along the rows of each tile. */
#include "conv_winograd.h"

/* Columns of a strip, which stays in L1. */
enum { STRIP_COLUMNS = 40 };
typedef float strip[STRIP_COLUMNS][WINO_PLACES_MAX][VEC_LEN];

/* Pixels under n tiles beside each other. */
typedef struct pixels {
    const float *corner; /* of the first tile: may lie outside of the image */
    ptrdiff_t row, pixel;
    int n, columns;
    int top, bottom, left, right; /* rows [top, bottom) and columns [left, right) lie in the image */
} pixels;

/* Rows of V, the first tile's first: ld floats apart, their places `plane` floats apart, rows of these `pitch` places. */
typedef struct matrix {
    float *at;
    ptrdiff_t ld, plane;
    int pitch;
} matrix;

/* What a prologue does to one vector of channels as it is loaded. */
typedef struct change {
    vec mean, scale, beta;
} change;

VEC_INLINE change change_of(const int affine, const cnnbn_prologue *in, ptrdiff_t c, ptrdiff_t lanes)
{
    change by = {vec_zero(), vec_zero(), vec_zero()};
    if (affine) {
        by.mean = vec_load_part(in->mean + c, lanes);
        by.scale = vec_load_part(in->scale + c, lanes);
        by.beta = vec_load_part(in->beta + c, lanes);
    }
    return by;
}

VEC_INLINE vec changed(const int affine, const int relu, const change *by, vec x)
{
    if (affine) x = vec_fma(x - by->mean, by->scale, by->beta);
    return relu ? vec_relu(x) : x;
}

/* Activations that are no single instruction. */
VEC_INLINE vec activated(cnnbn_activation act, vec x, ptrdiff_t lanes)
{
    _Alignas(64) float one[VEC_LEN];
    vec_store(one, x);
    EW(act_fwd)((size_t)lanes, act, one, one);
    return vec_load(one);
}

/* B^T of one column of pixels, from p down; zero outside of rows [top, bottom). full: vectors of VEC_LEN channels, and no activation that
 * is apart. */
VEC_INLINE void column(const int kind, const int affine, const int relu, const int full, const int top,
                       const int bottom, ptrdiff_t row, const change *by, cnnbn_activation act, const float *p,
                       ptrdiff_t lanes, float to[][VEC_LEN])
{
    const int span = wino_span(kind);
    vec d[WINO_PLACES_MAX], b[WINO_PLACES_MAX];
    VEC_UNROLL
    for (int i = 0; i < span; i++) {
        if (i < top || i >= bottom) {
            d[i] = vec_zero();
        } else if (full) {
            d[i] = changed(affine, relu, by, vec_load(p + i * row));
        } else {
            d[i] = changed(affine, relu, by, vec_load_part(p + i * row, lanes));
            if (act_is_apart(act)) d[i] = activated(act, d[i], lanes);
        }
    }
    wino_bt(kind, d, b);
    VEC_UNROLL
    for (int i = 0; i < span; i++) vec_store(to[i], b[i]);
}

VEC_INLINE void zero_columns(const int kind, strip s, int begin, int end)
{
    for (int j = begin; j < end; j++)
        for (int i = 0; i < wino_span(kind); i++) vec_store(s[j][i], vec_zero());
}

VEC_INLINE void columns(const int kind, const int affine, const int relu, const int full, const int top,
                        const int bottom, const pixels *at, const cnnbn_prologue *in, ptrdiff_t c, ptrdiff_t lanes,
                        strip s)
{
    const change by = change_of(affine, in, c, lanes);
    const ptrdiff_t row = at->row, pixel = at->pixel;
    const float *p = at->corner + at->left * pixel + c;
    zero_columns(kind, s, 0, at->left);
    for (int j = at->left; j < at->right; j++, p += pixel)
        column(kind, affine, relu, full, top, bottom, row, &by, in->act, p, lanes, s[j]);
    zero_columns(kind, s, at->right, at->columns);
}

/* Along the rows of the tile whose first column is s[0]; rows of places are `pitch` places apart. */
VEC_INLINE void rows(const int shape, strip s, float *v, ptrdiff_t plane, ptrdiff_t pitch)
{
    const int across = wino_across(shape), span = wino_span(across);
    VEC_UNROLL
    for (int i = 0; i < wino_span(wino_down(shape)); i++) {
        vec d[WINO_PLACES_MAX], b[WINO_PLACES_MAX];
        VEC_UNROLL
        for (int j = 0; j < span; j++) d[j] = vec_load(s[j][i]);
        wino_bt(across, d, b);
        float *to = v + i * (pitch * plane);
        VEC_OPAQUE(to);
        VEC_UNROLL
        for (int j = 0; j < span; j++) vec_store(to + j * plane, b[j]);
    }
}

/* The rows that lie in the image are constants where it is all of them, or all but the first or the last. */
VEC_INLINE void load_by(const int shape, const int affine, const int relu, const pixels *at, const cnnbn_prologue *in,
                        ptrdiff_t C, const matrix *v)
{
    const int down = wino_down(shape), span = wino_span(down), step = wino_step(wino_across(shape));
    const int top = at->top, bottom = at->bottom;
    _Alignas(64) strip s;
    for (ptrdiff_t c = 0; c < C; c += VEC_LEN) {
        const ptrdiff_t lanes = vec_lanes(C, c);
        const int full = lanes == VEC_LEN && !act_is_apart(in->act);
        if (full && top == 0 && bottom == span)
            columns(down, affine, relu, 1, 0, span, at, in, c, lanes, s);
        else if (full && top == 1 && bottom == span)
            columns(down, affine, relu, 1, 1, span, at, in, c, lanes, s);
        else if (full && top == 0 && bottom == span - 1)
            columns(down, affine, relu, 1, 0, span - 1, at, in, c, lanes, s);
        else
            columns(down, affine, relu, 0, top, bottom, at, in, c, lanes, s);
        for (int t = 0; t < at->n; t++)
            rows(shape, s + t * step, v->at + t * v->ld + c, v->plane, wino_pitch(shape, v->pitch));
    }
}

/* One function for each shape of tile and kind of prologue, so that none is asked about pixel by pixel. */
typedef void load_fn(const pixels *at, const cnnbn_prologue *in, ptrdiff_t C, const matrix *v);
#define LOAD(shape, affine, relu)                                                                         \
    static void load_##shape##_##affine##_##relu(const pixels *at, const cnnbn_prologue *in, ptrdiff_t C, \
                                                 const matrix *v)                                         \
    {                                                                                                     \
        load_by(shape, affine, relu, at, in, C, v);                                                       \
    }
#define LOADS(shape) LOAD(shape, 0, 0) LOAD(shape, 0, 1) LOAD(shape, 1, 0) LOAD(shape, 1, 1)
#define LOADS_ENTRY(shape) {{load_##shape##_0_0, load_##shape##_0_1}, {load_##shape##_1_0, load_##shape##_1_1}},
WINO_EACH_SHAPE(LOADS)
static load_fn *const loads[WINO_SHAPES][2][2] = {WINO_EACH_SHAPE(LOADS_ENTRY)};

void wino_load_tiles(const cnnbn__wino *w, const float *x, const cnnbn_prologue *in, const cnnbn__wino_block *b,
                     float *v, ptrdiff_t plane)
{
    const cnnbn_conv_geom *g = w->g;
    cnnbn__wino_tile first = b->begin;
    while (first.t < b->n) {
        const int shape = first.shape, down = wino_down(shape), across = wino_across(shape);
        const int step = wino_step(across), shared = wino_span(across) - step;
        const int h0 = first.p * wino_stride(down) - g->pad_top, w0 = first.q * wino_stride(across) - g->pad_left;
        const int run = wino_within(first.n, (STRIP_COLUMNS - shared) / step);
        const int n_columns = run * step + shared;
        const pixels at = {
            .corner = x + (((ptrdiff_t)first.sample * g->H + h0) * g->W + w0) * g->C,
            .row = (ptrdiff_t)g->W * g->C,
            .pixel = g->C,
            .n = run,
            .columns = n_columns,
            .top = wino_within(-h0, wino_span(down)),
            .bottom = wino_within(g->H - h0, wino_span(down)),
            .left = wino_within(-w0, n_columns),
            .right = wino_within(g->W - w0, n_columns),
        };
        const matrix rows_of = {v + first.t * w->ld_c, w->ld_c, plane, w->across.places};
        loads[shape][in->mean != NULL][act_is_relu(in->act)](&at, in, g->C, &rows_of);
        wino_go_on(w, b, run, &first);
    }
}
