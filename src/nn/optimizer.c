/* The end of a step, on the flat slabs: micro-batches added up, a look at the gradient before anything is changed, clipping, the
 * update, and the average of the weights. Element-wise, so any split over threads gives the same bits; norms are made tensor by tensor
 * and added in the order of the weights. The gradient is equal on all ranks, and so is every decision made here. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ir.h"

static int is_trained(const cnnbn_net *net, int i)
{
    return net->model->params[i].trainable;
}

/* A thread's part of weight i, in whole cache lines: where it begins in the slab, and how many elements. */
static size_t part_of(const cnnbn_net *net, int i, int tid, size_t *count)
{
    size_t all = net->model->params[i].count, lines = (all + 15) / 16, n = (size_t)net->n_threads;
    size_t begin = lines * (size_t)tid / n * 16, end = lines * ((size_t)tid + 1) / n * 16;
    if (end > all) end = all;
    *count = end > begin ? end - begin : 0;
    return net->param_offset[i] + begin;
}

/* ---------------------------------------------------------------- micro-batches */

/* The gradients of a step's parts are added one after the other, as they come. */
void cnnbn__optimizer_accumulate(cnnbn_net *net, int tid)
{
    int part = net->batch->part, is_last = part == net->batch->n_parts - 1;
    for (int i = 0; i < net->model->n_params; i++) {
        size_t count, offset = part_of(net, i, tid, &count);
        if (!is_trained(net, i) || count == 0) continue;
        float *g = net->grads + offset, *sum = net->accumulated + offset;
        if (part == 0)
            memcpy(sum, g, count * sizeof *sum);
        else if (is_last)
            net->kernels->add(count, sum, g);
        else
            net->kernels->add(count, g, sum);
    }
}

/* ---------------------------------------------------------------- the gradient, before anything is changed */

static int has_squares(const cnnbn_optimizer *opt)
{
    return opt->kind != CNNBN_SGD && opt->kind != CNNBN_LARS;
}

/* What the update can take: squares of more become infinite, and a NaN in the next step. A norm that is clipped keeps them small. */
static float greatest_gradient(const cnnbn_net *net)
{
    const cnnbn_optimizer *opt = &net->config.optimizer;
    return has_squares(opt) && opt->clip == CNNBN_CLIP_NONE ? sqrtf(FLT_MAX) / 2 : FLT_MAX;
}

void cnnbn__optimizer_look(cnnbn_net *net, int tid)
{
    cnnbn_clip_kind clip = net->config.optimizer.clip;
    float limit = greatest_gradient(net);
    net->threads[tid].gradient_is_good = 1;
    for (int i = 0; i < net->model->n_params; i++) {
        size_t count, offset = part_of(net, i, tid, &count);
        if (!is_trained(net, i) || count == 0) continue;
        if (!(net->kernels->abs_max(count, net->grads + offset) <= limit)) net->threads[tid].gradient_is_good = 0;
    }
    if (clip != CNNBN_CLIP_NORM && clip != CNNBN_CLIP_GLOBAL_NORM) return;
    for (int i = tid; i < net->model->n_params; i += net->n_threads)
        net->norms[i] = is_trained(net, i)
                            ? net->kernels->sum_squares(net->model->params[i].count, net->grads + net->param_offset[i])
                            : 0;
}

int cnnbn__optimizer_may_update(const cnnbn_net *net)
{
    for (int t = 0; t < net->n_threads; t++)
        if (!net->threads[t].gradient_is_good) return 0;
    return 1;
}

/* The backward pass goes from the last layer to the first, and so do what overflows there. */
int cnnbn__optimizer_find_bad(const cnnbn_net *net, char *text, size_t bytes)
{
    float limit = greatest_gradient(net);
    for (int i = net->model->n_params - 1; i >= 0; i--) {
        const cnnbn_param *p = &net->model->params[i];
        if (!is_trained(net, i)) continue;
        float most = net->kernels->abs_max(p->count, net->grads + net->param_offset[i]);
        if (most <= limit) continue;
        (void)snprintf(text, bytes, "gradient of %s of layer %s (%s%.3g)", p->name, net->model->layers[p->layer].name,
                       isfinite(most) ? "too great to be squared: " : "", (double)most);
        return i;
    }
    return -1;
}

/* ---------------------------------------------------------------- clipping */

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

static void clip(cnnbn_net *net, int i, size_t offset, size_t count)
{
    const cnnbn_optimizer *opt = &net->config.optimizer;
    double factor = clip_factor(net, i);
    if (factor < 1) net->kernels->scale(count, (float)factor, net->grads + offset);
    if (opt->clip == CNNBN_CLIP_VALUE) net->kernels->clip(count, (float)opt->clip_limit, net->grads + offset);
}

/* ---------------------------------------------------------------- rates by the norms of a weight: LARS, LAMB */

int cnnbn__optimizer_has_ratios(const cnnbn_net *net)
{
    return net->config.optimizer.kind == CNNBN_LARS || net->config.optimizer.kind == CNNBN_LAMB;
}

static double decay_of(const cnnbn_net *net, const cnnbn_param *p)
{
    return p->decays ? net->config.optimizer.weight_decay : 0;
}

/* What the ratio is made of stands in the gradient's place: LARS' clipped gradient, LAMB's direction. */
void cnnbn__optimizer_direct(cnnbn_net *net, int tid)
{
    const cnnbn_optimizer *opt = &net->config.optimizer;
    double t = (double)(net->iterations + 1);
    for (int i = 0; i < net->model->n_params; i++) {
        size_t count, offset = part_of(net, i, tid, &count);
        if (!is_trained(net, i) || count == 0) continue;
        clip(net, i, offset, count);
        if (opt->kind != CNNBN_LAMB) continue;
        cnnbn_lamb args = {.rate1 = (float)(1 - opt->beta1),
                           .rate2 = (float)(1 - opt->beta2),
                           .correct1 = (float)(1 / (1 - pow(opt->beta1, t))),
                           .correct2 = (float)(1 / (1 - pow(opt->beta2, t))),
                           .epsilon = (float)opt->epsilon,
                           .decay = (float)(opt->lr * decay_of(net, &net->model->params[i]))};
        net->kernels->lamb(count, &args, net->grads + offset, net->slots[0] + offset, net->slots[1] + offset,
                           net->weights + offset);
    }
}

/* LARS (You, Gitman, Ginsburg 2017, equation 6): eta*|w| / (|g| + decay*|w|), for what decays; LAMB as Keras has it: |w|/|u| for every
 * weight. 1 where a norm is zero. */
void cnnbn__optimizer_ratios(cnnbn_net *net, int tid)
{
    const cnnbn_optimizer *opt = &net->config.optimizer;
    for (int i = tid; i < net->model->n_params; i += net->n_threads) {
        const cnnbn_param *p = &net->model->params[i];
        net->ratios[i] = 1;
        if (!is_trained(net, i) || (opt->kind == CNNBN_LARS && !p->decays)) continue;
        double w = sqrt(net->kernels->sum_squares(p->count, net->weights + net->param_offset[i]));
        double g = sqrt(net->kernels->sum_squares(p->count, net->grads + net->param_offset[i]));
        if (w <= 0 || g <= 0) continue;
        net->ratios[i] = opt->kind == CNNBN_LAMB ? w / g : opt->trust * w / (g + opt->weight_decay * w);
    }
}

/* ---------------------------------------------------------------- the update */

static void update_adam(cnnbn_net *net, const cnnbn_param *p, size_t offset, size_t count)
{
    const cnnbn_optimizer *opt = &net->config.optimizer;
    double t = (double)(net->iterations + 1);
    double step = opt->lr * sqrt(1 - pow(opt->beta2, t)) / (1 - pow(opt->beta1, t));
    cnnbn_adam args = {(float)step, (float)(1 - opt->beta1), (float)(1 - opt->beta2), (float)opt->epsilon,
                       (float)(opt->lr * decay_of(net, p))};
    net->kernels->adam(count, &args, net->grads + offset, net->slots[0] + offset, net->slots[1] + offset,
                       net->weights + offset);
}

static void update_rmsprop(cnnbn_net *net, const cnnbn_param *p, size_t offset, size_t count)
{
    const cnnbn_optimizer *opt = &net->config.optimizer;
    cnnbn_rmsprop args = {.lr = (float)opt->lr,
                          .rho = (float)opt->rho,
                          .rate = (float)(1 - opt->rho),
                          .momentum = (float)opt->momentum,
                          .epsilon = (float)opt->epsilon,
                          .decay = (float)(opt->lr * decay_of(net, p))};
    net->kernels->rmsprop(count, &args, net->grads + offset, net->slots[0] + offset,
                          net->n_slots > 1 ? net->slots[1] + offset : NULL, net->weights + offset);
}

/* SGD; LARS and the second half of LAMB with a rate of the weight's own. */
static void update_sgd(cnnbn_net *net, int i, size_t offset, size_t count)
{
    const cnnbn_optimizer *opt = &net->config.optimizer;
    const cnnbn_param *p = &net->model->params[i];
    int is_lamb = opt->kind == CNNBN_LAMB, is_lars = opt->kind == CNNBN_LARS;
    cnnbn_sgd args = {.lr = (float)(opt->lr * (is_lars || is_lamb ? net->ratios[i] : 1)),
                      .momentum = is_lamb ? 0 : (float)opt->momentum,
                      .nesterov = opt->nesterov,
                      .decay = is_lars || is_lamb ? 0 : (float)(opt->lr * decay_of(net, p)),
                      .coupled = is_lars ? (float)decay_of(net, p) : 0};
    net->kernels->sgd(count, &args, net->grads + offset, net->n_slots ? net->slots[0] + offset : NULL,
                      net->weights + offset);
}

void cnnbn__optimizer_update(cnnbn_net *net, int tid)
{
    cnnbn_optimizer_kind kind = net->config.optimizer.kind;
    int is_clipped = cnnbn__optimizer_has_ratios(net);
    for (int i = 0; i < net->model->n_params; i++) {
        size_t count, offset = part_of(net, i, tid, &count);
        if (!is_trained(net, i) || count == 0) continue;
        if (!is_clipped) clip(net, i, offset, count);
        if (kind == CNNBN_ADAM || kind == CNNBN_ADAMW)
            update_adam(net, &net->model->params[i], offset, count);
        else if (kind == CNNBN_RMSPROP)
            update_rmsprop(net, &net->model->params[i], offset, count);
        else
            update_sgd(net, i, offset, count);
    }
}

/* The first average is the weights themselves. */
void cnnbn__optimizer_average(cnnbn_net *net, int tid)
{
    float rate = (float)(1 - net->config.ema_decay);
    for (int i = 0; i < net->model->n_params; i++) {
        size_t count, offset = part_of(net, i, tid, &count);
        if (count == 0) continue;
        float *mean = (is_trained(net, i) ? net->ema : net->ema_state) + offset;
        const float *w = (is_trained(net, i) ? net->weights : net->state) + offset;
        if (net->iterations == 0)
            memcpy(mean, w, count * sizeof *mean);
        else
            net->kernels->lerp(count, rate, w, mean);
    }
}
