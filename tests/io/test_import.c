/* io: IDX and CIFAR become datasets; what is wrong with them is refused and leaves no file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "cnnbn/dataset.h"
#include "cnnbn/import.h"
#include "cnnbn/rng.h"
#include "make_files.h"

enum { N = 50, N_TEST = 20, H = 4, W = 5 };

static cnnbn_import_options options_for(const char *out)
{
    return (cnnbn_import_options){.out = out, .overwrite = 1, .gzip = 1};
}

static void check_nothing_left(const char *out)
{
    char temporary[600];
    (void)snprintf(temporary, sizeof temporary, "%s.tmp", out);
    assert_false(file_exists(out));
    assert_false(file_exists(temporary));
}

/* ---------------------------------------------------------------- IDX */

static uint8_t pixel_of(size_t image, size_t i)
{
    return (uint8_t)(image * 31 + i * 7);
}

static uint8_t label_of(size_t image)
{
    return (uint8_t)(image * image % 7);
}

/* Header and data of n items; `claimed` items in the header. Returns the bytes' number. */
static size_t make_idx(uint8_t *bytes, int n_dims, size_t claimed, size_t n, int height, int width)
{
    size_t dims[3] = {claimed, (size_t)height, (size_t)width}, at = 0,
           count = n_dims == 1 ? 1 : (size_t)(height * width);
    bytes[at++] = 0;
    bytes[at++] = 0;
    bytes[at++] = 8;
    bytes[at++] = (uint8_t)n_dims;
    for (int d = 0; d < n_dims; d++)
        for (int shift = 24; shift >= 0; shift -= 8) bytes[at++] = (uint8_t)(dims[d] >> shift);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < count; j++) bytes[at++] = n_dims == 1 ? label_of(i) : pixel_of(i, j);
    return at;
}

static uint8_t images[2][16 + N * H * W], labels[2][8 + N];
static size_t images_bytes[2], labels_bytes[2];

/* The four files, right, in the scratch folder; gzipped when asked for. */
static cnnbn_idx_files write_idx(int gzip)
{
    static const size_t n[2] = {N, N_TEST};
    static char paths[4][512];
    for (int s = 0; s < 2; s++) {
        images_bytes[s] = make_idx(images[s], 3, n[s], n[s], H, W);
        labels_bytes[s] = make_idx(labels[s], 1, n[s], n[s], 0, 0);
        (void)snprintf(paths[2 * s], sizeof paths[0], "%s", scratch("images-%d", s));
        (void)snprintf(paths[2 * s + 1], sizeof paths[0], "%s", scratch("labels-%d", s));
        (gzip ? write_gzip : write_bytes)(paths[2 * s], images[s], images_bytes[s]);
        (gzip ? write_gzip : write_bytes)(paths[2 * s + 1], labels[s], labels_bytes[s]);
    }
    return (cnnbn_idx_files){paths[0], paths[1], paths[2], paths[3]};
}

static void idx_becomes_a_dataset(void **state)
{
    (void)state;
    const char *out = scratch("idx.h5");
    for (int gzip = 0; gzip < 2; gzip++) {
        cnnbn_idx_files files = write_idx(gzip);
        cnnbn_import_options options = options_for(out);
        options.source = "a test";
        check_ok(cnnbn_import_idx(&files, &options));
        cnnbn_dataset *dataset;
        check_ok(cnnbn_dataset_open(out, NULL, &dataset));
        const cnnbn_dataset_info *info = cnnbn_dataset_get_info(dataset);
        assert_int_equal(info->n[CNNBN_TRAIN], N);
        assert_int_equal(info->n[CNNBN_TEST], N_TEST);
        assert_int_equal(info->shape.dim[0], H);
        assert_int_equal(info->shape.dim[1], W);
        assert_int_equal(info->shape.dim[2], 1);
        assert_int_equal(info->n_classes, 5); /* squares modulo 7: 0, 1, 2, 4 */
        assert_string_equal(info->source, "a test");
        uint8_t read[N * H * W];
        for (int s = 0; s < 2; s++) {
            check_ok(cnnbn_dataset_read(dataset, (cnnbn_split)s, 0, info->n[s], read));
            check_same_bits("images", read, images[s] + 16, info->n[s] * H * W);
            for (size_t i = 0; i < info->n[s]; i++)
                assert_int_equal(cnnbn_dataset_labels(dataset, (cnnbn_split)s)[i], label_of(i));
        }
        cnnbn_dataset_close(dataset);
        files.test_images = files.test_labels = NULL;
        check_ok(cnnbn_import_idx(&files, &options));
        check_ok(cnnbn_dataset_open(out, NULL, &dataset));
        assert_int_equal(cnnbn_dataset_get_info(dataset)->n[CNNBN_TEST], 0);
        cnnbn_dataset_close(dataset);
    }
}

static void limit_takes_the_first_of_each_class(void **state)
{
    (void)state;
    cnnbn_idx_files files = write_idx(1);
    const char *out = scratch("limit.h5");
    cnnbn_import_options options = options_for(out);
    options.limit[CNNBN_TRAIN] = 10;
    options.limit[CNNBN_TEST] = 1000;
    check_ok(cnnbn_import_idx(&files, &options));
    cnnbn_dataset *dataset;
    check_ok(cnnbn_dataset_open(out, NULL, &dataset));
    assert_int_equal(cnnbn_dataset_get_info(dataset)->n[CNNBN_TRAIN], 10);
    assert_int_equal(cnnbn_dataset_get_info(dataset)->n[CNNBN_TEST], N_TEST);
    /* Labels 0 1 4 2 2 4 1, again and again. Ten of four classes: 3 of 0 and of 1, 2 of 2 and of 4. */
    static const int32_t expected[10] = {0, 1, 4, 2, 2, 4, 1, 0, 1, 0};
    static const size_t from[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 14};
    uint8_t read[10 * H * W];
    check_ok(cnnbn_dataset_read(dataset, CNNBN_TRAIN, 0, 10, read));
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(cnnbn_dataset_labels(dataset, CNNBN_TRAIN)[i], expected[i]);
        check_same_bits("image", read + i * H * W, images[0] + 16 + from[i] * H * W, H * W);
    }
    cnnbn_dataset_close(dataset);
}

static void refuse_idx(const cnnbn_idx_files *files, cnnbn_status expected, const char *text)
{
    const char *out = scratch("refused.h5");
    cnnbn_import_options options = options_for(out);
    check_status(cnnbn_import_idx(files, &options), expected, text);
    check_nothing_left(out);
}

static void wrong_idx_is_refused(void **state)
{
    (void)state;
    cnnbn_idx_files files = write_idx(0), swapped = {files.train_labels, files.train_images, NULL, NULL};
    refuse_idx(&swapped, CNNBN_ERR_DATA, "swapped");
    swapped = (cnnbn_idx_files){files.train_images, files.test_labels, NULL, NULL};
    refuse_idx(&swapped, CNNBN_ERR_DATA, "50 images, but");
    swapped = (cnnbn_idx_files){files.train_images, files.train_labels, files.test_images, NULL};
    refuse_idx(&swapped, CNNBN_ERR_OPTION, "together");
    swapped = (cnnbn_idx_files){scratch("missing"), files.train_labels, NULL, NULL};
    refuse_idx(&swapped, CNNBN_ERR_IO, "missing");
    swapped = (cnnbn_idx_files){scratch("."), files.train_labels, NULL, NULL};
    refuse_idx(&swapped, CNNBN_ERR_IO, NULL);

    write_bytes(files.train_images, images[0], images_bytes[0] - 1);
    refuse_idx(&files, CNNBN_ERR_DATA, "images-0: truncated");
    write_bytes(files.train_images, images[0], 3);
    refuse_idx(&files, CNNBN_ERR_DATA, "images-0: truncated");
    write_bytes(files.train_images, "", 0);
    refuse_idx(&files, CNNBN_ERR_DATA, "images-0");
    uint8_t more[sizeof images[0] + 1] = {0};
    memcpy(more, images[0], images_bytes[0]);
    write_bytes(files.train_images, more, images_bytes[0] + 1);
    refuse_idx(&files, CNNBN_ERR_DATA, "too long");
    write_gzip(files.train_images, more, images_bytes[0] + 1);
    refuse_idx(&files, CNNBN_ERR_DATA, "data follow");
    size_t bytes = make_idx(more, 3, N, N, W, H);
    write_bytes(files.train_images, more, bytes);
    refuse_idx(&files, CNNBN_ERR_DATA, "images of 4 x 5 x 1, but those of");
    bytes = make_idx(more, 3, 0, 0, 0, W);
    write_bytes(files.train_images, more, bytes);
    refuse_idx(&files, CNNBN_ERR_DATA, "0 x 5");
    bytes = make_idx(more, 3, 1, 0, 20000, 1);
    write_bytes(files.train_images, more, bytes);
    refuse_idx(&files, CNNBN_ERR_DATA, "20000 x 1");
    more[2] = 0x0d;
    write_bytes(files.train_images, more, bytes);
    refuse_idx(&files, CNNBN_ERR_DATA, "00000d03");

    files = write_idx(0);
    static const char *const names[3] = {"a", "b", "c"};
    const char *out = scratch("named.h5");
    cnnbn_import_options options = options_for(out);
    options.class_names = names;
    options.n_class_names = 3;
    check_status(cnnbn_import_idx(&files, &options), CNNBN_ERR_DATA, "labels-0: label 4 of training sample 2");
    check_nothing_left(out);
}

static void damaged_gzip_is_refused(void **state)
{
    (void)state;
    cnnbn_idx_files files = write_idx(1);
    for (int which = 0; which < 2; which++) {
        const char *path = which ? files.train_labels : files.test_images;
        size_t n;
        uint8_t *bytes = read_bytes(path, &n);
        for (size_t length = 2; length < n; length++) {
            write_bytes(path, bytes, length);
            refuse_idx(&files, CNNBN_ERR_DATA, which ? "labels-0" : "images-1");
        }
        bytes[n - 6] ^= 1; /* of the checksum */
        write_bytes(path, bytes, n);
        refuse_idx(&files, CNNBN_ERR_DATA, NULL);
        bytes[n - 6] ^= 1;
        write_bytes(path, bytes, n);
        free(bytes);
    }
    /* A header that claims all there can be: memory follows the data, not the claim. */
    uint8_t claim[8 + 16];
    size_t bytes = make_idx(claim, 1, 0xffffffffu, 16, 0, 0);
    write_gzip(files.train_labels, claim, bytes);
    refuse_idx(&files, CNNBN_ERR_DATA, "labels-0: truncated");
}

static void garbage_never_crashes(void **state)
{
    (void)state;
    uint64_t key = cnnbn_rng_key(3, CNNBN_RNG_TEST, 0, 0, 0), draw = 0;
    const char *out = scratch("garbage.h5");
    for (int round = 0; round < 300; round++) {
        cnnbn_idx_files files = write_idx(round % 2);
        const char *path = round % 3 ? files.train_images : files.train_labels;
        size_t n;
        uint8_t *bytes = read_bytes(path, &n);
        size_t reach = round % 5 ? (n < 24 ? n : 24) : n;
        for (int k = 0; k <= round % 4; k++, draw += 2)
            bytes[cnnbn_rng_below(key, draw + 1, reach)] = (uint8_t)cnnbn_rng_below(key, draw, 256);
        write_bytes(path, bytes, n);
        free(bytes);
        cnnbn_import_options options = options_for(out);
        cnnbn_status status = cnnbn_import_idx(&files, &options);
        assert_true(status == CNNBN_OK || status == CNNBN_ERR_DATA);
        if (status != CNNBN_OK) check_nothing_left(out);
        (void)remove(out);
    }
}

static int stop_at_three(void *context, size_t done, size_t total)
{
    *(size_t *)context = total;
    return done == 3;
}

static void output_is_kept_or_not_made(void **state)
{
    (void)state;
    cnnbn_idx_files files = write_idx(0);
    const char *out = scratch("kept.h5");
    cnnbn_import_options options = options_for(out);
    size_t total = 0;
    options.progress = stop_at_three;
    options.progress_context = &total;
    check_status(cnnbn_import_idx(&files, &options), CNNBN_ERR_INTERRUPTED, "kept.h5");
    assert_int_equal(total, N + N_TEST);
    check_nothing_left(out);
    write_bytes(out, "old", 3);
    check_status(cnnbn_import_idx(&files, &options), CNNBN_ERR_INTERRUPTED, NULL);
    options.overwrite = 0;
    check_status(cnnbn_import_idx(&files, &options), CNNBN_ERR_OPTION, "--force");
    size_t n;
    uint8_t *bytes = read_bytes(out, &n);
    assert_int_equal(n, 3);
    free(bytes);
    options = options_for(scratch("no/folder.h5"));
    (void)remove(scratch("no"));
    (void)rmdir(scratch("no"));
    check_status(cnnbn_import_idx(&files, &options), CNNBN_ERR_IO, "folder.h5");
}

/* ---------------------------------------------------------------- CIFAR */

enum { PLANE = 32 * 32 };

/* Records whose pixel (p, c) is record + p + 50 c. */
static void write_cifar(const char *path, int n, int label_bytes, int first_label, int classes)
{
    size_t record = (size_t)label_bytes + 3 * PLANE;
    uint8_t *bytes = malloc((size_t)n * record);
    assert_non_null(bytes);
    for (int i = 0; i < n; i++) {
        uint8_t *at = bytes + (size_t)i * record;
        int fine = (first_label + i) % classes;
        if (label_bytes == 2) *at++ = (uint8_t)(fine / 5);
        *at++ = (uint8_t)fine;
        for (int c = 0; c < 3; c++)
            for (int p = 0; p < PLANE; p++) *at++ = (uint8_t)(i + p + 50 * c);
    }
    write_bytes(path, bytes, (size_t)n * record);
    free(bytes);
}

static void write_lines(const char *path, const char *stem, int n)
{
    char text[4000] = "";
    for (int i = 0; i < n; i++) (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d\n", stem, i);
    (void)snprintf(text + strlen(text), sizeof text - strlen(text), "\n");
    write_bytes(path, text, strlen(text));
}

static void check_cifar(const char *out, size_t n, size_t n_test, int classes, const char *last_name, int32_t label3)
{
    cnnbn_dataset *dataset;
    check_ok(cnnbn_dataset_open(out, NULL, &dataset));
    const cnnbn_dataset_info *info = cnnbn_dataset_get_info(dataset);
    assert_int_equal(info->n[CNNBN_TRAIN], n);
    assert_int_equal(info->n[CNNBN_TEST], n_test);
    assert_int_equal(info->shape.dim[2], 3);
    assert_int_equal(info->n_classes, classes);
    if (last_name)
        assert_string_equal(info->class_names[classes - 1], last_name);
    else
        assert_null(info->class_names);
    assert_int_equal(cnnbn_dataset_labels(dataset, CNNBN_TRAIN)[3], label3);
    uint8_t image[3 * PLANE];
    check_ok(cnnbn_dataset_read(dataset, CNNBN_TRAIN, 3, 1, image));
    for (int p = 0; p < PLANE; p++)
        for (int c = 0; c < 3; c++) assert_int_equal(image[3 * p + c], (uint8_t)(3 + p + 50 * c));
    cnnbn_dataset_close(dataset);
}

static void cifar_becomes_a_dataset(void **state)
{
    (void)state;
    const char *out = scratch("cifar.h5"), *folder = scratch("c10");
    cnnbn_import_options options = options_for(out);
    for (int k = 1; k <= 5; k++) write_cifar(scratch("c10/data_batch_%d.bin", k), 6, 1, k, 10);
    check_status(cnnbn_import_cifar(&folder, 1, 0, &options), CNNBN_ERR_IO, "test_batch.bin");
    check_nothing_left(out);
    write_cifar(scratch("c10/test_batch.bin"), 4, 1, 0, 10);
    check_ok(cnnbn_import_cifar(&folder, 1, 0, &options));
    check_cifar(out, 30, 4, 10, NULL, 4);
    write_lines(scratch("c10/batches.meta.txt"), "ten", 10);
    check_ok(cnnbn_import_cifar(&folder, 1, 0, &options));
    check_cifar(out, 30, 4, 10, "ten9", 4);
    options.limit[0] = 10;
    check_ok(cnnbn_import_cifar(&folder, 1, 0, &options));
    check_cifar(out, 10, 4, 10, "ten9", 4);
    options.limit[0] = 0;
    check_status(cnnbn_import_cifar(&folder, 1, 1, &options), CNNBN_ERR_OPTION, "coarse");

    const char *hundred = scratch("c100");
    write_cifar(scratch("c100/train.bin"), 100, 2, 0, 100);
    write_cifar(scratch("c100/test.bin"), 7, 2, 0, 100);
    write_lines(scratch("c100/fine_label_names.txt"), "fine", 100);
    write_lines(scratch("c100/coarse_label_names.txt"), "coarse", 20);
    check_ok(cnnbn_import_cifar(&hundred, 1, 0, &options));
    check_cifar(out, 100, 7, 100, "fine99", 3);
    check_ok(cnnbn_import_cifar(&hundred, 1, 1, &options));
    check_cifar(out, 100, 7, 20, "coarse19", 0);
    const char *files[2];
    files[0] = scratch("c100/train.bin");
    files[1] = scratch("c100/test.bin");
    check_ok(cnnbn_import_cifar(files, 2, 0, &options));
    check_cifar(out, 100, 7, 100, "fine99", 3);
}

static void wrong_cifar_is_refused(void **state)
{
    (void)state;
    const char *out = scratch("wrong.h5"), *path = scratch("bad/train.bin"), *folder = scratch("bad");
    cnnbn_import_options options = options_for(out);
    check_status(cnnbn_import_cifar(&folder, 1, 0, &options), CNNBN_ERR_DATA, "neither");
    write_cifar(path, 3, 1, 10, 100);
    check_status(cnnbn_import_cifar(&path, 1, 0, &options), CNNBN_ERR_DATA, "record 0 has label 10");
    write_cifar(path, 3, 2, 100, 200);
    check_status(cnnbn_import_cifar(&path, 1, 0, &options), CNNBN_ERR_DATA, "label 100");
    write_bytes(path, "abc", 3);
    check_status(cnnbn_import_cifar(&path, 1, 0, &options), CNNBN_ERR_DATA, "3 bytes");
    write_bytes(path, "", 0);
    check_status(cnnbn_import_cifar(&path, 1, 0, &options), CNNBN_ERR_DATA, "0 bytes");
    const char *both[2] = {path, scratch("bad/ten.bin")};
    write_cifar(both[0], 3, 2, 0, 100);
    write_cifar(both[1], 3, 1, 0, 10);
    check_status(cnnbn_import_cifar(both, 2, 0, &options), CNNBN_ERR_DATA, "ten.bin");
    write_lines(scratch("bad/fine_label_names.txt"), "fine", 99);
    check_status(cnnbn_import_cifar(&path, 1, 0, &options), CNNBN_ERR_DATA, "100 class names");
    check_nothing_left(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idx_becomes_a_dataset),   cmocka_unit_test(limit_takes_the_first_of_each_class),
        cmocka_unit_test(wrong_idx_is_refused),    cmocka_unit_test(damaged_gzip_is_refused),
        cmocka_unit_test(garbage_never_crashes),   cmocka_unit_test(output_is_kept_or_not_made),
        cmocka_unit_test(cifar_becomes_a_dataset), cmocka_unit_test(wrong_cifar_is_refused),
    };
    return cmocka_run_group_tests_name("import", tests, scratch_setup, scratch_teardown);
}
