/* A YAML or JSON text as a tree of nodes. One parser (libfyaml) for both, read by events into a tree of our own, so that
 * depth, size, aliases and double keys are refused while reading and nothing is ever expanded.
 */
#ifndef CNNBN_MODEL_DOC_H
#define CNNBN_MODEL_DOC_H

#include <stddef.h>
#include "cnnbn/status.h"

/* Bounds on texts from strangers. */
enum {
    CNNBN__DOC_BYTES_MAX = 64 << 20,
    CNNBN__DOC_DEPTH_MAX = 48, /* Keras' deepest, tensors inside inbound_nodes, is 12 */
    CNNBN__DOC_NODES_MAX = 2000000,
    CNNBN__DOC_KEYS_MAX = 256 /* of one map */
};

typedef enum cnnbn__node_kind { CNNBN__SCALAR, CNNBN__LIST, CNNBN__MAP } cnnbn__node_kind;

typedef struct cnnbn__node {
    cnnbn__node_kind kind;
    int quoted;       /* a quoted scalar is a text, whatever it looks like */
    int line;         /* from 1 */
    int n;            /* children */
    const char *key;  /* of a member of a map; else NULL */
    const char *text; /* of a scalar; else NULL */
    struct cnnbn__node *first, *next;
} cnnbn__node;

typedef struct cnnbn__doc cnnbn__doc;

/* Reads a text of `bytes` bytes. *out owned: cnnbn__doc_destroy. Errors: CNNBN_ERR_MODEL with line and column. */
cnnbn_status cnnbn__doc_parse(const char *text, size_t bytes, cnnbn__doc **out) CNNBN_MUST_CHECK;
void cnnbn__doc_destroy(cnnbn__doc *doc);                  /* NULL is fine */
const cnnbn__node *cnnbn__doc_root(const cnnbn__doc *doc); /* borrowed until destroy */

/* Member of a map; NULL when there is none or when `map` is NULL or no map. */
const cnnbn__node *cnnbn__node_get(const cnnbn__node *map, const char *key);
const cnnbn__node *cnnbn__node_at(const cnnbn__node *list, int index);

/* Questions; a NULL node is none of them. */
int cnnbn__node_is(const cnnbn__node *node, const char *text); /* a scalar that reads so */
int cnnbn__node_is_null(const cnnbn__node *node);              /* null, ~ or nothing */
int cnnbn__node_to_int(const cnnbn__node *node, int *out);     /* 1 when the node is an integer that fits */
int cnnbn__node_to_bool(const cnnbn__node *node, int *out);
int cnnbn__node_to_float(const cnnbn__node *node, double *out); /* .inf and Infinity are, NaN is not */

/* The node as it would be written on one line, shortened, for messages; returns text. */
const char *cnnbn__node_show(const cnnbn__node *node, char *text, size_t bytes);

#endif
