/* Inference beside the reference, for any grouping; same bits of training at any number of threads; an allocation count of zero in
 * a step. */
#include <malloc.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "cnnbn/memory.h"
#include "net_case.h"
#include "net_models.h"

static cnnbn_comm *self;

/* ---------------------------------------------------------------- inference */

/* Probabilities from logits that are off by 1e-6 of the greatest. */
static const double probability_tolerance = 2e-5;
enum { IMAGES = 21, CLASSES = 4 };

/* The reference's output as probabilities. */
static void expected_probabilities(const net_reference *ref, int has_softmax, double *p)
{
    const double *y = ref->value[ref->model->output];
    for (int i = 0; i < IMAGES; i++) {
        double sum = 0;
        for (int c = 0; c < CLASSES; c++)
            sum += p[i * CLASSES + c] = has_softmax ? y[i * CLASSES + c] : exp(y[i * CLASSES + c]);
        for (int c = 0; c < CLASSES; c++) p[i * CLASSES + c] /= sum;
    }
}

static void infer_model(const net_model *m, const char *kernels, int threads)
{
    net_bench b;
    net_case c = net_case_default(m->yaml);
    c.kernels = kernels;
    c.config.inference_only = 1;
    c.config.slices = 2; /* blocks of 4 */
    c.config.threads = threads;
    check_ok(net_bench_open(&b, &c, self, IMAGES));
    net_reference *ref = net_bench_reference(&b, 0, IMAGES);
    ref->training = 0;
    net_reference_forward(ref, b.exact);
    enum { BLOCKS = (IMAGES + 3) / 4 };
    double sums[BLOCKS][2], expected[IMAGES * CLASSES], all_loss = 0, all_hits = 0;
    float p[IMAGES * CLASSES], again[IMAGES * CLASSES];
    assert_int_equal(cnnbn_net_block(b.net), 4);
    const cnnbn_targets targets = {.labels = b.labels};
    assert_int_equal(cnnbn_net_n_sums(b.net), 2);
    cnnbn_net_infer(b.net, IMAGES, b.pointers, &targets, sums[0], p);
    for (int i = 0; i < BLOCKS; i++) {
        all_loss += sums[i][0];
        all_hits += sums[i][1];
    }
    expected_probabilities(ref, strcmp(m->name, "logits") != 0 && strcmp(m->name, "norm-last") != 0, expected);
    check_close(m->name, p, expected, (size_t)IMAGES * CLASSES, probability_tolerance);
    check_near(m->name, all_loss / IMAGES + cnnbn_net_penalty(b.net), ref->loss, probability_tolerance);
    check_near(m->name, all_hits, ref->hits, 0);
    /* block by block, last one first, and without labels: the same bits */
    for (int i = BLOCKS - 1; i >= 0; i--) {
        double one[2];
        const cnnbn_targets its = {.labels = b.labels + 4 * i};
        size_t n = i + 1 < BLOCKS ? 4 : IMAGES - 4 * (BLOCKS - 1);
        cnnbn_net_infer(b.net, n, b.pointers + 4 * i, &its, one, NULL);
        check_same_bits(m->name, one, sums[i], sizeof one);
    }
    cnnbn_net_infer(b.net, IMAGES, b.pointers, NULL, NULL, again);
    check_same_bits(m->name, again, p, sizeof p);
    net_reference_destroy(ref);
    net_bench_close(&b);
}

static void inference_of_every_model(void **state)
{
    (void)state;
    for (const char *const *name = cnnbn_kernels_names(); *name; name++)
        for (int i = 0; net_models[i].name; i++) infer_model(&net_models[i], *name, 1 + i % 3);
}

/* ---------------------------------------------------------------- bits */

static void three_steps(const net_case *c, char digest[CNNBN_DIGEST_TEXT])
{
    static const size_t sizes[] = {12, 12, 7};
    net_bench b;
    double losses = 0;
    check_ok(net_bench_open(&b, c, self, 31));
    for (size_t s = 0, first = 0; s < 3; first += sizes[s], s++) {
        cnnbn_step_result result;
        check_ok(net_bench_step(&b, first, sizes[s], NULL, &result));
        losses = losses * 3 + result.loss;
    }
    net_bench_digest(&b, losses, digest);
    net_bench_close(&b);
}

static void same_bits_at_any_number_of_threads(void **state)
{
    (void)state;
    for (const char *const *name = cnnbn_kernels_names(); *name; name++)
        for (int i = 0; net_models[i].name; i++) {
            char one[CNNBN_DIGEST_TEXT], many[CNNBN_DIGEST_TEXT];
            net_case c = net_case_default(net_models[i].yaml);
            c.kernels = *name;
            c.config.batch_size = 12;
            c.config.slices = 6;
            c.config.optimizer.kind = CNNBN_ADAMW;
            c.config.optimizer.weight_decay = 0.1;
            c.config.optimizer.clip = CNNBN_CLIP_GLOBAL_NORM;
            c.config.optimizer.clip_limit = 0.1;
            three_steps(&c, one);
            for (int k = 0; k < (strcmp(*name, "ref") ? 2 : 1); k++) {
                int threads = 2 + (i + k) % 3;
                c.config.threads = threads;
                three_steps(&c, many);
                if (strcmp(one, many) != 0)
                    fail_msg("%s, kernels %s: other bits with %d threads", net_models[i].name, *name, threads);
            }
        }
}

/* ---------------------------------------------------------------- allocation */

static atomic_long n_mallocs; /* calls from cnnbn's own libraries: the linker sends them here (nn.cmake) */

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *block, size_t bytes);
int __real_posix_memalign(void **out, size_t alignment, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *block, size_t bytes);
int __wrap_posix_memalign(void **out, size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
    n_mallocs++;
    return __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
    n_mallocs++;
    return __real_calloc(n, bytes);
}

void *__wrap_realloc(void *block, size_t bytes)
{
    n_mallocs++;
    return __real_realloc(block, bytes);
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t bytes)
{
    n_mallocs++;
    return __real_posix_memalign(out, alignment, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    n_mallocs++;
    return __real_aligned_alloc(alignment, bytes);
}

static void a_step_allocates_nothing(void **state)
{
    (void)state;
    for (const char *const *name = cnnbn_kernels_names(); *name; name++)
        for (int i = 0; net_models[i].name; i++) {
            net_bench b;
            cnnbn_step_result result;
            double sums[2 * 4]; /* a block holds one image here */
            net_case c = net_case_default(net_models[i].yaml);
            c.kernels = *name;
            c.config.threads = 2;
            c.config.ema_decay = 0.9;
            c.config.accumulate = 2;
            c.config.optimizer.kind = i % 2 ? CNNBN_LAMB : CNNBN_SGD;
            long start = n_mallocs;
            check_ok(net_bench_open(&b, &c, self, 8));
            assert_true(n_mallocs > start); /* the count is alive */
            size_t counted = cnnbn_alloc_count();
            long mallocs = n_mallocs;
            check_ok(net_bench_step(&b, 0, 8, NULL, &result));
            check_ok(net_bench_step(&b, 0, 5, NULL, &result));
            cnnbn_batch batch = {
                .n_global = 4, .n_local = 4, .images = b.pointers, .ids = b.ids, .n_parts = 2, .n_step = 8};
            const double flags[4] = {0};
            batch.targets.labels = b.labels;
            for (; batch.part < 2; batch.part++) check_ok(cnnbn_net_train_step(b.net, &batch, flags, &result));
            cnnbn_net_swap_ema(b.net);
            const cnnbn_targets targets = {.labels = b.labels};
            cnnbn_net_infer(b.net, 2, b.pointers, &targets, sums, NULL);
            cnnbn_net_swap_ema(b.net);
            assert_int_equal(cnnbn_alloc_count(), counted);
            if (n_mallocs != mallocs)
                fail_msg("%s, kernels %s: %ld allocations in three steps", net_models[i].name, *name,
                         n_mallocs - mallocs);
            net_bench_close(&b);
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
        cmocka_unit_test(inference_of_every_model),
        cmocka_unit_test(same_bits_at_any_number_of_threads),
        cmocka_unit_test(a_step_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, open_self, close_self);
}
