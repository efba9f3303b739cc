/* cnnbn-bench peak: the limits that everything else is measured against. */
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "cli.h"
#include "cnnbn/memory.h"
#include "cnnbn/peak.h"

enum { N_LEVELS = 4, N_WHATS = 3, N_SETS = 4, FMA_ROUNDS = 1000 };

typedef struct level {
    const char *name;
    size_t bytes;
} level;

typedef enum what { READ, WRITE, COPY } what;
static const char *const what_names[N_WHATS] = {"read", "write", "copy"};

typedef struct job {
    const cnnbn_peak *peak;
    what what;
    float *x, *y;
    size_t n; /* floats touched */
    volatile float sink;
    size_t repeats;
    double amount; /* bytes or operations of a call */
    bench_times times;
} job;

typedef struct peak_bench {
    bench_options options;
    level levels[N_LEVELS];
    int n_sets;
    job fma[N_SETS], memory[N_SETS][N_WHATS][N_LEVELS];
} peak_bench;

static const struct argp_option options[] = {{0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    peak_bench *b = state->input;
    if (key == ARGP_KEY_INIT) state->child_inputs[0] = &b->options;
    if (key == ARGP_KEY_ARG) argp_error(state, "unexpected argument '%s'", arg);
    return key == ARGP_KEY_INIT ? 0 : ARGP_ERR_UNKNOWN;
}

/* A size that lies well inside each cache, by what the system says of them. */
static void choose_levels(peak_bench *b)
{
    static const struct {
        const char *name;
        int query;
        long fallback;
    } caches[] = {{"L1", _SC_LEVEL1_DCACHE_SIZE, 32L << 10},
                  {"L2", _SC_LEVEL2_CACHE_SIZE, 512L << 10},
                  {"L3", _SC_LEVEL3_CACHE_SIZE, 16L << 20}};
    const size_t most = (size_t)512 << 20;
    size_t below = 0;
    for (int l = 0; l < 3; l++) {
        long size = sysconf(caches[l].query);
        if (size <= 0) size = caches[l].fallback;
        /* Half of a cache; of a large one that many cores share, four times the one before is enough. */
        size_t bytes = (size_t)size / 2;
        if (l == 2 && bytes > 8 * below) bytes = 8 * below;
        bytes -= bytes % (2 * CNNBN_PEAK_STEP * sizeof(float)); /* copy works on two halves */
        b->levels[l] = (level){caches[l].name, bytes};
        below = bytes;
        if (l == 2) b->levels[3] = (level){"memory", (size_t)size * 8 < most ? (size_t)size * 8 : most};
    }
    const size_t least = (size_t)256 << 20;
    if (b->levels[3].bytes < least) b->levels[3].bytes = least;
}

static void call_fma(void *context)
{
    job *j = context;
    j->sink = j->peak->multiply_add(FMA_ROUNDS);
}

static void call_memory(void *context)
{
    job *j = context;
    if (j->what == READ)
        j->sink = j->peak->read(j->x, j->n);
    else if (j->what == WRITE)
        j->peak->write(j->x, j->n, 1.0f);
    else
        j->peak->copy(j->y, j->x, j->n);
}

static void add_set(peak_bench *b, const cnnbn_peak *peak, float *array)
{
    int s = b->n_sets++;
    b->fma[s] = (job){.peak = peak, .amount = peak->round_flop * FMA_ROUNDS};
    for (int w = 0; w < N_WHATS; w++)
        for (int l = 0; l < N_LEVELS; l++) {
            size_t floats = b->levels[l].bytes / sizeof(float);
            b->memory[s][w][l] = (job){
                .peak = peak,
                .what = (what)w,
                .x = array,
                .y = array + floats / 2,
                .n = w == COPY ? floats / 2 : floats,
                .amount = (double)b->levels[l].bytes, /* copy: half of it read, half written */
            };
        }
}

static void measure(peak_bench *b)
{
    for (int r = -1; r < b->options.rounds; r++)
        for (int s = 0; s < b->n_sets; s++) {
            job *jobs[1 + N_WHATS * N_LEVELS] = {&b->fma[s]};
            for (int i = 0; i < N_WHATS * N_LEVELS; i++) jobs[1 + i] = &b->memory[s][i / N_LEVELS][i % N_LEVELS];
            for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
                bench_call call = i ? call_memory : call_fma;
                if (r < 0)
                    jobs[i]->repeats = bench_calibrate(call, jobs[i], b->options.round_s);
                else
                    bench_times_add(&jobs[i]->times, bench_time(call, jobs[i], jobs[i]->repeats));
            }
        }
}

static void print(const peak_bench *b)
{
    char sizes[N_LEVELS][32];
    bench_say("\nMultiply-adds in registers, one core: GFLOP/s (a product and a sum are two operations)\n");
    bench_say("  %-12s %12s %10s %10s\n", "set", "vector", "median", "best");
    for (int s = 0; s < b->n_sets; s++) {
        const job *j = &b->fma[s];
        const char *set = cnnbn_isa_name(j->peak->isa);
        double median = j->amount / bench_median(&j->times) * 1e-9, best = j->amount / bench_min(&j->times) * 1e-9;
        bench_say("  %-12s %9d %s %10.1f %10.1f%s\n", set, j->peak->vector_floats, "fp", median, best,
                  j->peak->has_fma ? "" : "  (no fused instruction)");
        bench_row("%s,multiply-add,registers,0,%.2f,%.2f,GFLOP/s", set, median, best);
    }
    bench_say("\nMemory, one core: GB/s, median (best); copy counts what is read and what is written\n  %-18s", "set");
    for (int l = 0; l < N_LEVELS; l++) {
        char heading[48];
        (void)snprintf(heading, sizeof heading, "%s, %s", b->levels[l].name,
                       bench_size_text((double)b->levels[l].bytes, sizes[l]));
        bench_say(" %18s", heading);
    }
    bench_say("\n");
    for (int s = 0; s < b->n_sets; s++)
        for (int w = 0; w < N_WHATS; w++) {
            const char *set = cnnbn_isa_name(b->fma[s].peak->isa);
            bench_say("  %-12s %-5s", set, what_names[w]);
            for (int l = 0; l < N_LEVELS; l++) {
                const job *j = &b->memory[s][w][l];
                double median = j->amount / bench_median(&j->times) * 1e-9;
                double best = j->amount / bench_min(&j->times) * 1e-9;
                bench_say(" %9.1f (%6.1f)", median, best);
                bench_row("%s,%s,%s,%zu,%.2f,%.2f,GB/s", set, what_names[w], b->levels[l].name, b->levels[l].bytes,
                          median, best);
            }
            bench_say("\n");
        }
}

static cnnbn_status run(peak_bench *b)
{
    static const cnnbn_isa sets[N_SETS] = {CNNBN_ISA_AVX512, CNNBN_ISA_AVX2, CNNBN_ISA_NEON, CNNBN_ISA_BASELINE};
    void *array;
    choose_levels(b);
    CNNBN_TRY(cnnbn_alloc(b->levels[N_LEVELS - 1].bytes, "memory to read and write", &array));
    for (int s = 0; s < N_SETS; s++)
        if (cnnbn_peak_get(sets[s])) add_set(b, cnnbn_peak_get(sets[s]), array);
    cnnbn_status status = bench_output_open(&b->options, "set,what,level,bytes,median,best,unit");
    if (status == CNNBN_OK) {
        bench_say_cpu();
        measure(b);
        print(b);
        status = bench_output_close();
    }
    cnnbn_free(array);
    return status;
}

int bench_peak(int argc, char **argv)
{
    static peak_bench b;
    b.options = (bench_options){.rounds = 5, .round_s = 0.02};
    const struct argp_child children[] = {{&bench_common_argp, 0, NULL, 0}, {0}};
    const struct argp arguments = {.options = options,
                                   .parser = parse,
                                   .children = children,
                                   .doc = "What one core can do at most, with each instruction set that this CPU has: "
                                          "multiply-adds in registers, and reading, writing and copying in each level "
                                          "of memory."};
    cli_parse(&arguments, 0, argc, argv, &b);
    return cli_finish(run(&b));
}
