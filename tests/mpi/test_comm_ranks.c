#include "test_comm_ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINES_MAX = 5 };

cnnbn_comm *ranks;
static int n_failures;

void ranks_begin(int *argc, char ***argv)
{
    if (cnnbn_comm_init(argc, argv, &ranks) != CNNBN_OK) {
        (void)dprintf(STDERR_FILENO, "cnnbn_comm_init: %s\n", cnnbn_error_message());
        exit(1);
    }
    if (cnnbn_comm_rank(ranks) == 0) return;
    /* The streams only: the sanitizers and expect() write to the file descriptor. */
    FILE *nowhere = fopen("/dev/null", "w");
    if (!nowhere) cnnbn_comm_abort(ranks, 1, "/dev/null cannot be opened");
    stdout = nowhere;
    stderr = nowhere;
}

int ranks_end(int n_failed)
{
    cnnbn_comm_finalize(ranks);
    return n_failed != 0;
}

static void note(const char *text)
{
    if (++n_failures > LINES_MAX) return;
    (void)dprintf(STDERR_FILENO, "rank %d of %d: %s\n", cnnbn_comm_rank(ranks), cnnbn_comm_size(ranks), text);
}

int expect(int ok, const char *format, ...)
{
    if (ok) return 1;
    char text[2 * CNNBN_ERROR_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    note(text);
    return 0;
}

int expect_ok(cnnbn_status status)
{
    return expect(status == CNNBN_OK, "status %s: %s", cnnbn_status_text(status), cnnbn_error_message());
}

int expect_status(cnnbn_status status, cnnbn_status expected, const char *text)
{
    return expect(status == expected, "status %s, expected %s; message: %s", cnnbn_status_text(status),
                  cnnbn_status_text(expected), cnnbn_error_message()) &&
           expect(strstr(cnnbn_error_message(), text) != NULL, "message \"%s\" does not contain \"%s\"",
                  cnnbn_error_message(), text);
}

int expect_same_bits(const char *what, const void *a, const void *b, size_t bytes)
{
    const unsigned char *p = a, *q = b;
    size_t i = 0;
    while (i < bytes && p[i] == q[i]) i++;
    return expect(i == bytes, "%s: byte %zu of %zu differs", what, i, bytes);
}

void verdict(void)
{
    int64_t total = n_failures;
    n_failures = 0;
    cnnbn_status status = cnnbn_comm_sum_i64(ranks, &total, 1);
    if (status != CNNBN_OK) cnnbn_comm_abort(ranks, 1, cnnbn_error_message());
    if (total) fail_msg("%lld failures on all ranks together (see above)", (long long)total);
}
