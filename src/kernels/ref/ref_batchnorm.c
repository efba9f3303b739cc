#include "ref.h"
#include "stack.h"

/* Doubles straight into the stack: sums about `shift` of 1e8 magnitudes beside 1e-8 still keep 1e-8 of the variance. */
void cnnbn__ref_bn_stats(const cnnbn_run *run, int positions, int C, const float *x, const float *shift, double *stat,
                         size_t stat_stride)
{
    size_t n_channels = (size_t)C, per_sample = (size_t)positions;
    int height = 0;
    for (int s = 0; s < run->n_slices; s++) {
        double *sum = stat + (size_t)height * stat_stride, *squares = sum + n_channels;
        for (size_t c = 0; c < 2 * n_channels; c++) sum[c] = 0;
        for (size_t i = (size_t)run->bounds[s] * per_sample; i < (size_t)run->bounds[s + 1] * per_sample; i++) {
            for (size_t c = 0; c < n_channels; c++) {
                double d = (double)x[i * n_channels + c] - (double)shift[c];
                sum[c] += d;
                squares[c] += d * d;
            }
        }
        height = cnnbn__stack_push_f64(run, s, height, 2 * n_channels, stat, stat_stride);
    }
}

void cnnbn__ref_bn_apply(size_t rows, int C, const float *x, const cnnbn_prologue *in, const float *add, float *y)
{
    size_t n_channels = (size_t)C;
    for (size_t i = 0; i < rows * n_channels; i++) {
        double u = cnnbn__ref_affine(in, i % n_channels, x[i]);
        y[i] = (float)cnnbn__ref_act(in->act, add ? u + (double)add[i] : u);
    }
}

/* g = dz * act'(u) */
static double gradient_of_u(const cnnbn_prologue *in, size_t c, float dz, float x)
{
    return (double)dz * cnnbn__ref_act_slope(in->act, cnnbn__ref_affine(in, c, x));
}

static double centred(const cnnbn_prologue *in, size_t c, float x)
{
    return (double)x - (in->mean ? (double)in->mean[c] : 0);
}

void cnnbn__ref_bn_bwd_sums(const cnnbn_run *run, int positions, int C, const float *dz, const float *x,
                            const cnnbn_prologue *in, double *sums, size_t sums_stride)
{
    size_t n_channels = (size_t)C, per_sample = (size_t)positions;
    int height = 0;
    for (int s = 0; s < run->n_slices; s++) {
        double *sum_g = sums + (size_t)height * sums_stride, *sum_gx = sum_g + n_channels;
        for (size_t c = 0; c < 2 * n_channels; c++) sum_g[c] = 0;
        for (size_t i = (size_t)run->bounds[s] * per_sample; i < (size_t)run->bounds[s + 1] * per_sample; i++) {
            for (size_t c = 0; c < n_channels; c++) {
                float xi = x[i * n_channels + c];
                double g = gradient_of_u(in, c, dz[i * n_channels + c], xi);
                sum_g[c] += g;
                sum_gx[c] += g * centred(in, c, xi);
            }
        }
        height = cnnbn__stack_push_f64(run, s, height, 2 * n_channels, sums, sums_stride);
    }
}

/* dx = pre'(x) * (a g + b (x - mean) + c0): with a = gamma/std, b = -a*mean(g xhat)/std and c0 = -a*mean(g) this is
 * equation 3 of Ioffe, Szegedy: Batch normalization, 2015, gathered by powers of x. */
void cnnbn__ref_bn_bwd_apply(size_t rows, int C, const float *dz, const float *x, const cnnbn_prologue *in,
                             const float *a, const float *b, const float *c0, cnnbn_activation pre, float *dx)
{
    size_t n_channels = (size_t)C;
    for (size_t i = 0; i < rows * n_channels; i++) {
        size_t c = i % n_channels;
        double g = gradient_of_u(in, c, dz[i], x[i]);
        double d = (double)a[c] * g + (double)b[c] * centred(in, c, x[i]) + (double)c0[c];
        dx[i] = (float)(cnnbn__ref_act_slope_from_output(pre, (double)x[i]) * d);
    }
}
