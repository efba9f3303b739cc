/* Keras 3's files: `.keras`, a zip archive of config.json, metadata.json and model.weights.h5, and `.weights.h5`, which names
 * weights by the place of their layers in the model. */
#ifndef CNNBN_IO_KERAS_INTERNAL_H
#define CNNBN_IO_KERAS_INTERNAL_H

#include "checkpoint_internal.h"

/* ---------------------------------------------------------------- the archive (keras_zip.c) */

/* 1 for a regular file that begins as a zip archive does. */
int cnnbn__keras_is_zip(const char *path);

typedef struct cnnbn__keras_zip cnnbn__keras_zip;
/* Opens an archive. CNNBN_ERR_CHECKPOINT when it is damaged or when this build has no libzip. *out owned: _close. */
cnnbn_status cnnbn__keras_zip_open(const char *path, cnnbn__keras_zip **out) CNNBN_MUST_CHECK;
void cnnbn__keras_zip_close(cnnbn__keras_zip *zip); /* NULL is fine */
/* All of an entry, checked against its CRC; more than `limit` bytes are refused before memory is asked for, and so is an entry
 * that is there twice, encrypted or compressed in a way that Keras does not use. A NUL follows the bytes. *out owned:
 * cnnbn_free; NULL with CNNBN_OK when there is no such entry and it is optional. */
cnnbn_status cnnbn__keras_zip_read(cnnbn__keras_zip *zip, const char *name, uint64_t limit, int optional, void **out,
                                   size_t *bytes) CNNBN_MUST_CHECK;

/* An archive in memory, entries stored as they are, dated 1980: the same entries make the same bytes. *out owned: cnnbn_free. */
typedef struct cnnbn__zip_entry {
    const char *name;
    const void *data;
    size_t bytes;
} cnnbn__zip_entry;
cnnbn_status cnnbn__keras_zip_make(const char *path, const cnnbn__zip_entry *entries, int n_entries, void **out,
                                   size_t *bytes) CNNBN_MUST_CHECK;

/* ---------------------------------------------------------------- the order of layers (keras3_order.c) */

/* The layers as Keras orders them in a model that it has built from this one's config: position i holds layer order[i], -1
 * standing for the InputLayer. *out of *n entries, owned: cnnbn_free. */
cnnbn_status cnnbn__keras3_order(const cnnbn_model *model, int **out, int *n) CNNBN_MUST_CHECK;
/* The directory of each layer in a `.weights.h5`, by layer: "conv2d", "conv2d_1". Owned: cnnbn_free, as one block. */
cnnbn_status cnnbn__keras3_folders(const cnnbn_model *model, char ***out) CNNBN_MUST_CHECK;

/* ---------------------------------------------------------------- models that were layers (nested_order.c) */

/* What a file of Keras lists as a layer: one, or a whole model with its weights in the order of that file. */
typedef struct cnnbn__weight_unit {
    const char *name;
    int n, *params; /* into model->params; -1: a weight that no layer in use has */
} cnnbn__weight_unit;

/* Those with weights, in the order of the model. *out owned, as one block: cnnbn_free. */
cnnbn_status cnnbn__nested_units(const cnnbn_model *model, cnnbn__weight_unit **out, int *n) CNNBN_MUST_CHECK;
/* Directory of a layer's weights below `layers`: "functional/layers/conv2d_1". */
cnnbn_status cnnbn__nested_folder(const cnnbn_model *model, int layer, char *path, size_t bytes) CNNBN_MUST_CHECK;

/* ---------------------------------------------------------------- weights (keras3_weights.c) */

/* 1 when an open file has the layout of a `.weights.h5`. */
int cnnbn__keras3_is_weights(const cnnbn__h5_file *file);
/* As cnnbn__weights_find; places [model->n_params]. */
cnnbn_status cnnbn__keras3_find(const cnnbn__h5_file *file, const cnnbn_model *model,
                                cnnbn__weight_place *places) CNNBN_MUST_CHECK;
/* A `.weights.h5` in memory. *out owned: cnnbn_free. */
cnnbn_status cnnbn__keras3_make(const char *path, const cnnbn_model *model, float *const *params, void **out,
                                size_t *bytes) CNNBN_MUST_CHECK;

/* ---------------------------------------------------------------- HDF5 files in memory (h5_image.c) */

/* Opens bytes for reading; they must live as long as the file. `path` is named in messages. The scope owns file->id. */
cnnbn_status cnnbn__h5_open_image(cnnbn__h5_scope *scope, const char *path, void *data, size_t bytes, cnnbn_status bad,
                                  cnnbn__h5_file *file) CNNBN_MUST_CHECK;
/* Creates a file in memory that grows in steps of `step` bytes; negative when HDF5 fails. The scope owns it. */
hid_t cnnbn__h5_create_image(cnnbn__h5_scope *scope, size_t step);
/* Its bytes so far; *out owned: cnnbn_free. */
cnnbn_status cnnbn__h5_take_image(hid_t file, const char *path, void **out, size_t *bytes) CNNBN_MUST_CHECK;

/* ---------------------------------------------------------------- reading a .keras file (keras_read.c) */

cnnbn_status cnnbn__keras_read(const char *path, cnnbn_checkpoint *checkpoint) CNNBN_MUST_CHECK;
cnnbn_status cnnbn__keras_read_model(const char *path, cnnbn_model **out) CNNBN_MUST_CHECK;
cnnbn_status cnnbn__keras_read_compiled(const char *path, char **out) CNNBN_MUST_CHECK; /* config.json; owned */
cnnbn_status cnnbn__keras_read_weights(const char *path, const cnnbn_model *model,
                                       float *const *params) CNNBN_MUST_CHECK;

#endif
