/* Internal: the compiled net.
 *
 * 1. build.c   layers -> operations (op) on values, in topological order
 * 2. fuse.c    activations into the operation before, batch norms into the operations after (prologues)
 * 3. emit.c    operations -> instructions, forward then backward; every instruction writes fresh values (SSA)
 * 4. plan.c    instructions -> levels; values -> arena or scratch
 * 5. exec.c    runs a program; instr.c hold what an instruction does on a unit
 */
#ifndef CNNBN_NN_IR_H
#define CNNBN_NN_IR_H

#include "cnnbn/layer.h"
#include "cnnbn/net.h"
#include "cnnbn/rng.h"

typedef enum op_kind {
    OP_INPUT,
    OP_CONV,
    OP_DENSE,
    OP_BN,
    OP_ACT,
    OP_SOFTMAX,
    OP_MAXPOOL,
    OP_AVGPOOL,
    OP_GAP,
    OP_DROPOUT,
    OP_RESHAPE,
    OP_ADD,
    OP_CONCAT,
    OP_PLAIN /* plain.h */
} op_kind;

/* Operations that are one instruction forward and one backward for each input: plain.c. */
typedef enum plain_kind {
    PLAIN_PAD,
    PLAIN_UPSAMPLE,
    PLAIN_BILINEAR,
    PLAIN_TRANSPOSE,
    PLAIN_CONV_TRANSPOSE,
    PLAIN_AFFINE,
    PLAIN_MULTIPLY,
    PLAIN_CHANNEL_MULTIPLY,
    PLAIN_MAXIMUM,
    PLAIN_PRELU,
    PLAIN_NORMALIZE,
    PLAIN_UNIT,
    PLAIN_SHARED_DROPOUT,
    PLAIN_NOISE,
    PLAIN_FLIP,
    PLAIN_MAP,
    PLAIN_CONTRAST,
    PLAIN_CROP,
    PLAIN_COUNT
} plain_kind;

typedef struct plain_args {
    plain_kind kind;
    int top, left;                   /* PAD: rows and columns in front; below zero: cut off */
    int rows, columns;               /* UPSAMPLE, BILINEAR: factors; TRANSPOSE: the last axes before it */
    int positions, channels, groups; /* NORMALIZE */
    double epsilon;
    float value;                  /* rate, stddev */
    cnnbn_shape mask;             /* SHARED_DROPOUT */
    int period;                   /* AFFINE */
    float *scale, *offset, *zero; /* AFFINE: [period] each, in one block that scale owns; zeros for the backward pass.
                                     CONV_TRANSPOSE with a bias: scale ones, zero zeros, of the filters */
    int horizontal, vertical;     /* FLIP */
    cnnbn_random_map map;         /* MAP; scale: its fill for each channel */
    double amount[2];             /* CONTRAST; scale, offset: the range for each channel */
} plain_args;

typedef struct op {
    op_kind kind;
    int layer;     /* index into model->layers: for names; -1 the input */
    int n_in, *in; /* values */
    int out;
    int dead; /* fused into another operation */
    cnnbn_conv_geom
        conv; /* CONV; pooling uses R S stride pad P Q of it; CONV_TRANSPOSE: of the convolution it is the adjoint of */
    int kernel, bias; /* weights (model->params) or -1 */
    cnnbn_activation
        act;      /* ACT: the function; CONV, DENSE, BN: the fused epilogue (BN: after the affine and the add) */
    int prologue; /* CONV, DENSE: index into net->bns whose affine and activation are applied on load, or -1 */
    int bn;       /* BN: index into net->bns, else -1 */
    int add;      /* BN: value added behind the affine, or -1 */
    float rate;   /* DROPOUT */
    plain_args plain;
    size_t kernel_grad, bias_grad; /* where their gradients stand in the slab */
    int use;                       /* DROPOUT: how many uses of its layer come before */
    int conv_plan, dense_plan;     /* index into the program's plans */
} op;

/* One batch norm. Arrays of C. */
typedef struct bn_state {
    int op;           /* its operation */
    int C, positions; /* positions per sample */
    int layer;
    int gamma, beta, moving_mean, moving_variance; /* weights or -1 */
    size_t gamma_grad, beta_grad;                  /* where their gradients stand in the slab */
    double momentum, epsilon;
    int frozen, unbiased;
    int is_prologue;                /* applied on load by its consumers: never written */
    cnnbn_activation act;           /* with is_prologue: applied on load too */
    float *mean, *scale, *shift;    /* what is applied: (x - mean)*scale + shift */
    float *a, *b, *c0;              /* backward: dx = a*g + b*(x - mean) + c0 */
    float *ones, *zeros;            /* in place of scale and shift: x - mean */
    double *inv_std;                /* 1/sqrt(var + eps) */
    double *mean_error;             /* float mean minus exact mean, folded into shift */
    double *batch_mean, *batch_var; /* of this step, for the moving statistics at its end */
    int has_batch;
    float *stat_shift;                /* sums are taken about this: the moving mean, or zeros */
    int stats_level, sums_level;      /* level whose reduction carries the sums; -1 none */
    size_t stats_offset, sums_offset; /* in that level's payload of doubles */
} bn_state;

typedef enum value_place { PLACE_NONE, PLACE_STORED, PLACE_SCRATCH } value_place;

typedef struct value {
    cnnbn_shape shape;
    size_t count; /* floats of one sample */
    int producer; /* op, or -1 */
    int view_of;  /* value whose memory this is, or -1 */
    int n_uses;   /* by operations, while building */
    value_place place;
    int host;                /* value whose memory it takes over when its maker has read it last, or -1 */
    int first, last;         /* life: level*2 (+1 for solo) */
    int first_pos, last_pos; /* life inside a level: instruction positions */
    size_t offset;           /* floats: in the arena times max samples, or in the unit's scratch per sample */
} value;

typedef enum instr_kind {
    I_INPUT,
    I_CONV_FWD,
    I_DENSE_FWD,
    I_BN_STATS,
    I_BN_APPLY,
    I_ACT_FWD,
    I_SOFTMAX,
    I_MAXPOOL_FWD,
    I_AVGPOOL_FWD,
    I_GAP_FWD,
    I_DROPOUT,
    I_SUM,
    I_CONCAT,
    I_LOSS,
    I_CONV_BWD,
    I_DENSE_BWD_DATA,
    I_DENSE_BWD_WEIGHTS,
    I_BN_BWD_SUMS,
    I_BN_BWD_APPLY,
    I_DENSE_BN_SUMS,  /* backward data of a dense layer and sums of the batch norm in front of it, in one pass */
    I_DENSE_BN_APPLY, /* the same again and the batch norm's backward */
    I_ACT_BWD,
    I_SOFTMAX_BWD,
    I_MAXPOOL_BWD,
    I_AVGPOOL_BWD,
    I_GAP_BWD,
    I_UNCONCAT,
    I_PLAIN_FWD,
    I_PLAIN_BWD,
    I_KIND_COUNT
} instr_kind;

typedef struct instr {
    instr_kind kind;
    int op;        /* -1 for sums made by the compiler */
    int n_in, *in; /* values read */
    int out;       /* value written or -1 */
    int level;
    int solo;     /* run by all threads together, after the level's units */
    int stats_bn; /* CONV_FWD: batch norm whose sums are taken in the epilogue, or -1 */
    int bn;       /* BN_BWD_*, DENSE_BN_*: the batch norm, else -1 */
    int sums_bn; /* CONV_BWD, DENSE_BWD_WEIGHTS: batch norm in front whose backward sums come with the weights' gradient, which
                    is that of x - mean until the end of the step (weight_sums.c), or -1 */
    int behind_bn; /* CONV_BWD: batch norm whose backward is done as the gradient is loaded (in: x, its dz, its input), or -1 */
    size_t partial_offset; /* DENSE_BWD_WEIGHTS with sums_bn: in net->bn_partial */
    cnnbn_activation
        pre; /* BN_BWD_APPLY, CONV_BWD with behind_bn: activation that made x, whose derivative is applied too */
    int first_channel;   /* UNCONCAT */
    int which;           /* PLAIN_BWD: the input whose gradient it is; 0 makes those of the weights too */
    size_t stack_offset; /* CONV_BWD, PLAIN_BWD: floats, of dw and db in the thread's stack entry */
    double seconds;      /* profile, summed over threads */
    double flop;         /* of one sample */
} instr;

enum { STOP_FLAGS = 4 };

typedef struct net_level {
    int first, n_units_instr, n_solo; /* instructions [first, +n_units_instr) by units, then n_solo solo ones */
    int unit_slices;                  /* slices of a unit: a power of two */
    size_t scratch_floats;            /* per sample */
    size_t stack_floats;              /* an entry of the gradient stack */
    size_t payload;                   /* doubles an entry of the sums' stack */
    size_t loss_offset;               /* in the payload, when has_loss */
    int has_loss;
    int reduces; /* a reduction of sums follows */
} net_level;

/* A range of the gradient slab whose reduction starts after a level. */
typedef struct bucket {
    int level;
    size_t begin, count;
} bucket;

/* A layer that is called again makes a second gradient of its weights, reduced on its own (the sum over slices has one tree) and
 * added to the first one at the end. */
typedef struct again {
    int param;
    size_t first, other;
} again;

typedef struct program {
    int training;
    int n_values, values_cap;
    value *values;
    int n_instrs, instrs_cap;
    instr *instrs;
    int n_levels;
    net_level *levels;
    int n_conv_plans, n_dense_plans;
    cnnbn_conv_plan *conv_plans;
    cnnbn_dense_plan *dense_plans;
    size_t *fwd_prepared, *bwd_prepared; /* offsets of each conv plan in prepared */
    size_t *dense_prepared;              /* offsets of each dense plan in prepared */
    size_t prepared_floats;
    size_t arena_floats;                                   /* per program, for max_samples */
    size_t scratch_floats, stack_floats, workspace_floats; /* of one thread */
    size_t payload_max;
    int output;      /* value of the outputs (inference) */
    int max_samples; /* of the stored arrays */
    int max_unit;    /* samples of the largest unit */
} program;

/* How the nodes of a rank's threads are joined: adds in place, then copies to the rank's entries. */
typedef struct join_add {
    int dst_thread, dst_entry, src_thread, src_entry;
} join_add;
typedef struct join_copy {
    int thread, entry;
} join_copy;

typedef struct thread_state {
    int first, n_slices; /* of the thread's run */
    float *scratch, *stack, *workspace;
    double *sums;         /* stack of payloads */
    int gradient_is_good; /* of the thread's part */
    uint64_t *keys;       /* dropout keys of a unit */
    int *bounds;          /* of a unit's run */
    unsigned char *n_merge;
    int height;
    cnnbn_node nodes[CNNBN_TREE_DEPTH];
    cnnbn_net_event *events; /* of the timeline */
    size_t n_events, n_events_lost;
} thread_state;

enum { NET_SLOTS_MAX = 2, STACK_SPARE = 2 };

struct cnnbn_net {
    const cnnbn_model *model;
    cnnbn_net_config config;
    const cnnbn_kernels *kernels;
    float *input_scale, *input_shift, *input_white; /* white: what a raw 255 becomes; NULL for float images */
    int n_ops, ops_cap;
    op *ops;
    int n_graph_values, graph_values_cap;
    value *graph_values;
    int n_bns, bns_cap;
    bn_state *bns;
    void *bn_memory;
    int output_value;
    int loss_value; /* what the loss reads: the outputs, or what stands in front of their softmax or sigmoid */
    void (*loss)(const cnnbn_loss *args);
    int outputs_are_logits;  /* of the cross-entropy: inference makes probabilities of them */
    int metrics_want_output; /* a metric reads the outputs beside the loss's value */
    size_t n_sums, metric_at[CNNBN_METRICS_MAX];
    program train, infer;

    /* Slabs. Trained weights first in the order of layers, kernels and biases before gammas and betas (whose gradients come
     * with the batch-norm sums and are not reduced again). */
    size_t n_trained, n_reduced,
        n_state; /* floats of the trained slab, of its reduced front, of the moving statistics */
    size_t *param_offset;
    int n_agains;
    again *agains;
    float *weights, *state, *grads, *slots[NET_SLOTS_MAX];
    int n_slots;
    size_t grad_stride;
    int64_t iterations;
    double *norms;     /* [n_params] sums of squares for clipping */
    double *penalties; /* [n_params] of this step; behind them the norms of the constraints */
    int has_penalties, has_constraints;
    double *ratios;         /* [n_params] LARS and LAMB: factor on the rate */
    float *accumulated;     /* micro-batches: sum of the gradients so far */
    float *ema, *ema_state; /* averages of weights and state, or NULL */
    float *state_before;    /* moving statistics before the step */

    /* Memory of the programs. */
    float *arena, *prepared;
    double *nodes, *reduced; /* rank's entries of a payload; their sum over all slices */
    float *bn_partial;       /* of dense layers that make a batch norm's sums */
    double *bn_join;         /* [CNNBN_TREE_DEPTH] entries of such sums */
    float *centred;          /* what turns a gradient of x - mean into that of x' */
    thread_state *threads;
    int n_threads;
    int S, first_slice, n_slices, n_nodes, stack_entries, block;
    size_t max_local;
    int n_joins, n_copies;
    join_add *joins;
    join_copy *copies;
    cnnbn_reducer *reducer;
    int n_buckets;
    bucket *buckets;
    cnnbn_request **requests;
    int *rank_bounds; /* of this rank's run, for the solo instructions */
    unsigned char *rank_merge;

    /* The step under way. */
    cnnbn_batch given;
    const cnnbn_batch *batch;
    cnnbn_run rank_run;
    size_t first_sample;
    cnnbn_status status, request_status, finish_status;
    double flags[STOP_FLAGS];
    double *loss_sums; /* [n_sums] */
    float grad_scale;
    size_t trace_room;                       /* events a thread may record; 0: no timeline */
    double activity_s[CNNBN_ACTIVITY_COUNT]; /* of the first thread, for the profile */
    double flight_s, flight_start;           /* with reductions of gradients under way; since when, 0: none are */
    volatile int position_instr, position_inference;
    volatile uint64_t position_count;
};

/* A unit of work: some slices of this rank, or a block in inference. */
typedef struct work_unit {
    cnnbn_net *net;
    const program *prog;
    thread_state *thread;
    int tid;
    const cnnbn_run *run;
    int n;                       /* samples */
    size_t first_local;          /* of the first sample among the rank's */
    const void *const *images;   /* [n] */
    cnnbn_targets targets;       /* [n]; none in inference without a loss */
    const uint64_t *ids;         /* [n] */
    const void *const *partners; /* [n], or NULL */
    const uint64_t *partner_ids;
    const float *weights;
    uint64_t epoch;
    int entry;    /* of the stacks */
    double *sums; /* where the loss goes: entry of the sums' stack, or the block's */
} work_unit;

/* build.c */
cnnbn_status cnnbn__net_build(cnnbn_net *net);
int cnnbn__is_linear(cnnbn_activation act);
/* fuse.c */
void cnnbn__net_fuse(cnnbn_net *net);
/* emit.c */
cnnbn_status cnnbn__net_emit(cnnbn_net *net, program *prog, int training);
int cnnbn__value_root(const program *prog, int v);
/* join.c: pairs of instructions that one kernel does in one pass */
cnnbn_status cnnbn__net_join_passes(cnnbn_net *net, program *prog);
/* weight_sums.c: batch-norm sums that come with the gradient of the weights behind it */
int cnnbn__weights_make_sums(const cnnbn_net *net, const program *prog, const instr *weights, int bn);
cnnbn_status cnnbn__weight_sums_alloc(cnnbn_net *net);
void cnnbn__weight_sums_join(cnnbn_net *net, const net_level *lv); /* of dense layers: to the rank's entries */
void cnnbn__weight_sums_finish(cnnbn_net *net);                    /* all gradients are summed */
/* plan.c */
cnnbn_status cnnbn__net_plan(cnnbn_net *net, program *prog, int max_samples, int max_slice);
void cnnbn__program_free(program *prog);
int cnnbn__sums_of(const instr *in); /* batch norm whose backward sums the instruction makes, or -1 */
/* threads.c */
cnnbn_status cnnbn__threads_create(cnnbn_net *net) CNNBN_MUST_CHECK;
void cnnbn__threads_touch_arena(cnnbn_net *net); /* once it stands */
void cnnbn__threads_destroy(cnnbn_net *net);
/* instr.c: one instruction on one unit */
void cnnbn__run_instr(const work_unit *u, const instr *in);
float *cnnbn__instr_array(const work_unit *u, int v);
const float *cnnbn__weight(const cnnbn_net *net, int param);
/* Keys of the unit's samples for a random operation, in the thread's array: (seed, use, epoch, sample, layer and which use of
 * it). */
const uint64_t *cnnbn__sample_keys(const work_unit *u, const op *o, cnnbn_rng_use use);
/* One solo instruction; part tid of n_threads. */
void cnnbn__run_solo(cnnbn_net *net, const program *prog, const instr *in, int tid);
/* batchnorm.c: between levels */
void cnnbn__bn_after_stats(cnnbn_net *net, bn_state *bn, const double *sums, double count);
void cnnbn__bn_after_sums(cnnbn_net *net, bn_state *bn, const double *sums, double count);
void cnnbn__bn_use_moving(cnnbn_net *net, bn_state *bn);
void cnnbn__bn_update_moving(cnnbn_net *net); /* at the end of a step that went well */
cnnbn_prologue cnnbn__bn_prologue(const bn_state *bn);
/* loss.c: which value the loss reads and how; the sums that come of it; one loss instruction on one unit */
cnnbn_status cnnbn__net_find_loss(cnnbn_net *net);
void cnnbn__run_loss(const work_unit *u, const instr *in);
/* Outputs of n samples from what the model gives: probabilities from the logits of a linear end. */
void cnnbn__make_outputs(const cnnbn_net *net, size_t n, size_t count, const float *y, float *outputs);
/* Those of the samples from `first` on. */
cnnbn_targets cnnbn__targets_from(const cnnbn_targets *targets, size_t first);
/* orthogonal.c: w [rows][cols] becomes gain times a matrix with orthonormal columns, or rows where there are fewer of them, a pure
 * function of key. Cost: 4 rows cols min(rows, cols). */
void cnnbn__init_orthogonal(float *w, size_t rows, size_t cols, double gain, uint64_t key);
/* weights.c */
cnnbn_status cnnbn__net_alloc_params(cnnbn_net *net);
/* weight_rules.c: regularisers and constraints. Penalties and their gradients, of the weights i with i % n_threads == tid; after an
 * update, constraints of the same. */
cnnbn_status cnnbn__rules_alloc(cnnbn_net *net) CNNBN_MUST_CHECK;
void cnnbn__rules_penalize(cnnbn_net *net, int tid);
double cnnbn__rules_sum(const cnnbn_net *net);
void cnnbn__rules_constrain(cnnbn_net *net, int tid);
/* timeline.c */
/* An event of the timeline; with net->trace_room > 0 only. */
void cnnbn__trace_add(cnnbn_net *net, int tid, int what, int detail, double start_s, double end_s);
/* Ends an activity, now: for the profile and the timeline. */
void cnnbn__activity_end(cnnbn_net *net, int tid, cnnbn_activity what, int detail, double start_s);
/* After anything that may have started or ended a reduction of gradients. */
void cnnbn__note_flight(cnnbn_net *net);
/* optimizer.c: by all threads, one after the other with a barrier between; the first for micro-batches only, _direct and _ratios where
 * _has_ratios. */
void cnnbn__optimizer_accumulate(cnnbn_net *net, int tid);
void cnnbn__optimizer_look(cnnbn_net *net, int tid);
int cnnbn__optimizer_may_update(const cnnbn_net *net); /* after the look: equal for all threads and ranks */
int cnnbn__optimizer_has_ratios(const cnnbn_net *net);
void cnnbn__optimizer_direct(cnnbn_net *net, int tid);
void cnnbn__optimizer_ratios(cnnbn_net *net, int tid);
void cnnbn__optimizer_update(cnnbn_net *net, int tid);
void cnnbn__optimizer_average(cnnbn_net *net, int tid); /* with net->ema, behind the constraints */
/* The weight whose gradient forbids the update, with words for it; -1: none. */
int cnnbn__optimizer_find_bad(const cnnbn_net *net, char *text, size_t bytes);

const char *cnnbn__instr_name(instr_kind kind);
const char *cnnbn__op_layer_name(const cnnbn_net *net, int op_index);

#endif
