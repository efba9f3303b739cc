/* Keras' model.to_json(), Sequential and Functional, in the dialects of Keras 2 and 3. */
#include <string.h>

#include "internal.h"

static const char *const input_keys[] = {"name",   "batch_input_shape", "batch_shape", "shape", "dtype", "sparse",
                                         "ragged", "optional",          "trainable",   NULL};
static const char *const layer_skip[] = {"name", "batch_input_shape", NULL};

static const char *text_of(const cnnbn__node *map, const char *key)
{
    const cnnbn__node *n = cnnbn__node_get(map, key);
    return n && n->kind == CNNBN__SCALAR ? n->text : NULL;
}

/* Keys beside "config" that do not change what is computed; others are refused. build_config holds shapes that are
 * inferred again, registered_name and module say where Keras finds the class, compile_config is the run's business. */
static cnnbn_status check_outer(const cnnbn__node *node, const char *what)
{
    static const char *const known[] = {
        "module", "class_name",     "config",        "registered_name", "build_config",     "inbound_nodes",
        "name",   "compile_config", "keras_version", "backend",         "shared_object_id", "input_spec",
        NULL};
    for (const cnnbn__node *n = node->first; n; n = n->next) {
        int k = 0;
        while (known[k] && strcmp(known[k], n->key) != 0) k++;
        if (!known[k]) return cnnbn_error(CNNBN_ERR_MODEL, "%s: key %.60s is not known", what, n->key);
    }
    return CNNBN_OK;
}

/* ---------------------------------------------------------------- layers */

static cnnbn_status read_input_layer(cnnbn__graph *graph, const cnnbn__node *config, const char *name,
                                     const cnnbn_model_wish *wish)
{
    char shown[CNNBN__SHOW_MAX];
    const cnnbn__node *shape = cnnbn__node_get(config, "batch_input_shape");
    int batch = 1;
    cnnbn_shape in;
    for (const cnnbn__node *n = config ? config->first : NULL; n; n = n->next) {
        int k = 0, truth = 0;
        while (input_keys[k] && strcmp(input_keys[k], n->key) != 0) k++;
        int is_flag = strcmp(n->key, "sparse") == 0 || strcmp(n->key, "ragged") == 0 || strcmp(n->key, "optional") == 0;
        if (!input_keys[k] || (is_flag && cnnbn__node_to_bool(n, &truth) && truth))
            return cnnbn_error(CNNBN_ERR_MODEL, "argument %.60s = %s is not supported", n->key,
                               cnnbn__node_show(n, shown, sizeof shown));
    }
    if (!shape) shape = cnnbn__node_get(config, "batch_shape");
    if (!shape) shape = cnnbn__node_get(config, "shape"), batch = 0;
    CNNBN_TRY(cnnbn__read_shape(shape, batch, wish, &in));
    return cnnbn__graph_input(graph, name ? name : "input", in);
}

/* Adds one layer; *layer -1 for an InputLayer. */
static cnnbn_status read_layer(cnnbn__graph *graph, const cnnbn__node *node, const cnnbn_model_wish *wish, int *layer)
{
    const char *class_name = text_of(node, "class_name");
    const cnnbn__node *config = cnnbn__node_get(node, "config");
    const char *name = text_of(config, "name") ? text_of(config, "name") : text_of(node, "name");
    *layer = -1;
    if (!class_name || !config || config->kind != CNNBN__MAP)
        return cnnbn_error(CNNBN_ERR_MODEL, "line %d: a layer needs class_name and config", node->line);
    CNNBN_TRY(check_outer(node, name ? name : class_name));
    cnnbn_status status;
    if (strcmp(class_name, "InputLayer") == 0) {
        status = read_input_layer(graph, config, name, wish);
        return status == CNNBN_OK ? status
                                  : cnnbn_error_context(status, "layer %.60s (InputLayer)", name ? name : "input");
    }
    const cnnbn_layer_type *type = NULL;
    status = cnnbn__find_type(class_name, &type);
    if (status != CNNBN_OK) return cnnbn_error_context(status, "layer %.60s", name ? name : "without a name");
    CNNBN_TRY(cnnbn__graph_layer(graph, type, name, layer));
    cnnbn_layer *l = &graph->model->layers[*layer];
    status = cnnbn__read_layer_args(l, config, layer_skip);
    if (status == CNNBN_OK) return CNNBN_OK;
    return l->name[0] ? cnnbn__layer_context(status, l) : cnnbn_error_context(status, "%s", type->name);
}

/* ---------------------------------------------------------------- Sequential */

static cnnbn_status sequential_input(cnnbn__graph *graph, const cnnbn__node *config, const cnnbn__node *layers,
                                     const cnnbn_model_wish *wish)
{
    const cnnbn__node *first = cnnbn__node_at(layers, 0);
    if (cnnbn__node_is(cnnbn__node_get(first, "class_name"), "InputLayer")) return CNNBN_OK;
    const cnnbn__node *shape = cnnbn__node_get(cnnbn__node_get(first, "config"), "batch_input_shape");
    if (!shape) shape = cnnbn__node_get(config, "build_input_shape");
    cnnbn_shape in = {0};
    if (shape && !cnnbn__node_is_null(shape))
        CNNBN_TRY(cnnbn__read_shape(shape, 1, wish, &in));
    else if (wish && wish->input.rank)
        in = wish->input;
    else
        return cnnbn_error(CNNBN_ERR_MODEL,
                           "the model states no input shape; add an Input layer to it, or build it, before to_json()");
    return cnnbn__graph_input(graph, "input", in);
}

static cnnbn_status read_sequential(cnnbn__graph *graph, const cnnbn__node *config, const cnnbn_model_wish *wish,
                                    cnnbn_model **out)
{
    /* Before Keras 2.2.3 the config was the list itself. */
    const cnnbn__node *layers = config->kind == CNNBN__LIST ? config : cnnbn__node_get(config, "layers");
    int layer, call;
    if (!layers || layers->kind != CNNBN__LIST || !layers->n)
        return cnnbn_error(CNNBN_ERR_MODEL, "a Sequential model needs a list of layers");
    CNNBN_TRY(sequential_input(graph, config, layers, wish));
    for (const cnnbn__node *n = layers->first; n; n = n->next) {
        CNNBN_TRY(read_layer(graph, n, wish, &layer));
        if (layer < 0) continue;
        CNNBN_TRY(cnnbn__graph_call(graph, layer, &call));
        CNNBN_TRY(cnnbn__graph_connect(graph, call, call - 1));
    }
    CNNBN_TRY(cnnbn__graph_name_layers(graph));
    CNNBN_TRY(cnnbn__graph_finish(graph, graph->model->n_calls - 1, out));
    (*out)->sequential = 1;
    return CNNBN_OK;
}

/* ---------------------------------------------------------------- Functional */

/* [name, node, tensor] with possibly a map of call arguments after it. */
static cnnbn_status find_tensor(const cnnbn__graph *graph, const cnnbn__node *list, int *call)
{
    const cnnbn__node *name = cnnbn__node_at(list, 0), *node = cnnbn__node_at(list, 1),
                      *tensor = cnnbn__node_at(list, 2);
    int node_index = 0, tensor_index = 0;
    char shown[CNNBN__SHOW_MAX];
    *call = -1;
    if (name && name->kind == CNNBN__SCALAR && cnnbn__node_to_int(node, &node_index) &&
        cnnbn__node_to_int(tensor, &tensor_index) && tensor_index == 0)
        *call = cnnbn__graph_find_call(graph, name->text, node_index);
    if (*call >= 0) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_MODEL, "no layer's output is called %s", cnnbn__node_show(list, shown, sizeof shown));
}

/* Arguments of a call. mask and training at null change nothing. Keras 3 writes training: false for a Dropout that was never
 * told so, and true for a RandomFlip and its like, and its Functional model overrides it at run time; in Keras 2 the same
 * words freeze the layer. */
static cnnbn_status check_kwargs(const cnnbn_layer_type *type, const cnnbn__node *kwargs, int keras3)
{
    char shown[CNNBN__SHOW_MAX];
    for (const cnnbn__node *n = kwargs && kwargs->kind == CNNBN__MAP ? kwargs->first : NULL; n; n = n->next) {
        int training = strcmp(n->key, "training") == 0, truth = 1;
        if ((training || strcmp(n->key, "mask") == 0) && cnnbn__node_is_null(n)) continue;
        if (training && keras3 && cnnbn__node_to_bool(n, &truth) &&
            (!truth || strncmp(type->name, "Random", strlen("Random")) == 0))
            continue;
        return cnnbn_error(CNNBN_ERR_MODEL,
                           "is called with %.60s = %s, which is not supported; for a frozen BatchNormalization set "
                           "trainable to false",
                           n->key, cnnbn__node_show(n, shown, sizeof shown));
    }
    return CNNBN_OK;
}

/* Keras 3: args hold tensors, alone or in a list: {"class_name": "__keras_tensor__", "config": {"keras_history": [...]}} */
static cnnbn_status connect_args(cnnbn__graph *graph, int call, const cnnbn__node *args, int depth)
{
    for (const cnnbn__node *n = args ? args->first : NULL; n; n = n->next) {
        const cnnbn__node *history = cnnbn__node_get(cnnbn__node_get(n, "config"), "keras_history");
        int input;
        char shown[CNNBN__SHOW_MAX];
        if (n->kind == CNNBN__LIST && depth < 2) {
            CNNBN_TRY(connect_args(graph, call, n, depth + 1));
        } else if (history) {
            CNNBN_TRY(find_tensor(graph, history, &input));
            CNNBN_TRY(cnnbn__graph_connect(graph, call, input));
        } else {
            return cnnbn_error(CNNBN_ERR_MODEL, "is called on %s; tensors of layers are expected",
                               cnnbn__node_show(n, shown, sizeof shown));
        }
    }
    return CNNBN_OK;
}

static cnnbn_status connect_node(cnnbn__graph *graph, int call, const cnnbn__node *node)
{
    const cnnbn_layer_type *type = graph->model->layers[graph->model->calls[call].layer].type;
    if (node->kind == CNNBN__MAP) { /* Keras 3 */
        CNNBN_TRY(check_kwargs(type, cnnbn__node_get(node, "kwargs"), 1));
        return connect_args(graph, call, cnnbn__node_get(node, "args"), 0);
    }
    for (const cnnbn__node *tensor = node->first; tensor; tensor = tensor->next) { /* Keras 2 */
        int input;
        CNNBN_TRY(find_tensor(graph, tensor, &input));
        CNNBN_TRY(check_kwargs(type, cnnbn__node_at(tensor, 3), 0));
        CNNBN_TRY(cnnbn__graph_connect(graph, call, input));
    }
    return CNNBN_OK;
}

/* First pass: layers, and a call for each of their nodes. */
static cnnbn_status add_layers(cnnbn__graph *graph, const cnnbn__node *layers, const cnnbn_model_wish *wish)
{
    /* The input is calls[0], wherever it stands in the list. */
    for (int pass = 0; pass < 2; pass++) {
        for (const cnnbn__node *n = layers->first; n; n = n->next) {
            int is_input = cnnbn__node_is(cnnbn__node_get(n, "class_name"), "InputLayer"), layer, call;
            if (is_input != (pass == 0)) continue;
            CNNBN_TRY(read_layer(graph, n, wish, &layer));
            if (layer < 0) continue;
            const cnnbn__node *nodes = cnnbn__node_get(n, "inbound_nodes");
            if (!graph->model->n_calls) return cnnbn_error(CNNBN_ERR_MODEL, "the model has no InputLayer");
            if (!nodes || nodes->kind != CNNBN__LIST || !nodes->n)
                return cnnbn__layer_context(cnnbn_error(CNNBN_ERR_MODEL, "has no inbound_nodes: nothing leads to it"),
                                            &graph->model->layers[layer]);
            for (int i = 0; i < nodes->n; i++) CNNBN_TRY(cnnbn__graph_call(graph, layer, &call));
        }
    }
    return CNNBN_OK;
}

static cnnbn_status connect_layers(cnnbn__graph *graph, const cnnbn__node *layers)
{
    int call = 1;
    for (const cnnbn__node *n = layers->first; n; n = n->next) {
        if (cnnbn__node_is(cnnbn__node_get(n, "class_name"), "InputLayer")) continue;
        const cnnbn__node *nodes = cnnbn__node_get(n, "inbound_nodes");
        for (const cnnbn__node *node = nodes->first; node; node = node->next, call++) {
            cnnbn_status status = connect_node(graph, call, node);
            if (status != CNNBN_OK)
                return cnnbn__layer_context(status, &graph->model->layers[graph->model->calls[call].layer]);
        }
    }
    return CNNBN_OK;
}

/* [["name", 0, 0]] in Keras 2 and early Keras 3, ["name", 0, 0] since. */
static cnnbn_status only_tensor(const cnnbn__graph *graph, const cnnbn__node *config, const char *key, int *call)
{
    const cnnbn__node *list = cnnbn__node_get(config, key);
    if (!list || list->kind != CNNBN__LIST || !list->n)
        return cnnbn_error(CNNBN_ERR_MODEL, "%s: expected a list such as [[\"name\", 0, 0]]", key);
    if (list->first->kind == CNNBN__LIST) {
        if (list->n != 1)
            return cnnbn_error(CNNBN_ERR_MODEL,
                               "%s names %d tensors; models with one input and one output are supported", key, list->n);
        list = list->first;
    }
    cnnbn_status status = find_tensor(graph, list, call);
    return status == CNNBN_OK ? status : cnnbn_error_context(status, "%s", key);
}

static cnnbn_status read_functional(cnnbn__graph *graph, const cnnbn__node *config, const cnnbn_model_wish *wish,
                                    cnnbn_model **out)
{
    const cnnbn__node *layers = cnnbn__node_get(config, "layers");
    int input, output;
    if (!layers || layers->kind != CNNBN__LIST || !layers->n)
        return cnnbn_error(CNNBN_ERR_MODEL, "a Functional model needs a list of layers");
    CNNBN_TRY(add_layers(graph, layers, wish));
    CNNBN_TRY(cnnbn__graph_name_layers(graph));
    CNNBN_TRY(connect_layers(graph, layers));
    CNNBN_TRY(only_tensor(graph, config, "input_layers", &input));
    CNNBN_TRY(only_tensor(graph, config, "output_layers", &output));
    if (input != 0) return cnnbn_error(CNNBN_ERR_MODEL, "input_layers must name the InputLayer");
    return cnnbn__graph_finish(graph, output, out);
}

/* ---------------------------------------------------------------- the model */

static cnnbn_status check_config(const cnnbn__node *config)
{
    static const char *const known[] = {"name",         "layers",        "trainable", "dtype", "build_input_shape",
                                        "input_layers", "output_layers", NULL};
    int truth = 1;
    for (const cnnbn__node *n = config->kind == CNNBN__MAP ? config->first : NULL; n; n = n->next) {
        int k = 0;
        while (known[k] && strcmp(known[k], n->key) != 0) k++;
        if (!known[k])
            return cnnbn_error(CNNBN_ERR_MODEL, "the model's config has a key %.60s that is not known", n->key);
        if (strcmp(n->key, "trainable") == 0 && cnnbn__node_to_bool(n, &truth) && !truth)
            return cnnbn_error(CNNBN_ERR_MODEL, "the whole model has trainable = false; set it to true");
    }
    return CNNBN_OK;
}

static cnnbn_status read_root(cnnbn__graph *graph, const cnnbn__node *root, const cnnbn_model_wish *wish,
                              cnnbn_model **out)
{
    const cnnbn__node *config = cnnbn__node_get(root, "config");
    const char *class_name = text_of(root, "class_name"), *name = text_of(config, "name");
    if (!class_name || !config || config->kind == CNNBN__SCALAR)
        return cnnbn_error(CNNBN_ERR_MODEL, "a Keras model needs class_name and config");
    CNNBN_TRY(check_outer(root, "the model"));
    CNNBN_TRY(check_config(config));
    int sequential = strcmp(class_name, "Sequential") == 0;
    CNNBN_TRY(cnnbn__graph_create(graph, name ? name : sequential ? "sequential" : "functional"));
    if (sequential) return read_sequential(graph, config, wish, out);
    if (strcmp(class_name, "Functional") == 0 || strcmp(class_name, "Model") == 0)
        return read_functional(graph, config, wish, out);
    return cnnbn_error(CNNBN_ERR_MODEL, "a model of class %.60s; Sequential and Functional models are read",
                       class_name);
}

/* Keras 2's hard_sigmoid is clip(0.2 x + 0.5), Keras 3's relu6(x + 3) / 6: the same word for another function. */
static cnnbn_status check_version(const cnnbn__node *root, const cnnbn_model *model)
{
    const char *version = text_of(root, "keras_version");
    if (!version || (version[0] != '1' && version[0] != '2')) return CNNBN_OK;
    for (int l = 0; l < model->n_layers; l++) {
        const cnnbn_layer *layer = &model->layers[l];
        for (int i = 0; i < layer->type->n_args; i++)
            if (layer->type->args[i].kind == CNNBN_ARG_ACTIVATION && !layer->args[i].act.softmax &&
                layer->args[i].act.act.kind == CNNBN_ACT_HARD_SIGMOID)
                return cnnbn__layer_context(
                    cnnbn_error(CNNBN_ERR_MODEL,
                                "argument activation = hard_sigmoid of Keras %.20s is another function than "
                                "Keras 3's, which is computed here; use sigmoid, or save with Keras 3",
                                version),
                    layer);
    }
    return CNNBN_OK;
}

cnnbn_status cnnbn__read_keras(const cnnbn__node *root, const cnnbn_model_wish *wish, cnnbn_model **out)
{
    cnnbn__graph graph = {0};
    *out = NULL;
    cnnbn_status status = read_root(&graph, root, wish, out);
    cnnbn__graph_destroy(&graph);
    if (status == CNNBN_OK) status = check_version(root, *out);
    if (status == CNNBN_OK) return status;
    cnnbn_model_destroy(*out);
    *out = NULL;
    return status;
}
