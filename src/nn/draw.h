/* What is drawn for a sample, by a key of its own: pure functions. */
#ifndef CNNBN_NN_DRAW_H
#define CNNBN_NN_DRAW_H

#include <stdint.h>

/* Draw i of the key, uniform in [bounds[0], bounds[1]). */
double cnnbn__draw_between(uint64_t key, uint64_t i, const double bounds[2]);
/* 1 with probability 1/2. */
int cnnbn__draw_coin(uint64_t key, uint64_t i);
/* A cnnbn_warp's map for images of (H, W): turned by `turn` full turns about the centre, ((H-1)/2, (W-1)/2), then moved down
 * and to the right by so many pixels. */
void cnnbn__turn_and_move(int H, int W, double turn, double down, double right, double t[6]);

#endif
