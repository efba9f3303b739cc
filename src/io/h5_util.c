#include "h5_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* HDF5 is not built thread-safe everywhere; and where it is, its lock is as coarse as this one. */
static pthread_mutex_t lock;
static pthread_once_t lock_once = PTHREAD_ONCE_INIT;

static void make_lock(void)
{
    pthread_mutexattr_t attr;
    (void)pthread_mutexattr_init(&attr);
    (void)pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    (void)pthread_mutex_init(&lock, &attr);
    (void)pthread_mutexattr_destroy(&attr);
}

void cnnbn__h5_enter(cnnbn__h5_scope *scope)
{
    (void)pthread_once(&lock_once, make_lock);
    (void)pthread_mutex_lock(&lock);
    scope->n = 0;
    /* The printing of errors is a property of the thread where HDF5 is thread-safe: hence each time. */
    (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

void cnnbn__h5_leave(cnnbn__h5_scope *scope)
{
    while (scope->n > 0) cnnbn__h5_release(scope->ids[--scope->n]);
    (void)pthread_mutex_unlock(&lock);
}

/* The lock is owned by a thread that is not there any more. */
void cnnbn__h5_after_fork(void)
{
    make_lock();
}

void cnnbn__h5_release(hid_t id)
{
    if (id >= 0) (void)H5Idec_ref(id);
}

hid_t cnnbn__h5_own(cnnbn__h5_scope *scope, hid_t id)
{
    if (id < 0) return id;
    if (scope->n == CNNBN_H5_SCOPE_MAX) { /* a mistake of ours: no scope holds so many */
        cnnbn__h5_release(id);
        return H5I_INVALID_HID;
    }
    scope->ids[scope->n++] = id;
    return id;
}

void cnnbn__h5_disown(cnnbn__h5_scope *scope, hid_t id)
{
    for (int i = scope->n - 1; i >= 0; i--)
        if (scope->ids[i] == id) {
            memmove(scope->ids + i, scope->ids + i + 1, (size_t)(scope->n - i - 1) * sizeof *scope->ids);
            scope->n--;
            return;
        }
}

enum { REASON_MAX = 256 };

/* Walking upward begins with the innermost function, which knows what happened; those around it know only that it did. Failed
 * system calls come as a list on two lines, "file write failed: time = ..., error message = 'No space left on device', ...", of
 * which the ends are kept. */
static herr_t take_reason(unsigned n, const H5E_error2_t *error, void *data)
{
    static const char intro[] = ": time = ", mark[] = "error message = '";
    char *text = data;
    (void)n;
    if (text[0] || !error->desc || !error->desc[0]) return 0;
    const char *head_end = strstr(error->desc, intro), *message = strstr(error->desc, mark);
    if (head_end && message) {
        message += sizeof mark - 1;
        (void)snprintf(text, REASON_MAX, "%.*s: %.*s", (int)(head_end - error->desc), error->desc,
                       (int)strcspn(message, "'"), message);
    } else {
        (void)snprintf(text, REASON_MAX, "%s", error->desc);
    }
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ') *at = ' ';
    return 0;
}

const char *cnnbn__h5_reason(void)
{
    static _Thread_local char text[REASON_MAX];
    text[0] = '\0';
    (void)H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_reason, text);
    return text[0] ? text : "HDF5 gives no reason";
}

cnnbn_status cnnbn__h5_open_file(cnnbn__h5_scope *scope, const char *path, cnnbn_status bad, cnnbn__h5_file *file)
{
    *file = (cnnbn__h5_file){.id = H5I_INVALID_HID, .path = path, .bad = bad};
    /* The system's own word first: HDF5 wraps "no such file" in ten lines. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return cnnbn_error(CNNBN_ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    struct stat about;
    int failed = fstat(fd, &about) != 0;
    char first[8] = {0};
    ssize_t got = failed || !S_ISREG(about.st_mode) ? 0 : read(fd, first, sizeof first);
    int read_error = got < 0 ? errno : 0;
    (void)close(fd);
    if (failed || read_error)
        return cnnbn_error(CNNBN_ERR_IO, "%s: cannot be read: %s", path, strerror(read_error ? read_error : errno));
    if (!S_ISREG(about.st_mode))
        return cnnbn_error(CNNBN_ERR_IO, "%s: is %s, expected an HDF5 file", path,
                           S_ISDIR(about.st_mode) ? "a folder" : "not a regular file");
    if (about.st_size == 0) return cnnbn_error(bad, "%s: is empty, expected an HDF5 file", path);
    file->bytes = (uint64_t)about.st_size;

    hid_t access = cnnbn__h5_own(scope, H5Pcreate(H5P_FILE_ACCESS));
    (void)H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
#if H5_VERSION_GE(1, 10, 7)
    /* Files are read by many ranks and often from file systems without locks; nothing here reads what is being written. */
    (void)H5Pset_file_locking(access, 0, 1);
#endif
    htri_t is_hdf5 = H5Fis_hdf5(path);
    if (is_hdf5 == 0) {
        const char *hint = memcmp(first, "PK\003\004", 4) == 0
                               ? " (a zip archive: a .npz or .keras file? Keras: model.save(\"model.h5\"))"
                               : "";
        return cnnbn_error(bad, "%s: is not an HDF5 file%s", path, hint);
    }
    file->id = cnnbn__h5_own(scope, H5Fopen(path, H5F_ACC_RDONLY, access));
    if (file->id < 0)
        return cnnbn_error(bad, "%s: HDF5 cannot open it, truncated or damaged? (%s)", path, cnnbn__h5_reason());
    return CNNBN_OK;
}
