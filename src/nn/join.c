/* Pairs of instructions that one kernel does in one pass.
 *
 * A batch norm in front of a layer whose weights are trained: its sums can come with their gradient (weight_sums.c).
 *
 * A batch norm in front of a dense layer of few units (as behind a Flatten): the gradient between them, dz = dy w^T, is as large
 * as the activations and cheap to make, so it is made twice, for the batch norm's sums and behind their reduction for dx, and never
 * written.
 *
 * A batch norm behind a convolution: its backward pass is done as the convolution loads the gradient. */
#include "cnnbn/memory.h"
#include "ir.h"

enum { CHANNELS_OF_A_VECTOR = 16 }; /* what cnnbn_dense_bwd_bn asks of the period */

static int uses_of(const program *prog, int root)
{
    int uses = 0;
    for (int i = 0; i < prog->n_instrs; i++)
        for (int k = 0; k < prog->instrs[i].n_in; k++) uses += cnnbn__value_root(prog, prog->instrs[i].in[k]) == root;
    return uses;
}

static instr *maker_of(const program *prog, int root)
{
    for (int i = 0; i < prog->n_instrs; i++)
        if (prog->instrs[i].out >= 0 && cnnbn__value_root(prog, prog->instrs[i].out) == root) return &prog->instrs[i];
    return NULL;
}

static instr *apply_of(const program *prog, int bn)
{
    for (int i = 0; i < prog->n_instrs; i++)
        if (prog->instrs[i].kind == I_BN_BWD_APPLY && prog->instrs[i].bn == bn) return &prog->instrs[i];
    return NULL;
}

static instr *weights_of(const program *prog, int index)
{
    for (int i = 0; i < prog->n_instrs; i++)
        if (prog->instrs[i].op == index &&
            (prog->instrs[i].kind == I_DENSE_BWD_WEIGHTS || prog->instrs[i].kind == I_CONV_BWD))
            return &prog->instrs[i];
    return NULL;
}

static int is_simple(cnnbn_activation pre)
{
    return pre.kind == CNNBN_ACT_LINEAR || pre.kind == CNNBN_ACT_RELU;
}

/* `sums`: a BN_BWD_SUMS. Whether its gradient comes from one dense layer that can make it again. */
static void join_dense(cnnbn_net *net, program *prog, instr *sums)
{
    const bn_state *bn = &net->bns[sums->bn];
    int dz = cnnbn__value_root(prog, sums->in[0]);
    instr *data = maker_of(prog, dz), *apply = apply_of(prog, sums->bn);
    if (!data || data->kind != I_DENSE_BWD_DATA || !apply || uses_of(prog, dz) != 2) return;
    const op *dense = &net->ops[data->op];
    if (dense->prologue != sums->bn || !prog->dense_plans[dense->dense_plan].fuses_bn ||
        bn->C % CHANNELS_OF_A_VECTOR != 0 || !cnnbn__is_linear(bn->act) || !is_simple(apply->pre))
        return;
    instr *const both[] = {sums, apply};
    for (int k = 0; k < 2; k++) {
        both[k]->op = data->op;
        both[k]->in[0] = data->in[0]; /* dy of the dense layer; in[1] stays x */
    }
    instr *weights = weights_of(prog, data->op);
    if (weights && cnnbn__weights_make_sums(net, prog, weights, sums->bn)) {
        weights->sums_bn = sums->bn;
        sums->kind = I_KIND_COUNT;
    } else {
        sums->kind = I_DENSE_BN_SUMS;
    }
    apply->kind = I_DENSE_BN_APPLY;
    data->kind = I_KIND_COUNT;
}

/* The same for a convolution whose backward pass makes the gradient. */
static void join_conv(cnnbn_net *net, program *prog, instr *sums)
{
    int dz = cnnbn__value_root(prog, sums->in[0]);
    instr *conv = maker_of(prog, dz);
    if (!conv || conv->kind != I_CONV_BWD || uses_of(prog, dz) != 2 ||
        !cnnbn__weights_make_sums(net, prog, conv, sums->bn))
        return;
    conv->sums_bn = sums->bn;
    sums->kind = I_KIND_COUNT;
}

static int takes_behind(const cnnbn_net *net, const program *prog, const instr *conv)
{
    const op *o = &net->ops[conv->op];
    switch (prog->conv_plans[o->conv_plan].takes_bn_behind) {
    case CNNBN_BEHIND_ALWAYS:
        return 1;
    case CNNBN_BEHIND_WITHOUT_DX:
        return conv->out < 0 && net->model->params[o->kernel].trainable;
    default:
        return 0;
    }
}

/* `apply`: a BN_BWD_APPLY. Where one convolution alone reads what it writes, it makes that itself. */
static cnnbn_status join_behind(cnnbn_net *net, program *prog, instr *apply)
{
    int dx = cnnbn__value_root(prog, apply->out);
    const op *norm = &net->ops[apply->op];
    instr *conv = NULL;
    for (int i = 0; i < prog->n_instrs; i++)
        if (prog->instrs[i].kind == I_CONV_BWD && prog->instrs[i].in[1] == apply->out) conv = &prog->instrs[i];
    if (!conv || uses_of(prog, dx) != 1 || !takes_behind(net, prog, conv) || (norm->add < 0 && !is_simple(norm->act)) ||
        !is_simple(apply->pre))
        return CNNBN_OK;
    void *inputs;
    CNNBN_TRY(cnnbn_alloc_array(3, sizeof(int), "inputs of an instruction", &inputs));
    int *in = inputs;
    in[0] = conv->in[0];
    in[1] = apply->in[0];
    in[2] = apply->in[1];
    cnnbn_free(conv->in);
    conv->in = in;
    conv->n_in = 3;
    conv->behind_bn = apply->bn;
    conv->pre = apply->pre;
    apply->kind = I_KIND_COUNT;
    return CNNBN_OK;
}

cnnbn_status cnnbn__net_join_passes(cnnbn_net *net, program *prog)
{
    for (int i = 0; i < prog->n_instrs; i++)
        if (prog->instrs[i].kind == I_BN_BWD_SUMS) {
            join_dense(net, prog, &prog->instrs[i]);
            if (prog->instrs[i].kind == I_BN_BWD_SUMS) join_conv(net, prog, &prog->instrs[i]);
        }
    for (int i = 0; i < prog->n_instrs; i++)
        if (prog->instrs[i].kind == I_BN_BWD_APPLY) CNNBN_TRY(join_behind(net, prog, &prog->instrs[i]));
    int n = 0;
    for (int i = 0; i < prog->n_instrs; i++) {
        if (prog->instrs[i].kind == I_KIND_COUNT)
            cnnbn_free(prog->instrs[i].in);
        else
            prog->instrs[n++] = prog->instrs[i];
    }
    prog->n_instrs = n;
    return CNNBN_OK;
}
