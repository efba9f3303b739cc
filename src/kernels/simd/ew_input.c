/* Input scaling and dropout. */
#include "ew.h"

#include <string.h>

/* scale and shift repeated to a row of about EW_WIDTH, so that the index needs no division; longer ones (a mean image)
 * are rows themselves. */
typedef struct wide_scale {
    float scale[EW_WIDTH], shift[EW_WIDTH];
    size_t width;
} wide_scale;

static int widen(wide_scale *p, int period, const float *scale, const float *shift)
{
    if (period > EW_WIDTH) return 0;
    int copies = EW_WIDTH / period;
    ew_repeat(copies, period, scale, 1.0f, p->scale);
    ew_repeat(copies, period, shift, 0.0f, p->shift);
    p->width = (size_t)copies * (size_t)period;
    return 1;
}

EW_INLINE void row_u8(size_t n, const uint8_t *restrict x, const float *restrict scale, const float *restrict shift,
                      float *restrict y)
{
    for (size_t i = 0; i < n; i++) y[i] = ew_fma((float)x[i], scale[i], shift[i]);
}

EW_INLINE void row_f32(size_t n, const float *x, const float *scale, const float *shift, float *y)
{
    EW_SIMD
    for (size_t i = 0; i < n; i++) y[i] = ew_fma(x[i], scale[i], shift[i]);
}

void EW(input_u8)(size_t n, int period, const uint8_t *x, const float *scale, const float *shift, float *y)
{
    wide_scale wide;
    if (widen(&wide, period, scale, shift)) {
        for (size_t i = 0; i < n; i += wide.width)
            row_u8(n - i < wide.width ? n - i : wide.width, x + i, wide.scale, wide.shift, y + i);
    } else {
        size_t width = (size_t)period;
        for (size_t i = 0; i < n; i += width) row_u8(n - i < width ? n - i : width, x + i, scale, shift, y + i);
    }
}

void EW(input_f32)(size_t n, int period, const float *x, const float *scale, const float *shift, float *y)
{
    wide_scale wide;
    if (widen(&wide, period, scale, shift)) {
        for (size_t i = 0; i < n; i += wide.width)
            row_f32(n - i < wide.width ? n - i : wide.width, x + i, wide.scale, wide.shift, y + i);
    } else {
        size_t width = (size_t)period;
        for (size_t i = 0; i < n; i += width) row_f32(n - i < width ? n - i : width, x + i, scale, shift, y + i);
    }
}

/* cnnbn_philox for the counters [first, first + PHILOX_LANES) at once: out[4*l + word] for counter first + l. */
enum { PHILOX_LANES = 64 };

static void philox_block(uint64_t key, uint64_t first, uint32_t *restrict out)
{
    uint32_t c0[PHILOX_LANES], c1[PHILOX_LANES], c2[PHILOX_LANES], c3[PHILOX_LANES];
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int l = 0; l < PHILOX_LANES; l++) {
        uint64_t counter = first + (uint64_t)l;
        c0[l] = (uint32_t)counter;
        c1[l] = (uint32_t)(counter >> 32);
        c2[l] = c3[l] = 0;
    }
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
        for (int l = 0; l < PHILOX_LANES; l++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c0[l], p1 = (uint64_t)0xCD9E8D57u * c2[l];
            c0[l] = (uint32_t)(p1 >> 32) ^ c1[l] ^ k0;
            c2[l] = (uint32_t)(p0 >> 32) ^ c3[l] ^ k1;
            c1[l] = (uint32_t)p1;
            c3[l] = (uint32_t)p0;
        }
    for (int l = 0; l < PHILOX_LANES; l++) {
        out[4 * l] = c0[l];
        out[4 * l + 1] = c1[l];
        out[4 * l + 2] = c2[l];
        out[4 * l + 3] = c3[l];
    }
}

/* Uniform = (word >> 8) 2^-24, as cnnbn_rng_uniform, kept when >= rate. */
void EW(dropout)(int N, size_t per_sample, float rate, const uint64_t *keys, const float *x, float *y)
{
    enum { BLOCK = 4 * PHILOX_LANES };
    uint32_t words[BLOCK];
    float scale = 1.0f / (1.0f - rate);
    for (int n = 0; n < N; n++, x += per_sample, y += per_sample)
        for (size_t i = 0; i < per_sample; i += BLOCK) {
            size_t take = per_sample - i < BLOCK ? per_sample - i : BLOCK;
            const float *in = x + i;
            float *out = y + i;
            philox_block(keys[n], i / 4, words);
            EW_SIMD
            for (size_t j = 0; j < take; j++) {
                float u = (float)(int32_t)(words[j] >> 8) * 0x1p-24f;
                float kept = in[j] * scale;
                out[j] = u >= rate ? kept : 0.0f;
            }
        }
}
