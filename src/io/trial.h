/* A file that nothing vouches for is first read by a child process. HDF5 does not survive every damaged file; where it dies, the
 * child dies, and the file is refused with a message. */
#ifndef CNNBN_IO_TRIAL_H
#define CNNBN_IO_TRIAL_H

#include "cnnbn/status.h"

/* Calls `job` in a child process and returns what it returned, its error record included. `bad`: the child died or took more
 * memory or processor time than a file of that size has a reason to. Nothing that the job changes in memory reaches the caller: it
 * is called a second time, by the caller, when this went well.
 *
 * The child makes no MPI call, runs none of the process' exit handlers, prints nothing, and ends with the thread that made it. It
 * is a plain fork: before the large allocations of a run, and with the pages that a network card knows copied by the kernel (Linux
 * 5.12 on). CNNBN_TRUST_FILES=1 in the environment leaves the trial out.
 *
 * Ranks: local. Errors: as above; CNNBN_ERR_IO when no process can be made. */
typedef cnnbn_status (*cnnbn__trial_job)(void *context);
cnnbn_status cnnbn__trial(const char *path, cnnbn_status bad, cnnbn__trial_job job, void *context) CNNBN_MUST_CHECK;

#endif
