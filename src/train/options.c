#include <string.h>

#include "trainer.h"

/* Keras' defaults for the optimisers and fit(), CLI's for the rest. */
void cnnbn_train_defaults(cnnbn_train_options *o)
{
    memset(o, 0, sizeof *o);
    o->model = "keras-example";
    o->epochs = 10;
    o->batch_size = 32;
    o->accumulate = 1;
    o->optimizer = (cnnbn_optimizer){.kind = CNNBN_ADAM,
                                     .lr = 1e-3,
                                     .beta1 = 0.9,
                                     .beta2 = 0.999,
                                     .epsilon = 1e-7,
                                     .momentum = 0,
                                     .rho = 0.9,
                                     .trust = 0.001,
                                     .clip = CNNBN_CLIP_NONE};
    cnnbn_schedule_defaults(&o->schedule);
    o->plateau = (cnnbn_plateau){.patience = 10, .min_delta = 1e-4, .monitor = "val_loss"}; /* Keras' */
    o->early_stopping = (cnnbn_early_stopping){.monitor = "val_loss"};
    o->label_smoothing = o->huber_delta = -1;
    o->shuffle = 1;
    o->validate = 1;
    o->reduce = CNNBN_REDUCE_ORDERED;
    o->kernels = "auto";
    o->conv = CNNBN_CONV_AUTO;
    o->checkpoint_every = 1;
    o->checkpoint_unit = CNNBN_EVERY_EPOCHS;
    o->keep = 3;
    o->progress = -1;
    o->watchdog_s = 300;
}
