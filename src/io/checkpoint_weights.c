/* Weights by Keras' rule: readers follow weight_names in order, and layers are matched by position among those that have
 * weights. Where the file names exactly the model's layers, names decide instead: for a file and its own model that is the same,
 * whatever order the layers are listed in. */
#include "checkpoint_internal.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "keras_internal.h"

/* A layer of the file that has weights. */
typedef struct stored_layer {
    const char *name;
    char **weights; /* owned */
    size_t n;
} stored_layer;

typedef struct stored {
    hid_t group;       /* of the weights */
    const char *where; /* its path for messages, with a final slash */
    char **names;      /* of all layers; owned */
    size_t n_layers;
    stored_layer *layers; /* those with weights; owned */
} stored;

/* A list of names, or of its parts name0, name1, ... */
static cnnbn_status read_names(const cnnbn__h5_file *file, hid_t object, const char *name, const char *shown,
                               char ***out, size_t *n)
{
    CNNBN_TRY(cnnbn__h5_read_strings(file, object, name, shown, out, n));
    if (*out) return CNNBN_OK;
    for (int part = 0; part < 100000; part++) {
        char numbered[64];
        char **more, **joined = NULL;
        size_t n_more, bytes = 0;
        (void)snprintf(numbered, sizeof numbered, "%s%d", name, part);
        cnnbn_status status = cnnbn__h5_read_strings(file, object, numbered, shown, &more, &n_more);
        if (status == CNNBN_OK && !more) return CNNBN_OK;
        if (status == CNNBN_OK) {
            for (size_t i = 0; i < *n; i++) bytes += strlen((*out)[i]) + 1;
            for (size_t i = 0; i < n_more; i++) bytes += strlen(more[i]) + 1;
            void *block;
            status = cnnbn_alloc((*n + n_more) * sizeof(char *) + bytes, "names", &block);
            joined = block;
        }
        if (status == CNNBN_OK) {
            char *at = (char *)(joined + *n + n_more);
            for (size_t i = 0; i < *n + n_more; i++) {
                const char *text = i < *n ? (*out)[i] : more[i - *n];
                joined[i] = strcpy(at, text);
                at += strlen(text) + 1;
            }
        }
        cnnbn_free(more);
        cnnbn_free(*out);
        *out = joined;
        *n = joined ? *n + n_more : 0;
        CNNBN_TRY(status);
    }
    return CNNBN_OK;
}

static void release_stored(stored *s)
{
    for (size_t i = 0; i < s->n_layers; i++) cnnbn_free(s->layers[i].weights);
    cnnbn_free(s->layers);
    cnnbn_free(s->names);
}

static cnnbn_status find_group(cnnbn__h5_scope *scope, const cnnbn__h5_file *file, stored *s)
{
    s->where = "model_weights/";
    CNNBN_TRY(cnnbn__h5_open_group(scope, file, file->id, "model_weights", "model_weights", 1, &s->group));
    if (s->group >= 0) return CNNBN_OK;
    s->where = ""; /* a legacy weights-only file */
    s->group = file->id;
    return CNNBN_OK;
}

static cnnbn_status read_stored(cnnbn__h5_scope *scope, const cnnbn__h5_file *file, stored *s)
{
    char **names;
    size_t n;
    CNNBN_TRY(find_group(scope, file, s));
    const char *shown = s->where[0] ? "model_weights" : "/";
    CNNBN_TRY(read_names(file, s->group, "layer_names", shown, &names, &n));
    if (!names)
        return cnnbn_error(file->bad, "%s: %s has no attribute layer_names: not a model or weights of Keras",
                           file->path, shown);
    s->names = names;
    void *layers;
    CNNBN_TRY(cnnbn_alloc_array(n, sizeof(stored_layer), "the layers of a file", &layers));
    s->layers = layers;
    for (size_t i = 0; i < n; i++) {
        cnnbn__h5_scope inner;
        hid_t group;
        char **weights = NULL;
        size_t n_weights = 0;
        char path[1024];
        (void)snprintf(path, sizeof path, "%s%s", s->where, names[i]);
        cnnbn__h5_enter(&inner);
        cnnbn_status status = cnnbn__h5_open_group(&inner, file, s->group, names[i], path, 0, &group);
        if (status == CNNBN_OK) status = read_names(file, group, "weight_names", path, &weights, &n_weights);
        cnnbn__h5_leave(&inner);
        if (status != CNNBN_OK) {
            cnnbn_free(weights);
            return status;
        }
        if (n_weights == 0) {
            cnnbn_free(weights);
            continue;
        }
        s->layers[s->n_layers++] = (stored_layer){names[i], weights, n_weights};
    }
    return CNNBN_OK;
}

static const stored_layer *by_name(const stored *s, const char *name)
{
    for (size_t i = 0; i < s->n_layers; i++)
        if (strcmp(s->layers[i].name, name) == 0) return &s->layers[i];
    return NULL;
}

int cnnbn__weight_kind_fits(const cnnbn__h5_array *array, const cnnbn_param *param)
{
    return array->kind == H5T_FLOAT || (array->kind == H5T_INTEGER && param->rank == 0);
}

static cnnbn_status find_weight(const cnnbn__h5_file *file, const stored *s, const stored_layer *from, int k,
                                const cnnbn_layer *layer, const cnnbn_param *param, cnnbn__weight_place *place)
{
    char shown[1024], found[200], expected[160];
    (void)snprintf(shown, sizeof shown, "%s%s/%s", s->where, from->name, from->weights[k]);
    CNNBN_TRY(cnnbn_strdup(shown, &place->shown));
    if (!cnnbn__h5_exists(s->group, shown + strlen(s->where)))
        return cnnbn_error(file->bad, "%s: has no %s (weight %s of layer %s)", file->path, shown, param->name,
                           layer->name);
    cnnbn__h5_scope scope;
    cnnbn__h5_enter(&scope);
    cnnbn__h5_array array;
    size_t dim[CNNBN_PARAM_RANK_MAX];
    for (int d = 0; d < param->rank; d++) dim[d] = (size_t)param->dim[d];
    cnnbn_status status = cnnbn__h5_open_array(&scope, file, s->group, shown + strlen(s->where), shown, &array);
    if (status == CNNBN_OK && (!cnnbn__weight_kind_fits(&array, param) || array.rank != param->rank ||
                               memcmp(array.dim, dim, sizeof *dim * (size_t)param->rank) != 0))
        status = cnnbn_error(file->bad, "%s: layer %s, weight %s: %s is %s, expected float32 %s", file->path,
                             layer->name, param->name, shown, cnnbn__h5_array_text(&array, found, sizeof found),
                             cnnbn__h5_dims_text(param->rank, dim, expected, sizeof expected));
    if (status == CNNBN_OK) {
        place->id = array.id;
        cnnbn__h5_disown(&scope, array.id);
    }
    cnnbn__h5_leave(&scope);
    return status;
}

/* order [n]: the model's layers as Keras lists them. */
static cnnbn_status match(const cnnbn__h5_file *file, const stored *s, const cnnbn_model *model, const int *order,
                          int n, cnnbn__weight_place *places)
{
    size_t n_with = 0, n_named = 0;
    for (int i = 0; i < model->n_layers; i++)
        if (model->layers[i].n_params) {
            n_with++;
            n_named += by_name(s, model->layers[i].name) != NULL;
        }
    if (s->n_layers != n_with)
        return cnnbn_error(file->bad, "%s: holds %zu layers with weights, but the model has %zu", file->path,
                           s->n_layers, n_with);
    int names_decide = n_named == n_with;
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        if (order[i] < 0) continue;
        const cnnbn_layer *layer = &model->layers[order[i]];
        if (layer->n_params == 0) continue;
        const stored_layer *from = names_decide ? by_name(s, layer->name) : &s->layers[at];
        at++;
        if (from->n != (size_t)layer->n_params)
            return cnnbn_error(
                file->bad, "%s: layer %s%s holds %zu weights (the first is %s), but layer %s has %d (the first is %s)",
                file->path, s->where, from->name, from->n, from->weights[0], layer->name, layer->n_params,
                model->params[layer->first_param].name);
        for (int k = 0; k < layer->n_params; k++) {
            int p = layer->first_param + k;
            CNNBN_TRY(find_weight(file, s, from, k, layer, &model->params[p], &places[p]));
        }
    }
    return CNNBN_OK;
}

/* Whether the file lists the model's layers one by one, though some were a model of their own when it was read. Layers that are used
 * may all stand outside of those: then the file of the nested model has more. */
static int is_flat(const stored *s, const cnnbn_model *model)
{
    size_t n_with = 0;
    for (int i = 0; i < model->n_layers; i++) {
        if (!model->layers[i].n_params) continue;
        n_with++;
        if (!by_name(s, model->layers[i].name)) return 0;
    }
    return !model->whole || s->n_layers == n_with;
}

static cnnbn_status match_units(const cnnbn__h5_file *file, const stored *s, const cnnbn_model *model,
                                const cnnbn__weight_unit *units, int n, cnnbn__weight_place *places)
{
    int n_named = 0;
    for (int i = 0; i < n; i++) n_named += by_name(s, units[i].name) != NULL;
    if (s->n_layers != (size_t)n)
        return cnnbn_error(file->bad, "%s: holds %zu layers and models with weights, but the model has %d", file->path,
                           s->n_layers, n);
    for (int i = 0; i < n; i++) {
        const stored_layer *from = n_named == n ? by_name(s, units[i].name) : &s->layers[i];
        if (from->n != (size_t)units[i].n)
            return cnnbn_error(file->bad, "%s: %s%s holds %zu weights, but %s has %d", file->path, s->where, from->name,
                               from->n, units[i].name, units[i].n);
        for (int k = 0; k < units[i].n; k++) {
            if (units[i].params[k] < 0) continue;
            const cnnbn_param *param = &model->params[units[i].params[k]];
            CNNBN_TRY(find_weight(file, s, from, k, &model->layers[param->layer], param, &places[units[i].params[k]]));
        }
    }
    return CNNBN_OK;
}

static cnnbn_status match_nested(const cnnbn__h5_file *file, const stored *s, const cnnbn_model *model,
                                 cnnbn__weight_place *places)
{
    cnnbn__weight_unit *units;
    int n;
    CNNBN_TRY(cnnbn__nested_units(model, &units, &n));
    cnnbn_status status = match_units(file, s, model, units, n, places);
    cnnbn_free(units);
    return status;
}

static cnnbn_status find_legacy(cnnbn__h5_scope *scope, const cnnbn__h5_file *file, const cnnbn_model *model,
                                cnnbn__weight_place *places)
{
    stored s = {0};
    int *order, n;
    CNNBN_TRY(cnnbn__keras3_order(model, &order, &n));
    cnnbn_status status = read_stored(scope, file, &s);
    if (status == CNNBN_OK && model->n_groups && !is_flat(&s, model))
        status = match_nested(file, &s, model, places);
    else if (status == CNNBN_OK)
        status = match(file, &s, model, order, n, places);
    cnnbn_free(order);
    release_stored(&s);
    return status;
}

cnnbn_status cnnbn__weights_find(const cnnbn__h5_file *file, const cnnbn_model *model, cnnbn__weight_place **out)
{
    void *block;
    *out = NULL;
    CNNBN_TRY(
        cnnbn_alloc_array((size_t)model->n_params, sizeof(cnnbn__weight_place), "the places of the weights", &block));
    cnnbn__weight_place *places = block;
    for (int i = 0; i < model->n_params; i++) places[i].id = H5I_INVALID_HID;
    cnnbn__h5_scope scope;
    cnnbn__h5_enter(&scope);
    cnnbn_status status = cnnbn__keras3_is_weights(file) ? cnnbn__keras3_find(file, model, places)
                                                         : find_legacy(&scope, file, model, places);
    cnnbn__h5_leave(&scope);
    if (status == CNNBN_OK)
        *out = places;
    else
        cnnbn__weights_release(model, places);
    return status;
}

cnnbn_status cnnbn__weights_read(const cnnbn__h5_file *file, const cnnbn_model *model,
                                 const cnnbn__weight_place *places, float *const *params)
{
    for (int i = 0; i < model->n_params; i++) {
        cnnbn__h5_array array = {.id = places[i].id, .count = model->params[i].count};
        CNNBN_TRY(cnnbn__h5_read_array(file, &array, places[i].shown, H5T_NATIVE_FLOAT, params[i]));
    }
    return CNNBN_OK;
}

void cnnbn__weights_release(const cnnbn_model *model, cnnbn__weight_place *places)
{
    if (!places) return;
    for (int i = 0; i < model->n_params; i++) {
        cnnbn__h5_release(places[i].id);
        cnnbn_free(places[i].shown);
    }
    cnnbn_free(places);
}
