/* The decoders behind cnnbn_image_load. */
#ifndef CNNBN_IMAGE_DECODE_H
#define CNNBN_IMAGE_DECODE_H

#include <stdio.h>
#include "cnnbn/image.h"

enum { CNNBN__DECODER_MESSAGE = 256 };

/* A decoder fills `out` from the start of `file`: grey as 1 channel, colours as 3. On failure out->pixels may be set and
 * is freed by the caller. */
cnnbn_status cnnbn__png_decode(FILE *file, const char *path, cnnbn_image *out) CNNBN_MUST_CHECK;
cnnbn_status cnnbn__jpeg_decode(FILE *file, const char *path, cnnbn_image *out) CNNBN_MUST_CHECK;

/* Sets the size after checking it, and allocates the pixels. */
cnnbn_status cnnbn__image_allocate(const char *path, unsigned long height, unsigned long width, int channels,
                                   cnnbn_image *out) CNNBN_MUST_CHECK;

#endif
