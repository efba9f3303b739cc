/* What Keras' compile() was told, in the words of any version of it. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cnnbn/model.h"
#include "doc.h"

/* Other names for the losses that cnnbn has. */
static const struct {
    const char *word, *name;
} aliases[] = {
    {"mean_squared_error", "mse"},
    {"mean_absolute_error", "mae"},
    {"huber_loss", "huber"},
};

/* "BinaryCrossentropy" to "binary_crossentropy", "MSE" to "mse". */
static void to_snake(const char *word, char *out, size_t bytes)
{
    size_t n = 0;
    for (const char *c = word; *c && n + 2 < bytes; c++) {
        int is_upper = isupper((unsigned char)*c) != 0;
        if (is_upper && c > word && islower((unsigned char)c[-1])) out[n++] = '_';
        out[n++] = (char)tolower((unsigned char)*c);
    }
    out[n] = '\0';
}

static void set_name(const char *word, cnnbn_compiled *out)
{
    to_snake(word, out->loss, sizeof out->loss);
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (strcmp(out->loss, aliases[i].word) == 0) (void)snprintf(out->loss, sizeof out->loss, "%s", aliases[i].name);
}

/* A loss: a word, an object {class_name, config}, or a list or map of one of them, for the one output. */
static void read_loss(const cnnbn__node *loss, cnnbn_compiled *out)
{
    const cnnbn__node *class_name = cnnbn__node_get(loss, "class_name");
    if (!loss || cnnbn__node_is_null(loss)) return;
    if (loss->kind == CNNBN__SCALAR) {
        set_name(loss->text, out);
        return;
    }
    if (!class_name) {
        if (loss->n == 1 && loss->first->kind != CNNBN__LIST) read_loss(loss->first, out);
        return;
    }
    const cnnbn__node *config = cnnbn__node_get(loss, "config");
    /* A function that was wrapped: its name stands in its place. */
    if (cnnbn__node_is(class_name, "function") && config && config->kind == CNNBN__SCALAR) {
        set_name(config->text, out);
        return;
    }
    if (class_name->kind != CNNBN__SCALAR) return;
    set_name(class_name->text, out);
    (void)cnnbn__node_to_float(cnnbn__node_get(config, "label_smoothing"), &out->label_smoothing);
    (void)cnnbn__node_to_float(cnnbn__node_get(config, "delta"), &out->delta);
}

cnnbn_status cnnbn_model_compiled(const char *json, const char *from, cnnbn_compiled *out)
{
    cnnbn__doc *doc;
    *out = (cnnbn_compiled){.delta = 1};
    cnnbn_status status = cnnbn__doc_parse(json, strlen(json), &doc);
    if (status != CNNBN_OK) return cnnbn_error_context(status, "%s: what it was compiled with", from);
    const cnnbn__node *root = cnnbn__doc_root(doc), *inner = cnnbn__node_get(root, "compile_config");
    read_loss(cnnbn__node_get(inner ? inner : root, "loss"), out);
    cnnbn__doc_destroy(doc);
    return CNNBN_OK;
}
