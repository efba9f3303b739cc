/* cnnbn-bench kernels: what is bound by memory, in GB/s of all arrays read and written. */
#include <string.h>

#include "bench_kernels.h"
#include "cnnbn/memory.h"

/* One sample is 16 x 16 x 64 floats: 64 KB. */
enum { SIDE = 16, POSITIONS = SIDE * SIDE, CHANNELS = 64, SAMPLE = POSITIONS * CHANNELS, POOLED = SAMPLE / 4 };
enum { N_SIZES = 2, N_SLICES = 1, CLASSES = 64 };
static const int samples_of[N_SIZES] = {2, 512}; /* arrays of 128 KB: in L2; of 32 MB: in memory */
static const char *const size_names[N_SIZES] = {"128 KB", "32 MB"};

typedef struct arrays {
    const cnnbn_kernels *table;
    int N;
    size_t n; /* floats of an array */
    float *a, *b, *c, *d;
    uint8_t *bytes;
    int32_t *labels;
    uint64_t *keys;
    float channels[CHANNELS];
    double sums[2 * CHANNELS + 2];
    cnnbn_prologue affine;
    cnnbn_run run;
    int bounds[N_SLICES + 1];
    unsigned char n_merge[N_SLICES];
    volatile double sink;
} arrays;

static const cnnbn_activation relu = {CNNBN_ACT_RELU, 0, 0, 0}, linear = {CNNBN_ACT_LINEAR, 0, 0, 0};
static const cnnbn_pool_geom pool = {
    .H = SIDE, .W = SIDE, .C = CHANNELS, .R = 2, .S = 2, .P = SIDE / 2, .Q = SIDE / 2, .stride_h = 2, .stride_w = 2};

#define KERNEL(name) static void name(void *context)
#define ARRAYS arrays *s = context

KERNEL(bn_stats)
{
    ARRAYS;
    s->table->bn_stats(&s->run, POSITIONS, CHANNELS, s->a, s->channels, s->sums, 2 * CHANNELS);
}

KERNEL(bn_apply)
{
    ARRAYS;
    s->table->bn_apply(s->n / CHANNELS, CHANNELS, s->a, &s->affine, NULL, s->b);
}

KERNEL(bn_apply_add)
{
    ARRAYS;
    s->table->bn_apply(s->n / CHANNELS, CHANNELS, s->a, &s->affine, s->c, s->b);
}

KERNEL(bn_bwd_sums)
{
    ARRAYS;
    s->table->bn_bwd_sums(&s->run, POSITIONS, CHANNELS, s->a, s->b, &s->affine, s->sums, 2 * CHANNELS);
}

KERNEL(bn_bwd_apply)
{
    ARRAYS;
    s->table->bn_bwd_apply(s->n / CHANNELS, CHANNELS, s->a, s->b, &s->affine, s->channels, s->channels, s->channels,
                           linear, s->c);
}

KERNEL(relu_forward)
{
    ARRAYS;
    s->table->act_fwd(s->n, relu, s->a, s->b);
}

KERNEL(relu_backward)
{
    ARRAYS;
    s->table->act_bwd(s->n, relu, s->a, NULL, s->b, s->c);
}

KERNEL(maxpool_forward)
{
    ARRAYS;
    s->table->maxpool_fwd(&pool, s->N, s->a, s->b);
}

KERNEL(maxpool_backward)
{
    ARRAYS;
    s->table->maxpool_bwd(&pool, s->N, s->a, s->b, s->d, s->c);
}

KERNEL(avgpool_forward)
{
    ARRAYS;
    s->table->avgpool_fwd(&pool, s->N, s->a, s->b);
}

KERNEL(avgpool_backward)
{
    ARRAYS;
    s->table->avgpool_bwd(&pool, s->N, s->d, s->c);
}

KERNEL(gap_forward)
{
    ARRAYS;
    s->table->gap_fwd(s->N, POSITIONS, CHANNELS, s->a, s->b);
}

KERNEL(gap_backward)
{
    ARRAYS;
    s->table->gap_bwd(s->N, POSITIONS, CHANNELS, s->d, s->c);
}

KERNEL(softmax)
{
    ARRAYS;
    s->table->softmax(s->n / CLASSES, CLASSES, s->a, s->b);
}

/* As many rows as there are samples: the run has no more. */
KERNEL(softmax_loss)
{
    ARRAYS;
    const cnnbn_loss args = {.run = &s->run,
                             .C = CLASSES,
                             .x = s->a,
                             .target = {.labels = s->labels},
                             .grad_scale = 1,
                             .dx = s->b,
                             .sums = s->sums,
                             .sums_stride = 2};
    s->table->softmax_xent(&args);
}

KERNEL(dropout)
{
    ARRAYS;
    s->table->dropout(s->N, SAMPLE, 0.5f, s->keys, s->a, s->b);
}

KERNEL(input_bytes)
{
    ARRAYS;
    s->table->input_u8(s->n, CHANNELS, s->bytes, s->channels, s->channels, s->b);
}

KERNEL(add)
{
    ARRAYS;
    s->table->add(s->n, s->a, s->b);
}

KERNEL(scale)
{
    ARRAYS;
    s->table->scale(s->n, -1.0f, s->b); /* neither grows nor vanishes */
}

KERNEL(sum_squares)
{
    ARRAYS;
    s->sink = s->table->sum_squares(s->n, s->a);
}

KERNEL(clip)
{
    ARRAYS;
    s->table->clip(s->n, 0.5f, s->b);
}

KERNEL(adam)
{
    ARRAYS;
    const cnnbn_adam args = {.step_size = 1e-3f, .rate1 = 0.1f, .rate2 = 1e-3f, .epsilon = 1e-7f};
    s->table->adam(s->n, &args, s->a, s->b, s->c, s->d);
}

KERNEL(sgd_momentum)
{
    ARRAYS;
    const cnnbn_sgd args = {.lr = 1e-3f, .momentum = 0.9f};
    s->table->sgd(s->n, &args, s->a, s->b, s->c);
}

/* What is moved, in bytes a float of the array `a`. */
static const struct entry {
    const char *name;
    bench_call call;
    double bytes;
    int by_rows; /* of CLASSES floats a sample instead of all */
} entries[] = {
    {"bn_stats", bn_stats, 4, 0},
    {"bn_apply, relu", bn_apply, 8, 0},
    {"bn_apply, add, relu", bn_apply_add, 12, 0},
    {"bn_bwd_sums, relu", bn_bwd_sums, 8, 0},
    {"bn_bwd_apply, relu", bn_bwd_apply, 12, 0},
    {"relu forward", relu_forward, 8, 0},
    {"relu backward", relu_backward, 12, 0},
    {"maxpool 2x2 forward", maxpool_forward, 5, 0},
    {"maxpool 2x2 backward", maxpool_backward, 10, 0},
    {"avgpool 2x2 forward", avgpool_forward, 5, 0},
    {"avgpool 2x2 backward", avgpool_backward, 5, 0},
    {"global average forward", gap_forward, 4, 0},
    {"global average backward", gap_backward, 4, 0},
    {"softmax of 64", softmax, 8, 0},
    {"softmax, loss of 64", softmax_loss, 8, 1},
    {"dropout", dropout, 8, 0},
    {"input from bytes", input_bytes, 5, 0},
    {"add", add, 12, 0},
    {"scale", scale, 8, 0},
    {"sum of squares", sum_squares, 4, 0},
    {"clip", clip, 8, 0},
    {"adam", adam, 28, 0},
    {"sgd, momentum", sgd_momentum, 20, 0},
};
enum { N_ENTRIES = sizeof entries / sizeof *entries };

static cnnbn_status alloc_all(arrays *s, void **memory)
{
    int most = samples_of[N_SIZES - 1];
    size_t n = (size_t)most * SAMPLE, lines = n * 4 * sizeof(float);
    CNNBN_TRY(cnnbn_alloc(lines + n + (size_t)most * (sizeof(int32_t) + sizeof(uint64_t)), "arrays", memory));
    s->a = *memory;
    s->b = s->a + n;
    s->c = s->b + n;
    s->d = s->c + n;
    s->keys = (uint64_t *)(s->d + n);
    s->labels = (int32_t *)(s->keys + most);
    s->bytes = (uint8_t *)(s->labels + most);
    for (int i = 0; i < most; i++) {
        s->keys[i] = (uint64_t)i * 0x9E3779B97F4A7C15u;
        s->labels[i] = i % CLASSES;
    }
    for (int c = 0; c < CHANNELS; c++) s->channels[c] = 0.5f;
    s->affine = (cnnbn_prologue){s->channels, s->channels, s->channels, CHANNELS, relu};
    return CNNBN_OK;
}

/* Each kernel starts from the same numbers: none grow out of range over the rounds. */
static void fill_all(arrays *s, const cnnbn_kernels *table, const struct entry *e)
{
    bench_fill(s->a, s->n, 1);
    bench_fill(s->b, s->n, 2);
    bench_fill(s->c, s->n, 3);
    bench_fill(s->d, s->n, 4);
    for (size_t i = 0; i < s->n; i++) s->c[i] = s->c[i] * s->c[i]; /* Adam's second moment */
    memset(s->bytes, 100, s->n);
    if (e->call == maxpool_backward) table->maxpool_fwd(&pool, s->N, s->a, s->b); /* y as it must be */
}

static double rate(const arrays *s, const struct entry *e, double seconds)
{
    double floats = e->by_rows ? (double)s->N * CLASSES : (double)s->n;
    return e->bytes * floats / seconds * 1e-9;
}

static void measure_entry(arrays *s, const bench_options *options, const cnnbn_kernels *const *tables, int n_tables,
                          const struct entry *e)
{
    static bench_times times[VARIANTS_MAX][N_SIZES];
    memset(times, 0, sizeof times);
    bench_say("  %-26s", e->name);
    for (int size = 0; size < N_SIZES; size++) {
        size_t repeats[VARIANTS_MAX];
        s->N = samples_of[size];
        s->n = (size_t)s->N * SAMPLE;
        cnnbn_run_fill(&s->run, (size_t)s->N, N_SLICES, 0, N_SLICES, s->bounds, s->n_merge);
        fill_all(s, tables[0], e);
        for (int r = -1; r < options->rounds; r++)
            for (int t = 0; t < n_tables; t++) {
                s->table = tables[t];
                if (r < 0)
                    repeats[t] = bench_calibrate(e->call, s, options->round_s / 2);
                else
                    bench_times_add(&times[t][size], bench_time(e->call, s, repeats[t]));
            }
        for (int t = 0; t < n_tables; t++) {
            double median = rate(s, e, bench_median(&times[t][size])), best = rate(s, e, bench_min(&times[t][size]));
            bench_row("elementwise,%s,\"%s\",%s,,%.2f,%.2f,GB/s,", size_names[size], e->name, tables[t]->name, median,
                      best);
            bench_say(" %14.1f", median);
        }
    }
    bench_say("\n");
}

cnnbn_status bench_elementwise(const bench_options *options, const cnnbn_kernels *const *tables, int n_tables)
{
    static arrays s;
    void *memory;
    if (n_tables == 0) return CNNBN_OK; /* BLAS has none of its own */
    CNNBN_TRY(alloc_all(&s, &memory));
    bench_say("\nElement-wise kernels on one core: GB/s of all that is read and written (median; the loss: 64 floats "
              "a sample)\n  %-26s",
              "");
    for (int size = 0; size < N_SIZES; size++)
        for (int t = 0; t < n_tables; t++) bench_say(" %14s", tables[t]->name);
    bench_say("\n  %-26s", "");
    for (int size = 0; size < N_SIZES; size++)
        for (int t = 0; t < n_tables; t++) bench_say(" %14s", size_names[size]);
    bench_say("\n");
    for (int e = 0; e < N_ENTRIES; e++) measure_entry(&s, options, tables, n_tables, &entries[e]);
    cnnbn_free(memory);
    return CNNBN_OK;
}
