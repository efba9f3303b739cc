/* Activations and their derivatives. One inline function holds the formulas; it is called with a constant kind, so that
 * each kind becomes a loop of its own. */
#include "ew_math.h"

static const float selu_scale = 1.05070098735548f, selu_alpha = 1.67326324235438f;
static const float gelu_c = 0.7978845608028654f, gelu_a = 0.044715f; /* sqrt(2/pi); Hendrycks, Gimpel 2016 */

EW_INLINE float hard_sigmoid(float x)
{
    float t = x + 3.0f;
    t = t < 0.0f ? 0.0f : t;
    t = t > 6.0f ? 6.0f : t;
    return t / 6.0f;
}

EW_INLINE float gauss_cdf(float x)
{
    return 0.5f * ew_erfc(x * -0.70710678118654752f);
}

EW_INLINE float act_of(cnnbn_act_kind kind, float p0, float p1, float p2, float x)
{
    switch (kind) {
    case CNNBN_ACT_RELU:
        return x < 0.0f ? 0.0f : x;
    case CNNBN_ACT_RELU_GENERAL: {
        /* slope 0 is flat down to -Inf, where 0 * Inf would be NaN */
        float line = p1 * (x - p2), low = p1 > 0.0f || p1 < 0.0f ? line : 0.0f, y = x < p2 ? low : x;
        return x >= p0 ? p0 : y;
    }
    case CNNBN_ACT_LEAKY_RELU: {
        float low = p0 * x;
        return x < 0.0f ? low : x;
    }
    case CNNBN_ACT_ELU: {
        float low = p0 * ew_expm1_neg(x);
        return x < 0.0f ? low : x;
    }
    case CNNBN_ACT_SELU: {
        float low = selu_alpha * ew_expm1_neg(x);
        return selu_scale * (x < 0.0f ? low : x);
    }
    case CNNBN_ACT_SIGMOID:
        return ew_sigmoid(x);
    case CNNBN_ACT_TANH:
        return ew_tanh(x);
    case CNNBN_ACT_SOFTPLUS:
        return ew_softplus(x);
    case CNNBN_ACT_GELU:
        return x * gauss_cdf(x);
    case CNNBN_ACT_GELU_TANH: /* x/2 (1 + tanh u) = x sigmoid(2u): no cancellation for negative u */
        return x * ew_sigmoid(2.0f * gelu_c * (x + gelu_a * x * x * x));
    case CNNBN_ACT_SILU:
        return x * ew_sigmoid(x);
    case CNNBN_ACT_HARD_SIGMOID:
        return hard_sigmoid(x);
    case CNNBN_ACT_HARD_SILU:
        return x * hard_sigmoid(x);
    case CNNBN_ACT_LINEAR:
    case CNNBN_ACT_COUNT:
        break;
    }
    return x;
}

/* act'(x) */
EW_INLINE float slope_in(cnnbn_act_kind kind, float p0, float p1, float p2, float x)
{
    switch (kind) {
    case CNNBN_ACT_RELU:
        return x > 0.0f ? 1.0f : 0.0f;
    case CNNBN_ACT_RELU_GENERAL: {
        float slope = x > p2 ? 1.0f : p1;
        return x >= p0 ? 0.0f : slope;
    }
    case CNNBN_ACT_LEAKY_RELU:
        return x > 0.0f ? 1.0f : p0;
    case CNNBN_ACT_ELU: {
        float low = p0 * ew_exp(x);
        return x > 0.0f ? 1.0f : low;
    }
    case CNNBN_ACT_SELU: {
        float low = selu_scale * selu_alpha * ew_exp(x);
        return x > 0.0f ? selu_scale : low;
    }
    case CNNBN_ACT_SIGMOID: /* s(x) s(-x): no cancellation */
        return ew_sigmoid(x) * ew_sigmoid(-x);
    case CNNBN_ACT_TANH: /* 1 - tanh^2 = 4 s(2x) s(-2x) */
        return 4.0f * ew_sigmoid(2.0f * x) * ew_sigmoid(-2.0f * x);
    case CNNBN_ACT_SOFTPLUS:
        return ew_sigmoid(x);
    case CNNBN_ACT_GELU: /* Phi + x phi */
        return gauss_cdf(x) + x * 0.3989422804014327f * ew_exp(-0.5f * x * x);
    case CNNBN_ACT_GELU_TANH: { /* s + x s (1 - s) v', s = sigmoid(v) */
        float v = 2.0f * gelu_c * (x + gelu_a * x * x * x), dv = 2.0f * gelu_c * (1.0f + 3.0f * gelu_a * x * x);
        float s = ew_sigmoid(v);
        return s + x * s * ew_sigmoid(-v) * dv;
    }
    case CNNBN_ACT_SILU: { /* s + x s (1 - s) */
        float s = ew_sigmoid(x);
        return s + x * s * ew_sigmoid(-x);
    }
    case CNNBN_ACT_HARD_SIGMOID: {
        float slope = x > -3.0f ? 1.0f / 6.0f : 0.0f;
        return x < 3.0f ? slope : 0.0f;
    }
    case CNNBN_ACT_HARD_SILU: {
        float middle = (2.0f * x + 3.0f) / 6.0f, slope = x <= -3.0f ? 0.0f : middle;
        return x >= 3.0f ? 1.0f : slope;
    }
    case CNNBN_ACT_LINEAR:
    case CNNBN_ACT_COUNT:
        break;
    }
    return 1.0f;
}

/* The same told from the output y. */
EW_INLINE float slope_out(cnnbn_act_kind kind, float p0, float p1, float p2, float y)
{
    switch (kind) {
    case CNNBN_ACT_ELU: { /* alpha e^x = y + alpha */
        float low = y + p0;
        return y > 0.0f ? 1.0f : low;
    }
    case CNNBN_ACT_SELU: {
        float low = y + selu_scale * selu_alpha;
        return y > 0.0f ? selu_scale : low;
    }
    case CNNBN_ACT_SIGMOID:
        return y * (1.0f - y);
    case CNNBN_ACT_TANH:
        return (1.0f - y) * (1.0f + y);
    default: /* the output has the input's sign and order */
        return slope_in(kind, p0, p1, p2, y);
    }
}

EW_INLINE void forward(cnnbn_act_kind kind, size_t n, cnnbn_activation act, const float *x, float *y)
{
    float p0 = act.p0, p1 = act.p1, p2 = act.p2;
    EW_SIMD
    for (size_t i = 0; i < n; i++) y[i] = act_of(kind, p0, p1, p2, x[i]);
}

EW_INLINE void backward_in(cnnbn_act_kind kind, size_t n, cnnbn_activation act, const float *dy, const float *x,
                           float *dx)
{
    float p0 = act.p0, p1 = act.p1, p2 = act.p2;
    EW_SIMD
    for (size_t i = 0; i < n; i++) dx[i] = dy[i] * slope_in(kind, p0, p1, p2, x[i]);
}

EW_INLINE void backward_out(cnnbn_act_kind kind, size_t n, cnnbn_activation act, const float *dy, const float *y,
                            float *dx)
{
    float p0 = act.p0, p1 = act.p1, p2 = act.p2;
    EW_SIMD
    for (size_t i = 0; i < n; i++) dx[i] = dy[i] * slope_out(kind, p0, p1, p2, y[i]);
}

/* One call for each kind, its argument a constant. */
#define EACH_KIND(call)               \
    switch (act.kind) {               \
    case CNNBN_ACT_LINEAR:            \
    case CNNBN_ACT_COUNT:             \
        call(CNNBN_ACT_LINEAR);       \
        break;                        \
    case CNNBN_ACT_RELU:              \
        call(CNNBN_ACT_RELU);         \
        break;                        \
    case CNNBN_ACT_RELU_GENERAL:      \
        call(CNNBN_ACT_RELU_GENERAL); \
        break;                        \
    case CNNBN_ACT_LEAKY_RELU:        \
        call(CNNBN_ACT_LEAKY_RELU);   \
        break;                        \
    case CNNBN_ACT_ELU:               \
        call(CNNBN_ACT_ELU);          \
        break;                        \
    case CNNBN_ACT_SELU:              \
        call(CNNBN_ACT_SELU);         \
        break;                        \
    case CNNBN_ACT_SIGMOID:           \
        call(CNNBN_ACT_SIGMOID);      \
        break;                        \
    case CNNBN_ACT_TANH:              \
        call(CNNBN_ACT_TANH);         \
        break;                        \
    case CNNBN_ACT_SOFTPLUS:          \
        call(CNNBN_ACT_SOFTPLUS);     \
        break;                        \
    case CNNBN_ACT_GELU:              \
        call(CNNBN_ACT_GELU);         \
        break;                        \
    case CNNBN_ACT_GELU_TANH:         \
        call(CNNBN_ACT_GELU_TANH);    \
        break;                        \
    case CNNBN_ACT_SILU:              \
        call(CNNBN_ACT_SILU);         \
        break;                        \
    case CNNBN_ACT_HARD_SIGMOID:      \
        call(CNNBN_ACT_HARD_SIGMOID); \
        break;                        \
    case CNNBN_ACT_HARD_SILU:         \
        call(CNNBN_ACT_HARD_SILU);    \
        break;                        \
    }

void EW(act_fwd)(size_t n, cnnbn_activation act, const float *x, float *y)
{
#define FORWARD(kind) forward(kind, n, act, x, y)
    if (act.kind == CNNBN_ACT_LINEAR && x == y) return;
    EACH_KIND(FORWARD)
#undef FORWARD
}

void EW(act_bwd_in)(size_t n, cnnbn_activation act, const float *dy, const float *x, float *dx)
{
#define BACKWARD_IN(kind) backward_in(kind, n, act, dy, x, dx)
    EACH_KIND(BACKWARD_IN)
#undef BACKWARD_IN
}

void EW(act_bwd)(size_t n, cnnbn_activation act, const float *dy, const float *x, const float *y, float *dx)
{
    if (act.kind == CNNBN_ACT_LINEAR) { /* x and y may both be missing */
        if (dx != dy) memmove(dx, dy, n * sizeof *dx);
        return;
    }
    if (!cnnbn_act_from_output(act)) {
        EW(act_bwd_in)(n, act, dy, x, dx);
        return;
    }
#define BACKWARD_OUT(kind) backward_out(kind, n, act, dy, y, dx)
    EACH_KIND(BACKWARD_OUT)
#undef BACKWARD_OUT
}
