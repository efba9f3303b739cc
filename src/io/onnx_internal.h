/* The pieces that an ONNX file is made of (onnx_emit.c), and the operations as nodes (onnx_nodes.c). All memory belongs to the
 * file under construction. A failed allocation is kept in `status`; what is handed out then is NULL or the like, and the
 * functions here put up with it. */
#ifndef CNNBN_IO_ONNX_INTERNAL_H
#define CNNBN_IO_ONNX_INTERNAL_H

#include <onnx.pb-c.h>

#include "onnx_graph.h"

/* A list of pointers that grows. */
typedef struct cnnbn__onnx_list {
    void **items;
    size_t n, room;
} cnnbn__onnx_list;

typedef struct cnnbn__onnx_file {
    const cnnbn__onnx_graph *graph;
    float *const *params;
    cnnbn_status status;
    struct cnnbn__onnx_block *blocks; /* all memory */
    cnnbn__onnx_list nodes, initializers;
    char **names;  /* [2 * n]: of each value with the channels last, and first; NULL: not made yet */
    char **shared; /* [n_params]: initialisers that are there as they lie */
    char *input, *output;
    size_t weight_bytes;
} cnnbn__onnx_file;

void *cnnbn__onnx_grab(cnnbn__onnx_file *f, size_t bytes); /* zeroed; NULL when there is none */
void cnnbn__onnx_release(cnnbn__onnx_file *f);
char *cnnbn__onnx_text(cnnbn__onnx_file *f, const char *format, ...) CNNBN_PRINTF(2, 3);
void cnnbn__onnx_append(cnnbn__onnx_file *f, cnnbn__onnx_list *list, void *item);

/* Appends a node of n inputs and one output. */
Onnx__NodeProto *cnnbn__onnx_node(cnnbn__onnx_file *f, const char *type, char *output, int n, char *const *inputs);
void cnnbn__onnx_int(cnnbn__onnx_file *f, Onnx__NodeProto *node, const char *name, int64_t value);
void cnnbn__onnx_ints(cnnbn__onnx_file *f, Onnx__NodeProto *node, const char *name, int n, const int64_t *values);
void cnnbn__onnx_word(cnnbn__onnx_file *f, Onnx__NodeProto *node, const char *name, const char *value);
void cnnbn__onnx_float(cnnbn__onnx_file *f, Onnx__NodeProto *node, const char *name, float value);

/* Initialisers; they return the name. data: copied. */
char *cnnbn__onnx_floats(cnnbn__onnx_file *f, char *name, int rank, const int64_t *dim, const float *data);
char *cnnbn__onnx_scalar(cnnbn__onnx_file *f, char *name, double value);
char *cnnbn__onnx_shape(cnnbn__onnx_file *f, char *name, int n, const int64_t *values);

/* Emits operation `op` (onnx_nodes.c). */
void cnnbn__onnx_emit(cnnbn__onnx_file *f, int op);
/* The name of a value with the channels last (first = 0) or first (1), transposed when need be. */
char *cnnbn__onnx_value(cnnbn__onnx_file *f, int value, int first);

/* ---------------------------------------------------------------- for onnx_nodes.c and onnx_plain.c */

/* A name that no other tensor has: the operation's number is in it, and a '/', which is in no layer's name. */
char *cnnbn__onnx_name(cnnbn__onnx_file *f, int op, const char *part);
/* The name of an operation's own output, in the order in which it makes it: channels last (first = 0) or first (1). */
char *cnnbn__onnx_result(cnnbn__onnx_file *f, int op, int first);
/* The order that a value is there in already; channels first when both are. */
int cnnbn__onnx_order(cnnbn__onnx_file *f, int value);
/* A weight as it lies, in its own shape; made once. */
char *cnnbn__onnx_param(cnnbn__onnx_file *f, int param);
/* A node of one or two inputs (b NULL) and a name of its own; returns its output. */
char *cnnbn__onnx_step(cnnbn__onnx_file *f, int op, const char *type, char *a, char *b, const char *name);
char *cnnbn__onnx_constant(cnnbn__onnx_file *f, int op, const char *name, double value);
/* A reshape to (batch, dim...); `to` NULL: to a name of its own, which is returned. */
char *cnnbn__onnx_reshape(cnnbn__onnx_file *f, int op, char *from, int n, const int64_t *dim, char *to,
                          const char *name);
/* The operations of onnx_plain.c; 0: it is none of them. */
int cnnbn__onnx_emit_plain(cnnbn__onnx_file *f, int op);

#endif
