/* Tools of kernel_cases_*.c: dice, guarded arrays, comparison, runs and the join of single slices. */
#ifndef CNNBN_TEST_CASE_TOOLS_H
#define CNNBN_TEST_CASE_TOOLS_H

#include "check.h"
#include "cnnbn/kernels.h"

/* ---- dice: random numbers from (seed, case) */
typedef struct dice {
    uint64_t key, next;
} dice;

dice dice_new(uint64_t seed, int case_index);
int dice_int(dice *d, int low, int high); /* in [low, high] */
float dice_float(dice *d, float low, float high);
static inline int dice_one_in(dice *d, int n)
{
    return dice_int(d, 1, n) == 1;
}

/* ---- arrays of one case; all are freed together */
enum { ARRAYS_MAX = 64 };
typedef struct arrays {
    int n;
    struct guarded {
        void *block;
        size_t bytes, offset; /* of the array in the block */
    } all[ARRAYS_MAX];
} arrays;

/* n floats, all NaN; `offset` floats past an aligned address. */
float *arrays_floats(arrays *a, size_t n, int offset);
double *arrays_doubles(arrays *a, size_t n);
/* n random numbers in [low, high), at a random offset of 0 to 3 floats. */
float *arrays_random(arrays *a, dice *d, size_t n, float low, float high);
float *arrays_copy(arrays *a, const float *from, size_t n, int offset);
/* Fails with `what` when something was written in front of or behind an array; frees all. */
void arrays_end(arrays *a, const char *what);

/* ---- comparison. Error: greatest |got - expected| over max(greatest |expected|, floor); non-finite fails. */
void case_close(const char *label, const char *what, const float *got, const float *expected, size_t n, double floor,
                double tolerance);
/* |got - expected| <= tolerance * scale[i] + tiny; non-finite fails. */
void case_close_f64(const char *label, const char *what, const double *got, const double *expected, const double *scale,
                    size_t n, double tolerance);
/* |got - expected| <= tolerance * max(1, |expected|) element by element; NaN where NaN is expected, Inf where Inf. */
void case_each(const char *label, const char *what, const float *got, const float *expected, size_t n,
               double tolerance);
void case_bits(const char *label, const char *what, const void *got, const void *expected, size_t bytes);
/* Wherever `expected` is not finite, `got` is not. */
void case_nonfinite(const char *label, const char *what, const float *got, const float *expected, size_t n);

/* ---- runs */
enum { RUN_SLICES_MAX = 16 };
typedef struct case_run { /* not to be copied: run points into it */
    cnnbn_run run;
    int S, samples, max_slice;
    size_t first_sample; /* in the batch */
    size_t batch;
    int bounds[RUN_SLICES_MAX + 1];
    unsigned char merges[RUN_SLICES_MAX];
} case_run;

void case_run_fill(case_run *r, size_t batch, int S, int first, int n_slices);
/* Batch of 0 to max_batch samples in 1 to 12 slices, some of them or the whole run empty. */
void case_run_random(case_run *r, dice *d, int max_batch);
/* Slice s of `r` as a run of its own; samples of it start at r->run.bounds[s]. */
void case_run_slice(case_run *one, const case_run *r, int s);

/* Joins results of single slices as ranks do: write the slice's entry to base + join.height*stride, then push. */
typedef struct join {
    int S, height;
    cnnbn_node labels[CNNBN_TREE_DEPTH];
} join;
void join_push_f32(join *j, const cnnbn_run *one, size_t n, float *base, size_t stride);
void join_push_f64(join *j, const cnnbn_run *one, size_t n, double *base, size_t stride);
/* Nodes of two stacks have equal bits. */
void case_nodes_f32(const char *label, const char *what, const cnnbn_run *run, size_t n, const float *got,
                    const float *expected, size_t stride);
void case_nodes_f64(const char *label, const char *what, const cnnbn_run *run, size_t n, const double *got,
                    const double *expected, size_t stride);

/* ---- prologues */
/* None, affine, activation or both, over `period` channels; x is expected around `mean`. */
cnnbn_prologue case_prologue(arrays *a, dice *d, int period, float mean);
/* Moves x so that u of the prologue keeps off the kinks of `act`, where derivatives depend on rounding. */
void case_avoid_kinks(const cnnbn_prologue *in, float *x, size_t n);
cnnbn_activation case_act_from_output(dice *d);

#endif
