/* Keras 3 names a layer's directory by its class and by how many of that class stand before it in model.layers. That order is not
 * the file's: Keras makes it of the graph when it builds the model (keras/src/ops/function.py, map_graph): layers by the longest
 * way to the output, the farthest first, and those equally far in the order in which a depth-first walk from the output meets
 * them. */
#include "keras_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "cnnbn/layer.h"

typedef struct ranked {
    int layer, depth, met;
} ranked;

typedef struct walk {
    const cnnbn_model *model;
    int *stack, *next_input, *finished, *call_depth;
    unsigned char *begun;
    ranked *layers; /* [n_layers + 1]: the last is the input */
    int n_finished, n_met;
} walk;

static ranked *layer_of(const walk *w, int call)
{
    int layer = w->model->calls[call].layer;
    return &w->layers[layer < 0 ? w->model->n_layers : layer];
}

static void meet(walk *w, int call, int *depth)
{
    ranked *layer = layer_of(w, call);
    if (layer->met < 0) layer->met = w->n_met++;
    w->begun[call] = 1;
    w->next_input[call] = 0;
    w->stack[(*depth)++] = call;
}

static void walk_from_output(walk *w)
{
    int depth = 0;
    meet(w, w->model->output, &depth);
    while (depth) {
        int at = w->stack[depth - 1];
        const cnnbn_call *call = &w->model->calls[at];
        if (w->next_input[at] == call->n_inputs) {
            w->finished[w->n_finished++] = at;
            depth--;
        } else {
            int input = call->inputs[w->next_input[at]++];
            if (!w->begun[input]) meet(w, input, &depth);
        }
    }
}

static void find_depths(walk *w)
{
    for (int i = w->n_finished - 1; i >= 0; i--) {
        int at = w->finished[i];
        const cnnbn_call *call = &w->model->calls[at];
        ranked *layer = layer_of(w, at);
        if (layer->depth > w->call_depth[at]) w->call_depth[at] = layer->depth;
        layer->depth = w->call_depth[at];
        for (int k = 0; k < call->n_inputs; k++)
            if (w->call_depth[call->inputs[k]] < layer->depth + 1) w->call_depth[call->inputs[k]] = layer->depth + 1;
    }
}

static int farthest_first(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return x->depth != y->depth ? (x->depth < y->depth) - (x->depth > y->depth) : (x->met > y->met) - (x->met < y->met);
}

static cnnbn_status order_graph(const cnnbn_model *model, int *order)
{
    void *block;
    size_t n_calls = (size_t)model->n_calls, n_layers = (size_t)model->n_layers + 1;
    CNNBN_TRY(cnnbn_alloc(n_calls * (4 * sizeof(int) + 1) + n_layers * sizeof(ranked), "the order of layers", &block));
    walk w = {.model = model, .layers = block};
    w.stack = (int *)(void *)(w.layers + n_layers);
    w.next_input = w.stack + n_calls;
    w.finished = w.next_input + n_calls;
    w.call_depth = w.finished + n_calls;
    w.begun = (unsigned char *)(w.call_depth + n_calls);
    for (int i = 0; i <= model->n_layers; i++) w.layers[i] = (ranked){i < model->n_layers ? i : -1, 0, -1};
    walk_from_output(&w);
    find_depths(&w);
    qsort(w.layers, n_layers, sizeof(ranked), farthest_first);
    for (size_t i = 0; i < n_layers; i++) order[i] = w.layers[i].layer;
    cnnbn_free(block);
    return CNNBN_OK;
}

cnnbn_status cnnbn__keras3_order(const cnnbn_model *model, int **out, int *n)
{
    void *block;
    *out = NULL;
    *n = model->n_layers + !model->sequential; /* Sequential does not count its InputLayer */
    CNNBN_TRY(cnnbn_alloc_array((size_t)*n, sizeof(int), "the order of layers", &block));
    int *order = block;
    cnnbn_status status = CNNBN_OK;
    if (model->sequential)
        for (int i = 0; i < *n; i++) order[i] = i;
    else
        status = order_graph(model, order);
    if (status == CNNBN_OK)
        *out = order;
    else
        cnnbn_free(order);
    return status;
}

cnnbn_status cnnbn__keras3_folders(const cnnbn_model *model, char ***out)
{
    enum { NAME = 64, CLASSES_MAX = 512 };
    void *block;
    int *order, n;
    *out = NULL;
    CNNBN_TRY(cnnbn__keras3_order(model, &order, &n));
    cnnbn_status status =
        cnnbn_alloc_array((size_t)model->n_layers + 1, sizeof(char *) + NAME, "names of layers", &block);
    if (status != CNNBN_OK) {
        cnnbn_free(order);
        return status;
    }
    char **names = block, *text = (char *)(names + model->n_layers + 1);
    struct {
        const cnnbn_layer_type *type;
        int count;
    } classes[CLASSES_MAX];
    int n_classes = 0;
    for (int i = 0; i < n && status == CNNBN_OK; i++) {
        if (order[i] < 0) continue;
        const cnnbn_layer_type *type = model->layers[order[i]].type;
        int k = 0;
        while (k < n_classes && classes[k].type != type) k++;
        if (k == CLASSES_MAX) {
            status = cnnbn_error(CNNBN_ERR_INTERNAL, "more than %d layer classes", CLASSES_MAX);
            break;
        }
        if (k == n_classes) {
            classes[n_classes].type = type;
            classes[n_classes++].count = 0;
        }
        int count = classes[k].count++;
        names[order[i]] = text + order[i] * NAME;
        (void)snprintf(names[order[i]], NAME, count ? "%s_%d" : "%s", type->prefix, count);
    }
    cnnbn_free(order);
    if (status == CNNBN_OK)
        *out = names;
    else
        cnnbn_free(block);
    return status;
}
