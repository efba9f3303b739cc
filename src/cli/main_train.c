/* cnnbn-train: mpirun -np N cnnbn-train ... */
#include <string.h>

#include "cli_ranks.h"
#include "cnnbn/log.h"
#include "train_options.h"

static const struct argp_child topics[] = {
    {&train_options_data, 0, NULL, 0},
    {&train_options_math, 0, NULL, 0},
    {&train_options_augment, 0, NULL, 0},
    {&train_options_schedule, 0, NULL, 0},
    {&train_options_execution, 0, NULL, 0},
    {&train_options_files, 0, NULL, 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    if (key == ARGP_KEY_INIT) {
        for (size_t i = 0; topics[i].argp; i++) state->child_inputs[i] = state->input;
        return 0;
    }
    if (key == ARGP_KEY_ARG) argp_error(state, "unexpected argument '%s'", arg);
    return ARGP_ERR_UNKNOWN;
}

static cnnbn_status complete(train_settings *s)
{
    CNNBN_TRY(train_complete_math(s));
    CNNBN_TRY(train_complete_schedule(s));
    CNNBN_TRY(train_complete_data(s));
    return train_complete_files(s);
}

int main(int argc, char **argv)
{
    cli_start("cnnbn-train");
    cli_set_parting(cli_part_by_mpi);
    train_settings s;
    memset(&s, 0, sizeof s);
    cnnbn_train_defaults(&s.opt);
    const struct argp arguments = {
        .parser = parse,
        .children = topics,
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
    int code = cli_finish(s.opt.dry_run ? cli_flush_output(status) : status);
    /* The run's product are its files: they count. */
    if (status == CNNBN_OK && code == 0 && cli_flush_output(CNNBN_OK) != CNNBN_OK)
        cnnbn_warn("%s", cnnbn_error_message());
    cnnbn_comm_finalize(comm);
    return code;
}
