#include "ref.h"

#include <math.h>

void cnnbn__ref_adam(size_t n, const cnnbn_adam *args, const float *g, float *m, float *v, float *w)
{
    double rate1 = (double)args->rate1, rate2 = (double)args->rate2;
    for (size_t i = 0; i < n; i++) {
        double gi = (double)g[i], mi = (double)m[i], vi = (double)v[i], wi = (double)w[i];
        wi -= wi * (double)args->decay;
        mi += (gi - mi) * rate1;
        vi += (gi * gi - vi) * rate2;
        wi -= (double)args->step_size * mi / (sqrt(vi) + (double)args->epsilon);
        m[i] = (float)mi;
        v[i] = (float)vi;
        w[i] = (float)wi;
    }
}

void cnnbn__ref_sgd(size_t n, const cnnbn_sgd *args, const float *g, float *m, float *w)
{
    double mu = (double)args->momentum, lr = (double)args->lr;
    int has_momentum = args->momentum > 0 || args->momentum < 0;
    for (size_t i = 0; i < n; i++) {
        double wi = (double)w[i], step = -lr * ((double)g[i] + (double)args->coupled * wi);
        wi -= wi * (double)args->decay;
        if (has_momentum) {
            double mi = mu * (double)m[i] + step;
            m[i] = (float)mi;
            step = args->nesterov ? mu * mi + step : mi;
        }
        w[i] = (float)(wi + step);
    }
}

void cnnbn__ref_rmsprop(size_t n, const cnnbn_rmsprop *args, const float *g, float *v, float *m, float *w)
{
    int has_momentum = args->momentum > 0 || args->momentum < 0;
    for (size_t i = 0; i < n; i++) {
        double gi = (double)g[i], wi = (double)w[i];
        double vi = (double)args->rho * (double)v[i] + (double)args->rate * gi * gi;
        double step = (double)args->lr * gi / sqrt(vi + (double)args->epsilon);
        v[i] = (float)vi;
        if (has_momentum) {
            step += (double)args->momentum * (double)m[i];
            m[i] = (float)step;
        }
        w[i] = (float)(wi - wi * (double)args->decay - step);
    }
}

void cnnbn__ref_lamb(size_t n, const cnnbn_lamb *args, float *g, float *m, float *v, float *w)
{
    for (size_t i = 0; i < n; i++) {
        double gi = (double)g[i], mi = (double)m[i], vi = (double)v[i], wi = (double)w[i];
        mi += (gi - mi) * (double)args->rate1;
        vi += (gi * gi - vi) * (double)args->rate2;
        m[i] = (float)mi;
        v[i] = (float)vi;
        w[i] = (float)(wi - wi * (double)args->decay);
        g[i] = (float)(mi * (double)args->correct1 / (sqrt(vi * (double)args->correct2) + (double)args->epsilon));
    }
}

float cnnbn__ref_abs_max(size_t n, const float *x)
{
    float most = 0;
    for (size_t i = 0; i < n && !isnan(most); i++)
        if (!(fabsf(x[i]) <= most)) most = fabsf(x[i]);
    return most;
}

void cnnbn__ref_lerp(size_t n, float t, const float *x, float *y)
{
    for (size_t i = 0; i < n; i++) y[i] = (float)((double)y[i] + (double)t * ((double)x[i] - (double)y[i]));
}
