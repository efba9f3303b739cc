/* Kernels of images by hand, their properties and adjoints, with every table. */
#include <math.h>
#include <string.h>

#include "case_tools.h"
#include "check.h"
#include "kernel_cases.h"

/* Sums of some hundred products of floats, against the same in double. */
static const double adjoint_tolerance = 1e-5;

typedef void (*image_test)(const cnnbn_kernels *table);

static void for_each_table(image_test test)
{
    for (const char *const *name = cnnbn_kernels_names(); *name; name++) {
        const cnnbn_kernels *table;
        check_ok(cnnbn_kernels_get(*name, &table));
        test(table);
    }
}

static void copies(const cnnbn_kernels *k)
{
    const float x[12] = {1, 10, 2, 20, 3, 30, 4, 40, 5, 50, 6, 60}, fill[2] = {-1, -2}; /* 2 x 3 x 2 */
    const float across[12] = {3, 30, 2, 20, 1, 10, 6, 60, 5, 50, 4, 40};
    const float down[12] = {4, 40, 5, 50, 6, 60, 1, 10, 2, 20, 3, 30};
    const float both[12] = {6, 60, 5, 50, 4, 40, 3, 30, 2, 20, 1, 10};
    const float moved[8] = {-1, -2, -1, -2, -1, -2, 1, 10}; /* from row -1, column -1 */
    const float cut[8] = {2, 20, 3, 30, 5, 50, 6, 60}, off[4] = {6, 60, 0, 0};
    float y[12], again[12];
    k->image_flip(2, 3, 2, 1, 0, x, y);
    check_close_f32("flip horizontally", y, across, 12, 0);
    k->image_flip(2, 3, 2, 1, 0, y, again);
    check_close_f32("flip twice", again, x, 12, 0);
    k->image_flip(2, 3, 2, 0, 1, x, y);
    check_close_f32("flip vertically", y, down, 12, 0);
    k->image_flip(2, 3, 2, 1, 1, x, y);
    check_close_f32("flip both", y, both, 12, 0);
    k->image_shift(2, 3, 2, -1, -1, 2, 2, fill, x, y);
    check_close_f32("shift out of the image", y, moved, 8, 0);
    k->image_shift(2, 3, 2, 0, 1, 2, 2, fill, x, y);
    check_close_f32("cut out of the image", y, cut, 8, 0);
    k->image_shift(2, 3, 2, 1, 2, 1, 2, NULL, x, y);
    check_close_f32("beyond the last column", y, off, 4, 0);
}

static void copies_of_all(void **state)
{
    (void)state;
    for_each_table(copies);
}

/* abcd read from two columns to its left and on. */
static void fills(const cnnbn_kernels *k)
{
    static const float expected[4][10] = {{3, 2, 1, 1, 2, 3, 4, 4, 3, 2},  /* reflect */
                                          {2, 3, 4, 1, 2, 3, 4, 1, 2, 3},  /* wrap */
                                          {9, 9, 9, 1, 2, 3, 4, 9, 9, 9},  /* constant */
                                          {1, 1, 1, 1, 2, 3, 4, 4, 4, 4}}; /* nearest */
    const float x[4] = {1, 2, 3, 4}, fill = 9;
    float y[10];
    for (int mode = 0; mode < 4; mode++)
        for (int bilinear = 0; bilinear < 2; bilinear++) {
            cnnbn_warp w = {1, 4, 1, 4, 1, 10, {1, 0, -3, 0, 1, 0}, bilinear, (cnnbn_fill_mode)mode, &fill};
            k->image_warp(&w, x, y);
            check_close_f32("outside of the image", y, expected[mode], 10, 0);
        }
    /* Half-way: between two pixels, the constant one of them; nearest goes away from zero. */
    const float halves[5] = {0.5F * 9 + 0.5F * 1, 1.5F, 2.5F, 3.5F, 0.5F * 4 + 0.5F * 9}, nearest[5] = {9, 2, 3, 4, 9};
    cnnbn_warp w = {1, 4, 1, 4, 1, 5, {1, 0, -0.5, 0, 1, 0}, 1, CNNBN_FILL_CONSTANT, &fill};
    k->image_warp(&w, x, y);
    check_close_f32("half-way", y, halves, 5, 0);
    w.bilinear = 0;
    k->image_warp(&w, x, y);
    check_close_f32("half-way, nearest", y, nearest, 5, 0);
}

static void fills_of_all(void **state)
{
    (void)state;
    for_each_table(fills);
}

/* A quarter turn about the centre of a square, by a map that is written down: no pixel is mixed with another. */
static void quarter_turn(const cnnbn_kernels *k)
{
    const float x[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, turned[9] = {3, 6, 9, 2, 5, 8, 1, 4, 7};
    float y[9];
    cnnbn_warp w = {3, 3, 1, 3, 3, 3, {0, -1, 2, 1, 0, 0}, 1, CNNBN_FILL_CONSTANT, x};
    k->image_warp(&w, x, y); /* (p, q) from row q, column 2 - p */
    check_close_f32("a quarter turn", y, turned, 9, 0);
}

static void turns_of_all(void **state)
{
    (void)state;
    for_each_table(quarter_turn);
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* <f(x) - f(0), y> = <x, f'(y)> for maps of every mode; for contrast without clipping too. */
static void adjoints(const cnnbn_kernels *k)
{
    enum { H = 5, W = 7, C = 3, N = H * W * C };
    for (int mode = 0; mode < 4; mode++) {
        arrays mem = {.n = 0};
        dice d = dice_new(7, mode);
        float *x = arrays_random(&mem, &d, N, -1, 1), *v = arrays_random(&mem, &d, N, -1, 1);
        float *y = arrays_floats(&mem, N, 0), *dx = arrays_floats(&mem, N, 0);
        const float zeros[C] = {0};
        cnnbn_warp w = {H, W, C, W * C, H, W, {0.8, -0.6, 1.3, 0.6, 0.8, -2.1}, mode % 2, (cnnbn_fill_mode)mode, zeros};
        for (int bilinear = 0; bilinear < 2; bilinear++) {
            w.bilinear = bilinear;
            k->image_warp(&w, x, y);
            k->image_warp_bwd(&w, v, dx);
            check_near("adjoint of a map", dot(y, v, N), dot(x, dx, N), adjoint_tolerance);
        }
        k->image_contrast(H * W, C, 1.7F, NULL, NULL, x, y);
        k->image_contrast_bwd(H * W, C, 1.7F, NULL, NULL, x, v, dx);
        check_near("adjoint of contrast", dot(y, v, N), dot(x, dx, N), adjoint_tolerance);
        arrays_end(&mem, "adjoints");
    }
}

static void adjoints_of_all(void **state)
{
    (void)state;
    for_each_table(adjoints);
}

static void contrast_by_hand(const cnnbn_kernels *k)
{
    const float x[6] = {1, 100, 2, 300, 6, 200}, low[2] = {0, 0}, high[2] = {8, 255}; /* means 3, 200 */
    const float stretched[6] = {0, 50, 1.5F, 255, 7.5F, 200}, free_of_bounds[6] = {0, 50, 1.5F, 350, 7.5F, 200};
    const float dy[6] = {1, 1, 2, 2, 3, 3};
    /* g is dy but 0 where 350 was clipped: 1.5 g - 0.5 mean(g), means 2 and 4/3. */
    const float dx[6] = {0.5F, 1.5F - 2 / 3.0F, 2, -2 / 3.0F, 3.5F, 4.5F - 2 / 3.0F};
    float y[6];
    k->image_contrast(3, 2, 1.5F, low, high, x, y);
    check_close_f32("contrast", y, stretched, 6, 1e-6);
    k->image_contrast(3, 2, 1.5F, NULL, NULL, x, y);
    check_close_f32("contrast, not clipped", y, free_of_bounds, 6, 1e-6);
    k->image_contrast_bwd(3, 2, 1.5F, low, high, x, dy, y);
    check_close_f32("gradient of contrast", y, dx, 6, 1e-6);
    const float a[2] = {1, 2}, b[2] = {3, -2}, mixed[2] = {2.5F, -1};
    k->mix(2, 0.25F, a, b, y);
    check_close_f32("mix", y, mixed, 2, 0);
}

static void contrast_of_all(void **state)
{
    (void)state;
    for_each_table(contrast_by_hand);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_of_all),   cmocka_unit_test(fills_of_all),    cmocka_unit_test(turns_of_all),
        cmocka_unit_test(adjoints_of_all), cmocka_unit_test(contrast_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
