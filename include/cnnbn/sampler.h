/* The order of the samples: a pure function of (number of samples, seed, epoch). */
#ifndef CNNBN_SAMPLER_H
#define CNNBN_SAMPLER_H

#include <stddef.h>
#include <stdint.h>
#include "cnnbn/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* order[n] becomes the order of the epoch: 0..n-1 when shuffle is 0, else a Fisher-Yates shuffle (Durstenfeld's form) by
 * the counter-based generator with key (seed, epoch). Local, equal on all. n < 2^32. */
CNNBN_API void cnnbn_sampler_order(uint32_t *order, size_t n, uint64_t seed, uint64_t epoch, int shuffle);

/* Steps of an epoch of n samples: the last, short batch counts unless drop_last. */
CNNBN_API size_t cnnbn_sampler_steps(size_t n, size_t batch_size, int drop_last);

/* Samples of step `step`: [*first, *first + *count) of the epoch's order. */
CNNBN_API void cnnbn_sampler_batch(size_t n, size_t batch_size, size_t step, size_t *first, size_t *count);

#ifdef __cplusplus
}
#endif
#endif
