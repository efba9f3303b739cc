/* Flatten and Reshape: the same values in another shape, in H, W, C order. */
#include "internal.h"
#include "layer_types.h"

static const cnnbn_arg_spec reshape_args[] = {{"target_shape", CNNBN_ARG_SHAPE, 1, NULL, NULL, 0, 0}};

static cnnbn_status flatten_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)layer, (void)n_in;
    *out = (cnnbn_shape){1, {(int)cnnbn_shape_count(*in), 0, 0}};
    return CNNBN_OK;
}

static cnnbn_status reshape_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    cnnbn_shape target = cnnbn_layer_arg(layer, "target_shape")->shape;
    size_t count = cnnbn_shape_count(*in), known = 1;
    int unknown = -1, fits = 1;
    for (int d = 0; d < target.rank; d++) {
        if (target.dim[d] < 0)
            unknown = d;
        else if ((size_t)target.dim[d] > count / known)
            fits = 0; /* also keeps the product small */
        else
            known *= (size_t)target.dim[d];
    }
    *out = target;
    if (fits && unknown >= 0 && count % known == 0)
        out->dim[unknown] = (int)(count / known);
    else if (!fits || unknown >= 0 || known != count) {
        char was[48], is[48];
        return cnnbn_error(CNNBN_ERR_MODEL, "argument target_shape = %s does not hold the %zu values of input %s",
                           cnnbn_shape_text(target, is, sizeof is), count, cnnbn_shape_text(*in, was, sizeof was));
    }
    return CNNBN_OK;
}

static int lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in, const cnnbn_shape *in_shapes,
                 cnnbn_shape out_shape)
{
    (void)layer, (void)n_in, (void)in_shapes;
    return b->ops->reshape(b, in[0], out_shape);
}

const cnnbn_layer_type cnnbn__layer_flatten = {"Flatten", "flatten", NULL, 0, 1, 1, flatten_shape, NULL, lower};
const cnnbn_layer_type cnnbn__layer_reshape = {"Reshape", "reshape", reshape_args, 1, 1, 1, reshape_shape, NULL, lower};
