/* LayerScale of Keras' ConvNeXt (Touvron et al. 2021): a factor for each channel, that trains. */
#include "internal.h"
#include "layer_types.h"

static const cnnbn_arg_spec scale_args[] = {
    {"init_values", CNNBN_ARG_FLOAT, 1, NULL, NULL, -1e30, 1e30},
    {"projection_dim", CNNBN_ARG_INT, 1, NULL, NULL, 1, 1 << 20},
};

static cnnbn_status scale_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    int C = cnnbn__arg_int(layer, "projection_dim");
    char text[48];
    *out = *in;
    CNNBN_TRY(cnnbn__need_image(*in));
    if (in->dim[2] == C) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_MODEL, "argument projection_dim = %d: input %s has %d channels", C,
                       cnnbn_shape_text(*in, text, sizeof text), in->dim[2]);
}

static cnnbn_status scale_params(const cnnbn_layer *layer, const cnnbn_shape *in, cnnbn_model *model, int layer_index)
{
    const cnnbn_init start = {.kind = CNNBN_INIT_CONSTANT, .a = cnnbn__arg_float(layer, "init_values")};
    int C = in->dim[2];
    return cnnbn_model_add_param(model, layer_index, "gamma", 1, &C, 1, 0, start, C, C);
}

/* A convolution of one pixel, each channel on its own. */
static int scale_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                       const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes;
    int C = out_shape.dim[2];
    const cnnbn_window pixel = {.R = 1,
                                .S = 1,
                                .stride_h = 1,
                                .stride_w = 1,
                                .dil_h = 1,
                                .dil_w = 1,
                                .P = out_shape.dim[0],
                                .Q = out_shape.dim[1]};
    return b->ops->conv2d(b, in[0], &pixel, C, C, layer->first_param, -1);
}

const cnnbn_layer_type cnnbn__layer_layer_scale = {"LayerScale", "layer_scale", scale_args, 2, 1, 1,
                                                   scale_shape,  scale_params,  scale_lower};
