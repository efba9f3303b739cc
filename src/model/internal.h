/* What the files of src/model share. */
#ifndef CNNBN_MODEL_INTERNAL_H
#define CNNBN_MODEL_INTERNAL_H

#include "cnnbn/layer.h"
#include "cnnbn/model.h"
#include "doc.h"
#include "text.h"

/* In a layer's first_param, until names are given: another name is found for it when its own is taken. */
enum { CNNBN__NAME_GIVES_WAY = -1 };

enum { CNNBN__LAYERS_MAX = 10000, CNNBN__CALLS_MAX = 20000, CNNBN__EDGES_MAX = 100000, CNNBN__SHOW_MAX = 100 };

/* ---------------------------------------------------------------- words.c: activations and initialisers by name */

/* Reads a name or Keras' object form; CNNBN_ERR_MODEL names what is known. */
cnnbn_status cnnbn__activation_read(const cnnbn__node *node, cnnbn_arg_act *out) CNNBN_MUST_CHECK;
/* The name that every Keras knows; NULL when the activation has parameters that no name stands for. */
const char *cnnbn__activation_word(cnnbn_arg_act act);
/* As that name, or where there is none as the layer that computes it, in Keras' object form. */
void cnnbn__activation_write(cnnbn__text *text, cnnbn_arg_act act, int keras);
cnnbn_status cnnbn__initializer_read(const cnnbn__node *node, cnnbn_init *out) CNNBN_MUST_CHECK;
/* Name ("glorot_uniform"), class ("GlorotUniform") and argument names (NULL: none) of a kind. */
typedef struct cnnbn__init_word {
    const char *name, *class_name, *arg_a, *arg_b;
    double a, b; /* defaults */
} cnnbn__init_word;
const cnnbn__init_word *cnnbn__initializer_word(cnnbn_init_kind kind);
/* Whether its class has other names in other versions of Keras, which all take the word for the class as well. */
int cnnbn__initializer_by_word(cnnbn_init_kind kind);
/* By cnnbn_init_fan and cnnbn_init_spread, NULL-ended. */
extern const char *const cnnbn__fan_words[], *const cnnbn__spread_words[];

/* ---------------------------------------------------------------- rules.c: regularisers and constraints */

cnnbn_status cnnbn__regularizer_read(const cnnbn__node *node, cnnbn_regularizer *out) CNNBN_MUST_CHECK;
cnnbn_status cnnbn__constraint_read(const cnnbn__node *node, cnnbn_constraint *out) CNNBN_MUST_CHECK;
/* In Keras' object form, or as YAML. */
void cnnbn__regularizer_write(cnnbn__text *text, const cnnbn_regularizer *rule, int keras);
void cnnbn__constraint_write(cnnbn__text *text, const cnnbn_constraint *rule, int keras);
/* Gives a weight the rules that its layer's arguments NAME_regularizer and NAME_constraint hold. */
cnnbn_status cnnbn__param_rules(const cnnbn_layer *layer, cnnbn_param *p) CNNBN_MUST_CHECK;

/* Arguments of a weight NAME: CNNBN__WEIGHT_ARGS("kernel", "glorot_uniform"). */
#define CNNBN__WEIGHT_ARGS(name, initializer)                                 \
    {name "_initializer", CNNBN_ARG_INITIALIZER, 0, initializer, NULL, 0, 0}, \
        {name "_regularizer", CNNBN_ARG_REGULARIZER, 0, "null", NULL, 0, 0},  \
    {                                                                         \
        name "_constraint", CNNBN_ARG_CONSTRAINT, 0, "null", NULL, 0, 0       \
    }

/* ---------------------------------------------------------------- args.c */

const cnnbn_arg_spec *cnnbn__arg_find(const cnnbn_layer_type *type, const char *name); /* NULL: none */
/* Value of an argument from a node; CNNBN_ERR_MODEL names argument and value, and what was expected. */
cnnbn_status cnnbn__arg_read(const cnnbn_arg_spec *spec, const cnnbn__node *node, cnnbn_arg *out) CNNBN_MUST_CHECK;
cnnbn_status cnnbn__arg_default(const cnnbn_arg_spec *spec, cnnbn_arg *out) CNNBN_MUST_CHECK;
int cnnbn__arg_equal(const cnnbn_arg_spec *spec, const cnnbn_arg *a, const cnnbn_arg *b);
int cnnbn__arg_is_default(const cnnbn_arg_spec *spec, const cnnbn_arg *arg);

/* ---------------------------------------------------------------- inert.c */

/* A key that is no argument of the layer. CNNBN_OK when it is known to mean nothing at this value; else
 * CNNBN_ERR_MODEL saying what can be done. type NULL: of a key that every layer has. */
cnnbn_status cnnbn__inert_check(const cnnbn_layer_type *type, const cnnbn__node *member) CNNBN_MUST_CHECK;
/* A key of Keras 2 for an argument that has another name now; NULL when it has none. */
const char *cnnbn__arg_alias(const cnnbn_layer_type *type, const char *key);

/* ---------------------------------------------------------------- graph.c: a model under construction */

/* What a model inside the model says of its input: the shape of a call's output. 0: any dimension. */
typedef struct cnnbn__stated {
    int call, group;
    cnnbn_shape shape;
} cnnbn__stated;

typedef struct cnnbn__graph {
    cnnbn_model *model; /* owned until finish */
    int cap_layers, cap_calls;
    cnnbn__stated *stated;
    int n_stated, cap_stated;
    int *offered, n_offered, cap_offered; /* calls that models inside the model have as outputs */
    int *table;                           /* layer index + 1 by hash of the name; 0: free */
    int table_size;
    int n_edges;
} cnnbn__graph;

cnnbn_status cnnbn__graph_create(cnnbn__graph *graph, const char *name) CNNBN_MUST_CHECK;
void cnnbn__graph_destroy(cnnbn__graph *graph);

/* The input; checks name and dimensions. calls[0]. */
cnnbn_status cnnbn__graph_input(cnnbn__graph *graph, const char *name, cnnbn_shape shape) CNNBN_MUST_CHECK;
/* Appends a layer with its arguments at their defaults; name NULL: given by cnnbn__graph_name_layers. */
cnnbn_status cnnbn__graph_layer(cnnbn__graph *graph, const cnnbn_layer_type *type, const char *name,
                                int *out) CNNBN_MUST_CHECK;
/* Appends a call of a layer, without inputs yet. */
cnnbn_status cnnbn__graph_call(cnnbn__graph *graph, int layer, int *out) CNNBN_MUST_CHECK;
cnnbn_status cnnbn__graph_connect(cnnbn__graph *graph, int call, int input) CNNBN_MUST_CHECK;
/* The output of `call` must have this shape, or finishing the graph is refused by the name of the group. */
cnnbn_status cnnbn__graph_state(cnnbn__graph *graph, int call, int group, cnnbn_shape shape) CNNBN_MUST_CHECK;
/* The output of `call` need not be used: a model inside the model offers it. */
cnnbn_status cnnbn__graph_offer(cnnbn__graph *graph, int call) CNNBN_MUST_CHECK;
/* Gives names as Keras does (conv2d, conv2d_1, ...) and checks that no name is there twice. */
cnnbn_status cnnbn__graph_name_layers(cnnbn__graph *graph) CNNBN_MUST_CHECK;
int cnnbn__graph_find(const cnnbn__graph *graph, const char *name); /* layer index; -1: none. After name_layers. */
/* The node-th call of a layer, by the name of the layer or of the input; -1: none. */
int cnnbn__graph_find_call(const cnnbn__graph *graph, const char *name, int node);
/* Orders the calls, infers shapes, lists weights. *out owned; the graph is left empty. */
cnnbn_status cnnbn__graph_finish(cnnbn__graph *graph, int output, cnnbn_model **out) CNNBN_MUST_CHECK;

/* Copies a name, '/' becoming '_' (Keras 3 refuses it), checked for length and control characters. */
cnnbn_status cnnbn__name_copy(const char *what, const char *name, char out[CNNBN_NAME_MAX]) CNNBN_MUST_CHECK;

/* order.c: topological order of the calls, keeping the given order where it is one; refuses cycles. place[n_calls]: where each call
 * has come to stand. */
cnnbn_status cnnbn__order_calls(cnnbn_model *model, int *place) CNNBN_MUST_CHECK;
/* Of ordered calls: refuses those that do not lead to the output, nor to a call that is CNNBN__MAY_END in state [n_calls]; *n_unused:
 * how many lead to such a one alone. */
enum { CNNBN__MAY_END = 2 };
cnnbn_status cnnbn__check_reach(const cnnbn_model *model, unsigned char *state, int *n_unused) CNNBN_MUST_CHECK;
/* prune.c: the model without these. *out owns `whole` then; after a failure the caller does still. */
cnnbn_status cnnbn__prune(cnnbn_model *whole, cnnbn_model **out) CNNBN_MUST_CHECK;
int cnnbn__is_chain(
    const cnnbn_model *model); /* each layer called once, on the call before it, in the order of layers */

/* The calls of each layer, in order: first[layer], then next[call], 0 at the end; use[call] counts them from 0. One block,
 * owned by first: cnnbn_free(uses->first). */
typedef struct cnnbn__uses {
    int *first, *next, *use;
} cnnbn__uses;
cnnbn_status cnnbn__list_uses(const cnnbn_model *model, cnnbn__uses *uses) CNNBN_MUST_CHECK;

/* shape.c: a dimension list into a shape, checked (rank, positive, the product fits an int). */
cnnbn_status cnnbn__shape_check(const char *what, cnnbn_shape shape) CNNBN_MUST_CHECK;
/* params.c: calls the layers' shape and params functions over the ordered calls. */
cnnbn_status cnnbn__infer(cnnbn_model *model) CNNBN_MUST_CHECK;

/* ---------------------------------------------------------------- readers */

/* Name and other keys that every layer has, arguments, inert keys; `skip` names keys the caller has read itself. */
cnnbn_status cnnbn__read_layer_args(cnnbn_layer *layer, const cnnbn__node *config,
                                    const char *const *skip) CNNBN_MUST_CHECK;
/* CNNBN_ERR_MODEL when there is no such layer, naming those there are. */
cnnbn_status cnnbn__find_type(const char *name, const cnnbn_layer_type **out) CNNBN_MUST_CHECK;
/* Puts "layer NAME (Type)" before the message. */
cnnbn_status cnnbn__layer_context(cnnbn_status status, const cnnbn_layer *layer);
/* A list of dimensions; unknown ones (null) taken from the wish. `batch`: the first is the batch's and is dropped. */
cnnbn_status cnnbn__read_shape(const cnnbn__node *list, int batch, const cnnbn_model_wish *wish,
                               cnnbn_shape *out) CNNBN_MUST_CHECK;

cnnbn_status cnnbn__read_yaml(const cnnbn__node *root, const cnnbn_model_wish *wish,
                              cnnbn_model **out) CNNBN_MUST_CHECK;
cnnbn_status cnnbn__read_keras(const cnnbn__node *root, const cnnbn_model_wish *wish,
                               cnnbn_model **out) CNNBN_MUST_CHECK;

/* ---------------------------------------------------------------- writers (write_json.c) */

/* name: value pairs of the arguments that are not at their default; `keras`: quoted as JSON, in Keras' words, without what
 * Keras does not know; else as YAML. Each pair is preceded by ", " but for the first when `first` is set. */
void cnnbn__write_args(cnnbn__text *text, const cnnbn_layer *layer, int keras, int first);

/* ---------------------------------------------------------------- builtin.c */

/* The YAML of a built-in model for a wish (28x28x1, 10 classes where it has none). CNNBN_ERR_MODEL when the input does
 * not suit. `known` is 0 when there is no such name; then text is untouched. */
cnnbn_status cnnbn__builtin_text(const char *name, const cnnbn_model_wish *wish, cnnbn__text *text,
                                 int *known) CNNBN_MUST_CHECK;

typedef struct cnnbn__resnet {
    int bottleneck; /* 1x1, 3x3, 1x1 (x4) instead of 3x3, 3x3 */
    int imagenet;   /* 7x7 stride 2 and max pooling first; else 3x3 */
    int n_stages;   /* 3 (16, 32, 64 filters) or 4 (64 ... 512) */
    int n_blocks[4];
} cnnbn__resnet;
/* small: images of less than 64 pixels. */
void cnnbn__builtin_mobilenet_v1(int small, int n_classes, cnnbn__text *text);
void cnnbn__builtin_mobilenet_v2(int small, int n_classes, cnnbn__text *text);
void cnnbn__builtin_convmixer(int small, int n_classes, cnnbn__text *text);
void cnnbn__builtin_densenet40(int n_classes, cnnbn__text *text);
void cnnbn__builtin_wrn16_4(int n_classes, cnnbn__text *text);
void cnnbn__builtin_resnet(const cnnbn__resnet *net, cnnbn_norm norm, int n_classes, cnnbn__text *text);
/* A normalisation of `channels` channels; name NULL: the automatic one. None: nothing. */
void cnnbn__builtin_norm(cnnbn__text *text, cnnbn_norm norm, const char *name, int channels);

/* ---------------------------------------------------------------- of the layer files */

int cnnbn__arg_int(const cnnbn_layer *layer, const char *name);
const int *cnnbn__arg_pair(const cnnbn_layer *layer, const char *name);
double cnnbn__arg_float(const cnnbn_layer *layer, const char *name);
/* What ReLU, LeakyReLU and ELU compute, with their arguments; 0 when the layer is another. */
int cnnbn__layer_as_activation(const cnnbn_layer *layer, cnnbn_activation *out);
/* x through an activation argument; linear emits nothing. */
int cnnbn__lower_activation(cnnbn_builder *b, int x, cnnbn_arg_act act);
/* CNNBN_ERR_MODEL unless the shape has three dimensions: "expects (height, width, channels), found (128)". */
cnnbn_status cnnbn__need_image(cnnbn_shape in) CNNBN_MUST_CHECK;
/* CNNBN_ERR_MODEL unless the shape has two dimensions: (length, channels). */
cnnbn_status cnnbn__need_sequence(cnnbn_shape in) CNNBN_MUST_CHECK;
/* A window over (length, channels): one row. */
cnnbn_status cnnbn__window_1d(cnnbn_window *window, cnnbn_shape in, int size, int stride, int dilation,
                              int same) CNNBN_MUST_CHECK;
/* The shape rule of layers that keep the shape. */
cnnbn_status cnnbn__same_shape(const cnnbn_layer *layer, int n_in, const cnnbn_shape *in,
                               cnnbn_shape *out) CNNBN_MUST_CHECK;
/* Inputs that do not meet: "inputs A and B do not meet; EXPECTED". */
cnnbn_status cnnbn__unlike(cnnbn_shape a, cnnbn_shape b, const char *expected) CNNBN_MUST_CHECK;
int cnnbn__same_dims(cnnbn_shape a, cnnbn_shape b, int n_last); /* but for the last n */
/* broadcast.c: the shape that inputs have in common when those of one along an axis are repeated along it, as merging layers of Keras
 * do; and the operations that repeat x of the shape `from` to `to`. */
cnnbn_status cnnbn__broadcast_shape(int n_in, const cnnbn_shape *in, cnnbn_shape *out) CNNBN_MUST_CHECK;
int cnnbn__lower_broadcast(cnnbn_builder *b, int x, cnnbn_shape from, cnnbn_shape to);
/* The lowering of Add, for Average too. */
int cnnbn__lower_sum(const cnnbn_layer *layer, cnnbn_builder *b, int n_in, const int *in, const cnnbn_shape *in_shapes,
                     cnnbn_shape out_shape);
/* Product of window and channels, for the initialisers. */
int cnnbn__fan(int r, int s, int channels);

/* axis.c. Place of an axis among the dimensions, as Keras counts: the batch is 0, -1 the last; -1 when there is none. */
int cnnbn__axis_of(int axis, int rank);
/* How many last axes a list names: all of them from some axis to the last; 0 when it is another set. */
int cnnbn__last_axes(cnnbn_shape axes, int rank);
/* The same as axis_of, or CNNBN_ERR_MODEL naming the axes there are. */
cnnbn_status cnnbn__need_axis(int axis, cnnbn_shape in, int *place) CNNBN_MUST_CHECK;
/* The shape with the dimension at `place` moved behind the others; and the operations that move it there and back. */
cnnbn_shape cnnbn__axis_last(cnnbn_shape shape, int place);
int cnnbn__lower_axis_last(cnnbn_builder *b, int x, cnnbn_shape shape, int place);
int cnnbn__lower_axis_back(cnnbn_builder *b, int x, cnnbn_shape shape, int place);

#endif
