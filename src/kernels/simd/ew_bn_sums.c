/* Sums for batch norm's backward where the channels fill a few vectors or are filled by them: the accumulators stay in registers, so
 * that the loop is as fast as memory. Float sums of FLUSH_ROWS terms are flushed to double, in an order that depends on the number
 * of rows and channels alone. */
#include "ew_vector.h"

enum { VECS = 4, WIDTH = VECS * LANES, FLUSH_ROWS = 64 };

typedef int32_t mask __attribute__((vector_size(LANES * 4)));

typedef struct params {
    vec mean[VECS], scale[VECS], beta[VECS];
} params;

int EW(bn_sums_fit)(int C, cnnbn_activation act)
{
    return (WIDTH % C == 0 || C % WIDTH == 0) && (act.kind == CNNBN_ACT_LINEAR || act.kind == CNNBN_ACT_RELU);
}

static void repeat(const float *p, float value, int c0, int columns, vec out[VECS])
{
    float wide[WIDTH];
    ew_repeat(WIDTH / columns, columns, p ? p + c0 : NULL, value, wide);
    for (int k = 0; k < VECS; k++) out[k] = load(wide + k * LANES);
}

static void params_of(const cnnbn_prologue *in, int c0, int columns, params *p)
{
    const int affine = in->mean != NULL;
    repeat(affine ? in->mean : NULL, 0.0f, c0, columns, p->mean);
    repeat(affine ? in->scale : NULL, 1.0f, c0, columns, p->scale);
    repeat(affine ? in->beta : NULL, 0.0f, c0, columns, p->beta);
}

/* g = dz * act'(u), d = x - mean. */
EW_INLINE vec gradient(const int relu, vec dz, vec d, vec scale, vec beta)
{
    if (!relu) return dz;
    const vec one = (vec){0} + 1.0f;
    return dz * (vec)((mask)one & (mask)(d * scale + beta > (vec){0}));
}

/* sums[0, WIDTH) += g, sums[WIDTH, 2 WIDTH) += g d over n rows of WIDTH floats. */
EW_INLINE void add_rows(const int relu, size_t n, size_t stride, const float *dz, const float *x, const params *p,
                        double *sums)
{
    vec s[VECS], q[VECS];
#pragma GCC unroll 4
    for (int k = 0; k < VECS; k++) s[k] = q[k] = (vec){0};
    for (size_t r = 0; r < n; r++, dz += stride, x += stride)
#pragma GCC unroll 4
        for (int k = 0; k < VECS; k++) {
            vec d = load(x + k * LANES) - p->mean[k];
            vec g = gradient(relu, load(dz + k * LANES), d, p->scale[k], p->beta[k]);
            s[k] += g;
            q[k] += g * d;
        }
#pragma GCC unroll 4
    for (int k = 0; k < VECS; k++)
        for (int i = 0; i < LANES; i++) {
            sums[k * LANES + i] += (double)s[k][i];
            sums[WIDTH + k * LANES + i] += (double)q[k][i];
        }
}

static void add_stretch(int relu, size_t n, size_t stride, const float *dz, const float *x, const params *p,
                        double *sums)
{
    if (relu)
        add_rows(1, n, stride, dz, x, p, sums);
    else
        add_rows(0, n, stride, dz, x, p, sums);
}

/* What fills no row of WIDTH floats. */
static void add_tail(int relu, size_t n, int C, const float *dz, const float *x, const cnnbn_prologue *in, double *sums)
{
    for (size_t i = 0; i < n; i++) {
        const size_t c = i % (size_t)C;
        const float d = x[i] - (in->mean ? in->mean[c] : 0.0f);
        float g = dz[i];
        if (relu) g *= ew_fma(d, in->mean ? in->scale[c] : 1.0f, in->mean ? in->beta[c] : 0.0f) > 0.0f ? 1.0f : 0.0f;
        sums[c] += (double)g;
        sums[(size_t)C + c] += (double)g * (double)d;
    }
}

/* Stretch by stretch, all channels of one before the next, so that memory is read in its order. */
void EW(bn_sums)(size_t rows, int C, const float *dz, const float *x, const cnnbn_prologue *in, double *sums)
{
    const int relu = in->act.kind == CNNBN_ACT_RELU;
    const int columns = C < WIDTH ? C : WIDTH; /* of a channel pattern in a row of WIDTH floats */
    const size_t stride = C < WIDTH ? WIDTH : (size_t)C, n = rows * (size_t)C / stride;
    params p;
    if (C <= WIDTH) params_of(in, 0, columns, &p);
    for (size_t r = 0; r < n; r += FLUSH_ROWS)
        for (int c0 = 0; c0 < C; c0 += WIDTH) {
            double wide[2 * WIDTH] = {0};
            if (C > WIDTH) params_of(in, c0, columns, &p);
            add_stretch(relu, n - r < FLUSH_ROWS ? n - r : FLUSH_ROWS, stride, dz + r * stride + c0,
                        x + r * stride + c0, &p, wide);
            for (int i = 0; i < WIDTH; i += columns)
                for (int c = 0; c < columns; c++) {
                    sums[c0 + c] += wide[i + c];
                    sums[C + c0 + c] += wide[WIDTH + i + c];
                }
        }
    add_tail(relu, rows * (size_t)C - n * stride, C, dz + n * stride, x + n * stride, in, sums);
}
