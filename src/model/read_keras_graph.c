/* Keras' graphs, models inside models among them. A scope is a model as it is written: its layers, and the models inside it, each
 * a scope of its own. An instance is a scope as it is called: a model that is called twice has two, with the same layers. All
 * instances together are the one flat graph that cnnbn knows: first every layer gets its calls, then these are connected, for
 * which a reference is followed through the inputs and outputs of the models that it passes. */
#include "read_keras.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cnnbn/memory.h"

/* Longest way through models without a layer of their own. */
enum { DEPTH_MAX = 500 };

typedef enum entry_kind { ENTRY_INPUT, ENTRY_LAYER, ENTRY_MODEL } entry_kind;

typedef struct entry {
    entry_kind kind;
    const char *name;
    const cnnbn__node *nodes; /* inbound_nodes; NULL in a Sequential model */
    int n_nodes;
    int slot;                 /* of its first node, in an instance */
    int layer, n_behind;      /* LAYER: index; layers that follow it and belong to it */
    int is_operation;         /* LAYER: tensors stand as read_operation.c says */
    int place;                /* INPUT: which of the model's inputs; -1: none of them */
    const cnnbn__node *shape; /* of an input with the batch, as it is stated; NULL: it is not */
    cnnbn__scope *inside;     /* MODEL */
} entry;

struct cnnbn__scope {
    cnnbn__scope *next; /* all scopes of a reader */
    const cnnbn__node *config;
    int sequential, n_entries, n_slots, n_inputs;
    int group; /* of the model; -1: the whole one */
    entry *entries;
    entry **by_name; /* sorted; functional models only */
};

typedef struct instance instance;
struct instance {
    instance *next; /* all instances of a reader */
    const cnnbn__scope *scope;
    const instance *outside; /* NULL: the whole model */
    const entry *as;         /* what it is there, and which call of it */
    int node;
    int *calls;       /* [n_slots]: LAYER */
    instance **inner; /* [n_slots]: MODEL */
};

typedef struct place { /* of a tensor */
    const char *name;
    int node, tensor;
} place;

static void free_all(cnnbn__scope *scopes, instance *instances)
{
    while (scopes) {
        cnnbn__scope *next = scopes->next;
        cnnbn_free(scopes->entries);
        cnnbn_free(scopes->by_name);
        cnnbn_free(scopes);
        scopes = next;
    }
    while (instances) {
        instance *next = instances->next;
        cnnbn_free(instances->calls);
        cnnbn_free(instances->inner);
        cnnbn_free(instances);
        instances = next;
    }
}

/* ---------------------------------------------------------------- scopes */

static const cnnbn__node *layers_of(const cnnbn__node *config)
{
    /* Before Keras 2.2.3 the config of a Sequential model was the list itself. */
    return config->kind == CNNBN__LIST ? config : cnnbn__node_get(config, "layers");
}

static int is_model(const char *class_name)
{
    return strcmp(class_name, "Sequential") == 0 || strcmp(class_name, "Functional") == 0 ||
           strcmp(class_name, "Model") == 0;
}

static int is_frozen(const cnnbn__node *config)
{
    int truth = 1;
    return cnnbn__node_to_bool(cnnbn__node_get(config, "trainable"), &truth) && !truth;
}

static cnnbn_status add_group(cnnbn__keras_reader *r, const char *name, int sequential, int outside, int *out)
{
    cnnbn_model *model = r->graph->model;
    void *memory;
    size_t n = (size_t)model->n_groups;
    if ((n & (n - 1)) == 0) { /* doubles at powers of two */
        CNNBN_TRY(cnnbn_alloc_array(n ? 2 * n : 1, sizeof *model->groups, "models inside a model", &memory));
        if (n) memcpy(memory, model->groups, n * sizeof *model->groups);
        cnnbn_free(model->groups);
        model->groups = memory;
    }
    cnnbn_group *group = &model->groups[n];
    CNNBN_TRY(cnnbn__name_copy("the name of a model", name, group->name));
    group->parent = outside;
    group->sequential = sequential;
    *out = model->n_groups++;
    return CNNBN_OK;
}

static cnnbn_status read_scope(cnnbn__keras_reader *r, const cnnbn__node *config, int sequential, int group, int frozen,
                               cnnbn__scope **out);

/* A model inside a model: NAME_LAYER are the names of its layers. */
static cnnbn_status read_model(cnnbn__keras_reader *r, const cnnbn__node *node, int group, int frozen, entry *e)
{
    const cnnbn__node *config = cnnbn__node_get(node, "config");
    int sequential = cnnbn__node_is(cnnbn__node_get(node, "class_name"), "Sequential"), inner;
    e->kind = ENTRY_MODEL;
    if (!config || config->kind == CNNBN__SCALAR || !e->name)
        return cnnbn_error(CNNBN_ERR_MODEL, "line %d: a model inside a model needs a name and a config", node->line);
    CNNBN_TRY(cnnbn__keras_check_outer(node, e->name));
    CNNBN_TRY(cnnbn__keras_check_config(config));
    CNNBN_TRY(add_group(r, e->name, sequential, group, &inner));
    cnnbn_status status = read_scope(r, config, sequential, inner, frozen || is_frozen(config), &e->inside);
    return status == CNNBN_OK ? status : cnnbn_error_context(status, "model %.60s", e->name);
}

static cnnbn_status read_entry(cnnbn__keras_reader *r, const cnnbn__node *node, int group, int frozen, entry *e)
{
    const cnnbn__node *class_name = cnnbn__node_get(node, "class_name");
    e->name = cnnbn__keras_text(cnnbn__node_get(node, "config"), "name");
    if (!e->name) e->name = cnnbn__keras_text(node, "name");
    e->layer = -1;
    e->place = -1;
    e->shape = cnnbn__node_get(cnnbn__node_get(node, "config"), "batch_shape");
    if (!e->shape) e->shape = cnnbn__node_get(cnnbn__node_get(node, "config"), "batch_input_shape");
    if (class_name && class_name->kind == CNNBN__SCALAR && is_model(class_name->text))
        return read_model(r, node, group, frozen, e);
    e->kind = cnnbn__node_is(class_name, "InputLayer") ? ENTRY_INPUT : ENTRY_LAYER;
    if (e->kind == ENTRY_INPUT && group >= 0) return CNNBN_OK; /* stands for what the model is called on */
    e->is_operation = e->kind == ENTRY_LAYER && cnnbn__is_operation(node);
    return cnnbn__keras_read_layer(r, node, group, frozen, &e->layer, &e->n_behind);
}

static int order_names(const void *a, const void *b)
{
    const entry *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static cnnbn_status index_names(cnnbn__scope *s)
{
    void *memory;
    CNNBN_TRY(cnnbn_alloc_array((size_t)s->n_entries, sizeof(entry *), "names of layers", &memory));
    s->by_name = memory;
    for (int i = 0; i < s->n_entries; i++) {
        s->by_name[i] = &s->entries[i];
        if (!s->entries[i].name) return cnnbn_error(CNNBN_ERR_MODEL, "a layer of a Functional model has no name");
    }
    qsort(s->by_name, (size_t)s->n_entries, sizeof *s->by_name, order_names);
    for (int i = 1; i < s->n_entries; i++)
        if (strcmp(s->by_name[i - 1]->name, s->by_name[i]->name) == 0)
            return cnnbn_error(CNNBN_ERR_MODEL,
                               "the name %.60s is used twice; every layer and the input need a name of their own",
                               s->by_name[i]->name);
    return CNNBN_OK;
}

static entry *find_entry(const cnnbn__scope *s, const char *name)
{
    entry key = {.name = name}, *key_at = &key;
    entry **found = bsearch(&key_at, s->by_name, (size_t)s->n_entries, sizeof *s->by_name, order_names);
    return found ? *found : NULL;
}

/* [name, node, tensor]; a map of call arguments may stand behind. */
static int read_place(const cnnbn__node *list, place *out)
{
    const cnnbn__node *name = cnnbn__node_at(list, 0);
    if (!name || name->kind != CNNBN__SCALAR) return 0;
    out->name = name->text;
    return cnnbn__node_to_int(cnnbn__node_at(list, 1), &out->node) &&
           cnnbn__node_to_int(cnnbn__node_at(list, 2), &out->tensor);
}

/* The k-th of [["name", 0, 0], ...], or of a single one without the outer list; NULL: none. */
static const cnnbn__node *list_place(const cnnbn__node *list, int k)
{
    if (!list || list->kind != CNNBN__LIST || !list->n) return NULL;
    if (list->first->kind == CNNBN__SCALAR) return k ? NULL : list;
    return cnnbn__node_at(list, k);
}

static cnnbn_status read_inputs(cnnbn__scope *s, int whole)
{
    const cnnbn__node *list = cnnbn__node_get(s->config, "input_layers"), *item;
    for (; (item = list_place(list, s->n_inputs)); s->n_inputs++) {
        place at;
        char shown[CNNBN__SHOW_MAX];
        entry *e = read_place(item, &at) ? find_entry(s, at.name) : NULL;
        if (!e || e->kind != ENTRY_INPUT || e->place >= 0)
            return cnnbn_error(CNNBN_ERR_MODEL, "input_layers: %s is no InputLayer, or there twice",
                               cnnbn__node_show(item, shown, sizeof shown));
        e->place = s->n_inputs;
    }
    if (s->n_inputs < 1)
        return cnnbn_error(CNNBN_ERR_MODEL, "input_layers: expected a list such as [[\"name\", 0, 0]]");
    const cnnbn__node *outputs = cnnbn__node_get(s->config, "output_layers");
    if (!list_place(outputs, 0))
        return cnnbn_error(CNNBN_ERR_MODEL, "output_layers: expected a list such as [[\"name\", 0, 0]]");
    if (whole && (s->n_inputs > 1 || list_place(outputs, 1)))
        return cnnbn_error(CNNBN_ERR_MODEL,
                           "input_layers and output_layers name several tensors; models with one input and one output "
                           "are supported (models inside them may have more)");
    return CNNBN_OK;
}

static cnnbn_status read_nodes(const cnnbn__scope *s, const cnnbn__node *layer, entry *e)
{
    e->n_nodes = 1;
    if (e->kind == ENTRY_INPUT || s->sequential) return CNNBN_OK;
    e->nodes = cnnbn__node_get(layer, "inbound_nodes");
    if (!e->nodes || e->nodes->kind != CNNBN__LIST || !e->nodes->n)
        return cnnbn_error(CNNBN_ERR_MODEL, "layer %.60s has no inbound_nodes: nothing leads to it", e->name);
    e->n_nodes = e->nodes->n;
    return CNNBN_OK;
}

static cnnbn_status fill_scope(cnnbn__keras_reader *r, cnnbn__scope *s, int group, int frozen)
{
    const cnnbn__node *layers = layers_of(s->config);
    const char *what = s->sequential ? "Sequential" : "Functional";
    void *memory;
    if (!layers || layers->kind != CNNBN__LIST || !layers->n)
        return cnnbn_error(CNNBN_ERR_MODEL, "a %s model needs a list of layers", what);
    CNNBN_TRY(cnnbn_alloc_array((size_t)layers->n, sizeof(entry), "layers of a model", &memory));
    s->entries = memory;
    for (const cnnbn__node *n = layers->first; n; n = n->next) {
        entry *e = &s->entries[s->n_entries++];
        CNNBN_TRY(read_entry(r, n, group, frozen, e));
        CNNBN_TRY(read_nodes(s, n, e));
        e->slot = s->n_slots;
        s->n_slots += e->n_nodes;
    }
    if (s->sequential) {
        s->n_inputs = 1;
        return CNNBN_OK;
    }
    CNNBN_TRY(index_names(s));
    return read_inputs(s, group < 0);
}

static cnnbn_status read_scope(cnnbn__keras_reader *r, const cnnbn__node *config, int sequential, int group, int frozen,
                               cnnbn__scope **out)
{
    void *memory;
    CNNBN_TRY(cnnbn_alloc(sizeof(cnnbn__scope), "a model", &memory));
    cnnbn__scope *s = *out = memory;
    s->next = r->scopes;
    r->scopes = s;
    s->config = config;
    s->sequential = sequential;
    s->group = group;
    return fill_scope(r, s, group, frozen);
}

/* ---------------------------------------------------------------- instances */

static cnnbn_status add_calls(cnnbn__keras_reader *r, const entry *e, int *out)
{
    int call;
    CNNBN_TRY(cnnbn__graph_call(r->graph, e->layer, out));
    for (int k = 1; k <= e->n_behind; k++) {
        CNNBN_TRY(cnnbn__graph_call(r->graph, e->layer + k, &call));
        CNNBN_TRY(cnnbn__graph_connect(r->graph, call, call - 1));
    }
    return CNNBN_OK;
}

static cnnbn_status instantiate(cnnbn__keras_reader *r, instance **all, const cnnbn__scope *s, const instance *outside,
                                const entry *as, int node, instance **out)
{
    void *memory;
    CNNBN_TRY(cnnbn_alloc(sizeof(instance), "a model", &memory));
    instance *in = *out = memory;
    *in = (instance){.next = *all, .scope = s, .outside = outside, .as = as, .node = node};
    *all = in;
    CNNBN_TRY(cnnbn_alloc_array((size_t)s->n_slots, sizeof(int), "uses of layers", &memory));
    in->calls = memory;
    CNNBN_TRY(cnnbn_alloc_array((size_t)s->n_slots, sizeof(instance *), "uses of models", &memory));
    in->inner = memory;
    for (int i = 0; i < s->n_entries; i++) {
        const entry *e = &s->entries[i];
        for (int k = 0; k < e->n_nodes; k++) {
            if (e->kind == ENTRY_LAYER) CNNBN_TRY(add_calls(r, e, &in->calls[e->slot + k]));
            if (e->kind != ENTRY_MODEL) continue;
            if (++r->n_instances > CNNBN__CALLS_MAX)
                return cnnbn_error(CNNBN_ERR_MODEL, "more than %d uses of models inside the model", CNNBN__CALLS_MAX);
            CNNBN_TRY(instantiate(r, all, e->inside, in, e, k, &in->inner[e->slot + k]));
        }
    }
    return CNNBN_OK;
}

/* is_output: the reference stands in a model's list of outputs. */
static cnnbn_status output_of(const instance *in, const entry *e, int node, int tensor, int is_output, int depth,
                              int *call);

/* Tensors of a node: Keras 3 has them in args, alone or in lists, Keras 2 one after another. */
static const cnnbn__node *nth_history(const cnnbn__node *args, int *k, int depth)
{
    for (const cnnbn__node *n = args ? args->first : NULL; n; n = n->next) {
        const cnnbn__node *found = cnnbn__node_get(cnnbn__node_get(n, "config"), "keras_history");
        if (n->kind == CNNBN__LIST && depth < 2) {
            found = nth_history(n, k, depth + 1);
            if (found) return found;
        } else if ((*k)-- == 0) {
            return found ? found : n;
        }
    }
    return NULL;
}

static const cnnbn__node *nth_tensor(const entry *e, const cnnbn__node *node, int k)
{
    if (e->is_operation) return cnnbn__operation_tensor(node, k);
    if (node->kind == CNNBN__MAP) return nth_history(cnnbn__node_get(node, "args"), &k, 0);
    return cnnbn__node_at(node, k);
}

static cnnbn_status resolve(const instance *in, const cnnbn__node *list, int is_output, int depth, int *call)
{
    place at;
    char shown[CNNBN__SHOW_MAX];
    const entry *e = read_place(list, &at) ? find_entry(in->scope, at.name) : NULL;
    *call = -1;
    if (e) CNNBN_TRY(output_of(in, e, at.node, at.tensor, is_output, depth, call));
    if (*call >= 0) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_MODEL, "no layer's output is called %s", cnnbn__node_show(list, shown, sizeof shown));
}

/* In front of an entry of a Sequential model. */
static cnnbn_status before(const instance *in, const entry *e, int depth, int *call);

/* The k-th tensor that a model is called on. */
static cnnbn_status input_of(const instance *in, int k, int depth, int *call)
{
    if (depth > DEPTH_MAX)
        return cnnbn_error(CNNBN_ERR_MODEL, "models form a cycle through %.60s", in->as ? in->as->name : "the input");
    *call = 0;
    if (!in->outside) return CNNBN_OK;
    if (in->outside->scope->sequential) return before(in->outside, in->as, depth + 1, call);
    return resolve(in->outside, nth_tensor(in->as, cnnbn__node_at(in->as->nodes, in->node), k), 0, depth + 1, call);
}

static cnnbn_status before(const instance *in, const entry *e, int depth, int *call)
{
    if (e == in->scope->entries) return input_of(in, 0, depth + 1, call);
    return output_of(in, e - 1, 0, 0, 0, depth + 1, call);
}

static cnnbn_status output_of(const instance *in, const entry *e, int node, int tensor, int is_output, int depth,
                              int *call)
{
    if (e->kind == ENTRY_INPUT) {
        if (in->scope->sequential) return before(in, e, depth, call);
        if (node != 0 || tensor != 0 || e->place < 0) return CNNBN_OK; /* call stays -1 */
        return input_of(in, e->place, depth, call);
    }
    if (e->kind == ENTRY_LAYER) {
        if (node >= 0 && node < e->n_nodes && tensor == 0) *call = in->calls[e->slot + node] + e->n_behind;
        return CNNBN_OK;
    }
    /* Keras 2 counts the making of an inner model as its node 0; Keras 3 does so in the list of outputs, for Functional ones. */
    int is_keras2 = !in->scope->sequential && e->nodes->first->kind == CNNBN__LIST;
    if (is_keras2 || (is_output && !e->inside->sequential)) node--;
    if (node < 0 || node >= e->n_nodes) return CNNBN_OK;
    const instance *inner = in->inner[e->slot + node];
    if (inner->scope->sequential) {
        if (tensor != 0) return CNNBN_OK;
        return output_of(inner, &inner->scope->entries[inner->scope->n_entries - 1], 0, 0, 0, depth + 1, call);
    }
    const cnnbn__node *list = list_place(cnnbn__node_get(inner->scope->config, "output_layers"), tensor);
    return list ? resolve(inner, list, 1, depth + 1, call) : CNNBN_OK;
}

/* ---------------------------------------------------------------- connections */

static cnnbn_status check_call(const cnnbn_layer_type *type, const cnnbn__node *node)
{
    for (const cnnbn__node *n = node->kind == CNNBN__MAP ? node->first : NULL; n; n = n->next)
        if (strcmp(n->key, "args") != 0 && strcmp(n->key, "kwargs") != 0)
            return cnnbn_error(CNNBN_ERR_MODEL, "inbound_nodes: key %.60s is not known", n->key);
    if (node->kind == CNNBN__MAP) return cnnbn__keras_check_kwargs(type, cnnbn__node_get(node, "kwargs"), 1);
    for (const cnnbn__node *n = node->first; n; n = n->next)
        CNNBN_TRY(cnnbn__keras_check_kwargs(type, cnnbn__node_at(n, 3), 0));
    return CNNBN_OK;
}

static cnnbn_status connect_node(cnnbn__keras_reader *r, const instance *in, const entry *e, int k)
{
    int input, n = 0;
    if (in->scope->sequential) {
        if (e->kind == ENTRY_MODEL) return CNNBN_OK;
        CNNBN_TRY(before(in, e, 0, &input));
        return cnnbn__graph_connect(r->graph, in->calls[e->slot], input);
    }
    const cnnbn__node *node = cnnbn__node_at(e->nodes, k), *tensor;
    CNNBN_TRY(check_call(e->kind == ENTRY_LAYER ? r->graph->model->layers[e->layer].type : NULL, node));
    for (; (tensor = nth_tensor(e, node, n)); n++) {
        char shown[CNNBN__SHOW_MAX];
        if (tensor->kind != CNNBN__LIST)
            return cnnbn_error(CNNBN_ERR_MODEL,
                               "is called on %s; tensors of layers are expected, and numbers come in by Rescaling",
                               cnnbn__node_show(tensor, shown, sizeof shown));
        CNNBN_TRY(resolve(in, tensor, 0, 0, &input));
        if (e->kind == ENTRY_LAYER) CNNBN_TRY(cnnbn__graph_connect(r->graph, in->calls[e->slot + k], input));
    }
    if (e->kind == ENTRY_MODEL && n != e->inside->n_inputs)
        return cnnbn_error(CNNBN_ERR_MODEL, "is called on %d tensors, and has %d inputs", n, e->inside->n_inputs);
    return CNNBN_OK;
}

/* [null, 7, 5, 3]; a dimension that is null is any. */
static cnnbn_status read_stated(const cnnbn__node *list, cnnbn_shape *out)
{
    char shown[CNNBN__SHOW_MAX];
    const cnnbn__node *item = list->kind == CNNBN__LIST && list->n ? list->first->next : NULL;
    *out = (cnnbn_shape){0};
    int fits = item != NULL;
    for (; fits && item; item = item->next) {
        fits = out->rank < CNNBN_RANK_MAX;
        int *dim = &out->dim[fits ? out->rank++ : 0];
        if (!cnnbn__node_is_null(item)) fits = fits && cnnbn__node_to_int(item, dim) && *dim >= 1;
    }
    if (fits) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_MODEL, "input shape %s: expected the batch's null and 1 to 3 dimensions",
                       cnnbn__node_show(list, shown, sizeof shown));
}

/* What a model inside says of its inputs is compared with what it is called on when that is known. Keras 2 warns where only the
 * sizes differ, and computes what is computed here; Keras 3 refuses. */
static cnnbn_status state_inputs(cnnbn__keras_reader *r, const instance *in)
{
    const cnnbn__scope *s = in->scope;
    for (int i = 0; i < (s->sequential ? 1 : s->n_entries); i++) {
        const entry *e = &s->entries[i];
        cnnbn_shape shape;
        int call, is_input = s->sequential ? e->kind != ENTRY_MODEL : e->kind == ENTRY_INPUT && e->place >= 0;
        if (!is_input || !e->shape || cnnbn__node_is_null(e->shape)) continue;
        CNNBN_TRY(read_stated(e->shape, &shape));
        if (r->keras2) memset(shape.dim, 0, sizeof shape.dim);
        CNNBN_TRY(input_of(in, s->sequential ? 0 : e->place, 0, &call));
        CNNBN_TRY(cnnbn__graph_state(r->graph, call, s->group, shape));
    }
    return CNNBN_OK;
}

/* The outputs of a model inside the model: whoever calls it may want one and leave the others. */
static cnnbn_status offer_outputs(cnnbn__keras_reader *r, const instance *in)
{
    const cnnbn__node *list = cnnbn__node_get(in->scope->config, "output_layers"), *item;
    for (int k = 0, call; !in->scope->sequential && (item = list_place(list, k)); k++) {
        CNNBN_TRY(resolve(in, item, 1, 0, &call));
        CNNBN_TRY(cnnbn__graph_offer(r->graph, call));
    }
    return CNNBN_OK;
}

static cnnbn_status connect_all(cnnbn__keras_reader *r, const instance *in)
{
    if (in->outside) CNNBN_TRY(state_inputs(r, in));
    if (in->outside) CNNBN_TRY(offer_outputs(r, in));
    for (int i = 0; i < in->scope->n_entries; i++) {
        const entry *e = &in->scope->entries[i];
        if (e->kind == ENTRY_INPUT) continue;
        for (int k = 0; k < e->n_nodes; k++) {
            cnnbn_status status = connect_node(r, in, e, k);
            if (status != CNNBN_OK && e->kind == ENTRY_LAYER)
                return cnnbn__layer_context(status, &r->graph->model->layers[e->layer]);
            if (status == CNNBN_OK && e->kind == ENTRY_MODEL) status = connect_all(r, in->inner[e->slot + k]);
            if (status != CNNBN_OK) return cnnbn_error_context(status, "model %.60s", e->name);
        }
    }
    return CNNBN_OK;
}

/* The input is calls[0], wherever its layer stands in the list. */
static cnnbn_status read_whole(cnnbn__keras_reader *r, const cnnbn__node *config, int sequential, instance **all,
                               int *output)
{
    cnnbn__scope *s;
    instance *whole;
    CNNBN_TRY(read_scope(r, config, sequential, -1, 0, &s));
    if (!r->graph->model->n_calls) return cnnbn_error(CNNBN_ERR_MODEL, "the model has no InputLayer");
    CNNBN_TRY(cnnbn__graph_name_layers(r->graph));
    CNNBN_TRY(instantiate(r, all, s, NULL, NULL, 0, &whole));
    CNNBN_TRY(connect_all(r, whole));
    *output = -1;
    if (sequential) return output_of(whole, &s->entries[s->n_entries - 1], 0, 0, 0, 0, output);
    cnnbn_status status = resolve(whole, list_place(cnnbn__node_get(config, "output_layers"), 0), 1, 0, output);
    return status == CNNBN_OK ? status : cnnbn_error_context(status, "output_layers");
}

cnnbn_status cnnbn__keras_read_graph(cnnbn__keras_reader *r, const cnnbn__node *config, int sequential, int *output)
{
    instance *all = NULL;
    cnnbn_status status = read_whole(r, config, sequential, &all, output);
    free_all(r->scopes, all);
    r->scopes = NULL;
    return status;
}
