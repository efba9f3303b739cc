/* A model as a drawing for Graphviz: a box for each use of a layer. */
#include <stdio.h>

#include "internal.h"

#include "cnnbn/memory.h"

/* A string of the DOT language: quotes and backslashes escaped. */
static void write_text(const char *text, FILE *out)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') (void)fputc('\\', out);
        (void)fputc(*text, out);
    }
}

static void write_box(const cnnbn_model *model, int c, int use, FILE *out)
{
    char shape[48];
    const cnnbn_layer *layer = c ? &model->layers[model->calls[c].layer] : NULL;
    size_t count = 0;
    (void)fprintf(out, "    c%d [label=\"", c);
    write_text(layer ? layer->name : model->input_name, out);
    if (use > 0) (void)fprintf(out, " (use %d)", use + 1);
    (void)fprintf(out, "\\n%s\\n%s", layer ? layer->type->name : "InputLayer",
                  cnnbn_shape_text(model->calls[c].shape, shape, sizeof shape));
    for (int p = 0; layer && p < layer->n_params; p++) count += model->params[layer->first_param + p].count;
    if (count) (void)fprintf(out, "\\n%zu parameters%s", count, layer->trainable ? "" : ", frozen");
    (void)fprintf(out, "\"%s];\n", count ? ", style=filled, fillcolor=lightgrey" : "");
}

cnnbn_status cnnbn_model_write_dot(const cnnbn_model *model, FILE *out)
{
    cnnbn__uses uses;
    CNNBN_TRY(cnnbn__list_uses(model, &uses));
    (void)fprintf(out, "digraph \"");
    write_text(model->name, out);
    (void)fprintf(out, "\" {\n    node [shape=box, fontname=\"sans-serif\"];\n");
    for (int c = 0; c < model->n_calls; c++) write_box(model, c, c ? uses.use[c] : 0, out);
    for (int c = 1; c < model->n_calls; c++)
        for (int i = 0; i < model->calls[c].n_inputs; i++)
            (void)fprintf(out, "    c%d -> c%d;\n", model->calls[c].inputs[i], c);
    (void)fprintf(out, "}\n");
    cnnbn_free(uses.first);
    return CNNBN_OK;
}
