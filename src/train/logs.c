/* CSV files. On resume the rows up to the checkpoint stay and the rest goes, so that a log has no gap, no row twice and no torn line. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cnnbn/memory.h"
#include "trainer.h"

struct csv_log {
    FILE *file;
    char *path;
    int failed; /* errno of the first failed write */
};

static cnnbn_status io_error(const char *path, const char *what, int error)
{
    return cnnbn_error(CNNBN_ERR_IO, "%s: cannot %s: %s", path, what, strerror(error));
}

/* Copies the rows that stay from the old log to `to`. A log with other columns is somebody else's: refused, not emptied. */
static cnnbn_status keep_rows(const char *path, FILE *from, FILE *to, const char *header, int64_t keep_below)
{
    char *line = NULL;
    size_t room = 0;
    cnnbn_status status = CNNBN_OK;
    ssize_t length = getline(&line, &room, from);
    if (length > 0) {
        line[strcspn(line, "\r\n")] = '\0';
        if (strcmp(line, header) != 0)
            status = cnnbn_error(CNNBN_ERR_OPTION,
                                 "%s: the run goes on with columns %s, this file has %.200s: give the same options, or "
                                 "another file",
                                 path, header, line);
    }
    if (length > 0 && status == CNNBN_OK) {
        while ((length = getline(&line, &room, from)) > 0) {
            char *end;
            int64_t number = strtoll(line, &end, 10);
            if (line[length - 1] != '\n' || end == line || *end != ',' || number >= keep_below) break;
            (void)fputs(line, to);
        }
    }
    free(line); /* getline's, not cnnbn_alloc's */
    return status;
}

/* A new run replaces the log of an earlier one; what is no log at all (a mistyped name) is left alone. */
static cnnbn_status check_replaced(const char *path)
{
    char first[8] = "";
    FILE *file = fopen(path, "r");
    if (!file) return CNNBN_OK;
    size_t n = fread(first, 1, sizeof first - 1, file);
    (void)fclose(file);
    if (n == 0 || strncmp(first, "epoch,", 6) == 0 || strncmp(first, "step,", 5) == 0) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_OPTION,
                       "%s: is there already and is no log (a log begins with epoch, or step,): it is left alone; name "
                       "another file",
                       path);
}

/* A new file in place of the old one, still open: a run that was cut off and opens or writes its log at the same time has another. */
static cnnbn_status rewrite(const char *path, const char *header, int64_t keep_below, FILE **out)
{
    char temporary[4200];
    CNNBN_TRY(check_replaced(path));
    (void)snprintf(temporary, sizeof temporary, "%s.%ld.tmp", path, (long)getpid());
    FILE *to = fopen(temporary, "w");
    if (!to) return io_error(temporary, "be written", errno);
    (void)fprintf(to, "%s\n", header);
    cnnbn_status status = CNNBN_OK;
    FILE *from = keep_below > 0 ? fopen(path, "r") : NULL;
    if (from) {
        status = keep_rows(path, from, to, header, keep_below);
        (void)fclose(from);
    }
    if (status == CNNBN_OK && (ferror(to) || fflush(to) != 0 || fsync(fileno(to)) != 0 || rename(temporary, path) != 0))
        status = io_error(path, "be written", errno);
    if (status != CNNBN_OK) {
        (void)fclose(to);
        (void)remove(temporary);
        return status;
    }
    *out = to;
    return CNNBN_OK;
}

/* A pipe, a terminal or /dev/stdout is written to, not replaced. */
static int is_stream(const char *path)
{
    struct stat there;
    if (strncmp(path, "/dev/", 5) == 0 || strncmp(path, "/proc/", 6) == 0) return 1;
    return stat(path, &there) == 0 && !S_ISREG(there.st_mode) && !S_ISDIR(there.st_mode);
}

static cnnbn_status open_stream(const char *path, const char *header, FILE **out)
{
    *out = fopen(path, "a");
    if (!*out) return io_error(path, "be written", errno);
    (void)fprintf(*out, "%s\n", header);
    return CNNBN_OK;
}

cnnbn_status csv_open(const char *path, const char *header, int64_t keep_below, csv_log **out)
{
    void *memory;
    *out = NULL;
    CNNBN_TRY(cnnbn_alloc(sizeof(csv_log), "a log", &memory));
    csv_log *log = memory;
    cnnbn_status status = cnnbn_strdup(path, &log->path);
    if (status == CNNBN_OK) {
        char *behind = realpath(path, NULL); /* a link stays one */
        status = is_stream(path) ? open_stream(path, header, &log->file)
                                 : rewrite(behind ? behind : path, header, keep_below, &log->file);
        free(behind);
    }
    if (status != CNNBN_OK) {
        cnnbn_free(log->path);
        cnnbn_free(log);
        return status;
    }
    *out = log;
    return CNNBN_OK;
}

void csv_row(csv_log *log, const char *format, ...)
{
    if (!log) return;
    va_list args;
    va_start(args, format);
    if (vfprintf(log->file, format, args) < 0 && !log->failed) log->failed = errno ? errno : EIO;
    va_end(args);
}

cnnbn_status csv_flush(csv_log *log)
{
    if (!log) return CNNBN_OK;
    if (fflush(log->file) != 0 && !log->failed) log->failed = errno;
    if (fsync(fileno(log->file)) != 0 && errno != EINVAL && errno != EROFS && !log->failed)
        log->failed = errno; /* EINVAL: a pipe */
    if (!log->failed) return CNNBN_OK;
    int error = log->failed;
    log->failed = 0;
    return io_error(log->path, "be written", error);
}

cnnbn_status csv_close(csv_log *log)
{
    if (!log) return CNNBN_OK;
    cnnbn_status status = CNNBN_OK;
    if (log->file) {
        status = csv_flush(log);
        (void)fclose(log->file);
    }
    cnnbn_free(log->path);
    cnnbn_free(log);
    return status;
}
