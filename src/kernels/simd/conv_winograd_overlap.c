/* Winograd, the transform behind backward data: overlapping tiles B z B^T, added up in dx. */
#include "conv_winograd.h"

/* Where a tile of dx lies: its pixels in the image are rows [top, bottom) and columns [left, right) of it; whether its first rows hold
 * what the tile above has put there, its first columns what the one beside has. */
typedef struct target {
    float *corner; /* of the tile, which may lie outside */
    ptrdiff_t row, pixel;
    int pitch; /* places of a row of z */
    int top, bottom, left, right;
    int above, beside;
} target;

/* B z B^T of one vector of channels added to the pixels of dx that it covers, as many as there are places; what no other tile has
 * written holds nothing yet. full: VEC_LEN channels. */
VEC_INLINE void overlap_vec(const int shape, const int full, const target *at, const float *z, ptrdiff_t plane,
                            ptrdiff_t lanes, float *dx)
{
    const int down = wino_down(shape), across = wino_across(shape), n_down = wino_span(down),
              n_across = wino_span(across);
    const int shared = n_down - wino_step(down);
    vec t[WINO_PLACES_MAX][WINO_PLACES_MAX];
    VEC_UNROLL
    for (int i = 0; i < n_down; i++) {
        vec a[WINO_PLACES_MAX];
        const float *from = z + i * (wino_pitch(shape, at->pitch) * plane);
        VEC_OPAQUE(from);
        VEC_UNROLL
        for (int j = 0; j < n_across; j++) a[j] = vec_load(from + j * plane);
        wino_b(across, a, t[i]);
    }
    VEC_UNROLL
    for (int j = 0; j < n_across; j++) {
        if (j < at->left || j >= at->right) continue;
        vec a[WINO_PLACES_MAX], b[WINO_PLACES_MAX];
        VEC_UNROLL
        for (int i = 0; i < n_down; i++) a[i] = t[i][j];
        wino_b(down, a, b);
        float *column = dx + j * at->pixel;
        VEC_OPAQUE(column);
        VEC_UNROLL
        for (int i = 0; i < n_down; i++) {
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
VEC_INLINE ptrdiff_t overlap_full(const int shape, target at, const int above, const int top, const int bottom,
                                  ptrdiff_t C, const float *z, ptrdiff_t plane)
{
    const ptrdiff_t n = C / VEC_LEN * VEC_LEN;
    at.above = above;
    at.top = top;
    at.bottom = bottom;
    for (ptrdiff_t c = 0; c < n; c += VEC_LEN) overlap_vec(shape, 1, &at, z + c, plane, VEC_LEN, at.corner + c);
    return n;
}

/* With constants for the tiles inside of the image, and for the rows of others where they are all there, or all but the first or the
 * last. */
VEC_INLINE void overlap_by(const int shape, const target *at, ptrdiff_t C, const float *z, ptrdiff_t plane)
{
    const int span = wino_span(wino_down(shape)), width = wino_span(wino_across(shape));
    const int above = at->above, top = at->top, bottom = at->bottom;
    ptrdiff_t c = 0;
    if (above && top == 0 && bottom == span && at->beside && at->left == 0 && at->right == width) {
        const target inside = {at->corner, at->row, at->pixel, at->pitch, 0, span, 0, width, 1, 1};
        c = overlap_full(shape, inside, 1, 0, span, C, z, plane);
    } else if (above && top == 0 && bottom == span) {
        c = overlap_full(shape, *at, 1, 0, span, C, z, plane);
    } else if (above && top == 0 && bottom == span - 1) {
        c = overlap_full(shape, *at, 1, 0, span - 1, C, z, plane);
    } else if (!above && top == 0 && bottom == span) {
        c = overlap_full(shape, *at, 0, 0, span, C, z, plane);
    } else if (!above && top == 1 && bottom == span) {
        c = overlap_full(shape, *at, 0, 1, span, C, z, plane);
    }
    for (; c < C; c += VEC_LEN) overlap_vec(shape, 0, at, z + c, plane, vec_lanes(C, c), at->corner + c);
}

static void overlap_tile(const cnnbn__wino *w, float *dx, const cnnbn__wino_tile *tile, const float *z, ptrdiff_t plane)
{
    const cnnbn_conv_geom *g = w->g;
    const int shape = tile->shape, down = wino_down(shape), across = wino_across(shape);
    const int h0 = tile->p * wino_stride(down) - g->pad_top, w0 = tile->q * wino_stride(across) - g->pad_left;
    const target at = {
        .corner = dx + (((ptrdiff_t)tile->sample * g->H + h0) * g->W + w0) * g->C,
        .row = (ptrdiff_t)g->W * g->C,
        .pixel = g->C,
        .pitch = w->across.places,
        .top = wino_within(-h0, wino_span(down)),
        .bottom = wino_within(g->H - h0, wino_span(down)),
        .left = wino_within(-w0, wino_span(across)),
        .right = wino_within(g->W - w0, wino_span(across)),
        .above = tile->i > 0,
        .beside = tile->j > 0,
    };
    WINO_BY_SHAPE(shape, overlap_by, &at, g->C, z, plane);
}

/* Inputs along an axis that tiles cover, of which the first `pad` lie outside. */
static int covered(const cnnbn__wino_axis *axis, int pad, int most)
{
    const int last = axis->kind[1], shared = wino_span(last) - wino_step(last);
    return wino_within(axis->n[0] * wino_step(axis->kind[0]) + axis->n[1] * wino_step(last) + shared - pad, most);
}

/* Pixels of a sample's dx that no tile covers. */
static void zero_uncovered(const cnnbn__wino *w, float *dx)
{
    const cnnbn_conv_geom *g = w->g;
    const int h_end = covered(&w->down, g->pad_top, g->H), w_end = covered(&w->across, g->pad_left, g->W);
    for (int h = 0; h < g->H; h++) {
        int from = h < h_end ? w_end : 0;
        if (from < g->W)
            memset(dx + ((ptrdiff_t)h * g->W + from) * g->C, 0, (size_t)(g->W - from) * (size_t)g->C * sizeof *dx);
    }
}

void wino_add_tiles(const cnnbn__wino *w, float *dx, const cnnbn__wino_block *b, const float *z, ptrdiff_t plane)
{
    const ptrdiff_t sample = (ptrdiff_t)w->g->H * w->g->W * w->g->C;
    cnnbn__wino_tile at = b->begin;
    for (ptrdiff_t t = 0; t < b->n; t++, wino_go_on(w, b, 1, &at)) {
        if (at.i == 0 && at.j == 0) zero_uncovered(w, dx + at.sample * sample);
        overlap_tile(w, dx, &at, z + t * w->ld_c, plane);
    }
}
