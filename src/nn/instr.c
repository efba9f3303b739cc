/* What an instruction does on a unit. */
#include <string.h>

#include "augment.h"
#include "ir.h"
#include "plain.h"

float *cnnbn__instr_array(const work_unit *u, int v)
{
    int root = cnnbn__value_root(u->prog, v);
    const value *val = &u->prog->values[root];
    if (val->place == PLACE_STORED) return u->net->arena + val->offset + u->first_local * val->count;
    return u->thread->scratch + val->offset;
}

static float *at(const work_unit *u, int v)
{
    return cnnbn__instr_array(u, v);
}

const float *cnnbn__weight(const cnnbn_net *net, int param)
{
    if (param < 0) return NULL;
    const float *slab = net->model->params[param].trainable ? net->weights : net->state;
    return slab + net->param_offset[param];
}

static cnnbn_prologue no_prologue(void)
{
    cnnbn_prologue none = {NULL, NULL, NULL, 1, {CNNBN_ACT_LINEAR, 0, 0, 0}};
    return none;
}

static cnnbn_prologue prologue_of(const cnnbn_net *net, const op *o)
{
    if (o->prologue < 0) return no_prologue();
    cnnbn_prologue in = cnnbn__bn_prologue(&net->bns[o->prologue]);
    in.act = net->bns[o->prologue].act;
    return in;
}

static size_t count_of(const work_unit *u, int v)
{
    return u->prog->values[v].count * (size_t)u->n;
}

static void load_image(const cnnbn_net *net, const void *raw, float *y)
{
    size_t count = cnnbn_shape_count(net->model->input);
    int channels = net->model->input.dim[net->model->input.rank - 1];
    if (net->config.input_is_u8)
        net->kernels->input_u8(count, channels, raw, net->input_scale, net->input_shift, y);
    else
        net->kernels->input_f32(count, channels, raw, net->input_scale, net->input_shift, y);
}

static void run_input(const work_unit *u, const instr *in)
{
    const cnnbn_net *net = u->net;
    size_t count = u->prog->values[in->out].count;
    float *y = at(u, in->out), *spare = u->thread->workspace;
    for (int i = 0; i < u->n; i++, y += count) {
        load_image(net, u->images[i], y);
        if (!u->prog->training) continue;
        cnnbn__augment_image(net, u->epoch, u->ids[i], y, spare);
        if (!u->partners) continue;
        float *partner = spare + (cnnbn__augment_workspace(net) - count);
        load_image(net, u->partners[i], partner);
        cnnbn__augment_image(net, u->epoch, u->partner_ids[i], partner, spare);
        net->kernels->mix(count, u->weights[i], y, partner, y);
    }
}

static void run_conv_fwd(const work_unit *u, const instr *in)
{
    const cnnbn_net *net = u->net;
    const op *o = &net->ops[in->op];
    const cnnbn_conv_plan *plan = &u->prog->conv_plans[o->conv_plan];
    const net_level *lv = &u->prog->levels[in->level];
    cnnbn_conv_fwd args = {
        .run = u->run,
        .x = at(u, in->in[0]),
        .in = prologue_of(net, o),
        .w = cnnbn__weight(net, o->kernel),
        .prepared = net->prepared + u->prog->fwd_prepared[o->conv_plan],
        .bias = cnnbn__weight(net, o->bias),
        .act = o->act,
        .y = at(u, in->out),
        .workspace = u->thread->workspace,
    };
    if (in->stats_bn >= 0) {
        const bn_state *bn = &net->bns[in->stats_bn];
        args.stat_shift = bn->stat_shift;
        args.stat = u->thread->sums + (size_t)u->entry * lv->payload + bn->stats_offset;
        args.stat_stride = lv->payload;
    }
    net->kernels->conv_fwd(plan, &args);
}

/* In the backward pass the activation is the batch norm's own business only when no add stands between. */
static cnnbn_prologue backward_prologue(const cnnbn_net *net, const op *o)
{
    cnnbn_prologue p = cnnbn__bn_prologue(&net->bns[o->bn]);
    if (o->add < 0) p.act = o->act;
    return p;
}

static void run_conv_bwd(const work_unit *u, const instr *in)
{
    const cnnbn_net *net = u->net;
    const op *o = &net->ops[in->op];
    const net_level *lv = &u->prog->levels[in->level];
    float *stack = u->thread->stack + (size_t)u->entry * lv->stack_floats + in->stack_offset;
    int wants_dw = net->model->params[o->kernel].trainable;
    size_t dw_floats = (net->model->params[o->kernel].count + 15) / 16 * 16;
    cnnbn_conv_bwd args = {
        .run = u->run,
        .x = at(u, in->in[0]),
        .in = prologue_of(net, o),
        .dy = at(u, in->in[1]),
        .w = cnnbn__weight(net, o->kernel),
        .prepared = net->prepared + u->prog->bwd_prepared[o->conv_plan],
        .dx = in->out >= 0 ? at(u, in->out) : NULL,
        .dw = wants_dw ? stack : NULL,
        .dw_stride = lv->stack_floats,
        .db = wants_dw && o->bias >= 0 ? stack + dw_floats : NULL,
        .db_stride = lv->stack_floats,
        .workspace = u->thread->workspace,
    };
    cnnbn_bn_behind behind;
    if (in->behind_bn >= 0) {
        const bn_state *bn = &net->bns[in->behind_bn];
        behind = (cnnbn_bn_behind){at(u, in->in[2]), backward_prologue(net, &net->ops[bn->op]), bn->a, bn->b, bn->c0,
                                   in->pre};
        args.behind = &behind;
    }
    if (in->sums_bn >= 0) {
        const bn_state *bn = &net->bns[in->sums_bn];
        args.in.scale = bn->ones;
        args.in.beta = bn->zeros;
        args.bn_sums = u->thread->sums + (size_t)u->entry * lv->payload + bn->sums_offset;
        args.bn_sums_stride = lv->payload;
    }
    net->kernels->conv_bwd(&u->prog->conv_plans[o->conv_plan], &args);
}

static void run_dense_fwd(const work_unit *u, const instr *in)
{
    const cnnbn_net *net = u->net;
    const op *o = &net->ops[in->op];
    cnnbn_dense_fwd args = {
        .run = u->run,
        .x = at(u, in->in[0]),
        .in = prologue_of(net, o),
        .w = cnnbn__weight(net, o->kernel),
        .prepared = net->prepared + u->prog->dense_prepared[o->dense_plan],
        .bias = cnnbn__weight(net, o->bias),
        .act = o->act,
        .y = at(u, in->out),
        .workspace = u->thread->workspace,
    };
    net->kernels->dense_fwd(&u->prog->dense_plans[o->dense_plan], &args);
}

static void run_dense_bwd_data(const work_unit *u, const instr *in)
{
    const cnnbn_net *net = u->net;
    const op *o = &net->ops[in->op];
    cnnbn_dense_bwd_data args = {
        .run = u->run,
        .dy = at(u, in->in[0]),
        .w = cnnbn__weight(net, o->kernel),
        .prepared = net->prepared + u->prog->dense_prepared[o->dense_plan],
        .dx = at(u, in->out),
        .workspace = u->thread->workspace,
    };
    net->kernels->dense_bwd_data(&u->prog->dense_plans[o->dense_plan], &args);
}

/* Sums of the batch norm (no output), or its dx. */
static void run_dense_bn(const work_unit *u, const instr *in)
{
    const cnnbn_net *net = u->net;
    const op *o = &net->ops[in->op];
    const bn_state *bn = &net->bns[in->bn];
    size_t payload = u->prog->levels[in->level].payload;
    cnnbn_dense_bwd_bn args = {
        .run = u->run,
        .dy = at(u, in->in[0]),
        .w = cnnbn__weight(net, o->kernel),
        .prepared = net->prepared + u->prog->dense_prepared[o->dense_plan],
        .x = at(u, in->in[1]),
        .in = cnnbn__bn_prologue(bn),
        .sums = in->out < 0 ? u->thread->sums + (size_t)u->entry * payload + bn->sums_offset : NULL,
        .sums_stride = payload,
        .a = bn->a,
        .b = bn->b,
        .c0 = bn->c0,
        .pre = in->pre,
        .dx = in->out >= 0 ? at(u, in->out) : NULL,
        .workspace = u->thread->workspace,
    };
    net->kernels->dense_bwd_bn(&u->prog->dense_plans[o->dense_plan], &args);
}

static size_t rows_of(const work_unit *u, const bn_state *bn)
{
    return (size_t)u->n * (size_t)bn->positions;
}

static void run_bn_stats(const work_unit *u, const instr *in)
{
    const bn_state *bn = &u->net->bns[in->stats_bn];
    size_t payload = u->prog->levels[in->level].payload;
    u->net->kernels->bn_stats(u->run, bn->positions, bn->C, at(u, in->in[0]), bn->stat_shift,
                              u->thread->sums + (size_t)u->entry * payload + bn->stats_offset, payload);
}

static void run_bn_apply(const work_unit *u, const instr *in)
{
    const op *o = &u->net->ops[in->op];
    const bn_state *bn = &u->net->bns[o->bn];
    cnnbn_prologue p = cnnbn__bn_prologue(bn);
    p.act = o->act;
    u->net->kernels->bn_apply(rows_of(u, bn), bn->C, at(u, in->in[0]), &p, in->n_in > 1 ? at(u, in->in[1]) : NULL,
                              at(u, in->out));
}

static void run_bn_bwd_sums(const work_unit *u, const instr *in)
{
    const op *o = &u->net->ops[in->op];
    const bn_state *bn = &u->net->bns[o->bn];
    cnnbn_prologue p = backward_prologue(u->net, o);
    size_t payload = u->prog->levels[in->level].payload;
    u->net->kernels->bn_bwd_sums(u->run, bn->positions, bn->C, at(u, in->in[0]), at(u, in->in[1]), &p,
                                 u->thread->sums + (size_t)u->entry * payload + bn->sums_offset, payload);
}

static void run_bn_bwd_apply(const work_unit *u, const instr *in)
{
    const op *o = &u->net->ops[in->op];
    const bn_state *bn = &u->net->bns[o->bn];
    cnnbn_prologue p = backward_prologue(u->net, o);
    u->net->kernels->bn_bwd_apply(rows_of(u, bn), bn->C, at(u, in->in[0]), at(u, in->in[1]), &p, bn->a, bn->b, bn->c0,
                                  in->pre, at(u, in->out));
}

static void run_act_bwd(const work_unit *u, const instr *in)
{
    cnnbn_activation act = u->net->ops[in->op].act;
    int from_output = cnnbn_act_from_output(act);
    const float *other = at(u, in->in[1]);
    u->net->kernels->act_bwd(count_of(u, in->out), act, at(u, in->in[0]), from_output ? NULL : other,
                             from_output ? other : NULL, at(u, in->out));
}

static void run_sum(const work_unit *u, const instr *in)
{
    u->net->kernels->sum(count_of(u, in->out), at(u, in->in[0]), at(u, in->in[1]), at(u, in->out));
}

static int channels_of(const program *prog, int v)
{
    cnnbn_shape shape = prog->values[v].shape;
    return shape.dim[shape.rank - 1];
}

static void copy_channels(const float *from, size_t from_stride, float *to, size_t to_stride, size_t rows,
                          size_t channels)
{
    for (size_t r = 0; r < rows; r++) memcpy(to + r * to_stride, from + r * from_stride, channels * sizeof(float));
}

static void run_concat(const work_unit *u, const instr *in)
{
    size_t all = (size_t)channels_of(u->prog, in->out), rows = count_of(u, in->out) / all, first = 0;
    for (int k = 0; k < in->n_in; k++) {
        size_t channels = (size_t)channels_of(u->prog, in->in[k]);
        copy_channels(at(u, in->in[k]), channels, at(u, in->out) + first, all, rows, channels);
        first += channels;
    }
}

static void run_unconcat(const work_unit *u, const instr *in)
{
    size_t all = (size_t)channels_of(u->prog, in->in[0]), channels = (size_t)channels_of(u->prog, in->out);
    copy_channels(at(u, in->in[0]) + in->first_channel, all, at(u, in->out), channels, count_of(u, in->out) / channels,
                  channels);
}

static cnnbn_pool_geom pool_of(const op *o)
{
    const cnnbn_conv_geom *g = &o->conv;
    cnnbn_pool_geom pool = {g->H, g->W,        g->C,        g->R,       g->S,       g->P,
                            g->Q, g->stride_h, g->stride_w, g->pad_top, g->pad_left};
    return pool;
}

static void run_pool(const work_unit *u, const instr *in)
{
    const cnnbn_kernels *k = u->net->kernels;
    cnnbn_pool_geom g = pool_of(&u->net->ops[in->op]);
    switch (in->kind) {
    case I_MAXPOOL_FWD:
        k->maxpool_fwd(&g, u->n, at(u, in->in[0]), at(u, in->out));
        break;
    case I_AVGPOOL_FWD:
        k->avgpool_fwd(&g, u->n, at(u, in->in[0]), at(u, in->out));
        break;
    case I_MAXPOOL_BWD:
        k->maxpool_bwd(&g, u->n, at(u, in->in[1]), at(u, in->in[2]), at(u, in->in[0]), at(u, in->out));
        break;
    case I_AVGPOOL_BWD:
        k->avgpool_bwd(&g, u->n, at(u, in->in[0]), at(u, in->out));
        break;
    case I_GAP_FWD:
        k->gap_fwd(u->n, g.H * g.W, g.C, at(u, in->in[0]), at(u, in->out));
        break;
    default:
        k->gap_bwd(u->n, g.H * g.W, g.C, at(u, in->in[0]), at(u, in->out));
        break;
    }
}

/* Forward and backward draw the same. */
const uint64_t *cnnbn__sample_keys(const work_unit *u, const op *o, cnnbn_rng_use use)
{
    for (int i = 0; i < u->n; i++)
        u->thread->keys[i] =
            cnnbn_rng_key(u->net->config.seed, use, u->epoch, u->ids[i], (uint64_t)o->layer | (uint64_t)o->use << 32);
    return u->thread->keys;
}

static void run_dropout(const work_unit *u, const instr *in)
{
    const op *o = &u->net->ops[in->op];
    u->net->kernels->dropout(u->n, u->prog->values[in->out].count, o->rate, cnnbn__sample_keys(u, o, CNNBN_RNG_DROPOUT),
                             at(u, in->in[0]), at(u, in->out));
}

void cnnbn__run_instr(const work_unit *u, const instr *in)
{
    const cnnbn_kernels *k = u->net->kernels;
    switch (in->kind) {
    case I_INPUT:
        run_input(u, in);
        break;
    case I_CONV_FWD:
        run_conv_fwd(u, in);
        break;
    case I_CONV_BWD:
        run_conv_bwd(u, in);
        break;
    case I_DENSE_FWD:
        run_dense_fwd(u, in);
        break;
    case I_DENSE_BWD_DATA:
        run_dense_bwd_data(u, in);
        break;
    case I_BN_STATS:
        run_bn_stats(u, in);
        break;
    case I_BN_APPLY:
        run_bn_apply(u, in);
        break;
    case I_DENSE_BN_SUMS:
    case I_DENSE_BN_APPLY:
        run_dense_bn(u, in);
        break;
    case I_BN_BWD_SUMS:
        run_bn_bwd_sums(u, in);
        break;
    case I_BN_BWD_APPLY:
        run_bn_bwd_apply(u, in);
        break;
    case I_ACT_FWD:
        k->act_fwd(count_of(u, in->out), u->net->ops[in->op].act, at(u, in->in[0]), at(u, in->out));
        break;
    case I_ACT_BWD:
        run_act_bwd(u, in);
        break;
    case I_SOFTMAX:
        k->softmax(count_of(u, in->out) / (size_t)channels_of(u->prog, in->out), channels_of(u->prog, in->out),
                   at(u, in->in[0]), at(u, in->out));
        break;
    case I_SOFTMAX_BWD:
        k->softmax_bwd(count_of(u, in->out) / (size_t)channels_of(u->prog, in->out), channels_of(u->prog, in->out),
                       at(u, in->in[0]), at(u, in->in[1]), at(u, in->out));
        break;
    case I_MAXPOOL_FWD:
    case I_AVGPOOL_FWD:
    case I_GAP_FWD:
    case I_MAXPOOL_BWD:
    case I_AVGPOOL_BWD:
    case I_GAP_BWD:
        run_pool(u, in);
        break;
    case I_DROPOUT:
        run_dropout(u, in);
        break;
    case I_SUM:
        run_sum(u, in);
        break;
    case I_CONCAT:
        run_concat(u, in);
        break;
    case I_UNCONCAT:
        run_unconcat(u, in);
        break;
    case I_LOSS:
        cnnbn__run_loss(u, in);
        break;
    case I_PLAIN_FWD:
        cnnbn__plain_forward(u, in);
        break;
    case I_PLAIN_BWD:
        cnnbn__plain_backward(u, in);
        break;
    case I_DENSE_BWD_WEIGHTS: /* solo */
    case I_KIND_COUNT:
        break;
    }
}

void cnnbn__run_solo(cnnbn_net *net, const program *prog, const instr *in, int tid)
{
    const op *o = &net->ops[in->op];
    work_unit u = {.net = net, .prog = prog, .thread = &net->threads[tid]};
    float *grads = net->grads + o->kernel_grad;
    cnnbn_dense_bwd_weights args = {
        .run = &net->rank_run,
        .x = at(&u, in->in[0]),
        .in = prologue_of(net, o),
        .dy = at(&u, in->in[1]),
        .dw = grads,
        .dw_stride = net->grad_stride,
        .db = o->bias >= 0 ? net->grads + o->bias_grad : NULL,
        .db_stride = net->grad_stride,
        .part = tid,
        .n_parts = net->n_threads,
        .workspace = net->threads[tid].workspace,
    };
    if (in->sums_bn >= 0) {
        const bn_state *bn = &net->bns[in->sums_bn];
        args.in.scale = bn->ones;
        args.in.beta = bn->zeros;
        args.bn_partial = net->bn_partial + in->partial_offset;
        args.w = cnnbn__weight(net, o->kernel);
        args.prepared = net->prepared + prog->dense_prepared[o->dense_plan];
    }
    net->kernels->dense_bwd_weights(&prog->dense_plans[o->dense_plan], &args);
}

const char *cnnbn__instr_name(instr_kind kind)
{
    static const char *const names[I_KIND_COUNT] = {
        [I_INPUT] = "input",
        [I_CONV_FWD] = "forward",
        [I_DENSE_FWD] = "forward",
        [I_BN_STATS] = "statistics",
        [I_BN_APPLY] = "forward",
        [I_ACT_FWD] = "forward",
        [I_SOFTMAX] = "forward",
        [I_MAXPOOL_FWD] = "forward",
        [I_AVGPOOL_FWD] = "forward",
        [I_GAP_FWD] = "forward",
        [I_DROPOUT] = "mask",
        [I_SUM] = "sum",
        [I_CONCAT] = "forward",
        [I_LOSS] = "loss",
        [I_CONV_BWD] = "backward",
        [I_DENSE_BWD_DATA] = "backward data",
        [I_DENSE_BWD_WEIGHTS] = "backward weights",
        [I_DENSE_BN_SUMS] = "backward sums",
        [I_DENSE_BN_APPLY] = "backward",
        [I_BN_BWD_SUMS] = "backward sums",
        [I_BN_BWD_APPLY] = "backward",
        [I_ACT_BWD] = "backward of activation",
        [I_SOFTMAX_BWD] = "backward",
        [I_MAXPOOL_BWD] = "backward",
        [I_AVGPOOL_BWD] = "backward",
        [I_GAP_BWD] = "backward",
        [I_UNCONCAT] = "backward",
        [I_PLAIN_FWD] = "forward",
        [I_PLAIN_BWD] = "backward",
    };
    return names[kind];
}

const char *cnnbn__op_layer_name(const cnnbn_net *net, int op_index)
{
    int layer = op_index >= 0 ? net->ops[op_index].layer : -1;
    if (op_index < 0) return "loss";
    return layer >= 0 ? net->model->layers[layer].name : net->model->input_name;
}
