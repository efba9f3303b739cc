/* The plain operations. */
#include "plain.h"

#include <string.h>

static const cnnbn_kernels *kernels(const plain_call *c)
{
    return c->u->net->kernels;
}

static size_t x_all(const plain_call *c)
{
    return (size_t)c->n * c->x_count;
}

static size_t y_all(const plain_call *c)
{
    return (size_t)c->n * c->y_count;
}

/* ---------------------------------------------------------------- copies */

static void extents(cnnbn_shape shape, int *h, int *w, size_t *c)
{
    *h = shape.rank == 3 ? shape.dim[0] : 1;
    *w = shape.rank > 1 ? shape.dim[shape.rank - 2] : 1;
    *c = (size_t)shape.dim[shape.rank - 1];
}

/* to[h][w] = from[h - top][w - left], zeros outside of `from`. */
static void shift(const plain_call *c, const float *from, cnnbn_shape from_shape, float *to, cnnbn_shape to_shape,
                  int top, int left)
{
    int H, W, P, Q;
    size_t C;
    extents(from_shape, &H, &W, &C);
    extents(to_shape, &P, &Q, &C);
    for (int i = 0; i < c->n; i++, from += (size_t)H * (size_t)W * C, to += (size_t)P * (size_t)Q * C)
        kernels(c)->image_shift(H, W, (int)C, -top, -left, P, Q, NULL, from, to);
}

static void pad_forward(const plain_call *c)
{
    shift(c, c->x[0], c->x_shape, c->out, c->y_shape, c->o->plain.top, c->o->plain.left);
}

static void pad_backward(const plain_call *c)
{
    shift(c, c->dy, c->y_shape, c->out, c->x_shape, -c->o->plain.top, -c->o->plain.left);
}

static void upsample_forward(const plain_call *c)
{
    int H, W, rows = c->o->plain.rows, columns = c->o->plain.columns;
    size_t C;
    extents(c->x_shape, &H, &W, &C);
    size_t row = (size_t)W * (size_t)columns * C;
    const float *x = c->x[0];
    float *y = c->out;
    for (int i = 0; i < c->n * H; i++) {
        float *first = y;
        for (int w = 0; w < W; w++, x += C)
            for (int k = 0; k < columns; k++, y += C) memcpy(y, x, C * sizeof *y);
        for (int k = 1; k < rows; k++, y += row) memcpy(y, first, row * sizeof *y);
    }
}

/* The sum over what a pixel was copied to is an average pooling times its window. */
static void upsample_backward(const plain_call *c)
{
    int H, W, rows = c->o->plain.rows, columns = c->o->plain.columns;
    size_t C;
    extents(c->x_shape, &H, &W, &C);
    cnnbn_pool_geom g = {.H = H * rows,
                         .W = W * columns,
                         .C = (int)C,
                         .R = rows,
                         .S = columns,
                         .P = H,
                         .Q = W,
                         .stride_h = rows,
                         .stride_w = columns};
    kernels(c)->avgpool_fwd(&g, c->n, c->dy, c->out);
    kernels(c)->scale(x_all(c), (float)(rows * columns), c->out);
}

static void bilinear_forward(const plain_call *c)
{
    const int *dim = c->x_shape.dim;
    kernels(c)->bilinear_fwd(c->n, dim[0], dim[1], dim[2], c->o->plain.rows, c->o->plain.columns, c->x[0], c->out);
}

static void bilinear_backward(const plain_call *c)
{
    const int *dim = c->x_shape.dim;
    kernels(c)->bilinear_bwd(c->n, dim[0], dim[1], dim[2], c->o->plain.rows, c->o->plain.columns, c->dy, c->out);
}

/* Each of n matrices [rows][columns] transposed. */
static void transpose(size_t n, size_t rows, size_t columns, const float *from, float *to)
{
    for (size_t i = 0; i < n; i++, from += rows * columns, to += rows * columns)
        for (size_t r = 0; r < rows; r++)
            for (size_t k = 0; k < columns; k++) to[k * rows + r] = from[r * columns + k];
}

static void transpose_forward(const plain_call *c)
{
    size_t rows = (size_t)c->o->plain.rows, columns = (size_t)c->o->plain.columns;
    transpose(x_all(c) / (rows * columns), rows, columns, c->x[0], c->out);
}

static void transpose_backward(const plain_call *c)
{
    size_t rows = (size_t)c->o->plain.rows, columns = (size_t)c->o->plain.columns;
    transpose(x_all(c) / (rows * columns), columns, rows, c->dy, c->out);
}

/* ---------------------------------------------------------------- element-wise */

static void affine_forward(const plain_call *c)
{
    const plain_args *a = &c->o->plain;
    kernels(c)->input_f32(x_all(c), a->period, c->x[0], a->scale, a->offset, c->out);
}

static void affine_backward(const plain_call *c)
{
    const plain_args *a = &c->o->plain;
    kernels(c)->input_f32(x_all(c), a->period, c->dy, a->scale, a->zero, c->out);
}

static void multiply_forward(const plain_call *c)
{
    kernels(c)->mul(y_all(c), c->x[0], c->x[1], c->out);
}

static void multiply_backward(const plain_call *c)
{
    kernels(c)->mul(y_all(c), c->dy, c->x[1 - c->which], c->out);
}

static int channels_of(cnnbn_shape shape)
{
    return shape.dim[shape.rank - 1];
}

static void channel_multiply_forward(const plain_call *c)
{
    int C = channels_of(c->x_shape), positions = (int)(c->x_count / (size_t)C);
    kernels(c)->channel_mul(c->n, positions, C, c->x[0], c->x[1], c->out);
}

static void channel_multiply_backward(const plain_call *c)
{
    int C = channels_of(c->x_shape), positions = (int)(c->x_count / (size_t)C);
    if (c->which == 0)
        kernels(c)->channel_mul(c->n, positions, C, c->dy, c->x[1], c->out);
    else
        kernels(c)->channel_dot(c->n, positions, C, c->dy, c->x[0], c->out);
}

static void maximum_forward(const plain_call *c)
{
    kernels(c)->maximum(y_all(c), c->x[0], c->x[1], c->out);
}

static void maximum_backward(const plain_call *c)
{
    kernels(c)->maximum_bwd(y_all(c), c->x[0], c->x[1], c->dy, c->which, c->out);
}

static size_t alpha_count(const plain_call *c)
{
    return c->u->net->model->params[c->o->kernel].count;
}

static void prelu_forward(const plain_call *c)
{
    kernels(c)->prelu_fwd(x_all(c), alpha_count(c), c->x[0], c->w0, c->out);
}

static void prelu_backward(const plain_call *c)
{
    if (c->out) kernels(c)->prelu_bwd(x_all(c), alpha_count(c), c->x[0], c->w0, c->dy, c->out);
    if (c->dw0) kernels(c)->prelu_bwd_weights(c->u->run, c->x_count, alpha_count(c), c->x[0], c->dy, c->dw0, c->stride);
}

/* ---------------------------------------------------------------- normalisation within a sample */

static size_t rows_of(const op *o, size_t x_count, int n)
{
    return (size_t)n * (x_count / ((size_t)o->plain.positions * (size_t)o->plain.channels));
}

/* Statistics are taken anew in the backward pass: cheaper than to keep them. They are pairs of doubles. */
static size_t normalize_workspace(const op *o, size_t x_count, int n)
{
    return rows_of(o, x_count, n) * (size_t)o->plain.groups * 4;
}

static double *statistics(const plain_call *c)
{
    const plain_args *a = &c->o->plain;
    double *stats = (double *)(void *)c->workspace;
    kernels(c)->norm_stats(rows_of(c->o, c->x_count, c->n), a->positions, a->channels, a->groups, a->epsilon, c->x[0],
                           stats);
    return stats;
}

static void normalize_forward(const plain_call *c)
{
    const plain_args *a = &c->o->plain;
    kernels(c)->norm_apply(rows_of(c->o, c->x_count, c->n), a->positions, a->channels, a->groups, c->x[0],
                           statistics(c), c->w0, c->w1, c->out);
}

static void normalize_backward(const plain_call *c)
{
    const plain_args *a = &c->o->plain;
    const double *stats = statistics(c);
    if (c->out)
        kernels(c)->norm_bwd_data(rows_of(c->o, c->x_count, c->n), a->positions, a->channels, a->groups, c->x[0], stats,
                                  c->w0, c->dy, c->out);
    if (c->dw0 || c->dw1)
        kernels(c)->norm_bwd_weights(c->u->run, rows_of(c->o, c->x_count, 1), a->positions, a->channels, a->groups,
                                     c->x[0], stats, c->dy, c->dw0, c->dw1, c->stride);
}

static size_t unit_rows(const plain_call *c)
{
    return x_all(c) / (size_t)channels_of(c->x_shape);
}

static void unit_forward(const plain_call *c)
{
    kernels(c)->unit_fwd(unit_rows(c), channels_of(c->x_shape), c->x[0], c->out);
}

static void unit_backward(const plain_call *c)
{
    kernels(c)->unit_bwd(unit_rows(c), channels_of(c->x_shape), c->x[0], c->dy, c->out);
}

/* ---------------------------------------------------------------- random */

static size_t shared_dropout_workspace(const op *o, size_t x_count, int n)
{
    (void)x_count;
    return cnnbn_shape_count(o->plain.mask) * (size_t)n;
}

/* y = x times the mask, a draw standing for all positions along its axes of one. Axes at the end that share a draw are one. */
static void spread_mask(const plain_call *c, const float *mask, const float *from)
{
    cnnbn_shape x = c->x_shape, m = c->o->plain.mask;
    int H, W, mask_rows, mask_columns;
    size_t C, mask_channels;
    while (x.rank > 1 && m.dim[m.rank - 1] == 1 && m.dim[m.rank - 2] == 1) {
        x.rank--, m.rank--;
        x.dim[x.rank - 1] *= x.dim[x.rank];
    }
    extents(x, &H, &W, &C);
    extents(m, &mask_rows, &mask_columns, &mask_channels);
    size_t row = (size_t)mask_columns * mask_channels;
    float *to = c->out;
    for (int i = 0; i < c->n; i++, mask += (size_t)mask_rows * row)
        for (int h = 0; h < H; h++)
            for (int w = 0; w < W; w++, from += C, to += C) {
                const float *factor =
                    mask + (mask_rows > 1 ? (size_t)h * row : 0) + (mask_columns > 1 ? (size_t)w * mask_channels : 0);
                if (mask_channels > 1)
                    for (size_t k = 0; k < C; k++) to[k] = from[k] * factor[k];
                else
                    for (size_t k = 0; k < C; k++) to[k] = from[k] * factor[0];
            }
}

/* A mask is a dropout of ones. */
static void mask_shared(const plain_call *c, const float *from)
{
    cnnbn_shape mask = c->o->plain.mask;
    int C = channels_of(c->x_shape), positions = (int)(c->x_count / (size_t)C);
    size_t draws = cnnbn_shape_count(mask);
    const uint64_t *keys = cnnbn__sample_keys(c->u, c->o, CNNBN_RNG_DROPOUT);
    for (size_t i = 0; i < (size_t)c->n * draws; i++) c->workspace[i] = 1;
    kernels(c)->dropout(c->n, draws, c->o->plain.value, keys, c->workspace, c->workspace);
    if (draws == (size_t)C && channels_of(mask) == C)
        kernels(c)->channel_mul(c->n, positions, C, from, c->workspace, c->out);
    else
        spread_mask(c, c->workspace, from);
}

static void shared_dropout_forward(const plain_call *c)
{
    mask_shared(c, c->x[0]);
}

static void shared_dropout_backward(const plain_call *c)
{
    mask_shared(c, c->dy);
}

static void noise_forward(const plain_call *c)
{
    const uint64_t *keys = cnnbn__sample_keys(c->u, c->o, CNNBN_RNG_DROPOUT);
    kernels(c)->noise(c->n, c->x_count, c->o->plain.value, keys, c->x[0], c->out);
}

/* ---------------------------------------------------------------- the table */

const plain_type cnnbn__plain_types[PLAIN_COUNT] = {
    [PLAIN_PAD] = {.forward = pad_forward, .backward = pad_backward},
    [PLAIN_UPSAMPLE] = {.forward = upsample_forward, .backward = upsample_backward},
    [PLAIN_BILINEAR] = {.forward = bilinear_forward, .backward = bilinear_backward},
    [PLAIN_TRANSPOSE] = {.forward = transpose_forward, .backward = transpose_backward},
    [PLAIN_CONV_TRANSPOSE] = {.forward = cnnbn__conv_transpose_forward,
                              .backward = cnnbn__conv_transpose_backward,
                              .keeps_x = 1},
    [PLAIN_AFFINE] = {.forward = affine_forward, .backward = affine_backward},
    [PLAIN_MULTIPLY] = {.forward = multiply_forward, .backward = multiply_backward, .keeps_x = 1},
    [PLAIN_CHANNEL_MULTIPLY] = {.forward = channel_multiply_forward,
                                .backward = channel_multiply_backward,
                                .keeps_x = 1},
    [PLAIN_MAXIMUM] = {.forward = maximum_forward, .backward = maximum_backward, .keeps_x = 1},
    [PLAIN_PRELU] = {.forward = prelu_forward, .backward = prelu_backward, .keeps_x = 1},
    [PLAIN_NORMALIZE] = {.forward = normalize_forward,
                         .backward = normalize_backward,
                         .keeps_x = 1,
                         .workspace = normalize_workspace},
    [PLAIN_UNIT] = {.forward = unit_forward, .backward = unit_backward, .keeps_x = 1},
    [PLAIN_SHARED_DROPOUT] = {.forward = shared_dropout_forward,
                              .backward = shared_dropout_backward,
                              .training_only = 1,
                              .workspace = shared_dropout_workspace},
    [PLAIN_NOISE] = {.forward = noise_forward, .training_only = 1},
    [PLAIN_FLIP] = {.forward = cnnbn__flip_forward, .backward = cnnbn__flip_backward, .training_only = 1},
    [PLAIN_MAP] = {.forward = cnnbn__map_forward, .backward = cnnbn__map_backward, .training_only = 1},
    [PLAIN_CONTRAST] = {.forward = cnnbn__contrast_forward,
                        .backward = cnnbn__contrast_backward,
                        .keeps_x = 1,
                        .training_only = 1},
    [PLAIN_CROP] = {.forward = cnnbn__crop_forward, .backward = cnnbn__crop_backward},
};

static plain_call call_of(const work_unit *u, const instr *in)
{
    const op *o = &u->net->ops[in->op];
    const value *x = &u->net->graph_values[o->in[0]], *y = &u->net->graph_values[o->out];
    plain_call c = {
        .u = u,
        .o = o,
        .n = u->n,
        .x_shape = x->shape,
        .y_shape = y->shape,
        .x_count = x->count,
        .y_count = y->count,
        .out = in->out >= 0 ? cnnbn__instr_array(u, in->out) : NULL,
        .which = in->which,
        .w0 = cnnbn__weight(u->net, o->kernel),
        .w1 = cnnbn__weight(u->net, o->bias),
        .workspace = u->thread->workspace,
    };
    return c;
}

void cnnbn__plain_forward(const work_unit *u, const instr *in)
{
    plain_call c = call_of(u, in);
    for (int k = 0; k < in->n_in; k++) c.x[k] = cnnbn__instr_array(u, in->in[k]);
    cnnbn__plain_types[c.o->plain.kind].forward(&c);
}

void cnnbn__plain_backward(const work_unit *u, const instr *in)
{
    plain_call c = call_of(u, in);
    c.dy = cnnbn__instr_array(u, in->in[0]);
    for (int k = 1; k < in->n_in; k++) c.x[k - 1] = cnnbn__instr_array(u, in->in[k]);
    const net_level *lv = &u->prog->levels[in->level];
    const int params[2] = {c.o->kernel, c.o->bias};
    size_t at = (size_t)u->entry * lv->stack_floats + in->stack_offset;
    c.stride = lv->stack_floats;
    for (int k = 0; k < 2 && in->which == 0; k++) {
        if (params[k] < 0) continue;
        const cnnbn_param *p = &u->net->model->params[params[k]];
        if (p->trainable) *(k ? &c.dw1 : &c.dw0) = u->thread->stack + at;
        at += (p->count + 15) / 16 * 16;
    }
    cnnbn__plain_types[c.o->plain.kind].backward(&c);
}

size_t cnnbn__plain_workspace(const cnnbn_net *net, const op *o, int n)
{
    const plain_type *type = &cnnbn__plain_types[o->plain.kind];
    return type->workspace ? type->workspace(o, net->graph_values[o->in[0]].count, n) : 0;
}

int cnnbn__op_is_training_only(const op *o)
{
    return o->kind == OP_DROPOUT || (o->kind == OP_PLAIN && cnnbn__plain_types[o->plain.kind].training_only);
}

int cnnbn__op_is_transposed(const op *o)
{
    return o->kind == OP_PLAIN && o->plain.kind == PLAIN_CONV_TRANSPOSE && !o->dead;
}

int cnnbn__op_has_conv(const op *o)
{
    return o->kind == OP_CONV || cnnbn__op_is_transposed(o);
}
