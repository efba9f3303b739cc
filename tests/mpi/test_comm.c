/* The ranks' handle: who and where, agreement, collectives, memory shared by a node. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cnnbn/memory.h"
#include "test_comm_ranks.h"

static void every_rank_knows_all(void **state)
{
    (void)state;
    int rank = cnnbn_comm_rank(ranks), size = cnnbn_comm_size(ranks);
    expect(rank >= 0 && rank < size, "rank %d of %d", rank, size);
    expect(cnnbn_comm_node_rank(ranks) < cnnbn_comm_node_size(ranks), "rank %d in the node",
           cnnbn_comm_node_rank(ranks));
    expect(cnnbn_comm_n_nodes(ranks) >= 1 && cnnbn_comm_n_nodes(ranks) <= size, "%d nodes", cnnbn_comm_n_nodes(ranks));
    for (int r = 0; r < size; r++) expect(cnnbn_comm_host(ranks, r)[0] != '\0', "host of rank %d is empty", r);
    expect(strstr(cnnbn_comm_library(ranks), "MPI") != NULL, "library: %s", cnnbn_comm_library(ranks));
    expect(!strchr(cnnbn_comm_library(ranks), '\n'), "library has more than one line");
    int64_t sums[2] = {rank, 1};
    expect_ok(cnnbn_comm_sum_i64(ranks, sums, 2));
    expect(sums[0] == (int64_t)size * (size - 1) / 2 && sums[1] == size, "ranks are not 0 .. size-1");
    verdict();
}

static void one_bad_rank_is_everyones_error(void **state)
{
    (void)state;
    int size = cnnbn_comm_size(ranks), rank = cnnbn_comm_rank(ranks);
    for (int bad = 0; bad < size; bad++) {
        (void)cnnbn_error(CNNBN_ERR_OPTION, "an older failure of rank %d", rank);
        cnnbn_status mine = bad == rank ? cnnbn_error(CNNBN_ERR_DATA, "labels of rank %d", bad) : CNNBN_OK;
        cnnbn_status status = cnnbn_comm_agree(ranks, mine);
        char expected[CNNBN_ERROR_MAX];
        (void)snprintf(expected, sizeof expected, "rank %d on %s: labels of rank %d", bad, cnnbn_comm_host(ranks, bad),
                       bad);
        expect_status(status, CNNBN_ERR_DATA, size > 1 ? expected : "labels of rank 0");
        expect(size == 1 || strcmp(cnnbn_error_message(), expected) == 0, "message: %s", cnnbn_error_message());
    }
    expect_ok(cnnbn_comm_agree(ranks, CNNBN_OK));
    verdict();
}

static void the_worst_of_several_wins(void **state)
{
    (void)state;
    int size = cnnbn_comm_size(ranks), rank = cnnbn_comm_rank(ranks);
    /* Rank 0 is well, rank 1 has the lesser failure, all others the worse one: the lowest of those speaks. */
    cnnbn_status mine = rank == 0 ? CNNBN_OK : rank == 1 ? CNNBN_ERR_MODEL : CNNBN_ERR_IO;
    if (mine != CNNBN_OK) mine = cnnbn_error(mine, "spoken by rank %d", rank);
    cnnbn_status status = cnnbn_comm_agree(ranks, mine);
    if (size == 1)
        expect_ok(status);
    else if (size == 2)
        expect_status(status, CNNBN_ERR_MODEL, "spoken by rank 1");
    else
        expect_status(status, CNNBN_ERR_IO, "spoken by rank 2");
    /* All failed: no rank is to blame, so none is named. */
    status = cnnbn_comm_agree(ranks, cnnbn_error(CNNBN_ERR_USAGE, "said by all, rank %d too", rank));
    expect_status(status, CNNBN_ERR_USAGE, "said by all, rank 0 too");
    expect(strncmp(cnnbn_error_message(), "said", 4) == 0, "message: %s", cnnbn_error_message());
    verdict();
}

static void unlike_texts_are_refused(void **state)
{
    (void)state;
    int size = cnnbn_comm_size(ranks), rank = cnnbn_comm_rank(ranks), last = size - 1;
    expect_ok(cnnbn_comm_same_text(ranks, "instruction set", "avx2"));
    expect_ok(cnnbn_comm_same_text(ranks, "nothing", ""));
    static const char *const pairs[][2] = {
        {"avx512", "avx2"}, {"abc", "abcdef"}, {"abcdef", "abc"}, {"", "x"}, {"x", ""}};
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs && size > 1; k++) {
        char first[64], other[64], who[200];
        (void)snprintf(first, sizeof first, "has \"%s\"", pairs[k][0]);
        (void)snprintf(other, sizeof other, "has \"%s\"", pairs[k][1]);
        (void)snprintf(who, sizeof who, "rank %d on %s", last, cnnbn_comm_host(ranks, last));
        cnnbn_status status = cnnbn_comm_same_text(ranks, "instruction set", pairs[k][rank == last]);
        expect_status(status, CNNBN_ERR_OPTION, "instruction set");
        expect_status(status, CNNBN_ERR_OPTION, first);
        expect_status(status, CNNBN_ERR_OPTION, other);
        expect_status(status, CNNBN_ERR_OPTION, who);
    }
    verdict();
}

static void long_texts_show_where_they_differ(void **state)
{
    (void)state;
    enum { length = 5000, at = 3333 };
    char *text = malloc(length + 1);
    assert_non_null(text);
    memset(text, 'a', length);
    text[length] = '\0';
    expect_ok(cnnbn_comm_same_text(ranks, "model", text));
    if (cnnbn_comm_rank(ranks) == cnnbn_comm_size(ranks) - 1) text[at] = 'Z';
    if (cnnbn_comm_size(ranks) > 1)
        expect_status(cnnbn_comm_same_text(ranks, "model", text), CNNBN_ERR_OPTION, "aaaZaaa");
    free(text);
    verdict();
}

static void data_come_from_the_root(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 1000, 3000001};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int root = 0; root < cnnbn_comm_size(ranks); root++) {
            size_t n = sizes[k], wrong = 0;
            unsigned char *data = malloc(n + 1);
            assert_non_null(data);
            for (size_t i = 0; i < n; i++)
                data[i] = cnnbn_comm_rank(ranks) == root ? (unsigned char)(i * 7 + (size_t)root) : 0xee;
            data[n] = 0x55;
            expect_ok(cnnbn_comm_bcast(ranks, data, n, root));
            for (size_t i = 0; i < n; i++) wrong += data[i] != (unsigned char)(i * 7 + (size_t)root);
            expect(!wrong && data[n] == 0x55, "%zu of %zu bytes from rank %d are wrong", wrong, n, root);
            free(data);
        }
    verdict();
}

static void gather_keeps_the_order_of_ranks(void **state)
{
    (void)state;
    int size = cnnbn_comm_size(ranks);
    int *all = malloc((size_t)size * 3 * sizeof *all);
    assert_non_null(all);
    int mine[3] = {cnnbn_comm_rank(ranks), 10 * cnnbn_comm_rank(ranks), -1};
    expect_ok(cnnbn_comm_gather_all(ranks, mine, sizeof mine, all));
    for (int r = 0; r < size; r++)
        expect(all[3 * r] == r && all[3 * r + 1] == 10 * r && all[3 * r + 2] == -1, "block of rank %d is wrong", r);
    expect_ok(cnnbn_comm_gather_all(ranks, NULL, 0, NULL));
    free(all);
    verdict();
}

static void sums_and_maxima(void **state)
{
    (void)state;
    int size = cnnbn_comm_size(ranks), rank = cnnbn_comm_rank(ranks);
    double sum[2] = {rank + 1, 0.5}, max[2] = {-rank, rank};
    expect_ok(cnnbn_comm_sum_f64(ranks, sum, 2));
    expect_ok(cnnbn_comm_max_f64(ranks, max, 2));
    expect_ok(cnnbn_comm_sum_f64(ranks, NULL, 0));
    expect_ok(cnnbn_comm_barrier(ranks));
    double total = 0.5 * size * (size + 1);
    expect(memcmp(&sum[0], &total, sizeof total) == 0, "sum %g, expected %g", sum[0], total);
    expect(max[0] >= 0 && max[1] >= size - 1 && max[1] <= size - 1, "maxima %g %g", max[0], max[1]);
    verdict();
}

static void a_node_shares_one_block(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 100, 1000003};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        size_t n = sizes[k], wrong = 0, dirty = 0;
        cnnbn_shared *shared = NULL;
        if (!expect_ok(cnnbn_shared_create(ranks, n, &shared))) break;
        unsigned char *data = cnnbn_shared_data(shared);
        expect(data != NULL && (uintptr_t)data % CNNBN_ALIGN == 0, "block of %zu at %p", n, (void *)data);
        for (size_t i = 0; i < n; i++) dirty += data[i] != 0;
        expect(!dirty, "%zu of %zu bytes are not zero", dirty, n);
        expect_ok(cnnbn_shared_fence(shared)); /* all have looked */
        for (int round = 1; round <= 3; round++) {
            if (cnnbn_comm_node_rank(ranks) == 0) memset(data, round, n);
            expect_ok(cnnbn_shared_fence(shared));
            for (size_t i = 0; i < n; i++) wrong += data[i] != (unsigned char)round;
            expect_ok(cnnbn_shared_fence(shared));
        }
        expect(!wrong, "%zu stale bytes of %zu", wrong, n);
        cnnbn_shared_destroy(shared);
    }
    cnnbn_shared_destroy(NULL);
    verdict();
}

static void a_block_that_is_too_large_fails_on_all(void **state)
{
    (void)state;
    cnnbn_shared *shared = NULL;
    cnnbn_status status = cnnbn_shared_create(ranks, SIZE_MAX - 5, &shared);
    expect_status(status, CNNBN_ERR_MEMORY, "bytes wanted");
    expect(shared == NULL, "a handle in spite of the failure");
    verdict();
}

static void a_handle_without_mpi(void **state)
{
    (void)state;
    cnnbn_comm *self = NULL;
    double value = 3;
    int copy = 0, seven = 7;
    cnnbn_shared *shared = NULL;
    if (expect_ok(cnnbn_comm_self(&self))) {
        expect(cnnbn_comm_size(self) == 1 && cnnbn_comm_rank(self) == 0 && cnnbn_comm_n_nodes(self) == 1,
               "not one rank");
        expect(strcmp(cnnbn_comm_library(self), "none") == 0, "library %s", cnnbn_comm_library(self));
        expect_ok(cnnbn_comm_barrier(self));
        expect_ok(cnnbn_comm_sum_f64(self, &value, 1));
        expect_ok(cnnbn_comm_gather_all(self, &seven, sizeof seven, &copy));
        expect(value >= 3 && value <= 3 && copy == 7, "values changed");
        expect_status(cnnbn_comm_agree(self, cnnbn_error(CNNBN_ERR_DATA, "alone")), CNNBN_ERR_DATA, "alone");
        if (expect_ok(cnnbn_shared_create(self, 0, &shared))) expect_ok(cnnbn_shared_fence(shared));
        cnnbn_shared_destroy(shared);
        cnnbn_comm_finalize(self);
    }
    cnnbn_comm_finalize(NULL);
    verdict();
}

int main(int argc, char **argv)
{
    ranks_begin(&argc, &argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rank_knows_all),
        cmocka_unit_test(one_bad_rank_is_everyones_error),
        cmocka_unit_test(the_worst_of_several_wins),
        cmocka_unit_test(unlike_texts_are_refused),
        cmocka_unit_test(long_texts_show_where_they_differ),
        cmocka_unit_test(data_come_from_the_root),
        cmocka_unit_test(gather_keeps_the_order_of_ranks),
        cmocka_unit_test(sums_and_maxima),
        cmocka_unit_test(a_node_shares_one_block),
        cmocka_unit_test(a_block_that_is_too_large_fails_on_all),
        cmocka_unit_test(a_handle_without_mpi),
    };
    return ranks_end(cmocka_run_group_tests_name("comm", tests, NULL, NULL));
}
