/* net: losses and metrics beside Keras: loss, metrics and gradients of tests/golden/keras_losses.txt (made by
 * make_keras_losses.py), in evaluation and in training, with every kernel table; the same bits at any number of threads; gradients
 * by differences. What does not go together is refused. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "cnnbn/comm.h"
#include "cnnbn/net.h"

/* Both are float; Keras' sums of 24 samples too. */
static const double tolerance = 3e-6;
/* Central differences of a loss in double of float outputs: 1e-7 of it over a step of 2e-2, and the step's square. */
static const float difference_step = 1e-2f;
static const double difference_tolerance = 1e-3;

enum { N_MAX = 32, PARAMS = 2, SLICES = 5 };

typedef struct golden {
    FILE *file;
    char name[64], json[1 << 14], loss[64], metrics[64];
    double smoothing, delta;
    size_t n, n_x, n_y, n_measured, count[PARAMS], ignored;
    float *x, *rows, *weight[PARAMS], *measured, *gradient[PARAMS];
    int32_t labels[N_MAX];
    const void *images[N_MAX];
    const float *row[N_MAX];
    uint64_t ids[N_MAX];
    cnnbn_targets targets;
} golden;

static cnnbn_comm *self;

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
    if (fscanf(g->file, " case %63s %63s %lf %lf %63s ", g->name, g->loss, &g->smoothing, &g->delta, g->metrics) != 5)
        return 0;
    assert_non_null(fgets(g->json, sizeof g->json, g->file));
    g->x = read_numbers(g, "x", &g->n_x);
    float *labels = read_numbers(g, "labels", &g->n);
    g->rows = labels ? NULL : read_numbers(g, "rows", &g->n_y);
    for (int i = 0; i < PARAMS; i++) g->weight[i] = read_numbers(g, "weight", &g->count[i]);
    g->measured = read_numbers(g, "measured", &g->n_measured);
    for (int i = 0; i < PARAMS; i++) g->gradient[i] = read_numbers(g, "gradient", &g->ignored);
    assert_true(g->x && g->weight[1] && g->measured && g->gradient[1]);
    size_t sample = 6;
    g->n = g->n_x / sample;
    assert_true(g->n <= N_MAX);
    g->targets = labels ? (cnnbn_targets){.labels = g->labels} : (cnnbn_targets){.rows = g->row};
    for (size_t i = 0; i < g->n; i++) {
        g->images[i] = g->x + i * sample;
        g->ids[i] = i;
        if (labels) g->labels[i] = (int32_t)labels[i];
        if (g->rows) g->row[i] = g->rows + i * (g->n_y / g->n);
    }
    free(labels);
    return 1;
}

static void free_case(golden *g)
{
    free(g->x);
    free(g->rows);
    free(g->measured);
    for (int i = 0; i < PARAMS; i++) {
        free(g->weight[i]);
        free(g->gradient[i]);
    }
}

static void set_loss(const golden *g, cnnbn_net_config *config)
{
    static const char *const names[] = {"accuracy", "top", "binary_accuracy", "auc", "mae", "mse"};
    int found = 0;
    for (int k = 0; k <= CNNBN_LOSS_HUBER; k++)
        if (strcmp(cnnbn_loss_name((cnnbn_loss_kind)k), g->loss) == 0) {
            config->loss = (cnnbn_loss_kind)k;
            found = 1;
        }
    assert_true(found);
    config->label_smoothing = (float)g->smoothing;
    config->huber_delta = (float)g->delta;
    char list[64], *state = NULL;
    (void)snprintf(list, sizeof list, "%s", strcmp(g->metrics, "none") ? g->metrics : "");
    for (char *word = strtok_r(list, ",", &state); word; word = strtok_r(NULL, ",", &state)) {
        char *dash = strchr(word, '-');
        if (dash) *dash = '\0';
        for (int k = 0; k <= CNNBN_METRIC_MSE; k++)
            if (strcmp(names[k], word) == 0)
                config->metrics[config->n_metrics++] =
                    (cnnbn_metric){(cnnbn_metric_kind)k, dash ? (int)strtol(dash + 1, NULL, 10) : 0};
    }
    assert_int_equal((size_t)config->n_metrics + 1, g->n_measured);
}

static cnnbn_net *net_of(const golden *g, const cnnbn_model *model, const char *kernels, int threads)
{
    cnnbn_net_config config = {.comm = self,
                               .reduce = CNNBN_REDUCE_ORDERED,
                               .slices = SLICES,
                               .batch_size = g->n,
                               .threads = threads,
                               .optimizer = {.kind = CNNBN_SGD}};
    set_loss(g, &config);
    check_ok(cnnbn_kernels_get(kernels, &config.kernels));
    cnnbn_net *net = NULL;
    check_ok(cnnbn_net_create(model, &config, &net));
    assert_int_equal(model->n_params, PARAMS);
    for (int i = 0; i < PARAMS; i++) {
        assert_int_equal(model->params[i].count, g->count[i]);
        memcpy(cnnbn_net_param(net, i), g->weight[i], g->count[i] * sizeof(float));
    }
    return net;
}

static cnnbn_step_result step(golden *g, cnnbn_net *net)
{
    cnnbn_step_result result;
    const double flags[4] = {0};
    cnnbn_batch batch = {.n_global = g->n, .n_local = g->n, .images = g->images, .targets = g->targets, .ids = g->ids};
    check_ok(cnnbn_net_train_step(net, &batch, flags, &result));
    return result;
}

static void check_figures(const golden *g, const cnnbn_net *net, const char *what, const double *sums)
{
    char text[160];
    (void)snprintf(text, sizeof text, "%s, %s: loss", g->name, what);
    check_near(text, sums[0] / (double)g->n, (double)g->measured[0], tolerance);
    for (int m = 0; m + 1 < (int)g->n_measured; m++) {
        (void)snprintf(text, sizeof text, "%s, %s: metric %d of %s", g->name, what, m, g->metrics);
        check_near(text, cnnbn_net_metric(net, m, sums, (double)g->n), (double)g->measured[m + 1], tolerance);
    }
}

static void check_case(golden *g, const cnnbn_model *model, const char *kernels)
{
    char what[96];
    cnnbn_net *net = net_of(g, model, kernels, 1);
    size_t n_sums = cnnbn_net_n_sums(net);
    double blocks[SLICES + 1][2048], sums[2048] = {0};
    assert_true(n_sums <= 2048);
    double *packed = blocks[0];
    cnnbn_net_infer(net, g->n, g->images, &g->targets, packed, NULL);
    size_t block = (size_t)cnnbn_net_block(net), n_blocks = (g->n + block - 1) / block;
    for (size_t b = 0; b < n_blocks; b++)
        for (size_t i = 0; i < n_sums; i++) sums[i] += packed[b * n_sums + i];
    (void)snprintf(what, sizeof what, "evaluated by %s", kernels);
    check_figures(g, net, what, sums);
    cnnbn_step_result result = step(g, net);
    (void)snprintf(what, sizeof what, "trained by %s", kernels);
    check_figures(g, net, what, result.sums);
    check_near(what, result.loss, result.sums[0] / (double)g->n, 1e-15);
    for (int i = 0; i < PARAMS; i++)
        check_close_f32(what, cnnbn_net_grad(net, i), g->gradient[i], g->count[i], 10 * tolerance);
    cnnbn_net_destroy(net);
}

static double loss_at(golden *g, cnnbn_net *net, int param, size_t k, float shift)
{
    float *w = cnnbn_net_param(net, param), kept = w[k];
    w[k] = kept + shift;
    double loss = step(g, net).loss;
    w[k] = kept;
    return loss;
}

static void check_differences(golden *g, const cnnbn_model *model)
{
    cnnbn_net *net = net_of(g, model, "auto", 1);
    (void)step(g, net);
    for (int i = 0; i < PARAMS; i++)
        for (size_t k = 0; k < g->count[i]; k++) {
            double up = loss_at(g, net, i, k, difference_step), down = loss_at(g, net, i, k, -difference_step);
            double slope = (up - down) / (2 * (double)difference_step);
            (void)step(g, net); /* rate 0: the weights stay */
            /* An absolute value has kinks: a sample that passes one is 1 of 24, in one output. */
            double slack = strcmp(g->loss, "mae") == 0 ? 0.1 : difference_tolerance;
            check_near(g->name, (double)cnnbn_net_grad(net, i)[k], slope, slack);
        }
    cnnbn_net_destroy(net);
}

static void check_threads(golden *g, const cnnbn_model *model)
{
    cnnbn_net *a = net_of(g, model, "auto", 1), *b = net_of(g, model, "auto", 3);
    cnnbn_step_result one = step(g, a), three = step(g, b);
    check_same_bits(g->name, one.sums, three.sums, cnnbn_net_n_sums(a) * sizeof(double));
    for (int i = 0; i < PARAMS; i++)
        check_same_bits(g->name, cnnbn_net_grad(a, i), cnnbn_net_grad(b, i), g->count[i] * sizeof(float));
    cnnbn_net_destroy(a);
    cnnbn_net_destroy(b);
}

static void losses_compute_what_keras_does(void **state)
{
    (void)state;
    const char *path = getenv("CNNBN_TEST_GOLDEN");
    if (!path) fail_msg("CNNBN_TEST_GOLDEN is not set: run me by ctest");
    static golden g;
    g.file = fopen(path, "r");
    assert_non_null(g.file);
    int n = 0;
    for (; read_case(&g); n++) {
        cnnbn_model *model = NULL;
        check_ok(cnnbn_model_from_text(g.json, strlen(g.json), g.name, NULL, &model));
        for (const char *const *name = cnnbn_kernels_names(); *name; name++) check_case(&g, model, *name);
        check_differences(&g, model);
        check_threads(&g, model);
        cnnbn_model_destroy(model);
        free_case(&g);
    }
    (void)fclose(g.file);
    assert_true(n >= 15);
}

/* ---------------------------------------------------------------- what does not go together */

static void refused(const char *units, const cnnbn_net_config *wish, cnnbn_status status, const char *text)
{
    char yaml[256];
    cnnbn_model *model = NULL;
    cnnbn_net *net = NULL;
    (void)snprintf(yaml, sizeof yaml, "input: [2, 2, 1]\nlayers:\n  - Flatten\n  - Dense: {name: last, %s}\n", units);
    check_ok(cnnbn_model_from_text(yaml, strlen(yaml), "test", NULL, &model));
    cnnbn_net_config config = *wish;
    config.comm = self;
    config.slices = config.threads = 1;
    config.batch_size = 4;
    check_ok(cnnbn_kernels_get("ref", &config.kernels));
    check_status(cnnbn_net_create(model, &config, &net), status, text);
    assert_null(net);
    check_status(status, status, "last");
    cnnbn_model_destroy(model);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    cnnbn_net_config c = {.loss = CNNBN_LOSS_CATEGORICAL_CROSSENTROPY};
    refused("units: 3, activation: sigmoid", &c, CNNBN_ERR_MODEL,
            "must be softmax or linear for the loss categorical_crossentropy");
    refused("units: 1", &c, CNNBN_ERR_MODEL, "categorical_crossentropy wants at least 2 classes");
    c.loss = CNNBN_LOSS_BINARY_CROSSENTROPY;
    refused("units: 1, activation: relu", &c, CNNBN_ERR_MODEL, "must be sigmoid or linear for the loss binary_cross");
    c.from_logits = 1;
    refused("units: 1, activation: sigmoid", &c, CNNBN_ERR_OPTION, "--from-logits");
    c.loss = CNNBN_LOSS_MSE;
    refused("units: 1", &c, CNNBN_ERR_OPTION, "with the loss mse gives no logits");
    c = (cnnbn_net_config){.n_metrics = 1, .metrics = {{CNNBN_METRIC_AUC, 0}}};
    refused("units: 3, activation: softmax", &c, CNNBN_ERR_OPTION, "--metrics auc");
    c.loss = CNNBN_LOSS_CATEGORICAL_CROSSENTROPY;
    refused("units: 3", &c, CNNBN_ERR_OPTION, "--metrics auc");
    c = (cnnbn_net_config){.loss = CNNBN_LOSS_BINARY_CROSSENTROPY, .n_metrics = 1, .metrics = {{CNNBN_METRIC_TOP, 1}}};
    refused("units: 1, activation: sigmoid", &c, CNNBN_ERR_OPTION, "--metrics top-1");
}

static int open_self(void **state)
{
    (void)state;
    cnnbn_blas_init();
    return cnnbn_comm_self(&self) != CNNBN_OK;
}

static int close_self(void **state)
{
    (void)state;
    cnnbn_comm_finalize(self);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_compute_what_keras_does),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests_name("net_losses", tests, open_self, close_self);
}
