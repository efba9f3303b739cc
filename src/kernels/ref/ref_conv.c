/* Convolution as its definition, forward. Channels of a group are contiguous: group j has the input channels
 * [j*C/groups, ...) and the filters [j*K/groups, ...). */
#include "ref.h"

void cnnbn__ref_conv_plan(cnnbn_conv_plan *plan)
{
    const cnnbn_conv_geom *g = &plan->geom;
    size_t sample = (size_t)g->H * (size_t)g->W * (size_t)g->C;
    size_t weights = (size_t)g->R * (size_t)g->S * (size_t)(g->C / g->groups) * (size_t)g->K;
    plan->algo = CNNBN_CONV_REF;
    plan->fwd_prepared_floats = 0;
    plan->bwd_prepared_floats = 0;
    plan->fwd_workspace_floats = 2 * (sample + (size_t)g->K);
    plan->bwd_workspace_floats = 2 * (sample + weights + (size_t)g->K);
    plan->any_grouping = 1;
}

void cnnbn__ref_conv_prepare_fwd(const cnnbn_conv_plan *plan, const float *w, const float *bias,
                                 const cnnbn_prologue *in, float *prepared, int part, int n_parts)
{
    (void)plan, (void)w, (void)bias, (void)in, (void)prepared, (void)part, (void)n_parts;
}

void cnnbn__ref_conv_prepare_bwd(const cnnbn_conv_plan *plan, const float *w, float *prepared, int part, int n_parts)
{
    (void)plan, (void)w, (void)prepared, (void)part, (void)n_parts;
}

/* sum[k] += sum over r, s, c of x'[h][w][c] * w[r][s][c][k] for one output position. */
static void conv_position(const cnnbn_conv_geom *g, const double *x, const float *weights, int p, int q, double *sum)
{
    size_t C = (size_t)g->C, K = (size_t)g->K, Cg = C / (size_t)g->groups, Kg = K / (size_t)g->groups;
    for (int r = 0; r < g->R; r++) {
        int h = cnnbn__ref_tap(p, g->stride_h, g->pad_top, r, g->dil_h);
        if (h < 0 || h >= g->H) continue;
        for (int s = 0; s < g->S; s++) {
            int w = cnnbn__ref_tap(q, g->stride_w, g->pad_left, s, g->dil_w);
            if (w < 0 || w >= g->W) continue;
            const double *pixel = x + ((size_t)h * (size_t)g->W + (size_t)w) * C;
            const float *tap = weights + (size_t)(r * g->S + s) * Cg * K;
            for (size_t c = 0; c < C; c++) {
                size_t first = c / Cg * Kg;
                const float *row = tap + c % Cg * K;
                for (size_t k = first; k < first + Kg; k++) sum[k] += pixel[c] * (double)row[k];
            }
        }
    }
}

static void conv_sample(const cnnbn_conv_geom *g, const cnnbn_conv_fwd *args, const double *x, double *sum, float *y)
{
    size_t K = (size_t)g->K;
    for (int p = 0; p < g->P; p++) {
        for (int q = 0; q < g->Q; q++) {
            for (size_t k = 0; k < K; k++) sum[k] = args->bias ? (double)args->bias[k] : 0;
            conv_position(g, x, args->w, p, q, sum);
            for (size_t k = 0; k < K; k++) y[k] = (float)cnnbn__ref_act(args->act, sum[k]);
            y += K;
        }
    }
}

void cnnbn__ref_conv_fwd(const cnnbn_conv_plan *plan, const cnnbn_conv_fwd *args)
{
    const cnnbn_conv_geom *g = &plan->geom;
    size_t in = (size_t)g->H * (size_t)g->W * (size_t)g->C, out = (size_t)g->P * (size_t)g->Q * (size_t)g->K;
    double *x = cnnbn__ref_doubles(args->workspace), *sum = x + in;
    int n = args->run->bounds[args->run->n_slices];
    for (size_t i = 0; i < (size_t)n; i++) {
        cnnbn__ref_load(in, &args->in, args->x + i * in, x);
        conv_sample(g, args, x, sum, args->y + i * out);
    }
    if (args->stat)
        cnnbn__ref_bn_stats(args->run, g->P * g->Q, g->K, args->y, args->stat_shift, args->stat, args->stat_stride);
}
