/* net: layer by layer beside Keras: probabilities, loss and gradients of tests/golden/keras_layers.txt (made by
 * make_keras_layers.py), with every kernel table; and the same bits at any number of threads. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "cnnbn/comm.h"
#include "cnnbn/memory.h"
#include "cnnbn/net.h"

/* Both are float, summed in different orders; sums have some hundred terms. (A bias in front of a batch normalisation has the
 * gradient of its penalty alone, a hundredth of the terms that cancel.) */
static const double tolerance = 4e-5;

/* Gradients below this are rounding alone: that of a bias in front of a batch normalisation. */
static const float smallest = 3e-6f;

static const double learning_rate = 0.5; /* of make_keras_layers.py */

enum { JSON_MAX = 1 << 16, N_MAX = 8, PARAMS_MAX = 16 };

typedef struct golden {
    FILE *file;
    char name[64], json[JSON_MAX];
    size_t n_x, n_y, n_probabilities, n_loss, count[PARAMS_MAX], n_gradient[PARAMS_MAX], n_updated[PARAMS_MAX];
    float *x, *y, *probabilities, *loss, *weight[PARAMS_MAX], *gradient[PARAMS_MAX], *updated[PARAMS_MAX];
    int n_weights, n_gradients, n_updates;
} golden;

static float *read_numbers(golden *g, const char *what, size_t *n)
{
    char word[32];
    long at = ftell(g->file);
    if (fscanf(g->file, "%31s %zu", word, n) != 2 || strcmp(word, what) != 0 || *n > 100000) {
        (void)fseek(g->file, at, SEEK_SET);
        return NULL;
    }
    float *values = malloc((*n + 1) * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < *n; i++) assert_int_equal(fscanf(g->file, "%f", &values[i]), 1);
    return values;
}

static int read_case(golden *g)
{
    if (fscanf(g->file, " case %63s ", g->name) != 1) return 0;
    assert_non_null(fgets(g->json, sizeof g->json, g->file));
    g->x = read_numbers(g, "x", &g->n_x);
    g->y = read_numbers(g, "y", &g->n_y);
    g->n_weights = g->n_gradients = g->n_updates = 0;
    while (g->n_weights < PARAMS_MAX && (g->weight[g->n_weights] = read_numbers(g, "weight", &g->count[g->n_weights])))
        g->n_weights++;
    g->probabilities = read_numbers(g, "probabilities", &g->n_probabilities);
    g->loss = read_numbers(g, "loss", &g->n_loss);
    while (g->n_gradients < PARAMS_MAX &&
           (g->gradient[g->n_gradients] = read_numbers(g, "gradient", &g->n_gradient[g->n_gradients])))
        g->n_gradients++;
    while (g->n_updates < PARAMS_MAX &&
           (g->updated[g->n_updates] = read_numbers(g, "updated", &g->n_updated[g->n_updates])))
        g->n_updates++;
    assert_true(g->x && g->y && g->probabilities && g->loss && g->n_gradients);
    return 1;
}

static void free_case(golden *g)
{
    free(g->x);
    free(g->y);
    free(g->probabilities);
    free(g->loss);
    for (int i = 0; i < g->n_weights; i++) free(g->weight[i]);
    for (int i = 0; i < g->n_gradients; i++) free(g->gradient[i]);
    for (int i = 0; i < g->n_updates; i++) free(g->updated[i]);
}

static cnnbn_net *net_of(const golden *g, const cnnbn_model *model, const char *kernels, int threads)
{
    static cnnbn_comm *comm;
    if (!comm) check_ok(cnnbn_comm_self(&comm));
    cnnbn_net_config config = {.comm = comm,
                               .reduce = CNNBN_REDUCE_ORDERED,
                               .slices = 3,
                               .batch_size = g->n_y,
                               .threads = threads,
                               .optimizer = {.kind = CNNBN_SGD}};
    check_ok(cnnbn_kernels_get(kernels, &config.kernels));
    cnnbn_net *net = NULL;
    check_ok(cnnbn_net_create(model, &config, &net));
    assert_int_equal(model->n_params, g->n_weights);
    for (int i = 0; i < model->n_params; i++) {
        assert_int_equal(model->params[i].count, g->count[i]);
        memcpy(cnnbn_net_param(net, i), g->weight[i], g->count[i] * sizeof(float));
    }
    return net;
}

static void train(const golden *g, cnnbn_net *net, cnnbn_step_result *result)
{
    const void *images[N_MAX];
    int32_t labels[N_MAX];
    uint64_t ids[N_MAX];
    assert_true(g->n_y <= N_MAX);
    for (size_t i = 0; i < g->n_y; i++) {
        images[i] = g->x + i * (g->n_x / g->n_y);
        labels[i] = (int32_t)g->y[i];
        ids[i] = i;
    }
    cnnbn_batch batch = {
        .n_global = g->n_y, .n_local = g->n_y, .images = images, .targets = {.labels = labels}, .ids = ids};
    const double flags[4] = {0};
    check_ok(cnnbn_net_train_step(net, &batch, flags, result));
}

static void check_gradient(const char *what, const float *got, const float *expected, size_t n)
{
    float greatest = 0;
    for (size_t i = 0; i < n; i++) greatest = fabsf(expected[i]) > greatest ? fabsf(expected[i]) : greatest;
    if (greatest > smallest) {
        check_close_f32(what, got, expected, n, tolerance);
        return;
    }
    for (size_t i = 0; i < n; i++) check_near(what, (double)got[i], 0, 10 * (double)smallest);
}

static void check_case(const golden *g, const cnnbn_model *model, const char *kernels)
{
    char what[160];
    cnnbn_net *net = net_of(g, model, kernels, 1);
    const void *images[N_MAX];
    for (size_t i = 0; i < g->n_y; i++) images[i] = g->x + i * (g->n_x / g->n_y);
    float *p = malloc(g->n_probabilities * sizeof *p);
    cnnbn_net_infer(net, g->n_y, images, NULL, NULL, p);
    (void)snprintf(what, sizeof what, "%s with %s: probabilities", g->name, kernels);
    check_close_f32(what, p, g->probabilities, g->n_probabilities, tolerance);
    free(p);
    cnnbn_step_result result;
    train(g, net, &result);
    (void)snprintf(what, sizeof what, "%s with %s: loss", g->name, kernels);
    check_near(what, result.loss, (double)g->loss[0], tolerance);
    int k = 0;
    for (int i = 0; i < model->n_params; i++) {
        if (!model->params[i].trainable) continue;
        (void)snprintf(what, sizeof what, "%s with %s: gradient of %s/%s", g->name, kernels,
                       model->layers[model->params[i].layer].name, model->params[i].name);
        assert_true(k < g->n_gradients);
        check_gradient(what, cnnbn_net_grad(net, i), g->gradient[k], g->n_gradient[k]);
        k++;
    }
    assert_int_equal(k, g->n_gradients);
    cnnbn_net_destroy(net);
}

/* Weights after a step of SGD, where Keras has constraints. */
static void check_update(const golden *g, const cnnbn_model *model, int threads)
{
    char what[160];
    cnnbn_step_result result;
    cnnbn_net *net = net_of(g, model, "auto", threads);
    cnnbn_net_set_lr(net, learning_rate);
    train(g, net, &result);
    int k = 0;
    for (int i = 0; i < model->n_params; i++) {
        if (!model->params[i].trainable) continue;
        assert_true(k < g->n_updates);
        (void)snprintf(what, sizeof what, "%s: %s/%s after a step", g->name, model->layers[model->params[i].layer].name,
                       model->params[i].name);
        assert_int_equal(model->params[i].count, g->n_updated[k]);
        check_close_f32(what, cnnbn_net_param(net, i), g->updated[k], g->n_updated[k], tolerance);
        k++;
    }
    assert_int_equal(k, g->n_updates);
    cnnbn_net_destroy(net);
}

static void check_threads(const golden *g, const cnnbn_model *model)
{
    cnnbn_step_result one, two;
    cnnbn_net *a = net_of(g, model, "auto", 1), *b = net_of(g, model, "auto", 2);
    train(g, a, &one);
    train(g, b, &two);
    check_same_bits(g->name, &one.loss, &two.loss, sizeof one.loss);
    for (int i = 0; i < model->n_params; i++)
        if (model->params[i].trainable)
            check_same_bits(g->name, cnnbn_net_grad(a, i), cnnbn_net_grad(b, i), g->count[i] * sizeof(float));
    cnnbn_net_destroy(a);
    cnnbn_net_destroy(b);
}

static void layers_compute_what_keras_does(void **state)
{
    (void)state;
    static const char *const tables[] = {"ref", "simd-baseline", "blas", "auto", NULL};
    const char *path = getenv("CNNBN_TEST_GOLDEN");
    if (!path) fail_msg("CNNBN_TEST_GOLDEN is not set: run me by ctest");
    static golden g;
    g.file = fopen(path, "r");
    assert_non_null(g.file);
    int n = 0;
    for (; read_case(&g); n++) {
        cnnbn_model *model = NULL;
        check_ok(cnnbn_model_from_text(g.json, strlen(g.json), g.name, NULL, &model));
        for (int t = 0; tables[t]; t++)
            for (const char *const *known = cnnbn_kernels_names(); *known; known++)
                if (strcmp(*known, tables[t]) == 0) check_case(&g, model, tables[t]);
        check_threads(&g, model);
        if (g.n_updates) check_update(&g, model, 1), check_update(&g, model, 3);
        /* What is written is read as the same model. */
        for (int k = 0; k < 2; k++) {
            char *text = NULL;
            cnnbn_model *back = NULL;
            check_ok(k ? cnnbn_model_to_json(model, &text) : cnnbn_model_to_yaml(model, &text));
            check_ok(cnnbn_model_from_text(text, strlen(text), "back", NULL, &back));
            check_ok(cnnbn_model_same(model, back));
            cnnbn_model_destroy(back);
            cnnbn_free(text);
        }
        cnnbn_model_destroy(model);
        free_case(&g);
    }
    (void)fclose(g.file);
    assert_true(n >= 80);
}

int main(void)
{
    cnnbn_blas_init();
    const struct CMUnitTest tests[] = {cmocka_unit_test(layers_compute_what_keras_does)};
    return cmocka_run_group_tests_name("net_keras", tests, NULL, NULL);
}
