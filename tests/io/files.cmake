cnnbn_add_test(dataset SOURCES test_dataset.c scratch.c USES io PRIVATE cnnbn_hdf5 LABELS io)
cnnbn_add_test(stream SOURCES test_stream.c scratch.c USES io PRIVATE cnnbn_hdf5 LABELS io)
cnnbn_add_test(checkpoint SOURCES test_checkpoint.c checkpoint_made.c scratch.c USES io PRIVATE cnnbn_hdf5 LABELS io)
add_test(NAME checkpoint-long COMMAND test_checkpoint)
cnnbn_test_properties(checkpoint-long 1 300 "io;long" "CNNBN_TEST_LONG=1")

add_executable(checkpoint_tool checkpoint_tool.c checkpoint_made.c)
target_link_libraries(checkpoint_tool PRIVATE cnnbn_io cnnbn_flags)
set_target_properties(checkpoint_tool PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
cnnbn_add_script_test(checkpoint_faults test_checkpoint_faults.sh LABELS io TIMEOUT 300
  ENV "CNNBN_CHECKPOINT_TOOL=${CMAKE_BINARY_DIR}/tests/checkpoint_tool")

cnnbn_add_test(trial SOURCES test_trial.c checkpoint_made.c scratch.c USES io LABELS io TIMEOUT 120)
target_include_directories(test_trial PRIVATE ${PROJECT_SOURCE_DIR}/src/io)
add_test(NAME trial-long COMMAND test_trial)
cnnbn_test_properties(trial-long 1 600 "io;long" "CNNBN_TEST_LONG=1")
# HDF5 itself loses blocks over damaged files.
set_property(TEST trial trial-long APPEND PROPERTY
             ENVIRONMENT "LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/support/lsan_hdf5.supp:print_suppressions=0")
