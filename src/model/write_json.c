/* Keras' model_config in the dialect that every Keras from 2.3 on opens: batch_input_shape, list inbound_nodes, defaults
 * left out, no key that Keras does not know.
 */
#include <string.h>

#include "internal.h"

#include "cnnbn/memory.h"

static void key(cnnbn__text *text, const char *name, int keras, int *first)
{
    cnnbn__text_add(text, keras ? "%s\"%s\": " : "%s%s: ", *first ? "" : ", ", name);
    *first = 0;
}

static void word(cnnbn__text *text, const char *value, int keras)
{
    if (keras)
        cnnbn__text_add_quoted(text, value);
    else
        cnnbn__text_add_word(text, value);
}

static void write_init(cnnbn__text *text, const cnnbn_init *init, int keras)
{
    const cnnbn__init_word *w = cnnbn__initializer_word(init->kind);
    int by_word = cnnbn__initializer_by_word(init->kind), first = 1;
    if (!w->arg_a || (by_word && !(init->a < w->a) && !(init->a > w->a))) {
        word(text, w->name, keras);
        return;
    }
    cnnbn__text_add(text, "{");
    key(text, "class_name", keras, &first);
    word(text, by_word ? w->name : w->class_name, keras);
    key(text, "config", keras, &first);
    cnnbn__text_add(text, "{");
    first = 1;
    key(text, w->arg_a, keras, &first);
    cnnbn__text_add_number(text, init->a);
    if (w->arg_b) {
        key(text, w->arg_b, keras, &first);
        cnnbn__text_add_number(text, init->b);
    }
    if (init->kind == CNNBN_INIT_VARIANCE_SCALING) {
        key(text, "mode", keras, &first);
        word(text, cnnbn__fan_words[init->fan], keras);
        key(text, "distribution", keras, &first);
        word(text, cnnbn__spread_words[init->spread], keras);
    }
    cnnbn__text_add(text, "}}");
}

static void write_numbers(cnnbn__text *text, int n, const double *value)
{
    for (int i = 0; i < n; i++) {
        cnnbn__text_add(text, i ? ", " : "[");
        cnnbn__text_add_number(text, value[i]);
    }
    cnnbn__text_add(text, "]");
}

static void write_dims(cnnbn__text *text, cnnbn_shape shape)
{
    if (!shape.rank) {
        cnnbn__text_add(text, "null");
        return;
    }
    for (int d = 0; d < shape.rank; d++) cnnbn__text_add(text, "%s%d", d ? ", " : "[", shape.dim[d]);
    cnnbn__text_add(text, "]");
}

static void write_noise(cnnbn__text *text, cnnbn_shape shape)
{
    if (shape.rank) cnnbn__text_add(text, "[null");
    for (int d = 0; d < shape.rank; d++)
        if (shape.dim[d])
            cnnbn__text_add(text, ", %d", shape.dim[d]);
        else
            cnnbn__text_add(text, ", null");
    cnnbn__text_add(text, shape.rank ? "]" : "null");
}

static void write_value(cnnbn__text *text, const cnnbn_arg_spec *spec, const cnnbn_arg *arg, int keras)
{
    switch (spec->kind) {
    case CNNBN_ARG_INT:
        cnnbn__text_add(text, "%d", arg->i[0]);
        break;
    case CNNBN_ARG_PAIR:
        if (!keras && arg->i[0] == arg->i[1])
            cnnbn__text_add(text, "%d", arg->i[0]);
        else
            cnnbn__text_add(text, "[%d, %d]", arg->i[0], arg->i[1]);
        break;
    case CNNBN_ARG_FLOAT:
        cnnbn__text_add_number(text, arg->f);
        break;
    case CNNBN_ARG_BOOL:
        cnnbn__text_add(text, "%s", arg->i[0] ? "true" : "false");
        break;
    case CNNBN_ARG_CHOICE:
        word(text, spec->choices[arg->i[0]], keras);
        break;
    case CNNBN_ARG_ACTIVATION:
        cnnbn__activation_write(text, arg->act, keras);
        break;
    case CNNBN_ARG_INITIALIZER:
        write_init(text, &arg->init, keras);
        break;
    case CNNBN_ARG_REGULARIZER:
        cnnbn__regularizer_write(text, &arg->regularizer, keras);
        break;
    case CNNBN_ARG_CONSTRAINT:
        cnnbn__constraint_write(text, &arg->constraint, keras);
        break;
    case CNNBN_ARG_BORDER:
        cnnbn__text_add(text, "[[%d, %d], [%d, %d]]", arg->i[0], arg->i[1], arg->i[2], arg->i[3]);
        break;
    case CNNBN_ARG_INTERVAL: /* Keras 3.15 takes a number for [0, x] in RandomContrast, older ones for [x, x] */
        write_numbers(text, 2, arg->interval);
        break;
    case CNNBN_ARG_LIST:
        if (arg->list.n == 1)
            cnnbn__text_add_number(text, arg->list.value[0]);
        else
            write_numbers(text, arg->list.n, arg->list.value);
        break;
    case CNNBN_ARG_SHAPE:
    case CNNBN_ARG_AXES:
        write_dims(text, arg->shape);
        break;
    case CNNBN_ARG_NOISE:
        write_noise(text, arg->shape);
        break;
    }
}

/* Layers whose data_format Keras takes from the user's own ~/.keras/keras.json when the file does not state it. */
static int has_data_format(const cnnbn_layer_type *type)
{
    static const char *const names[] = {"Flatten",    "UpSampling2D",     "ZeroPadding2D",
                                        "Cropping2D", "SpatialDropout2D", NULL};
    for (int i = 0; names[i]; i++)
        if (strcmp(type->name, names[i]) == 0) return 1;
    return strncmp(type->name, "Global", 6) == 0 || cnnbn__arg_find(type, "kernel_size") ||
           cnnbn__arg_find(type, "pool_size");
}

/* What some Keras asks for at its default too: the pool_size of AveragePooling2D in Keras 3, the offset of Rescaling in 3.15. */
static int is_asked_for(const char *name)
{
    return strcmp(name, "pool_size") == 0 || strcmp(name, "offset") == 0;
}

void cnnbn__write_args(cnnbn__text *text, const cnnbn_layer *layer, int keras, int first)
{
    const cnnbn_layer_type *type = layer->type;
    for (int i = 0; i < type->n_args; i++) {
        const cnnbn_arg_spec *spec = &type->args[i];
        const char *name = spec->name;
        if (!(keras && is_asked_for(name)) && cnnbn__arg_is_default(spec, &layer->args[i])) continue;
        if (keras && strcmp(name, "unbiased") == 0) continue; /* ours alone */
        /* Keras 2 knows only alpha, Keras 3 takes it for negative_slope. */
        if (keras && strcmp(type->name, "LeakyReLU") == 0) name = "alpha";
        key(text, name, keras, &first);
        write_value(text, spec, &layer->args[i], keras);
    }
    if (keras && has_data_format(type)) {
        key(text, "data_format", 1, &first);
        cnnbn__text_add(text, "\"channels_last\"");
    }
    if (!layer->trainable) {
        key(text, "trainable", keras, &first);
        cnnbn__text_add(text, "false");
    }
}

/* Keras 3 reads a layer without a module in the way of its old .h5 files, where it loses an axis: Keras 3.15 a list of
 * several, Keras 3.3 any. Keras 2 does not look at the module. LayerScale is found by it alone. NULL: none is written. */
static const char *module_of(const cnnbn_layer *layer)
{
    const cnnbn_layer_type *type = layer->type;
    if (strcmp(type->name, "LayerScale") == 0) return "keras.src.applications.convnext";
    for (int i = 0; i < type->n_args; i++)
        if (strcmp(type->args[i].name, "axis") == 0)
            return cnnbn__arg_is_default(&type->args[i], &layer->args[i]) ? NULL : "keras.layers";
    return NULL;
}

static void write_tensor(cnnbn__text *text, const cnnbn_model *model, const cnnbn__uses *uses, int call)
{
    cnnbn__text_add(text, "[");
    cnnbn__text_add_quoted(text, call ? model->layers[model->calls[call].layer].name : model->input_name);
    cnnbn__text_add(text, ", %d, 0", call ? uses->use[call] : 0);
}

static void write_nodes(cnnbn__text *text, const cnnbn_model *model, const cnnbn__uses *uses, int layer)
{
    cnnbn__text_add(text, ", \"name\": ");
    cnnbn__text_add_quoted(text, model->layers[layer].name);
    cnnbn__text_add(text, ", \"inbound_nodes\": [");
    for (int c = uses->first[layer]; c; c = uses->next[c]) {
        cnnbn__text_add(text, c == uses->first[layer] ? "[" : ", [");
        for (int i = 0; i < model->calls[c].n_inputs; i++) {
            if (i) cnnbn__text_add(text, ", ");
            write_tensor(text, model, uses, model->calls[c].inputs[i]);
            cnnbn__text_add(text, ", {}]");
        }
        cnnbn__text_add(text, "]");
    }
    cnnbn__text_add(text, "]");
}

static void write_input(cnnbn__text *text, const cnnbn_model *model)
{
    cnnbn__text_add(text, "{\"class_name\": \"InputLayer\", \"config\": {\"batch_input_shape\": [null");
    for (int d = 0; d < model->input.rank; d++) cnnbn__text_add(text, ", %d", model->input.dim[d]);
    cnnbn__text_add(text, "], \"dtype\": \"float32\", \"name\": ");
    cnnbn__text_add_quoted(text, model->input_name);
    cnnbn__text_add(text, "}");
    if (!model->sequential) {
        cnnbn__text_add(text, ", \"name\": ");
        cnnbn__text_add_quoted(text, model->input_name);
        cnnbn__text_add(text, ", \"inbound_nodes\": []");
    }
    cnnbn__text_add(text, "}");
}

cnnbn_status cnnbn_model_to_json(const cnnbn_model *model, char **out)
{
    cnnbn__text text = {0};
    cnnbn__uses uses;
    *out = NULL;
    CNNBN_TRY(cnnbn__list_uses(model, &uses));
    cnnbn__text_add(
        &text, "{\"class_name\": \"%s\", \"config\": {\"name\": ", model->sequential ? "Sequential" : "Functional");
    cnnbn__text_add_quoted(&text, model->name);
    cnnbn__text_add(&text, ", \"layers\": [");
    write_input(&text, model);
    for (int l = 0; l < model->n_layers; l++) {
        const cnnbn_layer *layer = &model->layers[l];
        const char *module = module_of(layer);
        cnnbn__text_add(&text, ", {");
        if (module) cnnbn__text_add(&text, "\"module\": \"%s\", \"registered_name\": null, ", module);
        cnnbn__text_add(&text, "\"class_name\": \"%s\", \"config\": {\"name\": ", layer->type->name);
        cnnbn__text_add_quoted(&text, layer->name);
        cnnbn__write_args(&text, layer, 1, 0);
        cnnbn__text_add(&text, "}");
        if (!model->sequential) write_nodes(&text, model, &uses, l);
        cnnbn__text_add(&text, "}");
    }
    cnnbn__text_add(&text, "]");
    if (!model->sequential) {
        cnnbn__text_add(&text, ", \"input_layers\": [");
        write_tensor(&text, model, &uses, 0);
        cnnbn__text_add(&text, "]], \"output_layers\": [");
        write_tensor(&text, model, &uses, model->output);
        cnnbn__text_add(&text, "]]");
    }
    cnnbn__text_add(&text, "}}");
    cnnbn_free(uses.first);
    return cnnbn__text_end(&text, out);
}
