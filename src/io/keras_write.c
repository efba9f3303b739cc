#include <stdio.h>
#include <string.h>

#include "cnnbn/convert.h"
#include "convert_internal.h"
#include "file_internal.h"
#include "keras_internal.h"

cnnbn_status cnnbn__convert_publish(const char *path, const void *data, size_t bytes)
{
    const cnnbn__file_part part = {data, bytes};
    const cnnbn__file_gate open = {0};
    CNNBN_TRY(cnnbn__file_check_space(path, bytes));
    return cnnbn__file_write(path, &part, 1, open);
}

/* Keras 3 finds a class by its module; and what a graph of layers is called, Functional, is in another module in each line of
 * Keras, but every one of them makes it of a Model with such a config. The layers may be in Keras 2's words: Keras 3 reads them
 * one by one, and does not know the words that later versions of Keras 3 add. */
cnnbn_status cnnbn__convert_keras_json(const cnnbn_model *model, char **out)
{
    char *json;
    void *block;
    *out = NULL;
    CNNBN_TRY(cnnbn_model_to_json(model, &json));
    const char *config = strstr(json, "\"config\": ");
    size_t bytes = strlen(json) + 128;
    cnnbn_status status = config ? cnnbn_alloc(bytes, "a model's text", &block)
                                 : cnnbn_error(CNNBN_ERR_INTERNAL, "a model's text without a config");
    if (status == CNNBN_OK) {
        (void)snprintf(block, bytes, "{\"module\": \"keras\", \"registered_name\": null, \"class_name\": \"%s\", %s",
                       model->sequential ? "Sequential" : "Model", config);
        *out = block;
    }
    cnnbn_free(json);
    return status;
}

/* Any version of Keras 3 may read it; the date is no part of the model. */
static const char metadata[] = "{\"keras_version\": \"3.0.0\", \"date_saved\": \"1980-01-01@00:00:00\"}";

cnnbn_status cnnbn_keras_write(const char *path, const cnnbn_checkpoint *checkpoint)
{
    void *weights = NULL, *archive = NULL;
    char *config = NULL;
    size_t weights_bytes = 0, bytes = 0;
    cnnbn_status status = cnnbn__keras3_make(path, checkpoint->model, checkpoint->params, &weights, &weights_bytes);
    if (status == CNNBN_OK) status = cnnbn__convert_keras_json(checkpoint->model, &config);
    if (status == CNNBN_OK) {
        const cnnbn__zip_entry entries[3] = {{"metadata.json", metadata, sizeof metadata - 1},
                                             {"config.json", config, strlen(config)},
                                             {"model.weights.h5", weights, weights_bytes}};
        status = cnnbn__keras_zip_make(path, entries, 3, &archive, &bytes);
    }
    cnnbn_free(weights);
    cnnbn_free(config);
    if (status == CNNBN_OK) status = cnnbn__convert_publish(path, archive, bytes);
    cnnbn_free(archive);
    return status;
}

cnnbn_status cnnbn_keras_write_weights(const char *path, const cnnbn_checkpoint *checkpoint)
{
    void *weights;
    size_t bytes;
    CNNBN_TRY(cnnbn__keras3_make(path, checkpoint->model, checkpoint->params, &weights, &bytes));
    cnnbn_status status = cnnbn__convert_publish(path, weights, bytes);
    cnnbn_free(weights);
    return status;
}
