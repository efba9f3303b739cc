#include <math.h>
#include <stdio.h>
#include <string.h>

#include "case_tools.h"
#include "kernel_cases.h"

/* As for the direct convolution: float sums of up to a few thousand products. */
static const double dense_tolerance = 1e-5;

typedef struct dense_case {
    char label[160];
    dice d;
    arrays mem;
    case_run run;
    const cnnbn_kernels *table, *ref;
    cnnbn_dense_plan plan, ref_plan;
    size_t F, U;
    float *x, *w, *bias, *dy, *prepared, *workspace_fwd, *workspace_bwd, *ref_workspace;
    cnnbn_prologue in;
    cnnbn_activation act;
} dense_case;

static int random_features(dice *d)
{
    static const int usual[] = {1, 2, 10, 16, 63, 64, 65, 100, 128, 150};
    return dice_one_in(d, 2) ? usual[dice_int(d, 0, 9)] : dice_int(d, 1, 90);
}

static void case_begin(dense_case *c, const cnnbn_kernels *table, uint64_t seed, int index)
{
    memset(c, 0, sizeof *c);
    c->d = dice_new(seed, index);
    c->table = table;
    c->ref = kernel_cases_ref();
    int period = dice_one_in(&c->d, 2) ? random_features(&c->d) : dice_int(&c->d, 1, 20);
    int F = period < 30 ? period * dice_int(&c->d, 1, 5) : period, U = random_features(&c->d);
    if (dice_one_in(&c->d, 5)) { /* few units behind many features; the batch norm's whole vectors of channels */
        period = 16 * dice_int(&c->d, 1, 4);
        F = period * dice_int(&c->d, 2, 40);
        U = dice_int(&c->d, 1, 18);
        if (dice_one_in(&c->d, 4)) F *= 8; /* many blocks */
    }
    case_run_random(&c->run, &c->d, 40);
    c->plan = (cnnbn_dense_plan){.F = F, .U = U, .max_n = c->run.samples, .max_slice = c->run.max_slice};
    c->ref_plan = c->plan;
    table->dense_plan(&c->plan);
    c->ref->dense_plan(&c->ref_plan);
    (void)snprintf(c->label, sizeof c->label, "%s dense case %d: F%d U%d period %d; n %d slices %d from %d of %d",
                   table->name, index, F, U, period, c->run.samples, c->run.run.n_slices, c->run.run.first, c->run.S);
    size_t n = (size_t)c->run.samples;
    c->F = (size_t)F;
    c->U = (size_t)U;
    c->x = arrays_random(&c->mem, &c->d, n * c->F, -1, 1);
    c->w = arrays_random(&c->mem, &c->d, c->F * c->U, -1, 1);
    c->dy = arrays_random(&c->mem, &c->d, n * c->U, -1, 1);
    c->bias = dice_one_in(&c->d, 2) ? NULL : arrays_random(&c->mem, &c->d, c->U, -1, 1);
    c->in = case_prologue(&c->mem, &c->d, period, 0);
    c->act = case_act_from_output(&c->d);
    c->prepared = arrays_floats(&c->mem, c->plan.prepared_floats, 0);
    for (int part = 0; part < 3; part++) table->dense_prepare(&c->plan, c->w, c->prepared, part, 3);
    c->workspace_fwd = arrays_floats(&c->mem, c->plan.fwd_workspace_floats, 0);
    c->workspace_bwd = arrays_floats(&c->mem, c->plan.bwd_workspace_floats, 0);
    c->ref_workspace = arrays_floats(&c->mem, c->ref_plan.fwd_workspace_floats, 0);
}

static void forward(const dense_case *c, const cnnbn_run *run, size_t first, float *y)
{
    cnnbn_dense_fwd args = {.run = run,
                            .x = c->x + first * c->F,
                            .in = c->in,
                            .w = c->w,
                            .prepared = c->prepared,
                            .bias = c->bias,
                            .act = c->act,
                            .y = y + first * c->U,
                            .workspace = c->workspace_fwd};
    c->table->dense_fwd(&c->plan, &args);
}

static void backward_data(const dense_case *c, const cnnbn_run *run, size_t first, float *dx)
{
    cnnbn_dense_bwd_data args = {.run = run,
                                 .dy = c->dy + first * c->U,
                                 .w = c->w,
                                 .prepared = c->prepared,
                                 .dx = dx + first * c->F,
                                 .workspace = c->workspace_bwd};
    c->table->dense_bwd_data(&c->plan, &args);
}

static void backward_weights(const dense_case *c, const cnnbn_run *run, size_t first, float *dw, float *db, int n_parts)
{
    cnnbn_dense_bwd_weights args = {.run = run,
                                    .x = c->x + first * c->F,
                                    .in = c->in,
                                    .dy = c->dy + first * c->U,
                                    .dw = dw,
                                    .dw_stride = c->F * c->U,
                                    .db = db,
                                    .db_stride = c->U,
                                    .n_parts = n_parts,
                                    .workspace = c->workspace_bwd};
    /* db is part 0's, which runs last here: in threads, another part that wrote it would be a race. */
    int watched = db && run->n_nodes > 0;
    float before = watched ? db[0] : 0, after = before;
    for (args.part = n_parts - 1; args.part >= 0; args.part--) {
        if (args.part == 0 && watched) after = db[0];
        c->table->dense_bwd_weights(&c->plan, &args);
    }
    case_bits(c->label, "db before part 0", &after, &before, sizeof after);
}

static void check_samples(dense_case *c)
{
    const cnnbn_run *run = &c->run.run;
    size_t n = (size_t)c->run.samples;
    float *y = arrays_floats(&c->mem, n * c->U, 1), *ref_y = arrays_floats(&c->mem, n * c->U, 0);
    float *dx = arrays_floats(&c->mem, n * c->F, 1), *ref_dx = arrays_floats(&c->mem, n * c->F, 0);
    for (int s = 0; s < run->n_slices; s++) {
        case_run one;
        case_run_slice(&one, &c->run, s);
        forward(c, &one.run, (size_t)run->bounds[s], y);
        backward_data(c, &one.run, (size_t)run->bounds[s], dx);
    }
    cnnbn_dense_fwd fwd = {.run = run,
                           .x = c->x,
                           .in = c->in,
                           .w = c->w,
                           .bias = c->bias,
                           .act = c->act,
                           .y = ref_y,
                           .workspace = c->ref_workspace};
    cnnbn_dense_bwd_data bwd = {.run = run, .dy = c->dy, .w = c->w, .dx = ref_dx};
    c->ref->dense_fwd(&c->ref_plan, &fwd);
    c->ref->dense_bwd_data(&c->ref_plan, &bwd);
    case_close(c->label, "y", y, ref_y, n * c->U, sqrt((double)c->F) / 3, dense_tolerance);
    case_close(c->label, "dx", dx, ref_dx, n * c->F, sqrt((double)c->U) / 3, dense_tolerance);
    if (!c->plan.any_grouping) return;
    float *y2 = arrays_floats(&c->mem, n * c->U, 1), *dx2 = arrays_floats(&c->mem, n * c->F, 1);
    forward(c, run, 0, y2);
    backward_data(c, run, 0, dx2);
    case_bits(c->label, "y of a run against its slices", y2, y, n * c->U * sizeof *y);
    case_bits(c->label, "dx of a run against its slices", dx2, dx, n * c->F * sizeof *dx);
    case_run single;
    case_run_fill(&single, 1, 1, 0, 1);
    for (size_t i = 0; i < n; i++) {
        forward(c, &single.run, i, y2);
        backward_data(c, &single.run, i, dx2);
    }
    case_bits(c->label, "y of a run against its samples", y2, y, n * c->U * sizeof *y);
    case_bits(c->label, "dx of a run against its samples", dx2, dx, n * c->F * sizeof *dx);
}

static void check_weights(dense_case *c)
{
    const cnnbn_run *run = &c->run.run;
    size_t nodes = (size_t)run->n_nodes, weights = c->F * c->U;
    int with_db = !dice_one_in(&c->d, 3);
    float *ref_dw = arrays_floats(&c->mem, nodes * weights, 0), *ref_db = arrays_floats(&c->mem, nodes * c->U, 0);
    cnnbn_dense_bwd_weights args = {.run = run,
                                    .x = c->x,
                                    .in = c->in,
                                    .dy = c->dy,
                                    .dw = ref_dw,
                                    .dw_stride = weights,
                                    .db = ref_db,
                                    .db_stride = c->U,
                                    .n_parts = 1};
    c->ref->dense_bwd_weights(&c->ref_plan, &args);

    /* Room for the nodes and no more: the guards see a kernel that keeps its stack there. The tree runs in the kernel
     * whatever any_grouping says: that is about y and dx. */
    float *dw[3], *db[3] = {NULL, NULL, NULL};
    double floor = sqrt((double)c->run.samples) / 3;
    for (int parts = 1; parts <= 3; parts++) {
        dw[parts - 1] = arrays_floats(&c->mem, nodes * weights, 1);
        if (with_db) db[parts - 1] = arrays_floats(&c->mem, nodes * c->U, 1);
        backward_weights(c, run, 0, dw[parts - 1], db[parts - 1], parts);
    }
    for (size_t e = 0; e < nodes; e++) {
        case_close(c->label, "dw", dw[0] + e * weights, ref_dw + e * weights, weights, floor, dense_tolerance);
        if (with_db) case_close(c->label, "db", db[0] + e * c->U, ref_db + e * c->U, c->U, floor, dense_tolerance);
    }
    for (int k = 1; k < 3; k++) {
        case_nodes_f32(c->label, "dw by parts", run, weights, dw[k], dw[0], weights);
        if (with_db) case_nodes_f32(c->label, "db by parts", run, c->U, db[k], db[0], c->U);
    }
    float *join_dw = arrays_floats(&c->mem, CNNBN_TREE_DEPTH * weights, 1);
    float *join_db = arrays_floats(&c->mem, CNNBN_TREE_DEPTH * c->U, 1);
    join jw = {.S = c->run.S}, jb = {.S = c->run.S};
    for (int s = 0; s < run->n_slices; s++) {
        case_run one;
        case_run_slice(&one, &c->run, s);
        backward_weights(c, &one.run, (size_t)run->bounds[s], join_dw + (size_t)jw.height * weights,
                         with_db ? join_db + (size_t)jb.height * c->U : NULL, dice_int(&c->d, 1, 3));
        join_push_f32(&jw, &one.run, weights, join_dw, weights);
        join_push_f32(&jb, &one.run, with_db ? c->U : 0, join_db, c->U);
    }
    case_nodes_f32(c->label, "dw of a run against its slices", run, weights, dw[0], join_dw, weights);
    if (with_db) case_nodes_f32(c->label, "db of a run against its slices", run, c->U, db[0], join_db, c->U);
}

/* dense_bwd_bn beside the naive one: sums of every node, and dx; and a run's sums against its slices'. */
static void check_batch_norm(dense_case *c)
{
    const cnnbn_run *run = &c->run.run;
    size_t n = (size_t)c->run.samples, C = (size_t)c->in.period, nodes = (size_t)run->n_nodes,
           depth = (size_t)run->depth;
    if (!c->plan.fuses_bn || !c->in.mean || C % 16 != 0) return;
    double *sums = (double *)(void *)arrays_floats(&c->mem, 4 * C * depth, 0);
    double *ref_sums = (double *)(void *)arrays_floats(&c->mem, 4 * C * depth, 0);
    float *dx = arrays_floats(&c->mem, n * c->F, 1), *ref_dx = arrays_floats(&c->mem, n * c->F, 0);
    cnnbn_dense_bwd_bn args = {
        .run = run,
        .dy = c->dy,
        .w = c->w,
        .prepared = c->prepared,
        .x = c->x,
        .in = c->in,
        .sums = sums,
        .sums_stride = 2 * C,
        .a = arrays_random(&c->mem, &c->d, C, -1, 1),
        .b = arrays_random(&c->mem, &c->d, C, -1, 1),
        .c0 = arrays_random(&c->mem, &c->d, C, -1, 1),
        .pre = {dice_one_in(&c->d, 2) ? CNNBN_ACT_RELU : CNNBN_ACT_LINEAR, 0, 0, 0},
        .dx = dx,
        .workspace = c->workspace_bwd,
    };
    args.in.act = (cnnbn_activation){CNNBN_ACT_LINEAR, 0, 0, 0};
    c->table->dense_bwd_bn(&c->plan, &args);
    args.sums = ref_sums;
    args.dx = ref_dx;
    c->ref->dense_bwd_bn(&c->ref_plan, &args);
    case_close(c->label, "dx through a batch norm", dx, ref_dx, n * c->F, sqrt((double)c->U), dense_tolerance);
    double floor = sqrt((double)c->run.samples * (double)c->F / (double)C) + 1;
    for (size_t i = 0; i < nodes * 2 * C; i++)
        if (!(fabs(sums[i] - ref_sums[i]) <= dense_tolerance * (fabs(ref_sums[i]) + floor * sqrt((double)c->U))))
            fail_msg("%s: sum %zu through a batch norm: %.9g, expected %.9g", c->label, i, sums[i], ref_sums[i]);
}

/* The same sums by way of the weights' gradient, which is then that of x - mean; any number of parts, a run and its slices. */
static void check_sums_of_weights(dense_case *c)
{
    const cnnbn_run *run = &c->run.run;
    const size_t C = (size_t)c->in.period, nodes = (size_t)run->n_nodes, weights = c->F * c->U;
    if (!c->plan.bn_groups || !c->in.mean || C % 16 != 0 || C * c->U > c->F) return;
    float *ones = arrays_floats(&c->mem, C, 0), *zeros = arrays_floats(&c->mem, C, 0);
    for (size_t i = 0; i < C; i++) {
        ones[i] = 1;
        zeros[i] = 0;
    }
    const cnnbn_prologue centred = {c->in.mean, ones, zeros, (int)C, {CNNBN_ACT_LINEAR, 0, 0, 0}};
    const size_t partial = (size_t)c->plan.bn_groups * ((size_t)run->n_slices + c->U) * C;
    float *dw = arrays_floats(&c->mem, nodes * weights, 1), *ref_dw = arrays_floats(&c->mem, nodes * weights, 0);
    float *parts[2] = {arrays_floats(&c->mem, partial, 0), arrays_floats(&c->mem, partial, 0)};
    double *sums = arrays_doubles(&c->mem, (size_t)run->depth * 2 * C);
    double *expected = arrays_doubles(&c->mem, (size_t)run->depth * 2 * C), *scale = arrays_doubles(&c->mem, 2 * C);
    cnnbn_dense_bwd_weights args = {.run = run,
                                    .x = c->x,
                                    .in = centred,
                                    .dy = c->dy,
                                    .dw = dw,
                                    .dw_stride = weights,
                                    .w = c->w,
                                    .prepared = c->prepared,
                                    .workspace = c->workspace_bwd};
    for (int k = 0; k < 2; k++) {
        args.bn_partial = parts[k];
        args.n_parts = k ? 1 : dice_int(&c->d, 2, 5);
        for (args.part = args.n_parts - 1; args.part >= 0; args.part--) c->table->dense_bwd_weights(&c->plan, &args);
    }
    case_bits(c->label, "sums by parts", parts[0], parts[1], partial * sizeof(float));
    args.bn_partial = NULL;
    args.dw = ref_dw;
    args.n_parts = 1;
    args.part = 0;
    c->ref->dense_bwd_weights(&c->ref_plan, &args);
    double floor = sqrt((double)c->run.samples) / 3;
    for (size_t e = 0; e < nodes; e++)
        case_close(c->label, "centred dw", dw + e * weights, ref_dw + e * weights, weights, floor, dense_tolerance);

    cnnbn_dense_bn_join last = {.run = run,
                                .period = (int)C,
                                .bn_partial = parts[0],
                                .dy = c->dy,
                                .sums = sums,
                                .sums_stride = 2 * C,
                                .workspace = c->workspace_bwd};
    c->table->dense_bn_join(&c->plan, &last);
    cnnbn_dense_bwd_bn naive = {
        .run = run, .dy = c->dy, .w = c->w, .x = c->x, .in = centred, .sums = expected, .sums_stride = 2 * C};
    c->ref->dense_bwd_bn(&c->ref_plan, &naive);
    double terms = sqrt((double)c->run.samples * (double)weights / (double)C) + 1;
    for (size_t i = 0; i < 2 * C; i++) scale[i] = terms;
    for (size_t e = 0; e < nodes; e++)
        case_close_f64(c->label, "sums of weights", sums + e * 2 * C, expected + e * 2 * C, scale, 2 * C,
                       dense_tolerance);
}

/* A NaN in x reaches its row of y and of dw; a NaN in dy its row of dx, its column of dw, and db. */
static void check_nan(dense_case *c)
{
    const cnnbn_run *run = &c->run.run;
    size_t n = (size_t)c->run.samples, weights = c->F * c->U;
    if (n == 0) return;
    c->act = kernel_cases_acts[dice_int(&c->d, 0, 1)];
    c->x[(size_t)dice_int(&c->d, 0, (int)(n * c->F) - 1)] = NAN;
    float *y = arrays_floats(&c->mem, n * c->U, 0), *ref_y = arrays_floats(&c->mem, n * c->U, 0);
    cnnbn_dense_fwd fwd = {.run = run,
                           .x = c->x,
                           .in = c->in,
                           .w = c->w,
                           .bias = c->bias,
                           .act = c->act,
                           .y = ref_y,
                           .workspace = c->ref_workspace};
    c->ref->dense_fwd(&c->ref_plan, &fwd);
    for (int s = 0; s < run->n_slices; s++) {
        case_run one;
        case_run_slice(&one, &c->run, s);
        forward(c, &one.run, (size_t)run->bounds[s], y);
    }
    case_nonfinite(c->label, "y with a NaN", y, ref_y, n * c->U);
    c->dy[(size_t)dice_int(&c->d, 0, (int)(n * c->U) - 1)] = NAN;
    size_t nodes = (size_t)run->n_nodes;
    float *dw = arrays_floats(&c->mem, nodes * weights, 0), *ref_dw = arrays_floats(&c->mem, nodes * weights, 0);
    float *db = arrays_floats(&c->mem, nodes * c->U, 0), *ref_db = arrays_floats(&c->mem, nodes * c->U, 0);
    cnnbn_dense_bwd_weights args = {.run = run,
                                    .x = c->x,
                                    .in = c->in,
                                    .dy = c->dy,
                                    .dw = ref_dw,
                                    .dw_stride = weights,
                                    .db = ref_db,
                                    .db_stride = c->U,
                                    .n_parts = 1};
    c->ref->dense_bwd_weights(&c->ref_plan, &args);
    backward_weights(c, run, 0, dw, db, 2);
    case_nonfinite(c->label, "dw with a NaN", dw, ref_dw, nodes * weights);
    case_nonfinite(c->label, "db with a NaN", db, ref_db, nodes * c->U);
}

void kernel_cases_dense(const cnnbn_kernels *table, int n_cases, uint64_t seed)
{
    for (int i = 0; i < n_cases; i++) {
        dense_case c;
        case_begin(&c, table, seed, i);
        check_samples(&c);
        check_weights(&c);
        check_batch_norm(&c);
        check_sums_of_weights(&c);
        check_nan(&c);
        arrays_end(&c.mem, c.label);
    }
}
