/* Bilinear enlargement by whole factors. */
#include "ew.h"

#include <string.h>

typedef struct tap {
    int near, far;
    float weight; /* of far */
} tap;

/* Output pixel i of an axis of n pixels: at ((2i + 1) - factor) / (2 factor), in whole numbers up to the last division. */
static tap tap_at(int i, int factor, int n)
{
    int above = 2 * i + 1 - factor, twice = 2 * factor; /* may be below zero at the first pixels */
    int below = above < 0 ? -1 : above / twice;
    tap t = {below, below + 1, (float)(above - below * twice) / (float)twice};
    if (t.near < 0) t.near = 0;
    if (t.far > n - 1) t.far = n - 1;
    return t;
}

EW_INLINE void mix(int C, tap v, tap u, const float *above, const float *beneath, float *restrict y)
{
    const float *a = above + (size_t)u.near * (size_t)C, *b = above + (size_t)u.far * (size_t)C;
    const float *d = beneath + (size_t)u.near * (size_t)C, *e = beneath + (size_t)u.far * (size_t)C;
    EW_SIMD
    for (int c = 0; c < C; c++) {
        float first = a[c] + u.weight * (b[c] - a[c]), second = d[c] + u.weight * (e[c] - d[c]);
        y[c] = first + v.weight * (second - first);
    }
}

void EW(bilinear_fwd)(int N, int H, int W, int C, int rows, int columns, const float *x, float *y)
{
    size_t row = (size_t)W * (size_t)C;
    for (int n = 0; n < N; n++, x += (size_t)H * row)
        for (int p = 0; p < H * rows; p++) {
            tap v = tap_at(p, rows, H);
            const float *above = x + (size_t)v.near * row, *beneath = x + (size_t)v.far * row;
            for (int q = 0; q < W * columns; q++, y += C) mix(C, v, tap_at(q, columns, W), above, beneath, y);
        }
}

EW_INLINE void add_part(int C, float weight, const float *restrict dy, float *restrict dx)
{
    EW_SIMD
    for (int c = 0; c < C; c++) dx[c] += weight * dy[c];
}

void EW(bilinear_bwd)(int N, int H, int W, int C, int rows, int columns, const float *dy, float *dx)
{
    size_t row = (size_t)W * (size_t)C, width = (size_t)C;
    memset(dx, 0, (size_t)N * (size_t)H * row * sizeof *dx);
    for (int n = 0; n < N; n++, dx += (size_t)H * row)
        for (int p = 0; p < H * rows; p++) {
            tap v = tap_at(p, rows, H);
            float *above = dx + (size_t)v.near * row, *beneath = dx + (size_t)v.far * row;
            for (int q = 0; q < W * columns; q++, dy += C) {
                tap u = tap_at(q, columns, W);
                add_part(C, (1 - v.weight) * (1 - u.weight), dy, above + (size_t)u.near * width);
                add_part(C, (1 - v.weight) * u.weight, dy, above + (size_t)u.far * width);
                add_part(C, v.weight * (1 - u.weight), dy, beneath + (size_t)u.near * width);
                add_part(C, v.weight * u.weight, dy, beneath + (size_t)u.far * width);
            }
        }
}
