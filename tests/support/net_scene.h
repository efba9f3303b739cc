/* What augmentation makes of an image, seen from inside a net. The image that the first dense layer sees is found from its
 * gradients: those of weight (f, 0) and of bias 0 differ by the factor x_f. */
#ifndef CNNBN_TESTS_NET_SCENE_H
#define CNNBN_TESTS_NET_SCENE_H

#include "cnnbn/net.h"

enum { PIXELS_MAX = 200 };

typedef struct scene {
    cnnbn_model *model;
    cnnbn_net *net;
    int n; /* values that the dense layer sees */
} scene;

/* `layers` in YAML, then Flatten and a dense layer of two classes whose weights stay 0. augment: NULL for none. */
scene scene_of(const char *layers, int H, int W, int C, const cnnbn_augment *augment, uint64_t seed);
void scene_end(scene *s);

/* The image as sample `id` shows it in `epoch`. */
void see(const scene *s, const float *x, uint64_t id, uint64_t epoch, float *y);
/* The same, mixed with a partner where one is given. */
void see_mixed(const scene *s, const float *x, uint64_t id, uint64_t epoch, const float *partner, uint64_t partner_id,
               float weight, float *y);

int same_image(const float *a, const float *b, int n);
void ramp(float *x, int n);

/* An image of SIDE by SIDE whose two channels say where a pixel comes from: its column and its row. */
enum { SIDE = 7 };
void coordinates(float *x);
const float *pixel(const float *y, int p, int q);

#endif
