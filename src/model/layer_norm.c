/* LayerNormalization, GroupNormalization, UnitNormalization: over the values of one sample, the same in training and
 * inference. */
#include "internal.h"
#include "layer_types.h"

/* The range of epsilon is looked at in the shape rules, for a message of its own. */
static const cnnbn_arg_spec layer_args[] = {
    {"axis", CNNBN_ARG_AXES, 0, "-1", NULL, 0, 0},
    {"epsilon", CNNBN_ARG_FLOAT, 0, "0.001", NULL, -1e30, 1e30},
    {"center", CNNBN_ARG_BOOL, 0, "true", NULL, 0, 0},
    {"scale", CNNBN_ARG_BOOL, 0, "true", NULL, 0, 0},
    CNNBN__WEIGHT_ARGS("beta", "zeros"),
    CNNBN__WEIGHT_ARGS("gamma", "ones"),
};
static const cnnbn_arg_spec group_args[] = {
    {"groups", CNNBN_ARG_INT, 0, "32", NULL, -1, 1 << 20},
    {"axis", CNNBN_ARG_INT, 0, "-1", NULL, -4, 4},
    {"epsilon", CNNBN_ARG_FLOAT, 0, "0.001", NULL, -1e30, 1e30},
    {"center", CNNBN_ARG_BOOL, 0, "true", NULL, 0, 0},
    {"scale", CNNBN_ARG_BOOL, 0, "true", NULL, 0, 0},
    CNNBN__WEIGHT_ARGS("beta", "zeros"),
    CNNBN__WEIGHT_ARGS("gamma", "ones"),
};
static const cnnbn_arg_spec unit_args[] = {{"axis", CNNBN_ARG_AXES, 0, "-1", NULL, 0, 0}};

static cnnbn_status check_epsilon(const cnnbn_layer *layer)
{
    double epsilon = cnnbn__arg_float(layer, "epsilon");
    if ((float)epsilon > 0.0f) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_MODEL,
                       "argument epsilon = %g: must be greater than zero, or equal values divide by it", epsilon);
}

static cnnbn_status add_scale(const cnnbn_layer *layer, int rank, const int *dim, cnnbn_model *model, int layer_index)
{
    if (cnnbn__arg_int(layer, "scale"))
        CNNBN_TRY(cnnbn_model_add_param(model, layer_index, "gamma", rank, dim, 1, 0,
                                        cnnbn_layer_arg(layer, "gamma_initializer")->init, dim[0], dim[0]));
    if (cnnbn__arg_int(layer, "center"))
        CNNBN_TRY(cnnbn_model_add_param(model, layer_index, "beta", rank, dim, 1, 0,
                                        cnnbn_layer_arg(layer, "beta_initializer")->init, dim[0], dim[0]));
    return CNNBN_OK;
}

static int emit(const cnnbn_layer *layer, cnnbn_builder *b, int x, int positions, int channels, int groups)
{
    int next = layer->first_param;
    int gamma = cnnbn__arg_int(layer, "scale") ? next++ : -1;
    int beta = cnnbn__arg_int(layer, "center") ? next : -1;
    return b->ops->normalize(b, x, positions, channels, groups, cnnbn__arg_float(layer, "epsilon"), gamma, beta);
}

static cnnbn_status layer_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    char text[48];
    CNNBN_TRY(check_epsilon(layer));
    *out = *in;
    cnnbn_shape axes = cnnbn_layer_arg(layer, "axis")->shape;
    int place;
    if (axes.rank == 1) return cnnbn__need_axis(axes.dim[0], *in, &place);
    if (cnnbn__last_axes(axes, in->rank)) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_MODEL,
                       "argument axis: one axis of input %s is supported, or all from one axis to the last",
                       cnnbn_shape_text(*in, text, sizeof text));
}

static cnnbn_status layer_params(const cnnbn_layer *layer, const cnnbn_shape *in, cnnbn_model *model, int layer_index)
{
    cnnbn_shape axes = cnnbn_layer_arg(layer, "axis")->shape;
    const int *dim = in->dim + in->rank - axes.rank;
    if (axes.rank == 1) dim = &in->dim[cnnbn__axis_of(axes.dim[0], in->rank)];
    return add_scale(layer, axes.rank, dim, model, layer_index);
}

static int layer_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                       const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)n_in, (void)out_shape;
    cnnbn_shape shape = in_shapes[0], axes = cnnbn_layer_arg(layer, "axis")->shape;
    int channels = 1;
    if (axes.rank == 1) {
        int place = cnnbn__axis_of(axes.dim[0], shape.rank), x = cnnbn__lower_axis_last(b, in[0], shape, place);
        return cnnbn__lower_axis_back(b, emit(layer, b, x, 1, shape.dim[place], 1), shape, place);
    }
    for (int d = shape.rank - axes.rank; d < shape.rank; d++) channels *= shape.dim[d];
    return emit(layer, b, in[0], 1, channels, 1);
}

/* -1 groups: one for each channel. */
static int group_count(const cnnbn_layer *layer, int channels)
{
    int groups = cnnbn__arg_int(layer, "groups");
    return groups == -1 ? channels : groups;
}

static cnnbn_status group_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    int place;
    CNNBN_TRY(check_epsilon(layer));
    CNNBN_TRY(cnnbn__need_axis(cnnbn__arg_int(layer, "axis"), *in, &place));
    int C = in->dim[place], groups = group_count(layer, C);
    *out = *in;
    if (groups >= 1 && C % groups == 0) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_MODEL, "argument groups = %d must divide the %d channels", groups, C);
}

static cnnbn_status group_params(const cnnbn_layer *layer, const cnnbn_shape *in, cnnbn_model *model, int layer_index)
{
    int place = cnnbn__axis_of(cnnbn__arg_int(layer, "axis"), in->rank);
    return add_scale(layer, 1, &in->dim[place], model, layer_index);
}

static int group_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                       const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)n_in, (void)out_shape;
    cnnbn_shape shape = in_shapes[0];
    int place = cnnbn__axis_of(cnnbn__arg_int(layer, "axis"), shape.rank), C = shape.dim[place];
    int y = emit(layer, b, cnnbn__lower_axis_last(b, in[0], shape, place), (int)(cnnbn_shape_count(shape) / (size_t)C),
                 C, group_count(layer, C));
    return cnnbn__lower_axis_back(b, y, shape, place);
}

static cnnbn_status unit_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    char text[48];
    cnnbn_shape axes = cnnbn_layer_arg(layer, "axis")->shape;
    int place;
    *out = *in;
    if (axes.rank == 1) return cnnbn__need_axis(axes.dim[0], *in, &place);
    return cnnbn_error(CNNBN_ERR_MODEL, "argument axis: one axis of input %s is supported",
                       cnnbn_shape_text(*in, text, sizeof text));
}

static int unit_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in, const cnnbn_shape *in_shapes,
                      cnnbn_shape out_shape)
{
    (void)n_in, (void)out_shape;
    cnnbn_shape shape = in_shapes[0];
    int place = cnnbn__axis_of(cnnbn_layer_arg(layer, "axis")->shape.dim[0], shape.rank);
    int y = b->ops->unit_normalize(b, cnnbn__lower_axis_last(b, in[0], shape, place));
    return cnnbn__lower_axis_back(b, y, shape, place);
}

const cnnbn_layer_type cnnbn__layer_layer_normalization = {
    "LayerNormalization", "layer_normalization", layer_args, sizeof layer_args / sizeof *layer_args, 1, 1,
    layer_shape,          layer_params,          layer_lower};
const cnnbn_layer_type cnnbn__layer_group_normalization = {
    "GroupNormalization", "group_normalization", group_args, sizeof group_args / sizeof *group_args, 1, 1,
    group_shape,          group_params,          group_lower};
const cnnbn_layer_type cnnbn__layer_unit_normalization = {
    "UnitNormalization", "unit_normalization", unit_args, 1, 1, 1, unit_shape, NULL, unit_lower};
