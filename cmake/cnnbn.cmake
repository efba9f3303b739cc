# Helpers of the build: one library a folder, the third parties as imported targets, tests.

# Warnings and floating-point rules for every target. Cut messages are meant (snprintf), hence no -Wformat-truncation.
# -ffp-contract=off: a product and a sum are rounded apart unless
# the source asks for a fused operation, so that bits do not depend on the compiler's mood.
add_library(cnnbn_flags INTERFACE)
target_compile_options(cnnbn_flags INTERFACE -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes
                                             -Wvla -Wpointer-arith -Wundef $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation> -ffp-contract=off -fno-math-errno)
if(CNNBN_WERROR)
  target_compile_options(cnnbn_flags INTERFACE -Werror)
endif()
if(CNNBN_SANITIZE)
  target_compile_options(cnnbn_flags INTERFACE -fsanitize=${CNNBN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  target_link_options(cnnbn_flags INTERFACE -fsanitize=${CNNBN_SANITIZE})
endif()

# cnnbn_add_library(FOLDER SOURCES a.c ... USES base kernels ... PRIVATE third::party ...)
# Static library cnnbn_FOLDER; other folders of cnnbn are public, third parties private.
function(cnnbn_add_library folder)
  cmake_parse_arguments(arg "" "" "SOURCES;USES;PRIVATE" ${ARGN})
  add_library(cnnbn_${folder} STATIC ${arg_SOURCES})
  target_include_directories(cnnbn_${folder} PUBLIC ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/generated
                                             PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  list(TRANSFORM arg_USES PREPEND cnnbn_ OUTPUT_VARIABLE uses)
  target_link_libraries(cnnbn_${folder} PUBLIC ${uses} PRIVATE cnnbn_flags ${arg_PRIVATE})
endfunction()

# OpenBLAS by pkg-config: its own cblas.h is wanted (openblas_get_corename), not another BLAS'.
function(cnnbn_find_openblas)
  pkg_check_modules(OPENBLAS REQUIRED GLOBAL IMPORTED_TARGET openblas)
  add_library(cnnbn_openblas INTERFACE)
  target_link_libraries(cnnbn_openblas INTERFACE PkgConfig::OPENBLAS)
endfunction()

# Serial HDF5, even where the parallel one is installed beside it.
function(cnnbn_find_hdf5_serial)
  pkg_check_modules(HDF5_SERIAL QUIET GLOBAL IMPORTED_TARGET hdf5-serial)
  add_library(cnnbn_hdf5 INTERFACE)
  if(HDF5_SERIAL_FOUND)
    target_link_libraries(cnnbn_hdf5 INTERFACE PkgConfig::HDF5_SERIAL)
  else()
    set(HDF5_PREFER_PARALLEL FALSE)
    find_package(HDF5 REQUIRED COMPONENTS C)
    if(HDF5_IS_PARALLEL)
      message(FATAL_ERROR "cnnbn wants serial HDF5 (Debian: libhdf5-dev); found a parallel one in ${HDF5_INCLUDE_DIRS}")
    endif()
    target_include_directories(cnnbn_hdf5 INTERFACE ${HDF5_C_INCLUDE_DIRS})
    target_link_libraries(cnnbn_hdf5 INTERFACE ${HDF5_C_LIBRARIES})
  endif()
endfunction()

# cnnbn_add_test(NAME SOURCES ... [USES kernels ...] [PRIVATE third::party ...] [RANKS 1 2 3] [LABELS ...]
#                [TIMEOUT seconds] [ENV "A=b" ...])
# A cmocka program of its own. With RANKS it is run by mpirun once for each number of ranks, oversubscribed where need be,
# as test NAME-npN.
function(cnnbn_add_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;USES;PRIVATE;RANKS;LABELS;ENV" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 60)
  endif()
  add_executable(test_${name} ${arg_SOURCES})
  list(TRANSFORM arg_USES PREPEND cnnbn_ OUTPUT_VARIABLE uses)
  target_link_libraries(test_${name} PRIVATE ${uses} cnnbn_test_support cnnbn_flags ${arg_PRIVATE})
  set_target_properties(test_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  if(arg_RANKS)
    foreach(n ${arg_RANKS})
      add_test(NAME ${name}-np${n} COMMAND ${PROJECT_SOURCE_DIR}/scripts/mpirun.sh ${n} $<TARGET_FILE:test_${name}>)
      cnnbn_test_properties(${name}-np${n} ${n} "${arg_TIMEOUT}" "${arg_LABELS};mpi" "${arg_ENV}")
    endforeach()
  else()
    add_test(NAME ${name} COMMAND test_${name})
    cnnbn_test_properties(${name} 1 "${arg_TIMEOUT}" "${arg_LABELS}" "${arg_ENV}")
  endif()
endfunction()

# cnnbn_add_script_test(NAME script.sh [PROCESSORS n] [LABELS ...] [TIMEOUT s] [ARGS ...])
# A shell script that ends with 0 when all is well; 77 means skipped (the reason on its last line). It finds the programs
# in $CNNBN_BIN, the source tree in $CNNBN_SOURCE, and `$CNNBN_MPIRUN N command` runs a command on N ranks. One processor unless it
# says more: most of a script's time is starts and waiting, in which its ranks give their cores away.
function(cnnbn_add_script_test name script)
  cmake_parse_arguments(arg "" "TIMEOUT;PROCESSORS" "LABELS;ARGS;ENV" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  if(NOT arg_PROCESSORS)
    set(arg_PROCESSORS 1)
  endif()
  add_test(NAME ${name} COMMAND bash ${CMAKE_CURRENT_SOURCE_DIR}/${script} ${arg_ARGS})
  cnnbn_test_properties(${name} ${arg_PROCESSORS} "${arg_TIMEOUT}" "${arg_LABELS}" "${arg_ENV}")
  set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77)
endfunction()

# The environment of the tests. Starts take most of their time, and a daemon takes most of a start without mpirun under Open MPI (ess).
# Ranks and threads that wait give their core away: others run beside them. The slow unwinder: libraries without frame pointers would
# hide from the suppressions.
set(cnnbn_test_environment
  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  OMPI_MCA_ess_singleton_isolated=1 OMPI_MCA_mpi_yield_when_idle=1
  OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
  LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/support/lsan.supp:print_suppressions=0 ASAN_OPTIONS=fast_unwind_on_malloc=0
  CNNBN_BIN=${CMAKE_BINARY_DIR}/bin CNNBN_SOURCE=${PROJECT_SOURCE_DIR} CNNBN_MPIRUN=${PROJECT_SOURCE_DIR}/scripts/mpirun.sh)

# What may take long begins first (COST): else a core idles at the end.
function(cnnbn_test_properties test processors timeout labels environment)
  list(REMOVE_ITEM labels "")
  set_tests_properties(${test} PROPERTIES TIMEOUT ${timeout} COST ${timeout} PROCESSORS ${processors} LABELS "${labels}"
    ENVIRONMENT "${cnnbn_test_environment};${environment}")
endfunction()
