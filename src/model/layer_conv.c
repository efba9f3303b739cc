/* Conv2D and DepthwiseConv2D. */

#include "internal.h"
#include "layer_types.h"

static const char *const paddings[] = {"valid", "same", NULL};

static const cnnbn_arg_spec conv_args[] = {
    {"filters", CNNBN_ARG_INT, 1, NULL, NULL, 1, 1 << 20},
    {"kernel_size", CNNBN_ARG_PAIR, 1, NULL, NULL, 1, 1 << 14},
    {"strides", CNNBN_ARG_PAIR, 0, "1", NULL, 1, 1 << 14},
    {"padding", CNNBN_ARG_CHOICE, 0, "valid", paddings, 0, 0},
    {"dilation_rate", CNNBN_ARG_PAIR, 0, "1", NULL, 1, 1 << 14},
    {"groups", CNNBN_ARG_INT, 0, "1", NULL, 1, 1 << 20},
    {"activation", CNNBN_ARG_ACTIVATION, 0, "linear", NULL, 0, 0},
    {"use_bias", CNNBN_ARG_BOOL, 0, "true", NULL, 0, 0},
    CNNBN__WEIGHT_ARGS("kernel", "glorot_uniform"),
    CNNBN__WEIGHT_ARGS("bias", "zeros"),
};

static const cnnbn_arg_spec depthwise_args[] = {
    {"kernel_size", CNNBN_ARG_PAIR, 1, NULL, NULL, 1, 1 << 14},
    {"strides", CNNBN_ARG_PAIR, 0, "1", NULL, 1, 1 << 14},
    {"padding", CNNBN_ARG_CHOICE, 0, "valid", paddings, 0, 0},
    {"depth_multiplier", CNNBN_ARG_INT, 0, "1", NULL, 1, 1 << 14},
    {"dilation_rate", CNNBN_ARG_PAIR, 0, "1", NULL, 1, 1 << 14},
    {"activation", CNNBN_ARG_ACTIVATION, 0, "linear", NULL, 0, 0},
    {"use_bias", CNNBN_ARG_BOOL, 0, "true", NULL, 0, 0},
    CNNBN__WEIGHT_ARGS("depthwise", "glorot_uniform"),
    CNNBN__WEIGHT_ARGS("bias", "zeros"),
};

static cnnbn_status window(const cnnbn_layer *layer, cnnbn_shape in, cnnbn_window *out)
{
    const int *strides = cnnbn__arg_pair(layer, "strides"), *dilation = cnnbn__arg_pair(layer, "dilation_rate");
    if ((strides[0] > 1 || strides[1] > 1) && (dilation[0] > 1 || dilation[1] > 1))
        return cnnbn_error(CNNBN_ERR_MODEL,
                           "strides %dx%d together with dilation_rate %dx%d: as in Keras, one of them is 1", strides[0],
                           strides[1], dilation[0], dilation[1]);
    return cnnbn_window_fill(out, in, cnnbn__arg_pair(layer, "kernel_size"), strides, dilation,
                             cnnbn__arg_int(layer, "padding"));
}

static cnnbn_status conv_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    cnnbn_window w;
    int K = cnnbn__arg_int(layer, "filters"), groups = cnnbn__arg_int(layer, "groups");
    CNNBN_TRY(window(layer, *in, &w));
    if (in->dim[2] % groups || K % groups)
        return cnnbn_error(CNNBN_ERR_MODEL,
                           "argument groups = %d must divide the input's %d channels and the %d filters", groups,
                           in->dim[2], K);
    *out = (cnnbn_shape){3, {w.P, w.Q, K}};
    return CNNBN_OK;
}

static cnnbn_status bias_param(const cnnbn_layer *layer, cnnbn_model *model, int layer_index, int K)
{
    if (!cnnbn__arg_int(layer, "use_bias")) return CNNBN_OK;
    return cnnbn_model_add_param(model, layer_index, "bias", 1, &K, 1, 0,
                                 cnnbn_layer_arg(layer, "bias_initializer")->init, K, K);
}

/* Kernel (R, S, C / groups, K); fans as Keras' compute_fans: the last two dimensions times the window. */
static cnnbn_status conv_params(const cnnbn_layer *layer, const cnnbn_shape *in, cnnbn_model *model, int layer_index)
{
    const int *k = cnnbn__arg_pair(layer, "kernel_size");
    int K = cnnbn__arg_int(layer, "filters"), C = in->dim[2] / cnnbn__arg_int(layer, "groups");
    const int dim[4] = {k[0], k[1], C, K};
    CNNBN_TRY(cnnbn_model_add_param(model, layer_index, "kernel", 4, dim, 1, 1,
                                    cnnbn_layer_arg(layer, "kernel_initializer")->init, cnnbn__fan(k[0], k[1], C),
                                    cnnbn__fan(k[0], k[1], K)));
    return bias_param(layer, model, layer_index, K);
}

static int emit(const cnnbn_layer *layer, cnnbn_builder *b, int x, cnnbn_shape in, int filters, int groups)
{
    cnnbn_window w;
    if (window(layer, in, &w) != CNNBN_OK) return -1; /* the shapes have been inferred with it */
    int kernel = layer->first_param, bias = cnnbn__arg_int(layer, "use_bias") ? kernel + 1 : -1;
    int y = b->ops->conv2d(b, x, &w, filters, groups, kernel, bias);
    return cnnbn__lower_activation(b, y, cnnbn_layer_arg(layer, "activation")->act);
}

static int conv_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in, const cnnbn_shape *in_shapes,
                      cnnbn_shape out_shape)
{
    (void)n_in;
    return emit(layer, b, in[0], in_shapes[0], out_shape.dim[2], cnnbn__arg_int(layer, "groups"));
}

static cnnbn_status depthwise_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    cnnbn_window w;
    int M = cnnbn__arg_int(layer, "depth_multiplier");
    CNNBN_TRY(window(layer, *in, &w));
    if (in->dim[2] > (1 << 20) / M)
        return cnnbn_error(CNNBN_ERR_MODEL, "argument depth_multiplier = %d gives %lld channels; at most %d", M,
                           (long long)in->dim[2] * M, 1 << 20);
    *out = (cnnbn_shape){3, {w.P, w.Q, in->dim[2] * M}};
    return CNNBN_OK;
}

/* Keras' kernel is (R, S, C, M): the same memory as a convolution's (R, S, 1, C * M) in C groups of M filters. */
static cnnbn_status depthwise_params(const cnnbn_layer *layer, const cnnbn_shape *in, cnnbn_model *model,
                                     int layer_index)
{
    const int *k = cnnbn__arg_pair(layer, "kernel_size");
    int C = in->dim[2], M = cnnbn__arg_int(layer, "depth_multiplier");
    const int dim[4] = {k[0], k[1], C, M};
    CNNBN_TRY(cnnbn_model_add_param(model, layer_index, "depthwise_kernel", 4, dim, 1, 1,
                                    cnnbn_layer_arg(layer, "depthwise_initializer")->init, cnnbn__fan(k[0], k[1], C),
                                    cnnbn__fan(k[0], k[1], M)));
    return bias_param(layer, model, layer_index, C * M);
}

static int depthwise_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                           const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)n_in;
    return emit(layer, b, in[0], in_shapes[0], out_shape.dim[2], in_shapes[0].dim[2]);
}

const cnnbn_layer_type cnnbn__layer_conv2d = {
    "Conv2D", "conv2d", conv_args, sizeof conv_args / sizeof *conv_args, 1, 1, conv_shape, conv_params, conv_lower};
const cnnbn_layer_type cnnbn__layer_depthwise_conv2d = {
    "DepthwiseConv2D", "depthwise_conv2d", depthwise_args, sizeof depthwise_args / sizeof *depthwise_args, 1, 1,
    depthwise_shape,   depthwise_params,   depthwise_lower};
