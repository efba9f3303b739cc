/* PReLU (He, Zhang, Ren, Sun: Delving deep into rectifiers, 2015). */
#include "internal.h"
#include "layer_types.h"

static const cnnbn_arg_spec prelu_args[] = {
    CNNBN__WEIGHT_ARGS("alpha", "zeros"),
    {"shared_axes", CNNBN_ARG_AXES, 0, "null", NULL, 0, 0},
};

/* Axes, 1 the first, that share a slope, as bits; they must come before those that do not, so that the slopes repeat. */
static int shared(const cnnbn_layer *layer, int rank)
{
    cnnbn_shape axes = cnnbn_layer_arg(layer, "shared_axes")->shape;
    int bits = 0;
    for (int d = 0; d < axes.rank; d++) {
        int axis = axes.dim[d] < 0 ? axes.dim[d] + rank + 1 : axes.dim[d];
        if (axis < 1 || axis > rank) return -1;
        bits |= 1 << axis;
    }
    for (int axis = 2; axis <= rank; axis++)
        if ((bits >> axis & 1) && !(bits >> (axis - 1) & 1)) return -1;
    return bits;
}

static cnnbn_status shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    char text[48];
    *out = *in;
    if (shared(layer, in->rank) >= 0) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_MODEL,
                       "argument shared_axes: for input %s none or the first axes are supported, such as [1, 2]",
                       cnnbn_shape_text(*in, text, sizeof text));
}

/* Keras' shape: 1 for a shared axis. */
static cnnbn_status params(const cnnbn_layer *layer, const cnnbn_shape *in, cnnbn_model *model, int layer_index)
{
    int dim[CNNBN_RANK_MAX], bits = shared(layer, in->rank), n = in->rank;
    for (int d = 0; d < n; d++) dim[d] = bits >> (d + 1) & 1 ? 1 : in->dim[d];
    return cnnbn_model_add_param(model, layer_index, "alpha", n, dim, 1, 0,
                                 cnnbn_layer_arg(layer, "alpha_initializer")->init, dim[n - 1], dim[n - 1]);
}

static int lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in, const cnnbn_shape *in_shapes,
                 cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes, (void)out_shape;
    return b->ops->prelu(b, in[0], layer->first_param);
}

const cnnbn_layer_type cnnbn__layer_prelu = {
    "PReLU", "p_re_lu", prelu_args, sizeof prelu_args / sizeof *prelu_args, 1, 1, shape, params, lower};
