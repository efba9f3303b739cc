/* Dropout. */
#include "internal.h"
#include "layer_types.h"

static const cnnbn_arg_spec dropout_args[] = {{"rate", CNNBN_ARG_FLOAT, 1, NULL, NULL, 0, 1}};

static cnnbn_status shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)layer, (void)n_in;
    *out = *in;
    return CNNBN_OK;
}

static int lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in, const cnnbn_shape *in_shapes,
                 cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes, (void)out_shape;
    double rate = cnnbn__arg_float(layer, "rate");
    return rate > 0 ? b->ops->dropout(b, in[0], rate) : in[0];
}

const cnnbn_layer_type cnnbn__layer_dropout = {"Dropout", "dropout", dropout_args, 1, 1, 1, shape, NULL, lower};
