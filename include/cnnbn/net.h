/* A model compiled for one rank: weights and optimiser state as flat slabs, a program of operations in levels, one arena.
 *
 * The program. Operations between two synchronisations (batch-norm sums) form a level. Inside a level every operation runs
 * on one unit (a few neighbouring slices) before the next unit starts, so that a unit's tensors stay in cache; what does not
 * outlive the level lives in a thread's scratch and never has a full-size array. Between levels one small reduction carries
 * all sums of the level (batch norms, loss, metrics, flags).
 */
#ifndef CNNBN_NET_H
#define CNNBN_NET_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "cnnbn/comm.h"
#include "cnnbn/kernels.h"
#include "cnnbn/model.h"
#include "cnnbn/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cnnbn_optimizer_kind {
    CNNBN_ADAM = 0,
    CNNBN_ADAMW,
    CNNBN_SGD,
    CNNBN_RMSPROP,
    CNNBN_LARS,
    CNNBN_LAMB
} cnnbn_optimizer_kind;
typedef enum cnnbn_clip_kind {
    CNNBN_CLIP_NONE = 0,
    CNNBN_CLIP_VALUE,
    CNNBN_CLIP_NORM,
    CNNBN_CLIP_GLOBAL_NORM
} cnnbn_clip_kind;

typedef struct cnnbn_optimizer {
    cnnbn_optimizer_kind kind;
    double lr, beta1, beta2, epsilon; /* Adam, LAMB; epsilon: RMSprop too */
    double momentum;                  /* SGD, RMSprop, LARS */
    int nesterov;                     /* SGD, LARS */
    double weight_decay;              /* kernels only; decoupled (w -= lr*decay*w), but LARS': part of the gradient */
    cnnbn_clip_kind clip;
    double clip_limit;
    double rho;   /* RMSprop */
    double trust; /* LARS */
} cnnbn_optimizer;

/* As Keras defines them: the mean over a sample's outputs (of a categorical cross-entropy: the sum), then over the batch. */
typedef enum cnnbn_loss_kind {
    CNNBN_LOSS_SPARSE_CATEGORICAL_CROSSENTROPY = 0,
    CNNBN_LOSS_CATEGORICAL_CROSSENTROPY,
    CNNBN_LOSS_BINARY_CROSSENTROPY,
    CNNBN_LOSS_MSE,
    CNNBN_LOSS_MAE,
    CNNBN_LOSS_HUBER
} cnnbn_loss_kind;

CNNBN_API const char *cnnbn_loss_name(cnnbn_loss_kind kind); /* as Keras writes it */

typedef enum cnnbn_metric_kind {
    CNNBN_METRIC_ACCURACY = 0,    /* samples whose greatest output is the label; of one output: as the next */
    CNNBN_METRIC_TOP,             /* samples whose label is among the `top` greatest outputs */
    CNNBN_METRIC_BINARY_ACCURACY, /* outputs on their target's side of 1/2; of logits: of 0 */
    CNNBN_METRIC_AUC,             /* area under the ROC curve, as Keras' AUC() */
    CNNBN_METRIC_MAE,
    CNNBN_METRIC_MSE
} cnnbn_metric_kind;

enum { CNNBN_METRICS_MAX = 8 };
typedef struct cnnbn_metric {
    cnnbn_metric_kind kind;
    int top;
} cnnbn_metric;

/* Changes of the images in front of the first layer, in training only, each sample by draws of its own; in this order. Zero: not
 * done. Draws are pure functions of (seed, epoch, sample). What comes from outside of an image is black: what a raw 0 became. */
typedef struct cnnbn_augment {
    int flip_horizontal, flip_vertical; /* each with probability 1/2 */
    int crop_pad;       /* pixels of border on each side, of which a window of the image's size is cut */
    double translation; /* up to this part of height and width, either way; bilinear */
    double rotation;    /* up to this part of a full turn, either way, about the centre */
    double
        contrast; /* distance from the channel's mean times 1 - contrast to 1 + contrast; uint8 images keep to 0 .. 255 */
    int cutout;   /* DeVries, Taylor 2017: a square of so many pixels is 0, its centre any pixel */
    double mixup; /* Zhang et al. 2018: the weights' Beta(mixup, mixup); the batch brings the weights: cnnbn_batch */
} cnnbn_augment;

typedef struct cnnbn_net_config {
    const cnnbn_kernels *kernels; /* borrowed for ever */
    cnnbn_conv_algo conv;         /* AUTO or a wish */
    cnnbn_comm *comm;             /* borrowed while the net lives */
    cnnbn_reduce_mode reduce;
    int bn_local;  /* statistics of this rank's own samples */
    int no_fusion; /* one instruction for each operation of the model: for comparison */
    int slices;
    size_t batch_size; /* global */
    int threads;       /* >= 1 */
    uint64_t seed;
    int inference_only; /* no training program, no gradients, no optimiser state */
    /* Input: x = raw*input_scale[c] + input_shift[c]; arrays of C, copied. */
    int input_is_u8;
    const float *input_scale, *input_shift;
    cnnbn_augment augment;
    /* A cross-entropy is computed from the logits where the model ends in its softmax or sigmoid, and takes the outputs of
     * a linear end for logits; `from_logits` says that the latter is meant. */
    cnnbn_loss_kind loss;
    int from_logits;
    float label_smoothing; /* with sparse_categorical_crossentropy in training only */
    float huber_delta;
    int n_metrics;
    cnnbn_metric metrics[CNNBN_METRICS_MAX];
    cnnbn_optimizer optimizer;
    int accumulate;   /* most micro-batches a step; 0: as 1 */
    double ema_decay; /* 0: no average; else it becomes decay*average + (1 - decay)*weight after each step */
} cnnbn_net_config;

typedef struct cnnbn_net cnnbn_net;

/* What makes a model's outputs last, but for Flatten and Reshape. */
typedef enum cnnbn_net_end { CNNBN_END_LINEAR, CNNBN_END_SOFTMAX, CNNBN_END_SIGMOID, CNNBN_END_OTHER } cnnbn_net_end;
CNNBN_API cnnbn_status cnnbn_net_model_end(const cnnbn_model *model, cnnbn_net_end *out) CNNBN_MUST_CHECK;

/* Compiles. Collective when config->comm has several ranks (reduction buffers); equal configs on all. Memory is asked for here
 * and never in a step. Weights are zero: cnnbn_net_init or cnnbn_net_set_params follows. The model is borrowed while the net lives.
 * Errors: CNNBN_ERR_MODEL when the net cannot train this model (which layer and why); CNNBN_ERR_MEMORY. */
CNNBN_API cnnbn_status cnnbn_net_create(const cnnbn_model *model, const cnnbn_net_config *config,
                                        cnnbn_net **out) CNNBN_MUST_CHECK;
CNNBN_API void cnnbn_net_destroy(cnnbn_net *net); /* collective in effect (reducer); NULL is fine */

/* Draws the initial weights: a pure function of (seed, layer and weight name). Local, equal on all. */
CNNBN_API void cnnbn_net_init(cnnbn_net *net, uint64_t seed);

/* Weight i of model->params: count floats, borrowed; read or written between steps. Padding between weights is not visible. */
CNNBN_API float *cnnbn_net_param(cnnbn_net *net, int i);
/* Number of optimiser slots and their names ("m", "v"); a slot's part for weight i, NULL for weights that are not trained. */
CNNBN_API int cnnbn_net_n_slots(const cnnbn_net *net);
CNNBN_API const char *cnnbn_net_slot_name(const cnnbn_net *net, int slot);
CNNBN_API float *cnnbn_net_slot(cnnbn_net *net, int slot, int i);
/* Sum of the regularisers' penalties at the present weights, of weights that train: what Keras adds to every loss that it shows.
 * Local, equal on all; in the order of the weights. */
CNNBN_API double cnnbn_net_penalty(const cnnbn_net *net);
/* Gradient of weight i after a step (before clipping it is summed over all ranks, with that of its penalty); for tests. NULL for weights not trained. */
CNNBN_API const float *cnnbn_net_grad(cnnbn_net *net, int i);
/* Optimiser steps done: Adam's t. */
CNNBN_API int64_t cnnbn_net_iterations(const cnnbn_net *net);
CNNBN_API void cnnbn_net_set_iterations(cnnbn_net *net, int64_t iterations);
CNNBN_API void cnnbn_net_set_lr(cnnbn_net *net, double lr);
/* With ema_decay: the average of weight i (moving statistics too), else NULL. It begins as the weights after the first step. */
CNNBN_API float *cnnbn_net_ema(cnnbn_net *net, int i);
/* Swaps the weights with their averages, for an evaluation; a second call swaps back, and must come before the next step. Local. */
CNNBN_API void cnnbn_net_swap_ema(cnnbn_net *net);

/* Slices and samples of this rank in a batch of n samples. */
CNNBN_API void cnnbn_net_local_samples(const cnnbn_net *net, size_t n, size_t *first, size_t *count);

/* One global batch as this rank sees it. */
typedef struct cnnbn_batch {
    size_t n_global;           /* samples of the whole batch, 1 .. batch_size */
    size_t n_local;            /* of this rank: as cnnbn_net_local_samples says */
    const void *const *images; /* [n_local] raw images, each sample_bytes */
    cnnbn_targets targets;     /* [n_local] */
    const uint64_t *ids;       /* [n_local] sample numbers in the dataset: for dropout */
    uint64_t epoch;            /* for dropout */
    /* With mixup: each sample is weights[i] of itself and the rest of its partner, both augmented on their own; targets say
     * so already. NULL: none. */
    const void *const *partners; /* [n_local] raw images */
    const uint64_t *partner_ids; /* [n_local] */
    const float *weights;        /* [n_local] */
    /* A step of several micro-batches: this is part 0 .. n_parts - 1 of it, and n_step the samples of all. n_parts 0: the batch is
     * the step. */
    int part, n_parts;
    size_t n_step;
} cnnbn_batch;

typedef struct cnnbn_step_result {
    double loss;        /* mean over the batch, before the update; with the regularisers' penalty, as Keras shows it */
    const double *sums; /* [cnnbn_net_n_sums], see there; borrowed until the next step */
    double flags[4];    /* sums over ranks of what went in */
} cnnbn_step_result;

/* What is summed over samples beside gradients: [0] the loss, [1] with a categorical cross-entropy the samples whose greatest
 * output is the label, then what the metrics need. Sums of batches or blocks may be added up. */
CNNBN_API size_t cnnbn_net_n_sums(const cnnbn_net *net);
/* Metric i of the configuration from the sums over n > 0 samples. */
CNNBN_API double cnnbn_net_metric(const cnnbn_net *net, int i, const double *sums, double n);

/* One training step: forward, backward, reduction, update. Collective. flags_in: four numbers >= 0 (integers) that ride on a
 * reduction of this step (route "carry"): failures, signals. Of a step's micro-batches each call reduces its own gradient, of the
 * mean over n_step; the last one updates. Moving statistics change with every micro-batch. When the loss is not finite, or
 * the gradient is not (or too great for the optimiser's squares), CNNBN_ERR_NONFINITE is returned on all ranks, and weights, state
 * and moving statistics are as before the step's first part; result->loss then tells which of the two it was. */
CNNBN_API cnnbn_status cnnbn_net_train_step(cnnbn_net *net, const cnnbn_batch *batch, const double flags_in[4],
                                            cnnbn_step_result *result) CNNBN_MUST_CHECK;

/* After CNNBN_ERR_NONFINITE, while the batch still stands: names the first weight or tensor (in forward order) that holds a NaN or
 * Inf on this rank, or else the first gradient of a weight (in backward order) that stopped the update. text is set to "" when there is none. *order: its place, for choosing the first over ranks. Local.
 * Cost: a forward pass by one thread. */
CNNBN_API void cnnbn_net_find_nonfinite(cnnbn_net *net, int *order, char *text, size_t bytes);

/* Inference on up to cnnbn_net_block(net) samples per call and thread: with moving statistics. Samples are cut into blocks of
 * cnnbn_net_block samples; block_sums [blocks][cnnbn_net_n_sums] or NULL, with targets NULL where not asked for; outputs
 * [n][outputs] or NULL: of a linear end and a cross-entropy probabilities, else as the model gives them. Local; any number of
 * samples. Bits of a block depend on its samples alone. */
CNNBN_API int cnnbn_net_block(const cnnbn_net *net);
CNNBN_API void cnnbn_net_infer(cnnbn_net *net, size_t n, const void *const *images, const cnnbn_targets *targets,
                               double *block_sums, float *outputs);

/* Equal moving statistics on all ranks after local batch norm: their mean. Collective. */
CNNBN_API cnnbn_status cnnbn_net_average_statistics(cnnbn_net *net) CNNBN_MUST_CHECK;

/* What was compiled: levels, operations with their algorithm and fusion, memory, communication a step. */
CNNBN_API void cnnbn_net_print_plan(const cnnbn_net *net, FILE *out);
CNNBN_API size_t cnnbn_net_memory_bytes(const cnnbn_net *net);

/* Where this rank is, for a watchdog in another thread: text such as "forward of conv2d_1", and a count that grows. */
CNNBN_API void cnnbn_net_position(const cnnbn_net *net, char *text, size_t bytes, uint64_t *count);

/* Time by operation since the last reset (two looks at the clock an operation and unit: below 0.1 % of a step). */
typedef struct cnnbn_profile_row {
    const char *layer, *what; /* borrowed while the net lives */
    double seconds;           /* summed over threads */
    double gflop;             /* of all calls, of the direct algorithm */
} cnnbn_profile_row;
/* Of the same time, what the rank's first thread, which talks to the other ranks, spent between operations. */
typedef struct cnnbn_profile_between {
    double prepare_s; /* forms of the weights */
    double threads_s; /* waits for the rank's other threads, adding their sums and gradients */
    double sums_s;    /* batch-norm sums, loss and flags over the ranks */
    double exposed_s; /* gradients over the ranks: starting, driving and waiting for them */
    double hidden_s;  /* more of the time in which they were on their way: operations went on */
    double optimizer_s;
} cnnbn_profile_between;
CNNBN_API void cnnbn_net_profile_between(const cnnbn_net *net, cnnbn_profile_between *out);
CNNBN_API void cnnbn_net_profile_reset(cnnbn_net *net);
CNNBN_API int cnnbn_net_profile_rows(const cnnbn_net *net, cnnbn_profile_row *rows, int max_rows);

/* ---------------------------------------------------------------- timeline */

/* What a thread does beside operations; negative, so that it can stand where an operation's number would. */
typedef enum cnnbn_activity {
    CNNBN_ACTIVITY_WAIT = -1,      /* for the other threads of the rank */
    CNNBN_ACTIVITY_PREPARE = -2,   /* forms of a level's weights */
    CNNBN_ACTIVITY_JOIN = -3,      /* gradients of the threads are added */
    CNNBN_ACTIVITY_SUMS = -4,      /* sums of a level are added over threads and ranks */
    CNNBN_ACTIVITY_START = -5,     /* reductions of gradients are started after a level */
    CNNBN_ACTIVITY_PROGRESS = -6,  /* reductions under way are driven */
    CNNBN_ACTIVITY_GRADIENTS = -7, /* a bucket of gradients is waited for */
    CNNBN_ACTIVITY_OPTIMIZER = -8,
    CNNBN_ACTIVITY_COUNT = 9
} cnnbn_activity;

typedef struct cnnbn_net_event {
    double start_s, end_s; /* of cnnbn_now_s */
    int32_t what;          /* number of an operation of the training step, or a cnnbn_activity */
    int32_t detail;        /* level or bucket */
    int32_t thread, unused;
} cnnbn_net_event;

/* From the next step on, records what each thread does into events[threads][max_a_thread], borrowed until the next call; an
 * event that finds no room is counted and dropped. NULL: no recording (the cost is then a branch an operation). Inference is not
 * recorded. Local, between steps. */
CNNBN_API void cnnbn_net_trace(cnnbn_net *net, cnnbn_net_event *events, size_t max_a_thread);
/* Events recorded for a thread, events[thread][0 .. count), in the order of their ends; *n_lost: those dropped. */
CNNBN_API size_t cnnbn_net_trace_count(const cnnbn_net *net, int thread, size_t *n_lost);
/* "conv2d_1 forward", "wait for threads", ...; equal on all ranks: a net can name another rank's events. */
CNNBN_API void cnnbn_net_trace_name(const cnnbn_net *net, const cnnbn_net_event *event, char *text, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
