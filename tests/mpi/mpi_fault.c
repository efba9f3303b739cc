/* To be preloaded into a program: on rank FAULT_RANK the FAULT_AT-th call of MPI_Isend or MPI_Iallreduce does nothing and returns an
 * error, as a library does that has lost its network. By MPI's own profiling interface. */
#include <mpi.h>
#include <stdlib.h>

static int fails(void)
{
    static int calls;
    const char *rank = getenv("OMPI_COMM_WORLD_RANK"), *wanted = getenv("FAULT_RANK"), *at = getenv("FAULT_AT");
    if (!rank) rank = getenv("PMI_RANK");
    return rank && wanted && at && atoi(rank) == atoi(wanted) && ++calls == atoi(at);
}

int MPI_Isend(const void *buffer, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request *request)
{
    return fails() ? MPI_ERR_OTHER : PMPI_Isend(buffer, count, type, to, tag, comm, request);
}

int MPI_Iallreduce(const void *in, void *out, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm,
                   MPI_Request *request)
{
    return fails() ? MPI_ERR_OTHER : PMPI_Iallreduce(in, out, count, type, op, comm, request);
}
