/* Descriptions of models, YAML and JSON: what is read is written in both words and read again, to the same model. */
#include <stdlib.h>
#include <string.h>

#include "cnnbn/memory.h"
#include "cnnbn/model.h"
#include "fuzz_file.h"

static void read_again(const cnnbn_model *model, cnnbn_status (*write)(const cnnbn_model *, char **), int exact)
{
    char *text;
    cnnbn_model *again;
    if (write(model, &text) != CNNBN_OK) return;
    if (cnnbn_model_from_text(text, strlen(text), "written", NULL, &again) != CNNBN_OK) abort();
    if (again->n_params != model->n_params || (exact && cnnbn_model_same(model, again) != CNNBN_OK)) abort();
    cnnbn_model_destroy(again);
    cnnbn_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    cnnbn_model *model;
    int failed = cnnbn_model_from_text((const char *)data, bytes, "input", NULL, &model) != CNNBN_OK;
    fuzz_check(failed, model);
    if (failed) return 0;
    read_again(model, cnnbn_model_to_json, 0); /* Keras' words cannot say all */
    read_again(model, cnnbn_model_to_yaml, 1);
    cnnbn_model_destroy(model);
    return 0;
}
