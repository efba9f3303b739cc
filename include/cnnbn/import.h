/* Importers: IDX (MNIST's format, gzipped or not), CIFAR binary files and folders of images become a dataset in HDF5
 * (dataset.h); a dataset becomes a smaller one.
 *
 * All of them write through cnnbn_dataset_writer: to OUT.tmp, renamed to OUT when everything is right. After a failure
 * neither file is there (and an older OUT is untouched). Inputs are never trusted: sizes are bounded, counts are compared
 * with what the file holds, and memory grows with what was read, not with what a header claims.
 *
 * Ranks: local. Errors, the same for all: CNNBN_ERR_IO when a file cannot be opened, read or written; CNNBN_ERR_DATA for
 * contents that are wrong; CNNBN_ERR_OPTION for options that do not fit the input; CNNBN_ERR_INTERRUPTED when progress()
 * asked to stop. Messages name the file.
 */
#ifndef CNNBN_IMPORT_H
#define CNNBN_IMPORT_H

#include <stddef.h>
#include <stdint.h>
#include "cnnbn/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { CNNBN_IMPORT_CLASSES_MAX = 65536 };

typedef struct cnnbn_import_options {
    const char *out;
    int overwrite;                  /* else an existing OUT is refused */
    const char *const *class_names; /* [n_class_names], or NULL: the input's own, if it has any */
    int n_class_names;
    const char *source, *licence; /* stored as attributes; NULL: the input's own, if it has any */
    size_t limit[2];              /* at most so many training and test samples, classes balanced; 0: all */
    const uint64_t *limit_seed;   /* which samples of a class: drawn with this seed; NULL: the first ones */
    int gzip;                     /* 0 none, 1..9 */
    int (*progress)(void *context, size_t done, size_t total); /* may be NULL; not 0 to stop */
    void *progress_context;
} cnnbn_import_options;

/* Paths of IDX files; gzipped ones are told by their contents. Test files: both or none (NULL). Images are unsigned bytes
 * of 3 dimensions (N, H, W) or 4 (N, H, W, C with C = 1 or 3); labels unsigned bytes of 1 dimension. */
typedef struct cnnbn_idx_files {
    const char *train_images, *train_labels, *test_images, *test_labels;
} cnnbn_idx_files;
CNNBN_API cnnbn_status cnnbn_import_idx(const cnnbn_idx_files *files,
                                        const cnnbn_import_options *options) CNNBN_MUST_CHECK;

/* CIFAR-10 and CIFAR-100, "binary version". paths: one folder (data_batch_1..5.bin and test_batch.bin, or train.bin and
 * test.bin) or files, of which those with "test" in their name are the test set. Which of the two formats it is follows
 * from the sizes (records of 3,073 or 3,074 bytes). Class names come from batches.meta.txt, fine_label_names.txt or
 * coarse_label_names.txt beside the first file, where it is there. coarse: CIFAR-100's 20 coarse labels. */
CNNBN_API cnnbn_status cnnbn_import_cifar(const char *const *paths, int n_paths, int coarse,
                                          const cnnbn_import_options *options) CNNBN_MUST_CHECK;

/* A folder of PNG and JPEG files: DIR/train/CLASS/FILE and DIR/test/CLASS/FILE, or DIR/CLASS/FILE. Classes are the
 * folders' names in byte order, samples in byte order of CLASS/FILE. Without DIR/test the share test_share of the images
 * becomes the test set: each image by a hash of seed and CLASS/FILE, so that adding images moves no other. */
typedef struct cnnbn_folder {
    const char *path;
    double test_share; /* [0, 1); < 0: 0.1 where DIR/test is missing */
    uint64_t seed;
    int height, width; /* all images are stretched to this; 0: all must have the first one's size */
    int channels;      /* 1 grey, 3 RGB; 0: RGB when the first image has colours, else grey and all must be */
} cnnbn_folder;
CNNBN_API cnnbn_status cnnbn_import_folder(const cnnbn_folder *folder,
                                           const cnnbn_import_options *options) CNNBN_MUST_CHECK;

/* A subset of the uint8 dataset `in`: options->limit samples, classes balanced, in the order of `in`. limit[CNNBN_TEST]
 * = 0: no test set. Where `in` has no test set, the test samples are training samples that were not taken for training.
 * More samples than there are: CNNBN_ERR_OPTION. */
CNNBN_API cnnbn_status cnnbn_dataset_subset(const char *in, const cnnbn_import_options *options) CNNBN_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
