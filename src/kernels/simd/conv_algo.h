/* The two algorithms behind the table's convolution, direct and Winograd. */
#ifndef CNNBN_CONV_ALGO_H
#define CNNBN_CONV_ALGO_H

#include "cnnbn/kernels.h"
#include "vec.h"

#define direct_plan CNNBN__ISA(cnnbn__direct_plan)
#define direct_prepare_fwd CNNBN__ISA(cnnbn__direct_prepare_fwd)
#define direct_prepare_bwd CNNBN__ISA(cnnbn__direct_prepare_bwd)
#define direct_fwd CNNBN__ISA(cnnbn__direct_fwd)
#define direct_bwd_data CNNBN__ISA(cnnbn__direct_bwd_data)
#define direct_bwd_weights CNNBN__ISA(cnnbn__direct_bwd_weights)
#define direct_weights_floats CNNBN__ISA(cnnbn__direct_weights_floats)

#define winograd_fits CNNBN__ISA(cnnbn__winograd_fits)
#define winograd_pays CNNBN__ISA(cnnbn__winograd_pays)
#define winograd_plan CNNBN__ISA(cnnbn__winograd_plan)
#define winograd_prepare_fwd CNNBN__ISA(cnnbn__winograd_prepare_fwd)
#define winograd_prepare_bwd CNNBN__ISA(cnnbn__winograd_prepare_bwd)
#define winograd_fwd CNNBN__ISA(cnnbn__winograd_fwd)
#define winograd_bwd CNNBN__ISA(cnnbn__winograd_bwd)

#define simd_dense_plan CNNBN__ISA(cnnbn__dense_plan)
#define simd_dense_fwd CNNBN__ISA(cnnbn__dense_fwd)
#define simd_dense_bwd_data CNNBN__ISA(cnnbn__dense_bwd_data)
#define simd_dense_bwd_weights CNNBN__ISA(cnnbn__dense_bwd_weights)
#define simd_dense_prepare CNNBN__ISA(cnnbn__dense_prepare)
#define simd_dense_is_few CNNBN__ISA(cnnbn__dense_is_few)
#define simd_dense_few_plan CNNBN__ISA(cnnbn__dense_few_plan)
#define simd_dense_few_prepare CNNBN__ISA(cnnbn__dense_few_prepare)
#define simd_dense_few_fwd CNNBN__ISA(cnnbn__dense_few_fwd)
#define simd_dense_few_bwd_data CNNBN__ISA(cnnbn__dense_few_bwd_data)
#define simd_dense_few_bwd_bn CNNBN__ISA(cnnbn__dense_few_bwd_bn)
#define simd_dense_few_reads CNNBN__ISA(cnnbn__dense_few_reads)
#define simd_dense_few_bwd_weights CNNBN__ISA(cnnbn__dense_few_bwd_weights)
#define simd_dense_few_bn_join CNNBN__ISA(cnnbn__dense_few_bn_join)

/* Signatures and contracts are the table's, in kernels.h. */
void direct_plan(cnnbn_conv_plan *plan);
void direct_prepare_fwd(const cnnbn_conv_plan *plan, const float *w, const float *bias, float *prepared, int part,
                        int n_parts);
void direct_prepare_bwd(const cnnbn_conv_plan *plan, const float *w, float *prepared, int part, int n_parts);
void direct_fwd(const cnnbn_conv_plan *plan, const cnnbn_conv_fwd *args);
void direct_bwd_data(const cnnbn_conv_plan *plan, const cnnbn_conv_bwd *args);
void direct_bwd_weights(const cnnbn_conv_plan *plan, const cnnbn_conv_bwd *args);
size_t direct_weights_floats(const cnnbn_conv_geom *geom);

/* Whether the geometry is one that F(4x4, 3x3) can compute; whether it is quicker than direct. */
int winograd_fits(const cnnbn_conv_geom *geom);
int winograd_pays(const cnnbn_conv_geom *geom);
void winograd_plan(cnnbn_conv_plan *plan);
void winograd_prepare_fwd(const cnnbn_conv_plan *plan, const float *w, const float *bias, float *prepared, int part,
                          int n_parts);
void winograd_prepare_bwd(const cnnbn_conv_plan *plan, const float *w, float *prepared, int part, int n_parts);
void winograd_fwd(const cnnbn_conv_plan *plan, const cnnbn_conv_fwd *args);
void winograd_bwd(const cnnbn_conv_plan *plan, const cnnbn_conv_bwd *args);

void simd_dense_plan(cnnbn_dense_plan *plan);
void simd_dense_fwd(const cnnbn_dense_plan *plan, const cnnbn_dense_fwd *args);
void simd_dense_bwd_data(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_data *args);
void simd_dense_bwd_weights(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_weights *args);
void simd_dense_prepare(const cnnbn_dense_plan *plan, const float *w, float *prepared, int part, int n_parts);

/* Few units (dense_few.c): whether the plan is of that kind, and what is done then. */
int simd_dense_is_few(const cnnbn_dense_plan *plan);
void simd_dense_few_plan(cnnbn_dense_plan *plan);
void simd_dense_few_prepare(const cnnbn_dense_plan *plan, const float *w, float *prepared, int part, int n_parts);
void simd_dense_few_fwd(const cnnbn_dense_plan *plan, const cnnbn_dense_fwd *args);
void simd_dense_few_bwd_data(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_data *args);
void simd_dense_few_bwd_bn(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_bn *args);
/* Whether x is taken straight from its rows (dense_few_weights.c): then dw, but not db, is made by the next one. */
int simd_dense_few_reads(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_weights *args);
void simd_dense_few_bwd_weights(const cnnbn_dense_plan *plan, const cnnbn_dense_bwd_weights *args);
void simd_dense_few_bn_join(const cnnbn_dense_plan *plan, const cnnbn_dense_bn_join *args);

/* An activation other than ReLU and none is done in a pass of its own. */
static inline int act_is_relu(cnnbn_activation act)
{
    return act.kind == CNNBN_ACT_RELU;
}

static inline int act_is_apart(cnnbn_activation act)
{
    return act.kind != CNNBN_ACT_RELU && act.kind != CNNBN_ACT_LINEAR;
}

/* Whether there is anything to do to the input. */
static inline int prologue_is_none(const cnnbn_prologue *in)
{
    return !in->mean && in->act.kind == CNNBN_ACT_LINEAR;
}

#endif
