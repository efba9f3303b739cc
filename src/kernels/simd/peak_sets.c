#include "peak_sets.h"

#include <stddef.h>

const cnnbn_peak *cnnbn_peak_get(cnnbn_isa isa)
{
    static const cnnbn_peak *const built[] = {
        &cnnbn__peak_baseline,
#ifdef CNNBN_HAVE_PEAK_AVX2
        &cnnbn__peak_avx2,
#endif
#ifdef CNNBN_HAVE_PEAK_AVX512
        &cnnbn__peak_avx512,
#endif
#ifdef CNNBN_HAVE_PEAK_NEON
        &cnnbn__peak_neon,
#endif
    };
    if (!cnnbn_cpu_supports(isa)) return NULL;
    for (size_t i = 0; i < sizeof built / sizeof *built; i++)
        if (built[i]->isa == isa) return built[i];
    return NULL;
}
