/* Windows to rows of a matrix and back, and depth-wise convolution: loops over taps outside, over contiguous channels
 * inside.
 */
#include "ew.h"

#include <string.h>

/* Plain copy of n floats, 16 at a time: windows are too short for memcpy's call to pay. */
EW_INLINE void copy_floats(size_t n, const float *restrict from, float *restrict to)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) memcpy(to + i, from + i, 16 * sizeof *to);
    for (; i + 4 <= n; i += 4) memcpy(to + i, from + i, 4 * sizeof *to);
    for (; i < n; i++) to[i] = from[i];
}

EW_INLINE void add_floats(size_t n, const float *restrict from, float *restrict to)
{
    for (size_t i = 0; i < n; i++) to[i] += from[i];
}

/* Columns s of the window at input column w0 that lie in the image: [*s0, *s1). */
EW_INLINE void cut_columns(const cnnbn_conv_geom *g, int w0, int *s0, int *s1)
{
    int d = g->dil_w;
    *s0 = w0 >= 0 ? 0 : (-w0 + d - 1) / d;
    *s1 = g->W <= w0 ? 0 : (g->W - w0 + d - 1) / d;
    if (*s1 > g->S) *s1 = g->S;
    if (*s0 > *s1) *s0 = *s1;
}

static size_t pixel(const cnnbn_conv_geom *g, int h, int w)
{
    return ((size_t)h * (size_t)g->W + (size_t)w) * (size_t)g->C;
}

void EW(im2col)(const cnnbn_conv_geom *geom, int c0, int n_c, int i0, int i1, int h0, const float *x, float *col)
{
    const cnnbn_conv_geom *g = geom;
    size_t n = (size_t)n_c, row = (size_t)g->S * n;
    int whole_rows = n_c == g->C && g->dil_w == 1; /* a window's row is one contiguous piece */
    for (int i = i0; i < i1; i++)
        for (int j = 0; j < g->Q; j++) {
            int w0 = j * g->stride_w - g->pad_left, s0, s1;
            cut_columns(g, w0, &s0, &s1);
            for (int r = 0; r < g->R; r++, col += row) {
                int h = i * g->stride_h - g->pad_top + r * g->dil_h;
                if (h < 0 || h >= g->H || s0 == s1) {
                    memset(col, 0, row * sizeof *col);
                    continue;
                }
                if (s0 > 0) memset(col, 0, (size_t)s0 * n * sizeof *col);
                if (s1 < g->S) memset(col + (size_t)s1 * n, 0, (size_t)(g->S - s1) * n * sizeof *col);
                const float *from = x + pixel(g, h - h0, w0 + s0 * g->dil_w) + c0;
                if (whole_rows) {
                    copy_floats((size_t)(s1 - s0) * n, from, col + (size_t)s0 * n);
                } else {
                    size_t step = (size_t)g->dil_w * (size_t)g->C;
                    for (int s = s0; s < s1; s++, from += step) copy_floats(n, from, col + (size_t)s * n);
                }
            }
        }
}

void EW(col2im)(const cnnbn_conv_geom *geom, int c0, int n_c, int i0, int i1, const float *col, float *dx)
{
    const cnnbn_conv_geom *g = geom;
    size_t n = (size_t)n_c, row = (size_t)g->S * n;
    int whole_rows = n_c == g->C && g->dil_w == 1;
    for (int i = i0; i < i1; i++)
        for (int j = 0; j < g->Q; j++) {
            int w0 = j * g->stride_w - g->pad_left, s0, s1;
            cut_columns(g, w0, &s0, &s1);
            for (int r = 0; r < g->R; r++, col += row) {
                int h = i * g->stride_h - g->pad_top + r * g->dil_h;
                if (h < 0 || h >= g->H || s0 == s1) continue;
                float *to = dx + pixel(g, h, w0 + s0 * g->dil_w) + c0;
                if (whole_rows) {
                    add_floats((size_t)(s1 - s0) * n, col + (size_t)s0 * n, to);
                } else {
                    size_t step = (size_t)g->dil_w * (size_t)g->C;
                    for (int s = s0; s < s1; s++, to += step) add_floats(n, col + (size_t)s * n, to);
                }
            }
        }
}

/* Output columns [*j0, *j1) whose tap s lies in the image. */
static void columns_of_tap(const cnnbn_conv_geom *g, int s, int *j0, int *j1)
{
    int at = s * g->dil_w - g->pad_left, last = g->W - 1 - at; /* input column j*stride + at in [0, W) */
    *j0 = at >= 0 ? 0 : (-at + g->stride_w - 1) / g->stride_w;
    *j1 = last < 0 ? 0 : last / g->stride_w + 1;
    if (*j1 > g->Q) *j1 = g->Q;
    if (*j0 > *j1) *j0 = *j1;
}

/* One tap (r, s) of one output row i. */
typedef struct tap_row {
    int j0, j1;     /* output columns it touches */
    size_t in, out; /* offsets of the first: into x or dx from its row 0, into y or dy from row i */
    size_t step;    /* in x, from one output column to the next */
} tap_row;

static int tap_row_at(const cnnbn_conv_geom *g, int i, int r, int s, tap_row *t)
{
    int h = i * g->stride_h - g->pad_top + r * g->dil_h;
    if (h < 0 || h >= g->H) return 0;
    columns_of_tap(g, s, &t->j0, &t->j1);
    if (t->j0 == t->j1) return 0;
    t->in = pixel(g, h, t->j0 * g->stride_w + s * g->dil_w - g->pad_left);
    t->out = (size_t)t->j0 * (size_t)g->C;
    t->step = (size_t)g->stride_w * (size_t)g->C;
    return 1;
}

void EW(depthwise_fwd)(const cnnbn_conv_geom *geom, int i0, int i1, int h0, const float *x, const float *w, float *y)
{
    const cnnbn_conv_geom *g = geom;
    int C = g->C;
    size_t row = (size_t)g->Q * (size_t)C, skipped = pixel(g, h0, 0);
    for (int i = i0; i < i1; i++, y += row) {
        memset(y, 0, row * sizeof *y);
        for (int r = 0; r < g->R; r++)
            for (int s = 0; s < g->S; s++) {
                tap_row t;
                if (!tap_row_at(g, i, r, s, &t)) continue;
                const float *restrict tap = w + (size_t)(r * g->S + s) * (size_t)C, *in = x + t.in - skipped;
                float *out = y + t.out;
                for (int j = t.j0; j < t.j1; j++, in += t.step, out += C) {
                    const float *restrict from = in;
                    float *restrict to = out;
                    for (int c = 0; c < C; c++) to[c] = ew_fma(from[c], tap[c], to[c]);
                }
            }
    }
}

void EW(depthwise_bwd_data)(const cnnbn_conv_geom *geom, int i0, int i1, const float *dy, const float *w, float *dx)
{
    const cnnbn_conv_geom *g = geom;
    int C = g->C;
    for (int i = i0; i < i1; i++, dy += (size_t)g->Q * (size_t)C)
        for (int r = 0; r < g->R; r++)
            for (int s = 0; s < g->S; s++) {
                tap_row t;
                if (!tap_row_at(g, i, r, s, &t)) continue;
                const float *restrict tap = w + (size_t)(r * g->S + s) * (size_t)C, *in = dy + t.out;
                float *out = dx + t.in;
                for (int j = t.j0; j < t.j1; j++, in += C, out += t.step) {
                    const float *restrict from = in;
                    float *restrict to = out;
                    for (int c = 0; c < C; c++) to[c] = ew_fma(from[c], tap[c], to[c]);
                }
            }
}

void EW(depthwise_bwd_weights)(const cnnbn_conv_geom *geom, int i0, int i1, int h0, const float *x, const float *dy,
                               float *dw)
{
    const cnnbn_conv_geom *g = geom;
    int C = g->C;
    size_t skipped = pixel(g, h0, 0);
    for (int i = i0; i < i1; i++, dy += (size_t)g->Q * (size_t)C)
        for (int r = 0; r < g->R; r++)
            for (int s = 0; s < g->S; s++) {
                tap_row t;
                if (!tap_row_at(g, i, r, s, &t)) continue;
                float *restrict to = dw + (size_t)(r * g->S + s) * (size_t)C;
                const float *a = x + t.in - skipped, *b = dy + t.out;
                for (int j = t.j0; j < t.j1; j++, a += t.step, b += C) {
                    const float *restrict from = a, *restrict grad = b;
                    for (int c = 0; c < C; c++) to[c] = ew_fma(from[c], grad[c], to[c]);
                }
            }
}
