/* PNG and JPEG files, and the resizing of what they hold. */
#include "cnnbn/image.h"
#include "fuzz_file.h"

/* Larger ones only cost time. */
static const long pixels_max = 1L << 20;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const char *path = fuzz_file(0, data, bytes);
    for (int channels = 0; channels <= 3; channels += channels ? 2 : 1) {
        cnnbn_image image, small;
        fuzz_check(cnnbn_image_load(path, channels, &image) != CNNBN_OK, image.pixels);
        if (image.pixels && (long)image.height * image.width <= pixels_max) {
            fuzz_check(cnnbn_image_resize(&image, 9, 14, &small) != CNNBN_OK, small.pixels);
            cnnbn_image_free(&small);
        }
        cnnbn_image_free(&image);
    }
    return 0;
}
