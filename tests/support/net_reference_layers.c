#include "net_reference_layers.h"

#include <math.h>
#include <string.h>

#include "check.h"
#include "cnnbn/layer.h"
#include "cnnbn/rng.h"

/* What a layer sees of its call. */
typedef struct view {
    net_reference *ref;
    const cnnbn_layer *layer;
    int call, n;
    cnnbn_shape in, out;
    size_t n_in, n_out; /* of one sample */
    double *x, *dx;     /* of the first input */
    double *y, *dy;
    double *before;
    double *w, *dw, *b, *db; /* first and second weight, or NULL */
} view;

/* ---------------------------------------------------------------- activations */

static const double selu_alpha = 1.67326324235438, selu_scale = 1.05070098735548;

static double relu_general(cnnbn_activation a, double x)
{
    double max = (double)a.p0, slope = (double)a.p1, threshold = (double)a.p2;
    return x >= max ? max : x >= threshold ? x : slope * (x - threshold);
}

static double act(cnnbn_activation a, double x)
{
    switch (a.kind) {
    case CNNBN_ACT_LINEAR:
        return x;
    case CNNBN_ACT_RELU:
        return x > 0 ? x : 0;
    case CNNBN_ACT_RELU_GENERAL:
        return relu_general(a, x);
    case CNNBN_ACT_LEAKY_RELU:
        return x > 0 ? x : (double)a.p0 * x;
    case CNNBN_ACT_ELU:
        return x > 0 ? x : (double)a.p0 * expm1(x);
    case CNNBN_ACT_SELU:
        return selu_scale * (x > 0 ? x : selu_alpha * expm1(x));
    case CNNBN_ACT_SIGMOID:
        return 1 / (1 + exp(-x));
    case CNNBN_ACT_TANH:
        return tanh(x);
    case CNNBN_ACT_SOFTPLUS:
        return log1p(exp(x));
    case CNNBN_ACT_GELU:
        return x * 0.5 * erfc(-x * sqrt(0.5));
    case CNNBN_ACT_SILU:
        return x / (1 + exp(-x));
    case CNNBN_ACT_HARD_SIGMOID:
        return x <= -3 ? 0 : x >= 3 ? 1 : (x + 3) / 6;
    case CNNBN_ACT_HARD_SILU:
        return x * (x <= -3 ? 0 : x >= 3 ? 1 : (x + 3) / 6);
    default:
        fail_msg("the reference has no activation %d", (int)a.kind);
        return 0;
    }
}

/* The smooth ones by central differences, so that the functions above are the only ones to get right: steps of 1e-6 leave 1e-10
 * of error. Those with a kink must not straddle it. */
static double slope(cnnbn_activation a, double x)
{
    const double step = 1e-6;
    switch (a.kind) {
    case CNNBN_ACT_RELU:
        return x > 0;
    case CNNBN_ACT_RELU_GENERAL:
        return x >= (double)a.p0 ? 0 : x >= (double)a.p2 ? 1 : (double)a.p1;
    case CNNBN_ACT_LEAKY_RELU:
        return x > 0 ? 1 : (double)a.p0;
    case CNNBN_ACT_ELU:
        return x > 0 ? 1 : (double)a.p0 * exp(x);
    case CNNBN_ACT_SELU:
        return selu_scale * (x > 0 ? 1 : selu_alpha * exp(x));
    default:
        return (act(a, x + step) - act(a, x - step)) / (2 * step);
    }
}

static void softmax(const double *x, size_t rows, int C, double *y)
{
    for (size_t r = 0; r < rows; r++, x += C, y += C) {
        double top = x[0], sum = 0;
        for (int c = 1; c < C; c++) top = x[c] > top ? x[c] : top;
        for (int c = 0; c < C; c++) sum += y[c] = exp(x[c] - top);
        for (int c = 0; c < C; c++) y[c] /= sum;
    }
}

static void softmax_back(const double *y, const double *dy, size_t rows, int C, double *dx)
{
    for (size_t r = 0; r < rows; r++, y += C, dy += C, dx += C) {
        double dot = 0;
        for (int c = 0; c < C; c++) dot += dy[c] * y[c];
        for (int c = 0; c < C; c++) dx[c] += y[c] * (dy[c] - dot);
    }
}

static int last_of(cnnbn_shape shape)
{
    return shape.dim[shape.rank - 1];
}

/* y = f(u), and du += dy f'(u) */
static void activate(const view *v, cnnbn_arg_act f, const double *u, double *du, int backward)
{
    size_t all = v->n_out * (size_t)v->n;
    int C = last_of(v->out);
    if (f.softmax && !backward) softmax(u, all / (size_t)C, C, v->y);
    if (f.softmax && backward) softmax_back(v->y, v->dy, all / (size_t)C, C, du);
    for (size_t i = 0; !f.softmax && i < all; i++) {
        if (backward)
            du[i] += v->dy[i] * slope(f.act, u[i]);
        else
            v->y[i] = act(f.act, u[i]);
    }
}

/* ---------------------------------------------------------------- windows */

typedef struct window {
    int R, S, stride_h, stride_w, dil_h, dil_w, top, left;
} window;

/* TensorFlow's `same`: as many outputs as strides fit, the odd one of the padding at the end. */
static int pad_before(int same, int in, int k, int stride, int dil)
{
    int out = (in + stride - 1) / stride, total = (out - 1) * stride + (k - 1) * dil + 1 - in;
    return same && total > 0 ? total / 2 : 0;
}

static window window_of(const view *v, const int *size, const int *strides, const int *dil)
{
    int same = cnnbn_layer_arg(v->layer, "padding")->i[0];
    window w = {size[0], size[1], strides[0], strides[1], dil[0], dil[1], 0, 0};
    w.top = pad_before(same, v->in.dim[0], w.R, w.stride_h, w.dil_h);
    w.left = pad_before(same, v->in.dim[1], w.S, w.stride_w, w.dil_w);
    return w;
}

/* Index of channel 0 of the pixel under tap (r, s) of output (p, q) of sample i, or -1 in the border. */
static long tap(const view *v, const window *w, int i, int p, int q, int r, int s)
{
    int h = p * w->stride_h + r * w->dil_h - w->top, x = q * w->stride_w + s * w->dil_w - w->left;
    if (h < 0 || h >= v->in.dim[0] || x < 0 || x >= v->in.dim[1]) return -1;
    return (((long)i * v->in.dim[0] + h) * v->in.dim[1] + x) * v->in.dim[2];
}

static void conv_pixel(const view *v, const window *w, int groups, int i, int p, int q, int backward, double *du)
{
    int K = v->out.dim[2], cg = v->in.dim[2] / groups, kg = K / groups;
    size_t at = (((size_t)i * (size_t)v->out.dim[0] + (size_t)p) * (size_t)v->out.dim[1] + (size_t)q) * (size_t)K;
    for (int k = 0; k < K; k++) {
        double sum = v->b ? v->b[k] : 0, d = backward ? du[at + (size_t)k] : 0;
        for (int r = 0; r < w->R; r++)
            for (int s = 0; s < w->S; s++) {
                long x0 = tap(v, w, i, p, q, r, s);
                if (x0 < 0) continue;
                for (int c = 0; c < cg; c++) {
                    long x = x0 + k / kg * cg + c, f = ((long)(r * w->S + s) * cg + c) * K + k;
                    sum += v->x[x] * v->w[f];
                    if (!backward) continue;
                    v->dx[x] += d * v->w[f];
                    v->dw[f] += d * v->x[x];
                }
            }
        if (!backward) v->before[at + (size_t)k] = sum;
        if (backward && v->db) v->db[k] += d;
    }
}

static void convolve(const view *v, int depthwise, int backward)
{
    const int *dil = cnnbn_layer_arg(v->layer, "dilation_rate")->i;
    window w = window_of(v, cnnbn_layer_arg(v->layer, "kernel_size")->i, cnnbn_layer_arg(v->layer, "strides")->i, dil);
    int groups = depthwise ? v->in.dim[2] : cnnbn_layer_arg(v->layer, "groups")->i[0];
    cnnbn_arg_act f = cnnbn_layer_arg(v->layer, "activation")->act;
    size_t all = v->n_out * (size_t)v->n;
    double *du = NULL;
    if (backward) { /* the gradient in front of the activation replaces `before` */
        du = test_calloc(all, sizeof *du);
        activate(v, f, v->before, du, 1);
    }
    for (int i = 0; i < v->n; i++)
        for (int p = 0; p < v->out.dim[0]; p++)
            for (int q = 0; q < v->out.dim[1]; q++) conv_pixel(v, &w, groups, i, p, q, backward, du);
    if (!backward) activate(v, f, v->before, NULL, 0);
    if (backward) test_free(du);
}

/* Rows of the whole spread that Keras cuts off in front (layer_conv_transpose.c says how many there are). */
static int cut_before(int in, int out, int k, int stride, int dil)
{
    int more = (in - 1) * stride + (k - 1) * dil + 1 - out;
    return more > 0 ? more / 2 : 0;
}

/* One input pixel of a transposed convolution: it adds its products to every output under its window. Backward, du is the gradient
 * in front of the activation. */
static void spread_pixel(const view *v, const window *w, int i, int p, int q, const double *du)
{
    int C = v->in.dim[2], K = v->out.dim[2];
    size_t x = (((size_t)i * (size_t)v->in.dim[0] + (size_t)p) * (size_t)v->in.dim[1] + (size_t)q) * (size_t)C;
    for (int r = 0; r < w->R; r++)
        for (int s = 0; s < w->S; s++) {
            int h = p * w->stride_h + r * w->dil_h - w->top, at = q * w->stride_w + s * w->dil_w - w->left;
            if (h < 0 || h >= v->out.dim[0] || at < 0 || at >= v->out.dim[1]) continue;
            size_t y =
                (((size_t)i * (size_t)v->out.dim[0] + (size_t)h) * (size_t)v->out.dim[1] + (size_t)at) * (size_t)K;
            for (int k = 0; k < K; k++)
                for (int c = 0; c < C; c++) {
                    size_t f = ((size_t)(r * w->S + s) * (size_t)K + (size_t)k) * (size_t)C + (size_t)c;
                    if (!du) {
                        v->before[y + (size_t)k] += v->x[x + (size_t)c] * v->w[f];
                        continue;
                    }
                    v->dx[x + (size_t)c] += du[y + (size_t)k] * v->w[f];
                    v->dw[f] += du[y + (size_t)k] * v->x[x + (size_t)c];
                }
        }
}

static void spread(const view *v, int backward)
{
    const int *k = cnnbn_layer_arg(v->layer, "kernel_size")->i, *strides = cnnbn_layer_arg(v->layer, "strides")->i,
              *dil = cnnbn_layer_arg(v->layer, "dilation_rate")->i;
    window w = {k[0], k[1], strides[0], strides[1], dil[0], dil[1], 0, 0};
    w.top = cut_before(v->in.dim[0], v->out.dim[0], k[0], strides[0], dil[0]);
    w.left = cut_before(v->in.dim[1], v->out.dim[1], k[1], strides[1], dil[1]);
    cnnbn_arg_act f = cnnbn_layer_arg(v->layer, "activation")->act;
    size_t all = v->n_out * (size_t)v->n, K = (size_t)v->out.dim[2];
    double *du = NULL;
    if (backward) {
        du = test_calloc(all, sizeof *du);
        activate(v, f, v->before, du, 1);
    }
    for (size_t j = 0; j < all; j++) {
        if (!backward) v->before[j] = v->b ? v->b[j % K] : 0;
        if (backward && v->db) v->db[j % K] += du[j];
    }
    for (int i = 0; i < v->n; i++)
        for (int p = 0; p < v->in.dim[0]; p++)
            for (int q = 0; q < v->in.dim[1]; q++) spread_pixel(v, &w, i, p, q, du);
    if (!backward) activate(v, f, v->before, NULL, 0);
    if (backward) test_free(du);
}

static void pool_pixel(const view *v, const window *w, int is_max, int backward, int i, int p, int q)
{
    int C = v->in.dim[2];
    size_t at = (((size_t)i * (size_t)v->out.dim[0] + (size_t)p) * (size_t)v->out.dim[1] + (size_t)q) * (size_t)C;
    for (int c = 0; c < C; c++) {
        double sum = 0;
        long best = -1;
        int count = 0;
        for (int pass = 0; pass <= backward; pass++)
            for (int r = 0; r < w->R; r++)
                for (int s = 0; s < w->S; s++) {
                    long x = tap(v, w, i, p, q, r, s);
                    if (x < 0) continue;
                    x += c;
                    if (pass && !is_max) v->dx[x] += v->dy[at + (size_t)c] / count;
                    if (pass) continue;
                    count++;
                    sum += v->x[x];
                    if (best < 0 || v->x[x] > v->x[best]) best = x;
                }
        if (!backward) v->y[at + (size_t)c] = is_max ? v->x[best] : sum / count;
        if (backward && is_max) v->dx[best] += v->dy[at + (size_t)c];
    }
}

static void pool(const view *v, int is_max, int backward)
{
    static const int one[2] = {1, 1};
    const int *size = cnnbn_layer_arg(v->layer, "pool_size")->i, *strides = cnnbn_layer_arg(v->layer, "strides")->i;
    window w = window_of(v, size, strides[0] ? strides : size, one);
    for (int i = 0; i < v->n; i++)
        for (int p = 0; p < v->out.dim[0]; p++)
            for (int q = 0; q < v->out.dim[1]; q++) pool_pixel(v, &w, is_max, backward, i, p, q);
}

static void global_pool(const view *v, int backward)
{
    size_t C = (size_t)last_of(v->in), positions = v->n_in / C;
    for (size_t i = 0; i < (size_t)v->n; i++)
        for (size_t p = 0; p < positions; p++)
            for (size_t c = 0; c < C; c++) {
                size_t x = (i * positions + p) * C + c, y = i * C + c;
                if (backward)
                    v->dx[x] += v->dy[y] / (double)positions;
                else
                    v->y[y] = (p ? v->y[y] : 0) + v->x[x] / (double)positions;
            }
}

/* ---------------------------------------------------------------- dense, batch norm */

static void dense(const view *v, int backward)
{
    cnnbn_arg_act f = cnnbn_layer_arg(v->layer, "activation")->act;
    size_t F = v->n_in, U = v->n_out;
    double *du = backward ? test_calloc(U * (size_t)v->n, sizeof *du) : NULL;
    if (backward) activate(v, f, v->before, du, 1);
    for (size_t i = 0; i < (size_t)v->n; i++)
        for (size_t u = 0; u < U; u++) {
            double sum = v->b ? v->b[u] : 0, d = backward ? du[i * U + u] : 0;
            for (size_t k = 0; k < F; k++) {
                sum += v->x[i * F + k] * v->w[k * U + u];
                if (!backward) continue;
                v->dx[i * F + k] += d * v->w[k * U + u];
                v->dw[k * U + u] += d * v->x[i * F + k];
            }
            if (!backward) v->before[i * U + u] = sum;
            if (backward && v->db) v->db[u] += d;
        }
    if (!backward) activate(v, f, v->before, NULL, 0);
    if (backward) test_free(du);
}

typedef struct norm {
    size_t C, begin, end; /* rows of the group */
    const double *gamma, *beta;
    double *dgamma, *dbeta;
    double *mean, *inv_std;
    int frozen;
} norm;

/* Two passes: the mean first, then the squares about it. */
static void norm_forward(const view *v, const norm *b, size_t c, double eps, double mean, double var)
{
    double rows = (double)(b->end - b->begin), gamma = b->gamma ? b->gamma[c] : 1, beta = b->beta ? b->beta[c] : 0;
    if (!b->frozen) {
        mean = var = 0;
        for (size_t r = b->begin; r < b->end; r++) mean += v->x[r * b->C + c] / rows;
        for (size_t r = b->begin; r < b->end; r++) var += pow(v->x[r * b->C + c] - mean, 2) / rows;
    }
    b->mean[c] = mean;
    b->inv_std[c] = 1 / sqrt(var + eps);
    for (size_t r = b->begin; r < b->end; r++)
        v->y[r * b->C + c] = gamma * (v->x[r * b->C + c] - mean) * b->inv_std[c] + beta;
}

static void norm_backward(const view *v, const norm *b, size_t c)
{
    double rows = (double)(b->end - b->begin), sum = 0, dot = 0, scale = b->inv_std[c] * (b->gamma ? b->gamma[c] : 1);
    for (size_t r = b->begin; r < b->end; r++) {
        sum += v->dy[r * b->C + c];
        dot += v->dy[r * b->C + c] * (v->x[r * b->C + c] - b->mean[c]) * b->inv_std[c];
    }
    if (b->dgamma) b->dgamma[c] += dot;
    if (b->dbeta) b->dbeta[c] += sum;
    for (size_t r = b->begin; r < b->end; r++) {
        double xhat = (v->x[r * b->C + c] - b->mean[c]) * b->inv_std[c];
        v->dx[r * b->C + c] += scale * (v->dy[r * b->C + c] - (b->frozen ? 0 : sum / rows + xhat * dot / rows));
    }
}

static void normalise(const view *v, int backward)
{
    const net_reference *ref = v->ref;
    int p = v->layer->first_param, last = p + v->layer->n_params - 1;
    int has_gamma = cnnbn_layer_arg(v->layer, "scale")->i[0], has_beta = cnnbn_layer_arg(v->layer, "center")->i[0];
    double eps = cnnbn_layer_arg(v->layer, "epsilon")->f;
    norm b = {.C = (size_t)last_of(v->in), .frozen = !ref->training || !v->layer->trainable};
    if (has_gamma) {
        b.gamma = ref->param[p];
        b.dgamma = ref->param_grad[p];
    }
    if (has_beta) {
        b.beta = ref->param[p + has_gamma];
        b.dbeta = ref->param_grad[p + has_gamma];
    }
    size_t positions = v->n_in / b.C;
    for (int g = 0; g < ref->n_groups; g++) {
        b.begin = positions * (size_t)(ref->group_begin ? ref->group_begin[g] : 0);
        b.end = positions * (size_t)(ref->group_begin ? ref->group_begin[g + 1] : v->n);
        b.mean = v->before + 2 * (size_t)g * b.C;
        b.inv_std = b.mean + b.C;
        for (size_t c = 0; c < b.C && b.begin < b.end; c++) {
            if (backward)
                norm_backward(v, &b, c);
            else
                norm_forward(v, &b, c, eps, ref->param[last - 1][c], ref->param[last][c]);
        }
    }
}

/* ---------------------------------------------------------------- the rest */

/* Which draw is that of value k: values that differ in shared axes alone have the same. */
static size_t draw_of(const view *v, size_t k)
{
    int spatial = strcmp(v->layer->type->name, "SpatialDropout2D") == 0;
    cnnbn_shape noise = spatial ? (cnnbn_shape){3, {1, 1, 0}} : cnnbn_layer_arg(v->layer, "noise_shape")->shape;
    size_t draw = 0, stride = 1;
    if (!noise.rank) return k;
    for (int d = v->in.rank - 1; d >= 0; d--) {
        size_t size = (size_t)v->in.dim[d], place = k % size;
        k /= size;
        if (noise.dim[d] == 1) continue;
        draw += place * stride;
        stride *= size;
    }
    return draw;
}

static void drop(const view *v, int backward)
{
    double rate = cnnbn_layer_arg(v->layer, "rate")->f;
    for (int i = 0; i < v->n; i++) {
        uint64_t key = v->ref->training && rate > 0 ? net_reference_dropout_key(v->ref, v->call, v->ref->ids[i]) : 0;
        for (size_t k = 0; k < v->n_in; k++) {
            int keep = !v->ref->training || rate <= 0 || cnnbn_rng_uniform(key, draw_of(v, k)) >= (float)rate;
            double factor = keep ? (v->ref->training ? 1 / (1 - rate) : 1) : 0;
            size_t at = (size_t)i * v->n_in + k;
            if (backward)
                v->dx[at] += factor * v->dy[at];
            else
                v->y[at] = factor * v->x[at];
        }
    }
}

/* Sums (channels of all inputs equal) and concatenations. */
static void merge(const view *v, int concat, int backward)
{
    const cnnbn_call *call = &v->ref->model->calls[v->call];
    size_t C = (size_t)last_of(v->out), rows = v->n_out / C * (size_t)v->n, first = 0;
    if (!backward) memset(v->y, 0, rows * C * sizeof *v->y);
    for (int k = 0; k < call->n_inputs; k++) {
        size_t c_in = (size_t)last_of(v->ref->model->calls[call->inputs[k]].shape);
        double *x = v->ref->value[call->inputs[k]], *dx = v->ref->grad[call->inputs[k]];
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < c_in; c++) {
                if (backward)
                    dx[r * c_in + c] += v->dy[r * C + first + c];
                else
                    v->y[r * C + first + c] += x[r * c_in + c];
            }
        if (concat) first += c_in;
    }
}

static void copy(const view *v, int backward)
{
    for (size_t i = 0; i < v->n_in * (size_t)v->n; i++) {
        if (backward)
            v->dx[i] += v->dy[i];
        else
            v->y[i] = v->x[i];
    }
}

static cnnbn_arg_act only_activation(const cnnbn_layer *layer)
{
    cnnbn_arg_act f = {0, {CNNBN_ACT_RELU_GENERAL, 0, 0, 0}};
    const char *type = layer->type->name;
    if (strcmp(type, "Activation") == 0) return cnnbn_layer_arg(layer, "activation")->act;
    if (strcmp(type, "Softmax") == 0) f.softmax = 1;
    if (strcmp(type, "ReLU") == 0) {
        f.act.p0 = (float)cnnbn_layer_arg(layer, "max_value")->f;
        f.act.p1 = (float)cnnbn_layer_arg(layer, "negative_slope")->f;
        f.act.p2 = (float)cnnbn_layer_arg(layer, "threshold")->f;
    } else if (strcmp(type, "LeakyReLU") == 0) {
        f.act = (cnnbn_activation){CNNBN_ACT_LEAKY_RELU, (float)cnnbn_layer_arg(layer, "negative_slope")->f, 0, 0};
    } else if (strcmp(type, "ELU") == 0) {
        f.act = (cnnbn_activation){CNNBN_ACT_ELU, (float)cnnbn_layer_arg(layer, "alpha")->f, 0, 0};
    } else if (!f.softmax) {
        fail_msg("the reference has no layer %s", type);
    }
    return f;
}

void net_reference_layer(net_reference *ref, int c, int backward)
{
    const cnnbn_model *model = ref->model;
    const cnnbn_call *call = &model->calls[c];
    const cnnbn_layer *layer = &model->layers[call->layer];
    const char *type = layer->type->name;
    int from = call->inputs[0], p = layer->first_param, two = layer->n_params > 1;
    view v = {.ref = ref, .layer = layer, .call = c, .n = ref->n, .in = model->calls[from].shape, .out = call->shape};
    v.n_in = cnnbn_shape_count(v.in);
    v.n_out = cnnbn_shape_count(v.out);
    v.x = ref->value[from];
    v.dx = ref->grad[from];
    v.y = ref->value[c];
    v.dy = ref->grad[c];
    v.before = ref->before[c];
    if (layer->n_params) {
        v.w = ref->param[p];
        v.dw = ref->param_grad[p];
        v.b = two ? ref->param[p + 1] : NULL;
        v.db = two ? ref->param_grad[p + 1] : NULL;
    }
    if (strcmp(type, "Conv2D") == 0 || strcmp(type, "DepthwiseConv2D") == 0)
        convolve(&v, type[0] == 'D', backward);
    else if (strcmp(type, "Conv2DTranspose") == 0)
        spread(&v, backward);
    else if (strcmp(type, "Dense") == 0)
        dense(&v, backward);
    else if (strcmp(type, "BatchNormalization") == 0)
        normalise(&v, backward);
    else if (strcmp(type, "MaxPooling2D") == 0 || strcmp(type, "AveragePooling2D") == 0)
        pool(&v, type[0] == 'M', backward);
    else if (strcmp(type, "GlobalAveragePooling2D") == 0)
        global_pool(&v, backward);
    else if (strcmp(type, "Dropout") == 0 || strcmp(type, "SpatialDropout2D") == 0)
        drop(&v, backward);
    else if (strcmp(type, "Add") == 0 || strcmp(type, "Concatenate") == 0)
        merge(&v, type[0] == 'C', backward);
    else if (strcmp(type, "Flatten") == 0 || strcmp(type, "Reshape") == 0)
        copy(&v, backward);
    else
        activate(&v, only_activation(layer), v.x, v.dx, backward);
}
