# The vector kernels of the convolution and the dense layer: every source compiled once an instruction set.
set(simd_conv_sources conv_table.c conv_tile.c conv_core.c conv_direct.c conv_direct_dw.c conv_direct_few.c
                      conv_depthwise.c conv_winograd.c conv_winograd_cut.c conv_winograd_input.c conv_winograd_overlap.c
                      conv_winograd_fwd.c conv_winograd_bwd.c dense_fwd.c dense_few.c dense_few_weights.c dense_bwd.c)
list(TRANSFORM simd_conv_sources PREPEND ${CMAKE_CURRENT_LIST_DIR}/)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(simd_conv_sets baseline avx2 avx512)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(simd_conv_sets baseline neon)
else()
  set(simd_conv_sets baseline)
endif()
set(simd_conv_flags_baseline "")
set(simd_conv_flags_neon "")
set(simd_conv_flags_avx2 -mavx2 -mfma)
set(simd_conv_flags_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma)

foreach(isa ${simd_conv_sets})
  add_library(cnnbn_simd_conv_${isa} OBJECT ${simd_conv_sources})
  target_include_directories(cnnbn_simd_conv_${isa} PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/generated
                                                            ${CMAKE_CURRENT_LIST_DIR}/..)
  target_link_libraries(cnnbn_simd_conv_${isa} PRIVATE cnnbn_flags)
  target_compile_options(cnnbn_simd_conv_${isa} PRIVATE ${simd_conv_flags_${isa}})
  target_compile_definitions(cnnbn_simd_conv_${isa} PRIVATE CNNBN_ISA_SUFFIX=${isa})
  target_sources(cnnbn_kernels PRIVATE $<TARGET_OBJECTS:cnnbn_simd_conv_${isa}>)
endforeach()
target_compile_definitions(cnnbn_kernels PRIVATE CNNBN_HAVE_SIMD_CONV)
