/* A dataset as the source of a smaller one. */
#include "import_source.h"

#include <string.h>

#include "cnnbn/file.h"
#include "cnnbn/memory.h"

static const size_t window_bytes = (size_t)16 << 20;

/* Reads by whole chunks: one sample at a time would inflate a chunk for each. */
typedef struct window {
    cnnbn_dataset *dataset;
    const cnnbn_dataset_info *info;
    uint8_t *images;
    float *targets;            /* of the same samples, where y holds values */
    int32_t *labels;           /* zeros: values are of no class */
    size_t room, first, count; /* samples */
    cnnbn_split split;
} window;

static cnnbn_status window_read(void *context, cnnbn_split split, size_t index, uint8_t *image)
{
    window *w = context;
    if (split != w->split || index < w->first || index >= w->first + w->count) {
        size_t first = index / w->room * w->room, left = w->info->n[split] - first;
        w->count = 0;
        CNNBN_TRY(cnnbn_dataset_read(w->dataset, split, first, left < w->room ? left : w->room, w->images));
        if (w->targets)
            CNNBN_TRY(
                cnnbn_dataset_read_targets(w->dataset, split, first, left < w->room ? left : w->room, w->targets));
        w->split = split;
        w->first = first;
        w->count = left < w->room ? left : w->room;
    }
    memcpy(image, w->images + (index - w->first) * w->info->sample_bytes, w->info->sample_bytes);
    return CNNBN_OK;
}

/* Of a sample whose image was read before. */
static cnnbn_status window_read_targets(void *context, cnnbn_split split, size_t index, float *targets)
{
    const window *w = context;
    size_t K = (size_t)w->info->n_targets;
    if (split != w->split || index < w->first || index >= w->first + w->count)
        return cnnbn_error(CNNBN_ERR_INTERNAL, "%s: values of sample %zu asked for before its image", w->info->path,
                           index);
    memcpy(targets, w->targets + (index - w->first) * K, K * sizeof *targets);
    return CNNBN_OK;
}

static cnnbn_status allocate_targets(window *w, size_t most)
{
    void *memory;
    if (!w->info->n_targets) return CNNBN_OK;
    CNNBN_TRY(cnnbn_alloc_array(w->room * (size_t)w->info->n_targets, sizeof(float), "values of y", &memory));
    w->targets = memory;
    CNNBN_TRY(cnnbn_alloc_array(most, sizeof(int32_t), "labels", &memory));
    w->labels = memory;
    return CNNBN_OK;
}

static cnnbn_status subset_of(window *w, const cnnbn_import_options *options)
{
    const cnnbn_dataset_info *info = w->info;
    if (!info->is_u8)
        return cnnbn_error(CNNBN_ERR_DATA, "%s: float32 images; only datasets of uint8 images can be split",
                           info->path);
    if (info->mean || info->std)
        return cnnbn_error(CNNBN_ERR_DATA,
                           "%s: has mean and std, which would be lost; only datasets without can be split", info->path);
    size_t chunk = info->chunk_samples ? info->chunk_samples : 1;
    size_t chunks = chunk * info->sample_bytes < window_bytes ? window_bytes / (chunk * info->sample_bytes) : 1;
    size_t most = info->n[0] > info->n[1] ? info->n[0] : info->n[1];
    w->room = chunk * chunks < most ? chunk * chunks : most;
    void *images = NULL;
    CNNBN_TRY(cnnbn_alloc_array(w->room, info->sample_bytes, "images", &images));
    w->images = images;
    CNNBN_TRY(allocate_targets(w, most));
    cnnbn__source source = {.shape = info->shape,
                            .n = {info->n[0], info->n[1]},
                            .labels = {w->labels ? w->labels : cnnbn_dataset_labels(w->dataset, CNNBN_TRAIN),
                                       w->labels ? w->labels : cnnbn_dataset_labels(w->dataset, CNNBN_TEST)},
                            .labels_from = {info->path, info->path},
                            .n_classes = info->n_targets ? 1 : info->n_classes,
                            .n_targets = info->n_targets,
                            .class_names = info->class_names,
                            .source = info->source[0] ? info->source : NULL,
                            .licence = info->licence[0] ? info->licence : NULL,
                            .random_access = 1,
                            .exact = 1,
                            .context = w,
                            .read = window_read,
                            .read_targets = window_read_targets};
    return cnnbn__import_write(&source, options);
}

cnnbn_status cnnbn_dataset_subset(const char *in, const cnnbn_import_options *options)
{
    if (cnnbn_same_file(in, options->out))
        return cnnbn_error(CNNBN_ERR_OPTION, "%s: is the input as well as the output", options->out);
    CNNBN_TRY(cnnbn__import_check_out(options));
    window w = {0};
    CNNBN_TRY(cnnbn_dataset_open(in, NULL, &w.dataset));
    w.info = cnnbn_dataset_get_info(w.dataset);
    cnnbn_status status = subset_of(&w, options);
    cnnbn_free(w.images);
    cnnbn_free(w.targets);
    cnnbn_free(w.labels);
    cnnbn_dataset_close(w.dataset);
    return status;
}
