#include "dataset_internal.h"

#include <math.h>

static cnnbn_status check_finite(const cnnbn_dataset *dataset, cnnbn_split split, size_t first, size_t count,
                                 const float *values)
{
    size_t per_sample = cnnbn_shape_count(dataset->info.shape);
    for (size_t i = 0; i < count * per_sample; i++)
        if (!isfinite(values[i]))
            return cnnbn_error(CNNBN_ERR_DATA, "%s: %s: sample %zu holds %s at value %zu, expected finite numbers",
                               dataset->path, dataset->split[split].shown, first + i / per_sample,
                               isnan(values[i]) ? "NaN" : "an infinity", i % per_sample);
    return CNNBN_OK;
}

static cnnbn_status read_samples(const cnnbn_dataset *dataset, cnnbn_split split, size_t first, size_t count,
                                 void *images)
{
    const cnnbn_dataset_info *info = &dataset->info;
    const int *dim = info->shape.dim;
    hsize_t start[4] = {first, 0, 0, 0};
    hsize_t block[4] = {count, (hsize_t)dim[0], (hsize_t)dim[1], (hsize_t)dim[2]};
    hid_t type = info->is_u8 ? H5T_NATIVE_UINT8 : H5T_NATIVE_FLOAT;
    cnnbn__h5_scope scope;
    cnnbn__h5_enter(&scope);
    hid_t id = dataset->split[split].images;
    hid_t space = cnnbn__h5_own(&scope, H5Dget_space(id));
    hid_t memory = cnnbn__h5_own(&scope, H5Screate_simple(dataset->split[split].rank, block, NULL));
    cnnbn_status status = CNNBN_OK;
    if (H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, block, NULL) < 0 ||
        H5Dread(id, type, memory, space, H5P_DEFAULT, images) < 0)
        status = cnnbn_error(CNNBN_ERR_DATA, "%s: %s: samples %zu to %zu cannot be read, damaged? (%s)", dataset->path,
                             dataset->split[split].shown, first, first + count - 1, cnnbn__h5_reason());
    cnnbn__h5_leave(&scope);
    return status;
}

cnnbn_status cnnbn_dataset_read(cnnbn_dataset *dataset, cnnbn_split split, size_t first, size_t count, void *images)
{
    size_t n = dataset->info.n[split];
    if (first > n || count > n - first)
        return cnnbn_error(CNNBN_ERR_INTERNAL, "%s: samples from %zu, %zu of them, asked of %zu", dataset->path, first,
                           count, n);
    if (count == 0) return CNNBN_OK;
    CNNBN_TRY(read_samples(dataset, split, first, count, images));
    return dataset->info.is_u8 ? CNNBN_OK : check_finite(dataset, split, first, count, images);
}

/* Images enough to tell two datasets apart at the price of a few reads. */
enum { DIGEST_IMAGES = 32, DIGEST_BYTES = 4 << 20 };

/* Values by blocks of fixed size: they may be more than is wanted in memory. */
static cnnbn_status digest_targets(cnnbn_dataset *dataset, cnnbn_split split, cnnbn_digest *digest)
{
    size_t n = dataset->info.n[split], K = (size_t)dataset->info.n_targets;
    size_t block = (size_t)DIGEST_BYTES / (K * sizeof(float));
    void *values;
    if (block == 0) block = 1;
    CNNBN_TRY(cnnbn_alloc_array(block * K, sizeof(float), "values of y", &values));
    cnnbn_status status = CNNBN_OK;
    for (size_t i = 0; i < n && status == CNNBN_OK; i += block) {
        size_t count = n - i < block ? n - i : block;
        status = cnnbn_dataset_read_targets(dataset, split, i, count, values);
        if (status == CNNBN_OK) cnnbn_digest_add(digest, values, count * K * sizeof(float));
    }
    cnnbn_free(values);
    return status;
}

static cnnbn_status digest_split(cnnbn_dataset *dataset, cnnbn_split split, cnnbn_digest *digest, void *image)
{
    size_t n = dataset->info.n[split];
    uint64_t count = n;
    cnnbn_digest_add(digest, &count, sizeof count);
    if (dataset->info.n_targets)
        CNNBN_TRY(digest_targets(dataset, split, digest));
    else if (n)
        cnnbn_digest_add(digest, dataset->split[split].labels, n * sizeof(int32_t));
    size_t n_images = n < DIGEST_IMAGES ? n : DIGEST_IMAGES;
    for (size_t i = 0; i < n_images; i++) {
        /* the first and the last, and evenly between */
        size_t at = n_images > 1 ? i * ((n - 1) / (n_images - 1)) + i * ((n - 1) % (n_images - 1)) / (n_images - 1) : 0;
        CNNBN_TRY(cnnbn_dataset_read(dataset, split, at, 1, image));
        cnnbn_digest_add(digest, image, dataset->info.sample_bytes);
    }
    return CNNBN_OK;
}

cnnbn_status cnnbn_dataset_digest(cnnbn_dataset *dataset, char text[CNNBN_DIGEST_TEXT])
{
    const cnnbn_dataset_info *info = &dataset->info;
    cnnbn_digest *digest;
    void *image;
    text[0] = '\0';
    CNNBN_TRY(cnnbn_alloc(info->sample_bytes, "an image", &image));
    cnnbn_status status = cnnbn_digest_create(&digest);
    if (status != CNNBN_OK) {
        cnnbn_free(image);
        return status;
    }
    int32_t facts[6] = {info->shape.dim[0], info->shape.dim[1], info->shape.dim[2],
                        info->is_u8,        info->n_classes,    info->mean != NULL};
    size_t statistic_bytes = (size_t)info->shape.dim[2] * sizeof(float);
    cnnbn_digest_add(digest, facts, sizeof facts);
    if (info->n_targets) cnnbn_digest_add_text(digest, "values"); /* the digest of class numbers is as it always was */
    if (info->mean) cnnbn_digest_add(digest, info->mean, statistic_bytes);
    if (info->mean) cnnbn_digest_add(digest, info->std, statistic_bytes);
    status = digest_split(dataset, CNNBN_TRAIN, digest, image);
    if (status == CNNBN_OK) status = digest_split(dataset, CNNBN_TEST, digest, image);
    if (status == CNNBN_OK)
        cnnbn_digest_end(digest, text);
    else
        cnnbn_digest_destroy(digest);
    cnnbn_free(image);
    return status;
}
