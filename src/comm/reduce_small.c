/* Ordered sums of short vectors, in double: few messages count more than few bytes.
 *
 * Recursive doubling over lists of nodes. A group of neighbouring ranks holds the nodes of its common run of slices; in
 * each step two neighbouring groups exchange their lists and join them by the stack machine of slices.h. The groups being
 * contiguous, the last list is one node, made by the tree's own additions. Where N is a power of two that divides S each
 * list is one node. For another N, with P the greatest power of two below it, the first 2(N-P) ranks pair up before (the
 * odd one gives its nodes to the even one) and the odd ones get the sum at the end: log2 P + 2 messages.
 */
#include <string.h>

#include "reduce_internal.h"

/* ---------------------------------------------------------------- plan */

/* Nodes of the slices of the ranks [begin, end). */
static int nodes_of_ranks(const cnnbn_reducer *r, int begin, int end, cnnbn_node *nodes)
{
    int first = cnnbn_part_begin(r->S, r->comm->size, begin);
    return cnnbn_tree_nodes(r->S, first, cnnbn_part_begin(r->S, r->comm->size, end) - first, nodes);
}

static void plan_depth(cnnbn_reducer *r, const cnnbn_small_step *step)
{
    cnnbn_node stack[CNNBN_TREE_DEPTH];
    int lower_first = step->peer > r->comm->rank;
    const cnnbn_node *left = lower_first ? step->mine : step->theirs, *right = lower_first ? step->theirs : step->mine;
    int height = lower_first ? step->n_mine : step->n_theirs, n_right = lower_first ? step->n_theirs : step->n_mine;
    memcpy(stack, left, sizeof stack);
    if (n_right > r->small_depth) r->small_depth = n_right;
    if (height > r->small_depth) r->small_depth = height;
    for (int e = 0; e < n_right; e++) {
        if (height + 1 > r->small_depth) r->small_depth = height + 1;
        (void)cnnbn_tree_push(r->S, stack, &height, right[e]);
    }
}

static void plan_step(cnnbn_reducer *r, enum cnnbn_small_kind kind, int peer, const int mine[2], const int theirs[2])
{
    cnnbn_small_step *step = &r->steps[r->n_steps++];
    step->kind = kind;
    step->peer = peer;
    step->n_mine = nodes_of_ranks(r, mine[0], mine[1], step->mine);
    step->n_theirs = nodes_of_ranks(r, theirs[0], theirs[1], step->theirs);
    plan_depth(r, step);
}

/* First rank of group number g when each group has 2^k of the P units; a unit is a pair of ranks or one rank. */
static int group_begin(int n_pairs, int k, int g)
{
    int unit = g << k;
    return unit < n_pairs ? 2 * unit : unit + n_pairs;
}

void cnnbn__small_plan(cnnbn_reducer *r)
{
    int size = r->comm->size, rank = r->comm->rank, units = 1, log2_units = 0;
    r->small_depth = r->n_nodes > 1 ? r->n_nodes : 1;
    while (units * 2 <= size) units *= 2, log2_units++;
    int n_pairs = size - units, paired = rank < 2 * n_pairs;
    int self[2] = {rank, rank + 1}, all[2] = {0, size};
    if (paired) {
        int peer = rank ^ 1, other[2] = {peer, peer + 1};
        plan_step(r, rank % 2 ? SMALL_SEND : SMALL_RECEIVE, peer, self, other);
    }
    int unit = paired ? rank / 2 : rank - n_pairs;
    for (int k = 0; k < log2_units && !(paired && rank % 2); k++) {
        int g = unit >> k, peer_unit = unit ^ (1 << k);
        int mine[2] = {group_begin(n_pairs, k, g), group_begin(n_pairs, k, g + 1)};
        int theirs[2] = {group_begin(n_pairs, k, g ^ 1), group_begin(n_pairs, k, (g ^ 1) + 1)};
        plan_step(r, SMALL_EXCHANGE, group_begin(n_pairs, 0, peer_unit), mine, theirs);
    }
    if (paired) plan_step(r, rank % 2 ? SMALL_RECEIVE_SUM : SMALL_SEND_SUM, rank ^ 1, all, all);
}

/* ---------------------------------------------------------------- run */

/* A message: n_extra doubles that are added as they are, then the nodes. */
typedef struct list {
    double *extra, *nodes;
    int n_nodes;
    cnnbn_node labels[CNNBN_TREE_DEPTH];
} list;

/* Joins `right` to `left`, which takes the result. */
static void join(const cnnbn_reducer *r, list *left, const list *right, size_t n, size_t n_extra)
{
    for (size_t i = 0; i < n_extra; i++) left->extra[i] += right->extra[i];
    for (int e = 0; e < right->n_nodes; e++) {
        const double *node = right->nodes + (size_t)e * n;
        double *top = left->nodes + (size_t)left->n_nodes * n;
        int merges = cnnbn_tree_push(r->S, left->labels, &left->n_nodes, right->labels[e]);
        if (!merges) {
            memcpy(top, node, n * sizeof *top);
            continue;
        }
        top -= n;
        for (size_t i = 0; i < n; i++) top[i] += node[i];
        for (; merges > 1; merges--, top -= n)
            for (size_t i = 0; i < n; i++) top[i - n] += top[i];
    }
}

static cnnbn_status do_step(cnnbn_reducer *r, const cnnbn_small_step *step, list *mine, list *theirs, size_t n,
                            size_t n_extra)
{
    MPI_Request pending[2];
    int n_pending = 0;
    int sends = step->kind == SMALL_EXCHANGE || step->kind == SMALL_SEND || step->kind == SMALL_SEND_SUM;
    int receives = step->kind == SMALL_EXCHANGE || step->kind == SMALL_RECEIVE || step->kind == SMALL_RECEIVE_SUM;
    size_t n_out = n_extra + (size_t)step->n_mine * n, n_in = n_extra + (size_t)step->n_theirs * n;
    if (receives && n_in)
        CNNBN_TRY(cnnbn__mpi_check(MPI_Irecv(theirs->extra, (int)n_in, MPI_DOUBLE, step->peer, CNNBN__TAG_SMALL, r->mpi,
                                             &pending[n_pending++]),
                                   "MPI_Irecv of a small reduction"));
    if (sends && n_out) {
        cnnbn__count(r, n_out * sizeof(double));
        CNNBN_TRY(cnnbn__mpi_check(
            MPI_Isend(mine->extra, (int)n_out, MPI_DOUBLE, step->peer, CNNBN__TAG_SMALL, r->mpi, &pending[n_pending++]),
            "MPI_Isend of a small reduction"));
    }
    CNNBN_TRY(cnnbn__wait_all(r, n_pending, pending));
    theirs->nodes = theirs->extra + n_extra;
    theirs->n_nodes = step->n_theirs;
    memcpy(theirs->labels, step->theirs, sizeof theirs->labels);
    return CNNBN_OK;
}

static void swap(list *a, list *b)
{
    list c = *a;
    *a = *b;
    *b = c;
}

static cnnbn_status ordered(cnnbn_reducer *r, const double *nodes, size_t stride, size_t n, double *out, double *extra,
                            size_t n_extra)
{
    list mine = {r->list, r->list + n_extra, r->n_nodes, {{0, 0}}},
         theirs = {r->other, r->other + n_extra, 0, {{0, 0}}};
    (void)nodes_of_ranks(r, r->comm->rank, r->comm->rank + 1, mine.labels);
    if (n_extra) memcpy(mine.extra, extra, n_extra * sizeof *extra);
    for (int e = 0; e < r->n_nodes && n; e++)
        memcpy(mine.nodes + (size_t)e * n, nodes + (size_t)e * stride, n * sizeof *out);
    for (int s = 0; s < r->n_steps; s++) {
        const cnnbn_small_step *step = &r->steps[s];
        CNNBN_TRY(do_step(r, step, &mine, &theirs, n, n_extra));
        if (step->kind == SMALL_RECEIVE_SUM) swap(&mine, &theirs);
        if (step->kind != SMALL_EXCHANGE && step->kind != SMALL_RECEIVE) continue;
        if (step->peer < r->comm->rank) swap(&mine, &theirs); /* lower ranks stand left */
        join(r, &mine, &theirs, n, n_extra);
    }
    if (n) memcpy(out, mine.nodes, n * sizeof *out);
    if (n_extra) memcpy(extra, mine.extra, n_extra * sizeof *extra);
    return CNNBN_OK;
}

cnnbn_status cnnbn_reduce_f64(cnnbn_reducer *reducer, double *nodes, size_t stride, size_t n, double *out,
                              double *extra, size_t n_extra)
{
    if (n > reducer->max_doubles || n_extra > CNNBN_REDUCE_EXTRA)
        return cnnbn_error(
            CNNBN_ERR_INTERNAL,
            "a small reduction of %zu doubles and %zu beside them, but the reducer was made for %zu and %d", n, n_extra,
            reducer->max_doubles, CNNBN_REDUCE_EXTRA);
    if (reducer->comm->size == 1) {
        if (n) memmove(out, nodes, n * sizeof *out);
        return CNNBN_OK;
    }
    if (reducer->mode == CNNBN_REDUCE_MPI) return cnnbn__mpi_reduce_f64(reducer, nodes, stride, n, out, extra, n_extra);
    return ordered(reducer, nodes, stride, n, out, extra, n_extra);
}
