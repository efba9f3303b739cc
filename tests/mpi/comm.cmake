# What tests on many ranks share: failures are collected, the verdict is common.
add_library(cnnbn_test_ranks STATIC test_comm_ranks.c)
target_include_directories(cnnbn_test_ranks PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(cnnbn_test_ranks PUBLIC cnnbn_comm cnnbn_test_support PRIVATE cnnbn_flags)

cnnbn_add_test(comm SOURCES test_comm.c USES comm test_ranks RANKS 1 2 3 5 8)
cnnbn_add_test(comm_reduce SOURCES test_comm_reduce.c USES comm test_ranks RANKS 1 2 3 4 5 7 8 TIMEOUT 180)

# Not a cmocka program: it is meant to end badly.
add_executable(test_comm_abort test_comm_abort.c)
target_link_libraries(test_comm_abort PRIVATE cnnbn_comm cnnbn_flags)
set_target_properties(test_comm_abort PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
cnnbn_add_script_test(comm_abort comm_abort.sh LABELS mpi ARGS $<TARGET_FILE:test_comm_abort>)
