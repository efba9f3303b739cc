/* Products with few rows, for dense layers: a packed panel of two vectors' width against six rows at a time. Every element
 * is summed over the depth in one order, alone in its lane: its bits depend on no other row. Fused products are
 * meant: compiled with -ffp-contract=fast.
 */
#include "ew_vector.h"

#include <string.h>

enum { WIDTH = 2 * LANES, ROWS = 6 };

int EW(panel_width)(void)
{
    return WIDTH;
}

void EW(pack_panel)(int depth, int width, const float *b, size_t ldb, float *restrict panel)
{
    for (int d = 0; d < depth; d++, b += ldb, panel += WIDTH) {
        if (width == WIDTH) {
            memcpy(panel, b, WIDTH * sizeof *panel);
        } else {
            for (int j = 0; j < WIDTH; j++) panel[j] = j < width ? b[j] : 0.0f;
        }
    }
}

void EW(pack_panel_transposed)(int depth, int width, const float *b, size_t ldb, float *restrict panel)
{
    for (int d0 = 0; d0 < depth; d0 += LANES) { /* a square at a time: whole lines are read and written */
        int d1 = d0 + LANES < depth ? d0 + LANES : depth;
        for (int j = 0; j < WIDTH; j++)
            for (int d = d0; d < d1; d++) panel[d * WIDTH + j] = j < width ? b[(size_t)j * ldb + (size_t)d] : 0.0f;
    }
}

/* c[6][WIDTH] += sum_d a[row][d] panel[d] */
EW_INLINE void six_rows(int depth, const float *a, size_t row, size_t step, const float *panel, float *c, size_t ldc)
{
    const float *p0 = a, *p1 = a + row, *p2 = p1 + row, *p3 = p2 + row, *p4 = p3 + row, *p5 = p4 + row;
    float *c1 = c + ldc, *c2 = c1 + ldc, *c3 = c2 + ldc, *c4 = c3 + ldc, *c5 = c4 + ldc;
    vec a0 = load(c), a1 = load(c1), a2 = load(c2), a3 = load(c3), a4 = load(c4), a5 = load(c5);
    vec b0 = load(c + LANES), b1 = load(c1 + LANES), b2 = load(c2 + LANES), b3 = load(c3 + LANES),
        b4 = load(c4 + LANES), b5 = load(c5 + LANES);
    size_t at = 0;
    for (int d = 0; d < depth; d++, at += step, panel += WIDTH) {
        vec u = load(panel), v = load(panel + LANES);
        a0 += u * p0[at];
        b0 += v * p0[at];
        a1 += u * p1[at];
        b1 += v * p1[at];
        a2 += u * p2[at];
        b2 += v * p2[at];
        a3 += u * p3[at];
        b3 += v * p3[at];
        a4 += u * p4[at];
        b4 += v * p4[at];
        a5 += u * p5[at];
        b5 += v * p5[at];
    }
    store(c, a0);
    store(c + LANES, b0);
    store(c1, a1);
    store(c1 + LANES, b1);
    store(c2, a2);
    store(c2 + LANES, b2);
    store(c3, a3);
    store(c3 + LANES, b3);
    store(c4, a4);
    store(c4 + LANES, b4);
    store(c5, a5);
    store(c5 + LANES, b5);
}

/* The last rows, one by one; the same sums. */
static void some_rows(int n, int width, int depth, const float *a, size_t row, size_t step, const float *panel,
                      float *c, size_t ldc)
{
    for (int r = 0; r < n; r++, a += row, c += ldc) {
        float out[WIDTH] = {0};
        for (int j = 0; j < width; j++) out[j] = c[j];
        vec u = load(out), v = load(out + LANES);
        for (int d = 0; d < depth; d++) {
            float x = a[(size_t)d * step];
            u += load(panel + d * WIDTH) * x;
            v += load(panel + d * WIDTH + LANES) * x;
        }
        store(out, u);
        store(out + LANES, v);
        for (int j = 0; j < width; j++) c[j] = out[j];
    }
}

void EW(panel_product)(int rows, int width, int depth, const float *a, size_t row, size_t step, const float *panel,
                       float *c, size_t ldc)
{
    int r = 0;
    for (; r + ROWS <= rows; r += ROWS, a += ROWS * row, c += ROWS * ldc) {
        if (width == WIDTH) {
            six_rows(depth, a, row, step, panel, c, ldc);
            continue;
        }
        float out[ROWS][WIDTH] = {{0}};
        for (int i = 0; i < ROWS; i++) memcpy(out[i], c + (size_t)i * ldc, (size_t)width * sizeof(float));
        six_rows(depth, a, row, step, panel, out[0], WIDTH);
        for (int i = 0; i < ROWS; i++) memcpy(c + (size_t)i * ldc, out[i], (size_t)width * sizeof(float));
    }
    some_rows(rows - r, width, depth, a, row, step, panel, c, ldc);
}
