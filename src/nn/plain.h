/* Plain operations: one instruction forward, one backward for each input, one row of a table. A new one is a kind in ir.h, a
 * function of the builder, and its row here. */
#ifndef CNNBN_NN_PLAIN_H
#define CNNBN_NN_PLAIN_H

#include "ir.h"

/* What an operation sees of a unit. */
typedef struct plain_call {
    const work_unit *u;
    const op *o;
    int n;                        /* samples */
    cnnbn_shape x_shape, y_shape; /* of the first input and the output */
    size_t x_count, y_count;      /* floats of a sample */
    const float *x[2];            /* inputs; backward: NULL unless the type keeps them */
    const float *dy;              /* backward */
    float *out;                   /* forward: y; backward: gradient of input `which`, or NULL */
    int which;                    /* backward */
    const float *w0, *w1;         /* op->kernel, op->bias or NULL */
    float *dw0, *dw1;             /* backward: their stacks, or NULL */
    size_t stride;                /* of the stacks */
    float *workspace;             /* cnnbn__plain_workspace floats */
} plain_call;

typedef struct plain_type {
    void (*forward)(const plain_call *c);
    void (*backward)(const plain_call *c);                   /* NULL: the gradient goes through unchanged */
    int keeps_x;                                             /* the backward pass reads the inputs */
    int training_only;                                       /* in inference the output is the input */
    size_t (*workspace)(const op *o, size_t x_count, int n); /* floats for n samples; NULL: none */
} plain_type;

/* plain_conv.c */
void cnnbn__conv_transpose_forward(const plain_call *c);
void cnnbn__conv_transpose_backward(const plain_call *c);

extern const plain_type cnnbn__plain_types[PLAIN_COUNT];

void cnnbn__plain_forward(const work_unit *u, const instr *in);
void cnnbn__plain_backward(const work_unit *u, const instr *in);
size_t cnnbn__plain_workspace(const cnnbn_net *net, const op *o, int n);
/* A convolution's plan belongs to it: the convolution itself, and the transposed one. */
int cnnbn__op_has_conv(const op *o);
int cnnbn__op_is_transposed(const op *o);
/* plain_image.c */
void cnnbn__flip_forward(const plain_call *c);
void cnnbn__flip_backward(const plain_call *c);
void cnnbn__map_forward(const plain_call *c);
void cnnbn__map_backward(const plain_call *c);
void cnnbn__contrast_forward(const plain_call *c);
void cnnbn__contrast_backward(const plain_call *c);
void cnnbn__crop_forward(const plain_call *c);
void cnnbn__crop_backward(const plain_call *c);
/* Dropout and its like. */
int cnnbn__op_is_training_only(const op *o);

#endif
