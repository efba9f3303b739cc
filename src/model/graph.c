/* A model under construction: layers, calls, names. */
#include "internal.h"

#include <stdio.h>
#include <string.h>

#include "cnnbn/memory.h"
#include "cnnbn/rng.h"

cnnbn_status cnnbn__name_copy(const char *what, const char *name, char out[CNNBN_NAME_MAX])
{
    size_t length = strlen(name);
    if (!length || length >= CNNBN_NAME_MAX)
        return cnnbn_error(CNNBN_ERR_MODEL, "%s \"%.40s%s\" has %zu bytes; 1 to %d are allowed", what, name,
                           length > 40 ? "..." : "", length, CNNBN_NAME_MAX - 1);
    for (size_t i = 0; i <= length; i++) {
        if ((unsigned char)name[i] < ' ' && name[i])
            return cnnbn_error(CNNBN_ERR_MODEL, "%s has a control character in it", what);
        out[i] = name[i] == '/' ? '_' : name[i];
    }
    return CNNBN_OK;
}

cnnbn_status cnnbn__graph_create(cnnbn__graph *graph, const char *name)
{
    void *memory;
    memset(graph, 0, sizeof *graph);
    CNNBN_TRY(cnnbn_alloc(sizeof *graph->model, "a model", &memory));
    graph->model = memory;
    graph->model->output = -1;
    return cnnbn__name_copy("the model's name", name, graph->model->name);
}

void cnnbn__graph_destroy(cnnbn__graph *graph)
{
    cnnbn_model_destroy(graph->model);
    cnnbn_free(graph->table);
    cnnbn_free(graph->stated);
    cnnbn_free(graph->offered);
    memset(graph, 0, sizeof *graph);
}

void cnnbn_model_destroy(cnnbn_model *model)
{
    if (!model) return;
    for (int l = 0; l < model->n_layers; l++) cnnbn_free(model->layers[l].args);
    cnnbn_free(model->layers);
    cnnbn_free(model->calls);
    cnnbn_free(model->params);
    cnnbn_free(model->groups);
    cnnbn_model_destroy(model->whole);
    cnnbn_free(model->whole_layer);
    cnnbn_free(model);
}

/* Makes room for one more element of an array. */
static cnnbn_status grow(void **array, int n, int *cap, size_t elem_bytes, const char *what)
{
    if (n < *cap) return CNNBN_OK;
    int wanted = *cap ? 2 * *cap : 64;
    void *memory;
    CNNBN_TRY(cnnbn_alloc_array((size_t)wanted, elem_bytes, what, &memory));
    if (n) memcpy(memory, *array, (size_t)n * elem_bytes);
    cnnbn_free(*array);
    *array = memory;
    *cap = wanted;
    return CNNBN_OK;
}

cnnbn_status cnnbn__graph_call(cnnbn__graph *graph, int layer, int *out)
{
    cnnbn_model *model = graph->model;
    *out = -1;
    if (model->n_calls >= CNNBN__CALLS_MAX)
        return cnnbn_error(CNNBN_ERR_MODEL, "more than %d uses of layers", CNNBN__CALLS_MAX);
    void *calls = model->calls;
    CNNBN_TRY(grow(&calls, model->n_calls, &graph->cap_calls, sizeof *model->calls, "a model's graph"));
    model->calls = calls;
    model->calls[model->n_calls].layer = layer;
    *out = model->n_calls++;
    return CNNBN_OK;
}

cnnbn_status cnnbn__graph_input(cnnbn__graph *graph, const char *name, cnnbn_shape shape)
{
    cnnbn_model *model = graph->model;
    if (model->n_calls)
        return cnnbn_error(CNNBN_ERR_MODEL, "input \"%.60s\": a second input; models with one input are supported",
                           name);
    CNNBN_TRY(cnnbn__shape_check("the input", shape));
    CNNBN_TRY(cnnbn__name_copy("the input's name", name, model->input_name));
    int call;
    CNNBN_TRY(cnnbn__graph_call(graph, -1, &call));
    model->input = model->calls[call].shape = shape;
    return CNNBN_OK;
}

cnnbn_status cnnbn__graph_layer(cnnbn__graph *graph, const cnnbn_layer_type *type, const char *name, int *out)
{
    cnnbn_model *model = graph->model;
    *out = -1;
    if (model->n_layers >= CNNBN__LAYERS_MAX)
        return cnnbn_error(CNNBN_ERR_MODEL, "more than %d layers", CNNBN__LAYERS_MAX);
    void *layers = model->layers;
    CNNBN_TRY(grow(&layers, model->n_layers, &graph->cap_layers, sizeof *model->layers, "a model's layers"));
    model->layers = layers;
    cnnbn_layer *layer = &model->layers[model->n_layers];
    memset(layer, 0, sizeof *layer);
    layer->type = type;
    layer->trainable = 1;
    layer->group = -1;
    if (name) CNNBN_TRY(cnnbn__name_copy("the name of a layer", name, layer->name));
    void *args;
    CNNBN_TRY(cnnbn_alloc_array((size_t)type->n_args, sizeof *layer->args, "a layer's arguments", &args));
    layer->args = args;
    *out = model->n_layers++;
    for (int i = 0; i < type->n_args; i++) CNNBN_TRY(cnnbn__arg_default(&type->args[i], &layer->args[i]));
    return CNNBN_OK;
}

cnnbn_status cnnbn__graph_connect(cnnbn__graph *graph, int call, int input)
{
    cnnbn_call *c = &graph->model->calls[call];
    if (c->n_inputs >= CNNBN_INPUTS_MAX)
        return cnnbn_error(CNNBN_ERR_MODEL, "layer %s has more than %d inputs", graph->model->layers[c->layer].name,
                           CNNBN_INPUTS_MAX);
    if (++graph->n_edges > CNNBN__EDGES_MAX)
        return cnnbn_error(CNNBN_ERR_MODEL, "more than %d connections between layers", CNNBN__EDGES_MAX);
    c->inputs[c->n_inputs++] = input;
    return CNNBN_OK;
}

cnnbn_status cnnbn__graph_state(cnnbn__graph *graph, int call, int group, cnnbn_shape shape)
{
    void *stated = graph->stated;
    CNNBN_TRY(grow(&stated, graph->n_stated, &graph->cap_stated, sizeof *graph->stated, "a model's graph"));
    graph->stated = stated;
    graph->stated[graph->n_stated++] = (cnnbn__stated){call, group, shape};
    return CNNBN_OK;
}

cnnbn_status cnnbn__graph_offer(cnnbn__graph *graph, int call)
{
    void *offered = graph->offered;
    CNNBN_TRY(grow(&offered, graph->n_offered, &graph->cap_offered, sizeof *graph->offered, "a model's graph"));
    graph->offered = offered;
    graph->offered[graph->n_offered++] = call;
    return CNNBN_OK;
}

/* ---------------------------------------------------------------- names */

/* Place of a name in the table: its own, or the free one where it belongs. Never full: see list_layer. */
static int *place_of(const cnnbn__graph *graph, const char *name)
{
    unsigned at = (unsigned)cnnbn_hash_name(name) & (unsigned)(graph->table_size - 1);
    while (graph->table[at] && strcmp(graph->model->layers[graph->table[at] - 1].name, name) != 0)
        at = (at + 1) & (unsigned)(graph->table_size - 1);
    return &graph->table[at];
}

int cnnbn__graph_find(const cnnbn__graph *graph, const char *name)
{
    char copy[CNNBN_NAME_MAX];
    if (!graph->table || cnnbn__name_copy("a name", name, copy) != CNNBN_OK) return -1;
    return *place_of(graph, copy) - 1;
}

int cnnbn__graph_find_call(const cnnbn__graph *graph, const char *name, int node)
{
    const cnnbn_model *model = graph->model;
    char copy[CNNBN_NAME_MAX];
    if (cnnbn__name_copy("a name", name, copy) != CNNBN_OK) return -1;
    if (strcmp(copy, model->input_name) == 0) return node == 0 && model->n_calls ? 0 : -1;
    int layer = cnnbn__graph_find(graph, copy);
    if (layer < 0 || node < 0) return -1;
    /* first_param holds the layer's first call until the weights are listed; calls of a layer are added one after another
     * by the Keras reader, and anywhere by YAML's. */
    for (int c = model->layers[layer].first_param; c < model->n_calls; c++)
        if (model->calls[c].layer == layer && node-- == 0) return c;
    return -1;
}

static cnnbn_status list_layer(cnnbn__graph *graph, int l)
{
    cnnbn_model *model = graph->model;
    int *place = place_of(graph, model->layers[l].name);
    if (*place || strcmp(model->layers[l].name, model->input_name) == 0)
        return cnnbn_error(CNNBN_ERR_MODEL,
                           "the name %s is used twice; every layer and the input need a name of their own",
                           model->layers[l].name);
    *place = l + 1;
    return CNNBN_OK;
}

static cnnbn_status name_layer(cnnbn__graph *graph, int l, int *counters)
{
    cnnbn_layer *layer = &graph->model->layers[l];
    int t = 0;
    while (cnnbn__layer_types[t] != layer->type) t++;
    do {
        int n = counters[t]++;
        if (n)
            (void)snprintf(layer->name, sizeof layer->name, "%s_%d", layer->type->prefix, n);
        else
            (void)snprintf(layer->name, sizeof layer->name, "%s", layer->type->prefix);
    } while (*place_of(graph, layer->name) || strcmp(layer->name, graph->model->input_name) == 0);
    return list_layer(graph, l);
}

/* NAME, or NAME_1, NAME_2, ...: the first that is free. */
static cnnbn_status list_yielding(cnnbn__graph *graph, int l)
{
    cnnbn_layer *layer = &graph->model->layers[l];
    char name[CNNBN_NAME_MAX + 16];
    (void)snprintf(name, sizeof name, "%s", layer->name);
    size_t n = strlen(name);
    for (int k = 1; *place_of(graph, layer->name) || strcmp(layer->name, graph->model->input_name) == 0; k++) {
        (void)snprintf(name + n, sizeof name - n, "_%d", k);
        CNNBN_TRY(cnnbn__name_copy("the name of a layer", name, layer->name));
    }
    return list_layer(graph, l);
}

cnnbn_status cnnbn__graph_name_layers(cnnbn__graph *graph)
{
    cnnbn_model *model = graph->model;
    int counters[128] = {0}; /* by type */
    int size = 64;
    while (size < 2 * model->n_layers + 2) size *= 2;
    void *memory;
    CNNBN_TRY(cnnbn_alloc_array((size_t)size, sizeof(int), "the names of a model", &memory));
    cnnbn_free(graph->table);
    graph->table = memory;
    graph->table_size = size;
    for (int yields = 0; yields <= 1; yields++)
        for (int l = 0; l < model->n_layers; l++)
            if (model->layers[l].name[0] && (model->layers[l].first_param == CNNBN__NAME_GIVES_WAY) == yields)
                CNNBN_TRY(yields ? list_yielding(graph, l) : list_layer(graph, l));
    for (int l = 0; l < model->n_layers; l++)
        if (!model->layers[l].name[0]) CNNBN_TRY(name_layer(graph, l, counters));
    for (int c = model->n_calls - 1; c > 0; c--)
        if (model->calls[c].layer >= 0) model->layers[model->calls[c].layer].first_param = c;
    return CNNBN_OK;
}

/* ---------------------------------------------------------------- the end */

/* Other ways of saying a default are turned into it, so that models compare equal and files stay small: an axis counted
 * from the front, pooling strides equal to the pool. */
static void normalise_axes(cnnbn_shape *axes, int rank)
{
    for (int d = 0; d < axes->rank; d++)
        if (axes->dim[d] < 0) axes->dim[d] += rank + 1;
    if (axes->rank == 1 && axes->dim[0] == rank) axes->dim[0] = -1;
}

static void normalise_axis(int *axis, int rank)
{
    if (*axis < 0) *axis += rank + 1;
    if (*axis == rank) *axis = -1;
}

static void normalise(cnnbn_model *model)
{
    for (int c = 1; c < model->n_calls; c++) {
        cnnbn_layer *layer = &model->layers[model->calls[c].layer];
        for (int i = 0; i < layer->type->n_args; i++) {
            const char *name = layer->type->args[i].name;
            int rank = model->calls[model->calls[c].inputs[0]].shape.rank;
            if (strcmp(name, "axis") == 0 && layer->type->args[i].kind == CNNBN_ARG_INT)
                normalise_axis(&layer->args[i].i[0], rank);
            if (layer->type->args[i].kind == CNNBN_ARG_AXES) normalise_axes(&layer->args[i].shape, rank);
            if (strcmp(name, "strides") == 0 && cnnbn__arg_find(layer->type, "pool_size") &&
                memcmp(layer->args[i].i, cnnbn__arg_pair(layer, "pool_size"), 2 * sizeof(int)) == 0)
                layer->args[i].i[0] = layer->args[i].i[1] = 0;
        }
    }
}

static cnnbn_status check_stated(const cnnbn__graph *graph, const int *place)
{
    const cnnbn_model *model = graph->model;
    for (int k = 0; k < graph->n_stated; k++) {
        const cnnbn__stated *s = &graph->stated[k];
        cnnbn_shape given = model->calls[place[s->call]].shape, stated = s->shape;
        for (int d = 0; d < stated.rank; d++)
            if (!stated.dim[d] && d < given.rank) stated.dim[d] = given.dim[d];
        char a[48], b[48];
        if (!cnnbn__same_dims(given, stated, 0))
            return cnnbn_error(CNNBN_ERR_MODEL, "model %.60s: is called on %s, and its input is %s",
                               model->groups[s->group].name, cnnbn_shape_text(given, a, sizeof a),
                               cnnbn_shape_text(stated, b, sizeof b));
    }
    return CNNBN_OK;
}

static cnnbn_status order_and_infer(cnnbn__graph *graph, int *place, int *n_unused)
{
    void *state;
    CNNBN_TRY(cnnbn__order_calls(graph->model, place));
    CNNBN_TRY(cnnbn_alloc((size_t)graph->model->n_calls, "the order of a model's layers", &state));
    for (int k = 0; k < graph->n_offered; k++) ((unsigned char *)state)[place[graph->offered[k]]] = CNNBN__MAY_END;
    cnnbn_status status = cnnbn__check_reach(graph->model, state, n_unused);
    cnnbn_free(state);
    CNNBN_TRY(status);
    CNNBN_TRY(cnnbn__infer(graph->model));
    return check_stated(graph, place);
}

cnnbn_status cnnbn__graph_finish(cnnbn__graph *graph, int output, cnnbn_model **out)
{
    cnnbn_model *model = graph->model;
    void *place;
    *out = NULL;
    if (!model->n_layers) return cnnbn_error(CNNBN_ERR_MODEL, "the model has no layers");
    model->output = output;
    CNNBN_TRY(cnnbn_alloc_array((size_t)model->n_calls, sizeof(int), "the order of a model's layers", &place));
    int n_unused;
    cnnbn_status status = order_and_infer(graph, place, &n_unused);
    cnnbn_free(place);
    CNNBN_TRY(status);
    normalise(model);
    if (n_unused)
        CNNBN_TRY(cnnbn__prune(model, out));
    else
        *out = model;
    graph->model = NULL;
    return CNNBN_OK;
}
