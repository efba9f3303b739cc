/* Keras 3's files and ONNX: there and back, and what is refused. That Keras and ONNX Runtime read them is shown in
 * tests/interop. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "checkpoint_made.h"
#include "cnnbn/convert.h"
#include "cnnbn/memory.h"
#include "scratch.h"

#if CNNBN_HAVE_ONNX
#include <onnx.pb-c.h>
#endif

static const char *const models[] = {MADE_MODEL, "resnet20", "keras-example"};

static void check_same_weights(const cnnbn_checkpoint *a, const cnnbn_model *model, float *const *params)
{
    check_ok(cnnbn_model_same(a->model, model));
    for (int i = 0; i < model->n_params; i++)
        check_same_bits(model->params[i].name, a->params[i], params[i], model->params[i].count * sizeof(float));
}

/* Arrays like the checkpoint's, zeroed. */
static float **blank(const cnnbn_model *model)
{
    void *block;
    check_ok(cnnbn_alloc_array((size_t)model->n_params, sizeof(float *), "a test", &block));
    float **params = block;
    for (int i = 0; i < model->n_params; i++) {
        check_ok(cnnbn_alloc_array(model->params[i].count, sizeof(float), "a test", &block));
        params[i] = block;
    }
    return params;
}

static void drop(const cnnbn_model *model, float **params)
{
    for (int i = 0; i < model->n_params; i++) cnnbn_free(params[i]);
    cnnbn_free(params);
}

static void weights_come_back(void **state)
{
    (void)state;
    const char *path = scratch_path("w.weights.h5");
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        made_checkpoint made;
        made_create(&made, models[m], 3);
        check_ok(cnnbn_keras_write_weights(path, &made.checkpoint));
        assert_false(scratch_exists(scratch_path("w.weights.h5.tmp")));
        float **params = blank(made.checkpoint.model);
        check_ok(cnnbn_checkpoint_read_weights(path, made.checkpoint.model, params));
        check_same_weights(&made.checkpoint, made.checkpoint.model, params);
        drop(made.checkpoint.model, params);

        cnnbn_checkpoint *whole;
        check_status(cnnbn_checkpoint_read(path, &whole), CNNBN_ERR_CHECKPOINT, "holds weights only");
        assert_null(whole);
        made_destroy(&made);
    }
}

static void other_models_weights_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *model, *says;
    } others[] = {
        {"{input: [6, 6, 2], layers: [{Conv2D: {filters: 3, kernel_size: 3}}, Flatten, {Dense: {units: 4}}]}",
         "holds 3 layers with weights, but the model has 2"},
        {"{input: [6, 6, 2], layers: [{Conv2D: {filters: 3, kernel_size: 3}}, BatchNormalization, Flatten, {Dense: "
         "{units: 5}}]}",
         "layer dense, weight kernel: layers/dense/vars/0 is float32 (48, 4), expected float32 (48, 5)"},
        {"{input: [6, 6, 2], layers: [{Conv2D: {filters: 3, kernel_size: 3, use_bias: false}}, BatchNormalization, "
         "Flatten, {Dense: {units: 4}}]}",
         "layers/conv2d holds 2 weights, but layer conv2d has 1"},
        {"{input: [6, 6, 2], layers: [{Conv2D: {name: a, filters: 3, kernel_size: 3}}, {Conv2D: {name: b, filters: 3, "
         "kernel_size: 1}}, Flatten, {Dense: {units: 4}}]}",
         "has no layers/conv2d_1 with weights, where layer b's are expected"},
    };
    made_checkpoint made;
    made_create(&made, MADE_MODEL, 3);
    const char *path = scratch_path("mine.weights.h5");
    check_ok(cnnbn_keras_write_weights(path, &made.checkpoint));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        cnnbn_model *model;
        check_ok(cnnbn_model_from_text(others[i].model, strlen(others[i].model), "the test's model", NULL, &model));
        float **params = blank(model);
        check_status(cnnbn_checkpoint_read_weights(path, model, params), CNNBN_ERR_CHECKPOINT, others[i].says);
        drop(model, params);
        cnnbn_model_destroy(model);
    }
    made_destroy(&made);
}

/* Keras numbers layers by its own order of the graph, not by the file's: here the last listed of two stands first. */
static void layers_are_numbered_as_keras_does(void **state)
{
    (void)state;
    static const char *const text =
        "{input: [6, 6, 2], layers: [{Conv2D: {name: short, filters: 2, kernel_size: 1}}, {Conv2D: {name: long, "
        "filters: "
        "2, kernel_size: 1, from: input}}, {ReLU: {name: r}}, {Add: {name: sum, from: [short, r]}}, Flatten, {Dense: "
        "{units: 2}}]}";
    made_checkpoint made;
    made_create(&made, text, 4);
    const char *path = scratch_path("order.weights.h5");
    check_ok(cnnbn_keras_write_weights(path, &made.checkpoint));
    /* the names in the file are another model's: the place decides */
    static const char *const renamed =
        "{input: [6, 6, 2], layers: [{Conv2D: {name: c, filters: 2, kernel_size: 1}}, {ReLU: {name: r}}, {Conv2D: "
        "{name: d, filters: 2, kernel_size: 1, from: input}}, {Add: {name: sum, from: [d, r]}}, Flatten, {Dense: "
        "{units: 2}}]}";
    cnnbn_model *model;
    check_ok(cnnbn_model_from_text(renamed, strlen(renamed), "the test's model", NULL, &model));
    float **params = blank(model);
    check_ok(cnnbn_checkpoint_read_weights(path, model, params));
    const cnnbn_model *from = made.checkpoint.model;
    assert_string_equal(from->layers[1].name, "long");
    check_same_bits("long", params[0], made.checkpoint.params[from->layers[1].first_param],
                    model->params[0].count * sizeof(float));
    drop(model, params);
    cnnbn_model_destroy(model);
    made_destroy(&made);
}

static void keras_files_come_back(void **state)
{
    (void)state;
    const char *path = scratch_path("whole.keras");
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        made_checkpoint made;
        made_create(&made, models[m], 5);
#if CNNBN_HAVE_LIBZIP
        check_ok(cnnbn_keras_write(path, &made.checkpoint));
        cnnbn_checkpoint *back;
        check_ok(cnnbn_checkpoint_read(path, &back));
        check_same_weights(&made.checkpoint, back->model, back->params);
        assert_false(back->is_cnnbn);
        assert_int_equal(strlen(back->digest), CNNBN_DIGEST_TEXT - 1);
        cnnbn_checkpoint_destroy(back);

        cnnbn_model *model;
        check_ok(cnnbn_checkpoint_read_model(path, &model));
        check_ok(cnnbn_model_same(model, made.checkpoint.model));
        float **params = blank(model);
        check_ok(cnnbn_checkpoint_read_weights(path, model, params));
        check_same_weights(&made.checkpoint, model, params);
        drop(model, params);
        cnnbn_model_destroy(model);

        size_t n, k; /* the same state is the same file */
        unsigned char *first = scratch_read(path, &n);
        check_ok(cnnbn_keras_write(path, &made.checkpoint));
        unsigned char *second = scratch_read(path, &k);
        assert_int_equal(n, k);
        check_same_bits("file", first, second, n);
        free(first);
        free(second);
#else
        check_status(cnnbn_keras_write(path, &made.checkpoint), CNNBN_ERR_CHECKPOINT, "libzip-dev");
#endif
        made_destroy(&made);
    }
}

static void conversions_go_round(void **state)
{
    (void)state;
    static const char *const ways[] = {
#if CNNBN_HAVE_LIBZIP
        "b.keras",
        "c.h5",
        "d.keras",
#endif
        "e.h5",
        "f.weights.h5"
    };
    const cnnbn_convert_options plain = {.overwrite = 1};
    char last[4096];
    made_checkpoint made;
    made_create(&made, "resnet20", 6);
    made.checkpoint.n_slots = made.checkpoint.n_meta = 0;
    (void)snprintf(last, sizeof last, "%s", scratch_path("a.h5"));
    check_ok(cnnbn_checkpoint_write(last, &made.checkpoint));
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        check_ok(cnnbn_convert(last, scratch_path(ways[i]), &plain));
        (void)snprintf(last, sizeof last, "%s", scratch_path(ways[i]));
    }
    check_ok(cnnbn_convert(scratch_path("e.h5"), scratch_path("m.json"), &plain));
    check_ok(cnnbn_convert(scratch_path("m.json"), scratch_path("m.yaml"), &plain));
    check_ok(cnnbn_convert("resnet20", scratch_path("builtin.json"), &plain));
    const cnnbn_convert_options with_model = {.model = scratch_path("m.yaml"), .overwrite = 1};
    check_ok(cnnbn_convert(last, scratch_path("g.h5"), &with_model));
    cnnbn_checkpoint *back;
    check_ok(cnnbn_checkpoint_read(scratch_path("g.h5"), &back));
    check_same_weights(&made.checkpoint, back->model, back->params);
    cnnbn_checkpoint_destroy(back);
    made_destroy(&made);
}

static void wrong_conversions_are_refused(void **state)
{
    (void)state;
    const cnnbn_convert_options plain = {0}, fold = {.fold_bn = 1}, model = {.model = "resnet20"};
    made_checkpoint made;
    made_create(&made, MADE_MODEL, 7);
    char h5[4096];
    (void)snprintf(h5, sizeof h5, "%s", scratch_path("x.h5"));
    check_ok(cnnbn_checkpoint_write(h5, &made.checkpoint));
    check_status(cnnbn_convert("a.bin", "b.h5", &plain), CNNBN_ERR_OPTION, "a.bin: its ending says nothing");
    check_status(cnnbn_convert(h5, "b", &plain), CNNBN_ERR_OPTION, "b: its ending says nothing");
    check_status(cnnbn_convert("a.onnx", "b.h5", &plain), CNNBN_ERR_OPTION, "ONNX files are written, not read");
    check_status(cnnbn_convert("a.json", "b.h5", &plain), CNNBN_ERR_OPTION, "a.json holds no weights");
    check_status(cnnbn_convert("a.weights.h5", "b.h5", &plain), CNNBN_ERR_OPTION, "--model");
    check_status(cnnbn_convert(h5, scratch_path("b.onnx"), &model), CNNBN_ERR_OPTION, "has a model of its own");
    check_status(cnnbn_convert(h5, scratch_path("b.keras"), &fold), CNNBN_ERR_OPTION, "--fold-bn");
    check_status(cnnbn_convert(h5, h5, &plain), CNNBN_ERR_OPTION, "over itself");
    scratch_write(scratch_path("there.json"), "{}", 2);
    check_status(cnnbn_convert(h5, scratch_path("there.json"), &plain), CNNBN_ERR_OPTION, "is there already");
    check_status(cnnbn_convert(scratch_path("none.h5"), scratch_path("y.json"), &plain), CNNBN_ERR_IO,
                 "cannot be opened");
    made_destroy(&made);
}

#if CNNBN_HAVE_ONNX

static Onnx__ModelProto *read_onnx(const char *path)
{
    size_t n;
    unsigned char *bytes = scratch_read(path, &n);
    Onnx__ModelProto *model = onnx__model_proto__unpack(NULL, n, bytes);
    free(bytes);
    assert_non_null(model);
    return model;
}

static size_t count_nodes(const Onnx__ModelProto *model, const char *type)
{
    size_t n = 0;
    for (size_t i = 0; i < model->graph->n_node; i++) n += strcmp(model->graph->node[i]->op_type, type) == 0;
    return n;
}

static const char *fact(const Onnx__ModelProto *model, const char *key)
{
    for (size_t i = 0; i < model->n_metadata_props; i++)
        if (strcmp(model->metadata_props[i]->key, key) == 0) return model->metadata_props[i]->value;
    return "";
}

static void onnx_says_the_model(void **state)
{
    (void)state;
    static char names[] = "a \"cat\"\ndog\n", mean[] = "0.5 0.25", std[] = "2 4";
    cnnbn_meta meta[4] = {{.key = "class_names", .kind = CNNBN_META_TEXT, .text = names},
                          {.key = "input_mean", .kind = CNNBN_META_TEXT, .text = mean},
                          {.key = "input_std", .kind = CNNBN_META_TEXT, .text = std},
                          {.key = "input_is_u8", .kind = CNNBN_META_INT, .i = 1}};
    made_checkpoint made;
    made_create(&made, MADE_MODEL, 8);
    made.checkpoint.meta = meta;
    made.checkpoint.n_meta = 4;
    for (int i = 0; i < 3; i++) made.checkpoint.params[5][i] += 2; /* variances */
    const char *path = scratch_path("m.onnx");
    for (int fold = 0; fold < 2; fold++) {
        check_ok(cnnbn_onnx_write(path, &made.checkpoint, fold));
        Onnx__ModelProto *model = read_onnx(path);
        assert_int_equal(model->opset_import[0]->version, 17);
        assert_int_equal(model->graph->input[0]->type->tensor_type->shape->n_dim, 4);
        assert_int_equal(model->graph->input[0]->type->tensor_type->shape->dim[3]->dim_value, 2);
        assert_string_equal(model->graph->input[0]->name, made.checkpoint.model->input_name);
        assert_string_equal(model->graph->output[0]->name, "dense");
        assert_int_equal(count_nodes(model, "BatchNormalization"), fold ? 0 : 1);
        assert_int_equal(count_nodes(model, "Conv"), 1);
        assert_int_equal(count_nodes(model, "Gemm"), 1);
        assert_int_equal(count_nodes(model, "Transpose"), 2);
        assert_string_equal(fact(model, "class_names"), "[\"a \\\"cat\\\"\", \"dog\"]");
        assert_string_equal(fact(model, "input_layout"), "NHWC");
        assert_non_null(strstr(fact(model, "preprocessing"), "\"mean\": [0.5, 0.25], \"std\": [2, 4]"));
        onnx__model_proto__free_unpacked(model, NULL);
    }
    made_destroy(&made);
}

static void onnx_takes_every_activation(void **state)
{
    (void)state;
    static const char *const text =
        "{input: [4, 4, 2], layers: [{Activation: {activation: relu}}, {Activation: {activation: relu6}}, {Activation: "
        "{activation: leaky_relu}}, {Activation: {activation: elu}}, {Activation: {activation: selu}}, {Activation: "
        "{activation: sigmoid}}, {Activation: {activation: tanh}}, {Activation: {activation: softplus}}, {Activation: "
        "{activation: gelu}}, {Activation: {activation: silu}}, {Activation: {activation: hard_sigmoid}}, {Activation: "
        "{activation: hard_swish}}, {ReLU: {max_value: 3, negative_slope: 0.1, threshold: 0.5}}, {LeakyReLU: "
        "{negative_slope: 0.2}}, ELU, Softmax, {Dropout: {rate: 0.5}}, Flatten]}";
    made_checkpoint made;
    made_create(&made, text, 9);
    check_ok(cnnbn_onnx_write(scratch_path("act.onnx"), &made.checkpoint, 0));
    Onnx__ModelProto *model = read_onnx(scratch_path("act.onnx"));
    assert_int_equal(count_nodes(model, "Transpose"), 0); /* nothing here cares for the order */
    assert_int_equal(count_nodes(model, "Erf"), 1);
    assert_string_equal(fact(model, "class_names"), "");
    onnx__model_proto__free_unpacked(model, NULL);
    made_destroy(&made);
}

#else

static void onnx_is_refused_by_name(void **state)
{
    (void)state;
    made_checkpoint made;
    made_create(&made, MADE_MODEL, 8);
    check_status(cnnbn_onnx_write(scratch_path("m.onnx"), &made.checkpoint, 0), CNNBN_ERR_CHECKPOINT,
                 "libprotobuf-c-dev");
    made_destroy(&made);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_come_back),
        cmocka_unit_test(other_models_weights_are_refused),
        cmocka_unit_test(layers_are_numbered_as_keras_does),
        cmocka_unit_test(keras_files_come_back),
        cmocka_unit_test(conversions_go_round),
        cmocka_unit_test(wrong_conversions_are_refused),
#if CNNBN_HAVE_ONNX
        cmocka_unit_test(onnx_says_the_model),
        cmocka_unit_test(onnx_takes_every_activation),
#else
        cmocka_unit_test(onnx_is_refused_by_name),
#endif
    };
    return cmocka_run_group_tests_name("convert", tests, scratch_create, scratch_remove);
}
