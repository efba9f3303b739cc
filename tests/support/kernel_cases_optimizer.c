#include <math.h>
#include <stdio.h>

#include "case_tools.h"
#include "kernel_cases.h"

/* Some float roundings a step, for the steps of a case; weights are within a few units. */
static const double step_tolerance = 2e-6;
enum { STEPS = 6 };

/* Formulas of NUMERICS in double, with state in double: nothing of it is rounded between steps. */
static void adam_formula(size_t n, const cnnbn_adam *o, const float *g, double *m, double *v, double *w)
{
    for (size_t i = 0; i < n; i++) {
        double gi = (double)g[i];
        w[i] = w[i] * (1 - (double)o->decay);
        m[i] = (1 - (double)o->rate1) * m[i] + (double)o->rate1 * gi;
        v[i] = (1 - (double)o->rate2) * v[i] + (double)o->rate2 * gi * gi;
        w[i] -= (double)o->step_size * m[i] / (sqrt(v[i]) + (double)o->epsilon);
    }
}

static void sgd_formula(size_t n, const cnnbn_sgd *o, const float *g, double *m, double *w)
{
    double lr = (double)o->lr, mu = (double)o->momentum;
    for (size_t i = 0; i < n; i++) {
        double gi = (double)g[i];
        w[i] = w[i] * (1 - (double)o->decay);
        m[i] = mu * m[i] - lr * gi;
        w[i] += o->nesterov ? mu * m[i] - lr * gi : m[i];
    }
}

static void compare(const char *label, const char *what, const float *got, const double *expected, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - expected[i]) <= step_tolerance * (1 + fabs(expected[i]))))
            fail_msg("%s: %s[%zu of %zu] = %.9g, expected %.9g", label, what, i, n, (double)got[i], expected[i]);
}

static void check_adam(const char *label, const cnnbn_kernels *table, arrays *mem, dice *d, size_t n)
{
    float *w = arrays_random(mem, d, n, -2, 2), *m = arrays_floats(mem, n, 1), *v = arrays_floats(mem, n, 2);
    double *ew = arrays_doubles(mem, n), *em = arrays_doubles(mem, n), *ev = arrays_doubles(mem, n);
    for (size_t i = 0; i < n; i++) {
        ew[i] = (double)w[i];
        m[i] = v[i] = 0;
        em[i] = ev[i] = 0;
    }
    cnnbn_adam o = {.rate1 = 0.1f, .rate2 = 0.001f, .epsilon = 1e-7f, .decay = dice_one_in(d, 2) ? 0 : 1e-2f};
    for (int t = 1; t <= STEPS; t++) {
        o.step_size = (float)(1e-2 * sqrt(1 - pow(0.999, t)) / (1 - pow(0.9, t)));
        float *g = arrays_random(mem, d, n, -1, 1);
        for (size_t i = 0; i < n; i += 5) g[i] = 0; /* sqrt(v) + epsilon where v is 0 */
        table->adam(n, &o, g, m, v, w);
        adam_formula(n, &o, g, em, ev, ew);
    }
    compare(label, "adam w", w, ew, n);
    compare(label, "adam m", m, em, n);
    compare(label, "adam v", v, ev, n);
    if (n == 0) return;
    float *g = arrays_random(mem, d, n, -1, 1);
    g[n / 2] = NAN;
    table->adam(n, &o, g, m, v, w);
    if (!isnan(w[n / 2]) || !isnan(m[n / 2]) || !isnan(v[n / 2])) fail_msg("%s: adam loses a NaN", label);
    if (n > 1 && isnan(w[n / 2 ? 0 : 1])) fail_msg("%s: adam spreads a NaN", label);
}

static void check_sgd(const char *label, const cnnbn_kernels *table, arrays *mem, dice *d, size_t n)
{
    cnnbn_sgd o = {.lr = 0.05f,
                   .momentum = dice_one_in(d, 2) ? 0 : 0.9f,
                   .nesterov = dice_one_in(d, 2),
                   .decay = dice_one_in(d, 2) ? 0 : 1e-2f};
    int has_m = o.momentum > 0;
    float *w = arrays_random(mem, d, n, -2, 2), *m = has_m ? arrays_floats(mem, n, 1) : NULL;
    double *ew = arrays_doubles(mem, n), *em = arrays_doubles(mem, n);
    for (size_t i = 0; i < n; i++) {
        ew[i] = (double)w[i];
        em[i] = 0;
        if (m) m[i] = 0;
    }
    for (int t = 0; t < STEPS; t++) {
        float *g = arrays_random(mem, d, n, -1, 1);
        table->sgd(n, &o, g, m, w);
        sgd_formula(n, &o, g, em, ew);
    }
    compare(label, "sgd w", w, ew, n);
    if (m) compare(label, "sgd m", m, em, n);
}

void kernel_cases_optimizer(const cnnbn_kernels *table, int n_cases, uint64_t seed)
{
    for (int i = 0; i < n_cases; i++) {
        dice d = dice_new(seed, i);
        arrays mem = {.n = 0};
        size_t n = (size_t)(dice_one_in(&d, 4) ? dice_int(&d, 0, 3000) : dice_int(&d, 0, 80));
        char label[96];
        (void)snprintf(label, sizeof label, "%s optimiser case %d: n %zu", table->name, i, n);
        check_adam(label, table, &mem, &d, n);
        check_sgd(label, table, &mem, &d, n);
        arrays_end(&mem, label);
    }
}
