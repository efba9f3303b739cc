/* Dense. */
#include "internal.h"
#include "layer_types.h"

static const cnnbn_arg_spec dense_args[] = {
    {"units", CNNBN_ARG_INT, 1, NULL, NULL, 1, 1 << 24},
    {"activation", CNNBN_ARG_ACTIVATION, 0, "linear", NULL, 0, 0},
    {"use_bias", CNNBN_ARG_BOOL, 0, "true", NULL, 0, 0},
    {"kernel_initializer", CNNBN_ARG_INITIALIZER, 0, "glorot_uniform", NULL, 0, 0},
    {"bias_initializer", CNNBN_ARG_INITIALIZER, 0, "zeros", NULL, 0, 0},
};

static cnnbn_status shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    char text[48];
    if (in->rank != 1)
        return cnnbn_error(CNNBN_ERR_MODEL, "expects a flat input, found %s: add a Flatten layer before it",
                           cnnbn_shape_text(*in, text, sizeof text));
    *out = (cnnbn_shape){1, {cnnbn__arg_int(layer, "units"), 0, 0}};
    return CNNBN_OK;
}

static cnnbn_status params(const cnnbn_layer *layer, const cnnbn_shape *in, cnnbn_model *model, int layer_index)
{
    int units = cnnbn__arg_int(layer, "units");
    const int dim[2] = {in->dim[0], units};
    CNNBN_TRY(cnnbn_model_add_param(model, layer_index, "kernel", 2, dim, 1, 1,
                                    cnnbn_layer_arg(layer, "kernel_initializer")->init, dim[0], units));
    if (!cnnbn__arg_int(layer, "use_bias")) return CNNBN_OK;
    return cnnbn_model_add_param(model, layer_index, "bias", 1, &units, 1, 0,
                                 cnnbn_layer_arg(layer, "bias_initializer")->init, units, units);
}

static int lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in, const cnnbn_shape *in_shapes,
                 cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes;
    int kernel = layer->first_param, bias = cnnbn__arg_int(layer, "use_bias") ? kernel + 1 : -1;
    int y = b->ops->dense(b, in[0], out_shape.dim[0], kernel, bias);
    return cnnbn__lower_activation(b, y, cnnbn_layer_arg(layer, "activation")->act);
}

const cnnbn_layer_type cnnbn__layer_dense = {"Dense", "dense", dense_args, sizeof dense_args / sizeof *dense_args, 1, 1,
                                             shape,   params,  lower};
