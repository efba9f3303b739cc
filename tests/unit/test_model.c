/* model: shapes, names, graphs, weights, built-ins, writing and reading back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "cnnbn/layer.h"
#include "cnnbn/memory.h"
#include "cnnbn/model.h"

static cnnbn_model *model_of(const char *text)
{
    cnnbn_model *model = NULL;
    check_ok(cnnbn_model_from_text(text, strlen(text), "test", NULL, &model));
    return model;
}

static cnnbn_model *builtin(const char *name, int size, int channels, int n_classes)
{
    cnnbn_model_wish wish = {{3, {size, size, channels}}, n_classes, CNNBN_NORM_OWN};
    cnnbn_model *model = NULL;
    check_ok(cnnbn_model_load(name, &wish, &model));
    return model;
}

/* By hand: (3*3*1+1)*32; 4*32; (3*3*32+1)*64; 4*64; (24*24*64+1)*10. */
static void keras_example_is_the_example(void **state)
{
    (void)state;
    static const size_t counts[] = {320, 128, 18496, 256, 0, 368650};
    cnnbn_model *m = NULL;
    check_ok(cnnbn_model_load("keras-example", NULL, &m));
    assert_int_equal(m->n_layers, 6);
    assert_int_equal(m->sequential, 1);
    for (int l = 0; l < m->n_layers; l++) {
        size_t n = 0;
        for (int p = 0; p < m->layers[l].n_params; p++) n += m->params[m->layers[l].first_param + p].count;
        assert_int_equal(n, counts[l]);
    }
    assert_int_equal(cnnbn_model_count_params(m, 0), 387850);
    assert_int_equal(cnnbn_model_count_params(m, 1), 387850 - 2 * 32 - 2 * 64);
    assert_int_equal(cnnbn_model_n_outputs(m), 10);
    assert_string_equal(m->layers[3].name, "batch_normalization_1");
    const cnnbn_param *kernel = &m->params[m->layers[2].first_param];
    assert_string_equal(kernel->name, "kernel");
    assert_int_equal(kernel->fan_in, 3 * 3 * 32);
    assert_int_equal(kernel->fan_out, 3 * 3 * 64);
    assert_int_equal(kernel->init.kind, CNNBN_INIT_GLOROT_UNIFORM);
    assert_int_equal(kernel->decays, 1);
    static const char *const bn[] = {"gamma", "beta", "moving_mean", "moving_variance"};
    for (int i = 0; i < 4; i++) {
        const cnnbn_param *p = &m->params[m->layers[1].first_param + i];
        assert_string_equal(p->name, bn[i]);
        assert_int_equal(p->trainable, i < 2);
        assert_int_equal(p->decays, 0);
    }
    cnnbn_model_destroy(m);
}

/* Published: resnet18, 34, 50 and VGG-BN as torchvision's (trainable); VGG-BN on CIFAR as kuangliu/pytorch-cifar's; LeNet-5
 * 61,706 and All-CNN-C 1,369,738 are widely quoted. CIFAR ResNets with projections: the paper's 0.27, 0.46, 0.66, 0.85 and
 * 1.7 million (269,722, 464,154, 658,586, 853,018, 1,727,962 with option A) and two 1x1 convolutions with their batch
 * normalisation more: 16*32 + 2*32 + 32*64 + 2*64 = 2,752. MobileNets as Keras' applications and torchvision's (trainable);
 * DenseNet-40-12 1.0 and WRN-16-4 2.75 million in their papers; ConvMixer-256/8 with kernel 5 0.59 million in its paper. */
static void builtins_have_published_counts(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int size, channels, n_classes;
        size_t trainable;
    } known[] = {
        {"keras-example", 28, 1, 10, 387658},
        {"lenet5-bn", 28, 1, 10, 61932},
        {"lenet5", 28, 1, 10, 61706},
        {"lenet5", 32, 1, 10, 61706},
        {"allcnn", 32, 3, 10, 1369738},
        {"vgg11-bn", 32, 3, 10, 9231114},
        {"vgg16-bn", 32, 3, 10, 14728266},
        {"vgg11-bn", 224, 3, 1000, 132868840},
        {"vgg16-bn", 224, 3, 1000, 138365992},
        {"resnet20", 32, 3, 10, 269722 + 2752},
        {"resnet32", 32, 3, 10, 464154 + 2752},
        {"resnet44", 32, 3, 10, 658586 + 2752},
        {"resnet56", 32, 3, 10, 853018 + 2752},
        {"resnet110", 32, 3, 10, 1727962 + 2752},
        {"resnet18", 224, 3, 1000, 11689512},
        {"resnet34", 224, 3, 1000, 21797672},
        {"resnet50", 224, 3, 1000, 25557032},
        {"resnet18-cifar", 32, 3, 10, 11173962},
        {"mobilenet-v1", 224, 3, 1000, 4231976},
        {"mobilenet-v2", 224, 3, 1000, 3504872},
        {"densenet40-12", 32, 3, 10, 1019722},
        {"wrn-16-4", 32, 3, 10, 2748890},
        {"convmixer", 32, 3, 10, 594186},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        cnnbn_model *m = builtin(known[i].name, known[i].size, known[i].channels, known[i].n_classes);
        if (cnnbn_model_count_params(m, 1) != known[i].trainable)
            fail_msg("%s: %zu, expected %zu", known[i].name, cnnbn_model_count_params(m, 1), known[i].trainable);
        cnnbn_model_destroy(m);
    }
}

/* gamma and beta are two numbers a filter under any name, a bias one; moving statistics are batch normalisation's alone. resnet20
 * has 16 + 6*16 + (6*32 + 32) + (6*64 + 64) = 784 filters with its shortcuts, keras-example 96. */
static void builtins_change_their_normalisation(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        cnnbn_norm norm;
        size_t trainable, all;
        const char *layer;
    } known[] = {
        {"keras-example", CNNBN_NORM_BATCH, 387658, 387850, "batch_normalization"},
        {"keras-example", CNNBN_NORM_LAYER, 387658, 387658, "layer_normalization_1"},
        {"keras-example", CNNBN_NORM_GROUP, 387658, 387658, "group_normalization_1"},
        {"keras-example", CNNBN_NORM_NONE, 387658 - 2 * 96, 387658 - 2 * 96, "conv2d_1"},
        {"resnet20", CNNBN_NORM_BATCH, 272186, 272186 + 2 * 784, "s2b1_0_bn"},
        {"resnet20", CNNBN_NORM_LAYER, 272186, 272186, "s2b1_0_ln"},
        {"resnet20", CNNBN_NORM_GROUP, 272186, 272186, "s3b3_2_gn"},
        {"resnet20", CNNBN_NORM_NONE, 272186 - 784, 272186 - 784, "s2b1_0_conv"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        cnnbn_model_wish wish = {{3, {28, 28, 1}}, 10, known[i].norm};
        cnnbn_model *m = NULL;
        check_ok(cnnbn_model_load(known[i].name, &wish, &m));
        int found = 0;
        for (int l = 0; l < m->n_layers; l++) found |= strcmp(m->layers[l].name, known[i].layer) == 0;
        if (cnnbn_model_count_params(m, 1) != known[i].trainable || cnnbn_model_count_params(m, 0) != known[i].all ||
            !found)
            fail_msg("%s, norm %d: %zu of %zu parameters train", m->name, (int)known[i].norm,
                     cnnbn_model_count_params(m, 1), cnnbn_model_count_params(m, 0));
        cnnbn_model_destroy(m);
    }
    static const char *const residual[] = {"resnet18", "resnet18-cifar", "resnet50", "resnet110"};
    for (size_t i = 0; i < sizeof residual / sizeof *residual; i++)
        for (int norm = CNNBN_NORM_LAYER; norm < CNNBN_NORM_COUNT; norm++) {
            cnnbn_model_wish wish = {{3, {32, 32, 3}}, 10, (cnnbn_norm)norm};
            cnnbn_model *m = NULL;
            check_ok(cnnbn_model_load(residual[i], &wish, &m));
            assert_true(cnnbn_model_count_params(m, 0) == cnnbn_model_count_params(m, 1)); /* no moving statistics */
            cnnbn_model_destroy(m);
        }
    cnnbn_model_wish wish = {{3, {32, 32, 3}}, 10, CNNBN_NORM_GROUP};
    cnnbn_model *m = NULL;
    cnnbn_norm norm;
    check_status(cnnbn_model_load("vgg11-bn", &wish, &m), CNNBN_ERR_OPTION, "--norm group: model vgg11-bn has no such");
    check_status(cnnbn_model_load("./m.yaml", &wish, &m), CNNBN_ERR_OPTION, "--norm is for built-in models; ./m.yaml");
    check_status(cnnbn_norm_read("instance", &norm), CNNBN_ERR_OPTION,
                 "'instance' is none of batch, layer, group and none");
}

/* Every built-in takes 28x28x1 and 32x32x3, and reads back from both of its texts. */
static void builtins_read_back(void **state)
{
    (void)state;
    for (const char *const *name = cnnbn_model_builtin_names(); *name; name++) {
        for (int k = 0; k < 2; k++) {
            cnnbn_model *m = builtin(*name, k ? 32 : 28, k ? 3 : 1, 7);
            assert_int_equal(cnnbn_model_n_outputs(m), 7);
            char *json = NULL, *yaml = NULL;
            check_ok(cnnbn_model_to_json(m, &json));
            check_ok(cnnbn_model_to_yaml(m, &yaml));
            cnnbn_model *a = model_of(json), *b = model_of(yaml);
            check_ok(cnnbn_model_same(m, a));
            check_ok(cnnbn_model_same(m, b));
            assert_int_equal(a->sequential, m->sequential);
            assert_int_equal(b->sequential, m->sequential);
            cnnbn_model_destroy(a);
            cnnbn_model_destroy(b);
            cnnbn_model_destroy(m);
            cnnbn_free(json);
            cnnbn_free(yaml);
        }
    }
}

static void shape_is(const char *layers, int rank, int h, int w, int c)
{
    char text[400];
    (void)snprintf(text, sizeof text, "input: [7, 10, 4]\nlayers:\n%s", layers);
    cnnbn_model *m = model_of(text);
    cnnbn_shape shape = m->calls[m->output].shape;
    assert_int_equal(shape.rank, rank);
    assert_int_equal(shape.dim[0], h);
    if (rank == 3) {
        assert_int_equal(shape.dim[1], w);
        assert_int_equal(shape.dim[2], c);
    }
    cnnbn_model_destroy(m);
}

static void shapes_follow_keras(void **state)
{
    (void)state;
    shape_is("- Conv2D: {filters: 5, kernel_size: 3}", 3, 5, 8, 5);
    shape_is("- Conv2D: {filters: 5, kernel_size: [3, 2], strides: [2, 3], padding: same}", 3, 4, 4, 5);
    shape_is("- Conv2D: {filters: 5, kernel_size: 3, dilation_rate: 3}", 3, 1, 4, 5);
    shape_is("- DepthwiseConv2D: {kernel_size: 3, depth_multiplier: 2}", 3, 5, 8, 8);
    shape_is("- MaxPooling2D", 3, 3, 5, 4);
    shape_is("- AveragePooling2D: {pool_size: 3, strides: 1, padding: same}", 3, 7, 10, 4);
    shape_is("- GlobalAveragePooling2D", 1, 4, 0, 0);
    shape_is("- GlobalAveragePooling2D: {keepdims: true}", 3, 1, 1, 4);
    shape_is("- Flatten", 1, 280, 0, 0);
    shape_is("- SeparableConv2D: {filters: 5, kernel_size: 3, depth_multiplier: 2}", 3, 5, 8, 5);
    shape_is("- ZeroPadding2D: {padding: [[1, 0], [2, 3]]}", 3, 8, 15, 4);
    shape_is("- Cropping2D: {cropping: [1, 2]}", 3, 5, 6, 4);
    shape_is("- UpSampling2D: {size: [2, 3]}", 3, 14, 30, 4);
    shape_is("- GlobalMaxPooling2D: {keepdims: true}", 3, 1, 1, 4);
    shape_is("- GlobalMaxPooling2D: {name: g, keepdims: true}\n- Multiply: {from: [g, input]}", 3, 7, 10, 4);
    shape_is("- Reshape: {target_shape: [14, -1, 2]}", 3, 14, 10, 2);
    shape_is("- Conv2D: {name: a, filters: 3, kernel_size: 1}\n- Concatenate: {from: [a, input, a]}", 3, 7, 10, 10);
}

/* tf.nn's rule, by hand: in 7, k 3, stride 2, same: 4 out, (4-1)*2+3-7 = 2 padded, 1 before; in 10, k 2, stride 3:
 * 4 out, 9+2-10 = 1 padded, 0 before. */
static void windows_pad_as_tensorflow(void **state)
{
    (void)state;
    cnnbn_window w;
    const cnnbn_shape in = {3, {7, 10, 4}};
    const int kernel[2] = {3, 2}, strides[2] = {2, 3}, one[2] = {1, 1}, large[2] = {8, 2};
    check_ok(cnnbn_window_fill(&w, in, kernel, strides, one, 1));
    assert_int_equal(w.P, 4);
    assert_int_equal(w.Q, 4);
    assert_int_equal(w.pad_top, 1);
    assert_int_equal(w.pad_left, 0);
    check_ok(cnnbn_window_fill(&w, in, large, one, one, 1));
    assert_int_equal(w.P, 7);
    assert_int_equal(w.pad_top, 3);
    check_status(cnnbn_window_fill(&w, in, large, one, one, 0), CNNBN_ERR_MODEL,
                 "kernel 8x2 does not fit input (7, 10, 4)");
}

static const char graph_text[] = "name: graph\n"
                                 "input: [8, 8, 4]\n"
                                 "layers:\n"
                                 "  - Conv2D: {name: a, filters: 4, kernel_size: 3, padding: same}\n"
                                 "  - Add: {name: late, from: [later, 'a:1']}\n" /* refers to layers below */
                                 "  - BatchNormalization: {name: later, from: a, unbiased: true, momentum: 0.9}\n"
                                 "  - again: {layer: a, from: later}\n"
                                 "  - GlobalAveragePooling2D: {from: late}\n"
                                 "  - Dense:\n"
                                 "      units: 3\n"
                                 "    name: end\n"
                                 "output: end\n";

static void graphs_are_ordered_and_read_back(void **state)
{
    (void)state;
    cnnbn_model *m = model_of(graph_text);
    assert_int_equal(m->sequential, 0);
    assert_int_equal(m->n_layers, 5);
    assert_int_equal(m->n_calls, 7);
    for (int c = 1; c < m->n_calls; c++)
        for (int i = 0; i < m->calls[c].n_inputs; i++) assert_true(m->calls[c].inputs[i] < c);
    assert_int_equal(cnnbn_model_count_params(m, 0), 148 + 16 + 15); /* a shared layer counts once */
    char *yaml = NULL, *json = NULL;
    check_ok(cnnbn_model_to_yaml(m, &yaml));
    check_ok(cnnbn_model_to_json(m, &json));
    assert_null(strstr(json, "unbiased")); /* Keras refuses keys it does not know */
    cnnbn_model *b = model_of(yaml), *c = model_of(json);
    check_ok(cnnbn_model_same(m, b));
    check_status(cnnbn_model_same(m, c), CNNBN_ERR_MODEL, "unbiased");
    cnnbn_model_destroy(b);
    cnnbn_model_destroy(c);
    cnnbn_model_destroy(m);
    cnnbn_free(yaml);
    cnnbn_free(json);
}

static void names_are_given_as_keras_does(void **state)
{
    (void)state;
    cnnbn_model *m = model_of("input: [8]\nlayers: [Flatten, {Dense: {units: 2, name: dense}}, {Dense: {units: 2}},\n"
                              "  {Dense: {units: 2}}, {Dense: {units: 2, name: a/b}}]");
    static const char *const names[] = {"flatten", "dense", "dense_1", "dense_2", "a_b"};
    for (int l = 0; l < 5; l++) assert_string_equal(m->layers[l].name, names[l]);
    cnnbn_model_destroy(m);
}

static void frozen_layers_do_not_train(void **state)
{
    (void)state;
    cnnbn_model *m = model_of("input: [8]\nlayers: [{Dense: {units: 2, trainable: false}}, {Dense: {units: 2}}]");
    assert_int_equal(cnnbn_model_count_params(m, 0), 24);
    assert_int_equal(cnnbn_model_count_params(m, 1), 6);
    char *json = NULL;
    check_ok(cnnbn_model_to_json(m, &json));
    assert_non_null(strstr(json, "\"trainable\": false"));
    cnnbn_free(json);
    cnnbn_model_destroy(m);
}

static void differences_are_named(void **state)
{
    (void)state;
    cnnbn_model *a = model_of("input: [8]\nlayers: [{Dense: {units: 2}}, {LeakyReLU: {alpha: 0.30000001192092896}}]");
    cnnbn_model *b = model_of("input: [8]\nlayers: [{Dense: {units: 2, name: other}}, LeakyReLU]");
    cnnbn_model *c = model_of("input: [8]\nlayers: [{Dense: {units: 3}}, LeakyReLU]");
    cnnbn_model *d = model_of("input: [9]\nlayers: [{Dense: {units: 2}}, LeakyReLU]");
    check_ok(cnnbn_model_same(a, b));
    check_status(cnnbn_model_same(a, c), CNNBN_ERR_MODEL, "layer dense (Dense): argument units");
    check_status(cnnbn_model_same(a, d), CNNBN_ERR_MODEL, "(8)");
    cnnbn_model_destroy(a);
    cnnbn_model_destroy(b);
    cnnbn_model_destroy(c);
    cnnbn_model_destroy(d);
}

static void summary_is_keras_table(void **state)
{
    (void)state;
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    cnnbn_model *m = NULL, *g = model_of(graph_text);
    check_ok(cnnbn_model_load("keras-example", NULL, &m));
    cnnbn_model_print_summary(m, out);
    cnnbn_model_print_summary(g, out);
    (void)fclose(out);
    assert_non_null(strstr(text, "conv2d_1 (Conv2D)"));
    assert_non_null(strstr(text, "(None, 24, 24, 64)            18,496\n"));
    assert_non_null(strstr(text, "Total params: 387,850\n"));
    assert_non_null(strstr(text, "Trainable params: 387,658\n"));
    assert_non_null(strstr(text, "Non-trainable params: 192\n"));
    assert_non_null(strstr(text, "(again)  later\n"));
    assert_non_null(strstr(text, "later, a\n"));
    free(text);
    cnnbn_model_destroy(m);
    cnnbn_model_destroy(g);
}

static void wishes_fill_what_is_open(void **state)
{
    (void)state;
    cnnbn_model_wish wish = {{3, {20, 30, 3}}, 4, CNNBN_NORM_OWN};
    cnnbn_model *m = NULL;
    const char *text = "layers: [Flatten]";
    check_ok(cnnbn_model_from_text(text, strlen(text), "test", &wish, &m));
    assert_int_equal(cnnbn_model_n_outputs(m), 1800);
    cnnbn_model_destroy(m);
    text = "input: [null, null, 3]\nlayers: [GlobalAveragePooling2D]";
    check_ok(cnnbn_model_from_text(text, strlen(text), "test", &wish, &m));
    assert_int_equal(m->input.dim[1], 30);
    cnnbn_model_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keras_example_is_the_example),
        cmocka_unit_test(builtins_have_published_counts),
        cmocka_unit_test(builtins_change_their_normalisation),
        cmocka_unit_test(builtins_read_back),
        cmocka_unit_test(shapes_follow_keras),
        cmocka_unit_test(windows_pad_as_tensorflow),
        cmocka_unit_test(graphs_are_ordered_and_read_back),
        cmocka_unit_test(names_are_given_as_keras_does),
        cmocka_unit_test(frozen_layers_do_not_train),
        cmocka_unit_test(differences_are_named),
        cmocka_unit_test(summary_is_keras_table),
        cmocka_unit_test(wishes_fill_what_is_open),
    };
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
