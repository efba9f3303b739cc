#include "dataset_internal.h"
#include "trial.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "cnnbn/log.h"

static const char *const keras_x[CNNBN_SPLITS] = {"x_train", "x_test"};
static const char *const keras_y[CNNBN_SPLITS] = {"y_train", "y_test"};

/* More classes than any data set has; without class_names a wild label would otherwise make a wild layer. */
static const int64_t classes_max = 1000000;

/* 28x28 greys and floats; what a numpy array has by accident (float64, int64) is named with its cure. */
static cnnbn_status check_image_type(const cnnbn__h5_file *file, const cnnbn__h5_array *x, const char *shown)
{
    int is_u8 = x->kind == H5T_INTEGER && x->elem_bytes == 1 && !x->is_signed;
    int is_f32 = x->kind == H5T_FLOAT && x->elem_bytes == 4;
    if (is_u8 || is_f32) return CNNBN_OK;
    char text[200];
    return cnnbn_error(file->bad, "%s: %s is %s, expected uint8 (scaled by 1/255) or float32 (taken as it is): %s",
                       file->path, shown, cnnbn__h5_array_text(x, text, sizeof text),
                       x->kind == H5T_FLOAT ? "store x.astype('float32')" : "store x.astype('uint8')");
}

static cnnbn_status image_shape(const cnnbn__h5_file *file, const cnnbn__h5_array *x, const char *shown,
                                cnnbn_shape *shape)
{
    char text[200];
    if (x->rank != 3 && x->rank != 4)
        return cnnbn_error(file->bad, "%s: %s is %s, expected (N, H, W) or (N, H, W, C)", file->path, shown,
                           cnnbn__h5_array_text(x, text, sizeof text));
    size_t count = 1;
    *shape = (cnnbn_shape){.rank = 3, .dim = {1, 1, 1}};
    for (int i = 1; i < x->rank; i++) {
        if (x->dim[i] == 0 || x->dim[i] > INT_MAX || x->dim[i] > INT_MAX / count)
            return cnnbn_error(file->bad,
                               "%s: %s is %s, expected at least 1 in each dimension and at most %d values a sample",
                               file->path, shown, cnnbn__h5_array_text(x, text, sizeof text), INT_MAX);
        shape->dim[i - 1] = (int)x->dim[i];
        count *= x->dim[i];
    }
    return CNNBN_OK;
}

static cnnbn_status check_label_shape(const cnnbn__h5_file *file, const cnnbn__h5_array *y, const char *shown, size_t n,
                                      const char *x_shown)
{
    char text[200];
    (void)cnnbn__h5_array_text(y, text, sizeof text);
    if (y->kind != H5T_INTEGER)
        return cnnbn_error(file->bad,
                           "%s: %s is %s, expected class numbers (integers) or values (integers or floats, (N, K)): "
                           "store y.astype('int64')",
                           file->path, shown, text);
    if (!(y->rank == 1 || (y->rank == 2 && y->dim[1] == 1)))
        return cnnbn_error(file->bad, "%s: %s is %s, expected (N,) or (N, K)", file->path, shown, text);
    if (y->dim[0] != n)
        return cnnbn_error(file->bad, "%s: %s has %zu samples and %s has %zu labels, expected as many", file->path,
                           x_shown, n, shown, y->dim[0]);
    return CNNBN_OK;
}

static cnnbn_status read_labels(const cnnbn__h5_file *file, const cnnbn__h5_array *y, const char *shown,
                                int n_class_names, int32_t **out, int64_t *greatest)
{
    void *wide, *labels;
    CNNBN_TRY(cnnbn_alloc_array(y->count, sizeof(int64_t), "labels", &wide));
    cnnbn_status status = cnnbn__h5_read_array(file, y, shown, H5T_NATIVE_INT64, wide);
    if (status == CNNBN_OK) status = cnnbn_alloc_array(y->count, sizeof(int32_t), "labels", &labels);
    if (status != CNNBN_OK) {
        cnnbn_free(wide);
        return status;
    }
    const int64_t *from = wide;
    int64_t limit = n_class_names ? n_class_names : classes_max;
    size_t i;
    for (i = 0; i < y->count && from[i] >= 0 && from[i] < limit; i++) {
        ((int32_t *)labels)[i] = (int32_t)from[i];
        if (from[i] > *greatest) *greatest = from[i];
    }
    if (i < y->count) {
        status = cnnbn_error(file->bad, "%s: %s: label %lld at sample %zu, expected 0 to %lld%s", file->path, shown,
                             (long long)from[i], i, (long long)limit - 1, n_class_names ? " (class_names)" : "");
        cnnbn_free(labels);
    } else {
        *out = labels;
    }
    cnnbn_free(wide);
    return status;
}

static cnnbn_status open_images(cnnbn_dataset *dataset, cnnbn__h5_scope *scope, const cnnbn__h5_file *file, int split,
                                const char *name)
{
    cnnbn_dataset_info *info = &dataset->info;
    cnnbn__h5_array x;
    cnnbn_shape shape;
    CNNBN_TRY(cnnbn_strdup(name, &dataset->split[split].shown));
    CNNBN_TRY(cnnbn__h5_open_array(scope, file, file->id, name, name, &x));
    CNNBN_TRY(image_shape(file, &x, name, &shape));
    CNNBN_TRY(check_image_type(file, &x, name));
    if (split == CNNBN_TRAIN) {
        if (x.dim[0] == 0)
            return cnnbn_error(file->bad, "%s: %s has no samples, expected at least 1", file->path, name);
        info->shape = shape;
        info->is_u8 = x.kind == H5T_INTEGER;
        info->sample_bytes = cnnbn_shape_count(shape) * x.elem_bytes;
        info->chunk_samples = x.chunked ? x.chunk[0] : 0;
        if (shape.dim[2] > 16 && (shape.dim[0] == 1 || shape.dim[0] == 3))
            cnnbn_warn("%s: %s looks channels-first (%d channels of %d x %d are read): expected (N, H, W, C)",
                       file->path, name, shape.dim[2], shape.dim[0], shape.dim[1]);
    } else if (memcmp(&shape, &info->shape, sizeof shape) != 0 || (x.kind == H5T_INTEGER) != info->is_u8) {
        char train[48], text[200];
        return cnnbn_error(file->bad, "%s: %s is %s, expected %s samples of shape %s like the training images",
                           file->path, name, cnnbn__h5_array_text(&x, text, sizeof text),
                           info->is_u8 ? "uint8" : "float32", cnnbn_shape_text(info->shape, train, sizeof train));
    }
    info->n[split] = x.dim[0];
    dataset->split[split].chunk_samples = x.chunked ? x.chunk[0] : 0;
    dataset->split[split].rank = x.rank;
    dataset->split[split].images = x.id;
    cnnbn__h5_disown(scope, x.id);
    return CNNBN_OK;
}

static cnnbn_status missing(const cnnbn__h5_file *file, const char *name)
{
    char names[300];
    return cnnbn_error(file->bad, "%s: has no dataset %s; it holds: %s", file->path, name,
                       cnnbn__h5_list(file->id, names, sizeof names));
}

static cnnbn_status open_split(cnnbn_dataset *dataset, cnnbn__h5_scope *scope, const cnnbn__h5_file *file, int split,
                               const char *x_wish, const char *y_wish, int64_t *greatest)
{
    const char *x_name = x_wish ? x_wish : keras_x[split], *y_name = y_wish ? y_wish : keras_y[split];
    int has_x = cnnbn__h5_exists(file->id, x_name), has_y = cnnbn__h5_exists(file->id, y_name);
    if (split == CNNBN_TEST && !has_x && !has_y && !x_wish && !y_wish) return CNNBN_OK;
    if (!has_x) return missing(file, x_name);
    if (!has_y) return missing(file, y_name);
    CNNBN_TRY(open_images(dataset, scope, file, split, x_name));
    cnnbn__h5_array y;
    CNNBN_TRY(cnnbn_strdup(y_name, &dataset->split[split].targets_shown));
    CNNBN_TRY(cnnbn__h5_open_array(scope, file, file->id, y_name, y_name, &y));
    if (cnnbn__dataset_is_values(&y) || (split == CNNBN_TEST && dataset->info.n_targets))
        return cnnbn__dataset_open_targets(dataset, scope, file, split, &y, y_name);
    CNNBN_TRY(check_label_shape(file, &y, y_name, dataset->info.n[split], x_name));
    return read_labels(file, &y, y_name, dataset->class_names ? dataset->info.n_classes : 0,
                       &dataset->split[split].labels, greatest);
}

static cnnbn_status read_statistic(const cnnbn__h5_file *file, const char *name, float **out, size_t *n)
{
    CNNBN_TRY(cnnbn__h5_read_floats(file, file->id, name, "/", out, n));
    for (size_t c = 0; c < *n; c++)
        if (!isfinite((*out)[c]) || (strcmp(name, "std") == 0 && (*out)[c] <= 0))
            return cnnbn_error(file->bad, "%s: attribute %s of / is %g at channel %zu, expected a finite number%s",
                               file->path, name, (double)(*out)[c], c, strcmp(name, "std") == 0 ? " above 0" : "");
    return CNNBN_OK;
}

/* One number for all channels is spread; absent ones (when the other is there) are 0 and 1. */
static cnnbn_status fit_statistic(const cnnbn__h5_file *file, const char *name, int channels, float absent,
                                  float **values, size_t n)
{
    if (*values && n == (size_t)channels) return CNNBN_OK;
    if (*values && n != 1)
        return cnnbn_error(file->bad,
                           "%s: attribute %s of / has %zu numbers, expected %d, one a channel (or 1 for all)",
                           file->path, name, n, channels);
    void *all;
    CNNBN_TRY(cnnbn_alloc_array((size_t)channels, sizeof(float), "mean and std", &all));
    for (int c = 0; c < channels; c++) ((float *)all)[c] = *values ? **values : absent;
    cnnbn_free(*values);
    *values = all;
    return CNNBN_OK;
}

static cnnbn_status read_attributes(cnnbn_dataset *dataset, const cnnbn__h5_file *file)
{
    size_t n_names;
    CNNBN_TRY(cnnbn__h5_read_strings(file, file->id, "class_names", "/", &dataset->class_names, &n_names));
    if (dataset->class_names && (n_names == 0 || n_names > (size_t)classes_max))
        return cnnbn_error(file->bad, "%s: attribute class_names of / holds %zu names, expected 1 to %lld", file->path,
                           n_names, (long long)classes_max);
    dataset->info.n_classes = (int)n_names;
    CNNBN_TRY(cnnbn__h5_read_text(file, file->id, "source", "/", &dataset->source));
    return cnnbn__h5_read_text(file, file->id, "licence", "/", &dataset->licence);
}

static cnnbn_status read_statistics(cnnbn_dataset *dataset, const cnnbn__h5_file *file)
{
    size_t n_mean, n_std;
    int channels = dataset->info.shape.dim[2];
    CNNBN_TRY(read_statistic(file, "mean", &dataset->mean, &n_mean));
    CNNBN_TRY(read_statistic(file, "std", &dataset->std, &n_std));
    if (!dataset->mean && !dataset->std) return CNNBN_OK;
    CNNBN_TRY(fit_statistic(file, "mean", channels, 0, &dataset->mean, n_mean));
    return fit_statistic(file, "std", channels, 1, &dataset->std, n_std);
}

static cnnbn_status fill(cnnbn_dataset *dataset, cnnbn__h5_scope *scope, const cnnbn_dataset_paths *paths)
{
    cnnbn__h5_file file;
    int64_t greatest = 0;
    CNNBN_TRY(cnnbn__h5_open_file(scope, dataset->path, CNNBN_ERR_DATA, &file));
    CNNBN_TRY(read_attributes(dataset, &file));
    CNNBN_TRY(open_split(dataset, scope, &file, CNNBN_TRAIN, paths->x_train, paths->y_train, &greatest));
    CNNBN_TRY(open_split(dataset, scope, &file, CNNBN_TEST, paths->x_test, paths->y_test, &greatest));
    CNNBN_TRY(read_statistics(dataset, &file));

    cnnbn_dataset_info *info = &dataset->info;
    info->path = dataset->path;
    if (!dataset->class_names) info->n_classes = info->n_targets ? info->n_targets : (int)greatest + 1;
    info->class_names = (const char *const *)dataset->class_names;
    info->y_name = dataset->split[CNNBN_TRAIN].targets_shown;
    info->mean = dataset->mean;
    info->std = dataset->std;
    info->source = dataset->source ? dataset->source : "";
    info->licence = dataset->licence ? dataset->licence : "";
    dataset->file = file.id;
    cnnbn__h5_disown(scope, file.id);
    return CNNBN_OK;
}

static cnnbn_status open_dataset(const char *path, const cnnbn_dataset_paths *paths, cnnbn_dataset **out)
{
    void *block;
    *out = NULL;
    CNNBN_TRY(cnnbn_alloc(sizeof(cnnbn_dataset), "a dataset", &block));
    cnnbn_dataset *dataset = block;
    dataset->file = H5I_INVALID_HID;
    for (int s = 0; s < CNNBN_SPLITS; s++) dataset->split[s].images = dataset->split[s].targets = H5I_INVALID_HID;

    cnnbn__h5_scope scope;
    cnnbn__h5_enter(&scope);
    cnnbn_status status = cnnbn_strdup(path, &dataset->path);
    if (status == CNNBN_OK) status = fill(dataset, &scope, paths);
    cnnbn__h5_leave(&scope);
    if (status == CNNBN_OK)
        *out = dataset;
    else
        cnnbn_dataset_close(dataset);
    return status;
}

typedef struct request {
    const char *path;
    const cnnbn_dataset_paths *paths;
} request;

/* All that HDF5 parses of a dataset is parsed when it is opened, each chunk's place included, but for the data: of those one image
 * of each split is enough, as the filters that unpack them (filters_of in h5_array.c) check what they do. */
static cnnbn_status try_dataset(void *context)
{
    const request *r = context;
    cnnbn_dataset *dataset;
    void *image;
    CNNBN_TRY(open_dataset(r->path, r->paths, &dataset));
    CNNBN_TRY(cnnbn_alloc(dataset->info.sample_bytes, "an image", &image));
    for (int s = 0; s < CNNBN_SPLITS; s++) {
        if (dataset->info.n[s] == 0) continue;
        cnnbn_status ignored =
            cnnbn_dataset_read(dataset, (cnnbn_split)s, 0, 1, image); /* told when it is read in earnest */
        (void)ignored;
    }
    return CNNBN_OK;
}

cnnbn_status cnnbn_dataset_open(const char *path, const cnnbn_dataset_paths *paths, cnnbn_dataset **out)
{
    static const cnnbn_dataset_paths keras = {0};
    request r = {path, paths ? paths : &keras};
    *out = NULL;
    CNNBN_TRY(cnnbn__trial(path, CNNBN_ERR_DATA, try_dataset, &r));
    return open_dataset(path, r.paths, out);
}

void cnnbn_dataset_close(cnnbn_dataset *dataset)
{
    if (!dataset) return;
    cnnbn__h5_scope scope;
    cnnbn__h5_enter(&scope);
    (void)cnnbn__h5_own(&scope, dataset->file);
    for (int s = 0; s < CNNBN_SPLITS; s++) {
        (void)cnnbn__h5_own(&scope, dataset->split[s].images);
        (void)cnnbn__h5_own(&scope, dataset->split[s].targets);
    }
    cnnbn__h5_leave(&scope);
    for (int s = 0; s < CNNBN_SPLITS; s++) {
        cnnbn_free(dataset->split[s].shown);
        cnnbn_free(dataset->split[s].targets_shown);
        cnnbn_free(dataset->split[s].labels);
    }
    cnnbn_free(dataset->class_names);
    cnnbn_free(dataset->mean);
    cnnbn_free(dataset->std);
    cnnbn_free(dataset->source);
    cnnbn_free(dataset->licence);
    cnnbn_free(dataset->path);
    cnnbn_free(dataset);
}

const cnnbn_dataset_info *cnnbn_dataset_get_info(const cnnbn_dataset *dataset)
{
    return &dataset->info;
}

const int32_t *cnnbn_dataset_labels(const cnnbn_dataset *dataset, cnnbn_split split)
{
    return dataset->split[split].labels;
}
