#include "h5_internal.h"

#include <string.h>

typedef struct attribute {
    hid_t id, type;
    H5T_class_t kind;
    size_t elem_bytes, n;
} attribute;

/* n counts all elements; a scalar has one. attr->id is negative, with CNNBN_OK, when there is none of that name. */
static cnnbn_status open_attribute(cnnbn__h5_scope *scope, const cnnbn__h5_file *file, hid_t object, const char *name,
                                   const char *shown, attribute *attr)
{
    *attr = (attribute){.id = H5I_INVALID_HID};
    htri_t there = H5Aexists(object, name);
    if (there == 0) return CNNBN_OK;
    if (there > 0) attr->id = cnnbn__h5_own(scope, H5Aopen(object, name, H5P_DEFAULT));
    if (attr->id < 0)
        return cnnbn_error(file->bad, "%s: attribute %s of %s cannot be opened (%s)", file->path, name, shown,
                           cnnbn__h5_reason());
    attr->type = cnnbn__h5_own(scope, H5Aget_type(attr->id));
    hid_t space = cnnbn__h5_own(scope, H5Aget_space(attr->id));
    hssize_t n = H5Sget_simple_extent_npoints(space);
    attr->kind = H5Tget_class(attr->type);
    attr->elem_bytes = H5Tget_size(attr->type);
    /* An attribute lies in its object's header: what is greater than the file is a lie. */
    if (n < 0 || attr->elem_bytes == 0 || (uint64_t)n > file->bytes / attr->elem_bytes)
        return cnnbn_error(file->bad, "%s: attribute %s of %s: absurd size", file->path, name, shown);
    attr->n = (size_t)n;
    return CNNBN_OK;
}

static cnnbn_status unreadable(const cnnbn__h5_file *file, const char *name, const char *shown)
{
    return cnnbn_error(file->bad, "%s: attribute %s of %s cannot be read, damaged? (%s)", file->path, name, shown,
                       cnnbn__h5_reason());
}

/* Lays the strings out in one block: the pointers, then the text. With stride 0 `raw` holds pointers to NUL-ended texts,
 * else texts of stride bytes, padded with NULs or blanks. */
static cnnbn_status pack_strings(const void *raw, size_t n, size_t stride, int blanks, char ***out)
{
    size_t bytes = n * sizeof(char *);
    const char *const *pointers = raw;
    for (size_t i = 0; i < n; i++) bytes += 1 + (stride ? stride : pointers[i] ? strlen(pointers[i]) : 0);
    void *block;
    CNNBN_TRY(cnnbn_alloc(bytes, "the strings of an attribute", &block));
    char **strings = block, *at = (char *)(strings + n);
    for (size_t i = 0; i < n; i++) {
        const char *text = stride ? (const char *)raw + i * stride : pointers[i] ? pointers[i] : "";
        size_t length = stride ? strnlen(text, stride) : strlen(text);
        while (blanks && length && text[length - 1] == ' ') length--;
        memcpy(at, text, length);
        at[length] = '\0';
        strings[i] = at;
        at += length + 1;
    }
    *out = strings;
    return CNNBN_OK;
}

static cnnbn_status read_strings(cnnbn__h5_scope *scope, const cnnbn__h5_file *file, const attribute *attr,
                                 const char *name, const char *shown, char ***out)
{
    htri_t variable = H5Tis_variable_str(attr->type);
    hid_t mem = cnnbn__h5_own(scope, H5Tcopy(H5T_C_S1));
    size_t elem = variable ? sizeof(char *) : attr->elem_bytes;
    (void)H5Tset_size(mem, variable ? H5T_VARIABLE : elem);
    (void)H5Tset_cset(mem, H5Tget_cset(attr->type));
    (void)H5Tset_strpad(mem, H5Tget_strpad(attr->type)); /* alike: nothing is cut for a NUL */
    void *raw;
    CNNBN_TRY(cnnbn_alloc_array(attr->n, elem, "the strings of an attribute", &raw));
    if (H5Aread(attr->id, mem, raw) < 0) {
        cnnbn_free(raw);
        return unreadable(file, name, shown);
    }
    cnnbn_status status =
        pack_strings(raw, attr->n, variable ? 0 : elem, H5Tget_strpad(attr->type) == H5T_STR_SPACEPAD, out);
    if (variable) {
        hid_t space = cnnbn__h5_own(scope, H5Aget_space(attr->id));
        (void)H5Dvlen_reclaim(mem, space, H5P_DEFAULT, raw);
    }
    cnnbn_free(raw);
    return status;
}

cnnbn_status cnnbn__h5_read_strings(const cnnbn__h5_file *file, hid_t object, const char *name, const char *shown,
                                    char ***out, size_t *n)
{
    *out = NULL;
    *n = 0;
    cnnbn__h5_scope scope;
    cnnbn__h5_enter(&scope);
    attribute attr;
    cnnbn_status status = open_attribute(&scope, file, object, name, shown, &attr);
    if (status == CNNBN_OK && attr.id >= 0) {
        if (attr.n == 0) /* of any type: an empty list from numpy is an array of float64 */
            status = pack_strings(NULL, 0, 1, 0, out);
        else if (attr.kind != H5T_STRING)
            status =
                cnnbn_error(file->bad, "%s: attribute %s of %s is not text, expected strings", file->path, name, shown);
        else
            status = read_strings(&scope, file, &attr, name, shown, out);
        if (status == CNNBN_OK) *n = attr.n;
    }
    cnnbn__h5_leave(&scope);
    return status;
}

cnnbn_status cnnbn__h5_read_text(const cnnbn__h5_file *file, hid_t object, const char *name, const char *shown,
                                 char **out)
{
    char **strings;
    size_t n;
    *out = NULL;
    CNNBN_TRY(cnnbn__h5_read_strings(file, object, name, shown, &strings, &n));
    if (!strings) return CNNBN_OK;
    cnnbn_status status = n == 1 ? cnnbn_strdup(strings[0], out)
                                 : cnnbn_error(file->bad, "%s: attribute %s of %s holds %zu strings, expected 1",
                                               file->path, name, shown, n);
    cnnbn_free(strings);
    return status;
}

cnnbn_status cnnbn__h5_read_floats(const cnnbn__h5_file *file, hid_t object, const char *name, const char *shown,
                                   float **out, size_t *n)
{
    *out = NULL;
    *n = 0;
    cnnbn__h5_scope scope;
    cnnbn__h5_enter(&scope);
    attribute attr;
    cnnbn_status status = open_attribute(&scope, file, object, name, shown, &attr);
    if (status == CNNBN_OK && attr.id >= 0) {
        void *values = NULL;
        if (attr.kind != H5T_FLOAT && attr.kind != H5T_INTEGER)
            status = cnnbn_error(file->bad, "%s: attribute %s of %s is not a number, expected numbers", file->path,
                                 name, shown);
        else
            status = cnnbn_alloc_array(attr.n, sizeof(float), "the numbers of an attribute", &values);
        if (status == CNNBN_OK && attr.n && H5Aread(attr.id, H5T_NATIVE_FLOAT, values) < 0) {
            cnnbn_free(values);
            status = unreadable(file, name, shown);
        }
        if (status == CNNBN_OK) {
            *out = values;
            *n = attr.n;
        }
    }
    cnnbn__h5_leave(&scope);
    return status;
}

static herr_t write_attribute(hid_t object, const char *name, hid_t file_type, hid_t mem_type, hid_t space,
                              const void *value, int empty)
{
    herr_t result = -1;
    hid_t attr = H5Acreate2(object, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (attr >= 0) result = empty ? 0 : H5Awrite(attr, mem_type, value);
    if (attr >= 0 && H5Aclose(attr) < 0) result = -1;
    return result;
}

static hid_t text_type(void)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    (void)H5Tset_size(type, H5T_VARIABLE);
    (void)H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

herr_t cnnbn__h5_write_strings(hid_t object, const char *name, const char *const *texts, size_t n)
{
    hsize_t dim = n;
    hid_t type = text_type(), space = H5Screate_simple(1, &dim, NULL);
    herr_t result = write_attribute(object, name, type, type, space, texts, n == 0);
    cnnbn__h5_release(space);
    cnnbn__h5_release(type);
    return result;
}

herr_t cnnbn__h5_write_text(hid_t object, const char *name, const char *text)
{
    hid_t type = text_type(), space = H5Screate(H5S_SCALAR);
    herr_t result = write_attribute(object, name, type, type, space, &text, 0);
    cnnbn__h5_release(space);
    cnnbn__h5_release(type);
    return result;
}

herr_t cnnbn__h5_write_number(hid_t object, const char *name, hid_t file_type, hid_t mem_type, const void *value)
{
    hid_t space = H5Screate(H5S_SCALAR);
    herr_t result = write_attribute(object, name, file_type, mem_type, space, value, 0);
    cnnbn__h5_release(space);
    return result;
}
