/* Conv1D: a convolution over (length, channels), which is an image of one row. */
#include "internal.h"
#include "layer_types.h"

static const char *const paddings[] = {"valid", "same", "causal", NULL};
enum { CAUSAL = 2 };

static const cnnbn_arg_spec conv1d_args[] = {
    {"filters", CNNBN_ARG_INT, 1, NULL, NULL, 1, 1 << 20},
    {"kernel_size", CNNBN_ARG_INT, 1, NULL, NULL, 1, 1 << 14},
    {"strides", CNNBN_ARG_INT, 0, "1", NULL, 1, 1 << 14},
    {"padding", CNNBN_ARG_CHOICE, 0, "valid", paddings, 0, 0},
    {"dilation_rate", CNNBN_ARG_INT, 0, "1", NULL, 1, 1 << 14},
    {"groups", CNNBN_ARG_INT, 0, "1", NULL, 1, 1 << 20},
    {"activation", CNNBN_ARG_ACTIVATION, 0, "linear", NULL, 0, 0},
    {"use_bias", CNNBN_ARG_BOOL, 0, "true", NULL, 0, 0},
    CNNBN__WEIGHT_ARGS("kernel", "glorot_uniform"),
    CNNBN__WEIGHT_ARGS("bias", "zeros"),
};

/* Causal: all padding in front, so that an output sees no later input. */
static cnnbn_status window(const cnnbn_layer *layer, cnnbn_shape in, cnnbn_window *out)
{
    int stride = cnnbn__arg_int(layer, "strides"), dilation = cnnbn__arg_int(layer, "dilation_rate");
    int padding = cnnbn__arg_int(layer, "padding"), size = cnnbn__arg_int(layer, "kernel_size");
    if (stride > 1 && dilation > 1)
        return cnnbn_error(CNNBN_ERR_MODEL, "strides %d together with dilation_rate %d: as in Keras, one of them is 1",
                           stride, dilation);
    CNNBN_TRY(cnnbn__window_1d(out, in, size, stride, dilation, padding != 0));
    if (padding == CAUSAL) out->pad_left = (size - 1) * dilation;
    return CNNBN_OK;
}

static cnnbn_status shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    cnnbn_window w;
    int K = cnnbn__arg_int(layer, "filters"), groups = cnnbn__arg_int(layer, "groups");
    CNNBN_TRY(window(layer, *in, &w));
    if (in->dim[1] % groups || K % groups)
        return cnnbn_error(CNNBN_ERR_MODEL,
                           "argument groups = %d must divide the input's %d channels and the %d filters", groups,
                           in->dim[1], K);
    *out = (cnnbn_shape){2, {w.Q, K, 0}};
    return CNNBN_OK;
}

static cnnbn_status params(const cnnbn_layer *layer, const cnnbn_shape *in, cnnbn_model *model, int layer_index)
{
    int S = cnnbn__arg_int(layer, "kernel_size"), K = cnnbn__arg_int(layer, "filters");
    const int dim[3] = {S, in->dim[1] / cnnbn__arg_int(layer, "groups"), K};
    CNNBN_TRY(cnnbn_model_add_param(model, layer_index, "kernel", 3, dim, 1, 1,
                                    cnnbn_layer_arg(layer, "kernel_initializer")->init, cnnbn__fan(1, S, dim[1]),
                                    cnnbn__fan(1, S, K)));
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
    int kernel = layer->first_param, bias = cnnbn__arg_int(layer, "use_bias") ? kernel + 1 : -1;
    int y = b->ops->conv2d(b, in[0], &w, out_shape.dim[1], cnnbn__arg_int(layer, "groups"), kernel, bias);
    return cnnbn__lower_activation(b, y, cnnbn_layer_arg(layer, "activation")->act);
}

const cnnbn_layer_type cnnbn__layer_conv1d = {
    "Conv1D", "conv1d", conv1d_args, sizeof conv1d_args / sizeof *conv1d_args, 1, 1, shape, params, lower};
