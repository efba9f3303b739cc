/* Images from PNG and JPEG files, and their resizing.
 *
 * An image is uint8, H x W x C, rows from the top, channels innermost; C is 1 (grey) or 3 (R, G, B).
 */
#ifndef CNNBN_IMAGE_H
#define CNNBN_IMAGE_H

#include <stdint.h>
#include "cnnbn/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { CNNBN_IMAGE_SIDE_MAX = 16384 }; /* greatest height and width */

typedef struct cnnbn_image {
    int height, width, channels;
    uint8_t *pixels; /* [height * width * channels], owned: cnnbn_image_free */
} cnnbn_image;

/* Decodes a PNG or JPEG file; which of them is told by its first bytes. channels: 1, 3, or 0 for what the file has.
 *  - 16 bits a channel become 8 (rounded); 1, 2, 4 bits are spread to 0..255; palettes become RGB.
 *  - Alpha and transparent colours are dropped, not blended; gamma, colour profiles and the EXIF orientation are left
 *    alone. (What Keras' and PyTorch's loaders do, too.)
 *  - RGB to grey is ITU-R BT.601's luma, (19595 R + 38470 G + 7471 B + 32768) >> 16; grey to RGB copies.
 *  - JPEG: CMYK and YCCK become RGB.
 * Ranks: local. Errors: CNNBN_ERR_IO when the file cannot be opened; CNNBN_ERR_DATA when it is neither PNG nor JPEG, is
 * damaged or cut off (even where a decoder would patch it up in grey), or is larger than CNNBN_IMAGE_SIDE_MAX; nothing is
 * printed. *out is zeroed on failure. */
CNNBN_API cnnbn_status cnnbn_image_load(const char *path, int channels, cnnbn_image *out) CNNBN_MUST_CHECK;

/* Stretches `in` to height x width (1..CNNBN_IMAGE_SIDE_MAX). Along each axis by itself: shrinking averages the area that
 * an output pixel covers; enlarging interpolates linearly between pixel centres, (i + 1/2) in/out - 1/2, edges repeated.
 * Weights are exact integers and the sum is rounded once, half up: equal bits everywhere.
 * `out` is written, in->channels kept; *out owned by the caller; must not be `in`. */
CNNBN_API cnnbn_status cnnbn_image_resize(const cnnbn_image *in, int height, int width,
                                          cnnbn_image *out) CNNBN_MUST_CHECK;

/* Frees the pixels and zeroes the rest. NULL is fine. */
CNNBN_API void cnnbn_image_free(cnnbn_image *image);

#ifdef __cplusplus
}
#endif
#endif
