# The texts of other programs that the tests read.
set(model_golden CNNBN_TEST_GOLDEN=${PROJECT_SOURCE_DIR}/tests/golden/keras_json)
foreach(part "" _keras _refused _lower _hostile)
  cnnbn_add_test(model${part} SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_model${part}.c USES model ENV ${model_golden} TIMEOUT 300)
endforeach()
