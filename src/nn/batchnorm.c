/* Batch normalisation between two levels: from the sums over the global batch to what is applied.
 *
 * Ioffe, Szegedy: Batch Normalization, 2015; statistics over all ranks. z = gamma*(x - mu)/sqrt(var + eps) + beta with the biased
 * variance. The sums are S1 = sum(x - K), S2 = sum((x - K)^2), K the moving mean, equal on all ranks; in double, so that
 * mean/std of 1e4 costs eight of sixteen digits and not all of seven.
 */
#include <math.h>

#include "ir.h"

cnnbn_prologue cnnbn__bn_prologue(const bn_state *bn)
{
    cnnbn_prologue p = {bn->mean, bn->scale, bn->shift, bn->C, {CNNBN_ACT_LINEAR, 0, 0, 0}};
    return p;
}

static float *param(cnnbn_net *net, int i)
{
    return i < 0 ? NULL : cnnbn_net_param(net, i);
}

/* (x - mean_f)*scale + shift equals (x - mean)*scale + beta: the float mean's rounding goes into the shift. */
static void set_affine(bn_state *bn, int c, double mean, double inv_std, double gamma, double beta)
{
    double scale = gamma * inv_std;
    bn->mean[c] = (float)mean;
    bn->mean_error[c] = (double)bn->mean[c] - mean;
    bn->inv_std[c] = inv_std;
    bn->scale[c] = (float)scale;
    bn->shift[c] = (float)(beta + bn->mean_error[c] * scale);
}

void cnnbn__bn_after_stats(cnnbn_net *net, bn_state *bn, const double *sums, double count)
{
    const float *gamma = param(net, bn->gamma), *beta = param(net, bn->beta);
    double correction = bn->unbiased && count > 1 ? count / (count - 1) : 1;
    for (int c = 0; c < bn->C; c++) {
        double about = sums[c] / count; /* mean - K */
        double mean = (double)bn->stat_shift[c] + about;
        double var = sums[bn->C + c] / count - about * about;
        if (var < 0) var = 0;
        set_affine(bn, c, mean, 1 / sqrt(var + bn->epsilon), gamma ? (double)gamma[c] : 1, beta ? (double)beta[c] : 0);
        bn->batch_mean[c] = mean;
        bn->batch_var[c] = var * correction;
    }
    bn->has_batch = 1;
}

/* Not before the loss is known to be finite: a step that fails changes nothing. Nor while the moving mean is the shift of sums under
 * way: a layer that is called twice has one moving mean. */
void cnnbn__bn_update_moving(cnnbn_net *net)
{
    for (int b = 0; b < net->n_bns; b++) {
        const bn_state *bn = &net->bns[b];
        if (!bn->has_batch) continue;
        float *moving_mean = param(net, bn->moving_mean), *moving_variance = param(net, bn->moving_variance);
        double keep = bn->momentum;
        for (int c = 0; c < bn->C; c++) {
            moving_mean[c] = (float)(keep * (double)moving_mean[c] + (1 - keep) * bn->batch_mean[c]);
            moving_variance[c] = (float)(keep * (double)moving_variance[c] + (1 - keep) * bn->batch_var[c]);
        }
    }
}

/* dx = scale*(g - sum(g)/M - xhat*sum(g*xhat)/M), dgamma = sum(g*xhat), dbeta = sum(g), M the global count. */
void cnnbn__bn_after_sums(cnnbn_net *net, bn_state *bn, const double *sums, double count)
{
    float *dgamma = bn->gamma >= 0 ? net->grads + bn->gamma_grad : NULL;
    float *dbeta = bn->beta >= 0 ? net->grads + bn->beta_grad : NULL;
    for (int c = 0; c < bn->C; c++) {
        double sum_g = sums[c];
        double sum_gx = (sums[bn->C + c] + sum_g * bn->mean_error[c]) * bn->inv_std[c];
        double scale = (double)bn->scale[c], slope = -scale * bn->inv_std[c] * sum_gx / count;
        bn->a[c] = bn->scale[c];
        bn->b[c] = (float)slope;
        bn->c0[c] = (float)(-scale * sum_g / count + slope * bn->mean_error[c]);
        if (dgamma) dgamma[c] = (float)sum_gx;
        if (dbeta) dbeta[c] = (float)sum_g;
    }
}

void cnnbn__bn_use_moving(cnnbn_net *net, bn_state *bn)
{
    const float *gamma = param(net, bn->gamma), *beta = param(net, bn->beta);
    const float *mean = param(net, bn->moving_mean), *variance = param(net, bn->moving_variance);
    for (int c = 0; c < bn->C; c++) {
        set_affine(bn, c, (double)mean[c], 1 / sqrt((double)variance[c] + bn->epsilon), gamma ? (double)gamma[c] : 1,
                   beta ? (double)beta[c] : 0);
        bn->a[c] = bn->scale[c];
        bn->b[c] = bn->c0[c] = 0;
    }
}
