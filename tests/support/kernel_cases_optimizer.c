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
        double gi = (double)g[i] + (double)o->coupled * w[i];
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
                   .decay = dice_one_in(d, 2) ? 0 : 1e-2f,
                   .coupled = dice_one_in(d, 2) ? 0 : 0.3f};
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

/* v = rho*v + (1-rho)*g^2; m = mu*m + lr*g/sqrt(v + eps); w -= m. */
static void check_rmsprop(const char *label, const cnnbn_kernels *table, arrays *mem, dice *d, size_t n)
{
    cnnbn_rmsprop o = {.lr = 0.01f, .rho = 0.9f, .rate = 0.1f, .epsilon = 1e-7f};
    if (dice_one_in(d, 2)) o.momentum = 0.9f;
    if (dice_one_in(d, 2)) o.decay = 1e-2f;
    float *w = arrays_random(mem, d, n, -2, 2), *v = arrays_floats(mem, n, 1);
    float *m = o.momentum > 0 ? arrays_floats(mem, n, 2) : NULL;
    double *ew = arrays_doubles(mem, n), *ev = arrays_doubles(mem, n), *em = arrays_doubles(mem, n);
    for (size_t i = 0; i < n; i++) {
        ew[i] = (double)w[i];
        v[i] = 0;
        ev[i] = em[i] = 0;
        if (m) m[i] = 0;
    }
    for (int t = 0; t < STEPS; t++) {
        float *g = arrays_random(mem, d, n, -1, 1);
        table->rmsprop(n, &o, g, v, m, w);
        for (size_t i = 0; i < n; i++) {
            double gi = (double)g[i];
            ev[i] = (double)o.rho * ev[i] + (double)o.rate * gi * gi;
            em[i] = (double)o.momentum * em[i] + (double)o.lr * gi / sqrt(ev[i] + (double)o.epsilon);
            ew[i] = ew[i] * (1 - (double)o.decay) - em[i];
        }
    }
    compare(label, "rmsprop w", w, ew, n);
    compare(label, "rmsprop v", v, ev, n);
    if (m) compare(label, "rmsprop m", m, em, n);
}

static void check_lamb(const char *label, const cnnbn_kernels *table, arrays *mem, dice *d, size_t n)
{
    float *w = arrays_random(mem, d, n, -2, 2), *m = arrays_floats(mem, n, 1), *v = arrays_floats(mem, n, 2);
    double *ew = arrays_doubles(mem, n), *em = arrays_doubles(mem, n), *ev = arrays_doubles(mem, n);
    double *direction = arrays_doubles(mem, n);
    for (size_t i = 0; i < n; i++) {
        ew[i] = (double)w[i];
        m[i] = v[i] = 0;
        em[i] = ev[i] = 0;
    }
    cnnbn_lamb o = {.rate1 = 0.1f, .rate2 = 0.001f, .epsilon = 1e-6f, .decay = dice_one_in(d, 2) ? 0 : 1e-2f};
    for (int t = 1; t <= STEPS; t++) {
        float *g = arrays_random(mem, d, n, -1, 1);
        o.correct1 = (float)(1 / (1 - pow(0.9, t)));
        o.correct2 = (float)(1 / (1 - pow(0.999, t)));
        for (size_t i = 0; i < n; i++) {
            double gi = (double)g[i];
            em[i] = (1 - (double)o.rate1) * em[i] + (double)o.rate1 * gi;
            ev[i] = (1 - (double)o.rate2) * ev[i] + (double)o.rate2 * gi * gi;
            ew[i] *= 1 - (double)o.decay;
            direction[i] = em[i] * (double)o.correct1 / (sqrt(ev[i] * (double)o.correct2) + (double)o.epsilon);
        }
        table->lamb(n, &o, g, m, v, w);
        compare(label, "lamb direction", g, direction, n);
    }
    compare(label, "lamb w", w, ew, n);
    compare(label, "lamb m", m, em, n);
    compare(label, "lamb v", v, ev, n);
}

/* abs_max sees every place, and NaN before infinity before all numbers; lerp goes its part of the way. */
static void check_looks(const char *label, const cnnbn_kernels *table, arrays *mem, dice *d, size_t n)
{
    float *x = arrays_random(mem, d, n, -1, 1), *y = arrays_random(mem, d, n, -1, 1);
    double *expected = arrays_doubles(mem, n), most = 0;
    for (size_t i = 0; i < n; i++) {
        expected[i] = 0.75 * (double)y[i] + 0.25 * (double)x[i];
        if (fabs((double)x[i]) > most) most = fabs((double)x[i]);
    }
    table->lerp(n, 0.25f, x, y);
    compare(label, "lerp", y, expected, n);
    if ((double)table->abs_max(n, x) != most)
        fail_msg("%s: abs_max %g, expected %g", label, (double)table->abs_max(n, x), most);
    if (n == 0) return;
    size_t at = (size_t)dice_int(d, 0, (int)n - 1), other = (size_t)dice_int(d, 0, (int)n - 1);
    x[at] = -3e38f;
    if (table->abs_max(n, x) < 3e38f) fail_msg("%s: abs_max misses place %zu", label, at);
    x[at] = -INFINITY;
    if (!isinf(table->abs_max(n, x))) fail_msg("%s: abs_max misses an infinity at %zu", label, at);
    x[other] = dice_one_in(d, 2) ? -NAN : NAN;
    if (!isnan(table->abs_max(n, x))) fail_msg("%s: abs_max misses a NaN at %zu", label, other);
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
        check_rmsprop(label, table, &mem, &d, n);
        check_lamb(label, table, &mem, &d, n);
        check_looks(label, table, &mem, &d, n);
        arrays_end(&mem, label);
    }
}
