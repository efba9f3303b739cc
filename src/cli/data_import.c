/* cnnbn-data import idx|cifar|folder, cnnbn-data split. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cli_names.h"
#include "cnnbn/dataset.h"
#include "cnnbn/image.h"
#include "cnnbn/import.h"
#include "cnnbn/memory.h"
#include "main_data.h"

enum { DEFAULT_GZIP = 4 };

enum {
    KEY_CLASS_NAMES = 256,
    KEY_SOURCE,
    KEY_LICENCE,
    KEY_LIMIT,
    KEY_GZIP,
    KEY_FORCE,
    KEY_TRAIN_IMAGES,
    KEY_TRAIN_LABELS,
    KEY_TEST_IMAGES,
    KEY_TEST_LABELS,
    KEY_COARSE,
    KEY_SPLIT,
    KEY_SIZE,
    KEY_GREY,
    KEY_RGB,
    KEY_SEED,
    KEY_TRAIN,
    KEY_TEST
};

/* One for all sub-commands; each uses its part. */
typedef struct request {
    cnnbn_import_options options;
    char *names_text;         /* owned: the text that class_names point into */
    const char **class_names; /* owned */
    uint64_t seed;
    int has_seed, coarse;
    cnnbn_idx_files idx;
    cnnbn_folder folder;
    char **inputs; /* in argv */
    int n_inputs, inputs_least, inputs_most;
    int needs_idx, needs_train;
    cli_progress progress;
} request;

static const struct argp_option common_options[] = {
    {"output", 'o', "OUT.h5", 0, "The dataset to write (needed)", 1},
    {"force", KEY_FORCE, NULL, 0, "Overwrite OUT.h5 where it exists", 1},
    {"gzip", KEY_GZIP, "0..9", 0, "Compression; 0 for none (default: 4)", 1},
    {"source", KEY_SOURCE, "TEXT", 0, "Where the images come from; kept in the file", 1},
    {"licence", KEY_LICENCE, "TEXT", 0, "Their licence; kept in the file", 1},
    {"license", KEY_LICENCE, NULL, OPTION_ALIAS, NULL, 1},
    {"class-names", KEY_CLASS_NAMES, "A,B,...", 0, "Names of the classes 0, 1, ...", 1},
    {0}};

#define LIMIT_OPTION                                                                                          \
    {                                                                                                         \
        "limit", KEY_LIMIT, "N[,M]", 0,                                                                       \
            "At most N training and M (default: N) test samples, classes balanced, the first ones of each", 0 \
    }

static cnnbn_status split_names(request *r, const char *text)
{
    size_t n = 1;
    for (const char *c = text; *c; c++) n += *c == ',';
    void *list = NULL;
    CNNBN_TRY(cnnbn_strdup(text, &r->names_text));
    CNNBN_TRY(cnnbn_alloc_array(n, sizeof *r->class_names, "class names", &list));
    r->class_names = list;
    char *at = r->names_text;
    for (size_t i = 0; i < n; i++) {
        char *comma = strchr(at, ',');
        if (comma) *comma = '\0';
        if (!*at) return cnnbn_error(CNNBN_ERR_OPTION, "--class-names: name %zu of '%s' is empty", i, text);
        r->class_names[i] = at;
        if (comma) at = comma + 1;
    }
    if (n > CNNBN_IMPORT_CLASSES_MAX)
        return cnnbn_error(CNNBN_ERR_OPTION, "--class-names: %zu names; at most %d are possible", n,
                           CNNBN_IMPORT_CLASSES_MAX);
    r->options.class_names = r->class_names;
    r->options.n_class_names = (int)n;
    return CNNBN_OK;
}

static size_t count_of(const char *option, const char *text, long long least)
{
    long long n = 0;
    cli_check(cli_int(option, text, least, 1000000000000, &n));
    return (size_t)n;
}

static void parse_limit(request *r, char *text)
{
    char *comma = strchr(text, ',');
    if (comma) *comma = '\0';
    r->options.limit[CNNBN_TRAIN] = count_of("--limit", text, 1);
    r->options.limit[CNNBN_TEST] = comma ? count_of("--limit", comma + 1, 1) : r->options.limit[CNNBN_TRAIN];
}

static void parse_size(request *r, char *text)
{
    long long height = 0, width = 0;
    char *x = strchr(text, 'x');
    if (!x) cli_check(cnnbn_error(CNNBN_ERR_OPTION, "--size: '%s' is not of the form HxW, such as 32x32", text));
    *x = '\0';
    cli_check(cli_int("--size: height", text, 1, CNNBN_IMAGE_SIDE_MAX, &height));
    cli_check(cli_int("--size: width", x + 1, 1, CNNBN_IMAGE_SIDE_MAX, &width));
    r->folder.height = (int)height;
    r->folder.width = (int)width;
}

static void check_needed(const request *r, struct argp_state *state)
{
    if (r->n_inputs > r->inputs_most) argp_error(state, "too many arguments: '%s'", r->inputs[r->inputs_most]);
    if (r->n_inputs < r->inputs_least) argp_error(state, "an input is needed");
    if (r->needs_idx && (!r->idx.train_images || !r->idx.train_labels))
        argp_error(state, "--train-images and --train-labels are needed");
    if (r->needs_idx && !r->idx.test_images != !r->idx.test_labels)
        argp_error(state, "--test-images and --test-labels are needed together");
    if (r->needs_train && !r->options.limit[CNNBN_TRAIN]) argp_error(state, "--train N is needed");
    if (!r->options.out) argp_error(state, "-o OUT.h5 is needed");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    request *r = state->input;
    long long n = 0;
    switch (key) {
    case 'o':
        r->options.out = arg;
        break;
    case KEY_FORCE:
        r->options.overwrite = 1;
        break;
    case KEY_GZIP:
        cli_check(cli_int("--gzip", arg, 0, 9, &n));
        r->options.gzip = (int)n;
        break;
    case KEY_SOURCE:
        r->options.source = arg;
        break;
    case KEY_LICENCE:
        r->options.licence = arg;
        break;
    case KEY_CLASS_NAMES:
        cnnbn_free(r->names_text);
        cnnbn_free(r->class_names);
        cli_check(split_names(r, arg));
        break;
    case KEY_LIMIT:
        parse_limit(r, arg);
        break;
    case KEY_TRAIN_IMAGES:
        r->idx.train_images = arg;
        break;
    case KEY_TRAIN_LABELS:
        r->idx.train_labels = arg;
        break;
    case KEY_TEST_IMAGES:
        r->idx.test_images = arg;
        break;
    case KEY_TEST_LABELS:
        r->idx.test_labels = arg;
        break;
    case KEY_COARSE:
        r->coarse = 1;
        break;
    case KEY_SPLIT:
        cli_check(cli_real("--split", arg, 0, 0.99, &r->folder.test_share));
        break;
    case KEY_SIZE:
        parse_size(r, arg);
        break;
    case KEY_GREY:
        r->folder.channels = 1;
        break;
    case KEY_RGB:
        r->folder.channels = 3;
        break;
    case KEY_SEED:
        cli_check(cli_u64("--seed", arg, &r->seed));
        r->has_seed = 1;
        break;
    case KEY_TRAIN:
        r->options.limit[CNNBN_TRAIN] = count_of("--train", arg, 1);
        break;
    case KEY_TEST:
        r->options.limit[CNNBN_TEST] = count_of("--test", arg, 0);
        break;
    case ARGP_KEY_ARGS:
        r->inputs = state->argv + state->next;
        r->n_inputs = state->argc - state->next;
        break;
    case ARGP_KEY_END:
        check_needed(r, state);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static int show_progress(void *context, size_t done, size_t total)
{
    cli_progress_show(context, done, total);
    return cli_signalled();
}

static void begin(request *r, const char *what)
{
    cli_catch_signals();
    cli_progress_start(&r->progress, what);
    r->options.progress = show_progress;
    r->options.progress_context = &r->progress;
}

static void print_result(const char *path)
{
    cnnbn_dataset *dataset = NULL;
    char counts[2][32], shape[48];
    cli_check(cnnbn_dataset_open(path, NULL, &dataset));
    const cnnbn_dataset_info *info = cnnbn_dataset_get_info(dataset);
    (void)printf("%s: %s training and %s test images of %s, %d classes\n", path,
                 cli_thousands(info->n[CNNBN_TRAIN], counts[0]), cli_thousands(info->n[CNNBN_TEST], counts[1]),
                 cnnbn_shape_text(info->shape, shape, sizeof shape), info->n_classes);
    cnnbn_dataset_close(dataset);
}

static int finish(request *r, cnnbn_status status)
{
    cli_progress_end(&r->progress);
    int code = cli_finish(status);
    if (status == CNNBN_OK) print_result(r->options.out);
    cnnbn_free(r->names_text);
    cnnbn_free(r->class_names);
    return code;
}

/* Own options first, the common ones after them. */
static void parse_options(request *r, const struct argp_option *own, const char *args_doc, const char *doc, int argc,
                          char **argv)
{
    struct argp_option options[32] = {{0}};
    size_t n = 0, most = sizeof options / sizeof *options - 1;
    for (const struct argp_option *o = own; o->name && n < most; o++) options[n++] = *o;
    for (const struct argp_option *o = common_options; o->name && n < most; o++) options[n++] = *o;
    struct argp argp = {.options = options, .parser = parse, .args_doc = args_doc, .doc = doc};
    cli_parse(&argp, 0, argc, argv, r);
}

static const request blank = {.options.gzip = DEFAULT_GZIP, .folder.test_share = -1};

/* ---------------------------------------------------------------- the commands */

static int import_idx(int argc, char **argv)
{
    static const struct argp_option own[] = {
        {"train-images", KEY_TRAIN_IMAGES, "FILE", 0, "Training images (needed)", 0},
        {"train-labels", KEY_TRAIN_LABELS, "FILE", 0, "Training labels (needed)", 0},
        {"test-images", KEY_TEST_IMAGES, "FILE", 0, "Test images", 0},
        {"test-labels", KEY_TEST_LABELS, "FILE", 0, "Test labels", 0},
        LIMIT_OPTION,
        {0}};
    request r = blank;
    r.needs_idx = 1;
    parse_options(&r, own, NULL, "Makes a dataset of IDX files, gzipped or not.", argc, argv);
    const cli_named_file written = {"--output", r.options.out}, read[] = {{"--train-images", r.idx.train_images},
                                                                          {"--train-labels", r.idx.train_labels},
                                                                          {"--test-images", r.idx.test_images},
                                                                          {"--test-labels", r.idx.test_labels}};
    cli_check(cli_files_apart(&written, 1, read, sizeof read / sizeof *read));
    begin(&r, "importing");
    return finish(&r, cnnbn_import_idx(&r.idx, &r.options));
}

static int import_cifar(int argc, char **argv)
{
    static const struct argp_option own[] = {
        {"coarse", KEY_COARSE, NULL, 0, "CIFAR-100: the 20 coarse classes instead of the 100 fine ones", 0},
        LIMIT_OPTION,
        {0}};
    request r = blank;
    r.inputs_least = 1;
    r.inputs_most = INT_MAX;
    parse_options(
        &r, own, "DIR | FILE...",
        "Makes a dataset of CIFAR-10's or CIFAR-100's binary version: of a folder with its files, or of files, "
        "those with `test' in their name being the test set.",
        argc, argv);
    begin(&r, "importing");
    return finish(&r, cnnbn_import_cifar((const char *const *)r.inputs, r.n_inputs, r.coarse, &r.options));
}

static int import_folder(int argc, char **argv)
{
    static const struct argp_option own[] = {
        {"size", KEY_SIZE, "HxW", 0, "Stretch all images to this size (default: they must have one size)", 0},
        {"grey", KEY_GREY, NULL, 0, "One channel", 0},
        {"gray", KEY_GREY, NULL, OPTION_ALIAS, NULL, 0},
        {"rgb", KEY_RGB, NULL, 0, "Three channels (default: as the first image)", 0},
        {"split", KEY_SPLIT, "X", 0, "Share of the images for the test set where DIR/test is missing (default: 0.1)",
         0},
        {"seed", KEY_SEED, "N", 0, "Another choice of test images (default: 0)", 0},
        LIMIT_OPTION,
        {0}};
    request r = blank;
    r.inputs_least = r.inputs_most = 1;
    parse_options(&r, own, "DIR",
                  "Makes a dataset of PNG and JPEG files: DIR/train/CLASS/FILE and DIR/test/CLASS/FILE, or "
                  "DIR/CLASS/FILE. Classes are the folders' names, sorted.",
                  argc, argv);
    r.folder.path = r.inputs[0];
    r.folder.seed = r.seed;
    begin(&r, "importing");
    return finish(&r, cnnbn_import_folder(&r.folder, &r.options));
}

int data_split(int argc, char **argv)
{
    static const struct argp_option own[] = {
        {"train", KEY_TRAIN, "N", 0, "Training samples (needed)", 0},
        {"test", KEY_TEST, "M", 0,
         "Test samples (default: 0); taken from IN's training samples where it has no test set", 0},
        {"seed", KEY_SEED, "N", 0, "Draw the samples of each class (default: its first ones)", 0},
        {0}};
    request r = blank;
    r.inputs_least = r.inputs_most = 1;
    r.needs_train = 1;
    parse_options(&r, own, "IN.h5", "Makes a smaller dataset with as many samples of each class, in IN's order.", argc,
                  argv);
    if (r.has_seed) r.options.limit_seed = &r.seed;
    begin(&r, "writing");
    return finish(&r, cnnbn_dataset_subset(r.inputs[0], &r.options));
}

static command importers[] = {{"idx", import_idx, "cnnbn-data import idx"},
                              {"cifar", import_cifar, "cnnbn-data import cifar"},
                              {"folder", import_folder, "cnnbn-data import folder"},
                              {0}};

int data_import(int argc, char **argv)
{
    return run_command(importers, "idx, cifar or folder",
                       "Makes a dataset.\v"
                       "Formats:\n"
                       "  idx       IDX files (MNIST and its kin), gzipped or not\n"
                       "  cifar     CIFAR-10 and CIFAR-100, binary version\n"
                       "  folder    PNG and JPEG files, one folder a class\n"
                       "\n"
                       "`cnnbn-data import FORMAT --help' tells more.",
                       argc, argv);
}
