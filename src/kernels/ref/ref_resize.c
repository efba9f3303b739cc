#include "ref.h"

#include <math.h>
#include <string.h>

typedef struct tap {
    int near, far;
    double weight; /* of far */
} tap;

/* Output pixel i of an axis of n pixels enlarged by `factor`. */
static tap tap_at(int i, int factor, int n)
{
    double at = (i + 0.5) / factor - 0.5, below = floor(at);
    tap t = {(int)below, (int)below + 1, at - below};
    if (t.near < 0) t.near = 0;
    if (t.far > n - 1) t.far = n - 1;
    return t;
}

static size_t pixel(int W, int C, int h, int w)
{
    return ((size_t)h * (size_t)W + (size_t)w) * (size_t)C;
}

void cnnbn__ref_bilinear_fwd(int N, int H, int W, int C, int rows, int columns, const float *x, float *y)
{
    for (int n = 0; n < N; n++, x += pixel(W, C, H, 0))
        for (int p = 0; p < H * rows; p++)
            for (int q = 0; q < W * columns; q++, y += C) {
                tap v = tap_at(p, rows, H), u = tap_at(q, columns, W);
                for (int c = 0; c < C; c++) {
                    double a = (double)x[pixel(W, C, v.near, u.near) + (size_t)c];
                    double b = (double)x[pixel(W, C, v.near, u.far) + (size_t)c];
                    double d = (double)x[pixel(W, C, v.far, u.near) + (size_t)c];
                    double e = (double)x[pixel(W, C, v.far, u.far) + (size_t)c];
                    double above = a + u.weight * (b - a), beneath = d + u.weight * (e - d);
                    y[c] = (float)(above + v.weight * (beneath - above));
                }
            }
}

/* Sum over all output pixels of what each takes of pixel (h, w): every weight is looked at, none is assumed to be zero. */
static double gathered(int H, int W, int C, int rows, int columns, const float *dy, int h, int w)
{
    double sum = 0;
    for (int p = 0; p < H * rows; p++) {
        tap v = tap_at(p, rows, H);
        double row = (v.near == h ? 1 - v.weight : 0) + (v.far == h ? v.weight : 0);
        if (fabs(row) <= 0) continue;
        for (int q = 0; q < W * columns; q++) {
            tap u = tap_at(q, columns, W);
            double column = (u.near == w ? 1 - u.weight : 0) + (u.far == w ? u.weight : 0);
            if (fabs(column) > 0) sum += row * column * (double)dy[pixel(W * columns, C, p, q)];
        }
    }
    return sum;
}

void cnnbn__ref_bilinear_bwd(int N, int H, int W, int C, int rows, int columns, const float *dy, float *dx)
{
    for (int n = 0; n < N; n++, dy += pixel(W * columns, C, H * rows, 0))
        for (int h = 0; h < H; h++)
            for (int w = 0; w < W; w++, dx += C)
                for (int c = 0; c < C; c++) dx[c] = (float)gathered(H, W, C, rows, columns, dy + c, h, w);
}
