#include "cnnbn/kernels.h"

#include <pthread.h>
#include <string.h>

#include "tables.h"

enum {
    TABLES_MAX = 8, /* ref, blas, one for each instruction set */
    NAMES_MAX = TABLES_MAX + 3
};

typedef struct simd_set {
    cnnbn_isa isa;
    const char *name;
    void (*elementwise)(cnnbn_kernels *table);
    void (*conv)(cnnbn_kernels *table); /* NULL: not built */
} simd_set;

#ifdef CNNBN_HAVE_SIMD_CONV
#define SIMD_CONV(isa) cnnbn__kernels_simd_conv_##isa
#else
#define SIMD_CONV(isa) NULL
#endif

/* Best first: the first that this CPU has is "simd". */
static const simd_set simd_sets[] = {
#ifdef CNNBN_HAVE_SIMD_NEON
    {CNNBN_ISA_NEON, "simd-neon", cnnbn__kernels_simd_elementwise_neon, SIMD_CONV(neon)},
#endif
#ifdef CNNBN_HAVE_SIMD_AVX512
    {CNNBN_ISA_AVX512, "simd-avx512", cnnbn__kernels_simd_elementwise_avx512, SIMD_CONV(avx512)},
#endif
#ifdef CNNBN_HAVE_SIMD_AVX2
    {CNNBN_ISA_AVX2, "simd-avx2", cnnbn__kernels_simd_elementwise_avx2, SIMD_CONV(avx2)},
#endif
#ifdef CNNBN_HAVE_SIMD_BASELINE
    {CNNBN_ISA_BASELINE, "simd-baseline", cnnbn__kernels_simd_elementwise_baseline, SIMD_CONV(baseline)},
#endif
    {CNNBN_ISA_BASELINE, NULL, NULL, NULL},
};

static cnnbn_kernels tables[TABLES_MAX];
static int n_tables;
static const cnnbn_kernels *best_simd, *best; /* what "simd" and "auto" mean; best_simd may be NULL */
static const char *names[NAMES_MAX + 1];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static cnnbn_kernels *table_add(const char *name, cnnbn_isa isa)
{
    cnnbn_kernels *table = &tables[n_tables++];
    *table = cnnbn__kernels_ref;
    table->name = name;
    table->isa = isa;
    return table;
}

static void build(void)
{
    for (const simd_set *set = simd_sets; set->name; set++) {
        if (!cnnbn_cpu_supports(set->isa)) continue;
        cnnbn_kernels *table = table_add(set->name, set->isa);
        set->elementwise(table);
#ifdef CNNBN_HAVE_BLAS
        /* Without a vector convolution of its own a set borrows BLAS'. */
        if (!set->conv) cnnbn__kernels_blas_fill(table);
#endif
        if (set->conv) set->conv(table);
        if (!best_simd) best_simd = table;
    }
    best = best_simd;
#ifdef CNNBN_HAVE_BLAS
    cnnbn_kernels *blas = table_add("blas", CNNBN_ISA_BASELINE);
    if (best_simd) {
        *blas = *best_simd;
        blas->name = "blas";
    }
    cnnbn__kernels_blas_fill(blas);
#ifndef CNNBN_HAVE_SIMD_CONV
    best = blas;
#endif
#endif
    const cnnbn_kernels *ref = table_add("ref", CNNBN_ISA_BASELINE);
    if (!best) best = ref;

    int n_names = 0;
    names[n_names++] = "auto";
    if (best_simd) names[n_names++] = "simd";
    for (int t = 0; t < n_tables; t++) names[n_names++] = tables[t].name;
    names[n_names] = NULL;
}

const char *const *cnnbn_kernels_names(void)
{
    (void)pthread_once(&once, build);
    return names;
}

cnnbn_status cnnbn_kernels_get(const char *name, const cnnbn_kernels **out)
{
    (void)pthread_once(&once, build);
    *out = NULL;
    if (strcmp(name, "auto") == 0) *out = best;
    if (strcmp(name, "simd") == 0) *out = best_simd;
    for (int t = 0; t < n_tables; t++)
        if (strcmp(name, tables[t].name) == 0) *out = &tables[t];
    if (*out) return CNNBN_OK;

    char list[256] = "";
    for (size_t i = 0; names[i] && strlen(list) + strlen(names[i]) + 3 < sizeof list; i++) {
        if (i) strcat(list, ", ");
        strcat(list, names[i]);
    }
    return cnnbn_error(CNNBN_ERR_OPTION, "kernels \"%s\" are not known or cannot run on this CPU; it can run: %s", name,
                       list);
}

const char *cnnbn_conv_algo_name(cnnbn_conv_algo algo)
{
    switch (algo) {
    case CNNBN_CONV_AUTO:
        return "auto";
    case CNNBN_CONV_REF:
        return "ref";
    case CNNBN_CONV_BLAS:
        return "blas";
    case CNNBN_CONV_DIRECT:
        return "direct";
    case CNNBN_CONV_WINOGRAD:
        return "winograd";
    }
    return "unknown";
}

#ifndef CNNBN_HAVE_BLAS
const char *cnnbn_blas_core(void)
{
    return "none";
}

void cnnbn_blas_init(void) {}
#endif
