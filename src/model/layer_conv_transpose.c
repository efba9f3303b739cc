/* Conv2DTranspose: the adjoint, by the data, of a Conv2D from its output to its input. */
#include "internal.h"
#include "layer_types.h"

static const char *const paddings[] = {"valid", "same", NULL};

static const cnnbn_arg_spec transpose_args[] = {
    {"filters", CNNBN_ARG_INT, 1, NULL, NULL, 1, 1 << 20},
    {"kernel_size", CNNBN_ARG_PAIR, 1, NULL, NULL, 1, 1 << 14},
    {"strides", CNNBN_ARG_PAIR, 0, "1", NULL, 1, 1 << 14},
    {"padding", CNNBN_ARG_CHOICE, 0, "valid", paddings, 0, 0},
    {"output_padding", CNNBN_ARG_PAIR, 0, "null", NULL, 0, 1 << 14},
    {"dilation_rate", CNNBN_ARG_PAIR, 0, "1", NULL, 1, 1 << 14},
    {"activation", CNNBN_ARG_ACTIVATION, 0, "linear", NULL, 0, 0},
    {"use_bias", CNNBN_ARG_BOOL, 0, "true", NULL, 0, 0},
    CNNBN__WEIGHT_ARGS("kernel", "glorot_uniform"),
    CNNBN__WEIGHT_ARGS("bias", "zeros"),
};

/* One axis, by Keras' rules (keras/src/backend/common/backend_utils.py). A kernel of `size` (dilated) spreads n pixels over
 * (n - 1)*stride + size. Of these `valid` keeps all, and at least `stride` a pixel; `same` keeps n*stride, or with an output
 * padding (n - 1)*stride + size % 2 + output_padding. The smaller half of what is cut off is cut off in front. */
static long long axis(int n, int size, int stride, int same, int output_padding, int *front)
{
    long long spread = (long long)(n - 1) * stride + size, kept;
    if (!same)
        kept = spread + (output_padding >= 0 ? output_padding : stride > size ? stride - size : 0);
    else if (output_padding < 0)
        kept = (long long)n * stride;
    else
        kept = spread - size + size % 2 + output_padding;
    *front = spread > kept ? (int)((spread - kept) / 2) : 0;
    return kept;
}

static cnnbn_status geometry(const cnnbn_layer *layer, cnnbn_shape in, cnnbn_window *w, cnnbn_shape *out)
{
    const int *k = cnnbn__arg_pair(layer, "kernel_size"), *s = cnnbn__arg_pair(layer, "strides"),
              *d = cnnbn__arg_pair(layer, "dilation_rate"), *extra = cnnbn__arg_pair(layer, "output_padding");
    int same = cnnbn__arg_int(layer, "padding");
    char text[48];
    CNNBN_TRY(cnnbn__need_image(in));
    if ((s[0] > 1 || s[1] > 1) && (d[0] > 1 || d[1] > 1))
        return cnnbn_error(CNNBN_ERR_MODEL,
                           "strides %dx%d together with dilation_rate %dx%d: as in Keras, one of them is 1", s[0], s[1],
                           d[0], d[1]);
    if (extra[0] >= s[0] || extra[1] >= s[1])
        return cnnbn_error(CNNBN_ERR_MODEL, "argument output_padding = [%d, %d]: must be less than the strides %dx%d",
                           extra[0], extra[1], s[0], s[1]);
    if ((double)k[0] * d[0] > 1e6 || (double)k[1] * d[1] > 1e6)
        return cnnbn_error(CNNBN_ERR_MODEL, "kernel %dx%d with dilation %dx%d is too large", k[0], k[1], d[0], d[1]);
    *w = (cnnbn_window){.R = k[0], .S = k[1], .stride_h = s[0], .stride_w = s[1], .dil_h = d[0], .dil_w = d[1]};
    w->P = in.dim[0];
    w->Q = in.dim[1];
    long long H = axis(in.dim[0], (k[0] - 1) * d[0] + 1, s[0], same, extra[0], &w->pad_top);
    long long W = axis(in.dim[1], (k[1] - 1) * d[1] + 1, s[1], same, extra[1], &w->pad_left);
    if (H < 1 || W < 1 || H > (1 << 28) || W > (1 << 28))
        return cnnbn_error(CNNBN_ERR_MODEL, "gives an output of %lldx%lld for input %s", H, W,
                           cnnbn_shape_text(in, text, sizeof text));
    *out = (cnnbn_shape){3, {(int)H, (int)W, cnnbn__arg_int(layer, "filters")}};
    return CNNBN_OK;
}

static cnnbn_status shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    cnnbn_window w;
    return geometry(layer, *in, &w, out);
}

/* Keras' kernel is (R, S, filters, C): the memory of a convolution's from `filters` channels to C. */
static cnnbn_status params(const cnnbn_layer *layer, const cnnbn_shape *in, cnnbn_model *model, int layer_index)
{
    const int *k = cnnbn__arg_pair(layer, "kernel_size");
    int K = cnnbn__arg_int(layer, "filters"), C = in->dim[2];
    const int dim[4] = {k[0], k[1], K, C};
    CNNBN_TRY(cnnbn_model_add_param(model, layer_index, "kernel", 4, dim, 1, 1,
                                    cnnbn_layer_arg(layer, "kernel_initializer")->init, cnnbn__fan(k[0], k[1], K),
                                    cnnbn__fan(k[0], k[1], C)));
    if (!cnnbn__arg_int(layer, "use_bias")) return CNNBN_OK;
    return cnnbn_model_add_param(model, layer_index, "bias", 1, &K, 1, 0,
                                 cnnbn_layer_arg(layer, "bias_initializer")->init, K, K);
}

static int lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in, const cnnbn_shape *in_shapes,
                 cnnbn_shape out_shape)
{
    (void)n_in, (void)out_shape;
    cnnbn_window w;
    cnnbn_shape out;
    if (geometry(layer, in_shapes[0], &w, &out) != CNNBN_OK) return -1; /* the shapes have been inferred with it */
    int kernel = layer->first_param, bias = cnnbn__arg_int(layer, "use_bias") ? kernel + 1 : -1;
    int y = b->ops->conv2d_transpose(b, in[0], &w, out, kernel, bias);
    return cnnbn__lower_activation(b, y, cnnbn_layer_arg(layer, "activation")->act);
}

const cnnbn_layer_type cnnbn__layer_conv2d_transpose = {"Conv2DTranspose",
                                                        "conv2d_transpose",
                                                        transpose_args,
                                                        sizeof transpose_args / sizeof *transpose_args,
                                                        1,
                                                        1,
                                                        shape,
                                                        params,
                                                        lower};
