#include "check.h"

#include <math.h>
#include <string.h>

#include "cnnbn/rng.h"

typedef struct worst {
    double error, scale;
    size_t index;
    int finite;
} worst;

static void worst_add(worst *w, size_t i, double a, double b)
{
    if (!isfinite(a) || !isfinite(b)) {
        if (w->finite) w->index = i;
        w->finite = 0;
        return;
    }
    double e = fabs(a - b);
    if (w->finite && e > w->error) {
        w->error = e;
        w->index = i;
    }
    if (fabs(b) > w->scale) w->scale = fabs(b);
}

static double worst_relative(const worst *w)
{
    if (!w->finite) return INFINITY;
    return w->scale > 0 ? w->error / w->scale : w->error;
}

static worst compare_f64(const float *a, const double *b, size_t n)
{
    worst w = {0, 0, 0, 1};
    for (size_t i = 0; i < n; i++) worst_add(&w, i, (double)a[i], b[i]);
    return w;
}

static worst compare_f32(const float *a, const float *b, size_t n)
{
    worst w = {0, 0, 0, 1};
    for (size_t i = 0; i < n; i++) worst_add(&w, i, (double)a[i], (double)b[i]);
    return w;
}

double check_error(const float *a, const double *b, size_t n)
{
    worst w = compare_f64(a, b, n);
    return worst_relative(&w);
}

double check_error_f32(const float *a, const float *b, size_t n)
{
    worst w = compare_f32(a, b, n);
    return worst_relative(&w);
}

static void demand(const char *what, const worst *w, double got, double expected, double tolerance)
{
    double error = worst_relative(w);
    if (error <= tolerance) return;
    fail_msg("%s: error %.3g > %.3g, worst at [%zu]: %.9g, expected %.9g", what, error, tolerance, w->index, got,
             expected);
}

void check_close(const char *what, const float *a, const double *b, size_t n, double tolerance)
{
    worst w = compare_f64(a, b, n);
    if (n) demand(what, &w, (double)a[w.index], b[w.index], tolerance);
}

void check_close_f32(const char *what, const float *a, const float *b, size_t n, double tolerance)
{
    worst w = compare_f32(a, b, n);
    if (n) demand(what, &w, (double)a[w.index], (double)b[w.index], tolerance);
}

void check_near(const char *what, double a, double b, double tolerance)
{
    double scale = fabs(b) > 1 ? fabs(b) : 1;
    if (isfinite(a) && isfinite(b) && fabs(a - b) <= tolerance * scale) return;
    fail_msg("%s: %.9g, expected %.9g (tolerance %.3g)", what, a, b, tolerance);
}

void check_same_bits(const char *what, const void *a, const void *b, size_t bytes)
{
    const unsigned char *p = a, *q = b;
    for (size_t i = 0; i < bytes; i++)
        if (p[i] != q[i]) fail_msg("%s: byte %zu of %zu differs: %02x, expected %02x", what, i, bytes, p[i], q[i]);
}

void check_status(cnnbn_status status, cnnbn_status expected, const char *text)
{
    if (status != expected)
        fail_msg("status %s, expected %s; message: %s", cnnbn_status_text(status), cnnbn_status_text(expected),
                 cnnbn_error_message());
    if (text && !strstr(cnnbn_error_message(), text))
        fail_msg("message \"%s\" does not contain \"%s\"", cnnbn_error_message(), text);
}

void check_ok(cnnbn_status status)
{
    if (status != CNNBN_OK) fail_msg("status %s: %s", cnnbn_status_text(status), cnnbn_error_message());
}

void fill_random(float *data, size_t n, uint64_t seed)
{
    uint64_t key = cnnbn_rng_key(seed, CNNBN_RNG_TEST, 0, 0, 0);
    for (size_t i = 0; i < n; i++) data[i] = 2.0f * cnnbn_rng_uniform(key, i) - 1.0f;
}
