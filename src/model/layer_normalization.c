/* Normalization: (x - mean) / max(sqrt(variance), 1e-7) along an axis, with numbers that are given or were found by Keras'
 * adapt() and lie among the weights. */
#include <math.h>

#include "internal.h"
#include "layer_types.h"

static const double smallest = 1e-7; /* Keras' epsilon() */

static const cnnbn_arg_spec normalization_args[] = {
    {"axis", CNNBN_ARG_INT, 0, "-1", NULL, -4, 4},
    {"mean", CNNBN_ARG_LIST, 0, "null", NULL, -1e30, 1e30},
    {"variance", CNNBN_ARG_LIST, 0, "null", NULL, 0, 1e30},
    {"invert", CNNBN_ARG_BOOL, 0, "false", NULL, 0, 0},
};

static cnnbn_status shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    int n_mean = cnnbn_layer_arg(layer, "mean")->list.n, n_variance = cnnbn_layer_arg(layer, "variance")->list.n;
    int place;
    CNNBN_TRY(cnnbn__need_axis(cnnbn__arg_int(layer, "axis"), *in, &place));
    int C = in->dim[place];
    *out = *in;
    if (n_mean != n_variance)
        return cnnbn_error(
            CNNBN_ERR_MODEL,
            "arguments mean and variance: of %d and %d numbers, expected both or neither, of equal length", n_mean,
            n_variance);
    if (n_mean > 1 && n_mean != C)
        return cnnbn_error(CNNBN_ERR_MODEL, "argument mean: %d numbers, expected one or one for each of %d", n_mean, C);
    if (n_mean == 0 && cnnbn__arg_int(layer, "invert"))
        return cnnbn_error(CNNBN_ERR_MODEL,
                           "argument invert = true: needs mean and variance as arguments; those among the weights are "
                           "not inverted here");
    return CNNBN_OK;
}

/* Keras' order. The count is what adapt() has seen; it plays no part in the output. */
static cnnbn_status params(const cnnbn_layer *layer, const cnnbn_shape *in, cnnbn_model *model, int layer_index)
{
    const cnnbn_init zeros = {.kind = CNNBN_INIT_ZEROS}, ones = {.kind = CNNBN_INIT_ONES};
    int C = in->dim[cnnbn__axis_of(cnnbn__arg_int(layer, "axis"), in->rank)];
    if (cnnbn_layer_arg(layer, "mean")->list.n) return CNNBN_OK;
    CNNBN_TRY(cnnbn_model_add_param(model, layer_index, "mean", 1, &C, 0, 0, zeros, C, C));
    CNNBN_TRY(cnnbn_model_add_param(model, layer_index, "variance", 1, &C, 0, 0, ones, C, C));
    return cnnbn_model_add_param(model, layer_index, "count", 0, NULL, 0, 0, zeros, 1, 1);
}

/* With weights it is a batch normalisation that keeps its statistics; epsilon adds to the variance what the square root is at
 * least. */
static int lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in, const cnnbn_shape *in_shapes,
                 cnnbn_shape out_shape)
{
    (void)n_in, (void)out_shape;
    const cnnbn_arg *mean = cnnbn_layer_arg(layer, "mean"), *variance = cnnbn_layer_arg(layer, "variance");
    double scale[CNNBN_LIST_MAX], offset[CNNBN_LIST_MAX];
    int n = mean->list.n, place = cnnbn__axis_of(cnnbn__arg_int(layer, "axis"), in_shapes[0].rank);
    int x = cnnbn__lower_axis_last(b, in[0], in_shapes[0], place);
    for (int i = 0; i < n; i++) {
        double deviation = fmax(sqrt(variance->list.value[i]), smallest);
        int invert = cnnbn__arg_int(layer, "invert");
        scale[i] = invert ? deviation : 1 / deviation;
        offset[i] = invert ? mean->list.value[i] : -mean->list.value[i] / deviation;
    }
    int y =
        n ? b->ops->affine(b, x, n, scale, offset)
          : b->ops->batchnorm(b, x, -1, -1, layer->first_param, layer->first_param + 1, 1, smallest * smallest, 1, 0);
    return cnnbn__lower_axis_back(b, y, in_shapes[0], place);
}

const cnnbn_layer_type cnnbn__layer_normalization = {"Normalization",
                                                     "normalization",
                                                     normalization_args,
                                                     sizeof normalization_args / sizeof *normalization_args,
                                                     1,
                                                     1,
                                                     shape,
                                                     params,
                                                     lower};
