/* Names of files that cannot be meant: empty ones, and outputs that are an input. */
#ifndef CNNBN_CLI_NAMES_H
#define CNNBN_CLI_NAMES_H

#include "cnnbn/status.h"

/* The name of a file as given for `what` ("--data"), returned as it is; an empty one, as of a variable that is not set, ends the
 * program by cli_check. */
char *cli_file_name(const char *what, char *name);

/* A file that the program reads or writes, by the option that named it; path NULL: not given. */
typedef struct cli_named_file {
    const char *option, *path;
} cli_named_file;

/* Refuses, with CNNBN_ERR_OPTION, a file to write that is one of those to read, or that is written twice: its contents would be
 * lost. */
cnnbn_status cli_files_apart(const cli_named_file *written, int n_written, const cli_named_file *read,
                             int n_read) CNNBN_MUST_CHECK;

#endif
