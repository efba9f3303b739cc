/* cnnbn-eval: loss, accuracy, the classes one by one. Also under mpirun. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "cli_files.h"
#include "cli_names.h"
#include "cli_ranks.h"
#include "cnnbn/cpu.h"
#include "cnnbn/log.h"
#include "cnnbn/memory.h"
#include "cnnbn/train.h"
#include "eval_report.h"

enum option_key {
    OPT_DATA = 256,
    OPT_X_TRAIN,
    OPT_Y_TRAIN,
    OPT_X_TEST,
    OPT_Y_TEST,
    OPT_SPLIT,
    OPT_LOSS,
    OPT_METRICS,
    OPT_BATCH_SIZE,
    OPT_THREADS,
    OPT_KERNELS,
    OPT_EMA,
    OPT_CSV,
    OPT_CONFUSION
};

static const struct argp_option options[] = {
    {"data", OPT_DATA, "FILE", 0, "HDF5 dataset (default: the bundled part of Fashion-MNIST)", 1},
    {"x-train", OPT_X_TRAIN, "PATH", 0, "path in the file (default x_train; likewise the next three)", 0},
    {"y-train", OPT_Y_TRAIN, "PATH", 0, "", 0},
    {"x-test", OPT_X_TEST, "PATH", 0, "", 0},
    {"y-test", OPT_Y_TEST, "PATH", 0, "", 0},
    {"split", OPT_SPLIT, "NAME", 0, "test or train (default test)", 0},
    {"loss", OPT_LOSS, "NAME", 0,
     "sparse_categorical_crossentropy, categorical_crossentropy, binary_crossentropy, mse, mae, huber (default: that "
     "of "
     "the checkpoint, else what fits)",
     0},
    {"metrics", OPT_METRICS, "NAMES", 0,
     "comma-separated: accuracy, top-K, binary_accuracy, auc, mae, mse; or none (default: those of the checkpoint)", 0},
    {"batch-size", OPT_BATCH_SIZE, "B", 0,
     "images that are computed and summed together; the loss's last digits depend on it, not on ranks or threads "
     "(default 32)",
     2},
    {"threads", OPT_THREADS, "T", 0, "threads a rank (default: cores of the rank's affinity mask)", 0},
    {"ema", OPT_EMA, NULL, 0, "look at the averages of the weights, which cnnbn-train --ema leaves in a checkpoint", 0},
    {"kernels", OPT_KERNELS, "NAME", 0,
     "auto, simd, simd-avx512, simd-avx2, simd-baseline, simd-neon, blas, ref (default auto)", 0},
    {"confusion", OPT_CONFUSION, NULL, 0, "print the confusion matrix of more than 20 classes too", 3},
    {"csv", OPT_CSV, "FILE", 0, "write a row a class: precision, recall, F1, support, and its row of the matrix", 0},
    {0},
};

typedef struct settings {
    const char *checkpoint, *data, *kernels, *csv, *loss, *metrics;
    cnnbn_dataset_paths paths;
    cnnbn_split split;
    int batch_size, threads, confusion, use_ema;
} settings;

static error_t parse(int key, char *arg, struct argp_state *state)
{
    static const char *const splits[] = {"train", "test", NULL}; /* order of cnnbn_split */
    settings *s = state->input;
    long long n = 0;
    int word = 0;
    switch (key) {
    case OPT_DATA:
        s->data = cli_file_name("--data", arg);
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
    case OPT_SPLIT:
        cli_check(cli_word("--split", arg, splits, &word));
        s->split = (cnnbn_split)word;
        break;
    case OPT_LOSS:
        s->loss = arg;
        break;
    case OPT_METRICS:
        s->metrics = arg;
        break;
    case OPT_BATCH_SIZE:
        cli_check(cli_int("--batch-size", arg, 1, 1 << 16, &n));
        s->batch_size = (int)n;
        break;
    case OPT_THREADS:
        cli_check(cli_int("--threads", arg, 1, 1024, &n));
        s->threads = (int)n;
        break;
    case OPT_KERNELS:
        s->kernels = arg;
        break;
    case OPT_EMA:
        s->use_ema = 1;
        break;
    case OPT_CONFUSION:
        s->confusion = 1;
        break;
    case OPT_CSV:
        s->csv = cli_file_name("--csv", arg);
        break;
    case ARGP_KEY_ARG:
        if (s->checkpoint) argp_error(state, "too many arguments: '%s'", arg);
        s->checkpoint = cli_file_name("CHECKPOINT", arg);
        break;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "a checkpoint is needed");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* The names of the dataset, else those the checkpoint keeps; y of values has names of columns, not of the classes of one. */
static const char *class_name(const eval_report *r, int k)
{
    if (r->data->class_names) return k < r->data->n_classes ? r->data->class_names[k] : "";
    const char *name = cnnbn_predictor_class_name(r->predictor, k);
    return name ? name : "";
}

static cnnbn_status write_csv(const eval_report *report, const char *path)
{
    FILE *file = fopen(path, "w");
    if (!file) return cnnbn_error(CNNBN_ERR_IO, "--csv %s: cannot be opened: %s", path, strerror(errno));
    eval_write_csv(report, file);
    int failed = ferror(file);
    if (fclose(file) != 0 || failed)
        return cnnbn_error(CNNBN_ERR_IO, "--csv %s: cannot be written: %s", path, strerror(errno));
    return CNNBN_OK;
}

static cnnbn_status tell(const settings *s, eval_report *report)
{
    void *memory;
    int K = report->result->n_classes;
    CNNBN_TRY(cnnbn_alloc_array((size_t)K + 1, sizeof(char *), "class names", &memory));
    report->names = memory;
    for (int k = 0; k < K; k++) report->names[k] = class_name(report, k);
    eval_print(report, s->confusion);
    cnnbn_status status = s->csv ? write_csv(report, s->csv) : CNNBN_OK;
    status = cli_flush_output(status);
    cnnbn_free(memory);
    return status;
}

static cnnbn_status evaluate(cnnbn_comm *comm, const settings *s, cnnbn_dataset *dataset, cnnbn_predictor *predictor)
{
    cnnbn_evaluation result;
    CNNBN_TRY(cnnbn_predictor_evaluate(predictor, comm, dataset, s->split, &result));
    eval_report report = {.checkpoint = s->checkpoint,
                          .predictor = predictor,
                          .of_averages = s->use_ema,
                          .data = cnnbn_dataset_get_info(dataset),
                          .split = s->split,
                          .result = &result};
    cnnbn_status status = cnnbn_comm_rank(comm) == 0 ? tell(s, &report) : CNNBN_OK;
    cnnbn_free(result.confusion);
    CNNBN_TRY(cnnbn_comm_agree(comm, status));
    if (!isfinite(result.loss))
        return cnnbn_error(CNNBN_ERR_NONFINITE,
                           "%s: the loss is not finite: its weights are not those of a trained model", s->checkpoint);
    return CNNBN_OK;
}

static cnnbn_status run(cnnbn_comm *comm, const settings *s)
{
    cnnbn_dataset *dataset = NULL;
    cnnbn_predictor *predictor = NULL;
    if (cnnbn_comm_rank(comm) != 0) cnnbn_log_set_level(CNNBN_LOG_QUIET);
    cnnbn_status status = cnnbn_comm_agree(comm, cnnbn_dataset_open(s->data, &s->paths, &dataset));
    int share = cnnbn_cpu_cores_allowed() / cnnbn_comm_node_size(comm);
    cnnbn_predictor_options how = {.checkpoint = s->checkpoint,
                                   .use_ema = s->use_ema,
                                   .kernels = s->kernels,
                                   .threads = s->threads  ? s->threads
                                              : share > 0 ? share
                                                          : 1,
                                   .batch_size = s->batch_size,
                                   .evaluates = 1,
                                   .loss = s->loss,
                                   .metrics = s->metrics};
    if (status == CNNBN_OK) {
        how.data = cnnbn_dataset_get_info(dataset);
        status = cnnbn_predictor_create(comm, &how, &predictor);
    }
    if (status == CNNBN_OK) status = evaluate(comm, s, dataset, predictor);
    cnnbn_predictor_destroy(predictor);
    cnnbn_dataset_close(dataset);
    return status;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "CHECKPOINT",
        .doc = "Loss and metrics of a checkpoint or Keras .h5 on a dataset; where a sample has one class, precision, "
               "recall and F1 of each class, and the confusion matrix. mpirun -np N cnnbn-eval ... shares the images "
               "out; the result is the same.\v"
               "Exit codes: 0 done; 1 wrong usage; 2 bad checkpoint, data or options; 3 run-time failure; 4 loss not "
               "finite.",
    };
    cli_start("cnnbn-eval");
    cli_set_parting(cli_part_by_mpi);
    settings s = {.split = CNNBN_TEST};
    cli_parse(&argp, 0, argc, argv, &s);
    if (!s.data) s.data = cli_bundled_data();
    const cli_named_file csv = {"--csv", s.csv}, read[] = {{"CHECKPOINT", s.checkpoint}, {"--data", s.data}};
    cli_check(cli_files_apart(&csv, 1, read, 2));
    cnnbn_comm *comm;
    cli_check(cnnbn_comm_init(&argc, &argv, &comm));
    int code = cli_finish(run(comm, &s));
    cnnbn_comm_finalize(comm);
    return code;
}
