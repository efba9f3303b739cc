/* Winograd: how the outputs are cut into tiles, and in which order these are done. */
#include <limits.h>

#include "conv_winograd.h"

enum {
    BAND_TILES = 14,   /* of a block where shapes are mixed, about */
    MIXED_PAIRS = 4096 /* of channels, from which on less has to be saved by that */
};

static cnnbn__wino_axis axis_of(int first, int n_first, int second, int n_second)
{
    if (!n_second) second = first;
    if (!n_first && n_second) return axis_of(second, n_second, second, 0);
    return (cnnbn__wino_axis){{first, second}, {n_first, n_second}, wino_positions(first), wino_span(first)};
}

static cnnbn__wino_axis pure_axis(int kind, int outputs)
{
    return axis_of(kind, (int)tile_count(outputs, wino_outputs(kind)), kind, 0);
}

static int places_along(const cnnbn__wino_axis *axis)
{
    return axis->n[0] * wino_span(axis->kind[0]) + axis->n[1] * wino_span(axis->kind[1]);
}

/* Products of an image for a pair of channels. */
static long products_of(const cnnbn__wino_axis *down, const cnnbn__wino_axis *across)
{
    return (long)places_along(down) * places_along(across);
}

/* Sixes and fours that cover so many outputs with the fewest places; of several such ways the one with the fewest tiles. */
static cnnbn__wino_axis best_axis(int outputs)
{
    cnnbn__wino_axis best = pure_axis(WINO_6, outputs);
    for (int sixes = best.n[0] - 1; sixes >= 0; sixes--) {
        const cnnbn__wino_axis axis = axis_of(WINO_6, sixes, WINO_4_OF_6, (int)tile_count(outputs - 6 * sixes, 4));
        if (places_along(&axis) < places_along(&best)) best = axis;
    }
    return best;
}

/* Tiles of another shape where they save enough of the products: those of 6x6 outputs a tenth, as their transforms take more registers
 * than there are; mixed ones more, as the products of fewer tiles at once are slower, the more so the fewer channels there are. */
static void choose_axes(const cnnbn_conv_geom *g, cnnbn__wino_axis *down, cnnbn__wino_axis *across)
{
    const int kind = g->stride_h == 2 ? WINO_4_STRIDE_2 : WINO_4;
    *down = pure_axis(kind, g->P);
    *across = pure_axis(kind, g->Q);
    if (kind != WINO_4) return;
    const cnnbn__wino_axis six_down = pure_axis(WINO_6, g->P), six_across = pure_axis(WINO_6, g->Q);
    if (products_of(&six_down, &six_across) * 10 <= products_of(down, across) * 9) {
        *down = six_down;
        *across = six_across;
    }
    const cnnbn__wino_axis best_down = best_axis(g->P), best_across = best_axis(g->Q);
    const long most = (long)g->C * g->K >= MIXED_PAIRS ? 85 : 75; /* hundredths */
    if (products_of(&best_down, &best_across) * 100 <= products_of(down, across) * most) {
        *down = best_down;
        *across = best_across;
    }
}

static int shape_of(int down, int across)
{
    for (int shape = 0; shape < WINO_SHAPES; shape++)
        if (wino_down(shape) == down && wino_across(shape) == across) return shape;
    return WINO_SHAPES;
}

/* Rows of a block, and samples of a group, of which both kinds of rows make whole blocks if they can. A block is either a part of the rows of one
 * sample (set_tiles) or those of whole samples: what is added up in a pixel of dx in which order must not depend on the samples around. */
static void choose_bands(cnnbn__wino *w)
{
    const int *n = w->down.n;
    int rows = BAND_TILES / (w->across.n[0] + w->across.n[1]);
    if (rows < 1) rows = 1;
    w->group = (int)tile_count(rows, n[1] && n[1] < n[0] ? n[1] : n[0]);
    for (int second = 0; second < 2; second++) {
        const int most = n[second] ? rows / n[second] : 0; /* whole samples */
        w->band[second] = most ? (most < w->group ? most : w->group) * n[second] : (int)tile_rows(n[second], rows);
    }
}

void wino_cut(const cnnbn_conv_geom *g, cnnbn__wino *w)
{
    w->g = g;
    choose_axes(g, &w->down, &w->across);
    for (int r = 0; r < 4; r++) w->shape[r / 2][r % 2] = shape_of(w->down.kind[r / 2], w->across.kind[r % 2]);
    w->tiles = (w->down.n[0] + w->down.n[1]) * (w->across.n[0] + w->across.n[1]);
    w->mixed = w->down.n[1] || w->across.n[1];
    w->group = INT_MAX;
    if (w->mixed) choose_bands(w);
    w->positions = w->down.positions * w->across.positions;
    w->places = w->down.places * w->across.places;
}

/* Enough channels for the transforms to be small beside the products (the direct algorithm too fills its vectors badly with
 * few), and tiles that are not mostly padding: direct costs 9 products for each output. */
int winograd_pays(const cnnbn_conv_geom *g)
{
    cnnbn__wino_axis down, across;
    choose_axes(g, &down, &across);
    const int enough = g->stride_h == 2 ? g->C >= 16 && g->K >= 16 : g->C >= 8 && g->K >= 4;
    return enough && products_of(&down, &across) * 5 < (long)g->P * g->Q * 36;
}

/* ---------------------------------------------------------------- blocks */

static int output_of(const cnnbn__wino_axis *axis, int tile)
{
    const int first = tile < axis->n[0] ? tile : axis->n[0];
    return first * wino_outputs(axis->kind[0]) + (tile - first) * wino_outputs(axis->kind[1]);
}

/* Tile t of a block. */
static cnnbn__wino_tile tile_at(const cnnbn__wino *w, const cnnbn__wino_block *b, ptrdiff_t t)
{
    if (t < 0 || t >= b->n) return (cnnbn__wino_tile){.t = t};
    const int kind = t >= b->n_wide, n_down = w->down.n[b->lower], n_across = w->across.n[kind];
    const int n_row = w->across.n[0] + w->across.n[1];
    const ptrdiff_t in_rows =
        b->tile - (b->lower ? (ptrdiff_t)b->samples * w->down.n[0] * n_row : 0); /* of this kind */
    ptrdiff_t row = 0, rest = in_rows + t;
    if (w->mixed) {
        row = in_rows / n_row;
        rest = kind ? t - b->n_wide : t;
    }
    row += rest / n_across;
    const int j = (int)(rest % n_across);
    cnnbn__wino_tile at = {.t = t, .sample = b->first + (int)(row / n_down), .shape = w->shape[b->lower][kind]};
    at.i = (int)(row % n_down) + (b->lower ? w->down.n[0] : 0);
    at.j = j + (kind ? w->across.n[0] : 0);
    at.p = output_of(&w->down, at.i);
    at.q = output_of(&w->across, at.j);
    at.n = b->n - t < n_across - j ? (int)(b->n - t) : n_across - j;
    return at;
}

/* Sets what follows from the first tile. */
static void set_tiles(const cnnbn__wino *w, cnnbn__wino_block *b, ptrdiff_t most)
{
    const ptrdiff_t row = w->across.n[0] + w->across.n[1], upper = (ptrdiff_t)b->samples * w->down.n[0] * row;
    b->lower = b->tile >= upper;
    ptrdiff_t left = (b->lower ? (ptrdiff_t)b->samples * w->tiles : upper) - b->tile;
    if (w->mixed) {
        const ptrdiff_t sample = w->down.n[b->lower] * row, done = b->lower ? b->tile - upper : b->tile;
        most = w->band[b->lower] * row;
        if (most < sample && sample - done % sample < left) left = sample - done % sample;
    }
    b->n = left < most ? left : most;
    b->n_wide = w->mixed ? b->n / row * w->across.n[0] : b->n;
    b->begin = tile_at(w, b, 0);
    b->last = tile_at(w, b, b->n - 1);
}

cnnbn__wino_block wino_block_of(const cnnbn__wino *w, int first, int limit, ptrdiff_t most)
{
    cnnbn__wino_block b = {.first = first, .samples = limit - first, .limit = limit};
    if (b.samples > w->group) b.samples = w->group;
    set_tiles(w, &b, most);
    return b;
}

cnnbn__wino_block wino_next_block(const cnnbn__wino *w, const cnnbn__wino_block *b, ptrdiff_t most)
{
    if (b->tile + b->n == (ptrdiff_t)b->samples * w->tiles)
        return wino_block_of(w, b->first + b->samples, b->limit, most);
    cnnbn__wino_block next = *b;
    next.tile += b->n;
    set_tiles(w, &next, most);
    return next;
}

void wino_next_row(const cnnbn__wino *w, const cnnbn__wino_block *b, cnnbn__wino_tile *at)
{
    if (at->t >= b->n) return;
    if (at->t == b->n_wide) { /* the band's first row again */
        *at = tile_at(w, b, at->t);
        return;
    }
    const int kind = at->t > b->n_wide, first = b->lower ? w->down.n[0] : 0;
    at->i++;
    at->p += wino_outputs(w->down.kind[b->lower]);
    if (at->i == first + w->down.n[b->lower]) {
        at->sample++;
        at->i = first;
        at->p = output_of(&w->down, first);
    }
    at->j = kind ? w->across.n[0] : 0;
    at->q = output_of(&w->across, at->j);
    at->n = b->n - at->t < w->across.n[kind] ? (int)(b->n - at->t) : w->across.n[kind];
}

void wino_memory(const cnnbn__wino *w, const cnnbn__wino_block *b, int is_input, const float *base, const char **begin,
                 const char **end)
{
    const cnnbn_conv_geom *g = w->g;
    if (b->n == 0 || (b->lower && w->group > 1)) return;
    const int kind = w->down.kind[b->lower], stride = is_input ? wino_stride(kind) : 1, height = is_input ? g->H : g->P;
    const int off = is_input ? g->pad_top : 0, rows = is_input ? wino_span(kind) : wino_outputs(kind);
    const ptrdiff_t row = is_input ? (ptrdiff_t)g->W * g->C : (ptrdiff_t)g->Q * g->K, sample = height * row;
    int to = wino_within(b->last.p * stride - off + rows, height);
    if (w->mixed && w->group > 1 && b->last.i == w->down.n[0] - 1)
        to = height; /* and what lower blocks of the sample touch */
    *begin = (const char *)(base + b->begin.sample * sample + wino_within(b->begin.p * stride - off, height) * row);
    *end = (const char *)(base + b->last.sample * sample + to * row);
}
