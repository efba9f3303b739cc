/* Checks shared by the tests. cmocka's assert_float_equal passes NaN and Inf and is banned (tests/lint). */
#ifndef CNNBN_TEST_CHECK_H
#define CNNBN_TEST_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cnnbn/status.h"

/* Greatest |a - b| over the greatest |b| (1 where b is all zeros). INFINITY when any value is not finite. */
double check_error(const float *a, const double *b, size_t n);
double check_error_f32(const float *a, const float *b, size_t n);

/* Fails the test unless check_error(...) <= tolerance; prints `what`, the worst index and both values. */
void check_close(const char *what, const float *a, const double *b, size_t n, double tolerance);
void check_close_f32(const char *what, const float *a, const float *b, size_t n, double tolerance);

/* |a - b| <= tolerance * max(1, |b|), both finite; else fails with `what` and both values. */
void check_near(const char *what, double a, double b, double tolerance);

/* Bytes equal; prints the first difference. */
void check_same_bits(const char *what, const void *a, const void *b, size_t bytes);

/* Status is `expected` and, when text is not NULL, the error message contains it. */
void check_status(cnnbn_status status, cnnbn_status expected, const char *text);
void check_ok(cnnbn_status status);

/* n uniform numbers in [-1, 1) from (seed, index), by the counter-based generator. */
void fill_random(float *data, size_t n, uint64_t seed);

#endif
