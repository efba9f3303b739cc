/* .keras and .weights.h5 files from strangers: cut anywhere, changed anywhere, larger than they say. Each is read or refused with
 * a message; the sanitizers see to the rest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "checkpoint_made.h"
#include "cnnbn/convert.h"
#include "cnnbn/memory.h"
#include "cnnbn/rng.h"
#include "scratch.h"

#if CNNBN_HAVE_LIBZIP
#include <zip.h>
#endif

enum { CHANGES = 400 };

static void read_whole(const char *path)
{
    cnnbn_checkpoint *checkpoint;
    cnnbn_status status = cnnbn_checkpoint_read(path, &checkpoint);
    if (status == CNNBN_OK)
        cnnbn_checkpoint_destroy(checkpoint);
    else
        assert_true(cnnbn_error_message()[0] != '\0');
    assert_true(status == CNNBN_OK || status == CNNBN_ERR_CHECKPOINT || status == CNNBN_ERR_MODEL);
}

#if CNNBN_HAVE_LIBZIP

static void cut_archives_are_refused(void **state)
{
    (void)state;
    made_checkpoint made;
    made_create(&made, MADE_MODEL, 1);
    char path[4096];
    (void)snprintf(path, sizeof path, "%s", scratch_path("cut.keras"));
    check_ok(cnnbn_keras_write(path, &made.checkpoint));
    size_t n;
    unsigned char *bytes = scratch_read(path, &n);
    for (size_t length = 0; length < n; length += length < 64 || length + 200 > n ? 1 : 97) {
        cnnbn_checkpoint *checkpoint;
        scratch_write(path, bytes, length);
        check_status(cnnbn_checkpoint_read(path, &checkpoint), CNNBN_ERR_CHECKPOINT, "");
        assert_null(checkpoint);
    }
    free(bytes);
    made_destroy(&made);
}

static void changed_archives_are_survived(void **state)
{
    (void)state;
    made_checkpoint made;
    made_create(&made, MADE_MODEL, 1);
    char path[4096];
    (void)snprintf(path, sizeof path, "%s", scratch_path("changed.keras"));
    check_ok(cnnbn_keras_write(path, &made.checkpoint));
    size_t n;
    unsigned char *bytes = scratch_read(path, &n);
    for (uint64_t i = 0; i < CHANGES; i++) {
        /* every other one among the headers, where sizes and offsets are */
        size_t at = i % 2 ? (size_t)cnnbn_rng_below(1, i, n) : n - 1 - (size_t)cnnbn_rng_below(2, i, 260);
        unsigned char was = bytes[at];
        bytes[at] = (unsigned char)cnnbn_rng_below(3, i, 256);
        scratch_write(path, bytes, n);
        read_whole(path);
        bytes[at] = was;
    }
    free(bytes);
    made_destroy(&made);
}

/* Archives of chosen entries. */
static void make_zip(const char *path, int n, const char *const *names, const void *const *data, const size_t *bytes,
                     int deflated)
{
    int code;
    (void)remove(path);
    zip_t *archive = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, &code);
    assert_non_null(archive);
    for (int i = 0; i < n; i++) {
        zip_source_t *source = zip_source_buffer(archive, data[i], bytes[i], 0);
        zip_int64_t index = zip_file_add(archive, names[i], source, 0);
        assert_true(index >= 0);
        assert_int_equal(
            zip_set_file_compression(archive, (zip_uint64_t)index, deflated ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 9), 0);
    }
    assert_int_equal(zip_close(archive), 0);
}

static const char config[] =
    "{\"class_name\": \"Sequential\", \"config\": {\"name\": \"s\", \"layers\": [{\"class_name\": \"InputLayer\", "
    "\"config\": {\"batch_shape\": [null, 4], \"name\": \"in\"}}, {\"class_name\": \"Dense\", \"config\": {\"name\": "
    "\"d\", \"units\": 2}}]}}";

static void bombs_are_refused_by_what_they_declare(void **state)
{
    (void)state;
    enum { MANY = 80 << 20 };
    char path[4096];
    void *zeros;
    (void)snprintf(path, sizeof path, "%s", scratch_path("bomb.keras"));
    check_ok(cnnbn_alloc(MANY, "a test", &zeros));
    const char *const names[] = {"config.json", "model.weights.h5"};
    const void *const data[] = {config, zeros};
    const size_t bytes[] = {sizeof config - 1, MANY};
    make_zip(path, 2, names, data, bytes, 1);
    cnnbn_checkpoint *checkpoint;
    check_status(cnnbn_checkpoint_read(path, &checkpoint), CNNBN_ERR_CHECKPOINT, "model.weights.h5 has 83886080 bytes");
    const void *const data_2[] = {zeros, config};
    const size_t bytes_2[] = {MANY, sizeof config - 1};
    make_zip(path, 2, names, data_2, bytes_2, 1);
    check_status(cnnbn_checkpoint_read(path, &checkpoint), CNNBN_ERR_CHECKPOINT, "config.json has 83886080 bytes");
    cnnbn_free(zeros);
}

static void sizes_that_lie_are_refused(void **state)
{
    (void)state;
    char path[4096];
    (void)snprintf(path, sizeof path, "%s", scratch_path("lies.keras"));
    const char *const names[] = {"config.json"};
    const void *const data[] = {config};
    const size_t bytes[] = {sizeof config - 1};
    for (int deflated = 0; deflated < 2; deflated++) {
        static const long long lies[] = {-1, +1, 1 << 24};
        make_zip(path, 1, names, data, bytes, deflated);
        size_t n;
        unsigned char *whole = scratch_read(path, &n);
        size_t central = n - 3;
        while (central > 0 && memcmp(whole + central - 1, "PK\001\002", 4) != 0) central--;
        assert_true(central > 0);
        for (int k = 0; k < 3; k++) { /* the uncompressed size, in both headers */
            unsigned long long size = sizeof config - 1 + (unsigned long long)lies[k];
            for (int b = 0; b < 4; b++)
                whole[22 + b] = whole[central - 1 + 24 + (size_t)b] = (unsigned char)(size >> 8 * b);
            scratch_write(path, whole, n);
            cnnbn_model *model;
            check_status(cnnbn_checkpoint_read_model(path, &model), CNNBN_ERR_CHECKPOINT, "lies.keras");
            assert_null(model);
        }
        free(whole);
    }
}

static void strange_archives_are_named(void **state)
{
    (void)state;
    static const char junk[] = "not HDF5 at all";
    char path[4096];
    cnnbn_checkpoint *checkpoint;
    (void)snprintf(path, sizeof path, "%s", scratch_path("strange.keras"));
    const char *const npz[] = {"arr_0.npy"}, *const only_model[] = {"config.json"},
                      *const both[] = {"config.json", "model.weights.h5"};
    const void *const data[] = {config, junk};
    const size_t bytes[] = {sizeof config - 1, sizeof junk - 1};
    make_zip(path, 1, npz, data, bytes, 0);
    check_status(cnnbn_checkpoint_read(path, &checkpoint), CNNBN_ERR_CHECKPOINT, "without config.json");
    make_zip(path, 1, only_model, data, bytes, 0);
    check_status(cnnbn_checkpoint_read(path, &checkpoint), CNNBN_ERR_CHECKPOINT, "has no model.weights.h5");
    make_zip(path, 2, both, data, bytes, 0);
    check_status(cnnbn_checkpoint_read(path, &checkpoint), CNNBN_ERR_CHECKPOINT, "is not an HDF5 file");
    const void *const text[] = {junk, junk};
    const size_t text_bytes[] = {sizeof junk - 1, sizeof junk - 1};
    make_zip(path, 2, both, text, text_bytes, 0);
    check_status(cnnbn_checkpoint_read(path, &checkpoint), CNNBN_ERR_MODEL, "strange.keras");
    static const char nul[] = "{\0}";
    const void *const with_nul[] = {nul, junk};
    const size_t nul_bytes[] = {sizeof nul - 1, sizeof junk - 1};
    make_zip(path, 2, both, with_nul, nul_bytes, 0);
    check_status(cnnbn_checkpoint_read(path, &checkpoint), CNNBN_ERR_CHECKPOINT, "holds a NUL");

    /* the same name twice: one reader takes the first, another the last */
    const char *const twice[] = {"config.json", "config.jsoM"};
    const void *const same[] = {config, config};
    const size_t same_bytes[] = {sizeof config - 1, sizeof config - 1};
    make_zip(path, 2, twice, same, same_bytes, 0);
    size_t n;
    unsigned char *whole = scratch_read(path, &n);
    for (size_t i = 0; i + 11 <= n; i++)
        if (memcmp(whole + i, "config.jsoM", 11) == 0) whole[i + 10] = 'n';
    scratch_write(path, whole, n);
    free(whole);
    check_status(cnnbn_checkpoint_read(path, &checkpoint), CNNBN_ERR_CHECKPOINT, "more than once");
}

#else

static void archives_are_refused_without_libzip(void **state)
{
    (void)state;
    scratch_write(scratch_path("a.keras"), "PK\003\004 and more", 13);
    read_whole(scratch_path("a.keras"));
    assert_non_null(strstr(cnnbn_error_message(), "libzip-dev"));
}

#endif

static void cut_weights_are_refused(void **state)
{
    (void)state;
    made_checkpoint made;
    made_create(&made, MADE_MODEL, 1);
    char path[4096];
    (void)snprintf(path, sizeof path, "%s", scratch_path("cut.weights.h5"));
    check_ok(cnnbn_keras_write_weights(path, &made.checkpoint));
    size_t n;
    unsigned char *bytes = scratch_read(path, &n);
    for (size_t length = 0; length < n; length += length < 64 ? 1 : 61) {
        scratch_write(path, bytes, length);
        check_status(cnnbn_checkpoint_read_weights(path, made.checkpoint.model, made.checkpoint.params),
                     CNNBN_ERR_CHECKPOINT, "cut.weights.h5");
    }
    free(bytes);
    made_destroy(&made);
}

static void changed_weights_are_survived(void **state)
{
    (void)state;
    made_checkpoint made;
    made_create(&made, MADE_MODEL, 1);
    char path[4096];
    (void)snprintf(path, sizeof path, "%s", scratch_path("changed.weights.h5"));
    check_ok(cnnbn_keras_write_weights(path, &made.checkpoint));
    size_t n;
    unsigned char *bytes = scratch_read(path, &n);
    for (uint64_t i = 0; i < CHANGES; i++) {
        size_t at = (size_t)cnnbn_rng_below(4, i, n);
        unsigned char was = bytes[at];
        bytes[at] = (unsigned char)cnnbn_rng_below(5, i, 256);
        scratch_write(path, bytes, n);
        cnnbn_status status = cnnbn_checkpoint_read_weights(path, made.checkpoint.model, made.checkpoint.params);
        assert_true(status == CNNBN_OK || status == CNNBN_ERR_CHECKPOINT);
        bytes[at] = was;
    }
    free(bytes);
    made_destroy(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#if CNNBN_HAVE_LIBZIP
        cmocka_unit_test(cut_archives_are_refused),
        cmocka_unit_test(changed_archives_are_survived),
        cmocka_unit_test(bombs_are_refused_by_what_they_declare),
        cmocka_unit_test(sizes_that_lie_are_refused),
        cmocka_unit_test(strange_archives_are_named),
#else
        cmocka_unit_test(archives_are_refused_without_libzip),
#endif
        cmocka_unit_test(cut_weights_are_refused),
        cmocka_unit_test(changed_weights_are_survived),
    };
    return cmocka_run_group_tests_name("convert_hostile", tests, scratch_create, scratch_remove);
}
