/* SeparableConv2D: a depthwise convolution and a 1x1 convolution behind it (Chollet: Xception, 2017). */
#include "internal.h"
#include "layer_types.h"

static const char *const paddings[] = {"valid", "same", NULL};

static const cnnbn_arg_spec separable_args[] = {
    {"filters", CNNBN_ARG_INT, 1, NULL, NULL, 1, 1 << 20},
    {"kernel_size", CNNBN_ARG_PAIR, 1, NULL, NULL, 1, 1 << 14},
    {"strides", CNNBN_ARG_PAIR, 0, "1", NULL, 1, 1 << 14},
    {"padding", CNNBN_ARG_CHOICE, 0, "valid", paddings, 0, 0},
    {"dilation_rate", CNNBN_ARG_PAIR, 0, "1", NULL, 1, 1 << 14},
    {"depth_multiplier", CNNBN_ARG_INT, 0, "1", NULL, 1, 1 << 14},
    {"activation", CNNBN_ARG_ACTIVATION, 0, "linear", NULL, 0, 0},
    {"use_bias", CNNBN_ARG_BOOL, 0, "true", NULL, 0, 0},
    CNNBN__WEIGHT_ARGS("depthwise", "glorot_uniform"),
    CNNBN__WEIGHT_ARGS("pointwise", "glorot_uniform"),
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

static cnnbn_status shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    cnnbn_window w;
    int M = cnnbn__arg_int(layer, "depth_multiplier");
    CNNBN_TRY(window(layer, *in, &w));
    if (in->dim[2] > (1 << 20) / M)
        return cnnbn_error(CNNBN_ERR_MODEL, "argument depth_multiplier = %d gives %lld channels; at most %d", M,
                           (long long)in->dim[2] * M, 1 << 20);
    *out = (cnnbn_shape){3, {w.P, w.Q, cnnbn__arg_int(layer, "filters")}};
    return CNNBN_OK;
}

static cnnbn_status params(const cnnbn_layer *layer, const cnnbn_shape *in, cnnbn_model *model, int layer_index)
{
    const int *k = cnnbn__arg_pair(layer, "kernel_size");
    int C = in->dim[2], M = cnnbn__arg_int(layer, "depth_multiplier"), K = cnnbn__arg_int(layer, "filters");
    const int depthwise[4] = {k[0], k[1], C, M}, pointwise[4] = {1, 1, C * M, K};
    CNNBN_TRY(cnnbn_model_add_param(model, layer_index, "depthwise_kernel", 4, depthwise, 1, 1,
                                    cnnbn_layer_arg(layer, "depthwise_initializer")->init, cnnbn__fan(k[0], k[1], C),
                                    cnnbn__fan(k[0], k[1], M)));
    CNNBN_TRY(cnnbn_model_add_param(model, layer_index, "pointwise_kernel", 4, pointwise, 1, 1,
                                    cnnbn_layer_arg(layer, "pointwise_initializer")->init, C * M, K));
    if (!cnnbn__arg_int(layer, "use_bias")) return CNNBN_OK;
    return cnnbn_model_add_param(model, layer_index, "bias", 1, &K, 1, 0,
                                 cnnbn_layer_arg(layer, "bias_initializer")->init, K, K);
}

static int lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in, const cnnbn_shape *in_shapes,
                 cnnbn_shape out_shape)
{
    (void)n_in;
    cnnbn_window w;
    if (window(layer, in_shapes[0], &w) != CNNBN_OK) return -1; /* the shapes have been inferred with it */
    const cnnbn_window point = {
        .R = 1, .S = 1, .stride_h = 1, .stride_w = 1, .dil_h = 1, .dil_w = 1, .P = w.P, .Q = w.Q};
    int C = in_shapes[0].dim[2], M = cnnbn__arg_int(layer, "depth_multiplier"), first = layer->first_param;
    int y = b->ops->conv2d(b, in[0], &w, C * M, C, first, -1);
    y = b->ops->conv2d(b, y, &point, out_shape.dim[2], 1, first + 1,
                       cnnbn__arg_int(layer, "use_bias") ? first + 2 : -1);
    return cnnbn__lower_activation(b, y, cnnbn_layer_arg(layer, "activation")->act);
}

const cnnbn_layer_type cnnbn__layer_separable_conv2d = {"SeparableConv2D",
                                                        "separable_conv2d",
                                                        separable_args,
                                                        sizeof separable_args / sizeof *separable_args,
                                                        1,
                                                        1,
                                                        shape,
                                                        params,
                                                        lower};
