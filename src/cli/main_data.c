/* cnnbn-data: makes datasets, looks into them, cuts them down. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "main_data.h"

typedef struct chosen {
    command *list, *command;
    const char *names;
    int next; /* index in argv of the command's name */
} chosen;

static error_t parse(int key, char *arg, struct argp_state *state)
{
    chosen *c = state->input;
    if (key == ARGP_KEY_ARG) {
        for (command *k = c->list; k->run; k++)
            if (strcmp(arg, k->name) == 0) c->command = k;
        if (!c->command) argp_error(state, "no command '%s'; %s is expected", arg, c->names);
        c->next = state->next - 1;
        state->next = state->argc; /* the rest is the command's */
        return 0;
    }
    if (key == ARGP_KEY_NO_ARGS) argp_error(state, "%s is expected", c->names);
    return ARGP_ERR_UNKNOWN;
}

int run_command(command *list, const char *names, const char *doc, int argc, char **argv)
{
    chosen c = {.list = list, .names = names};
    const struct argp arguments = {.parser = parse, .args_doc = "COMMAND ...", .doc = doc};
    cli_parse(&arguments, ARGP_IN_ORDER, argc, argv, &c);
    argv[c.next] = c.command->title;
    return c.command->run(argc - c.next, argv + c.next);
}

static command commands[] = {{"import", data_import, "cnnbn-data import"},
                             {"info", data_info, "cnnbn-data info"},
                             {"split", data_split, "cnnbn-data split"},
                             {0}};

int main(int argc, char **argv)
{
    cli_start("cnnbn-data");
    int code = run_command(
        commands, "import, info or split",
        "Makes datasets for cnnbn-train out of files that others publish, looks into them, cuts them down.\v"
        "Commands:\n"
        "  import idx       IDX files (MNIST and its kin), gzipped or not\n"
        "  import cifar     CIFAR-10 and CIFAR-100, binary version\n"
        "  import folder    PNG and JPEG files, one folder a class\n"
        "  info             what a dataset holds\n"
        "  split            a smaller dataset, classes balanced\n"
        "\n"
        "`cnnbn-data COMMAND --help' tells more.\n"
        "\n"
        "Exit codes: 0 done; 1 wrong usage; 2 bad data or option value; 3 a file cannot be opened, read or written; "
        "75 interrupted.",
        argc, argv);
    return cli_finish_output(code);
}
