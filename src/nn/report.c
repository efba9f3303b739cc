/* What was compiled, in words. */
#include <stdio.h>

#include "ir.h"

static void print_instr(const cnnbn_net *net, const program *prog, const instr *in, FILE *out)
{
    const char *layer = cnnbn__op_layer_name(net, in->op);
    (void)fprintf(out, "    %-24s %-22s", layer, cnnbn__instr_name(in->kind));
    if (in->op >= 0) {
        const op *o = &net->ops[in->op];
        if (in->kind == I_CONV_FWD || in->kind == I_CONV_BWD)
            (void)fprintf(out, " %s", cnnbn_conv_algo_name(prog->conv_plans[o->conv_plan].algo));
        int through = in->kind == I_DENSE_BN_SUMS || in->kind == I_DENSE_BN_APPLY;
        if (through) (void)fprintf(out, " of %s, in one pass", net->model->layers[net->bns[in->bn].layer].name);
        if (o->prologue >= 0 && in->kind != I_DENSE_BWD_DATA && !through)
            (void)fprintf(out, ", on load: %s%s", net->model->layers[net->bns[o->prologue].layer].name,
                          cnnbn__is_linear(net->bns[o->prologue].act) ? "" : " + activation");
        if ((in->kind == I_CONV_FWD || in->kind == I_DENSE_FWD) && !cnnbn__is_linear(o->act))
            (void)fprintf(out, ", activation");
        if (in->kind == I_BN_APPLY && in->n_in > 1) (void)fprintf(out, ", add");
        if (in->kind == I_BN_APPLY && !cnnbn__is_linear(o->act)) (void)fprintf(out, ", activation");
    }
    if (in->kind == I_CONV_FWD && in->stats_bn >= 0)
        (void)fprintf(out, ", sums of %s", net->model->layers[net->bns[in->stats_bn].layer].name);
    if (in->sums_bn >= 0)
        (void)fprintf(out, ", backward sums of %s", net->model->layers[net->bns[in->sums_bn].layer].name);
    if (in->behind_bn >= 0)
        (void)fprintf(out, ", gradient through: %s", net->model->layers[net->bns[in->behind_bn].layer].name);
    if ((in->kind == I_BN_BWD_APPLY || in->behind_bn >= 0) && !cnnbn__is_linear(in->pre))
        (void)fprintf(out, ", activation before it");
    (void)fprintf(out, "\n");
}

static size_t scratch_total(const cnnbn_net *net)
{
    const program *t = &net->train, *i = &net->infer;
    size_t scratch = t->scratch_floats > i->scratch_floats ? t->scratch_floats : i->scratch_floats;
    size_t workspace = t->workspace_floats > i->workspace_floats ? t->workspace_floats : i->workspace_floats;
    size_t stacks = (size_t)net->stack_entries * (t->stack_floats * sizeof(float) + t->payload_max * sizeof(double));
    return (size_t)net->n_threads * ((scratch + workspace) * sizeof(float) + stacks);
}

static size_t slab_total(const cnnbn_net *net)
{
    size_t entries = net->grads ? (size_t)(net->n_nodes > 0 ? net->n_nodes : 1) : 0;
    size_t extra = (size_t)(net->accumulated != NULL) + (size_t)(net->ema != NULL), states = net->ema ? 3 : 2;
    return (net->n_trained * (1 + entries + (size_t)net->n_slots + extra) + net->n_state * states) * sizeof(float);
}

size_t cnnbn_net_memory_bytes(const cnnbn_net *net)
{
    size_t prepared = net->train.prepared_floats > net->infer.prepared_floats ? net->train.prepared_floats
                                                                              : net->infer.prepared_floats;
    return slab_total(net) + scratch_total(net) + (net->train.arena_floats + prepared) * sizeof(float);
}

static size_t tensors_total(const cnnbn_net *net, const program *prog)
{
    size_t floats = 0;
    for (int v = 0; v < prog->n_values; v++)
        if (prog->values[v].view_of < 0 && prog->values[v].place != PLACE_NONE)
            floats += prog->values[v].count * net->max_local;
    return floats * sizeof(float);
}

void cnnbn_net_print_plan(const cnnbn_net *net, FILE *out)
{
    const program *prog = &net->train;
    const double mb = 1.0 / (1 << 20);
    (void)fprintf(out, "Plan of a step (a level ends with one reduction of batch-norm sums, or with the loss):\n");
    size_t doubles = 0;
    int reductions = 0;
    for (int l = 0; l < prog->n_levels; l++) {
        const net_level *lv = &prog->levels[l];
        (void)fprintf(out, "  level %d, %d slice%s a unit", l, lv->unit_slices, lv->unit_slices == 1 ? "" : "s");
        if (lv->reduces) {
            (void)fprintf(out, "; then %zu sums are reduced", lv->payload);
            doubles += lv->payload;
            reductions++;
        }
        (void)fprintf(out, "\n");
        for (int i = lv->first; i < lv->first + lv->n_units_instr + lv->n_solo; i++)
            print_instr(net, prog, &prog->instrs[i], out);
    }
    (void)fprintf(out,
                  "Memory of a rank: %.1f MB = weights, gradients, optimiser %.1f + activations %.1f + threads %.1f + "
                  "prepared weights %.1f\n",
                  (double)cnnbn_net_memory_bytes(net) * mb, (double)slab_total(net) * mb,
                  (double)prog->arena_floats * 4 * mb, (double)scratch_total(net) * mb,
                  (double)prog->prepared_floats * 4 * mb);
    (void)fprintf(out, "  (all tensors of a step side by side would take %.1f MB)\n",
                  (double)tensors_total(net, prog) * mb);
    (void)fprintf(
        out, "Communication of a step: %d small reductions of %zu doubles in all, gradients %.2f MB in %d bucket%s\n",
        reductions, doubles, (double)net->n_reduced * 4 * mb, net->n_buckets, net->n_buckets == 1 ? "" : "s");
}
