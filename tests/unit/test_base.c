/* base: status, memory, random numbers, slices and their tree, digest. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "cnnbn/cpu.h"
#include "cnnbn/digest.h"
#include "cnnbn/memory.h"
#include "cnnbn/rng.h"
#include "cnnbn/slices.h"

static void status_codes_and_messages(void **state)
{
    (void)state;
    assert_int_equal(cnnbn_status_exit_code(CNNBN_OK), 0);
    assert_int_equal(cnnbn_status_exit_code(CNNBN_ERR_USAGE), 1);
    assert_int_equal(cnnbn_status_exit_code(CNNBN_ERR_DATA), 2);
    assert_int_equal(cnnbn_status_exit_code(CNNBN_ERR_IO), 3);
    assert_int_equal(cnnbn_status_exit_code(CNNBN_ERR_NONFINITE), 4);
    assert_int_equal(cnnbn_status_exit_code(CNNBN_ERR_INTERRUPTED), 75);
    check_status(cnnbn_error(CNNBN_ERR_MODEL, "eps = %g", -1.0), CNNBN_ERR_MODEL, "eps = -1");
    check_status(cnnbn_error_context(CNNBN_ERR_MODEL, "layer %s", "bn"), CNNBN_ERR_MODEL, "layer bn: eps = -1");
    char longest[3 * CNNBN_ERROR_MAX];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    (void)cnnbn_error(CNNBN_ERR_DATA, "%s", longest);
    assert_int_equal(strlen(cnnbn_error_message()), CNNBN_ERROR_MAX - 1);
    (void)cnnbn_error_context(CNNBN_ERR_DATA, "%s", longest);
    assert_int_equal(strlen(cnnbn_error_message()), CNNBN_ERROR_MAX - 1);
}

static void allocation_is_checked_and_counted(void **state)
{
    (void)state;
    void *block;
    size_t before = cnnbn_alloc_count();
    check_ok(cnnbn_alloc(5000000, "a test", &block));
    assert_int_equal((uintptr_t)block % CNNBN_ALIGN, 0);
    assert_int_equal(((char *)block)[4999999], 0);
    assert_int_equal(cnnbn_alloc_count(), before + 1);
    cnnbn_free(block);
    check_status(cnnbn_alloc_array(SIZE_MAX / 2, 4, "a test", &block), CNNBN_ERR_MEMORY, "a test");
    assert_null(block);
    check_status(cnnbn_alloc(SIZE_MAX - 3, "a test", &block), CNNBN_ERR_MEMORY, NULL);
}

static void pages_are_zero_aligned_and_apart(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, (size_t)2 << 20, ((size_t)6 << 20) + 4};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *a, *b;
        check_ok(cnnbn_alloc_pages(sizes[i], "a test", &a));
        check_ok(cnnbn_alloc_pages(sizes[i], "a test", &b));
        assert_int_equal((uintptr_t)a % (2 << 20), 0);
        for (size_t k = 0; k < sizes[i]; k += 4096) assert_int_equal(((char *)a)[k], 0);
        memset(a, 1, sizes[i]);
        if (sizes[i]) assert_int_equal(((char *)b)[sizes[i] - 1], 0);
        cnnbn_free_pages(a, sizes[i]);
        cnnbn_free_pages(b, sizes[i]);
    }
    void *block;
    check_status(cnnbn_alloc_pages(SIZE_MAX - 3, "a test", &block), CNNBN_ERR_MEMORY, NULL);
    assert_null(block);
    cnnbn_free_pages(NULL, 5);
}

static void *bind_last(void *count)
{
    int n = *(int *)count;
    cnnbn_cpu_bind_thread(n - 1, n);
    *(int *)count = cnnbn_cpu_cores_allowed();
    return NULL;
}

/* In a thread of its own, so that the others may go on where they like. */
static int cores_after_binding(int n)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, bind_last, &n), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    return n;
}

static void a_thread_is_bound_where_each_has_a_core(void **state)
{
    (void)state;
    int cores = cnnbn_cpu_cores_allowed();
    (void)unsetenv("OMP_PROC_BIND");
    (void)unsetenv("OMP_PLACES");
    (void)unsetenv("GOMP_CPU_AFFINITY");
    assert_int_equal(cores_after_binding(cores + 1), cores);
    assert_int_equal(setenv("OMP_PROC_BIND", "false", 1), 0);
    assert_int_equal(cores_after_binding(cores), cores);
    (void)unsetenv("OMP_PROC_BIND");
    assert_int_equal(cores_after_binding(cores), 1);
}

/* What no machine has is refused with both figures; what this one has is told within its bounds. */
static void memory_that_cannot_be_is_refused(void **state)
{
    (void)state;
    void *block;
    cnnbn_memory_left left = cnnbn_get_memory_left();
    assert_true(left.available_bytes > (size_t)16 << 20);
    assert_true(left.available_bytes <= left.limit_bytes);
    assert_true(left.limit_bytes < SIZE_MAX);
    check_status(cnnbn_alloc((size_t)1 << 50, "a test", &block), CNNBN_ERR_MEMORY,
                 "1125899.9 GB wanted for a test; the limit of this host or job is");
    assert_null(block);
}

/* Known answers of Philox4x32-10 from Random123's kat_vectors. */
static void philox_known_answers(void **state)
{
    (void)state;
    uint32_t out[4];
    cnnbn_philox(0, 0, out);
    static const uint32_t zeros[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    check_same_bits("philox(0, 0)", out, zeros, sizeof zeros);
}

static void random_numbers_are_uniform_and_in_range(void **state)
{
    (void)state;
    uint64_t key = cnnbn_rng_key(7, CNNBN_RNG_TEST, 1, 2, 3);
    double sum = 0, normal_sum = 0, normal_squares = 0;
    enum { n = 20000 };
    int counts[7] = {0};
    for (uint64_t i = 0; i < n; i++) {
        float u = cnnbn_rng_uniform(key, i);
        assert_true(u >= 0 && u < 1);
        sum += (double)u;
        uint64_t k = cnnbn_rng_below(key, i, 7);
        assert_true(k < 7);
        counts[k]++;
        double z = cnnbn_rng_normal(key, i);
        normal_sum += z;
        normal_squares += z * z;
    }
    check_near("mean of uniform", sum / n, 0.5, 0.01);
    check_near("mean of normal", normal_sum / n, 0, 0.03);
    check_near("variance of normal", normal_squares / n, 1, 0.04);
    for (int k = 0; k < 7; k++) check_near("share", counts[k] / (double)n, 1 / 7.0, 0.01);
    assert_true(cnnbn_rng_key(1, CNNBN_RNG_INIT, 0, 0, 0) != cnnbn_rng_key(1, CNNBN_RNG_SHUFFLE, 0, 0, 0));
    assert_true(cnnbn_rng_key(1, CNNBN_RNG_INIT, 1, 0, 0) != cnnbn_rng_key(1, CNNBN_RNG_INIT, 0, 1, 0));
    uint64_t huge = cnnbn_rng_below(key, 5, (uint64_t)1 << 40);
    assert_true(huge < (uint64_t)1 << 40);
}

/* The tree by its definition, recursively. */
static float tree_by_definition(const float *leaf, int S, int level, int index)
{
    if (level == 0) return leaf[index];
    float left = tree_by_definition(leaf, S, level - 1, 2 * index);
    long right = (long)(2 * index + 1) << (level - 1);
    return right < S ? left + tree_by_definition(leaf, S, level - 1, 2 * index + 1) : left;
}

static float run_the_machine(const cnnbn_run *run, const float *leaf, float *stack)
{
    int height = 0;
    for (int s = 0; s < run->n_slices; s++) {
        stack[height++] = leaf[run->first + s];
        assert_true(height <= run->depth);
        for (int m = 0; m < run->n_merge[s]; m++) {
            stack[height - 2] += stack[height - 1];
            height--;
        }
    }
    assert_int_equal(height, run->n_nodes);
    return height ? stack[0] : 0;
}

/* Beta(a, a): mean 1/2, variance 1/(8a + 4), symmetric; the mass below a quarter by the distribution's closed forms. */
static void beta_has_its_moments(void **state)
{
    (void)state;
    enum { DRAWS = 40000 };
    const struct {
        double alpha, below_quarter;
    } cases[] = {{0.2, -1}, {0.5, 1.0 / 3}, {1, 0.25}, {2, 0.15625}, {40, -1}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        double a = cases[k].alpha, mean = 0, variance = 0, below = 0, above = 0, expected = 1 / (8 * a + 4);
        for (uint64_t i = 0; i < DRAWS; i++) {
            double w = cnnbn_rng_beta(cnnbn_rng_key(3, CNNBN_RNG_TEST, i, k, 0), a);
            assert_true(w >= 0 && w <= 1);
            mean += w / DRAWS;
            variance += (w - 0.5) * (w - 0.5) / DRAWS;
            below += w < 0.25;
            above += w > 0.75;
        }
        double spread = 5 * sqrt(0.25 / DRAWS); /* five standard deviations of the widest distribution on [0, 1] */
        check_near("mean", mean, 0.5, spread);
        check_near("variance", variance, expected, spread * expected * 2);
        check_near("both sides alike", below / DRAWS, above / DRAWS, 2 * spread);
        if (cases[k].below_quarter > 0) check_near("below 1/4", below / DRAWS, cases[k].below_quarter, spread);
    }
    double w = cnnbn_rng_beta(5, 1e-6); /* one side takes all */
    assert_true(w < 1e-9 || w > 1 - 1e-9);
    check_near("the same again", cnnbn_rng_beta(77, 0.4), cnnbn_rng_beta(77, 0.4), 0);
}

static void every_split_gives_the_tree(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 3, 5, 8, 13, 16, 31, 64, 100};
    float leaf[100];
    for (int i = 0; i < 100; i++) leaf[i] = (float)exp(10 * sin(i + 1.0)); /* unlike magnitudes: order shows */
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        int S = sizes[k], top = 0;
        while (1 << top < S) top++;
        float expected = tree_by_definition(leaf, S, top, 0);
        for (int parts = 1; parts <= 12; parts++) {
            float joined[CNNBN_TREE_DEPTH];
            cnnbn_node labels[CNNBN_TREE_DEPTH];
            int height = 0;
            for (int p = 0; p < parts; p++) {
                int first = cnnbn_part_begin(S, parts, p), count = cnnbn_part_begin(S, parts, p + 1) - first;
                int bounds[101];
                unsigned char merges[100];
                float stack[CNNBN_TREE_DEPTH];
                cnnbn_run run;
                cnnbn_run_fill(&run, 1000, S, first, count, bounds, merges);
                (void)run_the_machine(&run, leaf, stack);
                cnnbn_node nodes[CNNBN_TREE_DEPTH];
                assert_int_equal(cnnbn_tree_nodes(S, first, count, nodes), run.n_nodes);
                for (int e = 0; e < run.n_nodes; e++) {
                    joined[height] = stack[e];
                    int merged = cnnbn_tree_push(S, labels, &height, run.nodes[e]);
                    for (int m = merged; m > 0; m--) joined[height + m - 2] += joined[height + m - 1];
                }
            }
            assert_int_equal(height, 1);
            check_same_bits("root", joined, &expected, sizeof expected);
        }
    }
}

static void slices_cover_the_batch_once(void **state)
{
    (void)state;
    for (size_t n = 0; n < 70; n += 3)
        for (int S = 1; S < 40; S += 2) {
            assert_int_equal(cnnbn_slice_begin(n, S, 0), 0);
            assert_int_equal(cnnbn_slice_begin(n, S, S), n);
            for (int s = 0; s < S; s++) assert_true(cnnbn_slice_begin(n, S, s) <= cnnbn_slice_begin(n, S, s + 1));
        }
    assert_int_equal(cnnbn_slices_default(1), 1);
    assert_int_equal(cnnbn_slices_default(4), 1);
    assert_int_equal(cnnbn_slices_default(8), 2);
    assert_int_equal(cnnbn_slices_default(32), 8);
    assert_int_equal(cnnbn_slices_default(64), 8);
    assert_int_equal(cnnbn_slices_default(128), 16);
    assert_int_equal(cnnbn_slices_default(100), 8);
    assert_int_equal(cnnbn_slices_default((size_t)1 << 30), CNNBN_SLICES_MAX);
}

static void digest_tells_data_apart(void **state)
{
    (void)state;
    char text[2][CNNBN_DIGEST_TEXT];
    for (int k = 0; k < 2; k++) {
        cnnbn_digest *digest;
        check_ok(cnnbn_digest_create(&digest));
        cnnbn_digest_add_text(digest, k ? "ab" : "a");
        cnnbn_digest_add_text(digest, k ? "c" : "bc");
        cnnbn_digest_end(digest, text[k]);
    }
    assert_int_equal(strlen(text[0]), 32);
    assert_string_not_equal(text[0], text[1]);
    /* XXH3-128 of nothing, seed 0: from xxHash's own sanity tests. */
    cnnbn_digest *digest;
    check_ok(cnnbn_digest_create(&digest));
    cnnbn_digest_end(digest, text[0]);
    assert_string_equal(text[0], "99aa06d3014798d86001c324468d497f");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_codes_and_messages),
        cmocka_unit_test(allocation_is_checked_and_counted),
        cmocka_unit_test(memory_that_cannot_be_is_refused),
        cmocka_unit_test(pages_are_zero_aligned_and_apart),
        cmocka_unit_test(a_thread_is_bound_where_each_has_a_core),
        cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(random_numbers_are_uniform_and_in_range),
        cmocka_unit_test(beta_has_its_moments),
        cmocka_unit_test(every_split_gives_the_tree),
        cmocka_unit_test(slices_cover_the_batch_once),
        cmocka_unit_test(digest_tells_data_apart),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
