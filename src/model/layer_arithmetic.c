/* Subtract, Multiply, Average, Maximum, Minimum. */
#include "internal.h"
#include "layer_types.h"

static cnnbn_status shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)layer;
    return cnnbn__broadcast_shape(n_in, in, out);
}

/* (1, 1, channels), a factor for each channel of an image. */
static int is_factor(cnnbn_shape image, cnnbn_shape factor)
{
    return image.rank == 3 && factor.rank == 3 && factor.dim[0] == 1 && factor.dim[1] == 1 &&
           factor.dim[2] == image.dim[2];
}

static int times(cnnbn_builder *b, int x, double factor)
{
    static const double none = 0;
    return b->ops->affine(b, x, 1, &factor, &none);
}

static int subtract_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                          const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)layer, (void)n_in;
    int pair[2] = {in[0], times(b, in[1], -1)};
    for (int i = 0; i < 2; i++) pair[i] = cnnbn__lower_broadcast(b, pair[i], in_shapes[i], out_shape);
    return b->ops->add(b, 2, pair);
}

/* Factors of channels need not be repeated; they stand second, as the builder wants them. */
static int multiply_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                          const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)layer, (void)out_shape;
    int product = in[0];
    cnnbn_shape now = in_shapes[0];
    for (int i = 1; i < n_in; i++) {
        cnnbn_shape both = now;
        for (int d = 0; d < both.rank; d++)
            if (both.dim[d] == 1) both.dim[d] = in_shapes[i].dim[d];
        int is_first = is_factor(both, now) && !is_factor(both, in_shapes[i]), factor = is_first ? product : in[i];
        int x = is_first ? cnnbn__lower_broadcast(b, in[i], in_shapes[i], both)
                         : cnnbn__lower_broadcast(b, product, now, both);
        if (!is_first && !is_factor(both, in_shapes[i])) factor = cnnbn__lower_broadcast(b, in[i], in_shapes[i], both);
        product = b->ops->multiply(b, x, factor);
        now = both;
    }
    return product;
}

static int average_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                         const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    return times(b, cnnbn__lower_sum(layer, b, n_in, in, in_shapes, out_shape), 1.0 / n_in);
}

static int maximum_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                         const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    (void)layer;
    int greatest = cnnbn__lower_broadcast(b, in[0], in_shapes[0], out_shape);
    for (int i = 1; i < n_in; i++)
        greatest = b->ops->maximum(b, greatest, cnnbn__lower_broadcast(b, in[i], in_shapes[i], out_shape));
    return greatest;
}

static int minimum_lower(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in,
                         const cnnbn_shape *in_shapes, cnnbn_shape out_shape)
{
    int negative[CNNBN_INPUTS_MAX];
    for (int i = 0; i < n_in; i++) negative[i] = times(b, in[i], -1);
    return times(b, maximum_lower(layer, b, n_in, negative, in_shapes, out_shape), -1);
}

const cnnbn_layer_type cnnbn__layer_subtract = {"Subtract", "subtract", NULL, 0, 2, 2, shape, NULL, subtract_lower};
const cnnbn_layer_type cnnbn__layer_multiply = {"Multiply", "multiply", NULL,          0, 2, CNNBN_INPUTS_MAX,
                                                shape,      NULL,       multiply_lower};
const cnnbn_layer_type cnnbn__layer_average = {"Average", "average", NULL,         0, 2, CNNBN_INPUTS_MAX,
                                               shape,     NULL,      average_lower};
const cnnbn_layer_type cnnbn__layer_maximum = {"Maximum", "maximum", NULL,         0, 2, CNNBN_INPUTS_MAX,
                                               shape,     NULL,      maximum_lower};
const cnnbn_layer_type cnnbn__layer_minimum = {"Minimum", "minimum", NULL,         0, 2, CNNBN_INPUTS_MAX,
                                               shape,     NULL,      minimum_lower};
