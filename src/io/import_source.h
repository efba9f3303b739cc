/* What the importers share: each describes its input as a cnnbn__source, and cnnbn__import_write does the rest. */
#ifndef CNNBN_IMPORT_SOURCE_H
#define CNNBN_IMPORT_SOURCE_H

#include "cnnbn/dataset.h"
#include "cnnbn/import.h"

/* Samples of up to two splits whose labels are known and whose images are read one by one. All pointers are borrowed. */
typedef struct cnnbn__source {
    cnnbn_shape shape; /* H, W, C */
    size_t n[2];
    const int32_t *labels[2];   /* [n], >= 0 */
    const char *labels_from[2]; /* file for messages */
    int n_classes;              /* at least; 0: as the labels say */
    int n_targets;              /* y holds so many values a sample: labels are zeros, read_targets gives them; else 0 */
    const char *const *class_names; /* [n_classes] or NULL */
    const char *source, *licence;   /* or NULL */
    int random_access;              /* read() may be called in any order: test samples may be taken from training */
    int exact;                      /* limit[] are the numbers wanted, 0 being none */
    void *context;
    /* Image `index` of a split, H x W x C bytes. Called with ascending indices, the training split first. */
    cnnbn_status (*read)(void *context, cnnbn_split split, size_t index, uint8_t *image);
    cnnbn_status (*read_targets)(void *context, cnnbn_split split, size_t index, float *targets);
    /* After a split's last image: reads what was left out and checks that nothing follows. May be NULL. */
    cnnbn_status (*finish)(void *context, cnnbn_split split);
} cnnbn__source;

cnnbn_status cnnbn__import_write(const cnnbn__source *source, const cnnbn_import_options *options) CNNBN_MUST_CHECK;

/* Refuses an existing output before any long work is done on the input. */
cnnbn_status cnnbn__import_check_out(const cnnbn_import_options *options) CNNBN_MUST_CHECK;

/* A growing list of labels. */
typedef struct cnnbn__labels {
    int32_t *label; /* owned: cnnbn_free */
    size_t n, room;
} cnnbn__labels;
cnnbn_status cnnbn__labels_add(cnnbn__labels *labels, int32_t label) CNNBN_MUST_CHECK;

#endif
