/* The stack machine of a run of slices (slices.h) on arrays: the one place where partial sums of slices are joined.
 *
 *     int height = 0;
 *     for (int s = 0; s < run->n_slices; s++) {
 *         ... write the sum of slice s, zeros if it is empty, to base + (size_t)height * stride ...
 *         height = cnnbn__stack_push_f32(run, s, height, n, base, stride);
 *     }
 *
 * leaves the run's nodes in entries [0, run->n_nodes) and height == run->n_nodes. The addition is lower += upper in the
 * stack's own type, which every kernel must do alike: no fused or wider sum.
 */
#ifndef CNNBN_KERNELS_STACK_H
#define CNNBN_KERNELS_STACK_H

#include "cnnbn/slices.h"

/* Entry `height` holds n sums of slice s: counts it in and does the merges that follow. Returns the new height. */
static inline int cnnbn__stack_push_f32(const cnnbn_run *run, int s, int height, size_t n, float *base, size_t stride)
{
    height++;
    for (int m = run->n_merge[s]; m > 0; m--, height--) {
        const float *upper = base + (size_t)(height - 1) * stride;
        float *lower = base + (size_t)(height - 2) * stride;
        for (size_t i = 0; i < n; i++) lower[i] += upper[i];
    }
    return height;
}

static inline int cnnbn__stack_push_f64(const cnnbn_run *run, int s, int height, size_t n, double *base, size_t stride)
{
    height++;
    for (int m = run->n_merge[s]; m > 0; m--, height--) {
        const double *upper = base + (size_t)(height - 1) * stride;
        double *lower = base + (size_t)(height - 2) * stride;
        for (size_t i = 0; i < n; i++) lower[i] += upper[i];
    }
    return height;
}

#endif
