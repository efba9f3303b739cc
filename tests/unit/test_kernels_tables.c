/* Every kernel table this CPU can run, beside `ref`. */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "kernel_cases.h"

enum { SEED = 20260, TABLES_MAX = 16, CONV_CASES = 150, CASES = 150, WIDE_CASES = 3, MIXED_CASES = 3 };

typedef void (*cases)(const cnnbn_kernels *table, int n_cases, uint64_t seed);

/* Tables that differ, ref among them: it is compared with itself to try the harness. */
static int distinct_tables(const cnnbn_kernels **tables)
{
    int n = 0;
    for (const char *const *name = cnnbn_kernels_names(); *name; name++) {
        const cnnbn_kernels *table;
        check_ok(cnnbn_kernels_get(*name, &table));
        int known = 0;
        for (int t = 0; t < n; t++) known = known || tables[t] == table;
        if (!known && n < TABLES_MAX) tables[n++] = table;
    }
    return n;
}

static void for_each_table(cases run, int n_cases)
{
    const cnnbn_kernels *tables[TABLES_MAX];
    int n = distinct_tables(tables);
    for (int t = 0; t < n; t++) run(tables[t], n_cases, SEED);
}

static void conv_of_all(cnnbn_conv_algo algo, int n_cases)
{
    const cnnbn_kernels *tables[TABLES_MAX];
    int n = distinct_tables(tables);
    for (int t = 0; t < n; t++) {
        kernel_cases_conv(tables[t], algo, n_cases, SEED + (uint64_t)algo);
        kernel_cases_conv_nonfinite(tables[t], algo, n_cases / 4, SEED + 100 + (uint64_t)algo);
    }
}

static void convolution_by_choice(void **state)
{
    (void)state;
    conv_of_all(CNNBN_CONV_AUTO, CONV_CASES);
}

static void convolution_direct(void **state)
{
    (void)state;
    conv_of_all(CNNBN_CONV_DIRECT, CONV_CASES);
}

static void convolution_winograd(void **state)
{
    (void)state;
    conv_of_all(CNNBN_CONV_WINOGRAD, CONV_CASES);
}

static void convolution_wide(void **state)
{
    (void)state;
    for_each_table(kernel_cases_conv_wide, WIDE_CASES);
}

static void convolution_mixed(void **state)
{
    (void)state;
    for_each_table(kernel_cases_conv_mixed, MIXED_CASES);
}

static void convolution_blas(void **state)
{
    (void)state;
    conv_of_all(CNNBN_CONV_BLAS, CONV_CASES);
}

static void dense(void **state)
{
    (void)state;
    for_each_table(kernel_cases_dense, CASES);
}

static void batch_norm(void **state)
{
    (void)state;
    for_each_table(kernel_cases_batchnorm, CASES);
}

static void images(void **state)
{
    (void)state;
    for_each_table(kernel_cases_image, 2 * CASES);
}

static void activations(void **state)
{
    (void)state;
    for_each_table(kernel_cases_activation, 20 * KERNEL_CASES_ACTS);
}

static void pools(void **state)
{
    (void)state;
    for_each_table(kernel_cases_pool, CASES);
}

static void losses(void **state)
{
    (void)state;
    for_each_table(kernel_cases_loss, CASES);
}

static void elementwise(void **state)
{
    (void)state;
    for_each_table(kernel_cases_elementwise, CASES);
}

static void merges_and_normalisations(void **state)
{
    (void)state;
    for_each_table(kernel_cases_merge, CASES);
}

static void optimizers(void **state)
{
    (void)state;
    for_each_table(kernel_cases_optimizer, CASES);
}

static void names_lead_to_tables(void **state)
{
    (void)state;
    const cnnbn_kernels *table;
    for (const char *const *name = cnnbn_kernels_names(); *name; name++) {
        check_ok(cnnbn_kernels_get(*name, &table));
        assert_true(cnnbn_cpu_supports(table->isa));
        if (strcmp(*name, "auto") != 0 && strcmp(*name, "simd") != 0) assert_string_equal(table->name, *name);
        /* No entry is missing: the table ends in pointers to functions only. */
        const char *first = (const char *)&table->conv_plan, *end = (const char *)(table + 1);
        for (void *entry; first < end; first += sizeof entry) {
            memcpy(&entry, first, sizeof entry);
            assert_non_null(entry);
        }
    }
    check_status(cnnbn_kernels_get("simd-mmx", &table), CNNBN_ERR_OPTION, "simd-mmx");
    check_status(cnnbn_kernels_get("simd-mmx", &table), CNNBN_ERR_OPTION, "ref");
    assert_null(table);
    assert_string_equal(cnnbn_conv_algo_name(CNNBN_CONV_WINOGRAD), "winograd");
}

int main(void)
{
    cnnbn_blas_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_lead_to_tables),
        cmocka_unit_test(convolution_by_choice),
        cmocka_unit_test(convolution_direct),
        cmocka_unit_test(convolution_winograd),
        cmocka_unit_test(convolution_wide),
        cmocka_unit_test(convolution_mixed),
        cmocka_unit_test(convolution_blas),
        cmocka_unit_test(dense),
        cmocka_unit_test(batch_norm),
        cmocka_unit_test(activations),
        cmocka_unit_test(images),
        cmocka_unit_test(pools),
        cmocka_unit_test(losses),
        cmocka_unit_test(elementwise),
        cmocka_unit_test(merges_and_normalisations),
        cmocka_unit_test(optimizers),
    };
    return cmocka_run_group_tests_name("kernels_tables", tests, NULL, NULL);
}
