/* Ordered sums of long vectors: who adds what is fixed by the tree over slices (slices.h), never by timing.
 *
 * Halving: where the tree above the ranks' nodes is the binary tree over the rank number, recursive halving with the
 * nearest neighbour first makes it: after step k a rank holds, for its part of the vector, the sum over the 2^(k+1) ranks
 * that share its upper bits. Recursive doubling brings the sums back. 2 log2 N messages of the least possible volume.
 *
 * Owners: else rank q is the owner of part q of the vector; every rank sends each owner its nodes of that part, the owner
 * adds them in tree order, and sends the sum to all.
 */
#include <string.h>

#include "cnnbn/memory.h"
#include "reduce_internal.h"

/* ---------------------------------------------------------------- plan */

cnnbn_status cnnbn__tree_plan(cnnbn_reducer *r)
{
    int size = r->comm->size, height = 0, at = 0;
    cnnbn_node nodes[CNNBN_TREE_DEPTH], stack[CNNBN_TREE_DEPTH];
    void *sources, *counts, *befores, *floats;
    /* A rank has no more nodes than slices, so all ranks have no more than S. */
    CNNBN_TRY(cnnbn_alloc_array((size_t)r->S, sizeof(cnnbn_source), "the plan of the reductions", &sources));
    r->sources = sources;
    CNNBN_TRY(cnnbn_alloc_array((size_t)size, sizeof(int), "the plan of the reductions", &counts));
    r->n_nodes_of = counts;
    CNNBN_TRY(cnnbn_alloc_array((size_t)size, sizeof(int), "the plan of the reductions", &befores));
    r->n_before_of = befores;
    for (int q = 0; q < size; q++) {
        int first = cnnbn_part_begin(r->S, size, q);
        int count = cnnbn_tree_nodes(r->S, first, cnnbn_part_begin(r->S, size, q + 1) - first, nodes);
        r->n_nodes_of[q] = count;
        r->n_before_of[q] = at;
        for (int e = 0; e < count; e++) {
            if (height + 1 > r->tree_depth) r->tree_depth = height + 1;
            r->sources[at++] = (cnnbn_source){q, e, cnnbn_tree_push(r->S, stack, &height, nodes[e])};
        }
    }
    r->n_sources = at;
    CNNBN_TRY(cnnbn_alloc_array((size_t)r->tree_depth * CNNBN__TREE_BLOCK, sizeof(float), "the stack of the reductions",
                                &floats));
    r->stack = floats;
    return CNNBN_OK;
}

static size_t part_begin(size_t n, int parts, int p)
{
    return n / (size_t)parts * (size_t)p + n % (size_t)parts * (size_t)p / (size_t)parts;
}

size_t cnnbn__tree_work_floats(const cnnbn_reducer *r, size_t segment)
{
    if (r->comm->size == 1 || r->mode == CNNBN_REDUCE_MPI) return 0;
    if (r->halving) return segment / 2 + 1;
    return (size_t)(r->n_sources - r->n_nodes) * (segment / (size_t)r->comm->size + 1);
}

int cnnbn__tree_max_pending(const cnnbn_reducer *r)
{
    int others = r->comm->size - 1;
    if (r->halving || r->mode == CNNBN_REDUCE_MPI) return 2;
    int nodes = r->n_sources - r->n_nodes + r->n_nodes * others;
    return nodes > 2 * others ? nodes : 2 * others;
}

/* ---------------------------------------------------------------- messages */

static cnnbn_status post_send(cnnbn_reducer *r, cnnbn_lane *lane, const float *data, size_t n, int to, int tag)
{
    if (!n) return CNNBN_OK; /* the other side knows it too */
    cnnbn__count(r, n * sizeof(float));
    return cnnbn__mpi_check(MPI_Isend(data, (int)n, MPI_FLOAT, to, tag, r->mpi, &lane->pending[lane->n_pending++]),
                            "MPI_Isend of a reduction");
}

static cnnbn_status post_receive(cnnbn_reducer *r, cnnbn_lane *lane, float *data, size_t n, int from, int tag)
{
    if (!n) return CNNBN_OK;
    return cnnbn__mpi_check(MPI_Irecv(data, (int)n, MPI_FLOAT, from, tag, r->mpi, &lane->pending[lane->n_pending++]),
                            "MPI_Irecv of a reduction");
}

/* ---------------------------------------------------------------- halving */

typedef struct range {
    size_t begin, end;
} range;

/* What `rank` holds of a vector of n before step k. */
static range range_before(int rank, int k, size_t n)
{
    range x = {0, n};
    for (int bit = 0; bit < k; bit++) {
        size_t middle = x.begin + (x.end - x.begin) / 2;
        if (rank >> bit & 1)
            x.begin = middle;
        else
            x.end = middle;
    }
    return x;
}

/* The two are equal in bits whoever is lower: addition commutes. */
static void add_received(float *restrict sum, const float *restrict received, size_t n)
{
    for (size_t i = 0; i < n; i++) sum[i] += received[i];
}

static cnnbn_status advance_halving(cnnbn_reducer *r, cnnbn_lane *lane, int *done)
{
    int rank = r->comm->rank, last = r->log2_size;
    if (lane->step > 0 && lane->step <= last) {
        range kept = range_before(rank, lane->step, lane->n);
        add_received(lane->nodes + kept.begin, lane->work, kept.end - kept.begin);
    }
    *done = lane->step == 2 * last;
    if (*done) return CNNBN_OK;
    int inward = lane->step < last;
    int k = inward ? lane->step : 2 * last - 1 - lane->step;
    int peer = rank ^ (1 << k), tag = lane->tag + !inward;
    range mine = range_before(rank, k + 1, lane->n), theirs = range_before(peer, k + 1, lane->n);
    size_t n_mine = mine.end - mine.begin, n_theirs = theirs.end - theirs.begin;
    lane->step++;
    if (inward) {
        CNNBN_TRY(post_receive(r, lane, lane->work, n_mine, peer, tag));
        return post_send(r, lane, lane->nodes + theirs.begin, n_theirs, peer, tag);
    }
    CNNBN_TRY(post_receive(r, lane, lane->nodes + theirs.begin, n_theirs, peer, tag));
    return post_send(r, lane, lane->nodes + mine.begin, n_mine, peer, tag);
}

/* ---------------------------------------------------------------- owners */

/* The other ranks one after the other, each rank from its own neighbour on, so that not all send to rank 0 first. */
static int other_rank(const cnnbn_reducer *r, int i)
{
    return (r->comm->rank + i) % r->comm->size;
}

static range part_of(const cnnbn_reducer *r, const cnnbn_lane *lane, int rank)
{
    return (range){part_begin(lane->n, r->comm->size, rank), part_begin(lane->n, r->comm->size, rank + 1)};
}

/* Received nodes stand in the work space in the order of all nodes, our own left out. */
static float *received_node(const cnnbn_reducer *r, const cnnbn_lane *lane, int rank, int node, size_t n_part)
{
    int before = r->n_before_of[rank] + node - (rank > r->comm->rank ? r->n_nodes : 0);
    return lane->work + (size_t)before * n_part;
}

static cnnbn_status send_nodes(cnnbn_reducer *r, cnnbn_lane *lane)
{
    range mine = part_of(r, lane, r->comm->rank);
    size_t n_part = mine.end - mine.begin;
    for (int i = 1; i < r->comm->size; i++) {
        int from = other_rank(r, r->comm->size - i);
        for (int e = 0; e < r->n_nodes_of[from]; e++)
            CNNBN_TRY(post_receive(r, lane, received_node(r, lane, from, e, n_part), n_part, from, lane->tag));
    }
    for (int i = 1; i < r->comm->size; i++) {
        int to = other_rank(r, i);
        range theirs = part_of(r, lane, to);
        for (int e = 0; e < r->n_nodes; e++)
            CNNBN_TRY(post_send(r, lane, lane->nodes + (size_t)e * lane->stride + theirs.begin,
                                theirs.end - theirs.begin, to, lane->tag));
    }
    return CNNBN_OK;
}

static void add_pair(float *restrict out, const float *lower, const float *higher, size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] = lower[i] + higher[i];
}

/* Block by block through the stack machine. An entry of the stack is a block of its own only after its first merge:
 * before, it is the node where it stands. */
static void add_nodes(cnnbn_reducer *r, cnnbn_lane *lane)
{
    range mine = part_of(r, lane, r->comm->rank);
    size_t n_part = mine.end - mine.begin;
    for (size_t begin = 0; begin < n_part; begin += CNNBN__TREE_BLOCK) {
        size_t n = n_part - begin < CNNBN__TREE_BLOCK ? n_part - begin : CNNBN__TREE_BLOCK;
        const float *entry[CNNBN_TREE_DEPTH];
        int height = 0;
        for (int s = 0; s < r->n_sources; s++) {
            const cnnbn_source *source = &r->sources[s];
            if (source->rank == r->comm->rank)
                entry[height++] = lane->nodes + (size_t)source->node * lane->stride + mine.begin + begin;
            else
                entry[height++] = received_node(r, lane, source->rank, source->node, n_part) + begin;
            for (int m = 0; m < source->n_merges; m++, height--) {
                float *sum = r->stack + (size_t)(height - 2) * CNNBN__TREE_BLOCK;
                if (entry[height - 2] == sum)
                    add_received(sum, entry[height - 1], n);
                else
                    add_pair(sum, entry[height - 2], entry[height - 1], n);
                entry[height - 2] = sum;
            }
        }
        float *out = lane->nodes + mine.begin + begin;
        if (entry[0] != out) memcpy(out, entry[0], n * sizeof *out);
    }
}

static cnnbn_status send_sums(cnnbn_reducer *r, cnnbn_lane *lane)
{
    range mine = part_of(r, lane, r->comm->rank);
    for (int i = 1; i < r->comm->size; i++) {
        int from = other_rank(r, r->comm->size - i);
        range theirs = part_of(r, lane, from);
        CNNBN_TRY(post_receive(r, lane, lane->nodes + theirs.begin, theirs.end - theirs.begin, from, lane->tag + 1));
    }
    for (int i = 1; i < r->comm->size; i++)
        CNNBN_TRY(post_send(r, lane, lane->nodes + mine.begin, mine.end - mine.begin, other_rank(r, i), lane->tag + 1));
    return CNNBN_OK;
}

static cnnbn_status advance_owners(cnnbn_reducer *r, cnnbn_lane *lane, int *done)
{
    *done = lane->step == 2;
    if (*done) return CNNBN_OK;
    if (lane->step++ == 0) return send_nodes(r, lane);
    add_nodes(r, lane);
    return send_sums(r, lane);
}

cnnbn_status cnnbn__tree_advance(cnnbn_reducer *reducer, cnnbn_lane *lane, int *done)
{
    return reducer->halving ? advance_halving(reducer, lane, done) : advance_owners(reducer, lane, done);
}
