/* Sizes that the dense layer's plan and kernels share. */
#ifndef CNNBN_DENSE_H
#define CNNBN_DENSE_H

#include "conv_algo.h"
#include "conv_tile.h"
#include "ew.h"

enum {
    DENSE_K = 256,                  /* of a sum formed at once: a panel of B in L1 */
    DENSE_LD = DENSE_K + 16,        /* rows of a block of A; no power of two, or they would share sets of the cache */
    DENSE_ROWS = 16 * VEC_MUL_ROWS, /* samples of a block of A: in L2 */
    DENSE_FEATURES = 128,           /* rows of dw in a block; the unit in which threads share dw */
    DENSE_FEATURES_LD = DENSE_FEATURES + 16,
    DENSE_UNITS_FEW = 16 /* at most so many units are kept in registers at once */
};

/* Few units: transposed weights stand in blocks of FEW_BLOCK features, [F / FEW_BLOCK][U][FEW_BLOCK], a block in L1. Rows of all F
 * features would meet in the same sets of the cache wherever F is a multiple of 1,024. */
enum { FEW_BLOCK = 512, FEW_GROUPS = 16 /* of blocks, whose sums for a batch norm are kept apart */ };

/* X(1) ... X(DENSE_UNITS_FEW): one function for each number of units. */
#define FEW_EACH(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16)

static inline int few_blocks(const cnnbn_dense_plan *plan)
{
    return (plan->F + FEW_BLOCK - 1) / FEW_BLOCK;
}

static inline const float *few_block(const float *prepared, int U, int b)
{
    return prepared + (ptrdiff_t)b * FEW_BLOCK * U;
}

/* n features of one sample by the prologue; `feature` is the index of the first. */
static inline void dense_load(int n, int feature, const cnnbn_prologue *in, const float *x, float *to)
{
    if (prologue_is_none(in)) {
        memcpy(to, x, (size_t)n * sizeof *to);
        return;
    }
    if (!in->mean) {
        EW(act_fwd)((size_t)n, in->act, x, to);
        return;
    }
    for (int i = 0; i < n;) { /* up to the end of each period: channels in a row */
        int c = (feature + i) % in->period, left = in->period - c, take = left < n - i ? left : n - i;
        cnnbn_prologue part = {in->mean + c, in->scale + c, in->beta + c, take, in->act};
        int periods = c == 0 ? (n - i) / in->period : 0;
        if (periods > 0) {
            EW(bn_apply)((size_t)periods, in->period, x + i, in, NULL, to + i);
            i += periods * in->period;
        } else {
            EW(bn_apply)(1, take, x + i, &part, NULL, to + i);
            i += take;
        }
    }
}

#endif
