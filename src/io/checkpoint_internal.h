#ifndef CNNBN_IO_CHECKPOINT_INTERNAL_H
#define CNNBN_IO_CHECKPOINT_INTERNAL_H

#include "cnnbn/checkpoint.h"
#include "h5_internal.h"

/* ---------------------------------------------------------------- the seal (checkpoint_seal.c)
 *
 * HDF5 leaves the first bytes of a file to its user, and every HDF5 looks for its own beginning after them. A cnnbn checkpoint
 * has 512 such bytes of text: the file's size and the XXH3-128 of all that follows. A reader checks them before HDF5, which was
 * not made for hostile bytes, parses anything; so damage of any kind is told, and nothing else is ever read. */
enum { CNNBN_SEAL_BYTES = 512 };

cnnbn_status cnnbn__seal_make(const void *content, size_t bytes, char seal[CNNBN_SEAL_BYTES]) CNNBN_MUST_CHECK;
/* Reads the whole file and checks its seal; a file that begins as plain HDF5 passes with *sealed = 0. */
cnnbn_status cnnbn__seal_check(const char *path, int *sealed) CNNBN_MUST_CHECK;

/* ---------------------------------------------------------------- what the digests cover (checkpoint_digest.c) */

/* Of all that a checkpoint says: state, model, training_config, meta (in the order of the keys). */
cnnbn_status cnnbn__checkpoint_digest(const cnnbn_checkpoint *checkpoint, const char *model_json,
                                      const char *state_digest, char text[CNNBN_DIGEST_TEXT]) CNNBN_MUST_CHECK;
/* Elements of every trainable weight: the length of a slot. */
size_t cnnbn__checkpoint_slot_length(const cnnbn_model *model, const char *name);
/* 1 when an attribute of /cnnbn is not a meta entry. */
int cnnbn__checkpoint_key_is_reserved(const char *key);

/* ---------------------------------------------------------------- weights in Keras' layout (checkpoint_weights.c) */

/* Where each of a model's weights lies in an open file: found, and its shape checked. */
typedef struct cnnbn__weight_place {
    char *shown; /* path in the file */
    hid_t id;
} cnnbn__weight_place;
/* Finds all; *out of model->n_params entries, owned: cnnbn__weights_release. */
cnnbn_status cnnbn__weights_find(const cnnbn__h5_file *file, const cnnbn_model *model,
                                 cnnbn__weight_place **out) CNNBN_MUST_CHECK;
cnnbn_status cnnbn__weights_read(const cnnbn__h5_file *file, const cnnbn_model *model,
                                 const cnnbn__weight_place *places, float *const *params) CNNBN_MUST_CHECK;
/* Float, or an integer where the weight is one number: Keras' counts. */
int cnnbn__weight_kind_fits(const cnnbn__h5_array *array, const cnnbn_param *param);
void cnnbn__weights_release(const cnnbn_model *model, cnnbn__weight_place *places);

/* Allocates and fills checkpoint->params, of its model, out of an open file (checkpoint_read.c). */
cnnbn_status cnnbn__checkpoint_read_params(const cnnbn__h5_file *file, cnnbn_checkpoint *checkpoint) CNNBN_MUST_CHECK;

#endif
