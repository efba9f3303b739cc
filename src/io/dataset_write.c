#include "dataset_internal.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "file_internal.h"
#include "h5_output.h"

/* A chunk is what one random read has to fetch and unpack: small, but not so small that its index weighs. */
enum { CHUNK_BYTES = 64 * 1024, LABELS_CHUNK = 16384 };

struct cnnbn_dataset_writer {
    char *path, *temporary;
    hid_t file;
    cnnbn__h5_output output;
    int rank; /* of the images: 3 squeezed, else 4 */
    cnnbn_shape shape;
    int n_classes, n_targets;
    struct {
        size_t n, written;
        hid_t images, labels;
    } split[CNNBN_SPLITS];
};

/* The disk's word first: HDF5 does not hear of it. */
static cnnbn_status failed(const cnnbn_dataset_writer *writer, const char *what)
{
    return cnnbn_error(CNNBN_ERR_IO, "%s: %s cannot be written: %s", writer->temporary, what,
                       writer->output.error ? strerror(writer->output.error) : cnnbn__h5_reason());
}

static void destroy(cnnbn_dataset_writer *writer)
{
    cnnbn_free(writer->path);
    cnnbn_free(writer->temporary);
    cnnbn_free(writer);
}

static herr_t close_file(cnnbn_dataset_writer *writer)
{
    cnnbn__h5_scope scope;
    cnnbn__h5_enter(&scope);
    for (int s = 0; s < CNNBN_SPLITS; s++) {
        (void)cnnbn__h5_own(&scope, writer->split[s].images);
        (void)cnnbn__h5_own(&scope, writer->split[s].labels);
        writer->split[s].images = writer->split[s].labels = H5I_INVALID_HID;
    }
    hid_t file = writer->file;
    writer->file = H5I_INVALID_HID;
    while (scope.n > 0) cnnbn__h5_release(scope.ids[--scope.n]);
    herr_t result = file >= 0 ? H5Fclose(file) : 0;
    cnnbn__h5_leave(&scope);
    return result;
}

void cnnbn_dataset_writer_abort(cnnbn_dataset_writer *writer)
{
    if (!writer) return;
    (void)close_file(writer);
    if (writer->temporary) (void)unlink(writer->temporary);
    destroy(writer);
}

static hid_t create_chunked(cnnbn__h5_scope *scope, hid_t file, const char *name, hid_t type, int rank,
                            const hsize_t *dim, const hsize_t *chunk, int gzip)
{
    hid_t space = cnnbn__h5_own(scope, H5Screate_simple(rank, dim, NULL));
    hid_t create = cnnbn__h5_own(scope, H5Pcreate(H5P_DATASET_CREATE));
    hid_t access = cnnbn__h5_own(scope, H5Pcreate(H5P_DATASET_ACCESS));
    (void)H5Pset_chunk(create, rank, chunk);
    (void)H5Pset_fill_time(create, H5D_FILL_TIME_NEVER);
    (void)H5Pset_obj_track_times(create, 0); /* the same data make the same file */
    if (gzip) (void)H5Pset_deflate(create, (unsigned)gzip);
    (void)H5Pset_fletcher32(create);
    (void)H5Pset_chunk_cache(access, 521, (size_t)4 << 20, 1.0);
    return H5Dcreate2(file, name, type, space, H5P_DEFAULT, create, access);
}

static cnnbn_status create_split(cnnbn_dataset_writer *writer, cnnbn__h5_scope *scope, int split, size_t n, int gzip)
{
    static const char *const x_names[] = {"x_train", "x_test"}, *const y_names[] = {"y_train", "y_test"};
    writer->split[split].n = n;
    if (n == 0) return CNNBN_OK;
    const int *dim = writer->shape.dim;
    size_t per_chunk = (size_t)CHUNK_BYTES / cnnbn_shape_count(writer->shape);
    if (per_chunk == 0) per_chunk = 1;
    hsize_t shape[4] = {n, (hsize_t)dim[0], (hsize_t)dim[1], (hsize_t)dim[2]};
    hsize_t chunk[4] = {n < per_chunk ? n : per_chunk, shape[1], shape[2], shape[3]};
    hid_t label_type = writer->n_targets ? H5T_IEEE_F32LE : writer->n_classes <= 256 ? H5T_STD_U8LE : H5T_STD_I32LE;
    hsize_t y_shape[2] = {n, (hsize_t)writer->n_targets},
            y_chunk[2] = {n < LABELS_CHUNK ? n : LABELS_CHUNK, y_shape[1]};
    if (writer->n_targets > 1) y_chunk[0] = y_chunk[0] / y_shape[1] + 1;
    writer->split[split].images =
        create_chunked(scope, writer->file, x_names[split], H5T_STD_U8LE, writer->rank, shape, chunk, gzip);
    if (writer->split[split].images < 0) return failed(writer, x_names[split]);
    writer->split[split].labels = create_chunked(scope, writer->file, y_names[split], label_type,
                                                 writer->n_targets > 1 ? 2 : 1, y_shape, y_chunk, gzip);
    if (writer->split[split].labels < 0) return failed(writer, y_names[split]);
    return CNNBN_OK;
}

static cnnbn_status create_file(cnnbn_dataset_writer *writer, cnnbn__h5_scope *scope, const cnnbn_dataset_spec *spec)
{
    hid_t access = cnnbn__h5_own(scope, H5Pcreate(H5P_FILE_ACCESS));
#if H5_VERSION_GE(1, 10, 2)
    (void)H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_V18);
#endif
    writer->file = cnnbn__h5_create_output(writer->temporary, access, &writer->output);
    if (writer->file < 0 && writer->output.error)
        return cnnbn_error(CNNBN_ERR_IO, "%s: cannot be created: %s", writer->temporary,
                           strerror(writer->output.error));
    if (writer->file < 0) return failed(writer, "it");
    for (int s = 0; s < CNNBN_SPLITS; s++) CNNBN_TRY(create_split(writer, scope, s, spec->n[s], spec->gzip));
    if (spec->class_names &&
        cnnbn__h5_write_strings(writer->file, "class_names", spec->class_names, (size_t)spec->n_classes) < 0)
        return failed(writer, "attribute class_names");
    if (spec->source && cnnbn__h5_write_text(writer->file, "source", spec->source) < 0)
        return failed(writer, "attribute source");
    if (spec->licence && cnnbn__h5_write_text(writer->file, "licence", spec->licence) < 0)
        return failed(writer, "attribute licence");
    return writer->output.error ? failed(writer, "it") : CNNBN_OK;
}

/* Attributes lie in an object header of at most 64 KB: 16 bytes a name. */
enum { CLASS_NAMES_MAX = 4000 };

static cnnbn_status check_spec(const char *path, const cnnbn_dataset_spec *spec)
{
    const int *dim = spec->shape.dim;
    if (spec->n[CNNBN_TRAIN] == 0)
        return cnnbn_error(CNNBN_ERR_DATA, "%s: no training samples, expected at least 1", path);
    if (spec->shape.rank != 3 || dim[0] < 1 || dim[1] < 1 || dim[2] < 1 || (int64_t)dim[0] * dim[1] > INT_MAX / dim[2])
        return cnnbn_error(CNNBN_ERR_DATA, "%s: images of %d x %d x %d, expected at least 1 and at most %d values",
                           path, dim[0], dim[1], dim[2], INT_MAX);
    if (spec->n_classes < 1)
        return cnnbn_error(CNNBN_ERR_DATA, "%s: %d classes, expected at least 1", path, spec->n_classes);
    if (spec->class_names && spec->n_classes > CLASS_NAMES_MAX)
        return cnnbn_error(CNNBN_ERR_DATA, "%s: %d class names, expected at most %d: leave them out", path,
                           spec->n_classes, CLASS_NAMES_MAX);
    if (spec->gzip < 0 || spec->gzip > 9)
        return cnnbn_error(CNNBN_ERR_OPTION, "gzip level %d, expected 0 (none) to 9", spec->gzip);
    return CNNBN_OK;
}

cnnbn_status cnnbn_dataset_writer_create(const char *path, const cnnbn_dataset_spec *spec, cnnbn_dataset_writer **out)
{
    void *block;
    *out = NULL;
    CNNBN_TRY(check_spec(path, spec));
    CNNBN_TRY(cnnbn_alloc(sizeof(cnnbn_dataset_writer), "a dataset's writer", &block));
    cnnbn_dataset_writer *writer = block;
    writer->file = H5I_INVALID_HID;
    for (int s = 0; s < CNNBN_SPLITS; s++) writer->split[s].images = writer->split[s].labels = H5I_INVALID_HID;
    writer->shape = spec->shape;
    writer->rank = spec->squeeze && spec->shape.dim[2] == 1 ? 3 : 4;
    writer->n_classes = spec->n_classes;
    writer->n_targets = spec->n_targets;

    cnnbn_status status = cnnbn_strdup(path, &writer->path);
    if (status == CNNBN_OK) status = cnnbn__file_temporary(path, &writer->temporary);
    if (status != CNNBN_OK) {
        destroy(writer);
        return status;
    }
    cnnbn__h5_scope scope;
    cnnbn__h5_enter(&scope);
    status = create_file(writer, &scope, spec);
    cnnbn__h5_leave(&scope);
    if (status == CNNBN_OK)
        *out = writer;
    else
        cnnbn_dataset_writer_abort(writer);
    return status;
}

static herr_t append(hid_t dataset, hid_t type, int rank, const hsize_t *start, const hsize_t *count, const void *data)
{
    cnnbn__h5_scope scope;
    cnnbn__h5_enter(&scope);
    hid_t space = cnnbn__h5_own(&scope, H5Dget_space(dataset));
    hid_t memory = cnnbn__h5_own(&scope, H5Screate_simple(rank, count, NULL));
    herr_t result = H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL);
    if (result >= 0) result = H5Dwrite(dataset, type, memory, space, H5P_DEFAULT, data);
    cnnbn__h5_leave(&scope);
    return result;
}

/* One of labels and targets. */
static cnnbn_status append_samples(cnnbn_dataset_writer *writer, cnnbn_split split, size_t count, const uint8_t *images,
                                   const int32_t *labels, const float *targets)
{
    size_t n = writer->split[split].n, done = writer->split[split].written;
    if (count == 0) return CNNBN_OK;
    if (!labels != (writer->n_targets > 0))
        return cnnbn_error(CNNBN_ERR_INTERNAL, "%s: class numbers and values are mixed", writer->path);
    if (count > n - done)
        return cnnbn_error(CNNBN_ERR_DATA, "%s: %zu samples for the %s split, expected %zu", writer->path, done + count,
                           split == CNNBN_TRAIN ? "training" : "test", n);
    for (size_t i = 0; labels && i < count; i++)
        if (labels[i] < 0 || labels[i] >= writer->n_classes)
            return cnnbn_error(CNNBN_ERR_DATA, "%s: label %d at sample %zu, expected 0 to %d", writer->path, labels[i],
                               done + i, writer->n_classes - 1);
    const int *dim = writer->shape.dim;
    hsize_t start[4] = {done, 0, 0, 0};
    hsize_t block[4] = {count, (hsize_t)dim[0], (hsize_t)dim[1], (hsize_t)dim[2]};
    const hsize_t y_block[2] = {count, (hsize_t)writer->n_targets};
    if (append(writer->split[split].images, H5T_NATIVE_UINT8, writer->rank, start, block, images) < 0)
        return failed(writer, "images");
    if (append(writer->split[split].labels, labels ? H5T_NATIVE_INT32 : H5T_NATIVE_FLOAT, writer->n_targets > 1 ? 2 : 1,
               start, y_block, labels ? (const void *)labels : targets) < 0)
        return failed(writer, labels ? "labels" : "values of y");
    if (writer->output.error) return failed(writer, "images");
    writer->split[split].written += count;
    return CNNBN_OK;
}

cnnbn_status cnnbn_dataset_writer_append(cnnbn_dataset_writer *writer, cnnbn_split split, size_t count,
                                         const uint8_t *images, const int32_t *labels)
{
    return append_samples(writer, split, count, images, labels, NULL);
}

cnnbn_status cnnbn_dataset_writer_append_targets(cnnbn_dataset_writer *writer, cnnbn_split split, size_t count,
                                                 const uint8_t *images, const float *targets)
{
    return append_samples(writer, split, count, images, NULL, targets);
}

static cnnbn_status check_counts(const cnnbn_dataset_writer *writer)
{
    for (int s = 0; s < CNNBN_SPLITS; s++)
        if (writer->split[s].written != writer->split[s].n)
            return cnnbn_error(CNNBN_ERR_DATA, "%s: %zu samples came for the %s split, expected %zu", writer->path,
                               writer->split[s].written, s == CNNBN_TRAIN ? "training" : "test", writer->split[s].n);
    return CNNBN_OK;
}

cnnbn_status cnnbn_dataset_writer_end(cnnbn_dataset_writer *writer)
{
    cnnbn_status status = check_counts(writer);
    /* HDF5 writes much of its file only now; output.error is the last word. */
    if (status == CNNBN_OK && (close_file(writer) < 0 || writer->output.error)) status = failed(writer, "data");
    if (status != CNNBN_OK) {
        cnnbn_dataset_writer_abort(writer);
        return status;
    }
    status = cnnbn__file_publish(writer->temporary, writer->path);
    destroy(writer);
    return status;
}
