/* Datasets: what is read, what is refused and in which words, what is written. */
#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "check.h"
#include "cnnbn/dataset.h"
#include "scratch.h"

/* A file by hand: each test bends one thing. */
typedef struct handmade {
    hid_t x_type, y_type;
    int x_rank, y_rank;
    hsize_t x_dim[5], y_dim[2];
    hsize_t chunk; /* of x; 0: contiguous */
    int label;     /* of sample 3; the others have i % 4 */
    int n_names;   /* class_names */
    double odd_y;  /* value of y at its place 5, where not 0 */
    hid_t y_test;  /* type, where another */
    double nan_at; /* value of x at sample 2 */
    const char *std_name;
    double std;
    int test; /* x_test and y_test too: 6 samples of width test */
} handmade;

static handmade usual(void)
{
    return (handmade){.x_type = H5T_STD_U8LE,
                      .y_type = H5T_STD_I64LE,
                      .x_rank = 3,
                      .y_rank = 1,
                      .x_dim = {12, 5, 4, 3, 1},
                      .y_dim = {12, 2},
                      .chunk = 5,
                      .label = 3};
}

static void put(hid_t file, const char *name, hid_t type, int rank, const hsize_t *dim, hsize_t chunk,
                const double *data)
{
    hid_t space = H5Screate_simple(rank, dim, NULL), plist = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t chunks[5];
    memcpy(chunks, dim, (size_t)rank * sizeof *dim);
    if (chunk) {
        chunks[0] = chunk;
        (void)H5Pset_chunk(plist, rank, chunks);
    }
    hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    assert_true(dataset >= 0);
    hid_t from = H5Tget_class(type) == H5T_STRING ? type : H5T_NATIVE_DOUBLE; /* of text any bytes do */
    assert_true(H5Dwrite(dataset, from, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    (void)H5Dclose(dataset);
    (void)H5Pclose(plist);
    (void)H5Sclose(space);
}

static void put_numbers(hid_t file, const char *name, hsize_t n, double value)
{
    const double values[4] = {value, value, value, value};
    hid_t space = H5Screate_simple(1, &n, NULL),
          attr = H5Acreate2(file, name, H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    (void)H5Awrite(attr, H5T_NATIVE_DOUBLE, values);
    (void)H5Aclose(attr);
    (void)H5Sclose(space);
}

static const char *build(const handmade *h)
{
    const char *path = scratch_path("hand.h5");
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    double x[720], y[24];
    for (int i = 0; i < 720; i++) x[i] = i % 251;
    for (int i = 0; i < 24; i++) y[i] = i % 4;
    y[3] = h->label;
    if (h->odd_y != 0) y[5] = h->odd_y;
    if (h->nan_at != 0) x[2 * 20 + 7] = h->nan_at;
    put(file, "x_train", h->x_type, h->x_rank, h->x_dim, h->chunk, x);
    put(file, "y_train", h->y_type, h->y_rank, h->y_dim, 0, y);
    if (h->test) {
        const hsize_t dim[3] = {6, 5, (hsize_t)h->test}, n[1] = {6};
        put(file, "x_test", h->x_type, 3, dim, 0, x);
        const hsize_t rows[2] = {6, h->y_dim[1]};
        put(file, "y_test", h->y_test ? h->y_test : h->y_type, h->y_rank, h->y_rank > 1 ? rows : n, 0, y + 4);
    }
    if (h->n_names) {
        hsize_t n = (hsize_t)h->n_names;
        hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate_simple(1, &n, NULL);
        (void)H5Tset_size(type, 4);
        hid_t attr = H5Acreate2(file, "class_names", type, space, H5P_DEFAULT, H5P_DEFAULT);
        (void)H5Awrite(attr, type, "cat\0dog\0eel\0fourfive");
        (void)H5Aclose(attr);
        (void)H5Sclose(space);
        (void)H5Tclose(type);
    }
    if (h->std_name) put_numbers(file, h->std_name, 1, h->std);
    assert_true(H5Fclose(file) >= 0);
    return path;
}

static void refused(const char *path, cnnbn_status status, const char *text)
{
    cnnbn_dataset *dataset;
    check_status(cnnbn_dataset_open(path, NULL, &dataset), status, text);
    assert_null(dataset);
    check_status(status, status, path);
}

static void handmade_is_read(void **state)
{
    (void)state;
    handmade h = usual();
    h.n_names = 5;
    h.std_name = "std";
    h.std = 0.5;
    h.test = 4;
    cnnbn_dataset *dataset;
    check_ok(cnnbn_dataset_open(build(&h), NULL, &dataset));
    const cnnbn_dataset_info *info = cnnbn_dataset_get_info(dataset);
    assert_int_equal(info->n[CNNBN_TRAIN], 12);
    assert_int_equal(info->n[CNNBN_TEST], 6);
    assert_int_equal(info->shape.dim[1], 4);
    assert_int_equal(info->shape.dim[2], 1);
    assert_int_equal(info->sample_bytes, 20);
    assert_int_equal(info->n_classes, 5);
    assert_string_equal(info->class_names[3], "four"); /* fills its four bytes */
    assert_int_equal(info->chunk_samples, 5);
    assert_true(info->is_u8 && info->mean[0] == 0.0F && info->std[0] == 0.5F);
    assert_string_equal(info->source, "");
    assert_int_equal(cnnbn_dataset_labels(dataset, CNNBN_TRAIN)[6], 2);
    uint8_t images[80];
    check_ok(cnnbn_dataset_read(dataset, CNNBN_TRAIN, 3, 4, images)); /* over a chunk's end */
    for (int i = 0; i < 80; i++) assert_int_equal(images[i], (60 + i) % 251);
    check_ok(cnnbn_dataset_read(dataset, CNNBN_TRAIN, 12, 0, images));
    check_status(cnnbn_dataset_read(dataset, CNNBN_TRAIN, 10, 3, images), CNNBN_ERR_INTERNAL, NULL);
    cnnbn_dataset_close(dataset);
    cnnbn_dataset_close(NULL);

    /* other paths, labels (N, 1) of another type */
    h = usual();
    h.y_type = H5T_STD_U16BE;
    h.y_rank = 2;
    h.y_dim[1] = 1;
    cnnbn_dataset_paths paths = {.x_train = "/x_train", .y_train = "y_train"};
    check_ok(cnnbn_dataset_open(build(&h), &paths, &dataset));
    assert_int_equal(cnnbn_dataset_get_info(dataset)->n_classes, 4);
    cnnbn_dataset_close(dataset);
    paths.x_test = "other/x";
    check_status(cnnbn_dataset_open(build(&h), &paths, &dataset), CNNBN_ERR_DATA,
                 "has no dataset other/x; it holds: x_train, y_train");
}

static void wrong_arrays_are_refused(void **state)
{
    (void)state;
    handmade h = usual();
    h.x_rank = 2;
    refused(build(&h), CNNBN_ERR_DATA, "x_train is uint8 (12, 5), expected (N, H, W) or (N, H, W, C)");
    h = usual();
    h.x_rank = 5;
    refused(build(&h), CNNBN_ERR_DATA, "expected (N, H, W)");
    h = usual();
    h.x_type = H5T_IEEE_F64LE;
    refused(build(&h), CNNBN_ERR_DATA, "x_train is float64 (12, 5, 4), expected uint8");
    h.x_type = H5T_STD_I8LE;
    refused(build(&h), CNNBN_ERR_DATA, "x_train is int8");
    h.x_type = H5T_C_S1;
    refused(build(&h), CNNBN_ERR_DATA, "x_train is string");
    h = usual();
    h.y_type = H5T_C_S1;
    refused(build(&h), CNNBN_ERR_DATA, "y_train is string (12,), expected class numbers (integers) or values");
    h = usual();
    h.y_dim[0] = 11;
    refused(build(&h), CNNBN_ERR_DATA, "x_train has 12 samples and y_train has 11 labels");
    h = usual();
    h.x_dim[0] = h.y_dim[0] = 0;
    h.chunk = 0;
    refused(build(&h), CNNBN_ERR_DATA, "no samples");
    h = usual();
    h.test = 3;
    refused(build(&h), CNNBN_ERR_DATA, "x_test is uint8 (6, 5, 3), expected uint8 samples of shape (5, 4, 1)");
}

static cnnbn_dataset *values_of(const handmade *h, int n_targets, float *values, size_t n)
{
    cnnbn_dataset *dataset;
    check_ok(cnnbn_dataset_open(build(h), NULL, &dataset));
    assert_int_equal(cnnbn_dataset_get_info(dataset)->n_targets, n_targets);
    assert_int_equal(cnnbn_dataset_get_info(dataset)->n_classes, n_targets);
    assert_string_equal(cnnbn_dataset_get_info(dataset)->y_name, "y_train");
    assert_null(cnnbn_dataset_labels(dataset, CNNBN_TRAIN));
    check_ok(cnnbn_dataset_read_targets(dataset, CNNBN_TRAIN, 2, n, values));
    return dataset;
}

/* y as (N, K), of integers and of floats, and as float (N). */
static void values_are_read(void **state)
{
    (void)state;
    float values[24];
    handmade h = usual();
    h.y_rank = 2; /* 0 1, 2 3, 0 1, ... */
    h.n_names = 2;
    h.test = 4;
    cnnbn_dataset *dataset = values_of(&h, 2, values, 2);
    const float expected[4] = {0, 1, 2, 3};
    check_same_bits("integers", values, expected, sizeof expected);
    const cnnbn_dataset_info *info = cnnbn_dataset_get_info(dataset);
    assert_true(info->target_least == 0.0F && info->target_most == 3.0F);
    check_near("sums", info->target_sum_error, 4, 0); /* 2 + 3 */
    check_ok(cnnbn_dataset_read_targets(dataset, CNNBN_TEST, 5, 1, values));
    check_same_bits("of the test set", values, expected + 2, 2 * sizeof *values); /* y[14], y[15] */
    check_status(cnnbn_dataset_read_targets(dataset, CNNBN_TEST, 5, 2, values), CNNBN_ERR_INTERNAL, NULL);
    cnnbn_dataset_close(dataset);
    h = usual();
    h.y_type = H5T_IEEE_F64LE;
    h.odd_y = -2.5;
    cnnbn_dataset_close(values_of(&h, 1, values, 10));
    assert_true(values[3] == -2.5F && values[9] == 3.0F);
}

static void wrong_targets_are_refused(void **state)
{
    (void)state;
    static const double bad[] = {(double)NAN, (double)INFINITY};
    handmade h = usual();
    h.y_rank = 2;
    h.y_type = H5T_IEEE_F32LE;
    for (int i = 0; i < 2; i++) {
        h.odd_y = bad[i];
        refused(build(&h), CNNBN_ERR_DATA,
                i ? "y_train: sample 2 holds an infinity at value 1" : "y_train: sample 2 holds NaN at value 1");
    }
    h.odd_y = 0;
    h.n_names = 3;
    refused(build(&h), CNNBN_ERR_DATA, "y_train is float32 (12, 2) and class_names holds 3 names, expected 2");
    h = usual();
    h.y_rank = 2;
    h.y_dim[0] = 11;
    refused(build(&h), CNNBN_ERR_DATA, "x_train has 12 samples and y_train has values of 11");
    h = usual();
    h.test = 4;
    h.y_test = H5T_IEEE_F32LE;
    refused(build(&h), CNNBN_ERR_DATA, "y_test is float32 (6,), expected class numbers like the training set's");
    h.y_rank = 2;
    h.y_dim[1] = 0;
    refused(build(&h), CNNBN_ERR_DATA, "y_train");
}

static void wrong_values_are_refused(void **state)
{
    (void)state;
    handmade h = usual();
    h.label = -1;
    refused(build(&h), CNNBN_ERR_DATA, "y_train: label -1 at sample 3, expected 0");
    h.label = 2000000000;
    refused(build(&h), CNNBN_ERR_DATA, "label 2000000000 at sample 3");
    h = usual();
    h.n_names = 3;
    refused(build(&h), CNNBN_ERR_DATA, "label 3 at sample 3, expected 0 to 2 (class_names)");
    static const double bad_std[] = {0, -1, (double)NAN, (double)INFINITY};
    for (int i = 0; i < 4; i++) {
        h = usual();
        h.std_name = "std";
        h.std = bad_std[i];
        refused(build(&h), CNNBN_ERR_DATA, "attribute std of /");
    }
    h.std_name = "mean";
    refused(build(&h), CNNBN_ERR_DATA, "attribute mean of /");

    static const double bad_pixel[] = {(double)NAN, (double)INFINITY};
    for (int i = 0; i < 2; i++) {
        h = usual();
        h.x_type = H5T_IEEE_F32LE;
        h.nan_at = bad_pixel[i];
        cnnbn_dataset *dataset;
        float images[12 * 20];
        check_ok(cnnbn_dataset_open(build(&h), NULL, &dataset));
        check_ok(cnnbn_dataset_read(dataset, CNNBN_TRAIN, 0, 2, images));
        check_status(cnnbn_dataset_read(dataset, CNNBN_TRAIN, 1, 11, images), CNNBN_ERR_DATA,
                     "x_train: sample 2 holds");
        cnnbn_dataset_close(dataset);
    }
}

static void wrong_files_are_refused(void **state)
{
    (void)state;
    refused(scratch_path("missing.h5"), CNNBN_ERR_IO, "No such file");
    const char *path = scratch_path("other.h5");
    scratch_write(path, "", 0);
    refused(path, CNNBN_ERR_DATA, "is empty");
    scratch_write(path, "PK\003\004 and so on", 14);
    refused(path, CNNBN_ERR_DATA, "not an HDF5 file (a zip archive");
    assert_int_equal(mkdir(scratch_path("dir.h5"), 0777), 0);
    refused(scratch_path("dir.h5"), CNNBN_ERR_IO, "is a folder");

    handmade h = usual();
    size_t bytes;
    unsigned char *data = scratch_read(build(&h), &bytes);
    for (size_t cut = 1; cut < bytes; cut += 97) {
        scratch_write(path, data, cut);
        cnnbn_dataset *dataset;
        check_status(cnnbn_dataset_open(path, NULL, &dataset), CNNBN_ERR_DATA, path);
    }
    free(data);
}

/* Data that are elsewhere, or nowhere. */
static void absent_data_are_refused(void **state)
{
    (void)state;
    const hsize_t dim[3] = {12, 5, 4}, chunk[3] = {5, 5, 4}, huge[3] = {(hsize_t)1 << 40, 500, 400};
    for (int kind = 0; kind < 6; kind++) {
        handmade h = usual();
        const char *path = build(&h), *expected = NULL;
        hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), plist = H5Pcreate(H5P_DATASET_CREATE);
        hid_t space = H5Screate_simple(3, kind == 4 ? huge : dim, NULL), dataset = -1;
        (void)H5Ldelete(file, "x_train", H5P_DEFAULT);
        switch (kind) {
        case 0:
            (void)H5Lcreate_external("other.h5", "/x_train", file, "x_train", H5P_DEFAULT, H5P_DEFAULT);
            expected = "x_train is a link to another file";
            break;
        case 1:
            (void)H5Pset_external(plist, "raw.bin", 0, 240);
            dataset = H5Dcreate2(file, "x_train", H5T_STD_U8LE, space, H5P_DEFAULT, plist, H5P_DEFAULT);
            expected = "x_train is stored in another file";
            break;
        case 2:
            (void)H5Pset_virtual(plist, space, "other.h5", "/x", space);
            dataset = H5Dcreate2(file, "x_train", H5T_STD_U8LE, space, H5P_DEFAULT, plist, H5P_DEFAULT);
            expected = "x_train is a virtual dataset";
            break;
        case 3: /* chunks that were never written */
            (void)H5Pset_chunk(plist, 3, chunk);
            dataset = H5Dcreate2(file, "x_train", H5T_STD_U8LE, space, H5P_DEFAULT, plist, H5P_DEFAULT);
            expected = "x_train is incomplete: 0 of 3 chunks";
            break;
        case 4:
            dataset = H5Dcreate2(file, "x_train", H5T_STD_U8LE, space, H5P_DEFAULT, plist, H5P_DEFAULT);
            expected = "incomplete or damaged";
            break;
        default:
            dataset = H5Gcreate2(file, "x_train", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
            expected = "x_train is not a dataset";
        }
        if (dataset >= 0) (void)H5Oclose(dataset);
        (void)H5Sclose(space);
        (void)H5Pclose(plist);
        (void)H5Fclose(file);
        refused(path, CNNBN_ERR_DATA, expected);
    }
}

static cnnbn_dataset_spec spec_of(size_t n_train, size_t n_test)
{
    static const char *const names[] = {"a", "b", "c"};
    return (cnnbn_dataset_spec){.n = {n_train, n_test},
                                .shape = {3, {6, 5, 1}},
                                .n_classes = 3,
                                .class_names = names,
                                .source = "a test",
                                .licence = "none",
                                .gzip = 4};
}

static void written_comes_back(void **state)
{
    (void)state;
    enum { N = 5000 };
    static uint8_t images[N * 30];
    static int32_t labels[N];
    char digests[2][CNNBN_DIGEST_TEXT];
    for (int i = 0; i < N * 30; i++) images[i] = (uint8_t)(i * 37 >> 3);
    for (int i = 0; i < N; i++) labels[i] = i * 7 % 3;
    for (int k = 0; k < 2; k++) {
        const char *path = scratch_path("written.h5");
        cnnbn_dataset_spec spec = spec_of(N, 10);
        spec.squeeze = k;
        if (k) spec.gzip = 0;
        cnnbn_dataset_writer *writer;
        check_ok(cnnbn_dataset_writer_create(path, &spec, &writer));
        for (size_t at = 0; at < N; at += 77)
            check_ok(cnnbn_dataset_writer_append(writer, CNNBN_TRAIN, N - at < 77 ? N - at : 77, images + at * 30,
                                                 labels + at));
        check_ok(cnnbn_dataset_writer_append(writer, CNNBN_TEST, 10, images, labels));
        check_ok(cnnbn_dataset_writer_end(writer));
        assert_false(scratch_exists(scratch_path("written.h5.tmp")));
        cnnbn_dataset *dataset;
        check_ok(cnnbn_dataset_open(path, NULL, &dataset));
        const cnnbn_dataset_info *info = cnnbn_dataset_get_info(dataset);
        assert_int_equal(info->n[CNNBN_TRAIN], N);
        assert_string_equal(info->class_names[2], "c");
        assert_string_equal(info->source, "a test");
        assert_true(info->chunk_samples > 1 && info->chunk_samples < N);
        static uint8_t back[N * 30];
        check_ok(cnnbn_dataset_read(dataset, CNNBN_TRAIN, 0, N, back));
        check_same_bits("images", back, images, sizeof back);
        check_same_bits("labels", cnnbn_dataset_labels(dataset, CNNBN_TRAIN), labels, sizeof labels);
        check_ok(cnnbn_dataset_digest(dataset, digests[k]));
        cnnbn_dataset_close(dataset);
        labels[0] = 0;
    }
    assert_string_equal(digests[0], digests[1]); /* of the data, not of how they are stored */
}

static void half_a_dataset_is_not_written(void **state)
{
    (void)state;
    static const uint8_t images[60];
    static const int32_t labels[2] = {0, 2}, wrong[2] = {0, 3};
    const char *path = scratch_path("half.h5");
    cnnbn_dataset_spec spec = spec_of(3, 0);
    cnnbn_dataset_writer *writer;
    check_ok(cnnbn_dataset_writer_create(path, &spec, &writer));
    check_status(cnnbn_dataset_writer_append(writer, CNNBN_TRAIN, 2, images, wrong), CNNBN_ERR_DATA,
                 "label 3 at sample 1");
    check_ok(cnnbn_dataset_writer_append(writer, CNNBN_TRAIN, 2, images, labels));
    check_status(cnnbn_dataset_writer_append(writer, CNNBN_TRAIN, 2, images, labels), CNNBN_ERR_DATA, "expected 3");
    check_status(cnnbn_dataset_writer_end(writer), CNNBN_ERR_DATA, "2 samples came for the training split, expected 3");
    assert_false(scratch_exists(path));
    assert_false(scratch_exists(scratch_path("half.h5.tmp")));
    check_ok(cnnbn_dataset_writer_create(path, &spec, &writer));
    cnnbn_dataset_writer_abort(writer);
    cnnbn_dataset_writer_abort(NULL);
    assert_false(scratch_exists(scratch_path("half.h5.tmp")));
    check_status(cnnbn_dataset_writer_create(scratch_path("nowhere/a.h5"), &spec, &writer), CNNBN_ERR_IO,
                 "No such file");
    assert_null(writer);
    spec.n[0] = 0;
    check_status(cnnbn_dataset_writer_create(path, &spec, &writer), CNNBN_ERR_DATA, "no training samples");
}

static void digest_tells_datasets_apart(void **state)
{
    (void)state;
    char digests[6][CNNBN_DIGEST_TEXT];
    for (int i = 0; i < 6; i++) {
        handmade h = usual();
        if (i == 1) h.label = 2;
        if (i == 2) h.nan_at = 9; /* a pixel */
        if (i == 3) h.std_name = "std", h.std = 2;
        if (i >= 4) h.y_rank = 2; /* values */
        if (i == 5) h.odd_y = 0.5, h.y_type = H5T_IEEE_F32LE;
        cnnbn_dataset *dataset;
        check_ok(cnnbn_dataset_open(build(&h), NULL, &dataset));
        check_ok(cnnbn_dataset_digest(dataset, digests[i]));
        cnnbn_dataset_close(dataset);
        for (int j = 0; j < i; j++) assert_string_not_equal(digests[i], digests[j]);
    }
}

int main(void)
{
    (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handmade_is_read),
        cmocka_unit_test(wrong_arrays_are_refused),
        cmocka_unit_test(values_are_read),
        cmocka_unit_test(wrong_targets_are_refused),
        cmocka_unit_test(wrong_values_are_refused),
        cmocka_unit_test(wrong_files_are_refused),
        cmocka_unit_test(absent_data_are_refused),
        cmocka_unit_test(written_comes_back),
        cmocka_unit_test(half_a_dataset_is_not_written),
        cmocka_unit_test(digest_tells_datasets_apart),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
