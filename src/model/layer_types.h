/* The layer types, one line each: the table of layer_table.c and their declarations come from here. */
#ifndef CNNBN_MODEL_LAYER_TYPES_H
#define CNNBN_MODEL_LAYER_TYPES_H

#include "cnnbn/layer.h"

#define CNNBN__LAYER_TYPES(X)   \
    X(conv2d)                   \
    X(depthwise_conv2d)         \
    X(batch_normalization)      \
    X(dense)                    \
    X(flatten)                  \
    X(reshape)                  \
    X(activation)               \
    X(relu)                     \
    X(leaky_relu)               \
    X(elu)                      \
    X(softmax)                  \
    X(max_pooling2d)            \
    X(average_pooling2d)        \
    X(global_average_pooling2d) \
    X(dropout)                  \
    X(add)                      \
    X(concatenate)

#define CNNBN_X(name) extern const cnnbn_layer_type cnnbn__layer_##name;
CNNBN__LAYER_TYPES(CNNBN_X)
#undef CNNBN_X

#endif
