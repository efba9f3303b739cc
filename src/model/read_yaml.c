/* Models in YAML: Keras' words, a chain unless `from` says otherwise.
 *
 *   name: small
 *   input: [28, 28, 1]
 *   layers:
 *     - Conv2D: {name: a, filters: 8, kernel_size: 3, padding: same}
 *     - BatchNormalization
 *     - Add: {from: [a, batch_normalization]}
 *     - again: {layer: a, from: add}        # a layer used once more; its uses are a, a:1, a:2, ...
 *   output: add
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static const char *const ours[] = {"name", "from", NULL};

/* One item of `layers`: the type (or "again") and its map. */
typedef struct item {
    const char *type;
    const cnnbn__node *args; /* NULL or null: none */
    const cnnbn__node *name, *from;
} item;

static const cnnbn__node *member_of(const cnnbn__node *outer, const cnnbn__node *args, const char *key)
{
    const cnnbn__node *inside = cnnbn__node_get(args, key);
    return inside ? inside : cnnbn__node_get(outer, key);
}

static cnnbn_status read_item(const cnnbn__node *node, item *out)
{
    char shown[CNNBN__SHOW_MAX];
    memset(out, 0, sizeof *out);
    if (node->kind == CNNBN__SCALAR) out->type = node->text;
    for (const cnnbn__node *n = node->kind == CNNBN__MAP ? node->first : NULL; n; n = n->next) {
        if (strcmp(n->key, "name") == 0 || strcmp(n->key, "from") == 0) continue;
        if (out->type)
            return cnnbn_error(CNNBN_ERR_MODEL,
                               "line %d: %.60s and %.60s in one item of the list; one layer is expected", n->line,
                               out->type, n->key);
        out->type = n->key;
        out->args = n;
    }
    if (!out->type || !out->type[0])
        return cnnbn_error(CNNBN_ERR_MODEL, "line %d: %s: expected a layer, such as Dense: {units: 10}", node->line,
                           cnnbn__node_show(node, shown, sizeof shown));
    out->name = member_of(node, out->args, "name");
    out->from = member_of(node, out->args, "from");
    if (out->name && out->name->kind != CNNBN__SCALAR)
        return cnnbn_error(CNNBN_ERR_MODEL, "line %d: name = %s: expected a word", node->line,
                           cnnbn__node_show(out->name, shown, sizeof shown));
    return CNNBN_OK;
}

/* First pass: layers and their first calls. Calls of `again` come in the same place of the list: call k + 1 is item k. */
static cnnbn_status add_layer(cnnbn__graph *graph, const cnnbn__node *node)
{
    item it;
    int layer = -1, call;
    CNNBN_TRY(read_item(node, &it));
    if (strcmp(it.type, "again") == 0) return cnnbn__graph_call(graph, layer, &call);
    const cnnbn_layer_type *type = NULL;
    cnnbn_status status = cnnbn__find_type(it.type, &type);
    if (status != CNNBN_OK) return cnnbn_error_context(status, "line %d", node->line);
    CNNBN_TRY(cnnbn__graph_layer(graph, type, it.name ? it.name->text : NULL, &layer));
    cnnbn_layer *l = &graph->model->layers[layer];
    status = cnnbn__read_layer_args(l, it.args, ours);
    if (status != CNNBN_OK) {
        if (!l->name[0]) return cnnbn_error_context(status, "line %d: %s", node->line, type->name);
        return cnnbn_error_context(cnnbn__layer_context(status, l), "line %d", node->line);
    }
    return cnnbn__graph_call(graph, layer, &call);
}

static cnnbn_status add_again(cnnbn__graph *graph, const cnnbn__node *node, int call)
{
    item it;
    CNNBN_TRY(read_item(node, &it));
    if (strcmp(it.type, "again") != 0) return CNNBN_OK;
    const cnnbn__node *name = cnnbn__node_get(it.args, "layer");
    char shown[CNNBN__SHOW_MAX];
    if (!name || name->kind != CNNBN__SCALAR)
        return cnnbn_error(CNNBN_ERR_MODEL, "line %d: again: expected {layer: NAME, from: NAME}", node->line);
    for (const cnnbn__node *n = it.args->first; n; n = n->next)
        if (strcmp(n->key, "layer") != 0 && strcmp(n->key, "from") != 0)
            return cnnbn_error(CNNBN_ERR_MODEL,
                               "line %d: again: %.60s = %s: a layer used once more has only layer and from", node->line,
                               n->key, cnnbn__node_show(n, shown, sizeof shown));
    int layer = cnnbn__graph_find(graph, name->text);
    if (layer < 0)
        return cnnbn_error(CNNBN_ERR_MODEL, "line %d: again: there is no layer %.60s", node->line, name->text);
    if (graph->model->layers[layer].first_param > call)
        return cnnbn_error(CNNBN_ERR_MODEL, "line %d: again: layer %.60s is listed below; list it first", node->line,
                           name->text);
    graph->model->calls[call].layer = layer;
    return CNNBN_OK;
}

/* "a" is the first use of layer a, "a:1" the second. */
static cnnbn_status find(const cnnbn__graph *graph, const cnnbn__node *node, int *out)
{
    char name[CNNBN_NAME_MAX + 16], shown[CNNBN__SHOW_MAX];
    *out = -1;
    if (node->kind == CNNBN__SCALAR && strlen(node->text) < sizeof name) {
        *out = cnnbn__graph_find_call(graph, node->text, 0);
        (void)snprintf(name, sizeof name, "%s", node->text);
        char *colon = strrchr(name, ':');
        if (*out < 0 && colon && colon[1] && !colon[1 + strspn(colon + 1, "0123456789")] && strlen(colon) < 8) {
            *colon = '\0';
            *out = cnnbn__graph_find_call(graph, name, atoi(colon + 1));
        }
    }
    if (*out >= 0) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_MODEL,
                       "line %d: there is no layer %s; names are given by `name:`, else conv2d, conv2d_1, ...",
                       node->line, cnnbn__node_show(node, shown, sizeof shown));
}

static cnnbn_status connect(cnnbn__graph *graph, const cnnbn__node *node, int call)
{
    item it;
    int input;
    CNNBN_TRY(read_item(node, &it));
    if (!it.from) return cnnbn__graph_connect(graph, call, call - 1);
    if (it.from->kind == CNNBN__SCALAR) {
        CNNBN_TRY(find(graph, it.from, &input));
        return cnnbn__graph_connect(graph, call, input);
    }
    if (it.from->kind == CNNBN__MAP || !it.from->n)
        return cnnbn_error(CNNBN_ERR_MODEL, "line %d: from: expected a name or a list of names", node->line);
    for (const cnnbn__node *n = it.from->first; n; n = n->next) {
        CNNBN_TRY(find(graph, n, &input));
        CNNBN_TRY(cnnbn__graph_connect(graph, call, input));
    }
    return CNNBN_OK;
}

static cnnbn_status read_top(cnnbn__graph *graph, const cnnbn__node *root, const cnnbn_model_wish *wish,
                             const cnnbn__node **layers)
{
    static const char *const known[] = {"name", "input", "input_name", "layers", "output", "functional", NULL};
    char shown[CNNBN__SHOW_MAX];
    for (const cnnbn__node *n = root->first; n; n = n->next) {
        int k = 0;
        while (known[k] && strcmp(known[k], n->key) != 0) k++;
        if (!known[k])
            return cnnbn_error(CNNBN_ERR_MODEL,
                               "line %d: %.60s: expected name, input, input_name, layers, output or functional",
                               n->line, n->key);
        if ((strstr(n->key, "name") || strcmp(n->key, "output") == 0) && n->kind != CNNBN__SCALAR)
            return cnnbn_error(CNNBN_ERR_MODEL, "line %d: %s = %s: expected a word", n->line, n->key,
                               cnnbn__node_show(n, shown, sizeof shown));
    }
    *layers = cnnbn__node_get(root, "layers");
    if (!*layers || (*layers)->kind != CNNBN__LIST || !(*layers)->n)
        return cnnbn_error(CNNBN_ERR_MODEL, "layers: expected a list of layers");
    const cnnbn__node *name = cnnbn__node_get(root, "name"), *input_name = cnnbn__node_get(root, "input_name"),
                      *input = cnnbn__node_get(root, "input");
    CNNBN_TRY(cnnbn__graph_create(graph, name ? name->text : "model"));
    cnnbn_shape shape = {0};
    if (input)
        CNNBN_TRY(cnnbn__read_shape(input, 0, wish, &shape));
    else if (wish && wish->input.rank)
        shape = wish->input;
    else
        return cnnbn_error(CNNBN_ERR_MODEL,
                           "input: is missing; state the shape of an image, such as input: [28, 28, 1]");
    return cnnbn__graph_input(graph, input_name ? input_name->text : "input", shape);
}

static cnnbn_status read_graph(cnnbn__graph *graph, const cnnbn__node *root, const cnnbn_model_wish *wish,
                               cnnbn_model **out)
{
    const cnnbn__node *layers = NULL, *output = cnnbn__node_get(root, "output"),
                      *functional = cnnbn__node_get(root, "functional");
    int is_functional = 0, call = 1, last;
    CNNBN_TRY(read_top(graph, root, wish, &layers));
    if (functional && !cnnbn__node_to_bool(functional, &is_functional))
        return cnnbn_error(CNNBN_ERR_MODEL, "line %d: functional: expected true or false", functional->line);
    for (const cnnbn__node *n = layers->first; n; n = n->next) CNNBN_TRY(add_layer(graph, n));
    CNNBN_TRY(cnnbn__graph_name_layers(graph));
    for (const cnnbn__node *n = layers->first; n; n = n->next) CNNBN_TRY(add_again(graph, n, call++));
    call = 1;
    for (const cnnbn__node *n = layers->first; n; n = n->next) CNNBN_TRY(connect(graph, n, call++));
    last = graph->model->n_calls - 1;
    if (output) CNNBN_TRY(find(graph, output, &last));
    CNNBN_TRY(cnnbn__graph_finish(graph, last, out));
    (*out)->sequential = !is_functional && cnnbn__is_chain(*out);
    return CNNBN_OK;
}

cnnbn_status cnnbn__read_yaml(const cnnbn__node *root, const cnnbn_model_wish *wish, cnnbn_model **out)
{
    cnnbn__graph graph = {0};
    *out = NULL;
    cnnbn_status status = read_graph(&graph, root, wish, out);
    cnnbn__graph_destroy(&graph);
    return status;
}
