/* Dropout, SpatialDropout2D, GaussianNoise: active in training only. */
#include "internal.h"
#include "layer_types.h"

static const cnnbn_arg_spec dropout_args[] = {
    {"rate", CNNBN_ARG_FLOAT, 1, NULL, NULL, 0, 1},
    {"noise_shape", CNNBN_ARG_NOISE, 0, "null", NULL, 0, 0},
};
static const cnnbn_arg_spec spatial_args[] = {{"rate", CNNBN_ARG_FLOAT, 1, NULL, NULL, 0, 1}};
static const cnnbn_arg_spec noise_args[] = {{"stddev", CNNBN_ARG_FLOAT, 1, NULL, NULL, 0, 1e30}};

static cnnbn_status dropout_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)n_in;
    cnnbn_shape noise = cnnbn_layer_arg(layer, "noise_shape")->shape;
    char text[48];
    *out = *in;
    if (!noise.rank) return CNNBN_OK;
    if (noise.rank != in->rank)
        return cnnbn_error(CNNBN_ERR_MODEL,
                           "argument noise_shape has %d numbers, expected %d: one for the batch, and one for each "
                           "dimension of input %s",
                           noise.rank + 1, in->rank + 1, cnnbn_shape_text(*in, text, sizeof text));
    for (int d = 0; d < noise.rank; d++)
        if (noise.dim[d] > 1 && noise.dim[d] != in->dim[d])
            return cnnbn_error(CNNBN_ERR_MODEL,
                               "argument noise_shape: %d for axis %d of input %s, expected 1, %d, or null for its size",
                               noise.dim[d], d + 1, cnnbn_shape_text(*in, text, sizeof text), in->dim[d]);
    return CNNBN_OK;
}

static int dropout_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                         const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)n_in, (void)out_shape;
    double rate = cnnbn__arg_float(layer, "rate");
    cnnbn_shape mask = cnnbn_layer_arg(layer, "noise_shape")->shape;
    if (!(rate > 0)) return in[0];
    if (!mask.rank) return b->ops->dropout(b, in[0], rate);
    for (int d = 0; d < mask.rank; d++)
        if (!mask.dim[d]) mask.dim[d] = in_shapes[0].dim[d];
    return b->ops->shared_dropout(b, in[0], rate, mask);
}

static cnnbn_status spatial_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)layer, (void)n_in;
    *out = *in;
    return cnnbn__need_image(*in);
}

static int spatial_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                         const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)n_in, (void)out_shape;
    double rate = cnnbn__arg_float(layer, "rate");
    const cnnbn_shape mask = {3, {1, 1, in_shapes[0].dim[2]}};
    return rate > 0 ? b->ops->shared_dropout(b, in[0], rate, mask) : in[0];
}

static int noise_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                       const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes, (void)out_shape;
    double stddev = cnnbn__arg_float(layer, "stddev");
    return stddev > 0 ? b->ops->noise(b, in[0], stddev) : in[0];
}

const cnnbn_layer_type cnnbn__layer_dropout = {"Dropout",     "dropout", dropout_args, 2, 1, 1,
                                               dropout_shape, NULL,      dropout_lower};
const cnnbn_layer_type cnnbn__layer_spatial_dropout2d = {
    "SpatialDropout2D", "spatial_dropout2d", spatial_args, 1, 1, 1, spatial_shape, NULL, spatial_lower};
const cnnbn_layer_type cnnbn__layer_gaussian_noise = {
    "GaussianNoise", "gaussian_noise", noise_args, 1, 1, 1, cnnbn__same_shape, NULL, noise_lower};
