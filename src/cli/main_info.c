/* cnnbn-info: what a file holds. Needs no MPI. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cli_names.h"
#include "cnnbn/memory.h"
#include "main_info.h"

enum {
    OPT_DIGEST = 256,
    OPT_EMA,
    OPT_EXPORT,
    OPT_MODELS,
    OPT_SUMMARY,
    OPT_YAML,
    OPT_JSON,
    OPT_INPUT,
    OPT_CLASSES,
    OPT_DOT,
    OPT_NORM
};

enum { EXIT_DIFFERENT = 5, MODEL_CLASSES = 10 };

typedef enum task {
    TASK_SHOW,
    TASK_DIGEST,
    TASK_EXPORT,
    TASK_MODELS,
    TASK_SUMMARY,
    TASK_YAML,
    TASK_JSON,
    TASK_DOT
} task;

typedef struct settings {
    task what;
    const char *export_path;
    int use_ema;
    cnnbn_model_wish wish;
    int n_files;
    char **files;
} settings;

static const struct argp_option options[] = {
    {"digest", OPT_DIGEST, NULL, 0,
     "a line `DIGEST  FILE' a file: of all trained state (weights, moving statistics, optimiser) of a checkpoint; of "
     "shapes, labels and samples of a dataset",
     1},
    {"export-weights", OPT_EXPORT, "OUT.h5", 0, "write model and weights alone, a Keras file without training state",
     0},
    {"ema", OPT_EMA, NULL, 0,
     "with --export-weights: the averages of the weights, which cnnbn-train --ema leaves in a checkpoint", 0},
    {"models", OPT_MODELS, NULL, 0, "list the built-in models", 0},
    {"summary", OPT_SUMMARY, NULL, 0, "print the model's table alone", 0},
    {"yaml", OPT_YAML, NULL, 0, "print the model as YAML, for cnnbn-train --model", 0},
    {"json", OPT_JSON, NULL, 0, "print the model as Keras' JSON", 0},
    {"dot", OPT_DOT, NULL, 0,
     "print the model as a drawing for Graphviz: cnnbn-info MODEL --dot | dot -Tpng -o model.png", 0},
    {NULL, 0, NULL, 0, "For built-in models, and YAML without `input':", 2},
    {"input", OPT_INPUT, "HxWxC", 0, "image size (default 28x28x1)", 0},
    {"classes", OPT_CLASSES, "N", 0, "number of classes (default 10)", 0},
    {"norm", OPT_NORM, "KIND", 0,
     "normalisation of keras-example and resnet*: batch, layer, group or none (default: batch)", 0},
    {0},
};

static void set_task(settings *s, struct argp_state *state, task what)
{
    if (s->what != TASK_SHOW && s->what != what)
        argp_error(
            state,
            "only one of --digest, --export-weights, --models, --summary, --yaml, --json and --dot can be given");
    s->what = what;
}

static cnnbn_status parse_input(const char *text, cnnbn_shape *out)
{
    int at = 0, h = 0, w = 0, c = 0;
    if (sscanf(text, "%5dx%5dx%5d%n", &h, &w, &c, &at) != 3 || text[at] || h < 1 || w < 1 || c < 1)
        return cnnbn_error(CNNBN_ERR_OPTION, "--input: '%s' is not of the form HxWxC, such as 32x32x3", text);
    *out = (cnnbn_shape){3, {h, w, c}};
    return CNNBN_OK;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    settings *s = state->input;
    long long n = 0;
    switch (key) {
    case OPT_DIGEST:
        set_task(s, state, TASK_DIGEST);
        break;
    case OPT_EXPORT:
        set_task(s, state, TASK_EXPORT);
        s->export_path = cli_file_name("--export-weights", arg);
        break;
    case OPT_EMA:
        s->use_ema = 1;
        break;
    case OPT_MODELS:
        set_task(s, state, TASK_MODELS);
        break;
    case OPT_SUMMARY:
        set_task(s, state, TASK_SUMMARY);
        break;
    case OPT_YAML:
        set_task(s, state, TASK_YAML);
        break;
    case OPT_JSON:
        set_task(s, state, TASK_JSON);
        break;
    case OPT_DOT:
        set_task(s, state, TASK_DOT);
        break;
    case OPT_NORM:
        cli_check(cnnbn_norm_read(arg, &s->wish.norm));
        break;
    case OPT_INPUT:
        cli_check(parse_input(arg, &s->wish.input));
        break;
    case OPT_CLASSES:
        cli_check(cli_int("--classes", arg, 1, 1 << 20, &n));
        s->wish.n_classes = (int)n;
        break;
    case ARGP_KEY_ARGS:
        s->files = state->argv + state->next;
        s->n_files = state->argc - state->next;
        break;
    case ARGP_KEY_END:
        if (s->n_files == 0 && s->what != TASK_MODELS) argp_error(state, "a file or the name of a model is needed");
        if (s->n_files > 0 && s->what == TASK_MODELS) argp_error(state, "--models takes no file");
        if (s->use_ema && s->what != TASK_EXPORT) argp_error(state, "--ema goes with --export-weights");
        if (s->n_files > 2 && s->what == TASK_SHOW)
            argp_error(state, "one file is shown, two are compared; %d were given (--digest takes any number)",
                       s->n_files);
        if (s->n_files > 1 && s->what != TASK_SHOW && s->what != TASK_DIGEST)
            argp_error(state, "one file is expected, %d were given", s->n_files);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* ---------------------------------------------------------------- what a file is */

static int has_ending(const char *text, const char *ending)
{
    size_t n = strlen(text), m = strlen(ending);
    return n > m && strcmp(text + n - m, ending) == 0;
}

/* HDF5's signature at the beginning, or behind a checkpoint's seal; a zip archive, as .keras files are; and what is called .h5
 * or .keras and is no longer one. *no_dataset: it can only be a checkpoint. */
static int is_binary(const char *path, int *no_dataset)
{
    static const char signature[] = "\x89HDF\r\n\x1a\n", seal[] = "cnnbn checkpoint\n";
    char first[sizeof seal - 1];
    FILE *file = fopen(path, "rb");
    size_t n = file ? fread(first, 1, sizeof first, file) : 0;
    if (file) (void)fclose(file);
    *no_dataset = (n == sizeof first && memcmp(first, seal, n) == 0) ||
                  (n >= 4 && memcmp(first, "PK\003\004", 4) == 0) || has_ending(path, ".keras");
    return *no_dataset || (n >= 8 && memcmp(first, signature, 8) == 0) || has_ending(path, ".h5") ||
           has_ending(path, ".hdf5");
}

typedef struct content { /* one of them */
    cnnbn_checkpoint *checkpoint;
    cnnbn_dataset *dataset;
    cnnbn_model *model;
} content;

static void release(content *c)
{
    cnnbn_checkpoint_destroy(c->checkpoint);
    cnnbn_dataset_close(c->dataset);
    cnnbn_model_destroy(c->model);
}

/* What cannot be read as a checkpoint may be a dataset; when it is neither, both reasons are told. */
static cnnbn_status open_content(const char *path, const cnnbn_model_wish *wish, content *out)
{
    int no_dataset;
    char reason[CNNBN_ERROR_MAX], other[CNNBN_ERROR_MAX];
    memset(out, 0, sizeof *out);
    if (!is_binary(path, &no_dataset)) return cnnbn_model_load(path, wish, &out->model);
    cnnbn_status status = cnnbn_checkpoint_read(path, &out->checkpoint);
    if (status != CNNBN_ERR_CHECKPOINT || no_dataset) return status;
    (void)snprintf(reason, sizeof reason, "%s", cnnbn_error_message());
    status = cnnbn_dataset_open(path, NULL, &out->dataset);
    if (status == CNNBN_OK) return CNNBN_OK;
    (void)snprintf(other, sizeof other, "%s", cnnbn_error_message());
    if (strcmp(reason, other) == 0) return cnnbn_error(CNNBN_ERR_DATA, "%s", reason);
    return cnnbn_error(CNNBN_ERR_DATA, "neither a model nor a dataset: %.480s; %.480s", reason, other);
}

/* ---------------------------------------------------------------- tasks */

static cnnbn_status show(const char *path, const cnnbn_model_wish *wish)
{
    content c;
    char digest[CNNBN_DIGEST_TEXT];
    cnnbn_status status = open_content(path, wish, &c);
    if (status == CNNBN_OK && c.checkpoint) {
        info_print_checkpoint(path, c.checkpoint);
    } else if (status == CNNBN_OK && c.dataset) {
        status = cnnbn_dataset_digest(c.dataset, digest);
        if (status == CNNBN_OK) info_print_dataset(cnnbn_dataset_get_info(c.dataset), digest);
    } else if (status == CNNBN_OK) {
        info_print_model(c.model);
    }
    release(&c);
    return status;
}

static cnnbn_status print_digest(const char *path, const cnnbn_model_wish *wish)
{
    content c;
    char digest[CNNBN_DIGEST_TEXT];
    cnnbn_status status = open_content(path, wish, &c);
    if (status == CNNBN_OK && c.checkpoint)
        status = cnnbn_checkpoint_state_digest(c.checkpoint, digest);
    else if (status == CNNBN_OK && c.dataset)
        status = cnnbn_dataset_digest(c.dataset, digest);
    else if (status == CNNBN_OK)
        status = cnnbn_error(CNNBN_ERR_OPTION, "--digest: %s is a model without weights", path);
    if (status == CNNBN_OK) (void)printf("%s  %s\n", digest, path);
    release(&c);
    return status;
}

/* A file that cannot be read does not hide the others. The worst exit code counts. */
static int print_digests(const settings *s)
{
    int code = 0;
    for (int i = 0; i < s->n_files; i++) {
        int one = cli_finish(print_digest(s->files[i], &s->wish));
        if (one > code) code = one;
    }
    return code;
}

static cnnbn_status compare(char *const *files, int *equal)
{
    const char *path[2] = {files[0], files[1]};
    cnnbn_checkpoint *checkpoint[2] = {NULL, NULL};
    cnnbn_status status = cnnbn_checkpoint_read(path[0], &checkpoint[0]);
    if (status == CNNBN_OK) status = cnnbn_checkpoint_read(path[1], &checkpoint[1]);
    const cnnbn_checkpoint *both[2] = {checkpoint[0], checkpoint[1]};
    if (status == CNNBN_OK) status = info_compare(path, both, equal);
    cnnbn_checkpoint_destroy(checkpoint[0]);
    cnnbn_checkpoint_destroy(checkpoint[1]);
    return status;
}

static cnnbn_status export_weights(const char *from, const char *to, int use_ema)
{
    cnnbn_checkpoint *checkpoint = NULL;
    CNNBN_TRY(cnnbn_checkpoint_read(from, &checkpoint));
    cnnbn_status status = use_ema ? cnnbn_checkpoint_use_ema(checkpoint, from) : CNNBN_OK;
    if (status == CNNBN_OK) status = info_export_weights(checkpoint, to);
    cnnbn_checkpoint_destroy(checkpoint);
    return status;
}

/* A checkpoint keeps its model as YAML too, for what Keras' words cannot say. */
static cnnbn_status read_model(const char *path, const cnnbn_model_wish *wish, cnnbn_model **out)
{
    cnnbn_checkpoint *checkpoint = NULL;
    *out = NULL;
    if (cnnbn_checkpoint_read(path, &checkpoint) != CNNBN_OK) return cnnbn_checkpoint_read_model(path, out);
    const cnnbn_meta *yaml = cnnbn_checkpoint_meta(checkpoint, "model_yaml");
    cnnbn_status status = CNNBN_OK;
    if (yaml && yaml->kind == CNNBN_META_TEXT) {
        status = cnnbn_model_from_text(yaml->text, strlen(yaml->text), path, wish, out);
    } else {
        *out = checkpoint->model;
        checkpoint->model = NULL;
    }
    cnnbn_checkpoint_destroy(checkpoint);
    return status;
}

static cnnbn_status print_model(const settings *s)
{
    int no_dataset;
    cnnbn_model *model;
    char *text = NULL;
    const char *path = s->files[0];
    if (is_binary(path, &no_dataset))
        CNNBN_TRY(read_model(path, &s->wish, &model));
    else
        CNNBN_TRY(cnnbn_model_load(path, &s->wish, &model));
    cnnbn_status status = CNNBN_OK;
    if (s->what == TASK_SUMMARY)
        info_print_model(model);
    else if (s->what == TASK_DOT)
        status = cnnbn_model_write_dot(model, stdout);
    else
        status = s->what == TASK_YAML ? cnnbn_model_to_yaml(model, &text) : cnnbn_model_to_json(model, &text);
    if (status == CNNBN_OK && text) {
        size_t n = strlen(text);
        (void)fputs(text, stdout);
        if (n == 0 || text[n - 1] != '\n') (void)putchar('\n');
    }
    cnnbn_free(text);
    cnnbn_model_destroy(model);
    return status;
}

static int run(const settings *s)
{
    int equal = 1;
    cnnbn_status status = CNNBN_OK;
    switch (s->what) {
    case TASK_DIGEST:
        return print_digests(s);
    case TASK_EXPORT:
        status = cli_files_apart(&(cli_named_file){"--export-weights", s->export_path}, 1,
                                 &(cli_named_file){"FILE", s->files[0]}, 1);
        if (status == CNNBN_OK) status = export_weights(s->files[0], s->export_path, s->use_ema);
        break;
    case TASK_MODELS:
        status = info_list_models(&s->wish);
        break;
    case TASK_SUMMARY:
    case TASK_YAML:
    case TASK_JSON:
    case TASK_DOT:
        status = print_model(s);
        break;
    case TASK_SHOW:
        status = s->n_files == 2 ? compare(s->files, &equal) : show(s->files[0], &s->wish);
        break;
    }
    return status == CNNBN_OK && !equal ? EXIT_DIFFERENT : cli_finish(status);
}

int main(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "FILE\nA.h5 B.h5",
        .doc =
            "Shows what a checkpoint, a Keras .h5 or .keras, a dataset or a model (YAML, Keras JSON, name of a "
            "built-in) holds. "
            "Of "
            "two checkpoints it tells what differs: tensor, number of values, largest difference.\v"
            "Exit codes: 0 done, or the trained state of both is equal; 1 wrong usage; 2 bad file or option; 3 a file "
            "cannot be opened, read or written; 5 the trained state differs.",
    };
    cli_start("cnnbn-info");
    settings s = {.wish = {{3, {28, 28, 1}}, MODEL_CLASSES, CNNBN_NORM_OWN}};
    cli_parse(&argp, 0, argc, argv, &s);
    return cli_finish_output(run(&s));
}
