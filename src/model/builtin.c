/* Built-in models, as the YAML that a user would write: `--model NAME` and a file of one's own go the same way. */
#include <string.h>

#include "internal.h"

typedef struct plan {
    cnnbn_shape in;
    int n_classes;
    cnnbn_norm norm;
    cnnbn__text *text;
} plan;

typedef struct builtin {
    const char *name;
    cnnbn_status (*write)(const plan *p);
    cnnbn__resnet resnet; /* used where write is NULL */
    int smallest;         /* height and width at least */
} builtin;

#define ADD(...) cnnbn__text_add(p->text, __VA_ARGS__)

static const char *const norm_names[CNNBN_NORM_COUNT] = {[CNNBN_NORM_BATCH] = "batch",
                                                         [CNNBN_NORM_LAYER] = "layer",
                                                         [CNNBN_NORM_GROUP] = "group",
                                                         [CNNBN_NORM_NONE] = "none"};

cnnbn_status cnnbn_norm_read(const char *text, cnnbn_norm *out)
{
    for (int n = CNNBN_NORM_BATCH; n < CNNBN_NORM_COUNT; n++)
        if (strcmp(text, norm_names[n]) == 0) {
            *out = (cnnbn_norm)n;
            return CNNBN_OK;
        }
    return cnnbn_error(CNNBN_ERR_OPTION, "--norm: '%.40s' is none of batch, layer, group and none", text);
}

/* Wu and He 2018 take 32 groups, of at least 64 channels there; a group of one or two channels has hardly a variance. */
static int norm_groups(int channels)
{
    int groups = channels / 4;
    return groups > 32 ? 32 : groups < 1 ? 1 : groups;
}

void cnnbn__builtin_norm(cnnbn__text *text, cnnbn_norm norm, const char *name, int channels)
{
    if (norm == CNNBN_NORM_NONE) return;
    cnnbn__text_add(text, "  - %s: {",
                    norm == CNNBN_NORM_LAYER   ? "LayerNormalization"
                    : norm == CNNBN_NORM_GROUP ? "GroupNormalization"
                                               : "BatchNormalization");
    if (name) cnnbn__text_add(text, "name: %s%s", name, norm == CNNBN_NORM_GROUP ? ", " : "");
    if (norm == CNNBN_NORM_GROUP) cnnbn__text_add(text, "groups: %d", norm_groups(channels));
    cnnbn__text_add(text, "}\n");
}

static cnnbn_status keras_example(const plan *p)
{
    for (int filters = 32; filters <= 64; filters *= 2) {
        ADD("  - Conv2D: {filters: %d, kernel_size: 3, activation: relu}\n", filters);
        cnnbn__builtin_norm(p->text, p->norm, NULL, filters);
    }
    ADD("  - Flatten\n"
        "  - Dense: {units: %d, activation: softmax}\n",
        p->n_classes);
    return CNNBN_OK;
}

/* LeCun, Bottou, Bengio, Haffner 1998: 5x5 convolutions of 6 and 16 filters, average pooling, 120, 84, classes; images of
 * 32x32. Smaller ones get `same` padding in the first convolution, as 28x28 in 32x32 had in the paper. tanh in place of
 * the scaled tanh, softmax in place of the radial basis functions, full connections between maps. */
static cnnbn_status lenet(const plan *p, int bn)
{
    const char *padding = p->in.dim[0] < 32 || p->in.dim[1] < 32 ? "same" : "valid";
    static const int filters[] = {6, 16}, units[] = {120, 84};
    for (int i = 0; i < 2; i++) {
        const char *pad = i ? "valid" : padding;
        if (bn)
            ADD("  - Conv2D: {filters: %d, kernel_size: 5, padding: %s, use_bias: false}\n  - BatchNormalization\n"
                "  - ReLU\n  - MaxPooling2D\n",
                filters[i], pad);
        else
            ADD("  - Conv2D: {filters: %d, kernel_size: 5, padding: %s, activation: tanh}\n  - AveragePooling2D\n",
                filters[i], pad);
    }
    ADD("  - Flatten\n");
    for (int i = 0; i < 2; i++) {
        if (bn)
            ADD("  - Dense: {units: %d, use_bias: false}\n  - BatchNormalization\n  - ReLU\n", units[i]);
        else
            ADD("  - Dense: {units: %d, activation: tanh}\n", units[i]);
    }
    ADD("  - Dense: {units: %d, activation: softmax}\n", p->n_classes);
    return CNNBN_OK;
}

static cnnbn_status lenet5(const plan *p)
{
    return lenet(p, 0);
}

static cnnbn_status lenet5_bn(const plan *p)
{
    return lenet(p, 1);
}

/* All-CNN-C of Springenberg, Dosovitskiy, Brox, Riedmiller 2015 (table 1), dropout as in its section 3. */
static cnnbn_status allcnn(const plan *p)
{
    static const struct {
        int filters, size, stride;
        const char *padding;
        double dropout; /* after it */
    } convs[] = {{96, 3, 1, "same", 0},  {96, 3, 1, "same", 0},    {96, 3, 2, "same", 0.5}, {192, 3, 1, "same", 0},
                 {192, 3, 1, "same", 0}, {192, 3, 2, "same", 0.5}, {192, 3, 1, "valid", 0}, {192, 1, 1, "valid", 0}};
    ADD("  - Dropout: {rate: 0.2}\n");
    for (size_t i = 0; i < sizeof convs / sizeof *convs; i++) {
        ADD("  - Conv2D: {filters: %d, kernel_size: %d, strides: %d, padding: %s, activation: relu, "
            "kernel_initializer: he_normal}\n",
            convs[i].filters, convs[i].size, convs[i].stride, convs[i].padding);
        if (convs[i].dropout > 0) ADD("  - Dropout: {rate: %g}\n", convs[i].dropout);
    }
    ADD("  - Conv2D: {filters: %d, kernel_size: 1, activation: relu, kernel_initializer: he_normal}\n"
        "  - GlobalAveragePooling2D\n  - Softmax\n",
        p->n_classes);
    return CNNBN_OK;
}

/* Simonyan and Zisserman 2015, configurations A (11) and D (16), with batch normalisation after each convolution. Images
 * of 64 pixels and more get the ImageNet head (4096, 4096); smaller ones one dense layer, as is usual on CIFAR. Pooling is
 * padded, so that 28x28 lasts for five of them; at even sizes that changes nothing. */
static cnnbn_status vgg(const plan *p, int deep)
{
    static const int n_convs[2][5] = {{1, 1, 2, 2, 2}, {2, 2, 3, 3, 3}}, filters[5] = {64, 128, 256, 512, 512};
    for (int stage = 0; stage < 5; stage++) {
        for (int i = 0; i < n_convs[deep][stage]; i++)
            ADD("  - Conv2D: {filters: %d, kernel_size: 3, padding: same, kernel_initializer: he_normal}\n"
                "  - BatchNormalization\n  - ReLU\n",
                filters[stage]);
        ADD("  - MaxPooling2D: {padding: same}\n");
    }
    ADD("  - Flatten\n");
    for (int i = 0; i < 2 && p->in.dim[0] >= 64 && p->in.dim[1] >= 64; i++)
        ADD("  - Dense: {units: 4096, activation: relu}\n  - Dropout: {rate: 0.5}\n");
    ADD("  - Dense: {units: %d, activation: softmax}\n", p->n_classes);
    return CNNBN_OK;
}

static cnnbn_status vgg11_bn(const plan *p)
{
    return vgg(p, 0);
}

static cnnbn_status vgg16_bn(const plan *p)
{
    return vgg(p, 1);
}

static int is_small(const plan *p)
{
    return p->in.dim[0] < 64 || p->in.dim[1] < 64;
}

static cnnbn_status mobilenet_v1(const plan *p)
{
    cnnbn__builtin_mobilenet_v1(is_small(p), p->n_classes, p->text);
    return CNNBN_OK;
}

static cnnbn_status mobilenet_v2(const plan *p)
{
    cnnbn__builtin_mobilenet_v2(is_small(p), p->n_classes, p->text);
    return CNNBN_OK;
}

static cnnbn_status convmixer(const plan *p)
{
    cnnbn__builtin_convmixer(is_small(p), p->n_classes, p->text);
    return CNNBN_OK;
}

static cnnbn_status densenet40(const plan *p)
{
    cnnbn__builtin_densenet40(p->n_classes, p->text);
    return CNNBN_OK;
}

static cnnbn_status wrn16_4(const plan *p)
{
    cnnbn__builtin_wrn16_4(p->n_classes, p->text);
    return CNNBN_OK;
}

/* He, Zhang, Ren, Sun 2016: depths 6n + 2 of section 4.2 (CIFAR), and table 1 (ImageNet). */
static const builtin models[] = {
    {"keras-example", keras_example, {0}, 5},
    {"lenet5", lenet5, {0}, 12},
    {"lenet5-bn", lenet5_bn, {0}, 12},
    {"allcnn", allcnn, {0}, 9},
    {"vgg11-bn", vgg11_bn, {0}, 1},
    {"vgg16-bn", vgg16_bn, {0}, 1},
    {"resnet20", NULL, {0, 0, 3, {3, 3, 3, 0}}, 1},
    {"resnet32", NULL, {0, 0, 3, {5, 5, 5, 0}}, 1},
    {"resnet44", NULL, {0, 0, 3, {7, 7, 7, 0}}, 1},
    {"resnet56", NULL, {0, 0, 3, {9, 9, 9, 0}}, 1},
    {"resnet110", NULL, {0, 0, 3, {18, 18, 18, 0}}, 1},
    {"resnet18", NULL, {0, 1, 4, {2, 2, 2, 2}}, 1},
    {"resnet34", NULL, {0, 1, 4, {3, 4, 6, 3}}, 1},
    {"resnet50", NULL, {1, 1, 4, {3, 4, 6, 3}}, 1},
    {"resnet18-cifar", NULL, {0, 0, 4, {2, 2, 2, 2}}, 1},
    {"mobilenet-v1", mobilenet_v1, {0}, 1},
    {"mobilenet-v2", mobilenet_v2, {0}, 1},
    {"densenet40-12", densenet40, {0}, 1},
    {"wrn-16-4", wrn16_4, {0}, 1},
    {"convmixer", convmixer, {0}, 2},
};
enum { N_MODELS = sizeof models / sizeof *models };

cnnbn_status cnnbn__builtin_text(const char *name, const cnnbn_model_wish *wish, cnnbn__text *text, int *known)
{
    int m = 0;
    while (m < N_MODELS && strcmp(models[m].name, name) != 0) m++;
    *known = m < N_MODELS;
    if (!*known) return CNNBN_OK;
    plan here = {{3, {28, 28, 1}}, 10, wish ? wish->norm : CNNBN_NORM_OWN, text};
    const plan *p = &here;
    char shape[48];
    if (wish && wish->input.rank) here.in = wish->input;
    if (wish && wish->n_classes > 0) here.n_classes = wish->n_classes;
    if (p->in.rank != 3)
        return cnnbn_error(CNNBN_ERR_MODEL, "model %s takes images (height, width, channels); the data are %s", name,
                           cnnbn_shape_text(p->in, shape, sizeof shape));
    if (p->in.dim[0] < models[m].smallest || p->in.dim[1] < models[m].smallest)
        return cnnbn_error(CNNBN_ERR_MODEL, "model %s needs images of %dx%d at least; the data are %s", name,
                           models[m].smallest, models[m].smallest, cnnbn_shape_text(p->in, shape, sizeof shape));
    if (p->norm != CNNBN_NORM_OWN && models[m].write && models[m].write != keras_example)
        return cnnbn_error(CNNBN_ERR_OPTION, "--norm %s: model %s has no such variant; keras-example and resnet* have",
                           norm_names[p->norm], name);
    int is_variant = p->norm > CNNBN_NORM_BATCH;
    ADD("name: %s%s%s\ninput: [%d, %d, %d]\nlayers:\n", name, is_variant ? "-norm-" : "",
        is_variant ? norm_names[p->norm] : "", p->in.dim[0], p->in.dim[1], p->in.dim[2]);
    if (models[m].write) return models[m].write(p);
    cnnbn__builtin_resnet(&models[m].resnet, p->norm, p->n_classes, text);
    return CNNBN_OK;
}

const char *const *cnnbn_model_builtin_names(void)
{
    static const char *const names[] = {
        "keras-example",  "lenet5",       "lenet5-bn",    "allcnn",        "vgg11-bn", "vgg16-bn",  "resnet20",
        "resnet32",       "resnet44",     "resnet56",     "resnet110",     "resnet18", "resnet34",  "resnet50",
        "resnet18-cifar", "mobilenet-v1", "mobilenet-v2", "densenet40-12", "wrn-16-4", "convmixer", NULL,
    };
    return names;
}
