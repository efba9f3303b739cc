#include "ref.h"

#include <math.h>

/* Klambauer et al.: Self-normalizing neural networks, 2017. */
static const double selu_scale = 1.05070098735548, selu_alpha = 1.67326324235438;
/* Hendrycks, Gimpel: Gaussian error linear units, 2016: sqrt(2/pi), and the cubic term. */
static const double gelu_factor = 0.79788456080286535588, gelu_cubic = 0.044715;
static const double sqrt_half = 0.70710678118654752440, inv_sqrt_2pi = 0.39894228040143267794;

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double elu(double x, double alpha)
{
    return x > 0 ? x : alpha * expm1(x);
}

static double hard_sigmoid(double x)
{
    double t = x + 3;
    return (t < 0 ? 0 : t > 6 ? 6 : t) / 6;
}

static double relu_general(cnnbn_activation act, double x)
{
    double ceiling = (double)act.p0, slope = (double)act.p1, threshold = (double)act.p2;
    if (x >= ceiling) return ceiling;
    if (x >= threshold) return x;
    /* Slope 0 is flat down to -Inf, where 0 * Inf would be NaN. */
    if (x < threshold && fabs(slope) <= 0) return 0;
    return slope * (x - threshold);
}

/* Comparisons are laid out so that NaN falls into the branch that returns it. */
double cnnbn__ref_act(cnnbn_activation act, double x)
{
    switch (act.kind) {
    case CNNBN_ACT_RELU:
        return x < 0 ? 0 : x;
    case CNNBN_ACT_RELU_GENERAL:
        return relu_general(act, x);
    case CNNBN_ACT_LEAKY_RELU:
        return x >= 0 ? x : (double)act.p0 * x;
    case CNNBN_ACT_ELU:
        return elu(x, (double)act.p0);
    case CNNBN_ACT_SELU:
        return selu_scale * elu(x, selu_alpha);
    case CNNBN_ACT_SIGMOID:
        return sigmoid(x);
    case CNNBN_ACT_TANH:
        return tanh(x);
    case CNNBN_ACT_SOFTPLUS:
        /* log(1 + e^x) = max(x, 0) + log(1 + e^-|x|): no overflow */
        return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
    case CNNBN_ACT_GELU:
        /* Phi(x) = erfc(-x/sqrt(2))/2 keeps its digits where 1 + erf cancels */
        return 0.5 * x * erfc(-x * sqrt_half);
    case CNNBN_ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(gelu_factor * (x + gelu_cubic * x * x * x)));
    case CNNBN_ACT_SILU:
        return x * sigmoid(x);
    case CNNBN_ACT_HARD_SIGMOID:
        return hard_sigmoid(x);
    case CNNBN_ACT_HARD_SILU:
        return x * hard_sigmoid(x);
    default:
        return x;
    }
}

double cnnbn__ref_act_slope(cnnbn_activation act, double x)
{
    switch (act.kind) {
    case CNNBN_ACT_RELU:
        return x > 0 ? 1 : 0;
    case CNNBN_ACT_RELU_GENERAL:
        return x >= (double)act.p0 ? 0 : x > (double)act.p2 ? 1 : (double)act.p1;
    case CNNBN_ACT_LEAKY_RELU:
        return x > 0 ? 1 : (double)act.p0;
    case CNNBN_ACT_ELU:
        return x > 0 ? 1 : (double)act.p0 * exp(x);
    case CNNBN_ACT_SELU:
        return selu_scale * (x > 0 ? 1 : selu_alpha * exp(x));
    case CNNBN_ACT_SIGMOID:
        return sigmoid(x) * sigmoid(-x);
    case CNNBN_ACT_TANH:
        return 1 - tanh(x) * tanh(x);
    case CNNBN_ACT_SOFTPLUS:
        return sigmoid(x);
    case CNNBN_ACT_GELU:
        return 0.5 * erfc(-x * sqrt_half) + x * inv_sqrt_2pi * exp(-0.5 * x * x);
    case CNNBN_ACT_GELU_TANH: {
        double t = tanh(gelu_factor * (x + gelu_cubic * x * x * x));
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * gelu_factor * (1 + 3 * gelu_cubic * x * x);
    }
    case CNNBN_ACT_SILU:
        return sigmoid(x) * (1 + x * sigmoid(-x));
    case CNNBN_ACT_HARD_SIGMOID:
        return x > -3 && x < 3 ? 1.0 / 6 : 0;
    case CNNBN_ACT_HARD_SILU:
        return x <= -3 ? 0 : x >= 3 ? 1 : (2 * x + 3) / 6;
    default:
        return 1;
    }
}

double cnnbn__ref_act_slope_from_output(cnnbn_activation act, double y)
{
    switch (act.kind) {
    case CNNBN_ACT_RELU:
        return y > 0 ? 1 : 0;
    case CNNBN_ACT_RELU_GENERAL:
        return y >= (double)act.p0 ? 0 : y > 0 ? 1 : (double)act.p1;
    case CNNBN_ACT_LEAKY_RELU:
        return y > 0 ? 1 : (double)act.p0;
    case CNNBN_ACT_ELU:
        return y > 0 ? 1 : y + (double)act.p0;
    case CNNBN_ACT_SELU:
        return y > 0 ? selu_scale : y + selu_scale * selu_alpha;
    case CNNBN_ACT_SIGMOID:
        return y * (1 - y);
    case CNNBN_ACT_TANH:
        return 1 - y * y;
    default:
        return 1;
    }
}

void cnnbn__ref_load(size_t n, const cnnbn_prologue *in, const float *x, double *out)
{
    size_t period = in->mean ? (size_t)in->period : 1;
    for (size_t i = 0; i < n; i++) out[i] = cnnbn__ref_act(in->act, cnnbn__ref_affine(in, i % period, x[i]));
}

void cnnbn__ref_act_fwd(size_t n, cnnbn_activation act, const float *x, float *y)
{
    for (size_t i = 0; i < n; i++) y[i] = (float)cnnbn__ref_act(act, (double)x[i]);
}

void cnnbn__ref_act_bwd(size_t n, cnnbn_activation act, const float *dy, const float *x, const float *y, float *dx)
{
    int from_output = cnnbn_act_from_output(act);
    for (size_t i = 0; i < n; i++) {
        double slope =
            from_output ? cnnbn__ref_act_slope_from_output(act, (double)y[i]) : cnnbn__ref_act_slope(act, (double)x[i]);
        dx[i] = (float)((double)dy[i] * slope);
    }
}
