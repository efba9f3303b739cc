/* Instructions to levels, values to memory.
 *
 * An instruction's level is the number of reductions that must have ended before it: the greatest level of what it reads, one
 * more where it needs batch-norm sums. Batch norms on parallel branches so share one reduction. */
#include <stdlib.h>
#include <string.h>

#include "cnnbn/memory.h"
#include "augment.h"
#include "ir.h"
#include "plain.h"

enum { LANES = 16 }; /* floats of a cache line: alignment of arrays in the arena */

static size_t round_up(size_t floats)
{
    return (floats + LANES - 1) / LANES * LANES;
}

static int later(int a, int b)
{
    return a > b ? a : b;
}

static int needs_statistics(const cnnbn_net *net, const instr *in)
{
    if (in->op < 0) return -1;
    const op *o = &net->ops[in->op];
    switch (in->kind) {
    case I_CONV_FWD:
    case I_DENSE_FWD:
    case I_CONV_BWD:
    case I_DENSE_BWD_WEIGHTS:
        return o->prologue;
    case I_BN_APPLY:
        return o->bn;
    case I_BN_BWD_SUMS:
    case I_BN_BWD_APPLY:
    case I_DENSE_BN_SUMS:
    case I_DENSE_BN_APPLY:
        return in->bn;
    default:
        return -1;
    }
}

int cnnbn__sums_of(const instr *in)
{
    return in->kind == I_BN_BWD_SUMS || in->kind == I_DENSE_BN_SUMS ? in->bn : in->sums_bn;
}

static void assign_levels(cnnbn_net *net, program *prog)
{
    int greatest = 0;
    for (int i = 0; i < prog->n_instrs; i++) {
        instr *in = &prog->instrs[i];
        int at = 0;
        for (int k = 0; k < in->n_in; k++) at = later(at, prog->values[cnnbn__value_root(prog, in->in[k])].first);
        int bn = needs_statistics(net, in);
        if (bn >= 0 && prog->training && !net->bns[bn].frozen) {
            at = later(at, net->bns[bn].stats_level + 1);
            if (in->kind == I_BN_BWD_APPLY || in->kind == I_DENSE_BN_APPLY) at = later(at, net->bns[bn].sums_level + 1);
        }
        if (in->behind_bn >= 0 && !net->bns[in->behind_bn].frozen)
            at = later(at, net->bns[in->behind_bn].sums_level + 1);
        in->level = at;
        if (in->stats_bn >= 0) net->bns[in->stats_bn].stats_level = at;
        int sums_of = cnnbn__sums_of(in);
        if (sums_of >= 0) net->bns[sums_of].sums_level = at;
        if (in->out >= 0) prog->values[cnnbn__value_root(prog, in->out)].first = at;
        greatest = later(greatest, at);
    }
    prog->n_levels = greatest + 1;
}

/* Stable: by level, the solo instructions last. */
static cnnbn_status sort_instructions(program *prog)
{
    void *memory;
    CNNBN_TRY(cnnbn_alloc_array((size_t)prog->n_instrs + 1, sizeof(instr), "instructions of a program", &memory));
    instr *sorted = memory;
    CNNBN_TRY(cnnbn_alloc_array((size_t)prog->n_levels, sizeof(net_level), "levels of a program", &memory));
    prog->levels = memory;
    int n = 0;
    for (int l = 0; l < prog->n_levels; l++) {
        net_level *lv = &prog->levels[l];
        lv->first = n;
        for (int solo = 0; solo <= 1; solo++)
            for (int i = 0; i < prog->n_instrs; i++)
                if (prog->instrs[i].level == l && prog->instrs[i].solo == solo) {
                    sorted[n++] = prog->instrs[i];
                    if (solo)
                        lv->n_solo++;
                    else
                        lv->n_units_instr++;
                }
    }
    cnnbn_free(prog->instrs);
    prog->instrs = sorted;
    return CNNBN_OK;
}

static void find_lives(program *prog)
{
    for (int v = 0; v < prog->n_values; v++) prog->values[v].place = PLACE_NONE;
    for (int i = 0; i < prog->n_instrs; i++) {
        const instr *in = &prog->instrs[i];
        int time = 2 * in->level + in->solo;
        if (in->out >= 0) {
            value *v = &prog->values[cnnbn__value_root(prog, in->out)];
            v->first = v->last = time;
            v->first_pos = v->last_pos = i;
            v->place = in->solo ? PLACE_STORED : PLACE_SCRATCH;
        }
        for (int k = 0; k < in->n_in; k++) {
            value *v = &prog->values[cnnbn__value_root(prog, in->in[k])];
            v->last = later(v->last, time);
            v->last_pos = later(v->last_pos, i);
            if (v->last != v->first) v->place = PLACE_STORED;
        }
    }
}

/* How many of the inputs, from the first on, the output may take the place of: element i of it is made of element i of each. */
static int n_replaceable(const instr *in)
{
    switch (in->kind) {
    case I_SUM:
    case I_BN_APPLY:
        return in->n_in;
    case I_ACT_FWD:
    case I_ACT_BWD:
    case I_BN_BWD_APPLY:
    case I_DROPOUT:
    case I_SOFTMAX:
    case I_SOFTMAX_BWD:
        return 1;
    default:
        return 0;
    }
}

/* An output in the place of an input that nobody reads later. Not from the arena to the scratch or back: the one is memory, the other
 * is to stay in cache. */
static void find_hosts(const program *prog)
{
    for (int v = 0; v < prog->n_values; v++) prog->values[v].host = -1;
    for (int i = 0; i < prog->n_instrs; i++) {
        const instr *in = &prog->instrs[i];
        if (in->out < 0 || prog->values[in->out].view_of >= 0) continue;
        value *out = &prog->values[in->out];
        for (int k = 0; k < n_replaceable(in) && out->host < 0; k++) {
            int root = cnnbn__value_root(prog, in->in[k]);
            const value *x = &prog->values[root];
            if (x->place == out->place && x->count == out->count && x->last_pos == i) out->host = root;
        }
    }
    for (int i = prog->n_instrs - 1; i >= 0; i--) { /* a host lives as long as its guests */
        int out = prog->instrs[i].out;
        if (out < 0 || prog->values[out].host < 0) continue;
        value *host = &prog->values[prog->values[out].host];
        host->last = later(host->last, prog->values[out].last);
        host->last_pos = later(host->last_pos, prog->values[out].last_pos);
    }
}

/* First fit by falling size: each value at the lowest offset where nothing alive at the same time stands. `begin`, `end` of a
 * life are inclusive. Sizes are in floats of one sample, rounded by the caller's rule. Returns the size of the whole. */
typedef struct block {
    int v, begin, end;
    size_t size, offset;
} block;

static int by_size(const void *a, const void *b)
{
    const block *p = a, *q = b;
    if (p->size != q->size) return p->size < q->size ? 1 : -1;
    return p->v - q->v;
}

static int by_offset(const void *a, const void *b)
{
    const block *p = *(block *const *)a, *q = *(block *const *)b;
    return p->offset < q->offset ? -1 : p->offset > q->offset;
}

static size_t place_blocks(block *blocks, int n, block **row)
{
    size_t total = 0;
    qsort(blocks, (size_t)n, sizeof *blocks, by_size);
    for (int i = 0; i < n; i++) {
        int m = 0;
        for (int k = 0; k < i; k++)
            if (blocks[k].begin <= blocks[i].end && blocks[i].begin <= blocks[k].end) row[m++] = &blocks[k];
        qsort(row, (size_t)m, sizeof *row, by_offset);
        size_t at = 0;
        for (int k = 0; k < m; k++) {
            if (at + blocks[i].size <= row[k]->offset) break;
            if (row[k]->offset + row[k]->size > at) at = row[k]->offset + row[k]->size;
        }
        blocks[i].offset = at;
        if (at + blocks[i].size > total) total = at + blocks[i].size;
    }
    return total;
}

/* Unit of a level. One slice where a kernel's bits depend on its rows; else as many slices as let the weights that stream
 * through the cache be reused, while a unit's tensors stay in a level-2 cache. */
static int choose_unit(const cnnbn_net *net, const program *prog, const net_level *lv, int max_slice)
{
    const size_t cache_floats = (size_t)1 << 17; /* 512 KB: half of a common level-2 cache */
    size_t activations = 0, weights = 0;
    for (int i = lv->first; i < lv->first + lv->n_units_instr; i++) {
        const instr *in = &prog->instrs[i];
        size_t touched = in->out >= 0 ? prog->values[in->out].count : 0;
        for (int k = 0; k < in->n_in; k++) touched += prog->values[in->in[k]].count;
        if (touched > activations) activations = touched;
        if (in->op < 0) continue;
        const op *o = &net->ops[in->op];
        if (o->conv_plan >= 0) {
            const cnnbn_conv_plan *plan = &prog->conv_plans[o->conv_plan];
            if (!plan->any_grouping) return 1;
            size_t prepared = plan->fwd_prepared_floats + net->model->params[o->kernel].count;
            if (prepared > weights) weights = prepared;
        }
        if (o->dense_plan >= 0 && (in->kind == I_DENSE_FWD || in->kind == I_DENSE_BWD_DATA)) {
            if (!prog->dense_plans[o->dense_plan].any_grouping) return 1;
            if (net->model->params[o->kernel].count > weights) weights = net->model->params[o->kernel].count;
        }
    }
    int unit = 1;
    size_t slice = activations * (size_t)(max_slice ? max_slice : 1);
    while (unit < net->n_slices && ((size_t)unit * slice * 2 <= cache_floats || (size_t)unit * slice < 2 * weights))
        unit *= 2;
    return unit;
}

static cnnbn_status make_plans(cnnbn_net *net, program *prog, int max_slice)
{
    void *memory;
    int n = net->n_ops ? net->n_ops : 1;
    CNNBN_TRY(cnnbn_alloc_array((size_t)n, sizeof(cnnbn_conv_plan), "plans of convolutions", &memory));
    prog->conv_plans = memory;
    CNNBN_TRY(cnnbn_alloc_array((size_t)n, sizeof(cnnbn_dense_plan), "plans of dense layers", &memory));
    prog->dense_plans = memory;
    CNNBN_TRY(cnnbn_alloc_array(3 * (size_t)n, sizeof(size_t), "offsets of prepared weights", &memory));
    prog->fwd_prepared = memory;
    prog->bwd_prepared = prog->fwd_prepared + n;
    prog->dense_prepared = prog->bwd_prepared + n;
    for (int i = 0; i < net->n_ops; i++) {
        op *o = &net->ops[i];
        if (o->dead) continue;
        if (cnnbn__op_has_conv(o)) {
            o->conv_plan = prog->n_conv_plans++;
            cnnbn_conv_plan *plan = &prog->conv_plans[o->conv_plan];
            plan->geom = o->conv;
            plan->algo = net->config.conv;
            plan->max_n = plan->max_slice = max_slice;
            net->kernels->conv_plan(plan);
        } else if (o->kind == OP_DENSE) {
            o->dense_plan = prog->n_dense_plans++;
            cnnbn_dense_plan *plan = &prog->dense_plans[o->dense_plan];
            plan->F = (int)net->graph_values[o->in[0]].count;
            plan->U = (int)net->graph_values[o->out].count;
            plan->max_n = plan->max_slice = max_slice;
            net->kernels->dense_plan(plan);
        }
    }
    return CNNBN_OK;
}

/* With the units known the plans learn the greatest call, and tell their workspace. */
static void size_plans(cnnbn_net *net, program *prog, int max_slice)
{
    size_t workspace = prog->training ? cnnbn__augment_workspace(net) : 0;
    int has_transposed = 0; /* the forward pass of one is a convolution's backward pass */
    for (int i = 0; i < net->n_ops; i++) has_transposed |= cnnbn__op_is_transposed(&net->ops[i]);
    for (int i = 0; i < prog->n_instrs; i++) {
        const instr *in = &prog->instrs[i];
        if (in->op < 0) continue;
        const op *o = &net->ops[in->op];
        int n = in->solo ? prog->max_samples : prog->levels[in->level].unit_slices * max_slice;
        if (o->kind == OP_PLAIN && cnnbn__plain_workspace(net, o, n) > workspace)
            workspace = cnnbn__plain_workspace(net, o, n);
        if (o->conv_plan >= 0 && prog->conv_plans[o->conv_plan].max_n < n) prog->conv_plans[o->conv_plan].max_n = n;
        if (o->dense_plan >= 0 && prog->dense_plans[o->dense_plan].max_n < n)
            prog->dense_plans[o->dense_plan].max_n = n;
    }
    size_t at = 0;
    for (int i = 0; i < prog->n_conv_plans; i++) {
        cnnbn_conv_plan *plan = &prog->conv_plans[i];
        net->kernels->conv_plan(plan);
        if (plan->fwd_workspace_floats > workspace) workspace = plan->fwd_workspace_floats;
        if ((prog->training || has_transposed) && plan->bwd_workspace_floats > workspace)
            workspace = plan->bwd_workspace_floats;
        prog->fwd_prepared[i] = at;
        at += round_up(plan->fwd_prepared_floats);
        prog->bwd_prepared[i] = at;
        if (prog->training || has_transposed) at += round_up(plan->bwd_prepared_floats);
    }
    for (int i = 0; i < prog->n_dense_plans; i++) {
        cnnbn_dense_plan *plan = &prog->dense_plans[i];
        net->kernels->dense_plan(plan);
        if (plan->fwd_workspace_floats > workspace) workspace = plan->fwd_workspace_floats;
        if (plan->bwd_workspace_floats > workspace) workspace = plan->bwd_workspace_floats;
        prog->dense_prepared[i] = at;
        at += round_up(plan->prepared_floats);
    }
    prog->prepared_floats = at;
    prog->workspace_floats = round_up(workspace);
}

static int has_place_of_its_own(const value *v, value_place place)
{
    return v->view_of < 0 && v->host < 0 && v->place == place;
}

static cnnbn_status place_values(program *prog, int max_slice)
{
    void *memory, *rows;
    CNNBN_TRY(cnnbn_alloc_array((size_t)prog->n_values + 1, sizeof(block), "the memory plan", &memory));
    block *blocks = memory;
    cnnbn_status status = cnnbn_alloc_array((size_t)prog->n_values + 1, sizeof(block *), "the memory plan", &rows);
    if (status != CNNBN_OK) {
        cnnbn_free(memory);
        return status;
    }
    int n = 0;
    for (int v = 0; v < prog->n_values; v++)
        if (has_place_of_its_own(&prog->values[v], PLACE_STORED))
            blocks[n++] = (block){v, prog->values[v].first, prog->values[v].last,
                                  round_up(prog->values[v].count * (size_t)prog->max_samples), 0};
    prog->arena_floats = place_blocks(blocks, n, rows);
    for (int i = 0; i < n; i++) prog->values[blocks[i].v].offset = blocks[i].offset;
    for (int l = 0; l < prog->n_levels; l++) {
        net_level *lv = &prog->levels[l];
        size_t cap = (size_t)(lv->unit_slices * max_slice);
        n = 0;
        for (int v = 0; v < prog->n_values; v++)
            if (has_place_of_its_own(&prog->values[v], PLACE_SCRATCH) && prog->values[v].first / 2 == l)
                blocks[n++] = (block){v, prog->values[v].first_pos, prog->values[v].last_pos,
                                      round_up(prog->values[v].count * cap), 0};
        size_t total = place_blocks(blocks, n, rows);
        for (int i = 0; i < n; i++) prog->values[blocks[i].v].offset = blocks[i].offset;
        if (total > prog->scratch_floats) prog->scratch_floats = total;
    }
    for (int i = 0; i < prog->n_instrs; i++) { /* in their order: a host may be a guest itself */
        value *v = prog->instrs[i].out >= 0 ? &prog->values[prog->instrs[i].out] : NULL;
        if (v && v->host >= 0) v->offset = prog->values[v->host].offset;
    }
    cnnbn_free(memory);
    cnnbn_free(rows);
    return CNNBN_OK;
}

/* Places of the sums in a level's payload, and of the weight gradients in a level's stack entry. */
static void place_sums(cnnbn_net *net, program *prog)
{
    for (int i = 0; i < prog->n_instrs; i++) {
        instr *in = &prog->instrs[i];
        net_level *lv = &prog->levels[in->level];
        if (in->kind == I_LOSS) {
            lv->has_loss = 1;
            lv->loss_offset = lv->payload;
            lv->payload += net->n_sums;
        }
        if (!prog->training) continue;
        if (in->stats_bn >= 0) {
            bn_state *bn = &net->bns[in->stats_bn];
            bn->stats_offset = lv->payload;
            lv->payload += 2 * (size_t)bn->C;
        }
        int sums_of = cnnbn__sums_of(in);
        if (sums_of >= 0) {
            bn_state *bn = &net->bns[sums_of];
            bn->sums_offset = lv->payload;
            lv->payload += 2 * (size_t)bn->C;
        }
        if (in->kind == I_CONV_BWD || (in->kind == I_PLAIN_BWD && in->which == 0)) {
            const op *o = &net->ops[in->op];
            in->stack_offset = lv->stack_floats;
            if (o->kernel >= 0) lv->stack_floats += round_up(net->model->params[o->kernel].count);
            if (o->bias >= 0) lv->stack_floats += round_up(net->model->params[o->bias].count);
        }
    }
    for (int l = 0; l < prog->n_levels; l++) {
        net_level *lv = &prog->levels[l];
        lv->reduces = prog->training && lv->payload > 0;
        if (lv->stack_floats > prog->stack_floats) prog->stack_floats = lv->stack_floats;
        if (lv->payload > prog->payload_max) prog->payload_max = lv->payload;
    }
}

static double conv_flop(const cnnbn_conv_geom *g)
{
    return 2.0 * g->P * g->Q * g->K * g->R * g->S * (g->C / g->groups);
}

static void count_flops(const cnnbn_net *net, program *prog)
{
    for (int i = 0; i < prog->n_instrs; i++) {
        instr *in = &prog->instrs[i];
        if (in->op < 0) continue;
        const op *o = &net->ops[in->op];
        double dense = o->kind == OP_DENSE
                           ? 2.0 * (double)net->graph_values[o->in[0]].count * (double)net->graph_values[o->out].count
                           : 0;
        if (cnnbn__op_is_transposed(o) && (in->kind == I_PLAIN_FWD || in->kind == I_PLAIN_BWD))
            in->flop = conv_flop(&o->conv) * (in->kind == I_PLAIN_BWD && in->out >= 0 ? 2 : 1);
        if (in->kind == I_CONV_FWD) in->flop = conv_flop(&o->conv);
        if (in->kind == I_CONV_BWD) in->flop = conv_flop(&o->conv) * (in->out >= 0 ? 2 : 1);
        if (o->kind == OP_DENSE && in->kind != I_ACT_BWD) in->flop = dense;
    }
}

cnnbn_status cnnbn__net_plan(cnnbn_net *net, program *prog, int max_samples, int max_slice)
{
    prog->max_samples = max_samples;
    CNNBN_TRY(make_plans(net, prog, max_slice));
    if (!net->config.no_fusion) CNNBN_TRY(cnnbn__net_join_passes(net, prog));
    assign_levels(net, prog);
    CNNBN_TRY(sort_instructions(prog));
    find_lives(prog);
    find_hosts(prog);
    for (int l = 0; l < prog->n_levels; l++) {
        prog->levels[l].unit_slices = prog->training ? choose_unit(net, prog, &prog->levels[l], max_slice) : 1;
        prog->max_unit = later(prog->max_unit, prog->levels[l].unit_slices * max_slice);
    }
    size_plans(net, prog, max_slice);
    CNNBN_TRY(place_values(prog, max_slice));
    place_sums(net, prog);
    count_flops(net, prog);
    return CNNBN_OK;
}

void cnnbn__program_free(program *prog)
{
    for (int i = 0; i < prog->n_instrs; i++) cnnbn_free(prog->instrs[i].in);
    cnnbn_free(prog->values);
    cnnbn_free(prog->instrs);
    cnnbn_free(prog->levels);
    cnnbn_free(prog->conv_plans);
    cnnbn_free(prog->dense_plans);
    cnnbn_free(prog->fwd_prepared);
}
