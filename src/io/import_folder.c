/* A folder of PNG and JPEG files, one folder a class. */
#include "import_source.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "cnnbn/image.h"
#include "cnnbn/log.h"
#include "cnnbn/memory.h"
#include "cnnbn/rng.h"

static const double default_share = 0.1;

/* Names in byte order. */
typedef struct names {
    char **name; /* owned, as each of them */
    size_t n, room;
} names;

typedef struct folder_set {
    const cnnbn_folder *folder;
    names classes;
    names files[2]; /* paths */
    cnnbn__labels labels[2];
    cnnbn_shape shape;
    char *first; /* path of the image that set the shape */
} folder_set;

static cnnbn_status names_add(names *list, const char *name)
{
    if (list->n == list->room) {
        size_t room = list->room ? 2 * list->room : 64;
        void *grown = NULL;
        CNNBN_TRY(cnnbn_alloc_array(room, sizeof *list->name, "file names", &grown));
        if (list->n) memcpy(grown, list->name, list->n * sizeof *list->name);
        cnnbn_free(list->name);
        list->name = grown;
        list->room = room;
    }
    CNNBN_TRY(cnnbn_strdup(name, &list->name[list->n]));
    list->n++;
    return CNNBN_OK;
}

static void names_clear(names *list)
{
    for (size_t i = 0; i < list->n; i++) cnnbn_free(list->name[i]);
    cnnbn_free(list->name);
    memset(list, 0, sizeof *list);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static cnnbn_status join(const char *folder, const char *name, char **out)
{
    void *text = NULL;
    size_t bytes = strlen(folder) + strlen(name) + 2;
    *out = NULL;
    CNNBN_TRY(cnnbn_alloc(bytes, "a path", &text));
    (void)snprintf(text, bytes, "%s/%s", folder, name);
    *out = text;
    return CNNBN_OK;
}

static cnnbn_status is_folder(const char *folder, const char *name, int *yes)
{
    char *path = NULL;
    struct stat about;
    *yes = 0;
    CNNBN_TRY(join(folder, name, &path));
    *yes = stat(path, &about) == 0 && S_ISDIR(about.st_mode);
    cnnbn_free(path);
    return CNNBN_OK;
}

/* Entries of a folder, sorted, hidden ones left out. */
static cnnbn_status list_folder(const char *path, names *list)
{
    DIR *folder = opendir(path);
    if (!folder) return cnnbn_error(CNNBN_ERR_IO, "%s: cannot be opened as a folder: %s", path, strerror(errno));
    cnnbn_status status = CNNBN_OK;
    for (struct dirent *entry = readdir(folder); entry && status == CNNBN_OK; entry = readdir(folder))
        if (entry->d_name[0] != '.') status = names_add(list, entry->d_name);
    (void)closedir(folder);
    if (list->n) qsort(list->name, list->n, sizeof *list->name, compare_names);
    return status;
}

static int is_image_name(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && (!strcasecmp(dot, ".png") || !strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg"));
}

/* The share of test images is a hash's: no image moves when others come or go. */
static cnnbn_split draw_split(const folder_set *set, const char *class_name, const char *file, double share)
{
    if (!(share > 0)) return CNNBN_TRAIN;
    uint64_t key =
        cnnbn_rng_key(set->folder->seed, CNNBN_RNG_SHUFFLE, cnnbn_hash_name(class_name), cnnbn_hash_name(file), 0);
    return (double)(key >> 11) * 0x1p-53 < share ? CNNBN_TEST : CNNBN_TRAIN;
}

static cnnbn_status add_class(folder_set *set, const char *root, const char *class_name, int32_t label,
                              cnnbn_split split, double share)
{
    char *path = NULL;
    names entries = {0};
    size_t n_images = 0;
    CNNBN_TRY(join(root, class_name, &path));
    cnnbn_status status = list_folder(path, &entries);
    for (size_t i = 0; i < entries.n && status == CNNBN_OK; i++) {
        const char *name = entries.name[i];
        if (!is_image_name(name)) continue;
        cnnbn_split to = split == CNNBN_TEST ? CNNBN_TEST : draw_split(set, class_name, name, share);
        char *file = NULL;
        status = join(path, name, &file);
        if (status == CNNBN_OK) status = names_add(&set->files[to], file);
        if (status == CNNBN_OK) status = cnnbn__labels_add(&set->labels[to], label);
        cnnbn_free(file);
        n_images++;
    }
    if (status == CNNBN_OK && n_images < entries.n)
        cnnbn_warn("%s: %zu entries that are not PNG or JPEG files were left out", path, entries.n - n_images);
    if (status == CNNBN_OK && !n_images && split == CNNBN_TRAIN)
        status = cnnbn_error(CNNBN_ERR_DATA, "%s: a class without images (.png, .jpg, .jpeg)", path);
    names_clear(&entries);
    cnnbn_free(path);
    return status;
}

/* The sub-folders of root, in order. */
static cnnbn_status list_classes(const char *root, names *classes)
{
    names entries = {0};
    cnnbn_status status = list_folder(root, &entries);
    for (size_t i = 0; i < entries.n && status == CNNBN_OK; i++) {
        int yes = 0;
        status = is_folder(root, entries.name[i], &yes);
        if (status == CNNBN_OK && yes) status = names_add(classes, entries.name[i]);
    }
    names_clear(&entries);
    return status;
}

static cnnbn_status add_train(folder_set *set, const char *root, double share)
{
    CNNBN_TRY(list_classes(root, &set->classes));
    if (!set->classes.n)
        return cnnbn_error(CNNBN_ERR_DATA, "%s: no folders in it; a folder for each class is expected", root);
    if (set->classes.n > CNNBN_IMPORT_CLASSES_MAX)
        return cnnbn_error(CNNBN_ERR_DATA, "%s: %zu classes; at most %d are possible", root, set->classes.n,
                           CNNBN_IMPORT_CLASSES_MAX);
    for (size_t k = 0; k < set->classes.n; k++)
        CNNBN_TRY(add_class(set, root, set->classes.name[k], (int32_t)k, CNNBN_TRAIN, share));
    return CNNBN_OK;
}

static cnnbn_status add_test_classes(folder_set *set, const char *root, const names *classes)
{
    for (size_t k = 0; k < classes->n; k++) {
        char **found =
            bsearch(&classes->name[k], set->classes.name, set->classes.n, sizeof *set->classes.name, compare_names);
        if (!found)
            return cnnbn_error(CNNBN_ERR_DATA, "%s/%s: a class that the training images do not have", root,
                               classes->name[k]);
        CNNBN_TRY(add_class(set, root, *found, (int32_t)(found - set->classes.name), CNNBN_TEST, 0));
    }
    return CNNBN_OK;
}

static cnnbn_status add_test(folder_set *set, const char *root)
{
    names classes = {0};
    cnnbn_status status = list_classes(root, &classes);
    if (status == CNNBN_OK) status = add_test_classes(set, root, &classes);
    names_clear(&classes);
    return status;
}

static cnnbn_status find_images(folder_set *set)
{
    const char *root = set->folder->path;
    double share = set->folder->test_share;
    int has_train = 0, has_test = 0;
    CNNBN_TRY(is_folder(root, "train", &has_train));
    CNNBN_TRY(is_folder(root, "test", &has_test));
    if (!has_train) return add_train(set, root, share < 0 ? default_share : share);
    if (has_test && share > 0)
        return cnnbn_error(CNNBN_ERR_OPTION, "%s: has a test folder; --split has nothing to do", root);
    char *train = NULL, *test = NULL;
    cnnbn_status status = join(root, "train", &train);
    if (status == CNNBN_OK) status = join(root, "test", &test);
    if (status == CNNBN_OK) status = add_train(set, train, has_test ? 0 : share < 0 ? default_share : share);
    if (status == CNNBN_OK && has_test) status = add_test(set, test);
    cnnbn_free(train);
    cnnbn_free(test);
    return status;
}

/* Decodes, and stretches where a size was asked for. */
static cnnbn_status load(const folder_set *set, const char *path, int channels, cnnbn_image *image)
{
    int H = set->folder->height, W = set->folder->width;
    CNNBN_TRY(cnnbn_image_load(path, channels, image));
    if (!H || (image->height == H && image->width == W)) return CNNBN_OK;
    cnnbn_image stretched;
    cnnbn_status status = cnnbn_image_resize(image, H, W, &stretched);
    cnnbn_image_free(image);
    *image = stretched;
    return status;
}

static cnnbn_status folder_read(void *context, cnnbn_split split, size_t index, uint8_t *pixels)
{
    folder_set *set = context;
    const char *path = set->files[split].name[index];
    int H = set->shape.dim[0], W = set->shape.dim[1], C = set->shape.dim[2];
    cnnbn_image image;
    CNNBN_TRY(load(set, path, set->folder->channels == 1 || C == 3 ? C : 0, &image));
    cnnbn_status status = CNNBN_OK;
    if (image.height != H || image.width != W)
        status = cnnbn_error(CNNBN_ERR_DATA, "%s: %d x %d pixels, but %s has %d x %d; use --size HxW", path,
                             image.height, image.width, set->first, H, W);
    else if (image.channels != C)
        status = cnnbn_error(CNNBN_ERR_DATA, "%s: has colours, but %s is grey; use --rgb or --grey", path, set->first);
    else
        memcpy(pixels, image.pixels, cnnbn_shape_count(set->shape));
    cnnbn_image_free(&image);
    return status;
}

static cnnbn_status import_set(folder_set *set, const cnnbn_import_options *options)
{
    CNNBN_TRY(find_images(set));
    if (!set->files[CNNBN_TRAIN].n) return cnnbn_error(CNNBN_ERR_DATA, "%s: no training images", set->folder->path);
    cnnbn_image image;
    set->first = set->files[CNNBN_TRAIN].name[0];
    CNNBN_TRY(load(set, set->first, set->folder->channels, &image));
    set->shape = (cnnbn_shape){3, {image.height, image.width, image.channels}};
    cnnbn_image_free(&image);
    cnnbn__source source = {.shape = set->shape,
                            .n = {set->files[0].n, set->files[1].n},
                            .labels = {set->labels[0].label, set->labels[1].label},
                            .labels_from = {set->folder->path, set->folder->path},
                            .n_classes = (int)set->classes.n,
                            .class_names = (const char *const *)set->classes.name,
                            .context = set,
                            .read = folder_read};
    return cnnbn__import_write(&source, options);
}

cnnbn_status cnnbn_import_folder(const cnnbn_folder *folder, const cnnbn_import_options *options)
{
    if (isnan(folder->test_share) || folder->test_share >= 1)
        return cnnbn_error(CNNBN_ERR_OPTION, "a test share of %g; less than 1 is possible", folder->test_share);
    CNNBN_TRY(cnnbn__import_check_out(options));
    folder_set set = {.folder = folder};
    cnnbn_status status = import_set(&set, options);
    names_clear(&set.classes);
    for (int split = 0; split < 2; split++) {
        names_clear(&set.files[split]);
        cnnbn_free(set.labels[split].label);
    }
    return status;
}
