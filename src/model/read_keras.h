/* What the two files that read Keras' models share. */
#ifndef CNNBN_MODEL_READ_KERAS_H
#define CNNBN_MODEL_READ_KERAS_H

#include "internal.h"

typedef struct cnnbn__scope cnnbn__scope;

typedef struct cnnbn__keras_reader {
    cnnbn__graph *graph;
    const cnnbn_model_wish *wish;
    const char *keras2; /* version, when the file is of Keras 1 or 2; else NULL */
    cnnbn__scope *scopes;
    int n_instances;
} cnnbn__keras_reader;

/* Layers and calls of a whole model, connected; *output: the call whose value it is. The input is calls[0] already in a
 * Sequential model, and the one InputLayer in another. */
cnnbn_status cnnbn__keras_read_graph(cnnbn__keras_reader *r, const cnnbn__node *config, int sequential,
                                     int *output) CNNBN_MUST_CHECK;

/* One layer that is no model. group: of the model it stands in, -1 the whole one; frozen: that one does not train. The input (of
 * the whole model) gives *layer -1. *n_behind layers follow that belong to it: what Keras 2 says in one word. */
cnnbn_status cnnbn__keras_read_layer(cnnbn__keras_reader *r, const cnnbn__node *node, int group, int frozen, int *layer,
                                     int *n_behind) CNNBN_MUST_CHECK;
/* read_operation.c: an operation that stands in a graph without a layer, and the layer that it becomes. */
typedef struct cnnbn__operation {
    const cnnbn_layer_type *type;
    double scale, offset; /* Rescaling */
} cnnbn__operation;
/* Whether a layer of a file is one. Then read it: CNNBN_ERR_MODEL where it is on other things than tensors and numbers. */
int cnnbn__is_operation(const cnnbn__node *layer);
cnnbn_status cnnbn__read_operation(const cnnbn__node *layer, cnnbn__operation *out) CNNBN_MUST_CHECK;
/* The k-th tensor of a call of it, as [layer, node, tensor]; NULL: there are no more. */
const cnnbn__node *cnnbn__operation_tensor(const cnnbn__node *call, int k);

const char *cnnbn__keras_text(const cnnbn__node *map, const char *key); /* NULL when it is no scalar */
cnnbn_status cnnbn__keras_check_outer(const cnnbn__node *node, const char *what) CNNBN_MUST_CHECK;
cnnbn_status cnnbn__keras_check_config(const cnnbn__node *config) CNNBN_MUST_CHECK;
cnnbn_status cnnbn__keras_check_kwargs(const cnnbn_layer_type *type, const cnnbn__node *kwargs,
                                       int keras3) CNNBN_MUST_CHECK;

#endif
