/* The learning rate of a step: a pure function of the options and the step's number, so that it needs no state and a resumed run has
 * the rates of one that was never stopped. docs/training.md has the formulas for users. */
#ifndef CNNBN_SCHEDULE_H
#define CNNBN_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>
#include "cnnbn/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cnnbn_schedule_kind {
    CNNBN_SCHEDULE_CONSTANT = 0,
    CNNBN_SCHEDULE_STEP,        /* PyTorch's MultiStepLR (milestones) or StepLR (decay) */
    CNNBN_SCHEDULE_EXPONENTIAL, /* Keras' ExponentialDecay */
    CNNBN_SCHEDULE_COSINE,      /* Loshchilov, Hutter 2017 without restarts, as Keras' CosineDecay */
    CNNBN_SCHEDULE_ONE_CYCLE,   /* Smith, Topin 2018, as PyTorch's OneCycleLR with two phases; momentum is left alone */
    CNNBN_SCHEDULE_POLYNOMIAL   /* Keras' PolynomialDecay without cycle */
} cnnbn_schedule_kind;

/* A number of steps or of epochs; n = 0: not given. */
typedef struct cnnbn_duration {
    double n;
    int is_epochs;
    int64_t steps; /* filled in by cnnbn_schedule_resolve */
} cnnbn_duration;

enum { CNNBN_MILESTONES_MAX = 16 };

typedef struct cnnbn_schedule {
    cnnbn_schedule_kind kind;
    cnnbn_duration warmup; /* linear, in front of all but one-cycle; the schedule itself begins behind it */
    double warmup_start;   /* factor on the rate at step 0 of the warm-up */
    cnnbn_duration decay;  /* not given: an epoch (exponential), else what is left of the run behind the warm-up */
    cnnbn_duration milestones[CNNBN_MILESTONES_MAX]; /* STEP: ascending, counted from the start of the run */
    int n_milestones;
    double gamma;                                   /* STEP */
    double decay_rate;                              /* EXPONENTIAL */
    int staircase;                                  /* EXPONENTIAL: whole decay lengths count only */
    double alpha;                                   /* COSINE: least rate as a part of the rate */
    double end_lr, power;                           /* POLYNOMIAL */
    double pct_start, div_factor, final_div_factor; /* ONE_CYCLE */
} cnnbn_schedule;

/* Keras' and PyTorch's defaults; a constant rate. */
CNNBN_API void cnnbn_schedule_defaults(cnnbn_schedule *schedule);

/* Durations in steps. total_steps: of the whole run. CNNBN_ERR_OPTION: no milestones and no decay for STEP, milestones that do not
 * ascend, a duration of no step, a warm-up or decay that leaves no step. Local. */
CNNBN_API cnnbn_status cnnbn_schedule_resolve(cnnbn_schedule *schedule, int64_t steps_per_epoch,
                                              int64_t total_steps) CNNBN_MUST_CHECK;

/* Rate of step 0, 1, ... of a resolved schedule; lr is the rate that the options name: at the start, or one-cycle's greatest. */
CNNBN_API double cnnbn_schedule_rate(const cnnbn_schedule *schedule, double lr, int64_t step);

/* "cosine, decay-steps 1000, alpha 0": what decides the rate, the warm-up left out. Resolved. Returns text. */
CNNBN_API const char *cnnbn_schedule_text(const cnnbn_schedule *schedule, char *text, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
