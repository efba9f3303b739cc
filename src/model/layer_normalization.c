/* Normalization: (x - mean) / max(sqrt(variance), 1e-7) along an axis, with numbers that are given or were found by Keras'
 * adapt() and lie among the weights. */
#include <math.h>

#include "internal.h"
#include "layer_types.h"

static const double smallest = 1e-7; /* Keras' epsilon() */

static const cnnbn_arg_spec normalization_args[] = {
    {"axis", CNNBN_ARG_AXES, 0, "-1", NULL, 0, 0},
    {"mean", CNNBN_ARG_LIST, 0, "null", NULL, -1e30, 1e30},
    {"variance", CNNBN_ARG_LIST, 0, "null", NULL, 0, 1e30},
    {"invert", CNNBN_ARG_BOOL, 0, "false", NULL, 0, 0},
};

/* The places of the axes that keep numbers of their own, and how many places there are: 1 for no axis. */
static cnnbn_status kept(const cnnbn_layer *layer, cnnbn_shape in, int *count)
{
    cnnbn_shape axes = cnnbn_layer_arg(layer, "axis")->shape;
    int place;
    char text[48];
    *count = 1;
    if (axes.rank == 1) {
        CNNBN_TRY(cnnbn__need_axis(axes.dim[0], in, &place));
        *count = in.dim[place];
        return CNNBN_OK;
    }
    for (int d = in.rank - axes.rank; d < in.rank && d >= 0; d++) *count *= in.dim[d];
    if (!axes.rank || cnnbn__last_axes(axes, in.rank)) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_MODEL,
                       "argument axis: none, one axis of input %s, or all from one axis to the last are supported",
                       cnnbn_shape_text(in, text, sizeof text));
}

static cnnbn_status shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    int n_mean = cnnbn_layer_arg(layer, "mean")->list.n, n_variance = cnnbn_layer_arg(layer, "variance")->list.n;
    int n_axes = cnnbn_layer_arg(layer, "axis")->shape.rank, C;
    CNNBN_TRY(kept(layer, *in, &C));
    *out = *in;
    if (n_mean != n_variance)
        return cnnbn_error(
            CNNBN_ERR_MODEL,
            "arguments mean and variance: of %d and %d numbers, expected both or neither, of equal length", n_mean,
            n_variance);
    if (n_mean > 1 && n_axes != 1)
        return cnnbn_error(CNNBN_ERR_MODEL, "argument mean: %d numbers for %d axes, expected one; or state one axis",
                           n_mean, n_axes);
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
    cnnbn_shape axes = cnnbn_layer_arg(layer, "axis")->shape;
    const int *dim = in->dim + in->rank - axes.rank;
    int C;
    if (cnnbn_layer_arg(layer, "mean")->list.n) return CNNBN_OK;
    if (axes.rank == 1) dim = &in->dim[cnnbn__axis_of(axes.dim[0], in->rank)];
    CNNBN_TRY(kept(layer, *in, &C));
    CNNBN_TRY(cnnbn_model_add_param(model, layer_index, "mean", axes.rank, dim, 0, 0, zeros, C, C));
    CNNBN_TRY(cnnbn_model_add_param(model, layer_index, "variance", axes.rank, dim, 0, 0, ones, C, C));
    return cnnbn_model_add_param(model, layer_index, "count", 0, NULL, 0, 0, zeros, 1, 1);
}

static int given(const cnnbn_layer *layer, cnnbn_builder *b, int x)
{
    const cnnbn_arg *mean = cnnbn_layer_arg(layer, "mean"), *variance = cnnbn_layer_arg(layer, "variance");
    double scale[CNNBN_LIST_MAX], offset[CNNBN_LIST_MAX];
    for (int i = 0; i < mean->list.n; i++) {
        double deviation = fmax(sqrt(variance->list.value[i]), smallest);
        int invert = cnnbn__arg_int(layer, "invert");
        scale[i] = invert ? deviation : 1 / deviation;
        offset[i] = invert ? mean->list.value[i] : -mean->list.value[i] / deviation;
    }
    return b->ops->affine(b, x, mean->list.n, scale, offset);
}

/* A batch normalisation that keeps its statistics; epsilon adds to the variance what the square root is at least. */
static int by_weights(const cnnbn_layer *layer, cnnbn_builder *b, int x)
{
    return b->ops->batchnorm(b, x, -1, -1, layer->first_param, layer->first_param + 1, 1, smallest * smallest, 1, 0);
}

static int lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in, const cnnbn_shape *in_shapes,
                 cnnbn_shape out_shape)
{
    (void)n_in;
    cnnbn_shape axes = cnnbn_layer_arg(layer, "axis")->shape;
    int n_given = cnnbn_layer_arg(layer, "mean")->list.n, C;
    if (n_given == 1) return given(layer, b, in[0]);
    if (axes.rank == 1) {
        int place = cnnbn__axis_of(axes.dim[0], in_shapes[0].rank);
        int x = cnnbn__lower_axis_last(b, in[0], in_shapes[0], place);
        return cnnbn__lower_axis_back(b, n_given ? given(layer, b, x) : by_weights(layer, b, x), in_shapes[0], place);
    }
    if (kept(layer, in_shapes[0], &C) != CNNBN_OK) return -1; /* the shapes have been inferred with it */
    const cnnbn_shape rows = {2, {(int)cnnbn_shape_count(out_shape) / C, C, 0}};
    return b->ops->reshape(b, by_weights(layer, b, b->ops->reshape(b, in[0], rows)), out_shape);
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
