/* BatchNormalization. */
#include "internal.h"
#include "layer_types.h"

/* The range of epsilon is looked at in the shape rule, for a message of its own. */
static const cnnbn_arg_spec bn_args[] = {
    {"axis", CNNBN_ARG_INT, 0, "-1", NULL, -4, 4},
    {"momentum", CNNBN_ARG_FLOAT, 0, "0.99", NULL, 0, 1},
    {"epsilon", CNNBN_ARG_FLOAT, 0, "0.001", NULL, -1e30, 1e30},
    {"center", CNNBN_ARG_BOOL, 0, "true", NULL, 0, 0},
    {"scale", CNNBN_ARG_BOOL, 0, "true", NULL, 0, 0},
    CNNBN__WEIGHT_ARGS("beta", "zeros"),
    CNNBN__WEIGHT_ARGS("gamma", "ones"),
    {"moving_mean_initializer", CNNBN_ARG_INITIALIZER, 0, "zeros", NULL, 0, 0},
    {"moving_variance_initializer", CNNBN_ARG_INITIALIZER, 0, "ones", NULL, 0, 0},
    {"unbiased", CNNBN_ARG_BOOL, 0, "false", NULL, 0, 0}, /* ours: running variance times n / (n - 1), as PyTorch's */
};

static cnnbn_status shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    double epsilon = cnnbn__arg_float(layer, "epsilon");
    if (!((float)epsilon > 0.0f)) /* what the kernels see is a float */
        return cnnbn_error(
            CNNBN_ERR_MODEL,
            "argument epsilon = %g: must be greater than zero, or a channel without variance divides by it", epsilon);
    int place;
    *out = *in;
    return cnnbn__need_axis(cnnbn__arg_int(layer, "axis"), *in, &place);
}

/* Keras' order: gamma, beta, moving_mean, moving_variance. */
static cnnbn_status params(const cnnbn_layer *layer, const cnnbn_shape *in, cnnbn_model *model, int layer_index)
{
    static const struct {
        const char *name, *wanted, *init;
        int trainable;
    } weights[] = {
        {"gamma", "scale", "gamma_initializer", 1},
        {"beta", "center", "beta_initializer", 1},
        {"moving_mean", NULL, "moving_mean_initializer", 0},
        {"moving_variance", NULL, "moving_variance_initializer", 0},
    };
    int C = in->dim[cnnbn__axis_of(cnnbn__arg_int(layer, "axis"), in->rank)];
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
        if (weights[i].wanted && !cnnbn__arg_int(layer, weights[i].wanted)) continue;
        CNNBN_TRY(cnnbn_model_add_param(model, layer_index, weights[i].name, 1, &C, weights[i].trainable, 0,
                                        cnnbn_layer_arg(layer, weights[i].init)->init, C, C));
    }
    return CNNBN_OK;
}

static int lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in, const cnnbn_shape *in_shapes,
                 cnnbn_shape out_shape)
{
    (void)n_in, (void)out_shape;
    int place = cnnbn__axis_of(cnnbn__arg_int(layer, "axis"), in_shapes[0].rank);
    int next = layer->first_param;
    int gamma = cnnbn__arg_int(layer, "scale") ? next++ : -1;
    int beta = cnnbn__arg_int(layer, "center") ? next++ : -1;
    int y = b->ops->batchnorm(b, cnnbn__lower_axis_last(b, in[0], in_shapes[0], place), gamma, beta, next, next + 1,
                              cnnbn__arg_float(layer, "momentum"), cnnbn__arg_float(layer, "epsilon"),
                              !layer->trainable, cnnbn__arg_int(layer, "unbiased"));
    return cnnbn__lower_axis_back(b, y, in_shapes[0], place);
}

const cnnbn_layer_type cnnbn__layer_batch_normalization = {
    "BatchNormalization", "batch_normalization", bn_args, sizeof bn_args / sizeof *bn_args, 1, 1, shape, params, lower};
