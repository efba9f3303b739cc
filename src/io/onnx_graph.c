#include "onnx_graph.h"

#include <string.h>

#include "cnnbn/memory.h"

typedef struct onnx_builder {
    cnnbn_builder base; /* first: layers see this */
    cnnbn__onnx_graph *graph;
    int layer;
    cnnbn_status status;
} onnx_builder;

static onnx_builder *self_of(cnnbn_builder *b)
{
    return (onnx_builder *)(void *)b;
}

static cnnbn_status grow(cnnbn__onnx_graph *graph)
{
    if (graph->n < graph->room) return CNNBN_OK;
    int room = graph->room ? 2 * graph->room : 64;
    void *bigger;
    CNNBN_TRY(cnnbn_alloc_array((size_t)room, sizeof(cnnbn__onnx_op), "an ONNX graph", &bigger));
    if (graph->n) memcpy(bigger, graph->ops, (size_t)graph->n * sizeof(cnnbn__onnx_op));
    cnnbn_free(graph->ops);
    graph->ops = bigger;
    graph->room = room;
    return CNNBN_OK;
}

/* A failure is kept and told at the end. Nothing may follow it: values that were not made would be used. */
static cnnbn__onnx_op *add(cnnbn_builder *base, cnnbn__onnx_kind kind, int n_in, const int *in, cnnbn_shape shape)
{
    static _Thread_local cnnbn__onnx_op spare;
    onnx_builder *b = self_of(base);
    cnnbn__onnx_graph *graph = b->graph;
    void *inputs = NULL;
    spare.shape = shape;
    if (b->status == CNNBN_OK) b->status = grow(graph);
    if (b->status == CNNBN_OK) b->status = cnnbn_alloc_array((size_t)n_in + 1, sizeof(int), "an ONNX graph", &inputs);
    if (b->status != CNNBN_OK) return &spare;
    cnnbn__onnx_op *op = &graph->ops[graph->n++];
    *op = (cnnbn__onnx_op){.kind = kind, .layer = b->layer, .n_in = n_in, .in = inputs, .shape = shape};
    op->kernel = op->bias = op->gamma = op->beta = op->moving_mean = op->moving_variance = op->folded = -1;
    for (int i = 0; i < n_in; i++) {
        op->in[i] = in[i];
        graph->ops[in[i]].n_uses++;
    }
    return op;
}

static int last(cnnbn_builder *base)
{
    int n = self_of(base)->graph->n;
    return n ? n - 1 : 0;
}

static cnnbn_shape shape_of(cnnbn_builder *base, int value)
{
    return self_of(base)->graph->ops[value].shape;
}

/* An image, or a sequence: an image of one row, whose rank is 2. */
static cnnbn_shape window_shape(cnnbn_builder *b, int x, const cnnbn_window *w, int channels)
{
    return shape_of(b, x).rank == 2 ? (cnnbn_shape){2, {w->Q, channels, 0}} : (cnnbn_shape){3, {w->P, w->Q, channels}};
}

static int conv2d(cnnbn_builder *b, int x, const cnnbn_window *window, int filters, int groups, int kernel, int bias)
{
    cnnbn__onnx_op *op = add(b, CNNBN__ONNX_CONV, 1, &x, window_shape(b, x, window, filters));
    op->window = *window;
    op->filters = filters;
    op->groups = groups;
    op->kernel = kernel;
    op->bias = bias;
    return last(b);
}

static int dense(cnnbn_builder *b, int x, int units, int kernel, int bias)
{
    cnnbn_shape shape = shape_of(b, x);
    shape.dim[shape.rank - 1] = units;
    cnnbn__onnx_op *op = add(b, CNNBN__ONNX_DENSE, 1, &x, shape);
    op->filters = units;
    op->kernel = kernel;
    op->bias = bias;
    return last(b);
}

static int batchnorm(cnnbn_builder *b, int x, int gamma, int beta, int moving_mean, int moving_variance,
                     double momentum, double epsilon, int frozen, int unbiased)
{
    (void)momentum, (void)frozen, (void)unbiased; /* of training */
    cnnbn__onnx_op *op = add(b, CNNBN__ONNX_BATCHNORM, 1, &x, shape_of(b, x));
    op->gamma = gamma;
    op->beta = beta;
    op->moving_mean = moving_mean;
    op->moving_variance = moving_variance;
    op->epsilon = epsilon;
    return last(b);
}

static int activation(cnnbn_builder *b, int x, cnnbn_activation act)
{
    if (act.kind == CNNBN_ACT_LINEAR) return x;
    add(b, CNNBN__ONNX_ACTIVATION, 1, &x, shape_of(b, x))->act = act;
    return last(b);
}

static int softmax(cnnbn_builder *b, int x)
{
    (void)add(b, CNNBN__ONNX_SOFTMAX, 1, &x, shape_of(b, x));
    return last(b);
}

static int pool(cnnbn_builder *b, cnnbn__onnx_kind kind, int x, const cnnbn_window *window)
{
    cnnbn_shape in = shape_of(b, x);
    add(b, kind, 1, &x, window_shape(b, x, window, in.dim[in.rank - 1]))->window = *window;
    return last(b);
}

static int maxpool(cnnbn_builder *b, int x, const cnnbn_window *window)
{
    return pool(b, CNNBN__ONNX_MAXPOOL, x, window);
}

static int avgpool(cnnbn_builder *b, int x, const cnnbn_window *window)
{
    return pool(b, CNNBN__ONNX_AVGPOOL, x, window);
}

static int global_avgpool(cnnbn_builder *b, int x, int keepdims)
{
    cnnbn_shape in = shape_of(b, x);
    int c = in.dim[in.rank - 1];
    (void)add(b, CNNBN__ONNX_GLOBAL_AVGPOOL, 1, &x,
              keepdims ? (cnnbn_shape){3, {1, 1, c}} : (cnnbn_shape){1, {c, 0, 0}});
    return last(b);
}

static int dropout(cnnbn_builder *b, int x, double rate)
{
    (void)b, (void)rate;
    return x;
}

static int shared_dropout(cnnbn_builder *b, int x, double rate, cnnbn_shape mask)
{
    (void)b, (void)rate, (void)mask;
    return x;
}

/* What changes images in training leaves them alone in inference. */
static int random_flip(cnnbn_builder *b, int x, int horizontal, int vertical)
{
    (void)b, (void)horizontal, (void)vertical;
    return x;
}

static int random_map(cnnbn_builder *b, int x, const cnnbn_random_map *map)
{
    (void)b, (void)map;
    return x;
}

static int random_contrast(cnnbn_builder *b, int x, const double amount[2], const double range[2])
{
    (void)b, (void)amount, (void)range;
    return x;
}

static int reshape(cnnbn_builder *b, int x, cnnbn_shape shape)
{
    (void)add(b, CNNBN__ONNX_RESHAPE, 1, &x, shape);
    return last(b);
}

static int add_values(cnnbn_builder *b, int n, const int *x)
{
    if (n == 1) return x[0];
    (void)add(b, CNNBN__ONNX_ADD, n, x, shape_of(b, x[0]));
    return last(b);
}

static int concat(cnnbn_builder *b, int n, const int *x)
{
    if (n == 1) return x[0];
    cnnbn_shape shape = shape_of(b, x[0]);
    int axis = shape.rank - 1;
    for (int i = 1; i < n; i++) shape.dim[axis] += shape_of(b, x[i]).dim[axis];
    (void)add(b, CNNBN__ONNX_CONCAT, n, x, shape);
    return last(b);
}

static int pad(cnnbn_builder *b, int x, int top, int bottom, int left, int right)
{
    const int border[4] = {top, bottom, left, right};
    cnnbn_shape shape = shape_of(b, x);
    if (!top && !bottom && !left && !right) return x;
    shape.dim[shape.rank - 2] += left + right;
    if (shape.rank == 3) shape.dim[0] += top + bottom;
    memcpy(add(b, CNNBN__ONNX_PAD, 1, &x, shape)->border, border, sizeof border);
    return last(b);
}

static int larger(cnnbn_builder *b, int x, int rows, int columns, int bilinear)
{
    cnnbn_shape shape = shape_of(b, x);
    if (rows == 1 && columns == 1) return x;
    shape.dim[0] *= rows;
    shape.dim[1] *= columns;
    add(b, CNNBN__ONNX_UPSAMPLE, 1, &x, shape)->bilinear = bilinear;
    return last(b);
}

static int upsample(cnnbn_builder *b, int x, int rows, int columns)
{
    return larger(b, x, rows, columns, 0);
}

static int upsample_bilinear(cnnbn_builder *b, int x, int rows, int columns)
{
    return larger(b, x, rows, columns, 1);
}

/* In inference the greatest centred window of the output's proportions, made that size; whole numbers cut as Keras cuts them. */
static int random_crop(cnnbn_builder *b, int x, int height, int width)
{
    cnnbn_shape in = shape_of(b, x);
    int H = in.dim[0], W = in.dim[1], rows = (int)((double)W * height / width),
        columns = (int)((double)H * width / height);
    rows = rows > H ? H : rows < 1 ? 1 : rows;
    columns = columns > W ? W : columns < 1 ? 1 : columns;
    int top = (H - rows) / 2, left = (W - columns) / 2;
    x = pad(b, x, -top, -(H - rows - top), -left, -(W - columns - left));
    if (rows == height && columns == width) return x;
    add(b, CNNBN__ONNX_UPSAMPLE, 1, &x, (cnnbn_shape){3, {height, width, in.dim[2]}})->bilinear = 1;
    return last(b);
}

static int transpose(cnnbn_builder *b, int x, int rows, int columns, cnnbn_shape out)
{
    cnnbn__onnx_op *op = add(b, CNNBN__ONNX_TRANSPOSE, 1, &x, out);
    op->rows = rows;
    op->columns = columns;
    return last(b);
}

static int conv2d_transpose(cnnbn_builder *b, int x, const cnnbn_window *window, cnnbn_shape out, int kernel, int bias)
{
    cnnbn__onnx_op *op = add(b, CNNBN__ONNX_CONV_TRANSPOSE, 1, &x, out);
    op->window = *window;
    op->filters = out.dim[2];
    op->groups = 1;
    op->kernel = kernel;
    op->bias = bias;
    return last(b);
}

static int affine(cnnbn_builder *b, int x, int n, const double *scale, const double *offset)
{
    void *block = NULL;
    onnx_builder *self = self_of(b);
    if (self->status == CNNBN_OK)
        self->status = cnnbn_alloc_array((size_t)n, 2 * sizeof(float), "an ONNX graph", &block);
    if (!block) return 0;
    cnnbn__onnx_op *op = add(b, CNNBN__ONNX_AFFINE, 1, &x, shape_of(b, x));
    if (self->status != CNNBN_OK) {
        cnnbn_free(block);
        return 0;
    }
    op->period = n;
    op->scale = block;
    op->offset = op->scale + n;
    for (int i = 0; i < n; i++) {
        op->scale[i] = (float)scale[i];
        op->offset[i] = (float)offset[i];
    }
    return last(b);
}

static int binary(cnnbn_builder *b, cnnbn__onnx_kind kind, int x, int y)
{
    const int in[2] = {x, y};
    (void)add(b, kind, 2, in, shape_of(b, x));
    return last(b);
}

static int multiply(cnnbn_builder *b, int x, int y)
{
    return binary(b, CNNBN__ONNX_MULTIPLY, x, y);
}

static int maximum(cnnbn_builder *b, int x, int y)
{
    return binary(b, CNNBN__ONNX_MAXIMUM, x, y);
}

static int prelu(cnnbn_builder *b, int x, int alpha)
{
    add(b, CNNBN__ONNX_PRELU, 1, &x, shape_of(b, x))->kernel = alpha;
    return last(b);
}

static int normalize(cnnbn_builder *b, int x, int positions, int channels, int groups, double epsilon, int gamma,
                     int beta)
{
    cnnbn__onnx_op *op = add(b, CNNBN__ONNX_NORMALIZE, 1, &x, shape_of(b, x));
    op->positions = positions;
    op->channels = channels;
    op->groups = groups;
    op->epsilon = epsilon;
    op->gamma = gamma;
    op->beta = beta;
    return last(b);
}

static int unit_normalize(cnnbn_builder *b, int x)
{
    (void)add(b, CNNBN__ONNX_UNIT_NORMALIZE, 1, &x, shape_of(b, x));
    return last(b);
}

static const cnnbn_builder_ops builder_ops = {
    .conv2d = conv2d,
    .dense = dense,
    .batchnorm = batchnorm,
    .activation = activation,
    .softmax = softmax,
    .maxpool = maxpool,
    .avgpool = avgpool,
    .global_avgpool = global_avgpool,
    .dropout = dropout,
    .random_flip = random_flip,
    .random_map = random_map,
    .random_contrast = random_contrast,
    .random_crop = random_crop,
    .reshape = reshape,
    .add = add_values,
    .concat = concat,
    .pad = pad,
    .conv2d_transpose = conv2d_transpose,
    .upsample = upsample,
    .upsample_bilinear = upsample_bilinear,
    .transpose = transpose,
    .affine = affine,
    .multiply = multiply,
    .maximum = maximum,
    .prelu = prelu,
    .normalize = normalize,
    .unit_normalize = unit_normalize,
    .shared_dropout = shared_dropout,
    .noise = dropout,
};

/* The builder's table grows with the layers. An entry that is not known here would be called as NULL. */
static cnnbn_status check_operations(void)
{
    typedef void (*any)(void);
    any f[sizeof builder_ops / sizeof(any)];
    memcpy(f, &builder_ops, sizeof f);
    for (size_t i = 0; i < sizeof f / sizeof *f; i++)
        if (!f[i]) return cnnbn_error(CNNBN_ERR_INTERNAL, "operation %zu of layers has no form in ONNX", i);
    return CNNBN_OK;
}

static cnnbn_status lower(onnx_builder *b, int *value_of)
{
    const cnnbn_model *model = b->base.model;
    (void)add(&b->base, CNNBN__ONNX_INPUT, 0, NULL, model->calls[0].shape);
    for (int c = 1; c < model->n_calls && b->status == CNNBN_OK; c++) {
        const cnnbn_call *call = &model->calls[c];
        if (call->layer < 0) continue; /* an InputLayer written out: value 0 */
        int in[CNNBN_INPUTS_MAX];
        cnnbn_shape shapes[CNNBN_INPUTS_MAX];
        for (int k = 0; k < call->n_inputs; k++) {
            in[k] = value_of[call->inputs[k]];
            shapes[k] = model->calls[call->inputs[k]].shape;
        }
        b->layer = call->layer;
        const cnnbn_layer *layer = &model->layers[call->layer];
        value_of[c] = layer->type->lower(layer, &b->base, call->n_inputs, in, shapes, call->shape);
        if (b->status == CNNBN_OK && value_of[c] < 0)
            b->status = cnnbn_error(CNNBN_ERR_INTERNAL, "layer %s: no operation of it", layer->name);
    }
    b->graph->output = value_of[model->output];
    return b->status;
}

/* y = gamma (w x + b - mean) / sqrt(variance + epsilon) + beta is again a convolution of x, as long as nobody else sees
 * w x + b. */
static void fold(cnnbn__onnx_graph *graph)
{
    for (int i = 0; i < graph->n; i++) {
        cnnbn__onnx_op *bn = &graph->ops[i];
        if (bn->kind != CNNBN__ONNX_BATCHNORM) continue;
        cnnbn__onnx_op *before = &graph->ops[bn->in[0]];
        int fits = before->kind == CNNBN__ONNX_CONV || (before->kind == CNNBN__ONNX_DENSE && before->shape.rank == 1);
        if (!fits || before->n_uses != 1 || before->folded >= 0 || bn->in[0] == graph->output) continue;
        before->folded = i;
        bn->gone = 1;
    }
}

cnnbn_status cnnbn__onnx_graph_build(const cnnbn_model *model, int fold_bn, cnnbn__onnx_graph *graph)
{
    void *block;
    *graph = (cnnbn__onnx_graph){.model = model};
    CNNBN_TRY(check_operations());
    CNNBN_TRY(cnnbn_alloc_array((size_t)model->n_calls, sizeof(int), "values of calls", &block));
    onnx_builder b = {{&builder_ops, model}, graph, -1, CNNBN_OK};
    cnnbn_status status = lower(&b, block);
    cnnbn_free(block);
    if (status == CNNBN_OK && fold_bn) fold(graph);
    if (status != CNNBN_OK) cnnbn__onnx_graph_release(graph);
    return status;
}

void cnnbn__onnx_graph_release(cnnbn__onnx_graph *graph)
{
    for (int i = 0; i < graph->n; i++) {
        cnnbn_free(graph->ops[i].in);
        cnnbn_free(graph->ops[i].scale);
    }
    cnnbn_free(graph->ops);
    *graph = (cnnbn__onnx_graph){0};
}

int cnnbn__onnx_graph_value(const cnnbn__onnx_graph *graph, int value)
{
    return graph->ops[value].gone ? graph->ops[value].in[0] : value;
}
