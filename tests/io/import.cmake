# Images and importers; the tests make their PNG, JPEG and gzip files with the same libraries.
foreach(name image import import_folder)
  cnnbn_add_test(${name} SOURCES test_${name}.c make_files.c USES io model PRIVATE PNG::PNG JPEG::JPEG ZLIB::ZLIB LABELS io)
endforeach()
