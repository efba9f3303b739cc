#include "draw.h"

#include <math.h>

#include "cnnbn/rng.h"

double cnnbn__draw_between(uint64_t key, uint64_t i, const double bounds[2])
{
    return bounds[0] + (bounds[1] - bounds[0]) * (double)cnnbn_rng_uniform(key, i);
}

int cnnbn__draw_coin(uint64_t key, uint64_t i)
{
    return cnnbn_rng_uniform(key, i) < 0.5f;
}

/* Pixel (p, q) comes from R (p - down - centre, q - right - centre) + centre; R as Keras' RandomRotation has it. */
void cnnbn__turn_and_move(int H, int W, double turn, double down, double right, double t[6])
{
    const double full = 6.283185307179586476925;
    double centre_w = (W - 1) / 2.0, centre_h = (H - 1) / 2.0;
    double a = cos(full * turn), b = sin(full * turn), q = -right - centre_w, p = -down - centre_h;
    int turns = turn > 0 || turn < 0; /* a translation alone is exact */
    t[0] = t[4] = turns ? a : 1;
    t[1] = turns ? -b : 0;
    t[3] = turns ? b : 0;
    t[2] = turns ? a * q - b * p + centre_w : -right;
    t[5] = turns ? b * q + a * p + centre_h : -down;
}
