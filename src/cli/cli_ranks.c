#include "cli_ranks.h"

#include <stdio.h>

#include "cnnbn/comm.h"

void cli_part_by_mpi(cnnbn_status status)
{
    cnnbn_comm *comm;
    char message[CNNBN_ERROR_MAX];
    (void)snprintf(message, sizeof message, "%s", cnnbn_error_message());
    if (cnnbn_comm_init(NULL, NULL, &comm) != CNNBN_OK) return;
    status = cnnbn_comm_agree(comm, cnnbn_error(status, "%s", message));
    (void)status; /* the exit code is known already */
    cnnbn_comm_finalize(comm);
}
