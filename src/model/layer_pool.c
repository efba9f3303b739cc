/* MaxPooling2D, AveragePooling2D, GlobalMaxPooling2D, GlobalAveragePooling2D. */
#include "internal.h"
#include "layer_types.h"

static const char *const paddings[] = {"valid", "same", NULL};

static const cnnbn_arg_spec pool_args[] = {
    {"pool_size", CNNBN_ARG_PAIR, 0, "2", NULL, 1, 1 << 14},
    {"strides", CNNBN_ARG_PAIR, 0, "null", NULL, 1, 1 << 14}, /* null: pool_size */
    {"padding", CNNBN_ARG_CHOICE, 0, "valid", paddings, 0, 0},
};
static const cnnbn_arg_spec global_args[] = {{"keepdims", CNNBN_ARG_BOOL, 0, "false", NULL, 0, 0}};

static cnnbn_status window(const cnnbn_layer *layer, cnnbn_shape in, cnnbn_window *out)
{
    static const int no_dilation[2] = {1, 1};
    const int *size = cnnbn__arg_pair(layer, "pool_size"), *strides = cnnbn__arg_pair(layer, "strides");
    return cnnbn_window_fill(out, in, size, strides[0] ? strides : size, no_dilation, cnnbn__arg_int(layer, "padding"));
}

static cnnbn_status pool_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    cnnbn_window w;
    CNNBN_TRY(window(layer, *in, &w));
    *out = (cnnbn_shape){3, {w.P, w.Q, in->dim[2]}};
    return CNNBN_OK;
}

static int max_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in, const cnnbn_shape *in_shapes,
                     cnnbn_shape out_shape)
{
    (void)n_in, (void)out_shape;
    cnnbn_window w;
    if (window(layer, in_shapes[0], &w) != CNNBN_OK) return -1; /* the shapes have been inferred with it */
    return b->ops->maxpool(b, in[0], &w);
}

static int average_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                         const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)n_in, (void)out_shape;
    cnnbn_window w;
    if (window(layer, in_shapes[0], &w) != CNNBN_OK) return -1;
    return b->ops->avgpool(b, in[0], &w);
}

static cnnbn_status global_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    CNNBN_TRY(cnnbn__need_image(*in));
    if (cnnbn__arg_int(layer, "keepdims"))
        *out = (cnnbn_shape){3, {1, 1, in->dim[2]}};
    else
        *out = (cnnbn_shape){1, {in->dim[2], 0, 0}};
    return CNNBN_OK;
}

static int global_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                        const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes, (void)out_shape;
    return b->ops->global_avgpool(b, in[0], cnnbn__arg_int(layer, "keepdims"));
}

const cnnbn_layer_type cnnbn__layer_max_pooling2d = {"MaxPooling2D", "max_pooling2d", pool_args, 3, 1, 1, pool_shape,
                                                     NULL,           max_lower};
const cnnbn_layer_type cnnbn__layer_average_pooling2d = {
    "AveragePooling2D", "average_pooling2d", pool_args, 3, 1, 1, pool_shape, NULL, average_lower};
const cnnbn_layer_type cnnbn__layer_global_average_pooling2d = {
    "GlobalAveragePooling2D", "global_average_pooling2d", global_args, 1, 1, 1, global_shape, NULL, global_lower};

/* A window as large as the image. */
static int global_max_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                            const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)layer, (void)n_in;
    const cnnbn_window w = {.R = in_shapes[0].dim[0],
                            .S = in_shapes[0].dim[1],
                            .stride_h = 1,
                            .stride_w = 1,
                            .dil_h = 1,
                            .dil_w = 1,
                            .P = 1,
                            .Q = 1};
    int y = b->ops->maxpool(b, in[0], &w);
    return out_shape.rank == 3 ? y : b->ops->reshape(b, y, out_shape);
}

const cnnbn_layer_type cnnbn__layer_global_max_pooling2d = {
    "GlobalMaxPooling2D", "global_max_pooling2d", global_args, 1, 1, 1, global_shape, NULL, global_max_lower};
