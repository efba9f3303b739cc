/* Layers to operations: the builder that the layers' lowering speaks to. */
#include <string.h>

#include "cnnbn/memory.h"
#include "builder.h"

int cnnbn__is_linear(cnnbn_activation act)
{
    return act.kind == CNNBN_ACT_LINEAR;
}

/* Grows an array of elements to hold one more; the count is the caller's. */
static cnnbn_status grow(void **array, int count, int *capacity, size_t elem_bytes, const char *what)
{
    if (count < *capacity) return CNNBN_OK;
    int wanted = *capacity ? 2 * *capacity : 64;
    void *bigger;
    CNNBN_TRY(cnnbn_alloc_array((size_t)wanted, elem_bytes, what, &bigger));
    if (count) memcpy(bigger, *array, (size_t)count * elem_bytes);
    cnnbn_free(*array);
    *array = bigger;
    *capacity = wanted;
    return CNNBN_OK;
}

/* A failure keeps the builder going with value 0; the first one is reported at the end. */
int cnnbn__builder_failed(net_builder *b, cnnbn_status status)
{
    if (b->status == CNNBN_OK) b->status = status;
    return 0;
}

static int new_value(net_builder *b, cnnbn_shape shape, int producer)
{
    cnnbn_net *net = b->net;
    void *values = net->graph_values;
    cnnbn_status status =
        grow(&values, net->n_graph_values, &net->graph_values_cap, sizeof(value), "values of the net");
    net->graph_values = values;
    if (status != CNNBN_OK) return cnnbn__builder_failed(b, status);
    value *v = &net->graph_values[net->n_graph_values];
    memset(v, 0, sizeof *v);
    v->shape = shape;
    v->count = cnnbn_shape_count(shape);
    v->producer = producer;
    v->view_of = -1;
    return net->n_graph_values++;
}

op *cnnbn__builder_op(net_builder *b, op_kind kind, int n_in, const int *in, cnnbn_shape out_shape)
{
    static op spare; /* where a failed builder writes */
    cnnbn_net *net = b->net;
    void *ops = net->ops;
    cnnbn_status status = grow(&ops, net->n_ops, &net->ops_cap, sizeof(op), "operations of the net");
    net->ops = ops;
    void *inputs = NULL;
    if (status == CNNBN_OK)
        status = cnnbn_alloc_array((size_t)(n_in ? n_in : 1), sizeof(int), "inputs of an operation", &inputs);
    if (status != CNNBN_OK) {
        (void)cnnbn__builder_failed(b, status);
        return &spare;
    }
    op *o = &net->ops[net->n_ops];
    memset(o, 0, sizeof *o);
    o->kind = kind;
    o->layer = b->layer;
    o->n_in = n_in;
    o->in = inputs;
    for (int i = 0; i < n_in; i++) {
        o->in[i] = in[i];
        net->graph_values[in[i]].n_uses++;
    }
    o->kernel = o->bias = o->prologue = o->bn = o->add = -1;
    o->conv_plan = o->dense_plan = -1;
    o->out = new_value(b, out_shape, net->n_ops);
    net->n_ops++;
    return o;
}

cnnbn_shape cnnbn__shape_hwc(int h, int w, int c)
{
    return (cnnbn_shape){3, {h, w, c}};
}

/* Height, width and channels of any value: a length-1 or feature axis stands for the missing ones. */
static void extents(cnnbn_shape shape, int *h, int *w, int *c)
{
    *h = shape.rank == 3 ? shape.dim[0] : 1;
    *w = shape.rank == 3 ? shape.dim[1] : shape.rank == 2 ? shape.dim[0] : 1;
    *c = shape.dim[shape.rank - 1];
}

cnnbn_shape cnnbn__builder_shape(net_builder *b, int v)
{
    return b->net->graph_values[v].shape;
}

void cnnbn__builder_window(op *o, const cnnbn_window *win, cnnbn_shape in, int filters, int groups)
{
    cnnbn_conv_geom *g = &o->conv;
    extents(in, &g->H, &g->W, &g->C);
    g->K = filters;
    g->R = win->R;
    g->S = win->S;
    g->P = win->P;
    g->Q = win->Q;
    g->stride_h = win->stride_h;
    g->stride_w = win->stride_w;
    g->pad_top = win->pad_top;
    g->pad_left = win->pad_left;
    g->dil_h = win->dil_h;
    g->dil_w = win->dil_w;
    g->groups = groups;
}

/* A window over (length, channels) has one row. */
static cnnbn_shape window_shape(cnnbn_shape in, const cnnbn_window *win, int channels)
{
    if (in.rank == 2) return (cnnbn_shape){2, {win->Q, channels, 0}};
    return cnnbn__shape_hwc(win->P, win->Q, channels);
}

static int build_conv2d(cnnbn_builder *base, int x, const cnnbn_window *win, int filters, int groups, int kernel,
                        int bias)
{
    net_builder *b = cnnbn__builder_self(base);
    cnnbn_shape in = cnnbn__builder_shape(b, x);
    op *o = cnnbn__builder_op(b, OP_CONV, 1, &x, window_shape(in, win, filters));
    cnnbn__builder_window(o, win, in, filters, groups);
    o->kernel = kernel;
    o->bias = bias;
    return o->out;
}

static int build_dense(cnnbn_builder *base, int x, int units, int kernel, int bias)
{
    op *o = cnnbn__builder_op(cnnbn__builder_self(base), OP_DENSE, 1, &x, (cnnbn_shape){1, {units}});
    o->kernel = kernel;
    o->bias = bias;
    return o->out;
}

static int build_batchnorm(cnnbn_builder *base, int x, int gamma, int beta, int moving_mean, int moving_variance,
                           double momentum, double epsilon, int frozen, int unbiased)
{
    net_builder *b = cnnbn__builder_self(base);
    cnnbn_net *net = b->net;
    cnnbn_shape shape = cnnbn__builder_shape(b, x);
    op *o = cnnbn__builder_op(b, OP_BN, 1, &x, shape);
    void *bns = net->bns;
    cnnbn_status status = grow(&bns, net->n_bns, &net->bns_cap, sizeof(bn_state), "batch norms of the net");
    net->bns = bns;
    if (status != CNNBN_OK) return cnnbn__builder_failed(b, status);
    bn_state *bn = &net->bns[net->n_bns];
    memset(bn, 0, sizeof *bn);
    bn->op = net->n_ops - 1;
    bn->layer = b->layer;
    bn->C = shape.dim[shape.rank - 1];
    bn->positions = (int)(cnnbn_shape_count(shape) / (size_t)bn->C);
    bn->gamma = gamma;
    bn->beta = beta;
    bn->moving_mean = moving_mean;
    bn->moving_variance = moving_variance;
    bn->momentum = momentum;
    bn->epsilon = epsilon;
    bn->frozen = frozen;
    bn->unbiased = unbiased;
    bn->stats_level = bn->sums_level = -1;
    o->bn = net->n_bns++;
    return o->out;
}

static int build_activation(cnnbn_builder *base, int x, cnnbn_activation act)
{
    net_builder *b = cnnbn__builder_self(base);
    if (cnnbn__is_linear(act)) return x;
    op *o = cnnbn__builder_op(b, OP_ACT, 1, &x, cnnbn__builder_shape(b, x));
    o->act = act;
    return o->out;
}

static int build_softmax(cnnbn_builder *base, int x)
{
    net_builder *b = cnnbn__builder_self(base);
    return cnnbn__builder_op(b, OP_SOFTMAX, 1, &x, cnnbn__builder_shape(b, x))->out;
}

static int build_pool(net_builder *b, op_kind kind, int x, const cnnbn_window *win)
{
    cnnbn_shape in = cnnbn__builder_shape(b, x);
    int channels = in.dim[in.rank - 1];
    op *o = cnnbn__builder_op(b, kind, 1, &x, window_shape(in, win, channels));
    cnnbn__builder_window(o, win, in, channels, 1);
    return o->out;
}

static int build_maxpool(cnnbn_builder *base, int x, const cnnbn_window *win)
{
    return build_pool(cnnbn__builder_self(base), OP_MAXPOOL, x, win);
}

static int build_avgpool(cnnbn_builder *base, int x, const cnnbn_window *win)
{
    return build_pool(cnnbn__builder_self(base), OP_AVGPOOL, x, win);
}

static int build_global_avgpool(cnnbn_builder *base, int x, int keepdims)
{
    net_builder *b = cnnbn__builder_self(base);
    cnnbn_shape in = cnnbn__builder_shape(b, x);
    int h, w, c;
    extents(in, &h, &w, &c);
    op *o = cnnbn__builder_op(b, OP_GAP, 1, &x, keepdims ? cnnbn__shape_hwc(1, 1, c) : (cnnbn_shape){1, {c}});
    o->conv.H = h;
    o->conv.W = w;
    o->conv.C = c;
    return o->out;
}

static int build_dropout(cnnbn_builder *base, int x, double rate)
{
    net_builder *b = cnnbn__builder_self(base);
    if (rate <= 0) return x;
    op *o = cnnbn__builder_op(b, OP_DROPOUT, 1, &x, cnnbn__builder_shape(b, x));
    o->rate = (float)rate;
    for (int i = 0; i < b->net->n_ops - 1; i++)
        o->use += b->net->ops[i].kind == OP_DROPOUT && b->net->ops[i].layer == o->layer;
    return o->out;
}

static int build_reshape(cnnbn_builder *base, int x, cnnbn_shape shape)
{
    return cnnbn__builder_op(cnnbn__builder_self(base), OP_RESHAPE, 1, &x, shape)->out;
}

static int build_add(cnnbn_builder *base, int n, const int *x)
{
    net_builder *b = cnnbn__builder_self(base);
    return n == 1 ? x[0] : cnnbn__builder_op(b, OP_ADD, n, x, cnnbn__builder_shape(b, x[0]))->out;
}

static int build_concat(cnnbn_builder *base, int n, const int *x)
{
    net_builder *b = cnnbn__builder_self(base);
    if (n == 1) return x[0];
    cnnbn_shape shape = cnnbn__builder_shape(b, x[0]);
    int channels = 0;
    for (int i = 0; i < n; i++) {
        cnnbn_shape s = cnnbn__builder_shape(b, x[i]);
        channels += s.dim[s.rank - 1];
    }
    shape.dim[shape.rank - 1] = channels;
    return cnnbn__builder_op(b, OP_CONCAT, n, x, shape)->out;
}

static const cnnbn_builder_ops builder_ops = {
    .conv2d = build_conv2d,
    .conv2d_transpose = cnnbn__build_conv2d_transpose,
    .dense = build_dense,
    .batchnorm = build_batchnorm,
    .activation = build_activation,
    .softmax = build_softmax,
    .maxpool = build_maxpool,
    .avgpool = build_avgpool,
    .global_avgpool = build_global_avgpool,
    .dropout = build_dropout,
    .reshape = build_reshape,
    .add = build_add,
    .concat = build_concat,
    .pad = cnnbn__build_pad,
    .upsample = cnnbn__build_upsample,
    .upsample_bilinear = cnnbn__build_upsample_bilinear,
    .transpose = cnnbn__build_transpose,
    .affine = cnnbn__build_affine,
    .multiply = cnnbn__build_multiply,
    .maximum = cnnbn__build_maximum,
    .prelu = cnnbn__build_prelu,
    .normalize = cnnbn__build_normalize,
    .unit_normalize = cnnbn__build_unit_normalize,
    .shared_dropout = cnnbn__build_shared_dropout,
    .noise = cnnbn__build_noise,
    .random_flip = cnnbn__build_random_flip,
    .random_map = cnnbn__build_random_map,
    .random_contrast = cnnbn__build_random_contrast,
    .random_crop = cnnbn__build_random_crop,
};

cnnbn_status cnnbn__net_build(cnnbn_net *net)
{
    const cnnbn_model *model = net->model;
    net_builder b = {{&builder_ops, model}, net, -1, CNNBN_OK};
    void *memory;
    CNNBN_TRY(cnnbn_alloc_array((size_t)model->n_calls, sizeof(int), "values of calls", &memory));
    int *value_of = memory;
    value_of[0] = cnnbn__builder_op(&b, OP_INPUT, 0, NULL, model->calls[0].shape)->out;
    for (int i = 1; i < model->n_calls && b.status == CNNBN_OK; i++) {
        const cnnbn_call *call = &model->calls[i];
        if (call->layer < 0) { /* an InputLayer written out: the input itself */
            value_of[i] = value_of[0];
            continue;
        }
        const cnnbn_layer *layer = &model->layers[call->layer];
        int in[CNNBN_INPUTS_MAX];
        cnnbn_shape shapes[CNNBN_INPUTS_MAX];
        for (int k = 0; k < call->n_inputs; k++) {
            in[k] = value_of[call->inputs[k]];
            shapes[k] = model->calls[call->inputs[k]].shape;
        }
        b.layer = call->layer;
        value_of[i] = layer->type->lower(layer, &b.base, call->n_inputs, in, shapes, call->shape);
        if (b.status == CNNBN_OK && net->graph_values[value_of[i]].count != cnnbn_shape_count(call->shape))
            b.status = cnnbn_error(CNNBN_ERR_INTERNAL, "layer %s: lowering gives %zu values, the shape rule %zu",
                                   layer->name, net->graph_values[value_of[i]].count, cnnbn_shape_count(call->shape));
    }
    net->output_value = value_of[model->output];
    cnnbn_free(memory);
    CNNBN_TRY(b.status);
    net->graph_values[net->output_value].n_uses++; /* the world */
    return CNNBN_OK;
}
