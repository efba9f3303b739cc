/* Files that the tests of importers make: a scratch folder, raw bytes, PNG and JPEG. Each fails the test when it cannot. */
#ifndef CNNBN_TEST_MAKE_FILES_H
#define CNNBN_TEST_MAKE_FILES_H

#include <stddef.h>
#include <stdint.h>

/* cmocka's group setup and teardown: a new empty folder, removed with all that is in it. */
int scratch_setup(void **state);
int scratch_teardown(void **state);

/* Path of a name in the scratch folder, its parent folders made. It stays until the program ends. */
const char *scratch(const char *format, ...) __attribute__((format(printf, 1, 2)));

int file_exists(const char *path);
void write_bytes(const char *path, const void *bytes, size_t n);
void write_gzip(const char *path, const void *bytes, size_t n);
/* The whole file; n bytes, freed by free(). */
uint8_t *read_bytes(const char *path, size_t *n);

typedef struct png_kind {
    int type; /* PNG_COLOR_TYPE_... */
    int bits; /* of a channel */
    int interlaced;
    int palette; /* entries of a palette, entry k being (k, 2 k, 255 - k), entry 0 transparent */
} png_kind;
/* rows: packed as PNG wants them, row_bytes each */
void write_png(const char *path, int height, int width, png_kind kind, const uint8_t *rows, size_t row_bytes);
/* 8 bits, 1 or 3 channels */
void write_plain_png(const char *path, int height, int width, int channels, const uint8_t *pixels);
/* channels: 1, 3, or 4 for CMYK as it is */
void write_jpeg(const char *path, int height, int width, int channels, int quality, int progressive,
                const uint8_t *pixels);

#endif
