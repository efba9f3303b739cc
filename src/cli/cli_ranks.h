/* What programs of many ranks share. */
#ifndef CNNBN_CLI_RANKS_H
#define CNNBN_CLI_RANKS_H

#include "cnnbn/status.h"

/* For cli_set_parting: starts MPI and brings the failure to the first agreement (cnnbn_comm_agree) that the other ranks reach
 * after their start: so every program's first collective call after cnnbn_comm_init is one. */
void cli_part_by_mpi(cnnbn_status status);

#endif
