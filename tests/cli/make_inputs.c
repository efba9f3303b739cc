/* make_inputs: files that the tests of the programs need and that no program of cnnbn would make.
 *
 *   make_inputs data KIND OUT.h5         a small dataset, right or wrong in one way (kinds below)
 *   make_inputs png H W C OUT.png        a picture
 *   make_inputs sample DATA.h5 I OUT.png test image I of a dataset of bytes
 *   make_inputs poison FILE.h5 OUT.h5    the checkpoint with its first weight's first value NaN
 */
#include <hdf5.h>
#include <math.h>
#include <png.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cnnbn/checkpoint.h"
#include "cnnbn/dataset.h"

enum { SIDE = 8, CLASSES = 4, N_TRAIN = 40, N_TEST = 24 };

/* What is asked of a dataset; zero is right. */
typedef struct kind {
    const char *name;
    int is_float, channels, rank; /* channels 0: 1; rank 0: 3 for one channel, else 4 */
    double factor;                /* of float images; 0: 1 */
    int has_nan, wrong_label, one_label_less, no_names, no_test, no_y;
    int n_classes;         /* 0: CLASSES */
    int columns;           /* of y as float values; 0: class numbers */
    double (*y)(int, int); /* value of a class in a column */
} kind;

static double number_of(int k, int c)
{
    return 0.5 * k - 0.75 + 0.1 * c;
}

static double one_hot(int k, int c)
{
    return k == c;
}

/* Class 3 belongs to all three. */
static double several(int k, int c)
{
    return k == c || k == 3;
}

static double soft(int k, int c)
{
    return k == c ? 0.7 : 0.1;
}

static double beyond(int k, int c)
{
    return k == c ? 2 : 0;
}

static double not_a_number(int k, int c)
{
    return k == 2 && c == 1 ? (double)NAN : 0;
}

static const kind kinds[] = {
    {.name = "good"},
    {.name = "float", .is_float = 1},
    {.name = "rgb", .channels = 3},
    {.name = "huge", .is_float = 1, .factor = 3e38},
    {.name = "nan", .is_float = 1, .has_nan = 1},
    {.name = "rank2", .rank = 2},
    {.name = "label", .wrong_label = CLASSES},
    {.name = "negative", .wrong_label = -1},
    {.name = "classes", .wrong_label = CLASSES, .no_names = 1},
    {.name = "lengths", .one_label_less = 1},
    {.name = "no-test", .no_test = 1},
    {.name = "no-labels", .no_y = 1},
    {.name = "two", .no_names = 1, .n_classes = 2},
    {.name = "number", .no_names = 1, .columns = 1, .y = number_of},
    {.name = "numbers", .no_names = 1, .columns = 2, .y = number_of},
    {.name = "one-hot", .columns = CLASSES, .y = one_hot},
    {.name = "several", .no_names = 1, .columns = 3, .y = several},
    {.name = "soft", .columns = CLASSES, .y = soft},
    {.name = "beyond", .columns = CLASSES, .y = beyond},
    {.name = "nan-y", .no_names = 1, .columns = 2, .y = not_a_number},
};

static void fail(const char *what)
{
    (void)fprintf(stderr, "make_inputs: %s\n", what);
    exit(1);
}

static void check(hid_t id, const char *what)
{
    if (id < 0) fail(what);
}

static void put(hid_t file, const char *name, int rank, const hsize_t *dim, hid_t type, const void *data)
{
    hid_t space = H5Screate_simple(rank, dim, NULL);
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    check(set, name);
    check(H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data), name);
    check(H5Dclose(set), name);
    check(H5Sclose(space), name);
}

/* Class k is a bright quarter of the image, over noise of a fixed sequence. */
static unsigned pixel(int n, int at)
{
    static uint32_t state = 1;
    int y = at / SIDE, x = at % SIDE, quarter = (y >= SIDE / 2) * 2 + (x >= SIDE / 2);
    state = state * 1664525U + 1013904223U;
    return (state >> 25) + (quarter == n % CLASSES ? 128U : 0U);
}

static void put_split(hid_t file, const kind *k, const char *split, int n)
{
    static uint8_t bytes[N_TRAIN * SIDE * SIDE * 3];
    static float floats[N_TRAIN * SIDE * SIDE * 3];
    static int64_t labels[N_TRAIN];
    static double values[N_TRAIN * CLASSES];
    char name[16];
    int C = k->channels ? k->channels : 1;
    hsize_t dim[4] = {(hsize_t)n, SIDE, SIDE, (hsize_t)C};
    for (int i = 0; i < n; i++) {
        labels[i] = i % CLASSES * (k->n_classes ? k->n_classes : CLASSES) / CLASSES;
        for (int c = 0; c < k->columns; c++) values[i * k->columns + c] = k->y(i % CLASSES, c);
        for (int at = 0; at < SIDE * SIDE; at++)
            for (int c = 0; c < C; c++) {
                size_t to = ((size_t)i * SIDE * SIDE + (size_t)at) * (size_t)C + (size_t)c;
                bytes[to] = (uint8_t)pixel(i, at);
                floats[to] = (float)(bytes[to] / 255.0 * (k->factor > 0 ? k->factor : 1));
            }
    }
    int is_train = strcmp(split, "train") == 0;
    if (k->has_nan && is_train) floats[7 * SIDE * SIDE + 3] = (float)NAN;
    if (k->wrong_label && is_train) labels[5] = k->wrong_label;
    (void)snprintf(name, sizeof name, "x_%s", split);
    put(file, name,
        k->rank  ? k->rank
        : C == 1 ? 3
                 : 4,
        dim, k->is_float ? H5T_NATIVE_FLOAT : H5T_NATIVE_UINT8, k->is_float ? (const void *)floats : bytes);
    if (k->no_y) return;
    dim[0] -= k->one_label_less && is_train ? 1 : 0;
    (void)snprintf(name, sizeof name, "y_%s", split);
    dim[1] = (hsize_t)k->columns;
    if (k->columns)
        put(file, name, k->columns > 1 ? 2 : 1, dim, H5T_NATIVE_DOUBLE, values);
    else
        put(file, name, 1, dim, H5T_NATIVE_INT64, labels);
}

static void put_names(hid_t file)
{
    static const char *const names[CLASSES] = {"top left", "a, \"b\"", "bottom, left", "bottom right"};
    hsize_t dim = CLASSES;
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate_simple(1, &dim, NULL);
    check(H5Tset_size(type, H5T_VARIABLE), "class_names");
    hid_t attr = H5Acreate2(file, "class_names", type, space, H5P_DEFAULT, H5P_DEFAULT);
    check(attr, "class_names");
    check(H5Awrite(attr, type, names), "class_names");
    check(H5Aclose(attr), "class_names");
    check(H5Sclose(space), "class_names");
    check(H5Tclose(type), "class_names");
}

static void make_data(const char *name, const char *path)
{
    const kind *k = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0) k = &kinds[i];
    if (!k) fail("no such kind of dataset");
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    check(file, path);
    put_split(file, k, "train", N_TRAIN);
    if (!k->no_test) put_split(file, k, "test", N_TEST);
    if (!k->no_names) put_names(file);
    check(H5Fclose(file), path);
}

static void write_png(const char *path, int height, int width, int channels, const uint8_t *pixels)
{
    png_image image;
    memset(&image, 0, sizeof image);
    image.version = PNG_IMAGE_VERSION;
    image.height = (png_uint_32)height;
    image.width = (png_uint_32)width;
    image.format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
    if (!png_image_write_to_file(&image, path, 0, pixels, 0, NULL)) fail(image.message);
}

static void make_png(int height, int width, int channels, const char *path)
{
    if (height < 1 || width < 1 || height > 1000 || width > 1000 || (channels != 1 && channels != 3)) fail("bad size");
    size_t n = (size_t)height * (size_t)width * (size_t)channels;
    uint8_t *pixels = malloc(n);
    if (!pixels) fail("no memory");
    for (size_t i = 0; i < n; i++) pixels[i] = (uint8_t)(i * 7 % 251);
    write_png(path, height, width, channels, pixels);
    free(pixels);
}

static void make_sample(const char *data, size_t number, const char *path)
{
    cnnbn_dataset *dataset;
    if (cnnbn_dataset_open(data, NULL, &dataset) != CNNBN_OK) fail(cnnbn_error_message());
    const cnnbn_dataset_info *info = cnnbn_dataset_get_info(dataset);
    uint8_t *pixels = malloc(info->sample_bytes);
    if (!pixels || !info->is_u8) fail("no memory, or no bytes");
    if (cnnbn_dataset_read(dataset, CNNBN_TEST, number, 1, pixels) != CNNBN_OK) fail(cnnbn_error_message());
    write_png(path, info->shape.dim[0], info->shape.dim[1], info->shape.dim[2], pixels);
    free(pixels);
    cnnbn_dataset_close(dataset);
}

static void poison(const char *from, const char *to)
{
    cnnbn_checkpoint *checkpoint;
    if (cnnbn_checkpoint_read(from, &checkpoint) != CNNBN_OK) fail(cnnbn_error_message());
    checkpoint->params[0][0] = (float)NAN;
    if (cnnbn_checkpoint_write(to, checkpoint) != CNNBN_OK) fail(cnnbn_error_message());
    cnnbn_checkpoint_destroy(checkpoint);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "data") == 0)
        make_data(argv[2], argv[3]);
    else if (argc == 6 && strcmp(argv[1], "png") == 0)
        make_png(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]), argv[5]);
    else if (argc == 5 && strcmp(argv[1], "sample") == 0)
        make_sample(argv[2], strtoul(argv[3], NULL, 10), argv[4]);
    else if (argc == 4 && strcmp(argv[1], "poison") == 0)
        poison(argv[2], argv[3]);
    else
        fail("wrong usage");
    return 0;
}
