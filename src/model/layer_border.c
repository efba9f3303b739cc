/* ZeroPadding2D, Cropping2D, UpSampling2D. */
#include "internal.h"
#include "layer_types.h"

enum { BORDER_MAX = 1 << 14 };

static const cnnbn_arg_spec padding_args[] = {{"padding", CNNBN_ARG_BORDER, 0, "1", NULL, 0, BORDER_MAX}};
static const cnnbn_arg_spec cropping_args[] = {{"cropping", CNNBN_ARG_BORDER, 0, "0", NULL, 0, BORDER_MAX}};
static const char *const interpolations[] = {"nearest", "bilinear", NULL};
static const cnnbn_arg_spec size_args[] = {
    {"size", CNNBN_ARG_PAIR, 0, "2", NULL, 1, 1 << 10},
    {"interpolation", CNNBN_ARG_CHOICE, 0, "nearest", interpolations, 0, 0},
};

static cnnbn_status padding_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    const int *p = cnnbn_layer_arg(layer, "padding")->i;
    CNNBN_TRY(cnnbn__need_image(*in));
    *out = (cnnbn_shape){3, {in->dim[0] + p[0] + p[1], in->dim[1] + p[2] + p[3], in->dim[2]}};
    return CNNBN_OK;
}

static int padding_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                         const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes, (void)out_shape;
    const int *p = cnnbn_layer_arg(layer, "padding")->i;
    return b->ops->pad(b, in[0], p[0], p[1], p[2], p[3]);
}

static cnnbn_status cropping_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    const int *p = cnnbn_layer_arg(layer, "cropping")->i;
    char text[48];
    CNNBN_TRY(cnnbn__need_image(*in));
    *out = (cnnbn_shape){3, {in->dim[0] - p[0] - p[1], in->dim[1] - p[2] - p[3], in->dim[2]}};
    if (out->dim[0] > 0 && out->dim[1] > 0) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_MODEL, "argument cropping = [[%d, %d], [%d, %d]] leaves nothing of input %s", p[0],
                       p[1], p[2], p[3], cnnbn_shape_text(*in, text, sizeof text));
}

static int cropping_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                          const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes, (void)out_shape;
    const int *p = cnnbn_layer_arg(layer, "cropping")->i;
    return b->ops->pad(b, in[0], -p[0], -p[1], -p[2], -p[3]);
}

static cnnbn_status upsampling_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    const int *size = cnnbn__arg_pair(layer, "size");
    CNNBN_TRY(cnnbn__need_image(*in));
    if (in->dim[0] > (1 << 20) || in->dim[1] > (1 << 20)) /* keeps the product in an int */
        return cnnbn_error(CNNBN_ERR_MODEL, "an image of %dx%d is too large to be made larger", in->dim[0], in->dim[1]);
    *out = (cnnbn_shape){3, {in->dim[0] * size[0], in->dim[1] * size[1], in->dim[2]}};
    return CNNBN_OK;
}

static int upsampling_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                            const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes, (void)out_shape;
    const int *size = cnnbn__arg_pair(layer, "size");
    if (cnnbn__arg_int(layer, "interpolation")) return b->ops->upsample_bilinear(b, in[0], size[0], size[1]);
    return b->ops->upsample(b, in[0], size[0], size[1]);
}

const cnnbn_layer_type cnnbn__layer_zero_padding2d = {
    "ZeroPadding2D", "zero_padding2d", padding_args, 1, 1, 1, padding_shape, NULL, padding_lower};
const cnnbn_layer_type cnnbn__layer_cropping2d = {"Cropping2D",   "cropping2d", cropping_args, 1, 1, 1,
                                                  cropping_shape, NULL,         cropping_lower};
const cnnbn_layer_type cnnbn__layer_up_sampling2d = {
    "UpSampling2D", "up_sampling2d", size_args, 2, 1, 1, upsampling_shape, NULL, upsampling_lower};
