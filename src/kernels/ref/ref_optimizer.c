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
        double step = -lr * (double)g[i], wi = (double)w[i];
        wi -= wi * (double)args->decay;
        if (has_momentum) {
            double mi = mu * (double)m[i] + step;
            m[i] = (float)mi;
            step = args->nesterov ? mu * mi + step : mi;
        }
        w[i] = (float)(wi + step);
    }
}
