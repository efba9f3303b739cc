/* net: what augmentation makes of an image, by layers and by options of the run. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "net_scene.h"

/* Within five standard deviations of a binomial count. */
static void check_share(const char *what, int count, int of, double p)
{
    if (fabs(count - of * p) > 5 * sqrt(of * p * (1 - p))) fail_msg("%s: %d of %d, expected %g", what, count, of, p);
}

/* ---------------------------------------------------------------- flips and crops */

enum { FH = 3, FW = 4, FC = 2, FN = FH * FW * FC };

static void flipped(const float *x, int horizontal, int vertical, float *y)
{
    for (int h = 0; h < FH; h++)
        for (int w = 0; w < FW; w++)
            for (int c = 0; c < FC; c++)
                y[(h * FW + w) * FC + c] =
                    x[((vertical ? FH - 1 - h : h) * FW + (horizontal ? FW - 1 - w : w)) * FC + c];
}

/* Which of the four, and that it is one of them. */
static int which_flip(const float *x, const float *seen)
{
    float y[FN];
    for (int k = 0; k < 4; k++) {
        flipped(x, k & 1, k >> 1, y);
        if (same_image(seen, y, FN)) return k;
    }
    fail_msg("neither the image nor one of its flips");
    return -1;
}

static void check_flips(const char *layers, const cnnbn_augment *augment, const double share[4])
{
    enum { SAMPLES = 600 };
    int count[4] = {0}, changed = 0;
    float x[FN], y[FN];
    ramp(x, FN);
    scene s = scene_of(layers, FH, FW, FC, augment, 3), other = scene_of(layers, FH, FW, FC, augment, 4);
    for (uint64_t id = 0; id < SAMPLES; id++) {
        see(&s, x, id, 0, y);
        int first = which_flip(x, y);
        count[first]++;
        see(&s, x, id, 1, y);
        changed += which_flip(x, y) != first;
        see(&s, x, id, 0, y);
        assert_int_equal(which_flip(x, y), first);
        see(&other, x, id, 0, y);
        changed += which_flip(x, y) != first;
    }
    double repeated = 0; /* two draws agree */
    for (int k = 0; k < 4; k++) {
        check_share("flips", count[k], SAMPLES, share[k]);
        repeated += share[k] * share[k];
    }
    check_share("changed by epoch or seed", changed, 2 * SAMPLES, 1 - repeated);
    scene_end(&s);
    scene_end(&other);
}

static void flips(void **state)
{
    (void)state;
    const double half_h[4] = {0.5, 0.5, 0, 0}, half_v[4] = {0.5, 0, 0.5, 0}, all[4] = {0.25, 0.25, 0.25, 0.25};
    const cnnbn_augment across = {.flip_horizontal = 1}, both = {.flip_horizontal = 1, .flip_vertical = 1};
    check_flips("- RandomFlip: {mode: horizontal}\n", NULL, half_h);
    check_flips("- RandomFlip: {mode: vertical}\n", NULL, half_v);
    check_flips("- RandomFlip\n", NULL, all);
    /* two layers, and an option in front of a layer, draw on their own: else they would undo each other */
    check_flips("- RandomFlip: {mode: horizontal}\n- RandomFlip: {mode: horizontal}\n", NULL, half_h);
    check_flips("", &across, half_h);
    check_flips("", &both, all);
    check_flips("- RandomFlip: {mode: horizontal}\n", &across, half_h);
}

/* Every window as often as every other one; `fill` outside of the image. */
static void check_windows(const char *layers, const cnnbn_augment *augment, int low, int high, int P, int Q)
{
    enum { SAMPLES = 900 };
    int count[10][10] = {{0}}, places = high - low + 1;
    float x[FN], y[FN];
    ramp(x, FN);
    scene s = scene_of(layers, FH, FW, FC, augment, 3);
    for (uint64_t id = 0; id < SAMPLES; id++) {
        int found = 0;
        see(&s, x, id, 0, y);
        for (int top = low; top <= high; top++)
            for (int left = low; left <= high && !found; left++) {
                float window[FN];
                for (int i = 0; i < P * Q * FC; i++) {
                    int h = i / (Q * FC) + top, w = i / FC % Q + left;
                    window[i] = h < 0 || h >= FH || w < 0 || w >= FW ? 0 : x[(h * FW + w) * FC + i % FC];
                }
                found = same_image(y, window, P * Q * FC);
                count[top - low][left - low] += found;
            }
        assert_true(found);
    }
    for (int t = 0; t < places; t++)
        for (int l = 0; l < places; l++) check_share("windows", count[t][l], SAMPLES, 1.0 / (places * places));
    scene_end(&s);
}

static void crops(void **state)
{
    (void)state;
    const cnnbn_augment by_one = {.crop_pad = 1};
    check_windows("- RandomCrop: {height: 2, width: 3}\n", NULL, 0, 1, 2, 3);
    check_windows("", &by_one, -1, 1, FH, FW);
}

/* ---------------------------------------------------------------- maps and contrast */

/* Mean and variance of a uniform distribution, and that its bounds are kept. */
static void check_uniform(const char *what, const double *v, int n, double low, double high)
{
    double mean = 0, variance = 0, middle = (low + high) / 2, expected = (high - low) * (high - low) / 12;
    for (int i = 0; i < n; i++) {
        if (!(v[i] >= low - 1e-5 && v[i] <= high + 1e-5)) fail_msg("%s: %g is not in [%g, %g]", what, v[i], low, high);
        mean += v[i] / n;
        variance += (v[i] - middle) * (v[i] - middle) / n;
    }
    check_near(what, mean, middle, 5 * sqrt(expected / n));
    check_near(what, variance, expected, 5 * expected * sqrt(0.8 / n)); /* kurtosis 1.8 */
}

enum { DRAWS = 400 };

static void check_translation(const char *layers, const cnnbn_augment *augment, const double down[2],
                              const double right[2])
{
    double found[2][DRAWS];
    float x[SIDE * SIDE * 2], y[SIDE * SIDE * 2];
    coordinates(x);
    scene s = scene_of(layers, SIDE, SIDE, 2, augment, 8);
    for (int i = 0; i < DRAWS; i++) {
        see(&s, x, (uint64_t)i, 0, y);
        const float *centre = pixel(y, 3, 3);
        found[0][i] = (3 - (double)centre[1]) / SIDE;
        found[1][i] = (3 - (double)centre[0]) / SIDE;
    }
    check_uniform("down", found[0], DRAWS, down[0], down[1]);
    check_uniform("to the right", found[1], DRAWS, right[0], right[1]);
    scene_end(&s);
}

/* Seen from the centre, the pixel to the right comes from (cos, sin) times its distance, the one below from (-sin, cos). */
static void check_rotation(const char *layers, const cnnbn_augment *augment, const double turn[2])
{
    double found[DRAWS];
    float x[SIDE * SIDE * 2], y[SIDE * SIDE * 2];
    coordinates(x);
    scene s = scene_of(layers, SIDE, SIDE, 2, augment, 8);
    for (int i = 0; i < DRAWS; i++) {
        see(&s, x, (uint64_t)i, 0, y);
        const float *centre = pixel(y, 3, 3), *right = pixel(y, 3, 5), *below = pixel(y, 5, 3);
        check_near("centre", (double)centre[0], 3, 1e-5);
        check_near("centre", (double)centre[1], 3, 1e-5);
        double a = atan2((double)right[1] - 3, (double)right[0] - 3);
        check_near("angle of the pixel below", (3 - (double)below[0]) / 2, sin(a), 1e-5);
        check_near("length", hypot((double)right[1] - 3, (double)right[0] - 3), 2, 1e-5);
        found[i] = a / 6.283185307179586;
    }
    check_uniform("turns", found, DRAWS, turn[0], turn[1]);
    scene_end(&s);
}

static void maps(void **state)
{
    (void)state;
    const double quarter[2] = {-0.25, 0.25}, some[2] = {0.05, 0.4}, tenth[2] = {-0.1, 0.1};
    const cnnbn_augment moves = {.translation = 0.25}, turns = {.rotation = 0.1};
    check_translation("- RandomTranslation: {height_factor: 0.25, width_factor: [0.05, 0.4]}\n", NULL, quarter, some);
    check_translation("", &moves, quarter, quarter);
    check_rotation("- RandomRotation: {factor: 0.1}\n", NULL, tenth);
    check_rotation("- RandomRotation: {factor: [0.05, 0.4]}\n", NULL, some);
    check_rotation("", &turns, tenth);
}

static void check_contrast(const char *layers, const cnnbn_augment *augment, double low, double high)
{
    double found[DRAWS];
    float x[4] = {100, 102, 104, 110}, y[4]; /* mean 104 */
    scene s = scene_of(layers, 2, 2, 1, augment, 8);
    for (int i = 0; i < DRAWS; i++) {
        see(&s, x, (uint64_t)i, 0, y);
        found[i] = ((double)y[3] - 104) / 6;
        check_near("the mean stays", ((double)y[0] + (double)y[1] + (double)y[2] + (double)y[3]) / 4, 104, 1e-4);
    }
    check_uniform("contrast", found, DRAWS, low, high);
    scene_end(&s);
}

static void contrasts(void **state)
{
    (void)state;
    const cnnbn_augment half = {.contrast = 0.5};
    check_contrast("- RandomContrast: {factor: 0.5}\n", NULL, 0.5, 1.5);
    check_contrast("- RandomContrast: {factor: [0, 0.5]}\n", NULL, 1, 1.5);
    check_contrast("", &half, 0.5, 1.5);
}

/* ---------------------------------------------------------------- cutout */

/* A square of zeros about each pixel of the image alike, cut off at the border. */
static void cutouts(void **state)
{
    (void)state;
    enum { H = 5, W = 6, SIZE = 3, SAMPLES = 1500 };
    const cnnbn_augment augment = {.cutout = SIZE};
    float x[H * W], y[H * W];
    int count[H][W] = {{0}};
    ramp(x, H * W);
    scene s = scene_of("", H, W, 1, &augment, 8);
    for (uint64_t id = 0; id < SAMPLES; id++) {
        int found = 0;
        see(&s, x, id, 0, y);
        for (int h = 0; h < H; h++)
            for (int w = 0; w < W && !found; w++) {
                float expected[H * W];
                for (int i = 0; i < H * W; i++) expected[i] = abs(i / W - h) <= 1 && abs(i % W - w) <= 1 ? 0 : x[i];
                found = same_image(y, expected, H * W);
                count[h][w] += found;
            }
        assert_true(found);
    }
    for (int h = 0; h < H; h++)
        for (int w = 0; w < W; w++) check_share("centres", count[h][w], SAMPLES, 1.0 / (H * W));
    scene_end(&s);
}

/* ---------------------------------------------------------------- mixing */

static void partners(void **state)
{
    (void)state;
    const cnnbn_augment mixed = {.flip_horizontal = 1, .mixup = 1}, alone = {.flip_horizontal = 1};
    float x[FN], z[FN], y[FN], a[FN], b[FN], expected[FN];
    ramp(x, FN);
    for (int i = 0; i < FN; i++) z[i] = 3 - x[i] * x[i] / 8;
    scene s = scene_of("", FH, FW, FC, &mixed, 3), t = scene_of("", FH, FW, FC, &alone, 3);
    for (uint64_t id = 0; id < 20; id++) { /* the partner is changed as it is where it stands itself */
        float weight = (float)id / 19;
        see(&t, x, id, 4, a);
        see(&t, z, id + 50, 4, b);
        for (int i = 0; i < FN; i++) expected[i] = weight * a[i] + (1 - weight) * b[i];
        see_mixed(&s, x, id, 4, z, id + 50, weight, y);
        assert_true(same_image(y, expected, FN));
    }
    scene_end(&s);
    scene_end(&t);
}

/* The loss of a mixed sample is that of each label by its part, of what the net makes of the mixed image. */
static void the_loss_is_mixed(void **state)
{
    (void)state;
    const cnnbn_augment mixed = {.mixup = 1};
    const float weight = 0.3F, row[2] = {0.3F, 0.7F}, *rows[1] = {row};
    float x[FN], z[FN], y[FN], p[2];
    const void *own[1] = {x}, *partner[1] = {z}, *both[1] = {y};
    const uint64_t id = 1;
    const double flags[4] = {0};
    ramp(x, FN);
    for (int i = 0; i < FN; i++) {
        z[i] = 2 - x[i] / 3;
        y[i] = weight * x[i] + (1 - weight) * z[i];
    }
    scene s = scene_of("", FH, FW, FC, &mixed, 3);
    cnnbn_net_init(s.net, 5);
    cnnbn_batch batch = {.n_global = 1,
                         .n_local = 1,
                         .images = own,
                         .targets = {.rows = rows},
                         .ids = &id,
                         .partners = partner,
                         .partner_ids = &id,
                         .weights = &weight};
    cnnbn_step_result result;
    cnnbn_net_infer(s.net, 1, both, NULL, NULL, p);
    check_ok(cnnbn_net_train_step(s.net, &batch, flags, &result));
    check_near("loss", result.loss, -0.3 * log((double)p[0]) - 0.7 * log((double)p[1]), 1e-5);
    scene_end(&s);
}

/* ---------------------------------------------------------------- inference */

/* RandomCrop: what keras.utils' smart_resize of Keras 3.15 makes of x_i = 7 i mod 11. */
static void crops_in_inference(void **state)
{
    (void)state;
    static const float odd[9] = {4.888889F, 8, 3.777778F, 4.666667F, 9, 2.333334F, 3.222222F, 6.333333F, 3.333335F};
    static const float narrow[16] = {4.8125F, 7.6875F, 7.25F, 3.9375F, 7.0625F, 3.75F, 3.3125F, 6.1875F,
                                     3.8125F, 6.6875F, 6.25F, 2.9375F, 6.0625F, 2.75F, 2.3125F, 5.1875F};
    static const float exact[12] = {7, 3, 10, 5, 1, 8, 3, 10, 6, 1, 8, 4};
    static const struct {
        int H, W, C, P, Q;
        const float *y;
    } cases[] = {{5, 7, 1, 3, 3, odd}, {6, 6, 2, 4, 2, narrow}, {4, 6, 1, 4, 3, exact}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        char layer[80];
        float x[PIXELS_MAX], y[PIXELS_MAX], p[2];
        int n = cases[k].H * cases[k].W * cases[k].C, m = cases[k].P * cases[k].Q * cases[k].C;
        for (int i = 0; i < n; i++) x[i] = (float)(7 * i % 11);
        (void)snprintf(layer, sizeof layer, "- RandomCrop: {height: %d, width: %d}\n", cases[k].P, cases[k].Q);
        scene s = scene_of(layer, cases[k].H, cases[k].W, cases[k].C, NULL, 1);
        assert_int_equal(s.n, m);
        for (int f = 0; f < m; f++) { /* a weight of 1 at a time: the logit is the pixel */
            const void *images[1] = {x};
            float *kernel = cnnbn_net_param(s.net, 0);
            kernel[2 * f] = 1;
            cnnbn_net_infer(s.net, 1, images, NULL, NULL, p);
            y[f] = logf(p[0] / p[1]);
            kernel[2 * f] = 0;
        }
        check_close_f32("RandomCrop in inference", y, cases[k].y, (size_t)m, 2e-5);
        scene_end(&s);
    }
}

static void options_leave_inference_alone(void **state)
{
    (void)state;
    const cnnbn_augment all = {1, 1, 2, 0.3, 0.2, 0.5, 3, 0.4};
    float x[FN], p[2][2];
    const void *images[1] = {x};
    ramp(x, FN);
    for (int k = 0; k < 2; k++) {
        scene s = scene_of("", FH, FW, FC, k ? &all : NULL, 3);
        cnnbn_net_init(s.net, 5);
        cnnbn_net_infer(s.net, 1, images, NULL, NULL, p[k]);
        scene_end(&s);
    }
    check_same_bits("inference", p[0], p[1], sizeof p[0]);
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        cnnbn_augment augment;
        const char *message;
    } cases[] = {{{.crop_pad = 3}, "--random-crop 3: expected 1 to 2 pixels for images of 3x4"},
                 {{.cutout = 5}, "--cutout 5: expected 1 to 4 pixels for images of 3x4"}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        static const char text[] = "input: [3, 4, 2]\nlayers:\n- Flatten\n- Dense: {units: 2, activation: softmax}";
        cnnbn_model *model = NULL;
        cnnbn_net *net = NULL;
        cnnbn_net_config config = {.slices = 1, .batch_size = 1, .threads = 1, .augment = cases[k].augment};
        config.inference_only = 1; /* no collective call needed for a refusal */
        check_ok(cnnbn_comm_self(&config.comm));
        check_ok(cnnbn_kernels_get("auto", &config.kernels));
        check_ok(cnnbn_model_from_text(text, strlen(text), "test", NULL, &model));
        check_status(cnnbn_net_create(model, &config, &net), CNNBN_ERR_OPTION, cases[k].message);
        cnnbn_comm_finalize(config.comm);
        cnnbn_model_destroy(model);
    }
}

int main(void)
{
    cnnbn_blas_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flips),
        cmocka_unit_test(crops),
        cmocka_unit_test(maps),
        cmocka_unit_test(contrasts),
        cmocka_unit_test(cutouts),
        cmocka_unit_test(partners),
        cmocka_unit_test(the_loss_is_mixed),
        cmocka_unit_test(crops_in_inference),
        cmocka_unit_test(options_leave_inference_alone),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("net_augment", tests, NULL, NULL);
}
