/* The backward pass of a batch norm behind a convolution, done as the convolution loads the gradient (cnnbn_bn_behind), with the
 * bits of EW(bn_bwd_apply). */
#ifndef CNNBN_CONV_BEHIND_H
#define CNNBN_CONV_BEHIND_H

#include "conv_algo.h"

/* What stands between `dy` and the convolution: nothing, or a batch norm and, in front of it, the convolution's own activation. */
typedef struct behind_kind {
    int norm, act_relu, pre_relu;
} behind_kind;

/* Of one vector of channels. */
typedef struct behind_norm {
    vec mean, scale, beta, a, b, c0;
} behind_norm;

VEC_INLINE behind_norm behind_load(const behind_kind by, const cnnbn_bn_behind *behind, ptrdiff_t k, ptrdiff_t lanes)
{
    behind_norm n = {vec_zero(), vec_zero(), vec_zero(), vec_zero(), vec_zero(), vec_zero()};
    if (by.norm) {
        n.mean = vec_load_part(behind->in.mean + k, lanes);
        n.a = vec_load_part(behind->a + k, lanes);
        n.b = vec_load_part(behind->b + k, lanes);
        n.c0 = vec_load_part(behind->c0 + k, lanes);
    }
    if (by.norm && by.act_relu) {
        n.scale = vec_load_part(behind->in.scale + k, lanes);
        n.beta = vec_load_part(behind->in.beta + k, lanes);
    }
    return n;
}

/* The convolution's dy from dz and the batch norm's input x. */
VEC_INLINE vec behind_gradient(const behind_kind by, const behind_norm *n, vec dz, vec x)
{
    if (!by.norm) return dz;
    vec d = x - n->mean;
    if (by.act_relu) dz = dz * vec_is_positive(vec_fma(d, n->scale, n->beta));
    vec dy = vec_fma(n->a, dz, vec_fma(n->b, d, n->c0));
    return by.pre_relu ? dy * vec_is_positive(x) : dy;
}

/* Functions of a kind: TILE(name, norm, act_relu, pre_relu). */
#define BEHIND_EACH(TILE) \
    TILE(plain, 0, 0, 0)  \
    TILE(norm, 1, 0, 0) TILE(norm_relu, 1, 1, 0) TILE(relu_norm, 1, 0, 1) TILE(relu_norm_relu, 1, 1, 1)

/* Which of them, in that order. */
static inline int behind_index(const cnnbn_bn_behind *behind)
{
    return behind ? 1 + 2 * act_is_relu(behind->pre) + act_is_relu(behind->in.act) : 0;
}

#endif
