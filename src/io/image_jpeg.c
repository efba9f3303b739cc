/* libjpeg ends the program at an error unless its error_exit is replaced; longjmp is the way out it documents. What must
 * survive that lives in a struct that the caller owns. */
#include "image_decode.h"

#include <setjmp.h>
#include <string.h>

#include <jpeglib.h> /* after stdio.h, which it needs */

#include <jerror.h>

#include "cnnbn/memory.h"

/* A progressive file may repeat its scans without end, each as costly as the whole image. */
enum { SCANS_MAX = 500 };

typedef struct jpeg_reader {
    struct jpeg_error_mgr errors; /* first: libjpeg's pointer to it is one to the reader */
    struct jpeg_progress_mgr progress;
    struct jpeg_decompress_struct jpeg;
    jmp_buf escape;
    uint8_t *line; /* CMYK only */
    char message[CNNBN__DECODER_MESSAGE];
} jpeg_reader;

static void on_error(j_common_ptr jpeg)
{
    jpeg_reader *r = (jpeg_reader *)(void *)jpeg->err;
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    (void)snprintf(r->message, sizeof r->message, "%s", text);
    longjmp(r->escape, 1);
}

/* libjpeg goes on after damaged data, in grey or with rubbish; a training set wants to know. Its other warnings (odd
 * versions, bytes between markers) leave the image whole. */
static void on_message(j_common_ptr jpeg, int level)
{
    if (level >= 0) return;
    switch (jpeg->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_NOT_SEQUENTIAL:
        on_error(jpeg);
        break;
    default:
        break;
    }
}

static void on_output(j_common_ptr jpeg) /* libjpeg's own prints */
{
    (void)jpeg;
}

static void on_progress(j_common_ptr common)
{
    jpeg_reader *r = (jpeg_reader *)(void *)common->err;
    if (r->jpeg.input_scan_number <= SCANS_MAX) return;
    (void)snprintf(r->message, sizeof r->message, "more than %d scans", SCANS_MAX);
    longjmp(r->escape, 1);
}

/* Adobe's files hold inverted CMYK. */
static void cmyk_to_rgb(const uint8_t *cmyk, int width, int inverted, uint8_t *rgb)
{
    for (int x = 0; x < width; x++, cmyk += 4, rgb += 3)
        for (int c = 0; c < 3; c++) {
            unsigned int light = inverted ? cmyk[c] : 255u - cmyk[c], key = inverted ? cmyk[3] : 255u - cmyk[3];
            rgb[c] = (uint8_t)((light * key + 127u) / 255u);
        }
}

static cnnbn_status read_start(jpeg_reader *r, FILE *file, const char *path)
{
    struct jpeg_decompress_struct *j = &r->jpeg;
    if (setjmp(r->escape)) return cnnbn_error(CNNBN_ERR_DATA, "%s: damaged JPEG: %s", path, r->message);
    jpeg_create_decompress(j);
    j->progress = &r->progress;
    jpeg_stdio_src(j, file);
    (void)jpeg_read_header(j, TRUE);
    j->out_color_space = j->jpeg_color_space == JCS_GRAYSCALE                                 ? JCS_GRAYSCALE
                         : j->jpeg_color_space == JCS_CMYK || j->jpeg_color_space == JCS_YCCK ? JCS_CMYK
                                                                                              : JCS_RGB;
    j->dct_method = JDCT_ISLOW;
    return CNNBN_OK;
}

static cnnbn_status read_rows(jpeg_reader *r, const char *path, cnnbn_image *out)
{
    struct jpeg_decompress_struct *j = &r->jpeg;
    if (setjmp(r->escape)) return cnnbn_error(CNNBN_ERR_DATA, "%s: damaged JPEG: %s", path, r->message);
    (void)jpeg_start_decompress(j);
    size_t bytes = (size_t)out->width * (size_t)out->channels;
    while (j->output_scanline < j->output_height) {
        uint8_t *to = out->pixels + (size_t)j->output_scanline * bytes;
        JSAMPROW row = r->line ? r->line : to;
        if (jpeg_read_scanlines(j, &row, 1) == 1 && r->line) cmyk_to_rgb(r->line, out->width, j->saw_Adobe_marker, to);
    }
    (void)jpeg_finish_decompress(j);
    return CNNBN_OK;
}

static cnnbn_status read_all(jpeg_reader *r, FILE *file, const char *path, cnnbn_image *out)
{
    CNNBN_TRY(read_start(r, file, path));
    struct jpeg_decompress_struct *j = &r->jpeg;
    CNNBN_TRY(
        cnnbn__image_allocate(path, j->image_height, j->image_width, j->out_color_space == JCS_GRAYSCALE ? 1 : 3, out));
    if (j->out_color_space == JCS_CMYK) {
        void *line = NULL;
        CNNBN_TRY(cnnbn_alloc_array((size_t)out->width, 4, "a row of an image", &line));
        r->line = line;
    }
    return read_rows(r, path, out);
}

cnnbn_status cnnbn__jpeg_decode(FILE *file, const char *path, cnnbn_image *out)
{
    void *block = NULL; /* not on the stack: nothing of it may sit in a register across setjmp */
    CNNBN_TRY(cnnbn_alloc(sizeof(jpeg_reader), "a JPEG decoder", &block));
    jpeg_reader *r = block;
    r->jpeg.err = jpeg_std_error(&r->errors);
    r->errors.error_exit = on_error;
    r->errors.emit_message = on_message;
    r->errors.output_message = on_output;
    r->progress.progress_monitor = on_progress;
    cnnbn_status status = read_all(r, file, path, out);
    jpeg_destroy_decompress(&r->jpeg); /* fine after a failed create, too: the block is zeroed */
    cnnbn_free(r->line);
    cnnbn_free(block);
    return status;
}
