/* cnnbn-bench kernels: its two halves. */
#ifndef CNNBN_CLI_BENCH_KERNELS_H
#define CNNBN_CLI_BENCH_KERNELS_H

#include "bench.h"
#include "cnnbn/kernels.h"

enum { VARIANTS_MAX = 8, SHAPES_MAX = 32 };

/* One way to compute a convolution. */
typedef struct conv_variant {
    const cnnbn_kernels *kernels;
    cnnbn_conv_algo conv; /* a wish */
} conv_variant;

/* Every element-wise kernel of each table, in GB/s. Rows of the CSV file as bench_kernels.c says. */
cnnbn_status bench_elementwise(const bench_options *options, const cnnbn_kernels *const *tables,
                               int n_tables) CNNBN_MUST_CHECK;

#endif
