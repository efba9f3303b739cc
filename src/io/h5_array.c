#include "h5_internal.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Followed by HDF5 when a link leads to another file: no. */
static herr_t refuse_external(const char *parent_file, const char *parent_group, const char *child_file,
                              const char *child_object, unsigned *flags, hid_t fapl, void *seen)
{
    (void)parent_file, (void)parent_group, (void)child_file, (void)child_object, (void)flags, (void)fapl;
    *(int *)seen = 1;
    return -1;
}

int cnnbn__h5_exists(hid_t where, const char *name)
{
    char part[1024];
    if (snprintf(part, sizeof part, "%s", name) >= (int)sizeof part) return 0;
    for (char *slash = part; (slash = strchr(slash + 1, '/')) != NULL;) {
        *slash = '\0';
        if (H5Lexists(where, part, H5P_DEFAULT) <= 0) return 0;
        *slash = '/';
    }
    return H5Lexists(where, name, H5P_DEFAULT) > 0;
}

static cnnbn_status open_object(cnnbn__h5_scope *scope, const cnnbn__h5_file *file, hid_t where, const char *name,
                                const char *shown, hid_t *out)
{
    int external = 0;
    hid_t access = H5Pcreate(H5P_LINK_ACCESS);
    (void)H5Pset_elink_cb(access, refuse_external, &external);
    *out = cnnbn__h5_own(scope, H5Oopen(where, name, access));
    if (external)
        (void)cnnbn_error(file->bad, "%s: %s is a link to another file, expected the data themselves", file->path,
                          shown);
    else if (*out < 0)
        (void)cnnbn_error(file->bad, "%s: %s cannot be opened (%s)", file->path, shown, cnnbn__h5_reason());
    cnnbn__h5_release(access);
    return *out < 0 ? file->bad : CNNBN_OK;
}

cnnbn_status cnnbn__h5_open_group(cnnbn__h5_scope *scope, const cnnbn__h5_file *file, hid_t where, const char *name,
                                  const char *shown, int optional, hid_t *out)
{
    *out = H5I_INVALID_HID;
    if (!cnnbn__h5_exists(where, name)) {
        if (optional) return CNNBN_OK;
        return cnnbn_error(file->bad, "%s: has no group %s", file->path, shown);
    }
    CNNBN_TRY(open_object(scope, file, where, name, shown, out));
    if (H5Iget_type(*out) != H5I_GROUP) return cnnbn_error(file->bad, "%s: %s is not a group", file->path, shown);
    return CNNBN_OK;
}

const char *cnnbn__h5_dims_text(int rank, const size_t *dim, char *text, size_t bytes)
{
    size_t used = 0;
    (void)snprintf(text, bytes, "(");
    for (int i = 0; i < rank; i++) {
        used = strlen(text);
        (void)snprintf(text + used, bytes - used, "%s%zu", i ? ", " : "", dim[i]);
    }
    used = strlen(text);
    (void)snprintf(text + used, bytes - used, rank == 1 ? ",)" : ")");
    return text;
}

const char *cnnbn__h5_array_text(const cnnbn__h5_array *array, char *text, size_t bytes)
{
    char dims[160], kind[32];
    unsigned bits = array->elem_bytes <= UINT_MAX / 8 ? (unsigned)array->elem_bytes * 8 : 0;
    switch (array->kind) {
    case H5T_INTEGER:
        (void)snprintf(kind, sizeof kind, "%sint%u", array->is_signed ? "" : "u", bits);
        break;
    case H5T_FLOAT:
        (void)snprintf(kind, sizeof kind, "float%u", bits);
        break;
    case H5T_STRING:
        (void)snprintf(kind, sizeof kind, "string");
        break;
    case H5T_ENUM:
        (void)snprintf(kind, sizeof kind, "enum (bool?)");
        break;
    case H5T_COMPOUND:
        (void)snprintf(kind, sizeof kind, "compound");
        break;
    default:
        (void)snprintf(kind, sizeof kind, "neither integer nor float");
        break;
    }
    (void)snprintf(text, bytes, "%s %s", kind, cnnbn__h5_dims_text(array->rank, array->dim, dims, sizeof dims));
    return text;
}

typedef struct list_state {
    char *text;
    size_t bytes;
} list_state;

static herr_t list_name(hid_t group, const char *name, const H5L_info_t *info, void *data)
{
    list_state *list = data;
    (void)group, (void)info;
    size_t used = strlen(list->text);
    int length = snprintf(list->text + used, list->bytes - used, "%s%s", used ? ", " : "", name);
    if (length < 0 || (size_t)length < list->bytes - used) return 0;
    (void)snprintf(list->text + list->bytes - 4, 4, "...");
    return 1;
}

const char *cnnbn__h5_list(hid_t group, char *text, size_t bytes)
{
    list_state list = {text, bytes};
    text[0] = '\0';
    (void)H5Literate(group, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, list_name, &list);
    if (!text[0]) (void)snprintf(text, bytes, "nothing");
    return text;
}

/* How many bytes of data one stored byte can stand for. Deflate's limit is 1032; filters of unknown name get more. */
static cnnbn_status filters_of(const cnnbn__h5_file *file, hid_t plist, const char *shown, size_t *ratio)
{
    *ratio = 1;
    int n = H5Pget_nfilters(plist);
    for (int i = 0; i < n; i++) {
        unsigned flags, config;
        size_t n_values = 0;
        char name[64] = "";
        H5Z_filter_t filter = H5Pget_filter2(plist, (unsigned)i, &flags, &n_values, NULL, sizeof name, name, &config);
        if (filter < 0) return cnnbn_error(file->bad, "%s: %s: its filters cannot be read", file->path, shown);
        if (filter == H5Z_FILTER_SHUFFLE || filter == H5Z_FILTER_FLETCHER32) continue;
        if (H5Zfilter_avail(filter) <= 0)
            return cnnbn_error(
                file->bad,
                "%s: %s is compressed by filter %d (%s), which this HDF5 does not have: use gzip or none "
                "(h5repack -f GZIP=4 OLD NEW)",
                file->path, shown, (int)filter, name[0] ? name : "no name");
        size_t its_ratio = filter == H5Z_FILTER_DEFLATE ? 1100 : 1000000;
        if (its_ratio > *ratio) *ratio = its_ratio;
    }
    return CNNBN_OK;
}

static cnnbn_status check_chunks(const cnnbn__h5_file *file, hid_t plist, const char *shown, cnnbn__h5_array *array)
{
    hsize_t chunk[CNNBN_H5_RANK_MAX];
    if (H5Pget_chunk(plist, CNNBN_H5_RANK_MAX, chunk) != array->rank)
        return cnnbn_error(file->bad, "%s: %s: its chunks cannot be read", file->path, shown);
    array->chunked = 1;
    hsize_t wanted = 1;
    for (int i = 0; i < array->rank; i++) {
        if (chunk[i] == 0) return cnnbn_error(file->bad, "%s: %s has empty chunks", file->path, shown);
        array->chunk[i] = (size_t)chunk[i];
        hsize_t along = array->dim[i] / chunk[i] + (array->dim[i] % chunk[i] != 0);
        if (along && wanted > ULLONG_MAX / along)
            return cnnbn_error(file->bad, "%s: %s: absurd size", file->path, shown);
        wanted *= along;
    }
#if H5_VERSION_GE(1, 10, 5)
    hsize_t found = 0;
    hid_t space = H5Dget_space(array->id);
    herr_t failed = H5Dget_num_chunks(array->id, space, &found);
    cnnbn__h5_release(space);
    if (failed < 0)
        return cnnbn_error(file->bad, "%s: %s: its chunks cannot be counted (%s)", file->path, shown,
                           cnnbn__h5_reason());
    if (found < wanted)
        return cnnbn_error(file->bad, "%s: %s is incomplete: %llu of %llu chunks are in the file", file->path, shown,
                           (unsigned long long)found, (unsigned long long)wanted);
#endif
    return CNNBN_OK;
}

static cnnbn_status check_storage(const cnnbn__h5_file *file, hid_t plist, const char *shown, cnnbn__h5_array *array)
{
    if (H5Pget_layout(plist) == H5D_VIRTUAL)
        return cnnbn_error(file->bad, "%s: %s is a virtual dataset, expected the data themselves (h5repack OLD NEW)",
                           file->path, shown);
    if (H5Pget_external_count(plist) != 0)
        return cnnbn_error(file->bad, "%s: %s is stored in another file, expected the data themselves", file->path,
                           shown);
    size_t ratio;
    CNNBN_TRY(filters_of(file, plist, shown, &ratio));
    if (array->count == 0) return CNNBN_OK;
    if (H5Pget_layout(plist) == H5D_CHUNKED) CNNBN_TRY(check_chunks(file, plist, shown, array));
    /* What the file cannot hold is not asked of the memory. */
    uint64_t stored = H5Dget_storage_size(array->id);
    if (stored > file->bytes || stored < array->count * array->elem_bytes / ratio) {
        char text[200];
        return cnnbn_error(file->bad,
                           "%s: %s is %s, but the file of %llu bytes holds %llu bytes of it: incomplete or damaged",
                           file->path, shown, cnnbn__h5_array_text(array, text, sizeof text),
                           (unsigned long long)file->bytes, (unsigned long long)stored);
    }
    return CNNBN_OK;
}

cnnbn_status cnnbn__h5_open_array(cnnbn__h5_scope *scope, const cnnbn__h5_file *file, hid_t where, const char *name,
                                  const char *shown, cnnbn__h5_array *array)
{
    *array = (cnnbn__h5_array){.id = H5I_INVALID_HID, .count = 1};
    CNNBN_TRY(open_object(scope, file, where, name, shown, &array->id));
    if (H5Iget_type(array->id) != H5I_DATASET)
        return cnnbn_error(file->bad, "%s: %s is not a dataset", file->path, shown);

    hid_t type = H5Dget_type(array->id), space = H5Dget_space(array->id);
    array->kind = H5Tget_class(type);
    array->elem_bytes = H5Tget_size(type);
    array->is_signed = array->kind == H5T_INTEGER && H5Tget_sign(type) == H5T_SGN_2;
    array->rank = H5Sget_simple_extent_ndims(space);
    int sane = array->rank >= 0 && array->rank <= CNNBN_H5_RANK_MAX && array->elem_bytes > 0;
    sane = sane && H5Sget_simple_extent_type(space) != H5S_NULL;
    hsize_t dim[CNNBN_H5_RANK_MAX];
    if (sane && H5Sget_simple_extent_dims(space, dim, NULL) < 0) sane = 0;
    cnnbn__h5_release(type);
    cnnbn__h5_release(space);
    if (!sane)
        return cnnbn_error(file->bad, "%s: %s has no shape of at most %d dimensions", file->path, shown,
                           CNNBN_H5_RANK_MAX);
    for (int i = 0; i < array->rank; i++) {
        array->dim[i] = (size_t)dim[i];
        if (dim[i] && array->count > SIZE_MAX / 8 / array->elem_bytes / dim[i])
            return cnnbn_error(file->bad, "%s: %s: absurd size", file->path, shown);
        array->count *= (size_t)dim[i];
    }
    hid_t plist = H5Dget_create_plist(array->id);
    cnnbn_status status = check_storage(file, plist, shown, array);
    cnnbn__h5_release(plist);
    return status;
}

cnnbn_status cnnbn__h5_read_array(const cnnbn__h5_file *file, const cnnbn__h5_array *array, const char *shown,
                                  hid_t mem_type, void *data)
{
    if (array->count == 0) return CNNBN_OK;
    if (H5Dread(array->id, mem_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        return cnnbn_error(file->bad, "%s: %s cannot be read, damaged? (%s)", file->path, shown, cnnbn__h5_reason());
    return CNNBN_OK;
}
