#define _GNU_SOURCE
#include "cnnbn/cpu.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cnnbn_cpu_supports(cnnbn_isa isa)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    switch (isa) {
    case CNNBN_ISA_BASELINE:
        return 1;
    case CNNBN_ISA_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case CNNBN_ISA_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case CNNBN_ISA_NEON:
        return 0;
    }
    return 0;
#elif defined(__aarch64__)
    return isa == CNNBN_ISA_BASELINE || isa == CNNBN_ISA_NEON;
#else
    return isa == CNNBN_ISA_BASELINE;
#endif
}

cnnbn_isa cnnbn_cpu_isa(void)
{
    static const cnnbn_isa best_first[] = {CNNBN_ISA_NEON, CNNBN_ISA_AVX512, CNNBN_ISA_AVX2};
    for (size_t i = 0; i < sizeof best_first / sizeof *best_first; i++)
        if (cnnbn_cpu_supports(best_first[i])) return best_first[i];
    return CNNBN_ISA_BASELINE;
}

const char *cnnbn_isa_name(cnnbn_isa isa)
{
    static const char *const names[] = {"baseline", "avx2", "avx512", "neon"};
    return names[isa];
}

int cnnbn_cpu_cores_allowed(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? count : 1;
}

void cnnbn_cpu_bind_thread(int thread, int n_threads)
{
    static const char *const theirs[] = {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"};
    cpu_set_t allowed, one;
    for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++)
        if (getenv(theirs[i])) return;
    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) != n_threads) return;
    size_t core = 0;
    for (int before = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, &allowed)) continue;
        if (before++ == thread) break;
    }
    if (core == CPU_SETSIZE) return;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    (void)sched_setaffinity(0, sizeof one, &one); /* if not, it runs where the system wants it */
}

static char cpu_name[128] = "unknown";

static void read_cpu_name(void)
{
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (!file) return;
    char line[256];
    while (fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        char *text = colon + 1 + strspn(colon + 1, " \t");
        text[strcspn(text, "\n")] = '\0';
        (void)snprintf(cpu_name, sizeof cpu_name, "%.127s", text);
        break;
    }
    (void)fclose(file);
}

const char *cnnbn_cpu_name(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, read_cpu_name);
    return cpu_name;
}
