/* What the CPU can do, and how many cores this process may use. */
#ifndef CNNBN_CPU_H
#define CNNBN_CPU_H

#include "cnnbn/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Instruction sets that kernels are compiled for; greater is wider on x86-64. */
typedef enum cnnbn_isa {
    CNNBN_ISA_BASELINE = 0, /* SSE2 on x86-64; plain C elsewhere */
    CNNBN_ISA_AVX2 = 1,     /* AVX2 and FMA */
    CNNBN_ISA_AVX512 = 2,   /* AVX-512 F, BW, DQ, VL */
    CNNBN_ISA_NEON = 3      /* aarch64 */
} cnnbn_isa;

/* Best set that CPU and operating system support. */
CNNBN_API cnnbn_isa cnnbn_cpu_isa(void);
CNNBN_API int cnnbn_cpu_supports(cnnbn_isa isa);
/* "baseline", "avx2", "avx512", "neon". */
CNNBN_API const char *cnnbn_isa_name(cnnbn_isa isa);
/* Cores in this process' affinity mask, at least 1. */
CNNBN_API int cnnbn_cpu_cores_allowed(void);
/* Binds the calling thread, number `thread` of the process' `n_threads`, to a core of its own where the affinity mask has one for
 * each of them and no variable of OpenMP's (OMP_PROC_BIND, OMP_PLACES, GOMP_CPU_AFFINITY) says where they shall run. */
CNNBN_API void cnnbn_cpu_bind_thread(int thread, int n_threads);
/* Marketing name of the CPU as /proc/cpuinfo has it, borrowed for ever; "unknown" where there is none. */
CNNBN_API const char *cnnbn_cpu_name(void);

#ifdef __cplusplus
}
#endif
#endif
