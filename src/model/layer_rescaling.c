/* Rescaling: x*scale + offset. */
#include "internal.h"
#include "layer_types.h"

static const cnnbn_arg_spec rescaling_args[] = {
    {"scale", CNNBN_ARG_FLOAT, 1, NULL, NULL, -1e30, 1e30},
    {"offset", CNNBN_ARG_FLOAT, 0, "0", NULL, -1e30, 1e30},
};

static int lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in, const cnnbn_shape *in_shapes,
                 cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes, (void)out_shape;
    double scale = cnnbn__arg_float(layer, "scale"), offset = cnnbn__arg_float(layer, "offset");
    return b->ops->affine(b, in[0], 1, &scale, &offset);
}

const cnnbn_layer_type cnnbn__layer_rescaling = {"Rescaling", "rescaling",       rescaling_args, 2,    1,
                                                 1,           cnnbn__same_shape, NULL,           lower};
