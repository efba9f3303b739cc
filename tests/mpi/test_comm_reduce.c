/* Reductions: the bits of the serial tree at every number of ranks, of slices and of elements. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cnnbn/memory.h"
#include "test_comm_ranks.h"

/* Slice s, element i: of very unlike magnitudes and both signs, so that another order of additions shows. */
static float leaf(int s, size_t i)
{
    uint64_t x = (uint64_t)i * 0x9e3779b97f4a7c15u + ((uint64_t)s + 1) * 0xbf58476d1ce4e5b9u;
    x ^= x >> 29;
    x *= 0x94d049bb133111ebu;
    x ^= x >> 32;
    return ldexpf((float)(int)(x & 0xffffff) - 8388608.0f, (int)(x >> 24 & 15) - 24);
}

static double leaf_f64(int s, size_t i)
{
    return (double)leaf(s, i) * 1.000000000123 + (double)leaf(s + 7777, i) * 0x1p-40;
}

/* The tree by its definition (slices.h), recursively: shares nothing with the engine. */
static double definition(int as_float, int S, int level, int index, size_t i)
{
    if (level == 0) return as_float ? (double)leaf(index, i) : leaf_f64(index, i);
    double left = definition(as_float, S, level - 1, 2 * index, i);
    long right = (long)(2 * index + 1) << (level - 1);
    if (right >= S) return left;
    double sum = left + definition(as_float, S, level - 1, 2 * index + 1, i);
    return as_float ? (double)(float)sum : sum; /* the sum of two floats in double rounds to the float sum */
}

static int top_level(int S)
{
    int top = 0;
    while (1 << top < S) top++;
    return top;
}

/* The value of node (level, index) of a run, from its leaves, by the same definition. */
static void fill_nodes_f32(const cnnbn_reducer *reducer, int S, float *nodes, size_t stride, size_t n)
{
    cnnbn_node labels[CNNBN_TREE_DEPTH];
    int count = cnnbn_tree_nodes(S, cnnbn_reducer_first_slice(reducer), cnnbn_reducer_n_slices(reducer), labels);
    expect(count == cnnbn_reducer_n_nodes(reducer), "%d nodes, expected %d", cnnbn_reducer_n_nodes(reducer), count);
    for (int e = 0; e < count; e++)
        for (size_t i = 0; i < n; i++)
            nodes[(size_t)e * stride + i] = (float)definition(1, S, labels[e].level, labels[e].index, i);
}

static void fill_nodes_f64(const cnnbn_reducer *reducer, int S, double *nodes, size_t stride, size_t n)
{
    cnnbn_node labels[CNNBN_TREE_DEPTH];
    int count = cnnbn_tree_nodes(S, cnnbn_reducer_first_slice(reducer), cnnbn_reducer_n_slices(reducer), labels);
    for (int e = 0; e < count; e++)
        for (size_t i = 0; i < n; i++)
            nodes[(size_t)e * stride + i] = definition(0, S, labels[e].level, labels[e].index, i);
}

static void *room(size_t n, size_t element)
{
    void *block = calloc(n ? n : 1, element);
    if (!block) cnnbn_comm_abort(ranks, 1, "no memory for a test");
    return block;
}

static int at_least_one(int n)
{
    return n > 0 ? n : 1;
}

static const int all_slices[] = {1, 2, 3, 5, 8, 13, 16, 64};

static void long_vector(cnnbn_reducer *reducer, int S, size_t n, int tight)
{
    size_t stride = tight ? n : n + 5, entries = (size_t)at_least_one(cnnbn_reducer_n_nodes(reducer));
    float *nodes = room(entries * stride + 1, sizeof *nodes), *expected = room(n, sizeof *expected);
    /* What a rank without slices holds must not matter. */
    for (size_t i = 0; i < stride; i++) nodes[i] = NAN;
    fill_nodes_f32(reducer, S, nodes, stride, n);
    nodes[entries * stride] = 42;
    for (size_t i = 0; i < n; i++) expected[i] = (float)definition(1, S, top_level(S), 0, i);
    cnnbn_request *request = NULL;
    size_t allocs = cnnbn_alloc_count();
    if (expect_ok(cnnbn_reduce_f32_start(reducer, nodes, stride, n, &request))) {
        expect_ok(cnnbn_reduce_progress(reducer));
        expect_ok(cnnbn_reduce_f32_wait(reducer, request));
    }
    expect(cnnbn_alloc_count() == allocs, "a reduction allocates");
    char what[80];
    (void)snprintf(what, sizeof what, "float sum, S = %d, n = %zu", S, n);
    expect_same_bits(what, nodes, expected, n * sizeof *nodes);
    expect(nodes[entries * stride] > 41, "%s writes past its nodes", what);
    free(nodes);
    free(expected);
}

static void long_vectors_have_the_trees_bits(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 7, 64, 1000, 100003};
    for (size_t k = 0; k < sizeof all_slices / sizeof *all_slices; k++) {
        cnnbn_reducer *reducer = NULL;
        if (expect_ok(cnnbn_reducer_create(ranks, CNNBN_REDUCE_ORDERED, all_slices[k], 100003, 1, &reducer)))
            for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
                long_vector(reducer, all_slices[k], lengths[l], l % 2);
        cnnbn_reducer_destroy(reducer);
        verdict();
    }
}

/* Longer than a segment, and more segments than lanes. */
static void many_segments_have_the_trees_bits(void **state)
{
    (void)state;
    static const int slices[] = {3, 8};
    for (size_t k = 0; k < sizeof slices / sizeof *slices; k++) {
        cnnbn_reducer *reducer = NULL;
        if (expect_ok(cnnbn_reducer_create(ranks, CNNBN_REDUCE_ORDERED, slices[k], 1500007, 1, &reducer)))
            long_vector(reducer, slices[k], 1500007, 0);
        cnnbn_reducer_destroy(reducer);
        verdict();
    }
}

static void short_vectors_have_the_trees_bits(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 7, 64, 1000, 100003};
    for (size_t k = 0; k < sizeof all_slices / sizeof *all_slices; k++) {
        int S = all_slices[k];
        cnnbn_reducer *reducer = NULL;
        if (!expect_ok(cnnbn_reducer_create(ranks, CNNBN_REDUCE_ORDERED, S, 1, 100003, &reducer))) continue;
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            size_t n = lengths[l], stride = n + l, n_extra = l % 3 ? 5 : 0;
            double *nodes = room((size_t)at_least_one(cnnbn_reducer_n_nodes(reducer)) * stride, sizeof *nodes);
            double *out = room(n, sizeof *out), *expected = room(n, sizeof *expected);
            double extra[5] = {1, cnnbn_comm_rank(ranks), 0x1p52 * (cnnbn_comm_rank(ranks) == 0), 0, -1};
            fill_nodes_f64(reducer, S, nodes, stride, n);
            for (size_t i = 0; i < n; i++) expected[i] = definition(0, S, top_level(S), 0, i);
            size_t allocs = cnnbn_alloc_count();
            expect_ok(cnnbn_reduce_f64(reducer, nodes, stride, n, out, n_extra ? extra : NULL, n_extra));
            expect(cnnbn_alloc_count() == allocs, "a small reduction allocates");
            char what[80];
            (void)snprintf(what, sizeof what, "double sum, S = %d, n = %zu", S, n);
            expect_same_bits(what, out, expected, n * sizeof *out);
            double size = cnnbn_comm_size(ranks), sums[5] = {size, size * (size - 1) / 2, 0x1p52, 0, -size};
            if (n_extra) expect_same_bits("what rides along", extra, sums, sizeof sums);
            free(nodes);
            free(out);
            free(expected);
        }
        cnnbn_reducer_destroy(reducer);
        verdict();
    }
}

/* Many under way, small reductions in between, ended in an order that differs from that of the starts. */
static void requests_do_not_mix(cnnbn_reduce_mode mode, int S)
{
    enum { n_requests = CNNBN_REDUCE_REQUESTS, longest = 300000 };
    static const size_t lengths[] = {0, 1, 5000, 77, longest, 33, 1024, 12345};
    cnnbn_reducer *reducer = NULL, *second = NULL;
    if (!expect_ok(cnnbn_reducer_create(ranks, mode, S, longest, 8, &reducer))) return;
    if (!expect_ok(cnnbn_reducer_create(ranks, mode, S, longest, 8, &second))) return;
    cnnbn_request *requests[n_requests] = {NULL};
    float *nodes[n_requests];
    size_t entries = (size_t)at_least_one(cnnbn_reducer_n_nodes(reducer));
    for (int k = 0; k < n_requests; k++) {
        size_t n = lengths[k % 8];
        nodes[k] = room(entries * n, sizeof **nodes);
        /* Sums of small integers are exact in any order: this test is about who gets which. */
        for (size_t i = 0; i < n && cnnbn_reducer_n_nodes(reducer); i++) nodes[k][i] = (float)((i + (size_t)k) % 1000);
        expect_ok(cnnbn_reduce_f32_start(k % 3 ? reducer : second, nodes[k], n, n, &requests[k]));
        double small[8 * CNNBN_TREE_DEPTH] = {0}, out[2] = {0, 0}, extra = k;
        for (int e = 0; e < cnnbn_reducer_n_nodes(reducer); e++) small[8 * e + 1] = e == 0;
        expect_ok(cnnbn_reduce_f64(reducer, small, 8, 2, out, &extra, 1));
        int owners = S < cnnbn_comm_size(ranks) ? S : cnnbn_comm_size(ranks);
        expect(out[0] >= 0 && out[0] <= 0 && (int)out[1] == owners && (int)extra == k * cnnbn_comm_size(ranks),
               "small reduction %d: %g %g %g", k, out[0], out[1], extra);
    }
    for (int k = n_requests - 1; k >= 0; k--) {
        expect_ok(cnnbn_reduce_f32_wait(k % 3 ? reducer : second, requests[k]));
        size_t n = lengths[k % 8], wrong = 0;
        int owners = S < cnnbn_comm_size(ranks) ? S : cnnbn_comm_size(ranks);
        for (size_t i = 0; i < n; i++) wrong += (size_t)nodes[k][i] != (i + (size_t)k) % 1000 * (size_t)owners;
        expect(!wrong, "request %d: %zu of %zu are wrong", k, wrong, n);
        free(nodes[k]);
    }
    double bytes = 0, calls = 0;
    cnnbn_reducer_traffic(reducer, &bytes, &calls);
    expect(cnnbn_comm_size(ranks) == 1 || (bytes > 0 && calls > 0), "traffic: %g bytes in %g messages", bytes, calls);
    cnnbn_reducer_destroy(reducer);
    cnnbn_reducer_destroy(second);
}

static void several_at_once_ordered(void **state)
{
    (void)state;
    static const int slices[] = {2, 3, 8, 13};
    for (size_t k = 0; k < sizeof slices / sizeof *slices; k++) {
        requests_do_not_mix(CNNBN_REDUCE_ORDERED, slices[k]);
        verdict();
    }
}

static void several_at_once_mpi(void **state)
{
    (void)state;
    requests_do_not_mix(CNNBN_REDUCE_MPI, 3);
    verdict();
    requests_do_not_mix(CNNBN_REDUCE_MPI, 16);
    verdict();
}

/* MPI's order is its own; any order of adding S numbers errs by less than (S-1) eps times the sum of magnitudes. */
static void mpi_mode_is_close(void **state)
{
    (void)state;
    static const int slices[] = {1, 3, 16};
    enum { n = 1000 };
    for (size_t k = 0; k < sizeof slices / sizeof *slices; k++) {
        int S = slices[k];
        cnnbn_reducer *reducer = NULL;
        if (!expect_ok(cnnbn_reducer_create(ranks, CNNBN_REDUCE_MPI, S, n, n, &reducer))) continue;
        size_t entries = (size_t)at_least_one(cnnbn_reducer_n_nodes(reducer));
        float *nodes = room(entries * n, sizeof *nodes);
        double *wide = room(entries * n, sizeof *wide), *out = room(n, sizeof *out), extra[2] = {1, 0};
        if (!cnnbn_reducer_n_nodes(reducer))
            for (size_t i = 0; i < n; i++) nodes[i] = NAN;
        fill_nodes_f32(reducer, S, nodes, n, n);
        fill_nodes_f64(reducer, S, wide, n, n);
        cnnbn_request *request = NULL;
        if (expect_ok(cnnbn_reduce_f32_start(reducer, nodes, n, n, &request))) {
            expect_ok(cnnbn_reduce_progress(reducer));
            expect_ok(cnnbn_reduce_f32_wait(reducer, request));
        }
        expect_ok(cnnbn_reduce_f64(reducer, wide, n, n, out, extra, 2));
        for (size_t i = 0; i < n; i++) {
            double sum = 0, sum_f64 = 0, magnitude = 0;
            for (int s = 0; s < S; s++) {
                sum += (double)leaf(s, i);
                sum_f64 += leaf_f64(s, i);
                magnitude += fabs(leaf_f64(s, i));
            }
            expect(fabs((double)nodes[i] - sum) <= S * (double)FLT_EPSILON * magnitude, "float [%zu] %g, expected %g",
                   i, (double)nodes[i], sum);
            expect(fabs(out[i] - sum_f64) <= S * DBL_EPSILON * magnitude, "double [%zu] %g, expected %g", i, out[i],
                   sum_f64);
        }
        expect((int)extra[0] == cnnbn_comm_size(ranks), "extra %g", extra[0]);
        cnnbn_reducer_destroy(reducer);
        free(nodes);
        free(wide);
        free(out);
        verdict();
    }
}

static void bad_arguments_are_refused_on_all(void **state)
{
    (void)state;
    cnnbn_reducer *reducer = NULL;
    cnnbn_request *request = NULL;
    expect_status(cnnbn_reducer_create(ranks, CNNBN_REDUCE_ORDERED, 0, 1, 1, &reducer), CNNBN_ERR_OPTION, "slices: 0");
    expect_status(cnnbn_reducer_create(ranks, CNNBN_REDUCE_ORDERED, 4097, 1, 1, &reducer), CNNBN_ERR_OPTION, "4096");
    expect_status(cnnbn_reducer_create(ranks, CNNBN_REDUCE_MPI, 8, (size_t)1 << 31, 1, &reducer), CNNBN_ERR_OPTION,
                  "2147483648 floats");
    expect_status(cnnbn_reducer_create(ranks, CNNBN_REDUCE_MPI, 8, 1, (size_t)1 << 31, &reducer), CNNBN_ERR_OPTION,
                  "2147483648 doubles");
    expect(reducer == NULL, "a reducer in spite of the failure");
    if (expect_ok(cnnbn_reducer_create(ranks, CNNBN_REDUCE_ORDERED, 8, 10, 10, &reducer))) {
        float nodes[11 * CNNBN_TREE_DEPTH] = {0};
        double small[11 * CNNBN_TREE_DEPTH] = {0}, out[11], extra[CNNBN_REDUCE_EXTRA + 1] = {0};
        expect_status(cnnbn_reduce_f32_start(reducer, nodes, 11, 11, &request), CNNBN_ERR_INTERNAL, "11 floats");
        expect_status(cnnbn_reduce_f64(reducer, small, 11, 11, out, NULL, 0), CNNBN_ERR_INTERNAL, "11 doubles");
        expect_status(cnnbn_reduce_f64(reducer, small, 1, 1, out, extra, CNNBN_REDUCE_EXTRA + 1), CNNBN_ERR_INTERNAL,
                      "beside");
        for (int k = 0; k < CNNBN_REDUCE_REQUESTS; k++)
            expect_ok(cnnbn_reduce_f32_start(reducer, nodes, 10, 0, &request));
        expect_status(cnnbn_reduce_f32_start(reducer, nodes, 10, 0, &request), CNNBN_ERR_INTERNAL, "more than 64");
    }
    cnnbn_reducer_destroy(reducer);
    cnnbn_reducer_destroy(NULL);
    verdict();
}

int main(int argc, char **argv)
{
    ranks_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_vectors_have_the_trees_bits),
        cmocka_unit_test(many_segments_have_the_trees_bits),
        cmocka_unit_test(short_vectors_have_the_trees_bits),
        cmocka_unit_test(several_at_once_ordered),
        cmocka_unit_test(several_at_once_mpi),
        cmocka_unit_test(mpi_mode_is_close),
        cmocka_unit_test(bad_arguments_are_refused_on_all),
    };
    return ranks_end(cmocka_run_group_tests_name("comm_reduce", tests, NULL, NULL));
}
