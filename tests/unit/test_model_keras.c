/* model: what real Keras wrote is read, and what is written is Keras' minimal dialect. The files of tests/golden/keras_json
 * are Keras 3's own (make_keras_json.py there) and, by hand after Keras 2.8's sources, Keras 2's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "cnnbn/layer.h"
#include "cnnbn/memory.h"
#include "cnnbn/model.h"

static cnnbn_model *golden(const char *name)
{
    char path[4096];
    const char *folder = getenv("CNNBN_TEST_GOLDEN");
    if (!folder) fail_msg("CNNBN_TEST_GOLDEN is not set: run me by ctest");
    (void)snprintf(path, sizeof path, "%s/%s.json", folder, name);
    cnnbn_model *m = NULL;
    check_ok(cnnbn_model_load(path, NULL, &m));
    return m;
}

/* Parameters as Keras' count_params() told them. */
static void golden_files_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t params;
        int sequential;
    } files[] = {{"keras3_example", 387850, 1}, {"keras3_every_layer", 2727, 0}, {"keras3_shared", 163, 0},
                 {"keras3_nested", 403, 0},     {"keras2_nested", 403, 0},       {"keras2_sequential", 387850, 1},
                 {"keras2_functional", 203, 0}, {"keras3_operations", 588, 0},   {"keras2_operations", 588, 0}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        cnnbn_model *m = golden(files[i].name);
        assert_int_equal(cnnbn_model_count_params(m, 0), files[i].params);
        assert_int_equal(m->sequential, files[i].sequential);
        for (int k = 0; k < 2; k++) {
            char *text = NULL;
            cnnbn_model *back = NULL;
            check_ok(k ? cnnbn_model_to_json(m, &text) : cnnbn_model_to_yaml(m, &text));
            check_ok(cnnbn_model_from_text(text, strlen(text), "back", NULL, &back));
            check_ok(cnnbn_model_same(m, back));
            assert_string_equal(m->name, back->name);
            assert_string_equal(m->input_name, back->input_name);
            for (int l = 0; l < m->n_layers; l++) assert_string_equal(m->layers[l].name, back->layers[l].name);
            cnnbn_model_destroy(back);
            cnnbn_free(text);
        }
        cnnbn_model_destroy(m);
    }
}

static void dialects_say_the_same(void **state)
{
    (void)state;
    cnnbn_model *a = golden("keras3_example"), *b = golden("keras2_sequential"), *c = NULL;
    check_ok(cnnbn_model_load("keras-example", NULL, &c));
    check_ok(cnnbn_model_same(a, b));
    check_ok(cnnbn_model_same(a, c));
    cnnbn_model_destroy(a);
    cnnbn_model_destroy(b);
    cnnbn_model_destroy(c);
}

/* Models inside the model are part of it: names, connections, and what was one. */
static void nested_models_are_flattened(void **state)
{
    (void)state;
    static const char expected[] = "name: outer\ninput: [6, 5, 3]\ninput_name: in\nlayers:\n"
                                   "  - Conv2D: {name: first, filters: 3, kernel_size: 3, padding: same}\n"
                                   "  - Conv2D: {name: pair_c, filters: 3, kernel_size: 3, padding: same}\n";
    cnnbn_model *a = golden("keras3_nested"), *b = golden("keras2_nested");
    char *text = NULL;
    check_ok(cnnbn_model_same(a, b));
    check_ok(cnnbn_model_to_yaml(a, &text));
    assert_memory_equal(text, expected, sizeof expected - 1);
    assert_non_null(strstr(text, "  - again: {layer: pair_c, from: pair_s}\n"));
    assert_non_null(strstr(text, "  - again: {layer: pair_d, from: first}\n"));
    assert_non_null(strstr(text, "  - Conv2D: {name: deep_seq_conv2d, filters: 3, kernel_size: 2, padding: same}\n"));
    cnnbn_free(text);
    static const struct {
        const char *name;
        int parent, sequential;
    } groups[] = {{"pair", -1, 0}, {"deep", -1, 0}, {"seq", 1, 1}, {"tail", -1, 1}};
    for (int i = 0; i < 2; i++) {
        const cnnbn_model *m = i ? b : a;
        assert_int_equal(m->n_groups, 4);
        for (int g = 0; g < 4; g++) {
            assert_string_equal(m->groups[g].name, groups[g].name);
            assert_int_equal(m->groups[g].parent, groups[g].parent);
            assert_int_equal(m->groups[g].sequential, groups[g].sequential);
        }
        assert_int_equal(m->layers[0].group, -1);
        assert_int_equal(m->layers[5].group, 2);
    }
    cnnbn_model_destroy(a);
    cnnbn_model_destroy(b);
}

static cnnbn_model *model_of(const char *json)
{
    cnnbn_model *m = NULL;
    check_ok(cnnbn_model_from_text(json, strlen(json), "test", NULL, &m));
    return m;
}

/* x + 3, x / 2, 2 - x and the like are layers that mean it; between tensors they are layers as ever. Keras 3 and Keras 2 have other
 * words for the same. */
static void operations_become_layers(void **state)
{
    (void)state;
    static const double scale[] = {1, 1.0 / 6, 0.5, 1, -1, -1, 1, 3}, offset[] = {3, 0, 0, -0.5, 2, 0, 0.25, 0};
    static const char *const merged[] = {"Add", "Multiply", "Multiply", "Subtract", "Add", "Subtract"};
    enum { N = sizeof scale / sizeof *scale, M = sizeof merged / sizeof *merged };
    cnnbn_model *a = golden("keras3_operations"), *b = golden("keras2_operations");
    for (int i = 0; i < 2; i++) {
        const cnnbn_model *m = i ? b : a;
        int n = 0, k = 0;
        for (int l = 0; l < m->n_layers; l++) {
            const cnnbn_layer *layer = &m->layers[l];
            if (strcmp(layer->type->name, "Rescaling") == 0) {
                check_near("scale", cnnbn_layer_arg(layer, "scale")->list.value[0], scale[n], 1e-12);
                check_near("offset", cnnbn_layer_arg(layer, "offset")->list.value[0], offset[n], 1e-12);
                n++;
            }
            if (k < M && strcmp(layer->type->name, merged[k]) == 0) k++;
        }
        assert_int_equal(n, N);
        assert_int_equal(k, M);
    }
    check_ok(cnnbn_model_same(a, b));
    cnnbn_model_destroy(a);
    cnnbn_model_destroy(b);
}

/* What an output of a model inside is made of, when nobody uses it, and what only leads there is no part of the model: but of its
 * files. */
static void unused_outputs_are_left_out(void **state)
{
    (void)state;
#define INPUT_LAYER(name)                                \
    "{\"class_name\": \"InputLayer\", \"name\": \"" name \
    "\", \"config\": {\"batch_shape\": [null, 8]}, \"inbound_nodes\": []}"
#define DENSE(name, units, from)                                                         \
    "{\"class_name\": \"Dense\", \"name\": \"" name "\", \"config\": {\"units\": " units \
    "}, \"inbound_nodes\": [[[\"" from "\", 0, 0, {}]]]}"
    cnnbn_model *m = model_of(
        "{\"class_name\": \"Functional\", \"config\": {\"name\": \"m\", \"layers\": [" INPUT_LAYER("i") "," DENSE(
            "o", "8",
            "i") ",{\"class_name\": \"Functional\", \"name\": \"in\", \"config\": {\"name\": \"in\", \"layers\": "
                 "[" INPUT_LAYER("a") "," INPUT_LAYER("b") "," DENSE("s", "4", "a") "," DENSE("t", "5", "b") "," DENSE(
                     "u", "6", "a") "],\"input_layers\": [[\"a\", 0, 0], [\"b\", 0, 0]], "
                                    "\"output_layers\": [[\"s\", 0, 0], [\"t\", 0, 0], [\"u\", 0, 0]]}, "
                                    "\"inbound_nodes\": [[[\"i\", 0, 0, {}], [\"o\", 0, 0, {}]]]}],"
                                    "\"input_layers\": [[\"i\", 0, 0]], \"output_layers\": [[\"in\", 1, 2]]}}");
    char *text = NULL;
    check_ok(cnnbn_model_to_yaml(m, &text));
    assert_string_equal(text, "name: m\ninput: [8]\ninput_name: i\nfunctional: true\nlayers:\n  - Dense: {name: in_u, "
                              "units: 6}\n");
    cnnbn_free(text);
    assert_int_equal(m->n_params, 2);
    assert_int_equal(m->params[0].count, 48);
    assert_non_null(m->whole);
    static const char *const names[] = {"o", "in_s", "in_t", "in_u"};
    assert_int_equal(m->whole->n_layers, 4);
    for (int l = 0; l < 4; l++) assert_string_equal(m->whole->layers[l].name, names[l]);
    assert_int_equal(m->whole->n_params, 8);
    assert_int_equal(m->whole_layer[0], 3);
    cnnbn_model_destroy(m);
#undef DENSE
#undef INPUT_LAYER
}

/* A name that is taken gives way; a model inside that does not train freezes its layers; a model in a chain is still a chain. */
static void nested_names_and_freezing(void **state)
{
    (void)state;
    cnnbn_model *m =
        model_of("{\"class_name\": \"Sequential\", \"config\": {\"name\": \"m\", \"layers\": ["
                 "{\"class_name\": \"InputLayer\", \"config\": {\"batch_shape\": [null, 8], \"name\": \"i\"}},"
                 "{\"class_name\": \"Sequential\", \"config\": {\"name\": \"a\", \"trainable\": false, \"layers\": ["
                 "{\"class_name\": \"Dense\", \"config\": {\"name\": \"b\", \"units\": 3}},"
                 "{\"class_name\": \"BatchNormalization\", \"config\": {\"name\": \"i\", \"trainable\": true}}]}},"
                 "{\"class_name\": \"Dense\", \"config\": {\"name\": \"a_b\", \"units\": 2}}]}}");
    static const char *const names[] = {"a_b_1", "a_i", "a_b"};
    for (int l = 0; l < 3; l++) {
        assert_string_equal(m->layers[l].name, names[l]);
        assert_int_equal(m->layers[l].trainable, l == 2);
    }
    assert_int_equal(m->sequential, 1);
    cnnbn_model_destroy(m);
}

/* Keras 2's hard_sigmoid is another function: clip(0.2 x + 0.5, 0, 1), in layers that mean the same in every Keras. */
static void hard_sigmoid_of_keras2(void **state)
{
    (void)state;
#define TEXT(version)                                                                                             \
    "{\"class_name\": \"Sequential\", \"keras_version\": \"" version "\", \"config\": {\"layers\": ["             \
    "{\"class_name\": \"InputLayer\", \"config\": {\"batch_input_shape\": [null, 8], \"name\": \"i\"}},"          \
    "{\"class_name\": \"Dense\", \"config\": {\"name\": \"d\", \"units\": 3, \"activation\": \"hard_sigmoid\"}}," \
    "{\"class_name\": \"Dense\", \"config\": {\"name\": \"d_clip\", \"units\": 2}}]}}"
    cnnbn_model *m = model_of(TEXT("2.8.0")), *other = model_of(TEXT("3.0.0")), *expected = NULL;
    static const char yaml[] = "input: [8]\nlayers:\n- Dense: {units: 3}\n- Rescaling: {scale: 0.2, offset: 0.5}\n"
                               "- ReLU: {max_value: 1}\n- Dense: {units: 2}";
    check_ok(cnnbn_model_from_text(yaml, sizeof yaml - 1, "test", NULL, &expected));
    check_ok(cnnbn_model_same(m, expected));
    assert_int_equal(m->sequential, 1);
    assert_string_equal(m->layers[1].name, "d_rescaling");
    assert_string_equal(m->layers[2].name, "d_clip_1");
    assert_int_equal(other->n_layers, 2);
    cnnbn_model_destroy(m);
    cnnbn_model_destroy(other);
    cnnbn_model_destroy(expected);
#undef TEXT
}

static void arguments_are_read(void **state)
{
    (void)state;
    cnnbn_model *m = golden("keras3_every_layer");
    const cnnbn_layer *conv = &m->layers[0], *bn = &m->layers[1], *gelu = &m->layers[5], *frozen = &m->layers[6];
    assert_int_equal(cnnbn_layer_arg(conv, "kernel_size")->i[1], 5);
    assert_int_equal(cnnbn_layer_arg(conv, "strides")->i[0], 2);
    assert_int_equal(cnnbn_layer_arg(conv, "kernel_initializer")->init.kind, CNNBN_INIT_HE_NORMAL);
    check_near("momentum", cnnbn_layer_arg(bn, "momentum")->f, 0.9, 1e-12);
    assert_int_equal(bn->n_params, 3); /* no gamma */
    assert_string_equal(m->params[bn->first_param].name, "beta");
    assert_int_equal(cnnbn_layer_arg(gelu, "activation")->act.act.kind, CNNBN_ACT_GELU);
    assert_int_equal(frozen->trainable, 0);
    assert_int_equal(m->params[frozen->first_param].trainable, 0);
    cnnbn_model_destroy(m);
}

/* Keras 2 writes an argument that the layer inherits and does not use; any value but that of none is refused. */
static void an_inherited_argument_is_looked_at(void **state)
{
    (void)state;
    static const char json[] =
        "{\"class_name\": \"Sequential\", \"config\": [{\"class_name\": \"Conv2DTranspose\", \"config\": {\"name\": "
        "\"t\", "
        "\"filters\": 2, \"kernel_size\": [2, 2], \"groups\": %d, \"batch_input_shape\": [null, 4, 4, 1]}}]}";
    for (int groups = 1; groups <= 2; groups++) {
        char text[sizeof json + 8];
        cnnbn_model *m = NULL;
        (void)snprintf(text, sizeof text, json, groups);
        cnnbn_status status = cnnbn_model_from_text(text, strlen(text), "test", NULL, &m);
        if (groups == 1)
            check_ok(status);
        else
            check_status(status, CNNBN_ERR_MODEL, "groups = 2");
        cnnbn_model_destroy(m);
    }
}

static void minimal_json_is_written(void **state)
{
    (void)state;
    static const char yaml[] = "name: n\ninput: [4, 4, 1]\nlayers:\n  - Conv2D: {filters: 2, kernel_size: 3}\n"
                               "  - LeakyReLU: {negative_slope: 0.5}\n  - AveragePooling2D\n"
                               "  - Rescaling: {scale: 2, name: r}\n  - Normalization: {axis: null, name: s}";
    static const char expected[] =
        "{\"class_name\": \"Sequential\", \"config\": {\"name\": \"n\", \"layers\": [{\"class_name\": \"InputLayer\", "
        "\"config\": {\"batch_input_shape\": [null, 4, 4, 1], \"dtype\": \"float32\", \"name\": \"input\"}}, "
        "{\"class_name\": \"Conv2D\", \"config\": {\"name\": \"conv2d\", \"filters\": 2, \"kernel_size\": [3, 3], "
        "\"data_format\": \"channels_last\"}}, "
        "{\"class_name\": \"LeakyReLU\", \"config\": {\"name\": \"leaky_re_lu\", \"alpha\": 0.5}}, "
        "{\"class_name\": \"AveragePooling2D\", \"config\": {\"name\": \"average_pooling2d\", \"pool_size\": [2, 2], "
        "\"data_format\": \"channels_last\"}}, "
        "{\"class_name\": \"Rescaling\", \"config\": {\"name\": \"r\", \"scale\": 2.0, \"offset\": 0.0}}, "
        "{\"module\": \"keras.layers\", \"registered_name\": null, \"class_name\": \"Normalization\", \"config\": "
        "{\"name\": \"s\", \"axis\": null}}]}}";
    cnnbn_model *m = NULL;
    char *json = NULL;
    check_ok(cnnbn_model_from_text(yaml, sizeof yaml - 1, "test", NULL, &m));
    check_ok(cnnbn_model_to_json(m, &json));
    assert_string_equal(json, expected);
    cnnbn_free(json);
    cnnbn_model_destroy(m);
}

/* Without its module Keras 3 loses the axis of a layer. */
static void an_axis_comes_with_the_module(void **state)
{
    (void)state;
    static const char yaml[] = "input: [4, 4, 2]\nlayers: [{Softmax: {axis: [2, 3]}}, {Softmax: {axis: 1}}, Softmax, "
                               "{LayerScale: {init_values: 0.5, projection_dim: 2}}, Flatten, {Dense: {units: 2}}]";
    static const char *const wanted[] = {
        "{\"module\": \"keras.layers\", \"registered_name\": null, \"class_name\": \"Softmax\", \"config\": {\"name\": "
        "\"softmax\", \"axis\": [2, 3]}}",
        "{\"module\": \"keras.layers\", \"registered_name\": null, \"class_name\": \"Softmax\", \"config\": {\"name\": "
        "\"softmax_1\", \"axis\": ",
        ", {\"class_name\": \"Softmax\", \"config\": {\"name\": \"softmax_2\"}}",
        "{\"module\": \"keras.src.applications.convnext\", \"registered_name\": null, \"class_name\": \"LayerScale\", "
        "\"config\": {\"name\": \"layer_scale\", \"init_values\": 0.5, \"projection_dim\": 2}}"};
    cnnbn_model *m = NULL, *again = NULL;
    char *json = NULL;
    check_ok(cnnbn_model_from_text(yaml, sizeof yaml - 1, "test", NULL, &m));
    check_ok(cnnbn_model_to_json(m, &json));
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!strstr(json, wanted[i])) fail_msg("%s\nis not in\n%s", wanted[i], json);
    check_ok(cnnbn_model_from_text(json, strlen(json), "test", NULL, &again));
    check_ok(cnnbn_model_same(m, again));
    cnnbn_free(json);
    cnnbn_model_destroy(again);
    cnnbn_model_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_files_are_read),
        cmocka_unit_test(dialects_say_the_same),
        cmocka_unit_test(operations_become_layers),
        cmocka_unit_test(unused_outputs_are_left_out),
        cmocka_unit_test(nested_models_are_flattened),
        cmocka_unit_test(nested_names_and_freezing),
        cmocka_unit_test(hard_sigmoid_of_keras2),
        cmocka_unit_test(arguments_are_read),
        cmocka_unit_test(an_inherited_argument_is_looked_at),
        cmocka_unit_test(minimal_json_is_written),
        cmocka_unit_test(an_axis_comes_with_the_module),
    };
    return cmocka_run_group_tests_name("model_keras", tests, NULL, NULL);
}
