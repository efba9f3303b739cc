/* Subtract, Multiply, Average, Maximum, Minimum. */
#include "internal.h"
#include "layer_types.h"

static cnnbn_status equal_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)layer;
    for (int i = 1; i < n_in; i++)
        if (!cnnbn__same_dims(in[0], in[i], 0)) return cnnbn__unlike(in[0], in[i], "they must be equal");
    *out = in[0];
    return CNNBN_OK;
}

/* (1, 1, channels), a factor for each channel of an image. */
static int is_factor(cnnbn_shape image, cnnbn_shape factor)
{
    return image.rank == 3 && factor.rank == 3 && factor.dim[0] == 1 && factor.dim[1] == 1 &&
           factor.dim[2] == image.dim[2];
}

static cnnbn_status multiply_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)layer;
    *out = in[0];
    for (int i = 1; i < n_in; i++) {
        if (cnnbn__same_dims(*out, in[i], 0) || is_factor(*out, in[i])) continue;
        if (!is_factor(in[i], *out))
            return cnnbn__unlike(*out, in[i], "they must be equal, or one of them (1, 1, channels)");
        *out = in[i];
    }
    return CNNBN_OK;
}

static int times(cnnbn_builder *b, int x, double factor)
{
    static const double none = 0;
    return b->ops->affine(b, x, 1, &factor, &none);
}

static int subtract_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                          const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)layer, (void)n_in, (void)in_shapes, (void)out_shape;
    const int pair[2] = {in[0], times(b, in[1], -1)};
    return b->ops->add(b, 2, pair);
}

/* Factors of channels stand second, as the builder wants them. */
static int multiply_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                          const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)layer, (void)out_shape;
    int product = in[0];
    cnnbn_shape shape = in_shapes[0];
    for (int i = 1; i < n_in; i++) {
        int larger = cnnbn_shape_count(in_shapes[i]) > cnnbn_shape_count(shape);
        product = larger ? b->ops->multiply(b, in[i], product) : b->ops->multiply(b, product, in[i]);
        if (larger) shape = in_shapes[i];
    }
    return product;
}

static int average_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                         const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)layer, (void)in_shapes, (void)out_shape;
    return times(b, b->ops->add(b, n_in, in), 1.0 / n_in);
}

static int maximum_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                         const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)layer, (void)in_shapes, (void)out_shape;
    int greatest = in[0];
    for (int i = 1; i < n_in; i++) greatest = b->ops->maximum(b, greatest, in[i]);
    return greatest;
}

static int minimum_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                         const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)layer, (void)in_shapes, (void)out_shape;
    int greatest = times(b, in[0], -1);
    for (int i = 1; i < n_in; i++) greatest = b->ops->maximum(b, greatest, times(b, in[i], -1));
    return times(b, greatest, -1);
}

const cnnbn_layer_type cnnbn__layer_subtract = {"Subtract",  "subtract", NULL,          0, 2, 2,
                                                equal_shape, NULL,       subtract_lower};
const cnnbn_layer_type cnnbn__layer_multiply = {"Multiply",     "multiply", NULL,          0, 2, CNNBN_INPUTS_MAX,
                                                multiply_shape, NULL,       multiply_lower};
const cnnbn_layer_type cnnbn__layer_average = {"Average",   "average", NULL,         0, 2, CNNBN_INPUTS_MAX,
                                               equal_shape, NULL,      average_lower};
const cnnbn_layer_type cnnbn__layer_maximum = {"Maximum",   "maximum", NULL,         0, 2, CNNBN_INPUTS_MAX,
                                               equal_shape, NULL,      maximum_lower};
const cnnbn_layer_type cnnbn__layer_minimum = {"Minimum",   "minimum", NULL,         0, 2, CNNBN_INPUTS_MAX,
                                               equal_shape, NULL,      minimum_lower};
