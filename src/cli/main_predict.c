/* cnnbn-predict: classes of image files and of a dataset's images. One process; under mpirun rank 0 alone works. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "cnnbn/cpu.h"
#include "cnnbn/image.h"
#include "cnnbn/log.h"
#include "cnnbn/memory.h"
#include "predict_print.h"

enum option_key {
    OPT_TOP = 256,
    OPT_CSV,
    OPT_INVERT,
    OPT_SPLIT,
    OPT_FIRST,
    OPT_COUNT,
    OPT_X_TRAIN,
    OPT_Y_TRAIN,
    OPT_X_TEST,
    OPT_Y_TEST,
    OPT_BATCH_SIZE,
    OPT_THREADS,
    OPT_KERNELS,
    OPT_EMA
};

static const struct argp_option options[] = {
    {"top", OPT_TOP, "K", 0, "the K most probable classes (default 1)", 1},
    {"csv", OPT_CSV, NULL, 0, "print CSV: input,class,name,probability, or input,value_0,..., with a header row", 0},
    {NULL, 0, NULL, 0, "Image files (resized; made grey or RGB as the model wants):", 2},
    {"invert", OPT_INVERT, NULL, 0,
     "dark on light becomes light on dark: MNIST and its kin are white on black, scans are not", 0},
    {NULL, 0, NULL, 0, "Datasets:", 3},
    {"split", OPT_SPLIT, "NAME", 0, "test or train (default test)", 0},
    {"first", OPT_FIRST, "N", 0, "number of the first image, from 0 (default 0)", 0},
    {"count", OPT_COUNT, "N", 0, "images from there on (default: all)", 0},
    {"x-train", OPT_X_TRAIN, "PATH", 0, "path in the file (default x_train; likewise the next three)", 0},
    {"y-train", OPT_Y_TRAIN, "PATH", 0, "", 0},
    {"x-test", OPT_X_TEST, "PATH", 0, "", 0},
    {"y-test", OPT_Y_TEST, "PATH", 0, "", 0},
    {NULL, 0, NULL, 0, "Execution:", 4},
    {"batch-size", OPT_BATCH_SIZE, "B", 0, "images that are computed together (default 32)", 0},
    {"threads", OPT_THREADS, "T", 0, "threads (default: cores of the affinity mask)", 0},
    {"ema", OPT_EMA, NULL, 0, "by the averages of the weights, which cnnbn-train --ema leaves in a checkpoint", 0},
    {"kernels", OPT_KERNELS, "NAME", 0,
     "auto, simd, simd-avx512, simd-avx2, simd-baseline, simd-neon, blas, ref (default auto)", 0},
    {0},
};

typedef struct settings {
    const char *checkpoint, *kernels;
    char **inputs;
    int n_inputs;
    predict_format format;
    cnnbn_dataset_paths paths;
    cnnbn_split split;
    int invert, batch_size, threads, use_ema;
    size_t first, count; /* count 0: all */
    int n_unreadable, has_header;
} settings;

static long long get_int(const char *option, const char *text, long long least, long long most)
{
    long long value = 0;
    cli_check(cli_int(option, text, least, most, &value));
    return value;
}

static error_t parse_data(int key, char *arg, settings *s)
{
    static const char *const splits[] = {"train", "test", NULL}; /* order of cnnbn_split */
    const long long most = 1000000000000;
    int word = 0;
    switch (key) {
    case OPT_SPLIT:
        cli_check(cli_word("--split", arg, splits, &word));
        s->split = (cnnbn_split)word;
        break;
    case OPT_FIRST:
        s->first = (size_t)get_int("--first", arg, 0, most);
        break;
    case OPT_COUNT:
        s->count = (size_t)get_int("--count", arg, 1, most);
        break;
    case OPT_X_TRAIN:
        s->paths.x_train = arg;
        break;
    case OPT_Y_TRAIN:
        s->paths.y_train = arg;
        break;
    case OPT_X_TEST:
        s->paths.x_test = arg;
        break;
    case OPT_Y_TEST:
        s->paths.y_test = arg;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    settings *s = state->input;
    switch (key) {
    case OPT_TOP:
        s->format.top = (int)get_int("--top", arg, 1, 1 << 20);
        break;
    case OPT_CSV:
        s->format.csv = 1;
        break;
    case OPT_INVERT:
        s->invert = 1;
        break;
    case OPT_EMA:
        s->use_ema = 1;
        break;
    case OPT_BATCH_SIZE:
        s->batch_size = (int)get_int("--batch-size", arg, 1, 1 << 16);
        break;
    case OPT_THREADS:
        s->threads = (int)get_int("--threads", arg, 1, 1024);
        break;
    case OPT_KERNELS:
        s->kernels = arg;
        break;
    case ARGP_KEY_ARGS:
        if (state->argc - state->next < 2) argp_error(state, "an input is needed: image files, or a dataset");
        s->checkpoint = state->argv[state->next];
        s->inputs = state->argv + state->next + 1;
        s->n_inputs = state->argc - state->next - 1;
        break;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "a checkpoint and an input are needed");
        break;
    default:
        return parse_data(key, arg, s);
    }
    return 0;
}

/* ---------------------------------------------------------------- a net and a batch of images */

typedef struct batch {
    cnnbn_comm *comm;
    cnnbn_predictor *predictor;
    int n_classes, room, n;
    char *pixels; /* [room][sample_bytes] */
    size_t sample_bytes;
    const void **images; /* [room] */
    const char **names;  /* [room], borrowed; NULL where numbers stand for them */
    float *probabilities;
} batch;

static void batch_close(batch *b)
{
    cnnbn_predictor_destroy(b->predictor);
    cnnbn_comm_finalize(b->comm);
    cnnbn_free(b->pixels);
    cnnbn_free(b->images);
    cnnbn_free(b->names);
    cnnbn_free(b->probabilities);
    memset(b, 0, sizeof *b);
}

static cnnbn_status batch_allocate(batch *b)
{
    void *memory;
    size_t room = (size_t)b->room;
    CNNBN_TRY(cnnbn_alloc_array(room, b->sample_bytes, "images", &memory));
    b->pixels = memory;
    CNNBN_TRY(cnnbn_alloc_array(room, sizeof(void *), "images", &memory));
    b->images = memory;
    CNNBN_TRY(cnnbn_alloc_array(room, sizeof(char *), "names of images", &memory));
    b->names = memory;
    CNNBN_TRY(cnnbn_alloc_array(room * (size_t)b->n_classes, sizeof(float), "probabilities", &memory));
    b->probabilities = memory;
    for (size_t i = 0; i < room; i++) b->images[i] = b->pixels + i * b->sample_bytes;
    return CNNBN_OK;
}

/* data: of the dataset that the images come from; NULL for image files. Closed by batch_close, after a failure too. */
static cnnbn_status batch_open(batch *b, settings *s, const cnnbn_dataset_info *data)
{
    int threads = s->threads ? s->threads : cnnbn_cpu_cores_allowed();
    cnnbn_predictor_options how = {.checkpoint = s->checkpoint,
                                   .use_ema = s->use_ema,
                                   .kernels = s->kernels,
                                   .threads = threads,
                                   .batch_size = s->batch_size,
                                   .data = data};
    memset(b, 0, sizeof *b);
    CNNBN_TRY(cnnbn_comm_self(&b->comm));
    CNNBN_TRY(cnnbn_predictor_create(b->comm, &how, &b->predictor));
    const cnnbn_model *model = cnnbn_predictor_model(b->predictor);
    b->n_classes = cnnbn_model_n_outputs(model);
    b->room = s->batch_size * threads; /* each thread has one batch to do */
    b->sample_bytes = data ? data->sample_bytes : cnnbn_shape_count(model->input);
    if (s->format.top > 0 && !predict_is_class(b->predictor))
        return cnnbn_error(CNNBN_ERR_OPTION, "--top %d: %s gives values (its loss is %s), not one class of several",
                           s->format.top, s->checkpoint, cnnbn_loss_name(cnnbn_predictor_loss(b->predictor)));
    if (s->format.top > b->n_classes)
        return cnnbn_error(CNNBN_ERR_OPTION, "--top: %d is out of range; the model has %d classes", s->format.top,
                           b->n_classes);
    if (s->format.top == 0) s->format.top = 1;
    if (s->format.top == 0 && predict_is_class(b->predictor)) s->format.top = 1;
    if (!s->has_header) predict_print_header(&s->format, b->predictor);
    s->has_header = 1;
    return batch_allocate(b);
}

static void batch_run(batch *b)
{
    cnnbn_predictor_run(b->predictor, (size_t)b->n, b->images, b->probabilities);
}

static const float *batch_result(const batch *b, int i)
{
    return b->probabilities + (size_t)i * (size_t)b->n_classes;
}

/* ---------------------------------------------------------------- image files */

static cnnbn_status image_size(const batch *b, const char *checkpoint, int *height, int *width, int *channels)
{
    char text[48];
    cnnbn_shape in = cnnbn_predictor_model(b->predictor)->input;
    *height = in.dim[0];
    *width = in.rank > 1 ? in.dim[1] : 0;
    *channels = in.rank > 2 ? in.dim[2] : 1;
    if (in.rank < 2 || (*channels != 1 && *channels != 3))
        return cnnbn_error(CNNBN_ERR_OPTION, "%s wants input %s: no image file can give that, only a dataset",
                           checkpoint, cnnbn_shape_text(in, text, sizeof text));
    return CNNBN_OK;
}

/* Decoded, resized and, where asked for, inverted into the batch's next place. */
static cnnbn_status load_image(batch *b, const settings *s, const char *path)
{
    int height, width, channels;
    cnnbn_image image, resized;
    CNNBN_TRY(image_size(b, s->checkpoint, &height, &width, &channels));
    CNNBN_TRY(cnnbn_image_load(path, channels, &image));
    cnnbn_status status = cnnbn_image_resize(&image, height, width, &resized);
    cnnbn_image_free(&image);
    CNNBN_TRY(status);
    uint8_t *to = (uint8_t *)b->pixels + (size_t)b->n * b->sample_bytes;
    for (size_t i = 0; i < b->sample_bytes; i++)
        to[i] = s->invert ? (uint8_t)(255 - resized.pixels[i]) : resized.pixels[i];
    cnnbn_image_free(&resized);
    b->names[b->n++] = path;
    return CNNBN_OK;
}

static void flush_images(batch *b, const settings *s)
{
    if (b->n == 0) return;
    batch_run(b);
    for (int i = 0; i < b->n; i++) predict_print(&s->format, b->predictor, NULL, b->names[i], batch_result(b, i));
    b->n = 0;
}

static void warn_of_floats(const batch *b, const settings *s)
{
    const cnnbn_meta *m = cnnbn_checkpoint_meta(cnnbn_predictor_checkpoint(b->predictor), "input_is_u8");
    if (m && m->kind == CNNBN_META_INT && m->i == 0)
        cnnbn_warn("%s was trained on float images, taken as they were; the pixels of image files are scaled by 1/255",
                   s->checkpoint);
}

/* A file that cannot be read is named and does not stop the others. */
static cnnbn_status predict_image(batch *b, settings *s, const char *path)
{
    if (!b->predictor) {
        CNNBN_TRY(batch_open(b, s, NULL));
        int unused;
        CNNBN_TRY(image_size(b, s->checkpoint, &unused, &unused, &unused));
        warn_of_floats(b, s);
    }
    cnnbn_status status = load_image(b, s, path);
    if (status == CNNBN_ERR_IO || status == CNNBN_ERR_DATA) {
        (void)cli_finish(status); /* the message; the code comes at the end */
        s->n_unreadable++;
        return CNNBN_OK;
    }
    CNNBN_TRY(status);
    if (b->n == b->room) flush_images(b, s);
    return CNNBN_OK;
}

/* ---------------------------------------------------------------- datasets */

static cnnbn_status predict_range(batch *b, const settings *s, cnnbn_dataset *dataset, size_t first, size_t last)
{
    const cnnbn_dataset_info *info = cnnbn_dataset_get_info(dataset);
    char name[4200];
    for (size_t at = first; at < last; at += (size_t)b->n) {
        b->n = last - at < (size_t)b->room ? (int)(last - at) : b->room;
        CNNBN_TRY(cnnbn_dataset_read(dataset, s->split, at, (size_t)b->n, b->pixels));
        batch_run(b);
        for (int i = 0; i < b->n; i++) {
            size_t number = at + (size_t)i;
            if (s->n_inputs == 1)
                (void)snprintf(name, sizeof name, "%zu", number);
            else
                (void)snprintf(name, sizeof name, "%s:%zu", info->path, number);
            predict_print(&s->format, b->predictor, info, name, batch_result(b, i));
        }
    }
    return CNNBN_OK;
}

static cnnbn_status find_range(const settings *s, const cnnbn_dataset_info *info, size_t *last)
{
    size_t n = info->n[s->split];
    const char *split = s->split == CNNBN_TEST ? "test" : "training";
    if (n == 0) return cnnbn_error(CNNBN_ERR_DATA, "%s: has no %s images", info->path, split);
    if (s->first >= n)
        return cnnbn_error(CNNBN_ERR_OPTION, "--first: %zu is out of range; %s has the %s images 0 to %zu", s->first,
                           info->path, split, n - 1);
    if (s->count > n - s->first)
        return cnnbn_error(CNNBN_ERR_OPTION, "--count: %zu is out of range; %s has %zu %s images from %zu on", s->count,
                           info->path, n - s->first, split, s->first);
    *last = s->count ? s->first + s->count : n;
    return CNNBN_OK;
}

static cnnbn_status predict_dataset(settings *s, const char *path)
{
    cnnbn_dataset *dataset;
    size_t last = 0;
    CNNBN_TRY(cnnbn_dataset_open(path, &s->paths, &dataset));
    batch b;
    memset(&b, 0, sizeof b);
    cnnbn_status status = find_range(s, cnnbn_dataset_get_info(dataset), &last);
    if (status == CNNBN_OK) status = batch_open(&b, s, cnnbn_dataset_get_info(dataset));
    if (status == CNNBN_OK) status = predict_range(&b, s, dataset, s->first, last);
    batch_close(&b);
    cnnbn_dataset_close(dataset);
    return status;
}

/* ---------------------------------------------------------------- the run */

static int is_hdf5(const char *path)
{
    char first[8] = "";
    size_t n = strlen(path);
    FILE *file = fopen(path, "rb");
    size_t got = file ? fread(first, 1, sizeof first, file) : 0;
    if (file) (void)fclose(file);
    return (got == 8 && memcmp(first, "\x89HDF\r\n\x1a\n", 8) == 0) || (n > 3 && strcmp(path + n - 3, ".h5") == 0);
}

static cnnbn_status run(settings *s)
{
    batch images;
    memset(&images, 0, sizeof images);
    cnnbn_status status = CNNBN_OK;
    for (int i = 0; i < s->n_inputs && status == CNNBN_OK; i++) {
        if (is_hdf5(s->inputs[i])) {
            flush_images(&images, s); /* the lines keep the order of the inputs */
            status = predict_dataset(s, s->inputs[i]);
        } else {
            status = predict_image(&images, s, s->inputs[i]);
        }
    }
    if (images.room) flush_images(&images, s); /* what was read before a failure too */
    batch_close(&images);
    return cli_flush_output(status);
}

int main(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "CHECKPOINT INPUT...",
        .doc =
            "Classes of images, a line each: file or number, class, its name, probability; or the model's values, "
            "where its "
            "loss is not that of one class a sample. Inputs are PNG and JPEG files, or HDF5 datasets.\v"
            "Exit codes: 0 done; 1 wrong usage; 2 bad checkpoint, data or options, or an image that could not be read "
            "(the others are predicted all the same); 3 run-time failure.",
    };
    cli_start("cnnbn-predict");
    settings s = {.split = CNNBN_TEST, .batch_size = 32};
    cli_parse(&argp, 0, argc, argv, &s);
    if (!cli_speaks()) return 0;
    int code = cli_finish(run(&s));
    return code == 0 && s.n_unreadable ? cnnbn_status_exit_code(CNNBN_ERR_DATA) : code;
}
