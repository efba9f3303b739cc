#include "net_reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "cnnbn/layer.h"
#include "cnnbn/rng.h"
#include "net_reference_layers.h"

static double *zeros(size_t n)
{
    double *a = calloc(n ? n : 1, sizeof *a);
    if (!a) fail_msg("out of memory");
    return a;
}

static size_t floats_of(const net_reference *ref, int call)
{
    return cnnbn_shape_count(ref->model->calls[call].shape) * (size_t)ref->n;
}

static const cnnbn_layer *layer_of(const net_reference *ref, int call)
{
    int layer = ref->model->calls[call].layer;
    return layer < 0 ? NULL : &ref->model->layers[layer];
}

static int is_type(const net_reference *ref, int call, const char *name)
{
    const cnnbn_layer *layer = layer_of(ref, call);
    return layer && strcmp(layer->type->name, name) == 0;
}

net_reference *net_reference_create(const cnnbn_model *model, int n)
{
    net_reference *ref = calloc(1, sizeof *ref);
    if (!ref) fail_msg("out of memory");
    ref->model = model;
    ref->n = n;
    ref->training = 1;
    ref->n_groups = 1;
    ref->param = calloc((size_t)model->n_params + 1, sizeof(double *));
    ref->param_grad = calloc((size_t)model->n_params + 1, sizeof(double *));
    ref->value = calloc((size_t)model->n_calls, sizeof(double *));
    ref->grad = calloc((size_t)model->n_calls, sizeof(double *));
    ref->before = calloc((size_t)model->n_calls, sizeof(double *));
    for (int i = 0; i < model->n_params; i++) {
        ref->param[i] = zeros(model->params[i].count);
        ref->param_grad[i] = zeros(model->params[i].count);
    }
    for (int c = 0; c < model->n_calls; c++) {
        size_t floats = floats_of(ref, c);
        cnnbn_shape shape = model->calls[c].shape;
        size_t stats = 2 * (size_t)shape.dim[shape.rank - 1] * NET_REFERENCE_GROUPS;
        ref->value[c] = zeros(floats);
        ref->grad[c] = zeros(floats);
        ref->before[c] = zeros(floats > stats ? floats : stats);
    }
    return ref;
}

void net_reference_destroy(net_reference *ref)
{
    for (int i = 0; i < ref->model->n_params; i++) {
        free(ref->param[i]);
        free(ref->param_grad[i]);
    }
    for (int c = 0; c < ref->model->n_calls; c++) {
        free(ref->value[c]);
        free(ref->grad[c]);
        free(ref->before[c]);
    }
    free(ref->param);
    free(ref->param_grad);
    free(ref->value);
    free(ref->grad);
    free(ref->before);
    free(ref);
}

uint64_t net_reference_dropout_key(const net_reference *ref, int call, uint64_t id)
{
    uint64_t layer = (uint64_t)ref->model->calls[call].layer, use = 0;
    for (int c = 1; c < call; c++) use += ref->model->calls[c].layer == ref->model->calls[call].layer;
    return cnnbn_rng_key(ref->seed, CNNBN_RNG_DROPOUT, ref->epoch, id, layer | use << 32);
}

/* ---------------------------------------------------------------- the loss */

static void softmax_row(const double *x, int C, double *p)
{
    double top = x[0], sum = 0;
    for (int c = 1; c < C; c++) top = x[c] > top ? x[c] : top;
    for (int c = 0; c < C; c++) sum += p[c] = exp(x[c] - top);
    for (int c = 0; c < C; c++) p[c] /= sum;
}

/* Whether the output is a distribution already. */
static int ends_in_softmax(const net_reference *ref)
{
    const cnnbn_layer *last = layer_of(ref, ref->model->output);
    if (is_type(ref, ref->model->output, "Softmax")) return 1;
    if (is_type(ref, ref->model->output, "Dense") || is_type(ref, ref->model->output, "Activation"))
        return cnnbn_layer_arg(last, "activation")->act.softmax;
    return 0;
}

static double target(const net_reference *ref, int i, int c, int C)
{
    return (c == ref->labels[i] ? 1 - ref->smoothing : 0) + ref->smoothing / C;
}

/* L = -sum_i sum_c t log p / n; the gradient is that of L by p, or by the logits. */
static void loss(net_reference *ref)
{
    int C = cnnbn_model_n_outputs(ref->model), out = ref->model->output, is_p = ends_in_softmax(ref);
    double *p = zeros((size_t)C);
    ref->loss = ref->hits = 0;
    for (int i = 0; i < ref->n; i++) {
        const double *y = ref->value[out] + (size_t)i * (size_t)C;
        double *dy = ref->grad[out] + (size_t)i * (size_t)C;
        if (is_p)
            memcpy(p, y, (size_t)C * sizeof *p);
        else
            softmax_row(y, C, p);
        int best = 0;
        for (int c = 1; c < C; c++) best = y[c] > y[best] ? c : best;
        ref->hits += best == ref->labels[i];
        for (int c = 0; c < C; c++) {
            double t = target(ref, i, c, C);
            ref->loss -= t * log(p[c]) / ref->n;
            dy[c] = (is_p ? -t / p[c] : p[c] - t) / ref->n;
        }
    }
    free(p);
}

/* Penalties of the weights that train; with `slope` their gradients instead. */
static void penalties(net_reference *ref, int slope)
{
    for (int i = 0; i < ref->model->n_params; i++) {
        const cnnbn_param *p = &ref->model->params[i];
        const cnnbn_regularizer r = p->regularizer;
        for (size_t k = 0; p->trainable && k < p->count; k++) {
            double w = ref->param[i][k];
            if (slope)
                ref->param_grad[i][k] += 2 * r.l2 * w + r.l1 * ((w > 0) - (w < 0));
            else
                ref->loss += r.l2 * w * w + r.l1 * fabs(w);
        }
    }
}

/* ---------------------------------------------------------------- the walk */

void net_reference_forward(net_reference *ref, const double *images)
{
    const cnnbn_model *model = ref->model;
    for (int c = 0; c < model->n_calls; c++) {
        memset(ref->grad[c], 0, floats_of(ref, c) * sizeof(double));
        if (model->calls[c].layer < 0)
            memcpy(ref->value[c], c == 0 ? images : ref->value[0], floats_of(ref, c) * sizeof(double));
        else
            net_reference_layer(ref, c, 0);
    }
    if (!ref->labels) return;
    loss(ref);
    penalties(ref, 0);
}

void net_reference_backward(net_reference *ref)
{
    const cnnbn_model *model = ref->model;
    for (int i = 0; i < model->n_params; i++) memset(ref->param_grad[i], 0, model->params[i].count * sizeof(double));
    for (int c = model->n_calls - 1; c > 0; c--)
        if (model->calls[c].layer >= 0) net_reference_layer(ref, c, 1);
    penalties(ref, 1);
}

void net_reference_update_moving(net_reference *ref, int g)
{
    const cnnbn_model *model = ref->model;
    for (int c = 1; c < model->n_calls; c++) {
        if (!is_type(ref, c, "BatchNormalization") || !layer_of(ref, c)->trainable) continue;
        const cnnbn_layer *layer = layer_of(ref, c);
        cnnbn_shape shape = model->calls[c].shape;
        int C = shape.dim[shape.rank - 1], variance = layer->first_param + layer->n_params - 1;
        double keep = cnnbn_layer_arg(layer, "momentum")->f, eps = cnnbn_layer_arg(layer, "epsilon")->f;
        int samples = ref->group_begin ? ref->group_begin[g + 1] - ref->group_begin[g] : ref->n;
        double count = (double)samples * (double)(cnnbn_shape_count(shape) / (size_t)C);
        double correct = cnnbn_layer_arg(layer, "unbiased")->i[0] && count > 1 ? count / (count - 1) : 1;
        const double *mean = ref->before[c] + 2 * (size_t)g * (size_t)C, *inv_std = mean + C;
        for (int k = 0; k < C; k++) {
            double *m = &ref->param[variance - 1][k], *v = &ref->param[variance][k];
            *m = keep * *m + (1 - keep) * mean[k];
            *v = keep * *v + (1 - keep) * (1 / (inv_std[k] * inv_std[k]) - eps) * correct;
        }
    }
}
