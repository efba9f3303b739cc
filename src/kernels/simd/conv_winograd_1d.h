/* The one-dimensional transforms of Winograd's convolution, by kind. Points of evaluation: 0, 1, -1, for F(4, 3) and F(6, 3) then
 * 2, -2, infinity, for F(6, 3) also 1/2, -1/2, for F(4, 2) 2 and infinity. The factors are in G. F(4, 3) beside F(6, 3) has the factors
 * of that: what it has is the beginning of what F(6, 3) has, so that tiles of both share their weights and the sums of their gradients. */
#ifndef CNNBN_CONV_WINOGRAD_1D_H
#define CNNBN_CONV_WINOGRAD_1D_H

#include "vec.h"

/* Along an axis: F(4, 3); the same with strides of 2; F(6, 3); F(4, 3) beside it. */
typedef enum cnnbn__wino_kind { WINO_4, WINO_4_STRIDE_2, WINO_6, WINO_4_OF_6 } cnnbn__wino_kind;

/* Of a tile, its rows and columns of outputs; with strides of 2 these are 4x4. The last three
 * have fours with the factors of sixes. */
typedef enum cnnbn__wino_shape {
    WINO_4X4,
    WINO_STRIDED,
    WINO_6X6,
    WINO_4X6,
    WINO_6X4,
    WINO_4X4_OF_6,
    WINO_SHAPES
} cnnbn__wino_shape;

/* The most of any kind. */
enum { WINO_OUTPUTS_MAX = 6, WINO_POSITIONS_MAX = 8, WINO_PLACES_MAX = 9 };

/* function(shape, ...), in which the shape is a constant. */
#define WINO_BY_SHAPE(shape, function, ...)                          \
    ((shape) == WINO_4X4       ? function(WINO_4X4, __VA_ARGS__)     \
     : (shape) == WINO_STRIDED ? function(WINO_STRIDED, __VA_ARGS__) \
     : (shape) == WINO_6X6     ? function(WINO_6X6, __VA_ARGS__)     \
     : (shape) == WINO_4X6     ? function(WINO_4X6, __VA_ARGS__)     \
     : (shape) == WINO_6X4     ? function(WINO_6X4, __VA_ARGS__)     \
                               : function(WINO_4X4_OF_6, __VA_ARGS__))

/* F(0) F(1) ...: one of each shape. */
#define WINO_EACH_SHAPE(F) F(0) F(1) F(2) F(3) F(4) F(5)
_Static_assert(WINO_SHAPES == 6, "all that have numbers above");

/* Kinds of a shape's axes: down its columns, across its rows. */
VEC_INLINE int wino_down(const int shape)
{
    return shape == WINO_4X4                        ? WINO_4
           : shape == WINO_STRIDED                  ? WINO_4_STRIDE_2
           : shape == WINO_6X6 || shape == WINO_6X4 ? WINO_6
                                                    : WINO_4_OF_6;
}

VEC_INLINE int wino_across(const int shape)
{
    return shape == WINO_4X4                        ? WINO_4
           : shape == WINO_STRIDED                  ? WINO_4_STRIDE_2
           : shape == WINO_6X6 || shape == WINO_4X6 ? WINO_6
                                                    : WINO_4_OF_6;
}

/* Outputs of a tile along an axis. */
VEC_INLINE int wino_outputs(const int kind)
{
    return kind == WINO_6 ? 6 : 4;
}

/* Positions of U along an axis. */
VEC_INLINE int wino_positions(const int kind)
{
    return kind == WINO_6 ? 8 : 6;
}

/* Inputs of a tile along an axis; as many places has V, as many M. */
VEC_INLINE int wino_span(const int kind)
{
    return kind == WINO_6 ? 8 : kind == WINO_4_STRIDE_2 ? 9 : 6;
}

VEC_INLINE int wino_stride(const int kind)
{
    return kind == WINO_4_STRIDE_2 ? 2 : 1;
}

/* Inputs from one tile to the next. */
VEC_INLINE int wino_step(const int kind)
{
    return wino_outputs(kind) * wino_stride(kind);
}

/* Places of a row of V and M, of which the compiler then knows that they are a shape's own, but for fours across that may be beside sixes. */
VEC_INLINE int wino_pitch(const int shape, int places_across)
{
    return shape == WINO_6X4 || shape == WINO_4X4_OF_6 ? places_across : wino_span(wino_across(shape));
}

/* G g: 3 -> positions */
VEC_INLINE void wino_g(const int kind, const vec g[3], vec o[])
{
    vec even = g[0] + g[2], sixth = vec_set1(1 / 6.0f), four = vec_set1(4);
    if (kind == WINO_4) {
        vec far = vec_fma(four, g[2], g[0]), twice = g[1] + g[1], small = vec_set1(1 / 24.0f);
        o[0] = vec_set1(0.25f) * g[0];
        o[1] = -(sixth * (even + g[1]));
        o[2] = sixth * (g[1] - even);
        o[3] = small * (far + twice);
        o[4] = small * (far - twice);
        o[5] = g[2];
    } else if (kind == WINO_4_STRIDE_2) {
        o[0] = vec_set1(0.5f) * g[0];
        o[1] = vec_set1(-0.5f) * even;
        o[2] = sixth * (g[2] - g[0]);
        o[3] = sixth * (even + g[2]);
        o[4] = g[2];
        o[5] = g[1];
    } else {
        vec near = vec_set1(-2 / 9.0f), far = vec_set1(1 / 90.0f);
        vec two = vec_fma(four, g[2], g[0]), twice = g[1] + g[1];
        o[0] = g[0];
        o[1] = near * (even + g[1]);
        o[2] = near * (even - g[1]);
        o[3] = far * (two + twice);
        o[4] = far * (two - twice);
        o[5] = g[2];
        if (kind == WINO_4_OF_6) return;
        vec half = vec_set1(32 / 45.0f), part = vec_fma(vec_set1(0.25f), g[2], g[0]), middle = vec_set1(0.5f) * g[1];
        o[6] = half * (part + middle);
        o[7] = half * (part - middle);
    }
}

/* G^T u: positions -> 3 */
VEC_INLINE void wino_gt(const int kind, const vec u[], vec o[3])
{
    vec sixth = vec_set1(1 / 6.0f);
    if (kind == WINO_4) {
        vec a = u[1] + u[2], b = u[2] - u[1], c = u[3] + u[4], d = u[3] - u[4];
        o[0] = vec_fma(vec_set1(0.25f), u[0], vec_fnma(sixth, a, vec_set1(1 / 24.0f) * c));
        o[1] = vec_fma(sixth, b, vec_set1(1 / 12.0f) * d);
        o[2] = u[5] + vec_fnma(sixth, a, sixth * c);
    } else if (kind == WINO_4_STRIDE_2) {
        vec half = vec_set1(0.5f);
        o[0] = vec_fma(half, u[0] - u[1], sixth * (u[3] - u[2]));
        o[1] = u[5];
        o[2] = vec_fma(sixth, u[2] + u[3] + u[3], vec_fnma(half, u[1], u[4]));
    } else {
        vec near = vec_set1(2 / 9.0f), a = u[1] + u[2], b = u[1] - u[2], c = u[3] + u[4], d = u[3] - u[4];
        o[0] = vec_fma(vec_set1(1 / 90.0f), c, vec_fnma(near, a, u[0]));
        o[1] = vec_fnma(near, b, vec_set1(1 / 45.0f) * d);
        o[2] = vec_fma(vec_set1(2 / 45.0f), c, vec_fnma(near, a, u[5]));
        if (kind == WINO_4_OF_6) return;
        vec e = u[6] + u[7], f = u[6] - u[7];
        o[0] = vec_fma(vec_set1(32 / 45.0f), e, o[0]);
        o[1] = vec_fma(vec_set1(16 / 45.0f), f, o[1]);
        o[2] = vec_fma(vec_set1(8 / 45.0f), e, o[2]);
    }
}

/* B^T d: inputs -> places */
VEC_INLINE void wino_bt(const int kind, const vec d[], vec o[])
{
    if (kind == WINO_4) {
        vec k4 = vec_set1(4), k5 = vec_set1(5);
        vec t0 = vec_fnma(k4, d[2], d[4]), t1 = vec_fnma(k4, d[1], d[3]), t2 = d[4] - d[2], t3 = d[3] - d[1];
        t3 = t3 + t3;
        o[0] = vec_fma(k4, d[0], vec_fnma(k5, d[2], d[4]));
        o[1] = t0 + t1;
        o[2] = t0 - t1;
        o[3] = t2 + t3;
        o[4] = t2 - t3;
        o[5] = vec_fma(k4, d[1], vec_fnma(k5, d[3], d[5]));
    } else if (kind == WINO_4_OF_6) {
        vec k3 = vec_set1(3), part = vec_set1(0.75f), k4 = vec_set1(4), k5 = vec_set1(5);
        vec t0 = vec_fnma(k3, d[2], part * d[4]), t1 = vec_fnma(k3, d[1], part * d[3]);
        vec t2 = vec_set1(3.75f) * (d[4] - d[2]), t3 = vec_set1(7.5f) * (d[3] - d[1]);
        o[0] = vec_fnma(vec_set1(1.25f), d[2], vec_fma(vec_set1(0.25f), d[4], d[0]));
        o[1] = t0 + t1;
        o[2] = t0 - t1;
        o[3] = t2 + t3;
        o[4] = t2 - t3;
        o[5] = vec_fma(k4, d[1], vec_fnma(k5, d[3], d[5]));
    } else if (kind == WINO_6) {
        vec k5 = vec_set1(5), k21 = vec_set1(5.25f), k17 = vec_set1(4.25f), k10 = vec_set1(2.5f);
        vec quarter = vec_set1(0.25f), half = vec_set1(0.5f), k2 = vec_set1(2);
        vec a = vec_fnma(k17, d[4], d[2] + d[6]), b = vec_fnma(k17, d[3], d[1] + d[5]);
        vec c = vec_fma(quarter, d[2], vec_fnma(vec_set1(1.25f), d[4], d[6]));
        vec e = vec_fma(half, d[1], vec_fnma(k10, d[3], k2 * d[5]));
        vec f = vec_fma(vec_set1(4), d[2], vec_fnma(k5, d[4], d[6]));
        vec h = vec_fma(k2, d[1], vec_fnma(k10, d[3], half * d[5]));
        o[0] = vec_fma(k21, d[4] - d[2], d[0] - d[6]);
        o[1] = a + b;
        o[2] = a - b;
        o[3] = c + e;
        o[4] = c - e;
        o[5] = vec_fma(k21, d[3] - d[5], d[7] - d[1]);
        o[6] = f + h;
        o[7] = f - h;
    } else {
        vec k2 = vec_set1(2), far = d[6] - d[2], near = d[6] - d[4];
        o[0] = vec_fma(k2, d[0] - d[4], far);
        o[1] = vec_fnma(k2, d[2], near);
        o[2] = vec_fma(k2, d[2] - d[4], near);
        o[3] = far;
        o[4] = vec_fnma(k2, far, d[8] - d[4]);
        VEC_UNROLL
        for (int i = 0; i < 4; i++) o[5 + i] = d[2 * i + 1];
    }
}

/* B m, the adjoint of B^T */
VEC_INLINE void wino_b(const int kind, const vec m[], vec o[])
{
    if (kind == WINO_4) {
        vec a = m[1] + m[2], b = m[2] - m[1], c = m[3] + m[4], d = m[4] - m[3], d2 = d + d;
        vec k4 = vec_set1(4), k5 = vec_set1(5);
        o[0] = k4 * m[0];
        o[1] = vec_fma(k4, b + m[5], d2);
        o[2] = -vec_fma(k5, m[0], vec_fma(k4, a, c));
        o[3] = -vec_fma(k5, m[5], b + d2);
        o[4] = m[0] + (a + c);
        o[5] = m[5];
    } else if (kind == WINO_4_OF_6) {
        vec a = m[1] + m[2], b = m[2] - m[1], c = m[3] + m[4], d = m[4] - m[3];
        vec k3 = vec_set1(3), part = vec_set1(0.75f), k4 = vec_set1(4), k5 = vec_set1(5), far = vec_set1(7.5f);
        o[0] = m[0];
        o[1] = vec_fma(k3, b, vec_fma(far, d, k4 * m[5]));
        o[2] = -vec_fma(vec_set1(1.25f), m[0], vec_fma(k3, a, vec_set1(3.75f) * c));
        o[3] = -vec_fma(k5, m[5], vec_fma(part, b, far * d));
        o[4] = vec_fma(vec_set1(0.25f), m[0], vec_fma(part, a, vec_set1(3.75f) * c));
        o[5] = m[5];
    } else if (kind == WINO_6) {
        vec k21 = vec_set1(5.25f), k17 = vec_set1(4.25f), half = vec_set1(0.5f), k2 = vec_set1(2);
        vec a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4], e = m[6] + m[7], f = m[6] - m[7];
        o[0] = m[0];
        o[1] = vec_fma(half, d, vec_fma(k2, f, b - m[5]));
        o[2] = vec_fma(vec_set1(0.25f), c, vec_fma(vec_set1(4), e, vec_fnma(k21, m[0], a)));
        o[3] = vec_fma(k21, m[5], -vec_fma(k17, b, vec_set1(2.5f) * (d + f)));
        o[4] = vec_fma(k21, m[0], -vec_fma(k17, a, vec_fma(vec_set1(1.25f), c, vec_set1(5) * e)));
        o[5] = vec_fma(k2, d, vec_fma(half, f, vec_fnma(k21, m[5], b)));
        o[6] = a + c + (e - m[0]);
        o[7] = m[5];
    } else {
        vec k2 = vec_set1(2), twice = m[4] + m[4];
        o[0] = m[0] + m[0];
        o[2] = vec_fma(k2, m[2] - m[1], twice - (m[0] + m[3]));
        o[4] = -vec_fma(k2, m[0], vec_fma(vec_set1(3), m[2], m[1] + m[4]));
        o[6] = m[0] + m[1] + m[2] + m[3] - twice;
        o[8] = m[4];
        VEC_UNROLL
        for (int i = 0; i < 4; i++) o[2 * i + 1] = m[5 + i];
    }
}

/* A^T m: places -> outputs */
VEC_INLINE void wino_at_m(const int kind, const vec m[], vec o[])
{
    vec a = m[1] + m[2], b = m[1] - m[2];
    if (kind == WINO_4 || kind == WINO_4_OF_6) {
        vec c = m[3] + m[4], d = m[3] - m[4];
        o[0] = m[0] + (a + c);
        o[1] = vec_fma(vec_set1(2), d, b);
        o[2] = vec_fma(vec_set1(4), c, a);
        o[3] = vec_fma(vec_set1(8), d, b + m[5]);
    } else if (kind == WINO_6) {
        vec c = m[3] + m[4], d = m[3] - m[4], e = m[6] + m[7], f = m[6] - m[7];
        o[0] = m[0] + a + (c + e);
        o[1] = vec_fma(vec_set1(2), d, vec_fma(vec_set1(0.5f), f, b));
        o[2] = vec_fma(vec_set1(4), c, vec_fma(vec_set1(0.25f), e, a));
        o[3] = vec_fma(vec_set1(8), d, vec_fma(vec_set1(0.125f), f, b));
        o[4] = vec_fma(vec_set1(16), c, vec_fma(vec_set1(1 / 16.0f), e, a));
        o[5] = vec_fma(vec_set1(32), d, vec_fma(vec_set1(1 / 32.0f), f, b + m[5]));
    } else {
        o[0] = m[0] + (a + m[3]) + m[5];
        o[1] = vec_fma(vec_set1(2), m[3], b) + m[6];
        o[2] = vec_fma(vec_set1(4), m[3], a) + m[7];
        o[3] = vec_fma(vec_set1(8), m[3], b + m[4]) + m[8];
    }
}

/* A y, its adjoint */
VEC_INLINE void wino_a(const int kind, const vec y[], vec o[])
{
    o[0] = y[0];
    if (kind == WINO_6) {
        vec a = y[0] + y[2] + y[4], b = y[1] + y[3] + y[5];
        vec c = vec_fma(vec_set1(16), y[4], vec_fma(vec_set1(4), y[2], y[0]));
        vec d = vec_fma(vec_set1(32), y[5], vec_fma(vec_set1(8), y[3], y[1] + y[1]));
        vec e = vec_fma(vec_set1(1 / 16.0f), y[4], vec_fma(vec_set1(0.25f), y[2], y[0]));
        vec f = vec_fma(vec_set1(1 / 32.0f), y[5], vec_fma(vec_set1(0.125f), y[3], vec_set1(0.5f) * y[1]));
        o[1] = a + b;
        o[2] = a - b;
        o[3] = c + d;
        o[4] = c - d;
        o[5] = y[5];
        o[6] = e + f;
        o[7] = e - f;
        return;
    }
    vec a = y[0] + y[2], b = y[1] + y[3];
    vec c = vec_fma(vec_set1(4), y[2], y[0]), d = vec_fma(vec_set1(8), y[3], y[1] + y[1]);
    o[1] = a + b;
    o[2] = a - b;
    o[3] = c + d;
    if (kind != WINO_4_STRIDE_2) {
        o[4] = c - d;
        o[5] = y[3];
        return;
    }
    o[4] = y[3];
    VEC_UNROLL
    for (int i = 0; i < 4; i++) o[5 + i] = y[i];
}

#endif
