/* What cnnbn-train is given: data and model; and for how long. */
#include <stdlib.h>
#include <string.h>

#include "train_options.h"

enum option_key {
    OPT_DATA = 256,
    OPT_X_TRAIN,
    OPT_Y_TRAIN,
    OPT_X_TEST,
    OPT_Y_TEST,
    OPT_DATA_MEMORY,
    OPT_MODEL,
    OPT_NORM,
    OPT_INIT_FROM,
    OPT_CONFIG,
    OPT_EPOCHS,
    OPT_STEPS,
    OPT_MAX_TIME
};

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "What is trained on what:", 10},
    {"data", OPT_DATA, "FILE", 0, "HDF5 dataset (default: the bundled part of Fashion-MNIST)", 0},
    {"x-train", OPT_X_TRAIN, "PATH", 0, "path in the file (default x_train; likewise the next three)", 0},
    {"y-train", OPT_Y_TRAIN, "PATH", 0, "", 0},
    {"x-test", OPT_X_TEST, "PATH", 0, "", 0},
    {"y-test", OPT_Y_TEST, "PATH", 0, "", 0},
    {"data-memory", OPT_DATA_MEMORY, "SIZE", 0,
     "memory of a host for images, such as 4G; what is larger is streamed (default: half of what is available)", 0},
    {"model", OPT_MODEL, "MODEL", 0,
     "a built-in (cnnbn-info --models), a Keras JSON, a YAML, or an .h5 or .keras whose model is taken (default "
     "keras-example)",
     0},
    {"norm", OPT_NORM, "KIND", 0,
     "normalisation of keras-example and resnet*: batch, layer, group or none (default: batch)", 0},
    {"init-from", OPT_INIT_FROM, "FILE", 0,
     "start from these weights: .h5 of cnnbn or Keras, .keras, .weights.h5 (default: random)", 0},
    {"config", OPT_CONFIG, "FILE.yaml", 0, "any of these options, `name: value' a line; the command line wins", 0},

    {NULL, 0, NULL, 0, "How long:", 20},
    {"epochs", OPT_EPOCHS, "N", 0, "passes over the training data (default 10)", 0},
    {"steps", OPT_STEPS, "N", 0, "stop after N steps in all (default: no limit)", 0},
    {"max-time", OPT_MAX_TIME, "TIME", 0,
     "stop in time with a checkpoint and exit code 75: 3h50m, 90min, 600s; SLURM_JOB_END_TIME does the same", 0},
    {0},
};

/* "10min", "3h50m", "600s", "90": seconds. */
static cnnbn_status parse_time(const char *option, const char *text, double *out)
{
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"min", 60}, {"h", 3600}, {"m", 60}, {"s", 1}};
    const char *at = text;
    double total = 0;
    while (*at) {
        char *end;
        double number = strtod(at, &end), unit = *end ? 0 : 1;
        if (end == at || !(number >= 0) || !(number < 1e9)) break;
        at = end;
        for (size_t i = 0; i < sizeof units / sizeof *units && unit == 0; i++)
            if (strncmp(at, units[i].name, strlen(units[i].name)) == 0) {
                unit = units[i].seconds;
                at += strlen(units[i].name);
            }
        if (unit == 0) break;
        total += number * unit;
    }
    if (*at || at == text || total <= 0)
        return cnnbn_error(CNNBN_ERR_OPTION, "%s '%s': a time such as 3h50m, 90min or 600s is expected", option, text);
    *out = total;
    return CNNBN_OK;
}

static cnnbn_status parse_size(const char *option, const char *text, size_t *out)
{
    static const char suffixes[] = "KMGT";
    char *end;
    double number = strtod(text, &end);
    const char *suffix = *end ? strchr(suffixes, *end & ~0x20) : NULL;
    double factor = 1;
    for (const char *s = suffixes; suffix && s <= suffix; s++) factor *= 1024;
    if (suffix) end++;
    if (*end == 'B' || *end == 'b') end++;
    if (end == text || *end || !(number * factor >= 1) || !(number * factor < 1e18))
        return cnnbn_error(CNNBN_ERR_OPTION, "%s '%s': a size such as 500M or 16G is expected", option, text);
    *out = (size_t)(number * factor);
    return CNNBN_OK;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    cnnbn_train_options *o = &((train_settings *)state->input)->opt;
    switch (key) {
    case OPT_DATA:
        o->data = cli_file_name("--data", arg);
        break;
    case OPT_X_TRAIN:
        o->paths.x_train = arg;
        break;
    case OPT_Y_TRAIN:
        o->paths.y_train = arg;
        break;
    case OPT_X_TEST:
        o->paths.x_test = arg;
        break;
    case OPT_Y_TEST:
        o->paths.y_test = arg;
        break;
    case OPT_DATA_MEMORY:
        cli_check(parse_size("--data-memory", arg, &o->data_memory_bytes));
        break;
    case OPT_MODEL:
        o->model = arg;
        break;
    case OPT_NORM:
        cli_check(cnnbn_norm_read(arg, &o->norm));
        break;
    case OPT_INIT_FROM:
        o->init_from = cli_file_name("--init-from", arg);
        break;
    case OPT_EPOCHS:
        o->epochs = train_int("--epochs", arg, 1, 1000000000);
        break;
    case OPT_STEPS:
        o->steps = train_int("--steps", arg, 1, 1000000000000);
        break;
    case OPT_MAX_TIME:
        cli_check(parse_time("--max-time", arg, &o->max_time_s));
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

const struct argp train_options_data = {.options = options, .parser = parse};

cnnbn_status train_complete_data(train_settings *s)
{
    if (!s->opt.data) s->opt.data = cli_bundled_data();
    return CNNBN_OK;
}
