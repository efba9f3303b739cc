/* libpng reports errors by longjmp. Everything that must survive it lives in a struct that the caller owns, and no
 * variable of a function that calls setjmp changes after it. */
#include "image_decode.h"

#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "cnnbn/memory.h"

typedef struct png_reader {
    png_structp png;
    png_infop info;
    png_bytepp rows; /* [height], into the pixels */
    char message[CNNBN__DECODER_MESSAGE];
} png_reader;

static void on_error(png_structp png, png_const_charp text)
{
    png_reader *r = png_get_error_ptr(png);
    (void)snprintf(r->message, sizeof r->message, "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) /* libpng's own prints */
{
    (void)png;
    (void)text;
}

static cnnbn_status damaged(const png_reader *r, const char *path)
{
    return cnnbn_error(CNNBN_ERR_DATA, "%s: damaged PNG: %s", path, r->message);
}

static cnnbn_status read_start(png_reader *r, FILE *file, const char *path)
{
    if (setjmp(png_jmpbuf(r->png))) return damaged(r, path);
    png_init_io(r->png, file);
    png_set_user_limits(r->png, CNNBN_IMAGE_SIDE_MAX, CNNBN_IMAGE_SIDE_MAX);
    png_read_info(r->png, r->info);
    int type = png_get_color_type(r->png, r->info), bits = png_get_bit_depth(r->png, r->info);
    if (bits == 16) png_set_scale_16(r->png);
    if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(r->png);
    if (type == PNG_COLOR_TYPE_GRAY && bits < 8) png_set_expand_gray_1_2_4_to_8(r->png);
    png_set_strip_alpha(r->png); /* of the file, or what a palette with transparency becomes */
    (void)png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    return CNNBN_OK;
}

static cnnbn_status read_rows(png_reader *r, const char *path)
{
    if (setjmp(png_jmpbuf(r->png))) return damaged(r, path);
    png_read_image(r->png, r->rows);
    png_read_end(r->png, NULL); /* checks the rest: a file cut off after its pixels is damaged too */
    return CNNBN_OK;
}

static cnnbn_status read_all(png_reader *r, FILE *file, const char *path, cnnbn_image *out)
{
    CNNBN_TRY(read_start(r, file, path));
    int channels = png_get_channels(r->png, r->info);
    if ((channels != 1 && channels != 3) || png_get_bit_depth(r->png, r->info) != 8)
        return cnnbn_error(CNNBN_ERR_DATA, "%s: a PNG of %d channels", path, channels);
    CNNBN_TRY(cnnbn__image_allocate(path, png_get_image_height(r->png, r->info), png_get_image_width(r->png, r->info),
                                    channels, out));
    size_t line = (size_t)out->width * (size_t)channels;
    if (png_get_rowbytes(r->png, r->info) != line)
        return cnnbn_error(CNNBN_ERR_INTERNAL, "%s: PNG rows of %zu bytes, not %zu", path,
                           png_get_rowbytes(r->png, r->info), line);
    void *rows = NULL;
    CNNBN_TRY(cnnbn_alloc_array((size_t)out->height, sizeof(png_bytep), "rows of an image", &rows));
    r->rows = rows;
    for (int y = 0; y < out->height; y++) r->rows[y] = out->pixels + (size_t)y * line;
    return read_rows(r, path);
}

cnnbn_status cnnbn__png_decode(FILE *file, const char *path, cnnbn_image *out)
{
    png_reader r = {0};
    cnnbn_status status;
    r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
    r.info = r.png ? png_create_info_struct(r.png) : NULL;
    if (r.info)
        status = read_all(&r, file, path, out);
    else
        status = cnnbn_error(CNNBN_ERR_MEMORY, "%s: no memory to decode it", path);
    if (r.png) png_destroy_read_struct(&r.png, &r.info, NULL);
    cnnbn_free(r.rows);
    return status;
}
