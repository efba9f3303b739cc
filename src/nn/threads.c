/* The threads of a rank: where they run, and memory that stands next to the core of the thread that uses it, since a page comes to
 * stand where it is first written to. */
#include <omp.h>
#include <unistd.h>

#include "cnnbn/memory.h"
#include "ir.h"

static cnnbn_status bounds_of(cnnbn_net *net, int t, int *depth)
{
    thread_state *ts = &net->threads[t];
    void *memory;
    ts->first = net->first_slice + cnnbn_part_begin(net->n_slices, net->n_threads, t);
    ts->n_slices = net->first_slice + cnnbn_part_begin(net->n_slices, net->n_threads, t + 1) - ts->first;
    CNNBN_TRY(cnnbn_alloc_array((size_t)ts->n_slices + 2, sizeof(int), "bounds of slices", &memory));
    ts->bounds = memory;
    CNNBN_TRY(cnnbn_alloc((size_t)ts->n_slices + 2, "merges of slices", &memory));
    ts->n_merge = memory;
    cnnbn_run run;
    cnnbn_run_fill(&run, net->config.batch_size, net->S, ts->first, ts->n_slices, ts->bounds, ts->n_merge);
    *depth = run.depth;
    return CNNBN_OK;
}

static size_t greater(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* By the thread itself: blocks are zeroed as they are allocated. */
static cnnbn_status alloc_own(cnnbn_net *net, thread_state *ts)
{
    const program *train = &net->train, *infer = &net->infer;
    const size_t entries = (size_t)net->stack_entries;
    const int unit = train->max_unit > net->block ? train->max_unit : net->block;
    void *memory;
    CNNBN_TRY(cnnbn_alloc_array(greater(train->scratch_floats, infer->scratch_floats), sizeof(float),
                                "scratch of a thread", &memory));
    ts->scratch = memory;
    CNNBN_TRY(cnnbn_alloc_array(greater(train->workspace_floats, infer->workspace_floats), sizeof(float),
                                "workspace of a thread", &memory));
    ts->workspace = memory;
    CNNBN_TRY(
        cnnbn_alloc_array(entries * train->stack_floats, sizeof(float), "partial gradients of a thread", &memory));
    ts->stack = memory;
    CNNBN_TRY(cnnbn_alloc_array(greater(entries * train->payload_max, net->n_sums), sizeof(double),
                                "partial sums of a thread", &memory));
    ts->sums = memory;
    CNNBN_TRY(cnnbn_alloc_array((size_t)unit, sizeof(uint64_t), "dropout keys", &memory));
    ts->keys = memory;
    return CNNBN_OK;
}

/* The first thread stays free to move, as the threads that the process starts later take over where it may run. */
static void bind_thread(const cnnbn_net *net, int tid)
{
    const long ranks = net->config.comm ? cnnbn_comm_node_size(net->config.comm) : 1;
    if (tid > 0 && ranks * net->n_threads <= sysconf(_SC_NPROCESSORS_ONLN)) cnnbn_cpu_bind_thread(tid, net->n_threads);
}

cnnbn_status cnnbn__threads_create(cnnbn_net *net)
{
    void *memory;
    CNNBN_TRY(cnnbn_alloc_array((size_t)net->n_threads, sizeof(thread_state), "threads", &memory));
    net->threads = memory;
    int deepest = 1;
    for (int t = 0; t < net->n_threads; t++) {
        int depth;
        CNNBN_TRY(bounds_of(net, t, &depth));
        if (depth > deepest) deepest = depth;
    }
    net->stack_entries = deepest + STACK_SPARE;
    int n_failed = 0;
#pragma omp parallel num_threads(net->n_threads) reduction(+ : n_failed)
    {
        bind_thread(net, omp_get_thread_num());
        n_failed += alloc_own(net, &net->threads[omp_get_thread_num()]) != CNNBN_OK;
    }
    if (n_failed > 0) /* the reason is in the record of a thread, not in this one's */
        return cnnbn_error(CNNBN_ERR_MEMORY, "no memory for scratch, workspace and partial gradients of %d threads",
                           net->n_threads);
    return CNNBN_OK;
}

/* Each thread its own samples of every stored value. What nobody touches here is touched in the first step. */
void cnnbn__threads_touch_arena(cnnbn_net *net)
{
    const program *prog = &net->train;
    const size_t page_floats = 4096 / sizeof(float);
#pragma omp parallel num_threads(net->n_threads)
    {
        const thread_state *ts = &net->threads[omp_get_thread_num()];
        const size_t before = cnnbn_slice_begin(net->config.batch_size, net->S, net->first_slice);
        const size_t first = cnnbn_slice_begin(net->config.batch_size, net->S, ts->first) - before;
        const size_t end = cnnbn_slice_begin(net->config.batch_size, net->S, ts->first + ts->n_slices) - before;
        for (int v = 0; v < prog->n_values; v++) {
            const value *val = &prog->values[v];
            if (val->view_of >= 0 || val->place != PLACE_STORED) continue;
            volatile float *array = net->arena + val->offset;
            for (size_t i = first * val->count; i < end * val->count; i += page_floats) array[i] = 0;
        }
    }
}

void cnnbn__threads_destroy(cnnbn_net *net)
{
    for (int t = 0; net->threads && t < net->n_threads; t++) {
        thread_state *ts = &net->threads[t];
        void *const blocks[] = {ts->scratch, ts->stack, ts->workspace, ts->sums, ts->keys, ts->bounds, ts->n_merge};
        for (size_t k = 0; k < sizeof blocks / sizeof *blocks; k++) cnnbn_free(blocks[k]);
    }
    cnnbn_free(net->threads);
}
