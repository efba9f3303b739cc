/* The reference of the compiled net is itself held to central differences of its own forward pass: for every test model, along a
 * random direction of all weights together, and along each weight tensor alone. */
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "cnnbn/rng.h"
#include "net_case.h"
#include "net_models.h"

/* Differences of a loss near 1 in steps of 1e-7: 1e-9 from rounding; a kink of a ReLU or of a
 * maximum inside the step would show as 1e-3, hence so small a step. */
static const double step = 1e-7, tolerance = 1e-6;

static double loss_at(net_reference *ref, const double *images, int param, double t)
{
    for (int i = 0; i < ref->model->n_params; i++) {
        const cnnbn_param *p = &ref->model->params[i];
        if (!p->trainable || (param >= 0 && i != param)) continue;
        uint64_t key = cnnbn_rng_key(21, CNNBN_RNG_TEST, (uint64_t)i, 0, 0);
        for (size_t k = 0; k < p->count; k++) ref->param[i][k] += t * cnnbn_rng_normal(key, k);
    }
    net_reference_forward(ref, images);
    return ref->loss;
}

static double slope_by_gradient(const net_reference *ref, int param)
{
    double sum = 0;
    for (int i = 0; i < ref->model->n_params; i++) {
        const cnnbn_param *p = &ref->model->params[i];
        if (!p->trainable || (param >= 0 && i != param)) continue;
        uint64_t key = cnnbn_rng_key(21, CNNBN_RNG_TEST, (uint64_t)i, 0, 0);
        for (size_t k = 0; k < p->count; k++) sum += ref->param_grad[i][k] * cnnbn_rng_normal(key, k);
    }
    return sum;
}

static void one_model(const net_model *m)
{
    cnnbn_comm *self;
    net_bench b;
    net_case c = net_case_default(m->yaml);
    check_ok(cnnbn_comm_self(&self));
    c.config.inference_only = 1;
    c.config.label_smoothing = 0.1f;
    check_ok(net_bench_open(&b, &c, self, 5));
    net_reference *ref = net_bench_reference(&b, 0, 5);
    static const int groups[] = {0, 2, 5};
    ref->n_groups = 2;
    ref->group_begin = groups;
    net_reference_forward(ref, b.exact);
    net_reference_backward(ref);
    for (int p = -1; p < b.model->n_params; p++) {
        if (p >= 0 && !b.model->params[p].trainable) continue;
        double expected = slope_by_gradient(ref, p);
        double above = loss_at(ref, b.exact, p, step), below = loss_at(ref, b.exact, p, -2 * step);
        (void)loss_at(ref, b.exact, p, step);
        double found = (above - below) / (2 * step);
        if (!(fabs(found - expected) <= tolerance * fmax(1, fabs(expected))))
            fail_msg("%s, weight %d: %.10g by differences, %.10g by the backward pass", m->name, p, found, expected);
    }
    net_reference_destroy(ref);
    net_bench_close(&b);
    cnnbn_comm_finalize(self);
}

static void backward_is_the_slope_of_forward(void **state)
{
    (void)state;
    for (int i = 0; net_models[i].name; i++) one_model(&net_models[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(backward_is_the_slope_of_forward)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
