#include "keras_internal.h"

#include <string.h>

/* HDF5's core driver wants a name; nothing can be under this one. */
static const char nowhere[] = "/dev/null/image";

cnnbn_status cnnbn__h5_open_image(cnnbn__h5_scope *scope, const char *path, void *data, size_t bytes, cnnbn_status bad,
                                  cnnbn__h5_file *file)
{
    static const unsigned char signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    *file = (cnnbn__h5_file){.id = H5I_INVALID_HID, .path = path, .bytes = bytes, .bad = bad};
    if (bytes < sizeof signature || memcmp(data, signature, sizeof signature) != 0)
        return cnnbn_error(bad, "%s: its model.weights.h5 is not an HDF5 file", path);
    hid_t access = cnnbn__h5_own(scope, H5Pcreate(H5P_FILE_ACCESS));
    (void)H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    if (H5Pset_fapl_core(access, (size_t)1 << 20, 0) >= 0 && H5Pset_file_image(access, data, bytes) >= 0)
        file->id = cnnbn__h5_own(scope, H5Fopen(nowhere, H5F_ACC_RDONLY, access));
    if (file->id >= 0) return CNNBN_OK;
    return cnnbn_error(bad, "%s: HDF5 cannot open its weights, damaged? (%s)", path, cnnbn__h5_reason());
}

hid_t cnnbn__h5_create_image(cnnbn__h5_scope *scope, size_t step)
{
    hid_t access = cnnbn__h5_own(scope, H5Pcreate(H5P_FILE_ACCESS));
    if (H5Pset_fapl_core(access, step, 0) < 0) return H5I_INVALID_HID;
#if H5_VERSION_GE(1, 10, 2)
    (void)H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_V18);
#endif
    (void)H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    return cnnbn__h5_own(scope, H5Fcreate(nowhere, H5F_ACC_TRUNC, H5P_DEFAULT, access));
}

cnnbn_status cnnbn__h5_take_image(hid_t file, const char *path, void **out, size_t *bytes)
{
    *out = NULL;
    *bytes = 0;
    ssize_t size = H5Fflush(file, H5F_SCOPE_GLOBAL) < 0 ? -1 : H5Fget_file_image(file, NULL, 0);
    if (size > 0) {
        CNNBN_TRY(cnnbn_alloc((size_t)size, "an HDF5 file", out));
        if (H5Fget_file_image(file, *out, (size_t)size) == size) {
            *bytes = (size_t)size;
            return CNNBN_OK;
        }
        cnnbn_free(*out);
        *out = NULL;
    }
    return cnnbn_error(CNNBN_ERR_INTERNAL, "%s: HDF5 cannot make the weights' file (%s)", path, cnnbn__h5_reason());
}
