/* Notes and warnings. Errors are not logged here: they are returned (status.h). */
#ifndef CNNBN_LOG_H
#define CNNBN_LOG_H

#include "cnnbn/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cnnbn_log_level { CNNBN_LOG_QUIET = 0, CNNBN_LOG_WARNING = 1, CNNBN_LOG_INFO = 2 } cnnbn_log_level;

/* Level of this process; programs set QUIET on all ranks but 0. Starts as WARNING. */
CNNBN_API void cnnbn_log_set_level(cnnbn_log_level level);
CNNBN_API cnnbn_log_level cnnbn_log_get_level(void);

/* One line to stderr, "cnnbn: warning: ..." or "cnnbn: ...", when the level asks for it. */
CNNBN_API void cnnbn_warn(const char *format, ...) CNNBN_PRINTF(1, 2);
CNNBN_API void cnnbn_info(const char *format, ...) CNNBN_PRINTF(1, 2);

/* Seconds of a monotonic clock. */
CNNBN_API double cnnbn_now_s(void);

#ifdef __cplusplus
}
#endif
#endif
