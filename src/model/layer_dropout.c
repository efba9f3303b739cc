/* Dropout, SpatialDropout2D, GaussianNoise: active in training only. */
#include "internal.h"
#include "layer_types.h"

static const cnnbn_arg_spec dropout_args[] = {{"rate", CNNBN_ARG_FLOAT, 1, NULL, NULL, 0, 1}};
static const cnnbn_arg_spec noise_args[] = {{"stddev", CNNBN_ARG_FLOAT, 1, NULL, NULL, 0, 1e30}};

static int dropout_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                         const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes, (void)out_shape;
    double rate = cnnbn__arg_float(layer, "rate");
    return rate > 0 ? b->ops->dropout(b, in[0], rate) : in[0];
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
    (void)n_in, (void)in_shapes, (void)out_shape;
    double rate = cnnbn__arg_float(layer, "rate");
    return rate > 0 ? b->ops->channel_dropout(b, in[0], rate) : in[0];
}

static int noise_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                       const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)n_in, (void)in_shapes, (void)out_shape;
    double stddev = cnnbn__arg_float(layer, "stddev");
    return stddev > 0 ? b->ops->noise(b, in[0], stddev) : in[0];
}

const cnnbn_layer_type cnnbn__layer_dropout = {"Dropout",         "dropout", dropout_args, 1, 1, 1,
                                               cnnbn__same_shape, NULL,      dropout_lower};
const cnnbn_layer_type cnnbn__layer_spatial_dropout2d = {
    "SpatialDropout2D", "spatial_dropout2d", dropout_args, 1, 1, 1, spatial_shape, NULL, spatial_lower};
const cnnbn_layer_type cnnbn__layer_gaussian_noise = {
    "GaussianNoise", "gaussian_noise", noise_args, 1, 1, 1, cnnbn__same_shape, NULL, noise_lower};
