/* Slices: the unit of work and of order.
 *
 * A batch of n samples is cut into S slices; slice s holds the samples [s*n/S, (s+1)*n/S). Whatever is
 * summed over the batch is summed inside a slice in a fixed order, then over the slices by ONE binary
 * tree over the slice index: node (level l, index i) is the sum over the slices [i*2^l, (i+1)*2^l) cut at
 * S, made as node(l-1, 2i) + node(l-1, 2i+1); a node whose right child is past S is its left child.
 * Addition of two floats commutes, so equal trees give equal bits whoever adds them.
 *
 * A rank (and inside it a thread) owns a contiguous run of slices. Adding a run's slices from left to
 * right on a stack, and merging the two topmost entries whenever they are siblings, leaves the maximal
 * subtrees of the run: its nodes. Nodes of neighbouring runs merge by the same rule.
 */
#ifndef CNNBN_SLICES_H
#define CNNBN_SLICES_H

#include <stddef.h>
#include "cnnbn/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    CNNBN_SLICES_MAX = 4096, /* greatest S */
    CNNBN_TREE_DEPTH = 26    /* greatest height of a run's stack: 2*log2(4096) + 2 */
};

/* First sample of slice s of a batch of n samples in S slices; s = S gives n. No overflow up to 2^40. */
static inline size_t cnnbn_slice_begin(size_t n, int S, int s)
{
    return n * (size_t)s / (size_t)S;
}

/* First slice of part p of `parts` (ranks, or threads in a rank) among `count` slices; p = parts gives count. */
static inline int cnnbn_part_begin(int count, int parts, int p)
{
    return (int)((long)count * p / parts);
}

/* Default S for a global batch: depends on the batch alone, never on ranks or threads. About 8 images a
 * slice, never fewer than 8 slices where there are 4 images for each, a power of two. */
CNNBN_API int cnnbn_slices_default(size_t batch_size);

typedef struct cnnbn_node {
    int level, index;
} cnnbn_node;

/* A run of slices as kernels see it. The stack machine: sum slice 0 into stack entry 0; then n_merge[0]
 * times add the topmost entry to the one below and drop it; sum slice 1 into the entry above; and so on. */
typedef struct cnnbn_run {
    int n_slices;
    int first;                          /* index of the first slice in the whole batch */
    int depth;                          /* greatest height of the stack: entries needed */
    int n_nodes;                        /* height at the end */
    const int *bounds;                  /* [n_slices + 1] sample offsets from the run's first sample */
    const unsigned char *n_merge;       /* [n_slices] */
    cnnbn_node nodes[CNNBN_TREE_DEPTH]; /* [n_nodes] labels, left to right */
} cnnbn_run;

/* Fills the run of slices [first, first + n_slices) of a batch of n samples in S slices. bounds and
 * n_merge are arrays of the caller ([n_slices+1], [n_slices]) that the run borrows. A run may be empty. */
CNNBN_API void cnnbn_run_fill(cnnbn_run *run, size_t n, int S, int first, int n_slices, int *bounds,
                              unsigned char *n_merge);

/* Nodes of the slices [first, first + n_slices) of S; returns their number (<= CNNBN_TREE_DEPTH). */
CNNBN_API int cnnbn_tree_nodes(int S, int first, int n_slices, cnnbn_node *nodes);

/* The same machine one node at a time, for runs that are joined: `stack` holds *height labels; pushes
 * `node` and returns how many merges of the two topmost entries follow (labels updated accordingly).
 * Nodes must be pushed from left to right. After the last node of all S slices the height is 1. */
CNNBN_API int cnnbn_tree_push(int S, cnnbn_node *stack, int *height, cnnbn_node node);

#ifdef __cplusplus
}
#endif
#endif
