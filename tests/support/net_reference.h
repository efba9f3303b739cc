/* A second opinion on the compiled net: a naive evaluator over the model as the user wrote it, in double, call after call, with
 * a backward pass written by hand. It knows nothing of fusion, slices, levels or kernels; its own gradients are held to central
 * differences (test_net_reference.c). */
#ifndef CNNBN_TEST_NET_REFERENCE_H
#define CNNBN_TEST_NET_REFERENCE_H

#include <stdint.h>

#include "cnnbn/model.h"

enum { NET_REFERENCE_GROUPS = 64 };

typedef struct net_reference {
    const cnnbn_model *model;
    int n; /* samples */
    /* Set by the caller after create. */
    int training;
    uint64_t seed, epoch;
    const uint64_t *ids;
    const int32_t *labels;
    double smoothing;
    int n_groups;           /* statistics of batch norms are taken within a group of samples; 1: synchronous;
                             * at most NET_REFERENCE_GROUPS, possibly empty */
    const int *group_begin; /* [n_groups + 1]; NULL: one group */
    /* Results. */
    double **param, **param_grad; /* [n_params][count]; param is set by the caller */
    double **value, **grad;       /* [n_calls][n * count] */
    double **before;   /* [n_calls]: in front of a layer's own activation; BN: mean, then 1/std, of each group */
    double loss, hits; /* mean over the n samples; correct ones */
} net_reference;

net_reference *net_reference_create(const cnnbn_model *model, int n);
void net_reference_destroy(net_reference *ref);
/* Forward pass and loss; images [n][count of the input]. */
void net_reference_forward(net_reference *ref, const double *images);
/* Gradients of the mean loss; after a forward pass. */
void net_reference_backward(net_reference *ref);
/* The moving statistics after this batch, with those of group g, into param. */
void net_reference_update_moving(net_reference *ref, int g);
/* Key of a dropout mask: (seed, epoch, sample, layer and which use of the layer it is). */
uint64_t net_reference_dropout_key(const net_reference *ref, int call, uint64_t id);

#endif
