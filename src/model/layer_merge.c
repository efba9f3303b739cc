/* Add and Concatenate. */
#include "internal.h"
#include "layer_types.h"

static const cnnbn_arg_spec concat_args[] = {{"axis", CNNBN_ARG_INT, 0, "-1", NULL, -4, 4}};

static cnnbn_status add_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)layer;
    for (int i = 1; i < n_in; i++)
        if (!cnnbn__same_dims(in[0], in[i], 0)) return cnnbn__unlike(in[0], in[i], "they must be equal");
    *out = in[0];
    return CNNBN_OK;
}

static cnnbn_status concat_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    CNNBN_TRY(cnnbn__need_last_axis(layer, in[0]));
    int last = in[0].rank - 1;
    long long channels = 0; /* at most 64 ints */
    for (int i = 0; i < n_in; i++) {
        if (!cnnbn__same_dims(in[0], in[i], 1))
            return cnnbn__unlike(in[0], in[i], "all but the last dimension must be equal");
        channels += in[i].dim[last];
    }
    if (channels > (1 << 30))
        return cnnbn_error(CNNBN_ERR_MODEL, "%lld values in the last dimension are too many", channels);
    *out = in[0];
    out->dim[last] = (int)channels;
    return CNNBN_OK;
}

static int add_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in, const cnnbn_shape *in_shapes,
                     cnnbn_shape out_shape)
{
    (void)layer, (void)in_shapes, (void)out_shape;
    return b->ops->add(b, n_in, in);
}

static int concat_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                        const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)layer, (void)in_shapes, (void)out_shape;
    return b->ops->concat(b, n_in, in);
}

const cnnbn_layer_type cnnbn__layer_add = {"Add", "add", NULL, 0, 2, CNNBN_INPUTS_MAX, add_shape, NULL, add_lower};
const cnnbn_layer_type cnnbn__layer_concatenate = {"Concatenate",    "concatenate", concat_args, 1,           2,
                                                   CNNBN_INPUTS_MAX, concat_shape,  NULL,        concat_lower};
