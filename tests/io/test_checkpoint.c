/* Checkpoints: the way there and back, Keras' layouts, damage, a folder of them. */
#include <hdf5.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "checkpoint_made.h"
#include "cnnbn/log.h"
#include "cnnbn/memory.h"
#include "cnnbn/rng.h"
#include "scratch.h"

static void check_same_state(const cnnbn_checkpoint *a, const cnnbn_checkpoint *b)
{
    check_ok(cnnbn_model_same(a->model, b->model));
    for (int i = 0; i < a->model->n_params; i++)
        check_same_bits(a->model->params[i].name, a->params[i], b->params[i],
                        a->model->params[i].count * sizeof(float));
    assert_int_equal(a->n_slots, b->n_slots);
    for (int i = 0; i < a->n_slots; i++) {
        assert_string_equal(a->slots[i].name, b->slots[i].name);
        assert_int_equal(a->slots[i].n, b->slots[i].n);
        check_same_bits(a->slots[i].name, a->slots[i].data, b->slots[i].data, a->slots[i].n * sizeof(float));
    }
    assert_int_equal(a->n_meta, b->n_meta);
    for (int i = 0; i < a->n_meta; i++) {
        const cnnbn_meta *x = &a->meta[i], *y = cnnbn_checkpoint_meta(b, x->key);
        assert_non_null(y);
        assert_int_equal(x->kind, y->kind);
        assert_true(x->i == y->i);
        check_same_bits(x->key, &x->f, &y->f, sizeof x->f);
        if (x->kind == CNNBN_META_TEXT) assert_string_equal(x->text, y->text);
    }
}

static void comes_back_as_it_was(void **state)
{
    (void)state;
    static char training[] = "{\"loss\": \"sparse_categorical_crossentropy\"}";
    made_checkpoint made;
    made_create(&made, MADE_MODEL, 5);
    made.checkpoint.training_config = training;
    made.checkpoint.params[0][0] = NAN; /* states are bits: nothing is mended */
    made.checkpoint.params[0][1] = -0.0F;
    const char *path = scratch_path("whole.h5");
    check_ok(cnnbn_checkpoint_write(path, &made.checkpoint));
    assert_false(scratch_exists(scratch_path("whole.h5.tmp")));

    cnnbn_checkpoint *back;
    check_ok(cnnbn_checkpoint_read(path, &back));
    check_same_state(&made.checkpoint, back);
    assert_string_equal(back->training_config, training);
    assert_true(back->is_cnnbn);
    assert_null(cnnbn_checkpoint_meta(back, "digest"));
    char digest[CNNBN_DIGEST_TEXT];
    check_ok(cnnbn_checkpoint_state_digest(&made.checkpoint, digest));
    assert_string_equal(digest, back->digest);
    made.slots[1].data[3] += 1;
    check_ok(cnnbn_checkpoint_state_digest(&made.checkpoint, digest));
    assert_string_not_equal(digest, back->digest);
    made.slots[1].data[3] = back->slots[1].data[3];

    /* the same state is the same file, to the byte */
    size_t n, m;
    unsigned char *first = scratch_read(path, &n);
    check_ok(cnnbn_checkpoint_write(path, &made.checkpoint));
    unsigned char *second = scratch_read(path, &m);
    assert_int_equal(n, m);
    check_same_bits("file", first, second, n);
    free(first);
    free(second);

    cnnbn_model *model;
    check_ok(cnnbn_checkpoint_read_model(path, &model));
    check_ok(cnnbn_model_same(model, back->model));
    cnnbn_model_destroy(model);
    cnnbn_checkpoint_destroy(back);
    made_destroy(&made);
}

static void builtin_models_come_back(void **state)
{
    (void)state;
    static const char *const names[] = {"keras-example", "resnet20"}; /* a chain and a graph */
    for (int i = 0; i < 2; i++) {
        made_checkpoint made;
        made_create(&made, names[i], 1);
        check_ok(cnnbn_checkpoint_write(scratch_path("builtin.h5"), &made.checkpoint));
        cnnbn_checkpoint *back;
        check_ok(cnnbn_checkpoint_read(scratch_path("builtin.h5"), &back));
        check_same_state(&made.checkpoint, back);
        cnnbn_checkpoint_destroy(back);
        made_destroy(&made);
    }
}

static void wrong_facts_and_slots_are_refused(void **state)
{
    (void)state;
    made_checkpoint made;
    made_create(&made, MADE_MODEL, 5);
    const char *path = scratch_path("refused.h5");
    (void)snprintf(made.meta[1].key, sizeof made.meta[1].key, "digest");
    check_status(cnnbn_checkpoint_write(path, &made.checkpoint), CNNBN_ERR_INTERNAL, "\"digest\"");
    (void)snprintf(made.meta[1].key, sizeof made.meta[1].key, "step");
    check_status(cnnbn_checkpoint_write(path, &made.checkpoint), CNNBN_ERR_INTERNAL, "\"step\"");
    made.checkpoint.n_meta = 1;
    made.slots[0].n--;
    check_status(cnnbn_checkpoint_write(path, &made.checkpoint), CNNBN_ERR_INTERNAL, "slot v has");
    made.slots[0].n++;
    assert_false(scratch_exists(path));
    assert_false(scratch_exists(scratch_path("refused.h5.tmp")));
    made_destroy(&made);
}

static void writing_where_it_cannot_be(void **state)
{
    (void)state;
    made_checkpoint made;
    made_create(&made, MADE_MODEL, 5);
    check_status(cnnbn_checkpoint_write(scratch_path("nowhere/a.h5"), &made.checkpoint), CNNBN_ERR_IO, "No such file");
    assert_int_equal(mkdir(scratch_path("folder.h5"), 0777), 0);
    check_status(cnnbn_checkpoint_write(scratch_path("folder.h5"), &made.checkpoint), CNNBN_ERR_IO,
                 "cannot be renamed");
    assert_false(scratch_exists(scratch_path("folder.h5.tmp")));
    check_status(cnnbn_checkpoint_write("/proc/a.h5", &made.checkpoint), CNNBN_ERR_IO, "not written");
    cnnbn_checkpoint *back;
    check_status(cnnbn_checkpoint_read(scratch_path("folder.h5"), &back), CNNBN_ERR_IO, "a folder");
    check_status(cnnbn_checkpoint_read(scratch_path("missing.h5"), &back), CNNBN_ERR_IO, "No such file");
    assert_null(back);
    made_destroy(&made);
}

/* ---------------------------------------------------------------- damage */

static void expect_refused(const char *path, const unsigned char *data, size_t bytes)
{
    cnnbn_checkpoint *back;
    cnnbn_model *model;
    scratch_write(path, data, bytes);
    check_status(cnnbn_checkpoint_read(path, &back), CNNBN_ERR_CHECKPOINT, path);
    assert_null(back);
    check_status(cnnbn_checkpoint_read_model(path, &model), CNNBN_ERR_CHECKPOINT, path);
    assert_null(model);
}

/* Every cut and every flipped bit is told: no byte of a checkpoint is outside its seal. CNNBN_TEST_LONG: as many as docs/reliability.md
 * states. */
static void damage_is_always_told(void **state)
{
    (void)state;
    const uint64_t n_cuts = getenv("CNNBN_TEST_LONG") ? 200 : 50, n_flips = getenv("CNNBN_TEST_LONG") ? 2000 : 300;
    made_checkpoint made;
    made_create(&made, MADE_MODEL, 5);
    const char *good = scratch_path("good.h5");
    check_ok(cnnbn_checkpoint_write(good, &made.checkpoint));
    made_destroy(&made);
    size_t bytes;
    unsigned char *data = scratch_read(good, &bytes);
    char damaged[256];
    (void)snprintf(damaged, sizeof damaged, "%s", scratch_path("damaged.h5"));
    uint64_t key = cnnbn_rng_key(11, CNNBN_RNG_TEST, 0, 0, 0);
    expect_refused(damaged, data, 0);
    expect_refused(damaged, data, bytes - 1);
    for (uint64_t i = 0; i < n_cuts; i++) expect_refused(damaged, data, cnnbn_rng_below(key, i, bytes));
    for (uint64_t i = 0; i < n_flips; i++) {
        /* a third in the seal, which is a hundredth of the file */
        size_t at = cnnbn_rng_below(key, n_cuts + 2 * i, i % 3 ? bytes : 512);
        unsigned char bit = (unsigned char)(1U << cnnbn_rng_below(key, n_cuts + 2 * i + 1, 8));
        data[at] ^= bit;
        expect_refused(damaged, data, bytes);
        data[at] ^= bit;
    }
    unsigned char *longer = calloc(1, bytes + 1);
    assert_non_null(longer);
    memcpy(longer, data, bytes);
    expect_refused(damaged, longer, bytes + 1);
    free(longer);
    free(data);
}

/* Without its seal (a tool that rewrites HDF5 drops it) the digest inside holds. */
static void digest_inside_holds_without_the_seal(void **state)
{
    (void)state;
    made_checkpoint made;
    made_create(&made, MADE_MODEL, 5);
    char path[256];
    (void)snprintf(path, sizeof path, "%s", scratch_path("unsealed.h5"));
    check_ok(cnnbn_checkpoint_write(path, &made.checkpoint));
    size_t bytes;
    unsigned char *data = scratch_read(path, &bytes);
    scratch_write(path, data + 512, bytes - 512);
    free(data);
    cnnbn_checkpoint *back;
    check_ok(cnnbn_checkpoint_read(path, &back));
    check_same_state(&made.checkpoint, back);
    cnnbn_checkpoint_destroy(back);
    made_destroy(&made);

    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t dataset = H5Dopen2(file, "model_weights/dense/dense/bias:0", H5P_DEFAULT);
    static const float other[4] = {1, 2, 3, 4};
    assert_true(H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, other) >= 0);
    (void)H5Dclose(dataset);
    (void)H5Fclose(file);
    check_status(cnnbn_checkpoint_read(path, &back), CNNBN_ERR_CHECKPOINT, "changed after it was written");
    assert_null(back);
}

/* ---------------------------------------------------------------- Keras' files, made by hand */

static hid_t text_type(size_t bytes)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    (void)H5Tset_size(type, bytes);
    return type;
}

/* Fixed-length strings, as numpy writes them. */
static void put_names(hid_t object, const char *name, const char *texts, size_t each, hsize_t n)
{
    hid_t type = text_type(each), space = H5Screate_simple(1, &n, NULL);
    hid_t attr = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(attr >= 0 && H5Awrite(attr, type, texts) >= 0);
    (void)H5Aclose(attr);
    (void)H5Sclose(space);
    (void)H5Tclose(type);
}

static void put_array(hid_t group, const char *name, hid_t type, int rank, const hsize_t *dim, const double *data)
{
    hid_t links = H5Pcreate(H5P_LINK_CREATE), space = H5Screate_simple(rank, dim, NULL);
    (void)H5Pset_create_intermediate_group(links, 1);
    hid_t dataset = H5Dcreate2(group, name, type, space, links, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(dataset >= 0 && H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    (void)H5Dclose(dataset);
    (void)H5Sclose(space);
    (void)H5Pclose(links);
}

static const char two_dense[] = "{input: [3], layers: [{Dense: {units: 2}}, {Dense: {units: 1, use_bias: false}}]}";

typedef struct keras_file {
    const char *layer_names; /* each of 12 bytes */
    int layers_split;        /* layer_names0 and layer_names1 */
    hid_t type;
    hsize_t kernel_rows;
    int weights_only;
} keras_file;

/* Weights "a/b/kernel" make sub-groups; an empty layer between; values 0, 1, 2, ... */
static const char *write_keras(const keras_file *k)
{
    const char *path = scratch_path("keras.h5");
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), group = file;
    if (!k->weights_only) group = H5Gcreate2(file, "model_weights", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (k->layers_split) {
        put_names(group, "layer_names0", k->layer_names, 12, 1);
        put_names(group, "layer_names1", k->layer_names + 12, 12, 2);
    } else {
        put_names(group, "layer_names", k->layer_names, 12, 3);
    }
    double values[16];
    for (int i = 0; i < 16; i++) values[i] = i;
    const hsize_t kernel[2] = {k->kernel_rows, 2}, bias[1] = {2}, last[2] = {2, 1};
    for (int l = 0; l < 3; l++) {
        hid_t layer = H5Gcreate2(group, k->layer_names + 12 * l, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        if (l == 0) {
            put_names(layer, "weight_names", "net/d/kernel\0\0\0\0net/d/bias\0\0\0\0\0", 16, 2);
            put_array(layer, "net/d/kernel", k->type, 2, kernel, values);
            put_array(layer, "net/d/bias", k->type, 1, bias, values + 6);
        } else if (l == 1) {
            hsize_t none = 0;
            hid_t space = H5Screate_simple(1, &none, NULL);
            (void)H5Aclose(H5Acreate2(layer, "weight_names", H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT));
            (void)H5Sclose(space);
        } else {
            put_names(layer, "weight_names", "kernel:0", 8, 1);
            put_array(layer, "kernel:0", k->type, 2, last, values + 8);
        }
        (void)H5Gclose(layer);
    }
    if (group != file) (void)H5Gclose(group);
    (void)H5Fclose(file);
    return path;
}

static const char any_names[] = "one\0\0\0\0\0\0\0\0\0drop\0\0\0\0\0\0\0\0two\0\0\0\0\0\0\0\0\0";

static void keras_weights_are_matched_by_position(void **state)
{
    (void)state;
    cnnbn_model *model;
    check_ok(cnnbn_model_from_text(two_dense, strlen(two_dense), "test", NULL, &model));
    float kernel[6], bias[2], last[2];
    float *params[3] = {kernel, bias, last};
    static const float expected[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    for (int i = 0; i < 8; i++) {
        keras_file k = {any_names, i & 1, i & 2 ? H5T_IEEE_F64LE : H5T_IEEE_F32BE, 3, i >> 2 & 1};
        memset(kernel, 0, sizeof kernel);
        check_ok(cnnbn_checkpoint_read_weights(write_keras(&k), model, params));
        check_same_bits("kernel", kernel, expected, sizeof kernel);
        check_same_bits("bias", bias, expected + 6, sizeof bias);
        check_same_bits("last", last, expected + 8, sizeof last);
    }
    cnnbn_model_destroy(model);
}

static void weights_that_do_not_fit_are_named(void **state)
{
    (void)state;
    cnnbn_model *model;
    check_ok(cnnbn_model_from_text(two_dense, strlen(two_dense), "test", NULL, &model));
    float kernel[6] = {42}, bias[2], last[2];
    float *params[3] = {kernel, bias, last};
    keras_file k = {any_names, 0, H5T_IEEE_F32LE, 4, 0};
    check_status(
        cnnbn_checkpoint_read_weights(write_keras(&k), model, params), CNNBN_ERR_CHECKPOINT,
        "layer dense, weight kernel: model_weights/one/net/d/kernel is float32 (4, 2), expected float32 (3, 2)");
    assert_true(kernel[0] == 42); /* nothing is read before all fits */
    k = (keras_file){any_names, 0, H5T_STD_I32LE, 3, 0};
    check_status(cnnbn_checkpoint_read_weights(write_keras(&k), model, params), CNNBN_ERR_CHECKPOINT,
                 "is int32 (3, 2)");
    cnnbn_model_destroy(model);

    static const char one[] = "{input: [3], layers: [{Dense: {units: 2}}]}";
    check_ok(cnnbn_model_from_text(one, strlen(one), "test", NULL, &model));
    k = (keras_file){any_names, 0, H5T_IEEE_F32LE, 3, 0};
    const char *path = write_keras(&k);
    check_status(cnnbn_checkpoint_read_weights(path, model, params), CNNBN_ERR_CHECKPOINT,
                 "holds 2 layers with weights, but the model has 1");
    cnnbn_model *none;
    check_status(cnnbn_checkpoint_read_model(path, &none), CNNBN_ERR_CHECKPOINT, "model_config");
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    (void)H5Ldelete(file, "model_weights/one/net/d/kernel", H5P_DEFAULT);
    (void)H5Lcreate_external("elsewhere.h5", "/x", file, "model_weights/one/net/d/kernel", H5P_DEFAULT, H5P_DEFAULT);
    (void)H5Ldelete(file, "model_weights/two", H5P_DEFAULT);
    (void)H5Gclose(H5Gcreate2(file, "model_weights/two", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    (void)H5Fclose(file);
    check_status(cnnbn_checkpoint_read_weights(path, model, params), CNNBN_ERR_CHECKPOINT, "a link to another file");
    cnnbn_model_destroy(model);
}

static void keras_file_is_read_whole(void **state)
{
    (void)state;
    cnnbn_model *model;
    char *json;
    check_ok(cnnbn_model_from_text(two_dense, strlen(two_dense), "test", NULL, &model));
    check_ok(cnnbn_model_to_json(model, &json));
    keras_file k = {any_names, 0, H5T_IEEE_F32LE, 3, 0};
    const char *path = write_keras(&k);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    put_names(file, "model_config", json, strlen(json), 1);
    (void)H5Fclose(file);
    cnnbn_checkpoint *back;
    check_ok(cnnbn_checkpoint_read(path, &back));
    assert_false(back->is_cnnbn);
    assert_int_equal(back->n_slots, 0);
    assert_true(back->params[2][1] == 9);
    cnnbn_checkpoint_destroy(back);
    cnnbn_free(json);
    cnnbn_model_destroy(model);
}

/* Attributes of more than 64 KB are split, and read back. */
static void many_layers_are_split(void **state)
{
    (void)state;
    enum { LAYERS = 4100 };
    size_t room = 64 + LAYERS * 12, used;
    char *text = malloc(room);
    assert_non_null(text);
    used = (size_t)snprintf(text, room, "{input: [2], layers: [{Dense: {units: 2}}");
    for (int i = 0; i < LAYERS; i++) used += (size_t)snprintf(text + used, room - used, ", Flatten");
    (void)snprintf(text + used, room - used, "]}");
    made_checkpoint made;
    made_create(&made, text, 3);
    free(text);
    const char *path = scratch_path("many.h5");
    check_ok(cnnbn_checkpoint_write(path, &made.checkpoint));
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(H5Aexists_by_name(file, "model_weights", "layer_names1", H5P_DEFAULT) > 0);
    assert_true(H5Aexists_by_name(file, "model_weights", "layer_names", H5P_DEFAULT) == 0);
    (void)H5Fclose(file);
    cnnbn_checkpoint *back;
    check_ok(cnnbn_checkpoint_read(path, &back));
    check_same_state(&made.checkpoint, back);
    cnnbn_checkpoint_destroy(back);
    made_destroy(&made);
}

/* Keras gives weights to layers by place, in an order that it makes of the graph: here not the one they were written down in, and
 * a swap would go unnoticed. (The expected one is Keras 3.15's model.layers.) */
static void branches_are_listed_as_keras_does(void **state)
{
    (void)state;
    static const char *const names[] = {"input", "first", "long_1", "short", "long_2", "add"};
    made_checkpoint made;
    made_create(&made,
                "{input: [2], layers: [{Dense: {name: first, units: 2}}, {Dense: {name: long_1, units: 2}}, "
                "{Dense: {name: long_2, units: 2}}, {Dense: {name: short, units: 2, from: first}}, "
                "{Add: {from: [short, long_2]}}]}",
                3);
    const char *path = scratch_path("branches.h5");
    check_ok(cnnbn_checkpoint_write(path, &made.checkpoint));
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), type = text_type(H5T_VARIABLE);
    hid_t attribute = H5Aopen_by_name(file, "model_weights", "layer_names", H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = H5Aget_space(attribute);
    char *found[6];
    assert_int_equal(H5Sget_simple_extent_npoints(space), 6);
    assert_true(H5Aread(attribute, type, found) >= 0);
    for (int i = 0; i < 6; i++) assert_string_equal(found[i], names[i]);
    (void)H5Dvlen_reclaim(type, space, H5P_DEFAULT, found);
    (void)H5Sclose(space);
    (void)H5Aclose(attribute);
    (void)H5Tclose(type);
    (void)H5Fclose(file);
    made_destroy(&made);
}

/* ---------------------------------------------------------------- a folder */

static void write_step(const char *dir, int64_t step)
{
    char path[PATH_MAX];
    made_checkpoint made;
    made_create(&made, MADE_MODEL, (uint64_t)step);
    check_ok(cnnbn_checkpoint_path(dir, step / 100, step, path, sizeof path));
    check_ok(cnnbn_checkpoint_write(path, &made.checkpoint));
    made_destroy(&made);
}

static void expect_newest(const char *dir, int64_t step)
{
    char path[PATH_MAX];
    cnnbn_checkpoint *back;
    check_ok(cnnbn_checkpoint_newest(dir, &back, path, sizeof path));
    if (step < 0) {
        assert_null(back);
        assert_string_equal(path, "");
        return;
    }
    assert_non_null(back);
    assert_int_equal(cnnbn_checkpoint_meta(back, "step")->i, step);
    assert_true(scratch_exists(path));
    cnnbn_checkpoint_destroy(back);
}

static void folder_gives_its_newest_good_one(void **state)
{
    (void)state;
    char dir[256], path[PATH_MAX];
    (void)snprintf(dir, sizeof dir, "%s", scratch_path("run/one"));
    expect_newest(dir, -1);
    check_ok(cnnbn_checkpoint_prepare_dir(dir));
    check_ok(cnnbn_checkpoint_prepare_dir(dir));
    expect_newest(dir, -1);
    for (int64_t step = 100; step <= 500; step += 100) write_step(dir, step);
    expect_newest(dir, 500);
    cnnbn_log_set_level(CNNBN_LOG_QUIET); /* the warnings are meant */
    check_ok(cnnbn_checkpoint_path(dir, 5, 500, path, sizeof path));
    scratch_write(path, "torn", 4);
    expect_newest(dir, 400);
    check_ok(cnnbn_checkpoint_path(dir, 4, 400, path, sizeof path));
    scratch_write(path, "", 0);
    expect_newest(dir, 300);

    /* both kept ones are torn: the good one behind them stays */
    scratch_write(scratch_path("run/one/ckpt-0006-00000600.h5.tmp"), "x", 1);
    scratch_write(scratch_path("run/one/mine.h5"), "x", 1);
    cnnbn_checkpoint_prune(dir, 2, NULL);
    expect_newest(dir, 300);
    assert_false(scratch_exists(scratch_path("run/one/ckpt-0002-00000200.h5")));
    assert_false(scratch_exists(scratch_path("run/one/ckpt-0006-00000600.h5.tmp")));
    assert_true(scratch_exists(scratch_path("run/one/mine.h5")));
    write_step(dir, 700);
    cnnbn_checkpoint_prune(dir, 1, "somewhere/ckpt-0003-00000300.h5");
    assert_true(scratch_exists(scratch_path("run/one/ckpt-0003-00000300.h5")));
    assert_false(scratch_exists(scratch_path("run/one/ckpt-0005-00000500.h5")));
    expect_newest(dir, 700);
    cnnbn_log_set_level(CNNBN_LOG_WARNING);
    scratch_write(scratch_path("a_file"), "x", 1);
    check_status(cnnbn_checkpoint_prepare_dir(scratch_path("a_file/b")), CNNBN_ERR_IO, "cannot be created");
    check_status(cnnbn_checkpoint_prepare_dir("/proc"), CNNBN_ERR_IO, "no file can be created");
    check_status(cnnbn_checkpoint_path(dir, 1, 2, path, 20), CNNBN_ERR_IO, "too long");
}

int main(void)
{
    (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back_as_it_was),
        cmocka_unit_test(builtin_models_come_back),
        cmocka_unit_test(wrong_facts_and_slots_are_refused),
        cmocka_unit_test(writing_where_it_cannot_be),
        cmocka_unit_test(damage_is_always_told),
        cmocka_unit_test(digest_inside_holds_without_the_seal),
        cmocka_unit_test(keras_weights_are_matched_by_position),
        cmocka_unit_test(weights_that_do_not_fit_are_named),
        cmocka_unit_test(keras_file_is_read_whole),
        cmocka_unit_test(many_layers_are_split),
        cmocka_unit_test(branches_are_listed_as_keras_does),
        cmocka_unit_test(folder_gives_its_newest_good_one),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
