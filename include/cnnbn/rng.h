/* Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as
 * easy as 1, 2, 3", SC11). A draw is a pure function of (key, counter): nothing to save in a checkpoint,
 * and nothing that depends on ranks or threads.
 */
#ifndef CNNBN_RNG_H
#define CNNBN_RNG_H

#include <stddef.h>
#include <stdint.h>
#include "cnnbn/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a stream of numbers is for; part of the key, so that no two uses share numbers. */
typedef enum cnnbn_rng_use {
    CNNBN_RNG_INIT = 1,    /* initial weights: item = hash of the tensor's name */
    CNNBN_RNG_SHUFFLE = 2, /* order of an epoch: item = epoch */
    CNNBN_RNG_DROPOUT = 3, /* item = mix of epoch, sample id and layer */
    CNNBN_RNG_AUGMENT = 4,
    CNNBN_RNG_TEST = 5,
    CNNBN_RNG_MIXUP = 6 /* item = epoch and sample id */
} cnnbn_rng_use;

/* Key of the stream (seed, use, a, b, c): a 64-bit mix of all of them (splitmix64's finaliser, chained). */
CNNBN_API uint64_t cnnbn_rng_key(uint64_t seed, cnnbn_rng_use use, uint64_t a, uint64_t b, uint64_t c);

/* FNV-1a, 64 bits: names to numbers for cnnbn_rng_key. */
CNNBN_API uint64_t cnnbn_hash_name(const char *name);

/* Four 32-bit draws for one counter. */
CNNBN_API void cnnbn_philox(uint64_t key, uint64_t counter, uint32_t out[4]);

/* Draw i of a stream as uniform in [0,1): the top 24 bits of word i%4 of counter i/4, times 2^-24. */
CNNBN_API float cnnbn_rng_uniform(uint64_t key, uint64_t i);

/* Draw i as an integer in [0, n), n >= 1, unbiased to 2^-32 (64-bit multiply-shift of two words of counter i). */
CNNBN_API uint64_t cnnbn_rng_below(uint64_t key, uint64_t i, uint64_t n);

/* Draw i as standard normal (Box-Muller on counter i, in double). */
CNNBN_API double cnnbn_rng_normal(uint64_t key, uint64_t i);

/* A draw from Beta(alpha, alpha), alpha > 0: X/(X + Y) of two Gamma(alpha) (Marsaglia, Tsang: "A simple method for generating
 * gamma variables", 2000), by logarithms, as these underflow for small alpha. Uses the whole stream of the key. */
CNNBN_API double cnnbn_rng_beta(uint64_t key, double alpha);

#ifdef __cplusplus
}
#endif
#endif
