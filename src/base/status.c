#include "cnnbn/status.h"

#include <stdio.h>
#include <string.h>

static _Thread_local char record[CNNBN_ERROR_MAX];

const char *cnnbn_status_text(cnnbn_status status)
{
    static const char *const texts[] = {
#define CNNBN_X(name, exit_code, text) text,
        CNNBN_STATUS_TABLE(CNNBN_X)
#undef CNNBN_X
    };
    size_t i = (size_t)status;
    return i < sizeof texts / sizeof *texts ? texts[i] : "unknown status";
}

int cnnbn_status_exit_code(cnnbn_status status)
{
    static const int codes[] = {
#define CNNBN_X(name, exit_code, text) exit_code,
        CNNBN_STATUS_TABLE(CNNBN_X)
#undef CNNBN_X
    };
    size_t i = (size_t)status;
    return i < sizeof codes / sizeof *codes ? codes[i] : 3;
}

cnnbn_status cnnbn_error(cnnbn_status status, const char *format, ...)
{
    char text[CNNBN_ERROR_MAX]; /* the arguments may point into the record */
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(record, text, sizeof record);
    return status;
}

cnnbn_status cnnbn_error_context(cnnbn_status status, const char *format, ...)
{
    char text[CNNBN_ERROR_MAX];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t used = length < 0 ? 0 : (size_t)length < sizeof text ? (size_t)length : sizeof text - 1;
    (void)snprintf(text + used, sizeof text - used, ": %s", record);
    memcpy(record, text, sizeof record);
    return status;
}

const char *cnnbn_error_message(void)
{
    return record;
}
