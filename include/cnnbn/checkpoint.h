/* Checkpoints: HDF5 files that Keras opens (keras.models.load_model), with everything to go on from in the group /cnnbn.
 *
 * /                       attrs keras_version, backend, model_config (JSON) [training_config]
 * /model_weights/...      Keras' legacy layout
 * /cnnbn                  attrs: format, digest, one attribute per meta entry; datasets optimizer/NAME
 */
#ifndef CNNBN_CHECKPOINT_H
#define CNNBN_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>
#include "cnnbn/digest.h"
#include "cnnbn/model.h"
#include "cnnbn/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { CNNBN_CHECKPOINT_FORMAT = 1 };

/* A named fact in /cnnbn: an integer, a double or a text. */
typedef enum cnnbn_meta_kind { CNNBN_META_INT, CNNBN_META_FLOAT, CNNBN_META_TEXT } cnnbn_meta_kind;
typedef struct cnnbn_meta {
    char key[48];
    cnnbn_meta_kind kind;
    int64_t i;
    double f;
    char *text; /* owned by the checkpoint when read; borrowed when written */
} cnnbn_meta;

/* A named flat array of floats in /cnnbn/optimizer: one value per element of every trainable weight, in the order of
 * model->params, without gaps. "ema", the average of the weights, has the others too: moving statistics. */
typedef struct cnnbn_slot {
    char name[32];
    size_t n;
    float *data; /* owned by the checkpoint when read; borrowed when written */
} cnnbn_slot;

typedef struct cnnbn_checkpoint {
    cnnbn_model *model; /* owned when read; borrowed when written */
    float **params;     /* [model->n_params] arrays in the model's order and layout; owned when read */
    int n_slots;
    cnnbn_slot *slots;
    int n_meta;
    cnnbn_meta *meta;
    char *training_config;          /* JSON text or NULL */
    int is_cnnbn;                   /* read: 1 when /cnnbn is there (else a plain Keras file: no slots, no meta) */
    char digest[CNNBN_DIGEST_TEXT]; /* read: of the trained state, see cnnbn_checkpoint_state_digest */
    /* Written: asked between the temporary file and the renaming, or NULL; what it refuses is not published. */
    cnnbn_status (*may_publish)(const void *context);
    const void *may_publish_context;
} cnnbn_checkpoint;

/* Digest of the trained state: every weight (moving statistics too) and every slot, with shapes, in the model's order; layer
 * names do not count. The same for any number of ranks and threads in ordered mode. */
CNNBN_API cnnbn_status cnnbn_checkpoint_state_digest(const cnnbn_checkpoint *checkpoint,
                                                     char text[CNNBN_DIGEST_TEXT]) CNNBN_MUST_CHECK;

/* Writes PATH: looks at the free space, writes PATH.tmp in the same folder, closes, syncs file and folder, renames. On any failure
 * PATH is as it was, the temporary file is removed, and the message names the step that failed: CNNBN_ERR_IO. Datasets carry
 * Fletcher-32; /cnnbn carries the digest of state and meta. Local: one rank calls it. May run in a helper thread. */
CNNBN_API cnnbn_status cnnbn_checkpoint_write(const char *path, const cnnbn_checkpoint *checkpoint) CNNBN_MUST_CHECK;

/* Reads a cnnbn checkpoint or a Keras .h5 (legacy whole-model layout of Keras 2 and 3). A cnnbn checkpoint's digest is verified.
 * Every size is checked against the file and the model before memory is asked for. CNNBN_ERR_CHECKPOINT names file, object,
 * found, expected; CNNBN_ERR_IO when it cannot be opened. Local. *out owned: cnnbn_checkpoint_destroy. */
CNNBN_API cnnbn_status cnnbn_checkpoint_read(const char *path, cnnbn_checkpoint **out) CNNBN_MUST_CHECK;

/* Reads only the model (model_config) of an .h5. */
CNNBN_API cnnbn_status cnnbn_checkpoint_read_model(const char *path, cnnbn_model **out) CNNBN_MUST_CHECK;

/* Reads what Keras' compile() was told (cnnbn_model_compiled): the training_config of an .h5, the config.json of a .keras. *out owned:
 * cnnbn_free; NULL when there is none. */
CNNBN_API cnnbn_status cnnbn_checkpoint_read_compiled(const char *path, char **out) CNNBN_MUST_CHECK;

/* Reads weights into the arrays params[model->n_params] of a model known already, by position among the layers that have weights
 * (Keras' rule), from a whole model .h5 or a legacy weights-only .h5; shapes are checked and named. */
CNNBN_API cnnbn_status cnnbn_checkpoint_read_weights(const char *path, const cnnbn_model *model,
                                                     float *const *params) CNNBN_MUST_CHECK;

/* Of one that was read: params become the averages that it holds (its slot "ema"), for what is not trained on; the other state is that
 * of the weights before. path is for the message. CNNBN_ERR_CHECKPOINT when it holds none. */
CNNBN_API cnnbn_status cnnbn_checkpoint_use_ema(cnnbn_checkpoint *checkpoint, const char *path) CNNBN_MUST_CHECK;

CNNBN_API void cnnbn_checkpoint_destroy(cnnbn_checkpoint *checkpoint); /* of one that was read; NULL is fine */

/* Meta entry by key, or NULL. */
CNNBN_API const cnnbn_meta *cnnbn_checkpoint_meta(const cnnbn_checkpoint *checkpoint, const char *key);

/* ---------------------------------------------------------------- a folder of checkpoints */

/* Files named PREFIX-EEEE-SSSSSSSS.h5 (epoch, step) are a run's checkpoints. */
/* Path of a checkpoint, "DIR/ckpt-0003-00000750.h5". text of PATH_MAX bytes. */
CNNBN_API cnnbn_status cnnbn_checkpoint_path(const char *dir, int64_t epoch, int64_t step, char *text,
                                             size_t bytes) CNNBN_MUST_CHECK;

/* Newest checkpoint of the folder that reads and verifies; damaged ones are skipped with a warning each (cnnbn_warn). *out = NULL and
 * CNNBN_OK when the folder has none or does not exist. path_out [bytes] receives the path. Local. */
CNNBN_API cnnbn_status cnnbn_checkpoint_newest(const char *dir, cnnbn_checkpoint **out, char *path_out,
                                               size_t bytes) CNNBN_MUST_CHECK;

/* File name of the folder's newest checkpoint, by names alone; "" where there is none. Local. */
CNNBN_API cnnbn_status cnnbn_checkpoint_newest_name(const char *dir, char *name, size_t bytes) CNNBN_MUST_CHECK;

/* Removes old checkpoints but the newest `keep` (>= 1), and stale *.tmp files; never the one named by `protect` (or NULL).
 * Failures to remove are warnings. */
CNNBN_API void cnnbn_checkpoint_prune(const char *dir, int keep, const char *protect);

/* Moves the checkpoints of steps after `step` (all, and best.h5, when it is negative) to DIR/earlier-N, a new folder, and says so. */
CNNBN_API cnnbn_status cnnbn_checkpoint_set_aside(const char *dir, int64_t step) CNNBN_MUST_CHECK;

/* Creates the folder (and its parents) when missing, and proves that a file can be written there. */
CNNBN_API cnnbn_status cnnbn_checkpoint_prepare_dir(const char *dir) CNNBN_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
