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
        int32_t *labels;
    } split[CNNBN_SPLITS];
    char **class_names;
    float *mean, *std;
    char *source, *licence;
};

#endif
