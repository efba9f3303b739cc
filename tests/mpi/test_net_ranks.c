/* The net on many ranks: in ordered mode every bit is that of one rank; the sums are those of the reference. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net_case.h"
#include "net_models.h"
#include "test_comm_ranks.h"

/* As in test_net_grad.c. */
static const double gradient_tolerance = 5e-5;
static const double statistic_tolerance = 5e-6;
static const double loss_tolerance = 2e-6;
/* NUMERICS: relative error of the variance for mean/std up to 1e4. */
static const double variance_tolerance = 1e-5;

static cnnbn_comm *self;

/* ---------------------------------------------------------------- bits */

/* Three steps, the last with a short batch of `last` images; 1 when all went well. */
static int three_steps(const net_case *c, cnnbn_comm *comm, size_t last, char digest[CNNBN_DIGEST_TEXT])
{
    net_bench b;
    double losses = 0;
    size_t batch = c->config.batch_size;
    int ok = expect_ok(net_bench_open(&b, c, comm, 2 * batch + last));
    for (size_t s = 0; s < 3 && ok; s++) {
        cnnbn_step_result result = {0, 0, {0, 0, 0, 0}};
        ok = expect_ok(net_bench_step(&b, s * batch, s < 2 ? batch : last, NULL, &result));
        losses = 3 * losses + result.loss + 1e-3 * result.sums[1];
    }
    if (ok) net_bench_digest(&b, losses, digest);
    net_bench_close(&b);
    return ok;
}

/* Rank 0 runs the net alone and tells the others what it found. */
static void compare_bits(const net_case *c, const char *name, size_t last)
{
    char together[CNNBN_DIGEST_TEXT] = "", alone[CNNBN_DIGEST_TEXT] = "";
    net_case one = *c;
    one.config.threads = 1;
    int ok = three_steps(c, ranks, last, together);
    if (cnnbn_comm_rank(ranks) == 0) ok &= three_steps(&one, self, last, alone);
    ok &= expect_ok(cnnbn_comm_bcast(ranks, alone, sizeof alone, 0));
    (void)expect(!ok || strcmp(together, alone) == 0,
                 "%s, kernels %s, %d slices, %d threads, last batch %zu: other bits than one rank's", name, c->kernels,
                 c->config.slices, c->config.threads, last);
}

static void same_bits_as_one_rank(void **state)
{
    (void)state;
    static const cnnbn_optimizer optimizers[] = {
        {CNNBN_ADAM, 0.01, 0.9, 0.999, 1e-7, 0, 0, 0, CNNBN_CLIP_GLOBAL_NORM, 0.1, 0, 0},
        {CNNBN_ADAMW, 0.01, 0.9, 0.999, 1e-7, 0, 0, 0.1, CNNBN_CLIP_NONE, 0, 0, 0},
        {CNNBN_SGD, 0.1, 0, 0, 0, 0.9, 1, 0, CNNBN_CLIP_NORM, 0.1, 0, 0},
        {CNNBN_LARS, 3, 0, 0, 0, 0.9, 1, 0.1, CNNBN_CLIP_VALUE, 0.1, 0, 0.01},
        {CNNBN_LAMB, 0.01, 0.9, 0.999, 1e-7, 0, 0, 0.1, CNNBN_CLIP_GLOBAL_NORM, 0.1, 0, 0},
    };
    int n_tables = 0;
    while (cnnbn_kernels_names()[n_tables]) n_tables++;
    for (int i = 0; net_models[i].name; i++)
        for (int k = 0; k < 2; k++) { /* the table a user gets, and the others in turn */
            int turn = 2 * i + k;
            net_case c = net_case_default(net_models[i].yaml);
            c.kernels = k ? cnnbn_kernels_names()[i % n_tables] : "auto";
            c.config.batch_size = 9;
            c.config.slices = i % 3 == 0 ? 8 : i % 3 == 1 ? 6 : 16;
            c.config.threads = 1 + (turn % 4 == 1);
            c.config.optimizer = optimizers[turn % 5];
            c.config.ema_decay = turn % 3 ? 0.9 : 0;
            compare_bits(&c, net_models[i].name, 5);
        }
    verdict();
}

/* More ranks than slices; one slice; a last batch of one image, so that all ranks but one have none. */
static void ranks_without_images(void **state)
{
    (void)state;
    static const char *const models[] = {"example", "projection", "shared"};
    static const int slices[] = {1, 2, 3, 7};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++)
        for (size_t s = 0; s < sizeof slices / sizeof *slices; s++) {
            net_case c = net_case_default(net_model_yaml(models[m]));
            c.kernels = "auto";
            c.config.slices = slices[s];
            c.config.threads = s == 2 ? 3 : 1;
            c.config.batch_size = 6;
            compare_bits(&c, models[m], m % 2 ? 1 : 4);
        }
    verdict();
}

/* ---------------------------------------------------------------- the reference */

/* One step beside the reference; groups: statistics by rank. Returns without asserting. */
static void compare_reference(const char *name, const net_case *c, size_t n)
{
    net_bench b;
    cnnbn_step_result result = {0, 0, {0, 0, 0, 0}};
    char text[256];
    int size = cnnbn_comm_size(ranks), S = c->config.slices, bounds[65] = {0};
    size_t batch = c->config.batch_size;
    if (!expect_ok(net_bench_open(&b, c, ranks, batch))) return;
    /* Leftovers of a whole batch must not come back on a rank that has no image now. */
    if (c->config.bn_local && !expect_ok(net_bench_step(&b, 0, batch, NULL, &result))) {
        net_bench_close(&b);
        return;
    }
    net_reference *ref = net_bench_reference(&b, 0, n);
    for (int r = 0; r <= size; r++) bounds[r] = (int)cnnbn_slice_begin(n, S, cnnbn_part_begin(S, size, r));
    int mine = cnnbn_comm_rank(ranks), group = 0;
    int looks = mine == 0 || c->config.bn_local; /* the others have the same bits: see above */
    if (c->config.bn_local) {
        ref->n_groups = size;
        ref->group_begin = bounds;
        group = mine;
    }
    if (looks) {
        net_reference_forward(ref, b.exact);
        net_reference_backward(ref);
    }
    if (looks && (!c->config.bn_local || bounds[mine] < bounds[mine + 1])) net_reference_update_moving(ref, group);
    if (expect_ok(net_bench_step(&b, 0, n, NULL, &result)) && looks) {
        (void)expect(fabs(result.loss - ref->loss) <= loss_tolerance * fmax(1, ref->loss),
                     "%s, %zu images: loss %.9g, expected %.9g", name, n, result.loss, ref->loss);
        double error = net_bench_error(&b, ref, 0, text, sizeof text);
        (void)expect(error <= gradient_tolerance, "%s, %zu images: error %.3g in the gradient of %s", name, n, error,
                     text);
        error = net_bench_error(&b, ref, 1, text, sizeof text);
        (void)expect(error <= statistic_tolerance, "%s, %zu images: error %.3g in %s", name, n, error, text);
    }
    net_reference_destroy(ref);
    net_bench_close(&b);
}

static void synchronous_is_exact(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 3, 7, 8};
    for (int i = 0; net_models[i].name; i++) {
        int of_vectors = strcmp(net_models[i].name, "dense-norms") == 0 ||
                         strcmp(net_models[i].name, "norm-last") == 0 ||
                         strcmp(net_models[i].name, "norm-reshaped") == 0;
        for (size_t k = of_vectors ? 2 : 0; k < sizeof counts / sizeof *counts; k += 1 + (size_t)i % 3) {
            net_case c = net_case_default(net_models[i].yaml);
            c.kernels = "auto";
            compare_reference(net_models[i].name, &c, counts[k]);
        }
    }
    verdict();
}

static void by_mpi_too(void **state)
{
    (void)state;
    for (int i = 0; net_models[i].name; i++) {
        net_case c = net_case_default(net_models[i].yaml);
        c.kernels = "auto";
        c.config.reduce = CNNBN_REDUCE_MPI;
        c.config.threads = 1 + (i % 4 == 0);
        compare_reference(net_models[i].name, &c, 7);
    }
    verdict();
}

static void local_is_each_rank_alone(void **state)
{
    (void)state;
    static const char *const models[] = {"example", "projection", "shared", "bare-norms"};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++)
        for (size_t n = 1; n <= 8; n += n == 1 ? 4 : 3)
            for (int mode = 0; mode <= 1; mode++) {
                net_case c = net_case_default(net_model_yaml(models[m]));
                c.kernels = "auto";
                c.config.bn_local = 1;
                c.config.reduce = mode ? CNNBN_REDUCE_MPI : CNNBN_REDUCE_ORDERED;
                c.config.slices = 5; /* uneven */
                compare_reference(models[m], &c, n);
            }
    verdict();
}

static void variance_far_from_zero(void **state)
{
    (void)state;
    static const char yaml[] = "input: [9, 8, 3]\nlayers:\n  - BatchNormalization: {momentum: 0}\n  - Flatten\n"
                               "  - Dense: {units: 4, activation: softmax}\n";
    for (double ratio = 1; ratio <= 1e4; ratio *= 10) {
        net_bench b;
        cnnbn_step_result result;
        char text[256];
        net_case c = net_case_default(yaml);
        c.kernels = "auto";
        c.deviation = sqrt(3.0); /* uniform: standard deviation 1 */
        c.mean = ratio;
        if (!expect_ok(net_bench_open(&b, &c, ranks, 7))) break;
        net_reference *ref = net_bench_reference(&b, 0, 7);
        net_reference_forward(ref, b.exact);
        net_reference_backward(ref);
        net_reference_update_moving(ref, 0);
        if (expect_ok(net_bench_step(&b, 0, 7, NULL, &result))) {
            double error = net_bench_error(&b, ref, 1, text, sizeof text);
            (void)expect(error <= variance_tolerance, "mean/std %g: error %.3g in %s", ratio, error, text);
            error = net_bench_error(&b, ref, 0, text, sizeof text);
            (void)expect(error <= gradient_tolerance, "mean/std %g: error %.3g in the gradient of %s", ratio, error,
                         text);
        }
        net_reference_destroy(ref);
        net_bench_close(&b);
    }
    verdict();
}

/* ---------------------------------------------------------------- flags, failures, averages */

static void flags_are_summed(void **state)
{
    (void)state;
    net_bench b;
    cnnbn_step_result result;
    int rank = cnnbn_comm_rank(ranks), size = cnnbn_comm_size(ranks);
    const double flags[4] = {1, rank, 0, rank == size - 1 ? 5 : 0};
    const double expected[4] = {size, size * (size - 1) / 2.0, 0, 5};
    for (int mode = 0; mode <= 3; mode++) {
        net_case c = net_case_default(net_model_yaml("example"));
        c.config.slices = 2; /* ranks without a slice have a say too */
        c.config.reduce = mode % 2 ? CNNBN_REDUCE_MPI : CNNBN_REDUCE_ORDERED;
        c.config.bn_local = mode / 2;
        if (!expect_ok(net_bench_open(&b, &c, ranks, 8))) break;
        if (expect_ok(net_bench_step(&b, 0, 8, flags, &result)))
            (void)expect_same_bits("flags", result.flags, expected, sizeof expected);
        net_bench_close(&b);
    }
    verdict();
}

/* The last image is spoilt: one rank has it, all fail alike, and nothing has changed. */
static void one_rank_is_not_finite(void **state)
{
    (void)state;
    for (int mode = 0; mode <= 3; mode++) {
        net_bench b;
        cnnbn_step_result result = {0, 0, {0, 0, 0, 0}};
        char before[CNNBN_DIGEST_TEXT], after[CNNBN_DIGEST_TEXT], text[256];
        int order;
        size_t first, count;
        net_case c = net_case_default(net_model_yaml("pools"));
        c.config.reduce = mode % 2 ? CNNBN_REDUCE_MPI : CNNBN_REDUCE_ORDERED;
        c.config.bn_local = mode / 2;
        if (!expect_ok(net_bench_open(&b, &c, ranks, 16))) break;
        (void)expect_ok(net_bench_step(&b, 0, 8, NULL, &result));
        b.images[15 * b.sample] = NAN;
        net_bench_digest(&b, 0, before);
        (void)expect_status(net_bench_step(&b, 8, 8, NULL, &result), CNNBN_ERR_NONFINITE, "loss");
        net_bench_digest(&b, 0, after);
        (void)expect(strcmp(before, after) == 0, "a step that failed changed the state");
        cnnbn_net_find_nonfinite(b.net, &order, text, sizeof text);
        cnnbn_net_local_samples(b.net, 8, &first, &count);
        int has_it = first + count == 8 && count > 0;
        (void)expect(has_it ? strcmp(text, "output of layer input") == 0 : !text[0], "found \"%s\"", text);
        net_bench_close(&b);
    }
    verdict();
}

static void statistics_are_averaged(void **state)
{
    (void)state;
    net_bench b;
    net_case c = net_case_default(net_model_yaml("frozen"));
    int rank = cnnbn_comm_rank(ranks), size = cnnbn_comm_size(ranks);
    c.config.bn_local = 1;
    if (expect_ok(net_bench_open(&b, &c, ranks, 8))) {
        int p = 0;
        while (strcmp(b.model->params[p].name, "moving_mean") != 0) p++;
        float frozen = cnnbn_net_param(b.net, 0)[1];
        for (size_t k = 0; k < b.model->params[p].count; k++) cnnbn_net_param(b.net, p)[k] = (float)(rank + (int)k);
        (void)expect_ok(cnnbn_net_average_statistics(b.net));
        for (size_t k = 0; k < b.model->params[p].count; k++) {
            double mean = (size - 1) / 2.0 + (double)k;
            (void)expect(fabs((double)cnnbn_net_param(b.net, p)[k] - mean) < 1e-6, "mean %g, expected %g",
                         (double)cnnbn_net_param(b.net, p)[k], mean);
        }
        (void)expect_same_bits("a frozen kernel", &frozen, &cnnbn_net_param(b.net, 0)[1], sizeof frozen);
        net_bench_close(&b);
    }
    verdict();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits_as_one_rank),    cmocka_unit_test(ranks_without_images),
        cmocka_unit_test(synchronous_is_exact),     cmocka_unit_test(by_mpi_too),
        cmocka_unit_test(local_is_each_rank_alone), cmocka_unit_test(variance_far_from_zero),
        cmocka_unit_test(flags_are_summed),         cmocka_unit_test(one_rank_is_not_finite),
        cmocka_unit_test(statistics_are_averaged),
    };
    ranks_begin(&argc, &argv);
    cnnbn_blas_init();
    if (cnnbn_comm_self(&self) != CNNBN_OK) cnnbn_comm_abort(ranks, 1, cnnbn_error_message());
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cnnbn_comm_finalize(self);
    return ranks_end(failed);
}
