/* The builder, for the files that hold its operations (build.c, build_plain.c). */
#ifndef CNNBN_NN_BUILDER_H
#define CNNBN_NN_BUILDER_H

#include "ir.h"

typedef struct net_builder {
    cnnbn_builder base; /* first: layers see this */
    cnnbn_net *net;
    int layer;
    cnnbn_status status;
} net_builder;

static inline net_builder *cnnbn__builder_self(cnnbn_builder *b)
{
    return (net_builder *)(void *)b;
}

/* A failure keeps the builder going with value 0; the first one is reported at the end. Returns 0. */
int cnnbn__builder_failed(net_builder *b, cnnbn_status status);
/* A new operation and its value. */
op *cnnbn__builder_op(net_builder *b, op_kind kind, int n_in, const int *in, cnnbn_shape out_shape);
cnnbn_shape cnnbn__builder_shape(net_builder *b, int v);
cnnbn_shape cnnbn__shape_hwc(int h, int w, int c);

/* Geometry of a window over an input. */
void cnnbn__builder_window(op *o, const cnnbn_window *win, cnnbn_shape in, int filters, int groups);

/* build_plain.c; contracts in cnnbn/layer.h */
int cnnbn__build_pad(cnnbn_builder *base, int x, int top, int bottom, int left, int right);
int cnnbn__build_upsample(cnnbn_builder *base, int x, int rows, int columns);
int cnnbn__build_upsample_bilinear(cnnbn_builder *base, int x, int rows, int columns);
int cnnbn__build_transpose(cnnbn_builder *base, int x, int rows, int columns, cnnbn_shape out);
int cnnbn__build_conv2d_transpose(cnnbn_builder *base, int x, const cnnbn_window *window, cnnbn_shape out, int kernel,
                                  int bias);
int cnnbn__build_affine(cnnbn_builder *base, int x, int n, const double *scale, const double *offset);
int cnnbn__build_multiply(cnnbn_builder *base, int x, int y);
int cnnbn__build_maximum(cnnbn_builder *base, int x, int y);
int cnnbn__build_prelu(cnnbn_builder *base, int x, int alpha);
int cnnbn__build_normalize(cnnbn_builder *base, int x, int positions, int channels, int groups, double epsilon,
                           int gamma, int beta);
int cnnbn__build_unit_normalize(cnnbn_builder *base, int x);
int cnnbn__build_shared_dropout(cnnbn_builder *base, int x, double rate, cnnbn_shape mask);
int cnnbn__build_noise(cnnbn_builder *base, int x, double stddev);
int cnnbn__build_random_flip(cnnbn_builder *base, int x, int horizontal, int vertical);
int cnnbn__build_random_map(cnnbn_builder *base, int x, const cnnbn_random_map *map);
int cnnbn__build_random_contrast(cnnbn_builder *base, int x, const double amount[2], const double range[2]);
int cnnbn__build_random_crop(cnnbn_builder *base, int x, int height, int width);

#endif
