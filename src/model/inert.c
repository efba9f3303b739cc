/* Keys of Keras' files that are no arguments here. Each is known to mean nothing at the values listed, and is refused at
 * any other: nothing is ignored silently.
 */
#include <string.h>

#include "internal.h"

typedef struct inert_key {
    const char *key;    /* a leading '*' stands for any beginning */
    const char *type;   /* layer type; NULL: any */
    const char *values; /* " null false ": values that mean nothing; NULL: every one */
    const char *hint;   /* what to do about another value */
} inert_key;

static const inert_key keys[] = {
    {"dtype", NULL, " null float32 ", "cnnbn computes in float32; save the model with dtype float32"},
    {"autocast", NULL, NULL, ""},
    {"data_format", NULL, " null channels_last ",
     "images are (height, width, channels) here; convert the model to channels_last"},
    {"activity_regularizer", NULL, " null ", "a penalty on outputs is not computed here; remove it"},
    {"*_regularizer", NULL, " null ", "remove it; for weight decay see --weight-decay"},
    {"*_constraint", NULL, " null ", "remove it; for clipping see --clip-norm"},
    {"batch_input_shape", NULL, NULL, ""}, /* the first layer's is read; others repeat what is inferred */
    {"quantization_config", NULL, " null ", "save the model without quantisation"},
    {"lora_rank", NULL, " null ", "merge the LoRA weights first"},
    {"lora_alpha", NULL, " null ", "merge the LoRA weights first"},
    {"groups", "DepthwiseConv2D", " 1 ", "a depthwise convolution has a group for each channel"},
    {"renorm", "BatchNormalization", " false ", "batch renormalisation is not supported; set it to false"},
    {"renorm_clipping", "BatchNormalization", " null ", "batch renormalisation is not supported; remove it"},
    {"renorm_momentum", "BatchNormalization", NULL, ""}, /* used with renorm only */
    {"virtual_batch_size", "BatchNormalization", " null ",
     "remove it; statistics are of the global batch, or see --bn local"},
    {"adjustment", "BatchNormalization", " null ", "remove it"},
    {"fused", "BatchNormalization", NULL, ""},        /* how TensorFlow computes it */
    {"synchronized", "BatchNormalization", NULL, ""}, /* here an option of the run: --bn sync or local */
    {"noise_shape", "SpatialDropout2D", " null ", "remove it; whole channels are dropped here"},
    {"seed", NULL, NULL, ""},     /* randomness comes from --seed */
    {"rng_type", NULL, NULL, ""}, /* Keras 2: how TensorFlow makes it */
    {"rms_scaling", "LayerNormalization", " false ", "remove it; RMS normalisation is not supported"},
    {"groups", "Conv2DTranspose", " 1 ", "a transposed convolution has one group here"}, /* Keras 2 writes it */
    {"value_range", "RandomRotation", NULL, ""}, /* Keras 3.3 writes it and never looks at it */
    {"groups", "SeparableConv2D", " 1 ", "a separable convolution has a group for each channel"},
    {"kernel_initializer", "SeparableConv2D", NULL, ""}, /* Keras 2 writes it beside those that it uses */
};

/* dtype policies of Keras 3: {"class_name": "DTypePolicy", "config": {"name": "float32"}}. */
static const cnnbn__node *simple(const cnnbn__node *value)
{
    const cnnbn__node *name = cnnbn__node_get(cnnbn__node_get(value, "config"), "name");
    return name && cnnbn__node_get(value, "class_name") ? name : value;
}

static int matches(const inert_key *entry, const cnnbn_layer_type *type, const char *key)
{
    if (entry->type && strcmp(entry->type, type->name) != 0) return 0;
    if (entry->key[0] != '*') return strcmp(entry->key, key) == 0;
    size_t ending = strlen(entry->key + 1), length = strlen(key);
    return length >= ending && strcmp(key + length - ending, entry->key + 1) == 0;
}

static int is_listed(const char *values, const cnnbn__node *value)
{
    char word[40] = " ";
    if (!values) return 1;
    if (value->kind != CNNBN__SCALAR || strlen(value->text) > sizeof word - 4 || strchr(value->text, ' ')) return 0;
    int truth;
    strcat(word, cnnbn__node_is_null(value)                     ? "null"
                 : cnnbn__node_to_bool(value, &truth) && !truth ? "false"
                                                                : value->text);
    strcat(word, " ");
    return strstr(values, word) != NULL;
}

static cnnbn_status no_such_argument(const cnnbn_layer_type *type, const cnnbn__node *member)
{
    char known[500] = "", shown[CNNBN__SHOW_MAX];
    for (int i = 0; i < type->n_args; i++) {
        if (strlen(known) + strlen(type->args[i].name) + 3 > sizeof known) break;
        if (i) strcat(known, ", ");
        strcat(known, type->args[i].name);
    }
    return cnnbn_error(CNNBN_ERR_MODEL, "argument %.60s = %s: %s has no such argument here; it has %s", member->key,
                       cnnbn__node_show(member, shown, sizeof shown), type->name,
                       known[0] ? known : "none but name and trainable");
}

cnnbn_status cnnbn__inert_check(const cnnbn_layer_type *type, const cnnbn__node *member)
{
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (!matches(&keys[i], type, member->key)) continue;
        if (is_listed(keys[i].values, simple(member))) return CNNBN_OK;
        char shown[CNNBN__SHOW_MAX];
        return cnnbn_error(CNNBN_ERR_MODEL, "argument %.60s = %s is not supported: %s", member->key,
                           cnnbn__node_show(member, shown, sizeof shown), keys[i].hint);
    }
    return no_such_argument(type, member);
}

const char *cnnbn__arg_alias(const cnnbn_layer_type *type, const char *key)
{
    if (strcmp(type->name, "LeakyReLU") == 0 && strcmp(key, "alpha") == 0) return "negative_slope";
    return NULL;
}
