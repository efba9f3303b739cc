/* Winograd, the transform behind backward data: overlapping tiles B z B^T, added up in dx. */
#include "conv_winograd.h"

/* Where a tile of dx lies: its pixels in the image are rows [top, bottom) and columns [left, right) of it; whether its first rows hold
 * what the tile above has put there, its first columns what the one beside has. */
typedef struct target {
    float *corner; /* of the tile, which may lie outside */
    ptrdiff_t row, pixel;
    int top, bottom, left, right;
    int above, beside;
} target;

/* B z B^T of one vector of channels added to the pixels of dx that it covers, as many as there are places; what no other tile has
 * written holds nothing yet. full: VEC_LEN channels. */
VEC_INLINE void overlap_vec(const int kind, const int full, const target *at, const float *z, ptrdiff_t plane,
                            ptrdiff_t lanes, float *dx)
{
    const int span = wino_span(kind), shared = span - wino_outputs(kind) * wino_stride(kind);
    vec t[WINO_SPAN_MAX][WINO_SPAN_MAX];
    VEC_UNROLL
    for (int i = 0; i < span; i++) {
        vec a[WINO_SPAN_MAX];
        const float *from = z + i * (span * plane);
        VEC_OPAQUE(from);
        VEC_UNROLL
        for (int j = 0; j < span; j++) a[j] = vec_load(from + j * plane);
        wino_b(kind, a, t[i]);
    }
    VEC_UNROLL
    for (int j = 0; j < span; j++) {
        if (j < at->left || j >= at->right) continue;
        vec a[WINO_SPAN_MAX], b[WINO_SPAN_MAX];
        VEC_UNROLL
        for (int i = 0; i < span; i++) a[i] = t[i][j];
        wino_b(kind, a, b);
        float *column = dx + j * at->pixel;
        VEC_OPAQUE(column);
        VEC_UNROLL
        for (int i = 0; i < span; i++) {
            if (i < at->top || i >= at->bottom) continue;
            float *to = column + i * at->row;
            const int old = (at->above && i < shared) || (at->beside && j < shared);
            if (full)
                vec_store(to, old ? b[i] + vec_load(to) : b[i]);
            else
                vec_store_part(to, old ? b[i] + vec_load_part(to, lanes) : b[i], lanes);
        }
    }
}

/* All channels that fill vectors of a tile whose rows are so; how many these are. The place is a copy, of which the compiler sees
 * what is constant. */
VEC_INLINE ptrdiff_t overlap_full(const int kind, target at, const int above, const int top, const int bottom,
                                  ptrdiff_t C, const float *z, ptrdiff_t plane)
{
    const ptrdiff_t n = C / VEC_LEN * VEC_LEN;
    at.above = above;
    at.top = top;
    at.bottom = bottom;
    for (ptrdiff_t c = 0; c < n; c += VEC_LEN) overlap_vec(kind, 1, &at, z + c, plane, VEC_LEN, at.corner + c);
    return n;
}

/* With constants for the tiles inside of the image, and for the rows of others where they are all there, or all but the first or the
 * last. */
VEC_INLINE void overlap_by(const int kind, const target *at, ptrdiff_t C, const float *z, ptrdiff_t plane)
{
    const int span = wino_span(kind), above = at->above, top = at->top, bottom = at->bottom;
    ptrdiff_t c = 0;
    if (above && top == 0 && bottom == span && at->beside && at->left == 0 && at->right == span) {
        const target inside = {at->corner, at->row, at->pixel, 0, span, 0, span, 1, 1};
        c = overlap_full(kind, inside, 1, 0, span, C, z, plane);
    } else if (above && top == 0 && bottom == span) {
        c = overlap_full(kind, *at, 1, 0, span, C, z, plane);
    } else if (above && top == 0 && bottom == span - 1) {
        c = overlap_full(kind, *at, 1, 0, span - 1, C, z, plane);
    } else if (!above && top == 0 && bottom == span) {
        c = overlap_full(kind, *at, 0, 0, span, C, z, plane);
    } else if (!above && top == 1 && bottom == span) {
        c = overlap_full(kind, *at, 0, 1, span, C, z, plane);
    }
    for (; c < C; c += VEC_LEN) overlap_vec(kind, 0, at, z + c, plane, vec_lanes(C, c), at->corner + c);
}

static void overlap_tile(const cnnbn__wino *w, float *dx, cnnbn__wino_at tile, const float *z, ptrdiff_t plane)
{
    const cnnbn_conv_geom *g = w->g;
    const int h0 = tile.i * w->step - g->pad_top, w0 = tile.j * w->step - g->pad_left;
    const target at = {
        .corner = dx + ((tile.sample * g->H + h0) * g->W + w0) * g->C,
        .row = (ptrdiff_t)g->W * g->C,
        .pixel = g->C,
        .top = wino_within(-h0, w->span),
        .bottom = wino_within(g->H - h0, w->span),
        .left = wino_within(-w0, w->span),
        .right = wino_within(g->W - w0, w->span),
        .above = tile.i > 0,
        .beside = tile.j > 0,
    };
    WINO_BY_KIND(w->kind, overlap_by, &at, g->C, z, plane);
}

/* Pixels of a sample's dx that no tile covers. */
static void zero_uncovered(const cnnbn__wino *w, float *dx)
{
    const cnnbn_conv_geom *g = w->g;
    const int step = w->step, shared = w->span - step;
    const int h_end = wino_within(w->tiles_h * step + shared - g->pad_top, g->H);
    const int w_end = wino_within(w->tiles_w * step + shared - g->pad_left, g->W);
    for (int h = 0; h < g->H; h++) {
        int from = h < h_end ? w_end : 0;
        if (from < g->W)
            memset(dx + ((ptrdiff_t)h * g->W + from) * g->C, 0, (size_t)(g->W - from) * (size_t)g->C * sizeof *dx);
    }
}

void wino_add_tiles(const cnnbn__wino *w, float *dx, ptrdiff_t tile, ptrdiff_t n, const float *z, ptrdiff_t plane)
{
    const ptrdiff_t sample = (ptrdiff_t)w->g->H * w->g->W * w->g->C;
    for (ptrdiff_t t = 0; t < n; t++) {
        const cnnbn__wino_at at = wino_at(w, tile + t);
        if (at.i == 0 && at.j == 0) zero_uncovered(w, dx + at.sample * sample);
        overlap_tile(w, dx, at, z + t * w->ld_c, plane);
    }
}
