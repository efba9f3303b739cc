/* Operations as ONNX nodes, the rest: element-wise ones, borders, sizes, normalisation within a sample, transposed convolution. */
#include <math.h>

#include "onnx_internal.h"

static const cnnbn__onnx_op *op_of(const cnnbn__onnx_file *f, int op)
{
    return &f->graph->ops[op];
}

static int64_t count_of(cnnbn_shape shape)
{
    return (int64_t)cnnbn_shape_count(shape);
}

static void dims_of(cnnbn_shape shape, int64_t *dim)
{
    for (int d = 0; d < shape.rank; d++) dim[d] = shape.dim[d];
}

/* Two inputs, broadcast along the last axes. */
static void emit_binary(cnnbn__onnx_file *f, int op, const char *type)
{
    const cnnbn__onnx_op *o = op_of(f, op);
    int alike = count_of(op_of(f, o->in[0])->shape) == count_of(op_of(f, o->in[1])->shape);
    int first = alike && cnnbn__onnx_order(f, o->in[0]) && cnnbn__onnx_order(f, o->in[1]);
    char *inputs[2] = {cnnbn__onnx_value(f, o->in[0], first), cnnbn__onnx_value(f, o->in[1], first)};
    (void)cnnbn__onnx_node(f, type, cnnbn__onnx_result(f, op, first), 2, inputs);
}

static char *period(cnnbn__onnx_file *f, int op, const char *name, const float *values)
{
    const int64_t n = op_of(f, op)->period;
    return cnnbn__onnx_floats(f, cnnbn__onnx_name(f, op, name), n > 1 ? 1 : 0, &n, values);
}

/* x * scale + offset. */
static void emit_affine(cnnbn__onnx_file *f, int op)
{
    const cnnbn__onnx_op *o = op_of(f, op);
    int first = o->period == 1 && cnnbn__onnx_order(f, o->in[0]), moves = 0;
    for (int i = 0; i < o->period; i++) moves |= o->offset[i] < 0 || o->offset[i] > 0;
    char *x = cnnbn__onnx_value(f, o->in[0], first), *y = cnnbn__onnx_result(f, op, first);
    char *product[2] = {x, period(f, op, "scale", o->scale)};
    (void)cnnbn__onnx_node(f, "Mul", moves ? cnnbn__onnx_name(f, op, "scaled") : y, 2, product);
    if (!moves) return;
    char *sum[2] = {cnnbn__onnx_name(f, op, "scaled"), period(f, op, "offset", o->offset)};
    (void)cnnbn__onnx_node(f, "Add", y, 2, sum);
}

static void emit_prelu(cnnbn__onnx_file *f, int op)
{
    const cnnbn__onnx_op *o = op_of(f, op);
    char *inputs[2] = {cnnbn__onnx_value(f, o->in[0], 0), cnnbn__onnx_param(f, o->kernel)};
    (void)cnnbn__onnx_node(f, "PRelu", cnnbn__onnx_result(f, op, 0), 2, inputs);
}

/* ---------------------------------------------------------------- borders, sizes, order */

/* Zeros, or with a negative number rows and columns less. */
static void emit_pad(cnnbn__onnx_file *f, int op)
{
    const cnnbn__onnx_op *o = op_of(f, op);
    int first = cnnbn__onnx_order(f, o->in[0]), rank = o->shape.rank, n = 1 + rank;
    int64_t pads[2 * (1 + CNNBN_RANK_MAX)] = {0};
    for (int d = 0; d < rank - 1; d++) {
        int axis = 1 + d + first, from = 2 * (d + 3 - rank); /* a sequence has left and right only */
        pads[axis] = o->border[from];
        pads[n + axis] = o->border[from + 1];
    }
    char *inputs[2] = {cnnbn__onnx_value(f, o->in[0], first),
                       cnnbn__onnx_shape(f, cnnbn__onnx_name(f, op, "pads"), 2 * n, pads)};
    (void)cnnbn__onnx_node(f, "Pad", cnnbn__onnx_result(f, op, first), 2, inputs);
}

/* ONNX' Resize makes floor(in * scale) pixels. */
static float scale_of(int in, int out)
{
    float scale = (float)out / (float)in;
    return floor((double)scale * in) < out ? nextafterf(scale, INFINITY) : scale;
}

/* Nearest: output pixel i is input pixel floor(i / rows). Bilinear: by pixel centres, the border repeated. */
static void emit_upsample(cnnbn__onnx_file *f, int op)
{
    static const int64_t four = 4;
    const cnnbn__onnx_op *o = op_of(f, op);
    cnnbn_shape in = op_of(f, o->in[0])->shape;
    const float scales[4] = {1, 1, scale_of(in.dim[0], o->shape.dim[0]), scale_of(in.dim[1], o->shape.dim[1])};
    char *inputs[3] = {cnnbn__onnx_value(f, o->in[0], 1), cnnbn__onnx_text(f, "%s", ""),
                       cnnbn__onnx_floats(f, cnnbn__onnx_name(f, op, "scales"), 1, &four, scales)};
    Onnx__NodeProto *node = cnnbn__onnx_node(f, "Resize", cnnbn__onnx_result(f, op, 1), 3, inputs);
    cnnbn__onnx_word(f, node, "mode", o->bilinear ? "linear" : "nearest");
    cnnbn__onnx_word(f, node, "coordinate_transformation_mode", o->bilinear ? "half_pixel" : "asymmetric");
    if (!o->bilinear) cnnbn__onnx_word(f, node, "nearest_mode", "floor");
}

/* A sample seen as [..][rows][columns] becomes [..][columns][rows]. */
static void emit_transpose(cnnbn__onnx_file *f, int op)
{
    static const int64_t perm[4] = {0, 1, 3, 2};
    const cnnbn__onnx_op *o = op_of(f, op);
    const int64_t matrices[3] = {count_of(o->shape) / o->rows / o->columns, o->rows, o->columns};
    int64_t out[CNNBN_RANK_MAX];
    dims_of(o->shape, out);
    char *x = cnnbn__onnx_reshape(f, op, cnnbn__onnx_value(f, o->in[0], 0), 3, matrices, NULL, "matrices");
    char *turned = cnnbn__onnx_name(f, op, "turned");
    cnnbn__onnx_ints(f, cnnbn__onnx_node(f, "Transpose", turned, 1, &x), "perm", 4, perm);
    (void)cnnbn__onnx_reshape(f, op, turned, o->shape.rank, out, cnnbn__onnx_result(f, op, 0), "to");
}

/* ---------------------------------------------------------------- transposed convolution */

/* [R][S][K][C] -> (C, K, R, S). */
static char *transposed_kernel(cnnbn__onnx_file *f, int op, int channels)
{
    const cnnbn__onnx_op *o = op_of(f, op);
    const cnnbn_param *p = &f->graph->model->params[o->kernel];
    if (f->shared[o->kernel]) return f->shared[o->kernel];
    size_t K = (size_t)o->filters, C = (size_t)channels, window = p->count / K / C;
    const int64_t dim[4] = {channels, o->filters, o->window.R, o->window.S};
    const float *w = f->params[o->kernel];
    float *to = cnnbn__onnx_grab(f, p->count * sizeof(float));
    for (size_t rs = 0; to && rs < window; rs++)
        for (size_t k = 0; k < K; k++)
            for (size_t c = 0; c < C; c++) to[(c * K + k) * window + rs] = w[(rs * K + k) * C + c];
    char *name = cnnbn__onnx_text(f, "%s/%s", f->graph->model->layers[p->layer].name, p->name);
    return f->shared[o->kernel] = to ? cnnbn__onnx_floats(f, name, 4, dim, to) : NULL;
}

/* ONNX: out = (in - 1)*stride + dilated kernel - pads + output_padding, along each axis. */
static void emit_conv_transpose(cnnbn__onnx_file *f, int op)
{
    const cnnbn__onnx_op *o = op_of(f, op);
    const cnnbn_window *w = &o->window;
    cnnbn_shape in = op_of(f, o->in[0])->shape;
    char *inputs[3] = {cnnbn__onnx_value(f, o->in[0], 1), transposed_kernel(f, op, in.dim[2]),
                       o->bias < 0 ? NULL : cnnbn__onnx_param(f, o->bias)};
    Onnx__NodeProto *node =
        cnnbn__onnx_node(f, "ConvTranspose", cnnbn__onnx_result(f, op, 1), inputs[2] ? 3 : 2, inputs);
    const int64_t size[2] = {w->R, w->S}, strides[2] = {w->stride_h, w->stride_w}, dilation[2] = {w->dil_h, w->dil_w};
    int64_t pads[4] = {w->pad_top, w->pad_left}, more[2] = {0, 0};
    for (int d = 0; d < 2; d++) {
        int64_t spread = (in.dim[d] - 1) * strides[d] + (size[d] - 1) * dilation[d] + 1, cut = spread - o->shape.dim[d];
        pads[2 + d] = cut > pads[d] ? cut - pads[d] : 0;
        more[d] = pads[d] + pads[2 + d] - cut;
    }
    cnnbn__onnx_ints(f, node, "kernel_shape", 2, size);
    cnnbn__onnx_ints(f, node, "strides", 2, strides);
    cnnbn__onnx_ints(f, node, "dilations", 2, dilation);
    cnnbn__onnx_ints(f, node, "pads", 4, pads);
    cnnbn__onnx_ints(f, node, "output_padding", 2, more);
}

/* ---------------------------------------------------------------- normalisation within a sample */

static char *mean_of(cnnbn__onnx_file *f, int op, char *x, const char *name)
{
    static const int64_t axes[2] = {2, 4};
    char *mean = cnnbn__onnx_name(f, op, name);
    cnnbn__onnx_ints(f, cnnbn__onnx_node(f, "ReduceMean", mean, 1, &x), "axes", 2, axes);
    return mean;
}

/* As (batch, rows, positions, groups, channels of a group), whatever the layer. Not ONNX' LayerNormalization: ONNX Runtime takes the
 * variance as a difference of squares, which loses what a large mean covers. */
static void emit_normalize(cnnbn__onnx_file *f, int op)
{
    const cnnbn__onnx_op *o = op_of(f, op);
    const int64_t rows = count_of(o->shape) / o->positions / o->channels;
    const int64_t grouped[4] = {rows, o->positions, o->groups, o->channels / o->groups},
                  flat[3] = {rows, o->positions, o->channels};
    int64_t out[CNNBN_RANK_MAX];
    const int64_t channels = o->channels;
    const cnnbn_model *model = f->graph->model;
    dims_of(o->shape, out);
    char *x = cnnbn__onnx_reshape(f, op, cnnbn__onnx_value(f, o->in[0], 0), 4, grouped, NULL, "groups");
    char *d = cnnbn__onnx_step(f, op, "Sub", x, mean_of(f, op, x, "mean"), "centred");
    char *variance = mean_of(f, op, cnnbn__onnx_step(f, op, "Mul", d, d, "squares"), "variance");
    char *sum = cnnbn__onnx_step(f, op, "Add", variance, cnnbn__onnx_constant(f, op, "epsilon", o->epsilon), "padded");
    char *y = cnnbn__onnx_step(f, op, "Div", d, cnnbn__onnx_step(f, op, "Sqrt", sum, NULL, "deviation"), "normal");
    y = cnnbn__onnx_reshape(f, op, y, 3, flat, NULL, "flat");
    for (int i = 0; i < 2; i++) { /* as vectors: the weights of several axes are as long as the row */
        int param = i ? o->beta : o->gamma;
        if (param < 0) continue;
        char *w = cnnbn__onnx_name(f, op, model->params[param].name);
        (void)cnnbn__onnx_floats(f, w, 1, &channels, f->params[param]);
        y = cnnbn__onnx_step(f, op, i ? "Add" : "Mul", y, w, i ? "moved" : "scaled");
    }
    (void)cnnbn__onnx_reshape(f, op, y, o->shape.rank, out, cnnbn__onnx_result(f, op, 0), "to");
}

/* x / sqrt(max(sum x^2, 1e-12)) along the last axis. */
static void emit_unit_normalize(cnnbn__onnx_file *f, int op)
{
    const cnnbn__onnx_op *o = op_of(f, op);
    const int64_t axis = o->shape.rank;
    char *x = cnnbn__onnx_value(f, o->in[0], 0), *squares = cnnbn__onnx_name(f, op, "squares");
    cnnbn__onnx_ints(f, cnnbn__onnx_node(f, "ReduceSumSquare", squares, 1, &x), "axes", 1, &axis);
    char *most = cnnbn__onnx_step(f, op, "Max", squares, cnnbn__onnx_constant(f, op, "least", 1e-12), "bounded");
    char *inputs[2] = {x, cnnbn__onnx_step(f, op, "Sqrt", most, NULL, "length")};
    (void)cnnbn__onnx_node(f, "Div", cnnbn__onnx_result(f, op, 0), 2, inputs);
}

int cnnbn__onnx_emit_plain(cnnbn__onnx_file *f, int op)
{
    switch (op_of(f, op)->kind) {
    case CNNBN__ONNX_CONV_TRANSPOSE:
        emit_conv_transpose(f, op);
        return 1;
    case CNNBN__ONNX_PAD:
        emit_pad(f, op);
        return 1;
    case CNNBN__ONNX_UPSAMPLE:
        emit_upsample(f, op);
        return 1;
    case CNNBN__ONNX_TRANSPOSE:
        emit_transpose(f, op);
        return 1;
    case CNNBN__ONNX_AFFINE:
        emit_affine(f, op);
        return 1;
    case CNNBN__ONNX_MULTIPLY:
        emit_binary(f, op, "Mul");
        return 1;
    case CNNBN__ONNX_MAXIMUM:
        emit_binary(f, op, "Max");
        return 1;
    case CNNBN__ONNX_PRELU:
        emit_prelu(f, op);
        return 1;
    case CNNBN__ONNX_NORMALIZE:
        emit_normalize(f, op);
        return 1;
    case CNNBN__ONNX_UNIT_NORMALIZE:
        emit_unit_normalize(f, op);
        return 1;
    default:
        return 0;
    }
}
