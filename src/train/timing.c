/* What the operations of an epoch took: the table of --profile, and the rank that holds the others up. */
#include <stdlib.h>
#include <string.h>

#include "cnnbn/log.h"
#include "cnnbn/memory.h"
#include "cnnbn/peak.h"
#include "trainer.h"

enum { ROWS_MAX = 4096 };

/* GFLOP/s of multiply-adds that a core reaches with the kernels' instruction set; 0 where it cannot be seen. */
static double measured_peak(const cnnbn_kernels *kernels)
{
    enum { ROUNDS = 2000, TRIES = 5 };
    const cnnbn_peak *peak = cnnbn_peak_get(kernels->isa);
    volatile float sink = 0;
    double best = 0;
    for (int i = 0; peak && i < TRIES; i++) {
        double start = cnnbn_now_s();
        sink = sink + peak->multiply_add(ROUNDS);
        double speed = 1e-9 * ROUNDS * peak->round_flop / (cnnbn_now_s() - start);
        if (speed > best) best = speed;
    }
    return best;
}

static void print_share(const char *what, double seconds, double all)
{
    (void)printf("  %-47s %9.3f s %5.1f %%\n", what, seconds, 100 * seconds / all);
}

void profile_report(const trainer *t)
{
    static cnnbn_profile_row rows[ROWS_MAX];
    cnnbn_profile_between between;
    const int n = cnnbn_net_profile_rows(t->net, rows, ROWS_MAX);
    const double threads = t->opt.threads, peak = measured_peak(t->kernels), all = t->epoch_s > 0 ? t->epoch_s : 1;
    double operations = 0;
    (void)printf("Time of rank 0, a thread's share of %.3f s in steps (a core's multiply-adds: %.0f GFLOP/s):\n",
                 t->epoch_s, peak);
    for (int i = 0; i < n; i++) {
        const double seconds = rows[i].seconds / threads;
        if (seconds <= 0) continue;
        operations += seconds;
        (void)printf("  %-24s %-22s %9.3f s %5.1f %%", rows[i].layer, rows[i].what, seconds, 100 * seconds / all);
        if (rows[i].gflop > 0) {
            double speed = rows[i].gflop * (double)t->epoch_images / cnnbn_comm_size(t->comm) / rows[i].seconds;
            (void)printf("  %7.1f GFLOP/s a core", speed);
            if (peak > 0) (void)printf(" %4.0f %% of peak", 100 * speed / peak);
        }
        (void)printf("\n");
    }
    cnnbn_net_profile_between(t->net, &between);
    print_share("forms of the weights", between.prepare_s, all);
    print_share("other threads: waits, adding up", between.threads_s, all);
    print_share("batch-norm sums over ranks", between.sums_s, all);
    print_share("gradients over ranks, exposed", between.exposed_s, all);
    print_share("optimizer", between.optimizer_s, all);
    print_share("data: asking and waiting for batches", t->data_s, all);
    double known = operations + between.prepare_s + between.threads_s + between.sums_s + between.exposed_s +
                   between.optimizer_s + t->data_s;
    print_share("the rest", all > known ? all - known : 0, all);
    (void)printf("  Gradients were on their way for another %.3f s, hidden behind operations.\n\n", between.hidden_s);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, by_value);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* The seconds of one operation, or of all (row -1), on every rank; `n` operations a rank in `all`. */
static void column(const double *all, int size, int n, int row, double *out)
{
    for (int r = 0; r < size; r++) {
        out[r] = 0;
        for (int i = 0; i < n; i++)
            if (row < 0 || row == i) out[r] += all[(size_t)r * (size_t)n + (size_t)i];
    }
}

/* Of the ranks that have images at all (busy[r] > 0). */
static double median_of_busy(const double *values, const double *busy, int size, double *sorted)
{
    int n = 0;
    for (int r = 0; r < size; r++)
        if (busy[r] > 0) sorted[n++] = values[r];
    return n > 1 ? median(sorted, n) : 0;
}

static void name_slowest(const trainer *t, const double *all, const cnnbn_profile_row *rows, int n, double *work)
{
    const double notable = 1.3;
    int size = cnnbn_comm_size(t->comm), slowest = 0, worst = 0;
    double *busy = work, *values = work + size, *sorted = work + 2 * (ptrdiff_t)size, excess = -1, ratio_there = 1;
    column(all, size, n, -1, busy);
    for (int r = 1; r < size; r++)
        if (busy[r] > busy[slowest]) slowest = r;
    double middle = median_of_busy(busy, busy, size, sorted);
    if (middle <= 0 || busy[slowest] < notable * middle) return;
    for (int i = 0; i < n; i++) {
        column(all, size, n, i, values);
        double m = median_of_busy(values, busy, size, sorted);
        if (values[slowest] - m <= excess) continue;
        excess = values[slowest] - m;
        ratio_there = m > 0 ? values[slowest] / m : 1;
        worst = i;
    }
    (void)printf("slowest rank %d on %s: %.1fx the median in %s (%s)\n", slowest, cnnbn_comm_host(t->comm, slowest),
                 ratio_there, rows[worst].layer, rows[worst].what);
}

cnnbn_status straggler_report(const trainer *t)
{
    static cnnbn_profile_row rows[ROWS_MAX];
    int size = cnnbn_comm_size(t->comm);
    if (size < 2) return CNNBN_OK;
    int n = cnnbn_net_profile_rows(t->net, rows, ROWS_MAX);
    void *memory = NULL;
    size_t count = (size_t)n * ((size_t)size + 1) + 3 * (size_t)size, first, n_local;
    cnnbn_status status =
        cnnbn_comm_agree(t->comm, cnnbn_alloc_array(count, sizeof(double), "times of the ranks", &memory));
    double *mine = memory, *all = mine + n;
    if (status == CNNBN_OK) {
        /* For an image, as ranks may have unlike numbers of slices; a rank without any does not count. */
        cnnbn_net_local_samples(t->net, t->opt.batch_size, &first, &n_local);
        for (int i = 0; i < n; i++) mine[i] = n_local ? rows[i].seconds / (double)n_local : 0;
        status = cnnbn_comm_gather_all(t->comm, mine, (size_t)n * sizeof *mine, all);
    }
    if (status == CNNBN_OK && cnnbn_comm_rank(t->comm) == 0 && !t->opt.quiet)
        name_slowest(t, all, rows, n, all + (size_t)n * (size_t)size);
    cnnbn_free(memory);
    return status;
}
