/* cnnbn-train: mpirun -np N cnnbn-train ... */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cli_files.h"
#include "cli_ranks.h"
#include "cnnbn/train.h"

enum option_key {
    OPT_DATA = 256,
    OPT_X_TRAIN,
    OPT_Y_TRAIN,
    OPT_X_TEST,
    OPT_Y_TEST,
    OPT_MODEL,
    OPT_INIT_FROM,
    OPT_EPOCHS,
    OPT_STEPS,
    OPT_MAX_TIME,
    OPT_BATCH_SIZE,
    OPT_OPTIMIZER,
    OPT_LR,
    OPT_BETA_1,
    OPT_BETA_2,
    OPT_EPSILON,
    OPT_MOMENTUM,
    OPT_NESTEROV,
    OPT_WEIGHT_DECAY,
    OPT_CLIP_VALUE,
    OPT_CLIP_NORM,
    OPT_GLOBAL_CLIP_NORM,
    OPT_LABEL_SMOOTHING,
    OPT_SEED,
    OPT_NO_SHUFFLE,
    OPT_DROP_LAST,
    OPT_NO_VALIDATION,
    OPT_BN,
    OPT_SLICES,
    OPT_THREADS,
    OPT_REDUCE,
    OPT_KERNELS,
    OPT_CONV,
    OPT_DATA_MEMORY,
    OPT_CHECKPOINT_DIR,
    OPT_CHECKPOINT_EVERY,
    OPT_CHECKPOINT_STRICT,
    OPT_CHECKPOINT_BEST,
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
    OPT_TRACE_STEPS,
    OPT_WATCHDOG,
    OPT_CONFIG
};

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "What is trained on what:", 1},
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
    {"init-from", OPT_INIT_FROM, "FILE", 0,
     "start from these weights: .h5 of cnnbn or Keras, .keras, .weights.h5 (default: random)", 0},
    {"config", OPT_CONFIG, "FILE.yaml", 0, "any of these options, `name: value' a line; the command line wins", 0},

    {NULL, 0, NULL, 0, "How long:", 2},
    {"epochs", OPT_EPOCHS, "N", 0, "passes over the training data (default 10)", 0},
    {"steps", OPT_STEPS, "N", 0, "stop after N steps in all (default: no limit)", 0},
    {"max-time", OPT_MAX_TIME, "TIME", 0,
     "stop in time with a checkpoint and exit code 75: 3h50m, 90min, 600s; SLURM_JOB_END_TIME does the same", 0},

    {NULL, 0, NULL, 0, "Mathematics:", 3},
    {"batch-size", OPT_BATCH_SIZE, "B", 0, "GLOBAL batch, shared out over the ranks (default 32)", 0},
    {"optimizer", OPT_OPTIMIZER, "NAME", 0, "adam, adamw, sgd (default adam)", 0},
    {"lr", OPT_LR, "X", 0, "learning rate (default 0.001; sgd 0.01)", 0},
    {"beta-1", OPT_BETA_1, "X", 0, "Adam (default 0.9)", 0},
    {"beta-2", OPT_BETA_2, "X", 0, "Adam (default 0.999)", 0},
    {"epsilon", OPT_EPSILON, "X", 0, "Adam (default 1e-7)", 0},
    {"momentum", OPT_MOMENTUM, "X", 0, "SGD (default 0)", 0},
    {"nesterov", OPT_NESTEROV, NULL, 0, "SGD with Nesterov momentum", 0},
    {"weight-decay", OPT_WEIGHT_DECAY, "X", 0, "decoupled, of kernels (default 0; adamw 0.004)", 0},
    {"clip-value", OPT_CLIP_VALUE, "X", 0, "clip each gradient to [-X, X]", 0},
    {"clip-norm", OPT_CLIP_NORM, "X", 0, "clip the norm of each weight's gradient", 0},
    {"global-clip-norm", OPT_GLOBAL_CLIP_NORM, "X", 0, "clip the norm of the whole gradient", 0},
    {"label-smoothing", OPT_LABEL_SMOOTHING, "X", 0, "0 <= X < 1 (default 0)", 0},
    {"bn", OPT_BN, "MODE", 0, "sync: statistics of the global batch; local: of each rank's images (default sync)", 0},
    {"seed", OPT_SEED, "N", 0, "order, initial weights, dropout (default 0)", 0},
    {"no-shuffle", OPT_NO_SHUFFLE, NULL, 0, "samples in the order of the file", 0},
    {"drop-last", OPT_DROP_LAST, NULL, 0, "leave the short last batch out", 0},
    {"no-validation", OPT_NO_VALIDATION, NULL, 0, "no pass over the test set after an epoch", 0},

    {NULL, 0, NULL, 0, "Execution:", 4},
    {"slices", OPT_SLICES, "S", 0,
     "parts of a batch, the unit of work and of the order of sums; bits depend on it, not on ranks or threads "
     "(default: by the batch size)",
     0},
    {"threads", OPT_THREADS, "T", 0, "threads a rank (default: cores of the rank's affinity mask)", 0},
    {"reduce", OPT_REDUCE, "MODE", 0,
     "ordered: a fixed tree, same bits at any number of ranks; mpi: MPI_Allreduce (default ordered)", 0},
    {"kernels", OPT_KERNELS, "NAME", 0,
     "auto, simd, simd-avx512, simd-avx2, simd-baseline, simd-neon, blas, ref (default auto)", 0},
    {"conv", OPT_CONV, "ALGORITHM", 0,
     "auto, direct, winograd, blas: wish for all convolutions (default auto: by each layer's shape)", 0},
    {"watchdog", OPT_WATCHDOG, "SECONDS", 0, "end the job when nothing moves for so long; 0: never (default 300)", 0},

    {NULL, 0, NULL, 0, "Files:", 5},
    {"checkpoint-dir", OPT_CHECKPOINT_DIR, "DIR", 0, "keep checkpoints (Keras .h5) here, and go on from the newest", 0},
    {"checkpoint-every", OPT_CHECKPOINT_EVERY, "N", 0, "1e epochs, 500s steps, 10min minutes (default 1e)", 0},
    {"checkpoint-best", OPT_CHECKPOINT_BEST, "METRIC", 0,
     "also keep best.h5 by val_accuracy, val_loss, accuracy or loss", 0},
    {"checkpoint-strict", OPT_CHECKPOINT_STRICT, NULL, 0,
     "end when a checkpoint cannot be written (default: say so and go on)", 0},
    {"keep", OPT_KEEP, "K", 0, "newest checkpoints kept (default 3)", 0},
    {"resume", OPT_RESUME, "FROM", 0,
     "auto: the newest good one in the folder; none; or a file (default auto with --checkpoint-dir)", 0},
    {"override", OPT_OVERRIDE, "NAMES", 0, "options, comma-separated, that may differ from the checkpoint's", 0},
    {"log", OPT_LOG, "FILE.csv", 0, "a row an epoch", 0},
    {"log-steps", OPT_LOG_STEPS, "FILE.csv", 0, "a row a step: loss and accuracy of its batch before the update", 0},

    {NULL, 0, NULL, 0, "Output:", 6},
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

typedef struct settings {
    cnnbn_train_options opt;
    int lr_given, decay_given, momentum_given, clips_given;
} settings;

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

static void set_clip(settings *s, cnnbn_clip_kind kind, const char *option, const char *text)
{
    s->clips_given++;
    s->opt.optimizer.clip = kind;
    cli_check(cli_real(option, text, 1e-30, 1e30, &s->opt.optimizer.clip_limit));
    if (s->clips_given > 1)
        cli_check(
            cnnbn_error(CNNBN_ERR_OPTION, "%s: at most one of --clip-value, --clip-norm, --global-clip-norm", option));
}

static long long get_int(const char *option, const char *text, long long least, long long most)
{
    long long value = 0;
    cli_check(cli_int(option, text, least, most, &value));
    return value;
}

static double get_real(const char *option, const char *text, double least, double most)
{
    double value = 0;
    cli_check(cli_real(option, text, least, most, &value));
    return value;
}

static int get_word(const char *option, const char *text, const char *const *words)
{
    int value = 0;
    cli_check(cli_word(option, text, words, &value));
    return value;
}

static error_t parse_mathematics(int key, char *arg, settings *s)
{
    static const char *const optimizers[] = {"adam", "adamw", "sgd", NULL};
    static const char *const bn_modes[] = {"sync", "local", NULL};
    cnnbn_train_options *o = &s->opt;
    cnnbn_optimizer *opt = &o->optimizer;
    switch (key) {
    case OPT_BATCH_SIZE:
        o->batch_size = (size_t)get_int("--batch-size", arg, 1, 1 << 24);
        break;
    case OPT_OPTIMIZER:
        opt->kind = (cnnbn_optimizer_kind)get_word("--optimizer", arg, optimizers);
        break;
    case OPT_LR:
        opt->lr = get_real("--lr", arg, 0, 1e6);
        s->lr_given = 1;
        break;
    case OPT_BETA_1:
        opt->beta1 = get_real("--beta-1", arg, 0, 0.999999999);
        break;
    case OPT_BETA_2:
        opt->beta2 = get_real("--beta-2", arg, 0, 0.999999999);
        break;
    case OPT_EPSILON:
        opt->epsilon = get_real("--epsilon", arg, 1e-30, 1);
        break;
    case OPT_MOMENTUM:
        opt->momentum = get_real("--momentum", arg, 0, 1);
        s->momentum_given = 1;
        break;
    case OPT_NESTEROV:
        opt->nesterov = 1;
        break;
    case OPT_WEIGHT_DECAY:
        opt->weight_decay = get_real("--weight-decay", arg, 0, 1e3);
        s->decay_given = 1;
        break;
    case OPT_CLIP_VALUE:
        set_clip(s, CNNBN_CLIP_VALUE, "--clip-value", arg);
        break;
    case OPT_CLIP_NORM:
        set_clip(s, CNNBN_CLIP_NORM, "--clip-norm", arg);
        break;
    case OPT_GLOBAL_CLIP_NORM:
        set_clip(s, CNNBN_CLIP_GLOBAL_NORM, "--global-clip-norm", arg);
        break;
    case OPT_LABEL_SMOOTHING:
        o->label_smoothing = get_real("--label-smoothing", arg, 0, 0.999999);
        break;
    case OPT_BN:
        o->bn_local = get_word("--bn", arg, bn_modes);
        break;
    case OPT_SEED:
        cli_check(cli_u64("--seed", arg, &o->seed));
        break;
    case OPT_NO_SHUFFLE:
        o->shuffle = 0;
        break;
    case OPT_DROP_LAST:
        o->drop_last = 1;
        break;
    case OPT_NO_VALIDATION:
        o->validate = 0;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static error_t parse_execution(int key, char *arg, cnnbn_train_options *o)
{
    static const char *const reduces[] = {"ordered", "mpi", NULL};
    static const char *const convs[] = {"auto",   "ref",      "blas",
                                        "direct", "winograd", NULL}; /* order of cnnbn_conv_algo */
    static const char *const kinds[] = {"auto", "lines", "bar", NULL};
    switch (key) {
    case OPT_SLICES:
        o->slices = (int)get_int("--slices", arg, 1, CNNBN_SLICES_MAX);
        break;
    case OPT_THREADS:
        o->threads = (int)get_int("--threads", arg, 1, 1024);
        break;
    case OPT_REDUCE:
        o->reduce = (cnnbn_reduce_mode)get_word("--reduce", arg, reduces);
        break;
    case OPT_KERNELS:
        o->kernels = arg;
        break;
    case OPT_CONV:
        o->conv = (cnnbn_conv_algo)get_word("--conv", arg, convs);
        break;
    case OPT_WATCHDOG:
        o->watchdog_s = get_real("--watchdog", arg, 0, 1e9);
        break;
    case OPT_DATA_MEMORY:
        cli_check(parse_size("--data-memory", arg, &o->data_memory_bytes));
        break;
    case OPT_QUIET:
        o->quiet = 1;
        break;
    case OPT_DRY_RUN:
        o->dry_run = 1;
        break;
    case OPT_PROGRESS:
        o->progress = get_word("--progress", arg, kinds) - 1;
        break;
    case OPT_PROFILE:
        o->profile = 1;
        break;
    case OPT_TRACE:
        o->trace = arg;
        break;
    case OPT_TRACE_STEPS:
        o->trace_steps = get_int("--trace-steps", arg, 1, 1000000000);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static error_t parse_files(int key, char *arg, cnnbn_train_options *o)
{
    static const char *const metrics[] = {"val_accuracy", "val_loss", "accuracy", "loss", NULL};
    switch (key) {
    case OPT_DATA:
        o->data = arg;
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
    case OPT_MODEL:
        o->model = arg;
        break;
    case OPT_INIT_FROM:
        o->init_from = arg;
        break;
    case OPT_EPOCHS:
        o->epochs = get_int("--epochs", arg, 1, 1000000000);
        break;
    case OPT_STEPS:
        o->steps = get_int("--steps", arg, 1, 1000000000000);
        break;
    case OPT_MAX_TIME:
        cli_check(parse_time("--max-time", arg, &o->max_time_s));
        break;
    case OPT_CHECKPOINT_DIR:
        o->checkpoint_dir = arg;
        break;
    case OPT_CHECKPOINT_EVERY:
        cli_check(parse_every(arg, o));
        break;
    case OPT_CHECKPOINT_BEST:
        o->checkpoint_best = metrics[get_word("--checkpoint-best", arg, metrics)];
        break;
    case OPT_CHECKPOINT_STRICT:
        o->checkpoint_strict = 1;
        break;
    case OPT_KEEP:
        o->keep = (int)get_int("--keep", arg, 1, 1000000);
        break;
    case OPT_RESUME:
        o->resume = arg;
        break;
    case OPT_OVERRIDE:
        o->override = arg;
        break;
    case OPT_LOG:
        o->log = arg;
        break;
    case OPT_LOG_STEPS:
        o->log_steps = arg;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    settings *s = state->input;
    if (key == ARGP_KEY_ARG) argp_error(state, "unexpected argument '%s'", arg);
    error_t done = parse_mathematics(key, arg, s);
    if (done == ARGP_ERR_UNKNOWN) done = parse_execution(key, arg, &s->opt);
    if (done == ARGP_ERR_UNKNOWN) done = parse_files(key, arg, &s->opt);
    return done;
}

/* What depends on several options. */
static cnnbn_status complete(settings *s)
{
    cnnbn_train_options *o = &s->opt;
    cnnbn_optimizer *opt = &o->optimizer;
    if (!s->lr_given && opt->kind == CNNBN_SGD) opt->lr = 0.01;                 /* Keras' SGD */
    if (!s->decay_given && opt->kind == CNNBN_ADAMW) opt->weight_decay = 0.004; /* Keras' AdamW */
    if (opt->kind == CNNBN_ADAM && opt->weight_decay > 0) opt->kind = CNNBN_ADAMW;
    if ((s->momentum_given || opt->nesterov) && opt->kind != CNNBN_SGD)
        return cnnbn_error(CNNBN_ERR_OPTION, "--momentum and --nesterov are SGD's; add --optimizer sgd");
    if (!o->data) o->data = cli_bundled_data();
    if (o->checkpoint_best && !o->checkpoint_dir)
        return cnnbn_error(CNNBN_ERR_OPTION, "--checkpoint-best needs --checkpoint-dir");
    if (o->trace_steps && !o->trace) return cnnbn_error(CNNBN_ERR_OPTION, "--trace-steps needs --trace FILE.json");
    return CNNBN_OK;
}

int main(int argc, char **argv)
{
    cli_start("cnnbn-train");
    cli_set_parting(cli_part_by_mpi);
    settings s;
    memset(&s, 0, sizeof s);
    cnnbn_train_defaults(&s.opt);
    const struct argp arguments = {
        .options = options,
        .parser = parse,
        .doc =
            "Trains a convolutional network on CPUs, with batch normalisation over all ranks:\n"
            "mpirun -np N cnnbn-train ...   or   srun --mpi=pmix cnnbn-train ...\v"
            "Exit codes: 0 done; 1 wrong usage; 2 bad model, data or options; 3 run-time failure; 4 loss not finite; "
            "75 interrupted with a checkpoint written: run again to go on.",
    };
    cli_check(cli_with_config(argc, argv, &argc, &argv));
    cli_parse(&arguments, 0, argc, argv, &s);
    cli_check(complete(&s));
    cnnbn_comm *comm;
    cli_check(cnnbn_comm_init(&argc, &argv, &comm));
    cnnbn_status status = cnnbn_train_run(comm, &s.opt);
    int code = cli_finish(status);
    cnnbn_comm_finalize(comm);
    return code;
}
