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

/* Keras refuses the same. */
static cnnbn_status check_init(const char *name, int rank, cnnbn_init init)
{
    int orthogonal = init.kind == CNNBN_INIT_ORTHOGONAL, identity = init.kind == CNNBN_INIT_IDENTITY;
    if ((!orthogonal || rank >= 2) && (!identity || rank == 2)) return CNNBN_OK;
    return cnnbn_error(
        CNNBN_ERR_MODEL,
        "argument %s_initializer = %s: it is for weights of %s, and this one has %d; use glorot_uniform, "
        "or zeros for a bias",
        name, cnnbn__initializer_word(init.kind)->name, orthogonal ? "two dimensions and more" : "two dimensions",
        rank);
}

cnnbn_status cnnbn_model_add_param(cnnbn_model *model, int layer_index, const char *name, int rank, const int *dim,
                                   int trainable, int decays, cnnbn_init init, int fan_in, int fan_out)
{
    CNNBN_TRY(check_init(name, rank, init));
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

/* A layer called again has the weights of its first call: they must be those that this call would make. */
static cnnbn_status check_shared(cnnbn_model *model, int l, cnnbn_shape first, cnnbn_shape again)
{
    cnnbn_layer *layer = &model->layers[l];
    int n = layer->n_params, total = model->n_params, same;
    char was[48], is[48];
    CNNBN_TRY(layer->type->params(layer, &again, model, l)); /* appended, looked at, and forgotten */
    same = layer->n_params == 2 * n;
    for (int k = 0; k < n && same; k++) {
        const cnnbn_param *a = &model->params[layer->first_param + k], *b = &model->params[total + k];
        same = a->rank == b->rank && memcmp(a->dim, b->dim, (size_t)a->rank * sizeof *a->dim) == 0;
    }
    model->n_params = total;
    layer->n_params = n;
    if (same) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_MODEL, "is used twice, on inputs %s and %s, for which its weights have other shapes",
                       cnnbn_shape_text(first, was, sizeof was), cnnbn_shape_text(again, is, sizeof is));
}

static cnnbn_shape input_shape(const cnnbn_model *model, int call)
{
    return model->calls[model->calls[call].inputs[0]].shape;
}

static cnnbn_status check_all_shared(cnnbn_model *model, const int *first_call)
{
    for (int c = 1; c < model->n_calls; c++) {
        int l = model->calls[c].layer;
        cnnbn_shape first = input_shape(model, first_call[l]), again = input_shape(model, c);
        if (first.rank != again.rank && cnnbn__arg_find(model->layers[l].type, "axis"))
            return cnnbn__layer_context(
                cnnbn_error(CNNBN_ERR_MODEL,
                            "is used twice, on inputs of %d and %d dimensions; its axis is of one number", first.rank,
                            again.rank),
                &model->layers[l]);
        if (first_call[l] == c || !model->layers[l].type->params) continue;
        if (cnnbn__same_dims(first, again, 0)) continue;
        cnnbn_status status = check_shared(model, l, first, again);
        if (status != CNNBN_OK) return cnnbn__layer_context(status, &model->layers[l]);
    }
    return CNNBN_OK;
}

static cnnbn_status infer_all(cnnbn_model *model, int *first_call)
{
    for (int c = 1; c < model->n_calls; c++) {
        int l = model->calls[c].layer;
        cnnbn_status status = infer_call(model, c);
        if (status != CNNBN_OK) return cnnbn__layer_context(status, &model->layers[l]);
        if (!first_call[l]) first_call[l] = c;
    }
    for (int l = 0; l < model->n_layers; l++) {
        cnnbn_layer *layer = &model->layers[l];
        layer->first_param = model->n_params;
        layer->n_params = 0;
        if (!first_call[l]) return cnnbn__layer_context(cnnbn_error(CNNBN_ERR_MODEL, "is never used"), layer);
        if (!layer->type->params) continue;
        cnnbn_shape in = input_shape(model, first_call[l]);
        cnnbn_status status = layer->type->params(layer, &in, model, l);
        for (int k = 0; k < layer->n_params && status == CNNBN_OK; k++)
            status = cnnbn__param_rules(layer, &model->params[layer->first_param + k]);
        if (status != CNNBN_OK) return cnnbn__layer_context(status, layer);
    }
    return check_all_shared(model, first_call);
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
