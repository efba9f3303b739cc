/* Internal: the loops of peak.c, once an instruction set that is built (CNNBN_HAVE_PEAK_<ISA>). */
#ifndef CNNBN_SIMD_PEAK_SETS_H
#define CNNBN_SIMD_PEAK_SETS_H

#include "cnnbn/peak.h"

extern const cnnbn_peak cnnbn__peak_baseline, cnnbn__peak_avx2, cnnbn__peak_avx512, cnnbn__peak_neon;

#endif
