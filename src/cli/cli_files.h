/* Files that programs find by themselves: the bundled dataset, and options kept in YAML. */
#ifndef CNNBN_CLI_FILES_H
#define CNNBN_CLI_FILES_H

#include "cnnbn/status.h"

/* Path of the bundled dataset: $CNNBN_DATASETS, then where it is installed beside the program, then the source tree the program
 * was built in, then ./datasets; borrowed for ever. The last candidate when there is none (opening it tells). */
const char *cli_bundled_data(void);

/* A new argument vector with the options of every `--config FILE` put in front, so that the command line wins. A file is a YAML
 * mapping of option names (without dashes) to values; true is a flag given, false one not given. Owned by the process (never freed:
 * argp borrows from it). */
cnnbn_status cli_with_config(int argc, char **argv, int *new_argc, char ***new_argv) CNNBN_MUST_CHECK;

#endif
