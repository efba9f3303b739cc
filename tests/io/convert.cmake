# Keras 3's files and ONNX; the tests make hostile archives with the same library, where it is there.
pkg_check_modules(LIBZIP QUIET IMPORTED_TARGET libzip)
foreach(name convert convert_hostile)
  cnnbn_add_test(${name} SOURCES test_${name}.c checkpoint_made.c scratch.c USES io LABELS io TIMEOUT 300)
  target_compile_definitions(test_${name} PRIVATE CNNBN_HAVE_LIBZIP=$<BOOL:${LIBZIP_FOUND}>
                                                  CNNBN_HAVE_ONNX=$<TARGET_EXISTS:cnnbn_onnx_proto>)
  if(LIBZIP_FOUND)
    target_link_libraries(test_${name} PRIVATE PkgConfig::LIBZIP)
  endif()
  if(TARGET cnnbn_onnx_proto)
    target_link_libraries(test_${name} PRIVATE cnnbn_onnx_proto)
  endif()
endforeach()
# HDF5 itself loses blocks over damaged files.
set_property(TEST convert_hostile APPEND PROPERTY
             ENVIRONMENT "LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/support/lsan_hdf5.supp:print_suppressions=0")
