/* The builder's plain operations (plain.h). */
#include "builder.h"

#include "cnnbn/memory.h"

static op *plain_op(net_builder *b, plain_kind kind, int n_in, const int *in, cnnbn_shape out_shape)
{
    op *o = cnnbn__builder_op(b, OP_PLAIN, n_in, in, out_shape);
    o->plain.kind = kind;
    for (int i = 0; i < b->net->n_ops - 1; i++) {
        const op *other = &b->net->ops[i];
        o->use += other->kind == OP_PLAIN && other->plain.kind == kind && other->layer == o->layer;
    }
    return o;
}

int cnnbn__build_pad(cnnbn_builder *base, int x, int top, int bottom, int left, int right)
{
    net_builder *b = cnnbn__builder_self(base);
    cnnbn_shape in = cnnbn__builder_shape(b, x), out = in;
    if (!top && !bottom && !left && !right) return x;
    out.dim[in.rank - 2] += left + right;
    if (in.rank == 3) out.dim[0] += top + bottom;
    op *o = plain_op(b, PLAIN_PAD, 1, &x, out);
    o->plain.top = top;
    o->plain.left = left;
    return o->out;
}

static int build_larger(cnnbn_builder *base, plain_kind kind, int x, int rows, int columns)
{
    net_builder *b = cnnbn__builder_self(base);
    cnnbn_shape out = cnnbn__builder_shape(b, x);
    if (rows == 1 && columns == 1) return x;
    out.dim[0] *= rows;
    out.dim[1] *= columns;
    op *o = plain_op(b, kind, 1, &x, out);
    o->plain.rows = rows;
    o->plain.columns = columns;
    return o->out;
}

int cnnbn__build_upsample(cnnbn_builder *base, int x, int rows, int columns)
{
    return build_larger(base, PLAIN_UPSAMPLE, x, rows, columns);
}

int cnnbn__build_upsample_bilinear(cnnbn_builder *base, int x, int rows, int columns)
{
    return build_larger(base, PLAIN_BILINEAR, x, rows, columns);
}

int cnnbn__build_transpose(cnnbn_builder *base, int x, int rows, int columns, cnnbn_shape out)
{
    op *o = plain_op(cnnbn__builder_self(base), PLAIN_TRANSPOSE, 1, &x, out);
    o->plain.rows = rows;
    o->plain.columns = columns;
    return o->out;
}

/* Room for n numbers, three times over. */
static float *constants(net_builder *b, int n, const char *what)
{
    void *memory;
    cnnbn_status status = cnnbn_alloc_array((size_t)n, 3 * sizeof(float), what, &memory);
    if (status != CNNBN_OK) (void)cnnbn__builder_failed(b, status);
    return memory;
}

int cnnbn__build_conv2d_transpose(cnnbn_builder *base, int x, const cnnbn_window *window, cnnbn_shape out, int kernel,
                                  int bias)
{
    net_builder *b = cnnbn__builder_self(base);
    int filters = out.dim[2];
    float *ones = bias >= 0 ? constants(b, filters, "the bias of a transposed convolution") : NULL;
    op *o = plain_op(b, PLAIN_CONV_TRANSPOSE, 1, &x, out);
    if (b->status != CNNBN_OK) {
        cnnbn_free(ones);
        return 0;
    }
    cnnbn__builder_window(o, window, out, cnnbn__builder_shape(b, x).dim[2], 1);
    o->kernel = kernel;
    o->bias = bias;
    if (!ones) return o->out;
    o->plain.scale = ones;
    o->plain.zero = ones + filters;
    for (int k = 0; k < filters; k++) {
        o->plain.scale[k] = 1;
        o->plain.zero[k] = 0;
    }
    return o->out;
}

int cnnbn__build_affine(cnnbn_builder *base, int x, int n, const double *scale, const double *offset)
{
    net_builder *b = cnnbn__builder_self(base);
    float *memory = constants(b, n, "scale and offset of a layer");
    if (!memory) return 0;
    op *o = plain_op(b, PLAIN_AFFINE, 1, &x, cnnbn__builder_shape(b, x));
    if (b->status != CNNBN_OK) {
        cnnbn_free(memory);
        return 0;
    }
    o->plain.period = n;
    o->plain.scale = memory;
    o->plain.offset = o->plain.scale + n;
    o->plain.zero = o->plain.offset + n;
    for (int i = 0; i < n; i++) {
        o->plain.scale[i] = (float)scale[i];
        o->plain.offset[i] = (float)offset[i];
        o->plain.zero[i] = 0;
    }
    return o->out;
}

int cnnbn__build_multiply(cnnbn_builder *base, int x, int y)
{
    net_builder *b = cnnbn__builder_self(base);
    cnnbn_shape shape = cnnbn__builder_shape(b, x);
    const int in[2] = {x, y};
    int same = cnnbn_shape_count(shape) == cnnbn_shape_count(cnnbn__builder_shape(b, y));
    return plain_op(b, same ? PLAIN_MULTIPLY : PLAIN_CHANNEL_MULTIPLY, 2, in, shape)->out;
}

int cnnbn__build_maximum(cnnbn_builder *base, int x, int y)
{
    net_builder *b = cnnbn__builder_self(base);
    const int in[2] = {x, y};
    return plain_op(b, PLAIN_MAXIMUM, 2, in, cnnbn__builder_shape(b, x))->out;
}

int cnnbn__build_prelu(cnnbn_builder *base, int x, int alpha)
{
    net_builder *b = cnnbn__builder_self(base);
    op *o = plain_op(b, PLAIN_PRELU, 1, &x, cnnbn__builder_shape(b, x));
    o->kernel = alpha;
    return o->out;
}

int cnnbn__build_normalize(cnnbn_builder *base, int x, int positions, int channels, int groups, double epsilon,
                           int gamma, int beta)
{
    net_builder *b = cnnbn__builder_self(base);
    op *o = plain_op(b, PLAIN_NORMALIZE, 1, &x, cnnbn__builder_shape(b, x));
    o->plain.positions = positions;
    o->plain.channels = channels;
    o->plain.groups = groups;
    o->plain.epsilon = epsilon;
    o->kernel = gamma;
    o->bias = beta;
    return o->out;
}

int cnnbn__build_unit_normalize(cnnbn_builder *base, int x)
{
    net_builder *b = cnnbn__builder_self(base);
    return plain_op(b, PLAIN_UNIT, 1, &x, cnnbn__builder_shape(b, x))->out;
}

int cnnbn__build_shared_dropout(cnnbn_builder *base, int x, double rate, cnnbn_shape mask)
{
    net_builder *b = cnnbn__builder_self(base);
    if (rate <= 0) return x;
    op *o = plain_op(b, PLAIN_SHARED_DROPOUT, 1, &x, cnnbn__builder_shape(b, x));
    o->plain.value = (float)rate;
    o->plain.mask = mask;
    return o->out;
}

int cnnbn__build_noise(cnnbn_builder *base, int x, double stddev)
{
    net_builder *b = cnnbn__builder_self(base);
    if (stddev <= 0) return x;
    op *o = plain_op(b, PLAIN_NOISE, 1, &x, cnnbn__builder_shape(b, x));
    o->plain.value = (float)stddev;
    return o->out;
}

int cnnbn__build_random_flip(cnnbn_builder *base, int x, int horizontal, int vertical)
{
    net_builder *b = cnnbn__builder_self(base);
    op *o = plain_op(b, PLAIN_FLIP, 1, &x, cnnbn__builder_shape(b, x));
    o->plain.horizontal = horizontal;
    o->plain.vertical = vertical;
    return o->out;
}

/* An operation with two numbers for each channel, in scale and offset. */
static op *op_of_channels(net_builder *b, plain_kind kind, int x, double first, double second)
{
    cnnbn_shape shape = cnnbn__builder_shape(b, x);
    size_t C = (size_t)shape.dim[shape.rank - 1];
    void *memory;
    cnnbn_status status = cnnbn_alloc_array(C, 2 * sizeof(float), "numbers of a layer's channels", &memory);
    if (status != CNNBN_OK) (void)cnnbn__builder_failed(b, status);
    op *o = plain_op(b, kind, 1, &x, shape);
    if (b->status != CNNBN_OK) {
        cnnbn_free(memory);
        return o;
    }
    o->plain.scale = memory;
    o->plain.offset = o->plain.scale + C;
    for (size_t c = 0; c < C; c++) {
        o->plain.scale[c] = (float)first;
        o->plain.offset[c] = (float)second;
    }
    return o;
}

int cnnbn__build_random_map(cnnbn_builder *base, int x, const cnnbn_random_map *map)
{
    op *o = op_of_channels(cnnbn__builder_self(base), PLAIN_MAP, x, map->fill_value, 0);
    o->plain.map = *map;
    return o->out;
}

int cnnbn__build_random_contrast(cnnbn_builder *base, int x, const double amount[2], const double range[2])
{
    op *o = op_of_channels(cnnbn__builder_self(base), PLAIN_CONTRAST, x, range[0], range[1]);
    o->plain.amount[0] = amount[0];
    o->plain.amount[1] = amount[1];
    return o->out;
}

int cnnbn__build_random_crop(cnnbn_builder *base, int x, int height, int width)
{
    net_builder *b = cnnbn__builder_self(base);
    cnnbn_shape in = cnnbn__builder_shape(b, x);
    if (in.dim[0] == height && in.dim[1] == width) return x;
    return plain_op(b, PLAIN_CROP, 1, &x, cnnbn__shape_hwc(height, width, in.dim[2]))->out;
}
