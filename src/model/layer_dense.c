/* Dense: over the last axis. */
#include "internal.h"
#include "layer_types.h"

static const cnnbn_arg_spec dense_args[] = {
    {"units", CNNBN_ARG_INT, 1, NULL, NULL, 1, 1 << 24},
    {"activation", CNNBN_ARG_ACTIVATION, 0, "linear", NULL, 0, 0},
    {"use_bias", CNNBN_ARG_BOOL, 0, "true", NULL, 0, 0},
    CNNBN__WEIGHT_ARGS("kernel", "glorot_uniform"),
    CNNBN__WEIGHT_ARGS("bias", "zeros"),
};

static cnnbn_status shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    *out = *in;
    out->dim[in->rank - 1] = cnnbn__arg_int(layer, "units");
    return CNNBN_OK;
}

static cnnbn_status params(const cnnbn_layer *layer, const cnnbn_shape *in, cnnbn_model *model, int layer_index)
{
    int units = cnnbn__arg_int(layer, "units");
    const int dim[2] = {in->dim[in->rank - 1], units};
    CNNBN_TRY(cnnbn_model_add_param(model, layer_index, "kernel", 2, dim, 1, 1,
                                    cnnbn_layer_arg(layer, "kernel_initializer")->init, dim[0], units));
    if (!cnnbn__arg_int(layer, "use_bias")) return CNNBN_OK;
    return cnnbn_model_add_param(model, layer_index, "bias", 1, &units, 1, 0,
                                 cnnbn_layer_arg(layer, "bias_initializer")->init, units, units);
}

static int lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in, const cnnbn_shape *in_shapes,
                 cnnbn_shape out_shape)
{
    (void)n_in;
    int kernel = layer->first_param, bias = cnnbn__arg_int(layer, "use_bias") ? kernel + 1 : -1;
    int rank = out_shape.rank, units = out_shape.dim[rank - 1], y;
    if (rank == 1) {
        y = b->ops->dense(b, in[0], units, kernel, bias);
    } else { /* over the last axis, the same at every position: a 1x1 convolution */
        const cnnbn_window point = {.R = 1,
                                    .S = 1,
                                    .stride_h = 1,
                                    .stride_w = 1,
                                    .dil_h = 1,
                                    .dil_w = 1,
                                    .P = rank == 3 ? in_shapes[0].dim[0] : 1,
                                    .Q = in_shapes[0].dim[rank - 2]};
        y = b->ops->conv2d(b, in[0], &point, units, 1, kernel, bias);
    }
    return cnnbn__lower_activation(b, y, cnnbn_layer_arg(layer, "activation")->act);
}

const cnnbn_layer_type cnnbn__layer_dense = {"Dense", "dense", dense_args, sizeof dense_args / sizeof *dense_args, 1, 1,
                                             shape,   params,  lower};
