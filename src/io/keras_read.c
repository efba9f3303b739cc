/* A .keras file behind the functions that read a checkpoint. The model comes first: it says how large the weights may be. */
#include "keras_internal.h"

#include <stdio.h>
#include <string.h>

/* The greatest text that the reader of models takes. */
enum { CONFIG_MAX = 64 << 20, METADATA_MAX = 1 << 20 };

/* model.weights.h5 also holds the optimiser's variables, up to three times the weights, perhaps in float64, and some KB a group. */
enum { WEIGHTS_FACTOR = 8, LAYER_BYTES = 1 << 16, FILE_BYTES = 16 << 20 };

/* The version that metadata.json names: config.json does not, and words changed their meaning with it. "" when there is none. */
static cnnbn_status read_version(cnnbn__keras_zip *zip, char version[32])
{
    void *text;
    size_t bytes;
    version[0] = '\0';
    CNNBN_TRY(cnnbn__keras_zip_read(zip, "metadata.json", METADATA_MAX, 1, &text, &bytes));
    const char *at = text ? strstr(text, "\"keras_version\"") : NULL;
    if (at) {
        at += strlen("\"keras_version\"");
        at += strspn(at, " :\t\n");
        size_t n = *at == '"' ? strspn(at + 1, "0123456789.abcdefghijklmnopqrstuvwxyz") : 0;
        if (n > 0 && n < 32 && at[1 + n] == '"') {
            memcpy(version, at + 1, n);
            version[n] = '\0';
        }
    }
    cnnbn_free(text);
    return CNNBN_OK;
}

static cnnbn_status read_config_text(cnnbn__keras_zip *zip, const char *path, void **config, size_t *bytes)
{
    CNNBN_TRY(cnnbn__keras_zip_read(zip, "config.json", CONFIG_MAX - 64, 0, config, bytes));
    if (!memchr(*config, '\0', *bytes)) return CNNBN_OK;
    cnnbn_free(*config);
    *config = NULL;
    return cnnbn_error(CNNBN_ERR_CHECKPOINT, "%s: config.json holds a NUL: damaged", path);
}

static cnnbn_status read_config(cnnbn__keras_zip *zip, const char *path, cnnbn_model **out)
{
    char version[32];
    void *config, *text;
    size_t bytes;
    *out = NULL;
    CNNBN_TRY(read_version(zip, version));
    CNNBN_TRY(read_config_text(zip, path, &config, &bytes));
    const char *first = config;
    first += strspn(first, " \t\r\n");
    cnnbn_status status = CNNBN_OK;
    if (*first == '{' && version[0] && !strstr(config, "\"keras_version\"")) {
        status = cnnbn_alloc(bytes + 64, "a model's text", &text);
        if (status == CNNBN_OK) {
            (void)snprintf(text, bytes + 64, "{\"keras_version\": \"%s\", %s", version, first + 1);
            cnnbn_free(config);
            config = text;
        }
    }
    if (status == CNNBN_OK) status = cnnbn_model_from_text(config, strlen(config), path, NULL, out);
    cnnbn_free(config);
    return status;
}

static uint64_t weights_limit(const cnnbn_model *model)
{
    uint64_t limit = FILE_BYTES + (uint64_t)model->n_layers * LAYER_BYTES;
    for (int i = 0; i < model->n_params; i++) limit += model->params[i].count * sizeof(float) * WEIGHTS_FACTOR;
    return limit;
}

static cnnbn_status read_weights_file(cnnbn__keras_zip *zip, const char *path, const cnnbn_model *model, void **out,
                                      size_t *bytes)
{
    CNNBN_TRY(cnnbn__keras_zip_read(zip, "model.weights.h5", weights_limit(model), 1, out, bytes));
    if (*out) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_CHECKPOINT,
                       "%s: has no model.weights.h5 (weights as .npz or in shards are not read): save it by "
                       "model.save(\"model.keras\")",
                       path);
}

cnnbn_status cnnbn__keras_read_model(const char *path, cnnbn_model **out)
{
    cnnbn__keras_zip *zip;
    *out = NULL;
    CNNBN_TRY(cnnbn__keras_zip_open(path, &zip));
    cnnbn_status status = read_config(zip, path, out);
    cnnbn__keras_zip_close(zip);
    return status;
}

cnnbn_status cnnbn__keras_read_compiled(const char *path, char **out)
{
    cnnbn__keras_zip *zip;
    void *config = NULL;
    size_t bytes;
    *out = NULL;
    CNNBN_TRY(cnnbn__keras_zip_open(path, &zip));
    cnnbn_status status = read_config_text(zip, path, &config, &bytes);
    cnnbn__keras_zip_close(zip);
    *out = config;
    return status;
}

cnnbn_status cnnbn__keras_read(const char *path, cnnbn_checkpoint *checkpoint)
{
    cnnbn__keras_zip *zip;
    cnnbn__h5_file file;
    cnnbn__h5_scope scope;
    void *image = NULL;
    size_t bytes;
    CNNBN_TRY(cnnbn__keras_zip_open(path, &zip));
    cnnbn_status status = read_config(zip, path, &checkpoint->model);
    if (status == CNNBN_OK) status = read_weights_file(zip, path, checkpoint->model, &image, &bytes);
    cnnbn__keras_zip_close(zip);
    if (status != CNNBN_OK) return status;
    cnnbn__h5_enter(&scope);
    status = cnnbn__h5_open_image(&scope, path, image, bytes, CNNBN_ERR_CHECKPOINT, &file);
    if (status == CNNBN_OK) status = cnnbn__checkpoint_read_params(&file, checkpoint);
    cnnbn__h5_leave(&scope);
    cnnbn_free(image);
    if (status == CNNBN_OK) status = cnnbn_checkpoint_state_digest(checkpoint, checkpoint->digest);
    return status;
}

/* The model is known: the file's own does not matter. */
cnnbn_status cnnbn__keras_read_weights(const char *path, const cnnbn_model *model, float *const *params)
{
    cnnbn__keras_zip *zip;
    cnnbn__h5_file file;
    cnnbn__h5_scope scope;
    cnnbn__weight_place *places = NULL;
    void *image;
    size_t bytes;
    CNNBN_TRY(cnnbn__keras_zip_open(path, &zip));
    cnnbn_status status = read_weights_file(zip, path, model, &image, &bytes);
    cnnbn__keras_zip_close(zip);
    if (status != CNNBN_OK) return status;
    cnnbn__h5_enter(&scope);
    status = cnnbn__h5_open_image(&scope, path, image, bytes, CNNBN_ERR_CHECKPOINT, &file);
    if (status == CNNBN_OK) status = cnnbn__weights_find(&file, model, &places);
    if (status == CNNBN_OK) status = cnnbn__weights_read(&file, model, places, params);
    cnnbn__weights_release(model, places);
    cnnbn__h5_leave(&scope);
    cnnbn_free(image);
    return status;
}
