/* cnnbn-bench reduce: sums over ranks, in the fixed order and as MPI makes them. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "cli.h"
#include "cnnbn/comm.h"
#include "cnnbn/log.h"
#include "cnnbn/memory.h"

enum { OPT_SIZES = 256, OPT_DOUBLES, OPT_SLICES, N_MODES = 2 };
static const char *const mode_names[N_MODES] = {"ordered", "mpi"};

typedef struct size_case {
    int is_f64;
    size_t n;
    int repeats;
    bench_times times[N_MODES];
} size_case;

typedef struct reduce_bench {
    bench_options options;
    int slices, n_cases;
    size_case cases[2 * BENCH_LIST_MAX];
    int sizes_given, doubles_given;
    cnnbn_comm *comm;
    cnnbn_reducer *reducers[N_MODES];
    float *floats;
    double *doubles, *sums;
    size_t float_stride, double_stride;
} reduce_bench;

static const struct argp_option options[] = {
    {"sizes", OPT_SIZES, "LIST", 0, "bytes of gradients (default 16K,64K,256K,1M,4M,16M,45M)", 0},
    {"doubles", OPT_DOUBLES, "LIST", 0, "numbers of batch-norm sums (default 66,128,256,512,1024,4096)", 0},
    {"slices", OPT_SLICES, "S", 0, "slices of a batch (default 16)", 0},
    {0},
};

static void add_cases(reduce_bench *b, int is_f64, const char *option, const char *text)
{
    char copy[1024];
    const char *items[BENCH_LIST_MAX];
    (void)snprintf(copy, sizeof copy, "%s", text);
    int n = bench_list(option, copy, items), kept = 0;
    for (int c = 0; c < b->n_cases; c++) /* an option given twice: the last one counts */
        if (b->cases[c].is_f64 != is_f64) b->cases[kept++] = b->cases[c];
    b->n_cases = kept;
    for (int i = 0; i < n; i++) {
        size_case *c = &b->cases[b->n_cases++];
        memset(c, 0, sizeof *c);
        c->is_f64 = is_f64;
        c->n = is_f64 ? (size_t)bench_int(option, items[i], 1, 1 << 20) : bench_size(option, items[i]) / sizeof(float);
        if (c->n == 0 || c->n > (size_t)1 << 28)
            cli_check(
                cnnbn_error(CNNBN_ERR_OPTION, "%s: %s is out of range; 4 bytes to 1G are possible", option, items[i]));
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    reduce_bench *b = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &b->options;
        return 0;
    case OPT_SIZES:
        add_cases(b, 0, "--sizes", arg);
        return 0;
    case OPT_DOUBLES:
        add_cases(b, 1, "--doubles", arg);
        return 0;
    case OPT_SLICES:
        b->slices = (int)bench_int("--slices", arg, 1, CNNBN_SLICES_MAX);
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static cnnbn_status create(reduce_bench *b)
{
    void *memory = NULL;
    size_t most_floats = 1, most_doubles = 1;
    for (int c = 0; c < b->n_cases; c++) {
        size_t *most = b->cases[c].is_f64 ? &most_doubles : &most_floats;
        if (b->cases[c].n > *most) *most = b->cases[c].n;
    }
    for (int m = 0; m < N_MODES; m++)
        CNNBN_TRY(cnnbn_reducer_create(b->comm, m == 0 ? CNNBN_REDUCE_ORDERED : CNNBN_REDUCE_MPI, b->slices,
                                       most_floats, most_doubles, &b->reducers[m]));
    size_t nodes = (size_t)cnnbn_reducer_n_nodes(b->reducers[0]);
    if (nodes == 0) nodes = 1;
    b->float_stride = (most_floats + 15) / 16 * 16;
    b->double_stride = (most_doubles + 7) / 8 * 8;
    cnnbn_status status = cnnbn_alloc_array(nodes * b->float_stride, sizeof(float), "vectors to be summed", &memory);
    b->floats = memory;
    if (status == CNNBN_OK)
        status = cnnbn_alloc_array((nodes + 1) * b->double_stride, sizeof(double), "vectors to be summed", &memory);
    b->doubles = memory;
    b->sums = status == CNNBN_OK ? b->doubles + nodes * b->double_stride : NULL;
    return cnnbn_comm_agree(b->comm, status);
}

/* The vectors are zeros and stay zeros: sums that are summed again would grow. */
static cnnbn_status reduce_once(reduce_bench *b, const size_case *c, int mode)
{
    if (c->is_f64) return cnnbn_reduce_f64(b->reducers[mode], b->doubles, b->double_stride, c->n, b->sums, NULL, 0);
    cnnbn_request *request;
    CNNBN_TRY(cnnbn_reduce_f32_start(b->reducers[mode], b->floats, b->float_stride, c->n, &request));
    return cnnbn_reduce_f32_wait(b->reducers[mode], request);
}

/* Seconds of one reduction on the slowest rank. */
static cnnbn_status measure(reduce_bench *b, const size_case *c, int mode, int repeats, double *out)
{
    CNNBN_TRY(cnnbn_comm_barrier(b->comm));
    double start = cnnbn_now_s();
    for (int i = 0; i < repeats; i++) CNNBN_TRY(reduce_once(b, c, mode));
    *out = (cnnbn_now_s() - start) / repeats;
    return cnnbn_comm_max_f64(b->comm, out, 1);
}

/* One number of repeats for both modes, from the slower one; equal on all ranks, as the times are. */
static cnnbn_status calibrate(reduce_bench *b, size_case *c)
{
    const double most = 1e5;
    double slowest = 1e-7;
    for (int m = 0; m < N_MODES; m++)
        for (int trial = 0; trial < 2; trial++) {
            double seconds;
            CNNBN_TRY(measure(b, c, m, trial ? 4 : 1, &seconds));
            if (trial && seconds > slowest) slowest = seconds;
        }
    double wanted = b->options.round_s / slowest;
    c->repeats = wanted < 1 ? 1 : wanted > most ? (int)most : (int)wanted;
    return CNNBN_OK;
}

/* A tree or an MPI that adds wrongly would be measured in vain: every rank's node `e` holds a number of its own. */
static cnnbn_status check(reduce_bench *b)
{
    int nodes = cnnbn_reducer_n_nodes(b->reducers[0]);
    double expected = nodes;
    CNNBN_TRY(cnnbn_comm_sum_f64(b->comm, &expected, 1));
    for (int m = 0; m < N_MODES; m++) {
        size_case one = {.is_f64 = 1, .n = 1};
        for (int e = 0; e < nodes; e++) b->doubles[(size_t)e * b->double_stride] = 1;
        CNNBN_TRY(reduce_once(b, &one, m));
        double sum = b->sums[0];
        one.is_f64 = 0;
        for (int e = 0; e < nodes; e++) b->floats[(size_t)e * b->float_stride] = 1;
        CNNBN_TRY(reduce_once(b, &one, m));
        if (sum != expected || (double)b->floats[0] != expected)
            return cnnbn_error(CNNBN_ERR_INTERNAL, "reduction %s gives %g and %g, not %g", mode_names[m], sum,
                               (double)b->floats[0], expected);
        for (int e = 0; e < (nodes ? nodes : 1); e++)
            b->floats[(size_t)e * b->float_stride] = 0, b->doubles[(size_t)e * b->double_stride] = 0;
    }
    return CNNBN_OK;
}

static void print(const reduce_bench *b, const size_case *c)
{
    char size[32], label[48];
    double bytes = (double)c->n * (c->is_f64 ? 8 : 4), median[N_MODES], least[N_MODES];
    for (int m = 0; m < N_MODES; m++) {
        median[m] = bench_median(&c->times[m]);
        least[m] = bench_min(&c->times[m]);
        bench_row("%s,%zu,%.0f,%s,%d,%d,%.3f,%.3f", c->is_f64 ? "f64" : "f32", c->n, bytes, mode_names[m],
                  cnnbn_comm_size(b->comm), b->slices, median[m] * 1e6, least[m] * 1e6);
    }
    (void)snprintf(label, sizeof label, c->is_f64 ? "%zu doubles" : "%zu floats", c->n);
    bench_say("  %-18s %9s %11.1f %11.1f %11.1f %11.1f %10.2f\n", label, bench_size_text(bytes, size), median[0] * 1e6,
              least[0] * 1e6, median[1] * 1e6, least[1] * 1e6, median[0] / median[1]);
}

static cnnbn_status run(reduce_bench *b)
{
    CNNBN_TRY(create(b));
    CNNBN_TRY(
        cnnbn_comm_agree(b->comm, bench_output_open(&b->options, "type,n,bytes,mode,ranks,slices,us_median,us_min")));
    bench_say_cpu();
    bench_say("Ranks: %d on %d host(s), %d slices, %s\n", cnnbn_comm_size(b->comm), cnnbn_comm_n_nodes(b->comm),
              b->slices, cnnbn_comm_library(b->comm));
    CNNBN_TRY(cnnbn_comm_agree(b->comm, check(b)));
    for (int c = 0; c < b->n_cases; c++) CNNBN_TRY(calibrate(b, &b->cases[c]));
    for (int r = 0; r < b->options.rounds; r++)
        for (int c = 0; c < b->n_cases; c++)
            for (int m = 0; m < N_MODES; m++) {
                double seconds;
                CNNBN_TRY(measure(b, &b->cases[c], m, b->cases[c].repeats, &seconds));
                bench_times_add(&b->cases[c].times[m], seconds);
            }
    bench_say("\nOne reduction on the slowest rank, microseconds (each waited for at once)\n");
    bench_say("  %-18s %9s %11s %11s %11s %11s %10s\n", "", "", "ordered", "minimum", "mpi", "minimum", "ratio");
    for (int c = 0; c < b->n_cases; c++) print(b, &b->cases[c]);
    return cnnbn_comm_agree(b->comm, bench_output_close());
}

int bench_reduce(int argc, char **argv)
{
    static reduce_bench b;
    b.options = (bench_options){.rounds = 7, .round_s = 0.05};
    b.slices = 16;
    add_cases(&b, 0, "--sizes", "16K,64K,256K,1M,4M,16M,45M");
    add_cases(&b, 1, "--doubles", "66,128,256,512,1024,4096");
    const struct argp_child children[] = {{&bench_common_argp, 0, NULL, 0}, {0}};
    const struct argp arguments = {.options = options,
                                   .parser = parse,
                                   .children = children,
                                   .doc = "Sums over ranks: gradients (floats) and batch-norm sums (doubles), in the "
                                          "fixed order and by MPI_Allreduce. Under mpirun or srun; a rank alone adds "
                                          "its own slices."};
    cli_parse(&arguments, 0, argc, argv, &b);
    cli_check(cnnbn_comm_init(&argc, &argv, &b.comm));
    int code = cli_finish(run(&b));
    for (int m = 0; m < N_MODES; m++) cnnbn_reducer_destroy(b.reducers[m]);
    cnnbn_free(b.floats);
    cnnbn_free(b.doubles);
    cnnbn_comm_finalize(b.comm);
    return code;
}
