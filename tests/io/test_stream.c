/* Streams: whatever is asked comes as cnnbn_dataset_read gives it, in any order, memory and layout. */
#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "cnnbn/dataset.h"
#include "cnnbn/log.h"
#include "cnnbn/rng.h"
#include "scratch.h"

enum { N = 1003, SAMPLE = 5 * 7 * 3, MAX_BATCH = 40 };

typedef struct layout {
    hid_t type;
    hsize_t chunk; /* 0: contiguous */
    int gzip;
} layout;

static cnnbn_dataset *make(const layout *l)
{
    const char *path = scratch_path("data.h5");
    static float images[N * SAMPLE];
    static uint8_t bytes[N * SAMPLE];
    fill_random(images, (size_t)N * SAMPLE, 3);
    for (int i = 0; i < N * SAMPLE; i++) bytes[i] = (uint8_t)(100 + 100 * images[i]);
    int is_u8 = l->type == H5T_STD_U8LE;
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const hsize_t dim[4] = {N, 5, 7, 3}, chunk[4] = {l->chunk, 5, 7, 3};
    hid_t x_space = H5Screate_simple(4, dim, NULL), y_space = H5Screate_simple(1, dim, NULL),
          plist = H5Pcreate(H5P_DATASET_CREATE);
    if (l->chunk) (void)H5Pset_chunk(plist, 4, chunk);
    if (l->gzip) (void)H5Pset_deflate(plist, 1);
    hid_t x = H5Dcreate2(file, "x_train", l->type, x_space, H5P_DEFAULT, plist, H5P_DEFAULT);
    hid_t y = H5Dcreate2(file, "y_train", H5T_STD_I64LE, y_space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    static int labels[N];
    (void)H5Dwrite(y, H5T_NATIVE_INT, H5S_ALL, H5S_ALL, H5P_DEFAULT, labels);
    if (is_u8)
        (void)H5Dwrite(x, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes);
    else
        (void)H5Dwrite(x, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, images);
    (void)H5Dclose(x);
    (void)H5Dclose(y);
    (void)H5Sclose(x_space);
    (void)H5Sclose(y_space);
    (void)H5Pclose(plist);
    assert_true(H5Fclose(file) >= 0);
    cnnbn_dataset *dataset;
    check_ok(cnnbn_dataset_open(path, NULL, &dataset));
    return dataset;
}

/* Request k: sizes 0, 1, ..., MAX_BATCH in turn; in file order, then at random. */
static int ids_of(uint64_t k, uint64_t *ids, int at_random)
{
    int n = (int)(k * 7 % (MAX_BATCH + 1));
    uint64_t key = cnnbn_rng_key(k, CNNBN_RNG_TEST, 0, 0, 0);
    for (int i = 0; i < n; i++) ids[i] = at_random ? cnnbn_rng_below(key, (uint64_t)i, N) : (k * 20 + (uint64_t)i) % N;
    return n;
}

static void samples_are_those_of_the_dataset(void **state)
{
    (void)state;
    const layout layouts[] = {{H5T_STD_U8LE, 0, 0},
                              {H5T_STD_U8LE, 13, 0},
                              {H5T_STD_U8LE, 2000, 1},
                              {H5T_IEEE_F32LE, 16, 1},
                              {H5T_IEEE_F32LE, 0, 0}};
    const size_t memories[] = {1, 60000, (size_t)1 << 30};
    enum { REQUESTS = 120 };
    cnnbn_log_set_level(CNNBN_LOG_QUIET); /* too little memory is warned of */
    for (size_t l = 0; l < sizeof layouts / sizeof *layouts; l++) {
        if (layouts[l].chunk > N) continue; /* HDF5 wants chunks within a fixed shape */
        cnnbn_dataset *dataset = make(&layouts[l]);
        const cnnbn_dataset_info *info = cnnbn_dataset_get_info(dataset);
        unsigned char *all = malloc(N * info->sample_bytes);
        assert_non_null(all);
        check_ok(cnnbn_dataset_read(dataset, CNNBN_TRAIN, 0, N, all));
        for (int m = 0; m < 6; m++) {
            cnnbn_stream *stream;
            check_ok(cnnbn_stream_open(dataset, CNNBN_TRAIN, memories[m / 2], MAX_BATCH, &stream));
            uint64_t ids[MAX_BATCH];
            int n = ids_of(0, ids, m % 2);
            check_ok(cnnbn_stream_ask(stream, ids, n));
            for (uint64_t k = 0; k < REQUESTS; k++) {
                n = ids_of(k + 1, ids, m % 2);
                check_ok(cnnbn_stream_ask(stream, ids, n)); /* one ahead */
                const void *images;
                check_ok(cnnbn_stream_take(stream, &images));
                n = ids_of(k, ids, m % 2);
                for (int i = 0; i < n; i++)
                    check_same_bits("sample", (const unsigned char *)images + (size_t)i * info->sample_bytes,
                                    all + ids[i] * info->sample_bytes, info->sample_bytes);
            }
            cnnbn_stream_close(stream); /* with a request waiting */
        }
        free(all);
        cnnbn_dataset_close(dataset);
    }
    cnnbn_log_set_level(CNNBN_LOG_WARNING);
}

static void wrong_use_and_bad_data_are_told(void **state)
{
    (void)state;
    layout l = {H5T_STD_U8LE, 10, 0};
    cnnbn_dataset *dataset = make(&l);
    cnnbn_stream *stream;
    const void *images;
    const uint64_t ids[2] = {0, N};
    check_status(cnnbn_stream_open(dataset, CNNBN_TEST, 1 << 20, 4, &stream), CNNBN_ERR_INTERNAL, NULL);
    assert_null(stream);
    check_ok(cnnbn_stream_open(dataset, CNNBN_TRAIN, 1 << 20, 4, &stream));
    check_status(cnnbn_stream_take(stream, &images), CNNBN_ERR_INTERNAL, "nothing was asked");
    check_status(cnnbn_stream_ask(stream, ids, 2), CNNBN_ERR_INTERNAL, "sample 1003");
    check_status(cnnbn_stream_ask(stream, ids, 5), CNNBN_ERR_INTERNAL, "at most 4");
    check_ok(cnnbn_stream_ask(stream, ids, 1));
    check_ok(cnnbn_stream_ask(stream, ids, 0));
    check_status(cnnbn_stream_ask(stream, ids, 1), CNNBN_ERR_INTERNAL, "waiting");
    check_ok(cnnbn_stream_take(stream, &images));
    check_ok(cnnbn_stream_take(stream, &images));
    cnnbn_stream_close(stream);
    cnnbn_dataset_close(dataset);

    l = (layout){H5T_IEEE_F32LE, 10, 0};
    cnnbn_dataset_close(make(&l));
    hid_t file = H5Fopen(scratch_path("data.h5"), H5F_ACC_RDWR, H5P_DEFAULT),
          x = H5Dopen2(file, "x_train", H5P_DEFAULT);
    static float bad[N * SAMPLE];
    bad[500 * SAMPLE + 2] = NAN;
    (void)H5Dwrite(x, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, bad);
    (void)H5Dclose(x);
    (void)H5Fclose(file);
    check_ok(cnnbn_dataset_open(scratch_path("data.h5"), NULL, &dataset));
    check_ok(cnnbn_stream_open(dataset, CNNBN_TRAIN, 1 << 20, 4, &stream));
    const uint64_t near[1] = {505}, far[1] = {4};
    check_ok(cnnbn_stream_ask(stream, near, 1));
    check_ok(cnnbn_stream_ask(stream, far, 1));
    check_status(cnnbn_stream_take(stream, &images), CNNBN_ERR_DATA, "sample 500 holds NaN");
    assert_null(images);
    check_ok(cnnbn_stream_take(stream, &images));
    cnnbn_stream_close(stream);
    cnnbn_stream_close(NULL);
    cnnbn_dataset_close(dataset);
}

int main(void)
{
    (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_those_of_the_dataset),
        cmocka_unit_test(wrong_use_and_bad_data_are_told),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
