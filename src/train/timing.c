/* What the operations of an epoch took: the table of --profile, and the rank that holds the others up. */
#include <stdlib.h>
#include <string.h>

#include "cnnbn/log.h"
#include "cnnbn/memory.h"
#include "trainer.h"

enum { ROWS_MAX = 4096 };

void profile_report(const trainer *t)
{
    static cnnbn_profile_row rows[ROWS_MAX];
    int n = cnnbn_net_profile_rows(t->net, rows, ROWS_MAX);
    double total = 0;
    for (int i = 0; i < n; i++) total += rows[i].seconds;
    (void)printf("Time of rank 0 by operation, %.3f s in operations of %.3f s in steps:\n", total / t->opt.threads,
                 t->epoch_s);
    for (int i = 0; i < n; i++) {
        if (rows[i].seconds <= 0) continue;
        (void)printf("  %-24s %-22s %9.3f s %5.1f %%", rows[i].layer, rows[i].what, rows[i].seconds,
                     100 * rows[i].seconds / total);
        if (rows[i].gflop > 0)
            (void)printf("  %7.1f GFLOP/s a core",
                         rows[i].gflop * (double)t->epoch_images / cnnbn_comm_size(t->comm) / rows[i].seconds);
        (void)printf("\n");
    }
    (void)printf("\n");
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
