/* A program that ends badly, for comm_abort.sh: `test_comm_abort CASE`, in which only rank 1 of 3 meets the trouble. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cnnbn/comm.h"

/* Broken invariant on one rank while the others wait in a collective. */
static cnnbn_status abort_alone(cnnbn_comm *comm)
{
    if (cnnbn_comm_rank(comm) == 1) cnnbn_comm_abort(comm, 4, "the tree has two roots");
    return cnnbn_comm_barrier(comm);
}

/* An error of MPI itself: rank 1 has room for less than it is sent. */
static cnnbn_status too_long_a_message(cnnbn_comm *comm)
{
    enum { longest = 1000 };
    static double nodes[longest * CNNBN_TREE_DEPTH], out[longest];
    cnnbn_reducer *reducer;
    CNNBN_TRY(cnnbn_reducer_create(comm, CNNBN_REDUCE_ORDERED, 8, 1, longest, &reducer));
    size_t n = cnnbn_comm_rank(comm) == 1 ? 10 : longest;
    cnnbn_status status = cnnbn_reduce_f64(reducer, nodes, n, n, out, NULL, 0);
    if (status != CNNBN_OK) cnnbn_comm_abort(comm, cnnbn_status_exit_code(status), cnnbn_error_message());
    return cnnbn_comm_barrier(comm);
}

/* The clean end: all ranks learn of it and leave together. */
static cnnbn_status agreed(cnnbn_comm *comm)
{
    cnnbn_status mine = CNNBN_OK;
    if (cnnbn_comm_rank(comm) == 1) mine = cnnbn_error(CNNBN_ERR_DATA, "label 12 of image 3, expected 0 to 9");
    return cnnbn_comm_agree(comm, mine);
}

/* A rank that ends without a word: mpirun notices. */
static cnnbn_status silent_exit(cnnbn_comm *comm)
{
    if (cnnbn_comm_rank(comm) == 1) _exit(5);
    return cnnbn_comm_barrier(comm);
}

int main(int argc, char **argv)
{
    cnnbn_comm *comm = NULL;
    const char *which = argc > 1 ? argv[1] : "";
    if (strcmp(which, "self") == 0) {
        if (cnnbn_comm_self(&comm) != CNNBN_OK) return 9;
        cnnbn_comm_abort(comm, 6, "no ranks at all");
    }
    if (strcmp(which, "null") == 0) cnnbn_comm_abort(NULL, 7, "before the start");
    cnnbn_status status = cnnbn_comm_init(&argc, &argv, &comm);
    if (status != CNNBN_OK) return 9;
    if (strcmp(which, "abort") == 0) status = abort_alone(comm);
    if (strcmp(which, "mpi") == 0) status = too_long_a_message(comm);
    if (strcmp(which, "agree") == 0) status = agreed(comm);
    if (strcmp(which, "exit") == 0) status = silent_exit(comm);
    if (status != CNNBN_OK && cnnbn_comm_rank(comm) == 0) (void)fprintf(stderr, "cnnbn: %s\n", cnnbn_error_message());
    cnnbn_comm_finalize(comm);
    return cnnbn_status_exit_code(status);
}
