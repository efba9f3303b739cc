/* cnnbn-bench scaling: `step` at several numbers of ranks, started by mpirun, in interleaved rounds. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "cli.h"
#include "cnnbn/slices.h"

enum { OPT_NP = 256, OPT_LAUNCHER, OPT_PASSED /* and the next: options of step */, PASSED_MAX = 16, WORDS_MAX = 64 };

/* Options of `step` that are handed on. */
static const char *const passed_names[] = {"model",     "input",   "classes", "batch-size", "slices", "threads",
                                           "optimizer", "kernels", "conv",    "reduce",     "bn"};
enum { N_PASSED = sizeof passed_names / sizeof *passed_names, PASSED_MODEL = 0, PASSED_BATCH = 3, PASSED_THREADS = 5 };

typedef struct scaling_bench {
    bench_options options;
    int np[BENCH_LIST_MAX], n_np;
    char *launcher; /* as given, or NULL */
    const char *passed[N_PASSED];
    int threads;
    const char *command[WORDS_MAX]; /* the launcher's words */
    int n_words, is_open_mpi;
    char program[4096];
    bench_times times[BENCH_LIST_MAX]; /* of a step */
} scaling_bench;

static const struct argp_option options[] = {
    {"np", OPT_NP, "LIST", 0, "numbers of ranks (default 1,2); speed-up is against the first", 0},
    {"launcher", OPT_LAUNCHER, "COMMAND", 0,
     "such as `mpirun --hostfile hosts'; `-np N' and the program are added (default: $MPIRUN or mpirun, each thread on "
     "a core of its own)",
     0},
    {NULL, 0, NULL, 0, "Handed on to cnnbn-bench step (no lists):", 2},
    {"model", OPT_PASSED + 0, "MODEL", 0, "", 0},
    {"input", OPT_PASSED + 1, "HxWxC", 0, "", 0},
    {"classes", OPT_PASSED + 2, "N", 0, "", 0},
    {"batch-size", OPT_PASSED + 3, "B", 0, "the GLOBAL batch, the same at all numbers of ranks (default 128)", 0},
    {"slices", OPT_PASSED + 4, "S", 0, "", 0},
    {"threads", OPT_PASSED + 5, "T", 0, "threads a rank (default 1)", 0},
    {"optimizer", OPT_PASSED + 6, "NAME", 0, "", 0},
    {"kernels", OPT_PASSED + 7, "NAME", 0, "", 0},
    {"conv", OPT_PASSED + 8, "ALGORITHM", 0, "", 0},
    {"reduce", OPT_PASSED + 9, "MODE", 0, "", 0},
    {"bn", OPT_PASSED + 10, "MODE", 0, "", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    scaling_bench *b = state->input;
    if (key >= OPT_PASSED && key < OPT_PASSED + N_PASSED) {
        if (strchr(arg, ',') && key != OPT_PASSED + PASSED_MODEL)
            cli_check(cnnbn_error(CNNBN_ERR_OPTION, "--%s: '%s': one value is expected", passed_names[key - OPT_PASSED],
                                  arg));
        if (key == OPT_PASSED + PASSED_THREADS) b->threads = (int)bench_int("--threads", arg, 1, 1024);
        b->passed[key - OPT_PASSED] = arg;
        return 0;
    }
    const char *items[BENCH_LIST_MAX];
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &b->options;
        return 0;
    case OPT_NP:
        b->n_np = bench_list("--np", arg, items);
        for (int i = 0; i < b->n_np; i++) b->np[i] = (int)bench_int("--np", items[i], 1, 100000);
        return 0;
    case OPT_LAUNCHER:
        b->launcher = arg;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---------------------------------------------------------------- other programs */

/* Starts the command, its stdout in *out. */
static cnnbn_status start(char *const *argv, pid_t *child, FILE **out)
{
    int ends[2];
    *out = NULL;
    if (pipe(ends) != 0) return cnnbn_error(CNNBN_ERR_IO, "cannot make a pipe: %s", strerror(errno));
    (void)fflush(NULL);
    *child = fork();
    if (*child == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)close(ends[0]);
        (void)close(ends[1]);
        (void)execvp(argv[0], argv);
        _exit(127);
    }
    (void)close(ends[1]);
    if (*child > 0) *out = fdopen(ends[0], "r");
    if (*out) return CNNBN_OK;
    (void)close(ends[0]);
    return cnnbn_error(CNNBN_ERR_IO, "cannot start %s: %s", argv[0], strerror(errno));
}

static cnnbn_status end(char *const *argv, pid_t child, FILE *out)
{
    int code = 0;
    (void)fclose(out);
    while (waitpid(child, &code, 0) < 0 && errno == EINTR) continue;
    if (WIFEXITED(code) && WEXITSTATUS(code) == 0) return CNNBN_OK;
    if (WIFEXITED(code) && WEXITSTATUS(code) == 127)
        return cnnbn_error(CNNBN_ERR_OPTION,
                           "--launcher: %s cannot be started: put it in PATH or name it; where only srun starts ranks, "
                           "run `srun -n N cnnbn-bench step' for each N",
                           argv[0]);
    return cnnbn_error(CNNBN_ERR_IO, "%s ended with code %d", argv[0],
                       WIFEXITED(code) ? WEXITSTATUS(code) : 128 + WTERMSIG(code));
}

static cnnbn_status look_at_launcher(scaling_bench *b)
{
    static char text[4096];
    const char *named = getenv("MPIRUN");
    (void)snprintf(text, sizeof text, "%s", b->launcher ? b->launcher : named && *named ? named : "mpirun");
    for (char *word = strtok(text, " "); word && b->n_words < WORDS_MAX / 2; word = strtok(NULL, " "))
        b->command[b->n_words++] = word;
    if (b->n_words == 0) return cnnbn_error(CNNBN_ERR_OPTION, "--launcher: a command is expected");
    char version[] = "--version", *const argv[] = {(char *)(uintptr_t)b->command[0], version, NULL}, line[512];
    pid_t child;
    FILE *out;
    CNNBN_TRY(start(argv, &child, &out));
    while (fgets(line, sizeof line, out))
        if (strstr(line, "Open MPI") || strstr(line, "OpenRTE")) b->is_open_mpi = 1;
    return end(argv, child, out);
}

/* Words of a run with np ranks; `texts` keeps what is made up. */
static void compose(const scaling_bench *b, int np, char texts[][64], char options_text[][512], char **argv)
{
    int n = 0, workers = np * b->threads, fits = workers <= cnnbn_cpu_cores_allowed();
    const char *words[WORDS_MAX];
    for (int i = 0; i < b->n_words; i++) words[n++] = b->command[i];
    if (b->is_open_mpi && !b->launcher) {
        words[n++] = "--bind-to";
        words[n++] = fits ? "core" : "none";
        if (fits) {
            (void)snprintf(texts[0], sizeof texts[0], "slot:PE=%d", b->threads);
            words[n++] = "--map-by";
            words[n++] = texts[0];
        } else {
            words[n++] = "--oversubscribe";
        }
    }
    (void)snprintf(texts[1], sizeof texts[1], "%d", np);
    (void)snprintf(texts[2], sizeof texts[2], "--round-time=%.9g", b->options.round_s);
    (void)snprintf(texts[3], sizeof texts[3], "--threads=%d", b->threads);
    const char *const fixed[] = {"-np",    texts[1], b->program, "step",   "--rounds=1",
                                 texts[2], texts[3], "--brief",  "--csv=-"};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) words[n++] = fixed[i];
    for (int i = 0; i < N_PASSED; i++) {
        if (!b->passed[i] || i == PASSED_THREADS) continue;
        (void)snprintf(options_text[i], sizeof options_text[i], "--%s=%s", passed_names[i], b->passed[i]);
        words[n++] = options_text[i];
    }
    for (int i = 0; i < n; i++) argv[i] = (char *)(uintptr_t)words[i]; /* exec does not write */
    argv[n] = NULL;
}

/* One run; its row of the CSV has what is wanted. */
static cnnbn_status run_step(scaling_bench *b, int which)
{
    static char texts[4][64], options_text[N_PASSED][512], line[8192];
    char *argv[WORDS_MAX + 1];
    double ms = 0;
    pid_t child;
    FILE *out;
    compose(b, b->np[which], texts, options_text, argv);
    CNNBN_TRY(start(argv, &child, &out));
    while (fgets(line, sizeof line, out)) {
        const char *behind_model = strncmp(line, "step,\"", 6) == 0 ? strstr(line + 6, "\",") : NULL;
        double value;
        if (behind_model && sscanf(behind_model + 2,
                                   "%*[^,],%*[^,],%*[^,],%*[^,],%*[^,],%*[^,],%*[^,],%*[^,],%*[^,],,,%lf", &value) == 1)
            ms = value;
    }
    CNNBN_TRY(end(argv, child, out));
    if (ms <= 0) return cnnbn_error(CNNBN_ERR_INTERNAL, "cnnbn-bench step on %d ranks printed no time", b->np[which]);
    bench_times_add(&b->times[which], ms * 1e-3);
    return CNNBN_OK;
}

/* ---------------------------------------------------------------- all of it */

static cnnbn_status prepare(scaling_bench *b)
{
    static const char *const marks[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (getenv(marks[i]))
            return cnnbn_error(CNNBN_ERR_OPTION, "scaling starts mpirun itself: run it without; under mpirun or srun, "
                                                 "`cnnbn-bench step' measures one number of ranks");
    ssize_t length = readlink("/proc/self/exe", b->program, sizeof b->program - 1);
    if (length <= 0) return cnnbn_error(CNNBN_ERR_IO, "the program's own file is not found: %s", strerror(errno));
    b->program[length] = '\0';
    /* Open MPI asks root to confirm; a rank that waits gives its core away where there are more ranks than cores. */
    int most = 0;
    for (int i = 0; i < b->n_np; i++) most = b->np[i] > most ? b->np[i] : most;
    if (geteuid() == 0) {
        (void)setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 0);
        (void)setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 0);
    }
    if (most * b->threads > cnnbn_cpu_cores_allowed() && !b->launcher) {
        (void)setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
        bench_say("More workers than cores: they will wait for each other\n");
    }
    return look_at_launcher(b);
}

static void print(const scaling_bench *b, const char *model, double batch)
{
    double base_median = bench_median(&b->times[0]), base_least = bench_min(&b->times[0]);
    bench_say("\nModel %s, global batch %.0f at every number of ranks, %d thread%s a rank; %d runs each, interleaved\n",
              model, batch, b->threads, b->threads == 1 ? "" : "s", b->options.rounds);
    bench_say("  %6s %10s %10s %12s %12s %10s %11s %10s\n", "ranks", "ms", "minimum", "images/s", "best", "speed-up",
              "efficiency", "of minima");
    for (int i = 0; i < b->n_np; i++) {
        double median = bench_median(&b->times[i]), least = bench_min(&b->times[i]);
        double ranks = (double)b->np[i] / b->np[0], speedup = base_median / median;
        bench_say("  %6d %10.2f %10.2f %12.0f %12.0f %10.2f %9.1f %% %10.2f\n", b->np[i], median * 1e3, least * 1e3,
                  batch / median, batch / least, speedup, 100 * speedup / ranks, base_least / least);
        bench_row("\"%s\",%.0f,%d,%d,%.4f,%.4f,%.1f,%.1f,%.4f,%.4f,%.4f", model, batch, b->np[i], b->threads,
                  median * 1e3, least * 1e3, batch / median, batch / least, speedup, speedup / ranks,
                  base_least / least);
    }
}

static cnnbn_status run(scaling_bench *b)
{
    const char *model = b->passed[PASSED_MODEL] ? b->passed[PASSED_MODEL] : "keras-example";
    double batch =
        b->passed[PASSED_BATCH] ? (double)bench_int("--batch-size", b->passed[PASSED_BATCH], 1, 1 << 24) : 128;
    CNNBN_TRY(bench_output_open(&b->options, "model,batch_size,ranks,threads,ms_median,ms_min,images_per_s_median,"
                                             "images_per_s_best,speedup,efficiency,speedup_of_minima"));
    bench_say_cpu();
    CNNBN_TRY(prepare(b));
    for (int r = 0; r < b->options.rounds; r++)
        for (int i = 0; i < b->n_np; i++) CNNBN_TRY(run_step(b, i));
    print(b, model, batch);
    return bench_output_close();
}

int bench_scaling(int argc, char **argv)
{
    static scaling_bench b;
    b.options = (bench_options){.rounds = 5, .round_s = 1};
    b.threads = 1;
    b.np[0] = 1;
    b.np[1] = 2;
    b.n_np = 2;
    const struct argp_child children[] = {{&bench_common_argp, 0, NULL, 0}, {0}};
    const struct argp arguments = {.options = options,
                                   .parser = parse,
                                   .children = children,
                                   .doc = "Training steps at several numbers of ranks and the same global batch: "
                                          "speed-up and efficiency. Starts mpirun itself, once a round and number."};
    cli_parse(&arguments, 0, argc, argv, &b);
    return cli_finish(run(&b));
}
