/* Layers that change images at random, sample by sample (Keras' RandomFlip, RandomTranslation, RandomRotation, RandomContrast,
 * RandomCrop). Forward and backward draw the same. */
#include "draw.h"
#include "plain.h"

static const cnnbn_kernels *kernels(const plain_call *c)
{
    return c->u->net->kernels;
}

static const uint64_t *keys_of(const plain_call *c)
{
    return cnnbn__sample_keys(c->u, c->o, CNNBN_RNG_AUGMENT);
}

static void flip(const plain_call *c, const float *from)
{
    const plain_args *a = &c->o->plain;
    const int *dim = c->x_shape.dim;
    const uint64_t *keys = keys_of(c);
    for (int i = 0; i < c->n; i++) {
        size_t at = (size_t)i * c->x_count;
        kernels(c)->image_flip(dim[0], dim[1], dim[2], a->horizontal && cnnbn__draw_coin(keys[i], 0),
                               a->vertical && cnnbn__draw_coin(keys[i], 1), from + at, c->out + at);
    }
}

void cnnbn__flip_forward(const plain_call *c)
{
    flip(c, c->x[0]);
}

void cnnbn__flip_backward(const plain_call *c)
{
    flip(c, c->dy);
}

static cnnbn_warp map_of(const plain_call *c, uint64_t key)
{
    const cnnbn_random_map *m = &c->o->plain.map;
    const int *dim = c->x_shape.dim;
    cnnbn_warp warp = {.H = dim[0],
                       .W = dim[1],
                       .C = dim[2],
                       .row = (size_t)dim[1] * (size_t)dim[2],
                       .P = dim[0],
                       .Q = dim[1],
                       .bilinear = m->bilinear,
                       .mode = (cnnbn_fill_mode)m->fill_mode,
                       .fill = c->o->plain.scale};
    cnnbn__turn_and_move(dim[0], dim[1], cnnbn__draw_between(key, 2, m->turn),
                         cnnbn__draw_between(key, 0, m->height) * dim[0],
                         cnnbn__draw_between(key, 1, m->width) * dim[1], warp.t);
    return warp;
}

void cnnbn__map_forward(const plain_call *c)
{
    const uint64_t *keys = keys_of(c);
    for (int i = 0; i < c->n; i++) {
        cnnbn_warp warp = map_of(c, keys[i]);
        kernels(c)->image_warp(&warp, c->x[0] + (size_t)i * c->x_count, c->out + (size_t)i * c->x_count);
    }
}

void cnnbn__map_backward(const plain_call *c)
{
    const uint64_t *keys = keys_of(c);
    for (int i = 0; i < c->n; i++) {
        cnnbn_warp warp = map_of(c, keys[i]);
        kernels(c)->image_warp_bwd(&warp, c->dy + (size_t)i * c->x_count, c->out + (size_t)i * c->x_count);
    }
}

static float contrast_of(const plain_call *c, uint64_t key)
{
    const double bounds[2] = {1 - c->o->plain.amount[0], 1 + c->o->plain.amount[1]};
    return (float)cnnbn__draw_between(key, 0, bounds);
}

void cnnbn__contrast_forward(const plain_call *c)
{
    const plain_args *a = &c->o->plain;
    const int *dim = c->x_shape.dim;
    const uint64_t *keys = keys_of(c);
    for (int i = 0; i < c->n; i++)
        kernels(c)->image_contrast(dim[0] * dim[1], dim[2], contrast_of(c, keys[i]), a->scale, a->offset,
                                   c->x[0] + (size_t)i * c->x_count, c->out + (size_t)i * c->x_count);
}

void cnnbn__contrast_backward(const plain_call *c)
{
    const plain_args *a = &c->o->plain;
    const int *dim = c->x_shape.dim;
    const uint64_t *keys = keys_of(c);
    for (int i = 0; i < c->n; i++) {
        size_t at = (size_t)i * c->x_count;
        kernels(c)->image_contrast_bwd(dim[0] * dim[1], dim[2], contrast_of(c, keys[i]), a->scale, a->offset,
                                       c->x[0] + at, c->dy + at, c->out + at);
    }
}

/* ---------------------------------------------------------------- crop */

static void draw_window(const plain_call *c, uint64_t key, int *top, int *left)
{
    *top = (int)cnnbn_rng_below(key, 0, (uint64_t)(c->x_shape.dim[0] - c->y_shape.dim[0] + 1));
    *left = (int)cnnbn_rng_below(key, 1, (uint64_t)(c->x_shape.dim[1] - c->y_shape.dim[1] + 1));
}

/* The greatest window of the output's proportions, in the middle, resized: pixel centres at halves, the window's own border
 * repeated. The whole numbers are cut as in Keras' smart_resize. */
static void resize_window(const plain_call *c)
{
    int H = c->x_shape.dim[0], W = c->x_shape.dim[1], C = c->x_shape.dim[2];
    int P = c->y_shape.dim[0], Q = c->y_shape.dim[1];
    int height = (int)((double)W * P / Q), width = (int)((double)H * Q / P);
    height = height > H ? H : height < 1 ? 1 : height;
    width = width > W ? W : width < 1 ? 1 : width;
    double down = (double)height / P, across = (double)width / Q;
    cnnbn_warp warp = {.H = height,
                       .W = width,
                       .C = C,
                       .row = (size_t)W * (size_t)C,
                       .P = P,
                       .Q = Q,
                       .t = {across, 0, 0.5 * across - 0.5, 0, down, 0.5 * down - 0.5},
                       .bilinear = 1,
                       .mode = CNNBN_FILL_NEAREST};
    size_t first = ((size_t)((H - height) / 2) * (size_t)W + (size_t)((W - width) / 2)) * (size_t)C;
    for (int i = 0; i < c->n; i++)
        kernels(c)->image_warp(&warp, c->x[0] + (size_t)i * c->x_count + first, c->out + (size_t)i * c->y_count);
}

void cnnbn__crop_forward(const plain_call *c)
{
    if (!c->u->prog->training) {
        resize_window(c);
        return;
    }
    const int *in = c->x_shape.dim, *out = c->y_shape.dim;
    const uint64_t *keys = keys_of(c);
    for (int i = 0; i < c->n; i++) {
        int top, left;
        draw_window(c, keys[i], &top, &left);
        kernels(c)->image_shift(in[0], in[1], in[2], top, left, out[0], out[1], NULL, c->x[0] + (size_t)i * c->x_count,
                                c->out + (size_t)i * c->y_count);
    }
}

void cnnbn__crop_backward(const plain_call *c)
{
    const int *in = c->x_shape.dim, *out = c->y_shape.dim;
    const uint64_t *keys = keys_of(c);
    for (int i = 0; i < c->n; i++) {
        int top, left;
        draw_window(c, keys[i], &top, &left);
        kernels(c)->image_shift(out[0], out[1], in[2], -top, -left, in[0], in[1], NULL, c->dy + (size_t)i * c->y_count,
                                c->out + (size_t)i * c->x_count);
    }
}
