/* net: the weights that a run starts with: bounds, mean and variance of each initialiser. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "cnnbn/comm.h"
#include "cnnbn/net.h"

enum { IN = 120, OUT = 80 };

/* Standard deviation of a normal cut at two sigma, over sigma; kurtosis of that, of a uniform and of a normal distribution. */
static const double cut = 0.87962566103423978, kurtosis_cut = 2.368, kurtosis_uniform = 1.8, kurtosis_normal = 3;

/* Weights are rounded to floats: each product of two unit vectors is off by 1e-7. */
static const double orthogonal_tolerance = 5e-7;

static cnnbn_comm *self;

/* The kernel of a dense layer. */
static void start(const char *initializer, uint64_t seed, float w[IN * OUT])
{
    char text[300];
    cnnbn_model *model = NULL;
    cnnbn_net *net = NULL;
    (void)snprintf(text, sizeof text, "input: [%d]\nlayers:\n- Dense: {units: %d, kernel_initializer: %s}", IN, OUT,
                   initializer);
    check_ok(cnnbn_model_from_text(text, strlen(text), "test", NULL, &model));
    cnnbn_net_config config = {.comm = self, .slices = 1, .batch_size = 1, .threads = 1, .inference_only = 1};
    check_ok(cnnbn_kernels_get("auto", &config.kernels));
    check_ok(cnnbn_net_create(model, &config, &net));
    cnnbn_net_init(net, seed);
    memcpy(w, cnnbn_net_param(net, 0), sizeof(float) * IN * OUT);
    cnnbn_net_destroy(net);
    cnnbn_model_destroy(model);
}

/* Five standard deviations of the mean and of the variance; bounds that are kept and come near. */
static void check_start(const char *initializer, double mean, double variance, double kurtosis, double bound)
{
    static float w[IN * OUT];
    const double n = IN * OUT;
    double sum = 0, squares = 0, most = 0;
    start(initializer, 3, w);
    for (int i = 0; i < IN * OUT; i++) sum += (double)w[i] / n;
    for (int i = 0; i < IN * OUT; i++) {
        squares += pow((double)w[i] - mean, 2) / n;
        most = fmax(most, fabs((double)w[i] - mean));
    }
    check_near(initializer, sum, mean, 5 * sqrt(variance / n));
    check_near(initializer, squares, variance, 5 * variance * sqrt((kurtosis - 1) / n));
    if (most > bound * (1 + 1e-6) || (isfinite(bound) && most < 0.95 * bound))
        fail_msg("%s: up to %g, expected %g", initializer, most, bound);
}

static void uniform_of(const char *initializer, double variance)
{
    check_start(initializer, 0, variance, kurtosis_uniform, sqrt(3 * variance));
}

static void cut_of(const char *initializer, double variance)
{
    check_start(initializer, 0, variance, kurtosis_cut, 2 * sqrt(variance) / cut);
}

static void initialisers(void **state)
{
    (void)state;
    uniform_of("glorot_uniform", 2.0 / (IN + OUT));
    cut_of("glorot_normal", 2.0 / (IN + OUT));
    uniform_of("he_uniform", 2.0 / IN);
    cut_of("he_normal", 2.0 / IN);
    uniform_of("lecun_uniform", 1.0 / IN);
    cut_of("lecun_normal", 1.0 / IN);
#define SCALED(scale, mode, distribution) \
    "{class_name: VarianceScaling, config: {scale: " scale ", mode: " mode ", distribution: " distribution "}}"
    uniform_of(SCALED("0.5", "fan_in", "uniform"), 0.5 / IN);
    uniform_of(SCALED("3", "fan_out", "uniform"), 3.0 / OUT);
    cut_of(SCALED("2", "fan_out", "truncated_normal"), 2.0 / OUT);
    cut_of(SCALED("2", "fan_out", "normal"), 2.0 / OUT);
    cut_of(SCALED("4", "fan_avg", "truncated_normal"), 8.0 / (IN + OUT));
    check_start(SCALED("1", "fan_in", "untruncated_normal"), 0, 1.0 / IN, kurtosis_normal, INFINITY);
    cut_of("{class_name: VarianceScaling, config: {}}", 1.0 / IN);
#undef SCALED
    check_start("{class_name: RandomNormal, config: {mean: 2, stddev: 3}}", 2, 9, kurtosis_normal, INFINITY);
    check_start("{class_name: RandomUniform, config: {minval: -1, maxval: 3}}", 1, 16.0 / 12, kurtosis_uniform, 2);
    check_start("{class_name: TruncatedNormal, config: {mean: 1, stddev: 0.5}}", 1, 0.25 * cut * cut, kurtosis_cut, 1);
}

/* Of a model's only weight with that initialiser; Gram matrix of its shorter side. */
static void check_orthogonal(const char *layer, size_t rows, size_t cols, double gain)
{
    char text[300];
    cnnbn_model *model = NULL;
    cnnbn_net *net[2];
    (void)snprintf(text, sizeof text, "input: [6, 5, 9]\nlayers:\n%s\n- Flatten", layer);
    check_ok(cnnbn_model_from_text(text, strlen(text), "test", NULL, &model));
    cnnbn_net_config config = {.comm = self, .slices = 1, .batch_size = 1, .inference_only = 1};
    check_ok(cnnbn_kernels_get("auto", &config.kernels));
    for (int k = 0; k < 2; k++) {
        config.threads = 1 + k;
        check_ok(cnnbn_net_create(model, &config, &net[k]));
        cnnbn_net_init(net[k], 3);
    }
    int i = 0;
    while (model->params[i].init.kind != CNNBN_INIT_ORTHOGONAL) i++;
    assert_int_equal(model->params[i].count, rows * cols);
    const float *w = cnnbn_net_param(net[0], i);
    check_same_bits("two threads", cnnbn_net_param(net[1], i), w, rows * cols * sizeof *w);
    size_t n = rows < cols ? rows : cols, length = rows < cols ? cols : rows;
    size_t step = rows < cols ? cols : 1, along = rows < cols ? 1 : cols;
    double corner = 0;
    for (size_t a = 0; a < n; a++)
        for (size_t b = 0; b <= a; b++) {
            double sum = 0;
            for (size_t k = 0; k < length; k++)
                sum += (double)w[a * step + k * along] * (double)w[b * step + k * along];
            check_near(layer, sum, a == b ? gain * gain : 0, orthogonal_tolerance * gain * gain);
        }
    for (size_t k = 0; k < length; k++) corner = fmax(corner, fabs((double)w[k * along]));
    assert_true(corner < 0.999 * fabs(gain)); /* no axis: the draws count */
    for (int k = 0; k < 2; k++) cnnbn_net_destroy(net[k]);
    cnnbn_model_destroy(model);
}

static void orthogonal_and_identity(void **state)
{
    (void)state;
    check_orthogonal("- Conv2D: {filters: 12, kernel_size: 3, kernel_initializer: orthogonal}", 81, 12, 1);
    check_orthogonal("- Conv2D: {filters: 50, kernel_size: [2, 1], kernel_initializer: {class_name: "
                     "OrthogonalInitializer, config: {gain: 2.5, seed: 3}}}",
                     18, 50, 2.5);
    check_orthogonal("- Flatten\n- Dense: {units: 270, kernel_initializer: Orthogonal}", 270, 270, 1);
    check_orthogonal("- Flatten\n- Dense: {units: 265, kernel_initializer: {class_name: orthogonal, config: {gain: "
                     "-0.5}}}",
                     270, 265, -0.5);
    static float w[IN * OUT];
    start("{class_name: IdentityInitializer, config: {gain: 3}}", 1, w);
    for (int i = 0; i < IN * OUT; i++)
        if (w[i] < (i / OUT == i % OUT ? 3 : 0) || w[i] > (i / OUT == i % OUT ? 3 : 0))
            fail_msg("identity: %g at row %d, column %d", (double)w[i], i / OUT, i % OUT);
    start("identity", 1, w);
    check_near("identity without a gain", (double)w[OUT + 1], 1, 0);
}

/* Members of the family under its name start with the same bits as under their own. */
static void members_by_both_names(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"glorot_uniform", "{scale: 1, mode: fan_avg, distribution: uniform}"},
        {"glorot_normal", "{scale: 1, mode: fan_avg, distribution: truncated_normal}"},
        {"he_uniform", "{scale: 2, mode: fan_in, distribution: uniform}"},
        {"he_normal", "{scale: 2, mode: fan_in, distribution: truncated_normal}"},
        {"lecun_uniform", "{scale: 1, distribution: uniform}"},
        {"lecun_normal", "{mode: fan_in}"},
    };
    static float a[IN * OUT], b[IN * OUT];
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        char text[120];
        (void)snprintf(text, sizeof text, "{class_name: VarianceScaling, config: %s}", pairs[k][1]);
        start(pairs[k][0], 7, a);
        start(text, 7, b);
        check_same_bits(pairs[k][0], a, b, sizeof a);
        start(text, 8, b);
        assert_memory_not_equal(a, b, sizeof a);
    }
}

int main(void)
{
    cnnbn_blas_init();
    check_ok(cnnbn_comm_self(&self));
    const struct CMUnitTest tests[] = {cmocka_unit_test(initialisers), cmocka_unit_test(orthogonal_and_identity),
                                       cmocka_unit_test(members_by_both_names)};
    return cmocka_run_group_tests_name("net_init", tests, NULL, NULL);
}
