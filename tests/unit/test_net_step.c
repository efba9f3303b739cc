/* What a step does beside gradients: optimisers against their formulas in double, clipping, flags, a loss that is not finite, and
 * statistics far from zero. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "net_case.h"
#include "net_models.h"

static cnnbn_comm *self;

/* ---------------------------------------------------------------- optimisers */

static const char optimised[] = "input: [9, 8, 3]\nlayers:\n"
                                "  - Conv2D: {filters: 4, kernel_size: 3, activation: tanh}\n"
                                "  - BatchNormalization\n"
                                "  - Conv2D: {filters: 4, kernel_size: 3, padding: same, use_bias: false}\n"
                                "  - BatchNormalization\n"
                                "  - Activation: {activation: tanh}\n"
                                "  - GlobalAveragePooling2D\n"
                                "  - Dense: {units: 4, activation: softmax}\n";

/* Of what a step moves a weight by. The gradient is off by 1e-6 of its greatest element; Adam's quotient makes that 1e-4 of the
 * small ones. */
static const double update_tolerance = 2e-3;

typedef struct slots {
    double *m, *v;
} slots;

static double norm_of(const double *g, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += g[i] * g[i];
    return sum;
}

static void clip_reference(net_reference *ref, const cnnbn_optimizer *o)
{
    const cnnbn_model *m = ref->model;
    double all = 0;
    for (int i = 0; i < m->n_params; i++)
        if (m->params[i].trainable) all += norm_of(ref->param_grad[i], m->params[i].count);
    for (int i = 0; i < m->n_params; i++) {
        double *g = ref->param_grad[i];
        double norm = sqrt(o->clip == CNNBN_CLIP_GLOBAL_NORM ? all : norm_of(g, m->params[i].count));
        int by_norm = o->clip == CNNBN_CLIP_NORM || o->clip == CNNBN_CLIP_GLOBAL_NORM;
        for (size_t k = 0; k < m->params[i].count; k++) {
            if (by_norm && norm > o->clip_limit) g[k] *= o->clip_limit / norm;
            if (o->clip == CNNBN_CLIP_VALUE) g[k] = fmax(-o->clip_limit, fmin(o->clip_limit, g[k]));
        }
    }
}

/* The formulas of NUMERICS for one element; returns the new weight. */
static double updated(const cnnbn_optimizer *o, double t, int decays, double g, double *m, double *v, double w)
{
    if (decays) w -= w * o->weight_decay * o->lr;
    if (o->kind == CNNBN_SGD) {
        *m = o->momentum * *m - o->lr * g;
        return w + (o->nesterov ? o->momentum * *m - o->lr * g : *m);
    }
    *m += (g - *m) * (1 - o->beta1);
    *v += (g * g - *v) * (1 - o->beta2);
    return w - o->lr * sqrt(1 - pow(o->beta2, t)) / (1 - pow(o->beta1, t)) * *m / (sqrt(*v) + o->epsilon);
}

static void check_update(net_bench *b, net_reference *ref, slots *s, double t, const char *what)
{
    const cnnbn_optimizer *o = &b->c.config.optimizer;
    for (int i = 0; i < b->model->n_params; i++) {
        const cnnbn_param *p = &b->model->params[i];
        if (!p->trainable) continue;
        int decays = strcmp(p->name, "kernel") == 0;
        double most = 0, worst = 0;
        for (size_t k = 0; k < p->count; k++) {
            double before = ref->param[i][k];
            double now = updated(o, t, decays, ref->param_grad[i][k], &s[i].m[k], &s[i].v[k], before);
            most = fmax(most, fabs(now - before));
            double error = fabs((double)cnnbn_net_param(b->net, i)[k] - now);
            worst = error <= worst ? worst : error;
        }
        /* 2e-7: a weight below 2 is rounded to that */
        if (!(worst <= update_tolerance * most + 2e-7))
            fail_msg("%s, step %g: %s of %s is off by %g where a step moves it by %g", what, t, p->name,
                     b->model->layers[p->layer].name, worst, most);
    }
}

static void run_optimizer(const char *what, const cnnbn_optimizer *o, const char *kernels)
{
    enum { STEPS = 4, BATCH = 6 };
    net_bench b;
    net_case c = net_case_default(optimised);
    c.kernels = kernels;
    c.config.optimizer = *o;
    c.config.threads = 2;
    check_ok(net_bench_open(&b, &c, self, (size_t)STEPS * BATCH));
    slots *s = calloc((size_t)b.model->n_params, sizeof *s);
    for (int i = 0; i < b.model->n_params; i++) {
        s[i].m = calloc(b.model->params[i].count, sizeof(double));
        s[i].v = calloc(b.model->params[i].count, sizeof(double));
    }
    for (int t = 0; t < STEPS; t++) {
        cnnbn_step_result result;
        net_reference *ref = net_bench_reference(&b, (size_t)t * BATCH, BATCH);
        net_reference_forward(ref, b.exact + (size_t)t * BATCH * b.sample);
        net_reference_backward(ref);
        clip_reference(ref, o);
        check_ok(net_bench_step(&b, (size_t)t * BATCH, BATCH, NULL, &result));
        assert_int_equal(cnnbn_net_iterations(b.net), t + 1);
        check_update(&b, ref, s, t + 1.0, what);
        net_reference_destroy(ref);
    }
    for (int i = 0; i < b.model->n_params; i++) {
        free(s[i].m);
        free(s[i].v);
    }
    free(s);
    net_bench_close(&b);
}

static void optimisers_follow_their_formulas(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        cnnbn_optimizer o; /* kind, lr, beta1, beta2, epsilon, momentum, nesterov, weight_decay, clip, clip_limit */
    } cases[] = {
        {"sgd", {CNNBN_SGD, 0.1, 0, 0, 0, 0, 0, 0, CNNBN_CLIP_NONE, 0, 0, 0}},
        {"sgd, momentum", {CNNBN_SGD, 0.1, 0, 0, 0, 0.9, 0, 0, CNNBN_CLIP_NONE, 0, 0, 0}},
        {"sgd, nesterov, decay", {CNNBN_SGD, 0.1, 0, 0, 0, 0.8, 1, 0.3, CNNBN_CLIP_NONE, 0, 0, 0}},
        {"sgd, clipped by value", {CNNBN_SGD, 0.1, 0, 0, 0, 0, 0, 0, CNNBN_CLIP_VALUE, 0.01, 0, 0}},
        {"sgd, clipped by norm", {CNNBN_SGD, 0.1, 0, 0, 0, 0.5, 0, 0, CNNBN_CLIP_NORM, 0.05, 0, 0}},
        {"sgd, clipped by global norm", {CNNBN_SGD, 0.1, 0, 0, 0, 0.5, 0, 0, CNNBN_CLIP_GLOBAL_NORM, 0.1, 0, 0}},
        {"sgd, a limit not reached", {CNNBN_SGD, 0.1, 0, 0, 0, 0.5, 0, 0, CNNBN_CLIP_GLOBAL_NORM, 1e4, 0, 0}},
        {"adam", {CNNBN_ADAM, 0.01, 0.9, 0.999, 1e-7, 0, 0, 0, CNNBN_CLIP_NONE, 0, 0, 0}},
        {"adam, great epsilon", {CNNBN_ADAM, 0.01, 0.8, 0.99, 0.1, 0, 0, 0, CNNBN_CLIP_NORM, 0.05, 0, 0}},
        {"adamw", {CNNBN_ADAMW, 0.01, 0.9, 0.999, 1e-7, 0, 0, 0.5, CNNBN_CLIP_NONE, 0, 0, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_optimizer(cases[i].what, &cases[i].o, "ref");
        run_optimizer(cases[i].what, &cases[i].o, "auto");
    }
}

/* ---------------------------------------------------------------- statistics far from zero */

/* NUMERICS: relative error of the variance below 1e-5 for mean/std up to 1e4. The momentum 0 makes the moving variance the batch's,
 * whose float rounding is 6e-8. */
static const double variance_tolerance = 1e-5;

static void variance_far_from_zero(void **state)
{
    (void)state;
    static const char yaml[] = "input: [9, 8, 3]\nlayers:\n"
                               "  - BatchNormalization: {momentum: 0}\n"
                               "  - DepthwiseConv2D: {kernel_size: 1, bias_initializer: ones}\n"
                               "  - BatchNormalization: {momentum: 0}\n"
                               "  - GlobalAveragePooling2D\n"
                               "  - Dense: {units: 4, activation: softmax}\n";
    static const char direct[] = "input: [9, 8, 3]\nlayers:\n"
                                 "  - Conv2D: {filters: 5, kernel_size: 1, trainable: false}\n"
                                 "  - BatchNormalization: {momentum: 0}\n"
                                 "  - GlobalAveragePooling2D\n"
                                 "  - Dense: {units: 4, activation: softmax}\n";
    for (const char *const *name = cnnbn_kernels_names(); *name; name++)
        for (int which = 0; which <= 1; which++)
            for (double ratio = 1; ratio <= 1e4; ratio *= 10) {
                net_bench b;
                cnnbn_step_result result;
                char text[256];
                net_case c = net_case_default(which ? direct : yaml);
                c.kernels = *name;
                c.deviation = sqrt(3.0); /* uniform: standard deviation 1 */
                c.mean = ratio;
                check_ok(net_bench_open(&b, &c, self, 8));
                net_reference *ref = net_bench_reference(&b, 0, 8);
                net_reference_forward(ref, b.exact);
                net_reference_update_moving(ref, 0);
                check_ok(net_bench_step(&b, 0, 8, NULL, &result));
                /* A convolution in float rounds its outputs to 6e-8 of the mean: 6e-4 of the deviation at 1e4, which is noise of its
                 * own and not an error of the variance; the second model is compared where that is small. */
                double error = which && ratio > 100 ? 0 : net_bench_error(&b, ref, 1, text, sizeof text);
                if (!(error <= variance_tolerance))
                    fail_msg("kernels %s, mean/std %g: error %.3g in %s", *name, ratio, error, text);
                net_reference_destroy(ref);
                net_bench_close(&b);
            }
}

/* What is added before a batch norm changes nothing behind it: the bias there has the gradient zero, since the gradients of a channel
 * add up to nothing. What is left is the rounding of single gradients. The mean in float, off by up to 5e-4 deviations at 1e4, must
 * not show. In parts of the gradient of gamma, with which such an error would grow. */
static const double leak_tolerance = 3e-5;

static void gradient_far_from_zero(void **state)
{
    (void)state;
    static const char *const layers[] = {
        "  - DepthwiseConv2D: {kernel_size: 1}\n", "  - Conv2D: {filters: 6, kernel_size: 1}\n",
        "  - Conv2D: {filters: 6, kernel_size: 3}\n", "  - Flatten\n  - Dense: {units: 6}\n"};
    enum { BIAS = 1, GAMMA = 2, BETA, MOVING_MEAN, MOVING_VARIANCE };
    for (const char *const *name = cnnbn_kernels_names(); *name; name++)
        for (size_t which = 0; which < sizeof layers / sizeof *layers; which++) {
            net_bench b;
            cnnbn_step_result result;
            char yaml[512];
            (void)snprintf(yaml, sizeof yaml,
                           "input: [9, 8, 3]\nlayers:\n%s  - BatchNormalization: {momentum: 0}\n%s%s", layers[which],
                           which == 3 ? "" : "  - Activation: {activation: tanh}\n  - GlobalAveragePooling2D\n",
                           "  - Dense: {units: 4, activation: softmax}\n");
            net_case c = net_case_default(yaml);
            c.kernels = *name;
            check_ok(net_bench_open(&b, &c, self, 8));
            const cnnbn_param *bias = &b.model->params[BIAS], *gamma = &b.model->params[GAMMA];
            assert_string_equal(bias->name, "bias");
            assert_string_equal(gamma->name, "gamma");
            check_ok(net_bench_step(&b, 0, 8, NULL, &result));
            for (size_t k = 0; k < bias->count; k++)
                cnnbn_net_param(b.net, BIAS)[k] = 1e4f * sqrtf(cnnbn_net_param(b.net, MOVING_VARIANCE)[k]);
            check_ok(net_bench_step(&b, 0, 8, NULL, &result));
            for (size_t k = 0; k < bias->count; k++) {
                double inv_std = 1 / sqrt((double)cnnbn_net_param(b.net, MOVING_VARIANCE)[k] + 1e-3);
                double dgamma = fabs((double)cnnbn_net_grad(b.net, GAMMA)[k]);
                double leak = fabs((double)cnnbn_net_grad(b.net, BIAS)[k]) / (inv_std * dgamma);
                if (!(leak <= leak_tolerance))
                    fail_msg("kernels %s, model %zu: the bias has the gradient %.3g, %.3g of that of gamma", *name,
                             which, (double)cnnbn_net_grad(b.net, BIAS)[k], leak);
            }
            net_bench_close(&b);
        }
}

/* ---------------------------------------------------------------- flags, failures */

static void flags_come_back(void **state)
{
    (void)state;
    net_bench b;
    cnnbn_step_result result;
    const double flags[4] = {1, 0, 7, 3};
    net_case c = net_case_default(net_model_yaml("example"));
    check_ok(net_bench_open(&b, &c, self, 8));
    check_ok(net_bench_step(&b, 0, 8, flags, &result));
    check_same_bits("flags", result.flags, flags, sizeof flags);
    net_bench_close(&b);
}

/* Spoils one thing, expects the step to fail, everything to stand as before, and the finding to contain `expected`. */
static void spoil(const char *model, int param, size_t image, const char *expected)
{
    net_bench b;
    cnnbn_step_result result;
    char before[CNNBN_DIGEST_TEXT], after[CNNBN_DIGEST_TEXT], text[256];
    int order;
    net_case c = net_case_default(net_model_yaml(model));
    c.kernels = "auto";
    c.config.threads = 2;
    c.config.optimizer.momentum = 0.9;
    check_ok(net_bench_open(&b, &c, self, 16));
    check_ok(net_bench_step(&b, 0, 8, NULL, &result));
    if (param >= 0)
        cnnbn_net_param(b.net, param)[0] = NAN;
    else
        b.images[image * b.sample + 4] = INFINITY;
    net_bench_digest(&b, 0, before);
    check_status(net_bench_step(&b, 8, 8, NULL, &result), CNNBN_ERR_NONFINITE, "loss");
    net_bench_digest(&b, 0, after);
    assert_string_equal(after, before);
    assert_int_equal(cnnbn_net_iterations(b.net), 1);
    if (isfinite(result.loss)) fail_msg("the loss is %g", result.loss);
    cnnbn_net_find_nonfinite(b.net, &order, text, sizeof text);
    if (!strstr(text, expected)) fail_msg("%s: found \"%s\", expected \"%s\"", model, text, expected);
    net_bench_close(&b);
}

/* The weights of a frozen layer that overflow make the first Inf behind it, though all weights are finite. */
static void overflow_inside(const char *model, int param, const char *expected)
{
    net_bench b;
    cnnbn_step_result result;
    char text[256];
    int order;
    net_case c = net_case_default(net_model_yaml(model));
    check_ok(net_bench_open(&b, &c, self, 8));
    for (size_t k = 0; k < b.model->params[param].count; k++) cnnbn_net_param(b.net, param)[k] = 3e38f;
    check_status(net_bench_step(&b, 0, 8, NULL, &result), CNNBN_ERR_NONFINITE, NULL);
    cnnbn_net_find_nonfinite(b.net, &order, text, sizeof text);
    if (!strstr(text, expected)) fail_msg("%s: found \"%s\", expected \"%s\"", model, text, expected);
    net_bench_close(&b);
}

static void a_loss_that_is_not_finite(void **state)
{
    (void)state;
    spoil("example", 0, 0, "weight kernel of layer conv2d");
    spoil("example", 3, 0, "weight beta of layer batch_normalization");
    spoil("example", -1, 8, "output of layer input");
    spoil("pools", -1, 15, "output of layer input");
    spoil("projection", -1, 12, "output of layer input");
    overflow_inside("example", 0, "output of layer conv2d");
    overflow_inside("example", 6, "output of layer conv2d_1");
    overflow_inside("projection", 10, "output of layer conv2d_2");
}

static void refused(void **state)
{
    (void)state;
    static const char inner[] =
        "input: [2, 2, 3]\nlayers:\n  - Conv2D: {filters: 1, kernel_size: 1, activation: softmax}\n"
        "  - Flatten\n";
    static const char sigmoid[] =
        "input: [2, 2, 3]\nlayers:\n  - Flatten\n  - Dense: {units: 3, activation: sigmoid}\n";
    static const char frozen[] = "input: [2, 2, 3]\nlayers:\n  - Flatten\n  - Dense: {units: 3, trainable: false}\n";
    net_bench b;
    net_case c = net_case_default(inner);
    check_status(net_bench_open(&b, &c, self, 8), CNNBN_ERR_MODEL, "softmax must come last");
    net_bench_close(&b);
    c.yaml = sigmoid;
    check_status(net_bench_open(&b, &c, self, 8), CNNBN_ERR_MODEL, "softmax or linear");
    net_bench_close(&b);
    c.yaml = frozen;
    check_status(net_bench_open(&b, &c, self, 8), CNNBN_ERR_MODEL, "nothing to train");
    net_bench_close(&b);
    c.yaml = net_model_yaml("example");
    c.config.slices = 0;
    check_status(net_bench_open(&b, &c, self, 8), CNNBN_ERR_OPTION, "--slices");
    net_bench_close(&b);
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
        cmocka_unit_test(optimisers_follow_their_formulas), cmocka_unit_test(variance_far_from_zero),
        cmocka_unit_test(gradient_far_from_zero),           cmocka_unit_test(flags_come_back),
        cmocka_unit_test(a_loss_that_is_not_finite),        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, open_self, close_self);
}
