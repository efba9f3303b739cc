/* A 128-bit digest of data: XXH3-128 (xxHash, Y. Collet). Tells damage and difference, not malice. */
#ifndef CNNBN_DIGEST_H
#define CNNBN_DIGEST_H

#include <stddef.h>
#include "cnnbn/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { CNNBN_DIGEST_TEXT = 33 }; /* 32 hexadecimal digits and NUL */

typedef struct cnnbn_digest cnnbn_digest;

/* *out is owned: cnnbn_digest_destroy, or cnnbn_digest_end which frees it too. */
CNNBN_API cnnbn_status cnnbn_digest_create(cnnbn_digest **out) CNNBN_MUST_CHECK;
CNNBN_API void cnnbn_digest_add(cnnbn_digest *digest, const void *data, size_t bytes);
/* Adds the text with its final NUL, so that ("ab","c") and ("a","bc") differ. */
CNNBN_API void cnnbn_digest_add_text(cnnbn_digest *digest, const char *text);
CNNBN_API void cnnbn_digest_end(cnnbn_digest *digest, char text[CNNBN_DIGEST_TEXT]);
CNNBN_API void cnnbn_digest_destroy(cnnbn_digest *digest);

#ifdef __cplusplus
}
#endif
#endif
