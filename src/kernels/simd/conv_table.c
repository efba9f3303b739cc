/* Convolution and dense layer of one instruction set, as entries of a table of kernels. */
#include "conv_algo.h"
#include "tables.h"

static void conv_plan(cnnbn_conv_plan *plan)
{
    const cnnbn_conv_geom *g = &plan->geom;
    int winograd = plan->algo == CNNBN_CONV_WINOGRAD
                       ? winograd_fits(g)
                       : plan->algo == CNNBN_CONV_AUTO && winograd_fits(g) && winograd_pays(g);
    plan->algo = winograd ? CNNBN_CONV_WINOGRAD : CNNBN_CONV_DIRECT;
    plan->any_grouping = 1;
    if (winograd)
        winograd_plan(plan);
    else
        direct_plan(plan);
}

/* The prologue is applied to the input as it is loaded, not folded into the weights: at mean/std = 1e4 a folded shift
 * would cancel four digits. */
static void conv_prepare_fwd(const cnnbn_conv_plan *plan, const float *w, const float *bias, const cnnbn_prologue *in,
                             float *prepared, int part, int n_parts)
{
    (void)in;
    if (plan->algo == CNNBN_CONV_WINOGRAD)
        winograd_prepare_fwd(plan, w, bias, prepared, part, n_parts);
    else
        direct_prepare_fwd(plan, w, bias, prepared, part, n_parts);
}

static void conv_prepare_bwd(const cnnbn_conv_plan *plan, const float *w, float *prepared, int part, int n_parts)
{
    if (plan->algo == CNNBN_CONV_WINOGRAD)
        winograd_prepare_bwd(plan, w, prepared, part, n_parts);
    else
        direct_prepare_bwd(plan, w, prepared, part, n_parts);
}

static void conv_fwd(const cnnbn_conv_plan *plan, const cnnbn_conv_fwd *args)
{
    if (plan->algo == CNNBN_CONV_WINOGRAD)
        winograd_fwd(plan, args);
    else
        direct_fwd(plan, args);
}

static void conv_bwd(const cnnbn_conv_plan *plan, const cnnbn_conv_bwd *args)
{
    if (plan->algo == CNNBN_CONV_WINOGRAD) {
        winograd_bwd(plan, args);
        return;
    }
    if (args->dw || args->db) direct_bwd_weights(plan, args);
    if (args->dx) direct_bwd_data(plan, args);
}

void CNNBN__ISA(cnnbn__kernels_simd_conv)(cnnbn_kernels *table)
{
    table->conv_plan = conv_plan;
    table->conv_prepare_fwd = conv_prepare_fwd;
    table->conv_prepare_bwd = conv_prepare_bwd;
    table->conv_fwd = conv_fwd;
    table->conv_bwd = conv_bwd;
    table->dense_plan = simd_dense_plan;
    table->dense_fwd = simd_dense_fwd;
    table->dense_bwd_data = simd_dense_bwd_data;
    table->dense_bwd_weights = simd_dense_bwd_weights;
    table->dense_prepare = simd_dense_prepare;
    table->dense_bwd_bn = simd_dense_few_bwd_bn; /* only plans of few units fuse */
    table->dense_bn_join = simd_dense_few_bn_join;
}
