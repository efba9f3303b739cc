/* Models that were layers of a Keras model: in its files of weights they still are. See cnnbn_group in cnnbn/model.h. */
#include "keras_internal.h"

#include <stdio.h>
#include <string.h>

#include "cnnbn/layer.h"

/* The group that stands for a layer where `outside` (-1: the model) is looked at; -1: the layer itself. */
static int group_within(const cnnbn_model *model, int layer, int outside)
{
    int group = model->layers[layer].group, found = -1;
    for (; group >= 0 && group != outside; group = model->groups[group].parent) found = group;
    return found;
}

static int is_within(const cnnbn_model *model, int layer, int outside)
{
    int group = model->layers[layer].group;
    while (group >= 0 && group != outside) group = model->groups[group].parent;
    return group == outside;
}

static int count_params(const cnnbn_model *model, int first, int end)
{
    int n = 0;
    for (int l = first; l < end; l++) n += model->layers[l].n_params;
    return n;
}

/* From params of the whole model to those of the model; -1 for what nobody uses. */
static void find_own(const cnnbn_model *model, cnnbn__weight_unit *units, int n)
{
    const cnnbn_model *whole = model->whole;
    for (int u = 0; u < n; u++)
        for (int k = 0; k < units[u].n; k++) {
            int p = units[u].params[k], its = whole->params[p].layer, l = 0;
            while (l < model->n_layers && model->whole_layer[l] < its) l++;
            units[u].params[k] = l < model->n_layers && model->whole_layer[l] == its
                                     ? model->layers[l].first_param + p - whole->layers[its].first_param
                                     : -1;
        }
}

cnnbn_status cnnbn__nested_units(const cnnbn_model *pruned, cnnbn__weight_unit **out, int *n)
{
    const cnnbn_model *model = pruned->whole ? pruned->whole : pruned;
    void *block;
    *out = NULL;
    *n = 0;
    CNNBN_TRY(cnnbn_alloc(((size_t)model->n_layers + 1) * sizeof(cnnbn__weight_unit) +
                              ((size_t)model->n_params + 1) * sizeof(int),
                          "the layers of a model", &block));
    cnnbn__weight_unit *units = block;
    int *params = (int *)(void *)(units + model->n_layers + 1);
    for (int l = 0, end; l < model->n_layers; l = end) {
        int group = group_within(model, l, -1);
        for (end = l + 1; group >= 0 && end < model->n_layers && group_within(model, end, -1) == group;) end++;
        int total = count_params(model, l, end);
        if (!total) continue;
        cnnbn__weight_unit *unit = &units[(*n)++];
        *unit = (cnnbn__weight_unit){.name = group < 0 ? model->layers[l].name : model->groups[group].name,
                                     .params = params};
        /* Of a model Keras lists all weights that train, then all others. */
        for (int fixed = 0; fixed <= (group >= 0); fixed++)
            for (int p = model->layers[l].first_param, k = 0; k < total; k++)
                if (group < 0 || model->params[p + k].trainable != fixed) params[unit->n++] = p + k;
        params += unit->n;
    }
    if (pruned->whole) find_own(pruned, units, *n);
    *out = units;
    return CNNBN_OK;
}

/* ---------------------------------------------------------------- the directories of Keras 3 */

/* Name of a layer or group (entry < 0: layer l) among those of its class that stand before it in the same model. */
static void folder_name(const cnnbn_model *model, int l, int outside, char *text, size_t bytes)
{
    int group = group_within(model, l, outside), count = 0, last = -1;
    const char *name = group < 0                         ? model->layers[l].type->prefix
                       : model->groups[group].sequential ? "sequential"
                                                         : "functional";
    for (int k = 0; k < l; k++) {
        if (!is_within(model, k, outside)) continue;
        int other = group_within(model, k, outside);
        if (other >= 0 && (other == last || other == group)) continue; /* counted, or the same model */
        last = other;
        const char *its = other < 0                         ? model->layers[k].type->prefix
                          : model->groups[other].sequential ? "sequential"
                                                            : "functional";
        count += strcmp(its, name) == 0;
    }
    (void)snprintf(text, bytes, count ? "%s_%d" : "%s", name, count);
}

cnnbn_status cnnbn__nested_folder(const cnnbn_model *model, int layer, char *path, size_t bytes)
{
    if (model->whole) {
        layer = model->whole_layer[layer];
        model = model->whole;
    }
    char name[CNNBN_NAME_MAX];
    size_t used = 0;
    for (int outside = -1, more = 1; more; outside = group_within(model, layer, outside)) {
        folder_name(model, layer, outside, name, sizeof name);
        more = group_within(model, layer, outside) >= 0;
        int n = snprintf(path + used, bytes - used, "%s%s", name, more ? "/layers/" : "");
        if (n < 0 || (size_t)n >= bytes - used)
            return cnnbn_error(CNNBN_ERR_MODEL, "layer %s lies in more models than a path has room for",
                               model->layers[layer].name);
        used += (size_t)n;
    }
    return CNNBN_OK;
}
