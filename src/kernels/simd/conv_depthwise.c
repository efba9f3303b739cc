/* One channel in and out of each group: a product for each channel, no matrix product; vectors run over the channels. */
#include "conv_core.h"

enum { PIXELS = 4 }; /* outputs at once: so many chains of additions hide the latency of a fused product */

VEC_INLINE void pixels(const int n, const cnnbn__core *core, const float *a, const float *panels, vec start, int relu,
                       ptrdiff_t lanes, float *y)
{
    ptrdiff_t step = core->stride_w * core->pix, weights = vec_round_up(core->groups);
    vec acc[PIXELS];
    VEC_UNROLL
    for (int q = 0; q < n; q++) acc[q] = start;
    for (int i = 0; i < core->taps_h; i++)
        for (int j = 0; j < core->taps_w; j++, panels += weights) {
            const float *p = a + i * core->dil_h * core->win_row + j * core->dil_w * core->pix;
            vec w = vec_load(panels);
            VEC_UNROLL
            for (int q = 0; q < n; q++) acc[q] = vec_fma(vec_load_part(p + q * step, lanes), w, acc[q]);
        }
    VEC_UNROLL
    for (int q = 0; q < n; q++) vec_store_part(y + q * core->out_col, relu ? vec_relu(acc[q]) : acc[q], lanes);
}

void depthwise_rows(const cnnbn__core *core, int w, const float *a, const float *panels, const float *bias, int relu,
                    float *y)
{
    for (ptrdiff_t c = 0; c < core->groups; c += VEC_LEN) {
        ptrdiff_t lanes = vec_lanes(core->groups, c);
        vec start = bias ? vec_load(bias + c) : vec_zero();
        int q = 0;
        for (; q + PIXELS <= w; q += PIXELS)
            pixels(PIXELS, core, a + q * core->stride_w * core->pix + c, panels + c, start, relu, lanes,
                   y + q * core->out_col + c);
        for (; q < w; q++)
            pixels(1, core, a + q * core->stride_w * core->pix + c, panels + c, start, relu, lanes,
                   y + q * core->out_col + c);
    }
}
