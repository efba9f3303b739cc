/* RandomFlip, RandomCrop, RandomTranslation, RandomRotation, RandomContrast: of each image of its own, in training only. */
#include "internal.h"
#include "layer_types.h"

static const char *const flip_modes[] = {"horizontal", "vertical", "horizontal_and_vertical", NULL};
static const char *const fill_modes[] = {"reflect", "wrap", "constant", "nearest", NULL}; /* as cnnbn_random_map's */
static const char *const interpolations[] = {"nearest", "bilinear", NULL};

enum { SIDE_MAX = 1 << 14 };

static const cnnbn_arg_spec flip_args[] = {
    {"mode", CNNBN_ARG_CHOICE, 0, "horizontal_and_vertical", flip_modes, 0, 0},
};
static const cnnbn_arg_spec crop_args[] = {
    {"height", CNNBN_ARG_INT, 1, NULL, NULL, 1, SIDE_MAX},
    {"width", CNNBN_ARG_INT, 1, NULL, NULL, 1, SIDE_MAX},
};
static const cnnbn_arg_spec translation_args[] = {
    {"height_factor", CNNBN_ARG_INTERVAL, 1, NULL, NULL, -1, 1},
    {"width_factor", CNNBN_ARG_INTERVAL, 1, NULL, NULL, -1, 1},
    {"fill_mode", CNNBN_ARG_CHOICE, 0, "reflect", fill_modes, 0, 0},
    {"interpolation", CNNBN_ARG_CHOICE, 0, "bilinear", interpolations, 0, 0},
    {"fill_value", CNNBN_ARG_FLOAT, 0, "0", NULL, -1e30, 1e30},
};
static const cnnbn_arg_spec rotation_args[] = {
    {"factor", CNNBN_ARG_INTERVAL, 1, NULL, NULL, -1, 1},
    {"fill_mode", CNNBN_ARG_CHOICE, 0, "reflect", fill_modes, 0, 0},
    {"interpolation", CNNBN_ARG_CHOICE, 0, "bilinear", interpolations, 0, 0},
    {"fill_value", CNNBN_ARG_FLOAT, 0, "0", NULL, -1e30, 1e30},
};
static const cnnbn_arg_spec contrast_args[] = {
    {"factor", CNNBN_ARG_INTERVAL, 1, NULL, NULL, 0, 1},
    {"value_range", CNNBN_ARG_INTERVAL, 0, "0 255", NULL, -1e30, 2e30},
};

static cnnbn_status image_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)layer, (void)n_in;
    *out = *in;
    return cnnbn__need_image(*in);
}

static int flip_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in, const cnnbn_shape *in_shapes,
                      cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes, (void)out_shape;
    int mode = cnnbn__arg_int(layer, "mode");
    return b->ops->random_flip(b, in[0], mode != 1, mode != 0);
}

static cnnbn_status crop_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    int height = cnnbn__arg_int(layer, "height"), width = cnnbn__arg_int(layer, "width");
    char text[48];
    CNNBN_TRY(cnnbn__need_image(*in));
    *out = (cnnbn_shape){3, {height, width, in->dim[2]}};
    if (height <= in->dim[0] && width <= in->dim[1]) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_MODEL,
                       "argument %s = %d: greater than the input %s; enlarge it first (ZeroPadding2D, UpSampling2D)",
                       height > in->dim[0] ? "height" : "width", height > in->dim[0] ? height : width,
                       cnnbn_shape_text(*in, text, sizeof text));
}

static int crop_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in, const cnnbn_shape *in_shapes,
                      cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes, (void)layer;
    return b->ops->random_crop(b, in[0], out_shape.dim[0], out_shape.dim[1]);
}

static void set_interval(double to[2], const cnnbn_layer *layer, const char *name)
{
    const double *from = cnnbn_layer_arg(layer, name)->interval;
    to[0] = from[0];
    to[1] = from[1];
}

static cnnbn_random_map map_of(const cnnbn_layer *layer)
{
    return (cnnbn_random_map){.bilinear = cnnbn__arg_int(layer, "interpolation"),
                              .fill_mode = cnnbn__arg_int(layer, "fill_mode"),
                              .fill_value = cnnbn__arg_float(layer, "fill_value")};
}

static int translation_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                             const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes, (void)out_shape;
    cnnbn_random_map map = map_of(layer);
    set_interval(map.height, layer, "height_factor");
    set_interval(map.width, layer, "width_factor");
    return b->ops->random_map(b, in[0], &map);
}

static int rotation_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                          const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes, (void)out_shape;
    cnnbn_random_map map = map_of(layer);
    set_interval(map.turn, layer, "factor");
    return b->ops->random_map(b, in[0], &map);
}

static int contrast_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                          const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes, (void)out_shape;
    return b->ops->random_contrast(b, in[0], cnnbn_layer_arg(layer, "factor")->interval,
                                   cnnbn_layer_arg(layer, "value_range")->interval);
}

#define N_ARGS(args) (int)(sizeof(args) / sizeof *(args))

const cnnbn_layer_type cnnbn__layer_random_flip = {"RandomFlip", "random_flip", flip_args, N_ARGS(flip_args), 1, 1,
                                                   image_shape,  NULL,          flip_lower};
const cnnbn_layer_type cnnbn__layer_random_crop = {"RandomCrop", "random_crop", crop_args, N_ARGS(crop_args), 1, 1,
                                                   crop_shape,   NULL,          crop_lower};
const cnnbn_layer_type cnnbn__layer_random_translation = {
    "RandomTranslation", "random_translation", translation_args, N_ARGS(translation_args), 1, 1, image_shape, NULL,
    translation_lower};
const cnnbn_layer_type cnnbn__layer_random_rotation = {
    "RandomRotation", "random_rotation", rotation_args, N_ARGS(rotation_args), 1, 1, image_shape, NULL, rotation_lower};
const cnnbn_layer_type cnnbn__layer_random_contrast = {
    "RandomContrast", "random_contrast", contrast_args, N_ARGS(contrast_args), 1, 1, image_shape, NULL, contrast_lower};
