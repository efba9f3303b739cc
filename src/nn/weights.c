/* Weights, gradients and optimiser state as flat slabs. */
#include <math.h>
#include <string.h>

#include "cnnbn/memory.h"
#include "cnnbn/rng.h"
#include "ir.h"

static size_t round_up(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

/* Gradients of gamma and beta come with the batch-norm sums, over all ranks already. */
static int comes_with_sums(const cnnbn_net *net, int param)
{
    if (net->config.bn_local) return 0;
    for (int b = 0; b < net->n_bns; b++)
        if (net->bns[b].gamma == param || net->bns[b].beta == param) return 1;
    return 0;
}

static cnnbn_status alloc_floats(size_t n, const char *what, float **out)
{
    void *memory;
    CNNBN_TRY(cnnbn_alloc_array(n, sizeof(float), what, &memory));
    *out = memory;
    return CNNBN_OK;
}

/* Place of the gradient that one use of a weight makes: the weight's own for the first use, else one more. */
static void place_gradient(cnnbn_net *net, int param, char *seen, size_t *out)
{
    if (param < 0 || !net->model->params[param].trainable) return;
    *out = net->param_offset[param];
    if (seen[param]) {
        *out = net->n_trained;
        net->agains[net->n_agains++] = (again){param, net->param_offset[param], *out};
        net->n_trained += round_up(net->model->params[param].count);
    }
    seen[param] = 1;
}

static void place_gradients(cnnbn_net *net, int with_sums, char *seen)
{
    for (int i = 0; i < net->n_ops && !with_sums; i++) {
        op *o = &net->ops[i];
        place_gradient(net, o->kernel, seen, &o->kernel_grad);
        place_gradient(net, o->bias, seen, &o->bias_grad);
    }
    for (int b = 0; b < net->n_bns && with_sums != net->config.bn_local; b++) {
        bn_state *bn = &net->bns[b];
        place_gradient(net, bn->gamma, seen, &bn->gamma_grad);
        place_gradient(net, bn->beta, seen, &bn->beta_grad);
    }
}

static int n_slots_of(const cnnbn_optimizer *opt)
{
    int has_momentum = opt->momentum > 0 || opt->momentum < 0;
    if (opt->kind == CNNBN_SGD || opt->kind == CNNBN_LARS) return has_momentum;
    return opt->kind == CNNBN_RMSPROP ? 1 + has_momentum : 2;
}

cnnbn_status cnnbn__net_alloc_params(cnnbn_net *net)
{
    const cnnbn_model *model = net->model;
    void *memory;
    CNNBN_TRY(cnnbn_alloc_array((size_t)model->n_params + 1, sizeof(size_t), "offsets of weights", &memory));
    net->param_offset = memory;
    CNNBN_TRY(cnnbn_alloc_array((size_t)model->n_params + 1, sizeof(double), "norms", &memory));
    net->norms = memory;
    CNNBN_TRY(cnnbn_alloc_array((size_t)model->n_params + 1, sizeof(double), "norms", &memory));
    net->ratios = memory;
    size_t uses = 2 * ((size_t)net->n_ops + (size_t)net->n_bns) + 1;
    CNNBN_TRY(cnnbn_alloc_array(uses, sizeof(again), "gradients of layers called again", &memory));
    net->agains = memory;
    CNNBN_TRY(cnnbn_alloc((size_t)model->n_params + 1, "weights in use", &memory));
    for (int pass = 0; pass <= 1; pass++) {
        for (int i = 0; i < model->n_params; i++) {
            if (!model->params[i].trainable || comes_with_sums(net, i) != pass) continue;
            net->param_offset[i] = net->n_trained;
            net->n_trained += round_up(model->params[i].count);
        }
        place_gradients(net, pass, memory);
        if (pass == 0) net->n_reduced = net->n_trained;
    }
    cnnbn_free(memory);
    for (int i = 0; i < model->n_params; i++) {
        if (model->params[i].trainable) continue;
        net->param_offset[i] = net->n_state;
        net->n_state += round_up(model->params[i].count);
    }
    net->grad_stride = net->n_trained;
    const cnnbn_optimizer *opt = &net->config.optimizer;
    if (!net->config.inference_only) net->n_slots = n_slots_of(opt);
    CNNBN_TRY(alloc_floats(net->n_trained, "weights", &net->weights));
    CNNBN_TRY(alloc_floats(net->n_state, "moving statistics", &net->state));
    CNNBN_TRY(alloc_floats(net->n_state, "moving statistics", &net->state_before));
    if (net->config.ema_decay > 0) {
        CNNBN_TRY(alloc_floats(net->n_trained, "averages of the weights", &net->ema));
        CNNBN_TRY(alloc_floats(net->n_state, "averages of the moving statistics", &net->ema_state));
    }
    if (net->config.accumulate > 1) CNNBN_TRY(alloc_floats(net->n_trained, "accumulated gradients", &net->accumulated));
    for (int s = 0; s < net->n_slots; s++) CNNBN_TRY(alloc_floats(net->n_trained, "optimiser state", &net->slots[s]));
    if (net->config.inference_only) return CNNBN_OK;
    size_t entries = net->n_nodes > 0 ? (size_t)net->n_nodes : 1;
    return alloc_floats(entries * net->grad_stride, "gradients", &net->grads);
}

float *cnnbn_net_param(cnnbn_net *net, int i)
{
    return (net->model->params[i].trainable ? net->weights : net->state) + net->param_offset[i];
}

int cnnbn_net_n_slots(const cnnbn_net *net)
{
    return net->n_slots;
}

const char *cnnbn_net_slot_name(const cnnbn_net *net, int slot)
{
    static const char *const adam[] = {"m", "v"}, *const rmsprop[] = {"velocity", "momentum"};
    cnnbn_optimizer_kind kind = net->config.optimizer.kind;
    if (kind == CNNBN_SGD || kind == CNNBN_LARS) return "momentum";
    return kind == CNNBN_RMSPROP ? rmsprop[slot] : adam[slot];
}

float *cnnbn_net_slot(cnnbn_net *net, int slot, int i)
{
    return net->model->params[i].trainable ? net->slots[slot] + net->param_offset[i] : NULL;
}

const float *cnnbn_net_grad(cnnbn_net *net, int i)
{
    return net->model->params[i].trainable && net->grads ? net->grads + net->param_offset[i] : NULL;
}

int64_t cnnbn_net_iterations(const cnnbn_net *net)
{
    return net->iterations;
}

void cnnbn_net_set_iterations(cnnbn_net *net, int64_t iterations)
{
    net->iterations = iterations;
}

void cnnbn_net_set_lr(cnnbn_net *net, double lr)
{
    net->config.optimizer.lr = lr;
}

float *cnnbn_net_ema(cnnbn_net *net, int i)
{
    if (!net->ema) return NULL;
    return (net->model->params[i].trainable ? net->ema : net->ema_state) + net->param_offset[i];
}

void cnnbn_net_swap_ema(cnnbn_net *net)
{
    float *weights = net->weights, *state = net->state;
    net->weights = net->ema;
    net->state = net->ema_state;
    net->ema = weights;
    net->ema_state = state;
}

/* Standard normal cut at two standard deviations: draw again, up to 16 times (the chance to need more is 1e-21). */
static double truncated_normal(uint64_t key, uint64_t i)
{
    double z = 0;
    for (uint64_t attempt = 0; attempt < 16; attempt++) {
        z = cnnbn_rng_normal(key, i * 16 + attempt);
        if (fabs(z) <= 2) return z;
    }
    return z > 0 ? 2 : -2;
}

/* Glorot, Bengio 2010; He et al. 2015; LeCun et al. 1998, in Keras' forms: variance scaling with scale s over fan f is
 * U(+-sqrt(3 s/f)), or a normal of stddev sqrt(s/f)/0.8796..., which is what a normal cut at two sigma loses. */
static void init_scaled(float *w, const cnnbn_param *p, uint64_t key)
{
    const double cut = 0.87962566103423978;
    cnnbn_init how = p->init;
    switch (how.kind) {
    case CNNBN_INIT_GLOROT_NORMAL:
    case CNNBN_INIT_GLOROT_UNIFORM:
        how.fan = CNNBN_FAN_AVG;
        break;
    case CNNBN_INIT_HE_NORMAL:
    case CNNBN_INIT_HE_UNIFORM:
        how.a = 2;
        break;
    default:
        break;
    }
    if (how.kind == CNNBN_INIT_GLOROT_UNIFORM || how.kind == CNNBN_INIT_HE_UNIFORM ||
        how.kind == CNNBN_INIT_LECUN_UNIFORM)
        how.spread = CNNBN_SPREAD_UNIFORM;
    double fan_in = p->fan_in > 0 ? p->fan_in : 1, fan_out = p->fan_out > 0 ? p->fan_out : 1;
    double fan = how.fan == CNNBN_FAN_IN ? fan_in : how.fan == CNNBN_FAN_OUT ? fan_out : (fan_in + fan_out) / 2;
    double scale = how.a > 0 ? how.a : 1, limit = sqrt(3 * scale / fan), stddev = sqrt(scale / fan);
    for (size_t i = 0; i < p->count; i++)
        w[i] = (float)(how.spread == CNNBN_SPREAD_UNIFORM  ? limit * (2 * (double)cnnbn_rng_uniform(key, i) - 1)
                       : how.spread == CNNBN_SPREAD_NORMAL ? stddev * cnnbn_rng_normal(key, i)
                                                           : stddev / cut * truncated_normal(key, i));
}

static void init_param(float *w, const cnnbn_param *p, uint64_t key)
{
    double a = p->init.a, b = p->init.b;
    switch (p->init.kind) {
    case CNNBN_INIT_ZEROS:
    case CNNBN_INIT_ONES:
    case CNNBN_INIT_CONSTANT:
        for (size_t i = 0; i < p->count; i++)
            w[i] = p->init.kind == CNNBN_INIT_ZEROS ? 0.0f : p->init.kind == CNNBN_INIT_ONES ? 1.0f : (float)a;
        break;
    case CNNBN_INIT_RANDOM_UNIFORM:
        for (size_t i = 0; i < p->count; i++) w[i] = (float)(a + (b - a) * (double)cnnbn_rng_uniform(key, i));
        break;
    case CNNBN_INIT_RANDOM_NORMAL:
        for (size_t i = 0; i < p->count; i++) w[i] = (float)(a + b * cnnbn_rng_normal(key, i));
        break;
    case CNNBN_INIT_TRUNCATED_NORMAL:
        for (size_t i = 0; i < p->count; i++) w[i] = (float)(a + b * truncated_normal(key, i));
        break;
    case CNNBN_INIT_ORTHOGONAL: /* of the last axis by all others, as in Keras */
        cnnbn__init_orthogonal(w, p->count / (size_t)p->dim[p->rank - 1], (size_t)p->dim[p->rank - 1], a, key);
        break;
    case CNNBN_INIT_IDENTITY:
        for (size_t i = 0; i < p->count; i++) w[i] = i / (size_t)p->dim[1] == i % (size_t)p->dim[1] ? (float)a : 0.0f;
        break;
    default:
        init_scaled(w, p, key);
        break;
    }
}

void cnnbn_net_init(cnnbn_net *net, uint64_t seed)
{
    const cnnbn_model *model = net->model;
#pragma omp parallel for schedule(dynamic) num_threads(net->n_threads)
    for (int i = 0; i < model->n_params; i++) {
        const cnnbn_param *p = &model->params[i];
        /* The layer's place stands for its name: renaming a layer does not change a run. */
        uint64_t key = cnnbn_rng_key(seed, CNNBN_RNG_INIT, (uint64_t)p->layer, cnnbn_hash_name(p->name), 0);
        init_param(cnnbn_net_param(net, i), p, key);
    }
}
