/* MobileNet v1 and v2, ConvMixer: networks of depthwise and 1x1 convolutions. Images of 64 pixels and more are halved by
 * the first convolution and by the strides of the paper; smaller ones keep the first one's size, and MobileNet v2 also
 * that of its second stage, as is usual on CIFAR. Parameter counts do not depend on strides.
 */
#include "internal.h"

#define ADD(...) cnnbn__text_add(text, __VA_ARGS__)

static void relu6(cnnbn__text *text)
{
    ADD("  - ReLU: {max_value: 6}\n");
}

static void conv_bn(cnnbn__text *text, int filters, int size, int stride)
{
    ADD("  - Conv2D: {filters: %d, kernel_size: %d, strides: %d, padding: same, use_bias: false}\n"
        "  - BatchNormalization\n",
        filters, size, stride);
}

static void depthwise_bn(cnnbn__text *text, int size, int stride)
{
    ADD("  - DepthwiseConv2D: {kernel_size: %d, strides: %d, padding: same, use_bias: false}\n  - BatchNormalization\n",
        size, stride);
}

/* Howard et al.: MobileNets, 2017, table 1; ReLU6 as in Keras' and the authors' own. */
void cnnbn__builtin_mobilenet_v1(int small, int n_classes, cnnbn__text *text)
{
    static const struct {
        int filters, stride;
    } blocks[] = {{64, 1},  {128, 2}, {128, 1}, {256, 2}, {256, 1},  {512, 2}, {512, 1},
                  {512, 1}, {512, 1}, {512, 1}, {512, 1}, {1024, 2}, {1024, 1}};
    conv_bn(text, 32, 3, small ? 1 : 2);
    relu6(text);
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        depthwise_bn(text, 3, blocks[i].stride);
        relu6(text);
        conv_bn(text, blocks[i].filters, 1, 1);
        relu6(text);
    }
    ADD("  - GlobalAveragePooling2D\n  - Dense: {units: %d, activation: softmax}\n", n_classes);
}

/* Sandler et al.: MobileNetV2, 2018, table 2: expansion t, filters c, n blocks, stride s of the first. */
void cnnbn__builtin_mobilenet_v2(int small, int n_classes, cnnbn__text *text)
{
    static const struct {
        int t, c, n, s;
    } stages[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                  {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
    int channels = 32;
    conv_bn(text, 32, 3, small ? 1 : 2);
    relu6(text);
    for (int i = 0; i < (int)(sizeof stages / sizeof *stages); i++) {
        for (int k = 0; k < stages[i].n; k++) {
            int stride = k || (small && i == 1) ? 1 : stages[i].s;
            if (stages[i].t > 1) {
                conv_bn(text, stages[i].t * channels, 1, 1);
                relu6(text);
            }
            depthwise_bn(text, 3, stride);
            relu6(text);
            ADD("  - Conv2D: {filters: %d, kernel_size: 1, use_bias: false}\n"
                "  - BatchNormalization: {name: s%db%d_bn}\n",
                stages[i].c, i, k);
            if (k)
                ADD("  - Add: {name: s%db%d, from: [s%db%d_bn, s%db%d%s]}\n", i, k, i, k, i, k - 1, k > 1 ? "" : "_bn");
            channels = stages[i].c;
        }
    }
    conv_bn(text, 1280, 1, 1);
    relu6(text);
    ADD("  - GlobalAveragePooling2D\n  - Dense: {units: %d, activation: softmax}\n", n_classes);
}

/* Trockman, Kolter: Patches are all you need?, 2022: ConvMixer-256/8 with kernel 5; patches of 2 on small images (the
 * paper's CIFAR-10 form), of 7 on others. */
void cnnbn__builtin_convmixer(int small, int n_classes, cnnbn__text *text)
{
    int patch = small ? 2 : 7;
    ADD("  - Conv2D: {filters: 256, kernel_size: %d, strides: %d, activation: gelu}\n"
        "  - BatchNormalization: {name: b0}\n",
        patch, patch);
    for (int i = 1; i <= 8; i++)
        ADD("  - DepthwiseConv2D: {name: b%d_depthwise, kernel_size: 5, padding: same, activation: gelu, from: b%d}\n"
            "  - BatchNormalization: {name: b%d_bn}\n"
            "  - Add: {name: b%d_add, from: [b%d_bn, b%d]}\n"
            "  - Conv2D: {name: b%d_point, filters: 256, kernel_size: 1, activation: gelu}\n"
            "  - BatchNormalization: {name: b%d}\n",
            i, i - 1, i, i, i, i - 1, i, i);
    ADD("  - GlobalAveragePooling2D\n  - Dense: {units: %d, activation: softmax}\n", n_classes);
}
