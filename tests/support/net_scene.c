#include "net_scene.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "cnnbn/comm.h"

/* A product of two floats divided by one of them, times what lies between. */
static const double image_tolerance = 2e-6;

scene scene_of(const char *layers, int H, int W, int C, const cnnbn_augment *augment, uint64_t seed)
{
    static cnnbn_comm *comm;
    char text[600];
    scene s;
    if (!comm) check_ok(cnnbn_comm_self(&comm));
    (void)snprintf(text, sizeof text,
                   "input: [%d, %d, %d]\nlayers:\n%s- Flatten\n- Dense: {units: 2, activation: softmax}", H, W, C,
                   layers);
    check_ok(cnnbn_model_from_text(text, strlen(text), "test", NULL, &s.model));
    cnnbn_net_config config = {
        .comm = comm, .slices = 1, .batch_size = 1, .threads = 1, .seed = seed, .optimizer = {.kind = CNNBN_SGD}};
    if (augment) config.augment = *augment;
    check_ok(cnnbn_kernels_get("auto", &config.kernels));
    check_ok(cnnbn_net_create(s.model, &config, &s.net)); /* weights are 0 and stay so: the rate is 0 */
    s.n = (int)s.model->params[0].count / 2;
    assert_true(s.n <= PIXELS_MAX);
    return s;
}

void scene_end(scene *s)
{
    cnnbn_net_destroy(s->net);
    cnnbn_model_destroy(s->model);
}

void see_mixed(const scene *s, const float *x, uint64_t id, uint64_t epoch, const float *partner, uint64_t partner_id,
               float weight, float *y)
{
    const void *images[1] = {x}, *partners[1] = {partner};
    const int32_t labels[1] = {1};
    const double flags[4] = {0};
    cnnbn_batch batch = {.n_global = 1,
                         .n_local = 1,
                         .images = images,
                         .targets = {.labels = labels},
                         .ids = &id,
                         .epoch = epoch,
                         .partners = partner ? partners : NULL,
                         .partner_ids = &partner_id,
                         .weights = &weight};
    cnnbn_step_result result;
    check_ok(cnnbn_net_train_step(s->net, &batch, flags, &result));
    const float *kernel = cnnbn_net_grad(s->net, 0), *bias = cnnbn_net_grad(s->net, 1);
    for (int f = 0; f < s->n; f++) y[f] = kernel[2 * f] / bias[0];
}

void see(const scene *s, const float *x, uint64_t id, uint64_t epoch, float *y)
{
    see_mixed(s, x, id, epoch, NULL, 0, 0, y);
}

int same_image(const float *a, const float *b, int n)
{
    for (int i = 0; i < n; i++)
        if (!(fabs((double)a[i] - (double)b[i]) <= image_tolerance * fmax(1, fabs((double)b[i])))) return 0;
    return 1;
}

void ramp(float *x, int n)
{
    for (int i = 0; i < n; i++) x[i] = 1 + (float)((i * 37) % 101) / 16;
}

void coordinates(float *x)
{
    for (int i = 0; i < SIDE * SIDE; i++) {
        x[2 * i] = (float)(i % SIDE);
        x[2 * i + 1] = (float)(i / SIDE);
    }
}

const float *pixel(const float *y, int p, int q)
{
    return y + 2 * (p * SIDE + q);
}
