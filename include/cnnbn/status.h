/* Status codes and the error record of a thread.
 *
 * Every function that can fail returns a cnnbn_status and leaves one sentence in the calling thread's
 * error record. The library never prints an error and never exits: the programs do both.
 */
#ifndef CNNBN_STATUS_H
#define CNNBN_STATUS_H

#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One table gives the enumerators, the exit code a program ends with, and a short text.
 * Order is severity: cnnbn_comm_agree() takes the greatest.
 *          enumerator    exit  text                                                                  */
#define CNNBN_STATUS_TABLE(X)                                       \
    X(CNNBN_OK, 0, "success")                                       \
    X(CNNBN_ERR_INTERRUPTED, 75, "interrupted, run again to go on") \
    X(CNNBN_ERR_USAGE, 1, "wrong usage")                            \
    X(CNNBN_ERR_OPTION, 2, "bad option value")                      \
    X(CNNBN_ERR_MODEL, 2, "bad model")                              \
    X(CNNBN_ERR_DATA, 2, "bad data")                                \
    X(CNNBN_ERR_CHECKPOINT, 2, "bad checkpoint")                    \
    X(CNNBN_ERR_NONFINITE, 4, "loss is not finite")                 \
    X(CNNBN_ERR_IO, 3, "input/output failure")                      \
    X(CNNBN_ERR_MEMORY, 3, "out of memory")                         \
    X(CNNBN_ERR_MPI, 3, "MPI failure")                              \
    X(CNNBN_ERR_INTERNAL, 3, "internal error")

typedef enum cnnbn_status {
#define CNNBN_X(name, exit_code, text) name,
    CNNBN_STATUS_TABLE(CNNBN_X)
#undef CNNBN_X
} cnnbn_status;

#if defined(__GNUC__)
#define CNNBN_MUST_CHECK __attribute__((warn_unused_result))
#define CNNBN_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define CNNBN_NORETURN __attribute__((noreturn))
#else
#define CNNBN_MUST_CHECK
#define CNNBN_PRINTF(fmt, args)
#define CNNBN_NORETURN
#endif

/* Exported symbols; everything else is hidden. */
#if defined(__GNUC__)
#define CNNBN_API __attribute__((visibility("default")))
#else
#define CNNBN_API
#endif

enum { CNNBN_ERROR_MAX = 1024 }; /* bytes of a message, the final NUL included */

/* Short text of a code, e.g. "bad model". Never NULL. */
CNNBN_API const char *cnnbn_status_text(cnnbn_status status);

/* Exit code a program ends with: 0 done; 1 usage; 2 bad model, data or options; 3 run-time failure;
 * 4 loss not finite; 75 interrupted with a checkpoint written (sysexits' EX_TEMPFAIL: run again). */
CNNBN_API int cnnbn_status_exit_code(cnnbn_status status);

/* Records a message (printf style, cut at CNNBN_ERROR_MAX) in the calling thread's record, replacing
 * what was there, and returns `status`, so that `return cnnbn_error(CNNBN_ERR_DATA, "...")` reads well.
 * A message states the value found, what was expected, and the file or option to mend. */
CNNBN_API cnnbn_status cnnbn_error(cnnbn_status status, const char *format, ...) CNNBN_PRINTF(2, 3);

/* Puts "context: " in front of the recorded message; returns `status` unchanged. For callers that know
 * what a callee could not, such as the name of the layer or of the file. */
CNNBN_API cnnbn_status cnnbn_error_context(cnnbn_status status, const char *format, ...) CNNBN_PRINTF(2, 3);

/* The calling thread's message, borrowed until its next failure; "" when there was none. */
CNNBN_API const char *cnnbn_error_message(void);

/* Hands a failure on: `CNNBN_TRY(f(x));` returns f's status when it is not CNNBN_OK. */
#define CNNBN_TRY(call)                                              \
    do {                                                             \
        cnnbn_status cnnbn_try_status_ = (call);                     \
        if (cnnbn_try_status_ != CNNBN_OK) return cnnbn_try_status_; \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
