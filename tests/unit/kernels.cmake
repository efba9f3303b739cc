cnnbn_add_test(kernels_ref SOURCES test_kernels_ref.c USES kernels PRIVATE cnnbn_test_kernels LABELS kernels)
cnnbn_add_test(losses_ref SOURCES test_losses_ref.c USES kernels PRIVATE cnnbn_test_kernels LABELS kernels)
cnnbn_add_test(kernels_image SOURCES test_kernels_image.c USES kernels PRIVATE cnnbn_test_kernels LABELS kernels)
cnnbn_add_test(kernels_tables SOURCES test_kernels_tables.c USES kernels PRIVATE cnnbn_test_kernels TIMEOUT 300 LABELS kernels)
