/* All layers, and what the layer files share. */
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "layer_types.h"

const cnnbn_layer_type *const cnnbn__layer_types[] = {
#define CNNBN_X(name) &cnnbn__layer_##name,
    CNNBN__LAYER_TYPES(CNNBN_X)
#undef CNNBN_X
        NULL,
};

const cnnbn_layer_type *cnnbn_layer_type_find(const char *name)
{
    for (int t = 0; cnnbn__layer_types[t]; t++)
        if (strcmp(cnnbn__layer_types[t]->name, name) == 0) return cnnbn__layer_types[t];
    return NULL;
}

cnnbn_status cnnbn__find_type(const char *name, const cnnbn_layer_type **out)
{
    char known[1500] = "";
    *out = cnnbn_layer_type_find(name);
    if (*out) return CNNBN_OK;
    if (strcmp(name, "Sequential") == 0 || strcmp(name, "Functional") == 0 || strcmp(name, "Model") == 0)
        return cnnbn_error(CNNBN_ERR_MODEL, "%s: models inside models are read in Keras' files alone; list its layers",
                           name);
    for (int t = 0; cnnbn__layer_types[t]; t++) {
        size_t used = strlen(known);
        (void)snprintf(known + used, sizeof known - used, "%s%s", t ? ", " : "", cnnbn__layer_types[t]->name);
    }
    return cnnbn_error(CNNBN_ERR_MODEL, "%.60s is not a layer that is known here; known are %s", name, known);
}

int cnnbn__lower_activation(cnnbn_builder *b, int x, cnnbn_arg_act act)
{
    if (act.softmax) return b->ops->softmax(b, x);
    return act.act.kind == CNNBN_ACT_LINEAR ? x : b->ops->activation(b, x, act.act);
}
