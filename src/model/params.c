/* Shapes and weights, layer by layer. */
#include <limits.h>
#include <string.h>

#include "internal.h"

#include "cnnbn/memory.h"

cnnbn_status cnnbn__layer_context(cnnbn_status status, const cnnbn_layer *layer)
{
    return cnnbn_error_context(status, "layer %s (%s)", layer->name, layer->type->name);
}

/* The array doubles at powers of two, so that no capacity need be kept. */
static cnnbn_status make_room(cnnbn_model *model)
{
    int n = model->n_params;
    if (n && (n < 8 || (n & (n - 1)))) return CNNBN_OK;
    void *memory;
    size_t room = n ? 2 * (size_t)n : 8;
    CNNBN_TRY(cnnbn_alloc_array(room, sizeof *model->params, "the list of weights", &memory));
    if (n) memcpy(memory, model->params, (size_t)n * sizeof *model->params);
    cnnbn_free(model->params);
    model->params = memory;
    return CNNBN_OK;
}

cnnbn_status cnnbn_model_add_param(cnnbn_model *model, int layer_index, const char *name, int rank, const int *dim,
                                   int trainable, int decays, cnnbn_init init, int fan_in, int fan_out)
{
    CNNBN_TRY(make_room(model));
    cnnbn_layer *layer = &model->layers[layer_index];
    cnnbn_param *p = &model->params[model->n_params];
    memset(p, 0, sizeof *p);
    for (size_t i = 0; name[i] && i < sizeof p->name - 1; i++) p->name[i] = name[i];
    p->layer = layer_index;
    p->rank = rank;
    p->count = 1;
    for (int d = 0; d < rank; d++) {
        p->dim[d] = dim[d];
        if (dim[d] < 1 || p->count > (size_t)INT_MAX / (size_t)dim[d])
            return cnnbn_error(CNNBN_ERR_MODEL, "weight %s is too large: more than %d values", name, INT_MAX);
        p->count *= (size_t)dim[d];
    }
    p->trainable = trainable && layer->trainable;
    p->decays = decays;
    p->init = init;
    p->fan_in = fan_in;
    p->fan_out = fan_out;
    model->n_params++;
    layer->n_params++;
    return CNNBN_OK;
}

static cnnbn_status infer_call(cnnbn_model *model, int c)
{
    cnnbn_call *call = &model->calls[c];
    const cnnbn_layer *layer = &model->layers[call->layer];
    cnnbn_shape in[CNNBN_INPUTS_MAX];
    if (call->n_inputs < layer->type->min_inputs || call->n_inputs > layer->type->max_inputs)
        return cnnbn_error(CNNBN_ERR_MODEL, "has %d inputs, expected %s%d", call->n_inputs,
                           layer->type->min_inputs < layer->type->max_inputs ? "at least " : "",
                           layer->type->min_inputs);
    for (int i = 0; i < call->n_inputs; i++) in[i] = model->calls[call->inputs[i]].shape;
    CNNBN_TRY(layer->type->shape(layer, call->n_inputs, in, &call->shape));
    return cnnbn__shape_check("the output", call->shape);
}

/* A layer called again has the weights of its first call: they must be those that the second would have. */
static cnnbn_status check_shared(const cnnbn_model *model, int c, int first)
{
    const cnnbn_call *a = &model->calls[first], *b = &model->calls[c];
    if (!model->layers[b->layer].type->params) return CNNBN_OK;
    cnnbn_shape x = model->calls[a->inputs[0]].shape, y = model->calls[b->inputs[0]].shape;
    char was[48], is[48];
    if (x.dim[x.rank - 1] == y.dim[y.rank - 1]) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_MODEL, "is used twice, on inputs %s and %s; its weights need the same last dimension",
                       cnnbn_shape_text(x, was, sizeof was), cnnbn_shape_text(y, is, sizeof is));
}

static cnnbn_status infer_all(cnnbn_model *model, int *first_call)
{
    for (int c = 1; c < model->n_calls; c++) {
        int l = model->calls[c].layer;
        cnnbn_status status = infer_call(model, c);
        if (status == CNNBN_OK && first_call[l]) status = check_shared(model, c, first_call[l]);
        if (status != CNNBN_OK) return cnnbn__layer_context(status, &model->layers[l]);
        if (!first_call[l]) first_call[l] = c;
    }
    for (int l = 0; l < model->n_layers; l++) {
        cnnbn_layer *layer = &model->layers[l];
        layer->first_param = model->n_params;
        layer->n_params = 0;
        if (!first_call[l]) return cnnbn__layer_context(cnnbn_error(CNNBN_ERR_MODEL, "is never used"), layer);
        if (!layer->type->params) continue;
        cnnbn_shape in = model->calls[model->calls[first_call[l]].inputs[0]].shape;
        cnnbn_status status = layer->type->params(layer, &in, model, l);
        if (status != CNNBN_OK) return cnnbn__layer_context(status, layer);
    }
    return CNNBN_OK;
}

cnnbn_status cnnbn__infer(cnnbn_model *model)
{
    void *memory;
    CNNBN_TRY(cnnbn_alloc_array((size_t)model->n_layers, sizeof(int), "a model's graph", &memory));
    cnnbn_status status = infer_all(model, memory);
    cnnbn_free(memory);
    return status;
}

size_t cnnbn_model_count_params(const cnnbn_model *model, int trainable_only)
{
    size_t count = 0;
    for (int p = 0; p < model->n_params; p++)
        if (model->params[p].trainable || !trainable_only) count += model->params[p].count;
    return count;
}

int cnnbn_model_n_outputs(const cnnbn_model *model)
{
    cnnbn_shape shape = model->calls[model->output].shape;
    return shape.dim[shape.rank - 1];
}
