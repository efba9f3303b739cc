/* The transposed convolution: the adjoint of a convolution by the data. Its forward pass is that convolution's backward pass by
 * the data, and the other way round; the gradient of the kernel is the same sum with input and gradient in each other's place. */
#include "plain.h"

static const cnnbn_kernels *kernels(const plain_call *c)
{
    return c->u->net->kernels;
}

static const cnnbn_conv_plan *plan_of(const plain_call *c)
{
    return &c->u->prog->conv_plans[c->o->conv_plan];
}

void cnnbn__conv_transpose_forward(const plain_call *c)
{
    const program *prog = c->u->prog;
    cnnbn_conv_bwd args = {
        .run = c->u->run,
        .x = c->out, /* of its size; only a gradient of the kernel looks at it */
        .in = {NULL, NULL, NULL, 1, {CNNBN_ACT_LINEAR, 0, 0, 0}},
        .dy = c->x[0],
        .w = c->w0,
        .prepared = c->u->net->prepared + prog->bwd_prepared[c->o->conv_plan],
        .dx = c->out,
        .workspace = c->workspace,
    };
    kernels(c)->conv_bwd(plan_of(c), &args);
    if (!c->w1) return;
    int K = c->y_shape.dim[2];
    /* The bias as an affine whose scale is one; op->plain.scale holds ones and zeros. */
    cnnbn_prologue bias = {c->o->plain.zero, c->o->plain.scale, c->w1, K, {CNNBN_ACT_LINEAR, 0, 0, 0}};
    kernels(c)->bn_apply((size_t)c->n * c->y_count / (size_t)K, K, c->out, &bias, NULL, c->out);
}

static void backward_data(const plain_call *c)
{
    cnnbn_conv_fwd args = {
        .run = c->u->run,
        .x = c->dy,
        .in = {NULL, NULL, NULL, 1, {CNNBN_ACT_LINEAR, 0, 0, 0}},
        .w = c->w0,
        .prepared = c->u->net->prepared + c->u->prog->fwd_prepared[c->o->conv_plan],
        .y = c->out,
        .workspace = c->workspace,
    };
    kernels(c)->conv_fwd(plan_of(c), &args);
}

static void backward_weights(const plain_call *c)
{
    cnnbn_conv_bwd args = {
        .run = c->u->run,
        .x = c->dy,
        .in = {NULL, NULL, NULL, 1, {CNNBN_ACT_LINEAR, 0, 0, 0}},
        .dy = c->x[0],
        .w = c->w0,
        .prepared = c->u->net->prepared + c->u->prog->bwd_prepared[c->o->conv_plan],
        .dw = c->dw0,
        .dw_stride = c->stride,
        .workspace = c->workspace,
    };
    kernels(c)->conv_bwd(plan_of(c), &args);
}

void cnnbn__conv_transpose_backward(const plain_call *c)
{
    if (c->out) backward_data(c);
    if (c->dw0) backward_weights(c);
    if (c->dw1) kernels(c)->column_sums(c->u->run, c->y_count, (size_t)c->y_shape.dim[2], c->dy, c->dw1, c->stride);
}
