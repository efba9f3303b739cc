/* Operations to instructions. The backward pass is the reverse walk over the operations; a value used several times gets the
 * sum of its contributions, added in the fixed order of that walk. */
#include <string.h>

#include "cnnbn/memory.h"
#include "ir.h"
#include "plain.h"

typedef struct emitter {
    cnnbn_net *net;
    program *prog;
    int *fwd;         /* [graph values] the program's value */
    int *grad;        /* [graph values] its gradient so far, or -1 */
    char *need;       /* [graph values] some weight upstream is trained */
    char *pre_done;   /* [graph values] the gradient has the producer's activation in it already */
    char *stats_done; /* [bns] sums are taken by the convolution that makes x */
    cnnbn_status status;
} emitter;

static int new_value(emitter *e, cnnbn_shape shape, int view_of)
{
    program *prog = e->prog;
    if (prog->n_values == prog->values_cap) {
        int wanted = prog->values_cap ? 2 * prog->values_cap : 128;
        void *bigger;
        cnnbn_status status = cnnbn_alloc_array((size_t)wanted, sizeof(value), "values of a program", &bigger);
        if (status != CNNBN_OK) {
            e->status = status;
            return 0;
        }
        if (prog->n_values) memcpy(bigger, prog->values, (size_t)prog->n_values * sizeof(value));
        cnnbn_free(prog->values);
        prog->values = bigger;
        prog->values_cap = wanted;
    }
    value *v = &prog->values[prog->n_values];
    memset(v, 0, sizeof *v);
    v->shape = shape;
    v->count = cnnbn_shape_count(shape);
    v->producer = -1;
    v->view_of = view_of;
    return prog->n_values++;
}

static instr *emit(emitter *e, instr_kind kind, int op_index, int n_in, const int *in, int out)
{
    static instr spare;
    program *prog = e->prog;
    void *inputs;
    cnnbn_status status =
        cnnbn_alloc_array((size_t)(n_in ? n_in : 1), sizeof(int), "inputs of an instruction", &inputs);
    if (status == CNNBN_OK && prog->n_instrs == prog->instrs_cap) {
        int wanted = prog->instrs_cap ? 2 * prog->instrs_cap : 128;
        void *bigger;
        status = cnnbn_alloc_array((size_t)wanted, sizeof(instr), "instructions of a program", &bigger);
        if (status == CNNBN_OK) {
            if (prog->n_instrs) memcpy(bigger, prog->instrs, (size_t)prog->n_instrs * sizeof(instr));
            cnnbn_free(prog->instrs);
            prog->instrs = bigger;
            prog->instrs_cap = wanted;
        } else {
            cnnbn_free(inputs);
        }
    }
    if (status != CNNBN_OK) {
        e->status = status;
        return &spare;
    }
    instr *i = &prog->instrs[prog->n_instrs++];
    memset(i, 0, sizeof *i);
    i->kind = kind;
    i->op = op_index;
    i->n_in = n_in;
    i->in = inputs;
    for (int k = 0; k < n_in; k++) i->in[k] = in[k];
    i->out = out;
    i->stats_bn = i->bn = i->sums_bn = i->behind_bn = -1;
    return i;
}

/* Batch norm whose sums the operation's epilogue takes: the first that reads its output. */
static int stats_for(const cnnbn_net *net, int v)
{
    for (int i = 0; i < net->n_ops; i++) {
        const op *o = &net->ops[i];
        if (!o->dead && o->kind == OP_BN && o->in[0] == v && !net->bns[o->bn].frozen) return o->bn;
    }
    return -1;
}

static void emit_forward_bn(emitter *e, int index)
{
    const op *o = &e->net->ops[index];
    const bn_state *bn = &e->net->bns[o->bn];
    int x = e->fwd[o->in[0]];
    if (e->prog->training && !bn->frozen && !e->stats_done[o->bn]) {
        instr *stats = emit(e, I_BN_STATS, index, 1, &x, -1);
        stats->stats_bn = o->bn;
    }
    if (bn->is_prologue) {
        e->fwd[o->out] = x;
        return;
    }
    int in[2] = {x, o->add >= 0 ? e->fwd[o->add] : -1};
    e->fwd[o->out] = new_value(e, e->net->graph_values[o->out].shape, -1);
    (void)emit(e, I_BN_APPLY, index, o->add >= 0 ? 2 : 1, in, e->fwd[o->out]);
}

static void emit_forward(emitter *e, int index)
{
    static const instr_kind kinds[] = {
        [OP_INPUT] = I_INPUT,   [OP_CONV] = I_CONV_FWD,   [OP_DENSE] = I_DENSE_FWD,     [OP_BN] = I_BN_APPLY,
        [OP_ACT] = I_ACT_FWD,   [OP_SOFTMAX] = I_SOFTMAX, [OP_MAXPOOL] = I_MAXPOOL_FWD, [OP_AVGPOOL] = I_AVGPOOL_FWD,
        [OP_GAP] = I_GAP_FWD,   [OP_DROPOUT] = I_DROPOUT, [OP_RESHAPE] = I_KIND_COUNT,  [OP_ADD] = I_SUM,
        [OP_CONCAT] = I_CONCAT, [OP_PLAIN] = I_PLAIN_FWD,
    };
    cnnbn_net *net = e->net;
    const op *o = &net->ops[index];
    cnnbn_shape shape = net->graph_values[o->out].shape;
    int in[CNNBN_INPUTS_MAX];
    for (int k = 0; k < o->n_in; k++) in[k] = e->fwd[o->in[k]];
    if (o->kind == OP_RESHAPE) {
        e->fwd[o->out] = new_value(e, shape, in[0]);
        return;
    }
    if (o->kind == OP_BN) {
        emit_forward_bn(e, index);
        return;
    }
    if (cnnbn__op_is_training_only(o) && !e->prog->training) { /* active in training only */
        e->fwd[o->out] = in[0];
        return;
    }
    if (o->out == net->output_value && o->in[0] == net->loss_value && e->prog->training && !net->metrics_want_output)
        return;                             /* part of the loss */
    if (o->kind == OP_ADD && o->n_in > 2) { /* ((a + b) + c) + ... */
        int sum = in[0];
        for (int k = 1; k < o->n_in; k++) {
            int pair[2] = {sum, in[k]};
            sum = new_value(e, shape, -1);
            (void)emit(e, I_SUM, index, 2, pair, sum);
        }
        e->fwd[o->out] = sum;
        return;
    }
    e->fwd[o->out] = new_value(e, shape, -1);
    instr *i = emit(e, kinds[o->kind], index, o->n_in, in, e->fwd[o->out]);
    if (o->kind == OP_CONV && e->prog->training && !net->config.no_fusion) {
        i->stats_bn = stats_for(net, o->out);
        if (i->stats_bn >= 0) e->stats_done[i->stats_bn] = 1;
    }
}

/* ---------------------------------------------------------------- backward */

static void contribute(emitter *e, int v, int gradient)
{
    if (!e->need[v]) return;
    if (e->grad[v] < 0) {
        e->grad[v] = gradient;
        return;
    }
    int pair[2] = {e->grad[v], gradient};
    int sum = new_value(e, e->net->graph_values[v].shape, -1);
    (void)emit(e, I_SUM, -1, 2, pair, sum);
    e->grad[v] = sum;
}

static int trained(const cnnbn_net *net, int param)
{
    return param >= 0 && net->model->params[param].trainable;
}

static int op_is_trained(const cnnbn_net *net, const op *o)
{
    if (o->kind == OP_BN) return trained(net, net->bns[o->bn].gamma) || trained(net, net->bns[o->bn].beta);
    return trained(net, o->kernel) || trained(net, o->bias);
}

/* Gradient in front of the fused activation of a convolution or dense layer. */
static int through_activation(emitter *e, int index, int gradient)
{
    const op *o = &e->net->ops[index];
    if (cnnbn__is_linear(o->act) || e->pre_done[o->out]) return gradient;
    int in[2] = {gradient, e->fwd[o->out]};
    int dy = new_value(e, e->net->graph_values[o->out].shape, -1);
    (void)emit(e, I_ACT_BWD, index, 2, in, dy);
    return dy;
}

static void backward_product(emitter *e, int index, int gradient)
{
    cnnbn_net *net = e->net;
    const op *o = &net->ops[index];
    int x = o->in[0], dy = through_activation(e, index, gradient);
    int in[2] = {e->fwd[x], dy};
    int wants_weights = op_is_trained(net, o), wants_data = e->need[x];
    int dx = wants_data ? new_value(e, net->graph_values[x].shape, -1) : -1;
    if (o->kind == OP_CONV) {
        if (wants_weights || wants_data) (void)emit(e, I_CONV_BWD, index, 2, in, dx);
    } else {
        if (wants_data) (void)emit(e, I_DENSE_BWD_DATA, index, 1, &dy, dx);
        if (wants_weights) emit(e, I_DENSE_BWD_WEIGHTS, index, 2, in, -1)->solo = 1;
    }
    if (wants_data) contribute(e, x, dx);
}

static void backward_bn(emitter *e, int index, int gradient)
{
    cnnbn_net *net = e->net;
    const op *o = &net->ops[index];
    const bn_state *bn = &net->bns[o->bn];
    int x = o->in[0], dz = gradient;
    if (o->add >= 0) {
        if (!cnnbn__is_linear(o->act)) {
            int in[2] = {gradient, e->fwd[o->out]};
            dz = new_value(e, net->graph_values[o->out].shape, -1);
            (void)emit(e, I_ACT_BWD, index, 2, in, dz);
        }
        contribute(e, o->add, dz);
    }
    int in[2] = {dz, e->fwd[x]};
    if (!bn->frozen) emit(e, I_BN_BWD_SUMS, index, 2, in, -1)->bn = o->bn;
    if (!e->need[x]) return;
    int dx = new_value(e, net->graph_values[x].shape, -1);
    instr *apply = emit(e, I_BN_BWD_APPLY, index, 2, in, dx);
    apply->bn = o->bn;
    const op *maker = &net->ops[net->graph_values[x].producer];
    if ((maker->kind == OP_CONV || maker->kind == OP_DENSE) && net->graph_values[x].n_uses == 1 &&
        !cnnbn__is_linear(maker->act)) {
        apply->pre = maker->act;
        e->pre_done[x] = 1;
    }
    contribute(e, x, dx);
}

static void backward_concat(emitter *e, int index, int gradient)
{
    const op *o = &e->net->ops[index];
    int first = 0;
    for (int k = 0; k < o->n_in; k++) {
        cnnbn_shape shape = e->net->graph_values[o->in[k]].shape;
        int channels = shape.dim[shape.rank - 1];
        if (e->need[o->in[k]]) {
            int dx = new_value(e, shape, -1);
            emit(e, I_UNCONCAT, index, 1, &gradient, dx)->first_channel = first;
            contribute(e, o->in[k], dx);
        }
        first += channels;
    }
}

static void backward_simple(emitter *e, int index, int gradient)
{
    cnnbn_net *net = e->net;
    const op *o = &net->ops[index];
    int x = o->in[0];
    int dx = new_value(e, net->graph_values[x].shape, o->kind == OP_RESHAPE ? gradient : -1);
    int in[3] = {gradient, -1, -1};
    switch (o->kind) {
    case OP_ACT:
        in[1] = cnnbn_act_from_output(o->act) ? e->fwd[o->out] : e->fwd[x];
        (void)emit(e, I_ACT_BWD, index, 2, in, dx);
        break;
    case OP_SOFTMAX:
        in[1] = e->fwd[o->out];
        (void)emit(e, I_SOFTMAX_BWD, index, 2, in, dx);
        break;
    case OP_MAXPOOL:
        in[1] = e->fwd[x];
        in[2] = e->fwd[o->out];
        (void)emit(e, I_MAXPOOL_BWD, index, 3, in, dx);
        break;
    case OP_AVGPOOL:
        (void)emit(e, I_AVGPOOL_BWD, index, 1, in, dx);
        break;
    case OP_GAP:
        (void)emit(e, I_GAP_BWD, index, 1, in, dx);
        break;
    case OP_DROPOUT:
        (void)emit(e, I_DROPOUT, index, 1, in, dx);
        break;
    default:
        break; /* RESHAPE: the view is all there is */
    }
    contribute(e, x, dx);
}

static void backward_plain(emitter *e, int index, int gradient)
{
    cnnbn_net *net = e->net;
    const op *o = &net->ops[index];
    const plain_type *type = &cnnbn__plain_types[o->plain.kind];
    for (int which = 0; which < o->n_in; which++) {
        int wants_data = e->need[o->in[which]], wants_weights = which == 0 && op_is_trained(net, o);
        if (!wants_data && !wants_weights) continue;
        if (!type->backward) {
            contribute(e, o->in[which], gradient);
            continue;
        }
        int in[4] = {gradient}, n_in = 1;
        for (int k = 0; k < o->n_in && type->keeps_x; k++) in[n_in++] = e->fwd[o->in[k]];
        int dx = wants_data ? new_value(e, net->graph_values[o->in[which]].shape, -1) : -1;
        emit(e, I_PLAIN_BWD, index, n_in, in, dx)->which = which;
        if (wants_data) contribute(e, o->in[which], dx);
    }
}

static void backward(emitter *e, int index)
{
    const op *o = &e->net->ops[index];
    int gradient = e->grad[o->out];
    if (o->dead || gradient < 0 || o->kind == OP_INPUT || !e->need[o->out]) return;
    switch (o->kind) {
    case OP_CONV:
    case OP_DENSE:
        backward_product(e, index, gradient);
        break;
    case OP_BN:
        backward_bn(e, index, gradient);
        break;
    case OP_CONCAT:
        backward_concat(e, index, gradient);
        break;
    case OP_PLAIN:
        backward_plain(e, index, gradient);
        break;
    case OP_ADD:
        for (int k = 0; k < o->n_in; k++) contribute(e, o->in[k], gradient);
        break;
    default:
        if (e->need[o->in[0]]) backward_simple(e, index, gradient);
        break;
    }
}

static void find_needs(emitter *e)
{
    cnnbn_net *net = e->net;
    for (int i = 0; i < net->n_ops; i++) {
        const op *o = &net->ops[i];
        if (o->dead) continue;
        int need = op_is_trained(net, o);
        for (int k = 0; k < o->n_in; k++) need |= e->need[o->in[k]];
        if (o->add >= 0) need |= e->need[o->add];
        e->need[o->out] = (char)need;
    }
}

static void emit_loss(emitter *e)
{
    cnnbn_net *net = e->net;
    program *prog = e->prog;
    int in[2] = {e->fwd[net->loss_value], e->fwd[net->output_value]};
    int dx = prog->training ? new_value(e, net->graph_values[net->loss_value].shape, -1) : -1;
    (void)emit(e, I_LOSS, -1, net->metrics_want_output ? 2 : 1, in, dx);
    if (prog->training)
        e->grad[net->loss_value] = dx;
    else
        prog->output = e->fwd[net->output_value];
}

int cnnbn__value_root(const program *prog, int v)
{
    while (prog->values[v].view_of >= 0) v = prog->values[v].view_of;
    return v;
}

cnnbn_status cnnbn__net_emit(cnnbn_net *net, program *prog, int training)
{
    emitter e = {net, prog, NULL, NULL, NULL, NULL, NULL, CNNBN_OK};
    size_t n = (size_t)net->n_graph_values, n_bns = (size_t)net->n_bns;
    void *memory;
    CNNBN_TRY(cnnbn_alloc(2 * n * sizeof(int) + 2 * n + n_bns, "tables of the compiler", &memory));
    e.fwd = memory;
    e.grad = e.fwd + n;
    e.need = (char *)(e.grad + n);
    e.pre_done = e.need + n;
    e.stats_done = e.pre_done + n;
    for (size_t v = 0; v < n; v++) e.fwd[v] = e.grad[v] = -1;
    prog->training = training;
    for (int i = 0; i < net->n_ops && e.status == CNNBN_OK; i++)
        if (!net->ops[i].dead) emit_forward(&e, i);
    if (e.status == CNNBN_OK) emit_loss(&e);
    if (training && e.status == CNNBN_OK) {
        find_needs(&e);
        if (!e.need[net->loss_value])
            e.status = cnnbn_error(CNNBN_ERR_MODEL, "nothing to train: no layer of the model has trainable weights");
        for (int i = net->n_ops - 1; i >= 0 && e.status == CNNBN_OK; i--) backward(&e, i);
    }
    cnnbn_free(memory);
    return e.status;
}
