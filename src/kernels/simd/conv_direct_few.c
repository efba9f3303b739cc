/* Direct convolution, backward weights of a layer with few inputs, such as the first: the sums of all taps are kept in registers,
 * so that each pixel of dy is loaded once, and is made from what stands behind a batch norm as it is loaded. The order of a sum is
 * that of conv_direct_dw.c, and so are the bits. */
#include "conv_behind.h"
#include "conv_core.h"

/* Sums of so many taps, times the vectors of channels done at once, and a few more values have to fit in the registers. */
#if defined(__AVX512F__) || defined(__aarch64__)
enum { FEW_TAPS = 27 };
#else
enum { FEW_TAPS = 9 };
#endif
#if defined(__AVX512F__)
enum { FEW_TWO_VECS = 9 /* taps with which two vectors fit */ };
#else
enum { FEW_TWO_VECS = 0 };
#endif

typedef struct few {
    const cnnbn__core *core;
    const cnnbn__block *block;
    const cnnbn_conv_geom *g;
    const cnnbn_bn_behind *behind;
    const float *a, *dy, *x; /* the block's source, its first pixel of `dy` and of the batch norm's input */
    float *dw;
    double *sums; /* of dy, [K], or NULL */
    int add;
} few;

/* Channels [k, k + nv vectors); `rows` runs of `len` floats are a pixel's inputs. */
VEC_INLINE void few_columns(const int rows, const int len, const int nv, const behind_kind by, const few *t,
                            ptrdiff_t k)
{
    const cnnbn__core *core = t->core;
    const ptrdiff_t K = t->g->K, tap = len * K, pixel = core->stride_w * core->pix, below = core->dil_h * core->win_row;
    vec sum[FEW_TAPS][2];
    behind_norm norm[2];
    VEC_UNROLL
    for (int v = 0; v < nv; v++) norm[v] = behind_load(by, t->behind, k + v * VEC_LEN, VEC_LEN);
    VEC_UNROLL
    for (int r = 0; r < rows; r++) VEC_UNROLL
    for (int i = 0; i < len; i++) VEC_UNROLL
    for (int v = 0; v < nv; v++)
        sum[r * len + i][v] = t->add ? vec_load(t->dw + r * tap + i * K + k + v * VEC_LEN) : vec_zero();
    for (int line = 0; line < t->block->n * t->block->h; line++) {
        const int n = line / t->block->h, p = line % t->block->h;
        const float *a = t->a + n * core->win_sample + p * core->stride_h * core->win_row;
        const ptrdiff_t at = (((ptrdiff_t)n * t->g->P + p) * t->g->Q) * K + k;
        const float *dy = t->dy + at, *x = by.norm ? t->x + at : NULL;
        vec db[2];
        VEC_UNROLL
        for (int v = 0; v < nv; v++) db[v] = vec_zero();
        for (int q = 0; q < t->block->w; q++, a += pixel, dy += K) {
            vec d[2];
            VEC_UNROLL
            for (int v = 0; v < nv; v++) {
                d[v] = behind_gradient(by, &norm[v], vec_load(dy + v * VEC_LEN),
                                       by.norm ? vec_load(x + v * VEC_LEN) : vec_zero());
                db[v] = db[v] + d[v];
            }
            if (by.norm) x += K;
            VEC_UNROLL
            for (int r = 0; r < rows; r++) VEC_UNROLL
            for (int i = 0; i < len; i++) {
                vec in = vec_set1(a[r * below + i]);
                VEC_UNROLL
                for (int v = 0; v < nv; v++) sum[r * len + i][v] = vec_fma(in, d[v], sum[r * len + i][v]);
            }
        }
        if (!t->sums) continue;
        _Alignas(64) float lanes[2 * VEC_LEN];
        VEC_UNROLL
        for (int v = 0; v < nv; v++) vec_store(lanes + v * VEC_LEN, db[v]);
        for (int i = 0; i < nv * VEC_LEN; i++) t->sums[k + i] += (double)lanes[i];
    }
    VEC_UNROLL
    for (int r = 0; r < rows; r++) VEC_UNROLL
    for (int i = 0; i < len; i++) VEC_UNROLL
    for (int v = 0; v < nv; v++) vec_store(t->dw + r * tap + i * K + k + v * VEC_LEN, sum[r * len + i][v]);
}

typedef void few_fn(const few *t);
#define FEW_OF(rows, len, name, norm, act_relu, pre_relu)                                             \
    static void few_##rows##_##len##_##name(const few *t)                                             \
    {                                                                                                 \
        const behind_kind by = {norm, act_relu, pre_relu};                                            \
        ptrdiff_t k = 0;                                                                              \
        if ((rows) * (len) <= FEW_TWO_VECS)                                                           \
            for (; k + 2 * VEC_LEN <= t->g->K; k += 2 * VEC_LEN) few_columns(rows, len, 2, by, t, k); \
        for (; k < t->g->K; k += VEC_LEN) few_columns(rows, len, 1, by, t, k);                        \
    }
#define FEW_3_3(name, norm, act_relu, pre_relu) FEW_OF(3, 3, name, norm, act_relu, pre_relu)
BEHIND_EACH(FEW_3_3)
#define ENTRY_3_3(name, norm, act_relu, pre_relu) few_3_3_##name,
static few_fn *const few_3_3[] = {BEHIND_EACH(ENTRY_3_3)};
#if defined(__AVX512F__) || defined(__aarch64__)
#define FEW_3_9(name, norm, act_relu, pre_relu) FEW_OF(3, 9, name, norm, act_relu, pre_relu)
#define FEW_5_5(name, norm, act_relu, pre_relu) FEW_OF(5, 5, name, norm, act_relu, pre_relu)
BEHIND_EACH(FEW_3_9)
BEHIND_EACH(FEW_5_5)
#define ENTRY_3_9(name, norm, act_relu, pre_relu) few_3_9_##name,
#define ENTRY_5_5(name, norm, act_relu, pre_relu) few_5_5_##name,
static few_fn *const few_3_9[] = {BEHIND_EACH(ENTRY_3_9)}, *const few_5_5[] = {BEHIND_EACH(ENTRY_5_5)};
#endif

/* By the kind of what stands behind, or NULL where there is no such form. */
static few_fn *const *few_of(const cnnbn_conv_geom *g)
{
    const int len = g->S * g->C;
    if (g->groups != 1 || g->dil_w != 1 || g->K % VEC_LEN != 0) return NULL;
    if (g->R == 3 && len == 3) return few_3_3;
#if defined(__AVX512F__) || defined(__aarch64__)
    if (g->R == 3 && len == 9) return few_3_9;
    if (g->R == 5 && len == 5) return few_5_5;
#endif
    return NULL;
}

int direct_is_few(const cnnbn_conv_geom *g)
{
    return few_of(g) != NULL;
}

void direct_few_block(const cnnbn_conv_geom *g, const cnnbn__core *core, const cnnbn__block *block,
                      const cnnbn_conv_bwd *args, const float *a, float *dw, int add, double *sums)
{
    const ptrdiff_t at = (((ptrdiff_t)block->n0 * g->P + block->p0) * g->Q + block->q0) * g->K;
    const few t = {core, block, g,  args->behind, a, args->dy + at, args->behind ? args->behind->x + at : NULL,
                   dw,   sums,  add};
    few_of(g)[behind_index(args->behind)](&t);
}
