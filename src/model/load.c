/* A model by name or file. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

#include "cnnbn/memory.h"

cnnbn_status cnnbn_model_from_text(const char *text, size_t bytes, const char *origin, const cnnbn_model_wish *wish,
                                   cnnbn_model **out)
{
    cnnbn__doc *doc = NULL;
    *out = NULL;
    cnnbn_status status = cnnbn__doc_parse(text, bytes, &doc);
    if (status == CNNBN_OK) {
        const cnnbn__node *root = cnnbn__doc_root(doc);
        if (cnnbn__node_get(root, "class_name"))
            status = cnnbn__read_keras(root, wish, out);
        else if (root->kind == CNNBN__MAP)
            status = cnnbn__read_yaml(root, wish, out);
        else
            status = cnnbn_error(CNNBN_ERR_MODEL, "expected a map with `input:` and `layers:`, or a Keras model");
    }
    cnnbn__doc_destroy(doc);
    return status == CNNBN_OK ? status : cnnbn_error_context(status, "%s", origin);
}

static cnnbn_status read_open_file(FILE *file, const char *path, cnnbn__text *text)
{
    char part[4096];
    size_t n;
    while ((n = fread(part, 1, sizeof part, file)) > 0) {
        if (text->used + n > CNNBN__DOC_BYTES_MAX)
            return cnnbn_error(CNNBN_ERR_MODEL, "%s: more than %d bytes; that is no model description", path,
                               CNNBN__DOC_BYTES_MAX);
        cnnbn__text_add_bytes(text, part, n);
    }
    if (ferror(file)) return cnnbn_error(CNNBN_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    return text->status;
}

static cnnbn_status load_file(const char *path, const cnnbn_model_wish *wish, cnnbn_model **out)
{
    cnnbn__text text = {0};
    FILE *file = fopen(path, "rb");
    if (!file) return cnnbn_error(CNNBN_ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    cnnbn_status status = read_open_file(file, path, &text);
    (void)fclose(file);
    if (status == CNNBN_OK) status = cnnbn_model_from_text(text.data, text.used, path, wish, out);
    cnnbn_free(text.data);
    return status;
}

static int looks_like_file(const char *name)
{
    static const char *const endings[] = {".yaml", ".yml", ".json"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t n = strlen(name), m = strlen(endings[i]);
        if (n > m && strcmp(name + n - m, endings[i]) == 0) return 1;
    }
    return strchr(name, '/') != NULL;
}

static cnnbn_status unknown_name(const char *name)
{
    cnnbn__text known = {0};
    for (const char *const *n = cnnbn_model_builtin_names(); *n; n++) cnnbn__text_add(&known, " %s", *n);
    cnnbn_status status = known.status;
    if (status == CNNBN_OK)
        status =
            cnnbn_error(CNNBN_ERR_MODEL, "%.200s is no built-in model and no .yaml, .yml or .json file; built in are%s",
                        name, known.data);
    cnnbn_free(known.data);
    return status;
}

cnnbn_status cnnbn_model_load(const char *name_or_path, const cnnbn_model_wish *wish, cnnbn_model **out)
{
    cnnbn__text text = {0};
    int known = 0;
    *out = NULL;
    if (looks_like_file(name_or_path) && wish && wish->norm != CNNBN_NORM_OWN)
        return cnnbn_error(CNNBN_ERR_OPTION, "--norm is for built-in models; %.200s says itself how it normalises",
                           name_or_path);
    if (looks_like_file(name_or_path)) return load_file(name_or_path, wish, out);
    cnnbn_status status = cnnbn__builtin_text(name_or_path, wish, &text, &known);
    if (status == CNNBN_OK) status = text.status;
    if (status == CNNBN_OK && !known) status = unknown_name(name_or_path);
    if (status == CNNBN_OK) status = cnnbn_model_from_text(text.data, text.used, name_or_path, wish, out);
    cnnbn_free(text.data);
    return status;
}
