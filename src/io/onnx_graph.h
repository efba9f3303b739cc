/* A model as a list of ONNX' operations. It is made by the builder that every layer is lowered to (layer.h), so a layer of known
 * operations needs nothing of its own here. A value is the index of the operation that makes it. */
#ifndef CNNBN_IO_ONNX_GRAPH_H
#define CNNBN_IO_ONNX_GRAPH_H

#include "cnnbn/layer.h"

typedef enum cnnbn__onnx_kind {
    CNNBN__ONNX_INPUT,
    CNNBN__ONNX_CONV,
    CNNBN__ONNX_DENSE,
    CNNBN__ONNX_BATCHNORM,
    CNNBN__ONNX_ACTIVATION,
    CNNBN__ONNX_SOFTMAX,
    CNNBN__ONNX_MAXPOOL,
    CNNBN__ONNX_AVGPOOL,
    CNNBN__ONNX_GLOBAL_AVGPOOL,
    CNNBN__ONNX_RESHAPE,
    CNNBN__ONNX_ADD,
    CNNBN__ONNX_CONCAT,
    CNNBN__ONNX_CONV_TRANSPOSE,
    CNNBN__ONNX_PAD,
    CNNBN__ONNX_UPSAMPLE,
    CNNBN__ONNX_TRANSPOSE,
    CNNBN__ONNX_AFFINE,
    CNNBN__ONNX_MULTIPLY,
    CNNBN__ONNX_MAXIMUM,
    CNNBN__ONNX_PRELU,
    CNNBN__ONNX_NORMALIZE,
    CNNBN__ONNX_UNIT_NORMALIZE
} cnnbn__onnx_kind;

typedef struct cnnbn__onnx_op {
    cnnbn__onnx_kind kind;
    int layer; /* index; -1: the input */
    int n_in;
    int *in;           /* owned */
    cnnbn_shape shape; /* of the output, channels last */
    cnnbn_window window;
    int filters, groups;
    int kernel, bias;                              /* weights; -1: none */
    int gamma, beta, moving_mean, moving_variance; /* weights; gamma, beta -1: none */
    double epsilon;
    cnnbn_activation act;
    int border[4];                   /* pad: top, bottom, left, right; negative: cut off */
    int rows, columns;               /* transpose */
    int bilinear;                    /* upsample */
    int positions, channels, period; /* normalize; affine */
    float *scale, *offset;           /* affine: [period], one block, owned by `scale` */
    int n_uses;
    int folded; /* of a convolution or dense layer: the batch norm that is part of its weights; else -1 */
    int gone;   /* a batch norm that is folded */
} cnnbn__onnx_op;

typedef struct cnnbn__onnx_graph {
    const cnnbn_model *model; /* borrowed */
    int n, room;
    cnnbn__onnx_op *ops;
    int output; /* value */
} cnnbn__onnx_graph;

/* Lowers a model. CNNBN_ERR_MODEL names a layer that cannot be said in ONNX here. */
cnnbn_status cnnbn__onnx_graph_build(const cnnbn_model *model, int fold_bn, cnnbn__onnx_graph *graph) CNNBN_MUST_CHECK;
void cnnbn__onnx_graph_release(cnnbn__onnx_graph *graph);
/* The value itself, or what a folded batch norm stands for. */
int cnnbn__onnx_graph_value(const cnnbn__onnx_graph *graph, int value);

#endif
