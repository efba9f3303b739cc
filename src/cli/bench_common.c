#include "bench.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cnnbn/log.h"
#include "cnnbn/peak.h"

/* ---------------------------------------------------------------- options */

enum common_key { OPT_ROUNDS = 1000, OPT_ROUND_TIME, OPT_CSV };

static const struct argp_option common_options[] = {
    {NULL, 0, NULL, 0, "Measuring:", 90},
    {"rounds", OPT_ROUNDS, "N", 0, "rounds, in each of which everything is measured once (default 5)", 0},
    {"round-time", OPT_ROUND_TIME, "SECONDS", 0, "a measurement takes at least so long in a round", 0},
    {"csv", OPT_CSV, "FILE", 0, "also write the figures as CSV; `-': to stdout, instead of the tables", 0},
    {0},
};

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
    bench_options *o = state->input;
    switch (key) {
    case OPT_ROUNDS:
        o->rounds = (int)bench_int("--rounds", arg, 1, BENCH_ROUNDS_MAX);
        return 0;
    case OPT_ROUND_TIME:
        cli_check(cli_real("--round-time", arg, 0, 3600, &o->round_s));
        return 0;
    case OPT_CSV:
        o->csv = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp bench_common_argp = {.options = common_options, .parser = parse_common};

long long bench_int(const char *option, const char *text, long long least, long long most)
{
    long long value = 0;
    cli_check(cli_int(option, text, least, most, &value));
    return value;
}

int bench_list(const char *option, char *text, const char **items)
{
    int n = 0;
    for (char *at = text;;) {
        char *comma = strchr(at, ',');
        if (comma) *comma = '\0';
        if (!*at) cli_check(cnnbn_error(CNNBN_ERR_OPTION, "%s: an item of the list is empty", option));
        if (n == BENCH_LIST_MAX)
            cli_check(cnnbn_error(CNNBN_ERR_OPTION, "%s: at most %d items are possible", option, BENCH_LIST_MAX));
        items[n++] = at;
        if (!comma) return n;
        at = comma + 1;
    }
}

size_t bench_size(const char *option, const char *text)
{
    static const char suffixes[] = "KMG";
    char *end;
    double number = strtod(text, &end);
    const char *suffix = *end ? strchr(suffixes, *end & ~0x20) : NULL;
    if (suffix) {
        for (const char *s = suffixes; s <= suffix; s++) number *= 1024;
        end++;
    }
    if (end == text || *end || !(number >= 1) || !(number <= 1e12))
        cli_check(cnnbn_error(CNNBN_ERR_OPTION, "%s: '%s': a size such as 64K or 45M is expected", option, text));
    return (size_t)number;
}

const char *bench_size_text(double bytes, char *text)
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
    int u = 0;
    for (; u < 4 && bytes >= 1024; u++) bytes /= 1024;
    (void)snprintf(text, 32, bytes == floor(bytes) ? "%.0f %s" : "%.1f %s", bytes, units[u]);
    return text;
}

/* ---------------------------------------------------------------- output */

static struct output {
    FILE *csv;
    const char *path;
    int silent; /* no tables */
} out;

cnnbn_status bench_output_open(const bench_options *options, const char *csv_header)
{
    int to_stdout = options->csv && strcmp(options->csv, "-") == 0;
    out = (struct output){.path = options->csv, .silent = to_stdout || !cli_speaks()};
    if (!options->csv || !cli_speaks()) return CNNBN_OK;
    out.csv = to_stdout ? stdout : fopen(options->csv, "we");
    if (!out.csv) return cnnbn_error(CNNBN_ERR_IO, "--csv: cannot write %s: %s", options->csv, strerror(errno));
    bench_row("%s", csv_header);
    return CNNBN_OK;
}

cnnbn_status bench_output_close(void)
{
    FILE *csv = out.csv;
    out.csv = NULL;
    if (!csv) return CNNBN_OK;
    int failed = fflush(csv) != 0 || ferror(csv);
    if (csv != stdout) failed |= fclose(csv) != 0;
    return failed ? cnnbn_error(CNNBN_ERR_IO, "--csv: cannot write %s: %s", out.path, strerror(errno)) : CNNBN_OK;
}

void bench_say(const char *format, ...)
{
    if (out.silent) return;
    va_list args;
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)fflush(stdout);
}

void bench_row(const char *format, ...)
{
    if (!out.csv) return;
    va_list args;
    va_start(args, format);
    (void)vfprintf(out.csv, format, args);
    va_end(args);
    (void)fputc('\n', out.csv);
}

void bench_say_cpu(void)
{
    int cores = cnnbn_cpu_cores_allowed();
    bench_say("CPU: %s, best instruction set %s, %d core%s allowed\n", cnnbn_cpu_name(),
              cnnbn_isa_name(cnnbn_cpu_isa()), cores, cores == 1 ? "" : "s");
}

/* ---------------------------------------------------------------- times */

void bench_times_add(bench_times *times, double seconds)
{
    if (times->n < BENCH_ROUNDS_MAX) times->s[times->n++] = seconds;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double bench_median(const bench_times *times)
{
    double sorted[BENCH_ROUNDS_MAX];
    int n = times->n;
    if (n == 0) return 0;
    memcpy(sorted, times->s, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

double bench_min(const bench_times *times)
{
    double least = times->n ? times->s[0] : 0;
    for (int i = 1; i < times->n; i++)
        if (times->s[i] < least) least = times->s[i];
    return least;
}

double bench_time(bench_call call, void *context, size_t repeats)
{
    double start = cnnbn_now_s();
    for (size_t i = 0; i < repeats; i++) call(context);
    return (cnnbn_now_s() - start) / (double)repeats;
}

size_t bench_calibrate(bench_call call, void *context, double seconds_wanted)
{
    size_t repeats = 1;
    call(context); /* pages, caches, clock rate */
    for (;;) {
        double each = bench_time(call, context, repeats), needed = seconds_wanted / (each > 1e-9 ? each : 1e-9);
        /* A short trial says little: the number at most grows tenfold before the next look. */
        if (needed <= (double)repeats * 1.5) return repeats;
        repeats = needed < 10 * (double)repeats ? (size_t)ceil(needed) : 10 * repeats;
    }
}

typedef struct fma_work {
    const cnnbn_peak *peak;
    volatile float sink;
} fma_work;

static void call_fma(void *context)
{
    fma_work *work = context;
    work->sink = work->peak->multiply_add(1000);
}

double bench_core_peak(cnnbn_isa isa)
{
    static double best[4]; /* of the program so far, by set: a short disturbance must not make a core look slow */
    const int trials = 5;
    fma_work work = {.peak = cnnbn_peak_get(isa)};
    if (!work.peak) return 0;
    size_t repeats = bench_calibrate(call_fma, &work, 0.01);
    for (int i = 0; i < trials; i++) {
        double rate = work.peak->round_flop * 1000 / bench_time(call_fma, &work, repeats) * 1e-9;
        if (rate > best[isa]) best[isa] = rate;
    }
    return best[isa];
}

void bench_fill(float *x, size_t n, unsigned seed)
{
    uint32_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(int32_t)state * (1.0f / 2147483648.0f);
    }
}
