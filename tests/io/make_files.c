#define _XOPEN_SOURCE 700 /* nftw */
#define _DEFAULT_SOURCE
#include "make_files.h"

#include <ftw.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <jpeglib.h> /* after stdio.h, which it needs */

#include "check.h"

static char folder[256];

int scratch_setup(void **state)
{
    (void)state;
    const char *parent = getenv("TMPDIR");
    (void)snprintf(folder, sizeof folder, "%s/cnnbn-XXXXXX", parent && *parent ? parent : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *about, int kind, struct FTW *place)
{
    (void)about;
    (void)kind;
    (void)place;
    return remove(path);
}

int scratch_teardown(void **state)
{
    (void)state;
    return nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *scratch(const char *format, ...)
{
    static char pool[1 << 20];
    static size_t used;
    char *path = pool + used, name[200];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(name, sizeof name, format, args);
    va_end(args);
    used += strlen(folder) + strlen(name) + 2;
    assert_true(used <= sizeof pool);
    (void)sprintf(path, "%s/%s", folder, name);
    for (char *slash = strchr(path + strlen(folder) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0777);
        *slash = '/';
    }
    return path;
}

int file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

void write_bytes(const char *path, const void *bytes, size_t n)
{
    (void)remove(path); /* some file systems wait for the disk when a file is cut and written again */
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    if (n) assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

void write_gzip(const char *path, const void *bytes, size_t n)
{
    gzFile file = gzopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, bytes, (unsigned)n), n);
    assert_int_equal(gzclose(file), Z_OK);
}

uint8_t *read_bytes(const char *path, size_t *n)
{
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    *n = (size_t)about.st_size;
    uint8_t *bytes = malloc(*n + 1);
    FILE *file = fopen(path, "rb");
    assert_non_null(bytes);
    assert_non_null(file);
    assert_int_equal(fread(bytes, 1, *n, file), *n);
    (void)fclose(file);
    return bytes;
}

void write_png(const char *path, int height, int width, png_kind kind, const uint8_t *rows, size_t row_bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_init_io(png, file);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, kind.bits, kind.type,
                 kind.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    if (kind.palette) {
        png_color colours[256];
        for (int k = 0; k < kind.palette; k++)
            colours[k] = (png_color){(png_byte)k, (png_byte)(2 * k), (png_byte)(255 - k)};
        png_byte transparent = 0;
        png_set_PLTE(png, info, colours, kind.palette);
        png_set_tRNS(png, info, &transparent, 1, NULL);
    }
    png_bytep *list = calloc((size_t)height, sizeof *list);
    assert_non_null(list);
    for (int y = 0; y < height; y++) list[y] = (png_bytep)(uintptr_t)(rows + (size_t)y * row_bytes);
    png_write_info(png, info);
    png_write_image(png, list);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    free(list);
    assert_int_equal(fclose(file), 0);
}

void write_plain_png(const char *path, int height, int width, int channels, const uint8_t *pixels)
{
    png_kind kind = {.type = channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, .bits = 8};
    write_png(path, height, width, kind, pixels, (size_t)width * (size_t)channels);
}

void write_jpeg(const char *path, int height, int width, int channels, int quality, int progressive,
                const uint8_t *pixels)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, file);
    jpeg.image_height = (JDIMENSION)height;
    jpeg.image_width = (JDIMENSION)width;
    jpeg.input_components = channels;
    jpeg.in_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, quality, TRUE);
    if (progressive) jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    for (int y = 0; y < height; y++) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + (size_t)y * (size_t)width * (size_t)channels);
        assert_int_equal(jpeg_write_scanlines(&jpeg, &row, 1), 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    assert_int_equal(fclose(file), 0);
}
