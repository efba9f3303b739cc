/* Direct convolution: forward and backward data on the core. */
#include "conv_algo.h"
#include "conv_core.h"
#include "ew.h"
#include "stack.h"

static cnnbn__core forward_core(const cnnbn_conv_geom *g, int prologue)
{
    cnnbn__core core = {.src_h = g->H,
                        .src_w = g->W,
                        .src_c = g->C,
                        .rows = g->P,
                        .cols = g->Q,
                        .groups = g->groups,
                        .cg = g->C / g->groups,
                        .kg = g->K / g->groups,
                        .taps_h = g->R,
                        .taps_w = g->S,
                        .dil_h = g->dil_h,
                        .dil_w = g->dil_w,
                        .stride_h = g->stride_h,
                        .stride_w = g->stride_w,
                        .off_h = -g->pad_top,
                        .off_w = -g->pad_left,
                        .prologue = prologue,
                        .out_col = g->K,
                        .out_row = (ptrdiff_t)g->Q * g->K,
                        .out_sample = (ptrdiff_t)g->P * g->Q * g->K};
    int one_pixel =
        g->R == 1 && g->S == 1 && g->stride_h == 1 && g->stride_w == 1 && g->pad_top == 0 && g->pad_left == 0;
    if (one_pixel && g->P == g->H && g->Q == g->W) { /* an image is one long row */
        core.src_w = core.cols = g->P * g->Q;
        core.src_h = core.rows = 1;
    }
    core_derive(&core);
    return core;
}

/* One axis of backward data. Row h = first + stride*m of dx gets w[r] dy[p] for all r with h + pad - r*dil = stride*p. The
 * r of a phase are an arithmetic progression; the greatest belongs to the least p. */
typedef struct axis {
    int count;    /* rows of dx in this phase */
    int taps;     /* 0: nothing reaches these rows */
    int last;     /* greatest r */
    int step;     /* between the r */
    int dil, off; /* of the taps in dy, from the greatest r down */
} axis;

static axis axis_of_phase(int first, int size, int window, int stride, int dil, int pad)
{
    axis a = {.count = first < size ? (size - first + stride - 1) / stride : 0, .step = 1};
    int previous = -1;
    for (int r = 0; r < window; r++) {
        if ((first + pad - r * dil) % stride != 0) continue;
        if (previous >= 0) a.step = r - previous;
        previous = r;
        a.taps++;
        a.last = r;
    }
    a.dil = a.step * dil / stride;
    if (a.taps < 2) a.dil = 1;
    a.off = (first + pad - a.last * dil) / stride;
    return a;
}

/* Phase (i, j) of backward data; returns 0 when nothing reaches its pixels. */
static int backward_core(const cnnbn_conv_geom *g, int i, int j, cnnbn__core *core, axis *v, axis *h)
{
    *v = axis_of_phase(i, g->H, g->R, g->stride_h, g->dil_h, g->pad_top);
    *h = axis_of_phase(j, g->W, g->S, g->stride_w, g->dil_w, g->pad_left);
    *core = (cnnbn__core){.src_h = g->P,
                          .src_w = g->Q,
                          .src_c = g->K,
                          .rows = v->count,
                          .cols = h->count,
                          .groups = g->groups,
                          .cg = g->K / g->groups,
                          .kg = g->C / g->groups,
                          .taps_h = v->taps,
                          .taps_w = h->taps,
                          .dil_h = v->dil,
                          .dil_w = h->dil,
                          .stride_h = 1,
                          .stride_w = 1,
                          .off_h = v->off,
                          .off_w = h->off,
                          .out_col = (ptrdiff_t)g->stride_w * g->C,
                          .out_row = (ptrdiff_t)g->stride_h * g->W * g->C,
                          .out_sample = (ptrdiff_t)g->H * g->W * g->C};
    if (!v->count || !h->count || !v->taps || !h->taps) return 0;
    core_derive(core);
    return 1;
}

void direct_plan(cnnbn_conv_plan *plan)
{
    const cnnbn_conv_geom *g = &plan->geom;
    cnnbn__core core = forward_core(g, 1);
    plan->fwd_prepared_floats = core.panel_floats + (size_t)g->groups * (size_t)vec_round_up(core.kg) + VEC_LEN;
    plan->fwd_workspace_floats = core.scratch_floats;
    plan->bwd_prepared_floats = 0;
    plan->bwd_workspace_floats = direct_weights_floats(g);
    plan->takes_bn_behind = direct_is_few(g) ? CNNBN_BEHIND_WITHOUT_DX : CNNBN_BEHIND_NEVER;
    for (int i = 0; i < g->stride_h; i++)
        for (int j = 0; j < g->stride_w; j++) {
            axis v, h;
            if (!backward_core(g, i, j, &core, &v, &h)) continue;
            plan->bwd_prepared_floats += core.panel_floats;
            if (core.scratch_floats > plan->bwd_workspace_floats) plan->bwd_workspace_floats = core.scratch_floats;
        }
}

void direct_prepare_fwd(const cnnbn_conv_plan *plan, const float *w, const float *bias, float *prepared, int part,
                        int n_parts)
{
    const cnnbn_conv_geom *g = &plan->geom;
    cnnbn__core core = forward_core(g, 0);
    ptrdiff_t tap = (ptrdiff_t)core.cg * g->K;
    core_pack(&core, &(cnnbn__weights){w, g->S * tap, tap, g->K, 1, core.kg}, prepared, part, n_parts);
    if (part != 0 || !bias) return;
    float *padded = prepared + core.panel_floats;
    if (core.depthwise) {
        for (ptrdiff_t k = 0; k < vec_round_up(g->K); k++) padded[k] = k < g->K ? bias[k] : 0.0f;
        return;
    }
    for (ptrdiff_t i = 0; i < g->groups; i++)
        for (ptrdiff_t k = 0; k < vec_round_up(core.kg); k++) *padded++ = k < core.kg ? bias[i * core.kg + k] : 0.0f;
}

void direct_prepare_bwd(const cnnbn_conv_plan *plan, const float *w, float *prepared, int part, int n_parts)
{
    const cnnbn_conv_geom *g = &plan->geom;
    ptrdiff_t tap = (ptrdiff_t)(g->C / g->groups) * g->K, row = g->S * tap;
    for (int i = 0; i < g->stride_h; i++)
        for (int j = 0; j < g->stride_w; j++) {
            cnnbn__core core;
            axis v, h;
            if (!backward_core(g, i, j, &core, &v, &h)) continue;
            const cnnbn__weights weights = {
                w + v.last * row + h.last * tap, -v.step * row, -h.step * tap, 1, g->K, core.cg};
            core_pack(&core, &weights, prepared, part, n_parts);
            prepared += core.panel_floats;
        }
}

/* What follows a convolution in the order of samples: the sums of y for batch norm. */
typedef struct tail {
    const cnnbn_run *run;
    int slice, height, K, pixels; /* pixels of a sample */
    const cnnbn_conv_fwd *args;
} tail;

static double *tail_entry(const tail *t)
{
    return t->args->stat + (size_t)t->height * t->args->stat_stride;
}

static void tail_clear(const tail *t)
{
    if (t->slice < t->run->n_slices) memset(tail_entry(t), 0, 2 * (size_t)t->K * sizeof(double));
}

/* Closes every slice that ends at or before sample n. */
static void tail_close(tail *t, int n)
{
    while (t->slice < t->run->n_slices && t->run->bounds[t->slice + 1] <= n) {
        size_t begin = (size_t)t->run->bounds[t->slice], samples = (size_t)t->run->bounds[t->slice + 1] - begin;
        size_t pixels = (size_t)t->pixels;
        if (samples) EW(stat_close)
        (samples * pixels, t->K, t->args->y + begin * pixels * (size_t)t->K, t->args->stat_shift, tail_entry(t));
        t->height =
            cnnbn__stack_push_f64(t->run, t->slice, t->height, 2 * (size_t)t->K, t->args->stat, t->args->stat_stride);
        t->slice++;
        tail_clear(t);
    }
}

static void tail_rows(const tail *t, size_t pixels, const float *y)
{
    size_t begin = (size_t)t->run->bounds[t->slice];
    EW(stat_rows)(pixels, t->K, y, t->args->y + begin * (size_t)t->pixels * (size_t)t->K, tail_entry(t));
}

void direct_fwd(const cnnbn_conv_plan *plan, const cnnbn_conv_fwd *args)
{
    const cnnbn_conv_geom *g = &plan->geom;
    const cnnbn_run *run = args->run;
    cnnbn__core core = forward_core(g, !prologue_is_none(&args->in));
    int N = run->n_slices ? run->bounds[run->n_slices] : 0;
    const float *bias = args->bias ? args->prepared + core.panel_floats : NULL;
    tail t = {run, 0, 0, g->K, g->P * g->Q, args};
    if (args->stat) {
        tail_clear(&t);
        tail_close(&t, 0);
    }
    for (int n0 = 0; n0 < N; n0 += core.block_n) {
        int n = core_min(core.block_n, N - n0);
        for (int p0 = 0; p0 < core.rows; p0 += core.block_h)
            for (int q0 = 0; q0 < core.cols; q0 += core.block_w) {
                const cnnbn__block block = {
                    n0, n, p0, core_min(core.block_h, core.rows - p0), q0, core_min(core.block_w, core.cols - q0)};
                core_block(&core, &block, args->x, &args->in, args->prepared, bias, act_is_relu(args->act), args->y,
                           args->workspace);
                /* Contiguous: whole rows, or a part of one row. */
                size_t pixels = (size_t)block.h * (size_t)block.w;
                for (int i = 0; i < n; i++) {
                    float *y = args->y + (n0 + i) * core.out_sample + p0 * core.out_row + q0 * core.out_col;
                    if (act_is_apart(args->act)) EW(act_fwd)(pixels * (size_t)g->K, args->act, y, y);
                    if (!args->stat) continue;
                    tail_rows(&t, pixels, y);
                    if (p0 + block.h == core.rows && q0 + block.w == core.cols) tail_close(&t, n0 + i + 1);
                }
            }
    }
}

static void zero_phase(const cnnbn_conv_geom *g, int i, int j, int N, float *dx)
{
    for (int n = 0; n < N; n++)
        for (int h = i; h < g->H; h += g->stride_h)
            for (int w = j; w < g->W; w += g->stride_w)
                memset(dx + (((ptrdiff_t)n * g->H + h) * g->W + w) * g->C, 0, (size_t)g->C * sizeof *dx);
}

void direct_bwd_data(const cnnbn_conv_plan *plan, const cnnbn_conv_bwd *args)
{
    const cnnbn_conv_geom *g = &plan->geom;
    int N = args->run->n_slices ? args->run->bounds[args->run->n_slices] : 0;
    const float *panels = args->prepared;
    for (int i = 0; i < g->stride_h; i++)
        for (int j = 0; j < g->stride_w; j++) {
            cnnbn__core core;
            axis v, h;
            if (!backward_core(g, i, j, &core, &v, &h)) {
                zero_phase(g, i, j, N, args->dx);
                continue;
            }
            float *dx = args->dx + ((ptrdiff_t)i * g->W + j) * g->C;
            core_run(&core, N, args->dy, panels, dx, args->workspace);
            panels += core.panel_floats;
        }
}
