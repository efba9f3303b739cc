/* A checkpoint is made in memory by HDF5 (its core driver) and put on the disk by this project's own writes. HDF5 buffers what
 * it writes, tells of a full disk late, and cannot close a file whose disk is full; this way every system call that can fail is
 * one of file_write.c, with its own message, and HDF5's state never depends on a disk. It costs memory of twice the file's size
 * while it lasts. */
#include "checkpoint_internal.h"

#include <stdio.h>
#include <string.h>

#include "file_internal.h"
#include "keras_internal.h"

/* Any Keras from 2.3 on reads the layout below without conversions when it says 2.x here. */
static const char keras_version[] = "2.15.0";
static const char backend[] = "tensorflow";

/* HDF5 tries to open what it is told to create, and would read an older checkpoint into memory: a name under which nothing can
 * be. */
static const char nowhere[] = "/dev/null/checkpoint";

/* An object header holds at most 64 KB an attribute; Keras splits at 64,512. A variable-length string takes 16 bytes there. */
enum { NAMES_MAX = 64512 / 16, CHUNK_BYTES = 1 << 20 };

typedef struct image {
    const cnnbn_checkpoint *checkpoint;
    const char *path; /* for messages */
    hid_t file;
    hid_t links; /* creates the groups on the way */
} image;

static cnnbn_status hdf5_failed(const image *im, const char *what)
{
    return cnnbn_error(CNNBN_ERR_INTERNAL, "%s: %s cannot be put into the checkpoint (%s)", im->path, what,
                       cnnbn__h5_reason());
}

static cnnbn_status write_names(const image *im, hid_t group, const char *name, const char *const *names, size_t n)
{
    if (n <= NAMES_MAX) return cnnbn__h5_write_strings(group, name, names, n) < 0 ? hdf5_failed(im, name) : CNNBN_OK;
    for (size_t part = 0; part * NAMES_MAX < n; part++) {
        char numbered[48];
        size_t first = part * NAMES_MAX, count = n - first < NAMES_MAX ? n - first : NAMES_MAX;
        (void)snprintf(numbered, sizeof numbered, "%s%zu", name, part);
        if (cnnbn__h5_write_strings(group, numbered, names + first, count) < 0) return hdf5_failed(im, numbered);
    }
    return CNNBN_OK;
}

static cnnbn_status write_floats(const image *im, hid_t group, const char *name, int rank, const hsize_t *dim,
                                 const float *data)
{
    hsize_t chunk[CNNBN_PARAM_RANK_MAX];
    hsize_t bytes = sizeof(float);
    for (int i = 0; i < rank; i++) {
        chunk[i] = dim[i];
        bytes *= dim[i];
    }
    for (int i = 0; i < rank; i++) /* whole rows: the data go in as they lie */
        while (bytes > CHUNK_BYTES && chunk[i] > 1) {
            bytes /= chunk[i];
            chunk[i] = (chunk[i] + 1) / 2;
            bytes *= chunk[i];
        }
    hid_t space = H5Screate_simple(rank, dim, NULL), create = H5Pcreate(H5P_DATASET_CREATE);
    if (rank) { /* a single number cannot be chunked */
        (void)H5Pset_chunk(create, rank, chunk);
        (void)H5Pset_fletcher32(create);
    }
    (void)H5Pset_fill_time(create, H5D_FILL_TIME_NEVER);
    (void)H5Pset_obj_track_times(create, 0); /* the same state makes the same bytes */
    herr_t result = -1;
    hid_t dataset = H5Dcreate2(group, name, H5T_IEEE_F32LE, space, im->links, create, H5P_DEFAULT);
    if (dataset >= 0) result = H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    if (dataset >= 0 && H5Dclose(dataset) < 0) result = -1;
    cnnbn__h5_release(create);
    cnnbn__h5_release(space);
    return result < 0 ? hdf5_failed(im, name) : CNNBN_OK;
}

static hid_t make_group(const image *im, cnnbn__h5_scope *scope, hid_t where, const char *name)
{
    if (cnnbn__h5_exists(where, name)) return cnnbn__h5_own(scope, H5Gopen2(where, name, H5P_DEFAULT));
    return cnnbn__h5_own(scope, H5Gcreate2(where, name, im->links, H5P_DEFAULT, H5P_DEFAULT));
}

static cnnbn_status write_layer(const image *im, hid_t weights, const cnnbn_layer *layer)
{
    const cnnbn_model *model = im->checkpoint->model;
    void *block;
    enum { NAME = CNNBN_NAME_MAX + 40 };
    size_t n = (size_t)layer->n_params;
    CNNBN_TRY(cnnbn_alloc_array(n, sizeof(char *) + NAME, "weight names", &block));
    const char **names = block;
    char *text = (char *)(names + n);
    cnnbn__h5_scope scope;
    cnnbn__h5_enter(&scope);
    cnnbn_status status = CNNBN_OK;
    hid_t group = make_group(im, &scope, weights, layer->name);
    if (group < 0) status = hdf5_failed(im, layer->name);
    for (int k = 0; k < layer->n_params && status == CNNBN_OK; k++) {
        const cnnbn_param *param = &model->params[layer->first_param + k];
        hsize_t dim[CNNBN_PARAM_RANK_MAX];
        for (int d = 0; d < param->rank; d++) dim[d] = (hsize_t)param->dim[d];
        names[k] = text + k * NAME;
        (void)snprintf(text + k * NAME, NAME, "%s/%s:0", layer->name, param->name);
        status = write_floats(im, group, names[k], param->rank, dim, im->checkpoint->params[layer->first_param + k]);
    }
    if (status == CNNBN_OK) status = write_names(im, group, "weight_names", names, n);
    cnnbn__h5_leave(&scope);
    cnnbn_free(block);
    return status;
}

static cnnbn_status write_weights(const image *im, cnnbn__h5_scope *scope)
{
    const cnnbn_model *model = im->checkpoint->model;
    hid_t weights = make_group(im, scope, im->file, "model_weights");
    if (weights < 0 || cnnbn__h5_write_text(weights, "keras_version", keras_version) < 0 ||
        cnnbn__h5_write_text(weights, "backend", backend) < 0)
        return hdf5_failed(im, "model_weights");
    void *block;
    int *order, n; /* readers give weights to layers by their place in Keras' order; Functional counts its InputLayer */
    CNNBN_TRY(cnnbn__keras3_order(model, &order, &n));
    cnnbn_status status = cnnbn_alloc_array((size_t)n, sizeof(char *), "layer names", &block);
    if (status == CNNBN_OK) {
        const char **names = block;
        for (int i = 0; i < n; i++) names[i] = order[i] < 0 ? model->input_name : model->layers[order[i]].name;
        status = write_names(im, weights, "layer_names", names, (size_t)n);
        cnnbn_free(block);
    }
    cnnbn_free(order);
    CNNBN_TRY(status);
    if (!model->sequential) {
        cnnbn_layer input = {0};
        memcpy(input.name, model->input_name, sizeof input.name);
        CNNBN_TRY(write_layer(im, weights, &input));
    }
    for (int i = 0; i < model->n_layers; i++) CNNBN_TRY(write_layer(im, weights, &model->layers[i]));
    return CNNBN_OK;
}

static cnnbn_status write_meta(const image *im, hid_t group, const cnnbn_meta *meta)
{
    herr_t result = -1;
    if (!meta->key[0] || cnnbn__checkpoint_key_is_reserved(meta->key) || H5Aexists(group, meta->key) != 0)
        return cnnbn_error(CNNBN_ERR_INTERNAL,
                           "%s: \"%s\" cannot name a checkpoint's fact: empty, reserved or used twice", im->path,
                           meta->key);
    switch (meta->kind) {
    case CNNBN_META_INT:
        result = cnnbn__h5_write_number(group, meta->key, H5T_STD_I64LE, H5T_NATIVE_INT64, &meta->i);
        break;
    case CNNBN_META_FLOAT:
        result = cnnbn__h5_write_number(group, meta->key, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &meta->f);
        break;
    case CNNBN_META_TEXT:
        result = cnnbn__h5_write_text(group, meta->key, meta->text);
        break;
    }
    return result < 0 ? hdf5_failed(im, meta->key) : CNNBN_OK;
}

static cnnbn_status write_own(const image *im, cnnbn__h5_scope *scope, const char *json)
{
    const cnnbn_checkpoint *checkpoint = im->checkpoint;
    char state_digest[CNNBN_DIGEST_TEXT], digest[CNNBN_DIGEST_TEXT];
    CNNBN_TRY(cnnbn_checkpoint_state_digest(checkpoint, state_digest));
    CNNBN_TRY(cnnbn__checkpoint_digest(checkpoint, json, state_digest, digest));
    int64_t format = CNNBN_CHECKPOINT_FORMAT;
    hid_t own = make_group(im, scope, im->file, "cnnbn"), slots = make_group(im, scope, im->file, "cnnbn/optimizer");
    if (own < 0 || slots < 0 || cnnbn__h5_write_number(own, "format", H5T_STD_I64LE, H5T_NATIVE_INT64, &format) < 0 ||
        cnnbn__h5_write_text(own, "state_digest", state_digest) < 0 || cnnbn__h5_write_text(own, "digest", digest) < 0)
        return hdf5_failed(im, "cnnbn");
    for (int i = 0; i < checkpoint->n_meta; i++) CNNBN_TRY(write_meta(im, own, &checkpoint->meta[i]));

    void *block;
    CNNBN_TRY(cnnbn_alloc_array((size_t)checkpoint->n_slots, sizeof(char *), "slot names", &block));
    const char **names = block;
    cnnbn_status status = CNNBN_OK;
    for (int i = 0; i < checkpoint->n_slots && status == CNNBN_OK; i++) {
        const cnnbn_slot *slot = &checkpoint->slots[i];
        hsize_t dim = slot->n;
        size_t expected = cnnbn__checkpoint_slot_length(checkpoint->model, slot->name);
        names[i] = slot->name;
        if (slot->n != expected || slot->n == 0)
            status = cnnbn_error(CNNBN_ERR_INTERNAL, "%s: optimiser slot %s has %zu values, expected %zu", im->path,
                                 slot->name, slot->n, expected);
        else
            status = write_floats(im, slots, slot->name, 1, &dim, slot->data);
    }
    if (status == CNNBN_OK) status = write_names(im, slots, "slot_names", names, (size_t)checkpoint->n_slots);
    cnnbn_free(block);
    return status;
}

static cnnbn_status write_all(image *im, cnnbn__h5_scope *scope, size_t data_bytes, const char *json)
{
    hid_t access = cnnbn__h5_own(scope, H5Pcreate(H5P_FILE_ACCESS)),
          create = cnnbn__h5_own(scope, H5Pcreate(H5P_FILE_CREATE));
    /* grows in steps of about the whole: once, not by copies */
    if (H5Pset_fapl_core(access, data_bytes + data_bytes / 64 + ((size_t)1 << 20), 0) < 0)
        return hdf5_failed(im, "anything");
#if H5_VERSION_GE(1, 10, 2)
    (void)H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_V18);
#endif
    (void)H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    im->links = cnnbn__h5_own(scope, H5Pcreate(H5P_LINK_CREATE));
    (void)H5Pset_create_intermediate_group(im->links, 1);
    im->file = cnnbn__h5_own(scope, H5Fcreate(nowhere, H5F_ACC_TRUNC, create, access));
    if (im->file < 0) return hdf5_failed(im, "anything");

    const cnnbn_checkpoint *checkpoint = im->checkpoint;
    if (cnnbn__h5_write_text(im->file, "keras_version", keras_version) < 0 ||
        cnnbn__h5_write_text(im->file, "backend", backend) < 0 ||
        cnnbn__h5_write_text(im->file, "model_config", json) < 0)
        return hdf5_failed(im, "model_config");
    if (checkpoint->training_config &&
        cnnbn__h5_write_text(im->file, "training_config", checkpoint->training_config) < 0)
        return hdf5_failed(im, "training_config");
    CNNBN_TRY(write_weights(im, scope));
    CNNBN_TRY(write_own(im, scope, json));
    return H5Fflush(im->file, H5F_SCOPE_GLOBAL) < 0 ? hdf5_failed(im, "its end") : CNNBN_OK;
}

/* Moves the image behind the seal: base and end address in the superblock (HDF5 File Format Specification, III.A, version 0)
 * count from the file's beginning, all others from the base. */
static cnnbn_status shift(const image *im, unsigned char *superblock, size_t bytes)
{
    enum { VERSION = 8, OFFSET_BYTES = 13, BASE = 24, END = 40 };
    uint64_t base = 0, end = 0;
    for (int i = 7; i >= 0 && bytes > 96; i--) {
        base = base << 8 | superblock[BASE + i];
        end = end << 8 | superblock[END + i];
    }
    if (bytes <= 96 || superblock[VERSION] != 0 || superblock[OFFSET_BYTES] != 8 || base != 0 || end != bytes)
        return cnnbn_error(CNNBN_ERR_INTERNAL,
                           "%s: this HDF5 library makes files of a form not known here (superblock version %d)",
                           im->path, superblock[VERSION]);
    base += CNNBN_SEAL_BYTES;
    end += CNNBN_SEAL_BYTES;
    for (int i = 0; i < 8; i++) {
        superblock[BASE + i] = (unsigned char)(base >> 8 * i);
        superblock[END + i] = (unsigned char)(end >> 8 * i);
    }
    return CNNBN_OK;
}

/* *out owned: cnnbn_free. */
static cnnbn_status make_image(const char *path, const cnnbn_checkpoint *checkpoint, size_t data_bytes, void **out,
                               size_t *bytes)
{
    char *json;
    *out = NULL;
    CNNBN_TRY(cnnbn_model_to_json(checkpoint->model, &json));
    image im = {.checkpoint = checkpoint, .path = path, .file = H5I_INVALID_HID};
    cnnbn__h5_scope scope;
    cnnbn__h5_enter(&scope);
    cnnbn_status status = write_all(&im, &scope, data_bytes, json);
    if (status == CNNBN_OK) {
        ssize_t size = H5Fget_file_image(im.file, NULL, 0);
        *bytes = size > 0 ? (size_t)size : 0;
        status = size > 0 ? cnnbn_alloc(*bytes, "a checkpoint", out) : hdf5_failed(&im, "its end");
    }
    if (status == CNNBN_OK && H5Fget_file_image(im.file, *out, *bytes) != (ssize_t)*bytes)
        status = hdf5_failed(&im, "its end");
    cnnbn__h5_leave(&scope);
    if (status == CNNBN_OK) status = shift(&im, *out, *bytes);
    if (status != CNNBN_OK) {
        cnnbn_free(*out);
        *out = NULL;
    }
    cnnbn_free(json);
    return status;
}

cnnbn_status cnnbn_checkpoint_write(const char *path, const cnnbn_checkpoint *checkpoint)
{
    size_t data_bytes = 0;
    for (int i = 0; i < checkpoint->model->n_params; i++)
        data_bytes += checkpoint->model->params[i].count * sizeof(float);
    for (int i = 0; i < checkpoint->n_slots; i++) data_bytes += checkpoint->slots[i].n * sizeof(float);
    cnnbn_status status = cnnbn__file_check_space(path, data_bytes);
    if (status != CNNBN_OK) return cnnbn_error_context(status, "checkpoint not written");

    void *content;
    size_t bytes;
    char seal[CNNBN_SEAL_BYTES];
    CNNBN_TRY(make_image(path, checkpoint, data_bytes, &content, &bytes));
    status = cnnbn__seal_make(content, bytes, seal);
    cnnbn__file_part parts[2] = {{seal, sizeof seal}, {content, bytes}};
    if (status == CNNBN_OK) status = cnnbn__file_check_space(path, bytes + sizeof seal);
    if (status == CNNBN_OK) {
        cnnbn__file_gate gate = {checkpoint->may_publish, checkpoint->may_publish_context};
        status = cnnbn__file_write(path, parts, 2, gate);
    }
    cnnbn_free(content);
    return status == CNNBN_OK ? CNNBN_OK : cnnbn_error_context(status, "checkpoint not written");
}
