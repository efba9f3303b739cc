/* The handle of one rank: no MPI call on any path. */
#include <stdio.h>
#include <unistd.h>

#include "cnnbn/memory.h"
#include "comm_internal.h"

cnnbn_status cnnbn_comm_self(cnnbn_comm **out)
{
    void *block, *hosts;
    *out = NULL;
    CNNBN_TRY(cnnbn_alloc(sizeof(cnnbn_comm), "the handle of one rank", &block));
    cnnbn_status status = cnnbn_alloc(CNNBN__HOST_MAX, "the host's name", &hosts);
    if (status != CNNBN_OK) {
        cnnbn_free(block);
        return status;
    }
    cnnbn_comm *comm = block;
    *comm = (cnnbn_comm){.size = 1, .node_size = 1, .n_nodes = 1, .world = MPI_COMM_NULL, .node = MPI_COMM_NULL};
    comm->hosts = hosts;
    /* The last byte stays NUL: a cut name need not be ended by gethostname. */
    if (gethostname(comm->hosts, CNNBN__HOST_MAX - 1) != 0) (void)snprintf(comm->hosts, CNNBN__HOST_MAX, "localhost");
    (void)snprintf(comm->library, sizeof comm->library, "none");
    *out = comm;
    return CNNBN_OK;
}
