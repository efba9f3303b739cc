/* Activations and initialisers by Keras' names, or in Keras' object form. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

/* Parameters that a name stands for are those of the functions of keras.activations: leaky_relu has a slope of 0.2 there
 * (the layer LeakyReLU: 0.3), gelu is the exact form. gelu_tanh is a word of cnnbn's own for gelu(x, approximate=True), for
 * which Keras has none; gelu_approximate is KerasHub's. The first word of an activation is the one that is written:
 * "swish" is older than "silu" and both Keras 2 and 3 know it. */
typedef struct act_word {
    const char *name;
    cnnbn_arg_act act;
} act_word;

static const act_word act_words[] = {
    {"linear", {0, {CNNBN_ACT_LINEAR, 0, 0, 0}}},
    {"relu", {0, {CNNBN_ACT_RELU, 0, 0, 0}}},
    {"relu6", {0, {CNNBN_ACT_RELU_GENERAL, 6.0f, 0, 0}}},
    {"leaky_relu", {0, {CNNBN_ACT_LEAKY_RELU, 0.2f, 0, 0}}},
    {"elu", {0, {CNNBN_ACT_ELU, 1.0f, 0, 0}}},
    {"selu", {0, {CNNBN_ACT_SELU, 0, 0, 0}}},
    {"sigmoid", {0, {CNNBN_ACT_SIGMOID, 0, 0, 0}}},
    {"tanh", {0, {CNNBN_ACT_TANH, 0, 0, 0}}},
    {"softplus", {0, {CNNBN_ACT_SOFTPLUS, 0, 0, 0}}},
    {"gelu", {0, {CNNBN_ACT_GELU, 0, 0, 0}}},
    {"gelu_tanh", {0, {CNNBN_ACT_GELU_TANH, 0, 0, 0}}},
    {"gelu_approximate", {0, {CNNBN_ACT_GELU_TANH, 0, 0, 0}}},
    {"swish", {0, {CNNBN_ACT_SILU, 0, 0, 0}}},
    {"silu", {0, {CNNBN_ACT_SILU, 0, 0, 0}}},
    {"hard_sigmoid", {0, {CNNBN_ACT_HARD_SIGMOID, 0, 0, 0}}},
    {"hard_swish", {0, {CNNBN_ACT_HARD_SILU, 0, 0, 0}}},
    {"hard_silu", {0, {CNNBN_ACT_HARD_SILU, 0, 0, 0}}},
    {"softmax", {1, {CNNBN_ACT_LINEAR, 0, 0, 0}}},
};
enum { N_ACT_WORDS = sizeof act_words / sizeof *act_words };

static int float_same(float a, float b)
{
    return !(a < b) && !(a > b);
}

static int act_same(cnnbn_arg_act a, cnnbn_arg_act b)
{
    return a.softmax == b.softmax && a.act.kind == b.act.kind && float_same(a.act.p0, b.act.p0) &&
           float_same(a.act.p1, b.act.p1) && float_same(a.act.p2, b.act.p2);
}

const char *cnnbn__activation_word(cnnbn_arg_act act)
{
    for (int i = 0; i < N_ACT_WORDS; i++)
        if (act_same(act, act_words[i].act)) return act_words[i].name;
    return NULL;
}

static void member(cnnbn__text *text, const char *name, float value, int keras, int *first)
{
    cnnbn__text_add(text, keras ? "%s\"%s\": " : "%s%s: ", *first ? "" : ", ", name);
    cnnbn__text_add_number(text, (double)value);
    *first = 0;
}

void cnnbn__activation_write(cnnbn__text *text, cnnbn_arg_act act, int keras)
{
    const char *name = cnnbn__activation_word(act);
    const cnnbn_activation *a = &act.act;
    int first = 1;
    if (name) {
        if (keras)
            cnnbn__text_add_quoted(text, name);
        else
            cnnbn__text_add_word(text, name);
        return;
    }
    const char *layer = a->kind == CNNBN_ACT_ELU ? "ELU" : a->kind == CNNBN_ACT_LEAKY_RELU ? "LeakyReLU" : "ReLU";
    /* Keras 3 finds a class by its module; Keras 2 knows LeakyReLU's slope as alpha alone, which Keras 3 takes too. */
    cnnbn__text_add(text,
                    keras ? "{\"module\": \"keras.layers\", \"registered_name\": null, \"class_name\": \"%s\", "
                            "\"config\": {"
                          : "{class_name: %s, config: {",
                    layer);
    if (a->kind == CNNBN_ACT_RELU_GENERAL) {
        if (!isinf(a->p0)) member(text, "max_value", a->p0, keras, &first);
        member(text, "negative_slope", a->p1, keras, &first);
        member(text, "threshold", a->p2, keras, &first);
    } else {
        member(text, "alpha", a->p0, keras, &first);
    }
    cnnbn__text_add(text, "}}");
}

/* {"module": "builtins", "class_name": "function", "config": "relu", ...} is how Keras 3 may write a function. */
static const char *act_name(const cnnbn__node *node)
{
    if (cnnbn__node_is_null(node)) return "linear";
    if (node->kind == CNNBN__SCALAR) return node->text;
    const cnnbn__node *config = cnnbn__node_get(node, "config");
    if (!cnnbn__node_is(cnnbn__node_get(node, "class_name"), "function") || !config || config->kind != CNNBN__SCALAR)
        return NULL;
    /* A registered function, "Custom>gelu_tanh": only words that are no function of Keras' own can be told by their name. */
    const char *own = strchr(config->text, '>');
    if (own && (strcmp(own + 1, "gelu_tanh") == 0 || strcmp(own + 1, "gelu_approximate") == 0)) return own + 1;
    return config->text;
}

/* A layer in an activation's place, as in Conv2D(activation=LeakyReLU(0.1)). *out is set when it is one. */
static cnnbn_status read_layer(const cnnbn__node *node, cnnbn_arg_act *out, int *found)
{
    static const char *const skip[] = {"name", NULL};
    const cnnbn__node *class_name = cnnbn__node_get(node, "class_name");
    cnnbn_arg args[8];
    cnnbn_layer layer = {.args = args, .trainable = 1};
    *found = 0;
    if (!class_name || class_name->kind != CNNBN__SCALAR) return CNNBN_OK;
    layer.type = cnnbn_layer_type_find(class_name->text);
    if (!layer.type || layer.type->n_args > (int)(sizeof args / sizeof *args)) return CNNBN_OK;
    for (int i = 0; i < layer.type->n_args; i++) CNNBN_TRY(cnnbn__arg_default(&layer.type->args[i], &args[i]));
    *out = (cnnbn_arg_act){0, {CNNBN_ACT_LINEAR, 0, 0, 0}};
    if (!cnnbn__layer_as_activation(&layer, &out->act)) return CNNBN_OK;
    *found = 1;
    const cnnbn_shape any = {1, {1}};
    cnnbn_shape same;
    cnnbn_status status = cnnbn__read_layer_args(&layer, cnnbn__node_get(node, "config"), skip);
    if (status == CNNBN_OK) status = layer.type->shape(&layer, 1, &any, &same); /* arguments that do not go together */
    if (status != CNNBN_OK) return cnnbn_error_context(status, "%s", layer.type->name);
    (void)cnnbn__layer_as_activation(&layer, &out->act);
    return CNNBN_OK;
}

cnnbn_status cnnbn__activation_read(const cnnbn__node *node, cnnbn_arg_act *out)
{
    char known[400] = "", shown[CNNBN__SHOW_MAX];
    const char *name = act_name(node);
    int is_layer;
    CNNBN_TRY(read_layer(node, out, &is_layer));
    if (is_layer) return CNNBN_OK;
    for (int i = 0; i < N_ACT_WORDS; i++) {
        if (name && strcmp(name, act_words[i].name) == 0) {
            *out = act_words[i].act;
            return CNNBN_OK;
        }
        size_t used = strlen(known);
        (void)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", act_words[i].name);
    }
    return cnnbn_error(CNNBN_ERR_MODEL,
                       "activation %s is not supported; use one of %s, or a layer of its own after this one",
                       cnnbn__node_show(node, shown, sizeof shown), known);
}

static const cnnbn__init_word init_words[CNNBN_INIT_COUNT] = {
    [CNNBN_INIT_ZEROS] = {"zeros", "Zeros", NULL, NULL, 0, 0},
    [CNNBN_INIT_ONES] = {"ones", "Ones", NULL, NULL, 0, 0},
    [CNNBN_INIT_CONSTANT] = {"constant", "Constant", "value", NULL, 0, 0},
    [CNNBN_INIT_GLOROT_UNIFORM] = {"glorot_uniform", "GlorotUniform", NULL, NULL, 0, 0},
    [CNNBN_INIT_GLOROT_NORMAL] = {"glorot_normal", "GlorotNormal", NULL, NULL, 0, 0},
    [CNNBN_INIT_HE_UNIFORM] = {"he_uniform", "HeUniform", NULL, NULL, 0, 0},
    [CNNBN_INIT_HE_NORMAL] = {"he_normal", "HeNormal", NULL, NULL, 0, 0},
    [CNNBN_INIT_LECUN_UNIFORM] = {"lecun_uniform", "LecunUniform", NULL, NULL, 0, 0},
    [CNNBN_INIT_LECUN_NORMAL] = {"lecun_normal", "LecunNormal", NULL, NULL, 0, 0},
    [CNNBN_INIT_RANDOM_UNIFORM] = {"random_uniform", "RandomUniform", "minval", "maxval", -0.05, 0.05},
    [CNNBN_INIT_RANDOM_NORMAL] = {"random_normal", "RandomNormal", "mean", "stddev", 0, 0.05},
    [CNNBN_INIT_TRUNCATED_NORMAL] = {"truncated_normal", "TruncatedNormal", "mean", "stddev", 0, 0.05},
    [CNNBN_INIT_VARIANCE_SCALING] = {"variance_scaling", "VarianceScaling", "scale", NULL, 1, 0},
    [CNNBN_INIT_ORTHOGONAL] = {"orthogonal", "Orthogonal", "gain", NULL, 1, 0},
    [CNNBN_INIT_IDENTITY] = {"identity", "Identity", "gain", NULL, 1, 0},
};
const char *const cnnbn__fan_words[] = {"fan_in", "fan_out", "fan_avg", NULL};
const char *const cnnbn__spread_words[] = {"truncated_normal", "uniform", "untruncated_normal", NULL};

const cnnbn__init_word *cnnbn__initializer_word(cnnbn_init_kind kind)
{
    return &init_words[kind];
}

int cnnbn__initializer_by_word(cnnbn_init_kind kind)
{
    return kind == CNNBN_INIT_ORTHOGONAL || kind == CNNBN_INIT_IDENTITY;
}

/* Keras has OrthogonalInitializer and IdentityInitializer too: the classes' names in some of its versions. */
static int init_find(const char *name)
{
    static const char ending[] = "Initializer";
    size_t n = strlen(name), shorter = n > sizeof ending ? n - (sizeof ending - 1) : 0;
    if (shorter && strcmp(name + shorter, ending) != 0) shorter = 0;
    for (int k = 0; k < CNNBN_INIT_COUNT; k++) {
        const cnnbn__init_word *word = &init_words[k];
        if (strcmp(name, word->name) == 0 || strcmp(name, word->class_name) == 0) return k;
        if (cnnbn__initializer_by_word(k) && strlen(word->class_name) == shorter &&
            strncmp(name, word->class_name, shorter) == 0)
            return k;
    }
    return -1;
}

/* VarianceScaling is the family that glorot, he and lecun are members of (Keras' own definitions): they go by their names. */
static void name_member(cnnbn_init *init)
{
    static const struct {
        double scale;
        cnnbn_init_fan fan;
        cnnbn_init_spread spread;
        cnnbn_init_kind kind;
    } members[] = {
        {1, CNNBN_FAN_AVG, CNNBN_SPREAD_UNIFORM, CNNBN_INIT_GLOROT_UNIFORM},
        {1, CNNBN_FAN_AVG, CNNBN_SPREAD_TRUNCATED_NORMAL, CNNBN_INIT_GLOROT_NORMAL},
        {2, CNNBN_FAN_IN, CNNBN_SPREAD_UNIFORM, CNNBN_INIT_HE_UNIFORM},
        {2, CNNBN_FAN_IN, CNNBN_SPREAD_TRUNCATED_NORMAL, CNNBN_INIT_HE_NORMAL},
        {1, CNNBN_FAN_IN, CNNBN_SPREAD_UNIFORM, CNNBN_INIT_LECUN_UNIFORM},
        {1, CNNBN_FAN_IN, CNNBN_SPREAD_TRUNCATED_NORMAL, CNNBN_INIT_LECUN_NORMAL},
    };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (init->fan == members[i].fan && init->spread == members[i].spread &&
            fabs(init->a - members[i].scale) < 1e-12) {
            *init = (cnnbn_init){.kind = members[i].kind};
            return;
        }
}

static cnnbn_status scaling_word(const cnnbn__node *node, const char *const *words, int *out)
{
    char shown[CNNBN__SHOW_MAX];
    /* Keras 2 may say normal for the truncated one. */
    for (*out = 0; words[*out]; ++*out)
        if (cnnbn__node_is(node, words[*out]) || (cnnbn__node_is(node, "normal") && words[*out][0] == 't'))
            return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_MODEL, "initialiser VarianceScaling: %s = %s, expected %s, %s or %s", node->key,
                       cnnbn__node_show(node, shown, sizeof shown), words[0], words[1], words[2]);
}

static cnnbn_status scaling_args(const cnnbn__node *config, cnnbn_init *out)
{
    const cnnbn__node *fan = cnnbn__node_get(config, "mode"), *spread = cnnbn__node_get(config, "distribution");
    int k;
    if (!(out->a > 0))
        return cnnbn_error(CNNBN_ERR_MODEL, "initialiser VarianceScaling: scale %g, expected more than zero", out->a);
    if (fan) {
        CNNBN_TRY(scaling_word(fan, cnnbn__fan_words, &k));
        out->fan = (cnnbn_init_fan)k;
    }
    if (spread) {
        CNNBN_TRY(scaling_word(spread, cnnbn__spread_words, &k));
        out->spread = (cnnbn_init_spread)k;
    }
    name_member(out);
    return CNNBN_OK;
}

/* A seed of its own means nothing here: weights come from --seed and their names. Keras 3.15 writes input_axes and
 * output_axes, null unless the fans are to be counted in another way. */
static int inert_init_key(const cnnbn__node *member, const cnnbn_init *init)
{
    if (strcmp(member->key, "seed") == 0 || strcmp(member->key, "dtype") == 0) return 1;
    if (init->kind == CNNBN_INIT_VARIANCE_SCALING && /* read by scaling_args */
        (strcmp(member->key, "mode") == 0 || strcmp(member->key, "distribution") == 0))
        return 1;
    return (strcmp(member->key, "input_axes") == 0 || strcmp(member->key, "output_axes") == 0) &&
           cnnbn__node_is_null(member);
}

static cnnbn_status init_args(const cnnbn__node *config, const cnnbn__init_word *word, cnnbn_init *out)
{
    for (const cnnbn__node *n = config && config->kind == CNNBN__MAP ? config->first : NULL; n; n = n->next) {
        double *value = word->arg_a && strcmp(n->key, word->arg_a) == 0   ? &out->a
                        : word->arg_b && strcmp(n->key, word->arg_b) == 0 ? &out->b
                                                                          : NULL;
        char shown[CNNBN__SHOW_MAX];
        if (value) {
            if (!cnnbn__node_to_float(n, value) || isinf(*value))
                return cnnbn_error(CNNBN_ERR_MODEL, "initialiser %s: %s = %s, a number is expected", word->class_name,
                                   n->key, cnnbn__node_show(n, shown, sizeof shown));
        } else if (!inert_init_key(n, out)) {
            return cnnbn_error(CNNBN_ERR_MODEL, "initialiser %s has no argument %.60s", word->class_name, n->key);
        }
    }
    if (strcmp(word->name, "random_uniform") == 0 && out->a > out->b)
        return cnnbn_error(CNNBN_ERR_MODEL, "initialiser %s: minval %g is above maxval %g", word->class_name, out->a,
                           out->b);
    if (word->arg_b && strcmp(word->arg_b, "stddev") == 0 && out->b < 0)
        return cnnbn_error(CNNBN_ERR_MODEL, "initialiser %s: stddev %g is below zero", word->class_name, out->b);
    return out->kind == CNNBN_INIT_VARIANCE_SCALING ? scaling_args(config, out) : CNNBN_OK;
}

cnnbn_status cnnbn__initializer_read(const cnnbn__node *node, cnnbn_init *out)
{
    char known[500] = "", shown[CNNBN__SHOW_MAX];
    const cnnbn__node *config = cnnbn__node_get(node, "config"), *class_name = cnnbn__node_get(node, "class_name");
    int kind = -1;
    if (node->kind == CNNBN__SCALAR) {
        kind = init_find(node->text);
    } else if (class_name && class_name->kind == CNNBN__SCALAR) {
        kind = init_find(class_name->text);
    }
    if (kind >= 0) {
        const cnnbn__init_word *word = &init_words[kind];
        *out = (cnnbn_init){.kind = (cnnbn_init_kind)kind, .a = word->a, .b = word->b};
        return init_args(config, word, out);
    }
    for (int k = 0; k < CNNBN_INIT_COUNT; k++) {
        size_t used = strlen(known);
        (void)snprintf(known + used, sizeof known - used, "%s%s", k ? ", " : "", init_words[k].name);
    }
    return cnnbn_error(CNNBN_ERR_MODEL, "initialiser %s is not supported; use one of %s",
                       cnnbn__node_show(node, shown, sizeof shown), known);
}
