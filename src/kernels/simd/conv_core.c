#include "conv_core.h"
#include "ew.h"

enum {
    SCRATCH_FLOATS = 40960, /* of a block's source window: a part of L2 that leaves room for the weights */
    OUTPUT_FLOATS = 65536,  /* of a block's outputs, so that what follows still finds them in L2 */
    SAMPLES_MAX = 16
};

static int window(int outputs, int stride, int taps, int dil)
{
    return (outputs - 1) * stride + (taps - 1) * dil + 1;
}

static size_t block_floats(const cnnbn__core *core, int h, int w)
{
    return (size_t)window(h, core->stride_h, core->taps_h, core->dil_h) *
           (size_t)(window(w, core->stride_w, core->taps_w, core->dil_w) * core->pix + 16);
}

/* Whole rows where they fit, then as many rows as fit, then, for whole small images, several samples. */
static void choose_block(cnnbn__core *core)
{
    size_t out = (size_t)core->groups * (size_t)core->kg;
    core->block_n = 1;
    core->block_h = 1;
    core->block_w = core->cols;
    while (core->block_w > VEC_MUL_ROWS &&
           (block_floats(core, 1, core->block_w) > SCRATCH_FLOATS || out * (size_t)core->block_w > OUTPUT_FLOATS))
        core->block_w = (core->block_w / 2 + VEC_MUL_ROWS - 1) / VEC_MUL_ROWS * VEC_MUL_ROWS;
    if (core->block_w < core->cols) return;
    size_t row_out = out * (size_t)core->cols;
    while (core->block_h < core->rows && block_floats(core, core->block_h + 1, core->cols) <= SCRATCH_FLOATS &&
           row_out * (size_t)(core->block_h + 1) <= OUTPUT_FLOATS)
        core->block_h++;
    if (core->block_h < core->rows) return;
    size_t sample = block_floats(core, core->rows, core->cols);
    while (core->block_n < SAMPLES_MAX && sample * (size_t)(core->block_n + 1) <= SCRATCH_FLOATS) core->block_n++;
}

void core_derive(cnnbn__core *core)
{
    core->depthwise = core->cg == 1 && core->kg == 1;
    int need_h = core->off_h + window(core->rows, core->stride_h, core->taps_h, core->dil_h);
    int need_w = core->off_w + window(core->cols, core->stride_w, core->taps_w, core->dil_w);
    core->copy = core->prologue || core->off_h < 0 || core->off_w < 0 || need_h > core->src_h || need_w > core->src_w;
    core->pix = core->src_c;
    /* Pixels of a tile a multiple of 4 KB apart would share one set of the L1 cache. */
    if (core->pix * core->stride_w % 1024 == 0) {
        core->pix += 16;
        core->copy = 1;
    }
    choose_block(core);
    core->win_h = window(core->block_h, core->stride_h, core->taps_h, core->dil_h);
    core->win_w = window(core->block_w, core->stride_w, core->taps_w, core->dil_w);
    core->win_row = core->copy ? core->win_w * core->pix : (ptrdiff_t)core->src_w * core->src_c;
    core->win_sample = core->copy ? core->win_h * core->win_row + 16 : core->src_h * core->win_row;
    core->merged = core->dil_w == 1 && core->groups == 1 && core->pix == core->src_c;
    core->scratch_floats = core->copy ? (size_t)(core->win_sample * core->block_n) : 0;
    size_t taps = (size_t)core->taps_h * (size_t)core->taps_w;
    core->panel_floats = core->depthwise
                             ? taps * (size_t)vec_round_up(core->groups)
                             : taps * (size_t)core->groups * (size_t)core->cg * (size_t)vec_round_up(core->kg);
}

static void pack_depthwise(const cnnbn__core *core, const cnnbn__weights *src, float *panels)
{
    ptrdiff_t stride = vec_round_up(core->groups);
    for (int i = 0; i < core->taps_h; i++)
        for (int j = 0; j < core->taps_w; j++, panels += stride)
            for (ptrdiff_t g = 0; g < stride; g++)
                panels[g] = g < core->groups ? src->w[i * src->tap_h + j * src->tap_w + g * src->group] : 0.0f;
}

static void pack_panel(const cnnbn__core *core, const cnnbn__weights *src, const float *w, ptrdiff_t cols, float *panel)
{
    ptrdiff_t width = vec_round_up(cols);
    for (int i = 0; i < core->taps_h; i++)
        for (int j = 0; j < core->taps_w; j++)
            for (int c = 0; c < core->cg; c++, panel += width) {
                const float *p = w + i * src->tap_h + j * src->tap_w + c * src->in;
                if (src->out == 1)
                    memcpy(panel, p, (size_t)cols * sizeof *panel);
                else
                    for (ptrdiff_t k = 0; k < cols; k++) panel[k] = p[k * src->out];
                for (ptrdiff_t k = cols; k < width; k++) panel[k] = 0.0f;
            }
}

void core_pack(const cnnbn__core *core, const cnnbn__weights *src, float *panels, int part, int n_parts)
{
    if (core->depthwise) {
        if (part == 0) pack_depthwise(core, src, panels);
        return;
    }
    int per_group = (core->kg + TILE_COLS - 1) / TILE_COLS, count = core->groups * per_group;
    int end = cnnbn_part_begin(count, n_parts, part + 1);
    for (int i = cnnbn_part_begin(count, n_parts, part); i < end; i++) {
        ptrdiff_t group = i / per_group, k = (ptrdiff_t)(i % per_group) * TILE_COLS;
        ptrdiff_t cols = core->kg - k < TILE_COLS ? core->kg - k : TILE_COLS;
        pack_panel(core, src, src->w + group * src->group + k * src->out, cols,
                   panels + core_panel_at(core, group * vec_round_up(core->kg) + k));
    }
}

/* n pixels of src_c channels, pixel stride pix. */
static void load_pixels(const cnnbn__core *core, ptrdiff_t n, const float *x, const cnnbn_prologue *in, float *to)
{
    ptrdiff_t channels = core->src_c;
    if (core->pix == channels) {
        if (core->prologue)
            EW(bn_apply)((size_t)n, core->src_c, x, in, NULL, to);
        else
            memcpy(to, x, (size_t)(n * channels) * sizeof *to);
        return;
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        if (core->prologue)
            EW(bn_apply)(1, core->src_c, x + i * channels, in, NULL, to + i * core->pix);
        else
            memcpy(to + i * core->pix, x + i * channels, (size_t)channels * sizeof *to);
    }
}

static void zero(float *p, ptrdiff_t n)
{
    memset(p, 0, (size_t)n * sizeof *p);
}

const float *core_load(const cnnbn__core *core, const cnnbn__block *block, const float *x, const cnnbn_prologue *in,
                       float *scratch)
{
    int h0 = block->p0 * core->stride_h + core->off_h, w0 = block->q0 * core->stride_w + core->off_w;
    ptrdiff_t row = (ptrdiff_t)core->src_w * core->src_c, sample = row * core->src_h;
    if (!core->copy) return x + block->n0 * sample + h0 * row + (ptrdiff_t)w0 * core->src_c;

    int n_rows = window(block->h, core->stride_h, core->taps_h, core->dil_h);
    int n_cols = window(block->w, core->stride_w, core->taps_w, core->dil_w);
    int left = core_min(w0 < 0 ? -w0 : 0, n_cols), right = core_min(w0 + n_cols, core->src_w) - w0;
    if (right < left) right = left;
    for (int n = 0; n < block->n; n++)
        for (int i = 0; i < n_rows; i++) {
            float *to = scratch + n * core->win_sample + i * core->win_row;
            int h = h0 + i;
            if (h < 0 || h >= core->src_h || left == right) {
                zero(to, n_cols * core->pix);
                continue;
            }
            zero(to, left * core->pix);
            const float *from = x + (block->n0 + n) * sample + h * row + (ptrdiff_t)(w0 + left) * core->src_c;
            load_pixels(core, right - left, from, in, to + left * core->pix);
            zero(to + right * core->pix, (n_cols - right) * core->pix);
        }
    return scratch;
}

void core_fetch_source(const cnnbn__core *core, const cnnbn__block *block, const float *x, cnnbn__fetch *fetch)
{
    ptrdiff_t row = (ptrdiff_t)core->src_w * core->src_c, last = block->n0 + block->n - 1, next, ahead;
    if (block->w < core->cols) {
        next = (block->p0 * core->stride_h + core->off_h) * row +
               ((ptrdiff_t)(block->q0 + block->w) * core->stride_w + core->off_w) * core->src_c;
        ahead = (ptrdiff_t)block->w * core->stride_w * core->src_c;
    } else {
        int h = (block->p0 + block->h) * core->stride_h + core->off_h;
        next = core_min(h > 0 ? h : 0, core->src_h) * row;
        ahead = block->n > 1 ? block->n * core->src_h * row : (ptrdiff_t)block->h * core->stride_h * row;
    }
    fetch->read = (const char *)(x + last * core->src_h * row + (next > 0 ? next : 0));
    fetch->read_end = fetch->read + ahead * (ptrdiff_t)sizeof *x;
}

void core_block(const cnnbn__core *core, const cnnbn__block *block, const float *x, const cnnbn_prologue *in,
                const float *panels, const float *bias, int relu, float *y, float *scratch)
{
    const float *a = core_load(core, block, x, in, scratch);
    float *out = y + block->n0 * core->out_sample + block->p0 * core->out_row + block->q0 * core->out_col;
    ptrdiff_t step = core->stride_h * core->win_row;
    if (core->depthwise) {
        for (int n = 0; n < block->n; n++)
            for (int p = 0; p < block->h; p++)
                depthwise_rows(core, block->w, a + n * core->win_sample + p * step, panels, bias, relu,
                               out + n * core->out_sample + p * core->out_row);
        return;
    }
    const cnnbn__mul m = {.lda = core->stride_w * core->pix,
                          .ldc = core->out_col,
                          .a_outer = core->dil_h * core->win_row,
                          .a_inner = core->dil_w * core->pix,
                          .n_outer = core->taps_h,
                          .n_inner = core->merged ? 1 : core->taps_w,
                          .n_k = core->merged ? (ptrdiff_t)core->taps_w * core->cg : core->cg,
                          .relu = relu};
    const ptrdiff_t padded = vec_round_up(core->kg), rows = tile_rows(block->w, VEC_MUL_ROWS);
    cnnbn__fetch fetch = {0};
    core_fetch_source(core, block, x, &fetch);
    fetch.write = (const char *)out;
    fetch.write_end = (const char *)(out + (block->n - 1) * core->out_sample + (block->h - 1) * core->out_row +
                                     block->w * core->out_col);
    fetch_over(&fetch, core->groups * ((core->kg + TILE_COLS - 1) / TILE_COLS) * block->n * block->h *
                           ((block->w + rows - 1) / rows));
    for (ptrdiff_t g = 0; g < core->groups; g++)
        for (ptrdiff_t k = 0; k < core->kg; k += TILE_COLS) {
            ptrdiff_t cols = core->kg - k < TILE_COLS ? core->kg - k : TILE_COLS;
            const float *panel = panels + core_panel_at(core, g * padded + k);
            const float *start = bias ? bias + g * padded + k : NULL;
            for (int n = 0; n < block->n; n++)
                for (int p = 0; p < block->h; p++)
                    for (ptrdiff_t q = 0; q < block->w; q += rows) {
                        ptrdiff_t count = block->w - q < rows ? block->w - q : rows;
                        mul_tiles[cols > VEC_LEN][count - 1](
                            &m, a + n * core->win_sample + p * step + q * m.lda + g * core->cg, panel, start,
                            out + n * core->out_sample + p * core->out_row + q * m.ldc + g * core->kg + k, cols);
                        fetch_some(&fetch);
                    }
        }
}

void core_run(const cnnbn__core *core, int n, const float *x, const float *panels, float *y, float *scratch)
{
    for (int n0 = 0; n0 < n; n0 += core->block_n)
        for (int p0 = 0; p0 < core->rows; p0 += core->block_h)
            for (int q0 = 0; q0 < core->cols; q0 += core->block_w) {
                const cnnbn__block block = {n0, core_min(core->block_n, n - n0),
                                            p0, core_min(core->block_h, core->rows - p0),
                                            q0, core_min(core->block_w, core->cols - q0)};
                core_block(core, &block, x, NULL, panels, NULL, 0, y, scratch);
            }
}
