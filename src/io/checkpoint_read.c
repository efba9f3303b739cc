#include "checkpoint_internal.h"

#include <stdio.h>
#include <string.h>

#include "keras_internal.h"
#include "trial.h"

/* Facts in /cnnbn, far more than are written. */
enum { META_MAX = 4096 };

void cnnbn_checkpoint_destroy(cnnbn_checkpoint *checkpoint)
{
    if (!checkpoint) return;
    if (checkpoint->params)
        for (int i = 0; i < checkpoint->model->n_params; i++) cnnbn_free(checkpoint->params[i]);
    cnnbn_free(checkpoint->params);
    for (int i = 0; i < checkpoint->n_slots; i++) cnnbn_free(checkpoint->slots[i].data);
    cnnbn_free(checkpoint->slots);
    for (int i = 0; i < checkpoint->n_meta; i++) cnnbn_free(checkpoint->meta[i].text);
    cnnbn_free(checkpoint->meta);
    cnnbn_free(checkpoint->training_config);
    cnnbn_model_destroy(checkpoint->model);
    cnnbn_free(checkpoint);
}

const cnnbn_meta *cnnbn_checkpoint_meta(const cnnbn_checkpoint *checkpoint, const char *key)
{
    for (int i = 0; i < checkpoint->n_meta; i++)
        if (strcmp(checkpoint->meta[i].key, key) == 0) return &checkpoint->meta[i];
    return NULL;
}

/* The seal first: HDF5 sees no bytes but those that were written, or those that it has survived in a trial. */
static cnnbn_status check_or_try(const char *path, cnnbn__trial_job job, void *context)
{
    int sealed = 0;
    if (!cnnbn__keras_is_zip(path)) CNNBN_TRY(cnnbn__seal_check(path, &sealed));
    return sealed ? CNNBN_OK : cnnbn__trial(path, CNNBN_ERR_CHECKPOINT, job, context);
}

static cnnbn_status read_model(const cnnbn__h5_file *file, char **json, cnnbn_model **out)
{
    CNNBN_TRY(cnnbn__h5_read_text(file, file->id, "model_config", "/", json));
    if (!*json) {
        const char *hint = H5Aexists(file->id, "layer_names") > 0 || cnnbn__keras3_is_weights(file)
                               ? ": it holds weights only (take the model from a .json or .yaml)"
                               : "";
        return cnnbn_error(file->bad, "%s: has no attribute model_config, so no model%s", file->path, hint);
    }
    return cnnbn_model_from_text(*json, strlen(*json), file->path, NULL, out);
}

cnnbn_status cnnbn__checkpoint_read_params(const cnnbn__h5_file *file, cnnbn_checkpoint *checkpoint)
{
    const cnnbn_model *model = checkpoint->model;
    void *block;
    cnnbn__weight_place *places;
    CNNBN_TRY(cnnbn__weights_find(file, model, &places));
    cnnbn_status status = cnnbn_alloc_array((size_t)model->n_params, sizeof(float *), "weights", &block);
    if (status == CNNBN_OK) checkpoint->params = block;
    for (int i = 0; i < model->n_params && status == CNNBN_OK; i++) {
        status = cnnbn_alloc_array(model->params[i].count, sizeof(float), "weights", &block);
        if (status == CNNBN_OK) checkpoint->params[i] = block;
    }
    if (status == CNNBN_OK) status = cnnbn__weights_read(file, model, places, checkpoint->params);
    cnnbn__weights_release(model, places);
    return status;
}

static cnnbn_status read_slot(const cnnbn__h5_file *file, hid_t group, const char *name, size_t expected,
                              cnnbn_slot *slot)
{
    char shown[256], found[200];
    void *data;
    (void)snprintf(shown, sizeof shown, "cnnbn/optimizer/%s", name);
    if (strlen(name) >= sizeof slot->name || !cnnbn__h5_exists(group, name))
        return cnnbn_error(file->bad, "%s: has no %s, or its name is too long", file->path, shown);
    (void)snprintf(slot->name, sizeof slot->name, "%s", name);
    cnnbn__h5_scope scope;
    cnnbn__h5_enter(&scope);
    cnnbn__h5_array array;
    cnnbn_status status = cnnbn__h5_open_array(&scope, file, group, name, shown, &array);
    if (status == CNNBN_OK && (array.kind != H5T_FLOAT || array.rank != 1 || array.count != expected))
        status = cnnbn_error(file->bad, "%s: %s is %s, expected float32 (%zu,), one value a weight", file->path, shown,
                             cnnbn__h5_array_text(&array, found, sizeof found), expected);
    if (status == CNNBN_OK) status = cnnbn_alloc_array(array.count, sizeof(float), "optimiser state", &data);
    if (status == CNNBN_OK) {
        slot->data = data;
        slot->n = array.count;
        status = cnnbn__h5_read_array(file, &array, shown, H5T_NATIVE_FLOAT, slot->data);
    }
    cnnbn__h5_leave(&scope);
    return status;
}

static cnnbn_status read_slots(cnnbn__h5_scope *scope, const cnnbn__h5_file *file, hid_t own,
                               cnnbn_checkpoint *checkpoint)
{
    hid_t group;
    char **names;
    size_t n;
    void *block;
    CNNBN_TRY(cnnbn__h5_open_group(scope, file, own, "optimizer", "cnnbn/optimizer", 0, &group));
    CNNBN_TRY(cnnbn__h5_read_strings(file, group, "slot_names", "cnnbn/optimizer", &names, &n));
    if (!names) return cnnbn_error(file->bad, "%s: cnnbn/optimizer has no attribute slot_names", file->path);
    cnnbn_status status = n <= 64 ? cnnbn_alloc_array(n, sizeof(cnnbn_slot), "optimiser state", &block)
                                  : cnnbn_error(file->bad, "%s: cnnbn/optimizer names %zu slots", file->path, n);
    if (status == CNNBN_OK) {
        checkpoint->slots = block;
        checkpoint->n_slots = (int)n; /* those not read yet hold nothing */
    }
    for (size_t i = 0; i < n && status == CNNBN_OK; i++)
        status = read_slot(file, group, names[i], cnnbn__checkpoint_slot_length(checkpoint->model, names[i]),
                           &checkpoint->slots[i]);
    cnnbn_free(names);
    return status;
}

typedef struct meta_walk {
    cnnbn_checkpoint *checkpoint;
    const cnnbn__h5_file *file;
    cnnbn_status status;
} meta_walk;

static cnnbn_status read_fact(const cnnbn__h5_file *file, hid_t own, const char *name, cnnbn_meta *meta)
{
    if (strlen(name) >= sizeof meta->key)
        return cnnbn_error(file->bad, "%s: cnnbn: attribute name %s is too long", file->path, name);
    (void)snprintf(meta->key, sizeof meta->key, "%s", name);
    hid_t attr = H5Aopen(own, name, H5P_DEFAULT);
    hid_t type = attr < 0 ? attr : H5Aget_type(attr), space = attr < 0 ? attr : H5Aget_space(attr);
    H5T_class_t kind = type < 0 ? H5T_NO_CLASS : H5Tget_class(type);
    herr_t result = -1;
    if (attr >= 0 && H5Sget_simple_extent_npoints(space) == 1) {
        if (kind == H5T_INTEGER) {
            meta->kind = CNNBN_META_INT;
            result = H5Aread(attr, H5T_NATIVE_INT64, &meta->i);
        } else if (kind == H5T_FLOAT) {
            meta->kind = CNNBN_META_FLOAT;
            result = H5Aread(attr, H5T_NATIVE_DOUBLE, &meta->f);
        } else if (kind == H5T_STRING) {
            meta->kind = CNNBN_META_TEXT;
            result = 0;
        }
    }
    cnnbn__h5_release(space);
    cnnbn__h5_release(type);
    cnnbn__h5_release(attr);
    if (result < 0) return cnnbn_error(file->bad, "%s: attribute %s of cnnbn cannot be read", file->path, name);
    if (meta->kind == CNNBN_META_TEXT) return cnnbn__h5_read_text(file, own, name, "cnnbn", &meta->text);
    return CNNBN_OK;
}

static herr_t walk_meta(hid_t own, const char *name, const H5A_info_t *info, void *data)
{
    meta_walk *walk = data;
    (void)info;
    if (cnnbn__checkpoint_key_is_reserved(name)) return 0;
    cnnbn_checkpoint *checkpoint = walk->checkpoint;
    if (checkpoint->n_meta == META_MAX)
        walk->status =
            cnnbn_error(walk->file->bad, "%s: cnnbn has more than %d attributes", walk->file->path, META_MAX);
    else
        walk->status = read_fact(walk->file, own, name, &checkpoint->meta[checkpoint->n_meta++]);
    return walk->status == CNNBN_OK ? 0 : 1;
}

static cnnbn_status read_all_meta(const cnnbn__h5_file *file, hid_t own, cnnbn_checkpoint *checkpoint)
{
    void *block;
    H5O_info_t about;
    if (H5Oget_info(own, &about) < 0)
        return cnnbn_error(file->bad, "%s: cnnbn cannot be read (%s)", file->path, cnnbn__h5_reason());
    size_t n = about.num_attrs < META_MAX ? (size_t)about.num_attrs : META_MAX;
    CNNBN_TRY(cnnbn_alloc_array(n, sizeof(cnnbn_meta), "a checkpoint's facts", &block));
    checkpoint->meta = block;
    meta_walk walk = {checkpoint, file, CNNBN_OK};
    hsize_t at = 0;
    if (H5Aiterate2(own, H5_INDEX_NAME, H5_ITER_INC, &at, walk_meta, &walk) < 0 && walk.status == CNNBN_OK)
        return cnnbn_error(file->bad, "%s: the attributes of cnnbn cannot be read (%s)", file->path,
                           cnnbn__h5_reason());
    return walk.status;
}

static cnnbn_status check_format(const cnnbn__h5_file *file, hid_t own)
{
    cnnbn_meta format = {0};
    if (H5Aexists(own, "format") <= 0) return cnnbn_error(file->bad, "%s: cnnbn has no attribute format", file->path);
    CNNBN_TRY(read_fact(file, own, "format", &format));
    cnnbn_free(format.text);
    if (format.kind != CNNBN_META_INT || format.i != CNNBN_CHECKPOINT_FORMAT)
        return cnnbn_error(file->bad, "%s: checkpoint format %lld, expected %d: written by another version of cnnbn",
                           file->path, (long long)format.i, CNNBN_CHECKPOINT_FORMAT);
    return CNNBN_OK;
}

/* For a file that lost its seal (repacked, say) this is what stands between damage and training. */
static cnnbn_status check_digest(const cnnbn__h5_file *file, hid_t own, const cnnbn_checkpoint *checkpoint,
                                 const char *json)
{
    char digest[CNNBN_DIGEST_TEXT], *stored;
    CNNBN_TRY(cnnbn__checkpoint_digest(checkpoint, json, checkpoint->digest, digest));
    CNNBN_TRY(cnnbn__h5_read_text(file, own, "digest", "cnnbn", &stored));
    cnnbn_status status = CNNBN_OK;
    if (!stored || strcmp(stored, digest) != 0)
        status = cnnbn_error(file->bad,
                             "%s: its state has the digest %s, expected %s: damaged, or changed after it was written",
                             file->path, digest, stored ? stored : "one in cnnbn");
    cnnbn_free(stored);
    return status;
}

static cnnbn_status fill(cnnbn__h5_scope *scope, const cnnbn__h5_file *file, cnnbn_checkpoint *checkpoint, char **json)
{
    hid_t own;
    CNNBN_TRY(cnnbn__h5_open_group(scope, file, file->id, "cnnbn", "cnnbn", 1, &own));
    checkpoint->is_cnnbn = own >= 0;
    if (checkpoint->is_cnnbn) CNNBN_TRY(check_format(file, own));
    CNNBN_TRY(read_model(file, json, &checkpoint->model));
    CNNBN_TRY(cnnbn__h5_read_text(file, file->id, "training_config", "/", &checkpoint->training_config));
    CNNBN_TRY(cnnbn__checkpoint_read_params(file, checkpoint));
    if (checkpoint->is_cnnbn) {
        CNNBN_TRY(read_slots(scope, file, own, checkpoint));
        CNNBN_TRY(read_all_meta(file, own, checkpoint));
    }
    CNNBN_TRY(cnnbn_checkpoint_state_digest(checkpoint, checkpoint->digest));
    return checkpoint->is_cnnbn ? check_digest(file, own, checkpoint, *json) : CNNBN_OK;
}

static cnnbn_status read_whole(const char *path, cnnbn_checkpoint **out)
{
    void *block;
    char *json = NULL;
    *out = NULL;
    CNNBN_TRY(cnnbn_alloc(sizeof(cnnbn_checkpoint), "a checkpoint", &block));
    cnnbn_checkpoint *checkpoint = block;
    cnnbn_status status;
    if (cnnbn__keras_is_zip(path)) {
        status = cnnbn__keras_read(path, checkpoint);
    } else {
        cnnbn__h5_scope scope;
        cnnbn__h5_enter(&scope);
        cnnbn__h5_file file;
        status = cnnbn__h5_open_file(&scope, path, CNNBN_ERR_CHECKPOINT, &file);
        if (status == CNNBN_OK) status = fill(&scope, &file, checkpoint, &json);
        cnnbn__h5_leave(&scope);
    }
    cnnbn_free(json);
    if (status == CNNBN_OK)
        *out = checkpoint;
    else
        cnnbn_checkpoint_destroy(checkpoint);
    return status;
}

static cnnbn_status read_only_model(const char *path, cnnbn_model **out)
{
    char *json = NULL;
    if (cnnbn__keras_is_zip(path)) return cnnbn__keras_read_model(path, out);
    *out = NULL;
    cnnbn__h5_scope scope;
    cnnbn__h5_enter(&scope);
    cnnbn__h5_file file;
    cnnbn_status status = cnnbn__h5_open_file(&scope, path, CNNBN_ERR_CHECKPOINT, &file);
    if (status == CNNBN_OK) status = read_model(&file, &json, out);
    cnnbn__h5_leave(&scope);
    cnnbn_free(json);
    return status;
}

static cnnbn_status read_compiled(const char *path, char **out)
{
    if (cnnbn__keras_is_zip(path)) return cnnbn__keras_read_compiled(path, out);
    *out = NULL;
    cnnbn__h5_scope scope;
    cnnbn__h5_enter(&scope);
    cnnbn__h5_file file;
    cnnbn_status status = cnnbn__h5_open_file(&scope, path, CNNBN_ERR_CHECKPOINT, &file);
    if (status == CNNBN_OK) status = cnnbn__h5_read_text(&file, file.id, "training_config", "/", out);
    cnnbn__h5_leave(&scope);
    return status;
}

static cnnbn_status read_weights(const char *path, const cnnbn_model *model, float *const *params)
{
    cnnbn__weight_place *places = NULL;
    if (cnnbn__keras_is_zip(path)) return cnnbn__keras_read_weights(path, model, params);
    cnnbn__h5_scope scope;
    cnnbn__h5_enter(&scope);
    cnnbn__h5_file file;
    cnnbn_status status = cnnbn__h5_open_file(&scope, path, CNNBN_ERR_CHECKPOINT, &file);
    if (status == CNNBN_OK) status = cnnbn__weights_find(&file, model, &places);
    if (status == CNNBN_OK) status = cnnbn__weights_read(&file, model, places, params);
    cnnbn__weights_release(model, places);
    cnnbn__h5_leave(&scope);
    return status;
}

/* ---------------------------------------------------------------- the same with the trial before it */

/* A child's results go with the child: nothing is freed there. */
typedef struct request {
    const char *path;
    const cnnbn_model *model;
    float *const *params;
} request;

static cnnbn_status try_whole(void *context)
{
    cnnbn_checkpoint *checkpoint;
    return read_whole(((const request *)context)->path, &checkpoint);
}

static cnnbn_status try_model(void *context)
{
    cnnbn_model *model;
    return read_only_model(((const request *)context)->path, &model);
}

static cnnbn_status try_weights(void *context)
{
    const request *r = context;
    return read_weights(r->path, r->model, r->params);
}

static cnnbn_status try_compiled(void *context)
{
    char *text;
    return read_compiled(((const request *)context)->path, &text);
}

cnnbn_status cnnbn_checkpoint_read(const char *path, cnnbn_checkpoint **out)
{
    request r = {.path = path};
    *out = NULL;
    CNNBN_TRY(check_or_try(path, try_whole, &r));
    return read_whole(path, out);
}

cnnbn_status cnnbn_checkpoint_read_model(const char *path, cnnbn_model **out)
{
    request r = {.path = path};
    *out = NULL;
    CNNBN_TRY(check_or_try(path, try_model, &r));
    return read_only_model(path, out);
}

cnnbn_status cnnbn_checkpoint_read_compiled(const char *path, char **out)
{
    request r = {.path = path};
    *out = NULL;
    CNNBN_TRY(check_or_try(path, try_compiled, &r));
    return read_compiled(path, out);
}

cnnbn_status cnnbn_checkpoint_read_weights(const char *path, const cnnbn_model *model, float *const *params)
{
    request r = {path, model, params};
    CNNBN_TRY(check_or_try(path, try_weights, &r));
    return read_weights(path, model, params);
}
