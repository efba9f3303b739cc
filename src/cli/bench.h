/* cnnbn-bench: what its commands share. Each command parses argv (argv[0]: "cnnbn-bench NAME") and gives the exit code. */
#ifndef CNNBN_CLI_BENCH_H
#define CNNBN_CLI_BENCH_H

#include <argp.h>
#include <stddef.h>
#include <stdio.h>
#include "cnnbn/cpu.h"
#include "cnnbn/status.h"

int bench_peak(int argc, char **argv);
int bench_kernels(int argc, char **argv);
int bench_step(int argc, char **argv);
int bench_reduce(int argc, char **argv);
int bench_scaling(int argc, char **argv);
int bench_checkpoint(int argc, char **argv);

/* ---------------------------------------------------------------- options of every command */

enum { BENCH_ROUNDS_MAX = 200, BENCH_LIST_MAX = 32 };

typedef struct bench_options {
    int rounds;
    double round_s;  /* a measurement takes at least so long in a round */
    const char *csv; /* NULL: none; "-": on stdout, instead of the tables */
} bench_options;

/* --rounds, --round-time and --csv: a child of a command's argp whose input is a bench_options. */
extern const struct argp bench_common_argp;
/* The value of an option in range; a bad one ends the program. */
long long bench_int(const char *option, const char *text, long long least, long long most);
/* Cuts a comma-separated list in place; `items` of BENCH_LIST_MAX. Empty items and too many of them end the program. */
int bench_list(const char *option, char *text, const char **items);
/* 64K, 45M, 1G or a plain number: bytes. */
size_t bench_size(const char *option, const char *text);
/* "16 KB", "1.5 MB"; text of 32 bytes. Returns text. */
const char *bench_size_text(double bytes, char *text);

/* ---------------------------------------------------------------- tables */

/* Starts the output: the CSV file with its header line when one is asked for (rank 0 alone). */
cnnbn_status bench_output_open(const bench_options *options, const char *csv_header) CNNBN_MUST_CHECK;
cnnbn_status bench_output_close(void) CNNBN_MUST_CHECK;
void bench_say(const char *format, ...) CNNBN_PRINTF(1, 2); /* a table's text */
void bench_row(const char *format, ...) CNNBN_PRINTF(1, 2); /* a line of the CSV file, without its end */
void bench_say_cpu(void);

/* ---------------------------------------------------------------- times */

typedef struct bench_times {
    int n;
    double s[BENCH_ROUNDS_MAX];
} bench_times;
void bench_times_add(bench_times *times, double seconds);
double bench_median(const bench_times *times);
double bench_min(const bench_times *times);

typedef void (*bench_call)(void *context);
/* Calls that take at least seconds_wanted together; runs a few to find out. */
size_t bench_calibrate(bench_call call, void *context, double seconds_wanted);
/* Seconds of one of `repeats` calls. */
double bench_time(bench_call call, void *context, size_t repeats);

/* GFLOP/s of multiply-adds on one core, the best of the short measurements of all calls so far; 0 when it cannot be told. */
double bench_core_peak(cnnbn_isa isa);

/* Uniform in [-1, 1); the same for the same seed. */
void bench_fill(float *x, size_t n, unsigned seed);

#endif
