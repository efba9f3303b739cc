/* cnnbn-bench kernels: single convolutions on one core, each way side by side. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench_kernels.h"
#include "cli.h"
#include "cnnbn/log.h"
#include "cnnbn/memory.h"

enum { OPT_SHAPE = 256, OPT_KERNELS, OPT_CONV, OPT_ONLY, N_DIRECTIONS = 3 };

typedef enum direction { FORWARD, BACKWARD, WEIGHTS } direction;
static const char *const direction_names[N_DIRECTIONS] = {"forward", "backward", "weights only"};
static const char *const direction_keys[N_DIRECTIONS] = {"forward", "backward", "backward-weights"};

typedef struct conv_shape {
    int N, C, K, H, R, stride, is_valid;
} conv_shape;

typedef struct kernels_bench {
    bench_options options;
    conv_shape shapes[SHAPES_MAX];
    int n_shapes, n_variants, n_tables;
    conv_variant variants[VARIANTS_MAX];
    const cnnbn_kernels *tables[VARIANTS_MAX];
    int only; /* 0 both, 1 convolutions, 2 element-wise */
} kernels_bench;

static const struct argp_option options[] = {
    {"shape", OPT_SHAPE, "N,C,K,H,R,stride[,valid]", 0,
     "images, channels, filters, height and width, window, stride; padding is `same' unless `valid' is said. May be "
     "given "
     "several times (default: the shapes of docs/performance.md)",
     0},
    {"kernels", OPT_KERNELS, "LIST", 0, "tables to compare (default: the best of this CPU, then blas)", 0},
    {"conv", OPT_CONV, "LIST", 0, "algorithms to compare: auto, direct, winograd, blas (default auto)", 0},
    {"only", OPT_ONLY, "WHAT", 0, "conv or elementwise (default: both; with --shape conv)", 0},
    {0},
};

/* ---------------------------------------------------------------- options */

static const conv_shape default_shapes[] = {
    {128, 1, 32, 28, 3, 1, 1},  {128, 32, 64, 26, 3, 1, 1}, {64, 64, 64, 32, 3, 1, 0},  {64, 128, 128, 16, 3, 1, 0},
    {64, 256, 256, 8, 3, 1, 0}, {64, 512, 512, 4, 3, 1, 0}, {128, 16, 16, 32, 3, 1, 0}, {128, 64, 64, 8, 3, 1, 0},
    {64, 64, 128, 32, 3, 2, 0}, {16, 256, 64, 56, 1, 1, 0},
};

static void add_shape(kernels_bench *b, char *text)
{
    const char *items[BENCH_LIST_MAX];
    static const int most[6] = {1 << 16, 1 << 14, 1 << 14, 4096, 64, 64};
    int values[6];
    int n = bench_list("--shape", text, items), is_valid = n == 7 && strcmp(items[6], "valid") == 0;
    if (n != 6 && !is_valid && !(n == 7 && strcmp(items[6], "same") == 0))
        cli_check(cnnbn_error(CNNBN_ERR_OPTION, "--shape: N,C,K,H,R,stride and perhaps `valid' is expected"));
    for (int i = 0; i < 6; i++) values[i] = (int)bench_int("--shape", items[i], 1, most[i]);
    conv_shape s = {values[0], values[1], values[2], values[3], values[4], values[5], is_valid};
    if (s.is_valid && s.R > s.H)
        cli_check(cnnbn_error(CNNBN_ERR_OPTION, "--shape: a window of %d does not fit images of %d", s.R, s.H));
    if (b->n_shapes == SHAPES_MAX)
        cli_check(cnnbn_error(CNNBN_ERR_OPTION, "--shape: at most %d shapes are possible", SHAPES_MAX));
    b->shapes[b->n_shapes++] = s;
}

typedef struct lists {
    kernels_bench *b;
    char *kernels, *convs;
} lists;

static error_t parse(int key, char *arg, struct argp_state *state)
{
    static const char *const onlys[] = {"conv", "elementwise", NULL};
    lists *l = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &l->b->options;
        return 0;
    case OPT_SHAPE:
        add_shape(l->b, arg);
        return 0;
    case OPT_KERNELS:
        l->kernels = arg;
        return 0;
    case OPT_CONV:
        l->convs = arg;
        return 0;
    case OPT_ONLY:
        cli_check(cli_word("--only", arg, onlys, &l->b->only));
        l->b->only++;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Tables times algorithms; BLAS and ref know one algorithm each. */
static void complete(lists *l)
{
    static const char *const convs[] = {"auto", "ref", "blas", "direct", "winograd", NULL}; /* of cnnbn_conv_algo */
    kernels_bench *b = l->b;
    char default_kernels[] = "auto,blas", default_convs[] = "auto";
    const char *tables[BENCH_LIST_MAX], *algos[BENCH_LIST_MAX];
    int n_tables = bench_list("--kernels", l->kernels ? l->kernels : default_kernels, tables);
    int n_algos = bench_list("--conv", l->convs ? l->convs : default_convs, algos);
    for (int t = 0; t < n_tables; t++) {
        const cnnbn_kernels *table;
        cli_check(cnnbn_kernels_get(tables[t], &table));
        int one = strcmp(table->name, "blas") == 0 || strcmp(table->name, "ref") == 0;
        if (t < VARIANTS_MAX && strcmp(table->name, "blas") != 0) b->tables[b->n_tables++] = table;
        for (int a = 0; a < (one ? 1 : n_algos); a++) {
            int algo = 0;
            cli_check(cli_word("--conv", algos[a], convs, &algo));
            if (b->n_variants == VARIANTS_MAX)
                cli_check(cnnbn_error(CNNBN_ERR_OPTION, "at most %d pairs of --kernels and --conv are possible",
                                      VARIANTS_MAX));
            b->variants[b->n_variants++] = (conv_variant){table, one ? CNNBN_CONV_AUTO : (cnnbn_conv_algo)algo};
        }
    }
    if (!b->n_shapes) {
        memcpy(b->shapes, default_shapes, sizeof default_shapes);
        b->n_shapes = (int)(sizeof default_shapes / sizeof *default_shapes);
    } else if (!b->only) {
        b->only = 1;
    }
}

/* ---------------------------------------------------------------- one shape */

typedef struct conv_work {
    const conv_variant *variant;
    direction direction;
    cnnbn_conv_plan plan;
    cnnbn_conv_fwd fwd;
    cnnbn_conv_bwd bwd;
    float *fwd_prepared, *bwd_prepared, *workspace, *dx;
    size_t repeats[N_DIRECTIONS];
    bench_times times[N_DIRECTIONS];
    double error[N_DIRECTIONS]; /* against the first variant, in parts of the greatest value */
} conv_work;

typedef struct conv_case {
    cnnbn_conv_geom geom;
    cnnbn_run run;
    int bounds[CNNBN_SLICES_MAX + 1];
    unsigned char n_merge[CNNBN_SLICES_MAX];
    size_t x_count, y_count, w_count;
    float *x, *y, *w, *dx, *dy, *dw, *first[N_DIRECTIONS]; /* of the first variant: y, dx, dw */
    conv_work works[VARIANTS_MAX];
} conv_case;

static cnnbn_conv_geom geometry(const conv_shape *s)
{
    int P = s->is_valid ? (s->H - s->R) / s->stride + 1 : (s->H + s->stride - 1) / s->stride;
    int padding = (P - 1) * s->stride + s->R - s->H;
    int before = s->is_valid || padding < 0 ? 0 : padding / 2;
    return (cnnbn_conv_geom){.H = s->H,
                             .W = s->H,
                             .C = s->C,
                             .K = s->K,
                             .R = s->R,
                             .S = s->R,
                             .P = P,
                             .Q = P,
                             .stride_h = s->stride,
                             .stride_w = s->stride,
                             .pad_top = before,
                             .pad_left = before,
                             .dil_h = 1,
                             .dil_w = 1,
                             .groups = 1};
}

static double flop(const conv_case *c, const conv_shape *s, direction d)
{
    const cnnbn_conv_geom *g = &c->geom;
    double forward = 2.0 * s->N * g->P * g->Q * g->K * g->R * g->S * g->C;
    return d == BACKWARD ? 2 * forward : forward;
}

static void call_conv(void *context)
{
    conv_work *work = context;
    const cnnbn_kernels *k = work->variant->kernels;
    if (work->direction == FORWARD) {
        k->conv_prepare_fwd(&work->plan, work->fwd.w, NULL, &work->fwd.in, work->fwd_prepared, 0, 1);
        k->conv_fwd(&work->plan, &work->fwd);
        return;
    }
    work->bwd.dx = work->direction == BACKWARD ? work->dx : NULL;
    k->conv_prepare_bwd(&work->plan, work->bwd.w, work->bwd_prepared, 0, 1);
    k->conv_bwd(&work->plan, &work->bwd);
}

static cnnbn_status alloc_floats(size_t n, float **out)
{
    void *memory;
    cnnbn_status status = cnnbn_alloc_array(n, sizeof(float), "a convolution", &memory);
    *out = memory;
    return status;
}

static cnnbn_status fill_work(conv_case *c, const conv_shape *s, const conv_variant *variant, conv_work *work)
{
    memset(work, 0, sizeof *work);
    work->variant = variant;
    work->plan = (cnnbn_conv_plan){
        .geom = c->geom,
        .algo = variant->conv,
        .max_n = s->N,
        .max_slice = (s->N + c->run.n_slices - 1) / c->run.n_slices,
    };
    variant->kernels->conv_plan(&work->plan);
    size_t workspace = work->plan.fwd_workspace_floats;
    if (work->plan.bwd_workspace_floats > workspace) workspace = work->plan.bwd_workspace_floats;
    CNNBN_TRY(alloc_floats(work->plan.fwd_prepared_floats, &work->fwd_prepared));
    CNNBN_TRY(alloc_floats(work->plan.bwd_prepared_floats, &work->bwd_prepared));
    CNNBN_TRY(alloc_floats(workspace, &work->workspace));
    work->dx = c->dx;
    const cnnbn_prologue none = {.period = 1};
    work->fwd = (cnnbn_conv_fwd){.run = &c->run,
                                 .x = c->x,
                                 .in = none,
                                 .w = c->w,
                                 .prepared = work->fwd_prepared,
                                 .y = c->y,
                                 .workspace = work->workspace};
    work->bwd = (cnnbn_conv_bwd){.run = &c->run,
                                 .x = c->x,
                                 .in = none,
                                 .dy = c->dy,
                                 .w = c->w,
                                 .prepared = work->bwd_prepared,
                                 .dw = c->dw,
                                 .dw_stride = (c->w_count + 15) / 16 * 16,
                                 .workspace = work->workspace};
    return CNNBN_OK;
}

/* Slices as a training step of this batch has them, all in one call. */
static cnnbn_status open_case(conv_case *c, const kernels_bench *b, const conv_shape *s)
{
    memset(c, 0, sizeof *c);
    c->geom = geometry(s);
    int S = cnnbn_slices_default((size_t)s->N);
    cnnbn_run_fill(&c->run, (size_t)s->N, S, 0, S, c->bounds, c->n_merge);
    c->x_count = (size_t)s->N * (size_t)s->H * (size_t)s->H * (size_t)s->C;
    c->y_count = (size_t)s->N * (size_t)c->geom.P * (size_t)c->geom.Q * (size_t)s->K;
    c->w_count = (size_t)s->R * (size_t)s->R * (size_t)s->C * (size_t)s->K;
    size_t stack = (size_t)c->run.depth * ((c->w_count + 15) / 16 * 16);
    CNNBN_TRY(alloc_floats(c->x_count, &c->x));
    CNNBN_TRY(alloc_floats(c->y_count, &c->y));
    CNNBN_TRY(alloc_floats(c->w_count, &c->w));
    CNNBN_TRY(alloc_floats(c->x_count, &c->dx));
    CNNBN_TRY(alloc_floats(c->y_count, &c->dy));
    CNNBN_TRY(alloc_floats(stack, &c->dw));
    CNNBN_TRY(alloc_floats(c->y_count, &c->first[FORWARD]));
    CNNBN_TRY(alloc_floats(c->x_count, &c->first[BACKWARD]));
    CNNBN_TRY(alloc_floats(c->w_count, &c->first[WEIGHTS]));
    bench_fill(c->x, c->x_count, 1);
    bench_fill(c->w, c->w_count, 2);
    bench_fill(c->dy, c->y_count, 3);
    for (int v = 0; v < b->n_variants; v++) CNNBN_TRY(fill_work(c, s, &b->variants[v], &c->works[v]));
    return CNNBN_OK;
}

static void close_case(conv_case *c)
{
    float *const arrays[] = {c->x, c->y, c->w, c->dx, c->dy, c->dw, c->first[0], c->first[1], c->first[2]};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) cnnbn_free(arrays[i]);
    for (int v = 0; v < VARIANTS_MAX; v++) {
        cnnbn_free(c->works[v].fwd_prepared);
        cnnbn_free(c->works[v].bwd_prepared);
        cnnbn_free(c->works[v].workspace);
    }
}

/* A wrong kernel is fast easily: the first result of each variant is compared with the first variant's. */
static double difference(const float *first, const float *x, size_t n)
{
    double greatest = 1e-30, worst = 0;
    for (size_t i = 0; i < n; i++) {
        double size = fabs((double)first[i]), error = fabs((double)x[i] - (double)first[i]);
        if (size > greatest) greatest = size;
        if (!(error <= worst)) worst = error; /* NaN stays */
    }
    return worst / greatest;
}

static void compare(conv_case *c, int v, direction d)
{
    const float *results[N_DIRECTIONS] = {c->y, c->dx, c->dw};
    size_t counts[N_DIRECTIONS] = {c->y_count, c->x_count, c->w_count};
    if (v == 0)
        memcpy(c->first[d], results[d], counts[d] * sizeof(float));
    else
        c->works[v].error[d] = difference(c->first[d], results[d], counts[d]);
}

static void measure_case(conv_case *c, const kernels_bench *b)
{
    for (int r = -1; r < b->options.rounds; r++)
        for (int d = 0; d < N_DIRECTIONS; d++)
            for (int v = 0; v < b->n_variants; v++) {
                conv_work *work = &c->works[v];
                work->direction = (direction)d;
                if (r < 0) {
                    work->repeats[d] = bench_calibrate(call_conv, work, b->options.round_s);
                    compare(c, v, (direction)d);
                } else {
                    bench_times_add(&work->times[d], bench_time(call_conv, work, work->repeats[d]));
                }
            }
}

static void print_case(const conv_case *c, const kernels_bench *b, const conv_shape *s)
{
    const double error_bound = 1e-3; /* of the greatest value: Winograd's is 2e-5 */
    char shape[96];
    double peak[VARIANTS_MAX];
    for (int v = 0; v < b->n_variants; v++) peak[v] = bench_core_peak(b->variants[v].kernels->isa);
    (void)snprintf(shape, sizeof shape, "%d,%d,%d,%d,%d,%d%s", s->N, s->C, s->K, s->H, s->R, s->stride,
                   s->is_valid ? ",valid" : "");
    for (int d = 0; d < N_DIRECTIONS; d++) {
        double work = flop(c, s, (direction)d) * 1e-9, first = 0, last = 0;
        bench_say("  %-24s %-13s", d ? "" : shape, direction_names[d]);
        for (int v = 0; v < b->n_variants; v++) {
            const conv_work *w = &c->works[v];
            double median = work / bench_median(&w->times[d]), best = work / bench_min(&w->times[d]);
            double share = peak[v] > 0 ? 100 * median / peak[v] : 0;
            bench_say(" %9s %8.1f %5.0f %%%s", cnnbn_conv_algo_name(w->plan.algo), median, share,
                      w->error[d] <= error_bound ? "" : " WRONG");
            bench_row("conv,\"%s\",%s,%s,%s,%.2f,%.2f,GFLOP/s,%.1f", shape, direction_keys[d],
                      w->variant->kernels->name, cnnbn_conv_algo_name(w->plan.algo), median, best, share);
            if (v == 0) first = median;
            last = median;
        }
        if (b->n_variants > 1) bench_say(" %7.2f", first / last);
        bench_say("\n");
    }
}

static cnnbn_status run_shapes(const kernels_bench *b)
{
    static conv_case c;
    bench_say("\nConvolutions on one core: GFLOP/s of the direct algorithm (median), %% of a core's multiply-adds; "
              "preparing the weights is counted; backward: data and weights\n");
    bench_say("  %-24s %-13s", "N,C,K,H,R,stride", "");
    for (int v = 0; v < b->n_variants; v++) bench_say(" %26s", b->variants[v].kernels->name);
    bench_say("%s\n", b->n_variants > 1 ? "   ratio" : "");
    cnnbn_status status = CNNBN_OK;
    for (int i = 0; i < b->n_shapes && status == CNNBN_OK; i++) {
        status = open_case(&c, b, &b->shapes[i]);
        if (status == CNNBN_OK) {
            measure_case(&c, b);
            print_case(&c, b, &b->shapes[i]);
        }
        close_case(&c);
    }
    return status;
}

static cnnbn_status run(kernels_bench *b)
{
    CNNBN_TRY(bench_output_open(&b->options, "kind,shape,what,kernels,algorithm,median,best,unit,percent_of_peak"));
    bench_say_cpu();
    bench_say("OpenBLAS core: %s\n", cnnbn_blas_core());
    if (b->only != 2) CNNBN_TRY(run_shapes(b));
    if (b->only != 1) CNNBN_TRY(bench_elementwise(&b->options, b->tables, b->n_tables));
    return bench_output_close();
}

int bench_kernels(int argc, char **argv)
{
    static kernels_bench b;
    b.options = (bench_options){.rounds = 5, .round_s = 0.05};
    lists l = {.b = &b};
    const struct argp_child children[] = {{&bench_common_argp, 0, NULL, 0}, {0}};
    const struct argp arguments = {.options = options,
                                   .parser = parse,
                                   .children = children,
                                   .doc = "Single kernels on one core: convolutions in each direction, each table and "
                                          "algorithm beside the others, and element-wise kernels at memory speed."};
    cli_parse(&arguments, 0, argc, argv, &l);
    cnnbn_blas_init();
    complete(&l);
    return cli_finish(run(&b));
}
