/* What a core can do at most: loops that do nothing but multiply and add, read, write or copy, one set of them an
 * instruction set. For benchmarks: the caller looks at the clock. No MPI, no files, no malloc.
 */
#ifndef CNNBN_PEAK_H
#define CNNBN_PEAK_H

#include <stddef.h>
#include "cnnbn/cpu.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { CNNBN_PEAK_STEP = 128 }; /* arrays are a multiple of so many floats, aligned to CNNBN_ALIGN */

/* Ranks: local, all of them. Threads: any number of calls at once on distinct arrays. */
typedef struct cnnbn_peak {
    cnnbn_isa isa;
    int vector_floats; /* floats in a vector of the set */
    int has_fma;       /* 0: a product and a sum are two instructions */
    /* `rounds` rounds of round_flop products and sums (each counts 1) in independent chains of fused multiply-adds, all in
     * registers. Returns their sum, so that nothing can be left out. */
    float (*multiply_add)(size_t rounds);
    double round_flop;
    float (*read)(const float *x, size_t n); /* sum of x[n] in some order */
    void (*write)(float *x, size_t n, float value);
    void (*copy)(float *y, const float *x, size_t n); /* plain stores: the lines of y are read first */
} cnnbn_peak;

/* The loops of a set, borrowed for ever; NULL when this CPU or this build does not have it. */
CNNBN_API const cnnbn_peak *cnnbn_peak_get(cnnbn_isa isa);

#ifdef __cplusplus
}
#endif
#endif
