#include "file_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cnnbn/memory.h"

cnnbn_status cnnbn__file_temporary(const char *path, char **out)
{
    void *text;
    size_t bytes = strlen(path) + sizeof ".tmp";
    *out = NULL;
    CNNBN_TRY(cnnbn_alloc(bytes, "a file name", &text));
    (void)snprintf(text, bytes, "%s.tmp", path);
    *out = text;
    return CNNBN_OK;
}

cnnbn_status cnnbn__file_folder(const char *path, char **out)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return cnnbn_strdup(".", out);
    CNNBN_TRY(cnnbn_strdup(path, out));
    size_t length = slash == path ? 1 : (size_t)(slash - path);
    (*out)[length] = '\0';
    return CNNBN_OK;
}

cnnbn_status cnnbn__file_check_space(const char *path, uint64_t bytes)
{
    char *folder;
    CNNBN_TRY(cnnbn__file_folder(path, &folder));
    struct statvfs about;
    int told = statvfs(folder, &about) == 0;
    int error = errno;
    cnnbn_free(folder);
    if (!told && (error == ENOENT || error == ENOTDIR || error == EACCES || error == EIO))
        return cnnbn_error(CNNBN_ERR_IO, "%s: its folder cannot be looked at: %s", path, strerror(error));
    if (!told || about.f_blocks == 0) return CNNBN_OK; /* some network file systems do not say */
    uint64_t free_bytes = (uint64_t)about.f_bavail * about.f_frsize;
    if (free_bytes >= bytes) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_IO, "%s: %.1f MB are needed, but only %.1f MB are free there", path,
                       (double)bytes / 1e6, (double)free_bytes / 1e6);
}

cnnbn_status cnnbn__file_sync_folder(const char *path)
{
    char *folder;
    CNNBN_TRY(cnnbn__file_folder(path, &folder));
    cnnbn_status status = CNNBN_OK;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* EINVAL: a file system that has no such call for folders */
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
        status = cnnbn_error(CNNBN_ERR_IO, "%s: is written, but its folder %s cannot be synced: %s", path, folder,
                             strerror(errno));
    if (fd >= 0) (void)close(fd);
    cnnbn_free(folder);
    return status;
}

static cnnbn_status rename_synced(const char *temporary, const char *path)
{
    if (rename(temporary, path) != 0) {
        int error = errno;
        (void)unlink(temporary);
        return cnnbn_error(CNNBN_ERR_IO, "%s: cannot be renamed to %s: %s", temporary, path, strerror(error));
    }
    return cnnbn__file_sync_folder(path);
}

cnnbn_status cnnbn__file_publish(const char *temporary, const char *path)
{
    int fd = open(temporary, O_WRONLY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) != 0;
    int error = errno;
    if (fd >= 0 && close(fd) != 0 && !failed) {
        failed = 1;
        error = errno;
    }
    if (failed) {
        (void)unlink(temporary);
        return cnnbn_error(CNNBN_ERR_IO, "%s: cannot be synced to the disk: %s", temporary, strerror(error));
    }
    return rename_synced(temporary, path);
}

static int write_all(int fd, const char *data, size_t bytes)
{
    /* Pieces: a signal or a full disk shows within one, and no system takes more than 2 GB at once. */
    const size_t piece = (size_t)8 << 20;
    while (bytes > 0) {
        ssize_t written = write(fd, data, bytes < piece ? bytes : piece);
        if (written < 0 && errno == EINTR) continue;
        if (written == 0) errno = EIO;
        if (written <= 0) return -1;
        data += written;
        bytes -= (size_t)written;
    }
    return 0;
}

static cnnbn_status write_parts(const char *temporary, const cnnbn__file_part *parts, int n_parts)
{
    const char *failed = NULL;
    int error = 0;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return cnnbn_error(CNNBN_ERR_IO, "%s: cannot be created: %s", temporary, strerror(errno));
    for (int i = 0; i < n_parts && !failed; i++)
        if (write_all(fd, parts[i].data, parts[i].bytes) != 0) failed = "written";
    if (!failed && fsync(fd) != 0) failed = "synced to the disk";
    if (failed) error = errno;
    if (close(fd) != 0 && !failed) { /* network file systems tell a full disk here */
        failed = "closed";
        error = errno;
    }
    if (!failed) return CNNBN_OK;
    (void)unlink(temporary);
    return cnnbn_error(CNNBN_ERR_IO, "%s: cannot be %s: %s", temporary, failed, strerror(error));
}

cnnbn_status cnnbn__file_write(const char *path, const cnnbn__file_part *parts, int n_parts, cnnbn__file_gate gate)
{
    char *temporary;
    CNNBN_TRY(cnnbn__file_temporary(path, &temporary));
    cnnbn_status status = write_parts(temporary, parts, n_parts);
    if (status == CNNBN_OK && gate.may_publish) status = gate.may_publish(gate.context);
    if (status == CNNBN_OK) status = rename_synced(temporary, path);
    cnnbn_free(temporary);
    return status;
}
