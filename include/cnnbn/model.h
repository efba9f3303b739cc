/* The model as the user wrote it: a directed acyclic graph of layers in Keras' words. No numbers: weights live in nn
 * and io. Read from YAML, from Keras JSON (both dialects, Sequential and Functional), or from a built-in name; written
 * as the minimal Keras JSON that every Keras from 2.3 on opens.
 */
#ifndef CNNBN_MODEL_H
#define CNNBN_MODEL_H

#include <stddef.h>
#include <stdio.h>
#include "cnnbn/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Shape of one sample: [features], [length, channels] or [height, width, channels]. */
enum { CNNBN_RANK_MAX = 3, CNNBN_PARAM_RANK_MAX = 4, CNNBN_NAME_MAX = 128, CNNBN_INPUTS_MAX = 64 };
typedef struct cnnbn_shape {
    int rank;
    int dim[CNNBN_RANK_MAX];
} cnnbn_shape;

/* Elements of one sample. Shapes in a cnnbn_model are checked: the product fits an int. */
CNNBN_API size_t cnnbn_shape_count(cnnbn_shape shape);
/* "(26, 26, 32)"; `text` of at least 48 bytes. Returns text. */
CNNBN_API const char *cnnbn_shape_text(cnnbn_shape shape, char *text, size_t bytes);

/* How a weight starts; Keras' names, "glorot_uniform" and so on. */
typedef enum cnnbn_init_kind {
    CNNBN_INIT_ZEROS,
    CNNBN_INIT_ONES,
    CNNBN_INIT_CONSTANT,
    CNNBN_INIT_GLOROT_UNIFORM,
    CNNBN_INIT_GLOROT_NORMAL,
    CNNBN_INIT_HE_UNIFORM,
    CNNBN_INIT_HE_NORMAL,
    CNNBN_INIT_LECUN_UNIFORM,
    CNNBN_INIT_LECUN_NORMAL,
    CNNBN_INIT_RANDOM_UNIFORM,
    CNNBN_INIT_RANDOM_NORMAL,
    CNNBN_INIT_TRUNCATED_NORMAL,
    CNNBN_INIT_VARIANCE_SCALING, /* where it is none of glorot, he and lecun */
    CNNBN_INIT_ORTHOGONAL,       /* of weights of two dimensions and more */
    CNNBN_INIT_IDENTITY,         /* of weights of two dimensions */
    CNNBN_INIT_COUNT
} cnnbn_init_kind;

/* Of variance scaling: the variance is scale over this fan, of this distribution. */
typedef enum cnnbn_init_fan { CNNBN_FAN_IN, CNNBN_FAN_OUT, CNNBN_FAN_AVG } cnnbn_init_fan;
typedef enum cnnbn_init_spread {
    CNNBN_SPREAD_TRUNCATED_NORMAL,
    CNNBN_SPREAD_UNIFORM,
    CNNBN_SPREAD_NORMAL
} cnnbn_init_spread;

typedef struct cnnbn_init {
    cnnbn_init_kind kind;
    double a, b; /* constant: value; uniform: minval, maxval; normal: mean, stddev; variance scaling: scale;
                    orthogonal, identity: gain */
    cnnbn_init_fan fan;
    cnnbn_init_spread spread;
} cnnbn_init;

/* Keras' l1, l2, l1_l2: adds l1*sum(|w|) + l2*sum(w^2) to the loss, without a half. */
typedef struct cnnbn_regularizer {
    double l1, l2;
} cnnbn_regularizer;

/* What is done to a weight after each update, with norm = sqrt(sum of w^2 over axes), one for each index of the others:
 * max_norm, unit_norm and min_max_norm: w *= (rate*clip(norm, min, max) + (1 - rate)*norm) / (norm + 1e-7), the 1e-7
 * being keras.backend.epsilon(); non_neg: w = max(w, 0). */
typedef enum cnnbn_constraint_kind {
    CNNBN_CONSTRAINT_NONE,
    CNNBN_CONSTRAINT_MAX_NORM,
    CNNBN_CONSTRAINT_NON_NEG,
    CNNBN_CONSTRAINT_UNIT_NORM,
    CNNBN_CONSTRAINT_MIN_MAX_NORM
} cnnbn_constraint_kind;

typedef struct cnnbn_constraint {
    cnnbn_constraint_kind kind;
    double min, max, rate;
    int n_axes, axes[CNNBN_PARAM_RANK_MAX]; /* as written; negative: from the last */
} cnnbn_constraint;

/* One weight of a layer, in Keras' order within the layer. */
typedef struct cnnbn_param {
    char name[32]; /* "kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance" */
    int layer;     /* index into layers */
    int rank;
    int dim[CNNBN_PARAM_RANK_MAX];
    size_t count;        /* product of dim */
    int trainable;       /* 0: moving statistics, and every weight of a layer with trainable: false */
    int decays;          /* weight decay applies (kernels; not biases, gamma, beta) */
    int fan_in, fan_out; /* for the initialisers */
    cnnbn_init init;
    cnnbn_regularizer regularizer; /* zeros where there is none, or the weight does not train */
    cnnbn_constraint constraint;   /* axes are counted from the front here */
} cnnbn_param;

typedef struct cnnbn_layer_type cnnbn_layer_type; /* layer.h */
typedef union cnnbn_arg cnnbn_arg;                /* layer.h */

typedef struct cnnbn_layer {
    char name[CNNBN_NAME_MAX]; /* unique in the model */
    const cnnbn_layer_type *type;
    cnnbn_arg *args; /* [type->n_args], defaults filled in */
    int trainable;
    int first_param, n_params; /* into params */
    int group;                 /* the model inside the model that it was part of when read; -1: none */
} cnnbn_layer;

/* A model that was a layer of the model: its layers are the model's own now. What is kept is for files of weights, in which
 * it still is one. Its layers stand one after another, in its order. */
typedef struct cnnbn_group {
    char name[CNNBN_NAME_MAX];
    int parent; /* the group around it; -1: the model */
    int sequential;
} cnnbn_group;

/* One use of a layer. Calls are in topological order; a layer called twice has two. The first calls are the inputs. */
typedef struct cnnbn_call {
    int layer; /* -1: the model's input */
    int n_inputs;
    int inputs[CNNBN_INPUTS_MAX]; /* indices of earlier calls */
    cnnbn_shape shape;            /* of the output */
} cnnbn_call;

typedef struct cnnbn_model {
    char name[CNNBN_NAME_MAX];
    char input_name[CNNBN_NAME_MAX];
    int sequential; /* 1: a chain, written as Sequential; 0: Functional */
    cnnbn_shape input;
    int n_layers;
    cnnbn_layer *layers;
    int n_calls;
    cnnbn_call *calls; /* calls[0] is the input */
    int output;        /* index of the call whose value is the model's output */
    int n_params;
    cnnbn_param *params; /* layer after layer, in the order of layers */
    int n_groups;
    cnnbn_group *groups;
    struct cnnbn_model
        *whole;       /* owned: with what makes outputs of groups that nobody uses, which Keras' files of weights hold
                                  too; NULL: there is nothing more */
    int *whole_layer; /* [n_layers], with whole: the same layer there */
} cnnbn_model;

/* Normalisation of a built-in model. */
typedef enum cnnbn_norm {
    CNNBN_NORM_OWN, /* as the model is */
    CNNBN_NORM_BATCH,
    CNNBN_NORM_LAYER, /* LayerNormalization over the channels of each position */
    CNNBN_NORM_GROUP, /* GroupNormalization: 32 groups, but at least 4 channels each */
    CNNBN_NORM_NONE,  /* convolutions with biases instead */
    CNNBN_NORM_COUNT
} cnnbn_norm;

/* What is asked of a model. Input shape and number of classes, by the data; rank 0 / n_classes 0 when not known: built-in models
 * and YAML files without `input:` take the shape; built-ins take the classes. The normalisation, by the user: keras-example and
 * the residual networks take it, any other model is refused unless it is CNNBN_NORM_OWN. */
typedef struct cnnbn_model_wish {
    cnnbn_shape input;
    int n_classes;
    cnnbn_norm norm;
} cnnbn_model_wish;

/* "batch", "layer", "group", "none". CNNBN_ERR_OPTION names these. */
CNNBN_API cnnbn_status cnnbn_norm_read(const char *text, cnnbn_norm *out) CNNBN_MUST_CHECK;

/* Model by what the user typed: the name of a built-in, or a file: .yaml/.yml, .json (Keras). (.h5 goes through io, which
 * hands its model_config to cnnbn_model_from_json.) Reads the file, checks the graph, infers shapes, lists weights.
 * Local. *out owned: cnnbn_model_destroy. Errors: CNNBN_ERR_MODEL, naming file, layer, argument, value and what can be
 * done; CNNBN_ERR_IO when the file cannot be read. */
CNNBN_API cnnbn_status cnnbn_model_load(const char *name_or_path, const cnnbn_model_wish *wish,
                                        cnnbn_model **out) CNNBN_MUST_CHECK;

/* The same from text in memory; `origin` is named in messages. YAML and JSON, told apart by the content. */
CNNBN_API cnnbn_status cnnbn_model_from_text(const char *text, size_t bytes, const char *origin,
                                             const cnnbn_model_wish *wish, cnnbn_model **out) CNNBN_MUST_CHECK;
CNNBN_API void cnnbn_model_destroy(cnnbn_model *model); /* NULL is fine */

/* Keras' model_config JSON (KERAS dialect 2: opens everywhere), NUL-ended; *out owned: cnnbn_free. */
CNNBN_API cnnbn_status cnnbn_model_to_json(const cnnbn_model *model, char **out) CNNBN_MUST_CHECK;
/* The model as YAML that cnnbn_model_load reads back to the same model. *out owned: cnnbn_free. */
CNNBN_API cnnbn_status cnnbn_model_to_yaml(const cnnbn_model *model, char **out) CNNBN_MUST_CHECK;

/* Fails (CNNBN_ERR_MODEL) with the first layer, argument or weight in which b differs from a. Layer names may differ. */
CNNBN_API cnnbn_status cnnbn_model_same(const cnnbn_model *a, const cnnbn_model *b) CNNBN_MUST_CHECK;

/* Keras' summary table: layer (type), output shape, parameters; totals. */
CNNBN_API void cnnbn_model_print_summary(const cnnbn_model *model, FILE *out);

/* The graph as a drawing for Graphviz (dot -Tpng): a box for each use of a layer, with its shape and parameters. */
CNNBN_API cnnbn_status cnnbn_model_write_dot(const cnnbn_model *model, FILE *out) CNNBN_MUST_CHECK;

CNNBN_API size_t cnnbn_model_count_params(const cnnbn_model *model, int trainable_only);
/* Units of the output: classes. */
CNNBN_API int cnnbn_model_n_outputs(const cnnbn_model *model);

/* Names of the built-in models, NULL-ended, borrowed for ever. */
CNNBN_API const char *const *cnnbn_model_builtin_names(void);

/* The loss that Keras' compile() was given. */
typedef struct cnnbn_compiled {
    char loss[64]; /* its function's name with the short forms mse, mae, huber; "" when none was given */
    double label_smoothing, delta; /* 0 and 1 when not given */
} cnnbn_compiled;
/* From the training_config of an .h5 or the config.json of a .keras. `from` is the file, for messages. */
CNNBN_API cnnbn_status cnnbn_model_compiled(const char *json, const char *from, cnnbn_compiled *out) CNNBN_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
