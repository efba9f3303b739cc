/* DenseNet-40 with growth 12, and the wide residual network WRN-16-4: CIFAR forms, batch normalisation and ReLU in front of
 * each convolution.
 */
#include <stdio.h>

#include "internal.h"

#define ADD(...) cnnbn__text_add(text, __VA_ARGS__)

static void bn_relu_conv(cnnbn__text *text, const char *name, const char *from, int filters, int size, int stride)
{
    ADD("  - BatchNormalization: {name: %s_bn, from: %s}\n  - ReLU: {name: %s_relu}\n"
        "  - Conv2D: {name: %s, filters: %d, kernel_size: %d, strides: %d, padding: same, use_bias: false, "
        "kernel_initializer: he_normal}\n",
        name, from, name, name, filters, size, stride);
}

static void bn_relu_classes(cnnbn__text *text, const char *from, int n_classes)
{
    ADD("  - BatchNormalization: {name: last_bn, from: %s}\n  - ReLU: {name: last_relu}\n"
        "  - GlobalAveragePooling2D: {name: pool}\n  - Dense: {name: classes, units: %d, activation: softmax}\n",
        from, n_classes);
}

static void stem(cnnbn__text *text)
{
    ADD("  - Conv2D: {name: stem, filters: 16, kernel_size: 3, padding: same, use_bias: false, kernel_initializer: "
        "he_normal}\n");
}

/* Huang, Liu, van der Maaten, Weinberger: Densely connected convolutional networks, 2017: depth 40, growth 12, without
 * bottleneck or compression: three blocks of 12 convolutions, each of whose outputs all later ones read. */
void cnnbn__builtin_densenet40(int n_classes, cnnbn__text *text)
{
    int channels = 16;
    char from[32] = "stem", name[24];
    stem(text);
    for (int b = 1; b <= 3; b++) {
        for (int i = 1; i <= 12; i++, channels += 12) {
            (void)snprintf(name, sizeof name, "d%dc%d", b, i);
            bn_relu_conv(text, name, from, 12, 3, 1);
            ADD("  - Concatenate: {name: %s_all, from: [%s, %s]}\n", name, from, name);
            (void)snprintf(from, sizeof from, "%s_all", name);
        }
        if (b == 3) break;
        (void)snprintf(name, sizeof name, "t%d", b);
        bn_relu_conv(text, name, from, channels, 1, 1);
        (void)snprintf(from, sizeof from, "t%d_pool", b);
        ADD("  - AveragePooling2D: {name: %s, padding: same}\n", from);
    }
    bn_relu_classes(text, from, n_classes);
}

/* Zagoruyko, Komodakis: Wide residual networks, 2016: depth 6n + 4 with n = 2, width 4: 64, 128, 256 filters. Where the
 * shape changes, the shortcut is a 1x1 convolution of the normalised input. */
void cnnbn__builtin_wrn16_4(int n_classes, cnnbn__text *text)
{
    char from[32] = "stem", shortcut[32], name[24];
    stem(text);
    for (int stage = 0; stage < 3; stage++) {
        for (int i = 0; i < 2; i++) {
            int filters = 64 << stage, stride = stage && !i ? 2 : 1;
            (void)snprintf(name, sizeof name, "s%db%d_1", stage + 1, i + 1);
            bn_relu_conv(text, name, from, filters, 3, stride);
            (void)snprintf(shortcut, sizeof shortcut, "%s", from);
            if (i == 0) {
                (void)snprintf(shortcut, sizeof shortcut, "s%d_shortcut", stage + 1);
                ADD("  - Conv2D: {name: %s, from: %s_relu, filters: %d, kernel_size: 1, strides: %d, padding: same, "
                    "use_bias: false, kernel_initializer: he_normal}\n",
                    shortcut, name, filters, stride);
            }
            (void)snprintf(from, sizeof from, "s%db%d_1", stage + 1, i + 1);
            (void)snprintf(name, sizeof name, "s%db%d_2", stage + 1, i + 1);
            bn_relu_conv(text, name, from, filters, 3, 1);
            (void)snprintf(from, sizeof from, "s%db%d", stage + 1, i + 1);
            ADD("  - Add: {name: %s, from: [%s, %s]}\n", from, name, shortcut);
        }
    }
    bn_relu_classes(text, from, n_classes);
}
