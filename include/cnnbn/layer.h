/* How a layer of Keras' vocabulary is described: one file a layer (or family) in src/model, one line in
 * layer_types.h there. The file holds the arguments with Keras' names and defaults, the shape rule, the weights in Keras' order,
 * and the lowering: which operations compute the layer. The operations are the builder's (nn implements it); backward passes
 * follow from them, so a layer built of present operations needs nothing else anywhere.
 */
#ifndef CNNBN_LAYER_H
#define CNNBN_LAYER_H

#include "cnnbn/activation.h"
#include "cnnbn/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------- arguments */

typedef enum cnnbn_arg_kind {
    CNNBN_ARG_INT,         /* i[0] */
    CNNBN_ARG_PAIR,        /* i[0], i[1]: a number stands for both */
    CNNBN_ARG_FLOAT,       /* f */
    CNNBN_ARG_BOOL,        /* i[0] */
    CNNBN_ARG_CHOICE,      /* i[0]: index into spec->choices */
    CNNBN_ARG_ACTIVATION,  /* act: name or Keras' object form */
    CNNBN_ARG_INITIALIZER, /* init: name or Keras' object form */
    CNNBN_ARG_REGULARIZER, /* regularizer: null, name, Keras' object form, or {l1: .., l2: ..} */
    CNNBN_ARG_CONSTRAINT,  /* constraint: null, name or Keras' object form */
    CNNBN_ARG_SHAPE,       /* shape: a list of up to CNNBN_RANK_MAX dimensions, one of them possibly -1 */
    CNNBN_ARG_AXES,        /* shape: an axis or a list of up to CNNBN_RANK_MAX of them; rank 0 for null */
    CNNBN_ARG_NOISE, /* shape: a list with the batch's null in front, the others null (here 0: the axis' size) or a size;
                        rank 0 for null */
    CNNBN_ARG_BORDER,   /* i[0..3] top, bottom, left, right: 1, [1, 2] or [[1, 1], [2, 2]] */
    CNNBN_ARG_INTERVAL, /* interval: [low, high] with low <= high; a number x stands for [-x, x] where min = -max, for
                              [x, x] where min is 0, and is refused elsewhere. The fallback: "low high" */
    CNNBN_ARG_LIST      /* list: a number or up to CNNBN_LIST_MAX of them; n 0 for null */
} cnnbn_arg_kind;

/* An activation argument: an element-wise one, or softmax. */
typedef struct cnnbn_arg_act {
    int softmax;
    cnnbn_activation act;
} cnnbn_arg_act;

enum { CNNBN_LIST_MAX = 16 };

union cnnbn_arg {
    int i[4];
    double f;
    double interval[2];
    struct {
        int n;
        double value[CNNBN_LIST_MAX];
    } list;
    cnnbn_arg_act act;
    cnnbn_init init;
    cnnbn_regularizer regularizer;
    cnnbn_constraint constraint;
    cnnbn_shape shape;
};

typedef struct cnnbn_arg_spec {
    const char *name; /* Keras' */
    cnnbn_arg_kind kind;
    int required;
    const char *fallback;       /* default as it would be written in YAML: "1", "valid", "linear"; NULL when required.
                                   "null" is min - 1 twice for a PAIR, INFINITY for a FLOAT, no regularizer, ... */
    const char *const *choices; /* CHOICE: NULL-ended; others NULL */
    double min, max;            /* INT, PAIR, FLOAT, INTERVAL, LIST: allowed range, inclusive */
} cnnbn_arg_spec;

/* ---------------------------------------------------------------- operations a layer is lowered to */

/* Values are small integers given out by the builder. A weight is an index into model->params, or -1 for none. */
typedef struct cnnbn_builder cnnbn_builder;

typedef struct cnnbn_window { /* of a convolution or pooling */
    int R, S, stride_h, stride_w, dil_h, dil_w, pad_top, pad_left, P, Q;
} cnnbn_window;

/* Keras' RandomTranslation and RandomRotation: intervals to draw from, uniformly, for each sample. */
typedef struct cnnbn_random_map {
    double height[2], width[2]; /* down and to the right, in parts of the image's height and width */
    double turn[2];             /* in full turns about the centre, counter-clockwise */
    int bilinear;               /* else the nearest pixel */
    int fill_mode;              /* 0 reflect, 1 wrap, 2 constant, 3 nearest */
    double fill_value;
} cnnbn_random_map;

typedef struct cnnbn_builder_ops {
    int (*conv2d)(cnnbn_builder *b, int x, const cnnbn_window *window, int filters, int groups, int kernel, int bias);
    /* The adjoint, by the data, of a convolution without bias from `out` (height, width, filters) to x: window and kernel
     * [R][S][filters][channels of x] are that convolution's. Then a bias of `filters`. */
    int (*conv2d_transpose)(cnnbn_builder *b, int x, const cnnbn_window *window, cnnbn_shape out, int kernel, int bias);
    int (*dense)(cnnbn_builder *b, int x, int units, int kernel, int bias); /* over the last axis of a rank-1 value */
    int (*batchnorm)(cnnbn_builder *b, int x, int gamma, int beta, int moving_mean, int moving_variance,
                     double momentum, double epsilon, int frozen,
                     int unbiased); /* frozen: moving statistics in training too */
    int (*activation)(cnnbn_builder *b, int x, cnnbn_activation act);
    int (*softmax)(cnnbn_builder *b, int x);
    int (*maxpool)(cnnbn_builder *b, int x, const cnnbn_window *window);
    int (*avgpool)(cnnbn_builder *b, int x, const cnnbn_window *window);
    int (*global_avgpool)(cnnbn_builder *b, int x, int keepdims);
    int (*dropout)(cnnbn_builder *b, int x, double rate);
    int (*reshape)(cnnbn_builder *b, int x, cnnbn_shape shape);
    int (*add)(cnnbn_builder *b, int n, const int *x);
    int (*concat)(cnnbn_builder *b, int n, const int *x); /* along channels */
    /* Zeros around an image, or rows and columns cut off it where a number is negative. */
    int (*pad)(cnnbn_builder *b, int x, int top, int bottom, int left, int right);
    int (*upsample)(cnnbn_builder *b, int x, int rows, int columns); /* each pixel repeated */
    /* By pixel centres: output pixel i lies at (i + 1/2)/rows - 1/2, the border repeated. */
    int (*upsample_bilinear)(cnnbn_builder *b, int x, int rows, int columns);
    /* A sample seen as [..][rows][columns] becomes [..][columns][rows], of the shape `out`. */
    int (*transpose)(cnnbn_builder *b, int x, int rows, int columns, cnnbn_shape out);
    /* x*scale[c % n] + offset[c % n], n 1 or the channels; the arrays are copied. */
    int (*affine)(cnnbn_builder *b, int x, int n, const double *scale, const double *offset);
    int (*multiply)(cnnbn_builder *b, int x, int y); /* y of the shape of x, or of (1, 1, channels) */
    int (*maximum)(cnnbn_builder *b, int x, int y);
    int (*prelu)(cnnbn_builder *b, int x, int alpha); /* the weights' count divides x's */
    /* Layer and group normalisation: x seen as rows of `positions` times `channels`; gamma, beta: weights or -1. */
    int (*normalize)(cnnbn_builder *b, int x, int positions, int channels, int groups, double epsilon, int gamma,
                     int beta);
    int (*unit_normalize)(cnnbn_builder *b, int x); /* over the last axis */
    /* One draw for all that meets in `mask`, whose dimensions are 1 or those of x: (1, 1, channels) drops whole channels of a
     * sample, (1, 1, 1) the sample. */
    int (*shared_dropout)(cnnbn_builder *b, int x, double rate, cnnbn_shape mask);
    int (*noise)(cnnbn_builder *b, int x, double stddev); /* in training */
    /* Of images, for each sample anew, in training; in inference x itself. A flip: each direction with probability 1/2. */
    int (*random_flip)(cnnbn_builder *b, int x, int horizontal, int vertical);
    int (*random_map)(cnnbn_builder *b, int x, const cnnbn_random_map *map);
    /* (x - mean)*f + mean of each channel, f from 1 - amount[0] to 1 + amount[1]; then clipped to range. */
    int (*random_contrast)(cnnbn_builder *b, int x, const double amount[2], const double range[2]);
    /* A window of height times width, no larger than x; in inference the greatest centred window of its proportions, made
     * that size by bilinear interpolation. */
    int (*random_crop)(cnnbn_builder *b, int x, int height, int width);
} cnnbn_builder_ops;

struct cnnbn_builder { /* nn's builder starts with this */
    const cnnbn_builder_ops *ops;
    const cnnbn_model *model;
};

/* ---------------------------------------------------------------- the type */

struct cnnbn_layer_type {
    const char *name;   /* Keras' class name */
    const char *prefix; /* of automatic names: "conv2d" gives conv2d, conv2d_1, ... */
    const cnnbn_arg_spec *args;
    int n_args;
    int min_inputs, max_inputs;
    /* Output shape; CNNBN_ERR_MODEL with a message that states the shapes (the caller adds the layer's name). */
    cnnbn_status (*shape)(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in, cnnbn_shape *out);
    /* Appends the weights (cnnbn_model_add_param), in Keras' order; NULL: none. */
    cnnbn_status (*params)(const cnnbn_layer *layer, const cnnbn_shape *in, cnnbn_model *model, int layer_index);
    /* Emits operations for one call; returns the value of the output. in: values of the inputs. */
    int (*lower)(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in, const cnnbn_shape *in_shapes,
                 cnnbn_shape out_shape);
};

/* NULL-ended; layer_table.c. */
extern const cnnbn_layer_type *const cnnbn__layer_types[];
CNNBN_API const cnnbn_layer_type *cnnbn_layer_type_find(const char *name); /* NULL when there is none */

/* Argument of a layer by name: for the layer files (the name must be in the table). */
CNNBN_API const cnnbn_arg *cnnbn_layer_arg(const cnnbn_layer *layer, const char *name);

/* Appends a weight of `layer_index` to model->params; fan_in and fan_out for the initialisers. */
CNNBN_API cnnbn_status cnnbn_model_add_param(cnnbn_model *model, int layer_index, const char *name, int rank,
                                             const int *dim, int trainable, int decays, cnnbn_init init, int fan_in,
                                             int fan_out) CNNBN_MUST_CHECK;

/* Window geometry of Keras' padding on one call (NUMERICS: same padding as TensorFlow: total = max((ceil(in/stride)-1)*stride
 * + (k-1)*dil + 1 - in, 0), the odd one at bottom/right). CNNBN_ERR_MODEL when the window does not fit. */
CNNBN_API cnnbn_status cnnbn_window_fill(cnnbn_window *window, cnnbn_shape in, const int kernel[2],
                                         const int strides[2], const int dilation[2], int same) CNNBN_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
