/* What the programs share: options, version, one message for a failure, exit codes.
 *
 * A program parses its options before MPI_Init, on every rank; all ranks come to the same result. Only rank 0 speaks
 * (it is known by the launcher's environment), and a wrong option ends each rank with the same exit code.
 */
#ifndef CNNBN_CLI_H
#define CNNBN_CLI_H

#include <argp.h>
#include <stdint.h>
#include "cnnbn/status.h"

/* First call of main: the program's name for messages and --version, argp's exit code 1 for wrong usage; standard descriptors
 * that are closed and a file size limit (ulimit -f) lead to errors of writing, not into other files or to the end. */
void cli_start(const char *program);

/* Whether this process is the one that prints: rank 0, or no launcher. */
int cli_speaks(void);

/* argp_parse with argp's flags (0 as a rule), silent where cli_speaks() is 0. Ends the program after --help, --version (0)
 * and wrong usage (1, with a hint to --help). argv[0] is what messages begin with: "cnnbn-data import idx" for a sub-command. */
void cli_parse(const struct argp *argp, unsigned int flags, int argc, char **argv, void *input);

/* Prints "PROGRAM: message" to stderr once when status is a failure; returns the exit code. */
int cli_finish(cnnbn_status status);

/* Ends the program by cli_finish when status is a failure; for option parsers and for what comes before MPI_Init. */
void cli_check(cnnbn_status status);

/* What was printed has arrived, or else CNNBN_ERR_IO (a full disk behind stdout); an earlier failure stays. The second is for the
 * end of main: code 0 becomes that failure's. */
cnnbn_status cli_flush_output(cnnbn_status status) CNNBN_MUST_CHECK;
int cli_finish_output(int code);

/* For programs of many ranks, before cli_parse: a rank that fails before MPI has started calls parting(status), which tells the
 * other ranks (cli_part_by_mpi of cli_ranks.h), and then ends. Without it the others would wait in MPI_Init, or the job would
 * end without a word. Does nothing without a launcher. */
void cli_set_parting(void (*parting)(cnnbn_status status));

/* Strict numbers: all of the text, within [least, most]. `option` ("--epochs") begins the message. CNNBN_ERR_OPTION. */
cnnbn_status cli_int(const char *option, const char *text, long long least, long long most,
                     long long *out) CNNBN_MUST_CHECK;
cnnbn_status cli_real(const char *option, const char *text, double least, double most, double *out) CNNBN_MUST_CHECK;
cnnbn_status cli_u64(const char *option, const char *text, uint64_t *out) CNNBN_MUST_CHECK;

/* Index of `text` in the NULL-ended list of words; the message names them all. */
cnnbn_status cli_word(const char *option, const char *text, const char *const *words, int *out) CNNBN_MUST_CHECK;

/* 1,234,567; `text` of at least 32 bytes. Returns text. */
const char *cli_thousands(uint64_t n, char *text);

/* What is a terminal gets a line that is rewritten; anything else gets a line every few seconds. */
typedef struct cli_progress {
    const char *what; /* "importing" */
    double started_s, shown_s;
    int on_terminal, shown;
} cli_progress;
void cli_progress_start(cli_progress *progress, const char *what);
void cli_progress_show(cli_progress *progress, size_t done, size_t total);
void cli_progress_end(cli_progress *progress); /* clears a terminal's line */

/* SIGINT and SIGTERM set a flag instead of ending the program. */
void cli_catch_signals(void);
int cli_signalled(void);

#endif
