/* Keras' summary table. */
#include <stdio.h>
#include <string.h>

#include "internal.h"

#include "cnnbn/memory.h"

static const char *thousands(size_t value, char text[32])
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%zu", value), at = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0) text[at++] = ',';
        text[at++] = digits[i];
    }
    text[at] = '\0';
    return text;
}

typedef struct table {
    FILE *out;
    int width[4]; /* layer, shape, parameters, inputs (0: a chain, not shown) */
} table;

static void rule(const table *t)
{
    for (int i = 0; i < 4 && t->width[i]; i++) {
        (void)fputs(i ? "  " : "", t->out);
        for (int k = 0; k < t->width[i]; k++) (void)fputc('-', t->out);
    }
    (void)fputc('\n', t->out);
}

static void row(const table *t, const char *layer, const char *shape, const char *count, const char *inputs)
{
    (void)fprintf(t->out, "%-*s  %-*s  %*s", t->width[0], layer, t->width[1], shape, t->width[2], count);
    (void)fprintf(t->out, t->width[3] ? "  %s\n" : "\n", inputs);
}

static const char *call_name(const cnnbn_model *model, int call)
{
    return call ? model->layers[model->calls[call].layer].name : model->input_name;
}

static void call_row(const table *t, const cnnbn_model *model, int c, int again)
{
    const cnnbn_call *call = &model->calls[c];
    const cnnbn_layer *layer = &model->layers[call->layer];
    char title[2 * CNNBN_NAME_MAX], shape[48], batched[64], count[32], inputs[400] = "";
    size_t n = 0;
    for (int p = 0; p < layer->n_params; p++) n += model->params[layer->first_param + p].count;
    (void)snprintf(title, sizeof title, "%s (%s)", layer->name, layer->type->name);
    (void)snprintf(batched, sizeof batched, "(None, %s", cnnbn_shape_text(call->shape, shape, sizeof shape) + 1);
    for (int i = 0; i < call->n_inputs; i++) {
        size_t used = strlen(inputs);
        (void)snprintf(inputs + used, sizeof inputs - used, "%s%s", i ? ", " : "", call_name(model, call->inputs[i]));
    }
    row(t, title, batched, again ? "(again)" : thousands(n, count), inputs);
}

static void measure(table *t, const cnnbn_model *model)
{
    for (int l = 0; l < model->n_layers; l++) {
        int width = (int)(strlen(model->layers[l].name) + strlen(model->layers[l].type->name)) + 3;
        if (width > t->width[0]) t->width[0] = width;
    }
    if (!cnnbn__is_chain(model)) t->width[3] = 16;
}

void cnnbn_model_print_summary(const cnnbn_model *model, FILE *out)
{
    table t = {out, {28, 22, 12, 0}};
    cnnbn__uses uses;
    char count[32], shape[48], batched[64];
    measure(&t, model);
    int known = cnnbn__list_uses(model, &uses) == CNNBN_OK; /* without memory no use is marked as a second one */
    (void)fprintf(out, "Model: \"%s\"\n", model->name);
    row(&t, "Layer (type)", "Output Shape", "Param #", "Connected to");
    rule(&t);
    if (t.width[3]) {
        char title[2 * CNNBN_NAME_MAX];
        (void)snprintf(title, sizeof title, "%s (InputLayer)", model->input_name);
        (void)snprintf(batched, sizeof batched, "(None, %s", cnnbn_shape_text(model->input, shape, sizeof shape) + 1);
        row(&t, title, batched, "0", "-");
    }
    for (int c = 1; c < model->n_calls; c++) call_row(&t, model, c, known && uses.use[c] > 0);
    rule(&t);
    size_t total = cnnbn_model_count_params(model, 0), trainable = cnnbn_model_count_params(model, 1);
    (void)fprintf(out, "Total params: %s\n", thousands(total, count));
    (void)fprintf(out, "Trainable params: %s\n", thousands(trainable, count));
    (void)fprintf(out, "Non-trainable params: %s\n", thousands(total - trainable, count));
    cnnbn_free(uses.first);
}
