/* Batch-norm sums that come with the gradient of the weights behind it.
 *
 * A linear layer takes x' = scale*(x - mean) + shift of a batch norm in front, and g is the gradient behind the batch norm. With
 * dw0 the gradient of the weights as if x - mean were the input,
 *
 *     sum over samples and positions of g*(x - mean) = sum over the channel's weights of w*dw0,
 *     sum of g = sum over the channel's weights of w*db,      dw = scale*dw0 + shift*db,
 *
 * since both sides of the first are the product of the same three factors, summed in another order (the adjoint identity). So the
 * sums need no pass over g, which is as large as the activations. No padding may stand between: its zeros are not x'. dw is made of
 * dw0 at the end of the step, once it is summed over all slices.
 */
#include <string.h>

#include "cnnbn/memory.h"
#include "ir.h"

enum { POSITIONS_MIN = 16 /* of a channel; below that a pass over g costs no more */ };

static int is_trained(const cnnbn_net *net, int param)
{
    return param >= 0 && net->model->params[param].trainable;
}

int cnnbn__weights_make_sums(const cnnbn_net *net, const program *prog, const instr *weights, int bn)
{
    const op *o = &net->ops[weights->op];
    const bn_state *b = &net->bns[bn];
    if (net->config.bn_local || o->prologue != bn || !cnnbn__is_linear(b->act) || !is_trained(net, o->kernel) ||
        !is_trained(net, o->bias))
        return 0; /* scale and shift are the rank's own; no dw, no db */
    if (weights->kind == I_CONV_BWD) {
        const cnnbn_conv_geom *g = &o->conv;
        int padded = g->pad_top || g->pad_left || (g->P - 1) * g->stride_h + (g->R - 1) * g->dil_h >= g->H ||
                     (g->Q - 1) * g->stride_w + (g->S - 1) * g->dil_w >= g->W;
        return prog->conv_plans[o->conv_plan].makes_bn_sums && !padded;
    }
    const cnnbn_dense_plan *dense = &prog->dense_plans[o->dense_plan];
    return dense->bn_groups > 0 && dense->F / b->C >= POSITIONS_MIN;
}

static size_t partial_floats(const cnnbn_net *net, const program *prog, const instr *in)
{
    const cnnbn_dense_plan *plan = &prog->dense_plans[net->ops[in->op].dense_plan];
    size_t rows = (size_t)net->n_slices + (size_t)plan->U;
    return ((size_t)plan->bn_groups * rows * (size_t)net->bns[in->sums_bn].C + 15) / 16 * 16;
}

/* Columns of dw as [rows][columns] that follow one channel pattern. */
static size_t columns_of(const cnnbn_net *net, const instr *in)
{
    const op *o = &net->ops[in->op];
    size_t filters = net->model->params[o->bias].count;
    return (size_t)net->bns[in->sums_bn].C * filters;
}

cnnbn_status cnnbn__weight_sums_alloc(cnnbn_net *net)
{
    size_t partial = 0, columns = 0, channels = 0;
    for (int i = 0; i < net->train.n_instrs; i++) {
        instr *in = &net->train.instrs[i];
        if (in->sums_bn < 0) continue;
        size_t n = columns_of(net, in), C = (size_t)net->bns[in->sums_bn].C;
        if (n > columns) columns = n;
        if (C > channels) channels = C;
        if (in->kind != I_DENSE_BWD_WEIGHTS) continue;
        in->partial_offset = partial;
        partial += partial_floats(net, &net->train, in);
    }
    void *memory;
    CNNBN_TRY(cnnbn_alloc_array(partial + 1, sizeof(float), "sums of batch norms", &memory));
    net->bn_partial = memory;
    CNNBN_TRY(cnnbn_alloc_array(CNNBN_TREE_DEPTH * 2 * channels + 1, sizeof(double), "sums of batch norms", &memory));
    net->bn_join = memory;
    CNNBN_TRY(cnnbn_alloc_array(2 * columns + 1, sizeof(float), "scales of weights", &memory));
    net->centred = memory;
    return CNNBN_OK;
}

void cnnbn__weight_sums_join(cnnbn_net *net, const net_level *lv)
{
    const program *prog = &net->train;
    for (int i = lv->first + lv->n_units_instr; i < lv->first + lv->n_units_instr + lv->n_solo; i++) {
        const instr *in = &prog->instrs[i];
        if (in->sums_bn < 0) continue;
        const bn_state *bn = &net->bns[in->sums_bn];
        const size_t n = 2 * (size_t)bn->C;
        const value *dy = &prog->values[cnnbn__value_root(prog, in->in[1])];
        const cnnbn_dense_bn_join args = {
            .run = &net->rank_run,
            .period = bn->C,
            .bn_partial = net->bn_partial + in->partial_offset,
            .dy = net->arena + dy->offset,
            .sums = net->bn_join,
            .sums_stride = n,
            .workspace = net->threads[0].workspace,
        };
        net->kernels->dense_bn_join(&prog->dense_plans[net->ops[in->op].dense_plan], &args);
        for (int e = 0; e < net->n_copies; e++)
            memcpy(net->nodes + (size_t)e * lv->payload + bn->sums_offset, net->bn_join + (size_t)e * n,
                   n * sizeof(double));
    }
}

void cnnbn__weight_sums_finish(cnnbn_net *net)
{
    for (int i = 0; i < net->train.n_instrs; i++) {
        const instr *in = &net->train.instrs[i];
        if (in->sums_bn < 0) continue;
        const op *o = &net->ops[in->op];
        const bn_state *bn = &net->bns[in->sums_bn];
        const size_t columns = columns_of(net, in), filters = net->model->params[o->bias].count;
        const float *db = net->grads + o->bias_grad;
        float *scale = net->centred, *shift = scale + columns, *dw = net->grads + o->kernel_grad;
        for (size_t c = 0, at = 0; c < (size_t)bn->C; c++)
            for (size_t k = 0; k < filters; k++, at++) {
                scale[at] = bn->scale[c];
                shift[at] = bn->shift[c] * db[k];
            }
        net->kernels->input_f32(net->model->params[o->kernel].count, (int)columns, dw, scale, shift, dw);
    }
}
