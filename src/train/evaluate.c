/* A split over all ranks: blocks of samples are shared out, each block's sums are made by one rank, gathered in the blocks' order and
 * added from left to right: the same bits whoever computed which block, and every sample exactly once. */
#include <string.h>

#include "cnnbn/log.h"
#include "cnnbn/memory.h"
#include "trainer.h"

/* Samples of a rank between two looks at the stop flags of all ranks: so many that a round of the slowest rank takes about half a
 * second, whatever the model. */
static const size_t first_round_samples = 64, most_round_samples = 4096;
static const double short_round_s = 0.25, long_round_s = 1;

typedef struct evaluation {
    cnnbn_net *net;
    cnnbn_comm *comm;
    feed *f;
    const evaluation_wish *wish;
    size_t block;
    double *sums; /* [n_blocks][n_sums] */
    size_t n_sums;
    float *outputs; /* [round] or NULL */
    uint32_t *ids;
} evaluation;

static int first_greatest(const float *x, int n)
{
    int best = 0;
    for (int c = 1; c < n; c++)
        if (x[c] > x[best]) best = c;
    return best;
}

/* Of one output the side of 1/2, else the first greatest. */
static int class_of(const float *x, int n)
{
    return n == 1 ? x[0] > 0.5f : first_greatest(x, n);
}

static void count_confusion(const evaluation *e, const cnnbn_targets *targets, size_t n)
{
    const evaluation_wish *w = e->wish;
    for (size_t i = 0; i < n; i++) {
        int best = class_of(e->outputs + i * (size_t)w->n_outputs, w->n_outputs);
        int truth = targets->rows ? class_of(targets->rows[i], w->n_outputs) : targets->labels[i];
        w->confusion[(size_t)truth * (size_t)w->n_classes + (size_t)best]++;
    }
}

/* Blocks [first, first + count) of the split. */
static cnnbn_status run_blocks(evaluation *e, size_t first, size_t count)
{
    size_t begin = first * e->block, end = (first + count) * e->block;
    if (end > e->wish->n_samples) end = e->wish->n_samples;
    if (begin >= end) return CNNBN_OK;
    for (size_t i = begin; i < end; i++) e->ids[i - begin] = (uint32_t)i;
    CNNBN_TRY(feed_ask(e->f, e->ids, end - begin));
    const void *const *images;
    cnnbn_targets targets;
    const uint64_t *ids;
    size_t n;
    CNNBN_TRY(feed_take(e->f, &images, &targets, &ids, &n));
    cnnbn_net_infer(e->net, n, images, &targets, e->sums + first * e->n_sums, e->outputs);
    if (e->wish->confusion) count_confusion(e, &targets, n);
    return CNNBN_OK;
}

static cnnbn_status allocate(evaluation *e, size_t n_blocks, size_t round)
{
    void *memory;
    CNNBN_TRY(cnnbn_alloc_array(e->n_sums * n_blocks + 1, sizeof(double), "sums of an evaluation", &memory));
    e->sums = memory;
    CNNBN_TRY(cnnbn_alloc_array(round * e->block, sizeof(uint32_t), "sample numbers of an evaluation", &memory));
    e->ids = memory;
    if (!e->wish->confusion) return CNNBN_OK;
    CNNBN_TRY(cnnbn_alloc_array(round * e->block * (size_t)e->wish->n_outputs, sizeof(float),
                                "predictions of an evaluation", &memory));
    e->outputs = memory;
    return CNNBN_OK;
}

cnnbn_status evaluate_split(cnnbn_net *net, cnnbn_comm *comm, feed *f, const evaluation_wish *wish, int *stopped,
                            double *sums)
{
    evaluation e = {.net = net,
                    .comm = comm,
                    .f = f,
                    .wish = wish,
                    .block = (size_t)cnnbn_net_block(net),
                    .n_sums = cnnbn_net_n_sums(net)};
    size_t n_blocks = (wish->n_samples + e.block - 1) / e.block, size = (size_t)cnnbn_comm_size(comm);
    size_t rank = (size_t)cnnbn_comm_rank(comm);
    size_t first = n_blocks * rank / size, last = n_blocks * (rank + 1) / size;
    size_t most = (n_blocks + size - 1) / size, room = most_round_samples / e.block,
           round = first_round_samples / e.block;
    if (room > most) room = most;
    if (room == 0) room = 1;
    if (round == 0) round = 1;
    if (round > room) round = room;
    *stopped = 0;
    cnnbn_status status = cnnbn_comm_agree(comm, allocate(&e, n_blocks, room));
    for (size_t at = 0; at < most && status == CNNBN_OK && !*stopped;) {
        size_t begin = first + at, end = begin + round < last ? begin + round : last;
        watchdog_phase(wish->dog, "validation", (int64_t)(at * e.block));
        double start = cnnbn_now_s();
        cnnbn_status local = begin < end ? run_blocks(&e, begin, end - begin) : CNNBN_OK;
        double flags[3] = {local != CNNBN_OK, wish->stop ? wish->stop(wish->stop_context) : 0, cnnbn_now_s() - start};
        status = cnnbn_comm_max_f64(comm, flags, 3);
        if (status == CNNBN_OK && flags[0] > 0) status = cnnbn_comm_agree(comm, local);
        at += round;
        *stopped = flags[1] > 0 && at < most;
        if (flags[2] < short_round_s && 2 * round <= room) round *= 2;
        if (flags[2] > long_round_s && round > 1) round /= 2;
    }
    /* Every entry is one rank's and zero elsewhere, so the sum over ranks is exact. */
    if (status == CNNBN_OK && !*stopped) status = cnnbn_comm_sum_f64(comm, e.sums, e.n_sums * n_blocks);
    if (status == CNNBN_OK && wish->confusion)
        status = cnnbn_comm_sum_i64(comm, wish->confusion, (size_t)wish->n_classes * (size_t)wish->n_classes);
    memset(sums, 0, e.n_sums * sizeof *sums);
    for (size_t b = 0; b < n_blocks && status == CNNBN_OK && !*stopped; b++)
        for (size_t i = 0; i < e.n_sums; i++) sums[i] += e.sums[b * e.n_sums + i];
    sums[0] += cnnbn_net_penalty(net) * (double)wish->n_samples;
    cnnbn_free(e.sums);
    cnnbn_free(e.ids);
    cnnbn_free(e.outputs);
    return status;
}
