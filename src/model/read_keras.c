/* Keras' model.to_json(), Sequential and Functional, in the dialects of Keras 2 and 3. */
#include "read_keras.h"

#include <stdio.h>
#include <string.h>

#include "layer_types.h"

static const char *const input_keys[] = {"name",   "batch_input_shape", "batch_shape", "shape", "dtype", "sparse",
                                         "ragged", "optional",          "trainable",   NULL};
static const char *const layer_skip[] = {"name", "batch_input_shape", NULL};

const char *cnnbn__keras_text(const cnnbn__node *map, const char *key)
{
    const cnnbn__node *n = cnnbn__node_get(map, key);
    return n && n->kind == CNNBN__SCALAR ? n->text : NULL;
}

/* Where Keras finds the class. One of the user's own may have the name of one of Keras' and compute something else. */
static cnnbn_status check_origin(const cnnbn__node *node, const char *what)
{
    static const char *const packages[] = {"keras", "tf_keras", "tensorflow", NULL};
    const cnnbn__node *module = cnnbn__node_get(node, "module"), *as = cnnbn__node_get(node, "registered_name");
    const char *class_name = cnnbn__keras_text(node, "class_name");
    char shown[CNNBN__SHOW_MAX];
    int known = !module || cnnbn__node_is_null(module);
    for (int k = 0; packages[k] && !known && module->kind == CNNBN__SCALAR; k++) {
        size_t n = strlen(packages[k]);
        known = strncmp(module->text, packages[k], n) == 0 && (module->text[n] == '.' || !module->text[n]);
    }
    if (!known)
        return cnnbn_error(CNNBN_ERR_MODEL,
                           "%s: module = %s: a class %.60s that is not Keras' own; build the model of Keras' layers",
                           what, cnnbn__node_show(module, shown, sizeof shown), class_name ? class_name : "");
    if (!as || cnnbn__node_is_null(as) || (class_name && cnnbn__node_is(as, class_name))) return CNNBN_OK;
    return cnnbn_error(
        CNNBN_ERR_MODEL,
        "%s: registered_name = %s: a class %.60s that is not Keras' own; build the model of Keras' layers", what,
        cnnbn__node_show(as, shown, sizeof shown), class_name ? class_name : "");
}

/* Keys beside "config" that do not change what is computed; others are refused. build_config holds shapes that are
 * inferred again, compile_config is the run's business. */
cnnbn_status cnnbn__keras_check_outer(const cnnbn__node *node, const char *what)
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
    return check_origin(node, what);
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
        if (strcmp(n->key, "dtype") == 0) CNNBN_TRY(cnnbn__inert_check(NULL, n));
    }
    if (!shape) shape = cnnbn__node_get(config, "batch_shape");
    if (!shape) shape = cnnbn__node_get(config, "shape"), batch = 0;
    CNNBN_TRY(cnnbn__read_shape(shape, batch, wish, &in));
    return cnnbn__graph_input(graph, name ? name : "input", in);
}

/* Where the layer stands in models inside the model, its name has theirs in front: OUTER_INNER_NAME. */
static cnnbn_status whole_name(const cnnbn_model *model, int group, const char *name, char *text, size_t bytes)
{
    char inner[2 * CNNBN_NAME_MAX];
    (void)snprintf(text, bytes, "%s", name);
    for (; group >= 0; group = model->groups[group].parent) {
        int n = snprintf(inner, sizeof inner, "%s_%s", model->groups[group].name, text);
        if (n >= CNNBN_NAME_MAX)
            return cnnbn_error(CNNBN_ERR_MODEL,
                               "the name of layer %.60s together with those of the models around it "
                               "has more than %d bytes",
                               name, CNNBN_NAME_MAX - 1);
        (void)snprintf(text, bytes, "%s", inner);
    }
    return CNNBN_OK;
}

static cnnbn_status add_layer(cnnbn__keras_reader *r, const cnnbn_layer_type *type, const char *name, int group,
                              int *layer)
{
    char whole[2 * CNNBN_NAME_MAX];
    if (group >= 0) {
        if (!name) return cnnbn_error(CNNBN_ERR_MODEL, "a layer of a model inside the model has no name");
        CNNBN_TRY(whole_name(r->graph->model, group, name, whole, sizeof whole));
        name = whole;
    }
    CNNBN_TRY(cnnbn__graph_layer(r->graph, type, name, layer));
    r->graph->model->layers[*layer].group = group;
    return CNNBN_OK;
}

/* Keras 2's hard_sigmoid is clip(0.2 x + 0.5, 0, 1), Keras 3's relu6(x + 3) / 6: the same word for another function. It becomes
 * two layers that mean the same in both. */
static cnnbn_status add_hard_sigmoid(cnnbn__keras_reader *r, int layer, int group, int *n_behind)
{
    static const struct {
        const cnnbn_layer_type *type;
        const char *ending, *arg[2];
        cnnbn_arg value[2];
    } parts[] = {
        {&cnnbn__layer_rescaling, "_rescaling", {"scale", "offset"}, {{.list = {1, {0.2}}}, {.list = {1, {0.5}}}}},
        {&cnnbn__layer_relu, "_clip", {"max_value", NULL}, {{.f = 1}}}};
    char name[CNNBN_NAME_MAX + 16];
    for (int k = 0; k < 2; k++) {
        int at;
        (void)snprintf(name, sizeof name, "%s%s", r->graph->model->layers[layer].name, parts[k].ending);
        CNNBN_TRY(cnnbn__graph_layer(r->graph, parts[k].type, name, &at));
        cnnbn_layer *l = &r->graph->model->layers[at];
        l->group = group;
        l->first_param = CNNBN__NAME_GIVES_WAY;
        for (int i = 0; i < 2 && parts[k].arg[i]; i++)
            l->args[cnnbn__arg_find(l->type, parts[k].arg[i]) - l->type->args] = parts[k].value[i];
    }
    *n_behind = 2;
    return CNNBN_OK;
}

static cnnbn_status check_hard_sigmoid(cnnbn__keras_reader *r, int layer, int group, int *n_behind)
{
    cnnbn_layer *l = &r->graph->model->layers[layer];
    for (int i = 0; r->keras2 && i < l->type->n_args; i++) {
        if (l->type->args[i].kind != CNNBN_ARG_ACTIVATION || l->args[i].act.softmax ||
            l->args[i].act.act.kind != CNNBN_ACT_HARD_SIGMOID)
            continue;
        if (!l->name[0]) return cnnbn_error(CNNBN_ERR_MODEL, "a layer with hard_sigmoid of Keras 2 needs a name");
        l->args[i].act.act = (cnnbn_activation){CNNBN_ACT_LINEAR, 0, 0, 0};
        return add_hard_sigmoid(r, layer, group, n_behind);
    }
    return CNNBN_OK;
}

static cnnbn_status read_operation(cnnbn__keras_reader *r, const cnnbn__node *node, const char *name, int group,
                                   int frozen, int *layer)
{
    cnnbn__operation operation;
    CNNBN_TRY(cnnbn__read_operation(node, &operation));
    CNNBN_TRY(add_layer(r, operation.type, name, group, layer));
    cnnbn_layer *l = &r->graph->model->layers[*layer];
    if (group >= 0) l->first_param = CNNBN__NAME_GIVES_WAY;
    if (frozen) l->trainable = 0;
    if (operation.type != &cnnbn__layer_rescaling) return CNNBN_OK;
    const double value[2] = {operation.scale, operation.offset};
    for (int i = 0; i < 2; i++) l->args[i].list.n = 1, l->args[i].list.value[0] = value[i];
    return CNNBN_OK;
}

cnnbn_status cnnbn__keras_read_layer(cnnbn__keras_reader *r, const cnnbn__node *node, int group, int frozen, int *layer,
                                     int *n_behind)
{
    const char *class_name = cnnbn__keras_text(node, "class_name");
    const cnnbn__node *config = cnnbn__node_get(node, "config");
    const char *name = cnnbn__keras_text(config, "name");
    if (!name) name = cnnbn__keras_text(node, "name");
    *layer = -1;
    *n_behind = 0;
    if (!class_name || !config || config->kind != CNNBN__MAP)
        return cnnbn_error(CNNBN_ERR_MODEL, "line %d: a layer needs class_name and config", node->line);
    CNNBN_TRY(cnnbn__keras_check_outer(node, name ? name : class_name));
    cnnbn_status status;
    if (strcmp(class_name, "InputLayer") == 0) {
        status = read_input_layer(r->graph, config, name, r->wish);
        return status == CNNBN_OK ? status
                                  : cnnbn_error_context(status, "layer %.60s (InputLayer)", name ? name : "input");
    }
    if (cnnbn__is_operation(node)) {
        status = read_operation(r, node, name, group, frozen, layer);
        return status == CNNBN_OK
                   ? status
                   : cnnbn_error_context(status, "operation %.60s (%.60s)", name ? name : "without a name", class_name);
    }
    const cnnbn_layer_type *type = NULL;
    status = cnnbn__find_type(class_name, &type);
    if (status != CNNBN_OK) return cnnbn_error_context(status, "layer %.60s", name ? name : "without a name");
    CNNBN_TRY(add_layer(r, type, name, group, layer));
    cnnbn_layer *l = &r->graph->model->layers[*layer];
    if (group >= 0) l->first_param = CNNBN__NAME_GIVES_WAY;
    status = cnnbn__read_layer_args(l, config, layer_skip);
    if (frozen) l->trainable = 0;
    if (status == CNNBN_OK) status = check_hard_sigmoid(r, *layer, group, n_behind);
    if (status == CNNBN_OK) return CNNBN_OK;
    l = &r->graph->model->layers[*layer];
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

/* ---------------------------------------------------------------- calls */

/* null, or a list of nulls: a model of several inputs has a mask for each. */
static int is_nothing(const cnnbn__node *node)
{
    if (node->kind != CNNBN__LIST) return cnnbn__node_is_null(node);
    for (const cnnbn__node *n = node->first; n; n = n->next)
        if (!cnnbn__node_is_null(n)) return 0;
    return 1;
}

/* Arguments of a call. mask and training at null change nothing. Keras 3 writes training: false for a Dropout that was never
 * told so, and true for a RandomFlip and its like, and its Functional model overrides it at run time; in Keras 2 the same
 * words freeze the layer. type NULL: a model inside the model. */
cnnbn_status cnnbn__keras_check_kwargs(const cnnbn_layer_type *type, const cnnbn__node *kwargs, int keras3)
{
    char shown[CNNBN__SHOW_MAX];
    for (const cnnbn__node *n = kwargs && kwargs->kind == CNNBN__MAP ? kwargs->first : NULL; n; n = n->next) {
        int training = strcmp(n->key, "training") == 0, truth = 1;
        if ((training || strcmp(n->key, "mask") == 0) && is_nothing(n)) continue;
        if (training && keras3 && cnnbn__node_to_bool(n, &truth) &&
            (!truth || (type && strncmp(type->name, "Random", strlen("Random")) == 0)))
            continue;
        return cnnbn_error(CNNBN_ERR_MODEL, "is called with %.60s = %s, which is not supported; %s", n->key,
                           cnnbn__node_show(n, shown, sizeof shown),
                           training ? "leave it out, and for a frozen BatchNormalization set trainable to false"
                                    : "call it on its inputs alone");
    }
    return CNNBN_OK;
}

/* ---------------------------------------------------------------- the model */

cnnbn_status cnnbn__keras_check_config(const cnnbn__node *config)
{
    static const char *const known[] = {"name",         "layers",        "trainable", "dtype", "build_input_shape",
                                        "input_layers", "output_layers", NULL};
    for (const cnnbn__node *n = config->kind == CNNBN__MAP ? config->first : NULL; n; n = n->next) {
        int k = 0;
        while (known[k] && strcmp(known[k], n->key) != 0) k++;
        if (!known[k])
            return cnnbn_error(CNNBN_ERR_MODEL, "the model's config has a key %.60s that is not known", n->key);
        if (strcmp(n->key, "dtype") == 0) CNNBN_TRY(cnnbn__inert_check(NULL, n));
    }
    return CNNBN_OK;
}

static cnnbn_status read_root(cnnbn__graph *graph, const cnnbn__node *root, const cnnbn_model_wish *wish,
                              cnnbn_model **out)
{
    const cnnbn__node *config = cnnbn__node_get(root, "config");
    const char *class_name = cnnbn__keras_text(root, "class_name"), *name = cnnbn__keras_text(config, "name");
    if (!class_name || !config || config->kind == CNNBN__SCALAR)
        return cnnbn_error(CNNBN_ERR_MODEL, "a Keras model needs class_name and config");
    CNNBN_TRY(cnnbn__keras_check_outer(root, "the model"));
    CNNBN_TRY(cnnbn__keras_check_config(config));
    int sequential = strcmp(class_name, "Sequential") == 0, truth = 1, output;
    if (!sequential && strcmp(class_name, "Functional") != 0 && strcmp(class_name, "Model") != 0)
        return cnnbn_error(CNNBN_ERR_MODEL, "a model of class %.60s; Sequential and Functional models are read",
                           class_name);
    if (cnnbn__node_to_bool(cnnbn__node_get(config, "trainable"), &truth) && !truth)
        return cnnbn_error(CNNBN_ERR_MODEL, "the whole model has trainable = false; set it to true");
    CNNBN_TRY(cnnbn__graph_create(graph, name ? name : sequential ? "sequential" : "functional"));
    const cnnbn__node *layers = config->kind == CNNBN__LIST ? config : cnnbn__node_get(config, "layers");
    if (sequential && layers && layers->kind == CNNBN__LIST && layers->n)
        CNNBN_TRY(sequential_input(graph, config, layers, wish));
    const char *version = cnnbn__keras_text(root, "keras_version");
    cnnbn__keras_reader reader = {.graph = graph, .wish = wish};
    if (version && (version[0] == '1' || version[0] == '2')) reader.keras2 = version;
    CNNBN_TRY(cnnbn__keras_read_graph(&reader, config, sequential, &output));
    CNNBN_TRY(cnnbn__graph_finish(graph, output, out));
    (*out)->sequential = sequential && cnnbn__is_chain(*out);
    return CNNBN_OK;
}

cnnbn_status cnnbn__read_keras(const cnnbn__node *root, const cnnbn_model_wish *wish, cnnbn_model **out)
{
    cnnbn__graph graph = {0};
    *out = NULL;
    cnnbn_status status = read_root(&graph, root, wish, out);
    cnnbn__graph_destroy(&graph);
    return status;
}
