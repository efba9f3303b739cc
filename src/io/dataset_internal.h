#ifndef CNNBN_IO_DATASET_INTERNAL_H
#define CNNBN_IO_DATASET_INTERNAL_H

#include "cnnbn/dataset.h"
#include "h5_internal.h"

enum { CNNBN_SPLITS = 2 };

struct cnnbn_dataset {
    cnnbn_dataset_info info;
    char *path;
    hid_t file;
    struct {
        char *shown; /* path of the images in the file */
        hid_t images;
        int rank; /* 3: (N,H,W), 4: (N,H,W,C) */
        size_t chunk_samples;
        int32_t *labels; /* or: */
        hid_t targets;
        int target_rank;
        char *targets_shown;
    } split[CNNBN_SPLITS];
    char **class_names;
    float *mean, *std;
    char *source, *licence;
};

/* dataset_targets.c: y as values. Whether an array is no list of class numbers. */
int cnnbn__dataset_is_values(const cnnbn__h5_array *y);
/* Checks y of a split, looks at all of its values, and keeps it open. */
cnnbn_status cnnbn__dataset_open_targets(cnnbn_dataset *dataset, cnnbn__h5_scope *scope, const cnnbn__h5_file *file,
                                         int split, const cnnbn__h5_array *y, const char *shown) CNNBN_MUST_CHECK;

#endif
