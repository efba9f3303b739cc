#include <math.h>
#include <stdio.h>

#include "case_tools.h"
#include "kernel_cases.h"

/* Float exp, erf and tanh good to some units in the last place, relative to max(1, |y|). */
static const double act_tolerance = 3e-6;

static const float extremes[] = {0,      -0.0f,   1e-30f,  -1e-30f, 1e-40f, -1e-40f, 1e-6f,  -1e-6f, 9,
                                 -9,     15.9f,   -15.9f,  40,      -40,    87.5f,   -87.5f, 89,     -89,
                                 104.0f, -104.0f, 1000.0f, -1000,   1e30f,  -1e30f,  NAN};
enum { N_EXTREMES = sizeof extremes / sizeof *extremes };

static void check_one(const char *label, const cnnbn_kernels *table, arrays *mem, dice *d, cnnbn_activation act,
                      size_t n)
{
    const cnnbn_kernels *ref = kernel_cases_ref();
    cnnbn_prologue plain = {.period = 1, .act = act};
    float *x = arrays_random(mem, d, n, -6, 6);
    case_avoid_kinks(&plain, x, n);
    float *y = arrays_floats(mem, n, 1), *expected = arrays_floats(mem, n, 0);
    for (size_t i = 0; i < n && dice_one_in(d, 2); i += 7) x[i] = extremes[dice_int(d, 0, N_EXTREMES - 1)];
    ref->act_fwd(n, act, x, expected);
    table->act_fwd(n, act, x, y);
    case_each(label, "act_fwd", y, expected, n, act_tolerance);
    float *in_place = arrays_copy(mem, x, n, 2);
    table->act_fwd(n, act, in_place, in_place);
    case_bits(label, "act_fwd with y = x", in_place, y, n * sizeof *y);

    /* Backward at the kinks' branches is a convention that ref and the table share, from the same y; a NaN's slope is
     * not: relu's is taken for 0. */
    for (size_t i = 0; i < n; i++)
        if (isnan(x[i])) x[i] = 0.5f;
    ref->act_fwd(n, act, x, expected);
    float *dy = arrays_random(mem, d, n, -2, 2), *dx = arrays_floats(mem, n, 1), *ref_dx = arrays_floats(mem, n, 0);
    int from_output = cnnbn_act_from_output(act);
    if (n && dice_one_in(d, 2)) { /* where the slope is not 0 */
        x[n / 2] = 0.6f;
        expected[n / 2] = 0.6f;
        dy[n / 2] = NAN;
    }
    ref->act_bwd(n, act, dy, from_output ? NULL : x, from_output ? expected : NULL, ref_dx);
    table->act_bwd(n, act, dy, from_output ? NULL : x, from_output ? expected : NULL, dx);
    case_each(label, "act_bwd", dx, ref_dx, n, act_tolerance);
    table->act_bwd(n, act, dy, from_output ? NULL : x, from_output ? expected : NULL, dy);
    case_bits(label, "act_bwd with dx = dy", dy, dx, n * sizeof *dx);
}

void kernel_cases_activation(const cnnbn_kernels *table, int n_cases, uint64_t seed)
{
    for (int i = 0; i < n_cases; i++) {
        dice d = dice_new(seed, i);
        arrays mem = {.n = 0};
        cnnbn_activation act = kernel_cases_acts[i % KERNEL_CASES_ACTS];
        size_t n = (size_t)(dice_one_in(&d, 3) ? dice_int(&d, 0, 5000) : dice_int(&d, 0, 70));
        char label[128];
        (void)snprintf(label, sizeof label, "%s activation case %d: kind %d (%g, %g, %g) n %zu", table->name, i,
                       (int)act.kind, (double)act.p0, (double)act.p1, (double)act.p2, n);
        check_one(label, table, &mem, &d, act, n);
        arrays_end(&mem, label);
    }
}
