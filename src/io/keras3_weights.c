/* Keras 3's weights: layers/CLASS_N/vars/0, 1, ... in the order of the layer's weights. Newer files also say each layer's name
 * (attribute name of vars); where these are the model's, they decide, else the place does (keras3_order.c), as in Keras. */
#include "keras_internal.h"

#include <stdio.h>
#include <string.h>

#include "cnnbn/layer.h"

/* Before Keras 2.13 was out the group had another name; Keras 3 still reads it. */
static const char *const containers[] = {"layers", "_layer_checkpoint_dependencies"};

enum { LINKS_MAX = 20000, TEXT_MAX = 300, FOLDER_MAX = 200 };

/* A layer's directory in the file. */
typedef struct folder {
    char name[FOLDER_MAX];      /* below `layers` */
    char layer[CNNBN_NAME_MAX]; /* "" when the file does not say it */
    size_t n;                   /* weights */
} folder;

typedef struct listing {
    const cnnbn__h5_file *file;
    hid_t group;
    const char *where;
    folder *folders; /* those with weights; owned */
    size_t n, room;
    cnnbn_status status;
} listing;

static const char *container_of(const cnnbn__h5_file *file)
{
    for (size_t i = 0; i < sizeof containers / sizeof *containers; i++)
        if (cnnbn__h5_exists(file->id, containers[i])) return containers[i];
    return NULL;
}

int cnnbn__keras3_is_weights(const cnnbn__h5_file *file)
{
    return container_of(file) && H5Aexists(file->id, "layer_names") <= 0 &&
           !cnnbn__h5_exists(file->id, "model_weights");
}

static cnnbn_status read_folder(listing *list, const char *name)
{
    const cnnbn__h5_file *file = list->file;
    char path[TEXT_MAX], *layer = NULL;
    hid_t vars;
    H5G_info_t about;
    cnnbn__h5_scope scope;
    if (strlen(name) >= sizeof list->folders->name)
        return cnnbn_error(file->bad, "%s: %s: the name %.80s... is too long for a layer's group", file->path,
                           list->where, name);
    (void)snprintf(path, sizeof path, "%s/vars", name);
    if (!cnnbn__h5_exists(list->group, path)) return CNNBN_OK; /* a layer without weights of its own */
    cnnbn__h5_enter(&scope);
    cnnbn_status status = cnnbn__h5_open_group(&scope, file, list->group, path, path, 0, &vars);
    if (status == CNNBN_OK && H5Gget_info(vars, &about) < 0)
        status =
            cnnbn_error(file->bad, "%s: %s/%s cannot be read (%s)", file->path, list->where, path, cnnbn__h5_reason());
    if (status == CNNBN_OK && about.nlinks > 0) {
        status = cnnbn__h5_read_text(file, vars, "name", path, &layer);
        folder *f = &list->folders[list->n++];
        (void)snprintf(f->name, sizeof f->name, "%s", name);
        if (status == CNNBN_OK && layer && strlen(layer) < sizeof f->layer)
            (void)snprintf(f->layer, sizeof f->layer, "%s", layer);
        f->n = about.nlinks < LINKS_MAX ? (size_t)about.nlinks : LINKS_MAX;
        cnnbn_free(layer);
    }
    cnnbn__h5_leave(&scope);
    return status;
}

static herr_t visit(hid_t group, const char *name, const H5L_info_t *info, void *data)
{
    listing *list = data;
    (void)group, (void)info;
    if (list->n == list->room) return 1;
    list->status = read_folder(list, name);
    return list->status == CNNBN_OK ? 0 : 1;
}

static cnnbn_status list_folders(listing *list)
{
    const cnnbn__h5_file *file = list->file;
    H5G_info_t about;
    void *block;
    if (H5Gget_info(list->group, &about) < 0)
        return cnnbn_error(file->bad, "%s: %s cannot be read (%s)", file->path, list->where, cnnbn__h5_reason());
    if (about.nlinks > LINKS_MAX)
        return cnnbn_error(file->bad, "%s: %s holds %llu groups; at most %d are read", file->path, list->where,
                           (unsigned long long)about.nlinks, LINKS_MAX);
    list->room = (size_t)about.nlinks;
    CNNBN_TRY(cnnbn_alloc_array(list->room, sizeof(folder), "the layers of a file", &block));
    list->folders = block;
    hsize_t at = 0;
    if (H5Literate(list->group, H5_INDEX_NAME, H5_ITER_INC, &at, visit, list) < 0 && list->status == CNNBN_OK)
        return cnnbn_error(file->bad, "%s: %s cannot be listed (%s)", file->path, list->where, cnnbn__h5_reason());
    return list->status;
}

static const folder *by_layer(const listing *list, const char *layer)
{
    const folder *found = NULL;
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->folders[i].layer, layer) == 0) {
            if (found) return NULL; /* a name that is there twice tells nothing */
            found = &list->folders[i];
        }
    return found;
}

static const folder *by_name(const listing *list, const char *name)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->folders[i].name, name) == 0) return &list->folders[i];
    return NULL;
}

static cnnbn_status find_weight(const listing *list, const folder *from, int k, const cnnbn_layer *layer,
                                const cnnbn_param *param, cnnbn__weight_place *place)
{
    const cnnbn__h5_file *file = list->file;
    char shown[TEXT_MAX], found[200], expected[100];
    size_t dim[CNNBN_PARAM_RANK_MAX];
    for (int d = 0; d < param->rank; d++) dim[d] = (size_t)param->dim[d];
    (void)snprintf(shown, sizeof shown, "%s/%s/vars/%d", list->where, from->name, k);
    CNNBN_TRY(cnnbn_strdup(shown, &place->shown));
    cnnbn__h5_scope scope;
    cnnbn__h5_array array;
    cnnbn__h5_enter(&scope);
    cnnbn_status status = cnnbn__h5_open_array(&scope, file, file->id, shown, shown, &array);
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

static cnnbn_status find_layer(const listing *list, const folder *from, const cnnbn_model *model,
                               const cnnbn_layer *layer, cnnbn__weight_place *places)
{
    const cnnbn__h5_file *file = list->file;
    if (from->n != (size_t)layer->n_params)
        return cnnbn_error(file->bad, "%s: %s/%s holds %zu weights, but layer %s has %d (the first is %s)", file->path,
                           list->where, from->name, from->n, layer->name, layer->n_params,
                           model->params[layer->first_param].name);
    for (int k = 0; k < layer->n_params; k++) {
        int p = layer->first_param + k;
        CNNBN_TRY(find_weight(list, from, k, layer, &model->params[p], &places[p]));
    }
    return CNNBN_OK;
}

static cnnbn_status match(const listing *list, const cnnbn_model *model, char *const *names,
                          cnnbn__weight_place *places)
{
    const cnnbn__h5_file *file = list->file;
    size_t n_with = 0, n_named = 0;
    for (int i = 0; i < model->n_layers; i++)
        if (model->layers[i].n_params) {
            n_with++;
            n_named += by_layer(list, model->layers[i].name) != NULL;
        }
    if (list->n != n_with)
        return cnnbn_error(file->bad, "%s: holds %zu layers with weights, but the model has %zu%s", file->path, list->n,
                           n_with,
                           list->n < n_with ? "; where they stand in models inside the model, Keras' own file of the "
                                              "model is needed, which tells so"
                                            : "");
    for (int i = 0; i < model->n_layers; i++) {
        const cnnbn_layer *layer = &model->layers[i];
        if (layer->n_params == 0) continue;
        const folder *from = n_named == n_with ? by_layer(list, layer->name) : by_name(list, names[i]);
        if (!from)
            return cnnbn_error(file->bad, "%s: has no %s/%s with weights, where layer %s's are expected", file->path,
                               list->where, names[i], layer->name);
        CNNBN_TRY(find_layer(list, from, model, layer, places));
    }
    return CNNBN_OK;
}

/* A file in which models are layers of the model: each layer is looked for where it lies in them. Names tell nothing there: a model
 * may have a layer of the same name as another. */
static cnnbn_status match_nested(listing *list, const cnnbn_model *model, cnnbn__weight_place *places)
{
    const cnnbn__h5_file *file = list->file;
    char path[FOLDER_MAX];
    void *block;
    CNNBN_TRY(cnnbn_alloc(sizeof(folder), "a layer of a file", &block));
    list->folders = block;
    list->room = 1;
    for (int i = 0; i < model->n_layers; i++) {
        if (model->layers[i].n_params == 0) continue;
        CNNBN_TRY(cnnbn__nested_folder(model, i, path, sizeof path));
        list->n = 0;
        CNNBN_TRY(read_folder(list, path));
        if (list->n == 0)
            return cnnbn_error(file->bad, "%s: has no %s/%s with weights, where layer %s's are expected", file->path,
                               list->where, path, model->layers[i].name);
        CNNBN_TRY(find_layer(list, &list->folders[0], model, &model->layers[i], places));
    }
    return CNNBN_OK;
}

static int is_nested(const listing *list, const cnnbn_model *model)
{
    for (int i = 0; i < model->n_groups; i++)
        if (cnnbn__h5_exists(list->group, model->groups[i].sequential ? "sequential/layers" : "functional/layers"))
            return 1;
    return 0;
}

cnnbn_status cnnbn__keras3_find(const cnnbn__h5_file *file, const cnnbn_model *model, cnnbn__weight_place *places)
{
    char **names;
    listing list = {.file = file, .where = container_of(file)};
    if (!list.where) return cnnbn_error(file->bad, "%s: has no group layers", file->path);
    CNNBN_TRY(cnnbn__keras3_folders(model, &names));
    cnnbn__h5_scope scope;
    cnnbn__h5_enter(&scope);
    cnnbn_status status = cnnbn__h5_open_group(&scope, file, file->id, list.where, list.where, 0, &list.group);
    if (status == CNNBN_OK && is_nested(&list, model)) {
        status = match_nested(&list, model, places);
    } else {
        if (status == CNNBN_OK) status = list_folders(&list);
        if (status == CNNBN_OK) status = match(&list, model, names, places);
    }
    cnnbn__h5_leave(&scope);
    cnnbn_free(list.folders);
    cnnbn_free(names);
    return status;
}

/* ---------------------------------------------------------------- writing */

static herr_t write_array(hid_t group, int k, const cnnbn_param *param, const float *data)
{
    char name[16];
    hsize_t dim[CNNBN_PARAM_RANK_MAX];
    for (int d = 0; d < param->rank; d++) dim[d] = (hsize_t)param->dim[d];
    (void)snprintf(name, sizeof name, "%d", k);
    hid_t space = H5Screate_simple(param->rank, dim, NULL), create = H5Pcreate(H5P_DATASET_CREATE);
    (void)H5Pset_obj_track_times(create, 0); /* the same weights make the same bytes */
    hid_t array = H5Dcreate2(group, name, H5T_IEEE_F32LE, space, H5P_DEFAULT, create, H5P_DEFAULT);
    herr_t result = array < 0 ? -1 : H5Dwrite(array, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    cnnbn__h5_release(array);
    cnnbn__h5_release(create);
    cnnbn__h5_release(space);
    return result;
}

/* FOLDER/vars with the weights of a layer (-1: none) and its name. */
static herr_t write_vars(hid_t file, hid_t links, const char *folder_path, const char *layer_name,
                         const cnnbn_model *model, int layer, float *const *params)
{
    char path[TEXT_MAX];
    (void)snprintf(path, sizeof path, "%svars", folder_path);
    hid_t vars = H5Gcreate2(file, path, links, H5P_DEFAULT, H5P_DEFAULT);
    if (vars < 0) return -1;
    herr_t result = cnnbn__h5_write_text(vars, "name", layer_name);
    int n = layer < 0 ? 0 : model->layers[layer].n_params;
    for (int k = 0; k < n && result >= 0; k++) {
        int p = model->layers[layer].first_param + k;
        result = write_array(vars, k, &model->params[p], params[p]);
    }
    cnnbn__h5_release(vars);
    return result;
}

static herr_t write_all(hid_t file, hid_t links, const cnnbn_model *model, char *const *names, float *const *params)
{
    char path[TEXT_MAX];
    herr_t result = write_vars(file, links, "", model->name, model, -1, params);
    if (!model->sequential && result >= 0)
        result = write_vars(file, links, "layers/input_layer/", model->input_name, model, -1, params);
    for (int l = 0; l < model->n_layers && result >= 0; l++) {
        (void)snprintf(path, sizeof path, "layers/%s/", names[l]);
        result = write_vars(file, links, path, model->layers[l].name, model, l, params);
    }
    return result;
}

cnnbn_status cnnbn__keras3_make(const char *path, const cnnbn_model *model, float *const *params, void **out,
                                size_t *bytes)
{
    char **names;
    size_t data_bytes = 0;
    *out = NULL;
    *bytes = 0;
    CNNBN_TRY(cnnbn__keras3_folders(model, &names));
    for (int i = 0; i < model->n_params; i++) data_bytes += model->params[i].count * sizeof(float);
    cnnbn__h5_scope scope;
    cnnbn__h5_enter(&scope);
    hid_t file = cnnbn__h5_create_image(&scope, data_bytes + data_bytes / 64 + ((size_t)1 << 20));
    hid_t links = cnnbn__h5_own(&scope, H5Pcreate(H5P_LINK_CREATE));
    (void)H5Pset_create_intermediate_group(links, 1);
    cnnbn_status status = CNNBN_OK;
    if (file < 0 || write_all(file, links, model, names, params) < 0)
        status =
            cnnbn_error(CNNBN_ERR_INTERNAL, "%s: HDF5 cannot make the weights' file (%s)", path, cnnbn__h5_reason());
    if (status == CNNBN_OK) status = cnnbn__h5_take_image(file, path, out, bytes);
    cnnbn__h5_leave(&scope);
    cnnbn_free(names);
    return status;
}
