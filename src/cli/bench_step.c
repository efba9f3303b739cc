/* cnnbn-bench step: whole training steps, several ways in interleaved rounds. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "bench_net.h"
#include "cli.h"
#include "cnnbn/memory.h"

enum {
    OPT_MODEL = 256,
    OPT_INPUT,
    OPT_CLASSES,
    OPT_BATCH_SIZE,
    OPT_SLICES,
    OPT_THREADS,
    OPT_OPTIMIZER,
    OPT_KERNELS,
    OPT_CONV,
    OPT_REDUCE,
    OPT_BN,
    OPT_FUSION,
    OPT_BRIEF,
    NETS_MAX = 8,
    ROWS_MAX = 1024
};

typedef struct step_net {
    bench_variant variant;
    cnnbn_net *net;
    bench_times times; /* of one step */
    int64_t steps;     /* since the profile was reset */
} step_net;

typedef struct step_bench {
    bench_options options;
    bench_setup setup;
    char *kernels, *convs, *reduces, *bns, *fusions; /* lists */
    int brief;
    cnnbn_comm *comm;
    cnnbn_model *model;
    bench_data data;
    int n_nets, steps_a_round;
    step_net nets[NETS_MAX];
} step_bench;

static const char *const fusion_names[] = {"on", "off", NULL};                               /* of no_fusion */
static const char *const conv_names[] = {"auto", "ref", "blas", "direct", "winograd", NULL}; /* of cnnbn_conv_algo */
static const char *const reduce_names[] = {"ordered", "mpi", NULL};
static const char *const bn_names[] = {"sync", "local", NULL};

static const struct argp_option options[] = {
    {"model", OPT_MODEL, "MODEL", 0, "a built-in, a Keras JSON, a YAML or an .h5 (default keras-example)", 0},
    {"input", OPT_INPUT, "HxWxC", 0, "images of a built-in (default: those it was made for)", 0},
    {"classes", OPT_CLASSES, "N", 0, "of a built-in (default 10)", 0},
    {"batch-size", OPT_BATCH_SIZE, "B", 0, "GLOBAL batch, shared out over the ranks (default 128)", 0},
    {"slices", OPT_SLICES, "S", 0, "parts of a batch (default: by the batch size)", 0},
    {"threads", OPT_THREADS, "T", 0, "threads a rank (default: cores of the rank's affinity mask)", 0},
    {"optimizer", OPT_OPTIMIZER, "NAME", 0, "adam, adamw, sgd with momentum (default adam)", 0},
    {NULL, 0, NULL, 0, "Lists, comma-separated; every combination is measured beside the others:", 2},
    {"kernels", OPT_KERNELS, "LIST", 0, "auto, simd-avx2, blas, ... (default auto)", 0},
    {"conv", OPT_CONV, "LIST", 0, "auto, direct, winograd, blas (default auto)", 0},
    {"fusion", OPT_FUSION, "LIST", 0, "on, off: each operation by itself (default on)", 0},
    {"reduce", OPT_REDUCE, "LIST", 0, "ordered, mpi (default ordered)", 0},
    {"bn", OPT_BN, "LIST", 0, "sync, local (default sync)", 0},
    {NULL, 0, NULL, 0, "Output:", 3},
    {"brief", OPT_BRIEF, NULL, 0, "no tables by operation", 0},
    {0},
};

static cnnbn_shape parse_input(const char *text)
{
    cnnbn_shape s = {3, {0, 0, 0}};
    int end = 0;
    if (sscanf(text, "%dx%dx%d%n", &s.dim[0], &s.dim[1], &s.dim[2], &end) != 3 || text[end] || s.dim[0] < 1 ||
        s.dim[1] < 1 || s.dim[2] < 1 || s.dim[0] > 4096 || s.dim[1] > 4096 || s.dim[2] > 4096)
        cli_check(cnnbn_error(CNNBN_ERR_OPTION, "--input: '%s' is not of the form HxWxC, such as 32x32x3", text));
    return s;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    static const char *const optimizers[] = {"adam", "adamw", "sgd", NULL};
    step_bench *b = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &b->options;
        return 0;
    case OPT_MODEL:
        b->setup.model = arg;
        return 0;
    case OPT_INPUT:
        b->setup.input = parse_input(arg);
        return 0;
    case OPT_CLASSES:
        b->setup.classes = (int)bench_int("--classes", arg, 2, 1 << 20);
        return 0;
    case OPT_BATCH_SIZE:
        b->setup.batch_size = (size_t)bench_int("--batch-size", arg, 1, 1 << 24);
        return 0;
    case OPT_SLICES:
        b->setup.slices = (int)bench_int("--slices", arg, 1, CNNBN_SLICES_MAX);
        return 0;
    case OPT_THREADS:
        b->setup.threads = (int)bench_int("--threads", arg, 1, 1024);
        return 0;
    case OPT_OPTIMIZER:
        cli_check(cli_word("--optimizer", arg, optimizers, &b->setup.optimizer));
        return 0;
    case OPT_KERNELS:
        b->kernels = arg;
        return 0;
    case OPT_CONV:
        b->convs = arg;
        return 0;
    case OPT_REDUCE:
        b->reduces = arg;
        return 0;
    case OPT_BN:
        b->bns = arg;
        return 0;
    case OPT_FUSION:
        b->fusions = arg;
        return 0;
    case OPT_BRIEF:
        b->brief = 1;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int word_list(const char *option, char *text, const char *const *words, int *values)
{
    const char *items[BENCH_LIST_MAX];
    int n = bench_list(option, text, items);
    for (int i = 0; i < n; i++) cli_check(cli_word(option, items[i], words, &values[i]));
    return n;
}

static void complete(step_bench *b)
{
    char auto_kernels[] = "auto", auto_convs[] = "auto", ordered[] = "ordered", sync[] = "sync", on[] = "on";
    const char *kernels[BENCH_LIST_MAX];
    int convs[BENCH_LIST_MAX], reduces[BENCH_LIST_MAX], bns[BENCH_LIST_MAX], fusions[BENCH_LIST_MAX];
    int n_kernels = bench_list("--kernels", b->kernels ? b->kernels : auto_kernels, kernels);
    int n_convs = word_list("--conv", b->convs ? b->convs : auto_convs, conv_names, convs);
    int n_reduces = word_list("--reduce", b->reduces ? b->reduces : ordered, reduce_names, reduces);
    int n_bns = word_list("--bn", b->bns ? b->bns : sync, bn_names, bns);
    int n_fusions = word_list("--fusion", b->fusions ? b->fusions : on, fusion_names, fusions);
    long all = (long)n_kernels * n_convs * n_reduces * n_bns * n_fusions;
    if (all > NETS_MAX)
        cli_check(
            cnnbn_error(CNNBN_ERR_OPTION, "the lists make %ld combinations; at most %d are possible", all, NETS_MAX));
    for (int i = 0; i < (int)all; i++) { /* the last list changes fastest */
        int at = i;
        bench_variant *v = &b->nets[b->n_nets++].variant;
        v->no_fusion = fusions[at % n_fusions];
        at /= n_fusions;
        v->bn_local = bns[at % n_bns];
        at /= n_bns;
        v->reduce = (cnnbn_reduce_mode)reduces[at % n_reduces];
        at /= n_reduces;
        v->conv = (cnnbn_conv_algo)convs[at % n_convs];
        cli_check(cnnbn_kernels_get(kernels[at / n_convs], &v->kernels));
    }
}

/* ---------------------------------------------------------------- measuring */

/* Warms every net up, and finds how many steps of the first one fill a round. */
static cnnbn_status calibrate(step_bench *b)
{
    const int warm = 3;
    double seconds = 0, wanted;
    for (int i = b->n_nets - 1; i >= 0; i--) {
        CNNBN_TRY(bench_net_steps(b->comm, b->nets[i].net, &b->data, warm, &seconds));
        CNNBN_TRY(bench_net_steps(b->comm, b->nets[i].net, &b->data, warm, &seconds));
        cnnbn_net_profile_reset(b->nets[i].net);
    }
    wanted = b->options.round_s / (seconds / warm); /* equal on all ranks, as `seconds` is */
    b->steps_a_round = wanted < 1 ? 1 : wanted > 100000 ? 100000 : (int)wanted;
    return CNNBN_OK;
}

static cnnbn_status measure(step_bench *b)
{
    CNNBN_TRY(calibrate(b));
    for (int r = 0; r < b->options.rounds; r++)
        for (int i = 0; i < b->n_nets; i++) {
            double seconds;
            CNNBN_TRY(bench_net_steps(b->comm, b->nets[i].net, &b->data, b->steps_a_round, &seconds));
            bench_times_add(&b->nets[i].times, seconds / b->steps_a_round);
            b->nets[i].steps += b->steps_a_round;
        }
    return CNNBN_OK;
}

/* ---------------------------------------------------------------- output */

static void say_setup(const step_bench *b)
{
    const bench_setup *s = &b->setup;
    char shape[48], count[32], size[32];
    bench_say_cpu();
    bench_say("Ranks: %d on %d host(s), %d threads a rank, %s; OpenBLAS core %s\n", cnnbn_comm_size(b->comm),
              cnnbn_comm_n_nodes(b->comm), s->threads, cnnbn_comm_library(b->comm), cnnbn_blas_core());
    bench_say("Model %s on images %s, %s weights; global batch %zu in %d slices; %s a rank\n", s->model,
              cnnbn_shape_text(b->model->input, shape, sizeof shape),
              cli_thousands(cnnbn_model_count_params(b->model, 0), count), s->batch_size, s->slices,
              bench_size_text((double)cnnbn_net_memory_bytes(b->nets[0].net), size));
}

static void variant_text(const bench_variant *v, char *text, size_t bytes)
{
    (void)snprintf(text, bytes, "%s, conv %s, %s, bn %s%s", v->kernels->name, conv_names[v->conv],
                   reduce_names[v->reduce], bn_names[v->bn_local], v->no_fusion ? ", no fusion" : "");
}

static void row_start(const step_bench *b, const step_net *n, const char *kind, char *text, size_t bytes)
{
    (void)snprintf(text, bytes, "%s,\"%s\",%zu,%d,%d,%d,%s,%s,%s,%s,%s", kind, b->setup.model, b->setup.batch_size,
                   b->setup.slices, cnnbn_comm_size(b->comm), b->setup.threads, n->variant.kernels->name,
                   conv_names[n->variant.conv], reduce_names[n->variant.reduce], bn_names[n->variant.bn_local],
                   fusion_names[n->variant.no_fusion]);
}

static void print_steps(const step_bench *b)
{
    double batch = (double)b->setup.batch_size, first = bench_median(&b->nets[0].times);
    bench_say("\nA training step, %d rounds of %d steps\n", b->options.rounds, b->steps_a_round);
    bench_say("  %-44s %10s %10s %12s %12s%s\n", "", "ms", "minimum", "images/s", "best",
              b->n_nets > 1 ? "   ratio" : "");
    for (int i = 0; i < b->n_nets; i++) {
        const step_net *n = &b->nets[i];
        char label[96], start[4096];
        double median = bench_median(&n->times), least = bench_min(&n->times);
        variant_text(&n->variant, label, sizeof label);
        row_start(b, n, "step", start, sizeof start);
        bench_row("%s,,,%.4f,%.4f,%.1f,%.1f,,,", start, median * 1e3, least * 1e3, batch / median, batch / least);
        bench_say("  %-44s %10.2f %10.2f %12.0f %12.0f", label, median * 1e3, least * 1e3, batch / median,
                  batch / least);
        if (b->n_nets > 1) bench_say(" %7.3f", first / median);
        bench_say("\n");
    }
}

static void print_operations(const step_bench *b, const step_net *n)
{
    static cnnbn_profile_row rows[ROWS_MAX];
    int n_rows = cnnbn_net_profile_rows(n->net, rows, ROWS_MAX);
    double threads = b->setup.threads, steps = (double)n->steps, mean = 0, total = 0, gflop = 0;
    double images = (double)b->data.n_local * steps, peak = bench_core_peak(n->variant.kernels->isa);
    char label[96], start[4096];
    for (int r = 0; r < n->times.n; r++) mean += n->times.s[r] / n->times.n;
    variant_text(&n->variant, label, sizeof label);
    row_start(b, n, "operation", start, sizeof start);
    bench_say("\nBy operation: %s; rank 0, mean of all rounds, a thread's share (%d thread%s)\n", label,
              b->setup.threads, b->setup.threads == 1 ? "" : "s");
    bench_say("  %-26s %-24s %9s %7s %13s %9s\n", "", "", "ms", "share", "GFLOP/s core", "of peak");
    for (int i = 0; i < n_rows; i++) {
        double seconds = rows[i].seconds, ms = seconds / threads / steps * 1e3;
        if (seconds <= 0) continue;
        double rate = rows[i].gflop * images / seconds, percent = peak > 0 ? 100 * rate / peak : 0;
        total += ms;
        gflop += rows[i].gflop * (double)b->setup.batch_size;
        bench_say("  %-26s %-24s %9.3f %5.1f %%", rows[i].layer, rows[i].what, ms, 100 * ms / (mean * 1e3));
        if (rows[i].gflop > 0) bench_say(" %13.1f %7.0f %%", rate, percent);
        bench_say("\n");
        bench_row("%s,\"%s\",%s,%.4f,,,,%.2f,%.2f,%.1f", start, rows[i].layer, rows[i].what, ms,
                  100 * ms / (mean * 1e3), rate, percent);
    }
    double rest = mean * 1e3 - total, workers = threads * cnnbn_comm_size(b->comm);
    bench_say("  %-51s %9.3f %5.1f %%\n", "the rest: waits, reductions, forms of the weights, optimiser", rest,
              100 * rest / (mean * 1e3));
    bench_say("  %-51s %9.3f         %13.1f %7.0f %%\n", "the step", mean * 1e3, gflop / mean / workers,
              peak > 0 ? 100 * gflop / mean / workers / peak : 0);
    bench_row("%s,,rest,%.4f,,,,%.2f,,", start, rest, 100 * rest / (mean * 1e3));
}

static cnnbn_status run(step_bench *b)
{
    CNNBN_TRY(bench_model_open(b->comm, &b->setup, &b->model));
    for (int i = 0; i < b->n_nets; i++)
        CNNBN_TRY(bench_net_open(b->comm, &b->setup, &b->nets[i].variant, b->model, &b->nets[i].net));
    CNNBN_TRY(bench_data_open(b->comm, &b->setup, b->model, b->nets[0].net, &b->data));
    CNNBN_TRY(cnnbn_comm_agree(
        b->comm,
        bench_output_open(&b->options, "kind,model,batch_size,slices,ranks,threads,kernels,conv,reduce,bn,fusion,layer,"
                                       "what,ms_median,ms_min,images_per_s_median,images_per_s_best,percent_of_"
                                       "step,gflops_a_core,percent_of_peak")));
    say_setup(b);
    CNNBN_TRY(measure(b));
    print_steps(b);
    if (cnnbn_comm_rank(b->comm) == 0 && !b->brief)
        for (int i = 0; i < b->n_nets; i++) print_operations(b, &b->nets[i]);
    return cnnbn_comm_agree(b->comm, bench_output_close());
}

int bench_step(int argc, char **argv)
{
    static step_bench b;
    b.options = (bench_options){.rounds = 5, .round_s = 0.5};
    b.setup = (bench_setup){.model = "keras-example", .classes = 10, .batch_size = 128};
    const struct argp_child children[] = {{&bench_common_argp, 0, NULL, 0}, {0}};
    const struct argp arguments = {.options = options,
                                   .parser = parse,
                                   .children = children,
                                   .doc = "Whole training steps on made-up images: forward, backward, reduction, "
                                          "update. Under mpirun or srun too."};
    cli_parse(&arguments, 0, argc, argv, &b);
    cnnbn_blas_init();
    complete(&b);
    cli_check(cnnbn_comm_init(&argc, &argv, &b.comm));
    int code = cli_finish(run(&b));
    for (int i = 0; i < b.n_nets; i++) cnnbn_net_destroy(b.nets[i].net);
    bench_data_close(&b.data);
    cnnbn_model_destroy(b.model);
    cnnbn_comm_finalize(b.comm);
    return code;
}
