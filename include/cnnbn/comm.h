/* Ranks: the only part of cnnbn that calls MPI stands behind this handle.
 *
 * Every function says whether it is local or collective. A collective must be reached by every rank of the handle, in
 * the same order. A failure takes one of three routes (docs/errors.md): agree, carry, abort.
 */
#ifndef CNNBN_COMM_H
#define CNNBN_COMM_H

#include <stddef.h>
#include <stdint.h>
#include "cnnbn/slices.h"
#include "cnnbn/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cnnbn_comm cnnbn_comm;

/* Starts MPI (MPI_THREAD_FUNNELED) when the process was launched by mpirun or srun, or alone, and duplicates
 * MPI_COMM_WORLD with MPI_ERRORS_RETURN. argc and argv may be changed by MPI. Collective. *out is owned:
 * cnnbn_comm_finalize. */
CNNBN_API cnnbn_status cnnbn_comm_init(int *argc, char ***argv, cnnbn_comm **out) CNNBN_MUST_CHECK;

/* A handle of one rank without MPI: for programs that need none, and unit tests. Never fails but for memory. */
CNNBN_API cnnbn_status cnnbn_comm_self(cnnbn_comm **out) CNNBN_MUST_CHECK;

/* Frees the handle; ends MPI when cnnbn_comm_init started it. Collective. NULL is fine. */
CNNBN_API void cnnbn_comm_finalize(cnnbn_comm *comm);

/* Ends the job at once: prints "cnnbn: rank R on HOST: message" to stderr and calls MPI_Abort (the only call site)
 * with exit_code. For broken invariants and failed MPI calls. Local; never returns. comm may be NULL. */
CNNBN_API CNNBN_NORETURN void cnnbn_comm_abort(cnnbn_comm *comm, int exit_code, const char *message);

CNNBN_API int cnnbn_comm_rank(const cnnbn_comm *comm);
CNNBN_API int cnnbn_comm_size(const cnnbn_comm *comm);
CNNBN_API int cnnbn_comm_node_rank(const cnnbn_comm *comm); /* rank among those that share memory with this one */
CNNBN_API int cnnbn_comm_node_size(const cnnbn_comm *comm);
CNNBN_API int cnnbn_comm_n_nodes(const cnnbn_comm *comm);
/* Host of any rank, borrowed while the handle lives. Local. */
CNNBN_API const char *cnnbn_comm_host(const cnnbn_comm *comm, int rank);
/* Text of the MPI library ("Open MPI v4.1.4 ..." first line), "none" for cnnbn_comm_self. Borrowed. */
CNNBN_API const char *cnnbn_comm_library(const cnnbn_comm *comm);

/* Route "agree". Every rank passes its own outcome; all return the worst (greatest) status of all ranks, and the message
 * of the lowest rank that has it becomes every rank's error record, with "rank R on HOST: " in front when size > 1
 * and not every rank failed. Collective; equal on all. */
CNNBN_API cnnbn_status cnnbn_comm_agree(cnnbn_comm *comm, cnnbn_status status) CNNBN_MUST_CHECK;

/* Fails on all ranks (CNNBN_ERR_OPTION, message naming `what`, the first differing rank and both texts) unless all pass
 * the same text. Collective; equal on all. */
CNNBN_API cnnbn_status cnnbn_comm_same_text(cnnbn_comm *comm, const char *what, const char *text) CNNBN_MUST_CHECK;

CNNBN_API cnnbn_status cnnbn_comm_barrier(cnnbn_comm *comm) CNNBN_MUST_CHECK;
/* Bytes from rank root to all; any size (cut into calls below 2^30). Collective. */
CNNBN_API cnnbn_status cnnbn_comm_bcast(cnnbn_comm *comm, void *data, size_t bytes, int root) CNNBN_MUST_CHECK;
/* Element-wise over ranks, result on all, in place. Sums of doubles by MPI_Allreduce: bits may depend on the number of
 * ranks unless at most one rank's entry is not zero. Collective. */
CNNBN_API cnnbn_status cnnbn_comm_sum_f64(cnnbn_comm *comm, double *data, size_t n) CNNBN_MUST_CHECK;
CNNBN_API cnnbn_status cnnbn_comm_max_f64(cnnbn_comm *comm, double *data, size_t n) CNNBN_MUST_CHECK;
CNNBN_API cnnbn_status cnnbn_comm_sum_i64(cnnbn_comm *comm, int64_t *data, size_t n) CNNBN_MUST_CHECK;
/* `bytes` from each rank, in rank order, into all[size * bytes] on every rank. Collective. */
CNNBN_API cnnbn_status cnnbn_comm_gather_all(cnnbn_comm *comm, const void *mine, size_t bytes,
                                             void *all) CNNBN_MUST_CHECK;

/* Memory that the ranks of a node share (an MPI shared-memory window; plain memory when a node has one rank), zeroed,
 * aligned to CNNBN_ALIGN. All ranks of the node get the same block; rank 0 of the node writes it, then all call
 * cnnbn_shared_fence. Collective over all ranks (sizes must agree within a node). */
typedef struct cnnbn_shared cnnbn_shared;
CNNBN_API cnnbn_status cnnbn_shared_create(cnnbn_comm *comm, size_t bytes, cnnbn_shared **out) CNNBN_MUST_CHECK;
CNNBN_API void *cnnbn_shared_data(cnnbn_shared *shared);
CNNBN_API cnnbn_status cnnbn_shared_fence(cnnbn_shared *shared) CNNBN_MUST_CHECK; /* collective */
CNNBN_API void cnnbn_shared_destroy(cnnbn_shared *shared);                        /* collective; NULL is fine */

/* ---------------------------------------------------------------- reductions over slices */

typedef enum cnnbn_reduce_mode {
    CNNBN_REDUCE_ORDERED = 0, /* the fixed tree over slices: bits do not depend on the number of ranks */
    CNNBN_REDUCE_MPI = 1      /* MPI_Allreduce / MPI_Iallreduce as they are */
} cnnbn_reduce_mode;

/* Which slices a rank owns, and how sums over all slices are made from every rank's nodes (slices.h). Rank r owns the
 * slices [cnnbn_part_begin(S, size, r), cnnbn_part_begin(S, size, r+1)): possibly none. */
typedef struct cnnbn_reducer cnnbn_reducer;

enum { CNNBN_REDUCE_EXTRA = 64 }; /* greatest n_extra of cnnbn_reduce_f64 */

/* Collective. max_floats: the longest vector cnnbn_reduce_f32_start will see; max_doubles: the longest n for
 * cnnbn_reduce_f64. Allocates all it needs. *out owned; keeps borrowing comm. */
CNNBN_API cnnbn_status cnnbn_reducer_create(cnnbn_comm *comm, cnnbn_reduce_mode mode, int S, size_t max_floats,
                                            size_t max_doubles, cnnbn_reducer **out) CNNBN_MUST_CHECK;
/* Collective. NULL is fine; no request may be under way. */
CNNBN_API void cnnbn_reducer_destroy(cnnbn_reducer *reducer);
CNNBN_API int cnnbn_reducer_first_slice(const cnnbn_reducer *reducer);
CNNBN_API int cnnbn_reducer_n_slices(const cnnbn_reducer *reducer);
CNNBN_API int cnnbn_reducer_n_nodes(const cnnbn_reducer *reducer); /* nodes of this rank's run */

/* Small vectors, in double: nodes[e*stride .. +n) for e < n_nodes hold this rank's nodes; out[n] the sum over all slices,
 * equal on all ranks. `extra` (n_extra doubles, in place) rides along: summed over ranks as integers or flags would be:
 * exact for integers below 2^53; NULL when n_extra = 0. One collective. Blocking. nodes is overwritten.
 * Route "carry": put a failure count in `extra`. */
CNNBN_API cnnbn_status cnnbn_reduce_f64(cnnbn_reducer *reducer, double *nodes, size_t stride, size_t n, double *out,
                                        double *extra, size_t n_extra) CNNBN_MUST_CHECK;

/* Long vectors, in float: starts the sum of n floats; nodes[e*stride .. +n) as above, borrowed and OVERWRITTEN until
 * cnnbn_reduce_f32_wait; the result stands in entry 0 (nodes[0 .. n)), equal on all ranks; for a rank without slices
 * nodes must still have room for one entry (its contents are ignored on entry). Collective: same n and same order of
 * starts on all ranks. At most CNNBN_REDUCE_REQUESTS under way. *out is a small handle owned by the reducer. */
enum { CNNBN_REDUCE_REQUESTS = 64 };
typedef struct cnnbn_request cnnbn_request;
CNNBN_API cnnbn_status cnnbn_reduce_f32_start(cnnbn_reducer *reducer, float *nodes, size_t stride, size_t n,
                                              cnnbn_request **out) CNNBN_MUST_CHECK;
/* Drives all requests under way a little (MPI_Test); call between layers. Local, never blocks. */
CNNBN_API cnnbn_status cnnbn_reduce_progress(cnnbn_reducer *reducer) CNNBN_MUST_CHECK;
/* Requests whose sum did not yet stand when they were last driven. Local. */
CNNBN_API int cnnbn_reduce_under_way(const cnnbn_reducer *reducer);
/* Ends one request. Collective in effect. */
CNNBN_API cnnbn_status cnnbn_reduce_f32_wait(cnnbn_reducer *reducer, cnnbn_request *request) CNNBN_MUST_CHECK;
/* Bytes that this rank has sent for reductions so far, and the number of messages or collective calls (for reports). */
CNNBN_API void cnnbn_reducer_traffic(const cnnbn_reducer *reducer, double *bytes, double *calls);

#ifdef __cplusplus
}
#endif
#endif
