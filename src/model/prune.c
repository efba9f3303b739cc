/* What a model inside a model makes for an output that nobody uses. Keras does not compute it either, but its files hold the weights. */
#include <string.h>

#include "internal.h"

#include "cnnbn/memory.h"

/* Of the whole model: what is reached from the output, and where it goes. -1: left out. */
typedef struct pruning {
    int *call_to, *layer_to;
    int n_calls, n_layers;
} pruning;

static void choose(const cnnbn_model *whole, pruning *p)
{
    for (int c = 0; c < whole->n_calls; c++) p->call_to[c] = -1;
    for (int l = 0; l < whole->n_layers; l++) p->layer_to[l] = -1;
    p->call_to[whole->output] = 0;
    for (int c = whole->n_calls - 1; c >= 0; c--) {
        const cnnbn_call *call = &whole->calls[c];
        if (p->call_to[c] < 0) continue;
        if (call->layer >= 0) p->layer_to[call->layer] = 0;
        for (int i = 0; i < call->n_inputs; i++) p->call_to[call->inputs[i]] = 0;
    }
    for (int c = 0; c < whole->n_calls; c++)
        if (p->call_to[c] == 0) p->call_to[c] = p->n_calls++;
    for (int l = 0; l < whole->n_layers; l++)
        if (p->layer_to[l] == 0) p->layer_to[l] = p->n_layers++;
}

static cnnbn_status copy_layers(const cnnbn_model *whole, const pruning *p, cnnbn_model *model)
{
    void *memory;
    CNNBN_TRY(cnnbn_alloc_array((size_t)p->n_layers, sizeof(cnnbn_layer), "a model's layers", &memory));
    model->layers = memory;
    CNNBN_TRY(cnnbn_alloc_array((size_t)p->n_layers, sizeof(int), "a model's layers", &memory));
    model->whole_layer = memory;
    for (int l = 0; l < whole->n_layers; l++) {
        if (p->layer_to[l] < 0) continue;
        const cnnbn_layer *from = &whole->layers[l];
        CNNBN_TRY(cnnbn_alloc_array((size_t)from->type->n_args, sizeof *from->args, "a layer's arguments", &memory));
        cnnbn_layer *to = &model->layers[model->n_layers];
        model->whole_layer[model->n_layers++] = l;
        *to = *from;
        to->args = memory;
        if (from->type->n_args) memcpy(to->args, from->args, (size_t)from->type->n_args * sizeof *from->args);
    }
    return CNNBN_OK;
}

static cnnbn_status copy_calls(const cnnbn_model *whole, const pruning *p, cnnbn_model *model)
{
    void *memory;
    CNNBN_TRY(cnnbn_alloc_array((size_t)p->n_calls, sizeof(cnnbn_call), "a model's graph", &memory));
    model->calls = memory;
    for (int c = 0; c < whole->n_calls; c++) {
        if (p->call_to[c] < 0) continue;
        cnnbn_call *call = &model->calls[model->n_calls++];
        *call = whole->calls[c];
        if (call->layer >= 0) call->layer = p->layer_to[call->layer];
        for (int i = 0; i < call->n_inputs; i++) call->inputs[i] = p->call_to[call->inputs[i]];
    }
    model->output = p->call_to[whole->output];
    return CNNBN_OK;
}

static cnnbn_status fill(const cnnbn_model *whole, const pruning *p, cnnbn_model *model)
{
    void *memory;
    memcpy(model->name, whole->name, sizeof model->name);
    memcpy(model->input_name, whole->input_name, sizeof model->input_name);
    model->input = whole->input;
    CNNBN_TRY(copy_layers(whole, p, model));
    CNNBN_TRY(copy_calls(whole, p, model));
    CNNBN_TRY(cnnbn_alloc_array((size_t)whole->n_groups, sizeof(cnnbn_group), "models inside a model", &memory));
    model->groups = memory;
    memcpy(model->groups, whole->groups, (size_t)whole->n_groups * sizeof *whole->groups);
    model->n_groups = whole->n_groups;
    return cnnbn__infer(model);
}

cnnbn_status cnnbn__prune(cnnbn_model *whole, cnnbn_model **out)
{
    pruning p = {0};
    void *memory, *places;
    size_t n_calls = (size_t)whole->n_calls;
    *out = NULL;
    CNNBN_TRY(cnnbn_alloc_array(n_calls + (size_t)whole->n_layers, sizeof(int), "a model's graph", &places));
    p.call_to = places;
    p.layer_to = p.call_to + n_calls;
    choose(whole, &p);
    cnnbn_status status = cnnbn_alloc(sizeof **out, "a model", &memory);
    cnnbn_model *model = status == CNNBN_OK ? memory : NULL;
    if (status == CNNBN_OK) status = fill(whole, &p, model);
    cnnbn_free(places);
    if (status != CNNBN_OK) {
        cnnbn_model_destroy(model);
        return status;
    }
    model->whole = whole;
    *out = model;
    return CNNBN_OK;
}
