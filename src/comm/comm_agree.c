/* Route "agree": one outcome and one message for all ranks (docs/errors.md). */
#include <stdio.h>
#include <string.h>

#include "comm_internal.h"

enum { EXCERPT_MAX = 320, EXCERPT_BEFORE = 60, CHUNK = 1024 };

/* The one reduction of the good case. worst: greatest status, lowest rank that has it; all_failed: no rank is well. */
static cnnbn_status find_worst(cnnbn_comm *comm, cnnbn_status status, cnnbn_status *worst, int *rank, int *all_failed)
{
    /* Status in the upper half, and a lower half that falls with the rank: the maximum is both answers at once. */
    int64_t keys[2] = {((int64_t)status << 32) | (int64_t)(INT32_MAX - comm->rank), status == CNNBN_OK};
    CNNBN_TRY(cnnbn__mpi_check(MPI_Allreduce(MPI_IN_PLACE, keys, 2, MPI_INT64_T, MPI_MAX, comm->world),
                               "MPI_Allreduce of the ranks' outcomes"));
    *worst = (cnnbn_status)(keys[0] >> 32);
    *rank = INT32_MAX - (int)(keys[0] & INT32_MAX);
    *all_failed = keys[1] == 0;
    return CNNBN_OK;
}

static cnnbn_status agree(cnnbn_comm *comm, cnnbn_status status, int name_the_rank)
{
    if (comm->size == 1) return status;
    cnnbn_status worst = CNNBN_OK;
    int rank = 0, all_failed = 0;
    CNNBN_TRY(find_worst(comm, status, &worst, &rank, &all_failed));
    if (worst == CNNBN_OK) return CNNBN_OK;
    char message[CNNBN_ERROR_MAX] = "";
    if (rank == comm->rank) (void)snprintf(message, sizeof message, "%s", cnnbn_error_message());
    CNNBN_TRY(cnnbn_comm_bcast(comm, message, sizeof message, rank));
    if (name_the_rank && !all_failed)
        return cnnbn_error(worst, "rank %d on %s: %s", rank, cnnbn_comm_host(comm, rank), message);
    return cnnbn_error(worst, "%s", message);
}

cnnbn_status cnnbn_comm_agree(cnnbn_comm *comm, cnnbn_status status)
{
    return agree(comm, status, 1);
}

cnnbn_status cnnbn__agree_plain(cnnbn_comm *comm, cnnbn_status status)
{
    return agree(comm, status, 0);
}

/* Rank 0's text comes by in pieces, so that no rank needs memory for it; notes the first piece that differs. */
typedef struct difference {
    int found;
    char theirs[CHUNK + 1], mine[CHUNK + 1]; /* from a little before the first difference on */
} difference;

/* Buffers of CHUNK bytes, zeros past the text; length: bytes of rank 0's that count. */
static void compare_chunk(const char *theirs, const char *mine, size_t length, difference *d)
{
    if (d->found || memcmp(theirs, mine, length) == 0) return;
    size_t at = 0;
    while (theirs[at] == mine[at]) at++;
    size_t from = length > EXCERPT_MAX && at > EXCERPT_BEFORE ? at - EXCERPT_BEFORE : 0;
    d->found = 1;
    memcpy(d->theirs, theirs + from, CHUNK - from); /* all of it: our text may go on past the end of theirs */
    memcpy(d->mine, mine + from, CHUNK - from);
}

cnnbn_status cnnbn_comm_same_text(cnnbn_comm *comm, const char *what, const char *text)
{
    if (comm->size == 1) return CNNBN_OK;
    uint64_t length = strlen(text) + 1, reference = length;
    CNNBN_TRY(cnnbn_comm_bcast(comm, &reference, sizeof reference, 0));
    difference d = {.found = 0};
    for (uint64_t at = 0; at < reference; at += CHUNK) {
        char theirs[CHUNK] = "", mine[CHUNK] = "";
        size_t n = reference - at < CHUNK ? (size_t)(reference - at) : CHUNK;
        if (at < length) memcpy(mine, text + at, length - at < CHUNK ? (size_t)(length - at) : CHUNK);
        if (comm->rank == 0) memcpy(theirs, mine, sizeof theirs);
        CNNBN_TRY(cnnbn_comm_bcast(comm, theirs, n, 0));
        /* A longer text of ours shows here too: rank 0's final NUL stands where ours goes on. */
        compare_chunk(theirs, mine, n, &d);
    }
    cnnbn_status status = CNNBN_OK;
    if (d.found)
        status = cnnbn_error(CNNBN_ERR_OPTION,
                             "%s must be the same on all ranks: rank 0 on %s has \"%.*s\", rank %d on %s has \"%.*s\"",
                             what, cnnbn_comm_host(comm, 0), EXCERPT_MAX, d.theirs, comm->rank,
                             cnnbn_comm_host(comm, comm->rank), EXCERPT_MAX, d.mine);
    return cnnbn__agree_plain(comm, status);
}
