/* Residual networks (He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, CVPR 2016).
 *
 * Convolutions without bias, each followed by batch normalisation (or what the user wishes in its place); ReLU after the addition. Where the shape changes the
 * shortcut is a 1x1 convolution with batch normalisation (option B of the paper; option A, padding with zero channels, has
 * no Keras layer). The stride of a bottleneck is in its 3x3 convolution, as everybody has it since ("v1.5").
 */
#include <stdio.h>

#include "internal.h"

typedef struct plan {
    const cnnbn__resnet *net;
    cnnbn_norm norm;
    cnnbn__text *text;
} plan;

/* What the output of a convolution NAME and its normalisation is called: NAME_bn; without a normalisation NAME_conv. */
static const char *ending(const plan *p)
{
    return p->norm == CNNBN_NORM_LAYER   ? "ln"
           : p->norm == CNNBN_NORM_GROUP ? "gn"
           : p->norm == CNNBN_NORM_NONE  ? "conv"
                                         : "bn";
}

static void conv_norm(const plan *p, const char *name, int filters, int size, int stride, const char *from)
{
    char norm[48];
    cnnbn__text_add(p->text,
                    "  - Conv2D: {name: %s_conv, filters: %d, kernel_size: %d, strides: %d, padding: same, "
                    "use_bias: %s, kernel_initializer: he_normal",
                    name, filters, size, stride, p->norm == CNNBN_NORM_NONE ? "true" : "false");
    if (from) cnnbn__text_add(p->text, ", from: %s", from);
    cnnbn__text_add(p->text, "}\n");
    (void)snprintf(norm, sizeof norm, "%s_%s", name, ending(p));
    cnnbn__builtin_norm(p->text, p->norm, norm, filters);
}

static void relu(cnnbn__text *text, const char *name)
{
    cnnbn__text_add(text, "  - ReLU: {name: %s}\n", name);
}

/* One block; `from` names its input and is set to its output. */
static void block(const plan *p, int stage, int i, int project, char from[32])
{
    const cnnbn__resnet *net = p->net;
    cnnbn__text *text = p->text;
    int filters = (net->n_stages == 3 ? 16 : 64) << stage, stride = stage && !i ? 2 : 1;
    int out = net->bottleneck ? 4 * filters : filters, n_convs = net->bottleneck ? 3 : 2;
    char name[32], part[48], shortcut[32];
    (void)snprintf(name, sizeof name, "s%db%d", stage + 1, i + 1);
    (void)snprintf(shortcut, sizeof shortcut, "%s", from);
    for (int k = 0; k < n_convs; k++) {
        int is_3x3 = !net->bottleneck || k == 1, has_stride = k == net->bottleneck;
        (void)snprintf(part, sizeof part, "%s_%d", name, k + 1);
        conv_norm(p, part, k == n_convs - 1 ? out : filters, is_3x3 ? 3 : 1, has_stride ? stride : 1, k ? NULL : from);
        if (k == n_convs - 1) break;
        (void)snprintf(part, sizeof part, "%s_%d_relu", name, k + 1);
        relu(text, part);
    }
    if (project) {
        (void)snprintf(part, sizeof part, "%s_0", name);
        conv_norm(p, part, out, 1, stride, from);
        (void)snprintf(shortcut, sizeof shortcut, "%s_0_%s", name, ending(p));
    }
    cnnbn__text_add(text, "  - Add: {name: %s_add, from: [%s_%d_%s, %s]}\n", name, name, n_convs, ending(p), shortcut);
    (void)snprintf(from, 32, "%s_relu", name);
    relu(text, from);
}

void cnnbn__builtin_resnet(const cnnbn__resnet *net, cnnbn_norm norm, int n_classes, cnnbn__text *text)
{
    const plan p = {net, norm, text};
    char from[32] = "stem_relu";
    conv_norm(&p, "stem", net->n_stages == 3 ? 16 : 64, net->imagenet ? 7 : 3, net->imagenet ? 2 : 1, NULL);
    relu(text, from);
    if (net->imagenet) {
        cnnbn__text_add(text, "  - MaxPooling2D: {name: stem_pool, pool_size: 3, strides: 2, padding: same}\n");
        (void)snprintf(from, sizeof from, "stem_pool");
    }
    for (int stage = 0; stage < net->n_stages; stage++)
        for (int i = 0; i < net->n_blocks[stage]; i++) block(&p, stage, i, !i && (stage || net->bottleneck), from);
    cnnbn__text_add(
        text, "  - GlobalAveragePooling2D: {name: pool}\n  - Dense: {name: classes, units: %d, activation: softmax}\n",
        n_classes);
}
