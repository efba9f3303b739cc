/* The reduction engine's parts (docs/reductions.md). */
#ifndef CNNBN_REDUCE_INTERNAL_H
#define CNNBN_REDUCE_INTERNAL_H

#include "comm_internal.h"

/* A long vector is cut into segments, each a small state machine of its own in a lane with its own work space and MPI
 * requests: the work space is bounded, and several segments are on their way while others are being added. */
typedef struct cnnbn_lane {
    cnnbn_request *request; /* NULL: free */
    float *nodes;           /* the segment's part of the request's nodes */
    size_t stride, n;
    int tag;  /* of phase 0; tag + 1 is phase 1's */
    int step; /* where the state machine stands */
    float *work;
    MPI_Request *pending;
    int n_pending;
} cnnbn_lane;

struct cnnbn_request {
    int in_use;
    float *nodes;
    size_t stride, n;
    size_t begun, done;  /* elements given to lanes; elements whose sum stands */
    MPI_Request pending; /* --reduce mpi */
};

/* One exchange of the small reduction: both sides know both lists of nodes beforehand. */
typedef struct cnnbn_small_step {
    enum cnnbn_small_kind { SMALL_EXCHANGE, SMALL_SEND, SMALL_RECEIVE, SMALL_SEND_SUM, SMALL_RECEIVE_SUM } kind;
    int peer;
    int n_mine, n_theirs; /* nodes in the lists */
    cnnbn_node mine[CNNBN_TREE_DEPTH], theirs[CNNBN_TREE_DEPTH];
} cnnbn_small_step;

enum { SMALL_STEPS_MAX = 40 }; /* 31 doublings, fold and unfold */

/* Node j of rank q in the list of all nodes, left to right, and the merges after it has been pushed. */
typedef struct cnnbn_source {
    int rank, node, n_merges;
} cnnbn_source;

struct cnnbn_reducer {
    cnnbn_comm *comm;
    MPI_Comm mpi; /* a duplicate of our own: tags of several reducers do not mix */
    cnnbn_reduce_mode mode;
    int S, first_slice, n_slices, n_nodes;
    size_t max_floats, max_doubles;
    double bytes, calls;

    int halving; /* every rank holds one node, in rank order, N a power of two: the binary tree is the rank's bits */
    int log2_size;
    cnnbn_source *sources; /* [n_sources] all nodes of all ranks */
    int n_sources, tree_depth;
    int *n_nodes_of;  /* [size] */
    int *n_before_of; /* [size] nodes of the ranks before it */
    float *stack;     /* [tree_depth * CNNBN__TREE_BLOCK] */

    cnnbn_request requests[CNNBN_REDUCE_REQUESTS];
    cnnbn_request *queue[CNNBN_REDUCE_REQUESTS]; /* a ring: requests with segments not begun, in order of start */
    int queue_head, queue_length;
    cnnbn_lane *lanes;
    int n_lanes, n_busy;
    size_t segment;         /* floats */
    unsigned next_sequence; /* of segments, equal on all ranks: gives the tag */
    float *work;
    MPI_Request *lane_pending;
    MPI_Status *statuses; /* for the longest set of requests tested at once */

    cnnbn_small_step steps[SMALL_STEPS_MAX];
    int n_steps, small_depth;
    double *list, *other; /* [CNNBN_REDUCE_EXTRA + small_depth * max_doubles] */
};

enum {
    CNNBN__TREE_BLOCK = 512, /* floats of a stack entry: the stack stays in the first-level cache */
    CNNBN__TAG_SMALL = 32000 /* below the 32767 that every MPI allows; segments use the tags below it */
};

/* reduce.c. Has everything in pending[] ended? An error is the failed message's own. Local. */
cnnbn_status cnnbn__test_all(cnnbn_reducer *reducer, int n, MPI_Request *pending, int *done) CNNBN_MUST_CHECK;
/* Waits till it has; long vectors under way move on meanwhile. */
cnnbn_status cnnbn__wait_all(cnnbn_reducer *reducer, int n, MPI_Request *pending) CNNBN_MUST_CHECK;
void cnnbn__count(cnnbn_reducer *reducer, size_t bytes);

/* reduce_tree.c: the plan of who adds what (allocates); a lane's next move, called with no request pending. *done: the
 * segment's sum stands in entry 0. */
cnnbn_status cnnbn__tree_plan(cnnbn_reducer *reducer) CNNBN_MUST_CHECK;
size_t cnnbn__tree_work_floats(const cnnbn_reducer *reducer, size_t segment);
int cnnbn__tree_max_pending(const cnnbn_reducer *reducer);
cnnbn_status cnnbn__tree_advance(cnnbn_reducer *reducer, cnnbn_lane *lane, int *done) CNNBN_MUST_CHECK;

/* reduce_small.c: the exchanges of the small reduction; sets steps and small_depth. */
void cnnbn__small_plan(cnnbn_reducer *reducer);

/* reduce_mpi.c */
cnnbn_status cnnbn__mpi_reduce_f64(cnnbn_reducer *reducer, const double *nodes, size_t stride, size_t n, double *out,
                                   double *extra, size_t n_extra) CNNBN_MUST_CHECK;
cnnbn_status cnnbn__mpi_reduce_f32_start(cnnbn_reducer *reducer, cnnbn_request *request) CNNBN_MUST_CHECK;

#endif
