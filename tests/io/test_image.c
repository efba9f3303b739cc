/* io: PNG and JPEG files, resizing. */
#include <fcntl.h>
#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "cnnbn/image.h"
#include "cnnbn/rng.h"
#include "make_files.h"

enum { H = 13, W = 17 };

static void fill_noise(uint8_t *bytes, size_t n, uint64_t seed)
{
    uint64_t key = cnnbn_rng_key(seed, CNNBN_RNG_TEST, 0, 0, 0);
    for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)cnnbn_rng_below(key, i, 256);
}

/* A smooth picture, which JPEG keeps well. */
static void fill_smooth(uint8_t *bytes, int height, int width, int channels)
{
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++) *bytes++ = (uint8_t)(60 + 4 * y + 5 * x + 20 * c);
}

static void check_image(const char *path, int channels, int height, int width, int out_channels,
                        const uint8_t *expected, int tolerance)
{
    cnnbn_image image;
    check_ok(cnnbn_image_load(path, channels, &image));
    assert_int_equal(image.height, height);
    assert_int_equal(image.width, width);
    assert_int_equal(image.channels, out_channels);
    for (int i = 0; i < height * width * out_channels; i++)
        if (abs(image.pixels[i] - expected[i]) > tolerance)
            fail_msg("%s: value %d is %d, expected %d", path, i, image.pixels[i], expected[i]);
    cnnbn_image_free(&image);
}

static void png_comes_back_as_it_was(void **state)
{
    (void)state;
    uint8_t pixels[H * W * 3];
    fill_noise(pixels, sizeof pixels, 1);
    for (int channels = 1; channels <= 3; channels += 2)
        for (int interlaced = 0; interlaced < 2; interlaced++) {
            png_kind kind = {channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, 8, interlaced, 0};
            const char *path = scratch("plain.png");
            write_png(path, H, W, kind, pixels, (size_t)(W * channels));
            check_image(path, 0, H, W, channels, pixels, 0);
        }
}

static void png_of_every_kind_becomes_8_bits(void **state)
{
    (void)state;
    uint8_t rows[H * W * 8], expected[H * W * 3];
    const char *path = scratch("kind.png");
    fill_noise(rows, sizeof rows, 2);

    for (int i = 0; i < H * W; i++) memcpy(expected + 3 * i, rows + 4 * i, 3);
    write_png(path, H, W, (png_kind){PNG_COLOR_TYPE_RGB_ALPHA, 8, 0, 0}, rows, 4 * W);
    check_image(path, 0, H, W, 3, expected, 0);

    for (int i = 0; i < H * W; i++) expected[i] = rows[2 * i];
    write_png(path, H, W, (png_kind){PNG_COLOR_TYPE_GRAY_ALPHA, 8, 1, 0}, rows, 2 * W);
    check_image(path, 0, H, W, 1, expected, 0);

    for (int i = 0; i < H * W * 3; i++) /* big-endian, 65535 -> 255 */
        expected[i] = (uint8_t)floor((256.0 * rows[2 * i] + rows[2 * i + 1]) * 255 / 65535 + 0.5);
    write_png(path, H, W, (png_kind){PNG_COLOR_TYPE_RGB, 16, 0, 0}, rows, 6 * W);
    check_image(path, 0, H, W, 3, expected, 0);

    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) expected[y * W + x] = rows[3 * y + x / 8] >> (7 - x % 8) & 1 ? 255 : 0;
    write_png(path, H, W, (png_kind){PNG_COLOR_TYPE_GRAY, 1, 0, 0}, rows, 3);
    check_image(path, 0, H, W, 1, expected, 0);

    for (int i = 0; i < H * W; i++) {
        rows[i] = (uint8_t)(rows[i] % 100);
        expected[3 * i] = rows[i];
        expected[3 * i + 1] = (uint8_t)(2 * rows[i]);
        expected[3 * i + 2] = (uint8_t)(255 - rows[i]);
    }
    write_png(path, H, W, (png_kind){PNG_COLOR_TYPE_PALETTE, 8, 0, 100}, rows, W);
    check_image(path, 0, H, W, 3, expected, 0);
}

static void jpeg_comes_back_nearly(void **state)
{
    (void)state;
    uint8_t pixels[H * W * 4], expected[H * W * 3];
    const char *path = scratch("smooth.jpg");
    for (int progressive = 0; progressive < 2; progressive++)
        for (int channels = 1; channels <= 3; channels += 2) {
            fill_smooth(pixels, H, W, channels);
            write_jpeg(path, H, W, channels, 98, progressive, pixels);
            check_image(path, 0, H, W, channels, pixels, 6);
        }
    fill_smooth(pixels, H, W, 4); /* libjpeg marks what it writes as CMYK as Adobe's: inverted */
    for (int i = 0; i < H * W; i++)
        for (int c = 0; c < 3; c++) expected[3 * i + c] = (uint8_t)(pixels[4 * i + c] * pixels[4 * i + 3] / 255);
    write_jpeg(path, H, W, 4, 98, 0, pixels);
    check_image(path, 0, H, W, 3, expected, 6);
    check_image(path, 3, H, W, 3, expected, 6);
}

static void grey_and_colour_convert(void **state)
{
    (void)state;
    static const uint8_t rgb[12] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255}, grey[4] = {76, 150, 29, 255};
    const char *path = scratch("convert.png");
    write_plain_png(path, 2, 2, 3, rgb);
    check_image(path, 1, 2, 2, 1, grey, 0);
    static const uint8_t three[12] = {76, 76, 76, 150, 150, 150, 29, 29, 29, 255, 255, 255};
    write_plain_png(path, 2, 2, 1, grey);
    check_image(path, 3, 2, 2, 3, three, 0);
    cnnbn_image image;
    check_status(cnnbn_image_load(path, 2, &image), CNNBN_ERR_OPTION, "2 channels");
}

/* The mean over an output pixel's area, or linear interpolation, along one axis in double. */
static double weight_of(int n_in, int n_out, int i, int j)
{
    if (n_out < n_in) {
        double scale = (double)n_in / n_out, low = i * scale, high = (i + 1) * scale;
        double overlap = fmin(high, j + 1.0) - fmax(low, j);
        return overlap > 0 ? overlap / scale : 0;
    }
    double at = (i + 0.5) * n_in / n_out - 0.5;
    at = fmin(fmax(at, 0), n_in - 1);
    double distance = fabs(at - j);
    return distance < 1 ? 1 - distance : 0;
}

static void check_resize(int height, int width, int channels, int new_height, int new_width)
{
    cnnbn_image in = {height, width, channels, calloc((size_t)(height * width * channels), 1)}, out;
    assert_non_null(in.pixels);
    fill_noise(in.pixels, (size_t)(height * width * channels), (uint64_t)(height * 1000 + width));
    check_ok(cnnbn_image_resize(&in, new_height, new_width, &out));
    assert_int_equal(out.height, new_height);
    assert_int_equal(out.width, new_width);
    assert_int_equal(out.channels, channels);
    for (int y = 0; y < new_height; y++)
        for (int x = 0; x < new_width; x++)
            for (int c = 0; c < channels; c++) {
                double sum = 0;
                for (int v = 0; v < height; v++)
                    for (int u = 0; u < width; u++)
                        sum += weight_of(height, new_height, y, v) * weight_of(width, new_width, x, u) *
                               in.pixels[(v * width + u) * channels + c];
                double got = out.pixels[(y * new_width + x) * channels + c];
                if (!(fabs(got - sum) <= 0.5 + 1e-9))
                    fail_msg("%d x %d to %d x %d: (%d, %d, %d) is %g, expected %.4f", height, width, new_height,
                             new_width, y, x, c, got, sum);
            }
    free(in.pixels);
    cnnbn_image_free(&out);
}

static void resizing_matches_its_definition(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 3, 5, 8, 13, 16, 20};
    enum { n = sizeof sizes / sizeof *sizes };
    for (int a = 0; a < n; a++)
        for (int b = 0; b < n; b++)
            check_resize(sizes[a], sizes[(a + 3) % n], b % 2 ? 1 : 3, sizes[b], sizes[(b + 5) % n]);
}

static void resizing_by_hand(void **state)
{
    (void)state;
    uint8_t two[2] = {0, 100}, square[4] = {10, 20, 30, 41};
    static const uint8_t four[4] = {0, 25, 75, 100};
    cnnbn_image in = {1, 2, 1, two}, out;
    check_ok(cnnbn_image_resize(&in, 1, 4, &out));
    check_same_bits("enlarged", out.pixels, four, 4);
    cnnbn_image_free(&out);
    in = (cnnbn_image){2, 2, 1, square};
    check_ok(cnnbn_image_resize(&in, 1, 1, &out)); /* 101 / 4 = 25.25 */
    assert_int_equal(out.pixels[0], 25);
    cnnbn_image_free(&out);
    check_ok(cnnbn_image_resize(&in, 2, 2, &out));
    check_same_bits("same size", out.pixels, square, 4);
    cnnbn_image_free(&out);
    check_status(cnnbn_image_resize(&in, 0, 5, &out), CNNBN_ERR_OPTION, "0 x 5");
    check_status(cnnbn_image_resize(&in, 5, CNNBN_IMAGE_SIDE_MAX + 1, &out), CNNBN_ERR_OPTION, "16385");
    assert_null(out.pixels);
}

static void what_is_no_image_is_refused(void **state)
{
    (void)state;
    cnnbn_image image;
    const char *path = scratch("no-image.png");
    check_status(cnnbn_image_load(path, 0, &image), CNNBN_ERR_IO, "no-image.png");
    write_bytes(path, "", 0);
    check_status(cnnbn_image_load(path, 0, &image), CNNBN_ERR_DATA, "empty");
    write_bytes(path, "GIF89a......", 12);
    check_status(cnnbn_image_load(path, 0, &image), CNNBN_ERR_DATA, "neither PNG nor JPEG");
    check_status(cnnbn_image_load(scratch("."), 0, &image), CNNBN_ERR_IO, NULL);
    assert_null(image.pixels);
}

static void huge_images_are_refused(void **state)
{
    (void)state;
    enum { LONG = CNNBN_IMAGE_SIDE_MAX + 1 };
    cnnbn_image image;
    uint8_t *line = calloc(LONG, 1);
    assert_non_null(line);
    const char *path = scratch("huge");
    write_plain_png(path, 1, LONG, 1, line);
    check_status(cnnbn_image_load(path, 0, &image), CNNBN_ERR_DATA, "huge");
    write_jpeg(path, 1, LONG, 1, 90, 0, line);
    check_status(cnnbn_image_load(path, 0, &image), CNNBN_ERR_DATA, "1 x 16385");
    write_plain_png(path, LONG - 1, 1, 1, line);
    check_ok(cnnbn_image_load(path, 0, &image));
    cnnbn_image_free(&image);
    free(line);
}

/* Runs with stderr in a file: the decoders must not print. */
static void check_damage(const char *name, int (*expected)(cnnbn_status))
{
    size_t n;
    uint8_t *bytes = read_bytes(scratch("%s", name), &n);
    const char *damaged = scratch("damaged"), *log = scratch("stderr");
    int saved = dup(STDERR_FILENO), file = open(log, O_RDWR | O_CREAT | O_TRUNC, 0600), wrong = 0;
    assert_true(saved >= 0 && file >= 0);
    (void)dup2(file, STDERR_FILENO);
    cnnbn_image image;
    for (size_t length = 0; length < n; length += 1 + length / 64) {
        write_bytes(damaged, bytes, length);
        wrong += cnnbn_image_load(damaged, 0, &image) == CNNBN_OK;
        cnnbn_image_free(&image);
    }
    uint64_t key = cnnbn_rng_key(n, CNNBN_RNG_TEST, 1, 0, 0);
    for (uint64_t k = 0; k < 400; k++) {
        uint8_t *copy = malloc(n);
        memcpy(copy, bytes, n);
        for (uint64_t flips = 1 + k % 4; flips; flips--)
            copy[cnnbn_rng_below(key, 10 * k + flips, n)] = (uint8_t)cnnbn_rng_below(key, 10 * k + 5 + flips, 256);
        write_bytes(damaged, copy, n);
        free(copy);
        wrong += !expected(cnnbn_image_load(damaged, (int)(k % 2), &image));
        cnnbn_image_free(&image);
    }
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    assert_int_equal(lseek(file, 0, SEEK_END), 0);
    (void)close(file);
    assert_int_equal(wrong, 0);
    free(bytes);
}

static int is_ok_or_data(cnnbn_status status)
{
    return status == CNNBN_OK || status == CNNBN_ERR_DATA;
}

static void damaged_images_are_refused_in_silence(void **state)
{
    (void)state;
    uint8_t pixels[H * W * 3];
    fill_smooth(pixels, H, W, 3);
    write_plain_png(scratch("a.png"), H, W, 3, pixels);
    write_png(scratch("b.png"), H, W, (png_kind){PNG_COLOR_TYPE_PALETTE, 8, 1, 256}, pixels, W);
    write_jpeg(scratch("c.jpg"), H, W, 3, 90, 0, pixels);
    write_jpeg(scratch("d.jpg"), H, W, 1, 90, 1, pixels);
    check_damage("a.png", is_ok_or_data);
    check_damage("b.png", is_ok_or_data);
    check_damage("c.jpg", is_ok_or_data);
    check_damage("d.jpg", is_ok_or_data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_comes_back_as_it_was),
        cmocka_unit_test(png_of_every_kind_becomes_8_bits),
        cmocka_unit_test(jpeg_comes_back_nearly),
        cmocka_unit_test(grey_and_colour_convert),
        cmocka_unit_test(resizing_matches_its_definition),
        cmocka_unit_test(resizing_by_hand),
        cmocka_unit_test(what_is_no_image_is_refused),
        cmocka_unit_test(huge_images_are_refused),
        cmocka_unit_test(damaged_images_are_refused_in_silence),
    };
    return cmocka_run_group_tests_name("image", tests, scratch_setup, scratch_teardown);
}
