/* net: what is drawn for augmentation by one option or layer has nothing to do with what another one draws, and the options' order. */
#include <math.h>

#include "check.h"
#include "net_scene.h"

enum { DRAWS = 400, DRAWN = 17 }; /* samples, quantities in all */

/* What a sample has been given, out of the image of `coordinates`: up to two numbers. */
typedef void recover_fn(const float *y, double v[2]);

static void of_flip(const float *y, double v[2])
{
    v[0] = (double)pixel(y, 0, 0)[0];
    v[1] = (double)pixel(y, 0, 0)[1];
}

static void of_shift(const float *y, double v[2])
{
    v[0] = 3 - (double)pixel(y, 3, 3)[1];
    v[1] = 3 - (double)pixel(y, 3, 3)[0];
}

static void of_turn(const float *y, double v[2])
{
    v[0] = atan2((double)pixel(y, 3, 4)[1] - 3, (double)pixel(y, 3, 4)[0] - 3);
}

static void of_contrast(const float *y, double v[2])
{
    v[0] = (double)pixel(y, 0, 6)[0] - 3;
}

/* Of one pixel; that of the first, which is 0 anyway, where there is no other. */
static void of_cutout(const float *y, double v[2])
{
    v[0] = v[1] = 0;
    for (int p = 0; p < SIDE; p++)
        for (int q = 0; q < SIDE; q++)
            if ((p || q) && !(pixel(y, p, q)[0] > 0) && !(pixel(y, p, q)[1] > 0)) v[0] = p, v[1] = q;
}

typedef struct changer {
    const char *layers;
    cnnbn_augment augment;
    recover_fn *recover;
    int n;
} changer;

static void draws_of(const changer *by, double (*v)[DRAWS])
{
    float x[SIDE * SIDE * 2], y[SIDE * SIDE * 2];
    coordinates(x);
    scene s = scene_of(by->layers, SIDE, SIDE, 2, &by->augment, 8);
    for (int i = 0; i < DRAWS; i++) {
        double found[2] = {0};
        see(&s, x, (uint64_t)i, 0, y);
        by->recover(y, found);
        for (int k = 0; k < by->n; k++) v[k][i] = found[k];
    }
    scene_end(&s);
}

static double correlation(const double *a, const double *b)
{
    double mean_a = 0, mean_b = 0, aa = 0, bb = 0, ab = 0;
    for (int i = 0; i < DRAWS; i++) {
        mean_a += a[i] / DRAWS;
        mean_b += b[i] / DRAWS;
    }
    for (int i = 0; i < DRAWS; i++) {
        aa += (a[i] - mean_a) * (a[i] - mean_a);
        bb += (b[i] - mean_b) * (b[i] - mean_b);
        ab += (a[i] - mean_a) * (b[i] - mean_b);
    }
    return ab / sqrt(aa * bb);
}

/* No option or layer draws what another one has drawn for the same sample: a key used twice gives a correlation of 1. Layers are
 * told apart by their place, hence those that do nothing. */
static void draws_are_independent(void **state)
{
    (void)state;
    static const changer changers[] = {
        {"", {.flip_horizontal = 1, .flip_vertical = 1}, of_flip, 2},
        {"", {.crop_pad = 2}, of_shift, 2},
        {"", {.translation = 0.25}, of_shift, 2},
        {"", {.rotation = 0.1}, of_turn, 1},
        {"", {.contrast = 0.5}, of_contrast, 1},
        {"", {.cutout = 1}, of_cutout, 2},
        {"- RandomFlip\n", {0}, of_flip, 2},
        {"- Rescaling: {scale: 1}\n- RandomFlip\n", {0}, of_flip, 2},
        {"- Rescaling: {scale: 1}\n- Rescaling: {scale: 1}\n- RandomTranslation: {height_factor: 0.25, width_factor: "
         "0.25}\n",
         {0},
         of_shift,
         2},
        {"- Rescaling: {scale: 1}\n- Rescaling: {scale: 1}\n- Rescaling: {scale: 1}\n- RandomRotation: {factor: 0.1}\n",
         {0},
         of_turn,
         1},
    };
    static double v[DRAWN][DRAWS];
    int n = 0;
    for (size_t k = 0; k < sizeof changers / sizeof *changers; k++) {
        draws_of(&changers[k], v + n);
        n += changers[k].n;
    }
    assert_int_equal(n, DRAWN);
    for (int a = 0; a < n; a++)
        for (int b = 0; b < a; b++) {
            double r = correlation(v[a], v[b]);
            if (!(fabs(r) <= 5 / sqrt(DRAWS))) fail_msg("numbers %d and %d: correlation %g", a, b, r);
        }
}

/* All options at once, told from what each does alone: mirrored, then cut, then turned, then moved. */
static void options_come_in_order(void **state)
{
    (void)state;
    static const changer flips_alone = {"", {.flip_horizontal = 1, .flip_vertical = 1}, of_flip, 2},
                         crops_alone = {"", {.crop_pad = 1}, of_shift, 2},
                         moves_alone = {"", {.translation = 0.1}, of_shift, 2},
                         turns_alone = {"", {.rotation = 0.1}, of_turn, 1};
    static const cnnbn_augment all = {
        .flip_horizontal = 1, .flip_vertical = 1, .crop_pad = 1, .translation = 0.1, .rotation = 0.1};
    static double flip[2][DRAWS], crop[2][DRAWS], move[2][DRAWS], turn[1][DRAWS];
    float x[SIDE * SIDE * 2], y[SIDE * SIDE * 2];
    draws_of(&flips_alone, flip);
    draws_of(&crops_alone, crop);
    draws_of(&moves_alone, move);
    draws_of(&turns_alone, turn);
    coordinates(x);
    scene s = scene_of("", SIDE, SIDE, 2, &all, 8);
    for (int i = 0; i < DRAWS; i++) {
        see(&s, x, (uint64_t)i, 0, y);
        /* the centre, seen from the centre: moved back, turned back, cut, mirrored */
        double a = cos(turn[0][i]), b = sin(turn[0][i]), down = -move[0][i], right = -move[1][i];
        double row = b * right + a * down - crop[0][i], column = a * right - b * down - crop[1][i];
        check_near("row", (double)pixel(y, 3, 3)[1], 3 + (flip[1][i] > 0 ? -row : row), 1e-4);
        check_near("column", (double)pixel(y, 3, 3)[0], 3 + (flip[0][i] > 0 ? -column : column), 1e-4);
    }
    scene_end(&s);
}

int main(void)
{
    cnnbn_blas_init();
    const struct CMUnitTest tests[] = {cmocka_unit_test(draws_are_independent),
                                       cmocka_unit_test(options_come_in_order)};
    return cmocka_run_group_tests_name("net_draws", tests, NULL, NULL);
}
