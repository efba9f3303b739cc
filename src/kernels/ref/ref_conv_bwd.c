/* Convolution as its definition, backward. */
#include "ref.h"
#include "stack.h"

/* The output position whose tap r lies on input h, or -1: h = p*stride - pad + r*dilation solved for p. */
static int output_of(int h, int stride, int pad, int r, int dilation, int P)
{
    int t = h + pad - r * dilation;
    return t < 0 || t % stride != 0 || t / stride >= P ? -1 : t / stride;
}

/* dx[h][w][c] = sum over r, s, k of dy[p][q][k] * w[r][s][c][k] for one input pixel. */
static void dx_pixel(const cnnbn_conv_geom *g, const float *dy, const float *weights, int h, int w, float *dx)
{
    size_t C = (size_t)g->C, K = (size_t)g->K, Cg = C / (size_t)g->groups, Kg = K / (size_t)g->groups;
    for (size_t c = 0; c < C; c++) {
        double sum = 0;
        size_t first = c / Cg * Kg;
        for (int r = 0; r < g->R; r++) {
            int p = output_of(h, g->stride_h, g->pad_top, r, g->dil_h, g->P);
            if (p < 0) continue;
            for (int s = 0; s < g->S; s++) {
                int q = output_of(w, g->stride_w, g->pad_left, s, g->dil_w, g->Q);
                if (q < 0) continue;
                const float *d = dy + ((size_t)p * (size_t)g->Q + (size_t)q) * K;
                const float *row = weights + ((size_t)(r * g->S + s) * Cg + c % Cg) * K;
                for (size_t k = first; k < first + Kg; k++) sum += (double)d[k] * (double)row[k];
            }
        }
        dx[c] = (float)sum;
    }
}

/* dw[r][s][c][k] += sum over p, q of x'[h][w][c] * dy[p][q][k] for one sample. */
static void dw_sample(const cnnbn_conv_geom *g, const double *x, const float *dy, double *dw)
{
    size_t C = (size_t)g->C, K = (size_t)g->K, Cg = C / (size_t)g->groups, Kg = K / (size_t)g->groups;
    for (int p = 0; p < g->P; p++) {
        for (int q = 0; q < g->Q; q++, dy += K) {
            for (int r = 0; r < g->R; r++) {
                int h = cnnbn__ref_tap(p, g->stride_h, g->pad_top, r, g->dil_h);
                if (h < 0 || h >= g->H) continue;
                for (int s = 0; s < g->S; s++) {
                    int w = cnnbn__ref_tap(q, g->stride_w, g->pad_left, s, g->dil_w);
                    if (w < 0 || w >= g->W) continue;
                    const double *pixel = x + ((size_t)h * (size_t)g->W + (size_t)w) * C;
                    double *tap = dw + (size_t)(r * g->S + s) * Cg * K;
                    for (size_t c = 0; c < C; c++) {
                        size_t first = c / Cg * Kg;
                        double *row = tap + c % Cg * K;
                        for (size_t k = first; k < first + Kg; k++) row[k] += pixel[c] * (double)dy[k];
                    }
                }
            }
        }
    }
}

static void weight_gradient(const cnnbn_conv_geom *g, const cnnbn_conv_bwd *args)
{
    const cnnbn_run *run = args->run;
    size_t in = (size_t)g->H * (size_t)g->W * (size_t)g->C, out = (size_t)g->P * (size_t)g->Q * (size_t)g->K;
    size_t n_weights = (size_t)g->R * (size_t)g->S * (size_t)(g->C / g->groups) * (size_t)g->K;
    double *x = cnnbn__ref_doubles(args->workspace), *sum = x + in;
    int height = 0;
    for (int s = 0; s < run->n_slices; s++) {
        for (size_t j = 0; j < n_weights; j++) sum[j] = 0;
        for (size_t i = (size_t)run->bounds[s]; i < (size_t)run->bounds[s + 1]; i++) {
            cnnbn__ref_load(in, &args->in, args->x + i * in, x);
            dw_sample(g, x, args->dy + i * out, sum);
        }
        float *entry = args->dw + (size_t)height * args->dw_stride;
        for (size_t j = 0; j < n_weights; j++) entry[j] = (float)sum[j];
        height = cnnbn__stack_push_f32(run, s, height, n_weights, args->dw, args->dw_stride);
    }
}

/* db[k] = sum of dy over samples and positions. */
static void bias_gradient(const cnnbn_conv_geom *g, const cnnbn_conv_bwd *args)
{
    const cnnbn_run *run = args->run;
    size_t K = (size_t)g->K, positions = (size_t)g->P * (size_t)g->Q;
    double *sum = cnnbn__ref_doubles(args->workspace);
    int height = 0;
    for (int s = 0; s < run->n_slices; s++) {
        for (size_t k = 0; k < K; k++) sum[k] = 0;
        for (size_t i = (size_t)run->bounds[s] * positions; i < (size_t)run->bounds[s + 1] * positions; i++)
            for (size_t k = 0; k < K; k++) sum[k] += (double)args->dy[i * K + k];
        float *entry = args->db + (size_t)height * args->db_stride;
        for (size_t k = 0; k < K; k++) entry[k] = (float)sum[k];
        height = cnnbn__stack_push_f32(run, s, height, K, args->db, args->db_stride);
    }
}

void cnnbn__ref_conv_bwd(const cnnbn_conv_plan *plan, const cnnbn_conv_bwd *args)
{
    const cnnbn_conv_geom *g = &plan->geom;
    size_t out = (size_t)g->P * (size_t)g->Q * (size_t)g->K;
    int n = args->run->bounds[args->run->n_slices];
    if (args->dx) {
        float *dx = args->dx;
        for (size_t i = 0; i < (size_t)n; i++)
            for (int h = 0; h < g->H; h++)
                for (int w = 0; w < g->W; w++, dx += g->C) dx_pixel(g, args->dy + i * out, args->w, h, w, dx);
    }
    if (args->dw) weight_gradient(g, args);
    if (args->db) bias_gradient(g, args);
}
