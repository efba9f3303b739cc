# Element-wise kernels: the same sources once per instruction set, each an object library of its own so that no function
# compiled for a wider set can be picked by the linker for a narrower one.
set(ew_sources elementwise.c ew_activation.c ew_batchnorm.c ew_bn_sums.c ew_direct.c ew_image.c ew_input.c ew_loss.c ew_merge.c ew_norm.c ew_optimizer.c
               ew_panel.c ew_pool.c ew_resize.c ew_window.c)
list(TRANSFORM ew_sources PREPEND simd/)

# -fno-trapping-math: a comparison may be turned into a blend; no value changes. Clang warns of a loop that was marked for
# vectorisation and calls libm (GELU's).
function(cnnbn_add_elementwise isa)
  string(TOUPPER ${isa} upper)
  set(target cnnbn_kernels_elementwise_${isa})
  add_library(${target} OBJECT ${ew_sources})
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR}/simd
                                               ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(${target} PRIVATE cnnbn_flags)
  target_compile_definitions(${target} PRIVATE CNNBN_ISA_SUFFIX=${isa})
  target_compile_options(${target} PRIVATE -fno-trapping-math $<$<C_COMPILER_ID:Clang>:-Wno-pass-failed>
                                            ${ARGN})
  target_sources(cnnbn_kernels PRIVATE $<TARGET_OBJECTS:${target}>)
  target_compile_definitions(cnnbn_kernels PRIVATE CNNBN_HAVE_SIMD_${upper})
endfunction()

set_source_files_properties(simd/ew_bn_sums.c simd/ew_direct.c simd/ew_panel.c PROPERTIES COMPILE_OPTIONS -ffp-contract=fast)
target_include_directories(cnnbn_kernels PRIVATE simd)

cnnbn_add_elementwise(baseline)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  cnnbn_add_elementwise(avx2 -mavx2 -mfma)
  cnnbn_add_elementwise(avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mprefer-vector-width=512)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  cnnbn_add_elementwise(neon)
endif()
