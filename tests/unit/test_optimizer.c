/* net: optimisers, micro-batches and averages beside Keras and PyTorch (tests/golden/recipes.txt, made by make_recipes.py); LARS
 * beside its paper's formula; gradients that overflow. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "golden_lines.h"
#include "net_case.h"

/* Six steps in float on both sides, in other orders of summation. Adam and its kin divide by the root of squares: where a gradient is
 * next to nothing its sign, and so the step, is rounding. */
static const double golden_tolerance = 2e-5;

enum { N = 6, STEPS = 6, IMAGE = 16, WEIGHTS = 75 };

static cnnbn_comm *self;

static const char tiny[] = "input: [4, 4, 1]\nlayers:\n"
                           "  - Conv2D: {filters: 2, kernel_size: 2, activation: relu}\n"
                           "  - BatchNormalization\n"
                           "  - Flatten\n"
                           "  - Dense: {units: 3, activation: softmax}\n";

/* ---------------------------------------------------------------- beside Keras */

static void set_weights(net_bench *b, const double *values)
{
    for (int i = 0; i < b->model->n_params; i++)
        for (size_t k = 0; k < b->model->params[i].count; k++) cnnbn_net_param(b->net, i)[k] = (float)*values++;
}

/* The tiny model with Keras' images, labels and weights. */
static void open_golden(net_bench *b, const cnnbn_net_config *config, const char *kernels, int threads)
{
    static golden_line data;
    FILE *file = golden_open();
    assert_true(golden_next(file, "data", &data));
    (void)fclose(file);
    net_case c = net_case_default(tiny);
    c.config = *config;
    c.config.slices = 3;
    c.config.batch_size = N;
    c.config.threads = threads;
    c.kernels = kernels;
    check_ok(net_bench_open(b, &c, self, (size_t)STEPS * N));
    assert_int_equal(data.n[0], STEPS * N * IMAGE);
    assert_int_equal(data.n[2], WEIGHTS);
    for (size_t i = 0; i < data.n[0]; i++) b->images[i] = (float)data.numbers[0][i];
    for (size_t i = 0; i < data.n[1]; i++) b->labels[i] = (int32_t)data.numbers[1][i];
    set_weights(b, data.numbers[2]);
}

/* Images [first, first + n) as part `part` of `n_parts` of a step of n_step images. */
static cnnbn_status step_part(net_bench *b, size_t first, size_t n, int part, int n_parts, size_t n_step,
                              cnnbn_step_result *result)
{
    const double flags[4] = {0};
    cnnbn_batch batch = {.n_global = n, .n_local = n, .epoch = 2, .part = part, .n_parts = n_parts, .n_step = n_step};
    batch.images = b->pointers + first;
    batch.targets.labels = b->labels + first;
    batch.ids = b->ids + first;
    return cnnbn_net_train_step(b->net, &batch, flags, result);
}

static cnnbn_net_config named_config(const char *name)
{
    cnnbn_net_config c;
    memset(&c, 0, sizeof c);
    cnnbn_optimizer *o = &c.optimizer;
    *o = (cnnbn_optimizer){.kind = CNNBN_SGD, .lr = 0.1, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-7, .rho = 0.9};
    if (strcmp(name, "sgd_nesterov_decay") == 0) {
        o->momentum = 0.9;
        o->nesterov = 1;
        o->weight_decay = 0.05;
    } else if (strncmp(name, "adam", 4) == 0) {
        o->kind = CNNBN_ADAM;
        o->lr = 0.02;
        if (strcmp(name, "adamw") == 0) o->weight_decay = 0.1;
        if (strcmp(name, "adam_accumulate_2") == 0) c.accumulate = 2;
    } else if (strncmp(name, "rmsprop", 7) == 0) {
        o->kind = CNNBN_RMSPROP;
        o->lr = 0.01;
        if (name[7]) {
            o->rho = 0.8;
            o->momentum = 0.5;
            o->epsilon = 1e-3;
            o->weight_decay = 0.05;
        }
    } else if (strncmp(name, "lamb", 4) == 0) {
        o->kind = CNNBN_LAMB;
        o->lr = 0.02;
        if (name[4]) {
            o->beta1 = 0.8;
            o->epsilon = 1e-4;
            o->weight_decay = 0.1;
            o->clip = CNNBN_CLIP_GLOBAL_NORM;
            o->clip_limit = 0.5;
        }
    } else if (strcmp(name, "sgd_accumulate_3") == 0) {
        o->momentum = 0.9;
        c.accumulate = 3;
    } else if (strcmp(name, "sgd_ema") == 0) {
        o->momentum = 0.9;
        c.ema_decay = 0.8;
    } else {
        assert_string_equal(name, "sgd");
    }
    return c;
}

static void run_golden(const golden_line *g, const char *kernels, int threads, char digest[CNNBN_DIGEST_TEXT])
{
    net_bench b;
    cnnbn_step_result result;
    cnnbn_net_config config = named_config(g->name);
    int n_parts = config.accumulate > 1 ? config.accumulate : 1;
    open_golden(&b, &config, kernels, threads);
    for (int s = 0; s < STEPS; s++)
        check_ok(step_part(&b, (size_t)s * N, N, s % n_parts, n_parts, (size_t)N * (size_t)n_parts, &result));
    assert_int_equal(cnnbn_net_iterations(b.net), STEPS / n_parts);
    const double *expected = g->numbers[0], *mean = g->numbers[1];
    for (int i = 0; i < b.model->n_params; i++) {
        const cnnbn_param *p = &b.model->params[i];
        char what[160];
        (void)snprintf(what, sizeof what, "%s, kernels %s: %s of %s", g->name, kernels, p->name,
                       b.model->layers[p->layer].name);
        check_close(what, cnnbn_net_param(b.net, i), expected, p->count, golden_tolerance);
        expected += p->count;
        if (!g->n[1] || !p->trainable) continue;
        check_close(what, cnnbn_net_ema(b.net, i), mean, p->count, golden_tolerance);
        mean += p->count;
    }
    assert_int_equal(expected - g->numbers[0], WEIGHTS);
    assert_int_equal(mean - g->numbers[1], (long)g->n[1]);
    net_bench_digest(&b, result.loss, digest);
    net_bench_close(&b);
}

static void steps_of_keras(void **state)
{
    (void)state;
    static golden_line g;
    int n_cases = 0;
    FILE *file = golden_open();
    for (; golden_next(file, "optimizer", &g); n_cases++)
        for (const char *const *name = cnnbn_kernels_names(); *name; name++) {
            char one[CNNBN_DIGEST_TEXT], two[CNNBN_DIGEST_TEXT];
            run_golden(&g, *name, 1, one);
            run_golden(&g, *name, 2, two);
            assert_string_equal(one, two);
        }
    (void)fclose(file);
    assert_int_equal(n_cases, 11);
}

/* ---------------------------------------------------------------- LARS */

static double norm_of(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

/* You, Gitman, Ginsburg 2017: v = mu*v + lr*eta*|w|/(|g| + decay*|w|) * (g + decay*w), w -= v; what does not decay is plain SGD. The
 * gradients come from a net of the same weights that does not move. */
static void lars_of_its_paper(void **state)
{
    (void)state;
    net_bench still, b;
    cnnbn_step_result result;
    cnnbn_net_config config = named_config("sgd");
    config.optimizer.lr = 0;
    open_golden(&still, &config, "ref", 1);
    const cnnbn_optimizer o = {.kind = CNNBN_LARS, .lr = 0.3, .momentum = 0.9, .weight_decay = 0.2, .trust = 0.02};
    config.optimizer = o;
    open_golden(&b, &config, "auto", 2);
    double velocity[WEIGHTS] = {0}, expected[WEIGHTS];
    for (int s = 0; s < STEPS; s++) {
        for (int i = 0; i < b.model->n_params; i++)
            memcpy(cnnbn_net_param(still.net, i), cnnbn_net_param(b.net, i), b.model->params[i].count * sizeof(float));
        check_ok(step_part(&still, (size_t)s * N, N, 0, 0, 0, &result));
        size_t at = 0;
        for (int i = 0; i < b.model->n_params; i++) {
            const cnnbn_param *p = &b.model->params[i];
            const float *w = cnnbn_net_param(b.net, i), *g = cnnbn_net_grad(still.net, i);
            double decay = strcmp(p->name, "kernel") == 0 ? o.weight_decay : 0, rate = o.lr;
            if (decay > 0)
                rate *= o.trust * norm_of(w, p->count) / (norm_of(g, p->count) + decay * norm_of(w, p->count));
            for (size_t k = 0; p->trainable && k < p->count; k++, at++) {
                velocity[at] = o.momentum * velocity[at] + rate * ((double)g[k] + decay * (double)w[k]);
                expected[at] = (double)w[k] - velocity[at];
            }
        }
        check_ok(step_part(&b, (size_t)s * N, N, 0, 0, 0, &result));
        at = 0;
        for (int i = 0; i < b.model->n_params; i++) {
            const cnnbn_param *p = &b.model->params[i];
            if (!p->trainable) continue;
            check_close(p->name, cnnbn_net_param(b.net, i), expected + at, p->count, golden_tolerance);
            at += p->count;
        }
    }
    net_bench_close(&still);
    net_bench_close(&b);
}

/* A weight of zeros has no norm to go by: the rate is the plain one, and nothing is divided by zero. */
static void a_norm_of_zero(void **state)
{
    (void)state;
    static const cnnbn_optimizer_kind kinds[] = {CNNBN_LARS, CNNBN_LAMB};
    for (size_t k = 0; k < 2; k++) {
        net_bench b;
        cnnbn_step_result result;
        cnnbn_net_config config = named_config("sgd");
        config.optimizer.kind = kinds[k];
        config.optimizer.trust = 0.001;
        open_golden(&b, &config, "auto", 1);
        enum { DENSE_KERNEL = 6 };
        memset(cnnbn_net_param(b.net, DENSE_KERNEL), 0, b.model->params[DENSE_KERNEL].count * sizeof(float));
        check_ok(step_part(&b, 0, N, 0, 0, 0, &result));
        const float *w = cnnbn_net_param(b.net, DENSE_KERNEL);
        double moved = norm_of(w, b.model->params[DENSE_KERNEL].count);
        assert_true(isfinite(moved) && moved > 0.01);
        net_bench_close(&b);
    }
}

/* ---------------------------------------------------------------- micro-batches */

/* Without batch norm the parts of a step make the gradient of one batch, each part counted by its images. */
static void parts_make_the_whole(void **state)
{
    (void)state;
    static const char plain[] = "input: [4, 4, 1]\nlayers:\n"
                                "  - Conv2D: {filters: 3, kernel_size: 2, activation: tanh, kernel_regularizer: "
                                "{class_name: L2, config: {l2: 0.1}}}\n"
                                "  - Flatten\n  - Dense: {units: 3, activation: softmax}\n";
    static const size_t parts[] = {8, 8, 3};
    net_case c = net_case_default(plain);
    net_bench whole, b;
    cnnbn_step_result result, part;
    c.config.batch_size = 19;
    check_ok(net_bench_open(&whole, &c, self, 19));
    check_ok(step_part(&whole, 0, 19, 0, 0, 0, &result));
    c.config.batch_size = 8;
    c.config.accumulate = 3;
    check_ok(net_bench_open(&b, &c, self, 19));
    double loss = 0;
    for (int k = 0, first = 0; k < 3; first += (int)parts[k++]) {
        check_ok(step_part(&b, (size_t)first, parts[k], k, 3, 19, &part));
        loss += part.loss * (double)parts[k];
        assert_int_equal(cnnbn_net_iterations(b.net), k == 2);
    }
    check_near("loss of the parts", loss / 19, result.loss, 1e-6);
    for (int i = 0; i < b.model->n_params; i++)
        check_close_f32(b.model->params[i].name, cnnbn_net_grad(b.net, i), cnnbn_net_grad(whole.net, i),
                        b.model->params[i].count, 1e-5);
    net_bench_close(&whole);
    net_bench_close(&b);
}

/* ---------------------------------------------------------------- averages */

static void averages_of_pytorch(void **state)
{
    (void)state;
    static golden_line g;
    FILE *file = golden_open();
    assert_true(golden_next(file, "ema", &g));
    (void)fclose(file);
    net_bench b;
    cnnbn_step_result result;
    cnnbn_net_config config = named_config("sgd");
    config.optimizer.lr = 0;
    config.ema_decay = 0.7;
    open_golden(&b, &config, "auto", 2);
    enum { DENSE_KERNEL = 6, MOVING_MEAN = 4 };
    double mean[2] = {0};
    for (int s = 0; s < 5; s++) {
        for (int k = 0; k < 4; k++) cnnbn_net_param(b.net, DENSE_KERNEL)[k] = (float)g.numbers[0][4 * s + k];
        check_ok(step_part(&b, (size_t)s * N, N, 0, 0, 0, &result));
        for (int k = 0; k < 2; k++) {
            double now = (double)cnnbn_net_param(b.net, MOVING_MEAN)[k];
            mean[k] = s ? 0.7 * mean[k] + 0.3 * now : now;
        }
    }
    check_close("averages", cnnbn_net_ema(b.net, DENSE_KERNEL), g.numbers[1], 4, 1e-6);
    check_close("averages of statistics", cnnbn_net_ema(b.net, MOVING_MEAN), mean, 2, 1e-6);
    /* Swapped for an evaluation, and back. */
    float kernel = cnnbn_net_param(b.net, DENSE_KERNEL)[0];
    cnnbn_net_swap_ema(b.net);
    check_close("averages in use", cnnbn_net_param(b.net, DENSE_KERNEL), g.numbers[1], 4, 1e-6);
    check_close("statistics in use", cnnbn_net_param(b.net, MOVING_MEAN), mean, 2, 1e-6);
    cnnbn_net_swap_ema(b.net);
    assert_true(cnnbn_net_param(b.net, DENSE_KERNEL)[0] == kernel);
    net_bench_close(&b);
}

/* ---------------------------------------------------------------- gradients that overflow */

/* Weights of zero hide great inputs from the loss, but not from the gradient. */
static void overflow(const char *scale, cnnbn_optimizer optimizer, int n_parts, const char *expected)
{
    char yaml[512], before[CNNBN_DIGEST_TEXT], after[CNNBN_DIGEST_TEXT], text[256];
    (void)snprintf(yaml, sizeof yaml,
                   "input: [4, 4, 1]\nlayers:\n  - BatchNormalization\n  - Rescaling: {scale: 1e15}\n"
                   "  - Rescaling: {scale: %s}\n"
                   "  - Conv2D: {filters: 2, kernel_size: 2, name: hidden}\n"
                   "  - Flatten\n  - Dense: {units: 3, activation: softmax}\n",
                   scale);
    for (int threads = 1; threads <= 2; threads++) {
        net_bench b;
        cnnbn_step_result result = {.loss = 0};
        int order;
        net_case c = net_case_default(yaml);
        c.kernels = "auto";
        c.config.threads = threads;
        c.config.accumulate = n_parts;
        c.config.ema_decay = 0.9;
        c.config.optimizer = optimizer;
        check_ok(net_bench_open(&b, &c, self, 16));
        enum { HIDDEN_KERNEL = 4, HIDDEN_BIAS, DENSE_KERNEL };
        assert_string_equal(b.model->layers[b.model->params[HIDDEN_KERNEL].layer].name, "hidden");
        memset(cnnbn_net_param(b.net, HIDDEN_KERNEL), 0, b.model->params[HIDDEN_KERNEL].count * sizeof(float));
        for (size_t k = 0; k < b.model->params[DENSE_KERNEL].count; k++) cnnbn_net_param(b.net, DENSE_KERNEL)[k] *= 100;
        net_bench_digest(&b, 0, before);
        for (int part = 0; part < n_parts - 1; part++)
            check_ok(step_part(&b, 0, 8, part, n_parts, 8 * (size_t)n_parts, &result));
        cnnbn_status status = step_part(&b, 8, 8, n_parts - 1, n_parts, 8 * (size_t)n_parts, &result);
        if (!expected) {
            check_ok(status);
            net_bench_close(&b);
            continue;
        }
        check_status(status, CNNBN_ERR_NONFINITE, "gradient");
        assert_true(isfinite(result.loss));
        cnnbn_net_find_nonfinite(b.net, &order, text, sizeof text);
        if (!strstr(text, expected)) fail_msg("found '%s', expected '%s'", text, expected);
        net_bench_digest(&b, 0, after);
        assert_string_equal(after, before); /* weights, slots, moving statistics */
        assert_int_equal(cnnbn_net_iterations(b.net), 0);
        net_bench_close(&b);
    }
}

static void gradients_that_overflow(void **state)
{
    (void)state;
    const cnnbn_optimizer sgd = {.kind = CNNBN_SGD, .lr = 1e-30};
    cnnbn_optimizer clipped = {.kind = CNNBN_SGD, .lr = 1e-30, .clip = CNNBN_CLIP_GLOBAL_NORM, .clip_limit = 1};
    cnnbn_optimizer adam = {.kind = CNNBN_ADAM, .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-7};
    static const char *const found = "gradient of kernel of layer hidden (";
    overflow("5e22", sgd, 1, found);
    overflow("5e22", sgd, 3, found);
    overflow("5e22", clipped, 1, found);
    overflow("5e22", adam, 1, found);
    overflow("1e5", adam, 1, "gradient of kernel of layer hidden (too great to be squared: ");
    overflow("1e5", adam, 2, "gradient of kernel of layer hidden (too great to be squared: ");
    overflow("1e5", sgd, 1, NULL);
    overflow("1e5", clipped, 2, NULL);
    adam.clip = CNNBN_CLIP_NORM;
    adam.clip_limit = 1;
    overflow("1e5", adam, 1, NULL);
}

int main(void)
{
    check_ok(cnnbn_comm_self(&self));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_of_keras),      cmocka_unit_test(lars_of_its_paper),
        cmocka_unit_test(a_norm_of_zero),      cmocka_unit_test(parts_make_the_whole),
        cmocka_unit_test(averages_of_pytorch), cmocka_unit_test(gradients_that_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
