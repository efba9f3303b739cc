# The net on many ranks. (cnnbn_test_net is made in tests/unit.)
cnnbn_add_test(net_ranks SOURCES test_net_ranks.c USES nn test_ranks PRIVATE cnnbn_test_net RANKS 1 2 3 5 8 LABELS net TIMEOUT 180
               ENV OMP_WAIT_POLICY=PASSIVE)
cnnbn_add_script_test(net_feed test_net_feed.sh PROCESSORS 3 LABELS mpi net)
add_library(mpi_fault SHARED mpi_fault.c)
target_link_libraries(mpi_fault PRIVATE MPI::MPI_C cnnbn_flags)
set_target_properties(mpi_fault PROPERTIES C_VISIBILITY_PRESET default LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
cnnbn_add_script_test(mpi_fault test_mpi_fault.sh PROCESSORS 3 LABELS mpi net ARGS $<TARGET_FILE:mpi_fault>)
