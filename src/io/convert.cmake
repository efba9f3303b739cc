# Files of other projects' formats. Both libraries are optional: without them the features are refused when asked for.
pkg_check_modules(LIBZIP QUIET IMPORTED_TARGET libzip)
if(LIBZIP_FOUND)
  message(STATUS "Keras 3 .keras files: libzip ${LIBZIP_VERSION}")
  target_link_libraries(cnnbn_io PRIVATE PkgConfig::LIBZIP)
else()
  message(STATUS "Keras 3 .keras files: none, libzip is not found (Debian: libzip-dev)")
endif()

pkg_check_modules(PROTOBUF_C QUIET IMPORTED_TARGET libprotobuf-c)
find_program(PROTOC_C_EXECUTABLE NAMES protoc-c)
if(PROTOBUF_C_FOUND AND PROTOC_C_EXECUTABLE)
  message(STATUS "ONNX files: protobuf-c ${PROTOBUF_C_VERSION}")
  set(onnx_proto ${PROJECT_SOURCE_DIR}/third_party/onnx)
  set(onnx_made ${CMAKE_CURRENT_BINARY_DIR}/onnx)
  add_custom_command(
    OUTPUT ${onnx_made}/onnx.pb-c.c ${onnx_made}/onnx.pb-c.h
    COMMAND ${CMAKE_COMMAND} -E make_directory ${onnx_made}
    COMMAND ${PROTOC_C_EXECUTABLE} --proto_path=${onnx_proto} --c_out=${onnx_made} onnx.proto
    DEPENDS ${onnx_proto}/onnx.proto
    COMMENT "ONNX' file format as C")
  # Made by a program: without this project's warnings; its header is a system's one to those who include it.
  add_library(cnnbn_onnx_proto STATIC ${onnx_made}/onnx.pb-c.c ${onnx_made}/onnx.pb-c.h)
  target_include_directories(cnnbn_onnx_proto SYSTEM PUBLIC ${onnx_made})
  target_link_libraries(cnnbn_onnx_proto PUBLIC PkgConfig::PROTOBUF_C)
  if(CNNBN_SANITIZE)
    target_compile_options(cnnbn_onnx_proto PRIVATE -fsanitize=${CNNBN_SANITIZE} -fno-omit-frame-pointer)
  endif()
  target_sources(cnnbn_io PRIVATE onnx_graph.c onnx_emit.c onnx_nodes.c onnx_plain.c onnx_write.c)
  target_link_libraries(cnnbn_io PRIVATE cnnbn_onnx_proto)
else()
  set(PROTOBUF_C_FOUND FALSE)
  message(STATUS "ONNX files: none, protobuf-c or its compiler is not found (Debian: libprotobuf-c-dev protobuf-c-compiler)")
  target_sources(cnnbn_io PRIVATE onnx_none.c)
endif()

target_sources(cnnbn_io PRIVATE h5_image.c keras_zip.c keras_read.c keras_write.c keras3_order.c keras3_weights.c nested_order.c
               convert.c)
target_compile_definitions(cnnbn_io PRIVATE CNNBN_HAVE_LIBZIP=$<BOOL:${LIBZIP_FOUND}>)
