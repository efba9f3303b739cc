cnnbn_add_test(sampler SOURCES test_sampler.c USES data)
