/* Checkpoints of known content for the tests. */
#ifndef CNNBN_TEST_CHECKPOINT_MADE_H
#define CNNBN_TEST_CHECKPOINT_MADE_H

#include "cnnbn/checkpoint.h"

/* Small, with a layer of each kind that has weights and one that has none. */
#define MADE_MODEL                                                                                              \
    "{input: [6, 6, 2], layers: [{Conv2D: {filters: 3, kernel_size: 3}}, BatchNormalization, Flatten, {Dense: " \
    "{units: 4}}]}"

typedef struct made_checkpoint {
    cnnbn_checkpoint checkpoint;
    cnnbn_slot slots[2];
    cnnbn_meta meta[4];
} made_checkpoint;

/* model: YAML text or the name of a built-in. Ends the process when anything fails. The fact "step" is the seed. */
void made_create(made_checkpoint *made, const char *model, uint64_t seed);
void made_destroy(made_checkpoint *made);

#endif
