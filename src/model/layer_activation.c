/* Activation, ReLU, LeakyReLU, ELU, Softmax. */
#include <math.h>

#include "internal.h"
#include "layer_types.h"

static const cnnbn_arg_spec activation_args[] = {{"activation", CNNBN_ARG_ACTIVATION, 1, NULL, NULL, 0, 0}};
static const cnnbn_arg_spec relu_args[] = {
    {"max_value", CNNBN_ARG_FLOAT, 0, "null", NULL, 0, 1e30},
    {"negative_slope", CNNBN_ARG_FLOAT, 0, "0", NULL, 0, 1e30},
    {"threshold", CNNBN_ARG_FLOAT, 0, "0", NULL, 0, 1e30},
};
static const cnnbn_arg_spec leaky_args[] = {{"negative_slope", CNNBN_ARG_FLOAT, 0, "0.3", NULL, 0, 1e30}};
static const cnnbn_arg_spec elu_args[] = {{"alpha", CNNBN_ARG_FLOAT, 0, "1", NULL, 0, 1e30}};
static const cnnbn_arg_spec softmax_args[] = {{"axis", CNNBN_ARG_AXES, 0, "-1", NULL, 0, 0}};

static int activation_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                            const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes, (void)out_shape;
    return cnnbn__lower_activation(b, in[0], cnnbn_layer_arg(layer, "activation")->act);
}

static cnnbn_activation relu_of(const cnnbn_layer *layer)
{
    double max = cnnbn__arg_float(layer, "max_value"), slope = cnnbn__arg_float(layer, "negative_slope"),
           threshold = cnnbn__arg_float(layer, "threshold");
    if (isinf(max) && !(slope > 0) && !(threshold > 0)) return (cnnbn_activation){CNNBN_ACT_RELU, 0, 0, 0};
    return (cnnbn_activation){CNNBN_ACT_RELU_GENERAL, (float)max, (float)slope, (float)threshold};
}

static cnnbn_activation leaky_of(const cnnbn_layer *layer)
{
    return (cnnbn_activation){CNNBN_ACT_LEAKY_RELU, (float)cnnbn__arg_float(layer, "negative_slope"), 0, 0};
}

static cnnbn_activation elu_of(const cnnbn_layer *layer)
{
    return (cnnbn_activation){CNNBN_ACT_ELU, (float)cnnbn__arg_float(layer, "alpha"), 0, 0};
}

static const struct {
    const cnnbn_layer_type *type;
    cnnbn_activation (*act)(const cnnbn_layer *layer);
} as_activations[] = {{&cnnbn__layer_relu, relu_of}, {&cnnbn__layer_leaky_relu, leaky_of}, {&cnnbn__layer_elu, elu_of}};

int cnnbn__layer_as_activation(const cnnbn_layer *layer, cnnbn_activation *out)
{
    for (size_t i = 0; i < sizeof as_activations / sizeof *as_activations; i++)
        if (as_activations[i].type == layer->type) {
            *out = as_activations[i].act(layer);
            return 1;
        }
    return 0;
}

/* In between, Keras' text and its computation say different things. */
static cnnbn_status relu_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    double max = cnnbn__arg_float(layer, "max_value"), threshold = cnnbn__arg_float(layer, "threshold");
    *out = *in;
    if (threshold <= max) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_MODEL, "argument threshold = %g: greater than max_value = %g; expected at most that",
                       threshold, max);
}

static int layer_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                       const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes, (void)out_shape;
    cnnbn_activation act = {CNNBN_ACT_LINEAR, 0, 0, 0};
    (void)cnnbn__layer_as_activation(layer, &act); /* these layers are all in the table */
    return b->ops->activation(b, in[0], act);
}

static cnnbn_status softmax_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    cnnbn_shape axes = cnnbn_layer_arg(layer, "axis")->shape;
    char text[48];
    int place;
    *out = *in;
    if (axes.rank == 1) return cnnbn__need_axis(axes.dim[0], *in, &place);
    if (cnnbn__last_axes(axes, in->rank)) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_MODEL,
                       "argument axis: one axis of input %s is supported, or all from one axis to the last",
                       cnnbn_shape_text(*in, text, sizeof text));
}

static int softmax_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                         const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)n_in, (void)out_shape;
    cnnbn_shape shape = in_shapes[0], axes = cnnbn_layer_arg(layer, "axis")->shape;
    if (axes.rank == 1) {
        int place = cnnbn__axis_of(axes.dim[0], shape.rank);
        int y = b->ops->softmax(b, cnnbn__lower_axis_last(b, in[0], shape, place));
        return cnnbn__lower_axis_back(b, y, shape, place);
    }
    cnnbn_shape joined = {shape.rank - axes.rank + 1, {shape.dim[0], shape.dim[1], shape.dim[2]}};
    int *last = &joined.dim[joined.rank - 1];
    for (int d = joined.rank; d < shape.rank; d++) *last *= shape.dim[d];
    return b->ops->reshape(b, b->ops->softmax(b, b->ops->reshape(b, in[0], joined)), shape);
}

const cnnbn_layer_type cnnbn__layer_activation = {"Activation",      "activation", activation_args, 1, 1, 1,
                                                  cnnbn__same_shape, NULL,         activation_lower};
const cnnbn_layer_type cnnbn__layer_relu = {"ReLU", "re_lu", relu_args, 3, 1, 1, relu_shape, NULL, layer_lower};
const cnnbn_layer_type cnnbn__layer_leaky_relu = {"LeakyReLU", "leaky_re_lu",     leaky_args, 1,          1,
                                                  1,           cnnbn__same_shape, NULL,       layer_lower};
const cnnbn_layer_type cnnbn__layer_elu = {"ELU", "elu", elu_args, 1, 1, 1, cnnbn__same_shape, NULL, layer_lower};
const cnnbn_layer_type cnnbn__layer_softmax = {"Softmax",     "softmax", softmax_args, 1, 1, 1,
                                               softmax_shape, NULL,      softmax_lower};
