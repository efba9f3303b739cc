/* Keras' Orthogonal (Saxe et al. 2014): of a matrix of normal draws, the orthogonal factor whose triangular one has a positive
 * diagonal. That factor is unique, and is what Gram and Schmidt's way gives, here in place. Taking the projections away twice is
 * enough for full precision (Giraud et al. 2005). */
#include <math.h>

#include "cnnbn/rng.h"
#include "ir.h"

enum { BLOCK = 256 }; /* projections at a time: their sums stay in cache */

/* Of column j on the columns [first, last); the matrix is taken row by row, as it lies in memory. */
static void remove_from_column(float *w, size_t rows, size_t cols, size_t j, size_t first, size_t last)
{
    double along[BLOCK] = {0};
    for (size_t r = 0; r < rows; r++) {
        const float *row = w + r * cols;
        for (size_t k = first; k < last; k++) along[k - first] += (double)row[k] * (double)row[j];
    }
    for (size_t r = 0; r < rows; r++) {
        float *row = w + r * cols;
        double left = (double)row[j];
        for (size_t k = first; k < last; k++) left -= along[k - first] * (double)row[k];
        row[j] = (float)left;
    }
}

static void remove_from_row(float *w, size_t cols, size_t j, size_t k)
{
    const float *other = w + k * cols;
    float *row = w + j * cols;
    double along = 0;
    for (size_t c = 0; c < cols; c++) along += (double)other[c] * (double)row[c];
    for (size_t c = 0; c < cols; c++) row[c] = (float)((double)row[c] - along * (double)other[c]);
}

static void scale_to(float *x, size_t n, size_t stride, double length)
{
    double squares = 0;
    for (size_t i = 0; i < n; i++) squares += (double)x[i * stride] * (double)x[i * stride];
    double factor = squares > 0 ? length / sqrt(squares) : 0;
    for (size_t i = 0; i < n; i++) x[i * stride] = (float)(factor * (double)x[i * stride]);
}

void cnnbn__init_orthogonal(float *w, size_t rows, size_t cols, double gain, uint64_t key)
{
    int tall = rows >= cols;
    size_t n = tall ? cols : rows;
    for (size_t i = 0; i < rows * cols; i++) w[i] = (float)cnnbn_rng_normal(key, i);
    for (size_t j = 0; j < n; j++) {
        for (int pass = 0; pass < 2; pass++) {
            for (size_t k = 0; tall && k < j; k += BLOCK)
                remove_from_column(w, rows, cols, j, k, k + BLOCK < j ? k + BLOCK : j);
            for (size_t k = 0; !tall && k < j; k++) remove_from_row(w, cols, j, k);
        }
        scale_to(tall ? w + j : w + j * cols, tall ? rows : cols, tall ? cols : 1, 1);
    }
    for (size_t i = 0; i < rows * cols; i++) w[i] = (float)(gain * (double)w[i]);
}
