/* What a data set's y holds where it is no list of class numbers: one-hot and soft classes, several classes a sample, numbers. */
#include "dataset_internal.h"

#include <limits.h>
#include <math.h>

static const size_t look_bytes = (size_t)4 << 20;

int cnnbn__dataset_is_values(const cnnbn__h5_array *y)
{
    return y->kind == H5T_FLOAT || (y->kind == H5T_INTEGER && y->rank == 2 && y->dim[1] != 1);
}

/* Samples that are read at once. */
static size_t look_samples(const cnnbn_dataset_info *info)
{
    size_t n = look_bytes / ((size_t)info->n_targets * sizeof(float));
    return n ? n : 1;
}

static cnnbn_status look_at_values(cnnbn_dataset *dataset, int split, const float *values, size_t first, size_t count)
{
    cnnbn_dataset_info *info = &dataset->info;
    size_t K = (size_t)info->n_targets;
    for (size_t i = 0; i < count; i++) {
        double sum = 0;
        for (size_t k = 0; k < K; k++) {
            float t = values[i * K + k];
            if (!isfinite(t))
                return cnnbn_error(CNNBN_ERR_DATA, "%s: %s: sample %zu holds %s at value %zu, expected finite numbers",
                                   dataset->path, dataset->split[split].targets_shown, first + i,
                                   isnan(t) ? "NaN" : "an infinity", k);
            if (t < info->target_least) info->target_least = t;
            if (t > info->target_most) info->target_most = t;
            sum += (double)t;
        }
        if (fabs(sum - 1) > info->target_sum_error) info->target_sum_error = fabs(sum - 1);
    }
    return CNNBN_OK;
}

static cnnbn_status look_at_split(cnnbn_dataset *dataset, int split)
{
    size_t n = dataset->info.n[split], room = look_samples(&dataset->info);
    void *values;
    if (room > n) room = n;
    CNNBN_TRY(cnnbn_alloc_array(room * (size_t)dataset->info.n_targets, sizeof(float), "values of y", &values));
    cnnbn_status status = CNNBN_OK;
    for (size_t i = 0; i < n && status == CNNBN_OK; i += room) {
        size_t count = n - i < room ? n - i : room;
        status = cnnbn_dataset_read_targets(dataset, (cnnbn_split)split, i, count, values);
        if (status == CNNBN_OK) status = look_at_values(dataset, split, values, i, count);
    }
    cnnbn_free(values);
    return status;
}

static cnnbn_status check_shape(const cnnbn_dataset *dataset, const cnnbn__h5_file *file, int split,
                                const cnnbn__h5_array *y, const char *shown)
{
    const cnnbn_dataset_info *info = &dataset->info;
    char text[200];
    (void)cnnbn__h5_array_text(y, text, sizeof text);
    size_t K = y->rank == 2 ? y->dim[1] : 1;
    if (y->rank > 2 || K == 0 || K > INT_MAX / 2)
        return cnnbn_error(file->bad, "%s: %s is %s, expected (N,) or (N, K)", file->path, shown, text);
    if (y->dim[0] != info->n[split])
        return cnnbn_error(file->bad, "%s: %s has %zu samples and %s has values of %zu, expected as many", file->path,
                           dataset->split[split].shown, info->n[split], shown, y->dim[0]);
    if (split == CNNBN_TEST && info->n_targets != (int)K)
        return cnnbn_error(file->bad, "%s: %s is %s, expected %s like the training set's", file->path, shown, text,
                           info->n_targets ? "as many values a sample" : "class numbers");
    if (dataset->class_names && info->n_classes != (int)K)
        return cnnbn_error(file->bad, "%s: %s is %s and class_names holds %d names, expected %zu, one a column",
                           file->path, shown, text, info->n_classes, K);
    return CNNBN_OK;
}

cnnbn_status cnnbn__dataset_open_targets(cnnbn_dataset *dataset, cnnbn__h5_scope *scope, const cnnbn__h5_file *file,
                                         int split, const cnnbn__h5_array *y, const char *shown)
{
    cnnbn_dataset_info *info = &dataset->info;
    CNNBN_TRY(check_shape(dataset, file, split, y, shown));
    if (split == CNNBN_TRAIN) {
        info->n_targets = y->rank == 2 ? (int)y->dim[1] : 1;
        info->target_least = INFINITY;
        info->target_most = -INFINITY;
    }
    dataset->split[split].target_rank = y->rank;
    dataset->split[split].targets = y->id;
    cnnbn__h5_disown(scope, y->id);
    return look_at_split(dataset, split);
}

cnnbn_status cnnbn_dataset_read_targets(cnnbn_dataset *dataset, cnnbn_split split, size_t first, size_t count,
                                        float *targets)
{
    const cnnbn_dataset_info *info = &dataset->info;
    if (!info->n_targets || first > info->n[split] || count > info->n[split] - first)
        return cnnbn_error(CNNBN_ERR_INTERNAL, "%s: values of samples from %zu, %zu of them, asked of %zu",
                           dataset->path, first, count, info->n_targets ? info->n[split] : 0);
    if (count == 0) return CNNBN_OK;
    hsize_t start[2] = {first, 0}, block[2] = {count, (hsize_t)info->n_targets};
    cnnbn__h5_scope scope;
    cnnbn__h5_enter(&scope);
    hid_t id = dataset->split[split].targets;
    hid_t space = cnnbn__h5_own(&scope, H5Dget_space(id));
    hid_t memory = cnnbn__h5_own(&scope, H5Screate_simple(dataset->split[split].target_rank, block, NULL));
    cnnbn_status status = CNNBN_OK;
    if (H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, block, NULL) < 0 ||
        H5Dread(id, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, targets) < 0)
        status = cnnbn_error(CNNBN_ERR_DATA, "%s: %s: samples %zu to %zu cannot be read, damaged? (%s)", dataset->path,
                             dataset->split[split].targets_shown, first, first + count - 1, cnnbn__h5_reason());
    cnnbn__h5_leave(&scope);
    return status;
}
