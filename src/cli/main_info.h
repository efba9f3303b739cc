/* What cnnbn-info's files share. */
#ifndef CNNBN_CLI_MAIN_INFO_H
#define CNNBN_CLI_MAIN_INFO_H

#include <stddef.h>
#include "cnnbn/checkpoint.h"
#include "cnnbn/dataset.h"

/* Multiplications (each with its addition) of one sample's forward pass: of convolutions and dense layers, which are nearly all. */
double info_multiplications(const cnnbn_model *model);

/* A table of the built-in models. */
cnnbn_status info_list_models(const cnnbn_model_wish *wish) CNNBN_MUST_CHECK;

void info_print_model(const cnnbn_model *model);
void info_print_checkpoint(const char *path, const cnnbn_checkpoint *checkpoint);
void info_print_dataset(const cnnbn_dataset_info *info, const char *digest);

/* Prints what differs in two checkpoints; *equal: the trained state is the same, to the bit. */
cnnbn_status info_compare(const char *const path[2], const cnnbn_checkpoint *const checkpoint[2],
                          int *equal) CNNBN_MUST_CHECK;

/* Model, weights and what a prediction needs (class names, normalisation); no optimiser state. */
cnnbn_status info_export_weights(const cnnbn_checkpoint *checkpoint, const char *path) CNNBN_MUST_CHECK;

#endif
