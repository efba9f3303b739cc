#include "checkpoint_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cnnbn/log.h"

/* A checkpoint's file name and what it says. */
typedef struct entry {
    char name[64];
    int64_t epoch, step;
} entry;

typedef struct listing {
    entry *entries; /* newest first; owned */
    size_t n, room;
} listing;

cnnbn_status cnnbn_checkpoint_path(const char *dir, int64_t epoch, int64_t step, char *text, size_t bytes)
{
    int length = snprintf(text, bytes, "%s/ckpt-%04lld-%08lld.h5", dir, (long long)epoch, (long long)step);
    if (epoch < 0 || step < 0 || length < 0 || (size_t)length >= bytes)
        return cnnbn_error(CNNBN_ERR_IO,
                           "%s: no name for the checkpoint of epoch %lld, step %lld: too long or negative", dir,
                           (long long)epoch, (long long)step);
    return CNNBN_OK;
}

/* At least `digits` digits, at most 18; moves *at past them. */
static int parse_number(const char **at, int digits, int64_t *value)
{
    int n = 0;
    *value = 0;
    for (; **at >= '0' && **at <= '9' && n < 18; n++, (*at)++) *value = *value * 10 + (**at - '0');
    return n >= digits;
}

static int parse_name(const char *name, entry *e)
{
    static const char prefix[] = "ckpt-";
    const char *at = name + sizeof prefix - 1;
    if (strncmp(name, prefix, sizeof prefix - 1) != 0 || strlen(name) >= sizeof e->name) return 0;
    if (!parse_number(&at, 4, &e->epoch) || *at++ != '-' || !parse_number(&at, 8, &e->step)) return 0;
    if (strcmp(at, ".h5") != 0) return 0;
    (void)snprintf(e->name, sizeof e->name, "%s", name);
    return 1;
}

static int newest_first(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->step != y->step) return x->step > y->step ? -1 : 1;
    if (x->epoch != y->epoch) return x->epoch > y->epoch ? -1 : 1;
    return strcmp(x->name, y->name);
}

static cnnbn_status add_entry(listing *list, const entry *e)
{
    if (list->n == list->room) {
        void *block;
        size_t room = list->room ? 2 * list->room : 16;
        CNNBN_TRY(cnnbn_alloc_array(room, sizeof(entry), "the checkpoints of a folder", &block));
        if (list->n) memcpy(block, list->entries, list->n * sizeof(entry));
        cnnbn_free(list->entries);
        list->entries = block;
        list->room = room;
    }
    list->entries[list->n++] = *e;
    return CNNBN_OK;
}

/* A folder that does not exist has no checkpoints. remove_temporaries: what a killed writer left. */
static cnnbn_status list_folder(const char *dir, int remove_temporaries, listing *list)
{
    *list = (listing){0};
    DIR *folder = opendir(dir);
    if (!folder && errno == ENOENT) return CNNBN_OK;
    if (!folder) return cnnbn_error(CNNBN_ERR_IO, "%s: the folder cannot be read: %s", dir, strerror(errno));
    cnnbn_status status = CNNBN_OK;
    struct dirent *file;
    while (status == CNNBN_OK && (errno = 0, file = readdir(folder)) != NULL) {
        entry e;
        size_t length = strlen(file->d_name);
        if (parse_name(file->d_name, &e)) status = add_entry(list, &e);
        if (remove_temporaries && length > 7 && strcmp(file->d_name + length - 7, ".h5.tmp") == 0 &&
            unlinkat(dirfd(folder), file->d_name, 0) != 0 && errno != ENOENT)
            cnnbn_warn("%s/%s: an unfinished checkpoint cannot be removed: %s", dir, file->d_name, strerror(errno));
    }
    if (status == CNNBN_OK && errno)
        status = cnnbn_error(CNNBN_ERR_IO, "%s: the folder cannot be read: %s", dir, strerror(errno));
    (void)closedir(folder);
    if (list->n) qsort(list->entries, list->n, sizeof(entry), newest_first);
    if (status != CNNBN_OK) {
        cnnbn_free(list->entries);
        *list = (listing){0};
    }
    return status;
}

cnnbn_status cnnbn_checkpoint_newest_name(const char *dir, char *name, size_t bytes)
{
    listing list;
    if (bytes) name[0] = '\0';
    CNNBN_TRY(list_folder(dir, 0, &list));
    if (list.n) (void)snprintf(name, bytes, "%s", list.entries[0].name);
    cnnbn_free(list.entries);
    return CNNBN_OK;
}

static cnnbn_status read_resumable(const char *path, cnnbn_checkpoint **out)
{
    CNNBN_TRY(cnnbn_checkpoint_read(path, out));
    if ((*out)->is_cnnbn) return CNNBN_OK;
    cnnbn_checkpoint_destroy(*out);
    *out = NULL;
    return cnnbn_error(CNNBN_ERR_CHECKPOINT, "%s: holds no training state of cnnbn", path);
}

cnnbn_status cnnbn_checkpoint_newest(const char *dir, cnnbn_checkpoint **out, char *path_out, size_t bytes)
{
    listing list;
    *out = NULL;
    if (bytes) path_out[0] = '\0';
    CNNBN_TRY(list_folder(dir, 0, &list));
    cnnbn_status status = CNNBN_OK;
    for (size_t i = 0; i < list.n; i++) {
        int length = snprintf(path_out, bytes, "%s/%s", dir, list.entries[i].name);
        if (length < 0 || (size_t)length >= bytes) {
            status = cnnbn_error(CNNBN_ERR_IO, "%s: the path of a checkpoint in it is too long", dir);
            break;
        }
        status = read_resumable(path_out, out);
        if (status == CNNBN_OK) break;
        if (status == CNNBN_ERR_MEMORY || status == CNNBN_ERR_INTERNAL) break; /* says nothing about the file */
        cnnbn_warn("checkpoint skipped: %s", cnnbn_error_message());
        status = CNNBN_OK;
    }
    if (!*out && bytes) path_out[0] = '\0';
    cnnbn_free(list.entries);
    return status;
}

static int is_good(const char *path)
{
    int sealed;
    return cnnbn__seal_check(path, &sealed) == CNNBN_OK && sealed;
}

void cnnbn_checkpoint_prune(const char *dir, int keep, const char *protect)
{
    listing list;
    if (list_folder(dir, 1, &list) != CNNBN_OK) {
        cnnbn_warn("old checkpoints are not removed: %s", cnnbn_error_message());
        return;
    }
    const char *protected_name = protect ? strrchr(protect, '/') : NULL;
    protected_name = protected_name ? protected_name + 1 : protect;
    /* Nothing goes before one that is kept has proved good: the kept ones may all be torn. */
    int has_good = 0;
    for (size_t i = 0; i < list.n; i++) {
        char path[PATH_MAX];
        int length = snprintf(path, sizeof path, "%s/%s", dir, list.entries[i].name);
        if (length < 0 || (size_t)length >= sizeof path) continue;
        int kept = i < (size_t)(keep > 1 ? keep : 1) || !has_good;
        if (protected_name && strcmp(protected_name, list.entries[i].name) == 0) kept = 1;
        if (kept && !has_good) has_good = is_good(path);
        if (!kept && unlink(path) != 0 && errno != ENOENT)
            cnnbn_warn("%s: an old checkpoint cannot be removed: %s", path, strerror(errno));
    }
    cnnbn_free(list.entries);
}

/* DIR/earlier-N of the first N that is free. */
static cnnbn_status make_earlier(const char *dir, char *text, size_t bytes)
{
    for (int n = 1; n < 100000; n++) {
        int length = snprintf(text, bytes, "%s/earlier-%d", dir, n);
        if (length < 0 || (size_t)length >= bytes) return cnnbn_error(CNNBN_ERR_IO, "%s: the path is too long", dir);
        if (mkdir(text, 0777) == 0) return CNNBN_OK;
        if (errno != EEXIST) break;
    }
    return cnnbn_error(CNNBN_ERR_IO, "%s: the folder cannot be created: %s", text, strerror(errno));
}

static cnnbn_status move_file(const char *dir, const char *name, const char *to_dir)
{
    char from[PATH_MAX], to[PATH_MAX];
    int a = snprintf(from, sizeof from, "%s/%s", dir, name), b = snprintf(to, sizeof to, "%s/%s", to_dir, name);
    if (a < 0 || b < 0 || (size_t)a >= sizeof from || (size_t)b >= sizeof to)
        return cnnbn_error(CNNBN_ERR_IO, "%s: the path is too long", dir);
    if (rename(from, to) == 0) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_IO, "%s: cannot be moved to %s: %s", from, to, strerror(errno));
}

cnnbn_status cnnbn_checkpoint_set_aside(const char *dir, int64_t step)
{
    static const char best_name[] = "best.h5";
    listing list;
    char earlier[PATH_MAX] = "", best[PATH_MAX];
    CNNBN_TRY(list_folder(dir, 0, &list));
    size_t n = 0;
    while (n < list.n && list.entries[n].step > step) n++; /* newest first */
    int length = snprintf(best, sizeof best, "%s/%s", dir, best_name);
    int with_best = step < 0 && length > 0 && (size_t)length < sizeof best && access(best, F_OK) == 0;
    cnnbn_status status = n > 0 || with_best ? make_earlier(dir, earlier, sizeof earlier) : CNNBN_OK;
    for (size_t i = 0; i < n && status == CNNBN_OK; i++) status = move_file(dir, list.entries[i].name, earlier);
    if (with_best && status == CNNBN_OK) status = move_file(dir, best_name, earlier);
    if (earlier[0] && status == CNNBN_OK)
        cnnbn_warn("%zu checkpoint%s of an earlier run moved to %s", n + (size_t)with_best,
                   n + (size_t)with_best == 1 ? "" : "s", earlier);
    cnnbn_free(list.entries);
    return status;
}

static cnnbn_status make_folders(char *path)
{
    for (char *at = path + 1;; at++) {
        if (*at != '/' && *at != '\0') continue;
        char end = *at;
        *at = '\0';
        /* EEXIST may be a file; EROFS and EACCES are told for folders that are there, too: the last word is a written file's */
        int error = mkdir(path, 0777) == 0 ? 0 : errno;
        struct stat about;
        if (error && !(stat(path, &about) == 0 && S_ISDIR(about.st_mode)))
            return cnnbn_error(CNNBN_ERR_IO, "%s: the folder cannot be created: %s", path,
                               strerror(error == EEXIST ? ENOTDIR : error));
        *at = end;
        if (!end) return CNNBN_OK;
    }
}

cnnbn_status cnnbn_checkpoint_prepare_dir(const char *dir)
{
    char *path;
    char test[PATH_MAX];
    if (!dir[0]) return cnnbn_error(CNNBN_ERR_OPTION, "the name of the checkpoint folder is empty");
    CNNBN_TRY(cnnbn_strdup(dir, &path));
    cnnbn_status status = make_folders(path);
    cnnbn_free(path);
    CNNBN_TRY(status);
    int length = snprintf(test, sizeof test, "%s/.cnnbn-can-write-%ld", dir, (long)getpid());
    if (length < 0 || (size_t)length >= sizeof test) return cnnbn_error(CNNBN_ERR_IO, "%s: the path is too long", dir);
    int fd = open(test, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return cnnbn_error(CNNBN_ERR_IO, "%s: no file can be created in this folder: %s", dir, strerror(errno));
    int error = write(fd, "cnnbn\n", 6) == 6 ? 0 : errno;
    if (close(fd) != 0 && !error) error = errno;
    (void)unlink(test);
    if (error) return cnnbn_error(CNNBN_ERR_IO, "%s: no file can be written in this folder: %s", dir, strerror(error));
    return CNNBN_OK;
}
