#include <math.h>
#include <stdio.h>

#include "case_tools.h"
#include "kernel_cases.h"

/* Weights of a pixel are floats here, doubles there, and up to four products are added. */
static const double warp_tolerance = 2e-6;
/* A few float operations beside doubles. */
static const double element_tolerance = 1e-6;

typedef struct image_case {
    char label[160];
    dice d;
    arrays mem;
    int H, W, C, P, Q;
    size_t n_in, n_out;
    float *x, *fill, *y, *expected; /* y: the greater of both images */
} image_case;

static void case_begin(image_case *c, const char *name, uint64_t seed, int index)
{
    c->mem.n = 0;
    c->d = dice_new(seed, index);
    c->H = dice_int(&c->d, 1, 12);
    c->W = dice_int(&c->d, 1, 40);
    c->C = dice_one_in(&c->d, 6) ? dice_int(&c->d, 15, 35) : dice_int(&c->d, 1, 4);
    c->P = dice_one_in(&c->d, 2) ? c->H : dice_int(&c->d, 1, 12);
    c->Q = dice_one_in(&c->d, 2) ? c->W : dice_int(&c->d, 1, 40);
    c->n_in = (size_t)(c->H * c->W * c->C);
    c->n_out = (size_t)(c->P * c->Q * c->C);
    (void)snprintf(c->label, sizeof c->label, "%s image case %d: H%d W%d C%d P%d Q%d", name, index, c->H, c->W, c->C,
                   c->P, c->Q);
    size_t most = c->n_in > c->n_out ? c->n_in : c->n_out;
    c->x = arrays_random(&c->mem, &c->d, c->n_in, -2, 2);
    c->fill = arrays_random(&c->mem, &c->d, (size_t)c->C, -2, 2);
    c->y = arrays_floats(&c->mem, most, 1);
    c->expected = arrays_floats(&c->mem, most, 0);
    if (dice_one_in(&c->d, 6)) c->x[c->n_in / 2] = dice_one_in(&c->d, 2) ? NAN : INFINITY;
}

static void check_copies(image_case *c, const cnnbn_kernels *table)
{
    const cnnbn_kernels *ref = kernel_cases_ref();
    for (int which = 0; which < 4; which++) {
        ref->image_flip(c->H, c->W, c->C, which & 1, which >> 1, c->x, c->expected);
        table->image_flip(c->H, c->W, c->C, which & 1, which >> 1, c->x, c->y);
        case_each(c->label, "image_flip", c->y, c->expected, c->n_in, 0);
    }
    int top = dice_int(&c->d, -14, 14), left = dice_int(&c->d, -44, 44);
    const float *fill = dice_one_in(&c->d, 2) ? c->fill : NULL;
    ref->image_shift(c->H, c->W, c->C, top, left, c->P, c->Q, fill, c->x, c->expected);
    table->image_shift(c->H, c->W, c->C, top, left, c->P, c->Q, fill, c->x, c->y);
    case_each(c->label, "image_shift", c->y, c->expected, c->n_out, 0);
}

/* A translation, whole or not, or any map. Pixels half-way between two, where rounding decides, are kept off. */
static cnnbn_warp random_warp(image_case *c)
{
    cnnbn_warp w = {.H = c->H, .W = c->W, .C = c->C, .P = c->P, .Q = c->Q, .fill = c->fill};
    int cut = c->W > 1 && dice_one_in(&c->d, 3); /* a window of a wider image */
    w.row = (size_t)c->W * (size_t)c->C;
    w.W -= cut;
    w.mode = (cnnbn_fill_mode)dice_int(&c->d, 0, 3);
    w.bilinear = dice_int(&c->d, 0, 1);
    w.t[0] = w.t[4] = 1;
    for (int k = 0; k < 6; k++)
        if (k % 3 == 2) w.t[k] = dice_one_in(&c->d, 3) ? dice_int(&c->d, -20, 20) : (double)dice_float(&c->d, -20, 20);
    if (dice_one_in(&c->d, 2)) return w;
    for (int k = 0; k < 6; k++)
        if (k % 3 != 2) w.t[k] = (double)dice_float(&c->d, -1.5F, 1.5F);
    return w;
}

static void check_warp(image_case *c, const cnnbn_kernels *table)
{
    const cnnbn_kernels *ref = kernel_cases_ref();
    cnnbn_warp w = random_warp(c);
    char what[64];
    (void)snprintf(what, sizeof what, "image_warp, mode %d, bilinear %d", w.mode, w.bilinear);
    ref->image_warp(&w, c->x, c->expected);
    table->image_warp(&w, c->x, c->y);
    case_each(c->label, what, c->y, c->expected, c->n_out, warp_tolerance);
    float *dy = arrays_random(&c->mem, &c->d, c->n_out, -1, 1);
    ref->image_warp_bwd(&w, dy, c->expected);
    table->image_warp_bwd(&w, dy, c->y);
    case_each(c->label, "image_warp_bwd", c->y, c->expected, (size_t)(w.H * w.W * w.C), warp_tolerance);
}

static void check_contrast(image_case *c, const cnnbn_kernels *table)
{
    const cnnbn_kernels *ref = kernel_cases_ref();
    int positions = c->H * c->W;
    float factor = dice_float(&c->d, 0, 2), *low = NULL, *high = NULL;
    if (dice_one_in(&c->d, 2)) {
        low = arrays_random(&c->mem, &c->d, (size_t)c->C, -2, 0);
        high = arrays_random(&c->mem, &c->d, (size_t)c->C, 0, 2);
    }
    ref->image_contrast(positions, c->C, factor, low, high, c->x, c->expected);
    table->image_contrast(positions, c->C, factor, low, high, c->x, c->y);
    case_each(c->label, "image_contrast", c->y, c->expected, c->n_in, element_tolerance);
    float *dy = arrays_random(&c->mem, &c->d, c->n_in, -1, 1);
    ref->image_contrast_bwd(positions, c->C, factor, low, high, c->x, dy, c->expected);
    table->image_contrast_bwd(positions, c->C, factor, low, high, c->x, dy, c->y);
    case_each(c->label, "image_contrast_bwd", c->y, c->expected, c->n_in, element_tolerance);
    float *in_place = arrays_copy(&c->mem, c->x, c->n_in, 1);
    table->image_contrast(positions, c->C, factor, low, high, c->x, c->y);
    table->image_contrast(positions, c->C, factor, low, high, in_place, in_place);
    case_bits(c->label, "image_contrast in place", in_place, c->y, c->n_in * sizeof *c->y);
}

static void check_mix(image_case *c, const cnnbn_kernels *table)
{
    float weight = dice_float(&c->d, 0, 1), *other = arrays_random(&c->mem, &c->d, c->n_in, -2, 2);
    kernel_cases_ref()->mix(c->n_in, weight, c->x, other, c->expected);
    table->mix(c->n_in, weight, c->x, other, c->y);
    case_each(c->label, "mix", c->y, c->expected, c->n_in, element_tolerance);
}

void kernel_cases_image(const cnnbn_kernels *table, int n_cases, uint64_t seed)
{
    static void (*const checks[])(image_case *, const cnnbn_kernels *) = {check_copies, check_warp, check_contrast,
                                                                          check_mix};
    for (int i = 0; i < n_cases; i++) {
        image_case c;
        case_begin(&c, table->name, seed, i);
        for (size_t k = 0; k < sizeof checks / sizeof *checks; k++) checks[k](&c, table);
        arrays_end(&c.mem, c.label);
    }
}
