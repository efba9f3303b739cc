/* Add and Concatenate. */
#include "internal.h"
#include "layer_types.h"

static const cnnbn_arg_spec concat_args[] = {{"axis", CNNBN_ARG_INT, 0, "-1", NULL, -4, 4}};

static cnnbn_status add_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)layer;
    return cnnbn__broadcast_shape(n_in, in, out);
}

static cnnbn_status concat_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    int place;
    CNNBN_TRY(cnnbn__need_axis(cnnbn__arg_int(layer, "axis"), in[0], &place));
    long long joined = 0; /* at most 64 ints */
    for (int i = 0; i < n_in; i++) {
        cnnbn_shape alike = in[i];
        if (alike.rank == in[0].rank) alike.dim[place] = in[0].dim[place];
        if (!cnnbn__same_dims(in[0], alike, 0))
            return cnnbn__unlike(in[0], in[i], "all dimensions but that of `axis` must be equal");
        joined += in[i].dim[place];
    }
    if (joined > (1 << 30)) return cnnbn_error(CNNBN_ERR_MODEL, "%lld values along the axis are too many", joined);
    *out = in[0];
    out->dim[place] = (int)joined;
    return CNNBN_OK;
}

int cnnbn__lower_sum(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in, const cnnbn_shape *in_shapes,
                     cnnbn_shape out_shape)
{
    int terms[CNNBN_INPUTS_MAX];
    (void)layer;
    for (int i = 0; i < n_in; i++) terms[i] = cnnbn__lower_broadcast(b, in[i], in_shapes[i], out_shape);
    return b->ops->add(b, n_in, terms);
}

static int concat_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                        const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    int place = cnnbn__axis_of(cnnbn__arg_int(layer, "axis"), out_shape.rank), parts[CNNBN_INPUTS_MAX];
    for (int i = 0; i < n_in; i++) parts[i] = cnnbn__lower_axis_last(b, in[i], in_shapes[i], place);
    return cnnbn__lower_axis_back(b, b->ops->concat(b, n_in, parts), out_shape, place);
}

const cnnbn_layer_type cnnbn__layer_add = {"Add", "add",           NULL, 0, 2, CNNBN_INPUTS_MAX, add_shape,
                                           NULL,  cnnbn__lower_sum};
const cnnbn_layer_type cnnbn__layer_concatenate = {"Concatenate",    "concatenate", concat_args, 1,           2,
                                                   CNNBN_INPUTS_MAX, concat_shape,  NULL,        concat_lower};
