/* model: each layer is lowered to the operations that compute it. A builder that writes down what it is told. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "cnnbn/layer.h"

typedef struct recorder {
    cnnbn_builder base;
    char text[2000];
    int n_values;
} recorder;

static int note(cnnbn_builder *b, const char *format, ...) CNNBN_PRINTF(2, 3);
static int note(cnnbn_builder *b, const char *format, ...)
{
    recorder *r = (recorder *)b;
    size_t used = strlen(r->text);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(r->text + used, sizeof r->text - used, format, args);
    va_end(args);
    used = strlen(r->text);
    (void)snprintf(r->text + used, sizeof r->text - used, "=%d; ", r->n_values);
    return r->n_values++;
}

static int op_conv2d(cnnbn_builder *b, int x, const cnnbn_window *w, int filters, int groups, int kernel, int bias)
{
    return note(b, "conv %d %dx%d/%d,%d*%d,%d +%d,%d ->%dx%d K%d g%d w%d b%d", x, w->R, w->S, w->stride_h, w->stride_w,
                w->dil_h, w->dil_w, w->pad_top, w->pad_left, w->P, w->Q, filters, groups, kernel, bias);
}
static int op_conv2d_transpose(cnnbn_builder *b, int x, const cnnbn_window *w, cnnbn_shape out, int kernel, int bias)
{
    char text[48];
    return note(b, "transposed conv %d %dx%d/%d,%d*%d,%d +%d,%d %dx%d-> %s w%d b%d", x, w->R, w->S, w->stride_h,
                w->stride_w, w->dil_h, w->dil_w, w->pad_top, w->pad_left, w->P, w->Q,
                cnnbn_shape_text(out, text, sizeof text), kernel, bias);
}
static int op_dense(cnnbn_builder *b, int x, int units, int kernel, int bias)
{
    return note(b, "dense %d %d w%d b%d", x, units, kernel, bias);
}
static int op_batchnorm(cnnbn_builder *b, int x, int gamma, int beta, int mean, int variance, double momentum,
                        double epsilon, int frozen, int unbiased)
{
    return note(b, "bn %d %d %d %d %d %g %g %d %d", x, gamma, beta, mean, variance, momentum, epsilon, frozen,
                unbiased);
}
static int op_activation(cnnbn_builder *b, int x, cnnbn_activation a)
{
    return note(b, "act %d %d %g %g %g", x, (int)a.kind, (double)a.p0, (double)a.p1, (double)a.p2);
}
static int op_softmax(cnnbn_builder *b, int x)
{
    return note(b, "softmax %d", x);
}
static int op_maxpool(cnnbn_builder *b, int x, const cnnbn_window *w)
{
    return note(b, "max %d %dx%d/%d,%d +%d,%d ->%dx%d", x, w->R, w->S, w->stride_h, w->stride_w, w->pad_top,
                w->pad_left, w->P, w->Q);
}
static int op_avgpool(cnnbn_builder *b, int x, const cnnbn_window *w)
{
    return note(b, "avg %d %dx%d/%d,%d +%d,%d ->%dx%d", x, w->R, w->S, w->stride_h, w->stride_w, w->pad_top,
                w->pad_left, w->P, w->Q);
}
static int op_global(cnnbn_builder *b, int x, int keepdims)
{
    return note(b, "global %d %d", x, keepdims);
}
static int op_dropout(cnnbn_builder *b, int x, double rate)
{
    return note(b, "drop %d %g", x, rate);
}
static int op_reshape(cnnbn_builder *b, int x, cnnbn_shape shape)
{
    char text[48];
    return note(b, "reshape %d %s", x, cnnbn_shape_text(shape, text, sizeof text));
}
static int op_add(cnnbn_builder *b, int n, const int *x)
{
    return note(b, "add %d: %d %d", n, x[0], x[1]);
}
static int op_concat(cnnbn_builder *b, int n, const int *x)
{
    return note(b, "concat %d: %d %d", n, x[0], x[1]);
}

static int op_pad(cnnbn_builder *b, int x, int top, int bottom, int left, int right)
{
    return note(b, "pad %d %d,%d %d,%d", x, top, bottom, left, right);
}
static int op_upsample(cnnbn_builder *b, int x, int rows, int columns)
{
    return note(b, "upsample %d %dx%d", x, rows, columns);
}
static int op_upsample_bilinear(cnnbn_builder *b, int x, int rows, int columns)
{
    return note(b, "bilinear %d %dx%d", x, rows, columns);
}
static int op_transpose(cnnbn_builder *b, int x, int rows, int columns, cnnbn_shape out)
{
    char text[48];
    return note(b, "transpose %d %dx%d %s", x, rows, columns, cnnbn_shape_text(out, text, sizeof text));
}
static int op_affine(cnnbn_builder *b, int x, int n, const double *scale, const double *offset)
{
    return note(b, "affine %d n%d %g %g", x, n, scale[0], offset[0]);
}
static int op_multiply(cnnbn_builder *b, int x, int y)
{
    return note(b, "multiply %d %d", x, y);
}
static int op_maximum(cnnbn_builder *b, int x, int y)
{
    return note(b, "maximum %d %d", x, y);
}
static int op_prelu(cnnbn_builder *b, int x, int alpha)
{
    return note(b, "prelu %d w%d", x, alpha);
}
static int op_normalize(cnnbn_builder *b, int x, int positions, int channels, int groups, double epsilon, int gamma,
                        int beta)
{
    return note(b, "normalize %d %dx%d/%d %g w%d w%d", x, positions, channels, groups, epsilon, gamma, beta);
}
static int op_unit(cnnbn_builder *b, int x)
{
    return note(b, "unit %d", x);
}
static int op_shared_dropout(cnnbn_builder *b, int x, double rate, cnnbn_shape mask)
{
    char text[48];
    return note(b, "drop shared %d %g %s", x, rate, cnnbn_shape_text(mask, text, sizeof text));
}
static int op_noise(cnnbn_builder *b, int x, double stddev)
{
    return note(b, "noise %d %g", x, stddev);
}

static int op_random_flip(cnnbn_builder *b, int x, int horizontal, int vertical)
{
    return note(b, "flip %d %d%d", x, horizontal, vertical);
}
static int op_random_map(cnnbn_builder *b, int x, const cnnbn_random_map *m)
{
    return note(b, "map %d %g..%g %g..%g %g..%g b%d f%d %g", x, m->height[0], m->height[1], m->width[0], m->width[1],
                m->turn[0], m->turn[1], m->bilinear, m->fill_mode, m->fill_value);
}
static int op_random_contrast(cnnbn_builder *b, int x, const double amount[2], const double range[2])
{
    return note(b, "contrast %d %g..%g %g..%g", x, amount[0], amount[1], range[0], range[1]);
}
static int op_random_crop(cnnbn_builder *b, int x, int height, int width)
{
    return note(b, "crop %d %dx%d", x, height, width);
}

static const cnnbn_builder_ops ops = {
    .conv2d = op_conv2d,
    .conv2d_transpose = op_conv2d_transpose,
    .dense = op_dense,
    .batchnorm = op_batchnorm,
    .activation = op_activation,
    .softmax = op_softmax,
    .maxpool = op_maxpool,
    .avgpool = op_avgpool,
    .global_avgpool = op_global,
    .dropout = op_dropout,
    .reshape = op_reshape,
    .add = op_add,
    .concat = op_concat,
    .pad = op_pad,
    .upsample = op_upsample,
    .upsample_bilinear = op_upsample_bilinear,
    .transpose = op_transpose,
    .affine = op_affine,
    .multiply = op_multiply,
    .maximum = op_maximum,
    .prelu = op_prelu,
    .normalize = op_normalize,
    .unit_normalize = op_unit,
    .shared_dropout = op_shared_dropout,
    .noise = op_noise,
    .random_flip = op_random_flip,
    .random_map = op_random_map,
    .random_contrast = op_random_contrast,
    .random_crop = op_random_crop,
};

/* As nn does it: calls in order, values by call. Value 0 is the input. */
static void lowers_to(const char *layers, const char *expected)
{
    char text[800];
    (void)snprintf(text, sizeof text, "input: [7, 10, 4]\nlayers:\n%s", layers);
    cnnbn_model *m = NULL;
    check_ok(cnnbn_model_from_text(text, strlen(text), "test", NULL, &m));
    recorder r = {{&ops, m}, "", 1};
    int values[32] = {0};
    for (int c = 1; c < m->n_calls; c++) {
        const cnnbn_call *call = &m->calls[c];
        int in[CNNBN_INPUTS_MAX];
        cnnbn_shape shapes[CNNBN_INPUTS_MAX];
        for (int i = 0; i < call->n_inputs; i++) {
            in[i] = values[call->inputs[i]];
            shapes[i] = m->calls[call->inputs[i]].shape;
        }
        const cnnbn_layer *layer = &m->layers[call->layer];
        values[c] = layer->type->lower(layer, &r.base, call->n_inputs, in, shapes, call->shape);
    }
    assert_string_equal(r.text, expected);
    cnnbn_model_destroy(m);
}

static void convolutions(void **state)
{
    (void)state;
    lowers_to("- Conv2D: {filters: 6, kernel_size: [3, 2], strides: [2, 3], padding: same, activation: relu}",
              "conv 0 3x2/2,3*1,1 +1,0 ->4x4 K6 g1 w0 b1=1; act 1 1 0 0 0=2; ");
    lowers_to("- Conv2D: {filters: 6, kernel_size: 3, groups: 2, use_bias: false, dilation_rate: 2}",
              "conv 0 3x3/1,1*2,2 +0,0 ->3x6 K6 g2 w0 b-1=1; ");
    lowers_to("- DepthwiseConv2D: {kernel_size: 3, depth_multiplier: 2, activation: softmax}",
              "conv 0 3x3/1,1*1,1 +0,0 ->5x8 K8 g4 w0 b1=1; softmax 1=2; ");
}

/* Input (7, 10, 4). */
static void transposed_convolutions(void **state)
{
    (void)state;
    lowers_to("- Conv2DTranspose: {filters: 6, kernel_size: [3, 2], activation: relu}",
              "transposed conv 0 3x2/1,1*1,1 +0,0 7x10-> (9, 11, 6) w0 b1=1; act 1 1 0 0 0=2; ");
    lowers_to("- Conv2DTranspose: {filters: 6, kernel_size: 3, strides: 2, padding: same, use_bias: false}",
              "transposed conv 0 3x3/2,2*1,1 +0,0 7x10-> (14, 20, 6) w0 b-1=1; ");
    lowers_to("- Conv2DTranspose: {filters: 1, kernel_size: 4, strides: 2, padding: same}",
              "transposed conv 0 4x4/2,2*1,1 +1,1 7x10-> (14, 20, 1) w0 b1=1; ");
    lowers_to("- Conv2DTranspose: {filters: 1, kernel_size: 2, strides: 3}", /* a gap is kept at the end */
              "transposed conv 0 2x2/3,3*1,1 +0,0 7x10-> (21, 30, 1) w0 b1=1; ");
    lowers_to("- Conv2DTranspose: {filters: 1, kernel_size: [5, 4], strides: 2, padding: same, output_padding: [0, 1]}",
              "transposed conv 0 5x4/2,2*1,1 +2,1 7x10-> (13, 19, 1) w0 b1=1; ");
}

static void axes(void **state)
{
    (void)state;
    lowers_to("- Softmax: {axis: 1}", "transpose 0 7x40 (10, 4, 7)=1; softmax 1=2; transpose 2 40x7 (7, 10, 4)=3; ");
    lowers_to("- Softmax: {axis: [2, 3]}", "reshape 0 (7, 40)=1; softmax 1=2; reshape 2 (7, 10, 4)=3; ");
    lowers_to("- BatchNormalization: {axis: -2}",
              "transpose 0 10x4 (7, 4, 10)=1; bn 1 0 1 2 3 0.99 0.001 0 0=2; transpose 2 4x10 (7, 10, 4)=3; ");
    lowers_to("- GroupNormalization: {axis: 2, groups: 5}",
              "transpose 0 10x4 (7, 4, 10)=1; normalize 1 28x10/5 0.001 w0 w1=2; transpose 2 4x10 (7, 10, 4)=3; ");
    lowers_to("- LayerNormalization: {axis: 3}\n- UnitNormalization: {axis: -1}",
              "normalize 0 1x4/1 0.001 w0 w1=1; unit 1=2; ");
    lowers_to("- Concatenate: {from: [input, input], axis: 2}",
              "transpose 0 10x4 (7, 4, 10)=1; transpose 0 10x4 (7, 4, 10)=2; concat 2: 1 2=3; "
              "transpose 3 4x20 (7, 20, 4)=4; ");
}

static void normalisation_and_dense(void **state)
{
    (void)state;
    lowers_to(
        "- BatchNormalization\n- BatchNormalization: {scale: false, momentum: 0.9, epsilon: 0.5, unbiased: true}\n"
        "- BatchNormalization: {center: false, trainable: false}",
        "bn 0 0 1 2 3 0.99 0.001 0 0=1; bn 1 -1 4 5 6 0.9 0.5 0 1=2; bn 2 7 -1 8 9 0.99 0.001 1 0=3; ");
    lowers_to("- Flatten\n- Dense: {units: 3, activation: softmax}\n- Dense: {units: 2, use_bias: false}",
              "reshape 0 (280)=1; dense 1 3 w0 b1=2; softmax 2=3; dense 3 2 w2 b-1=4; ");
    lowers_to("- Dense: {units: 3}\n- Reshape: {target_shape: [70, 3]}\n- Dense: {units: 2, activation: relu}",
              "conv 0 1x1/1,1*1,1 +0,0 ->7x10 K3 g1 w0 b1=1; reshape 1 (70, 3)=2; "
              "conv 2 1x1/1,1*1,1 +0,0 ->1x70 K2 g1 w2 b3=3; act 3 1 0 0 0=4; ");
}

static void activations(void **state)
{
    (void)state;
    char expected[200];
    (void)snprintf(expected, sizeof expected,
                   "act 0 %d 0 0 0=1; act 1 %d 6 0 0=2; act 2 %d 0.3 0 0=3; act 3 %d 2 0 0=4; softmax 4=5; ",
                   CNNBN_ACT_RELU, CNNBN_ACT_RELU_GENERAL, CNNBN_ACT_LEAKY_RELU, CNNBN_ACT_ELU);
    lowers_to("- ReLU\n- ReLU: {max_value: 6}\n- LeakyReLU\n- ELU: {alpha: 2}\n- Softmax", expected);
    (void)snprintf(expected, sizeof expected,
                   "act 0 %d inf 0.5 1=1; act 1 %d 0.2 0 0=2; act 2 %d 0 0 0=3; act 3 %d 0 0 0=4; ",
                   CNNBN_ACT_RELU_GENERAL, CNNBN_ACT_LEAKY_RELU, CNNBN_ACT_GELU, CNNBN_ACT_SILU);
    lowers_to("- ReLU: {negative_slope: 0.5, threshold: 1}\n- Activation: {activation: leaky_relu}\n"
              "- Activation: {activation: gelu}\n- Activation: {activation: silu}\n- Activation: {activation: linear}",
              expected);
    (void)snprintf(expected, sizeof expected, "act 0 %d 0.1 0 0=1; act 1 %d 0 0 0=2; act 2 %d 0 0 0=3; ",
                   CNNBN_ACT_LEAKY_RELU, CNNBN_ACT_RELU, CNNBN_ACT_GELU_TANH);
    lowers_to("- Activation: {activation: {class_name: LeakyReLU, config: {alpha: 0.1, name: x}}}\n"
              "- Activation: {activation: {class_name: ReLU, config: {max_value: null}}}\n"
              "- Activation: {activation: gelu_tanh}",
              expected);
}

static void the_rest(void **state)
{
    (void)state;
    lowers_to("- MaxPooling2D: {padding: same}\n- AveragePooling2D: {pool_size: [1, 3], strides: 2}\n"
              "- GlobalAveragePooling2D: {keepdims: true}",
              "max 0 2x2/2,2 +0,0 ->4x5=1; avg 1 1x3/2,2 +0,0 ->2x2=2; global 2 1=3; ");
    lowers_to("- Dropout: {rate: 0.5, name: d}\n- Dropout: {rate: 0}\n- Add: {from: [dropout, input]}\n"
              "- Concatenate: {from: [add, d]}\n- Reshape: {target_shape: [10, -1]}",
              "drop 0 0.5=1; add 2: 1 0=2; concat 2: 2 1=3; reshape 3 (10, 56)=4; ");
    lowers_to("- Dropout: {rate: 0.5, noise_shape: [null, 1, 1, 1]}\n"
              "- Dropout: {rate: 0.25, noise_shape: [null, null, 1, 4]}\n"
              "- Dropout: {rate: 0, noise_shape: [null, 1, 1, 1]}\n- Flatten\n"
              "- Dropout: {rate: 0.5, noise_shape: [null, 1]}",
              "drop shared 0 0.5 (1, 1, 1)=1; drop shared 1 0.25 (7, 1, 4)=2; reshape 2 (280)=3; "
              "drop shared 3 0.5 (1)=4; ");
}

static void layers_of_layers(void **state)
{
    (void)state;
    lowers_to("- SeparableConv2D: {filters: 5, kernel_size: 3, depth_multiplier: 2}",
              "conv 0 3x3/1,1*1,1 +0,0 ->5x8 K8 g4 w0 b-1=1; conv 1 1x1/1,1*1,1 +0,0 ->5x8 K5 g1 w1 b2=2; ");
    lowers_to(
        "- Reshape: {target_shape: [70, 4]}\n- Conv1D: {filters: 2, kernel_size: 3, padding: causal, dilation_rate: "
        "2}\n- MaxPooling1D\n- GlobalMaxPooling1D",
        "reshape 0 (70, 4)=1; conv 1 1x3/1,1*1,2 +0,4 ->1x70 K2 g1 w0 b1=2; max 2 1x2/1,2 +0,0 ->1x35=3; "
        "max 3 1x35/1,1 +0,0 ->1x1=4; reshape 4 (2)=5; ");
    lowers_to("- ZeroPadding2D: {padding: [[1, 0], [2, 3]]}\n- Cropping2D: {cropping: [1, 2]}\n- UpSampling2D\n"
              "- UpSampling2D: {size: [1, 3], interpolation: bilinear}",
              "pad 0 1,0 2,3=1; pad 1 -1,-1 -2,-2=2; upsample 2 2x2=3; bilinear 3 1x3=4; ");
    lowers_to(
        "- LayerNormalization: {scale: false}\n- GroupNormalization: {groups: 2}\n- PReLU: {shared_axes: [1, 2]}\n"
        "- UnitNormalization\n- LayerNormalization: {axis: [1, 2, 3]}",
        "normalize 0 1x4/1 0.001 w-1 w0=1; normalize 1 70x4/2 0.001 w1 w2=2; prelu 2 w3=3; unit 3=4; "
        "normalize 4 1x280/1 0.001 w4 w5=5; ");
    lowers_to(
        "- GaussianNoise: {stddev: 0.5, name: a}\n- SpatialDropout2D: {rate: 0.25, name: b}\n- Subtract: {from: [a, "
        "b], name: c}\n- Multiply: {from: [a, b, c], name: d}\n- Average: {from: [c, d], name: e}\n"
        "- Maximum: {from: [d, e], name: f}\n- Rescaling: {scale: 0.5, offset: -1}",
        "noise 0 0.5=1; drop shared 1 0.25 (1, 1, 4)=2; affine 2 n1 -1 0=3; add 2: 1 3=4; multiply 1 2=5; multiply 5 "
        "4=6; "
        "add 2: 4 6=7; affine 7 n1 0.5 0=8; maximum 6 8=9; affine 9 n1 0.5 -1=10; ");
    lowers_to("- LayerScale: {init_values: 0.5, projection_dim: 4}", "conv 0 1x1/1,1*1,1 +0,0 ->7x10 K4 g4 w0 b-1=1; ");
    lowers_to("- GlobalAveragePooling2D: {keepdims: true, name: c}\n"
              "- Conv2D: {from: input, filters: 1, kernel_size: 1, use_bias: false, name: p}\n"
              "- Add: {from: [c, input]}\n- Multiply: {from: [input, c]}\n- Subtract: {from: [input, p], name: s}\n"
              "- Multiply: {from: [p, c], name: m}\n- Average: {from: [s, add, multiply, m]}",
              "global 0 1=1; conv 0 1x1/1,1*1,1 +0,0 ->7x10 K1 g1 w0 b-1=2; upsample 1 7x10=3; add 2: 3 0=4; "
              "multiply 0 1=5; affine 2 n1 -1 0=6; reshape 6 (70, 1, 1)=7; upsample 7 1x4=8; reshape 8 (7, 10, 4)=9; "
              "add 2: 0 9=10; reshape 2 (70, 1, 1)=11; upsample 11 1x4=12; reshape 12 (7, 10, 4)=13; multiply 13 1=14; "
              "add 4: 10 4=15; affine 15 n1 0.25 0=16; ");
}

static void of_images(void **state)
{
    (void)state;
    lowers_to("- RandomFlip\n- RandomFlip: {mode: horizontal}\n- RandomFlip: {mode: vertical}\n"
              "- RandomCrop: {height: 5, width: 6}",
              "flip 0 11=1; flip 1 10=2; flip 2 01=3; crop 3 5x6=4; ");
    lowers_to(
        "- RandomTranslation: {height_factor: -0.25, width_factor: [0, 0.5]}\n"
        "- RandomTranslation: {height_factor: [-0.5, -0.25], width_factor: 0, fill_mode: constant, fill_value: 2, "
        "interpolation: nearest}\n- RandomRotation: {factor: 0.125, fill_mode: wrap}\n"
        "- RandomRotation: {factor: [0.25, 1], fill_mode: nearest}",
        "map 0 -0.25..0.25 0..0.5 0..0 b1 f0 0=1; map 1 -0.5..-0.25 0..0 0..0 b0 f2 2=2; "
        "map 2 0..0 0..0 -0.125..0.125 b1 f1 0=3; map 3 0..0 0..0 0.25..1 b1 f3 0=4; ");
    lowers_to("- RandomContrast: {factor: 0.25}\n- RandomContrast: {factor: [0, 0.5], value_range: [-1, 1]}",
              "contrast 0 0.25..0.25 0..255=1; contrast 1 0..0.5 -1..1=2; ");
    lowers_to("- Normalization\n- Normalization: {mean: 3, variance: 4}\n"
              "- Normalization: {mean: [1, 2, 3, 4], variance: [0, 1, 1, 1], axis: 3}\n"
              "- Normalization: {mean: 3, variance: 4, invert: true}",
              "bn 0 -1 -1 0 1 1 1e-14 1 0=1; affine 1 n1 0.5 -1.5=2; affine 2 n4 1e+07 -1e+07=3; affine 3 n1 2 3=4; ");
    lowers_to("- Normalization: {axis: null}\n- Normalization: {axis: [2, 3]}\n"
              "- Normalization: {axis: null, mean: 3, variance: 4}\n- Rescaling: {scale: 2, offset: [1, 2, 3, 4]}",
              "reshape 0 (280, 1)=1; bn 1 -1 -1 0 1 1 1e-14 1 0=2; reshape 2 (7, 10, 4)=3; reshape 3 (7, 40)=4; "
              "bn 4 -1 -1 3 4 1 1e-14 1 0=5; reshape 5 (7, 10, 4)=6; affine 6 n1 0.5 -1.5=7; affine 7 n4 2 1=8; ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions),
        cmocka_unit_test(transposed_convolutions),
        cmocka_unit_test(axes),
        cmocka_unit_test(normalisation_and_dense),
        cmocka_unit_test(activations),
        cmocka_unit_test(the_rest),
        cmocka_unit_test(layers_of_layers),
        cmocka_unit_test(of_images),
    };
    return cmocka_run_group_tests_name("model_lower", tests, NULL, NULL);
}
