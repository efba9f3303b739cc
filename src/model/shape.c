/* Shapes and window geometry. */
#include <limits.h>
#include <stdio.h>

#include "internal.h"

size_t cnnbn_shape_count(cnnbn_shape shape)
{
    size_t count = shape.rank > 0;
    for (int d = 0; d < shape.rank; d++) count *= (size_t)shape.dim[d];
    return count;
}

const char *cnnbn_shape_text(cnnbn_shape shape, char *text, size_t bytes)
{
    switch (shape.rank) {
    case 1:
        (void)snprintf(text, bytes, "(%d)", shape.dim[0]);
        break;
    case 2:
        (void)snprintf(text, bytes, "(%d, %d)", shape.dim[0], shape.dim[1]);
        break;
    case 3:
        (void)snprintf(text, bytes, "(%d, %d, %d)", shape.dim[0], shape.dim[1], shape.dim[2]);
        break;
    default:
        (void)snprintf(text, bytes, "()");
    }
    return text;
}

cnnbn_status cnnbn__shape_check(const char *what, cnnbn_shape shape)
{
    char text[48];
    if (shape.rank < 1 || shape.rank > CNNBN_RANK_MAX)
        return cnnbn_error(CNNBN_ERR_MODEL, "%s has %d dimensions; 1 to %d are supported", what, shape.rank,
                           CNNBN_RANK_MAX);
    long long count = 1;
    for (int d = 0; d < shape.rank; d++) {
        if (shape.dim[d] < 1)
            return cnnbn_error(CNNBN_ERR_MODEL, "%s %s: dimensions must be at least 1", what,
                               cnnbn_shape_text(shape, text, sizeof text));
        count *= shape.dim[d]; /* both at most INT_MAX: fits */
        if (count > INT_MAX)
            return cnnbn_error(CNNBN_ERR_MODEL, "%s %s is too large: more than %d values a sample", what,
                               cnnbn_shape_text(shape, text, sizeof text), INT_MAX);
    }
    return CNNBN_OK;
}

/* One axis: output size and padding before. TensorFlow's rules (tf.nn.convolution): valid floor((in - eff) / stride) + 1;
 * same ceil(in / stride), the padding shared out with the odd one at the end. 0 when the window does not fit. */
static int axis(int in, int k, int stride, int dil, int same, int *out, int *pad)
{
    long long eff = (long long)(k - 1) * dil + 1;
    *pad = 0;
    if (same) {
        long long n = ((long long)in + stride - 1) / stride, total = (n - 1) * stride + eff - in;
        *out = (int)n;
        *pad = total > 0 ? (int)(total / 2) : 0;
        return 1;
    }
    if (eff > in) return 0;
    *out = (int)((in - eff) / stride) + 1;
    return 1;
}

cnnbn_status cnnbn_window_fill(cnnbn_window *window, cnnbn_shape in, const int kernel[2], const int strides[2],
                               const int dilation[2], int same)
{
    CNNBN_TRY(cnnbn__need_image(in));
    *window = (cnnbn_window){.R = kernel[0],
                             .S = kernel[1],
                             .stride_h = strides[0],
                             .stride_w = strides[1],
                             .dil_h = dilation[0],
                             .dil_w = dilation[1]};
    if (axis(in.dim[0], kernel[0], strides[0], dilation[0], same, &window->P, &window->pad_top) &&
        axis(in.dim[1], kernel[1], strides[1], dilation[1], same, &window->Q, &window->pad_left))
        return CNNBN_OK;
    char shape[48], dilated[48] = "";
    if (dilation[0] > 1 || dilation[1] > 1)
        (void)snprintf(dilated, sizeof dilated, " with dilation %dx%d", dilation[0], dilation[1]);
    return cnnbn_error(CNNBN_ERR_MODEL,
                       "kernel %dx%d%s does not fit input %s; padding: same, or fewer steps down before it", kernel[0],
                       kernel[1], dilated, cnnbn_shape_text(in, shape, sizeof shape));
}

cnnbn_status cnnbn__need_image(cnnbn_shape in)
{
    char text[48];
    if (in.rank == 3) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_MODEL,
                       "expects an input of (height, width, channels), found %s; Reshape can give it one",
                       cnnbn_shape_text(in, text, sizeof text));
}

cnnbn_status cnnbn__need_sequence(cnnbn_shape in)
{
    char text[48];
    if (in.rank == 2) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_MODEL, "expects an input of (length, channels), found %s; Reshape can give it one",
                       cnnbn_shape_text(in, text, sizeof text));
}

cnnbn_status cnnbn__window_1d(cnnbn_window *window, cnnbn_shape in, int size, int stride, int dilation, int same)
{
    CNNBN_TRY(cnnbn__need_sequence(in));
    const cnnbn_shape row = {3, {1, in.dim[0], in.dim[1]}};
    const int sizes[2] = {1, size}, strides[2] = {1, stride}, dilations[2] = {1, dilation};
    return cnnbn_window_fill(window, row, sizes, strides, dilations, same);
}

cnnbn_status cnnbn__same_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out)
{
    (void)layer, (void)n_in;
    *out = *in;
    return CNNBN_OK;
}

cnnbn_status cnnbn__unlike(cnnbn_shape a, cnnbn_shape b, const char *expected)
{
    char x[48], y[48];
    return cnnbn_error(CNNBN_ERR_MODEL, "inputs %s and %s do not meet; %s", cnnbn_shape_text(a, x, sizeof x),
                       cnnbn_shape_text(b, y, sizeof y), expected);
}

int cnnbn__same_dims(cnnbn_shape a, cnnbn_shape b, int n_last)
{
    if (a.rank != b.rank) return 0;
    for (int d = 0; d < a.rank - n_last; d++)
        if (a.dim[d] != b.dim[d]) return 0;
    return 1;
}

int cnnbn__fan(int r, int s, int channels)
{
    double product = (double)r * s * channels;
    return product < 2e9 ? r * s * channels : 2000000000; /* such a weight is refused anyway */
}
