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
    } files[] = {{"keras3_example", 387850, 1},
                 {"keras3_every_layer", 2727, 0},
                 {"keras3_shared", 163, 0},
                 {"keras2_sequential", 387850, 1},
                 {"keras2_functional", 203, 0}};
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

static void minimal_json_is_written(void **state)
{
    (void)state;
    static const char yaml[] = "name: n\ninput: [4, 4, 1]\nlayers:\n  - Conv2D: {filters: 2, kernel_size: 3}\n"
                               "  - LeakyReLU: {negative_slope: 0.5}\n  - AveragePooling2D";
    static const char expected[] =
        "{\"class_name\": \"Sequential\", \"config\": {\"name\": \"n\", \"layers\": [{\"class_name\": \"InputLayer\", "
        "\"config\": {\"batch_input_shape\": [null, 4, 4, 1], \"dtype\": \"float32\", \"name\": \"input\"}}, "
        "{\"class_name\": \"Conv2D\", \"config\": {\"name\": \"conv2d\", \"filters\": 2, \"kernel_size\": [3, 3], "
        "\"data_format\": \"channels_last\"}}, "
        "{\"class_name\": \"LeakyReLU\", \"config\": {\"name\": \"leaky_re_lu\", \"alpha\": 0.5}}, "
        "{\"class_name\": \"AveragePooling2D\", \"config\": {\"name\": \"average_pooling2d\", \"pool_size\": [2, 2], "
        "\"data_format\": \"channels_last\"}}]}}";
    cnnbn_model *m = NULL;
    char *json = NULL;
    check_ok(cnnbn_model_from_text(yaml, sizeof yaml - 1, "test", NULL, &m));
    check_ok(cnnbn_model_to_json(m, &json));
    assert_string_equal(json, expected);
    cnnbn_free(json);
    cnnbn_model_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_files_are_read),
        cmocka_unit_test(dialects_say_the_same),
        cmocka_unit_test(arguments_are_read),
        cmocka_unit_test(minimal_json_is_written),
    };
    return cmocka_run_group_tests_name("model_keras", tests, NULL, NULL);
}
