/* Augmentation of the images in front of the first layer, by options of the run: in training only, after the input's scaling. */
#include "augment.h"

#include <string.h>

#include "draw.h"

/* Which option draws; the layers' numbers do not reach this high. */
enum { DRAW_FLIP = 1, DRAW_CROP, DRAW_MAP, DRAW_CONTRAST, DRAW_CUTOUT };
static const uint64_t of_options = (uint64_t)1 << 63;

/* An image (height, width, channels); a model of (height, width) has one channel. */
static void extents(const cnnbn_model *model, int *H, int *W, int *C)
{
    *H = model->input.dim[0];
    *W = model->input.dim[1];
    *C = model->input.rank == 3 ? model->input.dim[2] : 1;
}

static int changes_images(const cnnbn_augment *a)
{
    return a->flip_horizontal || a->flip_vertical || a->crop_pad || a->cutout || a->translation > 0 ||
           a->rotation > 0 || a->contrast > 0;
}

cnnbn_status cnnbn__augment_check(const cnnbn_model *model, const cnnbn_augment *a)
{
    int H, W, C;
    if (!changes_images(a)) return CNNBN_OK;
    if (model->input.rank < 2)
        return cnnbn_error(CNNBN_ERR_OPTION, "augmentation needs images; the model's input has one dimension");
    extents(model, &H, &W, &C);
    int least = H < W ? H : W, most = H < W ? W : H;
    if (a->crop_pad < 0 || a->crop_pad >= least)
        return cnnbn_error(CNNBN_ERR_OPTION, "--random-crop %d: expected 1 to %d pixels for images of %dx%d",
                           a->crop_pad, least - 1, H, W);
    if (a->cutout < 0 || a->cutout > most)
        return cnnbn_error(CNNBN_ERR_OPTION, "--cutout %d: expected 1 to %d pixels for images of %dx%d", a->cutout,
                           most, H, W);
    return CNNBN_OK;
}

size_t cnnbn__augment_workspace(const cnnbn_net *net)
{
    size_t image = cnnbn_shape_count(net->model->input);
    const cnnbn_augment *a = &net->config.augment;
    return (changes_images(a) ? image : 0) + (a->mixup > 0 ? image : 0);
}

/* The image as it stands and room for its next form. */
typedef struct canvas {
    const cnnbn_net *net;
    uint64_t epoch, id;
    int H, W, C;
    float *now, *next;
} canvas;

static uint64_t key_of(const canvas *c, int which)
{
    return cnnbn_rng_key(c->net->config.seed, CNNBN_RNG_AUGMENT, c->epoch, c->id, of_options | (uint64_t)which);
}

static void swap(canvas *c)
{
    float *now = c->now;
    c->now = c->next;
    c->next = now;
}

static void flip(canvas *c)
{
    const cnnbn_augment *a = &c->net->config.augment;
    uint64_t key = key_of(c, DRAW_FLIP);
    int horizontal = a->flip_horizontal && cnnbn__draw_coin(key, 0);
    int vertical = a->flip_vertical && cnnbn__draw_coin(key, 1);
    if (!horizontal && !vertical) return;
    c->net->kernels->image_flip(c->H, c->W, c->C, horizontal, vertical, c->now, c->next);
    swap(c);
}

/* What the raw value 0 became: black, as around an image that was padded before it was scaled. */
static const float *black(const canvas *c)
{
    return c->net->input_shift;
}

static void crop(canvas *c)
{
    int pad = c->net->config.augment.crop_pad;
    uint64_t key = key_of(c, DRAW_CROP), places = (uint64_t)(2 * pad + 1);
    int top = (int)cnnbn_rng_below(key, 0, places) - pad, left = (int)cnnbn_rng_below(key, 1, places) - pad;
    c->net->kernels->image_shift(c->H, c->W, c->C, top, left, c->H, c->W, black(c), c->now, c->next);
    swap(c);
}

/* Turn and translation in one: pixels are mixed once. */
static void map(canvas *c)
{
    const cnnbn_augment *a = &c->net->config.augment;
    const double part[2] = {-a->translation, a->translation}, turn[2] = {-a->rotation, a->rotation};
    uint64_t key = key_of(c, DRAW_MAP);
    cnnbn_warp warp = {.H = c->H,
                       .W = c->W,
                       .C = c->C,
                       .row = (size_t)c->W * (size_t)c->C,
                       .P = c->H,
                       .Q = c->W,
                       .bilinear = 1,
                       .mode = CNNBN_FILL_CONSTANT,
                       .fill = black(c)};
    cnnbn__turn_and_move(c->H, c->W, cnnbn__draw_between(key, 2, turn), cnnbn__draw_between(key, 0, part) * c->H,
                         cnnbn__draw_between(key, 1, part) * c->W, warp.t);
    c->net->kernels->image_warp(&warp, c->now, c->next);
    swap(c);
}

static void contrast(canvas *c)
{
    const cnnbn_augment *a = &c->net->config.augment;
    const double factor[2] = {1 - a->contrast, 1 + a->contrast};
    c->net->kernels->image_contrast(c->H * c->W, c->C, (float)cnnbn__draw_between(key_of(c, DRAW_CONTRAST), 0, factor),
                                    c->net->input_white ? black(c) : NULL, c->net->input_white, c->now, c->now);
}

/* A square about a pixel of the image, cut off at the border; zeros, as the paper's authors have them. */
static void cutout(canvas *c)
{
    int size = c->net->config.augment.cutout;
    uint64_t key = key_of(c, DRAW_CUTOUT);
    int top = (int)cnnbn_rng_below(key, 0, (uint64_t)c->H) - size / 2;
    int left = (int)cnnbn_rng_below(key, 1, (uint64_t)c->W) - size / 2;
    int bottom = top + size < c->H ? top + size : c->H, right = left + size < c->W ? left + size : c->W;
    if (top < 0) top = 0;
    if (left < 0) left = 0;
    for (int h = top; h < bottom; h++)
        memset(c->now + ((size_t)h * (size_t)c->W + (size_t)left) * (size_t)c->C, 0,
               (size_t)(right - left) * (size_t)c->C * sizeof(float));
}

void cnnbn__augment_image(const cnnbn_net *net, uint64_t epoch, uint64_t id, float *image, float *spare)
{
    const cnnbn_augment *a = &net->config.augment;
    canvas c = {.net = net, .epoch = epoch, .id = id, .now = image, .next = spare};
    if (!changes_images(a)) return;
    extents(net->model, &c.H, &c.W, &c.C);
    if (a->flip_horizontal || a->flip_vertical) flip(&c);
    if (a->crop_pad) crop(&c);
    if (a->translation > 0 || a->rotation > 0) map(&c);
    if (a->contrast > 0) contrast(&c);
    if (a->cutout) cutout(&c);
    if (c.now != image) memcpy(image, c.now, cnnbn_shape_count(net->model->input) * sizeof *image);
}
