#include "cnnbn/image.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cnnbn/memory.h"
#include "image_decode.h"

cnnbn_status cnnbn__image_allocate(const char *path, unsigned long height, unsigned long width, int channels,
                                   cnnbn_image *out)
{
    if (height < 1 || width < 1 || height > CNNBN_IMAGE_SIDE_MAX || width > CNNBN_IMAGE_SIDE_MAX)
        return cnnbn_error(CNNBN_ERR_DATA, "%s: an image of %lu x %lu pixels; at most %d x %d are possible", path,
                           height, width, CNNBN_IMAGE_SIDE_MAX, CNNBN_IMAGE_SIDE_MAX);
    void *pixels = NULL;
    CNNBN_TRY(cnnbn_alloc((size_t)height * (size_t)width * (size_t)channels, "an image", &pixels));
    out->height = (int)height;
    out->width = (int)width;
    out->channels = channels;
    out->pixels = pixels;
    return CNNBN_OK;
}

void cnnbn_image_free(cnnbn_image *image)
{
    if (!image) return;
    cnnbn_free(image->pixels);
    memset(image, 0, sizeof *image);
}

static cnnbn_status decode(FILE *file, const char *path, cnnbn_image *out)
{
    static const unsigned char png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'}, jpeg[3] = {0xff, 0xd8, 0xff};
    unsigned char start[8] = {0};
    size_t got = fread(start, 1, sizeof start, file);
    if (ferror(file)) return cnnbn_error(CNNBN_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    rewind(file);
    if (got == sizeof png && memcmp(start, png, sizeof png) == 0) return cnnbn__png_decode(file, path, out);
    if (got >= sizeof jpeg && memcmp(start, jpeg, sizeof jpeg) == 0) return cnnbn__jpeg_decode(file, path, out);
    return cnnbn_error(CNNBN_ERR_DATA, "%s: %s", path, got ? "neither PNG nor JPEG" : "an empty file");
}

static cnnbn_status convert(const char *path, int channels, cnnbn_image *image)
{
    if (!channels || channels == image->channels) return CNNBN_OK;
    cnnbn_image other = {0};
    CNNBN_TRY(cnnbn__image_allocate(path, (unsigned long)image->height, (unsigned long)image->width, channels, &other));
    size_t n = (size_t)image->height * (size_t)image->width;
    const uint8_t *from = image->pixels;
    uint8_t *to = other.pixels;
    if (channels == 3) {
        for (size_t i = 0; i < n; i++, to += 3) to[0] = to[1] = to[2] = from[i];
    } else {
        for (size_t i = 0; i < n; i++, from += 3)
            to[i] = (uint8_t)((19595u * from[0] + 38470u * from[1] + 7471u * from[2] + 32768u) >> 16);
    }
    cnnbn_image_free(image);
    *image = other;
    return CNNBN_OK;
}

cnnbn_status cnnbn_image_load(const char *path, int channels, cnnbn_image *out)
{
    memset(out, 0, sizeof *out);
    if (channels != 0 && channels != 1 && channels != 3)
        return cnnbn_error(CNNBN_ERR_OPTION, "%s: %d channels wanted, not 1 or 3", path, channels);
    FILE *file = fopen(path, "rbe");
    if (!file) return cnnbn_error(CNNBN_ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    cnnbn_status status = decode(file, path, out);
    (void)fclose(file);
    if (status == CNNBN_OK) status = convert(path, channels, out);
    if (status != CNNBN_OK) cnnbn_image_free(out);
    return status;
}

/* ---------------------------------------------------------------- resizing */

/* Input pixels [first, first + count) that an output pixel is made of. Their weights are integers whose sum is the same
 * for all output pixels of an axis: `n_in` when shrinking (in units of 1/n_out input pixels), 2 n_out when enlarging. */
typedef struct tap {
    int first, count, weight; /* weight: where the weights start */
} tap;

typedef struct axis {
    tap *taps;         /* [n_out] */
    uint32_t *weights; /* of all taps, one after the other */
    uint64_t sum;
} axis;

static int clamp(int i, int n)
{
    return i < 0 ? 0 : i < n ? i : n - 1;
}

static void fill_shrinking(axis *a, int n_in, int n_out)
{
    int used = 0;
    a->sum = (uint64_t)n_in;
    for (int i = 0; i < n_out; i++) {
        int64_t begin = (int64_t)i * n_in, end = begin + n_in; /* in units of 1/n_out input pixels */
        int first = (int)(begin / n_out), last = (int)((end - 1) / n_out);
        a->taps[i] = (tap){first, last - first + 1, used};
        for (int j = first; j <= last; j++) {
            int64_t low = (int64_t)j * n_out, high = low + n_out;
            a->weights[used++] = (uint32_t)((high < end ? high : end) - (low > begin ? low : begin));
        }
    }
}

static void fill_enlarging(axis *a, int n_in, int n_out)
{
    a->sum = 2 * (uint64_t)n_out;
    for (int i = 0; i < n_out; i++) {
        int64_t centre = (2 * (int64_t)i + 1) * n_in - n_out; /* in units of 1/(2 n_out) input pixels */
        int64_t unit = 2 * (int64_t)n_out;
        int floor_pixel = (int)(centre < 0 ? -1 : centre / unit); /* centre > -unit */
        uint32_t part = (uint32_t)(centre - floor_pixel * unit);
        int left = clamp(floor_pixel, n_in), right = clamp(floor_pixel + 1, n_in);
        a->taps[i] = (tap){left, 2, 2 * i};
        a->weights[2 * i] = (uint32_t)unit - part;
        a->weights[2 * i + 1] = part;
        if (left == right) { /* at an edge the pixel stands twice */
            a->taps[i].count = 1;
            a->weights[2 * i] = (uint32_t)unit;
        }
    }
}

static cnnbn_status axis_create(axis *a, int n_in, int n_out)
{
    void *taps = NULL, *weights = NULL;
    CNNBN_TRY(cnnbn_alloc_array((size_t)n_out, sizeof(tap), "resizing", &taps));
    a->taps = taps;
    /* Shrinking: neighbours share at most one input pixel. */
    size_t n_weights = n_out < n_in ? (size_t)n_in + (size_t)n_out : 2 * (size_t)n_out;
    CNNBN_TRY(cnnbn_alloc_array(n_weights, sizeof(uint32_t), "resizing", &weights));
    a->weights = weights;
    if (n_out < n_in)
        fill_shrinking(a, n_in, n_out);
    else
        fill_enlarging(a, n_in, n_out);
    return CNNBN_OK;
}

static void axis_destroy(axis *a)
{
    cnnbn_free(a->taps);
    cnnbn_free(a->weights);
}

/* Sums stay below 255 * (2 * 16384)^2 < 2^38. */
static void resize_row(const cnnbn_image *in, const axis *rows, const axis *columns, int row, int width, uint8_t *out)
{
    const tap *ty = &rows->taps[row];
    size_t C = (size_t)in->channels, line = (size_t)in->width * C;
    uint64_t sum = rows->sum * columns->sum;
    for (int x = 0; x < width; x++) {
        const tap *tx = &columns->taps[x];
        for (size_t c = 0; c < C; c++) {
            uint64_t total = sum / 2;
            for (int j = 0; j < ty->count; j++) {
                const uint8_t *from = in->pixels + (size_t)(ty->first + j) * line + (size_t)tx->first * C + c;
                uint64_t part = 0;
                for (int i = 0; i < tx->count; i++)
                    part += columns->weights[tx->weight + i] * (uint64_t)from[(size_t)i * C];
                total += rows->weights[ty->weight + j] * part;
            }
            *out++ = (uint8_t)(total / sum);
        }
    }
}

cnnbn_status cnnbn_image_resize(const cnnbn_image *in, int height, int width, cnnbn_image *out)
{
    memset(out, 0, sizeof *out);
    if (height < 1 || width < 1 || height > CNNBN_IMAGE_SIDE_MAX || width > CNNBN_IMAGE_SIDE_MAX)
        return cnnbn_error(CNNBN_ERR_OPTION, "size %d x %d wanted; 1 x 1 to %d x %d are possible", height, width,
                           CNNBN_IMAGE_SIDE_MAX, CNNBN_IMAGE_SIDE_MAX);
    axis rows = {0}, columns = {0};
    cnnbn_status status = axis_create(&rows, in->height, height);
    if (status == CNNBN_OK) status = axis_create(&columns, in->width, width);
    if (status == CNNBN_OK)
        status = cnnbn__image_allocate("resizing", (unsigned long)height, (unsigned long)width, in->channels, out);
    if (status == CNNBN_OK)
        for (int y = 0; y < height; y++)
            resize_row(in, &rows, &columns, y, width, out->pixels + (size_t)y * (size_t)width * (size_t)in->channels);
    axis_destroy(&rows);
    axis_destroy(&columns);
    return status;
}
