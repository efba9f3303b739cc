/* Element-wise activations: one vocabulary for the model, the compiled net and the kernels. */
#ifndef CNNBN_ACTIVATION_H
#define CNNBN_ACTIVATION_H

#include "cnnbn/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Element-wise functions; p0..p2 are the parameters of cnnbn_activation. */
typedef enum cnnbn_act_kind {
    CNNBN_ACT_LINEAR = 0,
    CNNBN_ACT_RELU,         /* Keras' relu without arguments: max(x, 0) */
    CNNBN_ACT_RELU_GENERAL, /* p0 max_value (INFINITY: none), p1 negative_slope, p2 threshold:
                               x >= max: max; threshold <= x < max: x; else slope * (x - threshold) */
    CNNBN_ACT_LEAKY_RELU,   /* p0 slope */
    CNNBN_ACT_ELU,          /* p0 alpha: x > 0 ? x : alpha (e^x - 1) */
    CNNBN_ACT_SELU,         /* 1.05070098735548 * elu(x, 1.67326324235438) */
    CNNBN_ACT_SIGMOID,
    CNNBN_ACT_TANH,
    CNNBN_ACT_SOFTPLUS,     /* log(1 + e^x), stable */
    CNNBN_ACT_GELU,         /* x * Phi(x), by erf */
    CNNBN_ACT_GELU_TANH,    /* the tanh form */
    CNNBN_ACT_SILU,         /* x * sigmoid(x) */
    CNNBN_ACT_HARD_SIGMOID, /* Keras 3: relu6(x + 3) / 6 */
    CNNBN_ACT_HARD_SILU,    /* x * hard_sigmoid(x) */
    CNNBN_ACT_COUNT
} cnnbn_act_kind;

typedef struct cnnbn_activation {
    cnnbn_act_kind kind;
    float p0, p1, p2; /* zero where the kind has none */
} cnnbn_activation;

/* Whether the derivative can be told from the output y alone (relu, leaky_relu, elu with alpha > 0, selu, sigmoid,
 * tanh, linear; not gelu, silu, softplus, hard_*, relu with a threshold or a slope <= 0 and parameters). Only such
 * activations may be an epilogue (`act` of a convolution or dense layer); the others stand alone. */
CNNBN_API int cnnbn_act_from_output(cnnbn_activation act);

#ifdef __cplusplus
}
#endif
#endif
