/* cnnbn-data info. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "cnnbn/dataset.h"
#include "cnnbn/memory.h"
#include "main_data.h"

enum { KEY_STATS = 256, CHANNELS_MAX = 4 };

typedef struct request {
    const char *path;
    int stats;
} request;

static error_t parse(int key, char *arg, struct argp_state *state)
{
    request *r = state->input;
    switch (key) {
    case KEY_STATS:
        r->stats = 1;
        break;
    case ARGP_KEY_ARG:
        if (r->path) argp_error(state, "too many arguments: '%s'", arg);
        r->path = arg;
        break;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "a dataset is needed");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void print_floats(const char *name, const float *values, int n)
{
    if (!values) return;
    (void)printf("  %-9s", name);
    for (int c = 0; c < n; c++) (void)printf(" %.6g", (double)values[c]);
    (void)printf("\n");
}

static void print_head(const cnnbn_dataset_info *info)
{
    char text[48], counts[2][32];
    (void)printf("%s\n", info->path);
    (void)printf("  training  %s images\n", cli_thousands(info->n[CNNBN_TRAIN], counts[0]));
    (void)printf("  test      %s images\n", cli_thousands(info->n[CNNBN_TEST], counts[1]));
    (void)printf("  image     %s %s, %s bytes\n", cnnbn_shape_text(info->shape, text, sizeof text),
                 info->is_u8 ? "uint8" : "float32", cli_thousands(info->sample_bytes, counts[0]));
    if (info->chunk_samples)
        (void)printf("  chunks    %s images each\n", cli_thousands(info->chunk_samples, counts[0]));
    else
        (void)printf("  chunks    none\n");
    print_floats("mean", info->mean, info->shape.dim[2]);
    print_floats("std", info->std, info->shape.dim[2]);
    if (info->source[0]) (void)printf("  source    %s\n", info->source);
    if (info->licence[0]) (void)printf("  licence   %s\n", info->licence);
}

static void print_targets(const cnnbn_dataset_info *info)
{
    (void)printf("  y         %d value%s a sample, from %.6g to %.6g\n", info->n_targets,
                 info->n_targets == 1 ? "" : "s", (double)info->target_least, (double)info->target_most);
    for (int k = 0; info->class_names && k < info->n_targets; k++) (void)printf("  %9d  %s\n", k, info->class_names[k]);
}

static cnnbn_status print_classes(cnnbn_dataset *dataset)
{
    const cnnbn_dataset_info *info = cnnbn_dataset_get_info(dataset);
    if (info->n_targets) {
        print_targets(info);
        return CNNBN_OK;
    }
    size_t K = (size_t)info->n_classes;
    void *block = NULL;
    CNNBN_TRY(cnnbn_alloc_array(2 * K, sizeof(size_t), "class counts", &block));
    size_t *counts = block;
    for (int split = 0; split < 2; split++) {
        const int32_t *labels = cnnbn_dataset_labels(dataset, (cnnbn_split)split);
        for (size_t i = 0; i < info->n[split]; i++) counts[(size_t)split * K + (size_t)labels[i]]++;
    }
    (void)printf("  classes   %d\n      class    training        test  name\n", info->n_classes);
    for (size_t k = 0; k < K; k++) {
        char texts[2][32];
        (void)printf("  %9zu  %10s  %10s  %s\n", k, cli_thousands(counts[k], texts[0]),
                     cli_thousands(counts[K + k], texts[1]), info->class_names ? info->class_names[k] : "");
    }
    cnnbn_free(block);
    return CNNBN_OK;
}

/* Sums over the training images, a channel at a time; of the squares of the differences from 1/2, which lies nearer to the
 * mean of images than 0 does. */
typedef struct sums {
    double shifted[CHANNELS_MAX], squares[CHANNELS_MAX];
    float least, most;
} sums;

static void add_images(sums *s, const cnnbn_dataset_info *info, const void *images, size_t n)
{
    size_t C = (size_t)info->shape.dim[2], values = n * cnnbn_shape_count(info->shape);
    for (size_t c = 0; c < C; c++)
        for (size_t i = c; i < values; i += C) {
            float x = info->is_u8 ? (float)((const uint8_t *)images)[i] / 255.0f : ((const float *)images)[i];
            double d = (double)x - 0.5;
            s->shifted[c] += d;
            s->squares[c] += d * d;
            if (x < s->least) s->least = x;
            if (x > s->most) s->most = x;
        }
}

static cnnbn_status sum_images(cnnbn_dataset *dataset, sums *s)
{
    const cnnbn_dataset_info *info = cnnbn_dataset_get_info(dataset);
    size_t n = info->n[CNNBN_TRAIN], block = info->chunk_samples ? info->chunk_samples : 1;
    while (block * info->sample_bytes < (size_t)4 << 20 && block < n) block *= 2;
    if (block > n) block = n;
    void *images = NULL;
    cli_progress progress;
    CNNBN_TRY(cnnbn_alloc_array(block, info->sample_bytes, "images", &images));
    cli_progress_start(&progress, "reading");
    cnnbn_status status = CNNBN_OK;
    for (size_t i = 0; i < n && status == CNNBN_OK; i += block) {
        size_t count = n - i < block ? n - i : block;
        status = cnnbn_dataset_read(dataset, CNNBN_TRAIN, i, count, images);
        if (status == CNNBN_OK) add_images(s, info, images, count);
        cli_progress_show(&progress, i + count, n);
    }
    cli_progress_end(&progress);
    cnnbn_free(images);
    return status;
}

static cnnbn_status print_stats(cnnbn_dataset *dataset)
{
    const cnnbn_dataset_info *info = cnnbn_dataset_get_info(dataset);
    int C = info->shape.dim[2];
    if (C > CHANNELS_MAX)
        return cnnbn_error(CNNBN_ERR_OPTION, "--stats: %s has %d channels; at most %d are possible", info->path, C,
                           CHANNELS_MAX);
    sums s = {.least = INFINITY, .most = -INFINITY};
    CNNBN_TRY(sum_images(dataset, &s));
    double n = (double)info->n[CNNBN_TRAIN] * (double)cnnbn_shape_count(info->shape) / C;
    (void)printf("  training images%s, a channel\n    mean   ", info->is_u8 ? " / 255" : "");
    for (int c = 0; c < C; c++) (void)printf(" %.6f", s.shifted[c] / n + 0.5);
    (void)printf("\n    std    ");
    for (int c = 0; c < C; c++) {
        double mean = s.shifted[c] / n, variance = s.squares[c] / n - mean * mean;
        (void)printf(" %.6f", sqrt(variance > 0 ? variance : 0));
    }
    (void)printf("\n    range   %.6g to %.6g\n", (double)s.least, (double)s.most);
    return CNNBN_OK;
}

int data_info(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"stats", KEY_STATS, NULL, 0, "Mean and standard deviation of the training images (reads them all)", 0}, {0}};
    static const struct argp argp = {
        .options = options, .parser = parse, .args_doc = "FILE.h5", .doc = "Shows what a dataset holds."};
    request r = {0};
    cnnbn_dataset *dataset = NULL;
    cli_parse(&argp, 0, argc, argv, &r);
    cnnbn_status status = cnnbn_dataset_open(r.path, NULL, &dataset);
    if (status == CNNBN_OK) {
        print_head(cnnbn_dataset_get_info(dataset));
        status = print_classes(dataset);
    }
    if (status == CNNBN_OK && r.stats) status = print_stats(dataset);
    cnnbn_dataset_close(dataset);
    return cli_finish(status);
}
