#define _GNU_SOURCE /* memfd_create */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cnnbn/cnnbn_version.h"
#include "cnnbn/log.h"

static const char *program_name = "cnnbn";
static volatile sig_atomic_t signalled;

static void print_version(FILE *stream, struct argp_state *state)
{
    (void)state;
    (void)fprintf(stream, "%s %s\n", program_name, CNNBN_VERSION);
}

/* A file that is opened while descriptor 1 is closed becomes 1, and what is printed goes into it: a dataset, a checkpoint. So the
 * three are taken, by /dev/null opened the other way round: reading or printing fails as it does without them. */
static void hold_standard_descriptors(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0) (void)open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

void cli_start(const char *program)
{
    hold_standard_descriptors();
    (void)signal(SIGXFSZ, SIG_IGN); /* a write beyond the limit fails with EFBIG: a message, and no half file */
    program_name = program;
    argp_err_exit_status = cnnbn_status_exit_code(CNNBN_ERR_USAGE);
    argp_program_version_hook = print_version;
}

/* As the launcher has it: Open MPI, PMIx, MPICH's and SLURM's. NULL without a launcher. */
static const char *rank_text(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *rank = getenv(names[i]);
        if (rank && *rank) return rank;
    }
    return NULL;
}

int cli_speaks(void)
{
    const char *rank = rank_text();
    return !rank || strcmp(rank, "0") == 0;
}

/* argp and getopt print by themselves; nothing but the descriptors reaches both. What goes to stderr is kept where it can be. */
static void silence(int saved[2])
{
    int to[2] = {open("/dev/null", O_WRONLY | O_CLOEXEC), memfd_create("messages", MFD_CLOEXEC)};
    (void)fflush(NULL);
    for (int i = 0; i < 2; i++) {
        int target = to[i] < 0 ? to[0] : to[i];
        saved[i] = target < 0 ? -1 : dup(i + 1);
        if (saved[i] >= 0) (void)dup2(target, i + 1);
    }
    for (int i = 0; i < 2; i++)
        if (to[i] >= 0) (void)close(to[i]);
}

static void restore(int saved[2])
{
    (void)fflush(NULL);
    for (int i = 0; i < 2; i++)
        if (saved[i] >= 0) {
            (void)dup2(saved[i], i + 1);
            (void)close(saved[i]);
            saved[i] = -1;
        }
}

/* ---------------------------------------------------------------- a rank that leaves before MPI has started */

static void (*part)(cnnbn_status);
static int parsing, parse_saved[2] = {-1, -1};

/* The first line that argp would have printed, without the program's name. */
static cnnbn_status silenced_message(void)
{
    char text[512] = "";
    (void)fflush(NULL);
    ssize_t n = pread(STDERR_FILENO, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    const char *colon = strstr(text, ": ");
    return cnnbn_error(CNNBN_ERR_USAGE, "%s", n <= 0 ? "wrong usage" : colon ? colon + 2 : text);
}

/* argp ends the program by itself. */
static void leave(int code, void *unused)
{
    (void)unused;
    if (!parsing || code == 0) return;
    parsing = 0;
    cnnbn_status status = cli_speaks() ? cnnbn_error(CNNBN_ERR_USAGE, "wrong usage, told above") : silenced_message();
    restore(parse_saved);
    part(status);
}

void cli_set_parting(void (*parting)(cnnbn_status status))
{
    part = rank_text() ? parting : NULL;
    if (part && on_exit(leave, NULL) != 0) part = NULL;
}

void cli_parse(const struct argp *argp, unsigned int flags, int argc, char **argv, void *input)
{
    int speaks = cli_speaks();
    if (!speaks) silence(parse_saved);
    parsing = part != NULL;
    error_t failure = argp_parse(argp, argc, argv, flags, NULL, input);
    parsing = 0;
    if (!speaks) restore(parse_saved);
    if (failure) cli_check(cnnbn_error(CNNBN_ERR_USAGE, "the options cannot be read: %s", strerror(failure)));
}

int cli_finish(cnnbn_status status)
{
    if (status != CNNBN_OK && cli_speaks()) {
        const char *message = cnnbn_error_message();
        (void)fflush(stdout);
        (void)fprintf(stderr, "%s: %s\n", program_name, *message ? message : cnnbn_status_text(status));
    }
    return cnnbn_status_exit_code(status);
}

cnnbn_status cli_flush_output(cnnbn_status status)
{
    errno = 0;
    if ((fflush(stdout) == 0 && !ferror(stdout)) || status != CNNBN_OK) return status;
    return cnnbn_error(CNNBN_ERR_IO, "the output cannot be written%s%s", errno ? ": " : "",
                       errno ? strerror(errno) : "");
}

int cli_finish_output(int code)
{
    return code == 0 ? cli_finish(cli_flush_output(CNNBN_OK)) : code;
}

void cli_check(cnnbn_status status)
{
    if (status == CNNBN_OK) return;
    int code = cli_finish(status);
    parsing = 0;
    restore(parse_saved);
    if (part) part(status);
    exit(code);
}

/* ---------------------------------------------------------------- numbers */

/* strtoll and its kin skip leading blanks; "--epochs ' 5'" is a slip of a script. */
static int starts_like_number(const char *text)
{
    return *text && strchr("+-.0123456789", *text) != NULL;
}

cnnbn_status cli_int(const char *option, const char *text, long long least, long long most, long long *out)
{
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (!starts_like_number(text) || end == text || *end)
        return cnnbn_error(CNNBN_ERR_OPTION, "%s: '%s' is not a whole number", option, text);
    if (errno == ERANGE || value < least || value > most)
        return cnnbn_error(CNNBN_ERR_OPTION, "%s: %s is out of range; %lld to %lld are possible", option, text, least,
                           most);
    *out = value;
    return CNNBN_OK;
}

cnnbn_status cli_real(const char *option, const char *text, double least, double most, double *out)
{
    char *end = NULL;
    double value = strtod(text, &end);
    if (!starts_like_number(text) || end == text || *end || !isfinite(value))
        return cnnbn_error(CNNBN_ERR_OPTION, "%s: '%s' is not a number", option, text);
    if (value < least || value > most)
        return cnnbn_error(CNNBN_ERR_OPTION, "%s: %s is out of range; %g to %g are possible", option, text, least,
                           most);
    *out = value;
    return CNNBN_OK;
}

cnnbn_status cli_u64(const char *option, const char *text, uint64_t *out)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (!starts_like_number(text) || end == text || *end || *text == '-' || errno == ERANGE)
        return cnnbn_error(CNNBN_ERR_OPTION, "%s: '%s' is not a whole number from 0 to 2^64 - 1", option, text);
    *out = value;
    return CNNBN_OK;
}

cnnbn_status cli_word(const char *option, const char *text, const char *const *words, int *out)
{
    char list[CNNBN_ERROR_MAX / 2];
    size_t used = 0;
    list[0] = '\0';
    for (int i = 0; words[i]; i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = i;
            return CNNBN_OK;
        }
        int added = snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", words[i]);
        if (added > 0 && (size_t)added < sizeof list - used) used += (size_t)added;
    }
    return cnnbn_error(CNNBN_ERR_OPTION, "%s: '%s' is none of %s", option, text, list);
}

const char *cli_thousands(uint64_t n, char *text)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    char *to = text;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0) *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return text;
}

/* ---------------------------------------------------------------- progress, signals */

static const double terminal_every_s = 0.1, lines_every_s = 5;

void cli_progress_start(cli_progress *progress, const char *what)
{
    *progress = (cli_progress){.what = what, .started_s = cnnbn_now_s(), .on_terminal = isatty(STDERR_FILENO)};
    progress->shown_s = progress->started_s;
}

void cli_progress_show(cli_progress *progress, size_t done, size_t total)
{
    double now = cnnbn_now_s();
    if (now - progress->shown_s < (progress->on_terminal ? terminal_every_s : lines_every_s)) return;
    char counts[2][32];
    double passed = now - progress->started_s;
    double left = done ? passed / (double)done * (double)(total - done) : 0;
    (void)fprintf(stderr, "%s%s %s of %s, %.0f s left%s", progress->on_terminal ? "\r" : "", progress->what,
                  cli_thousands(done, counts[0]), cli_thousands(total, counts[1]), left,
                  progress->on_terminal ? "   " : "\n");
    progress->shown_s = now;
    progress->shown = 1;
}

void cli_progress_end(cli_progress *progress)
{
    if (progress->on_terminal && progress->shown) (void)fputs("\r\033[K", stderr);
    progress->shown = 0;
}

static void on_signal(int number)
{
    (void)number;
    signalled = 1;
}

void cli_catch_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    (void)sigemptyset(&action.sa_mask);
    action.sa_flags = (int)SA_RESETHAND; /* a second one ends the program at once */
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

int cli_signalled(void)
{
    return signalled != 0;
}
