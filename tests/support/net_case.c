#include "net_case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "cnnbn/rng.h"

net_case net_case_default(const char *yaml)
{
    net_case c = {.yaml = yaml, .kernels = "ref", .mean = 0, .deviation = 1};
    c.config.slices = 8;
    c.config.batch_size = 8;
    c.config.threads = 1;
    c.config.seed = 5;
    c.config.optimizer = (cnnbn_optimizer){.kind = CNNBN_SGD, .lr = 0.1, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-7};
    return c;
}

static void *many(size_t n, size_t bytes)
{
    void *memory = calloc(n ? n : 1, bytes);
    if (!memory) fail_msg("out of memory");
    return memory;
}

/* Away from the values at which a forgotten factor does not show; the inner scale is kept. */
static void draw_weights(net_bench *b)
{
    cnnbn_net_init(b->net, 3);
    for (int i = 0; i < b->model->n_params; i++) {
        const cnnbn_param *p = &b->model->params[i];
        float *w = cnnbn_net_param(b->net, i);
        uint64_t key = cnnbn_rng_key(9, CNNBN_RNG_TEST, (uint64_t)i, 0, 0);
        int around_one = strcmp(p->name, "gamma") == 0 || strcmp(p->name, "moving_variance") == 0;
        for (size_t k = 0; k < p->count && p->rank == 1; k++)
            w[k] = (around_one ? 1.0f : 0.0f) + 0.8f * (cnnbn_rng_uniform(key, k) - 0.5f);
    }
}

static void draw_images(net_bench *b)
{
    int classes = cnnbn_model_n_outputs(b->model);
    uint64_t key = cnnbn_rng_key(11, CNNBN_RNG_TEST, 0, 0, 0);
    size_t all = b->n_images * b->sample;
    b->images = many(all, sizeof(float));
    b->exact = many(all, sizeof(double));
    b->labels = many(b->n_images, sizeof(int32_t));
    b->ids = many(b->n_images, sizeof(uint64_t));
    b->pointers = many(b->n_images + 1, sizeof(void *));
    for (size_t i = 0; i < all; i++) {
        b->images[i] = (float)(b->c.mean + b->c.deviation * (2 * (double)cnnbn_rng_uniform(key, i) - 1));
        b->exact[i] = (double)b->images[i];
    }
    for (size_t i = 0; i < b->n_images; i++) {
        b->labels[i] = (int32_t)((i * 7 + 1) % (size_t)classes);
        b->ids[i] = 1000 + 13 * i;
        b->pointers[i] = b->images + i * b->sample;
    }
}

cnnbn_status net_bench_open(net_bench *b, const net_case *c, cnnbn_comm *comm, size_t n_images)
{
    memset(b, 0, sizeof *b);
    b->c = *c;
    b->c.config.comm = comm;
    CNNBN_TRY(cnnbn_kernels_get(c->kernels, &b->c.config.kernels));
    CNNBN_TRY(cnnbn_model_from_text(c->yaml, strlen(c->yaml), "test", NULL, &b->model));
    CNNBN_TRY(cnnbn_net_create(b->model, &b->c.config, &b->net));
    b->sample = cnnbn_shape_count(b->model->input);
    b->n_images = n_images;
    draw_weights(b);
    draw_images(b);
    return CNNBN_OK;
}

void net_bench_close(net_bench *b)
{
    cnnbn_net_destroy(b->net);
    cnnbn_model_destroy(b->model);
    free(b->images);
    free(b->exact);
    free(b->labels);
    free(b->ids);
    free(b->pointers);
    memset(b, 0, sizeof *b);
}

cnnbn_status net_bench_step(net_bench *b, size_t first, size_t n, const double flags[4], cnnbn_step_result *result)
{
    static const double none[4] = {0, 0, 0, 0};
    size_t mine;
    cnnbn_batch batch = {.n_global = n, .epoch = 2};
    cnnbn_net_local_samples(b->net, n, &mine, &batch.n_local);
    batch.images = b->pointers + first + mine;
    batch.targets.labels = b->labels + first + mine;
    batch.ids = b->ids + first + mine;
    return cnnbn_net_train_step(b->net, &batch, flags ? flags : none, result);
}

net_reference *net_bench_reference(net_bench *b, size_t first, size_t n)
{
    net_reference *ref = net_reference_create(b->model, (int)n);
    ref->seed = b->c.config.seed;
    ref->epoch = 2;
    ref->ids = b->ids + first;
    ref->labels = b->labels + first;
    ref->smoothing = (double)b->c.config.label_smoothing;
    for (int i = 0; i < b->model->n_params; i++)
        for (size_t k = 0; k < b->model->params[i].count; k++) ref->param[i][k] = (double)cnnbn_net_param(b->net, i)[k];
    return ref;
}

static double greatest(const double *a, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fabs(a[i]) > most ? fabs(a[i]) : most;
    return most;
}

double net_bench_error(net_bench *b, const net_reference *ref, int which, char *text, size_t bytes)
{
    const double share = 0.05;
    double all = 0, worst = 0;
    text[0] = '\0';
    double *const *expected = which ? ref->param : ref->param_grad;
    for (int i = 0; !which && i < b->model->n_params; i++)
        if (b->model->params[i].trainable) all = fmax(all, greatest(expected[i], b->model->params[i].count));
    for (int i = 0; i < b->model->n_params; i++) {
        const cnnbn_param *p = &b->model->params[i];
        if (p->trainable == which) continue;
        const float *found = which ? cnnbn_net_param(b->net, i) : cnnbn_net_grad(b->net, i);
        double scale = fmax(fmax(greatest(expected[i], p->count), share * all), 1e-30);
        for (size_t k = 0; k < p->count; k++) {
            double error = fabs((double)found[k] - expected[i][k]) / scale;
            if (error <= worst) continue; /* a NaN is not: it is the worst of all */
            worst = isnan(error) ? INFINITY : error;
            (void)snprintf(text, bytes, "%s of %s [%zu]: %.9g, expected %.9g", p->name, b->model->layers[p->layer].name,
                           k, (double)found[k], expected[i][k]);
            if (isinf(worst)) return worst;
        }
    }
    return worst;
}

void net_bench_digest(net_bench *b, double loss, char text[CNNBN_DIGEST_TEXT])
{
    cnnbn_digest *digest;
    if (cnnbn_digest_create(&digest) != CNNBN_OK) fail_msg("out of memory");
    cnnbn_digest_add(digest, &loss, sizeof loss);
    for (int i = 0; i < b->model->n_params; i++) {
        size_t size = b->model->params[i].count * sizeof(float);
        cnnbn_digest_add(digest, cnnbn_net_param(b->net, i), size);
        if (cnnbn_net_ema(b->net, i)) cnnbn_digest_add(digest, cnnbn_net_ema(b->net, i), size);
        for (int s = 0; s < cnnbn_net_n_slots(b->net); s++)
            if (cnnbn_net_slot(b->net, s, i)) cnnbn_digest_add(digest, cnnbn_net_slot(b->net, s, i), size);
    }
    cnnbn_digest_end(digest, text);
}
