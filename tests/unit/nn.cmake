# The compiled net beside a naive evaluator in double.
add_library(cnnbn_test_net STATIC ${PROJECT_SOURCE_DIR}/tests/support/net_reference.c
            ${PROJECT_SOURCE_DIR}/tests/support/net_reference_layers.c
            ${PROJECT_SOURCE_DIR}/tests/support/net_models.c ${PROJECT_SOURCE_DIR}/tests/support/net_case.c)
target_link_libraries(cnnbn_test_net PUBLIC cnnbn_nn cnnbn_test_support PRIVATE cnnbn_flags m)
foreach(part reference grad step infer)
  cnnbn_add_test(net_${part} SOURCES test_net_${part}.c USES nn PRIVATE cnnbn_test_net LABELS net TIMEOUT 300)
endforeach()
target_link_options(test_net_infer PRIVATE "LINKER:--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=posix_memalign,--wrap=aligned_alloc")
cnnbn_add_test(net_limit SOURCES test_net_limit.c USES nn PRIVATE cnnbn_test_net LABELS net ENV OMP_THREAD_LIMIT=1)
cnnbn_add_test(net_losses SOURCES test_net_losses.c USES nn LABELS net TIMEOUT 300
               ENV CNNBN_TEST_GOLDEN=${PROJECT_SOURCE_DIR}/tests/golden/keras_losses.txt)
