/* Runs a kernel table beside `ref` on random odd shapes, deterministic from a seed. Each function fails the running
 * cmocka test on the first difference, with the shape in the message. Pointers are unaligned where the contract allows
 * it, every array has guards on both sides, and outputs and workspaces start as NaN.
 */
#ifndef CNNBN_TEST_KERNEL_CASES_H
#define CNNBN_TEST_KERNEL_CASES_H

#include "cnnbn/kernels.h"

/* conv_*: values, sums of batch norm, stacks, grouping. `algo` is the wish given to conv_plan. */
void kernel_cases_conv(const cnnbn_kernels *table, cnnbn_conv_algo algo, int n_cases, uint64_t seed);
/* Winograd with so many channels that sums and weights are beyond the caches: n_cases of each of its geometries. */
void kernel_cases_conv_wide(const cnnbn_kernels *table, int n_cases, uint64_t seed);
/* Winograd with tiles of several shapes in an image, likewise. */
void kernel_cases_conv_mixed(const cnnbn_kernels *table, int n_cases, uint64_t seed);
/* NaN and Inf planted in one sample come out wherever ref has them, and in no other sample. */
void kernel_cases_conv_nonfinite(const cnnbn_kernels *table, cnnbn_conv_algo algo, int n_cases, uint64_t seed);
void kernel_cases_dense(const cnnbn_kernels *table, int n_cases, uint64_t seed);
void kernel_cases_batchnorm(const cnnbn_kernels *table, int n_cases, uint64_t seed);
void kernel_cases_activation(const cnnbn_kernels *table, int n_cases, uint64_t seed);
void kernel_cases_pool(const cnnbn_kernels *table, int n_cases, uint64_t seed);
void kernel_cases_loss(const cnnbn_kernels *table, int n_cases, uint64_t seed);
/* dropout, input_*, add*, scale, sum_*, penalty_bwd, bilinear_*, clip */
void kernel_cases_elementwise(const cnnbn_kernels *table, int n_cases, uint64_t seed);
/* sum, mul, maximum*, channel_*, column_sums, prelu_*, norm_*, unit_*, noise */
void kernel_cases_merge(const cnnbn_kernels *table, int n_cases, uint64_t seed);
/* image_*, mix */
void kernel_cases_image(const cnnbn_kernels *table, int n_cases, uint64_t seed);
void kernel_cases_optimizer(const cnnbn_kernels *table, int n_cases, uint64_t seed);

/* The table "ref". */
const cnnbn_kernels *kernel_cases_ref(void);

/* Activation kinds with usual parameters; [0, kernel_cases_n_from_output) hold cnnbn_act_from_output. */
enum { KERNEL_CASES_ACTS = 18 };
extern const cnnbn_activation kernel_cases_acts[KERNEL_CASES_ACTS];
extern const int kernel_cases_n_from_output;

#endif
