/* Datasets in HDF5 (Keras' names): x_train uint8 or float32 (N,H,W,C) or (N,H,W), y_train class numbers,
 * integer (N), or values, (N,K) or float (N); x_test, y_test; optional root attributes class_names, mean, std, source,
 * licence. Chunked by whole samples, gzip or none.
 *
 * No MPI here: who reads what is the caller's. HDF5 is called under one process-wide lock, so that a helper thread may
 * read ahead or write a checkpoint.
 */
#ifndef CNNBN_DATASET_H
#define CNNBN_DATASET_H

#include <stddef.h>
#include <stdint.h>
#include "cnnbn/digest.h"
#include "cnnbn/model.h"
#include "cnnbn/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cnnbn_split { CNNBN_TRAIN = 0, CNNBN_TEST = 1 } cnnbn_split;

typedef struct cnnbn_dataset cnnbn_dataset;

typedef struct cnnbn_dataset_info {
    const char *path;    /* borrowed while the dataset lives, as all pointers here */
    size_t n[2];         /* samples of train and test; test may be 0 */
    cnnbn_shape shape;   /* H, W, C */
    int is_u8;           /* else float32 */
    size_t sample_bytes; /* as stored */
    int n_classes;       /* length of class_names, else greatest label of both splits + 1; n_targets if not 0 */
    const char *y_name;  /* path of y_train */
    int n_targets;       /* values a sample of y, as floats; 0: y holds class numbers */
    float target_least, target_most; /* of both splits' values */
    double target_sum_error;         /* greatest |sum of a sample's values - 1| */
    const char *const *class_names;  /* [n_classes] or NULL */
    const float *mean, *std;         /* [C] or NULL: applied after scaling by 1/255 */
    const char *source, *licence;    /* "" when absent */
    size_t chunk_samples;            /* of x_train; 0: contiguous */
} cnnbn_dataset_info;

/* Paths inside the file; NULL members take Keras' names. */
typedef struct cnnbn_dataset_paths {
    const char *x_train, *y_train, *x_test, *y_test;
} cnnbn_dataset_paths;

/* Opens read-only (file locking off or best-effort) and checks: HDF5 at all, ranks, types, lengths of x and y alike,
 * at least one training sample, labels >= 0 (and < number of class names), values finite and alike in both splits, std > 0,
 * truncated file. Labels are read (they are small); images are not, values only to look at them. Messages name file and path in it, what was found, what was expected:
 * CNNBN_ERR_DATA; CNNBN_ERR_IO when it cannot be opened. paths may be NULL. Local. *out owned: cnnbn_dataset_close. */
CNNBN_API cnnbn_status cnnbn_dataset_open(const char *path, const cnnbn_dataset_paths *paths,
                                          cnnbn_dataset **out) CNNBN_MUST_CHECK;
CNNBN_API void cnnbn_dataset_close(cnnbn_dataset *dataset); /* NULL is fine */
CNNBN_API const cnnbn_dataset_info *cnnbn_dataset_get_info(const cnnbn_dataset *dataset);
/* [n], borrowed; NULL when y holds values. */
CNNBN_API const int32_t *cnnbn_dataset_labels(const cnnbn_dataset *dataset, cnnbn_split split);
/* Values [count][n_targets] of the samples from `first` on. Local. */
CNNBN_API cnnbn_status cnnbn_dataset_read_targets(cnnbn_dataset *dataset, cnnbn_split split, size_t first, size_t count,
                                                  float *targets) CNNBN_MUST_CHECK;

/* Samples [first, first+count) as stored (uint8 or float32, sample after sample) into images. Float images are checked
 * for NaN and Inf: CNNBN_ERR_DATA with the sample's index. Local. */
CNNBN_API cnnbn_status cnnbn_dataset_read(cnnbn_dataset *dataset, cnnbn_split split, size_t first, size_t count,
                                          void *images) CNNBN_MUST_CHECK;

/* Digest that tells datasets apart: shapes, type, mean/std, all labels or values, and up to 64 images evenly spaced. */
CNNBN_API cnnbn_status cnnbn_dataset_digest(cnnbn_dataset *dataset, char text[CNNBN_DIGEST_TEXT]) CNNBN_MUST_CHECK;

/* ---------------------------------------------------------------- streaming: for what does not fit in memory */

/* Reads whole chunks with a helper thread into a cache of at most memory_bytes (at least what one batch needs; a warning
 * says so when that is more), ahead of use. */
typedef struct cnnbn_stream cnnbn_stream;
CNNBN_API cnnbn_status cnnbn_stream_open(cnnbn_dataset *dataset, cnnbn_split split, size_t memory_bytes, int max_batch,
                                         cnnbn_stream **out) CNNBN_MUST_CHECK;
/* Asks for the samples ids[0..n), n <= max_batch, n may be 0; returns at once. At most two requests may be waiting. */
CNNBN_API cnnbn_status cnnbn_stream_ask(cnnbn_stream *stream, const uint64_t *ids, int n) CNNBN_MUST_CHECK;
/* Waits for the oldest request: *images holds its samples in order (as stored), borrowed until the next take. A failure of
 * the helper thread is returned here. */
CNNBN_API cnnbn_status cnnbn_stream_take(cnnbn_stream *stream, const void **images) CNNBN_MUST_CHECK;
CNNBN_API void cnnbn_stream_close(cnnbn_stream *stream); /* NULL is fine; waits for the thread */

/* ---------------------------------------------------------------- writing */

/* Writes a dataset: to PATH.tmp, renamed to PATH by cnnbn_dataset_writer_end; _abort removes it. Images are uint8. */
typedef struct cnnbn_dataset_writer cnnbn_dataset_writer;
typedef struct cnnbn_dataset_spec {
    size_t n[2];
    cnnbn_shape shape; /* H, W, C; C = 1 is written as (N,H,W) when squeeze is set */
    int squeeze;
    int n_classes;
    int n_targets; /* y holds so many float32 values a sample, (N, K), or (N,) of one; 0: class numbers */
    const char *const *class_names; /* [n_classes] or NULL; with values [n_targets] */
    const char *source, *licence;   /* or NULL */
    int gzip;                       /* 0 none, 1..9 */
} cnnbn_dataset_spec;
CNNBN_API cnnbn_status cnnbn_dataset_writer_create(const char *path, const cnnbn_dataset_spec *spec,
                                                   cnnbn_dataset_writer **out) CNNBN_MUST_CHECK;
/* Appends count samples to a split; the latter of a spec with n_targets: targets [count][n_targets]. */
CNNBN_API cnnbn_status cnnbn_dataset_writer_append(cnnbn_dataset_writer *writer, cnnbn_split split, size_t count,
                                                   const uint8_t *images, const int32_t *labels) CNNBN_MUST_CHECK;
CNNBN_API cnnbn_status cnnbn_dataset_writer_append_targets(cnnbn_dataset_writer *writer, cnnbn_split split,
                                                           size_t count, const uint8_t *images,
                                                           const float *targets) CNNBN_MUST_CHECK;
/* Checks that all samples came, closes, syncs, renames. Frees the writer in any case. */
CNNBN_API cnnbn_status cnnbn_dataset_writer_end(cnnbn_dataset_writer *writer) CNNBN_MUST_CHECK;
CNNBN_API void cnnbn_dataset_writer_abort(cnnbn_dataset_writer *writer);

#ifdef __cplusplus
}
#endif
#endif
