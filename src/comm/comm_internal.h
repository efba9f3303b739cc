/* What the files of comm share; nothing outside this folder includes it. */
#ifndef CNNBN_COMM_INTERNAL_H
#define CNNBN_COMM_INTERNAL_H

#include <mpi.h>
#include "cnnbn/comm.h"

enum {
    CNNBN__HOST_MAX = 128,       /* bytes kept of a host's name, the final NUL included */
    CNNBN__LIBRARY_MAX = 160,    /* of the MPI library's name */
    CNNBN__PIECE_BYTES = 1 << 30 /* longest piece of one MPI call: counts are int */
};

/* A handle of one rank needs no MPI: every collective returns at once where size is 1. So comm_self's handle is this
 * struct with null communicators. */
struct cnnbn_comm {
    int rank, size;
    int node_rank, node_size, n_nodes;
    int started_mpi;      /* by cnnbn_comm_init, so it is ended by cnnbn_comm_finalize */
    MPI_Comm world, node; /* duplicates of our own, MPI_ERRORS_RETURN */
    char *hosts;          /* [size * CNNBN__HOST_MAX] */
    char library[CNNBN__LIBRARY_MAX];
};

/* CNNBN_OK for MPI_SUCCESS; else CNNBN_ERR_MPI, with the operation's name and MPI's own text. Local. */
cnnbn_status cnnbn__mpi_check(int code, const char *operation) CNNBN_MUST_CHECK;

/* As cnnbn_comm_agree, the message handed on as it is. */
cnnbn_status cnnbn__agree_plain(cnnbn_comm *comm, cnnbn_status status) CNNBN_MUST_CHECK;

#endif
