/* Runs the programs: one parallel region a step; units between barriers; MPI from the first thread alone. */
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "cnnbn/log.h"
#include "ir.h"
#include "plain.h"

static void wait_threads(cnnbn_net *net, int tid)
{
    double start = cnnbn_now_s();
#pragma omp barrier
    cnnbn__activity_end(net, tid, CNNBN_ACTIVITY_WAIT, 0, start);
}

/* ---------------------------------------------------------------- units */

static void add_entry(cnnbn_net *net, thread_state *t, const net_level *lv, int from, int to)
{
    if (lv->stack_floats)
        net->kernels->add(lv->stack_floats, t->stack + (size_t)from * lv->stack_floats,
                          t->stack + (size_t)to * lv->stack_floats);
    if (lv->payload)
        net->kernels->add_f64(lv->payload, t->sums + (size_t)from * lv->payload, t->sums + (size_t)to * lv->payload);
}

static void mark_position(cnnbn_net *net, int index, int inference, int tid)
{
    if (tid != 0) return;
    net->position_instr = index;
    net->position_inference = inference;
    net->position_count++;
}

/* `index` of the instruction in the training program; -1: not for the timeline. */
static void note_time(cnnbn_net *net, instr *in, int index, int tid, double start)
{
    double end = cnnbn_now_s();
    if (net->trace_room && index >= 0) cnnbn__trace_add(net, tid, index, 0, start, end);
#pragma omp atomic
    in->seconds += end - start;
}

static void run_instrs(const work_unit *u, program *prog, const net_level *lv)
{
    cnnbn_net *net = u->net;
    for (int i = lv->first; i < lv->first + lv->n_units_instr; i++) {
        mark_position(net, i, !prog->training, u->tid);
        double start = cnnbn_now_s();
        cnnbn__run_instr(u, &prog->instrs[i]);
        note_time(net, &prog->instrs[i], prog->training ? i : -1, u->tid, start);
    }
}

static void drive_requests(cnnbn_net *net, int tid)
{
    if (tid != 0 || net->request_status != CNNBN_OK) return;
    double start = cnnbn_now_s();
    net->request_status =
        cnnbn_reduce_progress(net->reducer); /* the others read net->status: it changes between barriers only */
    cnnbn__note_flight(net);
    cnnbn__activity_end(net, tid, CNNBN_ACTIVITY_PROGRESS, 0, start);
}

/* A unit of the step under way; its sums go to entry 0. */
static work_unit unit_of(cnnbn_net *net, thread_state *t, int tid, const cnnbn_run *run, size_t local)
{
    const cnnbn_batch *batch = net->batch;
    work_unit u = {
        .net = net,
        .prog = &net->train,
        .thread = t,
        .tid = tid,
        .run = run,
        .n = run->bounds[run->n_slices],
        .first_local = local,
        .images = batch->images + local,
        .targets = cnnbn__targets_from(&batch->targets, local),
        .ids = batch->ids + local,
        .epoch = batch->epoch,
        .sums = t->sums,
    };
    if (batch->partners) {
        u.partners = batch->partners + local;
        u.partner_ids = batch->partner_ids + local;
        u.weights = batch->weights + local;
    }
    return u;
}

/* A thread's slices of one level, unit by unit: aligned subtrees of at most unit_slices slices. */
static void run_level_units(cnnbn_net *net, const net_level *lv, int tid)
{
    thread_state *t = &net->threads[tid];
    const cnnbn_batch *batch = net->batch;
    t->height = 0;
    for (int s = t->first; s < t->first + t->n_slices;) {
        int size = lv->unit_slices;
        while (s % size != 0 || s + size > t->first + t->n_slices) size /= 2;
        cnnbn_run run;
        cnnbn_run_fill(&run, batch->n_global, net->S, s, size, t->bounds, t->n_merge);
        size_t local = cnnbn_slice_begin(batch->n_global, net->S, s) - net->first_sample;
        work_unit u = unit_of(net, t, tid, &run, local);
        u.entry = t->height;
        u.sums = t->sums + (size_t)t->height * lv->payload;
        run_instrs(&u, &net->train, lv);
        int merges = cnnbn_tree_push(net->S, t->nodes, &t->height, run.nodes[0]);
        for (int m = merges; m > 0; m--) add_entry(net, t, lv, t->height + m - 1, t->height + m - 2);
        drive_requests(net, tid);
        s += size;
    }
}

/* ---------------------------------------------------------------- joining threads */

/* Adds and copies of the join (net.c) on part tid of an entry of `floats` floats. */
static void join_floats(cnnbn_net *net, const net_level *lv, int tid)
{
    size_t lines = lv->stack_floats / 16, n = (size_t)net->n_threads;
    size_t begin = lines * (size_t)tid / n * 16, end = lines * ((size_t)tid + 1) / n * 16;
    if (begin == end) return;
    for (int j = 0; j < net->n_joins; j++) {
        const join_add *a = &net->joins[j];
        net->kernels->add(end - begin,
                          net->threads[a->src_thread].stack + (size_t)a->src_entry * lv->stack_floats + begin,
                          net->threads[a->dst_thread].stack + (size_t)a->dst_entry * lv->stack_floats + begin);
    }
}

static void join_sums(cnnbn_net *net, const net_level *lv)
{
    for (int j = 0; j < net->n_joins; j++) {
        const join_add *a = &net->joins[j];
        net->kernels->add_f64(lv->payload, net->threads[a->src_thread].sums + (size_t)a->src_entry * lv->payload,
                              net->threads[a->dst_thread].sums + (size_t)a->dst_entry * lv->payload);
    }
    for (int e = 0; e < net->n_copies; e++)
        memcpy(net->nodes + (size_t)e * lv->payload,
               net->threads[net->copies[e].thread].sums + (size_t)net->copies[e].entry * lv->payload,
               lv->payload * sizeof(double));
}

/* Weight gradients of the level's instructions from the stacks to the rank's entries of the slab. */
static void copy_gradients(cnnbn_net *net, const program *prog, const net_level *lv)
{
    for (int i = lv->first; i < lv->first + lv->n_units_instr; i++) {
        const instr *in = &prog->instrs[i];
        if (in->kind != I_CONV_BWD && (in->kind != I_PLAIN_BWD || in->which > 0)) continue;
        const op *o = &net->ops[in->op];
        const int params[2] = {o->kernel, o->bias};
        const size_t offsets[2] = {o->kernel_grad, o->bias_grad};
        size_t from = in->stack_offset;
        for (int k = 0; k < 2; k++) {
            if (params[k] < 0) continue;
            const cnnbn_param *p = &net->model->params[params[k]];
            for (int e = 0; e < net->n_copies && p->trainable; e++)
                memcpy(net->grads + (size_t)e * net->grad_stride + offsets[k],
                       net->threads[net->copies[e].thread].stack + (size_t)net->copies[e].entry * lv->stack_floats +
                           from,
                       p->count * sizeof(float));
            from += (p->count + 15) / 16 * 16;
        }
    }
}

/* ---------------------------------------------------------------- between levels */

static void spread_sums(cnnbn_net *net, int at_level, const double *sums, double count)
{
    for (int b = 0; b < net->n_bns; b++) {
        bn_state *bn = &net->bns[b];
        if (bn->frozen) continue;
        if (bn->stats_level == at_level) cnnbn__bn_after_stats(net, bn, sums + bn->stats_offset, count * bn->positions);
        if (bn->sums_level == at_level) cnnbn__bn_after_sums(net, bn, sums + bn->sums_offset, count * bn->positions);
    }
}

/* Statistics of this rank alone; gradients of gamma and beta are then summed over ranks with the others, so they stand in the
 * first entry and the other entries are zero. A rank without samples contributes nothing. */
static void spread_local_sums(cnnbn_net *net, int at_level, const net_level *lv)
{
    memset(net->reduced, 0, lv->payload * sizeof(double));
    for (int e = 0; e < net->n_copies; e++)
        net->kernels->add_f64(lv->payload, net->nodes + (size_t)e * lv->payload, net->reduced);
    double count = net->batch->n_local ? (double)net->batch->n_local : 1;
    if (net->batch->n_local) {
        spread_sums(net, at_level, net->reduced, count);
    }
    for (int b = 0; b < net->n_bns; b++) {
        const bn_state *bn = &net->bns[b];
        if (bn->frozen || bn->sums_level != at_level) continue;
        for (int which = 0; which <= 1; which++) {
            int param = which ? bn->beta : bn->gamma;
            if (param < 0) continue;
            for (int e = net->batch->n_local ? 1 : 0; e < (net->n_nodes ? net->n_nodes : 1); e++)
                memset(net->grads + (size_t)e * net->grad_stride + (which ? bn->beta_grad : bn->gamma_grad), 0,
                       (size_t)bn->C * sizeof(float));
        }
    }
}

static cnnbn_status reduce_level(cnnbn_net *net, int at_level, const net_level *lv)
{
    double *extra = lv->has_loss ? net->flags : NULL;
    size_t n_extra = lv->has_loss ? STOP_FLAGS : 0;
    if (net->config.bn_local) {
        if (lv->has_loss)
            CNNBN_TRY(cnnbn_reduce_f64(net->reducer, net->nodes + lv->loss_offset, lv->payload, net->n_sums,
                                       net->loss_sums, extra, n_extra));
        /* the reduction may use the entries of the loss as it likes, not the others */
        spread_local_sums(net, at_level, lv);
    } else {
        CNNBN_TRY(cnnbn_reduce_f64(net->reducer, net->nodes, lv->payload, lv->payload, net->reduced, extra, n_extra));
        spread_sums(net, at_level, net->reduced, (double)net->batch->n_global);
    }
    if (!lv->has_loss) return CNNBN_OK;
    if (!net->config.bn_local)
        memcpy(net->loss_sums, net->reduced + lv->loss_offset, net->n_sums * sizeof *net->loss_sums);
    if (!isfinite(net->loss_sums[0]))
        return cnnbn_error(CNNBN_ERR_NONFINITE, "the loss is %g", net->loss_sums[0] / (double)net->batch->n_global);
    return CNNBN_OK;
}

static cnnbn_status start_buckets(cnnbn_net *net, int after_level)
{
    for (int b = 0; b < net->n_buckets; b++)
        if (net->buckets[b].level == after_level)
            CNNBN_TRY(cnnbn_reduce_f32_start(net->reducer, net->grads + net->buckets[b].begin, net->grad_stride,
                                             net->buckets[b].count, &net->requests[b]));
    return CNNBN_OK;
}

static cnnbn_status finish_buckets(cnnbn_net *net)
{
    for (int b = 0; b < net->n_buckets; b++) {
        double start = cnnbn_now_s();
        CNNBN_TRY(cnnbn_reduce_f32_wait(net->reducer, net->requests[b]));
        cnnbn__note_flight(net);
        cnnbn__activity_end(net, 0, CNNBN_ACTIVITY_GRADIENTS, b, start);
    }
    return CNNBN_OK;
}

static void add_agains(cnnbn_net *net)
{
    for (int i = 0; i < net->n_agains; i++) {
        const again *a = &net->agains[i];
        net->kernels->add(net->model->params[a->param].count, net->grads + a->other, net->grads + a->first);
    }
}

/* ---------------------------------------------------------------- a step */

/* Each returns whether the plan has such a form. */
static int prepare_conv_fwd(cnnbn_net *net, const program *prog, const op *o, int tid, int n_threads)
{
    const cnnbn_conv_plan *plan = &prog->conv_plans[o->conv_plan];
    if (!plan->fwd_prepared_floats) return 0;
    cnnbn_prologue p = {NULL, NULL, NULL, 1, {CNNBN_ACT_LINEAR, 0, 0, 0}};
    if (o->prologue >= 0) {
        p = cnnbn__bn_prologue(&net->bns[o->prologue]);
        p.act = net->bns[o->prologue].act;
    }
    net->kernels->conv_prepare_fwd(plan, cnnbn_net_param(net, o->kernel),
                                   o->kind == OP_CONV ? cnnbn__weight(net, o->bias) : NULL, &p,
                                   net->prepared + prog->fwd_prepared[o->conv_plan], tid, n_threads);
    return 1;
}

static int prepare_conv_bwd(cnnbn_net *net, const program *prog, const op *o, int tid, int n_threads)
{
    const cnnbn_conv_plan *plan = &prog->conv_plans[o->conv_plan];
    if (!plan->bwd_prepared_floats) return 0;
    net->kernels->conv_prepare_bwd(plan, cnnbn_net_param(net, o->kernel),
                                   net->prepared + prog->bwd_prepared[o->conv_plan], tid, n_threads);
    return 1;
}

static int prepare_dense(cnnbn_net *net, const program *prog, const op *o, int tid, int n_threads)
{
    const cnnbn_dense_plan *plan = &prog->dense_plans[o->dense_plan];
    if (!plan->prepared_floats) return 0;
    net->kernels->dense_prepare(plan, cnnbn_net_param(net, o->kernel),
                                net->prepared + prog->dense_prepared[o->dense_plan], tid, n_threads);
    return 1;
}

/* Forms of the weights for the level's convolutions and dense layers; all threads, no barrier. Returns whether there was any. */
static int prepare_level(cnnbn_net *net, const program *prog, const net_level *lv, int tid, int n_threads)
{
    int any = 0;
    for (int i = lv->first; i < lv->first + lv->n_units_instr; i++) {
        const instr *in = &prog->instrs[i];
        if (in->op < 0) continue;
        const op *o = &net->ops[in->op];
        int transposed = cnnbn__op_is_transposed(o);
        if (in->kind == I_CONV_FWD || (transposed && in->kind == I_PLAIN_BWD))
            any |= prepare_conv_fwd(net, prog, o, tid, n_threads);
        if (in->kind == I_CONV_BWD || transposed) any |= prepare_conv_bwd(net, prog, o, tid, n_threads);
        if (in->kind == I_DENSE_FWD)
            any |= prepare_dense(net, prog, o, tid, n_threads); /* serves the backward pass too */
    }
    return any;
}

static void level_end(cnnbn_net *net, int index, const net_level *lv)
{
    copy_gradients(net, &net->train, lv);
    cnnbn_status status = CNNBN_OK;
    double start = cnnbn_now_s();
    if (lv->reduces) {
        join_sums(net, lv);
        cnnbn__weight_sums_join(net, lv);
        status = reduce_level(net, index, lv);
        cnnbn__activity_end(net, 0, CNNBN_ACTIVITY_SUMS, index, start);
    }
    start = cnnbn_now_s();
    if (status == CNNBN_OK) status = start_buckets(net, index);
    cnnbn__note_flight(net);
    cnnbn__activity_end(net, 0, CNNBN_ACTIVITY_START, index, start);
    if (status == CNNBN_OK) status = net->request_status; /* a request failed on the way */
    net->status = status;
}

static void optimize(cnnbn_net *net, int tid, void (*phase)(cnnbn_net *net, int tid))
{
    double start = cnnbn_now_s();
    phase(net, tid);
    cnnbn__activity_end(net, tid, CNNBN_ACTIVITY_OPTIMIZER, 0, start);
}

/* From the reduced gradient to the new weights; all threads. */
static void end_step(cnnbn_net *net, int tid)
{
    const cnnbn_batch *batch = net->batch;
    if (batch->n_parts > 1) {
        optimize(net, tid, cnnbn__optimizer_accumulate);
        if (batch->part < batch->n_parts - 1) return;
        wait_threads(net, tid);
    }
    if (net->has_penalties) {
        optimize(net, tid, cnnbn__rules_penalize);
        wait_threads(net, tid);
    }
    optimize(net, tid, cnnbn__optimizer_look);
    wait_threads(net, tid);
    if (!cnnbn__optimizer_may_update(net)) {
        if (tid == 0) net->finish_status = cnnbn_error(CNNBN_ERR_NONFINITE, "the gradient is not finite");
        return;
    }
    if (cnnbn__optimizer_has_ratios(net)) {
        optimize(net, tid, cnnbn__optimizer_direct);
        wait_threads(net, tid);
        optimize(net, tid, cnnbn__optimizer_ratios);
        wait_threads(net, tid);
    }
    optimize(net, tid, cnnbn__optimizer_update);
    if (net->has_constraints) {
        wait_threads(net, tid);
        optimize(net, tid, cnnbn__rules_constrain);
        wait_threads(net, tid);
    }
    if (net->ema) optimize(net, tid, cnnbn__optimizer_average);
}

static void step_thread(cnnbn_net *net, int tid)
{
    program *prog = &net->train;
    for (int l = 0; l < prog->n_levels; l++) {
        const net_level *lv = &prog->levels[l];
        double start = cnnbn_now_s();
        int prepared = prepare_level(net, prog, lv, tid, net->n_threads);
        cnnbn__activity_end(net, tid, CNNBN_ACTIVITY_PREPARE, l, start);
        if (prepared) wait_threads(net, tid);
        run_level_units(net, lv, tid);
        wait_threads(net, tid);
        start = cnnbn_now_s();
        join_floats(net, lv, tid);
        cnnbn__activity_end(net, tid, CNNBN_ACTIVITY_JOIN, l, start);
        for (int i = lv->first + lv->n_units_instr; i < lv->first + lv->n_units_instr + lv->n_solo; i++) {
            mark_position(net, i, 0, tid);
            start = cnnbn_now_s();
            cnnbn__run_solo(net, prog, &prog->instrs[i], tid);
            note_time(net, &prog->instrs[i], i, tid, start);
        }
        wait_threads(net, tid);
        if (tid == 0) level_end(net, l, lv);
        wait_threads(net, tid);
        if (net->status != CNNBN_OK) return;
    }
    if (tid == 0) {
        net->finish_status = finish_buckets(net); /* the others may still be looking at net->status */
        if (net->finish_status == CNNBN_OK) {
            cnnbn__weight_sums_finish(net);
            add_agains(net);
            cnnbn__bn_update_moving(net);
        }
    }
    wait_threads(net, tid);
    if (net->finish_status != CNNBN_OK) return;
    end_step(net, tid);
}

cnnbn_status cnnbn_net_train_step(cnnbn_net *net, const cnnbn_batch *batch, const double flags_in[4],
                                  cnnbn_step_result *result)
{
    if (batch->partners && !(net->config.augment.mixup > 0))
        return cnnbn_error(CNNBN_ERR_INTERNAL, "a batch with partners for a net without mixup");
    net->given = *batch; /* find_nonfinite looks at it again */
    net->batch = &net->given;
    net->first_sample = cnnbn_slice_begin(batch->n_global, net->S, net->first_slice);
    int n_parts = batch->n_parts > 1 ? batch->n_parts : 1;
    net->grad_scale = (float)(1.0 / (double)(n_parts > 1 ? batch->n_step : batch->n_global));
    if (n_parts == 1 || batch->part == 0) memcpy(net->state_before, net->state, net->n_state * sizeof *net->state);
    net->status = net->request_status = net->finish_status = CNNBN_OK;
    for (int f = 0; f < STOP_FLAGS; f++) net->flags[f] = flags_in[f];
    cnnbn_run_fill(&net->rank_run, batch->n_global, net->S, net->first_slice, net->n_slices, net->rank_bounds,
                   net->rank_merge);
    for (int b = 0; b < net->n_bns; b++) {
        net->bns[b].has_batch = 0;
        if (net->bns[b].frozen) cnnbn__bn_use_moving(net, &net->bns[b]);
    }
#pragma omp parallel num_threads(net->n_threads)
    {
        step_thread(net, omp_get_thread_num());
    }
    if (net->status == CNNBN_OK) net->status = net->finish_status;
    result->loss = net->loss_sums[0] / (double)batch->n_global;
    int is_last = n_parts == 1 || batch->part == n_parts - 1; /* only then are there new penalties */
    if (net->status == CNNBN_OK) result->loss += is_last ? cnnbn__rules_sum(net) : cnnbn_net_penalty(net);
    result->sums = net->loss_sums;
    for (int f = 0; f < STOP_FLAGS; f++) result->flags[f] = net->flags[f];
    if (net->status == CNNBN_OK && is_last) net->iterations++;
    if (net->status == CNNBN_ERR_NONFINITE) memcpy(net->state, net->state_before, net->n_state * sizeof *net->state);
    return net->status;
}

/* ---------------------------------------------------------------- inference */

int cnnbn_net_block(const cnnbn_net *net)
{
    return net->block;
}

static void infer_block(cnnbn_net *net, size_t block, size_t n, const void *const *images, const cnnbn_targets *targets,
                        double *block_sums, float *outputs, int tid)
{
    program *prog = &net->infer;
    thread_state *t = &net->threads[tid];
    size_t first = block * (size_t)net->block;
    int count = (int)(n - first < (size_t)net->block ? n - first : (size_t)net->block);
    cnnbn_run run;
    cnnbn_run_fill(&run, (size_t)count, 1, 0, 1, t->bounds, t->n_merge);
    work_unit u = {
        .net = net,
        .prog = prog,
        .thread = t,
        .tid = tid,
        .run = &run,
        .n = count,
        .images = images + first,
        .sums = block_sums ? block_sums + block * net->n_sums : t->sums,
    };
    if (targets) u.targets = cnnbn__targets_from(targets, first);
    run_instrs(&u, prog, &prog->levels[0]);
    if (!outputs) return;
    const value *out = &prog->values[cnnbn__value_root(prog, prog->output)];
    cnnbn__make_outputs(net, (size_t)count, out->count, t->scratch + out->offset, outputs + first * out->count);
}

void cnnbn_net_infer(cnnbn_net *net, size_t n, const void *const *images, const cnnbn_targets *targets,
                     double *block_sums, float *outputs)
{
    size_t n_blocks = (n + (size_t)net->block - 1) / (size_t)net->block;
    for (int b = 0; b < net->n_bns; b++) cnnbn__bn_use_moving(net, &net->bns[b]);
#pragma omp parallel num_threads(net->n_threads)
    {
        int tid = omp_get_thread_num();
        (void)prepare_level(net, &net->infer, &net->infer.levels[0], tid, net->n_threads);
#pragma omp barrier
#pragma omp for schedule(static)
        for (size_t b = 0; b < n_blocks; b++) infer_block(net, b, n, images, targets, block_sums, outputs, tid);
    }
}

/* ---------------------------------------------------------------- looking in */

void cnnbn_net_position(const cnnbn_net *net, char *text, size_t bytes, uint64_t *count)
{
    const program *prog = net->position_inference ? &net->infer : &net->train;
    int i = net->position_instr;
    *count = net->position_count;
    if (i < 0 || i >= prog->n_instrs) {
        (void)snprintf(text, bytes, "between steps");
        return;
    }
    const instr *in = &prog->instrs[i];
    (void)snprintf(text, bytes, "%s of %s", cnnbn__instr_name(in->kind), cnnbn__op_layer_name(net, in->op));
}

void cnnbn_net_profile_reset(cnnbn_net *net)
{
    for (int i = 0; i < net->train.n_instrs; i++) net->train.instrs[i].seconds = 0;
    memset(net->activity_s, 0, sizeof net->activity_s);
    net->flight_s = 0;
}

int cnnbn_net_profile_rows(const cnnbn_net *net, cnnbn_profile_row *rows, int max_rows)
{
    int n = 0;
    for (int i = 0; i < net->train.n_instrs && n < max_rows; i++) {
        const instr *in = &net->train.instrs[i];
        rows[n].layer = cnnbn__op_layer_name(net, in->op);
        rows[n].what = cnnbn__instr_name(in->kind);
        rows[n].seconds = in->seconds;
        rows[n].gflop = in->flop * 1e-9;
        n++;
    }
    return n;
}

static int first_nonfinite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return 1;
    return 0;
}

/* Runs the level's forward instructions once more, slice by slice, and looks at what each writes while it stands there: in the step
 * itself most of it was overwritten. Returns the least index, below `found`, of one that wrote a NaN or Inf; else `found`. */
static int look_at_level(cnnbn_net *net, const net_level *lv, int found)
{
    const program *prog = &net->train;
    const cnnbn_batch *batch = net->batch;
    thread_state *t = &net->threads[0];
    (void)prepare_level(net, prog, lv, 0, 1);
    for (int s = net->first_slice; s < net->first_slice + net->n_slices; s++) {
        cnnbn_run run;
        cnnbn_run_fill(&run, batch->n_global, net->S, s, 1, t->bounds, t->n_merge);
        size_t local = cnnbn_slice_begin(batch->n_global, net->S, s) - net->first_sample;
        work_unit u = unit_of(net, t, 0, &run, local);
        for (int i = lv->first; i < lv->first + lv->n_units_instr; i++) {
            const instr *in = &prog->instrs[i];
            if (in->kind == I_LOSS) break;
            cnnbn__run_instr(&u, in);
            if (in->out < 0 || i >= found) continue;
            const value *v = &prog->values[cnnbn__value_root(prog, in->out)];
            const float *y =
                v->place == PLACE_STORED ? net->arena + v->offset + local * v->count : t->scratch + v->offset;
            if (first_nonfinite(y, v->count * (size_t)u.n)) found = i;
        }
    }
    return found;
}

void cnnbn_net_find_nonfinite(cnnbn_net *net, int *order, char *text, size_t bytes)
{
    const cnnbn_model *model = net->model;
    text[0] = '\0';
    *order = 1 << 30;
    for (int i = 0; i < model->n_params; i++)
        if (first_nonfinite(cnnbn_net_param(net, i), model->params[i].count)) {
            *order = i;
            (void)snprintf(text, bytes, "weight %s of layer %s", model->params[i].name,
                           model->layers[model->params[i].layer].name);
            return;
        }
    const program *prog = &net->train;
    int found = prog->n_instrs;
    for (int l = 0; l < prog->n_levels && found == prog->n_instrs; l++) {
        found = look_at_level(net, &prog->levels[l], found);
        if (prog->levels[l].has_loss) break;
    }
    if (found == prog->n_instrs) {
        int i = cnnbn__optimizer_find_bad(net, text, bytes);
        if (i >= 0) *order = model->n_params + prog->n_instrs + model->n_params - i;
        return;
    }
    *order = model->n_params + found;
    (void)snprintf(text, bytes, "output of layer %s", cnnbn__op_layer_name(net, prog->instrs[found].op));
}
