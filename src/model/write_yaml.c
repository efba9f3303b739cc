/* A model as the YAML of read_yaml.c. */
#include <stdio.h>
#include <string.h>

#include "internal.h"

#include "cnnbn/memory.h"

/* Use 0 of a layer is its name; a name with a colon needs the number to be told from a use. */
static void write_reference(cnnbn__text *text, const cnnbn_model *model, const cnnbn__uses *uses, int call)
{
    char name[CNNBN_NAME_MAX + 16];
    if (!call) {
        cnnbn__text_add_word(text, model->input_name);
        return;
    }
    const char *layer = model->layers[model->calls[call].layer].name;
    if (uses->use[call] || strchr(layer, ':'))
        (void)snprintf(name, sizeof name, "%s:%d", layer, uses->use[call]);
    else
        (void)snprintf(name, sizeof name, "%s", layer);
    cnnbn__text_add_word(text, name);
}

static void write_from(cnnbn__text *text, const cnnbn_model *model, const cnnbn__uses *uses, int c, int previous)
{
    const cnnbn_call *call = &model->calls[c];
    if (call->n_inputs == 1 && call->inputs[0] == previous) return;
    cnnbn__text_add(text, ", from: ");
    if (call->n_inputs > 1) cnnbn__text_add(text, "[");
    for (int i = 0; i < call->n_inputs; i++) {
        if (i) cnnbn__text_add(text, ", ");
        write_reference(text, model, uses, call->inputs[i]);
    }
    if (call->n_inputs > 1) cnnbn__text_add(text, "]");
}

static void write_layer(cnnbn__text *text, const cnnbn_model *model, const cnnbn__uses *uses, int l, int *previous)
{
    const cnnbn_layer *layer = &model->layers[l];
    for (int c = uses->first[l]; c; c = uses->next[c]) {
        if (c == uses->first[l]) {
            cnnbn__text_add(text, "  - %s: {name: ", layer->type->name);
            cnnbn__text_add_word(text, layer->name);
            cnnbn__write_args(text, layer, 0, 0);
        } else {
            cnnbn__text_add(text, "  - again: {layer: ");
            cnnbn__text_add_word(text, layer->name);
        }
        write_from(text, model, uses, c, *previous);
        cnnbn__text_add(text, "}\n");
        *previous = c;
    }
}

cnnbn_status cnnbn_model_to_yaml(const cnnbn_model *model, char **out)
{
    cnnbn__text text = {0};
    cnnbn__uses uses;
    int previous = 0;
    *out = NULL;
    CNNBN_TRY(cnnbn__list_uses(model, &uses));
    cnnbn__text_add(&text, "name: ");
    cnnbn__text_add_word(&text, model->name);
    cnnbn__text_add(&text, "\ninput: [");
    for (int d = 0; d < model->input.rank; d++) cnnbn__text_add(&text, "%s%d", d ? ", " : "", model->input.dim[d]);
    cnnbn__text_add(&text, "]\n");
    if (strcmp(model->input_name, "input") != 0) {
        cnnbn__text_add(&text, "input_name: ");
        cnnbn__text_add_word(&text, model->input_name);
        cnnbn__text_add(&text, "\n");
    }
    if (!model->sequential && cnnbn__is_chain(model)) cnnbn__text_add(&text, "functional: true\n");
    cnnbn__text_add(&text, "layers:\n");
    for (int l = 0; l < model->n_layers; l++) write_layer(&text, model, &uses, l, &previous);
    if (previous != model->output) {
        cnnbn__text_add(&text, "output: ");
        write_reference(&text, model, &uses, model->output);
        cnnbn__text_add(&text, "\n");
    }
    cnnbn_free(uses.first);
    return cnnbn__text_end(&text, out);
}
