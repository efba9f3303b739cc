# Convolution and dense layers by OpenBLAS. The loops around its products come from simd/elementwise.cmake.
target_sources(cnnbn_kernels PRIVATE blas/blas_conv.c blas/blas_conv_bwd.c blas/blas_dense.c blas/blas_table.c)
target_include_directories(cnnbn_kernels PRIVATE blas simd)
target_link_libraries(cnnbn_kernels PRIVATE cnnbn_openblas)
target_compile_definitions(cnnbn_kernels PRIVATE CNNBN_HAVE_BLAS)
