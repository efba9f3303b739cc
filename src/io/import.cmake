# Importers and image files: the only sources that need zlib, libpng and libjpeg.
target_sources(cnnbn_io PRIVATE import_write.c import_idx.c import_cifar.c import_folder.c import_subset.c
                                image.c image_png.c image_jpeg.c)
target_link_libraries(cnnbn_io PRIVATE ZLIB::ZLIB PNG::PNG JPEG::JPEG)
