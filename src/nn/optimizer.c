/* Clipping and the update, on the flat slab. Element-wise, so any split over threads gives the same bits; norms are made tensor by
 * tensor and added in the order of the weights. */
#include <math.h>

#include "ir.h"

static int is_trained(const cnnbn_net *net, int i)
{
    return net->model->params[i].trainable;
}

void cnnbn__optimizer_norms(cnnbn_net *net, int tid)
{
    cnnbn_clip_kind clip = net->config.optimizer.clip;
    if (clip != CNNBN_CLIP_NORM && clip != CNNBN_CLIP_GLOBAL_NORM) return;
    for (int i = tid; i < net->model->n_params; i += net->n_threads)
        net->norms[i] = is_trained(net, i)
                            ? net->kernels->sum_squares(net->model->params[i].count, net->grads + net->param_offset[i])
                            : 0;
}

/* Factor on the gradient of weight i; 1 where nothing is clipped. */
static double clip_factor(const cnnbn_net *net, int i)
{
    const cnnbn_optimizer *opt = &net->config.optimizer;
    double squares = 0;
    if (opt->clip == CNNBN_CLIP_NORM)
        squares = net->norms[i];
    else if (opt->clip == CNNBN_CLIP_GLOBAL_NORM)
        for (int k = 0; k < net->model->n_params; k++) squares += net->norms[k];
    else
        return 1;
    double norm = sqrt(squares);
    return norm > opt->clip_limit ? opt->clip_limit / norm : 1;
}

static void update(cnnbn_net *net, const cnnbn_param *p, size_t offset, size_t count)
{
    const cnnbn_optimizer *opt = &net->config.optimizer;
    const float *g = net->grads + offset;
    float *w = net->weights + offset;
    double decay = p->decays ? opt->lr * opt->weight_decay : 0;
    if (opt->kind == CNNBN_SGD) {
        cnnbn_sgd args = {(float)opt->lr, (float)opt->momentum, opt->nesterov, (float)decay};
        net->kernels->sgd(count, &args, g, net->n_slots ? net->slots[0] + offset : NULL, w);
        return;
    }
    double t = (double)(net->iterations + 1);
    double step = opt->lr * sqrt(1 - pow(opt->beta2, t)) / (1 - pow(opt->beta1, t));
    cnnbn_adam args = {(float)step, (float)(1 - opt->beta1), (float)(1 - opt->beta2), (float)opt->epsilon,
                       (float)decay};
    net->kernels->adam(count, &args, g, net->slots[0] + offset, net->slots[1] + offset, w);
}

void cnnbn__optimizer_update(cnnbn_net *net, int tid)
{
    const cnnbn_optimizer *opt = &net->config.optimizer;
    for (int i = 0; i < net->model->n_params; i++) {
        if (!is_trained(net, i)) continue;
        const cnnbn_param *p = &net->model->params[i];
        /* Whole cache lines a thread. */
        size_t lines = (p->count + 15) / 16, n = (size_t)net->n_threads;
        size_t begin = lines * (size_t)tid / n * 16, end = lines * ((size_t)tid + 1) / n * 16;
        if (end > p->count) end = p->count;
        if (begin >= end) continue;
        size_t offset = net->param_offset[i] + begin, count = end - begin;
        double factor = clip_factor(net, i);
        if (factor < 1) net->kernels->scale(count, (float)factor, net->grads + offset);
        if (opt->clip == CNNBN_CLIP_VALUE) net->kernels->clip(count, (float)opt->clip_limit, net->grads + offset);
        update(net, p, offset, count);
    }
}
