/* How cnnbn-train is carried out. */
#include "train_options.h"

enum option_key { OPT_SLICES = 256, OPT_THREADS, OPT_REDUCE, OPT_KERNELS, OPT_CONV, OPT_NO_FUSION, OPT_WATCHDOG };

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "Execution:", 40},
    {"slices", OPT_SLICES, "S", 0,
     "parts of a batch, the unit of work and of the order of sums; bits depend on it, not on ranks or threads "
     "(default: by the batch size)",
     0},
    {"threads", OPT_THREADS, "T", 0, "threads a rank (default: cores of the rank's affinity mask)", 0},
    {"reduce", OPT_REDUCE, "MODE", 0,
     "ordered: a fixed tree, same bits at any number of ranks; mpi: MPI_Allreduce (default ordered)", 0},
    {"kernels", OPT_KERNELS, "NAME", 0,
     "auto, simd, simd-avx512, simd-avx2, simd-baseline, simd-neon, blas, ref (default auto)", 0},
    {"conv", OPT_CONV, "ALGORITHM", 0,
     "auto, direct, winograd, blas: wish for all convolutions (default auto: by each layer's shape)", 0},
    {"no-fusion", OPT_NO_FUSION, NULL, 0,
     "each operation of the model by itself, for comparison: same results within rounding, slower", 0},
    {"watchdog", OPT_WATCHDOG, "SECONDS", 0, "end the job when nothing moves for so long; 0: never (default 300)", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    static const char *const reduces[] = {"ordered", "mpi", NULL};
    static const char *const convs[] = {"auto",   "ref",      "blas",
                                        "direct", "winograd", NULL}; /* order of cnnbn_conv_algo */
    cnnbn_train_options *o = &((train_settings *)state->input)->opt;
    switch (key) {
    case OPT_SLICES:
        o->slices = (int)train_int("--slices", arg, 1, CNNBN_SLICES_MAX);
        break;
    case OPT_THREADS:
        o->threads = (int)train_int("--threads", arg, 1, 1024);
        break;
    case OPT_REDUCE:
        o->reduce = (cnnbn_reduce_mode)train_word("--reduce", arg, reduces);
        break;
    case OPT_KERNELS:
        o->kernels = arg;
        break;
    case OPT_CONV:
        o->conv = (cnnbn_conv_algo)train_word("--conv", arg, convs);
        break;
    case OPT_NO_FUSION:
        o->no_fusion = 1;
        break;
    case OPT_WATCHDOG:
        o->watchdog_s = train_real("--watchdog", arg, 0, 1e9);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

const struct argp train_options_execution = {.options = options, .parser = parse};
