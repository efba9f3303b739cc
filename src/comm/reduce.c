/* The reducer: its plan and memory, and the lanes that drive long vectors. */
#include <limits.h>
#include <sched.h>
#include <string.h>

#include "cnnbn/memory.h"
#include "reduce_internal.h"

enum {
    SEGMENT_FLOATS = 1 << 18,   /* 1 MB: the halves in work space stay in a second-level cache */
    SEGMENT_PER_RANK = 1 << 14, /* 64 KB: with many ranks, keeps the pieces long enough for a network */
    LANES_MIN = 16,
    N_SEQUENCES = 8192, /* far more segments than can be under way at once */
    PATIENCE = 200      /* fruitless tests before a waiting rank offers its core */
};

static int is_power_of_two(int n)
{
    return n > 0 && (n & (n - 1)) == 0;
}

static cnnbn_status check_arguments(const cnnbn_reducer *r)
{
    if (r->S < 1 || r->S > CNNBN_SLICES_MAX)
        return cnnbn_error(CNNBN_ERR_OPTION, "slices: %d, expected 1 to %d", r->S, CNNBN_SLICES_MAX);
    if (r->max_floats > INT_MAX)
        return cnnbn_error(CNNBN_ERR_OPTION, "a reduction of %zu floats at once: at most %d", r->max_floats, INT_MAX);
    if (r->max_doubles > (INT_MAX - CNNBN_REDUCE_EXTRA) / CNNBN_TREE_DEPTH)
        return cnnbn_error(CNNBN_ERR_OPTION, "a small reduction of %zu doubles: at most %d", r->max_doubles,
                           (INT_MAX - CNNBN_REDUCE_EXTRA) / CNNBN_TREE_DEPTH);
    return CNNBN_OK;
}

static cnnbn_status allocate_lanes(cnnbn_reducer *r)
{
    size_t segment = (size_t)SEGMENT_PER_RANK * (size_t)r->comm->size;
    if (segment < SEGMENT_FLOATS) segment = SEGMENT_FLOATS;
    if (segment > r->max_floats) segment = r->max_floats;
    if (segment < 1) segment = 1;
    r->segment = segment;
    /* Enough lanes for four of the longest vectors at once, or for as many requests as there can be. */
    size_t wanted = 4 * r->max_floats / segment;
    r->n_lanes = wanted < LANES_MIN ? LANES_MIN : wanted > CNNBN_REDUCE_REQUESTS ? CNNBN_REDUCE_REQUESTS : (int)wanted;

    size_t work = cnnbn_align_up(cnnbn__tree_work_floats(r, segment) * sizeof(float)) / sizeof(float);
    size_t pending = (size_t)cnnbn__tree_max_pending(r);
    void *lanes, *floats, *requests, *statuses;
    CNNBN_TRY(cnnbn_alloc_array((size_t)r->n_lanes, sizeof(cnnbn_lane), "lanes of the reductions", &lanes));
    r->lanes = lanes;
    CNNBN_TRY(cnnbn_alloc_array((size_t)r->n_lanes * work, sizeof(float), "work space of the reductions", &floats));
    r->work = floats;
    CNNBN_TRY(
        cnnbn_alloc_array((size_t)r->n_lanes * pending, sizeof(MPI_Request), "requests of reductions", &requests));
    r->lane_pending = requests;
    CNNBN_TRY(cnnbn_alloc_array(pending + 2, sizeof(MPI_Status), "statuses of reductions", &statuses));
    r->statuses = statuses;
    for (int i = 0; i < r->n_lanes; i++) {
        r->lanes[i].work = r->work + (size_t)i * work;
        r->lanes[i].pending = r->lane_pending + (size_t)i * pending;
    }
    return CNNBN_OK;
}

static cnnbn_status allocate(cnnbn_reducer *r)
{
    void *list, *other;
    CNNBN_TRY(cnnbn__tree_plan(r));
    CNNBN_TRY(allocate_lanes(r));
    size_t doubles = CNNBN_REDUCE_EXTRA + (size_t)r->small_depth * r->max_doubles;
    CNNBN_TRY(cnnbn_alloc_array(doubles, sizeof(double), "small reductions", &list));
    r->list = list;
    CNNBN_TRY(cnnbn_alloc_array(doubles, sizeof(double), "small reductions", &other));
    r->other = other;
    return CNNBN_OK;
}

static void plan_own_part(cnnbn_reducer *r)
{
    cnnbn_node nodes[CNNBN_TREE_DEPTH];
    int size = r->comm->size, rank = r->comm->rank;
    r->first_slice = cnnbn_part_begin(r->S, size, rank);
    r->n_slices = cnnbn_part_begin(r->S, size, rank + 1) - r->first_slice;
    r->n_nodes = cnnbn_tree_nodes(r->S, r->first_slice, r->n_slices, nodes);
    while (1 << r->log2_size < size) r->log2_size++;
    /* Asked of the labels, not of S and N: one node a rank, all of one level, numbered as the ranks are. */
    r->halving = is_power_of_two(size);
    for (int q = 0, level = 0; q < size && r->halving; q++) {
        int first = cnnbn_part_begin(r->S, size, q);
        int count = cnnbn_tree_nodes(r->S, first, cnnbn_part_begin(r->S, size, q + 1) - first, nodes);
        if (q == 0 && count) level = nodes[0].level;
        r->halving = count == 1 && nodes[0].index == q && nodes[0].level == level;
    }
}

static cnnbn_status open_reducer(cnnbn_reducer *r)
{
    cnnbn_status status = check_arguments(r);
    if (status == CNNBN_OK) {
        plan_own_part(r);
        cnnbn__small_plan(r);
        status = allocate(r);
    }
    CNNBN_TRY(cnnbn_comm_agree(r->comm, status));
    if (r->comm->size == 1) return CNNBN_OK;
    /* Duplicates have their parent's error handler, MPI_ERRORS_RETURN. */
    return cnnbn__mpi_check(MPI_Comm_dup(r->comm->world, &r->mpi), "MPI_Comm_dup");
}

cnnbn_status cnnbn_reducer_create(cnnbn_comm *comm, cnnbn_reduce_mode mode, int S, size_t max_floats,
                                  size_t max_doubles, cnnbn_reducer **out)
{
    void *block = NULL;
    *out = NULL;
    CNNBN_TRY(cnnbn_comm_agree(comm, cnnbn_alloc(sizeof(cnnbn_reducer), "the reducer", &block)));
    cnnbn_reducer *reducer = block;
    reducer->comm = comm;
    reducer->mpi = MPI_COMM_NULL;
    reducer->mode = mode;
    reducer->S = S;
    reducer->max_floats = max_floats;
    reducer->max_doubles = max_doubles;
    for (int i = 0; i < CNNBN_REDUCE_REQUESTS; i++) reducer->requests[i].pending = MPI_REQUEST_NULL;
    cnnbn_status status = open_reducer(reducer);
    if (status != CNNBN_OK) {
        cnnbn_reducer_destroy(reducer);
        return status;
    }
    *out = reducer;
    return CNNBN_OK;
}

void cnnbn_reducer_destroy(cnnbn_reducer *reducer)
{
    if (!reducer) return;
    if (reducer->mpi != MPI_COMM_NULL) (void)MPI_Comm_free(&reducer->mpi);
    cnnbn_free(reducer->sources);
    cnnbn_free(reducer->n_nodes_of);
    cnnbn_free(reducer->n_before_of);
    cnnbn_free(reducer->stack);
    cnnbn_free(reducer->lanes);
    cnnbn_free(reducer->work);
    cnnbn_free(reducer->lane_pending);
    cnnbn_free(reducer->statuses);
    cnnbn_free(reducer->list);
    cnnbn_free(reducer->other);
    cnnbn_free(reducer);
}

int cnnbn_reducer_first_slice(const cnnbn_reducer *reducer)
{
    return reducer->first_slice;
}

int cnnbn_reducer_n_slices(const cnnbn_reducer *reducer)
{
    return reducer->n_slices;
}

int cnnbn_reducer_n_nodes(const cnnbn_reducer *reducer)
{
    return reducer->n_nodes;
}

void cnnbn_reducer_traffic(const cnnbn_reducer *reducer, double *bytes, double *calls)
{
    *bytes = reducer->bytes;
    *calls = reducer->calls;
}

void cnnbn__count(cnnbn_reducer *reducer, size_t bytes)
{
    reducer->bytes += (double)bytes;
    reducer->calls += 1;
}

cnnbn_status cnnbn__test_all(cnnbn_reducer *reducer, int n, MPI_Request *pending, int *done)
{
    *done = 1;
    if (!n) return CNNBN_OK;
    int code = MPI_Testall(n, pending, done, reducer->statuses);
    if (code == MPI_SUCCESS) return CNNBN_OK;
    /* MPI_ERR_IN_STATUS says only that one of them failed. */
    for (int i = 0; code == MPI_ERR_IN_STATUS && i < n; i++) {
        int own = reducer->statuses[i].MPI_ERROR;
        if (own != MPI_SUCCESS && own != MPI_ERR_PENDING) code = own;
    }
    return cnnbn__mpi_check(code, "MPI_Testall of a reduction");
}

/* Gives the next segments to free lanes, in the order of the requests' starts: the order is equal on all ranks, so the
 * oldest segment that is not done anywhere is in a lane everywhere, and no rank waits for another for ever. */
static void fill_lanes(cnnbn_reducer *r)
{
    for (int i = 0; i < r->n_lanes && r->queue_length; i++) {
        cnnbn_lane *lane = &r->lanes[i];
        if (lane->request) continue;
        cnnbn_request *request = r->queue[r->queue_head];
        size_t left = request->n - request->begun;
        lane->request = request;
        lane->nodes = request->nodes + request->begun;
        lane->stride = request->stride;
        lane->n = left < r->segment ? left : r->segment;
        lane->tag = (int)(2 * (r->next_sequence++ % N_SEQUENCES));
        lane->step = 0;
        lane->n_pending = 0;
        request->begun += lane->n;
        r->n_busy++;
        if (request->begun == request->n) {
            r->queue_head = (r->queue_head + 1) % CNNBN_REDUCE_REQUESTS;
            r->queue_length--;
        }
    }
}

/* As far as the lane gets without waiting. *moved: something happened. */
static cnnbn_status drive_lane(cnnbn_reducer *r, cnnbn_lane *lane, int *moved)
{
    for (;;) {
        int ready = 0, done = 0;
        CNNBN_TRY(cnnbn__test_all(r, lane->n_pending, lane->pending, &ready));
        if (!ready) return CNNBN_OK;
        *moved = 1;
        lane->n_pending = 0;
        CNNBN_TRY(cnnbn__tree_advance(r, lane, &done));
        if (!done) continue;
        lane->request->done += lane->n;
        lane->request = NULL;
        r->n_busy--;
        return CNNBN_OK;
    }
}

static cnnbn_status drive(cnnbn_reducer *r, int *moved)
{
    *moved = 0;
    fill_lanes(r);
    for (int i = 0; i < r->n_lanes && r->n_busy; i++)
        if (r->lanes[i].request) CNNBN_TRY(drive_lane(r, &r->lanes[i], moved));
    if (r->queue_length && *moved) fill_lanes(r);
    return CNNBN_OK;
}

cnnbn_status cnnbn_reduce_f32_start(cnnbn_reducer *reducer, float *nodes, size_t stride, size_t n, cnnbn_request **out)
{
    *out = NULL;
    if (n > reducer->max_floats)
        return cnnbn_error(CNNBN_ERR_INTERNAL, "a reduction of %zu floats, but the reducer was made for %zu", n,
                           reducer->max_floats);
    int i = 0;
    while (i < CNNBN_REDUCE_REQUESTS && reducer->requests[i].in_use) i++;
    if (i == CNNBN_REDUCE_REQUESTS)
        return cnnbn_error(CNNBN_ERR_INTERNAL, "more than %d reductions under way", CNNBN_REDUCE_REQUESTS);
    cnnbn_request *request = &reducer->requests[i];
    *request = (cnnbn_request){1, nodes, stride, n, 0, 0, MPI_REQUEST_NULL};
    if (n == 0 || reducer->comm->size == 1) {
        request->done = n; /* one rank's run is the whole tree: its one node is the sum */
    } else if (reducer->mode == CNNBN_REDUCE_MPI) {
        CNNBN_TRY(cnnbn__mpi_reduce_f32_start(reducer, request));
    } else {
        int moved;
        reducer->queue[(reducer->queue_head + reducer->queue_length++) % CNNBN_REDUCE_REQUESTS] = request;
        CNNBN_TRY(drive(reducer, &moved));
    }
    *out = request;
    return CNNBN_OK;
}

cnnbn_status cnnbn_reduce_progress(cnnbn_reducer *reducer)
{
    int moved;
    if (reducer->mode == CNNBN_REDUCE_ORDERED) return drive(reducer, &moved);
    for (int i = 0; i < CNNBN_REDUCE_REQUESTS; i++) {
        cnnbn_request *request = &reducer->requests[i];
        int done = 0;
        if (!request->in_use || request->done == request->n) continue;
        CNNBN_TRY(
            cnnbn__mpi_check(MPI_Test(&request->pending, &done, MPI_STATUS_IGNORE), "MPI_Test of MPI_Iallreduce"));
        if (done) request->done = request->n;
    }
    return CNNBN_OK;
}

/* More ranks than cores: the one we wait for may want this core, and not every MPI library gives it away. */
static void be_patient(int *idle, int moved)
{
    *idle = moved ? 0 : *idle + 1;
    if (*idle < PATIENCE) return;
    *idle = PATIENCE;
    (void)sched_yield();
}

cnnbn_status cnnbn__wait_all(cnnbn_reducer *reducer, int n, MPI_Request *pending)
{
    for (int idle = 0;;) {
        int done = 0, moved = 0;
        CNNBN_TRY(cnnbn__test_all(reducer, n, pending, &done));
        if (done) return CNNBN_OK;
        /* The rank that keeps us waiting may itself be waiting for a long vector of ours. */
        if (reducer->n_busy) CNNBN_TRY(drive(reducer, &moved));
        be_patient(&idle, moved);
    }
}

int cnnbn_reduce_under_way(const cnnbn_reducer *reducer)
{
    int n = 0;
    for (int i = 0; i < CNNBN_REDUCE_REQUESTS; i++)
        n += reducer->requests[i].in_use && reducer->requests[i].done < reducer->requests[i].n;
    return n;
}

cnnbn_status cnnbn_reduce_f32_wait(cnnbn_reducer *reducer, cnnbn_request *request)
{
    if (reducer->mode == CNNBN_REDUCE_MPI && request->done < request->n) {
        CNNBN_TRY(cnnbn__mpi_check(MPI_Wait(&request->pending, MPI_STATUS_IGNORE), "MPI_Wait of MPI_Iallreduce"));
        request->done = request->n;
    }
    for (int idle = 0; request->done < request->n;) {
        int moved;
        CNNBN_TRY(drive(reducer, &moved));
        be_patient(&idle, moved);
    }
    request->in_use = 0;
    return CNNBN_OK;
}
