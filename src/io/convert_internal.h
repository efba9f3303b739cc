#ifndef CNNBN_IO_CONVERT_INTERNAL_H
#define CNNBN_IO_CONVERT_INTERNAL_H

#include <stddef.h>
#include "cnnbn/model.h"

/* Writes PATH.tmp, syncs it and renames it to PATH; on failure PATH is as it was (keras_write.c). */
cnnbn_status cnnbn__convert_publish(const char *path, const void *data, size_t bytes) CNNBN_MUST_CHECK;

/* The model's JSON as Keras 3 takes it alone (keras.models.model_from_json) and Keras 2 too. *out owned: cnnbn_free. */
cnnbn_status cnnbn__convert_keras_json(const cnnbn_model *model, char **out) CNNBN_MUST_CHECK;

#endif
