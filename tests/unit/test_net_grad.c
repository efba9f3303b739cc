/* The compiled net beside the reference: loss, hits, gradients and moving statistics of one step, for every test model, kernel
 * table, number of slices and threads, for short batches, one image, and empty slices. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "net_case.h"
#include "net_models.h"

/* Float sums of up to a few hundred terms of mixed sign, through up to ten layers: 1e-6 is found, a wrong term is 1e-2. Winograd
 * transforms and the batch norm of few samples take another digit. */
static const double gradient_tolerance = 5e-5;
static const double statistic_tolerance = 5e-6;
static const double loss_tolerance = 2e-6;

static cnnbn_comm *self;

static void compare(const char *name, const net_case *c, size_t n)
{
    net_bench b;
    cnnbn_step_result result;
    char text[256];
    check_ok(net_bench_open(&b, c, self, n));
    net_reference *ref = net_bench_reference(&b, 0, n);
    net_reference_forward(ref, b.exact);
    net_reference_backward(ref);
    net_reference_update_moving(ref, 0);
    check_ok(net_bench_step(&b, 0, n, NULL, &result));
    char what[256];
    (void)snprintf(what, sizeof what, "%s, kernels %s, %d slices, %d threads, %zu of %zu images", name, c->kernels,
                   c->config.slices, c->config.threads, n, c->config.batch_size);
    check_near(what, result.loss, ref->loss, loss_tolerance);
    check_near(what, result.sums[1], ref->hits, 0);
    double error = net_bench_error(&b, ref, 0, text, sizeof text);
    if (!(error <= gradient_tolerance)) fail_msg("%s: error %.3g in the gradient of %s", what, error, text);
    error = net_bench_error(&b, ref, 1, text, sizeof text);
    if (!(error <= statistic_tolerance)) fail_msg("%s: error %.3g in %s", what, error, text);
    net_reference_destroy(ref);
    net_bench_close(&b);
}

static void every_model(void **state)
{
    (void)state;
    for (int i = 0; net_models[i].name; i++) {
        net_case c = net_case_default(net_models[i].yaml);
        compare(net_models[i].name, &c, 8);
    }
}

static void every_table(void **state)
{
    (void)state;
    for (const char *const *name = cnnbn_kernels_names(); *name; name++)
        for (int i = 0; net_models[i].name; i++) {
            net_case c = net_case_default(net_models[i].yaml);
            c.kernels = *name;
            c.config.slices = 4;
            c.config.threads = 2;
            c.config.label_smoothing = 0.1f;
            compare(net_models[i].name, &c, 8);
        }
}

static void without_fusion(void **state)
{
    (void)state;
    for (int i = 0; net_models[i].name; i++) {
        net_case c = net_case_default(net_models[i].yaml);
        c.kernels = i % 2 ? "auto" : "ref";
        c.config.slices = 3;
        c.config.threads = 2;
        c.config.no_fusion = 1;
        compare(net_models[i].name, &c, 8);
    }
}

/* Slices 1 .. 16 of a batch of 8: more slices than images leave empty ones. Threads up to more than slices. */
static void every_grouping(void **state)
{
    (void)state;
    static const char *const models[] = {"example", "projection", "shared", "frozen", "centred"};
    static const int slices[] = {1, 2, 3, 5, 7, 16};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++)
        for (size_t s = 0; s < sizeof slices / sizeof *slices; s++)
            for (int threads = 1; threads <= 4; threads++) {
                net_case c = net_case_default(net_model_yaml(models[m]));
                c.kernels = "auto";
                c.config.slices = slices[s];
                c.config.threads = threads;
                compare(models[m], &c, 8);
            }
}

/* Short batches; one image. A batch norm over one sample of a dense layer would have variance zero: models with pixels. */
static void short_batches(void **state)
{
    (void)state;
    static const char *const models[] = {"example", "projection", "dropout", "windows"};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++)
        for (size_t n = 1; n <= 8; n += n < 3 ? 1 : 2)
            for (int threads = 1; threads <= 3; threads += 2) {
                net_case c = net_case_default(net_model_yaml(models[m]));
                c.kernels = "auto";
                c.config.slices = 5;
                c.config.threads = threads;
                compare(models[m], &c, n);
            }
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
        cmocka_unit_test(every_model),    cmocka_unit_test(every_table),   cmocka_unit_test(without_fusion),
        cmocka_unit_test(every_grouping), cmocka_unit_test(short_batches),
    };
    return cmocka_run_group_tests(tests, open_self, close_self);
}
