/* net: layers that are random in training: the gradient is that of the loss with the masks and noise drawn, inference is
 * without them, and neither depends on the number of threads. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "cnnbn/comm.h"
#include "cnnbn/net.h"

enum { N = 6, PIXELS = 5 * 4 * 2 };

/* Central differences of a loss from float logits: 1e-7 of the loss over a step of 2e-2, and the step's own square. */
static const double difference_tolerance = 2e-3;

static const char with[] = "input: [5, 4, 2]\nlayers:\n- Conv2D: {filters: 6, kernel_size: 2, padding: same}\n"
                           "- SpatialDropout2D: {rate: 0.4}\n- Dropout: {rate: 0.3, noise_shape: [null, 1, 1, 1]}\n- "
                           "GaussianNoise: {stddev: 0.3}\n"
                           "- Conv2D: {filters: 3, kernel_size: 2, activation: tanh}\n- GaussianNoise: {stddev: 0.2}\n"
                           "- Flatten\n- Dense: {units: 4, activation: softmax}";
static const char without[] = "input: [5, 4, 2]\nlayers:\n- Conv2D: {filters: 6, kernel_size: 2, padding: same}\n"
                              "- Conv2D: {filters: 3, kernel_size: 2, activation: tanh}\n"
                              "- Flatten\n- Dense: {units: 4, activation: softmax}";

static const char with_images[] =
    "input: [5, 4, 2]\nlayers:\n- Conv2D: {filters: 6, kernel_size: 2, padding: same}\n- RandomFlip\n"
    "- RandomTranslation: {height_factor: 0.3, width_factor: 0.2, fill_mode: wrap}\n"
    "- RandomContrast: {factor: 0.6, value_range: [-9, 9]}\n"
    "- Conv2D: {filters: 3, kernel_size: 2, activation: tanh}\n- RandomRotation: {factor: 0.2}\n"
    "- RandomFlip: {mode: vertical}\n- Flatten\n- Dense: {units: 4, activation: softmax}";
static const char with_crop[] =
    "input: [5, 4, 2]\nlayers:\n- Conv2D: {filters: 6, kernel_size: 2, padding: same}\n"
    "- RandomCrop: {height: 3, width: 3}\n- Flatten\n- Dense: {units: 4, activation: softmax}";

static float pixels[N][PIXELS];
static const void *images[N];

static cnnbn_model *model_of(const char *text)
{
    cnnbn_model *model = NULL;
    check_ok(cnnbn_model_from_text(text, strlen(text), "test", NULL, &model));
    return model;
}

static cnnbn_net *net_of(const cnnbn_model *model, int threads)
{
    static cnnbn_comm *comm;
    if (!comm) check_ok(cnnbn_comm_self(&comm));
    cnnbn_net_config config = {.comm = comm,
                               .slices = 4,
                               .batch_size = N,
                               .threads = threads,
                               .seed = 5,
                               .optimizer = {.kind = CNNBN_SGD}}; /* a rate of zero: a step changes nothing */
    check_ok(cnnbn_kernels_get("auto", &config.kernels));
    cnnbn_net *net = NULL;
    check_ok(cnnbn_net_create(model, &config, &net));
    cnnbn_net_init(net, 3);
    return net;
}

static double loss_of(cnnbn_net *net, uint64_t epoch)
{
    static const int32_t labels[N] = {0, 1, 2, 3, 0, 1};
    static const uint64_t ids[N] = {7, 3, 100, 4, 5, 6};
    const double flags[4] = {0};
    const cnnbn_batch batch = {
        .n_global = N, .n_local = N, .images = images, .targets = {.labels = labels}, .ids = ids, .epoch = epoch};
    cnnbn_step_result result;
    check_ok(cnnbn_net_train_step(net, &batch, flags, &result));
    return result.loss;
}

static void check_gradients(const char *text)
{
    cnnbn_model *model = model_of(text);
    cnnbn_net *net = net_of(model, 1), *two = net_of(model, 2);
    double loss = loss_of(net, 1), other = loss_of(net, 2);
    assert_true(fabs(loss - other) > 1e-6); /* another epoch draws anew */
    double again = loss_of(net, 1), threads = loss_of(two, 1);
    check_same_bits("the same epoch", &again, &loss, sizeof loss);
    check_same_bits("two threads", &threads, &loss, sizeof loss);
    static float direction[1000], gradient[1000], kept[1000];
    for (int i = 0; i < model->n_params; i++) {
        size_t n = model->params[i].count;
        float *w = cnnbn_net_param(net, i);
        (void)loss_of(net, 1);
        memcpy(gradient, cnnbn_net_grad(net, i), n * sizeof *gradient);
        check_same_bits("gradient with two threads", cnnbn_net_grad(two, i), gradient, n * sizeof *gradient);
        fill_random(direction, n, 11 + (uint64_t)i);
        memcpy(kept, w, n * sizeof *kept);
        double expected = 0, h = 1e-2, side[2];
        for (size_t k = 0; k < n; k++) expected += (double)gradient[k] * (double)direction[k];
        for (int s = 0; s < 2; s++) {
            float step = (float)(s ? -h : h);
            for (size_t k = 0; k < n; k++) w[k] = kept[k] + step * direction[k];
            side[s] = loss_of(net, 1);
            memcpy(w, kept, n * sizeof *kept);
        }
        check_near(model->params[i].name, (side[0] - side[1]) / (2 * h), expected, difference_tolerance);
    }
    cnnbn_net_destroy(net);
    cnnbn_net_destroy(two);
    cnnbn_model_destroy(model);
}

static void gradients_are_of_the_loss_drawn(void **state)
{
    (void)state;
    check_gradients(with);
    check_gradients(with_images);
    check_gradients(with_crop);
}

static void check_inference(const char *random)
{
    cnnbn_model *a = model_of(random), *b = model_of(without);
    cnnbn_net *x = net_of(a, 1), *y = net_of(b, 1);
    for (int i = 0; i < a->n_params; i++)
        memcpy(cnnbn_net_param(y, i), cnnbn_net_param(x, i), a->params[i].count * sizeof(float));
    float p[N][4], q[N][4];
    cnnbn_net_infer(x, N, images, NULL, NULL, p[0]);
    cnnbn_net_infer(y, N, images, NULL, NULL, q[0]);
    check_same_bits("probabilities", p, q, sizeof p);
    cnnbn_net_destroy(x);
    cnnbn_net_destroy(y);
    cnnbn_model_destroy(a);
    cnnbn_model_destroy(b);
}

static void inference_is_without(void **state)
{
    (void)state;
    check_inference(with);
    check_inference(with_images);
}

int main(void)
{
    for (int i = 0; i < N; i++) {
        fill_random(pixels[i], PIXELS, (uint64_t)i);
        images[i] = pixels[i];
    }
    cnnbn_blas_init();
    const struct CMUnitTest tests[] = {cmocka_unit_test(gradients_are_of_the_loss_drawn),
                                       cmocka_unit_test(inference_is_without)};
    return cmocka_run_group_tests_name("net_random", tests, NULL, NULL);
}
