/* cnnbn-bench: a net on made-up data, ready for training steps. */
#ifndef CNNBN_CLI_BENCH_NET_H
#define CNNBN_CLI_BENCH_NET_H

#include "cnnbn/comm.h"
#include "cnnbn/net.h"

/* What all nets of a benchmark have in common. */
typedef struct bench_setup {
    const char *model;
    cnnbn_shape input; /* rank 0: as the model has it, or one that suits the built-in */
    int classes;       /* of a built-in */
    size_t batch_size; /* global */
    int slices;        /* 0: the default for the batch */
    int threads;       /* 0: cores of the affinity mask, shared with the ranks of the host */
    int optimizer;     /* cnnbn_optimizer_kind */
} bench_setup;

/* What tells nets that are compared apart. */
typedef struct bench_variant {
    const cnnbn_kernels *kernels;
    cnnbn_conv_algo conv;
    cnnbn_reduce_mode reduce;
    int bn_local, no_fusion;
} bench_variant;

enum { BENCH_POOL = 4 }; /* batches made up, taken in turn */

/* This rank's samples of the batches; the same images at any number of ranks. */
typedef struct bench_data {
    size_t n_local, n_global;
    const void **images[BENCH_POOL];
    int32_t *labels[BENCH_POOL];
    uint64_t *ids[BENCH_POOL];
    void *memory;
} bench_data;

/* Fills in what the setup leaves open, and loads the model. Collective. *model owned: cnnbn_model_destroy. */
cnnbn_status bench_model_open(cnnbn_comm *comm, bench_setup *setup, cnnbn_model **model) CNNBN_MUST_CHECK;
/* Collective. *net owned: cnnbn_net_destroy. */
cnnbn_status bench_net_open(cnnbn_comm *comm, const bench_setup *setup, const bench_variant *variant,
                            const cnnbn_model *model, cnnbn_net **net) CNNBN_MUST_CHECK;
/* Any net of the setup tells which samples are this rank's. Collective. bench_data_close frees. */
cnnbn_status bench_data_open(cnnbn_comm *comm, const bench_setup *setup, const cnnbn_model *model, const cnnbn_net *net,
                             bench_data *data) CNNBN_MUST_CHECK;
void bench_data_close(bench_data *data);
/* n steps. *seconds: of all of them on the slowest rank. Collective. */
cnnbn_status bench_net_steps(cnnbn_comm *comm, cnnbn_net *net, const bench_data *data, int n,
                             double *seconds) CNNBN_MUST_CHECK;

#endif
