/* io: folders of images become datasets; datasets become smaller ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "check.h"
#include "cnnbn/dataset.h"
#include "cnnbn/import.h"
#include "cnnbn/log.h"
#include "make_files.h"

enum { H = 6, W = 8 };

static cnnbn_import_options options_for(const char *out)
{
    return (cnnbn_import_options){.out = out, .overwrite = 1, .gzip = 1};
}

/* A flat image: its value tells which one it is. */
static void write_flat(const char *path, int height, int width, int channels, int value)
{
    uint8_t pixels[64 * 64 * 3];
    memset(pixels, value, sizeof pixels);
    size_t end = strlen(path);
    if (end > 4 && strcmp(path + end - 4, ".png") == 0)
        write_plain_png(path, height, width, channels, pixels);
    else
        write_jpeg(path, height, width, channels, 95, 0, pixels);
}

static cnnbn_folder folder_at(const char *path)
{
    return (cnnbn_folder){.path = path, .test_share = -1};
}

static void refuse(const cnnbn_folder *folder, cnnbn_status expected, const char *text)
{
    const char *out = scratch("refused.h5");
    cnnbn_import_options options = options_for(out);
    check_status(cnnbn_import_folder(folder, &options), expected, text);
    assert_false(file_exists(out));
    assert_false(file_exists(scratch("refused.h5.tmp")));
}

/* Imports and opens. */
static cnnbn_dataset *import(const cnnbn_folder *folder)
{
    const char *out = scratch("folder.h5");
    cnnbn_import_options options = options_for(out);
    cnnbn_dataset *dataset;
    check_ok(cnnbn_import_folder(folder, &options));
    check_ok(cnnbn_dataset_open(out, NULL, &dataset));
    return dataset;
}

static int first_pixel(cnnbn_dataset *dataset, cnnbn_split split, size_t i)
{
    uint8_t image[64 * 64 * 3];
    check_ok(cnnbn_dataset_read(dataset, split, i, 1, image));
    return image[0];
}

static void folders_become_classes_in_order(void **state)
{
    (void)state;
    write_flat(scratch("tree/train/wolf/b.png"), H, W, 1, 20);
    write_flat(scratch("tree/train/wolf/a.JPG"), H, W, 1, 10);
    write_flat(scratch("tree/train/cat/z.jpeg"), H, W, 1, 30);
    write_flat(scratch("tree/train/Dog/1.png"), H, W, 1, 40);
    write_flat(scratch("tree/test/wolf/t.png"), H, W, 1, 50);
    write_bytes(scratch("tree/train/cat/.hidden"), "x", 1);
    write_bytes(scratch("tree/train/cat/notes.txt"), "x", 1);
    write_bytes(scratch("tree/train/readme"), "x", 1);
    cnnbn_folder folder = folder_at(scratch("tree"));
    cnnbn_dataset *dataset = import(&folder);
    const cnnbn_dataset_info *info = cnnbn_dataset_get_info(dataset);
    assert_int_equal(info->n[CNNBN_TRAIN], 4);
    assert_int_equal(info->n[CNNBN_TEST], 1);
    assert_int_equal(info->n_classes, 3);
    assert_int_equal(info->shape.dim[0], H);
    assert_int_equal(info->shape.dim[1], W);
    assert_int_equal(info->shape.dim[2], 1);
    static const char *const names[3] = {"Dog", "cat", "wolf"};
    static const int labels[4] = {0, 1, 2, 2}, values[4] = {40, 30, 10, 20};
    for (int k = 0; k < 3; k++) assert_string_equal(info->class_names[k], names[k]);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(cnnbn_dataset_labels(dataset, CNNBN_TRAIN)[i], labels[i]);
        assert_in_range(first_pixel(dataset, CNNBN_TRAIN, i), values[i] - 1, values[i] + 1);
    }
    assert_int_equal(cnnbn_dataset_labels(dataset, CNNBN_TEST)[0], 2);
    cnnbn_dataset_close(dataset);

    folder.test_share = 0.5;
    refuse(&folder, CNNBN_ERR_OPTION, "test folder");
    folder.test_share = -1;
    write_flat(scratch("tree/test/bear/t.png"), H, W, 1, 50);
    refuse(&folder, CNNBN_ERR_DATA, "bear");
}

static void sizes_and_colours(void **state)
{
    (void)state;
    write_flat(scratch("mixed/a/1.png"), H, W, 1, 10);
    write_flat(scratch("mixed/a/2.png"), H, W + 1, 3, 20);
    cnnbn_folder folder = folder_at(scratch("mixed"));
    folder.test_share = 0;
    refuse(&folder, CNNBN_ERR_DATA, "2.png: 6 x 9 pixels");
    refuse(&folder, CNNBN_ERR_DATA, "--size");
    folder.height = folder.width = 4;
    refuse(&folder, CNNBN_ERR_DATA, "2.png: has colours");
    for (int channels = 1; channels <= 3; channels += 2) {
        folder.channels = channels;
        cnnbn_dataset *dataset = import(&folder);
        const cnnbn_dataset_info *info = cnnbn_dataset_get_info(dataset);
        assert_int_equal(info->shape.dim[0], 4);
        assert_int_equal(info->shape.dim[1], 4);
        assert_int_equal(info->shape.dim[2], channels);
        assert_int_equal(first_pixel(dataset, CNNBN_TRAIN, 0), 10);
        assert_int_equal(first_pixel(dataset, CNNBN_TRAIN, 1), 20);
        cnnbn_dataset_close(dataset);
    }
    /* Grey images among coloured ones are no loss. */
    write_flat(scratch("mixed/a/0.png"), H, W, 3, 5);
    folder.channels = 0;
    cnnbn_dataset *dataset = import(&folder);
    assert_int_equal(cnnbn_dataset_get_info(dataset)->shape.dim[2], 3);
    assert_int_equal(first_pixel(dataset, CNNBN_TRAIN, 1), 10);
    cnnbn_dataset_close(dataset);
}

/* Which of the images (by their value) are in the test set. */
static void test_members(const cnnbn_folder *folder, int member[256])
{
    memset(member, 0, 256 * sizeof *member);
    cnnbn_dataset *dataset = import(folder);
    for (size_t i = 0; i < cnnbn_dataset_get_info(dataset)->n[CNNBN_TEST]; i++)
        member[first_pixel(dataset, CNNBN_TEST, i)] = 1;
    cnnbn_dataset_close(dataset);
}

static void the_split_follows_names_alone(void **state)
{
    (void)state;
    enum { n = 100 };
    int before[256], after[256], other[256], count = 0, moved = 0;
    for (int i = 0; i < n; i++) write_flat(scratch("split/c%d/%d.png", i % 3, i), 1, 1, 1, i);
    cnnbn_folder folder = folder_at(scratch("split"));
    folder.test_share = 0.3;
    test_members(&folder, before);
    for (int i = 0; i < n; i++) write_flat(scratch("split/c%d/new-%d.png", i % 3, i), 1, 1, 1, 100 + i);
    test_members(&folder, after);
    folder.seed = 1;
    test_members(&folder, other);
    for (int i = 0; i < n; i++) {
        assert_int_equal(before[i], after[i]);
        count += before[i];
        moved += before[i] != other[i];
    }
    assert_in_range(count, 15, 45); /* 30 expected, standard deviation 4.6 */
    assert_true(moved > 10);
}

static void wrong_folders_are_refused(void **state)
{
    (void)state;
    cnnbn_folder folder = folder_at(scratch("nowhere"));
    refuse(&folder, CNNBN_ERR_IO, "nowhere");
    folder.path = scratch("empty");
    (void)scratch("empty/x");
    refuse(&folder, CNNBN_ERR_DATA, "a folder for each class");
    (void)scratch("empty/class/x");
    refuse(&folder, CNNBN_ERR_DATA, "without images");
    folder = folder_at(scratch("broken"));
    folder.test_share = 0;
    for (int i = 0; i < 5; i++) write_flat(scratch("broken/a/%d.png", i), H, W, 1, i);
    size_t bytes;
    uint8_t *png = read_bytes(scratch("broken/a/3.png"), &bytes);
    write_bytes(scratch("broken/a/3.png"), png, bytes / 2);
    free(png);
    refuse(&folder, CNNBN_ERR_DATA, "3.png: damaged PNG");
    write_bytes(scratch("broken/a/3.png"), "hello", 5);
    refuse(&folder, CNNBN_ERR_DATA, "3.png: neither");
}

/* ---------------------------------------------------------------- subsets */

enum { FULL = 90, FULL_TEST = 30, CLASSES = 4 };

/* Sample i has the pixel i; classes 0 to 3 are of unlike sizes. */
static int full_label(size_t i)
{
    return i % 10 < 5 ? 0 : i % 10 < 8 ? 1 : i % 10 == 8 ? 2 : 3;
}

static void write_full(const char *path, size_t n_test)
{
    cnnbn_dataset_writer *writer;
    cnnbn_dataset_spec spec = {
        .n = {FULL, n_test}, .shape = {3, {1, 1, 1}}, .squeeze = 1, .n_classes = CLASSES, .licence = "free", .gzip = 1};
    uint8_t images[FULL];
    int32_t labels[FULL];
    for (size_t i = 0; i < FULL; i++) {
        images[i] = (uint8_t)i;
        labels[i] = full_label(i);
    }
    check_ok(cnnbn_dataset_writer_create(path, &spec, &writer));
    check_ok(cnnbn_dataset_writer_append(writer, CNNBN_TRAIN, FULL, images, labels));
    if (n_test) check_ok(cnnbn_dataset_writer_append(writer, CNNBN_TEST, n_test, images, labels));
    check_ok(cnnbn_dataset_writer_end(writer));
}

/* The samples of a subset; checks labels and order. */
static size_t members_of(const char *path, cnnbn_split split, uint8_t *members, size_t counts[CLASSES])
{
    cnnbn_dataset *dataset;
    check_ok(cnnbn_dataset_open(path, NULL, &dataset));
    assert_string_equal(cnnbn_dataset_get_info(dataset)->licence, "free");
    size_t n = cnnbn_dataset_get_info(dataset)->n[split];
    memset(counts, 0, CLASSES * sizeof *counts);
    if (n) check_ok(cnnbn_dataset_read(dataset, split, 0, n, members));
    for (size_t i = 0; i < n; i++) {
        int label = cnnbn_dataset_labels(dataset, split)[i];
        assert_int_equal(label, full_label(members[i]));
        if (i) assert_true(members[i] > members[i - 1]);
        counts[label]++;
    }
    cnnbn_dataset_close(dataset);
    return n;
}

static void subsets_are_balanced(void **state)
{
    (void)state;
    const char *full = scratch("full.h5"), *out = scratch("subset.h5");
    uint8_t members[FULL], other[FULL];
    size_t counts[CLASSES];
    write_full(full, FULL_TEST);
    cnnbn_import_options options = options_for(out);
    options.limit[CNNBN_TRAIN] = 20;
    options.limit[CNNBN_TEST] = 7;
    check_ok(cnnbn_dataset_subset(full, &options));
    assert_int_equal(members_of(out, CNNBN_TRAIN, members, counts), 20);
    for (int k = 0; k < CLASSES; k++) assert_int_equal(counts[k], 5);
    static const uint8_t first[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    check_same_bits("the first ones", members, first, sizeof first);
    assert_int_equal(members_of(out, CNNBN_TEST, members, counts), 7);
    assert_int_equal(counts[3], 1);

    options.limit[CNNBN_TRAIN] = 60; /* two classes have 9 only: the others fill up */
    options.limit[CNNBN_TEST] = 0;
    check_ok(cnnbn_dataset_subset(full, &options));
    assert_int_equal(members_of(out, CNNBN_TRAIN, members, counts), 60);
    assert_int_equal(counts[2], 9);
    assert_int_equal(counts[3], 9);
    assert_int_equal(counts[0], 21);
    assert_int_equal(members_of(out, CNNBN_TEST, other, counts), 0);

    uint64_t seed = 5;
    options.limit[CNNBN_TRAIN] = 20;
    options.limit_seed = &seed;
    check_ok(cnnbn_dataset_subset(full, &options));
    assert_int_equal(members_of(out, CNNBN_TRAIN, members, counts), 20);
    for (int k = 0; k < CLASSES; k++) assert_int_equal(counts[k], 5);
    check_ok(cnnbn_dataset_subset(full, &options));
    (void)members_of(out, CNNBN_TRAIN, other, counts);
    check_same_bits("same seed", members, other, 20);
    seed = 6;
    check_ok(cnnbn_dataset_subset(full, &options));
    (void)members_of(out, CNNBN_TRAIN, other, counts);
    assert_memory_not_equal(members, other, 20);
}

static void test_samples_may_come_from_training(void **state)
{
    (void)state;
    const char *full = scratch("no-test.h5"), *out = scratch("both.h5");
    uint8_t train[FULL], test[FULL], seen[FULL] = {0};
    size_t counts[CLASSES];
    write_full(full, 0);
    cnnbn_import_options options = options_for(out);
    options.limit[CNNBN_TRAIN] = 70;
    options.limit[CNNBN_TEST] = 20;
    check_ok(cnnbn_dataset_subset(full, &options));
    assert_int_equal(members_of(out, CNNBN_TRAIN, train, counts), 70);
    assert_int_equal(members_of(out, CNNBN_TEST, test, counts), 20);
    for (int i = 0; i < 70; i++) seen[train[i]]++;
    for (int i = 0; i < 20; i++) seen[test[i]]++;
    for (int i = 0; i < FULL; i++) assert_int_equal(seen[i], 1);
    options.limit[CNNBN_TEST] = 21;
    check_status(cnnbn_dataset_subset(full, &options), CNNBN_ERR_OPTION, "21 test samples wanted");
    options.limit[CNNBN_TRAIN] = FULL + 1;
    check_status(cnnbn_dataset_subset(full, &options), CNNBN_ERR_OPTION, "91 training samples wanted");
    options.out = full;
    check_status(cnnbn_dataset_subset(full, &options), CNNBN_ERR_OPTION, "input as well as the output");
    options.out = out;
    check_status(cnnbn_dataset_subset(scratch("absent.h5"), &options), CNNBN_ERR_IO, "absent.h5");
}

int main(void)
{
    cnnbn_log_set_level(CNNBN_LOG_QUIET);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_become_classes_in_order),
        cmocka_unit_test(sizes_and_colours),
        cmocka_unit_test(the_split_follows_names_alone),
        cmocka_unit_test(wrong_folders_are_refused),
        cmocka_unit_test(subsets_are_balanced),
        cmocka_unit_test(test_samples_may_come_from_training),
    };
    return cmocka_run_group_tests_name("import_folder", tests, scratch_setup, scratch_teardown);
}
