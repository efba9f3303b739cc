/* A text that grows. A failed allocation is remembered: the writers need not ask after every piece. */
#ifndef CNNBN_MODEL_TEXT_H
#define CNNBN_MODEL_TEXT_H

#include <stddef.h>
#include "cnnbn/status.h"

typedef struct cnnbn__text {
    char *data; /* owned; NUL-ended, or NULL while empty */
    size_t used, bytes;
    cnnbn_status status;
} cnnbn__text;

void cnnbn__text_add(cnnbn__text *text, const char *format, ...) CNNBN_PRINTF(2, 3);
void cnnbn__text_add_bytes(cnnbn__text *text, const char *bytes, size_t n);
void cnnbn__text_add_quoted(cnnbn__text *text, const char *value); /* as a JSON string */
/* A word as it is when YAML reads it back as the same text; else quoted. */
void cnnbn__text_add_word(cnnbn__text *text, const char *value);
void cnnbn__text_add_number(cnnbn__text *text, double value); /* fewest digits that read back the same */
/* Hands the text over, or frees it and returns what went wrong. */
cnnbn_status cnnbn__text_end(cnnbn__text *text, char **out) CNNBN_MUST_CHECK;

#endif
