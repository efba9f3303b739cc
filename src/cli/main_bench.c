/* cnnbn-bench: the benchmarks that the documentation quotes. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "cli.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"peak", bench_peak},     {"kernels", bench_kernels}, {"step", bench_step},
    {"reduce", bench_reduce}, {"scaling", bench_scaling}, {"checkpoint", bench_checkpoint},
};
static const char names[] = "peak, kernels, step, reduce, scaling or checkpoint";

typedef struct chosen {
    const struct command *command;
    int next; /* index in argv of the command's name */
} chosen;

static error_t parse(int key, char *arg, struct argp_state *state)
{
    chosen *c = state->input;
    if (key == ARGP_KEY_ARG) {
        for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
            if (strcmp(arg, commands[i].name) == 0) c->command = &commands[i];
        if (!c->command) argp_error(state, "no command '%s'; %s is expected", arg, names);
        c->next = state->next - 1;
        state->next = state->argc; /* the rest is the command's */
        return 0;
    }
    if (key == ARGP_KEY_NO_ARGS) argp_error(state, "%s is expected", names);
    return ARGP_ERR_UNKNOWN;
}

static const char doc[] = "Measures what cnnbn and this machine can do.\v"
                          "Commands:\n"
                          "  peak         what a core can do at most: multiply-adds, memory\n"
                          "  kernels      convolutions and element-wise kernels on one core\n"
                          "  step         whole training steps; under mpirun or srun too\n"
                          "  reduce       reductions over ranks; under mpirun or srun\n"
                          "  scaling      step at several numbers of ranks; starts mpirun itself\n"
                          "  checkpoint   what writing checkpoints costs a run\n"
                          "\n"
                          "`cnnbn-bench COMMAND --help' tells more. All is measured in interleaved rounds: machines "
                          "drift. A median is what to "
                          "expect, a minimum is what a quiet machine would do.\n"
                          "\n"
                          "Exit codes: 0 done; 1 wrong usage; 2 bad option value or model; 3 run-time failure.";

int main(int argc, char **argv)
{
    cli_start("cnnbn-bench");
    chosen c = {0};
    const struct argp arguments = {.parser = parse, .args_doc = "COMMAND ...", .doc = doc};
    cli_parse(&arguments, ARGP_IN_ORDER, argc, argv, &c);
    const char *core = getenv("OPENBLAS_CORETYPE");
    if (core && *core && cli_speaks())
        (void)fprintf(stderr,
                      "cnnbn-bench: warning: OPENBLAS_CORETYPE is set to %s: OpenBLAS may be slower than it could be; "
                      "unset it for benchmarks\n",
                      core);
    char title[64];
    (void)snprintf(title, sizeof title, "cnnbn-bench %s", c.command->name);
    argv[c.next] = title;
    return cli_finish_output(c.command->run(argc - c.next, argv + c.next));
}
