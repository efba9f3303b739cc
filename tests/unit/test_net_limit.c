/* Run with OMP_THREAD_LIMIT=1: more threads are refused, as a smaller team would leave slices undone. */
#include "check.h"
#include "net_case.h"
#include "net_models.h"

static void more_threads_than_openmp_gives(void **state)
{
    (void)state;
    cnnbn_comm *self;
    net_bench b;
    net_case c = net_case_default(net_model_yaml("example"));
    c.config.threads = 2;
    check_ok(cnnbn_comm_self(&self));
    check_status(net_bench_open(&b, &c, self, 8), CNNBN_ERR_OPTION, "OMP_THREAD_LIMIT");
    net_bench_close(&b);
    cnnbn_comm_finalize(self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(more_threads_than_openmp_gives)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
