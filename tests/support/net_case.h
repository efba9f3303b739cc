/* A net, a batch and the reference beside it. Nothing here asserts on what is tested, so that programs of many ranks can use it
 * too: findings come back as numbers and texts. */
#ifndef CNNBN_TEST_NET_CASE_H
#define CNNBN_TEST_NET_CASE_H

#include "cnnbn/digest.h"
#include "cnnbn/net.h"
#include "net_reference.h"

typedef struct net_case {
    const char *yaml;
    const char *kernels;
    cnnbn_net_config config; /* kernels, comm and input affine are filled in by net_case_open */
    double mean, deviation;  /* of the input */
} net_case;

/* `ref` kernels, 8 slices, a batch of 8, one thread, SGD with lr 0.1, input in [-1, 1). */
net_case net_case_default(const char *yaml);

typedef struct net_bench {
    net_case c;
    cnnbn_model *model;
    cnnbn_net *net;
    size_t n_images, sample; /* images made; floats of one */
    float *images;
    double *exact; /* the same images */
    int32_t *labels;
    uint64_t *ids;
    const void **pointers;
} net_bench;

/* Model, net, weights drawn at random (none zero or one), n_images images. Collective as cnnbn_net_create. */
cnnbn_status net_bench_open(net_bench *b, const net_case *c, cnnbn_comm *comm, size_t n_images) CNNBN_MUST_CHECK;
void net_bench_close(net_bench *b);

/* A step on the images [first, first + n) of all ranks' common set. */
cnnbn_status net_bench_step(net_bench *b, size_t first, size_t n, const double flags[4],
                            cnnbn_step_result *result) CNNBN_MUST_CHECK;

/* A reference of n samples with the net's weights as they stand, of the images [first, first + n). */
net_reference *net_bench_reference(net_bench *b, size_t first, size_t n);

/* Compares the gradients (or, which = 1, the moving statistics) with the reference's. Returns the greatest error and says in text
 * whose it is. Error: |a - b| over the greatest of the tensor, but no less than 5 % of the greatest of all tensors: the bias in
 * front of a batch norm has the gradient zero, and what is found there is the rounding of sums of the size of the others. */
double net_bench_error(net_bench *b, const net_reference *ref, int which, char *text, size_t bytes);

/* Digest of all weights, statistics, averages, slots and `loss`. */
void net_bench_digest(net_bench *b, double loss, char text[CNNBN_DIGEST_TEXT]);

#endif
