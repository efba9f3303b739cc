/* Plain collectives: MPI's own, with counts cut to what an int can say. */
#include <string.h>

#include "comm_internal.h"

cnnbn_status cnnbn_comm_barrier(cnnbn_comm *comm)
{
    return comm->size == 1 ? CNNBN_OK : cnnbn__mpi_check(MPI_Barrier(comm->world), "MPI_Barrier");
}

cnnbn_status cnnbn_comm_bcast(cnnbn_comm *comm, void *data, size_t bytes, int root)
{
    if (comm->size == 1) return CNNBN_OK;
    char *at = data;
    while (bytes) {
        int piece = bytes < CNNBN__PIECE_BYTES ? (int)bytes : CNNBN__PIECE_BYTES;
        CNNBN_TRY(cnnbn__mpi_check(MPI_Bcast(at, piece, MPI_BYTE, root, comm->world), "MPI_Bcast"));
        at += piece;
        bytes -= (size_t)piece;
    }
    return CNNBN_OK;
}

static cnnbn_status reduce_in_pieces(cnnbn_comm *comm, void *data, size_t n, MPI_Datatype type, MPI_Op op)
{
    if (comm->size == 1) return CNNBN_OK;
    enum { element_bytes = 8, piece_max = CNNBN__PIECE_BYTES / element_bytes };
    char *at = data;
    while (n) {
        int piece = n < piece_max ? (int)n : piece_max;
        CNNBN_TRY(cnnbn__mpi_check(MPI_Allreduce(MPI_IN_PLACE, at, piece, type, op, comm->world), "MPI_Allreduce"));
        at += (size_t)piece * element_bytes;
        n -= (size_t)piece;
    }
    return CNNBN_OK;
}

cnnbn_status cnnbn_comm_sum_f64(cnnbn_comm *comm, double *data, size_t n)
{
    return reduce_in_pieces(comm, data, n, MPI_DOUBLE, MPI_SUM);
}

cnnbn_status cnnbn_comm_max_f64(cnnbn_comm *comm, double *data, size_t n)
{
    return reduce_in_pieces(comm, data, n, MPI_DOUBLE, MPI_MAX);
}

cnnbn_status cnnbn_comm_sum_i64(cnnbn_comm *comm, int64_t *data, size_t n)
{
    return reduce_in_pieces(comm, data, n, MPI_INT64_T, MPI_SUM);
}

cnnbn_status cnnbn_comm_gather_all(cnnbn_comm *comm, const void *mine, size_t bytes, void *all)
{
    if (!bytes) return CNNBN_OK;
    if (comm->size == 1) {
        memmove(all, mine, bytes);
        return CNNBN_OK;
    }
    if (bytes <= (size_t)CNNBN__PIECE_BYTES / (size_t)comm->size)
        return cnnbn__mpi_check(MPI_Allgather(mine, (int)bytes, MPI_BYTE, all, (int)bytes, MPI_BYTE, comm->world),
                                "MPI_Allgather");
    char *blocks = all; /* too long for one call: rank by rank */
    memcpy(blocks + (size_t)comm->rank * bytes, mine, bytes);
    for (int r = 0; r < comm->size; r++) CNNBN_TRY(cnnbn_comm_bcast(comm, blocks + (size_t)r * bytes, bytes, r));
    return CNNBN_OK;
}
