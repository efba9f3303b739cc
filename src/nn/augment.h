/* Augmentation by options of the run (cnnbn_augment). */
#ifndef CNNBN_NN_AUGMENT_H
#define CNNBN_NN_AUGMENT_H

#include "ir.h"

/* CNNBN_ERR_OPTION when an option does not fit the images, naming it. */
cnnbn_status cnnbn__augment_check(const cnnbn_model *model, const cnnbn_augment *augment) CNNBN_MUST_CHECK;
/* Floats of a thread: room for an image's next form, and for the image that is mixed in. */
size_t cnnbn__augment_workspace(const cnnbn_net *net);
/* One image, scaled, as sample `id` has it in `epoch`; spare: another image's room. */
void cnnbn__augment_image(const cnnbn_net *net, uint64_t epoch, uint64_t id, float *image, float *spare);

#endif
