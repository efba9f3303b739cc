/* cnnbn-bench checkpoint: whole training runs with and without checkpoints, in interleaved rounds. */
#define _GNU_SOURCE /* nftw */
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "cli.h"
#include "cli_files.h"
#include "cnnbn/log.h"
#include "cnnbn/train.h"

enum { OPT_MODEL = 256, OPT_DATA, OPT_BATCH_SIZE, OPT_THREADS, OPT_KERNELS, OPT_EVERY, OPT_CHECKPOINTS, OPT_DIR };

typedef struct checkpoint_bench {
    bench_options options;
    cnnbn_train_options run;
    cnnbn_comm *comm;
    const char *parent; /* folder for the files */
    int every, checkpoints;
    char dir[4096];
    bench_times without, with, stall; /* of one step */
    double file_bytes, write_s;
} checkpoint_bench;

static const struct argp_option options[] = {
    {"model", OPT_MODEL, "MODEL", 0, "(default keras-example)", 0},
    {"data", OPT_DATA, "FILE", 0, "HDF5 dataset (default: the bundled one)", 0},
    {"batch-size", OPT_BATCH_SIZE, "B", 0, "GLOBAL batch (default 128)", 0},
    {"threads", OPT_THREADS, "T", 0, "threads a rank (default: cores of the rank's affinity mask)", 0},
    {"kernels", OPT_KERNELS, "NAME", 0, "(default auto)", 0},
    {"every", OPT_EVERY, "N", 0, "steps between two checkpoints (default 100)", 0},
    {"checkpoints", OPT_CHECKPOINTS, "K", 0, "of a run (default 2)", 0},
    {"dir", OPT_DIR, "DIR", 0, "folder for the files, on the disk in question (default $TMPDIR); all is removed", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    checkpoint_bench *b = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &b->options;
        return 0;
    case OPT_MODEL:
        b->run.model = arg;
        return 0;
    case OPT_DATA:
        b->run.data = arg;
        return 0;
    case OPT_BATCH_SIZE:
        b->run.batch_size = (size_t)bench_int("--batch-size", arg, 1, 1 << 24);
        return 0;
    case OPT_THREADS:
        b->run.threads = (int)bench_int("--threads", arg, 1, 1024);
        return 0;
    case OPT_KERNELS:
        b->run.kernels = arg;
        return 0;
    case OPT_EVERY:
        b->every = (int)bench_int("--every", arg, 1, 1000000);
        return 0;
    case OPT_CHECKPOINTS:
        b->checkpoints = (int)bench_int("--checkpoints", arg, 1, 1000);
        return 0;
    case OPT_DIR:
        b->parent = arg;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---------------------------------------------------------------- the folder */

static cnnbn_status make_dir(checkpoint_bench *b)
{
    cnnbn_status status = CNNBN_OK;
    if (cnnbn_comm_rank(b->comm) == 0) {
        (void)snprintf(b->dir, sizeof b->dir, "%s/cnnbn-bench-XXXXXX", b->parent);
        if (!mkdtemp(b->dir))
            status = cnnbn_error(CNNBN_ERR_IO, "--dir %s: no folder can be made there: %s", b->parent, strerror(errno));
    }
    CNNBN_TRY(cnnbn_comm_agree(b->comm, status));
    return cnnbn_comm_bcast(b->comm, b->dir, sizeof b->dir, 0);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

static void remove_dir(checkpoint_bench *b)
{
    const int open_most = 8;
    if (cnnbn_comm_rank(b->comm) == 0 && nftw(b->dir, remove_one, open_most, FTW_DEPTH | FTW_PHYS) != 0)
        cnnbn_warn("%s cannot be removed: %s", b->dir, strerror(errno));
}

static double largest_file(const char *dir)
{
    DIR *folder = opendir(dir);
    double largest = 0;
    for (const struct dirent *entry; folder && (entry = readdir(folder));) {
        struct stat info;
        if (fstatat(dirfd(folder), entry->d_name, &info, 0) == 0 && S_ISREG(info.st_mode) &&
            (double)info.st_size > largest)
            largest = (double)info.st_size;
    }
    if (folder) (void)closedir(folder);
    return largest;
}

/* ---------------------------------------------------------------- runs */

/* A run of so many steps that the last checkpoint, too, is written beside steps. */
static cnnbn_status run_once(checkpoint_bench *b, int with)
{
    cnnbn_train_report report;
    cnnbn_train_options run = b->run;
    memset(&report, 0, sizeof report);
    run.report = &report;
    run.steps = (int64_t)b->every * b->checkpoints + b->every - 1;
    if (with) {
        CNNBN_TRY(make_dir(b));
        run.checkpoint_dir = b->dir;
        run.checkpoint_every = b->every;
        run.checkpoint_unit = CNNBN_EVERY_STEPS;
        run.checkpoint_strict = 1;
        run.resume = "none";
    }
    cnnbn_status status = cnnbn_train_run(b->comm, &run);
    cnnbn_log_set_level(CNNBN_LOG_QUIET); /* what the first run says of the options holds for all */
    if (with) {
        b->file_bytes = largest_file(b->dir);
        remove_dir(b);
    }
    CNNBN_TRY(status);
    double steps = report.steps ? (double)report.steps : 1;
    bench_times_add(with ? &b->with : &b->without, report.loop_s / steps);
    if (with) bench_times_add(&b->stall, report.checkpoint_s / steps);
    if (report.longest_write_s > b->write_s) b->write_s = report.longest_write_s;
    return CNNBN_OK;
}

static void print(const checkpoint_bench *b)
{
    char size[32];
    double without = bench_median(&b->without), with = bench_median(&b->with), stall = bench_median(&b->stall);
    double least = bench_min(&b->without), least_with = bench_min(&b->with);
    bench_say("\nModel %s, batch %zu, %d ranks; a checkpoint every %d steps, %d in a run; %d runs each, interleaved\n",
              b->run.model, b->run.batch_size, cnnbn_comm_size(b->comm), b->every, b->checkpoints, b->options.rounds);
    bench_say("  %-44s %10s %10s\n", "a step", "ms", "minimum");
    bench_say("  %-44s %10.3f %10.3f\n", "without checkpoints", without * 1e3, least * 1e3);
    bench_say("  %-44s %10.3f %10.3f\n", "with checkpoints", with * 1e3, least_with * 1e3);
    bench_say("  %-44s %8.2f %% %8.2f %%\n", "the difference", 100 * (with / without - 1),
              100 * (least_with / least - 1));
    bench_say("  %-44s %8.2f %%   (%.3f ms a checkpoint)\n", "of it: steps waited for the copy of the state",
              100 * stall / without, stall * (double)(b->every * (b->checkpoints + 1) - 1) / b->checkpoints * 1e3);
    bench_say("A file of %s; the longest write took %.1f ms, in %s\n", bench_size_text(b->file_bytes, size),
              b->write_s * 1e3, b->parent);
    bench_row("\"%s\",%zu,%d,%d,%.4f,%.4f,%.4f,%.4f,%.3f,%.3f,%.0f,%.3f", b->run.model, b->run.batch_size,
              cnnbn_comm_size(b->comm), b->every, without * 1e3, least * 1e3, with * 1e3, least_with * 1e3,
              100 * (with / without - 1), 100 * stall / without, b->file_bytes, b->write_s * 1e3);
}

static cnnbn_status run(checkpoint_bench *b)
{
    CNNBN_TRY(cnnbn_comm_agree(
        b->comm, bench_output_open(&b->options, "model,batch_size,ranks,every,ms_without_median,ms_without_min,ms_with_"
                                                "median,ms_with_min,percent,percent_copy,file_bytes,write_ms")));
    bench_say_cpu();
    for (int r = 0; r < b->options.rounds; r++)
        for (int with = 0; with <= 1; with++) CNNBN_TRY(run_once(b, with));
    print(b);
    return cnnbn_comm_agree(b->comm, bench_output_close());
}

int bench_checkpoint(int argc, char **argv)
{
    static checkpoint_bench b;
    const char *temporary = getenv("TMPDIR");
    b.options = (bench_options){.rounds = 3};
    b.parent = temporary && *temporary ? temporary : P_tmpdir;
    b.every = 100;
    b.checkpoints = 2;
    cnnbn_train_defaults(&b.run);
    b.run.data = cli_bundled_data();
    b.run.batch_size = 128;
    b.run.epochs = 1000000000; /* --steps ends a run */
    b.run.validate = 0;
    b.run.quiet = 1;
    b.run.watchdog_s = 0;
    const struct argp_child children[] = {{&bench_common_argp, 0, NULL, 0}, {0}};
    const struct argp arguments = {.options = options,
                                   .parser = parse,
                                   .children = children,
                                   .doc = "What checkpoints cost a run: steps with and without them. The state is "
                                          "copied between two steps and written beside the next ones. Under mpirun "
                                          "or srun too."};
    cli_parse(&arguments, 0, argc, argv, &b);
    cli_check(cnnbn_comm_init(&argc, &argv, &b.comm));
    int code = cli_finish(run(&b));
    cnnbn_comm_finalize(b.comm);
    return code;
}
