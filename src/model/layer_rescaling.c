/* Rescaling: x*scale + offset, with a number each or one for each channel. */
#include "internal.h"
#include "layer_types.h"

static const cnnbn_arg_spec rescaling_args[] = {
    {"scale", CNNBN_ARG_LIST, 1, NULL, NULL, -1e30, 1e30},
    {"offset", CNNBN_ARG_LIST, 0, "0", NULL, -1e30, 1e30},
};

static cnnbn_status shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    int C = in->dim[in->rank - 1];
    *out = *in;
    for (int i = 0; i < layer->type->n_args; i++)
        if (layer->args[i].list.n > 1 && layer->args[i].list.n != C)
            return cnnbn_error(CNNBN_ERR_MODEL, "argument %s: %d numbers, expected one or one for each of %d channels",
                               layer->type->args[i].name, layer->args[i].list.n, C);
    return CNNBN_OK;
}

static int lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in, const cnnbn_shape *in_shapes,
                 cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes, (void)out_shape;
    const cnnbn_arg *scale = cnnbn_layer_arg(layer, "scale"), *offset = cnnbn_layer_arg(layer, "offset");
    int n = scale->list.n > offset->list.n ? scale->list.n : offset->list.n;
    double factors[CNNBN_LIST_MAX], terms[CNNBN_LIST_MAX];
    for (int i = 0; i < n; i++) {
        factors[i] = scale->list.value[scale->list.n > 1 ? i : 0];
        terms[i] = offset->list.value[offset->list.n > 1 ? i : 0];
    }
    return b->ops->affine(b, in[0], n, factors, terms);
}

const cnnbn_layer_type cnnbn__layer_rescaling = {"Rescaling", "rescaling", rescaling_args, 2, 1, 1, shape, NULL, lower};
