/* Training runs: the one place that wires data, net, ranks and files. Knows no command line and never exits. */
#ifndef CNNBN_TRAIN_H
#define CNNBN_TRAIN_H

#include <stddef.h>
#include <stdint.h>
#include "cnnbn/checkpoint.h"
#include "cnnbn/comm.h"
#include "cnnbn/dataset.h"
#include "cnnbn/net.h"
#include "cnnbn/schedule.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cnnbn_every_unit { CNNBN_EVERY_EPOCHS, CNNBN_EVERY_STEPS, CNNBN_EVERY_SECONDS } cnnbn_every_unit;

/* A monitored figure of an epoch: "val_loss", "val_accuracy", "loss", "accuracy"; a loss is better when smaller, an accuracy when
 * greater, by more than min_delta. */

/* Keras' ReduceLROnPlateau: when the figure has not become better for `patience` epochs, the rate is multiplied by factor. */
typedef struct cnnbn_plateau {
    double factor;              /* 0: off; else below 1 */
    int64_t patience, cooldown; /* epochs */
    double min_delta, min_lr;
    const char *monitor;
} cnnbn_plateau;

/* Keras' EarlyStopping: the run ends when the figure has not become better for `patience` epochs. */
typedef struct cnnbn_early_stopping {
    int is_on;
    int64_t patience; /* epochs */
    double min_delta;
    const char *monitor;
    int restore_best; /* the last checkpoint has the weights of best.h5 */
} cnnbn_early_stopping;

/* What a run has measured of itself; on rank 0. */
typedef struct cnnbn_train_report {
    int64_t steps, images;
    double steps_s;         /* in training steps */
    double loop_s;          /* from the first step of an epoch to its last, with what lies between steps */
    double checkpoint_s;    /* of it: steps waited for the copy of the state */
    double longest_write_s; /* of a checkpoint, beside the steps */
} cnnbn_train_report;

typedef struct cnnbn_train_options {
    /* what */
    const char *data; /* HDF5 dataset */
    cnnbn_dataset_paths paths;
    const char *model;     /* built-in name, YAML, JSON, or an .h5 whose model is taken */
    cnnbn_norm norm;       /* of a built-in model */
    const char *init_from; /* .h5 with weights, or NULL */
    /* how long */
    int64_t epochs;
    int64_t steps;     /* 0: no limit; else stop after this many steps in all */
    double max_time_s; /* 0: no limit */
    /* how */
    size_t batch_size; /* global; of a micro-batch */
    int accumulate;   /* micro-batches a step, 1: the batch is the step; the last step of an epoch takes what is left */
    double ema_decay; /* 0: no average of the weights; else it is what validation looks at */
    cnnbn_optimizer optimizer; /* lr: the rate that the schedule starts from */
    cnnbn_schedule schedule;
    size_t lr_scale_batch; /* 0: lr as it is; else lr * images of a step / this (Goyal et al. 2017) */
    cnnbn_plateau plateau; /* with a constant schedule only */
    cnnbn_early_stopping early_stopping;
    const char *loss; /* as cnnbn_loss_name has it; NULL: of the model's file, or what fits data and model */
    int from_logits;
    double label_smoothing, huber_delta; /* negative: of the model's file, or 0 and 1 */
    const char *metrics;                 /* "accuracy,top-5,...", "none"; NULL: what fits the loss */
    cnnbn_augment augment;
    uint64_t seed;
    int shuffle, drop_last, validate;
    int bn_local;
    int slices;  /* 0: the default for the batch */
    int threads; /* 0: cores of the affinity mask, shared with the ranks of the host */
    cnnbn_reduce_mode reduce;
    const char *kernels; /* "auto", ... */
    cnnbn_conv_algo conv;
    size_t data_memory_bytes; /* of a node; 0: half of what is available */
    /* files */
    const char *checkpoint_dir; /* or NULL */
    double checkpoint_every;    /* in checkpoint_unit; 0: only at the end */
    cnnbn_every_unit checkpoint_unit;
    int keep;
    int checkpoint_strict;       /* a checkpoint that cannot be written ends the run */
    const char *checkpoint_best; /* "loss", a metric, or one with val_; or NULL */
    const char *resume;          /* "auto", "none", or a file */
    const char *override;        /* comma-separated names of options that may differ on resume, or NULL */
    const char *log, *log_steps; /* CSV files or NULL */
    /* what is seen */
    int no_fusion; /* net.h */
    int quiet, dry_run;
    int progress; /* -1: bar on a terminal, else lines; 0: lines; 1: bar */
    int profile;
    cnnbn_train_report *report; /* filled when the run ends, or NULL */
    const char *trace;          /* timeline of the first steps, Chrome's trace format; or NULL */
    int64_t trace_steps;        /* 0: the first epoch */
    double watchdog_s;          /* 0: off */
} cnnbn_train_options;

/* Keras' defaults and CLI's. */
CNNBN_API void cnnbn_train_defaults(cnnbn_train_options *options);

/* Runs a training to its end, printing to stdout on rank 0. Collective; the same status on all ranks: CNNBN_OK, or what ended it
 * (CNNBN_ERR_INTERRUPTED: stopped by a signal or by time with a checkpoint written). Messages as error records. */
CNNBN_API cnnbn_status cnnbn_train_run(cnnbn_comm *comm, const cnnbn_train_options *options) CNNBN_MUST_CHECK;

/* ---------------------------------------------------------------- a trained net: evaluate and predict */

/* A net with weights from a checkpoint or Keras .h5, for inference. */
typedef struct cnnbn_predictor cnnbn_predictor;
typedef struct cnnbn_predictor_options {
    const char *checkpoint;
    int use_ema; /* the averages that the checkpoint holds instead of its weights */
    const char *kernels;
    int threads, batch_size; /* 0: chosen */
    /* Input type, and normalisation where the checkpoint has none of its own (a plain Keras file); NULL: uint8 scaled by 1/255. */
    const cnnbn_dataset_info *data;
    /* With `evaluates`, the data's y must fit. As in cnnbn_train_options; NULL: of the checkpoint. */
    int evaluates;
    const char *loss, *metrics;
} cnnbn_predictor_options;
/* Collective (all ranks read the file). *out owned: cnnbn_predictor_destroy. */
CNNBN_API cnnbn_status cnnbn_predictor_create(cnnbn_comm *comm, const cnnbn_predictor_options *options,
                                              cnnbn_predictor **out) CNNBN_MUST_CHECK;
CNNBN_API void cnnbn_predictor_destroy(cnnbn_predictor *predictor);
CNNBN_API const cnnbn_model *cnnbn_predictor_model(const cnnbn_predictor *predictor);
/* What was read: borrowed while the predictor lives. */
CNNBN_API const cnnbn_checkpoint *cnnbn_predictor_checkpoint(const cnnbn_predictor *predictor);
/* Class name, from the checkpoint; NULL when it has none. */
CNNBN_API const char *cnnbn_predictor_class_name(const cnnbn_predictor *predictor, int c);
/* The loss of the checkpoint, or what fits the model. */
CNNBN_API cnnbn_loss_kind cnnbn_predictor_loss(const cnnbn_predictor *predictor);
/* Outputs [n][outputs] of n raw samples: probabilities where the loss is a cross-entropy, else numbers. Local. */
CNNBN_API void cnnbn_predictor_run(cnnbn_predictor *predictor, size_t n, const void *const *images, float *outputs);

typedef struct cnnbn_evaluation {
    size_t n;
    int n_classes; /* 0: no matrix; of one output 2 */
    double loss;
    int n_metrics;
    double metrics[CNNBN_METRICS_MAX];
    char names[CNNBN_METRICS_MAX][24];
    int64_t *confusion; /* [true][predicted], where a sample has one class, else NULL; owned: cnnbn_free */
} cnnbn_evaluation;
/* Loss, metrics and confusion matrix of a split, samples shared out over the ranks, every sample once. Collective, equal on all. */
CNNBN_API cnnbn_status cnnbn_predictor_evaluate(cnnbn_predictor *predictor, cnnbn_comm *comm, cnnbn_dataset *dataset,
                                                cnnbn_split split, cnnbn_evaluation *out) CNNBN_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
