/* A vector of the instruction set's width by the compilers' own extension: for loops whose accumulators must stay in
 * registers. Sources that include this are compiled with -ffp-contract=fast. */
#ifndef CNNBN_EW_VECTOR_H
#define CNNBN_EW_VECTOR_H

#include "ew.h"

#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif

typedef float vec __attribute__((vector_size(LANES * 4)));

EW_INLINE vec load(const float *p)
{
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

EW_INLINE void store(float *p, vec v)
{
    memcpy(p, &v, sizeof v);
}

#endif
