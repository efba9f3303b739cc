/* The layer types, one line each: the table of layer_table.c and their declarations come from here. */
#ifndef CNNBN_MODEL_LAYER_TYPES_H
#define CNNBN_MODEL_LAYER_TYPES_H

#include "cnnbn/layer.h"

#define CNNBN__LAYER_TYPES(X)   \
    X(conv2d)                   \
    X(depthwise_conv2d)         \
    X(separable_conv2d)         \
    X(conv2d_transpose)         \
    X(conv1d)                   \
    X(batch_normalization)      \
    X(layer_normalization)      \
    X(group_normalization)      \
    X(unit_normalization)       \
    X(layer_scale)              \
    X(dense)                    \
    X(flatten)                  \
    X(reshape)                  \
    X(zero_padding2d)           \
    X(cropping2d)               \
    X(up_sampling2d)            \
    X(activation)               \
    X(relu)                     \
    X(leaky_relu)               \
    X(prelu)                    \
    X(elu)                      \
    X(softmax)                  \
    X(max_pooling2d)            \
    X(average_pooling2d)        \
    X(global_max_pooling2d)     \
    X(global_average_pooling2d) \
    X(max_pooling1d)            \
    X(average_pooling1d)        \
    X(global_max_pooling1d)     \
    X(global_average_pooling1d) \
    X(dropout)                  \
    X(spatial_dropout2d)        \
    X(gaussian_noise)           \
    X(rescaling)                \
    X(normalization)            \
    X(random_flip)              \
    X(random_crop)              \
    X(random_translation)       \
    X(random_rotation)          \
    X(random_contrast)          \
    X(add)                      \
    X(subtract)                 \
    X(multiply)                 \
    X(average)                  \
    X(maximum)                  \
    X(minimum)                  \
    X(concatenate)

#define CNNBN_X(name) extern const cnnbn_layer_type cnnbn__layer_##name;
CNNBN__LAYER_TYPES(CNNBN_X)
#undef CNNBN_X

#endif
