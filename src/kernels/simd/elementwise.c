/* The element-wise kernels of one instruction set, handed out. */
#include "ew.h"
#include "tables.h"

const cnnbn__ew_ops EW_PASTE(cnnbn__ew_ops, CNNBN_ISA_SUFFIX) = {
    .bn_apply = EW(bn_apply),
    .add = EW(add),
    .add_f64 = EW(add_f64),
    .bias_act = EW(bias_act),
    .stat_rows = EW(stat_rows),
    .stat_close = EW(stat_close),
    .column_sums = EW(column_sums),
    .im2col = EW(im2col),
    .col2im = EW(col2im),
    .depthwise_fwd = EW(depthwise_fwd),
    .depthwise_bwd_data = EW(depthwise_bwd_data),
    .depthwise_bwd_weights = EW(depthwise_bwd_weights),
    .direct_fwd = EW(direct_fwd),
    .direct_bwd_weights = EW(direct_bwd_weights),
    .panel_width = EW(panel_width),
    .pack_panel = EW(pack_panel),
    .pack_panel_transposed = EW(pack_panel_transposed),
    .panel_product = EW(panel_product),
};

void EW_PASTE(cnnbn__kernels_simd_elementwise, CNNBN_ISA_SUFFIX)(cnnbn_kernels *table)
{
    table->bn_stats = EW(bn_stats);
    table->bn_apply = EW(bn_apply);
    table->bn_bwd_sums = EW(bn_bwd_sums);
    table->bn_bwd_apply = EW(bn_bwd_apply);
    table->act_fwd = EW(act_fwd);
    table->act_bwd = EW(act_bwd);
    table->maxpool_fwd = EW(maxpool_fwd);
    table->maxpool_bwd = EW(maxpool_bwd);
    table->avgpool_fwd = EW(avgpool_fwd);
    table->avgpool_bwd = EW(avgpool_bwd);
    table->gap_fwd = EW(gap_fwd);
    table->gap_bwd = EW(gap_bwd);
    table->softmax = EW(softmax);
    table->softmax_bwd = EW(softmax_bwd);
    table->softmax_xent = EW(softmax_xent);
    table->sigmoid_xent = EW(sigmoid_xent);
    table->binary_xent = EW(binary_xent);
    table->squared_error = EW(squared_error);
    table->absolute_error = EW(absolute_error);
    table->huber = EW(huber);
    table->dropout = EW(dropout);
    table->input_u8 = EW(input_u8);
    table->input_f32 = EW(input_f32);
    table->image_flip = EW(image_flip);
    table->image_shift = EW(image_shift);
    table->image_warp = EW(image_warp);
    table->image_contrast = EW(image_contrast);
    table->image_contrast_bwd = EW(image_contrast_bwd);
    table->mix = EW(mix);
    table->sum = EW(sum);
    table->mul = EW(mul);
    table->maximum = EW(maximum);
    table->maximum_bwd = EW(maximum_bwd);
    table->channel_mul = EW(channel_mul);
    table->channel_dot = EW(channel_dot);
    table->column_sums = EW(column_stack);
    table->prelu_fwd = EW(prelu_fwd);
    table->prelu_bwd = EW(prelu_bwd);
    table->prelu_bwd_weights = EW(prelu_bwd_weights);
    table->norm_stats = EW(norm_stats);
    table->norm_apply = EW(norm_apply);
    table->norm_bwd_data = EW(norm_bwd_data);
    table->norm_bwd_weights = EW(norm_bwd_weights);
    table->unit_fwd = EW(unit_fwd);
    table->unit_bwd = EW(unit_bwd);
    table->add = EW(add);
    table->add_f64 = EW(add_f64);
    table->scale = EW(scale);
    table->sum_squares = EW(sum_squares);
    table->sum_abs = EW(sum_abs);
    table->penalty_bwd = EW(penalty_bwd);
    table->bilinear_fwd = EW(bilinear_fwd);
    table->bilinear_bwd = EW(bilinear_bwd);
    table->clip = EW(clip);
    table->adam = EW(adam);
    table->sgd = EW(sgd);
    table->rmsprop = EW(rmsprop);
    table->lamb = EW(lamb);
    table->abs_max = EW(abs_max);
    table->lerp = EW(lerp);
}
