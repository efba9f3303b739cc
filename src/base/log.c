#include "cnnbn/log.h"

#include <stdio.h>
#include <time.h>

static cnnbn_log_level log_level = CNNBN_LOG_WARNING;

void cnnbn_log_set_level(cnnbn_log_level level)
{
    log_level = level;
}

cnnbn_log_level cnnbn_log_get_level(void)
{
    return log_level;
}

/* One write a line: lines of several processes do not mix. */
static void print_line(const char *kind, const char *format, va_list args)
{
    char line[CNNBN_ERROR_MAX + 64];
    int used = snprintf(line, sizeof line, "cnnbn: %s", kind);
    size_t at = used < 0 ? 0 : (size_t)used;
    int length = vsnprintf(line + at, sizeof line - at - 1, format, args);
    at += length < 0 ? 0 : (size_t)length;
    if (at > sizeof line - 2) at = sizeof line - 2;
    line[at] = '\n';
    line[at + 1] = '\0';
    (void)fputs(line, stderr);
}

void cnnbn_warn(const char *format, ...)
{
    if (log_level < CNNBN_LOG_WARNING) return;
    va_list args;
    va_start(args, format);
    print_line("warning: ", format, args);
    va_end(args);
}

void cnnbn_info(const char *format, ...)
{
    if (log_level < CNNBN_LOG_INFO) return;
    va_list args;
    va_start(args, format);
    print_line("", format, args);
    va_end(args);
}

double cnnbn_now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
