/* Operations as ONNX nodes. ONNX' convolutions want the channels first; a value is transposed where that changes, and keeps both
 * names from then on, so that a chain of convolutions is transposed once at each end. */
#include <math.h>
#include <string.h>

#include "onnx_internal.h"

static const char *const kind_names[] = {
    "input",   "conv",     "dense",   "batchnorm", "activation",     "softmax", "maxpool",  "avgpool",
    "average", "reshape",  "add",     "concat",    "conv_transpose", "pad",     "upsample", "transpose",
    "affine",  "multiply", "maximum", "prelu",     "normalize",      "unit"};

char *cnnbn__onnx_name(cnnbn__onnx_file *f, int op, const char *part)
{
    const cnnbn__onnx_op *o = &f->graph->ops[op];
    const char *layer = o->layer < 0 ? f->graph->model->input_name : f->graph->model->layers[o->layer].name;
    return cnnbn__onnx_text(f, "%s/%s_%d%s%s", layer, kind_names[o->kind], op, part[0] ? "/" : "", part);
}

static int is_ranked(const cnnbn__onnx_file *f, int op)
{
    return f->graph->ops[op].shape.rank > 1; /* else there is one order only */
}

static char **slot(cnnbn__onnx_file *f, int op, int first)
{
    return &f->names[2 * op + (first && is_ranked(f, op))];
}

char *cnnbn__onnx_result(cnnbn__onnx_file *f, int op, int first)
{
    int plain = !first || !is_ranked(f, op);
    char *name = op == f->graph->output && plain ? f->output : cnnbn__onnx_name(f, op, "");
    return *slot(f, op, first) = name;
}

char *cnnbn__onnx_value(cnnbn__onnx_file *f, int value, int first)
{
    static const int64_t to_first[3][4] = {{0, 1}, {0, 2, 1}, {0, 3, 1, 2}},
                         to_last[3][4] = {{0, 1}, {0, 2, 1}, {0, 2, 3, 1}};
    value = cnnbn__onnx_graph_value(f->graph, value);
    char **wanted = slot(f, value, first);
    if (*wanted) return *wanted;
    char *other = *slot(f, value, !first);
    int rank = f->graph->ops[value].shape.rank;
    *wanted = value == f->graph->output && !first
                  ? f->output
                  : cnnbn__onnx_name(f, value, first ? "channels_first" : "channels_last");
    Onnx__NodeProto *node = cnnbn__onnx_node(f, "Transpose", *wanted, 1, &other);
    cnnbn__onnx_ints(f, node, "perm", rank + 1, first ? to_first[rank - 1] : to_last[rank - 1]);
    return *wanted;
}

int cnnbn__onnx_order(cnnbn__onnx_file *f, int value)
{
    value = cnnbn__onnx_graph_value(f->graph, value);
    return is_ranked(f, value) && *slot(f, value, 1) != NULL;
}

/* ---------------------------------------------------------------- weights */

static char *param_of_shape(cnnbn__onnx_file *f, int param, int rank, const int64_t *dim)
{
    const cnnbn_param *p = &f->graph->model->params[param];
    if (!f->shared[param])
        f->shared[param] =
            cnnbn__onnx_floats(f, cnnbn__onnx_text(f, "%s/%s", f->graph->model->layers[p->layer].name, p->name), rank,
                               dim, f->params[param]);
    return f->shared[param];
}

char *cnnbn__onnx_param(cnnbn__onnx_file *f, int param)
{
    const cnnbn_param *p = &f->graph->model->params[param];
    int64_t dim[4];
    for (int d = 0; d < p->rank && d < 4; d++) dim[d] = p->dim[d];
    return param_of_shape(f, param, p->rank, dim);
}

static char *vector(cnnbn__onnx_file *f, int op, int param, const char *missing, float value)
{
    const cnnbn_shape shape = f->graph->ops[op].shape;
    const int64_t n = shape.dim[shape.rank - 1];
    if (param >= 0)
        return param_of_shape(f, param, 1, &n); /* Normalization may have one value, or one for each of an image */
    float *data = cnnbn__onnx_grab(f, (size_t)n * sizeof(float));
    for (int64_t i = 0; data && i < n; i++) data[i] = value;
    return data ? cnnbn__onnx_floats(f, cnnbn__onnx_name(f, op, missing), 1, &n, data) : NULL;
}

/* Factor of each filter by the batch norm that is folded in. */
static double fold_scale(const cnnbn__onnx_file *f, const cnnbn__onnx_op *o, int k)
{
    if (o->folded < 0) return 1;
    const cnnbn__onnx_op *bn = &f->graph->ops[o->folded];
    double gamma = bn->gamma < 0 ? 1 : (double)f->params[bn->gamma][k];
    return gamma / sqrt((double)f->params[bn->moving_variance][k] + bn->epsilon);
}

/* (rows, K) -> (K, rows') in ONNX' order (K, C, R, S), of a sequence (K, C, S), or as it lies for a dense layer. */
static char *kernel(cnnbn__onnx_file *f, int op, int rank, const int64_t *dim)
{
    const cnnbn__onnx_op *o = &f->graph->ops[op];
    const cnnbn_param *p = &f->graph->model->params[o->kernel];
    int own = o->folded >= 0;
    if (!own && f->shared[o->kernel]) return f->shared[o->kernel];
    size_t K = (size_t)o->filters, rows = p->count / K, C = rank > 2 ? (size_t)dim[1] : rows, window = rows / C;
    const float *w = f->params[o->kernel];
    float *to = cnnbn__onnx_grab(f, p->count * sizeof(float));
    for (size_t k = 0; to && k < K; k++) {
        double scale = fold_scale(f, o, (int)k);
        for (size_t rs = 0; rs < window; rs++)
            for (size_t c = 0; c < C; c++) {
                size_t from = (rs * C + c) * K + k;
                to[rank > 2 ? (k * C + c) * window + rs : from] = own ? (float)((double)w[from] * scale) : w[from];
            }
    }
    char *name = own ? cnnbn__onnx_name(f, op, p->name)
                     : cnnbn__onnx_text(f, "%s/%s", f->graph->model->layers[p->layer].name, p->name);
    if (!own) f->shared[o->kernel] = name;
    return to ? cnnbn__onnx_floats(f, name, rank, dim, to) : NULL;
}

/* NULL: no bias. */
static char *bias(cnnbn__onnx_file *f, int op)
{
    const cnnbn__onnx_op *o = &f->graph->ops[op];
    if (o->folded < 0) return o->bias < 0 ? NULL : vector(f, op, o->bias, "", 0);
    const cnnbn__onnx_op *bn = &f->graph->ops[o->folded];
    const int64_t n = o->filters;
    float *to = cnnbn__onnx_grab(f, (size_t)n * sizeof(float));
    for (int k = 0; to && k < o->filters; k++) {
        double b = o->bias < 0 ? 0 : (double)f->params[o->bias][k],
               beta = bn->beta < 0 ? 0 : (double)f->params[bn->beta][k];
        to[k] = (float)((b - (double)f->params[bn->moving_mean][k]) * fold_scale(f, o, k) + beta);
    }
    return to ? cnnbn__onnx_floats(f, cnnbn__onnx_name(f, op, "bias"), 1, &n, to) : NULL;
}

/* ---------------------------------------------------------------- layers */

static int64_t behind(int out, int stride, int k, int dilation, int in, int before)
{
    int64_t need = (int64_t)(out - 1) * stride + (int64_t)(k - 1) * dilation + 1 - in - before;
    return need > 0 ? need : 0;
}

/* A window over an image has rows and columns, one over a sequence only columns. */
static void window_attributes(cnnbn__onnx_file *f, Onnx__NodeProto *node, const cnnbn_window *w, cnnbn_shape in,
                              int dilations)
{
    int n = in.rank - 1, skip = 2 - n;
    int height = in.rank == 3 ? in.dim[0] : 1, width = in.dim[in.rank - 2];
    const int64_t size[2] = {w->R, w->S}, strides[2] = {w->stride_h, w->stride_w}, dilation[2] = {w->dil_h, w->dil_w},
                  before[2] = {w->pad_top, w->pad_left},
                  after[2] = {behind(w->P, w->stride_h, w->R, w->dil_h, height, w->pad_top),
                              behind(w->Q, w->stride_w, w->S, w->dil_w, width, w->pad_left)};
    int64_t pads[4];
    for (int d = 0; d < n; d++) {
        pads[d] = before[skip + d];
        pads[n + d] = after[skip + d];
    }
    cnnbn__onnx_ints(f, node, "kernel_shape", n, size + skip);
    cnnbn__onnx_ints(f, node, "strides", n, strides + skip);
    cnnbn__onnx_ints(f, node, "pads", 2 * n, pads);
    if (dilations) cnnbn__onnx_ints(f, node, "dilations", n, dilation + skip);
}

static void emit_conv(cnnbn__onnx_file *f, int op)
{
    const cnnbn__onnx_op *o = &f->graph->ops[op];
    cnnbn_shape in = f->graph->ops[o->in[0]].shape;
    const int64_t channels = in.dim[in.rank - 1] / o->groups;
    const int64_t of_image[4] = {o->filters, channels, o->window.R, o->window.S},
                  of_sequence[3] = {o->filters, channels, o->window.S};
    char *inputs[3] = {cnnbn__onnx_value(f, o->in[0], 1),
                       kernel(f, op, in.rank + 1, in.rank == 3 ? of_image : of_sequence), bias(f, op)};
    Onnx__NodeProto *node = cnnbn__onnx_node(f, "Conv", cnnbn__onnx_result(f, op, 1), inputs[2] ? 3 : 2, inputs);
    window_attributes(f, node, &o->window, in, 1);
    cnnbn__onnx_int(f, node, "group", o->groups);
}

static void emit_dense(cnnbn__onnx_file *f, int op)
{
    const cnnbn__onnx_op *o = &f->graph->ops[op];
    cnnbn_shape in = f->graph->ops[o->in[0]].shape;
    const int64_t dim[2] = {in.dim[in.rank - 1], o->filters};
    char *inputs[3] = {cnnbn__onnx_value(f, o->in[0], 0), kernel(f, op, 2, dim), bias(f, op)};
    if (o->shape.rank == 1) {
        (void)cnnbn__onnx_node(f, "Gemm", cnnbn__onnx_result(f, op, 0), inputs[2] ? 3 : 2, inputs);
        return;
    }
    char *product = inputs[2] ? cnnbn__onnx_name(f, op, "product") : cnnbn__onnx_result(f, op, 0);
    (void)cnnbn__onnx_node(f, "MatMul", product, 2, inputs);
    if (!inputs[2]) return;
    char *sum[2] = {product, inputs[2]};
    (void)cnnbn__onnx_node(f, "Add", cnnbn__onnx_result(f, op, 0), 2, sum);
}

static void emit_batchnorm(cnnbn__onnx_file *f, int op)
{
    const cnnbn__onnx_op *o = &f->graph->ops[op];
    char *inputs[5] = {cnnbn__onnx_value(f, o->in[0], 1), vector(f, op, o->gamma, "gamma", 1),
                       vector(f, op, o->beta, "beta", 0), vector(f, op, o->moving_mean, "", 0),
                       vector(f, op, o->moving_variance, "", 0)};
    Onnx__NodeProto *node = cnnbn__onnx_node(f, "BatchNormalization", cnnbn__onnx_result(f, op, 1), 5, inputs);
    cnnbn__onnx_float(f, node, "epsilon", (float)o->epsilon);
}

static void emit_pool(cnnbn__onnx_file *f, int op, const char *type)
{
    const cnnbn__onnx_op *o = &f->graph->ops[op];
    char *input = cnnbn__onnx_value(f, o->in[0], 1);
    Onnx__NodeProto *node = cnnbn__onnx_node(f, type, cnnbn__onnx_result(f, op, 1), 1, &input);
    window_attributes(f, node, &o->window, f->graph->ops[o->in[0]].shape, 0);
}

static void emit_global_avgpool(cnnbn__onnx_file *f, int op)
{
    const cnnbn__onnx_op *o = &f->graph->ops[op];
    char *input = cnnbn__onnx_value(f, o->in[0], 1);
    char *pooled = o->shape.rank == 1 ? cnnbn__onnx_name(f, op, "pooled") : cnnbn__onnx_result(f, op, 1);
    (void)cnnbn__onnx_node(f, "GlobalAveragePool", pooled, 1, &input);
    if (o->shape.rank == 1)
        cnnbn__onnx_int(f, cnnbn__onnx_node(f, "Flatten", cnnbn__onnx_result(f, op, 0), 1, &pooled), "axis", 1);
}

char *cnnbn__onnx_reshape(cnnbn__onnx_file *f, int op, char *from, int n, const int64_t *dim, char *to,
                          const char *name)
{
    int64_t all[8] = {0}; /* 0: as many as there were, the batch */
    for (int d = 0; d < n && d < 7; d++) all[1 + d] = dim[d];
    if (!to) to = cnnbn__onnx_name(f, op, name);
    char *inputs[2] = {
        from, cnnbn__onnx_shape(f, cnnbn__onnx_text(f, "%s/%s_shape", cnnbn__onnx_name(f, op, ""), name), 1 + n, all)};
    (void)cnnbn__onnx_node(f, "Reshape", to, 2, inputs);
    return to;
}

static void emit_reshape(cnnbn__onnx_file *f, int op)
{
    const cnnbn__onnx_op *o = &f->graph->ops[op];
    int64_t dim[CNNBN_RANK_MAX] = {0};
    for (int d = 0; d < o->shape.rank; d++) dim[d] = o->shape.dim[d];
    char *from = cnnbn__onnx_value(f, o->in[0], 0);
    (void)cnnbn__onnx_reshape(f, op, from, o->shape.rank, dim, cnnbn__onnx_result(f, op, 0), "to");
}

static void emit_merge(cnnbn__onnx_file *f, int op)
{
    const cnnbn__onnx_op *o = &f->graph->ops[op];
    char *inputs[CNNBN_INPUTS_MAX];
    int first = 0;
    for (int i = 0; i < o->n_in; i++) first |= cnnbn__onnx_order(f, o->in[i]);
    for (int i = 0; i < o->n_in; i++) inputs[i] = cnnbn__onnx_value(f, o->in[i], first);
    const char *type = o->kind == CNNBN__ONNX_CONCAT ? "Concat" : o->n_in == 2 ? "Add" : "Sum";
    Onnx__NodeProto *node = cnnbn__onnx_node(f, type, cnnbn__onnx_result(f, op, first), o->n_in, inputs);
    if (o->kind == CNNBN__ONNX_CONCAT) cnnbn__onnx_int(f, node, "axis", first ? 1 : o->shape.rank);
}

static void emit_softmax(cnnbn__onnx_file *f, int op)
{
    const cnnbn__onnx_op *o = &f->graph->ops[op];
    int first = cnnbn__onnx_order(f, o->in[0]);
    char *input = cnnbn__onnx_value(f, o->in[0], first);
    cnnbn__onnx_int(f, cnnbn__onnx_node(f, "Softmax", cnnbn__onnx_result(f, op, first), 1, &input), "axis",
                    first ? 1 : -1);
}

/* ---------------------------------------------------------------- activations */

char *cnnbn__onnx_step(cnnbn__onnx_file *f, int op, const char *type, char *a, char *b, const char *name)
{
    char *inputs[2] = {a, b}, *output = cnnbn__onnx_name(f, op, name);
    (void)cnnbn__onnx_node(f, type, output, b ? 2 : 1, inputs);
    return output;
}

char *cnnbn__onnx_constant(cnnbn__onnx_file *f, int op, const char *name, double value)
{
    return cnnbn__onnx_scalar(f, cnnbn__onnx_name(f, op, name), value);
}

/* x >= max: max; threshold <= x < max: x; else slope (x - threshold). */
static void emit_relu(cnnbn__onnx_file *f, int op, char *x, char *y)
{
    cnnbn_activation act = f->graph->ops[op].act;
    double max = (double)act.p0, slope = (double)act.p1, threshold = (double)act.p2;
    int capped = !isinf(max);
    char *threshold_name = cnnbn__onnx_constant(f, op, "threshold", threshold);
    char *below = cnnbn__onnx_step(f, op, "Mul", cnnbn__onnx_step(f, op, "Sub", x, threshold_name, "above"),
                                   cnnbn__onnx_constant(f, op, "slope", slope), "below");
    char *inputs[3] = {cnnbn__onnx_step(f, op, "GreaterOrEqual", x, threshold_name, "passes"), x, below};
    char *bent = capped ? cnnbn__onnx_name(f, op, "bent") : y;
    (void)cnnbn__onnx_node(f, "Where", bent, 3, inputs);
    if (!capped) return;
    char *minimum[2] = {bent, cnnbn__onnx_constant(f, op, "max", max)};
    (void)cnnbn__onnx_node(f, "Min", y, 2, minimum);
}

/* x Phi(x) by erf, or its form with tanh (Hendrycks and Gimpel 2016). */
static void emit_gelu(cnnbn__onnx_file *f, int op, char *x, char *y, int by_tanh)
{
    const double sqrt_half = 0.70710678118654752, sqrt_2_over_pi = 0.79788456080286536;
    char *inner;
    if (by_tanh) {
        char *square = cnnbn__onnx_step(f, op, "Mul", x, x, "square"),
             *cube = cnnbn__onnx_step(f, op, "Mul", square, x, "cube");
        char *small = cnnbn__onnx_step(f, op, "Mul", cube, cnnbn__onnx_constant(f, op, "c", 0.044715), "small");
        char *sum = cnnbn__onnx_step(f, op, "Add", x, small, "sum");
        inner = cnnbn__onnx_step(
            f, op, "Tanh",
            cnnbn__onnx_step(f, op, "Mul", sum, cnnbn__onnx_constant(f, op, "root", sqrt_2_over_pi), "scaled"), NULL,
            "tanh");
    } else {
        inner = cnnbn__onnx_step(
            f, op, "Erf", cnnbn__onnx_step(f, op, "Mul", x, cnnbn__onnx_constant(f, op, "root", sqrt_half), "scaled"),
            NULL, "erf");
    }
    char *phi = cnnbn__onnx_step(f, op, "Add", inner, cnnbn__onnx_constant(f, op, "one", 1), "plus_one");
    char *inputs[2] = {cnnbn__onnx_step(f, op, "Mul", x, cnnbn__onnx_constant(f, op, "half", 0.5), "half_x"), phi};
    (void)cnnbn__onnx_node(f, "Mul", y, 2, inputs);
}

static void emit_activation(cnnbn__onnx_file *f, int op)
{
    const cnnbn__onnx_op *o = &f->graph->ops[op];
    int first = cnnbn__onnx_order(f, o->in[0]);
    char *x = cnnbn__onnx_value(f, o->in[0], first), *y = cnnbn__onnx_result(f, op, first);
    char *pair[2] = {x, NULL};
    Onnx__NodeProto *node;
    switch (o->act.kind) {
    case CNNBN_ACT_RELU:
        (void)cnnbn__onnx_node(f, "Relu", y, 1, &x);
        return;
    case CNNBN_ACT_RELU_GENERAL:
        emit_relu(f, op, x, y);
        return;
    case CNNBN_ACT_LEAKY_RELU:
    case CNNBN_ACT_ELU:
        node = cnnbn__onnx_node(f, o->act.kind == CNNBN_ACT_ELU ? "Elu" : "LeakyRelu", y, 1, &x);
        cnnbn__onnx_float(f, node, "alpha", o->act.p0);
        return;
    case CNNBN_ACT_SELU:
        (void)cnnbn__onnx_node(f, "Selu", y, 1, &x);
        return;
    case CNNBN_ACT_SIGMOID:
        (void)cnnbn__onnx_node(f, "Sigmoid", y, 1, &x);
        return;
    case CNNBN_ACT_TANH:
        (void)cnnbn__onnx_node(f, "Tanh", y, 1, &x);
        return;
    case CNNBN_ACT_SOFTPLUS:
        (void)cnnbn__onnx_node(f, "Softplus", y, 1, &x);
        return;
    case CNNBN_ACT_GELU:
    case CNNBN_ACT_GELU_TANH:
        emit_gelu(f, op, x, y, o->act.kind == CNNBN_ACT_GELU_TANH);
        return;
    case CNNBN_ACT_SILU:
        pair[1] = cnnbn__onnx_step(f, op, "Sigmoid", x, NULL, "sigmoid");
        (void)cnnbn__onnx_node(f, "Mul", y, 2, pair);
        return;
    case CNNBN_ACT_HARD_SIGMOID:
        node = cnnbn__onnx_node(f, "HardSigmoid", y, 1, &x);
        cnnbn__onnx_float(f, node, "alpha", 1.0F / 6);
        cnnbn__onnx_float(f, node, "beta", 0.5F);
        return;
    case CNNBN_ACT_HARD_SILU:
        (void)cnnbn__onnx_node(f, "HardSwish", y, 1, &x);
        return;
    default:
        if (f->status == CNNBN_OK)
            f->status = cnnbn_error(CNNBN_ERR_MODEL, "layer %s: its activation cannot be written as ONNX yet",
                                    f->graph->model->layers[o->layer].name);
    }
}

void cnnbn__onnx_emit(cnnbn__onnx_file *f, int op)
{
    const cnnbn__onnx_op *o = &f->graph->ops[op];
    if (o->gone || cnnbn__onnx_emit_plain(f, op)) return;
    switch (o->kind) {
    case CNNBN__ONNX_INPUT:
        *slot(f, op, 0) = f->input;
        return;
    case CNNBN__ONNX_CONV:
        emit_conv(f, op);
        return;
    case CNNBN__ONNX_DENSE:
        emit_dense(f, op);
        return;
    case CNNBN__ONNX_BATCHNORM:
        emit_batchnorm(f, op);
        return;
    case CNNBN__ONNX_ACTIVATION:
        emit_activation(f, op);
        return;
    case CNNBN__ONNX_SOFTMAX:
        emit_softmax(f, op);
        return;
    case CNNBN__ONNX_MAXPOOL:
        emit_pool(f, op, "MaxPool");
        return;
    case CNNBN__ONNX_AVGPOOL:
        emit_pool(f, op, "AveragePool");
        return;
    case CNNBN__ONNX_GLOBAL_AVGPOOL:
        emit_global_avgpool(f, op);
        return;
    case CNNBN__ONNX_RESHAPE:
        emit_reshape(f, op);
        return;
    case CNNBN__ONNX_ADD:
    case CNNBN__ONNX_CONCAT:
        emit_merge(f, op);
        return;
    default:
        f->status = cnnbn_error(CNNBN_ERR_INTERNAL, "an operation without a form in ONNX");
    }
}
