# What tests on many ranks share: failures are collected, the verdict is common.
add_library(cnnbn_test_ranks STATIC test_comm_ranks.c)
target_include_directories(cnnbn_test_ranks PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(cnnbn_test_ranks PUBLIC cnnbn_comm cnnbn_test_support PRIVATE cnnbn_flags)

cnnbn_add_test(comm SOURCES test_comm.c USES comm test_ranks RANKS 1 2 3 5 8)
cnnbn_add_test(comm_reduce SOURCES test_comm_reduce.c USES comm test_ranks RANKS 1 2 3 4 5 7 8 TIMEOUT 180)
