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
static const cnnbn_arg_spec softmax_args[] = {{"axis", CNNBN_ARG_INT, 0, "-1", NULL, -4, 4}};

static int activation_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                            const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes, (void)out_shape;
    return cnnbn__lower_activation(b, in[0], cnnbn_layer_arg(layer, "activation")->act);
}

static int relu_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in, const cnnbn_shape *in_shapes,
                      cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes, (void)out_shape;
    double max = cnnbn__arg_float(layer, "max_value"), slope = cnnbn__arg_float(layer, "negative_slope"),
           threshold = cnnbn__arg_float(layer, "threshold");
    int plain = isinf(max) && !(slope > 0) && !(threshold > 0);
    cnnbn_activation act = {plain ? CNNBN_ACT_RELU : CNNBN_ACT_RELU_GENERAL, plain ? 0 : (float)max, (float)slope,
                            (float)threshold};
    return b->ops->activation(b, in[0], act);
}

static int leaky_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                       const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes, (void)out_shape;
    cnnbn_activation act = {CNNBN_ACT_LEAKY_RELU, (float)cnnbn__arg_float(layer, "negative_slope"), 0, 0};
    return b->ops->activation(b, in[0], act);
}

static int elu_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in, const cnnbn_shape *in_shapes,
                     cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes, (void)out_shape;
    cnnbn_activation act = {CNNBN_ACT_ELU, (float)cnnbn__arg_float(layer, "alpha"), 0, 0};
    return b->ops->activation(b, in[0], act);
}

static cnnbn_status softmax_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    CNNBN_TRY(cnnbn__need_last_axis(layer, *in));
    *out = *in;
    return CNNBN_OK;
}

static int softmax_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                         const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)layer, (void)n_in, (void)in_shapes, (void)out_shape;
    return b->ops->softmax(b, in[0]);
}

const cnnbn_layer_type cnnbn__layer_activation = {"Activation",      "activation", activation_args, 1, 1, 1,
                                                  cnnbn__same_shape, NULL,         activation_lower};
const cnnbn_layer_type cnnbn__layer_relu = {"ReLU", "re_lu", relu_args, 3, 1, 1, cnnbn__same_shape, NULL, relu_lower};
const cnnbn_layer_type cnnbn__layer_leaky_relu = {"LeakyReLU", "leaky_re_lu",     leaky_args, 1,          1,
                                                  1,           cnnbn__same_shape, NULL,       leaky_lower};
const cnnbn_layer_type cnnbn__layer_elu = {"ELU", "elu", elu_args, 1, 1, 1, cnnbn__same_shape, NULL, elu_lower};
const cnnbn_layer_type cnnbn__layer_softmax = {"Softmax",     "softmax", softmax_args, 1, 1, 1,
                                               softmax_shape, NULL,      softmax_lower};
