/* What cnnbn-train writes and shows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train_options.h"

enum option_key {
    OPT_CHECKPOINT_DIR = 256,
    OPT_CHECKPOINT_EVERY,
    OPT_CHECKPOINT_BEST,
    OPT_CHECKPOINT_STRICT,
    OPT_KEEP,
    OPT_RESUME,
    OPT_OVERRIDE,
    OPT_LOG,
    OPT_LOG_STEPS,
    OPT_QUIET,
    OPT_DRY_RUN,
    OPT_PROGRESS,
    OPT_PROFILE,
    OPT_TRACE,
    OPT_TRACE_STEPS
};

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "Files:", 50},
    {"checkpoint-dir", OPT_CHECKPOINT_DIR, "DIR", 0, "keep checkpoints (Keras .h5) here, and go on from the newest", 0},
    {"checkpoint-every", OPT_CHECKPOINT_EVERY, "N", 0, "1e epochs, 500s steps, 10min minutes (default 1e)", 0},
    {"checkpoint-best", OPT_CHECKPOINT_BEST, "METRIC", 0,
     "also keep best.h5 by loss or a metric of the run, or by val_loss, val_accuracy, ...", 0},
    {"checkpoint-strict", OPT_CHECKPOINT_STRICT, NULL, 0,
     "end when a checkpoint cannot be written (default: say so and go on)", 0},
    {"keep", OPT_KEEP, "K", 0, "newest checkpoints kept (default 3)", 0},
    {"resume", OPT_RESUME, "FROM", 0,
     "auto: the newest good one in the folder; none; or a file (default auto with --checkpoint-dir)", 0},
    {"override", OPT_OVERRIDE, "NAMES", 0, "options, comma-separated, that may differ from the checkpoint's", 0},
    {"log", OPT_LOG, "FILE.csv", 0, "a row an epoch", 0},
    {"log-steps", OPT_LOG_STEPS, "FILE.csv", 0, "a row a step: loss and metrics of its batch before the update", 0},

    {NULL, 0, NULL, 0, "Output:", 60},
    {"quiet", OPT_QUIET, NULL, 0, "print nothing but warnings and errors", 0},
    {"dry-run", OPT_DRY_RUN, NULL, 0, "print the model, the plan of a step, memory and communication, and stop", 0},
    {"progress", OPT_PROGRESS, "KIND", 0, "bar, lines, or auto: a bar on a terminal (default auto)", 0},
    {"profile", OPT_PROFILE, NULL, 0, "print the time of each operation after each epoch", 0},
    {"trace", OPT_TRACE, "FILE.json", 0,
     "timeline of the first epoch, all ranks and threads, for https://ui.perfetto.dev", 0},
    {"trace-steps", OPT_TRACE_STEPS, "N", 0,
     "timeline of the first N steps of the run instead (at most its first epoch)", 0},
    {0},
};

static cnnbn_status parse_every(const char *text, cnnbn_train_options *o)
{
    char *end;
    double number = strtod(text, &end);
    int whole = number == floor(number);
    if (end != text && number > 0 && number < 1e12) {
        if ((strcmp(end, "e") == 0 || !*end) && whole) {
            o->checkpoint_every = number;
            o->checkpoint_unit = CNNBN_EVERY_EPOCHS;
            return CNNBN_OK;
        }
        if (strcmp(end, "s") == 0 && whole) {
            o->checkpoint_every = number;
            o->checkpoint_unit = CNNBN_EVERY_STEPS;
            return CNNBN_OK;
        }
        if (strcmp(end, "min") == 0) {
            o->checkpoint_every = number * 60;
            o->checkpoint_unit = CNNBN_EVERY_SECONDS;
            return CNNBN_OK;
        }
    }
    return cnnbn_error(CNNBN_ERR_OPTION,
                       "--checkpoint-every '%s': 1e (epochs), 500s (steps) or 10min (minutes) is expected", text);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    static const char *const kinds[] = {"auto", "lines", "bar", NULL};
    cnnbn_train_options *o = &((train_settings *)state->input)->opt;
    switch (key) {
    case OPT_CHECKPOINT_DIR:
        o->checkpoint_dir = arg;
        break;
    case OPT_CHECKPOINT_EVERY:
        cli_check(parse_every(arg, o));
        break;
    case OPT_CHECKPOINT_BEST:
        o->checkpoint_best = arg;
        break;
    case OPT_CHECKPOINT_STRICT:
        o->checkpoint_strict = 1;
        break;
    case OPT_KEEP:
        o->keep = (int)train_int("--keep", arg, 1, 1000000);
        break;
    case OPT_RESUME:
        o->resume = cli_file_name("--resume", arg);
        break;
    case OPT_OVERRIDE:
        o->override = arg;
        break;
    case OPT_LOG:
        o->log = cli_file_name("--log", arg);
        break;
    case OPT_LOG_STEPS:
        o->log_steps = cli_file_name("--log-steps", arg);
        break;
    case OPT_QUIET:
        o->quiet = 1;
        break;
    case OPT_DRY_RUN:
        o->dry_run = 1;
        break;
    case OPT_PROGRESS:
        o->progress = train_word("--progress", arg, kinds) - 1;
        break;
    case OPT_PROFILE:
        o->profile = 1;
        break;
    case OPT_TRACE:
        o->trace = cli_file_name("--trace", arg);
        break;
    case OPT_TRACE_STEPS:
        o->trace_steps = train_int("--trace-steps", arg, 1, 1000000000);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

const struct argp train_options_files = {.options = options, .parser = parse};

cnnbn_status train_complete_files(train_settings *s)
{
    const cnnbn_train_options *o = &s->opt;
    if (o->checkpoint_best && !o->checkpoint_dir)
        return cnnbn_error(CNNBN_ERR_OPTION, "--checkpoint-best needs --checkpoint-dir");
    if (o->trace_steps && !o->trace) return cnnbn_error(CNNBN_ERR_OPTION, "--trace-steps needs --trace FILE.json");
    const cli_named_file written[] = {{"--log", o->log}, {"--log-steps", o->log_steps}, {"--trace", o->trace}};
    const cli_named_file read[] = {
        {"--data", o->data}, {"--model", o->model}, {"--init-from", o->init_from}, {"--resume", o->resume}};
    return cli_files_apart(written, sizeof written / sizeof *written, read, sizeof read / sizeof *read);
}
