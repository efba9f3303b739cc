/* CIFAR-10 and CIFAR-100, "binary version" (https://www.cs.toronto.edu/~kriz/cifar.html): records of one label byte
 * (CIFAR-100: coarse, then fine) and 3 planes of 32 x 32 bytes. */
#include "import_source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cnnbn/memory.h"

enum { SIDE = 32, PLANE = SIDE * SIDE, FILES_MAX = 256, NAMES_MAX = 100, NAME_BYTES = 64 };

typedef struct cifar_file {
    char *path; /* owned */
    cnnbn_split split;
    size_t n, first; /* records; place of the first one in its split */
} cifar_file;

typedef struct cifar_set {
    cifar_file files[FILES_MAX];
    int n_files;
    int label_bytes; /* 1: CIFAR-10, 2: CIFAR-100 */
    int coarse;
    cnnbn__labels labels[2];
    FILE *open; /* files[at] */
    int at;
    size_t next; /* record that `open` stands before */
    char names[NAMES_MAX][NAME_BYTES];
    const char *name_list[NAMES_MAX];
} cifar_set;

static size_t record_bytes(const cifar_set *set)
{
    return (size_t)set->label_bytes + 3 * PLANE;
}

static int n_classes(const cifar_set *set)
{
    return set->label_bytes == 1 ? 10 : set->coarse ? 20 : 100;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* folder (length bytes of it, no slash at its end) + "/" + name */
static cnnbn_status join(const char *folder, size_t length, const char *name, char **out)
{
    void *text = NULL;
    size_t bytes = length + strlen(name) + 2;
    *out = NULL;
    CNNBN_TRY(cnnbn_alloc(bytes, "a path", &text));
    (void)snprintf(text, bytes, "%.*s/%s", (int)length, folder, name);
    *out = text;
    return CNNBN_OK;
}

static cnnbn_status add_file(cifar_set *set, const char *path, cnnbn_split split)
{
    if (set->n_files == FILES_MAX) return cnnbn_error(CNNBN_ERR_OPTION, "more than %d CIFAR files", FILES_MAX);
    CNNBN_TRY(cnnbn_strdup(path, &set->files[set->n_files].path));
    set->files[set->n_files++].split = split;
    return CNNBN_OK;
}

static cnnbn_status add_folder(cifar_set *set, const char *folder)
{
    static const char *const cifar10[] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                          "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"};
    static const char *const cifar100[] = {"train.bin", "test.bin"};
    struct stat about;
    int is_10 = 0, is_100 = 0;
    for (int pass = 0; pass < 2; pass++) { /* which of the two it is; then its files */
        for (int k = 0; k < 8; k++) {
            char *path = NULL;
            const char *name = k < 6 ? cifar10[k] : cifar100[k - 6];
            CNNBN_TRY(join(folder, strlen(folder), name, &path));
            cnnbn_status status = CNNBN_OK;
            if (!pass && stat(path, &about) == 0) {
                is_10 |= k < 6;
                is_100 |= k >= 6;
            }
            if (pass && (k < 6 ? is_10 : is_100))
                status = add_file(set, path, k == 5 || k == 7 ? CNNBN_TEST : CNNBN_TRAIN);
            cnnbn_free(path);
            CNNBN_TRY(status);
        }
        if (is_10 == is_100)
            return cnnbn_error(CNNBN_ERR_DATA,
                               is_10 ? "%s: holds files of CIFAR-10 and of CIFAR-100; name the files instead"
                                     : "%s: holds neither data_batch_1.bin (CIFAR-10) nor train.bin (CIFAR-100)",
                               folder);
    }
    return CNNBN_OK;
}

static cnnbn_status find_files(cifar_set *set, const char *const *paths, int n_paths)
{
    struct stat about;
    if (n_paths == 1 && stat(paths[0], &about) == 0 && S_ISDIR(about.st_mode)) return add_folder(set, paths[0]);
    for (int i = 0; i < n_paths; i++)
        CNNBN_TRY(add_file(set, paths[i], strstr(base_name(paths[i]), "test") ? CNNBN_TEST : CNNBN_TRAIN));
    return CNNBN_OK;
}

/* The formats differ in the records' size alone. Sizes that both divide (from 9 MB on) go by the first file. */
static cnnbn_status measure_files(cifar_set *set)
{
    for (int i = 0; i < set->n_files; i++) {
        cifar_file *f = &set->files[i];
        struct stat about;
        if (stat(f->path, &about) != 0)
            return cnnbn_error(CNNBN_ERR_IO, "%s: cannot be opened: %s", f->path, strerror(errno));
        uint64_t bytes = S_ISREG(about.st_mode) ? (uint64_t)about.st_size : 0;
        if (!set->label_bytes) set->label_bytes = bytes % (1 + 3 * PLANE) == 0 ? 1 : 2;
        f->n = (size_t)(bytes / record_bytes(set));
        if (!f->n || bytes % record_bytes(set))
            return cnnbn_error(CNNBN_ERR_DATA, "%s: %llu bytes are no whole number of %s records%s", f->path,
                               (unsigned long long)bytes,
                               i == 0                  ? "CIFAR-10 (3073 bytes) or CIFAR-100 (3074 bytes)"
                               : set->label_bytes == 1 ? "CIFAR-10 (3073 bytes)"
                                                       : "CIFAR-100 (3074 bytes)",
                               i == 0 ? "" : ", which the files before it have");
    }
    if (set->coarse && set->label_bytes == 1)
        return cnnbn_error(CNNBN_ERR_OPTION, "%s: CIFAR-10 has no coarse labels", set->files[0].path);
    return CNNBN_OK;
}

static cnnbn_status truncated(const cifar_file *f, size_t record)
{
    return cnnbn_error(CNNBN_ERR_DATA, "%s: cannot be read at record %zu: %s", f->path, record,
                       errno ? strerror(errno) : "the file ends");
}

static cnnbn_status read_labels(cifar_set *set, cifar_file *f)
{
    unsigned char record[2 + 3 * PLANE];
    cnnbn__labels *labels = &set->labels[f->split];
    cnnbn_status status = CNNBN_OK;
    f->first = labels->n;
    FILE *file = fopen(f->path, "rbe");
    if (!file) return cnnbn_error(CNNBN_ERR_IO, "%s: cannot be opened: %s", f->path, strerror(errno));
    for (size_t i = 0; i < f->n && status == CNNBN_OK; i++) {
        errno = 0;
        if (fread(record, record_bytes(set), 1, file) != 1) {
            status = truncated(f, i);
            break;
        }
        int label = record[set->label_bytes == 2 && !set->coarse];
        if (label >= n_classes(set))
            status = cnnbn_error(CNNBN_ERR_DATA, "%s: record %zu has label %d; CIFAR-%s has 0 to %d", f->path, i, label,
                                 set->label_bytes == 1 ? "10" : "100", n_classes(set) - 1);
        if (status == CNNBN_OK) status = cnnbn__labels_add(labels, label);
    }
    (void)fclose(file);
    return status;
}

/* One name a line beside the first file; without the file there are no names. */
static cnnbn_status read_names(cifar_set *set, int *found)
{
    const char *first = set->files[0].path;
    const char *name = set->label_bytes == 1 ? "batches.meta.txt"
                       : set->coarse         ? "coarse_label_names.txt"
                                             : "fine_label_names.txt";
    char *path = NULL;
    size_t length = (size_t)(base_name(first) - first);
    *found = 0;
    CNNBN_TRY(length ? join(first, length - 1, name, &path) : cnnbn_strdup(name, &path));
    FILE *file = fopen(path, "re");
    cnnbn_status status = CNNBN_OK;
    if (file) {
        char line[256];
        int n = 0;
        while (status == CNNBN_OK && fgets(line, sizeof line, file)) {
            size_t bytes = strcspn(line, "\r\n");
            line[bytes] = '\0';
            if (!bytes) continue;
            if (n == n_classes(set) || bytes >= NAME_BYTES) {
                n = -1;
                break;
            }
            memcpy(set->names[n], line, bytes + 1);
            set->name_list[n] = set->names[n];
            n++;
        }
        if (n != n_classes(set))
            status = cnnbn_error(CNNBN_ERR_DATA, "%s: should hold %d class names, one a line", path, n_classes(set));
        (void)fclose(file);
        *found = 1;
    }
    cnnbn_free(path);
    return status;
}

static cnnbn_status seek(cifar_set *set, cnnbn_split split, size_t index, size_t *record)
{
    int k = 0;
    while (set->files[k].split != split || index < set->files[k].first ||
           index >= set->files[k].first + set->files[k].n)
        k++;
    *record = index - set->files[k].first;
    if (!set->open || set->at != k) {
        if (set->open) (void)fclose(set->open);
        set->open = fopen(set->files[k].path, "rbe");
        if (!set->open)
            return cnnbn_error(CNNBN_ERR_IO, "%s: cannot be opened: %s", set->files[k].path, strerror(errno));
        set->at = k;
        set->next = 0;
    }
    if (set->next == *record) return CNNBN_OK;
    if (fseeko(set->open, (off_t)(*record * record_bytes(set)), SEEK_SET) != 0)
        return truncated(&set->files[k], *record);
    set->next = *record;
    return CNNBN_OK;
}

static cnnbn_status cifar_read(void *context, cnnbn_split split, size_t index, uint8_t *image)
{
    cifar_set *set = context;
    unsigned char record[2 + 3 * PLANE];
    size_t at;
    CNNBN_TRY(seek(set, split, index, &at));
    errno = 0;
    if (fread(record, record_bytes(set), 1, set->open) != 1) return truncated(&set->files[set->at], at);
    set->next++;
    const unsigned char *planes = record + set->label_bytes;
    for (int p = 0; p < PLANE; p++)
        for (int c = 0; c < 3; c++) image[3 * p + c] = planes[c * PLANE + p];
    return CNNBN_OK;
}

static cnnbn_status import_set(cifar_set *set, const char *const *paths, int n_paths,
                               const cnnbn_import_options *options)
{
    int have_names = 0;
    CNNBN_TRY(find_files(set, paths, n_paths));
    CNNBN_TRY(measure_files(set));
    for (int i = 0; i < set->n_files; i++) CNNBN_TRY(read_labels(set, &set->files[i]));
    CNNBN_TRY(read_names(set, &have_names));
    cnnbn__source source = {.shape = {3, {SIDE, SIDE, 3}},
                            .n = {set->labels[0].n, set->labels[1].n},
                            .labels = {set->labels[0].label, set->labels[1].label},
                            .labels_from = {set->files[0].path, set->files[set->n_files - 1].path},
                            .n_classes = n_classes(set),
                            .class_names = have_names ? set->name_list : NULL,
                            .context = set,
                            .read = cifar_read};
    return cnnbn__import_write(&source, options);
}

cnnbn_status cnnbn_import_cifar(const char *const *paths, int n_paths, int coarse, const cnnbn_import_options *options)
{
    if (n_paths < 1) return cnnbn_error(CNNBN_ERR_OPTION, "a folder or files of CIFAR are needed");
    CNNBN_TRY(cnnbn__import_check_out(options));
    void *block = NULL;
    CNNBN_TRY(cnnbn_alloc(sizeof(cifar_set), "an import", &block));
    cifar_set *set = block;
    set->coarse = coarse;
    cnnbn_status status = import_set(set, paths, n_paths, options);
    if (set->open) (void)fclose(set->open);
    for (int i = 0; i < set->n_files; i++) cnnbn_free(set->files[i].path);
    for (int split = 0; split < 2; split++) cnnbn_free(set->labels[split].label);
    cnnbn_free(block);
    return status;
}
