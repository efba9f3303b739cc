/* Whether two models are the same. */
#include <string.h>

#include "internal.h"

#include "cnnbn/memory.h"

static cnnbn_status same_layer(const cnnbn_layer *a, const cnnbn_layer *b)
{
    if (a->type != b->type)
        return cnnbn_error(CNNBN_ERR_MODEL, "layer %s is a %s, layer %s a %s", a->name, a->type->name, b->name,
                           b->type->name);
    for (int i = 0; i < a->type->n_args; i++)
        if (!cnnbn__arg_equal(&a->type->args[i], &a->args[i], &b->args[i]))
            return cnnbn__layer_context(cnnbn_error(CNNBN_ERR_MODEL, "argument %s differs from that of layer %s",
                                                    a->type->args[i].name, b->name),
                                        a);
    if (a->trainable != b->trainable)
        return cnnbn__layer_context(
            cnnbn_error(CNNBN_ERR_MODEL, "argument trainable differs from that of layer %s", b->name), a);
    return CNNBN_OK;
}

/* A call is known by its layer and the how-manieth use it is; the order of calls may differ. */
static int same_tensor(const cnnbn_model *a, const cnnbn__uses *ua, int ca, const cnnbn_model *b, const cnnbn__uses *ub,
                       int cb)
{
    return a->calls[ca].layer == b->calls[cb].layer && ua->use[ca] == ub->use[cb];
}

static cnnbn_status same_calls(const cnnbn_model *a, const cnnbn__uses *ua, const cnnbn_model *b, const cnnbn__uses *ub)
{
    for (int l = 0; l < a->n_layers; l++) {
        int ca = ua->first[l], cb = ub->first[l];
        for (; ca && cb; ca = ua->next[ca], cb = ub->next[cb]) {
            const cnnbn_call *x = &a->calls[ca], *y = &b->calls[cb];
            int same = x->n_inputs == y->n_inputs;
            for (int i = 0; i < x->n_inputs && same; i++) same = same_tensor(a, ua, x->inputs[i], b, ub, y->inputs[i]);
            if (!same)
                return cnnbn__layer_context(
                    cnnbn_error(CNNBN_ERR_MODEL, "other inputs than layer %s of the other model", b->layers[l].name),
                    &a->layers[l]);
        }
        if (ca || cb)
            return cnnbn__layer_context(cnnbn_error(CNNBN_ERR_MODEL, "is used another number of times"), &a->layers[l]);
    }
    if (same_tensor(a, ua, a->output, b, ub, b->output)) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_MODEL, "the models have different outputs");
}

cnnbn_status cnnbn_model_same(const cnnbn_model *a, const cnnbn_model *b)
{
    char x[48], y[48];
    if (a->input.rank != b->input.rank || memcmp(a->input.dim, b->input.dim, (size_t)a->input.rank * sizeof(int)) != 0)
        return cnnbn_error(CNNBN_ERR_MODEL, "the input is %s in one model, %s in the other",
                           cnnbn_shape_text(a->input, x, sizeof x), cnnbn_shape_text(b->input, y, sizeof y));
    int n = a->n_layers < b->n_layers ? a->n_layers : b->n_layers;
    for (int l = 0; l < n; l++) CNNBN_TRY(same_layer(&a->layers[l], &b->layers[l]));
    if (a->n_layers != b->n_layers)
        return cnnbn_error(CNNBN_ERR_MODEL, "one model has %d layers, the other %d", a->n_layers, b->n_layers);
    cnnbn__uses ua, ub = {0};
    CNNBN_TRY(cnnbn__list_uses(a, &ua));
    cnnbn_status status = cnnbn__list_uses(b, &ub);
    if (status == CNNBN_OK) status = same_calls(a, &ua, b, &ub);
    cnnbn_free(ua.first);
    cnnbn_free(ub.first);
    return status;
}
