/* What programs and readers ask about files before they write one. */
#ifndef CNNBN_FILE_H
#define CNNBN_FILE_H

#include "cnnbn/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Whether both names lead to one regular file, links followed; of files that are not there yet, whether the names are equal. A
 * device or a pipe is never the same: writing to it replaces nothing. NULL names no file. Ranks: local. */
CNNBN_API int cnnbn_same_file(const char *a, const char *b);

#ifdef __cplusplus
}
#endif
#endif
