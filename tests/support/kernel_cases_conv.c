#include <math.h>
#include <stdio.h>
#include <string.h>

#include "case_tools.h"
#include "kernel_cases.h"

/* A float sum of up to 4,000 products errs by about sqrt(4000) * 2^-24 = 4e-6 of its terms' root mean square. */
static const double direct_tolerance = 1e-5;
/* F(4x4, 3x3) multiplies rounding errors by its transforms (Lavin, Gray 2015, section 5.2: 10 to 100 times). */
static const double winograd_tolerance = 2e-4;
/* Sums for batch norm: float runs about a local shift, flushed to double. The bound is NUMERICS' for the variance: where
 * the shift, a slice's first pixel, is an outlier, float runs were seen to err by 4e-6. */
static const double stat_tolerance = 1e-5;
/* NUMERICS: relative error of the variance at a mean of 1e4 standard deviations. */
static const double variance_tolerance = 1e-5;

static const double macs_max = 4e5; /* of one case: keeps the naive twin's time at some milliseconds */

typedef struct conv_case {
    char label[256];
    dice d;
    arrays mem;
    case_run run;
    const cnnbn_kernels *table, *ref;
    cnnbn_conv_plan plan, ref_plan;
    size_t in, out, weights, K; /* floats of a sample, of its output, of the kernel */
    double tolerance, terms;
    float *x, *w, *bias, *dy, *shift;
    float *prepared_fwd, *prepared_bwd, *workspace_fwd, *workspace_bwd;
    float *ref_workspace;
    cnnbn_prologue in_prologue;
    cnnbn_activation act;
} conv_case;

static int random_channels(dice *d)
{
    static const int usual[] = {1, 3, 8, 16, 17, 24, 32, 33, 48, 64};
    return dice_one_in(d, 3) ? usual[dice_int(d, 0, 9)] : dice_int(d, 1, 9);
}

static void random_side(dice *d, int R, int stride, int dilation, int *H, int *pad, int *P)
{
    int extent = dilation * (R - 1) + 1;
    *pad = dice_one_in(d, 2) ? 0 : dice_int(d, 0, extent - 1);
    int after = dice_one_in(d, 2) ? *pad : dice_int(d, 0, extent - 1);
    int least = extent - *pad - after > 1 ? extent - *pad - after : 1;
    *H = dice_int(d, least, least + (dice_one_in(d, 3) ? 15 : 6));
    *P = (*H + *pad + after - extent) / stride + 1;
}

static cnnbn_conv_geom random_geom(dice *d)
{
    cnnbn_conv_geom g = {.stride_h = 1, .stride_w = 1, .dil_h = 1, .dil_w = 1, .groups = 1};
    g.C = random_channels(d);
    g.K = random_channels(d);
    g.R = dice_int(d, 1, 7);
    g.S = dice_int(d, 1, 7);
    int kind = dice_int(d, 0, 9);
    if (kind < 4) g.R = g.S = 3; /* the usual case, and the one that has fast algorithms */
    if (kind == 0) g.stride_h = g.stride_w = 2;
    if (kind == 4) g.R = g.S = 1;
    if (kind >= 3) {
        g.stride_h = dice_int(d, 1, 3);
        g.stride_w = dice_one_in(d, 2) ? g.stride_h : dice_int(d, 1, 3);
        if (dice_one_in(d, 3)) {
            g.dil_h = dice_int(d, 1, 3);
            g.dil_w = dice_int(d, 1, 3);
        }
        if (dice_one_in(d, 3)) {
            int each_in = dice_int(d, 1, 3), each_out = dice_int(d, 1, 3);
            g.groups = dice_int(d, 2, 5);
            if (dice_one_in(d, 2)) { /* depthwise */
                each_in = 1;
                g.groups = random_channels(d);
            }
            g.C = g.groups * each_in;
            g.K = g.groups * each_out;
        }
    }
    if (kind == 5) { /* the first layer of a model */
        g.groups = 1;
        g.C = dice_one_in(d, 2) ? 1 : 3;
        g.K = 16 * dice_int(d, 1, 3);
        g.R = g.S = dice_one_in(d, 3) ? 5 : 3;
    }
    random_side(d, g.R, g.stride_h, g.dil_h, &g.H, &g.pad_top, &g.P);
    random_side(d, g.S, g.stride_w, g.dil_w, &g.W, &g.pad_left, &g.Q);
    return g;
}

static double geom_macs(const cnnbn_conv_geom *g)
{
    return (double)g->P * g->Q * g->K * g->R * g->S * (g->C / g->groups);
}

/* given: NULL for a random geometry. */
static void case_begin(conv_case *c, const cnnbn_kernels *table, cnnbn_conv_algo algo, const cnnbn_conv_geom *given,
                       uint64_t seed, int index)
{
    memset(c, 0, sizeof *c);
    c->d = dice_new(seed, index);
    c->table = table;
    c->ref = kernel_cases_ref();
    cnnbn_conv_geom g;
    if (given) g = *given;
    while (!given) {
        g = random_geom(&c->d);
        if (geom_macs(&g) <= macs_max) break;
    }
    int max_batch = (int)(macs_max / geom_macs(&g));
    const int least = given ? 5 : 3; /* these are few, and some need several samples */
    case_run_random(&c->run, &c->d, max_batch > 20 ? 20 : max_batch < least ? least : max_batch);

    c->plan = (cnnbn_conv_plan){.geom = g, .algo = algo, .max_n = c->run.samples, .max_slice = c->run.max_slice};
    if (dice_one_in(&c->d, 2)) c->plan.max_slice = c->plan.max_n;
    c->ref_plan = c->plan;
    c->ref_plan.algo = CNNBN_CONV_AUTO;
    table->conv_plan(&c->plan);
    c->ref->conv_plan(&c->ref_plan);
    (void)snprintf(c->label, sizeof c->label,
                   "%s %s case %d: H%d W%d C%d K%d R%d S%d P%d Q%d stride %d,%d pad %d,%d dil %d,%d groups %d; "
                   "n %d slices %d from %d of %d",
                   table->name, cnnbn_conv_algo_name(c->plan.algo), index, g.H, g.W, g.C, g.K, g.R, g.S, g.P, g.Q,
                   g.stride_h, g.stride_w, g.pad_top, g.pad_left, g.dil_h, g.dil_w, g.groups, c->run.samples,
                   c->run.run.n_slices, c->run.run.first, c->run.S);
    if (c->plan.algo == CNNBN_CONV_AUTO) fail_msg("%s: conv_plan left the algorithm open", c->label);

    c->K = (size_t)g.K;
    c->in = (size_t)(g.H * g.W * g.C);
    c->out = (size_t)(g.P * g.Q) * c->K;
    c->weights = (size_t)(g.R * g.S * (g.C / g.groups)) * c->K;
    c->terms = (double)g.R * g.S * (g.C / g.groups);
    c->tolerance = c->plan.algo == CNNBN_CONV_WINOGRAD ? winograd_tolerance : direct_tolerance;
    size_t n = (size_t)c->run.samples;
    c->x = arrays_random(&c->mem, &c->d, n * c->in, -1, 1);
    c->w = arrays_random(&c->mem, &c->d, c->weights, -1, 1);
    c->dy = arrays_random(&c->mem, &c->d, n * c->out, -1, 1);
    c->bias = dice_one_in(&c->d, 2) ? NULL : arrays_random(&c->mem, &c->d, c->K, -1, 1);
    c->shift = arrays_random(&c->mem, &c->d, c->K, -1, 1);
    c->in_prologue = case_prologue(&c->mem, &c->d, g.C, 0);
    c->act = case_act_from_output(&c->d);
    c->workspace_fwd = arrays_floats(&c->mem, c->plan.fwd_workspace_floats, 0);
    c->workspace_bwd = arrays_floats(&c->mem, c->plan.bwd_workspace_floats, 0);
    size_t need = c->ref_plan.fwd_workspace_floats > c->ref_plan.bwd_workspace_floats
                      ? c->ref_plan.fwd_workspace_floats
                      : c->ref_plan.bwd_workspace_floats;
    c->ref_workspace = arrays_floats(&c->mem, need, 0);
    c->prepared_fwd = arrays_floats(&c->mem, c->plan.fwd_prepared_floats, 0);
    c->prepared_bwd = arrays_floats(&c->mem, c->plan.bwd_prepared_floats, 0);
}

static void case_prepare(conv_case *c)
{
    int parts = dice_int(&c->d, 1, 3);
    for (int p = parts - 1; p >= 0; p--) {
        c->table->conv_prepare_fwd(&c->plan, c->w, c->bias, &c->in_prologue, c->prepared_fwd, p, parts);
        c->table->conv_prepare_bwd(&c->plan, c->w, c->prepared_bwd, p, parts);
    }
}

static void forward(conv_case *c, const cnnbn_run *run, size_t first, float *y, double *stat, size_t stride)
{
    cnnbn_conv_fwd args = {.run = run,
                           .x = c->x + first * c->in,
                           .in = c->in_prologue,
                           .w = c->w,
                           .prepared = c->prepared_fwd,
                           .bias = c->bias,
                           .act = c->act,
                           .y = y + first * c->out,
                           .stat_shift = c->shift,
                           .stat = stat,
                           .stat_stride = stride,
                           .workspace = c->workspace_fwd};
    c->table->conv_fwd(&c->plan, &args);
}

static void forward_ref(conv_case *c, float *y)
{
    cnnbn_conv_fwd args = {.run = &c->run.run,
                           .x = c->x,
                           .in = c->in_prologue,
                           .w = c->w,
                           .bias = c->bias,
                           .act = c->act,
                           .y = y,
                           .workspace = c->ref_workspace};
    c->ref->conv_fwd(&c->ref_plan, &args);
}

static void backward(conv_case *c, const cnnbn_run *run, size_t first, float *dx, float *dw, size_t dw_stride,
                     float *db, size_t db_stride)
{
    cnnbn_conv_bwd args = {.run = run,
                           .x = c->x + first * c->in,
                           .in = c->in_prologue,
                           .dy = c->dy + first * c->out,
                           .w = c->w,
                           .prepared = c->prepared_bwd,
                           .dx = dx ? dx + first * c->in : NULL,
                           .dw = dw,
                           .dw_stride = dw_stride,
                           .db = db,
                           .db_stride = db_stride,
                           .workspace = c->workspace_bwd};
    c->table->conv_bwd(&c->plan, &args);
}

/* Nodes of the batch-norm sums against sums in double of the same y, and the variance they give. */
static void check_stat(conv_case *c, const float *y, const double *stat, size_t stride)
{
    const cnnbn_conv_geom *g = &c->plan.geom;
    const cnnbn_run *run = &c->run.run;
    double *expected = arrays_doubles(&c->mem, (size_t)run->depth * 2 * c->K);
    double *scale = arrays_doubles(&c->mem, 2 * c->K);
    c->ref->bn_stats(run, g->P * g->Q, g->K, y, c->shift, expected, 2 * c->K);
    double count = (double)c->run.samples * g->P * g->Q;
    for (int e = 0; e < run->n_nodes; e++) {
        const double *node = expected + (size_t)e * 2 * c->K;
        for (size_t k = 0; k < c->K; k++) { /* sum |d| <= sqrt(n sum d^2) */
            scale[k] = sqrt(count * node[c->K + k]);
            scale[c->K + k] = node[c->K + k];
        }
        case_close_f64(c->label, "stat", stat + (size_t)e * stride, node, scale, 2 * c->K, stat_tolerance);
    }
    if (run->n_nodes != 1 || count < 2) return;
    for (size_t k = 0; k < c->K; k++) {
        double m = expected[k] / count, v = expected[c->K + k] / count - m * m;
        double mean = stat[k] / count, variance = stat[c->K + k] / count - mean * mean;
        if (v > 1e-9 * m * m && v > 1e-9 && !(fabs(variance - v) <= variance_tolerance * v))
            fail_msg("%s: variance[%zu] = %.9g, expected %.9g at a mean of %.9g", c->label, k, variance, v, m);
    }
}

static void check_forward(conv_case *c)
{
    const cnnbn_run *run = &c->run.run;
    size_t n = (size_t)c->run.samples * c->out, stride = 2 * c->K + (size_t)dice_int(&c->d, 0, 3);
    int want_stat = dice_one_in(&c->d, 2);
    double floor = sqrt(c->terms) / 3;
    if (want_stat && c->bias && dice_one_in(&c->d, 2)) { /* a mean far from 0 and no shift to help */
        c->act = kernel_cases_acts[0];
        for (size_t k = 0; k < c->K; k++) {
            c->bias[k] = (float)(3e3 * sqrt(c->terms)) * c->bias[k];
            c->shift[k] = 0;
        }
    }
    case_prepare(c);

    /* One call a slice, joined as ranks join. */
    float *y = arrays_floats(&c->mem, n, 1), *expected = arrays_floats(&c->mem, n, 0);
    double *stat = want_stat ? arrays_doubles(&c->mem, CNNBN_TREE_DEPTH * stride) : NULL;
    join j = {.S = c->run.S};
    for (int s = 0; s < run->n_slices; s++) {
        case_run one;
        case_run_slice(&one, &c->run, s);
        forward(c, &one.run, (size_t)run->bounds[s], y, stat ? stat + (size_t)j.height * stride : NULL, stride);
        join_push_f64(&j, &one.run, stat ? 2 * c->K : 0, stat, stride);
    }
    forward_ref(c, expected);
    case_close(c->label, "y", y, expected, n, floor, c->tolerance);
    if (stat) check_stat(c, y, stat, stride);

    if (!c->plan.any_grouping) return;
    float *whole = arrays_floats(&c->mem, n, 1);
    double *whole_stat = stat ? arrays_doubles(&c->mem, (size_t)run->depth * stride) : NULL;
    forward(c, run, 0, whole, whole_stat, stride);
    case_bits(c->label, "y of a run against its slices", whole, y, n * sizeof *y);
    if (stat) case_nodes_f64(c->label, "stat of a run against its slices", run, 2 * c->K, whole_stat, stat, stride);
    case_run other;
    case_run_fill(&other, 1, 1, 0, 1);
    for (int i = 0; i < c->run.samples; i++) forward(c, &other.run, (size_t)i, whole, NULL, 0);
    case_bits(c->label, "y of a run against its samples", whole, y, n * sizeof *y);
    if (c->plan.max_slice < c->run.samples) return;
    case_run_fill(&other, (size_t)c->run.samples, 1, 0, 1);
    forward(c, &other.run, 0, whole, NULL, 0);
    case_bits(c->label, "y of a run against one slice", whole, y, n * sizeof *y);
}

static void check_backward(conv_case *c)
{
    const cnnbn_run *run = &c->run.run;
    size_t n = (size_t)c->run.samples * c->in;
    size_t dw_stride = c->weights + (size_t)dice_int(&c->d, 0, 3), db_stride = c->K + (size_t)dice_int(&c->d, 0, 3);
    int wanted = dice_one_in(&c->d, 2) ? 7 : dice_int(&c->d, 1, 7); /* bits: dx, dw, db */
    float *dx = wanted & 1 ? arrays_floats(&c->mem, n, 1) : NULL;
    float *dw = wanted & 2 ? arrays_floats(&c->mem, CNNBN_TREE_DEPTH * dw_stride, 1) : NULL;
    float *db = wanted & 4 ? arrays_floats(&c->mem, CNNBN_TREE_DEPTH * db_stride, 1) : NULL;
    join jw = {.S = c->run.S}, jb = {.S = c->run.S};
    for (int s = 0; s < run->n_slices; s++) {
        case_run one;
        case_run_slice(&one, &c->run, s);
        backward(c, &one.run, (size_t)run->bounds[s], dx, dw ? dw + (size_t)jw.height * dw_stride : NULL, dw_stride,
                 db ? db + (size_t)jb.height * db_stride : NULL, db_stride);
        join_push_f32(&jw, &one.run, dw ? c->weights : 0, dw, dw_stride);
        join_push_f32(&jb, &one.run, db ? c->K : 0, db, db_stride);
    }

    size_t depth = (size_t)run->depth;
    float *ref_dx = arrays_floats(&c->mem, n, 0), *ref_dw = arrays_floats(&c->mem, depth * dw_stride, 0);
    float *ref_db = arrays_floats(&c->mem, depth * db_stride, 0);
    cnnbn_conv_bwd args = {.run = run,
                           .x = c->x,
                           .in = c->in_prologue,
                           .dy = c->dy,
                           .w = c->w,
                           .dx = ref_dx,
                           .dw = ref_dw,
                           .dw_stride = dw_stride,
                           .db = ref_db,
                           .db_stride = db_stride,
                           .workspace = c->ref_workspace};
    c->ref->conv_bwd(&c->ref_plan, &args);
    const cnnbn_conv_geom *g = &c->plan.geom;
    double positions = (double)c->run.samples * g->P * g->Q;
    double dx_terms = (double)g->R * g->S * (g->K / g->groups);
    if (dx) case_close(c->label, "dx", dx, ref_dx, n, sqrt(dx_terms) / 3, c->tolerance);
    for (int e = 0; e < run->n_nodes; e++) {
        size_t w_at = (size_t)e * dw_stride, b_at = (size_t)e * db_stride;
        if (dw) case_close(c->label, "dw", dw + w_at, ref_dw + w_at, c->weights, sqrt(positions) / 3, c->tolerance);
        if (db) case_close(c->label, "db", db + b_at, ref_db + b_at, c->K, sqrt(positions) / 3, direct_tolerance);
    }

    if (!c->plan.any_grouping) return;
    float *dx2 = dx ? arrays_floats(&c->mem, n, 1) : NULL;
    float *dw2 = dw ? arrays_floats(&c->mem, depth * dw_stride, 1) : NULL;
    float *db2 = db ? arrays_floats(&c->mem, depth * db_stride, 1) : NULL;
    backward(c, run, 0, dx2, dw2, dw_stride, db2, db_stride);
    if (dx) case_bits(c->label, "dx of a run against its slices", dx2, dx, n * sizeof *dx);
    case_run other;
    case_run_fill(&other, 1, 1, 0, 1);
    for (int i = 0; dx && i < c->run.samples; i++) backward(c, &other.run, (size_t)i, dx2, NULL, 0, NULL, 0);
    if (dx) case_bits(c->label, "dx of a run against its samples", dx2, dx, n * sizeof *dx);
    if (dx && c->plan.max_slice >= c->run.samples) {
        case_run_fill(&other, (size_t)c->run.samples, 1, 0, 1);
        backward(c, &other.run, 0, dx2, NULL, 0, NULL, 0);
        case_bits(c->label, "dx of a run against one slice", dx2, dx, n * sizeof *dx);
    }
    if (dw) case_nodes_f32(c->label, "dw of a run against its slices", run, c->weights, dw2, dw, dw_stride);
    if (db) case_nodes_f32(c->label, "db of a run against its slices", run, c->K, db2, db, db_stride);
}

/* Sums for a batch norm in front, made of w, dw and db, against those of dx and x' themselves; of a run and of its slices. */
static void check_sums_of_weights(conv_case *c)
{
    const cnnbn_conv_geom *g = &c->plan.geom;
    const cnnbn_run *run = &c->run.run;
    const int padded =
        g->pad_top || g->pad_left || (g->P - 1) * g->stride_h + 3 > g->H || (g->Q - 1) * g->stride_w + 3 > g->W;
    if (!c->plan.makes_bn_sums || padded) return;
    const size_t C = (size_t)g->C, positions = (size_t)g->H * (size_t)g->W, stride = 2 * C, depth = (size_t)run->depth;
    const size_t n = (size_t)c->run.samples * positions;
    float *dx = arrays_floats(&c->mem, n * C, 0), *dw = arrays_floats(&c->mem, depth * c->weights, 0);
    float *db = arrays_floats(&c->mem, depth * c->K, 0), *x = arrays_floats(&c->mem, n * C, 0);
    double *sums = arrays_doubles(&c->mem, depth * stride), *slices = arrays_doubles(&c->mem, depth * stride);
    double *expected = arrays_doubles(&c->mem, depth * stride), *scale = arrays_doubles(&c->mem, stride);
    cnnbn_conv_bwd args = {.run = run,
                           .x = c->x,
                           .in = c->in_prologue,
                           .dy = c->dy,
                           .w = c->w,
                           .prepared = c->prepared_bwd,
                           .dx = dx,
                           .dw = dw,
                           .dw_stride = c->weights,
                           .db = db,
                           .db_stride = c->K,
                           .workspace = c->workspace_bwd,
                           .bn_sums = sums,
                           .bn_sums_stride = stride};
    c->table->conv_bwd(&c->plan, &args);
    c->ref->bn_apply(n, (int)C, c->x, &c->in_prologue, NULL, x);
    cnnbn_prologue none = {NULL, NULL, NULL, (int)C, {CNNBN_ACT_LINEAR, 0, 0, 0}};
    float *zeros = arrays_floats(&c->mem, C, 0), *ones = arrays_floats(&c->mem, C, 0);
    for (size_t i = 0; i < C; i++) {
        zeros[i] = 0;
        ones[i] = 1;
    }
    none.mean = none.beta = zeros;
    none.scale = ones;
    c->ref->bn_bwd_sums(run, (int)positions, (int)C, dx, x, &none, expected, stride);
    for (size_t i = 0; i < stride; i++) scale[i] = sqrt((double)n * c->terms) + 1;
    for (int e = 0; e < run->n_nodes; e++)
        case_close_f64(c->label, "sums of weights", sums + (size_t)e * stride, expected + (size_t)e * stride, scale,
                       stride, c->tolerance);
    join js = {.S = c->run.S};
    for (int s = 0; s < run->n_slices; s++) {
        case_run one;
        case_run_slice(&one, &c->run, s);
        args.run = &one.run;
        args.x = c->x + (size_t)run->bounds[s] * c->in;
        args.dy = c->dy + (size_t)run->bounds[s] * c->out;
        args.bn_sums = slices + (size_t)js.height * stride;
        c->table->conv_bwd(&c->plan, &args);
        join_push_f64(&js, &one.run, stride, slices, stride);
    }
    case_nodes_f64(c->label, "sums of a run against its slices", run, stride, sums, slices, stride);
}

/* A batch norm behind, done as dy is loaded, against bn_bwd_apply and then the convolution: the same bits. */
static void check_norm_behind(conv_case *c)
{
    if (c->plan.takes_bn_behind == CNNBN_BEHIND_NEVER) return;
    const int wants_dx = c->plan.takes_bn_behind == CNNBN_BEHIND_ALWAYS;
    const cnnbn_run *run = &c->run.run;
    const size_t n = (size_t)c->run.samples, depth = (size_t)run->depth;
    float *x = arrays_random(&c->mem, &c->d, n * c->out, -1, 1), *dy = arrays_floats(&c->mem, n * c->out, 0);
    cnnbn_bn_behind behind = {
        .x = x,
        .in = {arrays_random(&c->mem, &c->d, c->K, -1, 1),
               arrays_random(&c->mem, &c->d, c->K, -2, 2),
               arrays_random(&c->mem, &c->d, c->K, -1, 1),
               c->plan.geom.K,
               {dice_one_in(&c->d, 2) ? CNNBN_ACT_RELU : CNNBN_ACT_LINEAR, 0, 0, 0}},
        .a = arrays_random(&c->mem, &c->d, c->K, -2, 2),
        .b = arrays_random(&c->mem, &c->d, c->K, -1, 1),
        .c0 = arrays_random(&c->mem, &c->d, c->K, -1, 1),
        .pre = {dice_one_in(&c->d, 2) ? CNNBN_ACT_RELU : CNNBN_ACT_LINEAR, 0, 0, 0},
    };
    c->table->bn_bwd_apply(n * c->out / c->K, (int)c->K, c->dy, x, &behind.in, behind.a, behind.b, behind.c0,
                           behind.pre, dy);
    float *dx[2], *dw[2], *db[2];
    for (int fused = 0; fused <= 1; fused++) {
        dx[fused] = arrays_floats(&c->mem, n * c->in, 0);
        dw[fused] = arrays_floats(&c->mem, depth * c->weights, 0);
        db[fused] = arrays_floats(&c->mem, depth * c->K, 0);
        cnnbn_conv_bwd args = {.run = run,
                               .x = c->x,
                               .in = c->in_prologue,
                               .dy = fused ? c->dy : dy,
                               .behind = fused ? &behind : NULL,
                               .w = c->w,
                               .prepared = c->prepared_bwd,
                               .dx = wants_dx ? dx[fused] : NULL,
                               .dw = dw[fused],
                               .dw_stride = c->weights,
                               .db = db[fused],
                               .db_stride = c->K,
                               .workspace = c->workspace_bwd};
        c->table->conv_bwd(&c->plan, &args);
    }
    case_bits(c->label, "dx with a batch norm behind", dx[1], dx[0], n * c->in * sizeof(float));
    case_nodes_f32(c->label, "dw with a batch norm behind", run, c->weights, dw[1], dw[0], c->weights);
    case_nodes_f32(c->label, "db with a batch norm behind", run, c->K, db[1], db[0], c->K);
}

static void check_case(const cnnbn_kernels *table, cnnbn_conv_algo algo, const cnnbn_conv_geom *given, uint64_t seed,
                       int index)
{
    conv_case c;
    case_begin(&c, table, algo, given, seed, index);
    check_forward(&c);
    check_backward(&c);
    check_sums_of_weights(&c);
    check_norm_behind(&c);
    arrays_end(&c.mem, c.label);
}

void kernel_cases_conv(const cnnbn_kernels *table, cnnbn_conv_algo algo, int n_cases, uint64_t seed)
{
    for (int i = 0; i < n_cases; i++) check_case(table, algo, NULL, seed, i);
}

typedef struct given_geom {
    int C, K, H, W, P, Q, stride, pad;
} given_geom;

static void check_given(const cnnbn_kernels *table, const given_geom *given, int n_given, int n_cases, uint64_t seed)
{
    for (int k = 0; k < n_given; k++)
        for (int i = 0; i < n_cases; i++) {
            cnnbn_conv_geom g = {.R = 3, .S = 3, .dil_h = 1, .dil_w = 1, .groups = 1};
            g.C = given[k].C;
            g.K = given[k].K;
            g.H = given[k].H;
            g.W = given[k].W;
            g.P = given[k].P;
            g.Q = given[k].Q;
            g.stride_h = g.stride_w = given[k].stride;
            g.pad_top = g.pad_left = given[k].pad;
            check_case(table, CNNBN_CONV_WINOGRAD, &g, seed + (uint64_t)k, i);
        }
}

void kernel_cases_conv_wide(const cnnbn_kernels *table, int n_cases, uint64_t seed)
{
    static const given_geom wide[] = {
        {130, 119, 6, 5, 6, 5, 1, 1},     {121, 125, 5, 11, 3, 9, 1, 0}, {97, 94, 8, 8, 6, 6, 1, 0},
        {123, 131, 7, 6, 4, 3, 2, 1},     {190, 176, 9, 8, 9, 8, 1, 1},  {451, 441, 4, 3, 4, 3, 1, 1},
        {121, 125, 1, 230, 1, 230, 1, 1},
    };
    check_given(table, wide, (int)(sizeof wide / sizeof *wide), n_cases, seed);
}

/* Sizes that Winograd cuts into tiles of six and of four outputs along both axes; along one, beside sixes or fours alone; with so few
 * channels that there are samples enough for several groups of them; with so many that the sums are done in parts. */
void kernel_cases_conv_mixed(const cnnbn_kernels *table, int n_cases, uint64_t seed)
{
    static const given_geom mixed[] = {
        {3, 5, 14, 14, 14, 14, 1, 1},     {4, 2, 15, 16, 13, 14, 1, 0},   {5, 3, 26, 25, 26, 25, 1, 1},
        {17, 9, 28, 16, 26, 14, 1, 0},    {64, 64, 13, 24, 13, 24, 1, 1}, {65, 64, 24, 14, 24, 14, 1, 1},
        {64, 67, 14, 8, 14, 8, 1, 1},     {66, 65, 8, 15, 8, 13, 1, 1},   {64, 64, 14, 1, 14, 1, 1, 1},
        {130, 127, 14, 13, 14, 13, 1, 1}, {4, 3, 13, 9, 13, 9, 1, 1},     {2, 5, 13, 9, 13, 9, 1, 1},
        {8, 4, 15, 11, 13, 9, 1, 0},      {70, 60, 34, 14, 32, 14, 1, 1},
    };
    check_given(table, mixed, (int)(sizeof mixed / sizeof *mixed), n_cases, seed);
}

/* Zeros of a border times a planted value, and Winograd's tiles, may spread it further in its own sample: only what ref
 * has is demanded, and that the other samples are clean. */
void kernel_cases_conv_nonfinite(const cnnbn_kernels *table, cnnbn_conv_algo algo, int n_cases, uint64_t seed)
{
    static const float planted[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < n_cases; i++) {
        conv_case c;
        case_begin(&c, table, algo, NULL, seed, i);
        float value = planted[i % 3];
        /* A bounded activation would hide an Inf that a fast algorithm has turned to NaN. */
        c.act = kernel_cases_acts[isnan(value) && dice_one_in(&c.d, 2) ? 1 : 0];
        c.in_prologue.act = kernel_cases_acts[isnan(value) && dice_one_in(&c.d, 2) ? 1 : 0];
        const cnnbn_run *run = &c.run.run;
        size_t n = (size_t)c.run.samples, victim = n ? (size_t)dice_int(&c.d, 0, (int)n - 1) : 0;
        if (n) c.x[victim * c.in + (size_t)dice_int(&c.d, 0, (int)c.in - 1)] = value;
        case_prepare(&c);
        float *y = arrays_floats(&c.mem, n * c.out, 1), *ref_y = arrays_floats(&c.mem, n * c.out, 0);
        float *dx = arrays_floats(&c.mem, n * c.in, 1), *ref_dx = arrays_floats(&c.mem, n * c.in, 0);
        float *dw = arrays_floats(&c.mem, CNNBN_TREE_DEPTH * c.weights, 1);
        float *db = arrays_floats(&c.mem, CNNBN_TREE_DEPTH * c.K, 1);
        float *ref_dw = arrays_floats(&c.mem, (size_t)run->depth * c.weights, 0);
        float *ref_db = arrays_floats(&c.mem, (size_t)run->depth * c.K, 0);
        forward_ref(&c, ref_y);
        if (n) c.dy[victim * c.out + (size_t)dice_int(&c.d, 0, (int)c.out - 1)] = value;
        cnnbn_conv_bwd args = {.run = run,
                               .x = c.x,
                               .in = c.in_prologue,
                               .dy = c.dy,
                               .w = c.w,
                               .dx = ref_dx,
                               .dw = ref_dw,
                               .dw_stride = c.weights,
                               .db = ref_db,
                               .db_stride = c.K,
                               .workspace = c.ref_workspace};
        c.ref->conv_bwd(&c.ref_plan, &args);
        join jw = {.S = c.run.S}, jb = {.S = c.run.S};
        for (int s = 0; s < run->n_slices; s++) {
            case_run one;
            case_run_slice(&one, &c.run, s);
            forward(&c, &one.run, (size_t)run->bounds[s], y, NULL, 0);
            backward(&c, &one.run, (size_t)run->bounds[s], dx, dw + (size_t)jw.height * c.weights, c.weights,
                     db + (size_t)jb.height * c.K, c.K);
            join_push_f32(&jw, &one.run, c.weights, dw, c.weights);
            join_push_f32(&jb, &one.run, c.K, db, c.K);
        }
        for (size_t sample = 0; sample < n; sample++) {
            size_t a = sample * c.out, b = sample * c.in;
            if (sample == victim) {
                case_nonfinite(c.label, "y", y + a, ref_y + a, c.out);
                case_nonfinite(c.label, "dx", dx + b, ref_dx + b, c.in);
            } else {
                case_close(c.label, "clean y", y + a, ref_y + a, c.out, sqrt(c.terms) / 3, c.tolerance);
                double terms = c.terms * c.plan.geom.K / c.plan.geom.C;
                case_close(c.label, "clean dx", dx + b, ref_dx + b, c.in, sqrt(terms) / 3, c.tolerance);
            }
        }
        case_nonfinite(c.label, "dw", dw, ref_dw, (size_t)run->n_nodes * c.weights);
        case_nonfinite(c.label, "db", db, ref_db, (size_t)run->n_nodes * c.K);
        arrays_end(&c.mem, c.label);
    }
}
